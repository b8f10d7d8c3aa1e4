"""Declare the evidence and the prior parameters of a PyMC model as named data, which other values can replace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pymc as pm


def state(given: Mapping[str, Any]) -> dict[str, Any]:
    """Declare numbers as data of the PyMC model in context.

    Parameters
    ----------
    given
        Values by name. A name that the model already contains is not declared again.

    Returns
    -------
    dict
        Data variables by name.
    """
    import pymc as pm

    built = pm.modelcontext(None)
    return {
        name: built[name] if name in built.named_vars else pm.Data(name, np.asarray(value))
        for name, value in given.items()
    }


def opened(built: pm.Model, outputs: Sequence[Any]) -> tuple[dict[str, Any], list[Any]]:
    """Replace the data in expressions of a PyMC model by inputs of a function.

    Parameters
    ----------
    built
        The model.
    outputs
        Expressions of the model.

    Returns
    -------
    inputs : dict
        Input variables by the name of the data on which the expressions depend, in the order of declaration.
    outputs : list
        The expressions as functions of the inputs.
    """
    from pytensor.graph.replace import clone_replace
    from pytensor.graph.traversal import ancestors

    used = set(ancestors(outputs))
    inputs = {v.name: v.type(v.name) for v in built.data_vars if v in used}
    return inputs, clone_replace(
        list(outputs), {built[name]: variable for name, variable in inputs.items()}
    )
