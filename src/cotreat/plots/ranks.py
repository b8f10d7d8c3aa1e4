"""Ranks of truths: how far their distribution functions are from that of uniform ranks."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from cotreat.calibration.sbc import FAMILY_WISE, Calibration
from cotreat.plots.style import BLUE, GREEN, GREY, PALE, SMALL, VERMILION

COLOURS = {"parameter": BLUE, "estimand": GREY, "log-likelihood": GREEN}


def draw(found: Calibration) -> Figure:
    """Draw the ranks of every quantity of a calibration: shares of ranks up to each, less the uniform ones.

    A line above to the left means posteriors too high; below left and above right, too wide; the other way
    round, too narrow. In the pale band all of a line lies with the probability it says, if it is right.
    """
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
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


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
