"""No structure between arms but a common distribution of their log-odds."""

import pymc as pm
import pytensor.tensor as pt

from cotreat.effects import state
from cotreat.priors import PriorSet
from cotreat.study import Study


def log_odds(study: Study, arms: tuple[str, ...], priors: PriorSet) -> pt.TensorVariable:  # noqa: ARG001
    """State the log-odds by arm, shape (arm,): η_a ~ Normal(μ, τ_arm), μ ~ the prior of m.

    It is stated by the arms' own mean m and their deviations z, which sum to 0, with μ integrated
    out: the same law exactly, but counts of any size pin m down and leave the rest without a funnel.
    """
    mu = priors["m"].numbers()
    tau_arm = state(priors, "tau_arm")
    m = state(priors, "m", sigma=pm.math.sqrt(mu["sigma"] ** 2 + tau_arm**2 / len(arms)))
    z = pm.ZeroSumNormal("z", 1.0, dims="arm")
    return pm.Deterministic("eta", m + tau_arm * z, dims="arm")
