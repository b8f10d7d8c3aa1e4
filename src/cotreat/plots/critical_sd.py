"""How the probability of synergy falls as the prior of the interactions narrows."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from cotreat.plots import Picture
from cotreat.plots.labels import LINE, fold, judged_on, key, pair_name
from cotreat.plots.style import BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILION, log_axis
from cotreat.sensitivity.reverse_bayes import SD, Critical
from cotreat.study.study import Study

PICTURE = Picture(
    "critical_sd",
    "Probability of synergy (ratio of odds ratios beyond 1) against the prior SD of each pair's log ratio of "
    "odds ratios: the narrower the prior, the nearer to one half. A mark shows where a pair falls below a "
    "threshold; a curve that stays below it, or crosses it more than once, has no such prior. Where a line is "
    "broken the fit in between could not be used. The dotted line is the prior of the analysis.",
    "Curves, one a pair, of the probability of synergy from 0 to 1 against the prior standard deviation on "
    "a logarithmic axis; dashed horizontal lines are thresholds, a dotted vertical line is the prior of the "
    "analysis, and circles mark crossings.",
)
LOOKS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE)


def draw(curve: pd.DataFrame, found: Sequence[Critical], own: float, study: Study) -> Figure:
    """Draw a curve for each pair.

    Parameters
    ----------
    curve, found
        What `cotreat.sensitivity.reverse_bayes.critical_sds` returns.
    own
        Prior SD of the analysis.
    """
    figure = Figure(figsize=(5.5, 3.6), layout="constrained")
    axes = figure.add_subplot()
    log_axis(axes, float(curve[SD].min()), float(curve[SD].max()))
    axes.set_ylim(-0.02, 1.02)
    axes.axvline(own, color=GREY, lw=0.8, ls=":")
    handles = []
    pairs = [str(name) for name in curve.columns if name != SD]
    for at, pair in enumerate(pairs):
        color = LOOKS[at % len(LOOKS)]
        axes.plot(curve[SD], curve[pair], color=color, marker=".", ms=4, lw=1.2)
        handles.append(Line2D([], [], color=color, label=pair_name(study, pair)))
    for one in found:
        axes.axhline(one.threshold, color=GREY, lw=0.7, ls="--", zorder=0)
        if pd.notna(one.sd):
            color = LOOKS[pairs.index(one.interaction) % len(LOOKS)]
            axes.plot(one.sd, one.threshold, "o", ms=6, mfc="white", color=color, zorder=5)
    axes.set_xlabel("prior SD of each pair's log ratio of odds ratios")
    axes.set_ylabel("P(synergy)")
    handles += [
        Line2D([], [], color=GREY, ls="--", lw=0.7, label="threshold"),
        Line2D([], [], color=GREY, ls=":", lw=0.8, label="prior of the analysis"),
    ]
    notes = [fold(f"synergy is judged on: {judged_on(study)}", LINE)]
    notes += filter(None, [key(study, pairs)])
    figure.legend(handles=handles, loc="outside lower center", ncols=2, title="\n".join(notes))
    return figure
