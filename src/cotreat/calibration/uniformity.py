"""Uniformity of ranks: simultaneous bands of their distribution function, and p-values.

Säilynoja, Bürkner & Vehtari, Stat Comput 2022;32:32. At each point (j + 1)/(L + 1) the number of ranks up
to j is binomial if ranks are uniform on 0, …, L. The statistic is the smallest two-sided probability over
all points; its distribution is simulated.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr

SIMULATIONS = 20_000
"""Sets of uniform ranks: p-values down to 5e-5."""
BLOCK = 1_000
"""Sets simulated at once."""


@dataclass(frozen=True)
class Uniformity:
    """Reference distribution of the statistic, for a number of ranks and of draws.

    Attributes
    ----------
    count : int
        Ranks in a set.
    draws : int
        Draws of each posterior: ranks run from 0 to this number.
    tails : ndarray, shape (count + 1, draws)
        Two-sided probability of each number of ranks up to each point.
    simulated : ndarray, shape (simulation,)
        Statistics of sets of uniform ranks, sorted.
    """

    count: int
    draws: int
    tails: NDArray[np.float64]
    simulated: NDArray[np.float64]

    @classmethod
    def of(cls, count: int, draws: int, seed: int = 1) -> "Uniformity":
        """Simulate sets of uniform ranks.

        Parameters
        ----------
        count
            Ranks in a set.
        draws
            Draws of each posterior.
        seed
            Random seed of the simulation.

        Returns
        -------
        Uniformity
        """
        points = (np.arange(draws) + 1) / (draws + 1)
        reached = np.arange(count + 1)[:, None]
        below = bdtr(reached, count, points)
        above = 1 - np.where(reached > 0, bdtr(np.maximum(reached - 1, 0), count, points), 0.0)
        tails = np.minimum(1.0, 2 * np.minimum(below, above))
        rng = np.random.default_rng(seed)
        blocks = [
            _statistics(rng.multinomial(count, np.full(draws + 1, 1 / (draws + 1)), BLOCK), tails)
            for _ in range(SIMULATIONS // BLOCK)
        ]
        return cls(count, draws, tails, np.sort(np.concatenate(blocks)))

    def p_value(self, ranks: NDArray[np.int64]) -> float:
        """Return the p-value of ranks, shape (count,), under uniformity.

        Parameters
        ----------
        ranks
            Shape (count,), from 0 to `draws`.

        Returns
        -------
        float
            At least 1 / (1 + `SIMULATIONS`).
        """
        counts = np.bincount(ranks, minlength=self.draws + 1)[None]
        statistic = float(_statistics(counts, self.tails)[0])
        extreme = np.searchsorted(self.simulated, statistic, side="right")
        return float((1 + extreme) / (1 + len(self.simulated)))

    def band(self, level: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the simultaneous band at a level: lowest and highest share of ranks up to each point.

        Parameters
        ----------
        level
            Probability that a set of uniform ranks lies within the band at all points.

        Returns
        -------
        tuple of ndarray, shape (draws,)
            Lower and upper limits.
        """
        inside = self.tails >= np.quantile(self.simulated, 1 - level)
        lower = inside.argmax(0) / self.count
        upper = (self.count - inside[::-1].argmax(0)) / self.count
        return lower, upper


def _statistics(counts: NDArray[np.int64], tails: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the smallest probability over all points, of counts by rank, shape (set, draws + 1)."""
    reached = np.cumsum(counts, axis=1)[:, :-1]
    return tails[reached, np.arange(tails.shape[1])].min(1)


def holm(p_values: Sequence[float], level: float) -> NDArray[np.bool_]:
    """Return which hypotheses are not rejected at a family-wise level.

    Parameters
    ----------
    p_values
        One for each hypothesis.
    level
        Family-wise level.

    Returns
    -------
    ndarray of bool
        In the order of `p_values`. Holm, Scand J Stat 1979;6:65.
    """
    from statsmodels.stats.multitest import multipletests

    is_rejected, *_ = multipletests(p_values, level, "holm")
    return ~is_rejected
