"""The joint sampling distribution of reported estimates, p-values and totals of one cohort.

All of them are functions of the same unreported counts, so their errors are correlated; the lever
(`cotreat.evidence.logistic_operator.Moments`) is the derivative in the counts. No PyMC here: the functions
take their array library as an argument.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cotreat.evidence.logistic_operator import averages
from cotreat.evidence.reported import ReportedEstimates

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


def joint_distribution(
    xp: ModuleType,
    reported: ReportedEstimates,
    log_odds: Array,
    sigma: Array | None,
    loss: Array | None,
    n: Array,
    shift_sd: float,
    variances: Array | None = None,
) -> Joint:
    """Return the multivariate normal distribution of all reported estimates of a cohort.

    Parameters
    ----------
    xp
        Array library: NumPy or JAX.
    reported
        The reported estimates.
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
    variances
        Variances of the groups of arms where no totals are reported, shape (group,); None for central ones.

    Returns
    -------
    Joint
        Mean and covariance of all rows, and the expected standard errors.

    Notes
    -----
    The variance of the events in an arm has two parts: within values of the prognostic score, n E q(1 − q),
    which affects every estimate, and between them, n (p(1 − p) − E q(1 − q)), which does not affect adjusted
    ones. Precision loss is independent of the crude estimates, because the difference of any estimate from an
    efficient one is independent of the latter (Hausman, Econometrica 1978;46:1251). The events of counted arms are known.
    """
    arms = averages(xp, log_odds, sigma)
    moments = reported.regressions.moments(xp, log_odds, sigma, n)
    if not reported.sizes.are_known:
        at = reported.variances.centre if variances is None else variances
        variance = reported.variances.covariance(at) + shift_sd**2 * (
            reported.shifted @ reported.shifted.T
        )
        return Joint(moments.mean, variance, moments.mean, np.zeros(0), np.zeros(0))
    count, totals = len(reported.with_interval), len(reported.totals)
    adjusted = np.array([float(estimate.adjusted) for estimate in reported.reported_estimates])
    kappa = 1.0 if loss is None else 1 + loss
    log_error = 0.5 * xp.log(moments.variance) + adjusted * xp.log(kappa)
    # Rows: estimates, deviates b/SE of p-values, whose derivative is lever/SE − z · drift, events of totals.
    scale = xp.concatenate([np.ones(count), xp.exp(-log_error[count:]), np.ones(totals)])
    mean = xp.concatenate([moments.mean, reported.within @ (n * arms.risk)]) * scale
    lever = xp.concatenate([moments.lever, reported.within]) * scale[:, None]
    no_drift = np.zeros(reported.within.shape)
    drift = xp.concatenate([0 * moments.drift[:count], moments.drift[count:], no_drift])
    lever = lever - mean[:, None] * drift
    # Mean and covariance of the rows given the counts of the counted arms.
    by_row = np.pad(adjusted, (0, totals))
    crude_lever = lever * (1 - by_row)[:, None]
    adjusted_lever = lever * by_row[:, None]
    total = n * arms.risk * (1 - arms.risk)
    within = n * arms.weight
    part = within / total
    counted = np.isin(reported.study.present, reported.study.counted).astype(float)
    events = np.zeros(len(counted))
    events[counted > 0] = reported.study.events
    residual = counted * (events - n * arms.risk)
    mean = mean + crude_lever @ residual + adjusted_lever @ (part * residual)
    covariance = (
        (lever * (within * (1 - counted))) @ lever.T
        + (crude_lever * ((total - within) * (1 - counted))) @ crude_lever.T
        + (adjusted_lever * (within * (kappa**2 - 1 + counted * (1 - part)))) @ adjusted_lever.T
    )
    shifts = np.pad(reported.shifted, ((0, totals), (0, 0)))
    covariance = covariance + shift_sd**2 * (shifts @ shifts.T) * scale[:, None] * scale
    width_sd = xp.sqrt(WIDTH_ERROR**2 + (moments.drift[:count] ** 2 * total).sum(1))
    return Joint(mean, covariance, moments.mean, log_error[:count], width_sd)


STEP = 1e-20


def jacobian(
    reported: ReportedEstimates,
    log_odds: NDArray[np.float64],
    sigma: float | None,
    n: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Differentiate estimates and expected events in the log-odds and in the free directions of the sizes.

    Parameters
    ----------
    reported
        The reported estimates.
    log_odds
        Conditional log-odds by arm, at the centre of the prognostic score, shape (arm,).
    sigma
        SD of the latent prognostic score; None without a score.
    n
        Patients by arm, shape (arm,).

    Returns
    -------
    ndarray
        Rows in the order of `names`, then the contrasts that are not reported, shape (row, arm + way), with the
        directions of ``reported.sizes.ways``.
    """
    both = (reported.regressions, reported.regressions_inferred)

    def stacked(parts: Sequence[NDArray[Any]], totals: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate([parts[0], totals, parts[1]])

    def means(n: NDArray[Any]) -> NDArray[Any]:
        """Return the rows at complex sizes."""
        expected = [regressions.moments(np, log_odds, sigma, n).mean for regressions in both]
        return stacked(expected, reported.within @ (n * arms.risk))

    arms = averages(np, log_odds, sigma)
    levers = [regressions.moments(np, log_odds, sigma, n).lever for regressions in both]
    in_odds = stacked(levers, reported.within) * (n * arms.weight)
    # By the complex step, which is exact: sets are mixtures of arms, so estimates depend on the sizes.
    moved = [means(n + 1j * STEP * way).imag / STEP for way in reported.sizes.ways.T]
    in_sizes = np.array(moved).reshape(len(moved), len(in_odds)).T
    return np.hstack([in_odds, in_sizes])
