# E-values by the R package EValue 4.1.4 (Mathur, Smith, Yoshida, Ding & VanderWeele), of
# - VanderWeele & Ding, Ann Intern Med 2017;167:268: risk ratio 3.9 (1.8, 8.7);
# - an odds ratio of a common outcome, from the package's help page: 0.86 (0.75, 0.99);
# - effect heterogeneity on the risk-difference scale: Letenneur 2000 (dementia by education and sex), the
#   worked example of Mathur et al., Int J Epidemiol 2022;51:1268, as on the help page of evalues.IC;
# - the same with the strata of a made-up study whose contrast is negative in one coding.
#
# Rscript tests/reference/e_values.R             with the package installed
# Rscript tests/reference/e_values.R DIR/R       with the package's sources in DIR
folder <- commandArgs(trailingOnly = TRUE)
if (length(folder)) {
  for (file in c("utils.R", "effect_measures.R", "EValue.R", "effect_modification.R")) source(file.path(folder, file))
} else {
  library(EValue)
}

rows <- list()
add <- function(study, quantity, value) {
  rows[[length(rows) + 1]] <<- data.frame(study = study, quantity = quantity, value = value)
}

of <- function(e) {
  limits <- e["E-values", c("lower", "upper")]
  c(e["E-values", "point"], limits[!is.na(limits)])
}
rr <- of(evalues.RR(3.9, 1.8, 8.7))
add("vanderweele-ding", "estimate", rr[1])
add("vanderweele-ding", "limit", rr[2])
or <- of(evalues.OR(0.86, 0.75, 0.99, rare = FALSE))
add("common-odds-ratio", "estimate", or[1])
add("common-odds-ratio", "limit", or[2])

contrast <- function(name, r11, n11, r10, n10, r01, n01, r00, n00) {
  # Stratum 1: n11 exposed, n10 not; stratum 0: n01 exposed, n00 not.
  for (stat in c("est", "CI")) {
    for (direction in c("any", "positive", "negative", "unknown")) {
      found <- suppressMessages(evalues.IC(
        stat = stat,
        unidirBias = direction != "any",
        unidirBiasDirection = if (direction == "any") NA else direction,
        p1_1 = r11 / n11, p1_0 = r10 / n10, n1_1 = n11, n1_0 = n10, f1 = n11 / (n11 + n10),
        p0_1 = r01 / n01, p0_0 = r00 / n00, n0_1 = n01, n0_0 = n00, f0 = n01 / (n01 + n00)
      ))
      add(name, paste(stat, direction), found$evalues$evalue)
    }
  }
}
contrast("letenneur", 158, 2988, 6, 364, 64, 1790, 17, 605)
contrast("made-up", 150, 300, 60, 300, 90, 300, 75, 300)

write.csv(do.call(rbind, rows), file.path("tests", "reference", "e_values.csv"), row.names = FALSE)
