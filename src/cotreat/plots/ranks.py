"""Figure of a calibration: distribution of the ranks of the true values, less the uniform one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from cotreat.core.constants import FAMILY_WISE
from cotreat.plots.registry import CALIBRATION, figure_of
from cotreat.plots.style import (
    BLUE,
    GREEN,
    GREY,
    PALE,
    SMALL,
    VERMILION,
    legend_below,
    off_screen,
    save,
)

if TYPE_CHECKING:
    from pathlib import Path

    from cotreat.calibration.sbc import Calibration

COLOURS = {"parameter": BLUE, "estimand": GREY, "log-likelihood": GREEN}


@figure_of(
    CALIBRATION,
    order=1,
    caption="A posterior is calibrated where its line stays within the band. Each line is a parameter "
    "or estimand: the share of ranks of the true value up to each rank, less that of uniform "
    "ranks. A line above the band at the left means posteriors that are too high; below at "
    "the left and above at the right, too wide; the reverse, too narrow.",
    alt="Lines around 0 over an axis of ranks from 0 to 1, with a pale band; lines that fail are "
    "orange.",
)
def ranks(found: Calibration) -> Figure:
    """Draw the ranks of every quantity of a calibration: shares of ranks up to each, less the uniform ones."""
    figure = Figure(figsize=(4.2, 3.2), layout="constrained")
    axes = figure.add_subplot()
    _panel(axes, found)
    axes.set_xlabel("rank of the truth, as a share of all")
    axes.set_ylabel("share of ranks up to it,\nless that of uniform ranks")
    shown = {kind: c for kind, c in COLOURS.items() if kind in set(found.table.kind)}
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=c, label=kind) for kind, c in shown.items()
    ]
    handles += [] if found.passes else [Line2D([], [], color=VERMILION, label="fails")]
    handles += [Patch(color=PALE, label=f"{1 - FAMILY_WISE:.0%} band")]
    legend_below(figure, handles, ncols=3)
    return figure


def write_ranks(found: Calibration, folder: Path) -> None:
    """Write the figure of a calibration, named by model and study, into a folder."""
    name = f"{found.job.model.name}--{found.job.study.id}.png".replace(":", "-")
    with off_screen():
        save(ranks(found), folder / name)


def _panel(axes: Axes, one: Calibration) -> None:
    draws = one.uniformity.draws
    at = (np.arange(draws) + 1) / (draws + 1)
    lower, upper = one.uniformity.band(1 - FAMILY_WISE)
    axes.fill_between(at, lower - at, upper - at, color=PALE, lw=0, step="mid")
    for row in one.table.sort_values("p_value", ascending=False).itertuples():
        colour = COLOURS[row.kind] if row.passes else VERMILION
        off = _reached(one.ranks.by_quantity[row.quantity], draws) - at
        axes.plot(at, off, color=colour, lw=0.5, alpha=0.8)
    axes.set_title(f"{one.job.model.name}: {one.job.study.id}", fontsize=SMALL)
    axes.axhline(0, color=GREY, lw=0.4)


def _reached(ranks: NDArray[np.int64], draws: int) -> NDArray[np.float64]:
    """Return the share of ranks up to each but the last."""
    counts = np.bincount(ranks, minlength=draws + 1)
    reached: NDArray[np.float64] = np.cumsum(counts)[:-1] / len(ranks)
    return reached
