"""One odds ratio by itself under every belief, and the beliefs under which a finding falls.

A printed odds ratio alone is Normal(log OR, SE), and so is a belief about it: their posterior is known in
closed form. Reverse Bayes asks the other way round, which prior would just undo a finding (Good 1950;
Matthews, R Soc Open Sci 2018;5:171047; Held et al., Res Synth Methods 2022;13:295).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtr

from cotreat.core.constants import INTERVAL
from cotreat.estimands.enumerate import enumerate_estimands, reported_label
from cotreat.estimands.estimand import is_combination_ratio
from cotreat.evidence import contrasts, reported
from cotreat.frequentist.g_computation import fit_adjusted
from cotreat.frequentist.intervals import Z, wald
from cotreat.frequentist.logistic import fit_likelihood
from cotreat.models.registry import Model
from cotreat.priors.sets import BELIEFS, PriorSet, believed, of_pairs
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
    numbers = reported.printed(study)
    found = []
    for claim in numbers.odds_ratios if numbers is not None else ():
        if claim.meaning is not None and claim.ci is not None:
            log = Normal(reported.log_estimate(claim), reported.standard_error(claim))
            ends = [end.value for end in claim.ci]
            if claim.level != INTERVAL:  # to that of all other intervals
                ends = [float(end) for end in np.exp(log.interval)]
            name = reported_label(claim.meaning)
            about, sign = _about(claim.meaning)
            value = claim.value.value
            found.append(Observed(name, claim.id, value, ends[0], ends[1], log, about, sign))
    return found or list(_estimated(study, model))


def _estimated(study: Study, model: Model) -> Iterator[Observed]:
    if not study.counted:
        return
    fit = fit_adjusted(study, model) if study.is_adjusted else fit_likelihood(study, model)
    for estimand in enumerate_estimands(study, model):
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


# --- The critical prior SD of an interaction -----------------------------------------------------------

SDS = (0.05, 0.1, 0.2, 0.35, 0.5, 1.0, 2.0)
"""Prior SDs of each pair's log ratio of odds ratios that are tried first: from ratios that stay within a
tenth of 1 to ratios up to 50."""

Probabilities = Callable[[Sequence[float]], list[dict[str, float]]]
"""P(synergy) of each interaction by name at each of several prior SDs; empty where the fit is bad."""


@dataclass(frozen=True)
class Critical:
    """Where P(synergy) of an interaction crosses a threshold as its prior narrows.

    Attributes
    ----------
    sd : float
        Prior SD below which the probability is below the threshold; NaN where there is none.
    words : str
        What that means, or why there is none.
    """

    interaction: str
    threshold: float
    sd: float
    words: str


def with_sd(priors: PriorSet, sd: float) -> PriorSet:
    """Return priors under which each pair's log ratio of odds ratios has mean 0 and a given SD."""
    reason = f"each pair's log ratio of odds ratios has a prior SD of {sd:.3g}"
    name = f"{priors.name}:sd-{sd:.4g}".replace(".", "_")
    return replace(priors, name=name, rows=of_pairs(priors.rows, 0.0, sd, reason))


def critical_sds(
    probabilities: Probabilities,
    thresholds: Sequence[float],
    *,
    sds: Sequence[float] = SDS,
    rounds: int = 2,
) -> tuple[pd.DataFrame, list[Critical]]:
    """Find the prior SD at which P(synergy) of each interaction falls below each threshold.

    Parameters
    ----------
    probabilities
        Fits, at several prior SDs at once.
    rounds
        How often each crossing is closed in on by another fit.

    Returns
    -------
    curve : pandas.DataFrame
        Prior SD, and P(synergy) of each interaction, a column each, missing where the fit is bad.
    found : list of Critical
        By interaction and threshold.
    """
    known: dict[float, dict[str, float]] = {}

    def learn(wanted: Sequence[float]) -> None:
        new = sorted({round(sd, 6) for sd in wanted} - set(known))
        known.update(zip(new, probabilities(new) if new else [], strict=True))

    learn(sds)
    for _ in range(rounds):
        curve = _curve(known)
        brackets = [_bracket(curve, n, t) for n in _names(curve) for t in thresholds]
        learn([float(np.exp(np.mean(np.log(ends)))) for ends in brackets if ends is not None])
    curve = _curve(known)
    return curve, [_critical(curve, name, t) for t in thresholds for name in _names(curve)]


SD = "prior SD"


def _curve(known: dict[float, dict[str, float]]) -> pd.DataFrame:
    return pd.DataFrame([{SD: sd, **known[sd]} for sd in sorted(known)])


def _names(curve: pd.DataFrame) -> list[str]:
    return [str(name) for name in curve.columns if name != SD]


def _turns(own: pd.Series, threshold: float) -> list[tuple[float, float]]:
    """Return the prior SDs, of those that were fitted, between which a curve comes to the other side."""
    told = own.dropna()
    sds, is_over = told.index.to_numpy(), told.to_numpy() >= threshold
    return [
        (float(sds[at]), float(sds[at + 1])) for at in np.flatnonzero(is_over[:-1] != is_over[1:])
    ]


def _is_gap(own: pd.Series, ends: tuple[float, float]) -> bool:
    """Tell whether an SD between two others was tried and could not be fitted."""
    return bool(own.loc[ends[0] : ends[1]].isna().any())


def _bracket(curve: pd.DataFrame, name: str, threshold: float) -> tuple[float, float] | None:
    """Return the neighbouring SDs between which the curve rises over a threshold, if it does so once."""
    own = curve.set_index(SD)[name]
    match _turns(own, threshold):
        case [ends] if own[ends[0]] < threshold and not _is_gap(own, ends):
            return ends
    return None


def _critical(curve: pd.DataFrame, name: str, threshold: float) -> Critical:
    own = curve.set_index(SD)[name]
    ends = _bracket(curve, name, threshold)
    if ends is not None:
        sd = _between(own, ends, threshold)
        reach = float(np.exp(Z * sd))
        words = (
            f"falls below {threshold:g} where the prior SD is under {sd:.2f}, that is, for whoever has ratios of "
            f"odds ratios beyond {reach:.2f} or below {1 / reach:.2f} outside about 95% of the prior"
        )
    else:
        sd, words = np.nan, _why_none(own, threshold)
    bad = int(own.isna().sum())
    if bad:
        words += f" ({bad} of the {len(own)} prior SDs tried could not be fitted)"
    return Critical(name, threshold, sd, words)


def _why_none(own: pd.Series, threshold: float) -> str:
    """Say how a curve lies about a threshold that it does not rise over once, between two SDs that were fitted."""
    told = own.dropna()
    is_over = told >= threshold
    if is_over.all():
        return f"none: at least {threshold:g} even with a prior SD of {told.index[0]:g}"
    if not is_over.any():
        best = f"{told.max():.3f} at most, with a prior SD of {told.idxmax():g}"
        return f"none: below {threshold:g} with every prior SD that was fitted, {best}"
    over = ", ".join(f"{sd:g}" for sd in told.index[is_over])
    turns = _turns(own, threshold)
    if len(turns) > 1:
        return (
            f"not told: the curve crosses {threshold:g} more than once, or lies within its Monte Carlo error; it is at "
            f"least {threshold:g} with prior SDs of {over}, and below with the others"
        )
    ((narrow, wide),) = turns
    if is_over.iloc[0]:
        return f"none: at least {threshold:g} only with a prior SD of {narrow:g} or less"
    return f"falls below {threshold:g} between prior SDs of {narrow:g} and {wide:g}, where no fit could be used"


def _between(own: pd.Series, ends: tuple[float, float], threshold: float) -> float:
    """Interpolate on the logarithm of the SD."""
    low, high = np.log(ends)
    below, above = own[ends[0]], own[ends[1]]
    return float(np.exp(low + (high - low) * (threshold - below) / (above - below)))
