"""Put an audit into words."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from cotreat.audit.audit import ODDS_RATIOS, RISKS, Audit
from cotreat.core.constants import CONDITIONAL_ONLY, IDENTIFIED, STANDARDISED
from cotreat.evidence.contrasts import named_parts
from cotreat.evidence.reported import link_value, standard_error, wald_p
from cotreat.evidence.statistics import statistic_of
from cotreat.models.registry import SUBGROUPS
from cotreat.study.study import ReportedEstimate, Study

LISTED = 12
"""Identified odds ratios are listed by name up to this number."""
AGREEMENT = {True: "agrees within rounding", False: "INCOMPATIBLE", None: "not compared"}


def words(audit: Audit) -> str:
    """Return an audit as text: evidence, dependences, open questions and identification.

    Parameters
    ----------
    audit : Audit

    Returns
    -------
    str
    """
    study = audit.study
    title = "Counts" if study.counted else "Counts (none is reported by regimen)"
    counts = audit.counts.replace({"source": {study.source: ""}})
    parts = [
        "\n".join(_head(study)),
        _as_text(title, counts),
        *_stratified(audit),
        "\n".join(_patients(audit)),
        _prior_conflict(audit),
        _reported(audit),
        "\n".join(_dependences(audit)),
        _listed("What does not fit, or is open:", audit.questions),
        "\n".join(_interpretations(audit)),
        "\n".join(_identification(audit)),
    ]
    return "\n\n".join(part for part in parts if part)


def _head(study: Study) -> Iterator[str]:
    outcome = study.outcome
    when = f" at {outcome.time}" if outcome.time else ""
    yield f"{study.id}: {study.title}"
    yield f"  design      {study.design}; inclusion: {study.inclusion}"
    yield (
        f"  outcome     {outcome.name}{when}, a {outcome.direction}; "
        f"synergy is judged on the {outcome.synergy_on} scale"
    )
    yield from (f"  treatment   {t.id}: {t.name}" for t in study.treatments)
    for strata in study.stratifications:
        kind = f"{strata.id} (model {strata.id})"
        if strata.groups:
            kind = f"subgroups by {strata.name} (model {SUBGROUPS}:{strata.id})"
        for owner, named in strata.owners:
            of = "" if strata.groups else f" of {owner}"
            yield f"  {kind}{of}: {', '.join(f'{i} = {name}' for i, name in named)}"
    yield f"  source      {study.source}" + (f", doi {study.doi}" if study.doi else "")


def _stratified(audit: Audit) -> Iterator[str]:
    for name, counts in audit.stratified.items():
        if isinstance(counts, pd.DataFrame):
            plain = counts.replace({"source": {audit.study.source: ""}})
            yield _as_text(f"Counts by {name}", plain)
        elif counts:
            yield f"No counts by {name}: {counts}."


def _as_text(title: str, table: pd.DataFrame) -> str:
    """Write a table as lines below a title, its columns aligned to the left."""
    columns = [[name, *map(_as_cell, table[name])] for name in table]
    wide = [[cell.ljust(max(map(len, column))) for cell in column] for column in columns]
    rows = ["  ".join(row).rstrip() for row in zip(*wide, strict=True)]
    return _listed(f"{title}:", rows)


def _listed(title: str, lines: Any) -> str:
    return "\n  ".join([title, *lines]) if lines else ""


def _as_cell(value: Any) -> str:
    if pd.isna(value):
        return ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _patients(audit: Audit) -> Iterator[str]:
    patterns = audit.study.patterns
    if patterns is None:
        return
    yield f"Patients: {patterns}."
    if audit.study.is_adjusted:
        known = [f"covariates {', '.join(patterns.names)}"] if patterns.covariates else []
        known += [f"{len(patterns.clusters)} clusters"] if patterns.clusters else []
        kind = CONDITIONAL_ONLY if audit.study.is_case_control else STANDARDISED
        yield f"  With {', '.join(known)}: {kind}"
    if audit.overlap is not None:
        yield f"  {audit.overlap}"


def _prior_conflict(audit: Audit) -> str:
    conflict = audit.prior_conflict
    if conflict is None:
        return ""
    return (
        f"PRIOR CONFLICT: the proportion with the event without treatment, {conflict.share:.3g}, is far from "
        f"the prior's central 95% ({conflict.lower:.2g} to {conflict.upper:.2g}).\nState the plausible "
        "range in the study file, [baseline] risk = [lower, upper]; otherwise every estimate is distorted."
    )


def _reported(audit: Audit) -> str:
    """Show the reported estimates with what the counts, or their own intervals, imply."""
    study = audit.study
    if not study.reported_estimates:
        return ""
    table = audit.reported.drop(columns=["measure", "contrast", "pair"]).assign(
        use=[
            use + _used_by(study, one)
            for use, one in zip(audit.reported.use, study.reported_estimates, strict=True)
        ]
    )
    table.insert(4, "implies", [_implied(audit, one) for one in study.reported_estimates])
    which = f", interpretation {study.interpretation}" if len(study.interpretations) > 1 else ""
    return _as_text(f"Reported estimates{which}", table)


def _implied(audit: Audit, reported: ReportedEstimate) -> str:
    if reported.id in audit.checks:
        values = [f"{value:.4g}" for value in audit.checks[reported.id].implied]
        interval = f" ({values[1]}–{values[2]})" if len(values) == 3 else ""
        return f"counts {values[0]}{interval}" if values else ""
    if not reported.has_interval:
        return ""
    scale = "log " if statistic_of(reported.kind).link.is_log else ""
    value, error = link_value(reported), standard_error(reported)
    return f"{scale}{value:.4f}, SE {error:.4f}, Wald p {wald_p(reported):.3g}"


def _used_by(study: Study, reported: ReportedEstimate) -> str:
    """Name the models for which an estimate of levels or subgroups is evidence."""
    if reported.meaning is None or study.distinguishes(named_parts(reported.meaning)):
        return ""
    named = named_parts(reported.meaning)
    models = [
        f"{SUBGROUPS}:{strata.id}" if strata.groups else strata.id
        for strata in study.stratifications
        if named <= strata.written
    ]
    return f"; evidence of the model {', '.join(models)}"


def _dependences(audit: Audit) -> Iterator[str]:
    if audit.rank is None:
        return
    kept, every = audit.rank
    yield (
        f"Rank: {kept} of these {every} reported estimates (events of totals included) are independent."
    )
    for one in audit.dependences:
        yield (
            f"  {one.name} follows from {', '.join(one.others)}: implied {one.implied:.4g}, "
            f"{AGREEMENT[one.agrees]}; its value enters once, its width counts"
        )


def _interpretations(audit: Audit) -> Iterator[str]:
    every = audit.study.interpretations
    if audit.rank is None or len(every) < 2:
        return
    yield "Interpretations (each is fitted; compare their log evidence):"
    for at, one in enumerate(every):
        yield f"  {one.id}{'' if at else ' (default)'}: {one.words}"


def _identification(audit: Audit) -> Iterator[str]:
    yield "What the evidence identifies, what also depends on model and prior (not identified),"
    yield "and what is not estimable:"
    for group in audit.groups:
        names = [one.measure if one.synergy else one.code for one in group.estimands]
        is_listed = group.kind not in (RISKS, ODDS_RATIOS) or (
            audit.study.has_uncounted and group.status.name == IDENTIFIED and len(names) <= LISTED
        )
        of = f" ({len(names)} of {group.of})" if len(names) < group.of else ""
        shown = f": {', '.join(names)}" if is_listed else of
        why = f" ({group.status.reason})" if group.status.reason else ""
        yield f"  {group.kind}{shown}: {group.status.name}{why}"
    if audit.helpful:
        yield (
            f"Events and patients of {', '.join(audit.helpful)} would identify every measure of interaction "
            "of regimens with patients."
        )
