# E-values by the R package EValue 4.1.4 (Mathur, Smith, Yoshida, Ding & VanderWeele), of
# - VanderWeele & Ding, Ann Intern Med 2017;167:268: risk ratio 3.9 (1.8, 8.7);
# - an odds ratio of a common outcome, from the package's help page: 0.86 (0.75, 0.99).
#
# Rscript tests/reference/e_values.R             with the package installed
# Rscript tests/reference/e_values.R DIR/R       with the package's sources in DIR
folder <- commandArgs(trailingOnly = TRUE)
if (length(folder)) {
  for (file in c("utils.R", "effect_measures.R", "EValue.R")) source(file.path(folder, file))
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

write.csv(do.call(rbind, rows), file.path("tests", "reference", "e_values.csv"), row.names = FALSE)
