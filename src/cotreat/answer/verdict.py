"""What is decided of each pair, and what that rests on: the first two sentences of the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from cotreat.answer.finding import AGAINST, FOR, MIXED, OPEN, SENSES, Finding
from cotreat.answer.others import Choice, Echo
from cotreat.answer.question import RANDOMISED, Question
from cotreat.answer.words import between, listed, sentence, some, span
from cotreat.core.constants import DECIDED
from cotreat.estimands.measures import APART, MEASURES, ODDS_ADDITIVE, RISK_ADDITIVE
from cotreat.headline import judged, share
from cotreat.results.old_columns import OBSERVED

MANY = 4
"""So many pairs of treatments are named in one clause; more are counted."""
FEW = 2
"""So many failed checks or differing choices are named; more are counted."""


@dataclass(frozen=True)
class Answer:
    """The answer, and its gist in a few words.

    Attributes
    ----------
    sentences : tuple of str
        At most three.
    choice : tuple
        Reading, model and priors of the fit that speaks.
    """

    gist: str
    sentences: tuple[str, ...]
    choice: Choice

    def __str__(self) -> str:
        return " ".join(self.sentences)


@dataclass(frozen=True)
class Said:
    """A finding, and how other choices move it.

    Attributes
    ----------
    differs : bool
        Whether any of them finds otherwise, in any sense.
    over_choices : (float, float)
        Least and greatest probability over senses and choices, its own among them.
    """

    finding: Finding
    differs: bool
    over_choices: tuple[float, float]

    @classmethod
    def of(cls, at: int, finding: Finding, echoes: Sequence[Echo]) -> Said:
        """Compare a finding with what other choices say of it."""
        beside = [own for one in echoes if (own := one.findings[at])]
        values = [p for own in (finding, *beside) for p in own.probability.values()]
        return cls(finding, any(at in one.otherwise for one in echoes), span(values))


# --- What is decided -------------------------------------------------------------------------------


def gist(said: Sequence[Said]) -> str:
    """Say in a few words what is found."""
    gists = list(dict.fromkeys(map(_short, said)))
    return gists[0] if len(gists) == 1 else "Not the same for every pair"


def _short(one: Said) -> str:
    kind = one.finding.kind
    if kind == OPEN:
        return "Undecided"
    if not one.finding.is_observed:
        return "Extrapolated, not shown"
    if kind == MIXED:
        return "Depends on what synergy means" + (", and on choices" if one.differs else "")
    if one.differs:
        return "Depends on choices"
    return "Decided: synergy" if kind == FOR else "Decided: no synergy"


def verdict(question: Question, said: Sequence[Said]) -> str:
    """Say what is decided of each pair, those alike together."""
    if len(said) == 1:
        (one,) = said
        names = question.pair(one.finding.pair, "and") + question.where(one.finding.background)
        return f"{question.whether(names)} is {_found([one])}."
    alike: dict[str, list[Said]] = {}
    for one in said:
        alike.setdefault(_short(one) + senses(one.finding), []).append(one)
    whether = question.whether(question.any_two)
    is_told_apart = any(one.finding.is_observed for one in said) and len(said) <= MANY
    if len(alike) == 1 and not is_told_apart:
        return f"{whether} is {_found(said)}."
    clauses = [
        f"{_found(own)}, for {named(question, [s.finding for s in own])}" for own in alike.values()
    ]
    return f"{whether} is {'; '.join(clauses)}."


def named(question: Question, found: Sequence[Finding]) -> str:
    """Name the pairs of findings, or count them."""
    names = [question.pair(one.pair) + question.where(one.background) for one in found]
    return listed(names) if len(names) <= MANY else f"{len(names)} comparisons"


def _found(said: Sequence[Said]) -> str:
    """Say what is found of pairs of which the same is found."""
    one = said[0].finding
    here = f"probability {between(span(p for s in said for p in s.finding.probability.values()))}"
    if one.kind == OPEN:
        return _open(said, here)
    number = len(one.probability)
    every = f"in all {number} senses of the word" if number > 1 else "in the one sense there is"
    words = {
        FOR: f"decided: it is, {every}",
        AGAINST: f"decided: it is not, {every}",
        MIXED: f"a matter of what synergy means: {senses(one)}",
    }[one.kind]
    if not one.is_observed:
        words = f"not shown, though model and prior alone would have it {words}"
    return f"{words} ({here}){_under_others(said)}"


def _open(said: Sequence[Said], here: str) -> str:
    one = said[0].finding
    by = ["pair"] * (len(said) > 1) + ["sense of the word"] * (len(one.probability) > 1)
    depends = f", depending on the {listed(by)}" if by else ""
    edge = listed(_edges(said)) if _edges(said) else ""
    near = f", and by {edge} it is within sampling error of that" if edge else ""
    return f"undecided ({here}{depends}; {DECIDED:g} would decide it{near})"


def _edges(said: Sequence[Said]) -> list[str]:
    return list(dict.fromkeys(SENSES[family] for s in said for family in s.finding.at_edge))


def _under_others(said: Sequence[Said]) -> str:
    """Take a decision back that other choices do not share; empty where they do."""
    if not any(one.differs for one in said):
        return ""
    limits = between(span(p for one in said for p in one.over_choices))
    return f", but not under every choice tried (over senses and choices {limits})"


def senses(finding: Finding) -> str:
    """Say which senses decide what, where they do not agree; empty where they do."""
    if finding.kind != MIXED:
        return ""
    return ", ".join(
        f"{what} by {listed(SENSES[family] for family in families)}"
        for what, families in (
            ("decided in favour", finding.decided_for),
            ("decided against", finding.decided_against),
            ("at the edge of a decision", finding.at_edge),
            ("undecided", finding.undecided),
        )
        if families
    )


# --- What that rests on ----------------------------------------------------------------------------


def basis(
    question: Question, said: Sequence[Said], summary: pd.DataFrame, cautions: Sequence[str]
) -> list[str]:
    """Say what the verdict rests on: one sentence, or none."""
    why = [*_extrapolated(said), *_unassigned(question, said), *_stand_in(question, said)]
    if cautions:
        names = list(dict.fromkeys(line.partition(":")[0].partition(",")[0] for line in cautions))
        why.append(f"checks call for caution ({some(names, FEW)})")
    return [sentence(why)] if why else _apart(question, said, summary)


def _extrapolated(said: Sequence[Said]) -> list[str]:
    own = [one.finding for one in said if not one.finding.is_observed]
    if not own:
        return []
    before = between(span(p for one in own for p in one.prior.values()))
    what = "this is" if len(own) == len(said) else "part of this is"
    return [
        f"{what} extrapolated: the evidence does not determine it, model and prior supply it, and before "
        f"the data the probability was {before}"
    ]


def _unassigned(question: Question, said: Sequence[Said]) -> list[str]:
    is_decided = any(one.finding.kind != OPEN for one in said)
    if not is_decided or question.design == RANDOMISED:
        return []
    return ["nobody was assigned at random, so confounding may account for it"]


def _stand_in(question: Question, said: Sequence[Said]) -> list[str]:
    """Say on what condition added odds speak for added risks, where they decide and risks do not."""
    verdicts = [one.finding.verdicts for one in said]
    if not any(
        own.get(ODDS_ADDITIVE, OPEN) not in (OPEN, own.get(RISK_ADDITIVE)) for own in verdicts
    ):
        return []
    unknown = ", which this design cannot tell" if question.is_case_control else ""
    return [f"added odds stand for added risks only where the outcome is rare{unknown}"]


def _apart(question: Question, said: Sequence[Said], summary: pd.DataFrame) -> list[str]:
    """Say that a combination beats each of its treatments, which is less than synergy."""
    rows = judged(summary)
    rows = rows[rows.measure.map(lambda name: MEASURES[name].family.name == APART)]
    rows = rows[(rows.probability >= DECIDED) & (rows.availability == OBSERVED)]
    of = {(one.finding.pair, one.finding.background) for one in said}
    own = [row for row in rows.itertuples() if (row.pair, row.background) in of]
    if not own:
        return []
    least = share(min(row.probability for row in own))
    sure = f"probability {least}" if least.startswith(">") else f"probability at least {least}"
    who = "" if len(said) == 1 else f", for {listed([question.pair(row.pair) for row in own])}"
    return [
        f"The chance with both is {question.side} than with either alone ({sure}){who}, but that by itself "
        "is not synergy."
    ]
