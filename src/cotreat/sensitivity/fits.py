"""Fits of a sensitivity analysis: which to make, and their answers, each computed once."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from cotreat.core.constants import FULL, QUICK
from cotreat.inference import laplace
from cotreat.inference.batch import EFFECTIVE, Answer, Specification, fit_many
from cotreat.inference.record import Fit
from cotreat.inference.sampling import fit_model, fit_of, provenance
from cotreat.models.registry import described, find_model, is_on_request
from cotreat.models.select import models_for
from cotreat.priors.sets import prior_set
from cotreat.results.headline import primary
from cotreat.results.supplementary import OnProgress, Task
from cotreat.sensitivity import multiverse
from cotreat.sensitivity.multiverse import MultiverseRows
from cotreat.sensitivity.records import Base

MANY = 8
"""Fewest slow fits for which the start of other processes pays."""
CHEAP = 4 * EFFECTIVE
"""Effective draws where a fit takes a twentieth of a second."""


@dataclass
class Answers:
    """Answers of a study by model, interpretation and priors, each fitted once.

    Attributes
    ----------
    task : Task
    models : list of str
        The primary one first.
    asked : MultiverseRows
        Rows of the multiverse from an answer.
    sampled : dict of Answer
        Answers of sampled fits, used where the batch is unreliable.
    known : dict of Answer
    rows : dict of list
        Rows of the multiverse.
    """

    task: Task
    models: list[str]
    asked: MultiverseRows
    sampled: dict[Base, Answer] = field(default_factory=dict)
    known: dict[Base, Answer] = field(default_factory=dict)
    rows: dict[Base, list[dict[str, Any]]] = field(default_factory=dict)

    @classmethod
    def of(cls, task: Task) -> Answers:
        """Find the models of a study, and the fits that can be used as they are.

        Parameters
        ----------
        task
            Study, fits, priors and settings.

        Returns
        -------
        Answers
        """
        study, priors = task.study, task.priors
        possible, _ = models_for(study, priors)
        fitted = [model for model, _ in task.fits if not is_on_request(model.partition(":")[0])]
        first = primary(fitted or possible)
        models = [first, *(model for model in possible if model != first)]
        answers = cls(task, models, MultiverseRows(task.seed))
        for (model, interpretation), draws in task.fits.items():
            if model in models and provenance(draws)["priors"] == priors.name:
                resolved = study.resolve(interpretation)
                fit = fit_of(resolved, find_model(model, resolved), draws, priors)
                # Where sequential Monte Carlo was needed, the batch may be unreliable.
                is_doubtful = task.depth == FULL and provenance(draws)["engine"] == "smc"
                answers.keep(fit, answers.sampled if is_doubtful else answers.known)
        return answers

    @property
    def is_quick(self) -> bool:
        """Whether a fit takes a twentieth of a second, as of counts; of reported estimates ten times that."""
        study = self.task.study
        return not (study.has_uncounted or study.is_adjusted or study.is_matched)

    @property
    def effective(self) -> int:
        """Effective draws of each answer."""
        return CHEAP if self.is_quick else EFFECTIVE

    @property
    def base(self) -> Base:
        """The primary analysis."""
        return Base(self.task.study.interpretation, self.models[0], self.task.priors.name)

    def keep(self, fit: Fit, answers: dict[Base, Answer]) -> None:
        """Keep the answer of a fit that passes its checks.

        Parameters
        ----------
        fit
            The fit.
        answers
            Either `known` or `sampled`.
        """
        answer = multiverse.answer_of(fit)
        if answer is not None:
            answers[Base(fit.interpretation, fit.model.name, self.task.priors.name)] = answer

    def primary_fit(self) -> Fit:
        """Return the fit of the primary analysis, made now unless it exists.

        Returns
        -------
        Fit
        """
        study, model, priors = self.task.study, self.models[0], self.task.priors
        draws = self.task.fits.get((model, study.interpretation))
        if draws is not None:
            return fit_of(study, described(model), draws, priors)
        self.task.on_progress(f"{study.id}: {model}, {priors.name} priors …")
        fit = fit_model(study, model, priors, engine="laplace", seed=self.task.seed)
        self.keep(fit, self.known)
        return fit

    def fitted(self, specifications: Sequence[Specification]) -> list[Answer]:
        """Fit what is not known yet, and return all answers in order.

        Parameters
        ----------
        specifications
            What to fit.

        Returns
        -------
        list of Answer
            A sampled one where that of the batch is unreliable.
        """
        new = {base_of(one): one for one in specifications if base_of(one) not in self.known}
        if new:
            self.task.on_progress(
                f"{len(new)} fits under other priors, models or interpretations …"
            )
            found = fit_many(
                list(new.values()),
                effective=self.effective,
                seed=self.task.seed,
                processes=os.cpu_count() if not self.is_quick and len(new) > MANY else 1,
                on_progress=_tenths(self.task.on_progress),
            )
            self.known |= dict(zip(new, found, strict=True))
        return [self._answer(base_of(one)) for one in specifications]

    def _answer(self, key: Base) -> Answer:
        """Return an answer, of a sampled fit where that of the batch is unreliable."""
        answer = self.known[key]
        return self.sampled.get(key, answer) if answer.verdict == laplace.UNRELIABLE else answer

    def is_reliable(self, one: Specification) -> bool:
        """Whether the batch, not only a sampled fit, is reliable.

        Parameters
        ----------
        one
            A specification that was fitted.

        Returns
        -------
        bool
        """
        return self.known[base_of(one)].verdict != laplace.UNRELIABLE

    def table(self, specifications: Sequence[Specification]) -> pd.DataFrame:
        """Return the rows of the multiverse of some specifications.

        Parameters
        ----------
        specifications
            Fitted now where they are not known.

        Returns
        -------
        pandas.DataFrame
        """
        rows: list[dict[str, Any]] = []
        for one, answer in zip(specifications, self.fitted(specifications), strict=True):
            key = base_of(one)
            if key not in self.rows:
                self.rows[key] = self.asked.rows(answer, prior_set(one.priors, one.study))
            rows += self.rows[key]
        return multiverse.table_of(rows)


def base_of(one: Specification) -> Base:
    """Return interpretation, model and name of the priors of a specification.

    Parameters
    ----------
    one
        The specification.

    Returns
    -------
    Base
    """
    return Base(one.study.interpretation, one.model, multiverse.name_of_set(one))


def _tenths(on_progress: OnProgress) -> Callable[[int, int], None]:
    """Report every tenth part of a batch."""
    last = 0

    def report(done: int, total: int) -> None:
        nonlocal last
        if done == total or done - last >= total / 10:
            last = done
            on_progress(f"  {done} of {total}")

    return report


@dataclass(frozen=True)
class Plan:
    """Specifications to fit.

    Attributes
    ----------
    base : list of Specification
        Interpretations and models under the priors of the analysis.
    multiverse : list of Specification
        These, and those under other priors.
    grid : list of Specification
        The belief grid; empty at depth quick, and where the primary model has no interactions.
    is_crossed : bool
        Whether interpretations, models and priors, and beliefs about effects and interactions, are crossed.
    """

    base: list[Specification]
    multiverse: list[Specification]
    grid: list[Specification]
    is_crossed: bool


def plan_fits(answers: Answers) -> Plan:
    """Plan the fits of a sensitivity analysis.

    Parameters
    ----------
    answers
        Of the study; where fits are crossed, the base is fitted, because a model whose fit is unreliable is
        so under other priors too.

    Returns
    -------
    Plan
    """
    study, depth, model = answers.task.study, answers.task.depth, described(answers.models[0])
    is_crossed = depth == FULL or answers.is_quick
    base = multiverse.bases(study, answers.models, answers.task.priors, is_full=is_crossed)
    same = [one for one in base if one.study.interpretation == study.interpretation]
    base = same if depth == QUICK else base
    varied = same[:1]  # the primary analysis
    if is_crossed:
        answers.fitted(base)
        varied = [one for one in base if answers.is_reliable(one)]
    every = base + [other for one in varied for other in multiverse.other_priors(one)]
    has_grid = depth != QUICK and model.has_products and model.has_structure
    grid = multiverse.grid(study, model.name, is_full=is_crossed) if has_grid else []
    return Plan(base, every, grid, is_crossed)
