"""Drawing from a PyMC model, and evaluating parts of it, for many draws at once.

PyMC's own loops take a draw at a time: 35 seconds for the deterministics of 20,000 prior draws of a
study with printed numbers, where this takes one or two, and 2 to 5 for the draws themselves, where this
takes less than a quarter of one.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import xarray as xr
from numpy.typing import NDArray
from pymc.distributions.shape_utils import change_dist_size
from pymc.sampling.jax import get_jaxified_graph
from pytensor.graph.replace import clone_replace, vectorize_graph
from pytensor.graph.rewriting.utils import rewrite_graph
from pytensor.graph.traversal import ancestors
from pytensor.tensor.random.op import RandomVariable
from pytensor.tensor.type_other import NoneTypeT

BATCH = 500
"""Draws worked out together."""

Draws = dict[str, NDArray[np.float64]]
"""Values by name of a variable, the draws along the first axis."""


def untraced() -> Any:
    """Keep PyTensor from noting where each expression was made, a tenth of its time."""
    return pytensor.config.change_flags(traceback__limit=0)


def prior(built: pm.Model, count: int, seed: int) -> Draws:
    """Draw the free variables of a model `count` times from their prior.

    Each variable is drawn as one array, from a generator of its own: the same draws as
    ``pm.sample_prior_predictive`` makes one by one with that seed.
    """
    with untraced():
        many = enlarged(built, count)
        # By name, for that is the order in which PyMC seeds the generators.
        ordered = sorted(many, key=lambda rv: rv.name)
        draw = pm.compile([], [many[rv] for rv in ordered], random_seed=seed, mode="FAST_COMPILE")
    return {rv.name: values for rv, values in zip(ordered, draw(), strict=True)}


def enlarged(built: pm.Model, count: int) -> dict[Any, Any]:
    """Return each free variable of a model as an array of `count` draws from the prior."""
    many: dict[Any, Any] = {}
    for rv in built.free_RVs:
        others = [v for v in ancestors([rv], blockers=list(many)) if v in many]
        if others:
            wider = {v: many[v] for v in others}
            (many[rv],) = vectorize_graph([rv], {**wider, **_wider_size(rv, count)})
        else:
            many[rv] = change_dist_size(rv, (count,), expand=True)
    return many


def _wider_size(rv: Any, count: int) -> dict[Any, Any]:
    """Widen the size that a variable was given, which PyTensor does for its first parameter alone."""
    if not isinstance(rv.owner.op, RandomVariable):
        return {}
    size = rv.owner.op.size_param(rv.owner)
    return {} if isinstance(size.type, NoneTypeT) else {size: pt.concatenate([[count], size])}


def evaluate(built: pm.Model, outputs: Sequence[Any], draws: Draws) -> list[NDArray[np.float64]]:
    """Evaluate expressions in the free variables of a model for each draw.

    Parameters
    ----------
    outputs
        Expressions in ``built.free_RVs``.
    draws
        Values of the free variables on their own scale.
    """
    with untraced():
        inputs = {rv: rv.type(rv.name) for rv in built.free_RVs}
        # Cut loose from the random variables, whose generators JAX could not take.
        given = clone_replace(list(outputs), replace=inputs)
        function = get_jaxified_graph(inputs=list(inputs.values()), outputs=given)
    values = function_of_draws(function)(*(draws[rv.name] for rv in built.free_RVs))
    return [np.asarray(value) for value in values]


def function_of_draws(function: Callable[..., Any]) -> Callable[..., Any]:
    """Map a function of one draw over the first axis of its arguments, compiled."""
    # In batches: what a draw makes of thousands of patients must not be held for all draws at once.
    return jax.jit(lambda *draws: jax.lax.map(lambda one: function(*one), draws, batch_size=BATCH))


def deterministics(built: pm.Model, draws: Draws) -> Draws:
    """Work out every deterministic of a model for each draw."""
    names = [variable.name for variable in built.deterministics]
    return dict(zip(names, evaluate(built, built.deterministics, draws), strict=True))


def log_densities(built: pm.Model, variables: Sequence[Any], draws: Draws) -> Draws:
    """Work out log densities for each draw, by name.

    Parameters
    ----------
    variables
        Observed ones, whose densities are by observation, and free ones, whose densities are those of the
        prior on the variable's own scale.
    """
    with untraced():
        logs = [
            pm.logp(rv, rv if rv in built.free_RVs else built.rvs_to_values[rv]) for rv in variables
        ]
    values = evaluate(built, logs, draws)
    return {rv.name: value for rv, value in zip(variables, values, strict=True)}


def unconstrained(built: pm.Model, draws: Draws) -> list[NDArray[np.float64]]:
    """Move draws to the scale on which samplers walk, in the order of ``built.value_vars``."""
    moved = []
    for rv in built.free_RVs:
        transform = built.rvs_to_transforms[rv]
        moved.append(rv if transform is None else transform.forward(rv, *rv.owner.inputs))
    return evaluate(built, moved, draws)


def labelled(built: Any, values: Draws, chains: int) -> xr.Dataset:
    """Give draws, the chains one after the other, the dims and coordinates of the model."""
    data, coords = {}, {"chain": list(range(chains))}
    for name, array in values.items():
        count = array.ndim - 1
        named = built.named_vars_to_dims.get(name) or [f"{name}_dim_{i}" for i in range(count)]
        dims = named[:count]  # the density of a vector has none of its dims
        coords.update({d: list(built.coords[d]) for d in dims if d in built.coords})
        data[name] = (("chain", "draw", *dims), array.reshape(chains, -1, *array.shape[1:]))
    return xr.Dataset(data, coords)


def in_jax(inputs: list[Any], outputs: list[Any]) -> Any:
    """Translate to JAX, without checks that sigma > 0: JAX has none, and the numbers were read before."""
    bare = rewrite_graph(outputs, include=("local_remove_check_parameter",), clone=True)
    return get_jaxified_graph(inputs=inputs, outputs=bare)
