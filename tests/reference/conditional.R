# Conditional logistic regression by survival::clogit, and a logistic regression with a random intercept by
# lme4::glmer with 25 nodes of adaptive Gauss-Hermite quadrature.
# Run from the root of the repository: Rscript tests/reference/conditional.R
# Debian 12: apt-get install r-cran-survival r-cran-lme4 (R 4.2.2, survival 3.5-3, lme4 1.1-31).
suppressMessages({library(survival); library(lme4)})

d <- with(infert, data.frame(stratum = stratum, education = as.integer(education), spont = as.integer(spontaneous > 0),
                             ind = as.integer(induced > 0), parity = parity, age = age, case = case))
write.csv(d, "tests/reference/infert.csv", row.names = FALSE, quote = FALSE)

rows <- function(name, fit) {
  v <- sqrt(diag(as.matrix(vcov(fit))))
  b <- if (inherits(fit, "merMod")) fixef(fit) else coef(fit)
  data.frame(model = name, term = c(names(b), "loglik"), estimate = c(b, as.numeric(logLik(fit))), se = c(v, NA))
}
exact <- function(f, data) clogit(f, data, method = "exact")
d$set <- paste(d$education, d$parity)        # from 2 to 54 women a set, several of them cases
sets <- exact(case ~ spont * ind + age + strata(set), d)
eyes <- read.csv("tests/cases/pairs.csv")
patients <- read.csv("tests/reference/patients.csv")
x <- paste0("x", 1:6)
patients[x] <- lapply(patients[x], function(v) (v - mean(v)) / sqrt(mean((v - mean(v))^2)))
mixed <- function(name, f, data) {
  fit <- glmer(f, data, binomial, nAGQ = 25, control = glmerControl("bobyqa"))
  sd <- data.frame(model = name, term = "between", estimate = attr(VarCorr(fit)[[1]], "stddev"), se = NA)
  rbind(rows(name, fit), sd)
}
table <- rbind(rows("stratum", exact(case ~ spont * ind + strata(stratum), d)),
               rows("additive", exact(case ~ spont + ind + strata(stratum), d)),
               rows("set", sets),
               rows("pairs", exact(status ~ trt + strata(id), eyes[eyes$adult == 1, ])),
               mixed("eyes", status ~ trt * adult + (1 | id), eyes),
               mixed("hospitals", response ~ a * b + a * c + x1 + x2 + x3 + x4 + x5 + x6 + (1 | hospital) - b:c,
                     patients))
table$estimate <- signif(table$estimate, 12)
table$se <- signif(table$se, 12)
write.csv(table, "tests/reference/conditional.csv", row.names = FALSE, quote = FALSE)
