"""Mixtures of normals in NumPy, fitted to weighted points: what importance sampling proposes from.

`cotreat.inference.gaussian_mixture_jax` is for loops that are compiled, and fits points that weigh alike; here nothing is compiled.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LEAST_WEIGHT = 1e-4
"""No component weighs less before weights are scaled to add up to 1."""
ROUNDING = 1e-11
"""Added to covariances, as a share of their trace, so that rounding leaves none of them singular."""
SHARES, FACTORS = np.array([0.85, 0.1, 0.05]), np.array([1.0, 2.0, 4.0])
"""These shares of every component have covariances so many times as large, to reach into tails."""


@dataclass(frozen=True)
class Normals:
    """A mixture of multivariate normals with somewhat heavy tails.

    Each component is itself a mixture of normals about one mean, a narrow one and, with the weights
    `SHARES`, some whose covariances are `FACTORS` times as large.

    Attributes
    ----------
    weights : ndarray, shape (component,)
        They add up to 1.
    means : ndarray, shape (component, size)
    covariances : ndarray, shape (component, size, size)
        Of the narrow normals.
    """

    weights: Array
    means: Array
    covariances: Array

    @cached_property
    def _roots(self) -> Array:
        width = np.trace(self.covariances, axis1=1, axis2=2) * ROUNDING
        return np.linalg.cholesky(
            self.covariances + width[:, None, None] * np.eye(self.means.shape[1])
        )

    @cached_property
    def _coefficients(self) -> Array:
        """Of the log density together with each component, in `terms`, shape (term, component)."""
        size = self.means.shape[1]
        inverses = np.linalg.inv(self._roots)
        precisions = np.swapaxes(inverses, 1, 2) @ inverses
        slopes = np.einsum("kij,kj->ki", precisions, self.means)
        logs = np.log(np.diagonal(inverses, axis1=1, axis2=2)).sum(1)
        constants = np.log(self.weights) + logs - 0.5 * size * np.log(2 * np.pi)
        heights = constants - 0.5 * (slopes * self.means).sum(1)
        one, two = np.triu_indices(size)
        squares = -precisions[:, one, two] * np.where(one == two, 0.5, 1.0)
        return np.concatenate([heights[:, None], slopes, squares], axis=1).T

    def joint(self, table: Array) -> Array:
        """Return log densities together with each width of each component, shape (width, point, component).

        Parameters
        ----------
        table
            What `terms` makes of points.
        """
        whole = table @ self._coefficients
        size = self.means.shape[1]
        top = np.log(self.weights) - np.log(np.diagonal(self._roots, axis1=1, axis2=2)).sum(1)
        top -= 0.5 * size * np.log(2 * np.pi)
        return np.stack(
            [
                whole / factor
                + top * (1 - 1 / factor)
                + np.log(share)
                - 0.5 * size * np.log(factor)
                for share, factor in zip(SHARES, FACTORS, strict=True)
            ]
        )

    def log_density(self, table: Array) -> Array:
        """Return the log density at points, of which `terms` made a table, shape (point,)."""
        parts = self.joint(table)
        highest = parts.max((0, 2))
        found: Array = np.log(np.exp(parts - highest[:, None]).sum((0, 2))) + highest
        return found

    def draw(self, count: int, rng: np.random.Generator) -> Array:
        """Draw points, of each component in its share, in random order, shape (count, size)."""
        ends = np.floor(np.cumsum(self.weights) * count + rng.random()).astype(int)
        ends[-1] = count
        counts = np.diff(np.minimum(ends, count), prepend=0)
        noise = rng.normal(size=(count, self.means.shape[1]))
        noise *= np.sqrt(rng.choice(FACTORS, count, p=SHARES))[:, None]
        parts = np.split(noise, np.cumsum(counts)[:-1])
        turned = [part @ root.T for part, root in zip(parts, self._roots, strict=True)]
        means = np.repeat(self.means, counts, axis=0)
        drawn: Array = rng.permutation(np.concatenate(turned) + means)
        return drawn

    def moved(self, before: Array, after: Array, turn: Array) -> "Normals":
        """Move every point x to after + turn (x − before)."""
        means = after + (self.means - before) @ turn.T
        return Normals(self.weights, means, turn @ self.covariances @ turn.T)

    def improved(self, table: Array, weights: Array, prior_points: float) -> "Normals":
        """Make one step of expectation–maximisation towards weighted points.

        Parameters
        ----------
        table
            What `terms` makes of the points.
        weights
            Adding up to 1, shape (point,).
        prior_points
            Each component's covariance is drawn to what it was as by so many points, so that none
            collapses.
        """
        size, effective = self.means.shape[1], 1 / np.sum(weights**2)
        parts = self.joint(table)
        parts = np.exp(parts - parts.max((0, 2))[:, None])
        parts *= (weights * effective / parts.sum((0, 2)))[:, None]
        count = parts.sum((0, 1))
        sums = np.tensordot(1 / FACTORS, parts, 1).T @ table
        precision, first = sums[:, 0], sums[:, 1 : 1 + size]
        # Its own mean as one more point: a component that no point is of stays where it was.
        means = (first + self.means) / (precision + 1)[:, None]
        second = np.empty_like(self.covariances)
        one, two = np.triu_indices(size)
        second[:, one, two] = second[:, two, one] = sums[:, 1 + size :]
        cross = first[:, :, None] * means[:, None, :]
        about = precision[:, None, None] * means[:, :, None] * means[:, None, :]
        spread = second - cross - np.swapaxes(cross, 1, 2) + about
        known = count[:, None, None] + prior_points
        own = np.maximum(count / effective, LEAST_WEIGHT)
        return Normals(own / own.sum(), means, (spread + prior_points * self.covariances) / known)


def terms(points: Array) -> Array:
    """Return 1, the coordinates and their products in pairs, of each point, shape (point, term).

    A log density of a normal is linear in them, and moments are means of them: whatever is asked of
    points is one product of matrices.
    """
    one, two = np.triu_indices(points.shape[1])
    parts = [np.ones((len(points), 1)), points, points[:, one] * points[:, two]]
    return np.concatenate(parts, axis=1)


def union(*parts: tuple[float, Normals]) -> Normals:
    """Join mixtures, each in its share, to one."""
    weights = np.concatenate([share * one.weights for share, one in parts])
    return Normals(
        weights / weights.sum(),
        np.concatenate([one.means for _, one in parts]),
        np.concatenate([one.covariances for _, one in parts]),
    )


def scattered(points: Array, weights: Array, components: int, rng: np.random.Generator) -> Normals:
    """Return a mixture to start from: around some of the points, each as wide as all of them."""
    mean = weights @ points
    off = points - mean
    covariance = (off * weights[:, None]).T @ off + 1e-9 * np.eye(points.shape[1])
    chosen = rng.choice(len(points), components, p=weights)
    return Normals(
        np.full(components, 1 / components),
        points[chosen],
        np.repeat(covariance[None], components, 0),
    )
