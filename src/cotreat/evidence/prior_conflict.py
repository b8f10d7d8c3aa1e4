"""Conflict between the counts and the prior."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from cotreat.study.study import Study

PRIOR_CONFLICT = 2.5
"""Distance in SDs above which counts conflict with the prior."""


def distance(
    mean: NDArray[np.float64] | float, variance: NDArray[np.float64] | float, study: Study
) -> NDArray[np.float64]:
    """Return the distance of the counts from their prior prediction, in SDs.

    Parameters
    ----------
    mean, variance
        Of the prior log-odds, by counted regimen or for all.

    Returns
    -------
    ndarray
        |empirical log-odds − mean| / √(variance + sampling variance), shape (counted,).
    """
    share = (study.events + 0.5) / (study.n + 1)
    sampling = 1 / ((study.n + 1) * share * (1 - share))
    return np.abs(logit(share) - mean) / np.sqrt(variance + sampling)
