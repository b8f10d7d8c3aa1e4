"""Leaving evidence out: its units, what each adds to the rest, and what the rest predicts of it.

A unit is what is left out at a time: a patient, the count of a regimen, or a printed number with the width
of its interval. Where numbers follow from one another, another of them is not used either, for one that
the others tell would not be left out. Leaving it out changes numbers that a model is given and nothing else, so that one
compiled density serves for all: a patient fewer in a cell; a count of none among none, which is as likely
under any risk; a printed number with so wide a rounding that it could be any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import logsumexp

from cotreat.evidence.folds import Fold, FoldPrediction, Folds
from cotreat.evidence.protocol import Evidences
from cotreat.evidence.reported import Dependence, reported_in
from cotreat.inference import laplace

if TYPE_CHECKING:
    from cotreat.inference.marginal_likelihood import Marginals

NUTS_DRAWS, NUTS_TUNE, NUTS_CHAINS = 1000, 1000, 4

LAW = ("claim_mean", "claim_covariance", "width_mean", "width_sd")
"""Deterministics that say what is printed."""


def folds_of(evidence: Evidences) -> Folds:
    """Cut the evidence of a study into folds: of its last piece, conditional on those before it."""
    return evidence[-1].folds()


# --- Densities given the rest, draw by draw --------------------------------------------------------


def log_densities(evidence: Evidences, posterior: xr.Dataset, folds: Folds) -> xr.DataArray | None:
    """Return the log density of each fold given the parameters and all other folds.

    Returns
    -------
    xarray.DataArray or None
        Dims (chain, draw, unit). None where p-values are reported of which only a side or a bound is known:
        they are no part of a normal distribution.
    """
    values = evidence[-1].fold_densities(posterior, folds)
    if values is None:
        return None
    coords = {"chain": posterior["chain"], "draw": posterior["draw"], "unit": folds.names}
    return xr.DataArray(values, coords, ("chain", "draw", "unit"), name="unit_density")


# --- Exact refits ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Refit:
    """What leaving one unit out gave.

    Attributes
    ----------
    elpd : float
        Log density that the rest predicts for the unit; NaN where it could not be worked out.
    pareto_k, effective : float
        Of the refit's own weights, and their effective draws; NaN of NUTS.
    error : float
        Monte Carlo error of the refit's part of it; that of the whole model's log evidence, which all refits
        share, is not in it.
    how : str
    posterior : xarray.Dataset or None
        Draws of the refit, of ``risk`` and of what says what is printed, if they were asked for.
    """

    elpd: float
    pareto_k: float
    effective: float
    error: float
    how: str
    posterior: xr.Dataset | None = None


BY_LAPLACE, BY_NUTS = "refit", "refit by NUTS"
NOT_REFITTED, TOO_MANY, NOT_TRUSTED = (
    "weights not trusted, no refit",
    "weights not trusted, beyond the most refits",
    "neither weights nor refit trusted",
)
"""Why there is no answer."""


def refit(
    evidence: Evidences,
    marginals: Marginals,
    units: Folds,
    unit: Fold,
    densities: xr.DataArray | None,
    *,
    is_predicted: bool = False,
    may_sample: bool = False,
) -> Refit:
    """Fit the rest without one unit, and say how probable the rest makes it.

    The log density of the unit given the rest is the difference of two log evidences, with the unit and
    without. Where either cannot be trusted, by Pareto k, NUTS samples the rest if it may.

    Parameters
    ----------
    densities
        What `log_densities` gave for draws of the fit.
    is_predicted
        Whether draws of what says what is printed or counted are wanted.
    """
    numbers = unit.left_out(marginals.given)
    weights = None if densities is None else -densities.sel(unit=unit.name, drop=True)
    found = marginals.found(numbers, weights=weights)
    if laplace.UNRELIABLE not in (found.verdict, marginals.whole.verdict):
        elpd = marginals.whole.log_evidence - found.log_evidence + unit.constant
        names = ("risk", *LAW)
        draws = marginals.draws(found, names) if is_predicted else None
        return Refit(elpd, found.pareto_k, found.effective, found.log_error, BY_LAPLACE, draws)
    if may_sample:
        posterior = marginals.sampled(numbers, draws=NUTS_DRAWS, tune=NUTS_TUNE, chains=NUTS_CHAINS)
        logs = log_densities(evidence, posterior, units)
        if logs is not None and _has_settled(posterior):
            own = logs.sel(unit=unit.name)
            elpd = float(logsumexp(own) - np.log(own.size))
            error = float(log_mean_errors(own))
            return Refit(elpd, float("nan"), float("nan"), error, BY_NUTS, posterior)
    return Refit(float("nan"), found.pareto_k, found.effective, float("nan"), NOT_TRUSTED)


def log_mean_errors(logs: xr.DataArray) -> NDArray[np.float64]:
    """Return the Monte Carlo error of the log of a mean over draws, from logs, dims (chain, draw, …)."""
    import arviz as az

    means: xr.DataArray = xr.ufuncs.exp(logs - logs.max(("chain", "draw")))
    error = az.mcse(means.to_dataset(name="mean"), method="mean")["mean"]
    found: NDArray[np.float64] = np.asarray(error / means.mean(("chain", "draw")))
    return found


def _has_settled(posterior: xr.Dataset) -> bool:
    """Tell whether the chains of a sampled refit agree."""
    import arviz as az

    return bool(float(az.rhat(posterior[["risk"]])["risk"].max()) < 1.01)


# --- What the rest predicts ------------------------------------------------------------------------


def predictions(
    evidence: Evidences, fold: Fold, posterior: xr.Dataset, rng: np.random.Generator
) -> list[FoldPrediction]:
    """Predict what was left out from a refit without it; nothing for patients.

    Parameters
    ----------
    posterior
        What `refit` returned for the fold.
    """
    return evidence[-1].predict_fold(fold, posterior, rng)


def follows(evidence: Evidences) -> Sequence[Dependence]:
    """Return the reported estimates that follow from others."""
    reported = reported_in(evidence)
    return () if reported is None else reported.dependences
