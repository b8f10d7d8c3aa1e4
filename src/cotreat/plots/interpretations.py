"""Figure of a study: probability of synergy under each interpretation."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from textwrap import shorten
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cotreat.core.constants import ANY, NOT_IDENTIFIED
from cotreat.estimands.enumerate import named_co_treatment
from cotreat.estimands.identification import Status
from cotreat.estimands.measures import MEASURES, representatives
from cotreat.plots.labels import (
    CONCLUSIVE_LABEL,
    PROBABILITY_AXIS,
    co_treatment,
    fold,
    judged_note,
    key,
    pair_name,
)
from cotreat.plots.records import Interpretations
from cotreat.plots.registry import STUDY, figure_of
from cotreat.plots.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    HALF,
    ORANGE,
    PALE,
    PURPLE,
    SKY,
    VERMILION,
    legend_below,
    probability_axis,
    write_aside,
)
from cotreat.results.summary import POSTERIOR
from cotreat.study.study import Study

Tables = Mapping[str, pd.DataFrame]
"""Summaries by interpretation."""

LOOKS = tuple(zip((BLUE, VERMILION, GREEN, PURPLE, BLACK, ORANGE, SKY), "os^DvPX", strict=True))
COLUMNS = 3
MOST_PAIRS = 6
MOST_CO_TREATMENTS = 4
"""Panels and co-treatments that a page can hold."""
SLOT, PAD, HEADING = 0.1, 0.1, 0.24
"""Inches of an interpretation, of the space around a row, and of a heading."""
NAME_WIDTH, WORDS_WIDTH, LEGEND_WIDTH = 26, 42, 45
MARK: dict[str, Any] = {"ls": "none", "ms": 4, "mew": 0.9}


@dataclass(frozen=True)
class Mark:
    """A measure under one interpretation."""

    interpretation: str
    probability: float
    prior: float
    is_unidentified: bool


@dataclass(frozen=True)
class Row:
    """A measure with its marks, or the reason why it has none; a heading has neither."""

    name: str
    marks: tuple[Mark, ...] = ()
    words: str = ""

    @property
    def is_heading(self) -> bool:
        """Whether it has neither marks nor words."""
        return not self.marks and not self.words


@dataclass(frozen=True)
class Panel:
    """The rows of a pair."""

    pair: str
    rows: tuple[Row, ...]


def looks(study: Study) -> dict[str, tuple[str, str]]:
    """Return colour and marker of each interpretation."""
    ids = [interpretation.id for interpretation in study.interpretations]
    return dict(zip(ids, cycle(LOOKS), strict=False))


# --- Synergy: what is drawn ----------------------------------------------------------------------


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
    regimens = [study.label(background) for background in study.co_treatments(sides)]
    for regimen in regimens[:MOST_CO_TREATMENTS]:
        wanted = pd.Series(named_co_treatment(regimen))
        selected = {k: t[(t[wanted.index] == wanted).all(axis=1)] for k, t in tables.items()}
        yield Row(co_treatment(study, regimen))
        yield from (_row(measure, selected) for measure in scales if measure not in shared)
    if shared:
        yield Row("with any co-treatment")
        yield from (_row(measure, constant) for measure in shared)


def _of_pair(study: Study, table: pd.DataFrame, pair: str) -> pd.DataFrame:
    is_measure = table.measure.isin(representatives().values()) & (table.pair == pair)
    is_judged = table.judged_on == study.outcome.synergy_on
    return table[is_measure & is_judged & (table.estimator == POSTERIOR)]


def _row(name: str, tables: Tables) -> Row:
    """Return the marks of a measure; words where it has a probability under no interpretation."""
    rows = {key: table[table.measure == name].iloc[0] for key, table in tables.items()}
    marks = tuple(
        Mark(key, row.probability, row.prior_probability, row.status == NOT_IDENTIFIED)
        for key, row in rows.items()
        if not pd.isna(row.probability)
    )
    first = next(iter(rows.values()))
    words = "" if marks else str(Status(first.status, first.reason))
    return Row(f"{MEASURES[name].family.name} ({name})", marks, words)


# --- Synergy: drawing ----------------------------------------------------------------------------


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

    None where the study has one interpretation, or no measure a probability.
    """
    study, summaries, notes = record.study, record.summaries, record.notes
    if len(study.interpretations) < 2:
        return None
    every = panels(study, summaries)
    speaking = [panel for panel in every if any(row.marks for row in panel.rows)]
    if not speaking:
        return None
    shown, look = speaking[:MOST_PAIRS], looks(study)
    columns = min(COLUMNS, len(shown))
    lines = -(-len(shown) // columns)
    places, total = _places(shown[0].rows, len(summaries))
    height = 1.6 + lines * (0.4 + total)
    figure = Figure(figsize=(2.0 + 2.0 * columns, height), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False)
    for axes in grid.flat[len(shown) :]:
        axes.set_axis_off()
    for axes, panel in zip(grid.flat, shown, strict=False):
        _draw_panel(axes, panel, places, list(summaries), look)
        axes.tick_params(axis="y", labelleft=axes in grid[:, 0])
    for axes in grid.flat[max(0, len(shown) - columns) : len(shown)]:
        axes.set_xlabel(PROBABILITY_AXIS)
    handles = [*_interpretation_handles(summaries, look, notes), *_mark_handles(shown)]
    legend_below(figure, handles, _notes(study, every, shown))
    return figure


def _notes(study: Study, every: list[Panel], shown: list[Panel]) -> list[str]:
    lines = [judged_note(study)]
    if len(every) > len(shown):
        lines.append(f"{len(every) - len(shown)} more pairs are not shown")
    omitted = 2 ** (len(study.treatment_ids) - 2) - MOST_CO_TREATMENTS
    if omitted > 0:
        lines.append(f"{omitted} more co-treatments are not shown")
    names = [panel.pair for panel in shown] + [row.name for p in shown for row in p.rows]
    return [*lines, key(study, names)]


def _places(rows: Sequence[Row], interpretations: int) -> tuple[list[float], float]:
    """Return the inches from the top to the middle of each row, and to the end."""
    heights = [HEADING if row.is_heading else PAD + SLOT * interpretations for row in rows]
    ends = np.cumsum(heights)
    middles = [float(end - height / 2) for end, height in zip(ends, heights, strict=True)]
    return middles, float(ends[-1])


def _draw_panel(
    axes: Axes,
    panel: Panel,
    places: Sequence[float],
    interpretations: Sequence[str],
    look: dict[str, tuple[str, str]],
) -> None:
    probability_axis(axes)
    axes.axvline(0.5, color=GREY, lw=0.5, ls=":", zorder=0)
    for y, row in zip(places, panel.rows, strict=True):
        if row.is_heading:
            place: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center"}
            axes.text(0.055, y, row.name, fontweight="bold", fontsize=7, **place)
        if row.words:
            words = shorten(row.words, WORDS_WIDTH, placeholder=" …")
            write_aside(axes, 0.5, y, words, ha="center")
        for mark in row.marks:
            offset = interpretations.index(mark.interpretation) - (len(interpretations) - 1) / 2
            _draw_mark(axes, y + SLOT * offset, mark, *look[mark.interpretation])
        if not row.is_heading:
            edge = y + (PAD + SLOT * len(interpretations)) / 2
            axes.axhline(edge, color=PALE, lw=0.5, zorder=0)
    _label(axes, places, panel.rows, len(interpretations))
    axes.set_title(fold(panel.pair, NAME_WIDTH), loc="left", fontsize=8)


def _draw_mark(axes: Axes, at: float, mark: Mark, color: str, marker: str) -> None:
    axes.plot([mark.prior, mark.probability], [at, at], color=color, lw=0.6, zorder=2)
    look = {"color": color, "marker": marker, **MARK}
    axes.plot(mark.prior, at, mfc="white", zorder=3, clip_on=False, **look)
    fill = HALF if mark.is_unidentified else {}
    axes.plot(mark.probability, at, zorder=4, clip_on=False, **look, **fill)


def _label(axes: Axes, places: Sequence[float], rows: Sequence[Row], interpretations: int) -> None:
    named = {y: row.name for y, row in zip(places, rows, strict=True) if not row.is_heading}
    axes.set_yticks(list(named), list(named.values()), fontsize=7.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(places[-1] + (PAD + SLOT * interpretations) / 2, 0)


def _interpretation_handles(
    summaries: Tables, look: dict[str, tuple[str, str]], notes: Mapping[str, str]
) -> Iterator[Line2D]:
    for name, (color, marker) in look.items():
        if name in summaries:
            label = fold(": ".join(filter(None, [name, notes.get(name, "")])), LEGEND_WIDTH)
            yield Line2D([], [], color=color, marker=marker, lw=1, ms=4, label=label)


def _mark_handles(shown: Sequence[Panel]) -> list[Artist]:
    marks = [mark for panel in shown for row in panel.rows for mark in row.marks]
    handles: list[Artist] = [
        Line2D([], [], color=GREY, marker="o", mfc="white", label="prior", **MARK)
    ]
    for is_unidentified, name in ((False, "posterior"), (True, f"posterior, {NOT_IDENTIFIED}")):
        if any(mark.is_unidentified == is_unidentified for mark in marks):
            fill = HALF if is_unidentified else {}
            handles.append(Line2D([], [], color=GREY, marker="o", label=name, **MARK, **fill))
    return [*handles, Patch(color=PALE, label=CONCLUSIVE_LABEL)]
