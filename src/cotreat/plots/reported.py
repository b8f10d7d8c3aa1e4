"""Figure of a fit: reported odds ratios and p-values with the posterior of the same coefficients."""

from collections.abc import Iterator

import numpy as np
from matplotlib.figure import Figure

from cotreat.core.constants import CREDIBLE, INTERVAL
from cotreat.evidence.reported import ReportedEstimates
from cotreat.evidence.statistics import Link, statistic_of
from cotreat.plots.forest import Panel, forest
from cotreat.plots.interval_rows import REPORTED, Line, Row
from cotreat.plots.labels import event
from cotreat.plots.records import View
from cotreat.plots.registry import FIT, figure_of
from cotreat.plots.reported_labels import axis_label, notes, row_names
from cotreat.results.summary import POSTERIOR
from cotreat.study.study import ReportedEstimate

HEADINGS = {"reported with an interval": True, "reported as a p-value": False}


@figure_of(
    FIT,
    section="estimates",
    order=3,
    caption="Each reported estimate is compared with the posterior of the coefficient that it "
    "estimates. The circle is the posterior median with its 95% equal-tailed credible "
    "interval; the diamond is the reported estimate with its reported interval. Where only a "
    "p-value is reported, the row shows the posterior alone, and the p-value is written at "
    "the right.",
    alt="Forest plot with a vertical line at the null, one row per reported estimate or "
    "p-value, and one panel per scale: a filled circle with a thick bar is the posterior, a filled "
    "diamond with a thin bar the reported interval. Two columns at the right give the "
    "reported number and the posterior.",
)
def reported(view: View) -> Figure | None:
    """Draw a row per reported estimate that is used.

    Parameters
    ----------
    view : View
        The fit and its summary.

    Returns
    -------
    Figure or None
        None where there is none.
    """
    numbers = view.reported
    if numbers is None or not numbers.reported_estimates:
        return None
    return forest(view.study, panels_of(view, numbers), notes(numbers))


def panels_of(view: View, numbers: ReportedEstimates) -> list[Panel]:
    """Return a panel per link and null: estimates with an interval, then the coefficients of p-values.

    Parameters
    ----------
    view
        The fit and its summary.
    numbers
        The reported estimates of the fit.

    Returns
    -------
    list of Panel
        Panels from the top.
    """
    by_axis: dict[tuple[Link, float | None], list[ReportedEstimate]] = {}
    for estimate in numbers.reported_estimates:
        statistic = statistic_of(estimate.kind)
        by_axis.setdefault((statistic.link, statistic.null), []).append(estimate)
    names, panels = row_names(numbers), []
    for (link, null), estimates in by_axis.items():
        rows: list[Row] = []
        texts: list[str] = []
        for heading, has_interval in HEADINGS.items():
            chosen = [estimate for estimate in estimates if estimate.has_interval == has_interval]
            rows += [Row(heading, is_heading=True)] * bool(chosen)
            rows += [Row(names[e.id], (_posterior(view, e), *_reported(e))) for e in chosen]
            texts += [""] * bool(chosen) + [text(estimate) for estimate in chosen]
        words = axis_label(dict.fromkeys(statistic_of(estimate.kind) for estimate in estimates))
        panels.append(Panel(rows, f"{words}: {event(view.study)}", texts, null, link.is_log))
    return panels


def _posterior(view: View, estimate: ReportedEstimate) -> Line:
    """Return the posterior of the coefficient that was reported, adjusted or crude."""
    draws = view.draws["posterior"]["log_ratio"].sel(reported_estimate=estimate.id)
    back, tail = statistic_of(estimate.kind).link.back, (1 - INTERVAL) / 2
    lower, middle, upper = np.quantile(back(draws), [tail, 0.5, 1 - tail])
    return Line(f"{POSTERIOR}, {CREDIBLE}", float(middle), float(lower), float(upper))


def _reported(estimate: ReportedEstimate) -> Iterator[Line]:
    if estimate.ci is not None:
        interval = "Wald" if estimate.interval == "wald" else estimate.interval
        lower, upper = (end.value for end in estimate.ci)
        kind = f"{REPORTED}, {estimate.level:.0%} {interval}"
        yield Line(kind, estimate.value.value, lower, upper)


def text(estimate: ReportedEstimate) -> str:
    """Write a number as reported; of a p-value also its side, where known.

    Parameters
    ----------
    estimate
        A reported estimate.

    Returns
    -------
    str
    """
    if estimate.has_interval:
        return estimate.as_reported
    return estimate.as_reported + {"+": " (> 1)", "-": " (< 1)"}.get(estimate.sign, "")
