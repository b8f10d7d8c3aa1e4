"""Sample a log density by tempered sequential Monte Carlo in NumPy, without compilation.

The search for modes and the repetition of fits use it: it evaluates the compiled log density of a shape under
any data. `cotreat.inference.smc` compiles the whole sampler for one model and its data.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import logsumexp

from cotreat.inference.gaussian_mixture import Normals, scattered, terms
from cotreat.inference.modes import Array, Surface, finite

KEPT = 0.5
"""Share of particles that stay effective at the next temperature."""
ACCEPTANCE = 0.22
"""Target acceptance rate, to which the step size adapts."""
SHARES = np.array([0.2, 0.4, 1.0])
"""Shares of the coordinates that a proposal moves, one chosen at random (Vrugt et al., Int J Nonlinear Sci
Numer Simul 2009;10:273)."""
JUMP, JITTER = 0.1, 0.1
"""Share of moves by a full difference of two particles, and SD of the noise in standard deviations."""
SEARCHERS, SEARCH_MOVES = 1000, 4
"""Number of particles of a search, and of moves per particle and temperature."""
CHAINS, PARTICLES, MOVES = 4, 1000, (3, 6, 12, 24, 48)
"""Numbers of independent runs of a sample and of particles per run, and of moves, doubled until it is stable."""
COMPONENTS, FIT_STEPS, REFIT_STEPS = 8, 6, 2
"""Number of components of the mixture that is fitted to particles, and of steps of its fit: at first, and from
the mixture of the previous temperature."""
ROUNDING = 1e-9
STABLE = 0.3
"""Largest change of the log evidence when the moves are doubled, and largest SD of it between runs."""
APART = 0.1
"""Largest difference between the mean of a run and that of all runs, in SDs."""


class Particles(NamedTuple):
    """Particles of equal weight.

    Attributes
    ----------
    points : ndarray, shape (particle, size)
        Particles.
    heights : ndarray, shape (particle,)
        Their log densities.
    log_evidence : float
        Log integral of the density.
    """

    points: Array
    heights: Array
    log_evidence: float


@dataclass(frozen=True)
class Sample:
    """Record a sample by several independent runs.

    Attributes
    ----------
    points : ndarray, shape (run, particle, size)
        Particles of equal weight.
    log_evidence : float
        Log integral of the density, averaged over runs.
    is_stable : bool
        Whether the runs agree, and twice the moves change nothing.
    """

    points: Array
    log_evidence: float
    is_stable: bool

    @property
    def effective(self) -> float:
        """Effective sample size from the variance between runs: the median over coordinates."""
        between = self.points.mean(1).var(0, ddof=1) / len(self.points)
        ratio = np.median(between / np.maximum(self.points.var((0, 1)), 1e-300))
        return float(min(1 / max(ratio, 1e-12), self.points.shape[0] * self.points.shape[1]))


def search(surface: Surface, start: Array, widths: Array, rng: np.random.Generator) -> Particles:
    """Search the modes of a log density by tempering few particles.

    Parameters
    ----------
    surface
        Log density.
    start
        Centre of the first particles, shape (size,).
    widths
        Their SDs, shape (size,).
    rng
        Random number generator.

    Returns
    -------
    Particles
        Rough draws from the density.
    """
    first = _wide(start, widths)
    return temper(surface, first, rng, particles=SEARCHERS, moves=SEARCH_MOVES)


def sample(
    surface: Surface,
    start: Array,
    widths: Array,
    rng: np.random.Generator,
    particles: int = PARTICLES,
) -> Sample:
    """Sample a log density by independent runs, with doubled moves until the result is stable.

    Parameters
    ----------
    surface
        Log density.
    start
        Centre of the first particles, shape (size,).
    widths
        Their SDs, shape (size,).
    rng
        Random number generator.
    particles
        Number of particles per run.

    Returns
    -------
    Sample
        The particles of all runs, and whether they are stable.
    """
    before = None
    for moves in MOVES:
        run = partial(temper, surface, rng=rng, particles=particles, moves=moves)
        # The first pass finds the modes, and the second, from a mixture fitted to it, their weights.
        passed = [run(_wide(start, widths)) for _ in range(CHAINS)]
        runs = [run(mixture(each.points, rng)) for each in passed]
        after = _combined(runs)
        if before is not None and after.is_stable:
            change = abs(after.log_evidence - before.log_evidence)
            if change <= STABLE:
                return after
        before = after
    return replace(after, is_stable=False)


def _combined(runs: list[Particles]) -> Sample:
    """Combine independent runs, and test whether they agree."""
    logs = np.array([run.log_evidence for run in runs])
    points = np.stack([run.points for run in runs])
    middle, spread = points.mean((0, 1)), points.std((0, 1))
    apart = np.abs(points.mean(1) - middle).max(0) / np.maximum(spread, 1e-12)
    is_stable = bool(logs.std(ddof=1) <= STABLE and apart.max() <= APART)
    return Sample(points, float(logsumexp(logs) - np.log(len(logs))), is_stable)


def temper(
    surface: Surface, first: Normals, rng: np.random.Generator, *, particles: int, moves: int
) -> Particles:
    """Temper particles from a mixture of normals to a log density.

    Half of the moves are those of differential evolution, along the difference of two particles; the others are
    independent draws from a mixture fitted to the particles.

    Parameters
    ----------
    surface
        Log density.
    first
        The mixture from which tempering starts.
    rng
        Random number generator.
    particles
        Number of particles.
    moves
        Number of moves of each kind per particle and temperature.

    Returns
    -------
    Particles
        Draws from the density, with its log integral.

    Notes
    -----
    Del Moral, Doucet & Jasra, J R Stat Soc B 2006;68:411; moves by ter Braak, Stat Comput 2006;16:239.
    """
    points = first.draw(particles, rng)
    state = _State(points, first.log_density(terms(points)), finite(surface(points)))
    fitted, power, evidence, scale = first, 0.0, 0.0, 1.0
    while power < 1:
        ratios = state.heights - state.before
        step = _next_step(ratios, 1 - power)
        evidence += float(logsumexp(step * ratios) - np.log(particles))
        power = power + step if power + step < 1 - ROUNDING else 1.0
        state = state.chosen(_systematic(step * ratios, rng))
        pool = state.points
        root = np.linalg.cholesky(np.atleast_2d(np.cov(pool.T)) + 1e-10 * np.eye(pool.shape[1]))
        fitted = _refitted(fitted, pool, rng)
        target = _Target(surface, first, power)
        for _ in range(moves):
            tried = target.at(state.points + _along(pool, root, scale, rng))
            state, share = target.moved(state, tried, 0.0, rng)
            scale *= float(np.exp((share - ACCEPTANCE) / 2))
            tried = target.at(fitted.draw(particles, rng))
            back = fitted.log_density(terms(state.points)) - fitted.log_density(terms(tried.points))
            state, _ = target.moved(state, tried, back, rng)
    return Particles(state.points, state.heights, evidence)


class _State(NamedTuple):
    """Particles, with their log densities under the first mixture and under the target."""

    points: Array
    before: Array
    heights: Array

    def chosen(self, at: NDArray[np.int64]) -> "_State":
        """Return the particles of some indices."""
        return _State(*(part[at] for part in self))


class _Target(NamedTuple):
    """The tempered density: a geometric mean of the first mixture and the density."""

    surface: Surface
    first: Normals
    power: float

    def at(self, points: Array) -> _State:
        """Evaluate both densities."""
        return _State(points, self.first.log_density(terms(points)), finite(self.surface(points)))

    def moved(
        self, old: _State, new: _State, back: Array | float, rng: np.random.Generator
    ) -> tuple[_State, float]:
        """Accept or reject each proposal by Metropolis and Hastings; return the share of acceptances."""
        gain = self.power * (new.heights - old.heights) + back
        gain += (1 - self.power) * (new.before - old.before)
        is_moved = np.log(rng.random(len(gain))) < gain
        pairs = zip(old, new, strict=True)
        parts = (np.where(is_moved.reshape(-1, *[1] * (o.ndim - 1)), n, o) for o, n in pairs)
        return _State(*parts), float(is_moved.mean())


def _systematic(logs: Array, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the indices of systematic resampling by log weights."""
    ends = np.cumsum(np.exp(logs - logsumexp(logs)))
    places = (np.arange(len(logs)) + rng.random()) / len(logs)
    return np.minimum(np.searchsorted(ends, places), len(logs) - 1)


def _refitted(fitted: Normals, pool: Array, rng: np.random.Generator) -> Normals:
    """Adapt a mixture to the particles of the next temperature."""
    if len(fitted.weights) < COMPONENTS:
        return mixture(pool, rng)
    weights, table = np.full(len(pool), 1 / len(pool)), terms(pool)
    for _ in range(REFIT_STEPS):
        fitted = fitted.improved(table, weights, 2.0 * pool.shape[1])
    return fitted


def mixture(points: Array, rng: np.random.Generator) -> Normals:
    """Fit a mixture of normals to particles, as a proposal of importance sampling.

    Parameters
    ----------
    points
        Particles of equal weight, shape (particle, size).
    rng
        Random number generator.

    Returns
    -------
    Normals
        The mixture.
    """
    count, size = points.shape
    weights = np.full(count, 1 / count)
    fitted, table = scattered(points, weights, COMPONENTS, rng), terms(points)
    for _ in range(FIT_STEPS):
        fitted = fitted.improved(table, weights, 2.0 * size)
    return fitted


def _wide(start: Array, widths: Array) -> Normals:
    """Return the normal from which the first pass starts."""
    return Normals(np.ones(1), start[None], np.diag(widths**2)[None])


def _next_step(ratios: Array, most: float) -> float:
    """Return the increase of the power at which the share `KEPT` of the particles stays effective."""

    def excess(step: float) -> float:
        logs = step * ratios
        return float(2 * logsumexp(logs) - logsumexp(2 * logs) - np.log(KEPT * len(ratios)))

    if excess(most) >= 0:
        return most
    lowest = 1e-12
    return lowest if excess(lowest) < 0 else float(brentq(excess, lowest, most, rtol=1e-3))


def _along(pool: Array, root: Array, scale: float, rng: np.random.Generator) -> Array:
    """Return moves of some or all coordinates along differences of two particles of the pool."""
    count, size = pool.shape
    one, two = rng.integers(count, size=(2, count))
    is_jump = np.less(rng.random(count), JUMP)
    share = SHARES[rng.integers(len(SHARES), size=count)]
    is_moved = np.less(rng.random((count, size)), share[:, None]) | is_jump[:, None]
    step = scale * 2.38 / np.sqrt(2 * np.maximum(is_moved.sum(1), 1))
    factor = np.where(is_jump, 1.0, step)[:, None]
    noise = JITTER * rng.normal(size=(count, size)) @ root.T
    moves: Array = is_moved * factor * (pool[one] - pool[two] + noise)
    return moves
