"""Unmeasured confounding inside the posterior, against sums, exact splits and fits one by one."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit, logit
from scipy.stats import binom

from cotreat import load_study, parse_study
from cotreat.bias.e_values import e_value
from cotreat.bias.records import QUANTITIES, SINGLE_SD, STANDINGS, Surface, standing
from cotreat.bias.unmeasured_confounding import (
    LARGEST,
    allowed_table,
    conclusions,
    grid_table,
    points_table,
    surfaces,
    with_confounding,
    without_bias,
)
from cotreat.calibration.kept import TEMPLATES, template
from cotreat.core.constants import IDENTIFIED
from cotreat.core.errors import ModelError
from cotreat.estimands.enumerate import enumerate_estimands
from cotreat.estimands.estimand import is_beyond_null
from cotreat.estimands.identification import Status
from cotreat.evidence.resolve import resolve
from cotreat.inference.batch import Specification, fit_many
from cotreat.inference.laplace import UNRELIABLE
from cotreat.inference.vectorise import deterministics, log_densities
from cotreat.models.build import build, shape_of
from cotreat.models.registry import MODELS, find_model
from cotreat.models.select import priors_for
from cotreat.plots import tipping
from cotreat.plots.records import Bias
from cotreat.plots.style import off_screen
from cotreat.priors.sets import prior_set
from tests.codes import code, codes
from tests.shared import draws_of as fit
from tests.test_summary import draws as draws_of

TWO = """
format = 1
study = { id = "two", title = "two", design = "cohort", source = "s" }
outcome = { name = "response", direction = "benefit" }
treatments = { A = { name = "drug A" }, B = { name = "drug B" } }
"""
HUGE = {"none": 0.2, "A": 0.3, "B": 0.25, "A+B": 0.5}


def counted(cells, n):
    arms = "".join(
        f'[[arms]]\nregimen = "{name}"\nn = {n}\nevents = {round(n * risk)}\n'
        for name, risk in cells.items()
    )
    return parse_study(TWO + arms)


@pytest.fixture(scope="module")
def huge():
    """So many patients that the log-odds of each regimen are known to 0.015."""
    return counted(HUGE, 30_000)


def evidence(study, name, priors, draws):
    """Return the log density of the evidence, and the deterministics, at some draws."""
    built = build(study, find_model(name, study), priors)
    own = {rv.name: draws[rv.name] for rv in built.free_RVs}
    logs = log_densities(built, built.observed_RVs, own)
    return sum(v.sum(axis=tuple(range(1, v.ndim))) for v in logs.values()), deterministics(
        built, own
    )


@pytest.mark.parametrize("name", ["isis2-cohort", "reported-adjusted", "patients"])
def test_evidence_is_about_effects_and_bias_together_estimands_about_effects(name):
    """Counts, printed numbers, patients: β and γ with a bias have the density of β + bias, γ + bias."""
    study = template(name) if name in TEMPLATES else load_study(name.removesuffix("-cohort"))
    study = replace(study, design="cohort")
    model = MODELS["interaction"]
    weak = priors_for(prior_set("weak", study), model, study)
    biased = with_confounding(weak, single=(0.4, 0.2), products=(-0.3, 0.1))
    rng = np.random.default_rng(3)
    built = build(study, model, biased)
    start = {rv.name: built.initial_point() for rv in built.free_RVs}
    assert {"bias_beta_z", "bias_gamma_z"} <= set(start)
    shapes = {rv.name: tuple(rv.shape.eval()) for rv in built.free_RVs}
    draws = {key: rng.normal(0, 0.3, (2, *shape)) for key, shape in shapes.items()}
    for key, values in draws.items():
        if key in ("sigma", "loss", "between"):
            draws[key] = np.abs(values)
        if key.startswith("share"):
            draws[key] = rng.dirichlet(np.ones(shapes[key][0]), 2)
    bias = {
        "beta": 0.4 + 0.2 * draws["bias_beta_z"],
        "gamma": -0.3 + 0.1 * draws["bias_gamma_z"],
    }
    # The intercept is at the centre of the design, where the mean of the biases moves it.
    centre = {"beta": study.content(study.present), "gamma": study.products(study.present)}
    moved = {
        **draws,
        **{key: draws[key] + by for key, by in bias.items()},
        "alpha": draws["alpha"] + sum(bias[key] @ centre[key].mean(0) for key in bias),
    }
    logs, own = evidence(study, "interaction", biased, draws)
    plain, seen = evidence(study, "interaction", weak, moved)
    _, effects = evidence(study, "interaction", weak, draws)
    assert logs == pytest.approx(plain, rel=1e-9)
    assert own["confounded_risk"] == pytest.approx(seen["risk"], rel=1e-9)
    for key in ("risk", "log_ratio", "conditional_risk"):
        if key in effects:
            assert own[key] == pytest.approx(effects[key], rel=1e-9)


@pytest.mark.parametrize("name", ["saturated", "additive"])
def test_counts_see_confounded_log_odds_under_every_model(name):
    study = counted(HUGE, 400)
    model = MODELS[name]
    priors = with_confounding(
        priors_for(prior_set("weak", study), model, study), single=(0.4, 0.0), products=(-0.3, None)
    )
    built = build(study, model, priors)
    rng = np.random.default_rng(1)
    draws = {rv.name: np.abs(rng.normal(0, 0.5, (1, *rv.shape.eval()))) for rv in built.free_RVs}
    if "z" in draws:
        draws["z"] -= draws["z"].mean()
    logs, own = evidence(study, name, priors, draws)
    eta = logit(own["risk"][0]) + study.content(study.regimens) @ [0.4, 0.4]
    eta += study.products(study.regimens) @ [-0.3]
    expected = binom.logpmf(study.events, study.n, expit(eta)).sum()
    assert float(logs[0]) == pytest.approx(expected, rel=1e-9)


@pytest.mark.slow
def test_a_known_log_ratio_is_split_as_normals_are(huge):
    """What is seen is γ + c = g: γ | g is normal, its mean (g − m) σ²/(σ² + s²), closed form."""
    log_odds = dict(zip(huge.regimens, logit(huge.events / huge.n), strict=True))
    ratio = log_odds["A+B"] - log_odds["A"] - log_odds["B"] + log_odds["none"]
    effect = log_odds["A"] - log_odds["none"]
    weak = prior_set("weak", huge)
    stated = {"single": (0.2, 0.3), "products": (0.1, 0.25)}
    uncertain, known = fit_many(
        [
            Specification(huge, "interaction", with_confounding(weak, **stated)),
            Specification(
                huge, "interaction", with_confounding(weak, single=(0.2, 0.0), products=(0.1, 0.0))
            ),
        ],
        effective=4000,
        draws=4000,
    )
    assert UNRELIABLE not in (uncertain.verdict, known.verdict)
    eta = logit(uncertain.risk_draws["risk"])
    none, a, b, both = (eta.sel(arm=arm).values.ravel() for arm in huge.regimens)
    for seen, draws, (mean, sd), own in (
        (ratio, both - a - b + none, stated["products"], 0.5),
        (effect, a - none, stated["single"], 1.0),
    ):
        share = own**2 / (own**2 + sd**2)
        spread = own * sd / np.hypot(own, sd)
        assert draws.mean() == pytest.approx(share * (seen - mean), abs=0.05 * spread)
        assert draws.std() == pytest.approx(spread, rel=0.04)
    # A bias that is known leaves nothing open: the data's ratio less the bias.
    eta = logit(known.risk_draws["risk"])
    none, a, b, both = (eta.sel(arm=arm).values.ravel() for arm in huge.regimens)
    assert (both - a - b + none) == pytest.approx(ratio - 0.1, abs=0.15)
    assert (a - none) == pytest.approx(effect - 0.2, abs=0.1)


@pytest.mark.slow
def test_a_printed_number_is_split_too_and_predicted_with_its_bias():
    """A crude odds ratio without sizes: β + b ~ Normal(log 4, 0.1), β ~ Normal(0, 1), b ~ Normal(0, 0.5)."""
    half = 0.1 * 1.959964
    ends = [round(float(4 * np.exp(s * half)), 4) for s in (-1, 1)]
    reported_estimate = (
        f'[[reported]]\nid = "one"\nkind = "odds_ratio"\ncontrast = "A vs none"\nvalue = 4.0000\nci = {ends}\n'
        'source = "s"\n'
    )
    study = parse_study(TWO + reported_estimate)
    priors = with_confounding(prior_set("weak", study), single=(0.0, 0.5), products=(0.0, None))
    tree = fit(study, "additive", priors, engine="laplace", draws=1000)
    posterior = tree["posterior"].to_dataset()
    beta = posterior["beta"].sel(treatment="A")
    total = 1 + 0.25 + 0.01
    assert float(beta.mean()) == pytest.approx(np.log(4) / total, abs=0.05)
    assert float(beta.std()) == pytest.approx(np.sqrt(1 - 1 / total), rel=0.06)
    assert posterior["log_ratio"].sel(reported_estimate="one").values == pytest.approx(
        beta.values, abs=1e-9
    )
    again = tree["posterior_predictive"]["reported"].sel(row="one")
    seen = (np.log(4) * 1.25 + 0) / total
    assert float(again.mean()) == pytest.approx(seen, abs=0.02)


def test_randomised_studies_have_no_confounding_to_state():
    study = load_study("isis2")
    with pytest.raises(ModelError, match="unmeasured confounding, but isis2 was randomised"):
        fit(study, "interaction", with_confounding(prior_set("weak", study)))


def test_numbers_of_a_bias_are_data_and_a_known_one_has_another_shape():
    study = counted(HUGE, 100)
    model = MODELS["interaction"]
    weak = priors_for(prior_set("weak", study), model, study)
    one, other = (with_confounding(weak, single=(b, 0.0)) for b in (0.1, 0.7))
    known = with_confounding(weak, single=(0.1, None))
    shapes = [shape_of(study, model, own) for own in (one, other, known, weak)]
    assert shapes[0] == shapes[1]
    assert len(set(shapes)) == 3
    assert [row.variable for row in with_confounding(one).rows] == [
        row.variable for row in one.rows
    ]


def test_plausible_is_a_factor_of_two_and_says_what_makes_it():
    rows = with_confounding(prior_set("weak", load_study("sun2024"))).table()
    rows = rows.set_index("variable")
    assert rows.loc["bias_beta", "central 95%"] == "factor 0.50 to 2.00"
    assert rows.loc["bias_gamma", "central 95%"] == "factor 0.71 to 1.41"
    assert np.exp(1.959964 * SINGLE_SD) == pytest.approx(2.0)
    # The bounding factor of a confounder equally tied to both is 2 on odds where these E-values are reached.
    reason = rows.loc["bias_beta", "reason"]
    assert f"{float(e_value(np.sqrt(2))):.1f} times (common" in reason
    assert f"{float(e_value(2.0)):.1f} times (rare" in reason


def test_standing_is_supported_at_the_thresholds_themselves():
    found = [standing(p) for p in (0.975, 0.974, 0.5, 0.499, 0.026, 0.025)]
    assert found == [STANDINGS[at] for at in (0, 1, 1, 1, 1, 2)]


def normal_draws(study, sd=0.1, count=4000):
    """Draw independent normal log-odds about those of the counts, with their risks."""
    eta = logit(study.events / study.n) + np.random.default_rng(1).normal(0, sd, (1, count, 4))
    return eta, draws_of(expit(eta[0]), study.regimens).to_dataset(name="risk")


def test_a_surface_shifts_the_draws_by_the_bias():
    study = counted({"none": 0.2, "A": 0.3, "B": 0.25, "A+B": 0.5}, 300)
    weak = prior_set("weak", study)
    eta, risk_draws = normal_draws(study)
    found, failed = surfaces(study, MODELS["interaction"], weak, risk_draws, steps=1, seed=1)
    assert not failed
    assert [code(one.estimand) for one in found] == [
        *(f"odds_ratio[A+B vs {one}]" for one in "AB"),
        "ror[A:B]",
        "ic[A:B]",
    ]
    none, a, b, both = np.moveaxis(eta[0], -1, 0)
    against_a, _, ror, ic = found
    for i, j in np.ndindex(3, 3):
        single, product = against_a.single[i], against_a.products[j]
        log_or = both - a - single - product  # one treatment and one pair more
        log_ror = both - a - b + none - product
        for one, log in ((against_a, log_or), (ror, log_ror)):
            assert one.probability[i, j] == pytest.approx((log > 0).mean())
            limits = np.exp(np.quantile(log, [0.025, 0.5, 0.975]))
            own = [getattr(one, name)[i, j] for name in ("lower", "estimate", "upper")]
            assert own == pytest.approx(limits, rel=1e-6)
        risks = [none, a - single, b - single, both - 2 * single - product]
        contrast = np.array([1, -1, -1, 1]) @ expit(risks)
        assert ic.estimate[i, j] == pytest.approx(np.median(contrast))
    # An odds ratio tips where the bias is the distance of its limit, or of itself, from 1.
    table = points_table(found)
    rows = table[codes(table) == "odds_ratio[A+B vs A]"]
    assert list(rows.tips_at) == ["P 0.975: interval reaches the null", "P 0.5"]
    expected = [rows.lower.iloc[0], rows.estimate.iloc[1]]
    fine, _ = surfaces(study, MODELS["interaction"], weak, risk_draws, steps=8, seed=1)
    assert fine[0].tipping(0.975)[0] == pytest.approx(expected[0], rel=0.01)
    assert fine[0].tipping(0.5)[0] == pytest.approx(expected[1], rel=0.01)
    assert rows.single_factor.tolist() == pytest.approx(expected, rel=0.2)
    assert set(LARGEST) == {"bias_beta", "bias_gamma"}


@pytest.mark.slow
def test_the_shift_is_that_of_fits_with_the_bias_where_priors_say_little():
    study = counted({"none": 0.2, "A": 0.3, "B": 0.25, "A+B": 0.5}, 3000)
    weak = prior_set("weak", study)
    known = {"single": (np.log(1.5), None), "products": (np.log(1.2), None)}
    plain, biased, plausible = fit_many(
        [
            Specification(study, "interaction", own)
            for own in (weak, with_confounding(weak, **known), with_confounding(weak))
        ],
        effective=3000,
        draws=4000,
    )
    shifted = without_bias(study, plain.risk_draws, np.log(1.5), np.log(1.2))
    found, _ = surfaces(study, MODELS["interaction"], weak, plain.risk_draws, steps=1, seed=1)
    for one in found:
        draws, exact = (one.estimand.values(w).values for w in (shifted, biased.risk_draws))
        assert np.median(draws) == pytest.approx(np.median(exact), abs=0.2 * exact.std())
        exact = one.estimand.values(plausible.risk_draws).values
        assert one.plausible["estimate"] == pytest.approx(np.median(exact), abs=0.12 * exact.std())
        beyond = float(is_beyond_null(one.estimand, plausible.risk_draws).mean())
        assert one.plausible["probability"] == pytest.approx(beyond, abs=0.03)


def test_conclusions_of_case_control_studies_are_of_odds():
    study, model = load_study("oral-cancer"), MODELS["interaction"]
    found = conclusions(study, model, draws_of(np.full((5, 4), 0.3), study.regimens))
    assert [code(e) for e, _ in found] == [
        "odds_ratio[ALC+SMK vs ALC]",
        "odds_ratio[ALC+SMK vs SMK]",
        "ror[ALC:SMK]",
        "reri_or[ALC:SMK]",
    ]


def test_the_picture_says_how_many_conclusions_it_leaves_out():
    study = counted(HUGE, 100)
    estimand = enumerate_estimands(study, MODELS["interaction"], resolve(study))[-1]
    steps = np.log([0.5, 1.0, 2.0])
    flat = np.full((3, 3), 0.7)
    one = Surface(
        estimand, Status(IDENTIFIED), steps, steps, *[flat] * len(QUANTITIES), plausible={}
    )
    for count, is_told in ((9, False), (11, True)):
        with off_screen():
            figure = tipping.tipping(Bias(study, "interaction", "weak", [one] * count))
        words = figure.legends[0].get_title().get_text()
        assert ("2 more conclusions are in tipping.csv" in words) == is_told


def test_a_conclusion_is_overturned_where_its_standing_changes():
    study = counted(HUGE, 100)
    estimand = enumerate_estimands(study, MODELS["interaction"], resolve(study))[-1]
    steps = np.log([0.5, 1.0, 2.0])
    chances = np.array([[0.99, 0.98, 0.99], [0.99, 0.99, 0.6], [0.99, 0.99, 0.01]])
    one = Surface(
        estimand, Status(IDENTIFIED), steps, steps, *[chances] * len(QUANTITIES), plausible={}
    )
    table = grid_table([one])
    assert np.flatnonzero(table.is_overturned).tolist() == [5, 8]
    assert table.standing.tolist()[5::3] == [STANDINGS[1], STANDINGS[2]]
    assert list(allowed_table([one]).confounding) == ["none"]  # no plausible bias could be fitted
