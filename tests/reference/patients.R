# Posterior of patients.csv by rstanarm under cotreat's `interaction` with `weak` priors:
#   Rscript tests/reference/patients.R          writes patients_rstanarm.csv from 80,000 draws
#   Rscript tests/reference/patients.R DRAWS    that many a chain: prints the least bulk ESS, writes nothing
# rstanarm has no half-normal prior for the SD of a cluster: it samples under an exponential one, and
# its draws are weighted to the half-normal (0.5) afterwards.
suppressMessages(library(rstanarm))
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
scale <- c(2.5, rep(1, 3), rep(0.5, 2), rep(1, 6))
# The constant stands among the predictors: rstanarm's own intercept is that of centred predictors.
fit <- stan_glmer(
  response ~ 0 + one + drug_a + drug_b + drug_c + ab + ac + x1 + x2 + x3 + x4 + x5 + x6 + (1 | hospital),
  data = d, family = binomial(), prior = normal(0, scale, autoscale = FALSE),
  prior_covariance = decov(shape = 1, scale = 1), chains = 4, iter = 1000 + per_chain, warmup = 1000,
  seed = 1, refresh = 0
)
draws <- as.array(fit)
ess <- apply(draws[, , coefficients], 3, posterior::ess_bulk)
cat("ess", floor(min(ess)), "of", names(which.min(ess)), "\n")
if (length(asked)) quit()

draws <- as.matrix(fit)
between <- sqrt(draws[, "Sigma[hospital:(Intercept),(Intercept)]"])
values <- cbind(draws[, coefficients], between = between)
weight <- dnorm(between, 0, 0.5) / dexp(between, 1)
weight <- weight / sum(weight)
mean <- colSums(values * weight)
sd <- sqrt(colSums(sweep(values, 2, mean)^2 * weight))
table <- data.frame(parameter = colnames(values), mean = mean, sd = sd)
write.csv(table, "tests/reference/patients_rstanarm.csv", row.names = FALSE)
cat("weights worth", round(1 / sum(weight^2)), "of", nrow(values), "draws; ESS of between",
    round(posterior::ess_bulk(as.array(fit)[, , "Sigma[hospital:(Intercept),(Intercept)]"])),
    "; divergences", sum(rstan::get_divergent_iterations(fit$stanfit)),
    "; rstanarm", as.character(packageVersion("rstanarm")), "\n")
print(table)
