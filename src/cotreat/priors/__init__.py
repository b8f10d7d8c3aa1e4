"""Prior distributions: rows, sets, defaults, and their declaration in a PyMC model."""
