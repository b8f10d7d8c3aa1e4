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
from cotreat.evidence.logistic_operator import Regressions
from cotreat.evidence.prior_conflict import PRIOR_CONFLICT, distance
from cotreat.evidence.protocol import SCORE, Point, parameters_of
from cotreat.evidence.reported import (
    can_tell,
    cohort_of,
    log_estimate,
    p_agrees,
    reported_in,
    standard_error,
    wald_p,
)
from cotreat.evidence.resolve import resolve
from cotreat.models.registry import MODELS, SUBGROUPS
from cotreat.priors.sets import prior_set
from cotreat.study import regimens
from cotreat.study.regimens import NONE
from cotreat.study.study import BY_DESIGN, Claim, DivisionError, Study

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
    for division in study.divisions:
        kind = f"{division.id} (model {division.id})"
        if division.groups:
            kind = f"subgroups by {division.name} (model {SUBGROUPS}:{division.id})"
        for owner, named in division.owners:
            of = "" if division.groups else f" of {owner}"
            yield f"  {kind}{of}: {', '.join(f'{i} = {name}' for i, name in named)}"


def _divided_cells(study: Study) -> Iterator[str]:
    """Show the counts by levels and by subgroups, or say that there are none."""
    for division in study.divisions:
        name = division.name or division.id
        try:
            told = study.divided(division.id)
        except DivisionError as error:
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


def printed_table(study: Study) -> pd.DataFrame:
    """Return every printed odds ratio and p-value, and what becomes of it: one row each."""
    evidence = resolve(study)
    numbers = reported_in(evidence)
    used = {name for one in evidence for name in one.rows().id}
    fates = (
        {found.claim.id: found.verdict for found in check_claims(study)} if numbers is None else {}
    )
    return pd.DataFrame(
        [
            {
                "number": claim.id,
                "about": _about(claim),
                **dict(zip(("measure", "contrast", "pair"), _question(claim), strict=True)),
                "printed": claim.printed,
                "adjusted": "yes" if claim.adjusted else "no",
                "use": _use(claim, used, fates),
                "source": claim.source,
            }
            for claim in study.claims
        ],
        columns=[
            *("number", "about", "measure", "contrast", "pair", "printed", "adjusted", "use", "source")
        ],
    )


def _use(claim: Claim, used: set[str], fates: dict[str, str]) -> str:
    if claim.id in used:
        return "evidence"
    return f"checked: {fates[claim.id]}" if claim.id in fates else "shown, not used here"


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

    claim: Claim
    implied: tuple[float, float, float]
    verdict: str


def check_claims(study: Study) -> list[ClaimCheck]:
    """Compare every printed odds ratio with the cells it is about, within its rounding."""
    return [_check_claim(study, claim) for claim in study.claims]


def _check_claim(study: Study, claim: Claim) -> ClaimCheck:
    nothing = (np.nan, np.nan, np.nan)
    if claim.meaning is None or not can_tell(study, claim.meaning):
        return ClaimCheck(claim, nothing, "shown, not used")
    risk = study.events / study.n
    one = coefficient_of(claim.meaning, cohort_of(study), is_adjusted=False)
    pooled = one.groups @ study.events / (one.groups @ study.n)
    if not ((pooled > 0) & (pooled < 1)).all():
        return ClaimCheck(claim, nothing, "not comparable: a side has only one outcome")
    with np.errstate(divide="ignore", over="ignore"):
        law = Regressions((one,)).law(np, logit(risk), None, study.n.astype(float))
    log_or, error = float(law.mean[0]), float(np.sqrt(law.variance[0]))
    if not claim.is_odds_ratio:
        p = float(2 * ndtr(-abs(log_or) / error))
        return ClaimCheck(claim, (p, np.nan, np.nan), _p_verdict(claim, p))
    half = float(ndtri(0.5 + claim.level / 2)) * error
    estimate, lower, upper = (float(np.exp(log_or + shift)) for shift in (0, -half, half))
    implied = (estimate, lower, upper)
    if claim.adjusted:
        return ClaimCheck(claim, implied, "not comparable: adjusted, the cells are crude")
    assert claim.ci is not None  # noqa: S101 - for the type checker: an odds ratio has one
    printed = (claim.value, *claim.ci)
    # A limit of a printed interval may have been worked out from rounded parts: allow one unit.
    off = [p.value for p, v in zip(printed, implied, strict=True) if abs(p.value - v) > 2 * p.half]
    verdict = (
        f"{CONTRADICTION}: {', '.join(map(str, off))} not within rounding" if off else "agrees"
    )
    return ClaimCheck(claim, implied, verdict)


def _p_verdict(claim: Claim, p: float) -> str:
    if claim.adjusted or claim.kind == "p_trend":
        return "not comparable: the cells' p is crude, and Wald"
    near = p < claim.value.value if claim.is_below else abs(p - claim.value.value) <= 0.01
    return "agrees" if near else f"{CONTRADICTION}: far from the cells' Wald p"


def _numbers(study: Study) -> str:
    """Show the printed numbers, with what the cells or their intervals make of them."""
    if not study.claims:
        return ""
    if reported_in(resolve(study)) is None:
        known = {check.claim.id: _implied(check) for check in check_claims(study)}
    else:
        known = {claim.id: _as_evidence(claim) for claim in study.claims}
    table = printed_table(study)
    table.insert(4, "implies", table.number.map(known))
    table["use"] += [_used_by(study, claim) for claim in study.claims]
    reading = f", reading {study.reading}" if len(study.readings) > 1 else ""
    return _as_text(f"Printed numbers{reading}", table)


def _implied(found: ClaimCheck) -> str:
    shown = [f"{value:.4g}" for value in found.implied if not np.isnan(value)]
    return (
        f"cells {shown[0]}" + (f" ({shown[1]}–{shown[2]})" if len(shown) == 3 else "")
        if shown
        else ""
    )


def _as_evidence(claim: Claim) -> str:
    if not claim.is_odds_ratio:
        return ""
    log, error = log_estimate(claim), standard_error(claim)
    return f"log {log:.4f}, SE {error:.4f}, Wald p {wald_p(claim):.3g}"


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
    if len(study.readings) > 1:
        marks = [" (default)", *[""] * len(study.readings)]
        lines = ["Readings (each is run; compare their log evidence):"]
        lines += [f"  {r.id}{m}: {r.words}" for r, m in zip(study.readings, marks, strict=False)]
        yield "\n".join(lines)


def open_questions(study: Study) -> list[str]:
    """Say what of the printed numbers does not fit, or can be taken in several ways."""
    if reported_in(resolve(study)) is None:
        checks = check_claims(study)
        odd = [c for c in checks if c.verdict.startswith(CONTRADICTION)]
        return [f"{c.claim.id} ({c.claim.printed}), {_about(c.claim)}: {c.verdict}" for c in odd]
    return [*study.warnings, *_rival_readings(study), *_strange_p_values(study)]


def _used_by(study: Study, claim: Claim) -> str:
    """Name the models for which a printed number is evidence, where it is about levels or subgroups."""
    if claim.meaning is None or can_tell(study, claim.meaning):
        return ""
    named = named_parts(claim.meaning)
    models = [
        f"{SUBGROUPS}:{own.id}" if own.groups else own.id
        for own in study.divisions
        if named <= own.written
    ]
    return f"; evidence of the model {', '.join(models)}"


def _question(claim: Claim) -> tuple[str, str, str]:
    """Return measure, contrast and pair of a reported number; empty where nothing says what it is of."""
    return ("", "", "") if claim.meaning is None else question_of(claim.meaning)


def _about(claim: Claim) -> str:
    return label(claim.meaning) if claim.meaning else claim.about


def _rival_readings(study: Study) -> Iterator[str]:
    """Name the numbers that readings take to mean different things."""
    for claim in study.claims:
        meanings: dict[str, list[str]] = {}
        for reading in study.readings:
            own = next(c for c in reading.claims if c.id == claim.id)
            meanings.setdefault(_about(own), []).append(reading.id)
        if len(meanings) > 1:
            words = "; ".join(f"{meaning} ({', '.join(ids)})" for meaning, ids in meanings.items())
            yield f"{claim.id} ({claim.printed}) may mean: {words}"


def _strange_p_values(study: Study) -> Iterator[str]:
    """Name the p-values that are not those of any printed odds ratio."""
    ratios = [claim for claim in study.claims if claim.is_odds_ratio]
    own = ", ".join(f"{c.id} {wald_p(c):.2g}" for c in ratios)
    for claim in study.claims:
        is_point = claim.kind == "p_value" and not claim.is_below
        if is_point and not any(p_agrees(claim, ratio) for ratio in ratios):
            yield (
                f"{claim.id} ({claim.printed}) is the Wald p-value of no printed odds ratio "
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


def availability_table(study: Study) -> pd.DataFrame:
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
