"""Unmeasured confounding: the log-odds that the evidence is about, beside those that treatments make."""

import pymc as pm
import pytensor.tensor as pt

from cotreat.priors.declare import numbers_of
from cotreat.priors.prior import PriorSet
from cotreat.study.study import Study


def confounded(
    study: Study, arms: tuple[str, ...], log_odds: pt.TensorVariable, priors: PriorSet
) -> pt.TensorVariable:
    """State the log-odds by arm that the evidence sees, shape (arm,).

    Parameters
    ----------
    log_odds
        η by arm, without confounding.

    Returns
    -------
    TensorVariable
        η_a + Σ b_d x_ad + Σ c_de x_ad x_ae: each treatment, and each pair, has a bias of its own, alike
        at all its levels, in all subgroups and under every model, also one without structure. Patients
        on no treatment are the reference, which has none. `log_odds` itself where the prior set has
        no row of `cotreat.priors.sets.BIAS`.

    Notes
    -----
    Each bias is mean + SD · z with z ~ Normal(0, 1), so that an SD may be 0, and a grid of means and SDs is one
    model with other numbers; a row without SD states a bias that is known, without z. After Greenland, J R Stat Soc A
    2005;168:267, and McCandless, Gustafson & Levy, Stat Med 2007;26:2331, with the bias itself, not the
    confounder's prevalences and effects, as parameter: data tell of neither.
    """
    seen = log_odds
    if "bias_beta" in priors:
        seen = seen + study.content(arms) @ _bias(priors, "bias_beta", "treatment")
    if "bias_gamma" in priors:
        seen = seen + study.products(arms) @ _bias(priors, "bias_gamma", "pair")
    return seen


def _bias(priors: PriorSet, variable: str, dims: str) -> pt.TensorVariable:
    numbers = numbers_of(priors, variable)
    count = len(pm.modelcontext(None).coords[dims])
    bias = numbers["mu"] * pt.ones(count)
    if "sigma" in numbers:
        bias = bias + numbers["sigma"] * pm.Normal(f"{variable}_z", 0.0, 1.0, dims=dims)
    return pm.Deterministic(variable, bias, dims=dims)
