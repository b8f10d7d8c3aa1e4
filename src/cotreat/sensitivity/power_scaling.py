"""Power scaling of the estimands: what a little more or less weight of prior or evidence would change.

Prior and likelihood are raised to a power near 1 and the draws weighted anew (Kallioinen et al., Stat
Comput 2024;34:57, by ArviZ). What moves with the prior and hardly with the evidence is mostly prior.
"""

import logging
from collections.abc import Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import arviz as az
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from cotreat.estimands.enumerate import enumerate_estimands
from cotreat.estimands.estimand import Estimand, RiskDraws, is_beyond_null, risk_draws_of
from cotreat.estimands.identification import Identification, Status
from cotreat.estimands.identification import asked as columns_of
from cotreat.evidence.resolve import resolve
from cotreat.inference.laplace import UNRELIABLE_K, smoothed
from cotreat.models.registry import Model
from cotreat.study.study import Study

THRESHOLD = 0.05
"""Sensitivity from which on Kallioinen et al. call it one."""
POWERS = {"probability": 1.0, "at half the prior": 0.5, "at double the prior": 2.0}
"""Powers of the prior at which P(beyond null) is given too."""
FLAT = ("share", "tail_", "simplex")
"""Variables whose prior is uniform, and has no power: sizes of arms, places in a tail, shares of a rise."""
BY_DEFINITION = ("z", "effect_z", "cluster_z", "eta")
"""Variables whose prior says what another parameter is, not what anybody believes."""
ESTIMAND, VALUE = "estimand", "value"


def beliefs(log_prior: Iterable[Hashable]) -> list[str]:
    """Return the variables that hold a belief: those at the top, for others follow from them."""
    return [
        str(name)
        for name in log_prior
        if str(name) not in BY_DEFINITION and not str(name).startswith(FLAT)
    ]


def asked(study: Study, model: Model, risk_draws: RiskDraws) -> list[tuple[Estimand, Status]]:
    """List the estimands that have a posterior, a measure of each sign once, with their identification."""
    found = []
    identification = Identification(study, model, risk_draws, resolve(study))
    for one in enumerate_estimands(study, model, resolve(study)):
        if one.is_repeated or not one.is_judged or (one.synergy and one.synergy.sign_of):
            continue
        status = identification.of(one)
        if status.is_open:
            found.append((one, status))
    return found


def scaled(tree: xr.DataTree, study: Study, model: Model) -> pd.DataFrame:
    """Work out the sensitivity of each estimand to prior and evidence.

    Parameters
    ----------
    tree
        What `cotreat.inference.sampling.fit` returns.

    Returns
    -------
    pandas.DataFrame
        One row an estimand: the columns `cotreat.core.constants.ASKED`, sensitivity to all priors (``prior``) and to the evidence
        (``likelihood``), ArviZ's ``diagnosis``, a column ``prior of VARIABLE`` for each belief by itself,
        and of measures P(beyond null), ``at half the prior`` and ``at double the prior`` too (missing
        where the weights cannot be trusted).

    Notes
    -----
    Sensitivity is the distance between the distributions, the cumulative Jensen–Shannon distance, by
    doubling of the power. Of what is judged on the log scale the logarithm is taken first.
    """
    posterior, log_prior = _alike(tree)
    risk_draws = risk_draws_of(posterior)
    wanted = asked(study, model, risk_draws)
    values = xr.concat(
        [_drawn(one, risk_draws) for one, _ in wanted], dim=ESTIMAND, coords="minimal"
    )
    labels = [one.code for one, _ in wanted]
    data = xr.Dataset({VALUE: values.assign_coords({ESTIMAND: labels})})
    fit = xr.DataTree.from_dict(
        {
            "posterior": data,
            "log_prior": log_prior,
            "log_likelihood": tree["log_likelihood"].to_dataset(),
        }
    )
    names = beliefs(log_prior)
    with _quiet():
        table = az.psense_summary(fit, prior_var_names=names, threshold=THRESHOLD, round_to=6)
    found = pd.DataFrame(
        {
            **pd.DataFrame([columns_of(one, status) for one, status in wanted]),
            "prior": table["prior"].to_numpy(),
            "likelihood": table["likelihood"].to_numpy(),
            "diagnosis": table["diagnosis"].to_numpy(),
        }
    )
    for name in names:
        own = az.psense(fit, group="prior", group_var_names=[name])[VALUE]
        found[f"prior of {name}"] = own.to_numpy()
    return found.join(_probabilities([one for one, _ in wanted], risk_draws, log_prior[names]))


def _alike(tree: xr.DataTree) -> tuple[xr.Dataset, xr.Dataset]:
    """Return posterior and log prior of the draws whose likelihood is kept: of many patients some."""
    draws = tree["log_likelihood"].to_dataset()["draw"]
    posterior, log_prior = (tree[group].to_dataset() for group in ("posterior", "log_prior"))
    return posterior.sel(draw=draws), log_prior.sel(draw=draws)


def _drawn(one: Estimand, risk_draws: RiskDraws) -> xr.DataArray:
    values = one.values(risk_draws)
    return xr.ufuncs.log(values) if one.log else values


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep ArviZ from logging where to read about what the table says itself."""
    logger = logging.getLogger("arviz_stats.psense")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _probabilities(
    wanted: Sequence[Estimand], risk_draws: RiskDraws, log_prior: xr.Dataset
) -> pd.DataFrame:
    """Return P(beyond null) of measures at powers of the prior, by Pareto-smoothed weights."""
    total = log_prior.to_stacked_array("all", ("chain", "draw")).sum("all").values.ravel()
    found = {}
    for name, power in POWERS.items():
        weights, k = smoothed((power - 1) * total) if power != 1 else (_equal(total), 0.0)
        found[name] = [
            float(is_beyond_null(one, risk_draws).values.ravel() @ weights)
            if one.synergy is not None and k < UNRELIABLE_K
            else np.nan
            for one in wanted
        ]
    return pd.DataFrame(found)


def _equal(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.full(values.size, 1 / values.size)
