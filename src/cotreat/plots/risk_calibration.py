"""Figure of a fit: share of patients with the event against predicted risk, in groups."""

from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cotreat.core.constants import INTERVAL
from cotreat.diagnostics.risk_calibration import Calibration, calibration_of
from cotreat.plots.labels import event, fold
from cotreat.plots.records import View
from cotreat.plots.registry import FIT, figure_of
from cotreat.plots.style import BLUE, GREY, SMALL, VERMILION, legend_below, percent_axis

LABEL_WIDTH = 44
PREDICTED = f"predicted, central {INTERVAL:.0%}"
LOOKS: dict[str, dict[str, Any]] = {
    PREDICTED: {"color": BLUE, "lw": 2.5, "alpha": 0.5},
    "counted": {"color": VERMILION, "marker": "D", "ls": "", "ms": 4.5},
    "equal": {"color": GREY, "lw": 0.8, "ls": "--"},
}


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
    """Draw groups of patients.

    Parameters
    ----------
    view : View
        The fit and its summary.

    Returns
    -------
    Figure or None
        None without covariates.
    """
    patterns = view.study.patterns
    if patterns is None or not view.study.is_adjusted:
        return None
    calibration = calibration_of(view.draws, patterns)
    groups = calibration.groups
    figure = Figure(figsize=(5.2, 4.0), layout="constrained")
    axes = figure.subplots()
    ends = groups[["predicted", "observed", "lower", "upper"]].to_numpy()
    limits = max(0.0, ends.min() - 0.03), min(1.0, ends.max() + 0.03)
    axes.plot(limits, limits, zorder=1, **LOOKS["equal"])
    axes.vlines(groups.predicted, groups.lower, groups.upper, **LOOKS[PREDICTED])
    axes.plot(groups.predicted, groups.observed, **LOOKS["counted"])
    axes.set(xlim=limits, ylim=limits, ylabel="share of patients with the event")
    axes.set_xlabel(fold(f"predicted risk of {event(view.study)}", LABEL_WIDTH))
    axes.set_title(sentence(calibration), loc="left", fontsize=SMALL)
    for axis in (axes.xaxis, axes.yaxis):
        percent_axis(axis, most=6)
    handles = [Line2D([], [], label=label, **look) for label, look in LOOKS.items()]
    legend_below(figure, handles, ncols=3)
    return figure


def sentence(calibration: Calibration) -> str:
    """Return sizes of the groups, calibration and p-value in two lines.

    Parameters
    ----------
    calibration
        Calibration of the predicted risks.

    Returns
    -------
    str
    """
    least, most = calibration.groups.patients.min(), calibration.groups.patients.max()
    sizes = f"{least:,}" if least == most else f"{least:,} to {most:,}"
    p = f"= {calibration.share:.2f}" if calibration.share >= 0.005 else "< 0.005"
    return (
        f"{len(calibration.groups)} groups of {sizes} patients, the same that the model was fitted to\n"
        f"calibration {calibration}; posterior predictive p {p}"
    )
