"""Posteriors without warm-up: Laplace's approximation, corrected by importance sampling that adapts.

Modes are found by Newton's method; where the model has spreads (standard deviations), on which the shape
of the rest depends, the other coordinates are centred anew at several values of each (nested Laplace: Rue,
Martino & Chopin, J R Stat Soc B 2009;71:319). The normals found that way are a first proposal; a few rounds
of importance sampling fit it to the posterior (adaptive multiple importance sampling: Cornuet et al., Scand
J Stat 2012;39:798), and fresh draws from the fitted proposal carry Pareto-smoothed weights, whose k says
whether they can be trusted (Vehtari et al., J Mach Learn Res 2024;25:72).

Derivatives are differences of the log density across about one standard deviation: compiling a Hessian
takes ten times as long as all the values that a fit needs, and what a proposal lacks in exactness the
weights make up for.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from cotreat.normals import Normals, scattered, union

Array = NDArray[np.float64]
Surface = Callable[[Array], Array]
"""A log density: of points (point, size) to (point,)."""

GOOD, MIDDLING, BAD = "good", "middling", "bad"
GOOD_K, BAD_K = 0.5, 0.7
"""Below the first the draws are as good as any; above the second their weights have no finite variance
that so many draws could show, and they must not be used."""
STARTS = 3
"""Places from which modes are looked for: one in the middle of the prior, the others around it."""
REACH = 0.5
"""Steps of differences, in standard deviations."""
STEEPEST, FLATTEST = 1e4, 0.1
"""Curvatures, in units of the last guess, that are believed at once."""
MOST_STEPS = 25
SETTLED = 0.05
"""A mode is found where the next step is shorter than this, in standard deviations."""
TRIES = np.array([1.0, 0.5, 0.25, 0.1, 0.03, 0.0])
FAR_BELOW = 10.0
"""A mode whose log density is so far below the highest one is left out."""
NODES = {1: (-2.0, -1.0, 0.0, 1.0, 2.0)}
"""Where one spread is held while all else is centred anew, in standard deviations; of several,
`NODES_EACH` on the axis of each."""
NODES_EACH = (-1.5, 1.5)
KERNEL = {1: 0.6}
KERNEL_EACH = 0.8
"""Standard deviation of a spread about its node, in its own."""
ROUND, MOST_ROUNDS = 4000, 8
ENOUGH = 0.25
"""Rounds end when this share of a round's draws is effective."""
COMPONENTS = 8
POINTS_EACH = 20
"""Weights are flattened until so many draws for each coordinate are effective, before a fit."""
KEPT = 6000
"""A proposal is fitted to so many draws, those that weigh most."""
MOST_DRAWS = 64_000


class Mode(NamedTuple):
    """A summit: where, how high, and a root of the covariance that the curvature implies."""

    at: Array
    root: Array
    log_density: float


@dataclass(frozen=True)
class Approximation:
    """Weighted draws from a posterior.

    Attributes
    ----------
    points : ndarray, shape (draw, size)
        In standardised coordinates.
    weights : ndarray, shape (draw,)
        Pareto-smoothed, adding up to 1.
    pareto_k : float
        Shape of the weights' tail; infinite where they have no law that could be fitted.
    effective : float
        1/Σw²: independent draws that would tell as much.
    log_evidence : float
        Log marginal likelihood.
    modes : int
        How many were found; 0 where the proposal of a similar distribution was begun with.
    proposal : Normals
        From which `points` were drawn.
    """

    points: Array
    weights: Array
    pareto_k: float
    effective: float
    log_evidence: float
    modes: int
    proposal: Normals

    @property
    def verdict(self) -> str:
        """``good``, ``middling`` or ``bad``, by k."""
        return verdict(self.pareto_k)

    def resampled(self, chains: int, draws: int, rng: np.random.Generator) -> Array:
        """Draw points by their weights, systematically, in random order, shape (chain, draw, size).

        No two chains have a point in common, so that what differs between them shows the error of all.
        """
        return np.stack([self._chain(at, chains, draws, rng) for at in range(chains)])

    def _chain(self, chain: int, chains: int, draws: int, rng: np.random.Generator) -> Array:
        points, weights = self.points[chain::chains], self.weights[chain::chains]
        ends = np.cumsum(weights / weights.sum())
        places = (np.arange(draws) + rng.random()) / draws
        at = np.minimum(np.searchsorted(ends, places), len(ends) - 1)
        found: Array = points[rng.permutation(at)]
        return found


def verdict(pareto_k: float) -> str:
    """Say what a Pareto k means: ``good``, ``middling`` or ``bad``."""
    return GOOD if pareto_k < GOOD_K else MIDDLING if pareto_k < BAD_K else BAD


def approximate(
    surface: Surface,
    start: Array,
    spreads: NDArray[np.int64],
    *,
    effective: float,
    seed: int,
    first: Normals | None = None,
) -> Approximation:
    """Approximate a distribution from its log density.

    Parameters
    ----------
    surface
        Its log density, normalised or not, in coordinates in which a step of 1 is neither tiny nor huge.
    start
        Where to begin to look for modes.
    spreads
        Coordinates that are standard deviations of others.
    effective
        Effective draws that are wanted; there may be fewer, of `MOST_DRAWS` at most.
    first
        The proposal of a similar distribution, to begin with instead of looking for modes.
    """
    rng = np.random.default_rng(seed)
    modes: list[Mode] = []
    if first is None:
        modes = find_modes(surface, start, rng)
        first = _nested(surface, modes, spreads)
    proposal = _adapted(surface, first, rng)
    points, logs = _weighed(surface, proposal, ROUND, rng)
    while (found := effective_draws(logs)) < effective and len(points) < MOST_DRAWS:
        more = min(len(points), MOST_DRAWS - len(points))
        if found * 4 < effective:  # far from enough: all at once, for each call has its cost
            more = MOST_DRAWS - len(points)
        others, other_logs = _weighed(surface, proposal, more, rng)
        points, logs = np.concatenate([points, others]), np.concatenate([logs, other_logs])
    weights, k = smoothed(logs)
    return Approximation(
        points,
        weights,
        k,
        1 / float(np.sum(weights**2)),
        float(logsumexp(logs) - np.log(len(logs))),
        len(modes),
        proposal,
    )


def smoothed(logs: Array) -> tuple[Array, float]:
    """Smooth the tail of weights by a generalised Pareto distribution.

    Returns
    -------
    weights : ndarray
        Adding up to 1.
    pareto_k : float
    """
    from arviz_stats.base import array_stats

    # ArviZ smooths the weights of a point that is left out: those of minus its log density.
    found, k = array_stats.psislw(-logs)
    weights = np.exp(np.asarray(found) - logsumexp(found))
    return weights, float(k) if np.isfinite(k) else np.inf


def effective_draws(logs: Array) -> float:
    """Return (Σw)²/Σw² of weights whose logs are given."""
    return float(np.exp(2 * logsumexp(logs) - logsumexp(2 * logs)))


# --- Modes -----------------------------------------------------------------------------------------


def find_modes(surface: Surface, start: Array, rng: np.random.Generator) -> list[Mode]:
    """Climb from several places, and return the summits that differ, the highest first."""
    starts = [start, *(start + rng.normal(size=(STARTS - 1, len(start))))]
    every = [climb(surface, at, np.eye(len(start)) / 2) for at in starts]
    every = sorted(every, key=lambda mode: -mode.log_density)
    found: list[Mode] = []
    for mode in every:
        is_new = all(np.linalg.norm(np.linalg.solve(o.root, mode.at - o.at)) > 1 for o in found)
        if is_new and mode.log_density > every[0].log_density - FAR_BELOW:
            found.append(mode)
    return found


def climb(surface: Surface, at: Array, root: Array, most: int = MOST_STEPS) -> Mode:
    """Climb to a summit by Newton's method, along the columns of `root`.

    Parameters
    ----------
    root
        Directions in which to move, as long as standard deviations may be, shape (size, direction).
    """
    for _ in range(most):
        root, (height, slope, bend) = _quadratic(surface, at, root)
        sizes, axes = np.linalg.eigh(-bend)
        sizes = np.clip(sizes, FLATTEST, STEEPEST)
        uphill = axes.T @ slope
        way = root @ (axes @ (uphill / sizes))
        root = root @ (axes / np.sqrt(sizes))
        length = np.linalg.norm(uphill / np.sqrt(sizes))
        if length < SETTLED and np.abs(sizes - 1).max() < 0.5:
            return Mode(at, root, height)
        way *= min(1.0, 3 * np.sqrt(len(slope)) / max(length, 1e-9))
        tries = at + np.outer(TRIES, way)
        at = tries[np.argmax(surface(tries))]
    return Mode(at, root, float(surface(at[None])[0]))


def _quadratic(
    surface: Surface, at: Array, root: Array
) -> tuple[Array, tuple[float, Array, Array]]:
    """Return height, slope and bend along the columns of a root, shortened until all are finite."""
    count = root.shape[1]
    one, two = np.triu_indices(count, 1)
    steps = REACH * np.eye(count)
    pairs = steps[one] + steps[two]
    ways = np.concatenate([np.zeros((1, count)), steps, -steps, pairs, -pairs])
    for _ in range(30):
        heights = surface(at + ways @ root.T)
        if np.isfinite(heights).all():
            break
        root = root / 2
    else:
        raise ValueError("the log density is not finite anywhere near where it is looked at")
    middle, singles, doubles = np.split(heights, [1, 1 + 2 * count])
    up, down = singles[:count], singles[count:]
    both = doubles[: len(one)] + doubles[len(one) :]
    bend = np.zeros((count, count))
    off = both - up[one] - up[two] - down[one] - down[two] + 2 * middle
    bend[one, two] = bend[two, one] = off / (2 * REACH**2)
    bend[np.diag_indices(count)] = (up + down - 2 * middle) / REACH**2
    return root, (float(middle[0]), (up - down) / (2 * REACH), bend)


# --- The first proposal ----------------------------------------------------------------------------


def _nested(surface: Surface, modes: list[Mode], spreads: NDArray[np.int64]) -> Normals:
    """Put normals at the modes, or, where there are spreads, at nodes of these around each mode."""
    nodes: list[Mode] = []
    for mode in modes:
        is_nested = 0 < len(spreads) < len(mode.at)
        nodes += _nodes(surface, mode, spreads) if is_nested else [mode]
    # Each in proportion to the mass that its normal would have under the posterior.
    logs = np.array([m.log_density + np.linalg.slogdet(m.root)[1] for m in nodes])
    weights = np.maximum(np.exp(logs - logs.max()), 1e-3)
    return Normals(
        weights / weights.sum(),
        np.array([m.at for m in nodes]),
        np.array([m.root @ m.root.T for m in nodes]),
    )


def _nodes(surface: Surface, mode: Mode, spreads: NDArray[np.int64]) -> Iterator[Mode]:
    """Hold the spreads at nodes; centre all else anew there, and see how that leans on the spreads."""
    size, count = len(mode.at), len(spreads)
    others = np.setdiff1d(np.arange(size), spreads)
    covariance = mode.root @ mode.root.T
    own = covariance[np.ix_(spreads, spreads)]
    lean = np.linalg.solve(own, covariance[np.ix_(spreads, others)]).T
    rest = covariance[np.ix_(others, others)] - lean @ covariance[np.ix_(spreads, others)]
    root = np.zeros((size, len(others)))
    root[others] = np.linalg.cholesky(rest + 1e-12 * np.eye(len(others)))
    scale = np.sqrt(np.diag(own))
    axes = np.eye(count)
    steps = [
        np.zeros(count),
        *(t * axis for axis in axes for t in NODES.get(count, NODES_EACH) if t),
    ]
    for step in steps:
        at = mode.at.copy()
        at[spreads] += step * scale
        at[others] += lean @ (step * scale)
        node = climb(surface, at, root, most=10)
        yield _leaning(surface, node, spreads, scale, KERNEL.get(count, KERNEL_EACH))


def _leaning(
    surface: Surface, node: Mode, spreads: NDArray[np.int64], scale: Array, kernel: float
) -> Mode:
    """Widen a node into the spreads' directions, along which the others' centre moves."""
    size, inner = node.root.shape
    full = np.zeros((size, size))
    full[:, :inner] = node.root
    full[spreads, np.arange(inner, size)] = scale
    full, (height, _, bend) = _quadratic(surface, node.at, full)
    sizes, axes = np.linalg.eigh(-bend[:inner, :inner])
    inverse = (axes / np.clip(sizes, 0.2, 50)) @ axes.T
    turned = np.zeros((size, size))
    turned[:inner, :inner] = np.linalg.cholesky(inverse)
    turned[:inner, inner:] = kernel * np.clip(inverse @ bend[:inner, inner:], -3, 3)
    turned[inner:, inner:] = kernel * np.eye(size - inner)
    return Mode(node.at, full @ turned, height)


# --- Importance sampling ---------------------------------------------------------------------------


def _weighed(
    surface: Surface, proposal: Normals, count: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Draw points from a proposal, and return them with the logs of their weights."""
    points = proposal.draw(count, rng)
    return points, _finite(surface(points)) - proposal.log_density(points)


def _finite(logs: Array) -> Array:
    """Give impossible points so small a weight that it is none, but one that can be reckoned with."""
    return np.maximum(logs, -1e9)


def _adapted(surface: Surface, first: Normals, rng: np.random.Generator) -> Normals:
    """Fit a proposal to the posterior by rounds of importance sampling.

    The draws of all rounds count, weighed as from the mixture of all their proposals. Of these the two
    that would serve best for all the draws so far are joined.
    """
    size = first.means.shape[1]
    proposals = [first]
    fitted: Normals | None = None
    points, heights = np.empty((0, size)), np.empty(0)
    densities = np.empty((0, 0))
    for _ in range(MOST_ROUNDS):
        new = proposals[-1].draw(ROUND, rng)
        old = [proposals[-1].log_density(points)[None]] if len(points) else []
        densities = np.concatenate([densities, *old]) if old else densities
        own = np.stack([one.log_density(new) for one in proposals])
        densities = np.concatenate([densities.reshape(len(own), -1), own], axis=1)
        points = np.concatenate([points, new])
        heights = np.concatenate([heights, _finite(surface(new))])
        logs = heights - logsumexp(densities, axis=0)
        if effective_draws(heights[-ROUND:] - own[-1]) > ENOUGH * ROUND:
            break
        top = np.argsort(logs)[-KEPT:]
        weights = _flattened(logs[top], POINTS_EACH * size)
        if fitted is None:
            fitted = scattered(points[top], weights, COMPONENTS, rng)
        for _ in range(3):
            fitted = fitted.improved(points[top], weights, 2.0 * size)
        proposals.append(fitted)
    shares = np.exp(logs - logsumexp(logs))
    # E_q[w]²/E_q[w²] by the draws of all rounds: 1/E_p[p/q].
    worse = logsumexp(heights - densities, b=shares, axis=1)
    best = np.argsort(worse)[:2]
    return union(*((share, proposals[at]) for share, at in zip((0.7, 0.3), best, strict=False)))


def _flattened(logs: Array, least: float) -> Array:
    """Return weights, raised to a power at which as many as wanted are effective, adding up to 1."""
    power = 1.0
    while effective_draws(power * logs) < least and power > 1e-3:
        power *= 0.8
    weights: Array = np.exp(power * logs - logsumexp(power * logs))
    return weights
