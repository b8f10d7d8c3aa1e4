"""The plain-words answer, on tables made to be decided, undecided, extrapolated, failed, contradicted."""

import pandas as pd
import pytest

from cotreat import load_study, parts
from cotreat.answer import Alternative, Question, alternatives_of, answer, findings

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
    assert given.sentences[-1].startswith("No other reading, model or prior")


@pytest.mark.parametrize("value", [0.975, 0.9749])
def test_where_a_decision_begins(value):
    is_decided = value >= 0.975
    assert (say(summary(value)).gist == "Decided: synergy") == is_decided
    assert (say(summary(1 - value)).gist == "Decided: no synergy") == is_decided


def test_decided_without_random_assignment_or_with_cautions():
    cohort = Question(**{**QUESTION.as_json(), "design": "cohort"})
    given = say(summary(0.99), cohort, cautions=["overlap: 0.4 (…)", "prior, beta: far (…)"])
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
    assert "decided only under some of the choices tried" in given.sentences[0]
    assert given.sentences[-1] == (
        "Of 3 other choices of reading, model or priors, 2 say otherwise: the priors sceptical leaves it "
        "undecided and the model saturated decides it against; 1 could not be used."
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
    assert found.probability == {"log-odds": 0.99}
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
    bad = good.head(1).assign(priors="odd", verdict=parts.BAD, probability=float("nan"))
    found = alternatives_of(pd.concat([good, bad]))
    assert [(a.choice[2], a.is_bad, a.log_evidence) for a in found] == [
        ("sceptical", False, -3.0),
        ("odd", True, -3.0),
    ]
    given = say(summary(0.99), alternatives=found)
    assert "the priors sceptical leaves it undecided; 1 could not be used" in given.sentences[-1]


def test_the_question_of_a_study_comes_back_from_json():
    question = Question.of(load_study("isis2"))
    assert Question.from_json(question.as_json()) == question
    assert str(question) == (
        "Is the chance of vascular death (5 weeks) with streptokinase and aspirin together lower than "
        "expected from their separate effects?"
    )
