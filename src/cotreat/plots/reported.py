"""Figure of a fit: reported odds ratios and p-values with the posterior of the same coefficients."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cotreat.core.constants import CREDIBLE, INTERVAL
from cotreat.evidence.reported import ReportedEstimates, estimates_of
from cotreat.evidence.statistics import Link, Statistic, statistic_of
from cotreat.plots.interval_rows import (
    POSTERIOR_HEAD,
    REPORTED,
    Line,
    Row,
    add_legend,
    draw_rows,
    looks,
    posterior_text,
    row_height,
    write_numbers,
)
from cotreat.plots.labels import event, fold
from cotreat.plots.odds_ratios import limits
from cotreat.plots.records import View
from cotreat.plots.registry import FIT, figure_of
from cotreat.plots.reported_labels import axis_label, notes, row_names
from cotreat.plots.style import GREY, log_axis
from cotreat.results.summary import POSTERIOR
from cotreat.study.study import ReportedEstimate

LABEL_WIDTH = 50


@figure_of(
    FIT,
    section="estimates",
    order=3,
    caption="Each reported estimate is compared with the posterior of the coefficient that it "
    "estimates. The circle is the posterior median with its 95% equal-tailed credible "
    "interval; the diamond is the reported estimate with its reported interval. Where only a "
    "p-value is reported, the row shows the posterior alone, and the p-value is written at "
    "the right.",
    alt="Forest plot on a logarithmic axis with a vertical line at 1 and one row per reported "
    "odds ratio or p-value: a filled circle with a thick bar is the posterior, a filled "
    "diamond with a thin bar the reported interval. Two columns at the right give the "
    "reported number and the posterior.",
)
def reported(view: View) -> Figure | None:
    """Draw a row per reported estimate that is used; None where there is none."""
    numbers = estimates_of(view.study)
    if numbers is None or not numbers.reported_estimates:
        return None
    panels = panels_of(view, numbers)
    rows = [row for panel in panels for row in panel.rows]
    look, below = looks(rows), notes(numbers)
    height = 1.3 + 0.6 * (len(panels) - 1) + row_height(rows) * len(rows) + 0.15 * len(below)
    figure = Figure(figsize=(7.5, height), layout="constrained")
    tall = [len(panel.rows) for panel in panels]
    grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=tall)
    for axes, panel in zip(grid[:, 0], panels, strict=True):
        _draw(axes, panel, view, numbers, look)
    add_legend(figure, view.study, rows, look, notes=below)
    return figure


@dataclass(frozen=True)
class Panel:
    """Rows of statistics that share an axis: link and null.

    Attributes
    ----------
    statistics : tuple of Statistic
    rows : list of Row
        With their headings, top to bottom.
    """

    statistics: tuple[Statistic, ...]
    rows: list[Row]


def panels_of(view: View, numbers: ReportedEstimates) -> list[Panel]:
    """Return a panel per axis: estimates with an interval, then the coefficients of p-values."""
    by_axis: dict[tuple[Link, float], list[ReportedEstimate]] = {}
    for one in numbers.reported_estimates:
        statistic = statistic_of(one.kind)
        by_axis.setdefault((statistic.link, statistic.null), []).append(one)
    found = []
    for own in by_axis.values():
        estimates = list(_rows(view, numbers, [e for e in own if e.has_interval]))
        tests = list(_rows(view, numbers, [e for e in own if not e.has_interval]))
        rows = [
            *([Row("reported with an interval", is_heading=True), *estimates] if estimates else []),
            *([Row("reported as a p-value", is_heading=True), *tests] if tests else []),
        ]
        found.append(Panel(tuple(dict.fromkeys(statistic_of(e.kind) for e in own)), rows))
    return found


def _draw(
    axes: Axes,
    panel: Panel,
    view: View,
    numbers: ReportedEstimates,
    look: dict[str, dict[str, Any]],
) -> None:
    """Draw the rows of a panel on the axis of its statistics, with a line at their null."""
    first = panel.statistics[0]
    if first.link.is_log:
        log_axis(axes, *limits(panel.rows))
    axes.axvline(first.null, color=GREY, lw=0.6, zorder=0)
    draw_rows(axes, panel.rows, look=look)
    write_numbers(axes, texts(panel.rows, numbers), REPORTED)
    write_numbers(axes, [posterior_text(row) for row in panel.rows], POSTERIOR_HEAD, column=1)
    label = f"{axis_label(panel.statistics)}: {event(view.study)}"
    axes.set_xlabel(fold(label, LABEL_WIDTH))


def _rows(
    view: View, numbers: ReportedEstimates, chosen: Sequence[ReportedEstimate]
) -> Iterator[Row]:
    names = row_names(numbers)
    for reported_estimate in chosen:
        yield Row(
            names[reported_estimate.id],
            (_posterior(view, reported_estimate), *_reported(reported_estimate)),
        )


def _posterior(view: View, reported_estimate: ReportedEstimate) -> Line:
    """Return the posterior of the coefficient that was reported, adjusted or crude."""
    draws = view.tree["posterior"]["log_ratio"].sel(reported_estimate=reported_estimate.id)
    back, tail = statistic_of(reported_estimate.kind).link.back, (1 - INTERVAL) / 2
    lower, middle, upper = np.quantile(back(draws), [tail, 0.5, 1 - tail])
    return Line(f"{POSTERIOR}, {CREDIBLE}", float(middle), float(lower), float(upper))


def _reported(reported_estimate: ReportedEstimate) -> Iterator[Line]:
    if reported_estimate.ci is not None:
        interval = {"wald": "Wald"}.get(reported_estimate.interval, reported_estimate.interval)
        kind = f"{REPORTED}, {reported_estimate.level:.0%} {interval}"
        yield Line(
            kind,
            reported_estimate.value.value,
            reported_estimate.ci[0].value,
            reported_estimate.ci[1].value,
        )


def texts(rows: Sequence[Row], numbers: ReportedEstimates) -> list[str]:
    """Return the reported number per row."""
    claim_of = dict(zip(row_names(numbers).values(), numbers.reported_estimates, strict=False))
    return ["" if row.is_heading else text(claim_of[row.name]) for row in rows]


def text(reported_estimate: ReportedEstimate) -> str:
    """Write a number as reported; of a p-value also its side, where known."""
    side = {"+": " (> 1)", "-": " (< 1)"}.get(reported_estimate.sign, "")
    return (
        reported_estimate.as_reported
        if reported_estimate.has_interval
        else reported_estimate.as_reported + side
    )
