"""What is ranked: parameters, and the estimands that a model leaves open."""

from collections.abc import Iterator

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cotreat.calibration.replicates import Job
from cotreat.estimands.enumerate import enumerate_estimands
from cotreat.estimands.estimand import RISK_VARIABLES, Estimand, risk_draws_of
from cotreat.estimands.identification import Identification
from cotreat.evidence.resolve import resolve
from cotreat.inference import vectorise
from cotreat.inference.standard_coordinates import Density

Array = NDArray[np.float64]


def quantities_of(job: Job, density: Density, points: Array) -> Iterator[tuple[str, str, Array]]:
    """Yield name, kind and values of everything that is ranked.

    Parameters
    ----------
    points
        Shape (replicate, draw, size).

    Yields
    ------
    tuple
        Values have shape (replicate, draw). Of estimands those that have a value everywhere.
    """
    flat = points.reshape(-1, points.shape[-1])
    free = vectorise.labelled(density.built, density.draws(flat, job.numbers), len(points))
    for name, values in free.items():
        for label, own in _entries(str(name), values):
            yield label, "parameter", own
    held = density.deterministics(RISK_VARIABLES, flat, job.numbers)
    risk_draws = risk_draws_of(vectorise.labelled(density.built, held, len(points)))
    risk = risk_draws["risk"].assign_attrs(risk_kind=job.study.risk_kind)
    for estimand in asked(job, risk_draws := risk_draws.assign(risk=risk)):
        own = estimand.values(risk_draws).transpose("chain", "draw").values
        if np.isfinite(own).all():
            yield estimand.code, "estimand", own


def asked(job: Job, risk_draws: xr.Dataset) -> list[Estimand]:
    """List the estimands that the model leaves open, each once: of measures the event's scale."""
    evidence = resolve(job.study)
    identification = Identification(job.study, job.model, risk_draws, evidence)
    return [
        one
        for one in enumerate_estimands(job.study, job.model, evidence)
        if not one.is_repeated and one.is_judged and identification.of(one).has_draws
    ]


def _entries(name: str, values: xr.DataArray) -> Iterator[tuple[str, Array]]:
    """Yield every entry of a variable, shape (chain, draw), with its labels."""
    dims = [dim for dim in values.dims if dim not in ("chain", "draw")]
    if not dims:
        yield name, values.transpose("chain", "draw").values
        return
    rows = values.stack(entry=dims).transpose("chain", "draw", "entry")
    for at in range(rows.sizes["entry"]):
        label = ", ".join(str(rows[dim].values[at]) for dim in dims)
        yield f"{name}[{label}]", rows.values[..., at]
