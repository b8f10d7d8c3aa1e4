"""Independence on the log-odds scale: no product terms."""

import pytensor.tensor as pt

from cotreat.priors.declare import state
from cotreat.priors.prior import PriorSet
from cotreat.study.study import Study


def log_odds(study: Study, arms: tuple[str, ...], priors: PriorSet) -> pt.TensorVariable:
    """State the log-odds by arm, shape (arm,)."""
    alpha = state(priors, "alpha")
    beta = state(priors, "beta", dims="treatment")
    return alpha + study.content(arms) @ beta
