"""Figure of a fit: probability of synergy by each measure, before and after the evidence."""

from collections.abc import Iterator

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cotreat.core.constants import ANY, NOT_IDENTIFIED
from cotreat.estimands.enumerate import named_co_treatment
from cotreat.estimands.measures import MEASURES, families
from cotreat.plots import style
from cotreat.plots.labels import (
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
from cotreat.plots.synergy_rows import (
    Panel,
    Row,
    draw_axis,
    draw_mark,
    handles,
    read_row,
    write_words,
)
from cotreat.results.headline import share
from cotreat.results.summary import POSTERIOR

MOST = 8
"""Panels that a page can hold."""
LISTED = 6
"""Pairs and co-treatments without a probability that are named below the panels."""
TITLE_WIDTH = 34
NOT_EVIDENCE = "not evidence of synergy"
MARK = " †"
"""Mark of a probability that is not identified."""


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
    figure, grid = style.panel_grid(
        len(shown),
        min(2, len(shown)),
        panel=(1.5, 0.45 + 0.18 * len(shown[0].rows)),
        margin=(5.0, 1.1 + 0.15 * below.count("\n")),
        xlabel=PROBABILITY_AXIS,
    )
    for axes, panel in zip(grid, shown, strict=True):
        _draw_panel(axes, panel)
    style.legend_below(figure, handles(shown, style.BLUE), [below], ncols=4)
    return figure


def panels(view: View) -> list[Panel]:
    """Return a panel per pair and co-treatment, from the summary alone."""
    study, rows = view.study, view.summary
    rows = rows[(rows.estimator == POSTERIOR) & (rows.judged_on == study.outcome.synergy_on)]
    places = [
        (pair, regimen)
        for pair, sides in study.judged_pairs.items()
        for regimen in map(study.label, study.co_treatments(sides))
    ]
    return [
        Panel(
            pair_name(study, pair) + f", {co_treatment(study, regimen)}" * (len(places) > 1),
            tuple(_rows(rows, pair, regimen)),
        )
        for pair, regimen in places
    ]


def _rows(summary: pd.DataFrame, pair: str, regimen: str) -> Iterator[Row]:
    place, rows = pd.Series(named_co_treatment(regimen)), summary[summary.pair == pair]
    # Under a structured model one ratio of odds ratios holds with every co-treatment.
    is_here = (rows[place.index] == place).all(axis=1) | (rows.co_treatment == ANY)
    by_measure = rows[is_here].drop_duplicates("measure").set_index("measure")
    for family in sorted(families().values(), key=lambda family: not family.is_synergy):
        yield Row(family.name, words="" if family.is_synergy else NOT_EVIDENCE)
        for name, measure in MEASURES.items():
            if measure.family == family:
                yield read_row(f"{measure.words} ({name})", name, {"": by_measure.loc[name]})


def most_informative(every: list[Panel]) -> list[Panel]:
    """Return the panels that a page can hold, in their order: those with most, and identified, probabilities."""
    candidates = [panel for panel in every if not panel.reason]
    best = sorted(candidates, key=lambda panel: sum(m.is_unidentified - 2 for m in panel.marks))
    return [panel for panel in candidates if panel in best[:MOST]]


def notes(view: View, every: list[Panel], shown: list[Panel]) -> list[str]:
    """Return the notes below the panels: side of the outcome, omitted panels, missing probabilities."""
    without = [panel for panel in every if panel.reason]
    lines = [judged_note(view.study)]
    if omitted := len(every) - len(without) - len(shown):
        lines.append(f"{omitted} more pairs and co-treatments are in summary.csv")
    lines += [fold(f"{panel.title}: {panel.reason}", LINE) for panel in without[:LISTED]]
    if len(without) > LISTED:
        lines.append(f"{len(without) - LISTED} more pairs and co-treatments have no probability")
    if any(mark.is_unidentified for panel in shown for mark in panel.marks):
        lines.append(f"{MARK.strip()}: {NOT_IDENTIFIED}")
    words = [row.words for panel in shown for row in panel.rows]
    explained = key(view.study, [*lines, *words, *(panel.title for panel in shown)])
    return list(filter(None, [*lines, explained]))


def _draw_panel(axes: Axes, panel: Panel) -> None:
    draw_axis(axes)
    for at, row in enumerate(panel.rows):
        write_words(axes, at, row)
        for mark in row.marks:
            draw_mark(axes, at, mark, style.BLUE, "o")
            text = share(mark.probability) + MARK * mark.is_unidentified
            style.write_at_right(axes, at, text)
        if row.words == NOT_EVIDENCE:
            axes.axhline(at - 0.5, color=style.GREY, lw=0.8)
    headings = [row.name for row in panel.rows if not row.measure]
    style.label_rows(axes, [row.name for row in panel.rows], headings)
    axes.set_title(fold(panel.title, TITLE_WIDTH), loc="left", fontsize=8)
