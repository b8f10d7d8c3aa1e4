# Posterior of patients.csv by rstanarm under cotreat's `interaction` with `weak` priors:
#   Rscript tests/reference/patients.R     (r-cran-rstanarm of Debian; two minutes)
# writes patients_rstanarm.csv. rstanarm has no half-normal prior for the SD of a cluster: it samples
# under an exponential one, and its draws are weighted to the half-normal (0.5) afterwards.
suppressMessages(library(rstanarm))
options(mc.cores = 2)
d <- read.csv("tests/reference/patients.csv")
x <- paste0("x", 1:6)
d[x] <- lapply(d[x], function(v) (v - mean(v)) / sqrt(mean((v - mean(v))^2)))
d$one <- 1
d$drug_a <- d$a; d$drug_b <- d$b; d$drug_c <- d$c
d$ab <- d$a * d$b; d$ac <- d$a * d$c; d$bc <- d$b * d$c
location <- c(-1.67, rep(0, 12))
scale <- c(0.65, rep(1, 3), rep(0.5, 3), rep(1, 6))
started <- Sys.time()
fit <- stan_glmer(
  response ~ 0 + one + drug_a + drug_b + drug_c + ab + ac + bc + x1 + x2 + x3 + x4 + x5 + x6 + (1 | hospital),
  data = d, family = binomial(), prior = normal(location, scale, autoscale = FALSE),
  prior_covariance = decov(shape = 1, scale = 1), chains = 4, iter = 11000, warmup = 1000,
  seed = 1, refresh = 0, adapt_delta = 0.99
)
draws <- as.matrix(fit)
names <- c("one", "drug_a", "drug_b", "drug_c", "ab", "ac", "bc", x)
between <- sqrt(draws[, "Sigma[hospital:(Intercept),(Intercept)]"])
values <- cbind(draws[, names], between = between)
weight <- dnorm(between, 0, 0.5) / dexp(between, 1)
weight <- weight / sum(weight)
mean <- colSums(values * weight)
sd <- sqrt(colSums(sweep(values, 2, mean)^2 * weight))
ess <- 1 / sum(weight^2)
table <- data.frame(parameter = colnames(values), mean = mean, sd = sd)
write.csv(table, "tests/reference/patients_rstanarm.csv", row.names = FALSE)
cat("draws worth", round(ess), "of", nrow(values), "; seconds", as.numeric(Sys.time() - started, units = "secs"),
    "; rstanarm", as.character(packageVersion("rstanarm")), "\n")
print(table)
