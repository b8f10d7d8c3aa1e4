"""Conflict between the counts and the prior."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from cotreat.study.study import Study

PRIOR_CONFLICT = 2.5
"""Counts this many SDs from their prior prediction are in conflict with the prior."""


def distance(
    mean: NDArray[np.float64] | float, variance: NDArray[np.float64] | float, study: Study
) -> NDArray[np.float64]:
    """Measure how far the counts lie from a prior, in SDs of its prediction.

    Parameters
    ----------
    mean, variance
        Of the prior log-odds, for each counted regimen or for all alike.

    Returns
    -------
    ndarray
        |empirical log-odds − mean| / √(variance + sampling variance), shape (counted,).
    """
    share = (study.events + 0.5) / (study.n + 1)
    sampling = 1 / ((study.n + 1) * share * (1 - share))
    return np.abs(logit(share) - mean) / np.sqrt(variance + sampling)
