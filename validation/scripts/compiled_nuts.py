"""Compile NUTS once for any data; used by the recovery studies.

`cotreat.inference.sampling.fit_model` compiles for every study, because the data are constants of the density. Here the
data are arguments, so that one compilation serves hundreds of simulated cohorts.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def split(x: Any, shapes: Sequence[tuple[int, ...]]) -> list[Any]:
    """Split a vector into consecutive arrays of the given shapes.

    Parameters
    ----------
    x
        Vector, shape (coordinate,).
    shapes
        Shapes of the arrays.
    """
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    parts = jnp.split(x, ends[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def compiled_chains(
    log_density: Callable[[Any, Any], Any], *, tune: int, draws: int, target_accept: float
) -> Callable[[Any, Any, Any], tuple[Any, Any]]:
    """Return NUTS as one compiled function of random keys, starting points and data.

    Chains are vectorised. NUTS is that of NumPyro (Hoffman & Gelman 2014), with a dense mass matrix.

    Parameters
    ----------
    log_density
        Log density of an unconstrained vector, given data.
    tune, draws
        Warm-up draws and kept draws per chain.
    target_accept
        Target acceptance probability.

    Returns
    -------
    callable
        Function of keys by chain, starting points of shape (chain, coordinate), and data. It returns the kept
        draws, shape (chain, draw, coordinate), and divergence indicators, shape (chain, draw).
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

    # MCMC of NumPyro compiles its initialisation in every run, until memory maps run out.
    return jax.jit(jax.vmap(chain, in_axes=(0, 0, None)))
