"""The numbers a PyMC model is given, as data with names: another study's, or prior's, can take their place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pymc as pm


def state(given: Mapping[str, Any]) -> dict[str, Any]:
    """State numbers as data of the PyMC model in context; return them as variables by name."""
    import pymc as pm

    built = pm.modelcontext(None)
    return {
        name: built[name] if name in built.named_vars else pm.Data(name, np.asarray(value))
        for name, value in given.items()
    }


def opened(built: pm.Model, outputs: Sequence[Any]) -> tuple[dict[str, Any], list[Any]]:
    """Make inputs of the data that expressions of a model stand on.

    Returns
    -------
    inputs : dict
        By the name of the data, in the order of their statement.
    outputs : list
        The expressions in terms of them.
    """
    from pytensor.graph.replace import clone_replace
    from pytensor.graph.traversal import ancestors

    used = set(ancestors(outputs))
    inputs = {v.name: v.type(v.name) for v in built.data_vars if v in used}
    return inputs, clone_replace(list(outputs), {built[name]: one for name, one in inputs.items()})
