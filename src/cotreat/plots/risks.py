"""Figure of a fit: risk per regimen, prior, posterior and maximum likelihood."""

from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cotreat.core.constants import INTERVAL
from cotreat.estimands.estimand import RISK
from cotreat.plots import interval_rows
from cotreat.plots.interval_rows import Line, Look, Row, read_row
from cotreat.plots.labels import event, fold, regimen_name
from cotreat.plots.records import View
from cotreat.plots.registry import FIT, figure_of
from cotreat.plots.style import percent_axis
from cotreat.results.summary import rows_of

LABEL_WIDTH = 40


@figure_of(
    FIT,
    section="risks",
    order=4,
    caption="The shorter the posterior bar within its prior band, the more the evidence contributes "
    "to a risk. Left: 95% prior interval (band) and 95% posterior interval of each regimen's "
    "risk of the event, with a tick at the median. Right: the posterior on a finer axis.",
    alt="Two panels of horizontal intervals with one row per regimen. The left panel shows pale "
    "prior bands behind posterior intervals with a tick at the median; the right panel shows "
    "the posterior intervals on a finer axis, with circles at the medians. Events and "
    "patients are written at the right.",
)
def risks(view: View) -> Figure | None:
    """Draw intervals per regimen.

    Parameters
    ----------
    view : View
        The fit and its summary.

    Returns
    -------
    Figure or None
        None where the likelihood contains no risks: in case-control studies and matched sets.
    """
    if view.study.why_no_risks:
        return None
    rows = rows_to_draw(view)
    look = interval_rows.looks(rows)
    size = (7, 1.4 + interval_rows.row_height(rows) * len(rows))
    figure = Figure(figsize=size, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1, 1.5])
    # A dot would hide a short bar; a tick across it does not.
    ticks = {kind: {**properties, "marker": "|"} for kind, properties in look.items()}
    _draw_rows(left, [replace(row, lines=row.lines[:1]) for row in rows], ticks)
    _draw_rows(right, [replace(row, prior=None) for row in rows], look)
    right.tick_params(axis="y", labelleft=False)
    study = view.study
    counted = zip(study.counted, study.events, study.n, strict=True)
    by_arm = dict.fromkeys(study.present, "not reported")
    by_arm |= {arm: f"{events} / {n}" for arm, events, n in counted}
    counts = [by_arm.get(arm, "no patients") for arm in study.regimens]
    interval_rows.write_numbers(right, counts, "events / n")
    left.set_title("prior and posterior", loc="left")
    left.set_xlabel(f"{kind(view)}risk")
    right.set_title("posterior", loc="left")
    right.set_xlabel(fold(f"{kind(view)}risk of {event(view.study)}", LABEL_WIDTH))
    interval_rows.add_legend(figure, view.study, rows, look, [interval_rows.band_handle()])
    return figure


def kind(view: View) -> str:
    """Return "implied" where risks follow from reported estimates, or "standardised".

    Parameters
    ----------
    view
        The fit and its summary.

    Returns
    -------
    str
        With a space at the end; empty for crude risks.
    """
    if view.reported is not None:
        return "implied "
    return "standardised " if view.study.is_adjusted else ""


def rows_to_draw(view: View) -> list[Row]:
    """Return a row per regimen: estimates of the summary, empty where none exists, and the prior interval.

    The prior interval is missing where the model does not define the risk.

    Parameters
    ----------
    view
        The fit and its summary.

    Returns
    -------
    list of Row
        Rows in the order of the regimens.
    """
    tails, study = [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2], view.study
    prior = view.draws["prior"]["risk"].quantile(tails, ("chain", "draw"))
    prior = prior.reindex(arm=list(study.regimens)).transpose("arm", "quantile")
    rows = []
    for arm, (lower, upper) in zip(study.regimens, prior.values, strict=True):
        row = read_row(regimen_name(study, arm), rows_of(view.summary, RISK, arm))
        lines = tuple(line for line in row.lines if not line.words)
        rows.append(Row(row.name, lines, prior=Line(lower=lower, upper=upper)))
    return rows


def _draw_rows(axes: Axes, rows: list[Row], look: dict[str, Look]) -> None:
    lines = [line for row in rows for line in (*row.lines, row.prior) if line is not None]
    ends = [end for line in lines for end in (line.lower, line.upper)]
    lower, upper = np.nanmin(ends), np.nanmax(ends)
    margin = 0.05 * (upper - lower)
    axes.set_xlim(max(0.0, lower - margin), min(1.0, upper + margin))
    percent_axis(axes.xaxis, most=5)
    interval_rows.draw_rows(axes, rows, look=look)
