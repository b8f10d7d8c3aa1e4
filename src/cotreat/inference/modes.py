"""Modes of a log density, by Newton's method from several places.

Derivatives are differences of the log density across about one standard deviation: of the tacrolimus
cohort a Hessian took 17 s to compile, the density itself two, and what a proposal lacks in exactness the
weights make up for.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Surface = Callable[[Array], Array]
"""A log density: of points (point, size) to (point,)."""

SCATTERED, BEST, MOST_STARTS, IN_VAIN = 2048, 256, 24, 5
"""Of so many places around the middle of the prior the best are kept, and of these those that lie far apart;
modes are looked for from one after the other: until so many more lead to the only mode there is, or, where
there are several, from all."""
REACH = 0.5
"""Steps of differences, in standard deviations."""
STEEPEST, FLATTEST = 1e4, 0.1
"""Curvatures, in units of the last guess, that are believed at once."""
LONGEST = 3.0
"""Steps are no longer than this for each coordinate (in squares), in standard deviations of the last guess."""
MOST_STEPS = 60
SETTLED = 0.15
"""A mode is found where the next step is shorter than this, in standard deviations: differences across half
of one do not tell it more nearly where the density is skew."""
SHORT = 0.5
"""A whole step no longer than this, downhill on all sides, needs no other to follow: what is left is its square."""
TRIES = np.array([1.0, 0.5, 0.25, 0.1, 0.03, 0.0])
FAR_BELOW = 8.0
"""A mode whose normal has a log mass so far below that of the heaviest one is left out."""


class Mode(NamedTuple):
    """A summit: where, a root of the covariance that the curvature implies, and how high."""

    at: Array
    root: Array
    log_density: float

    @property
    def log_mass(self) -> float:
        """Log of what a normal of that height and width integrates to, short of a constant."""
        return self.log_density + float(np.linalg.slogdet(self.root)[1])


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
    for at in (start, *starts(surface, start, rng)):
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


def starts(surface: Surface, start: Array, rng: np.random.Generator) -> Iterator[Array]:
    """Scatter points, and take of the best of them one far from all before after the other."""
    noise = rng.normal(size=(SCATTERED, len(start)))
    noise[1::2] *= 2
    around = start + noise
    around = around[np.argsort(-finite(surface(around)))[:BEST]]
    distance = np.full(BEST, np.inf)
    at = 0
    for _ in range(MOST_STARTS - 1):
        yield around[at]
        distance = np.minimum(distance, ((around - around[at]) ** 2).sum(1))
        at = int(distance.argmax())


def _are_same(mode: Mode, other: Mode) -> bool:
    return _is_near(mode.at, other)


def _is_near(at: Array, mode: Mode) -> bool:
    return bool(np.linalg.norm(np.linalg.solve(mode.root, at - mode.at)) < 1)


def _is_far_below(mode: Mode, found: list[Mode]) -> bool:
    return any(mode.log_mass < other.log_mass - FAR_BELOW for other in found)


def climb(
    surface: Surface, at: Array, root: Array, most: int = MOST_STEPS, known: Mode | None = None
) -> Mode | None:
    """Climb to a summit by Newton's method, along the columns of `root`.

    None where the log density is not finite around.

    Parameters
    ----------
    root
        Directions in which to move, as long as standard deviations may be, shape (size, direction).
    known
        A summit that is returned as soon as the way comes near it.
    """
    for _ in range(most):
        if known is not None and _is_near(at, known):
            return known
        seen = quadratic(surface, at, root)
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
        heights = surface(tries)
        best = int(np.argmax(heights))
        at = tries[best]
        if length < SHORT and best == 0 and sizes.min() > 0.5:
            return Mode(at, root, float(heights[best]))
    return Mode(at, root, float(surface(at[None])[0]))


def quadratic(
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


def finite(logs: Array) -> Array:
    """Give impossible points so small a weight that it is none, but one that can be reckoned with."""
    return np.maximum(logs, -1e9)
