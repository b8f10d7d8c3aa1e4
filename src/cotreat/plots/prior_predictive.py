"""What the prior says of every estimand, drawn with what the posterior says."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray

from cotreat.core.constants import ANY, NOT_IDENTIFIED
from cotreat.estimands.estimand import ODDS_RATIO, RISK, Estimand, Waist
from cotreat.estimands.identification import Status
from cotreat.estimands.measures import MEASURES, representatives
from cotreat.plots import Picture
from cotreat.plots.labels import LINE, fold, judged_on, key
from cotreat.plots.style import BLUE, GREY, PALE, label_rows, log_axis
from cotreat.study.regimens import WITHIN
from cotreat.study.study import Study

PICTURE = Picture(
    "induced",
    "What the priors alone say of each estimand (grey) with what is left after the evidence (blue, dashed "
    "where not identified). Where blue lies on grey, nothing was learnt: the number is the prior. Each shape "
    "is drawn to the same height; axes end where the outer fortieths of both begin.",
    "Groups of rows, one an estimand: risks, odds ratios, ratios of odds ratios and of risks, differences "
    "of risks, excess of odds ratios. In each row a grey filled density is the prior and a blue line the "
    "posterior.",
)
HEIGHT = 0.9
"""Height of a density, in rows."""
ROW = 0.19
MOST = 14
"""Rows of a panel that a page can hold."""
EDGE = 0.025
LOWEST = 0.004
"""Heights below this are not drawn: the base line would run through the next row."""


@dataclass(frozen=True)
class Drawn:
    """An estimand with its draws before and after the evidence."""

    estimand: Estimand
    prior: NDArray[np.float64]
    posterior: NDArray[np.float64]
    is_extrapolated: bool

    @property
    def label(self) -> str:
        """How its row is called."""
        one = self.estimand
        if one.synergy is None:
            return WITHIN.join(filter(None, [one.contrast, one.stratum]))
        return one.code.removesuffix(f" with {ANY}")


PLAIN = {"risks": (RISK,), "odds ratios": (ODDS_RATIO,)}
"""Measures of no interaction that share an axis, by what it shows."""


def axes_of_measures() -> dict[str, tuple[str, ...]]:
    """Return the measures that stand for a family, those that share an axis together, by what it shows."""
    found: dict[str, list[str]] = {}
    for name in representatives().values():
        found.setdefault(MEASURES[name].family.axis, []).append(name)
    return {f"{axis} ({', '.join(names)})": tuple(names) for axis, names in found.items()}


def drawn(asked: Sequence[tuple[Estimand, Status]], prior: Waist, posterior: Waist) -> list[Drawn]:
    """Answer estimands before and after the evidence."""
    return [
        Drawn(
            one,
            one.values(prior).values.ravel(),
            one.values(posterior).values.ravel(),
            status.name == NOT_IDENTIFIED,
        )
        for one, status in asked
    ]


def draw(every: Sequence[Drawn], study: Study) -> Figure:
    """Draw a row for each estimand, in panels of one axis each."""
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
            _draw_panel(axes, title, panels[title])
    names = [one.label for own in panels.values() for one in own]
    notes = [fold(f"synergy is judged on: {judged_on(study)}", LINE), key(study, names)]
    if sum(map(len, panels.values())) < len(every):
        notes.append("what does not fit is in induced.csv")
    figure.legend(
        handles=_legend(every),
        loc="outside lower center",
        ncols=3,
        title="\n".join(filter(None, notes)),
    )
    return figure


def _draw_panel(axes: Axes, title: str, own: Sequence[Drawn]) -> None:
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
        style = "--" if one.is_extrapolated else "-"
        axes.plot(x, at + 0.4 - HEIGHT * height, color=BLUE, lw=0.9, ls=style, zorder=2)
    label_rows(axes, [one.label for one in own])
    axes.tick_params(axis="y", labelsize=6.5)
    axes.set_title(title, loc="left", fontsize=8)


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


def _legend(every: Sequence[Drawn]) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [Patch(color=PALE, label="prior")]
    for is_extrapolated, name in ((False, "posterior"), (True, f"posterior, {NOT_IDENTIFIED}")):
        if any(one.is_extrapolated == is_extrapolated for one in every):
            style = "--" if is_extrapolated else "-"
            handles.append(Line2D([], [], color=BLUE, ls=style, lw=0.9, label=name))
    return handles
