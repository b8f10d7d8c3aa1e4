"""Declare the model whose treatment effects differ between subgroups and shrink towards a common effect."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from cotreat.models.design import centred
from cotreat.priors.declare import numbers_of, state
from cotreat.priors.prior import PriorSet
from cotreat.study.regimens import group_of
from cotreat.study.study import Study


def log_odds(study: Study, arms: tuple[str, ...], priors: PriorSet) -> pt.TensorVariable:
    """Declare the log-odds by arm, with β_dg ~ Normal(β_d, τ_d) in subgroup g, in the PyMC model in context.

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

    Notes
    -----
    Dixon & Simon, Biometrics 1991;47:871. As in `cotreat.priors.declare.exchangeable`, the effects are their
    average plus deviations that sum to 0, and the common mean β_d is integrated out. Product terms are the same
    in all subgroups. α + α_g is the log-odds of subgroup g at the centre of the design.
    """
    at = np.array([study.groups.index(group_of(arm)) for arm in arms])
    sd = numbers_of(priors, "beta")["sigma"]
    tau = state(priors, "spread", dims="treatment")
    spread_of_mean = pm.math.sqrt(sd**2 + tau**2 / len(study.groups))
    beta = state(priors, "beta", dims="treatment", sigma=spread_of_mean)
    z = pm.ZeroSumNormal("effect_z", 1.0, dims=("treatment", "group"))
    effect = pm.Deterministic(
        "group_effect", beta[:, None] + tau[:, None] * z, dims=("treatment", "group")
    )
    level = state(priors, "alpha") + state(priors, "alpha_group", dims="group")
    gamma = state(priors, "gamma", dims="pair")
    singles = (centred(study.content, study, arms) * effect.T[at]).sum(axis=1)
    return level[at] + singles + centred(study.products, study, arms) @ gamma
