"""Parameters against each other (ArviZ)."""

from collections.abc import Iterable

import arviz as az
from matplotlib.figure import Figure

from cotreat.plots import View
from cotreat.plots.parameters import labeller, note, sampled, thinned

MOST = 6  # plot_pair refuses more than 40 panels


def draw(view: View) -> Figure:
    """Draw each two parameters, with divergent draws."""
    data = sampled(view, MOST)
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
        figure_kwargs={"figsize": (size, size), "layout": "constrained"},
    )
    figure = plot.viz["figure"].item()
    _tidy(figure, len(data))
    note(figure, view, data)
    return figure


def _tidy(figure: Figure, count: int) -> None:
    """Fit texts to small panels; densities need no scale."""
    for at, axes in enumerate(figure.axes):
        axes.set_xlabel(axes.get_xlabel(), fontsize=7)
        axes.set_ylabel(axes.get_ylabel(), fontsize=7)
        axes.locator_params(nbins=2)
        axes.set_xticks(_ends(axes.get_xticks(), *axes.get_xlim()))
        axes.tick_params(labelsize=6.5)
        if at % (count + 1) == 0:
            axes.set_yticks([])


def _ends(ticks: Iterable[float], lower: float, upper: float) -> list[float]:
    """Return the first and the last tick within the limits: three do not fit side by side."""
    inside = [tick for tick in ticks if lower <= tick <= upper]
    return inside if len(inside) < 3 else [inside[0], inside[-1]]
