"""Sizes of the arms that nobody counted: prior and posterior."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cotreat.estimands.estimand import SIZE
from cotreat.evidence import reported
from cotreat.plots import View
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
from cotreat.plots.reported_labels import totals
from cotreat.plots.style import BLACK
from cotreat.results.summary import rows_of

MARGIN = 1.03
COUNTED = "counted"
LEFT = "what the totals leave"


def draw(view: View) -> Figure | None:
    """Draw what is known of each arm's size; None where all sizes are known."""
    numbers = reported.printed(view.study)
    rows = rows_to_draw(view)
    if numbers is None or not any(row.lines for row in rows):
        return None
    look, below = looks(rows), notes(numbers)
    height = 1.3 + row_height(rows) * len(rows) + 0.15 * sum(1 + n.count("\n") for n in below)
    figure = Figure(figsize=(7, height), layout="constrained")
    axes = figure.add_subplot()
    _set_axis(axes, rows, known(view, numbers))
    draw_rows(axes, rows, look=look)
    texts = [_patients(row) if numbers.sizes.are_known else posterior_text(row) for row in rows]
    for at, (n, why) in known(view, numbers).items():
        axes.plot(n, at, marker="|", color=BLACK, ms=9, mew=1.5)
        texts[at] = f"{n:g}, {why}"
    write_numbers(axes, texts, POSTERIOR_HEAD)
    are_known = numbers.sizes.are_known
    axes.set_xlabel(
        "patients" if are_known else "share of the patients, of whom no total is printed"
    )
    add_legend(figure, view.study, rows, look, [band_handle()], below)
    return figure


def rows_to_draw(view: View) -> list[Row]:
    """Return a row for each arm of the cohort, from the summary; empty where its size is known."""
    rows = []
    for arm in view.study.present:
        own = rows_of(view.summary, SIZE, arm)
        rows.append(Row(regimen_name(view.study, arm), read_lines(own), prior=read_prior(own)))
    return rows


def known(view: View, numbers: reported.Printed) -> dict[int, tuple[float, str]]:
    """Return the sizes that counts or totals fix, and which of the two, by row."""
    counted, fixed = view.study.counted, numbers.sizes.fixed
    return {
        at: (round(float(fixed[at])), COUNTED if arm in counted else LEFT)
        for at, arm in enumerate(view.study.present)
        if fixed[at] > 0
    }


def notes(numbers: reported.Printed) -> list[str]:
    """Say where sizes come from."""
    arms = "these arms" if numbers.study.counted else "any arm"
    lines = [f"nobody printed the size of {arms}: prior and posterior are all there is"]
    if numbers.study.totals:
        lines.append(f"printed: {totals(numbers)}")
    return [fold(line, LINE) for line in lines]


def _patients(row: Row) -> str:
    """Return the posterior's numbers as whole patients."""
    line = next((line for line in row.lines if line.is_posterior and not line.words), None)
    return "" if line is None else f"{line.estimate:.0f} ({line.lower:.0f} to {line.upper:.0f})"


def _set_axis(axes: Axes, rows: list[Row], others: dict[int, tuple[float, str]]) -> None:
    lines = [line for row in rows for line in (*row.lines, row.prior) if line is not None]
    ends = [line.upper for line in lines] + [n for n, _ in others.values()]
    axes.set_xlim(0, MARGIN * max(ends))
