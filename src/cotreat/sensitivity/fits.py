"""What is fitted to find out what the answers of a study depend on."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import xarray as xr

from cotreat.core.constants import FULL, QUICK
from cotreat.diagnostics import checks
from cotreat.inference import laplace
from cotreat.inference.batch import EFFECTIVE, Answer, Specification, fit_many
from cotreat.inference.sampling import fit_model, fit_of, provenance
from cotreat.models.registry import Model, described, find_model, is_asked_for
from cotreat.models.select import models_for
from cotreat.priors.prior import PriorSet
from cotreat.priors.sets import prior_set
from cotreat.results.headline import primary
from cotreat.results.supplementary import Fits, OnProgress, Section
from cotreat.sensitivity import multiverse
from cotreat.sensitivity.multiverse import Asked, Base
from cotreat.study.study import Study

Key = tuple[str, str, str]
"""Model, reading and priors."""

MANY = 8
"""So many costly fits or fewer are not worth the start of another process."""
CHEAP = 4 * EFFECTIVE
"""Effective draws where a fit takes a twentieth of a second."""


@dataclass
class Work:
    """What is being worked out: the study, the leading answer, and what is known already.

    Attributes
    ----------
    models : list of str
        The leading one first.
    known, sampled : dict
        Answers by model, reading and priors; sampled ones stand in where a batch fails.
    rows : dict
        What is asked of each answer.
    """

    study: Study
    models: list[str]
    priors: PriorSet
    fits: Fits
    seed: int
    on_progress: OnProgress
    asked: Asked
    sampled: dict[Key, Answer] = field(default_factory=dict)
    known: dict[Key, Answer] = field(default_factory=dict)
    rows: dict[Key, list[dict[str, Any]]] = field(default_factory=dict)

    @property
    def model(self) -> Model:
        """The leading model."""
        return described(self.models[0])

    @property
    def is_quick(self) -> bool:
        """Whether a fit takes a twentieth of a second, as of counts; of printed numbers ten times as long."""
        return not (self.study.has_uncounted or self.study.is_adjusted)

    @property
    def effective(self) -> int:
        """Effective draws that each answer is to have."""
        return CHEAP if self.is_quick else EFFECTIVE

    @property
    def base(self) -> Base:
        """The leading answer."""
        return Base(self.study.interpretation, self.model.name, self.priors.name)

    def answers(self, specifications: Sequence[Specification]) -> list[Answer]:
        """Fit what is not known yet, and return all in order."""
        new = {_key(one): one for one in specifications if _key(one) not in self.known}
        if new:
            self.on_progress(f"{len(new)} fits under other priors, models or readings …")
            found = fit_many(
                list(new.values()),
                effective=self.effective,
                seed=self.seed,
                processes=os.cpu_count() if not self.is_quick and len(new) > MANY else 1,
                on_progress=_counted(self.on_progress),
            )
            self.known |= dict(zip(new, found, strict=True))
        return [self._best(_key(one)) for one in specifications]

    def _best(self, key: Key) -> Answer:
        """Let a sampled fit stand in for one of a batch that cannot be trusted."""
        own = self.known[key]
        return self.sampled.get(key, own) if own.verdict == laplace.UNRELIABLE else own

    def table(self, specifications: Sequence[Specification]) -> pd.DataFrame:
        """Answer what is asked of each, with the columns of the multiverse."""
        rows: list[dict[str, Any]] = []
        for one, answer in zip(specifications, self.answers(specifications), strict=True):
            key = _key(one)
            if key not in self.rows:
                self.rows[key] = self.asked.rows(answer, _set_of(one))
            rows += self.rows[key]
        return multiverse.table_of(rows)


def _key(one: Specification) -> Key:
    return one.model, one.study.interpretation, multiverse.name_of_set(one)


def _set_of(one: Specification) -> PriorSet:
    return prior_set(one.priors, one.study) if isinstance(one.priors, str) else one.priors


def _counted(on_progress: OnProgress) -> Callable[[int, int], None]:
    """Tell of every tenth part of a batch."""
    told = 0

    def tell(done: int, all_: int) -> None:
        nonlocal told
        if done == all_ or done - told >= all_ / 10:
            told = done
            on_progress(f"  {done} of {all_}")

    return tell


def begun(
    study: Study, fits: Fits, priors: PriorSet, depth: str, seed: int, on_progress: OnProgress
) -> Work:
    """Find the models, and which of the fits at hand can be used as they are."""
    possible, _ = models_for(study, priors)
    own = [model for model, _ in fits if not is_asked_for(model.partition(":")[0])]
    lead = primary(own or possible)
    models = [lead, *(model for model in possible if model != lead)]
    work = Work(study, models, priors, fits, seed, on_progress, Asked(seed))
    for (model, interpretation), tree in fits.items():
        told = study.resolve(interpretation)
        if model in models and provenance(tree)["priors"] == priors.name:
            answer = multiverse.answer_of(fit_of(told, find_model(model, told), tree, priors))
            # What needed sequential Monte Carlo a batch may not be able to fit: only it itself can tell.
            is_doubtful = depth == FULL and provenance(tree)["engine"] == "smc"
            if answer is not None:
                held = work.sampled if is_doubtful else work.known
                held[model, interpretation, priors.name] = answer
    return work


def leading_fit(work: Work) -> tuple[xr.DataTree, list[str]]:
    """Return the fit of the leading answer, and its failed checks."""
    tree = work.fits.get((work.model.name, work.study.interpretation))
    if tree is None:
        work.on_progress(f"{work.study.id}: {work.model.name}, {work.priors.name} priors …")
        made = fit_model(work.study, work.model.name, work.priors, engine="laplace", seed=work.seed)
        tree, answer = made.draws, multiverse.answer_of(made)
        if answer is not None:
            work.known[work.model.name, work.study.interpretation, work.priors.name] = answer
    return tree, checks.failures(checks.checks(fit_of(work.study, work.model, tree, work.priors)))


# --- What is to be fitted ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """What is to be fitted for each table.

    Attributes
    ----------
    multiverse, grid : list of Specification
        The grid is empty where it is not asked for, or the leading model has no interactions.
    is_crossed : bool
        Whether readings, models and priors, and beliefs about effects and interactions, are crossed, and not
        changed one at a time.
    """

    multiverse: list[Specification]
    grid: list[Specification]
    is_crossed: bool

    @property
    def every(self) -> list[Specification]:
        """All of it, for one batch."""
        return [*self.multiverse, *self.grid]


def planned(work: Work, depth: str) -> Plan:
    """Return what is to be fitted."""
    study = work.study
    is_crossed = depth == FULL or work.is_quick
    base = multiverse.bases(study, work.models, work.priors, is_full=is_crossed)
    own = [
        one for one in base if one.study.interpretation == study.interpretation
    ]  # the leading answer first
    if depth == QUICK:
        base = own
    # Where a model of a reading is beyond a batch, it is so under other priors too.
    chosen = _trusted(work, base) if is_crossed else own[:1]
    every = base + [other for one in chosen for other in multiverse.beside(one)]
    if depth == QUICK or not (work.model.has_products and work.model.has_structure):
        return Plan(every, [], is_crossed)
    grid = multiverse.grid(study, work.model.name, is_full=is_crossed)
    return Plan(every, grid, is_crossed)


def _trusted(work: Work, base: Sequence[Specification]) -> list[Specification]:
    """Return those that a batch can fit."""
    work.answers(base)
    return [one for one in base if work.known[_key(one)].verdict != laplace.UNRELIABLE]


# --- What is made of it --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Piece:
    """Sections with their tables, what their figures are drawn from, and the finding for clinicians.

    Attributes
    ----------
    shown : dict
        Fields of `cotreat.plots.records.Sensitivity` by name.
    """

    sections: tuple[Section, ...]
    tables: dict[str, pd.DataFrame]
    shown: dict[str, Any] = field(default_factory=dict)
    finding: str = ""
    failed: tuple[str, ...] = ()


def pair_in_words(pair: str) -> str:
    """Write ``A:B`` as two treatments."""
    return pair.replace(":", " with ")
