"""The verdict on the interaction of a pair of treatments, on one scale.

The first that holds: *not estimable* (by design, or fixed by the model); *not assessed* (diagnostics failed);
*not identified*; *supported*, for or against synergy; *practically excluded*; *inconclusive*.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cotreat.core.constants import CONCLUSIVE, IDENTIFIED, NOT_ESTIMABLE, NOT_IDENTIFIED
from cotreat.estimands.measures import representatives

NOT_ASSESSED = "not assessed"
SUPPORTED, EXCLUDED, INCONCLUSIVE = "supported", "practically excluded", "inconclusive"
VERDICTS = (NOT_ESTIMABLE, NOT_ASSESSED, NOT_IDENTIFIED, SUPPORTED, EXCLUDED, INCONCLUSIVE)
"""Names of the verdicts, in the order in which they are tried."""

FOR, AGAINST = "for synergy", "against synergy"
"""Directions of a supported interaction."""

INSIDE = "but inside the margin"
WIDE = "the margin is too wide for this risk"
AT_THRESHOLD = "at the threshold"
DEPENDS = "depends on interpretation"
"""Notes on a verdict."""

MOST_INSIDE = 0.95
"""Probability of lying inside the margin from which an interaction is practically excluded."""
MOST_PRIOR_INSIDE = 0.80
"""Prior probability of lying inside the margin above which the margin is too wide to exclude anything."""
ERRORS = 2
"""A probability within so many Monte Carlo standard errors of a threshold is at the threshold."""


KEYS = ["pair", "co_treatment", "stratum", "scale"]
"""Columns that name what a verdict is on."""


@dataclass(frozen=True)
class Finding:
    """What an analysis finds of an interaction on one scale.

    Attributes
    ----------
    status : str
        Identification, one of `cotreat.core.constants.STATUSES`.
    probability, error : float
        P(synergy), and its Monte Carlo standard error; NaN where there is none.
    inside, inside_error : float
        Probability of lying inside the margin, and its error; NaN for a measure without a margin.
    prior_inside : float
        The same under the prior.
    is_reliable : bool
        Whether the diagnostics passed.
    """

    status: str
    probability: float = math.nan
    error: float = 0.0
    inside: float = math.nan
    inside_error: float = 0.0
    prior_inside: float = math.nan
    is_reliable: bool = True

    @classmethod
    def of(cls, row: Any, *, is_reliable: bool = True) -> Finding:
        """Return what a row of a summary, or of a multiverse, contains.

        Parameters
        ----------
        row
            With the columns of one of these tables as attributes.
        is_reliable
            Whether the diagnostics passed.

        Returns
        -------
        Finding
        """
        error = _number(row, "mcse_probability", _number(row, "mc_error", 0.0))
        return cls(
            row.status,
            _number(row, "probability"),
            error,
            _number(row, "probability_inside"),
            _number(row, "mcse_inside", error),
            _number(row, "prior_probability_inside"),
            is_reliable,
        )


def _number(row: Any, name: str, missing: float = math.nan) -> float:
    value = getattr(row, name, math.nan)
    return missing if pd.isna(value) else float(value)


@dataclass(frozen=True)
class Verdict:
    """The verdict on an interaction on one scale.

    Attributes
    ----------
    name : str
        One of `VERDICTS`.
    direction : str
        `FOR` or `AGAINST` where supported; otherwise empty.
    notes : tuple of str
        Of `INSIDE`, `WIDE`, `AT_THRESHOLD` and `DEPENDS`.
    shown_with : Verdict or None
        Where not identified, the verdict that model and prior lead to.
    """

    name: str
    direction: str = ""
    notes: tuple[str, ...] = ()
    shown_with: Verdict | None = None

    @property
    def short(self) -> str:
        """Name and direction."""
        return ", ".join(filter(None, (self.name, self.direction)))

    @property
    def is_at_threshold(self) -> bool:
        """Whether a probability is within the Monte Carlo error of a threshold."""
        return AT_THRESHOLD in self.notes

    def __str__(self) -> str:
        text = ", ".join((self.short, *self.notes))
        return f"{text} (by model and prior: {self.shown_with})" if self.shown_with else text


def verdicts(summary: pd.DataFrame, *, is_reliable: bool = True) -> pd.DataFrame:
    """Return the verdict of one fit on each pair of treatments, on each scale.

    Parameters
    ----------
    summary
        What `cotreat.results.summary.summarise` returns.
    is_reliable
        Whether the diagnostics of the fit passed.

    Returns
    -------
    pandas.DataFrame
        Columns ``pair``, ``co_treatment``, ``stratum``, ``scale``, ``verdict``, ``probability`` and
        ``probability_inside``; one row per pair, co-treatment, subgroup and scale.
    """
    judged = _judged(summary)
    found = [verdict_of(Finding.of(row, is_reliable=is_reliable)) for row in judged.itertuples()]
    numbers = ["probability", "probability_inside"]
    return judged.assign(verdict=list(map(str, found)))[[*KEYS, "verdict", *numbers]]


def is_any_at_threshold(summary: pd.DataFrame) -> bool:
    """Return whether an identified verdict of a fit is at a threshold.

    Parameters
    ----------
    summary
        What `cotreat.results.summary.summarise` returns.

    Returns
    -------
    bool
    """
    found = (verdict_of(Finding.of(row)) for row in _judged(summary).itertuples())
    return any(one.is_at_threshold for one in found)


def _judged(summary: pd.DataFrame) -> pd.DataFrame:
    """Return a row per pair, co-treatment, subgroup and scale: of the side on which synergy is judged."""
    rows = summary[summary.estimator == "posterior"]
    rows = rows[rows.measure.isin(representatives().values())]
    # Only that side has a probability.
    return rows.sort_values("probability", na_position="last").drop_duplicates(KEYS).sort_index()


def verdict_of(found: Finding, rivals: Iterable[Finding] = ()) -> Verdict:
    """Return the verdict on an interaction.

    Parameters
    ----------
    found
        Under the default interpretation.
    rivals
        The same under other interpretations with which the reported estimates are compatible.

    Returns
    -------
    Verdict
        Supported only where P ≥ 0.975 or ≤ 0.025, practically excluded only where P(inside) ≥ 0.95 and prior
        P(inside) ≤ 0.80, in each case by at least two Monte Carlo errors of P. Either is inconclusive where the
        verdict under another interpretation differs.
    """
    if math.isnan(found.probability) or found.status not in (IDENTIFIED, NOT_IDENTIFIED):
        return Verdict(NOT_ESTIMABLE)
    if not found.is_reliable:
        return Verdict(NOT_ASSESSED)
    own = _by_numbers(found)
    if own.name != INCONCLUSIVE and any(_differs(found, own, rival) for rival in rivals):
        own = Verdict(INCONCLUSIVE, notes=(DEPENDS,))
    if found.status == NOT_IDENTIFIED:
        return Verdict(NOT_IDENTIFIED, shown_with=own)
    return own


def _by_numbers(found: Finding) -> Verdict:
    """Return the verdict from the probabilities alone."""
    far = ERRORS * found.error
    is_inside, is_near_inside = _reaches(found.inside, MOST_INSIDE, ERRORS * found.inside_error)
    for probability, direction in ((found.probability, FOR), (1 - found.probability, AGAINST)):
        is_supported, is_near = _reaches(probability, CONCLUSIVE, far)
        if is_supported:
            return Verdict(SUPPORTED, direction, (INSIDE,) * is_inside)
        if is_near:
            break
    notes = (AT_THRESHOLD,) * is_near
    if not is_inside and not is_near_inside:
        return Verdict(INCONCLUSIVE, notes=notes)
    if found.prior_inside > MOST_PRIOR_INSIDE:
        return Verdict(INCONCLUSIVE, notes=(*notes, WIDE))
    return Verdict(
        EXCLUDED if is_inside else INCONCLUSIVE, notes=notes or (AT_THRESHOLD,) * is_near_inside
    )


def _reaches(probability: float, threshold: float, far: float) -> tuple[bool, bool]:
    """Return whether a probability reaches a threshold beyond its error, and whether it is within that error."""
    is_near = far > 0 and abs(probability - threshold) < far
    return probability >= threshold and not is_near, is_near


def _differs(found: Finding, own: Verdict, rival: Finding) -> bool:
    """Return whether a verdict under another interpretation differs; one without a verdict does not."""
    other = verdict_of(rival)
    if other.name in (NOT_ESTIMABLE, NOT_ASSESSED):
        return False
    if found.status == NOT_IDENTIFIED and other.shown_with:
        other = other.shown_with
    return other.short != own.short
