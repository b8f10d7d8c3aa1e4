"""Cell counts: events among the patients of each counted regimen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cotreat.study import Study

if TYPE_CHECKING:
    import pytensor.tensor as pt


def likelihood(study: Study, arms: tuple[str, ...], log_odds: pt.TensorVariable) -> None:
    """State r_a ~ Binomial(n_a, logistic(η_a)) for every counted arm of the PyMC model in context.

    Parameters
    ----------
    arms
        Labels along `log_odds`.
    log_odds
        η by arm, shape (arm,).
    """
    import pymc as pm

    at = [arms.index(regimen) for regimen in study.counted]
    pm.Binomial("events", n=study.n, logit_p=log_odds[at], observed=study.events, dims="counted")


def jacobian(study: Study, risk: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the derivative of the expected events in the log-odds of all regimens.

    Parameters
    ----------
    risk
        Risk by regimen, shape (regimen,).

    Returns
    -------
    ndarray
        Shape (counted, regimen): n p (1 − p) where the count is of the regimen, else 0.
    """
    at = [study.regimens.index(regimen) for regimen in study.counted]
    rows = np.zeros((len(at), len(study.regimens)))
    rows[np.arange(len(at)), at] = study.n * risk[at] * (1 - risk[at])
    return rows
