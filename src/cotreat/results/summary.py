"""Summarise every estimand in one table: posterior, prior, reported and maximum likelihood estimates."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
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
from cotreat.estimands.margins import margin_of
from cotreat.evidence import contrasts
from cotreat.evidence.protocol import Evidences
from cotreat.evidence.reported import ReportedEstimates, reported_in
from cotreat.evidence.statistics import statistic_of
from cotreat.frequentist.g_computation import fit_frequentist
from cotreat.frequentist.intervals import intervals
from cotreat.frequentist.logistic import Regression
from cotreat.inference.record import Fit
from cotreat.models.registry import Model
from cotreat.results.information import LogOdds, data_share, overlap
from cotreat.results.monte_carlo import quantile_error, share_error
from cotreat.study.regimens import contrast, group_of, parse, without_group
from cotreat.study.study import Meaning, ReportedEstimate, Study

POSTERIOR = "posterior"
PRIOR = "prior"
REPORTED = "reported"
LIKELIHOOD = "maximum likelihood"
PENALISED = "penalised likelihood"
MAX_UNDEFINED = 0.01
"""Smallest share of undefined draws at which a synergy index has no estimate."""

Row = dict[str, Any]
Array = NDArray[np.float64]


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
    effective: float = np.nan,
) -> pd.DataFrame:
    """Summarise every estimand by posterior and by maximum likelihood.

    Parameters
    ----------
    study
        The study, under the interpretation and stratification of the fit.
    model
        The model that was fitted.
    evidence
        What the study resolves to.
    prior, posterior
        Draws of ``risk``, dims (chain, draw, arm), alone or with the other variables of
        `cotreat.estimands.estimand.RISK_VARIABLES`.
    likelihood
        The same model without priors; None where no regimen is counted.
    labels
        ``model``, ``priors`` and ``interpretation``, repeated in each row.
    thresholds
        Odds ratios for which P(odds ratio > threshold) is wanted besides P(odds ratio > 1).
    effective
        Effective sample size of the importance weights of the posterior draws; NaN where there are none.

    Returns
    -------
    pandas.DataFrame
        One row for each estimand, scale (event or non-event), co-treatment, estimator and interval. Where reported
        estimates are evidence, rows also hold the priors, the reported estimates and the uncounted arm sizes.
        Columns, in the order of `cotreat.core.constants.SUMMARY_COLUMNS`:

        ``measure``
            ``risk``, ``odds_ratio``, ``ror``, …, a name of `cotreat.estimands.measures.MEASURES` or
            `cotreat.estimands.estimand.WORDS`.
        ``contrast``
            The regimen, or the regimen against another, ``A+B vs B``; empty for measures of a pair.
        ``pair``
            The two treatments whose interaction is measured, ``A:B``; empty for others.
        ``co_treatment``
            The other study treatments of all patients: a regimen, ``none``, or ``any`` where the model holds
            the measure constant over them; empty where there is no pair.
        ``stratum``
            The subgroup, ``kidney=severe``; empty for all patients.
        ``scale``
            The reference model of no interaction; empty for other measures.
        ``judged_on``
            ``event`` or ``non-event``, whose risks enter the formula; empty for arm sizes.
        ``unit``
            ``risk``, ``ratio``, ``difference``, ``patients`` or ``share``.
        ``threshold``
            Odds ratio above which ``probability`` lies; missing for the null.
        ``status``, ``reason``
            Identification, one of `cotreat.core.constants.STATUSES`; why it is not estimable, or what is assumed.
        ``estimator``
            ``posterior``, ``prior``, ``reported``, ``maximum likelihood`` or ``penalised likelihood``.
        ``estimate``
            Median of the draws, or the point estimate; missing if not estimable.
        ``sd``
            Standard deviation of the draws, on the scale of the estimate; missing for other estimators.
        ``lower``, ``upper``, ``interval``
            Limits of the 95% interval, and its kind.
        ``mcse_estimate``, ``mcse_lower``, ``mcse_upper``
            Monte Carlo standard errors of posterior median and limits (`cotreat.results.monte_carlo`).
        ``risk_kind``
            ``crude``, ``implied``, ``standardised`` or ``conditional``.
        ``probability``
            Posterior probability, oriented so that high favours what is asked. Of a measure of interaction it is
            P(synergy): the measure lies above its null on ``judged_on``; it is missing on the scale on which synergy
            is not judged. Of another contrast it is the probability of lying above its null, P(OR > 1) for an
            odds ratio, or above ``threshold``.
        ``mcse_probability``
            Its Monte Carlo standard error.
        ``prior_probability``
            The same probability under the prior.
        ``margin``, ``margin_lower``, ``margin_upper``
            Of a measure that has a probability, the values that would not matter: ``declared`` in the study file
            or ``default`` (`cotreat.estimands.margins.margin_of`).
        ``probability_inside``, ``mcse_inside``, ``prior_probability_inside``
            Posterior probability that the measure lies inside the margin, its Monte Carlo standard error, and the
            same probability under the prior.
        ``overlap``
            Overlap of posterior and prior, from 0 to 1 (`cotreat.results.information.overlap`).
        ``data_share``
            Share of the posterior precision that comes from the data, from 0 to 1
            (`cotreat.results.information.data_share`).
        ``posterior_contraction``
            1 − (interquartile range of the posterior / that of the prior)², of the logarithms of odds ratios and of
            ratios of odds ratios only: these are contrasts of the log-odds on which priors and evidence act.
        ``model``, ``priors``, ``interpretation``, ``study``
            Names of what was fitted.
        ``label``
            Label for people; nothing is to be read back from it.
    """
    numbers = reported_in(evidence)
    rows: list[Row] = []
    draws = _Draws(study, prior, posterior, effective)
    identification = Identification(study, model, posterior, evidence)
    for estimand in enumerate_estimands(study, model, evidence):
        status = identification.of(estimand)
        row = _row(estimand, POSTERIOR, estimand.risk_kind(posterior), status)
        of_posterior = list(_posterior_rows(estimand, row, status, draws, thresholds))
        rows += [*of_posterior, *_needed_to_treat(estimand, row, of_posterior[0], study)]
        if numbers is not None:
            if "lower" in of_posterior[0]:
                rows.append({**row, "estimator": PRIOR, **_interval(draws.before(estimand))})
            rows += _reported_rows(estimand, row, numbers)
        if likelihood is not None and not estimand.reported_estimate:
            fitted = likelihood.regression_of(estimand)
            rows += _rows_of(estimand, LIKELIHOOD, fitted, study)
            if fitted.is_separated(estimand):  # no finite maximum
                rows += _rows_of(estimand, PENALISED, fitted.penalised, study)
    if numbers is not None:
        rows += _size_rows(draws)
    table = pd.DataFrame(rows).assign(study=study.id, **labels)
    return table.reindex(columns=SUMMARY_COLUMNS)


def summary_of(fit: Fit, thresholds: Sequence[float] = ()) -> pd.DataFrame:
    """Summarise every estimand of a fit.

    Parameters
    ----------
    fit
        The fit.
    thresholds
        Odds ratios for which P(odds ratio > threshold) is wanted besides P(odds ratio > 1).

    Returns
    -------
    pandas.DataFrame
        The columns of `summarise`.
    """
    names = (fit.model.name, fit.priors.name, fit.interpretation)
    stats = fit.draws["sample_stats"].to_dataset()
    return summarise(
        fit.study,
        fit.model,
        fit.evidence,
        prior=risk_draws_of(fit.prior),
        posterior=risk_draws_of(fit.posterior),
        likelihood=fit_frequentist(fit.study, fit.model, fit.evidence),
        labels=dict(zip(("model", "priors", "interpretation"), names, strict=True)),
        thresholds=thresholds,
        effective=float(stats["effective"]) if "effective" in stats else np.nan,
    )


def rows_of(summary: pd.DataFrame, measure: str, regimen: str, against: str = "") -> pd.DataFrame:
    """Return the rows of a regimen, or of one against another of the same stratum, in a summary.

    Parameters
    ----------
    summary
        What `summarise` returns.
    measure
        ``risk``, ``size``, ``odds_ratio``, …, without a threshold.
    regimen, against
        Labels of regimens, as `cotreat.study.regimens.label` writes them.

    Returns
    -------
    pandas.DataFrame
        A row for each estimator and interval, on the event and on the non-event; empty where the summary
        has none.
    """
    named = without_group(regimen)
    if against:
        named = contrast(named, without_group(against))
    is_contrast = (summary.measure == measure) & (summary.contrast == named)
    return summary[is_contrast & (summary.stratum == group_of(regimen)) & summary.threshold.isna()]


def _row(estimand: Estimand, estimator: str, risk_kind: str, status: Status) -> Row:
    """Return the columns of a row except those of its numbers."""
    texts = {"estimator": estimator, "risk_kind": risk_kind, "interval": "", "margin": ""}
    return {**_named(estimand), **status.columns, **texts}


def _numbers(estimate: float, lower: float, upper: float, interval: str) -> Row:
    """Return the columns of an estimate that is not made of draws."""
    limits = {"lower": float(lower), "upper": float(upper), "interval": interval}
    return {"estimate": float(estimate), **limits}


def _named(estimand: Estimand) -> Row:
    """Return the columns that name an estimand."""
    threshold = np.nan if estimand.threshold is None else estimand.threshold
    others = {"unit": estimand.unit, "threshold": threshold, "label": estimand.label}
    return {**estimand.columns, **others}


# --- Posterior -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Draws:
    """Draws from prior and posterior, and the effective sample size of weights (NaN without weights)."""

    study: Study
    prior: RiskDraws
    posterior: RiskDraws
    effective: float

    @cached_property
    def _log_odds(self) -> tuple[LogOdds, LogOdds]:
        return LogOdds(self.prior), LogOdds(self.posterior)

    def data_share(self, estimand: Estimand) -> float:
        """Return the share of the posterior precision that comes from the data."""
        return data_share(estimand, *self._log_odds)

    def before(self, estimand: Estimand) -> Array:
        """Return the values of an estimand under the prior, shape (chain, draw)."""
        return _values(estimand, self.prior)

    def after(self, estimand: Estimand) -> Array:
        """Return its values under the posterior, shape (chain, draw)."""
        return _values(estimand, self.posterior)


def _values(estimand: Estimand, risk: RiskDraws) -> Array:
    return estimand.values(risk).transpose("chain", "draw").values


def _posterior_rows(
    estimand: Estimand, row: Row, status: Status, draws: _Draws, thresholds: Sequence[float]
) -> Iterator[Row]:
    if not status.is_estimable:
        yield row
        return
    if status.name == FIXED:
        yield {**row, "estimate": estimand.null}
        return
    before, after = draws.before(estimand), draws.after(estimand)
    if status.name == IMPLIED:
        yield {**row, **_posterior_interval(after, draws.effective, GIVEN_NONE)}
        return
    yield {
        **row,
        **_posterior_interval(after, draws.effective),
        **_probability(estimand, draws),
        **_inside(estimand, draws),
        "overlap": _overlap(before, after),
        "data_share": draws.data_share(estimand),
        "posterior_contraction": _contraction(estimand, before, after),
    }
    if estimand.is_odds_ratio:
        for threshold in thresholds:
            yield {
                **row,
                **_named(replace(estimand, threshold=threshold)),
                "probability": float(np.mean(after > threshold)),
                "mcse_probability": share_error(after > threshold, draws.effective),
                "prior_probability": float(np.mean(before > threshold)),
            }


def _needed_to_treat(estimand: Estimand, row: Row, difference: Row, study: Study) -> Iterator[Row]:
    """Yield the number needed to treat of a risk difference, from the columns that both share and from its interval.

    It is the inverse of the difference, positive for benefit (NNTB) and negative for harm (NNTH), and
    passes between them through infinity, not through 0 (Altman, BMJ 1998;317:1309). Its estimate is
    therefore the inverse of the difference's, not a mean of inverses, and where the interval of the
    difference contains 0, the limits are one number for harm and one for benefit with infinity between them.
    """
    if estimand.measure != DIFFERENCE or "lower" not in difference:
        return
    sign = 1 if study.outcome.direction == "benefit" else -1
    ends = np.sort(sign * np.array([difference["lower"], difference["upper"]]))
    contains_zero = bool(ends[0] * ends[1] <= 0)
    with np.errstate(divide="ignore"):
        lower, upper = 1 / ends if contains_zero else 1 / ends[::-1]
        estimate = np.divide(sign, difference["estimate"])
    through = f", {_needed(upper)} through infinity to {_needed(lower)}" * contains_zero
    yield {
        **row,
        **_named(replace(estimand, measure=NEEDED, unit="patients")),
        **_numbers(estimate, lower, upper, difference["interval"] + through),
    }


def _needed(value: float) -> str:
    return f"NNT{'B' if value > 0 else 'H'} {abs(value):.3g}"


def _posterior_interval(draws: Array, effective: float, label: str = CREDIBLE) -> Row:
    """Return median and limits with their Monte Carlo errors."""
    row = _interval(draws, label)
    if "estimate" not in row:
        return row
    known = np.where(np.isnan(draws), row["estimate"], draws)
    tail = (1 - INTERVAL) / 2
    places = {"estimate": 0.5, "lower": tail, "upper": 1 - tail}
    errors = {f"mcse_{end}": quantile_error(known, at, effective) for end, at in places.items()}
    return {**row, **errors}


def _interval(draws: Array, label: str = CREDIBLE) -> Row:
    undefined = float(np.isnan(draws).mean())
    if undefined >= MAX_UNDEFINED:
        return {"interval": f"not shown: undefined in {undefined:.0%} of draws"}
    tail = (1 - INTERVAL) / 2
    lower, median, upper = np.nanquantile(draws, [tail, 0.5, 1 - tail])
    sd = float(np.nanstd(draws, ddof=1)) if draws.size > 1 else np.nan
    return {"estimate": median, "sd": sd, "lower": lower, "upper": upper, "interval": label}


def _probability(estimand: Estimand, draws: _Draws) -> Row:
    if estimand.null is None or not estimand.is_judged:
        return {}
    beyond = is_beyond_null(estimand, draws.posterior).transpose("chain", "draw").values
    return {
        "probability": float(beyond.mean()),
        "mcse_probability": share_error(beyond, draws.effective),
        "prior_probability": float(is_beyond_null(estimand, draws.prior).mean()),
    }


def _inside(estimand: Estimand, draws: _Draws) -> Row:
    """Return the margin of a measure, and the probabilities that it lies inside."""
    margin = margin_of(estimand, draws.study, draws.posterior)
    if margin is None:
        return {}
    after, before = (
        (margin.lower < values) & (values < margin.upper)
        for values in (draws.after(estimand), draws.before(estimand))
    )
    return {
        "margin": "default" if margin.is_default else "declared",
        "margin_lower": margin.lower,
        "margin_upper": margin.upper,
        "probability_inside": float(after.mean()),
        "mcse_inside": share_error(after, draws.effective),
        "prior_probability_inside": float(before.mean()),
    }


def _overlap(before: Array, after: Array) -> float:
    """Return the overlap of prior and posterior; NaN where either has missing values."""
    is_missing = np.isnan(before).any() or np.isnan(after).any()
    return np.nan if is_missing else overlap(before, after)


def _contraction(estimand: Estimand, before: Array, after: Array) -> float:
    measure = estimand.synergy
    is_ratio = estimand.log and not estimand.needs_risks
    if not (is_ratio if measure is None else measure.is_contrast):
        return np.nan
    prior, posterior = (np.quantile(np.log(draws), [0.25, 0.75]) for draws in (before, after))
    return float(1 - (np.diff(posterior) / np.diff(prior)).item() ** 2)


# --- Reported estimates ------------------------------------------------------------------------------


def _reported_rows(estimand: Estimand, row: Row, numbers: ReportedEstimates) -> Iterator[Row]:
    """Yield the reported estimates of an estimand, inverted where the inverse is reported."""
    for reported in numbers.with_interval:
        if reported.meaning is None or reported.ci is None:
            continue
        estimate, lower, upper = reported.value.value, reported.ci[0].value, reported.ci[1].value
        if _is_inverse(estimand, reported, reported.meaning):
            link = statistic_of(reported.kind).link
            inverse = (link.back(-link.to(end)) for end in (estimate, upper, lower))
            estimate, lower, upper = inverse
        elif not _is_of(estimand, reported, reported.meaning):
            continue
        kind = "Wald" if reported.interval == "wald" else reported.interval
        yield {
            **row,
            "estimator": REPORTED,
            "risk_kind": "conditional" if reported.adjusted else "crude",
            **_numbers(estimate, lower, upper, f"{reported.level:.0%} {kind}"),
        }


def _is_of(estimand: Estimand, reported: ReportedEstimate, meaning: Meaning) -> bool:
    """Return whether a reported coefficient is an estimand.

    A set and a regimen may share a name: "A" is all patients with A, or those with A alone.
    """
    question = contrasts.question_of(meaning, statistic_of(reported.kind))
    if meaning.kind != "regimens":
        columns = (estimand.measure, estimand.contrast, estimand.pair)
        return bool(estimand.reported_estimate) and columns == question
    if estimand.reported_estimate:
        return estimand.reported_estimate == reported.id
    return estimand.measure == question[0] and estimand.arms == meaning.words


def _is_inverse(estimand: Estimand, reported: ReportedEstimate, meaning: Meaning) -> bool:
    """Return whether a reported contrast of two regimens is the inverse of an estimand."""
    if meaning.kind != "regimens" or estimand.reported_estimate:
        return False
    return _is_of(estimand, reported, replace(meaning, words=meaning.words[::-1]))


def _size_rows(draws: _Draws) -> Iterator[Row]:
    """Yield prior and posterior of the arm sizes that are not counted."""
    study = draws.study
    for name, arms in _uncounted(study).items():
        before, after = (
            risk_draws["size"].sel(present=arms).sum("present").transpose("chain", "draw").values
            for risk_draws in (draws.prior, draws.posterior)
        )
        if np.ptp(before) < 1e-9 * before.max():
            continue  # the totals determine it
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
        overlapping = {"overlap": _overlap(before, after)}
        yield {**row, **_posterior_interval(after, draws.effective), **overlapping}
        yield {**row, "estimator": PRIOR, **_interval(before)}


def _uncounted(study: Study) -> dict[str, list[str]]:
    """Return the arms that are not counted, and all arms of each level and subgroup, by name."""
    arms = {arm: [arm] for arm in study.present if arm not in study.counted}
    for part in study.stratification.names if study.stratification else ():
        arms[f"all with {part}"] = [arm for arm in study.present if part in parse(arm)]
    return arms


# --- Maximum likelihood ---------------------------------------------------------------------------


def _rows_of(estimand: Estimand, estimator: str, fit: Regression, study: Study) -> Iterator[Row]:
    status = fit.status(estimand)
    row = _row(estimand, estimator, fit.risk_kind(estimand), status)
    if not status.is_estimable:
        yield row
        return
    value = fit.estimate(estimand)
    if status.name == FIXED:
        yield {**row, "estimate": value}
        return
    rows = [
        {**row, **_numbers(value, interval.lower, interval.upper, interval.label)}
        for interval in intervals(fit, estimand)
    ]
    yield from rows
    yield from _needed_to_treat(estimand, row, rows[0], study)
