# Frequentist reference numbers: glm, confint and epiR, none of it by cotreat.
# Run from the repository root:  Rscript tests/reference/frequentist.R
# Writes frequentist.csv next to this file.

if (Sys.getenv("TZ") == "") Sys.setenv(TZ = "UTC")
options(warn = 1)
suppressPackageStartupMessages(library(epiR))

script <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
out <- file.path(dirname(script), "frequentist.csv")

# events and totals in the order neither, A only, B only, both
studies <- list(
  "isis2" = list(r = c(568, 448, 461, 343), n = c(4300, 4300, 4295, 4292)),
  "oral-cancer" = list(r = c(3, 6, 8, 225), n = c(23, 18, 26, 391)),
  "factor-v-leiden" = list(r = c(36, 10, 84, 25), n = c(36 + 100, 10 + 4, 84 + 63, 25 + 2))
)

z <- qnorm(0.975)
tight <- glm.control(epsilon = 1e-10, maxit = 100)
# glm takes its standard errors from the last but one iterate, which at the default settings leaves
# them right to about six digits. Fitting again from the answer makes both exact.
logistic <- function(formula, data) {
  first <- glm(formula, binomial, data, control = tight)
  eval(bquote(glm(.(formula), binomial, data, control = tight, start = coef(first))))
}

analyse <- function(study, r, n) {
  d <- data.frame(r = r, n = n, A = c(0, 1, 0, 1), B = c(0, 0, 1, 1))
  rows <- list()
  add <- function(quantity, estimate, lower = NA, upper = NA, method) {
    rows[[length(rows) + 1]] <<- data.frame(
      study = study, quantity = quantity, estimate = unname(estimate),
      lower = unname(lower), upper = unname(upper), method = method
    )
  }
  add_coefficients <- function(model, names, method) {
    b <- coef(model)
    s <- sqrt(diag(vcov(model)))
    for (i in seq_along(names)) {
      add(names[i], b[i], b[i] - z * s[i], b[i] + z * s[i], method)
      add(paste0("se_", names[i]), s[i], method = method)
    }
  }

  ## The model with the product term: saturated, so closed forms exist; they are checked below.
  m <- logistic(cbind(r, n - r) ~ A * B, d)
  add_coefficients(m, c("alpha", "beta_A", "beta_B", "gamma"), "glm_interaction")

  ## Odds ratios against neither, Wald. `both` is beta_A + beta_B + gamma.
  contrasts <- list(or_A = c(0, 1, 0, 0), or_B = c(0, 0, 1, 0), or_both = c(0, 1, 1, 1))
  for (q in names(contrasts)) {
    k <- contrasts[[q]]
    est <- sum(k * coef(m))
    se <- sqrt(drop(t(k) %*% vcov(m) %*% k))
    add(q, exp(est), exp(est - z * se), exp(est + z * se), "wald")
  }

  ## The product term as a ratio of odds ratios.
  g <- coef(m)[["A:B"]]
  g_se <- sqrt(vcov(m)["A:B", "A:B"])
  add("ror", exp(g), exp(g - z * g_se), exp(g + z * g_se), "wald")

  ci <- suppressMessages(confint(m, "A:B")) # profile likelihood, interpolated by a spline
  add("ror", exp(g), exp(ci[[1]]), exp(ci[[2]]), "profile_confint")

  # The same without interpolation: the drop in deviance from fixing gamma equals qchisq(.95, 1).
  drop_in_deviance <- function(fixed) {
    fit <- glm.fit(cbind(1, d$A, d$B), cbind(r, n - r), family = binomial(),
                   offset = fixed * d$A * d$B, control = tight)
    fit$deviance - deviance(m)
  }
  end <- function(from, to) {
    uniroot(function(x) drop_in_deviance(x) - qchisq(0.95, 1), sort(c(from, to)),
            tol = 1e-13, maxiter = 1000)$root
  }
  add("ror", exp(g), exp(end(g - 6 * g_se, g)), exp(end(g, g + 6 * g_se)), "profile_exact")

  ## Additive interaction on the odds-ratio scale, by epiR. With param = "product" the three
  ## coefficients are A, B and A:B. (With "dummy" they are the odds ratios of A, B and both, and
  ## what epiR then returns as $multiplicative is the odds ratio of both, not of the product.)
  # epiR warns where an odds ratio is below 1: the numbers hold, their usual reading does not.
  e <- suppressWarnings(epi.interaction(m, coef = c(2, 3, 4), param = "product", conf.level = 0.95))
  add("reri_or", e$reri$est, e$reri$lower, e$reri$upper, "epiR_delta")
  add("ap_or", e$apab$est, e$apab$lower, e$apab$upper, "epiR_delta")
  add("s_or", e$s$est, e$s$lower, e$s$upper, "epiR_delta")

  ## No product term.
  a <- logistic(cbind(r, n - r) ~ A + B, d)
  add_coefficients(a, c("alpha", "beta_A", "beta_B"), "glm_additive")
  risk <- fitted(a)
  for (i in 1:4) {
    add(paste0("risk_", c("neither", "A", "B", "both")[i]), risk[i], method = "glm_additive")
  }

  ## By hand, from the four cells: they are independent, and a log odds has variance 1/r + 1/(n-r).
  same <- function(x, y, tol = 1e-11) stopifnot(isTRUE(all.equal(unname(x), unname(y), tolerance = tol)))
  v <- 1 / r + 1 / (n - r)
  odds <- r / (n - r)
  or <- odds / odds[1] # 1, A, B, both
  same(coef(m), c(log(odds[1]), log(or[2]), log(or[3]), log(or[4] / (or[2] * or[3]))))
  same(sqrt(diag(vcov(m))), sqrt(c(v[1], v[1] + v[2], v[1] + v[3], sum(v))))
  # delta method: gradients with respect to the three log odds ratios, whose covariance is
  # v[1] off the diagonal and v[1] + v[i] on it
  V <- v[1] + diag(v[2:4])
  reri <- or[4] - or[2] - or[3] + 1
  reri_se <- { h <- c(-or[2], -or[3], or[4]); sqrt(drop(h %*% V %*% h)) }
  same(unlist(e$reri), reri + c(0, -z, z) * reri_se)
  ap_se <- { h <- c(-or[2], -or[3], or[2] + or[3] - 1) / or[4]; sqrt(drop(h %*% V %*% h)) }
  same(unlist(e$apab), reri / or[4] + c(0, -z, z) * ap_se)
  den <- or[2] + or[3] - 2
  s_se <- { h <- c(-or[2] / den, -or[3] / den, or[4] / (or[4] - 1)); sqrt(drop(h %*% V %*% h)) }
  same(unlist(e$s), exp(log((or[4] - 1) / den) + c(0, -z, z) * s_se))
  # epiR's own "multiplicative" is the product term with its interpolated profile interval
  same(unlist(e$multiplicative), exp(c(g, ci[[1]], ci[[2]])))
  # likelihood equations of the additive model: fitted margins equal observed ones
  X <- cbind(1, d$A, d$B)
  same(drop(t(X) %*% (n * risk)), drop(t(X) %*% r))
  same(vcov(a), solve(t(X) %*% (n * risk * (1 - risk) * X)))

  do.call(rbind, rows)
}

result <- do.call(rbind, lapply(names(studies), function(s) analyse(s, studies[[s]]$r, studies[[s]]$n)))
for (column in c("estimate", "lower", "upper")) {
  x <- result[[column]]
  result[[column]] <- ifelse(is.na(x), "", sprintf("%.15g", x))
}
write.csv(result, out, row.names = FALSE, quote = FALSE)
cat("wrote", nrow(result), "rows;", R.version.string, "; epiR",
    as.character(packageVersion("epiR")), "; MASS", as.character(packageVersion("MASS")), "\n")
