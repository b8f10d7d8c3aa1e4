"""Figure of a sensitivity analysis: prior and posterior of the estimands."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from cotreat.core.constants import ANY, NOT_IDENTIFIED
from cotreat.estimands.estimand import ODDS_RATIO, RISK
from cotreat.estimands.measures import MEASURES, representatives
from cotreat.plots.labels import co_treatment, judged_note, key
from cotreat.plots.records import PriorPosterior, Sensitivity
from cotreat.plots.registry import SENSITIVITY, figure_of
from cotreat.plots.style import BLUE, GREY, PALE, label_rows, legend_below, log_axis
from cotreat.study.regimens import WITHIN
from cotreat.study.study import Study

HEIGHT = 0.9
"""Height of a density, in rows."""
ROW = 0.19
MOST = 14
"""Rows of a panel that a page can hold."""
EDGE = 0.025
LOWEST = 0.004
"""Heights below this are not drawn: the base line would run through the next row."""


PLAIN = {"risks": (RISK,), "odds ratios": (ODDS_RATIO,)}
"""Measures of no interaction that share an axis, by what it shows."""


def axes_of_measures() -> dict[str, tuple[str, ...]]:
    """Return the first measure of each scale by what its axis shows; measures of one axis go together."""
    found: dict[str, list[str]] = {}
    for name in representatives().values():
        found.setdefault(MEASURES[name].family.axis, []).append(name)
    return {f"{axis} ({', '.join(names)})": tuple(names) for axis, names in found.items()}


@figure_of(
    SENSITIVITY,
    order=4,
    caption="Where the posterior (blue) coincides with the prior (grey), the evidence adds no "
    "information about the estimand. A dashed posterior is not identified: the number depends "
    "on the prior. Each density is drawn to the same height.",
    alt="Groups of rows, one per estimand: risks, odds ratios and measures of synergy. In each "
    "row a grey filled density is the prior and a blue line the posterior.",
)
def prior_predictive(record: Sensitivity) -> Figure | None:
    """Draw a row per estimand, in panels of one axis each; None without estimands."""
    every, study = record.estimands, record.study
    if not every:
        return None
    panels = {
        title: [one for one in every if one.estimand.measure in names][:MOST]
        for title, names in (PLAIN | axes_of_measures()).items()
    }
    columns = [
        [title for title in column if panels[title]] for column in (PLAIN, axes_of_measures())
    ]
    columns = [column for column in columns if column]
    heights = [sum(len(panels[title]) + 4 for title in column) for column in columns]
    size = (3.6 * len(columns) + 0.4, 0.8 + ROW * max(heights))
    figure = Figure(figsize=size, layout="constrained")
    for part, column in zip(
        figure.subfigures(1, len(columns), squeeze=False)[0], columns, strict=True
    ):
        ratios = [len(panels[title]) + 4 for title in column]
        grid = part.subplots(len(column), 1, squeeze=False, height_ratios=ratios)[:, 0]
        for axes, title in zip(grid, column, strict=True):
            _draw_panel(axes, title, panels[title], study)
    names = [_name(one, study) for own in panels.values() for one in own]
    notes = [judged_note(study), key(study, names)]
    if sum(map(len, panels.values())) < len(every):
        notes.append("further estimands are in induced.csv")
    legend_below(figure, _legend(every), notes, ncols=3)
    return figure


def _draw_panel(axes: Axes, title: str, own: Sequence[PriorPosterior], study: Study) -> None:
    is_log, is_risk = own[0].estimand.log, own[0].estimand.null is None
    both = np.concatenate([draws for one in own for draws in (one.prior, one.posterior)])
    ends = np.quantile(np.concatenate([one.posterior for one in own]), [EDGE, 1 - EDGE])
    wide = np.quantile(both, [EDGE, 1 - EDGE])
    lower, upper = (0.0, 1.0) if is_risk else (min(ends[0], wide[0]), max(ends[1], wide[1]))
    if is_log:
        log_axis(axes, float(lower), float(upper), most=5)
    else:
        axes.set_xlim(lower, upper)
    null = own[0].estimand.null
    if null is not None:
        axes.axvline(null, color=GREY, lw=0.6, zorder=0)
    for at, one in enumerate(own):
        x, height = density(one.prior, (float(lower), float(upper)), is_log=is_log)
        axes.fill_between(x, at + 0.4, at + 0.4 - HEIGHT * height, color=PALE, lw=0, zorder=1)
        x, height = density(one.posterior, (float(lower), float(upper)), is_log=is_log)
        height = np.where(height < LOWEST, np.nan, height)
        style = "--" if one.is_unidentified else "-"
        axes.plot(x, at + 0.4 - HEIGHT * height, color=BLUE, lw=0.9, ls=style, zorder=2)
    label_rows(axes, [_name(one, study) for one in own])
    axes.tick_params(axis="y", labelsize=6.5)
    axes.set_title(title, loc="left", fontsize=8)


def _name(one: PriorPosterior, study: Study) -> str:
    """Name the row of an estimand."""
    estimand = one.estimand
    if estimand.synergy is None:
        return WITHIN.join(filter(None, [estimand.contrast, estimand.stratum]))
    name = f"{estimand.measure}[{estimand.pair}]"
    if estimand.co_treatment == ANY:
        return name
    regimen = WITHIN.join(filter(None, [estimand.co_treatment, estimand.stratum]))
    return f"{name}, {co_treatment(study, regimen)}"


def density(
    draws: NDArray[np.float64], ends: tuple[float, float], *, is_log: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Estimate a density within the ends of an axis, its height at most 1.

    Returns
    -------
    x, height : ndarray
        Of ratios the density of the logarithm.
    """
    from arviz_stats.base import array_stats

    values = np.log(draws) if is_log else draws
    limits = np.log(ends) if is_log else np.array(ends)
    inside = values[(values >= limits[0]) & (values <= limits[1])]
    x, height, _ = array_stats.kde(inside, grid_len=256)
    return (np.exp(x) if is_log else x), np.asarray(height / height.max())


def _legend(every: Sequence[PriorPosterior]) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [Patch(color=PALE, label="prior")]
    for is_unidentified, name in ((False, "posterior"), (True, f"posterior, {NOT_IDENTIFIED}")):
        if any(one.is_unidentified == is_unidentified for one in every):
            style = "--" if is_unidentified else "-"
            handles.append(Line2D([], [], color=BLUE, ls=style, lw=0.9, label=name))
    return handles
