"""Common style of all figures; drawing without a window, saving, and the lines above and below."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator
from matplotlib.transforms import Bbox

from cotreat.core.constants import CONCLUSIVE
from cotreat.plots.labels import fold

# Okabe & Ito 2008: distinguishable with any colour vision.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
GREY, PALE = "#6B6B6B", "#DDDDDD"
WARNING = "#B00000"
SMALL, TINY = 7.0, 6.0

STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with Matplotlib, so all machines draw alike
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 8,
    "legend.fontsize": 7.5,
    "legend.title_fontsize": 7.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.0,
    "axes.prop_cycle": cycler(color=[BLUE, ORANGE, GREEN, VERMILION, PURPLE, SKY, BLACK]),
    "text.parse_math": False,  # a dollar sign in a treatment's name is a dollar sign
}
HALF: dict[str, Any] = {"fillstyle": "left", "markerfacecoloralt": "white"}
"""Marker of an estimand that is not identified."""
DPI = 150


@contextmanager
def off_screen() -> Iterator[None]:
    """Draw with the common style and the Agg backend; restore the state of pyplot afterwards.

    Yields
    ------
    None
    """
    # ArviZ makes its figures through pyplot, whose backend may be one that opens windows.
    backend, others = mpl.get_backend(), set(plt.get_fignums())
    with mpl.style.context(["default", STYLE]):
        plt.switch_backend("agg")
        try:
            yield
        finally:
            for number in set(plt.get_fignums()) - others:
                plt.close(number)
            plt.switch_backend(backend)


def save(figure: Figure, path: Path, failed: Sequence[str] = ()) -> None:
    """Write a figure as PNG, the same bytes for the same picture.

    Parameters
    ----------
    figure
        The figure.
    path
        File to write.
    failed
        Failed checks; the first is written above the figure.
    """
    if failed:
        warn(figure, failed[0])
    figure.savefig(path, dpi=DPI, bbox_inches="tight", pad_inches=0.08, metadata={"Software": None})


def warn(figure: Figure, failure: str) -> None:
    """Write in red above a figure that its numbers must not be used, and the failed check.

    Parameters
    ----------
    figure
        The figure.
    failure
        The failed check.
    """
    lines = textwrap.wrap(failure, width=int(14 * figure.get_figwidth()), break_on_hyphens=False)
    text = "\n".join(["FAILED CHECKS: do not use these numbers", *lines])
    top = (_extent(figure).y1 + 0.08) / figure.get_figheight()
    figure.text(0, top, text, color=WARNING, fontweight="bold", va="bottom", ha="left")


def write_below(figure: Figure, text: str) -> None:
    """Write a line small below a figure.

    Parameters
    ----------
    figure
        The figure.
    text
        The line.
    """
    bottom = (_extent(figure).y0 - 0.06) / figure.get_figheight()
    figure.text(0, bottom, text, color=GREY, fontsize=TINY, va="top", ha="left")


def _extent(figure: Figure) -> Bbox:
    """Lay out for good, and return the inches taken: titles and labels may stand out of a figure."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for legend in figure.legends:  # otherwise `save` moves it down onto the text
        legend.set_bbox_to_anchor((0, 0, 1, 1), figure.transFigure)
    return figure.get_tightbbox()


def panel_grid(
    count: int,
    columns: int,
    *,
    panel: tuple[float, float],
    margin: tuple[float, float],
    xlabel: str,
) -> tuple[Figure, list[Axes]]:
    """Make a figure of panels in lines; rows are labelled at the left, the axis below the lowest panels.

    Parameters
    ----------
    count, columns : int
        Number of panels, and of panels side by side.
    panel, margin : tuple of float
        Width and height of a panel, and of what the figure has besides, in inches.
    xlabel : str
        Label of the axis.

    Returns
    -------
    tuple of Figure and list of Axes
    """
    lines = -(-count // columns)
    size = (margin[0] + panel[0] * columns, margin[1] + panel[1] * lines)
    figure = Figure(figsize=size, layout="constrained")
    grid = list(figure.subplots(lines, columns, squeeze=False).flat)
    for at, axes in enumerate(grid):
        axes.tick_params(axis="y", labelleft=at % columns == 0)
        axes.set_xlabel(xlabel if count - columns <= at < count else "")
    for axes in grid[count:]:
        axes.set_axis_off()
    return figure, grid[:count]


def label_rows(axes: Axes, labels: Sequence[str], headings: Sequence[str] = ()) -> None:
    """Label the rows of a figure like a table from the top; headings in bold.

    Parameters
    ----------
    axes
        Axes to draw on.
    labels
        Labels from the top.
    headings
        Labels among them that are headings.
    """
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    for text in axes.get_yticklabels():
        if text.get_text() in headings:
            text.set_fontweight("bold")


def title_panel(axes: Axes, text: str, width: int = 26) -> None:
    """Write the title of a panel at its left, in lines of at most `width` characters.

    Parameters
    ----------
    axes
        Axes to draw on.
    text
        The title.
    width
        Largest number of characters in a line.
    """
    axes.set_title(fold(text, width), loc="left", fontsize=8)


def write_aside(axes: Axes, x: float, y: float, words: str, **place: Any) -> None:
    """Write words into the picture where a mark would be, on white.

    Parameters
    ----------
    axes
        Axes to draw on.
    x
        Place along the x axis.
    y
        Place along the y axis.
    words
        The words.
    **place
        Further arguments of `Axes.text`.
    """
    box = {"fc": "white", "ec": "none", "pad": 0.5}
    look = {"color": GREY, "style": "italic", "fontsize": SMALL, "va": "center", "bbox": box}
    axes.text(x, y, words, **{"zorder": 1, **look, **place})


def write_at_right(axes: Axes, y: float, text: str, inches: float = 0, **place: Any) -> None:
    """Write at the right of the axes, on a row, some inches further to the right.

    Parameters
    ----------
    axes
        Axes to draw on.
    y
        Row.
    text
        The text.
    inches
        Distance from the axes.
    **place
        Further arguments of `Axes.annotate`.
    """
    look: dict[str, Any] = {"fontsize": SMALL, "va": "center", **place}
    at: dict[str, Any] = {"xycoords": axes.get_yaxis_transform(), "textcoords": "offset points"}
    axes.annotate(text, (1.03, y), (72 * inches, 0), annotation_clip=False, **at, **look)


def probability_axis(axes: Axes, *, zorder: float = 0) -> None:
    """Set the x axis to probabilities of synergy, with the conclusive zones shaded.

    Parameters
    ----------
    axes
        Axes to draw on.
    zorder
        Order of drawing of the zones.
    """
    axes.set_xlim(-0.03, 1.03)
    for left, right in ((-0.03, 1 - CONCLUSIVE), (CONCLUSIVE, 1.03)):
        axes.axvspan(left, right, color=PALE, lw=0, zorder=zorder)
    ticks = (1 - CONCLUSIVE, 0.25, 0.5, 0.75, CONCLUSIVE)
    axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks], fontsize=6.5)


def conclusive_patch() -> Patch:
    """Return the legend of the conclusive zones of a probability axis.

    Returns
    -------
    Patch
    """
    return Patch(color=PALE, label=f"conclusive: ≥ {CONCLUSIVE} or ≤ {1 - CONCLUSIVE:.3f}")


def percent_axis(axis: Axis, most: int) -> None:
    """Write at most `most` ticks of an axis of risks as percentages.

    Parameters
    ----------
    axis
        The axis.
    most
        Largest number of intervals between ticks.
    """
    axis.set_major_locator(MaxNLocator(most))
    axis.set_major_formatter(FuncFormatter(lambda risk, _: f"{100 * risk:g}%"))


def legend_below(
    figure: Figure, handles: Iterable[Artist], notes: Iterable[str] = (), *, ncols: int = 2
) -> None:
    """Add the legend below a figure, with notes above its entries; empty notes are left out.

    Parameters
    ----------
    figure
        The figure.
    handles
        Entries of the legend.
    notes
        Notes above the entries.
    ncols
        Number of columns.
    """
    title = "\n".join(filter(None, notes))
    figure.legend(handles=list(handles), loc="outside lower center", ncols=ncols, title=title)


def log_axis(axes: Axes, lower: float, upper: float, most: int = 8, name: str = "x") -> None:
    """Set a logarithmic axis, x or y, with at most `most` ticks, written as plain numbers.

    Parameters
    ----------
    axes
        Axes to draw on.
    lower
        Lower limit.
    upper
        Upper limit.
    most
        Largest number of ticks.
    name
        ``x`` or ``y``.
    """
    axes.set(**{f"{name}scale": "log", f"{name}lim": (lower, upper)})
    axis: Axis = getattr(axes, f"{name}axis")
    axis.set_major_locator(FixedLocator(log_ticks(lower, upper, most)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def log_ticks(lower: float, upper: float, most: int = 8) -> list[float]:
    """Return at most `most` round numbers within an interval, as many as may be.

    Parameters
    ----------
    lower
        Lower limit.
    upper
        Upper limit.
    most
        Largest number of ticks.

    Returns
    -------
    list of float
    """
    decades = 10.0 ** np.arange(np.floor(np.log10(lower)), np.ceil(np.log10(upper)) + 1)
    ticks: list[float] = []
    finer = (np.arange(1, 10, 0.5), np.arange(1, 10))
    for steps in (*finer, [1, 1.5, 2, 3, 5, 7], [1, 2, 5], [1, 3], [1]):
        ticks = sorted({round(s * d, 12) for d in decades for s in steps})
        ticks = [tick for tick in ticks if lower * (1 - 1e-9) <= tick <= upper * (1 + 1e-9)]
        if len(ticks) <= most:
            break
    return ticks


def number(value: float) -> str:
    """Write an estimate with about three significant digits.

    Parameters
    ----------
    value
        A number.

    Returns
    -------
    str
    """
    size = abs(value)
    digits = ".2g" if 0 < size < 0.1 else ".2f" if size < 10 else ".1f" if size < 100 else ".3g"
    return f"{value:{digits}}"
