"""Figure of a study: probability of synergy under each interpretation."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cotreat.core.constants import ANY
from cotreat.estimands.enumerate import named_co_treatment
from cotreat.estimands.measures import MEASURES, representatives
from cotreat.plots import style
from cotreat.plots.labels import (
    PROBABILITY_AXIS,
    TITLE_WIDTH,
    co_treatment,
    fold,
    judged_note,
    key,
    pair_name,
)
from cotreat.plots.records import Interpretations
from cotreat.plots.registry import STUDY, figure_of
from cotreat.plots.synergy_rows import (
    Panel,
    Row,
    draw_axis,
    draw_mark,
    handles,
    read_row,
    write_words,
)
from cotreat.results.summary import POSTERIOR
from cotreat.study.study import Study

Tables = Mapping[str, pd.DataFrame]
"""Summaries by interpretation."""

COLORS = (
    *(style.BLUE, style.VERMILION, style.GREEN, style.PURPLE, style.BLACK, style.ORANGE),
    style.SKY,
)
LOOKS = tuple(zip(COLORS, "os^DvPX", strict=True))
COLUMNS = 3
MOST_PAIRS = 6
MOST_CO_TREATMENTS = 4
"""Panels and co-treatments that a page can hold."""
SLOT, PAD, HEADING = 0.1, 0.1, 0.24
"""Inches of an interpretation, of the space around a row, and of a heading."""
LEGEND_WIDTH = 45


@figure_of(
    STUDY,
    order=1,
    caption="The interpretation matters where the filled marks of one row lie in different zones. "
    "Filled marks are posterior, open marks prior probabilities of synergy, per "
    "interpretation (colour and shape), for one measure per scale. Only marks in the shaded "
    "zones are conclusive: at least 0.975 for synergy, at most 0.025 against it.",
    alt="Dot plot with one panel per pair of treatments and one row per measure and co-treatment, "
    "within which each interpretation has its own line, colour and marker. The axis runs from "
    "0, antagonism, to 1, synergy, with narrow shaded zones at both ends. Open marks are "
    "prior, filled or half-filled ones posterior probabilities.",
)
def interpretations(record: Interpretations) -> Figure | None:
    """Draw P(synergy) by pair, co-treatment, scale and interpretation.

    None where the study has one interpretation, the model has levels or subgroups, or no measure has a
    probability.
    """
    study, summaries = record.study, record.summaries
    has_strata = any(_has_strata(study, table) for table in summaries.values())
    if len(study.interpretations) < 2 or has_strata:
        return None
    every = panels(study, summaries)
    shown = [panel for panel in every if panel.marks][:MOST_PAIRS]
    if not shown:
        return None
    slot = PAD + SLOT * len(summaries)
    heights = [slot if row.measure else HEADING for row in shown[0].rows]
    figure, grid = style.panel_grid(
        len(shown),
        min(COLUMNS, len(shown)),
        panel=(2.0, 0.4 + sum(heights)),
        margin=(2.0, 1.6),
        xlabel=PROBABILITY_AXIS,
    )
    look = {name: pair for name, pair in looks(study).items() if name in summaries}
    for axes, panel in zip(grid, shown, strict=True):
        _draw_panel(axes, panel, heights, look)
    labels = {name: f"{name}: {note}" for name, note in record.notes.items()}
    names = [
        Line2D([], [], color=c, marker=m, lw=1, ms=4, label=fold(labels.get(n, n), LEGEND_WIDTH))
        for n, (c, m) in look.items()
    ]
    below = _notes(study, every, shown)
    style.legend_below(figure, [*names, *handles(shown, style.GREY)], below)
    return figure


def _has_strata(study: Study, summary: pd.DataFrame) -> bool:
    """Return whether a summary has subgroups, or pairs of levels."""
    pairs = set(summary.pair.dropna()) - {"", *study.pair_labels}
    return bool(pairs) or bool((summary.stratum.fillna("") != "").any())


def looks(study: Study) -> dict[str, tuple[str, str]]:
    """Return colour and marker of each interpretation."""
    ids = [interpretation.id for interpretation in study.interpretations]
    return dict(zip(ids, cycle(LOOKS), strict=False))


def panels(study: Study, summaries: Tables) -> list[Panel]:
    """Return a panel for each pair, from the summaries alone."""
    return [
        Panel(pair_name(study, pair), tuple(_rows(study, summaries, pair, sides)))
        for pair, sides in zip(study.pair_labels, study.pairs, strict=True)
    ]


def _rows(study: Study, summaries: Tables, pair: str, sides: tuple[str, str]) -> Iterator[Row]:
    tables = {key: _of_pair(study, table, pair) for key, table in summaries.items()}
    constant = {key: table[table.co_treatment == ANY] for key, table in tables.items()}
    scales = list(representatives().values())
    shared = [m for m in scales if all((t.measure == m).any() for t in constant.values())]
    regimens = [study.label(others) for others in study.co_treatments(sides)]
    for regimen in regimens[:MOST_CO_TREATMENTS]:
        place = pd.Series(named_co_treatment(regimen))
        selected = {k: t[(t[place.index] == place).all(axis=1)] for k, t in tables.items()}
        yield Row(co_treatment(study, regimen))
        yield from (_row(measure, selected) for measure in scales if measure not in shared)
    if shared:
        yield Row("with any co-treatment")
        yield from (_row(measure, constant) for measure in shared)


def _of_pair(study: Study, table: pd.DataFrame, pair: str) -> pd.DataFrame:
    is_measure = table.measure.isin(representatives().values()) & (table.pair == pair)
    is_judged = table.judged_on == study.outcome.synergy_on
    return table[is_measure & is_judged & (table.estimator == POSTERIOR)]


def _row(measure: str, tables: Tables) -> Row:
    rows = {key: table[table.measure == measure].iloc[0] for key, table in tables.items()}
    return read_row(f"{MEASURES[measure].family.name} ({measure})", measure, rows)


def _notes(study: Study, every: list[Panel], shown: list[Panel]) -> list[str]:
    lines = [judged_note(study)]
    if len(every) > len(shown):
        lines.append(f"{len(every) - len(shown)} more pairs are not shown")
    omitted = 2 ** (len(study.treatment_ids) - 2) - MOST_CO_TREATMENTS
    if omitted > 0:
        lines.append(f"{omitted} more co-treatments are not shown")
    names = [panel.title for panel in shown] + [row.name for p in shown for row in p.rows]
    return [*lines, key(study, names)]


def _draw_panel(
    axes: Axes, panel: Panel, heights: Sequence[float], look: Mapping[str, tuple[str, str]]
) -> None:
    """Draw the rows from the top, on an axis of inches, with a place for each interpretation."""
    draw_axis(axes)
    offsets = dict(zip(look, SLOT * (np.arange(len(look)) - (len(look) - 1) / 2), strict=True))
    ends = np.cumsum(heights)
    middles = ends - np.array(heights) / 2
    for y, end, row in zip(middles, ends, panel.rows, strict=True):
        write_words(axes, y, row)
        if row.measure:
            axes.axhline(end, color=style.PALE, lw=0.5, zorder=0)
        else:
            left: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center"}
            axes.text(0.055, y, row.name, fontweight="bold", fontsize=7, **left)
        for mark in row.marks:
            color, marker = look[mark.interpretation]
            draw_mark(axes, y + offsets[mark.interpretation], mark, color, marker, color)
    style.label_rows(axes, [row.name * bool(row.measure) for row in panel.rows], at=middles)
    axes.set_ylim(ends[-1], 0)
    axes.set_title(fold(panel.title, TITLE_WIDTH), loc="left", fontsize=8)
