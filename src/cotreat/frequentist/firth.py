"""Maximise the log likelihood of a logistic regression on counts, with or without Firth's penalty.

The penalty is half the log determinant of the information, Jeffreys' prior, and keeps every coefficient
finite where the outcome is separated: Firth, Biometrika 1993;80:27; Heinze & Schemper, Stat Med
2002;21:2409; proof for all data by Kosmidis & Firth, Biometrika 2021;108:71.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Array = NDArray[np.float64]

SETTLED = 1e-18
"""Squared length of the next step, in standard errors, at which the maximisation ends."""
LONGEST = 5.0
"""Largest step of a coefficient."""
ROUNDING = 1e-13
"""Relative rounding error of a log likelihood."""
MOST_STEPS = 200


@dataclass(frozen=True)
class LogLikelihood:
    """The negative log likelihood as a function of the coefficients.

    Attributes
    ----------
    events, n : ndarray, shape (cell,)
    rows : ndarray, shape (cell, coefficient)
        Of full column rank if penalised.
    is_penalised : bool
        Whether half the log determinant of the information is added.
    """

    events: NDArray[np.int64]
    n: NDArray[np.int64]
    rows: Array
    is_penalised: bool

    def cost(self, coefficients: Array) -> tuple[float, Array]:
        """Return the negative of the log likelihood and its gradient."""
        eta, others = self.rows @ coefficients, self.n - self.events
        leverage, penalty = self._penalty(eta)
        # Terms of one sign, so that no digits cancel.
        value = self.events @ np.logaddexp(0, -eta) + others @ np.logaddexp(0, eta) - penalty
        # The penalty acts as leverage / 2 more events and as many more non-events in each cell.
        score = (others + leverage / 2) * expit(eta) - (self.events + leverage / 2) * expit(-eta)
        return float(value), self.rows.T @ score

    def curvature(self, coefficients: Array) -> Array:
        """Return the information of the counts, with the events that the penalty adds."""
        eta = self.rows @ coefficients
        leverage, _ = self._penalty(eta)
        return (self.rows.T * ((self.n + leverage) * expit(eta) * expit(-eta))) @ self.rows

    def _penalty(self, eta: Array) -> tuple[Array, float]:
        """Return the leverage of each cell, and half the log determinant of the information."""
        if not self.is_penalised:
            return np.zeros(len(eta)), 0.0
        weights = self.n * expit(eta) * expit(-eta)
        sizes, axes = np.linalg.eigh((self.rows.T * weights) @ self.rows)
        # Far from the maximum rounding may leave a direction without information.
        sizes = np.maximum(sizes, np.finfo(float).tiny)
        leverage = weights * np.sum((self.rows @ axes) ** 2 / sizes, axis=1)
        return leverage, 0.5 * float(np.log(sizes).sum())


def climb(
    surface: LogLikelihood, start: Array, origin: Array | float = 0.0, along: Array | None = None
) -> tuple[Array, float]:
    """Maximise a log likelihood, or its section through a point.

    Parameters
    ----------
    start
        Initial value, shape (free,).
    origin, along
        The section: coefficients are ``origin + along @ free``. All of them are free by default.

    Returns
    -------
    free : ndarray, shape (free,)
    deviance : float
        −2 times the (penalised) log likelihood there.

    Notes
    -----
    Fisher scoring with step halving, without which it diverges on sparse tables where the section is far from
    the maximum.
    """
    along = np.eye(len(start)) if along is None else along
    free = start
    value, slope = surface.cost(origin + along @ free)
    for _ in range(MOST_STEPS if len(start) else 0):
        down = along.T @ slope
        curvature = along.T @ surface.curvature(origin + along @ free) @ along
        step = np.linalg.pinv(curvature, hermitian=True) @ down
        if down @ step < SETTLED:
            break
        step *= min(1.0, LONGEST / np.abs(step).max())
        rounding = ROUNDING * abs(value)
        while (moved := surface.cost(origin + along @ (free - step)))[0] > value + rounding:
            step /= 2
        free, (value, slope) = free - step, moved
    return free, 2 * value


def maximise_penalised(events: NDArray, n: NDArray, rows: Array) -> Array:
    """Return the coefficients with the highest penalised likelihood, shape (coefficient,).

    Among coefficients with equal likelihood the shortest vector is returned, as by
    `cotreat.frequentist.logistic.maximise`.

    Parameters
    ----------
    events, n
        Shape (cell,).
    rows
        Design, shape (cell, coefficient).
    """
    base = basis(rows)
    surface = LogLikelihood(events, n, rows @ base, is_penalised=True)
    free, _ = climb(surface, np.zeros(base.shape[1]))
    return base @ free


def basis(rows: Array) -> Array:
    """Return orthonormal columns that span the row space of a design; the identity at full rank."""
    _, sizes, directions = np.linalg.svd(rows, full_matrices=False)
    rank = int(np.sum(sizes > max(rows.shape) * np.finfo(float).eps * sizes.max(initial=0)))
    return np.eye(rows.shape[1]) if rank == rows.shape[1] else directions[:rank].T
