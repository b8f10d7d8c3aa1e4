"""Run tempered sequential Monte Carlo, for posteriors that NUTS cannot explore and for log evidence."""

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

from cotreat.inference import gaussian_mixture_jax
from cotreat.inference.vectorise import (
    Draws,
    evaluate,
    function_of_draws,
    natural_scale,
    split_point,
)

TARGET_ESS = jnp.array([0.7, 0.5])
"""Share of particles that stay effective at the next temperature, in the second and in the first pass."""
ACCEPTANCE = 0.22
"""Target acceptance rate of differential-evolution moves, to which the step size adapts."""
SHARES = jnp.array([0.2, 0.4, 1.0])
"""Shares of the coordinates that a proposal moves, one chosen at random (Vrugt et al., Int J Nonlinear Sci
Numer Simul 2009;10:273)."""
JUMP = 0.1
"""Share of moves by the full difference of two particles, which allows jumps between modes."""
JITTER = 0.1
"""Scale of the noise that is added to a difference, in standard deviations."""
SNAPSHOTS = 3
"""Number of times that the particles are kept at the end of the second pass, one stage apart."""
BATCH = 250
"""Number of particles moved together, so that their data fit the processor's cache."""
IMPOSSIBLE = -1e10
FRESH = 1
"""Index of the moves that draw from a mixture, the second of the two kinds."""


@dataclass(frozen=True)
class Particles:
    """Record the particles and statistics of a run.

    Attributes
    ----------
    draws : dict
        Free variables on their natural scale by name, shape (chain, particle, …).
    log_evidence : ndarray, shape (chain,)
        Log marginal likelihood, one estimate per chain.
    stages : ndarray of int, shape (chain,)
        Number of temperatures of the second pass.
    acceptance : ndarray, shape (chain,)
        Acceptance rate of draws from the mixture in the last stage.
    steps : int
        Number of moves of each kind per particle and stage.
    """

    draws: Draws
    log_evidence: NDArray[np.float64]
    stages: NDArray[np.int64]
    acceptance: NDArray[np.float64]
    steps: int


class Sampler:
    """Sample a model by tempered sequential Monte Carlo, compiled once for any number of steps.

    Two passes temper from a distribution of known density to the posterior: the first from the prior, the
    second, in few stages, from a mixture of normals fitted to the result of the first. The first pass finds the
    modes, and the second estimates their weights.

    Half of the moves are those of differential evolution (ter Braak, Stat Comput 2006;16:239) along the
    difference of two particles of the previous stage, so that proposals have the shape of the posterior. The
    others are independent draws from a mixture fitted to these particles. Tempering, resampling and
    Metropolis steps are those of blackjax. Chains are independent.

    Parameters
    ----------
    built
        The PyMC model.
    prior
        Draws of the free variables from the prior by name, at least ``chains × particles``.
    chains
        Number of chains.
    particles
        Number of particles per chain.

    Notes
    -----
    Del Moral, Doucet & Jasra, J R Stat Soc B 2006;68:411.
    """

    def __init__(self, built: pm.Model, prior: Draws, *, chains: int, particles: int) -> None:
        first = {name: values[: chains * particles] for name, values in prior.items()}
        moved = []
        for rv in built.free_RVs:
            transform = built.rvs_to_transforms[rv]
            moved.append(rv if transform is None else transform.forward(rv, *rv.owner.inputs))
        parts = evaluate(built, moved, first)
        self._built = built
        self._shape = (chains, particles)
        self._shapes = [part.shape[1:] for part in parts]
        self._start = np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)
        # With fewer host devices than chains (JAX was initialised elsewhere), chains share one program.
        each = jax.pmap if jax.local_device_count() >= chains else _together
        self._scatter = each(
            lambda points, key: (points, gaussian_mixture_jax.scattered(points, key))
        )
        self._pass = each(self._tempered(), in_axes=(0, 0, 0, None, None))
        self._again = each(self._from_mixture)

    def run(self, steps: int, seed: int) -> Particles:
        """Temper from the prior to the posterior, and again from a fitted mixture.

        Parameters
        ----------
        steps
            Number of moves of each kind per particle and stage.
        seed
            Seed of the random numbers.

        Returns
        -------
        Particles
            Particles of the second pass and log marginal likelihood per chain.
        """
        chains, particles = self._shape
        keys = jax.random.split(jax.random.PRNGKey(seed), (4, chains))
        start = self._start.reshape(chains, particles, -1)
        start, shape = self._scatter(start, keys[0])
        result = self._pass(keys[1], start, shape, jnp.array(True), steps)
        start, shape = self._again(result[0], result[-1], keys[2])
        result = self._pass(keys[3], start, shape, jnp.array(False), steps)
        at, evidence, stages, acceptance = map(np.asarray, result[:-1])
        function = natural_scale(self._built)
        natural = function_of_draws(lambda row: function(*split_point(row, self._shapes)))
        values = map(np.asarray, natural(at.reshape(-1, at.shape[-1])))
        draws = {
            rv.name: value.reshape(*at.shape[:2], *value.shape[1:])
            for rv, value in zip(self._built.free_RVs, values, strict=True)
        }
        return Particles(draws, evidence, stages, acceptance, steps)

    def _density(self, term: Any) -> Callable[[Any], Any]:
        """Return the log density of a particle for a term of the model, finite at impossible points."""
        function = get_jaxified_graph(inputs=list(self._built.value_vars), outputs=[term])

        def density(row: Any) -> Any:
            value = function(*split_point(row, self._shapes))[0]
            return jnp.where(jnp.isnan(value), IMPOSSIBLE, jnp.maximum(value, IMPOSSIBLE))

        return density

    def _from_mixture(self, points: Any, shape: Any, key: Any) -> tuple[Any, Any]:
        """Fit a mixture to the kept particles of a chain, and draw new particles from it."""
        fitted = gaussian_mixture_jax.fitted(points, shape)
        return jax.vmap(fitted.draw)(jax.random.split(key, self._shape[1])), fitted

    def _tempered(self) -> Callable[..., Any]:
        """Return the function for one pass of one chain, which tempers to the full posterior."""
        particles = self._shape[1]
        prior, likelihood = map(self._density, (self._built.varlogp, self._built.datalogp))

        def chain(key: Any, start: Any, shape: Any, is_first: Any, steps: Any) -> tuple[Any, ...]:
            def begun(row: Any) -> Any:
                return jnp.where(is_first, prior(row), shape.log_density(row))

            def left(row: Any) -> Any:
                return likelihood(row) + prior(row) - begun(row)

            kernel = adaptive_tempered.build_kernel(
                begun,
                left,
                _step,
                random_walk.init,
                resampling.systematic,
                TARGET_ESS[is_first.astype(int)],
                update_strategy=_moves,
            )

            def stage(carry: _Carry) -> _Carry:
                key, for_pool, for_kernel = jax.random.split(carry.key, 3)
                state = carry.state
                pool = state.particles[resampling.systematic(for_pool, state.weights, particles)]
                # Particles are resampled here, so that the kernel chooses the next temperature for them.
                state = state._replace(particles=pool, weights=jnp.full(particles, 1 / particles))
                fitted = gaussian_mixture_jax.fitted(pool, carry.shape)
                tuned = {
                    "pool": pool,
                    "root": jnp.linalg.cholesky(gaussian_mixture_jax.covariance(pool)),
                    "scale": carry.scale,
                }
                shared = {n: value[None] for n, value in (tuned | fitted._asdict()).items()}
                after, info = kernel(for_kernel, state, steps, shared)
                along, fresh = info.update_info.mean(0)
                # The kernel moves particles before it reweights them: the stage that starts at 1 is the last.
                is_done = (state.tempering_param >= 1).astype(int)
                # Fill all remaining snapshots, because the first pass ends after the first one.
                is_left = jnp.arange(SNAPSHOTS)[:, None, None] >= carry.done
                kept = jnp.where(is_left, after.particles, carry.kept)
                return _Carry(
                    key,
                    after,
                    carry.evidence + info.log_likelihood_increment,
                    carry.scale * jnp.exp(along - ACCEPTANCE),
                    fitted,
                    carry.stages + 1 - is_done,
                    fresh,
                    carry.done + is_done,
                    kept,
                )

            state = adaptive_tempered.init(start)._replace(tempering_param=jnp.array(0.0))
            kept = jnp.zeros((SNAPSHOTS, *start.shape))
            zero = jnp.array(0.0)
            first = _Carry(key, state, zero, jnp.array(1.0), shape, 0, zero, 0, kept)
            last = jnp.where(is_first, 1, SNAPSHOTS)
            end = jax.lax.while_loop(lambda carry: carry.done < last, stage, first)
            points = jax.random.permutation(end.key, end.kept.reshape(-1, start.shape[1]))
            return points, end.evidence, end.stages, end.acceptance, end.shape

        return chain


def _together(function: Callable[..., Any], in_axes: Any = 0) -> Callable[..., Any]:
    """Compile a function vectorised over chains."""
    return jax.jit(jax.vmap(function, in_axes))


class _Carry(NamedTuple):
    """State that one stage passes to the next."""

    key: Any
    state: Any
    evidence: Any
    scale: Any
    shape: Any
    stages: Any
    acceptance: Any
    done: Any
    kept: Any


def _step(
    key: Any,
    state: Any,
    density: Any,
    is_fresh: bool,
    pool: Any,
    root: Any,
    scale: Any,
    **shape: Any,
) -> Any:
    """Make one Metropolis step with a draw from the mixture or a move along the difference of two particles."""
    if is_fresh:
        fitted = gaussian_mixture_jax.Mixture(**shape)
        return random_walk.build_rmh()(
            key,
            state,
            density,
            lambda key, _: fitted.draw(key),
            lambda _, to: fitted.log_density(to.position),
        )
    return random_walk.build_rmh()(
        key, state, density, lambda key, at: at + _along(key, at, pool, root, scale)
    )


def _along(key: Any, at: Any, pool: Any, root: Any, scale: Any) -> Any:
    """Return a move of some or all coordinates along the difference of two particles."""
    for_pair, for_kind, for_noise = jax.random.split(key, 3)
    pair = jax.random.randint(for_pair, (2,), 0, len(pool))
    kind = jax.random.uniform(for_kind, (2 + at.size,), jnp.float32)
    is_jump = kind[0] < JUMP
    share = SHARES[(kind[1] * len(SHARES)).astype(int)]
    is_moved = (kind[2:] < share) | is_jump
    step = scale * 2.38 / jnp.sqrt(2 * jnp.maximum(is_moved.sum(), 1))
    factor = jnp.where(is_jump, 1.0, step)
    # Any symmetric noise is valid; uniform numbers in single precision are cheap.
    noise = jax.random.uniform(for_noise, at.shape, jnp.float32, -1.7, 1.7)
    along = pool[pair[0]] - pool[pair[1]] + JITTER * (root @ noise.astype(at.dtype))
    return is_moved * factor * along


def _moves(
    init: Any, density: Any, step: Any, num_mcmc_steps: Any, n_particles: Any, **_: Any
) -> tuple[Any, Any]:
    """Return a function that makes `num_mcmc_steps` moves of both kinds, a number unknown at compilation."""

    def move(key: Any, at: Any, parameters: Any) -> tuple[Any, Any]:
        def once(i: Any, carry: tuple[Any, Any]) -> tuple[Any, Any]:
            state, accepted = carry
            shares = []
            for kind, key_of_kind in enumerate(jax.random.split(jax.random.fold_in(key, i))):
                state, info = step(key_of_kind, state, density, kind == FRESH, **parameters)
                shares.append(info.acceptance_rate)
            return state, accepted + jnp.stack(shares)

        begun = (init(at, density), jnp.zeros(2))
        state, accepted = jax.lax.fori_loop(0, num_mcmc_steps, once, begun)
        return state.position, accepted / num_mcmc_steps

    def in_batches(keys: Any, particles: Any, parameters: Any) -> tuple[Any, Any]:
        return jax.lax.map(
            lambda pair: move(pair[0], pair[1], parameters), (keys, particles), batch_size=BATCH
        )

    return in_batches, n_particles
