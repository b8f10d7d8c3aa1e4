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

__all__ = ["FIGURES", "Figure", "View", "draw_figures"]


@dataclass(frozen=True)
class Figure:
    """An entry of the registry.

    Attributes
    ----------
    name : str
        Module of this package whose function ``draw(view)`` makes it, or returns None where the
        study has no such picture.
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
        """Name of its file in a fit's folder."""
        return f"{self.name}.png"

    def make(self, view: View) -> matplotlib.figure.Figure | None:
        """Draw the figure of a fit, within `cotreat.plots.canvas.off_screen`, without saving it."""
        return import_module(f"{__name__}.{self.name}").draw(view)


FIGURES: dict[str, Figure] = {
    figure.name: figure
    for figure in (
        Figure(
            "comparison",
            "Odds ratios and ratios of odds ratios of the event: the posterior median and its 95% "
            "credible interval above the maximum likelihood estimate and its 95% confidence "
            "intervals. Prior, method and skewness all make them differ.",
            "Forest plot on a logarithmic axis with a vertical line at 1. Each row is a regimen "
            "against the first counted one, or a pair of treatments; a filled circle with a thick "
            "bar is the posterior, open squares and triangles with thin bars are maximum "
            "likelihood. The posterior's numbers stand at the right.",
        ),
        Figure(
            "risks",
            "Risk of the event by regimen. Left, the pale band is the prior's 95% interval: the "
            "shorter the posterior's bar within it, the more the data have taught; the tick across the "
            "bar is the median. Right, the same posterior close up, with maximum likelihood.",
            "Two panels of horizontal intervals with one row for each regimen. The left panel runs "
            "over all plausible risks and shows pale prior bands behind posterior intervals with a "
            "tick at the median; the right panel enlarges the posterior intervals (filled circles) beside maximum "
            "likelihood intervals (open squares). Events and patients stand at the right.",
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
        ),
        Figure(
            "prior_posterior",
            "Prior (dashed) and posterior (solid) density of each parameter. Where the two are "
            "alike, the data said little about it.",
            "One small panel for each parameter with two density curves, a dashed one for the prior "
            "and a solid one for the posterior.",
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
            "trace",
            "Marginal density by chain and the draws in their order. Chains that agree lie on top "
            "of each other, and their traces look like noise around one level; ticks on the axis "
            "mark divergent draws.",
            "One row for each parameter. The left panel overlays one density curve a chain in "
            "different colours and line styles, the right panel the draws of the chains against "
            "their number.",
        ),
        Figure(
            "rank",
            "Difference between the rank distribution of each chain and a uniform one. Chains that "
            "mix stay near 0; p is the test that they do.",
            "One small panel for each parameter with one jagged curve a chain around a level of 0, "
            "and a p-value in the corner.",
        ),
        Figure(
            "energy",
            "Right, marginal energy and its change from draw to draw: curves of like width mean "
            "that the sampler reached the tails. Left, the same as a number for each chain (BFMI), "
            "which should lie right of the dashed line.",
            "Two panels: on the left one dot a chain right or left of a dashed line at 0.3, on the "
            "right two overlaid density curves.",
        ),
        Figure(
            "pair",
            "Posterior draws of each two parameters, with marginal densities on the diagonal. "
            "Divergent draws, if there are any, are orange crosses; a cluster of them marks a region "
            "that the sampler could not explore.",
            "Lower triangle of scatter plots, one for each two parameters, with density curves on "
            "the diagonal.",
        ),
    )
}
"""Every figure by name, in the order of the report; a new one is a file and an entry."""


def draw_figures(folder: Path, view: View, failed: Sequence[str] = ()) -> list[str]:
    """Write every figure of a fit as PNG.

    Parameters
    ----------
    folder
        Where to; made if it is not there.
    failed
        What `cotreat.checks.failures` returns; if there is anything, each figure says so in red.

    Returns
    -------
    list of str
        Names of the figures written as ``NAME.png``: those of `FIGURES` that the study has.
    """
    from cotreat.plots.canvas import off_screen, save, sign

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
