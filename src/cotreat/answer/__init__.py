"""The answer in plain words: at most three sentences, which say no more than the numbers allow.

The first sentence says what is decided of synergy, the second what that rests on, the third what other
choices of reading, model and priors would say. *Decided* means a probability of at least
`cotreat.core.constants.DECIDED`, or at most its complement, by more than the error of sampling.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import pandas as pd

from cotreat.answer.elsewhere import elsewhere
from cotreat.answer.finding import AGAINST, FOR, MIXED, OPEN, SENSES, Finding, findings
from cotreat.answer.others import (
    Alternative,
    Choice,
    alternatives_of,
    beliefs_of_grid,
    echo,
    is_contradicted,
)
from cotreat.answer.question import Question
from cotreat.answer.verdict import FEW, Answer, Said, basis, gist, verdict
from cotreat.answer.words import some
from cotreat.core.constants import IMPLIED
from cotreat.estimands.measures import REPRESENTATIVE
from cotreat.results.old_columns import name_of, old_columns
from cotreat.results.summary import POSTERIOR
from cotreat.study.study import BY_DESIGN

__all__ = [
    "AGAINST",
    "FOR",
    "MIXED",
    "OPEN",
    "SENSES",
    "Alternative",
    "Answer",
    "Choice",
    "Finding",
    "Question",
    "alternatives_of",
    "answer",
    "beliefs_of_grid",
    "findings",
]


def answer(
    question: Question,
    summary: pd.DataFrame,
    *,
    failed: Sequence[str] = (),
    cautions: Sequence[str] = (),
    contradiction: str = "",
    log_evidence: float = math.nan,
    effective: float = math.inf,
    alternatives: Iterable[Alternative] = (),
) -> Answer:
    """Answer a study's question in at most three sentences.

    Parameters
    ----------
    summary
        What `cotreat.results.summary.summarise` returns of the leading fit.
    failed, cautions
        Its failed checks and its cautions, as `cotreat.diagnostics.checks` words them.
    contradiction
        Why its reading is contradicted by other numbers in print; empty if it is not.
    log_evidence
        Of the leading fit, to which that of other readings is compared.
    effective
        How many independent draws its probabilities are worth.
    alternatives
        Other choices of reading, model and priors.
    """
    summary = old_columns(summary)
    lead = (summary.reading.iloc[0], summary.model.iloc[0], summary.priors.iloc[0])
    if failed:
        return _failed(failed, lead)
    if contradiction:
        return _contradicted(lead)
    found = findings(summary, effective)
    if not found:
        return _unanswerable(question, summary, lead)
    others = [a for a in alternatives if a.choice != lead]
    usable = [a for a in others if not a.is_bad]
    aside = [a for a in usable if is_contradicted(a, others, lead, log_evidence)]
    echoes = [echo(a, found) for a in usable if a not in aside]
    said = [Said.of(at, finding, echoes) for at, finding in enumerate(found)]
    return Answer(
        gist(said),
        (
            verdict(question, said),
            *basis(question, said, summary, cautions),
            elsewhere(
                question,
                lead,
                echoes,
                ruled_out=list(dict.fromkeys(a.choice[0] for a in aside)),
                bad=len(others) - len(usable),
            ),
        ),
        lead,
    )


def _failed(failed: Sequence[str], lead: Choice) -> Answer:
    names = list(dict.fromkeys(line.partition(":")[0] for line in failed))
    return Answer(
        "No answer: failed checks",
        (
            f"The sampler's checks failed ({some(names, FEW)}), so none of these numbers is to be used "
            "and the question is not answered.",
        ),
        lead,
    )


def _contradicted(lead: Choice) -> Answer:
    return Answer(
        "No answer: contradicted",
        (
            f"These numbers stand on the reading {lead[0]} of the printed words, which the other numbers in "
            "print contradict, so they do not answer the question.",
        ),
        lead,
    )


def _unanswerable(question: Question, summary: pd.DataFrame, lead: Choice) -> Answer:
    """Say why no measure of synergy has a probability."""
    measures = summary[
        (summary.estimator == POSTERIOR)
        & summary.estimand.map(name_of).isin(REPRESENTATIVE.values())
    ]
    why = set(measures.availability)
    if IMPLIED in why:
        reason = f"the model {lead[1]} has no interaction and takes for granted what is asked"
    elif f"undefined: {BY_DESIGN}" in why:
        reason = "its design does not identify the chances"
    else:
        reason = "the evidence has no measure of synergy that is defined"
    whether = question.whether(question.any_two)
    return Answer("No answer", (f"{whether} cannot be answered here: {reason}.",), lead)
