"""Maximum likelihood with covariates: robust standard errors, standardised risks by the delta method."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import expit

from cotreat.estimands.estimand import CONDITIONAL, Estimand
from cotreat.estimands.identification import Identification, Status, not_estimable
from cotreat.evidence.protocol import Evidences
from cotreat.frequentist.firth import basis
from cotreat.frequentist.logistic import (
    NO_CELLS,
    NO_EXCESS,
    NO_MAXIMUM,
    Regression,
    design_of,
    maximise,
)
from cotreat.models.registry import Model
from cotreat.study.covariate_patterns import Cells
from cotreat.study.study import Study

VANISHING = 1e-7
"""With fewer events, or non-events, fitted than this a cell is on its way to a risk of 0 or 1. A cell
may be one patient, whose risk is small without that; the fit drives the others below 1e-9."""
STEP = 1e-20


@dataclass(frozen=True)
class Adjusted(Regression):
    """A logistic regression of patients on regimens, covariates and clusters.

    Attributes
    ----------
    shifts : ndarray, shape (cell, coefficient of covariates and clusters)
        Clusters have indicators of their own, centred as the covariates are. Their coefficients come
        after those of the regimens.
    """

    cells: Cells
    shifts: NDArray[np.float64]

    @property
    def is_robust(self) -> bool:
        """Whether `covariance` holds without the model.

        Not with a penalty: a regimen without events has no residuals, so that a sandwich would take
        its risk for nearly known.
        """
        return not self.is_penalised

    @property
    def counts(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Events, sizes and rows of the design of the cells."""
        return self.cells.events, self.cells.n, self.rows

    @cached_property
    def rows(self) -> NDArray[np.float64]:
        """The regression's design, shape (cell, coefficient)."""
        at = [self.arms.index(regimen) for regimen in self.cells.regimens]
        return np.hstack([self.design[at], self.shifts])

    @cached_property
    def _risk(self) -> NDArray[np.float64]:
        """Fitted risk of each cell."""
        return expit(self.rows @ self.coefficients)

    @cached_property
    def _informative(self) -> NDArray[np.bool_]:
        """Cells that are not on their way to a risk of 0 or 1, shape (cell,).

        The others carry no information; leaving them in would drown the rest in rounding.
        """
        if self.is_penalised:
            return np.ones(len(self.rows), dtype=bool)
        return self.cells.n * np.minimum(self._risk, 1 - self._risk) >= VANISHING

    @cached_property
    def _inverse(self) -> NDArray[np.float64]:
        rows, risk = self.rows[self._informative], self._risk[self._informative]
        weights = self.cells.n[self._informative] * risk * (1 - risk)
        return np.linalg.pinv((rows.T * weights) @ rows, hermitian=True)

    @cached_property
    def _seen(self) -> NDArray[np.float64]:
        """Projector on the combinations of coefficients that the patients tell apart."""
        return _projector(self.rows)

    @cached_property
    def _finite(self) -> NDArray[np.float64]:
        """Projector on those of them that have a finite estimate."""
        return _projector(self.rows[self._informative])

    @cached_property
    def covariance(self) -> NDArray[np.float64]:
        """Sandwich covariance (HC0) of the coefficients, as from one row a patient; or the model's.

        Of n patients in a cell those with the event have the score (1 − p) x, the others −p x.
        """
        if not self.is_robust:
            return self._inverse
        n, events, risk = self.cells.n, self.cells.events, self._risk
        scores = events * (1 - risk) ** 2 + (n - events) * risk**2
        bread = self._inverse
        return bread @ ((self.rows.T * scores) @ self.rows) @ bread

    @cached_property
    def risk_draws(self) -> xr.Dataset:
        """Risks in the shape of a posterior of one draw: standardised, and at the covariates' means."""
        every, own = self._log_odds()
        standardised = (expit(every) * self.cells.weights(self.arms)).sum(axis=1)
        conditional = expit(own)
        dims = ("chain", "draw", "arm")
        return xr.Dataset(
            {
                "risk": (dims, standardised[None, None], {"risk_kind": "standardised"}),
                CONDITIONAL: (dims, conditional[None, None]),
            },
            {"arm": list(self.arms)},
        )

    def _log_odds(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return log-odds by arm and profile, and by arm at the covariates' means.

        The latter without what has no finite estimate: odds ratios do not read it, and it would drown
        them in rounding where a cluster with events alone drives every risk to 1.
        """
        count = self.design.shape[1]
        own, shifts = self.design @ self.coefficients[:count], self.shifts[self.cells.profiles]
        every = own[:, None] + shifts @ self.coefficients[count:]
        return every, self.design @ (self._finite @ self.coefficients)[:count]

    @cached_property
    def _identification(self) -> Identification:
        return Identification(self.study, self.model, self.risk_draws, self.evidence)

    def status(self, estimand: Estimand) -> Status:
        """Return whether an estimand is estimated, and if not, why."""
        found = self._identification.of(estimand)
        if not found.is_estimable:
            return found
        if self.is_separated(estimand):
            return not_estimable(f"{NO_MAXIMUM} (separation)")
        if np.isnan(self.slope(estimand)).any():
            return NO_EXCESS
        return found if _is_within(self._asked(estimand), self._seen) else NO_CELLS

    def is_separated(self, estimand: Estimand) -> bool:
        """Tell whether an estimand is seen by the patients but reads a coefficient without a finite value."""
        if not self._identification.of(estimand).is_estimable:
            return False
        asked = self._asked(estimand)
        return _is_within(asked, self._seen) and not _is_within(asked, self._finite)

    def _asked(self, estimand: Estimand) -> NDArray[np.float64]:
        """Return the combinations of coefficients that an estimand reads, shape (row, coefficient).

        Risks read the log-odds of each regimen, odds ratios only how these differ.
        """
        own = self.design[[self.arms.index(arm) for arm in estimand.arms]]
        if not estimand.needs_risks:
            own = own[1:] - own[0]
        return np.hstack([own, np.zeros((len(own), self.shifts.shape[1]))])

    def slope(self, estimand: Estimand) -> NDArray[np.float64]:
        """Differentiate an estimand in the coefficients, shape (coefficient,)."""
        at = [self.arms.index(arm) for arm in estimand.arms]
        risks = estimand.reads(self.risk_draws).values.ravel()[at]
        # In the risks by the complex step, exact to machine precision.
        moved = risks + 1j * STEP * np.eye(len(at))
        in_risks = np.imag(estimand.of(*moved.T)) / STEP
        return in_risks @ self._slopes[0 if estimand.needs_risks else 1][at]

    @cached_property
    def _slopes(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Slopes of standardised and conditional risks in the coefficients, each (arm, coefficient)."""
        every, log_odds = self._log_odds()
        shifts = self.shifts[self.cells.profiles]
        weights = expit(every) * expit(-every) * self.cells.weights(self.arms)
        own = expit(log_odds) * expit(-log_odds)
        return (
            np.hstack([weights.sum(axis=1, keepdims=True) * self.design, weights @ shifts]),
            np.hstack([own[:, None] * self.design, np.zeros((len(own), shifts.shape[1]))]),
        )


def _projector(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the projector on the row space of a matrix."""
    base = basis(rows)
    return base @ base.T


def _is_within(rows: NDArray[np.float64], projector: NDArray[np.float64]) -> bool:
    return bool(np.allclose(rows @ projector, rows, atol=1e-6))


def fit_adjusted(study: Study, model: Model, evidence: Evidences) -> Adjusted:
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
    return Adjusted(study, model, arms, design, coefficients, evidence, cells, shifts)
