# Posterior of patients.csv by brms under cotreat's `interaction` with `weak` priors:
#   Rscript tests/reference/patients_brms.R          writes patients_brms.csv from 80,000 draws
#   Rscript tests/reference/patients_brms.R DRAWS    that many a chain: prints the least bulk ESS, writes nothing
# brms compiles its Stan code with the Boost headers of R's package BH. Debian's BH looks for them in its
# own folder: apt-get install libboost-dev, and link /usr/include/boost there as include/boost.
suppressMessages(library(brms))
options(mc.cores = 2)
asked <- as.integer(commandArgs(trailingOnly = TRUE))
per_chain <- if (length(asked)) asked else 20000
d <- read.csv("tests/reference/patients.csv")
x <- paste0("x", 1:6)
d[x] <- lapply(d[x], function(v) (v - mean(v)) / sqrt(mean((v - mean(v))^2)))
d$one <- 1
d[c("drug_a", "drug_b", "drug_c")] <- d[c("a", "b", "c")]  # "b" is a word of Stan's R packages
d$ab <- d$a * d$b
d$ac <- d$a * d$c
# The constant is the log-odds at the mean of the regimens, with equal weights.
drugs <- c("drug_a", "drug_b", "drug_c", "ab", "ac")
d[drugs] <- sweep(d[drugs], 2, colMeans(unique(d[drugs])))
coefficients <- c("one", "drug_a", "drug_b", "drug_c", "ab", "ac", x)
priors <- c(
  prior(normal(0, 1), class = b),
  prior(normal(0, 2.5), class = b, coef = one),
  prior(normal(0, 0.5), class = b, coef = ab),
  prior(normal(0, 0.5), class = b, coef = ac),
  prior(normal(0, 0.5), class = sd)
)
# The constant stands among the predictors: brms's own intercept is that of centred predictors.
fit <- brm(
  response ~ 0 + one + drug_a + drug_b + drug_c + ab + ac + x1 + x2 + x3 + x4 + x5 + x6 + (1 | hospital),
  data = d, family = bernoulli(), prior = priors, chains = 4, iter = 1000 + per_chain, warmup = 1000,
  seed = 1, refresh = 0, silent = 2
)
names <- c(paste0("b_", coefficients), "sd_hospital__Intercept")
draws <- posterior::subset_draws(as_draws_array(fit), names)
ess <- apply(draws[, , 1:12], 3, posterior::ess_bulk)
cat("ess", floor(min(ess)), "of", names(which.min(ess)), "\n")
if (length(asked)) quit()

values <- posterior::as_draws_matrix(draws)
table <- data.frame(
  parameter = c(coefficients, "between"), mean = colMeans(values), sd = apply(values, 2, sd)
)
write.csv(table, "tests/reference/patients_brms.csv", row.names = FALSE)
cat("ESS of between", round(posterior::ess_bulk(draws[, , 13])),
    "; divergences", sum(subset(nuts_params(fit), Parameter == "divergent__")$Value),
    "; brms", as.character(packageVersion("brms")), "\n")
print(table, row.names = FALSE)
