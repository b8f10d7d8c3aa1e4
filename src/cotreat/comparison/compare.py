"""Model comparison: how well each model predicts evidence that it was not given, and how probable each makes it.

Writes the part ``comparison`` of a study's results: leave-one-out cross-validation with its unit declared,
printed numbers in their predictive distributions, Bayes factors of interactions and P(no interaction).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import xarray as xr

from cotreat.comparison import bayes_factors, leave_out
from cotreat.comparison.bayes_factors import ANY, BayesFactor, LogEvidence
from cotreat.comparison.loo import LeftOut, good_only, leave_one_out, refitted
from cotreat.core.constants import FULL, QUICK, STANDARD
from cotreat.diagnostics import checks
from cotreat.evidence.folds import UNITS
from cotreat.evidence.resolve import resolve
from cotreat.inference import sampling
from cotreat.inference.batch import beside, prepare_process
from cotreat.inference.marginal_likelihood import Marginals
from cotreat.models.registry import find_model, is_asked_for
from cotreat.models.select import models_for, priors_for
from cotreat.priors.prior import PriorSet
from cotreat.report.sections.comparison import Findings, told
from cotreat.results import headline
from cotreat.results.supplementary import COMPARISON, Fits, OnProgress, write_analysis
from cotreat.study.study import Study

MOST_UNITS = 20_000
"""Distinct units beyond which leave-one-out is not worked out."""
MOST_REFITS = {STANDARD: 12, FULL: 60}
"""Units of one model that are refitted without, at most, those with the worst weights first."""
INTERACTION, ADDITIVE = "interaction", "additive"


def write(
    study: Study,
    fits: Fits,
    priors: PriorSet,
    folder: Path,
    *,
    depth: str = STANDARD,
    seed: int = 1,
    on_progress: OnProgress = lambda _: None,
) -> Path:
    """Compare the models of a study, and write the part ``comparison``.

    Parameters
    ----------
    study
        Under the reading whose models are compared.
    fits
        Fits by model and reading, of which those of the study's reading are used; models that are not
        there are fitted, by Laplace's approximation or, where that cannot be trusted, by NUTS.
    priors
        What the fits were made with.
    folder
        ``results/STUDY``.
    depth
        ``quick``: importance weights alone, one prior of the interactions. ``standard``: what weights
        cannot answer is refitted, and each printed number or count is left out of the leading model.
        ``full``: every unit is left out of every model, NUTS stands in where Laplace's approximation
        cannot be trusted, and sequential Monte Carlo checks the Bayes factors.

    Returns
    -------
    Path
        The folder of the part.
    """
    possible, refused = models_for(study, priors)
    names = [name for name in possible if not is_asked_for(name)]
    lead = headline.primary(names)
    task = Task(study, priors, depth, seed, lead)
    worked, own = _worked(task, names, fits, on_progress)
    found = Findings(
        left={name: one.left for name, one in worked.items() if one.left is not None},
        evidence={name: one.evidence for name, one in worked.items()},
        failed=list(dict.fromkeys(line for one in worked.values() for line in one.failed)),
    )
    if INTERACTION in own:
        _note_factors(task, own[INTERACTION], worked, found, on_progress)
    found.failed += _without_evidence(found.evidence)
    troubles = [f"{name}: {line}" for name, one in worked.items() for line in one.troubles]
    part, tables, figures = told(study, priors, lead, found, depth, seed, refused)
    return write_analysis(folder / COMPARISON, part, tables, figures, troubles)


@dataclass(frozen=True)
class Task:
    """What is asked of each model."""

    study: Study
    priors: PriorSet
    depth: str
    seed: int
    lead: str


@dataclass(frozen=True)
class Worked:
    """What one model gave.

    Attributes
    ----------
    tree : xarray.DataTree
        Its fit.
    left : LeftOut or None
        None where there are too many units.
    troubles, failed : tuple of str
        Failed diagnostics of the fit, and what could not be answered.
    """

    tree: xr.DataTree
    evidence: LogEvidence
    left: LeftOut | None
    troubles: tuple[str, ...]
    failed: tuple[str, ...]


def _worked(
    task: Task, names: Sequence[str], fits: Fits, on_progress: OnProgress
) -> tuple[dict[str, Worked], dict[str, Marginals]]:
    """Work on all models, those of the Bayes factors here and the leader, or else the others, in a process beside.

    Returns
    -------
    worked : dict of Worked
        By name, in the order of `names`.
    own : dict of Marginals
        Of the models that were worked on here.
    """
    known = {name: fits.get((name, task.study.interpretation)) for name in names}
    others = [name for name in names if name not in (INTERACTION, ADDITIVE)]
    if task.lead in others:  # every unit is left out of the leader
        others = [task.lead]
    if task.depth == QUICK or len(others) == len(names):
        others = []  # what is little is done before a process has begun
    told_of = {name: known[name] for name in others}
    found = beside([(_of_models_beside, (task, told_of))], 2) if others else iter(())
    if others:
        on_progress(f"in a process beside: {', '.join(others)}")
    worked, own = {}, {}
    for name in names:
        if name not in others:
            worked[name], own[name] = _of_model(task, name, known[name], on_progress)
    for one in found:
        worked |= one
    return {name: worked[name] for name in names}, own


def _of_models_beside(task: Task, fits: Mapping[str, xr.DataTree | None]) -> dict[str, Worked]:
    from cotreat.workflow.analyses import one_thread

    prepare_process()
    with one_thread():
        return {name: _of_model(task, name, fit, _hush)[0] for name, fit in fits.items()}


def _hush(_: str) -> None:
    """Say nothing."""


def _of_model(
    task: Task, name: str, known: xr.DataTree | None, on_progress: OnProgress
) -> tuple[Worked, Marginals]:
    """Fit a model where no fit is known, leave evidence out of it, and work out its log evidence."""
    study, model = task.study, find_model(name, task.study)
    tree, troubles = _fit(task, name, known, on_progress)
    own = priors_for(task.priors, model, study)
    marginals = Marginals(study, model, own, tree["posterior"].to_dataset(), task.seed)
    left, failed = _left_out(task, name, marginals, tree, on_progress)
    evidence = _evidence(task, name, marginals, tree, on_progress)
    return Worked(tree, evidence, left, tuple(troubles), tuple(failed)), marginals


def _fit(
    task: Task, name: str, known: xr.DataTree | None, on_progress: OnProgress
) -> tuple[xr.DataTree, list[str]]:
    """Return a fit, known or made now, and its failed diagnostics."""
    if known is not None:
        return known, [line for line in [known.attrs.get("failed_checks", "")] if line]
    on_progress(f"fitting {name}")
    fit = sampling.fit_model(task.study, name, task.priors, engine="laplace", seed=task.seed)
    return fit.draws, checks.failures(checks.checks(fit))


def _left_out(
    task: Task, name: str, marginals: Marginals, tree: xr.DataTree, on_progress: OnProgress
) -> tuple[LeftOut | None, list[str]]:
    """Leave each unit out of a model; return what came of it, and what could not be answered."""
    depth, evidence = task.depth, resolve(task.study)
    units = leave_out.folds_of(evidence)
    if len(units.parts) > MOST_UNITS:
        many = f"{len(units.parts):,} cells of patients are more than the {MOST_UNITS:,} worked out"
        return None, [f"leave-one-out: {many}"]
    on_progress(f"leaving out {UNITS[units.kind]} at a time: {name}")
    one = leave_one_out(evidence, units, tree["posterior"].to_dataset(), marginals.variables)
    if depth == QUICK:
        one = good_only(one)
    else:
        one = refitted(
            evidence,
            marginals,
            one,
            every=not units.are_patients and (name == task.lead or depth == FULL),
            most=MOST_REFITS[depth],
            may_sample=depth == FULL,
            seed=task.seed,
            on_progress=lambda line: on_progress(f"{name} {line}"),
        )
    why = why_unanswered(one, depth, MOST_REFITS.get(depth, 0))
    # Draws by unit are no longer needed, and are much to hand over.
    return replace(one, densities=None), [f"leave-one-out of {name}: {why}"] if why else []


def why_unanswered(one: LeftOut, depth: str, most: int) -> str:
    """Say why units have no density, each reason by itself; empty where all have one."""
    if one.is_answered:
        return ""
    reasons = {
        leave_out.NOT_REFITTED: f"were not refitted, as depth {depth} refits nothing",
        leave_out.TOO_MANY: f"were not refitted, as depth {depth} refits no more than {most}",
        leave_out.NOT_TRUSTED: "were refitted, and the refit could not be trusted either",
    }
    counts = {why: one.unanswered_by(reason) for reason, why in reasons.items()}
    told_of = "; ".join(f"{count:,} {why}" for why, count in counts.items() if count)
    return (
        f"{one.unanswered:,} of {one.units.count:,} units have no importance weights that can be trusted, and "
        f"no other answer: {told_of}. So it is not compared"
    )


def _evidence(
    task: Task,
    name: str,
    marginals: Marginals,
    tree: xr.DataTree,
    on_progress: OnProgress,
) -> LogEvidence:
    """Return the log evidence of a model: by importance sampling, or sequential Monte Carlo if that fails."""
    found = bayes_factors.by_weights(marginals.whole)
    if found.is_known:
        return found
    if "stages" in tree["sample_stats"]:
        return bayes_factors.by_smc(tree)
    if task.depth == FULL:
        return _tempered(task, name, tree, on_progress)
    return found


def _tempered(task: Task, name: str, tree: xr.DataTree, on_progress: OnProgress) -> LogEvidence:
    on_progress(f"{name}: log evidence by sequential Monte Carlo")
    return bayes_factors.by_smc(sampling.temper(tree, task.study, name, task.priors))


def _without_evidence(evidence: Mapping[str, LogEvidence]) -> list[str]:
    return [
        f"log evidence of {name}: too few of its draws are effective, or their Pareto k of "
        f"{one.pareto_k:.2f} is too high; depth full asks sequential Monte Carlo"
        for name, one in evidence.items()
        if not one.is_known
    ]


def _note_factors(
    task: Task,
    own: Marginals,
    worked: Mapping[str, Worked],
    found: Findings,
    on_progress: OnProgress,
) -> None:
    """Note Bayes factors of interactions and P(no interaction), from the evidence of the models."""
    study, lead = task.study, task.lead
    on_progress("Bayes factors of the interactions")
    every = tuple(range(len(study.pairs)))
    known: dict[tuple[int, ...], LogEvidence] = {(): found.evidence[INTERACTION]}
    if ADDITIVE in found.evidence:
        known[every] = found.evidence[ADDITIVE]
    evidences = bayes_factors.Evidences(own, len(study.pairs), known)
    sds = (1.0,) if task.depth == QUICK else bayes_factors.FACTORS
    fit = worked[INTERACTION].tree
    factors = bayes_factors.factors_of_interactions(
        study, evidences, fit, sds, each=task.depth == FULL
    )
    none = evidences.of(every)
    if ADDITIVE in found.evidence:  # where its own could not be trusted, this one may
        found.evidence[ADDITIVE] = none
    if lead != INTERACTION:
        needed = [v for v in find_model(lead, study).parameters if v in ("mu", "tau")]
        whole = found.evidence[lead]
        factors.append(bayes_factors.factor_of_model(lead, task.priors, needed, whole, none))
    if task.depth == FULL:
        factors = _with_smc(task, worked, factors, on_progress)
    found.factors = factors
    if any(np.isnan(one.log) for one in factors):
        found.failed.append("some Bayes factors: a marginal likelihood of theirs cannot be trusted")
    if why := bayes_factors.why_no_probability(evidences):
        found.failed.append(f"P(no interaction): {why}")
    else:
        found.no_interaction = bayes_factors.probability_of_none(evidences)


def _with_smc(
    task: Task, worked: Mapping[str, Worked], factors: list[BayesFactor], on_progress: OnProgress
) -> list[BayesFactor]:
    """Put what sequential Monte Carlo makes of any interaction beside the Bayes factor of it."""
    if ADDITIVE not in worked:
        return factors
    logs = {}
    for name in (INTERACTION, ADDITIVE):
        one = worked[name]  # its log evidence may be of sequential Monte Carlo already
        is_done = one.evidence.method == bayes_factors.BY_SMC
        logs[name] = one.evidence if is_done else _tempered(task, name, one.tree, on_progress)
    factor = float(np.exp(logs[INTERACTION].value - logs[ADDITIVE].value))
    return [
        replace(one, smc=factor)
        if one.of == ANY and one.is_chosen and one.against.startswith(INTERACTION)
        else one
        for one in factors
    ]
