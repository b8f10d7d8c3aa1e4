"""Fit mixtures of normals to weighted points in NumPy, as proposals of importance sampling.

`cotreat.inference.gaussian_mixture_jax` is the version for compiled loops; it fits points of equal weight.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

LEAST_WEIGHT = 1e-4
"""Smallest weight of a component, before weights are normalised to sum to 1."""
ROUNDING = 1e-11
"""Ridge added to covariances, as a share of their trace, so that rounding does not make them singular."""
SHARES, FACTORS = np.array([0.85, 0.1, 0.05]), np.array([1.0, 2.0, 4.0])
"""Weights and covariance factors of the scale mixture within each component; the wide parts cover the tails."""


@dataclass(frozen=True)
class Normals:
    """Represent a mixture of multivariate normals with moderately heavy tails.

    Each component is a scale mixture of normals about one mean: with weights `SHARES`, the covariance is
    multiplied by `FACTORS`.

    Attributes
    ----------
    weights : ndarray, shape (component,)
        Weights of the components; they sum to 1.
    means : ndarray, shape (component, size)
        Means of the components.
    covariances : ndarray, shape (component, size, size)
        Covariances of the narrowest normal of each component.
    """

    weights: Array
    means: Array
    covariances: Array

    @cached_property
    def _roots(self) -> Array:
        """Lower Cholesky factors of the covariances, shape (component, size, size)."""
        width = np.trace(self.covariances, axis1=1, axis2=2) * ROUNDING
        return np.linalg.cholesky(
            self.covariances + width[:, None, None] * np.eye(self.means.shape[1])
        )

    @cached_property
    def _coefficients(self) -> Array:
        """Coefficients of the joint log density of point and component in `terms`, shape (term, component)."""
        size = self.means.shape[1]
        inverses = np.linalg.inv(self._roots)
        precisions = np.swapaxes(inverses, 1, 2) @ inverses
        slopes = np.einsum("kij,kj->ki", precisions, self.means)
        logs = np.log(np.diagonal(inverses, axis1=1, axis2=2)).sum(1)
        constants = np.log(self.weights) + logs - 0.5 * size * np.log(2 * np.pi)
        heights = constants - 0.5 * (slopes * self.means).sum(1)
        row, column = np.triu_indices(size)
        squares = -precisions[:, row, column] * np.where(row == column, 0.5, 1.0)
        return np.concatenate([heights[:, None], slopes, squares], axis=1).T

    def joint(self, table: Array) -> Array:
        """Return the joint log density of each point with each width and component.

        Parameters
        ----------
        table
            Terms of the points, as `terms` returns them, shape (point, term).

        Returns
        -------
        ndarray, shape (width, point, component)
            Log weight plus log normal density.
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
        """Return the log density at points.

        Parameters
        ----------
        table
            Terms of the points, as `terms` returns them, shape (point, term).

        Returns
        -------
        ndarray, shape (point,)
            Log density of the mixture.
        """
        parts = self.joint(table)
        highest = parts.max((0, 2))
        return np.log(np.exp(parts - highest[:, None]).sum((0, 2))) + highest

    def draw(self, count: int, rng: np.random.Generator) -> Array:
        """Draw points in random order, stratified by component.

        Parameters
        ----------
        count
            Number of points.
        rng
            Random number generator.

        Returns
        -------
        ndarray, shape (count, size)
            Draws; the number per component is proportional to its weight.
        """
        ends = np.floor(np.cumsum(self.weights) * count + rng.random()).astype(int)
        ends[-1] = count
        counts = np.diff(np.minimum(ends, count), prepend=0)
        noise = rng.normal(size=(count, self.means.shape[1]))
        noise *= np.sqrt(rng.choice(FACTORS, count, p=SHARES))[:, None]
        parts = np.split(noise, np.cumsum(counts)[:-1])
        turned = [part @ root.T for part, root in zip(parts, self._roots, strict=True)]
        means = np.repeat(self.means, counts, axis=0)
        return rng.permutation(np.concatenate(turned) + means)

    def moved(self, before: Array, after: Array, turn: Array) -> "Normals":
        """Return the mixture under the affine map x ↦ after + turn (x − before).

        Parameters
        ----------
        before, after
            A point and its image, shape (size,).
        turn
            Matrix of the map, shape (size, size).

        Returns
        -------
        Normals
            Distribution of the mapped variable.
        """
        means = after + (self.means - before) @ turn.T
        return Normals(self.weights, means, turn @ self.covariances @ turn.T)

    def improved(self, table: Array, weights: Array, prior_points: float) -> "Normals":
        """Return the mixture after one step of expectation–maximisation on weighted points.

        Parameters
        ----------
        table
            Terms of the points, as `terms` returns them, shape (point, term).
        weights
            Weights of the points, which sum to 1, shape (point,).
        prior_points
            Prior sample size with which each covariance is shrunk to its current value, so that no component
            collapses.

        Returns
        -------
        Normals
            The updated mixture.

        Notes
        -----
        Dempster, Laird & Rubin, J R Stat Soc B 1977;39:1; the prior on covariances follows Fraley & Raftery,
        J Classif 2007;24:155.
        """
        size, effective = self.means.shape[1], 1 / np.sum(weights**2)
        parts = self.joint(table)
        parts = np.exp(parts - parts.max((0, 2))[:, None])
        parts *= (weights * effective / parts.sum((0, 2)))[:, None]
        count = parts.sum((0, 1))
        sums = np.tensordot(1 / FACTORS, parts, 1).T @ table
        precision, first = sums[:, 0], sums[:, 1 : 1 + size]
        # The current mean counts as one further point, so that an empty component keeps its position.
        means = (first + self.means) / (precision + 1)[:, None]
        second = np.empty_like(self.covariances)
        row, column = np.triu_indices(size)
        second[:, row, column] = second[:, column, row] = sums[:, 1 + size :]
        cross = first[:, :, None] * means[:, None, :]
        about = precision[:, None, None] * means[:, :, None] * means[:, None, :]
        spread = second - cross - np.swapaxes(cross, 1, 2) + about
        total = count[:, None, None] + prior_points
        updated = np.maximum(count / effective, LEAST_WEIGHT)
        return Normals(
            updated / updated.sum(), means, (spread + prior_points * self.covariances) / total
        )


def terms(points: Array) -> Array:
    """Return the quadratic terms of points: 1, the coordinates, and their pairwise products.

    The log density of a normal is linear in these terms, and moments are their means, so that both are
    computed as one matrix product.

    Parameters
    ----------
    points
        Points, shape (point, size).

    Returns
    -------
    ndarray, shape (point, term)
        1 + size + size (size + 1) / 2 terms per point.
    """
    row, column = np.triu_indices(points.shape[1])
    parts = [np.ones((len(points), 1)), points, points[:, row] * points[:, column]]
    return np.concatenate(parts, axis=1)


def union(*parts: tuple[float, Normals]) -> Normals:
    """Combine mixtures into one.

    Parameters
    ----------
    *parts
        Pairs of the weight of a mixture and the mixture.

    Returns
    -------
    Normals
        The combined mixture; its weights are normalised.
    """
    weights = np.concatenate([share * mixture.weights for share, mixture in parts])
    return Normals(
        weights / weights.sum(),
        np.concatenate([mixture.means for _, mixture in parts]),
        np.concatenate([mixture.covariances for _, mixture in parts]),
    )


def scattered(points: Array, weights: Array, components: int, rng: np.random.Generator) -> Normals:
    """Return an initial mixture for expectation–maximisation.

    Parameters
    ----------
    points
        Points, shape (point, size).
    weights
        Weights of the points, which sum to 1, shape (point,).
    components
        Number of components.
    rng
        Random number generator.

    Returns
    -------
    Normals
        Components of equal weight at randomly chosen points, each with the covariance of all points.
    """
    mean = weights @ points
    off = points - mean
    covariance = (off * weights[:, None]).T @ off + 1e-9 * np.eye(points.shape[1])
    chosen = rng.choice(len(points), components, p=weights)
    return Normals(
        np.full(components, 1 / components),
        points[chosen],
        np.repeat(covariance[None], components, 0),
    )
