# Probabilities of regimens under a ridge: nnet, none of it by cotreat.
# Run from the repository root:  Rscript tests/reference/overlap.R
# Reads patients.csv and writes overlap_nnet.csv next to this file.
#
# nnet minimises -log likelihood + sum(decay * weight^2). Without hidden units and with softmax each
# regimen has weights of its own, so that none is the reference. A decay of 0.08 is a
# Normal(0, 2.5) density on a weight; intercepts get none.

library(nnet)
script <- sub("^--file=", "", grep("^--file=", commandArgs(FALSE), value = TRUE))
here <- dirname(script)
d <- read.csv(file.path(here, "patients.csv"))
took <- class.ind(paste0(d$a, d$b, d$c))
x <- scale(as.matrix(d[, paste0("x", 1:6)]), scale = FALSE)
x <- cbind(x, class.ind(d$hospital))
decay <- rep(c(0, rep(0.08, ncol(x))), ncol(took))  # the intercept comes first for each regimen
set.seed(1)
fit <- nnet(x, took, size = 0, skip = TRUE, softmax = TRUE, decay = decay, maxit = 10000,
            abstol = 0, reltol = 1e-14, trace = FALSE, rang = 0)
found <- as.data.frame(fitted(fit))
names(found) <- paste0("p", colnames(took))
write.csv(round(found, 7), file.path(here, "overlap_nnet.csv"), row.names = FALSE, quote = FALSE)
