"""Figure of a comparison: reported numbers or counts with their predictions by the rest of the evidence."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cotreat.core.constants import INTERVAL
from cotreat.evidence.folds import EVENTS, P_VALUE, WIDTH, FoldPrediction
from cotreat.evidence.reported import reported_in
from cotreat.evidence.statistics import STATISTICS
from cotreat.plots.labels import event, fold, key, regimen_name
from cotreat.plots.records import Comparison
from cotreat.plots.registry import COMPARISON, figure_of
from cotreat.plots.reported_labels import notes, row_names
from cotreat.plots.reported_predictive import Panel, Row, draw_panel, legend
from cotreat.plots.style import TINY, legend_below, number
from cotreat.study.study import Study

LABELS = {
    WIDTH: "standard error of the log odds ratio",
    EVENTS: "patients with {event}",
}
"""Axis labels of quantities whose name is not their label."""
NOTE = (
    "each is left out in turn and predicted from the rest, without estimates that would determine it; {outside} "
    f"of {{every}} lie outside the {INTERVAL:.0%} interval, one in twenty is expected by chance"
)
LINE_HEIGHT = 0.17
"""Inches for a line of words below."""
HEAD = f"{{seen}}; predicted, {INTERVAL:.0%}"
"""Heading of the numbers at the right."""


@figure_of(
    COMPARISON,
    order=1,
    caption="An estimate or count far outside its bar is incompatible with the rest of the evidence "
    "under this model. Each is left out in turn and predicted from the rest: bars are the "
    "central 50% and 95% of the predictions, diamonds the observed numbers.",
    alt="Horizontal bars, one row per estimate or count: a thick bar for the central half of the "
    "predictions, a pale one for 95%, and a diamond at the observed number.",
)
def left_out(record: Comparison) -> Figure | None:
    """Draw what was left out, one panel per quantity; None where nothing was."""
    study, predicted = record.study, record.predicted
    if not predicted:
        return None
    panels = panels_of(record)
    tall = [len(panel.rows) for panel in panels]
    names = [row.name for panel in panels for row in panel.rows]
    numbers = reported_in(record.evidence)
    outside = sum(left.is_outside for left in predicted)
    note = fold(NOTE.format(outside=outside, every=len(predicted)), 100)
    below = [key(study, names), *(notes(numbers) if numbers else []), note]
    title = "\n".join(filter(None, below))
    height = 1.0 + 0.6 * len(panels) + 0.3 * sum(tall) + LINE_HEIGHT * title.count("\n")
    figure = Figure(figsize=(7, height), layout="constrained")
    ratios = [count + 0.5 for count in tall]
    grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=ratios)
    is_counted = all(left.quantity == EVENTS for left in predicted) and bool(study.counted)
    seen = "counted" if is_counted else "reported"
    for axes, panel in zip(grid[:, 0], panels, strict=True):
        draw_panel(axes, panel)
        _write_numbers(axes, panel, seen)
    legend_below(figure, legend(seen), [title], ncols=3)
    return figure


def panels_of(record: Comparison) -> list[Panel]:
    """Return a panel per quantity that was predicted."""
    study, numbers = record.study, reported_in(record.evidence)
    bounds = {one.id for one in numbers.p_values if one.is_below} if numbers else set()
    names = {} if numbers is None else row_names(numbers)
    found = []
    is_log = {one.words: one.link.is_log for one in STATISTICS.values()}
    is_log |= {P_VALUE: True, WIDTH: True, EVENTS: False}
    for quantity in is_log:
        chosen = [left for left in record.predicted if left.quantity == quantity]
        if chosen:
            label = fold(LABELS.get(quantity, quantity).format(event=event(study)), 80)
            rows = tuple(_row(study, names, left, left.unit in bounds) for left in chosen)
            found.append(Panel(label, rows, is_log=is_log[quantity]))
    return found


def _row(study: Study, names: dict[str, str], left: FoldPrediction, is_bound: bool) -> Row:
    """Return the row of a prediction; an arrow points to the left of a p-value reported as "<"."""
    name = names.get(left.unit) or regimen_name(study, left.unit)
    half = (left.left, left.right)
    if not np.isfinite(left.left):  # a p-value has its median and its ends alone
        half = (left.median, left.median)
    towards = -1 if left.quantity == P_VALUE and is_bound else 0
    return Row(name, (left.value,), (left.lower, left.upper), half, towards)


def _write_numbers(axes: Axes, panel: Panel, seen: str) -> None:
    """Write the observed and the predicted number at the right."""
    write = number if panel.is_log else "{:.0f}".format
    place: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center"}
    place["fontsize"] = TINY
    axes.text(1.01, -0.85, HEAD.format(seen=seen), style="italic", **place)
    for at, row in enumerate(panel.rows):
        sign = "<" if row.towards else ""
        text = f"{sign}{write(row.as_reported[0])}; {write(row.wide[0])} to {write(row.wide[1])}"
        axes.text(1.01, at, text, **place)
