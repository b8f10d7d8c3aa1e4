"""The plain-words answer, on tables and on whole studies made to be decided, undecided, extrapolated, failed."""

import pandas as pd
import pytest

from cotreat import load_study, parse_study, reanalyse
from cotreat.answer import (
    Alternative,
    Question,
    alternatives_of,
    answer,
    beliefs_of_grid,
    findings,
)
from cotreat.answer.others import WEAK
from cotreat.results import supplementary
from cotreat.workflow.reanalyse import FailedChecks
from tests.conftest import arms

FAMILIES = ("ic", "reri_or", "ror", "rrr", "bliss")
SHARED = "every (the same by assumption)"
QUESTION = Question(
    design="randomised",
    outcome="death (30 days)",
    synergy_on="non-event",
    names={"A": "drug A", "B": "drug B", "C": "drug C"},
    pairs=("A:B",),
)


def summary(
    probabilities,
    pair="A:B",
    background="none",
    availability="observed",
    hsa=0.5,
    prior=0.4,
    **more,
):
    """Make the posterior rows of one measure of each family, and of the best single treatment."""
    measures = [*FAMILIES, "hsa"]
    values = [probabilities] * 5 if isinstance(probabilities, float) else list(probabilities)
    return pd.DataFrame(
        {
            "estimator": "posterior",
            "model": "interaction",
            "priors": "weak",
            "reading": "default",
            "estimand": [f"{name}[{pair}]" for name in measures],
            "background": [SHARED if name == "ror" else background for name in measures],
            "availability": availability,
            "probability": [*values, hsa],
            "prior_probability": prior,
            **more,
        }
    )


def other(probabilities, *, reading="default", model="interaction", priors="weak", **more):
    evidence, is_bad = more.pop("log_evidence", float("nan")), more.pop("is_bad", False)
    return Alternative((reading, model, priors), summary(probabilities, **more), evidence, is_bad)


def say(table, question=QUESTION, **more):
    given = answer(question, table, **more)
    assert 1 <= len(given.sentences) <= 3
    for sentence in given.sentences:
        assert sentence.endswith(".")
        assert sentence[0].isupper()
        assert ". " not in sentence
    return given


def design(name):
    return Question(**{**QUESTION.as_json(), "design": name})


def test_decided():
    given = say(summary(0.99), alternatives=[other(0.98, priors="sceptical")])
    assert given.gist == "Decided: synergy"
    assert given.sentences == (
        "Whether the chance of death (30 days) with drug A and drug B together is lower than expected "
        "from their separate effects (synergy) is decided: it is, in all 5 senses of the word "
        "(probability 0.990).",
        "One other choice of reading, model or priors says the same.",
    )


def test_decided_against():
    given = say(summary(0.01))
    assert given.gist == "Decided: no synergy"
    assert "decided: it is not, in all 5 senses" in given.sentences[0]
    assert given.sentences[-1] == "No other reading, model or prior has been tried."
    given = say(summary(0.01), alternatives=[other(0.5, priors="odd", is_bad=True)])
    assert given.sentences[-1] == ("No other reading, model or prior that was tried could be used.")


@pytest.mark.parametrize("value", [0.975, 0.9749])
def test_where_a_decision_begins(value):
    is_decided = value >= 0.975
    assert (say(summary(value)).gist == "Decided: synergy") == is_decided
    assert (say(summary(1 - value)).gist == "Decided: no synergy") == is_decided


def test_decided_without_random_assignment_or_with_cautions():
    given = say(
        summary(0.99), design("cohort"), cautions=["overlap: 0.4 (…)", "prior, beta: far (…)"]
    )
    assert given.sentences[1] == (
        "Nobody was assigned at random, so confounding may account for it; checks call for caution "
        "(overlap, prior)."
    )


def test_undecided_says_that_better_than_either_alone_is_no_synergy():
    given = say(summary([0.3, 0.6, 0.5, 0.9, 0.45], hsa=0.9999))
    assert given.gist == "Undecided"
    assert given.sentences[0].endswith(
        "is undecided (probability 0.300 to 0.900, depending on the sense of the word; 0.975 would "
        "decide it)."
    )
    assert given.sentences[1] == (
        "The chance with both is lower than with either alone (probability > 0.999), but that by itself "
        "is not synergy."
    )


def test_extrapolated_is_never_decided():
    given = say(summary(0.99, availability="extrapolated"))
    assert given.gist == "Extrapolated, not shown"
    assert "is not shown, though model and prior alone would have it decided: it is" in str(given)
    assert given.sentences[1] == (
        "This is extrapolated: the evidence does not determine it, model and prior supply it, and before "
        "the data the probability was 0.400."
    )
    assert say(summary(0.7, availability="extrapolated")).gist == "Undecided"


def test_extrapolated_stays_so_whatever_other_choices_say():
    lead = summary(0.99, availability="extrapolated")
    same, differs = other(0.98, priors="same"), other(0.5, priors="sceptical")
    given = say(lead, alternatives=[same, differs])
    assert given.gist == "Extrapolated, not shown"
    assert "is not shown, though model and prior alone would have it decided: it is" in str(given)
    assert given.sentences[0].endswith(
        "(probability 0.990), but not under every choice tried (over senses and choices 0.500 to 0.990)."
    )
    assert say(lead, alternatives=[same]).gist == "Extrapolated, not shown"
    lead = summary(0.6, availability="extrapolated")
    bold = other([0.99, 0.5, 0.5, 0.5, 0.5], priors="bold", availability="extrapolated")
    assert (
        say(lead, alternatives=[bold])
        .sentences[-1]
        .endswith("the prior set bold decides it in favour by added risks (extrapolated).")
    )


def test_extrapolation_confounding_and_cautions_are_said_together():
    given = say(
        summary(0.99, availability="extrapolated"), design("cohort"), cautions=["overlap: 0.4 (…)"]
    )
    assert given.sentences[1] == (
        "This is extrapolated: the evidence does not determine it, model and prior supply it, and before "
        "the data the probability was 0.400; nobody was assigned at random, so confounding may account for "
        "it; checks call for caution (overlap)."
    )


def test_in_case_control_studies_odds_are_compared_and_the_rare_outcome_is_named():
    question = design("case-control")
    assert str(question).startswith("Are the odds of death (30 days) with drug A and drug B")
    table = summary([0.99, 0.99, 0.5, 0.5, 0.5])
    odds_alone = table[table.estimand.isin(["reri_or[A:B]", "ror[A:B]"])]
    given = say(odds_alone, question)
    assert given.sentences[0].startswith(
        "Whether the odds of death (30 days) with drug A and drug B"
    )
    assert "together are lower than expected" in given.sentences[0]
    assert "chance" not in str(given)
    assert given.sentences[1] == (
        "Nobody was assigned at random, so confounding may account for it; added odds stand for added "
        "risks only where the outcome is rare, which this design cannot tell."
    )
    # Where risks decide the same, nothing rests on added odds; where they do not, it does.
    assert "rare" not in str(say(table))
    assert say(summary([0.5, 0.99, 0.5, 0.5, 0.5])).sentences[1] == (
        "Added odds stand for added risks only where the outcome is rare."
    )


def test_a_probability_within_sampling_error_of_a_decision_decides_nothing():
    # The error of 0.97525 from 4,395 independent draws is 0.0023; it lies 0.00025 above the limit.
    table = summary([0.7, 0.97525, 0.7, 0.7, 0.7])
    given = say(table, effective=4395)
    assert given.gist == "Undecided"
    assert given.sentences[0].endswith(
        "(probability 0.700 to 0.975, depending on the sense of the word; 0.975 would decide it, and by "
        "added odds it is within sampling error of that)."
    )
    (found,) = findings(table, 4_000_000)  # error 0.00008: three of them
    assert found.decided_for == ["RERI from odds ratios"]
    (found,) = findings(summary([0.99, 0.0245, 0.02, 0.5, 0.5]), 4395)
    assert (found.decided_for, found.at_edge) == (["additive"], ["RERI from odds ratios"])
    assert found.decided_against == ["multiplicative odds"]
    edge = "at the edge of a decision by added odds, undecided by multiplied risks and independent"
    assert edge in str(say(summary([0.99, 0.0245, 0.02, 0.5, 0.5]), effective=4395))


def test_failed_gives_no_number_and_no_verdict():
    failed = ["R-hat: 1.7 (beta), should be ≤ 1.01; draw more", "R-hat: 1.6 (gamma), …", "ESS: 30"]
    given = say(summary(0.99), failed=failed)
    assert given.gist == "No answer: failed checks"
    assert given.sentences == (
        "The sampler's checks failed (R-hat, ESS), so none of these numbers is to be used and the "
        "question is not answered.",
    )


def test_a_contradicted_reading_gives_no_answer():
    given = say(summary(0.99), contradiction="contradicted by the other numbers in print")
    assert given.gist == "No answer: contradicted"
    assert "0.99" not in str(given)


def test_other_choices_that_differ_take_the_decision_back():
    given = say(
        summary(0.99),
        alternatives=[
            other(0.8, priors="sceptical"),
            other(0.99, reading="strict"),
            other(0.01, model="saturated"),
            other(0.5, priors="odd", is_bad=True),
        ],
    )
    assert given.gist == "Depends on choices"
    assert given.sentences[0].endswith(
        "in all 5 senses of the word (probability 0.990), but not under every choice tried (over senses "
        "and choices 0.010 to 0.990)."
    )
    assert given.sentences[-1] == (
        "Of 3 other choices of reading, model or priors, 2 say otherwise: the prior set sceptical leaves it "
        "undecided and the model saturated decides it against; 1 fit could not be used."
    )


def test_choices_that_say_the_same_are_named_together():
    sets = [other(0.5, priors=f"p{n}") for n in range(3)] + [other(0.6, model="m", priors="p0")]
    given = say(summary(0.99), alternatives=sets)
    assert given.sentences[-1] == (
        "Of 4 other choices of reading, model or priors, 4 say otherwise: the prior sets p0, p1 and p2 and "
        "the model m with the prior set p0 leave it undecided."
    )


def test_two_choices_that_decide_in_other_senses_do_not_say_the_same():
    lead = summary([0.99, 0.5, 0.5, 0.5, 0.5])
    opposite = other([0.01, 0.5, 0.5, 0.5, 0.5], priors="opposite")
    elsewhere = other([0.5, 0.99, 0.5, 0.5, 0.5], priors="elsewhere")
    alike = other([0.98, 0.3, 0.7, 0.5, 0.5], priors="alike")
    given = say(lead, alternatives=[opposite, elsewhere, alike])
    assert given.gist == "Depends on what synergy means, and on choices"
    assert given.sentences[0].endswith(
        "undecided by added odds, multiplied odds, multiplied risks and independent action (probability "
        "0.500 to 0.990), but not under every choice tried (over senses and choices 0.010 to 0.990)."
    )
    assert given.sentences[-1] == (
        "Of 3 other choices of reading, model or priors, 2 say otherwise: the prior set opposite decides it "
        "against by added risks and the prior set elsewhere decides it in favour by added odds."
    )


def test_readings_that_other_numbers_contradict_are_left_aside_and_said():
    rival = other(0.5, reading="rival", log_evidence=-20.0)
    near = other(0.99, reading="near", log_evidence=-12.0)
    given = say(summary(0.99), log_evidence=-10.0, alternatives=[rival, near])
    assert given.gist == "Decided: synergy"
    assert given.sentences[-1] == (
        "One other choice of reading, model or priors says the same; the reading rival is left aside, "
        "for other numbers in print contradict it."
    )
    # Under other priors it is compared with the leading reading under the same priors.
    rows = [
        other(0.5, reading="rival", priors="sceptical", log_evidence=-20.0),
        other(0.99, priors="sceptical", log_evidence=-18.0),
    ]
    given = say(summary(0.99), log_evidence=-10.0, alternatives=rows)
    assert given.gist == "Depends on choices"


def test_senses_that_differ():
    given = say(summary([0.99, 0.98, 0.01, 0.5, 0.99]))
    assert given.gist == "Depends on what synergy means"
    assert (
        "decided in favour by added risks, added odds and independent action, decided against by "
        "multiplied odds, undecided by multiplied risks (probability 0.010 to 0.990)"
    ) in given.sentences[0]


def test_a_sense_that_the_evidence_does_not_determine_is_not_counted():
    table = summary(0.5)
    table["availability"] = ["extrapolated"] * 2 + ["observed"] + ["extrapolated"] * 3
    table.loc[2, "probability"] = 0.99
    (found,) = findings(table)
    assert found.probability == {"multiplicative odds": 0.99}
    assert "decided: it is, in the one sense there is" in say(table).sentences[0]


def test_of_several_backgrounds_that_of_which_the_evidence_determines_most():
    table = pd.concat(
        [
            summary(0.99, availability="extrapolated"),
            summary(0.6, background="C"),
        ]
    )
    (found,) = findings(table)
    assert (found.background, found.is_observed) == ("C", True)
    assert "with drug A and drug B (beside drug C) together" in say(table).sentences[0]


def test_several_pairs():
    question = Question(**{**QUESTION.as_json(), "pairs": ("A:B", "A:C", "B:C")})
    assert str(question) == (
        "With which two of drug A, drug B and drug C together is the chance of death (30 days) lower "
        "than expected from their separate effects?"
    )
    table = pd.concat([summary(0.99), summary(0.5, "A:C"), summary(0.6, "B:C")])
    given = say(table, question)
    assert given.gist == "Not the same for every pair"
    assert (
        "decided: it is, in all 5 senses of the word (probability 0.990), for drug A with"
        in str(given)
    )
    assert "for drug A with drug C and drug B with drug C" in given.sentences[0]


@pytest.mark.parametrize(
    ("availability", "reason"),
    [
        ("implied by the model", "the model interaction has no interaction"),
        ("undefined: not identified by design", "its design does not identify the chances"),
        ("undefined: no patients", "no measure of synergy that is defined"),
    ],
)
def test_no_measure_has_a_probability(availability, reason):
    given = say(summary(0.5).assign(availability=availability, probability=float("nan")))
    assert given.gist == "No answer"
    assert reason in str(given)


def test_the_multiverse_is_read():
    good = summary(0.6).assign(priors="sceptical", verdict="good", log_evidence=-3.0)
    bad = good.head(1).assign(priors="odd", verdict=supplementary.BAD, probability=float("nan"))
    found = alternatives_of(pd.concat([good, bad]))
    assert [(a.choice[2], a.is_bad, a.log_evidence) for a in found] == [
        ("sceptical", False, -3.0),
        ("odd", True, -3.0),
    ]
    given = say(summary(0.99), alternatives=found)
    assert (
        "the prior set sceptical leaves it undecided; 1 fit could not be used"
        in given.sentences[-1]
    )


def test_every_belief_of_the_grid_takes_part_in_the_sense_it_was_asked_of():
    beliefs = [
        *((WEAK, WEAK, 0.6), (WEAK, "optimistic-strong", 0.99), (WEAK, "pessimistic-strong", 0.01)),
        *(("neutral-weak", "optimistic-weak", 0.98), ("neutral-weak", WEAK, 0.5)),
    ]
    rows = [
        {"effects": effects, "interactions": about, "verdict": "good", **row}
        for effects, about, p in beliefs
        for row in (
            {"estimand": "ror[A:B]", "availability": "observed", "probability": p},
            {"estimand": "odds_ratio[A+B vs B]", "availability": "observed", "probability": 0.9},
        )
    ]
    bad = {"effects": "optimistic-strong", "interactions": WEAK, "verdict": supplementary.BAD}
    found = beliefs_of_grid(pd.DataFrame([*rows, bad]), "default", "interaction")
    assert [one.choice[2] for one in found if one.is_bad] == ["grid:optimistic-strong"]
    given = say(summary(0.6), alternatives=[other(0.5, priors="sceptical"), *found])
    assert given.sentences[-1] == (
        "One other choice of reading, model or priors says the same; of 4 more, asked of multiplied odds "
        "alone, the prior sets interactions:optimistic-strong and grid:neutral-weak:optimistic-weak decide "
        "it in favour and the prior set interactions:pessimistic-strong decides it against; 1 fit could not "
        "be used."
    )
    decided = say(summary(0.99), alternatives=found)
    assert decided.gist == "Depends on choices"


def test_the_default_belief_is_called_as_in_the_grid():
    from cotreat.sensitivity import belief_grid

    assert WEAK == belief_grid.WEAK


def test_choices_are_counted_by_the_pairs_they_speak_of():
    question = Question(**{**QUESTION.as_json(), "pairs": ("A:B", "A:C", "B:C")})
    lead = pd.concat([summary(0.5), summary(0.5, "A:C"), summary(0.5, "B:C")])

    def choice(rows, **named):
        reading, model, priors = "default", "interaction", "weak"
        own = {"reading": reading, "model": model, "priors": priors, **named}
        return Alternative((own["reading"], own["model"], own["priors"]), rows)

    whole = choice(lead, priors="sceptical")
    dose = choice(summary(0.5, "B:C"), model="dose")
    duration = choice(summary(0.99, "B:C"), model="duration")
    elsewhere = summary(0.5, background="C").query("not estimand.str.startswith('ror')")
    saturated = choice(elsewhere, model="saturated")
    additive = choice(lead.assign(probability=float("nan")), model="additive")
    mixed = choice(lead.assign(probability=float("nan")), model="additive", priors="sceptical")
    given = say(lead, question, alternatives=[whole, dose, duration, saturated, additive, mixed])
    assert given.sentences[-1] == (
        "One other choice of reading, model or priors says the same; of drug B with drug C alone the model "
        "duration decides it in favour for drug B with drug C; the models saturated and additive could not "
        "be compared, the model dose says the same of drug B with drug C and of no other pair."
    )
    ratio = choice(summary(0.5, "B:C").query("estimand == 'ror[B:C]'"), model="dose")
    assert say(lead, question, alternatives=[whole, ratio]).sentences[-1] == (
        "One other choice of reading, model or priors says the same; the model dose, asked of multiplied "
        "odds alone for drug B with drug C, says the same."
    )
    alone = say(lead, question, alternatives=[saturated]).sentences[-1]
    assert alone == "The model saturated could not be compared."


def test_the_question_of_a_study_comes_back_from_json():
    question = Question.of(load_study("isis2"))
    assert Question.from_json(question.as_json()) == question
    assert str(question) == (
        "Is the chance of vascular death (5 weeks) with streptokinase and aspirin together lower than "
        "expected from their separate effects?"
    )


# --- Whole studies -----------------------------------------------------------------------------------

TWO = """
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
"""Risks of 0.10, 0.11, 0.11 and 0.60: far beyond whatever separate effects could do, in every sense."""


def answered(tmp_path, cells, design="randomised", inclusion="", draws=2000):
    said = f'inclusion = "{inclusion}"' if inclusion else ""
    study = parse_study(TWO.format(design, said) + arms(cells))
    done = reanalyse(study, "interaction", engine="laplace", draws=draws, out=tmp_path)
    assert done.answer.gist in done.report.read_text(encoding="utf-8")
    return done.answer


@pytest.mark.slow
def test_a_study_that_decides(tmp_path):
    given = answered(tmp_path, MUCH_MORE)
    assert given.gist == "Decided: synergy"
    assert given.sentences[0] == (
        "Whether the chance of response with drug A and drug B together is higher than expected from their "
        "separate effects (synergy) is decided: it is, in all 5 senses of the word (probability > 0.999)."
    )
    assert given.choice == ("default", "interaction", "weak")


@pytest.mark.slow
def test_a_study_that_decides_nothing(tmp_path):
    given = answered(
        tmp_path, {"none": (60, 12), "A": (60, 18), "B": (60, 17), "A+B": (60, 26)}, "cohort"
    )
    assert given.gist == "Undecided"
    assert "is undecided (probability 0." in given.sentences[0]
    assert "confounding" not in str(given)


@pytest.mark.slow
def test_a_study_that_can_only_extrapolate(tmp_path):
    # Nobody has neither drug: whatever synergy is, the risk that it is measured against was not seen.
    cells = {regimen: cell for regimen, cell in MUCH_MORE.items() if regimen != "none"}
    given = answered(tmp_path, cells, "cohort", "any(A, B)")
    assert given.gist == "Extrapolated, not shown"
    assert "is not shown, though model and prior alone would have it " in given.sentences[0]
    assert given.sentences[1].startswith("This is extrapolated: the evidence does not determine it")


@pytest.mark.slow
def test_a_study_whose_fit_fails(tmp_path):
    with pytest.warns(FailedChecks, match="R-hat"):
        given = answered(tmp_path, MUCH_MORE, draws=100)
    assert given.gist == "No answer: failed checks"
    assert given.sentences == (
        "The sampler's checks failed (R-hat, R-hat of probabilities and 1 more), so none of these numbers is to be used and the "
        "question is not answered.",
    )
