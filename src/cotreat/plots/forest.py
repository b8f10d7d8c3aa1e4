"""Forest plots: rows of intervals in panels of one axis each, with the posterior in numbers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cotreat.core.constants import INTERVAL, NOT_IDENTIFIED
from cotreat.plots import interval_rows, style
from cotreat.plots.interval_rows import Look, Row
from cotreat.plots.labels import fold
from cotreat.results.summary import REPORTED
from cotreat.study.study import Study

LABEL_WIDTH = 55
BAND_NAME = f"prior, {INTERVAL:.0%}, where {NOT_IDENTIFIED}"
REACH = 5.0
"""Factor by which the axis may extend beyond the posterior: sparse data make other intervals infinite."""
MARGIN = 0.04


@dataclass(frozen=True)
class Panel:
    """Rows of a forest plot on one axis.

    Attributes
    ----------
    rows : list of Row
    label : str
        Of the axis.
    texts : sequence of str
        Reported number of each row, for a first column of numbers; empty for none.
    null : float or None
        Place of the vertical line; None for none.
    is_log : bool
        Whether the axis is logarithmic.
    write : callable
        Writes a number of the posterior.
    """

    rows: list[Row]
    label: str
    texts: Sequence[str] = ()
    null: float | None = 1.0
    is_log: bool = True
    write: Callable[[float], str] = style.number


def forest(study: Study, panels: Sequence[Panel], notes: Sequence[str] = ()) -> Figure:
    """Draw rows with their intervals, one panel per axis, and the posterior in numbers at the right.

    Parameters
    ----------
    study : Study
        The study, whose ids the legend explains.
    panels : sequence of Panel
        From the top.
    notes : sequence of str
        Lines above the legend.

    Returns
    -------
    Figure
    """
    rows = [row for panel in panels for row in panel.rows]
    look = interval_rows.looks(rows)
    between = 0.6 * (len(panels) - 1)
    height = 1.2 + between + interval_rows.row_height(rows) * len(rows) + 0.15 * len(notes)
    width = 7.5 if any(panel.texts for panel in panels) else 7
    figure = Figure(figsize=(width, height), layout="constrained")
    counts = [len(panel.rows) for panel in panels]
    grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=counts)
    for axes, panel in zip(grid[:, 0], panels, strict=True):
        _draw_panel(axes, panel, look)
    bands = [interval_rows.band_handle(BAND_NAME)] if any(row.prior for row in rows) else []
    interval_rows.add_legend(figure, study, rows, look, bands, notes)
    return figure


def _draw_panel(axes: Axes, panel: Panel, look: dict[str, Look]) -> None:
    if panel.is_log:
        style.log_axis(axes, *log_limits(panel.rows))
    else:
        lines = [line for row in panel.rows for line in (*row.lines, row.prior) if line]
        null = [] if panel.null is None else [panel.null]
        ends = [*null, *(end for line in lines for end in (line.lower, line.upper))]
        lower, upper = np.nanmin(ends), np.nanmax(ends)
        axes.set_xlim(lower - MARGIN * (upper - lower), upper + MARGIN * (upper - lower))
    if panel.null is not None:
        axes.axvline(panel.null, color=style.GREY, lw=0.6, zorder=0)
    interval_rows.draw_rows(axes, panel.rows, look=look)
    if panel.texts:
        interval_rows.write_numbers(axes, panel.texts, REPORTED)
    texts = [interval_rows.interval_text(row.lines, panel.write) for row in panel.rows]
    interval_rows.write_numbers(axes, texts, interval_rows.POSTERIOR_HEAD, bool(panel.texts))
    axes.set_xlabel(fold(panel.label, LABEL_WIDTH))


def log_limits(rows: list[Row]) -> tuple[float, float]:
    """Return the limits of a logarithmic axis: all intervals, within a factor of the posterior and 1.

    Parameters
    ----------
    rows
        Rows of one panel.

    Returns
    -------
    tuple[float, float]
    """
    drawn = [line for row in rows for line in row.lines if line.lower > 0]
    main = [line for line in drawn if line.is_posterior] or drawn
    low, high = (min([1, *(m.lower for m in main)]), max([1, *(m.upper for m in main)]))
    lower = max(min([low, *(line.lower for line in drawn)]), low / REACH)
    upper = min(max([high, *(line.upper for line in drawn)]), high * REACH)
    margin = (upper / lower) ** MARGIN
    return lower / margin, upper * margin
