"""Interpretations of one study compared: with which of them the other reported estimates are incompatible."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from cotreat.core.constants import INCOMPATIBLE_BELOW
from cotreat.estimands.estimand import SIZE
from cotreat.evidence.reported_predictive import Prediction
from cotreat.study.regimens import WITHIN

HEADING = "incompatible with the other reported estimates"


@dataclass(frozen=True)
class Conflict:
    """An interpretation compared with the default one.

    Attributes
    ----------
    interpretation : str
    log_evidence, difference : float
        Log marginal likelihood, and its difference from that of the default interpretation; NaN without one.
    predictions : tuple of Prediction
        The estimates with another meaning, as predicted under the default interpretation.
    """

    interpretation: str
    log_evidence: float
    difference: float
    predictions: tuple[Prediction, ...]

    @property
    def is_incompatible(self) -> bool:
        """Whether the other reported estimates are incompatible with it."""
        return self.difference < -INCOMPATIBLE_BELOW

    @property
    def heading(self) -> str:
        """Heading of the interpretation's numbers; empty where they are compatible."""
        return HEADING if self.is_incompatible else ""

    def __str__(self) -> str:
        words = f"log evidence {self.log_evidence:.1f}"
        if self.predictions:
            words += f", {self.difference:+.1f} against the default interpretation"
        return "; ".join(filter(None, [words, self.heading, *map(str, self.predictions)]))

    def as_json(self) -> dict[str, Any]:
        """Return the record as JSON values, a missing difference as None.

        Returns
        -------
        dict
        """
        difference = None if np.isnan(self.difference) else self.difference
        return {**asdict(self), "difference": difference, "heading": self.heading}


def size_changes(summary: pd.DataFrame) -> list[str]:
    """Word each arm's size after and before the evidence beyond the totals.

    Parameters
    ----------
    summary
        Of a fit.

    Returns
    -------
    list of str
        One line per arm.
    """
    rows = summary[summary.measure == SIZE]
    arms = [WITHIN.join(filter(None, one)) for one in zip(rows.contrast, rows.stratum, strict=True)]
    words = [
        f"{_size(one.estimate)} ({_size(one.lower)} to {_size(one.upper)})"
        for one in rows.itertuples()
    ]
    rows = rows.assign(arm=arms, words=words).set_index("arm")
    prior = rows[rows.estimator == "prior"].words
    posterior = rows[rows.estimator == "posterior"].words
    return [f"{arm}: {after}, before {prior[arm]}" for arm, after in posterior.items()]


def _size(value: float) -> str:
    """Write patients whole; without a reported total a size is a share of all."""
    return f"{value:.0f}" if value >= 1 else f"{value:.2f}"
