import numpy as np
import pytest
from scipy import integrate, stats

from cotreat import load_study, parse_study
from cotreat.core.errors import ModelError
from cotreat.evidence.counts import distance
from cotreat.models.registry import MODELS
from cotreat.models.select import priors_for
from cotreat.priors.belief_grid import BELIEFS, GRID, INTERACTION_GRID, NAMES, grid_name
from cotreat.priors.sets import prior_set
from tests.conftest import THREE, THREE_CELLS, arms


@pytest.fixture(scope="module")
def isis2():
    return load_study("isis2")


def test_the_intercept_of_a_case_control_study_is_no_risk():
    alpha = prior_set("weak", load_study("oral-cancer"))["alpha"]
    assert alpha.in_words() == "share of cases 0.01 to 0.99"
    assert "set by the sampling" in alpha.meaning


def test_every_parameter_of_every_model_has_a_row_with_a_reason(isis2):
    weak = prior_set("weak", isis2)
    for model in MODELS.values():
        rows = priors_for(weak, model, isis2).rows
        assert {row.variable for row in rows} == set(model.parameters)
        assert all(row.reason and row.meaning for row in rows)


def test_weak_is_marked_as_chosen_by_nobody(isis2):
    assert set(prior_set("weak", isis2).table()["chosen by"]) == {"default"}


def test_the_prior_of_the_intercept_is_shown_as_a_risk(isis2):
    assert prior_set("weak", isis2)["alpha"].in_words() == "risk 0.01 to 0.99"


@pytest.mark.parametrize(
    ("name", "mean", "sd"),
    [
        # Zampieri et al. 2021: a neutral moderate prior has 95 % of the odds ratio in 0.5 to 2.
        ("neutral", 0, 0.355),
        ("grid:neutral-weak", 0, 5),
        ("grid:neutral-strong", 0, 0.205),
        ("enthusiastic", np.log(2), np.log(2) / 1.0364334),
        ("pessimistic", -np.log(2), np.log(2) / 1.0364334),
        # 5 % beyond an odds ratio of 2 (Spiegelhalter, Freedman & Parmar 1994).
        ("sceptical", 0, np.log(2) / 1.6448536),
        ("grid:optimistic-strong", np.log(2), np.log(2) / 1.6448536),
    ],
)
def test_beliefs_about_a_benefit(three, name, mean, sd):
    beta = prior_set(name, three)["beta"]
    assert beta.mu == pytest.approx(mean)
    assert beta.sigma == pytest.approx(sd, rel=1e-6)
    assert beta.chosen_by == "user"


@pytest.mark.parametrize(
    ("strength", "beyond"), [("weak", 0.3), ("moderate", 0.15), ("strong", 0.05)]
)
def test_an_optimist_leaves_the_stated_share_beyond_the_null(three, strength, beyond):
    beta = prior_set(f"grid:optimistic-{strength}", three)["beta"]
    assert stats.norm.cdf(0, beta.mu, beta.sigma) == pytest.approx(beyond)


def test_an_optimist_about_a_harm_expects_less_of_it(isis2):
    assert prior_set("enthusiastic", isis2)["beta"].mu == pytest.approx(-np.log(2))
    assert prior_set("pessimistic", isis2)["beta"].mu == pytest.approx(np.log(2))


def test_a_pessimist_about_exposures_expects_no_harm_of_them():
    study = load_study("factor-v-leiden")
    assert prior_set("pessimistic", study)["beta"].mu == pytest.approx(-np.log(2))
    assert prior_set("enthusiastic", study)["beta"].mu == pytest.approx(np.log(2))


def test_distance_of_counts_from_a_prior(isis2):
    # 568 of 4300: log-odds of (568.5 / 4301), sampling variance 1 / (4301 p (1 - p)).
    share = 568.5 / 4301
    expected = (np.log(share / (1 - share)) + 3) / np.sqrt(0.25 + 1 / (4301 * share * (1 - share)))
    assert distance(-3.0, 0.25, isis2)[0] == pytest.approx(expected)


def test_a_study_can_say_its_own_reference_risk():
    baseline = '\n[baseline]\nrisk = [0.1, 0.3]\nsource = "earlier cohort"\n'
    text = THREE.replace('"any(A, B, C)"', '"all"') + baseline
    weak = prior_set("weak", parse_study(text + arms({**THREE_CELLS, "none": (20, 4)})))
    for variable in ("alpha", "m"):
        assert weak[variable].in_words() == "risk 0.10 to 0.30"
        assert weak[variable].reason == "earlier cohort"
        assert weak[variable].chosen_by == "study file"


def test_a_baseline_outside_the_cohort_is_no_mean_of_its_regimens():
    baseline = '\n[baseline]\nrisk = [0.1, 0.3]\nsource = "earlier cohort"\n'
    weak = prior_set("weak", parse_study(THREE + baseline + arms(THREE_CELLS)))
    assert weak["alpha"].in_words() == "risk 0.10 to 0.30"
    assert weak["m"].in_words() == "risk 0.01 to 0.99"
    assert weak["m"].chosen_by == "default"


def test_a_changed_row_is_marked_as_the_users(isis2):
    wide = prior_set("weak", isis2).change("gamma", sigma=1.0, name="wide", reason="as an effect")
    assert (wide.name, wide["gamma"].sigma, wide["gamma"].chosen_by) == ("wide", 1.0, "user")
    assert wide["beta"] == prior_set("weak", isis2)["beta"]


def test_a_belief_about_effects_is_refused_where_there_are_none(isis2):
    with pytest.raises(ModelError, match="saturated has no such parameter"):
        priors_for(prior_set("sceptical", isis2), MODELS["saturated"], isis2)


def test_names():
    assert len(GRID) == 9
    assert NAMES[:4] == ("weak", "exposures", "sceptical", "pessimistic")


def test_unknown_set_names_the_known_ones(isis2):
    with pytest.raises(
        ModelError, match="no prior set 'flat'; the prior sets are weak, exposures, sceptical"
    ):
        prior_set("flat", isis2)


def test_beliefs_about_interactions(three):
    def row(name):
        return prior_set(name, three)["gamma"]

    # Half the size of an effect on the log scale: a ratio of odds ratios of √2, with the same share of
    # the prior beyond the null; a neutral belief has the SDs of Zampieri et al. 2021.
    optimist = row("interactions:optimistic-strong")
    assert optimist.mu == pytest.approx(np.log(2) / 2)
    assert stats.norm.cdf(0, optimist.mu, optimist.sigma) == pytest.approx(0.05)
    assert row("interactions:pessimistic-weak").mu == pytest.approx(-np.log(2) / 2)
    assert (
        row("interactions:neutral-moderate").mu,
        row("interactions:neutral-moderate").sigma,
    ) == (
        0,
        0.355,
    )
    assert row("grid:optimistic-strong") == row("weak")


@pytest.mark.parametrize("belief", BELIEFS)
def test_a_belief_about_relatives_is_the_same_about_each_pair(three, belief):
    """γ ~ Normal(μ, τ), μ and τ half-normal: mean that of μ, variance Var μ + E τ²."""
    own = prior_set(f"interactions:{belief}", three)
    mean, sd = own["gamma"].mu, own["gamma"].sigma
    mu, tau = own["mu"], own["tau"]
    assert mu.mu == pytest.approx(mean)
    of_tau, _ = integrate.quad(lambda t: t**2 * stats.halfnorm.pdf(t, scale=tau.sigma), 0, np.inf)
    assert np.sqrt(mu.sigma**2 + of_tau) == pytest.approx(sd)
    assert tau.sigma / mu.sigma == pytest.approx(2)  # as in the default: 0.5 and 0.25


@pytest.mark.parametrize(
    ("strength", "beyond"), [("weak", 0.245), ("moderate", 0.109), ("strong", 0.045)]
)
def test_of_relatives_somewhat_less_lies_beyond_the_null(three, strength, beyond):
    """A mixture of normals is narrower in the middle than one normal of its SD, with longer tails."""
    own = prior_set(f"interactions:pessimistic-{strength}", three)
    mu, tau = own["mu"], own["tau"]
    found, _ = integrate.quad(
        lambda t: (
            stats.norm.sf(-mu.mu / np.hypot(mu.sigma, t)) * stats.halfnorm.pdf(t, scale=tau.sigma)
        ),
        0,
        np.inf,
    )
    assert found == pytest.approx(beyond, abs=0.001)


def test_an_optimist_about_interactions_in_a_harm_expects_less_of_it(isis2):
    assert prior_set("interactions:optimistic-weak", isis2)["gamma"].mu == pytest.approx(
        -np.log(2) / 2
    )


def test_beliefs_about_effects_and_interactions_together(three):
    both = prior_set("grid:neutral-strong:optimistic-weak", three)
    assert both["beta"] == prior_set("grid:neutral-strong", three)["beta"]
    assert both["gamma"] == prior_set("interactions:optimistic-weak", three)["gamma"]
    assert both["alpha"] == prior_set("weak", three)["alpha"]


def test_every_pair_of_beliefs_has_a_name(three):
    beliefs = ("", *BELIEFS)
    names = {grid_name(one, other) for one in beliefs for other in beliefs}
    assert len(names) == 100
    assert all(prior_set(name, three).name == name for name in names)
    assert {"weak", *GRID, *INTERACTION_GRID} < names


def test_the_unstated_part_of_a_belief_is_the_default_of_the_study(isis2):
    exposures = load_study("factor-v-leiden")
    for study, default in ((isis2, "weak"), (exposures, "exposures")):
        own = prior_set(None, study)
        assert own.name == default
        assert prior_set("neutral", study)["gamma"] == own["gamma"]
        assert prior_set("interactions:neutral-weak", study)["beta"] == own["beta"]


def test_two_widths_of_the_prior_on_interactions(isis2):
    sds = {
        name: [prior_set(name, isis2)[of].sigma for of in ("gamma", "mu", "tau", "beta")]
        for name in ("weak", "interactions:narrow", "interactions:wide", "exposures")
    }
    assert sds["weak"] == sds["interactions:narrow"] == [0.5, 0.25, 0.5, 1.0]
    assert sds["interactions:wide"] == [1.0, 0.5, 1.0, 1.0]
    assert sds["exposures"] == [1.0, 0.5, 1.0, 2.5]


def test_a_belief_about_interactions_is_refused_where_there_are_none(isis2):
    sceptic = prior_set("interactions:neutral-strong", isis2)
    with pytest.raises(ModelError, match="belief about interactions, but additive has no such"):
        priors_for(sceptic, MODELS["additive"], isis2)


@pytest.mark.parametrize(
    "name", ["grid:neutral", "interactions:neutral-weak:neutral-weak", "grid", "weak:neutral-weak"]
)
def test_half_a_belief_is_none(isis2, name):
    with pytest.raises(ModelError, match="no prior set"):
        prior_set(name, isis2)
