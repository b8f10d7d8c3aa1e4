"""The PyMC statements of the models, one a module: the log-odds of each regimen."""

from typing import Any

import pymc as pm
import pytensor.tensor as pt

from cotreat.priors import PriorSet


def state(
    priors: PriorSet, variable: str, dims: str | None = None, **others: Any
) -> pt.TensorVariable:
    """State one variable of the PyMC model in context from its row of the prior set."""
    row = priors[variable]
    return getattr(pm, row.distribution)(variable, **{**row.numbers(), **others}, dims=dims)
