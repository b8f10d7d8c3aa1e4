"""Mixtures of normals in NumPy, fitted to weighted points: what importance sampling proposes from."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LEAST_WEIGHT = 1e-4
"""No component weighs less before weights are scaled to add up to 1."""
WIDER, FACTOR = 0.15, 2.0
"""This share of every component has covariances so many times as large, to reach into tails."""


@dataclass(frozen=True)
class Normals:
    """A mixture of multivariate normals with somewhat heavy tails.

    Each component is itself a mixture of two normals about one mean, a narrow one and, with the weight
    `WIDER`, one whose covariances are `FACTOR` times as large.

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
        return np.linalg.cholesky(self.covariances)

    @cached_property
    def _to_standard(self) -> tuple[Array, Array, Array]:
        """Return what makes standard deviates of points, side by side, and log density at the means."""
        count, size = self.means.shape
        inverses = np.linalg.inv(self._roots)
        logs = np.log(np.diagonal(inverses, axis1=1, axis2=2)).sum(1)
        return (
            inverses.reshape(count * size, size).T,
            np.einsum("kij,kj->ki", inverses, self.means).ravel(),
            np.log(self.weights) + logs - 0.5 * size * np.log(2 * np.pi),
        )

    def joint(self, points: Array) -> tuple[Array, Array]:
        """Return log densities together with each component, narrow and wide, each (point, component)."""
        columns, centres, constants = self._to_standard
        off = points @ columns
        off -= centres
        off *= off
        distance = 0.5 * off.reshape(len(points), *self.means.shape).sum(2)
        wide = constants + np.log(WIDER) - 0.5 * self.means.shape[1] * np.log(FACTOR)
        return constants + np.log1p(-WIDER) - distance, wide - distance / FACTOR

    def log_density(self, points: Array) -> Array:
        """Return the log density at points, shape (point,)."""
        narrow, wide = self.joint(points)
        highest = np.maximum(narrow.max(1), wide.max(1))[:, None]
        total = np.exp(narrow - highest).sum(1) + np.exp(wide - highest).sum(1)
        found: Array = np.log(total) + highest[:, 0]
        return found

    def draw(self, count: int, rng: np.random.Generator) -> Array:
        """Draw points, of each component in its share, in random order, shape (count, size)."""
        ends = np.floor(np.cumsum(self.weights) * count + rng.random()).astype(int)
        ends[-1] = count
        counts = np.diff(np.minimum(ends, count), prepend=0)
        noise = rng.normal(size=(count, self.means.shape[1]))
        noise[rng.random(count) < WIDER] *= np.sqrt(FACTOR)
        parts = np.split(noise, np.cumsum(counts)[:-1])
        turned = [part @ root.T for part, root in zip(parts, self._roots, strict=True)]
        means = np.repeat(self.means, counts, axis=0)
        drawn: Array = rng.permutation(np.concatenate(turned) + means)
        return drawn

    def improved(self, points: Array, weights: Array, prior_points: float) -> "Normals":
        """Make one step of expectation–maximisation towards weighted points.

        Parameters
        ----------
        weights
            Adding up to 1, shape (point,).
        prior_points
            Each component's covariance is drawn to what it was as by so many points, so that none
            collapses.
        """
        effective = 1 / np.sum(weights**2)
        narrow, wide = self.joint(points)
        highest = np.maximum(narrow.max(1), wide.max(1))[:, None]
        near, far = np.exp(narrow - highest), np.exp(wide - highest)
        scale = (weights * effective / (near + far).sum(1))[:, None]
        share, precise = (near + far) * scale, (near + far / FACTOR) * scale
        count, precision = share.sum(0), precise.sum(0)
        # Its own mean as one more point: a component that no point is of stays where it was.
        means = (precise.T @ points + self.means) / (precision + 1)[:, None]
        covariances = np.empty_like(self.covariances)
        for at, mean in enumerate(means):
            off = points - mean
            spread = (off * precise[:, at, None]).T @ off + prior_points * self.covariances[at]
            covariances[at] = spread / (count[at] + prior_points)
        own = np.maximum(count / effective, LEAST_WEIGHT)
        return Normals(own / own.sum(), means, covariances)


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
