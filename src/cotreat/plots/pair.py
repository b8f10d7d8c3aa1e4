"""Parameters against each other (ArviZ)."""

import arviz as az
from matplotlib.figure import Figure

from cotreat.plots import View
from cotreat.plots.parameters import labeller, note_count, sampled, thinned
from cotreat.plots.words import fold

MOST = 6  # plot_pair refuses more than 40 panels


def draw(view: View) -> Figure:
    """Draw each two parameters, with divergent draws."""
    data = sampled(view, MOST)
    size = 0.6 + 1.2 * len(data)
    plot = az.plot_pair(
        thinned(view, data),
        marginal_kind="kde",
        labeller=labeller(view, data),
        backend="matplotlib",
        visuals={
            "scatter": {"alpha": 0.15, "size": 4},
            "divergence": {"color": "C1", "marker": "x", "size": 14, "alpha": 1},
        },
        figure_kwargs={"figsize": (size, size), "layout": "constrained"},
    )
    figure = plot.viz["figure"].item()
    _tidy(figure, len(data))
    note_count(figure, view, data)
    return figure


def _tidy(figure: Figure, count: int) -> None:
    """Break the names into lines that a small panel holds; densities need no scale."""
    for at, axes in enumerate(figure.axes):
        axes.set_xlabel(fold(axes.get_xlabel(), 17), fontsize=7)
        axes.set_ylabel(fold(axes.get_ylabel(), 17), fontsize=7)
        axes.locator_params(nbins=2)
        axes.tick_params(labelsize=6.5)
        if at % (count + 1) == 0:
            axes.set_yticks([])
