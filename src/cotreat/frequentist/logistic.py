"""Logistic regression of counts by maximum or penalised likelihood: the models without priors."""

import warnings
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import ClassVar, Self

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
from cotreat.frequentist.firth import LogLikelihood, Surface, basis, maximise_penalised
from cotreat.models.registry import Model
from cotreat.study.regimens import group_of, parse
from cotreat.study.study import Study

NO_MAXIMUM = "maximum likelihood has no finite estimate"
"""Start of the reason where separation leaves an estimand without a finite estimate."""
NO_EXCESS = not_estimable("the single effects add up to no excess")
NO_CELLS = not_estimable("the counted regimens do not determine it")


@dataclass(frozen=True)
class Regression:
    """A logistic regression of counts by regimen, without priors, with its estimates of the estimands.

    Attributes
    ----------
    study : Study
        Resolved to an interpretation and to the strata of the model.
    model : Model
        The model whose linear predictor is fitted.
    arms : tuple of str
        Regimens whose risk is modelled; rows of `design`.
    design : ndarray, shape (arm, coefficient of regimens)
    coefficients : ndarray, shape (coefficient,)
        Those of the regimens come first.
    evidence : tuple of Evidence
        What the study resolves to; it determines identification.
    is_penalised : bool
        Whether the coefficients maximise Firth's penalised likelihood.
    separated_below : float
        Fitted events, or non-events, below which a cell is separated.
    """

    separated_below: ClassVar[float] = 1e-4

    study: Study
    model: Model
    arms: tuple[str, ...]
    design: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    evidence: Evidences
    is_penalised: bool = field(default=False, kw_only=True)

    @property
    def counts(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Events, sizes and rows of the design of the counted regimens."""
        at = [self.arms.index(arm) for arm in self.study.counted]
        return self.study.events, self.study.n, self.design[at]

    @property
    def is_robust(self) -> bool:
        """Whether `covariance` is robust to misspecification of the model."""
        return False

    @cached_property
    def risk_draws(self) -> RiskDraws:
        """Risk by regimen as a posterior of one draw, dims (chain, draw, arm)."""
        risk, coords = expit(self.design @ self.coefficients), {"arm": list(self.arms)}
        dims, attrs = ("chain", "draw", "arm"), {"risk_kind": "crude"}
        return xr.DataArray(risk[None, None, :], coords, dims, attrs=attrs)

    @cached_property
    def fitted_risk(self) -> NDArray[np.float64]:
        """Fitted risk of each cell, shape (cell,)."""
        return expit(self.counts[2] @ self.coefficients)

    @cached_property
    def informative_rows(self) -> NDArray[np.bool_]:
        """Whether each cell is not separated, shape (cell,); under a penalty no cell is.

        Separated cells have no information, and would add rounding errors to that of the others.
        """
        _, n, rows = self.counts
        if self.is_penalised:
            return np.ones(len(rows), dtype=bool)
        return n * np.minimum(self.fitted_risk, 1 - self.fitted_risk) >= self.separated_below

    @cached_property
    def inverse_information(self) -> NDArray[np.float64]:
        """Inverse of the information at the maximum, shape (coefficient, coefficient)."""
        _, n, rows = (column[self.informative_rows] for column in self.counts)
        risk = self.fitted_risk[self.informative_rows]
        return np.linalg.pinv((rows.T * (n * risk * (1 - risk))) @ rows, hermitian=True)

    @cached_property
    def _identification(self) -> Identification:
        return Identification(self.study, self.model, self.risk_draws, self.evidence)

    def status(self, estimand: Estimand) -> Status:
        """Return the status of an estimand, with the reason where it has no estimate.

        Parameters
        ----------
        estimand
            The estimand.

        Returns
        -------
        Status
            The status.
        """
        status = self._identification.of(estimand)
        if not status.is_estimable:
            return status
        separation = self.separation(estimand)
        if separation:
            return not_estimable(separation)
        if np.isnan(self.slope(estimand)).any():
            return NO_EXCESS
        return status if self.is_spanned(estimand) else self.not_spanned(estimand)

    def not_spanned(self, estimand: Estimand) -> Status:  # noqa: ARG002
        """Return the status of an estimand that the data do not determine, with the reason.

        Parameters
        ----------
        estimand
            The estimand.

        Returns
        -------
        Status
            Not estimable.
        """
        return NO_CELLS

    def is_separated(self, estimand: Estimand) -> bool:
        """Return whether separation leaves an estimand without a finite maximum likelihood estimate.

        Parameters
        ----------
        estimand
            The estimand.

        Returns
        -------
        bool
            True where the estimand is estimable in principle, but separated.
        """
        return self._identification.of(estimand).is_estimable and bool(self.separation(estimand))

    @cached_property
    def penalised(self) -> Self:
        """The same regression by penalised likelihood, fitted on first use."""
        return replace(self, coefficients=maximise_penalised(*self.counts), is_penalised=True)

    def risk_kind(self, estimand: Estimand) -> str:
        """Return the kind of risks of an estimand.

        Parameters
        ----------
        estimand
            The estimand.

        Returns
        -------
        str
            ``crude``, ``standardised`` or ``conditional``.
        """
        return estimand.risk_kind(self.risk_draws)

    def estimate(self, estimand: Estimand) -> float:
        """Return the estimate of an estimand.

        Parameters
        ----------
        estimand
            The estimand.

        Returns
        -------
        float
            The estimate.
        """
        return estimand.values(self.risk_draws).item()

    def contrast(self, estimand: Estimand) -> NDArray[np.float64]:
        """Return the coefficients' weights in a log-odds, a log odds ratio or a log ratio of these.

        Parameters
        ----------
        estimand
            The estimand.

        Returns
        -------
        ndarray, shape (coefficient,)
            The weights.
        """
        signs = dict(zip(estimand.arms, (1.0, -1.0, -1.0, 1.0), strict=False))
        weights = np.array([signs.get(arm, 0.0) for arm in self.arms]) @ self.design
        return np.pad(weights, (0, len(self.coefficients) - len(weights)))

    def regression_of(self, estimand: Estimand) -> "Regression":  # noqa: ARG002
        """Return the regression that estimates an estimand: this one, unless risks have their own.

        Parameters
        ----------
        estimand
            The estimand.

        Returns
        -------
        Regression
            The regression.
        """
        return self

    @property
    def surface(self) -> tuple[NDArray[np.float64], Surface]:
        """Basis of the estimable coefficients, shape (coefficient, rank), and the log likelihood in it."""
        events, n, rows = self.counts
        base = basis(rows)
        return base, LogLikelihood(events, n, rows @ base, self.is_penalised)

    @property
    def covariance(self) -> NDArray[np.float64]:
        """Inverse of the information; an estimand without information is not estimable (`status`)."""
        return self.inverse_information

    def separation(self, estimand: Estimand) -> str:
        """Return which regimens of an estimand have a fitted risk of 0 or 1, as a reason.

        Parameters
        ----------
        estimand
            The estimand.

        Returns
        -------
        str
            The reason; empty where the estimate is finite.
        """
        if self.is_penalised:
            return ""
        size = dict(zip(self.study.counted, self.study.n, strict=True))
        n = np.array([size.get(arm, max(size.values())) for arm in estimand.arms])
        at = [self.arms.index(arm) for arm in estimand.arms]
        risk = expit(self.design[at] @ self.coefficients)
        is_separated = n * np.minimum(risk, 1 - risk) < self.separated_below
        separated = np.array(estimand.arms)[is_separated]
        named = ", ".join(separated.tolist())
        return f"{NO_MAXIMUM}: the fitted risk is 0 or 1 in {named}" if named else ""

    def is_spanned(self, estimand: Estimand) -> bool:
        """Return whether the regimens that are not separated span an estimand.

        Parameters
        ----------
        estimand
            The estimand.

        Returns
        -------
        bool
            False where the data do not determine the estimand.
        """
        return in_row_space(self.slope(estimand), self.counts[2][self.informative_rows])

    def slope(self, estimand: Estimand) -> NDArray[np.float64]:
        """Differentiate an estimand in the coefficients, shape (coefficient,).

        Parameters
        ----------
        estimand
            The estimand.

        Returns
        -------
        ndarray, shape (coefficient,)
            The gradient.
        """
        point = Point(self.design @ self.coefficients)
        return gradient(estimand, self.arms, point) @ self.design


def fit_likelihood(study: Study, model: Model, evidence: Evidences) -> Regression:
    """Fit a model's linear predictor to the counts by maximum likelihood.

    Parameters
    ----------
    study
        The study, resolved to an interpretation and a stratification.
    model
        ``exchangeable`` has no counterpart without a prior and is fitted as ``interaction``.
    evidence
        What the study resolves to; it determines identification.

    Returns
    -------
    Regression
        The fitted regression.
    """
    arms = model.arms(study)
    design = design_of(study, model, arms)
    rows = [arms.index(arm) for arm in study.counted]
    coefficients = maximise(study.events, study.n, design[rows])
    return Regression(study, model, arms, design, coefficients, evidence)


def design_of(study: Study, model: Model, arms: tuple[str, ...]) -> NDArray[np.float64]:
    """Return the design of a model's regimens, shape (arm, coefficient).

    Levels are unordered categories, and treatments have separate effects in each subgroup.

    Parameters
    ----------
    study
        The study, resolved to an interpretation and a stratification.
    model
        The model.
    arms
        Regimens whose risk is modelled.

    Returns
    -------
    ndarray, shape (arm, coefficient)
        The design.
    """
    if not model.has_structure:
        return np.eye(len(arms))
    taken = [parse(arm) for arm in arms]
    parts = np.array([[float(part in regimen) for part in study.all_parts] for regimen in taken])
    columns = [np.ones((len(arms), 1)), parts]
    if model.has_products:
        at = list(study.all_parts)
        pairs = [(at.index(a), at.index(b)) for a, b in study.judged_pairs.values()]
        columns += [parts[:, [i]] * parts[:, [j]] for i, j in pairs]
    for group in study.groups[1:]:
        indicator = np.array([[float(group_of(arm) == group)] for arm in arms])
        columns += [indicator, indicator * parts]
    return np.hstack(columns)


def maximise(
    events: NDArray[np.int64], n: NDArray[np.int64], design: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the maximum likelihood coefficients, shape (coefficient,).

    Parameters
    ----------
    events
        Number of events by cell, shape (cell,).
    n
        Number of patients by cell, shape (cell,).
    design
        Shape (cell, coefficient).

    Returns
    -------
    ndarray, shape (coefficient,)
        The coefficients; with separation, those at which the iterations end.
    """
    outcome = np.column_stack([events, n - events])
    with warnings.catch_warnings():
        # A saturated fit is exact, which statsmodels reports as separation. `Regression.status` detects separation
        # by fitted risks of 0 or 1, and a rank-deficient design by its row space.
        warnings.simplefilter("ignore", PerfectSeparationWarning)
        warnings.simplefilter("ignore", SingularMatrixWarning)
        warnings.filterwarnings("ignore", category=RuntimeWarning, module="statsmodels")
        model = sm.GLM(outcome, design, family=sm.families.Binomial())
        return np.asarray(model.fit(tol=1e-12, maxiter=200).params)
