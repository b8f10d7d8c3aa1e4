"""Densities and predictions of the folds of reported estimates, and distributions of widths at many draws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from cotreat.core.constants import CONDITIONAL, as_seen
from cotreat.evidence.folds import (
    EVENTS,
    P_VALUE,
    WIDTH,
    Fold,
    FoldPrediction,
    Folds,
    summarise_prediction,
)
from cotreat.evidence.reported import ReportedEstimates, estimates_of
from cotreat.evidence.reported_predictive import conditional, predicted, row_left_out
from cotreat.evidence.statistics import statistic_of
from cotreat.evidence.width_distribution import Widths, width_distribution
from cotreat.study.study import Study

if TYPE_CHECKING:
    import xarray as xr

Array = NDArray[np.float64]


def densities(reported: ReportedEstimates, posterior: xr.Dataset, folds: Folds) -> Array:
    """Return the log density of each fold given the parameters and the other folds, draw by draw.

    Parameters
    ----------
    reported
        The reported estimates.
    posterior
        Draws of a fit to all estimates, dims (chain, draw, …).
    folds
        Folds, as `folds` returns them.

    Returns
    -------
    ndarray, shape (chain, draw, fold)

    Notes
    -----
    The log density of all numbers, less that of the numbers without the fold: the conditional density of one or
    several rows given the others (Bürkner, Gabry & Vehtari, Comput Stat 2021;36:1243).
    """
    whole = _log_density(reported, posterior, reported.data)
    logs = [
        whole - _log_density(reported, posterior, fold.left_out(reported.data)) + fold.constant
        for fold in folds.parts
    ]
    return np.stack(logs, axis=-1)


def _log_density(reported: ReportedEstimates, draws: xr.Dataset, data: dict[str, Any]) -> Array:
    """Return the log density of the points, and of the widths given these, under changed data, shape (chain, draw)."""
    kept = reported.points
    changed = np.diag(data["reported rounding"] - reported.rounding)
    covariance = (draws["reported_covariance"].values + changed)[..., kept, :][..., kept]
    total = _normal_log_density(
        data["reported points"] - draws["reported_mean"].values[..., kept], covariance
    )
    if reported.width_rows:
        widths = width_distributions(reported, draws, rounding=data["reported rounding"])
        covariance = widths.covariance + np.diag(data["width rounding"])
        total = total + _normal_log_density(data["reported widths"] - widths.mean, covariance)
    return total


def _normal_log_density(residual: Array, covariance: Array) -> Array:
    """Return the log density of multivariate normal distributions."""
    distance = (residual * np.linalg.solve(covariance, residual[..., None])[..., 0]).sum(-1)
    log_det = np.linalg.slogdet(covariance)[1]
    return np.asarray(-0.5 * (distance + log_det + residual.shape[-1] * np.log(2 * np.pi)))


def width_distributions(
    reported: ReportedEstimates,
    draws: xr.Dataset,
    points: Array | None = None,
    rounding: Array | None = None,
) -> Widths:
    """Return the distribution of the widths given the points, draw by draw.

    Parameters
    ----------
    reported
        The reported estimates.
    draws
        Draws of a prior or posterior, dims (chain, draw, …).
    points
        Values of the points, shape (…, point); by default the reported ones.
    rounding
        Variances of the rows due to rounding, shape (row,); by default those of the reported digits.

    Returns
    -------
    Widths
        Shapes (chain, draw, width) and (chain, draw, width, width).
    """
    risk = as_seen(draws, CONDITIONAL if CONDITIONAL in draws else "risk")
    log_odds = logit(risk.sel(arm=list(reported.study.present)).values)
    shape = log_odds.shape[:2]
    parameters = (
        draws[name].values if name in draws else None for name in ("sigma", "loss", "size")
    )
    shift = draws["shift_sd"].values if "shift_sd" in draws else np.zeros(shape)
    seen = reported.values[reported.points] if points is None else points
    values = np.broadcast_to(seen, (*shape, len(reported.points)))
    by_draw = [
        None if array is None else array.reshape(-1, *array.shape[2:])
        for array in (log_odds, *parameters, shift, values)
    ]
    at = reported.rounding if rounding is None else rounding
    parts = _of_draws(reported.study)(*by_draw, at)
    return Widths(*(np.asarray(part).reshape(*shape, *part.shape[1:]) for part in parts))


@lru_cache(maxsize=8)
def _of_draws(study: Study) -> Callable[..., Widths]:
    """Compile `width_distribution` for many draws; in NumPy, draw by draw, it takes a hundred times longer."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)  # as PyTensor does once it compiles to JAX
    reported = estimates_of(study)
    assert reported is not None  # noqa: S101 - for the type checker

    def of_draw(*at: Any) -> Widths:
        return width_distribution(jnp, reported, *at)

    compiled: Callable[..., Widths] = jax.jit(jax.vmap(of_draw, (0, 0, 0, 0, 0, 0, None)))
    return compiled


def predict_fold(
    reported: ReportedEstimates, fold: Fold, draws: xr.Dataset, rng: np.random.Generator
) -> list[FoldPrediction]:
    """Predict a reported estimate, and its width, from draws of a fit without it.

    Parameters
    ----------
    reported
        The reported estimates.
    fold
        The fold that is left out.
    draws
        Draws of a fit without the fold.
    rng
        Random number generator.

    Returns
    -------
    list of FoldPrediction
        Predictions of the estimate and of its standard error.
    """
    flat = draws.stack(sample=("chain", "draw")).transpose("sample", ...)
    at = reported.names.index(fold.name)
    row, _ = row_left_out(reported, at)
    # The width is drawn first.
    predictions = []
    if at in reported.width_rows:
        predictions = [_of_width(reported, fold, draws, rng)]
    if row is not None:
        predictions.insert(0, _of_number(reported, at, row, flat, rng))
    return [replace(p, left_out_with=fold.left_out_with) for p in predictions]


def _of_number(
    reported: ReportedEstimates, at: int, row: int, flat: xr.Dataset, rng: np.random.Generator
) -> FoldPrediction:
    """Predict a number from the joint distribution of the remaining rows."""
    name, value = reported.names[at], float(reported.values[at])
    others = [i for i in reported.points if i != row]
    covariance = flat["reported_covariance"].values - np.diag(reported.rounding)
    centre, sd = conditional(flat["reported_mean"].values, covariance, at, others, reported)
    drawn = rng.normal(centre, sd)
    if at >= len(reported.reported_estimates):
        total = reported.totals[at - len(reported.reported_estimates)].n
        return summarise_prediction(name, EVENTS, f"{value:.0f} of {total}", value, drawn)
    estimate = reported.reported_estimates[at]
    shown = estimate.value.value
    if not estimate.has_interval:
        p = predicted(estimate, value, centre, sd, rng)
        ends = (p.lower, np.nan, p.median, np.nan, p.upper, p.tail)
        return FoldPrediction(name, P_VALUE, estimate.as_reported, shown, *ends)
    statistic = statistic_of(estimate.kind)
    back = statistic.link.back(drawn)
    return summarise_prediction(name, statistic.words, str(estimate.value), shown, back)


def _of_width(
    reported: ReportedEstimates, fold: Fold, draws: xr.Dataset, rng: np.random.Generator
) -> FoldPrediction:
    """Predict a standard error given the remaining numbers."""
    at = reported.names.index(fold.name)
    data = fold.left_out(reported.data)
    widths = width_distributions(reported, draws, rounding=data["reported rounding"])
    place, estimate = reported.width_rows.index(at), reported.reported_estimates[at]
    others = [i for i in range(len(reported.width_rows)) if i != place]
    known = widths.covariance[..., others, :][..., others]
    known = known + np.diag(data["width rounding"][others])
    across = widths.covariance[..., place, others]
    weights = np.linalg.solve(known, across[..., None])[..., 0]
    residual = data["reported widths"][others] - widths.mean[..., others]
    centre = widths.mean[..., place] + (weights * residual).sum(-1)
    variance = widths.covariance[..., place, place] - (weights * across).sum(-1)
    drawn = np.exp(rng.normal(centre, np.sqrt(variance))).ravel()
    value = float(np.exp(data["reported widths"][place]))
    shown = f"{value:.3f} ({estimate.as_reported})"
    if estimate.ci is not None:
        shown = f"{value:.3f} ({estimate.ci[0]} to {estimate.ci[1]})"
    return summarise_prediction(estimate.id, WIDTH, shown, value, drawn)
