"""Figure of a fit: probability of synergy by each measure, before and after the evidence."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cotreat.core.constants import NOT_IDENTIFIED
from cotreat.plots import style, synergy_rows
from cotreat.plots.labels import PROBABILITY_AXIS
from cotreat.plots.records import View
from cotreat.plots.registry import FIT, figure_of
from cotreat.results.monte_carlo import share

MOST = 8
"""Panels that a page can hold."""
TITLE_WIDTH = 34
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
    """Draw a panel per pair and co-treatment, or list the reasons why there is none.

    Parameters
    ----------
    view : View
        The fit and its summary.

    Returns
    -------
    Figure
    """
    every = synergy_rows.panels(view.study, {view.study.interpretation: view.summary})
    shown = synergy_rows.most_informative(every, MOST)
    notes = synergy_rows.notes(view.study, every, shown)
    if any(mark.is_unidentified for panel in shown for mark in panel.marks):
        notes.append(f"{MARK.strip()}: {NOT_IDENTIFIED}")
    below = "\n".join(notes)
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
    style.legend_below(figure, synergy_rows.handles(shown, style.BLUE), [below], ncols=4)
    return figure


def _draw_panel(axes: Axes, panel: synergy_rows.Panel) -> None:
    synergy_rows.draw_axis(axes)
    for at, row in enumerate(panel.rows):
        synergy_rows.write_words(axes, at, row)
        for mark in row.marks:
            synergy_rows.draw_mark(axes, at, mark, style.BLUE, "o")
            text = share(mark.probability) + MARK * mark.is_unidentified
            style.write_at_right(axes, at, text)
        if row.words == synergy_rows.NOT_EVIDENCE:
            axes.axhline(at - 0.5, color=style.GREY, lw=0.8)
    headings = [row.name for row in panel.rows if not row.measure]
    style.label_rows(axes, [row.name for row in panel.rows], headings)
    style.title_panel(axes, panel.title, TITLE_WIDTH)
