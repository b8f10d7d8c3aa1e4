"""Comparison of models by the prediction of left-out evidence and by marginal likelihoods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from cotreat.comparison import bayes_factors
from cotreat.comparison.loo import good_only, leave_one_out, refitted, table_of_models
from cotreat.comparison.records import (
    ADDITIVE,
    ANY,
    BY_SMC,
    INTERACTION,
    MOST_REFITS,
    MOST_UNITS,
    BayesFactor,
    LeftOut,
    LogEvidence,
    ModelComparison,
)
from cotreat.core.constants import FULL, QUICK, STANDARD
from cotreat.diagnostics import checks
from cotreat.evidence.folds import UNITS
from cotreat.evidence.reported import reported_in
from cotreat.evidence.resolve import resolve
from cotreat.inference import sampling
from cotreat.inference.batch import beside, prepare_process
from cotreat.inference.engines import one_thread
from cotreat.inference.marginal_likelihood import Marginals
from cotreat.models.registry import find_model, is_asked_for
from cotreat.models.select import models_for, priors_for
from cotreat.priors.prior import PriorSet
from cotreat.results.headline import primary
from cotreat.results.supplementary import Fits, OnProgress
from cotreat.study.study import Study


def compare(
    study: Study,
    fits: Fits,
    priors: PriorSet,
    *,
    depth: str = STANDARD,
    seed: int = 1,
    on_progress: OnProgress = lambda _: None,
) -> ModelComparison:
    """Compare the models of a study.

    Parameters
    ----------
    study
        Under the interpretation whose models are compared.
    fits
        Fits by model and interpretation. Models without one are fitted, by Laplace's approximation or,
        where it is unreliable, by NUTS.
    priors
        Prior set of the fits.
    depth
        ``quick``: importance weights alone, one prior of the interactions. ``standard``: refits where
        weights are unreliable; every reported estimate or count is left out of the primary model.
        ``full``: every unit is left out of every model, NUTS replaces unreliable approximations, and
        sequential Monte Carlo checks the Bayes factors.
    seed
        Of fits and predictions.
    on_progress
        Called with lines of progress.

    Returns
    -------
    ModelComparison
    """
    possible, refused = models_for(study, priors)
    names = [name for name in possible if not is_asked_for(name)]
    task = _Task(study, priors, depth, seed, primary(names))
    models, marginals = _all_models(task, names, fits, on_progress)
    left_out = {name: one.left_out for name, one in models.items() if one.left_out is not None}
    evidence = {name: one.evidence for name, one in models.items()}
    factors: dict[str, Any] = {}
    if INTERACTION in marginals:
        on_progress("Bayes factors of the interactions")
        factors = _factors(task, marginals[INTERACTION], models, evidence, on_progress)
    folds, reported = resolve(study)[-1].folds(), reported_in(resolve(study))
    return ModelComparison(
        study,
        priors.name,
        task.primary,
        depth,
        seed,
        refused,
        left_out,
        evidence,
        table_with_evidence(left_out, evidence),
        dependences=() if reported is None else tuple(reported.dependences),
        too_many=len(folds.parts) if len(folds.parts) > MOST_UNITS else 0,
        failed_checks=tuple(f"{name}: {f}" for name, one in models.items() for f in one.failed),
        **factors,
    )


def table_with_evidence(
    left_out: Mapping[str, LeftOut], evidence: Mapping[str, LogEvidence]
) -> pd.DataFrame | None:
    """Return the table of models with their log evidence; None without leave-one-out.

    Parameters
    ----------
    left_out, evidence
        By model.
    """
    if not left_out:
        return None
    table = table_of_models(left_out)
    logs = table.model.map(evidence)
    return table.assign(
        log_evidence=[one.value for one in logs],
        log_evidence_mc_error=[one.error for one in logs],
        log_evidence_by=[one.method for one in logs],
    )


@dataclass(frozen=True)
class _Task:
    """Settings that all models share."""

    study: Study
    priors: PriorSet
    depth: str
    seed: int
    primary: str


@dataclass(frozen=True)
class _Compared:
    """Fit, log evidence and leave-one-out of one model, with the failed diagnostics of the fit."""

    draws: xr.DataTree
    evidence: LogEvidence
    left_out: LeftOut | None
    failed: tuple[str, ...]


def _all_models(
    task: _Task, names: Sequence[str], fits: Fits, on_progress: OnProgress
) -> tuple[dict[str, _Compared], dict[str, Marginals]]:
    """Compare all models, some of them in a second process.

    The models of the Bayes factors stay in this process. In the other runs the primary model, of which every
    unit is left out, or, where it is one of them, all other models.

    Returns
    -------
    models : dict of _Compared
        In the order of `names`.
    marginals : dict of Marginals
        Of the models of this process.
    """
    known = {name: fits.get((name, task.study.interpretation)) for name in names}
    others = [name for name in names if name not in (INTERACTION, ADDITIVE)]
    others = [task.primary] if task.primary in others else others
    if task.depth == QUICK or len(others) == len(names):
        others = []  # the start of a process takes longer
    if others:
        on_progress(f"in a second process: {', '.join(others)}")
        arguments = (task, {name: known[name] for name in others})
        second = beside([(_in_second_process, arguments)], 2)
    models, marginals = {}, {}
    for name in names:
        if name not in others:
            models[name], marginals[name] = _one_model(task, name, known[name], on_progress)
    for found in second if others else ():
        models |= found
    return {name: models[name] for name in names}, marginals


def _in_second_process(task: _Task, fits: Mapping[str, xr.DataTree | None]) -> dict[str, _Compared]:
    prepare_process()
    with one_thread():
        return {n: _one_model(task, n, draws, lambda _: None)[0] for n, draws in fits.items()}


def _one_model(
    task: _Task, name: str, draws: xr.DataTree | None, on_progress: OnProgress
) -> tuple[_Compared, Marginals]:
    """Fit a model unless a fit exists, leave out its units, and compute its log evidence."""
    study, model = task.study, find_model(name, task.study)
    if draws is not None:
        failed = [line for line in [draws.attrs.get("failed_checks", "")] if line]
    else:
        on_progress(f"fitting {name}")
        fit = sampling.fit_model(study, name, task.priors, engine="laplace", seed=task.seed)
        draws, failed = fit.draws, checks.failures(checks.checks(fit))
    posterior = draws["posterior"].to_dataset()
    rows = priors_for(task.priors, model, study)
    marginals = Marginals(study, model, rows, posterior, task.seed)
    left_out = _left_out(task, name, marginals, posterior, on_progress)
    evidence = _log_evidence(task, name, marginals, draws, on_progress)
    return _Compared(draws, evidence, left_out, tuple(failed)), marginals


def _left_out(
    task: _Task, name: str, marginals: Marginals, posterior: xr.Dataset, on_progress: OnProgress
) -> LeftOut | None:
    """Leave each unit out of a model; None where there are too many units."""
    depth, evidence = task.depth, resolve(task.study)
    units = evidence[-1].folds()
    if len(units.parts) > MOST_UNITS:
        return None
    on_progress(f"leaving out {UNITS[units.kind]} at a time: {name}")
    one = leave_one_out(evidence, units, posterior, marginals.variables)
    if depth == QUICK:
        one = good_only(one)
    else:
        one = refitted(
            evidence,
            marginals,
            one,
            every=not units.are_patients and (name == task.primary or depth == FULL),
            most=MOST_REFITS[depth],
            may_sample=depth == FULL,
            seed=task.seed,
            on_progress=lambda line: on_progress(f"{name} {line}"),
        )
    return replace(one, densities=None)  # large, and no longer needed


def _log_evidence(
    task: _Task, name: str, marginals: Marginals, draws: xr.DataTree, on_progress: OnProgress
) -> LogEvidence:
    """Return the log evidence by importance sampling, or by sequential Monte Carlo where that fails."""
    found = bayes_factors.by_weights(marginals.whole)
    if found.is_known:
        return found
    if "stages" in draws["sample_stats"]:
        return bayes_factors.by_smc(draws)
    return _tempered(task, name, draws, on_progress) if task.depth == FULL else found


def _tempered(task: _Task, name: str, draws: xr.DataTree, on_progress: OnProgress) -> LogEvidence:
    on_progress(f"{name}: log evidence by sequential Monte Carlo")
    return bayes_factors.by_smc(sampling.temper(draws, task.study, name, task.priors))


def _factors(
    task: _Task,
    marginals: Marginals,
    models: Mapping[str, _Compared],
    evidence: dict[str, LogEvidence],
    on_progress: OnProgress,
) -> dict[str, Any]:
    """Return Bayes factors of interactions and P(no interaction), as fields of the comparison.

    An unreliable log evidence of `additive` is replaced by that of `interaction` without products.
    """
    study, pairs = task.study, task.study.pair_labels
    every = tuple(range(len(pairs)))
    known: dict[tuple[int, ...], LogEvidence] = {(): evidence[INTERACTION]}
    if ADDITIVE in evidence:
        known[every] = evidence[ADDITIVE]
    evidences = bayes_factors.LogEvidences(marginals, len(pairs), known)
    sds = (1.0,) if task.depth == QUICK else bayes_factors.FACTORS
    factors = bayes_factors.factors_of_interactions(
        pairs, evidences, models[INTERACTION].draws, sds, each=task.depth == FULL
    )
    none = evidences.of(every)
    if ADDITIVE in evidence:
        evidence[ADDITIVE] = none
    if (name := task.primary) != INTERACTION:
        variables = [v for v in find_model(name, study).parameters if v in ("mu", "tau")]
        arguments = (name, task.priors, variables, evidence[name], none)
        factors.append(bayes_factors.factor_of_model(*arguments))
    if task.depth == FULL:
        factors = _with_smc(task, models, factors, on_progress)
    why = bayes_factors.why_no_probability(evidences)
    return {
        "factors": tuple(factors),
        "no_interaction": () if why else bayes_factors.probability_of_none(evidences),
        "why_no_probability": why,
    }


def _with_smc(
    task: _Task,
    models: Mapping[str, _Compared],
    factors: list[BayesFactor],
    on_progress: OnProgress,
) -> list[BayesFactor]:
    """Add the Bayes factor by sequential Monte Carlo to that of any interaction."""
    if ADDITIVE not in models:
        return factors
    logs = {}
    for name in (INTERACTION, ADDITIVE):
        one = models[name]
        is_done = one.evidence.method == BY_SMC
        logs[name] = one.evidence if is_done else _tempered(task, name, one.draws, on_progress)
    factor = float(np.exp(logs[INTERACTION].value - logs[ADDITIVE].value))
    return [
        replace(one, smc=factor)
        if one.of == ANY and one.is_chosen and one.against.startswith(INTERACTION)
        else one
        for one in factors
    ]
