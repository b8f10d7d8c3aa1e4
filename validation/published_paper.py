"""Simulate the report of a cohort: rounded estimates of logistic regressions, counts and totals."""

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
"""Significance level of p-values."""
DECIMALS, P_DECIMALS = 2, 3
CERTAIN = 10.0
"""Standard error above which a log odds ratio is treated as infinite (no events or no non-events in a group)."""
Floats = NDArray[np.float64]


class UnprintableError(ValueError):
    """Report that a required odds ratio of a cohort is not finite or rounds to 0."""


@dataclass(frozen=True)
class Estimate:
    """A log odds ratio (`log`) and its standard error (`error`)."""

    log: float
    error: float

    @property
    def p_value(self) -> float:
        """Two-sided p-value of the Wald test."""
        return float(2 * ndtr(-abs(self.log) / self.error))


@dataclass(frozen=True)
class Analysis:
    """A logistic regression of a paper.

    Attributes
    ----------
    columns : ndarray, shape (regimen, coefficient)
        Design matrix by regimen.
    members : ndarray of bool, shape (regimen,)
        Regimens whose patients are included.
    is_adjusted : bool
        Whether the regression adjusts for the prognostic score.
    """

    columns: Floats
    members: NDArray[np.bool_]
    is_adjusted: bool

    def fitted(self, cohort: Cohort) -> tuple[Floats, Floats]:
        """Fit the regression by maximum likelihood.

        Parameters
        ----------
        cohort
            The patients.

        Returns
        -------
        tuple
            Coefficients, shape (coefficient,), and their covariance; those of the score are left out.

        Raises
        ------
        UnprintableError
            If the maximum likelihood estimate is not finite.
        """
        import statsmodels.api as sm
        from statsmodels.tools.sm_exceptions import PerfectSeparationError

        included = self.members[cohort.regimen]
        design = self.columns[cohort.regimen[included]]
        if self.is_adjusted:
            design = np.column_stack([design, cohort.score[included]])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # divergence shows in the standard errors
                fit = sm.Logit(cohort.event[included], design).fit(disp=0, maxiter=50)
        except (PerfectSeparationError, np.linalg.LinAlgError) as error:
            raise UnprintableError(str(error)) from None
        count = design.shape[1] - self.is_adjusted
        covariance = fit.cov_params()[:count, :count]
        errors = np.sqrt(np.diag(covariance))
        if not fit.mle_retvals["converged"] or not (errors < CERTAIN).all():
            raise UnprintableError("an odds ratio is not finite")
        return fit.params[:count], covariance


@dataclass(frozen=True)
class Asked:
    """A regression, and by reported estimate the weights of its coefficients."""

    analysis: Analysis
    weights: dict[str, tuple[float, ...]]


@lru_cache(maxsize=64)
def analyses(study: Study, reported_estimates: tuple[ReportedEstimate, ...]) -> tuple[Asked, ...]:
    """Return the regressions that yield the reported estimates.

    Odds ratios of regimens that are reported from one model share one regression on all these regimens.

    Parameters
    ----------
    study
        The study, without levels.
    reported_estimates
        The reported estimates.
    """
    regressions: dict[object, Asked] = {}
    for reported_estimate in reported_estimates:
        assert reported_estimate.meaning is not None  # noqa: S101 - for the type checker
        if reported_estimate.meaning.kind == "regimens":
            key: object = (
                reported_estimate.model or reported_estimate.id,
                reported_estimate.adjusted,
            )
            together = [c for c in reported_estimates if _shares_regression(c, reported_estimate)]
            analysis, labels = _of_regimens(study, together)
            words = reported_estimate.meaning.words
            weights = np.array([(label == words[0]) - float(label == words[1]) for label in labels])
        else:
            equation = coefficient_of(
                reported_estimate.meaning, cohort_of(study), is_adjusted=reported_estimate.adjusted
            )
            key, weights = equation.equation, equation.weights
            members = equation.groups.any(0)
            analysis = Analysis(
                equation.groups.T @ equation.columns, members, reported_estimate.adjusted
            )
        regression = regressions.setdefault(key, Asked(analysis, {}))
        regression.weights[reported_estimate.id] = tuple(weights.tolist())
    return tuple(regressions.values())


def _shares_regression(one: ReportedEstimate, other: ReportedEstimate) -> bool:
    """Test whether two reported estimates are odds ratios of regimens from one regression."""
    is_alike = one.meaning is not None and one.meaning.kind == "regimens"
    is_named = one.model == other.model != "" and one.adjusted == other.adjusted
    return one.id == other.id or (is_alike and is_named)


def _of_regimens(
    study: Study, reported_estimates: Sequence[ReportedEstimate]
) -> tuple[Analysis, list[str]]:
    """Return the regression on the regimens in reported estimates, and the labels of these regimens."""
    named = {
        word
        for reported_estimate in reported_estimates
        if reported_estimate.meaning
        for word in reported_estimate.meaning.words
    }
    labels = [label for label in study.present if label in named]
    columns = np.array([[float(arm == label) for label in labels] for arm in study.present])
    return Analysis(columns, np.isin(study.present, labels), reported_estimates[0].adjusted), labels


def estimates(
    study: Study, reported_estimates: tuple[ReportedEstimate, ...], cohort: Cohort
) -> dict[str, Estimate]:
    """Compute the reported estimates from a cohort.

    Parameters
    ----------
    study
        The study, without levels.
    reported_estimates
        The reported estimates to compute.
    cohort
        The patients.

    Returns
    -------
    dict
        `Estimate` by id of the reported estimate, before rounding.

    Raises
    ------
    UnprintableError
        If an estimate is not finite.
    """
    by_id = {}
    for regression in analyses(study, reported_estimates):
        coefficients, covariance = regression.analysis.fitted(cohort)
        for name, weights in regression.weights.items():
            w = np.array(weights)
            by_id[name] = Estimate(float(w @ coefficients), float(np.sqrt(w @ covariance @ w)))
    return by_id


def published(
    study: Study,
    cohort: Cohort,
    name: str,
    *,
    more: tuple[ReportedEstimate, ...] = (),
    counted: Sequence[str] = (),
) -> Study:
    """Return the study with the estimates that a paper reports of a cohort.

    Parameters
    ----------
    study
        The study, without levels, under the interpretation that the paper intends.
    cohort
        The patients.
    name
        Replaces the digest; it must be unique.
    more
        Reported estimates that are added to those of the study.
    counted
        Regimens whose patients and events are reported.

    Returns
    -------
    Study
        The study with rounded estimates, counts and totals of the cohort.

    Raises
    ------
    UnprintableError
        If an odds ratio is not finite or rounds to 0.
    """
    reported_estimates = (*used_claims(study), *more)
    fitted = estimates(study, reported_estimates, cohort)
    rounded = tuple(
        _rounded(reported_estimate, fitted[reported_estimate.id])
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
    interpretation = Interpretation(
        study.interpretation, study.current_interpretation.words, rounded
    )
    stratified = StratifiedCounts(
        arms, tuple(_total(study, total, n, events) for total in study.totals)
    )
    return replace(study, stratified=stratified, interpretations=(interpretation,), digest=name)


SIMULATED = "simulated"


def counted_wholly(study: Study, cohort: Cohort, name: str) -> Study:
    """Return the study with the counts of every regimen of a cohort, and without other evidence.

    Parameters
    ----------
    study
        The study, without levels.
    cohort
        The patients.
    name
        Replaces the digest; it must be unique.
    """
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
    """Return the reported estimates that are evidence under the interpretation of a study.

    Parameters
    ----------
    study
        A study under an interpretation.
    """
    return tuple(
        reported_estimate
        for reported_estimate in study.reported_estimates
        if is_used(study, reported_estimate)
    )


def claims_synergy(study: Study) -> bool:
    """Test whether a paper reports significant synergy of the first two treatments.

    The criterion is the product term of the two treatments: p < 0.05, or a 95 % interval on the side of synergy
    that excludes 1. Without a product term, it is the odds ratio of the combination against one of the
    treatments.

    Parameters
    ----------
    study
        A report, from `published`.
    """
    first, second = study.pairs[0]
    is_up = study.outcome.synergy_on == "event"
    with_meaning = [
        reported_estimate
        for reported_estimate in study.reported_estimates
        if reported_estimate.meaning is not None
    ]
    products = [c for c in with_meaning if _pair_of(c) == {first, second}]
    combined = [
        c
        for c in with_meaning
        if c.meaning is not None
        and c.meaning.kind == "regimens"
        and regimens.parse(c.meaning.words[0]) == {first, second}
        and regimens.parse(c.meaning.words[1]) in ({first}, {second})
    ]
    return any(
        _is_shown(reported_estimate, is_up=is_up) for reported_estimate in products or combined
    )


def _pair_of(reported_estimate: ReportedEstimate) -> set[str]:
    """Return the two treatments of a product term; an empty set for any other reported estimate."""
    assert reported_estimate.meaning is not None  # noqa: S101 - for the type checker
    words = reported_estimate.meaning.words
    if reported_estimate.meaning.kind == "products":
        return set(words[0])
    return set(words) if "product" in reported_estimate.meaning.kind else set()


def _is_shown(reported_estimate: ReportedEstimate, *, is_up: bool) -> bool:
    """Test whether a reported estimate is significant in the given direction."""
    if reported_estimate.ci is None:
        is_small = reported_estimate.value.value < SIGNIFICANT
        return is_small and reported_estimate.sign == ("+" if is_up else "-")
    return reported_estimate.ci[0].value > 1 if is_up else reported_estimate.ci[1].value < 1


def reread(study: Study, interpretation: Study) -> Study:
    """Reinterpret a report: its numbers are kept, their meanings are those of another interpretation.

    Parameters
    ----------
    study
        A report, from `published`.
    interpretation
        The study under the other interpretation.

    Returns
    -------
    Study
        The report under the other interpretation.

    Raises
    ------
    ValueError
        If the other interpretation uses an estimate that is not reported.
    """
    as_reported = {
        reported_estimate.id: reported_estimate for reported_estimate in study.reported_estimates
    }
    required = used_claims(interpretation)
    if missing := [
        reported_estimate.id
        for reported_estimate in required
        if reported_estimate.id not in as_reported
    ]:
        raise ValueError(f"{missing[0]} is not reported under {study.interpretation}")
    reported_estimates = tuple(
        replace(as_reported[c.id], meaning=c.meaning, model=c.model) for c in required
    )
    interpretations = Interpretation(
        interpretation.interpretation,
        interpretation.current_interpretation.words,
        reported_estimates,
    )
    return replace(
        study,
        interpretations=(interpretations,),
        interpretation=interpretation.interpretation,
        digest=f"{study.digest} as {interpretation.interpretation}",
    )


def _rounded(reported_estimate: ReportedEstimate, estimate: Estimate) -> ReportedEstimate:
    """Round an estimate and return it as a reported estimate."""
    if not reported_estimate.has_interval:
        least = 10.0**-P_DECIMALS
        p = round(estimate.p_value, P_DECIMALS)
        return replace(
            reported_estimate,
            value=RoundedNumber(max(p, least), 0.0 if p < least else least / 2),
            is_below=p < least,
            sign="+" if estimate.log > 0 else "-",
        )
    ends = np.exp(estimate.log + np.array([0, -1, 1]) * ndtri(0.5 + INTERVAL / 2) * estimate.error)
    value, lower, upper = (
        RoundedNumber(round(float(x), DECIMALS), 0.5 * 10.0**-DECIMALS) for x in ends
    )
    if lower.value <= 0:
        raise UnprintableError(f"the lower limit of {reported_estimate.id} rounds to 0.00")
    return replace(
        reported_estimate, value=value, ci=(lower, upper), level=INTERVAL, interval="wald"
    )


def _total(study: Study, total: Total, n: NDArray[Any], events: NDArray[Any]) -> Total:
    """Return a reported total with the counts of a cohort."""
    members = study.members(total.patients, study.present)
    count = None if total.events is None else int(events[members].sum())
    return replace(total, n=int(n[members].sum()), events=count, source=SIMULATED)


def odds_ratio_of(meaning: Meaning, name: str, model: str) -> ReportedEstimate:
    """Return an adjusted odds ratio with a placeholder value, to be computed from a cohort.

    Parameters
    ----------
    meaning
        The contrast.
    name
        Id of the reported estimate.
    model
        Name of the regression.
    """
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
