"""The PyMC statements of the models, one a module: the log-odds of each regimen."""

from typing import Any

import pymc as pm
import pytensor.tensor as pt

from cotreat.priors import model_data
from cotreat.priors.prior import PriorSet


def state(
    priors: PriorSet, variable: str, dims: str | None = None, **others: Any
) -> pt.TensorVariable:
    """State one variable of the PyMC model in context from its row of the prior set."""
    numbers = {**numbers_of(priors, variable), **others}
    return getattr(pm, priors[variable].distribution)(variable, **numbers, dims=dims)


def numbers_of(priors: PriorSet, variable: str) -> dict[str, pt.TensorVariable]:
    """State the numbers of one row of the prior set as data of the PyMC model in context."""
    named = priors[variable].given()
    return dict(zip(priors[variable].numbers(), model_data.state(named).values(), strict=True))


def relatives(
    priors: PriorSet, variable: str, *, mean: str, spread: str, dims: str, count: int
) -> pt.TensorVariable:
    """State `count` relatives, each ~ Normal(M, `spread`) with M ~ the prior of `mean`.

    They are stated by their own mean, under the name `mean`, and by standardised deviations from it
    that sum to 0, with M integrated out. This is the same law exactly (the mean of `count` draws has
    variance σ² + spread²/count), but the data pin each part down by itself: stated one by one,
    centred or not, alike relatives make a funnel in which samplers diverge.
    """
    sd = numbers_of(priors, mean)["sigma"]
    tau = state(priors, spread)
    own_mean = state(priors, mean, sigma=pm.math.sqrt(sd**2 + tau**2 / count))
    z = pm.ZeroSumNormal("z", 1.0, dims=dims)
    return pm.Deterministic(variable, own_mean + tau * z, dims=dims)
