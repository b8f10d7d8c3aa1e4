"""A product term of its own for every pair of treatments."""

import pytensor.tensor as pt

from cotreat.models import additive
from cotreat.priors.declare import state
from cotreat.priors.prior import PriorSet
from cotreat.study.study import Study


def log_odds(study: Study, arms: tuple[str, ...], priors: PriorSet) -> pt.TensorVariable:
    """State the log-odds by arm, shape (arm,)."""
    gamma = state(priors, "gamma", dims="pair")
    return additive.log_odds(study, arms, priors) + study.products(arms) @ gamma
