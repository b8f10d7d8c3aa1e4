"""Sensitivity analyses: priors, interpretations and models."""
