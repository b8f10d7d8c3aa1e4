"""Transform the log density of a model to coordinates in which the posterior is close to normal.

Variables with a half-normal, Dirichlet or uniform prior are standardised by their prior: z = Φ⁻¹(F(x)), with F
the prior distribution function, so that z ~ Normal(0, 1) under the prior, and directions without information
in the data stay normal. All other variables use the unconstrained scale of the samplers.
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
from cotreat.inference.vectorise import Draws, evaluate, in_jax, split_point, untraced
from cotreat.priors import model_data

BLOCK, BLOCKS = 64, 64
"""Number of points evaluated together, so that their data fit the cache, and number of such blocks per call."""
NEAREST = 1e-16
"""Smallest distance of a probability from 0 and 1, which keeps its normal deviate finite."""


Orders = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Coordinates:
    """Describe one free variable of a model in standardised coordinates.

    Attributes
    ----------
    rv : TensorVariable
        The random variable of the model.
    z : TensorVariable
        Its standardised coordinates.
    value : TensorVariable
        The value variable on the unconstrained scale of the samplers, as a function of `z`.
    natural : TensorVariable
        The variable on its natural scale, as a function of `z`.
    is_standard : bool
        Whether `z` is standard normal under the prior.
    start : ndarray
        Starting point of the search for a mode.
    """

    rv: Any
    z: Any
    value: Any
    natural: Any
    is_standard: bool
    start: NDArray[np.float64]

    @property
    def is_spread(self) -> bool:
        """Whether the variable is a standard deviation, on which the posterior shape of others depends."""
        return type(self.rv.owner.op).__name__ == "HalfNormalRV"


def coordinates(built: pm.Model, rv: Any, initial: Draws, orders: Orders) -> Coordinates:
    """Return the standardised coordinates of one free variable of a model.

    Parameters
    ----------
    built
        The PyMC model.
    rv
        The free variable.
    initial
        Initial values of all variables on the unconstrained scale of the samplers.
    orders
        Order of the stick-breaking by variable on the simplex; otherwise the order of the elements.

    Returns
    -------
    Coordinates
        The coordinates.

    Raises
    ------
    NotImplementedError
        If a Dirichlet prior is not uniform on the simplex.
    """
    start, order = initial[built.rvs_to_values[rv].name], orders.get(rv.name)
    z = pt.tensor(f"{rv.name} standardised", dtype="float64", shape=start.shape)
    transform, inputs = built.rvs_to_transforms[rv], rv.owner.inputs
    standard = _STANDARD.get(type(rv.owner.op).__name__)
    if standard is None:
        natural = z if transform is None else transform.backward(z, *inputs)
        return Coordinates(rv, z, z, natural, is_standard=False, start=np.asarray(start, float))
    natural = standard[0](rv, z)
    if order is not None:
        natural = natural[np.argsort(order)]
    value = transform.forward(natural, *inputs)
    return Coordinates(rv, z, value, natural, is_standard=True, start=np.zeros(start.shape))


def _below(z: Any) -> Any:
    """Return Φ(z), at most 1 − `NEAREST`."""
    return pt.minimum(pt.erfc(-z / np.sqrt(2)) / 2, 1 - NEAREST)


def _deviate(below: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Φ⁻¹ of probabilities, truncated to finite values."""
    return ndtri(np.clip(below, NEAREST, 1 - NEAREST))


def _half_normal(rv: Any, z: Any) -> Any:
    """Return the half-normal quantile at Φ(z)."""
    _, sigma = rv.owner.op.dist_params(rv.owner)
    return sigma * np.sqrt(2) * pt.erfinv(_below(z))


def _from_half_normal(rv: Any, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return z of half-normal values."""
    _, sigma = rv.owner.op.dist_params(rv.owner)
    return _deviate(erf(values / (sigma.eval() * np.sqrt(2))))


def _dirichlet(rv: Any, z: Any) -> Any:
    """Return a uniform point of the simplex by stick-breaking: Beta(1, k) shares of the rest, k = count − 1, …, 1."""
    (concentration,) = rv.owner.op.dist_params(rv.owner)
    if not np.all(concentration.eval() == 1):
        raise NotImplementedError(f"{rv.name} is not uniform on the simplex")
    (count,) = z.type.shape
    left = pt.log(_below(-z)) / np.arange(count, 0, -1)
    before = pt.concatenate([pt.zeros(1), pt.cumsum(left)])
    return pt.exp(before) * pt.concatenate([-pt.expm1(left), pt.ones(1)])


def _from_dirichlet(_: Any, parts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return z of points on the simplex, by inverse stick-breaking."""
    rest = np.flip(np.cumsum(np.flip(parts, 1), axis=1), 1)  # Rest of the stick before each break.
    left = np.log(np.maximum(rest[:, 1:], 1e-300) / rest[:, :-1])
    return -_deviate(np.exp(left * np.arange(left.shape[1], 0, -1)))


_STANDARD: dict[str, tuple[Callable[..., Any], Callable[..., NDArray[np.float64]]]] = {
    "HalfNormalRV": (_half_normal, _from_half_normal),
    "DirichletRV": (_dirichlet, _from_dirichlet),
    "UniformRV": (lambda _, z: _below(z), lambda _, values: _deviate(values)),
}
"""By distribution: the prior quantile of a variable at Φ(z), and z of draws of the variable."""


class Density:
    """Evaluate the log density of a model at many points, compiled once for any data and prior parameters.

    Parameters
    ----------
    built
        The PyMC model.
    orders
        Order of the stick-breaking by name of a variable on the simplex; by default the order of its elements.

    Attributes
    ----------
    size : int
        Number of coordinates of a point.
    spreads : ndarray of int
        Indices of the coordinates that are standard deviations.
    start : ndarray, shape (size,)
        Starting point of the search for modes.
    given : dict
        Numbers of the model's data and priors, by name.
    built : pymc.Model
        The model.

    Raises
    ------
    NotImplementedError
        If a Dirichlet prior is not uniform on the simplex.
    """

    def __init__(self, built: pm.Model, orders: Orders | None = None) -> None:
        self._orders = orders or {}
        with untraced():
            initial = built.initial_point()
            self._parts = [coordinates(built, rv, initial, self._orders) for rv in built.free_RVs]
            inputs, (density,) = model_data.opened(built, [_log_density(built, self._parts)])
            self.given = {name: built[name].get_value() for name in inputs}
            function = in_jax([*(p.z for p in self._parts), *inputs.values()], [density])
        self._shapes = [part.start.shape for part in self._parts]
        self.built = built
        self._compiled: dict[tuple[str, ...], Callable[..., Draws]] = {}
        self.start = np.concatenate([part.start.ravel() for part in self._parts])
        self.size = len(self.start)
        is_spread = [np.full(part.start.size, part.is_spread) for part in self._parts]
        self.spreads = np.flatnonzero(np.concatenate(is_spread))

        def log_density(point: Any, numbers: list[Any]) -> Any:
            value = function(*split_point(point, self._shapes), *numbers)[0]
            return jnp.where(jnp.isnan(value), -jnp.inf, value)

        def several(points: Any, blocks: Any, numbers: list[Any]) -> Any:
            def block(at: Any, logs: Any) -> Any:
                return logs.at[at].set(jax.vmap(log_density, (0, None))(points[at], numbers))

            return jax.lax.fori_loop(0, blocks, block, jnp.zeros(points.shape[:2]))

        self._several = jax.jit(several)

    def surface(self, numbers: Given) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
        """Return the log density under given numbers as a function of points.

        Parameters
        ----------
        numbers
            Numbers of data and priors, with the names and shapes of ``self.given``.

        Returns
        -------
        callable
            Function from points, shape (point, size), to log densities, shape (point,), which are minus infinity
            at impossible points.
        """
        arrays = [jnp.asarray(numbers[name]) for name in self.given]

        def at(points: NDArray[np.float64]) -> NDArray[np.float64]:
            step = BLOCK * BLOCKS
            parts = [points[start : start + step] for start in range(0, len(points), step)]
            return np.concatenate([self._values(part, arrays) for part in parts])

        return at

    def _values(self, points: NDArray[np.float64], arrays: list[Any]) -> NDArray[np.float64]:
        """Return the log density at up to `BLOCK` × `BLOCKS` points, padded to one shape."""
        padded = np.empty((BLOCK * BLOCKS, self.size))
        padded[: len(points)], padded[len(points) :] = points, points[-1]
        blocks = -(-len(points) // BLOCK)
        logs = self._several(padded.reshape(BLOCKS, BLOCK, self.size), blocks, arrays)
        return np.asarray(logs).ravel()[: len(points)]

    @cached_property
    def places(self) -> dict[str, slice]:
        """Slice of each variable's coordinates in a point, by name of the variable."""
        ends = np.cumsum([part.start.size for part in self._parts]).tolist()
        spans = zip(self._parts, [0, *ends[:-1]], ends, strict=True)
        return {part.rv.name: slice(start, end) for part, start, end in spans}

    def points(self, draws: Draws) -> NDArray[np.float64]:
        """Transform draws of the free variables to points, under the model's own numbers.

        Parameters
        ----------
        draws
            Draws by name on the natural scale, along the first axis.

        Returns
        -------
        ndarray, shape (draw, size)
            Points in standardised coordinates.
        """
        columns = [self._placed(part.rv, draws) for part in self._parts]
        return np.concatenate(columns, axis=1)

    def _placed(self, rv: Any, draws: Draws) -> NDArray[np.float64]:
        """Return the coordinates of one variable at draws of the free variables."""
        values, order = draws[rv.name], self._orders.get(rv.name)
        standard = _STANDARD.get(type(rv.owner.op).__name__)
        transform = self.built.rvs_to_transforms[rv]
        if standard is not None:
            values = standard[1](rv, values if order is None else values[:, list(order)])
        elif transform is not None:
            unconstrained = transform.forward(rv, *rv.owner.inputs)
            (values,) = evaluate(self.built, [unconstrained], draws)
        return values.reshape(len(values), -1)

    def starts(self, draws: Draws) -> NDArray[np.float64]:
        """Return starting points with some variables at given values, and the others at the usual start.

        Parameters
        ----------
        draws
            Values by name on the natural scale, along the first axis.

        Returns
        -------
        ndarray, shape (start, size)
            Points in standardised coordinates.
        """
        count = len(next(iter(draws.values())))
        points = np.repeat(self.start[None], count, axis=0)
        chosen = [part for part in self._parts if part.rv.name in draws]
        if not all(
            part.is_standard for part in chosen
        ):  # Their transformation may need the others.
            draws = {**self.draws(points, self.given), **draws}
        for part in chosen:
            points[:, self.places[part.rv.name]] = self._placed(part.rv, draws)
        return points

    @cached_property
    def widths(self) -> NDArray[np.float64]:
        """Rough prior SD of each coordinate: 1 where it is standard, otherwise 2, shape (size,)."""
        is_standard = [np.full(part.start.size, part.is_standard) for part in self._parts]
        return np.where(np.concatenate(is_standard), 1.0, 2.0)

    def draws(self, points: NDArray[np.float64], numbers: Given) -> Draws:
        """Transform points to the natural scale of the free variables.

        Parameters
        ----------
        points
            Points, shape (point, size).
        numbers
            Numbers of data and priors, by name.

        Returns
        -------
        dict
            Draws by name, along the first axis.
        """
        return self._free(points, numbers)

    def deterministics(
        self, names: Sequence[str], points: NDArray[np.float64], numbers: Given
    ) -> Draws:
        """Compute deterministics of the model at points.

        Parameters
        ----------
        names
            Names of deterministics; names that the model does not have are ignored.
        points
            Points, shape (point, size).
        numbers
            Numbers of data and priors, by name.

        Returns
        -------
        dict
            Values by name, with the points along the first axis.
        """
        available = tuple(name for name in names if name in self.built.named_vars)
        if available not in self._compiled:
            replaced = {part.rv: part.natural for part in self._parts}
            with untraced():
                outputs = clone_replace([self.built[name] for name in available], replaced)
            self._compiled[available] = self._function(available, outputs)
        return self._compiled[available](points, numbers)

    def log_likelihood(self, points: NDArray[np.float64], numbers: Given) -> NDArray[np.float64]:
        """Return the log likelihood of the evidence at points.

        Parameters
        ----------
        points
            Points, shape (point, size).
        numbers
            Numbers of data and priors, by name.

        Returns
        -------
        ndarray, shape (point,)
            Log likelihood.
        """
        return self._likelihood(points, numbers)["log_likelihood"]

    @cached_property
    def _likelihood(self) -> Callable[..., Draws]:
        """Compiled log likelihood of points."""
        built = self.built
        with untraced():
            density = built.logp(vars=[*built.observed_RVs, *built.potentials])
            values = {built.rvs_to_values[part.rv]: part.value for part in self._parts}
            moved = clone_replace([density], replace=values)
        return self._function(("log_likelihood",), moved)

    @cached_property
    def _free(self) -> Callable[..., Draws]:
        """Compiled transformation of points to the natural scale."""
        names = tuple(part.rv.name for part in self._parts)
        return self._function(names, [part.natural for part in self._parts])

    def _function(self, names: tuple[str, ...], outputs: list[Any]) -> Callable[..., Draws]:
        """Compile expressions in the coordinates and the data for evaluation at many points."""
        with untraced():
            inputs, opened = model_data.opened(self.built, outputs)
            function = in_jax([*(p.z for p in self._parts), *inputs.values()], opened)
        many = jax.jit(
            jax.vmap(lambda x, arrays: function(*split_point(x, self._shapes), *arrays), (0, None))
        )

        def values(points: NDArray[np.float64], numbers: Given) -> Draws:
            results = many(points, [jnp.asarray(numbers[name]) for name in inputs])
            return {name: np.asarray(v) for name, v in zip(names, results, strict=True)}

        return values


def _log_density(built: pm.Model, parts: list[Coordinates]) -> Any:
    """Return the log density; standardised variables have the prior of z, which includes the Jacobian."""
    standard = {part.rv for part in parts if part.is_standard}
    others = [rv for rv in built.basic_RVs if rv not in standard]
    density = built.logp(vars=[*others, *built.potentials])
    values = {built.rvs_to_values[part.rv]: part.value for part in parts}
    (moved,) = clone_replace([density], replace=values)
    normal = (-0.5 * part.z**2 - 0.5 * np.log(2 * np.pi) for part in parts if part.is_standard)
    return moved + sum((log_density.sum() for log_density in normal), start=pt.zeros(()))
