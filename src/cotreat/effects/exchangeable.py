"""Product terms drawn from one distribution, so that the pairs inform each other."""

import pymc as pm
import pytensor.tensor as pt

from cotreat.effects import additive, state
from cotreat.priors import PriorSet
from cotreat.study import Study


def log_odds(study: Study, arms: tuple[str, ...], priors: PriorSet) -> pt.TensorVariable:
    """State the log-odds by arm, shape (arm,)."""
    mu = state(priors, "mu")
    tau = state(priors, "tau")
    # Non-centred: few pairs say little about tau, and the centred form would be a funnel.
    z = state(priors, "z", dims="pair")
    gamma = pm.Deterministic("gamma", mu + tau * z, dims="pair")
    return additive.log_odds(study, arms, priors) + study.products(arms) @ gamma
