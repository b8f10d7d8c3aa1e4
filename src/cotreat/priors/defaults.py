"""Read the default prior of every parameter, the prior set ``weak``, from ``defaults.toml``.

A user-defined model adds the priors of its parameters (`cotreat.models.registry.register`).
"""

import tomllib
from importlib.resources import files

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

BASELINE_MEANING = PARAMETERS["alpha"].meaning
"""Meaning of the parameters whose prior the study file may state: the risk without treatment."""
