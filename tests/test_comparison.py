"""Model comparison: leave-one-out, Bayes factors and averages, against closed forms and brute force."""

from dataclasses import replace
from functools import cache

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats
from scipy.special import expit

from cotreat import bayes_factors, left_out, load_study, parse_study, sampling, store
from cotreat.bayes_factors import grade
from cotreat.catalogue import find_model
from cotreat.cli import main
from cotreat.comparison import write
from cotreat.evidence import claims
from cotreat.left_out import Unit, Units, units_of
from cotreat.loo import BY_WEIGHTS, LeftOut, compare, good_only, leave_one_out, refitted
from cotreat.marginal import Marginals, _given_zero
from cotreat.normals import Normals, terms
from cotreat.parts import read_part
from cotreat.plots.left_out import panels_of
from cotreat.priors import prior_set

COUNTS = ("isis2", "oral-cancer", "factor-v-leiden")


# --- By brute force: a two-by-two table of counts, independent of the package's densities ----------


def brute_force(study, without=None, sd=0.5):
    """Integrate the likelihood of four counts under `weak` priors on grids of three log-odds.

    The log-odds of none, A and B are the coordinates; that of both is their sum less none's plus γ, over
    which is integrated first. sd 0 stands for no interaction.
    """
    prior = prior_set("weak", study)
    alpha, beta = (prior[name] for name in ("alpha", "beta"))
    n, events = study.n.astype(float), study.events.astype(float)
    if without is not None:
        n[without] = events[without] = 0

    def law(cell, eta):
        return np.exp(stats.binom.logpmf(events[cell], n[cell], expit(eta)))

    def grid(cell):
        if n[cell] == 0:
            return np.linspace(-8, 6, 601)
        share = (events[cell] + 0.5) / (n[cell] + 1)
        width = 1 / np.sqrt((n[cell] + 1) * share * (1 - share))
        return np.log(share / (1 - share)) + width * np.linspace(-9, 9, 161)

    none, a, b = (grid(cell) for cell in range(3))
    steps = np.prod([axis[1] - axis[0] for axis in (none, a, b)])
    both = np.linspace(-14, 14, 1401 if sd else 5601)
    if sd:
        gamma = np.linspace(-7 * sd, 7 * sd, 301)
        weights = stats.norm.pdf(gamma, 0, sd) * (gamma[1] - gamma[0])
        mixed = np.array([law(3, at + gamma) @ weights for at in both])
    else:
        mixed = law(3, both)
    total = 0.0
    for at, height in zip(
        none, law(0, none) * stats.norm.pdf(none, alpha.mu, alpha.sigma), strict=True
    ):
        one = law(1, a) * stats.norm.pdf(a - at, beta.mu, beta.sigma)
        other = law(2, b) * stats.norm.pdf(b - at, beta.mu, beta.sigma)
        total += height * (one @ np.interp(a[:, None] + b - at, both, mixed) @ other)
    return float(np.log(total * steps))


def made_ready(study, model, draws=1000):
    """Fit by Laplace's approximation; return the fit and the model's marginal likelihoods."""
    tree = sampling.fit(study, model, engine="laplace", draws=draws, seed=1)
    own = find_model(model, study)
    priors = prior_set("weak", study).only(own, study)
    return tree, Marginals(study, own, priors, tree["posterior"].to_dataset(), 1)


@pytest.fixture(scope="module")
def ready():
    return cache(lambda name, model: made_ready(load_study(name), model))


@pytest.fixture(scope="module")
def left(ready):
    """Leave-one-out by weights alone and with refits, by study and model."""

    def found(name, model):
        tree, marginals = ready(name, model)
        study = load_study(name)
        posterior = tree["posterior"].to_dataset()
        one = leave_one_out(study, units_of(study), posterior, marginals.variables)
        whole = refitted(study, marginals, one, every=False, most=9, may_sample=False, seed=1)
        return one, whole

    return cache(found)


@pytest.mark.slow
@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize(("model", "sd"), [("interaction", 0.5), ("additive", 0.0)])
def test_counts_left_out_agree_with_brute_force_where_k_is_good_and_refits_where_not(
    left, name, model, sd
):
    study = load_study(name)
    one, whole = left(name, model)
    exact = brute_force(study, sd=sd) - np.array([brute_force(study, at, sd) for at in range(4)])
    is_good = one.pareto_k <= one.good_k
    # Weights of 4,000 draws may be off by a tenth where k is nearly 0.5; refits have 1,000 effective draws.
    np.testing.assert_allclose(one.elpd[is_good], exact[is_good], atol=0.1)
    np.testing.assert_allclose(whole.elpd[~is_good], exact[~is_good], atol=0.06)
    assert np.array_equal(whole.elpd[is_good], one.elpd[is_good])
    assert [how == BY_WEIGHTS for how in whole.how] == is_good.tolist()
    # Where nothing is refitted, what k forbids is not answered.
    assert np.array_equal(np.isnan(good_only(one).elpd), ~is_good)


@pytest.mark.slow
def test_some_counts_are_left_out_by_weights_and_some_by_refits(left):
    ks = [left(name, model)[0] for name in COUNTS for model in ("interaction", "additive")]
    shares = [float((one.pareto_k <= one.good_k).mean()) for one in ks]
    assert 0 < np.mean(shares) < 1


# --- Claims: linear and normal, so that all has a closed form --------------------------------------

CLAIMS = """
[study]
id = "linear"
title = "Odds ratios without sizes, made up"
design = "cohort"
source = "made up"
[outcome]
name = "response"
direction = "benefit"
[treatments]
A = { name = "drug A" }
B = { name = "drug B" }
"""
PRINTED = {"A": (1.8, 1.1, 2.95), "B": (1.4, 0.8, 2.45), "A+B": (4.2, 2.2, 8.02)}


@pytest.fixture(scope="module")
def linear():
    text = CLAIMS + "".join(
        f'[[claims]]\nid = "{r}"\nkind = "odds_ratio"\nregimens = ["{r}", "none"]\n'
        f'value = {v}\nci = [{low}, {high}]\nadjusted = false\nsource = "made up"\n'
        for r, (v, low, high) in PRINTED.items()
    )
    return parse_study(text)


def normal_law(study, *, has_gamma=True):
    """Mean 0 and covariance of the log odds ratios under the priors, and what is printed."""
    numbers = claims.printed(study)
    design = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 1]], dtype=float)
    spread = design @ np.diag([1.0, 1.0, 0.25 * has_gamma]) @ design.T
    errors = [claims.standard_error(c) ** 2 for c in numbers.odds_ratios]
    seen = claims.observed(numbers)
    return spread + np.diag(errors + seen.rounding), seen.values


@pytest.mark.slow
def test_claims_left_out_and_bayes_factors_are_those_of_the_closed_form(linear):
    covariance, values = normal_law(linear)
    tree, marginals = made_ready(linear, "interaction")
    units = units_of(linear)
    assert (units.kind, units.names) == ("claim", ["A", "B", "A+B"])
    one = leave_one_out(linear, units, tree["posterior"].to_dataset(), marginals.variables)
    whole = refitted(linear, marginals, one, every=True, most=9, may_sample=False, seed=1)
    for at in range(3):
        rest = [i for i in range(3) if i != at]
        slope = np.linalg.solve(covariance[np.ix_(rest, rest)], covariance[rest, at])
        mean, sd = slope @ values[rest], np.sqrt(covariance[at, at] - slope @ covariance[rest, at])
        assert whole.elpd[at] == pytest.approx(stats.norm.logpdf(values[at], mean, sd), abs=0.06)
        found = whole.predicted[at]
        assert found.unit == units.names[at]
        ends = np.log([found.lower, found.median, found.upper])
        np.testing.assert_allclose(ends, mean + sd * np.array([-1.96, 0, 1.96]), atol=0.15 * sd)
        beyond = stats.norm.sf(abs(values[at] - mean) / sd)
        assert found.tail == pytest.approx(beyond, abs=0.03)
    without, _ = normal_law(linear, has_gamma=False)
    logs = [stats.multivariate_normal(np.zeros(3), c).logpdf(values) for c in (covariance, without)]
    assert marginals.whole.log_evidence == pytest.approx(logs[0], abs=0.05)
    any_, *_ = bayes_factors.factors_of_interactions(linear, marginals, tree, (1.0,))
    assert any_.factor == pytest.approx(np.exp(logs[0] - logs[1]), rel=0.05)
    sets = bayes_factors.weigh(marginals, 1)
    odds = any_.factor
    assert [s.posterior for s in sets] == pytest.approx([1 / (1 + odds), odds / (1 + odds)])


def test_the_density_of_a_claim_given_the_others_is_that_of_the_joint_law():
    study = load_study("sun2024")
    numbers = claims.printed(study)
    rng = np.random.default_rng(1)
    count, ratios = len(numbers.names), len(numbers.odds_ratios)
    root = rng.normal(size=(2, 3, count, count))
    covariance = root @ np.swapaxes(root, -1, -2) + 0.1 * np.eye(count)
    mean = rng.normal(size=(2, 3, count))
    dims = ("chain", "draw")
    widths = {
        "width_mean": rng.normal(size=(2, 3, ratios)),
        "width_sd": np.full((2, 3, ratios), 0.3),
    }
    posterior = xr.Dataset(
        {
            "claim_mean": ((*dims, "row"), mean),
            "claim_covariance": ((*dims, "row", "row_"), covariance),
            **{name: ((*dims, "odds_ratio"), value) for name, value in widths.items()},
        }
    )
    units = units_of(study)
    logs = left_out.log_densities(study, posterior, units)
    assert logs.dims == ("chain", "draw", "unit")
    values, kept = claims.observed(numbers).values, numbers.kept
    own = stats.multivariate_normal(mean[1, 2][kept], covariance[1, 2][np.ix_(kept, kept)])
    for name in units.names:
        at, expected = numbers.names.index(name), 0.0
        if at in kept:
            rest = [i for i in kept if i != at]
            less = stats.multivariate_normal(mean[1, 2][rest], covariance[1, 2][np.ix_(rest, rest)])
            expected += own.logpdf(values[kept]) - less.logpdf(values[rest])
        if at < ratios:
            seen = np.log(claims.standard_error(numbers.odds_ratios[at]))
            expected += stats.norm.logpdf(seen, widths["width_mean"][1, 2, at], 0.3)
        assert float(logs.sel(unit=name)[1, 2]) == pytest.approx(expected)
    # One of the four combination odds ratios follows from the others: its width alone is evidence.
    assert len(kept) == count - 1
    assert units.names == list(numbers.names)


# --- Units -----------------------------------------------------------------------------------------


def test_a_patient_left_out_is_one_of_those_alike():
    study = load_study("sun2024-synthetic")
    units = units_of(study)
    assert (units.kind, units.count) == ("patient", int(study.n.sum()))
    cells = study.cells
    at = int(np.argmax(cells.n))
    eta = 0.7
    for word, chance in (("with", expit(eta)), ("without", expit(-eta))):
        own = [u for u in units.parts if u.name.startswith(f"cell {at},") and f" {word} " in u.name]
        if not own:
            continue
        (unit,) = own
        given = unit.left_out({"cell n": cells.n, "cell events": cells.events})
        before = stats.binom.logpmf(cells.events[at], cells.n[at], expit(eta))
        after = stats.binom.logpmf(given["cell events"][at], given["cell n"][at], expit(eta))
        assert before - after + unit.constant == pytest.approx(np.log(chance))
        assert given["cell n"].sum() == cells.n.sum() - 1
        assert cells.n.sum() == units.count  # the study's own numbers are as they were
    is_event = [" with event" in unit.name for unit in units.parts]
    times = [unit.times for unit in units.parts]
    assert np.dot(is_event, times) == study.events.sum()


def test_a_count_left_out_is_none_of_none():
    study = load_study("isis2")
    units = units_of(study)
    assert (units.kind, units.names) == ("cell", list(study.counted))
    given = units.parts[1].left_out({"counted n": study.n, "counted events": study.events})
    assert given["counted n"].tolist() == [4300, 0, 4295, 4292]
    assert given["counted events"].tolist() == [568, 0, 461, 343]


def test_tails_have_no_normal_density():
    study = load_study("sun2024").under("four-set-products")
    unsigned = replace(
        study,
        readings=tuple(
            replace(r, claims=tuple(replace(c, sign="") for c in r.claims)) for r in study.readings
        ),
    )
    assert left_out.log_densities(unsigned, xr.Dataset(), units_of(unsigned)) is None


# --- Comparing -------------------------------------------------------------------------------------


def stub(elpd, times=1):
    elpd = np.array(elpd)
    parts = tuple(Unit(f"unit {at}", (), times=times) for at in range(len(elpd)))
    none = np.zeros(len(elpd))
    return LeftOut(Units("patient", parts), elpd, none, elpd, (BY_WEIGHTS,) * len(elpd), 0.7)


def test_fewer_than_ten_units_have_differences_and_no_weights():
    table = compare({"one": stub([-1.0, -2.0, -3.0]), "other": stub([-1.5, -2.0, -4.0])})
    assert table.model.tolist() == ["one", "other"]
    assert table.difference.tolist() == pytest.approx([0, -1.5])
    # √(n · variance of the differences −0.5, 0 and −1)
    assert table.difference_se[1] == pytest.approx(np.sqrt(3 * np.var([-0.5, 0, -1])))
    assert table.stacking_weight.isna().all()
    assert set(table.unit) == {"patient"}


def test_ten_units_have_stacking_weights_that_count_those_alike():
    # Half of the patients are predicted by one model only, a quarter by the other: p log w + q log(1 − w).
    one, other = np.log([0.9, 0.9, 0.1]), np.log([0.1, 0.1, 0.9])
    table = compare({"one": stub(one, times=4), "other": stub(other, times=4)})
    weights = table.set_index("model").stacking_weight
    grid = np.linspace(0, 1, 10_001)
    score = sum(
        np.log(grid * np.exp(a) + (1 - grid) * np.exp(b)) for a, b in zip(one, other, strict=True)
    )
    assert weights["one"] == pytest.approx(grid[np.argmax(score)], abs=0.01)
    assert (table.units == 12).all()
    assert weights.sum() == pytest.approx(1)


def test_a_model_without_an_answer_is_listed_and_not_compared():
    table = compare(
        {"one": stub([-1.0, np.nan]), "two": stub([-1.0, -1.0]), "three": stub([-2.0, -1.0])}
    )
    assert table.model.tolist() == ["two", "three", "one"]
    last = table.iloc[-1]
    assert last.not_answered == 1
    assert pd.isna(last.elpd)
    assert pd.isna(last.difference)


# --- Bayes factors ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", COUNTS)
def test_bayes_factors_of_two_by_two_tables_are_those_of_brute_force(ready, name):
    study = load_study(name)
    tree, marginals = ready(name, "interaction")
    factors = bayes_factors.factors_of_interactions(study, marginals, tree)
    none = brute_force(study, sd=0)
    for factor in factors:
        expected = np.exp(brute_force(study, sd=factor.prior_sd) - none)
        assert factor.factor == pytest.approx(expected, rel=0.05)
        assert f"Normal(0, {factor.prior_sd:g})" in factor.prior
    assert [f.prior_sd for f in factors] == [0.25, 0.5, 1.0]
    (chosen,) = (f for f in factors if f.is_chosen)
    assert chosen.quadrature == pytest.approx(np.exp(brute_force(study) - none), rel=0.01)
    # Densities of 4,000 draws: a kernel estimate is off by a few per cent.
    assert chosen.savage_dickey == pytest.approx(chosen.factor, rel=0.12)
    # `additive` is `interaction` without products, to the digit that both are known to.
    _, additive = ready(name, "additive")
    assert chosen.log == pytest.approx(
        marginals.whole.log_evidence - additive.whole.log_evidence, abs=0.05
    )


@pytest.mark.slow
def test_sequential_monte_carlo_finds_the_same_bayes_factor(ready):
    study = load_study("oral-cancer")
    logs = [
        sampling.log_evidence(
            sampling.temper(ready("oral-cancer", model)[0], study, model, prior_set("weak", study))
        )
        for model in ("interaction", "additive")
    ]
    expected = brute_force(study) - brute_force(study, sd=0)
    assert np.exp(logs[0] - logs[1]) == pytest.approx(np.exp(expected), rel=0.05)


def test_sets_of_interactions_are_as_probable_by_their_number():
    class Known:
        def __init__(self):
            self.given = {"gamma mu": np.array(0.0), "gamma sigma": np.array(0.5)}

        def place(self, _):
            return range(3)

        def held_at_zero(self, held):
            zero = len(held) * stats.norm.logpdf(0, 0, 0.5)
            return type("Found", (), {"log_evidence": zero, "verdict": "good", "pareto_k": 0.1})

    sets = bayes_factors.weigh(Known(), 3)
    assert len(sets) == 8
    assert [s.prior for s in sets] == pytest.approx([1 / 4, *[1 / 12] * 6, 1 / 4])
    # Evidence that favours none of them leaves the prior.
    assert [s.posterior for s in sets] == pytest.approx([s.prior for s in sets])
    assert bayes_factors.probability_of_none(sets) == pytest.approx((0.25, 0.25))
    assert bayes_factors.probability_of_none(sets, 1) == pytest.approx((0.5, 0.5))
    assert bayes_factors.weigh(Known(), 6) == []


@pytest.mark.parametrize(
    ("factor", "words"),
    [
        (1.2, "not worth more than a bare mention"),
        (1 / 2.9, "not worth more than a bare mention"),
        (10, "positive, for it"),
        (0.1, "positive, against it"),
        (100, "strong, for it"),
        (1e-4, "very strong, against it"),
        (np.nan, ""),
    ],
)
def test_grades(factor, words):
    assert grade(factor) == words


def test_a_mixture_given_zeros_is_the_conditional_mixture():
    rng = np.random.default_rng(2)
    roots = rng.normal(size=(2, 3, 3))
    one = Normals(
        np.array([0.4, 0.6]), rng.normal(size=(2, 3)), roots @ np.swapaxes(roots, 1, 2) + np.eye(3)
    )
    found = _given_zero(one, np.array([0, 2]), (1,))

    def density(mixture, points):  # of the narrow normals
        parts = zip(mixture.weights, mixture.means, mixture.covariances, strict=True)
        return sum(w * stats.multivariate_normal(m, c).pdf(points) for w, m, c in parts)

    points = rng.normal(size=(5, 2))
    full = np.insert(points, 1, 0.0, axis=1)
    ratio = density(found, points) / density(one, full)
    np.testing.assert_allclose(ratio, ratio[0])
    assert np.isfinite(found.log_density(terms(points))).all()


# --- What is written -------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_part_is_written_with_its_unit_and_its_priors(tmp_path, ready):
    study = load_study("isis2")
    fits = {(m, study.reading): ready("isis2", m)[0] for m in ("interaction", "additive")}
    lines = []
    folder = write(study, fits, prior_set("weak", study), tmp_path, seed=1, say=lines.append)
    assert folder == tmp_path / "comparison"
    assert [line for line in lines if line.startswith("fitting")] == ["fitting saturated"]
    part = read_part(folder)
    tables = {path.name: store.read_table(path) for path in folder.glob("*.csv")}
    assert (tables["models.csv"].unit == "cell").all()
    assert (tables["units.csv"].unit == "cell").all()
    assert tables["models.csv"].stacking_weight.isna().all()
    assert (tables["models.csv"].not_answered == 0).all()
    assert part.failed == ()
    assert len(tables["left_out.csv"]) == 4
    assert tables["bayes_factors.csv"].prior.str.contains("Normal").all()
    ror = tables["averaged.csv"].set_index("estimand").loc["ror[SK:ASA]"]
    none = tables["averaging.csv"].probability[0]
    # 4,000 draws are shared out by probability; draws without interaction are at the null to rounding.
    assert ror.probability_at_null == pytest.approx(none, abs=0.001)
    assert ror.estimate_averaged == pytest.approx(1, abs=1e-9)
    expected = 1 / (1 + np.exp(brute_force(study) - brute_force(study, sd=0)))
    assert none == pytest.approx(expected, abs=0.02)
    assert any("Normal(0, 0.5)" in finding for finding in part.findings)
    assert any(s.figure is not None for s in part.sections)
    shown = left_out.Left("SK", "events", "448 of 4300", 448.0, 1, 2, 3, 4, 5, 0.5)
    (panel,) = panels_of(study, [shown])
    assert panel.rows[0].wide == (1, 5)


def test_the_command_refuses_what_is_not_there(tmp_path, capsys):
    assert main(["compare", "isis2", "--reading", "no-such", "--out", str(tmp_path)]) == 2
    assert "no-such" in capsys.readouterr().err
    assert main(["compare", "isis2", "--priors", "no-such", "--out", str(tmp_path)]) == 2
    assert not list(tmp_path.iterdir())
