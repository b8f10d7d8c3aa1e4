"""One odds ratio alone under every belief, and reverse Bayes: the prior that makes it inconclusive.

A reported log odds ratio is Normal(log OR, SE), and so is a belief about it: the posterior has a closed form.
Reverse Bayes finds the prior with which a result would just be inconclusive (Good 1950; Matthews, R Soc Open
Sci 2018;5:171047; Held et al., Res Synth Methods 2022;13:295).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr

from cotreat.core.constants import INTERVAL
from cotreat.estimands.enumerate import enumerate_estimands, reported_label
from cotreat.estimands.estimand import is_combination_ratio
from cotreat.evidence import contrasts
from cotreat.evidence.protocol import Evidences
from cotreat.evidence.reported import link_value, reported_in, standard_error
from cotreat.evidence.resolve import resolve
from cotreat.evidence.statistics import ODDS_RATIO
from cotreat.frequentist.g_computation import fit_frequentist
from cotreat.frequentist.intervals import Z, wald
from cotreat.models.registry import Model
from cotreat.priors.belief_grid import BELIEFS, stated_belief
from cotreat.results.summary import LIKELIHOOD
from cotreat.study.regimens import adds_one
from cotreat.study.study import Meaning, Study


@dataclass(frozen=True)
class Normal:
    """A normal distribution of a log odds ratio."""

    mean: float
    sd: float

    def given(self, data: "Normal") -> "Normal":
        """Return the posterior, with this distribution as prior: precisions add, and weight the means.

        Parameters
        ----------
        data
            Observation and its standard error, as a normal likelihood.

        Returns
        -------
        Normal
        """
        prior, likelihood = 1 / self.sd**2, 1 / data.sd**2
        mean = (prior * self.mean + likelihood * data.mean) / (prior + likelihood)
        return Normal(float(mean), float((prior + likelihood) ** -0.5))

    @property
    def above(self) -> float:
        """The probability of more than 0."""
        return float(ndtr(self.mean / self.sd))

    @property
    def interval(self) -> tuple[float, float]:
        """Its central 95 %."""
        return self.mean - Z * self.sd, self.mean + Z * self.sd


EFFECT, INTERACTION = "effect", "interaction"


@dataclass(frozen=True)
class ObservedRatio:
    """An odds ratio with its 95 % interval, as an observation of the log odds ratio.

    Attributes
    ----------
    label : str
        Label of the estimand: ``odds ratio, A+B vs B``.
    source : str
        Id of the reported estimate, or the estimator.
    estimate, lower, upper : float
    log : Normal
        Log odds ratio and its standard error.
    about : str
        `EFFECT` of one treatment, `INTERACTION` of a pair, or empty: no belief is stated on it.
    sign : int
        -1 for the inverse effect: a regimen against the same with one more treatment.
    """

    label: str
    source: str
    estimate: float
    lower: float
    upper: float
    log: Normal
    about: str
    sign: int = 1

    @property
    def names(self) -> dict[str, str]:
        """Columns that identify it in a table."""
        return {"odds ratio": self.label, "from": self.source, "judged_on": "event"}


# --- Odds ratios ---------------------------------------------------------------------------------------


def odds_ratios_of(study: Study, model: Model) -> list[ObservedRatio]:
    """List the odds ratios of a study that have an interval.

    Parameters
    ----------
    study
        With its evidence.
    model
        For maximum likelihood.

    Returns
    -------
    list of ObservedRatio
        The reported ones; without any, the maximum likelihood estimates between counted regimens that differ by
        one treatment.
    """
    evidence = resolve(study)
    numbers = reported_in(evidence)
    found = []
    for estimate in numbers.with_interval if numbers is not None else ():
        is_ratio = estimate.kind == ODDS_RATIO.name
        if is_ratio and estimate.meaning is not None and estimate.ci is not None:
            log = Normal(link_value(estimate), standard_error(estimate))
            lower, upper = (end.value for end in estimate.ci)
            if estimate.level != INTERVAL:  # at the level of all other intervals
                lower, upper = (float(end) for end in np.exp(log.interval))
            label, value = reported_label(estimate.meaning), estimate.value.value
            about = _about(estimate.meaning)
            found.append(ObservedRatio(label, estimate.id, value, lower, upper, log, *about))
    return found or list(_by_likelihood(study, model, evidence))


def _by_likelihood(study: Study, model: Model, evidence: Evidences) -> Iterator[ObservedRatio]:
    fit = fit_frequentist(study, model, evidence)
    if fit is None:
        return
    for estimand in enumerate_estimands(study, model, evidence):
        is_counted = set(estimand.arms) <= set(study.counted)
        if not (
            is_counted and is_combination_ratio(estimand) and fit.status(estimand).is_estimable
        ):
            continue
        estimate, interval = fit.estimate(estimand), wald(fit, estimand)
        if interval.lower > 0 and np.isfinite(interval.upper):
            sd = float(np.log(interval.upper / interval.lower)) / (2 * Z)
            log, limits = Normal(float(np.log(estimate)), sd), (interval.lower, interval.upper)
            yield ObservedRatio(estimand.label, LIKELIHOOD, estimate, *limits, log, EFFECT)


def _about(meaning: Meaning) -> tuple[str, int]:
    """Return what a reported estimate is about, and its direction; empty where no belief is stated on it."""
    if contrasts.KINDS[meaning.kind].holds == "treatments":
        return INTERACTION, 1
    if len(meaning.words) == 2:
        for (first, second), sign in ((meaning.words, 1), (meaning.words[::-1], -1)):
            is_regimens = meaning.kind == "regimens" and adds_one(first, second)
            if is_regimens or (meaning.kind == "sets" and second == f"not {first}"):
                return EFFECT, sign
    return "", 1


# --- Under each belief --------------------------------------------------------------------------------


def under_beliefs(study: Study, odds_ratios: Sequence[ObservedRatio]) -> pd.DataFrame:
    """Update each belief of the grid by each odds ratio alone, in closed form.

    Parameters
    ----------
    study
        With the directions of the beliefs.
    odds_ratios
        What `odds_ratios_of` returns; those about which no belief is stated are left out.

    Returns
    -------
    pandas.DataFrame
        One row per odds ratio and belief: prior mean and SD of its log, posterior odds
        ratio with interval, and P(odds ratio > 1) before and after.
    """
    about = [one for one in odds_ratios if one.about]
    return pd.DataFrame([_updated(study, one, belief) for one in about for belief in BELIEFS])


def _updated(study: Study, one: ObservedRatio, belief: str) -> dict[str, Any]:
    mean, sd, _ = stated_belief(belief, one.about == EFFECT, study)
    prior = Normal(one.sign * mean, sd)
    after = prior.given(one.log)
    estimate, lower, upper = map(float, np.exp([after.mean, *after.interval]))
    return {
        **one.names,
        "about": one.about,
        "belief": belief,
        "prior mean (log)": prior.mean,
        "prior SD (log)": prior.sd,
        "posterior mean (log)": after.mean,
        "posterior SD (log)": after.sd,
        "estimate": estimate,
        "lower": lower,
        "upper": upper,
        "P(odds ratio > 1)": after.above,
        "prior P(odds ratio > 1)": prior.above,
    }


# --- The critical sceptical prior of an odds ratio -----------------------------------------------------


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


def critical(odds_ratios: Sequence[ObservedRatio]) -> pd.DataFrame:
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
    return pd.DataFrame([_critical(one) for one in odds_ratios])


def _critical(one: ObservedRatio) -> dict[str, Any]:
    limit = critical_odds_ratio(one.lower, one.upper)
    is_beyond = abs(np.log(one.estimate)) > abs(np.log(limit))
    verdict = f"the estimate lies {'beyond' if is_beyond else 'within'} it"
    return {
        **one.names,
        "estimate": one.estimate,
        "lower": one.lower,
        "upper": one.upper,
        "critical odds ratio": limit,
        "prior SD of its log": abs(float(np.log(limit))) / Z,
        "verdict": "the interval includes 1" if np.isnan(limit) else verdict,
    }
