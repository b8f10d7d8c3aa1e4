"""Joint predictive tail of the numbers that an interpretation adds to those common to all interpretations.

The numbers are predicted by a mixture over posterior draws of a fit to the common numbers alone, so that every
interpretation is judged by the same fit (Box, J R Stat Soc A 1980;143:383).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit, ndtr

from cotreat.core.constants import CONDITIONAL, as_seen
from cotreat.evidence.joint_distribution import joint_distribution
from cotreat.evidence.reported import Dependence, ReportedEstimates, estimates_of, z_value
from cotreat.evidence.reported_predictive import Prediction, predicted
from cotreat.study.study import Interpretation, ReportedEstimate, Study

if TYPE_CHECKING:
    import xarray as xr

    from cotreat.priors.prior import PriorSet

Array = NDArray[np.float64]

COMMON = "common-numbers"
"""Id of the interpretation under which only the common numbers are evidence."""
COMPONENTS, REPLICATES = 1000, 8
"""Largest number of draws in the mixture, and replicates per draw."""
LEAST = 1e-300


def common_study(study: Study) -> Study:
    """Return a study with the numbers alone that have one meaning under all interpretations.

    Parameters
    ----------
    study
        With its interpretations.

    Returns
    -------
    Study
        Under one interpretation, `COMMON`; the other numbers are not used.
    """
    first, *others = study.interpretations
    meanings = [{e.id: e.meaning for e in one.reported_estimates} for one in others]
    estimates = tuple(
        estimate
        if all(by_id[estimate.id] == estimate.meaning for by_id in meanings)
        else replace(estimate, meaning=None, about="not the same under every interpretation")
        for estimate in first.reported_estimates
    )
    words = "Only the numbers that have one meaning under every interpretation."
    one = Interpretation(COMMON, words, estimates)
    return replace(study, interpretations=(one,), interpretation=COMMON)


@dataclass(frozen=True)
class Added:
    """Rows that an interpretation adds, given the common rows, draw by draw.

    Attributes
    ----------
    estimates : tuple of ReportedEstimate
        Points first, then p-values that are reported as "<".
    values : ndarray, shape (row,)
        Reported values on the scale of the link; deviates of p-values.
    mean, covariance : ndarray, shapes (draw, row) and (draw, row, row)
        Of the normal distributions.
    """

    estimates: tuple[ReportedEstimate, ...]
    values: Array
    mean: Array
    covariance: Array

    @property
    def points(self) -> int:
        """Number of rows that are points."""
        return sum(not estimate.is_below for estimate in self.estimates)


def joint_tail(study: Study, priors: PriorSet, draws: xr.Dataset, seed: int) -> float:
    """Return the joint predictive tail of what an interpretation adds to the common numbers.

    Parameters
    ----------
    study
        Under the interpretation.
    priors
        Prior set of the fit.
    draws
        Posterior of the model given the common numbers alone (`common_study`).
    seed
        Seed of the replicates.

    Returns
    -------
    float
        P(p(y_rep) ≤ p(y)), with p the mixture density over the draws; 0 where a number that it adds differs from its
        value calculated from others by more than rounding; NaN where it adds no number, or none that the common
        ones do not determine.

    Notes
    -----
    A p-value that is reported as "<" is a range of deviates: in place of a density it has the probability of that
    range, given the points; several are taken as independent given points and parameters. Widths of intervals
    are not predicted.
    """
    if _contradictions(study):
        return 0.0
    added = added_rows(study, priors, draws)
    if added is None:
        return float("nan")
    rng = np.random.default_rng(seed)
    chol = np.linalg.cholesky(added.covariance)
    normals = rng.normal(size=(REPLICATES, *added.mean.shape))
    replicated = (added.mean + (chol @ normals[..., None])[..., 0]).reshape(-1, added.mean.shape[1])
    densities = log_density(added, np.vstack([added.values, replicated]), is_observed=True)
    return float(np.mean(densities[1:] <= densities[0]))


def added_rows(study: Study, priors: PriorSet, draws: xr.Dataset) -> Added | None:
    """Return the distribution of the rows that an interpretation adds; None where it adds none.

    Parameters
    ----------
    study
        Under the interpretation.
    priors
        Prior set of the fit.
    draws
        Posterior given the common numbers.

    Returns
    -------
    Added or None
    """
    reported = estimates_of(study)
    if reported is None:
        return None
    rows = reported.reported_estimates
    common = _common_ids(study)
    is_new = [estimate.id not in common for estimate in rows]
    new = [at for at, new in enumerate(is_new) if new]
    known = [at for at in range(len(reported.names)) if at not in new and not reported.is_tail[at]]
    kept = reported.split([*known, *new])[0]
    known = [at for at in kept if at in known]
    new = sorted((at for at in kept if at in new), key=lambda at: rows[at].is_below)
    if not new:
        return None
    mean, covariance = _distribution(reported, priors, draws)
    covariance = covariance + np.diag(reported.rounding)
    across = covariance[:, new][:, :, known]
    weights = np.linalg.solve(covariance[:, known][:, :, known], np.swapaxes(across, 1, 2))
    off = reported.values[known] - mean[:, known]
    centre = mean[:, new] + np.einsum("dkn,dk->dn", weights, off)
    rest = covariance[:, new][:, :, new] - across @ weights
    return Added(tuple(rows[at] for at in new), reported.values[new], centre, rest)


def _common_ids(study: Study) -> set[str]:
    """Return the ids of the numbers that are evidence under every interpretation with one meaning."""
    return {e.id for e in common_study(study).reported_estimates if e.meaning is not None}


def _contradictions(study: Study) -> tuple[Dependence, ...]:
    """Return what follows from other numbers, one of them added, and differs by more than rounding."""
    reported = estimates_of(study)
    if reported is None:
        return ()
    new = {estimate.id for estimate in reported.reported_estimates} - _common_ids(study)
    return tuple(
        one for one in reported.dependences if one.agrees is False and new & {one.name, *one.others}
    )


def predictions_of(
    study: Study, priors: PriorSet, draws: xr.Dataset, seed: int
) -> tuple[Prediction, ...]:
    """Predict each number that an interpretation adds.

    Parameters
    ----------
    study
        Under the interpretation.
    priors
        Prior set of the fit.
    draws
        Posterior given the common numbers.
    seed
        Seed of the predictions.

    Returns
    -------
    tuple of Prediction
        Numbers that follow from others only where they differ from them by more than rounding.
    """
    by_id = {estimate.id: estimate for estimate in study.reported_estimates}
    contradicted = tuple(
        Prediction(
            one.name, by_id[one.name].as_reported, one.implied, one.implied, one.implied, tail=0.0
        )
        for one in _contradictions(study)
        if one.name in by_id
    )
    added, rng = added_rows(study, priors, draws), np.random.default_rng(seed)
    if added is None:
        return contradicted
    sds = np.sqrt(np.diagonal(added.covariance, axis1=1, axis2=2))
    return contradicted + tuple(
        predicted(estimate, float(value), mean, sd, rng)
        for estimate, value, mean, sd in zip(
            added.estimates, added.values, added.mean.T, sds.T, strict=True
        )
    )


def _distribution(
    reported: ReportedEstimates, priors: PriorSet, draws: xr.Dataset
) -> tuple[Array, Array]:
    """Return mean and covariance of all rows at evenly spaced draws."""
    flat = draws.stack(sample=("chain", "draw")).transpose("sample", ...)
    step = max(1, flat.sizes["sample"] // COMPONENTS)
    flat = flat.isel(sample=slice(None, None, step))
    risk = as_seen(flat, CONDITIONAL if CONDITIONAL in flat else "risk")
    log_odds = logit(risk.sel(arm=list(reported.study.present)).values)
    shift = priors["shift"].numbers()["sigma"] if reported.shifted.size else 0.0
    none = [None] * len(log_odds)
    sigma, loss = (flat[name].values if name in flat else none for name in ("sigma", "loss"))
    joint = [
        joint_distribution(np, reported, *at, shift)
        for at in zip(log_odds, sigma, loss, flat["size"].values, strict=True)
    ]
    return np.array([one.mean for one in joint]), np.array([one.covariance for one in joint])


def log_density(added: Added, values: Array, *, is_observed: bool = False) -> Array:
    """Return the log of the mixture density of points, times the probability of ranges.

    Parameters
    ----------
    added
        Rows and their distributions.
    values
        Values of the rows, shape (set, row).
    is_observed
        Whether the first set is the reported one, whose p-values with "<" lie in their range.

    Returns
    -------
    ndarray, shape (set,)
    """
    count = added.points
    free = [at for at, e in enumerate(added.estimates[:count]) if not (e.has_interval or e.sign)]
    inside = np.array(
        [_in_range(e, values[:, count + at]) for at, e in enumerate(added.estimates[count:])]
    )
    if is_observed and len(inside):
        inside[:, 0] = True
    total = np.full(len(values), -np.inf)
    for signs in product((1.0, -1.0), repeat=len(free)):
        points = values[:, :count].copy()
        points[:, free] *= np.array(signs)
        for mean, covariance in zip(added.mean, added.covariance, strict=True):
            log = _one(added.estimates[count:], mean, covariance, points, inside)
            total = np.logaddexp(total, log)
    return total - np.log(len(added.mean))


def _in_range(estimate: ReportedEstimate, deviates: Array) -> NDArray[np.bool_]:
    """Return whether deviates lie in the range of a p-value with "<"."""
    z = z_value(estimate.value.value)
    upper, lower = deviates >= z, deviates <= -z
    return {"+": upper, "-": lower}.get(estimate.sign, upper | lower)


def _one(
    ranges: tuple[ReportedEstimate, ...], mean: Array, covariance: Array, points: Array, inside: Any
) -> Array:
    """Return the log density of points and probability of ranges in one component."""
    count = points.shape[1]
    residual = points - mean[:count]
    log = np.zeros(len(points))
    weights = np.zeros((count, len(ranges)))
    if count:
        inner = covariance[:count, :count]
        solved = np.linalg.solve(inner, residual.T).T
        log_det = np.linalg.slogdet(2 * np.pi * inner)[1]
        log = -0.5 * ((residual * solved).sum(1) + log_det)
        weights = np.linalg.solve(inner, covariance[:count, count:])
    for at, estimate in enumerate(ranges):
        centre = mean[count + at] + residual @ weights[:, at]
        variance = (
            covariance[count + at, count + at] - covariance[count + at, :count] @ weights[:, at]
        )
        z, sd = z_value(estimate.value.value), np.sqrt(variance)
        upper, lower = ndtr((centre - z) / sd), ndtr((-z - centre) / sd)
        mass = {"+": upper, "-": lower}.get(estimate.sign, upper + lower)
        log = log + np.log(np.maximum(np.where(inside[at], mass, 1 - mass), LEAST))
    return log
