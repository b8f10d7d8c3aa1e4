"""One table of every estimand: posterior and maximum likelihood in the same columns."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cotreat.core.constants import (
    CREDIBLE,
    FIXED,
    GIVEN_NONE,
    IMPLIED,
    INTERVAL,
    NOT_IDENTIFIED,
    SUMMARY_COLUMNS,
)
from cotreat.estimands.enumerate import enumerate_estimands
from cotreat.estimands.estimand import (
    DIFFERENCE,
    NEEDED,
    SIZE,
    Estimand,
    RiskDraws,
    is_beyond_null,
    risk_draws_of,
)
from cotreat.estimands.identification import Identification, Status
from cotreat.evidence import contrasts
from cotreat.evidence.protocol import Evidences
from cotreat.evidence.reported import ReportedEstimates, reported_in
from cotreat.evidence.statistics import statistic_of
from cotreat.frequentist.fit import fit_frequentist
from cotreat.frequentist.intervals import intervals
from cotreat.frequentist.logistic import Regression
from cotreat.inference.record import Fit
from cotreat.models.registry import Model
from cotreat.study.regimens import contrast, group_of, parse, without_group
from cotreat.study.study import Meaning, ReportedEstimate, Study

POSTERIOR = "posterior"
PRIOR = "prior"
REPORTED = "reported"
LIKELIHOOD = "maximum likelihood"
PENALISED = "penalised likelihood"
MAX_UNDEFINED = 0.01
"""Share of undefined draws from which on a synergy index gets no estimate."""

Row = dict[str, Any]


def summarise(
    study: Study,
    model: Model,
    evidence: Evidences,
    *,
    prior: RiskDraws,
    posterior: RiskDraws,
    likelihood: Regression | None,
    labels: dict[str, str],
    thresholds: Sequence[float] = (),
) -> pd.DataFrame:
    """Answer every estimand by posterior and by maximum likelihood.

    Parameters
    ----------
    evidence
        What the study resolves to.
    prior, posterior
        What estimands are asked of: draws of ``risk``, dims (chain, draw, arm), and of what stands
        with it in `cotreat.estimands.estimand.waist_of`.
    likelihood
        The same model without priors; None where no regimen is counted.
    labels
        ``model``, ``priors`` and ``interpretation``, repeated in each row.
    thresholds
        Odds ratios for which P(odds ratio > threshold) is wanted besides P(odds ratio > 1).

    Returns
    -------
    pandas.DataFrame
        One row for each estimand, event or non-event, co-treatment, estimator and interval, with the columns
        of `cotreat.core.constants.SUMMARY_COLUMNS`. Estimates of the posterior are medians, with the standard
        deviation ``sd`` of the draws; what is not estimable has none, and ``reason`` says why. Where reported
        estimates are evidence, the prior of each estimand and of the arm sizes, and the reported estimates
        themselves, are rows too.

    Notes
    -----
    ``probability`` is oriented so that high favours what is asked. Of a measure of synergy it is P(synergy),
    the measure beyond its null, on the event or non-event that ``judged_on`` names; it is missing where
    synergy is not judged on that. Of other contrasts it is the probability that the contrast lies above its
    null, P(OR > 1) for an odds ratio, or above ``threshold`` where there is one. ``prior_probability`` is
    the same under the prior.
    ``posterior_contraction``, 1 − (interquartile range of the posterior / that of the prior)², is given of
    logarithms of odds ratios and of ratios of odds ratios alone: only these are contrasts of the log-odds on
    which priors and evidence act.
    """
    numbers = reported_in(evidence)
    rows: list[Row] = []
    identification = Identification(study, model, posterior, evidence)
    for estimand in enumerate_estimands(study, model, evidence):
        status = identification.of(estimand)
        own = list(_posterior_rows(estimand, status, prior, posterior, thresholds))
        rows += own + list(_needed_to_treat(estimand, status, own[0], study))
        if numbers is not None:
            rows += _prior_rows(estimand, own[0], prior)
            rows += _reported_rows(estimand, own[0], numbers)
        if likelihood is not None and not estimand.reported_estimate:
            rows += _likelihood_rows(estimand, likelihood, study)
    if numbers is not None:
        rows += _size_rows(study, prior, posterior)
    table = pd.DataFrame(rows).assign(study=study.id, **labels)
    return table[list(SUMMARY_COLUMNS)]


def summary_of(fit: Fit, thresholds: Sequence[float] = ()) -> pd.DataFrame:
    """Answer every estimand by the posterior of a fit and by maximum likelihood.

    Parameters
    ----------
    thresholds
        Odds ratios for which P(odds ratio > threshold) is wanted besides P(odds ratio > 1).

    Returns
    -------
    pandas.DataFrame
        What `summarise` returns.
    """
    return summarise(
        fit.study,
        fit.model,
        fit.evidence,
        prior=risk_draws_of(fit.prior),
        posterior=risk_draws_of(fit.posterior),
        likelihood=fit_frequentist(fit.study, fit.model, fit.evidence),
        labels={
            "model": fit.model.name,
            "priors": fit.priors.name,
            "interpretation": fit.interpretation,
        },
        thresholds=thresholds,
    )


def rows_of(summary: pd.DataFrame, measure: str, regimen: str, against: str = "") -> pd.DataFrame:
    """Return the rows of a summary on a regimen, or on one against another of the same stratum.

    Parameters
    ----------
    measure
        ``risk``, ``size``, ``odds_ratio``, …, without a threshold.
    regimen, against
        Labels of regimens, as `cotreat.study.regimens.label` writes them.
    """
    named = without_group(regimen)
    if against:
        named = contrast(named, without_group(against))
    is_own = (summary.measure == measure) & (summary.contrast == named)
    return summary[is_own & (summary.stratum == group_of(regimen)) & summary.threshold.isna()]


def _row(estimand: Estimand, estimator: str, risk_kind: str, status: Status) -> Row:
    return {
        **_named(estimand),
        **status.columns,
        "estimator": estimator,
        "risk_kind": risk_kind,
        **dict.fromkeys(("estimate", "sd", "lower", "upper"), np.nan),
        "interval": "",
        **_no_probability(),
    }


def _named(estimand: Estimand) -> Row:
    """Return the columns that name an estimand."""
    threshold = np.nan if estimand.threshold is None else estimand.threshold
    own = {"unit": estimand.unit, "threshold": threshold, "label": estimand.label}
    return {**estimand.columns, **own}


# --- Posterior -----------------------------------------------------------------------------------


def _posterior_rows(
    estimand: Estimand,
    status: Status,
    prior: RiskDraws,
    posterior: RiskDraws,
    thresholds: Sequence[float],
) -> Iterator[Row]:
    row = _row(estimand, POSTERIOR, estimand.risk_kind(posterior), status)
    if not status.is_estimable:
        yield row
        return
    if status.name == FIXED:
        yield {**row, "estimate": estimand.null}
        return
    before, after = _draws(estimand, prior), _draws(estimand, posterior)
    if status.name == IMPLIED:
        yield {**row, **_interval(after, GIVEN_NONE)}
        return
    yield {
        **row,
        **_interval(after),
        **_probability(estimand, prior, posterior),
        "posterior_contraction": _contraction(estimand, before, after),
    }
    if estimand.is_odds_ratio:
        for threshold in thresholds:
            yield {
                **row,
                **_named(replace(estimand, threshold=threshold)),
                "probability": float(np.mean(after > threshold)),
                "prior_probability": float(np.mean(before > threshold)),
            }


def _needed_to_treat(
    estimand: Estimand, status: Status, difference: Row, study: Study
) -> Iterator[Row]:
    """Give the number needed to treat that a risk difference stands for, if it is one.

    It is the inverse of the difference, positive for benefit (NNTB), negative for harm (NNTH), and
    between the two it passes through infinity, not through 0 (Altman, BMJ 1998;317:1309). So its
    estimate is the inverse of the difference's, never a mean of inverses, and where the difference's
    interval holds 0, the limits are a number of harm and one of benefit with infinity between them.
    """
    if estimand.measure != DIFFERENCE or not status.is_estimable:
        return
    sign = 1 if study.outcome.direction == "benefit" else -1
    with np.errstate(divide="ignore"):
        ends = np.sort(sign * np.array([difference["lower"], difference["upper"]]))
        lower, upper = 1 / ends[::-1] if ends[0] * ends[1] > 0 else 1 / ends
        estimate = float(np.divide(sign, difference["estimate"]))
    through = (
        "" if ends[0] * ends[1] > 0 else f", {_needed(upper)} through infinity to {_needed(lower)}"
    )
    yield {
        **difference,
        **_named(replace(estimand, measure=NEEDED, unit="patients")),
        **_no_probability(),
        "estimate": estimate,
        "sd": np.nan,
        "lower": float(lower),
        "upper": float(upper),
        "interval": difference["interval"] + through,
    }


def _needed(value: float) -> str:
    return f"NNT{'B' if value > 0 else 'H'} {abs(value):.3g}"


def _draws(estimand: Estimand, risk: RiskDraws) -> NDArray[np.float64]:
    return estimand.values(risk).values.ravel()


def _interval(draws: NDArray[np.float64], label: str = CREDIBLE) -> Row:
    undefined = float(np.isnan(draws).mean())
    if undefined >= MAX_UNDEFINED:
        return {"interval": f"not shown: undefined in {undefined:.0%} of draws"}
    tail = (1 - INTERVAL) / 2
    lower, median, upper = np.nanquantile(draws, [tail, 0.5, 1 - tail])
    sd = float(np.nanstd(draws, ddof=1)) if draws.size > 1 else np.nan
    return {"estimate": median, "sd": sd, "lower": lower, "upper": upper, "interval": label}


def _probability(estimand: Estimand, prior: RiskDraws, posterior: RiskDraws) -> Row:
    if estimand.null is None or not estimand.is_judged:
        return {}
    return {
        "probability": float(is_beyond_null(estimand, posterior).mean()),
        "prior_probability": float(is_beyond_null(estimand, prior).mean()),
    }


def _contraction(
    estimand: Estimand, before: NDArray[np.float64], after: NDArray[np.float64]
) -> float:
    if not _is_contrast_of_log_odds(estimand):
        return np.nan
    return float(1 - (_iqr(np.log(after)) / _iqr(np.log(before))) ** 2)


def _is_contrast_of_log_odds(estimand: Estimand) -> bool:
    if estimand.synergy is not None:
        return estimand.synergy.is_contrast
    return estimand.log and not estimand.needs_risks


def _iqr(draws: NDArray[np.float64]) -> float:
    lower, upper = np.quantile(draws, [0.25, 0.75])
    return float(upper - lower)


# --- Reported estimates ------------------------------------------------------------------------------


def _prior_rows(estimand: Estimand, posterior: Row, prior: RiskDraws) -> Iterator[Row]:
    """Give the prior of an estimand that has a posterior interval."""
    if not np.isnan(posterior["lower"]):
        draws = _interval(_draws(estimand, prior), CREDIBLE)
        yield {**posterior, "estimator": PRIOR, **_no_probability(), **draws}


def _no_probability() -> Row:
    return dict.fromkeys(("probability", "prior_probability", "posterior_contraction"), np.nan)


def _reported_rows(estimand: Estimand, posterior: Row, numbers: ReportedEstimates) -> Iterator[Row]:
    """Give what is reported of an estimand, turned round where it is reported so."""
    for reported_estimate in numbers.odds_ratios:
        if reported_estimate.meaning is None or reported_estimate.ci is None:
            continue
        ends = [end.value for end in (reported_estimate.value, *reported_estimate.ci)]
        if _is_turned(estimand, reported_estimate):
            link = statistic_of(reported_estimate.kind).link
            ends = [float(link.back(-link.to(ends[at]))) for at in (0, 2, 1)]
        elif not _is_of(estimand, reported_estimate, reported_estimate.meaning):
            continue
        kind = {"wald": "Wald"}.get(reported_estimate.interval, reported_estimate.interval)
        yield {
            **posterior,
            "estimator": REPORTED,
            "risk_kind": "conditional" if reported_estimate.adjusted else "crude",
            **_no_probability(),
            "estimate": ends[0],
            "sd": np.nan,
            "lower": ends[1],
            "upper": ends[2],
            "interval": f"{reported_estimate.level:.0%} {kind}",
        }


def _is_of(estimand: Estimand, reported_estimate: ReportedEstimate, meaning: Meaning) -> bool:
    """Return whether a reported estimate with a meaning is one of an estimand.

    A set and a regimen may go by one name: "A" is all who got A, or those who got it alone.
    """
    question = contrasts.question_of(meaning, statistic_of(reported_estimate.kind))
    if meaning.kind != "regimens":
        own = (estimand.measure, estimand.contrast, estimand.pair)
        return bool(estimand.reported_estimate) and own == question
    if estimand.reported_estimate:
        return estimand.reported_estimate == reported_estimate.id
    return estimand.measure == question[0] and estimand.arms == meaning.words


def _is_turned(estimand: Estimand, reported_estimate: ReportedEstimate) -> bool:
    """Return whether a reported contrast of two regimens is the reverse of an estimand."""
    meaning = reported_estimate.meaning
    if meaning is None or meaning.kind != "regimens" or estimand.reported_estimate:
        return False
    return _is_of(estimand, reported_estimate, replace(meaning, words=meaning.words[::-1]))


def _size_rows(study: Study, prior: RiskDraws, posterior: RiskDraws) -> Iterator[Row]:
    """Give the sizes of the arms that nobody counted; what is known of them needs model and prior."""
    for name, arms in _sized(study).items():
        before, after = (
            risk_draws["size"].sel(present=arms).sum("present").values.ravel()
            for risk_draws in (prior, posterior)
        )
        if np.ptp(before) < 1e-9 * before.max():
            continue  # the totals leave but one
        estimand = Estimand(
            SIZE,
            (),
            np.asarray,
            contrast=without_group(name),
            stratum=group_of(name),
            judged_on="",
            unit="patients" if study.totals else "share",
        )
        row = _row(estimand, POSTERIOR, "", Status(NOT_IDENTIFIED))
        yield {**row, **_interval(after)}
        yield {**row, "estimator": PRIOR, **_interval(before)}


def _sized(study: Study) -> dict[str, list[str]]:
    """Name the arms that nobody counted, and with all arms of theirs each level and subgroup."""
    found = {arm: [arm] for arm in study.present if arm not in study.counted}
    for part in study.stratification.names if study.stratification else ():
        found[f"all with {part}"] = [arm for arm in study.present if part in parse(arm)]
    return found


# --- Maximum likelihood ---------------------------------------------------------------------------


def _likelihood_rows(estimand: Estimand, likelihood: Regression, study: Study) -> Iterator[Row]:
    """Give maximum likelihood, and penalised likelihood where separation leaves it without a maximum."""
    status = likelihood.status(estimand)
    yield from _rows_of(estimand, LIKELIHOOD, likelihood, status, study)
    if likelihood.is_separated(estimand):
        own = likelihood.penalised
        yield from _rows_of(estimand, PENALISED, own, own.status(estimand), study)


def _rows_of(
    estimand: Estimand, estimator: str, fit: Regression, status: Status, study: Study
) -> Iterator[Row]:
    row = _row(estimand, estimator, fit.risk_kind(estimand), status)
    if not status.is_estimable:
        yield row
        return
    row["estimate"] = fit.estimate(estimand)
    if status.name == FIXED:
        yield row
        return
    rows = [
        {**row, "lower": interval.lower, "upper": interval.upper, "interval": interval.label}
        for interval in intervals(fit, estimand)
    ]
    yield from rows
    yield from _needed_to_treat(estimand, status, rows[0], study)
