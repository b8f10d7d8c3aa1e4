"""What is left out of the evidence at a time, and what the rest predicts of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from cotreat.core.constants import INTERVAL

PATIENT, CELL, CLAIM = "patient", "cell", "reported_estimate"
UNITS = {
    PATIENT: "a patient",
    CELL: "the count of a regimen",
    CLAIM: "a reported estimate with its width",
}
"""What is left out at a time, in words."""

ODDS_RATIO, P_VALUE, WIDTH, EVENTS = "odds ratio", "p-value", "standard error", "events"
"""Quantities that are predicted."""


@dataclass(frozen=True)
class Fold:
    """What is left out at a time.

    Leaving it out changes numbers that a model is given and nothing else, so that one compiled density
    serves for all.

    Attributes
    ----------
    name : str
    changes : tuple of (str, int, float)
        What leaving it out adds to which entry of which numbers that the model is given.
    constant : float
        Log density of the fold given the rest is the log evidence, less that under the changes, plus this.
    times : int
        How many folds are like it.
    beside : tuple of str
        Reported estimates that are not used either: it could be calculated from one of them.
    """

    name: str
    changes: tuple[tuple[str, int, float], ...]
    constant: float = 0.0
    times: int = 1
    beside: tuple[str, ...] = ()

    def left_out(self, numbers: dict[str, Any]) -> dict[str, Any]:
        """Return the numbers that a model is given without it."""
        changed = dict(numbers)
        for name, at, amount in self.changes:
            array = np.array(changed[name])
            array[at] += amount if array.dtype.kind == "f" else int(amount)
            changed[name] = array
        return changed


@dataclass(frozen=True)
class Folds:
    """The evidence of a study, cut into what is left out at a time.

    Attributes
    ----------
    kind : str
        The declared unit: ``patient``, ``cell`` or ``claim``.
    parts : tuple of Fold
    """

    kind: str
    parts: tuple[Fold, ...]

    @property
    def count(self) -> int:
        """How many folds there are, those that are alike counted each."""
        return sum(part.times for part in self.parts)

    @property
    def names(self) -> list[str]:
        """Names of the parts, in order."""
        return [part.name for part in self.parts]

    @property
    def are_patients(self) -> bool:
        """Whether the unit is a single patient, of whom nothing is shown by name."""
        return self.kind == PATIENT


@dataclass(frozen=True)
class FoldPrediction:
    """A reported estimate, or a count, in what the evidence that is not left out with it predicts of it.

    Attributes
    ----------
    unit : str
    quantity : str
        ``odds ratio``, ``p-value``, ``standard error`` (of the log odds ratio) or ``events``.
    printed : str
        As it is reported.
    value : float
        The same as a number.
    lower, left, median, right, upper : float
        Ends of the central 95 and 50 % of the predictive distribution, and its middle.
    tail : float
        Share of predictions at least as far out, on the nearer side.
    beside : tuple of str
        Reported estimates that were not used either.
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
    beside: tuple[str, ...] = ()

    @property
    def is_outside(self) -> bool:
        """Whether it lies outside the central 95 % of the predictions."""
        return self.tail < (1 - INTERVAL) / 2


def summarise_prediction(
    name: str, quantity: str, as_reported: str, value: float, drawn: NDArray[np.float64]
) -> FoldPrediction:
    """Summarise draws of the predictive distribution of what was left out.

    Parameters
    ----------
    value
        What was reported or counted, on the scale of `drawn`.
    """
    beyond = (1 - INTERVAL) / 2
    ends = np.quantile(drawn, [beyond, 0.25, 0.5, 0.75, 1 - beyond])
    lower, left, median, right, upper = map(float, ends)
    # Half of those that are the same: counts are whole numbers.
    above = float((drawn > value).mean() + (drawn == value).mean() / 2)
    tail = min(above, 1 - above)
    return FoldPrediction(
        name, quantity, as_reported, value, lower, left, median, right, upper, tail
    )


def log_orders(n: int, r: int) -> float:
    """Return the log of the number of orders of n patients, r of them with the event."""
    return float(gammaln(n + 1) - gammaln(r + 1) - gammaln(n - r + 1))
