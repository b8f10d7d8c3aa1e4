"""Rows of observed numbers with their predictive distributions, drawn by several figures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from cotreat.core.constants import INTERVAL
from cotreat.plots import style
from cotreat.plots.interval_rows import NAME_WIDTH
from cotreat.plots.labels import fold

MARGIN = 0.06
BAR: dict[str, Any] = {"color": style.BLUE, "lw": 3.5, "solid_capstyle": "butt"}
DIAMOND: dict[str, Any] = {"color": style.VERMILION, "ls": "none", "marker": "D", "ms": 4.5}


@dataclass(frozen=True)
class Row:
    """An observed number and its predictive distribution.

    Attributes
    ----------
    observed : tuple of float
        Positions of the diamonds: one, or two for a p-value without a reported side.
    wide, half : tuple of float
        Ends of the 95 % and of the 50 % interval.
    towards : int
        −1 or 1 where the number is a bound, such as "<", with the direction of the number.
    """

    name: str
    observed: tuple[float, ...]
    wide: tuple[float, float]
    half: tuple[float, float]
    towards: int = 0


@dataclass(frozen=True)
class Panel:
    """Rows on one axis, with a line at the null, if any."""

    label: str
    rows: tuple[Row, ...]
    is_log: bool = False
    null: float | None = None


def row_of(
    name: str,
    draws: Any,
    *observed: float,
    scale: Callable[..., Any] = lambda value: value,
    towards: int = 0,
) -> Row:
    """Return the row of a number from its replicates, whose quantiles are put on a scale.

    Parameters
    ----------
    name
        Label of the row.
    draws
        Replicates of the number.
    scale
        From the scale of the replicates to that of the axis.
    towards
        Direction.
    *observed
        The number, or several in the same row.

    Returns
    -------
    Row
    """
    tail = (1 - INTERVAL) / 2
    lower, left, right, upper = map(float, scale(np.quantile(draws, [tail, 0.25, 0.75, 1 - tail])))
    return Row(name, observed, (lower, upper), (left, right), towards)


def draw_panels(lines: Sequence[Sequence[Panel]], notes: Sequence[str], observed: str) -> Figure:
    """Draw predictions as bars and observed numbers as diamonds.

    Parameters
    ----------
    lines : sequence of sequences of Panel
        One panel, or two of the same rows side by side, from the top.
    notes : sequence of str
        Lines above the legend.
    observed : str
        Name of the diamonds in the legend.

    Returns
    -------
    Figure
    """
    counts = [len(panels[0].rows) for panels in lines]
    below = 0.15 * "\n".join(filter(None, notes)).count("\n")
    height = 0.9 + 0.62 * len(lines) + 0.3 * sum(counts) + below
    figure = Figure(figsize=(7.5, height), layout="constrained")
    grid = figure.add_gridspec(len(lines), 2, height_ratios=[count + 0.5 for count in counts])
    for at, panels in enumerate(lines):
        for column, panel in enumerate(panels):
            axes = figure.add_subplot(grid[at, column] if len(panels) > 1 else grid[at, :])
            _draw_panel(axes, panel)
            axes.tick_params(axis="y", labelleft=column == 0)
    handles = [
        Line2D([], [], label="predicted, central 50%", **BAR),
        Line2D([], [], label=f"predicted, central {INTERVAL:.0%}", alpha=0.35, **BAR),
        Line2D([], [], label=observed, **DIAMOND),
    ]
    style.legend_below(figure, handles, notes, ncols=3)
    return figure


def _draw_panel(axes: Axes, panel: Panel) -> None:
    ends = [end for row in panel.rows for end in (*row.wide, *row.observed)]
    lower, upper = min(ends), max(ends)
    if panel.is_log:
        margin = (upper / lower) ** MARGIN
        style.log_axis(axes, lower / margin, upper * margin, most=6)
    else:
        margin = MARGIN * (upper - lower)
        axes.set_xlim(lower - margin, upper + margin)
        axes.xaxis.set_major_locator(MaxNLocator(7))
    if panel.null is not None:
        axes.axvline(panel.null, color=style.GREY, lw=0.6, zorder=0)
    for at, row in enumerate(panel.rows):
        axes.plot(row.wide, [at, at], alpha=0.35, **BAR)
        axes.plot(row.half, [at, at], **BAR)
        axes.plot(row.observed, [at] * len(row.observed), zorder=4, **DIAMOND)
        if row.towards:
            arrow = {"arrowstyle": "->", "color": style.VERMILION}
            start, span = row.observed[0], 0.08 * np.ptp(axes.get_xlim())
            axes.annotate("", (start + row.towards * span, at), (start, at), arrowprops=arrow)
    style.label_rows(axes, [fold(row.name, NAME_WIDTH) for row in panel.rows])
    axes.set_xlabel(fold(panel.label, 80))
