"""The PyMC statements of the models, one a module: the log-odds of each regimen."""
