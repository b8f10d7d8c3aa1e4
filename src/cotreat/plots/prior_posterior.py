"""Prior and posterior of the parameters (ArviZ)."""

import arviz as az
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cotreat.plots import View
from cotreat.plots.parameters import labeller, note, sampled, scalars, variables
from cotreat.plots.style import BLUE, VERMILION

MOST = 24  # ArviZ refuses more than 40 panels, and paper more than this
COLUMNS = 4
TITLE = 27
LOOK = {"prior": (VERMILION, "--"), "posterior": (BLUE, "-")}


def draw(view: View) -> Figure:
    """Draw for each parameter its density before and after the data."""
    data = sampled(view, MOST)
    rows = -(-len(data) // COLUMNS)
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
        figure_kwargs={"figsize": (7, 0.6 + 1.4 * rows), "layout": "constrained"},
    )
    figure = plot.viz["figure"].item()
    # ArviZ documents visuals["legend"] but 1.3 refuses it; its legend takes a panel's width.
    for legend in figure.legends:
        legend.remove()
    figure.legend(handles=_legend(), loc="outside lower center", ncols=2)
    for axes in figure.axes:
        axes.locator_params(axis="x", nbins=4)
    note(figure, view, data)
    return figure


def _legend() -> list[Line2D]:
    return [Line2D([], [], color=c, ls=style, label=name) for name, (c, style) in LOOK.items()]
