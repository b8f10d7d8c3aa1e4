"""The registry of models, and one module per model with its linear predictor."""
