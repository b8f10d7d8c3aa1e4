"""What a paper prints of a cohort: logistic regressions on its patients, rounded; and what more it could."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from cotreat.core.constants import INTERVAL
from cotreat.evidence.contrasts import coefficient_of
from cotreat.evidence.reported import cohort_of, is_used
from cotreat.study import regimens
from cotreat.study.study import (
    Arm,
    Interpretation,
    Meaning,
    ReportedEstimate,
    RoundedNumber,
    StratifiedCounts,
    Study,
    Total,
)
from validation.true_cohorts import Cohort

SIGNIFICANT = 0.05
"""Below that a p-value is called significant."""
DECIMALS, P_DECIMALS = 2, 3
CERTAIN = 10.0
"""A log odds ratio with a standard error beyond that is infinite: some side has no event, or no other."""
Floats = NDArray[np.float64]


class UnprintableError(ValueError):
    """A cohort of which a paper could not print what is asked: an odds ratio of it is not finite."""


@dataclass(frozen=True)
class Estimate:
    """A coefficient: log odds ratio and standard error."""

    log: float
    error: float

    @property
    def p_value(self) -> float:
        """Two-sided, by Wald."""
        return float(2 * ndtr(-abs(self.log) / self.error))


@dataclass(frozen=True)
class Analysis:
    """A logistic regression of a paper.

    Attributes
    ----------
    columns : ndarray, shape (regimen, coefficient)
    members : ndarray of bool, shape (regimen,)
        Regimens whose patients are in it.
    is_adjusted : bool
        For the score.
    """

    columns: Floats
    members: NDArray[np.bool_]
    is_adjusted: bool

    def fitted(self, cohort: Cohort) -> tuple[Floats, Floats]:
        """Return coefficients and their covariance, without those of the score.

        Raises
        ------
        UnprintableError
            If there is no finite maximum.
        """
        import statsmodels.api as sm
        from statsmodels.tools.sm_exceptions import PerfectSeparationError

        own = self.members[cohort.regimen]
        design = self.columns[cohort.regimen[own]]
        if self.is_adjusted:
            design = np.column_stack([design, cohort.score[own]])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # what does not converge shows in its errors
                found = sm.Logit(cohort.event[own], design).fit(disp=0, maxiter=50)
        except (PerfectSeparationError, np.linalg.LinAlgError) as error:
            raise UnprintableError(str(error)) from None
        count = design.shape[1] - self.is_adjusted
        covariance = found.cov_params()[:count, :count]
        errors = np.sqrt(np.diag(covariance))
        if not found.mle_retvals["converged"] or not (errors < CERTAIN).all():
            raise UnprintableError("an odds ratio is not finite")
        return found.params[:count], covariance


@dataclass(frozen=True)
class Asked:
    """What claims a regression is to give, and by which weights of its coefficients."""

    analysis: Analysis
    weights: dict[str, tuple[float, ...]]


@lru_cache(maxsize=64)
def analyses(study: Study, reported_estimates: tuple[ReportedEstimate, ...]) -> tuple[Asked, ...]:
    """Lay out the regressions that claims are coefficients of.

    Odds ratios of regimens that are said to be of one model come from one regression on all of them.
    """
    found: dict[object, Asked] = {}
    for reported_estimate in reported_estimates:
        assert reported_estimate.meaning is not None  # noqa: S101 - for the type checker
        if reported_estimate.meaning.kind == "regimens":
            key: object = (
                reported_estimate.model or reported_estimate.id,
                reported_estimate.adjusted,
            )
            own = [c for c in reported_estimates if _is_beside(c, reported_estimate)]
            analysis, labels = _of_regimens(study, own)
            words = reported_estimate.meaning.words
            weights = np.array([(one == words[0]) - float(one == words[1]) for one in labels])
        else:
            one = coefficient_of(
                reported_estimate.meaning, cohort_of(study), is_adjusted=reported_estimate.adjusted
            )
            key, weights = one.equation, one.weights
            members = one.groups.any(0)
            analysis = Analysis(one.groups.T @ one.columns, members, reported_estimate.adjusted)
        asked = found.setdefault(key, Asked(analysis, {}))
        asked.weights[reported_estimate.id] = tuple(weights.tolist())
    return tuple(found.values())


def _is_beside(one: ReportedEstimate, other: ReportedEstimate) -> bool:
    """Tell whether two claims are odds ratios of regimens of one regression."""
    is_alike = one.meaning is not None and one.meaning.kind == "regimens"
    is_named = one.model == other.model != "" and one.adjusted == other.adjusted
    return one.id == other.id or (is_alike and is_named)


def _of_regimens(
    study: Study, reported_estimates: Sequence[ReportedEstimate]
) -> tuple[Analysis, list[str]]:
    named = {
        word
        for reported_estimate in reported_estimates
        if reported_estimate.meaning
        for word in reported_estimate.meaning.words
    }
    labels = [label for label in study.present if label in named]
    columns = np.array([[float(one == label) for label in labels] for one in study.present])
    return Analysis(columns, np.isin(study.present, labels), reported_estimates[0].adjusted), labels


def estimates(
    study: Study, reported_estimates: tuple[ReportedEstimate, ...], cohort: Cohort
) -> dict[str, Estimate]:
    """Analyse a cohort as claims say, by id.

    Raises
    ------
    UnprintableError
        If some estimate is not finite.
    """
    found = {}
    for asked in analyses(study, reported_estimates):
        coefficients, covariance = asked.analysis.fitted(cohort)
        for name, weights in asked.weights.items():
            w = np.array(weights)
            found[name] = Estimate(float(w @ coefficients), float(np.sqrt(w @ covariance @ w)))
    return found


def published(
    study: Study,
    cohort: Cohort,
    name: str,
    *,
    more: tuple[ReportedEstimate, ...] = (),
    counted: Sequence[str] = (),
) -> Study:
    """Return the study that would be read in print of a cohort.

    Parameters
    ----------
    study
        Without levels, under the reading by which the paper means what it prints.
    name
        Stands for the digest: what differs needs another.
    more
        Claims that are printed beside those of the study.
    counted
        Regimens of which patients and events are printed.

    Raises
    ------
    UnprintableError
        If some odds ratio is not finite, or rounds to 0.
    """
    reported_estimates = (*used_claims(study), *more)
    found = estimates(study, reported_estimates, cohort)
    own = tuple(
        _printed(reported_estimate, found[reported_estimate.id])
        for reported_estimate in reported_estimates
    )
    events = np.bincount(cohort.regimen, cohort.event, len(study.present))
    n = np.bincount(cohort.regimen, minlength=len(study.present))
    labels = study.present
    arms = tuple(
        Arm(regimens.parse(label), int(n[at]), int(events[at]), SIMULATED)
        for at, label in enumerate(labels)
        if label in counted
    )
    interpretation = Interpretation(study.interpretation, study.current_interpretation.words, own)
    stratified = StratifiedCounts(
        arms, tuple(_total(study, total, n, events) for total in study.totals)
    )
    return replace(study, stratified=stratified, interpretations=(interpretation,), digest=name)


SIMULATED = "simulated"


def counted_wholly(study: Study, cohort: Cohort, name: str) -> Study:
    """Return the study of which patients and events of every regimen are known, and nothing else."""
    whole = published(
        replace(
            study, interpretations=(replace(study.current_interpretation, reported_estimates=()),)
        ),
        cohort,
        name,
        counted=study.present,
    )
    return replace(whole, stratified=replace(whole.stratified, totals=()))


def used_claims(study: Study) -> tuple[ReportedEstimate, ...]:
    """Return the claims that are evidence under a study's reading."""
    return tuple(
        reported_estimate
        for reported_estimate in study.reported_estimates
        if is_used(study, reported_estimate)
    )


def claims_synergy(study: Study) -> bool:
    """Tell whether a paper claims that the first two treatments are synergistic.

    By a product term of the two in print: a p-value below 0.05, or an interval beyond 1. Where there is
    none, by the odds ratio of their combination against one of them.
    """
    first, second = study.pairs[0]
    is_up = study.outcome.synergy_on == "event"
    own = [
        reported_estimate
        for reported_estimate in study.reported_estimates
        if reported_estimate.meaning is not None
    ]
    products = [c for c in own if _pair_of(c) == {first, second}]
    combined = [
        c
        for c in own
        if c.meaning is not None
        and c.meaning.kind == "regimens"
        and regimens.parse(c.meaning.words[0]) == {first, second}
        and regimens.parse(c.meaning.words[1]) in ({first}, {second})
    ]
    return any(
        _is_shown(reported_estimate, is_up=is_up) for reported_estimate in products or combined
    )


def _pair_of(reported_estimate: ReportedEstimate) -> set[str]:
    """Return the two treatments of which a claim is the product; nothing of any other claim."""
    assert reported_estimate.meaning is not None  # noqa: S101 - for the type checker
    words = reported_estimate.meaning.words
    if reported_estimate.meaning.kind == "products":
        return set(words[0])
    return set(words) if "product" in reported_estimate.meaning.kind else set()


def _is_shown(reported_estimate: ReportedEstimate, *, is_up: bool) -> bool:
    if reported_estimate.ci is None:
        is_small = reported_estimate.value.value < SIGNIFICANT
        return is_small and reported_estimate.sign == ("+" if is_up else "-")
    return reported_estimate.ci[0].value > 1 if is_up else reported_estimate.ci[1].value < 1


def reread(study: Study, interpretation: Study) -> Study:
    """Return what is printed by one reading, its numbers taken for what another says they mean.

    Raises
    ------
    ValueError
        If the other reads numbers that are not printed.
    """
    as_reported = {
        reported_estimate.id: reported_estimate for reported_estimate in study.reported_estimates
    }
    asked = used_claims(interpretation)
    if missing := [
        reported_estimate.id
        for reported_estimate in asked
        if reported_estimate.id not in as_reported
    ]:
        raise ValueError(f"{missing[0]} is not printed by {study.interpretation}")
    reported_estimates = tuple(
        replace(as_reported[c.id], meaning=c.meaning, model=c.model) for c in asked
    )
    own = Interpretation(
        interpretation.interpretation,
        interpretation.current_interpretation.words,
        reported_estimates,
    )
    return replace(
        study,
        interpretations=(own,),
        interpretation=interpretation.interpretation,
        digest=f"{study.digest} as {interpretation.interpretation}",
    )


def _printed(reported_estimate: ReportedEstimate, one: Estimate) -> ReportedEstimate:
    """Round an estimate as a paper does, and put it in a claim's place."""
    if not reported_estimate.has_interval:
        least = 10.0**-P_DECIMALS
        p = round(one.p_value, P_DECIMALS)
        return replace(
            reported_estimate,
            value=RoundedNumber(max(p, least), 0.0 if p < least else least / 2),
            is_below=p < least,
            sign="+" if one.log > 0 else "-",
        )
    ends = np.exp(one.log + np.array([0, -1, 1]) * ndtri(0.5 + INTERVAL / 2) * one.error)
    value, lower, upper = (
        RoundedNumber(round(float(x), DECIMALS), 0.5 * 10.0**-DECIMALS) for x in ends
    )
    if lower.value <= 0:
        raise UnprintableError(f"an interval of {reported_estimate.id} begins at 0.00")
    return replace(
        reported_estimate, value=value, ci=(lower, upper), level=INTERVAL, interval="wald"
    )


def _total(study: Study, total: Total, n: NDArray[Any], events: NDArray[Any]) -> Total:
    own = study.members(total.patients, study.present)
    count = None if total.events is None else int(events[own].sum())
    return replace(total, n=int(n[own].sum()), events=count, source=SIMULATED)


def odds_ratio_of(meaning: Meaning, name: str, model: str) -> ReportedEstimate:
    """Return an adjusted odds ratio that is not printed yet."""
    nothing = RoundedNumber(1.0, 0.005)
    return ReportedEstimate(
        name,
        "odds_ratio",
        meaning,
        "",
        nothing,
        False,
        (nothing, nothing),
        INTERVAL,
        "wald",
        True,
        model,
        "",
        SIMULATED,
    )
