"""List the estimands of a study: risks, odds ratios, contrasts of risks, reported ones, measures."""

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
    label_of,
    on_scale,
)
from cotreat.estimands.identification import Identification
from cotreat.estimands.measures import MEASURES, Measure, odds, representatives
from cotreat.evidence import contrasts
from cotreat.evidence.protocol import Evidences
from cotreat.models.registry import Model
from cotreat.study import regimens
from cotreat.study.study import Meaning, Scale, Study

ASSUMED = "assumed the same with every co-treatment"
"""Assumption behind one number for all co-treatments."""


def enumerate_estimands(study: Study, model: Model, evidence: Evidences) -> list[Estimand]:
    """List every estimand of a study: risks, odds ratios of all pairs of regimens, measures, ….

    Parameters
    ----------
    model
        Under a model with structure the ratio of odds ratios is the same on every background, so it
        is listed once for each pair of treatments.
    evidence
        What the study resolves to.
    """
    return [
        *_risks(study),
        *_odds_ratios(study),
        *_risk_contrasts(study),
        *_coefficients(evidence),
        *_effect_ratios(study),
        *_effect_modification(study),
        *_measures(study, model),
    ]


def _coefficients(evidence: Evidences) -> Iterator[Estimand]:
    """Yield the coefficients that are reported, or could have been, and are no contrast of two regimens."""
    known: set[tuple[str, str, str]] = set()
    for one in (own for of in evidence for own in of.coefficients):
        question = (one.measure, one.contrast, one.pair)
        if question in known or (one.is_of_regimens and one.measure in OF_REGIMENS):
            continue
        known.add(question)
        yield Estimand(
            one.measure,
            (),
            one.statistic.link.back,
            contrast=one.contrast,
            pair=one.pair,
            unit=one.statistic.unit,
            null=one.statistic.null,
            log=one.statistic.link.is_log,
            needs_risks=not one.statistic.is_regression,
            reported_estimate=one.id,
            is_crude=one.is_crude,
        )


def reported_label(meaning: Meaning) -> str:
    """Return the name of the coefficient that a reported odds ratio estimates, for people."""
    return label_of(*contrasts.question_of(meaning), "", "")


def _effect_ratios(study: Study) -> Iterator[Estimand]:
    """Yield for each treatment its odds ratio with one partner over that with another.

    No model lets it differ between subgroups, so that it is asked in the first of them.
    """
    within = frozenset(study.groups[:1])
    for drug in study.treatment_ids:
        others = [other for other in study.treatment_ids if other != drug]
        for pair in combinations(others, 2):
            for part, one, two in product(*map(study.parts_of, (drug, *pair))):
                yield _effect_ratio(study, part, one, two, within)


def _effect_modification(study: Study) -> Iterator[Estimand]:
    """Yield for each treatment its odds ratio in one subgroup over that in another.

    Every model holds it the same on all backgrounds.
    """
    for drug, one, other in modifications(study).values():
        yield _effect_ratio(study, drug, one, other, spoken_background(study, drug))


def modifications(study: Study) -> dict[str, tuple[str, str, str]]:
    """Return each treatment and two subgroups by the contrast of its effects in them."""
    return {
        _effects(drug, one, other): (drug, one, other)
        for drug in study.treatment_ids
        for other, one in combinations(study.groups, 2)
    }


def _effects(part: str, one: str, other: str) -> str:
    return f"{part}: {regimens.contrast(one, other)}"


def _effect_ratio(
    study: Study, part: str, one: str, other: str, beside: regimens.Regimen
) -> Estimand:
    """Ask for the odds ratio of a part with one thing over that with another."""
    sets = ({part, one}, {one}, {part, other}, {other})
    return Estimand(
        EFFECT_RATIO,
        tuple(study.label(beside | regimen) for regimen in sets),
        lambda r1, r2, r3, r4: odds(r1) * odds(r4) / (odds(r2) * odds(r3)),
        contrast=_effects(part, one, other),
        null=1.0,
        log=True,
    )


def spoken_background(study: Study, drug: str) -> regimens.Regimen:
    """Return the treatments beside which a drug's effect is counted at every level and in every subgroup.

    The fewest that do; none where the evidence has no such background.
    """
    others = [treatment for treatment in study.treatment_ids if treatment != drug]
    groups = [frozenset({group}) for group in study.groups] or [frozenset[str]()]
    for background in regimens.lattice(others):
        beside = [background | own for own in groups]
        wanted = {study.label(one) for one in beside}
        wanted |= {study.label(one | {part}) for one in beside for part in study.parts_of(drug)}
        if wanted <= set(study.counted):
            return background
    return frozenset()


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
    """Return every two regimens within one stratum, the later one first, by contrast and stratum."""
    found = {}
    for reference, arm in combinations(study.regimens, 2):
        group = regimens.group_of(arm)
        if group == regimens.group_of(reference):
            sides = map(regimens.without_group, (arm, reference))
            found[regimens.contrast(*sides), group] = (arm, reference)
    return found


def _odds_ratios(study: Study) -> Iterator[Estimand]:
    for (contrast, stratum), arms in compared(study).items():
        yield Estimand(
            ODDS_RATIO,
            arms,
            _odds_ratio,
            contrast=contrast,
            stratum=stratum,
            null=1.0,
            log=True,
        )


def _odds_ratio(r: Any, r0: Any) -> Any:
    return odds(r) / odds(r0)


def _risk_contrasts(study: Study) -> Iterator[Estimand]:
    """Yield contrasts of risks, which are means over covariates where odds ratios are conditional."""
    if study.is_case_control:
        return
    for (contrast, stratum), arms in compared(study).items():
        for name, of, null in CONTRASTS:
            if name != MARGINAL or study.is_adjusted:
                yield Estimand(
                    name,
                    arms,
                    of,
                    contrast=contrast,
                    stratum=stratum,
                    unit="ratio" if null == 1 else "difference",
                    null=null,
                    log=null == 1,
                    needs_risks=True,
                    is_repeated=True,
                )


CONTRASTS: tuple[tuple[str, Callable[..., Any], float], ...] = (
    (DIFFERENCE, lambda r, r0: r - r0, 0.0),
    (RATIO, lambda r, r0: r / r0, 1.0),
    (MARGINAL, _odds_ratio, 1.0),
)
"""Contrasts of two risks, with their formula and null."""
OF_REGIMENS = (ODDS_RATIO, *(name for name, *_ in CONTRASTS))
"""Contrasts of two regimens that need no reported estimate."""


def _measures(study: Study, model: Model) -> Iterator[Estimand]:
    scales: tuple[Scale, ...] = ("event",)
    if study.outcome.synergy_on == "non-event":
        scales = ("non-event", "event")
    for name, pair in study.judged_pairs.items():
        for measure in MEASURES.values():
            for scale in scales:
                for fields, arms in _co_treatments(study, model, pair, measure):
                    yield Estimand(
                        measure.name,
                        arms,
                        on_scale(measure, scale),
                        pair=name,
                        co_treatment=fields["co_treatment"],
                        stratum=fields.get("stratum", ""),
                        assumption=fields.get("assumption", ""),
                        judged_on=scale,
                        unit=measure.unit,
                        null=measure.null,
                        log=measure.log,
                        needs_risks=measure.needs_risks,
                        synergy=measure,
                        is_judged=scale == study.outcome.synergy_on,
                    )


def _co_treatments(
    study: Study, model: Model, pair: tuple[str, str], measure: Measure
) -> Iterator[tuple[dict[str, str], tuple[str, ...]]]:
    """Yield the fields of a co-treatment and its four regimens, in the order 00, 10, 01, 11."""
    cells = [
        (study.label(others), four_cells(study, pair, others)) for others in study.backgrounds(pair)
    ]
    if not measure.is_contrast or not model.has_structure or len(cells) == 1:
        for label, arms in cells:
            yield named_co_treatment(label), arms
        return
    # One number for all co-treatments: read it where the evidence speaks, if it does anywhere.
    observed = [(label, arms) for label, arms in cells if set(arms) <= set(study.counted)]
    assumption = ASSUMED
    if observed and len(observed) < len(cells):
        with_ = ", ".join(label for label, _ in observed)
        assumption = f"counted with {with_}; {ASSUMED}"
    yield {"co_treatment": ANY, "assumption": assumption}, (observed or cells)[0][1]


def named_co_treatment(label: str) -> dict[str, str]:
    """Return the fields ``co_treatment`` and ``stratum`` of a regimen that is given besides a pair."""
    return {"co_treatment": regimens.without_group(label), "stratum": regimens.group_of(label)}


def four_cells(
    study: Study, pair: tuple[str, str], background: regimens.Regimen
) -> tuple[str, str, str, str]:
    """Return the regimens 00, 10, 01, 11 of two parts on a background."""
    first, second = pair
    added: tuple[set[str], ...] = (set(), {first}, {second}, {first, second})
    none, one, other, both = (study.label(background | extra) for extra in added)
    return none, one, other, both


def judged_measures(
    study: Study, model: Model, risk_draws: RiskDraws, evidence: Evidences
) -> list[Estimand]:
    """List one measure of each family, pair and background that gets a probability."""
    identification = Identification(study, model, risk_draws, evidence)
    return [
        estimand
        for estimand in enumerate_estimands(study, model, evidence)
        if is_representative(estimand)
        and estimand.is_judged
        and identification.of(estimand).is_open
    ]


def is_representative(estimand: Estimand) -> bool:
    """Tell whether an estimand is the measure that stands for a family of synergy."""
    return estimand.synergy is not None and estimand.measure in representatives().values()
