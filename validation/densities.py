"""Evaluate log densities and gradients of models at stored points, to detect stale results.

A kept result is stale if the log density (constants included) or the gradient of one of its models has changed
since the result was computed. PyTensor evaluates both in Python, without compilation and without JAX; the tests
compare these values with the function compiled by JAX.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd
import pymc as pm
import pytensor
import pytensor.tensor as pt
from numpy.typing import NDArray
from pytensor.compile.builders import OpFromGraph
from pytensor.compile.mode import Mode
from pytensor.compile.rewriting import inline_ofg_node
from pytensor.graph.fg import FunctionGraph

from cotreat.calibration.kept import TEMPLATES, template
from cotreat.evidence import reported_likelihood
from cotreat.inference.vectorise import untraced
from cotreat.models.build import build
from cotreat.models.registry import find_model
from cotreat.models.select import priors_for
from cotreat.priors.sets import prior_set
from cotreat.study.study import Study
from cotreat.study_file.reader import load_study

POINTS = 3
"""Number of points at which every density is stored."""
SPREAD = 0.5
"""Standard deviation of the points on the unconstrained scale."""
SAME = 1e-8
"""Largest relative difference between two densities, or gradients, that are treated as equal."""
DENSITY = "log density"
KEY = ["study", "interpretation", "model"]
COLUMNS = [*KEY, "point", "parameter", "at", "value"]


@dataclass(frozen=True)
class Case:
    """Identify a model and its evidence.

    Attributes
    ----------
    study : str
        Name of a calibration template or of a packaged study.
    model : str
        Name of the model.
    interpretation : str
        Interpretation of ambiguous statements; empty for the default of the study.
    """

    study: str
    model: str
    interpretation: str = ""


def study_of(case: Case) -> Study:
    """Read the study of a case and resolve its interpretation.

    Parameters
    ----------
    case
        The model and its evidence.
    """
    study = template(case.study) if case.study in TEMPLATES else load_study(case.study)
    return study.resolve(case.interpretation) if case.interpretation else study


@cache
def densities(case: Case) -> pd.DataFrame:
    """Evaluate the log density and its gradient of a case at fixed points.

    Parameters
    ----------
    case
        The model and its evidence.

    Returns
    -------
    pandas.DataFrame
        Columns `COLUMNS`. Each point has one row for the log density and one row per unconstrained
        coordinate, with the coordinate in ``at`` and the derivative in ``value``.
    """
    with untraced(), _spelled_out():
        built = _built(case)
        function = _function(built)
    start = built.initial_point()
    shapes = [start[value.name].shape for value in built.value_vars]
    names = [
        f"{value.name}[{at}]"
        for value, shape in zip(built.value_vars, shapes, strict=True)
        for at in range(int(np.prod(shape)))
    ]
    rows = []
    for point in range(POINTS):
        rng = np.random.default_rng(point)
        values = [SPREAD * rng.normal(size=shape) for shape in shapes]
        density, *gradient = function(*values)
        rows.append((point, DENSITY, np.nan, float(density)))
        rows += [(point, *row) for row in zip(names, _flat(values), _flat(gradient), strict=True)]
    table = pd.DataFrame(rows, columns=COLUMNS[len(KEY) :])
    return table.assign(**_labels(case))[COLUMNS]


def agree(now: pd.DataFrame, before: pd.DataFrame) -> bool:
    """Test whether two tables of `densities` of one case are equal within `SAME`.

    A gradient is compared relative to its largest entry at that point, because rounding errors scale with
    that entry. Parameter names are not compared.

    Parameters
    ----------
    now, before
        Tables returned by `densities`.
    """
    if len(now) != len(before):
        return False
    first, second = (_by_point(table) for table in (now, before))
    return all(
        _close(left[:1], right[:1]) and _close(left[1:], right[1:])
        for left, right in zip(first, second, strict=True)
    )


def _by_point(table: pd.DataFrame) -> list[NDArray[np.float64]]:
    """Split the values of a table by point."""
    return [rows.value.to_numpy() for _, rows in table.groupby("point", sort=True)]


def _close(now: NDArray[np.float64], before: NDArray[np.float64]) -> bool:
    """Test equality relative to the largest absolute entry of `before`."""
    if now.shape != before.shape:
        return False
    scale = max(float(np.abs(before).max(initial=0.0)), 1e-12)
    return bool((np.abs(now - before) <= SAME * scale).all())


def _labels(case: Case) -> dict[str, str]:
    """Return the key columns of a case."""
    return {"study": case.study, "interpretation": case.interpretation, "model": case.model}


def _built(case: Case) -> pm.Model:
    """Build the PyMC model of a case under the weak priors."""
    study = study_of(case)
    model = find_model(case.model, study)
    stratified = study.resolve(strata=model.strata)
    return build(stratified, model, priors_for(prior_set("weak", study), model, stratified))


@contextmanager
def _spelled_out() -> Iterator[None]:
    """Express sampling distributions of reported estimates in PyTensor instead of one JAX node."""
    one_node = reported_likelihood.one_node
    reported_likelihood.one_node = partial(partial, _closed)
    try:
        yield
    finally:
        reported_likelihood.one_node = one_node


def _closed(function: Callable[..., Any], *given: Any) -> Any:
    """Return a sampling distribution as one node, which `_function` opens after PyMC has rewritten the graph.

    PyMC's rewriting of the thousands of nodes inside takes half of the time of a density.
    """
    inputs = [None if value is None else value.type() for value in given]
    outputs = function(pt, *inputs)
    several = isinstance(outputs, tuple)
    op = OpFromGraph(
        [value for value in inputs if value is not None], list(outputs) if several else [outputs]
    )
    found = op(*(value for value in given if value is not None), return_list=True)
    return type(outputs)(*found) if several else found[0]


def _opened(density: Any) -> Any:
    """Replace every node of `_closed` by the expressions inside."""
    graph = FunctionGraph(outputs=[density], clone=False)
    for node in graph.toposort():
        if isinstance(node.op, OpFromGraph):
            graph.replace_all(list(zip(node.outputs, inline_ofg_node(node), strict=True)))
    return graph.outputs[0]


def _function(built: pm.Model) -> Any:
    """Return the log density and its gradient as a PyTensor function that is not compiled."""
    density = _opened(built.logp())
    gradient = pytensor.gradient.grad(density, built.value_vars)
    mode = Mode(linker="py", optimizer=None)
    return pytensor.function(built.value_vars, [density, *gradient], mode=mode)


def _flat(values: list[Any]) -> NDArray[np.float64]:
    """Concatenate arrays into one vector."""
    return np.concatenate([np.ravel(value) for value in values])
