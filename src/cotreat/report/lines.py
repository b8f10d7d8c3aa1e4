"""The words of a conclusion: a headline, four fixed lines, and a table of sensitivity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cotreat.core.constants import NOT_ESTIMABLE
from cotreat.report.conclusion import (
    ASSESSED,
    FAILED,
    INCOMPATIBLE,
    KINDS,
    Assessment,
    Choice,
    Conclusion,
    Reported,
    Sensitivity,
    by_pair,
)
from cotreat.report.question import EXPECTED, Question
from cotreat.report.templates import paragraphs, texts
from cotreat.report.wording import between, capital, listed, plural, some
from cotreat.results.headline import numbers, prior_share
from cotreat.results.monte_carlo import share
from cotreat.results.verdict import (
    AGAINST,
    EXCLUDED,
    FOR,
    INCONCLUSIVE,
    NOT_IDENTIFIED,
    SUPPORTED,
)
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
COUNTED = (
    *(f"{SUPPORTED}, {FOR}", f"{SUPPORTED}, {AGAINST}"),
    *(EXCLUDED, INCONCLUSIVE, NOT_IDENTIFIED),
)
"""Verdicts under other choices that are counted, with their directions."""


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
    def verdict(self) -> str:
        """Verdict on all of them."""
        return str(self.rows[0].assessment.verdict)

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
    def inside(self) -> str:
        """Range of the probability of lying inside the margin."""
        return between(row.assessment.finding.inside for row in self.rows)

    @property
    def range(self) -> str:
        """Range of P(synergy) over all choices."""
        return between(
            [min(row.lowest for row in self.rows), max(row.highest for row in self.rows)]
        )

    @property
    def differs(self) -> bool:
        """Whether another choice leads to another verdict on any of them."""
        return any(row.differs for row in self.rows)

    @property
    def has_alternatives(self) -> bool:
        """Whether any other choice assesses them."""
        return any(row.alternatives for row in self.rows)


# --- The headline ----------------------------------------------------------------------------------


def verdict(found: Conclusion) -> str:
    """Return the verdict in a few words: by scale, where scales differ.

    Parameters
    ----------
    found
        The conclusion.

    Returns
    -------
    str
        Such as ``Inconclusive``, or ``Practically excluded on the scale additive; inconclusive on …``.
    """
    if found.status != ASSESSED:
        return capital(found.status)
    by_place = [_verdict(rows) for rows in by_pair(found.sensitivity)]
    return by_place[0] if len(set(by_place)) == 1 else "Not the same for every pair"


def _verdict(rows: Sequence[Sensitivity]) -> str:
    """Return the verdict on one pair, over its scales."""
    scales: dict[str, list[str]] = {}
    for row in rows:
        scales.setdefault(_in_short(row.assessment), []).append(row.assessment.scale)
    if len(scales) == 1:
        return capital(next(iter(scales)))
    parts = [
        f"{name} on the {plural('scale', len(own))} {listed(own)}" for name, own in scales.items()
    ]
    return capital("; ".join(parts))


def _in_short(one: Assessment) -> str:
    if one.verdict.name == NOT_IDENTIFIED:
        return "not identified (prior-dependent)"
    return ", ".join((one.verdict.short, *one.verdict.notes))


def verdict_table(found: Conclusion) -> pd.DataFrame:
    """Return the verdict on each pair and scale, with the numbers that it follows from.

    Parameters
    ----------
    found
        The conclusion.

    Returns
    -------
    pandas.DataFrame
        One row per pair and scale, all cells text.
    """
    return pd.DataFrame(
        [
            {
                "pair": found.question.place(*one.place),
                "scale": one.scale,
                "verdict": str(one.verdict),
                "P(synergy)": share(one.probability, one.finding.error),
                "prior P(synergy)": prior_share(one.prior_probability),
                "margin": one.margin,
                "P(inside)": share(one.finding.inside, one.finding.inside_error),
                "prior P(inside)": prior_share(one.finding.prior_inside),
            }
            for one in found.assessments
        ]
    )


def verdict_lines(found: Conclusion) -> list[str]:
    """Write the verdict on each pair and scale in one line.

    Parameters
    ----------
    found
        The conclusion.

    Returns
    -------
    list of str
        Such as ``A with B, additive: inconclusive (P(synergy) 0.48)``.
    """
    return [
        f"{found.question.place(*one.place)}, {one.scale}: {one.verdict} "
        f"(P(synergy) {share(one.probability, one.finding.error)})"
        for one in found.assessments
    ]


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
    by_name: dict[str, list[Sensitivity]] = {}
    for row in found.sensitivity:
        by_name.setdefault(row.assessment.verdict.name, []).append(row)
    not_identified, inconclusive = (by_name.get(n, []) for n in (NOT_IDENTIFIED, INCONCLUSIVE))
    return {
        "found": found,
        "question": question,
        "reported": _by_kind(found.reported[:REPORTED]),
        "more": len(found.reported) - REPORTED,
        "comparisons": some([f"{c.contrast} {numbers(c)}" for c in found.comparisons], MANY),
        "supported": [
            Group(found, own)
            for rows in by_pair(by_name.get(SUPPORTED, []))
            for own in _alike(rows)
        ],
        "excluded": [Group(found, rows) for rows in by_pair(by_name.get(EXCLUDED, []))],
        "whether": _whether(question),
        "not_identified": Group(found, not_identified),
        "inconclusive": [Group(found, own) for own in _alike(inconclusive)],
        "better": list(dict.fromkeys(question.pair(pair) for pair, _ in better)),
        "least": share(min((p for _, p in better), default=1.0)),
        "needed": list(_needed(found, not_identified, inconclusive)),
        **{"ASSESSED": ASSESSED, "FAILED": FAILED},
        **{"INCOMPATIBLE": INCOMPATIBLE, "NOT_ESTIMABLE": NOT_ESTIMABLE},
    }


def _alike(rows: Sequence[Sensitivity]) -> list[list[Sensitivity]]:
    """Group assessments by their verdict with its notes."""
    groups: dict[str, list[Sensitivity]] = {}
    for row in rows:
        groups.setdefault(str(row.assessment.verdict), []).append(row)
    return list(groups.values())


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
    """Return the sensitivity of each assessment, by verdict and direction, with one denominator per row.

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
                "verdict": str(row.assessment.verdict),
                "range of P(synergy)": between([row.lowest, row.highest]),
                "other choices": row.alternatives,
                **{name: row.counts.get(name, 0) for name in COUNTED},
                "another verdict under": _choices(row.differing, found.choice),
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
