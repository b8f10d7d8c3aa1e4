"""Errors of the package."""


class ModelError(ValueError):
    """A model that a study or a prior set does not allow."""
