"""Solve for the unknown arm sizes from reported estimates, their intervals and totals, as starts of a search.

Estimates and their standard errors are functions of the same counts. With the totals they are equations for the
log-odds and sizes of the arms, which may have several solutions: each is the neighbourhood of a possible mode of
the posterior. No PyMC here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotreat.evidence.reported import ReportedEstimates
from cotreat.evidence.width_distribution import WIDTH_ERROR

Array = NDArray[np.float64]

STARTS = 20
"""Number of arm sizes, drawn uniformly under the totals, from which the equations are solved."""
GRID = 12
"""Number of values of an information that the equations leave free."""
MOST_STEPS, LONGEST = 30, 1.5
"""Largest number of steps of a solution, and largest step of a log-odds or log size."""
ACCURACY = 0.02
"""Accuracy of estimates, events and totals as equations, on the scale of the log."""
SAME = 0.1
"""Largest difference of the log sizes of two results that count as one solution."""
FEWEST = 0.5
"""Fewest patients of an arm in a solution."""
SCORE_SD = 0.5
"""SD of the latent prognostic score at which adjusted estimates are equations."""
COMPLEX_STEP = 1e-20


@dataclass(frozen=True)
class SizeStarts:
    """Arm sizes from which the modes of a posterior are searched.

    Attributes
    ----------
    sizes : ndarray, shape (start, present)
        Patients by arm, or shares of them where no total is reported.
    is_complete : bool
        Whether they contain every isolated solution of the equations, or a scan of the solutions along the one
        information that is free; otherwise they are draws under the totals.
    """

    sizes: Array
    is_complete: bool


def size_starts(
    reported: ReportedEstimates, data: Mapping[str, Any], rng: np.random.Generator
) -> SizeStarts:
    """Return arm sizes that solve the equations of the reported numbers, or draws under the totals.

    Parameters
    ----------
    reported
        The reported estimates, with at least one arm of unknown size.
    data
        Reported values by the names of ``reported.data``, which they may replace.
    rng
        Random number generator of the starts.

    Returns
    -------
    SizeStarts
        The sizes, and whether they are all solutions.
    """
    drawn = reported.sizes.draws(STARTS, rng)
    if not (reported.sizes.are_known and "reported widths" in data):
        return SizeStarts(drawn, is_complete=False)
    equations = SizeEquations(reported, data)
    free = equations.free_directions(equations.at(drawn[0]))
    if free > 1:
        return SizeStarts(drawn, is_complete=False)
    solved = [equations.solved(equations.at(n)) for n in drawn]
    free = min(equations.free_directions(u) for u in solved)
    if free > 1:
        return SizeStarts(drawn, is_complete=False)
    if free == 1:
        grid = equations.information_grid(solved[0])
        solved += [equations.solved(solved[0], level) for level in grid]
    sizes = _distinct(np.array([equations.sizes(u) for u in solved]))
    sizes = sizes[sizes.min(1) > FEWEST]
    return SizeStarts(sizes, is_complete=True) if len(sizes) else SizeStarts(drawn, False)


def _distinct(sizes: Array) -> Array:
    """Return one of several results that are the same solution."""
    kept: list[Array] = []
    for n in sizes:
        if not any(np.abs(np.log(n / other)).max() < SAME for other in kept):
            kept.append(n)
    return np.array(kept)


@dataclass(frozen=True)
class SizeEquations:
    """Equations of reported estimates, standard errors, events and totals.

    The unknowns are the log-odds of the arms that are not counted, then the logs of their free sizes.

    Attributes
    ----------
    reported : ReportedEstimates
    data : dict
        Reported values by name.
    """

    reported: ReportedEstimates
    data: Mapping[str, Any]

    @cached_property
    def _arms(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Indices of the arms of unknown risk, and of those of unknown size."""
        study = self.reported.study
        unknown = [at for at, arm in enumerate(study.present) if arm not in study.counted]
        return np.array(unknown, int), np.array(self.reported.sizes.free, int)

    @cached_property
    def _known(self) -> tuple[Array, Array]:
        """Log-odds of the counted arms, otherwise 0, and fixed sizes, otherwise 1."""
        study, fixed = self.reported.study, np.asarray(self.reported.sizes.fixed, float)
        log_odds = np.zeros(len(study.present))
        for label, n, events in zip(study.counted, study.n, study.events, strict=True):
            log_odds[study.present.index(label)] = np.log((events + 0.5) / (n - events + 0.5))
        return log_odds, np.where(fixed > 0, fixed, 1.0)

    def at(self, n: Array) -> Array:
        """Return the unknowns at some arm sizes, with the risk of the totals in each arm.

        Parameters
        ----------
        n
            Patients by arm, shape (present,).

        Returns
        -------
        ndarray, shape (unknown,)
            The unknowns.
        """
        risks = [t.events / t.n for t in self.reported.totals if t.events is not None]
        risk = np.clip(np.mean(risks) if risks else 0.3, 0.01, 0.99)
        by_risk, by_size = self._arms
        middle = np.full(len(by_risk), np.log(risk / (1 - risk)))
        return np.concatenate([middle, np.log(np.maximum(n[by_size], 1.0))])

    def sizes(self, u: Array) -> Array:
        """Return the patients by arm at some unknowns, scaled to the totals.

        Parameters
        ----------
        u
            The unknowns.

        Returns
        -------
        ndarray, shape (present,)
            Patients by arm.
        """
        sizes: Array = self.reported.sizes.projected(self._split(u)[1])
        return sizes

    def _split(self, u: Array) -> tuple[Array, Array]:
        """Return log-odds and sizes of all arms."""
        by_risk, by_size = self._arms
        log_odds, n = (part.astype(u.dtype) for part in self._known)
        log_odds[by_risk] = u[: len(by_risk)]
        n[by_size] = np.exp(u[len(by_risk) :])
        return log_odds, n

    def residuals(self, u: Array, level: tuple[int, float] | None = None) -> Array:
        """Return the differences of all equations, in units of their accuracy.

        Parameters
        ----------
        u
            The unknowns, real or complex.
        level
            An arm and its log information, as a further equation.

        Returns
        -------
        ndarray, shape (equation,)
            Differences between expected and reported numbers.
        """
        reported, count = self.reported, len(self.reported.with_interval)
        log_odds, n = self._split(u)
        sigma = SCORE_SD if reported.is_adjusted else None
        moments = reported.regressions.moments(np, log_odds, sigma, n)
        risk = 1 / (1 + np.exp(-log_odds))
        error = np.sqrt(moments.variance)
        events = reported.within @ (n * risk)
        points, values = reported.points, np.asarray(self.data["reported points"], float)
        scale = np.maximum(np.where(reported.is_count, np.abs(reported.values), 1.0), 1.0)
        expected = np.concatenate([moments.mean[:count], (moments.mean / error)[count:], events])
        rows = [
            (expected[points] - values) / (ACCURACY * scale[points]),
            (np.log(error[reported.width_rows]) - np.asarray(self.data["reported widths"]))
            / WIDTH_ERROR,
            reported.sizes.excess(n) / ACCURACY,
        ]
        if level is not None:
            arm, log_information = level
            information = n[arm] * risk[arm] * (1 - risk[arm])
            rows.append(np.array([(np.log(information) - log_information) / ACCURACY]))
        return np.concatenate(rows)

    def _jacobian(self, u: Array, level: tuple[int, float] | None = None) -> Array:
        """Differentiate the residuals by the complex step, shape (equation, unknown)."""
        ways = 1j * COMPLEX_STEP * np.eye(len(u))
        columns = [self.residuals(u + way, level).imag / COMPLEX_STEP for way in ways]
        return np.stack(columns, axis=1)

    def free_directions(self, u: Array) -> int:
        """Count directions of the unknowns along which a unit changes no equation by more than its accuracy.

        Parameters
        ----------
        u
            The unknowns.

        Returns
        -------
        int
            0 at an isolated solution.
        """
        return len(u) - int((np.linalg.svd(self._jacobian(u), compute_uv=False) > 1).sum())

    def information_grid(self, u: Array) -> list[tuple[int, float]]:
        """Return values of the log information of the arm whose information is free.

        Parameters
        ----------
        u
            A solution with one free direction.

        Returns
        -------
        list of (int, float)
            The arm, and log informations n p (1 − p) from 1 to a quarter of the patients of all arms.
        """
        by_risk, by_size = self._arms
        free = np.linalg.svd(self._jacobian(u))[2][-1]
        log_odds, n = self._split(u)
        slopes = np.zeros(len(n))
        slopes[by_risk] += (1 - 2 / (1 + np.exp(-log_odds[by_risk]))) * free[: len(by_risk)]
        slopes[by_size] += free[len(by_risk) :]
        arm = int(np.abs(slopes).argmax())
        return [(arm, float(x)) for x in np.linspace(0, np.log(n.sum() / 4), GRID)]

    def solved(self, u: Array, level: tuple[int, float] | None = None) -> Array:
        """Solve the equations in least squares by the method of Levenberg and Marquardt.

        Parameters
        ----------
        u
            Start of the unknowns.
        level
            An arm and its log information, as a further equation.

        Returns
        -------
        ndarray, shape (unknown,)
            A solution, or the best point in the neighbourhood of the start.
        """
        off = self.residuals(u, level)
        cost, damping = off @ off, 0.1
        for _ in range(MOST_STEPS):
            slopes = self._jacobian(u, level)
            gram, way = slopes.T @ slopes, slopes.T @ off
            before = cost
            for _ in range(6):
                damped = gram + damping * np.diag(np.diag(gram) + 1e-3)
                step = -np.linalg.solve(damped, way)
                step *= min(1.0, LONGEST / max(np.abs(step).max(), 1e-12))
                tried = self.residuals(u + step, level)
                if (height := tried @ tried) < cost:
                    u, off, cost, damping = u + step, tried, height, damping / 5
                    break
                damping *= 5
            if before - cost < 1e-3 * (1 + cost):
                break
        return u
