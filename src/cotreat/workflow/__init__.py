"""The reanalysis of a study from fit to report."""
