"""Checks of a fit: convergence, predictive checks and calibration of predicted risks."""
