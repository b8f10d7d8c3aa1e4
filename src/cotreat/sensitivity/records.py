"""Records of a sensitivity analysis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pandas as pd

    from cotreat.estimands.estimand import Estimand, RiskDraws
    from cotreat.estimands.identification import Status
    from cotreat.study.study import Study

ONE_AT_A_TIME = "one_at_a_time.csv"
"""File of the one-at-a-time sensitivity analysis."""
INTERPRETATION, MODEL, PRIORS, SCALE = "interpretation", "model", "priors", "scale of synergy"
"""Choices that are changed one at a time."""
P_SYNERGY = "P(synergy)"


class Base(NamedTuple):
    """The analysis with which all others are compared."""

    interpretation: str
    model: str
    priors: str


@dataclass(frozen=True)
class SensitivityAnalysis:
    """Sensitivity of a study's conclusions to interpretations, models and priors.

    Attributes
    ----------
    study : Study
    base : Base
        The primary analysis.
    engine : str
        Engine of its fit.
    depth : str
    seed : int
    effective : int
        Effective draws of each other fit.
    is_crossed : bool
        Whether interpretations, models and priors are crossed, and beliefs about effects and about interactions;
        otherwise one is changed at a time.
    tables : mapping of pandas.DataFrame
        By name of their file.
    combinations : pandas.DataFrame
        Measures of synergy in the multiverse, with their scale in words.
    fits : pandas.DataFrame
        A row per fit of the multiverse, with Pareto k and verdict.
    untried : tuple of (str, str)
        Models and interpretations for which other priors were not fitted, because the batch is unreliable.
    incompatible : tuple of str
        Interpretations with which the other reported estimates are incompatible.
    grid_sets, grid_unreliable : int
        Prior sets of the belief grid, and those whose fit is unreliable.
    estimands : tuple of (Estimand, Status)
        Estimands whose prior and posterior are drawn.
    prior, posterior : xarray.Dataset
        Draws of the risks.
    failed_checks : tuple of str
        Failed diagnostics of the primary fit.
    """

    study: Study
    base: Base
    engine: str
    depth: str
    seed: int
    effective: int
    is_crossed: bool
    tables: Mapping[str, pd.DataFrame]
    combinations: pd.DataFrame
    fits: pd.DataFrame
    untried: tuple[tuple[str, str], ...]
    incompatible: tuple[str, ...]
    grid_sets: int
    grid_unreliable: int
    estimands: tuple[tuple[Estimand, Status], ...]
    prior: RiskDraws
    posterior: RiskDraws
    failed_checks: tuple[str, ...]
