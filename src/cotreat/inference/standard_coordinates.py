"""A model's log density in coordinates in which its posterior is as normal as may be.

Variables whose prior is known but not normal are standardised by it: a spread, a share or a probability x
is stated by z = Φ⁻¹(F(x)), F the prior's distribution function, so that z ~ Normal(0, 1) and what the data
leave open stays normal. All others stand as samplers walk on them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pymc as pm
import pytensor.tensor as pt
from numpy.typing import NDArray
from pytensor.graph.replace import clone_replace
from scipy.special import erf, ndtri

from cotreat.evidence.protocol import Given
from cotreat.inference.vectorise import Draws, evaluate, in_jax, untraced
from cotreat.priors import model_data

BLOCK, BLOCKS = 64, 64
"""Points worked out together, so that what they need fits the cache, and how many times in one call."""
NEAREST = 1e-16
"""A probability is no nearer to 1 than that, where its deviate would be infinite."""


Orders = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Coordinates:
    """One free variable of a model in standardised coordinates.

    Attributes
    ----------
    rv : TensorVariable
        The variable of the model.
    z : TensorVariable
        Its coordinates.
    value : TensorVariable
        What samplers walk on, as a function of `z`.
    own : TensorVariable
        The variable on its own scale, as a function of `z`.
    is_standard : bool
        Whether `z` is standard normal under the prior.
    start : ndarray
        Where to begin to look for a mode.
    """

    rv: Any
    z: Any
    value: Any
    own: Any
    is_standard: bool
    start: NDArray[np.float64]

    @property
    def is_spread(self) -> bool:
        """Whether it is a standard deviation, on which the shape of the posterior of others depends."""
        return type(self.rv.owner.op).__name__ == "HalfNormalRV"


def coordinates(built: pm.Model, orders: Orders) -> list[Coordinates]:
    """State each free variable of a model in standardised coordinates."""
    begin = built.initial_point()
    return [
        _coordinates(built, rv, begin[built.rvs_to_values[rv].name], orders.get(rv.name))
        for rv in built.free_RVs
    ]


def _coordinates(
    built: pm.Model, rv: Any, begin: NDArray[np.float64], order: Sequence[int] | None
) -> Coordinates:
    z = pt.tensor(f"{rv.name} standardised", dtype="float64", shape=begin.shape)
    transform, inputs = built.rvs_to_transforms[rv], rv.owner.inputs
    standard = _STANDARD.get(type(rv.owner.op).__name__)
    if standard is None:
        own = z if transform is None else transform.backward(z, *inputs)
        return Coordinates(rv, z, z, own, is_standard=False, start=np.asarray(begin, float))
    own = standard(rv, z)
    if order is not None:
        own = own[np.argsort(order)]
    value = transform.forward(own, *inputs)
    return Coordinates(rv, z, value, own, is_standard=True, start=np.zeros(begin.shape))


def _below(z: Any) -> Any:
    """Return Φ(z), short of 1."""
    return pt.minimum(pt.erfc(-z / np.sqrt(2)) / 2, 1 - NEAREST)


def _half_normal(rv: Any, z: Any) -> Any:
    _, sigma = rv.owner.op.dist_params(rv.owner)
    return sigma * np.sqrt(2) * pt.erfinv(_below(z))


def _dirichlet(rv: Any, z: Any) -> Any:
    """Break a stick of length 1 at Beta(1, k) shares of what is left, k = count − 1, …, 1."""
    (concentration,) = rv.owner.op.dist_params(rv.owner)
    if not np.all(concentration.eval() == 1):
        raise NotImplementedError(f"{rv.name} is not uniform on the simplex")
    (count,) = z.type.shape
    left = pt.log(_below(-z)) / np.arange(count, 0, -1)
    before = pt.concatenate([pt.zeros(1), pt.cumsum(left)])
    return pt.exp(before) * pt.concatenate([-pt.expm1(left), pt.ones(1)])


def _uniform(_: Any, z: Any) -> Any:
    return _below(z)


_STANDARD = {"HalfNormalRV": _half_normal, "DirichletRV": _dirichlet, "UniformRV": _uniform}
"""How the prior's quantiles make a variable of a standard normal one."""


def _deviate(below: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Φ⁻¹, kept finite."""
    found: NDArray[np.float64] = ndtri(np.clip(below, NEAREST, 1 - NEAREST))
    return found


def _from_half_normal(rv: Any, own: NDArray[np.float64], _: Any) -> NDArray[np.float64]:
    _, sigma = rv.owner.op.dist_params(rv.owner)
    return _deviate(erf(own / (sigma.eval() * np.sqrt(2))))


def _from_dirichlet(
    _: Any, own: NDArray[np.float64], order: Sequence[int] | None
) -> NDArray[np.float64]:
    parts = own if order is None else own[:, list(order)]
    rest = np.flip(np.cumsum(np.flip(parts, 1), axis=1), 1)  # of the stick, before each break
    left = np.log(np.maximum(rest[:, 1:], 1e-300) / rest[:, :-1])
    return -_deviate(np.exp(left * np.arange(left.shape[1], 0, -1)))


def _from_uniform(_: Any, own: NDArray[np.float64], __: Any) -> NDArray[np.float64]:
    return _deviate(own)


_FROM = {
    "HalfNormalRV": _from_half_normal,
    "DirichletRV": _from_dirichlet,
    "UniformRV": _from_uniform,
}
"""The way back: from draws of a variable to the standard normal ones."""


class Density:
    """The log density of a model at many points, compiled once for any data and any prior's numbers.

    Parameters
    ----------
    built
        The model; its own numbers are ``self.given``.
    orders
        By name of a variable of shares, in which order these are broken off a stick; by default as they
        stand.

    Attributes
    ----------
    size : int
        Coordinates of a point.
    spreads : ndarray of int
        Those of them that are standard deviations.
    start : ndarray, shape (size,)
        Where to begin to look for a mode.
    given : dict
        Numbers that it is given, by name.
    built : pymc.Model
    """

    def __init__(self, built: pm.Model, orders: Orders | None = None) -> None:
        with untraced():
            self._parts = coordinates(built, orders or {})
            inputs, (density,) = model_data.opened(built, [_log_density(built, self._parts)])
            self.given = {name: built[name].get_value() for name in inputs}
            function = in_jax([*(p.z for p in self._parts), *inputs.values()], [density])
        self._shapes = [part.start.shape for part in self._parts]
        self._orders = orders or {}
        self.built = built
        self._compiled: dict[tuple[str, ...], Callable[..., Draws]] = {}
        self.start = np.concatenate([part.start.ravel() for part in self._parts])
        self.size = len(self.start)
        is_spread = [np.full(part.start.size, part.is_spread) for part in self._parts]
        self.spreads = np.flatnonzero(np.concatenate(is_spread))

        def one(point: Any, numbers: list[Any]) -> Any:
            value = function(*self._apart(point), *numbers)[0]
            return jnp.where(jnp.isnan(value), -jnp.inf, value)

        def several(points: Any, blocks: Any, numbers: list[Any]) -> Any:
            def block(at: Any, found: Any) -> Any:
                return found.at[at].set(jax.vmap(one, (0, None))(points[at], numbers))

            return jax.lax.fori_loop(0, blocks, block, jnp.zeros(points.shape[:2]))

        self._several = jax.jit(several)

    def columns(self, name: str) -> NDArray[np.int64]:
        """Return which coordinates are those of a variable of the model, by its name."""
        sizes = [int(np.prod(shape)) for shape in self._shapes]
        at = [part.rv.name for part in self._parts].index(name)
        return np.arange(sizes[at]) + sum(sizes[:at])

    def _apart(self, point: Any) -> list[Any]:
        cuts = np.cumsum([int(np.prod(shape)) for shape in self._shapes])[:-1]
        parts = jnp.split(point, cuts)
        return [part.reshape(shape) for part, shape in zip(parts, self._shapes, strict=True)]

    def surface(self, numbers: Given) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
        """Return the log density under some numbers, of points (point, size) to (point,).

        Impossible points have minus infinity.

        Parameters
        ----------
        numbers
            With the names and shapes of ``self.given``.
        """
        told = [jnp.asarray(numbers[name]) for name in self.given]

        def at(points: NDArray[np.float64]) -> NDArray[np.float64]:
            step = BLOCK * BLOCKS
            parts = [points[start : start + step] for start in range(0, len(points), step)]
            return np.concatenate([self._values(part, told) for part in parts])

        return at

    def _values(self, points: NDArray[np.float64], told: list[Any]) -> NDArray[np.float64]:
        padded = np.empty((BLOCK * BLOCKS, self.size))
        padded[: len(points)], padded[len(points) :] = points, points[-1]
        blocks = -(-len(points) // BLOCK)
        found = self._several(padded.reshape(BLOCKS, BLOCK, self.size), blocks, told)
        return np.asarray(found).ravel()[: len(points)]

    @cached_property
    def places(self) -> dict[str, slice]:
        """Which coordinates of a point are those of a variable, by its name."""
        ends = np.cumsum([part.start.size for part in self._parts]).tolist()
        starts = [0, *ends[:-1]]
        names = [part.rv.name for part in self._parts]
        return {name: slice(*span) for name, *span in zip(names, starts, ends, strict=True)}

    def points(self, draws: Draws) -> NDArray[np.float64]:
        """Take draws of the model's free variables to coordinates, under its own numbers.

        Parameters
        ----------
        draws
            By name, the draws along the first axis.
        """
        found = []
        for part in self._parts:
            own = draws[part.rv.name]
            back = _FROM.get(type(part.rv.owner.op).__name__)
            transform = self.built.rvs_to_transforms[part.rv]
            if back is not None:
                own = back(part.rv, own, self._orders.get(part.rv.name))
            elif transform is not None:
                moved = transform.forward(part.rv, *part.rv.owner.inputs)
                (own,) = evaluate(self.built, [moved], draws)
            found.append(own.reshape(len(own), -1))
        return np.concatenate(found, axis=1)

    def draws(self, points: NDArray[np.float64], numbers: Given) -> Draws:
        """Take points back to the scale of the model's variables, by name."""
        return self._free(points, numbers)

    def deterministics(
        self, names: Sequence[str], points: NDArray[np.float64], numbers: Given
    ) -> Draws:
        """Work out some of the model's deterministics, those of the names that it has."""
        own = tuple(name for name in names if name in self.built.named_vars)
        if own not in self._compiled:
            replaced = {part.rv: part.own for part in self._parts}
            with untraced():
                outputs = clone_replace([self.built[name] for name in own], replaced)
            self._compiled[own] = self._function(own, outputs)
        return self._compiled[own](points, numbers)

    def log_likelihood(self, points: NDArray[np.float64], numbers: Given) -> NDArray[np.float64]:
        """Return the log density of the evidence under some numbers, of points (point, size) to (point,)."""
        return self._likelihood(points, numbers)["log_likelihood"]

    @cached_property
    def _likelihood(self) -> Callable[..., Draws]:
        built = self.built
        with untraced():
            density = built.logp(vars=[*built.observed_RVs, *built.potentials])
            values = {built.rvs_to_values[part.rv]: part.value for part in self._parts}
            moved = clone_replace([density], replace=values)
        return self._function(("log_likelihood",), moved)

    @cached_property
    def _free(self) -> Callable[..., Draws]:
        names = tuple(part.rv.name for part in self._parts)
        return self._function(names, [part.own for part in self._parts])

    def _function(self, names: tuple[str, ...], outputs: list[Any]) -> Callable[..., Draws]:
        """Compile expressions in the coordinates and the data, to be worked out for many points."""
        with untraced():
            inputs, opened = model_data.opened(self.built, outputs)
            function = in_jax([*(p.z for p in self._parts), *inputs.values()], opened)
        many = jax.jit(jax.vmap(lambda x, told: function(*self._apart(x), *told), (0, None)))

        def values(points: NDArray[np.float64], numbers: Given) -> Draws:
            found = many(points, [jnp.asarray(numbers[name]) for name in inputs])
            return {name: np.asarray(v) for name, v in zip(names, found, strict=True)}

        return values


def _log_density(built: pm.Model, parts: list[Coordinates]) -> Any:
    """State the log density: the prior of what is standardised is that of z, with no Jacobian."""
    standard = {part.rv for part in parts if part.is_standard}
    others = [rv for rv in built.basic_RVs if rv not in standard]
    density = built.logp(vars=[*others, *built.potentials])
    values = {built.rvs_to_values[part.rv]: part.value for part in parts}
    (moved,) = clone_replace([density], replace=values)
    own = [_standard_normal(part.z) for part in parts if part.is_standard]
    return moved + sum(own, start=pt.zeros(()))


def _standard_normal(z: Any) -> Any:
    return (-0.5 * z**2 - 0.5 * np.log(2 * np.pi)).sum()
