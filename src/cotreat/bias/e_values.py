"""E-values: how strongly an unmeasured confounder would have to act to explain a number away.

For observational studies. Of a ratio, the E-value is the least strength of association, as a risk ratio, that
a confounder must have with both treatment and outcome, given all that is adjusted for (VanderWeele & Ding, Ann
Intern Med 2017;167:268). Of an interaction it is that of effect heterogeneity on the scale of risk differences
(Mathur, Smith, Yoshida, Ding & VanderWeele, Int J Epidemiol 2022;51:1268). None is made of a ratio of odds
ratios: no bound is known for it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import brentq

from cotreat.core.constants import IDENTIFIED, INTERVAL, NOT_ESTIMABLE
from cotreat.estimands.enumerate import compared, enumerate_estimands
from cotreat.estimands.estimand import ODDS_RATIO, RATIO, RISK, Estimand, Waist, is_measure
from cotreat.estimands.identification import Identification
from cotreat.models.registry import Model
from cotreat.results.summary import POSTERIOR, PRINTED
from cotreat.study.regimens import WITHIN, adds_one
from cotreat.study.study import Study

COMMON = 0.15
"""An outcome is common where any risk is above this (VanderWeele & Ding 2017)."""
LARGEST = 1e6
"""No bias factor beyond this is looked for."""

STANDARDISED = "risk ratio"
ROOT = "square root of the odds ratio, the outcome being common"
RARE = "odds ratio, the outcome being rare"
IF_COMMON = "square root of the odds ratio, if the outcome is common"
IF_RARE = "odds ratio, if the outcome is rare"

ANY, SAME = "any", "the same"
"""Directions of confounding in the two strata of an interaction."""

Array = Any


def e_value(ratio: Array) -> Array:
    """Return the E-value of a risk ratio, RR + √(RR (RR − 1)), of one below 1 that of its inverse.

    Examples
    --------
    >>> round(float(e_value(3.9)), 2)
    7.26
    """
    away = np.maximum(ratio, 1 / np.asarray(ratio, dtype=float))
    return away + np.sqrt(away * (away - 1))


def nearer_limit(lower: float, upper: float) -> float:
    """Return the limit of a ratio's interval that is nearer 1; 1 where the interval holds it."""
    return lower if lower > 1 else min(upper, 1.0)


# --- Of ratios -------------------------------------------------------------------------------------


def is_common(study: Study, summary: pd.DataFrame) -> bool:
    """Tell whether any regimen's risk makes the outcome common: as counted, or as the posterior has it."""
    if study.counted and not study.has_uncounted:
        return bool((study.events / study.n > COMMON).any())
    rows = summary[(summary.estimator == POSTERIOR) & (summary.measure == RISK)]
    labels = [
        WITHIN.join(filter(None, one)) for one in zip(rows.contrast, rows.stratum, strict=True)
    ]
    present = [label in study.present for label in labels]
    return bool((rows[present].estimate > COMMON).any())


def of_ratios(study: Study, summary: pd.DataFrame) -> pd.DataFrame:
    """Return the E-value of each odds ratio: of its estimate, and of the limit nearer the null.

    Parameters
    ----------
    summary
        What `cotreat.results.summary.summarise` returns. Of the posterior's odds ratios those are taken that
        the evidence determines, and those of a combination against itself less one treatment, between
        regimens that patients may have; of those printed all.

    Returns
    -------
    pandas.DataFrame
        Columns ``source``, ``contrast``, ``stratum``, ``judged_on``, ``status``, ``odds_ratio``, ``lower``, ``upper``, what
        was taken as risk ratio and as its nearer limit (``as_risk_ratio``, ``nearer_limit``), ``from``, in
        words, and the E-values ``e_value`` and ``e_value_limit``. Of a case-control study each odds ratio
        has two rows, for its data cannot show whether the outcome is rare.
    """
    common = None if study.is_case_control else is_common(study, summary)
    ratios = summary[(summary.estimator == POSTERIOR) & (summary.measure == RATIO)]
    risk_ratios = {(row.contrast, row.stratum): row for row in ratios.itertuples()}
    rows = []
    for row in summary[summary.measure == ODDS_RATIO].itertuples():
        if not _is_asked(row, study):
            continue
        told = {
            "source": row.estimator,
            "contrast": row.contrast,
            "stratum": row.stratum,
            "judged_on": row.judged_on,
            "status": row.status,
            "odds_ratio": row.estimate,
            "lower": row.lower,
            "upper": row.upper,
        }
        beside = risk_ratios.get((row.contrast, row.stratum))
        if row.estimator == PRINTED or (beside is not None and beside.status != row.status):
            beside = None  # what determines the odds ratio does not determine risks
        rows += [{**told, **one} for one in _e_values(row, beside, common)]
    rows.sort(key=lambda row: (row["source"] == PRINTED, row["status"] != IDENTIFIED))
    return pd.DataFrame(rows)


def _is_asked(row: Any, study: Study) -> bool:
    if not np.isnan(row.threshold) or row.status == NOT_ESTIMABLE:
        return False
    if row.estimator == PRINTED:
        return True
    arms = compared(study).get((row.contrast, row.stratum), ("", ""))
    if row.estimator != POSTERIOR or not set(arms) <= set(study.present):
        return False
    return row.status == IDENTIFIED or adds_one(*arms)


def _e_values(row: Any, ratio: Any, common: bool | None) -> Iterator[dict[str, Any]]:
    """Yield what was taken as risk ratio, and its E-values, for each assumption that must be told."""
    ends = np.array([row.estimate, row.lower, row.upper], dtype=float)
    if ratio is not None and common is not None:
        ends = np.array([ratio.estimate, ratio.lower, ratio.upper], dtype=float)
        yield _as_row(ends, STANDARDISED)
    elif common is None:
        yield _as_row(np.sqrt(ends), IF_COMMON)
        yield _as_row(ends, IF_RARE)
    else:
        yield _as_row(np.sqrt(ends), ROOT) if common else _as_row(ends, RARE)


def _as_row(ends: NDArray[np.float64], words: str) -> dict[str, Any]:
    limit = nearer_limit(ends[1], ends[2])
    return {
        "as_risk_ratio": ends[0],
        "nearer_limit": limit,
        "from": words,
        "e_value": float(e_value(ends[0])),
        "e_value_limit": float(e_value(limit)),
    }


# --- Of interactions -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stratum:
    """Risks with and without an exposure in one stratum, and the share of it that is exposed.

    Attributes
    ----------
    with_, without, share : float or ndarray, shape (draw,)
    """

    with_: Array
    without: Array
    share: Array

    def least(self, factor: float) -> Array:
        """Bound the risk difference from below where confounding may have raised it by `factor`."""
        return np.maximum(-1, (self.with_ - self.without * factor) * self._shrunk(factor))

    def most(self, factor: float) -> Array:
        """Bound the risk difference from above where confounding may have lowered it by `factor`."""
        return np.minimum(1, (self.with_ * factor - self.without) * self._shrunk(factor))

    def _shrunk(self, factor: float) -> Array:
        return self.share + (1 - self.share) / factor


def least_contrast(one: Stratum, zero: Stratum, factors: tuple[float, float]) -> Array:
    """Bound the interaction contrast, risk difference in `one` less that in `zero`, from below.

    Parameters
    ----------
    factors
        Joint bias factor in each stratum, RR_XU RR_UY / (RR_XU + RR_UY − 1), that may have raised the risk
        difference in the first and lowered it in the second.

    Notes
    -----
    Ding & VanderWeele, Epidemiology 2016;27:368, for each stratum.
    """
    return one.least(factors[0]) - zero.most(factors[1])


def heterogeneity(
    one: Stratum, zero: Stratum, statistic: Callable[[Array], float] = float, direction: str = ANY
) -> float:
    """Return the E-value of a positive interaction contrast.

    Parameters
    ----------
    statistic
        Reduces the contrast to the number that is to be moved to 0, such as the median of its draws or a
        limit of its interval.
    direction
        In which confounding may work in the two strata: `ANY` (opposite ones, with the same strength,
        explain most) or `SAME` (one stratum without explains most).

    Returns
    -------
    float
        At least 1; 1 where the number is not positive as it stands.

    Notes
    -----
    As ``EValue::evalues.IC`` in R, with draws of the posterior in place of its large-sample intervals.
    """
    ways: tuple[Callable[[float], tuple[float, float]], ...] = (lambda b: (b, b),)
    if direction == SAME:
        ways = (lambda b: (b, 1.0), lambda b: (1.0, b))
    found = (
        _factor(lambda b, way=way: statistic(least_contrast(one, zero, way(b))))  # type: ignore[misc]
        for way in ways
    )
    return float(e_value(min(found)))


def _factor(bound: Callable[[float], float]) -> float:
    """Return the bias factor at which a bound that falls with it is 0."""
    upper = 1.0
    if bound(upper) <= 0:
        return 1.0
    while bound(upper) > 0:
        upper *= 2
        if upper > LARGEST:
            return np.inf
    return float(brentq(bound, 1.0, upper))


def of_interactions(study: Study, model: Model, waist: Waist) -> pd.DataFrame:
    """Return the E-value of each pair's interaction contrast on each background with patients in all cells.

    Each treatment is taken once as the exposure, whose effect is confounded, and once to make the strata.
    Strata are ordered so that the contrast's median is positive.

    Parameters
    ----------
    waist
        Draws of risks under `model`, and of the arms' sizes where nobody counted them.

    Returns
    -------
    pandas.DataFrame
        Columns ``pair``, ``co_treatment``, ``judged_on``, ``status``, ``exposure``, ``strata`` (against which the other one
        is compared), the contrast ``ic`` with ``lower`` and ``upper``, ``direction`` of the confounding in the
        strata, ``e_value`` and ``e_value_limit``. No rows where risks are not identified, or nowhere have all
        four cells patients.
    """
    columns = [
        "pair",
        "co_treatment",
        "judged_on",
        "status",
        "exposure",
        "strata",
        "ic",
        "lower",
        "upper",
    ]
    columns += ["direction", "e_value", "e_value_limit"]
    rows = []
    identification = Identification(study, model, waist)
    for estimand in enumerate_estimands(study, model):
        if is_measure(estimand, "ic") and estimand.judged_on == "event":
            status = identification.of(estimand)
            if status.is_estimable and set(estimand.arms) <= set(study.present):
                rows += list(_of_contrast(estimand, status.name, study, waist))
    return pd.DataFrame(rows, columns=columns)


def _of_contrast(
    estimand: Estimand, status: str, study: Study, waist: Waist
) -> Iterator[dict[str, Any]]:
    risk, size = _cells(estimand, study, waist)
    first, second = estimand.pair.split(":")
    for exposure, other in ((first, second), (second, first)):
        # Cells come in the order 00, 10, 01, 11 of the pair.
        at = (0, 1, 2, 3) if exposure == first else (0, 2, 1, 3)
        zero, one = (
            Stratum(risk[at[i + 1]], risk[at[i]], size[at[i + 1]] / (size[at[i]] + size[at[i + 1]]))
            for i in (0, 2)
        )
        strata = f"with {other} against without"
        if np.median(least_contrast(one, zero, (1.0, 1.0))) < 0:
            one, zero, strata = zero, one, f"without {other} against with"
        tail = (1 - INTERVAL) / 2
        contrast = least_contrast(one, zero, (1.0, 1.0))
        lower, median, upper = np.quantile(contrast, [tail, 0.5, 1 - tail])
        for direction in (ANY, SAME):
            value, limit = (
                heterogeneity(one, zero, partial(_quantile, q), direction) for q in (0.5, tail)
            )
            yield {
                "pair": estimand.pair,
                "co_treatment": estimand.co_treatment,
                "judged_on": estimand.judged_on,
                "status": status,
                "exposure": exposure,
                "strata": strata,
                "ic": median,
                "lower": lower,
                "upper": upper,
                "direction": direction,
                "e_value": value,
                "e_value_limit": limit,
            }


def _quantile(q: float, draws: Array) -> float:
    return float(np.quantile(draws, q))


def _cells(
    estimand: Estimand, study: Study, waist: Waist
) -> tuple[list[NDArray[np.float64]], list[Any]]:
    """Return the draws of the risks of four cells, and their sizes."""
    risks = estimand.reads(waist)
    risk = [risks.sel(arm=arm).values.ravel() for arm in estimand.arms]
    if set(estimand.arms) <= set(study.counted):
        n = dict(zip(study.counted, study.n, strict=True))
        return risk, [float(n[arm]) for arm in estimand.arms]
    return risk, [waist["size"].sel(present=arm).values.ravel() for arm in estimand.arms]
