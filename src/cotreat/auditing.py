"""What a study offers, told without sampling: cells, margins, printed claims, availability."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from scipy.special import ndtri

from cotreat.catalogue import MODELS
from cotreat.estimands import Estimand, determination, enumerate_estimands
from cotreat.priors import PRIOR_CONFLICT, distance, prior_set
from cotreat.regimens import NONE, Regimen
from cotreat.study import NOT_IDENTIFIED, Claim, Study

RISKS = "risks"
ODDS_RATIOS = "odds ratios of two regimens"


def audit(study: Study) -> str:
    """Describe a study's evidence as text."""
    parts = [
        _head(study),
        _cells(study),
        _prior_conflict(study),
        _totals(study),
        _claims(study),
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
            f"  source      {study.source}" + (f", doi {study.doi}" if study.doi else ""),
        ]
    )


def _cells(study: Study) -> str:
    width = max(map(len, study.regimens))
    what = "events / patients" + ("" if study.is_case_control else ", crude risk")
    lines = [f"Cells ({what}):"]
    for regimen in study.regimens:
        if regimen in study.counted:
            i = study.counted.index(regimen)
            risk = "" if study.is_case_control else f"   {study.events[i] / study.n[i]:.3f}"
            says = f"{study.events[i]:>6} / {study.n[i]:<6}{risk}"
            own = study.source_of(regimen)
            says += f"   [{own}]" if own != study.source else ""
        else:
            says = "no patients" if study.is_admitted(regimen) else "empty by design"
        lines.append(f"  {regimen:<{width}}  {says}")
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


def _totals(study: Study) -> str:
    if not study.totals:
        return ""
    lines = ["Printed margins, each equal to the sum of its cells:"]
    for total in study.totals:
        events = "" if total.events is None else f"{total.events} / "
        lines.append(f"  {total.patients}: {events}{total.n}   [{total.source}]")
    return "\n".join(lines)


# --- Printed odds ratios against the cells ---------------------------------------------------------


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
    tables = [_events_and_others(study, side) for side in claim.members]
    cells = np.array(tables, dtype=float)
    if not cells.all():
        return ClaimCheck(
            claim, (np.nan, np.nan, np.nan), "not comparable: a side has only one outcome"
        )
    log_or = float(np.log(cells[0, 0] * cells[1, 1] / (cells[0, 1] * cells[1, 0])))
    half = float(ndtri(0.5 + claim.level / 2) * np.sqrt((1 / cells).sum()))
    estimate, lower, upper = (float(np.exp(log_or + shift)) for shift in (0, -half, half))
    implied = (estimate, lower, upper)
    if claim.adjusted:
        return ClaimCheck(claim, implied, "not comparable: adjusted, the cells are crude")
    printed = (claim.value, *claim.ci)
    # A limit of a printed interval may have been worked out from rounded parts: allow one unit.
    off = [p.value for p, v in zip(printed, implied, strict=True) if abs(p.value - v) > 2 * p.half]
    verdict = f"contradiction: {', '.join(map(str, off))} not within rounding" if off else "agrees"
    return ClaimCheck(claim, implied, verdict)


def _events_and_others(study: Study, side: frozenset[Regimen]) -> tuple[int, int]:
    at = [study.counted.index(study.label(regimen)) for regimen in side]
    events = int(study.events[at].sum())
    return events, int(study.n[at].sum()) - events


def _claims(study: Study) -> str:
    if not study.claims:
        return ""
    lines = [
        "Printed odds ratios about counted patients: checked against the cells, not used again:"
    ]
    for found in check_claims(study):
        claim = found.claim
        printed = f"{claim.value.value:g} ({claim.ci[0].value:g}–{claim.ci[1].value:g})"
        implied = "{:.4g} ({:.4g}–{:.4g})".format(*found.implied)
        lines.append(
            f"  {claim.id}: {claim.sides[0]} against {claim.sides[1]}: printed {printed}, "
            f"cells {implied}: {found.verdict}   [{claim.source}]"
        )
    return "\n".join(lines)


# --- What the evidence determines ------------------------------------------------------------------


def _availability(study: Study) -> str:
    lines = ["What the evidence determines (observed), leaves to model and prior (extrapolated),"]
    lines.append("or cannot have (undefined):")
    found = [(_group(e), e.label.partition("[")[0], _status(study, e)) for e in _general(study)]
    sizes = Counter(group for group, _, _ in found)
    for (group, status), members in groupby(sorted(found, key=_order), key=lambda f: (f[0], f[2])):
        names = [name for _, name, _ in members]
        of = f" ({len(names)} of {sizes[group]})" if len(names) < sizes[group] else ""
        shown = of if group in (RISKS, ODDS_RATIOS) else f": {', '.join(names)}"
        lines.append(f"  {group}{shown}: {status}")
    return "\n".join(lines)


def _general(study: Study) -> Iterator[Estimand]:
    """List the estimands without the assumptions of any model, each on every background."""
    return (e for e in enumerate_estimands(study, MODELS["saturated"]) if e.is_judged)


def _status(study: Study, estimand: Estimand) -> str:
    if study.is_case_control and estimand.needs_risks:
        return NOT_IDENTIFIED
    return determination(estimand, study, _smoothed(study))


def _smoothed(study: Study) -> np.ndarray:
    """Return a risk within (0, 1) for every regimen, shape (regimen,)."""
    risk = dict.fromkeys(study.regimens, (study.events.sum() + 0.5) / (study.n.sum() + 1))
    risk.update(zip(study.counted, (study.events + 0.5) / (study.n + 1), strict=True))
    return np.array(list(risk.values()))


def _group(estimand: Estimand) -> str:
    if estimand.measure is None:
        return RISKS if estimand.null is None else ODDS_RATIOS
    return f"{estimand.pair} on background {estimand.background}"


def _order(found: tuple[str, str, str]) -> tuple[int, str, str]:
    group, _, status = found
    rank = {RISKS: 0, ODDS_RATIOS: 1}.get(group, 2)
    return rank, group, status
