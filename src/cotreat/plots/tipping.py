"""Figure of a bias analysis: conclusions over a grid of confounding biases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy.interpolate import RectBivariateSpline
from scipy.special import ndtri

from cotreat.core.constants import CONCLUSIVE, NOT_IDENTIFIED
from cotreat.plots.labels import fold
from cotreat.plots.records import Bias
from cotreat.plots.registry import BIAS, figure_of
from cotreat.plots.style import BLACK, SMALL, legend_below, log_axis, panel_grid

if TYPE_CHECKING:
    from cotreat.bias.records import Surface

COLUMNS, MOST = 3, 9
X_LABEL, Y_LABEL = "factor: every treatment's odds ratio", "factor: every ratio of odds ratios"
SIDE = 2.3
TITLE_WIDTH = 34
SHADES = {
    "#E69F00": f"probability ≤ {1 - CONCLUSIVE:.3f}: conclusive",
    "#F7E1B5": f"{1 - CONCLUSIVE:.3f} to 0.5",
    "#BFDDF0": f"0.5 to {CONCLUSIVE}",
    "#0072B2": f"≥ {CONCLUSIVE}: conclusive",
}
"""Shades from conclusive on one side to conclusive on the other, with their meaning."""
FINE = 60
"""Steps of smooth lines."""


@figure_of(
    BIAS,
    order=1,
    caption="A conclusion is sensitive to unmeasured confounding where a line lies close to the "
    "circle. Each panel shows a conclusion if confounding had multiplied every treatment's "
    "odds ratio (horizontal axis) and every pair's ratio of odds ratios (vertical axis) in "
    "the evidence; the circle, at 1 and 1, is no confounding. Solid lines: the conclusion "
    "stops being conclusive. Dashed lines: the probability is one half.",
    alt="Small panels, one per conclusion, with logarithmic axes of bias factors. Four shades "
    "from dark blue, conclusive on the side of synergy or benefit, over pale blue and pale "
    "orange to dark orange, conclusive on the other side, with contour lines at probabilities "
    "0.975, 0.5 and 0.025 and a circle at no confounding.",
)
def tipping(record: Bias) -> Figure | None:
    """Draw a panel per conclusion, at most `MOST`.

    Parameters
    ----------
    record : Bias
        The bias analysis.

    Returns
    -------
    Figure or None
        None without surfaces.
    """
    surfaces = record.surfaces
    if not surfaces:
        return None
    shown = list(surfaces)[:MOST]
    columns = 2 if len(shown) == 4 else min(COLUMNS, len(shown))
    figure, grid = panel_grid(
        len(shown), columns, panel=(SIDE, SIDE), margin=(0.4, 0.9), xlabel=X_LABEL
    )
    for at, (axes, surface) in enumerate(zip(grid, shown, strict=True)):
        _draw_panel(axes, surface)
        axes.tick_params(labelsize=6.5, labelbottom=bool(axes.get_xlabel()))
        axes.xaxis.label.set_fontsize(SMALL)
        axes.set_ylabel("" if at % columns else Y_LABEL, fontsize=SMALL)
    handles: list[Patch | Line2D] = [
        Patch(fc=shade, label=words) for shade, words in SHADES.items()
    ]
    edges = {"-": f"P {CONCLUSIVE:g} or {1 - CONCLUSIVE:.3g}", "--": "P 0.5"}
    handles += [Line2D([], [], color=BLACK, ls=style, label=edges[style]) for style in edges]
    notes = [f"† {NOT_IDENTIFIED}"] if any(map(_is_marked, shown)) else []
    if len(surfaces) > MOST:
        notes.append(f"{len(surfaces) - MOST} more conclusions are in tipping.csv")
    legend_below(figure, handles, ["; ".join(notes)], ncols=2 if columns < COLUMNS else 3)
    return figure


def _draw_panel(axes: Axes, surface: Surface) -> None:
    z = ndtri(np.clip(surface.probability, 1e-3, 1 - 1e-3)).T
    levels = ndtri([1 - CONCLUSIVE, 0.5, CONCLUSIVE])
    order = min(3, len(surface.single) - 1)
    spline = RectBivariateSpline(surface.single, surface.products, z.T, kx=order, ky=order)
    finer = [np.linspace(bias[0], bias[-1], FINE) for bias in (surface.single, surface.products)]
    z = spline(*finer).T
    x, y = map(np.exp, finer)
    axes.contourf(x, y, z, levels=[-9, *levels, 9], colors=list(SHADES))
    axes.contour(x, y, z, levels=levels, colors=BLACK, linewidths=0.8, linestyles=["-", "--", "-"])
    axes.plot(1, 1, "o", mfc="white", mec=BLACK, ms=5)
    log_axis(axes, x[0], x[-1], most=5)
    log_axis(axes, y[0], y[-1], most=5, name="y")
    mark = " †" if _is_marked(surface) else ""
    axes.set_title(fold(f"{surface.label}{mark}", TITLE_WIDTH), fontsize=SMALL + 0.5)


def _is_marked(surface: Surface) -> bool:
    """Whether the evidence alone does not identify what a conclusion is about."""
    return surface.status.name == NOT_IDENTIFIED
