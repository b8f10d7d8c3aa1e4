"""Bias analyses: unmeasured confounding and E-values."""
