"""Ranks of the draws by chain (ArviZ)."""

import arviz as az
from matplotlib.figure import Figure

from cotreat.plots import View
from cotreat.plots.parameters import chain_key, evenly_thinned, labeller, note, sampled
from cotreat.plots.style import GREY, SMALL

MOST = 12
COLUMNS = 4
TITLE = 27


def draw(view: View) -> Figure:
    """Draw for each parameter how the ranks of each chain depart from uniform."""
    data = sampled(view, MOST)
    rows = -(-len(data) // COLUMNS)
    plot = az.plot_rank(
        evenly_thinned(data),
        col_wrap=COLUMNS,
        labeller=labeller(view, data, width=TITLE),
        backend="matplotlib",
        aes={"color": ["chain"], "linestyle": ["chain"], "overlay": ["chain"]},
        visuals={
            "title": {"size": 7.5},
            "xlabel": False,
            "remove_axis": False,
        },
        figure_kwargs={
            "figsize": (7, 0.8 + 1.6 * rows),
            "layout": "constrained",
            "sharey": True,
        },
    )
    figure = plot.viz["figure"].item()
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
    note(figure, view, data)
    return figure
