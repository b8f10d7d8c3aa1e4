"""Each model's log density against a plain SciPy sum, and its gradient against differences."""

import numpy as np
import pymc as pm
import pytest
from scipy import stats
from scipy.special import expit, logit

from cotreat import load_study
from cotreat.core.errors import ModelError
from cotreat.models.build import build
from cotreat.models.registry import MODELS, find_model
from cotreat.models.select import priors_for
from cotreat.priors.sets import prior_set


def cells(study):
    """Columns of the counted regimens, centred at their mean with equal weights."""
    columns = study.content(study.counted), study.products(study.counted)
    return [of - of.mean(0) for of in columns]


def binomial(study, eta):
    return stats.binom.logpmf(study.events, study.n, expit(eta)).sum()


def intercept(value):
    return stats.norm.logpdf(value, 0, 2.5)


def additive(study, v):
    content, _ = cells(study)
    return (
        intercept(v["alpha"])
        + stats.norm.logpdf(v["beta"], 0, 1).sum()
        + binomial(study, v["alpha"] + content @ v["beta"])
    )


def interaction(study, v):
    content, products = cells(study)
    return (
        intercept(v["alpha"])
        + stats.norm.logpdf(v["beta"], 0, 1).sum()
        + stats.norm.logpdf(v["gamma"], 0, 0.5).sum()
        + binomial(study, v["alpha"] + content @ v["beta"] + products @ v["gamma"])
    )


def zero_sum(free):
    """Map k − 1 free coordinates to k numbers that sum to 0, lengths kept (a Householder reflection)."""
    k = len(free) + 1
    shift = free.sum() / (np.sqrt(k) + k)
    return np.append(free, shift - free.sum() / np.sqrt(k)) - shift


def relatives(own_mean, tau, free, mean, sd):
    """Return k relatives Normal(M, tau), and their log density with M ~ Normal(mean, sd) integrated out.

    The density is in the coordinates of the sampler: own mean and free deviations.
    """
    values = own_mean + tau * zero_sum(free)
    k = len(values)
    covariance = tau**2 * np.eye(k) + sd**2 * np.ones((k, k))
    joint = stats.multivariate_normal.logpdf(values, np.full(k, mean), covariance)
    return values, joint + 0.5 * np.log(k) + (k - 1) * np.log(tau)


def exchangeable(study, v):
    content, products = cells(study)
    tau = np.exp(v["tau_log__"])
    gamma, density = relatives(v["mu"], tau, v["z_zerosum__"], 0, 0.25)
    return (
        intercept(v["alpha"])
        + stats.norm.logpdf(v["beta"], 0, 1).sum()
        + density
        + stats.halfnorm.logpdf(tau, scale=0.5)
        + v["tau_log__"]  # the sampler works on log tau
        + binomial(study, v["alpha"] + content @ v["beta"] + products @ gamma)
    )


def saturated(study, v):
    tau = np.exp(v["tau_arm_log__"])
    eta, density = relatives(v["m"], tau, v["z_zerosum__"], 0, 2.5)
    return density + stats.halfnorm.logpdf(tau, scale=1) + v["tau_arm_log__"] + binomial(study, eta)


PLAIN = {f.__name__: f for f in (additive, interaction, exchangeable, saturated)}
CASES = [
    (study, model)
    for study in ("isis2", "oral-cancer", "factor-v-leiden", "three", "gap")
    for model in PLAIN
    if model != "exchangeable" or study in ("three", "gap")
]


@pytest.fixture(params=CASES, ids="-".join)
def case(request):
    name, model = request.param
    local = name in ("three", "gap")
    return request.getfixturevalue(name) if local else load_study(name), MODELS[model]


def stated(study, model):
    return build(study, model, priors_for(prior_set("weak", study), model, study))


def points(built, count):
    rng = np.random.default_rng(20261122)
    start = built.initial_point()
    return [{k: rng.normal(-0.5, 0.7, np.shape(v)) for k, v in start.items()} for _ in range(count)]


def test_log_density_is_the_plain_sum(case):
    study, model = case
    built = stated(study, model)
    density = built.compile_logp(mode="FAST_COMPILE")
    for point in points(built, 5):
        assert density(point) == pytest.approx(PLAIN[model.name](study, point), rel=1e-8)


def test_gradient_agrees_with_finite_differences(case):
    study, model = case
    built = stated(study, model)
    gradient = built.compile_dlogp(mode="FAST_COMPILE")
    (point,) = points(built, 1)
    step = 1e-6
    expected = []
    for value in built.value_vars:
        for index in np.ndindex(np.shape(point[value.name])):
            ends = []
            for side in (step, -step):
                moved = {k: np.array(v, dtype=float) for k, v in point.items()}
                moved[value.name][index] += side
                ends.append(PLAIN[model.name](study, moved))
            expected.append((ends[0] - ends[1]) / (2 * step))
    np.testing.assert_allclose(gradient(point), expected, rtol=1e-5, atol=1e-4)


def test_dims_are_named(three):
    built = stated(three, MODELS["interaction"])
    assert built.named_vars_to_dims == {
        "beta": ("treatment",),
        "gamma": ("pair",),
        "risk": ("arm",),
        "events": ("counted",),
    }
    assert list(built.coords["pair"]) == ["A:B", "A:C", "B:C"]
    assert len(built.coords["arm"]) == 8
    assert len(built.coords["counted"]) == 7


def test_risk_without_structure_is_of_counted_regimens_only(gap):
    built = stated(gap, MODELS["saturated"])
    assert tuple(built.coords["arm"]) == gap.counted


def test_a_risk_is_what_its_log_odds_say(three):
    built = stated(three, MODELS["interaction"])
    values = {"alpha": -1.0, "beta": np.array([0.5, 0.2, -0.3]), "gamma": np.array([0.1, 0.4, 0.0])}
    given = pm.do(built, values)
    risk = given["risk"].eval(mode="FAST_COMPILE")
    by_arm = dict(zip(built.coords["arm"], risk, strict=True))
    log_odds = {name: logit(value) for name, value in by_arm.items()}
    assert log_odds["A+B"] - log_odds["none"] == pytest.approx(0.5 + 0.2 + 0.1)
    assert log_odds["A+B+C"] - log_odds["none"] == pytest.approx(0.4 + 0.5)
    assert np.mean([log_odds[name] for name in three.counted]) == pytest.approx(-1.0)


def test_exchangeable_is_refused_for_one_pair():
    with pytest.raises(ModelError, match=r"at least 2 pairs .* isis2 has 1, so use interaction"):
        find_model("exchangeable", load_study("isis2"))


def test_unknown_model_names_the_known_ones():
    with pytest.raises(ModelError, match="exchangeable, interaction, saturated, additive"):
        find_model("probit", load_study("isis2"))
