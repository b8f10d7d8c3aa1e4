# Posterior reference numbers: rstanarm (Stan), none of it by cotreat.
# Run from the repository root:  Rscript tests/reference/posterior.R
# Writes posterior.csv next to this file.

if (Sys.getenv("TZ") == "") Sys.setenv(TZ = "UTC")
options(warn = 1, mc.cores = 1)
suppressPackageStartupMessages({
  library(rstanarm)
  library(posterior)
})

script <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
out <- file.path(dirname(script), "posterior.csv")

# events and totals in the order neither, A only, B only, both
studies <- list(
  "isis2" = list(r = c(568, 448, 461, 343), n = c(4300, 4300, 4295, 4292)),
  "oral-cancer" = list(r = c(3, 6, 8, 225), n = c(23, 18, 26, 391)),
  "factor-v-leiden" = list(r = c(36, 10, 84, 25), n = c(36 + 100, 10 + 4, 84 + 63, 25 + 2))
)

seed <- 20240501
chains <- 4
warmup <- 1000
iter <- 61000 # per chain, warmup included; about two minutes in all

# The priors, exactly as written: alpha is the coefficient of a column of ones, so rstanarm
# does not treat alpha as an intercept; no autoscaling, no QR. Each column is centred at its mean over
# the regimens of the model, with equal weights, so alpha is the log-odds at that centre.
scales <- list(weak = c(2.5, 1, 1, 0.5), exposures = c(2.5, 2.5, 2.5, 1))

draw <- function(study, model, scale) {
  location <- rep(0, 4)
  d <- data.frame(r = study$r, n = study$n, one = 1)
  terms <- if (model == "interaction") 1:4 else 1:3
  d$A <- c(0, 1, 0, 1) - 1 / 2
  d$B <- c(0, 0, 1, 1) - 1 / 2
  d$AB <- c(0, 0, 0, 1) - 1 / 4
  f <- if (model == "interaction") {
    cbind(r, n - r) ~ 0 + one + A + B + AB
  } else {
    cbind(r, n - r) ~ 0 + one + A + B
  }
  fit <- stan_glm(
    f, family = binomial(), data = d,
    prior = normal(location[terms], scale[terms], autoscale = FALSE), QR = FALSE,
    chains = chains, iter = iter, warmup = warmup, seed = seed, refresh = 0
  )
  # what rstanarm says it used
  used <- prior_summary(fit)
  stopifnot(
    identical(colnames(model.matrix(fit)), c("one", "A", "B", "AB")[terms]),
    isTRUE(all.equal(as.numeric(used$prior$location), location[terms])),
    isTRUE(all.equal(as.numeric(used$prior$scale), scale[terms])),
    is.null(used$prior$adjusted_scale), is.null(used$prior_intercept)
  )
  divergent <- rstan::get_num_divergent(fit$stanfit)
  x <- as.array(fit) # iteration x chain x coefficient
  rhat_max <- max(apply(x, 3, rhat))
  cat(sprintf("  divergent %d, max rhat %.5f\n", divergent, rhat_max))
  stopifnot(divergent == 0, rhat_max < 1.01)
  list(
    alpha = x[, , "one"], beta_A = x[, , "A"], beta_B = x[, , "B"],
    gamma = if (model == "interaction") x[, , "AB"]
  )
}

# The measures of r00, r10, r01, r11: draws of four risks (or of their complements).
measures <- function(r00, r10, r01, r11) {
  odds <- function(p) p / (1 - p)
  or10 <- odds(r10) / odds(r00)
  or01 <- odds(r01) / odds(r00)
  or11 <- odds(r11) / odds(r00)
  list(
    ic = r11 - r10 - r01 + r00,
    reri_or = or11 - or10 - or01 + 1,
    ror = or11 / (or10 * or01),
    rrr = r11 * r00 / (r10 * r01),
    bliss = r11 - (1 - (1 - r10) * (1 - r01) / (1 - r00)),
    hsa = r11 - pmax(r10, r01)
  )
}
null_value <- c(ic = 0, reri_or = 0, ror = 1, rrr = 1, bliss = 0, hsa = 0)

# x: iteration x chain. ess is posterior::ess_mean, the one mcse_mean = sd / sqrt(ess) uses.
row <- function(study, priors, model, quantity, x, quantiles = TRUE) {
  q <- if (quantiles) quantile(x, c(0.025, 0.975), names = FALSE) else c(NA, NA)
  data.frame(
    study = study, priors = priors, model = model, quantity = quantity, mean = mean(x), sd = sd(as.vector(x)),
    q2.5 = q[1], q97.5 = q[2], mcse_mean = mcse_mean(x), ess = ess_mean(x)
  )
}

summarise <- function(study, priors, model) {
  cat(study, priors, model, "\n")
  p <- draw(studies[[study]], model, scales[[priors]])
  gamma <- if (is.null(p$gamma)) 0 else p$gamma
  none <- p$alpha - (p$beta_A + p$beta_B) / 2 - gamma / 4
  risks <- list(
    risk_neither = plogis(none), risk_A = plogis(none + p$beta_A),
    risk_B = plogis(none + p$beta_B), risk_both = plogis(none + p$beta_A + p$beta_B + gamma)
  )
  p <- c(p[!vapply(p, is.null, TRUE)], risks)
  rows <- lapply(names(p), function(q) row(study, priors, model, q, p[[q]]))
  if (model == "interaction") {
    risks_by_scale <- list(event = unname(risks))
    if (study == "isis2") risks_by_scale$nonevent <- lapply(unname(risks), function(r) 1 - r)
    for (s in names(risks_by_scale)) {
      m <- do.call(measures, risks_by_scale[[s]])
      for (q in names(m)) {
        label <- if (s == "event") q else paste0(q, "_nonevent")
        above <- (m[[q]] > null_value[[q]]) * 1
        rows <- c(rows, list(
          row(study, priors, model, label, m[[q]]),
          row(study, priors, model, sprintf("P(%s)", label), above, quantiles = FALSE)
        ))
      }
    }
    stopifnot(isTRUE(all.equal(m$ror, if (study == "isis2") exp(-p$gamma) else exp(p$gamma))))
  }
  do.call(rbind, rows)
}

grid <- expand.grid(
  model = c("interaction", "additive"), study = names(studies), priors = names(scales), stringsAsFactors = FALSE
)
grid <- grid[grid$priors == "weak" | (grid$study != "isis2" & grid$model == "interaction"), ]
result <- do.call(rbind, Map(summarise, grid$study, grid$priors, grid$model))
for (column in c("mean", "sd", "q2.5", "q97.5", "mcse_mean", "ess")) {
  x <- result[[column]]
  result[[column]] <- ifelse(is.na(x), "", sprintf("%.10g", x))
}
write.csv(result, out, row.names = FALSE, quote = FALSE)
cat("wrote", nrow(result), "rows;", R.version.string, "; rstanarm", as.character(packageVersion("rstanarm")),
    "; rstan", as.character(packageVersion("rstan")),
    "; posterior", as.character(packageVersion("posterior")), "\n")
