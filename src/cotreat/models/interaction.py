"""Declare the model with an independent product term for every pair of treatments."""

import pytensor.tensor as pt

from cotreat.models import additive
from cotreat.models.design import centred
from cotreat.priors.declare import state
from cotreat.priors.prior import PriorSet
from cotreat.study.study import Study


def log_odds(study: Study, arms: tuple[str, ...], priors: PriorSet) -> pt.TensorVariable:
    """Declare the log-odds by arm, η = α + Σ β_d x_d + Σ γ_de x_d x_e, centred, in the PyMC model in context.

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
    Logistic regression with product terms (VanderWeele & Knol, Epidemiol Methods 2014;3:33). The means of x_d and
    x_d x_e are subtracted, so that α is the mean log-odds of the regimens of `cotreat.study.study.Study.reference`.
    """
    gamma = state(priors, "gamma", dims="pair")
    return additive.log_odds(study, arms, priors) + centred(study.products, study, arms) @ gamma
