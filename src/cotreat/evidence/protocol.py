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
    confounded : TensorVariable, shape (arm,)
        η by arm with unmeasured confounding, to which the likelihood refers; `log_odds` itself without.
    sigma : TensorVariable or None
        SD of the latent prognostic score, p = E logistic(η + σu); None without a score.
    """

    arms: tuple[str, ...]
    log_odds: pt.TensorVariable
    confounded: pt.TensorVariable
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
    """The distance of the evidence from its posterior prediction.

    Attributes
    ----------
    where : str
        The part of the evidence with the largest distance.
    value : float
        Posterior predictive p-value of χ².
    advice : str
        What to do where it is large.
    """

    where: str
    value: float
    advice: str


@dataclass(frozen=True)
class ShareStarts:
    """Arm sizes from which the modes of a posterior are searched, as variables of the model.

    Attributes
    ----------
    variables : dict
        Values by name of a variable that divides a total among arms, with the starts along the first axis.
    is_complete : bool
        Whether they contain every solution of the equations of the reported numbers.
    """

    variables: dict[str, Array]
    is_complete: bool


class Evidence(Protocol):
    """One kind of evidence of one study, under one interpretation and stratification.

    Attributes
    ----------
    study : Study
        Resolved: with the interpretation and the strata under which this is its evidence.
    kind : str
        Its name in checks: ``counts`` or ``reported estimates``.
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
        return ()

    def coords(self) -> Mapping[str, Sequence[Any]]:
        """Return the coordinates of the variables that `likelihood` declares.

        Returns
        -------
        dict
            Labels by dimension.
        """

    def data(self, arms: tuple[str, ...]) -> Given:
        """Return the data of `likelihood`, by name.

        Parameters
        ----------
        arms
            Regimens that have a risk under the model.

        Returns
        -------
        dict
            Values by name.
        """

    def shape(self) -> Hashable:
        """Return everything that determines `likelihood` besides `data`: equal shapes share a density.

        Returns
        -------
        hashable
            A key: evidence with equal keys shares a compiled density.
        """

    def likelihood(self, predictor: Predictor, priors: PriorSet) -> None:
        """Declare the likelihood in the PyMC model in context.

        Parameters
        ----------
        predictor
            Linear predictor of the model.
        priors
            Prior set with the parameters of the evidence.
        """

    def share_orders(self) -> dict[str, list[int]]:
        """Return the stick-breaking order of the shares, by variable; empty without shares.

        Returns
        -------
        dict
            Indices of the arms by variable, in the order of stick-breaking.
        """
        return {}

    def size_starts(self, data: Given, rng: np.random.Generator) -> ShareStarts | None:  # noqa: ARG002
        """Return arm sizes from which the modes of a posterior are searched.

        Parameters
        ----------
        data
            Numbers of the model, by name.
        rng
            Random number generator.

        Returns
        -------
        ShareStarts or None
            None where no arm size is unknown: no search beyond that of every posterior is needed.
        """
        return None

    # --- Identification --------------------------------------------------------------------------

    def jacobian(self, point: Point) -> Array:
        """Differentiate the expectation of the observed points.

        Parameters
        ----------
        point
            Point at which the evidence is differentiated.

        Returns
        -------
        ndarray, shape (row, regimen + way)
            With respect to the log-odds of all regimens, then to the free directions of the arm sizes.
        """

    def width_jacobian(self, point: Point) -> Array:
        """Differentiate the log standard errors that are evidence, as `jacobian` does.

        Parameters
        ----------
        point
            Point at which the evidence is differentiated.

        Returns
        -------
        ndarray, shape (width, regimen + way)
            Derivatives with respect to the log-odds of all regimens, then to the free directions.
        """
        return np.zeros((0, len(point.log_odds)))

    @property
    def coefficients(self) -> tuple[ReportedCoefficient, ...]:
        """Regression coefficients that are reported, or could have been."""
        return ()

    def coefficient_jacobian(self, point: Point) -> Array:
        """Differentiate `coefficients`, in their order, as `jacobian` does.

        Parameters
        ----------
        point
            Point at which the evidence is differentiated.

        Returns
        -------
        ndarray, shape (coefficient, regimen + way)
            Derivatives, in the order of `coefficients`.
        """
        return np.zeros((0, len(point.log_odds)))

    def marginal(self) -> Evidence:
        """Return the evidence of the same patients without their clusters or matched sets.

        Returns
        -------
        Evidence
            This evidence itself where it has none.
        """
        return self

    # --- Predictions -----------------------------------------------------------------------------

    def replicate(self, draws: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
        """Draw replicates of the evidence.

        Parameters
        ----------
        draws
            Of a prior or posterior, dims (chain, draw, …).
        rng
            Random number generator.

        Returns
        -------
        Dataset
            For posterior predictive checks; variables without the dimension ``draw`` are constants.
        """

    def replicate_data(
        self, draws: xr.Dataset, rng: np.random.Generator
    ) -> dict[str, NDArray[Any]]:
        """Draw replicates under the names of `data`, each with first dimension draw.

        Parameters
        ----------
        draws
            Of one chain.
        rng
            Random number generator.

        Returns
        -------
        dict
            Replicates by the names of `data`, with the draws along the first axis.
        """

    def folds(self) -> Folds:
        """Split the evidence into the units of leave-one-out cross-validation.

        Returns
        -------
        Folds
            The folds, with the declared unit.
        """

    def fold_densities(self, draws: xr.Dataset, folds: Folds) -> Array | None:
        """Return the log density of each fold given the parameters and all other folds.

        Parameters
        ----------
        draws
            Draws of a prior or posterior, dims (chain, draw, …).
        folds
            Folds, as `folds` returns them.

        Returns
        -------
        ndarray or None, shape (chain, draw, fold)
            None where parts of the evidence have no density.
        """

    def predict_fold(
        self, fold: Fold, draws: xr.Dataset, rng: np.random.Generator
    ) -> list[FoldPrediction]:
        """Predict what is left out from draws of a fit without it; empty where that is not shown.

        Parameters
        ----------
        fold
            The fold that is left out.
        draws
            Draws of a fit without the fold.
        rng
            Random number generator.

        Returns
        -------
        list of FoldPrediction
            Predictions of the fold's numbers; empty where they are not shown.
        """

    # --- Checks and tables -----------------------------------------------------------------------

    def misfit(self, tree: xr.DataTree) -> Discrepancy | None:
        """Compare the evidence with its posterior prediction; None without a measure.

        Parameters
        ----------
        tree
            Draws of a fit.

        Returns
        -------
        Discrepancy or None
            Posterior predictive p-value of χ², with the part that fits worst; None without a measure.
        """

    def rows(self) -> pd.DataFrame:
        """Return the rows of a report, one per count or reported estimate.

        Returns
        -------
        DataFrame
            Columns ``id``, ``about``, ``reported``, ``source``.
        """


Evidences = tuple[Evidence, ...]
"""The evidence of a study."""


def parameters_of(evidence: Iterable[Evidence]) -> tuple[str, ...]:
    """Return the names of the parameters of evidence in a prior set.

    Parameters
    ----------
    evidence
        Evidence of the study.

    Returns
    -------
    tuple of str
        Names, each once.
    """
    return tuple(dict.fromkeys(name for piece in evidence for name in piece.parameters))


def share_orders_of(evidence: Iterable[Evidence]) -> dict[str, list[int]]:
    """Return the stick-breaking order of the shares of each variable.

    Parameters
    ----------
    evidence
        Evidence of the study.

    Returns
    -------
    dict
        Indices of the arms by variable.
    """
    return {name: order for piece in evidence for name, order in piece.share_orders().items()}


def stacked(blocks: Sequence[Array], regimens: int) -> list[Array]:
    """Align the columns of Jacobians: those of the regimens, then the free directions of each.

    Parameters
    ----------
    blocks
        Jacobians of several pieces of evidence, each shape (row, regimen + way).
    regimens
        Number of regimens.

    Returns
    -------
    list of ndarray
        The Jacobians, with zeros in the directions of the other pieces.
    """
    ways = [block.shape[1] - regimens for block in blocks]
    padding = [(sum(ways[:at]), sum(ways[at + 1 :])) for at in range(len(ways))]
    return [
        np.hstack([block[:, :regimens], np.pad(block[:, regimens:], ((0, 0), columns))])
        for block, columns in zip(blocks, padding, strict=True)
    ]
