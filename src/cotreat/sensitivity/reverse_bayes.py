"""Reverse Bayes: the sceptical prior that makes an odds ratio not conclusive.

Reverse Bayes finds the prior with which a result would just not be conclusive (Good, Probability and the Weighing of
Evidence, 1950; Matthews, R Soc Open Sci 2018;5:171047; Held et al., Res Synth Methods 2022;13:295).
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cotreat.core.constants import INTERVAL
from cotreat.estimands.enumerate import enumerate_estimands, reported_label
from cotreat.estimands.estimand import is_combination_ratio
from cotreat.evidence.protocol import Evidences
from cotreat.evidence.reported import link_value, reported_in, standard_error
from cotreat.evidence.resolve import resolve
from cotreat.evidence.statistics import ODDS_RATIO
from cotreat.frequentist.g_computation import fit_frequentist
from cotreat.frequentist.intervals import Z, wald
from cotreat.models.registry import Model
from cotreat.results.summary import LIKELIHOOD
from cotreat.study.study import Study


class OddsRatio(NamedTuple):
    """An odds ratio with its 95 % interval.

    Attributes
    ----------
    label : str
        Label of the estimand: ``odds ratio, A+B vs B``.
    source : str
        Id of the reported estimate, or the estimator.
    estimate, lower, upper : float
    """

    label: str
    source: str
    estimate: float
    lower: float
    upper: float


def odds_ratios_of(study: Study, model: Model) -> list[OddsRatio]:
    """List the odds ratios of a study that have an interval.

    Parameters
    ----------
    study
        With its evidence.
    model
        For maximum likelihood.

    Returns
    -------
    list of OddsRatio
        The reported ones; without any, the maximum likelihood estimates between counted regimens that differ by
        one treatment.
    """
    evidence = resolve(study)
    return list(_reported(evidence)) or list(_by_likelihood(study, model, evidence))


def _reported(evidence: Evidences) -> Iterator[OddsRatio]:
    numbers = reported_in(evidence)
    for estimate in numbers.with_interval if numbers is not None else ():
        is_ratio = estimate.kind == ODDS_RATIO.name
        if is_ratio and estimate.meaning is not None and estimate.ci is not None:
            lower, upper = (end.value for end in estimate.ci)
            if estimate.level != INTERVAL:  # at the level of all other intervals
                margin = Z * standard_error(estimate) * np.array([-1, 1])
                lower, upper = map(float, np.exp(link_value(estimate) + margin))
            label = reported_label(estimate.meaning)
            yield OddsRatio(label, estimate.id, estimate.value.value, lower, upper)


def _by_likelihood(study: Study, model: Model, evidence: Evidences) -> Iterator[OddsRatio]:
    fit = fit_frequentist(study, model, evidence)
    if fit is None:
        return
    for estimand in enumerate_estimands(study, model, evidence):
        is_counted = set(estimand.arms) <= set(study.counted)
        if is_counted and is_combination_ratio(estimand) and fit.status(estimand).is_estimable:
            interval = wald(fit, estimand)
            if interval.lower > 0 and np.isfinite(interval.upper):
                limits = (interval.lower, interval.upper)
                yield OddsRatio(estimand.label, LIKELIHOOD, fit.estimate(estimand), *limits)


def critical_odds_ratio(lower: float, upper: float) -> float:
    """Return the critical odds ratio: the end of the sceptical prior interval whose posterior just reaches 1.

    Parameters
    ----------
    lower, upper
        Limits of the 95 % interval of an odds ratio.

    Returns
    -------
    float
        Above 1 where the interval lies above 1, below 1 where it lies below; NaN where it includes 1.

    Notes
    -----
    exp{(ln(U/L))² / (4 √(ln U ln L))} (Matthews, R Soc Open Sci 2018;5:171047): the sceptical prior is centred
    at 1, with 95 % between the inverse of the critical odds ratio and the critical odds ratio.
    """
    low, high = np.log([lower, upper])
    if low * high <= 0:
        return float("nan")
    size = (high - low) ** 2 / (4 * np.sqrt(low * high))
    return float(np.exp(np.sign(low) * size))


def critical(odds_ratios: Sequence[OddsRatio]) -> pd.DataFrame:
    """List the critical sceptical prior of each odds ratio.

    Parameters
    ----------
    odds_ratios
        What `odds_ratios_of` returns.

    Returns
    -------
    pandas.DataFrame
        One row per odds ratio: the critical odds ratio, and whether the estimate lies beyond it.
    """
    rows: list[dict[str, Any]] = []
    for one in odds_ratios:
        limit = critical_odds_ratio(one.lower, one.upper)
        is_beyond = abs(np.log(one.estimate)) > abs(np.log(limit))
        verdict = f"the estimate lies {'beyond' if is_beyond else 'within'} it"
        rows.append(
            {
                "odds ratio": one.label,
                "from": one.source,
                "judged_on": "event",
                "estimate": one.estimate,
                "lower": one.lower,
                "upper": one.upper,
                "critical odds ratio": limit,
                "prior SD of its log": abs(float(np.log(limit))) / Z,
                "verdict": "the interval includes 1" if np.isnan(limit) else verdict,
            }
        )
    return pd.DataFrame(rows)
