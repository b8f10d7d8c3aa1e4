"""Influence of each cell of patients: Pareto k of leaving it out (ArviZ)."""

from types import SimpleNamespace
from typing import Any

import arviz as az
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cotreat.influence import GROUP, unit
from cotreat.plots import View
from cotreat.plots.canvas import BLUE, GREY, SMALL, VERMILION
from cotreat.plots.words import fold, key, regimen_name

NAME_WIDTH = 18
UPRIGHT = 5  # more names than this stand askew, as ids


def draw(view: View) -> Figure | None:
    """Draw Pareto k by cell, the cells by regimen; None where none was worked out."""
    cells = view.study.cells
    if cells is None or GROUP not in view.tree.children:
        return None
    found = view.tree[GROUP].to_dataset()
    regimens = np.array(cells.regimens)
    labels = [label for label in view.study.counted if (regimens == label).any()]
    order = np.concatenate([np.flatnonzero(regimens == label) for label in labels])
    k, good = found["pareto_k"].isel(cell=order), float(found.attrs["good_k"])
    figure, axes = plot(k, good)
    axes.set_ylabel("Pareto k")
    axes.set_xlabel(f"{unit(cells)} left out, by regimen")
    _mark(axes, k.values, good, unit(cells))
    ends = np.cumsum([(regimens == label).sum() for label in labels])
    _label(figure, axes, view, labels, ends)
    return figure


def plot(k: xr.DataArray, good: float) -> tuple[Figure, Axes]:
    """Draw ArviZ's picture, whose cells go by number."""
    plot = az.plot_khat(
        SimpleNamespace(pareto_k=k, good_k=good),
        backend="matplotlib",
        visuals={
            "khat": {"color": BLUE, "size": 5, "marker": "o"},
            "xlabel": False,
            "ylabel": False,
            "legend": False,
        },
        figure_kwargs={"figsize": (6.5, 2.8), "layout": "constrained"},
    )
    figure = plot.viz["figure"].item()
    (axes,) = figure.axes
    return figure, axes


def _mark(axes: Axes, k: NDArray[np.float64], good: float, name: str) -> None:
    """Mark what k may be, and the cells beyond it."""
    axes.axhline(good, color=VERMILION, lw=0.8, ls="--")
    beyond = np.flatnonzero(k > good)
    axes.plot(beyond, k[beyond], ls="", marker="D", ms=4.5, color=VERMILION)
    axes.set_ylim(min(-0.1, k.min() - 0.05), max(good, k.max()) + 0.1)
    axes.set_xlim(-0.02 * len(k), 1.02 * len(k))
    several = name if len(beyond) == 1 else f"{name}s"
    axes.set_title(
        f"{len(beyond):,} of {len(k):,} {several} above {good:.2g}, where the posterior leans on single ones",
        loc="left",
        fontsize=SMALL,
    )


def _label(
    figure: Figure, axes: Axes, view: View, labels: list[str], ends: NDArray[np.int64]
) -> None:
    """Write the regimens under their cells, between thin lines."""
    upright = len(labels) <= UPRIGHT
    names = [regimen_name(view.study, label) if upright else label for label in labels]
    starts = np.r_[0, ends[:-1]]
    for end in ends[:-1]:
        axes.axvline(end - 0.5, color=GREY, lw=0.4)
    askew: dict[str, Any] = (
        {} if upright else {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    )
    axes.set_xticks((starts + ends - 1) / 2, [fold(name, NAME_WIDTH) for name in names], **askew)
    axes.tick_params(axis="x", length=0)
    explained = key(view.study, names)
    if explained:
        figure.legend(handles=[], title=explained, loc="outside lower center")
