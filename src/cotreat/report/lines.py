"""The words of a conclusion: a headline, four fixed lines, and a table of sensitivity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cotreat.core.constants import CONCLUSIVE
from cotreat.report.conclusion import (
    AGAINST,
    ASSESSED,
    FAILED,
    FOR,
    INCOMPATIBLE,
    INCONCLUSIVE,
    KINDS,
    NOT_ESTIMABLE,
    Choice,
    Conclusion,
    Reported,
    Sensitivity,
    by_pair,
)
from cotreat.report.question import EXPECTED, Question
from cotreat.report.templates import paragraphs, texts
from cotreat.report.wording import between, capital, listed, plural, some
from cotreat.results.headline import numbers
from cotreat.results.monte_carlo import share
from cotreat.study.regimens import NONE

TEXTS = texts("conclusion.toml")
REPORTS, SHOWS, CANNOT, NEEDED = (entry["heading"] for entry in TEXTS.values())
"""Headings of the four lines."""

MANY = 6
"""So many items are named in one line; more are counted."""
REPORTED = 8
"""So many reported numbers are listed."""
FEW = 3
"""So many choices are named in a cell of a table."""


@dataclass(frozen=True)
class Line:
    """One of the four lines of a conclusion."""

    heading: str
    text: str

    def __str__(self) -> str:
        return f"{self.heading}: {self.text}"


@dataclass(frozen=True)
class Group:
    """Assessments that are worded together.

    Attributes
    ----------
    found : Conclusion
    rows : list of Sensitivity
    """

    found: Conclusion
    rows: list[Sensitivity]

    def __bool__(self) -> bool:
        return bool(self.rows)

    @property
    def direction(self) -> str:
        """Direction of all of them."""
        return self.rows[0].assessment.direction

    @property
    def pairs(self) -> str:
        """Their pairs of treatments, with co-treatment and subgroup."""
        names = list(dict.fromkeys(self.found.question.place(*row.place) for row in self.rows))
        return listed(names) if len(names) <= MANY else f"{len(names)} pairs"

    @property
    def scales(self) -> str:
        """Their scales, by number where the pairs are assessed on no other."""
        places = {row.place for row in self.rows}
        every = {one.scale for one in self.found.assessments if one.place in places}
        own = list(dict.fromkeys(row.assessment.scale for row in self.rows))
        if len(own) == len(every) > 1:
            return f"on all {len(own)} scales"
        return f"on the {plural('scale', len(own))} {listed(own)}"

    @property
    def probabilities(self) -> str:
        """Range of P(synergy) in the primary analysis."""
        return between(row.assessment.probability for row in self.rows)

    @property
    def prior_probabilities(self) -> str:
        """Range of P(synergy) before the data."""
        return between(row.assessment.prior_probability for row in self.rows)

    @property
    def range(self) -> str:
        """Range of P(synergy) over all choices."""
        return between(
            [min(row.lowest for row in self.rows), max(row.highest for row in self.rows)]
        )

    @property
    def has_alternatives(self) -> bool:
        """Whether any other choice assesses them."""
        return any(row.alternatives for row in self.rows)


# --- The headline ----------------------------------------------------------------------------------


def verdict(found: Conclusion) -> str:
    """Return the verdict in a few words.

    Parameters
    ----------
    found
        The conclusion.

    Returns
    -------
    str
        Such as ``Conclusive for synergy`` or ``Inconclusive``.
    """
    if found.status != ASSESSED:
        return capital(found.status)
    verdicts = {_verdict(rows) for rows in by_pair(found.sensitivity)}
    return verdicts.pop() if len(verdicts) == 1 else "Not the same for every pair"


def _verdict(rows: Sequence[Sensitivity]) -> str:
    """Return the verdict on one pair, over its scales."""
    directions = {row.assessment.direction for row in rows}
    differs = any(row.differs for row in rows)
    if not rows[0].assessment.identified:
        return "Not identified (prior-dependent)"
    if len(directions) > 1:
        return "Depends on the scale" + (", and on other choices" if differs else "")
    if differs and directions != {INCONCLUSIVE}:
        return "Depends on interpretation, model or priors"
    return capital(directions.pop())


# --- The four lines --------------------------------------------------------------------------------


def four_lines(found: Conclusion) -> tuple[Line, ...]:
    """Word a conclusion in its four fixed lines.

    Parameters
    ----------
    found
        The conclusion.

    Returns
    -------
    tuple of Line
        What is reported, what the data show, what they cannot show, and what would settle it.
    """
    facts = _facts(found)
    return tuple(
        Line(entry["heading"], " ".join(paragraphs(entry["text"], **facts)))
        for entry in TEXTS.values()
    )


def _facts(found: Conclusion) -> dict[str, Any]:
    """Group the assessments by what is concluded, for the templates."""
    question, better = found.question, found.better_than_either
    not_identified = [row for row in found.sensitivity if not row.assessment.identified]
    identified = [row for row in found.sensitivity if row.assessment.identified]
    inconclusive = [row for row in identified if row.assessment.direction == INCONCLUSIVE]
    conclusive = [row for row in identified if row.assessment.direction != INCONCLUSIVE]
    sensitive = [row for row in conclusive if row.differs]
    return {
        "found": found,
        "question": question,
        "reported": _by_kind(found.reported[:REPORTED]),
        "more": len(found.reported) - REPORTED,
        "comparisons": some([f"{c.contrast} {numbers(c)}" for c in found.comparisons], MANY),
        "conclusive": [
            Group(found, own)
            for rows in by_pair(row for row in conclusive if not row.differs)
            for direction in (FOR, AGAINST)
            if (own := [row for row in rows if row.assessment.direction == direction])
        ],
        "whether": _whether(question),
        "not_identified": Group(found, not_identified),
        "inconclusive": Group(found, inconclusive),
        "at_threshold": Group(found, [r for r in inconclusive if r.assessment.is_at_threshold]),
        "sensitive": Group(found, sensitive),
        "better": list(dict.fromkeys(question.pair(pair) for pair, _ in better)),
        "least": share(min((p for _, p in better), default=1.0)),
        "needed": list(_needed(found, not_identified, [*inconclusive, *sensitive])),
        "CONCLUSIVE": CONCLUSIVE,
        **{"ASSESSED": ASSESSED, "FAILED": FAILED},
        **{"INCOMPATIBLE": INCOMPATIBLE, "NOT_ESTIMABLE": NOT_ESTIMABLE},
    }


def _by_kind(reported: Sequence[Reported]) -> dict[str, list[str]]:
    """Word reported numbers, by kind such as odds ratio."""
    kinds: dict[str, list[str]] = {}
    for one in reported:
        kinds.setdefault(one.kind, []).append(f"{one.subject} {one.value}")
    return kinds


def _whether(question: Question) -> str:
    both = "any two of the treatments"
    if len(question.pairs) == 1:
        both = question.pair(question.pairs[0], "and")
    verb = "are" if question.is_case_control else "is"
    return f"whether {question.risk} with {both} together {verb} {question.side} than {EXPECTED} (synergy)"


def _needed(
    found: Conclusion, not_identified: list[Sensitivity], open_: list[Sensitivity]
) -> Iterator[str]:
    """List what the study leaves out and the question needs, what authors could report first."""
    question = found.question
    if found.status == FAILED:
        yield "more draws, or another engine, until the diagnostics pass"
    if question.not_counted:
        yield f"patients and events of {some(question.not_counted, MANY)}, from the authors"
    if found.rival_interpretations:
        yield "which interpretation of the reported estimates is right, from the authors"
    if (not_identified or found.status == NOT_ESTIMABLE) and question.without_patients:
        absent = ["no study drug" if r == NONE else r for r in question.without_patients]
        yield f"patients who received {some(absent, MANY)}, whom this study does not have"
    if open_ and not not_identified:
        yield "more patients in these regimens"
    if found.status == NOT_ESTIMABLE and question.is_case_control:
        yield "the risks in the source population of cases and controls"
    if not question.is_randomised:
        names = [question.names[treatment] for treatment in question.not_randomised]
        of = f" of {listed(names)}" if names else ""
        yield f"random assignment{of}, or adjustment for confounders"


# --- Sensitivity -----------------------------------------------------------------------------------


def sensitivity_table(found: Conclusion) -> pd.DataFrame:
    """Return the sensitivity of each assessment, with directions and one denominator a row.

    Parameters
    ----------
    found
        The conclusion.

    Returns
    -------
    pandas.DataFrame
        Empty where no other choice assesses a pair.
    """
    return pd.DataFrame(
        [
            {
                "pair": found.question.place(*row.place),
                "scale": row.assessment.scale,
                "P(synergy)": share(row.assessment.probability),
                "range over all choices": between([row.lowest, row.highest]),
                "other choices": row.alternatives,
                FOR: row.supporting,
                INCONCLUSIVE: row.inconclusive,
                AGAINST: row.opposing,
                "not identified": row.not_identified,
                "other direction under": _choices(row.differing, found.choice),
            }
            for row in found.sensitivity
            if row.alternatives
        ]
    )


def sensitivity_notes(found: Conclusion) -> list[str]:
    """List the other choices that are left out of the comparison, with the reason.

    Parameters
    ----------
    found
        The conclusion.

    Returns
    -------
    list of str
        Sentences.
    """
    notes = []
    if found.status == ASSESSED and not any(row.alternatives for row in found.sensitivity):
        tried = found.unusable or found.not_comparable or found.incompatible
        verb = "could be used" if tried else "was tried"
        notes.append(f"No other interpretation, model or prior set {verb}.")
    if number := found.unusable:
        failed = f"{number} other {plural('fit', number)}"
        notes.append(f"Left out, because diagnostics failed: {failed}.")
    if found.not_comparable:
        models = dict.fromkeys((*choice[:2], found.choice[2]) for choice in found.not_comparable)
        names = _choices(list(models), found.choice)
        notes.append(f"Not comparable, because these measures are not assessed: {names}.")
    if found.incompatible:
        names = listed(found.incompatible)
        notes.append(
            f"Left out, because the other reported estimates are incompatible: interpretation {names}."
        )
    return notes


def _choices(choices: Sequence[Choice], primary: Choice) -> str:
    """Name choices by what differs from the primary analysis; count those beyond a few."""
    names = [
        " with ".join(
            f"{kind} {own}"
            for kind, own, base in zip(KINDS, choice, primary, strict=True)
            if own != base
        )
        for choice in choices
    ]
    return some(names, FEW)
