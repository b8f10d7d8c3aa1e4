"""Figure of a fit: influence of each covariate pattern, by Pareto k of leaving it out."""

import numpy as np
from matplotlib.figure import Figure

from cotreat.inference.influence import GROUP, unit
from cotreat.plots.labels import key, regimen_name
from cotreat.plots.records import View
from cotreat.plots.registry import FIT, figure_of
from cotreat.plots.style import BLUE, GREY, SMALL, VERMILION, label_rows, legend_below

PATTERN = "covariate pattern"
ROW, SPREAD = 0.22, 0.32
"""Inches per regimen, and how far its patterns spread from the middle of its row, in rows."""


@figure_of(
    FIT,
    order=15,
    caption="Covariate patterns to the right of the dashed line dominate the fit: leaving one out "
    "cannot be estimated from the draws. Each dot is the Pareto k of leaving one covariate "
    "pattern out, often a single patient.",
    alt="One row of small dots per regimen, a dot per covariate pattern at its Pareto k, with a "
    "dashed vertical line at about 0.7; patterns beyond it are diamonds.",
)
def influence(view: View) -> Figure | None:
    """Draw Pareto k per covariate pattern, a row per regimen.

    Parameters
    ----------
    view : View
        The fit and its summary.

    Returns
    -------
    Figure or None
        None where it was not calculated.
    """
    patterns = view.study.patterns
    if patterns is None or GROUP not in view.draws.children:
        return None
    estimated = view.draws[GROUP].to_dataset()
    if "cell" not in estimated.dims:  # a cluster or matched set has several regimens
        return None
    k, good = estimated["pareto_k"].values, float(estimated.attrs["good_k"])
    regimens = np.array(patterns.regimens)
    labels = [label for label in view.study.counted if label in regimens]
    figure = Figure(figsize=(6.5, 1.3 + ROW * len(labels)), layout="constrained")
    axes = figure.subplots()
    axes.axvline(good, color=VERMILION, lw=0.8, ls="--")
    axes.axvline(0, color=GREY, lw=0.4)
    for row, label in enumerate(labels):
        of_regimen = k[regimens == label]
        half = SPREAD if len(of_regimen) > 1 else 0
        y, is_far = row + np.linspace(-half, half, len(of_regimen)), of_regimen > good
        axes.plot(
            of_regimen[~is_far], y[~is_far], ls="", marker="o", ms=2, mew=0, color=BLUE, alpha=0.7
        )
        axes.plot(of_regimen[is_far], y[is_far], ls="", marker="D", ms=4.5, color=VERMILION)
    axes.set_xlim(min(-0.1, k.min() - 0.05), max(good, k.max()) + 0.1)
    names = [regimen_name(view.study, label) for label in labels]
    label_rows(axes, names)
    unit_left_out = PATTERN if unit(patterns) == "cell" else unit(patterns)
    axes.set_xlabel(f"Pareto k of leaving one {unit_left_out} out")
    units = unit_left_out + "s" * (len(k) != 1)
    title = f"{int((k > good).sum()):,} of {len(k):,} {units} above {good:.2g}"
    axes.set_title(title, loc="left", fontsize=SMALL)
    if explained := key(view.study, names):
        legend_below(figure, [], [explained])
    return figure
