"""Figure of a study: probability of synergy under each interpretation."""

from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cotreat.plots import style, synergy_rows
from cotreat.plots.labels import PROBABILITY_AXIS, fold
from cotreat.plots.records import Interpretations
from cotreat.plots.registry import STUDY, figure_of
from cotreat.study.study import Study

COLORS = (
    *(style.BLUE, style.VERMILION, style.GREEN, style.PURPLE, style.BLACK, style.ORANGE),
    style.SKY,
)
LOOKS = tuple(zip(COLORS, "os^DvPX", strict=True))
COLUMNS, MOST = 3, 9
"""Panels side by side, and panels that a page can hold."""
SLOT, PAD = 0.1, 0.1
"""Inches of an interpretation, and of the space around a row."""
LEGEND_WIDTH = 45


@figure_of(
    STUDY,
    order=1,
    caption="The interpretation matters where the filled marks of one row lie in different zones. "
    "Filled marks are posterior, open marks prior probabilities of synergy, per "
    "interpretation (colour and shape), for one measure per scale. Only marks in the shaded "
    "zones are conclusive: at least 0.975 for synergy, at most 0.025 against it.",
    alt="Dot plot with one panel per pair of treatments and co-treatment and one row per measure, "
    "within which each interpretation has its own line, colour and marker. The axis runs from "
    "0, antagonism, to 1, synergy, with narrow shaded zones at both ends. Open marks are "
    "prior, filled or half-filled ones posterior probabilities.",
)
def interpretations(record: Interpretations) -> Figure | None:
    """Draw P(synergy) by pair, co-treatment, scale and interpretation.

    Parameters
    ----------
    record : Interpretations
        The study under each of its interpretations.

    Returns
    -------
    Figure or None
        None where the study has one interpretation, the model has levels or subgroups, or no measure has
        a probability.
    """
    study, summaries = record.study, record.summaries
    has_strata = any(_has_strata(study, table) for table in summaries.values())
    if len(study.interpretations) < 2 or has_strata:
        return None
    every = synergy_rows.panels(study, summaries, one_per_scale=True)
    shown = [panel for panel in synergy_rows.most_informative(every, MOST) if panel.marks]
    if not shown:
        return None
    figure, grid = style.panel_grid(
        len(shown),
        min(COLUMNS, len(shown)),
        panel=(2.0, 0.5 + (PAD + SLOT * len(summaries)) * len(shown[0].rows)),
        margin=(2.0, 1.6),
        xlabel=PROBABILITY_AXIS,
    )
    look = {name: pair for name, pair in looks(study).items() if name in summaries}
    for axes, panel in zip(grid, shown, strict=True):
        _draw_panel(axes, panel, look)
    labels = {name: f"{name}: {note}" for name, note in record.notes.items()}
    names = [
        Line2D([], [], color=c, marker=m, lw=1, ms=4, label=fold(labels.get(n, n), LEGEND_WIDTH))
        for n, (c, m) in look.items()
    ]
    below = synergy_rows.notes(study, every, shown)
    style.legend_below(figure, [*names, *synergy_rows.handles(shown, style.GREY)], below)
    return figure


def _has_strata(study: Study, summary: pd.DataFrame) -> bool:
    """Return whether a summary has subgroups, or pairs of levels."""
    pairs = set(summary.pair.dropna()) - {"", *study.pair_labels}
    return bool(pairs) or bool((summary.stratum.fillna("") != "").any())


def looks(study: Study) -> dict[str, tuple[str, str]]:
    """Return colour and marker of each interpretation.

    Parameters
    ----------
    study
        The study.

    Returns
    -------
    dict[str, tuple[str, str]]
        Colour and marker by interpretation.
    """
    ids = [interpretation.id for interpretation in study.interpretations]
    return dict(zip(ids, cycle(LOOKS), strict=False))


def _draw_panel(axes: Axes, panel: synergy_rows.Panel, look: dict[str, tuple[str, str]]) -> None:
    """Draw the rows, with a place for each interpretation within a row."""
    synergy_rows.draw_axis(axes)
    step = SLOT / (PAD + SLOT * len(look))
    offsets = dict(zip(look, step * (np.arange(len(look)) - (len(look) - 1) / 2), strict=True))
    for at, row in enumerate(panel.rows):
        synergy_rows.write_words(axes, at, row)
        axes.axhline(at + 0.5, color=style.PALE, lw=0.5, zorder=0)
        for mark in row.marks:
            color, marker = look[mark.interpretation]
            y = at + offsets[mark.interpretation]
            synergy_rows.draw_mark(axes, y, mark, color, marker, color)
    style.label_rows(axes, [row.name for row in panel.rows])
    style.title_panel(axes, panel.title)
