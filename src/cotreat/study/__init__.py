"""Records of a study: treatments, regimens, counts, covariate patterns and reported estimates."""
