"""Rows of intervals, one estimand per row, posterior and usual estimates, from the summary."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from textwrap import shorten
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.transforms import ScaledTranslation

from cotreat.core.constants import FIXED, INTERVAL, NOT_ESTIMABLE, NOT_IDENTIFIED
from cotreat.estimands.identification import Status
from cotreat.plots.labels import fold, key
from cotreat.plots.style import (
    BLACK,
    BLUE,
    GREEN,
    PALE,
    PURPLE,
    VERMILION,
    label_rows,
    legend_below,
    number,
    write_aside,
)
from cotreat.results.summary import POSTERIOR, PRIOR, REPORTED
from cotreat.study.study import Study

NAME_WIDTH = 30
WORDS_WIDTH = 64
STEP = 0.28
"""Distance between the intervals of one row, in rows."""
BAND = 0.8
"""Height of the prior's band behind a row, in rows."""
COLUMN = 1.2
"""Inches between two columns of numbers."""
DASHED = (0, (2.2, 1.0))
"""Line style of an estimand that is not identified: short gaps, so that its ends are visible."""
POSTERIOR_HEAD = f"posterior median ({INTERVAL:.0%})"


@dataclass(frozen=True)
class Line:
    """One estimate with its interval, or words instead.

    Attributes
    ----------
    kind : str
        Estimator and interval, as in the legend.
    lower, upper : float
        NaN where there is no interval.
    """

    kind: str
    estimate: float
    lower: float
    upper: float
    words: str = ""
    is_unidentified: bool = False

    @property
    def is_posterior(self) -> bool:
        """Whether this is the posterior."""
        return self.kind.startswith(POSTERIOR)

    @property
    def is_reported(self) -> bool:
        """Whether this is a reported estimate."""
        return self.kind.startswith(REPORTED)

    @property
    def is_filled(self) -> bool:
        """Whether its mark is filled: a reported estimate, or an identified posterior."""
        return self.is_reported or (self.is_posterior and not self.is_unidentified)

    def turned(self) -> "Line":
        """Return the interval of the inverse ratio."""
        if self.words:
            return self
        lower, upper = 1 / self.upper, 1 / self.lower
        return replace(self, estimate=1 / self.estimate, lower=lower, upper=upper)

    @property
    def text(self) -> str:
        """Estimate and interval."""
        if np.isnan(self.lower):
            return number(self.estimate)
        return f"{number(self.estimate)} ({number(self.lower)} to {number(self.upper)})"


@dataclass(frozen=True)
class Row:
    """A named row of intervals, or a heading; the prior, if any, is a band behind them."""

    name: str
    lines: tuple[Line, ...] = ()
    is_heading: bool = False
    prior: Line | None = None

    @property
    def label(self) -> str:
        """The name, folded to the width of the labels."""
        return self.name if self.is_heading else fold(self.name, NAME_WIDTH)


def read_lines(rows: pd.DataFrame) -> tuple[Line, ...]:
    """Read the rows of one estimand except the prior, posterior first."""
    others = rows[rows.estimator != PRIOR].to_dict("records")
    ordered = sorted(others, key=lambda row: row["estimator"] != POSTERIOR)
    reasons = {_why_none(row) for row in ordered if _has_none(row)}
    if len(reasons) == 1 and all(map(_has_none, ordered)):
        return (_words(*reasons),)
    return tuple(_line(row) for row in ordered)


def read_prior(rows: pd.DataFrame) -> Line | None:
    """Read the prior of one estimand, if the summary has it."""
    own = rows[rows.estimator == PRIOR].to_dict("records")
    return _line(own[0]) if own else None


def _has_none(row: dict[str, Any]) -> bool:
    """Whether words replace the estimate of a row."""
    return row["status"] in (FIXED, NOT_ESTIMABLE)


def _why_none(row: dict[str, Any]) -> str:
    return str(Status(row["status"], row["reason"]))


def _line(row: dict[str, Any]) -> Line:
    if _has_none(row):
        return _words(_why_none(row) if row["estimator"] == POSTERIOR else NOT_ESTIMABLE)
    kind = f"{row['estimator']}, {row['interval']}"
    is_unidentified = row["status"] == NOT_IDENTIFIED and row["estimator"] != REPORTED
    return Line(kind, row["estimate"], row["lower"], row["upper"], "", is_unidentified)


def words_row(name: str, words: str) -> Row:
    """Return a row with words only."""
    return Row(name, (_words(words),))


def _words(words: str) -> Line:
    return Line("", np.nan, np.nan, np.nan, words)


# --- Drawing -------------------------------------------------------------------------------------

SHAPES = {VERMILION: "s", GREEN: "^", PURPLE: "D"}
OTHER_LOOKS = tuple({"color": color, "marker": shape} for color, shape in SHAPES.items())
REPORTED_LOOKS = tuple({"color": color, "marker": "D"} for color in (VERMILION, GREEN, BLACK))


def looks(rows: Sequence[Row]) -> dict[str, dict[str, Any]]:
    """Give each kind of line a colour and a marker."""
    kinds = dict.fromkeys(line.kind for row in rows for line in row.lines if not line.words)
    others, reported = iter(OTHER_LOOKS * len(kinds)), iter(REPORTED_LOOKS * len(kinds))

    def choose(kind: str) -> dict[str, Any]:
        if kind.startswith(POSTERIOR):
            return {"color": BLUE, "marker": "o"}
        return next(reported if kind.startswith(REPORTED) else others)

    return {kind: choose(kind) for kind in kinds}


def row_height(rows: Sequence[Row]) -> float:
    """Return the inches that a row needs for its name and for its intervals."""
    return max(0.34, 0.15 * max(row.label.count("\n") + 1 for row in rows))


def draw_rows(axes: Axes, rows: Sequence[Row], *, look: dict[str, dict[str, Any]]) -> None:
    """Draw rows of intervals from the top, after the limits of the axis are set.

    An interval that leaves the axis ends in an arrowhead.
    """
    for at, row in enumerate(rows):
        if row.prior is not None:
            draw_band(axes, at, row.prior.lower, row.prior.upper)
        for line, y in zip(row.lines, _slots(at, len(row.lines)), strict=True):
            if line.words:
                _write_words(axes, row, y, line.words)
            else:
                _draw_line(axes, line, y, look[line.kind])
    headings = [row.name for row in rows if row.is_heading]
    label_rows(axes, [row.label for row in rows], headings)


def draw_band(axes: Axes, at: float, lower: float, upper: float, height: float = BAND) -> None:
    """Draw a prior interval pale behind a row."""
    axes.barh(at, upper - lower, left=lower, height=height, color=PALE, zorder=0)


def band_handle(name: str = f"prior, {INTERVAL:.0%}") -> Patch:
    """Return the legend of the band."""
    return Patch(color=PALE, label=name)


def _write_words(axes: Axes, row: Row, y: float, words: str) -> None:
    """Write words instead of an estimate, below the other estimate of the row if there is one."""
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
    style: Any = DASHED if line.is_unidentified else "-"
    if not np.isnan(line.lower):
        bar: dict[str, Any] = {"color": color, "lw": width, "solid_capstyle": "butt"}
        axes.plot([line.lower, line.upper], [y, y], ls=style, zorder=2, **bar)
        _arrowheads(axes, line, y, color)
    face = color if line.is_filled else "white"
    axes.plot(line.estimate, y, look["marker"], color=color, mfc=face, ms=4.5, mew=1, zorder=3)


def _arrowheads(axes: Axes, line: Line, y: float, color: str) -> None:
    left, right = axes.get_xlim()
    for end, beyond, marker in ((left, line.lower < left, "<"), (right, line.upper > right, ">")):
        if beyond:
            axes.plot(end, y, marker, color=color, ms=4, clip_on=False, zorder=4)


def posterior_text(row: Row) -> str:
    """Return posterior median and interval of a row, empty if it has none."""
    return next((line.text for line in row.lines if line.is_posterior and not line.words), "")


def write_numbers(axes: Axes, texts: Sequence[str], head: str, column: int = 0) -> None:
    """Write a column of texts at the right of the axes, one per row, under a heading."""
    figure = axes.get_figure(root=True)
    assert figure is not None  # noqa: S101 - for the type checker
    move = ScaledTranslation(column * COLUMN, 0, figure.dpi_scale_trans)
    place: dict[str, Any] = {"transform": axes.get_yaxis_transform() + move, "fontsize": 7.5}
    axes.text(1.03, -0.6, head, va="bottom", style="italic", **place)
    for at, text in enumerate(texts):
        axes.text(1.03, at, text, va="center", **place)


def add_legend(
    figure: Figure,
    study: Study,
    rows: Sequence[Row],
    look: dict[str, dict[str, Any]],
    others: Sequence[Artist] = (),
    notes: Sequence[str] = (),
) -> None:
    """Add the legend below a figure: ids, kinds of line, and notes."""
    handles = [*(_handle(*kind, look[kind[0]]) for kind in _kinds(rows)), *others]
    words = [line.words for row in rows for line in row.lines]
    title = [key(study, [row.name for row in rows] + words + list(notes))]
    if NOT_ESTIMABLE in words:
        title.append(f"{NOT_ESTIMABLE}: no finite or no single maximum likelihood estimate")
    legend_below(figure, handles, [*title, *notes])


def _kinds(rows: Sequence[Row]) -> list[tuple[str, bool]]:
    """Return each kind of line and whether it is not identified, identified ones first."""
    drawn = [line for row in rows for line in row.lines if not line.words]
    order = list(dict.fromkeys(line.kind for line in drawn))
    kinds = {(line.kind, line.is_unidentified) for line in drawn}
    return sorted(kinds, key=lambda one: (order.index(one[0]), one[1]))


def _handle(kind: str, is_unidentified: bool, look: dict[str, Any]) -> Line2D:
    line = Line(kind, 1.0, 1.0, 1.0, "", is_unidentified)
    label = f"{kind}, {NOT_IDENTIFIED}" if is_unidentified else kind
    face = look["color"] if line.is_filled else "white"
    width, style = (2.0 if line.is_posterior else 1.0), (DASHED if is_unidentified else "-")
    return Line2D([], [], label=label, **look, mfc=face, lw=width, ls=style, ms=4.5)
