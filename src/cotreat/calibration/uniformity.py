"""Whether ranks are uniform: simultaneous bands of their distribution function, and a p-value.

Säilynoja, Bürkner & Vehtari, Stat Comput 2022;32:32. At each of the points (j + 1)/(L + 1) the number of
ranks up to j is binomial where ranks are uniform on 0, …, L. The statistic is the least two-sided
probability over all points, and its distribution is simulated.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr

SIMULATIONS = 20_000
"""Sets of uniform ranks: p-values down to 5e-5."""
AT_ONCE = 1_000


@dataclass(frozen=True)
class Uniformity:
    """What ranks are judged by, for a number of them and of the draws that each is among.

    Attributes
    ----------
    count : int
        Ranks in a set.
    draws : int
        Draws that each was found among: ranks run from 0 to that.
    tails : ndarray, shape (count + 1, draws)
        Two-sided probability of so many ranks up to a point.
    simulated : ndarray, shape (simulation,)
        The statistic of sets of uniform ranks, sorted.
    """

    count: int
    draws: int
    tails: NDArray[np.float64]
    simulated: NDArray[np.float64]

    @classmethod
    def of(cls, count: int, draws: int, seed: int = 1) -> "Uniformity":
        """Simulate sets of uniform ranks."""
        points = (np.arange(draws) + 1) / (draws + 1)
        reached = np.arange(count + 1)[:, None]
        below = bdtr(reached, count, points)
        above = 1 - np.where(reached > 0, bdtr(np.maximum(reached - 1, 0), count, points), 0.0)
        tails = np.minimum(1.0, 2 * np.minimum(below, above))
        rng = np.random.default_rng(seed)
        parts = [
            _statistics(rng.multinomial(count, np.full(draws + 1, 1 / (draws + 1)), AT_ONCE), tails)
            for _ in range(SIMULATIONS // AT_ONCE)
        ]
        return cls(count, draws, tails, np.sort(np.concatenate(parts)))

    def p_value(self, ranks: NDArray[np.int64]) -> float:
        """Return the probability that uniform ranks are at least as far from uniform, shape (count,) given."""
        counts = np.bincount(ranks, minlength=self.draws + 1)[None]
        found = float(_statistics(counts, self.tails)[0])
        nearer = np.searchsorted(self.simulated, found, side="right")
        return float((1 + nearer) / (1 + len(self.simulated)))

    def band(self, level: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the shares of ranks up to each point between which all lie with a probability of `level`."""
        least = np.quantile(self.simulated, 1 - level)
        inside = self.tails >= least
        lower = inside.argmax(0) / self.count
        upper = (self.count - inside[::-1].argmax(0)) / self.count
        return lower, upper


def p_value_by_arviz(ranks: NDArray[np.int64], draws: int, seed: int = 1) -> float:
    """Return the p-value of ArviZ's test of uniform ranks, beside the exact one of `Uniformity`.

    Parameters
    ----------
    ranks
        From 0 to `draws`; each is spread evenly over its step, since the test is of continuous values.

    Notes
    -----
    The pointwise order-based test combined by Cauchy (Tesso et al. 2026, arXiv:2603.02928). It is approximate: it
    rejects uniform ranks somewhat more often than its level says.
    """
    from arviz_stats.base import array_stats

    values = (ranks + np.random.default_rng(seed).uniform(size=len(ranks))) / (draws + 1)
    return float(array_stats.uniformity_test(values)[0])


def _statistics(counts: NDArray[np.int64], tails: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the least probability over all points, of counts by rank, shape (set, draws + 1)."""
    reached = np.cumsum(counts, axis=1)[:, :-1]
    found: NDArray[np.float64] = tails[reached, np.arange(tails.shape[1])].min(1)
    return found


def holm(p_values: Sequence[float], level: float) -> NDArray[np.bool_]:
    """Tell which hypotheses stand at a family-wise level (Holm, Scand J Stat 1979;6:65).

    Returns
    -------
    ndarray of bool
        True where the hypothesis is not rejected, in the order of `p_values`.
    """
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p)
    is_small = p[order] <= level / (len(p) - np.arange(len(p)))
    first = len(p) if is_small.all() else int(np.argmin(is_small))
    stands = np.ones(len(p), dtype=bool)
    stands[order[:first]] = False
    return stands
