"""No structure between arms but a common distribution of their log-odds."""

import pytensor.tensor as pt

from cotreat.priors.declare import relatives
from cotreat.priors.prior import PriorSet
from cotreat.study.study import Study


def log_odds(study: Study, arms: tuple[str, ...], priors: PriorSet) -> pt.TensorVariable:  # noqa: ARG001
    """State the log-odds by arm, shape (arm,): η_a ~ Normal(m, τ_arm)."""
    return relatives(priors, "eta", mean="m", spread="tau_arm", dims="arm", count=len(arms))
