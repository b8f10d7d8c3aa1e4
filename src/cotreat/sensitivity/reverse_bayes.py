"""One odds ratio by itself under every belief, and the beliefs under which a finding falls.

A printed odds ratio alone is Normal(log OR, SE), and so is a belief about it: their posterior is known in
closed form. Reverse Bayes asks the other way round, which prior would just undo a finding (Good 1950;
Matthews, R Soc Open Sci 2018;5:171047; Held et al., Res Synth Methods 2022;13:295).
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
from cotreat.evidence.reported import link_value, reported_in, standard_error
from cotreat.evidence.resolve import resolve
from cotreat.evidence.statistics import ODDS_RATIO, statistic_of
from cotreat.frequentist.fit import fit_frequentist
from cotreat.frequentist.intervals import Z, wald
from cotreat.models.registry import Model
from cotreat.priors.belief_grid import BELIEFS, believed
from cotreat.results.summary import LIKELIHOOD
from cotreat.study.regimens import adds_one
from cotreat.study.study import Meaning, Study


@dataclass(frozen=True)
class Normal:
    """A normal distribution, of a log odds ratio or of what is known of one."""

    mean: float
    sd: float

    def given(self, data: "Normal") -> "Normal":
        """Return the posterior, with this distribution as prior.

        Precisions add up, and the mean is weighted by them.
        """
        own, other = 1 / self.sd**2, 1 / data.sd**2
        mean = (own * self.mean + other * data.mean) / (own + other)
        return Normal(float(mean), float((own + other) ** -0.5))

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
class Observed:
    """An odds ratio with its 95 % interval, as an observation of the log odds ratio.

    Attributes
    ----------
    label : str
        As estimands are called: ``odds ratio, A+B vs B``.
    source : str
        Id of the claim, or the estimator.
    log : Normal
        Log odds ratio and its standard error.
    about : str
        `EFFECT` of one treatment, `INTERACTION` of a pair, or empty: what beliefs can be about.
    sign : int
        -1 for the effect upside down, of a regimen against itself with one treatment more.
    """

    label: str
    source: str
    estimate: float
    lower: float
    upper: float
    log: Normal
    about: str
    sign: int = 1


# --- Under each belief --------------------------------------------------------------------------------


def odds_ratios_of(study: Study, model: Model) -> list[Observed]:
    """List the odds ratios of a study that come with an interval.

    Those that are printed; or else, of regimens that were counted and differ by one treatment, the
    maximum likelihood estimates under `model`.
    """
    numbers = reported_in(resolve(study))
    found = []
    for reported_estimate in numbers.odds_ratios if numbers is not None else ():
        is_ratio = statistic_of(reported_estimate.kind) is ODDS_RATIO
        if is_ratio and reported_estimate.meaning is not None and reported_estimate.ci is not None:
            log = Normal(link_value(reported_estimate), standard_error(reported_estimate))
            ends = [end.value for end in reported_estimate.ci]
            if reported_estimate.level != INTERVAL:  # to that of all other intervals
                ends = [float(end) for end in np.exp(log.interval)]
            name = reported_label(reported_estimate.meaning)
            about, sign = _about(reported_estimate.meaning)
            value = reported_estimate.value.value
            found.append(
                Observed(name, reported_estimate.id, value, ends[0], ends[1], log, about, sign)
            )
    return found or list(_estimated(study, model))


def _estimated(study: Study, model: Model) -> Iterator[Observed]:
    evidence = resolve(study)
    fit = fit_frequentist(study, model, evidence)
    if fit is None:
        return
    for estimand in enumerate_estimands(study, model, evidence):
        is_counted = set(estimand.arms) <= set(study.counted)
        if not (is_counted and is_combination_ratio(estimand)):
            continue
        if not fit.status(estimand).is_estimable:
            continue
        estimate, interval = fit.estimate(estimand), wald(fit, estimand)
        if interval.lower > 0 and np.isfinite(interval.upper):
            sd = float(np.log(interval.upper / interval.lower)) / (2 * Z)
            log = Normal(float(np.log(estimate)), sd)
            ends = (interval.lower, interval.upper)
            yield Observed(estimand.label, LIKELIHOOD, estimate, *ends, log, EFFECT)


def _about(meaning: Meaning) -> tuple[str, int]:
    """Tell what a printed number is about, and which way round; about nothing that a belief is stated on."""
    kind = contrasts.KINDS[meaning.kind]
    if kind.holds == "treatments":
        return INTERACTION, 1
    if len(meaning.words) == 2:
        first, second = meaning.words
        if _is_effect(meaning.kind, first, second):
            return EFFECT, 1
        if _is_effect(meaning.kind, second, first):
            return EFFECT, -1
    return "", 1


def _is_effect(kind: str, first: str, second: str) -> bool:
    if kind == "regimens":
        return adds_one(first, second)
    return kind == "sets" and second == f"not {first}"


def under_beliefs(study: Study, odds_ratios: Sequence[Observed]) -> pd.DataFrame:
    """Update each belief of the grid by each odds ratio alone, in closed form.

    Numbers that are the effect of no one treatment and no interaction are left out: no belief is about them.

    Returns
    -------
    pandas.DataFrame
        One row for each odds ratio and belief about it: prior mean and SD of its log, posterior odds
        ratio with interval, and P(odds ratio > 1) before and after.
    """
    asked = [one for one in odds_ratios if one.about]
    return pd.DataFrame([_updated(study, one, belief) for one in asked for belief in BELIEFS])


def _updated(study: Study, one: Observed, belief: str) -> dict[str, Any]:
    mean, sd = believed(belief, study, of_effects=one.about == EFFECT)
    prior = Normal(one.sign * mean, sd)
    after = prior.given(one.log)
    return {
        "odds ratio": one.label,
        "from": one.source,
        "judged_on": "event",
        "about": one.about,
        "belief": belief,
        "prior mean (log)": prior.mean,
        "prior SD (log)": prior.sd,
        "data mean (log)": one.log.mean,
        "data SE (log)": one.log.sd,
        "posterior mean (log)": after.mean,
        "posterior SD (log)": after.sd,
        "estimate": float(np.exp(after.mean)),
        "lower": float(np.exp(after.interval[0])),
        "upper": float(np.exp(after.interval[1])),
        "P(odds ratio > 1)": after.above,
        "prior P(odds ratio > 1)": prior.above,
    }


# --- The critical sceptical prior of an odds ratio -----------------------------------------------------


def critical_odds_ratio(lower: float, upper: float) -> float:
    """Return how far from 1 the sceptic's interval ends whose posterior just reaches 1.

    Parameters
    ----------
    lower, upper
        Of the 95 % interval of an odds ratio.

    Returns
    -------
    float
        Above 1 where the interval lies above 1, below 1 where it lies below; NaN where it holds 1, for
        then nobody needs to be sceptical.

    Notes
    -----
    exp{(ln(U/L))² / (4 √(ln U ln L))} (Matthews, R Soc Open Sci 2018;5:171047): the sceptic's prior is
    centred at 1 with 95 % within the critical odds ratio and its inverse.
    """
    low, high = np.log([lower, upper])
    if low * high <= 0:
        return float("nan")
    size = (high - low) ** 2 / (4 * np.sqrt(low * high))
    return float(np.exp(np.sign(low) * size))


def critical(odds_ratios: Sequence[Observed]) -> pd.DataFrame:
    """List the critical sceptical prior of each odds ratio."""
    rows = []
    for one in odds_ratios:
        limit = critical_odds_ratio(one.lower, one.upper)
        further = abs(np.log(one.estimate)) > abs(np.log(limit))
        if np.isnan(limit):
            verdict = "the interval holds 1: no sceptic is needed"
        elif further:
            verdict = "the estimate itself lies beyond it"
        else:
            verdict = "the estimate itself lies within it"
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
                "verdict": verdict,
            }
        )
    return pd.DataFrame(rows)
