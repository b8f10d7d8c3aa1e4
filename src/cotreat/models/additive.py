"""Declare the model without interaction on the log-odds scale: no product terms."""

import pytensor.tensor as pt

from cotreat.models.design import centred
from cotreat.priors.declare import state
from cotreat.priors.prior import PriorSet
from cotreat.study.study import Study


def log_odds(study: Study, arms: tuple[str, ...], priors: PriorSet) -> pt.TensorVariable:
    """Declare the log-odds by arm, η = α + Σ β_d (x_d − x̄_d), in the PyMC model in context.

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
    Logistic regression without product terms (VanderWeele & Knol, Epidemiol Methods 2014;3:33). The intercept α is
    the mean log-odds of the regimens of `cotreat.study.study.Study.reference`.
    """
    alpha = state(priors, "alpha")
    beta = state(priors, "beta", dims="treatment")
    return alpha + centred(study.content, study, arms) @ beta
