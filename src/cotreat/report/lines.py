"""The words of a conclusion: a headline, four fixed lines, and a table of sensitivity."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from cotreat.core.constants import CONCLUSIVE
from cotreat.report.conclusion import (
    AGAINST,
    ASSESSED,
    FAILED,
    FOR,
    INCOMPATIBLE,
    INCONCLUSIVE,
    NOT_ESTIMABLE,
    Assessment,
    Choice,
    Comparison,
    Conclusion,
    Reported,
    Sensitivity,
)
from cotreat.report.question import EXPECTED, Question
from cotreat.report.wording import between, capital, interval, listed, plural, some
from cotreat.results.headline import digits, share
from cotreat.study.regimens import NONE

SAYS, SHOWS, CANNOT, SETTLES = (
    "The paper says",
    "These data show",
    "These data cannot show",
    "What would settle it",
)
"""Headings of the four lines."""

MANY = 6
"""So many items are named in one line; more are counted."""
REPORTED = 8
"""So many reported numbers are listed."""
FEW = 3
"""So many choices are named in a cell of a table."""

UNIDENTIFIED = "not identified (prior-dependent)"
KINDS = ("interpretation", "model", "priors")
"""What a choice is made of, in its order."""

DIRECTIONS = {FOR: "Conclusive for synergy", AGAINST: "Conclusive against synergy"}


@dataclass(frozen=True)
class Line:
    """One of the four lines of a conclusion."""

    heading: str
    text: str

    def __str__(self) -> str:
        return f"{self.heading}: {self.text}"


def four_lines(found: Conclusion) -> tuple[Line, ...]:
    """Word a conclusion in its four fixed lines."""
    return (
        Line(SAYS, _says(found.reported)),
        Line(SHOWS, _shows(found)),
        Line(CANNOT, _cannot(found)),
        Line(SETTLES, _settles(found)),
    )


# --- The headline ----------------------------------------------------------------------------------


def verdict(found: Conclusion) -> str:
    """Return the verdict in a few words."""
    if found.status != ASSESSED:
        return capital(found.status)
    verdicts = list(dict.fromkeys(_verdict(own) for own in _by_pair(found.sensitivity)))
    return verdicts[0] if len(verdicts) == 1 else "Not the same for every pair"


def _by_pair(rows: Iterable[Sensitivity]) -> list[list[Sensitivity]]:
    pairs: dict[tuple[str, str, str], list[Sensitivity]] = {}
    for row in rows:
        one = row.assessment
        pairs.setdefault((one.pair, one.co_treatment, one.stratum), []).append(row)
    return list(pairs.values())


def _verdict(rows: Sequence[Sensitivity]) -> str:
    """Name the verdict on one pair, over its scales."""
    if not rows[0].assessment.identified:
        return capital(UNIDENTIFIED)
    directions = {row.assessment.direction for row in rows}
    differs = any(row.differs for row in rows)
    if directions == {INCONCLUSIVE}:
        return capital(INCONCLUSIVE)
    if len(directions) > 1:
        return "Depends on the scale" + (", and on other choices" if differs else "")
    if differs:
        return "Depends on interpretation, model or priors"
    return DIRECTIONS[directions.pop()]


# --- The paper says --------------------------------------------------------------------------------


def _says(reported: Sequence[Reported]) -> str:
    if not reported:
        return "nothing that this analysis uses."
    kinds: dict[str, list[str]] = {}
    for one in reported[:REPORTED]:
        kinds.setdefault(one.kind, []).append(f"{one.subject} {interval(one.value)}")
    said = "; ".join(f"{kind} {', '.join(own)}".strip() for kind, own in kinds.items())
    more = len(reported) - REPORTED
    return f"{said}; and {more} more." if more > 0 else f"{said}."


# --- These data show -------------------------------------------------------------------------------


def _shows(found: Conclusion) -> str:
    if found.status == FAILED:
        return f"nothing: diagnostics failed ({some(found.reasons, 2)}); do not use the numbers of this fit."
    if found.status == INCOMPATIBLE:
        return (
            f"nothing under the interpretation {found.choice[0]}, because the other reported estimates are "
            "incompatible with it."
        )
    said = [*_compared(found), *_conclusive(found)]
    if not said:
        said = ["No identified comparison is conclusive."]
    elif not found.question.is_randomised:
        said.append("Patients were not assigned at random, so confounding may explain this.")
    if found.cautions:
        said.append(f"Checks advise caution ({some(found.cautions, 2)}).")
    return " ".join(said)


def _compared(found: Conclusion) -> Iterator[str]:
    if found.comparisons:
        shown = some([_comparison(one) for one in found.comparisons], MANY)
        yield (
            f"Odds ratios of {found.question.outcome} (posterior median, 95% credible interval): {shown}."
        )


def _comparison(one: Comparison) -> str:
    return f"{one.contrast} {digits(one.estimate)} ({digits(one.lower)} to {digits(one.upper)})"


def _conclusive(found: Conclusion) -> Iterator[str]:
    """Name the identified, conclusive assessments that no other choice takes back."""
    is_any = False
    for rows in _by_pair(found.sensitivity):
        for direction, words in DIRECTIONS.items():
            own = [row for row in rows if _is_shown(row) and row.assessment.direction == direction]
            if own:
                is_any = True
                yield (
                    f"{words}: {_pair(found.question, own[0].assessment)}, {_scales(own, len(rows))} "
                    f"(P(synergy) {_probabilities(own)})."
                )
    if is_any and found.rests_on_rare_outcome:
        unknown = ", which this design cannot show" if found.question.is_case_control else ""
        yield (
            "RERI from odds ratios approximates that from risk ratios only where the outcome is "
            f"rare{unknown}."
        )


def _is_shown(row: Sensitivity) -> bool:
    return row.assessment.identified and not row.differs


def _pair(question: Question, one: Assessment) -> str:
    return question.pair(one.pair) + question.where(one.co_treatment, one.stratum)


def _scales(rows: Sequence[Sensitivity], number: int) -> str:
    if len(rows) == number > 1:
        return f"on all {number} scales"
    names = [row.assessment.scale for row in rows]
    return f"on the {plural('scale', len(names))} {listed(names)}"


def _probabilities(rows: Sequence[Sensitivity]) -> str:
    return between(row.assessment.probability for row in rows)


# --- These data cannot show ------------------------------------------------------------------------


def _cannot(found: Conclusion) -> str:
    whether = _whether(found.question)
    if found.status == NOT_ESTIMABLE:
        return f"{whether}: {NOT_ESTIMABLE}, because {found.reasons[0]}."
    if found.status != ASSESSED:
        return f"{whether}: {found.status}."
    said = [*_not_identified(found), *_inconclusive(found), *_taken_back(found)]
    parts = [f"{whether}: {'; '.join(said)}."] if said else []
    return " ".join([*parts, *_better(found)]) or "nothing that was asked of synergy is left open."


def _whether(question: Question) -> str:
    both = "any two of the treatments"
    if len(question.pairs) == 1:
        both = question.pair(question.pairs[0], "and")
    verb = "are" if question.is_case_control else "is"
    return f"whether {question.risk} with {both} together {verb} {question.side} than {EXPECTED} (synergy)"


def _not_identified(found: Conclusion) -> Iterator[str]:
    own = [row for row in found.sensitivity if not row.assessment.identified]
    if own:
        before = between(row.assessment.prior_probability for row in own)
        over = between([min(row.lowest for row in own), max(row.highest for row in own)])
        others = f", {over} over all choices" if any(row.alternatives for row in own) else ""
        yield (
            f"{UNIDENTIFIED} for {_pairs(found, own)}, P(synergy) {_probabilities(own)} by model and "
            f"prior, {before} before the data{others}"
        )


def _inconclusive(found: Conclusion) -> Iterator[str]:
    own = [
        row
        for row in found.sensitivity
        if row.assessment.identified and row.assessment.direction == INCONCLUSIVE
    ]
    if not own:
        return
    edge = [row for row in own if row.assessment.is_at_threshold]
    near = f"; at the threshold within Monte Carlo error {_scales(edge, 0)}" if edge else ""
    yield (
        f"{INCONCLUSIVE} for {_pairs(found, own)} {_over(own, found)}, P(synergy) {_probabilities(own)}, "
        f"where {CONCLUSIVE:g} or more, or {1 - CONCLUSIVE:.3g} or less, is conclusive{near}"
    )


def _over(own: Sequence[Sensitivity], found: Conclusion) -> str:
    scales = list(dict.fromkeys(row.assessment.scale for row in own))
    every = dict.fromkeys(one.scale for one in found.assessments)
    if len(scales) == len(every) > 1:
        return f"over {len(scales)} scales"
    return f"on the {plural('scale', len(scales))} {listed(scales)}"


def _taken_back(found: Conclusion) -> Iterator[str]:
    """Name conclusive assessments that differ under another interpretation, model or prior set."""
    own = [
        row
        for row in found.sensitivity
        if row.assessment.identified and row.differs and row.assessment.direction != INCONCLUSIVE
    ]
    if own:
        lowest, highest = min(r.lowest for r in own), max(r.highest for r in own)
        yield (
            f"conclusive in the primary analysis for {_pairs(found, own)} {_over(own, found)}, P(synergy) "
            f"{_probabilities(own)}, but not under every interpretation, model and prior set tried, "
            f"{between([lowest, highest])}"
        )


def _better(found: Conclusion) -> Iterator[str]:
    if not found.better_than_either:
        return
    question = found.question
    pairs = listed(dict.fromkeys(question.pair(pair) for pair, _ in found.better_than_either))
    least = share(min(p for _, p in found.better_than_either))
    limit = least if least.startswith(">") else f"at least {least}"
    yield (
        f"{capital(question.risk)} with both is {question.side} than with the better single treatment for "
        f"{pairs} (probability {limit}), but that is not evidence of synergy."
    )


def _pairs(found: Conclusion, rows: Sequence[Sensitivity]) -> str:
    names = list(dict.fromkeys(_pair(found.question, row.assessment) for row in rows))
    return listed(names) if len(names) <= MANY else f"{len(names)} pairs"


# --- What would settle it --------------------------------------------------------------------------


def _settles(found: Conclusion) -> str:
    return f"{'; '.join(_needs(found)) or 'nothing more is needed for what was asked'}."


def _needs(found: Conclusion) -> Iterator[str]:
    """List what the study leaves out and the question needs, what authors could report first."""
    question = found.question
    if found.status == FAILED:
        yield "more draws, or another engine, until the diagnostics pass"
    is_open = [row.assessment for row in found.sensitivity if not row.assessment.identified]
    unshown = found.status != ASSESSED or any(
        row.assessment.direction == INCONCLUSIVE or row.differs for row in found.sensitivity
    )
    if question.not_counted:
        yield f"patients and events of {some(question.not_counted, MANY)}, from the authors"
    if found.rival_interpretations:
        yield "which interpretation of the reported estimates is right, from the authors"
    if (is_open or found.status == NOT_ESTIMABLE) and question.without_patients:
        absent = ["no study drug" if r == NONE else r for r in question.without_patients]
        yield f"patients who received {some(absent, MANY)}, whom this study does not have"
    if unshown and not is_open and found.status == ASSESSED:
        yield "more patients in these regimens"
    if found.status == NOT_ESTIMABLE and question.is_case_control:
        yield "the risks in the population that cases and controls come from"
    if not question.is_randomised:
        yield "random assignment, or adjustment for what confounds the comparison"


# --- Sensitivity -----------------------------------------------------------------------------------


def sensitivity_table(found: Conclusion) -> pd.DataFrame:
    """Return the sensitivity of each assessment, with directions and one denominator a row."""
    return pd.DataFrame(
        [
            {
                "pair": _pair(found.question, row.assessment),
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
    """List the other choices that are not compared, with the reason."""
    notes = []
    if found.status == ASSESSED and not any(row.alternatives for row in found.sensitivity):
        tried = found.unusable or found.not_comparable or found.incompatible
        notes.append(
            f"No other interpretation, model or prior set {'could be used' if tried else 'was tried'}."
        )
    if found.unusable:
        number = found.unusable
        notes.append(
            f"Not counted, because diagnostics failed: {number} other {plural('fit', number)}."
        )

    if found.not_comparable:
        names = _choices(found.not_comparable, found.choice)
        notes.append(f"Not comparable, because these measures are not assessed: {names}.")
    if found.incompatible:
        notes.append(
            f"Set aside, because the other reported estimates are incompatible: interpretation "
            f"{listed(found.incompatible)}."
        )
    return notes


def _choices(choices: Sequence[Choice], primary: Choice) -> str:
    """Name choices by what differs from the primary analysis; count those beyond a few."""
    names = [
        " with ".join(f"{KINDS[at]} {c[at]}" for at in range(len(KINDS)) if c[at] != primary[at])
        for c in choices
    ]
    return some(names, FEW)
