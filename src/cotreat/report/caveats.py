"""Caveats of a fit, one record each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cotreat.audit.adjustment import assumption
from cotreat.audit.collinearity import collinearity_of
from cotreat.audit.overlap import overlap_in
from cotreat.core.constants import (
    CALIBRATION,
    CONCLUSIVE,
    CONDITIONAL_ONLY,
    IDENTIFIED,
    IMPLIED,
    NOT_IDENTIFIED,
    STANDARDISED,
    WEAK_BELOW,
)
from cotreat.estimands.enumerate import reported_label
from cotreat.estimands.measures import APART, MEASURES, ODDS_ADDITIVE, representatives
from cotreat.evidence.contrasts import named_parts
from cotreat.evidence.protocol import Evidences
from cotreat.evidence.reported import ReportedEstimates, reported_in
from cotreat.frequentist.g_computation import is_conditioned
from cotreat.models.registry import described
from cotreat.report.templates import texts
from cotreat.report.wording import capital, listed
from cotreat.results.monte_carlo import share
from cotreat.results.prior_shift import Mover
from cotreat.results.summary import LIKELIHOOD, PENALISED, POSTERIOR
from cotreat.study import regimens
from cotreat.study.conditioning import conditioning_of
from cotreat.study.study import DURATION, Study

SERIOUS, CAUTION, NOTE = "serious", "caution", "note"
"""Severities: may overturn a conclusion; weakens one; explains what is shown."""

MANY = 6
"""Caveats of one kind at most; more are counted in one caveat."""
COMMON = 0.1
FEW = 5
"""Events, or non-events, below which a regimen is called sparse."""


@dataclass(frozen=True)
class Caveat:
    """A caveat.

    Attributes
    ----------
    subject : str
        The topic, in a word or two.
    severity : str
        `SERIOUS`, `CAUTION` or `NOTE`.
    text : str
        Whole sentences.
    """

    subject: str
    severity: str
    text: str

    def __str__(self) -> str:
        return f"{capital(self.subject)}: {self.text}"

    @classmethod
    def of(cls, key: str, **facts: Any) -> Caveat:
        """Return a caveat of ``caveats.toml``, filled with facts.

        Parameters
        ----------
        key
            Entry of ``caveats.toml``.
        **facts
            Fields of its text.

        Returns
        -------
        Caveat
        """
        words = _WORDS[key]
        return cls(words["subject"], words["severity"], capital(words["text"].format(**facts)))


_WORDS = texts("caveats.toml")

Key = tuple[str, str]
"""Label of an estimand, and the scale on which it is judged."""

OF_DURATION = Caveat.of("duration")


def caveats(
    summary: pd.DataFrame,
    evidence: Evidences,
    cautions: Sequence[str] = (),
    moved: Mapping[Key, Mover] | None = None,
) -> list[Caveat]:
    """List the caveats of a fit, the most serious first.

    Parameters
    ----------
    summary
        As `cotreat.results.summary.summarise` returns it.
    evidence
        What the study resolves to.
    cautions
        As `cotreat.diagnostics.checks.cautions` returns them.
    moved
        Which prior moves each estimand most, as `cotreat.results.prior_shift.named` returns it.

    Returns
    -------
    list of Caveat
    """
    study, numbers = evidence[0].study, reported_in(evidence)
    rows = summary[summary.estimator == POSTERIOR]
    found = [
        *_reported_only(rows, numbers),
        *_assignment(study),
        *_crude_and_adjusted(numbers),
        *_patients(study),
        *_few_events(summary, study),
        *([Caveat.of("calibration")] if any(c.startswith(CALIBRATION) for c in cautions) else []),
        *_levels(summary, study, numbers),
        *of_sequences(study),
        *_subgroups(study),
        *_model(summary),
        *_better_than_either(rows),
        *_odds_for_risks(rows, study),
        *_against_intervals(summary, moved or {}),
        *_weak(rows),
        *_not_identified(rows, study),
    ]
    return sorted(found, key=lambda one: (SERIOUS, CAUTION, NOTE).index(one.severity))


# --- The evidence ----------------------------------------------------------------------------------


def _reported_only(rows: pd.DataFrame, numbers: ReportedEstimates | None) -> Iterator[Caveat]:
    """Name what the reported estimates identify, and those that are not used."""
    if numbers is None:
        return
    identified = rows[rows.status == IDENTIFIED]
    if not (identified.scale != "").any():
        yield Caveat.of("reported_only", number=len(identified))
    for estimate in numbers.study.reported_estimates:
        number = f"{estimate.id}, {estimate.as_reported}"
        if estimate.meaning is None:
            yield Caveat.of("no_meaning", number=number, about=estimate.about)
        elif not numbers.study.distinguishes(named_parts(estimate.meaning)):
            yield Caveat.of("other_models", number=number, about=reported_label(estimate.meaning))


def _assignment(study: Study) -> Iterator[Caveat]:
    """State what is not confounded where only some treatments were assigned at random."""
    if study.randomised and study.not_randomised:
        names = {treatment.id: treatment.name for treatment in study.treatments}
        randomised, others = (
            listed(names[treatment] for treatment in treatments)
            for treatments in (study.randomised, study.not_randomised)
        )
        yield Caveat.of("partly_randomised", randomised=randomised, others=others)


def _crude_and_adjusted(numbers: ReportedEstimates | None) -> Iterator[Caveat]:
    """State the assumption under which adjusted and crude numbers are used together."""
    for words in [] if numbers is None else assumption(numbers):
        yield Caveat.of("crude_and_adjusted", words=words)


def _patients(study: Study) -> Iterator[Caveat]:
    patterns = study.patterns
    if study.is_matched:
        yield Caveat.of("adjustment", words=capital(str(conditioning_of(study))))
    elif study.is_adjusted and study.is_case_control:
        yield Caveat.of("adjustment", words=capital(CONDITIONAL_ONLY))
    elif patterns is not None and study.is_adjusted:
        yield Caveat.of("adjustment", words=capital(STANDARDISED))
        if overlap := overlap_in(study):
            words = str(overlap).removeprefix("Overlap: ")
            yield Caveat.of("overlap", words=capital(words))
    if patterns is not None and is_conditioned(patterns):
        risks = " Its risks are marginal, with variances that allow for correlation within each {}."
        unit = "matched set" if study.is_matched else "cluster"
        words = "" if study.is_case_control else risks.format(unit)
        yield Caveat.of("conditional_likelihood", unit=unit, risks=words)
    collinearity = collinearity_of(study)
    for one in collinearity.exact:
        yield Caveat.of("collinear" if one.with_treatments else "nearly_collinear", words=str(one))
    for near in collinearity.near:
        yield Caveat.of("nearly_collinear", words=str(near))
    if patterns is not None and patterns.dropped:
        yield Caveat.of("dropped", cells=patterns)


def _few_events(summary: pd.DataFrame, study: Study) -> Iterator[Caveat]:
    """State where maximum likelihood has no finite estimate, and which regimens have few events."""
    has_penalised = (summary.estimator == PENALISED).any()
    if has_penalised:
        none = _counted(study, lambda events, _: events == 0)
        every = _counted(study, lambda events, n: events == n)
        who = [f"no patient in {none}"] * bool(none) + [f"every patient in {every}"] * bool(every)
        what = f"{' and '.join(who)} had the event" if who else ""
        what = what or "covariates or clusters separate patients with the event from those without"
        yield Caveat.of("separation", what=capital(what))
    least = 0 if has_penalised else -1
    few = _counted(study, lambda events, n: least < min(events, n - events) < FEW)
    if few:
        yield Caveat.of("sparse", few=FEW, regimens=few)


def _counted(study: Study, is_wanted: Callable[[int, int], bool]) -> str:
    """Name the counted regimens whose events and patients are as wanted, with these."""
    counts = zip(study.counted, study.events, study.n, strict=True)
    return ", ".join(
        f"{arm} ({events} of {n})" for arm, events, n in counts if is_wanted(events, n)
    )


# --- Levels, sequences, subgroups ------------------------------------------------------------------


def _levels(
    table: pd.DataFrame, study: Study, numbers: ReportedEstimates | None
) -> Iterator[Caveat]:
    """State the assumptions on levels, the levels that are not reported, and immortal-time bias."""
    if not study.levels:
        return
    if study.strata == DURATION:
        yield OF_DURATION
    yield Caveat.of("monotone")
    if numbers is not None:
        yield from _inferred(table[table.estimator == POSTERIOR], numbers)
    if (table.estimator == LIKELIHOOD).any():
        yield Caveat.of("levels_likelihood")


def _inferred(rows: pd.DataFrame, numbers: ReportedEstimates) -> Iterator[Caveat]:
    """Name the odds ratios of levels that the paper does not report."""
    by_label = rows.set_index("label")[["estimate", "lower", "upper", "interval"]]
    for (treatment, _), meaning in numbers.of_parts.items():
        if meaning in numbers.inferred:
            is_mixed = numbers.is_mixed(treatment) and not numbers.study.counted
            mixture = "because the overall odds ratio is a mixture of the levels'"
            other = "by model and prior, and by the other numbers of the levels"
            label, why = reported_label(meaning), mixture if is_mixed else other
            yield Caveat.of("inferred", label=label, why=why, **by_label.loc[label])


def of_sequences(study: Study) -> Iterator[Caveat]:
    """State the immortal-time bias of each combination of treatments given one after the other.

    Parameters
    ----------
    study
        With its treatments given one after the other.

    Yields
    ------
    Caveat
    """
    names = {treatment.id: treatment.name for treatment in study.treatments}
    for one in study.sequential:
        taken = dict.fromkeys(regimens.taken(regimens.parse(arm)) for arm in study.present)
        exposed = [study.label(regimen) for regimen in taken if set(one.treatments) <= regimen]
        if exposed:
            treatments = capital(listed(map(names.__getitem__, one.treatments)))
            arms = ", ".join(exposed)
            yield Caveat.of("sequence", treatments=treatments, source=one.source, regimens=arms)


def _subgroups(study: Study) -> Iterator[Caveat]:
    if study.groups:
        is_standardised = study.is_adjusted and not study.is_case_control
        risks = ", and risks are standardised over the patients of their subgroup"
        yield Caveat.of("subgroups", risks=risks if is_standardised else "")


# --- The measures ----------------------------------------------------------------------------------


def _model(summary: pd.DataFrame) -> Iterator[Caveat]:
    """State what the model has no parameter for, and maximum likelihood no counterpart."""
    model = summary.model.iloc[0]
    if (summary.status == IMPLIED).any():
        yield Caveat.of("implied", model=model)
    if model == "exchangeable" and (summary.estimator == LIKELIHOOD).any():
        yield Caveat.of("pooled_likelihood")


def _better_than_either(rows: pd.DataFrame) -> Iterator[Caveat]:
    for row in rows[(rows.scale == APART) & (rows.probability >= CONCLUSIVE)].itertuples():
        yield Caveat.of("better_than_either", label=row.label, probability=share(row.probability))


def _odds_for_risks(rows: pd.DataFrame, study: Study) -> Iterator[Caveat]:
    if not described(rows.model.iloc[0]).has_products:
        return
    if study.is_case_control:
        yield Caveat.of("rare_unknown")
        return
    risks = study.events / study.n
    if not study.counted:
        risks = rows[rows.measure == "risk"].estimate.dropna().to_numpy()
    highest = max(risks if study.outcome.synergy_on == "event" else 1 - risks)
    if highest > COMMON:
        yield Caveat.of("rare", side=study.outcome.synergy_on, highest=highest)


def _against_intervals(table: pd.DataFrame, moved: Mapping[Key, Mover]) -> Iterator[Caveat]:
    """Name each question on which posterior and confidence interval differ in being conclusive."""
    rows = table[(table.estimator == POSTERIOR) & table.measure.isin(_JUDGED)]
    rows = rows[rows.probability.notna()]
    likelihood = table[(table.estimator == LIKELIHOOD) & table.lower.notna()]
    found = rows.merge(likelihood, on=["label", "judged_on"], suffixes=("", "_ml"))
    # The null of a measure of synergy, or of a ratio.
    null = pd.Series([float(MEASURES[m].null) if m in MEASURES else 1.0 for m in found.measure])
    includes = (found.lower_ml <= null) & (found.upper_ml >= null)
    is_conclusive = (found.probability - 0.5).abs() >= CONCLUSIVE - 0.5
    found = found.assign(null=null)
    yield from _differing(found[is_conclusive & includes], "interval", moved)
    yield from _differing(found[~is_conclusive & ~includes], "undone", moved)


def _differing(found: pd.DataFrame, key: str, moved: Mapping[Key, Mover]) -> Iterator[Caveat]:
    """Yield a caveat per question, or one for all if they are many; the prior is named."""
    questions = [rows for _, rows in found.groupby(["label", "judged_on"], sort=False)]
    if len(questions) > MANY:
        firsts = sorted((rows.iloc[0] for rows in questions), key=lambda row: row.scale == "")
        labels = ", ".join(row.label for row in firsts[:MANY])
        movers = [moved.get((row.label, row.judged_on)) for row in firsts]
        priors = list(dict.fromkeys(one.prior for one in movers if one is not None))
        why = f" ({listed(priors)})" if priors else ""
        yield Caveat.of(f"{key}_many", number=len(questions), labels=labels, why=why)
        return
    verb = {"interval": "includes", "undone": "excludes"}[key]
    for rows in questions:
        row = rows.iloc[0]
        limits = listed(
            [
                f"the {one.interval_ml} interval ({one.lower_ml:.4g} to {one.upper_ml:.4g}) {verb} {one.null:g}"
                for one in rows.itertuples()
            ]
        )
        mover = moved.get((row.label, row.judged_on))
        why = "prior" if mover is None else f"{mover.prior}, {mover.how}"
        facts = {"label": row.label, "probability": share(row.probability)}
        yield Caveat.of(key, **facts, intervals=limits, estimate=row.estimate, why=why)


_JUDGED = ("odds_ratio", *representatives().values())


def _weak(rows: pd.DataFrame) -> Iterator[Caveat]:
    """Name each measure that is identified but weak."""
    measures = rows[rows.measure.isin(representatives().values()) & rows.probability.notna()]
    own = measures[(measures.status == IDENTIFIED) & (measures.data_share < WEAK_BELOW)]
    if len(own) > MANY:
        yield Caveat.of("weak_many", limit=WEAK_BELOW, number=len(own))
        return
    for row in own.itertuples():
        yield Caveat.of("weak", label=row.label, share=row.data_share, overlap=row.overlap)


def _not_identified(rows: pd.DataFrame, study: Study) -> Iterator[Caveat]:
    own = rows[(rows.status == NOT_IDENTIFIED) & (rows.measure == representatives()[ODDS_ADDITIVE])]
    own = own[own.probability.notna()]
    without = ", ".join(regimen for regimen in study.regimens if regimen not in study.present)
    if len(own) and not study.has_uncounted:
        where = "; ".join(f"{row.pair} {_given(row)}" for row in own.itertuples())
        what = (
            f"the risk of regimens without patients ({without})"
            if without
            else "more than the evidence"
        )
        yield Caveat.of("not_identified", where=where, what=what)


def _given(row: Any) -> str:
    """Name the co-treatment and subgroup of a measure of synergy."""
    is_none = row.co_treatment == regimens.NONE
    given = "with no other study drug" if is_none else f"with {row.co_treatment}"
    return f"{given} in {row.stratum}" if row.stratum else given
