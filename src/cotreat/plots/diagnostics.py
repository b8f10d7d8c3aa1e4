"""Figures of parameters and of the sampler by ArviZ: traces, ranks, pairs, energy, forest, prior and posterior."""

from collections.abc import Iterable
from typing import Any

import arviz as az
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from cotreat.core.constants import INTERVAL
from cotreat.diagnostics.checks import BFMI
from cotreat.plots import View
from cotreat.plots.parameters import (
    chain_key,
    evenly_thinned,
    labeller,
    note,
    sampled,
    scalars,
    thinned,
    variables,
)
from cotreat.plots.style import BLUE, GREY, SMALL, VERMILION

MOST = {"trace": 8, "rank": 12, "pair": 6, "prior_posterior": 24}
"""Parameters of a figure at most; ArviZ refuses more than 40 panels."""
COLUMNS = 4
TITLE = 27
"""Letters of a line of a small panel's title."""
BY_CHAIN = {"color": ["chain"], "linestyle": ["chain"], "overlay": ["chain"]}
LOOK = {"prior": (VERMILION, "--"), "posterior": (BLUE, "-")}


def trace(view: View) -> Figure:
    """Draw the sampled parameters: density by chain, and draws in their order."""
    data = sampled(view, MOST["trace"])
    plot = az.plot_trace_dist(
        thinned(view, data),
        compact=False,
        kind="kde",
        labeller=labeller(view, data, between=": ", width=55),
        backend="matplotlib",
        aes=BY_CHAIN,
        aes_by_visuals={"dist": ["color", "linestyle"], "trace": ["color"]},
        visuals={"trace": {"width": 0.4, "alpha": 0.8}},
        figure_kwargs=_sized(7, 0.7 + 1.1 * len(data)),
    )
    figure = _noted(plot, view, data)
    # Each row is named above its density, and what holds for every row is said once.
    for density, draws in zip(figure.axes[::2], figure.axes[1::2], strict=True):
        density.set_title(density.get_xlabel(), loc="left")
        density.set_xlabel("")
        density.set_ylim(bottom=0)
        draws.set(xlabel="", ylabel="")
        draws.tick_params(axis="x", labelbottom=draws is figure.axes[-1])
    figure.axes[-2].set_xlabel("value")
    figure.axes[-1].set_xlabel("draw")
    chain_key(figure, figure.axes[0].get_lines(), data["chain"].values)
    return figure


def rank(view: View) -> Figure:
    """Draw for each parameter how the ranks of each chain depart from uniform."""
    data = sampled(view, MOST["rank"])
    plot = az.plot_rank(
        evenly_thinned(data),
        col_wrap=COLUMNS,
        labeller=labeller(view, data, width=TITLE),
        backend="matplotlib",
        aes=BY_CHAIN,
        visuals={"title": {"size": 7.5}, "xlabel": False, "remove_axis": False},
        figure_kwargs=_sized(7, 0.8 + 1.6 * _rows(data), sharey=True),
    )
    figure = _noted(plot, view, data)
    for axes in figure.axes[: len(data)]:
        axes.tick_params(labelbottom=True)  # the last row may be too short to say it for all
        axes.axhline(0, color=GREY, lw=0.6, zorder=0)
        for text in axes.texts:  # "p=0.66(α=0.01)"; plot_rank offers no way to word it
            p = text.get_text().partition("(")[0]
            text.update({"text": "p<0.01" if p == "p=0.00" else p, "fontsize": SMALL})
    figure.supylabel("departure from uniform", fontsize=8)
    # Not as supxlabel: the layout would put it onto the legend.
    title = "rank of a draw among all chains' draws, as a fraction"
    chain_key(figure, figure.axes[0].get_lines(), data["chain"].values, title)
    return figure


def pair(view: View) -> Figure:
    """Draw each two parameters, with divergent draws."""
    data = sampled(view, MOST["pair"])
    size = 0.6 + 1.2 * len(data)
    plot = az.plot_pair(
        thinned(view, data),
        marginal_kind="kde",
        labeller=labeller(view, data, width=17),
        backend="matplotlib",
        visuals={
            "scatter": {"alpha": 0.15, "size": 4},
            "divergence": {"color": "C1", "marker": "x", "size": 14, "alpha": 1},
        },
        figure_kwargs=_sized(size, size),
    )
    figure = _noted(plot, view, data)
    for at, axes in enumerate(figure.axes):
        axes.set_xlabel(axes.get_xlabel(), fontsize=7)
        axes.set_ylabel(axes.get_ylabel(), fontsize=7)
        axes.locator_params(nbins=2)
        axes.set_xticks(_ends(axes.get_xticks(), *axes.get_xlim()))
        axes.tick_params(labelsize=6.5)
        if at % (len(data) + 1) == 0:  # a density needs no scale
            axes.set_yticks([])
    return figure


def _ends(ticks: Iterable[float], lower: float, upper: float) -> list[float]:
    """Return the first and the last tick within the limits: three do not fit side by side."""
    inside = [tick for tick in ticks if lower <= tick <= upper]
    return inside if len(inside) < 3 else [inside[0], inside[-1]]


def energy(view: View) -> Figure | None:
    """Draw BFMI by chain, and the energies whose ratio it is; None for a sampler without energy."""
    if "energy" not in view.tree["sample_stats"]:
        return None
    plot = az.plot_energy(
        view.tree,
        kind="kde",
        threshold=BFMI,
        backend="matplotlib",
        aes={"color": ["energy"], "linestyle": ["energy"]},
        visuals={"title": False, "legend": False},
        figure_kwargs=_sized(6.5, 2.2, width_ratios=[1, 2]),
    )
    figure: Figure = plot.viz["figure"].item()
    bfmi, energies = figure.axes
    bfmi.set_xlim(left=0)
    bfmi.yaxis.set_major_locator(MaxNLocator(integer=True))
    bfmi.set(xlabel="BFMI", ylabel="chain")
    energies.set_xlabel("energy about its mean (marginal), and its change (transition)")
    energies.set_ylim(bottom=0)
    energies.legend(energies.get_lines(), ["marginal", "transition"], loc="upper right")
    return figure


def forest(view: View) -> Figure:
    """Draw effects and products, or the regimens' log-odds where a model has no effects; covariates too."""
    names = (*(("beta", "gamma") if view.model.has_structure else ("eta",)), "delta")
    data = scalars(view, [name for name in names if name in view.tree["posterior"]])
    plot = az.plot_forest(
        xr.DataTree.from_dict({"posterior": data}),
        combined=True,
        point_estimate="median",
        ci_kind="eti",
        ci_probs=(0.5, INTERVAL),
        labeller=labeller(view, data),
        backend="matplotlib",
        visuals={"ticklabels": False, "labels": {"size": 8}},
        figure_kwargs=_sized(7, 0.6 + 0.36 * len(data), width_ratios=[1, 1.6]),
    )
    figure = _noted(plot, view, data)
    labels, intervals = figure.axes
    labels.set_axis_off()
    intervals.set_ylim(-0.6, len(data) - 0.4)
    intervals.set_xlabel("log-odds")
    if view.model.has_structure:
        intervals.set_xlabel("log ratio; 0 means no effect, or no interaction")
        intervals.axvline(0, color=GREY, lw=0.6, zorder=0)
    return figure


def prior_posterior(view: View) -> Figure:
    """Draw for each parameter its density before and after the data."""
    data = sampled(view, MOST["prior_posterior"])
    prior = scalars(view, variables(view), "prior")[list(data)]
    plot = az.plot_prior_posterior(
        xr.DataTree.from_dict({"prior": prior, "posterior": data}),
        kind="kde",
        col_wrap=COLUMNS,
        labeller=labeller(view, data, width=TITLE),
        backend="matplotlib",
        aes={"color": ["group"], "linestyle": ["group"]},
        color=[color for color, _ in LOOK.values()],
        linestyle=[style for _, style in LOOK.values()],
        visuals={"title": {"size": 7.5}},
        figure_kwargs=_sized(7, 0.6 + 1.4 * _rows(data)),
    )
    figure = _noted(plot, view, data)
    # ArviZ documents visuals["legend"] but 1.3 refuses it; its legend takes a panel's width.
    for legend in figure.legends:
        legend.remove()
    handles = [Line2D([], [], color=c, ls=style, label=name) for name, (c, style) in LOOK.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    for axes in figure.axes:
        axes.locator_params(axis="x", nbins=4)
    return figure


def _sized(width: float, height: float, **more: Any) -> dict[str, Any]:
    return {"figsize": (width, height), "layout": "constrained", **more}


def _rows(data: xr.Dataset) -> int:
    return -(-len(data) // COLUMNS)


def _noted(plot: Any, view: View, data: xr.Dataset) -> Figure:
    """Return the figure of an ArviZ plot, with a note of what its ids mean."""
    figure: Figure = plot.viz["figure"].item()
    note(figure, view, data)
    return figure
