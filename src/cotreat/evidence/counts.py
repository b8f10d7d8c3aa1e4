"""Cell counts: events among the patients of each counted regimen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cotreat.evidence.logistic_operator import averages
from cotreat.priors import model_data
from cotreat.study.study import Study

if TYPE_CHECKING:
    import pytensor.tensor as pt
    import xarray as xr


def data(study: Study) -> model_data.Given:
    """Return the counts as data of a PyMC model."""
    return {"counted n": study.n, "counted events": study.events}


def likelihood(
    study: Study,
    arms: tuple[str, ...],
    log_odds: pt.TensorVariable,
    sigma: pt.TensorVariable | None = None,
) -> None:
    """State r_a ~ Binomial(n_a, p_a) for every counted arm of the PyMC model in context.

    Parameters
    ----------
    arms
        Labels along `log_odds`.
    log_odds
        η by arm, shape (arm,).
    sigma
        SD of the latent prognostic score, over which p = E logistic(η + σu); None for none.
    """
    import pymc as pm
    import pytensor.tensor as pt

    at = [arms.index(regimen) for regimen in study.counted]
    if sigma is None:
        risk = {"logit_p": log_odds[at]}
    else:
        risk = {"p": averages(pt, log_odds[at], sigma).risk}
    n, events = model_data.state(data(study)).values()
    # PyMC keeps whole numbers as int32, of which JAX makes functions in single precision.
    n = pt.cast(n, "int64")
    pm.Binomial("events", n=n, observed=events, dims="counted", **risk)


def replicate(study: Study, risk: xr.DataArray, rng: np.random.Generator) -> xr.DataArray:
    """Draw the counts again from draws of risk, whose dim ``arm`` holds the counted regimens."""
    at = risk.sel(arm=list(study.counted)).rename(arm="counted").transpose(..., "counted")
    return at.copy(data=rng.binomial(study.n, at.values)).reset_coords(drop=True)


def jacobian(study: Study, weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the derivative of the expected events in the log-odds of all regimens.

    Parameters
    ----------
    weight
        Derivative of the risk in the log-odds by regimen, p(1 − p) without a prognostic score, shape
        (regimen,).

    Returns
    -------
    ndarray
        Shape (counted, regimen): n times the weight where the count is of the regimen, else 0.
    """
    at = [study.regimens.index(regimen) for regimen in study.counted]
    rows = np.zeros((len(at), len(study.regimens)))
    rows[np.arange(len(at)), at] = study.n * weight[at]
    return rows
