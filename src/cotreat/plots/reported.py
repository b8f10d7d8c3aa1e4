"""Figure of a fit: reported odds ratios and p-values with the posterior of the same coefficients."""

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.figure import Figure

from cotreat.core.constants import CREDIBLE, INTERVAL
from cotreat.evidence.reported import ReportedEstimates, estimates_of
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
from cotreat.plots.reported_labels import notes, row_names
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
    rows = rows_to_draw(view, numbers)
    look = looks(rows)
    below = notes(numbers)
    height = 1.3 + row_height(rows) * len(rows) + 0.15 * len(below)
    figure = Figure(figsize=(7.5, height), layout="constrained")
    axes = figure.add_subplot()
    log_axis(axes, *limits(rows))
    axes.axvline(1, color=GREY, lw=0.6, zorder=0)
    draw_rows(axes, rows, look=look)
    write_numbers(axes, texts(rows, numbers), REPORTED)
    write_numbers(axes, [posterior_text(row) for row in rows], POSTERIOR_HEAD, column=1)
    axes.set_xlabel(fold(f"odds ratio, or ratio of odds ratios: {event(view.study)}", LABEL_WIDTH))
    add_legend(figure, view.study, rows, look, notes=below)
    return figure


def rows_to_draw(view: View, numbers: ReportedEstimates) -> list[Row]:
    """Return headings and rows, top to bottom: odds ratios, then the coefficients of p-values."""
    ratios = list(_rows(view, numbers, numbers.odds_ratios))
    tests = list(_rows(view, numbers, numbers.p_values))
    return [
        *([Row("reported with an interval", is_heading=True), *ratios] if ratios else []),
        *([Row("reported as a p-value", is_heading=True), *tests] if tests else []),
    ]


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
    tail = (1 - INTERVAL) / 2
    lower, middle, upper = np.quantile(np.exp(draws), [tail, 0.5, 1 - tail])
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
        if reported_estimate.is_odds_ratio
        else reported_estimate.as_reported + side
    )
