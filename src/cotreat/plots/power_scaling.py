"""Sensitivity of estimands to the weight of prior and of evidence."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cotreat.core.constants import IDENTIFIED
from cotreat.estimands.estimand import RISK
from cotreat.estimands.measures import MEASURES, representatives
from cotreat.plots import Picture
from cotreat.plots.labels import key
from cotreat.plots.style import BLUE, GREY, VERMILION, label_rows
from cotreat.sensitivity.power_scaling import THRESHOLD
from cotreat.study.study import Study

PICTURE = Picture(
    "power_scaling",
    "How far a little more weight on the priors (square) or on the evidence (circle) would move each "
    "estimand. Where the square lies right of the circle, the number is more prior than evidence. Right of "
    "the line at 0.05 a sensitivity counts as one (Kallioinen et al. 2024). Arrows at the edge stand for what lies "
    "beyond it; the table has their numbers.",
    "Rows are estimands, first those that the evidence determines; a square for the sensitivity to the "
    "priors and a circle for that to the evidence stand on one line, on an axis from 0 up, with a vertical "
    "line at 0.05.",
)
MOST = 44
"""Rows that a page can hold."""
FURTHEST = 0.25
"""Sensitivities beyond this are drawn at the edge."""


def chosen(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows to draw: odds ratios, risks and a measure of each family, the identified ones first."""
    names = table.measure
    is_measure = names.isin(representatives().values())
    is_ratio = ~names.isin([*MEASURES, RISK]) & (table.status == IDENTIFIED)
    own = table[is_measure | is_ratio | (names == RISK)]
    order = own.status.map(lambda status: status != IDENTIFIED)
    return own.loc[order.sort_values(kind="stable").index].head(MOST)


def draw(table: pd.DataFrame, study: Study) -> Figure:
    """Draw two marks for each estimand.

    Parameters
    ----------
    table
        What `cotreat.sensitivity.power_scaling.scaled` returns.
    """
    rows = chosen(table)
    names = []
    for status, own in rows.groupby("status", sort=False):
        names += [str(status), *own.label]
    figure = Figure(figsize=(6.5, 1.1 + 0.17 * len(names)), layout="constrained")
    axes = figure.add_subplot()
    axes.axvline(THRESHOLD, color=GREY, lw=0.7, ls="--")
    places = [at for at, name in enumerate(names) if name not in set(rows.status)]
    for at, row in zip(places, rows.itertuples(), strict=True):
        ends = [min(value, FURTHEST) for value in (row.prior, row.likelihood)]
        axes.plot(ends, [at, at], color=GREY, lw=0.6, zorder=1)
        _mark(axes, row.likelihood, at, "o", BLUE)
        _mark(axes, row.prior, at, "s", VERMILION)
    most = max(float(rows[["prior", "likelihood"]].to_numpy().max()), 2 * THRESHOLD)
    axes.set_xlim(0, min(most, FURTHEST) * 1.05)
    axes.set_xlabel("sensitivity (cumulative Jensen–Shannon distance by doubling of the weight)")
    label_rows(axes, names, list(rows.status))
    axes.tick_params(axis="y", labelsize=6.5)
    handles = [
        Line2D([], [], color=VERMILION, marker="s", ls="none", ms=4, label="to the priors"),
        Line2D([], [], color=BLUE, marker="o", ls="none", ms=4, label="to the evidence"),
    ]
    notes = [key(study, names)]
    if len(table) > len(rows):
        notes.append(f"{len(table) - len(rows)} more are in power_scaling.csv")
    below = "\n".join(filter(None, notes))
    figure.legend(handles=handles, loc="outside lower center", ncols=2, title=below)
    return figure


def _mark(axes: Axes, value: float, at: int, marker: str, color: str) -> None:
    """Draw a sensitivity; one beyond the edge as an arrow there."""
    is_beyond = value > FURTHEST
    axes.plot(min(value, FURTHEST), at, ">" if is_beyond else marker, color=color, ms=4, zorder=3)
