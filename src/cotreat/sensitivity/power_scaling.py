"""Power scaling of the estimands: sensitivity to the weight of the prior and of the evidence.

Prior and likelihood are raised to a power near 1 and the draws reweighted (Kallioinen et al., Stat Comput
2024;34:57, by ArviZ). An estimand that moves with the prior and hardly with the evidence is prior-dependent.
"""

import logging
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager

import arviz as az
import numpy as np
import pandas as pd
import xarray as xr

from cotreat.estimands.estimand import is_beyond_null, risk_draws_of
from cotreat.estimands.identification import asked
from cotreat.inference.laplace import UNRELIABLE_K, smoothed
from cotreat.models.registry import Model
from cotreat.sensitivity.prior_predictive import estimands_of
from cotreat.study.study import Study

THRESHOLD = 0.05
"""Smallest sensitivity that counts (Kallioinen et al. 2024)."""
POWERS = {"probability": 1.0, "at half the prior": 0.5, "at double the prior": 2.0}
"""Powers of the prior for which P(beyond null) is computed."""
FLAT = ("share", "tail_", "simplex", "variance_")
"""First letters of variables with a uniform prior: arm sizes, tail positions, shares of a dose response, variances of arms."""
BY_DEFINITION = ("z", "effect_z", "cluster_z", "eta")
"""Variables whose prior defines another parameter, and states no belief."""
VALUE = "value"


def beliefs(log_prior: Iterable[Hashable]) -> list[str]:
    """Return the variables whose prior states a belief: those at the top of the hierarchy.

    Parameters
    ----------
    log_prior
        Log prior densities by variable.

    Returns
    -------
    list of str
    """
    return [
        str(name)
        for name in log_prior
        if str(name) not in BY_DEFINITION and not str(name).startswith(FLAT)
    ]


def scaled(draws: xr.DataTree, study: Study, model: Model) -> pd.DataFrame:
    """Return the sensitivity of each estimand to prior and evidence, of measures with one sign once.

    Parameters
    ----------
    draws
        Of a fit, with log prior and log likelihood.
    study, model
        Of the fit.

    Returns
    -------
    pandas.DataFrame
        One row per estimand: the columns `cotreat.core.constants.ASKED`, sensitivity to all priors (``prior``) and to the evidence
        (``likelihood``), ArviZ's ``diagnosis``, a column ``prior of VARIABLE`` for each belief alone,
        and for measures P(beyond null), also ``at half the prior`` and ``at double the prior`` (missing
        where the weights are unreliable).

    Notes
    -----
    Sensitivity is the cumulative Jensen–Shannon distance between the distributions per doubling of the power,
    of the logarithm for estimands with a log scale.
    """
    log_likelihood = draws["log_likelihood"].to_dataset()
    # For many patients the likelihood of some draws is kept.
    posterior, log_prior = (
        draws[group].to_dataset().sel(draw=log_likelihood["draw"])
        for group in ("posterior", "log_prior")
    )
    risk_draws = risk_draws_of(posterior)
    wanted = [
        (one, status)
        for one, status in estimands_of(study, model, risk_draws)
        if status.is_open and one.is_judged and not one.is_repeated
        if one.synergy is None or not one.synergy.sign_of
    ]
    each = [one.values(risk_draws) for one, _ in wanted]
    each = [xr.ufuncs.log(v) if one.log else v for v, (one, _) in zip(each, wanted, strict=True)]
    values = xr.concat(each, dim="estimand", coords="minimal")
    data = values.assign_coords(estimand=[one.code for one, _ in wanted]).to_dataset(name=VALUE)
    groups = {"posterior": data, "log_prior": log_prior, "log_likelihood": log_likelihood}
    fit = xr.DataTree.from_dict(groups)
    names = beliefs(log_prior)
    with _quiet():
        table = az.psense_summary(fit, prior_var_names=names, threshold=THRESHOLD, round_to=6)
    found = pd.DataFrame(
        {
            **pd.DataFrame([asked(one, status) for one, status in wanted]),
            **{name: table[name].to_numpy() for name in ("prior", "likelihood", "diagnosis")},
        }
    )
    for name in names:
        alone = az.psense(fit, group="prior", group_var_names=[name])[VALUE]
        found[f"prior of {name}"] = alone.to_numpy()
    # P(beyond null) of measures at powers of the prior, by Pareto-smoothed weights.
    log_priors = log_prior[names].to_stacked_array("all", ("chain", "draw"))
    total = log_priors.sum("all").values.ravel()
    for name, power in POWERS.items():
        equal = np.full(total.size, 1 / total.size)
        weights, k = smoothed((power - 1) * total) if power != 1 else (equal, 0.0)
        found[name] = [
            float(is_beyond_null(one, risk_draws).values.ravel() @ weights)
            if one.synergy is not None and k < UNRELIABLE_K
            else np.nan
            for one, _ in wanted
        ]
    return found


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence ArviZ's log message about the diagnosis, which is in the table."""
    logger = logging.getLogger("arviz_stats.psense")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
