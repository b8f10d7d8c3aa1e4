"""Plot false and true synergy rates of the published-paper simulation."""

import textwrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from cotreat.calibration.sbc import MOST_DROPPED
from cotreat.plots.style import BLACK, BLUE, GREEN, GREY, ORANGE, PALE, SMALL, VERMILION
from validation.publish_and_reanalyse import ALL, CLAIMED, SURE
from validation.true_cohorts import ADDITIVE, COMMON, MULTIPLICATIVE, RARE, SYNERGISTIC

Mark = tuple[str, str, str, str, str]
"""Data-generating scenario, cohorts, colour, marker and legend text of a mark."""

NONE: tuple[Mark, ...] = (
    (f"{MULTIPLICATIVE}, {RARE} without", ALL, ORANGE, "v", "true risk without treatment: low"),
    (MULTIPLICATIVE, ALL, BLUE, "o", "at the prior mean"),
    (f"{MULTIPLICATIVE}, {COMMON} without", ALL, GREEN, "^", "high"),
    (MULTIPLICATIVE, CLAIMED, VERMILION, "D", "selected for significance"),
)
ADD: tuple[Mark, ...] = ((ADDITIVE, ALL, BLUE, "o", ""),)
SOME: tuple[Mark, ...] = ((SYNERGISTIC, ALL, BLACK, "s", "true ratio of odds ratios 2"),)
PANELS = (
    (NONE, f"false: odds multiply,\nP(ror > 1) > {SURE:g}"),
    (ADD, f"false: risks add,\nP(ic > 0) > {SURE:g}"),
    (SOME, f"found: true ror of 2,\nP(ror > 1) > {SURE:g}"),
)
WIDE = 36
"""Characters per line of a label."""


def draw(table: pd.DataFrame) -> Figure:
    """Plot the share of cohorts in which P(synergy) of the first pair exceeds `SURE`.

    Parameters
    ----------
    table
        Rates returned by `validation.publish_and_reanalyse.rates`. Open marks have more than `MOST_DROPPED`
        of their fits dropped as unreliable.

    Returns
    -------
    matplotlib.figure.Figure
        One panel per kind of scenario; one row per paper; shares with 95 % intervals.
    """
    rates = table[table.pair == table.pair.iloc[0]]
    papers = list(dict.fromkeys(rates.paper))
    figure = Figure(figsize=(7.2, 1.6 + 0.42 * len(papers)), layout="constrained")
    panels = figure.subplots(1, len(PANELS), sharey=True)
    for axes, (marks, title) in zip(panels, PANELS, strict=True):
        for at, mark in enumerate(marks):
            _draw_mark(axes, rates, papers, mark, (at - (len(marks) - 1) / 2) * 0.16)
        axes.set_title(title, fontsize=SMALL)
        axes.grid(axis="y", color=PALE, lw=0.4)
        axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_xlim(left=-0.01)
        if marks is not SOME:
            axes.axvline(1 - SURE, color=GREY, lw=0.6, ls=":")
    labels = [textwrap.fill(paper, WIDE) for paper in papers]
    panels[0].set_yticks(range(len(papers)), labels, fontsize=SMALL)
    panels[0].invert_yaxis()
    panels[1].set_xlabel("share of cohorts, with 95 % interval")
    figure.legend(loc="outside lower center", ncols=3, fontsize=SMALL)
    return figure


def _draw_mark(
    axes: Axes, table: pd.DataFrame, papers: list[str], mark: Mark, shift: float
) -> None:
    """Draw the rates of one scenario with their intervals."""
    scenario, of, colour, marker, words = mark
    rates = table[(table.scenario == scenario) & (table.of == of) & (table.cohorts > table.dropped)]
    at = [papers.index(paper) + shift for paper in rates.paper]
    axes.hlines(at, rates.sure_lower, rates.sure_upper, color=colour, lw=0.8)
    axes.plot([], [], marker, color=colour, ms=3.2, label=words or None)
    for y, row in zip(at, rates.itertuples(), strict=True):
        # An open mark: the fits that were kept may not represent all fits.
        inside = "white" if row.dropped > MOST_DROPPED * row.cohorts else colour
        axes.plot(row.sure, y, marker, color=colour, mfc=inside, ms=3.2)
