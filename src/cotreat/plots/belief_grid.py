"""Figure of a sensitivity analysis: probability of synergy and odds ratios over the belief × strength grid."""

from typing import Any

import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cotreat.core.constants import NOT_IDENTIFIED
from cotreat.estimands.estimand import ODDS_RATIO
from cotreat.plots import style
from cotreat.plots.labels import judged_note, key, pair_name
from cotreat.plots.records import Sensitivity
from cotreat.plots.registry import SENSITIVITY, figure_of
from cotreat.priors.belief_grid import is_marked

DEFAULT = "default"
"""Key of the default prior of effects."""
MOST = 3
"""Pairs that a page can hold."""
COLORS = {
    DEFAULT: style.GREY,
    "pessimistic": style.ORANGE,
    "neutral": style.GREEN,
    "optimistic": style.BLUE,
}
SIZES = {"weak": 2.6, "moderate": 4.0, "strong": 5.6}
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
    alt="Two rows of panels, a column per pair. In each panel the rows are beliefs about "
    "interactions: the default, the other width of its prior, then pessimistic, neutral and optimistic, "
    "each weak, moderate and strong. Coloured marks are beliefs about single effects; the upper panels have an "
    "axis from 0 to 1 with shaded conclusive zones, the lower ones a logarithmic axis of the "
    "odds ratio with a line at 1.",
)
def belief_grid(record: Sensitivity) -> Figure | None:
    """Draw two panels per pair.

    Parameters
    ----------
    record : Sensitivity
        The sensitivity analysis.

    Returns
    -------
    Figure or None
        None without a grid.
    """
    table, study = record.grid, record.study
    if table is None:
        return None
    every = [str(pair) for pair in table.of_pair.dropna().drop_duplicates()]
    pairs = every[:MOST]
    figure = Figure(figsize=(2.0 + 1.95 * len(pairs), 6.6), layout="constrained")
    grid = figure.subplots(2, len(pairs), squeeze=False)
    is_ratio = (table.measure == ODDS_RATIO).fillna(value=False).astype(bool)
    values = [1.0, *table[is_ratio].estimate.dropna()]
    margin = (max(values) / min(values)) ** 0.08
    names, rows_of = [], tuple(map(str, table.interactions.drop_duplicates()))
    for column, pair in enumerate(pairs):
        above, below = grid[:, column]
        style.probability_axis(above)
        style.log_axis(below, min(values) / margin, max(values) * margin, most=4)
        below.axvline(1, color=style.GREY, lw=0.6, zorder=0)
        ratios = table[(table.of_pair == pair) & is_ratio]
        _draw_rows(above, table[(table.of_pair == pair) & ~is_ratio], rows_of, "probability")
        _draw_rows(below, ratios, rows_of, "estimate")
        style.title_panel(above, pair_name(study, pair))
        above.set_xlabel("P(synergy)")
        for row in ratios[:1].itertuples():
            note = f"\n({NOT_IDENTIFIED})" * (row.status == NOT_IDENTIFIED)
            below.set_xlabel(f"odds ratio, median\n{row.contrast}{note}")
        names += [pair_name(study, pair), below.get_xlabel()]
        for axes in (above, below):
            style.label_rows(axes, rows_of)
            axes.tick_params(axis="y", labelleft=column == 0)
            axes.axhline(0.5, color=style.GREY, lw=0.5)
    for axes in grid[:, 0]:
        axes.set_ylabel("belief about interactions")
    omitted = f"{len(every) - len(pairs)} more pairs are in grid.csv" * (len(every) > len(pairs))
    style.legend_below(figure, _legend(), [judged_note(study), omitted, key(study, names)], ncols=3)
    return figure


def _draw_rows(axes: Axes, table: pd.DataFrame, rows_of: tuple[str, ...], column: str) -> None:
    """Draw a row per belief about interactions, with a mark per belief about single effects."""
    for at, interactions in enumerate(rows_of):
        rows = table[table.interactions == interactions]
        if column == "probability":
            prior = rows.prior_probability.dropna()[:1]  # the same for every belief about effects
            axes.plot(prior, [at] * len(prior), zorder=4, **PRIOR)
        for row in rows.dropna(subset=column).to_dict("records"):
            belief, _, strength = row["effects"].partition("-")
            belief = DEFAULT if is_marked(belief) else belief
            offset = 0.0 if belief == DEFAULT else 0.22 * (list(COLORS).index(belief) - 2)
            look = _look(belief, SIZES[strength] if strength else 3.6)
            axes.plot(row[column], at + offset, alpha=0.9, zorder=3, mew=0.3, mec="white", **look)


def _look(belief: str, size: float) -> dict[str, Any]:
    marker = "D" if belief == DEFAULT else "o"
    return {"color": COLORS[belief], "marker": marker, "ms": size, "ls": "none"}


def _legend() -> list[Artist]:
    sizes = {strength: {**_look(DEFAULT, size), "marker": "o"} for strength, size in SIZES.items()}
    looks = {f"effects: {belief}": _look(belief, 4) for belief in COLORS} | sizes
    return [
        *(Line2D([], [], label=label, **look) for label, look in looks.items()),
        Line2D([], [], label="prior P(synergy)", **PRIOR),
        style.conclusive_patch(),
    ]
