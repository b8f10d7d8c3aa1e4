"""G-computation: maximum likelihood with covariates, robust standard errors, standardised risks."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import expit

from cotreat.estimands.estimand import CONDITIONAL, Estimand
from cotreat.estimands.identification import Status, not_estimable
from cotreat.evidence.protocol import Evidences
from cotreat.frequentist.conditional import fit_conditional
from cotreat.frequentist.firth import basis
from cotreat.frequentist.logistic import (
    NO_MAXIMUM,
    Regression,
    design_of,
    fit_likelihood,
    maximise,
)
from cotreat.models.registry import Model
from cotreat.study.covariate_patterns import CovariatePatterns
from cotreat.study.study import Study

STEP = 1e-20
COLLINEAR = not_estimable("covariates or clusters are collinear with the regimens")
FEW, MOST_INDICATORS = 50, 100
"""Mean number of patients per cluster below which, and number of clusters above which, odds ratios are estimated
given the events of each cluster."""


@dataclass(frozen=True)
class Adjusted(Regression):
    """A logistic regression of patients on regimens, covariates and clusters.

    Attributes
    ----------
    separated_below : float
        Fitted events, or non-events, below which a covariate pattern is separated. A pattern may be one patient
        with a small risk; those of separated patterns are fitted below 1e-9.
    patterns : CovariatePatterns
        Covariate patterns of the patients.
    shifts : ndarray, shape (cell, coefficient of covariates and clusters)
        Covariates and indicators of clusters, centred. Their coefficients follow those of the regimens.
    correlated : ndarray of int or None, shape (cell,)
        Cluster of each covariate pattern, within which outcomes may be correlated; None for independent patients.
    """

    separated_below: ClassVar[float] = 1e-7

    patterns: CovariatePatterns
    shifts: NDArray[np.float64]
    correlated: NDArray[np.int64] | None = None

    @property
    def is_robust(self) -> bool:
        """Whether `covariance` is the sandwich estimator.

        It is not under a penalty: a regimen without events has no residuals, so that the sandwich variance of its
        risk would be near 0.
        """
        return not self.is_penalised

    @property
    def counts(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Events, patients and rows of the design of the covariate patterns."""
        return self.patterns.events, self.patterns.n, self.rows

    @cached_property
    def rows(self) -> NDArray[np.float64]:
        """The regression's design, shape (cell, coefficient)."""
        at = [self.arms.index(regimen) for regimen in self.patterns.regimens]
        return np.hstack([self.design[at], self.shifts])

    @cached_property
    def _estimable(self) -> NDArray[np.float64]:
        """Projector on the estimable combinations of coefficients."""
        return _projector(self.rows)

    @cached_property
    def _finite(self) -> NDArray[np.float64]:
        """Projector on the combinations with a finite estimate."""
        return _projector(self.rows[self.informative_rows])

    @cached_property
    def covariance(self) -> NDArray[np.float64]:
        """Covariance of the coefficients: the sandwich (HC0) of patients or clusters, or the inverse information.

        Patients of a covariate pattern have the score (1 − p) x with the event and −p x without. Correlated patients
        have the score of their cluster (Liang & Zeger, Biometrika 1986;73:13, with working independence).
        """
        if not self.is_robust:
            return self.inverse_information
        n, events, risk = self.patterns.n, self.patterns.events, self.fitted_risk
        if self.correlated is not None:
            each = self.rows * (events - n * risk)[:, None]
            sums = np.stack([np.bincount(self.correlated, column) for column in each.T], axis=1)
            return self.inverse_information @ (sums.T @ sums) @ self.inverse_information
        scores = events * (1 - risk) ** 2 + (n - events) * risk**2
        bread = self.inverse_information
        return bread @ ((self.rows.T * scores) @ self.rows) @ bread

    @cached_property
    def risk_draws(self) -> xr.Dataset:
        """Standardised risks, and risks at the covariates' means, as a posterior of one draw."""
        by_profile, at_means = self._log_odds()
        standardised = (expit(by_profile) * self.patterns.weights(self.arms)).sum(axis=1)
        dims = ("chain", "draw", "arm")
        return xr.Dataset(
            {
                "risk": (dims, standardised[None, None], {"risk_kind": "standardised"}),
                CONDITIONAL: (dims, expit(at_means)[None, None]),
            },
            {"arm": list(self.arms)},
        )

    def _log_odds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return log-odds by arm and covariate profile, and by arm at the covariates' means.

        The latter leave out combinations without a finite estimate, on which odds ratios do not depend; those would
        add rounding errors where a cluster with only events drives every risk to 1.
        """
        count = self.design.shape[1]
        by_arm = self.design @ self.coefficients[:count]
        shift = self.shifts[self.patterns.profiles] @ self.coefficients[count:]
        by_profile = by_arm[:, None] + shift
        return by_profile, self.design @ (self._finite @ self.coefficients)[:count]

    def separation(self, estimand: Estimand) -> str:
        """Return that an estimand depends on a coefficient without a finite estimate, as a reason.

        Parameters
        ----------
        estimand
            The estimand.

        Returns
        -------
        str
            The reason; empty where the estimate is finite.
        """
        rows = self._combinations(estimand)
        is_separated = _is_within(rows, self._estimable) and not _is_within(rows, self._finite)
        return f"{NO_MAXIMUM} (separation)" if is_separated else ""

    def is_spanned(self, estimand: Estimand) -> bool:
        """Return whether the covariate patterns span an estimand.

        Parameters
        ----------
        estimand
            The estimand.

        Returns
        -------
        bool
            False where the data do not determine the estimand.
        """
        return _is_within(self._combinations(estimand), self._estimable)

    def not_spanned(self, estimand: Estimand) -> Status:
        """Return the status of an estimand that the patients do not determine, with the reason.

        Parameters
        ----------
        estimand
            The estimand.

        Returns
        -------
        Status
            Not estimable: without the regimens, or because covariates or clusters are collinear with these.
        """
        alone = np.pad(self.rows[:, : self.design.shape[1]], ((0, 0), (0, self.shifts.shape[1])))
        is_counted = _is_within(self._combinations(estimand), _projector(alone))
        return COLLINEAR if is_counted else super().not_spanned(estimand)

    def _combinations(self, estimand: Estimand) -> NDArray[np.float64]:
        """Return the combinations of coefficients of an estimand, shape (row, coefficient).

        Risks depend on the log-odds of each regimen, odds ratios on their differences only.
        """
        rows = self.design[[self.arms.index(arm) for arm in estimand.arms]]
        if not estimand.needs_risks:
            rows = rows[1:] - rows[0]
        return np.pad(rows, ((0, 0), (0, self.shifts.shape[1])))

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
        at = [self.arms.index(arm) for arm in estimand.arms]
        risks = estimand.variable_of(self.risk_draws).values.ravel()[at]
        # Derivative in the risks by the complex step, exact to machine precision.
        moved = risks + 1j * STEP * np.eye(len(at))
        in_risks = np.imag(estimand.of(*moved.T)) / STEP
        return in_risks @ self._slopes[0 if estimand.needs_risks else 1][at]

    @cached_property
    def _slopes(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Derivatives of standardised and conditional risks in the coefficients, each (arm, coefficient)."""
        by_profile, at_means = self._log_odds()
        shifts = self.shifts[self.patterns.profiles]
        weights = expit(by_profile) * expit(-by_profile) * self.patterns.weights(self.arms)
        variance = expit(at_means) * expit(-at_means)
        return (
            np.hstack([weights.sum(axis=1, keepdims=True) * self.design, weights @ shifts]),
            np.pad(variance[:, None] * self.design, ((0, 0), (0, shifts.shape[1]))),
        )


def _projector(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the projector on the row space of a matrix."""
    base = basis(rows)
    return base @ base.T


def _is_within(rows: NDArray[np.float64], projector: NDArray[np.float64]) -> bool:
    return bool(np.allclose(rows @ projector, rows, atol=1e-6))


def fit_adjusted(
    study: Study,
    model: Model,
    evidence: Evidences,
    correlated: NDArray[np.int64] | None = None,
) -> Adjusted:
    """Fit a model's linear predictor with covariates to the patients by maximum likelihood.

    Clusters of many patients have fixed effects, in place of the random intercept of the model.

    Parameters
    ----------
    study
        The study, resolved to an interpretation and a stratification.
    model
        The model.
    evidence
        Evidence of the study.
    correlated
        Cluster of each covariate pattern, within which outcomes may be correlated.

    Returns
    -------
    Adjusted
        The fitted regression.
    """
    patterns = study.patterns
    assert patterns is not None  # noqa: S101 - for the type checker
    arms = model.arms(study)
    design = design_of(study, model, arms)
    indicators = np.eye(max(1, len(patterns.clusters)))[patterns.cluster][:, 1:]
    indicators -= np.average(indicators, axis=0, weights=patterns.n)
    shifts = np.hstack([patterns.values, indicators])
    rows = np.hstack([design[[arms.index(r) for r in patterns.regimens]], shifts])
    coefficients = maximise(patterns.events, patterns.n, rows)
    return Adjusted(
        study, model, arms, design, coefficients, evidence, patterns, shifts, correlated
    )


def is_conditioned(patterns: CovariatePatterns) -> bool:
    """Return whether the odds ratios of patients are estimated given the events of each cluster or matched set.

    Indicators of clusters take their place only where clusters are few and have many patients, because the bias of
    odds ratios is inversely proportional to the number of patients of a cluster.

    Parameters
    ----------
    patterns
        Covariate patterns.

    Returns
    -------
    bool
    """
    count = len(patterns.clusters)
    is_few = count > MOST_INDICATORS or patterns.n.sum() < FEW * count
    return patterns.is_matched or (count > 0 and bool(is_few))


def _marginal(patterns: CovariatePatterns, model: Model, evidence: Evidences) -> Adjusted:
    """Fit the regression without clusters that estimates risks, with variances by cluster."""
    alone = tuple(piece.marginal() for piece in evidence)
    return fit_adjusted(alone[0].study, model, alone, patterns.cluster)


def fit_frequentist(study: Study, model: Model, evidence: Evidences) -> Regression | None:
    """Fit a model's linear predictor by maximum likelihood; None where no regimen is counted.

    Parameters
    ----------
    study
        The study, resolved to an interpretation and to the strata of the model.
    model
        The model.
    evidence
        What the study resolves to. The fit standardises risks over patients where the evidence does.

    Returns
    -------
    Regression or None
        `Adjusted` with individual patients, `Conditional` where they are in sets or clusters of few patients; None
        without patients and counts.
    """
    if study.patterns is not None and is_conditioned(study.patterns):
        marginal = None
        if not study.is_case_control:
            marginal = _marginal(study.patterns, model, evidence)
        return fit_conditional(study, model, evidence, marginal)
    if any(piece.standardises for piece in evidence):
        return fit_adjusted(study, model, evidence)
    return fit_likelihood(study, model, evidence) if study.counted else None
