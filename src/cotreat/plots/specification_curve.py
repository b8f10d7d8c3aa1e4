"""What the conclusion hangs on: one thing changed at a time, before all combinations of all things."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cotreat.core.constants import DECIDED
from cotreat.plots import Picture
from cotreat.plots.labels import LINE, fold, judged_on, key, pair_name
from cotreat.plots.style import BLUE, PALE, SKY, VERMILION, label_rows, write_aside
from cotreat.plots.synergy import TICK_LABELS, TICKS
from cotreat.priors.sets import in_words
from cotreat.sensitivity.multiverse import (
    FACTORS,
    HINGES,
    PRIORS,
    READING,
    SENSE,
    sense_in_words,
    senses_of,
)
from cotreat.study.study import Study

PICTURE = Picture(
    "hinges",
    "Probability of synergy of each pair when one thing at a time is changed from the leading answer (line): "
    "the sense of the word, the model, the reading of the print, the priors. What moves the mark far is what "
    "the conclusion hangs on. Pale dots are other combinations that were fitted; words stand where an "
    "answer has no probability, its fit cannot be trusted, or it is that on another background. All backgrounds are "
    "in the table. The other numbers in print speak against a reading that is called contradicted.",
    "A panel for each pair. Rows are senses of synergy, models, readings and prior sets, under headings; the "
    "horizontal axis is the probability of synergy from 0 to 1, shaded where decided. A vertical line marks "
    "the leading answer; filled marks joined to it show the answer after one change; pale dots behind show "
    "all combinations.",
)
MOST = 3
"""Pairs that a page can hold."""
ROW = 0.2
WORDS = {
    "the fit cannot be trusted": "fit not trusted",
    "fixed by the model": "fixed by the model",
    "implied by the model": "implied by the model",
}
TITLE_WIDTH = 30
MARK: dict[str, Any] = {"ls": "none", "marker": "o"}


def draw(
    changes: pd.DataFrame, table: pd.DataFrame, study: Study, contradicted: Sequence[str] = ()
) -> Figure:
    """Draw a panel for each pair.

    Parameters
    ----------
    changes
        What `cotreat.sensitivity.multiverse.hinges` returns.
    table
        The multiverse.
    contradicted
        Readings that the other numbers in print speak against: their names say so.
    """
    pairs = list(changes.pair.drop_duplicates())[:MOST]
    labels = _labels(changes, pairs)
    figure = Figure(
        figsize=(2.6 + 1.95 * len(pairs), 1.2 + ROW * len(labels)), layout="constrained"
    )
    grid = figure.subplots(1, len(pairs), sharey=True, squeeze=False)[0]
    for axes, pair in zip(grid, pairs, strict=True):
        _draw_panel(axes, changes[changes.pair == pair], table, labels)
        axes.set_title(fold(pair_name(study, pair), TITLE_WIDTH), loc="left", fontsize=8)
        axes.set_xlabel("← antagonism    synergy →\nP(beyond its null)")
    names = [
        f"{_name(*place)} (contradicted)"
        if place in {(READING, one) for one in contradicted}
        else _name(*place)
        for place in labels
    ]
    label_rows(grid[0], names, FACTORS)
    for axes in grid[1:]:
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
    left_out = changes.pair.nunique() - len(pairs)
    notes = [fold(f"synergy is judged on: {judged_on(study)}", LINE)]
    notes += [f"{left_out} more pairs are not shown: see {HINGES}"] if left_out else []
    notes += filter(None, [key(study, names)])
    figure.legend(handles=_legend(), loc="outside lower center", ncols=2, title="\n".join(notes))
    return figure


def _labels(changes: pd.DataFrame, pairs: Sequence[str]) -> list[tuple[str, str]]:
    """Return the rows, top to bottom: a heading (an empty level) for each factor, then its levels.

    Senses of synergy are those that are asked of all pairs; backgrounds of their own are in the table.
    """
    shown = changes[changes.pair.isin(pairs)]
    rows = []
    for factor in FACTORS:
        asked = shown[shown["what changes"] == factor].groupby("to", sort=False).pair.nunique()
        levels = asked[asked == len(pairs)].index
        if len(levels) > 1:
            rows += [(factor, ""), *((factor, str(level)) for level in levels)]
    return rows


def _name(factor: str, level: str) -> str:
    if not level:
        return factor
    return in_words(level) if factor == PRIORS else level


def _draw_panel(
    axes: Axes, changes: pd.DataFrame, table: pd.DataFrame, labels: Sequence[tuple[str, str]]
) -> None:
    axes.set_xlim(-0.03, 1.03)
    for left, right in ((-0.03, 1 - DECIDED), (DECIDED, 1.03)):
        axes.axvspan(left, right, color=PALE, lw=0, zorder=0)
    known = changes.set_index(["what changes", "to"])
    lead = changes[changes["is leading"]].probability.max()
    if pd.notna(lead):
        axes.axvline(lead, color=BLUE, lw=0.8, zorder=1)
    for at, place in enumerate(labels):
        if place not in known.index:
            continue
        row = known.loc[place]
        others = _others(table, changes, *place)
        axes.plot(others, [at] * len(others), ms=2.2, color=SKY, alpha=0.5, mew=0, zorder=2, **MARK)
        if pd.isna(row.probability):
            words = WORDS.get(row.words, str(row.words).partition(":")[0])
            write_aside(axes, 0.02, at, words, transform=axes.get_yaxis_transform(), fontsize=6.5)
            continue
        color = BLUE if row["is leading"] else VERMILION
        axes.plot([lead, row.probability], [at, at], color=color, lw=1.2, zorder=3)
        axes.plot(row.probability, at, ms=4.5, color=color, zorder=4, clip_on=False, **MARK)
        if row.words:  # the same on another background is another question
            left = 0.02 if row.probability > 0.5 else 0.7
            write_aside(axes, left, at, row.words, transform=axes.get_yaxis_transform(), fontsize=6)
    axes.set_xticks(TICKS, TICK_LABELS, fontsize=6.5)


def _others(table: pd.DataFrame, changes: pd.DataFrame, factor: str, level: str) -> list[float]:
    """Return the probability of the same question in every combination with a level."""
    pair = changes.pair.iloc[0]
    is_lead = (changes["what changes"] == SENSE) & changes["is leading"]
    asked = [level] if factor == SENSE else changes[is_lead].to.tolist()
    own = table[table.probability.notna()]
    own = own[own.pair == pair]
    senses = [sense_in_words(sense) for sense in senses_of(own)]
    is_own = pd.Series(senses, own.index, dtype=object).isin(asked)
    if factor != SENSE:
        is_own &= own[factor] == level
    return [float(value) for value in own.probability[is_own]]


def _legend() -> list[Line2D | Patch]:
    return [
        Line2D([], [], color=BLUE, ms=4.5, label="leading answer", **MARK),
        Line2D([], [], color=VERMILION, ms=4.5, label="one thing changed", **MARK),
        Line2D([], [], color=SKY, ms=2.2, label="another combination", **MARK),
        Patch(color=PALE, label=f"decided: ≥ {DECIDED} or ≤ {1 - DECIDED:.3f}"),
    ]
