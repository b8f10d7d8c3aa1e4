"""Coefficients of regressions on arms against statsmodels, direct solutions and simulated patients."""

from dataclasses import asdict, replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import statsmodels.api as sm
from scipy.optimize import root
from scipy.special import expit, logit
from validation.scripts import simulate_operator

from cotreat import load_study
from cotreat.evidence.contrasts import KINDS, Cohort, coefficient_of
from cotreat.evidence.joint_distribution import joint_distribution
from cotreat.evidence.logistic_operator import Regressions, averages, centre
from cotreat.evidence.reported import estimates_of
from cotreat.evidence.width_distribution import width_distribution
from cotreat.study import regimens
from cotreat.study.study import Meaning

DRUGS = ("A", "B", "C")
LABELS = ("A", "B", "C", "A+B", "A+C", "B+C", "A+B+C")
COHORT = Cohort(DRUGS, tuple(map(regimens.parse, LABELS)))
WORDS = {
    "regimens": ("A+B", "B"),
    "sets": ("A", "not A"),
    "trend": ("not A", "A and not C", "A and C"),
    "product": ("A", "B"),
    "adjusted_product": ("A", "B"),
    "products": (("A", "B"), ("A", "C")),
    "regimen": ("A+B",),
    "set": ("A",),
}
# Each group of arms has a log-odds of its own, so that nothing is iterated.
CLOSED = ("regimens", "sets", "product", "regimen", "set")
SIGMAS = (None, 0.0, 0.3, 0.8, 1.5, 2.5)
# 61 nodes here against 15 there: the coefficients must not depend on how the score is averaged.
FINE, SHARES = np.polynomial.hermite_e.hermegauss(61)
SHARES = SHARES / SHARES.sum()


def one_of(kind, is_adjusted=False, cohort=COHORT, words=None):
    return coefficient_of(Meaning(kind, words or WORDS[kind]), cohort, is_adjusted=is_adjusted)


def law_of(kind, log_odds, sigma, n, is_adjusted=False):
    """Return mean, lever, variance and drift of a single coefficient."""
    law = Regressions((one_of(kind, is_adjusted),)).moments(np, log_odds, sigma, n)
    return law.mean[0], law.lever[0], law.variance[0], law.drift[0]


def cohorts(count, seed=0):
    """Draw arms as a prior would: log-odds with SD 1 between arms, sizes from 10 to 400."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield rng.normal(-1.2, 1.0, len(LABELS)), rng.uniform(10, 400, len(LABELS)).round()


def mean_risk(log_odds, sigma):
    return expit(np.add.outer(log_odds, (sigma or 0.0) * FINE)) @ SHARES


def every(is_adjusted):
    return [one_of(kind, is_adjusted) for kind in KINDS]


def test_every_kind_is_tested():
    assert set(WORDS) == set(KINDS)


# --- Crude coefficients: statsmodels ---------------------------------------------------------------


# Groups with log-odds of their own are fitted exactly, and statsmodels calls that separation.
@pytest.mark.filterwarnings("ignore:Perfect separation")
@pytest.mark.parametrize("kind", KINDS)
def test_mean_and_variance_are_those_of_a_glm_fitted_to_expected_counts(kind):
    columns, weights, members = KINDS[kind].columns(WORDS[kind], COHORT)
    for log_odds, n in cohorts(25):
        events = n * expit(log_odds)
        # Each arm in two halves: statsmodels divides by rows less coefficients.
        halves = np.tile(np.column_stack([events, n - events])[members] / 2, (2, 1))
        model = sm.GLM(halves, np.tile(columns[members], (2, 1)), sm.families.Binomial())
        # Its covariance is that of the step before the last: start again from the solution.
        glm = model.fit(start_params=model.fit(tol=1e-15, maxiter=200).params)
        expected, variance = weights @ glm.params, weights @ glm.cov_params() @ weights
        mean, _, own, _ = law_of(kind, log_odds, None, n)
        # Otherwise a few Newton steps are taken; how far they reach is tested below.
        tolerance = 1e-8 if kind in CLOSED else 1e-4
        assert abs(mean - expected) < tolerance * np.sqrt(variance)
        assert own == pytest.approx(variance, rel=tolerance)


def fitted(kind, sigma, log_odds, n):
    """Solve the score equations by Newton's method with bounded steps, which always arrives."""
    columns, weights, members = KINDS[kind].columns(WORDS[kind], COHORT)
    columns, n = columns[members], n[members]
    risk = averages(np, log_odds[members], sigma).risk
    b = np.zeros(columns.shape[1])
    for _ in range(200):
        at = averages(np, columns @ b, sigma)
        score = columns.T @ (n * (risk - at.risk))
        inverse = np.linalg.inv((columns.T * (n * at.weight)) @ columns)
        step = inverse @ score
        b = b + step / max(1.0, np.abs(columns @ step).max())
        if np.abs(score).max() < 1e-9:
            break
    return weights @ b, np.sqrt(weights @ inverse @ weights)


@pytest.mark.parametrize("sigma", [None, 0.8])
@pytest.mark.parametrize("kind", ["trend", "adjusted_product", "products"])
def test_few_newton_steps_suffice(kind, sigma):
    off = []
    for log_odds, n in cohorts(400, seed=2):
        expected, se = fitted(kind, sigma, log_odds, n)
        mean, *_ = law_of(kind, log_odds, sigma, n, is_adjusted=sigma is not None)
        off.append(abs(mean - expected) / se)
    # Of 20,000 such cohorts 1 % are beyond 1e-4 standard errors, and the worst are at 0.04.
    assert np.quantile(off, 0.95) < 1e-4
    assert max(off) < 0.02


def test_a_crude_claim_beside_adjusted_ones_stands_on_marginal_risks():
    for log_odds, n in cohorts(20):
        for kind in KINDS:
            beside = law_of(kind, log_odds, 1.2, n)
            alone = law_of(kind, logit(mean_risk(log_odds, 1.2)), None, n)
            np.testing.assert_allclose(beside[0], alone[0], atol=1e-5)
            np.testing.assert_allclose(beside[2], alone[2], rtol=1e-5)


# --- Adjusted coefficients: direct solutions ---------------------------------------------------------


@pytest.mark.parametrize("sigma", SIGMAS)
def test_arm_against_arm_is_the_difference_of_conditional_log_odds(sigma):
    for log_odds, n in cohorts(30):
        mean, lever, variance, _ = law_of("regimens", log_odds, sigma, n, is_adjusted=True)
        assert mean == pytest.approx(log_odds[3] - log_odds[1], abs=1e-12)
        q = expit(np.add.outer(log_odds[[3, 1]], (sigma or 0.0) * FINE))
        information = n[[3, 1]] * ((q * (1 - q)) @ SHARES)
        # 15 nodes give Σ w q(1 − q) to 0.4 % at SD 2.5.
        rough = 1e-4 if (sigma or 0.0) < 2 else 1e-2
        assert variance == pytest.approx((1 / information).sum(), rel=rough)
        np.testing.assert_allclose(lever[[3, 1]], [1, -1] / information, rtol=rough)
        assert not lever[[0, 2, 4, 5, 6]].any()


def solution(kind, log_odds, sigma, n, *, is_slope_free):
    """Solve the expected score equations of a regression on arms and the score, at 61 nodes.

    Returns the coefficient and the variance that is printed.
    """
    columns, weights, members = KINDS[kind].columns(WORDS[kind], COHORT)
    columns, size, own = columns[members], n[members], log_odds[members]
    q = columns.shape[1]
    true = expit(np.add.outer(own, sigma * FINE))

    def fit(b):
        slope = b[-1] if is_slope_free else sigma
        return expit(np.add.outer(columns @ b[:q], slope * FINE))

    def score(b):
        left = (true - fit(b)) * SHARES
        arms = columns.T @ (size * left.sum(1))
        return np.append(arms, size @ (left @ FINE)) if is_slope_free else arms

    start = np.linalg.lstsq(columns, own, rcond=None)[0]
    found = root(score, np.append(start, sigma) if is_slope_free else start, tol=1e-12)
    assert np.abs(score(found.x)).max() < 1e-6
    v = fit(found.x) * (1 - fit(found.x)) * SHARES
    hessian = (columns.T * (size * v.sum(1))) @ columns
    if is_slope_free:
        across = columns.T @ (size * (v @ FINE))
        hessian = np.block([[hessian, across[:, None]], [across, size @ (v @ FINE**2)]])
    weights = np.append(weights, np.zeros(len(hessian) - q))
    return weights @ found.x, weights @ np.linalg.solve(hessian, weights)


@pytest.mark.parametrize("sigma", [0.3, 0.8, 1.5])
@pytest.mark.parametrize("kind", ["sets", "trend", "product", "adjusted_product", "products"])
def test_adjusted_coefficients_solve_the_expected_score_equations(kind, sigma):
    for log_odds, n in cohorts(20, seed=1):
        expected, variance = solution(kind, log_odds, sigma, n, is_slope_free=False)
        mean, _, own, _ = law_of(kind, log_odds, sigma, n, is_adjusted=True)
        assert abs(mean - expected) < 1e-3 * np.sqrt(variance)
        assert own == pytest.approx(variance, rel=1e-3)


@pytest.mark.parametrize("kind", ["regimens", "sets", "product", "products"])
def test_a_slope_that_is_fitted_too_changes_little(kind):
    # The law holds the effect of the score at its truth; a paper estimates it beside the arms.
    off, wider = [], []
    for log_odds, n in cohorts(40, seed=1):
        expected, variance = solution(kind, log_odds, 0.8, n, is_slope_free=True)
        mean, _, own, _ = law_of(kind, log_odds, 0.8, n, is_adjusted=True)
        off.append(abs(mean - expected) / np.sqrt(variance))
        wider.append(np.sqrt(variance / own) - 1)
    # Largest for sets of arms far apart, where the slope of the score is that of a mixture. A wider
    # interval is a loss by adjustment like any other.
    assert np.median(off) < 0.05
    assert max(off) < 0.5
    assert -0.02 < min(wider) < max(wider) < 0.1
    assert abs(np.median(wider)) < 0.01


# --- Derivatives -----------------------------------------------------------------------------------


@pytest.mark.parametrize("sigma", [None, 0.8, 1.5])
@pytest.mark.parametrize("is_adjusted", [False, True])
def test_lever_and_drift_are_derivatives_in_the_events_of_arms(sigma, is_adjusted):
    step = 1e-4
    several = Regressions(tuple(every(is_adjusted)))
    # Milder arms: the derivative is that of a coefficient that few Newton steps find exactly.
    for log_odds, n in ((-1.2 + 0.4 * (x + 1.2), n) for x, n in cohorts(10, seed=4)):
        law = several.moments(np, log_odds, sigma, n)
        per_event = n * averages(np, log_odds, sigma).weight
        for arm in range(len(LABELS)):
            move = step * np.eye(len(LABELS))[arm]
            up = several.moments(np, log_odds + move, sigma, n)
            down = several.moments(np, log_odds - move, sigma, n)
            lever = (up.mean - down.mean) / (2 * step) / per_event[arm]
            drift = np.log(up.variance / down.variance) / (4 * step) / per_event[arm]
            # Of the largest of that claim: an arm that hardly matters has hardly a derivative.
            scale = np.abs(law.lever).max(1)
            assert (np.abs(lever - law.lever[:, arm]) < 2e-4 * scale).all()
            scale = np.abs(law.drift).max(1)
            assert (np.abs(drift - law.drift[:, arm]) < 2e-3 * scale).all()


@pytest.mark.parametrize("sigma", SIGMAS)
def test_centre_inverts_averages(sigma):
    log_odds = np.linspace(-4, 3, 141)
    risk = averages(np, log_odds, sigma).risk
    # 1e-4 standard errors of any arm up to SD 1.5; the start is not as near beyond.
    tolerance = 1e-5 if (sigma or 0.0) < 2 else 1e-3
    np.testing.assert_allclose(centre(np, risk, sigma), log_odds, atol=tolerance)


@pytest.mark.parametrize("sigma", [0.0, 0.3, 0.8, 1.5])
def test_fifteen_nodes_average_as_sixty_one_do(sigma):
    log_odds = np.linspace(-5, 4, 91)
    np.testing.assert_allclose(
        averages(np, log_odds, sigma).risk, mean_risk(log_odds, sigma), atol=1e-5
    )


# --- One operator ----------------------------------------------------------------------------------


def test_jax_and_numpy_give_the_same_numbers():
    both = Regressions((*every(False), *every(True)))
    compiled = jax.jit(lambda *given: asdict(both.moments(jnp, *given)))
    for at, size in cohorts(5):
        assert_alike(compiled(at, 0.8, size), asdict(both.moments(np, at, 0.8, size)))


def test_the_joint_law_is_the_same_in_jax_and_numpy():
    numbers = estimates_of(load_study("sun2024").resolve("mutually-adjusted-products"))
    compiled = jax.jit(lambda *given: joint_distribution(jnp, numbers, *given, 0.1)._asdict())
    for at, size in cohorts(5):
        own = joint_distribution(np, numbers, at, 0.8, 0.1, size, 0.1)
        assert_alike(compiled(at, 0.8, 0.1, size), own._asdict())


def test_the_distribution_of_standard_errors_is_the_same_in_jax_and_numpy():
    numbers = estimates_of(load_study("sun2024").resolve("mutually-adjusted-products"))
    values = numbers.values[numbers.points]

    def widths(xp, at, size):
        known = values, numbers.rounding
        return width_distribution(xp, numbers, at, 0.8, 0.1, size, 0.1, *known)._asdict()

    compiled = jax.jit(lambda *at: widths(jnp, *at))
    for at, size in cohorts(3):
        assert_alike(compiled(at, size), widths(np, at, size))


def assert_alike(found, expected):
    assert found.keys() == expected.keys()
    for name, part in expected.items():
        np.testing.assert_allclose(found[name], part, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("is_adjusted", [False, True])
def test_other_labels_and_another_order_change_nothing(is_adjusted):
    new = {"A": "C", "B": "A", "C": "B"}

    def renamed(words):
        if not isinstance(words, str):
            return tuple(renamed(part) for part in words)
        return "".join(new.get(letter, letter) for letter in words)

    order = np.random.default_rng(5).permutation(len(LABELS))
    arms = [regimens.parse(renamed(LABELS[at])) for at in order]
    other = Cohort(("B", "C", "A"), tuple(arms))
    there = Regressions(
        tuple(one_of(kind, is_adjusted, other, renamed(words)) for kind, words in WORDS.items())
    )
    here = Regressions(tuple(one_of(kind, is_adjusted) for kind in WORDS))
    for log_odds, n in cohorts(10):
        own, same = (
            here.moments(np, log_odds, 0.8, n),
            there.moments(np, log_odds[order], 0.8, n[order]),
        )
        np.testing.assert_allclose(same.mean, own.mean, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(same.variance, own.variance, rtol=1e-9)
        np.testing.assert_allclose(same.lever, own.lever[:, order], rtol=1e-8, atol=1e-12)
        np.testing.assert_allclose(same.drift, own.drift[:, order], rtol=1e-8, atol=1e-12)


def test_coefficients_do_not_depend_on_what_stands_beside_them():
    together = Regressions((*every(True), *every(False)))
    for log_odds, n in cohorts(5):
        law = together.moments(np, log_odds, 0.8, n)
        for at, one in enumerate(together.coefficients):
            alone = Regressions((one,)).moments(np, log_odds, 0.8, n)
            np.testing.assert_allclose(law.mean[at], alone.mean[0], rtol=1e-12)
            np.testing.assert_allclose(law.lever[at], alone.lever[0], rtol=1e-10, atol=1e-15)


# --- Simulated patients ----------------------------------------------------------------------------


@pytest.mark.slow
def test_the_joint_law_is_that_of_simulated_patients():
    script, cohorts_simulated = simulate_operator, 3000
    (setting,) = (c for c in script.CONFIGURATIONS if c.name == "big, σ 0.8")
    table = script.run(setting, cohorts_simulated, seed=1)
    assert setting.fewest > script.ENOUGH
    assert table["bar"].notna().sum() > 100
    # Monte Carlo errors: 1/√(2C) = 1.3 % of an SD, (1 − r²)/√C ≤ 0.018 of a correlation, 0.03 % of a
    # standard error. Allowed are four of them for a correlation (91 pairs), three for an SD (14).
    noise = {
        "sd": 3 / np.sqrt(2 * cohorts_simulated),
        "correlation": 4 * (1 - table["law"] ** 2) / np.sqrt(cohorts_simulated),
        "standard error": 0.001,
    }
    for quantity, allowed in noise.items():
        beyond = table["deviation"].abs() - table["bar"] - allowed
        assert beyond[table["quantity"] == quantity].max() < 0, quantity
    means = table.loc[table["quantity"] == "mean", "deviation"]
    # In SDs: finite samples move log odds ratios by up to 0.03 here, Monte Carlo by 4/√C = 0.07.
    assert means.abs().max() < 0.1


@pytest.mark.slow
def test_what_adjustment_loses_is_independent_of_the_crude_number():
    script = simulate_operator
    (setting,) = (c for c in script.CONFIGURATIONS if c.pull)
    found, plain = (script.simulate(s, 1500, 2) for s in (setting, replace(setting, pull=0.0)))
    lines = script.covariate_lines(setting, found, plain)
    losses = lines[lines["quantity"] == "1 + loss"].set_index("row")["simulated"]
    assert losses["tac"] > 1.2
    own = lines[lines["quantity"] == "correlation with crude"]
    # Monte Carlo: (1 − r²)/√C ≤ 0.012 at r = 0.75; three of them.
    assert own["deviation"].abs().max() < script.CORRELATION_BAR + 0.036
