"""Find the modes of a log density by Newton's method from several starting points.

Derivatives are finite differences of the log density over about one standard deviation. For the tacrolimus
cohort a Hessian took 17 s to compile and the density itself 2 s; importance weights correct the inexact
proposal.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Surface = Callable[[Array], Array]
"""A log density, which maps points (point, size) to values (point,)."""

SCATTERED, BEST, MOST_STARTS, IN_VAIN = 2048, 256, 24, 5
"""Number of points scattered around the centre of the prior, of those with the highest density that are kept,
of starting points chosen far apart among them, and of further starts that must lead to the same mode before
the search ends. With several modes, every starting point is used."""
REACH = 0.5
"""Step of the finite differences, in standard deviations."""
STEEPEST, FLATTEST = 1e4, 0.1
"""Bounds of the curvature in one step, relative to the previous estimate."""
LONGEST = 3.0
"""Largest root mean square step per coordinate, in standard deviations of the previous estimate."""
MOST_STEPS = 60
SETTLED = 0.15
"""The search ends if the next step is shorter than this, in standard deviations: differences over half a
standard deviation do not locate the mode of a skewed density more precisely."""
SHORT = 0.5
"""A full Newton step no longer than this at negative curvature is the last one, because the remaining distance
is of the order of its square."""
TRIES = np.array([1.0, 0.5, 0.25, 0.1, 0.03, 0.0])
FAR_BELOW = 8.0
"""A mode is dropped if its log mass is lower than that of the largest mode by more than this."""


class Mode(NamedTuple):
    """Represent a mode of a log density.

    Attributes
    ----------
    at : ndarray, shape (size,)
        Location.
    root : ndarray, shape (size, direction)
        Square root of the covariance that the curvature implies.
    log_density : float
        Log density at the mode.
    """

    at: Array
    root: Array
    log_density: float

    @property
    def log_mass(self) -> float:
        """Log integral of the normal of this height and covariance, up to a constant."""
        return self.log_density + float(np.linalg.slogdet(self.root)[1])


def find_modes(surface: Surface, start: Array, rng: np.random.Generator) -> tuple[list[Mode], bool]:
    """Find the modes of relevant mass from several starting points.

    Parameters
    ----------
    surface
        Log density.
    start
        First starting point, shape (size,).
    rng
        Random number generator of the other starting points.

    Returns
    -------
    modes : list of Mode
        Distinct modes, the one of largest mass first.
    is_searched : bool
        Whether there is one mode, or each mode was reached more than once.

    Raises
    ------
    ValueError
        If the log density is not finite near any starting point.
    """
    modes: list[Mode] = []
    times: list[int] = []
    for at in (start, *starts(surface, start, rng)):
        mode = climb(surface, at, np.eye(len(start)) / 2)
        if mode is None or _is_far_below(mode, modes):
            continue
        same = next((i for i, other in enumerate(modes) if _is_near(mode.at, other)), None)
        if same is None:
            modes.append(mode)
            times.append(1)
        else:
            times[same] += 1
        if times == [IN_VAIN + 1]:
            break
    if not modes:
        raise ValueError("the log density is not finite near any starting point")
    counts = [(m, n) for m, n in zip(modes, times, strict=True) if not _is_far_below(m, modes)]
    counts = sorted(counts, key=lambda pair: -pair[0].log_mass)
    return [mode for mode, _ in counts], len(counts) == 1 or all(n > 1 for _, n in counts)


def starts(surface: Surface, start: Array, rng: np.random.Generator) -> Iterator[Array]:
    """Yield starting points of high density that are far apart.

    Parameters
    ----------
    surface
        Log density.
    start
        Centre of the scattered points, shape (size,).
    rng
        Random number generator.

    Yields
    ------
    ndarray, shape (size,)
        The point of highest density, and then repeatedly the point farthest from the previous ones.
    """
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


def _is_near(at: Array, mode: Mode) -> bool:
    """Return whether a point lies within one standard deviation of a mode."""
    return bool(np.linalg.norm(np.linalg.solve(mode.root, at - mode.at)) < 1)


def _is_far_below(mode: Mode, modes: list[Mode]) -> bool:
    """Return whether the mass of a mode is negligible relative to another one."""
    return any(mode.log_mass < other.log_mass - FAR_BELOW for other in modes)


def climb(
    surface: Surface, at: Array, root: Array, most: int = MOST_STEPS, known_mode: Mode | None = None
) -> Mode | None:
    """Find a mode by Newton's method along the columns of `root`.

    Parameters
    ----------
    surface
        Log density.
    at
        Starting point, shape (size,).
    root
        Directions of the steps, scaled to rough standard deviations, shape (size, direction).
    most
        Largest number of steps.
    known_mode
        A known mode, which is returned as soon as the path comes near it.

    Returns
    -------
    Mode or None
        The mode; None if the log density is not finite in a neighbourhood.
    """
    for _ in range(most):
        if known_mode is not None and _is_near(at, known_mode):
            return known_mode
        expansion = quadratic(surface, at, root)
        if expansion is None:
            return None
        root, (height, slope, bend) = expansion
        sizes, axes = np.linalg.eigh(-bend)
        sizes = np.clip(sizes, FLATTEST, STEEPEST)
        uphill = axes.T @ slope
        # Limit the step to the range of the finite differences, which are taken along the old root.
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
    """Return log density, gradient and Hessian by finite differences along the columns of a root.

    Parameters
    ----------
    surface
        Log density.
    at
        Point of expansion, shape (size,).
    root
        Directions of the differences, shape (size, direction).

    Returns
    -------
    root : ndarray, shape (size, direction)
        The directions, halved until all log densities are finite.
    derivatives : tuple
        Log density, gradient (direction,) and Hessian (direction, direction) in units of the columns of `root`.

    None is returned instead if 30 halvings do not suffice.
    """
    count = root.shape[1]
    row, column = np.triu_indices(count, 1)
    steps = REACH * np.eye(count)
    pairs = steps[row] + steps[column]
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
    both = doubles[: len(row)] + doubles[len(row) :]
    bend = np.zeros((count, count))
    off = both - up[row] - up[column] - down[row] - down[column] + 2 * middle
    bend[row, column] = bend[column, row] = off / (2 * REACH**2)
    bend[np.diag_indices(count)] = (up + down - 2 * middle) / REACH**2
    return root, (float(middle[0]), (up - down) / (2 * REACH), bend)


def finite(logs: Array) -> Array:
    """Replace log densities of impossible points by a finite value of negligible weight.

    Parameters
    ----------
    logs
        Log densities, shape (point,).

    Returns
    -------
    ndarray, shape (point,)
        Log densities, at least −1e9.
    """
    return np.maximum(logs, -1e9)
