"""The conclusion and its four lines, on tables and on whole studies of which the result is known."""

import re
from dataclasses import replace

import pandas as pd
import pytest

from cotreat import load_study, parse_study, reanalyse
from cotreat.core.constants import ANY, IDENTIFIED, IMPLIED, NOT_ESTIMABLE, NOT_IDENTIFIED
from cotreat.priors.belief_grid import as_default
from cotreat.report.conclusion import (
    ASSESSED,
    FAILED,
    INCOMPATIBLE,
    Alternative,
    Reported,
    alternatives_of,
    assessments,
    beliefs_of_grid,
    conclude,
)
from cotreat.report.lines import (
    CANNOT,
    NEEDED,
    REPORTS,
    SHOWS,
    four_lines,
    sensitivity_notes,
    sensitivity_table,
    verdict,
)
from cotreat.report.question import Question
from cotreat.results import supplementary
from cotreat.results.verdict import AGAINST, INCONCLUSIVE, SUPPORTED
from cotreat.results.verdict import FOR as FOR_SYNERGY
from cotreat.study.study import BY_DESIGN
from cotreat.workflow.reanalyse import FailedChecks
from tests.codes import fields
from tests.conftest import arms
from tests.shared import draw_only

WEAK = as_default("weak")

SCALES = ("ic", "reri_or", "ror", "rrr", "bliss")
QUESTION = Question(
    design="randomised",
    outcome="death (30 days)",
    synergy_on="non-event",
    names={"A": "drug A", "B": "drug B", "C": "drug C"},
    pairs=("A:B",),
)
FOR, OPPOSED = f"{SUPPORTED}, {FOR_SYNERGY}", f"{SUPPORTED}, {AGAINST}"
NOT_SHOWN = "No identified comparison is conclusive."


def summary(
    probabilities,
    pair="A:B",
    co_treatment="none",
    status=IDENTIFIED,
    hsa=0.5,
    prior=0.4,
    **more,
):
    """Make the posterior rows of one measure per scale, and of the better single treatment."""
    measures = [*SCALES, "hsa"]
    values = [probabilities] * 5 if isinstance(probabilities, float) else list(probabilities)
    own = {
        "judged_on": "non-event",
        "status": status,
        "reason": "",
        "estimator": "posterior",
        "estimate": 1.0,
        "lower": 0.5,
        "upper": 2.0,
        "probability": [*values, hsa],
        "prior_probability": prior,
        "model": "interaction",
        "priors": "weak",
        "interpretation": "default",
    }
    rows = [fields(f"{name}[{pair}]", ANY if name == "ror" else co_treatment) for name in measures]
    return pd.DataFrame(rows).assign(**{**own, **more})


def odds_ratio(contrast, probability, status=IDENTIFIED, **more):
    row = {**fields(f"odds_ratio[{contrast}]"), "judged_on": "event", **more}
    numbers = {"estimate": 2.478806, "lower": 1.396966, "upper": 4.173175}
    own = {"status": status, "probability": probability, "prior_probability": 0.5}
    return summary(0.5).head(1).assign(**row, **numbers, **own)


def other(probabilities, *, interpretation="default", model="interaction", priors="weak", **more):
    is_unreliable = more.pop("is_unreliable", False)
    return Alternative(
        (interpretation, model, priors), summary(probabilities, **more), is_unreliable
    )


def found_in(table, question=QUESTION, **more):
    found = conclude(question, table, **more)
    for line in four_lines(found):
        assert line.text.endswith(".")
        assert ".." not in line.text
    return found


def lines(found):
    return {line.heading: line.text for line in four_lines(found)}


def design(name):
    return Question(**{**QUESTION.as_json(), "design": name})


# --- The four lines --------------------------------------------------------------------------------


def test_the_four_lines_are_fixed():
    found = found_in(summary(0.5))
    assert [line.heading for line in four_lines(found)] == [REPORTS, SHOWS, CANNOT, NEEDED]


def test_the_paper_says_what_it_reports_in_one_format():
    ratio = Reported("odds ratio", "A vs B", "2.15 (1.15 to 4.02)")
    found = found_in(summary(0.5), reported=[ratio, Reported("events", "A", "3 of 9")])
    assert lines(found)[REPORTS] == "odds ratio A vs B 2.15 (1.15 to 4.02); events A 3 of 9."
    many = [Reported("events", f"A{n}", f"{n} of 90") for n in range(12)]
    assert lines(found_in(summary(0.5), reported=many))[REPORTS].endswith("A7 7 of 90; and 4 more.")


def test_supported_for_synergy():
    found = found_in(summary(0.99), alternatives=[other(0.98, priors="sceptical")])
    assert verdict(found) == "Supported, for synergy"
    assert lines(found)[SHOWS] == (
        "Supported, for synergy: drug A with drug B, on all 5 scales (P(synergy) 0.990)."
    )
    assert lines(found)[CANNOT] == "nothing: every question about synergy is answered."
    assert {one.verdict.short for one in found.assessments} == {FOR}
    assert {(row.alternatives, row.counts[FOR], row.differs) for row in found.sensitivity} == {
        (1, 1, False)
    }


def test_supported_against_synergy():
    found = found_in(summary(0.01))
    assert verdict(found) == "Supported, against synergy"
    assert lines(found)[SHOWS].startswith("Supported, against synergy: drug A with drug B")
    assert {one.verdict.short for one in found.assessments} == {OPPOSED}
    assert sensitivity_notes(found) == ["No other interpretation, model or prior set was tried."]
    found = found_in(summary(0.01), alternatives=[other(0.5, priors="odd", is_unreliable=True)])
    assert verdict(found) == "Supported, against synergy"
    assert sensitivity_notes(found) == [
        "No other interpretation, model or prior set could be used.",
        "Left out, because diagnostics failed: 1 other fit.",
    ]


@pytest.mark.parametrize("value", [0.975, 0.9749])
def test_where_a_result_becomes_supported(value):
    is_supported = value >= 0.975
    assert (verdict(found_in(summary(value))) == "Supported, for synergy") == is_supported
    against = verdict(found_in(summary(1 - value)))
    assert (against == "Supported, against synergy") == is_supported


def test_conclusive_identified_comparisons_are_shown_with_their_intervals():
    rows = [
        odds_ratio("A+B vs B", 0.998),
        odds_ratio("A vs not A", 0.001),
        odds_ratio("A+B vs A", 0.9),
        odds_ratio("A+B vs C", 0.999),
        odds_ratio("A+C vs C", 0.999, NOT_IDENTIFIED),
    ]
    found = found_in(pd.concat([summary(0.5), *rows]))
    assert [one.contrast for one in found.comparisons] == ["A+B vs B", "A vs not A"]
    assert lines(found)[SHOWS] == (
        "Odds ratios of death (30 days) (posterior median, 95% credible interval): A+B vs B 2.48 (1.40 to "
        "4.17), A vs not A 2.48 (1.40 to 4.17)."
    )


def test_confounding_and_cautions_are_said_where_something_is_shown():
    cautions = ["overlap: 0.4 (…)", "prior, beta: far (…)"]
    found = found_in(summary(0.99), design("cohort"), cautions=cautions)
    assert lines(found)[SHOWS].endswith(
        "Patients were not assigned at random, so confounding may explain this. Checks advise caution "
        "(overlap, prior)."
    )
    assert "random assignment" in lines(found)[NEEDED]
    open_ = lines(found_in(summary(0.5), design("cohort"), cautions=cautions))[SHOWS]
    assert open_ == f"{NOT_SHOWN} Checks advise caution (overlap, prior)."


def test_better_than_either_alone_is_not_synergy():
    found = found_in(summary([0.3, 0.6, 0.5, 0.9, 0.45], hsa=0.9999))
    assert verdict(found) == "Inconclusive"
    assert lines(found)[SHOWS] == NOT_SHOWN
    assert lines(found)[CANNOT] == (
        "whether the risk of death (30 days) with drug A and drug B together is lower than expected from "
        "their separate effects (synergy): inconclusive for drug A with drug B on all 5 scales (P(synergy) "
        "0.300 to 0.900). The risk of death (30 days) "
        "with both is lower than with the better single treatment for drug A with drug B (probability "
        "> 0.999), but that is not evidence of synergy."
    )


def test_scales_that_differ():
    found = found_in(summary([0.99, 0.98, 0.01, 0.5, 0.99]))
    assert verdict(found) == (
        "Supported, for synergy on the scales additive, RERI from odds ratios and Bliss independence; "
        "supported, against synergy on the scale multiplicative odds; inconclusive on the scale "
        "multiplicative risks"
    )
    assert lines(found)[SHOWS] == (
        "Supported, for synergy: drug A with drug B, on the scales additive, RERI from odds ratios and Bliss "
        "independence (P(synergy) 0.980 to 0.990). Supported, against synergy: drug A with drug B, on the "
        "scale multiplicative odds (P(synergy) 0.010)."
    )
    assert "on the scale multiplicative risks (P(synergy) 0.500)" in lines(found)[CANNOT]


def test_a_probability_within_monte_carlo_error_of_a_threshold_is_inconclusive():
    # The error of 0.97525 from 4,395 independent draws is 0.0023; it lies 0.00025 above the threshold.
    table = summary([0.7, 0.97525, 0.7, 0.7, 0.7])
    found = found_in(table.assign(mcse_probability=0.0023))
    assert "; inconclusive, at the threshold on the scale RERI from odds ratios" in verdict(found)
    assert (
        "inconclusive, at the threshold for drug A with drug B on the scale RERI from odds ratios"
        in (lines(found)[CANNOT])
    )
    # The error from 4,000,000 draws is 0.00008.
    precise = assessments(table.assign(mcse_probability=0.00008))
    assert {one.scale: one.verdict.short for one in precise}["RERI from odds ratios"] == FOR
    mixed = {
        one.scale: (one.verdict.short, one.verdict.is_at_threshold)
        for one in assessments(
            summary([0.99, 0.0245, 0.02, 0.5, 0.5]).assign(mcse_probability=0.0023)
        )
    }
    assert mixed["additive"] == (FOR, False)
    assert mixed["RERI from odds ratios"] == (INCONCLUSIVE, True)
    assert mixed["multiplicative odds"] == (OPPOSED, False)


# --- Not identified --------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [0.7, 0.99, 0.01])
def test_what_is_not_identified_is_never_supported(value):
    table = summary(value, status=NOT_IDENTIFIED, hsa=0.999)
    found = found_in(table, alternatives=[other(value, priors="same", status=NOT_IDENTIFIED)])
    assert verdict(found) == "Not identified (prior-dependent)"
    assert lines(found)[SHOWS] == NOT_SHOWN
    assert (
        "(synergy): not identified (prior-dependent) for drug A with drug B, P(synergy) "
        f"{value:.3f} by model and prior, 0.400 before the data, {value:.3f} over all choices."
    ) in lines(found)[CANNOT]
    assert "upported" not in " ".join(map(str, four_lines(found)))
    assert {tuple(r.counts.items()) for r in found.sensitivity} == {(("not identified", 1),)}
    # That the combination is better than either is not identified either.
    assert "better single treatment" not in lines(found)[CANNOT]


def test_another_choice_that_does_not_identify_it_makes_no_conclusion():
    bold = other([0.99, 0.5, 0.5, 0.5, 0.5], priors="bold", status=NOT_IDENTIFIED)
    found = found_in(summary(0.6, status=NOT_IDENTIFIED), alternatives=[bold])
    assert [row.differing for row in found.sensitivity] == [()] * 5
    assert sensitivity_table(found)[FOR].tolist() == [0] * 5
    assert sensitivity_table(found)["not identified"].tolist() == [1] * 5
    # It differs from a supported interaction all the same.
    vague = other(0.6, priors="vague", status=NOT_IDENTIFIED)
    found = found_in(summary(0.99), alternatives=[vague])
    assert {row.differing for row in found.sensitivity} == {(vague.choice,)}


def test_once_a_section_not_once_a_pair():
    table = pd.concat([summary(0.7, pair, status=NOT_IDENTIFIED) for pair in ("A:B", "A:C")])
    text = lines(found_in(table, Question(**{**QUESTION.as_json(), "pairs": ("A:B", "A:C")})))
    assert text[CANNOT].count("not identified") == 1


def test_each_scale_has_its_own_identification():
    table = summary(0.5)
    table["status"] = [NOT_IDENTIFIED] * 2 + [IDENTIFIED] + [NOT_IDENTIFIED] * 3
    table.loc[2, "probability"] = 0.99
    found = {one.scale: one.verdict for one in assessments(table)}
    assert found.pop("multiplicative odds").short == FOR
    assert {one.name for one in found.values()} == {NOT_IDENTIFIED}
    text = lines(found_in(table))
    assert "on the scale multiplicative odds" in text[SHOWS]
    assert "not identified (prior-dependent) for drug A with drug B on the scales" in text[CANNOT]


def test_the_co_treatment_with_most_identified_scales_is_assessed():
    apart = summary(0.99, status=NOT_IDENTIFIED).query("measure != 'ror'")
    table = pd.concat([apart, summary(0.6, co_treatment="C")])
    found = assessments(table)
    assert {(one.co_treatment, one.identified) for one in found} == {("C", True)}
    assert "drug A with drug B (with drug C as co-treatment)" in lines(found_in(table))[CANNOT]


def test_what_would_settle_it_names_what_is_not_reported():
    question = replace(
        design("cohort"), not_counted=("A", "A+B"), without_patients=("none",), pairs=("A:B",)
    )
    table = summary(0.7, status=NOT_IDENTIFIED)
    rival = other(0.7, interpretation="rival", status=NOT_IDENTIFIED)
    assert lines(found_in(table, question, alternatives=[rival]))[NEEDED] == (
        "patients and events of A, A+B, from the authors; which interpretation of the reported estimates is "
        "right, from the authors; patients who received no study drug, whom this study does not have; random "
        "assignment, or adjustment for confounders."
    )
    assert lines(found_in(summary(0.5)))[NEEDED] == "more patients in these regimens."
    assert (
        lines(found_in(summary(0.99)))[NEEDED] == "nothing more is needed to answer the question."
    )


# --- No conclusion ---------------------------------------------------------------------------------


def test_failed_diagnostics_leave_no_number_and_no_conclusion():
    failed = ["R-hat: 1.7 (beta), should be ≤ 1.01; draw more", "R-hat: 1.6 (gamma), …", "ESS: 30"]
    table = pd.concat([summary(0.99), odds_ratio("A+B vs B", 0.998)])
    found = found_in(table, failed=failed)
    assert verdict(found) == "Not assessed: diagnostics failed"
    assert (found.status, found.assessments, found.comparisons) == (FAILED, (), ())
    assert lines(found)[SHOWS] == (
        "nothing: diagnostics failed (R-hat, ESS); do not use the numbers of this fit."
    )
    assert lines(found)[CANNOT].endswith("(synergy): not assessed: diagnostics failed.")
    assert not re.search(r"0\.99|2\.48", " ".join(map(str, four_lines(found))))


def test_an_incompatible_interpretation_gives_no_conclusion():
    table = pd.concat([summary(0.99), odds_ratio("A+B vs B", 0.998)])
    found = found_in(table, incompatibility="incompatible with the other reported estimates")
    assert (found.status, found.assessments, found.comparisons) == (INCOMPATIBLE, (), ())
    assert lines(found)[SHOWS].startswith("nothing under the interpretation default")
    assert not re.search(r"0\.99|2\.48", " ".join(map(str, four_lines(found))))


@pytest.mark.parametrize(
    ("status", "reason", "words"),
    [
        (IMPLIED, "", "the model interaction has no interaction"),
        (NOT_ESTIMABLE, BY_DESIGN, "the design does not identify risks"),
        (NOT_ESTIMABLE, "no patients in A", "no measure of synergy is defined"),
    ],
)
def test_no_measure_has_a_probability(status, reason, words):
    table = summary(0.5, status=status, reason=reason).assign(probability=float("nan"))
    found = found_in(table)
    assert (found.status, verdict(found)) == (NOT_ESTIMABLE, "Not estimable")
    assert f"not estimable, because {words}" in lines(found)[CANNOT]


def test_in_case_control_studies_odds_are_compared_and_the_rare_outcome_is_named():
    question = design("case-control")
    assert str(question).startswith("Are the odds of death (30 days) with drug A and drug B")
    table = summary([0.99, 0.99, 0.5, 0.5, 0.5])
    odds_alone = table[table.measure.isin(["reri_or", "ror"])]
    found = found_in(odds_alone, question)
    assert "whether the odds of death (30 days) with drug A and drug B" in lines(found)[CANNOT]
    assert "together are lower than expected" in lines(found)[CANNOT]
    rare = "RERI from odds ratios approximates that from risk ratios only where the outcome is rare"
    assert f"{rare}, which this design cannot show." in lines(found)[SHOWS]
    # Where the additive scale is as conclusive, nothing rests on odds; where it is not, it does.
    assert "rare" not in lines(found_in(table))[SHOWS]
    assert f"{rare}." in lines(found_in(summary([0.5, 0.99, 0.5, 0.5, 0.5])))[SHOWS]


# --- Sensitivity -----------------------------------------------------------------------------------


def test_another_interpretation_that_differs_makes_a_verdict_inconclusive():
    alternatives = [
        other(0.8, priors="sceptical"),
        other(0.99, interpretation="strict"),
        other(0.01, model="saturated"),
        other(0.5, priors="odd", is_unreliable=True),
    ]
    found = found_in(summary(0.99), alternatives=alternatives)
    # Models and priors are shown, and do not make the verdict; that of the default interpretation stands.
    assert verdict(found) == "Supported, for synergy"
    assert lines(found)[SHOWS] == (
        "Supported, for synergy: drug A with drug B, on all 5 scales (P(synergy) 0.990; another verdict under "
        "some other choices, 0.010 to 0.990)."
    )
    table = sensitivity_table(found)
    assert table.scale.tolist() == [
        *("additive", "RERI from odds ratios", "multiplicative odds", "multiplicative risks"),
        "Bliss independence",
    ]
    assert table.iloc[0].to_dict() == {
        "pair": "drug A with drug B",
        "scale": "additive",
        "verdict": "supported, for synergy",
        "range of P(synergy)": "0.010 to 0.990",
        "other choices": 3,
        FOR: 1,
        OPPOSED: 1,
        "practically excluded": 0,
        INCONCLUSIVE: 1,
        "not identified": 0,
        "another verdict under": "priors sceptical, model saturated",
    }
    assert sensitivity_notes(found) == ["Left out, because diagnostics failed: 1 other fit."]
    rival = other(0.5, interpretation="rival")
    found = found_in(summary(0.99), alternatives=[*alternatives, rival])
    assert verdict(found) == "Inconclusive, depends on interpretation"
    assert lines(found)[SHOWS] == NOT_SHOWN
    found = found_in(summary(0.99), alternatives=[rival], incompatible=["rival"])
    assert verdict(found) == "Supported, for synergy"


def test_each_row_has_one_denominator():
    half = summary([0.99, 0.5, 0.5, 0.5, 0.5]).head(2)
    only_two = Alternative(("default", "dose", "weak"), half)
    found = found_in(summary(0.5), alternatives=[other(0.01, priors="p"), only_two])
    assert [row.alternatives for row in found.sensitivity] == [2, 2, 1, 1, 1]
    table = sensitivity_table(found)
    counted = [FOR, OPPOSED, "practically excluded", INCONCLUSIVE, "not identified"]
    assert table[counted].sum(axis=1).tolist() == table["other choices"].tolist()


def test_directions_are_compared_scale_by_scale():
    primary = summary([0.99, 0.5, 0.5, 0.5, 0.5])
    opposite = other([0.01, 0.5, 0.5, 0.5, 0.5], priors="opposite")
    elsewhere = other([0.5, 0.99, 0.5, 0.5, 0.5], priors="elsewhere")
    alike = other([0.98, 0.3, 0.7, 0.5, 0.5], priors="alike")
    found = found_in(primary, alternatives=[opposite, elsewhere, alike])
    assert verdict(found).startswith(
        "Supported, for synergy on the scale additive; inconclusive on"
    )
    names = [[choice[2] for choice in row.differing] for row in found.sensitivity]
    assert names == [["opposite", "elsewhere"], ["elsewhere"], [], [], []]


def test_incompatible_interpretations_are_set_aside_and_named():
    rival = other(0.5, interpretation="rival")
    near = other(0.99, interpretation="near")
    found = found_in(summary(0.99), incompatible=["rival"], alternatives=[rival, near])
    assert (found.status, verdict(found)) == (ASSESSED, "Supported, for synergy")
    assert found.incompatible == ("rival",)
    assert {row.alternatives for row in found.sensitivity} == {1}
    assert sensitivity_notes(found) == [
        "Left out, because the other reported estimates are incompatible: interpretation rival."
    ]


def test_several_pairs():
    question = Question(**{**QUESTION.as_json(), "pairs": ("A:B", "A:C", "B:C")})
    assert str(question) == (
        "With which two of drug A, drug B and drug C together is the risk of death (30 days) lower "
        "than expected from their separate effects?"
    )
    table = pd.concat([summary(0.99), summary(0.5, "A:C"), summary(0.6, "B:C")])
    found = found_in(table, question)
    assert verdict(found) == "Not the same for every pair"
    assert "drug A with drug B, on all 5 scales (P(synergy) 0.990)" in lines(found)[SHOWS]
    assert "for drug A with drug C and drug B with drug C on all 5 scales" in lines(found)[CANNOT]


def test_choices_that_assess_no_pair_are_named():
    question = Question(**{**QUESTION.as_json(), "pairs": ("A:B", "A:C", "B:C")})
    primary = pd.concat([summary(0.5), summary(0.5, "A:C"), summary(0.5, "B:C")])
    elsewhere = summary(0.5, co_treatment="C").query("measure != 'ror'")
    given = {
        "dose": summary(0.99, "B:C"),
        "saturated": elsewhere,
        "additive": primary.assign(probability=float("nan")),
    }
    alternatives = [Alternative(("default", m, "weak"), rows) for m, rows in given.items()]
    found = found_in(primary, question, alternatives=alternatives)
    assert [choice[1] for choice in found.not_comparable] == ["saturated", "additive"]
    assert sensitivity_notes(found) == [
        "Not comparable, because these measures are not assessed: model saturated, model additive."
    ]
    counted = {
        row.assessment.pair: (row.alternatives, row.counts[FOR]) for row in found.sensitivity
    }
    assert counted == {"A:B": (0, 0), "A:C": (0, 0), "B:C": (1, 1)}
    assert set(sensitivity_table(found).pair) == {"drug B with drug C"}


def test_the_multiverse_is_read():
    good = summary(0.6).rename(columns={"interpretation": "interpretation"})
    good = good.assign(priors="sceptical", verdict="good")
    bad = good.head(1).assign(
        priors="odd", verdict=supplementary.UNRELIABLE, probability=float("nan")
    )
    read = alternatives_of(pd.concat([good, bad]))
    assert [(a.choice[2], a.is_unreliable) for a in read] == [("sceptical", False), ("odd", True)]
    found = found_in(summary(0.99), alternatives=read)
    assert found.unusable == 1
    assert {row.differing for row in found.sensitivity} == {
        (("default", "interaction", "sceptical"),)
    }


def test_each_belief_of_the_grid_counts_on_the_scale_that_it_assesses():
    beliefs = [
        *((WEAK, WEAK, 0.6), (WEAK, "optimistic-strong", 0.99), (WEAK, "pessimistic-strong", 0.01)),
        *(("neutral-weak", "optimistic-weak", 0.98), ("neutral-weak", WEAK, 0.5)),
    ]
    rows = [
        {"effects": effects, "interactions": about, "verdict": "good", **row}
        for effects, about, p in beliefs
        for row in (
            {**fields("ror[A:B]", ANY), "status": IDENTIFIED, "reason": "", "probability": p},
            {
                **fields("odds_ratio[A+B vs B]"),
                "status": IDENTIFIED,
                "reason": "",
                "probability": 0.9,
            },
        )
    ]
    bad = {
        "effects": "optimistic-strong",
        "interactions": WEAK,
        "verdict": supplementary.UNRELIABLE,
    }
    read = beliefs_of_grid(pd.DataFrame([*rows, bad]), "default", "interaction")
    assert [one.choice[2] for one in read if one.is_unreliable] == ["grid:optimistic-strong"]
    found = found_in(summary(0.6), alternatives=[other(0.5, priors="sceptical"), *read])
    by_scale = {row.assessment.scale: row for row in found.sensitivity}
    ratio = by_scale.pop("multiplicative odds")
    # The grid's own default is the primary analysis, and is not counted again.
    assert [ratio.counts[name] for name in (FOR, INCONCLUSIVE, OPPOSED)] == [2, 2, 1]
    assert [choice[2] for choice in ratio.differing] == [
        "interactions:optimistic-strong",
        "interactions:pessimistic-strong",
        "grid:neutral-weak:optimistic-weak",
    ]
    assert {row.alternatives for row in by_scale.values()} == {1}
    assert found.unusable == 1
    ratio = found_in(summary(0.99), alternatives=read).sensitivity[2]
    assert ratio.differs


def test_the_question_of_a_study_comes_back_from_json():
    for name in ("isis2", "sun2024"):
        question = Question.of(load_study(name))
        assert Question.from_json(question.as_json()) == question
    assert question.not_counted[:2] == ("TAC", "CYC")
    assert question.without_patients == ("none",)
    assert str(Question.of(load_study("isis2"))) == (
        "Is the risk of vascular death (5 weeks) with streptokinase and aspirin together lower than "
        "expected from their separate effects?"
    )


# --- Whole studies ---------------------------------------------------------------------------------

TWO = """
format = 1

[study]
id = "two"
title = "Two drugs, made up for the tests"
design = "{}"
source = "made up"
{}

[outcome]
name = "response"
direction = "benefit"

[treatments]
A = {{ name = "drug A" }}
B = {{ name = "drug B" }}
"""
MUCH_MORE = {"none": (2000, 200), "A": (2000, 220), "B": (2000, 220), "A+B": (2000, 1200)}
"""Risks of 0.10, 0.11, 0.11 and 0.60: far beyond what separate effects could do, on every scale."""


def concluded(monkeypatch, tmp_path, cells, design="randomised", inclusion="", draws=2000):
    own = f'inclusion = "{inclusion}"' if inclusion else ""
    study = parse_study(TWO.format(design, own) + arms(cells))
    draw_only(monkeypatch)
    done = reanalyse(study, "interaction", engine="laplace", draws=draws, out=tmp_path)
    assert verdict(done.conclusion) in done.report.read_text(encoding="utf-8")
    return done.conclusion


@pytest.mark.slow
def test_a_study_that_supports_synergy(monkeypatch, tmp_path):
    found = concluded(monkeypatch, tmp_path, MUCH_MORE)
    assert verdict(found) == "Supported, for synergy"
    assert lines(found)[REPORTS].startswith("events none 200 of 2000, A 220 of 2000, B 220 of 2000")
    assert "drug A with drug B, on all 5 scales (P(synergy) > 0.999)." in lines(found)[SHOWS]
    assert found.choice == ("default", "interaction", "weak")


@pytest.mark.slow
def test_a_study_that_is_inconclusive(monkeypatch, tmp_path):
    cells = {"none": (60, 12), "A": (60, 18), "B": (60, 17), "A+B": (60, 26)}
    found = concluded(monkeypatch, tmp_path, cells, "cohort")
    assert verdict(found) == "Inconclusive"
    assert (
        "inconclusive for drug A with drug B on all 5 scales (P(synergy) 0." in lines(found)[CANNOT]
    )


@pytest.mark.slow
def test_a_study_that_cannot_identify_synergy(monkeypatch, tmp_path):
    # Nobody has neither drug: the reference risk of every scale was not observed.
    cells = {regimen: cell for regimen, cell in MUCH_MORE.items() if regimen != "none"}
    found = concluded(monkeypatch, tmp_path, cells, "cohort", "any(A, B)")
    assert verdict(found) == "Not identified (prior-dependent)"
    assert "Supported" not in lines(found)[SHOWS]
    assert "A+B vs B" in lines(found)[SHOWS]
    assert "confounding may explain this" in lines(found)[SHOWS]
    assert "patients who received no study drug" in lines(found)[NEEDED]


@pytest.mark.slow
def test_a_study_whose_fit_fails(monkeypatch, tmp_path):
    with pytest.warns(FailedChecks, match="R-hat"):
        found = concluded(monkeypatch, tmp_path, MUCH_MORE, draws=100)
    assert verdict(found) == "Not assessed: diagnostics failed"
    assert "(R-hat of probabilities, SE between runs / SD)" in lines(found)[SHOWS]
