"""Predictive distributions of reported estimates: under another interpretation, and in leave-one-out.

No PyMC here: the joint sampling distribution is evaluated at draws of a fit. Where estimates are linearly
dependent, another one is left out with each, so that the rest does not determine it. Leaving out is a rounding
variance so large that the row has no information.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from cotreat.core.constants import INTERVAL
from cotreat.evidence.folds import (
    Fold,
)
from cotreat.evidence.reported import ReportedEstimates
from cotreat.evidence.statistics import statistic_of
from cotreat.study.study import ReportedEstimate

if TYPE_CHECKING:
    pass


Array = NDArray[np.float64]

OTHER_SIDE = 1.0
"""Value for predictions of the opposite sign among p-values; no p-value of the reported sign is 1."""


UNREAD = 1e8
"""Rounding variance of an estimate that is left out, in units of its scale."""


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
    above = ndtr((centre - value) / sd)
    if estimate.has_interval or estimate.sign == "+":
        beyond = above
    elif estimate.sign == "-":  # its deviate is negative
        beyond = 1 - above
    else:  # as far out on either side
        beyond = above + ndtr((-value - centre) / sd)
    share = float(beyond.mean())
    far = share if estimate.is_below else min(share, 1 - share)
    return Prediction(estimate.id, estimate.as_reported, lower, median, upper, far)


# --- Leave-one-out cross-validation ------------------------------------------------------------------


def folds_of(reported: ReportedEstimates) -> Iterator[Fold]:
    """Yield a fold per reported estimate with its width.

    Parameters
    ----------
    reported
        The reported estimates.

    Yields
    ------
    Fold
        The fold, which changes rounding variances in the data.
    """
    count = len(reported.reported_estimates)
    for at, name in enumerate(reported.names):
        changes: list[tuple[str, int, float]] = []
        left_out_with: tuple[str, ...] = ()
        row, constant = row_left_out(reported, at)
        if row is not None:
            # The scale of a total is its patients, that of links and deviates is 1.
            scale = float(reported.totals[row - count].n) if row >= count else 1.0
            changes.append(("reported rounding", row, UNREAD * scale))
            estimate = reported.reported_estimates[row] if row < count else None
            constant += _log_unread(estimate, scale)
            left_out_with = tuple(
                other
                for i, other in enumerate(reported.names)
                if i != at and (i == row or row in reported.follows_from(i))
            )
        implied = [i for i in reported.width_rows if i >= len(reported.with_interval)]
        widths = {at, *(i for i in implied if row in reported.follows_from(i))}
        for i in reported.width_rows:
            if i in widths:
                changes.append(("width rounding", reported.width_rows.index(i), UNREAD))
                constant += _log_unread(None, 1.0)
        if changes:
            yield Fold(name, tuple(changes), constant, left_out_with=left_out_with)


def row_left_out(reported: ReportedEstimates, at: int) -> tuple[int | None, float]:
    """Return the row that is left out for a number, and the log Jacobian between the two.

    For a dependent number the row with the largest rounding error among those that determine it is left
    out. A p-value that is determined by an estimate has no information and no fold.

    Parameters
    ----------
    reported
        The reported estimates.
    at
        Position of the number among the rows.

    Returns
    -------
    tuple of int or None, and float
        None where there is no fold.
    """
    if at in reported.kept:
        return at, 0.0
    weights = reported.follows_from(at)
    is_p_value = len(reported.with_interval) <= at < len(reported.reported_estimates)
    if is_p_value or not weights:
        return None, 0.0
    row = max(weights, key=reported.looseness)
    return row, -float(np.log(abs(weights[row])))


def _log_unread(estimate: ReportedEstimate | None, scale: float) -> float:
    """Return the log density of a number under the rounding variance that leaves it out."""
    flat = -0.5 * float(np.log(2 * np.pi * UNREAD * scale))
    if estimate is None or estimate.has_interval:
        return flat
    if estimate.is_below:  # half of all deviates lie on its side, or nearly all beyond it on either
        return float(np.log(0.5)) if estimate.sign else 0.0
    return flat if estimate.sign else flat + float(np.log(2))
