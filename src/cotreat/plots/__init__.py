"""Figures of a fit: each is a file of this package and an entry of `FIGURES`.

Importing this package loads neither Matplotlib nor ArviZ; `draw_figures` does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from cotreat.plots.view import View

if TYPE_CHECKING:
    import matplotlib.figure

__all__ = ["FIGURES", "STUDY_FIGURES", "Figure", "Picture", "View", "draw_figures"]


@dataclass(frozen=True)
class Picture:
    """What is told of a picture beside it.

    Attributes
    ----------
    name : str
        Name of its file, but for the ending.
    caption : str
        What to see in it.
    alt : str
        What it looks like, for people who cannot see it.
    """

    name: str
    caption: str
    alt: str

    @property
    def file(self) -> str:
        """Name of its file in a folder."""
        return f"{self.name}.png"


@dataclass(frozen=True)
class Figure(Picture):
    """A picture of a fit.

    The function ``draw(view)`` of the module of this package that has its name makes it, or the function of
    its name in `module`; either returns None where the study, or the sampler, has no such picture.
    """

    module: str = ""

    def make(self, view: View) -> matplotlib.figure.Figure | None:
        """Draw the figure of a fit, within `cotreat.plots.style.off_screen`, without saving it."""
        module = self.module or _MODULES.get(self.name, self.name)
        own = import_module(f"{__name__}.{module}")
        return getattr(own, self.name if self.module else "draw")(view)


_MODULES = {
    "comparison": "odds_ratios",
    "parts": "levels",
    "claims": "reported",
    "sizes": "arm_sizes",
    "calibration": "risk_calibration",
    "claims_predictive": "reported_predictive",
}
"""Modules of figures whose file has another name."""

DIAGNOSTICS = "diagnostics"
FIGURES: dict[str, Figure] = {
    figure.name: figure
    for figure in (
        Figure(
            "comparison",
            "Odds ratios and ratios of odds ratios of the event: the posterior median and its 95% "
            "credible interval above the maximum likelihood estimate and its 95% confidence "
            "intervals, or, where nobody counted, above the odds ratio and interval in print. Prior, "
            "method and skewness all make them differ. Of printed numbers alone, what they do not "
            "determine is dashed, with the prior behind it as a pale band that may run beyond the "
            "axis.",
            "Forest plot on a logarithmic axis with a vertical line at 1. Each row is a regimen "
            "against the first one that was counted, or else that the print speaks of, or a pair of "
            "treatments, or a treatment with one partner against the same with another; a circle with "
            "a thick bar is the posterior, filled and solid where observed, open and dashed where "
            "extrapolated; open squares and triangles with thin bars are maximum likelihood, filled "
            "diamonds with thin bars are printed. The posterior's numbers stand at the right.",
        ),
        Figure(
            "parts",
            "Odds ratio of each treatment against none of it, at each of its levels or in each subgroup. "
            "The posterior (circle) never turns back from level to level, or is shrunk towards the common "
            "effect of all subgroups; maximum likelihood (square) or what is printed (diamond) stands by "
            "itself. Dashed is what the evidence does not determine; without a diamond, what nobody "
            "printed and is inferred, with the prior behind it as a pale band that may run beyond the axis.",
            "Forest plot on a logarithmic axis with a vertical line at 1, a heading for each treatment and "
            "a row for each of its levels or for each subgroup. A circle with a thick bar is the "
            "posterior, an open square with a thin bar maximum likelihood, a diamond with a thin bar what "
            "is printed.",
        ),
        Figure(
            "risks",
            "Risk of the event by regimen. Left, the pale band is the prior's 95% interval: the "
            "shorter the posterior's bar within it, the more the data have taught; the tick across the "
            "bar is the median. Right, the same posterior close up, with maximum likelihood where all "
            "regimens are counted. Where they are not, risks are implied: odds that print determines "
            "only relative to each other, placed by totals, model and prior.",
            "Two panels of horizontal intervals with one row for each regimen. The left panel runs "
            "over all plausible risks and shows pale prior bands behind posterior intervals with a "
            "tick at the median; the right panel enlarges the posterior intervals (circles, filled where "
            "observed, open with a dashed bar where extrapolated) beside maximum likelihood intervals "
            "(open squares), if there are any. Events and patients stand at the right, or that nobody "
            "counted them.",
        ),
        Figure(
            "claims",
            "The printed numbers that are evidence in this reading: the posterior of the coefficient "
            "that each is taken to be (circle, 95% equal-tailed credible interval) above what was "
            "printed of it (diamond). Of a p-value only the coefficient's posterior has a place on the "
            "axis; the p-value stands as text. A number marked † follows from others and is not "
            "counted twice.",
            "Forest plot on a logarithmic axis with a vertical line at 1 and one row for each printed "
            "odds ratio or p-value: a filled circle with a thick bar is the posterior, a filled diamond "
            "with a thin bar the printed interval. Two columns of numbers at the right give the printed "
            "number and the posterior. A dagger marks a number that follows from others.",
        ),
        Figure(
            "sizes",
            "Patients by regimen, which nobody printed: the pale band is the prior's 95% interval, "
            "uniform on what the printed totals leave open, the bar the posterior's. Standard errors "
            "are what teaches sizes; a bar as long as its band means that they taught nothing.",
            "Horizontal intervals with one row for each regimen on an axis of patients: a pale band for "
            "the prior, an open circle with a dashed bar for the posterior, a black tick where counts "
            "or totals fix the size. The posterior's numbers stand at the right, and the printed totals "
            "below.",
        ),
        Figure(
            "synergy",
            "Probability that each measure lies beyond its null, after the data (filled) and before "
            "them (open circle). Only in the shaded zones, at least 0.975 or at most 0.025, is the "
            "question decided; measures of one family answer one question. Words say why a measure has "
            "no probability: implied or fixed by the model means that the model itself, without an "
            "interaction, settles the sign.",
            "Dot plot with one panel for each pair of treatments and background, and one row for "
            "each measure, grouped by family. The axis runs from 0, antagonism, to 1, synergy, with "
            "narrow shaded zones at both ends. Open circles are prior and filled circles posterior "
            "probabilities; half-filled diamonds are extrapolated. Grey words stand where a measure "
            "has no probability. The excess over the better single treatment is below a line and "
            "marked as not evidence of synergy.",
        ),
        Figure(
            "forest",
            "Posterior of the model's coefficients on the log-odds scale: median, 50% interval "
            "(thick) and 95% equal-tailed credible interval (thin).",
            "Forest plot on the log-odds axis with one row for each coefficient: a dot, a thick bar "
            "and a thin bar.",
            module=DIAGNOSTICS,
        ),
        Figure(
            "prior_posterior",
            "Prior (dashed) and posterior (solid) density of each parameter. Where the two are "
            "alike, the data said little about it.",
            "One small panel for each parameter with two density curves, a dashed one for the prior "
            "and a solid one for the posterior.",
            module=DIAGNOSTICS,
        ),
        Figure(
            "predictive",
            "Events that the fitted model predicts for each counted regimen (50% and 95% intervals) "
            "and the events counted (diamonds). One diamond in twenty lies outside by chance alone; one "
            "far outside is a count that the model does not reproduce.",
            "Vertical intervals, one for each counted regimen, with a thick 50% and a pale 95% "
            "part, and a diamond at the number of events counted.",
        ),
        Figure(
            "calibration",
            "Share of patients with the event (diamonds) against their predicted risk, in groups by "
            "quantile of predicted risk, with 95% posterior predictive intervals. Diamonds along the "
            "dashed line are risks that came true; a slope under 1 means predictions that are too extreme. "
            "These are the patients that the model was fitted to: in new ones it would do worse.",
            "One panel with predicted risk across and the share of patients with the event upwards: a "
            "dashed diagonal, and for each group of patients a vertical bar and a diamond. Two lines of "
            "text above give the groups' sizes, calibration in the large, slope and a posterior "
            "predictive p-value.",
        ),
        Figure(
            "influence",
            "How far the posterior leans on each cell of patients alike in all that is known of them, "
            "often a single patient: Pareto k of leaving it out. Right of the dashed line a cell moves the "
            "posterior so much that leaving it out cannot be worked out from the draws.",
            "One row of small dots for each regimen, a dot for each cell, at its Pareto k, with a dashed "
            "vertical line at about 0.7; cells beyond it are diamonds.",
        ),
        Figure(
            "claims_predictive",
            "What the fitted model predicts to be printed (50% and 95% intervals) and what is printed "
            "(diamonds): odds ratios, standard errors of their logs, p-values by their normal deviate, "
            "events. One diamond in twenty lies outside by chance alone, and as all stand on the same "
            "patients, they stray together; one far outside is a number that the model does not "
            "reproduce.",
            "Panels of horizontal intervals, one row for each printed number, with a thick 50% and a "
            "pale 95% part and a diamond at the printed number: odds ratios and, beside them, standard "
            "errors on logarithmic axes; below, if there are any, deviates of p-values, with an arrow "
            "where only a bound is printed, and events.",
        ),
        Figure(
            "trace",
            "Marginal density by chain and the draws in their order. Chains that agree lie on top "
            "of each other, and their traces look like noise around one level; ticks on the axis "
            "mark divergent draws. Under sequential Monte Carlo a chain is a run of its own, its draws "
            "are particles in no order, and none diverges; of Laplace's approximation a chain is a part "
            "of the draws, taken by weight and in no order, so that there is no walk to see.",
            "One row for each parameter. The left panel overlays one density curve a chain in "
            "different colours and line styles, the right panel the draws of the chains against "
            "their number.",
            module=DIAGNOSTICS,
        ),
        Figure(
            "rank",
            "Difference between the rank distribution of each chain and a uniform one. Chains that "
            "mix stay near 0; p is the test that they do, and black dots mark where they do not. Under "
            "sequential Monte Carlo a chain is a run of its own.",
            "One small panel for each parameter with one jagged curve a chain around a level of 0, "
            "and a p-value in the corner.",
            module=DIAGNOSTICS,
        ),
        Figure(
            "energy",
            "Right, marginal energy and its change from draw to draw: curves of like width mean "
            "that the sampler reached the tails. Left, the same as a number for each chain (BFMI), "
            "which should lie right of the dashed line.",
            "Two panels: on the left one dot a chain right or left of a dashed line at 0.3, on the "
            "right two overlaid density curves.",
            module=DIAGNOSTICS,
        ),
        Figure(
            "pair",
            "Posterior draws of each two parameters, with marginal densities on the diagonal. "
            "Divergent draws, if there are any, are orange crosses; a cluster of them marks a region "
            "that the sampler could not explore.",
            "Lower triangle of scatter plots, one for each two parameters, with density curves on "
            "the diagonal.",
            module=DIAGNOSTICS,
        ),
    )
}
"""Every figure by name, in the order of the report; a new one is a file and an entry."""

STUDY_FIGURES: dict[str, Picture] = {
    picture.name: picture
    for picture in (
        Picture(
            "readings",
            "Probability that one measure of each family lies beyond its null, under each reading of "
            "the printed words: after the data (filled; half-filled where extrapolated) and before "
            "them (open). Only in the shaded zones, at least 0.975 or at most 0.025, is the question "
            "decided. Where readings fall on different sides, the words decide and not the data.",
            "Dot plot with one panel for each pair of treatments and one row for each measure and "
            "background, within which each reading has a line, a colour and a marker of its own. The "
            "axis runs from 0, antagonism, to 1, synergy, with narrow shaded zones at both ends. Open "
            "marks are prior, filled or half-filled ones posterior probabilities.",
        ),
        Picture(
            "readings_sizes",
            "Patients by regimen, which nobody printed, under each reading: posterior median and 95% "
            "equal-tailed credible interval. The pale band is the prior's 95% interval, the same under "
            "every reading. An arm whose bar leaves the middle of its band under one reading only is "
            "one whose size that reading needs.",
            "Horizontal intervals on an axis of patients, one group for each regimen, with one bar and "
            "mark for each reading, told apart by colour and marker, in front of a pale prior band.",
        ),
    )
}
"""What `cotreat.plots.interpretations.draw_readings` draws of all readings of a study."""


def draw_figures(folder: Path, view: View, failed: Sequence[str] = ()) -> list[str]:
    """Write every figure of a fit as PNG.

    Parameters
    ----------
    folder
        Where to; made if it is not there.
    failed
        What `cotreat.diagnostics.checks.failures` returns; if there is anything, each figure says so in red.

    Returns
    -------
    list of str
        Names of the figures written as ``NAME.png``: those of `FIGURES` that the study has.
    """
    from cotreat.plots.style import off_screen, save, sign

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for figure in FIGURES.values():
        with off_screen():
            picture = figure.make(view)
            if picture is not None:
                sign(picture, view)
                save(picture, folder / f"{figure.name}.png", failed)
                written.append(figure.name)
    return written
