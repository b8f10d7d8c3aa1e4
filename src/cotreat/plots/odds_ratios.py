"""Figure of a fit: odds ratios and ratios of odds ratios, posterior and usual estimates."""

from collections.abc import Iterator

from matplotlib.figure import Figure

from cotreat.core.constants import ANY, IDENTIFIED
from cotreat.estimands.enumerate import compared, modifications
from cotreat.estimands.estimand import EFFECT_RATIO, ODDS_RATIO
from cotreat.plots.forest import Panel, forest
from cotreat.plots.interval_rows import Line, Row, read_row
from cotreat.plots.labels import co_treatment, event, pair_name, regimen_name
from cotreat.plots.records import View
from cotreat.plots.registry import FIT, figure_of
from cotreat.results.summary import POSTERIOR, rows_of
from cotreat.study.regimens import WITHIN, group_of, without_group

MOST = 24
"""Ratios of odds ratios that a page can hold."""


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
    """Draw each regimen against the reference, ratios of odds ratios, and contrasts of co-treatments.

    Parameters
    ----------
    view : View
        The fit and its summary.

    Returns
    -------
    Figure
    """
    label = f"odds ratio, or ratio of odds ratios, of the event: {event(view.study)}"
    return forest(view.study, [Panel(rows_to_draw(view), label)])


def rows_to_draw(view: View) -> list[Row]:
    """Return headings and rows, top to bottom, from the summary alone.

    Parameters
    ----------
    view
        The fit and its summary.

    Returns
    -------
    list of Row
        Rows from the top.
    """
    first = reference(view)
    name = regimen_name(view.study, without_group(first))
    name += " in the same subgroup" * bool(group_of(first))
    where = "in one subgroup" if view.study.groups else "with one co-treatment"
    effects = _effect_ratios(view) if view.study.groups or view.reported else []
    return [
        Row(f"odds ratio against {name}", is_heading=True),
        *_odds_ratios(view, first),
        Row("ratio of odds ratios", is_heading=True),
        *_products(view),
        *[Row(f"odds ratio {where} vs another", is_heading=True)] * bool(effects),
        *_first(effects),
    ]


def reference(view: View) -> str:
    """Return the reference regimen.

    The first counted one; otherwise that of a reported odds ratio; otherwise that of an identified one.

    Parameters
    ----------
    view
        The fit and its summary.

    Returns
    -------
    str
        Label of the regimen.
    """
    study, rows = view.study, view.summary
    estimates = view.reported.with_interval if view.reported else ()
    meanings = [estimate.meaning for estimate in estimates if estimate.meaning]
    as_reported = [meaning.words[1] for meaning in meanings if meaning.kind == "regimens"]
    rows = rows[(rows.estimator == POSTERIOR) & (rows.status == IDENTIFIED)]
    identified = set(zip(rows.contrast, rows.stratum, strict=True))
    against = [arms[1] for key, arms in compared(study).items() if key in identified]
    groups = (study.counted, as_reported, against)
    candidates = (arm for arms in groups for arm in study.present if arm in arms)
    return next(candidates, study.present[0])


def _odds_ratios(view: View, first: str) -> Iterator[Row]:
    """Yield the odds ratio of each regimen, inverted where the summary has the inverse."""
    for arm in view.study.present:
        against = WITHIN.join(filter(None, [without_group(first), group_of(arm)]))
        if arm != against and against in view.study.regimens:
            name = regimen_name(view.study, arm)
            rows = rows_of(view.summary, ODDS_RATIO, arm, against)
            inverse = rows_of(view.summary, ODDS_RATIO, against, arm)
            yield read_row(name, rows) if len(rows) else read_row(name, inverse).inverted()


def _effect_ratios(view: View) -> list[Row]:
    ratios = view.summary[view.summary.measure == EFFECT_RATIO]
    if view.study.groups:  # those of co-treatments are the same in all subgroups
        ratios = ratios[ratios.contrast.isin(modifications(view.study))]
    return [read_row(str(name), rows) for name, rows in ratios.groupby("contrast", sort=False)]


def _first(rows: list[Row]) -> Iterator[Row]:
    """Yield as many rows as a page can hold."""
    yield from rows[:MOST]
    if len(rows) > MOST:
        yield Row(f"{len(rows) - MOST} more", (Line(words="in summary.csv"),))


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
        yield Row(f"{omitted} pairs and co-treatments", (Line(words=words),))


def _every_product(view: View) -> Iterator[Row]:
    on_event = view.summary[(view.summary.judged_on == "event") & (view.summary.measure == "ror")]
    for pair in view.study.judged_pairs:
        by = on_event[on_event.pair == pair].groupby(["co_treatment", "stratum"], sort=False)
        for (other, stratum), rows in by:
            name = pair_name(view.study, pair)
            if other != ANY and len(by) > 1:
                regimen = WITHIN.join(filter(None, [str(other), str(stratum)]))
                name += f", {co_treatment(view.study, regimen)}"
            yield read_row(name, rows)
