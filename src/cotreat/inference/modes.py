"""Find the modes of a log density by Newton's method from several starting points.

Derivatives are finite differences of the log density over about one standard deviation. For the tacrolimus
cohort a Hessian took 17 s to compile and the density itself 2 s; importance weights correct the inexact
proposal.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
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
MOST_STEPS, HELD_STEPS = 60, 12
"""Largest numbers of steps: of a climb, and of the part in which some coordinates are held."""
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


Path = Generator[Array, Array, Mode | None]
"""A climb that yields points, receives their log densities, and returns the mode."""
Expansion = tuple[Array, tuple[float, Array, Array]] | None
"""Directions, and log density, gradient and Hessian along them; None where the density is not finite."""


@dataclass(frozen=True)
class Search:
    """Describe an independent search for modes, for posteriors that may have several.

    Attributes
    ----------
    starts : ndarray, shape (start, size)
        Further starting points.
    held : ndarray of int
        Coordinates given which the others have one mode; a climb first keeps them at their start.
    is_complete : bool
        Whether `starts` contain a point near every mode. Otherwise the modes are also searched by sequential
        Monte Carlo.
    widths : ndarray, shape (size,)
        Rough prior SDs of the coordinates, from which sequential Monte Carlo starts.
    """

    starts: Array
    held: NDArray[np.int64]
    is_complete: bool
    widths: Array


def find_modes(
    surface: Surface, start: Array, rng: np.random.Generator, search: Search | None = None
) -> tuple[list[Mode], bool]:
    """Find the modes of relevant mass from several starting points.

    Parameters
    ----------
    surface
        Log density.
    start
        First starting point, shape (size,).
    rng
        Random number generator of the other starting points.
    search
        Further starting points.

    Returns
    -------
    modes : list of Mode
        Distinct modes, the one of largest mass first.
    is_searched : bool
        Whether there is one mode, or each mode was reached more than once or from a complete search.

    Raises
    ------
    ValueError
        If the log density is not finite near any starting point.
    """
    modes: list[Mode] = []
    times: list[int] = []
    for mode, weight in _reached(surface, start, rng, search):
        if mode is None or _is_far_below(mode, modes):
            continue
        same = next((i for i, other in enumerate(modes) if _is_near(mode.at, other)), None)
        if same is None:
            modes.append(mode)
            times.append(weight)
        else:
            times[same] += weight
        if search is None and times == [IN_VAIN + 1]:
            break
    if not modes:
        raise ValueError("the log density is not finite near any starting point")
    counts = [(m, n) for m, n in zip(modes, times, strict=True) if not _is_far_below(m, modes)]
    counts = sorted(counts, key=lambda pair: -pair[0].log_mass)
    return [mode for mode, _ in counts], len(counts) == 1 or all(n > 1 for _, n in counts)


def _reached(
    surface: Surface, start: Array, rng: np.random.Generator, search: Search | None
) -> Iterator[tuple[Mode | None, int]]:
    """Yield the mode of each starting point, and how often it counts as reached."""
    if search is None:
        for at in (start, *starts(surface, start, rng)):
            yield climb(surface, at, np.eye(len(start)) / 2), 1
        return
    scattered = [start, *islice(starts(surface, start, rng), IN_VAIN)]
    points = np.concatenate([search.starts, scattered])
    # A solution of the equations needs no second start that leads to the same mode.
    weight = 2 if search.is_complete else 1
    for index, mode in enumerate(climb_all(surface, points, search.held)):
        yield mode, weight if index < len(search.starts) else 1


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
    return _evaluated(surface, [_path(at, root, most, known_mode)])[0]


def climb_all(surface: Surface, points: Array, held: NDArray[np.int64]) -> list[Mode | None]:
    """Find the mode that each of several starting points leads to, all at the same time.

    Each path first keeps some coordinates at their start, because the others have a single mode given these.

    Parameters
    ----------
    surface
        Log density.
    points
        Starting points, shape (start, size).
    held
        Indices of the coordinates that are kept at first.

    Returns
    -------
    list of Mode or None
        One per starting point; None if the log density is not finite in a neighbourhood.
    """
    size = points.shape[1]
    others = np.eye(size)[:, np.setdiff1d(np.arange(size), held)] / 2

    def path(at: Array) -> Path:
        given = yield from _path(at, others, HELD_STEPS)
        at = at if given is None else given.at
        return (yield from _path(at, np.eye(size) / 2, MOST_STEPS))

    return _evaluated(surface, [path(at) for at in points])


def _evaluated(surface: Surface, paths: Sequence[Path]) -> list[Mode | None]:
    """Evaluate the points that paths ask for, of all paths in one call, until each path ends."""
    ends: list[Mode | None] = [None] * len(paths)
    asked: dict[int, Array] = {}

    def advance(at: int, heights: Array | None) -> None:
        try:
            asked[at] = next(paths[at]) if heights is None else paths[at].send(heights)
        except StopIteration as end:
            ends[at] = end.value
            asked.pop(at, None)

    for at in range(len(paths)):
        advance(at, None)
    while asked:
        now = list(asked)
        bounds = np.cumsum([len(asked[at]) for at in now])[:-1]
        heights = np.split(surface(np.concatenate([asked[at] for at in now])), bounds)
        for at, values in zip(now, heights, strict=True):
            advance(at, values)
    return ends


def _path(at: Array, root: Array, most: int, known_mode: Mode | None = None) -> Path:
    """Climb by Newton's method; yield points, receive their log densities, and return the mode."""
    for _ in range(most):
        if known_mode is not None and _is_near(at, known_mode):
            return known_mode
        expansion = yield from _expansion(at, root)
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
        heights = yield tries
        best = int(np.argmax(heights))
        at = tries[best]
        if length < SHORT and best == 0 and sizes.min() > 0.5:
            return Mode(at, root, float(heights[best]))
    heights = yield at[None]
    return Mode(at, root, float(heights[0]))


def quadratic(surface: Surface, at: Array, root: Array) -> Expansion:
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
    asking = _expansion(at, root)
    points = next(asking)
    while True:
        try:
            points = asking.send(surface(points))
        except StopIteration as end:
            expansion: Expansion = end.value
            return expansion


def _expansion(at: Array, root: Array) -> Generator[Array, Array, Expansion]:
    """Compute what `quadratic` returns; yield points and receive their log densities."""
    count = root.shape[1]
    row, column = np.triu_indices(count, 1)
    steps = REACH * np.eye(count)
    pairs = steps[row] + steps[column]
    ways = np.concatenate([np.zeros((1, count)), steps, -steps, pairs, -pairs])
    for _ in range(30):
        heights = yield at + ways @ root.T
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
