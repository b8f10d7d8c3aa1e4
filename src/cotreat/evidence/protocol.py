"""What every kind of evidence must offer: counts, patients and reported estimates implement it.

A study resolves to a tuple of evidence (`cotreat.evidence.resolve.resolve`). Whoever builds a model, fits
it, checks it or asks what is identified goes through that tuple, and never asks of what kind one is.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cotreat.evidence.folds import Fold, FoldPrediction, Folds

if TYPE_CHECKING:
    import pandas as pd
    import pytensor.tensor as pt
    import xarray as xr

    from cotreat.priors.prior import PriorSet
    from cotreat.study.study import Study

Array = NDArray[np.float64]
Given = dict[str, Any]
"""Numbers and arrays that a PyMC model is given, by name."""
SCORE = "sigma"
"""The parameter of evidence that is adjusted for covariates nobody can see: SD of the prognostic score."""


@dataclass(frozen=True)
class Point:
    """Where the evidence is differentiated.

    Attributes
    ----------
    log_odds : ndarray, shape (regimen,)
        Conditional log-odds of all regimens; any value for those the model is silent on.
    sigma : float or None
        SD of the latent prognostic score; None for none.
    n : ndarray or None, shape (present,)
        Patients by regimen of the cohort.
    """

    log_odds: Array
    sigma: float | None = None
    n: Array | None = None


@dataclass(frozen=True)
class Predictor:
    """The linear predictor of a model, as its evidence sees it, in the PyMC model in context.

    Attributes
    ----------
    arms : tuple of str
        Labels along `log_odds`.
    log_odds : TensorVariable, shape (arm,)
        η by arm, of which the risks are made.
    seen : TensorVariable, shape (arm,)
        The same with unmeasured confounding, which the evidence is about; `log_odds` itself without.
    sigma : TensorVariable or None
        SD of the latent prognostic score, over which p = E logistic(η + σu); None for none.
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
        Its entry in the dimension ``claim`` of a fit's ``log_ratio``.
    measure, contrast, pair : str
        The question that it answers, as the columns of these names: ``odds_ratio``, ``TAC vs not TAC``.
    is_crude : bool
        Whether it is adjusted for nothing.
    is_ratio_of_regimens : bool
        Whether it is an odds ratio of two regimens, which every model has anyway.
    """

    id: str
    measure: str
    contrast: str
    pair: str
    is_crude: bool = False
    is_ratio_of_regimens: bool = False


@dataclass(frozen=True)
class Discrepancy:
    """How far the evidence lies from what a prior, or a posterior, predicts of it.

    Attributes
    ----------
    where : str
        The part of the evidence that lies farthest off.
    value : float
        Of a prior the distance in SDs; of a posterior the predictive p-value of χ².
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
        What a check calls it: ``counts`` or ``claims``.
    standardises : bool
        Whether `likelihood` states the risks by arm itself, standardised over its own patients; otherwise
        they are means over the latent prognostic score.
    target_accept : float
        Acceptance rate that NUTS needs for it.
    patterns : int
        Covariate patterns for which something is worked out by draw; 0 for none.
    is_replicable : bool
        Whether all of it can be drawn again, for calibration.
    """

    study: Study
    kind: str
    standardises: bool = False
    target_accept: float = 0.98
    patterns: int = 0
    is_replicable: bool = True

    # --- In a model ------------------------------------------------------------------------------

    @property
    def parameters(self) -> tuple[str, ...]:
        """Rows of a prior set that it needs besides those of the model."""
        ...

    def coords(self) -> Mapping[str, Sequence[Any]]:
        """Return the entries of the dimensions of everything that `likelihood` makes."""
        ...

    def data(self, arms: tuple[str, ...]) -> Given:
        """Return the numbers that `likelihood` states as data, by name.

        Parameters
        ----------
        arms
            Regimens whose risk the model can speak of.
        """
        ...

    def shape(self) -> Hashable:
        """Return all that `likelihood` is made of besides `data`: equal shapes have one density."""
        ...

    def likelihood(self, predictor: Predictor, priors: PriorSet) -> None:
        """State the likelihood in the PyMC model in context."""
        ...

    def share_orders(self) -> dict[str, list[int]]:
        """Return, by variable of shares, in which order these are broken off a stick; empty for none."""
        return {}

    # --- Identification --------------------------------------------------------------------------

    def jacobian(self, point: Point) -> Array:
        """Differentiate the expectation of what is known as a point.

        Returns
        -------
        ndarray, shape (row, regimen + way)
            In the log-odds of all regimens, then in the ways in which this evidence leaves sizes open.
        """
        ...

    @property
    def coefficients(self) -> tuple[ReportedCoefficient, ...]:
        """Regression coefficients that are reported, or could have been; empty for none."""
        return ()

    def coefficient_jacobian(self, point: Point) -> Array:
        """Differentiate `coefficients`, in their order, as `jacobian` does."""
        return np.zeros((0, len(point.log_odds)))

    # --- Predictions -----------------------------------------------------------------------------

    def replicate(self, draws: xr.Dataset, rng: np.random.Generator) -> xr.Dataset:
        """Draw the evidence again.

        Parameters
        ----------
        draws
            Of a prior or posterior, dims (chain, draw, …).

        Returns
        -------
        Dataset
            For posterior predictive checks; variables without the dimension ``draw`` are constants that
            go with them.
        """
        ...

    def replicate_data(
        self, draws: xr.Dataset, rng: np.random.Generator
    ) -> dict[str, NDArray[Any]]:
        """Draw the evidence again, under the names of `data`, each with first dimension draw.

        Parameters
        ----------
        draws
            Of one chain.
        """
        ...

    def folds(self) -> Folds:
        """Cut the evidence into what is left out at a time."""
        ...

    def fold_densities(self, draws: xr.Dataset, folds: Folds) -> Array | None:
        """Return the log density of each fold given the parameters and all other folds.

        Returns
        -------
        ndarray or None, shape (chain, draw, fold)
            None where the evidence has parts that have no density of their own.
        """
        ...

    def predict_fold(
        self, fold: Fold, draws: xr.Dataset, rng: np.random.Generator
    ) -> list[FoldPrediction]:
        """Predict what was left out from draws of a fit without it; empty where that is not shown."""
        ...

    # --- Checks and tables -----------------------------------------------------------------------

    def prior_conflict(self, tree: xr.DataTree) -> Discrepancy | None:
        """Measure how far the evidence lies from what the prior predicts; None where there is none."""
        ...

    def misfit(self, tree: xr.DataTree) -> Discrepancy | None:
        """Compare the evidence with what the posterior predicts; None where there is none."""
        ...

    def rows(self) -> pd.DataFrame:
        """Return what a report shows of it, one row for each count or reported estimate."""
        ...


Evidences = tuple[Evidence, ...]
"""What a study resolves to."""


def parameters_of(evidence: Iterable[Evidence]) -> tuple[str, ...]:
    """Return the rows of a prior set that evidence needs besides those of the model."""
    return tuple(dict.fromkeys(name for one in evidence for name in one.parameters))


def share_orders_of(evidence: Iterable[Evidence]) -> dict[str, list[int]]:
    """Return in which order the shares of each variable are broken off a stick."""
    return {name: order for one in evidence for name, order in one.share_orders().items()}


def stacked(blocks: Sequence[Array], regimens: int) -> list[Array]:
    """Give Jacobians the same columns: those of the regimens, then of each one its own ways.

    Parameters
    ----------
    blocks
        Jacobians of several pieces of evidence, each shape (row, regimen + way).
    regimens
        How many regimens there are.
    """
    ways = [block.shape[1] - regimens for block in blocks]
    found = []
    for at, block in enumerate(blocks):
        before, after = sum(ways[:at]), sum(ways[at + 1 :])
        padded = np.pad(block[:, regimens:], ((0, 0), (before, after)))
        found.append(np.hstack([block[:, :regimens], padded]))
    return found
