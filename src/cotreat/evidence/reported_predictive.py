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
from cotreat.evidence.reported_data import Observed, observed
from cotreat.evidence.statistics import statistic_of
from cotreat.study.study import ReportedEstimate, Study

if TYPE_CHECKING:
    import xarray as xr

    from cotreat.priors.prior import PriorSet

PREDICTIVE_DRAWS = 2000
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
    default
        Posterior of the same model under the default interpretation.
    """
    numbers = estimates_of(study)
    if numbers is None:
        return ()
    meant = {
        estimate.id: estimate.meaning for estimate in study.interpretations[0].reported_estimates
    }
    new = [c for c in numbers.reported_estimates if meant[c.id] != c.meaning]
    if not new:
        return ()
    mean, covariance = _law(numbers, priors, default)
    data = observed(numbers)
    alike = set(numbers.names) - {c.id for c in new}
    points, _ = numbers.split(
        at for at, name in enumerate(numbers.names) if name in alike and not data.is_tail[at]
    )
    rng = np.random.default_rng(seed)
    return tuple(
        _predicted(
            estimate,
            numbers.names.index(estimate.id),
            mean,
            covariance,
            points,
            data,
            rng,
        )
        for estimate in new
    )


def _law(
    numbers: ReportedEstimates, priors: PriorSet, posterior: xr.Dataset
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and covariance of the joint distribution at draws of a posterior."""
    flat = posterior.stack(sample=("chain", "draw")).transpose("sample", ...)
    step = max(1, flat.sizes["sample"] // PREDICTIVE_DRAWS)
    flat = flat.isel(sample=slice(None, None, step))
    risk = as_seen(flat, CONDITIONAL if CONDITIONAL in flat else "risk")
    eta = logit(risk.sel(arm=list(numbers.study.present)).values)
    sizes = flat["size"].values
    shift = priors["shift"].numbers()["sigma"] if numbers.shifted.size else 0.0
    sigma = flat["sigma"].values if "sigma" in flat else None
    loss = flat["loss"].values if "loss" in flat else None
    means, covariances = [], []
    for at, log_odds in enumerate(eta):
        own = None if sigma is None else float(sigma[at])
        lost = None if loss is None else float(loss[at])
        law = joint_distribution(np, numbers, log_odds, own, lost, sizes[at], shift)
        means.append(law.mean)
        covariances.append(law.covariance)
    return np.array(means), np.array(covariances)


def _predicted(
    estimate: ReportedEstimate,
    at: int,
    mean: NDArray[np.float64],
    covariance: NDArray[np.float64],
    points: list[int],
    data: Observed,
    rng: np.random.Generator,
) -> Prediction:
    """Predict one number given those with the same meaning under both interpretations."""
    centre, sd = conditional(mean, covariance, at, points, data)
    return predicted(estimate, data.values[at], centre, sd, rng)


def conditional(
    mean: NDArray[np.float64],
    covariance: NDArray[np.float64],
    at: int,
    points: list[int],
    data: Observed,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and SD of one row of the joint distribution given others, draw by draw, each shape (draw,).

    Parameters
    ----------
    mean, covariance
        The joint distribution without rounding, shapes (draw, row) and (draw, row, row).
    """
    inner = covariance[:, points][:, :, points] + np.diag(data.rounding[points])
    across = covariance[:, at][:, points]
    weights = np.linalg.solve(inner, across[..., None])[..., 0]
    centre = mean[:, at] + (weights * (data.values[points] - mean[:, points])).sum(1)
    variance = covariance[:, at, at] - (weights * across).sum(1)
    return centre, np.sqrt(variance)


def predicted(
    estimate: ReportedEstimate,
    value: float,
    centre: NDArray[np.float64],
    sd: NDArray[np.float64],
    rng: np.random.Generator,
) -> Prediction:
    """Summarise the predictive distribution of an estimate: a mixture of normals on the scale of its link.

    Parameters
    ----------
    value
        The reported estimate on that scale.
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


def _tail(
    estimate: ReportedEstimate,
    value: float,
    centre: NDArray[np.float64],
    sd: NDArray[np.float64],
) -> float:
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
