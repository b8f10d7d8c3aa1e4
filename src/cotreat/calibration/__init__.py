"""Simulation-based calibration of the models, by template or study."""
