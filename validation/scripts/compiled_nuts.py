"""NUTS compiled once for any data: what the recovery studies share.

`cotreat.inference.sampling.fit` compiles anew for every study, because its data are constants of the density.
Here they are arguments, so that one compilation serves for hundreds of simulated cohorts.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def split(x: Any, shapes: Sequence[tuple[int, ...]]) -> list[Any]:
    """Cut a vector into arrays of given shapes, one after the other."""
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    parts = jnp.split(x, ends[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def compiled_chains(
    log_density: Callable[[Any, Any], Any], *, tune: int, draws: int, target_accept: float
) -> Callable[[Any, Any, Any], tuple[Any, Any]]:
    """Return sampling as one compiled function of keys, starts and data, the chains in step.

    Parameters
    ----------
    log_density
        Of an unconstrained vector, given data.
    tune, draws
        Warm-up and kept draws of each chain.

    Returns
    -------
    callable
        Takes keys and starts by chain and the data, and returns the kept vectors, shape
        (chain, draw, coordinate), and whether the trajectory of each diverged, shape (chain, draw).
    """
    from numpyro.infer import NUTS

    def chain(key: Any, start: Any, data: Any) -> tuple[Any, Any]:
        nuts = NUTS(
            potential_fn=lambda x: -log_density(x, data),
            target_accept_prob=target_accept,
            dense_mass=True,
        )
        state = nuts.init(key, tune, start, (), {})

        def step(state: Any, _: None) -> tuple[Any, tuple[Any, Any]]:
            state = nuts.sample(state, (), {})
            return state, (state.z, state.diverging)

        state, _ = jax.lax.scan(lambda s, _: (step(s, None)[0], None), state, length=tune)
        return jax.lax.scan(step, state, length=draws)[1]

    # numpyro's own MCMC compiles its beginning anew in every run, until memory maps run out.
    return jax.jit(jax.vmap(chain, in_axes=(0, 0, None)))
