"""Declare the model whose product terms are exchangeable across pairs (partial pooling)."""

import pytensor.tensor as pt

from cotreat.models import additive
from cotreat.models.design import centred
from cotreat.priors.declare import exchangeable
from cotreat.priors.prior import PriorSet
from cotreat.study.study import Study


def log_odds(study: Study, arms: tuple[str, ...], priors: PriorSet) -> pt.TensorVariable:
    """Declare the log-odds by arm, with γ_de ~ Normal(μ, τ), in the PyMC model in context.

    Parameters
    ----------
    study
        The study, under an interpretation and a stratification.
    arms
        Regimens whose risk the model estimates.
    priors
        Priors of the parameters of the model.

    Returns
    -------
    TensorVariable
        η by arm, shape (arm,).
    """
    pairs = len(study.pairs)
    gamma = exchangeable(priors, "gamma", mean="mu", spread="tau", dims="pair", count=pairs)
    return additive.log_odds(study, arms, priors) + centred(study.products, study, arms) @ gamma
