"""The protocol of evidence: counts, patients and reported estimates implement it.

A study resolves to a tuple of evidence (`cotreat.evidence.resolve.resolve`). Building, fitting, checking
and identification are loops over that tuple, without branches on the kind of evidence.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cotreat.evidence.folds import Fold, FoldPrediction, Folds
from cotreat.evidence.statistics import ODDS_RATIO, Statistic

if TYPE_CHECKING:
    import pandas as pd
    import pytensor.tensor as pt
    import xarray as xr

    from cotreat.priors.prior import PriorSet
    from cotreat.study.study import Study

Array = NDArray[np.float64]
Given = dict[str, Any]
"""Data of a PyMC model, by name."""
SCORE = "sigma"
"""SD of the latent prognostic score, the parameter of estimates that are adjusted for unreported covariates."""


@dataclass(frozen=True)
class Point:
    """The point at which the evidence is differentiated.

    Attributes
    ----------
    log_odds : ndarray, shape (regimen,)
        Conditional log-odds of all regimens; any value for those without a risk under the model.
    sigma : float or None
        SD of the latent prognostic score; None without a score.
    n : ndarray or None, shape (present,)
        Patients by regimen of the cohort.
    """

    log_odds: Array
    sigma: float | None = None
    n: Array | None = None


@dataclass(frozen=True)
class Predictor:
    """The linear predictor of a model in the PyMC model in context.

    Attributes
    ----------
    arms : tuple of str
        Labels along `log_odds`.
    log_odds : TensorVariable, shape (arm,)
        η by arm, from which the risks follow.
    seen : TensorVariable, shape (arm,)
        The same with unmeasured confounding, which the likelihood takes; `log_odds` itself without.
    sigma : TensorVariable or None
        SD of the latent prognostic score, p = E logistic(η + σu); None without a score.
    """

    arms: tuple[str, ...]
    log_odds: pt.TensorVariable
    seen: pt.TensorVariable
    sigma: pt.TensorVariable | None = None


@dataclass(frozen=True)
class ReportedCoefficient:
    """A regression coefficient that is reported, or could have been.

    Attributes
    ----------
    id : str
        Its entry in the dimension ``reported_estimate`` of the ``log_ratio`` of a fit.
    measure, contrast, pair : str
        The columns of these names in tables: ``odds_ratio``, ``TAC vs not TAC``.
    statistic : Statistic
        Its scale, null and unit.
    is_crude : bool
        Whether it is unadjusted.
    is_of_regimens : bool
        Whether it compares two regimens, as estimands do that need no reported estimate.
    """

    id: str
    measure: str
    contrast: str
    pair: str
    statistic: Statistic = ODDS_RATIO
    is_crude: bool = False
    is_of_regimens: bool = False


@dataclass(frozen=True)
class Discrepancy:
    """The distance of the evidence from its prior or posterior prediction.

    Attributes
    ----------
    where : str
        The part of the evidence with the largest distance.
    value : float
        For a prior the distance in SDs; for a posterior the predictive p-value of χ².
    advice : str
        What to do where it is large.
    """

    where: str
    value: float
    advice: str


class Evidence(Protocol):
    """One kind of evidence of one study, under one interpretation and stratification.

    Attributes
    ----------
    study : Study
        Resolved: with the interpretation and the strata under which this is its evidence.
    kind : str
        Its name in checks: ``counts`` or ``claims``.
    standardises : bool
        Whether `likelihood` declares the risks by arm, standardised over its patients; otherwise they are
        means over the latent prognostic score.
    target_accept : float
        Target acceptance rate of NUTS.
    pattern_count : int
        Number of covariate patterns; 0 without covariates.
    is_replicable : bool
        Whether replicates of all of it can be drawn, for calibration.
    """

    study: Study
    kind: str
    standardises: bool = False
    target_accept: float = 0.98
    pattern_count: int = 0
    is_replicable: bool = True

    # --- In a model ------------------------------------------------------------------------------

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of its parameters in a prior set, besides those of the model."""
        ...

    def coords(self) -> Mapping[str, Sequence[Any]]:
        """Return the coordinates of the variables that `likelihood` declares."""
        ...

    def data(self, arms: tuple[str, ...]) -> Given:
        """Return the data of `likelihood`, by name.

        Parameters
        ----------
        arms
            Regimens that have a risk under the model.
        """
        ...

    def shape(self) -> Hashable:
        """Return everything that determines `likelihood` besides `data`: equal shapes share a density."""
        ...

    def likelihood(self, predictor: Predictor, priors: PriorSet) -> None:
        """Declare the likelihood in the PyMC model in context."""
        ...

    def share_orders(self) -> dict[str, list[int]]:
        """Return the stick-breaking order of the shares, by variable; empty without shares."""
        return {}

    # --- Identification --------------------------------------------------------------------------

    def jacobian(self, point: Point) -> Array:
        """Differentiate the expectation of the observed points.

        Returns
        -------
        ndarray, shape (row, regimen + way)
            With respect to the log-odds of all regimens, then to the free directions of the arm sizes.
        """
        ...

    @property
    def coefficients(self) -> tuple[ReportedCoefficient, ...]:
        """Regression coefficients that are reported, or could have been."""
        return ()

    def coefficient_jacobian(self, point: Point) -> Array:
        """Differentiate `coefficients`, in their order, as `jacobian` does."""
        return np.zeros((0, len(point.log_odds)))

    # --- Predictions -----------------------------------------------------------------------------

    def replicate(self, draws: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
        """Draw replicates of the evidence.

        Parameters
        ----------
        draws
            Of a prior or posterior, dims (chain, draw, …).

        Returns
        -------
        Dataset
            For posterior predictive checks; variables without the dimension ``draw`` are constants.
        """
        ...

    def replicate_data(
        self, draws: xr.Dataset, rng: np.random.Generator
    ) -> dict[str, NDArray[Any]]:
        """Draw replicates under the names of `data`, each with first dimension draw.

        Parameters
        ----------
        draws
            Of one chain.
        """
        ...

    def folds(self) -> Folds:
        """Split the evidence into the units of leave-one-out cross-validation."""
        ...

    def fold_densities(self, draws: xr.Dataset, folds: Folds) -> Array | None:
        """Return the log density of each fold given the parameters and all other folds.

        Returns
        -------
        ndarray or None, shape (chain, draw, fold)
            None where parts of the evidence have no density.
        """
        ...

    def predict_fold(
        self, fold: Fold, draws: xr.Dataset, rng: np.random.Generator
    ) -> list[FoldPrediction]:
        """Predict what is left out from draws of a fit without it; empty where that is not shown."""
        ...

    # --- Checks and tables -----------------------------------------------------------------------

    def prior_conflict(self, tree: xr.DataTree) -> Discrepancy | None:
        """Measure the distance of the evidence from its prior prediction; None without a measure."""
        ...

    def misfit(self, tree: xr.DataTree) -> Discrepancy | None:
        """Compare the evidence with its posterior prediction; None without a measure."""
        ...

    def rows(self) -> pd.DataFrame:
        """Return the rows of a report, one per count or reported estimate."""
        ...


Evidences = tuple[Evidence, ...]
"""The evidence of a study."""


def parameters_of(evidence: Iterable[Evidence]) -> tuple[str, ...]:
    """Return the names of the parameters of evidence in a prior set."""
    return tuple(dict.fromkeys(name for one in evidence for name in one.parameters))


def share_orders_of(evidence: Iterable[Evidence]) -> dict[str, list[int]]:
    """Return the stick-breaking order of the shares of each variable."""
    return {name: order for one in evidence for name, order in one.share_orders().items()}


def stacked(blocks: Sequence[Array], regimens: int) -> list[Array]:
    """Align the columns of Jacobians: those of the regimens, then the free directions of each.

    Parameters
    ----------
    blocks
        Jacobians of several pieces of evidence, each shape (row, regimen + way).
    regimens
        Number of regimens.
    """
    ways = [block.shape[1] - regimens for block in blocks]
    found = []
    for at, block in enumerate(blocks):
        before, after = sum(ways[:at]), sum(ways[at + 1 :])
        padded = np.pad(block[:, regimens:], ((0, 0), (before, after)))
        found.append(np.hstack([block[:, :regimens], padded]))
    return found
