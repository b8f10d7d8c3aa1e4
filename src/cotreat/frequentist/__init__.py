"""Maximum likelihood, g-computation, Firth penalisation and confidence intervals."""
