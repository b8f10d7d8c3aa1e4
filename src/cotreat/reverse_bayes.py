"""One odds ratio by itself under every belief, and the beliefs under which a finding falls.

A printed odds ratio alone is Normal(log OR, SE), and so is a belief about it: their posterior is known in
closed form. Reverse Bayes asks the other way round, which prior would just undo a finding (Good 1950;
Matthews, R Soc Open Sci 2018;5:171047; Held et al., Res Synth Methods 2022;13:295).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.special import ndtr

from cotreat.adjusted import fit_adjusted
from cotreat.catalogue import Model
from cotreat.estimands import enumerate_estimands, is_combination_ratio
from cotreat.evidence import claims, contrasts
from cotreat.frequentist import fit_likelihood
from cotreat.intervals import Z, wald
from cotreat.names import INTERVAL, is_undefined
from cotreat.priors import BELIEFS, PriorSet, of_pairs, prior_set
from cotreat.study import Study
from cotreat.summary import LIKELIHOOD


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


@dataclass(frozen=True)
class Observed:
    """An odds ratio with its 95 % interval, as an observation of the log odds ratio.

    Attributes
    ----------
    label : str
        As estimands are called: ``odds_ratio[A+B vs B]``.
    source : str
        Id of the claim, or the estimator.
    log : Normal
        Log odds ratio and its standard error.
    """

    label: str
    source: str
    estimate: float
    lower: float
    upper: float
    log: Normal


# --- Under each belief --------------------------------------------------------------------------------


def odds_ratios_of(study: Study, model: Model) -> list[Observed]:
    """List the odds ratios of a study that come with an interval.

    Those that are printed; or else, of regimens that were counted and differ by one treatment, the
    maximum likelihood estimates under `model`.
    """
    numbers = claims.printed(study)
    found = []
    for claim in numbers.odds_ratios if numbers is not None else ():
        if claim.meaning is not None and claim.ci is not None:
            log = Normal(claims.log_estimate(claim), claims.standard_error(claim))
            ends = [end.value for end in claim.ci]
            if claim.level != INTERVAL:  # to that of all other intervals
                ends = [float(end) for end in np.exp(log.interval)]
            name = contrasts.label(claim.meaning)
            found.append(Observed(name, claim.id, claim.value.value, ends[0], ends[1], log))
    return found or list(_estimated(study, model))


def _estimated(study: Study, model: Model) -> Iterator[Observed]:
    if not study.counted:
        return
    fit = fit_adjusted(study, model) if study.is_adjusted else fit_likelihood(study, model)
    for estimand in enumerate_estimands(study, model):
        is_counted = set(estimand.arms) <= set(study.counted)
        if not (is_counted and is_combination_ratio(estimand)):
            continue
        if is_undefined(fit.availability(estimand)):
            continue
        estimate, interval = fit.estimate(estimand), wald(fit, estimand)
        if interval.lower > 0 and np.isfinite(interval.upper):
            sd = float(np.log(interval.upper / interval.lower)) / (2 * Z)
            log = Normal(float(np.log(estimate)), sd)
            ends = (interval.lower, interval.upper)
            yield Observed(estimand.label, LIKELIHOOD, estimate, *ends, log)


def under_beliefs(study: Study, odds_ratios: Sequence[Observed]) -> pd.DataFrame:
    """Update each belief of the grid by each odds ratio alone, in closed form.

    Returns
    -------
    pandas.DataFrame
        One row for each odds ratio and belief about it: prior mean and SD of its log, posterior odds
        ratio with interval, and P(odds ratio > 1) before and after.
    """
    rows = []
    for one in odds_ratios:
        for belief in BELIEFS:
            row = prior_set(f"grid:{belief}", study)["beta"]
            prior = Normal(float(row.mu or 0), float(row.sigma or np.nan))
            after = prior.given(one.log)
            rows.append(
                {
                    "odds ratio": one.label,
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
            )
    return pd.DataFrame(rows)


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


def _bracket(curve: pd.DataFrame, name: str, threshold: float) -> tuple[float, float] | None:
    """Return the widest SD that is below the threshold with a wider one that is not, and the next."""
    own = curve[[SD, name]].dropna()
    sds, over = own[SD].to_numpy(), own[name].to_numpy() >= threshold
    rises = np.flatnonzero(~over[:-1] & over[1:])
    return (float(sds[rises[-1]]), float(sds[rises[-1] + 1])) if len(rises) else None


def _critical(curve: pd.DataFrame, name: str, threshold: float) -> Critical:
    own = curve[[SD, name]].dropna().set_index(SD)[name]
    ends = _bracket(curve, name, threshold)
    if own.empty:
        return Critical(name, threshold, np.nan, "no fit can be used")
    if ends is not None:
        sd = _between(own, ends, threshold)
        reach = float(np.exp(Z * sd))
        return Critical(
            name,
            threshold,
            sd,
            f"falls below {threshold:g} where the prior SD is under {sd:.2f}, that is, for whoever takes "
            f"ratios of odds ratios beyond {reach:.2f} or below {1 / reach:.2f} for all but impossible",
        )
    if (own >= threshold).all():
        narrow = f"{own.index[0]:g}"
        return Critical(
            name,
            threshold,
            np.nan,
            f"none: at least {threshold:g} even with a prior SD of {narrow}",
        )
    if (own < threshold).all():
        best = f"{own.max():.3f} at most, with a prior SD of {own.idxmax():g}"
        return Critical(
            name, threshold, np.nan, f"none: below {threshold:g} with every prior SD tried, {best}"
        )
    wide = f"{own.index[own.to_numpy() >= threshold][-1]:g}"
    return Critical(
        name,
        threshold,
        np.nan,
        f"none: at least {threshold:g} only with a prior SD of {wide} or less",
    )


def _between(own: pd.Series, ends: tuple[float, float], threshold: float) -> float:
    """Interpolate on the logarithm of the SD."""
    low, high = np.log(ends)
    below, above = own[ends[0]], own[ends[1]]
    return float(np.exp(low + (high - low) * (threshold - below) / (above - below)))
