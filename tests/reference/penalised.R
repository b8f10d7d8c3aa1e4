# Firth's penalised likelihood where the outcome is separated: estimates and covariance by brglm2,
# profile limits by maximising the penalised likelihood with optim. Run from the root of the repository.
library(brglm2)

Z <- qnorm(0.975)
here <- "tests/reference"

penalised <- function(b, X, r, n) {
  eta <- drop(X %*% b)
  w <- n * plogis(eta) * plogis(-eta)
  sum(r * plogis(eta, log.p = TRUE) + (n - r) * plogis(-eta, log.p = TRUE)) +
    0.5 * as.numeric(determinant(crossprod(X, w * X))$modulus)
}

# Highest penalised likelihood with coefficient k held at a value; the penalty is that of all of them.
held <- function(value, k, start, X, r, n) {
  free <- start[-k]
  for (again in 1:6) {
    found <- optim(free, function(b) -penalised(append(b, value, k - 1), X, r, n), method = "BFGS",
                   control = list(reltol = 1e-16, maxit = 2000, ndeps = rep(1e-5, length(free))))
    free <- found$par
  }
  -found$value
}

profile_limits <- function(k, fit, X, r, n) {
  b <- coef(fit)
  se <- sqrt(diag(vcov(fit)))[k]
  top <- penalised(b, X, r, n)
  excess <- function(value) 2 * (top - held(value, k, b, X, r, n)) - Z^2
  c(uniroot(excess, b[k] - c(8, 0.3) * se, tol = 1e-9, extendInt = "downX")$root,
    uniroot(excess, b[k] + c(0.3, 8) * se, tol = 1e-9, extendInt = "upX")$root)
}

firth <- function(formula, data) {
  glm(formula, binomial, data, method = "brglmFit", type = "AS_mean", epsilon = 1e-13, maxit = 10000)
}

rows <- list()
note <- function(model, quantity, estimate, se = NA, limits = c(NA, NA)) {
  rows[[length(rows) + 1]] <<- data.frame(model, quantity, estimate, se, lower = limits[1], upper = limits[2])
}

# --- A 2 × 2 table, nobody with A alone had the event --------------------------------------------------

counts <- data.frame(A = c(0, 1, 0, 1), B = c(0, 0, 1, 1), r = c(20, 0, 25, 50), n = c(100, 40, 110, 120))
fit <- firth(cbind(r, n - r) ~ A * B, counts)
half <- with(counts, qlogis((r + 0.5) / (n + 1)))  # saturated: half an event and non-event a cell
stopifnot(abs(coef(fit)[1:3] - c(half[1], half[2:3] - half[1])) < 1e-9)
for (k in c(2, 4)) {
  limits <- profile_limits(k, fit, model.matrix(fit), counts$r, counts$n)
  note("table", names(coef(fit))[k], coef(fit)[k], sqrt(vcov(fit)[k, k]), limits)
}

# --- Patients with three drugs and a covariate, nobody with A and B had the event -----------------------

set.seed(20)
draw <- function(a, b, c, n) data.frame(a, b, c, x = round(rnorm(n, 0.3 * a - 0.2 * c), 1))
patients <- rbind(draw(0, 0, 0, 30), draw(1, 0, 0, 25), draw(0, 1, 0, 28), draw(0, 0, 1, 26),
                  draw(1, 1, 0, 14), draw(1, 0, 1, 22))
patients$response <- with(patients, rbinom(nrow(patients), 1, plogis(-0.6 + 0.5 * a + 0.3 * b + 0.4 * c + 0.7 * x)))
patients$response[patients$a & patients$b] <- 0
write.csv(patients, file.path(here, "penalised_patients.csv"), row.names = FALSE)
patients$regimen <- with(patients, relevel(factor(paste0(a, b, c)), "000"))

fit <- firth(response ~ regimen + x, patients)
X <- model.matrix(fit)
for (k in 2:6) {
  limits <- profile_limits(k, fit, X, patients$response, rep(1, nrow(X)))
  note("saturated", names(coef(fit))[k], coef(fit)[k], sqrt(vcov(fit)[k, k]), limits)
}
# Standardised risk of A and B: the mean prediction, its SE on the scale of the risk by the delta method.
everybody <- X
everybody[, 2:6] <- 0
everybody[, "regimen110"] <- 1
p <- plogis(drop(everybody %*% coef(fit)))
slope <- colMeans(p * (1 - p) * everybody)
note("saturated", "risk110", mean(p), sqrt(drop(slope %*% vcov(fit) %*% slope)))

fit <- firth(response ~ a + b + c + a:b + a:c + x, patients)
for (k in grep(":", names(coef(fit)))) {
  limits <- profile_limits(k, fit, model.matrix(fit), patients$response, rep(1, nrow(X)))
  note("interaction", names(coef(fit))[k], coef(fit)[k], sqrt(vcov(fit)[k, k]), limits)
}

out <- do.call(rbind, rows)
digits <- function(v) ifelse(is.na(v), "", trimws(formatC(v, digits = 12, format = "g")))
out[-(1:2)] <- lapply(out[-(1:2)], digits)
write.csv(out, file.path(here, "penalised.csv"), row.names = FALSE, quote = FALSE)
