"""Refits of a model without one unit of the evidence.

A unit is a patient, the count of a regimen, or a reported estimate with the width of its interval. Where
estimates are linearly dependent, another of them is dropped too, because the others would determine the one
left out. Leaving a unit out changes only data of the model, so that one compiled density serves all refits:
a covariate pattern with one patient less; a count of 0 of 0, whose likelihood is 1 at any risk; an estimate
with so large a rounding error that it could have any value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import logsumexp

from cotreat.comparison.records import BY_LAPLACE, BY_NUTS, NAN, NOT_TRUSTED
from cotreat.core.constants import CONDITIONAL, CONFOUNDED
from cotreat.evidence.folds import Fold, Folds
from cotreat.evidence.protocol import Evidences
from cotreat.inference import laplace

if TYPE_CHECKING:
    from cotreat.inference.marginal_likelihood import Marginals

NUTS_DRAWS, NUTS_TUNE, NUTS_CHAINS = 1000, 1000, 4

PREDICTIVE = (
    *("reported_mean", "reported_covariance", "size", "shift_sd"),
    *("sigma", "loss", CONDITIONAL, CONFOUNDED + "risk", CONFOUNDED + CONDITIONAL),
)
"""Variables on which the sampling distribution of the reported estimates depends."""


def log_densities(evidence: Evidences, posterior: xr.Dataset, folds: Folds) -> xr.DataArray | None:
    """Return the log density of each fold given the parameters and all other folds.

    Parameters
    ----------
    evidence
        What the study resolves to; the last piece is cut into folds, conditional on those before it.
    posterior
        Draws of a fit, with its deterministics.
    folds
        Of the last piece.

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


@dataclass(frozen=True)
class Refit:
    """A refit without one unit.

    Attributes
    ----------
    elpd : float
        Log predictive density of the unit given the rest; NaN where it is unreliable.
    pareto_k, effective : float
        Pareto k and effective draws of the refit's weights; NaN for NUTS.
    error : float
        Monte Carlo standard error of the refit, without that of the whole model's log evidence, which all
        refits share.
    how : str
    posterior : xarray.Dataset or None
        Draws of the refit: risks and the sampling distribution of the reported estimates.
    """

    elpd: float
    pareto_k: float
    effective: float
    error: float
    how: str
    posterior: xr.Dataset | None = None


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
    """Fit the model without one unit, and return the log predictive density of the unit.

    The density is the difference of the log evidences with and without the unit.

    Parameters
    ----------
    evidence
        What the study resolves to.
    marginals
        Marginal likelihoods of the model.
    units, unit
        All units, and the one to leave out.
    densities
        What `log_densities` returned for draws of the fit.
    is_predicted
        Whether draws for the prediction of the unit are wanted.
    may_sample
        Whether NUTS replaces a log evidence that is unreliable by Pareto k.

    Returns
    -------
    Refit
    """
    given = unit.left_out(marginals.given)
    weights = None if densities is None else -densities.sel(unit=unit.name, drop=True)
    found = marginals.approximation(given, weights=weights)
    if laplace.UNRELIABLE not in (found.verdict, marginals.whole.verdict):
        elpd = marginals.whole.log_evidence - found.log_evidence + unit.constant
        draws = marginals.draws(found, ("risk", *PREDICTIVE)) if is_predicted else None
        return Refit(elpd, found.pareto_k, found.effective, found.log_error, BY_LAPLACE, draws)
    if may_sample:
        import arviz as az

        posterior = marginals.sampled(given, draws=NUTS_DRAWS, tune=NUTS_TUNE, chains=NUTS_CHAINS)
        logs = log_densities(evidence, posterior, units)
        if logs is not None and float(az.rhat(posterior[["risk"]])["risk"].max()) < 1.01:
            density = logs.sel(unit=unit.name)
            elpd = float(logsumexp(density) - np.log(density.size))
            return Refit(elpd, NAN, NAN, float(log_mean_errors(density)), BY_NUTS, posterior)
    return Refit(NAN, found.pareto_k, found.effective, NAN, NOT_TRUSTED)


def log_mean_errors(logs: xr.DataArray) -> NDArray[np.float64]:
    """Return the Monte Carlo standard error of the log of a mean over draws.

    Parameters
    ----------
    logs
        Logarithms of the values, dims (chain, draw, …).

    Returns
    -------
    ndarray
        By the remaining dimensions.
    """
    import arviz as az

    means: xr.DataArray = xr.ufuncs.exp(logs - logs.max(("chain", "draw")))
    error = az.mcse(means.to_dataset(name="mean"), method="mean")["mean"]
    return np.asarray(error / means.mean(("chain", "draw")), dtype=float)
