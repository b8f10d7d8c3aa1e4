"""List the estimands of a study: risks, odds ratios, contrasts of risks, coefficients, measures."""

from collections.abc import Callable, Iterator
from itertools import combinations, product
from typing import Any

from cotreat.core.constants import ANY
from cotreat.estimands.estimand import (
    DIFFERENCE,
    EFFECT_RATIO,
    MARGINAL,
    ODDS_RATIO,
    RATIO,
    RISK,
    Estimand,
    RiskDraws,
    fields_of,
    label_of,
)
from cotreat.estimands.identification import Identification
from cotreat.estimands.measures import MEASURES, Measure, odds, representatives
from cotreat.evidence import contrasts
from cotreat.evidence.protocol import Evidences, ReportedCoefficient
from cotreat.models.registry import Model
from cotreat.study import regimens
from cotreat.study.study import Meaning, Scale, Study

ASSUMED = "assumed the same with every co-treatment"
"""Assumption of a measure that is constant over co-treatments."""


def enumerate_estimands(study: Study, model: Model, evidence: Evidences) -> list[Estimand]:
    """List every estimand of a study.

    Parameters
    ----------
    study
        The study, resolved to an interpretation and a stratification.
    model
        Under a model with structure the ratio of odds ratios is constant over co-treatments, so that it is
        listed once for each pair of treatments.
    evidence
        What the study resolves to.

    Returns
    -------
    list of Estimand
        Risks, their contrasts, coefficients, and measures of interaction.
    """
    return [
        *_risks(study),
        *_of_two(study, ((ODDS_RATIO, _odds_ratio, 1.0),)),
        *_risk_contrasts(study),
        *_coefficients(evidence),
        *_effect_ratios(study),
        *_effect_modification(study),
        *_measures(study, model),
    ]


# --- Risks and their contrasts ----------------------------------------------------------------------


def _risks(study: Study) -> Iterator[Estimand]:
    for arm in study.regimens:
        yield Estimand(
            RISK,
            (arm,),
            lambda r: r,
            contrast=regimens.without_group(arm),
            stratum=regimens.group_of(arm),
            unit="risk",
            needs_risks=True,
        )


def compared(study: Study) -> dict[tuple[str, str], tuple[str, str]]:
    """Return every two regimens of one stratum, the later one first, by contrast and stratum.

    Parameters
    ----------
    study
        The study, resolved to an interpretation and a stratification.

    Returns
    -------
    dict
        The two regimens by contrast and stratum.
    """
    pairs = {}
    for reference, arm in combinations(study.regimens, 2):
        group = regimens.group_of(arm)
        if group == regimens.group_of(reference):
            sides = map(regimens.without_group, (arm, reference))
            pairs[regimens.contrast(*sides), group] = (arm, reference)
    return pairs


def _odds_ratio(r: Any, r0: Any) -> Any:
    return odds(r) / odds(r0)


Contrasts = tuple[tuple[str, Callable[..., Any], float], ...]

CONTRASTS: Contrasts = (
    (DIFFERENCE, lambda r, r0: r - r0, 0.0),
    (RATIO, lambda r, r0: r / r0, 1.0),
    (MARGINAL, _odds_ratio, 1.0),
)
"""Contrasts of two risks: measure, formula and null."""
OF_REGIMENS = (ODDS_RATIO, *(name for name, *_ in CONTRASTS))
"""Contrasts of two regimens that need no reported estimate."""


def _of_two(study: Study, contrasts: Contrasts, **fields: Any) -> Iterator[Estimand]:
    """Yield contrasts of every two regimens of one stratum."""
    for ((contrast, stratum), arms), (name, formula, null) in product(
        compared(study).items(), contrasts
    ):
        yield Estimand(
            name,
            arms,
            formula,
            contrast=contrast,
            stratum=stratum,
            unit="ratio" if null == 1 else "difference",
            null=null,
            log=null == 1,
            **fields,
        )


def _risk_contrasts(study: Study) -> Iterator[Estimand]:
    """Yield contrasts of risks, which are means over covariates where odds ratios are conditional."""
    if not study.is_case_control:
        is_conditional = study.is_adjusted or study.is_matched
        contrasts = CONTRASTS if is_conditional else CONTRASTS[:-1]  # without the marginal one
        yield from _of_two(study, contrasts, needs_risks=True, is_repeated=True)


# --- Coefficients and ratios of odds ratios of one treatment ------------------------------------------


def _coefficients(evidence: Evidences) -> Iterator[Estimand]:
    """Yield the reported, or inferred, coefficients that are no contrast of two regimens."""
    first: dict[tuple[str, str, str], ReportedCoefficient] = {}
    for coefficient in (c for piece in evidence for c in piece.coefficients):
        question = (coefficient.measure, coefficient.contrast, coefficient.pair)
        first.setdefault(question, coefficient)
    for (measure, contrast, pair), coefficient in first.items():
        statistic = coefficient.statistic
        if not (coefficient.is_of_regimens and measure in OF_REGIMENS):
            yield Estimand(
                measure,
                (),
                statistic.link.back,
                contrast=contrast,
                pair=pair,
                unit=statistic.unit,
                null=statistic.null,
                log=statistic.link.is_log,
                needs_risks=not statistic.is_regression,
                reported_estimate=coefficient.id,
                is_crude=coefficient.is_crude,
            )


def reported_label(meaning: Meaning) -> str:
    """Return the label of the coefficient that a reported estimate is.

    Parameters
    ----------
    meaning
        Contrast of a reported estimate.

    Returns
    -------
    str
        The label.
    """
    return label_of(*contrasts.question_of(meaning), "", "")


def _effect_ratios(study: Study) -> Iterator[Estimand]:
    """Yield for each treatment its odds ratio with one partner over that with another.

    Every model holds it constant over subgroups, so that it is listed in the first of them.
    """
    within = frozenset(study.groups[:1])
    for drug in study.treatment_ids:
        others = [other for other in study.treatment_ids if other != drug]
        for pair in combinations(others, 2):
            for part, one, other in product(*map(study.parts_of, (drug, *pair))):
                yield _effect_ratio(study, part, one, other, within)


def _effect_modification(study: Study) -> Iterator[Estimand]:
    """Yield for each treatment its odds ratio in one subgroup over that in another.

    Every model holds it constant over co-treatments.
    """
    for parts in modifications(study).values():
        yield _effect_ratio(study, *parts, counted_co_treatment(study, parts[0]))


def modifications(study: Study) -> dict[str, tuple[str, str, str]]:
    """Return each treatment with two subgroups, by the contrast of its effects in them.

    Parameters
    ----------
    study
        The study, resolved to an interpretation and a stratification.

    Returns
    -------
    dict
        Treatment and two subgroups by contrast.
    """
    return {
        _effects(drug, one, other): (drug, one, other)
        for drug in study.treatment_ids
        for other, one in combinations(study.groups, 2)
    }


def _effects(part: str, one: str, other: str) -> str:
    return f"{part}: {regimens.contrast(one, other)}"


def _effect_ratio(
    study: Study, part: str, one: str, other: str, co_treatment: regimens.Regimen
) -> Estimand:
    """Return the odds ratio of a part with one partner over that with another."""
    sets = ({part, one}, {one}, {part, other}, {other})
    return Estimand(
        EFFECT_RATIO,
        tuple(study.label(co_treatment | regimen) for regimen in sets),
        lambda r1, r2, r3, r4: odds(r1) * odds(r4) / (odds(r2) * odds(r3)),
        contrast=_effects(part, one, other),
        null=1.0,
        log=True,
    )


def counted_co_treatment(study: Study, drug: str) -> regimens.Regimen:
    """Return the smallest co-treatment with which a drug is counted at every level and in every subgroup.

    None where there is no such co-treatment.

    Parameters
    ----------
    study
        The study, resolved to an interpretation and a stratification.
    drug
        Id of the treatment.

    Returns
    -------
    frozenset of str
        The co-treatment; empty where there is none.
    """
    others = [treatment for treatment in study.treatment_ids if treatment != drug]
    groups = [frozenset({group}) for group in study.groups] or [frozenset[str]()]
    for co_treatment in regimens.lattice(others):
        without = [co_treatment | group for group in groups]
        with_ = [regimen | {part} for regimen in without for part in study.parts_of(drug)]
        if {study.label(regimen) for regimen in (*without, *with_)} <= set(study.counted):
            return co_treatment
    return frozenset()


# --- Measures of interaction ---------------------------------------------------------------------------


def _measures(study: Study, model: Model) -> Iterator[Estimand]:
    judged_on = study.outcome.synergy_on
    scales: tuple[Scale, ...] = ("event",) if judged_on == "event" else ("non-event", "event")
    for (name, pair), measure in product(study.judged_pairs.items(), MEASURES.values()):
        for scale in scales:
            for fields, arms in _co_treatments(study, model, pair, measure):
                yield Estimand(
                    arms=arms,
                    pair=name,
                    **fields,
                    needs_risks=measure.needs_risks,
                    is_judged=scale == judged_on,
                    **fields_of(measure, scale),
                )


def _co_treatments(
    study: Study, model: Model, pair: tuple[str, str], measure: Measure
) -> Iterator[tuple[dict[str, Any], tuple[str, ...]]]:
    """Yield the fields of each co-treatment and its four regimens, in the order 00, 10, 01, 11."""
    every = [
        (study.label(others), four_cells(study, pair, others))
        for others in study.co_treatments(pair)
    ]
    if not measure.is_contrast or not model.has_structure or len(every) == 1:
        for label, arms in every:
            yield named_co_treatment(label), arms
        return
    # A measure that is constant over co-treatments is evaluated where its four regimens are counted.
    counted = [(label, arms) for label, arms in every if set(arms) <= set(study.counted)]
    assumption = ASSUMED
    if 0 < len(counted) < len(every):
        assumption = f"counted with {', '.join(label for label, _ in counted)}; {ASSUMED}"
    yield {"co_treatment": ANY, "assumption": assumption}, (counted or every)[0][1]


def named_co_treatment(label: str) -> dict[str, str]:
    """Return the fields ``co_treatment`` and ``stratum`` of a regimen that all patients of a pair have.

    Parameters
    ----------
    label
        Label of the regimen.

    Returns
    -------
    dict
        The two fields.
    """
    return {"co_treatment": regimens.without_group(label), "stratum": regimens.group_of(label)}


def four_cells(
    study: Study, pair: tuple[str, str], co_treatment: regimens.Regimen
) -> tuple[str, str, str, str]:
    """Return the regimens 00, 10, 01, 11 of two treatments with a co-treatment.

    Parameters
    ----------
    study
        The study, resolved to an interpretation and a stratification.
    pair
        The two treatments.
    co_treatment
        Other treatments of all patients.

    Returns
    -------
    none, first, second, both : str
        Labels of the regimens.
    """
    first, second = pair
    added: tuple[set[str], ...] = (set(), {first}, {second}, {first, second})
    none, one, other, both = (study.label(co_treatment | extra) for extra in added)
    return none, one, other, both


def judged_measures(
    study: Study, model: Model, risk_draws: RiskDraws, evidence: Evidences
) -> list[Estimand]:
    """List the representative measure of each family, pair and co-treatment that has a probability.

    Parameters
    ----------
    study
        The study, resolved to an interpretation and a stratification.
    model
        The model.
    risk_draws
        Draws of the risks by arm.
    evidence
        Evidence of the study.

    Returns
    -------
    list of Estimand
        Identified or not identified, judged on the scale of synergy.
    """
    identification = Identification(study, model, risk_draws, evidence)
    return [
        estimand
        for estimand in enumerate_estimands(study, model, evidence)
        if is_representative(estimand)
        and estimand.is_judged
        and identification.of(estimand).is_open
    ]


def is_representative(estimand: Estimand) -> bool:
    """Return whether an estimand is the representative measure of a family of synergy.

    Parameters
    ----------
    estimand
        The estimand.

    Returns
    -------
    bool
        True for the first measure of its family in the registry.
    """
    return estimand.synergy is not None and estimand.measure in representatives().values()
