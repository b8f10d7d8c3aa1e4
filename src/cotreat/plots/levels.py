"""Figure of a fit: odds ratios of treatments per level or subgroup, posterior and usual estimates."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from cotreat.estimands.enumerate import spoken_background
from cotreat.estimands.estimand import ODDS_RATIO
from cotreat.evidence.contrasts import question_of
from cotreat.evidence.reported import ReportedEstimates
from cotreat.plots.interval_rows import Row
from cotreat.plots.labels import event, regimen_name, subject
from cotreat.plots.odds_ratios import Panel, forest, row_of
from cotreat.plots.records import View
from cotreat.plots.registry import FIT, figure_of
from cotreat.study.regimens import contrast, without_group
from cotreat.study.study import Study

Question = dict[str, str]
"""Columns of the summary that a row must have these values in."""


@figure_of(
    FIT,
    section="estimates",
    order=2,
    caption="The posterior shares information between the rows of one treatment; the usual estimates "
    "use each row alone. Each row is the odds ratio of a treatment against no such treatment, "
    "at one level or in one subgroup; posterior odds ratios are monotone across levels and "
    "partially pooled across subgroups. Intervals cover 95%.",
    alt="Forest plot on a logarithmic axis with a vertical line at 1, a heading per treatment, "
    "and one row per level or subgroup. A circle with a thick bar is the posterior; other "
    "marks with thin bars are the usual estimates.",
)
def levels(view: View) -> Figure | None:
    """Draw a row per level or subgroup of each treatment; None without levels and subgroups."""
    if view.study.stratification is None:
        return None
    return forest(view, [Panel(rows_to_draw(view), f"odds ratio: {event(view.study)}")])


def rows_to_draw(view: View) -> list[Row]:
    """Return a heading per treatment and a row per level or subgroup."""
    numbers, study = view.reported, view.study
    rows: list[Row] = []
    for treatment in study.treatment_ids if study.groups else study.levels:
        if numbers is None:
            questions = _of_counts(treatment, study)
        else:
            questions = _of_reported(treatment, study, numbers)
        rows += _rows(view, questions)
    return rows


def _of_counts(treatment: str, study: Study) -> dict[str, Question]:
    """Return the odds ratio of each level or subgroup by name; the first entry is the heading."""
    background = spoken_background(study, treatment)
    heading = f"{subject(study, treatment)} vs none"
    if background:
        other = regimen_name(study, study.label(background))
        heading = f"{subject(study, treatment)} + {other} vs {other}"
    found: dict[str, Question] = {heading: {}}
    for group in study.groups or ("",):
        without = study.label(frozenset(background | ({group} if group else set())))
        for part in study.parts_of(treatment):
            plain = study.label(background | {part})
            compared = contrast(plain, without_group(without))
            question = {"measure": ODDS_RATIO, "contrast": compared, "stratum": group}
            found[_named(study, group or part)] = question
    return found


def _of_reported(treatment: str, study: Study, numbers: ReportedEstimates) -> dict[str, Question]:
    """Return the reported odds ratio of each level or subgroup by name; the first entry is the heading."""
    found: dict[str, Question] = {f"{subject(study, treatment)} vs none": {}}
    for (owner, part), meaning in numbers.of_parts.items():
        if owner == treatment:
            columns = ("measure", "contrast", "pair")
            found[_named(study, part)] = dict(zip(columns, question_of(meaning), strict=True))
    return found


def _named(study: Study, part: str) -> str:
    assert study.stratification is not None  # noqa: S101 - for the type checker
    return study.stratification.names[part]


def _rows(view: View, questions: dict[str, Question]) -> Iterator[Row]:
    for name, question in questions.items():
        rows = view.summary[view.summary.threshold.isna()]
        for column, value in question.items():
            rows = rows[rows[column] == value]
        if not question:
            yield Row(name, is_heading=True)
        elif len(rows):
            yield row_of(name, rows)
