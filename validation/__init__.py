"""Long checks of the package, outside the wheel: recovery, calibration, agreement, published-paper simulation."""
