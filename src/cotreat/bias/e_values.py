"""E-values: how strongly an unmeasured confounder would have to act to explain a number away.

For observational studies. Of a ratio, the E-value is the least strength of association, as a risk ratio, that
a confounder must have with both treatment and outcome, given all that is adjusted for (VanderWeele & Ding, Ann
Intern Med 2017;167:268). None is made of a ratio of odds ratios: no bound is known for it.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cotreat.core.constants import IDENTIFIED, NOT_ESTIMABLE
from cotreat.estimands.enumerate import compared
from cotreat.estimands.estimand import ODDS_RATIO, RATIO, RISK
from cotreat.results.summary import POSTERIOR, REPORTED
from cotreat.study.regimens import WITHIN, adds_one
from cotreat.study.study import Study

COMMON = 0.15
"""An outcome is common where any risk is above this (VanderWeele & Ding 2017)."""

STANDARDISED = "risk ratio"
ROOT = "square root of the odds ratio, the outcome being common"
RARE = "odds ratio, the outcome being rare"
IF_COMMON = "square root of the odds ratio, if the outcome is common"
IF_RARE = "odds ratio, if the outcome is rare"

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
        if row.estimator == REPORTED or (beside is not None and beside.status != row.status):
            beside = None  # what determines the odds ratio does not determine risks
        rows += [{**told, **one} for one in _e_values(row, beside, common)]
    rows.sort(key=lambda row: (row["source"] == REPORTED, row["status"] != IDENTIFIED))
    return pd.DataFrame(rows)


def _is_asked(row: Any, study: Study) -> bool:
    if not np.isnan(row.threshold) or row.status == NOT_ESTIMABLE:
        return False
    if row.estimator == REPORTED:
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
