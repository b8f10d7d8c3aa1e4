"""What a study offers, told without sampling: cells, margins, printed claims, availability."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import logit, ndtr, ndtri

from cotreat.audit.overlap import overlap_of
from cotreat.core.constants import CONDITIONAL_ONLY, IDENTIFIED, STANDARDISED
from cotreat.estimands.enumerate import enumerate_estimands
from cotreat.estimands.estimand import Estimand
from cotreat.estimands.identification import Determination, Status, not_estimable
from cotreat.evidence.contrasts import coefficient_of, label, named_parts, question_of
from cotreat.evidence.prior_conflict import PRIOR_CONFLICT, distance
from cotreat.evidence.protocol import SCORE, Point, parameters_of
from cotreat.evidence.reported import (
    can_tell,
    cohort_of,
    link_value,
    p_agrees,
    reported_in,
    standard_error,
    wald_p,
)
from cotreat.evidence.resolve import resolve
from cotreat.evidence.statistics import statistic_of
from cotreat.models.registry import MODELS, SUBGROUPS
from cotreat.priors.sets import prior_set
from cotreat.study import regimens
from cotreat.study.regimens import NONE
from cotreat.study.study import BY_DESIGN, ReportedEstimate, StratificationError, Study

RISKS = "risks"
ODDS_RATIOS = "odds ratios of two regimens"
CONTRADICTION = "contradiction"
"""How the verdict on a printed number begins that the cells do not give."""
LISTED = 12
"""Odds ratios that the evidence determines are named if they are no more."""


def audit(study: Study) -> str:
    """Describe a study's evidence as text."""
    parts = [
        _head(study),
        _cells(study),
        *_divided_cells(study),
        _patients(study),
        _prior_conflict(study),
        _numbers(study),
        *_evidence(study),
        _availability(study),
    ]
    return "\n\n".join(part for part in parts if part)


def _head(study: Study) -> str:
    outcome = study.outcome
    when = f" at {outcome.time}" if outcome.time else ""
    return "\n".join(
        [
            f"{study.id}: {study.title}",
            f"  design      {study.design}; inclusion: {study.inclusion}",
            f"  outcome     {outcome.name}{when}, a {outcome.direction}; "
            f"synergy is judged on the {outcome.synergy_on} scale",
            *(f"  treatment   {t.id}: {t.name}" for t in study.treatments),
            *_divisions(study),
            f"  source      {study.source}" + (f", doi {study.doi}" if study.doi else ""),
        ]
    )


def _divisions(study: Study) -> Iterator[str]:
    """Name levels and subgroups, and the model that asks about them."""
    for strata in study.stratifications:
        kind = f"{strata.id} (model {strata.id})"
        if strata.groups:
            kind = f"subgroups by {strata.name} (model {SUBGROUPS}:{strata.id})"
        for owner, named in strata.owners:
            of = "" if strata.groups else f" of {owner}"
            yield f"  {kind}{of}: {', '.join(f'{i} = {name}' for i, name in named)}"


def _divided_cells(study: Study) -> Iterator[str]:
    """Show the counts by levels and by subgroups, or say that there are none."""
    for strata in study.stratifications:
        name = strata.name or strata.id
        try:
            told = study.resolve(strata=strata.id)
        except StratificationError as error:
            yield f"No cells by {name}: {error}."
            continue
        if told.counted:
            yield _cells(told, f"Cells by {name}")


def _cells(study: Study, title: str = "Cells") -> str:
    if not study.counted:
        title += " (nobody printed a count by regimen)"
    return _as_text(title, cells_table(study).replace({"source": {study.source: ""}}))


def _as_text(title: str, table: pd.DataFrame) -> str:
    """Write a table as lines under a title, its columns aligned to the left."""
    columns = [[name, *map(_as_cell, table[name])] for name in table]
    wide = [[cell.ljust(max(map(len, column))) for cell in column] for column in columns]
    return "\n".join(
        [f"{title}:", *("  " + "  ".join(row).rstrip() for row in zip(*wide, strict=True))]
    )


def _as_cell(value: Any) -> str:
    if pd.isna(value):
        return ""
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _patients(study: Study) -> str:
    """Say what the collapse of patients achieved, and what their risks are."""
    cells = study.cells
    if cells is None:
        return ""
    known = [f"covariates {', '.join(cells.names)}"] if cells.covariates else []
    known += [f"{len(cells.clusters)} clusters"] if cells.clusters else []
    lines = [f"Patients: {cells}."]
    if study.is_adjusted and study.is_case_control:
        lines.append(f"  With {', '.join(known)}: {CONDITIONAL_ONLY}")
    elif study.is_adjusted:
        lines.append(f"  With {', '.join(known)}: {STANDARDISED}")
        lines.append(f"  {overlap_of(cells)}")
    return "\n".join(lines)


def _prior_conflict(study: Study) -> str:
    """Say where the prior of the risk without treatment does not cover the share counted."""
    if NONE not in study.counted:
        return ""
    at = study.counted.index(NONE)
    share = study.events[at] / study.n[at]
    prior = prior_set("weak", study)["alpha"]
    assert prior.mu is not None  # noqa: S101 - for the type checker: alpha has numbers
    assert prior.sigma is not None  # noqa: S101
    if distance(prior.mu, prior.sigma**2, study)[at] <= PRIOR_CONFLICT:
        return ""
    lower, upper = prior.central()
    return (
        f"PRIOR CONFLICT: the share counted without treatment, {share:.3g}, is far from the prior's "
        f"central 95% ({lower:.2g} to {upper:.2g}).\nSay what is known of it in the study file, "
        "[baseline] risk = [lower, upper], or every estimate is distorted."
    )


def cells_table(study: Study) -> pd.DataFrame:
    """Return every regimen with its counts, if anybody printed them, and the printed totals: one row each."""
    rows = [_cell_row(study, regimen) for regimen in study.regimens]
    rows += [
        {
            "regimen": f"{total.patients} (printed total)",
            "events": total.events,
            "patients": total.n,
            "crude risk": None,
            "source": total.source,
        }
        for total in study.totals
    ]
    return pd.DataFrame(rows).astype({"events": "Int64", "patients": "Int64"})


def _cell_row(study: Study, regimen: str) -> dict[str, object]:
    row: dict[str, object] = {"regimen": regimen, "events": None, "patients": None}
    if regimen not in study.counted:
        says = "patients, not counted in print" if regimen in study.present else "no patients"
        says = says if study.is_admitted(regimen) else "empty by design"
        return {**row, "crude risk": None, "source": says}
    at = study.counted.index(regimen)
    events, n = int(study.events[at]), int(study.n[at])
    risk = None if study.is_case_control else events / n
    source = study.source_of(regimen)
    return {
        "regimen": regimen,
        "events": events,
        "patients": n,
        "crude risk": risk,
        "source": source,
    }


def reported_table(study: Study) -> pd.DataFrame:
    """Return every printed odds ratio and p-value, and what becomes of it: one row each."""
    evidence = resolve(study)
    numbers = reported_in(evidence)
    used = {name for one in evidence for name in one.rows().id}
    fates = (
        {found.reported_estimate.id: found.verdict for found in check_claims(study)}
        if numbers is None
        else {}
    )
    return pd.DataFrame(
        [
            {
                "number": reported_estimate.id,
                "about": _about(reported_estimate),
                **dict(
                    zip(("measure", "contrast", "pair"), _question(reported_estimate), strict=True)
                ),
                "reported": reported_estimate.as_reported,
                "adjusted": "yes" if reported_estimate.adjusted else "no",
                "use": _use(reported_estimate, used, fates),
                "source": reported_estimate.source,
            }
            for reported_estimate in study.reported_estimates
        ],
        columns=[
            *(
                "number",
                "about",
                "measure",
                "contrast",
                "pair",
                "reported",
                "adjusted",
                "use",
                "source",
            )
        ],
    )


def _use(reported_estimate: ReportedEstimate, used: set[str], fates: dict[str, str]) -> str:
    if reported_estimate.id in used:
        return "evidence"
    return (
        f"checked: {fates[reported_estimate.id]}"
        if reported_estimate.id in fates
        else "shown, not used here"
    )


# --- Reported odds ratios against the cells --------------------------------------------------------


@dataclass(frozen=True)
class ClaimCheck:
    """A printed odds ratio beside what the cells give.

    Attributes
    ----------
    implied : tuple of float
        Estimate and Wald limits from the cells.
    verdict : str
        ``agrees``, ``contradiction: …``, or why it cannot be compared.
    """

    reported_estimate: ReportedEstimate
    implied: tuple[float, float, float]
    verdict: str


def check_claims(study: Study) -> list[ClaimCheck]:
    """Compare every printed odds ratio with the cells it is about, within its rounding."""
    return [
        _check_claim(study, reported_estimate) for reported_estimate in study.reported_estimates
    ]


def _check_claim(study: Study, reported_estimate: ReportedEstimate) -> ClaimCheck:
    nothing = (np.nan, np.nan, np.nan)
    if reported_estimate.meaning is None or not can_tell(study, reported_estimate.meaning):
        return ClaimCheck(reported_estimate, nothing, "shown, not used")
    risk = study.events / study.n
    statistic = statistic_of(reported_estimate.kind)
    one = coefficient_of(reported_estimate.meaning, cohort_of(study), is_adjusted=False)
    pooled = one.groups @ study.events / (one.groups @ study.n)
    if not ((pooled > 0) & (pooled < 1)).all():
        return ClaimCheck(reported_estimate, nothing, "not comparable: a side has only one outcome")
    with np.errstate(divide="ignore", over="ignore"):
        law = statistic.operator((one,)).law(np, logit(risk), None, study.n.astype(float))
    value, error = float(law.mean[0]), float(np.sqrt(law.variance[0]))
    if not reported_estimate.has_interval:
        p = float(2 * ndtr(-abs(value) / error))
        return ClaimCheck(reported_estimate, (p, np.nan, np.nan), _p_verdict(reported_estimate, p))
    half = float(ndtri(0.5 + reported_estimate.level / 2)) * error
    estimate, lower, upper = (
        float(statistic.link.back(value + shift)) for shift in (0, -half, half)
    )
    implied = (estimate, lower, upper)
    if reported_estimate.adjusted:
        return ClaimCheck(
            reported_estimate, implied, "not comparable: adjusted, the cells are crude"
        )
    assert reported_estimate.ci is not None  # noqa: S101 - for the type checker: an odds ratio has one
    as_reported = (reported_estimate.value, *reported_estimate.ci)
    # A limit of a printed interval may have been worked out from rounded parts: allow one unit.
    off = [
        p.value for p, v in zip(as_reported, implied, strict=True) if abs(p.value - v) > 2 * p.half
    ]
    verdict = (
        f"{CONTRADICTION}: {', '.join(map(str, off))} not within rounding" if off else "agrees"
    )
    return ClaimCheck(reported_estimate, implied, verdict)


def _p_verdict(reported_estimate: ReportedEstimate, p: float) -> str:
    if reported_estimate.adjusted or reported_estimate.kind == "p_trend":
        return "not comparable: the cells' p is crude, and Wald"
    near = (
        p < reported_estimate.value.value
        if reported_estimate.is_below
        else abs(p - reported_estimate.value.value) <= 0.01
    )
    return "agrees" if near else f"{CONTRADICTION}: far from the cells' Wald p"


def _numbers(study: Study) -> str:
    """Show the printed numbers, with what the cells or their intervals make of them."""
    if not study.reported_estimates:
        return ""
    if reported_in(resolve(study)) is None:
        known = {check.reported_estimate.id: _implied(check) for check in check_claims(study)}
    else:
        known = {
            reported_estimate.id: _as_evidence(reported_estimate)
            for reported_estimate in study.reported_estimates
        }
    table = reported_table(study)
    table.insert(4, "implies", table.number.map(known))
    table["use"] += [
        _used_by(study, reported_estimate) for reported_estimate in study.reported_estimates
    ]
    interpretation = f", reading {study.interpretation}" if len(study.interpretations) > 1 else ""
    return _as_text(f"Printed numbers{interpretation}", table)


def _implied(found: ClaimCheck) -> str:
    shown = [f"{value:.4g}" for value in found.implied if not np.isnan(value)]
    return (
        f"cells {shown[0]}" + (f" ({shown[1]}–{shown[2]})" if len(shown) == 3 else "")
        if shown
        else ""
    )


def _as_evidence(reported_estimate: ReportedEstimate) -> str:
    if not reported_estimate.has_interval:
        return ""
    value, error = link_value(reported_estimate), standard_error(reported_estimate)
    scale = "log " if statistic_of(reported_estimate.kind).link.is_log else ""
    return f"{scale}{value:.4f}, SE {error:.4f}, Wald p {wald_p(reported_estimate):.3g}"


# --- Reported estimates as evidence -----------------------------------------------------------------


def _evidence(study: Study) -> Iterator[str]:
    """Say what of the printed numbers is independent, and what does not fit."""
    numbers = reported_in(resolve(study))
    if numbers is None:
        return
    rows, kept = len(numbers.names), len(numbers.kept)
    lines = [f"Rank: {kept} of these {rows} numbers (events of totals included) are independent."]
    for one in numbers.dependences:
        verdict = {True: "agrees within rounding", False: "CONTRADICTION", None: "not compared"}
        lines.append(
            f"  {one.name} follows from {', '.join(one.others)}: implied {one.implied:.4g}, "
            f"{verdict[one.agrees]}; its value enters once, its width counts"
        )
    yield "\n".join(lines)
    odd = open_questions(study)
    if odd:
        yield "\n".join(["What does not fit, or is open:", *(f"  {line}" for line in odd)])
    if len(study.interpretations) > 1:
        marks = [" (default)", *[""] * len(study.interpretations)]
        lines = ["Readings (each is run; compare their log evidence):"]
        lines += [
            f"  {r.id}{m}: {r.words}" for r, m in zip(study.interpretations, marks, strict=False)
        ]
        yield "\n".join(lines)


def open_questions(study: Study) -> list[str]:
    """Say what of the printed numbers does not fit, or can be taken in several ways."""
    if reported_in(resolve(study)) is None:
        checks = check_claims(study)
        odd = [c for c in checks if c.verdict.startswith(CONTRADICTION)]
        return [
            f"{c.reported_estimate.id} ({c.reported_estimate.as_reported}), {_about(c.reported_estimate)}: {c.verdict}"
            for c in odd
        ]
    return [*study.warnings, *_rival_readings(study), *_strange_p_values(study)]


def _used_by(study: Study, reported_estimate: ReportedEstimate) -> str:
    """Name the models for which a printed number is evidence, where it is about levels or subgroups."""
    if reported_estimate.meaning is None or can_tell(study, reported_estimate.meaning):
        return ""
    named = named_parts(reported_estimate.meaning)
    models = [
        f"{SUBGROUPS}:{own.id}" if own.groups else own.id
        for own in study.stratifications
        if named <= own.written
    ]
    return f"; evidence of the model {', '.join(models)}"


def _question(reported_estimate: ReportedEstimate) -> tuple[str, str, str]:
    """Return measure, contrast and pair of a reported number; empty where nothing says what it is of."""
    return (
        ("", "", "")
        if reported_estimate.meaning is None
        else question_of(reported_estimate.meaning, statistic_of(reported_estimate.kind))
    )


def _about(reported_estimate: ReportedEstimate) -> str:
    return (
        label(reported_estimate.meaning, statistic_of(reported_estimate.kind))
        if reported_estimate.meaning
        else reported_estimate.about
    )


def _rival_readings(study: Study) -> Iterator[str]:
    """Name the numbers that readings take to mean different things."""
    for reported_estimate in study.reported_estimates:
        meanings: dict[str, list[str]] = {}
        for interpretation in study.interpretations:
            own = next(c for c in interpretation.reported_estimates if c.id == reported_estimate.id)
            meanings.setdefault(_about(own), []).append(interpretation.id)
        if len(meanings) > 1:
            words = "; ".join(f"{meaning} ({', '.join(ids)})" for meaning, ids in meanings.items())
            yield f"{reported_estimate.id} ({reported_estimate.as_reported}) may mean: {words}"


def _strange_p_values(study: Study) -> Iterator[str]:
    """Name the p-values that are not those of any printed odds ratio."""
    ratios = [
        reported_estimate
        for reported_estimate in study.reported_estimates
        if reported_estimate.has_interval
    ]
    own = ", ".join(f"{c.id} {wald_p(c):.2g}" for c in ratios)
    for reported_estimate in study.reported_estimates:
        is_point = reported_estimate.kind == "p_value" and not reported_estimate.is_below
        if is_point and not any(p_agrees(reported_estimate, ratio) for ratio in ratios):
            yield (
                f"{reported_estimate.id} ({reported_estimate.as_reported}) is the Wald p-value of no printed odds ratio "
                f"({own}): it belongs to a coefficient that is not printed"
            )


# --- What the evidence determines ------------------------------------------------------------------


def _availability(study: Study) -> str:
    lines = ["What the evidence identifies, what also depends on model and prior (not identified),"]
    lines.append("and what is not estimable:")
    for group, found, every, status in _determined(study):
        names = [one.measure if one.synergy else one.code for one in found]
        of = f" ({len(names)} of {every})" if len(names) < every else ""
        is_short = group not in (RISKS, ODDS_RATIOS) or (
            study.has_uncounted and status.name == IDENTIFIED and len(names) <= LISTED
        )
        shown = f": {', '.join(names)}" if is_short else of
        why = f" ({status.reason})" if status.reason else ""
        lines.append(f"  {group}{shown}: {status.name}{why}")
    return "\n".join(lines)


def identification_table(study: Study) -> pd.DataFrame:
    """Return what the evidence identifies, one row for each kind of estimand and status."""
    rows = [
        {
            "kind of number": group,
            **status.columns,
            "how many": f"{len(found)} of {every}",
            "which": ", ".join(map(_subject, found)),
        }
        for group, found, every, status in _determined(study)
    ]
    return pd.DataFrame(rows)


def _determined(study: Study) -> Iterator[tuple[str, list[Estimand], int, Status]]:
    """Group the estimands alike in kind and status; give how many there are of the kind, too."""
    evidence = Determination(study, _typical(study), resolve(study))
    found = [(_group(e), e, _status(study, e, evidence)) for e in _general(study)]
    sizes = Counter(group for group, _, _ in found)
    for (group, status), members in groupby(sorted(found, key=_order), key=lambda f: (f[0], f[2])):
        yield group, [one for _, one, _ in members], sizes[group], status


def _general(study: Study) -> Iterator[Estimand]:
    """List the estimands without the assumptions of any model, each on every background.

    A contrast of two risks asks of the evidence what the two risks ask.
    """
    every = enumerate_estimands(study, MODELS["saturated"], resolve(study))
    return (e for e in every if e.is_judged and not e.is_repeated)


def _status(study: Study, estimand: Estimand, evidence: Determination) -> Status:
    if study.is_case_control and estimand.needs_risks:
        return not_estimable(BY_DESIGN)
    return evidence.of(estimand)


def _typical(study: Study) -> Point:
    """Return a point where all is finite and no two uncounted regimens are alike by chance."""
    unlike = 0.1 * np.sin(np.arange(1, len(study.regimens) + 1))
    share = (study.events.sum() + 0.5) / (study.n.sum() + 1) if study.counted else 0.3
    log_odds = dict(zip(study.regimens, logit(share) + unlike, strict=True))
    own = logit((study.events + 0.5) / (study.n + 1))
    log_odds.update(zip(study.counted, own, strict=True))
    sigma = 0.7 if SCORE in parameters_of(resolve(study)) else None
    return Point(np.array(list(log_odds.values())), sigma)


def _subject(estimand: Estimand) -> str:
    """Name an estimand among those of its group."""
    if estimand.synergy is not None:
        return estimand.measure
    return regimens.WITHIN.join(
        filter(None, [estimand.contrast or estimand.pair, estimand.stratum])
    )


def _group(estimand: Estimand) -> str:
    if estimand.synergy is None:
        return RISKS if estimand.null is None else ODDS_RATIOS
    given = "no other study drug" if estimand.co_treatment == NONE else estimand.co_treatment
    return regimens.WITHIN.join(filter(None, [f"{estimand.pair} with {given}", estimand.stratum]))


def _order(found: tuple[str, Estimand, Status]) -> tuple[int, str, str]:
    group, _, status = found
    rank = {RISKS: 0, ODDS_RATIOS: 1}.get(group, 2)
    return rank, group, status.name
