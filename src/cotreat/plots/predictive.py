"""Figure of a fit: posterior predictive check of counts and reported numbers, one panel per kind."""

import numpy as np
from matplotlib.figure import Figure

from cotreat.evidence.reported import ReportedEstimates, standard_error, z_value
from cotreat.evidence.statistics import statistic_of
from cotreat.plots.labels import event, fold, key, regimen_name
from cotreat.plots.predictive_rows import Panel, draw_panels, row_of
from cotreat.plots.records import View
from cotreat.plots.registry import FIT, figure_of
from cotreat.plots.reported import text
from cotreat.plots.reported_labels import axis_label, notes, row_names
from cotreat.study.study import ReportedEstimate

SIGNS = {"+": 1, "-": -1}
OUTSIDE = (
    "one diamond in twenty is expected outside its 95% interval by chance; all come from the same "
    "patients and deviate together"
)


@figure_of(
    FIT,
    order=13,
    caption="A number far outside its interval is not reproduced by the model. Bars are what the "
    "fitted model predicts (50% and 95% intervals), diamonds the counted or reported numbers, with "
    "one panel per kind of number. About one diamond in twenty is expected outside its 95% "
    "interval by chance.",
    alt="Panels of horizontal intervals, one row per counted regimen or reported number, with a "
    "thick 50% and a pale 95% part and a diamond at the observed number. Axes of odds ratios and "
    "of standard errors are logarithmic.",
)
def predictive(view: View) -> Figure | None:
    """Draw predicted and observed numbers.

    Parameters
    ----------
    view : View
        The fit and its summary.

    Returns
    -------
    Figure or None
        None where no regimen is counted and no reported number is used.
    """
    study, numbers = view.study, view.reported
    lines = [[_counts(view)]] if study.counted else []
    below: list[str] = []
    if numbers is not None and numbers.names:
        lines += lines_of_reported(view, numbers)
        below = [*notes(numbers), fold(OUTSIDE, 110)]
    if not lines:
        return None
    names = [row.name for panels in lines for row in panels[0].rows]
    return draw_panels(lines, [key(study, names), *below], "reported" if below else "counted")


def _counts(view: View) -> Panel:
    study, predicted = view.study, view.draws["posterior_predictive"]["events"]
    rows = [
        row_of(regimen_name(study, regimen), predicted.sel(counted=regimen), float(events))
        for regimen, events in zip(study.counted, study.events, strict=True)
    ]
    return Panel(f"patients with {event(study)}", tuple(rows))


def lines_of_reported(view: View, numbers: ReportedEstimates) -> list[list[Panel]]:
    """Return the panels of reported numbers, by lines from the top; those of one line share their rows.

    Parameters
    ----------
    view
        The fit and its summary.
    numbers
        The reported estimates of the fit.

    Returns
    -------
    list of list[Panel]
        Panels by line; the panels of a line share their rows.
    """
    replicated, names = view.draws["posterior_predictive"], row_names(numbers)
    predicted, lines = replicated["reported"], []
    for statistic in dict.fromkeys(statistic_of(e.kind) for e in numbers.with_interval):
        link = statistic.link
        estimates = [e for e in numbers.with_interval if e.kind == statistic.name]
        rows = [
            row_of(names[e.id], predicted.sel(row=e.id), e.value.value, scale=link.back)
            for e in estimates
        ]
        lines.append([Panel(axis_label([statistic]), tuple(rows), link.is_log, statistic.null)])
        if "widths" in replicated:  # informative about arm sizes where totals are reported
            errors = replicated["widths"]
            rows = [
                row_of(names[e.id], errors.sel(width=e.id), standard_error(e), scale=np.exp)
                for e in estimates
            ]
            label = "standard error" + " of its log" * link.is_log
            lines[-1].append(Panel(label, tuple(rows), is_log=True))
    deviates = [
        row_of(
            f"{names[e.id]}: {text(e)}",
            predicted.sel(row=e.id),
            *_deviate(e),
            towards=SIGNS.get(e.sign, 0) * e.is_below,  # of a bound on a known side
        )
        for e in numbers.p_values
    ]
    totals = zip(numbers.names[len(numbers.reported_estimates) :], numbers.totals, strict=True)
    events = [
        row_of(f"{names[row]} ({total.n})", predicted.sel(row=row), float(total.events or 0))
        for row, total in totals
    ]
    lines += [
        [Panel("normal deviate of the p-value; ±1.96 is p = 0.05", tuple(deviates), null=0.0)],
        [Panel(f"patients with {event(view.study)}", tuple(events))],
    ]
    return [panels for panels in lines if panels[0].rows]


def _deviate(estimate: ReportedEstimate) -> tuple[float, ...]:
    """Return the normal deviate of a p-value; both where its side is not reported."""
    size = z_value(estimate.value.value)
    return (SIGNS[estimate.sign] * size,) if estimate.sign in SIGNS else (-size, size)
