"""Maximum likelihood with covariates: robust standard errors, standardised risks by the delta method."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import expit

from cotreat.catalogue import Model
from cotreat.cells import Cells
from cotreat.estimands import CONDITIONAL, Estimand, availability
from cotreat.frequentist import design_of, maximise
from cotreat.names import is_undefined
from cotreat.study import Study

ENDLESS = 50.0
"""A standard error past this, of a log-odds, is that of a coefficient on its way to infinity."""
STEP = 1e-20


@dataclass(frozen=True)
class Adjusted:
    """A logistic regression of patients on regimens, covariates and clusters.

    Attributes
    ----------
    arms : tuple of str
        Regimens the model can speak of; rows of `design`.
    design : ndarray, shape (arm, coefficient of regimens)
    shifts : ndarray, shape (cell, coefficient of covariates and clusters)
        Clusters have indicators of their own, centred as the covariates are.
    coefficients : ndarray, shape (coefficient,)
        Of the regimens, then of covariates and clusters.
    """

    study: Study
    cells: Cells
    model: Model
    arms: tuple[str, ...]
    design: NDArray[np.float64]
    shifts: NDArray[np.float64]
    coefficients: NDArray[np.float64]

    is_robust = True

    @cached_property
    def rows(self) -> NDArray[np.float64]:
        """The regression's design, shape (cell, coefficient)."""
        at = [self.arms.index(regimen) for regimen in self.cells.regimens]
        return np.hstack([self.design[at], self.shifts])

    @cached_property
    def _information(self) -> NDArray[np.float64]:
        risk = expit(self.rows @ self.coefficients)
        return (self.rows.T * (self.cells.n * risk * (1 - risk))) @ self.rows

    @cached_property
    def _inverse(self) -> NDArray[np.float64]:
        return np.linalg.pinv(self._information, hermitian=True)

    @cached_property
    def _seen(self) -> NDArray[np.float64]:
        """Projector on the combinations of coefficients that the patients tell apart."""
        return np.linalg.pinv(self.rows) @ self.rows

    @cached_property
    def covariance(self) -> NDArray[np.float64]:
        """Sandwich covariance (HC0) of the coefficients, as from one row a patient.

        Of n patients in a cell those with the event have the score (1 − p) x, the others −p x.
        """
        n, events = self.cells.n, self.cells.events
        risk = expit(self.rows @ self.coefficients)
        scores = events * (1 - risk) ** 2 + (n - events) * risk**2
        bread = self._inverse
        return bread @ ((self.rows.T * scores) @ self.rows) @ bread

    @cached_property
    def waist(self) -> xr.Dataset:
        """Risks in the shape of a posterior of one draw: standardised, and at the covariates' means."""
        standardised, conditional = self._risks(self.coefficients)
        dims = ("chain", "draw", "arm")
        return xr.Dataset(
            {
                "risk": (dims, standardised[None, None], {"risk_kind": "standardised"}),
                CONDITIONAL: (dims, conditional[None, None]),
            },
            {"arm": list(self.arms)},
        )

    def risk_kind(self, estimand: Estimand) -> str:
        """Say what risks an estimand is made of."""
        return estimand.risk_kind(self.waist)

    def _risks(self, coefficients: NDArray) -> tuple[NDArray, NDArray]:
        """Return standardised and conditional risks by arm; coefficients may be complex."""
        count = self.design.shape[1]
        log_odds = self.design @ coefficients[:count]
        shift = self.shifts[self.cells.profiles] @ coefficients[count:]
        every = 1 / (1 + np.exp(-(log_odds[:, None] + shift)))
        standardised = (every * self.cells.weights(self.arms)).sum(1)
        return standardised, 1 / (1 + np.exp(-log_odds))

    def availability(self, estimand: Estimand) -> str:
        """Tell whether maximum likelihood estimates an estimand, and if not, why."""
        found = availability(estimand, self.study, self.model, self.waist)
        if is_undefined(found):
            return found
        if any(self._spread(arm) > ENDLESS for arm in estimand.arms):
            return "undefined: maximum likelihood has no finite estimate (separation)"
        if np.isnan(self.slope(estimand)).any():
            return "undefined: the single effects add up to no excess"
        if not all(self._is_estimable(arm) for arm in estimand.arms):
            return "undefined: not estimable from the counted regimens"
        return found

    def _spread(self, arm: str) -> float:
        """Return the model's standard error of a regimen's log-odds."""
        row = self._row(arm)
        return float(np.sqrt(row @ self._inverse @ row))

    def _is_estimable(self, arm: str) -> bool:
        row = self._row(arm)
        return bool(np.allclose(self._seen @ row, row, atol=1e-6))

    def _row(self, arm: str) -> NDArray[np.float64]:
        own = self.design[self.arms.index(arm)]
        return np.concatenate([own, np.zeros(self.shifts.shape[1])])

    def estimate(self, estimand: Estimand) -> float:
        """Answer an estimand at the maximum of the likelihood."""
        return estimand.values(self.waist).item()

    def slope(self, estimand: Estimand) -> NDArray[np.float64]:
        """Differentiate an estimand in the coefficients by the complex step, shape (coefficient,)."""
        at = [self.arms.index(arm) for arm in estimand.arms]
        which = 0 if estimand.needs_risks else 1
        slopes = []
        for step in 1j * STEP * np.eye(len(self.coefficients)):
            risks = self._risks(self.coefficients + step)[which][at]
            slopes.append(np.imag(estimand.of(*risks)) / STEP)
        return np.array(slopes)


def fit_adjusted(study: Study, model: Model) -> Adjusted:
    """Fit a model's linear predictor with covariates to the patients by maximum likelihood.

    Clusters get coefficients of their own, which without a prior stand for the random intercept.
    """
    cells = study.cells
    assert cells is not None  # noqa: S101 - for the type checker
    arms = model.arms(study)
    design = design_of(study, model, arms)
    indicators = np.eye(max(1, len(cells.clusters)))[cells.cluster][:, 1:]
    indicators -= np.average(indicators, axis=0, weights=cells.n)
    shifts = np.hstack([cells.values, indicators])
    rows = np.hstack([design[[arms.index(r) for r in cells.regimens]], shifts])
    coefficients = maximise(cells.events, cells.n, rows)
    return Adjusted(study, cells, model, arms, design, shifts, coefficients)
