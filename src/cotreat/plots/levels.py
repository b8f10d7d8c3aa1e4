"""Effects of treatments by level, or in each subgroup, beside what shrinks or orders nothing."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from cotreat.estimands.enumerate import named, spoken_background
from cotreat.estimands.estimand import ODDS_RATIO
from cotreat.evidence import contrasts, reported
from cotreat.plots.interval_rows import Row, read_lines, read_prior
from cotreat.plots.labels import event, regimen_name, subject
from cotreat.plots.odds_ratios import forest
from cotreat.plots.view import View
from cotreat.study.regimens import contrast, without_group
from cotreat.study.study import Study

Question = dict[str, str]
"""Columns of the summary that a row must have these values in."""


def draw(view: View) -> Figure | None:
    """Draw a row for each level or subgroup of each treatment; None where regimens are told by none."""
    if view.study.divides is None:
        return None
    return forest(view, rows_to_draw(view), f"odds ratio: {event(view.study)}")


def rows_to_draw(view: View) -> list[Row]:
    """Return a heading for each treatment and a row for each of its levels, or for each subgroup."""
    numbers = reported.printed(view.study)
    rows: list[Row] = []
    for treatment in view.study.treatment_ids if view.study.groups else view.study.levels:
        own = (
            _told(treatment, view.study)
            if numbers is None
            else _printed(treatment, view.study, numbers)
        )
        rows += _rows(view, own)
    return rows


def _told(treatment: str, study: Study) -> dict[str, Question]:
    """Label the odds ratio of each part of a treatment by name; the first entry is the heading."""
    background = spoken_background(study, treatment)
    heading = f"{subject(study, treatment)}, against none"
    if background:
        other = regimen_name(study, study.label(background))
        heading = f"{subject(study, treatment)} added to {other}, against that alone"
    found: dict[str, Question] = {heading: {}}
    for group in study.groups or ("",):
        own = background | ({group} if group else set())
        without = study.label(frozenset(own))
        for part in study.parts_of(treatment):
            plain = study.label(background | {part})
            name = _named(study, group or part)
            found[name] = {
                "measure": ODDS_RATIO,
                "contrast": contrast(plain, without_group(without)),
                "stratum": group,
            }
    return found


def _printed(treatment: str, study: Study, numbers: reported.Printed) -> dict[str, Question]:
    """Label what is printed of each part of a treatment, or could have been, by its name."""
    found: dict[str, Question] = {f"{subject(study, treatment)}, against none": {}}
    for (owner, part), meaning in numbers.of_parts.items():
        if owner == treatment:
            kind = contrasts.KINDS[meaning.kind].name
            found[_named(study, part)] = {"measure": kind, **named(meaning)}
    return found


def _named(study: Study, part: str) -> str:
    assert study.divides is not None  # noqa: S101 - for the type checker
    return study.divides.names[part]


def _rows(view: View, own: dict[str, Question]) -> Iterator[Row]:
    for name, question in own.items():
        rows = view.summary
        for column, value in question.items():
            rows = rows[rows[column] == value]
        if not question:
            yield Row(name, is_heading=True)
        elif len(rows):
            lines = read_lines(rows)
            is_extrapolated = any(line.is_extrapolated for line in lines if line.is_posterior)
            yield Row(name, lines, prior=read_prior(rows) if is_extrapolated else None)
