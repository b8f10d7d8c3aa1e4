"""Ranks of truths: how far their distribution functions are from that of uniform ranks."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cotreat.calibration.calibrate import FAMILY_WISE, Calibration
from cotreat.plots.canvas import BLUE, GREEN, GREY, PALE, SMALL, VERMILION

COLUMNS = 4
COLOURS = {"parameter": BLUE, "estimand": GREY, "log-likelihood": GREEN}
CAPTION = (
    "Ranks of truths among draws of their posteriors: share of ranks up to each, less the share that uniform "
    "ranks have; a line for each quantity, a panel for each model and study. Pale: where all of a line lies "
    f"with a probability of {1 - FAMILY_WISE:.0%} if it is right. A line above to the left: posteriors too "
    "high; below left and above right: too wide; the other way round: too narrow. Red: what fails."
)


def draw(found: Sequence[Calibration]) -> Figure:
    """Draw a panel for each calibration."""
    rows = -(-len(found) // COLUMNS)
    figure, axes = plt.subplots(
        rows,
        COLUMNS,
        figsize=(7.2, 0.5 + 1.55 * rows),
        sharex=True,
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for place, one in zip(axes.flat, found, strict=False):
        _panel(place, one)
    for place in axes.flat[len(found) :]:
        place.set_axis_off()
    figure.supxlabel("rank of the truth, as a share", fontsize=8)
    figure.supylabel("share of ranks up to it, less uniform", fontsize=8)
    kinds = [plt.Line2D([], [], color=c, label=kind) for kind, c in COLOURS.items()]
    kinds.append(plt.Line2D([], [], color=VERMILION, label="fails"))
    figure.legend(handles=kinds, loc="outside lower center", ncols=4)
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
