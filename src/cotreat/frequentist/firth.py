"""Maximise the log likelihood of a logistic regression on counts, with or without Firth's penalty.

The penalty is half the log determinant of the information, Jeffreys' prior, and keeps every coefficient
finite where the outcome is separated: Firth, Biometrika 1993;80:27; Heinze & Schemper, Stat Med
2002;21:2409; proof for all data by Kosmidis & Firth, Biometrika 2021;108:71.
"""

from dataclasses import dataclass
from typing import Protocol

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


class Surface(Protocol):
    """A log likelihood with its gradient and information."""

    def cost(self, coefficients: Array) -> tuple[float, Array]:
        """Return the negative log likelihood and its gradient.

        Parameters
        ----------
        coefficients
            Shape (coefficient,).

        Returns
        -------
        value : float
        gradient : ndarray, shape (coefficient,)
        """

    def curvature(self, coefficients: Array) -> Array:
        """Return the information matrix.

        Parameters
        ----------
        coefficients
            Shape (coefficient,).

        Returns
        -------
        ndarray, shape (coefficient, coefficient)
        """


@dataclass(frozen=True)
class LogLikelihood:
    """The (penalised) log likelihood of a logistic regression on counts by covariate pattern.

    Attributes
    ----------
    events, n : ndarray, shape (cell,)
        Number of events and of patients by covariate pattern.
    rows : ndarray, shape (cell, coefficient)
        Design matrix, of full column rank if penalised.
    is_penalised : bool
        Whether half the log determinant of the information is added.
    """

    events: NDArray[np.int64]
    n: NDArray[np.int64]
    rows: Array
    is_penalised: bool

    def cost(self, coefficients: Array) -> tuple[float, Array]:
        """Return the negative log likelihood and its gradient.

        Parameters
        ----------
        coefficients
            Shape (coefficient,).

        Returns
        -------
        value : float
            Without binomial coefficients.
        gradient : ndarray, shape (coefficient,)
        """
        eta, others = self.rows @ coefficients, self.n - self.events
        leverage, penalty = self._penalty(eta)
        # All terms have the same sign, so no digits cancel.
        value = self.events @ np.logaddexp(0, -eta) + others @ np.logaddexp(0, eta) - penalty
        # The penalty is equivalent to leverage / 2 additional events and non-events in each covariate pattern.
        score = (others + leverage / 2) * expit(eta) - (self.events + leverage / 2) * expit(-eta)
        return float(value), self.rows.T @ score

    def curvature(self, coefficients: Array) -> Array:
        """Return the information matrix of the counts, including the events that the penalty adds.

        Parameters
        ----------
        coefficients
            Shape (coefficient,).

        Returns
        -------
        ndarray, shape (coefficient, coefficient)
        """
        eta = self.rows @ coefficients
        leverage, _ = self._penalty(eta)
        return (self.rows.T * ((self.n + leverage) * expit(eta) * expit(-eta))) @ self.rows

    def _penalty(self, eta: Array) -> tuple[Array, float]:
        """Return the leverage of each covariate pattern, and half the log determinant of the information."""
        if not self.is_penalised:
            return np.zeros(len(eta)), 0.0
        weights = self.n * expit(eta) * expit(-eta)
        eigenvalues, axes = np.linalg.eigh((self.rows.T * weights) @ self.rows)
        # Far from the maximum, an eigenvalue may be rounded to 0 or less.
        eigenvalues = np.maximum(eigenvalues, np.finfo(float).tiny)
        leverage = weights * np.sum((self.rows @ axes) ** 2 / eigenvalues, axis=1)
        return leverage, 0.5 * float(np.log(eigenvalues).sum())


def climb(
    surface: Surface, start: Array, origin: Array | float = 0.0, along: Array | None = None
) -> tuple[Array, float]:
    """Maximise a log likelihood over all coefficients, or over an affine subspace.

    Parameters
    ----------
    surface
        The log likelihood.
    start
        Initial value, shape (free,).
    origin, along
        The subspace: coefficients are ``origin + along @ free``, shapes (coefficient,) and (coefficient, free).
        By default, all coefficients are free.

    Returns
    -------
    free : ndarray, shape (free,)
        Coordinates of the maximum.
    deviance : float
        −2 times the (penalised) log likelihood at the maximum.

    Notes
    -----
    Fisher scoring with step halving. Without step halving it diverges on sparse tables if the subspace is far
    from the unrestricted maximum.
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
    """Return the coefficients that maximise Firth's penalised likelihood.

    Parameters
    ----------
    events, n
        Number of events and of patients by covariate pattern, shape (cell,).
    rows
        Design matrix, shape (cell, coefficient).

    Returns
    -------
    ndarray, shape (coefficient,)
        If several vectors have the maximum likelihood, the shortest one, as by
        `cotreat.frequentist.logistic.maximise`.
    """
    base = basis(rows)
    surface = LogLikelihood(events, n, rows @ base, is_penalised=True)
    free, _ = climb(surface, np.zeros(base.shape[1]))
    return base @ free


def basis(rows: Array) -> Array:
    """Return an orthonormal basis of the row space of a design matrix.

    Parameters
    ----------
    rows
        Design matrix, shape (cell, coefficient).

    Returns
    -------
    ndarray, shape (coefficient, rank)
        The identity at full rank.
    """
    _, singular_values, directions = np.linalg.svd(rows, full_matrices=False)
    smallest = max(rows.shape) * np.finfo(float).eps * singular_values.max(initial=0)
    rank = int(np.sum(singular_values > smallest))
    return np.eye(rows.shape[1]) if rank == rows.shape[1] else directions[:rank].T
