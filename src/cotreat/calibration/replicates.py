"""Replicates: parameters from the prior, evidence from the likelihood, draws from the posterior."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cotreat.core.errors import ModelError
from cotreat.evidence.protocol import Evidences, Given, share_orders_of
from cotreat.evidence.resolve import resolve
from cotreat.inference import laplace, tempering, vectorise
from cotreat.inference.batch import compiled
from cotreat.inference.search import search_of
from cotreat.inference.standard_coordinates import Density
from cotreat.models.build import build, given_of
from cotreat.models.registry import Model, find_model
from cotreat.models.select import priors_for
from cotreat.priors.prior import PriorSet
from cotreat.study.study import Study

Array = NDArray[np.float64]

RANKED = 99
"""Draws of each posterior among which the true value is ranked: 100 ranks."""
FIRST: dict[str, Any] = {"effective": 1_000}
"""Effective sample size of the weighted draws from which these are resampled."""
AGAIN, RETRIES = {"effective": 4_000, "enough": laplace.ENOUGH}, 2
"""Settings and number of further attempts where a posterior was unreliable: 14 of 15 such posteriors were
then reliable."""
BATCH = 50
"""Replicates of a batch, whatever the number of processes."""


@dataclass(frozen=True)
class Job:
    """A model and a study to calibrate.

    Attributes
    ----------
    study : Study
        A template: its regimens, numbers of patients and kinds of reported estimates; its events and
        estimates are replaced by simulated ones.
    model : Model
    priors : PriorSet
        Only those that the model needs.
    """

    study: Study
    model: Model
    priors: PriorSet

    @classmethod
    def of(cls, study: Study, model: str, priors: PriorSet) -> "Job":
        """Return the job of a model by name.

        Parameters
        ----------
        study
            A template or another study.
        model
            Name of a model.
        priors
            Priors; only those that the model needs are kept.

        Returns
        -------
        Job

        Raises
        ------
        ModelError
            If the study cannot carry the model, or reports p-values as bounds or without sign, which
            the likelihood cannot simulate.
        """
        description = find_model(model, study)
        study = study.resolve(strata=description.strata)
        if not all(evidence.is_replicable for evidence in resolve(study)):
            raise ModelError(
                f"{study.id} under {study.interpretation} reports p-values as bounds or without sign; "
                "calibrate an interpretation without them"
            )
        return cls(study, description, priors_for(priors, description, study))

    @property
    def density(self) -> Density:
        """The density of the job's shape, compiled once per process; evaluate it at `numbers`."""
        return compiled(self.study, self.model, self.priors)

    @property
    def numbers(self) -> Given:
        """The data and prior parameters of the model, by name."""
        return given_of(self.study, self.model, self.priors)


@dataclass(frozen=True)
class Replicate:
    """True parameters, and draws of the posterior given evidence simulated from them.

    Attributes
    ----------
    points : ndarray, shape (1 + RANKED, size)
        The true parameters, then draws of the posterior, in the coordinates of `Density`; without
        draws where the posterior is unreliable.
    log_likelihood : ndarray, shape (1 + RANKED,)
        Of the simulated evidence at each point.
    """

    points: Array
    log_likelihood: Array


@dataclass(frozen=True)
class Batch:
    """Replicates that one process runs.

    Attributes
    ----------
    truth : ndarray, shape (replicate, size)
        True parameters.
    evidence : list of dict
        Simulated evidence of each replicate, by name.
    first : int
        Position of the first replicate among all, from which seeds are derived.
    """

    job: Job
    truth: Array
    evidence: list[Given]
    first: int
    seed: int


# --- Simulation ------------------------------------------------------------------------------------


def draw_parameters(built: Any, count: int, seed: int) -> tuple[vectorise.Draws, xr.Dataset]:
    """Draw free variables from the prior; return them, and all variables with their labels.

    Parameters
    ----------
    built
        The PyMC model.
    count
        Number of draws.
    seed
        Random seed.

    Returns
    -------
    tuple
        Values of the free variables by name, and a dataset with dims (chain, draw, …), one chain.
    """
    free = vectorise.prior(built, count, seed)
    return free, vectorise.completed(built, free, 1)


def draw_evidence(study: Study, parameters: xr.Dataset, rng: np.random.Generator) -> list[Given]:
    """Draw evidence given parameters.

    Parameters
    ----------
    study
        The study, whose kinds of evidence are simulated.
    parameters
        From `draw_parameters`: dims (chain, draw, …), one chain.
    rng
        Random generator.

    Returns
    -------
    list of dict
        Data of the model by name, for each draw.
    """
    data: dict[str, NDArray[Any]] = {}
    for evidence in resolve(study):
        data |= evidence.replicate_data(parameters, rng)
    count = parameters.sizes["draw"]
    return [{name: values[at] for name, values in data.items()} for at in range(count)]


def batches_of(job: Job, count: int, seed: int) -> list[Batch]:
    """Draw parameters and evidence of all replicates, in batches.

    Parameters
    ----------
    job
        Model and study.
    count
        Number of replicates.
    seed
        Random seed.

    Returns
    -------
    list of Batch
        In the order of the replicates, `BATCH` in each.
    """
    # Built here: the compiled density of the shape may carry the priors of another job.
    density = Density(build(job.study, job.model, job.priors), share_orders_of(resolve(job.study)))
    free, parameters = draw_parameters(density.built, count, seed)
    evidence = draw_evidence(job.study, parameters, np.random.default_rng(seed))
    points = density.points(free)
    return [
        Batch(job, points[at : at + BATCH], evidence[at : at + BATCH], at, seed)
        for at in range(0, count, BATCH)
    ]


# --- Posteriors ------------------------------------------------------------------------------------


def run_batch(batch: Batch) -> list[Replicate]:
    """Approximate the posterior of each replicate of a batch, and draw from it.

    Parameters
    ----------
    batch
        True parameters and simulated evidence.

    Returns
    -------
    list of Replicate
        In the order of the batch.
    """
    density, base = batch.job.density, batch.job.numbers
    evidence = resolve(batch.job.study)
    return [
        _replicate(density, evidence, truth, {**base, **data}, (batch.seed, batch.first + at))
        for at, (truth, data) in enumerate(zip(batch.truth, batch.evidence, strict=True))
    ]


def _replicate(
    density: Density, evidence: Evidences, truth: Array, numbers: Given, seed: tuple[int, int]
) -> Replicate:
    """Approximate a posterior, with more draws and rounds while it is not good, and draw from it.

    A posterior that stays so is sampled by sequential Monte Carlo.
    """
    rng, surface = np.random.default_rng(seed), density.surface(numbers)
    search = search_of(density, evidence, numbers, rng)
    for settings in (FIRST, *RETRIES * [AGAIN]):
        posterior = laplace.approximate(
            *(surface, density.start, density.spreads),
            seed=int(rng.integers(2**31)),
            search=search,
            **settings,
        )
        if not laplace.must_repeat(posterior, search):
            drawn = posterior.points[rng.choice(len(posterior.points), RANKED, p=posterior.weights)]
            break
    else:
        sample = tempering.sample(surface, density.start, density.widths, rng)
        drawn = rng.permutation(sample.points.reshape(-1, density.size))[:RANKED]
    points = np.concatenate([truth[None], drawn])
    return Replicate(points, density.log_likelihood(points, numbers))
