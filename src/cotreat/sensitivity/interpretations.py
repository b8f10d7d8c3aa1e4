"""Readings of one study beside each other: which of them the other numbers in print contradict."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from cotreat.core.constants import INCOMPATIBLE_BELOW
from cotreat.estimands.estimand import SIZE
from cotreat.evidence.reported_predictive import Prediction
from cotreat.study.regimens import WITHIN

HEADING = "contradicted by the other numbers in print"


@dataclass(frozen=True)
class Conflict:
    """How a reading stands to the default one.

    Attributes
    ----------
    log_evidence, difference : float
        Log marginal likelihood, and that less the default reading's.
    predictions : tuple of Prediction
        The numbers it reads in another way, as the default reading predicts them.
    """

    interpretation: str
    log_evidence: float
    difference: float
    predictions: tuple[Prediction, ...]

    @property
    def is_incompatible(self) -> bool:
        """Whether the other numbers in print speak against this reading."""
        return self.difference < -INCOMPATIBLE_BELOW

    @property
    def heading(self) -> str:
        """What to write over the reading's numbers; empty where nothing speaks against them."""
        return HEADING if self.is_incompatible else ""

    def __str__(self) -> str:
        words = f"log evidence {self.log_evidence:.1f}"
        if self.predictions:
            words += f", {self.difference:+.1f} against the default reading"
        return "; ".join(filter(None, [words, self.heading, *map(str, self.predictions)]))

    def as_json(self) -> dict[str, Any]:
        """Return it as what JSON can hold: no difference where the default reading was not run."""
        difference = None if np.isnan(self.difference) else self.difference
        return {**asdict(self), "difference": difference, "heading": self.heading}


def size_changes(summary: pd.DataFrame) -> list[str]:
    """Say each arm's size, and what the totals alone leave open."""
    rows = summary[summary.measure == SIZE]
    names = [
        WITHIN.join(filter(None, one)) for one in zip(rows.contrast, rows.stratum, strict=True)
    ]
    rows = rows.assign(arm=names)
    after = rows[rows.estimator == "posterior"].set_index("arm")
    before = rows[rows.estimator == "prior"].set_index("arm")
    lines = []
    for name, row in after.iterrows():
        prior = before.loc[name]
        after_and_before = (
            f"{_size(one.estimate)} ({_size(one.lower)} to {_size(one.upper)})"
            for one in (row, prior)
        )
        lines.append(f"{name}: {', before '.join(after_and_before)}")
    return lines


def _size(value: float) -> str:
    """Write patients whole; where no total is printed, a size is a share of all."""
    return f"{value:.0f}" if value >= 1 else f"{value:.2f}"
