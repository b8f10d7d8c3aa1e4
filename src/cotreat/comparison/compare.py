"""Comparison of models by the prediction of left-out evidence and by marginal likelihoods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
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
from cotreat.core.constants import FULL, QUICK
from cotreat.diagnostics import checks
from cotreat.evidence.folds import OF_PATIENTS, UNITS
from cotreat.evidence.reported import reported_in
from cotreat.evidence.resolve import resolve
from cotreat.inference import sampling
from cotreat.inference.batch import in_processes, prepare_process
from cotreat.inference.engines import one_thread
from cotreat.inference.marginal_likelihood import Marginals
from cotreat.models.registry import find_model, is_on_request
from cotreat.models.select import models_for, priors_for
from cotreat.results.headline import primary
from cotreat.results.supplementary import Task


def compare(task: Task) -> ModelComparison:
    """Compare the models of a study.

    Models without a fit are fitted by Laplace's approximation or, where it is not good, by another engine.

    Parameters
    ----------
    task
        With depth ``quick``: importance weights alone, one prior of the interactions. ``standard``: refits
        where weights are unreliable; every reported estimate or count is left out of the primary model.
        ``full``: every unit is left out of every model, NUTS replaces unreliable approximations, and
        sequential Monte Carlo checks the Bayes factors.

    Returns
    -------
    ModelComparison
    """
    study, evidence = task.study, resolve(task.study)
    possible, refused = models_for(study, task.priors)
    names = [name for name in possible if not is_on_request(name)]
    first = primary(names)
    models, marginals = _all_models(task, names, first)
    left_out = {name: one.left_out for name, one in models.items() if one.left_out is not None}
    logs = {name: one.evidence for name, one in models.items()}
    factors: dict[str, Any] = {}
    if INTERACTION in marginals:
        task.on_progress("Bayes factors of the interactions")
        factors = _factors(task, first, marginals[INTERACTION], models, logs)
    reported, units = reported_in(evidence), len(evidence[-1].folds().parts)
    return ModelComparison(
        study,
        task.priors.name,
        first,
        task.depth,
        task.seed,
        refused,
        left_out,
        logs,
        table_of_models(left_out, logs) if left_out else None,
        dependences=() if reported is None else tuple(reported.dependences),
        too_many=units if units > MOST_UNITS else 0,
        failed_checks=tuple(f"{name}: {f}" for name, one in models.items() for f in one.failed),
        **factors,
    )


@dataclass(frozen=True)
class _Compared:
    """Fit, log evidence and leave-one-out of one model, with the failed diagnostics of the fit."""

    draws: xr.DataTree
    evidence: LogEvidence
    left_out: LeftOut | None
    failed: tuple[str, ...]


def _all_models(
    task: Task, names: Sequence[str], first: str
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
    others = [name for name in names if name not in (INTERACTION, ADDITIVE)]
    others = [first] if first in others else others
    if task.depth == QUICK or len(others) == len(names):
        others = []  # the start of a process takes longer
    if others:
        task.on_progress(f"in a second process: {', '.join(others)}")
        fits = {key: fit for key, fit in task.fits.items() if key[0] in others}
        silent = replace(task, fits=fits, on_progress=lambda _: None)
        second = in_processes([(_in_second_process, (silent, others, first))], 2)
    models, marginals = {}, {}
    for name in names:
        if name not in others:
            models[name], marginals[name] = _one_model(task, name, first)
    for found in second if others else ():
        models |= found
    return {name: models[name] for name in names}, marginals


def _in_second_process(task: Task, names: Sequence[str], first: str) -> dict[str, _Compared]:
    prepare_process()
    with one_thread():
        return {name: _one_model(task, name, first)[0] for name in names}


def _one_model(task: Task, name: str, first: str) -> tuple[_Compared, Marginals]:
    """Fit a model unless a fit exists, leave out its units, and compute its log evidence."""
    study, model = task.study, find_model(name, task.study)
    draws = task.fits.get((name, study.interpretation))
    if draws is not None:
        failed = [line for line in [draws.attrs.get("failed_checks", "")] if line]
    else:
        task.on_progress(f"fitting {name}")
        fit = sampling.fit_model(study, name, task.priors, engine="laplace", seed=task.seed)
        draws, failed = fit.draws, checks.failures(checks.checks(fit))
    posterior = draws["posterior"].to_dataset()
    rows = priors_for(task.priors, model, study)
    marginals = Marginals(study, model, rows, posterior, task.seed)
    left_out = _left_out(task, name, marginals, posterior, is_primary=name == first)
    evidence = bayes_factors.by_weights(marginals.whole)
    if not evidence.is_known and "stages" in draws["sample_stats"]:
        evidence = bayes_factors.by_smc(draws)
    elif not evidence.is_known and task.depth == FULL:
        evidence = _tempered(task, name, draws)
    return _Compared(draws, evidence, left_out, tuple(failed)), marginals


def _left_out(
    task: Task, name: str, marginals: Marginals, posterior: xr.Dataset, *, is_primary: bool
) -> LeftOut | None:
    """Leave each unit out of a model; None where there are too many units."""
    evidence, is_full = resolve(task.study), task.depth == FULL
    units = evidence[-1].folds()
    if len(units.parts) > MOST_UNITS:
        return None
    task.on_progress(f"leaving out {UNITS[units.kind]} at a time: {name}")
    one = leave_one_out(evidence, units, posterior, marginals.variables)
    if task.depth == QUICK:
        one = good_only(one)
    else:
        one = refitted(
            evidence,
            marginals,
            one,
            every=units.kind not in OF_PATIENTS and (is_primary or is_full),
            most=MOST_REFITS[task.depth],
            may_sample=is_full,
            seed=task.seed,
            on_progress=lambda line: task.on_progress(f"{name} {line}"),
        )
    return replace(one, densities=None)  # large, and no longer needed


def _tempered(task: Task, name: str, draws: xr.DataTree) -> LogEvidence:
    task.on_progress(f"{name}: log evidence by sequential Monte Carlo")
    return bayes_factors.by_smc(sampling.temper(draws, task.study, name, task.priors))


def _factors(
    task: Task,
    first: str,
    marginals: Marginals,
    models: Mapping[str, _Compared],
    evidence: dict[str, LogEvidence],
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
    if first != INTERACTION:
        variables = [v for v in find_model(first, study).parameters if v in ("mu", "tau")]
        arguments = (first, task.priors, variables, evidence[first], none)
        factors.append(bayes_factors.factor_of_model(*arguments))
    if task.depth == FULL:
        factors = _with_smc(task, models, factors)
    why = bayes_factors.why_no_probability(evidences)
    return {
        "factors": tuple(factors),
        "no_interaction": () if why else bayes_factors.probability_of_none(evidences),
        "why_no_probability": why,
    }


def _with_smc(
    task: Task, models: Mapping[str, _Compared], factors: list[BayesFactor]
) -> list[BayesFactor]:
    """Add the Bayes factor by sequential Monte Carlo to that of any interaction."""
    if ADDITIVE not in models:
        return factors
    logs = {}
    for name in (INTERACTION, ADDITIVE):
        one = models[name]
        is_done = one.evidence.method == BY_SMC
        logs[name] = one.evidence if is_done else _tempered(task, name, one.draws)
    factor = float(np.exp(logs[INTERACTION].value - logs[ADDITIVE].value))
    return [
        replace(one, smc=factor)
        if one.of == ANY and one.is_chosen and one.against.startswith(INTERACTION)
        else one
        for one in factors
    ]
