"""Maximum likelihood beside the posterior: the same models, risks and estimands, without priors."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import statsmodels.api as sm
import xarray as xr
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit, ndtri
from statsmodels.tools.sm_exceptions import PerfectSeparationWarning

from cotreat.effects import Model
from cotreat.estimands import Estimand, gradient, in_row_space, is_implied
from cotreat.names import FIXED, IMPLIED, INTERVAL
from cotreat.study import NOT_IDENTIFIED, Study

Z = float(ndtri(0.5 + INTERVAL / 2))
SEPARATED = 1e-6  # a fitted risk this near 0 or 1 is a coefficient on its way to infinity


@dataclass(frozen=True)
class Interval:
    """A confidence interval and the method behind it; NaN, and why, where there is none."""

    lower: float
    upper: float
    method: str
    why_none: str = ""

    @property
    def label(self) -> str:
        """How it is labelled in every table."""
        return f"none: {self.why_none}" if self.why_none else f"{INTERVAL:.0%} {self.method}"


@dataclass(frozen=True)
class Likelihood:
    """A logistic regression on cell counts, fitted by maximum likelihood.

    Attributes
    ----------
    arms : tuple of str
        Regimens the model can speak of; rows of `design`.
    design : ndarray, shape (arm, coefficient)
    coefficients : ndarray, shape (coefficient,)
    covariance : ndarray, shape (coefficient, coefficient)
        Inverse of the information.
    """

    study: Study
    model: Model
    arms: tuple[str, ...]
    design: NDArray[np.float64]
    coefficients: NDArray[np.float64]
    covariance: NDArray[np.float64]

    @cached_property
    def risk(self) -> xr.DataArray:
        """Risk by regimen in the shape of a posterior: dims (chain, draw, arm), one draw."""
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

    def availability(self, estimand: Estimand) -> str:  # noqa: PLR0911 - one line a reason
        """Tell whether maximum likelihood estimates an estimand, and if not, why."""
        if self.study.is_case_control and estimand.needs_risks:
            return NOT_IDENTIFIED
        missing = [arm for arm in estimand.arms if arm not in self.arms]
        if missing:
            return f"undefined: no patients in {', '.join(missing)}"
        extreme = self.risk.sel(arm=list(estimand.arms)).squeeze(("chain", "draw"))
        separated = extreme.arm[(extreme < SEPARATED) | (extreme > 1 - SEPARATED)].values
        if separated.size:
            return (
                "undefined: maximum likelihood has no finite estimate, for it fits a risk of 0 or 1 "
                f"in {', '.join(separated)}"
            )
        slope = self._slope(estimand)
        if np.isnan(slope).any():
            return "undefined: the single effects add up to no excess"
        if np.allclose(slope, 0, atol=1e-9):
            return FIXED
        if not in_row_space(slope, self.counted_design):
            return "undefined: not estimable from the counted regimens"
        return IMPLIED if is_implied(estimand, self.model) else "observed"

    def estimate(self, estimand: Estimand) -> float:
        """Answer an estimand at the maximum of the likelihood."""
        return estimand.values(self.risk).item()

    def intervals(self, estimand: Estimand) -> Iterator[Interval]:
        """Yield the confidence intervals that exist for an estimand, the usual one first."""
        yield self._delta(estimand)
        name = estimand.measure.name if estimand.measure else ""
        if name == "ror":
            yield self._profile(estimand)
        if name in _MOVER:
            yield _MOVER[name](self, estimand)

    def _slope(self, estimand: Estimand) -> NDArray[np.float64]:
        """Differentiate an estimand in the coefficients, shape (coefficient,)."""
        return gradient(estimand, self.arms, self.risk.values.ravel()) @ self.design

    def _delta(self, estimand: Estimand) -> Interval:
        """Delta method: on the log scale for ratios, on the logit scale for risks."""
        value = self.estimate(estimand)
        method = "Wald" if estimand.measure is None or estimand.measure.name == "ror" else "delta"
        if estimand.measure is not None and not estimand.measure.smooth:
            return Interval(np.nan, np.nan, method, "the maximum of two risks is not smooth")
        slope = self._slope(estimand)
        se = float(np.sqrt(slope @ self.covariance @ slope))
        if estimand.log:
            if not value > 0:
                return Interval(np.nan, np.nan, method, "a ratio of 0 or less has no logarithm")
            half = Z * se / value
            return Interval(float(value * np.exp(-half)), float(value * np.exp(half)), method)
        if estimand.measure is None:
            ends = expit(logit(value) + Z * se / (value * (1 - value)) * np.array([-1, 1]))
            return Interval(float(ends[0]), float(ends[1]), method)
        return Interval(value - Z * se, value + Z * se, method)

    def _profile(self, estimand: Estimand) -> Interval:
        """Invert the likelihood-ratio test of the ratio of odds ratios."""
        signs = dict(zip(estimand.arms, (1.0, -1.0, -1.0, 1.0), strict=True))
        contrast = np.array([signs.get(arm, 0.0) for arm in self.arms]) @ self.design
        centre = float(contrast @ self.coefficients)
        se = float(np.sqrt(contrast @ self.covariance @ contrast))
        # Coordinates in which the contrast is fixed by an offset and the rest is free.
        along = np.linalg.pinv(contrast[None, :])[:, 0]
        free = np.linalg.svd(contrast[None, :])[2][1:].T
        best = _glm(self.study, self.counted_design).deviance

        def excess(value: float) -> float:
            offset = self.counted_design @ along * value
            return _glm(self.study, self.counted_design @ free, offset).deviance - best - Z**2

        ends = [_root(excess, centre, side * se) for side in (-1, 1)]
        return Interval(float(np.exp(ends[0])), float(np.exp(ends[1])), "profile")


def fit_likelihood(study: Study, model: Model) -> Likelihood:
    """Fit a model's linear predictor to the counts by maximum likelihood.

    Parameters
    ----------
    model
        ``exchangeable`` has no counterpart without a prior and is fitted as ``interaction``.
    """
    arms = model.arms(study)
    design = _design(study, model, arms)
    rows = [arms.index(arm) for arm in study.counted]
    fit = _glm(study, design[rows])
    return Likelihood(study, model, arms, design, fit.params, fit.cov_params())


def _design(study: Study, model: Model, arms: tuple[str, ...]) -> NDArray[np.float64]:
    if not model.has_structure:
        return np.eye(len(arms))
    columns = [np.ones((len(arms), 1)), study.content(arms)]
    if model.has_products:
        columns.append(study.products(arms))
    return np.hstack(columns)


def _glm(
    study: Study, design: NDArray[np.float64], offset: NDArray[np.float64] | None = None
) -> Any:
    outcome = np.column_stack([study.events, study.n - study.events])
    with warnings.catch_warnings():
        # A saturated fit of cells is exact by construction, which statsmodels takes for separation;
        # real separation is told by fitted risks of 0 or 1 (SEPARATED).
        warnings.simplefilter("ignore", PerfectSeparationWarning)
        warnings.filterwarnings("ignore", category=RuntimeWarning, module="statsmodels")
        family = sm.families.Binomial()
        return sm.GLM(outcome, design, family=family, offset=offset).fit(tol=1e-12, maxiter=200)


def _root(excess: Callable[[float], float], centre: float, step: float) -> float:
    """Walk from the maximum in steps of one SE until the test rejects, then close in."""
    for k in range(1, 30):
        if excess(centre + k * step) > 0:
            return float(brentq(excess, *sorted((centre + (k - 1) * step, centre + k * step))))
    return float(np.sign(step) * np.inf)


# --- MOVER: intervals of a sum from the intervals of its parts ------------------------------------


def _mover(
    fit: Likelihood, contrasts: NDArray[np.float64], signs: NDArray[np.float64], constant: float
) -> tuple[float, float]:
    """Recover the interval of Σ sign·exp(contrast·η) + constant from Wald intervals of its parts.

    Parameters
    ----------
    contrasts
        Log-odds contrasts over all regimens, shape (part, arm).
    signs
        +1 or −1 for each part.

    Notes
    -----
    Zou, Am J Epidemiol 2008;168:212: method of variance estimates recovery.
    """
    rows = contrasts @ fit.design
    log_parts = rows @ fit.coefficients
    covariance = rows @ fit.covariance @ rows.T
    se = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(se, se)
    parts = np.exp(log_parts)
    below, above = parts - np.exp(log_parts - Z * se), np.exp(log_parts + Z * se) - parts
    down = signs * np.where(signs > 0, below, above)
    up = signs * np.where(signs > 0, above, below)
    value = signs @ parts + constant
    return (
        float(value - np.sqrt(down @ correlation @ down)),
        float(value + np.sqrt(up @ correlation @ up)),
    )


def _against(
    fit: Likelihood, estimand: Estimand, pairs: list[tuple[int, int]]
) -> NDArray[np.float64]:
    """Return contrasts "cell i against cell j" of the estimand's four cells over all regimens."""
    contrasts = np.zeros((len(pairs), len(fit.arms)))
    at = [fit.arms.index(arm) for arm in estimand.arms]
    for row, (i, j) in enumerate(pairs):
        contrasts[row, at[i]] += 1
        contrasts[row, at[j]] -= 1
    return contrasts


def _mover_reri(fit: Likelihood, estimand: Estimand) -> Interval:
    """RERI = OR11 − OR10 − OR01 + 1."""
    contrasts = _against(fit, estimand, [(3, 0), (1, 0), (2, 0)])
    return Interval(*_mover(fit, contrasts, np.array([1.0, -1.0, -1.0]), 1.0), "MOVER")


def _mover_ap(fit: Likelihood, estimand: Estimand) -> Interval:
    """AP = 1/OR11 − OR10/OR11 − OR01/OR11 + 1."""
    contrasts = _against(fit, estimand, [(0, 3), (1, 3), (2, 3)])
    return Interval(*_mover(fit, contrasts, np.array([1.0, -1.0, -1.0]), 1.0), "MOVER")


def _mover_s(fit: Likelihood, estimand: Estimand) -> Interval:
    """Return the interval of log S, whose MOVER form equals the delta method."""
    delta = fit._delta(estimand)
    return Interval(delta.lower, delta.upper, "MOVER")


_MOVER = {"reri_or": _mover_reri, "ap_or": _mover_ap, "s_or": _mover_s}
