"""Declare the log-odds under unmeasured confounding, to which the likelihood refers."""

import pymc as pm
import pytensor.tensor as pt

from cotreat.priors.declare import numbers_of
from cotreat.priors.prior import PriorSet
from cotreat.study.study import Study


def confounded(
    study: Study, arms: tuple[str, ...], log_odds: pt.TensorVariable, priors: PriorSet
) -> pt.TensorVariable:
    """Declare the log-odds by arm with unmeasured confounding in the PyMC model in context.

    Parameters
    ----------
    study
        The study, under an interpretation and a stratification.
    arms
        Regimens whose risk the model estimates.
    log_odds
        η by arm, without confounding, shape (arm,).
    priors
        Prior set; its rows of `cotreat.priors.defaults.BIAS` are the priors of the biases.

    Returns
    -------
    TensorVariable
        η_a + Σ b_d x_ad + Σ c_de x_ad x_ae, shape (arm,); `log_odds` itself if the prior set has no prior of a
        bias. Each treatment and each pair has one bias, which is the same at all levels, in all subgroups and
        under every model, including the saturated one. Patients without study drug are the reference, without
        bias.

    Notes
    -----
    Each bias is mean + SD · z with z ~ Normal(0, 1). The SD may therefore be 0, and all means and SDs of a grid share
    one model with different data. A prior without SD is a fixed bias, without z. After Greenland, J R Stat Soc A
    2005;168:267, and McCandless, Gustafson & Levy, Stat Med 2007;26:2331; the parameter is the bias instead of
    the prevalences and effects of the confounder, because the data identify neither.
    """
    if "bias_beta" in priors:
        log_odds = log_odds + study.content(arms) @ _bias(priors, "bias_beta", "treatment")
    if "bias_gamma" in priors:
        log_odds = log_odds + study.products(arms) @ _bias(priors, "bias_gamma", "pair")
    return log_odds


def _bias(priors: PriorSet, variable: str, dims: str) -> pt.TensorVariable:
    """Declare the biases of all treatments or pairs, with the dimension `dims`."""
    numbers = numbers_of(priors, variable)
    count = len(pm.modelcontext(None).coords[dims])
    bias = numbers["mu"] * pt.ones(count)
    if "sigma" in numbers:
        bias = bias + numbers["sigma"] * pm.Normal(f"{variable}_z", 0.0, 1.0, dims=dims)
    return pm.Deterministic(variable, bias, dims=dims)
