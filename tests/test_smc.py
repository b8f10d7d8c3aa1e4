"""Sequential Monte Carlo against posteriors and evidence known in closed form."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest
from scipy import stats

from cotreat.inference.sampling import log_mean_exp, prepare_jax

CHAINS, PARTICLES = 4, 1000


@pytest.fixture(scope="module", autouse=True)
def _devices():
    prepare_jax(CHAINS)


def tempered(built: pm.Model, steps: int):
    """Run SMC on a model whose only free variable is x ~ Normal(0, 5)."""
    from cotreat.inference.smc import Sampler

    (x,) = built.free_RVs
    shape = tuple(x.shape.eval())
    prior = np.random.default_rng(1).normal(0, 5, (CHAINS * PARTICLES, *shape))
    return Sampler(built, {"x": prior}, chains=CHAINS, particles=PARTICLES).run(steps, seed=2)


@pytest.fixture(scope="module")
def two_modes():
    """Two modes in three dimensions, 12 of their SDs apart in each, 80 % and 20 % of the likelihood."""
    share, centres, sd = np.array([0.8, 0.2]), np.array([-3.0, 3.0]), 0.5
    with pm.Model() as built:
        x = pm.Normal("x", 0, 5, shape=3)
        logs = [
            pt.log(w) + pm.logp(pm.Normal.dist(c, sd), x).sum()
            for w, c in zip(share, centres, strict=True)
        ]
        pm.Potential("seen", pt.logsumexp(pt.stack(logs)))
    marginal = stats.norm(0, np.hypot(5, sd)).logpdf(centres) * 3
    return tempered(built, 10), float(np.log(share @ np.exp(marginal)))


def test_modes_that_no_local_move_joins_are_weighed(two_modes):
    run, _ = two_modes
    right = (run.draws["x"].mean(-1) > 0).mean(1)
    # By symmetry of the prior the weights are those of the likelihood; each chain found them itself.
    assert right.mean() == pytest.approx(0.2, abs=0.015)
    assert np.all(abs(right - 0.2) < 0.04)


def test_within_a_mode_the_draws_are_the_posteriors(two_modes):
    run, _ = two_modes
    x = run.draws["x"].reshape(-1, 3)
    inside = x[x.mean(1) < 0]
    precision = 1 / 0.5**2 + 1 / 5**2
    mean = -3.0 / 0.5**2 / precision
    np.testing.assert_allclose(inside.mean(0), mean, atol=0.02)
    np.testing.assert_allclose(inside.std(0), precision**-0.5, rtol=0.03)


def test_evidence_is_the_integral(two_modes):
    run, exact = two_modes
    assert log_mean_exp(run.log_evidence) == pytest.approx(exact, abs=0.05)
    np.testing.assert_allclose(run.log_evidence, exact, atol=0.15)


def test_chains_that_have_no_device_of_their_own_share_one():
    with pm.Model() as built:
        x = pm.Normal("x", 0, 5)
        pm.Normal("y", x, 1, observed=7.0)
    from cotreat.inference.smc import Sampler

    chains = 6  # of four devices
    prior = {"x": np.random.default_rng(1).normal(0, 5, chains * 500)}
    run = Sampler(built, prior, chains=chains, particles=500).run(5, seed=2)
    assert run.log_evidence.shape == (chains,)
    exact = stats.norm(0, np.sqrt(26)).logpdf(7.0)
    assert log_mean_exp(run.log_evidence) == pytest.approx(exact, abs=0.04)


def test_evidence_of_a_conjugate_normal():
    with pm.Model() as built:
        x = pm.Normal("x", 0, 5)
        pm.Normal("y", x, 1, observed=7.0)
    run = tempered(built, 5)
    exact = stats.norm(0, np.sqrt(26)).logpdf(7.0)
    assert log_mean_exp(run.log_evidence) == pytest.approx(exact, abs=0.03)
    assert run.draws["x"].mean() == pytest.approx(7 * 25 / 26, abs=0.03)


def _known():
    """Return a mixture of eight components of unlike shape, as SciPy's and as ours."""
    import jax.numpy as jnp

    from cotreat.inference import gaussian_mixture_jax

    rng = np.random.default_rng(3)
    weights = rng.dirichlet(np.full(gaussian_mixture_jax.COMPONENTS, 5.0))
    means = rng.normal(0, 4, (gaussian_mixture_jax.COMPONENTS, 2))
    roots = np.tril(rng.normal(0, 0.5, (gaussian_mixture_jax.COMPONENTS, 2, 2)), -1) + 0.7 * np.eye(
        2
    )
    ours = gaussian_mixture_jax.Mixture(
        *map(jnp.asarray, (np.log(weights), means, roots, np.linalg.inv(roots)))
    )
    scipys = [stats.multivariate_normal(m, r @ r.T) for m, r in zip(means, roots, strict=True)]
    return ours, weights, scipys


def test_density_of_a_mixture_is_scipys():
    ours, weights, parts = _known()
    for point in ([0.0, 0.0], [3.0, -2.0], [9.0, 9.0]):
        expected = np.log(sum(w * part.pdf(point) for w, part in zip(weights, parts, strict=True)))
        assert float(ours.log_density(np.array(point))) == pytest.approx(expected, rel=1e-10)


def test_draws_of_a_mixture_have_its_moments_and_a_fit_its_density():
    import jax

    from cotreat.inference import gaussian_mixture_jax

    ours, weights, parts = _known()
    draws = jax.vmap(ours.draw)(jax.random.split(jax.random.PRNGKey(0), 20_000))
    mean = weights @ [part.mean for part in parts]
    second = sum(
        w * (part.cov + np.outer(part.mean, part.mean))
        for w, part in zip(weights, parts, strict=True)
    )
    np.testing.assert_allclose(draws.mean(0), mean, atol=0.1)
    np.testing.assert_allclose(draws.T @ draws / len(draws), second, rtol=0.05, atol=0.3)
    fitted = gaussian_mixture_jax.scattered(draws, jax.random.PRNGKey(1))
    for _ in range(5):
        fitted = gaussian_mixture_jax.fitted(draws, fitted)
    lost = jax.vmap(ours.log_density)(draws) - jax.vmap(fitted.log_density)(draws)
    # The Kullback–Leibler divergence, beside that of one normal with these moments.
    one = stats.multivariate_normal(draws.mean(0), np.cov(draws.T)).logpdf(draws)
    of_one = (jax.vmap(ours.log_density)(draws) - one).mean()
    assert float(lost.mean()) < 0.1 * float(of_one)
