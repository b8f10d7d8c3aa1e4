"""The sampling distribution of the reported standard errors given the arms and the reported estimates.

A standard error is a function of the same counts as the estimates, so it enters given these: p(estimates) p(standard
errors | estimates). No PyMC here: the functions take their array library as an argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from cotreat.evidence.joint_distribution import Noise, Rows, noise_at, rows_at
from cotreat.evidence.logistic_operator import centre
from cotreat.evidence.reported import ReportedEstimates

Array = Any

WIDTH_ERROR = 0.05
"""SD of the log of a reported standard error about that of the regression on arms."""
STEPS = 1
"""Iterations for the log-odds of the counts. From starts 0.5 away the error in a log standard error is below 1e-3,
from 1 away below 0.01; the second iteration leaves 1e-4, and compiles in twice the time."""
CERTAIN = 20.0
"""Largest absolute log-odds in the iterations."""


class Widths(NamedTuple):
    """The log standard errors given the estimates: a multivariate normal distribution.

    Attributes
    ----------
    mean, covariance : shape (width,), (width, width)
        Without rounding; empty where sizes are not known.
    """

    mean: Array
    covariance: Array


def width_distribution(
    xp: ModuleType,
    reported: ReportedEstimates,
    log_odds: Array,
    sigma: Array | None,
    loss: Array | None,
    n: Array,
    shift_sd: Array,
    values: Array,
    rounding: Array,
) -> Widths:
    """Return the distribution of the log standard errors given the estimates that are points.

    Parameters
    ----------
    xp, reported, log_odds, sigma, loss, n, shift_sd
        As `cotreat.evidence.joint_distribution.joint_distribution` takes them.
    values
        Values of ``reported.points``, shape (point,).
    rounding
        Variances of all rows due to rounding, shape (row,); a large one leaves a row out.

    Returns
    -------
    Widths
        Mean and covariance of the rows ``reported.width_rows``.

    Notes
    -----
    The log-odds h of the counts are normal about η with the variance D of the events. Their conditional mean solves
    h = η + D Jᵀ (J D Jᵀ + R)⁻¹ (y − f(h) + J (h − η)), with f the rows, J = ∂f/∂h and R the rounding, by the iterated
    extended Kalman filter (Bell & Cathey, IEEE Trans Automat Contr 1993;38:294). The log standard errors are those at
    h, with the variance that the estimates leave to h. Where estimates and totals determine the counts given the
    sizes, h is a function of these alone, without variance: standard errors then inform unknown sizes, and with
    known sizes nothing.
    """
    if not reported.width_rows:
        return Widths(np.zeros(0), np.zeros((0, 0)))
    noise = noise_at(xp, reported, log_odds, sigma, loss, n)
    counts = _Counts(xp, reported, noise, log_odds, sigma, loss, n, shift_sd, values, rounding)
    h, left = counts.start, np.zeros(())
    for _ in range(STEPS):
        h, left = counts.step(h)
    rows, at = rows_at(xp, reported, h, sigma, loss, n), np.array(reported.width_rows)
    drift = rows.moments.drift[at] * (rows.arms.weight / noise.arms.weight)
    return Widths(rows.log_error[at], drift @ left @ drift.T + WIDTH_ERROR**2 * np.eye(len(at)))


@dataclass(frozen=True)
class _Counts:
    """The log-odds of the counts given the points; totals are on the logit scale, where they are nearly linear."""

    xp: ModuleType
    reported: ReportedEstimates
    noise: Noise
    log_odds: Array
    sigma: Array | None
    loss: Array | None
    n: Array
    shift_sd: Array
    values: Array
    rounding: Array

    @property
    def start(self) -> Array:
        """Expected log-odds; of counted arms those of their counts."""
        noise, n, xp = self.noise, self.n, self.xp
        if noise.is_open.all():
            return self.log_odds
        risk = xp.clip(noise.arms.risk + noise.residual / n, 0.25 / n, 1 - 0.25 / n)
        return xp.where(noise.is_open > 0, self.log_odds, centre(xp, risk, self.sigma))

    def step(self, h: Array) -> tuple[Array, Array]:
        """Return the log-odds of the counts given the points, linear about `h`, and the covariance of their noise."""
        rows = rows_at(self.xp, self.reported, h, self.sigma, self.loss, self.n)
        noise, points = self.noise, np.array(self.reported.points, dtype=int)
        mean, lever = self._linked(rows)
        expected = mean - lever @ (noise.within * (h - self.start))
        expected = (expected - (lever * (1 - noise.shares)) @ noise.residual)[points]
        values, rounding = self._goal
        variance = noise.total * noise.is_open
        inner = noise.covariance(lever, rows.scale, self.shift_sd)[points][:, points]
        inner = inner + self.xp.diag(rounding)
        across = (lever * noise.shares * variance)[points]
        delta, left = _conditional(
            self.xp, values - expected, inner, across, self.xp.diag(variance), len(points)
        )
        return self.xp.clip(self.start + delta / noise.within, -CERTAIN, CERTAIN), left

    def _linked(self, rows: Rows) -> tuple[Array, Array]:
        """Return means, and derivatives in the log-odds in units of the events at the start."""
        count = len(self.reported.reported_estimates)
        means, slopes = self._logits(rows.mean[count:], self.reported.within @ self.n)
        lever = self.xp.concatenate([rows.lever[:count], rows.lever[count:] * slopes[:, None]])
        scale = rows.arms.weight / self.noise.arms.weight
        return self.xp.concatenate([rows.mean[:count], means]), lever * scale

    @property
    def _goal(self) -> tuple[Array, Array]:
        """Values of the points, and their variances due to rounding."""
        points = np.array(self.reported.points, dtype=int)
        count = len(self.reported.reported_estimates)
        inside = int((points < count).sum())
        patients = (self.reported.within @ self.n)[points[inside:] - count]
        events = self.xp.clip(self.values[inside:], 0.25, patients - 0.25)
        logits, slopes = self._logits(events, patients)
        scale = self.xp.concatenate([np.ones(inside), slopes])
        values = self.xp.concatenate([self.values[:inside], logits])
        return values, self.rounding[points] * scale**2

    def _logits(self, events: Array, patients: Array) -> tuple[Array, Array]:
        """Return the logits of totals, and their derivatives."""
        others = patients - events
        return self.xp.log(events / others), 1 / events + 1 / others


def _conditional(
    xp: ModuleType, deviations: Array, inner: Array, across: Array, prior: Array, count: int
) -> tuple[Array, Array]:
    """Return mean and covariance of the noise of the arms given the rows, by sequential conditioning.

    The loop is unrolled for the few rows: library calls per particle took most of the time.
    """
    rest = xp.concatenate(
        [xp.concatenate([inner, across], 1), xp.concatenate([across.T, prior], 1)]
    )
    off = xp.concatenate([deviations, 0 * xp.diag(prior)])
    for _ in range(count):
        weights = rest[0, 1:] / rest[0, 0]
        off = off[1:] - weights * off[0]
        rest = rest[1:, 1:] - weights[:, None] * rest[0, 1:]
    return -off, rest
