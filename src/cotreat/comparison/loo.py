"""Compute leave-one-out cross-validation with a declared unit, by importance sampling and exact refits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from cotreat.comparison import leave_out
from cotreat.comparison.records import (
    BY_WEIGHTS,
    FEWEST,
    NAN,
    NOT_REFITTED,
    TOO_MANY,
    LeftOut,
    LogEvidence,
)
from cotreat.evidence.folds import FoldPrediction, Folds
from cotreat.evidence.protocol import Evidences
from cotreat.inference import sampling
from cotreat.inference.influence import pointwise_loo
from cotreat.results.supplementary import OnProgress

if TYPE_CHECKING:
    from arviz_stats.utils import ELPDDataLOO

    from cotreat.inference.marginal_likelihood import Marginals

FEW_GOOD_K = 0.5
"""Largest usable Pareto k with fewer than `FEWEST` units. Below 0.5 the importance weights have a finite variance. The
limit is strict because few errors do not average out: at k = 0.59 the error of one of six log densities was 0.5."""
MOST_ERROR = 0.03
"""Monte Carlo standard error of a log density above which a unit is refitted, with fewer than `FEWEST` units. Refits
have a smaller standard error."""


def leave_one_out(
    evidence: Evidences, units: Folds, posterior: xr.Dataset, names: Iterable[str]
) -> LeftOut:
    """Compute the log predictive density of each left-out unit by Pareto-smoothed importance sampling with ArviZ.

    Parameters
    ----------
    evidence
        Evidence to which the study resolves.
    units
        Folds of the last piece of evidence.
    posterior
        Draws of a fit, with its deterministics, dims (chain, draw, …).
    names
        Free variables; their effective sample size determines the number of weights in the smoothed tail.

    Returns
    -------
    LeftOut
        Including densities whose Pareto k is too large; `good_only` removes them.

    Notes
    -----
    Vehtari, Gelman & Gabry, Stat Comput 2017;27:1413; Vehtari et al., J Mach Learn Res 2024;25:72.
    """
    at = sampling.thinned(posterior.sizes["chain"], posterior.sizes["draw"], len(units.parts))
    thinned = posterior.assign_coords(draw=posterior.get_index("draw")).isel(draw=at)
    logs = leave_out.log_densities(evidence, thinned, units)
    none = np.full(len(units.parts), NAN)
    if logs is None:
        how = (NOT_REFITTED,) * len(none)
        return LeftOut(units, none, none, none, how, FEW_GOOD_K, none, none, none)
    result = pointwise_loo(thinned[list(names)], logs.to_dataset())
    elpd, k = result.elpd_i.values, result.pareto_k.values
    good = float(result.good_k) if units.count >= FEWEST else min(result.good_k, FEW_GOOD_K)
    # The log predictive density is minus the log of the posterior mean of 1/density.
    error = leave_out.log_mean_errors(-logs)
    how = (BY_WEIGHTS,) * len(elpd)
    return LeftOut(units, elpd, k, elpd, how, good, error, none, none, densities=logs)


def good_only(one: LeftOut) -> LeftOut:
    """Replace the densities whose Pareto k is too large by NaN.

    Parameters
    ----------
    one
        Leave-one-out of a model.

    Returns
    -------
    LeftOut
        With `NOT_REFITTED` as the reason for each missing density.
    """
    is_unreliable = ~(one.pareto_k <= one.good_k)
    pairs = zip(is_unreliable, one.how, strict=True)
    how = tuple(NOT_REFITTED if unreliable else how for unreliable, how in pairs)
    elpd, error = (np.where(is_unreliable, NAN, values) for values in (one.elpd, one.error))
    return replace(one, elpd=elpd, error=error, how=how)


def refitted(
    evidence: Evidences,
    marginals: Marginals,
    one: LeftOut,
    *,
    every: bool,
    most: int,
    may_sample: bool,
    seed: int,
    on_progress: OnProgress = lambda _: None,
) -> LeftOut:
    """Replace unreliable log densities by those of refits without the unit, the largest Pareto k first.

    Units are refitted if their Pareto k is too large. With fewer than `FEWEST` units, they are also refitted if their
    Monte Carlo standard error exceeds `MOST_ERROR`.

    Parameters
    ----------
    evidence
        Evidence to which the study resolves.
    marginals
        Marginal likelihoods of the model.
    one
        Result of `leave_one_out`.
    every
        Whether every unit is refitted and predicted.
    most
        Largest number of refits.
    may_sample
        Whether NUTS replaces an unreliable Laplace approximation.
    seed
        Seed of the predictions.
    on_progress
        Function that is called with a message per refit.

    Returns
    -------
    LeftOut
        With the densities, the Pareto k and the effective draws of the refits.

    Notes
    -----
    Moment matching (`arviz.loo_moment_match`; Paananen et al., Stat Comput 2021;31:16) does not replace a refit:
    for the counts of ISIS-2 it takes five times as long and leaves two of four k above 0.8, and the error of one
    log density is 0.6 despite a k of 0.48.
    """
    good = good_only(one)
    elpd, error, how = good.elpd.copy(), good.error.copy(), list(good.how)
    refit_k, effective = one.refit_k.copy(), one.refit_effective.copy()
    k = np.where(np.isnan(one.pareto_k), np.inf, one.pareto_k)
    is_wanted = np.isnan(elpd) | every | ((one.units.count < FEWEST) & (error > MOST_ERROR))
    wanted = [at for at in np.argsort(-k, kind="stable") if is_wanted[at]]
    rng = np.random.default_rng(seed)
    predicted: dict[int, list[FoldPrediction]] = {}
    for count, at in enumerate(wanted[:most], 1):
        unit = one.units.parts[at]
        on_progress(f"without {unit.name} ({count} of {min(len(wanted), most)})")
        settings = {"is_predicted": every, "may_sample": may_sample}
        refit = leave_out.refit(evidence, marginals, one.units, unit, one.densities, **settings)
        refit_k[at], effective[at] = refit.pareto_k, refit.effective
        if np.isfinite(refit.elpd) or np.isnan(elpd[at]):
            elpd[at], error[at], how[at] = refit.elpd, refit.error, refit.how
        if every and refit.posterior is not None:
            predicted[at] = evidence[-1].predict_fold(unit, refit.posterior, rng)
    for at in wanted[most:]:
        how[at] = TOO_MANY if np.isnan(elpd[at]) else how[at]
    return replace(
        one,
        elpd=elpd,
        error=error,
        how=tuple(how),
        refit_k=refit_k,
        refit_effective=effective,
        shared_error=marginals.whole.log_error if wanted else 0.0,
        predicted=tuple(left for at in sorted(predicted) for left in predicted[at]),
    )


def table_of_models(
    left_out: Mapping[str, LeftOut], evidence: Mapping[str, LogEvidence] | None = None
) -> pd.DataFrame:
    """Compare models by their expected log predictive density with `arviz.compare`.

    Parameters
    ----------
    left_out
        Leave-one-out by model.
    evidence
        Log evidence by model; by default it is not shown.

    Returns
    -------
    pandas.DataFrame
        A row per model, the best first. Stacking weights are NaN with fewer than `FEWEST` units.

    Notes
    -----
    Stacking: Yao et al., Bayesian Anal 2018;13:917.
    """
    import arviz as az

    data = {name: _as_arviz(loo) for name, loo in left_out.items() if not loo.not_computed}
    ranked = pd.DataFrame()
    if len(data) > 1:
        ranked = az.compare(data, method="stacking", round_to="none")
    names = [*ranked.index, *(name for name in left_out if name not in ranked.index)]
    best = left_out[names[0]].mc_error if names else NAN
    rows = []
    for name in names:
        row = _row(name, left_out[name], data.get(name))
        if name in ranked.index:
            loo, of_pair = left_out[name], ranked.loc[name]
            error = 0.0 if name == names[0] else float(np.hypot(loo.mc_error, best))
            weight = float(of_pair.weight) if loo.units.count >= FEWEST else NAN
            row |= {"difference": float(of_pair.elpd_diff), "difference_se": float(of_pair.dse)}
            row |= {"difference_mc_error": error, "stacking_weight": weight}
        if evidence:
            log = evidence[name]
            row |= {"log_evidence": log.value, "log_evidence_mc_error": log.error}
            row["log_evidence_by"] = log.method
        rows.append(row)
    return pd.DataFrame(rows)


def _as_arviz(loo: LeftOut) -> ELPDDataLOO:
    """Convert leave-one-out to the record of ArviZ, with one element per unit."""
    from arviz_stats.utils import ELPDDataLOO

    each = np.repeat(loo.elpd, loo.times)
    return ELPDDataLOO(
        elpd=float(each.sum()),
        se=float(np.sqrt(len(each) * np.var(each))),
        p=NAN,
        n_samples=0,
        n_data_points=len(each),
        scale="log",
        warning=False,
        good_k=loo.good_k,
        elpd_i=xr.DataArray(each, dims="unit"),
    )


def _row(name: str, loo: LeftOut, answered: ELPDDataLOO | None) -> dict[str, Any]:
    """Return the table row of a model, with missing differences."""
    elpd, se, error = (answered.elpd, answered.se, loo.mc_error) if answered else (NAN,) * 3
    return {
        "model": name,
        "unit": loo.units.kind,
        "units": loo.units.count,
        "elpd": elpd,
        "elpd_se": se,
        "elpd_mc_error": error,
        "difference": NAN,
        "difference_se": NAN,
        "difference_mc_error": NAN,
        "stacking_weight": NAN,
        "worst_k": np.fmax.reduce(loo.pareto_k),
        "refitted": loo.refitted,
        "worst_refit_k": np.fmax.reduce(loo.refit_k),
        "fewest_effective": np.fmin.reduce(loo.refit_effective),
        "not_computed": loo.not_computed,
    }
