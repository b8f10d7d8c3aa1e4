"""Declare the model whose log-odds are exchangeable across regimens, without a structure by treatment."""

import pytensor.tensor as pt

from cotreat.priors.declare import exchangeable
from cotreat.priors.prior import PriorSet
from cotreat.study.study import Study


def log_odds(study: Study, arms: tuple[str, ...], priors: PriorSet) -> pt.TensorVariable:  # noqa: ARG001
    """Declare the log-odds by arm, η_a ~ Normal(m, τ_arm), in the PyMC model in context.

    Parameters
    ----------
    study
        Not used; every model has this signature.
    arms
        Regimens whose risk the model estimates.
    priors
        Priors of the parameters of the model.

    Returns
    -------
    TensorVariable
        η by arm, shape (arm,).
    """
    return exchangeable(priors, "eta", mean="m", spread="tau_arm", dims="arm", count=len(arms))
