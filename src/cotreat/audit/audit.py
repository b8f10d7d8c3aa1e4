"""Audit the evidence of a study without sampling: what it identifies, and what follows from what."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import pandas as pd
from scipy.special import logit, ndtr, ndtri

from cotreat.audit.adjustment import assumption
from cotreat.audit.collinearity import Collinearity, collinearity_of
from cotreat.audit.overlap import Overlap, overlap_in
from cotreat.core.constants import IDENTIFIED, NOT_IDENTIFIED
from cotreat.estimands.enumerate import enumerate_estimands
from cotreat.estimands.estimand import Estimand
from cotreat.estimands.identification import Determination, Status, not_estimable
from cotreat.evidence.contrasts import coefficient_of, label, named_parts, question_of
from cotreat.evidence.counts import PRIOR_CONFLICT, distance
from cotreat.evidence.logistic_operator import Coefficient
from cotreat.evidence.protocol import SCORE, Evidences, Point, parameters_of
from cotreat.evidence.reported import Dependence, cohort_of, p_agrees, reported_in, wald_p
from cotreat.evidence.resolve import resolve
from cotreat.evidence.shared_patients import assumptions
from cotreat.evidence.statistics import ODDS_RATIO, RISK_RATIO, has_level, statistic_of
from cotreat.models.registry import MODELS
from cotreat.priors.sets import prior_set
from cotreat.study.regimens import NONE, WITHIN
from cotreat.study.study import Arm, ReportedEstimate, StratificationError, Study

RISKS = "risks"
ODDS_RATIOS = "odds ratios of two regimens"
INCOMPATIBLE = "incompatible with the counts"
"""Start of the verdict on a reported estimate that the counts do not reproduce."""
P_TOLERANCE = 0.01
"""Largest difference of a reported p-value from the Wald p-value of the counts."""
REPORTED_COLUMNS = [
    *("number", "about", "measure", "contrast", "pair", "reported", "adjusted", "use", "source")
]


@dataclass(frozen=True)
class Group:
    """Estimands of one kind that have the same status.

    Attributes
    ----------
    kind : str
        Risks, odds ratios, or a pair of treatments with a co-treatment.
    of : int
        Number of estimands of the kind, whatever their status.
    """

    kind: str
    estimands: tuple[Estimand, ...]
    of: int
    status: Status


@dataclass(frozen=True)
class CountCheck:
    """A reported estimate against the counts.

    Attributes
    ----------
    implied : tuple of float
        Odds ratio with Wald limits, or p-value, from the counts; empty where they determine none.
    verdict : str
        ``agrees``, `INCOMPATIBLE` with the reason, or ``not comparable`` with the reason.
    """

    implied: tuple[float, ...]
    verdict: str


@dataclass(frozen=True)
class PriorConflict:
    """The proportion with the event on a regimen, and the declared central 95% of that risk.

    Attributes
    ----------
    regimen : str
        Regimen of the declared baseline.
    share : float
        Events per patient on this regimen.
    lower, upper : float
        Limits of the prior interval.
    """

    regimen: str
    share: float
    lower: float
    upper: float


@dataclass(frozen=True, eq=False)
class Audit:
    """What the evidence of a study offers.

    Attributes
    ----------
    study : Study
    counts : pandas.DataFrame
        One row for each regimen and each reported total: ``regimen``, ``events``, ``patients``,
        ``crude risk`` and ``source``.
    stratified : dict of str to (pandas.DataFrame or str)
        Counts by levels or subgroups, by the name of the stratification; the reason where there are none.
    overlap : Overlap or None
        None unless risks are standardised over patients with covariates.
    collinearity : Collinearity
        Covariates that other covariates or treatments determine.
    prior_conflict : PriorConflict or None
        None where no baseline is declared or it covers the counts.
    reported : pandas.DataFrame
        One row for each reported estimate, with its use as evidence.
    checks : dict of str to CountCheck
        Reported estimates against the counts, by id; empty where they are evidence themselves.
    rank : tuple of int or None
        Reported estimates that are independent, and all of them; None where they are not evidence.
    dependences : tuple of Dependence
        Reported estimates that follow from others.
    assumed : tuple of str
        Covariances that are assumed between estimates of the same patients, where no totals are reported.
    questions : tuple of str
        What does not fit, is assumed, or has several interpretations.
    groups : tuple of Group
        All estimands by kind and status.
    helpful : tuple of str
        Regimens whose counts would identify every measure of interaction; empty where none is needed.
    """

    study: Study
    counts: pd.DataFrame
    stratified: dict[str, pd.DataFrame | str]
    overlap: Overlap | None
    collinearity: Collinearity
    prior_conflict: PriorConflict | None
    reported: pd.DataFrame
    checks: dict[str, CountCheck]
    rank: tuple[int, int] | None
    dependences: tuple[Dependence, ...]
    assumed: tuple[str, ...]
    questions: tuple[str, ...]
    groups: tuple[Group, ...]
    helpful: tuple[str, ...]

    @property
    def identification(self) -> pd.DataFrame:
        """One row for each kind of estimand and status, with the estimands."""
        return pd.DataFrame(
            {
                "kind of number": group.kind,
                **group.status.columns,
                "how many": f"{len(group.estimands)} of {group.of}",
                "which": ", ".join(map(_subject, group.estimands)),
            }
            for group in self.groups
        )

    @property
    def identified(self) -> pd.DataFrame:
        """The rows of `identification` that the evidence alone determines."""
        table = self.identification
        return table[table.status == IDENTIFIED]

    @property
    def not_identified(self) -> pd.DataFrame:
        """The rows of `identification` that also depend on model and prior."""
        table = self.identification
        return table[table.status == NOT_IDENTIFIED]


def audit(study: Study) -> Audit:
    """Audit the evidence of a study under its interpretation and stratification.

    Parameters
    ----------
    study
        What `cotreat.load_study` or `cotreat.parse_study` returns.

    Returns
    -------
    Audit
        `cotreat.audit.wording.words` puts it into words.
    """
    evidence = resolve(study)
    numbers = reported_in(evidence)
    checks = {}
    if numbers is None:
        checks = {one.id: check_against_counts(study, one) for one in study.reported_estimates}
    groups = tuple(_groups(study, evidence))
    return Audit(
        study=study,
        counts=_counts(study),
        stratified={s.name or s.id: _stratified(study, s.id) for s in study.stratifications},
        overlap=None if study.is_case_control else overlap_in(study),
        collinearity=collinearity_of(study),
        prior_conflict=_prior_conflict(study),
        reported=_reported(study, evidence, checks),
        checks=checks,
        rank=None if numbers is None else (len(numbers.kept), len(numbers.names)),
        dependences=() if numbers is None else numbers.dependences,
        assumed=() if numbers is None else assumptions(numbers),
        questions=(
            *_questions(study, checks, is_evidence=numbers is not None),
            *([] if numbers is None else assumption(numbers)),
        ),
        groups=groups,
        helpful=_helpful(study, groups),
    )


# --- Counts ----------------------------------------------------------------------------------------


def _counts(study: Study) -> pd.DataFrame:
    arms = {study.label(arm.regimen): arm for arm in study.arms}
    rows = [_count(study, regimen, arms.get(regimen)) for regimen in study.regimens]
    rows += [
        (f"{total.patients} (reported total)", total.events, total.n, None, total.source)
        for total in study.totals
    ]
    table = pd.DataFrame(rows, columns=["regimen", "events", "patients", "crude risk", "source"])
    return table.astype({"events": "Int64", "patients": "Int64"})


def _count(study: Study, regimen: str, arm: Arm | None) -> tuple[object, ...]:
    if arm is not None:
        risk = None if study.is_case_control else arm.events / arm.n
        return regimen, arm.events, arm.n, risk, arm.source
    source = "empty by design"
    if study.is_admitted(regimen):
        source = "counts not reported" if regimen in study.present else "no patients"
    return regimen, None, None, None, source


def _stratified(study: Study, strata: str) -> pd.DataFrame | str:
    try:
        own = study.resolve(strata=strata)
    except StratificationError as error:
        return str(error)
    return _counts(own) if own.counted else ""


def _prior_conflict(study: Study) -> PriorConflict | None:
    regimen = "" if study.baseline is None else study.label(study.baseline.regimen)
    if regimen not in study.counted or study.is_matched:
        return None
    at = study.counted.index(regimen)
    prior = prior_set("weak", study)["alpha"]
    assert prior.mu is not None  # noqa: S101 - for the type checker: alpha has numbers
    assert prior.sigma is not None  # noqa: S101
    if distance(prior.mu, prior.sigma**2, study)[at] <= PRIOR_CONFLICT:
        return None
    return PriorConflict(regimen, float(study.events[at] / study.n[at]), *prior.central())


# --- Reported estimates ----------------------------------------------------------------------------


def _reported(study: Study, evidence: Evidences, checks: dict[str, CountCheck]) -> pd.DataFrame:
    evidence_ids = {name for one in evidence for name in one.rows().id}
    rows = []
    for one in study.reported_estimates:
        use = "evidence" if one.id in evidence_ids else "shown, not used here"
        use = f"checked: {checks[one.id].verdict}" if one.id in checks else use
        question = ("", "", "")
        if one.meaning is not None:
            question = question_of(one.meaning, statistic_of(one.kind))
        adjusted = "yes" if one.adjusted else "no"
        rows.append((one.id, subject(one), *question, one.as_reported, adjusted, use, one.source))
    return pd.DataFrame(rows, columns=REPORTED_COLUMNS)


def subject(reported: ReportedEstimate) -> str:
    """Name the coefficient of a reported estimate, or what the study file states about it.

    Parameters
    ----------
    reported : ReportedEstimate

    Returns
    -------
    str
    """
    if reported.meaning is None:
        return reported.about
    return label(reported.meaning, statistic_of(reported.kind))


def check_against_counts(study: Study, reported: ReportedEstimate) -> CountCheck:
    """Compare a reported estimate with the counts, within its rounding.

    Parameters
    ----------
    study : Study
    reported : ReportedEstimate

    Returns
    -------
    CountCheck

    Notes
    -----
    Standard error of the crude log odds ratio after Woolf, Ann Hum Genet 1955;19:251. Limits of a reported
    interval may themselves be computed from rounded numbers, so that one unit of the last digit is allowed.
    """
    if reported.meaning is None or not study.distinguishes(named_parts(reported.meaning)):
        return CountCheck((), "not comparable: the counts do not determine it")
    statistic = statistic_of(reported.kind)
    coefficient = coefficient_of(reported.meaning, cohort_of(study), is_adjusted=False)
    pooled = coefficient.groups @ study.events / (coefficient.groups @ study.n)
    if not ((pooled > 0) & (pooled < 1)).all():
        return CountCheck((), "not comparable: a side has only one outcome")
    with np.errstate(divide="ignore", over="ignore"):
        log_odds = logit(study.events / study.n)
        sampling = statistic.operator((coefficient,)).moments(
            np, log_odds, None, study.n.astype(float)
        )
    value, error = float(sampling.mean[0]), float(np.sqrt(sampling.variance[0]))
    if not reported.has_interval:
        p = float(2 * ndtr(-abs(value) / error))
        return CountCheck((p,), _p_verdict(reported, p))
    half = float(ndtri(0.5 + reported.level / 2)) * error
    implied = tuple(float(statistic.link.back(value + shift)) for shift in (0, -half, half))
    if reported.adjusted:
        return CountCheck(implied, "not comparable: adjusted, the counts are crude")
    assert reported.ci is not None  # noqa: S101 - for the type checker: an odds ratio has one
    pairs = zip((reported.value, *reported.ci), implied, strict=True)
    off = [str(own.value) for own, limit in pairs if abs(own.value - limit) > 2 * own.half]
    verdict = f"{INCOMPATIBLE}: {', '.join(off)} not within rounding" if off else "agrees"
    if off and reported.kind == ODDS_RATIO.name:
        verdict += _risk_ratio_hint(study, reported, coefficient)
    return CountCheck(implied, verdict)


def _risk_ratio_hint(study: Study, reported: ReportedEstimate, coefficient: Coefficient) -> str:
    """Return a hint at an odds ratio that is the risk ratio of the counts; empty where it is not."""
    if not coefficient.is_saturated:
        return ""
    risks = coefficient.groups @ study.events / (coefficient.groups @ study.n)
    value = np.exp(coefficient.contrast @ np.log(risks))
    if abs(value - reported.value.value) > 2 * reported.value.half:
        return ""
    return f'; it is the risk ratio of the counts: write kind = "{RISK_RATIO}"'


def _p_verdict(reported: ReportedEstimate, p: float) -> str:
    if reported.adjusted or reported.kind == "p_trend":
        return "not comparable: the p-value of the counts is crude, and Wald"
    limit = reported.value.value
    agrees = p < limit if reported.is_below else abs(p - limit) <= P_TOLERANCE
    return "agrees" if agrees else f"{INCOMPATIBLE}: far from their Wald p-value"


def _questions(study: Study, checks: dict[str, CountCheck], *, is_evidence: bool) -> Iterator[str]:
    """Yield what does not fit, or has several interpretations."""
    if is_evidence:
        yield from (*study.warnings, *_ambiguities(study), *_unmatched_p_values(study))
    for one in study.reported_estimates:
        if one.id in checks and checks[one.id].verdict.startswith(INCOMPATIBLE):
            yield f"{one.id} ({one.as_reported}), {subject(one)}: {checks[one.id].verdict}"


def _ambiguities(study: Study) -> Iterator[str]:
    """Yield the reported estimates whose meaning depends on the interpretation."""
    for reported in study.reported_estimates:
        meanings: dict[str, list[str]] = {}
        for interpretation in study.interpretations:
            same = next(r for r in interpretation.reported_estimates if r.id == reported.id)
            meanings.setdefault(subject(same), []).append(interpretation.id)
        if len(meanings) > 1:
            words = "; ".join(f"{meaning} ({', '.join(ids)})" for meaning, ids in meanings.items())
            yield f"{reported.id} ({reported.as_reported}) may mean: {words}"


def _unmatched_p_values(study: Study) -> Iterator[str]:
    """Yield the p-values that are not those of any reported odds ratio."""
    every = study.reported_estimates
    ratios = [one for one in every if one.has_interval and not has_level(one.kind)]
    wald = ", ".join(f"{one.id} {wald_p(one):.2g}" for one in ratios)
    for one in study.reported_estimates:
        is_point = one.kind == "p_value" and not one.is_below
        if is_point and not any(p_agrees(one, ratio) for ratio in ratios):
            yield (
                f"{one.id} ({one.as_reported}) is the Wald p-value of no reported odds ratio ({wald}): "
                "it belongs to a coefficient that is not reported"
            )


# --- Identification --------------------------------------------------------------------------------


def _groups(study: Study, evidence: Evidences) -> Iterator[Group]:
    """Group the estimands by kind and status.

    Estimands are those of the saturated model, which assumes nothing of co-treatments. A contrast of two
    risks is left out: it is identified where the two risks are.
    """
    determination = Determination(study, _typical(study, evidence), evidence)
    without, why = not_estimable(study.why_no_risks), study.why_no_risks
    members = [
        (_kind(e), e, without if why and e.needs_risks else determination.of(e))
        for e in enumerate_estimands(study, MODELS["saturated"], evidence)
        if e.is_judged and not e.is_repeated
    ]
    sizes = Counter(kind for kind, _, _ in members)
    first = {RISKS: 0, ODDS_RATIOS: 1}
    members.sort(key=lambda member: (first.get(member[0], 2), member[0], member[2].name))
    for (kind, status), same in groupby(members, key=lambda member: (member[0], member[2])):
        yield Group(kind, tuple(e for _, e, _ in same), sizes[kind], status)


def _typical(study: Study, evidence: Evidences) -> Point:
    """Return a point at which all is finite and no two uncounted regimens are alike by chance."""
    share = (study.events.sum() + 0.5) / (study.n.sum() + 1) if study.counted else 0.3
    apart = 0.1 * np.sin(np.arange(1, len(study.regimens) + 1))
    log_odds = dict(zip(study.regimens, logit(share) + apart, strict=True))
    log_odds.update(zip(study.counted, logit((study.events + 0.5) / (study.n + 1)), strict=True))
    sigma = 0.7 if SCORE in parameters_of(evidence) else None
    return Point(np.array(list(log_odds.values())), sigma)


def _subject(estimand: Estimand) -> str:
    """Name an estimand within its group."""
    if estimand.synergy is not None:
        return estimand.measure
    return WITHIN.join(filter(None, [estimand.contrast or estimand.pair, estimand.stratum]))


def _kind(estimand: Estimand) -> str:
    if estimand.synergy is None:
        return RISKS if estimand.null is None else ODDS_RATIOS
    given = "no other study drug" if estimand.co_treatment == NONE else estimand.co_treatment
    return WITHIN.join(filter(None, [f"{estimand.pair} with {given}", estimand.stratum]))


def _helpful(study: Study, groups: tuple[Group, ...]) -> tuple[str, ...]:
    """Return the regimens with patients whose counts would identify measures that are not identified."""
    open_ = [group for group in groups if group.status.name == NOT_IDENTIFIED]
    unknown = {e.arms[0] for group in open_ if group.kind == RISKS for e in group.estimands}
    measures = [e for group in open_ for e in group.estimands if e.synergy is not None]
    wanted = {a for e in measures if set(e.arms) <= set(study.present) for a in e.arms}
    return tuple(regimen for regimen in study.regimens if regimen in wanted & unknown)
