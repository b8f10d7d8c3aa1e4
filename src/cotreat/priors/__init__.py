"""Prior distributions: single priors, prior sets, defaults, and their declaration in a PyMC model."""
