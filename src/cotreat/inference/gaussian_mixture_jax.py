"""Fit mixtures of normals to points in JAX, as proposals for curved or multimodal posteriors."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import logsumexp

COMPONENTS = 8
ITERATIONS = 8
PRIOR_POINTS = 10.0
"""Prior sample size with which each covariance is shrunk to that of all points, so that no component
collapses (Fraley & Raftery, J Classif 2007;24:155)."""


class Mixture(NamedTuple):
    """Represent a mixture of multivariate normals.

    Attributes
    ----------
    log_weights : array, shape (component,)
        Log weights of the components.
    means : array, shape (component, dimension)
        Means of the components.
    roots : array, shape (component, dimension, dimension)
        Lower Cholesky factors of the covariances.
    inverses : array, shape (component, dimension, dimension)
        Inverses of `roots`.
    """

    log_weights: Any
    means: Any
    roots: Any
    inverses: Any

    def draw(self, key: Any) -> Any:
        """Return one draw.

        Parameters
        ----------
        key
            Key of JAX's random number generator.

        Returns
        -------
        array, shape (dimension,)
            The draw.
        """
        for_component, for_noise = jax.random.split(key)
        reached = jnp.cumsum(jnp.exp(self.log_weights))[:-1]
        at = (jax.random.uniform(for_component) > reached).sum()
        # Noise in single precision is cheap, and its last digits do not matter.
        noise = jax.random.normal(for_noise, self.means.shape[1:], jnp.float32)
        return self.means[at] + self.roots[at] @ noise

    def log_density(self, point: Any) -> Any:
        """Return the log density at a point.

        Parameters
        ----------
        point
            Point, shape (dimension,).

        Returns
        -------
        array
            Log density of the mixture.
        """
        return logsumexp(self.joint(point))

    def joint(self, point: Any) -> Any:
        """Return the joint log density of a point and each component.

        Parameters
        ----------
        point
            Point, shape (dimension,).

        Returns
        -------
        array, shape (component,)
            Log weight plus log normal density per component.
        """
        off = jnp.einsum("kij,kj->ki", self.inverses, point - self.means)
        log_volume = jnp.log(jnp.diagonal(self.inverses, axis1=1, axis2=2)).sum(1)
        constant = -0.5 * point.size * jnp.log(2 * jnp.pi)
        return self.log_weights + constant + log_volume - 0.5 * (off**2).sum(1)


def scattered(points: Any, key: Any) -> Mixture:
    """Return an initial mixture for expectation–maximisation.

    Parameters
    ----------
    points
        Points, shape (point, dimension).
    key
        Key of JAX's random number generator.

    Returns
    -------
    Mixture
        `COMPONENTS` components of equal weight at randomly chosen points, each with the covariance of all
        points.
    """
    means = jax.random.choice(key, points, (COMPONENTS,), replace=False)
    covariances = jnp.broadcast_to(covariance(points), (COMPONENTS, *means.shape[1:] * 2))
    return _mixture(jnp.full(COMPONENTS, 1 / COMPONENTS, points.dtype), means, covariances)


def fitted(points: Any, start: Mixture) -> Mixture:
    """Fit a mixture to points by `ITERATIONS` steps of expectation–maximisation.

    Parameters
    ----------
    points
        Points of equal weight, shape (point, dimension).
    start
        Initial mixture.

    Returns
    -------
    Mixture
        The fitted mixture.

    Notes
    -----
    Dempster, Laird & Rubin, J R Stat Soc B 1977;39:1.
    """
    common = covariance(points)

    def improve(_: Any, at: Mixture) -> Mixture:
        joint = jax.vmap(at.joint)(points)
        share = jnp.exp(joint - logsumexp(joint, axis=1, keepdims=True))
        count = share.sum(0)
        means = (share.T @ points) / jnp.maximum(count, 1e-6)[:, None]
        off = points - means[:, None]
        spread = jnp.einsum("kp,kpi,kpj->kij", share.T, off, off)
        total = (count + PRIOR_POINTS)[:, None, None]
        return _mixture(count / len(points), means, (spread + PRIOR_POINTS * common) / total)

    return jax.lax.fori_loop(0, ITERATIONS, improve, start)


def covariance(points: Any) -> Any:
    """Return the covariance of points with a small ridge, so that it is not singular.

    Parameters
    ----------
    points
        Points, shape (point, dimension).

    Returns
    -------
    array, shape (dimension, dimension)
        Covariance with divisor n.
    """
    off = points - points.mean(0)
    return off.T @ off / len(points) + 1e-10 * jnp.eye(points.shape[1])


def _mixture(weights: Any, means: Any, covariances: Any) -> Mixture:
    """Return the mixture of given weights, means and covariances."""
    roots = jnp.linalg.cholesky(covariances)
    eye = jnp.broadcast_to(jnp.eye(means.shape[1]), roots.shape)
    inverses = solve_triangular(roots, eye, lower=True)
    return Mixture(jnp.log(jnp.maximum(weights, 1e-12)), means, roots, inverses)
