"""Densities by chain and traces (ArviZ)."""

import arviz as az
from matplotlib.figure import Figure

from cotreat.plots import View
from cotreat.plots.parameters import chain_key, labeller, note, sampled, thinned

MOST = 8


def draw(view: View) -> Figure:
    """Draw the sampled parameters: density by chain, and draws in their order."""
    data = sampled(view, MOST)
    plot = az.plot_trace_dist(
        thinned(view, data),
        compact=False,
        kind="kde",
        labeller=labeller(view, data, between=": ", width=55),
        backend="matplotlib",
        aes={"color": ["chain"], "linestyle": ["chain"], "overlay": ["chain"]},
        aes_by_visuals={"dist": ["color", "linestyle"], "trace": ["color"]},
        visuals={"trace": {"width": 0.4, "alpha": 0.8}},
        figure_kwargs={"figsize": (7, 0.7 + 1.1 * len(data)), "layout": "constrained"},
    )
    figure = plot.viz["figure"].item()
    _tidy(figure)
    chain_key(figure, figure.axes[0].get_lines(), data["chain"].values)
    note(figure, view, data)
    return figure


def _tidy(figure: Figure) -> None:
    """Name each row above its density, and say once what holds for every row."""
    for density, trace in zip(figure.axes[::2], figure.axes[1::2], strict=True):
        density.set_title(density.get_xlabel(), loc="left")
        density.set_xlabel("")
        density.set_ylim(bottom=0)
        trace.set_ylabel("")
        trace.set_xlabel("")
        trace.tick_params(axis="x", labelbottom=trace is figure.axes[-1])
    figure.axes[-2].set_xlabel("value")
    figure.axes[-1].set_xlabel("draw")
