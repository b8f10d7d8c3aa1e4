"""Units of leave-one-out cross-validation, and their predictive distributions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from cotreat.core.constants import INTERVAL

PATIENT, CELL, CLAIM = "patient", "cell", "reported_estimate"
CLUSTER, SET = "cluster", "set"
UNITS = {
    PATIENT: "a patient",
    CLUSTER: "a cluster",
    SET: "a matched set",
    CELL: "the count of a regimen",
    CLAIM: "a reported estimate with its width",
}
"""Names of the units, for people."""
OF_PATIENTS = (PATIENT, CLUSTER, SET)
"""Units that are not predicted one by one, because they are many."""

P_VALUE, WIDTH, EVENTS = "p-value", "standard error", "events"
"""Quantities that are predicted besides the statistics of the registry."""


@dataclass(frozen=True)
class Fold:
    """One unit of leave-one-out cross-validation.

    Leaving it out changes the data of a model and nothing else, so that all folds share one compiled
    density.

    Attributes
    ----------
    name : str
    changes : tuple of (str, int, float)
        Name of the data, index of the entry, and the amount that is added to leave the fold out.
    constant : float
        Log density of the fold given the rest is the log evidence, less that under the changes, plus this.
    times : int
        Number of equal folds.
    left_out_with : tuple of str
        Reported estimates left out with it, because they would determine it.
    """

    name: str
    changes: tuple[tuple[str, int, float], ...]
    constant: float = 0.0
    times: int = 1
    left_out_with: tuple[str, ...] = ()

    def left_out(self, numbers: dict[str, Any]) -> dict[str, Any]:
        """Return the data of a model without this fold.

        Parameters
        ----------
        numbers
            Data of the model by name.

        Returns
        -------
        dict
            The changed data.
        """
        changed = dict(numbers)
        for name, at, amount in self.changes:
            array = np.array(changed[name])
            array[at] += amount if array.dtype.kind == "f" else int(amount)
            changed[name] = array
        return changed


@dataclass(frozen=True)
class Folds:
    """The evidence of a study, split into folds.

    Attributes
    ----------
    kind : str
        The declared unit: ``patient``, ``cluster``, ``set``, ``cell`` or ``reported_estimate``.
    parts : tuple of Fold
    """

    kind: str
    parts: tuple[Fold, ...]

    @property
    def count(self) -> int:
        """Number of folds, equal ones counted each."""
        return sum(part.times for part in self.parts)

    @property
    def names(self) -> list[str]:
        """Names of the folds, in order."""
        return [part.name for part in self.parts]


@dataclass(frozen=True)
class FoldPrediction:
    """A reported estimate, or a count, in its predictive distribution given the rest of the evidence.

    Attributes
    ----------
    unit : str
    quantity : str
        ``odds ratio``, ``p-value``, ``standard error`` (of the log odds ratio) or ``events``.
    as_reported : str
    value : float
        The reported number.
    lower, left, median, right, upper : float
        Limits of the central 95 and 50 % of the predictive distribution, and its median.
    tail : float
        Tail probability on the nearer side.
    left_out_with : tuple of str
        Reported estimates that were left out with it.
    """

    unit: str
    quantity: str
    as_reported: str
    value: float
    lower: float
    left: float
    median: float
    right: float
    upper: float
    tail: float
    left_out_with: tuple[str, ...] = ()

    @property
    def is_outside(self) -> bool:
        """Whether it lies outside the central 95 % of the predictions."""
        return self.tail < (1 - INTERVAL) / 2


def summarise_prediction(
    name: str, quantity: str, as_reported: str, value: float, drawn: NDArray[np.float64]
) -> FoldPrediction:
    """Summarise draws of the predictive distribution of a fold.

    Parameters
    ----------
    name
        Name of the fold.
    quantity
        What is predicted.
    as_reported
        The reported number, for people.
    value
        The reported number or count, on the scale of `drawn`.
    drawn
        Draws of the predictive distribution, shape (draw,).

    Returns
    -------
    FoldPrediction
        The summary.
    """
    beyond = (1 - INTERVAL) / 2
    ends = np.quantile(drawn, [beyond, 0.25, 0.5, 0.75, 1 - beyond])
    lower, left, median, right, upper = map(float, ends)
    # Mid-p: counts are whole numbers.
    above = float((drawn > value).mean() + (drawn == value).mean() / 2)
    tail = min(above, 1 - above)
    return FoldPrediction(
        name, quantity, as_reported, value, lower, left, median, right, upper, tail
    )


def log_binomial_coefficient(n: Any, r: Any) -> Any:
    """Return the log binomial coefficient of r events among n patients.

    Parameters
    ----------
    n
        Number of patients, or an array.
    r
        Number of events, or an array.

    Returns
    -------
    float or ndarray
        log C(n, r).
    """
    return gammaln(n + 1) - gammaln(r + 1) - gammaln(n - r + 1)
