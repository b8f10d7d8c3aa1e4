"""E-values of the odds ratios of treatments that were not assigned at random.

The E-value of a ratio is the least strength of association, as a risk ratio, that an unmeasured confounder must
have with both treatment and outcome, conditional on what is adjusted for, to explain the ratio away (VanderWeele
& Ding, Ann Intern Med 2017;167:268). For a ratio of odds ratios no such bound exists.
"""

from itertools import compress
from typing import Any

import numpy as np
import pandas as pd

from cotreat.core.constants import IDENTIFIED, NOT_ESTIMABLE
from cotreat.estimands.enumerate import compared
from cotreat.estimands.estimand import ODDS_RATIO, RATIO, RISK
from cotreat.evidence.contrasts import KINDS, named_parts, question_of
from cotreat.evidence.reported import cohort_of
from cotreat.results.summary import POSTERIOR, REPORTED
from cotreat.study.regimens import WITHIN, Regimen, adds_one, parse
from cotreat.study.study import Study

COMMON = 0.15
"""Risk above which an outcome is common (VanderWeele & Ding 2017)."""

STANDARDISED = "risk ratio"
ROOT = "square root of the odds ratio, because the outcome is common"
RARE = "odds ratio, because the outcome is rare"
IF_COMMON = "square root of the odds ratio, if the outcome is common"
IF_RARE = "odds ratio, if the outcome is rare"

COLUMNS = ("source", "contrast", "stratum", "judged_on", "status", "odds_ratio", "lower", "upper")
E_VALUES = ("as_risk_ratio", "nearer_limit", "from", "e_value", "e_value_limit")
Array = Any


def e_value(ratio: Array) -> Array:
    """Return the E-value of a risk ratio.

    Parameters
    ----------
    ratio
        One below 1 is inverted.

    Returns
    -------
    float or ndarray
        At least 1.

    Notes
    -----
    RR + √(RR (RR − 1)) (VanderWeele & Ding 2017).

    Examples
    --------
    >>> round(float(e_value(3.9)), 2)
    7.26
    """
    away = np.maximum(ratio, 1 / np.asarray(ratio, dtype=float))
    return away + np.sqrt(away * (away - 1))


def nearer_limit(lower: float, upper: float) -> float:
    """Return the limit of a ratio's interval that is nearer 1; 1 where the interval includes it.

    Parameters
    ----------
    lower, upper
        Limits of the interval.

    Returns
    -------
    float
    """
    return lower if lower > 1 else min(upper, 1.0)


def is_common(study: Study, summary: pd.DataFrame) -> bool:
    """Whether any regimen's risk exceeds `COMMON`: the counted share, otherwise the posterior median.

    Parameters
    ----------
    study
        With its counts.
    summary
        Of a fit.

    Returns
    -------
    bool
    """
    if study.counted and not study.has_uncounted:
        return bool((study.events / study.n > COMMON).any())
    rows = summary[(summary.estimator == POSTERIOR) & (summary.measure == RISK)]
    labels = [
        WITHIN.join(filter(None, one)) for one in zip(rows.contrast, rows.stratum, strict=True)
    ]
    present = [label in study.present for label in labels]
    return bool((rows[present].estimate > COMMON).any())


def of_ratios(study: Study, summary: pd.DataFrame) -> pd.DataFrame:
    """Return the E-values of each odds ratio: of its estimate, and of the limit nearer the null.

    Parameters
    ----------
    study
        With a treatment that was not assigned at random.
    summary
        Of a fit. Included are all reported odds ratios and, of the posterior's, those between regimens that
        patients may have if they are identified or compare a combination with the same without one treatment.
        Those whose sides differ in randomised treatments only are left out, because they are not confounded.

    Returns
    -------
    pandas.DataFrame
        Columns ``source``, ``contrast``, ``stratum``, ``judged_on``, ``status``, ``odds_ratio``, ``lower``, ``upper``, the
        risk ratio and its nearer limit (``as_risk_ratio``, ``nearer_limit``), their derivation in words
        (``from``), and the E-values ``e_value`` and ``e_value_limit``. In a case-control study each odds
        ratio has two rows, because the data do not show whether the outcome is rare.
    """
    common = None if study.is_case_control else is_common(study, summary)
    ratios = summary[(summary.estimator == POSTERIOR) & (summary.measure == RATIO)]
    risk_ratios = {(row.contrast, row.stratum): row for row in ratios.itertuples()}
    rows = []
    sides = _sides(study)
    odds_ratios = summary[summary.measure == ODDS_RATIO]
    for row in odds_ratios.rename(
        columns={"estimator": "source", "estimate": "odds_ratio"}
    ).itertuples():
        compares = sides.get((row.contrast, row.stratum), [])
        is_random = compares and all(study.differ_at_random(*both) for both in compares)
        if is_random or not _is_asked(row, study):
            continue
        columns = {name: getattr(row, name) for name in COLUMNS}
        risk_ratio = risk_ratios.get((row.contrast, row.stratum))
        if row.source == REPORTED or (risk_ratio and risk_ratio.status != row.status):
            risk_ratio = None  # the odds ratio may be identified where the risks are not
        ends = np.array([row.odds_ratio, row.lower, row.upper], dtype=float)
        if risk_ratio is not None and common is not None:
            ratio = [risk_ratio.estimate, risk_ratio.lower, risk_ratio.upper]
            cases = {STANDARDISED: np.array(ratio, dtype=float)}
        elif common is None:
            cases = {IF_COMMON: np.sqrt(ends), IF_RARE: ends}
        else:
            cases = {ROOT: np.sqrt(ends)} if common else {RARE: ends}
        for derivation, (estimate, lower, upper) in cases.items():
            limit = nearer_limit(lower, upper)
            of_ratio = {"as_risk_ratio": estimate, "nearer_limit": limit, "from": derivation}
            of_ratio |= {
                "e_value": float(e_value(estimate)),
                "e_value_limit": float(e_value(limit)),
            }
            rows.append(columns | of_ratio)
    rows.sort(key=lambda row: (row["source"] == REPORTED, row["status"] != IDENTIFIED))
    return pd.DataFrame(rows, columns=[*COLUMNS, *E_VALUES])


def _sides(study: Study) -> dict[tuple[str, str], list[tuple[list[Regimen], list[Regimen]]]]:
    """Return the regimens on both sides of each contrast, by contrast and stratum.

    A contrast of regimens and one of sets may have the same text, such as ``A vs B``: both are listed.
    """
    found = {key: [([parse(arm)], [parse(base)])] for key, (arm, base) in compared(study).items()}
    cohort = cohort_of(study)
    for meaning in (one.meaning for one in study.reported_estimates if one.meaning is not None):
        measure, contrast, _ = question_of(meaning)
        if measure == ODDS_RATIO and study.distinguishes(named_parts(meaning)):
            members = cohort.sides(KINDS[meaning.kind].holds, meaning.words)
            first, second = ([*compress(cohort.arms, side)] for side in members)
            found.setdefault((contrast, ""), []).append((first, second))
    return found


def _is_asked(row: Any, study: Study) -> bool:
    if not np.isnan(row.threshold) or row.status == NOT_ESTIMABLE:
        return False
    if row.source == REPORTED:
        return True
    arms = compared(study).get((row.contrast, row.stratum), ("", ""))
    if row.source != POSTERIOR or not set(arms) <= set(study.present):
        return False
    return row.status == IDENTIFIED or adds_one(*arms)
