"""Model comparison: how well each model predicts evidence that it was not given, and how probable each makes it.

Writes the part ``comparison`` of a study's results: leave-one-out cross-validation with its unit declared,
printed numbers in their predictive distributions, Bayes factors of interactions and averages over them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from cotreat import bayes_factors, headline, laplace, left_out, sampling
from cotreat.bayes_factors import ANY, BayesFactor, LogEvidence, Weighed
from cotreat.catalogue import Model, find_model, is_asked_for
from cotreat.left_out import CELL, CLAIM, PATIENT, UNITS, Left, Unit, Units
from cotreat.marginal import Marginals
from cotreat.names import INTERVAL
from cotreat.parts import COMPARISON, Part, Section, versions, write_part
from cotreat.plots import Picture
from cotreat.priors import PriorSet, models_for
from cotreat.study import Study

if TYPE_CHECKING:
    from arviz_stats.utils import ELPDDataLOO
    from matplotlib.figure import Figure

Fits = Mapping[tuple[str, str], xr.DataTree]
Say = Callable[[str], None]

QUICK, STANDARD, FULL = DEPTHS = ("quick", "standard", "full")
FEWEST = 10
"""With fewer units no weights are given: their error is larger than they are."""
MOST_UNITS = 20_000
"""Distinct units beyond which leave-one-out is not worked out."""
MOST_REFITS = {STANDARD: 12, FULL: 60}
"""Units of one model that are refitted without, at most."""
LISTED = 20
"""Patients, or cells of them, that are listed of each model: those that move it most."""
WITHIN_ERROR = 2.0
"""Differences of so many standard errors, or of `SMALL`, tell no models apart (Sivula et al. 2025)."""
SMALL = 4.0
INTERACTION, ADDITIVE = "interaction", "additive"
NAN = float("nan")


# --- Leave-one-out ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class LeftOut:
    """What leaving out each unit gave under one model.

    Attributes
    ----------
    units : Units
    elpd : ndarray, shape (part,)
        Log density that the rest predicts for a unit of each part; NaN where it was not answered.
    pareto_k : ndarray, shape (part,)
        Of the importance weights; NaN where none were made.
    by_weights : ndarray, shape (part,)
        What Pareto-smoothed importance sampling says, good or not.
    how : list of str
        By part: ``importance weights`` or how it was refitted.
    good_k : float
        What k may be.
    """

    units: Units
    elpd: np.ndarray
    pareto_k: np.ndarray
    by_weights: np.ndarray
    how: tuple[str, ...]
    good_k: float
    predicted: tuple[Left, ...] = ()

    @property
    def times(self) -> np.ndarray:
        """Units that are alike, by part."""
        return np.array([part.times for part in self.units.parts])

    @property
    def unanswered(self) -> int:
        """Units whose density could not be had."""
        return int(self.times[np.isnan(self.elpd)].sum())

    @property
    def refitted(self) -> int:
        """Parts that were left out by refitting."""
        return sum(how in (left_out.BY_LAPLACE, left_out.BY_NUTS) for how in self.how)

    @property
    def is_answered(self) -> bool:
        """Whether every unit has its density."""
        return self.unanswered == 0

    def as_arviz(self) -> ELPDDataLOO:
        """Return it as ArviZ has it, an entry a unit."""
        from arviz_stats.utils import ELPDDataLOO

        each = np.repeat(self.elpd, self.times)
        return ELPDDataLOO(
            elpd=float(each.sum()),
            se=float(np.sqrt(len(each) * np.var(each))),
            p=NAN,
            n_samples=0,
            n_data_points=len(each),
            scale="log",
            warning=False,
            good_k=self.good_k,
            elpd_i=xr.DataArray(each, dims="unit"),
            pareto_k=None,
        )


BY_WEIGHTS = "importance weights"


def leave_one_out(study: Study, units: Units, posterior: xr.Dataset, names: Iterable[str]) -> LeftOut:
    """Leave out each unit by Pareto-smoothed importance sampling, as ArviZ does it.

    Parameters
    ----------
    posterior
        Draws of a fit, with its deterministics.
    names
        Its free variables, whose effective sample size sets the length of the weights' tails.

    Returns
    -------
    LeftOut
        With densities also where k is bad, which `good_only` takes away.

    Notes
    -----
    Vehtari, Gelman & Gabry, Stat Comput 2017;27:1413; Vehtari et al., J Mach Learn Res 2024;25:72.
    """
    import arviz as az

    at = sampling.thinned(posterior.sizes["chain"], posterior.sizes["draw"], len(units.parts))
    some = posterior.isel(draw=at)
    logs = left_out.log_densities(study, some, units)
    if logs is None:
        none = np.full(len(units.parts), NAN)
        how = (left_out.NONE,) * len(none)
        return LeftOut(units, none, none, none, how, 0.7)
    parts = {"posterior": some[list(names)], "log_likelihood": logs.to_dataset()}
    with warnings.catch_warnings():
        # What it warns of stands in the tables.
        warnings.filterwarnings("ignore", category=UserWarning, module="arviz_stats")
        found = az.loo(xr.DataTree.from_dict(parts), var_name=logs.name, pointwise=True)
    elpd, k = found.elpd_i.values, found.pareto_k.values
    how = (BY_WEIGHTS,) * len(elpd)
    return LeftOut(units, elpd, k, elpd, how, float(found.good_k))


def good_only(one: LeftOut) -> LeftOut:
    """Take away the densities that Pareto k forbids to use."""
    is_bad = ~(one.pareto_k <= one.good_k)
    how = tuple(left_out.NONE if bad else how for bad, how in zip(is_bad, one.how, strict=True))
    return replace(one, elpd=np.where(is_bad, NAN, one.elpd), how=how)


def refitted(
    study: Study,
    marginals: Marginals,
    one: LeftOut,
    *,
    every: bool,
    most: int,
    may_sample: bool,
    seed: int,
    say: Say = lambda _: None,
) -> LeftOut:
    """Replace densities by those of refits: where k is bad, worst first, or of every unit.

    Parameters
    ----------
    every
        Whether all units are left out, and what is left predicts each of them.
    most
        Refits at most.
    may_sample
        Whether NUTS may stand in where Laplace's approximation cannot be trusted.
    """
    elpd, how = good_only(one).elpd.copy(), list(good_only(one).how)
    k = np.where(np.isnan(one.pareto_k), np.inf, one.pareto_k)
    wanted = [at for at in np.argsort(-k) if every or np.isnan(elpd[at])]
    rng = np.random.default_rng(seed)
    predicted: list[Left] = []
    for count, at in enumerate(wanted[:most], 1):
        unit = one.units.parts[at]
        say(f"without {unit.name} ({count} of {min(len(wanted), most)})")
        got = left_out.refit(
            study, marginals, one.units, unit, is_predicted=every, may_sample=may_sample
        )
        if np.isfinite(got.elpd):
            elpd[at], how[at] = got.elpd, got.how
        if every and got.posterior is not None:
            predicted += left_out.predictions(study, one.units, unit, got.posterior, rng)
    order = {name: place for place, name in enumerate(one.units.names)}
    predicted.sort(key=lambda left: order[left.unit])
    return replace(one, elpd=elpd, how=tuple(how), predicted=tuple(predicted))


def compare(found: Mapping[str, LeftOut]) -> pd.DataFrame:
    """Compare models by the density that they predict, with ArviZ's `compare`.

    Returns
    -------
    pandas.DataFrame
        A row a model, the best first; stacking weights only with ten units or more.
    """
    import arviz as az

    whole = {name: one for name, one in found.items() if one.is_answered}
    ranked = pd.DataFrame()
    if whole:
        data = {name: one.as_arviz() for name, one in whole.items()}
        ranked = az.compare(data, method="stacking", round_to="none") if len(data) > 1 else ranked
    names = [*ranked.index, *(name for name in found if name not in ranked.index)]
    return pd.DataFrame([_compared(name, found[name], ranked) for name in names])


def _compared(name: str, one: LeftOut, ranked: pd.DataFrame) -> dict[str, Any]:
    row = ranked.loc[name] if name in ranked.index else None
    own = one.as_arviz() if one.is_answered else None
    has_weights = row is not None and one.units.count >= FEWEST
    k = one.pareto_k[np.isfinite(one.pareto_k)]
    return {
        "model": name,
        "unit": one.units.kind,
        "units": one.units.count,
        "elpd": NAN if own is None else own.elpd,
        "elpd_se": NAN if own is None else own.se,
        "difference": NAN if row is None else float(row.elpd_diff),
        "difference_se": NAN if row is None else float(row.dse),
        "stacking_weight": float(row.weight) if has_weights and row is not None else NAN,
        "worst_k": float(k.max()) if len(k) else NAN,
        "refitted": one.refitted,
        "not_answered": one.unanswered,
    }


# --- All of it -------------------------------------------------------------------------------------


@dataclass
class _Findings:
    """What has been found so far, and what could not be."""

    left: dict[str, LeftOut] = field(default_factory=dict)
    evidence: dict[str, LogEvidence] = field(default_factory=dict)
    factors: list[BayesFactor] = field(default_factory=list)
    sets: list[Weighed] = field(default_factory=list)
    averages: pd.DataFrame = field(default_factory=pd.DataFrame)
    failed: list[str] = field(default_factory=list)


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
    found = _Findings()
    possible, refused = models_for(study, priors)
    names = [name for name in possible if not is_asked_for(name)]
    trees = {name: _fit(study, fits, name, priors, seed, say) for name in names}
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
    part, tables, figures = _told(study, priors, lead, found, depth, seed, refused)
    return write_part(folder / COMPARISON, part, tables, figures)


def _fit(
    study: Study, fits: Fits, name: str, priors: PriorSet, seed: int, say: Say
) -> xr.DataTree:
    known = fits.get((name, study.reading))
    if known is not None:
        return known
    say(f"fitting {name}")
    return sampling.fit(study, name, priors, engine="laplace", seed=seed)


def _leave_out(
    study: Study,
    name: str,
    marginals: Marginals,
    tree: xr.DataTree,
    found: _Findings,
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
    found: _Findings,
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
    found: _Findings,
    depth: str,
    say: Say,
) -> None:
    say("Bayes factors of the interactions")
    own, tree = marginals[INTERACTION], trees[INTERACTION]
    sds = (1.0,) if depth == QUICK else bayes_factors.FACTORS
    factors = bayes_factors.factors_of_interactions(study, own, tree, sds)
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
