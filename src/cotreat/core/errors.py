"""Errors that users of the package may catch."""


class ModelError(ValueError):
    """A model that a study, or a prior set, does not allow."""
