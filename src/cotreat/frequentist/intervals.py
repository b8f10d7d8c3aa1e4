"""Compute confidence intervals of an estimand: Wald or delta, profile likelihood, MOVER."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit, ndtri

from cotreat.core.constants import INTERVAL
from cotreat.estimands.estimand import Estimand
from cotreat.frequentist.firth import climb
from cotreat.frequentist.logistic import Regression

MOST_CELLS = 10_000
"""Largest number of covariate patterns for profile likelihood; with more, an interval takes seconds."""
Z = float(ndtri(0.5 + INTERVAL / 2))
"""Standard normal quantile of the upper limit."""


@dataclass(frozen=True)
class Interval:
    """A confidence interval with its method.

    Attributes
    ----------
    lower, upper : float
        Limits on the scale of the estimand; NaN without an interval.
    method : str
        ``Wald``, ``delta``, ``profile`` or ``MOVER``; ``robust`` is added for a robust covariance.
    why_none : str
        Reason why there is no interval; empty if there is one.
    """

    lower: float
    upper: float
    method: str
    why_none: str = ""

    @property
    def label(self) -> str:
        """Entry of the column ``interval`` of a summary."""
        return f"none: {self.why_none}" if self.why_none else f"{INTERVAL:.0%} {self.method}"


def intervals(fit: Regression, estimand: Estimand) -> Iterator[Interval]:
    """Yield the Wald or delta interval, then the profile or MOVER interval, if the scale of interaction has one.

    Parameters
    ----------
    fit
        The regression.
    estimand
        Estimable according to ``fit.status``.

    Yields
    ------
    Interval
        One or two intervals.

    Notes
    -----
    A contrast of penalised coefficients has only a profile interval, because with separation the likelihood is
    asymmetric and the Wald interval inaccurate (Heinze & Schemper, Stat Med 2002;21:2409).
    """
    if fit.is_penalised and _is_contrast(fit, estimand) and len(fit.counts[0]) <= MOST_CELLS:
        yield _profile(fit, estimand)
        return
    yield wald(fit, estimand)
    method = estimand.synergy.family.interval_method if estimand.synergy else ""
    if method and not fit.is_robust and not fit.is_penalised:
        yield METHODS[method](fit, estimand)


def _is_contrast(fit: Regression, estimand: Estimand) -> bool:
    """Return whether an estimand is a function of one contrast of coefficients."""
    if _is_risk(estimand):
        return estimand.risk_kind(fit.risk_draws) == "crude"
    is_of_odds = estimand.synergy is None or estimand.synergy.is_contrast
    return is_of_odds and not estimand.needs_risks


def _is_risk(estimand: Estimand) -> bool:
    """Return whether an estimand is the risk of one regimen."""
    return len(estimand.arms) == 1


def wald(fit: Regression, estimand: Estimand) -> Interval:
    """Return the Wald interval; for measures of interaction, the interval by the delta method.

    Parameters
    ----------
    fit
        The regression.
    estimand
        Estimable according to ``fit.status``.

    Returns
    -------
    Interval
        Computed on the log scale for ratios and on the logit scale for risks.
    """
    value = fit.estimate(estimand)
    is_contrast = estimand.synergy is None or estimand.synergy.is_contrast
    method = ("Wald" if is_contrast else "delta") + (", robust" if fit.is_robust else "")
    if estimand.synergy is not None and not estimand.synergy.smooth:
        return Interval(np.nan, np.nan, method, "the maximum of two risks is not smooth")
    slope = fit.slope(estimand)
    se = float(np.sqrt(slope @ fit.covariance @ slope))
    steps = Z * se * np.array([-1, 1])
    if not estimand.log:
        is_risk = _is_risk(estimand)
        ends = expit(logit(value) + steps / (value * (1 - value))) if is_risk else value + steps
    elif value > 0:
        with np.errstate(over="ignore"):  # the upper limit may overflow to infinity
            ends = value * np.exp(steps / value)
    else:
        return Interval(np.nan, np.nan, method, "a ratio of 0 or less has no logarithm")
    return Interval(float(ends[0]), float(ends[1]), method)


def _direction(estimand: Estimand) -> int:
    """Return the sign of log odds ratios: −1 if the estimand is judged on the non-event."""
    return 1 if estimand.judged_on == "event" else -1


# --- Profile likelihood ----------------------------------------------------------------------------


def _profile(fit: Regression, estimand: Estimand) -> Interval:
    """Return the interval of a contrast of coefficients by inversion of the (penalised) likelihood-ratio test.

    Parameters
    ----------
    fit
        A maximum or penalised likelihood fit.
    estimand
        A contrast of its coefficients.

    Returns
    -------
    Interval
        On the scale of the estimand.

    Notes
    -----
    The interval contains the values whose profile deviance is at most the quantile of χ² with one degree of freedom
    (Venzon & Moolgavkar, Appl Stat 1988;37:87); of a penalised fit, Heinze & Schemper, Stat Med 2002;21:2409.
    """
    base, surface = fit.surface
    contrast, summit = base.T @ fit.contrast(estimand), base.T @ fit.coefficients
    centre = float(contrast @ summit)
    se = float(np.sqrt(contrast @ base.T @ fit.covariance @ base @ contrast))
    # Coordinates with a fixed contrast and free remaining coefficients.
    along = contrast / (contrast @ contrast)
    free = np.linalg.svd(contrast[None, :])[2][1:].T
    fitted, best = climb(surface, free.T @ summit, along * centre, free)

    def excess(value: float) -> float:
        nonlocal fitted  # initial value of the next search
        fitted, deviance = climb(surface, fitted, along * value, free)
        return deviance - best - Z**2

    ends = sorted(_direction(estimand) * _root(excess, centre, side * se) for side in (-1, 1))
    with np.errstate(over="ignore"):
        lower, upper = expit(ends) if _is_risk(estimand) else np.exp(ends)
    return Interval(float(lower), float(upper), "profile")


def _root(excess: Callable[[float], float], centre: float, step: float) -> float:
    """Return a confidence limit by root finding; steps of one SE from the maximum bracket it."""
    for k in range(1, 30):
        if excess(centre + k * step) > 0:
            return float(brentq(excess, *sorted((centre + (k - 1) * step, centre + k * step))))
    return float(np.sign(step) * np.inf)


# --- MOVER: interval of a sum from the intervals of its terms ----------------------------------------


def _mover(fit: Regression, estimand: Estimand) -> Interval:
    """Return the interval of OR_1 − OR_2 − OR_3 + 1 from the Wald intervals of three odds ratios.

    Parameters
    ----------
    fit
        A maximum or penalised likelihood fit.
    estimand
        A measure with `cotreat.estimands.measures.Measure.terms`, or the log synergy index.

    Returns
    -------
    Interval
        On the scale of the estimand.

    Notes
    -----
    Method of variance estimates recovery (MOVER): Zou, Am J Epidemiol 2008;168:212. The odds ratios are the
    `cotreat.estimands.measures.Measure.terms` of the measure. The log synergy index has no terms; its MOVER
    interval equals that of the delta method.
    """
    if estimand.synergy is None or not estimand.synergy.terms:
        delta = wald(fit, estimand)
        return Interval(delta.lower, delta.upper, "MOVER", delta.why_none)
    indicators = np.eye(len(fit.arms))[[fit.arms.index(arm) for arm in estimand.arms]]
    against = np.array([indicators[i] - indicators[j] for i, j in estimand.synergy.terms])
    rows = _direction(estimand) * against @ fit.design
    count = rows.shape[1]  # coefficients of covariates follow
    covariance = rows @ fit.covariance[:count, :count] @ rows.T
    se = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(se, se)
    log_terms = rows @ fit.coefficients[:count]
    terms = np.exp(log_terms)
    below, above = terms - np.exp(log_terms - Z * se), np.exp(log_terms + Z * se) - terms
    signs = np.array([1.0, -1.0, -1.0])
    down = signs * np.where(signs > 0, below, above)
    up = signs * np.where(signs > 0, above, below)
    value = signs @ terms + 1
    return Interval(
        float(value - np.sqrt(down @ correlation @ down)),
        float(value + np.sqrt(up @ correlation @ up)),
        "MOVER",
    )


METHODS: dict[str, Callable[[Regression, Estimand], Interval]] = {
    "profile": _profile,
    "MOVER": _mover,
}
"""Methods in addition to Wald and delta, by their names in `cotreat.estimands.measures.Family.interval_method`."""
