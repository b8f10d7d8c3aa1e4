"""Declare the variables of a prior set, and the risks by arm, in a PyMC model."""

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
    """Declare one variable in the PyMC model in context, with its prior from a prior set.

    Parameters
    ----------
    priors
        Prior set that contains the variable.
    variable
        Name of the variable.
    dims
        Dimension of the variable; None for a scalar.
    **others
        Parameters of the distribution that replace or complete those of the prior set.

    Returns
    -------
    TensorVariable
        The random variable.
    """
    import pymc as pm

    numbers = {**numbers_of(priors, variable), **others}
    return getattr(pm, priors[variable].distribution)(variable, **numbers, dims=dims)


def numbers_of(priors: PriorSet, variable: str) -> dict[str, pt.TensorVariable]:
    """Declare the parameters of one prior as data of the PyMC model in context.

    Parameters
    ----------
    priors
        Prior set that contains the variable.
    variable
        Name of the variable.

    Returns
    -------
    dict
        Data variables by parameter of the distribution, such as ``mu`` and ``sigma``.
    """
    named = priors[variable].given()
    return dict(zip(priors[variable].numbers(), model_data.state(named).values(), strict=True))


def exchangeable(
    priors: PriorSet,
    variable: str,
    *,
    mean: str,
    spread: str,
    dims: str,
    count: int,
    reference: int | None = None,
) -> pt.TensorVariable:
    """Declare exchangeable parameters, each ~ Normal(M, τ), in the PyMC model in context.

    Parameters
    ----------
    priors
        Prior set that contains `mean` and `spread`.
    variable
        Name of the exchangeable parameters.
    mean
        Variable whose prior is that of M; in the PyMC model it is the average of the parameters.
    spread
        Variable of the SD τ between the parameters.
    dims
        Dimension of the parameters.
    count
        Number of the parameters.
    reference
        Index of the parameter whose prior is that of `mean`, if one has a prior of its own; the others are this
        parameter plus differences of exchangeable parameters.

    Returns
    -------
    TensorVariable
        Shape (count,).

    Notes
    -----
    The parameters are their average plus τ times standardised deviations that sum to 0; M is integrated out, so
    the average has the variance σ² + τ²/count. The joint distribution is exactly that of the hierarchical
    model, but the data inform the average and the deviations separately. Both the centred and the non-centred
    parameterisation have a funnel-shaped posterior if the parameters are similar, in which samplers diverge.
    """
    import pymc as pm

    tau = state(priors, spread)
    if reference is not None:
        level = state(priors, mean)
        z = pm.ZeroSumNormal("z", 1.0, dims=dims)
        return pm.Deterministic(variable, level + tau * (z - z[reference]), dims=dims)
    sd = numbers_of(priors, mean)["sigma"]
    average = state(priors, mean, sigma=pm.math.sqrt(sd**2 + tau**2 / count))
    z = pm.ZeroSumNormal("z", 1.0, dims=dims)
    return pm.Deterministic(variable, average + tau * z, dims=dims)


def state_risk(
    name: str, of: Callable[..., Any], log_odds: pt.TensorVariable, confounded: pt.TensorVariable
) -> None:
    """Declare the risk by arm as a deterministic, and the confounded risk where there is confounding.

    Parameters
    ----------
    name
        Name of the deterministic; the confounded risk has the prefix ``confounded_``.
    of
        Function that maps log-odds to the risk.
    log_odds
        η by arm, without confounding, shape (arm,).
    confounded
        η by arm with unmeasured confounding, shape (arm,); `log_odds` itself without confounding.
    """
    import pymc as pm

    pm.Deterministic(name, of(log_odds), dims="arm")
    if confounded is not log_odds:
        pm.Deterministic(CONFOUNDED + name, of(confounded), dims="arm")
