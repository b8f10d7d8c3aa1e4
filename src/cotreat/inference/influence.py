"""Compute the influence of each covariate pattern on the posterior by leave-one-out cross-validation."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from cotreat.study.covariate_patterns import CovariatePatterns

GROUP = "influence"
MOST = 20_000
"""Largest number of covariate patterns for which influence is computed; each takes 1 ms at 1,000 draws."""


def add_influence(tree: xr.DataTree, names: Sequence[str]) -> None:
    """Add the group ``influence``: PSIS-LOO of the events, leaving out one covariate pattern, cluster or set at a time.

    The variables ``pareto_k`` and ``elpd`` (log predictive density given the others) have the dimension ``cell``,
    ``cluster`` or ``set``; the attribute ``good_k`` is the largest acceptable k. Above `MOST` of them, or with none,
    nothing is added.

    Parameters
    ----------
    tree
        Draws of a fit to individual patient data; the group is added in place.
    names
        Parameters of the posterior, whose effective sample sizes determine the tail length of the weights.

    Notes
    -----
    Vehtari, Gelman & Gabry, Stat Comput 2017;27:1413; Vehtari et al., J Mach Learn Res 2024;25:72.
    """
    logs = tree["log_likelihood"].to_dataset()[["events"]]
    (dim,) = set(logs["events"].dims) - {"chain", "draw"}
    if not 0 < logs.sizes[dim] <= MOST:
        return
    posterior = tree["posterior"].to_dataset()[list(names)]
    result = pointwise_loo(posterior.sel(draw=logs["draw"]), logs)
    values = {"pareto_k": result.pareto_k, "elpd": result.elpd_i}
    tree[GROUP] = xr.DataTree(xr.Dataset(values, attrs={"good_k": float(result.good_k)}))


def pointwise_loo(posterior: xr.Dataset, log_likelihood: xr.Dataset) -> Any:
    """Return PSIS-LOO by ArviZ, without its warnings of high k, which are reported as checks.

    Parameters
    ----------
    posterior
        Draws of the parameters.
    log_likelihood
        One variable: the log density of what is left out, at the same draws.

    Returns
    -------
    ELPDDataLOO
        With the pointwise values.
    """
    import arviz as az

    (name,) = log_likelihood
    parts = xr.DataTree.from_dict({"posterior": posterior, "log_likelihood": log_likelihood})
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="arviz_stats")
        return az.loo(parts, var_name=name, pointwise=True)


def unit(patterns: CovariatePatterns) -> str:
    """Return the unit that is left out: ``patient`` or ``cell`` (a covariate pattern).

    Parameters
    ----------
    patterns
        Covariate patterns of the study.

    Returns
    -------
    str
        ``patient`` if every pattern has one patient, otherwise ``cell``.
    """
    return "patient" if (patterns.n == 1).all() else "cell"


def described(patterns: CovariatePatterns, at: int) -> str:
    """Return a text that describes a covariate pattern by its number of patients and regimen.

    Parameters
    ----------
    patterns
        Covariate patterns of the study.
    at
        Index of the pattern.

    Returns
    -------
    str
        For example ``12 patients on A+B``.
    """
    n = int(np.asarray(patterns.n)[at])
    return f"{'a patient' if n == 1 else f'{n:,} patients'} on {patterns.regimens[at]}"
