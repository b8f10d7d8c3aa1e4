"""Figure of a fit: share of patients with the event against predicted risk, in groups."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cotreat.core.constants import INTERVAL
from cotreat.diagnostics.risk_calibration import Calibration, calibration_of
from cotreat.plots.labels import event, fold
from cotreat.plots.records import View
from cotreat.plots.registry import FIT, figure_of
from cotreat.plots.style import BLUE, GREY, SMALL, VERMILION, legend_below, percent_axis

LABEL_WIDTH = 44


@figure_of(
    FIT,
    order=14,
    caption="Predicted risks are well calibrated where the diamonds follow the dashed line. Patients "
    "are grouped by quantile of predicted risk: diamonds are the shares of patients with the "
    "event, bars the 95% posterior predictive intervals. A calibration slope below 1 means "
    "that predictions are too extreme. The model was fitted to these patients; calibration in "
    "new patients would be worse.",
    alt="One panel with predicted risk on the horizontal and the share of patients with the event "
    "on the vertical axis: a dashed diagonal, and per group of patients a vertical bar and a "
    "diamond. Two lines of text above give the sizes of the groups, the calibration in the "
    "large, the slope, and a posterior predictive p-value.",
)
def risk_calibration(view: View) -> Figure | None:
    """Draw groups of patients; None without covariates."""
    patterns = view.study.patterns
    if patterns is None or not view.study.is_adjusted:
        return None
    found = calibration_of(view.draws, patterns)
    figure = Figure(figsize=(5.2, 4.0), layout="constrained")
    axes = figure.subplots()
    _draw_groups(axes, found)
    axes.set_xlabel(fold(f"predicted risk of {event(view.study)}", LABEL_WIDTH))
    axes.set_ylabel("share of patients with the event")
    legend_below(figure, _legend(), ncols=3)
    return figure


def _draw_groups(axes: Axes, found: Calibration) -> None:
    groups = found.groups
    ends = groups[["predicted", "observed", "lower", "upper"]].to_numpy()
    lowest, highest = max(0.0, ends.min() - 0.03), min(1.0, ends.max() + 0.03)
    axes.plot([lowest, highest], [lowest, highest], color=GREY, lw=0.8, ls="--", zorder=1)
    axes.vlines(groups.predicted, groups.lower, groups.upper, color=BLUE, lw=2.5, alpha=0.5)
    axes.plot(groups.predicted, groups.observed, ls="", marker="D", ms=4.5, color=VERMILION)
    axes.set_xlim(lowest, highest)
    axes.set_ylim(lowest, highest)
    axes.set_title(words(found), loc="left", fontsize=SMALL)
    for axis in (axes.xaxis, axes.yaxis):
        percent_axis(axis, most=6)


def words(found: Calibration) -> str:
    """Return sizes of the groups, calibration and p-value in two lines."""
    least, most = found.groups.patients.min(), found.groups.patients.max()
    sizes = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    p = f"= {found.share:.2f}" if found.share >= 0.005 else "< 0.005"
    return (
        f"{len(found.groups)} groups of {sizes} patients, the same that the model was fitted to\n"
        f"calibration {found}; posterior predictive p {p}"
    )


def _legend() -> list[Line2D]:
    return [
        Line2D([], [], color=BLUE, lw=2.5, alpha=0.5, label=f"predicted, central {INTERVAL:.0%}"),
        Line2D([], [], color=VERMILION, marker="D", ls="", ms=4.5, label="counted"),
        Line2D([], [], color=GREY, lw=0.8, ls="--", label="equal"),
    ]
