"""Figure of a sensitivity analysis: prior and posterior of the estimands."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from cotreat.core.constants import ANY
from cotreat.estimands.estimand import ODDS_RATIO, RISK
from cotreat.estimands.measures import MEASURES, representatives
from cotreat.plots import style
from cotreat.plots.labels import co_treatment, judged_note, key
from cotreat.plots.records import PriorPosterior, Sensitivity
from cotreat.plots.registry import SENSITIVITY, figure_of
from cotreat.plots.synergy_rows import posterior_handles
from cotreat.study.regimens import WITHIN
from cotreat.study.study import Study

HEIGHT = 0.9
"""Height of a density, in rows."""
ROW = 0.19
MOST = 14
"""Rows of a panel that a page can hold."""
TAILS = (0.025, 0.975)
LOWEST = 0.004
"""Heights below this are not drawn: the base line would run through the next row."""


def axes_of_measures() -> dict[str, tuple[str, ...]]:
    """Return the first measure of each scale by what its axis shows; measures of one axis go together.

    Returns
    -------
    dict[str, tuple[str, ...]]
        Names of measures by label of their axis.
    """
    names = pd.Series(list(representatives().values()))
    by_axis = names.groupby(names.map(lambda name: MEASURES[name].family.axis), sort=False)
    return {f"{axis} ({', '.join(same)})": tuple(same) for axis, same in by_axis}


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
    """Draw a row per estimand, in panels of one axis each.

    Parameters
    ----------
    record : Sensitivity
        The sensitivity analysis.

    Returns
    -------
    Figure or None
        None without estimands.
    """
    every, study = record.estimands, record.study
    if not every:
        return None
    plain = {"risks": (RISK,), "odds ratios": (ODDS_RATIO,)}
    columns = [
        {
            title: rows[:MOST]
            for title, names in axes_.items()
            if (rows := [row for row in every if row.estimand.measure in names])
        }
        for axes_ in (plain, axes_of_measures())
    ]
    columns = [column for column in columns if column]
    heights = [[len(rows) + 4 for rows in column.values()] for column in columns]
    size = (3.6 * len(columns) + 0.4, 0.8 + ROW * max(map(sum, heights)))
    figure = Figure(figsize=size, layout="constrained")
    parts = figure.subfigures(1, len(columns), squeeze=False)[0]
    for part, column, ratios in zip(parts, columns, heights, strict=True):
        grid = part.subplots(len(column), 1, squeeze=False, height_ratios=ratios)[:, 0]
        for axes, (title, rows) in zip(grid, column.items(), strict=True):
            _draw_panel(axes, title, rows, study)
    shown = [row for column in columns for rows in column.values() for row in rows]
    notes = [judged_note(study), key(study, [_name(row, study) for row in shown])]
    if len(shown) < len(every):
        notes.append("further estimands are in induced.csv")
    posterior = posterior_handles((row.is_unidentified for row in every), _look)
    style.legend_below(figure, [Patch(color=style.PALE, label="prior"), *posterior], notes, ncols=3)
    return figure


def _look(is_unidentified: bool) -> dict[str, Any]:
    return {"color": style.BLUE, "lw": 0.9, "ls": "--" if is_unidentified else "-"}


def _draw_panel(axes: Axes, title: str, rows: Sequence[PriorPosterior], study: Study) -> None:
    is_log, null = rows[0].estimand.log, rows[0].estimand.null
    posterior = np.concatenate([row.posterior for row in rows])
    both = np.concatenate([posterior, *(row.prior for row in rows)])
    tails = [*np.quantile(posterior, TAILS), *np.quantile(both, TAILS)]
    limits = (0.0, 1.0) if null is None else (float(min(tails)), float(max(tails)))
    if is_log:
        style.log_axis(axes, *limits, most=5)
    else:
        axes.set_xlim(*limits)
    if null is not None:
        axes.axvline(null, color=style.GREY, lw=0.6, zorder=0)
    for at, row in enumerate(rows):
        x, height = density(row.prior, limits, is_log=is_log)
        axes.fill_between(x, at + 0.4, at + 0.4 - HEIGHT * height, color=style.PALE, lw=0, zorder=1)
        x, height = density(row.posterior, limits, is_log=is_log)
        height = np.where(height < LOWEST, np.nan, height)
        axes.plot(x, at + 0.4 - HEIGHT * height, zorder=2, **_look(row.is_unidentified))
    style.label_rows(axes, [_name(row, study) for row in rows])
    axes.tick_params(axis="y", labelsize=6.5)
    style.title_panel(axes, title, 60)


def _name(row: PriorPosterior, study: Study) -> str:
    """Name the row of an estimand."""
    estimand = row.estimand
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

    Parameters
    ----------
    draws
        Draws.
    ends
        Limits of the axis.
    is_log
        Whether the axis is logarithmic.
    """
    from arviz_stats.base import array_stats

    values = np.log(draws) if is_log else draws
    limits = np.log(ends) if is_log else np.array(ends)
    inside = values[(values >= limits[0]) & (values <= limits[1])]
    x, height, _ = array_stats.kde(inside, grid_len=256)
    return (np.exp(x) if is_log else x), np.asarray(height / height.max())
