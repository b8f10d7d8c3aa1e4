"""Figure of a sensitivity analysis: one choice changed at a time, and all combinations."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cotreat.plots import labels, style
from cotreat.plots.records import Sensitivity
from cotreat.plots.registry import SENSITIVITY, figure_of
from cotreat.priors.belief_grid import in_words

INTERPRETATION, PRIORS, SCALE = "interpretation", "priors", "scale of synergy"
"""Choices, as the tables name them."""
MOST = 3
"""Pairs that a page can hold."""
ROW = 0.2
MARK: dict[str, Any] = {"ls": "none", "marker": "o"}
PRIMARY, CHANGED, OTHER = "primary analysis", "one choice changed", "another combination"
LOOKS = {
    PRIMARY: {**MARK, "color": style.BLUE, "ms": 4.5},
    CHANGED: {**MARK, "color": style.VERMILION, "ms": 4.5},
    OTHER: {**MARK, "color": style.SKY, "ms": 2.2, "mew": 0},
}


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
    """Draw a panel per pair.

    Parameters
    ----------
    record : Sensitivity
        The sensitivity analysis.

    Returns
    -------
    Figure or None
        None without changes.
    """
    changes, table, study = record.changes, record.combinations, record.study
    if changes is None or table is None:
        return None
    every = changes.pair.drop_duplicates().tolist()
    pairs = every[:MOST]
    places = _places(changes, pairs)
    incompatible = {(INTERPRETATION, name) for name in record.incompatible}
    names = [_name(*place) + " (incompatible)" * (place in incompatible) for place in places]
    figure, grid = style.panel_grid(
        len(pairs),
        len(pairs),
        panel=(1.95 if len(pairs) > 1 else 3.2, ROW * len(places)),  # the ticks need room
        margin=(2.6, 1.2),
        xlabel=labels.PROBABILITY_AXIS,
    )
    for axes, pair in zip(grid, pairs, strict=True):
        _draw_panel(axes, changes[changes.pair == pair], table, places)
        style.title_panel(axes, labels.pair_name(study, pair))
        style.label_rows(axes, names, [_name(*place) for place in places if not place[1]])
    omitted = f"{len(every) - len(pairs)} more pairs are in the table" * (len(every) > len(pairs))
    marks = [Line2D([], [], label=label, **look) for label, look in LOOKS.items()]
    handles = [*marks, style.conclusive_patch()]
    style.legend_below(
        figure, handles, [labels.judged_note(study), omitted, labels.key(study, names)]
    )
    return figure


def _places(changes: pd.DataFrame, pairs: Sequence[str]) -> list[tuple[str, str]]:
    """Return the rows, top to bottom: a heading (an empty level) for each factor, then its levels.

    Scales of synergy are those that all pairs share; co-treatments of one pair are in the table.
    """
    shown = changes[changes.pair.isin(pairs)]
    rows = []
    for factor, of_factor in shown.groupby("what changes", sort=False):
        counts = of_factor.groupby("to", sort=False).pair.nunique()
        levels = counts[counts == len(pairs)].index
        if len(levels) > 1:
            rows += [(str(factor), ""), *((str(factor), str(level)) for level in levels)]
    return rows


def _name(factor: str, level: str) -> str:
    return in_words(level) if factor == PRIORS and level else level or factor


def _draw_panel(
    axes: Axes, changes: pd.DataFrame, table: pd.DataFrame, places: Sequence[tuple[str, str]]
) -> None:
    style.probability_axis(axes)
    beside: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "fontsize": 6.5}
    rows = changes.set_index(["what changes", "to"])
    primary = changes[changes["is primary"]].probability.max()
    if pd.notna(primary):
        axes.axvline(primary, color=style.BLUE, lw=0.8, zorder=1)
    for at, place in enumerate(places):
        if place not in rows.index:
            continue
        row = rows.loc[place]
        others = _others(table, changes, *place)
        axes.plot(others, [at] * len(others), alpha=0.5, zorder=2, **LOOKS[OTHER])
        if pd.isna(row.probability):
            words = str(row.words).partition(":")[0]
            words = "unreliable fit" if words == "the fit is unreliable" else words
            style.write_aside(axes, 0.02, at, words, **beside)
            continue
        look = LOOKS[PRIMARY if row["is primary"] else CHANGED]
        axes.plot([primary, row.probability], [at, at], color=look["color"], lw=1.2, zorder=3)
        axes.plot(row.probability, at, zorder=4, clip_on=False, **look)
        if row.words:  # another co-treatment is another estimand
            left = 0.02 if row.probability > 0.5 else 0.7
            style.write_aside(axes, left, at, row.words, **beside)


def _others(table: pd.DataFrame, changes: pd.DataFrame, factor: str, level: str) -> list[float]:
    """Return the probability of the same estimand in every combination with a level."""
    is_primary = (changes["what changes"] == SCALE) & changes["is primary"]
    scales = [level] if factor == SCALE else changes[is_primary].to.tolist()
    rows = table[(table.pair == changes.pair.iloc[0]) & table[SCALE].isin(scales)]
    return rows[rows[factor] == level].probability.astype(float).tolist()
