"""Posteriors without warm-up: Laplace's approximation, corrected by importance sampling that adapts.

Modes are found by Newton's method; where the model has spreads (standard deviations), on which the shape
of the rest depends, the other coordinates are centred anew at several values of each (nested Laplace: Rue,
Martino & Chopin, J R Stat Soc B 2009;71:319). The normals found that way are a first proposal; a few rounds
of importance sampling fit it to the posterior (adaptive multiple importance sampling: Cornuet et al., Scand
J Stat 2012;39:798), and fresh draws from the fitted proposal carry Pareto-smoothed weights, whose k says
whether they can be trusted (Vehtari et al., J Mach Learn Res 2024;25:72).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from cotreat.core.constants import GOOD_K, UNRELIABLE_K, VERDICTS
from cotreat.inference.gaussian_mixture import Normals, scattered, terms, union
from cotreat.inference.modes import (
    FAR_BELOW,
    Array,
    Mode,
    Surface,
    climb,
    find_modes,
    finite,
    starts,
)
from cotreat.inference.nested_laplace import nested

GOOD, MIDDLING, UNRELIABLE = VERDICTS
ENOUGH, EACH_WANTED = 0.5, 1.25e-4
"""Rounds end when this share of a round's draws is effective, or less where few are wanted: so much for
each of them."""
OUT_OF_REACH = 8.0
"""A mode where a draw would weigh more than e to that times what draws weigh on average is one that the
proposal does not reach."""
BROUGHT = 0.05
"""The share for a proposal brought over: more draws of it cost less than to fit it anew."""
PILOT = 500
"""Draws that tell whether the proposal of another distribution may serve as it is."""
HOPELESS = 0.25
"""A proposal brought over, of whose draws less than this share of what is enough turns out to be effective,
is drawn from no more: its tails are too light, and draws show that only in time."""
POINTS_EACH = 20
"""Weights are flattened until so many draws for each coordinate are effective, before a fit."""
FIT_STEPS = 3
BEST_TWO = (0.7, 0.3)
"""Shares of the best proposal and the next in the last one: what one does not reach the other may."""
MOST_DRAWS = 64_000
AT_ONCE = 4000
"""Points whose terms are worked out together: they take much memory."""
FEWEST_EFFECTIVE = 100
"""With fewer effective draws the error of a log evidence is above 0.1, whatever k says."""


@dataclass(frozen=True)
class Effort:
    """What is spent on fitting a proposal.

    Attributes
    ----------
    draws : int
        Of a round.
    rounds : int
        How many are made at most.
    components : int
        Normals of the mixture.
    kept : int
        Draws that it is fitted to: those that weigh most.
    """

    draws: int
    rounds: int
    components: int
    kept: int


USUAL = Effort(draws=4000, rounds=14, components=8, kept=6000)
CAREFUL = Effort(draws=6000, rounds=30, components=16, kept=12_000)
"""Three times the draws and some twice the time. Of 290 answers to the same print (published/sun2024, ten cohorts)
24 instead of 29 were left bad; 19 of either had several modes, which no effort makes sure of."""


@dataclass(frozen=True)
class Proposal:
    """What points are drawn from.

    Attributes
    ----------
    normals : Normals
    summit : Mode
        The heaviest mode, as it was when `normals` were last made for one.
    is_adapted : bool
        Whether they were fitted to draws, and are not just what modes and nodes make.
    """

    normals: Normals
    summit: Mode
    is_adapted: bool

    @classmethod
    def of(cls, normals: Normals) -> "Proposal":
        """Take a mixture that was fitted to draws by other means."""
        mean = normals.weights @ normals.means
        off = normals.means - mean
        inner = np.einsum("k,kij->ij", normals.weights, normals.covariances)
        root = np.linalg.cholesky(inner + (normals.weights[:, None] * off).T @ off)
        return cls(normals, Mode(mean, root, np.nan), is_adapted=True)

    def moved(self, summit: Mode) -> "Proposal":
        """Move it to another mode."""
        turn = _cholesky(summit) @ np.linalg.inv(_cholesky(self.summit))
        normals = self.normals.moved(self.summit.at, summit.at, turn)
        return Proposal(normals, summit, self.is_adapted)


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
        Log marginal likelihood, of the smoothed weights.
    modes : int
        How many were found; 0 where the proposal of a similar distribution was begun with.
    is_searched : bool
        Whether there is one, or each was come to from several places. Otherwise there are likely to be
        others that nobody has come to (Good, Biometrika 1953;40:237), and no weight could show it. Where
        the proposal of a similar distribution was begun with, that is for its own search to say.
    proposal : Proposal
        From which `points` were drawn.
    """

    points: Array
    weights: Array
    pareto_k: float
    effective: float
    log_evidence: float
    modes: int
    is_searched: bool
    proposal: Proposal

    @property
    def verdict(self) -> str:
        """``good``, ``middling`` or ``bad``, by k, by effective draws and by how the modes were found."""
        is_known = self.is_searched and self.effective >= FEWEST_EFFECTIVE
        return verdict(self.pareto_k) if is_known else UNRELIABLE

    @property
    def log_error(self) -> float:
        """Monte Carlo error of the log evidence: the relative SE of the mean weight."""
        return float(np.sqrt(max(1 / self.effective - 1 / len(self.weights), 0.0)))

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
    return GOOD if pareto_k < GOOD_K else MIDDLING if pareto_k < UNRELIABLE_K else UNRELIABLE


def approximate(
    surface: Surface,
    start: Array,
    spreads: NDArray[np.int64],
    *,
    effective: float,
    seed: int,
    first: Proposal | None = None,
    enough: float | None = None,
    most: int = MOST_DRAWS,
    effort: Effort = USUAL,
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
        Effective draws that are wanted; there may be fewer.
    first
        The proposal of a similar distribution, begun with instead of looking for modes: as it is, or moved to where this one's mode is. Modes are looked for all the same where that turns
        out to miss one, unless no draws are wanted.
    enough
        Share of a round's draws that must be effective for rounds to end; by default `ENOUGH`, or less
        where few draws are wanted, and `BROUGHT` of what was found before.
    most
        Draws that are made at most.
    effort
        Of fitting the proposal; the usual one where the modes were not found for sure, for then no effort
        helps.
    """
    if enough is None:
        enough = min(ENOUGH, EACH_WANTED * effective) if first is None else BROUGHT
    rng = np.random.default_rng(seed)
    modes: list[Mode] = []
    is_searched = True
    if first is None:
        modes, is_searched = find_modes(surface, start, rng)
        effort = effort if is_searched else USUAL
        begun = Proposal(nested(surface, modes, spreads), modes[0], is_adapted=False)
        proposal = _adapted(surface, begun, enough, effort, rng)
    else:
        proposal = _brought(surface, first, spreads, enough, rng)
    points, logs = _weighed(surface, proposal.normals, effort.draws, rng)
    if first is not None and effective_draws(logs) < enough * effort.draws:
        proposal = _adapted(surface, proposal, enough, effort, rng)
        points, logs = _weighed(surface, proposal.normals, effort.draws, rng)
    while (found := effective_draws(logs)) < effective and len(points) < most:
        if first is not None and found < HOPELESS * enough * len(points):
            break
        more = int(1.2 * len(points) * (effective / found - 1)) + effort.draws // 4
        others, other_logs = _weighed(surface, proposal.normals, min(more, most - len(points)), rng)
        points, logs = np.concatenate([points, others]), np.concatenate([logs, other_logs])
    weights, k = smoothed(logs)
    evidence = _log_mean(logs, weights)
    is_doubtful = not modes and effective > 0
    if is_doubtful and _misses_a_mode(surface, start, proposal, evidence, rng):
        return approximate(
            surface,
            start,
            spreads,
            effective=effective,
            seed=seed,
            enough=enough,
            most=most,
            effort=effort,
        )
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


def _log_mean(logs: Array, weights: Array) -> float:
    """Return the log of the mean of smoothed weights, in units of those before.

    A middling weight is not smoothed, and tells by how much all were divided to add up to 1.
    """
    middle = np.argpartition(logs, len(logs) // 2)[len(logs) // 2]
    return float(logs[middle] - np.log(weights[middle]) - np.log(len(logs)))


def effective_draws(logs: Array) -> float:
    """Return (Σw)²/Σw² of weights whose logs are given."""
    return float(np.exp(2 * logsumexp(logs) - logsumexp(2 * logs)))


# --- Importance sampling ---------------------------------------------------------------------------


def _weighed(
    surface: Surface, proposal: Normals, count: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Draw points from a proposal, and return them with the logs of their weights."""
    points = proposal.draw(count, rng)
    parts = np.array_split(points, -(-count // AT_ONCE))
    densities = np.concatenate([proposal.log_density(terms(part)) for part in parts])
    return points, finite(surface(points)) - densities


def _brought(
    surface: Surface,
    first: Proposal,
    spreads: NDArray[np.int64],
    enough: float,
    rng: np.random.Generator,
) -> Proposal:
    """Bring over the proposal of a similar distribution.

    It serves as it is; or what it was made from is made anew about the mode that is here: nodes, or a
    fitted mixture by moving it.
    """
    _, logs = _weighed(surface, first.normals, PILOT, rng)
    if effective_draws(logs) > enough * PILOT:
        return first
    now = climb(surface, first.summit.at, first.summit.root)
    if now is None:
        return first
    if len(spreads) and not first.is_adapted:
        return Proposal(nested(surface, [now], spreads), now, is_adapted=False)
    return first.moved(now)


def _misses_a_mode(
    surface: Surface,
    start: Array,
    proposal: Proposal,
    evidence: float,
    rng: np.random.Generator,
) -> bool:
    """Look for a mode that counts and that a proposal made for another distribution does not reach."""
    summit = proposal.summit
    best = next(starts(surface, start, rng))
    mode = climb(surface, best, summit.root, known=summit)
    if (
        mode is None
        or mode is summit
        or mode.log_mass + 0.5 * len(start) * np.log(2 * np.pi) < evidence - FAR_BELOW
    ):
        return False
    weight = mode.log_density - float(proposal.normals.log_density(terms(mode.at[None]))[0])
    return weight - evidence > OUT_OF_REACH


def _cholesky(mode: Mode) -> Array:
    """Return the root of a mode's covariance that is lower triangular, of which there is but one."""
    found: Array = np.linalg.cholesky(mode.root @ mode.root.T)
    return found


def _adapted(
    surface: Surface, begun: Proposal, enough: float, effort: Effort, rng: np.random.Generator
) -> Proposal:
    """Fit a proposal to the posterior by rounds of importance sampling, until enough is effective.

    The draws of all rounds count, weighed as from the mixture of all their proposals. Of these the two
    that would serve best for all the draws so far are joined. If the first is good enough it is returned.
    """
    first = begun.normals
    size = first.means.shape[1]
    proposals, fitted = [first], None
    points, heights, table = np.empty((0, size)), np.empty(0), terms(np.empty((0, size)))
    densities = np.empty((0, 0))
    for _ in range(effort.rounds):
        new = proposals[-1].draw(effort.draws, rng)
        points, table = np.concatenate([points, new]), np.concatenate([table, terms(new)])
        heights = np.concatenate([heights, finite(surface(new))])
        # Of old points under the newest proposal, and of new points under all.
        own = np.stack([one.log_density(table[-effort.draws :]) for one in proposals])
        newest = proposals[-1].log_density(table[: -effort.draws])[None]
        before = np.concatenate([densities, newest])
        densities = np.concatenate([before, own], axis=1)
        logs = heights - logsumexp(densities, axis=0)
        if effective_draws(heights[-effort.draws :] - own[-1]) > enough * effort.draws:
            if fitted is None:
                return begun
            break
        top = (
            np.argpartition(logs, -effort.kept)[-effort.kept :]
            if len(logs) > effort.kept
            else np.arange(len(logs))
        )
        weights = flattened(logs[top], POINTS_EACH * size)
        if fitted is None:
            fitted = scattered(points[top], weights, effort.components, rng)
        for _ in range(FIT_STEPS):
            fitted = fitted.improved(table[top], weights, 2.0 * size)
        proposals.append(fitted)
    shares = np.exp(logs - logsumexp(logs))
    # E_q[w]²/E_q[w²] by the draws of all rounds: 1/E_p[p/q].
    worse = logsumexp(heights - densities, b=shares, axis=1)
    best = np.argsort(worse)[:2]
    parts = ((share, proposals[at]) for share, at in zip(BEST_TWO, best, strict=True))
    return Proposal(union(*parts), begun.summit, is_adapted=True)


def flattened(logs: Array, least: float) -> Array:
    """Return weights, raised to a power at which as many as wanted are effective, adding up to 1."""
    power = 1.0
    while effective_draws(power * logs) < least and power > 1e-3:
        power *= 0.8
    weights: Array = np.exp(power * logs - logsumexp(power * logs))
    return weights
