"""Sentences that a reader of a summary must not overlook."""

from collections.abc import Callable, Iterator, Sequence

import pandas as pd

from cotreat.audit.overlap import overlap_of
from cotreat.core.constants import CALIBRATION, CONDITIONAL_ONLY, DECIDED, IMPLIED, STANDARDISED
from cotreat.estimands.measures import APART, MEASURES, ODDS_ADDITIVE, REPRESENTATIVE
from cotreat.evidence.contrasts import label
from cotreat.evidence.reported import can_tell, printed
from cotreat.headline import judged, share
from cotreat.models.registry import described
from cotreat.results.old_columns import EXTRAPOLATED, OBSERVED, name_of, old_columns
from cotreat.results.summary import LIKELIHOOD, PENALISED, POSTERIOR, PRINTED
from cotreat.study import regimens
from cotreat.study.study import DURATION, Study

LITTLE_LEARNT = 0.5
MANY = 6
"""So many sentences of one kind are said; more are counted in one."""
COMMON = 0.1
FEW = 5
"""Events, or non-events, below which a regimen is called sparse."""


def remarks(summary: pd.DataFrame, study: Study, cautions: Sequence[str] = ()) -> list[str]:
    """Say in sentences what a reader of the table must not overlook.

    Parameters
    ----------
    cautions
        What `cotreat.diagnostics.checks.cautions` returns.
    """
    summary = old_columns(summary)
    model = summary.model.iloc[0]
    return [
        *_printed_only(summary, study),
        *_patients(study),
        *_separated(summary, study),
        *_sparse(summary, study),
        *_calibration(cautions),
        *_levels(summary, study),
        *of_sequences(study),
        *_subgroups(study),
        *_implied(summary, model),
        *_apart(summary),
        *(_odds_for_risks(summary, study) if described(model).has_products else ()),
        *_against_intervals(summary),
        *_little_learnt(summary),
        *_extrapolated(summary, study),
        *_borrowed_likelihood(summary),
    ]


def _patients(study: Study) -> Iterator[str]:
    cells = study.cells
    if study.is_adjusted and study.is_case_control:
        yield f"{CONDITIONAL_ONLY[0].upper()}{CONDITIONAL_ONLY[1:]}"
    elif cells is not None and study.is_adjusted:
        yield f"{STANDARDISED[0].upper()}{STANDARDISED[1:]}"
        yield str(overlap_of(cells))
    if cells is not None and cells.dropped:
        yield f"{cells}."


def _calibration(cautions: Sequence[str]) -> Iterator[str]:
    if any(line.startswith(CALIBRATION) for line in cautions):
        yield (
            "Predicted risks do not agree with the events, not even in the patients they were fitted to: "
            "standardised risks, which are their means, may be off as well."
        )


def _levels(summary: pd.DataFrame, study: Study) -> Iterator[str]:
    """Say what levels are taken to be, what of them nobody printed, and what a duration hides."""
    if not study.levels:
        return
    if study.division == DURATION:
        yield OF_DURATION
    yield (
        "An effect that never turns back has one direction at all levels by assumption, and with it the "
        "product terms: that one level works and that a higher one does more are one probability, not two, "
        "and no evidence that the response follows the level."
    )
    numbers = printed(study)
    own = summary[summary.estimator == POSTERIOR].set_index("estimand")
    asked = numbers.of_parts if numbers is not None else {}
    for (treatment, _), meaning in asked.items():
        if numbers is None or meaning not in numbers.inferred:
            continue
        row = own.loc[label(meaning)]
        why = (
            "for the overall odds ratio is a mixture of the levels'"
            if numbers.is_mixed(treatment) and not study.counted
            else "by model and prior, and by what else is known of the levels"
        )
        yield (
            f"{row.name} is inferred, not printed: {row.estimate:.3g} ({row.lower:.3g} to "
            f"{row.upper:.3g}, {row.interval}), {why}."
        )
    if (summary.estimator == LIKELIHOOD).any():
        yield (
            "The maximum likelihood beside this model takes levels as categories without order, each "
            "with product terms of its own."
        )


OF_DURATION = (
    "Only who stays on a treatment gets to a long duration of it, and who responds, or does "
    "not live, may stop early: duration and response may be entangled (immortal time), and "
    "this model cannot disentangle them."
)


def of_sequences(study: Study) -> Iterator[str]:
    """Say of treatments given one after the other what that does to each combination of them."""
    names = {treatment.id: treatment.name for treatment in study.treatments}
    for one in study.sequential:
        told = " and ".join(
            [", ".join(map(names.__getitem__, one.treatments[:-1])), names[one.treatments[-1]]]
        )
        taken = dict.fromkeys(regimens.taken(regimens.parse(arm)) for arm in study.present)
        own = [study.label(regimen) for regimen in taken if set(one.treatments) <= regimen]
        if own:
            yield (
                f"{told[0].upper()}{told[1:]} were given one after the other to some or all who got them "
                f"together ({one.source}). Who came to the next drug had been followed until then, and who responded to "
                "the one before, or did not live, never came to it: the waiting time is credited to the combination "
                f"(immortal time). What is said of {', '.join(own)}, and every measure that reads them, may be "
                "entangled with that, and no model here can disentangle them."
            )


def _subgroups(study: Study) -> Iterator[str]:
    if study.groups:
        is_told = study.is_adjusted and not study.is_case_control
        yield (
            "The posterior's effects in subgroups are shrunk towards a common effect of each "
            "treatment; beside them stand effects of each subgroup by itself (maximum likelihood, or "
            "what is printed). Product terms of treatments are taken to be the same in all subgroups"
            + (
                ", and risks are standardised over the patients of their own subgroup."
                if is_told
                else "."
            )
        )


def _separated(summary: pd.DataFrame, study: Study) -> Iterator[str]:
    """Say where the data alone have no finite answer."""
    if not _has_penalised(summary):
        return
    none = _counted(study, lambda events, _: events == 0)
    every = _counted(study, lambda events, n: events == n)
    said = [f"nobody in {none}"] * bool(none) + [f"everybody in {every}"] * bool(every)
    what = f"{' and '.join(said)} had the event" if said else ""
    what = what or "covariates or clusters separate those with the event from those without"
    yield (
        f"{what[0].upper()}{what[1:]}. What maximum likelihood cannot estimate for that reason has a "
        "finite value by the prior, and in the rows of penalised likelihood by Firth's penalty, not by "
        "the data."
    )


def _sparse(summary: pd.DataFrame, study: Study) -> Iterator[str]:
    told = 0 if _has_penalised(summary) else -1
    few = _counted(study, lambda events, n: told < min(events, n - events) < FEW)
    if few:
        yield (
            f"Fewer than {FEW} events or non-events: {few}. Intervals made for large samples are rough "
            "there, and the prior weighs more."
        )


def _has_penalised(summary: pd.DataFrame) -> bool:
    return bool((summary.estimator == PENALISED).any())


def _counted(study: Study, asked: Callable[[int, int], bool]) -> str:
    """Name the counted regimens whose events and patients are as asked, with these."""
    counts = zip(study.counted, study.events, study.n, strict=True)
    return ", ".join(f"{arm} ({events} of {n})" for arm, events, n in counts if asked(events, n))


def _implied(summary: pd.DataFrame, model: str) -> Iterator[str]:
    if (summary.availability == IMPLIED).any():
        yield (
            f"The model {model} has no interaction. With no product term, the signs of the measures "
            "of synergy follow by algebra from the single effects and the reference risk, and no data "
            "could show otherwise: they get no probability."
        )


def _apart(summary: pd.DataFrame) -> Iterator[str]:
    for row in judged(summary).itertuples():
        if MEASURES[row.measure].family.name == APART and row.probability >= DECIDED:
            yield (
                f"{_full(row)} is decided (P {share(row.probability)}): the combination is better "
                "than the better single treatment. That is not evidence of synergy."
            )


def _printed_only(summary: pd.DataFrame, study: Study) -> Iterator[str]:
    """Say what the printed numbers carry, and what they do not."""
    if not study.has_uncounted:
        return
    own = summary[summary.estimator == POSTERIOR]
    observed = own[own.availability == OBSERVED].estimand
    measures = observed[observed.map(name_of).isin(MEASURES)]
    if measures.empty:
        yield (
            f"What is printed determines {len(observed)} ratios, of regimens that were compared in "
            "print, and no risk and no measure of synergy: synergy is extrapolated by model and "
            "prior, whose own probability stands beside the posterior's."
        )
    for claim in study.claims:
        if claim.meaning is None:
            yield f"Shown in print and not used: {claim.id}, {claim.printed}: {claim.about}."
        elif not can_tell(study, claim.meaning):
            yield (
                f"Shown in print and not used here: {claim.id}, {claim.printed}: "
                f"{label(claim.meaning)}; it is evidence where regimens are told by its levels or "
                "subgroups (the models dose, duration and subgroups)."
            )


def _odds_for_risks(summary: pd.DataFrame, study: Study) -> Iterator[str]:
    names = (
        f"The {ODDS_ADDITIVE} measures (reri_or, ap_or, s_or) stand in for the risk-additive ones"
    )
    if study.is_case_control:
        yield f"{names} only if the outcome is rare in every group, which these data cannot show."
        return
    risks = study.events / study.n
    if not study.counted:
        rows = summary[(summary.estimator == POSTERIOR) & (summary.estimand.map(name_of) == "risk")]
        risks = rows.estimate.dropna().to_numpy()
    highest = max(risks if study.outcome.synergy_on == "event" else 1 - risks)
    if highest > COMMON:
        yield (
            f"{names} only where the outcome is rare; on the scale of synergy "
            f"({study.outcome.synergy_on}) it reaches {highest:.0%} here, and they mislead."
        )


def _against_intervals(summary: pd.DataFrame) -> Iterator[str]:
    """Name every decided question that a confidence interval leaves open."""
    keys = ["estimand", "background", "scale"]
    posterior = summary[(summary.estimator == POSTERIOR) & summary.estimand.map(_speaks)]
    decided = posterior[(posterior.probability - 0.5).abs() >= DECIDED - 0.5]
    likelihood = summary[(summary.estimator == LIKELIHOOD) & summary.lower.notna()]
    found = decided.merge(likelihood, on=keys, suffixes=("", "_ml"))
    nulls = [null_of(label) for label in found.estimand]
    found = found[(found.lower_ml <= nulls) & (found.upper_ml >= nulls)]
    if len(found) > MANY:
        names = ", ".join(_full(row) for row in found.head(MANY).itertuples())
        yield (
            f"{len(found)} questions are decided by the posterior, yet the interval of maximum "
            f"likelihood leaves them open ({names}, …): the prior, or the method of the interval, "
            "makes the difference."
        )
        return
    for row in found.itertuples():
        yield (
            f"{_full(row)} is decided (P {share(row.probability)}), yet the {row.interval_ml} "
            f"interval ({row.lower_ml:.4g} to {row.upper_ml:.4g}) includes {null_of(row.estimand):g}: "
            "the prior, or the method of the interval, makes the difference."
        )


def null_of(label: str) -> float:
    """Return the null of a measure, or of a ratio."""
    measure = MEASURES.get(name_of(label))
    return float(measure.null) if measure else 1.0


def _speaks(label: str) -> bool:
    return name_of(label) in {"odds_ratio", *REPRESENTATIVE.values()}


def _little_learnt(summary: pd.DataFrame) -> Iterator[str]:
    rows = judged(summary)
    rows = rows[rows.measure.isin(REPRESENTATIVE.values()) & (rows.contraction < LITTLE_LEARNT)]
    if (summary.estimator == PRINTED).any() or len(rows) > MANY:
        if len(rows):
            yield (
                f"Little was learnt of {len(rows)} measures of synergy (contraction below "
                f"{LITTLE_LEARNT}): their posteriors are still much of their priors."
            )
        return
    for row in rows.itertuples():
        if row.contraction < 0:
            yield (
                f"{_full(row)}: the posterior is wider than the prior (contraction "
                f"{row.contraction:.3g}), as a measure can be whose spread grows with its place."
            )
        else:
            yield (
                f"{_full(row)}: little was learnt (contraction {row.contraction:.2f}); its posterior "
                "is still much of its prior."
            )


def _extrapolated(summary: pd.DataFrame, study: Study) -> Iterator[str]:
    rows = judged(summary)
    rows = rows[
        (rows.availability == EXTRAPOLATED) & (rows.measure == REPRESENTATIVE[ODDS_ADDITIVE])
    ]
    without = [regimen for regimen in study.regimens if regimen not in study.present]
    if len(rows) and not study.has_uncounted:
        where = "; ".join(f"{row.pair} on {row.background}" for row in rows.itertuples())
        yield (
            f"Synergy is extrapolated for {where}: it needs the risk of regimens without patients "
            f"({', '.join(without)}), which model and prior supply."
        )


def _borrowed_likelihood(summary: pd.DataFrame) -> Iterator[str]:
    is_fitted = (summary.estimator == LIKELIHOOD).any()
    if summary.model.iloc[0] == "exchangeable" and is_fitted:
        yield (
            "The maximum likelihood beside this model is that of interaction: a common distribution "
            "of the pairs has no counterpart without a prior."
        )


def _full(row: object) -> str:
    """Name an estimand with its background, unless that is the empty one."""
    label, background = row.estimand, row.background  # type: ignore[attr-defined]
    return label if background in ("", "none") else f"{label} on {background}"
