"""Fit many specifications (study, interpretation, model, priors) by importance sampling.

Specifications of one shape share a compiled density, and each fit starts from the proposal of the previous
one. Every answer contains the Pareto k of its weights. Of reported estimates with unknown arm sizes, whose
posteriors may have several modes, a fit that is not good is repeated by sequential Monte Carlo; other unreliable
answers are marked as such.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cotreat.core.constants import SEED
from cotreat.estimands.estimand import CONDITIONAL
from cotreat.estimands.measures import MEASURES
from cotreat.evidence.protocol import Given, share_orders_of
from cotreat.evidence.resolve import resolve
from cotreat.evidence.statistics import STATISTICS
from cotreat.inference import laplace, tempering, vectorise
from cotreat.inference.laplace import USUAL, Approximation, Effort, Proposal
from cotreat.inference.sampling import prepare_jax
from cotreat.inference.search import Search, search_of
from cotreat.inference.standard_coordinates import Density
from cotreat.models.build import build, given_of, shape_of
from cotreat.models.registry import MODELS, Model, find_model
from cotreat.models.select import priors_for
from cotreat.priors.defaults import PARAMETERS
from cotreat.priors.prior import PriorSet
from cotreat.priors.sets import prior_set
from cotreat.study.study import Study

LAPLACE, SMC = "laplace", "smc"
RISK_DRAWS = ("risk", CONDITIONAL, "size", "sigma")
"""Variables of an answer, where the model has them."""
EFFECTIVE, DRAWS = 1000, 4000
"""Target effective sample size, and number of draws of equal weight resampled from the weighted draws. The
resampled draws are more numerous, so that resampling adds little to the Monte Carlo error."""
ONE_THREAD = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}
"""Environment of a worker process: one thread, because further threads would compete for the cores."""
PART = 40
"""Largest number of specifications of one shape that are fitted in sequence, each from the previous proposal.
It does not depend on the number of processes, so that results do not either."""
HELD = 8
"""Largest number of compiled densities in the cache of a process."""
TRIED_AGAIN = 0.15
"""Share of draws that must be effective when the proposal of an unreliable fit is adapted again."""
REPEATED = 1
"""Part of the seed of a fit that is repeated."""
FEW = 40
"""Up to this number, specifications are fitted in the current process, because a worker takes seconds to start."""


@dataclass(frozen=True)
class Specification:
    """Specify one fit.

    Attributes
    ----------
    study : Study
        The study, resolved to one of its interpretations.
    model : str
        Name of a model in `cotreat.models.registry.MODELS`.
    priors : PriorSet, str or None
        A prior set or its name; None for the default one of the study.
    """

    study: Study
    model: str
    priors: PriorSet | str | None = None


@dataclass(frozen=True)
class Answer:
    """Record the result of one specification.

    Attributes
    ----------
    study : Study
        The study, resolved to its interpretation and to the strata of the model.
    model, priors : str
        Names of the model and of the prior set.
    pareto_k : float
        Shape of the tail of the importance weights.
    verdict : str
        ``good``, ``borderline`` or ``unreliable``. Numbers of an unreliable answer must not be used.
    effective : float
        Effective sample size of the weighted draws.
    log_evidence : float
        Log marginal likelihood.
    risk_draws : xarray.Dataset
        Draws of equal weight from which estimands are computed, dims ``chain`` (one), ``draw`` and ``arm``.
    engine : str
        ``laplace``, or the engine that replaced it: ``smc``, without Pareto k.
    """

    study: Study
    model: str
    priors: str
    pareto_k: float
    verdict: str
    effective: float
    log_evidence: float
    risk_draws: xr.Dataset
    engine: str = LAPLACE


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
    specifications
        The fits to make.
    effective
        Target effective sample size per answer.
    draws
        Number of draws of equal weight per answer.
    seed
        Seed of the random numbers. Answers do not depend on the number of processes.
    processes
        Number of worker processes; by default one per core if there are more than `FEW` specifications,
        otherwise 1.
    effort
        Computing effort per proposal: by default `cotreat.inference.laplace.USUAL`.
    on_progress
        Called with the number of finished specifications and their total.

    Returns
    -------
    list of Answer
        One answer per specification, in the same order.

    Raises
    ------
    ModelError
        If a study or a prior set is incompatible with a model. No fit is made in that case.

    Examples
    --------
    >>> study = load_study("sun2024")
    >>> answers = fit_many([Specification(study, "interaction", name) for name in GRID])
    >>> [answer.verdict for answer in answers]
    """
    tasks = [_task(at, specification) for at, specification in enumerate(specifications)]
    if processes is None:
        processes = 1 if len(tasks) <= FEW else os.cpu_count() or 1
    answers: dict[int, Answer] = {}
    fit = partial(_fit_part, effective=effective, draws=draws, seed=seed, effort=effort)
    parts = _shared(tasks)
    finished: Iterator[list[tuple[int, Answer]]]
    if processes == 1:
        finished = ([answer] for part in parts for answer in fit(part))
    else:
        calls = [(_whole_part, (fit, part)) for part in parts]
        finished = in_processes(calls, min(processes, len(parts)))
    for some in finished:
        answers.update(some)
        on_progress(len(answers), len(tasks))
    repeated = sum(answer.engine == SMC for answer in answers.values())
    if repeated:
        print(
            f"{repeated} of {len(tasks)} fits by Laplace's approximation were not good: repeated by "
            "sequential Monte Carlo",
            file=sys.stderr,
        )
    return [answers[at] for at in range(len(tasks))]


@dataclass(frozen=True)
class _Task:
    """A specification with its index, resolved study, chosen priors and shape."""

    at: int
    study: Study
    model: str
    priors: PriorSet
    shape: str

    @property
    def evidence(self) -> tuple[str, str]:
        """Key of the data: digest and interpretation of the study."""
        return self.study.digest, self.study.interpretation


def _task(at: int, specification: Specification) -> _Task:
    """Resolve a specification: study by the strata of the model, and priors of its parameters."""
    model = find_model(specification.model, specification.study)
    study = specification.study.resolve(strata=model.strata)
    chosen = priors_for(prior_set(specification.priors, study), model, study)
    return _Task(at, study, model.name, chosen, shape_of(study, model, chosen))


def _shared(tasks: list[_Task]) -> list[list[_Task]]:
    """Group tasks by shape, in chunks of at most `PART` tasks, the largest chunk first."""
    order = list(dict.fromkeys(task.evidence for task in tasks))

    def key(task: _Task) -> tuple[float, ...]:
        numbers = [np.ravel(v) for row in task.priors.rows for v in row.given().values()]
        return (order.index(task.evidence), *map(float, np.concatenate(numbers)))

    shapes: dict[str, list[_Task]] = {}
    for task in sorted(tasks, key=key):
        shapes.setdefault(task.shape, []).append(task)
    parts = [
        group[at : at + PART] for group in shapes.values() for at in range(0, len(group), PART)
    ]
    return sorted(parts, key=len, reverse=True)


def in_processes(
    calls: Sequence[tuple[Callable[..., Any], tuple[Any, ...]]], processes: int
) -> Iterator[Any]:
    """Run calls in worker processes and yield their results in order of completion.

    Parameters
    ----------
    calls
        Pairs of a function and its arguments. Each function calls `prepare_process` before JAX starts.
    processes
        Number of worker processes, at least 2, because joblib runs a single one in the current process.

    Returns
    -------
    iterator
        Results of the calls.
    """
    from joblib import Parallel, delayed, parallel_config

    tasks = (delayed(with_registered(function))(*arguments) for function, arguments in calls)
    with parallel_config("loky", inner_max_num_threads=1):
        pool = Parallel(processes, return_as="generator_unordered", batch_size=1, max_nbytes=None)
        results: Iterator[Any] = pool(tasks)
    return results


def with_registered(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that first registers in a worker process what is registered in this one.

    A worker imports the package alone, without the models, priors, measures and statistics of the user.

    Parameters
    ----------
    function
        What the worker runs.

    Returns
    -------
    callable
        With the same arguments and results.
    """
    return partial(_registering, tuple(dict(registry) for registry in _REGISTRIES), function)


_REGISTRIES: tuple[dict[str, Any], ...] = (MODELS, PARAMETERS, MEASURES, STATISTICS)


def _registering(
    registered: tuple[dict[str, Any], ...], function: Callable[..., Any], *arguments: Any
) -> Any:
    for registry, entries in zip(_REGISTRIES, registered, strict=True):
        for name, entry in entries.items():
            registry.setdefault(name, entry)
    return function(*arguments)


def prepare_process() -> None:
    """Limit XLA to one thread in a worker process, because further threads would compete for the cores."""
    os.environ["XLA_FLAGS"] = ONE_THREAD["XLA_FLAGS"]
    prepare_jax()


def _whole_part(fit: Callable[..., Any], part: list[_Task]) -> list[tuple[int, Answer]]:
    """Fit a group of tasks in a worker process and return the answers by index."""
    prepare_process()
    return list(fit(part))


def _fit_part(
    part: list[_Task], *, effective: int, draws: int, seed: int, effort: Effort
) -> Iterator[tuple[int, Answer]]:
    """Fit tasks of one shape in sequence, each from the proposal of the previous one."""
    prepare_jax()
    model = find_model(part[0].model, part[0].study)
    density = compiled(part[0].study, model, part[0].priors)
    state, evidence = _State(), ("", "")
    for task in part:
        numbers = given_of(task.study, model, task.priors)
        if task.evidence != evidence:
            # A search of other data says nothing about the modes of these.
            rng = np.random.default_rng(seed + task.at)
            search = search_of(density, resolve(task.study), numbers, rng)
            before = None if search is not None or not state.is_searched else state.before
            state = _State(search, before)
        evidence = task.evidence
        approximate = partial(
            laplace.approximate,
            density.surface(numbers),
            density.start,
            density.spreads,
            seed=seed + task.at,
            effort=effort,
        )
        approximation = state.fitted(approximate, effective)
        answer = _answer(task, approximation, density, numbers, draws)
        if not state.is_searched:
            answer = replace(answer, verdict=laplace.UNRELIABLE)
        # A transferred proposal may be borderline, because the search was good.
        search = state.search if approximation.modes else None
        is_repeated = laplace.must_repeat(approximation, search) or not state.is_searched
        if is_repeated and state.may_repeat:
            answer = state.repeated(answer, task, density, numbers)
        yield task.at, answer


@dataclass
class _State:
    """What the fits of one study share: the search for modes, and the proposal of the previous fit.

    Attributes
    ----------
    search : Search or None
        Independent search for modes.
    before : Proposal or None
        Proposal of the previous fit.
    is_searched, is_worth_more, may_repeat : bool
        Whether the search for modes is complete; whether more draws may make an unreliable answer reliable; and
        whether sequential Monte Carlo may replace it.
    """

    search: Search | None = None
    before: Proposal | None = None
    is_searched: bool = True
    is_worth_more: bool = True
    may_repeat: bool = False

    def __post_init__(self) -> None:
        self.may_repeat = self.search is not None

    def fitted(self, approximate: Callable[..., Approximation], effective: int) -> Approximation:
        """Fit a specification, and keep its proposal."""
        if not self.is_searched:  # More draws cannot make the answer reliable.
            approximation = approximate(first=self.before, effective=0)
        else:
            # The first proposal must be good, because all later fits start from it.
            enough = laplace.ENOUGH if self.before is None else None
            approximation = approximate(
                first=self.before, effective=effective, enough=enough, search=self.search
            )
            if approximation.modes:  # A new search for modes was made.
                self.is_searched = approximation.is_searched
            elif self.is_worth_more and (
                approximation.verdict == laplace.UNRELIABLE or approximation.effective < effective
            ):
                approximation = approximate(
                    first=approximation.proposal, effective=effective, enough=TRIED_AGAIN
                )
            # If a second attempt stays unreliable, those of neighbouring priors will as well.
            self.is_worth_more = approximation.verdict != laplace.UNRELIABLE
        self.before = approximation.proposal
        return approximation

    def repeated(self, answer: Answer, task: _Task, density: Density, numbers: Given) -> Answer:
        """Repeat a fit by sequential Monte Carlo; later fits start from its particles."""
        rng = np.random.default_rng((task.at, REPEATED))
        surface = density.surface(numbers)
        sample = tempering.sample(surface, density.start, density.widths, rng)
        self.may_repeat = sample.is_stable
        if not sample.is_stable:
            return answer
        points = sample.points.reshape(-1, density.size)
        self.before = Proposal.of(tempering.mixture(points, rng))
        self.is_searched = self.is_worth_more = True
        count = answer.risk_draws.sizes["draw"]
        return replace(
            answer,
            pareto_k=np.nan,
            verdict=laplace.GOOD,
            effective=sample.effective,
            log_evidence=sample.log_evidence,
            risk_draws=_risk_draws(task, density, numbers, rng.permutation(points)[:count]),
            engine=SMC,
        )


_held: dict[tuple[str, tuple[str, ...]], Density] = {}


def compiled(study: Study, model: Model, priors: PriorSet) -> Density:
    """Return the compiled density of a model and study, from a cache by shape.

    Specifications of one shape share the density. Its ``given`` and ``built`` contain the numbers of the
    study and priors with which the shape was first compiled in this process.

    Parameters
    ----------
    study
        The study, resolved to one interpretation.
    model
        The model.
    priors
        Priors of the parameters of the model and no others.

    Returns
    -------
    Density
        The log density in standardised coordinates.
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
    task: _Task, approximation: Approximation, density: Density, numbers: Given, draws: int
) -> Answer:
    """Return the answer of a task: equally weighted risk draws with the diagnostics of the approximation."""
    points = approximation.resampled(1, draws, np.random.default_rng(task.at))[0]
    return Answer(
        task.study,
        task.model,
        task.priors.name,
        approximation.pareto_k,
        approximation.verdict,
        approximation.effective,
        approximation.log_evidence,
        _risk_draws(task, density, numbers, points),
    )


def _risk_draws(
    task: _Task, density: Density, numbers: Given, points: NDArray[np.float64]
) -> xr.Dataset:
    """Return the labelled risk draws at points."""
    values = density.deterministics(RISK_DRAWS, points, numbers)
    risk_draws = vectorise.labelled(density.built, values, 1)
    risk_draws["risk"].attrs["risk_kind"] = task.study.risk_kind
    return risk_draws.assign_coords(draw=range(len(points)))
