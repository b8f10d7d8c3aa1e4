"""Calibration: whether posteriors computed here are those of the models, and what print leaves of them."""
