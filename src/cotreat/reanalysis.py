"""The whole way: fit every model, answer every estimand, check, draw, write."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cotreat import checks, headline, sampling, store
from cotreat.auditing import audit
from cotreat.catalogue import MODELS
from cotreat.estimands import risk_of
from cotreat.frequentist import fit_likelihood
from cotreat.names import READING
from cotreat.plots import View, draw_figures
from cotreat.priors import PriorSet, models_for, prior_set
from cotreat.remarks import remarks
from cotreat.report import write_report
from cotreat.study import Study
from cotreat.summary import summarise


class FailedChecks(UserWarning):
    """A fit whose diagnostics failed: its numbers must not be used."""


@dataclass(frozen=True)
class Result:
    """What one model of a reanalysis gave.

    Attributes
    ----------
    failed : list of str
        Failed diagnostics in words; numbers with any must not be used.
    cautions : list of str
        Where prior or model and the counts do not go together.
    remarks : list of str
        What a reader of the numbers must not overlook.
    changes : str
        How the fit differs from the one that was in the folder before.
    """

    folder: Path
    model: str
    summary: pd.DataFrame
    checks: pd.DataFrame
    failed: list[str]
    cautions: list[str]
    remarks: list[str]
    changes: str


@dataclass(frozen=True)
class Reanalysis:
    """What a reanalysis gave: one result a model, and the models that the study cannot carry."""

    study: Study
    results: tuple[Result, ...]
    refused: dict[str, str]
    report: Path

    @property
    def failed(self) -> bool:
        """Whether any reported fit has a failed diagnostic."""
        return any(result.failed for result in self.results)

    @property
    def leader(self) -> Result:
        """The result whose numbers make the headline."""
        name = headline.leader([result.model for result in self.results])
        return next(result for result in self.results if result.model == name)


def reanalyse(
    study: Study,
    models: str | Sequence[str] = (),
    priors: str | PriorSet = "weak",
    *,
    out: str | Path = "results",
    thresholds: Sequence[float] = (),
    say: Callable[[str], None] = lambda _: None,
    **settings: Any,
) -> Reanalysis:
    """Reanalyse a study and write ``OUT/STUDY/MODEL--PRIORS--READING/`` and ``OUT/STUDY/report.html``.

    Parameters
    ----------
    models
        Name or names of models; none stands for every model that the study and the priors can carry.
    priors
        Name of a prior set, or a set of your own.
    out
        Folder for the results of all studies.
    thresholds
        Odds ratios for which P(odds ratio > threshold) is wanted.
    say
        Called with a line at each step.
    **settings
        ``engine``, ``draws``, ``tune``, ``chains``, ``seed``, ``progress`` of `sampling.fit`.

    Raises
    ------
    ModelError
        If a model that was asked for by name cannot be had; nothing is written then.
    """
    models = (models,) if isinstance(models, str) else models
    chosen = prior_set(priors, study) if isinstance(priors, str) else priors
    possible, refused = models_for(study, chosen, models)
    folder = Path(out) / study.id
    folder.mkdir(parents=True, exist_ok=True)  # what cannot be written to is found out now
    results = []
    for name in possible:
        say(f"{study.id}: {name} with {chosen.name} priors")
        results.append(_run(study, name, chosen, folder, thresholds, settings))
        say(f"{study.id}: {name} written to {results[-1].folder} ({results[-1].changes})")
    page, _ = write_report(folder)
    return Reanalysis(study, tuple(results), refused, page)


def _run(
    study: Study,
    name: str,
    priors: PriorSet,
    folder: Path,
    thresholds: Sequence[float],
    settings: dict[str, Any],
) -> Result:
    model = MODELS[name]
    tree = sampling.fit(study, name, priors, **settings)
    summary = summarise(
        study,
        model,
        prior=risk_of(tree, "prior"),
        posterior=risk_of(tree),
        likelihood=fit_likelihood(study, model),
        labels={"model": name, "priors": priors.name, "reading": READING},
        thresholds=thresholds,
    )
    table = checks.check(tree, study, model)
    failed = checks.failures(table)
    cautions, beware = checks.cautions(table), remarks(summary, study)
    target = folder / f"{name}--{priors.name.replace(':', '-')}--{READING}"
    info = {"failed_checks": failed, **sampling.provenance(tree)}
    changes = store.changes(target, info)
    tree.attrs["failed_checks"] = "; ".join(failed)
    with store.whole_folder(target) as writing:
        store.write_table(summary, writing / store.SUMMARY, failed)
        store.write_table(table, writing / store.CHECKS, failed)
        store.write_draws(tree, writing / store.DRAWS)
        draw_figures(writing, View(tree, study, model, summary), failed)
        store.write_info(
            {
                **info,
                "title": study.title,
                "audit": audit(study),
                "agreement": [str(a) for a in headline.agreements(summary)],
                "cautions": cautions,
                "remarks": beware,
            },
            writing / store.INFO,
        )
    if failed:
        warnings.warn(
            f"{target.name} failed its checks: {'; '.join(failed)}", FailedChecks, stacklevel=3
        )
    return Result(target, name, summary, table, failed, cautions, beware, changes)
