"""Compute confidence intervals of an estimand: Wald or delta, profile likelihood, MOVER."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit, ndtri

from cotreat.core.constants import INTERVAL
from cotreat.estimands.estimand import Estimand
from cotreat.frequentist.firth import LogLikelihood, basis, climb
from cotreat.frequentist.logistic import Likelihood, Regression

MOST_CELLS = 10_000
"""Largest number of covariate patterns for profile likelihood, which takes seconds beyond it."""
Z = float(ndtri(0.5 + INTERVAL / 2))


@dataclass(frozen=True)
class Interval:
    """A confidence interval with its method; NaN, with the reason, where there is none."""

    lower: float
    upper: float
    method: str
    why_none: str = ""

    @property
    def label(self) -> str:
        """Column ``interval`` of a summary."""
        return f"none: {self.why_none}" if self.why_none else f"{INTERVAL:.0%} {self.method}"


def intervals(fit: Regression, estimand: Estimand) -> Iterator[Interval]:
    """Yield the Wald or delta interval, then the profile or MOVER interval of the family.

    A contrast of penalised coefficients has only its profile interval, because with separation the likelihood is
    asymmetric and the Wald interval inaccurate (Heinze & Schemper, Stat Med 2002;21:2409).

    Parameters
    ----------
    estimand
        Estimable according to ``fit.status``.
    """
    if fit.is_penalised and _is_contrast(fit, estimand) and len(fit.counts[0]) <= MOST_CELLS:
        yield _profile(fit, estimand)
        return
    yield wald(fit, estimand)
    method = estimand.synergy.family.interval_method if estimand.synergy else ""
    if method and isinstance(fit, Likelihood) and not fit.is_penalised:
        yield METHODS[method](fit, estimand)


def _is_contrast(fit: Regression, estimand: Estimand) -> bool:
    """Return whether an estimand is a function of one contrast of coefficients."""
    if _is_risk(estimand):
        return estimand.risk_kind(fit.risk_draws) == "crude"
    is_of_odds = estimand.synergy is None or estimand.synergy.is_contrast
    return is_of_odds and not estimand.needs_risks


def _is_risk(estimand: Estimand) -> bool:
    return len(estimand.arms) == 1


def wald(fit: Regression, estimand: Estimand) -> Interval:
    """Return the Wald interval, by the delta method for measures of interaction.

    It is computed on the log scale for ratios and on the logit scale for risks.
    """
    value = fit.estimate(estimand)
    is_contrast = estimand.synergy is None or estimand.synergy.is_contrast
    method = ("Wald" if is_contrast else "delta") + (", robust" if fit.is_robust else "")
    if estimand.synergy is not None and not estimand.synergy.smooth:
        return Interval(np.nan, np.nan, method, "the maximum of two risks is not smooth")
    slope = fit.slope(estimand)
    se = float(np.sqrt(slope @ fit.covariance @ slope))
    if estimand.log:
        if not value > 0:
            return Interval(np.nan, np.nan, method, "a ratio of 0 or less has no logarithm")
        with np.errstate(over="ignore"):  # an overflowing upper limit is infinite
            ends = value * np.exp(Z * se / value * np.array([-1, 1]))
        return Interval(float(ends[0]), float(ends[1]), method)
    if _is_risk(estimand):
        ends = expit(logit(value) + Z * se / (value * (1 - value)) * np.array([-1, 1]))
        return Interval(float(ends[0]), float(ends[1]), method)
    return Interval(value - Z * se, value + Z * se, method)


def _direction(estimand: Estimand) -> int:
    """Return the sign of log odds ratios: −1 on the scale of the non-event."""
    return 1 if estimand.judged_on == "event" else -1


# --- Profile likelihood ----------------------------------------------------------------------------


def _profile(fit: Regression, estimand: Estimand) -> Interval:
    """Invert the (penalised) likelihood-ratio test of a contrast of coefficients."""
    events, n, rows = fit.counts
    base = basis(rows)
    surface = LogLikelihood(events, n, rows @ base, fit.is_penalised)
    contrast, summit = base.T @ fit.contrast(estimand), base.T @ fit.coefficients
    centre = float(contrast @ summit)
    se = float(np.sqrt(contrast @ base.T @ fit.covariance @ base @ contrast))
    # Coordinates in which the contrast is fixed and the rest is free.
    along = contrast / (contrast @ contrast)
    free = np.linalg.svd(contrast[None, :])[2][1:].T
    found, best = climb(surface, free.T @ summit, along * centre, free)

    def excess(value: float) -> float:
        nonlocal found  # initial value of the next search
        found, deviance = climb(surface, found, along * value, free)
        return deviance - best - Z**2

    ends = sorted(_direction(estimand) * _root(excess, centre, side * se) for side in (-1, 1))
    with np.errstate(over="ignore"):
        lower, upper = expit(ends) if _is_risk(estimand) else np.exp(ends)
    return Interval(float(lower), float(upper), "profile")


def _root(excess: Callable[[float], float], centre: float, step: float) -> float:
    """Bracket the limit in steps of one SE from the maximum, then find it."""
    for k in range(1, 30):
        if excess(centre + k * step) > 0:
            return float(brentq(excess, *sorted((centre + (k - 1) * step, centre + k * step))))
    return float(np.sign(step) * np.inf)


# --- MOVER: intervals of a sum from the intervals of its parts ---------------------------------------


def _mover(fit: Likelihood, estimand: Estimand) -> Interval:
    """Recover the interval of OR_1 − OR_2 − OR_3 + 1 from the Wald intervals of three odds ratios.

    The three are the measure's `cotreat.estimands.measures.Measure.terms`; of a measure without any, the
    logarithm of a synergy index, the MOVER form equals the delta method.

    Notes
    -----
    Zou, Am J Epidemiol 2008;168:212: method of variance estimates recovery.
    """
    if estimand.synergy is None or not estimand.synergy.terms:
        delta = wald(fit, estimand)
        return Interval(delta.lower, delta.upper, "MOVER", delta.why_none)
    rows = _direction(estimand) * _against(fit, estimand, estimand.synergy.terms) @ fit.design
    covariance = rows @ fit.covariance @ rows.T
    se = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(se, se)
    log_parts = rows @ fit.coefficients
    parts = np.exp(log_parts)
    below, above = parts - np.exp(log_parts - Z * se), np.exp(log_parts + Z * se) - parts
    signs = np.array([1.0, -1.0, -1.0])
    down = signs * np.where(signs > 0, below, above)
    up = signs * np.where(signs > 0, above, below)
    value = signs @ parts + 1
    return Interval(
        float(value - np.sqrt(down @ correlation @ down)),
        float(value + np.sqrt(up @ correlation @ up)),
        "MOVER",
    )


def _against(
    fit: Likelihood, estimand: Estimand, pairs: Sequence[tuple[int, int]]
) -> NDArray[np.float64]:
    """Return the log-odds contrasts of pairs of the estimand's cells, shape (pair, arm)."""
    contrasts = np.zeros((len(pairs), len(fit.arms)))
    at = [fit.arms.index(arm) for arm in estimand.arms]
    for row, (i, j) in enumerate(pairs):
        contrasts[row, at[i]] += 1
        contrasts[row, at[j]] -= 1
    return contrasts


METHODS: dict[str, Callable[[Likelihood, Estimand], Interval]] = {
    "profile": _profile,
    "MOVER": _mover,
}
"""Methods besides Wald or delta, by the name in `cotreat.estimands.measures.Family.interval_method`."""
