"""Leave-one-out cross-validation with a declared unit, by importance weights and exact refits."""

from __future__ import annotations

import warnings
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
)
from cotreat.evidence.folds import FoldPrediction, Folds
from cotreat.evidence.protocol import Evidences
from cotreat.inference import sampling
from cotreat.results.supplementary import OnProgress

if TYPE_CHECKING:
    from arviz_stats.utils import ELPDDataLOO

    from cotreat.inference.marginal_likelihood import Marginals

FEW_GOOD_K = 0.5
"""Largest Pareto k where units are few: below it weights have a finite variance, and few errors do not
average out. Beyond it, at 0.59, one of six densities was off by 0.5."""
MOST_ERROR = 0.03
"""Monte Carlo standard error above which few units are refitted: refits have a smaller one."""


def leave_one_out(
    evidence: Evidences, units: Folds, posterior: xr.Dataset, names: Iterable[str]
) -> LeftOut:
    """Leave out each unit by Pareto-smoothed importance sampling with ArviZ.

    Parameters
    ----------
    evidence
        What the study resolves to.
    units
        Folds of its last piece.
    posterior
        Draws of a fit, with its deterministics.
    names
        Free variables, whose effective sample size sets the length of the weights' tails.

    Returns
    -------
    LeftOut
        With densities also where Pareto k is too large; `good_only` removes them.

    Notes
    -----
    Vehtari, Gelman & Gabry, Stat Comput 2017;27:1413; Vehtari et al., J Mach Learn Res 2024;25:72.
    """
    import arviz as az

    at = sampling.thinned(posterior.sizes["chain"], posterior.sizes["draw"], len(units.parts))
    thinned = posterior.assign_coords(draw=posterior.get_index("draw")).isel(draw=at)
    logs = leave_out.log_densities(evidence, thinned, units)
    none = np.full(len(units.parts), NAN)
    if logs is None:
        how = (NOT_REFITTED,) * len(none)
        return LeftOut(units, none, none, none, how, FEW_GOOD_K, none, none, none)
    groups = {"posterior": thinned[list(names)], "log_likelihood": logs.to_dataset()}
    with warnings.catch_warnings():
        # Its warnings are in the tables.
        warnings.filterwarnings("ignore", category=UserWarning, module="arviz_stats")
        found = az.loo(xr.DataTree.from_dict(groups), var_name=logs.name, pointwise=True)
    elpd, k = found.elpd_i.values, found.pareto_k.values
    good = float(found.good_k) if units.count >= FEWEST else min(found.good_k, FEW_GOOD_K)
    # The log density is minus the log of the mean of 1/density.
    error = leave_out.log_mean_errors(-logs)
    how = (BY_WEIGHTS,) * len(elpd)
    return LeftOut(units, elpd, k, elpd, how, good, error, none, none, densities=logs)


def good_only(one: LeftOut) -> LeftOut:
    """Remove the densities whose Pareto k is too large."""
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
    """Replace densities by those of refits, the units with the largest Pareto k first.

    Refitted are units whose k is too large and, where units are few, those with a large Monte Carlo error.

    Parameters
    ----------
    evidence
        What the study resolves to.
    marginals
        Marginal likelihoods of the model.
    one
        What `leave_one_out` returned.
    every
        Whether every unit is refitted and predicted.
    most
        Most refits.
    may_sample
        Whether NUTS replaces an unreliable Laplace approximation.
    seed
        Of the predictions.
    on_progress
        Called with a line per refit.

    Notes
    -----
    Moment matching (`arviz.loo_moment_match`; Paananen et al., Stat Comput 2021;31:16) does not replace a refit:
    for the counts of ISIS-2 it takes five times as long, leaves two of four k above 0.8, and one log density
    is off by 0.6 with a k of 0.48.
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
        got = leave_out.refit(evidence, marginals, one.units, unit, one.densities, **settings)
        refit_k[at], effective[at] = got.pareto_k, got.effective
        if np.isfinite(got.elpd) or np.isnan(elpd[at]):
            elpd[at], error[at], how[at] = got.elpd, got.error, got.how
        if every and got.posterior is not None:
            predicted[at] = evidence[-1].predict_fold(unit, got.posterior, rng)
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


def table_of_models(left_out: Mapping[str, LeftOut]) -> pd.DataFrame:
    """Compare models by their log predictive density, with ArviZ's `compare`.

    Parameters
    ----------
    left_out
        Leave-one-out by model.

    Returns
    -------
    pandas.DataFrame
        A row per model, the best first; stacking weights only with ten units or more.
    """
    import arviz as az

    data = {name: _as_arviz(one) for name, one in left_out.items() if not one.unanswered}
    ranked = pd.DataFrame()
    if len(data) > 1:
        ranked = az.compare(data, method="stacking", round_to="none")
    names = [*ranked.index, *(name for name in left_out if name not in ranked.index)]
    best = left_out[names[0]].mc_error if names else NAN
    rows = []
    for name in names:
        row = _row(name, left_out[name], data.get(name))
        if name in ranked.index:
            row |= _differences(left_out[name], ranked.loc[name], best, is_best=name == names[0])
        rows.append(row)
    return pd.DataFrame(rows)


def _as_arviz(one: LeftOut) -> ELPDDataLOO:
    """Return leave-one-out as a record of ArviZ, an entry per unit."""
    from arviz_stats.utils import ELPDDataLOO

    each = np.repeat(one.elpd, one.times)
    return ELPDDataLOO(
        elpd=float(each.sum()),
        se=float(np.sqrt(len(each) * np.var(each))),
        p=NAN,
        n_samples=0,
        n_data_points=len(each),
        scale="log",
        warning=False,
        good_k=one.good_k,
        elpd_i=xr.DataArray(each, dims="unit"),
    )


def _row(name: str, one: LeftOut, answered: ELPDDataLOO | None) -> dict[str, Any]:
    """Return the row of a model without its differences."""
    elpd, se, error = (answered.elpd, answered.se, one.mc_error) if answered else (NAN,) * 3
    return {
        "model": name,
        "unit": one.units.kind,
        "units": one.units.count,
        "elpd": elpd,
        "elpd_se": se,
        "elpd_mc_error": error,
        "difference": NAN,
        "difference_se": NAN,
        "difference_mc_error": NAN,
        "stacking_weight": NAN,
        "worst_k": np.fmax.reduce(one.pareto_k),
        "refitted": one.refitted,
        "worst_refit_k": np.fmax.reduce(one.refit_k),
        "fewest_effective": np.fmin.reduce(one.refit_effective),
        "not_answered": one.unanswered,
    }


def _differences(one: LeftOut, row: pd.Series, best: float, *, is_best: bool) -> dict[str, float]:
    """Return differences from the best model, whose draws are independent of the others'."""
    return {
        "difference": float(row.elpd_diff),
        "difference_se": float(row.dse),
        "difference_mc_error": 0.0 if is_best else float(np.hypot(one.mc_error, best)),
        "stacking_weight": float(row.weight) if one.units.count >= FEWEST else NAN,
    }
