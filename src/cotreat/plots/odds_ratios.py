"""Figure of a fit: odds ratios and ratios of odds ratios, posterior and usual estimates."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cotreat.core.constants import ANY, IDENTIFIED, INTERVAL, NOT_IDENTIFIED
from cotreat.estimands.enumerate import compared, modifications
from cotreat.estimands.estimand import EFFECT_RATIO, ODDS_RATIO
from cotreat.plots.interval_rows import (
    POSTERIOR_HEAD,
    Row,
    add_legend,
    band_handle,
    draw_rows,
    looks,
    posterior_text,
    read_lines,
    read_prior,
    row_height,
    words_row,
    write_numbers,
)
from cotreat.plots.labels import co_treatment, event, fold, pair_name, regimen_name
from cotreat.plots.records import View
from cotreat.plots.registry import FIT, figure_of
from cotreat.plots.style import GREY, log_axis
from cotreat.results.summary import POSTERIOR, REPORTED, rows_of
from cotreat.study.regimens import WITHIN, group_of, without_group

MOST = 24
"""Ratios of odds ratios that a page can hold."""
LABEL_WIDTH = 55
BAND_NAME = f"prior, {INTERVAL:.0%}, where {NOT_IDENTIFIED}"
REACH = 5.0
"""Factor by which the axis may extend beyond the posterior: sparse data make other intervals infinite."""


@figure_of(
    FIT,
    section="estimates",
    order=1,
    caption="The posterior of each ratio is compared with the usual estimate of the same ratio. An "
    "odds ratio above 1 means a higher chance of the event than under the reference regimen; "
    "a ratio of odds ratios above 1 means that each treatment's odds ratio is larger in the "
    "presence of the other. Intervals cover 95%.",
    alt="Forest plot on a logarithmic axis with a vertical line at 1 and one row per comparison. "
    "A circle with a thick bar is the posterior; other marks with thin bars are the usual "
    "estimates. The posterior median and its interval are written at the right.",
)
def odds_ratios(view: View) -> Figure:
    """Draw each regimen against the reference, ratios of odds ratios, and contrasts of co-treatments."""
    label = f"odds ratio, or ratio of odds ratios, of the event: {event(view.study)}"
    return forest(view, [Panel(rows_to_draw(view), label)])


@dataclass(frozen=True)
class Panel:
    """Rows of a forest plot on one axis.

    Attributes
    ----------
    rows : list of Row
    label : str
        Of the axis.
    texts : sequence of str
        Reported number of each row, for a first column of numbers; empty for none.
    null : float
        Place of the vertical line.
    is_log : bool
        Whether the axis is logarithmic.
    """

    rows: list[Row]
    label: str
    texts: Sequence[str] = ()
    null: float = 1.0
    is_log: bool = True


def forest(view: View, panels: Sequence[Panel], notes: Sequence[str] = ()) -> Figure:
    """Draw rows with their intervals, one panel per axis, and the posterior in numbers at the right.

    Parameters
    ----------
    notes
        Lines above the legend.
    """
    rows = [row for panel in panels for row in panel.rows]
    look = looks(rows)
    between = 0.6 * (len(panels) - 1)
    height = 1.2 + between + row_height(rows) * len(rows) + 0.15 * len(notes)
    width = 7.5 if any(panel.texts for panel in panels) else 7
    figure = Figure(figsize=(width, height), layout="constrained")
    tall = [len(panel.rows) for panel in panels]
    grid = figure.subplots(len(panels), 1, squeeze=False, height_ratios=tall)
    for axes, panel in zip(grid[:, 0], panels, strict=True):
        _draw(axes, panel, look)
    bands = [band_handle(BAND_NAME)] if any(row.prior for row in rows) else []
    add_legend(figure, view.study, rows, look, bands, notes)
    return figure


def _draw(axes: Axes, panel: Panel, look: dict[str, dict[str, Any]]) -> None:
    if panel.is_log:
        log_axis(axes, *limits(panel.rows))
    axes.axvline(panel.null, color=GREY, lw=0.6, zorder=0)
    draw_rows(axes, panel.rows, look=look)
    if panel.texts:
        write_numbers(axes, panel.texts, REPORTED)
    posterior = [posterior_text(row) for row in panel.rows]
    write_numbers(axes, posterior, POSTERIOR_HEAD, column=1 if panel.texts else 0)
    axes.set_xlabel(fold(panel.label, LABEL_WIDTH))


def rows_to_draw(view: View) -> list[Row]:
    """Return headings and rows, top to bottom, from the summary alone."""
    first = reference(view)
    rows = [
        Row(f"odds ratio against {_reference_name(view, first)}", is_heading=True),
        *_odds_ratios(view, first),
        Row("ratio of odds ratios", is_heading=True),
        *_products(view),
    ]
    effects = list(_effect_ratios(view)) if view.study.groups or view.reported else []
    if effects:
        where = "in one subgroup" if view.study.groups else "with one co-treatment"
        rows.append(Row(f"odds ratio {where} vs another", is_heading=True))
    return [*rows, *_first(effects)]


def _reference_name(view: View, first: str) -> str:
    """Name the reference regimen; with subgroups, the same regimen in each."""
    name = regimen_name(view.study, without_group(first))
    return f"{name} in the same subgroup" if group_of(first) else name


def reference(view: View) -> str:
    """Return the reference regimen.

    The first counted one; otherwise that of a reported odds ratio; otherwise that of an identified one.
    """
    study, rows = view.study, view.summary
    meanings = [one.meaning for one in view.reported.with_interval] if view.reported else []
    as_reported = [m.words[1] for m in meanings if m is not None and m.kind == "regimens"]
    rows = rows[(rows.estimator == POSTERIOR) & (rows.status == IDENTIFIED)]
    identified = set(zip(rows.contrast, rows.stratum, strict=True))
    against = [arms[1] for key, arms in compared(study).items() if key in identified]
    candidates = (
        arm
        for arms in (study.counted, as_reported, against)
        for arm in study.present
        if arm in arms
    )
    return next(candidates, study.present[0])


def _odds_ratios(view: View, first: str) -> Iterator[Row]:
    plain = without_group(first)
    for arm in view.study.present:
        against = WITHIN.join(filter(None, [plain, group_of(arm)]))
        if arm != against and against in view.study.regimens:
            yield _odds_ratio(view, arm, against)


def _odds_ratio(view: View, arm: str, first: str) -> Row:
    """Return an odds ratio, inverted where the summary has the inverse."""
    name = regimen_name(view.study, arm)
    rows = rows_of(view.summary, ODDS_RATIO, arm, first)
    if len(rows):
        return row_of(name, rows)
    row = row_of(name, rows_of(view.summary, ODDS_RATIO, first, arm))
    prior = row.prior.turned() if row.prior is not None else None
    return Row(name, tuple(line.turned() for line in row.lines), prior=prior)


def row_of(name: str, rows: pd.DataFrame) -> Row:
    """Return the row of an estimand, with the prior where it is not identified."""
    lines = read_lines(rows)
    is_unidentified = any(line.is_unidentified for line in lines if line.is_posterior)
    return Row(name, lines, prior=read_prior(rows) if is_unidentified else None)


def _effect_ratios(view: View) -> Iterator[Row]:
    ratios = view.summary[view.summary.measure == EFFECT_RATIO]
    if view.study.groups:  # those of co-treatments are the same in all subgroups
        ratios = ratios[ratios.contrast.isin(modifications(view.study))]
    for contrast_, rows in ratios.groupby("contrast", sort=False):
        yield row_of(str(contrast_), rows)


def _first(rows: list[Row]) -> Iterator[Row]:
    """Yield as many rows as a page can hold."""
    yield from rows[:MOST]
    if len(rows) > MOST:
        yield words_row(f"{len(rows) - MOST} more", "in summary.csv")


def _products(view: View) -> Iterator[Row]:
    rows = list(_every_product(view))
    if len(rows) <= len(view.study.judged_pairs):
        yield from rows
        return
    # A saturated model has one per co-treatment, most of them without patients.
    estimable = [row for row in rows if not all(line.words for line in row.lines)]
    yield from _first(estimable)
    if omitted := len(rows) - len(estimable):
        words = "not estimable: no patients in one or more of the four regimens"
        yield words_row(f"{omitted} pairs and co-treatments", words)


def _every_product(view: View) -> Iterator[Row]:
    on_event = view.summary[(view.summary.judged_on == "event") & (view.summary.measure == "ror")]
    for pair in view.study.judged_pairs:
        by = on_event[on_event.pair == pair].groupby(["co_treatment", "stratum"], sort=False)
        for (other, stratum), rows in by:
            name = pair_name(view.study, pair)
            if other != ANY and len(by) > 1:
                regimen = WITHIN.join(filter(None, [str(other), str(stratum)]))
                name += f", {co_treatment(view.study, regimen)}"
            yield row_of(name, rows)


def limits(rows: list[Row]) -> tuple[float, float]:
    """Return the limits of the axis: all intervals, within a factor of the posterior and 1."""
    drawn = [line for row in rows for line in row.lines if line.lower > 0]
    main = [line for line in drawn if line.is_posterior] or drawn
    low, high = (min([1, *(m.lower for m in main)]), max([1, *(m.upper for m in main)]))
    lower = max(min([low, *(line.lower for line in drawn)]), low / REACH)
    upper = min(max([high, *(line.upper for line in drawn)]), high * REACH)
    margin = (upper / lower) ** 0.04
    return lower / margin, upper * margin
