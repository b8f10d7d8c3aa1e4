"""The posterior beside maximum likelihood: odds ratios and ratios of odds ratios."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from cotreat.plots import View
from cotreat.plots.canvas import GREY, log_axis
from cotreat.plots.intervals import (
    Row,
    add_legend,
    draw_rows,
    looks,
    read_lines,
    row_height,
    words_row,
    write_numbers,
)
from cotreat.plots.words import event, fold, pair_name, regimen_name

MOST = 24
"""Ratios of odds ratios that a page can hold."""
LABEL_WIDTH = 60
REACH = 5.0
"""Factor by which the axis goes beyond the posterior; sparse data make other intervals endless."""


def draw(view: View) -> Figure:
    """Draw intervals of each counted regimen against the first, and of each pair's product."""
    rows = rows_to_draw(view)
    look = looks(rows)
    figure = Figure(figsize=(7, 1.2 + row_height(rows) * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    log_axis(axes, *limits(rows))
    axes.axvline(1, color=GREY, lw=0.6, zorder=0)
    draw_rows(axes, rows, look=look)
    texts = [_numbers(row) for row in rows]
    write_numbers(axes, texts, "posterior median (95%)")
    axes.set_xlabel(fold(f"ratio, on the event scale: {event(view.study)}", LABEL_WIDTH))
    add_legend(figure, view.study, rows, look)
    return figure


def rows_to_draw(view: View) -> list[Row]:
    """Return headings and rows, top to bottom, from the summary alone."""
    first = regimen_name(view.study, view.study.counted[0])
    return [
        Row(f"odds ratio against {first}", is_heading=True),
        *_odds_ratios(view),
        Row("ratio of odds ratios", is_heading=True),
        *_products(view),
    ]


def _odds_ratios(view: View) -> Iterator[Row]:
    first, *others = view.study.counted
    for arm in others:
        rows = view.summary[view.summary.estimand == f"odds_ratio[{arm} vs {first}]"]
        yield Row(regimen_name(view.study, arm), read_lines(rows))


def _products(view: View) -> Iterator[Row]:
    rows = list(_every_product(view))
    if len(rows) <= len(view.study.pairs):
        yield from rows
        return
    # Without structure there is one on each background, and most of those have no patients.
    speaking = [row for row in rows if not all(line.words for line in row.lines)]
    yield from speaking[:MOST]
    if len(speaking) > MOST:
        yield words_row(f"{len(speaking) - MOST} more", "not shown: see the summary")
    if silent := len(rows) - len(speaking):
        words = "undefined: no patients in one or more of the four regimens"
        yield words_row(f"{silent} pairs and backgrounds", words)


def _every_product(view: View) -> Iterator[Row]:
    on_event = view.summary[view.summary.scale == "event"]
    for pair in view.study.pair_labels:
        own = on_event[on_event.estimand == f"ror[{pair}]"]
        several = own.background.nunique() > 1
        for background, rows in own.groupby("background", sort=False):
            name = pair_name(view.study, pair)
            if several:
                name += f" on {regimen_name(view.study, background)}"
            yield Row(name, read_lines(rows))


def limits(rows: list[Row]) -> tuple[float, float]:
    """Return the ends of the axis: all there is, but not endlessly beyond the posterior and 1."""
    drawn = [line for row in rows for line in row.lines if line.lower > 0]
    main = [line for line in drawn if line.is_posterior] or drawn
    low, high = (min([1, *(m.lower for m in main)]), max([1, *(m.upper for m in main)]))
    lower = max(min([low, *(line.lower for line in drawn)]), low / REACH)
    upper = min(max([high, *(line.upper for line in drawn)]), high * REACH)
    margin = (upper / lower) ** 0.04
    return lower / margin, upper * margin


def _numbers(row: Row) -> str:
    return next((line.text for line in row.lines if line.is_posterior and not line.words), "")
