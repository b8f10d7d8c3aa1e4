"""Figure of a fit: odds ratios of treatments per level or subgroup, posterior and usual estimates."""

from collections.abc import Iterator

import pandas as pd
from matplotlib.figure import Figure

from cotreat.estimands.enumerate import counted_co_treatment
from cotreat.estimands.estimand import ODDS_RATIO
from cotreat.evidence.contrasts import question_of
from cotreat.plots.forest import Panel, forest
from cotreat.plots.interval_rows import Row, read_row
from cotreat.plots.labels import event, regimen_name, subject
from cotreat.plots.records import View
from cotreat.plots.registry import FIT, figure_of
from cotreat.results.summary import rows_of


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
    """Draw a row per level or subgroup of each treatment.

    Parameters
    ----------
    view : View
        The fit and its summary.

    Returns
    -------
    Figure or None
        None without levels and subgroups.
    """
    if view.study.stratification is None:
        return None
    return forest(view.study, [Panel(rows_to_draw(view), f"odds ratio: {event(view.study)}")])


def rows_to_draw(view: View) -> list[Row]:
    """Return a heading per treatment and a row per level or subgroup.

    Parameters
    ----------
    view
        The fit and its summary.

    Returns
    -------
    list of Row
        Rows from the top.
    """
    study = view.study
    treatments = study.treatment_ids if study.groups else study.levels
    read = _of_counts if view.reported is None else _of_reported
    return [row for treatment in treatments for row in read(view, treatment)]


def _of_counts(view: View, treatment: str) -> Iterator[Row]:
    study, name = view.study, subject(view.study, treatment)
    others = counted_co_treatment(study, treatment)
    other = regimen_name(study, study.label(others))
    yield Row(f"{name} + {other} vs {other}" if others else f"{name} vs none", is_heading=True)
    for group in study.groups or ("",):
        without = others | {group} - {""}
        for part in study.parts_of(treatment):
            arms = study.label(without | {part}), study.label(without)
            yield from _row(view, group or part, rows_of(view.summary, ODDS_RATIO, *arms))


def _of_reported(view: View, treatment: str) -> Iterator[Row]:
    yield Row(f"{subject(view.study, treatment)} vs none", is_heading=True)
    rows = view.summary[view.summary.threshold.isna()]
    for (owner, part), meaning in view.reported.of_parts.items() if view.reported else ():
        if owner == treatment:
            columns = ["measure", "contrast", "pair"]
            yield from _row(
                view, part, rows[(rows[columns] == list(question_of(meaning))).all(axis=1)]
            )


def _row(view: View, part: str, rows: pd.DataFrame) -> Iterator[Row]:
    """Yield the row of a level or subgroup, if the summary has it."""
    if view.study.stratification and len(rows):
        yield read_row(view.study.stratification.names[part], rows)
