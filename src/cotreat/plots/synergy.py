"""Figure of a fit: probability of synergy by each measure, before and after the evidence."""

from collections.abc import Iterator
from dataclasses import dataclass
from textwrap import shorten
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from cotreat.core.constants import ANY, CONCLUSIVE, NOT_IDENTIFIED
from cotreat.estimands.enumerate import named_co_treatment
from cotreat.estimands.identification import Status
from cotreat.estimands.measures import MEASURES, Family, Measure, families
from cotreat.plots.labels import (
    CONCLUSIVE_LABEL,
    LINE,
    PROBABILITY_AXIS,
    co_treatment,
    fold,
    judged_note,
    key,
    pair_name,
)
from cotreat.plots.records import View
from cotreat.plots.registry import FIT, figure_of
from cotreat.plots.style import (
    BLUE,
    GREY,
    HALF,
    PALE,
    SMALL,
    label_rows,
    legend_below,
    probability_axis,
    write_aside,
)
from cotreat.results.headline import share
from cotreat.results.summary import POSTERIOR

MOST = 8
"""Panels that a page can hold."""
LISTED = 6
"""Pairs and co-treatments without a probability that are named below the panels."""
ROOM = 0.32
"""Width of the note at a row that is not identified, as a fraction of the axis."""
TITLE_WIDTH = 34
WORDS_WIDTH = 44
NOT_EVIDENCE = "not evidence of synergy"
ZONES = 3.0
"""Drawing level of the shaded zones."""
PRIOR: dict[str, Any] = {"color": GREY, "ls": "none", "marker": "o", "mfc": "white", "ms": 4}


@dataclass(frozen=True)
class Row:
    """A measure with its probabilities, or the reason why it has none.

    A row without a measure is the heading of a scale; its words are a remark.
    """

    name: str
    measure: Measure | None = None
    probability: float = np.nan
    prior_probability: float = np.nan
    words: str = ""
    is_unidentified: bool = False


@dataclass(frozen=True)
class Panel:
    """The measures of a pair with one co-treatment."""

    pair: str
    co_treatment: str
    rows: tuple[Row, ...]

    @property
    def title(self) -> str:
        """Pair and co-treatment."""
        return f"{self.pair}, {self.co_treatment}"

    @property
    def silence(self) -> str:
        """The reason why no measure has a probability, if it is the same for all."""
        reasons = {row.words for row in self.rows if row.measure is not None}
        return reasons.pop() if len(reasons) == 1 else ""

    @property
    def weight(self) -> int:
        """Number of measures with a probability; identified ones count twice."""
        rows = [row for row in self.rows if not np.isnan(row.probability)]
        return len(rows) + sum(not row.is_unidentified for row in rows)


# --- What is drawn -------------------------------------------------------------------------------


def panels(view: View) -> list[Panel]:
    """Return a panel per pair and co-treatment, from the summary alone."""
    rows = view.summary
    rows = rows[(rows.estimator == POSTERIOR) & (rows.judged_on == view.study.outcome.synergy_on)]
    return [
        Panel(
            pair_name(view.study, pair),
            co_treatment(view.study, background),
            tuple(_rows(rows, pair, named_co_treatment(background))),
        )
        for pair, sides in view.study.judged_pairs.items()
        for background in map(view.study.label, view.study.co_treatments(sides))
    ]


def _rows(summary: pd.DataFrame, pair: str, given: dict[str, str]) -> Iterator[Row]:
    for family in ordered():
        yield Row(family.name, words="" if family.is_synergy else NOT_EVIDENCE)
        for measure in MEASURES.values():
            if measure.family != family:
                continue
            rows = summary[(summary.measure == measure.name) & (summary.pair == pair)]
            # Under a structured model one ratio of odds ratios holds with every co-treatment.
            is_here = rows.co_treatment == given["co_treatment"]
            is_here &= rows.stratum == given["stratum"]
            yield _row(measure, rows[is_here | (rows.co_treatment == ANY)].iloc[0])


def ordered() -> list[Family]:
    """Return the scales in the order of the rows; those that are not evidence of synergy are last."""
    return sorted(families().values(), key=lambda family: not family.is_synergy)


def _row(measure: Measure, row: pd.Series) -> Row:
    name = f"{measure.words} ({measure.name})"
    if np.isnan(row.probability):
        return Row(name, measure, words=str(Status(row.status, row.reason)))
    is_unidentified = row.status == NOT_IDENTIFIED
    return Row(name, measure, row.probability, row.prior_probability, "", is_unidentified)


def most_informative(every: list[Panel]) -> list[Panel]:
    """Return the panels that a page can hold, in their order: those with most probabilities."""
    speaking = [panel for panel in every if not panel.silence]
    best = sorted(speaking, key=lambda panel: -panel.weight)[:MOST]
    return [panel for panel in speaking if panel in best]


def notes(view: View, every: list[Panel], shown: list[Panel]) -> list[str]:
    """Return the notes below the panels: side of the outcome, omitted panels, missing probabilities."""
    silent = [panel for panel in every if panel.silence]
    left_out = len(every) - len(silent) - len(shown)
    lines = [judged_note(view.study)]
    if left_out:
        lines.append(f"{left_out} more pairs and co-treatments are in summary.csv")
    lines += [fold(f"{panel.title}: {panel.silence}", LINE) for panel in silent[:LISTED]]
    if len(silent) > LISTED:
        lines.append(f"{len(silent) - LISTED} more pairs and co-treatments have no probability")
    words = [row.words for panel in shown for row in panel.rows]
    explained = key(view.study, [*lines, *words, *(panel.title for panel in shown)])
    return list(filter(None, [*lines, explained]))


# --- Drawing -------------------------------------------------------------------------------------


@figure_of(
    FIT,
    section="synergy",
    order=6,
    caption="A measure is conclusive only where its filled mark lies in a shaded zone: at least 0.975 "
    "is conclusive for synergy, at most 0.025 conclusive against it. Filled marks are "
    "posterior and open circles prior probabilities of synergy. Measures are grouped by "
    "scale, that is, by their reference model of no interaction. Words replace the marks of a "
    "measure without a probability.",
    alt="Dot plot with one panel per pair of treatments and co-treatment, and one row per "
    "measure, grouped by scale. The axis runs from 0, antagonism, to 1, synergy, with narrow "
    "shaded zones at both ends. Open circles are prior, filled marks posterior probabilities. "
    "The excess over the better single treatment is below a line and marked as not evidence "
    "of synergy.",
)
def synergy(view: View) -> Figure:
    """Draw a panel per pair and co-treatment, or list the reasons why there is none."""
    every = panels(view)
    shown = most_informative(every)
    below = "\n".join(notes(view, every, shown))
    if not shown:
        figure = Figure(figsize=(6.5, 0.3))
        figure.text(0, 1, below, va="top")
        return figure
    figure, grid = _grid(len(shown), len(shown[0].rows), below.count("\n"))
    for axes, panel in zip(grid.flat, shown, strict=False):
        _draw_panel(axes, panel)
        axes.tick_params(axis="y", labelleft=axes in grid[:, 0])
        title = fold(panel.title, TITLE_WIDTH) if len(every) > 1 else panel.pair
        axes.set_title(title, loc="left", fontsize=8)
    legend_below(figure, _legend(shown), [below], ncols=4)
    return figure


def _grid(count: int, rows: int, notes: int) -> tuple[Figure, NDArray[np.object_]]:
    columns = min(2, count)
    lines = -(-count // columns)
    width = 6.5 if columns == 1 else 8.0
    height = 1.1 + 0.15 * notes + lines * (0.45 + 0.18 * rows)
    figure = Figure(figsize=(width, height), layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False)
    for axes in grid.flat[count:]:
        axes.set_axis_off()
    for axes in grid.flat[max(0, count - columns) : count]:
        axes.set_xlabel(PROBABILITY_AXIS)
    return figure, grid


def _draw_panel(axes: Axes, panel: Panel) -> None:
    probability_axis(axes, zorder=ZONES, fontsize=7.5)
    axes.axvline(0.5, color=GREY, lw=0.5, ls=":", zorder=0)
    for at, row in enumerate(panel.rows):
        if row.words:
            words = shorten(row.words, WORDS_WIDTH, placeholder=" …")
            write_aside(axes, 0.5, at, words, ha="center", zorder=ZONES + 0.5)
        elif row.measure is not None:
            _draw_row(axes, at, row)
    names = [row.name for row in panel.rows]
    label_rows(axes, names, [row.name for row in panel.rows if row.measure is None])
    apart = [names.index(family.name) for family in ordered() if not family.is_synergy]
    for at in apart[:1]:
        axes.axhline(at - 0.5, color=GREY, lw=0.8)


def _draw_row(axes: Axes, at: int, row: Row) -> None:
    ends = [row.prior_probability, row.probability]
    axes.plot(ends, [at, at], color=GREY, lw=0.6, zorder=1)
    axes.plot(ends[0], at, zorder=_level(ends[0]), **PRIOR)
    axes.plot(ends[1], at, zorder=_level(ends[1]) + 0.1, **_look(row.is_unidentified))
    place: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center"}
    axes.text(1.02, at, share(row.probability), fontsize=SMALL, **place)
    if row.is_unidentified:
        _write_beside(axes, at, min(ends), max(ends))


def _level(probability: float) -> float:
    """Return the drawing level of a mark: above the zones only inside one, so that they cover others' edges."""
    return ZONES - 1 if 1 - CONCLUSIVE < probability < CONCLUSIVE else ZONES + 1


def _look(is_unidentified: bool) -> dict[str, Any]:
    shape = {"marker": "D", "ms": 4, **HALF} if is_unidentified else {"marker": "o", "ms": 4.5}
    return {"color": BLUE, "ls": "none", **shape}


def _write_beside(axes: Axes, at: int, left: float, right: float) -> None:
    """Write "not identified" on the side with more room, otherwise between the marks."""
    x, side = (left - 0.04, "right") if left > 1 - right else (right + 0.04, "left")
    if max(left, 1 - right) < ROOM:
        x, side = (left + right) / 2, "center"
    write_aside(axes, x, at, NOT_IDENTIFIED, ha=side, fontsize=6.5, zorder=ZONES + 0.5)


def _legend(shown: list[Panel]) -> list[Line2D | Patch]:
    rows = [row for panel in shown for row in panel.rows if not np.isnan(row.probability)]
    handles: list[Line2D | Patch] = []
    if rows:
        handles.append(Line2D([], [], label="prior", **PRIOR))
    for is_unidentified, name in ((False, "posterior"), (True, f"posterior, {NOT_IDENTIFIED}")):
        if any(row.is_unidentified == is_unidentified for row in rows):
            handles.append(Line2D([], [], label=name, **_look(is_unidentified)))
    return [*handles, Patch(color=PALE, label=CONCLUSIVE_LABEL)]
