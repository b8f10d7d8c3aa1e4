"""Figure of a fit: arm sizes that are not reported, prior and posterior."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cotreat.estimands.estimand import SIZE
from cotreat.evidence.reported import ReportedEstimates
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
    write_numbers,
)
from cotreat.plots.labels import LINE, fold, regimen_name
from cotreat.plots.records import View
from cotreat.plots.registry import FIT, figure_of
from cotreat.plots.reported_labels import totals
from cotreat.plots.style import BLACK
from cotreat.results.summary import rows_of

MARGIN = 1.03
COUNTED = "counted"
LEFT = "fixed by the totals"


@figure_of(
    FIT,
    section="risks",
    order=5,
    caption="A posterior bar shorter than its prior band means that the reported standard errors are "
    "informative about the size of an arm. The band is the 95% prior interval, uniform on the "
    "sizes that the reported totals allow; the bar is the 95% posterior interval. These sizes "
    "are not reported.",
    alt="Horizontal intervals with one row per regimen on an axis of patients: a pale band for "
    "the prior, an open circle with a dashed bar for the posterior, a black tick where counts "
    "or totals fix the size. The posterior median and interval are written at the right, the "
    "reported totals below.",
)
def arm_sizes(view: View) -> Figure | None:
    """Draw prior and posterior of each arm size; None where all sizes are known."""
    numbers, rows = view.reported, rows_to_draw(view)
    if numbers is None or not any(row.lines for row in rows):
        return None
    look, below = looks(rows), notes(numbers)
    height = 1.3 + row_height(rows) * len(rows) + 0.15 * sum(1 + n.count("\n") for n in below)
    figure = Figure(figsize=(7, height), layout="constrained")
    axes = figure.add_subplot()
    are_known, fixed = numbers.sizes.are_known, fixed_sizes(view, numbers)
    _set_axis(axes, rows, fixed)
    draw_rows(axes, rows, look=look)
    texts = [_patients(row) if are_known else posterior_text(row) for row in rows]
    for at, (n, source) in fixed.items():
        axes.plot(n, at, marker="|", color=BLACK, ms=9, mew=1.5)
        texts[at] = f"{n:g}, {source}"
    write_numbers(axes, texts, POSTERIOR_HEAD)
    axes.set_xlabel("patients" if are_known else "share of the patients (no total is reported)")
    add_legend(figure, view.study, rows, look, [band_handle()], below)
    return figure


def rows_to_draw(view: View) -> list[Row]:
    """Return a row per arm of the cohort, from the summary; empty where its size is known."""
    by_arm = {arm: rows_of(view.summary, SIZE, arm) for arm in view.study.present}
    return [
        Row(regimen_name(view.study, arm), read_lines(rows), prior=read_prior(rows))
        for arm, rows in by_arm.items()
    ]


def fixed_sizes(view: View, numbers: ReportedEstimates) -> dict[int, tuple[float, str]]:
    """Return the sizes that counts or totals fix, with their source, by row."""
    counted, fixed = view.study.counted, numbers.sizes.fixed
    return {
        at: (round(float(fixed[at])), COUNTED if arm in counted else LEFT)
        for at, arm in enumerate(view.study.present)
        if fixed[at] > 0
    }


def notes(numbers: ReportedEstimates) -> list[str]:
    """Return the source of the sizes, in lines that fit."""
    arms = "these arms" if numbers.study.counted else "any arm"
    lines = [f"the size of {arms} is not reported"]
    if numbers.study.totals:
        lines.append(f"reported: {totals(numbers)}")
    return [fold(line, LINE) for line in lines]


def _patients(row: Row) -> str:
    """Return posterior median and interval as whole patients."""
    line = next((line for line in row.lines if line.is_posterior and not line.words), None)
    return "" if line is None else f"{line.estimate:.0f} ({line.lower:.0f} to {line.upper:.0f})"


def _set_axis(axes: Axes, rows: list[Row], others: dict[int, tuple[float, str]]) -> None:
    lines = [line for row in rows for line in (*row.lines, row.prior) if line is not None]
    ends = [line.upper for line in lines] + [n for n, _ in others.values()]
    axes.set_xlim(0, MARGIN * max(ends))
