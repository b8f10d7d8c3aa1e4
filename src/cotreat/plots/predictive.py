"""Figure of a fit: posterior predictive check of the events per counted regimen (ArviZ)."""

from typing import Any

import xarray as xr
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cotreat.core.constants import INTERVAL
from cotreat.plots.labels import event, fold, key, regimen_name
from cotreat.plots.records import View
from cotreat.plots.registry import FIT, figure_of
from cotreat.plots.style import BLUE, VERMILION, legend_below
from cotreat.study.study import Study

NAME_WIDTH = 18
UPRIGHT = 6  # more names than this are rotated


@figure_of(
    FIT,
    order=13,
    caption="A count far outside its interval is not reproduced by the model. Bars are the events "
    "that the fitted model predicts per counted regimen (50% and 95% intervals), diamonds the "
    "events counted. About one diamond in twenty is expected outside its 95% interval by "
    "chance.",
    alt="Vertical intervals, one per counted regimen, with a thick 50% and a pale 95% part, and a "
    "diamond at the number of events counted.",
)
def predictive(view: View) -> Figure | None:
    """Draw predicted and counted events; None where no regimen is counted."""
    if not view.study.counted:
        return None
    figure = plot(view.draws, view.study)
    _label(figure, view)
    return figure


def plot(tree: xr.DataTree, study: Study) -> Figure:
    """Draw the intervals by ArviZ, which numbers its rows."""
    import arviz as az

    again = tree["posterior_predictive"].to_dataset()[["events"]]
    # With individual patient data the observed data of the model are by covariate pattern.
    counted = xr.Dataset({"events": ("counted", study.events)}, {"counted": again["counted"]})
    longest = max(map(len, study.counted)) if len(study.counted) > UPRIGHT else 0
    plot = az.plot_ppc_interval(
        xr.DataTree.from_dict({"posterior_predictive": again, "observed_data": counted}),
        point_estimate="median",
        ci_kind="eti",
        ci_probs=(0.5, INTERVAL),
        backend="matplotlib",
        visuals={
            "prediction_markers": False,
            "observed_markers": {"marker": "D", "color": VERMILION, "size": 22},
            "xlabel": False,
        },
        figure_kwargs={"figsize": (6.5, 2.6 + 0.04 * longest), "layout": "constrained"},
    )
    return plot.viz["figure"].item()


def _label(figure: Figure, view: View) -> None:
    """Write regimens instead of the row numbers of ArviZ, and add a legend."""
    (axes,) = figure.axes
    counted = view.study.counted
    upright = len(counted) <= UPRIGHT
    names = [regimen_name(view.study, r) if upright else r for r in counted]
    labels = [fold(name, NAME_WIDTH) if upright else name for name in names]
    rotated: dict[str, Any] = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(len(counted)), labels, **({} if upright else rotated))
    axes.set_xlim(-0.5, len(counted) - 0.5)
    axes.set_ylabel(fold(f"events\n{event(view.study)}", 30))
    title = key(view.study, names)
    legend_below(figure, _legend(), [title], ncols=3)


def _legend() -> list[Line2D]:
    return [
        Line2D([], [], color=BLUE, lw=3, label="predicted, central 50%"),
        Line2D([], [], color=BLUE, lw=3, alpha=0.5, label=f"predicted, central {INTERVAL:.0%}"),
        Line2D([], [], color=VERMILION, marker="D", ls="", ms=4.5, label="counted"),
    ]
