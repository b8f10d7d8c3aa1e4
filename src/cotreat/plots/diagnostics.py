"""Figures of a fit by ArviZ: its parameters and the diagnostics of the sampler."""

from typing import Any

import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cotreat.plots import parameters
from cotreat.plots.records import View
from cotreat.plots.registry import FIT, figure_of
from cotreat.plots.style import BLUE, GREY, SMALL, VERMILION, legend_below

MOST = {"trace": 8, "rank": 12, "pair": 6, "prior_posterior": 24}
"""Parameters of a figure at most; ArviZ refuses more than 40 panels."""
COLUMNS = 4
TITLE = 27
"""Letters of a line of a small panel's title."""
BY_CHAIN = {"color": ["chain"], "linestyle": ["chain"], "overlay": ["chain"]}
LOOK = {"prior": (VERMILION, "--"), "posterior": (BLUE, "-")}


@figure_of(
    FIT,
    order=17,
    caption="Chains that agree lie on top of each other, and their traces look like noise around one "
    "level. Left: marginal density per chain; right: draws in their order, with ticks on the "
    "axis at divergent draws. Under sequential Monte Carlo a chain is an independent run, and "
    "under Laplace's approximation a part of the weighted draws; their draws have no order.",
    alt="One row per parameter. The left panel overlays one density curve per chain in different "
    "colours and line styles, the right panel the draws of the chains against their number.",
)
def trace(view: View) -> Figure:
    """Draw density per chain and draws in their order.

    Parameters
    ----------
    view : View
        The fit and its summary.

    Returns
    -------
    Figure
    """
    data = parameters.sampled(view, MOST["trace"])
    figure = _draw(
        "plot_trace_dist",
        view,
        data,
        parameters.thinned(view, data),
        (7, 0.7 + 1.1 * len(data)),
        labeller=parameters.labeller(view, data, between=": ", width=55),
        compact=False,
        kind="kde",
        aes=BY_CHAIN,
        aes_by_visuals={"dist": ["color", "linestyle"], "trace": ["color"]},
        visuals={"trace": {"width": 0.4, "alpha": 0.8}},
    )
    # Each row is named above its density, and axis labels stand below the last row.
    for density, draws in zip(figure.axes[::2], figure.axes[1::2], strict=True):
        density.set_title(density.get_xlabel(), loc="left")
        density.set_xlabel("")
        density.set_ylim(bottom=0)
        draws.set(xlabel="", ylabel="")
        draws.tick_params(axis="x", labelbottom=draws is figure.axes[-1])
    figure.axes[-2].set_xlabel("value")
    figure.axes[-1].set_xlabel("draw")
    parameters.chain_key(figure, data)
    return figure


@figure_of(
    FIT,
    order=18,
    caption="Chains that mix well stay near 0. Each curve is the rank distribution of one chain less "
    "a uniform one; p is the test that the ranks are uniform, and black dots mark where they "
    "are not.",
    alt="One small panel per parameter with one jagged curve per chain around a level of 0, and a "
    "p-value in the corner.",
)
def rank(view: View) -> Figure:
    """Draw the departure of each chain's ranks from uniform ones.

    Parameters
    ----------
    view : View
        The fit and its summary.

    Returns
    -------
    Figure
    """
    data = parameters.sampled(view, MOST["rank"])
    figure = _draw(
        "plot_rank",
        view,
        data,
        parameters.evenly_thinned(data),
        (7, 0.8 + 1.6 * _rows(data)),
        sharey=True,
        col_wrap=COLUMNS,
        aes=BY_CHAIN,
        visuals={"title": {"size": 7.5}, "xlabel": False, "remove_axis": False},
    )
    for axes in figure.axes[: len(data)]:
        axes.tick_params(labelbottom=True)  # the last row may be too short for all columns
        axes.axhline(0, color=GREY, lw=0.6, zorder=0)
        for text in axes.texts:  # plot_rank has no option for the size of the p-value
            text.set_fontsize(SMALL)
    figure.supylabel("departure from uniform", fontsize=8)
    # Not as supxlabel: the layout would put it onto the legend.
    parameters.chain_key(figure, data, "rank of a draw among all chains' draws, as a fraction")
    return figure


@figure_of(
    FIT,
    order=20,
    caption="Parameters with narrow, tilted or curved clouds are hard to separate from this evidence. "
    "Each panel shows the posterior draws of two parameters, with marginal densities on the "
    "diagonal; divergent draws, if any, are orange crosses, and a cluster of them marks a "
    "region that the sampler could not explore.",
    alt="Lower triangle of scatter plots, one per pair of parameters, with density curves on the "
    "diagonal.",
)
def pair(view: View) -> Figure:
    """Draw each pair of parameters, with divergent draws.

    Parameters
    ----------
    view : View
        The fit and its summary.

    Returns
    -------
    Figure
    """
    data = parameters.sampled(view, MOST["pair"])
    size = 0.6 + 1.2 * len(data)
    divergence = {"color": "C1", "marker": "x", "size": 14, "alpha": 1}
    figure = _draw(
        "plot_pair",
        view,
        data,
        parameters.thinned(view, data),
        (size, size),
        labeller=parameters.labeller(view, data, width=17),
        marginal_kind="kde",
        visuals={"scatter": {"alpha": 0.15, "size": 4}, "divergence": divergence},
    )
    for at, axes in enumerate(figure.axes):
        axes.set_xlabel(axes.get_xlabel(), fontsize=7)
        axes.set_ylabel(axes.get_ylabel(), fontsize=7)
        axes.locator_params(nbins=2)
        lower, upper = axes.get_xlim()
        inside = [tick for tick in axes.get_xticks() if lower <= tick <= upper]
        # Three do not fit side by side.
        axes.set_xticks(inside if len(inside) < 3 else [inside[0], inside[-1]])
        axes.tick_params(labelsize=6.5)
        if at % (len(data) + 1) == 0:  # a density needs no scale
            axes.set_yticks([])
    return figure


@figure_of(
    FIT,
    order=12,
    caption="Where the prior (dashed) and the posterior (solid) density coincide, the evidence adds "
    "little information about the parameter.",
    alt="One small panel per parameter with two density curves, a dashed one for the prior and a "
    "solid one for the posterior.",
)
def prior_posterior(view: View) -> Figure:
    """Draw prior and posterior density per parameter.

    Parameters
    ----------
    view : View
        The fit and its summary.

    Returns
    -------
    Figure
    """
    data = parameters.sampled(view, MOST["prior_posterior"])
    prior = parameters.scalars(view, parameters.variables(view), "prior")[list(data)]
    figure = _draw(
        "plot_prior_posterior",
        view,
        data,
        xr.DataTree.from_dict({"prior": prior, "posterior": data}),
        (7, 0.6 + 1.4 * _rows(data)),
        kind="kde",
        col_wrap=COLUMNS,
        aes={"color": ["group"], "linestyle": ["group"]},
        color=[color for color, _ in LOOK.values()],
        linestyle=[style for _, style in LOOK.values()],
        visuals={"title": {"size": 7.5}},
    )
    # ArviZ documents visuals["legend"] but 1.3 refuses it; its legend takes a panel's width.
    for legend in figure.legends:
        legend.remove()
    handles = [Line2D([], [], color=c, ls=style, label=name) for name, (c, style) in LOOK.items()]
    legend_below(figure, handles)
    for axes in figure.axes:
        axes.locator_params(axis="x", nbins=4)
    return figure


def _rows(data: xr.Dataset) -> int:
    return -(-len(data) // COLUMNS)


def _draw(
    function: str,
    view: View,
    data: xr.Dataset,
    draws: xr.DataTree,
    size: tuple[float, float],
    *,
    labeller: Any = None,
    sharey: bool = False,
    **settings: Any,
) -> Figure:
    """Draw parameters by a function of ArviZ, with their names in words and their ids explained."""
    import arviz as az

    plot = getattr(az, function)(
        draws,
        labeller=labeller or parameters.labeller(view, data, width=TITLE),
        backend="matplotlib",
        figure_kwargs={"figsize": size, "layout": "constrained", "sharey": sharey},
        **settings,
    )
    figure: Figure = plot.viz["figure"].item()
    parameters.note(figure, view, data)
    return figure
