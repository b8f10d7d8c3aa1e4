"""Interpretations of one study compared by the joint predictive tail of the numbers that each adds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from cotreat.core.constants import INCOMPATIBLE_BELOW
from cotreat.diagnostics import checks
from cotreat.estimands.estimand import SIZE
from cotreat.evidence.joint_tail import common_study, joint_tail, predictions_of
from cotreat.evidence.reported_predictive import Prediction
from cotreat.inference.sampling import fit_model
from cotreat.priors.prior import PriorSet
from cotreat.results.monte_carlo import share
from cotreat.study.regimens import WITHIN
from cotreat.study.study import Study

if TYPE_CHECKING:
    import xarray as xr

HEADING = "incompatible with the other reported estimates"


@dataclass(frozen=True)
class Conflict:
    """What an interpretation adds to the numbers common to all interpretations.

    Attributes
    ----------
    interpretation : str
    tail : float
        Joint predictive tail of the numbers that it adds; NaN where it adds none.
    predictions : tuple of Prediction
        Each of them, as predicted by the fit to the common numbers.
    numbers : tuple of str
        Ids of all numbers that are evidence under it.
    log_evidence : float
        Log marginal likelihood; NaN where it was not computed.
    """

    interpretation: str
    tail: float
    predictions: tuple[Prediction, ...] = ()
    numbers: tuple[str, ...] = ()
    log_evidence: float = math.nan

    @property
    def is_incompatible(self) -> bool:
        """Whether the numbers that it adds are incompatible with the common ones."""
        return self.tail < INCOMPATIBLE_BELOW

    @property
    def heading(self) -> str:
        """Heading of the interpretation's numbers; empty where they are compatible."""
        return HEADING if self.is_incompatible else ""

    def __str__(self) -> str:
        if not self.predictions:
            return "adds no information to the numbers common to all interpretations"
        names = ", ".join(one.reported_estimate for one in self.predictions)
        tail = f"joint predictive tail of what it adds ({names}) {share(self.tail)}"
        return "; ".join(filter(None, [tail, self.heading, *map(str, self.predictions)]))

    def as_json(self) -> dict[str, Any]:
        """Return the record as JSON values, NaN as None.

        Returns
        -------
        dict
        """
        fields = {n: None if v != v else v for n, v in asdict(self).items()}  # noqa: PLR0124 - NaN
        return {**fields, "heading": self.heading}


def fit_common(study: Study, model: str, priors: PriorSet, **settings: Any) -> xr.Dataset:
    """Fit a model to the numbers that have one meaning under all interpretations.

    Parameters
    ----------
    study
        With its interpretations, under the stratification of the model.
    model
        Name of the model.
    priors
        Prior set of the fits that are compared.
    **settings
        ``draws``, ``chains``, ``seed`` of `fit_model`.

    Returns
    -------
    xarray.Dataset
        Posterior by Laplace's approximation or, if that fails its checks, by sequential Monte Carlo.
    """
    common = common_study(study)
    fit = fit_model(common, model, priors, engine="laplace", **settings)
    if checks.failures(checks.checks(fit)):
        fit = fit_model(common, model, priors, engine="smc", **settings)
    return fit.posterior


def conflict_of(
    study: Study, priors: PriorSet, common: xr.Dataset, seed: int, log_evidence: float = math.nan
) -> Conflict:
    """Compare an interpretation with the numbers common to all.

    Parameters
    ----------
    study
        Under the interpretation.
    priors
        Prior set of the fit.
    common
        Posterior given the common numbers (`fit_common`).
    seed
        Seed of the replicates.
    log_evidence
        Log marginal likelihood under the interpretation.

    Returns
    -------
    Conflict
    """
    return Conflict(
        study.interpretation,
        joint_tail(study, priors, common, seed),
        predictions_of(study, priors, common, seed),
        tuple(one.id for one in study.reported_estimates if one.meaning is not None),
        log_evidence,
    )


def incompatible(study: Study, model: str, priors: PriorSet, seed: int) -> tuple[str, ...]:
    """List the interpretations that are incompatible with the numbers common to all.

    Parameters
    ----------
    study
        With its interpretations.
    model
        Name of the model.
    priors
        Prior set.
    seed
        Seed of fit and replicates.

    Returns
    -------
    tuple of str
        Without a fit where there is one interpretation.
    """
    if len(study.interpretations) < 2:
        return ()
    common = fit_common(study, model, priors, seed=seed)
    resolved = [study.resolve(one.id) for one in study.interpretations]
    conflicts = (conflict_of(one, priors, common, seed) for one in resolved)
    return names_of(conflicts)


def names_of(conflicts: Iterable[Conflict]) -> tuple[str, ...]:
    """Return the interpretations that are incompatible with the common numbers.

    Parameters
    ----------
    conflicts
        Of interpretations under one model.

    Returns
    -------
    tuple of str
    """
    return tuple(one.interpretation for one in conflicts if one.is_incompatible)


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
