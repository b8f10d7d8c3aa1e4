"""Figure of a fit: arm sizes that are not reported, prior and posterior."""

from matplotlib.figure import Figure

from cotreat.estimands.estimand import SIZE
from cotreat.evidence.reported import ReportedEstimates
from cotreat.plots.forest import Panel, forest
from cotreat.plots.interval_rows import Line, Row, read_row
from cotreat.plots.labels import LINE, fold, regimen_name
from cotreat.plots.records import View
from cotreat.plots.registry import FIT, figure_of
from cotreat.plots.reported_labels import totals
from cotreat.plots.style import number
from cotreat.results.summary import rows_of

COUNTED = "counted"
BY_TOTALS = "fixed by the totals"


@figure_of(
    FIT,
    section="risks",
    order=5,
    caption="A posterior bar shorter than its prior band means that the reported standard errors are "
    "informative about the size of an arm. The band is the 95% prior interval, uniform on the "
    "sizes that the reported totals allow; the bar is the 95% posterior interval. These sizes "
    "are not reported.",
    alt="Horizontal intervals with one row per regimen on an axis of patients: a pale band for "
    "the prior, an open circle with a dashed bar for the posterior, another mark where counts "
    "or totals fix the size. The posterior median and interval are written at the right, the "
    "reported totals below.",
)
def arm_sizes(view: View) -> Figure | None:
    """Draw prior and posterior of each arm size.

    Parameters
    ----------
    view : View
        The fit and its summary.

    Returns
    -------
    Figure or None
        None where all sizes are known.
    """
    numbers = view.reported
    if numbers is None:
        return None
    rows = rows_to_draw(view, numbers)
    if not any(row.posterior for row in rows):
        return None
    label, write = "share of the patients (no total is reported)", number
    if numbers.sizes.are_known:
        label, write = "patients", "{:.0f}".format
    panel = Panel(rows, label, null=0.0, is_log=False, write=write)
    return forest(view.study, [panel], notes(numbers))


def rows_to_draw(view: View, numbers: ReportedEstimates) -> list[Row]:
    """Return a row per arm of the cohort: from the summary, or its size that counts or totals fix.

    Parameters
    ----------
    view
        The fit and its summary.
    numbers
        The reported estimates of the fit.

    Returns
    -------
    list of Row
        Rows in the order of the arms.
    """
    rows = []
    for arm, size in zip(view.study.present, numbers.sizes.fixed, strict=True):
        row = read_row(regimen_name(view.study, arm), rows_of(view.summary, SIZE, arm))
        if size > 0:
            kind = COUNTED if arm in view.study.counted else BY_TOTALS
            row = Row(row.name, (Line(kind, round(float(size))),))
        rows.append(row)
    return rows


def notes(numbers: ReportedEstimates) -> list[str]:
    """Return the source of the sizes, in lines that fit.

    Parameters
    ----------
    numbers
        The reported estimates of the fit.

    Returns
    -------
    list of str
        One line per source.
    """
    arms = "these arms" if numbers.study.counted else "any arm"
    lines = [f"the size of {arms} is not reported"]
    if numbers.study.totals:
        lines.append(f"reported: {totals(numbers)}")
    return [fold(line, LINE) for line in lines]
