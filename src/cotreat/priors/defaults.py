"""Read the default prior of every parameter from ``defaults.toml``: the sets ``weak`` and ``exposures``.

A user-defined model adds the priors of its parameters (`cotreat.models.registry.register`).
"""

import tomllib
from importlib.resources import files
from typing import Any

from cotreat.priors.prior import Prior

_TABLES = tomllib.loads(files(__package__).joinpath("defaults.toml").read_text(encoding="utf-8"))


def _priors(table: str) -> dict[str, Prior]:
    """Return the priors of one array of tables by variable; a missing ``mu`` or ``sigma`` is None."""
    rows = [Prior(**{"mu": None, "sigma": None, **row}) for row in _TABLES[table]]
    return {row.variable: row for row in rows}


PARAMETERS = _priors("parameter")
"""Default prior by variable; registered models add the priors of their parameters."""

BIAS = _priors("bias")
"""Priors of the parameters of unmeasured confounding, by variable; only the prior sets of a bias analysis contain
them."""

OF_EXPOSURES: dict[str, dict[str, Any]] = {row["variable"]: row for row in _TABLES["exposures"]}
"""Fields of the priors of the set ``exposures`` that differ from those of ``weak``, by variable."""

INTERCEPTS = ("alpha", "m")
"""Variables whose prior a declared baseline replaces: the intercept, and the mean of the saturated model."""
