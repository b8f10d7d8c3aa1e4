"""Figure of a fit: posterior predictive check of the reported numbers, one panel per kind."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from cotreat.core.constants import INTERVAL
from cotreat.evidence.reported import ReportedEstimates, standard_error, z_value
from cotreat.evidence.statistics import Statistic, statistic_of
from cotreat.plots.interval_rows import NAME_WIDTH
from cotreat.plots.labels import event, fold, key
from cotreat.plots.records import View
from cotreat.plots.registry import FIT, figure_of
from cotreat.plots.reported import text
from cotreat.plots.reported_labels import axis_label, notes, row_names
from cotreat.plots.style import BLUE, GREY, VERMILION, label_rows, legend_below, log_axis
from cotreat.study.study import ReportedEstimate

MARGIN = 0.06
BAR: dict[str, Any] = {"color": BLUE, "lw": 3.5, "solid_capstyle": "butt"}
DIAMOND: dict[str, Any] = {"color": VERMILION, "ls": "none", "marker": "D", "ms": 4.5, "zorder": 4}
AXIS_WIDTH = 80
OUTSIDE = (
    "one diamond in twenty is expected outside its 95% interval by chance; all come from the same "
    "patients and deviate together"
)


@dataclass(frozen=True)
class Row:
    """A reported number in its predictive distribution.

    Attributes
    ----------
    as_reported : tuple of float
        Positions of the diamonds: one, or two for a p-value without a reported side.
    wide, half : tuple of float
        Ends of the 95 % and of the 50 % interval.
    towards : int
        −1 or 1 where the number is a bound, such as "<", with the direction of the number.
    """

    name: str
    as_reported: tuple[float, ...]
    wide: tuple[float, float]
    half: tuple[float, float]
    towards: int = 0


@dataclass(frozen=True)
class Panel:
    """Rows on one axis."""

    label: str
    rows: tuple[Row, ...]
    is_log: bool = False


@figure_of(
    FIT,
    order=16,
    caption="A reported number far outside its interval is not reproduced by the model. Bars are what "
    "the fitted model predicts (50% and 95% intervals), diamonds the reported numbers, with "
    "one panel per kind of number. About one diamond in twenty is expected outside its 95% "
    "interval by chance; all come from the same patients, so they deviate together.",
    alt="Panels of horizontal intervals, one row per reported number, with a thick 50% and a pale "
    "95% part and a diamond at the reported number. Axes of odds ratios and of standard "
    "errors are logarithmic.",
)
def reported_predictive(view: View) -> Figure | None:
    """Draw predicted and reported numbers; None where no reported number is used."""
    numbers = view.reported
    if numbers is None or not numbers.names:
        return None
    lines = lines_of_panels(view, numbers)
    tall = [len(panels[0].rows) for panels in lines]
    figure = Figure(figsize=(7.5, 0.9 + 0.62 * len(lines) + 0.3 * sum(tall)), layout="constrained")
    grid = figure.add_gridspec(len(lines), 2, height_ratios=[count + 0.5 for count in tall])
    for at, panels in enumerate(lines):
        if len(panels) == 1:
            draw_panel(figure.add_subplot(grid[at, :]), panels[0])
            continue
        for column, panel in enumerate(panels):
            axes = figure.add_subplot(grid[at, column])
            draw_panel(axes, panel)
            axes.tick_params(axis="y", labelleft=column == 0)
    names = [row.name for panels in lines for panel in panels for row in panel.rows]
    below = [key(view.study, names), *notes(numbers), fold(OUTSIDE, AXIS_WIDTH + 30)]
    legend_below(figure, legend(), below, ncols=3)
    return figure


def lines_of_panels(view: View, numbers: ReportedEstimates) -> list[list[Panel]]:
    """Return the panels of each line, from the top; those of one line share their rows."""
    statistics = dict.fromkeys(statistic_of(one.kind) for one in numbers.with_interval)
    lines = [
        *([_values(view, numbers, s), *_errors(view, numbers, s)] for s in statistics),
        [_deviates(view, numbers)],
        [_events(view, numbers)],
    ]
    return [panels for panels in lines if panels[0].rows]


# --- What is drawn -------------------------------------------------------------------------------


def _row(
    name: str,
    draws: Any,
    *as_reported: float,
    scale: Callable[..., Any] = lambda value: value,
    towards: int = 0,
) -> Row:
    tail = (1 - INTERVAL) / 2
    ends: NDArray[np.float64] = scale(np.quantile(draws, [tail, 0.25, 0.75, 1 - tail]))
    lower, left, right, upper = map(float, ends)
    return Row(name, as_reported, (lower, upper), (left, right), towards)


def _replicated(view: View, row: str) -> Any:
    return view.draws["posterior_predictive"]["claims"].sel(row=row).values


def _values(view: View, numbers: ReportedEstimates, statistic: Statistic) -> Panel:
    names, link = row_names(numbers), statistic.link
    rows = (
        _row(names[c.id], _replicated(view, c.id), c.value.value, scale=link.back)
        for c in numbers.with_interval
        if c.kind == statistic.name
    )
    return Panel(axis_label([statistic]), tuple(rows), is_log=link.is_log)


def _errors(view: View, numbers: ReportedEstimates, statistic: Statistic) -> list[Panel]:
    """Return the standard errors, which are informative about arm sizes where totals are reported."""
    groups = view.draws["posterior_predictive"]
    if "widths" not in groups:
        return []
    names, widths = row_names(numbers), groups["widths"]
    rows = (
        _row(names[c.id], widths.sel(odds_ratio=c.id).values, standard_error(c), scale=np.exp)
        for c in numbers.with_interval
        if c.kind == statistic.name
    )
    label = "standard error of its log" if statistic.link.is_log else "standard error"
    return [Panel(label, tuple(rows), is_log=True)]


def _deviates(view: View, numbers: ReportedEstimates) -> Panel:
    names = row_names(numbers)
    rows = tuple(
        _row(
            f"{names[c.id]}: {text(c)}", _replicated(view, c.id), *_deviate(c), towards=_towards(c)
        )
        for c in numbers.p_values
    )
    return Panel("normal deviate of the p-value; ±1.96 is p = 0.05", rows)


def _deviate(estimate: ReportedEstimate) -> tuple[float, ...]:
    size = z_value(estimate.value.value)
    return {"+": (size,), "-": (-size,)}.get(estimate.sign, (-size, size))


def _towards(estimate: ReportedEstimate) -> int:
    return {"+": 1, "-": -1}.get(estimate.sign, 0) if estimate.is_below else 0


def _events(view: View, numbers: ReportedEstimates) -> Panel:
    names = row_names(numbers)
    totals = zip(numbers.names[len(numbers.reported_estimates) :], numbers.totals, strict=True)
    rows = tuple(
        _row(f"{names[row]} ({total.n})", _replicated(view, row), float(total.events or 0))
        for row, total in totals
    )
    return Panel(fold(f"patients with {event(view.study)}", AXIS_WIDTH), rows)


# --- Drawing -------------------------------------------------------------------------------------


def draw_panel(axes: Axes, panel: Panel) -> None:
    """Draw the rows of a panel: predictions as bars, reported numbers as diamonds."""
    ends = [end for row in panel.rows for end in (*row.wide, *row.as_reported)]
    _set_axis(axes, panel, min(ends), max(ends))
    for at, row in enumerate(panel.rows):
        axes.plot(row.wide, [at, at], alpha=0.35, **BAR)
        axes.plot(row.half, [at, at], **BAR)
        axes.plot(row.as_reported, [at] * len(row.as_reported), **DIAMOND)
        if row.towards:
            arrow = {"arrowstyle": "->", "color": VERMILION}
            start, span = row.as_reported[0], 0.08 * np.ptp(axes.get_xlim())
            axes.annotate("", (start + row.towards * span, at), (start, at), arrowprops=arrow)
    label_rows(axes, [fold(row.name, NAME_WIDTH) for row in panel.rows])
    axes.set_xlabel(panel.label)


def _set_axis(axes: Axes, panel: Panel, lower: float, upper: float) -> None:
    if panel.is_log:
        margin = (upper / lower) ** MARGIN
        log_axis(axes, lower / margin, upper * margin, most=6)
    else:
        margin = MARGIN * (upper - lower)
        axes.set_xlim(lower - margin, upper + margin)
        axes.xaxis.set_major_locator(MaxNLocator(7))
    if panel.rows and panel.label.startswith(("odds", "normal")):
        axes.axvline(1 if panel.is_log else 0, color=GREY, lw=0.6, zorder=0)


def legend(observed: str = "reported") -> list[Line2D]:
    """Return the legend of bars and diamonds; `observed` names the diamonds."""
    return [
        Line2D([], [], label="predicted, central 50%", **BAR),
        Line2D([], [], label=f"predicted, central {INTERVAL:.0%}", alpha=0.35, **BAR),
        Line2D([], [], label=observed, **DIAMOND),
    ]
