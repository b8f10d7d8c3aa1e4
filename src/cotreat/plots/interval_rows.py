"""Rows of intervals, one estimand per row, posterior and usual estimates, from the summary."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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

from cotreat.core.constants import FIXED, INTERVAL, NOT_ESTIMABLE, NOT_IDENTIFIED
from cotreat.estimands.identification import Status
from cotreat.plots import style
from cotreat.plots.labels import fold, key
from cotreat.results.summary import POSTERIOR, PRIOR, REPORTED
from cotreat.study.study import Study

NAME_WIDTH = 30
WORDS_WIDTH = 64
STEP = 0.28
"""Distance between the intervals of one row, in rows."""
BAND = 0.7
"""Height of the prior's band behind a row, in rows."""
COLUMN = 1.2
"""Inches between two columns of numbers."""
DASHED = (0, (2.2, 1.0))
"""Line style of an estimand that is not identified: short gaps, so that its ends are visible."""
POSTERIOR_HEAD = f"posterior median ({INTERVAL:.0%})"


Look = dict[str, Any]
"""Colour and marker of a kind of line."""


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

    kind: str = ""
    estimate: float = np.nan
    lower: float = np.nan
    upper: float = np.nan
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

    def inverted(self) -> "Line":
        """Return the interval of the inverse ratio.

        Returns
        -------
        Line
            The same line with 1 / estimate.
        """
        lower, upper = 1 / self.upper, 1 / self.lower
        return replace(self, estimate=1 / self.estimate, lower=lower, upper=upper)


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

    @property
    def posterior(self) -> Line | None:
        """The posterior, if the row has it."""
        return next((line for line in self.lines if line.is_posterior), None)

    def inverted(self) -> "Row":
        """Return the row of the inverse ratio.

        Returns
        -------
        Row
            The same row with all lines and the prior inverted.
        """
        lines = tuple(line.inverted() for line in self.lines)
        return Row(self.name, lines, prior=self.prior and self.prior.inverted())


def read_row(name: str, rows: pd.DataFrame) -> Row:
    """Return the row of one estimand of a summary: posterior first; the prior where it is not identified.

    Parameters
    ----------
    name : str
        Name of the row.
    rows : pandas.DataFrame
        The rows of the estimand, by estimator.

    Returns
    -------
    Row
        With words instead of lines where all estimators lack an estimate for one reason.
    """
    records = sorted(rows.to_dict("records"), key=lambda record: record["estimator"] != POSTERIOR)
    priors = [_line(record) for record in records if record["estimator"] == PRIOR]
    lines = tuple(_line(record) for record in records if record["estimator"] != PRIOR)
    if all(line.words for line in lines):
        reasons = {str(Status(record["status"], record["reason"])) for record in records}
        lines = (Line(words=reasons.pop()),) if len(reasons) == 1 else lines
    is_unidentified = any(line.is_unidentified for line in lines if line.is_posterior)
    return Row(name, lines, prior=priors[0] if priors and is_unidentified else None)


def _line(record: dict[str, Any]) -> Line:
    estimator, status = record["estimator"], record["status"]
    if status in (FIXED, NOT_ESTIMABLE):
        reason = str(Status(status, record["reason"]))
        return Line(words=reason if estimator == POSTERIOR else NOT_ESTIMABLE)
    is_unidentified = status == NOT_IDENTIFIED and estimator != REPORTED
    estimate, lower, upper = (record[name] for name in ("estimate", "lower", "upper"))
    kind = f"{estimator}, {record['interval']}"
    return Line(kind, estimate, lower, upper, is_unidentified=is_unidentified)


def interval_text(lines: Sequence[Line], write: Callable[[float], str] = style.number) -> str:
    """Write the first of lines, which is the posterior if there is one; empty where words replace it.

    Parameters
    ----------
    lines
        Lines of one row.
    write
        How a number is written.

    Returns
    -------
    str
    """
    if not lines or lines[0].words or lines[0].is_reported:
        return ""
    line = lines[0]
    interval = "" if np.isnan(line.lower) else f" ({write(line.lower)} to {write(line.upper)})"
    return write(line.estimate) + interval


# --- Drawing -------------------------------------------------------------------------------------

POSTERIOR_LOOK = (style.BLUE, "o")
OTHERS = {style.VERMILION: "s", style.GREEN: "^", style.PURPLE: "D"}
REPORTED_COLORS = dict.fromkeys((style.VERMILION, style.GREEN, style.BLACK), "D")


def looks(rows: Sequence[Row]) -> dict[str, Look]:
    """Give each kind of line a colour and a marker.

    Parameters
    ----------
    rows
        Rows of the figure.

    Returns
    -------
    dict[str, Look]
        Look by kind of line.
    """
    kinds = dict.fromkeys(line.kind for row in rows for line in row.lines if not line.words)
    others, reported = cycle(OTHERS.items()), cycle(REPORTED_COLORS.items())
    look: dict[str, Look] = {}
    for kind in kinds:
        chosen = reported if kind.startswith(REPORTED) else others
        color, marker = POSTERIOR_LOOK if kind.startswith(POSTERIOR) else next(chosen)
        look[kind] = {"color": color, "marker": marker}
    return look


def row_height(rows: Sequence[Row]) -> float:
    """Return the inches that a row needs for its name and for its intervals.

    Parameters
    ----------
    rows
        Rows of the figure.

    Returns
    -------
    float
        Inches.
    """
    return max(0.34, 0.15 * max(row.label.count("\n") + 1 for row in rows))


def draw_rows(axes: Axes, rows: Sequence[Row], *, look: dict[str, Look]) -> None:
    """Draw rows of intervals from the top, after the limits of the axis are set.

    An interval that leaves the axis ends in an arrowhead.

    Parameters
    ----------
    axes
        Axes to draw on.
    rows
        Rows from the top.
    look
        Colour and marker of each kind of line.
    """
    for at, row in enumerate(rows):
        if row.prior is not None:
            left, right = row.prior.lower, row.prior.upper
            axes.barh(at, right - left, left=left, height=BAND, color=style.PALE, zorder=0)
        for place, line in enumerate(row.lines):
            y = at + STEP * (place - (len(row.lines) - 1) / 2)
            if line.words:
                _write_words(axes, row, y, line.words)
            else:
                _draw_line(axes, line, y, look[line.kind])
    headings = [row.name for row in rows if row.is_heading]
    style.label_rows(axes, [row.label for row in rows], headings)


def band_handle(name: str = f"prior, {INTERVAL:.0%}") -> Patch:
    """Return the legend of the band.

    Parameters
    ----------
    name
        Name in the legend.

    Returns
    -------
    Patch
    """
    return Patch(color=style.PALE, label=name)


def _write_words(axes: Axes, row: Row, y: float, words: str) -> None:
    """Write words instead of an estimate, below the other estimate of the row if there is one."""
    drawn = [line.estimate for line in row.lines if not line.words]
    if drawn:
        style.write_aside(axes, drawn[0], y, words, ha="center")
    else:
        words = shorten(words, WORDS_WIDTH, placeholder=" …")
        style.write_aside(axes, 0.01, y, words, transform=axes.get_yaxis_transform())


def _properties(line: Line, look: Look) -> dict[str, Any]:
    """Return the properties of the bar and of the mark of a line."""
    return {
        "lw": 2.0 if line.is_posterior else 1.0,
        "ls": DASHED if line.is_unidentified else "-",
        "mfc": look["color"] if line.is_filled else "white",
        **look,
    }


def _draw_line(axes: Axes, line: Line, y: float, look: Look) -> None:
    bar = _properties(line, look)
    mark = {"marker": bar.pop("marker"), "mfc": bar.pop("mfc"), "color": bar["color"]}
    if not np.isnan(line.lower):
        axes.plot([line.lower, line.upper], [y, y], solid_capstyle="butt", zorder=2, **bar)
    left, right = axes.get_xlim()
    for end, beyond, marker in ((left, line.lower < left, "<"), (right, line.upper > right, ">")):
        if beyond:
            axes.plot(end, y, marker, color=bar["color"], ms=4, clip_on=False, zorder=4)
    axes.plot(line.estimate, y, ls="none", ms=4.5, mew=1, zorder=3, **mark)


def write_numbers(axes: Axes, texts: Sequence[str], head: str, column: int = 0) -> None:
    """Write a column of texts at the right of the axes, one per row, under a heading.

    Parameters
    ----------
    axes
        Axes to draw on.
    texts
        One text per row, from the top.
    head
        Heading of the column.
    column
        Place of the column: 0 next to the axes.
    """
    place: dict[str, Any] = {"fontsize": 7.5, "inches": column * COLUMN}
    style.write_at_right(axes, -0.6, head, va="bottom", style="italic", **place)
    for at, text in enumerate(texts):
        style.write_at_right(axes, at, text, **place)


def add_legend(
    figure: Figure,
    study: Study,
    rows: Sequence[Row],
    look: dict[str, Look],
    others: Sequence[Artist] = (),
    notes: Sequence[str] = (),
) -> None:
    """Add the legend below a figure: ids, kinds of line, and notes.

    Parameters
    ----------
    figure
        The figure.
    study
        The study.
    rows
        Rows that are drawn.
    look
        Colour and marker of each kind of line.
    others
        Entries besides the kinds of line.
    notes
        Lines above the entries.
    """
    lines = [line for row in rows for line in row.lines]
    kinds = {(line.kind, line.is_unidentified): line for line in lines if not line.words}
    handles = []
    for kind, is_unidentified in sorted(kinds, key=lambda k: (list(look).index(k[0]), k[1])):
        label = kind + f", {NOT_IDENTIFIED}" * is_unidentified
        properties = _properties(kinds[kind, is_unidentified], look[kind])
        handles.append(Line2D([], [], label=label, ms=4.5, **properties))
    words = [line.words for line in lines]
    title = [key(study, [row.name for row in rows] + words + list(notes))]
    if NOT_ESTIMABLE in words:
        title.append(f"{NOT_ESTIMABLE}: no finite or no single maximum likelihood estimate")
    style.legend_below(figure, [*handles, *others], [*title, *notes])
