"""Figure of a sensitivity analysis: probability of synergy and odds ratios over the belief × strength grid."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cotreat.core.constants import NOT_IDENTIFIED
from cotreat.estimands.estimand import ODDS_RATIO
from cotreat.plots.labels import CONCLUSIVE_LABEL, fold, judged_note, key, pair_name
from cotreat.plots.records import Sensitivity
from cotreat.plots.registry import SENSITIVITY, figure_of
from cotreat.plots.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PALE,
    label_rows,
    legend_below,
    log_axis,
    probability_axis,
)
from cotreat.priors.belief_grid import BELIEFS

WEAK = "weak (default)"
"""Name of the default priors in the grid."""
MOST = 3
"""Pairs that a page can hold."""
ROWS = (WEAK, *BELIEFS)
COLORS = {"weak (default)": GREY, "pessimistic": ORANGE, "neutral": GREEN, "optimistic": BLUE}
SIZES = {"weak": 2.6, "moderate": 4.0, "strong": 5.6}
TITLE_WIDTH = 30
PRIOR: dict[str, Any] = {"ls": "none", "marker": "|", "ms": 8, "mew": 1.6, "color": "black"}


@figure_of(
    SENSITIVITY,
    order=2,
    caption="Marks that follow the black ticks from row to row are dominated by the prior on "
    "interactions; marks that spread within a row depend on the prior on single effects. "
    "Above: probability of synergy (ratio of odds ratios on the side of synergy); below: odds "
    "ratio of both treatments against one. Rows are beliefs about interactions; marks are "
    "beliefs about single effects, by colour, larger for stronger beliefs. A black tick is "
    "the probability of synergy before the evidence.",
    alt="Two rows of panels, a column per pair. In each panel ten rows are beliefs about "
    "interactions, weak first, then pessimistic, neutral and optimistic, each weak, moderate "
    "and strong. Coloured marks are beliefs about single effects; the upper panels have an "
    "axis from 0 to 1 with shaded conclusive zones, the lower ones a logarithmic axis of the "
    "odds ratio with a line at 1.",
)
def belief_grid(record: Sensitivity) -> Figure | None:
    """Draw two panels per pair; None without a grid."""
    table, study = record.grid, record.study
    if table is None:
        return None
    every = [str(pair) for pair in table.of_pair.dropna().drop_duplicates()]
    pairs = every[:MOST]
    figure = Figure(figsize=(2.0 + 1.95 * len(pairs), 6.6), layout="constrained")
    grid = figure.subplots(2, len(pairs), squeeze=False)
    is_ratio = (table.measure == ODDS_RATIO).fillna(value=False).astype(bool)
    limits = _limits(table[is_ratio])
    names = []
    for column, pair in enumerate(pairs):
        own = table.of_pair == pair
        above, below = grid[:, column]
        _draw_probabilities(above, table[own & ~is_ratio])
        above.set_title(fold(pair_name(study, pair), TITLE_WIDTH), loc="left", fontsize=8)
        _draw_ratios(below, table[own & is_ratio], limits)
        names += [pair_name(study, pair), below.get_xlabel()]
        for axes in (above, below):
            label_rows(axes, ROWS if column == 0 else [""] * len(ROWS))
            axes.axhline(0.5, color=GREY, lw=0.5)
    grid[0, 0].set_ylabel("belief about interactions")
    grid[1, 0].set_ylabel("belief about interactions")
    left_out = len(every) - len(pairs)
    omitted = f"{left_out} more pairs are in grid.csv" if left_out else ""
    legend_below(figure, _legend(), [judged_note(study), omitted, key(study, names)], ncols=3)
    return figure


def _limits(ratios: pd.DataFrame) -> tuple[float, float]:
    values = [1.0, *ratios.estimate.dropna()]
    margin = (max(values) / min(values)) ** 0.08
    return min(values) / margin, max(values) * margin


def _draw_probabilities(axes: Axes, own: pd.DataFrame) -> None:
    probability_axis(axes)
    for at, belief in enumerate(ROWS):
        rows = own[own.interactions == belief]
        prior = rows.prior_probability.dropna()[:1]  # the same for every belief about effects
        axes.plot(prior, [at] * len(prior), zorder=4, **PRIOR)
        _draw_marks(axes, at, rows, "probability")
    axes.set_xlabel("P(synergy)")


def _draw_ratios(axes: Axes, own: pd.DataFrame, limits: tuple[float, float]) -> None:
    log_axis(axes, *limits, most=4)
    axes.axvline(1, color=GREY, lw=0.6, zorder=0)
    for at, belief in enumerate(ROWS):
        _draw_marks(axes, at, own[own.interactions == belief], "estimate")
    if len(own):
        label = own.contrast.iloc[0]
        note = f"\n({NOT_IDENTIFIED})" if own.status.iloc[0] == NOT_IDENTIFIED else ""
        axes.set_xlabel(f"odds ratio, median\n{label}{note}")


def _draw_marks(axes: Axes, at: int, rows: pd.DataFrame, column: str) -> None:
    """Draw a mark per belief about single effects, side by side."""
    for row in rows.dropna(subset=column).to_dict("records"):
        belief, _, strength = row["effects"].partition("-")
        offset = 0.0 if belief == WEAK else 0.22 * (list(COLORS).index(belief) - 2)
        size = SIZES[strength] if strength else 3.6
        look: dict[str, Any] = {"color": COLORS[belief], "ms": size, "mew": 0.3, "mec": "white"}
        axes.plot(row[column], at + offset, _marker(belief), alpha=0.9, zorder=3, **look)


def _marker(belief: str) -> str:
    return "D" if belief == WEAK else "o"


def _legend() -> list[Line2D | Patch]:
    none: dict[str, Any] = {"ls": "none"}
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=c, marker=_marker(b), ms=4, label=f"effects: {b}", **none)
        for b, c in COLORS.items()
    ]
    handles += [
        Line2D([], [], color=GREY, marker="o", ms=size, label=strength, **none)
        for strength, size in SIZES.items()
    ]
    return [
        *handles,
        Line2D([], [], label="prior P(synergy)", **PRIOR),
        Patch(color=PALE, label=CONCLUSIVE_LABEL),
    ]
