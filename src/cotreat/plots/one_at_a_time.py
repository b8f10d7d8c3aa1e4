"""Figure of a sensitivity analysis: one choice changed at a time, and all combinations."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cotreat.plots.labels import (
    CONCLUSIVE_LABEL,
    PROBABILITY_AXIS,
    fold,
    judged_note,
    key,
    pair_name,
)
from cotreat.plots.records import Sensitivity
from cotreat.plots.registry import SENSITIVITY, figure_of
from cotreat.plots.style import (
    BLUE,
    PALE,
    SKY,
    VERMILION,
    label_rows,
    legend_below,
    probability_axis,
    write_aside,
)
from cotreat.priors.belief_grid import in_words

INTERPRETATION, PRIORS, SENSE = "interpretation", "priors", "scale of synergy"
"""Choices, as the tables name them."""
HEADINGS = {SENSE: "scale of synergy", INTERPRETATION: "interpretation"}
MOST = 3
"""Pairs that a page can hold."""
ROW = 0.2
WORDS = {
    "the fit is unreliable": "unreliable fit",
    "fixed by the model": "fixed by the model",
    "implied by the model": "implied by the model",
}
TITLE_WIDTH = 30
MARK: dict[str, Any] = {"ls": "none", "marker": "o"}


@figure_of(
    SENSITIVITY,
    order=1,
    caption="The further a mark lies from the vertical line, the more the conclusion depends on that "
    "choice. The line is the probability of synergy in the primary analysis; each mark "
    "changes one choice: the scale of synergy, the model, the interpretation, or the priors. "
    "Pale dots are other combinations of choices. Words replace a mark where a measure has no "
    "probability or the fit is unreliable.",
    alt="A panel per pair. Rows are scales of synergy, models, interpretations and prior sets, "
    "under headings; the horizontal axis is the probability of synergy from 0 to 1, with "
    "shaded conclusive zones. A vertical line marks the primary analysis; filled marks joined "
    "to it show the analysis with one choice changed; pale dots show all combinations.",
)
def one_at_a_time(record: Sensitivity) -> Figure | None:
    """Draw a panel per pair; None without changes."""
    changes, table, study = record.changes, record.combinations, record.study
    if changes is None or table is None:
        return None
    pairs = list(changes.pair.drop_duplicates())[:MOST]
    labels = _labels(changes, pairs)
    size = (2.6 + 1.95 * len(pairs), 1.2 + ROW * len(labels))
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(1, len(pairs), sharey=True, squeeze=False)[0]
    for axes, pair in zip(grid, pairs, strict=True):
        _draw_panel(axes, changes[changes.pair == pair], table, labels)
        axes.set_title(fold(pair_name(study, pair), TITLE_WIDTH), loc="left", fontsize=8)
        axes.set_xlabel(PROBABILITY_AXIS)
    incompatible = {(INTERPRETATION, name) for name in record.incompatible}
    names = [_name(*p) + (" (incompatible)" if p in incompatible else "") for p in labels]
    headings = [_name(*place) for place in labels if not place[1]]
    label_rows(grid[0], names, headings)
    for axes in grid[1:]:
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
    left_out = changes.pair.nunique() - len(pairs)
    omitted = f"{left_out} more pairs are in the table" if left_out else ""
    legend_below(figure, _legend(), [judged_note(study), omitted, key(study, names)])
    return figure


def _labels(changes: pd.DataFrame, pairs: Sequence[str]) -> list[tuple[str, str]]:
    """Return the rows, top to bottom: a heading (an empty level) for each factor, then its levels.

    Scales of synergy are those that all pairs share; co-treatments of one pair are in the table.
    """
    shown = changes[changes.pair.isin(pairs)]
    rows = []
    for factor in changes["what changes"].drop_duplicates():
        counts = shown[shown["what changes"] == factor].groupby("to", sort=False).pair.nunique()
        levels = counts[counts == len(pairs)].index
        if len(levels) > 1:
            rows += [(factor, ""), *((factor, str(level)) for level in levels)]
    return rows


def _name(factor: str, level: str) -> str:
    if not level:
        return HEADINGS.get(factor, factor)
    return in_words(level) if factor == PRIORS else level


def _draw_panel(
    axes: Axes, changes: pd.DataFrame, table: pd.DataFrame, labels: Sequence[tuple[str, str]]
) -> None:
    probability_axis(axes)
    rows = changes.set_index(["what changes", "to"])
    primary = changes[changes["is primary"]].probability.max()
    if pd.notna(primary):
        axes.axvline(primary, color=BLUE, lw=0.8, zorder=1)
    for at, place in enumerate(labels):
        if place not in rows.index:
            continue
        row = rows.loc[place]
        others = _others(table, changes, *place)
        axes.plot(others, [at] * len(others), ms=2.2, color=SKY, alpha=0.5, mew=0, zorder=2, **MARK)
        if pd.isna(row.probability):
            words = WORDS.get(row.words, str(row.words).partition(":")[0])
            write_aside(axes, 0.02, at, words, transform=axes.get_yaxis_transform(), fontsize=6.5)
            continue
        color = BLUE if row["is primary"] else VERMILION
        axes.plot([primary, row.probability], [at, at], color=color, lw=1.2, zorder=3)
        axes.plot(row.probability, at, ms=4.5, color=color, zorder=4, clip_on=False, **MARK)
        if row.words:  # another co-treatment is another estimand
            left = 0.02 if row.probability > 0.5 else 0.7
            write_aside(axes, left, at, row.words, transform=axes.get_yaxis_transform(), fontsize=6)


def _others(table: pd.DataFrame, changes: pd.DataFrame, factor: str, level: str) -> list[float]:
    """Return the probability of the same estimand in every combination with a level."""
    is_primary = (changes["what changes"] == SENSE) & changes["is primary"]
    scales = [level] if factor == SENSE else changes[is_primary].to.tolist()
    rows = table[(table.pair == changes.pair.iloc[0]) & table[SENSE].isin(scales)]
    rows = rows if factor == SENSE else rows[rows[factor] == level]
    return [float(value) for value in rows.probability]


def _legend() -> list[Line2D | Patch]:
    return [
        Line2D([], [], color=BLUE, ms=4.5, label="primary analysis", **MARK),
        Line2D([], [], color=VERMILION, ms=4.5, label="one choice changed", **MARK),
        Line2D([], [], color=SKY, ms=2.2, label="another combination", **MARK),
        Patch(color=PALE, label=CONCLUSIVE_LABEL),
    ]
