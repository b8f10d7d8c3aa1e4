"""How much confounding would overturn each conclusion: probabilities over a grid of biases."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy.interpolate import RectBivariateSpline
from scipy.special import ndtri

from cotreat.bias.unmeasured_confounding import STANDINGS, Surface
from cotreat.core.constants import DECIDED, NOT_IDENTIFIED
from cotreat.plots import Picture
from cotreat.plots.style import BLACK, SMALL, write_below
from cotreat.study.study import Study

PICTURE = Picture(
    "tipping",
    "What would be concluded if unmeasured confounding had multiplied, in the evidence, every treatment's odds ratio "
    "by the factor on the horizontal axis and every pair's ratio of odds ratios by that on the vertical one. The "
    "circle, at 1 and 1, is no confounding. A conclusion hangs on it where a line is near the circle: solid lines "
    "are where it stops being decided (for an odds ratio: where the 95% interval reaches 1), dashed ones where "
    "the probability is one half; where it stays near one half, their course is Monte Carlo noise. † extrapolated.",
    "Small panels, one for each conclusion, with logarithmic axes of bias factors. Four shades from dark blue, "
    "decided beyond the null, over pale blue and pale orange to dark orange, decided short of the null, "
    "with contour lines at probabilities 0.975, 0.5 and 0.025 and a circle at no confounding in the middle. White is "
    "what could not be told.",
)
COLUMNS, MOST = 3, 9
SIDE = 2.3
SHADES = ("#E69F00", "#F7E1B5", "#BFDDF0", "#0072B2")
"""From decided short of the null to decided beyond it."""
FINE = 60
"""Steps of smooth lines."""
TICKS = {"1/3": 1 / 3, "1/2": 1 / 2, "0.7": 0.7, "1": 1.0, "1.4": 1.4, "2": 2.0, "3": 3.0}


def draw(study: Study, found: Sequence[Surface], *, model: str, priors: str) -> Figure:
    """Draw a panel for each conclusion, at most `MOST`, the decided odds ratios first."""
    shown = list(found)[:MOST]
    columns = 2 if len(shown) == 4 else min(COLUMNS, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(SIDE * columns + 0.4, SIDE * rows + 0.9), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for at, (own, one) in enumerate(zip(axes, shown, strict=False)):
        _panel(own, one)
        own.tick_params(labelsize=6.5)
        if at % columns:
            own.set_yticklabels([])
        else:
            own.set_ylabel("factor: every ratio of odds ratios", fontsize=SMALL)
        if at + columns < len(shown):
            own.set_xticklabels([])
        else:
            own.set_xlabel("factor: every treatment's odds ratio", fontsize=SMALL)
    for own in axes[len(shown) :]:
        own.set_axis_off()
    handles: list[Patch | Line2D] = [
        Patch(fc=shade, label=words)
        for shade, words in zip(SHADES, reversed(STANDINGS), strict=True)
    ]
    handles.append(Line2D([], [], color=BLACK, ls="-", label=f"P {DECIDED:g} or {1 - DECIDED:.3g}"))
    handles.append(Line2D([], [], color=BLACK, ls="--", label="P 0.5"))
    figure.legend(handles=handles, loc="outside lower center", ncols=2 if columns < COLUMNS else 3)
    dagger = ""
    if any(one.status.name == NOT_IDENTIFIED for one in shown):
        dagger = f" · †: {NOT_IDENTIFIED}"
    more = (
        f" · {len(found) - MOST} more conclusions are in tipping.csv" if len(found) > MOST else ""
    )
    write_below(figure, f"study {study.id} · model {model} · priors {priors}{dagger}{more}")
    return figure


def _panel(axes: Axes, one: Surface) -> None:
    z = ndtri(np.clip(one.probability, 1e-3, 1 - 1e-3)).T
    x, y = np.exp(one.single), np.exp(one.products)
    levels = ndtri([1 - DECIDED, 0.5, DECIDED])
    if not np.isnan(z).any():  # splines know nothing of gaps
        order = min(3, len(x) - 1)
        spline = RectBivariateSpline(one.single, one.products, z.T, kx=order, ky=order)
        finer = [np.linspace(own[0], own[-1], FINE) for own in (one.single, one.products)]
        z = spline(*finer).T
        x, y = map(np.exp, finer)
    colours = ListedColormap(SHADES)
    norm = BoundaryNorm([-9, *levels, 9], colours.N)
    axes.contourf(x, y, z, levels=[-9, *levels, 9], cmap=colours, norm=norm)
    axes.contour(x, y, z, levels=levels, colors=BLACK, linewidths=0.8, linestyles=["-", "--", "-"])
    axes.plot(1, 1, "o", mfc="white", mec=BLACK, ms=5)
    for axis, ends in ((axes.xaxis, x), (axes.yaxis, y)):
        axis.axes.set(**{f"{axis.axis_name}scale": "log"})
        known = {w: v for w, v in TICKS.items() if ends[0] * 0.99 <= v <= ends[-1] * 1.01}
        if ends[-1] > 2.5:  # not all of them have room
            known = {w: v for w, v in known.items() if w not in ("0.7", "1.4")}
        axis.set_ticks(list(known.values()), list(known))
        axis.set_ticks([], minor=True)
    mark = " †" if one.status.name == NOT_IDENTIFIED else ""
    axes.set_title(f"{one.label}{mark}", fontsize=SMALL + 0.5)
