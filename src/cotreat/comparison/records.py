"""Records of a model comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from cotreat.core.constants import FULL, STANDARD
from cotreat.evidence.folds import FoldPrediction, Folds

if TYPE_CHECKING:
    from cotreat.evidence.reported import Dependence
    from cotreat.study.study import Study

Array = NDArray[np.float64]
NAN = float("nan")

ANY = "any interaction"
INTERACTION, ADDITIVE = "interaction", "additive"
BY_IMPORTANCE_SAMPLING, BY_SMC = "importance sampling", "sequential Monte Carlo"
"""Methods of a log marginal likelihood."""
BY_WEIGHTS, BY_LAPLACE, BY_NUTS = "importance weights", "refit", "refit by NUTS"
NOT_REFITTED, TOO_MANY, NOT_TRUSTED = (
    "weights not trusted, no refit",
    "weights not trusted, beyond the most refits",
    "neither weights nor refit trusted",
)
"""How the density of a unit was computed, or why it is missing."""

MOST_UNITS = 20_000
"""Distinct units beyond which leave-one-out is not computed."""
MOST_REFITS = {STANDARD: 12, FULL: 60}
"""Refits per model at most, the units with the largest Pareto k first."""
FEWEST = 10
"""Fewest units with stacking weights: with fewer, their error exceeds their size."""

GRADES = ((3.0, "not worth more than a bare mention"), (20.0, "positive"), (150.0, "strong"))
"""Upper ends of Bayes factors with the grade of evidence: Kass & Raftery, J Am Stat Assoc 1995;90:773."""


@dataclass(frozen=True)
class LogEvidence:
    """A log marginal likelihood.

    Attributes
    ----------
    value : float
        NaN where it is unreliable.
    pareto_k : float
        Of the importance weights; NaN for sequential Monte Carlo.
    error : float
        Monte Carlo standard error.
    method : str
    """

    value: float
    pareto_k: float
    error: float = NAN
    method: str = BY_IMPORTANCE_SAMPLING

    @property
    def is_known(self) -> bool:
        """Whether the value is reliable."""
        return bool(np.isfinite(self.value))


@dataclass(frozen=True)
class BayesFactor:
    """A Bayes factor for an interaction.

    Attributes
    ----------
    of : str
        ``any interaction``, or a pair of treatments.
    against : str
        The models compared.
    prior : str
        Prior of the tested parameter, on which the factor depends.
    prior_sd : float
        Its SD; NaN where it has none.
    is_chosen : bool
        Whether it is the prior of the fits.
    log : float
        Natural logarithm of the factor; NaN where a marginal likelihood is unreliable.
    pareto_k : float
        The larger one of the two marginal likelihoods.
    error : float
        Monte Carlo standard error of `log`.
    method : str
        Methods of the marginal likelihoods.
    savage_dickey, quadrature, smc : float
        The factor by other methods; NaN where they do not apply or were not run.
    """

    of: str
    against: str
    prior: str
    prior_sd: float
    is_chosen: bool
    log: float
    pareto_k: float
    error: float
    method: str
    savage_dickey: float = NAN
    quadrature: float = NAN
    smc: float = NAN

    @property
    def factor(self) -> float:
        """Above 1 in favour of the interaction, below 1 against it."""
        return float(np.exp(self.log))

    @property
    def grade(self) -> str:
        """Grade of evidence, with its direction."""
        return grade(self.factor)


def grade(factor: float) -> str:
    """Grade a Bayes factor as evidence.

    Parameters
    ----------
    factor
        Above 1 in favour of what is tested.

    Returns
    -------
    str
        Empty for NaN.

    Notes
    -----
    Kass & Raftery, J Am Stat Assoc 1995;90:773.
    """
    if not np.isfinite(factor):
        return ""
    size = max(factor, 1 / factor) if factor > 0 else np.inf
    word = next((word for most, word in GRADES if size < most), "very strong")
    if size < GRADES[0][0]:
        return word
    return f"{word}, {'for' if factor > 1 else 'against'} it"


@dataclass(frozen=True)
class LeftOut:
    """Leave-one-out cross-validation of one model.

    Attributes
    ----------
    units : Folds
    elpd : ndarray, shape (part,)
        Log predictive density of a unit of each part given the rest; NaN where it is missing.
    pareto_k : ndarray, shape (part,)
        Of the importance weights; NaN without weights.
    by_weights : ndarray, shape (part,)
        Density by Pareto-smoothed importance sampling, whether or not k allows its use.
    how : tuple of str
        By part: the method, or why the density is missing.
    good_k : float
        Largest usable Pareto k.
    error : ndarray, shape (part,)
        Monte Carlo standard error of each part, without the error that refits share.
    refit_k, refit_effective : ndarray, shape (part,)
        Pareto k and effective draws of refits; NaN without a refit by importance sampling.
    shared_error : float
        Monte Carlo standard error of the whole model's log evidence, which every refit shares.
    densities : xarray.DataArray or None
        Log densities of the units by draw, dims (chain, draw, unit).
    predicted : tuple of FoldPrediction
        Predictions of the units by refits without them.
    """

    units: Folds
    elpd: Array
    pareto_k: Array
    by_weights: Array
    how: tuple[str, ...]
    good_k: float
    error: Array
    refit_k: Array
    refit_effective: Array
    shared_error: float = 0.0
    densities: xr.DataArray | None = None
    predicted: tuple[FoldPrediction, ...] = ()

    @property
    def times(self) -> NDArray[np.int64]:
        """Number of identical units, by part."""
        return np.array([part.times for part in self.units.parts])

    @property
    def not_computed(self) -> int:
        """Number of units without a density."""
        return int(self.times[np.isnan(self.elpd)].sum())

    @property
    def refitted(self) -> int:
        """Number of parts with a density by a refit."""
        return sum(how in (BY_LAPLACE, BY_NUTS) for how in self.how)

    @property
    def mc_error(self) -> float:
        """Monte Carlo standard error of the sum over units; the shared error counts once per refit."""
        by_laplace = np.array([how == BY_LAPLACE for how in self.how])
        shared = self.shared_error * float(self.times[by_laplace].sum())
        return float(np.sqrt(shared**2 + np.sum((self.times * self.error) ** 2)))

    def not_computed_by(self, reason: str) -> int:
        """Count the units whose density is missing for a reason.

        Parameters
        ----------
        reason
            `NOT_REFITTED`, `TOO_MANY` or `NOT_TRUSTED`.

        Returns
        -------
        int
        """
        return int(self.times[[how == reason for how in self.how]].sum())


@dataclass(frozen=True)
class ModelComparison:
    """Predictive accuracy and marginal likelihoods of the models of a study.

    Attributes
    ----------
    study : Study
        Under the interpretation whose models are compared.
    priors : str
        Name of the prior set.
    primary : str
        The primary model.
    depth : str
    seed : int
    refused : mapping of str
        Reasons by model that cannot be fitted.
    left_out : mapping of LeftOut
        By model.
    log_evidence : mapping of LogEvidence
        By model.
    models : pandas.DataFrame or None
        A row per model, the best prediction first; None without leave-one-out.
    factors : tuple of BayesFactor
    no_interaction : tuple of float
        P(no interaction) before and after the evidence; empty where it is missing.
    why_no_probability : str
        Why it is missing.
    dependences : tuple of Dependence
        Reported estimates that follow from others.
    too_many : int
        Number of distinct units where it exceeds `MOST_UNITS`, otherwise 0.
    failed_checks : tuple of str
        Failed diagnostics of the fits.
    """

    study: Study
    priors: str
    primary: str
    depth: str
    seed: int
    refused: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, LeftOut] = field(default_factory=dict)
    log_evidence: Mapping[str, LogEvidence] = field(default_factory=dict)
    models: pd.DataFrame | None = None
    factors: tuple[BayesFactor, ...] = ()
    no_interaction: tuple[float, ...] = ()
    why_no_probability: str = ""
    dependences: tuple[Dependence, ...] = ()
    too_many: int = 0
    failed_checks: tuple[str, ...] = ()

    @property
    def units(self) -> Folds | None:
        """The units that are left out; None without leave-one-out."""
        return next((one.units for one in self.left_out.values()), None)

    @property
    def model_shown(self) -> str:
        """Model whose predictions are shown: the primary one, unless only another has any."""
        models = [name for name, one in self.left_out.items() if one.predicted]
        return self.primary if self.primary in models or not models else models[0]

    @property
    def predictions(self) -> tuple[FoldPrediction, ...]:
        """Predictions of left-out evidence under the model shown."""
        shown = self.left_out.get(self.model_shown)
        return shown.predicted if shown else ()
