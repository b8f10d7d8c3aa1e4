"""One table of every estimand: posterior and maximum likelihood in the same columns."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cotreat.core.constants import (
    CREDIBLE,
    EXTRAPOLATED,
    FIXED,
    GIVEN_NONE,
    IMPLIED,
    INTERVAL,
    SUMMARY_COLUMNS,
    is_undefined,
)
from cotreat.estimands.estimand import (
    DIFFERENCE,
    Availability,
    Estimand,
    Waist,
    enumerate_estimands,
    is_beyond_null,
    name_of,
    subject_of,
    waist_of,
)
from cotreat.evidence import contrasts
from cotreat.evidence.protocol import Evidences
from cotreat.evidence.reported import ReportedEstimates, reported_in
from cotreat.frequentist.fit import fit_frequentist
from cotreat.frequentist.intervals import intervals
from cotreat.frequentist.logistic import NO_MAXIMUM, Regression
from cotreat.inference.record import Fit
from cotreat.models.registry import Model
from cotreat.study.regimens import parse
from cotreat.study.study import Meaning, Study

POSTERIOR = "posterior"
PRIOR = "prior"
PRINTED = "printed"
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
    prior: Waist,
    posterior: Waist,
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
        ``model``, ``priors`` and ``reading``, repeated in each row.
    thresholds
        Odds ratios for which P(odds ratio > threshold) is wanted besides P(odds ratio > 1).

    Returns
    -------
    pandas.DataFrame
        One row for each estimand, scale, background and interval, with the columns of
        `cotreat.core.constants.SUMMARY_COLUMNS`. Estimates of the posterior are medians; undefined ones are
        missing, and ``availability`` says why. Where printed numbers are evidence, the prior of
        each estimand and of the arms' sizes, and what is printed, are rows too.
    """
    numbers = reported_in(evidence)
    rows: list[Row] = []
    availability = Availability(study, model, posterior, evidence)
    for estimand in enumerate_estimands(study, model, evidence):
        available = availability.of(estimand)
        own = list(_posterior_rows(estimand, available, prior, posterior, thresholds))
        rows += own + list(_needed_to_treat(own[0], study))
        if numbers is not None:
            rows += _prior_rows(estimand, own[0], prior)
            rows += _printed_rows(estimand, own[0], numbers)
        if likelihood is not None and not estimand.claim:
            beside = list(_likelihood_rows(estimand, likelihood))
            rows += beside
            for name in dict.fromkeys(row["estimator"] for row in beside):
                first = next(row for row in beside if row["estimator"] == name)
                rows += _needed_to_treat(first, study)
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
        prior=waist_of(fit.prior),
        posterior=waist_of(fit.posterior),
        likelihood=fit_frequentist(fit.study, fit.model, fit.evidence),
        labels={
            "model": fit.model.name,
            "priors": fit.priors.name,
            "reading": fit.interpretation,
        },
        thresholds=thresholds,
    )


def _row(estimand: Estimand, estimator: str, risk_kind: str, availability: str) -> Row:
    return {
        "estimator": estimator,
        "estimand": estimand.label,
        "background": estimand.background,
        "scale": estimand.scale,
        "risk_kind": risk_kind,
        "availability": availability,
        "estimate": np.nan,
        "lower": np.nan,
        "upper": np.nan,
        "interval": "",
        "probability": np.nan,
        "prior_probability": np.nan,
        "contraction": np.nan,
    }


# --- Posterior -----------------------------------------------------------------------------------


def _posterior_rows(
    estimand: Estimand,
    available: str,
    prior: Waist,
    posterior: Waist,
    thresholds: Sequence[float],
) -> Iterator[Row]:
    row = _row(estimand, POSTERIOR, estimand.risk_kind(posterior), available)
    if is_undefined(available):
        yield row
        return
    if available == FIXED:
        yield {**row, "estimate": estimand.null}
        return
    before, after = _draws(estimand, prior), _draws(estimand, posterior)
    if available == IMPLIED:
        yield {**row, **_interval(after, GIVEN_NONE)}
        return
    yield {
        **row,
        **_interval(after),
        **_probability(estimand, prior, posterior),
        "contraction": _contraction(estimand, before, after),
    }
    if estimand.label.startswith("odds_ratio"):
        for threshold in thresholds:
            yield {
                **row,
                "estimand": f"{estimand.label} > {threshold:g}",
                "probability": float(np.mean(after > threshold)),
                "prior_probability": float(np.mean(before > threshold)),
            }


def _needed_to_treat(difference: Row, study: Study) -> Iterator[Row]:
    """Give the number needed to treat that a risk difference stands for, if it is one.

    It is the inverse of the difference, positive for benefit (NNTB), negative for harm (NNTH), and
    between the two it passes through infinity, not through 0 (Altman, BMJ 1998;317:1309). So its
    estimate is the inverse of the difference's, never a mean of inverses, and where the difference's
    interval holds 0, the limits are a number of harm and one of benefit with infinity between them.
    """
    if name_of(difference["estimand"]) != DIFFERENCE or is_undefined(difference["availability"]):
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
        **_no_probability(),
        "estimand": f"nnt[{subject_of(difference['estimand'])}]",
        "estimate": estimate,
        "lower": float(lower),
        "upper": float(upper),
        "interval": difference["interval"] + through,
    }


def _needed(value: float) -> str:
    return f"NNT{'B' if value > 0 else 'H'} {abs(value):.3g}"


def _draws(estimand: Estimand, risk: Waist) -> NDArray[np.float64]:
    return estimand.values(risk).values.ravel()


def _interval(draws: NDArray[np.float64], label: str = CREDIBLE) -> Row:
    undefined = float(np.isnan(draws).mean())
    if undefined >= MAX_UNDEFINED:
        return {"interval": f"not shown: undefined in {undefined:.0%} of draws"}
    tail = (1 - INTERVAL) / 2
    lower, median, upper = np.nanquantile(draws, [tail, 0.5, 1 - tail])
    return {"estimate": median, "lower": lower, "upper": upper, "interval": label}


def _probability(estimand: Estimand, prior: Waist, posterior: Waist) -> Row:
    if estimand.null is None or not estimand.is_judged:
        return {}
    return {
        "probability": float(is_beyond_null(estimand, posterior).mean()),
        "prior_probability": float(is_beyond_null(estimand, prior).mean()),
    }


def _contraction(
    estimand: Estimand, before: NDArray[np.float64], after: NDArray[np.float64]
) -> float:
    if estimand.measure is not None and estimand.measure.sign_of:
        return np.nan
    if estimand.log:
        before, after = np.log(before), np.log(after)
    return float(1 - (_iqr(after) / _iqr(before)) ** 2)


def _iqr(draws: NDArray[np.float64]) -> float:
    lower, upper = np.quantile(draws, [0.25, 0.75])
    return float(upper - lower)


# --- Printed numbers ------------------------------------------------------------------------------


def _prior_rows(estimand: Estimand, posterior: Row, prior: Waist) -> Iterator[Row]:
    """Give the prior of an estimand that has a posterior interval."""
    if not np.isnan(posterior["lower"]):
        draws = _interval(_draws(estimand, prior), CREDIBLE)
        yield {**posterior, "estimator": PRIOR, **_no_probability(), **draws}


def _no_probability() -> Row:
    return dict.fromkeys(("probability", "prior_probability", "contraction"), np.nan)


def _printed_rows(estimand: Estimand, posterior: Row, numbers: ReportedEstimates) -> Iterator[Row]:
    """Give what is printed of an estimand, turned round where it is printed so."""
    for claim in numbers.odds_ratios:
        if claim.meaning is None or claim.ci is None:
            continue
        ends = (claim.value.value, claim.ci[0].value, claim.ci[1].value)
        label = contrasts.label(claim.meaning)
        if claim.meaning.kind == "regimens" and label != estimand.label:
            label = contrasts.label(Meaning("regimens", claim.meaning.words[::-1]))
            ends = (1 / ends[0], 1 / ends[2], 1 / ends[1])
        # A set and a regimen may go by one name: "A" is all who got A, or those who got it alone.
        if label != estimand.label or bool(estimand.claim) == (claim.meaning.kind == "regimens"):
            continue
        kind = {"wald": "Wald"}.get(claim.interval, claim.interval)
        yield {
            **posterior,
            "estimator": PRINTED,
            "risk_kind": "conditional" if claim.adjusted else "crude",
            **_no_probability(),
            "estimate": ends[0],
            "lower": ends[1],
            "upper": ends[2],
            "interval": f"{claim.level:.0%} {kind}",
        }


def _size_rows(study: Study, prior: Waist, posterior: Waist) -> Iterator[Row]:
    """Give the sizes of the arms that nobody counted; what is known of them needs model and prior."""
    for name, arms in _sized(study).items():
        before, after = (
            waist["size"].sel(present=arms).sum("present").values.ravel()
            for waist in (prior, posterior)
        )
        if np.ptp(before) < 1e-9 * before.max():
            continue  # the totals leave but one
        row = _row(Estimand(f"size[{name}]", (), np.asarray), POSTERIOR, "", EXTRAPOLATED)
        row["scale"] = "patients" if study.totals else "share"
        learnt = 1 - (_iqr(after) / _iqr(before)) ** 2
        yield {**row, **_interval(after), "contraction": learnt}
        yield {**row, "estimator": PRIOR, **_interval(before)}


def _sized(study: Study) -> dict[str, list[str]]:
    """Name the arms that nobody counted, and with all arms of theirs each level and subgroup."""
    found = {arm: [arm] for arm in study.present if arm not in study.counted}
    for part in study.divides.names if study.divides else ():
        found[f"all with {part}"] = [arm for arm in study.present if part in parse(arm)]
    return found


# --- Maximum likelihood ---------------------------------------------------------------------------


def _likelihood_rows(estimand: Estimand, likelihood: Regression) -> Iterator[Row]:
    """Give maximum likelihood, and penalised likelihood where separation leaves it without a maximum."""
    rows = list(_rows_of(estimand, LIKELIHOOD, likelihood))
    yield from rows
    if rows[0]["availability"].startswith(NO_MAXIMUM):
        yield from _rows_of(estimand, PENALISED, likelihood.penalised)


def _rows_of(estimand: Estimand, estimator: str, fit: Regression) -> Iterator[Row]:
    available = fit.availability(estimand)
    row = _row(estimand, estimator, fit.risk_kind(estimand), available)
    if is_undefined(available):
        yield row
        return
    row["estimate"] = fit.estimate(estimand)
    if available == FIXED:
        yield row
        return
    for interval in intervals(fit, estimand):
        yield {**row, "lower": interval.lower, "upper": interval.upper, "interval": interval.label}
