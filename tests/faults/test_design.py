"""Faults that public data showed in the design: treatments assigned at random (S10), collinearity (S20)."""

from functools import cache

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit

from cotreat import StudyError, parse_study, prior_set
from cotreat.audit.audit import audit
from cotreat.audit.wording import words
from cotreat.bias.e_values import of_ratios
from cotreat.bias.records import BiasAnalysis
from cotreat.bias.unmeasured_confounding import conclusions, with_confounding, without_bias
from cotreat.estimands.estimand import risk_draws_of
from cotreat.inference import sampling
from cotreat.inference.vectorise import deterministics
from cotreat.models.build import build
from cotreat.models.registry import MODELS
from cotreat.models.select import priors_for
from cotreat.report.sections import bias as section
from cotreat.results.summary import summary_of
from cotreat.study.regimens import parse

COUNTS = {"none": (99, 300), "TCZ": (100, 310), "DEX": (595, 1700), "TCZ+DEX": (490, 1690)}
"""Made up: deaths and patients of a trial of tocilizumab in which doctors chose dexamethasone."""
TRIAL = """
format = 1
[study]
id = "made-up"
title = "A made-up trial"
design = "randomised"
randomised = ["TCZ"]
source = "made up"
[outcome]
name = "death"
direction = "harm"
[treatments.TCZ]
name = "tocilizumab"
[treatments.DEX]
name = "dexamethasone"
"""


def trial(randomised='["TCZ"]', design="randomised", more=""):
    text = TRIAL.replace('randomised = ["TCZ"]', f"randomised = {randomised}" if randomised else "")
    text = text.replace('design = "randomised"', f'design = "{design}"')
    arms = "".join(
        f'[[arms]]\nregimen = "{name}"\nn = {n}\nevents = {events}\n'
        for name, (events, n) in COUNTS.items()
    )
    return parse_study(text + more + arms)


@cache
def fitted():
    return sampling.fit_model(trial(), "interaction", engine="laplace", draws=1000, seed=1)


def bias():
    study = trial()
    tables = {"e_values.csv": of_ratios(study, summary_of(fitted()))}
    return BiasAnalysis(study, "interaction", "weak", "laplace", "quick", 1, (), tables, False, ())


# --- S10: treatments assigned at random -------------------------------------------------------------


@pytest.mark.parametrize(
    ("listed", "design", "randomised"),
    [
        ('["TCZ"]', "randomised", {"TCZ"}),
        ("", "randomised", {"TCZ", "DEX"}),
        ("", "cohort", set()),
    ],
)
def test_s10_the_design_is_stated_per_treatment(listed, design, randomised):
    study = trial(listed, design)
    assert set(study.randomised) == randomised
    assert set(study.not_randomised) == {"TCZ", "DEX"} - randomised
    assert study.is_randomised == (len(randomised) == 2)


@pytest.mark.parametrize(
    ("listed", "design", "message"),
    [
        ('["TCZ"]', "cohort", "'cohort', in which no treatment is randomised"),
        ('["TCZ"]', "case-control", "'case-control', in which no treatment is randomised"),
        ('["TOC"]', "randomised", "study.randomised: unknown treatment TOC"),
        ("[]", "randomised", "a list of the treatments that were assigned at random"),
        ('["TCZ", "TCZ"]', "randomised", "names a treatment twice"),
    ],
)
def test_s10_contradictory_designs_are_refused(listed, design, message):
    with pytest.raises(StudyError, match=message):
        trial(listed, design)


@pytest.mark.parametrize(
    ("one", "other", "is_random"),
    [
        (["TCZ"], ["none"], True),
        (["TCZ+DEX"], ["DEX"], True),
        (["TCZ", "TCZ+DEX"], ["none", "DEX"], True),  # TCZ against not TCZ
        (["DEX"], ["none"], False),
        (["TCZ+DEX"], ["TCZ"], False),
        (["TCZ+DEX"], ["none"], False),
        (["TCZ", "TCZ+DEX"], ["DEX"], False),  # where nobody received neither
        (["none", "TCZ+DEX"], ["TCZ", "DEX"], False),  # treated together or not at all
    ],
)
def test_s10_patients_are_alike_where_only_randomised_treatments_differ(one, other, is_random):
    study = trial()
    assert study.differ_at_random(map(parse, one), map(parse, other)) == is_random
    assert study.differ_at_random(map(parse, other), map(parse, one)) == is_random


def test_s10_known_biases_leave_the_randomised_effect_unchanged():
    # The bias of DEX multiplies its odds ratio, and that of the pair the ratio of odds ratios.
    study, draws = trial(), risk_draws_of(fitted().posterior)

    def log_odds(of):
        return np.log(of["risk"] / (1 - of["risk"]))

    moved = log_odds(draws) - log_odds(without_bias(study, draws, 0.7, 0.3))
    expected = {"none": 0.0, "TCZ": 0.0, "DEX": 0.7, "TCZ+DEX": 1.0}
    for arm, shift in expected.items():
        np.testing.assert_allclose(moved.sel(arm=arm), shift, atol=1e-9)


def test_s10_a_prior_of_bias_leaves_the_randomised_effect_unchanged():
    study, model = trial(), MODELS["interaction"]
    biased = with_confounding(prior_set("weak", study), single=(0.7, None), products=(0.3, None))
    built = build(study, model, priors_for(biased, model, study))
    rng = np.random.default_rng(4)
    draws = {rv.name: rng.normal(0, 0.3, (2, *rv.shape.eval())) for rv in built.free_RVs}
    found = deterministics(built, draws)
    moved = logit(found["confounded_risk"]) - logit(found["risk"])
    assert built.coords["arm"] == ("none", "TCZ", "DEX", "TCZ+DEX")
    np.testing.assert_allclose(moved, [[0.0, 0.0, 0.7, 1.0]] * 2, atol=1e-9)
    assert built.coords["not_randomised"] == ("DEX",)


def test_s10_e_values_are_those_of_treatments_not_assigned_at_random():
    # Of the four odds ratios that add one treatment, those that add dexamethasone.
    ratios = bias().tables["e_values.csv"]
    assert set(ratios.contrast) == {
        "DEX vs none",
        "TCZ+DEX vs TCZ",
        "TCZ+DEX vs none",
        "DEX vs TCZ",
    }


def test_s10_conclusions_that_confounding_may_overturn():
    fit = fitted()
    draws = risk_draws_of(fit.posterior)
    found = {one.label for one, _ in conclusions(trial(), fit.model, draws)}
    assert found == {
        "odds ratio, TCZ+DEX vs TCZ",
        "ratio of odds ratios (ror), TCZ × DEX",
        "interaction contrast of risks (ic), TCZ × DEX",
    }


def test_s10_the_report_states_what_was_assigned_at_random():
    from cotreat.report.caveats import caveats
    from cotreat.report.conclusion import conclude
    from cotreat.report.lines import four_lines
    from cotreat.report.question import Question

    fit, study = fitted(), trial()
    summary = summary_of(fit)
    question = Question.from_json(Question.of(study).as_json())
    text = " ".join(line.text for line in four_lines(conclude(question, summary)))
    assert "Patients were not assigned at random" not in text
    assert "Tocilizumab was assigned at random, dexamethasone was not." in text
    assert "effect modification" in text
    assert "random assignment of dexamethasone, or adjustment for confounders" in text
    (caveat,) = [one for one in caveats(summary, fit.evidence) if one.subject == "assignment"]
    assert "VanderWeele & Knol, Epidemiol Methods 2014;3:33" in caveat.text
    assert "at random: TCZ; not at random: DEX" in words(audit(study))


def test_s10_the_bias_analysis_states_what_is_not_confounded():
    analysis, _ = section.worded(bias())
    headings = [one.heading for one in analysis.sections]
    assert headings[0] == "Treatments assigned at random"
    assert "TCZ was assigned at random." in analysis.sections[0].words[0]


def test_s10_overlap_is_of_treatments_not_assigned_at_random():
    rng = np.random.default_rng(1)
    old = rng.integers(0, 2, 400)
    dex = rng.random(400) < np.where(old, 0.8, 0.4)
    rows = pd.DataFrame(
        {"TCZ": rng.random(400) < 0.5, "DEX": dex, "old": old, "dead": rng.random(400) < 0.3}
    )
    columns = (
        '[patients]\noutcome = "dead"\ntreatments = { TCZ = "TCZ", DEX = "DEX" }\n'
        'covariates = { old = "binary" }\n'
    )
    partly = audit(parse_study(TRIAL + columns, patients=rows)).overlap
    assert set(partly.regimens.regimen) == {"none", "DEX"}
    means = rows.groupby("DEX").old.mean()
    table = partly.balance.set_index(["covariate", "regimen"])["mean"]
    assert table["old", "DEX"] == pytest.approx(means[True])
    assert table["old", "none"] == pytest.approx(means[False])
    fully = parse_study(TRIAL.replace('randomised = ["TCZ"]', "") + columns, patients=rows)
    assert audit(fully).overlap is None


# --- S20: collinearity ------------------------------------------------------------------------------

COLUMNS = """
[patients]
outcome = "dead"
treatments = { TCZ = "TCZ", DEX = "DEX" }
covariates = { age = "continuous", %s }
"""


@cache
def rows():
    """Made-up patients: treatments and covariates drawn independently."""
    rng = np.random.default_rng(2)
    tcz, dex, old = rng.integers(0, 2, (3, 300))
    age = rng.normal(60, 10, 300).round()
    dead = rng.random(300) < 0.3 + 0.1 * tcz
    return pd.DataFrame({"TCZ": tcz, "DEX": dex, "old": old, "age": age, "dead": dead})


def patients(covariates, **columns):
    text = TRIAL.replace('randomised = ["TCZ"]', "") + COLUMNS % covariates
    return parse_study(text, patients=rows().assign(**columns))


def collinearity(covariates, **columns):
    text = words(audit(patients(covariates, **columns)))
    return [line.strip() for line in text.splitlines() if "Collinearity" in line]


def test_s20_a_covariate_entered_twice_is_named():
    (line,) = collinearity('age_in_months = "continuous"', age_in_months=12 * rows().age)
    assert line.startswith("Collinearity: age_in_months is a linear combination of age:") or (
        line.startswith("Collinearity: age is a linear combination of age_in_months:")
    )
    assert "leave age" in line
    assert "out of covariates" in line


def test_s20_a_linear_combination_of_two_is_named():
    covariates = 'old = "binary", sum = "continuous"'
    (line,) = collinearity(covariates, sum=rows().age + 5 * rows().old)
    assert {*("age", "old", "sum")} <= set(line.replace(":", "").replace(",", "").split())


@pytest.mark.parametrize(
    ("column", "others"),
    [
        (rows().TCZ, "TCZ"),
        (rows().TCZ * rows().DEX, "TCZ:DEX"),
        ((rows().TCZ + rows().DEX > 0).astype(int), "TCZ, DEX, TCZ:DEX"),  # a + b - ab
    ],
)
def test_s20_a_covariate_that_treatments_determine_is_named(column, others):
    (line,) = collinearity('given = "binary"', given=column)
    assert line.startswith(
        f"Collinearity: given is a linear combination of {others}: the data cannot"
    )


def test_s20_near_collinearity_has_the_condition_index_of_belsley():
    # Two columns of correlation r have condition index sqrt((1 + r) / (1 - r)).
    noise = np.random.default_rng(3).normal(0, 0.3, 300)
    r = np.corrcoef(rows().age, rows().age + noise)[0, 1]
    assert (index := np.sqrt((1 + r) / (1 - r))) > 30
    (line,) = collinearity('near = "continuous"', near=rows().age + noise)
    assert f"age, near are nearly collinear (condition index {index:.0f}, above 30)" in line
    assert not collinearity('far = "continuous"', far=rows().age + 10 * noise)


def frequentist(study, contrast):
    from cotreat.estimands.enumerate import enumerate_estimands
    from cotreat.evidence.resolve import resolve
    from cotreat.frequentist.g_computation import fit_adjusted

    model = MODELS["interaction"]
    fit = fit_adjusted(study, model, resolve(study))
    asked = [
        one
        for one in enumerate_estimands(study, model, resolve(study))
        if one.measure == "odds_ratio" and one.contrast == contrast
    ]
    return fit, asked[0]


def test_maximum_likelihood_with_a_covariate_twice_is_that_with_it_once():
    once, twice = (
        frequentist(patients(covariates, months=12 * rows().age), "TCZ vs none")
        for covariates in ('old = "binary"', 'old = "binary", months = "continuous"')
    )
    fit, estimand = twice
    assert fit.status(estimand).is_estimable
    assert fit.estimate(estimand) == pytest.approx(once[0].estimate(once[1]), rel=1e-8)


def test_s20_what_collinear_covariates_leave_open_is_not_estimated():
    study = patients('given = "binary"', given=rows().TCZ)
    for contrast, is_estimable in (("TCZ vs none", False), ("DEX vs none", True)):
        fit, estimand = frequentist(study, contrast)
        status = fit.status(estimand)
        assert status.is_estimable == is_estimable
        if not is_estimable:
            assert status.reason == "covariates or clusters are collinear with the regimens"


def test_s20_what_collinear_covariates_leave_open_is_not_identified():
    table = audit(patients('given = "binary"', given=rows().TCZ)).identification
    ratios = table[table["kind of number"] == "odds ratios of two regimens"].set_index("status")
    assert ratios.which["identified"] == "DEX vs none, TCZ+DEX vs TCZ"
    assert "TCZ vs none" in ratios.which["not identified"]
