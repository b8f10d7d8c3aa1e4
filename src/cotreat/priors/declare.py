"""State variables of a prior set, and risks by arm, in a PyMC model."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from cotreat.core.constants import CONFOUNDED
from cotreat.priors import model_data

if TYPE_CHECKING:
    import pytensor.tensor as pt

    from cotreat.priors.prior import PriorSet


def state(
    priors: PriorSet, variable: str, dims: str | None = None, **others: Any
) -> pt.TensorVariable:
    """State one variable of the PyMC model in context from its row of the prior set."""
    import pymc as pm

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
    import pymc as pm

    sd = numbers_of(priors, mean)["sigma"]
    tau = state(priors, spread)
    own_mean = state(priors, mean, sigma=pm.math.sqrt(sd**2 + tau**2 / count))
    z = pm.ZeroSumNormal("z", 1.0, dims=dims)
    return pm.Deterministic(variable, own_mean + tau * z, dims=dims)


def state_risk(
    name: str, of: Callable[..., Any], log_odds: pt.TensorVariable, seen: pt.TensorVariable
) -> None:
    """State a risk by arm as a deterministic and, where there is confounding, as the evidence sees it."""
    import pymc as pm

    pm.Deterministic(name, of(log_odds), dims="arm")
    if seen is not log_odds:
        pm.Deterministic(CONFOUNDED + name, of(seen), dims="arm")
