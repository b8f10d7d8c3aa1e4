"""Ranks of true values: of parameters, estimands not fixed by assumption, and log-likelihood."""

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np
import pandas as pd
import xarray as xr
from arviz_base import xarray_sel_iter
from arviz_base.labels import BaseLabeller
from numpy.typing import NDArray

from cotreat.calibration.replicates import Job, Replicate
from cotreat.core.errors import ModelError
from cotreat.estimands.enumerate import enumerate_estimands
from cotreat.estimands.estimand import RISK_VARIABLES, Estimand, risk_draws_of
from cotreat.estimands.identification import Identification
from cotreat.evidence.resolve import resolve
from cotreat.inference import vectorise

Array = NDArray[np.float64]
LIKELIHOOD = "log-likelihood"


def quantities_of(job: Job, points: Array) -> Iterator[tuple[str, str, Array]]:
    """Yield name, kind and values of each ranked quantity.

    Parameters
    ----------
    job
        Model and study.
    points
        Shape (replicate, draw, size), in the coordinates of the job's density.

    Yields
    ------
    tuple
        Values have shape (replicate, draw). Estimands without a value in some draw are left out.
    """
    density = job.density
    flat = points.reshape(-1, points.shape[-1])
    free = vectorise.labelled(density.built, density.draws(flat, job.numbers), len(points))
    for name, index, position in xarray_sel_iter(free, skip_dims={"chain", "draw"}):
        label = BaseLabeller().make_label_flat(name, index, position)
        yield label, "parameter", free[name].sel(index).transpose("chain", "draw").values
    derived = density.deterministics(RISK_VARIABLES, flat, job.numbers)
    risk_draws = risk_draws_of(vectorise.labelled(density.built, derived, len(points)))
    risk_draws["risk"].attrs["risk_kind"] = job.study.risk_kind
    for estimand in ranked_estimands(job, risk_draws):
        entry = estimand.values(risk_draws).transpose("chain", "draw").values
        if np.isfinite(entry).all():
            yield estimand.code, "estimand", entry


def ranked_estimands(job: Job, risk_draws: xr.Dataset) -> list[Estimand]:
    """List each estimand once that the model does not fix; those judged on events, not on non-events.

    Parameters
    ----------
    job
        Model and study.
    risk_draws
        Draws of the risks, from which identification is determined.

    Returns
    -------
    list of Estimand
    """
    evidence = resolve(job.study)
    identification = Identification(job.study, job.model, risk_draws, evidence)
    return [
        estimand
        for estimand in enumerate_estimands(job.study, job.model, evidence)
        if not estimand.is_repeated and estimand.is_judged and identification.of(estimand).has_draws
    ]


def ranks_of(job: Job, replicates: Sequence[Replicate], seed: int) -> pd.DataFrame:
    """Rank the true values of parameters, estimands and log-likelihood among draws of their posteriors.

    Parameters
    ----------
    job
        Model and study.
    replicates
        Replicates in their order.
    seed
        Seed of the order among ties.

    Returns
    -------
    pandas.DataFrame
        Ranks from 0 to `RANKED`: a row per quantity, with its name and its kind (``parameter``, ``estimand``
        or ``log-likelihood``) as index; a column per replicate with a reliable posterior.

    Raises
    ------
    ModelError
        If every posterior is unreliable.
    """
    # An unreliable posterior has no points besides the true value.
    kept = [replicate for replicate in replicates if len(replicate.points) > 1]
    if not kept:
        raise ModelError(f"every posterior of {job.model.name} on {job.study.id} is unreliable")
    rng = np.random.default_rng(seed)
    quantities = quantities_of(job, np.stack([replicate.points for replicate in kept]))
    log_likelihood = np.stack([replicate.log_likelihood for replicate in kept])
    every = chain(quantities, [(LIKELIHOOD, LIKELIHOOD, log_likelihood)])
    ranks = {(name, kind): _rank(values, rng) for name, kind, values in every}
    return pd.DataFrame(ranks).T.rename_axis(["quantity", "kind"])


def _rank(values: Array, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rank the first of each row among the others; ties are broken at random."""
    first, others = values[:, :1], values[:, 1:]
    below, equal = (others < first).sum(1), (others == first).sum(1)
    return below + rng.integers(0, equal + 1)
