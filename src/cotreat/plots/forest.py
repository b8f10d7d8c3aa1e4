"""Coefficients on the log-odds scale (ArviZ)."""

import arviz as az
import xarray as xr
from matplotlib.figure import Figure

from cotreat.core.constants import INTERVAL
from cotreat.plots import View
from cotreat.plots.parameters import labeller, note, scalars
from cotreat.plots.style import GREY


def draw(view: View) -> Figure:
    """Draw effects and products, or the regimens' log-odds where a model has no effects; covariates too."""
    variables = (*(("beta", "gamma") if view.model.has_structure else ("eta",)), "delta")
    data = scalars(view, [v for v in variables if v in view.tree["posterior"]])
    plot = az.plot_forest(
        xr.DataTree.from_dict({"posterior": data}),
        combined=True,
        point_estimate="median",
        ci_kind="eti",
        ci_probs=(0.5, INTERVAL),
        labeller=labeller(view, data),
        backend="matplotlib",
        visuals={"ticklabels": False, "labels": {"size": 8}},
        figure_kwargs={
            "figsize": (7, 0.6 + 0.36 * len(data)),
            "layout": "constrained",
            "width_ratios": [1, 1.6],
        },
    )
    figure = plot.viz["figure"].item()
    names, forest = figure.axes
    names.set_axis_off()
    forest.set_ylim(-0.6, len(data) - 0.4)
    forest.set_xlabel("log-odds")
    if view.model.has_structure:
        forest.set_xlabel("log ratio; 0 means no effect, or no interaction")
        forest.axvline(0, color=GREY, lw=0.6, zorder=0)
    note(figure, view, data)
    return figure
