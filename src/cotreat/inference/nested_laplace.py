"""Construct a proposal by nested Laplace approximation: conditional normals at several values of the spreads.

Spreads are the coordinates that are standard deviations of other coordinates, which are re-centred at each
value. Rue, Martino & Chopin, J R Stat Soc B 2009;71:319.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotreat.inference.gaussian_mixture import Normals
from cotreat.inference.modes import Array, Mode, Surface, climb, quadratic

SPACING, SPACING_EACH = 1.0, 1.5
"""Distance between nodes in standard deviations of the spread: with one spread, and with several, along the
axis of each."""
KERNEL, KERNEL_EACH = 0.6, 0.8
"""Width of the normal around a node in standard deviations of the spread: with one spread, and with several."""
NEGLIGIBLE, MOST_NODES = 4.0, 6
"""Nodes are added on either side until the log mass falls by this amount below the largest, or up to this
number."""


def nested(surface: Surface, modes: list[Mode], spreads: NDArray[np.int64]) -> Normals:
    """Return a mixture of normals at the modes or, if the model has spreads, at nodes around each mode.

    Parameters
    ----------
    surface
        Log density.
    modes
        Modes of the log density.
    spreads
        Indices of the coordinates that are standard deviations of others.

    Returns
    -------
    Normals
        The mixture, weighted by the mass of each normal.

    Notes
    -----
    Rue, Martino & Chopin, J R Stat Soc B 2009;71:319.
    """
    nodes: list[Mode] = []
    for mode in modes:
        is_nested = 0 < len(spreads) < len(mode.at)
        nodes += (_Nodes(surface, mode, spreads).normals() if is_nested else []) or [mode]
    # Each weight is proportional to the posterior mass of its normal.
    logs = np.array([m.log_mass for m in nodes])
    weights = np.maximum(np.exp(logs - logs.max()), 1e-3)
    return Normals(
        weights / weights.sum(),
        np.array([m.at for m in nodes]),
        np.array([m.root @ m.root.T for m in nodes]),
    )


class _Nodes:
    """Compute nodes on a grid of the spreads around a mode, with the other coordinates re-centred at each.

    The grid is in standard deviations of the spreads, and nodes are computed on demand. The largest mass does
    not lie at the highest density, because the coordinates that depend on a spread vary with it.
    """

    def __init__(self, surface: Surface, mode: Mode, spreads: NDArray[np.int64]) -> None:
        size, self._count = len(mode.at), len(spreads)
        self._surface, self._spreads = surface, spreads
        self._others = np.setdiff1d(np.arange(size), spreads)
        covariance = mode.root @ mode.root.T
        inner = covariance[np.ix_(spreads, spreads)]
        across = covariance[np.ix_(spreads, self._others)]
        self._slopes = np.linalg.solve(inner, across).T
        rest = covariance[np.ix_(self._others, self._others)] - self._slopes @ across
        root = np.zeros((size, len(self._others)))
        root[self._others] = np.linalg.cholesky(rest + 1e-12 * np.eye(len(self._others)))
        self._scale = np.sqrt(np.diag(inner))
        centre = self._recentred(mode.at, root, np.zeros(self._count))
        self._known: dict[tuple[int, ...], Mode | None] = {(0,) * self._count: centre}

    def normals(self) -> list[Mode]:
        """Return the nodes of relevant mass, widened along the spreads."""
        kernel = KERNEL if self._count == 1 else KERNEL_EACH
        of_prior = (self._spreads, self._scale, kernel)
        nodes = (_widened(self._surface, node, *of_prior) for node in self._relevant())
        return [node for node in nodes if node is not None]

    def _relevant(self) -> list[Mode]:
        """Return the central node and its neighbours along each axis, up to negligible mass."""
        centre = self._heaviest((0,) * self._count)
        middle = self._known[centre]
        if middle is None:
            return []
        nodes, top = [middle], self._mass(centre)
        for way in self._ways():
            place = centre
            for _ in range(MOST_NODES):
                place, before = _sum(place, way), place
                node = self._at(place, before)
                if node is None:
                    break
                nodes.append(node)
                if self._mass(place) < top - NEGLIGIBLE:
                    break
        return nodes

    def _heaviest(self, place: tuple[int, ...]) -> tuple[int, ...]:
        """Move from node to neighbour while the mass increases, and return the last place."""
        for _ in range(MOST_NODES):
            for way in self._ways():
                self._at(_sum(place, way), place)
            best = max((_sum(place, way) for way in self._ways()), key=self._mass)
            if self._mass(best) <= self._mass(place):
                break
            place = best
        return place

    def _ways(self) -> list[tuple[int, ...]]:
        """Return the unit steps on the grid, in both directions of each axis."""
        axes = np.eye(self._count, dtype=int)
        return [tuple(int(x) for x in sign * axis) for axis in axes for sign in (-1, 1)]

    def _mass(self, place: tuple[int, ...]) -> float:
        """Return the log mass of the conditional normal at a node, minus infinity without a node."""
        node = self._known[place]
        if node is None:
            return -np.inf
        return node.log_density + float(np.linalg.slogdet(node.root[self._others])[1])

    def _at(self, place: tuple[int, ...], before: tuple[int, ...]) -> Mode | None:
        """Return a node, computed from its neighbour; None if the log density is not finite there."""
        if place not in self._known:
            near, by = self._known[before], np.subtract(place, before)
            self._known[place] = None if near is None else self._recentred(near.at, near.root, by)
        return self._known[place]

    def _recentred(self, start: Array, root: Array, by: NDArray[Any]) -> Mode | None:
        """Compute the node some steps from a start, by Newton's method in the other coordinates."""
        spacing = SPACING if self._count == 1 else SPACING_EACH
        moved = spacing * self._scale * by
        at = start.copy()
        at[self._spreads] += moved
        at[self._others] += self._slopes @ moved
        return climb(self._surface, at, root, most=10)


def _sum(place: tuple[int, ...], way: tuple[int, ...]) -> tuple[int, ...]:
    """Return the place after a step on the grid."""
    return tuple(at + step for at, step in zip(place, way, strict=True))


def _widened(
    surface: Surface, node: Mode, spreads: NDArray[np.int64], scale: Array, kernel: float
) -> Mode | None:
    """Widen a node along the spreads, with the conditional mean of the other coordinates."""
    size, inner = node.root.shape
    full = np.zeros((size, size))
    full[:, :inner] = node.root
    full[spreads, np.arange(inner, size)] = scale
    expansion = quadratic(surface, node.at, full)
    if expansion is None:
        return None
    full, (height, _, bend) = expansion
    sizes, axes = np.linalg.eigh(-bend[:inner, :inner])
    inverse = (axes / np.clip(sizes, 0.2, 50)) @ axes.T
    turned = np.zeros((size, size))
    turned[:inner, :inner] = np.linalg.cholesky(inverse)
    turned[:inner, inner:] = kernel * np.clip(inverse @ bend[:inner, inner:], -3, 3)
    turned[inner:, inner:] = kernel * np.eye(size - inner)
    return Mode(node.at, full @ turned, height)
