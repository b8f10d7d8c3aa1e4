"""Margins of no relevant interaction, and their default."""

from __future__ import annotations

import numpy as np

from cotreat.estimands.estimand import Estimand, RiskDraws, is_array
from cotreat.study.study import Margin, Study

RATIOS = {"ror": (0.8, 1.25), "rrr": (0.8, 1.25)}
"""Default margins of ratios, by measure."""
DIFFERENCES = ("ic", "bliss")
"""Measures whose default margin depends on the risks."""
MOST, PART = 0.05, 0.25
"""Largest default margin of a difference of risks, and its largest share of the lowest risk."""


def margin_of(estimand: Estimand, study: Study, posterior: RiskDraws) -> Margin | None:
    """Return the margin of a measure of interaction.

    Parameters
    ----------
    estimand
        The measure, of one pair and co-treatment.
    study
        With the margins that its file declares.
    posterior
        Posterior draws of the risks by arm.

    Returns
    -------
    Margin or None
        The declared one; otherwise 0.8 to 1.25 for `ror` and `rrr`, and for `ic` and `bliss` ± the smaller one
        of 0.05 and a quarter of the lowest posterior median risk, of event or non-event, among the four regimens.
        None for measures without a margin.
    """
    name = estimand.measure
    if not estimand.is_judged:
        return None
    declared = next((margin for margin in study.margins if margin.measure == name), None)
    if declared is not None:
        return declared
    if name in RATIOS:
        return Margin(name, *RATIOS[name], is_default=True)
    if name not in DIFFERENCES:
        return None
    risk = posterior if is_array(posterior) else posterior["risk"]
    medians = np.median([risk.sel(arm=arm).values.ravel() for arm in estimand.arms], axis=1)
    half = float(min(MOST, PART * np.minimum(medians, 1 - medians).min()))
    return Margin(name, -half, half, is_default=True)
