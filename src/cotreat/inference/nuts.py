"""Run the No-U-Turn sampler of NumPyro on a PyMC model.

``pm.sample(nuts_sampler="numpyro")`` yields the same draws for the same seed. It starts seconds later, because
it first selects a step method and evaluates the initial points operation by operation.
"""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import pymc as pm
from numpy.typing import NDArray
from numpyro.infer import MCMC, NUTS
from pymc.sampling.jax import _get_batched_jittered_initial_points, get_jaxified_logp

from cotreat.inference.vectorise import Draws, natural_scale, untraced

FIELDS = {
    "num_steps": "n_steps",
    "potential_energy": "lp",
    "energy": "energy",
    "adapt_state.step_size": "step_size",
    "accept_prob": "acceptance_rate",
    "diverging": "diverging",
}
"""Sampler statistics: NumPyro's fields and PyMC's names of them."""


@dataclass(frozen=True)
class Chains:
    """Record the draws and statistics of a run.

    Attributes
    ----------
    draws : dict
        Free variables on their natural scale by name, shape (chain, draw, …).
    stats : dict
        Sampler statistics by name, shape (chain, draw).
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
    """Sample the posterior of a model with a dense mass matrix.

    Parameters
    ----------
    built
        The PyMC model.
    draws, tune
        Kept draws and warm-up draws per chain.
    chains
        Number of chains.
    target_accept
        Target acceptance rate of the step size adaptation.
    seed
        Seed of the random numbers.
    progress
        Whether a progress bar is shown.

    Returns
    -------
    Chains
        Draws of the free variables and statistics of the sampler.

    Notes
    -----
    Hoffman & Gelman, J Mach Learn Res 2014;15:1593.
    """
    with untraced():
        potential = get_jaxified_logp(built, negative_logp=False)
        start_seed = int(np.random.default_rng(seed).spawn(chains)[0].integers(2**30))
        start = _get_batched_jittered_initial_points(
            built, chains=chains, initvals=None, random_seed=start_seed, logp_fn=jax.jit(potential)
        )
    # With fewer host devices than chains (JAX was initialised elsewhere), chains run vectorised in one program.
    method = "parallel" if jax.local_device_count() >= chains else "vectorized"
    sampler = MCMC(
        NUTS(potential_fn=potential, target_accept_prob=target_accept, dense_mass=True),
        num_warmup=tune,
        num_samples=draws,
        num_chains=chains,
        chain_method=method,
        progress_bar=progress,
    )
    keys = jax.random.split(jax.random.PRNGKey(start_seed), chains)
    sampler.run(keys, init_params=start, extra_fields=tuple(FIELDS))
    noted = sampler.get_extra_fields(group_by_chain=True)
    stats = {name: np.asarray(noted[field]) for field, name in FIELDS.items()}
    stats["tree_depth"] = np.log2(stats["n_steps"]).astype(int) + 1
    natural = jax.jit(jax.vmap(jax.vmap(natural_scale(built))))
    values = map(np.asarray, natural(*sampler.get_samples(group_by_chain=True)))
    names = [rv.name for rv in built.free_RVs]
    return Chains(dict(zip(names, values, strict=True)), stats)
