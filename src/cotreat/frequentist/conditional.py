"""Conditional logistic regression: the likelihood given the number of events in each cluster or matched set.

An indicator for each cluster of few patients would bias odds ratios away from 1: with pairs to their square
(Andersen, J R Stat Soc B 1970;32:283; Breslow & Day, Statistical methods in cancer research 1, 1980, chapter 7).
The conditional likelihood contains no intercepts.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import expit, logit

from cotreat.core.constants import CONDITIONAL
from cotreat.estimands.estimand import Estimand
from cotreat.estimands.identification import Status, gradient, not_estimable
from cotreat.evidence.protocol import Evidences, Point
from cotreat.frequentist.firth import climb
from cotreat.frequentist.logistic import NO_EXCESS, NO_MAXIMUM, Regression, design_of
from cotreat.models.registry import Model
from cotreat.study.conditioning import ConditioningSets, conditioning_sets
from cotreat.study.study import Study

Array = NDArray[np.float64]

AT_ONCE = 2_000_000
"""Largest number of second moments in memory."""
SEPARATED = 1e-6
"""Information at the maximum relative to that at 0, below which a combination of coefficients is separated."""
NEGLIGIBLE = 1e-10
"""Information relative to the largest below which a combination of coefficients is not estimable."""
MOST_STEPS, SETTLED = 100, 1e-12
"""Largest number of steps to the intercepts of large sets, and change at which they end."""
NOT_COMPARED = not_estimable("no {} with and without an event compares these regimens")


@dataclass(frozen=True, eq=False)
class ConditionalLikelihood:
    """The log likelihood given the number of events in each set, as a surface for `cotreat.frequentist.firth.climb`.

    Attributes
    ----------
    sets : ConditioningSets
        The informative sets.
    rows : ndarray, shape (profile, coefficient)
        Design of the profiles.
    """

    sets: ConditioningSets
    rows: Array

    def cost(self, coefficients: Array) -> tuple[float, Array]:
        """Return the negative log likelihood and its gradient.

        Parameters
        ----------
        coefficients
            Shape (coefficient,).

        Returns
        -------
        value : float
        gradient : ndarray, shape (coefficient,)
        """
        value, gradient, _ = self._summed(coefficients, has_curvature=False)
        return value, gradient

    def curvature(self, coefficients: Array) -> Array:
        """Return the information matrix, observed and expected.

        Parameters
        ----------
        coefficients
            Shape (coefficient,).

        Returns
        -------
        ndarray, shape (coefficient, coefficient)
        """
        return self._summed(coefficients, has_curvature=True)[2]

    def _summed(self, coefficients: Array, *, has_curvature: bool) -> tuple[float, Array, Array]:
        count = len(coefficients)
        value, gradient, information = 0.0, np.zeros(count), np.zeros((count, count))
        parts = list(self._small(coefficients, has_curvature=has_curvature))
        if len(self.sets.large[0]):
            parts.append(self._large(coefficients))
        for one, slope, curvature in parts:
            value, gradient, information = value + one, gradient + slope, information + curvature
        return float(value), gradient, information

    def _small(
        self, coefficients: Array, *, has_curvature: bool
    ) -> Iterator[tuple[float, Array, Array]]:
        """Yield cost, gradient and information of sets whose patients are listed."""
        width = len(coefficients) ** (2 if has_curvature else 1)
        for block in self.sets.blocks:
            step = max(1, AT_ONCE // (width * (int(block.chosen.max()) + 1)))
            for start in range(0, len(block.times), step):
                at = slice(start, start + step)
                x = self.rows[block.profile[at]] * block.sign[at, None, None]
                chosen = np.einsum("sj,sjp->sp", block.is_chosen[at], x)
                logs, mean, covariance = subset_moments(
                    x @ coefficients,
                    x,
                    block.is_there[at],
                    block.chosen[at],
                    has_covariance=has_curvature,
                )
                times = block.times[at]
                cost = times @ (logs - chosen @ coefficients)
                yield cost, times @ (mean - chosen), np.tensordot(times, covariance, 1)

    def _large(self, coefficients: Array) -> tuple[float, Array, Array]:
        """Return cost, gradient and information of large sets by their profile likelihood.

        Each set has an intercept at its maximum, at which as many events are expected as there are.
        """
        profile, n, events, at = self.sets.large
        x = self.rows[profile]
        eta, count = x @ coefficients, at.max() + 1

        def by_set(values: NDArray[Any]) -> Array:
            return np.bincount(at, values, count)

        total = by_set(events)
        intercept = logit(total / by_set(n)) - by_set(n * eta) / by_set(n)
        for _ in range(MOST_STEPS):
            risk = expit(eta + intercept[at])
            step = (total - by_set(n * risk)) / by_set(n * risk * (1 - risk))
            intercept += np.clip(step, -1.0, 1.0)
            if np.abs(step).max() < SETTLED:
                break
        log_odds = eta + intercept[at]
        risk = expit(log_odds)
        cost = events @ np.logaddexp(0, -log_odds) + (n - events) @ np.logaddexp(0, log_odds)
        weights = n * risk * (1 - risk)
        sums = np.stack([by_set(weights * column) for column in x.T], axis=1)
        within = (x.T * weights) @ x - (sums.T / by_set(weights)) @ sums
        return float(cost), x.T @ (n * risk - events), within


def subset_moments(
    eta: Array,
    x: Array,
    is_there: NDArray[np.bool_],
    chosen: NDArray[np.int64],
    *,
    has_covariance: bool,
) -> tuple[Array, Array, Array]:
    """Return normalising constant and moments of the choice of some patients of each set.

    A choice of m patients has a probability proportional to the product of their odds.

    Parameters
    ----------
    eta
        Log-odds, shape (set, patient).
    x
        Design, shape (set, patient, coefficient).
    is_there
        False for padding, shape (set, patient).
    chosen
        Number of chosen patients m, shape (set,).
    has_covariance
        Whether the covariance is computed; otherwise it is 0.

    Returns
    -------
    logs : ndarray, shape (set,)
        Log of the sum over all choices.
    mean : ndarray, shape (set, coefficient)
        Expected sum of `x` over the chosen patients.
    covariance : ndarray, shape (set, coefficient, coefficient)

    Notes
    -----
    Recursion over patients: Gail, Lubin & Rubinstein, Biometrika 1981;68:703; Howard, J R Stat Soc B 1972;34:210. The
    time is proportional to patients × chosen patients.
    """
    sets, most, width = len(eta), int(chosen.max()), x.shape[2]
    logs = np.full((sets, most + 1), -np.inf)
    logs[:, 0] = 0
    mean = np.zeros((sets, most + 1, width))
    covariance = np.zeros((sets, most + 1, width, width) if has_covariance else (sets, 1, 1, 1))
    for j in range(eta.shape[1]):
        with_it = np.where(is_there[:, j, None], eta[:, j, None] + logs[:, :-1], -np.inf)
        either = np.logaddexp(logs[:, 1:], with_it)
        share = np.exp(with_it - np.where(np.isinf(either), 0, either))[..., None]
        step = mean[:, :-1] + x[:, j, None] - mean[:, 1:]
        if has_covariance:
            moved = covariance[:, :-1] - covariance[:, 1:]
            spread = (1 - share)[..., None] * step[..., None] * step[..., None, :]
            covariance[:, 1:] += share[..., None] * (moved + spread)
        mean[:, 1:] += share * step
        logs[:, 1:] = either
    at = np.arange(sets), chosen
    of_sets = covariance[at] if has_covariance else np.zeros((sets, width, width))
    return logs[at], mean[at], of_sets


@dataclass(frozen=True)
class Conditional(Regression):
    """A conditional logistic regression of patients on regimens and covariates, given the events of each set.

    Attributes
    ----------
    likelihood : ConditionalLikelihood
        Of all coefficients.
    marginal : Regression or None
        Regression that estimates risks; None where they are not estimable.
    """

    likelihood: ConditionalLikelihood
    marginal: Regression | None

    def regression_of(self, estimand: Estimand) -> Regression:
        """Return the regression that estimates an estimand.

        Parameters
        ----------
        estimand
            The estimand.

        Returns
        -------
        Regression
            The marginal regression for risks and measures of risks.
        """
        is_of_risks = estimand.needs_risks and self.marginal is not None
        return self.marginal if is_of_risks and self.marginal else self

    @cached_property
    def risk_draws(self) -> xr.Dataset:
        """Odds by regimen up to a common factor, as risks of a posterior of one draw."""
        risk = expit(self._log_odds)
        dims = ("chain", "draw", "arm")
        values = (dims, risk[None, None], {"risk_kind": "conditional"})
        return xr.Dataset({"risk": values, CONDITIONAL: values}, {"arm": list(self.arms)})

    @cached_property
    def _log_odds(self) -> Array:
        """Log-odds by regimen up to a common constant, shape (arm,).

        Combinations of coefficients without a finite maximum are left out, because they would round risks to 1.
        """
        finite, infinite = self._directions
        every = np.hstack([finite, infinite])
        parts = np.linalg.lstsq(every, self.coefficients, rcond=None)[0]
        kept = finite @ parts[: finite.shape[1]]
        return self.design @ kept[: self.design.shape[1]]

    @cached_property
    def surface(self) -> tuple[Array, ConditionalLikelihood]:
        """Basis of the estimable coefficients, shape (coefficient, rank), and the log likelihood in it."""
        base = _estimable(self.likelihood)
        return base, ConditionalLikelihood(self.likelihood.sets, self.likelihood.rows @ base)

    @cached_property
    def _directions(self) -> tuple[Array, Array]:
        """Combinations of coefficients with and without a finite maximum, as columns, with unit information."""
        base, surface = self.surface
        free = base.T @ self.coefficients
        values, axes = np.linalg.eigh(surface.curvature(np.zeros_like(free)))
        whitened = axes / np.sqrt(values)
        values, axes = np.linalg.eigh(whitened.T @ surface.curvature(free) @ whitened)
        is_finite = values > SEPARATED
        columns = base @ whitened @ axes
        return columns[:, is_finite] / np.sqrt(values[is_finite]), columns[:, ~is_finite]

    @property
    def covariance(self) -> Array:
        """Inverse of the information of the finite combinations of coefficients."""
        finite, _ = self._directions
        return finite @ finite.T

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
        if not self.is_spanned(estimand):
            what = "matched set" if self.study.is_matched else "cluster"
            return not_estimable(NOT_COMPARED.reason.format(what))
        separation = self.separation(estimand)
        if separation:
            return not_estimable(separation)
        return NO_EXCESS if np.isnan(self.slope(estimand)).any() else status

    def is_separated(self, estimand: Estimand) -> bool:  # noqa: ARG002
        """Return False: there is no penalised conditional likelihood.

        Parameters
        ----------
        estimand
            The estimand.

        Returns
        -------
        bool
        """
        return False

    def separation(self, estimand: Estimand) -> str:
        """Return that an estimand depends on a combination without a finite maximum, as a reason.

        Parameters
        ----------
        estimand
            The estimand.

        Returns
        -------
        str
            The reason; empty where the estimate is finite.
        """
        along = self._combinations(estimand) @ self._directions[1]
        is_infinite = along.size and np.abs(along).max() > SEPARATED
        return f"{NO_MAXIMUM} (separation)" if is_infinite else ""

    def is_spanned(self, estimand: Estimand) -> bool:
        """Return whether the informative sets compare the regimens of an estimand.

        Parameters
        ----------
        estimand
            The estimand.

        Returns
        -------
        bool
            False where the data do not determine the estimand.
        """
        rows, (base, _) = self._combinations(estimand), self.surface
        return bool(np.allclose(rows @ base @ base.T, rows, atol=1e-6))

    def _combinations(self, estimand: Estimand) -> Array:
        """Return the combinations of coefficients of an estimand, shape (row, coefficient)."""
        if estimand.synergy is None or estimand.synergy.is_contrast:
            return self.contrast(estimand)[None]
        rows = self.design[[self.arms.index(arm) for arm in estimand.arms]]
        others = len(self.coefficients) - self.design.shape[1]
        return np.pad(rows[1:] - rows[0], ((0, 0), (0, others)))

    def slope(self, estimand: Estimand) -> Array:
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
        slope = gradient(estimand, self.arms, Point(self._log_odds)) @ self.design
        return np.pad(slope, (0, len(self.coefficients) - len(slope)))


def _estimable(likelihood: ConditionalLikelihood) -> Array:
    """Return an orthonormal basis of the estimable coefficients, shape (coefficient, rank)."""
    values, axes = np.linalg.eigh(likelihood.curvature(np.zeros(likelihood.rows.shape[1])))
    return axes[:, values > NEGLIGIBLE * max(values.max(initial=0), NEGLIGIBLE)]


def fit_conditional(
    study: Study, model: Model, evidence: Evidences, marginal: Regression | None
) -> Conditional:
    """Fit a model's linear predictor with covariates given the number of events in each set.

    Parameters
    ----------
    study
        The study, resolved to an interpretation and a stratification.
    model
        The model.
    evidence
        Evidence of the study.
    marginal
        Regression that estimates risks; None where they are not estimable.

    Returns
    -------
    Conditional
        The fitted regression.

    Notes
    -----
    The maximum is that of statsmodels' ConditionalLogit, which the tests compare. That class recurs in Python over
    every patient of every set; equal sets are counted together here.
    """
    patterns = study.patterns
    assert patterns is not None  # noqa: S101 - for the type checker
    arms = model.arms(study)
    design, sets = design_of(study, model, arms), conditioning_sets(patterns)
    at = [arms.index(regimen) for regimen in sets.regimens]
    likelihood = ConditionalLikelihood(sets, np.hstack([design[at], sets.values]))
    base = _estimable(likelihood)
    surface = ConditionalLikelihood(sets, likelihood.rows @ base)
    free, _ = climb(surface, np.zeros(base.shape[1]))
    coefficients = base @ free
    return Conditional(study, model, arms, design, coefficients, evidence, likelihood, marginal)
