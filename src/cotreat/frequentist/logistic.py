"""Logistic regression of counts by maximum or penalised likelihood: the models without priors."""

import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

import numpy as np
import statsmodels.api as sm
import xarray as xr
from numpy.typing import NDArray
from scipy.special import expit
from statsmodels.tools.sm_exceptions import PerfectSeparationWarning, SingularMatrixWarning

from cotreat.estimands.estimand import Estimand, RiskDraws
from cotreat.estimands.identification import (
    Identification,
    Status,
    gradient,
    in_row_space,
    not_estimable,
)
from cotreat.evidence.protocol import Evidences, Point
from cotreat.frequentist.firth import maximise_penalised
from cotreat.models.registry import Model
from cotreat.study.regimens import group_of
from cotreat.study.study import Study

SEPARATED = 1e-4
"""Fitted events, or non-events, below which a regimen is separated."""


NO_MAXIMUM = "maximum likelihood has no finite estimate"
"""Start of the reason where separation leaves an estimand without a finite estimate."""
NO_EXCESS = not_estimable("the single effects add up to no excess")
NO_CELLS = not_estimable("the counted regimens do not determine it")


@dataclass(frozen=True)
class Regression(ABC):
    """A logistic regression without priors, with its estimates of the estimands.

    Attributes
    ----------
    arms : tuple of str
        Regimens whose risk is modelled; rows of `design`.
    design : ndarray, shape (arm, coefficient of regimens)
    coefficients : ndarray, shape (coefficient,)
        Those of the regimens come first.
    evidence : tuple of Evidence
        What the study resolves to; it determines identification.
    is_penalised : bool
        Whether the coefficients maximise Firth's penalised likelihood.
    """

    study: Study
    model: Model
    arms: tuple[str, ...]
    design: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    evidence: Evidences
    is_penalised: bool = field(default=False, kw_only=True)

    @property
    @abstractmethod
    def counts(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Events and sizes of the cells, and the regression's design, shape (cell, coefficient)."""

    @property
    @abstractmethod
    def risk_draws(self) -> RiskDraws:
        """Risks as a posterior of one draw."""

    @property
    @abstractmethod
    def covariance(self) -> NDArray[np.float64]:
        """Covariance of the coefficients."""

    @property
    def is_robust(self) -> bool:
        """Whether `covariance` is robust to misspecification of the model."""
        return False

    @abstractmethod
    def separation(self, estimand: Estimand) -> str:
        """Return why an identified estimand has no finite estimate; empty where it has one."""

    @abstractmethod
    def is_spanned(self, estimand: Estimand) -> bool:
        """Return whether the informative rows of the design span an estimand."""

    @abstractmethod
    def slope(self, estimand: Estimand) -> NDArray[np.float64]:
        """Differentiate an estimand in the coefficients, shape (coefficient,)."""

    @cached_property
    def _identification(self) -> Identification:
        return Identification(self.study, self.model, self.risk_draws, self.evidence)

    def status(self, estimand: Estimand) -> Status:
        """Return the status of an estimand, with the reason where it has no estimate."""
        status = self._identification.of(estimand)
        if not status.is_estimable:
            return status
        separation = self.separation(estimand)
        if separation:
            return not_estimable(separation)
        if np.isnan(self.slope(estimand)).any():
            return NO_EXCESS
        return status if self.is_spanned(estimand) else NO_CELLS

    def is_separated(self, estimand: Estimand) -> bool:
        """Return whether separation leaves an estimand without a finite maximum likelihood estimate."""
        return self._identification.of(estimand).is_estimable and bool(self.separation(estimand))

    @cached_property
    def penalised(self) -> Self:
        """The same regression by penalised likelihood, fitted on first use."""
        return replace(self, coefficients=maximise_penalised(*self.counts), is_penalised=True)

    def risk_kind(self, estimand: Estimand) -> str:
        """Return the kind of risks of an estimand."""
        return estimand.risk_kind(self.risk_draws)

    def estimate(self, estimand: Estimand) -> float:
        """Return the estimate of an estimand."""
        return estimand.values(self.risk_draws).item()

    def contrast(self, estimand: Estimand) -> NDArray[np.float64]:
        """Return the coefficients' weights in a log-odds, a log odds ratio or a log ratio of these."""
        signs = dict(zip(estimand.arms, (1.0, -1.0, -1.0, 1.0), strict=False))
        own = np.array([signs.get(arm, 0.0) for arm in self.arms]) @ self.design
        return np.concatenate([own, np.zeros(len(self.coefficients) - len(own))])


@dataclass(frozen=True)
class Likelihood(Regression):
    """A logistic regression on cell counts."""

    @property
    def counts(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Events, sizes and rows of the design of the counted regimens."""
        return self.study.events, self.study.n, self.counted_design

    @property
    def risk_draws(self) -> xr.DataArray:
        """The risks."""
        return self.risk

    @cached_property
    def risk(self) -> xr.DataArray:
        """Risk by regimen as a posterior of one draw, dims (chain, draw, arm)."""
        return xr.DataArray(
            expit(self.design @ self.coefficients)[None, None, :],
            dims=("chain", "draw", "arm"),
            coords={"arm": list(self.arms)},
            attrs={"risk_kind": "crude"},
        )

    @cached_property
    def counted_design(self) -> NDArray[np.float64]:
        """Rows of the design that have patients, shape (counted, coefficient)."""
        return self.design[[self.arms.index(arm) for arm in self.study.counted]]

    @cached_property
    def informative_design(self) -> NDArray[np.float64]:
        """Rows of `counted_design` that are not separated."""
        return self.counted_design[~self._is_separated(self.study.counted)]

    @cached_property
    def covariance(self) -> NDArray[np.float64]:
        """Inverse of the information at the maximum, shape (coefficient, coefficient).

        Separated regimens have no information, and would add rounding errors to that of the others. An estimand
        without information is not estimable (`status`).
        """
        kept = ~self._is_separated(self.study.counted)
        risk = self.risk.sel(arm=list(self.study.counted)).values.ravel()[kept]
        weights = self.study.n[kept] * risk * (1 - risk)
        rows = self.informative_design
        return np.linalg.pinv((rows.T * weights) @ rows, hermitian=True)

    def _is_separated(self, arms: tuple[str, ...]) -> NDArray[np.bool_]:
        if self.is_penalised:
            return np.zeros(len(arms), dtype=bool)
        size = dict(zip(self.study.counted, self.study.n, strict=True))
        n = np.array([size.get(arm, max(size.values())) for arm in arms])
        risk = self.risk.sel(arm=list(arms)).values.ravel()
        return n * np.minimum(risk, 1 - risk) < SEPARATED

    def separation(self, estimand: Estimand) -> str:
        """Return which regimens of an estimand have a fitted risk of 0 or 1, as a reason."""
        separated = np.array(estimand.arms)[self._is_separated(estimand.arms)]
        named = ", ".join(separated.tolist())
        return f"{NO_MAXIMUM}: the fitted risk is 0 or 1 in {named}" if named else ""

    def is_spanned(self, estimand: Estimand) -> bool:
        """Return whether the regimens that are not separated span an estimand."""
        return in_row_space(self.slope(estimand), self.informative_design)

    def slope(self, estimand: Estimand) -> NDArray[np.float64]:
        """Differentiate an estimand in the coefficients, shape (coefficient,)."""
        point = Point(self.design @ self.coefficients)
        return gradient(estimand, self.arms, point) @ self.design


def fit_likelihood(study: Study, model: Model, evidence: Evidences) -> Likelihood:
    """Fit a model's linear predictor to the counts by maximum likelihood.

    Parameters
    ----------
    model
        ``exchangeable`` has no counterpart without a prior and is fitted as ``interaction``.
    evidence
        What the study resolves to; it determines identification.
    """
    arms = model.arms(study)
    design = design_of(study, model, arms)
    rows = [arms.index(arm) for arm in study.counted]
    coefficients = maximise(study.events, study.n, design[rows])
    return Likelihood(study, model, arms, design, coefficients, evidence)


def design_of(study: Study, model: Model, arms: tuple[str, ...]) -> NDArray[np.float64]:
    """Return the design of a model's regimens, shape (arm, coefficient).

    Levels are unordered categories, and treatments have separate effects in each subgroup.
    """
    if not model.has_structure:
        return np.eye(len(arms))
    parts = study.part_content(arms)
    columns = [np.ones((len(arms), 1)), parts]
    if model.has_products:
        at = list(study.all_parts)
        pairs = [(at.index(a), at.index(b)) for a, b in study.judged_pairs.values()]
        columns += [parts[:, [i]] * parts[:, [j]] for i, j in pairs]
    for group in study.groups[1:]:
        own = np.array([[float(group_of(arm) == group)] for arm in arms])
        columns += [own, own * parts]
    return np.hstack(columns)


def maximise(
    events: NDArray[np.int64], n: NDArray[np.int64], design: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the maximum likelihood coefficients, shape (coefficient,)."""
    outcome = np.column_stack([events, n - events])
    with warnings.catch_warnings():
        # A saturated fit is exact, which statsmodels reports as separation. `Likelihood.status` detects separation
        # by fitted risks of 0 or 1, and a rank-deficient design by its row space.
        warnings.simplefilter("ignore", PerfectSeparationWarning)
        warnings.simplefilter("ignore", SingularMatrixWarning)
        warnings.filterwarnings("ignore", category=RuntimeWarning, module="statsmodels")
        model = sm.GLM(outcome, design, family=sm.families.Binomial())
        return np.asarray(model.fit(tol=1e-12, maxiter=200).params)
