"""Approximate posteriors by Laplace's method, corrected by adaptive importance sampling.

Newton's method finds the modes. If the model has spreads (standard deviations), on which the shape of the
conditional posterior depends, the other coordinates are re-centred at several values of each spread (nested
Laplace: Rue, Martino & Chopin, J R Stat Soc B 2009;71:319). The resulting normals are the first proposal. A
few rounds of importance sampling adapt it to the posterior (adaptive multiple importance sampling: Cornuet et
al., Scand J Stat 2012;39:798). Fresh draws from the adapted proposal receive Pareto-smoothed weights, whose k
measures their reliability (Vehtari et al., J Mach Learn Res 2024;25:72).
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from cotreat.core.constants import GOOD_K, UNRELIABLE_K, VERDICTS
from cotreat.inference import tempering
from cotreat.inference.gaussian_mixture import Normals, scattered, terms, union
from cotreat.inference.modes import (
    FAR_BELOW,
    Array,
    Mode,
    Search,
    Surface,
    climb,
    climb_all,
    find_modes,
    finite,
    starts,
)
from cotreat.inference.nested_laplace import nested

GOOD, BORDERLINE, UNRELIABLE = VERDICTS
ENOUGH, EACH_WANTED = 0.5, 1.25e-4
"""Share of a round's draws that must be effective for adaptation to stop, and the same per wanted effective
draw, which applies if it is smaller."""
OUT_OF_REACH = 8.0
"""A proposal misses a mode if the log weight of a draw there exceeds the log mean weight by more than this."""
WIDER = 1.5
"""Factor of the covariances of a proposal whose weights are not good: its tails are too light."""
CLIMBS = 12
"""Largest number of particles of sequential Monte Carlo from which modes are searched that a proposal misses."""
ENOUGH_TRANSFERRED = 0.05
"""Share of effective draws required of a transferred proposal, because more draws cost less than adapting."""
PILOT = 500
"""Number of draws that decide whether the proposal of another distribution is used unchanged."""
HOPELESS = 0.25
"""Sampling from a transferred proposal stops if its share of effective draws falls below this multiple of the
required share: its tails are too light, which only many draws show."""
POINTS_EACH = 20
"""Effective draws per coordinate to which weights are tempered before a mixture is fitted."""
FIT_STEPS = 3
BEST_TWO = (0.7, 0.3)
"""Weights of the best and second-best proposals in the final one, because either may cover what the other
misses."""
MOST_DRAWS = 64_000
AT_ONCE = 4000
"""Number of points whose terms are computed together, because terms take much memory."""
FEWEST_EFFECTIVE = 100
"""With fewer effective draws the standard error of a log evidence exceeds 0.1, whatever the Pareto k."""


@dataclass(frozen=True)
class Effort:
    """Set the computing effort of adapting a proposal.

    Attributes
    ----------
    draws : int
        Draws per round.
    rounds : int
        Largest number of rounds.
    components : int
        Number of components of the mixture.
    kept : int
        Number of draws to which the mixture is fitted: those of the highest weights.
    """

    draws: int
    rounds: int
    components: int
    kept: int


USUAL = Effort(draws=4000, rounds=14, components=8, kept=6000)


@dataclass(frozen=True)
class Proposal:
    """Represent the proposal distribution of importance sampling.

    Attributes
    ----------
    normals : Normals
        The mixture from which points are drawn.
    summit : Mode
        The mode of largest mass, for which `normals` were last constructed.
    is_adapted : bool
        Whether `normals` were fitted to draws, and not only constructed from modes and nodes.
    """

    normals: Normals
    summit: Mode
    is_adapted: bool

    @classmethod
    def of(cls, normals: Normals) -> "Proposal":
        """Return the proposal of a mixture that was fitted to draws elsewhere.

        Parameters
        ----------
        normals
            The mixture; its mean and covariance serve as mode and root.

        Returns
        -------
        Proposal
            An adapted proposal.
        """
        mean = normals.weights @ normals.means
        off = normals.means - mean
        inner = np.einsum("k,kij->ij", normals.weights, normals.covariances)
        root = np.linalg.cholesky(inner + (normals.weights[:, None] * off).T @ off)
        return cls(normals, Mode(mean, root, np.nan), is_adapted=True)

    def moved(self, summit: Mode) -> "Proposal":
        """Return the proposal moved and rescaled to another mode.

        Parameters
        ----------
        summit
            The mode of the other distribution.

        Returns
        -------
        Proposal
            The proposal at the other mode.
        """
        turn = _cholesky(summit) @ np.linalg.inv(_cholesky(self.summit))
        normals = self.normals.moved(self.summit.at, summit.at, turn)
        return Proposal(normals, summit, self.is_adapted)


@dataclass(frozen=True)
class Approximation:
    """Record weighted draws from a posterior.

    Attributes
    ----------
    points : ndarray, shape (draw, size)
        Draws in standardised coordinates.
    weights : ndarray, shape (draw,)
        Pareto-smoothed weights, which sum to 1.
    pareto_k : float
        Shape of the tail of the weights; infinite if no generalised Pareto distribution can be fitted.
    effective : float
        Effective sample size 1/Σw² (Kong, Liu & Wong, J Am Stat Assoc 1994;89:278).
    log_evidence : float
        Log marginal likelihood from the smoothed weights.
    modes : int
        Number of modes found; 0 if sampling started from the proposal of a similar distribution.
    is_searched : bool
        Whether the search for modes is complete: there is one mode, or each mode was reached from several
        starting points. Otherwise further modes are likely (Good, Biometrika 1953;40:237), and weights cannot
        reveal them. True if sampling started from the proposal of a similar distribution, whose own search
        applies.
    proposal : Proposal
        The proposal from which `points` were drawn.
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
        """``good``, ``borderline`` or ``unreliable``, by Pareto k, effective draws and search for modes."""
        is_known = self.is_searched and self.effective >= FEWEST_EFFECTIVE
        return verdict(self.pareto_k) if is_known else UNRELIABLE

    @property
    def log_error(self) -> float:
        """Monte Carlo standard error of the log evidence: the relative standard error of the mean weight."""
        return float(np.sqrt(max(1 / self.effective - 1 / len(self.weights), 0.0)))

    def resampled(self, chains: int, draws: int, rng: np.random.Generator) -> Array:
        """Return draws of equal weight by systematic resampling, in random order.

        Chains are resampled from disjoint sets of points, so that differences between chains measure the
        Monte Carlo error.

        Parameters
        ----------
        chains
            Number of chains.
        draws
            Number of draws per chain.
        rng
            Random number generator.

        Returns
        -------
        ndarray, shape (chain, draw, size)
            Resampled points.
        """
        return np.stack([self._chain(at, chains, draws, rng) for at in range(chains)])

    def _chain(self, chain: int, chains: int, draws: int, rng: np.random.Generator) -> Array:
        """Return one chain of systematically resampled points from every `chains`-th point."""
        points, weights = self.points[chain::chains], self.weights[chain::chains]
        ends = np.cumsum(weights / weights.sum())
        places = (np.arange(draws) + rng.random()) / draws
        at = np.minimum(np.searchsorted(ends, places), len(ends) - 1)
        return points[rng.permutation(at)]


def verdict(pareto_k: float) -> str:
    """Classify a Pareto k as ``good``, ``borderline`` or ``unreliable``.

    Parameters
    ----------
    pareto_k
        Shape of the tail of importance weights.

    Returns
    -------
    str
        One of `VERDICTS`.

    Notes
    -----
    Thresholds `GOOD_K` and `UNRELIABLE_K`: Vehtari et al., J Mach Learn Res 2024;25:72.
    """
    return GOOD if pareto_k < GOOD_K else BORDERLINE if pareto_k < UNRELIABLE_K else UNRELIABLE


def must_repeat(found: Approximation, search: Search | None) -> bool:
    """Return whether a fit must be repeated by another method.

    Parameters
    ----------
    found
        The approximation.
    search
        The independent search for its modes; None where none was needed.

    Returns
    -------
    bool
        True for an unreliable fit, and where modes had to be searched for any fit that is not good.
    """
    return found.verdict == UNRELIABLE or (search is not None and found.verdict != GOOD)


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
    search: Search | None = None,
) -> Approximation:
    """Approximate a distribution from its log density by adaptive importance sampling.

    Parameters
    ----------
    surface
        Log density, normalised or not, in coordinates of order 1.
    start
        Starting point of the search for modes, shape (size,).
    spreads
        Indices of the coordinates that are standard deviations of other coordinates.
    effective
        Target effective sample size; the result may have fewer effective draws.
    seed
        Seed of the random numbers.
    first
        Proposal of a similar distribution. It replaces the search for modes and is used unchanged or moved to
        the mode of this distribution. If it misses a mode, modes are searched for nevertheless, unless
        `effective` is 0.
    enough
        Share of a round's draws that must be effective for adaptation to stop; by default `ENOUGH`, or less
        if few draws are wanted, and `ENOUGH_TRANSFERRED` with `first`.
    most
        Largest number of draws.
    effort
        Computing effort of the adaptation. `USUAL` is used if the search for modes is incomplete, because more
        effort does not help then.
    search
        Independent search, for posteriors that may have several modes; with `first` only where that misses a
        mode. The search for modes is complete only if it finds no mass that the proposal misses.

    Returns
    -------
    Approximation
        Weighted draws with their Pareto k, effective sample size and log marginal likelihood.

    Raises
    ------
    ValueError
        If the log density is not finite near any starting point.

    Notes
    -----
    Cornuet et al., Scand J Stat 2012;39:798; Vehtari et al., J Mach Learn Res 2024;25:72.
    """
    rng = np.random.default_rng(seed)
    sampling = _Sampling(surface, start, spreads, effective, most, rng)
    if first is not None:
        share = ENOUGH_TRANSFERRED if enough is None else enough
        found = sampling.transferred(first, share, effort)
        if not (effective > 0 and sampling.misses_a_mode(found)):
            return found
    share = min(ENOUGH, EACH_WANTED * effective) if enough is None else enough
    found = sampling.searched(share, effort, search)
    return found if search is None else sampling.confirmed(found, search, share, effort)


@dataclass(frozen=True)
class _Sampling:
    """Importance sampling of one density, from proposals of several origins."""

    surface: Surface
    start: Array
    spreads: NDArray[np.int64]
    effective: float
    most: int
    rng: np.random.Generator

    def searched(self, enough: float, effort: Effort, search: Search | None) -> Approximation:
        """Sample from a proposal that is adapted from the modes of the density."""
        modes, is_searched = find_modes(self.surface, self.start, self.rng, search)
        effort = effort if is_searched else USUAL
        normals = nested(self.surface, modes, self.spreads)
        initial = Proposal(normals, modes[0], is_adapted=False)
        proposal = _adapted(self.surface, initial, enough, effort, self.rng)
        points, logs = self._enlarged(proposal, *self._drawn(proposal, effort.draws), effort)
        return self._weighted(points, logs, proposal, len(modes), is_searched)

    def transferred(self, first: Proposal, enough: float, effort: Effort) -> Approximation:
        """Sample from the proposal of a similar distribution, adapted where it does not suffice."""
        proposal = self._moved(first, enough)
        points, logs = self._drawn(proposal, effort.draws)
        if effective_draws(logs) < enough * effort.draws:
            proposal = _adapted(self.surface, proposal, enough, effort, self.rng)
            points, logs = self._drawn(proposal, effort.draws)
        points, logs = self._enlarged(proposal, points, logs, effort, HOPELESS * enough)
        return self._weighted(points, logs, proposal, 0, is_searched=True)

    def confirmed(
        self, found: Approximation, search: Search, enough: float, effort: Effort
    ) -> Approximation:
        """Compare with sequential Monte Carlo where the starts are not known to reach every mode.

        Modes of relevant mass that the proposal misses are added to it.
        """
        if verdict(found.pareto_k) != GOOD:
            found = self._improved(found, effort)
        if search.is_complete and found.is_searched:
            return found
        particles = tempering.search(self.surface, self.start, search.widths, self.rng)
        missed = self._missed(particles, found, search)
        if not missed:
            return replace(found, is_searched=True)
        more = nested(self.surface, missed, self.spreads)
        both = union((0.5, more), (0.5, found.proposal.normals))
        again = self.transferred(Proposal.of(both), enough, effort)
        is_searched = not self._missed(particles, again, search)
        return replace(again, modes=found.modes + len(missed), is_searched=is_searched)

    def _missed(
        self, particles: tempering.Particles, found: Approximation, search: Search
    ) -> list[Mode]:
        """Return the modes near particles of large weight, of relevant mass, that the proposal misses."""
        excess = particles.heights - found.proposal.normals.log_density(terms(particles.points))
        far = np.flatnonzero(excess - found.log_evidence > OUT_OF_REACH)
        if not len(far):
            return []
        some = self.rng.permutation(far)[:CLIMBS]
        modes = climb_all(self.surface, particles.points[some], search.held)
        return [mode for mode in modes if mode is not None and self._is_missed(mode, found)]

    def _is_missed(self, mode: Mode, found: Approximation) -> bool:
        """Return whether a mode has relevant mass and the proposal misses it."""
        constant = 0.5 * len(mode.at) * np.log(2 * np.pi)
        if mode.log_mass + constant < found.log_evidence - FAR_BELOW:
            return False
        density = float(found.proposal.normals.log_density(terms(mode.at[None]))[0])
        return mode.log_density - density - found.log_evidence > OUT_OF_REACH

    def _improved(self, found: Approximation, effort: Effort) -> Approximation:
        """Draw again from a wider mixture that is also fitted to the weighted draws; keep the better result."""
        count = min(len(found.points), effort.kept)
        chosen = self.rng.choice(len(found.points), count, p=found.weights)
        fitted = tempering.mixture(found.points[chosen], self.rng)
        both = union((0.5, fitted), (0.5, found.proposal.normals))
        proposal = Proposal.of(replace(both, covariances=WIDER * both.covariances))
        points, logs = self._enlarged(proposal, *self._drawn(proposal, effort.draws), effort)
        again = self._weighted(points, logs, proposal, found.modes, found.is_searched)
        return again if again.pareto_k < found.pareto_k else found

    def misses_a_mode(self, found: Approximation) -> bool:
        """Return whether a transferred proposal misses a mode of relevant mass."""
        summit = found.proposal.summit
        best = next(starts(self.surface, self.start, self.rng))
        mode = climb(self.surface, best, summit.root, known_mode=summit)
        return mode is not None and mode is not summit and self._is_missed(mode, found)

    def _moved(self, first: Proposal, enough: float) -> Proposal:
        """Return a proposal unchanged if enough of its draws are effective, otherwise moved to the mode.

        Its nodes are recomputed at the mode of this distribution, or its fitted mixture is moved there.
        """
        _, logs = self._drawn(first, PILOT)
        if effective_draws(logs) > enough * PILOT:
            return first
        now = climb(self.surface, first.summit.at, first.summit.root)
        if now is None:
            return first
        if len(self.spreads) and not first.is_adapted:
            return Proposal(nested(self.surface, [now], self.spreads), now, is_adapted=False)
        return first.moved(now)

    def _drawn(self, proposal: Proposal, count: int) -> tuple[Array, Array]:
        """Draw points from a proposal and return them with their log weights."""
        return _weighted_draws(self.surface, proposal.normals, count, self.rng)

    def _enlarged(
        self, proposal: Proposal, points: Array, logs: Array, effort: Effort, hopeless: float = 0.0
    ) -> tuple[Array, Array]:
        """Add draws until enough are effective, there are `most`, or their share is hopeless."""
        while (reached := effective_draws(logs)) < self.effective and len(points) < self.most:
            if reached < hopeless * len(points):
                break
            more = int(1.2 * len(points) * (self.effective / reached - 1)) + effort.draws // 4
            others, other_logs = self._drawn(proposal, min(more, self.most - len(points)))
            points, logs = np.concatenate([points, others]), np.concatenate([logs, other_logs])
        return points, logs

    def _weighted(
        self, points: Array, logs: Array, proposal: Proposal, modes: int, is_searched: bool
    ) -> Approximation:
        """Smooth the weights of draws from a proposal."""
        weights, k = smoothed(logs)
        effective, evidence = 1 / float(np.sum(weights**2)), _log_mean(logs, weights)
        return Approximation(points, weights, k, effective, evidence, modes, is_searched, proposal)


def smoothed(logs: Array) -> tuple[Array, float]:
    """Smooth the tail of importance weights by a generalised Pareto distribution.

    Parameters
    ----------
    logs
        Log weights, shape (draw,).

    Returns
    -------
    weights : ndarray, shape (draw,)
        Smoothed weights, which sum to 1.
    pareto_k : float
        Shape of the fitted distribution; infinite if it cannot be fitted.

    Notes
    -----
    Vehtari et al., J Mach Learn Res 2024;25:72.
    """
    from arviz_stats.base import array_stats

    # ArviZ takes log likelihoods of an omitted observation, whose log weights are their negatives.
    log_weights, k = array_stats.psislw(-logs)
    weights = np.exp(np.asarray(log_weights) - logsumexp(log_weights))
    return weights, float(k) if np.isfinite(k) else np.inf


def _log_mean(logs: Array, weights: Array) -> float:
    """Return the log mean of the smoothed weights before their normalisation.

    Smoothing changes the tail only, so that the median weight yields the normalising constant.
    """
    middle = np.argpartition(logs, len(logs) // 2)[len(logs) // 2]
    return float(logs[middle] - np.log(weights[middle]) - np.log(len(logs)))


def effective_draws(logs: Array) -> float:
    """Return the effective sample size (Σw)²/Σw² of importance weights.

    Parameters
    ----------
    logs
        Log weights, shape (draw,).

    Returns
    -------
    float
        Effective sample size.

    Notes
    -----
    Kong, Liu & Wong, J Am Stat Assoc 1994;89:278.
    """
    return float(np.exp(2 * logsumexp(logs) - logsumexp(2 * logs)))


# --- Importance sampling ---------------------------------------------------------------------------


def _weighted_draws(
    surface: Surface, proposal: Normals, count: int, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Draw points from a proposal and return them with their log weights."""
    points = proposal.draw(count, rng)
    parts = np.array_split(points, -(-count // AT_ONCE))
    densities = np.concatenate([proposal.log_density(terms(part)) for part in parts])
    return points, finite(surface(points)) - densities


def _cholesky(mode: Mode) -> Array:
    """Return the lower Cholesky factor of a mode's covariance."""
    return np.linalg.cholesky(mode.root @ mode.root.T)


def _adapted(
    surface: Surface, initial: Proposal, enough: float, effort: Effort, rng: np.random.Generator
) -> Proposal:
    """Adapt a proposal to the posterior in rounds of importance sampling until enough draws are effective.

    The draws of all rounds are weighted as draws from the mixture of all proposals. The result combines the
    two proposals of largest expected effective sample size. If the first proposal suffices, it is returned.
    """
    first = initial.normals
    size = first.means.shape[1]
    proposals, fitted = [first], None
    points, heights, table = np.empty((0, size)), np.empty(0), terms(np.empty((0, size)))
    densities = np.empty((0, 0))
    for _ in range(effort.rounds):
        new = proposals[-1].draw(effort.draws, rng)
        points, table = np.concatenate([points, new]), np.concatenate([table, terms(new)])
        heights = np.concatenate([heights, finite(surface(new))])
        # Log densities of old points under the newest proposal, and of new points under all proposals.
        recent = np.stack([proposal.log_density(table[-effort.draws :]) for proposal in proposals])
        newest = proposals[-1].log_density(table[: -effort.draws])[None]
        before = np.concatenate([densities, newest])
        densities = np.concatenate([before, recent], axis=1)
        logs = heights - logsumexp(densities, axis=0)
        if effective_draws(heights[-effort.draws :] - recent[-1]) > enough * effort.draws:
            if fitted is None:
                return initial
            break
        top = (
            np.argpartition(logs, -effort.kept)[-effort.kept :]
            if len(logs) > effort.kept
            else np.arange(len(logs))
        )
        weights = tempered_weights(logs[top], POINTS_EACH * size)
        if fitted is None:
            fitted = scattered(points[top], weights, effort.components, rng)
        for _ in range(FIT_STEPS):
            fitted = fitted.improved(table[top], weights, 2.0 * size)
        proposals.append(fitted)
    shares = np.exp(logs - logsumexp(logs))
    # Relative effective sample size E_q[w]²/E_q[w²] = 1/E_p[p/q], estimated from the draws of all rounds.
    worse = logsumexp(heights - densities, b=shares, axis=1)
    best = np.argsort(worse)[:2]
    parts = ((share, proposals[at]) for share, at in zip(BEST_TWO, best, strict=True))
    return Proposal(union(*parts), initial.summit, is_adapted=True)


def tempered_weights(logs: Array, least: float) -> Array:
    """Return weights tempered to a minimum effective sample size.

    Parameters
    ----------
    logs
        Log weights, shape (draw,).
    least
        Smallest effective sample size; the power of the weights is reduced until it is reached.

    Returns
    -------
    ndarray, shape (draw,)
        Tempered weights, which sum to 1.
    """
    power = 1.0
    while effective_draws(power * logs) < least and power > 1e-3:
        power *= 0.8
    return np.exp(power * logs - logsumexp(power * logs))
