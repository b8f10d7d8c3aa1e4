"""Model comparison: leave-one-out, Bayes factors and P(no interaction), against closed forms and brute force."""

from dataclasses import replace
from functools import cache
from itertools import combinations
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import optimize, stats
from scipy.special import expit, logit

from cotreat import load_study, parse_study
from cotreat.cli import main
from cotreat.comparison import bayes_factors, leave_out
from cotreat.comparison import compare as comparison
from cotreat.comparison.bayes_factors import LogEvidences
from cotreat.comparison.loo import (
    MOST_ERROR,
    good_only,
    leave_one_out,
    refitted,
    table_of_models,
)
from cotreat.comparison.records import (
    BY_LAPLACE,
    BY_NUTS,
    BY_SMC,
    BY_WEIGHTS,
    NOT_REFITTED,
    NOT_TRUSTED,
    TOO_MANY,
    BayesFactor,
    LeftOut,
    LogEvidence,
    ModelComparison,
    grade,
)
from cotreat.evidence import reported
from cotreat.evidence.folds import Fold, FoldPrediction, Folds
from cotreat.evidence.resolve import resolve
from cotreat.evidence.width_distribution import width_distribution
from cotreat.inference import sampling
from cotreat.inference.gaussian_mixture import Normals, terms
from cotreat.inference.marginal_likelihood import Marginals, _given_zero
from cotreat.models.registry import find_model
from cotreat.models.select import priors_for
from cotreat.plots.left_out import left_out, panels_of
from cotreat.plots.records import Comparison
from cotreat.priors.sets import prior_set
from cotreat.report.sections.comparison import dependence_in_words, why_not_computed, worded
from cotreat.results import store
from cotreat.results.monte_carlo import share
from cotreat.results.supplementary import Task, read_analysis
from cotreat.workflow.analyses import write_one

COUNTS = ("isis2", "oral-cancer", "factor-v-leiden")


# --- By brute force: a two-by-two table of counts, independent of the package's densities ----------


def brute_force(study, without=None, sd=0.5):
    """Integrate the likelihood of four counts under `weak` priors on grids of three log-odds.

    The log-odds of none, A and B are the coordinates; that of both is their sum less none's plus γ, over
    which is integrated first. sd 0 stands for no interaction. The intercept is the mean of the four.
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
    gamma, weights = np.zeros(1), np.ones(1)
    if sd:
        gamma = np.linspace(-7 * sd, 7 * sd, 301)
        weights = stats.norm.pdf(gamma, 0, sd) * (gamma[1] - gamma[0])
    weighted = law(3, both[:, None] + gamma) * weights
    total = 0.0
    for at, height in zip(none, law(0, none), strict=True):
        # With `both` the sum of the log-odds of A and B less none's.
        mean = (2 * at + 2 * both[:, None] + gamma) / 4
        mixed = (weighted * stats.norm.pdf(mean, alpha.mu, alpha.sigma)).sum(1)
        one = law(1, a) * stats.norm.pdf(a - at, beta.mu, beta.sigma)
        other = law(2, b) * stats.norm.pdf(b - at, beta.mu, beta.sigma)
        total += height * (one @ np.interp(a[:, None] + b - at, both, mixed) @ other)
    return float(np.log(total * steps))


def made_ready(study, model, draws=1000):
    """Fit by Laplace's approximation; return the fit and the model's marginal likelihoods."""
    tree = sampling.fit_model(study, model, "weak", engine="laplace", draws=draws, seed=1).draws
    own = find_model(model, study)
    priors = priors_for(prior_set("weak", study), own, study)
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
        one = leave_one_out(
            resolve(study), resolve(study)[-1].folds(), posterior, marginals.variables
        )
        whole = refitted(
            resolve(study), marginals, one, every=False, most=9, may_sample=False, seed=1
        )
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
    is_enough = is_good & (one.error <= MOST_ERROR)
    np.testing.assert_allclose(whole.elpd[~is_enough], exact[~is_enough], atol=0.06)
    assert np.array_equal(whole.elpd[is_enough], one.elpd[is_enough])
    assert [how == BY_WEIGHTS for how in whole.how] == is_enough.tolist()
    # Where nothing is refitted, what k forbids is not answered.
    assert np.array_equal(np.isnan(good_only(one).elpd), ~is_good)


@pytest.mark.slow
def test_some_counts_are_left_out_by_weights_and_some_by_refits(left):
    ks = [left(name, model)[0] for name in COUNTS for model in ("interaction", "additive")]
    shares = [float((one.pareto_k <= one.good_k).mean()) for one in ks]
    assert 0 < np.mean(shares) < 1


# --- Claims: linear, and normal given one variance, so that all has a closed form --------------------------------------

CLAIMS = """
format = 1

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
REPORTED = {"A": (1.8, 1.1, 2.95), "B": (1.4, 0.8, 2.45), "A+B": (4.2, 2.2, 8.02)}


@pytest.fixture(scope="module")
def linear():
    text = CLAIMS + "".join(
        f'[[reported]]\nid = "{r}"\nkind = "odds_ratio"\ncontrast = "{r} vs none"\n'
        f'value = {v}\nci = [{low}, {high}]\nadjusted = false\nsource = "made up"\n'
        for r, (v, low, high) in REPORTED.items()
    )
    return parse_study(text)


NODES, WEIGHTS = np.polynomial.legendre.leggauss(200)


class Mixture:
    """The law of log odds ratios of one comparator: normal given its variance, which is uniform.

    The variance of the comparator is between 0 and the smallest squared standard error, and the covariance of
    every two log odds ratios.
    """

    def __init__(self, spread, numbers):
        errors = np.array([reported.standard_error(c) ** 2 for c in numbers.with_interval])
        alone = spread + np.diag(errors + numbers.rounding)
        shared = (NODES + 1) / 2 * errors.min()
        off_diagonal = 1 - np.eye(len(errors))
        self.covariances = alone + shared[:, None, None] * off_diagonal
        self.values = numbers.values

    def log_density(self, at):
        """Log density of some of the log odds ratios, and the weight of each variance given these."""
        if not at:
            return 0.0, WEIGHTS / 2
        parts = [
            stats.multivariate_normal(np.zeros(len(at)), c[np.ix_(at, at)]).pdf(self.values[at])
            for c in self.covariances
        ]
        joint = WEIGHTS / 2 * parts
        return np.log(joint.sum()), joint / joint.sum()

    def given_others(self, at):
        """Log density, distribution function and quantiles of one log odds ratio given the others."""
        rest = [i for i in range(len(self.values)) if i != at]
        before, weights = self.log_density(rest)
        slopes = np.array(
            [np.linalg.solve(c[np.ix_(rest, rest)], c[rest, at]) for c in self.covariances]
        )
        means = slopes @ self.values[rest]
        variances = self.covariances[:, at, at] - (slopes * self.covariances[:, rest, at]).sum(1)
        sds = np.sqrt(variances)

        def below(value):
            return weights @ stats.norm.cdf(value, means, sds)

        def quantile(p):
            return optimize.brentq(lambda value: below(value) - p, -20, 20)

        return self.log_density([*rest, at])[0] - before, below, quantile


def law_of(study, *, has_gamma=True):
    """The law of the log odds ratios under the priors, whose mean is 0."""
    design = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 1]], dtype=float)
    spread = design @ np.diag([1.0, 1.0, 0.25 * has_gamma]) @ design.T
    return Mixture(spread, reported.estimates_of(study))


@pytest.mark.slow
def test_claims_left_out_and_bayes_factors_are_those_of_the_closed_form(linear):
    law = law_of(linear)
    tree, marginals = made_ready(linear, "interaction")
    units = resolve(linear)[-1].folds()
    assert (units.kind, units.names) == ("reported_estimate", ["A", "B", "A+B"])
    one = leave_one_out(resolve(linear), units, tree["posterior"].to_dataset(), marginals.variables)
    whole = refitted(resolve(linear), marginals, one, every=True, most=9, may_sample=False, seed=1)
    for at in range(3):
        expected, below, quantile = law.given_others(at)
        assert whole.elpd[at] == pytest.approx(expected, abs=0.06)
        found = whole.predicted[at]
        assert found.unit == units.names[at]
        ends = np.log([found.lower, found.median, found.upper])
        quantiles = np.array([quantile(p) for p in (0.025, 0.5, 0.975)])
        sd = (quantiles[2] - quantiles[0]) / (2 * 1.96)
        np.testing.assert_allclose(ends, quantiles, atol=0.15 * sd)
        beyond = min(below(law.values[at]), 1 - below(law.values[at]))
        assert found.tail == pytest.approx(beyond, abs=0.03)
    every = [0, 1, 2]
    logs = [one.log_density(every)[0] for one in (law, law_of(linear, has_gamma=False))]
    assert marginals.whole.log_evidence == pytest.approx(logs[0], abs=0.05)
    evidences = LogEvidences(marginals, 1)
    any_, *_ = bayes_factors.factors_of_interactions(linear.pair_labels, evidences, tree, (1.0,))
    odds = np.exp(logs[0] - logs[1])
    assert any_.factor == pytest.approx(odds, rel=0.05)
    none = bayes_factors.probability_of_none(evidences)
    assert none == pytest.approx((0.5, 1 / (1 + odds)), abs=0.01)


@pytest.mark.slow
def test_nuts_stands_in_for_refits_that_cannot_be_trusted(linear, monkeypatch):
    tree, marginals = made_ready(linear, "interaction")
    units = resolve(linear)[-1].folds()
    one = leave_one_out(resolve(linear), units, tree["posterior"].to_dataset(), marginals.variables)
    whole = marginals.whole
    monkeypatch.setattr(
        marginals, "approximation", lambda *_, **__: replace(whole, pareto_k=np.inf)
    )
    arguments = (resolve(linear), marginals, units, units.parts[0], one.densities)
    bad = leave_out.refit(*arguments)
    assert (np.isnan(bad.elpd), bad.how) == (True, NOT_TRUSTED)
    by_nuts = leave_out.refit(*arguments, may_sample=True)
    expected, *_ = law_of(linear).given_others(0)
    assert by_nuts.how == BY_NUTS
    assert 0 < by_nuts.error < 0.05
    assert by_nuts.elpd == pytest.approx(expected, abs=4 * by_nuts.error)


# Three treatments, seven odds ratios: all eight sets of interactions have a closed form.

REGIMENS = ("A", "B", "C", "A+B", "A+C", "B+C", "A+B+C")
RATIOS = (1.8, 1.4, 1.2, 4.2, 2.0, 1.5, 5.5)


@pytest.fixture(scope="module")
def three():
    text = CLAIMS + 'C = { name = "drug C" }\n'
    for regimen, value in zip(REGIMENS, RATIOS, strict=True):
        low, high = (round(value * np.exp(side * 1.96 * 0.3), 3) for side in (-1, 1))
        text += (
            f'[[reported]]\nid = "{regimen}"\nkind = "odds_ratio"\ncontrast = "{regimen} vs none"\n'
            f'value = {value}\nci = [{low}, {high}]\nadjusted = false\nsource = "made up"\n'
        )
    return parse_study(text)


@pytest.mark.slow
def test_no_interaction_of_three_pairs_is_as_probable_as_in_closed_form(three):
    single = np.array([[t in r.split("+") for t in "ABC"] for r in REGIMENS], dtype=float)
    pairs = [(0, 1), (0, 2), (1, 2)]
    products = np.stack([single[:, i] * single[:, j] for i, j in pairs], axis=1)
    numbers = reported.estimates_of(three)
    tree, marginals = made_ready(three, "interaction")
    evidences = LogEvidences(marginals, 3)
    assert bayes_factors.why_no_probability(evidences) == ""
    sets = [own for count in range(4) for own in combinations(range(3), count)]
    logs = []
    for present in sets:
        own = products[:, list(present)]
        law = Mixture(single @ single.T + 0.25 * own @ own.T, numbers)
        logs.append(law.log_density([*range(7)])[0])
    found = [evidences.of([at for at in range(3) if at not in present]) for present in sets]
    np.testing.assert_allclose([one.value for one in found], logs, atol=0.06)
    joint = np.exp(logs) * [1 / 4, *[1 / 12] * 6, 1 / 4]
    none = bayes_factors.probability_of_none(evidences)
    assert none == pytest.approx((0.25, joint[0] / joint.sum()), abs=0.01)
    # One table after another reads the same number.
    (of_pair,) = (
        f
        for f in bayes_factors.factors_of_interactions(three.pair_labels, evidences, tree, (1.0,))
        if f.of == "A:C"
    )
    assert sets[5] == (0, 2)
    assert of_pair.log == found[7].value - found[5].value


def test_the_density_of_a_claim_given_the_others_is_that_of_the_joint_law():
    study = load_study("sun2024")
    numbers = reported.estimates_of(study)
    rng = np.random.default_rng(1)
    count, ratios = len(numbers.names), len(numbers.with_interval)
    root = rng.normal(size=(2, 3, count, count))
    covariance = root @ np.swapaxes(root, -1, -2) + 0.1 * np.eye(count)
    mean = rng.normal(size=(2, 3, count))
    dims = ("chain", "draw")
    risk = rng.uniform(0.2, 0.4, (2, 3, len(study.present)))
    size = numbers.sizes.typical * rng.uniform(0.8, 1.2, risk.shape)
    posterior = xr.Dataset(
        {
            "reported_mean": ((*dims, "row"), mean),
            "reported_covariance": ((*dims, "row", "row_"), covariance),
            "conditional_risk": ((*dims, "arm"), risk),
            "size": ((*dims, "present"), size),
            "sigma": (dims, np.full((2, 3), 0.5)),
            "loss": (dims, np.full((2, 3), 0.1)),
        },
        {"arm": list(study.present)},
    )
    given = logit(risk[1, 2]), 0.5, 0.1, size[1, 2], 0.0, numbers.values[numbers.points]
    widths = np.array([numbers.log_error(place) for place in range(ratios)])
    errors, of_rounding = widths[:, 0], np.diag(widths[:, 1] ** 2 / 3)
    by_all = width_distribution(np, numbers, *given, numbers.rounding)
    units = resolve(study)[-1].folds()
    logs = leave_out.log_densities(resolve(study), posterior, units)
    assert logs.dims == ("chain", "draw", "unit")
    values, kept = numbers.values, numbers.kept
    own = stats.multivariate_normal(mean[1, 2][kept], covariance[1, 2][np.ix_(kept, kept)])
    for name in units.names:
        at, expected = numbers.names.index(name), 0.0
        if name == "tac-mmf-vs-mmf":  # told by the others, of which the loosest is left out
            at = numbers.names.index("tac-cyc-vs-mmf")
        rest = [i for i in kept if i != at]
        less = stats.multivariate_normal(mean[1, 2][rest], covariance[1, 2][np.ix_(rest, rest)])
        expected += own.logpdf(values[kept]) - less.logpdf(values[rest])
        if (place := numbers.names.index(name)) < ratios:
            others = [i for i in range(ratios) if i != place]
        else:
            others = list(range(ratios))
        # The widths of the others are conditional on the other estimates.
        without = numbers.rounding + 1e9 * (np.arange(count) == at)
        by_others = width_distribution(np, numbers, *given, without)
        expected += stats.multivariate_normal.logpdf(
            errors, by_all.mean, by_all.covariance + of_rounding
        ) - stats.multivariate_normal.logpdf(
            errors[others],
            by_others.mean[others],
            (by_others.covariance + of_rounding)[np.ix_(others, others)],
        )
        assert float(logs.sel(unit=name)[1, 2]) == pytest.approx(expected, rel=1e-6)
    assert len(kept) == count - 1
    assert units.names == list(numbers.names)


def with_claims(study, change):
    """Change the claims of each reading of a study."""
    interpretations = tuple(
        replace(r, reported_estimates=tuple(change(r.reported_estimates)))
        for r in study.interpretations
    )
    return replace(study, interpretations=interpretations)


ORDERS = {
    "print": lambda c: c,
    "turned": lambda c: c[::-1],
    "moved": lambda c: (*c[2:], *c[:2]),
}
LOOSEST = {
    "tac": (),
    "tac-cyc-vs-cyc": ("tac-mmf-vs-mmf",),
    "tac-mmf-vs-cyc": ("tac-mmf-vs-mmf",),
    "tac-cyc-vs-mmf": ("tac-mmf-vs-mmf",),
    "tac-mmf-vs-mmf": ("tac-cyc-vs-mmf",),
    "events[all]": (),
}
"""What is not used either: standard errors are 0.319, 0.360, 0.381 and 0.387."""


def test_a_number_that_others_tell_is_left_out_with_one_of_them_in_any_order_of_the_file():
    study = load_study("sun2024")
    for order in ORDERS.values():
        parts = resolve(with_claims(study, order))[-1].folds().parts
        assert {unit.name: unit.left_out_with for unit in parts} == LOOSEST


def at_points(study, model, units, count=4):
    """Log density of each unit given parameters and the rest, by leaving it out and by the law."""
    own = find_model(model, study)
    priors = priors_for(prior_set("weak", study), own, study)
    marginals = Marginals(study, own, priors, xr.Dataset(), 1)
    points = 0.3 * np.random.default_rng(3).normal(size=(count, marginals.size))
    law = marginals.deterministics(points, leave_out.PREDICTIVE)
    surface = marginals._density.surface
    whole = surface(marginals.given)(points)
    left = [whole - surface(u.left_out(marginals.given))(points) + u.constant for u in units.parts]
    return np.array(left), law


def test_what_leaving_out_changes_is_the_density_of_what_is_left_out():
    # Of totals, odds ratios with widths, and four of them that follow from one another: p(all)/p(rest).
    study = load_study("sun2024")
    found = {}
    for name in ("print", "turned"):
        own = with_claims(study, ORDERS[name])
        units = resolve(own)[-1].folds()
        left, law = at_points(own, "interaction", units)
        expected = leave_out.log_densities(resolve(own), law, units).values[0].T
        np.testing.assert_allclose(left, expected, atol=2e-4)
        found[name] = dict(zip(units.names, left, strict=True))
    for unit, densities in found["print"].items():
        np.testing.assert_allclose(densities, found["turned"][unit], atol=1e-6)


@pytest.mark.parametrize(("sign", "is_below"), [("+", True), ("-", True), ("", True), ("", False)])
def test_what_leaving_a_tail_out_changes_is_its_probability(sign, is_below):
    study = load_study("sun2024").resolve("four-set-products")
    p_values = [c.id for c in reported.estimates_of(study).p_values]
    changed = {p_values[0]: {"sign": sign, "is_below": is_below}, p_values[1]: {"meaning": None}}
    own = with_claims(study, lambda of: (replace(c, **changed.get(c.id, {})) for c in of))
    assert len(reported.estimates_of(own).p_values) == 1
    units = resolve(own)[-1].folds()
    left, law = at_points(own, "interaction", units)
    place = units.names.index(p_values[0])
    numbers = reported.estimates_of(own)
    at, seen = numbers.names.index(p_values[0]), numbers
    rest = [i for i in numbers.kept if i != at]
    laws = zip(law["reported_mean"].values[0], law["reported_covariance"].values[0], strict=True)
    for (mean, covariance), density in zip(laws, left[place], strict=True):
        slope = np.linalg.solve(covariance[np.ix_(rest, rest)], covariance[rest, at])
        centre = mean[at] + slope @ (seen.values[rest] - mean[rest])
        sd = np.sqrt(covariance[at, at] - slope @ covariance[rest, at])
        z = abs(seen.values[at])
        if is_below:
            sides = {"+": stats.norm.sf(z, centre, sd), "-": stats.norm.cdf(-z, centre, sd)}
        else:
            sides = {"+": stats.norm.pdf(z, centre, sd), "-": stats.norm.pdf(-z, centre, sd)}
        assert density == pytest.approx(np.log(sides.get(sign, sum(sides.values()))), abs=2e-3)


# --- Folds -----------------------------------------------------------------------------------------


def test_a_patient_left_out_is_one_of_those_alike():
    study = load_study("sun2024-synthetic")
    units = resolve(study)[-1].folds()
    assert (units.kind, units.count) == ("patient", int(study.n.sum()))
    cells = study.patterns
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


@pytest.fixture(scope="module")
def sixty():
    """Sixty patients with a covariate, of which regimens and events are made up."""
    rng = np.random.default_rng(5)
    a, b, female = rng.integers(0, 2, (3, 60))
    eta = -0.5 + 0.8 * a + 0.4 * b + 0.6 * female
    rows = {"a": a, "b": b, "female": female, "response": rng.binomial(1, expit(eta))}
    text = CLAIMS + (
        '[patients]\nfile = "rows.csv"\noutcome = "response"\n'
        'treatments = { A = "a", B = "b" }\ncovariates = { female = "binary" }\n'
    )
    return parse_study(text, patients=pd.DataFrame(rows))


@pytest.mark.slow
def test_patients_left_out_by_weights_and_by_refits_agree_and_are_stacked(sixty):
    found, units = {}, resolve(sixty)[-1].folds()
    for model in ("interaction", "additive"):
        tree, marginals = made_ready(sixty, model)
        posterior = tree["posterior"].to_dataset()
        one = leave_one_out(resolve(sixty), units, posterior, marginals.variables)
        found[model] = one
        assert one.not_computed == 0
        assert (one.pareto_k < one.good_k).all()
        for at in (0, len(units.parts) - 1):
            by_refit = leave_out.refit(
                resolve(sixty), marginals, units, units.parts[at], one.densities
            )
            error = np.hypot(np.hypot(by_refit.error, marginals.whole.log_error), one.error[at])
            assert error < 0.05
            assert one.elpd[at] == pytest.approx(by_refit.elpd, abs=4 * error)
    table = table_of_models(found).set_index("model")
    assert (table.units == 60).all()
    # The weight of two models that maximises the log of what their average predicts, on a grid.
    times = [part.times for part in units.parts]
    grid = np.linspace(0, 1, 2001)
    score = sum(
        m * np.log(grid * np.exp(a) + (1 - grid) * np.exp(b))
        for m, a, b in zip(times, found["interaction"].elpd, found["additive"].elpd, strict=True)
    )
    assert table.stacking_weight["interaction"] == pytest.approx(grid[np.argmax(score)], abs=0.02)


def test_a_count_left_out_is_none_of_none():
    study = load_study("isis2")
    units = resolve(study)[-1].folds()
    assert (units.kind, units.names) == ("cell", list(study.counted))
    given = units.parts[1].left_out({"counted n": study.n, "counted events": study.events})
    assert given["counted n"].tolist() == [4300, 0, 4295, 4292]
    assert given["counted events"].tolist() == [568, 0, 461, 343]


def test_tails_have_no_normal_density():
    study = load_study("sun2024").resolve("four-set-products")
    unsigned = with_claims(study, lambda of: (replace(c, sign="") for c in of))
    assert (
        leave_out.log_densities(resolve(unsigned), xr.Dataset(), resolve(unsigned)[-1].folds())
        is None
    )


# --- Comparing -------------------------------------------------------------------------------------


def stub(elpd, times=1, kind="patient", how=BY_WEIGHTS, error=0.0, shared=0.0):
    elpd = np.array(elpd)
    parts = tuple(Fold(f"unit {at}", (), times=times) for at in range(len(elpd)))
    none, errors = np.zeros(len(elpd)), np.full(len(elpd), error)
    hows = (how,) * len(elpd)
    return LeftOut(
        Folds(kind, parts), elpd, none, elpd, hows, 0.7, errors, none, none, shared_error=shared
    )


def test_the_error_of_the_whole_counts_once_for_each_refit():
    one = stub([-1.0] * 4, times=2, how=BY_LAPLACE, error=0.03, shared=0.02)
    assert one.mc_error == pytest.approx(np.sqrt((8 * 0.02) ** 2 + 4 * (2 * 0.03) ** 2))
    by_weights = stub([-2.0] * 4, times=2, error=0.03, shared=0.02)
    assert by_weights.mc_error == pytest.approx(np.sqrt(4) * 2 * 0.03)
    table = table_of_models({"one": one, "other": by_weights}).set_index("model")
    assert table.elpd_mc_error.tolist() == pytest.approx([one.mc_error, by_weights.mc_error])
    both = np.hypot(one.mc_error, by_weights.mc_error)
    assert table.difference_mc_error.loc["other"] == pytest.approx(both)


def findings(left, study="isis2"):
    evidence = {name: LogEvidence(-1.0, 0.1, 0.01) for name in left}
    record = ModelComparison(
        load_study(study),
        "weak",
        "one",
        "standard",
        1,
        left_out=left,
        log_evidence=evidence,
        models=table_of_models(left, evidence),
    )
    return worded(record)


def test_few_units_find_no_better_model_whatever_their_standard_error():
    # Differences of 1.3 each, as of a Bayes factor told four times: their standard error is near 0.
    left = {"one": stub([-5.0] * 4, kind="cell"), "other": stub([-6.3, -6.31] * 2, kind="cell")}
    part, tables = findings(left)
    other = tables["models.csv"].set_index("model").loc["other"]
    assert other.difference == pytest.approx(-5.22)
    assert other.difference_se < 0.05
    assert not any("predicts it better" in line for line in part.findings)
    words = " ".join(word for section in part.sections for word in section.words)
    assert "not exchangeable" in words
    assert "repeats the Bayes factor" in words
    assert "drawn" not in words
    left = {name: replace(one, units=Folds("cell", one.units.parts)) for name, one in left.items()}
    part, _ = findings(left, "oral-cancer")
    assert "not of the risk of patients" in " ".join(part.sections[0].words)


def test_many_units_find_a_better_model_beyond_both_errors():
    left = {"one": stub([-1.0] * 20), "other": stub([-1.5] * 20)}
    part, _ = findings(left)
    assert "one predicts it better than other by 10.0" in part.findings[-1]
    uncertain = {name: replace(one, error=np.full(20, 1.0)) for name, one in left.items()}
    part, _ = findings(uncertain)
    assert "no model predicts clearly better" in part.findings[-1]


def test_why_units_have_no_answer_is_told_reason_by_reason():
    one = stub([np.nan, np.nan, np.nan, -1.0], times=2)
    hows = (NOT_TRUSTED, TOO_MANY, TOO_MANY, BY_WEIGHTS)
    words = why_not_computed(replace(one, how=hows), "standard")
    assert "6 of 8 units" in words
    assert "4 were not refitted, because depth standard refits at most 12" in words
    assert "2 were refitted, and the refit is unreliable too" in words
    assert "refits nothing" not in words
    quick = replace(one, how=(NOT_REFITTED,) * 3 + (BY_WEIGHTS,))
    assert "6 were not refitted, because depth quick refits nothing" in why_not_computed(
        quick, "quick"
    )
    assert "leave-one-out" not in " ".join(findings({"one": stub([-1.0])})[0].failed)


def test_few_units_are_refitted_where_the_error_of_good_weights_is_large():
    class Marginal:
        given: ClassVar = {}
        whole = type("W", (), {"log_error": 0.01, "verdict": "good", "log_evidence": -3.0})()

        def approximation(self, *_, **__):
            found = {"verdict": "good", "pareto_k": 0.1, "effective": 2500.0, "log_error": 0.02}
            return type("Found", (), {**found, "log_evidence": -1.0})()

    settings = {"every": False, "most": 9, "may_sample": False, "seed": 1}
    few = replace(stub([-1.0, -2.5, -3.0]), error=np.array([0.01, 0.05, 0.01]))
    found = refitted(resolve(load_study("isis2")), Marginal(), few, **settings)
    assert found.how == (BY_WEIGHTS, BY_LAPLACE, BY_WEIGHTS)
    assert found.elpd.tolist() == [-1, -2, -3]
    assert found.error.tolist() == [0.01, 0.02, 0.01]
    many = replace(stub([-1.0] * 12), error=np.full(12, 0.05))
    found = refitted(resolve(load_study("isis2")), Marginal(), many, **settings)
    assert set(found.how) == {BY_WEIGHTS}


def test_refits_beyond_the_most_are_told_from_those_that_failed():
    class Marginal:
        given: ClassVar = {}
        whole = type("Whole", (), {"log_error": 0.01, "verdict": "unreliable"})()

        def approximation(self, *_, **__):
            return type(
                "Found", (), {"verdict": "unreliable", "pareto_k": 0.9, "effective": 20.0}
            )()

    one = replace(stub([-1.0, -2.0, -3.0]), pareto_k=np.array([0.8, 0.1, 0.9]))
    settings = {"every": False, "most": 1, "may_sample": False, "seed": 1}
    found = refitted(resolve(load_study("isis2")), Marginal(), one, **settings)
    assert found.how == (TOO_MANY, BY_WEIGHTS, NOT_TRUSTED)
    assert found.refit_k[2] == 0.9
    assert found.refit_effective[2] == 20
    assert np.isnan(found.elpd).tolist() == [True, False, True]


def test_what_follows_from_others_is_worded_by_its_kind():
    study = load_study("sun2024")
    (one,) = reported.reported_in(resolve(study)).dependences
    words = dependence_in_words(one, study)
    assert "which make it 3.55" in words
    assert "is left out too" in words
    total = replace(one, name="events[all]", others=("events[TAC]",), implied=221.0)
    assert "which make it 221 events" in dependence_in_words(total, study)
    name = next(c.id for c in study.reported_estimates if not c.has_interval)
    p_value = replace(one, name=name, implied=0.0162, agrees=None)
    words = dependence_in_words(p_value, study)
    assert "which make it p = 0.016" in words
    assert "is not left out alone" in words
    unknown = dependence_in_words(replace(p_value, implied=np.nan), study)
    assert "make it" not in unknown
    assert "nan" not in unknown


def test_fewer_than_ten_units_have_differences_and_no_weights():
    table = table_of_models({"one": stub([-1.0, -2.0, -3.0]), "other": stub([-1.5, -2.0, -4.0])})
    assert table.model.tolist() == ["one", "other"]
    assert table.difference.tolist() == pytest.approx([0, -1.5])
    # √(n · variance of the differences −0.5, 0 and −1)
    assert table.difference_se[1] == pytest.approx(np.sqrt(3 * np.var([-0.5, 0, -1])))
    assert table.stacking_weight.isna().all()
    assert set(table.unit) == {"patient"}


def test_ten_units_have_stacking_weights_that_count_those_alike():
    # Half of the patients are predicted by one model only, a quarter by the other: p log w + q log(1 − w).
    one, other = np.log([0.9, 0.9, 0.1]), np.log([0.1, 0.1, 0.9])
    table = table_of_models({"one": stub(one, times=4), "other": stub(other, times=4)})
    weights = table.set_index("model").stacking_weight
    grid = np.linspace(0, 1, 10_001)
    score = sum(
        np.log(grid * np.exp(a) + (1 - grid) * np.exp(b)) for a, b in zip(one, other, strict=True)
    )
    assert weights["one"] == pytest.approx(grid[np.argmax(score)], abs=0.01)
    assert (table.units == 12).all()
    assert weights.sum() == pytest.approx(1)


def test_a_model_without_an_answer_is_listed_and_not_compared():
    table = table_of_models(
        {"one": stub([-1.0, np.nan]), "two": stub([-1.0, -1.0]), "three": stub([-2.0, -1.0])}
    )
    assert table.model.tolist() == ["two", "three", "one"]
    last = table.iloc[-1]
    assert last.not_computed == 1
    assert pd.isna(last.elpd)
    assert pd.isna(last.difference)


# --- Bayes factors ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("name", COUNTS)
def test_bayes_factors_of_two_by_two_tables_are_those_of_brute_force(ready, name):
    study = load_study(name)
    tree, marginals = ready(name, "interaction")
    factors = bayes_factors.factors_of_interactions(
        study.pair_labels, LogEvidences(marginals, 1), tree
    )
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


@pytest.mark.long
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
            return range(7)

        def held_at_zero(self, held):
            zero = len(held) * stats.norm.logpdf(0, 0, 0.5)
            found = {"log_evidence": zero, "verdict": "good", "pareto_k": 0.1, "log_error": 0.01}
            return type("Found", (), found)

    # Evidence that favours none of them leaves the prior: every number of interactions is as probable.
    for pairs in (1, 3, 6):
        none = bayes_factors.probability_of_none(LogEvidences(Known(), pairs))
        assert none == pytest.approx((1 / (pairs + 1),) * 2)
    why = bayes_factors.why_no_probability
    assert why(LogEvidences(Known(), 6)) == ""
    assert "7 pairs make 128 sets, and no more than 64" in why(LogEvidences(Known(), 7))


def test_one_log_evidence_serves_all_tables():
    class Bad:
        given: ClassVar = {"gamma mu": np.array(0.0), "gamma sigma": np.array(0.5)}

        def place(self, _):
            return range(2)

        def held_at_zero(self, _):
            return type("Found", (), {"verdict": "unreliable", "pareto_k": 0.9})

        def approximation(self, *_):
            return self.held_at_zero(())

        def quadrature(self):
            return np.nan

    tempered = LogEvidence(-7.0, np.nan, 0.03, BY_SMC)
    additive = LogEvidence(-6.0, 0.3, 0.04)
    evidences = LogEvidences(Bad(), 2, {(): tempered, (0, 1): additive})
    assert evidences.of((0, 1), sd=2.0) is additive  # no product is left that has a prior
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bayes_factors, "savage_dickey", lambda *_: [np.nan] * 2)
        any_, *others = bayes_factors.factors_of_interactions(
            ["A:B", "A:C"], evidences, None, (1.0,)
        )
    assert any_.log == pytest.approx(-1)
    assert any_.error == pytest.approx(0.05)
    assert any_.pareto_k == 0.3  # what has none does not hide the other's
    assert any_.method == "sequential Monte Carlo, importance sampling"
    assert all(np.isnan(one.log) and one.pareto_k == 0.9 for one in others)
    assert "2 of 4 sets have no reliable marginal likelihood" in bayes_factors.why_no_probability(
        evidences
    )
    priors = prior_set("weak", load_study("sun2024"))
    lead = bayes_factors.factor_of_model("exchangeable", priors, ["mu"], additive, tempered)
    assert lead.factor == pytest.approx(np.e)
    assert lead.prior == "mu ~ Normal(0, 0.25)"


def test_sequential_monte_carlo_is_run_once_a_model(monkeypatch):
    tree = xr.DataTree.from_dict(
        {"sample_stats": xr.Dataset({"log_evidence": ("chain", [-5.0, -5.2])})}
    )
    asked = []
    monkeypatch.setattr(sampling, "temper", lambda *a, **_: asked.append(a[2]) or tree)
    known = {
        "interaction": LogEvidence(-7.0, np.nan, 0.1, BY_SMC),
        "additive": LogEvidence(-6.0, 0.3, 0.1),
    }
    worked = {name: comparison._Compared(tree, one, None, ()) for name, one in known.items()}
    study = load_study("isis2")
    task = Task(study, {}, prior_set("weak", study), "full", 1)
    one = BayesFactor(
        "any interaction", "interaction against additive", "", 0.5, True, 0.0, 0.1, 0.1, ""
    )
    other = replace(one, is_chosen=False)
    found = comparison._with_smc(task, worked, [one, other])
    assert asked == ["additive"]
    expected = np.log(np.mean(np.exp([-5.0, -5.2])))
    assert found[0].smc == pytest.approx(np.exp(-7 - expected))
    assert np.isnan(found[1].smc)
    assert bayes_factors.by_smc(tree).error == pytest.approx(0.1)


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
    fits = {(m, study.interpretation): ready("isis2", m)[0] for m in ("interaction", "additive")}
    lines = []
    task = Task(study, fits, prior_set("weak", study), seed=1, on_progress=lines.append)
    folder = write_one("comparison", task, tmp_path)
    assert folder == tmp_path / "comparison"
    assert not any(line.startswith("fitting") for line in lines)
    assert "in a second process: saturated" in lines
    part = read_analysis(folder)
    tables = {path.name: store.read_table(path) for path in folder.glob("*.csv")}
    assert (tables["models.csv"].unit == "cell").all()
    assert (tables["units.csv"].unit == "cell").all()
    assert tables["models.csv"].stacking_weight.isna().all()
    assert (tables["models.csv"].not_computed == 0).all()
    assert part.failed == ()
    assert len(tables["left_out.csv"]) == 4
    assert tables["bayes_factors.csv"].prior.str.contains("Normal").all()
    logs = tables["models.csv"].set_index("model").log_evidence
    chosen = tables["bayes_factors.csv"].query("prior_of_the_fits == 'yes'").iloc[0]
    assert chosen.log_bayes_factor == pytest.approx(logs["interaction"] - logs["additive"])
    assert (tables["models.csv"].elpd_mc_error < 0.1).all()
    assert not any("predicts it better" in finding for finding in part.findings)
    none = 1 / (1 + np.exp(logs["interaction"] - logs["additive"]))
    exact = 1 / (1 + np.exp(brute_force(study) - brute_force(study, sd=0)))
    assert none == pytest.approx(exact, abs=0.02)
    (finding,) = (
        finding for finding in part.findings if "probability of no interaction goes from" in finding
    )
    assert finding.endswith(f"goes from 0.500 to {share(none)}.")
    assert any("Normal(0, 0.5)" in finding for finding in part.findings)
    assert any(s.figure is not None for s in part.sections)


def test_numbers_that_are_no_points_are_drawn_as_what_they_are():
    study = load_study("sun2024").resolve("four-set-products")
    p_value = reported.estimates_of(study).p_values[0]
    own = with_claims(study, lambda of: (replace(c, is_below=c.id == p_value.id) for c in of))
    none = float("nan")
    shown = (
        FoldPrediction("tac", "odds ratio", "2.82", 2.82, 1, 2, 3, 4, 5, 0.5),
        FoldPrediction(p_value.id, "p-value", "p < 0.043", 0.043, 0.01, none, 0.2, none, 0.9, 0.1),
    )
    record = Comparison(own, "interaction", resolve(own), shown)
    ratios, p_values = panels_of(record)
    assert (ratios.rows[0].wide, ratios.rows[0].towards) == ((1, 5), 0)
    assert p_values.rows[0].towards == -1
    figure = left_out(record)
    words = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert "<0.043; 0.01 to 0.90" in words
    assert words.count("reported; predicted, 95%") == 2
    (legend,) = figure.legends
    assert "†: " in legend.get_title().get_text()


def test_the_command_refuses_what_is_not_there(tmp_path, capsys):
    assert main(["compare", "isis2", "--interpretation", "no-such", "--out", str(tmp_path)]) == 2
    assert "no-such" in capsys.readouterr().err
    assert main(["compare", "isis2", "--priors", "no-such", "--out", str(tmp_path)]) == 2
    assert not list(tmp_path.iterdir())
