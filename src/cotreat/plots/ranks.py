"""Figure of a calibration: distribution of the ranks of the true values, less the uniform one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cotreat.core.constants import FAMILY_WISE
from cotreat.plots import style
from cotreat.plots.registry import CALIBRATION, figure_of

if TYPE_CHECKING:
    from pathlib import Path

    from cotreat.calibration.sbc import Calibration

COLORS = {"parameter": style.BLUE, "estimand": style.GREY, "log-likelihood": style.GREEN}


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
def ranks(calibration: Calibration) -> Figure:
    """Draw the share of ranks up to each, less that of uniform ranks, of every quantity of a calibration.

    Parameters
    ----------
    calibration : Calibration
        Ranks of a calibration and their tests.

    Returns
    -------
    Figure
    """
    figure = Figure(figsize=(4.2, 3.2), layout="constrained")
    axes = figure.add_subplot()
    job, uniformity = calibration.job, calibration.uniformity
    at = (np.arange(uniformity.draws) + 1) / (uniformity.draws + 1)
    lower, upper = uniformity.band(1 - FAMILY_WISE)
    axes.fill_between(at, lower - at, upper - at, color=style.PALE, lw=0, step="mid")
    for row in calibration.table.sort_values("p_value", ascending=False).itertuples():
        color = COLORS[row.kind] if row.passes else style.VERMILION
        of_quantity = calibration.ranks.loc[(row.quantity, row.kind)].to_numpy()
        counts = np.bincount(of_quantity, minlength=len(at) + 1)
        share = np.cumsum(counts)[:-1] / len(of_quantity)
        axes.plot(at, share - at, color=color, lw=0.5, alpha=0.8)
    axes.set_title(f"{job.model.name}: {job.study.id}", fontsize=style.SMALL)
    axes.axhline(0, color=style.GREY, lw=0.4)
    axes.set_xlabel("rank of the truth, as a share of all")
    axes.set_ylabel("share of ranks up to it,\nless that of uniform ranks")
    kinds = set(calibration.table.kind)
    shown = {kind: color for kind, color in COLORS.items() if kind in kinds}
    if not calibration.passes:
        shown["fails"] = style.VERMILION
    handles = [Line2D([], [], color=color, label=kind) for kind, color in shown.items()]
    band = Patch(color=style.PALE, label=f"{1 - FAMILY_WISE:.0%} band")
    style.legend_below(figure, [*handles, band], ncols=3)
    return figure


def write_ranks(calibration: Calibration, folder: Path) -> None:
    """Write the figure of a calibration, named by model and study, into a folder.

    Parameters
    ----------
    calibration
        The calibration.
    folder
        An existing folder.
    """
    job = calibration.job
    name = f"{job.model.name}--{job.study.id}.png".replace(":", "-")
    with style.off_screen():
        style.save(ranks(calibration), folder / name)
