"""All readings of a study beside each other: probabilities of synergy, and sizes of arms."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from cotreat.core.constants import ANY, CREDIBLE, DECIDED, NOT_IDENTIFIED
from cotreat.estimands.enumerate import named_co_treatment
from cotreat.estimands.estimand import SIZE
from cotreat.estimands.identification import Status
from cotreat.estimands.measures import MEASURES, representatives
from cotreat.plots.interval_rows import Line, band_handle, draw_band, read_lines, read_prior
from cotreat.plots.labels import LINE, fold, judged_on, key, pair_name, regimen_name
from cotreat.plots.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PALE,
    PURPLE,
    SKY,
    VERMILION,
    off_screen,
    save,
    write_aside,
    write_below,
)
from cotreat.plots.synergy import TICK_LABELS, TICKS
from cotreat.results.summary import POSTERIOR, rows_of
from cotreat.study.study import Study

Tables = Mapping[str, pd.DataFrame]
"""Summaries by reading."""

LOOKS = (
    (BLUE, "o"),
    (VERMILION, "s"),
    (GREEN, "^"),
    (PURPLE, "D"),
    (BLACK, "v"),
    (ORANGE, "P"),
    (SKY, "X"),
)
COLUMNS = 3
MOST_PAIRS = 6
MOST_BACKGROUNDS = 4
"""What a page can hold."""
SLOT, PAD, HEADING = 0.1, 0.1, 0.24
"""Inches that a reading, the space around a row, and a heading take."""
NAME_WIDTH, WORDS_WIDTH, LEGEND_WIDTH = 26, 42, 90
MARK: dict[str, Any] = {"ls": "none", "ms": 4, "mew": 0.9}


@dataclass(frozen=True)
class Mark:
    """What one reading makes of a measure."""

    reading: str
    probability: float
    prior: float
    is_extrapolated: bool


@dataclass(frozen=True)
class Row:
    """A measure with its marks, or the words in their place; a heading has neither."""

    name: str
    marks: tuple[Mark, ...] = ()
    words: str = ""

    @property
    def is_heading(self) -> bool:
        """Whether it is about the rows below it."""
        return not self.marks and not self.words


@dataclass(frozen=True)
class Panel:
    """What is known of a pair."""

    pair: str
    rows: tuple[Row, ...]


def draw_readings(
    folder: Path,
    study: Study,
    summaries: Tables,
    *,
    failed: Sequence[str] = (),
    notes: Mapping[str, str] | None = None,
) -> list[Path]:
    """Write the figures of `cotreat.plots.STUDY_FIGURES`, those that the study has.

    Parameters
    ----------
    folder
        Where to; made if it is not there.
    summaries
        What `cotreat.results.summary.summarise` returns, by id of the reading, all of one model.
    failed
        Failed checks of any of the fits; if there is anything, each figure says so in red.
    notes
        What to write behind a reading in the legend, such as that other numbers contradict it.

    Returns
    -------
    list of Path
    """
    folder.mkdir(parents=True, exist_ok=True)
    known = {r.id: summaries[r.id] for r in study.readings if r.id in summaries}
    written = []
    for name, draw in (("readings", draw_synergy), ("readings_sizes", draw_sizes)):
        with off_screen():
            picture = draw(study, known, notes or {})
            if picture is not None:
                fit = next(iter(known.values())).iloc[0]
                words = f"study {fit.study} · model {fit.model} · priors {fit.priors}"
                write_below(picture, f"{words} · {len(known)} of {len(study.readings)} readings")
                save(picture, folder / f"{name}.png", failed)
                written.append(folder / f"{name}.png")
    return written


def looks(study: Study) -> dict[str, tuple[str, str]]:
    """Give each reading a colour and a marker, the same in all figures."""
    return {reading.id: look for reading, look in zip(study.readings, cycle(LOOKS), strict=False)}


# --- Synergy: what is drawn ----------------------------------------------------------------------


def panels(study: Study, summaries: Tables) -> list[Panel]:
    """Return a panel for each pair, from the summaries alone."""
    return [
        Panel(pair_name(study, pair), tuple(_rows(study, summaries, pair, sides)))
        for pair, sides in zip(study.pair_labels, study.pairs, strict=True)
    ]


def _rows(study: Study, summaries: Tables, pair: str, sides: tuple[str, str]) -> Iterator[Row]:
    own = {reading: _of_pair(study, table, pair) for reading, table in summaries.items()}
    once = {reading: t[t.co_treatment == ANY] for reading, t in own.items()}
    shared = [
        name
        for name in representatives().values()
        if all((table.measure == name).any() for table in once.values())
    ]
    measures = [name for name in representatives().values() if name not in shared]
    backgrounds = [study.label(background) for background in study.backgrounds(sides)]
    for background in backgrounds[:MOST_BACKGROUNDS]:
        at = named_co_treatment(background)
        here = {
            reading: t[(t.co_treatment == at["co_treatment"]) & (t.stratum == at["stratum"])]
            for reading, t in own.items()
        }
        yield Row(f"with {regimen_name(study, background)}")
        yield from (_row(name, here) for name in measures)
    if shared:
        yield Row("with any co-treatment")
        yield from (_row(name, once) for name in shared)


def _of_pair(study: Study, table: pd.DataFrame, pair: str) -> pd.DataFrame:
    is_own = table.measure.isin(representatives().values()) & (table.pair == pair)
    is_own &= table.judged_on == study.outcome.synergy_on
    return table[is_own & (table.estimator == POSTERIOR)]


def _row(name: str, tables: Tables) -> Row:
    """Return a measure's marks; words where no reading gives it a probability."""
    found = {reading: t[t.measure == name].iloc[0] for reading, t in tables.items()}
    marks = tuple(
        Mark(
            reading,
            float(row.probability),
            float(row.prior_probability),
            row.status == NOT_IDENTIFIED,
        )
        for reading, row in found.items()
        if not pd.isna(row.probability)
    )
    first = next(iter(found.values()))
    words = "" if marks else str(Status(first.status, first.reason))
    return Row(f"{MEASURES[name].family.name} ({name})", marks, words)


# --- Synergy: drawing ----------------------------------------------------------------------------


def draw_synergy(study: Study, summaries: Tables, notes: Mapping[str, str]) -> Figure | None:
    """Draw P(beyond its null) by pair, background, family and reading; None where there is none."""
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
        axes.set_xlabel("← antagonism    synergy →\nP(measure beyond its null)")
    title = "\n".join(_notes(study, every, shown))
    handles = [*reading_handles(list(summaries), look, notes), *_mark_handles(shown)]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, title=title)
    return figure


def _notes(study: Study, every: list[Panel], shown: list[Panel]) -> list[str]:
    lines = [fold(f"synergy is judged on: {judged_on(study)}", LINE)]
    if len(every) > len(shown):
        lines.append(f"{len(every) - len(shown)} more pairs are not shown")
    backgrounds = 2 ** (len(study.treatment_ids) - 2)
    if backgrounds > MOST_BACKGROUNDS:
        lines.append(f"{backgrounds - MOST_BACKGROUNDS} more backgrounds are not shown")
    names = [panel.pair for panel in shown] + [row.name for p in shown for row in p.rows]
    explained = key(study, names)
    return [*lines, explained] if explained else lines


def _places(rows: Sequence[Row], readings: int) -> tuple[list[float], float]:
    """Return the inches from the top to the middle of each row, and to the end."""
    heights = [HEADING if row.is_heading else PAD + SLOT * readings for row in rows]
    ends = np.cumsum(heights)
    middles = [float(end - height / 2) for end, height in zip(ends, heights, strict=True)]
    return middles, float(ends[-1])


def _draw_panel(
    axes: Axes,
    panel: Panel,
    places: Sequence[float],
    readings: Sequence[str],
    look: dict[str, tuple[str, str]],
) -> None:
    axes.set_xlim(-0.03, 1.03)
    for left, right in ((-0.03, 1 - DECIDED), (DECIDED, 1.03)):
        axes.axvspan(left, right, color=PALE, lw=0, zorder=0)
    axes.axvline(0.5, color=GREY, lw=0.5, ls=":", zorder=0)
    for y, row in zip(places, panel.rows, strict=True):
        if row.is_heading:
            place: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center"}
            axes.text(0.055, y, row.name, fontweight="bold", fontsize=7, **place)
        if row.words:
            words = shorten(row.words, WORDS_WIDTH, placeholder=" …")
            write_aside(axes, 0.5, y, words, ha="center")
        for mark in row.marks:
            at = y + slot(readings.index(mark.reading), len(readings))
            _draw_mark(axes, at, mark, *look[mark.reading])
        if not row.is_heading:
            edge = y + (PAD + SLOT * len(readings)) / 2
            axes.axhline(edge, color=PALE, lw=0.5, zorder=0)
    _label(axes, places, panel.rows, len(readings))
    axes.set_xticks(TICKS, TICK_LABELS, fontsize=6.5)
    axes.set_title(fold(panel.pair, NAME_WIDTH), loc="left", fontsize=8)


def slot(at: int, count: int) -> float:
    """Return how far below the middle of its row a reading stands."""
    return SLOT * (at - (count - 1) / 2)


def _draw_mark(axes: Axes, at: float, mark: Mark, color: str, marker: str) -> None:
    axes.plot([mark.prior, mark.probability], [at, at], color=color, lw=0.6, zorder=2)
    look = {"color": color, "marker": marker, **MARK}
    axes.plot(mark.prior, at, mfc="white", zorder=3, clip_on=False, **look)
    axes.plot(mark.probability, at, zorder=4, clip_on=False, **look, **_fill(mark.is_extrapolated))


def _fill(is_extrapolated: bool) -> dict[str, Any]:
    return {"fillstyle": "left", "markerfacecoloralt": "white"} if is_extrapolated else {}


def _label(axes: Axes, places: Sequence[float], rows: Sequence[Row], readings: int) -> None:
    own = [(y, row.name) for y, row in zip(places, rows, strict=True) if not row.is_heading]
    axes.set_yticks([y for y, _ in own], [name for _, name in own], fontsize=7.5)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(places[-1] + (PAD + SLOT * readings) / 2, 0)


def reading_handles(
    readings: Sequence[str], look: dict[str, tuple[str, str]], notes: Mapping[str, str]
) -> list[Artist]:
    """Explain the readings by their colours and markers."""
    return [
        Line2D([], [], color=color, marker=marker, lw=1, ms=4, label=_reading(reading, notes))
        for reading, (color, marker) in look.items()
        if reading in readings
    ]


def _reading(reading: str, notes: Mapping[str, str]) -> str:
    note = notes.get(reading, "")
    return fold(f"{reading}: {note}" if note else reading, LEGEND_WIDTH // 2)


def _mark_handles(shown: Sequence[Panel]) -> list[Artist]:
    marks = [mark for panel in shown for row in panel.rows for mark in row.marks]
    handles: list[Artist] = [
        Line2D([], [], color=GREY, marker="o", mfc="white", label="prior", **MARK)
    ]
    for is_extrapolated, name in ((False, "posterior"), (True, f"posterior, {NOT_IDENTIFIED}")):
        if any(mark.is_extrapolated == is_extrapolated for mark in marks):
            fill = _fill(is_extrapolated)
            handles.append(Line2D([], [], color=GREY, marker="o", label=name, **MARK, **fill))
    return [*handles, Patch(color=PALE, label=f"decided: ≥ {DECIDED} or ≤ {1 - DECIDED:.3f}")]


# --- Sizes ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Arm:
    """The size of an arm under each reading, before the prior they share."""

    name: str
    prior: Line
    sizes: dict[str, Line]


def arms(study: Study, summaries: Tables) -> list[Arm]:
    """Return the arms that nobody counted, from the summaries alone."""
    found = []
    for label in study.present:
        own = {reading: rows_of(t, SIZE, label) for reading, t in summaries.items()}
        sizes = {reading: read_lines(rows)[0] for reading, rows in own.items() if len(rows)}
        priors = [read_prior(rows) for rows in own.values() if len(rows)]
        if priors and priors[0] is not None:
            found.append(Arm(regimen_name(study, label), priors[0], sizes))
    return found


def draw_sizes(study: Study, summaries: Tables, notes: Mapping[str, str]) -> Figure | None:
    """Draw the sizes of the arms by reading; None where nobody needs to guess them."""
    every, look = arms(study, summaries), looks(study)
    if not every:
        return None
    step = PAD + 0.13 * len(summaries)
    figure = Figure(figsize=(7, 1.2 + step * len(every)), layout="constrained")
    axes = figure.add_subplot()
    for at, arm in enumerate(every):
        draw_band(axes, at, arm.prior.lower, arm.prior.upper)
        for reading, line in arm.sizes.items():
            offset = 0.13 / step * (list(summaries).index(reading) - (len(summaries) - 1) / 2)
            _draw_size(axes, at + offset, line, *look[reading])
    axes.set_yticks(range(len(every)), [fold(arm.name, NAME_WIDTH) for arm in every])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(every) - 0.45, -0.55)
    axes.set_xlim(left=0)
    axes.set_xlabel("patients" if study.totals else "share of the patients")
    handles = [*reading_handles(list(summaries), look, notes), band_handle()]
    title = [key(study, [arm.name for arm in every]), f"median and {CREDIBLE} interval by reading"]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=2, title="\n".join(filter(None, title))
    )
    return figure


def _draw_size(axes: Axes, at: float, line: Line, color: str, marker: str) -> None:
    axes.plot([line.lower, line.upper], [at, at], color=color, lw=1.4, solid_capstyle="butt")
    axes.plot(line.estimate, at, marker, color=color, ms=4)
