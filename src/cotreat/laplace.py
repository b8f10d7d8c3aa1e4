"""Posteriors without warm-up: Laplace's approximation, corrected by importance sampling that adapts.

Modes are found by Newton's method; where the model has spreads (standard deviations), on which the shape
of the rest depends, the other coordinates are centred anew at several values of each (nested Laplace: Rue,
Martino & Chopin, J R Stat Soc B 2009;71:319). The normals found that way are a first proposal; a few rounds
of importance sampling fit it to the posterior (adaptive multiple importance sampling: Cornuet et al., Scand
J Stat 2012;39:798), and fresh draws from the fitted proposal carry Pareto-smoothed weights, whose k says
whether they can be trusted (Vehtari et al., J Mach Learn Res 2024;25:72).

Derivatives are differences of the log density across about one standard deviation: of the tacrolimus
cohort a Hessian took 17 s to compile, the density itself two, and what a proposal lacks in exactness the
weights make up for.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from cotreat.normals import Normals, scattered, terms, union

Array = NDArray[np.float64]
Surface = Callable[[Array], Array]
"""A log density: of points (point, size) to (point,)."""

GOOD, MIDDLING, BAD = "good", "middling", "bad"
GOOD_K, BAD_K = 0.5, 0.7
"""Below the first weights have a finite variance; above the second no number of draws that anybody makes
brings their means near enough, and they must not be used."""
SCATTERED, BEST, MOST_STARTS, IN_VAIN = 2048, 256, 24, 5
"""Of so many places around the middle of the prior the best are kept, and of these those that lie far apart;
modes are looked for from one after the other: until so many more lead to the only mode there is, or, where
there are several, from all."""
REACH = 0.5
"""Steps of differences, in standard deviations."""
OUT_OF_REACH = 8.0
"""A mode where a draw would weigh more than e to that times what draws weigh on average is one that the
proposal does not reach."""
STEEPEST, FLATTEST = 1e4, 0.1
"""Curvatures, in units of the last guess, that are believed at once."""
LONGEST = 3.0
"""Steps are no longer than this for each coordinate (in squares), in standard deviations of the last guess."""
MOST_STEPS = 60
SETTLED = 0.05
"""A mode is found where the next step is shorter than this, in standard deviations."""
TRIES = np.array([1.0, 0.5, 0.25, 0.1, 0.03, 0.0])
FAR_BELOW = 8.0
"""A mode whose normal has a log mass so far below that of the heaviest one is left out."""
NODES = {1: (-2.0, -1.0, 0.0, 1.0, 2.0)}
"""Where one spread is held while all else is centred anew, in standard deviations; of several,
`NODES_EACH` on the axis of each."""
NODES_EACH = (-1.5, 1.5)
KERNEL = {1: 0.6}
KERNEL_EACH = 0.8
"""Standard deviation of a spread about its node, in its own."""
ROUND, MOST_ROUNDS = 4000, 14
ENOUGH, EACH_WANTED = 0.25, 1e-4
"""Rounds end when this share of a round's draws is effective, or less where few are wanted: so much for
each of them."""
COMPONENTS = 8
POINTS_EACH = 20
"""Weights are flattened until so many draws for each coordinate are effective, before a fit."""
FIT_STEPS = 3
KEPT = 6000
"""A proposal is fitted to so many draws, those that weigh most."""
BEST_TWO = (0.7, 0.3)
"""Shares of the best proposal and the next in the last one: what one does not reach the other may."""
MOST_DRAWS = 64_000


class Mode(NamedTuple):
    """A summit: where, a root of the covariance that the curvature implies, and how high."""

    at: Array
    root: Array
    log_density: float

    @property
    def log_mass(self) -> float:
        """Log of what a normal of that height and width integrates to, short of a constant."""
        return self.log_density + float(np.linalg.slogdet(self.root)[1])


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
    is_searched : bool
        Whether there is one, or each was come to from several places. Otherwise there are likely to be
        others that nobody has come to (Good, Biometrika 1953;40:237), and no weight could show it. Where
        the proposal of a similar distribution was begun with, that is for its own search to say.
    proposal : Normals
        From which `points` were drawn.
    """

    points: Array
    weights: Array
    pareto_k: float
    effective: float
    log_evidence: float
    modes: int
    is_searched: bool
    proposal: Normals

    @property
    def verdict(self) -> str:
        """``good``, ``middling`` or ``bad``, by k and by how the modes were found."""
        return verdict(self.pareto_k) if self.is_searched else BAD

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
    enough: float | None = None,
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
        The proposal of a similar distribution, to begin with instead of looking for modes. They are looked
        for all the same where it turns out to miss one, unless no draws are wanted.
    enough
        Share of a round's draws that must be effective for rounds to end; by default `ENOUGH`, or less
        where few draws are wanted.
    """
    enough = min(ENOUGH, EACH_WANTED * effective) if enough is None else enough
    rng = np.random.default_rng(seed)
    modes: list[Mode] = []
    is_searched = True
    if first is None:
        modes, is_searched = find_modes(surface, start, rng)
        proposal = _adapted(surface, _nested(surface, modes, spreads), enough, rng)
        points, logs = _weighed(surface, proposal, ROUND, rng)
    else:
        proposal = first
        points, logs = _weighed(surface, proposal, ROUND, rng)
        if effective_draws(logs) < enough * ROUND:
            proposal = _adapted(surface, first, enough, rng)
            points, logs = _weighed(surface, proposal, ROUND, rng)
    while (found := effective_draws(logs)) < effective and len(points) < MOST_DRAWS:
        more = int(1.2 * len(points) * (effective / found - 1)) + ROUND // 4
        others, other_logs = _weighed(surface, proposal, min(more, MOST_DRAWS - len(points)), rng)
        points, logs = np.concatenate([points, others]), np.concatenate([logs, other_logs])
    weights, k = smoothed(logs)
    evidence = float(logsumexp(logs) - np.log(len(logs)))
    is_doubtful = not modes and effective > 0
    if is_doubtful and _misses_a_mode(surface, start, proposal, evidence, rng):
        return approximate(surface, start, spreads, effective=effective, seed=seed, enough=enough)
    return Approximation(
        points,
        weights,
        k,
        1 / float(np.sum(weights**2)),
        evidence,
        len(modes),
        is_searched,
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


def find_modes(surface: Surface, start: Array, rng: np.random.Generator) -> tuple[list[Mode], bool]:
    """Climb from several places to the summits that count.

    Returns
    -------
    modes : list of Mode
        Those that differ, the heaviest first.
    is_searched : bool
        Whether it is the only one, or each was come to more than once.
    """
    found: list[Mode] = []
    times: list[int] = []
    for at in (start, *_starts(surface, start, rng)):
        mode = climb(surface, at, np.eye(len(start)) / 2)
        if mode is None or _is_far_below(mode, found):
            continue
        same = next((i for i, other in enumerate(found) if _are_same(mode, other)), None)
        if same is None:
            found.append(mode)
            times.append(1)
        else:
            times[same] += 1
        if times == [IN_VAIN + 1]:
            break
    if not found:
        raise ValueError("the log density is not finite anywhere near where it is looked at")
    counts = [(m, n) for m, n in zip(found, times, strict=True) if not _is_far_below(m, found)]
    counts = sorted(counts, key=lambda one: -one[0].log_mass)
    return [mode for mode, _ in counts], len(counts) == 1 or all(n > 1 for _, n in counts)


def _starts(surface: Surface, start: Array, rng: np.random.Generator) -> Iterator[Array]:
    """Scatter points, and take of the best of them one far from all before after the other."""
    noise = rng.normal(size=(SCATTERED, len(start)))
    noise[1::2] *= 2
    around = start + noise
    around = around[np.argsort(-_finite(surface(around)))[:BEST]]
    distance = np.full(BEST, np.inf)
    at = 0
    for _ in range(MOST_STARTS - 1):
        yield around[at]
        distance = np.minimum(distance, ((around - around[at]) ** 2).sum(1))
        at = int(distance.argmax())


def _misses_a_mode(
    surface: Surface, start: Array, proposal: Normals, evidence: float, rng: np.random.Generator
) -> bool:
    """Look for a mode that counts and that a proposal made for another distribution does not reach."""
    best = next(_starts(surface, start, rng))
    mode = climb(surface, best, np.eye(len(start)) / 2)
    if mode is None or mode.log_mass + 0.5 * len(start) * np.log(2 * np.pi) < evidence - FAR_BELOW:
        return False
    weight = mode.log_density - float(proposal.log_density(terms(mode.at[None]))[0])
    return weight - evidence > OUT_OF_REACH


def _are_same(mode: Mode, other: Mode) -> bool:
    return bool(np.linalg.norm(np.linalg.solve(other.root, mode.at - other.at)) < 1)


def _is_far_below(mode: Mode, found: list[Mode]) -> bool:
    return any(mode.log_mass < other.log_mass - FAR_BELOW for other in found)


def climb(surface: Surface, at: Array, root: Array, most: int = MOST_STEPS) -> Mode | None:
    """Climb to a summit by Newton's method, along the columns of `root`.

    None where the log density is not finite around.

    Parameters
    ----------
    root
        Directions in which to move, as long as standard deviations may be, shape (size, direction).
    """
    for _ in range(most):
        seen = _quadratic(surface, at, root)
        if seen is None:
            return None
        root, (height, slope, bend) = seen
        sizes, axes = np.linalg.eigh(-bend)
        sizes = np.clip(sizes, FLATTEST, STEEPEST)
        uphill = axes.T @ slope
        # No further than the differences tell of, whose steps were along the old root.
        step = uphill / sizes
        step *= min(1.0, LONGEST * np.sqrt(len(slope)) / max(np.linalg.norm(step), 1e-9))
        way = root @ (axes @ step)
        root = root @ (axes / np.sqrt(sizes))
        length = np.linalg.norm(uphill / np.sqrt(sizes))
        if length < SETTLED and np.abs(sizes - 1).max() < 0.5:
            return Mode(at, root, height)
        tries = at + np.outer(TRIES, way)
        at = tries[np.argmax(surface(tries))]
    return Mode(at, root, float(surface(at[None])[0]))


def _quadratic(
    surface: Surface, at: Array, root: Array
) -> tuple[Array, tuple[float, Array, Array]] | None:
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
        return None
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
        nodes += (list(_nodes(surface, mode, spreads)) if is_nested else []) or [mode]
    # Each in proportion to the mass that its normal would have under the posterior.
    logs = np.array([m.log_mass for m in nodes])
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
        if node is not None:
            yield from _leaning(surface, node, spreads, scale, KERNEL.get(count, KERNEL_EACH))


def _leaning(
    surface: Surface, node: Mode, spreads: NDArray[np.int64], scale: Array, kernel: float
) -> Iterator[Mode]:
    """Widen a node into the spreads' directions, along which the others' centre moves."""
    size, inner = node.root.shape
    full = np.zeros((size, size))
    full[:, :inner] = node.root
    full[spreads, np.arange(inner, size)] = scale
    seen = _quadratic(surface, node.at, full)
    if seen is None:
        return
    full, (height, _, bend) = seen
    sizes, axes = np.linalg.eigh(-bend[:inner, :inner])
    inverse = (axes / np.clip(sizes, 0.2, 50)) @ axes.T
    turned = np.zeros((size, size))
    turned[:inner, :inner] = np.linalg.cholesky(inverse)
    turned[:inner, inner:] = kernel * np.clip(inverse @ bend[:inner, inner:], -3, 3)
    turned[inner:, inner:] = kernel * np.eye(size - inner)
    yield Mode(node.at, full @ turned, height)


# --- Importance sampling ---------------------------------------------------------------------------


def _weighed(
    surface: Surface, proposal: Normals, count: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Draw points from a proposal, and return them with the logs of their weights."""
    points = proposal.draw(count, rng)
    parts = np.array_split(points, -(-count // ROUND))  # their terms take much memory
    densities = np.concatenate([proposal.log_density(terms(part)) for part in parts])
    return points, _finite(surface(points)) - densities


def _finite(logs: Array) -> Array:
    """Give impossible points so small a weight that it is none, but one that can be reckoned with."""
    return np.maximum(logs, -1e9)


def _adapted(surface: Surface, first: Normals, enough: float, rng: np.random.Generator) -> Normals:
    """Fit a proposal to the posterior by rounds of importance sampling, until enough is effective.

    The draws of all rounds count, weighed as from the mixture of all their proposals. Of these the two
    that would serve best for all the draws so far are joined.
    """
    size = first.means.shape[1]
    proposals, fitted = [first], None
    points, heights, table = np.empty((0, size)), np.empty(0), terms(np.empty((0, size)))
    densities = np.empty((0, 0))
    for _ in range(MOST_ROUNDS):
        new = proposals[-1].draw(ROUND, rng)
        points, table = np.concatenate([points, new]), np.concatenate([table, terms(new)])
        heights = np.concatenate([heights, _finite(surface(new))])
        # Of old points under the newest proposal, and of new points under all.
        own = np.stack([one.log_density(table[-ROUND:]) for one in proposals])
        newest = proposals[-1].log_density(table[:-ROUND])[None]
        before = np.concatenate([densities, newest])
        densities = np.concatenate([before, own], axis=1)
        logs = heights - logsumexp(densities, axis=0)
        if effective_draws(heights[-ROUND:] - own[-1]) > enough * ROUND:
            break
        top = np.argpartition(logs, -KEPT)[-KEPT:] if len(logs) > KEPT else np.arange(len(logs))
        weights = flattened(logs[top], POINTS_EACH * size)
        if fitted is None:
            fitted = scattered(points[top], weights, COMPONENTS, rng)
        for _ in range(FIT_STEPS):
            fitted = fitted.improved(table[top], weights, 2.0 * size)
        proposals.append(fitted)
    shares = np.exp(logs - logsumexp(logs))
    # E_q[w]²/E_q[w²] by the draws of all rounds: 1/E_p[p/q].
    worse = logsumexp(heights - densities, b=shares, axis=1)
    best = np.argsort(worse)[:2]
    return union(*((share, proposals[at]) for share, at in zip(BEST_TWO, best, strict=False)))


def flattened(logs: Array, least: float) -> Array:
    """Return weights, raised to a power at which as many as wanted are effective, adding up to 1."""
    power = 1.0
    while effective_draws(power * logs) < least and power > 1e-3:
        power *= 0.8
    weights: Array = np.exp(power * logs - logsumexp(power * logs))
    return weights
