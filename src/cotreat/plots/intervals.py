"""Rows of intervals: posterior and maximum likelihood of one estimand, read from the summary."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import shorten
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cotreat.names import FIXED, is_undefined
from cotreat.plots.canvas import BLUE, GREEN, PURPLE, VERMILION, label_rows, number, write_aside
from cotreat.plots.words import fold, key
from cotreat.study import Study
from cotreat.summary import POSTERIOR

EXTRAPOLATED = "extrapolated"
NOT_ESTIMABLE = "not estimable"
NAME_WIDTH = 30
WORDS_WIDTH = 64
STEP = 0.28
"""Distance between the intervals of one row, in rows."""


@dataclass(frozen=True)
class Line:
    """One estimate with its interval, or the words that stand in its place.

    Attributes
    ----------
    kind : str
        Estimator and interval, as the legend says them.
    lower, upper : float
        NaN where there is no interval.
    """

    kind: str
    estimate: float
    lower: float
    upper: float
    words: str = ""
    is_extrapolated: bool = False

    @property
    def is_posterior(self) -> bool:
        """Whether this is the Bayesian answer."""
        return self.kind.startswith(POSTERIOR)

    @property
    def text(self) -> str:
        """The numbers, for people."""
        if np.isnan(self.lower):
            return number(self.estimate)
        return f"{number(self.estimate)} ({number(self.lower)} to {number(self.upper)})"


@dataclass(frozen=True)
class Row:
    """A named row of intervals, or a heading."""

    name: str
    lines: tuple[Line, ...] = ()
    is_heading: bool = False

    @property
    def label(self) -> str:
        """The name, in lines that fit beside a picture."""
        return self.name if self.is_heading else fold(self.name, NAME_WIDTH)


def read_lines(rows: pd.DataFrame) -> tuple[Line, ...]:
    """Read the summary's rows of one estimand on the event scale, the posterior first."""
    ordered = sorted(rows.to_dict("records"), key=lambda row: row["estimator"] != POSTERIOR)
    reasons = {row["availability"] for row in ordered if _is_silent(row["availability"])}
    if len(reasons) == 1 and all(_is_silent(row["availability"]) for row in ordered):
        return (_words(*reasons),)
    return tuple(_line(row) for row in ordered)


def _is_silent(availability: str) -> bool:
    return availability == FIXED or is_undefined(availability)


def _line(row: dict[str, Any]) -> Line:
    available = row["availability"]
    if _is_silent(available):
        return _words(available if row["estimator"] == POSTERIOR else NOT_ESTIMABLE)
    kind = f"{row['estimator']}, {row['interval']}"
    extrapolated = available == EXTRAPOLATED
    return Line(kind, row["estimate"], row["lower"], row["upper"], "", extrapolated)


def words_row(name: str, words: str) -> Row:
    """Return a row that holds words only."""
    return Row(name, (_words(words),))


def _words(words: str) -> Line:
    return Line("", np.nan, np.nan, np.nan, words)


# --- Drawing -------------------------------------------------------------------------------------

POSTERIOR_LOOK = {"color": BLUE, "marker": "o"}
OTHER_LOOKS = (
    {"color": VERMILION, "marker": "s"},
    {"color": GREEN, "marker": "^"},
    {"color": PURPLE, "marker": "D"},
)


def looks(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """Give each kind of line that is drawn a colour and a marker, the posterior its own."""
    kinds = dict.fromkeys(line.kind for row in rows for line in row.lines if not line.words)
    others = iter(OTHER_LOOKS * len(kinds))
    return {kind: POSTERIOR_LOOK if kind.startswith(POSTERIOR) else next(others) for kind in kinds}


def row_height(rows: Sequence[Row]) -> float:
    """Return the inches that a row needs for its name and for its intervals."""
    return max(0.34, 0.15 * max(row.label.count("\n") + 1 for row in rows))


def draw_rows(axes: Axes, rows: Sequence[Row], *, look: dict[str, dict[str, Any]]) -> None:
    """Draw rows of intervals from the top; the limits of the axis must stand already.

    An interval that leaves the axis ends in an arrowhead.
    """
    for at, row in enumerate(rows):
        for line, y in zip(row.lines, _slots(at, len(row.lines)), strict=True):
            if line.words:
                _write_words(axes, row, y, line.words)
            else:
                _draw_line(axes, line, y, look[line.kind])
    headings = [row.name for row in rows if row.is_heading]
    label_rows(axes, [row.label for row in rows], headings)


def _write_words(axes: Axes, row: Row, y: float, words: str) -> None:
    """Write under the row's estimate, if it has one, what stands in another one's place."""
    drawn = [line.estimate for line in row.lines if not line.words]
    if drawn:
        write_aside(axes, drawn[0], y, words, ha="center")
    else:
        words = shorten(words, WORDS_WIDTH, placeholder=" …")
        write_aside(axes, 0.01, y, words, transform=axes.get_yaxis_transform())


def _slots(at: int, count: int) -> Iterator[float]:
    return (at + STEP * (i - (count - 1) / 2) for i in range(count))


def _draw_line(axes: Axes, line: Line, y: float, look: dict[str, Any]) -> None:
    color, width = look["color"], 2.0 if line.is_posterior else 1.0
    style = "--" if line.is_extrapolated else "-"
    if not np.isnan(line.lower):
        bar: dict[str, Any] = {"color": color, "lw": width, "solid_capstyle": "butt"}
        axes.plot([line.lower, line.upper], [y, y], style, zorder=2, **bar)
        _arrowheads(axes, line, y, color)
    face = color if line.is_posterior and not line.is_extrapolated else "white"
    axes.plot(line.estimate, y, look["marker"], color=color, mfc=face, ms=4.5, mew=1, zorder=3)


def _arrowheads(axes: Axes, line: Line, y: float, color: str) -> None:
    left, right = axes.get_xlim()
    for end, beyond, marker in ((left, line.lower < left, "<"), (right, line.upper > right, ">")):
        if beyond:
            axes.plot(end, y, marker, color=color, ms=4, clip_on=False, zorder=4)


def write_numbers(axes: Axes, texts: Sequence[str], head: str) -> None:
    """Print a column of texts right of the axes, one a row, under a heading."""
    place: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "fontsize": 7.5}
    axes.text(1.03, -0.6, head, va="bottom", style="italic", **place)
    for at, text in enumerate(texts):
        axes.text(1.03, at, text, va="center", **place)


def add_legend(
    figure: Figure,
    study: Study,
    rows: Sequence[Row],
    look: dict[str, dict[str, Any]],
    others: Sequence[Artist] = (),
) -> None:
    """Explain below a figure its ids and kinds of line, and what else there is."""
    handles: list[Artist] = [
        _handle(kind, filled=kind.startswith(POSTERIOR), **look[kind]) for kind in look
    ]
    handles += others
    if any(line.is_extrapolated for row in rows for line in row.lines):
        handles.append(
            Line2D([], [], label=EXTRAPOLATED, color=BLUE, ls="--", marker="o", mfc="white", ms=4.5)
        )
    words = [line.words for row in rows for line in row.lines]
    title = [key(study, [row.name for row in rows] + words)]
    if NOT_ESTIMABLE in words:
        title.append(f"{NOT_ESTIMABLE}: no finite or no single maximum likelihood estimate")
    below = "\n".join(filter(None, title))
    figure.legend(handles=handles, loc="outside lower center", ncols=2, title=below)


def _handle(kind: str, *, filled: bool, color: str, marker: str) -> Line2D:
    face, width = (color, 2.0) if filled else ("white", 1.0)
    return Line2D([], [], label=kind, color=color, marker=marker, mfc=face, lw=width, ms=4.5)
