"""Figure of a fit: odds ratios of treatments per level or subgroup, posterior and usual estimates."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from cotreat.estimands.enumerate import spoken_background
from cotreat.estimands.estimand import ODDS_RATIO
from cotreat.evidence import contrasts, reported
from cotreat.plots.interval_rows import Row, read_lines, read_prior
from cotreat.plots.labels import event, regimen_name, subject
from cotreat.plots.odds_ratios import forest
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
    return forest(view, rows_to_draw(view), f"odds ratio: {event(view.study)}")


def rows_to_draw(view: View) -> list[Row]:
    """Return a heading per treatment and a row per level or subgroup."""
    numbers = reported.estimates_of(view.study)
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
    """Return the odds ratio of each level or subgroup by name; the first entry is the heading."""
    background = spoken_background(study, treatment)
    heading = f"{subject(study, treatment)} vs none"
    if background:
        other = regimen_name(study, study.label(background))
        heading = f"{subject(study, treatment)} + {other} vs {other}"
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


def _printed(
    treatment: str, study: Study, numbers: reported.ReportedEstimates
) -> dict[str, Question]:
    """Return the reported odds ratio of each level or subgroup by name; the first entry is the heading."""
    found: dict[str, Question] = {f"{subject(study, treatment)} vs none": {}}
    for (owner, part), meaning in numbers.of_parts.items():
        if owner == treatment:
            measure, contrast_, pair = contrasts.question_of(meaning)
            found[_named(study, part)] = {"measure": measure, "contrast": contrast_, "pair": pair}
    return found


def _named(study: Study, part: str) -> str:
    assert study.stratification is not None  # noqa: S101 - for the type checker
    return study.stratification.names[part]


def _rows(view: View, own: dict[str, Question]) -> Iterator[Row]:
    for name, question in own.items():
        rows = view.summary[view.summary.threshold.isna()]
        for column, value in question.items():
            rows = rows[rows[column] == value]
        if not question:
            yield Row(name, is_heading=True)
        elif len(rows):
            lines = read_lines(rows)
            is_extrapolated = any(line.is_extrapolated for line in lines if line.is_posterior)
            yield Row(name, lines, prior=read_prior(rows) if is_extrapolated else None)
