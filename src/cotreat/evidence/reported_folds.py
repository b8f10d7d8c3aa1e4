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
from cotreat.evidence.reported_data import data, observed
from cotreat.evidence.reported_predictive import conditional, predicted
from cotreat.evidence.statistics import statistic_of
from cotreat.study.study import ReportedEstimate

if TYPE_CHECKING:
    import xarray as xr

UNREAD = 1e8
"""Rounding variance of an estimate that is left out, in units of its scale."""


def folds_of(numbers: ReportedEstimates) -> Iterator[Fold]:
    """Yield a fold per reported estimate with its width."""
    for at, name in enumerate(numbers.names):
        changes: list[tuple[str, int, float]] = []
        point, constant = _point_of(numbers, at)
        if point is not None:
            scale = _scale(numbers, point)
            changes.append(("printed rounding", point, UNREAD * scale))
            own = (
                numbers.reported_estimates[point]
                if point < len(numbers.reported_estimates)
                else None
            )
            constant += _log_unread(own, scale)
        if at < len(numbers.odds_ratios) and numbers.sizes.are_known:
            changes.append(("width rounding", at, UNREAD))
            constant += _log_unread(None, 1.0)
        if changes:
            yield Fold(name, tuple(changes), constant, beside=_beside(numbers, at, point))


def _point_of(numbers: ReportedEstimates, at: int) -> tuple[int | None, float]:
    """Return the row that is left out for a number, and the log Jacobian between the two.

    For a dependent number the row with the largest rounding error among those that determine it is left
    out. A p-value that is determined by an estimate has no information and no fold.
    """
    if at in numbers.kept:
        return at, 0.0
    weights = numbers.follows_from(at)
    is_p_value = len(numbers.odds_ratios) <= at < len(numbers.reported_estimates)
    if is_p_value or not weights:
        return None, 0.0
    point = max(weights, key=numbers.looseness)
    return point, -float(np.log(abs(weights[point])))


def _beside(numbers: ReportedEstimates, at: int, point: int | None) -> tuple[str, ...]:
    """Return the names of the other numbers that are left out with a row."""
    if point is None:
        return ()
    rows = range(len(numbers.names))
    unused = [row for row in rows if row == point or point in numbers.follows_from(row)]
    return tuple(numbers.names[row] for row in unused if row != at)


def _scale(numbers: ReportedEstimates, at: int) -> float:
    """Return the scale of a row: the patients of a total, 1 for links and deviates."""
    more = at - len(numbers.reported_estimates)
    return float(numbers.totals[more].n) if more >= 0 else 1.0


def _log_unread(estimate: ReportedEstimate | None, scale: float) -> float:
    """Return the log density of a number under the rounding variance that leaves it out."""
    flat = -0.5 * float(np.log(2 * np.pi * UNREAD * scale))
    if estimate is None or estimate.has_interval:
        return flat
    if estimate.is_below:  # half of all deviates lie on its side, or nearly all beyond it on either
        return float(np.log(0.5)) if estimate.sign else 0.0
    return flat if estimate.sign else flat + float(np.log(2))


def densities(
    numbers: ReportedEstimates, posterior: xr.Dataset, folds: Folds
) -> NDArray[np.float64]:
    """Return the log density of each fold given the parameters and the other folds, draw by draw.

    Returns
    -------
    ndarray, shape (chain, draw, fold)

    Notes
    -----
    The conditional normal of one row of the joint distribution given all others (Bürkner, Gabry & Vehtari,
    Comput Stat 2021;36:1243), plus the log density of its width.
    """
    kept, data = numbers.kept, observed(numbers)
    mean = posterior["claim_mean"].values[..., kept]
    covariance = posterior["claim_covariance"].values[..., kept, :][..., kept]
    precision = np.linalg.inv(covariance)
    pull = (precision @ (data.values[kept] - mean)[..., None])[..., 0]
    inverse = np.diagonal(precision, axis1=-2, axis2=-1)
    of_rows = 0.5 * (np.log(inverse / (2 * np.pi)) - pull**2 / inverse)
    logs = np.zeros((*mean.shape[:2], len(numbers.names)))
    for at in range(len(numbers.names)):
        point, more = _point_of(numbers, at)
        if point is not None:
            logs[..., at] = of_rows[..., kept.index(point)] + more
    logs[..., : len(numbers.odds_ratios)] += _of_widths(numbers, posterior)
    return logs[..., [numbers.names.index(name) for name in folds.names]]


def _of_widths(numbers: ReportedEstimates, posterior: xr.Dataset) -> NDArray[np.float64]:
    """Return the log density of each reported width; 0 without arm sizes."""
    if "width_mean" not in posterior:
        shape = posterior["claim_mean"].shape[:2]
        return np.zeros((*shape, len(numbers.odds_ratios)))
    sd = posterior["width_sd"].values
    off = (data(numbers)["printed widths"] - posterior["width_mean"].values) / sd
    logs: NDArray[np.float64] = -0.5 * (off**2 + np.log(2 * np.pi * sd**2))
    return logs


def _of_number(
    numbers: ReportedEstimates,
    at: int,
    point: int,
    flat: xr.Dataset,
    rng: np.random.Generator,
) -> FoldPrediction:
    """Predict a number from the joint distribution of the remaining rows."""
    name, data = numbers.names[at], observed(numbers)
    points = [i for i in numbers.kept if i != point and not data.is_tail[i]]
    covariance = flat["claim_covariance"].values - np.diag(data.rounding)
    mean = flat["claim_mean"].values
    centre, sd = conditional(mean, covariance, at, points, data)
    value, drawn = float(data.values[at]), rng.normal(centre, sd)
    if at < len(numbers.odds_ratios):
        estimate = numbers.reported_estimates[at]
        statistic, shown = statistic_of(estimate.kind), estimate.value
        again = statistic.link.back(drawn)
        return summarise_prediction(name, statistic.words, str(shown), shown.value, again)
    if at < len(numbers.reported_estimates):
        return _of_p_value(numbers.reported_estimates[at], value, centre, sd, rng)
    total = numbers.totals[at - len(numbers.reported_estimates)].n
    return summarise_prediction(name, EVENTS, f"{value:.0f} of {total}", value, drawn)


def _of_width(
    numbers: ReportedEstimates, at: int, flat: xr.Dataset, rng: np.random.Generator
) -> FoldPrediction | None:
    """Predict the width of an estimate; None without a width."""
    if at >= len(numbers.odds_ratios) or "width_mean" not in flat:
        return None
    estimate = numbers.odds_ratios[at]
    sd = flat["width_sd"].isel(odds_ratio=at).values
    widths = np.exp(rng.normal(flat["width_mean"].isel(odds_ratio=at).values, sd))
    value = standard_error(estimate)
    assert estimate.ci is not None  # noqa: S101 - for the type checker
    interval = f"{value:.3f} ({estimate.ci[0]}–{estimate.ci[1]})"
    return summarise_prediction(estimate.id, WIDTH, interval, value, widths)


def _of_p_value(
    estimate: ReportedEstimate,
    value: float,
    centre: NDArray[np.float64],
    sd: NDArray[np.float64],
    rng: np.random.Generator,
) -> FoldPrediction:
    one, shown, none = predicted(estimate, value, centre, sd, rng), estimate.value.value, np.nan
    return FoldPrediction(
        estimate.id,
        P_VALUE,
        estimate.as_reported,
        shown,
        one.lower,
        none,
        one.median,
        none,
        one.upper,
        one.tail,
    )


def predict_fold(
    numbers: ReportedEstimates, fold: Fold, draws: xr.Dataset, rng: np.random.Generator
) -> list[FoldPrediction]:
    """Predict a reported estimate, and its width, from draws of a fit without it."""
    flat = draws.stack(sample=("chain", "draw")).transpose("sample", ...)
    at = numbers.names.index(fold.name)
    found = [_of_width(numbers, at, flat, rng)]
    point, _ = _point_of(numbers, at)
    if point is not None:
        found.insert(0, _of_number(numbers, at, point, flat, rng))
    return [replace(one, beside=fold.beside) for one in found if one is not None]
