"""How much of a posterior comes from the data: its overlap with the prior, and the share of its precision."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from cotreat.estimands.estimand import Estimand, RiskDraws

Array = NDArray[np.float64]

PARTS = 20
"""Quantiles of each distribution at whose values the densities are compared."""
STEP = 1e-4
"""Step of log odds by which an estimand is differentiated."""


def overlap(before: Array, after: Array) -> float:
    """Return the overlap of two distributions: the integral of the smaller density.

    Parameters
    ----------
    before, after
        Draws from prior and posterior, of any shapes without missing values.

    Returns
    -------
    float
        0 for distributions without common values, 1 for equal ones; the same for every monotone transformation
        of the values.

    Notes
    -----
    Overlapping coefficient (Inman & Bradley, Commun Stat Theory Methods 1989;18:3851), with histograms between the
    quantiles of both samples.
    """
    grid = np.linspace(0, 1, PARTS + 1)
    edges = np.unique([np.quantile(before, grid), np.quantile(after, grid)])
    if len(edges) < 2:
        return 1.0
    shares = [np.histogram(draws, edges)[0] / draws.size for draws in (before, after)]
    return float(np.minimum(*shares).sum())


class LogOdds:
    """Means and covariances of the log odds of the arms, computed once for many estimands.

    Parameters
    ----------
    risk_draws
        Draws of the risks by arm.
    """

    def __init__(self, risk_draws: RiskDraws) -> None:
        self._risk_draws = risk_draws
        self._moments: dict[Any, tuple[Array, Array]] = {}

    def moments(self, estimand: Estimand) -> tuple[Array, Array]:
        """Return mean and covariance of the log odds of an estimand's arms.

        Parameters
        ----------
        estimand
            The estimand; of a reported coefficient the logarithm stands for the log odds of one arm.

        Returns
        -------
        mean : ndarray, shape (arm,)
        covariance : ndarray, shape (arm, arm)
        """
        variable = estimand.variable_of(self._risk_draws)
        is_ratio = bool(estimand.reported_estimate)
        dim = "reported_estimate" if is_ratio else "arm"
        if variable.name not in self._moments:
            values = np.moveaxis(variable.values, variable.get_axis_num(dim), 0)
            flat = values.reshape(len(values), -1)
            flat = flat if is_ratio else logit(flat)
            self._moments[variable.name] = flat.mean(1), np.atleast_2d(np.cov(flat))
        names = [estimand.reported_estimate] if is_ratio else list(estimand.arms)
        at = variable.indexes[dim].get_indexer(names)
        mean, covariance = self._moments[variable.name]
        return mean[at], covariance[np.ix_(at, at)]


def data_share(estimand: Estimand, prior: LogOdds, posterior: LogOdds) -> float:
    """Return the share of the posterior precision of an estimand that comes from the data.

    Parameters
    ----------
    estimand
        The estimand.
    prior, posterior
        Moments of the log odds.

    Returns
    -------
    float
        From 0 to 1; NaN where the estimand has no derivative at the posterior mean.

    Notes
    -----
    By the delta method the estimand is linear in the log odds of its regimens, with the derivatives at their
    posterior mean. Of that linear function the share is 1 − posterior variance / prior variance, which is data
    information / (data information + prior precision) where both are normal. The estimand's own variances
    would not do: under the prior, that of an excess of odds ratios depends on a few extreme draws.
    """
    centre, covariance = posterior.moments(estimand)
    gradient = np.ones(1) if estimand.reported_estimate else _gradient(estimand, centre)
    after = gradient @ covariance @ gradient
    before = gradient @ prior.moments(estimand)[1] @ gradient
    if not (np.isfinite(before) and before > 0):
        return np.nan
    return float(np.clip(1 - after / before, 0.0, 1.0))


def _gradient(estimand: Estimand, at: Array) -> Array:
    """Return the derivatives of the estimand, of its logarithm if it is a ratio, by central differences."""
    steps = STEP * np.eye(len(at))
    ends = [
        np.array([estimand.of(*expit(point)) for point in at + sign * steps]) for sign in (1, -1)
    ]
    with np.errstate(invalid="ignore", divide="ignore"):
        upper, lower = map(np.log, ends) if estimand.log else ends
    return (upper - lower) / (2 * STEP)
