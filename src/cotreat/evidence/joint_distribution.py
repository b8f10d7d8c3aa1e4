"""The joint sampling distribution of reported estimates, p-values and totals of one cohort.

All of them are functions of the same unreported counts, so their errors are correlated; the lever
(`cotreat.evidence.logistic_operator.Moments`) is the derivative in the counts. No PyMC here: the functions
take their array library as an argument.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from cotreat.evidence.logistic_operator import Averages, Moments, averages
from cotreat.evidence.reported import ReportedEstimates

Array = Any


class Joint(NamedTuple):
    """The joint sampling distribution of the reported estimates given the arms.

    Attributes
    ----------
    mean, covariance : shape (row,), (row, row)
        Of estimates on the scale of their link, normal deviates of p-values, and events.
    ratios : shape (estimate,)
        Expected estimates on the scale of their link.
    """

    mean: Array
    covariance: Array
    ratios: Array


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
        Mean and covariance of all rows.

    Notes
    -----
    The variance of the events in an arm has two parts: within values of the prognostic score, n E q(1 − q),
    which affects every estimate, and between them, n (p(1 − p) − E q(1 − q)), which does not affect adjusted
    ones. Precision loss is independent of the crude estimates, because the difference of any estimate from an
    efficient one is independent of the latter (Hausman, Econometrica 1978;46:1251). The events of counted arms are known.
    """
    if not reported.sizes.are_known:
        moments = reported.regressions.moments(xp, log_odds, sigma, n)
        at = reported.variances.centre if variances is None else variances
        variance = reported.variances.covariance(at) + shift_sd**2 * (
            reported.shifted @ reported.shifted.T
        )
        return Joint(moments.mean, variance, moments.mean)
    rows = rows_at(xp, reported, log_odds, sigma, loss, n)
    noise = noise_at(xp, reported, log_odds, sigma, loss, n)
    mean = rows.mean + (rows.lever * noise.shares) @ noise.residual
    covariance = noise.covariance(rows.lever, rows.scale, shift_sd)
    return Joint(mean, covariance, rows.moments.mean)


class Rows(NamedTuple):
    """Rows at some log-odds of the arms: means, derivatives in the events, scale, log standard errors."""

    mean: Array
    lever: Array
    scale: Array
    log_error: Array
    moments: Moments
    arms: Averages


def rows_at(
    xp: ModuleType,
    reported: ReportedEstimates,
    log_odds: Array,
    sigma: Array | None,
    loss: Array | None,
    n: Array,
) -> Rows:
    """Evaluate estimates, deviates b/SE of p-values, whose derivative is lever/SE − z · drift, and events of totals.

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
        Precision loss; None without adjustment.
    n
        Patients by arm, shape (arm,).

    Returns
    -------
    Rows
        At these log-odds.
    """
    count, totals = len(reported.with_interval), len(reported.totals)
    arms = averages(xp, log_odds, sigma)
    moments = reported.regressions.moments(xp, log_odds, sigma, n)
    adjusted = np.array([float(estimate.adjusted) for estimate in reported.reported_estimates])
    log_error = 0.5 * xp.log(moments.variance)
    log_error = log_error if loss is None else log_error + adjusted * xp.log(1 + loss)
    scale = xp.concatenate([np.ones(count), xp.exp(-log_error[count:]), np.ones(totals)])
    mean = xp.concatenate([moments.mean, reported.within @ (n * arms.risk)]) * scale
    lever = xp.concatenate([moments.lever, reported.within]) * scale[:, None]
    no_drift = np.zeros(reported.within.shape)
    drift = xp.concatenate([0 * moments.drift[:count], moments.drift[count:], no_drift])
    return Rows(mean, lever - mean[:, None] * drift, scale, log_error, moments, arms)


class Noise(NamedTuple):
    """Noise of the events by arm: variances within values of the score and in all, and what counts determine.

    ``shares`` is the part of an arm's noise that affects a row, shape (row, arm); ``residual`` the counted events
    less their expectation.
    """

    arms: Averages
    within: Array
    total: Array
    is_open: NDArray[np.float64]
    residual: Array
    shares: Array
    adjusted: NDArray[np.float64]
    shifted: NDArray[np.float64]
    kappa: Array

    def covariance(self, lever: Array, scale: Array, shift_sd: float) -> Array:
        """Return the covariance of the rows given the counts of the counted arms.

        Parameters
        ----------
        lever
            Derivatives of the rows in the events, shape (row, arm).
        scale
            Factor of each row, shape (row,).
        shift_sd
            SD of the shift of a regression with its own covariates.

        Returns
        -------
        ndarray, shape (row, row)
        """
        crude, adjusted = (lever * by[:, None] for by in (1 - self.adjusted, self.adjusted))
        of_adjustment = self.kappa**2 - 1 + (1 - self.is_open) * (1 - self.within / self.total)
        return (
            (lever * (self.within * self.is_open)) @ lever.T
            + (crude * ((self.total - self.within) * self.is_open)) @ crude.T
            + (adjusted * (self.within * of_adjustment)) @ adjusted.T
            + shift_sd**2 * (self.shifted @ self.shifted.T) * scale[:, None] * scale
        )


def noise_at(
    xp: ModuleType,
    reported: ReportedEstimates,
    log_odds: Array,
    sigma: Array | None,
    loss: Array | None,
    n: Array,
) -> Noise:
    """Return the noise of the events by arm, and which part of it affects each row.

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
        Precision loss; None without adjustment.
    n
        Patients by arm, shape (arm,).

    Returns
    -------
    Noise
        At these log-odds.
    """
    arms = averages(xp, log_odds, sigma)
    estimates, totals = reported.reported_estimates, len(reported.totals)
    adjusted = np.pad(np.array([float(e.adjusted) for e in estimates]), (0, totals))
    total, within = n * arms.risk * (1 - arms.risk), n * arms.weight
    counted = np.isin(reported.study.present, reported.study.counted)
    events = np.zeros(len(counted))
    events[counted] = reported.study.events
    return Noise(
        arms,
        within,
        total,
        (~counted).astype(float),
        counted * (events - n * arms.risk),
        1 - adjusted[:, None] * (1 - within / total),
        adjusted,
        np.pad(reported.shifted, ((0, totals), (0, 0))),
        1.0 if loss is None else 1 + loss,
    )


def jacobian(
    reported: ReportedEstimates,
    log_odds: NDArray[np.float64],
    sigma: float | None,
    n: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Differentiate estimates, expected events and log standard errors in the log-odds and free sizes.

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
        Rows in the order of `names`, the contrasts that are not reported, and the log standard errors of
        ``reported.width_rows``, shape (row, arm + way), with the directions of ``reported.sizes.ways``.
    """
    ways = reported.sizes.ways
    both = (reported.regressions, reported.regressions_inferred)
    (estimates, errors), (inferred, _) = (p.derivatives(log_odds, sigma, n, ways) for p in both)
    arms = averages(np, log_odds, sigma)
    of_totals = np.hstack([reported.within * n * arms.weight, (reported.within * arms.risk) @ ways])
    return np.concatenate([estimates, of_totals, inferred, errors[reported.width_rows]])
