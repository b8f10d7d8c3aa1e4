"""No structure between arms but a common distribution of their log-odds."""

import pytensor.tensor as pt

from cotreat.effects import state
from cotreat.priors import PriorSet
from cotreat.study import Study


def log_odds(study: Study, arms: tuple[str, ...], priors: PriorSet) -> pt.TensorVariable:  # noqa: ARG001
    """State the log-odds by arm, shape (arm,)."""
    m = state(priors, "m")
    tau_arm = state(priors, "tau_arm")
    return state(priors, "eta", dims="arm", mu=m, sigma=tau_arm)
