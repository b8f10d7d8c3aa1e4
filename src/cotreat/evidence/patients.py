"""Patients by cell: events among those alike in regimen, covariates and cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cotreat.cells import Cells
from cotreat.study import Study

if TYPE_CHECKING:
    import pytensor.tensor as pt
    import xarray as xr

    from cotreat.priors import PriorSet


def coordinates(study: Study) -> dict[str, tuple[str, ...] | range]:
    """Name the entries of everything that `likelihood` makes."""
    cells = study.cells
    assert cells is not None  # noqa: S101 - for the type checker
    named = {"covariate": cells.names, "cluster": cells.clusters}
    return {"cell": range(len(cells.n)), **{dim: own for dim, own in named.items() if own}}


def parameters(cells: Cells | None) -> tuple[str, ...]:
    """Name the rows of a prior set that patients need besides those of the model."""
    if cells is None:
        return ()
    of_clusters = ("between", "cluster_z") if cells.clusters else ()
    return (*(("delta",) if cells.covariates else ()), *of_clusters)


def likelihood(
    study: Study, arms: tuple[str, ...], log_odds: pt.TensorVariable, priors: PriorSet
) -> None:
    """State r_c ~ Binomial(n_c, logistic(η_a + x_c δ + u_k)) in the PyMC model in context.

    With it, as deterministics by arm, ``conditional_risk``, that of a patient whose covariates have
    their means, in a cluster in the middle, and ``risk``, standardised: the mean over the covariates
    and clusters of all patients, whatever their regimen.

    Parameters
    ----------
    arms
        Labels along `log_odds`.
    log_odds
        η by arm, shape (arm,).
    """
    import pymc as pm
    import pytensor.tensor as pt

    from cotreat.effects import state

    cells = study.cells
    assert cells is not None  # noqa: S101 - for the type checker
    shift = pt.zeros(len(cells.n))
    if cells.covariates:
        shift = shift + cells.values @ state(priors, "delta", dims="covariate")
    if cells.clusters:
        between = state(priors, "between")
        off = pm.Deterministic(
            "cluster_effect", between * state(priors, "cluster_z", dims="cluster"), dims="cluster"
        )
        shift = shift + off[cells.cluster]
    every = log_odds[:, None] + shift[cells.profiles]
    pm.Deterministic("conditional_risk", pm.math.invlogit(log_odds), dims="arm")
    pm.Deterministic("risk", (pm.math.invlogit(every) * cells.weights).sum(1), dims="arm")
    at = np.array([arms.index(regimen) for regimen in cells.regimens])
    pm.CustomDist(
        "events",
        cells.n,
        log_odds[at] + shift,
        logp=log_binomial,
        random=_draw_binomial,
        observed=cells.events,
        dims="cell",
    )


def log_binomial(
    events: pt.TensorVariable, n: pt.TensorVariable, log_odds: pt.TensorVariable
) -> pt.TensorVariable:
    """Return log C(n, r) + r η − n log(1 + exp η), the log density of r ~ Binomial(n, logistic(η)).

    PyMC's Binomial makes it of log p and log(1 − p) with guards for p = 0 and 1, which η never gives: the
    same numbers, but a gradient that takes six times as long, and that is nearly all a fit of patients
    works out.
    """
    import pytensor.tensor as pt

    ways = pt.gammaln(n + 1) - pt.gammaln(events + 1) - pt.gammaln(n - events + 1)
    return ways + events * log_odds - n * pt.softplus(log_odds)


def _draw_binomial(n: Any, log_odds: Any, rng: np.random.Generator, size: Any) -> NDArray[Any]:
    from scipy.special import expit

    return rng.binomial(n, expit(log_odds), size=size)


def by_regimen(study: Study, by_cell: NDArray[Any]) -> NDArray[Any]:
    """Sum numbers of cells to those of the counted regimens, along the last axis."""
    assert study.cells is not None  # noqa: S101 - for the type checker
    own = np.array(study.cells.regimens)
    return np.stack([by_cell[..., own == label].sum(-1) for label in study.counted], axis=-1)


def risks(cells: Cells, posterior: xr.Dataset) -> NDArray[np.float64]:
    """Return the risk of each cell's patients, shape (draw, cell), from draws of one chain."""
    from scipy.special import expit, logit

    arms = list(posterior["arm"].values)
    at = [arms.index(regimen) for regimen in cells.regimens]
    log_odds = logit(posterior["conditional_risk"].transpose("draw", "arm").values)[:, at]
    if cells.covariates:
        log_odds += posterior["delta"].transpose("draw", "covariate").values @ cells.values.T
    if cells.clusters:
        effect = posterior["cluster_effect"].transpose("draw", "cluster").values
        log_odds += effect[:, cells.cluster]
    return expit(log_odds)


def replicate(
    study: Study, posterior: xr.Dataset, rng: np.random.Generator
) -> dict[str, xr.DataArray]:
    """Draw the events by regimen again, ``events``, and give what they were expected to be."""
    import xarray as xr

    cells = study.cells
    assert cells is not None  # noqa: S101 - for the type checker
    drawn, expected = [], []
    for chain in posterior["chain"]:
        risk = risks(cells, posterior.sel(chain=chain))
        drawn.append(by_regimen(study, rng.binomial(cells.n, risk)))
        expected.append(by_regimen(study, cells.n * risk))
    coords = {
        "chain": posterior["chain"],
        "draw": posterior["draw"],
        "counted": list(study.counted),
    }
    dims = ("chain", "draw", "counted")
    return {
        "events": xr.DataArray(np.array(drawn), coords, dims),
        "expected_events": xr.DataArray(np.array(expected), coords, dims),
    }
