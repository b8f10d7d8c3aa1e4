"""The joint sampling distribution of reported estimates, p-values and totals of one cohort.

All of them are functions of the same unreported counts, so their errors are correlated; the lever
(`cotreat.evidence.logistic_operator.Law`) is the derivative in the counts. No PyMC here: the functions
take their array library as an argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cotreat.evidence.logistic_operator import Averages, Law, averages
from cotreat.evidence.reported import ReportedEstimates, standard_error

Array = Any

WIDTH_ERROR = 0.05
"""SD of the log of a reported standard error about that of the regression on arms."""


class Joint(NamedTuple):
    """The joint sampling distribution of the reported estimates given the arms.

    Attributes
    ----------
    mean, covariance : shape (row,), (row, row)
        Of estimates on the scale of their link, normal deviates of p-values, and events.
    ratios : shape (estimate,)
        Expected estimates on the scale of their link.
    width, width_sd : shape (odds ratio,)
        Expected log of the reported standard errors, and its SD; empty where sizes are not known.
    """

    mean: Array
    covariance: Array
    ratios: Array
    width: Array
    width_sd: Array


@dataclass(frozen=True)
class _Rows:
    """All reported estimates on the scale of their joint distribution: shape (row,) or (row, arm)."""

    mean: Array
    lever: Array
    scale: Array


def joint_distribution(
    xp: ModuleType,
    numbers: ReportedEstimates,
    log_odds: Array,
    sigma: Array | None,
    loss: Array | None,
    n: Array,
    shift_sd: float,
) -> Joint:
    """Return the multivariate normal distribution of all reported estimates of a cohort.

    Parameters
    ----------
    log_odds
        Conditional log-odds by arm of ``study.present``, shape (arm,).
    sigma
        SD of the latent prognostic score; None without adjustment.
    loss
        Precision loss: adjusted standard errors are multiplied by 1 + loss; None without adjustment.
    n
        Patients by arm, or shares of them without totals, shape (arm,).
    shift_sd
        SD of the shift of a regression with its own covariates, integrated out.

    Notes
    -----
    The variance of the events in an arm has two parts: within values of the prognostic score, n E q(1 − q),
    which affects every estimate, and between them, n (p(1 − p) − E q(1 − q)), which does not affect adjusted
    ones. Precision loss is independent of the crude estimates, because the difference of any estimate from an
    efficient one is independent of the latter. The events of counted arms are known.
    """
    arms = averages(xp, log_odds, sigma)
    law = numbers.regressions.law(xp, log_odds, sigma, n)
    if not numbers.sizes.are_known:
        variance = np.diag([standard_error(estimate) ** 2 for estimate in numbers.odds_ratios])
        variance = variance + shift_sd**2 * (numbers.shifted @ numbers.shifted.T)
        return Joint(law.mean, variance, law.mean, np.zeros(0), np.zeros(0))
    own = np.array([float(estimate.adjusted) for estimate in numbers.reported_estimates])
    kappa = 1.0 if loss is None else 1 + loss
    log_error = 0.5 * xp.log(law.variance) + own * xp.log(kappa)
    rows = _rows(xp, numbers, law, log_error, n, arms)
    mean, covariance = _counted_known(numbers, rows, n, arms, kappa)
    shifts = np.pad(numbers.shifted, ((0, len(numbers.totals)), (0, 0)))
    covariance = covariance + shift_sd**2 * (shifts @ shifts.T) * rows.scale[:, None] * rows.scale
    count = len(numbers.odds_ratios)
    noise = n * arms.risk * (1 - arms.risk)
    width_sd = xp.sqrt(WIDTH_ERROR**2 + (law.drift[:count] ** 2 * noise).sum(1))
    return Joint(mean, covariance, law.mean, log_error[:count], width_sd)


def _rows(
    xp: ModuleType,
    numbers: ReportedEstimates,
    law: Law,
    log_error: Array,
    n: Array,
    arms: Averages,
) -> _Rows:
    """Return the rows: estimates, deviates of p-values, events of totals.

    The derivative of a deviate b/SE is lever/SE − z · drift.
    """
    at, more = len(numbers.odds_ratios), len(numbers.totals)
    scale = xp.concatenate([np.ones(at), xp.exp(-log_error[at:]), np.ones(more)])
    means = xp.concatenate([law.mean, numbers.within @ (n * arms.risk)]) * scale
    levers = xp.concatenate([law.lever, numbers.within]) * scale[:, None]
    moving = xp.concatenate([0 * law.drift[:at], law.drift[at:], np.zeros(numbers.within.shape)])
    return _Rows(means, levers - means[:, None] * moving, scale)


def _counted_known(
    numbers: ReportedEstimates, rows: _Rows, n: Array, arms: Averages, kappa: Array
) -> tuple[Array, Array]:
    """Return mean and covariance of the rows given the counts of the counted arms."""
    study = numbers.study
    adjusted = np.array(
        [float(c.adjusted) for c in numbers.reported_estimates] + [0.0] * len(numbers.totals)
    )
    crude_lever = rows.lever * (1 - adjusted)[:, None]
    adjusted_lever = rows.lever * adjusted[:, None]
    total = n * arms.risk * (1 - arms.risk)
    within = n * arms.weight
    part = within / total
    known = np.array([float(label in study.counted) for label in study.present])
    events = np.zeros(len(known))
    events[known > 0] = study.events
    residual = known * (events - n * arms.risk)
    mean = rows.mean + crude_lever @ residual + adjusted_lever @ (part * residual)
    covariance = (
        (rows.lever * (within * (1 - known))) @ rows.lever.T
        + (crude_lever * ((total - within) * (1 - known))) @ crude_lever.T
        + (adjusted_lever * (within * (kappa**2 - 1 + known * (1 - part)))) @ adjusted_lever.T
    )
    return mean, covariance


STEP = 1e-20


def jacobian(
    numbers: ReportedEstimates,
    log_odds: NDArray[np.float64],
    sigma: float | None,
    n: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Differentiate estimates and expected events in the log-odds and in the free directions of the sizes.

    Returns
    -------
    ndarray
        Rows in the order of `names`, then the contrasts that are not reported, shape (row, arm + way), with the
        directions of ``numbers.sizes.ways``.
    """
    arms = averages(np, log_odds, sigma)
    laws = (numbers.regressions, numbers.regressions_inferred)
    levers = [one.law(np, log_odds, sigma, n).lever for one in laws]
    in_odds = np.vstack([levers[0], numbers.within, levers[1]]) * (n * arms.weight)
    ways = numbers.sizes.ways
    # By the complex step, which is exact: sets are mixtures of arms, so estimates depend on the sizes.
    moved = [_means(numbers, log_odds, sigma, n + 1j * STEP * way).imag / STEP for way in ways.T]
    in_sizes = np.array(moved).reshape(len(moved), len(in_odds)).T
    return np.hstack([in_odds, in_sizes])


def _means(
    numbers: ReportedEstimates, log_odds: NDArray[np.float64], sigma: float | None, n: NDArray[Any]
) -> NDArray[Any]:
    """Return estimates and expected events, reported or not, at complex sizes, shape (row,)."""
    risk = averages(np, log_odds, sigma).risk
    laws = (numbers.regressions, numbers.regressions_inferred)
    means = [one.law(np, log_odds, sigma, n).mean for one in laws]
    return np.concatenate([means[0], numbers.within @ (n * risk), means[1]])
