"""What print leaves of known truths: how often synergy is found where there is none, and where there is some."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from cotreat.calibration.published import ALL, CLAIMED, SURE, WHOLE
from cotreat.calibration.worlds import ADDITIVE, MULTIPLICATIVE, SYNERGISTIC
from cotreat.plots.canvas import BLUE, GREY, PALE, SMALL, VERMILION

PANELS = (
    (MULTIPLICATIVE, "ror", False, "false: odds multiply,\nP(ror > 1) > 0.95"),
    (ADDITIVE, "ic", False, "false: risks add,\nP(ic > 0) > 0.95"),
    (SYNERGISTIC, "ror", True, "found: true ror of 2,\nP(ror > 1) > 0.95"),
)
"""World, measure, whether there is synergy, and what a panel shows."""


def draw(table: pd.DataFrame) -> Figure:
    """Draw the shares of cohorts that make a reader sure of synergy, by what is printed and how it is read.

    Parameters
    ----------
    table
        What `cotreat.calibration.published.rates` returns.
    """
    papers = table[["paper", "read_as"]].drop_duplicates().itertuples(index=False)
    rows = {(one.paper, one.read_as): at for at, one in enumerate(papers)}
    height = 1.3 + 0.34 * len(rows)
    figure = Figure(figsize=(7.2, height), layout="constrained")
    panels = figure.subplots(1, len(PANELS), sharey=True)
    for axes, (world, measure, is_synergy, title) in zip(panels, PANELS, strict=True):
        is_own = (table.world == world) & (table.measure == measure)
        _panel(axes, table[is_own & (table.is_synergy == is_synergy)], rows)
        axes.set_title(title, fontsize=SMALL)
        if not is_synergy:
            axes.axvline(1 - SURE, color=GREY, lw=0.6, ls=":")
    panels[0].set_yticks(list(rows.values()), [_label(*key) for key in rows], fontsize=SMALL)
    panels[0].invert_yaxis()
    panels[1].set_xlabel("share of cohorts, with 95 % interval")
    handles = [
        Line2D([], [], color=colour, marker=marker, ls="", label=label)
        for colour, marker, label in (
            (BLUE, "o", "all cohorts"),
            (VERMILION, "D", "cohorts whose paper claims the synergy, p < 0.05"),
        )
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


def _panel(axes: Axes, table: pd.DataFrame, rows: dict[tuple[str, str], int]) -> None:
    for of, colour, marker, shift in ((ALL, BLUE, "o", -0.12), (CLAIMED, VERMILION, "D", 0.12)):
        own = table[(table.of == of) & (table.cohorts > 0)]
        at = np.array([rows[key] for key in zip(own.paper, own.read_as, strict=True)]) + shift
        axes.hlines(at, own.sure_lower, own.sure_upper, color=colour, lw=0.8)
        axes.plot(own.sure, at, marker, color=colour, ms=3.5)
    axes.grid(axis="y", color=PALE, lw=0.4)
    axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlim(left=-0.01)


def _label(paper: str, read_as: str) -> str:
    if WHOLE in (paper, read_as):
        return WHOLE.replace("every patient", "counts of every patient")
    if paper == read_as or ", and " in paper:
        return _broken(paper)
    return _broken(f"{paper}, misread as {read_as}")


def _broken(text: str, width: int = 38) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(text, width))
