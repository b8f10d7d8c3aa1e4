"""Fits: NUTS, sequential Monte Carlo, Laplace approximation and marginal likelihood."""
