"""Figure of a fit: risk per regimen, prior, posterior and maximum likelihood."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cotreat.core.constants import INTERVAL
from cotreat.estimands.estimand import RISK
from cotreat.plots.interval_rows import (
    Row,
    add_legend,
    band_handle,
    draw_band,
    draw_rows,
    looks,
    read_lines,
    row_height,
    write_numbers,
)
from cotreat.plots.labels import event, fold, regimen_name
from cotreat.plots.records import View
from cotreat.plots.registry import FIT, figure_of
from cotreat.plots.style import percent_axis
from cotreat.results.summary import rows_of

LABEL_WIDTH = 40


@figure_of(
    FIT,
    section="risks",
    order=4,
    caption="The shorter the posterior bar within its prior band, the more the evidence contributes "
    "to a risk. Left: 95% prior interval (band) and 95% posterior interval of each regimen's "
    "risk of the event, with a tick at the median. Right: the posterior on a finer axis.",
    alt="Two panels of horizontal intervals with one row per regimen. The left panel shows pale "
    "prior bands behind posterior intervals with a tick at the median; the right panel shows "
    "the posterior intervals on a finer axis, with circles at the medians. Events and "
    "patients are written at the right.",
)
def risks(view: View) -> Figure | None:
    """Draw intervals per regimen; None for a case-control study, whose design fixes the risks."""
    if view.study.is_case_control:
        return None
    rows, prior = rows_to_draw(view), prior_intervals(view)
    look = looks(rows)
    figure = Figure(figsize=(7, 1.4 + row_height(rows) * len(rows)), layout="constrained")
    wide, close = figure.subplots(1, 2, sharey=True, width_ratios=[1, 1.5])
    _set_axis(wide, *_span(rows, prior))
    _set_axis(close, *_span(rows, []))
    for at, (lower, upper) in enumerate(prior):
        draw_band(wide, at, lower, upper, height=0.5)
    posterior = [Row(row.name, row.lines[:1]) for row in rows]
    # A dot would hide a short bar; a tick across it does not.
    draw_rows(wide, posterior, look={kind: {**own, "marker": "|"} for kind, own in look.items()})
    draw_rows(close, rows, look=look)
    close.tick_params(axis="y", labelleft=False)
    write_numbers(close, [_counts(view, arm) for arm in view.study.regimens], "events / n")
    wide.set_title("prior and posterior", loc="left")
    wide.set_xlabel(f"{kind(view)}risk")
    close.set_title("posterior", loc="left")
    close.set_xlabel(fold(f"{kind(view)}risk of {event(view.study)}", LABEL_WIDTH))
    add_legend(figure, view.study, rows, look, [band_handle()])
    return figure


def kind(view: View) -> str:
    """Return "implied" where risks follow from reported estimates, or "standardised"."""
    if view.reported is not None:
        return "implied "
    return "standardised " if view.study.is_adjusted else ""


def rows_to_draw(view: View) -> list[Row]:
    """Return a row per regimen, from the summary; empty where no estimate exists."""
    rows = []
    for arm in view.study.regimens:
        lines = read_lines(rows_of(view.summary, RISK, arm))
        drawn = tuple(line for line in lines if not line.words)
        rows.append(Row(regimen_name(view.study, arm), drawn))
    return rows


def prior_intervals(view: View) -> list[tuple[float, float]]:
    """Return the prior interval of the risk per regimen; NaN where the model does not define it."""
    risk = view.draws["prior"]["risk"]
    tail = (1 - INTERVAL) / 2
    ends = risk.quantile([tail, 1 - tail], ("chain", "draw")).reindex(arm=list(view.study.regimens))
    return [(float(lower), float(upper)) for lower, upper in ends.transpose("arm", "quantile")]


def _set_axis(axes: Axes, lower: float, upper: float) -> None:
    axes.set_xlim(lower, upper)
    percent_axis(axes.xaxis, most=5)


def _span(rows: list[Row], prior: list[tuple[float, float]]) -> tuple[float, float]:
    ends = [end for row in rows for line in row.lines for end in (line.lower, line.upper)]
    ends += [end for interval in prior for end in interval]
    lower, upper = np.nanmin(ends), np.nanmax(ends)
    margin = 0.05 * (upper - lower)
    return max(0.0, lower - margin), min(1.0, upper + margin)


def _counts(view: View, arm: str) -> str:
    counted = view.study.counted
    if arm not in counted:
        return "not reported" if arm in view.study.present else "no patients"
    at = counted.index(arm)
    return f"{view.study.events[at]} / {view.study.n[at]}"
