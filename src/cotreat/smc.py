"""Tempered sequential Monte Carlo: for posteriors that NUTS cannot walk, and for log evidence."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pymc as pm
from blackjax.mcmc import random_walk
from blackjax.smc import adaptive_tempered, resampling
from numpy.typing import NDArray
from pymc.sampling.jax import get_jaxified_graph

from cotreat.vectorised import Draws, function_of_draws, unconstrained

TARGET_ESS = 0.5
"""The next temperature keeps this share of the particles effective."""
ACCEPTANCE = 0.22
"""Share of accepted moves that the step size is steered to."""
SHARES = jnp.array([0.2, 0.4, 1.0])
"""Shares of the coordinates that a proposal moves, one of them at random (Vrugt 2009)."""
JUMP = 0.1
"""Share of moves by a whole difference of two particles, which carries from mode to mode."""
JITTER = 0.1
"""Size of the noise that is added to a difference, in SDs."""
SNAPSHOTS = 3
"""Times that the particles are kept at the end, so many moves apart as each stage has."""
IMPOSSIBLE = -1e10


@dataclass(frozen=True)
class Particles:
    """What a run gives.

    Attributes
    ----------
    draws : dict
        Free variables on their own scale, shape (chain, particle, …).
    log_evidence : ndarray, shape (chain,)
        Log marginal likelihood, one estimate a chain.
    stages : ndarray of int, shape (chain,)
    acceptance : ndarray, shape (chain,)
        Of the last stage.
    steps : int
        Moves of each particle at each stage.
    """

    draws: Draws
    log_evidence: NDArray[np.float64]
    stages: NDArray[np.int64]
    acceptance: NDArray[np.float64]
    steps: int


class Sampler:
    """A model made ready once, to be run with any number of steps without compiling again.

    The moves are those of differential evolution (ter Braak 2006): along the difference of two
    particles of the stage before, so that proposals have the shape of the posterior, also where it
    has several modes. The tempering, resampling and Metropolis step are blackjax's.

    Parameters
    ----------
    prior
        Draws of the free variables from the prior, at least ``chains × particles``.
    """

    def __init__(self, built: pm.Model, prior: Draws, *, chains: int, particles: int) -> None:
        first = {name: values[: chains * particles] for name, values in prior.items()}
        parts = unconstrained(built, first)
        self._built = built
        self._shape = (chains, particles)
        self._shapes = [part.shape[1:] for part in parts]
        self._start = np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)
        self._run = jax.pmap(self._tempered(), in_axes=(0, 0, None))

    def run(self, steps: int, seed: int) -> Particles:
        """Temper from prior to posterior with `steps` moves at each stage."""
        chains, particles = self._shape
        keys = jax.random.split(jax.random.PRNGKey(seed), chains)
        start = self._start.reshape(chains, particles, -1)
        found = map(np.asarray, self._run(keys, start, steps))
        at, evidence, stages, acceptance = found
        return Particles(
            self._constrained(at),
            evidence,
            stages,
            acceptance,
            steps,
        )

    def _constrained(self, at: NDArray[np.float64]) -> Draws:
        """Take particles (chain, particle, …) back to the scale of the model's variables."""
        on_own_scale = self._built.unobserved_value_vars
        names = {variable.name: variable for variable in on_own_scale}
        outputs = [names[rv.name] for rv in self._built.free_RVs]
        function = get_jaxified_graph(inputs=list(self._built.value_vars), outputs=outputs)
        values = function_of_draws(lambda row: function(*self._apart(row)))(
            at.reshape(-1, at.shape[-1])
        )
        return {
            rv.name: np.asarray(value).reshape(*at.shape[:2], *value.shape[1:])
            for rv, value in zip(self._built.free_RVs, values, strict=True)
        }

    def _apart(self, row: Any) -> list[Any]:
        """Split a particle into the model's value variables."""
        cuts = np.cumsum([int(np.prod(shape)) for shape in self._shapes])[:-1]
        parts = jnp.split(row, cuts)
        return [part.reshape(shape) for part, shape in zip(parts, self._shapes, strict=True)]

    def _density(self, term: Any) -> Callable[[Any], Any]:
        function = get_jaxified_graph(inputs=list(self._built.value_vars), outputs=[term])

        def density(row: Any) -> Any:
            value = function(*self._apart(row))[0]
            return jnp.where(jnp.isnan(value), IMPOSSIBLE, jnp.maximum(value, IMPOSSIBLE))

        return density

    def _tempered(self) -> Callable[..., Any]:
        """Return one chain: particles from the prior, tempered until the likelihood counts in full."""
        particles = self._shape[1]
        kernel = adaptive_tempered.build_kernel(
            self._density(self._built.varlogp),
            self._density(self._built.datalogp),
            _step,
            random_walk.init,
            resampling.systematic,
            TARGET_ESS,
            update_strategy=_moves,
        )

        def chain(key: Any, start: Any, steps: Any) -> tuple[Any, ...]:
            def stage(carry: _Carry) -> _Carry:
                key, for_pool, for_kernel = jax.random.split(carry.key, 3)
                state = carry.state
                tuned = {
                    "pool": state.particles[
                        resampling.systematic(for_pool, state.weights, particles)
                    ],
                    "root": _root(state),
                    "scale": carry.scale,
                }
                shared = {name: value[None] for name, value in tuned.items()}
                after, info = kernel(for_kernel, state, steps, shared)
                acceptance = info.update_info.mean()
                return _Carry(
                    key,
                    after,
                    carry.evidence + info.log_likelihood_increment,
                    carry.scale * jnp.exp(acceptance - ACCEPTANCE),
                    carry.stages + 1,
                    acceptance,
                    # The kernel moves before it reweighs: the stage begun at 1 is the last.
                    state.tempering_param >= 1,
                )

            begun = adaptive_tempered.init(start)._replace(tempering_param=jnp.array(0.0))
            scale = jnp.array(1.0)
            first = _Carry(key, begun, jnp.array(0.0), scale, 0, jnp.array(0.0), jnp.array(False))
            last = jax.lax.while_loop(lambda carry: ~carry.is_done, stage, first)

            def again(carry: _Carry, _: Any) -> tuple[_Carry, Any]:
                return (after := stage(carry)), after.state.particles

            end, kept = jax.lax.scan(again, last, None, SNAPSHOTS)
            mixed = jax.random.permutation(end.key, kept.reshape(-1, kept.shape[-1]))
            return mixed, last.evidence, last.stages, end.acceptance

        return chain


class _Carry(NamedTuple):
    """What one stage hands to the next."""

    key: Any
    state: Any
    evidence: Any
    scale: Any
    stages: Any
    acceptance: Any
    is_done: Any


def _root(state: Any) -> Any:
    """Return the Cholesky factor of the particles' covariance."""
    centred = state.particles - state.weights @ state.particles
    covariance = (centred.T * state.weights) @ centred
    return jnp.linalg.cholesky(covariance + 1e-10 * jnp.eye(len(covariance)))


def _step(key: Any, state: Any, density: Any, pool: Any, root: Any, scale: Any) -> Any:
    """Propose a move along the difference of two particles, and accept or not."""

    def move(key: Any, at: Any) -> Any:
        for_pair, for_kind, for_noise = jax.random.split(key, 3)
        pair = jax.random.randint(for_pair, (2,), 0, len(pool))
        kind = jax.random.uniform(for_kind, (2 + at.size,), jnp.float32)
        is_jump = kind[0] < JUMP
        share = SHARES[(kind[1] * len(SHARES)).astype(int)]
        is_moved = (kind[2:] < share) | is_jump
        step = scale * 2.38 / jnp.sqrt(2 * jnp.maximum(is_moved.sum(), 1))
        factor = jnp.where(is_jump, 1.0, step)
        # Any symmetric noise will do; uniform numbers of single precision are cheap.
        noise = jax.random.uniform(for_noise, at.shape, jnp.float32, -1.7, 1.7)
        along = pool[pair[0]] - pool[pair[1]] + JITTER * (root @ noise.astype(at.dtype))
        return is_moved * factor * along

    return random_walk.build_additive_step()(key, state, density, move)


def _moves(
    init: Any, density: Any, step: Any, num_mcmc_steps: Any, n_particles: Any, **_: Any
) -> tuple[Any, Any]:
    """Move each particle so many times, a number that need not be known when compiling."""

    def move(key: Any, at: Any, parameters: Any) -> tuple[Any, Any]:
        def once(i: Any, carry: tuple[Any, Any]) -> tuple[Any, Any]:
            state, accepted = carry
            state, info = step(jax.random.fold_in(key, i), state, density, **parameters)
            return state, accepted + info.acceptance_rate

        state, accepted = jax.lax.fori_loop(0, num_mcmc_steps, once, (init(at, density), 0.0))
        return state.position, accepted / num_mcmc_steps

    return jax.vmap(move), n_particles
