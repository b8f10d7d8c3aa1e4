"""Declare the log-odds under unmeasured confounding, to which the likelihood refers."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from numpy.typing import NDArray

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
        bias. Each treatment that was not randomised, and each pair with such a treatment, has one bias, which
        is the same at all levels, in all subgroups and under every model, including the saturated one. Patients
        without study drug are the reference, without bias.

    Notes
    -----
    Each bias is mean + SD · z with z ~ Normal(0, 1). The SD may therefore be 0, and all means and SDs of a grid share
    one model with different data. A prior without SD is a fixed bias, without z. After Greenland, J R Stat Soc A
    2005;168:267, and McCandless, Gustafson & Levy, Stat Med 2007;26:2331; the parameter is the bias instead of
    the prevalences and effects of the confounder, because the data identify neither.

    Of a pair A, B where A alone was randomised, the ratio of odds ratios is unconfounded as effect modification:
    the effect of A in patients who received B against that in patients who did not. c_AB is the bias of the same
    number as causal interaction, the effect of both if both were assigned (VanderWeele & Knol, Epidemiol Methods
    2014;3:33). Because A is independent of the confounder, that bias requires a confounder that itself modifies
    the effect of A (VanderWeele, Mukherjee & Chen, Stat Med 2012;31:2552).
    """
    content, products = exposures(study, arms)
    if "bias_beta" in priors:
        log_odds = log_odds + content @ _bias(priors, "bias_beta", "not_randomised")
    if "bias_gamma" in priors:
        log_odds = log_odds + products @ _bias(priors, "bias_gamma", "confounded_pair")
    return log_odds


def exposures(
    study: Study, arms: tuple[str, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return which treatments and pairs with a bias each regimen contains.

    Parameters
    ----------
    study
        The study.
    arms
        Labels of regimens.

    Returns
    -------
    content : ndarray, shape (arm, treatment)
        Indicators of the treatments that were not randomised.
    products : ndarray, shape (arm, pair)
        Indicators of the pairs of which not both treatments were.
    """
    single = [t in study.not_randomised for t in study.treatment_ids]
    pairs = [pair in study.confounded_pairs for pair in study.pairs]
    return study.content(arms)[:, single], study.products(arms)[:, pairs]


def _bias(priors: PriorSet, variable: str, dims: str) -> pt.TensorVariable:
    """Declare the biases of all treatments or pairs, with the dimension `dims`."""
    numbers = numbers_of(priors, variable)
    count = len(pm.modelcontext(None).coords[dims])
    bias = numbers["mu"] * pt.ones(count)
    if "sigma" in numbers:
        bias = bias + numbers["sigma"] * pm.Normal(f"{variable}_z", 0.0, 1.0, dims=dims)
    return pm.Deterministic(variable, bias, dims=dims)
