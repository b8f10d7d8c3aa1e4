"""Figure of a comparison: reported numbers or counts with their predictions by the rest of the evidence."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cotreat.core.constants import INTERVAL
from cotreat.evidence.folds import EVENTS, P_VALUE, WIDTH, FoldPrediction
from cotreat.evidence.reported import reported_in
from cotreat.evidence.statistics import STATISTICS
from cotreat.plots.labels import event, fold, key, regimen_name
from cotreat.plots.predictive_rows import Panel, Row, draw_panels
from cotreat.plots.records import Comparison
from cotreat.plots.registry import COMPARISON, figure_of
from cotreat.plots.reported_labels import notes, row_names
from cotreat.plots.style import TINY, number, write_at_right

NOTE = (
    "each is left out in turn and predicted from the rest, without estimates that would determine it; {outside} "
    f"of {{every}} lie outside the {INTERVAL:.0%} interval, one in twenty is expected by chance"
)


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
    """Draw what was left out, one panel per quantity.

    Parameters
    ----------
    record : Comparison
        The comparison of models.

    Returns
    -------
    Figure or None
        None where nothing was.
    """
    study, predicted = record.study, record.predicted
    if not predicted:
        return None
    panels, estimates = panels_of(record), reported_in(record.evidence)
    names = [row.name for panel in panels for row in panel.rows]
    outside = sum(prediction.is_outside for prediction in predicted)
    note = fold(NOTE.format(outside=outside, every=len(predicted)), 100)
    below = [key(study, names), *(notes(estimates) if estimates else []), note]
    is_counted = study.counted and {prediction.quantity for prediction in predicted} == {EVENTS}
    observed = "counted" if is_counted else "reported"
    figure = draw_panels([[panel] for panel in panels], below, observed)
    for axes, panel in zip(figure.axes, panels, strict=True):
        _write_numbers(axes, panel, observed)
    return figure


def panels_of(record: Comparison) -> list[Panel]:
    """Return a panel per quantity that was predicted.

    Parameters
    ----------
    record
        The comparison.

    Returns
    -------
    list of Panel
    """
    study, estimates = record.study, reported_in(record.evidence)
    bounds = {p.id for p in estimates.p_values if p.is_below} if estimates else set()
    names = row_names(estimates) if estimates else {}
    kinds: dict[str, tuple[str, bool, float | None]] = {
        s.words: (s.words, s.link.is_log, s.null) for s in STATISTICS.values()
    }
    kinds[P_VALUE] = (P_VALUE, True, None)
    kinds[WIDTH] = ("standard error of the estimate, of its logarithm for a ratio", True, None)
    kinds[EVENTS] = (f"patients with {event(study)}", False, None)
    rows: dict[str, list[Row]] = {quantity: [] for quantity in kinds}
    for left in record.predicted:
        name = names.get(left.unit) or regimen_name(study, left.unit)
        rows[left.quantity].append(_row(name, left, left.unit in bounds))
    return [
        Panel(label, tuple(rows[quantity]), is_log, null)
        for quantity, (label, is_log, null) in kinds.items()
        if rows[quantity]
    ]


def _row(name: str, prediction: FoldPrediction, is_bound: bool) -> Row:
    """Return the row of a prediction; an arrow points to the left of a p-value reported as "<"."""
    half = (prediction.left, prediction.right)
    if not np.isfinite(prediction.left):  # a p-value has its median and its ends alone
        half = (prediction.median, prediction.median)
    towards = -1 if prediction.quantity == P_VALUE and is_bound else 0
    return Row(name, (prediction.value,), (prediction.lower, prediction.upper), half, towards)


def _write_numbers(axes: Axes, panel: Panel, observed: str) -> None:
    """Write the observed and the predicted number at the right."""
    write = number if panel.is_log else "{:.0f}".format
    heading = f"{observed}; predicted, {INTERVAL:.0%}"
    write_at_right(axes, -0.85, heading, style="italic", fontsize=TINY)
    for at, row in enumerate(panel.rows):
        text = f"{write(row.observed[0])}; {write(row.wide[0])} to {write(row.wide[1])}"
        write_at_right(axes, at, "<" * bool(row.towards) + text, fontsize=TINY)
