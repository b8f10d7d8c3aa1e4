"""Replicates: parameters drawn from the prior, evidence drawn from the likelihood, and the posterior again."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cotreat.core.errors import ModelError
from cotreat.evidence.protocol import Given, share_orders_of
from cotreat.evidence.resolve import resolve
from cotreat.inference import laplace, vectorise
from cotreat.inference.batch import compiled
from cotreat.inference.standard_coordinates import Density
from cotreat.models.build import build, given_of
from cotreat.models.registry import Model, find_model
from cotreat.models.select import priors_for
from cotreat.priors.prior import PriorSet
from cotreat.study.study import Study

Array = NDArray[np.float64]

RANKED = 99
"""Draws of each posterior among which the truth is ranked: 100 ranks."""
EFFECTIVE = 1_000
"""Effective draws by weight from which these are drawn."""
AGAIN, TRIES = 4_000, 2
"""The same where an answer could not be trusted and is asked for again, and how often that is done: of 15
that could not, 14 then could."""
PART = 50
"""Replicates that are worked out one after the other, however many processes there are."""


@dataclass(frozen=True)
class Job:
    """What is calibrated.

    Attributes
    ----------
    study : Study
        A template: its regimens, numbers of patients, and which numbers are printed; its events and
        estimates are replaced by those that are drawn.
    model : Model
    priors : PriorSet
        Only those that the model needs.
    """

    study: Study
    model: Model
    priors: PriorSet

    @classmethod
    def of(cls, study: Study, model: str, priors: PriorSet) -> "Job":
        """Take a model by name.

        Raises
        ------
        ModelError
            If the study cannot carry the model, or holds p-values of which only a bound or no sign is
            known: what would have been printed instead of them is not known.
        """
        description = find_model(model, study)
        study = study.resolve(strata=description.strata)
        if not all(one.is_replicable for one in resolve(study)):
            raise ModelError(
                f"{study.id} under {study.interpretation} prints p-values as bounds or without sign; calibrate a "
                "reading without them"
            )
        return cls(study, description, priors_for(priors, description, study))

    @property
    def density(self) -> Density:
        """The density of its shape, compiled once in a process; it is to be asked under `numbers`."""
        return compiled(self.study, self.model, self.priors)

    @property
    def numbers(self) -> Given:
        """The numbers that the model is given."""
        return given_of(self.study, self.model, self.priors)


@dataclass(frozen=True)
class Replicate:
    """One truth, what was observed of it, and where it lies among draws of the posterior.

    Attributes
    ----------
    points : ndarray, shape (1 + RANKED, size)
        The truth, then draws of the posterior, in the coordinates of `Density`; without draws where
        the posterior cannot be trusted.
    log_likelihood : ndarray, shape (1 + RANKED,)
        Of the replicate's own evidence.
    pareto_k : float
    is_dropped : bool
    """

    points: Array
    log_likelihood: Array
    pareto_k: float
    is_dropped: bool


# --- Truths and evidence ---------------------------------------------------------------------------


def truths(built: Any, count: int, seed: int) -> tuple[vectorise.Draws, xr.Dataset]:
    """Draw the free variables from their prior; return them, and with them all that follows."""
    free = vectorise.prior(built, count, seed)
    values = {**free, **vectorise.deterministics(built, free)}
    return free, vectorise.labelled(built, values, 1)


def evidence(study: Study, drawn: xr.Dataset, rng: np.random.Generator) -> list[Given]:
    """Draw what is observed of each truth, under the names by which a model is given it.

    Parameters
    ----------
    drawn
        What `truths` returned: dims (chain, draw, …), one chain.
    """
    found: dict[str, NDArray[Any]] = {}
    for one in resolve(study):
        found |= one.replicate_data(drawn, rng)
    count = drawn.sizes["draw"]
    return [{name: values[at] for name, values in found.items()} for at in range(count)]


# --- Posteriors ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Analysis:
    """Replicates that one process works out.

    Attributes
    ----------
    truth : ndarray, shape (replicate, size)
    seen : list of dict
        What was observed of each.
    first : int
        Number of the first replicate, from which seeds are made.
    """

    job: Job
    truth: Array
    seen: list[Given]
    first: int
    seed: int


def parts_of(job: Job, count: int, seed: int) -> list[Analysis]:
    """Draw truths and evidence, cut into parts of `PART`."""
    # Not the one that is held for all of its shape, whose own priors may be others.
    orders = share_orders_of(resolve(job.study))
    own = Density(build(job.study, job.model, job.priors), orders)
    free, drawn = truths(own.built, count, seed)
    seen = evidence(job.study, drawn, np.random.default_rng(seed))
    points = own.points(free)
    return [
        Analysis(job, points[at : at + PART], seen[at : at + PART], at, seed)
        for at in range(0, count, PART)
    ]


def worked_out(part: Analysis) -> list[Replicate]:
    """Approximate the posterior of each replicate of a part, and draw from it."""
    return list(_replicates(part, part.job.density))


def _replicates(part: Analysis, density: Density) -> Iterator[Replicate]:
    base = part.job.numbers
    for at, (truth, seen) in enumerate(zip(part.truth, part.seen, strict=True)):
        numbers = {**base, **seen}
        rng = np.random.default_rng((part.seed, part.first + at))
        found = _approximated(density, numbers, rng)
        points = truth[None]
        is_dropped = found.verdict == laplace.UNRELIABLE
        if not is_dropped:
            drawn = rng.choice(len(found.points), RANKED, p=found.weights)
            points = np.concatenate([points, found.points[drawn]])
        logs = density.log_likelihood(points, numbers)
        yield Replicate(points, logs, found.pareto_k, is_dropped)


def _approximated(
    density: Density, numbers: Given, rng: np.random.Generator
) -> laplace.Approximation:
    """Approximate a posterior, with more draws and rounds if it cannot be trusted at first."""
    approximate = partial(
        laplace.approximate, density.surface(numbers), density.start, density.spreads
    )
    found = approximate(effective=EFFECTIVE, seed=int(rng.integers(2**31)))
    for _ in range(TRIES):
        if found.verdict != laplace.UNRELIABLE:
            break
        seed = int(rng.integers(2**31))
        found = approximate(effective=AGAIN, seed=seed, enough=laplace.ENOUGH)
    return found


# --- Ranks -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ranks:
    """Where truths lie among the draws of their posteriors.

    Attributes
    ----------
    by_quantity : dict
        Ranks from 0 to `RANKED` by name, each shape (replicate,).
    kinds : dict
        ``parameter``, ``estimand`` or ``log-likelihood``, by name.
    dropped : int
        Replicates whose posterior could not be trusted.
    """

    by_quantity: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    dropped: int = 0


def ranks_of(job: Job, replicates: Sequence[Replicate], seed: int) -> Ranks:
    """Rank the truths of replicates in all parameters, estimands and the log-likelihood."""
    from cotreat.calibration.quantities import quantities_of

    kept = [one for one in replicates if not one.is_dropped]
    if not kept:
        raise ModelError(
            f"no posterior of {job.model.name} on {job.study.id} can be trusted: nothing to rank"
        )
    points = np.stack([one.points for one in kept])
    rng = np.random.default_rng(seed)
    found = Ranks(dropped=len(replicates) - len(kept))
    for name, kind, values in quantities_of(job, job.density, points):
        found.by_quantity[name] = _ranked(values, rng)
        found.kinds[name] = kind
    found.by_quantity["log-likelihood"] = _ranked(
        np.stack([one.log_likelihood for one in kept]), rng
    )
    found.kinds["log-likelihood"] = "log-likelihood"
    return found


def _ranked(values: Array, rng: np.random.Generator) -> NDArray[np.int64]:
    """Rank the first of each row among the others; ties are broken at random."""
    first, others = values[:, :1], values[:, 1:]
    below, alike = (others < first).sum(1), (others == first).sum(1)
    return below + rng.integers(0, alike + 1)
