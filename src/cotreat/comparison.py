"""Model comparison: how well each model predicts evidence that it was not given, and how probable each makes it.

Writes the part ``comparison`` of a study's results: leave-one-out cross-validation with its unit declared,
printed numbers in their predictive distributions, Bayes factors of interactions and averages over them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import xarray as xr

from cotreat import bayes_factors, checks, headline, laplace, left_out, sampling
from cotreat.bayes_factors import ANY, BayesFactor, LogEvidence
from cotreat.catalogue import find_model, is_asked_for
from cotreat.compared import Findings, told
from cotreat.left_out import PATIENT, UNITS
from cotreat.loo import good_only, leave_one_out, refitted
from cotreat.marginal import Marginals
from cotreat.names import FULL, QUICK, STANDARD
from cotreat.parts import COMPARISON, Fits, Say, write_part
from cotreat.priors import PriorSet, models_for
from cotreat.study import Study

MOST_UNITS = 20_000
"""Distinct units beyond which leave-one-out is not worked out."""
MOST_REFITS = {STANDARD: 12, FULL: 60}
"""Units of one model that are refitted without, at most."""
INTERACTION, ADDITIVE = "interaction", "additive"
NAN = float("nan")


def write(
    study: Study,
    fits: Fits,
    priors: PriorSet,
    folder: Path,
    *,
    depth: str = STANDARD,
    seed: int = 1,
    say: Say = lambda _: None,
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
    found = Findings()
    possible, refused = models_for(study, priors)
    names = [name for name in possible if not is_asked_for(name)]
    trees, troubles = {}, []
    for name in names:
        trees[name], failed = _fit(study, fits, name, priors, seed, say)
        troubles += [f"{name}: {line}" for line in failed]
    lead = headline.leader(names)
    marginals: dict[str, Marginals] = {}
    for name in names:
        model = find_model(name, study)
        own = priors.only(model, study)
        marginals[name] = Marginals(study, model, own, trees[name]["posterior"].to_dataset(), seed)
        _leave_out(study, name, marginals[name], trees[name], found, depth, seed, name == lead, say)
        _note_evidence(study, name, own, marginals[name], trees[name], found, depth, say)
    if INTERACTION in marginals:
        _note_factors(study, priors, marginals, trees, lead, found, depth, say)
    part, tables, figures = told(study, priors, lead, found, depth, seed, refused)
    return write_part(folder / COMPARISON, part, tables, figures, troubles)


def _fit(
    study: Study, fits: Fits, name: str, priors: PriorSet, seed: int, say: Say
) -> tuple[xr.DataTree, list[str]]:
    """Return a fit, known or made now, and its failed diagnostics."""
    known = fits.get((name, study.reading))
    if known is not None:
        return known, [line for line in [known.attrs.get("failed_checks", "")] if line]
    say(f"fitting {name}")
    tree = sampling.fit(study, name, priors, engine="laplace", seed=seed)
    return tree, checks.failures(checks.check(tree, study, find_model(name, study)))


def _leave_out(
    study: Study,
    name: str,
    marginals: Marginals,
    tree: xr.DataTree,
    found: Findings,
    depth: str,
    seed: int,
    is_lead: bool,
    say: Say,
) -> None:
    units = left_out.units_of(study)
    if len(units.parts) > MOST_UNITS:
        line = f"leave-one-out: {len(units.parts):,} cells of patients are more than are worked out"
        found.failed = list(dict.fromkeys([*found.failed, line]))
        return
    say(f"leaving out {UNITS[units.kind]} at a time: {name}")
    posterior = tree["posterior"].to_dataset()
    one = leave_one_out(study, units, posterior, marginals.variables)
    if depth == QUICK:
        one = good_only(one)
    else:
        one = refitted(
            study,
            marginals,
            one,
            every=units.kind != PATIENT and (is_lead or depth == FULL),
            most=MOST_REFITS[depth],
            may_sample=depth == FULL,
            seed=seed,
            say=lambda line: say(f"{name} {line}"),
        )
    found.left[name] = one
    if one.unanswered:
        more = "" if depth == FULL else f" at depth {depth}"
        found.failed.append(
            f"leave-one-out of {name}: {one.unanswered:,} of {units.count:,} units not answered{more}, "
            "for neither importance weights nor a refit could be trusted, so it is not compared"
        )


def _note_evidence(
    study: Study,
    name: str,
    priors: PriorSet,
    marginals: Marginals,
    tree: xr.DataTree,
    found: Findings,
    depth: str,
    say: Say,
) -> None:
    """Note the log evidence of a model: by importance sampling, or sequential Monte Carlo if that fails."""
    whole = marginals.whole
    if whole.verdict != laplace.BAD:
        found.evidence[name] = LogEvidence(whole.log_evidence, whole.pareto_k)
    elif "log_evidence" in tree["sample_stats"]:
        found.evidence[name] = LogEvidence(sampling.log_evidence(tree), NAN)
    elif depth == FULL:
        say(f"{name}: log evidence by sequential Monte Carlo")
        beside = sampling.temper(tree, study, name, priors)
        found.evidence[name] = LogEvidence(sampling.log_evidence(beside), NAN)
    else:
        found.evidence[name] = LogEvidence(NAN, whole.pareto_k)
        found.failed.append(
            f"log evidence of {name}: Pareto k {whole.pareto_k:.2f} of its weights is too high; depth "
            "full asks sequential Monte Carlo"
        )


def _note_factors(
    study: Study,
    priors: PriorSet,
    marginals: Mapping[str, Marginals],
    trees: Mapping[str, xr.DataTree],
    lead: str,
    found: Findings,
    depth: str,
    say: Say,
) -> None:
    say("Bayes factors of the interactions")
    own, tree = marginals[INTERACTION], trees[INTERACTION]
    sds = (1.0,) if depth == QUICK else bayes_factors.FACTORS
    factors = bayes_factors.factors_of_interactions(study, own, tree, sds, each=depth == FULL)
    additive = found.evidence.get(ADDITIVE)
    if additive is not None and lead in marginals and lead != INTERACTION:
        needed = [v for v in find_model(lead, study).parameters if v in ("mu", "tau")]
        factors.append(
            bayes_factors.factor_of_model(lead, priors, needed, found.evidence[lead], additive)
        )
    if depth == FULL:
        factors = _with_smc(study, priors, trees, factors, say)
    found.factors = factors
    if any(np.isnan(one.log) for one in factors):
        found.failed.append("some Bayes factors: Pareto k of a marginal likelihood is too high")
    say("averaging over sets of interactions")
    found.sets = bayes_factors.weigh(own, len(study.pairs))
    if not found.sets:
        found.failed.append(
            "the average over sets of interactions: there are too many sets, or one has no marginal "
            "likelihood that can be trusted"
        )
        return
    model = find_model(INTERACTION, study)
    average = bayes_factors.averaged(study, own, found.sets)
    found.averages = bayes_factors.table_of_averages(study, model, average, trees[lead])


def _with_smc(
    study: Study,
    priors: PriorSet,
    trees: Mapping[str, xr.DataTree],
    factors: list[BayesFactor],
    say: Say,
) -> list[BayesFactor]:
    """Put what sequential Monte Carlo makes of any interaction beside the Bayes factor of it."""
    if ADDITIVE not in trees:
        return factors
    logs = {}
    for name in (INTERACTION, ADDITIVE):
        say(f"{name}: log evidence by sequential Monte Carlo")
        logs[name] = sampling.log_evidence(sampling.temper(trees[name], study, name, priors))
    factor = float(np.exp(logs[INTERACTION] - logs[ADDITIVE]))
    return [
        replace(one, smc=factor)
        if one.of == ANY and one.is_chosen and one.against.startswith(INTERACTION)
        else one
        for one in factors
    ]
