"""Leave-one-out cross-validation of reported estimates: folds, log densities, predictions.

Where estimates are linearly dependent, another one is left out with each, so that the rest does not
determine it. Leaving out is a rounding variance so large that the row has no information. No PyMC here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cotreat.evidence.folds import (
    EVENTS,
    P_VALUE,
    WIDTH,
    Fold,
    FoldPrediction,
    Folds,
    summarise_prediction,
)
from cotreat.evidence.reported import ReportedEstimates, standard_error
from cotreat.evidence.reported_predictive import conditional, predicted
from cotreat.evidence.statistics import statistic_of
from cotreat.study.study import ReportedEstimate

if TYPE_CHECKING:
    import xarray as xr

UNREAD = 1e8
"""Rounding variance of an estimate that is left out, in units of its scale."""


def folds_of(reported: ReportedEstimates) -> Iterator[Fold]:
    """Yield a fold per reported estimate with its width.

    Parameters
    ----------
    reported
        The reported estimates.

    Yields
    ------
    Fold
        The fold, which changes rounding variances in the data.
    """
    count = len(reported.reported_estimates)
    for at, name in enumerate(reported.names):
        changes: list[tuple[str, int, float]] = []
        left_out_with: tuple[str, ...] = ()
        row, constant = _row_left_out(reported, at)
        if row is not None:
            # The scale of a total is its patients, that of links and deviates is 1.
            scale = float(reported.totals[row - count].n) if row >= count else 1.0
            changes.append(("printed rounding", row, UNREAD * scale))
            estimate = reported.reported_estimates[row] if row < count else None
            constant += _log_unread(estimate, scale)
            left_out_with = tuple(
                other
                for i, other in enumerate(reported.names)
                if i != at and (i == row or row in reported.follows_from(i))
            )
        if at < len(reported.with_interval) and reported.sizes.are_known:
            changes.append(("width rounding", at, UNREAD))
            constant += _log_unread(None, 1.0)
        if changes:
            yield Fold(name, tuple(changes), constant, left_out_with=left_out_with)


def _row_left_out(reported: ReportedEstimates, at: int) -> tuple[int | None, float]:
    """Return the row that is left out for a number, and the log Jacobian between the two.

    For a dependent number the row with the largest rounding error among those that determine it is left
    out. A p-value that is determined by an estimate has no information and no fold.
    """
    if at in reported.kept:
        return at, 0.0
    weights = reported.follows_from(at)
    is_p_value = len(reported.with_interval) <= at < len(reported.reported_estimates)
    if is_p_value or not weights:
        return None, 0.0
    row = max(weights, key=reported.looseness)
    return row, -float(np.log(abs(weights[row])))


def _log_unread(estimate: ReportedEstimate | None, scale: float) -> float:
    """Return the log density of a number under the rounding variance that leaves it out."""
    flat = -0.5 * float(np.log(2 * np.pi * UNREAD * scale))
    if estimate is None or estimate.has_interval:
        return flat
    if estimate.is_below:  # half of all deviates lie on its side, or nearly all beyond it on either
        return float(np.log(0.5)) if estimate.sign else 0.0
    return flat if estimate.sign else flat + float(np.log(2))


def densities(
    reported: ReportedEstimates, posterior: xr.Dataset, folds: Folds
) -> NDArray[np.float64]:
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
    The conditional normal of one row of the joint distribution given all others (Bürkner, Gabry & Vehtari,
    Comput Stat 2021;36:1243), plus the log density of its width.
    """
    kept = reported.kept
    mean = posterior["claim_mean"].values[..., kept]
    covariance = posterior["claim_covariance"].values[..., kept, :][..., kept]
    precision = np.linalg.inv(covariance)
    weighted = (precision @ (reported.values[kept] - mean)[..., None])[..., 0]
    inverse = np.diagonal(precision, axis1=-2, axis2=-1)
    of_rows = 0.5 * (np.log(inverse / (2 * np.pi)) - weighted**2 / inverse)
    logs = np.zeros((*mean.shape[:2], len(reported.names)))
    for at in range(len(reported.names)):
        row, log_jacobian = _row_left_out(reported, at)
        if row is not None:
            logs[..., at] = of_rows[..., kept.index(row)] + log_jacobian
    if "width_mean" in posterior:
        sd = posterior["width_sd"].values
        off = (reported.data["printed widths"] - posterior["width_mean"].values) / sd
        logs[..., : sd.shape[-1]] += -0.5 * (off**2 + np.log(2 * np.pi * sd**2))
    return logs[..., [reported.names.index(name) for name in folds.names]]


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
    row, _ = _row_left_out(reported, at)
    # The width is drawn first.
    predictions = [_of_width(reported, at, flat, rng)] if at < len(reported.with_interval) else []
    if row is not None:
        predictions.insert(0, _of_number(reported, at, row, flat, rng))
    return [replace(p, left_out_with=fold.left_out_with) for p in predictions if p is not None]


def _of_number(
    reported: ReportedEstimates, at: int, row: int, flat: xr.Dataset, rng: np.random.Generator
) -> FoldPrediction:
    """Predict a number from the joint distribution of the remaining rows."""
    name, value = reported.names[at], float(reported.values[at])
    others = [i for i in reported.points if i != row]
    covariance = flat["claim_covariance"].values - np.diag(reported.rounding)
    centre, sd = conditional(flat["claim_mean"].values, covariance, at, others, reported)
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
    reported: ReportedEstimates, at: int, flat: xr.Dataset, rng: np.random.Generator
) -> FoldPrediction | None:
    """Predict the width of an estimate; None where the sizes are not known."""
    if "width_mean" not in flat:
        return None
    estimate = reported.with_interval[at]
    mean, sd = (flat[name].isel(odds_ratio=at).values for name in ("width_mean", "width_sd"))
    value = standard_error(estimate)
    assert estimate.ci is not None  # noqa: S101 - for the type checker
    interval = f"{value:.3f} ({estimate.ci[0]}–{estimate.ci[1]})"
    widths = np.exp(rng.normal(mean, sd))
    return summarise_prediction(estimate.id, WIDTH, interval, value, widths)
