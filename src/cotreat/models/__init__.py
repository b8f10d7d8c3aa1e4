"""Models: their registry, and one module per model with its linear predictor."""
