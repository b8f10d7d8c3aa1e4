"""What print leaves of known truths: how often synergy is found where there is none, and where there is some."""

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
"""World, cohorts, colour, marker and words of a mark."""

NONE: tuple[Mark, ...] = (
    (f"{MULTIPLICATIVE}, {RARE} without", ALL, ORANGE, "v", "true risk without treatment: low"),
    (MULTIPLICATIVE, ALL, BLUE, "o", "as the prior has it"),
    (f"{MULTIPLICATIVE}, {COMMON} without", ALL, GREEN, "^", "high"),
    (MULTIPLICATIVE, CLAIMED, VERMILION, "D", "the paper claims the synergy"),
)
ADD: tuple[Mark, ...] = ((ADDITIVE, ALL, BLUE, "o", ""),)
SOME: tuple[Mark, ...] = ((SYNERGISTIC, ALL, BLACK, "s", "true ratio of odds ratios 2"),)
PANELS = (
    (NONE, f"false: odds multiply,\nP(ror > 1) > {SURE:g}"),
    (ADD, f"false: risks add,\nP(ic > 0) > {SURE:g}"),
    (SOME, f"found: true ror of 2,\nP(ror > 1) > {SURE:g}"),
)
WIDE = 36
"""Characters of a label, before it is broken."""


def draw(table: pd.DataFrame) -> Figure:
    """Draw the shares of cohorts that make a reader sure of the synergy of the first pair.

    Parameters
    ----------
    table
        What `validation.publish_and_reanalyse.rates` returns. Marks are open where many answers were dropped.
    """
    own = table[table.pair == table.pair.iloc[0]]
    papers = list(dict.fromkeys(own.paper))
    figure = Figure(figsize=(7.2, 1.6 + 0.42 * len(papers)), layout="constrained")
    panels = figure.subplots(1, len(PANELS), sharey=True)
    for axes, (marks, title) in zip(panels, PANELS, strict=True):
        for at, mark in enumerate(marks):
            _drawn(axes, own, papers, mark, (at - (len(marks) - 1) / 2) * 0.16)
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


def _drawn(axes: Axes, table: pd.DataFrame, papers: list[str], mark: Mark, shift: float) -> None:
    world, of, colour, marker, words = mark
    own = table[(table.world == world) & (table.of == of) & (table.cohorts > table.dropped)]
    at = [papers.index(paper) + shift for paper in own.paper]
    axes.hlines(at, own.sure_lower, own.sure_upper, color=colour, lw=0.8)
    axes.plot([], [], marker, color=colour, ms=3.2, label=words or None)
    for y, row in zip(at, own.itertuples(), strict=True):
        # Open where so many answers were dropped that those left do not speak for all.
        inside = "white" if row.dropped > MOST_DROPPED * row.cohorts else colour
        axes.plot(row.sure, y, marker, color=colour, mfc=inside, ms=3.2)
