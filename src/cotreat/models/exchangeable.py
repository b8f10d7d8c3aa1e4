"""Product terms drawn from one distribution, so that the pairs inform each other."""

import pytensor.tensor as pt

from cotreat.models import additive
from cotreat.priors.declare import relatives
from cotreat.priors.prior import PriorSet
from cotreat.study.study import Study


def log_odds(study: Study, arms: tuple[str, ...], priors: PriorSet) -> pt.TensorVariable:
    """State the log-odds by arm, shape (arm,), with γ_de ~ Normal(μ, τ)."""
    pairs = len(study.pairs)
    gamma = relatives(priors, "gamma", mean="mu", spread="tau", dims="pair", count=pairs)
    return additive.log_odds(study, arms, priors) + study.products(arms) @ gamma
