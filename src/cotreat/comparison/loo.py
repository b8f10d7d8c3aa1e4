"""Leave-one-out cross-validation of models, with its unit declared, by importance weights and exact refits."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from cotreat.comparison import leave_out
from cotreat.evidence.folds import FoldPrediction, Folds
from cotreat.evidence.protocol import Evidences
from cotreat.inference import sampling
from cotreat.results.supplementary import OnProgress

if TYPE_CHECKING:
    from arviz_stats.utils import ELPDDataLOO

    from cotreat.inference.marginal_likelihood import Marginals

Array = NDArray[np.float64]

FEWEST = 10
"""With fewer units no weights are given: their error is larger than they are."""
FEW_GOOD_K = 0.5
"""What Pareto k may be where units are so few: weights have a finite variance, and no error averages out.
Beyond it, at 0.59, one of six was off by 0.5."""
MOST_ERROR = 0.03
"""Where units are so few, weights whose Monte Carlo error is larger are not enough either: refits have less."""
BY_WEIGHTS = "importance weights"
NAN = float("nan")


@dataclass(frozen=True)
class LeftOut:
    """What leaving out each unit gave under one model.

    Attributes
    ----------
    units : Folds
    elpd : ndarray, shape (part,)
        Log density that the rest predicts for a unit of each part; NaN where it was not answered.
    pareto_k : ndarray, shape (part,)
        Of the importance weights; NaN where none were made.
    by_weights : ndarray, shape (part,)
        What Pareto-smoothed importance sampling says, good or not.
    how : tuple of str
        By part: ``importance weights``, how it was refitted, or why there is no answer.
    good_k : float
        What k may be.
    error : ndarray, shape (part,)
        Monte Carlo error of each part's own, without what refits share.
    refit_k, refit_effective : ndarray, shape (part,)
        Pareto k and effective draws of refits; NaN where there was none by importance sampling.
    shared_error : float
        Monte Carlo error of the whole model's log evidence, from which every refit's is subtracted.
    densities : xarray.DataArray or None
        What `leave_out.log_densities` gave for the draws that were weighed.
    predicted : tuple of FoldPrediction
        What refits predict of what was left out.
    """

    units: Folds
    elpd: Array
    pareto_k: Array
    by_weights: Array
    how: tuple[str, ...]
    good_k: float
    error: Array
    refit_k: Array
    refit_effective: Array
    shared_error: float = 0.0
    densities: xr.DataArray | None = None
    predicted: tuple[FoldPrediction, ...] = ()

    @property
    def times(self) -> NDArray[np.int64]:
        """Units that are alike, by part."""
        return np.array([part.times for part in self.units.parts])

    @property
    def unanswered(self) -> int:
        """Units whose density could not be had."""
        return int(self.times[np.isnan(self.elpd)].sum())

    @property
    def refitted(self) -> int:
        """Parts that were left out by refitting."""
        return sum(how in (leave_out.BY_LAPLACE, leave_out.BY_NUTS) for how in self.how)

    @property
    def mc_error(self) -> float:
        """Monte Carlo error of the sum over all units: what is shared counts once for each refit."""
        by_laplace = np.array([how == leave_out.BY_LAPLACE for how in self.how])
        shared = self.shared_error * float(self.times[by_laplace].sum())
        return float(np.sqrt(shared**2 + np.sum((self.times * self.error) ** 2)))

    def unanswered_by(self, reason: str) -> int:
        """Count the units that have no density for a reason."""
        return int(self.times[[how == reason for how in self.how]].sum())

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
        )


def leave_one_out(
    evidence: Evidences, units: Folds, posterior: xr.Dataset, names: Iterable[str]
) -> LeftOut:
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
    some = posterior.assign_coords(draw=posterior.get_index("draw")).isel(draw=at)
    logs = leave_out.log_densities(evidence, some, units)
    if logs is None:
        none = np.full(len(units.parts), NAN)
        how = (leave_out.NOT_REFITTED,) * len(none)
        return LeftOut(units, none, none, none, how, FEW_GOOD_K, none, none, none)
    parts = {"posterior": some[list(names)], "log_likelihood": logs.to_dataset()}
    with warnings.catch_warnings():
        # What it warns of stands in the tables.
        warnings.filterwarnings("ignore", category=UserWarning, module="arviz_stats")
        found = az.loo(xr.DataTree.from_dict(parts), var_name=logs.name, pointwise=True)
    elpd, k = found.elpd_i.values, found.pareto_k.values
    how = (BY_WEIGHTS,) * len(elpd)
    good = float(found.good_k) if units.count >= FEWEST else min(found.good_k, FEW_GOOD_K)
    none = np.full(len(elpd), NAN)
    # Of the mean of 1/density: its log is minus this log density.
    error = leave_out.log_mean_errors(-logs)
    return LeftOut(units, elpd, k, elpd, how, good, error, none, none, densities=logs)


def good_only(one: LeftOut) -> LeftOut:
    """Take away the densities that Pareto k forbids to use."""
    is_unreliable = ~(one.pareto_k <= one.good_k)
    pairs = zip(is_unreliable, one.how, strict=True)
    how = tuple(leave_out.NOT_REFITTED if bad else how for bad, how in pairs)
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
    """Replace densities by those of refits: where k is bad, worst first, or of every unit.

    Where units are few, also of those whose weights are good and whose error is large all the same.

    Parameters
    ----------
    every
        Whether all units are left out, and what is left predicts each of them.
    most
        Refits at most.
    may_sample
        Whether NUTS may stand in where Laplace's approximation cannot be trusted.

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
        got = leave_out.refit(
            evidence,
            marginals,
            one.units,
            unit,
            one.densities,
            is_predicted=every,
            may_sample=may_sample,
        )
        refit_k[at], effective[at] = got.pareto_k, got.effective
        if np.isfinite(got.elpd) or np.isnan(elpd[at]):
            elpd[at], error[at], how[at] = got.elpd, got.error, got.how
        if every and got.posterior is not None:
            predicted[at] = leave_out.predictions(evidence, unit, got.posterior, rng)
    for at in wanted[most:]:
        how[at] = leave_out.TOO_MANY if np.isnan(elpd[at]) else how[at]
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
    best = found[names[0]].mc_error if len(ranked) else NAN
    return pd.DataFrame([_compared(name, found[name], ranked, best) for name in names])


def _compared(name: str, one: LeftOut, ranked: pd.DataFrame, best: float) -> dict[str, Any]:
    """Return the row of a model, given the Monte Carlo error of the best one's elpd."""
    row = ranked.loc[name] if name in ranked.index else None
    is_best = len(ranked) > 0 and name == ranked.index[0]
    own = one.as_arviz() if one.is_answered else None
    has_weights = row is not None and one.units.count >= FEWEST
    return {
        "model": name,
        "unit": one.units.kind,
        "units": one.units.count,
        "elpd": NAN if own is None else own.elpd,
        "elpd_se": NAN if own is None else own.se,
        "elpd_mc_error": NAN if own is None else one.mc_error,
        "difference": NAN if row is None else float(row.elpd_diff),
        "difference_se": NAN if row is None else float(row.dse),
        "difference_mc_error": _of_difference(one, best, is_best=is_best)
        if row is not None
        else NAN,
        "stacking_weight": float(row.weight) if has_weights and row is not None else NAN,
        "worst_k": _worst(np.max, one.pareto_k),
        "refitted": one.refitted,
        "worst_refit_k": _worst(np.max, one.refit_k),
        "fewest_effective": _worst(np.min, one.refit_effective),
        "not_answered": one.unanswered,
    }


def _of_difference(one: LeftOut, best: float, *, is_best: bool) -> float:
    """Return the Monte Carlo error of a difference of two models, whose draws are independent."""
    return 0.0 if is_best else float(np.hypot(one.mc_error, best))


def _worst(of: Callable[[Array], Any], values: Array) -> float:
    """Return the worst of those that there are; NaN of none."""
    known = values[~np.isnan(values)]
    return float(of(known)) if len(known) else NAN
