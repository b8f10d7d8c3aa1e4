"""The No-U-Turn sampler of NumPyro on a PyMC model, with little around it.

``pm.sample(nuts_sampler="numpyro")`` gives the same draws for the same seed, but looks for a step method
of its own first, and evaluates the first points operation by operation: seconds of a cold start.
"""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pymc as pm
from numpy.typing import NDArray
from numpyro.infer import MCMC, NUTS
from pymc.sampling.jax import (
    _get_batched_jittered_initial_points,
    get_jaxified_graph,
    get_jaxified_logp,
)

from cotreat.inference.vectorise import Draws, untraced

FIELDS = {
    "num_steps": "n_steps",
    "potential_energy": "lp",
    "energy": "energy",
    "adapt_state.step_size": "step_size",
    "accept_prob": "acceptance_rate",
    "diverging": "diverging",
}
"""What NumPyro notes of a draw, and how PyMC calls it."""


@dataclass(frozen=True)
class Chains:
    """What a run gives.

    Attributes
    ----------
    draws : dict
        Free variables on their own scale, shape (chain, draw, …).
    stats : dict
        Statistics of the sampler, shape (chain, draw).
    """

    draws: Draws
    stats: dict[str, NDArray[Any]]


def run(
    built: pm.Model,
    *,
    draws: int,
    tune: int,
    chains: int,
    target_accept: float,
    seed: int,
    progress: bool = False,
) -> Chains:
    """Sample a model.

    Parameters
    ----------
    draws, tune
        Kept and warm-up draws for each chain.
    target_accept
        Acceptance rate that the step size is tuned to.
    """
    with untraced():
        potential = get_jaxified_logp(built, negative_logp=False)
        own = int(np.random.default_rng(seed).spawn(chains)[0].integers(2**30))
        start = _get_batched_jittered_initial_points(
            built, chains=chains, initvals=None, random_seed=own, logp_fn=jax.jit(potential)
        )
    # With fewer host devices than chains (JAX was started by somebody else) chains share one program.
    method = "parallel" if jax.local_device_count() >= chains else "vectorized"
    sampler = MCMC(
        NUTS(potential_fn=potential, target_accept_prob=target_accept, dense_mass=True),
        num_warmup=tune,
        num_samples=draws,
        num_chains=chains,
        chain_method=method,
        progress_bar=progress,
    )
    keys = jax.random.split(jax.random.PRNGKey(own), chains)
    sampler.run(keys, init_params=start, extra_fields=tuple(FIELDS))
    noted = sampler.get_extra_fields(group_by_chain=True)
    stats = {name: np.asarray(noted[field]) for field, name in FIELDS.items()}
    stats["tree_depth"] = np.log2(stats["n_steps"]).astype(int) + 1
    return Chains(_on_own_scale(built, sampler.get_samples(group_by_chain=True)), stats)


def _on_own_scale(built: pm.Model, walked: Any) -> Draws:
    """Take what was walked on, (chain, draw, …), back to the scale of the model's variables."""
    named = {variable.name: variable for variable in built.unobserved_value_vars}
    outputs = [named[rv.name] for rv in built.free_RVs]
    with untraced():
        function = get_jaxified_graph(inputs=list(built.value_vars), outputs=outputs)
    values = jax.jit(jax.vmap(jax.vmap(function)))(*walked)
    return {rv.name: np.asarray(v) for rv, v in zip(built.free_RVs, values, strict=True)}
