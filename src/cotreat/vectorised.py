"""Evaluating parts of a PyMC model on many draws at once, through JAX.

PyMC's own loops take a draw at a time: 35 seconds for the deterministics of 20,000 prior draws of a
study with printed numbers, where this takes one or two.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
import pymc as pm
from numpy.typing import NDArray
from pymc.sampling.jax import get_jaxified_graph
from pytensor.graph.replace import clone_replace

BATCH = 500
"""Draws worked out together."""

Draws = dict[str, NDArray[np.float64]]
"""Values by name of a variable, the draws along the first axis."""


def evaluate(built: pm.Model, outputs: Sequence[Any], draws: Draws) -> list[NDArray[np.float64]]:
    """Evaluate expressions in the free variables of a model for each draw.

    Parameters
    ----------
    outputs
        Expressions in ``built.free_RVs``.
    draws
        Values of the free variables on their own scale.
    """
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


def log_likelihood(built: pm.Model, draws: Draws) -> Draws:
    """Work out the log density of each observed variable for each draw."""
    logs = [pm.logp(rv, built.rvs_to_values[rv]) for rv in built.observed_RVs]
    names = [rv.name for rv in built.observed_RVs]
    return dict(zip(names, evaluate(built, logs, draws), strict=True))


def log_prior(built: pm.Model, draws: Draws) -> Draws:
    """Work out the log prior density of each free variable for each draw, on its own scale."""
    logs = [pm.logp(rv, rv) for rv in built.free_RVs]
    names = [rv.name for rv in built.free_RVs]
    return dict(zip(names, evaluate(built, logs, draws), strict=True))


def unconstrained(built: pm.Model, draws: Draws) -> list[NDArray[np.float64]]:
    """Move draws to the scale on which samplers walk, in the order of ``built.value_vars``."""
    moved = []
    for rv in built.free_RVs:
        transform = built.rvs_to_transforms[rv]
        moved.append(rv if transform is None else transform.forward(rv, *rv.owner.inputs))
    return evaluate(built, moved, draws)
