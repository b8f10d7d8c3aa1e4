"""Predictive distributions of reported estimates under fits of another interpretation.

No PyMC here: the joint sampling distribution is evaluated at draws of a fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit, ndtr

from cotreat.core.constants import CONDITIONAL, INTERVAL, as_seen
from cotreat.evidence.joint_distribution import joint_distribution
from cotreat.evidence.reported import ReportedEstimates, estimates_of
from cotreat.evidence.statistics import statistic_of
from cotreat.study.study import ReportedEstimate, Study

if TYPE_CHECKING:
    import xarray as xr

    from cotreat.priors.prior import PriorSet

Array = NDArray[np.float64]

PREDICTIVE_DRAWS = 2000
"""Largest number of draws at which the joint distribution is evaluated."""
OTHER_SIDE = 1.0
"""Value for predictions of the opposite sign among p-values; no p-value of the reported sign is 1."""


@dataclass(frozen=True)
class Prediction:
    """A reported estimate with its predictive distribution.

    Attributes
    ----------
    reported_estimate : str
        Its id.
    as_reported : str
    lower, median, upper : float
        Of the replicated estimate or p-value; `OTHER_SIDE` for the opposite sign.
    tail : float
        Predictive tail probability of the reported estimate, on the nearer side.
    """

    reported_estimate: str
    as_reported: str
    lower: float
    median: float
    upper: float
    tail: float

    def __str__(self) -> str:
        share = f"{self.tail:.1%}" if self.tail >= 0.001 else "fewer than 0.1%"
        return (
            f"{self.reported_estimate}, reported {self.as_reported}: predicted without it {self.expected}, {share} of "
            "predictions as far out"
        )

    @property
    def expected(self) -> str:
        """Median and 95% interval of the predictions, in words where it includes the opposite sign."""
        if self.lower == OTHER_SIDE:
            return "the other sign in nearly all cases"
        if self.median == OTHER_SIDE:
            return (
                f"the other sign in more than half of cases, and this one with p below {self.lower:.2g} in "
                f"{(1 - INTERVAL) / 2:.1%}"
            )
        if self.upper == OTHER_SIDE:
            return f"{self.median:.2g} ({self.lower:.2g} up to the other sign)"
        return f"{self.median:.2g} ({self.lower:.2g} to {self.upper:.2g})"


def predict(
    study: Study, priors: PriorSet, default: xr.Dataset, seed: int
) -> tuple[Prediction, ...]:
    """Predict the numbers with another meaning under an interpretation from the fit of the default one.

    Parameters
    ----------
    study
        Under the interpretation.
    priors
        Prior set of the fit.
    default
        Posterior of the same model under the default interpretation.
    seed
        Seed of the random numbers.

    Returns
    -------
    tuple of Prediction
        One per estimate whose contrast differs between the interpretations.
    """
    reported = estimates_of(study)
    if reported is None:
        return ()
    by_default = {e.id: e.meaning for e in study.interpretations[0].reported_estimates}
    new = {
        at: estimate
        for at, estimate in enumerate(reported.reported_estimates)
        if by_default[estimate.id] != estimate.meaning
    }
    if not new:
        return ()
    mean, covariance = _joint_distributions(reported, priors, default)
    unchanged = [at for at, tail in enumerate(reported.is_tail) if at not in new and not tail]
    points, _ = reported.split(unchanged)
    rng = np.random.default_rng(seed)
    predictions = []
    for at, estimate in new.items():
        centre, sd = conditional(mean, covariance, at, points, reported)
        predictions.append(predicted(estimate, reported.values[at], centre, sd, rng))
    return tuple(predictions)


def _joint_distributions(
    reported: ReportedEstimates, priors: PriorSet, posterior: xr.Dataset
) -> tuple[Array, Array]:
    """Return mean and covariance of the joint distribution at draws of a posterior."""
    flat = posterior.stack(sample=("chain", "draw")).transpose("sample", ...)
    step = max(1, flat.sizes["sample"] // PREDICTIVE_DRAWS)
    flat = flat.isel(sample=slice(None, None, step))
    risk = as_seen(flat, CONDITIONAL if CONDITIONAL in flat else "risk")
    log_odds = logit(risk.sel(arm=list(reported.study.present)).values)
    shift = priors["shift"].numbers()["sigma"] if reported.shifted.size else 0.0
    none = [None] * len(log_odds)
    sigma, loss = (flat[name].values if name in flat else none for name in ("sigma", "loss"))
    laws = [
        joint_distribution(np, reported, *at, shift)
        for at in zip(log_odds, sigma, loss, flat["size"].values, strict=True)
    ]
    return np.array([law.mean for law in laws]), np.array([law.covariance for law in laws])


def conditional(
    mean: Array, covariance: Array, at: int, points: list[int], reported: ReportedEstimates
) -> tuple[Array, Array]:
    """Return mean and SD of one row of the joint distribution given others, draw by draw, each shape (draw,).

    Parameters
    ----------
    mean, covariance
        The joint distribution without rounding, shapes (draw, row) and (draw, row, row).
    at
        The row that is predicted.
    points
        The rows on which it is conditional.
    reported
        The reported estimates.

    Returns
    -------
    centre, sd : ndarray, shape (draw,)
        Of the conditional normal distribution.
    """
    inner = covariance[:, points][:, :, points] + np.diag(reported.rounding[points])
    across = covariance[:, at][:, points]
    weights = np.linalg.solve(inner, across[..., None])[..., 0]
    centre = mean[:, at] + (weights * (reported.values[points] - mean[:, points])).sum(1)
    variance = covariance[:, at, at] - (weights * across).sum(1)
    return centre, np.sqrt(variance)


def predicted(
    estimate: ReportedEstimate, value: float, centre: Array, sd: Array, rng: np.random.Generator
) -> Prediction:
    """Summarise the predictive distribution of an estimate: a mixture of normals on the scale of its link.

    Parameters
    ----------
    estimate
        The reported estimate.
    value
        The reported estimate on that scale.
    centre
        Means of the normals, shape (draw,).
    sd
        Their SDs, shape (draw,).
    rng
        Random number generator.

    Returns
    -------
    Prediction
        Median, 95 % limits and tail probability.
    """
    drawn = rng.normal(centre, sd)
    tail = (1 - INTERVAL) / 2
    if estimate.has_interval:
        shown = statistic_of(estimate.kind).link.back(drawn)
    else:  # the p-values of those deviates; the other sign lies beyond all of them
        p = 2 * ndtr(-np.abs(drawn))
        side = {"+": drawn > 0, "-": drawn < 0}.get(estimate.sign, np.full(len(p), True))
        shown = np.where(side, p, OTHER_SIDE)
    lower, median, upper = map(float, np.quantile(shown, [tail, 0.5, 1 - tail]))
    far = _tail(estimate, value, centre, sd)
    return Prediction(estimate.id, estimate.as_reported, lower, median, upper, far)


def _tail(estimate: ReportedEstimate, value: float, centre: Array, sd: Array) -> float:
    """Return the predictive tail probability of a reported estimate; for "<" the probability of the bound."""
    above = ndtr((centre - value) / sd)
    if estimate.has_interval or estimate.sign == "+":
        beyond = above
    elif estimate.sign == "-":  # its deviate is negative
        beyond = 1 - above
    else:  # as far out on either side
        beyond = above + ndtr((-value - centre) / sd)
    share = float(beyond.mean())
    return share if estimate.is_below else min(share, 1 - share)
