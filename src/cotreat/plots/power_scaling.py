"""Figure of a sensitivity analysis: sensitivity to the weight of priors and of evidence."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cotreat.core.constants import IDENTIFIED, NOT_IDENTIFIED
from cotreat.estimands.estimand import RISK
from cotreat.estimands.measures import MEASURES, representatives
from cotreat.plots.labels import key
from cotreat.plots.records import Sensitivity
from cotreat.plots.registry import SENSITIVITY, figure_of
from cotreat.plots.style import BLUE, GREY, VERMILION, label_rows, legend_below

THRESHOLD = 0.05
"""Sensitivity above which it is relevant (Kallioinen et al. 2024)."""
MOST = 44
"""Rows that a page can hold."""
HEADINGS = {NOT_IDENTIFIED: f"{NOT_IDENTIFIED} (prior-dependent)"}
FURTHEST = 0.25
"""Sensitivities beyond this are drawn at the edge."""


def chosen(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows to draw: identified odds ratios, a measure per scale, and risks; identified ones first.

    Parameters
    ----------
    table
        Sensitivity of every estimand, a row each.

    Returns
    -------
    pandas.DataFrame
        At most `MOST` rows.
    """
    names = table.measure
    is_measure = names.isin(representatives().values())
    is_ratio = ~names.isin([*MEASURES, RISK]) & (table.status == IDENTIFIED)
    shown = table[is_measure | is_ratio | (names == RISK)]
    return shown.sort_values("status", key=lambda s: s != IDENTIFIED, kind="stable").head(MOST)


@figure_of(
    SENSITIVITY,
    order=3,
    caption="An estimand depends more on the priors than on the evidence where its square lies to the "
    "right of its circle. Each mark shows how far the posterior moves when the priors "
    "(square) or the evidence (circle) get more or less weight. A sensitivity above 0.05, "
    "right of the dashed line, is relevant (Kallioinen et al. 2024). An arrow at the edge is "
    "a sensitivity beyond the axis.",
    alt="Rows are estimands, first those that the evidence identifies; a square for the "
    "sensitivity to the priors and a circle for the sensitivity to the evidence lie on one "
    "line, on an axis from 0, with a dashed vertical line at 0.05.",
)
def power_scaling(record: Sensitivity) -> Figure | None:
    """Draw two marks per estimand.

    Parameters
    ----------
    record : Sensitivity
        The sensitivity analysis.

    Returns
    -------
    Figure or None
        None without power scaling.
    """
    table, study = record.scaling, record.study
    if table is None:
        return None
    rows = chosen(table)
    names: list[str] = []
    figure = Figure(layout="constrained")
    axes = figure.add_subplot()
    axes.axvline(THRESHOLD, color=GREY, lw=0.7, ls="--")
    for status, of_status in rows.groupby("status", sort=False):
        names.append(HEADINGS.get(str(status), str(status)))
        for at, row in enumerate(of_status.itertuples(), start=len(names)):
            ends = [min(value, FURTHEST) for value in (row.prior, row.likelihood)]
            axes.plot(ends, [at, at], color=GREY, lw=0.6, zorder=1)
            _mark(axes, row.likelihood, at, "o", BLUE)
            _mark(axes, row.prior, at, "s", VERMILION)
        names += of_status.label.tolist()
    figure.set_size_inches(6.5, 1.1 + 0.17 * len(names))
    most = max(float(rows[["prior", "likelihood"]].to_numpy().max()), 2 * THRESHOLD)
    axes.set_xlim(0, min(most, FURTHEST) * 1.05)
    axes.set_xlabel("sensitivity (cumulative Jensen–Shannon distance per doubling of the weight)")
    label_rows(axes, names, [name for name in names if name not in set(rows.label)])
    axes.tick_params(axis="y", labelsize=6.5)
    handles = [
        Line2D([], [], color=VERMILION, marker="s", ls="none", ms=4, label="to the priors"),
        Line2D([], [], color=BLUE, marker="o", ls="none", ms=4, label="to the evidence"),
    ]
    left_out = len(table) - len(rows)
    omitted = f"{left_out} more are in power_scaling.csv" if left_out else ""
    legend_below(figure, handles, [key(study, names), omitted])
    return figure


def _mark(axes: Axes, value: float, at: int, marker: str, color: str) -> None:
    """Draw a sensitivity, as an arrow at the edge if it lies beyond."""
    is_beyond = value > FURTHEST
    axes.plot(min(value, FURTHEST), at, ">" if is_beyond else marker, color=color, ms=4, zorder=3)
