"""Variances of the groups of arms that reported standard errors leave possible where no totals are reported.

The squared standard error of a contrast of log odds is Σ c² v over its groups, with v ≥ 0 the variance of the
log odds of a group. Estimates that share a group have the covariance Σ c c′ v over the shared groups. Where the
equations of all estimates leave v free, every solution is equally probable.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotreat.evidence.arm_sizes import Polytope

Array = NDArray[np.float64]

VARIANCE = "variance"
"""Name of the variables that divide standard errors among groups of arms."""
APPROXIMATE = 0.1
"""Tolerance of the log of a standard error that is adjusted or not of a Wald interval: it is no exact sum."""
NEGLIGIBLE = 1e-9
"""Size of a variance that is zero, relative to the largest squared standard error."""
SLACK = 1.05
"""Rounding error that is accepted, in units of the largest possible one."""


@dataclass(frozen=True)
class Equation:
    """The standard error of an estimate as a sum over groups of arms.

    Attributes
    ----------
    weights : dict
        Weight of each group in the estimate, by the key of the group; estimates share groups with equal keys.
    variance : float
        Squared standard error.
    error : float
        Largest relative error of `variance`, by rounding.
    """

    weights: dict[Any, float]
    variance: float
    error: float


@dataclass(frozen=True)
class Solutions:
    """All variances of the groups of one connected set of estimates.

    Attributes
    ----------
    estimates : tuple of int
        The estimates, by their place.
    groups : tuple of tuple
        Keys of the groups; those that only their sum matters of are one.
    weights : ndarray, shape (estimate, group)
        Weights of the groups in the estimates.
    centre : ndarray, shape (group,)
        One solution, in the middle.
    basis : ndarray, shape (group, dimension)
        Directions that leave every standard error unchanged.
    is_consistent : bool
        False where no variances give the standard errors within rounding.
    """

    estimates: tuple[int, ...]
    groups: tuple[tuple[Any, ...], ...]
    weights: Array
    centre: Array
    basis: Array
    is_consistent: bool = True

    @property
    def polytope(self) -> Polytope:
        """The solutions as a polytope, without groups of variance zero."""
        is_free = np.abs(self.basis).max(axis=1, initial=0.0) > 0
        return Polytope(self.centre[is_free], self.basis[is_free])

    def bounds(self, objective: Array) -> tuple[float, float]:
        """Return the smallest and the largest value of a linear function of the variances.

        Parameters
        ----------
        objective
            Its coefficients, shape (group,).

        Returns
        -------
        lower, upper : float
            The bounds.
        """
        at = float(objective @ self.centre)
        if not self.basis.shape[1]:
            return at, at
        from scipy.optimize import linprog

        slopes = objective @ self.basis
        ends = [
            sign
            * linprog(
                sign * slopes,
                A_ub=-self.basis,
                b_ub=np.maximum(self.centre, 0),
                bounds=[(None, None)] * len(slopes),
            ).fun
            for sign in (1, -1)
        ]
        return at + float(ends[0]), at + float(ends[1])

    def correlations(self, one: int, other: int) -> tuple[float, float]:
        """Return the smallest and the largest correlation of two of the estimates.

        Parameters
        ----------
        one, other
            Rows of `weights`.

        Returns
        -------
        lower, upper : float
            The bounds.
        """
        variances = self.weights**2 @ self.centre
        scale = np.sqrt(variances[one] * variances[other])
        lower, upper = self.bounds(self.weights[one] * self.weights[other] / scale)
        return lower, upper


@dataclass(frozen=True)
class ArmVariances:
    """The covariances of estimates that standard errors leave possible.

    Attributes
    ----------
    count : int
        Number of estimates.
    parts : tuple of Solutions
        Connected sets of estimates.
    """

    count: int
    parts: tuple[Solutions, ...]

    @property
    def free(self) -> dict[str, Solutions]:
        """Solutions with freedom, by the name of their random variable."""
        loose = [part for part in self.parts if part.basis.shape[1]]
        return {f"{VARIANCE}_{at}": part for at, part in enumerate(loose, start=1)}

    @property
    def is_consistent(self) -> bool:
        """Whether some variances give every standard error within rounding."""
        return all(part.is_consistent for part in self.parts)

    @cached_property
    def weights(self) -> Array:
        """Weights of all groups in the estimates, shape (estimate, group)."""
        blocks = []
        for part in self.parts:
            blocks.append(np.zeros((self.count, part.weights.shape[1])))
            blocks[-1][list(part.estimates)] = part.weights
        return np.hstack([np.zeros((self.count, 0)), *blocks])

    @property
    def centre(self) -> Array:
        """Central variances, shape (group,)."""
        return np.concatenate([np.zeros(0), *(part.centre for part in self.parts)])

    def covariance(self, variances: Any) -> Any:
        """Return the covariance of the estimates, shape (estimate, estimate).

        Parameters
        ----------
        variances
            Variances of the groups, shape (group,).

        Returns
        -------
        array
            Σ c c′ v over the groups.
        """
        return (self.weights * variances) @ self.weights.T


def arm_variances(equations: Sequence[Equation]) -> ArmVariances:
    """Solve the standard errors of estimates for the variances of groups of arms.

    Parameters
    ----------
    equations
        One per estimate.

    Returns
    -------
    ArmVariances
        All solutions.
    """
    keys = list(dict.fromkeys(key for equation in equations for key in equation.weights))
    weights = np.array([[e.weights.get(key, 0.0) for key in keys] for e in equations])
    weights = weights.reshape(len(equations), len(keys))
    parts = tuple(_solutions(equations, keys, weights, rows) for rows in _connected(weights))
    return ArmVariances(len(equations), parts)


def _connected(weights: Array) -> list[list[int]]:
    """Return the sets of estimates that share groups, directly or through others."""
    parts: list[list[int]] = []
    for row in range(len(weights)):
        joined = [part for part in parts if np.any(weights[part].any(0) & (weights[row] != 0))]
        parts = [part for part in parts if part not in joined]
        parts.append(sorted([row, *(at for part in joined for at in part)]))
    return sorted(parts)


def _solutions(
    equations: Sequence[Equation], keys: Sequence[Any], weights: Array, rows: list[int]
) -> Solutions:
    """Return all variances of the groups of connected estimates."""
    merged = _merged(weights[rows])
    own = weights[rows][:, [places[0] for places in merged]]
    groups = tuple(tuple(keys[place] for place in places) for places in merged)
    squares = own**2
    right = np.array([equations[row].variance for row in rows])
    error = right * [equations[row].error for row in rows]
    found, misfit = _nearest(squares, right, error)
    if misfit > SLACK:
        alone = tuple((("alone", row),) for row in rows)
        none = np.zeros((len(rows), 0))
        return Solutions(tuple(rows), alone, np.eye(len(rows)), right, none, False)
    if misfit > NEGLIGIBLE:
        right = squares @ found
    return Solutions(tuple(rows), groups, own, *_polytope(squares, right, found))


def _merged(weights: Array) -> list[list[int]]:
    """Return the places of the groups in these estimates, with those of proportional weights together.

    Only the sum of their variances, times the squared weights, matters.
    """
    merged: list[list[int]] = []
    for place in np.flatnonzero(weights.any(0)):
        column = weights[:, place] / np.linalg.norm(weights[:, place])
        for places in merged:
            first = weights[:, places[0]]
            if abs(abs(column @ first) / np.linalg.norm(first) - 1) < NEGLIGIBLE:
                places.append(int(place))
                break
        else:
            merged.append([int(place)])
    return merged


def _nearest(squares: Array, right: Array, error: Array) -> tuple[Array, float]:
    """Return variances that give the squared standard errors, and the misfit in units of the rounding errors.

    The largest misfit is minimised: 0 where the equations have a solution.
    """
    from scipy.optimize import linprog

    scale = right.max()
    count, groups = squares.shape
    slack = -(error / scale)[:, None]
    solution = linprog(
        np.r_[np.zeros(groups), 1.0],
        A_ub=np.block([[squares, slack], [-squares, slack]]),
        b_ub=np.r_[right, -right] / scale,
        bounds=[(0, None)] * (groups + 1),
    )
    assert solution.status == 0, count  # noqa: S101 - any variances are a solution at some misfit
    return solution.x[:-1] * scale, float(solution.x[-1])


def _polytope(squares: Array, right: Array, found: Array) -> tuple[Array, Array]:
    """Return centre and basis of all variances that solve the equations."""
    from scipy.linalg import null_space
    from scipy.optimize import linprog

    scale, groups = right.max(), squares.shape[1]
    equal: dict[str, Any] = {"A_eq": squares, "b_eq": squares @ found / scale}
    largest = [-linprog(-one, **equal, bounds=[(0, None)] * groups).fun for one in np.eye(groups)]
    is_free = np.array(largest) > NEGLIGIBLE
    inner = null_space(squares[:, is_free])
    ways = np.zeros((groups, inner.shape[1]))
    ways[is_free] = inner
    if not inner.shape[1]:
        return found, ways
    if inner.shape[1] == 1:
        # Half of the segment: its middle, and the way to its end.
        up, down = (sign * inner[:, 0] > NEGLIGIBLE for sign in (1, -1))
        reach = -found[is_free] / np.where(up | down, inner[:, 0], 1.0)
        lower, upper = reach[up].max(), reach[down].min()
        return found + ways[:, 0] * (lower + upper) / 2, ways * (upper - lower) / 2
    # Maximise the smallest variance.
    deepest = linprog(
        np.r_[np.zeros(groups), -1.0],
        A_ub=np.column_stack([-np.eye(groups), is_free.astype(float)]),
        b_ub=np.zeros(groups),
        A_eq=np.column_stack([squares, np.zeros(len(squares))]),
        b_eq=equal["b_eq"],
        bounds=[(0, None)] * (groups + 1),
    )
    return deepest.x[:-1] * scale, ways
