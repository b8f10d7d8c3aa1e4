"""Many fits at once: data sets, readings, models and priors.

Specifications of one shape share a compiled density and hand on their proposals; each comes back with the
Pareto k of its weights. Bad ones are told, and not fitted by other means.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from cotreat.core.constants import SEED
from cotreat.estimands.enumerate import judged_measures
from cotreat.estimands.estimand import CONDITIONAL, Estimand, is_beyond_null
from cotreat.evidence.protocol import Given, share_orders_of
from cotreat.evidence.resolve import resolve
from cotreat.inference import laplace, vectorise
from cotreat.inference.laplace import USUAL, Approximation, Effort
from cotreat.inference.sampling import prepare_jax
from cotreat.inference.standard_coordinates import Density
from cotreat.models.build import build, given_of, shape_of
from cotreat.models.registry import Model, find_model
from cotreat.models.select import priors_for
from cotreat.priors.prior import PriorSet
from cotreat.priors.sets import prior_set
from cotreat.study.study import Study

RISK_DRAWS = ("risk", CONDITIONAL, "size", "sigma")
"""What answers hold, of a model that has it."""
EFFECTIVE, DRAWS = 1000, 4000
"""Effective draws that are wanted, and draws of equal weight that are made of them: so many more that taking
them adds next to nothing to the Monte Carlo error."""
ONE_THREAD = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}
"""Settings of a process beside others: threads of its own would only wait for theirs."""
PART = 40
"""Specifications of one shape that are fitted one after the other, each begun with what served before:
however many processes there are, so that these change no number."""
HELD = 8
"""Compiled densities that a process keeps."""
TRIED_AGAIN = 0.15
"""Of a fit that turned out bad, the share of draws that must be effective when its proposal is fitted once more."""
FEW = 40
"""So many specifications or fewer are fitted in this process: another takes seconds to begin."""


@dataclass(frozen=True)
class Specification:
    """One fit that is asked for.

    Attributes
    ----------
    study : Study
        Under one of its readings.
    model : str
    priors : PriorSet or str
    """

    study: Study
    model: str
    priors: PriorSet | str = "weak"


@dataclass(frozen=True)
class Answer:
    """What came of a specification.

    Attributes
    ----------
    model, priors : str
        Names.
    pareto_k : float
    verdict : str
        ``good``, ``middling`` or ``bad``: of a bad one no number must be used.
    effective : float
        Effective draws.
    log_evidence : float
        Log marginal likelihood.
    waist : xarray.Dataset
        What estimands are asked of, by ``chain`` (one), ``draw`` and ``arm``; draws of equal weight.
    """

    study: Study
    model: str
    priors: str
    pareto_k: float
    verdict: str
    effective: float
    log_evidence: float
    risk_draws: xr.Dataset


def fit_many(
    specifications: Sequence[Specification],
    *,
    effective: int = EFFECTIVE,
    draws: int = DRAWS,
    seed: int = SEED,
    processes: int | None = None,
    effort: Effort = USUAL,
    on_progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> list[Answer]:
    """Fit many specifications by Laplace's approximation with importance sampling.

    Parameters
    ----------
    effective
        Effective draws that each is to have.
    draws
        Draws of equal weight that each answer holds.
    seed
        The same seed gives the same answers, whatever the number of processes.
    processes
        Of this machine; by default one for each core where there are more than `FEW` specifications.
    effort
        What is spent on each proposal: `cotreat.inference.laplace.USUAL` or ``CAREFUL``.
    say
        Called with how many are done, and of how many.

    Returns
    -------
    list of Answer
        In the order of the specifications.

    Raises
    ------
    ModelError
        If a study or a prior set cannot go with a model; nothing is fitted then.

    Examples
    --------
    >>> study = load_study("sun2024")
    >>> answers = fit_many([Specification(study, "interaction", name) for name in GRID])
    >>> table_of(answers)
    """
    tasks = [_task(at, one) for at, one in enumerate(specifications)]
    if processes is None:
        processes = 1 if len(tasks) <= FEW else os.cpu_count() or 1
    found: dict[int, Answer] = {}
    settings = _Settings(effective, draws, seed, effort)
    for part in _in_parts(_shared(tasks), settings, processes):
        found.update(part)
        on_progress(len(found), len(tasks))
    return [found[at] for at in range(len(tasks))]


def table_of(answers: Sequence[Answer]) -> pd.DataFrame:
    """List answers, a row each: of bad ones their Pareto k alone, of others the probabilities of synergy."""
    rows = []
    asked: dict[tuple[str, str, str], list[Estimand]] = {}
    for one in answers:
        row: dict[str, object] = {
            "study": one.study.id,
            "model": one.model,
            "priors": one.priors,
            "interpretation": one.study.interpretation,
            "pareto_k": one.pareto_k,
            "verdict": one.verdict,
        }
        if one.verdict != laplace.UNRELIABLE:
            row |= {"effective": one.effective, "log_evidence": one.log_evidence}
            row |= _probabilities(one, asked)
        rows.append(row)
    return pd.DataFrame(rows)


def _probabilities(
    one: Answer, asked: dict[tuple[str, str, str], list[Estimand]]
) -> dict[str, float]:
    """Work out P(measure beyond its null) of one measure of each family, pair and background.

    Which can be had is found out once for a study, reading and model: no prior changes that.
    """
    key = (one.study.digest, one.study.interpretation, one.model)
    if key not in asked:
        model = find_model(one.model, one.study)
        asked[key] = judged_measures(one.study, model, one.risk_draws, resolve(one.study))
    return {e.code: float(is_beyond_null(e, one.risk_draws).mean()) for e in asked[key]}


class _Settings(NamedTuple):
    effective: int
    draws: int
    seed: int
    effort: Effort


@dataclass(frozen=True)
class _Task:
    at: int
    study: Study
    model: str
    priors: PriorSet
    shape: str


def _task(at: int, one: Specification) -> _Task:
    model = find_model(one.model, one.study)
    study = one.study.resolve(strata=model.strata)
    chosen = prior_set(one.priors, study) if isinstance(one.priors, str) else one.priors
    chosen = priors_for(chosen, model, study)
    return _Task(at, study, model.name, chosen, shape_of(study, model, chosen))


def _shared(tasks: list[_Task]) -> list[list[_Task]]:
    """Share tasks out: those of one shape together, at most `PART` of them."""
    shapes: dict[str, list[_Task]] = {}
    for task in _like_after_like(tasks):
        shapes.setdefault(task.shape, []).append(task)
    parts = [own[at : at + PART] for own in shapes.values() for at in range(0, len(own), PART)]
    return sorted(parts, key=len, reverse=True)


def _like_after_like(tasks: list[_Task]) -> list[_Task]:
    """Order tasks so that priors of one study differ little from one to the next: its proposal serves then."""
    places: dict[tuple[str, str], int] = {}
    for task in tasks:
        places.setdefault((task.study.digest, task.study.interpretation), len(places))

    def key(task: _Task) -> tuple[float, ...]:
        numbers = [np.ravel(v) for row in task.priors.rows for v in row.given().values()]
        place = places[task.study.digest, task.study.interpretation]
        return (place, *map(float, np.concatenate(numbers)))

    return sorted(tasks, key=key)


def _in_parts(
    parts: list[list[_Task]], settings: _Settings, processes: int
) -> Iterator[dict[int, Answer]]:
    if processes == 1:
        for part in parts:
            yield from _fit_part(part, settings)
        return
    calls = [(_whole_part, (part, settings)) for part in parts]
    yield from beside(calls, min(processes, len(parts)))


def beside(
    calls: Sequence[tuple[Callable[..., Any], tuple[Any, ...]]], processes: int
) -> Iterator[Any]:
    """Begin calls in processes beside this one; yield what they return, in the order in which they end.

    Parameters
    ----------
    calls
        Functions, each with its arguments. They call `prepare_process` before JAX starts there.
    processes
        At least 2: with 1 joblib works in this process.
    """
    from joblib import Parallel, delayed, parallel_config

    begun = (delayed(function)(*arguments) for function, arguments in calls)
    with parallel_config("loky", inner_max_num_threads=1):
        pool = Parallel(processes, return_as="generator_unordered", batch_size=1, max_nbytes=None)
        found: Iterator[Any] = pool(begun)
    return found


def prepare_process() -> None:
    """Keep XLA to one thread in a process beside others: threads of its own would only wait for theirs."""
    os.environ["XLA_FLAGS"] = ONE_THREAD["XLA_FLAGS"]
    prepare_jax()


def _whole_part(part: list[_Task], settings: _Settings) -> dict[int, Answer]:
    prepare_process()
    found: dict[int, Answer] = {}
    for one in _fit_part(part, settings):
        found |= one
    return found


def _fit_part(part: list[_Task], settings: _Settings) -> Iterator[dict[int, Answer]]:
    """Fit tasks of one shape, each begun with what served for the one before."""
    prepare_jax()
    model = find_model(part[0].model, part[0].study)
    density = compiled(part[0].study, model, part[0].priors)
    before, is_searched, is_worth_more, evidence = None, True, True, ("", "")
    for task in part:
        now = (task.study.digest, task.study.interpretation)
        if now != evidence:  # whether its modes can be found, and more draws help, is for it to say
            before, is_searched, is_worth_more = before if is_searched else None, True, True
        evidence = now
        numbers = given_of(task.study, model, task.priors)
        approximate = partial(
            laplace.approximate,
            density.surface(numbers),
            density.start,
            density.spreads,
            seed=settings.seed + task.at,
            effort=settings.effort,
        )
        if not is_searched:  # no draws could mend it
            found = approximate(first=before, effective=0)
        else:
            # The first one's proposal is handed on to all.
            enough = laplace.ENOUGH if before is None else None
            found = approximate(first=before, effective=settings.effective, enough=enough)
            if found.modes:  # they were looked for anew
                is_searched = found.is_searched
            elif is_worth_more and (
                found.verdict == laplace.UNRELIABLE or found.effective < settings.effective
            ):
                found = approximate(
                    first=found.proposal, effective=settings.effective, enough=TRIED_AGAIN
                )
            # Where what was tried again was bad all the same, its neighbours will be.
            is_worth_more = found.verdict != laplace.UNRELIABLE
        before = found.proposal
        answer = _answer(task, found, density, numbers, settings.draws)
        yield {task.at: answer if is_searched else replace(answer, verdict=laplace.UNRELIABLE)}


_held: dict[tuple[str, tuple[str, ...]], Density] = {}


def compiled(study: Study, model: Model, priors: PriorSet) -> Density:
    """Return the density of a model of a study, compiled once in a process for all of its shape.

    The numbers it holds, and those of ``built``, are the study's and the priors' that it was first asked for.

    Parameters
    ----------
    priors
        Only those that the model needs.
    """
    key = (shape_of(study, model, priors), study.present)
    if key not in _held:
        prepare_jax()
        built = build(study, model, priors)
        while len(_held) >= HELD:
            del _held[next(iter(_held))]
        _held[key] = Density(built, share_orders_of(resolve(study)))
    return _held[key]


def _answer(
    task: _Task, found: Approximation, density: Density, numbers: Given, draws: int
) -> Answer:
    points = found.resampled(1, draws, np.random.default_rng(task.at))[0]
    values = density.deterministics(RISK_DRAWS, points, numbers)
    risk_draws = vectorise.labelled(density.built, values, 1)
    risk = risk_draws["risk"].assign_attrs(risk_kind=task.study.risk_kind)
    return Answer(
        task.study,
        task.model,
        task.priors.name,
        found.pareto_k,
        found.verdict,
        found.effective,
        found.log_evidence,
        risk_draws.assign(risk=risk).assign_coords(draw=range(draws)),
    )
