"""Mixtures of normals: density, draws, and fits to weighted points."""

import numpy as np
import pytest
from scipy import stats

from cotreat.inference.gaussian_mixture import FACTORS, SHARES, Normals, scattered, terms, union

MEANS = np.array([[0.0, 1.0, -1.0], [3.0, 0.0, 2.0]])
COVARIANCES = np.array(
    [
        [[1.0, 0.5, 0.0], [0.5, 2.0, 0.3], [0.0, 0.3, 0.5]],
        [[0.2, 0.0, 0.1], [0.0, 0.3, 0.0], [0.1, 0.0, 0.4]],
    ]
)
MIXTURE = Normals(np.array([0.7, 0.3]), MEANS, COVARIANCES)


def density(mixture, points):
    parts = [
        weight * share * stats.multivariate_normal(mean, factor * covariance).pdf(points)
        for weight, mean, covariance in zip(
            mixture.weights, mixture.means, mixture.covariances, strict=True
        )
        for share, factor in zip(SHARES, FACTORS, strict=True)
    ]
    return np.sum(parts, axis=0)


def test_log_density_is_that_of_scipys_normals():
    points = np.random.default_rng(1).normal(size=(50, 3)) * 3
    found = MIXTURE.log_density(terms(points))
    np.testing.assert_allclose(found, np.log(density(MIXTURE, points)), rtol=1e-8)


def test_draws_have_the_mixtures_moments():
    points = MIXTURE.draw(400_000, np.random.default_rng(2))
    assert len(points) == 400_000
    mean = MIXTURE.weights @ MEANS
    wider = SHARES @ FACTORS
    second = [m[:, None] * m + wider * c for m, c in zip(MEANS, COVARIANCES, strict=True)]
    covariance = np.einsum("k,kij->ij", MIXTURE.weights, second) - mean[:, None] * mean
    np.testing.assert_allclose(points.mean(0), mean, atol=0.02)
    np.testing.assert_allclose(np.cov(points.T), covariance, atol=0.03)


def test_a_moved_mixture_has_the_density_of_moved_points():
    before, after = np.array([1.0, 0.0, 2.0]), np.array([-1.0, 3.0, 0.5])
    turn = np.array([[2.0, 0.0, 0.0], [0.3, 0.5, 0.0], [-0.2, 0.1, 1.5]])
    points = MIXTURE.draw(20, np.random.default_rng(5))
    there = after + (points - before) @ turn.T
    found = MIXTURE.moved(before, after, turn).log_density(terms(there))
    expected = MIXTURE.log_density(terms(points)) - np.log(np.linalg.det(turn))
    np.testing.assert_allclose(found, expected, rtol=1e-7)


def test_draws_are_in_no_order():
    points = MIXTURE.draw(1000, np.random.default_rng(3))
    first, second = points[:500, 0] > 1.5, points[500:, 0] > 1.5
    assert abs(first.mean() - second.mean()) < 0.1


@pytest.mark.parametrize("is_weighted", [False, True])
def test_a_fit_finds_the_mixture_again(is_weighted):
    rng = np.random.default_rng(4)
    points, weights = MIXTURE.draw(40_000, rng), np.full(40_000, 1 / 40_000)
    if is_weighted:  # drawn from something wider, and weighed back
        wide = Normals(MIXTURE.weights, MEANS, 3 * COVARIANCES)
        points = wide.draw(40_000, rng)
        weights = density(MIXTURE, points) / density(wide, points)
        weights /= weights.sum()
    fitted = scattered(points, weights, 2, np.random.default_rng(6))
    for _ in range(60):
        fitted = fitted.improved(terms(points), weights, 1.0)
    order = np.argsort(fitted.means[:, 0])
    np.testing.assert_allclose(fitted.weights[order], MIXTURE.weights, atol=0.02)
    np.testing.assert_allclose(fitted.means[order], MEANS, atol=0.06)
    np.testing.assert_allclose(fitted.covariances[order], COVARIANCES, atol=0.12)


def test_a_fit_never_lowers_the_likelihood():
    points = MIXTURE.draw(2000, np.random.default_rng(7))
    table, weights = terms(points), np.full(2000, 1 / 2000)
    fitted = scattered(points, weights, 3, np.random.default_rng(8))
    before = -np.inf
    for _ in range(20):
        # One point of prior a component moves the optimum by next to nothing.
        now = fitted.log_density(table).mean()
        assert now > before - 1e-3
        before, fitted = now, fitted.improved(table, weights, 1.0)


def test_a_component_without_points_stays_where_it_was():
    far = union((0.5, MIXTURE), (0.5, Normals(np.ones(1), MEANS[:1] + 500, COVARIANCES[:1])))
    points = MIXTURE.draw(1000, np.random.default_rng(9))
    fitted = far.improved(terms(points), np.full(1000, 1e-3), 5.0)
    np.testing.assert_allclose(fitted.means[2], MEANS[0] + 500)
    np.testing.assert_allclose(fitted.covariances[2], COVARIANCES[0], rtol=1e-6)
    assert fitted.weights.sum() == pytest.approx(1)
