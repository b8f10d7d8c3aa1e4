"""Laplace's approximation corrected by weights: against closed forms, and against what defeats it."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.special import expit, logsumexp

from cotreat.inference import laplace
from cotreat.inference.gaussian_mixture import Normals
from cotreat.inference.laplace import BORDERLINE, GOOD, UNRELIABLE, approximate

CAREFUL = laplace.Effort(draws=6000, rounds=30, components=16, kept=12_000)

NONE = np.array([], dtype=int)


def found(surface, size, spreads=NONE, *, effective=4000, seed=1, **more):
    return approximate(surface, np.zeros(size), spreads, effective=effective, seed=seed, **more)


def moments(one):
    mean = one.weights @ one.points
    off = one.points - mean
    return mean, (off * one.weights[:, None]).T @ off


def normal(mean, covariance, log_mass=0.0):
    law = stats.multivariate_normal(mean, covariance)
    return lambda points: np.atleast_1d(law.logpdf(points)) + log_mass


# --- What it must get right ------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-3, 1.0, 30.0])
def test_a_normal_is_found_exactly(scale):
    covariance = scale**2 * np.array([[1.0, 0.9, 0.0], [0.9, 1.0, -0.2], [0.0, -0.2, 0.5]])
    mean = np.array([0.5, -1.0, 2.0])
    one = found(normal(mean, covariance, log_mass=-7.0), 3)
    assert (one.verdict, one.modes, one.is_searched) == (GOOD, 1, True)
    assert one.log_evidence == pytest.approx(-7, abs=0.02)
    assert one.effective >= 4000
    own, spread = moments(one)
    np.testing.assert_allclose(own, mean, atol=0.05 * scale)
    np.testing.assert_allclose(spread, covariance, atol=0.06 * scale**2)


def test_evidence_and_moments_are_those_of_quadrature():
    # Three of three events in one arm, none of four in the other, under a wide prior: separated.
    def height(a, b):
        return (
            stats.norm.logpdf(a, 0, 2)
            + stats.norm.logpdf(b, 0, 5)
            + 3 * np.log(expit(a + b))
            + 4 * np.log(expit(-a))
        )

    one = found(lambda points: height(*points.T), 2)
    assert one.verdict != UNRELIABLE
    mass, _ = integrate.dblquad(lambda b, a: np.exp(height(a, b)), -12, 8, -20, 30)
    first, _ = integrate.dblquad(lambda b, a: b * np.exp(height(a, b)), -12, 8, -20, 30)
    second, _ = integrate.dblquad(lambda b, a: b * b * np.exp(height(a, b)), -12, 8, -20, 30)
    mean, sd = first / mass, np.sqrt(second / mass - (first / mass) ** 2)
    own, spread = moments(one)
    assert one.log_evidence == pytest.approx(np.log(mass), abs=0.03)
    assert own[1] == pytest.approx(mean, abs=0.05 * sd)
    assert np.sqrt(spread[1, 1]) == pytest.approx(sd, rel=0.05)


def test_the_error_of_the_log_evidence_is_how_far_seeds_are_apart():
    # A normal of four coordinates drawn from by one three times as wide: weights are bounded.
    surface = normal(np.zeros(4), np.eye(4), log_mass=2.0)
    wide = Normals(np.ones(1), np.zeros((1, 4)), 9 * np.eye(4)[None])
    begun = laplace.Proposal.of(wide)
    settings = {"effective": 100, "first": begun, "enough": 0.0}
    many = [found(surface, 4, seed=seed, **settings) for seed in range(60)]
    logs = [one.log_evidence for one in many]
    error = np.mean([one.log_error for one in many])
    assert np.std(logs) == pytest.approx(error, rel=0.25)
    assert np.mean(logs) == pytest.approx(2, abs=3 * error / np.sqrt(60) + 0.01)


def test_smoothed_weights_make_the_log_evidence():
    rng = np.random.default_rng(4)
    logs = 0.6 * rng.exponential(size=4000) + 3  # Pareto weights, k = 0.6
    weights, k = laplace.smoothed(logs)
    assert 0.4 < k < 0.8
    evidence = laplace._log_mean(logs, weights)
    body = np.argsort(logs)[:2000]  # not smoothed: all were divided by n times the mean
    own = np.exp(logs[body]) / (4000 * np.exp(evidence))
    np.testing.assert_allclose(own, weights[body])
    # The mean of a Pareto law is 1/(1 − k); one huge weight moves it little once it is smoothed.
    assert evidence == pytest.approx(3 + np.log(1 / 0.4), abs=0.15)


def test_few_effective_draws_are_bad_whatever_k_says():
    one = found(normal(np.zeros(2), np.eye(2)), 2)
    assert one.verdict == GOOD
    assert replace(one, effective=99.0).verdict == UNRELIABLE


def test_two_modes_are_both_found_and_weighed():
    parts = [normal([-4.0, 0.0], 0.3 * np.eye(2), np.log(0.7))]
    parts += [normal([4.0, 1.0], 0.1 * np.eye(2), np.log(0.3))]
    for seed in range(5):
        one = found(
            lambda points: logsumexp([part(points) for part in parts], axis=0), 2, seed=seed
        )
        share = one.weights[one.points[:, 0] > 0].sum()
        assert one.modes == 2
        assert one.verdict == UNRELIABLE or share == pytest.approx(0.3, abs=0.03)


def test_a_spread_and_what_hangs_on_it_are_found():
    # Eight effects with one spread, each observed with error 1: by quadrature over the spread.
    seen = np.array([2.8, 0.8, -0.3, 0.7, -0.1, 0.1, 1.8, 1.2])

    def spread_of(points):  # HalfNormal(1), standardised
        return stats.halfnorm.ppf(stats.norm.cdf(points[:, 0]))

    def surface(points):
        own = spread_of(points)[:, None] * points[:, 1:]
        return stats.norm.logpdf(points).sum(1) + stats.norm.logpdf(seen, own, 1).sum(1)

    one = found(surface, 9, np.array([0]))
    # At the highest density the spread is 1.8 SD above its mean: nodes are laid where the mass is.
    assert one.verdict == GOOD
    assert not one.proposal.is_adapted
    assert one.effective > 0.7 * len(one.points)

    def given(t):
        prior = stats.halfnorm.pdf(t, scale=1)
        return prior * np.exp(stats.norm.logpdf(seen, 0, np.sqrt(1 + t**2)).sum())

    mass, _ = integrate.quad(given, 0, 8)
    mean, _ = integrate.quad(lambda t: t * given(t), 0, 8)
    assert one.log_evidence == pytest.approx(np.log(mass), abs=0.05)
    assert one.weights @ spread_of(one.points) == pytest.approx(mean / mass, abs=0.03)


def test_a_seed_repeats_itself_and_resampling_keeps_the_moments():
    surface = normal([1.0, 2.0], np.diag([1.0, 4.0]))
    one, again = (found(surface, 2, seed=3) for _ in range(2))
    assert np.array_equal(one.points, again.points)
    drawn = one.resampled(4, 1000, np.random.default_rng(1))
    assert drawn.shape == (4, 1000, 2)
    np.testing.assert_allclose(drawn.mean((0, 1)), [1, 2], atol=0.1)
    # Chains share no point.
    assert not set(map(tuple, drawn[0])) & set(map(tuple, drawn[1]))


def test_a_proposal_is_moved_to_where_the_mode_is():
    covariance = np.array([[1.0, 0.8], [0.8, 1.0]])
    first = found(normal([0.0, 0.0], covariance), 2)
    turned = np.array([[0.5, -0.3], [-0.3, 2.0]])
    one = found(normal([8.0, -3.0], turned, log_mass=2.0), 2, first=first.proposal)
    assert (one.verdict, one.modes, one.proposal.is_adapted) == (GOOD, 0, False)
    assert one.effective > 0.8 * len(one.points)
    np.testing.assert_allclose(one.proposal.summit.at, [8, -3], atol=0.05)
    assert one.log_evidence == pytest.approx(2, abs=0.02)


def test_a_proposal_serves_for_what_is_alike_and_not_for_what_is_elsewhere():
    first = found(normal([0.0, 0.0], np.eye(2)), 2)
    near = found(normal([0.3, 0.1], 1.2 * np.eye(2)), 2, first=first.proposal)
    assert (near.verdict, near.modes) == (GOOD, 0)
    far = normal([5.0, 0.0], 0.2 * np.eye(2), log_mass=5.0)
    both = [normal([0.0, 0.0], np.eye(2)), far]
    one = found(
        lambda points: logsumexp([part(points) for part in both], axis=0), 2, first=first.proposal
    )
    share = one.weights[one.points[:, 0] > 3].sum()
    assert one.verdict == UNRELIABLE or share == pytest.approx(1 / (1 + np.exp(-5)), abs=0.02)


# --- What must not pass ----------------------------------------------------------------------------


def funnel(points):
    """Neal's: nothing says that the first coordinate is the log of a spread."""
    log_variance, rest = points[:, 0], points[:, 1:]
    spread = np.exp(log_variance / 2)[:, None]
    return stats.norm.logpdf(log_variance, 0, 3) + stats.norm.logpdf(rest, 0, spread).sum(1)


def needle_in_a_haystack(points):
    """Half of the mass in a spike, half spread wide, in ten dimensions."""
    size = points.shape[1]
    parts = [normal(np.zeros(size), 1e-4 * np.eye(size)), normal(np.ones(size), 25 * np.eye(size))]
    return logsumexp([part(points) for part in parts], axis=0)


def cauchy(points):
    return stats.cauchy.logpdf(points).sum(1)


def many_modes(points):
    """Sixteen separate modes of equal mass, as many as are looked for times two thirds."""
    centres = 6 * (np.array(np.meshgrid(*[[-1, 1]] * 4)).reshape(4, -1).T)
    return logsumexp([normal(c, 0.2 * np.eye(4))(points) for c in centres], axis=0)


@pytest.mark.parametrize(
    ("surface", "size"), [(funnel, 10), (needle_in_a_haystack, 10), (cauchy, 12), (many_modes, 4)]
)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_defeats_it_is_bad(surface, size, seed):
    one = found(surface, size, seed=seed)
    assert one.verdict == UNRELIABLE, (one.pareto_k, one.modes)


@pytest.mark.parametrize(
    ("surface", "size", "is_sure"), [(cauchy, 6, True), (many_modes, 4, False)]
)
def test_care_is_taken_only_where_modes_are_found_for_sure(surface, size, is_sure):
    def drawn(effort):
        seen = []

        def counted(points):
            seen.append(len(points))
            return surface(points)

        assert found(counted, size, effort=effort).is_searched == is_sure
        return sum(seen)

    usual, careful = map(drawn, (laplace.USUAL, CAREFUL))
    assert (careful > 1.5 * usual) == is_sure
    assert (careful == usual) != is_sure


def test_a_density_that_is_nowhere_finite_is_refused():
    with pytest.raises(ValueError, match="not finite near any starting point"):
        found(lambda points: np.full(len(points), -np.inf), 2)


def test_verdicts():
    assert [laplace.verdict(k) for k in (-0.2, 0.49, 0.5, 0.69, 0.7, np.inf)] == [
        GOOD,
        GOOD,
        BORDERLINE,
        BORDERLINE,
        UNRELIABLE,
        UNRELIABLE,
    ]
