"""The whole way: fit every model and reading, answer every estimand, check, draw, write."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from cotreat.audit import wording
from cotreat.audit.audit import Audit, audit
from cotreat.audit.overlap import overlap_of
from cotreat.core.constants import CHECK_COLUMNS, DEPTHS, QUICK, SEED, STANDARD
from cotreat.diagnostics import checks
from cotreat.evidence.reported_predictive import predict
from cotreat.inference import laplace, sampling
from cotreat.inference.marginal_likelihood import Marginals
from cotreat.inference.record import Fit
from cotreat.models.registry import Model, described, is_asked_for
from cotreat.models.select import models_for
from cotreat.plots import FIT, View, draw
from cotreat.priors.prior import PriorSet
from cotreat.priors.sets import prior_set
from cotreat.report import write_report
from cotreat.report.appendix import write_appendix
from cotreat.report.caveats import Caveat, caveats
from cotreat.report.conclusion import Conclusion
from cotreat.report.folder import read_results
from cotreat.report.question import Question
from cotreat.results import headline, store
from cotreat.results.summary import summary_of
from cotreat.sensitivity.interpretations import Conflict, size_changes
from cotreat.study.study import Study
from cotreat.workflow import analyses


class FailedChecks(UserWarning):
    """A fit whose diagnostics failed: its numbers must not be used."""


@dataclass(frozen=True)
class Result:
    """What one model of a reanalysis gave under one reading.

    Attributes
    ----------
    failed : list of str
        Failed diagnostics in words; numbers with any must not be used.
    cautions : list of str
        Where prior or model and the evidence do not go together.
    caveats : list of Caveat
        What a reader of the numbers must not overlook.
    conflict : Conflict or None
        How the reading stands to the default one, where several are compared.
    changes : str
        How the fit differs from the one that was in the folder before.
    """

    folder: Path
    model: str
    interpretation: str
    summary: pd.DataFrame
    checks: pd.DataFrame
    failed: list[str]
    cautions: list[str]
    caveats: list[Caveat]
    conflict: Conflict | None
    changes: str


@dataclass(frozen=True)
class Reanalysis:
    """What a reanalysis gave: one result a fit, and the models that the study cannot carry."""

    study: Study
    results: tuple[Result, ...]
    refused: dict[str, str]
    report: Path
    conclusion: Conclusion

    @property
    def failed(self) -> bool:
        """Whether any reported fit has a failed diagnostic."""
        return any(result.failed for result in self.results)

    @property
    def primary(self) -> Result:
        """The result whose numbers make the headline: the first model, the default reading."""
        return _primary(self.study, self.results)


def _primary(study: Study, results: Sequence[Result]) -> Result:
    name = headline.primary([result.model for result in results])
    own = [result for result in results if result.model == name]
    default = [result for result in own if result.interpretation == study.interpretations[0].id]
    return (default or own)[0]


def plan(
    study: Study, models: Sequence[str], asked_models: Sequence[str], interpretations: Sequence[str]
) -> list[tuple[str, str]]:
    """Return which model is to be run under which reading.

    Unless models or readings are asked for: the leading model under every reading, and every other
    model under the default one.

    Parameters
    ----------
    models
        Those that can be run.
    readings
        Those asked for; ``all`` stands for every one.

    Raises
    ------
    ReadingError
        If the study has no such reading.
    """
    every = [interpretation.id for interpretation in study.interpretations]
    for name in set(interpretations) - {"all"}:
        study.resolve(name)
    # In the order of the study file: the default one, to which the others are compared, comes first.
    chosen = [name for name in every if name in interpretations or "all" in interpretations]
    if asked_models or chosen:
        own = list(models) if asked_models else [headline.primary(list(models))]
        return [
            (model, interpretation)
            for model in own
            for interpretation in (chosen or [study.interpretation])
        ]
    lead = headline.primary(list(models))
    pairs = [(lead, interpretation) for interpretation in every]
    return pairs + [(model, every[0]) for model in models if model != lead]


def reanalyse(
    study: Study,
    models: str | Sequence[str] = (),
    priors: str | PriorSet = "weak",
    *,
    interpretations: str | Sequence[str] = (),
    out: str | Path = "results",
    thresholds: Sequence[float] = (),
    engine: str | None = None,
    depth: str | None = None,
    on_progress: Callable[[str], None] = lambda _: None,
    **settings: Any,
) -> Reanalysis:
    """Reanalyse a study and write ``OUT/STUDY/MODEL--PRIORS--READING/`` and ``OUT/STUDY/report.html``.

    Parameters
    ----------
    models
        Name or names of models; none stands for every model that the study and the priors can carry.
    priors
        Name of a prior set, or a set of your own.
    readings
        Names of readings, or ``all``; see `plan` for what none stands for.
    out
        Folder for the results of all studies.
    thresholds
        Odds ratios for which P(odds ratio > threshold) is wanted.
    engine
        ``numpyro``, ``laplace`` or ``smc``. None stands for NUTS by NumPyro, and for sequential
        Monte Carlo under readings other than the default, whose log evidence is wanted anyway; models that
        do not make the headline are approximated by ``laplace`` at depths ``quick`` and ``standard``. With
        printed numbers a fit that fails its checks is replaced by sequential Monte Carlo.
    depth
        How much is worked out around the fits: ``quick``, ``standard`` or ``full``; None stands for the
        fits alone. Writes ``OUT/STUDY/comparison/``, ``sensitivity/`` and ``bias/``, which the report
        arranges; where every model is one that only runs when asked for by name, there is nothing around
        it. Where readings are compared, the log evidence beside NUTS is that of sequential Monte Carlo at
        ``full`` and None, and of importance sampling, where its weights can be trusted, otherwise.
    say
        Called with a line at each step.
    **settings
        ``draws``, ``tune``, ``chains``, ``seed``, ``progress`` of `sampling.fit`.

    Raises
    ------
    ModelError
        If a model that was asked for by name cannot be had; nothing is written then.
    ReadingError
        If the study has no such reading.
    ValueError
        If there is no such depth.
    """
    if depth is not None and depth not in DEPTHS:
        raise ValueError(f"no depth {depth!r}; the depths are {', '.join(DEPTHS)}")
    models = (models,) if isinstance(models, str) else models
    interpretations = (interpretations,) if isinstance(interpretations, str) else interpretations
    chosen = prior_set(priors, study) if isinstance(priors, str) else priors
    possible, refused = models_for(study, chosen, models)
    pairs = plan(study, possible, models, interpretations)
    lead = headline.primary(list(possible))
    folder = Path(out) / study.id
    folder.mkdir(parents=True, exist_ok=True)  # what cannot be written to is found out now
    results: list[Result] = []
    fits: dict[tuple[str, str], xr.DataTree] = {}
    known = _Known(pairs)
    for name, interpretation in pairs:
        shown = name if len(study.interpretations) == 1 else f"{name}, reading {interpretation}"
        on_progress(f"{study.id}: {shown}, {chosen.name} priors")
        model = described(name)
        told = study.resolve(interpretation, model.strata)
        own = _engine(told, depth, is_leader=name == lead)
        run = _Run(told, model, chosen, engine or own, settings, depth)
        tree, result = _write(run, known, folder, thresholds, f"{study.id}: {shown}", on_progress)
        results.append(result)
        if depth and not is_asked_for(model.name):
            fits[name, interpretation] = tree
    if fits and depth:
        seed = int(settings.get("seed", SEED))
        told = study.resolve(_primary(study, results).interpretation)
        analyses.write_analyses(
            told, fits, chosen, folder, depth=depth, seed=seed, on_progress=on_progress
        )
    return Reanalysis(study, tuple(results), refused, *_report(folder, study))


def _report(folder: Path, study: Study) -> tuple[Path, Conclusion]:
    """Write appendix and report of all that is in a folder, whichever of it this run has made.

    Who leads among models that tell patients apart by levels or subgroups has no four cells to show.
    """
    fits = read_results(folder).fits
    lead = next((fit for fit in fits if not fit.model.strata), fits[0])
    told = study.resolve(lead.choice[0], lead.model.strata)
    write_appendix(told, lead.summary, folder, lead.failed)
    report = write_report(folder, study)
    return report.page, report.conclusion


class _Known:
    """What later fits of a run can use of earlier ones: the prior's draws and the default reading."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        models = [model for model, _ in pairs]
        self.compared = {model for model in models if models.count(model) > 1}
        self.prior: dict[str, xr.Dataset] = {}
        self.default: dict[str, tuple[xr.Dataset, float]] = {}


@dataclass(frozen=True)
class _Run:
    """One fit to be made: a study under a reading, a model, priors, how to sample, and how deep to look."""

    study: Study
    model: Model
    priors: PriorSet
    engine: str
    settings: dict[str, Any]
    depth: str | None


def _engine(study: Study, depth: str | None, *, is_leader: bool) -> str:
    """Choose an engine: what makes the headline is sampled at any depth, its rivals if time allows."""
    if not study.is_default:
        return "smc"
    return "numpyro" if is_leader or depth not in (QUICK, STANDARD) else "laplace"


def _sampled(run: _Run, known: _Known) -> tuple[Fit, pd.DataFrame, float | None]:
    """Fit, replacing NUTS that fails; return the fit, its checks and the log evidence if wanted."""
    study, model = run.study, run.model
    sample = partial(sampling.fit_model, study, model.name, run.priors, **run.settings)
    fit = sample(engine=run.engine, prior=known.prior.get(model.name))
    known.prior[model.name] = prior = fit.prior
    table = checks.checks(fit)
    more: list[dict[str, Any]] = []
    engine = sampling.provenance(fit.draws)[
        "engine"
    ]  # not the one asked for, where that was replaced
    if engine != "smc" and study.has_uncounted and checks.failures(table):
        names = ", ".join(line.partition(":")[0] for line in checks.failures(table))
        more += table[table.check == checks.REPLACED].to_dict("records")
        more.append(checks.replaced("smc", f"{engine} failed: {names}"))
        fit = sample(engine="smc", prior=prior)
        table = checks.checks(fit)
    tree, evidence = fit.draws, None
    if "log_evidence" in tree["sample_stats"]:
        evidence = sampling.log_evidence(tree)
    elif model.name in known.compared:
        evidence = _evidence_by_weights(run, fit)
        if evidence is None:
            on_progress = bool(run.settings.get("progress"))
            beside = sampling.temper(tree, study, model.name, run.priors, on_progress=on_progress)
            more += checks.agreement(fit, beside)
            evidence = sampling.log_evidence(beside)
        stats = tree["sample_stats"].to_dataset().assign_attrs(log_evidence=evidence)
        tree["sample_stats"] = xr.DataTree(stats)
    if more:
        table = pd.concat([table, pd.DataFrame(more)[list(CHECK_COLUMNS)]], ignore_index=True)
    return fit, table, evidence


def _evidence_by_weights(run: _Run, fit: Fit) -> float | None:
    """Find the log evidence of a fit by importance sampling about its draws: a few seconds.

    Such weights cannot show a mode that the draws have missed, as sequential Monte Carlo can, which begins
    from the prior: where depth is ``full`` or nobody asked for speed, and where the weights cannot be
    trusted, there is none.
    """
    if run.depth not in (QUICK, STANDARD):
        return None
    seed = sampling.provenance(fit.draws)["seed"]
    whole = Marginals(fit.study, fit.model, fit.priors, fit.posterior, seed).whole
    return None if whole.verdict == laplace.UNRELIABLE else whole.log_evidence


def _conflict(run: _Run, known: _Known, fit: Fit, evidence: float | None) -> Conflict | None:
    """Compare a reading with the default one, if both are run."""
    if evidence is None:
        return None
    name = run.model.name
    if run.study.is_default:
        known.default[name] = (fit.posterior, evidence)
    if name not in known.default:
        return Conflict(run.study.interpretation, evidence, float("nan"), ())
    posterior, default = known.default[name]
    predictions = predict(run.study, run.priors, posterior, run.settings.get("seed", 1))
    return Conflict(run.study.interpretation, evidence, evidence - default, predictions)


def _write(
    run: _Run,
    known: _Known,
    folder: Path,
    thresholds: Sequence[float],
    shown: str,
    on_progress: Callable[[str], None],
) -> tuple[xr.DataTree, Result]:
    """Make a fit, answer every estimand, and have the fit's folder written."""
    fit, table, evidence = _sampled(run, known)
    study, model, priors, tree = fit.study, fit.model, fit.priors, fit.draws
    conflict = _conflict(run, known, fit, evidence)
    summary = summary_of(fit, thresholds)
    failed = checks.failures(table)
    cautions = checks.cautions(table)
    if conflict is not None and conflict.is_incompatible:
        cautions = [f"reading {study.interpretation}, {conflict}", *cautions]
    target = folder / f"{model.name}--{priors.name}--{study.interpretation}".replace(":", "-")
    info = {"failed_checks": failed, **sampling.provenance(tree)}
    result = Result(
        target,
        model.name,
        study.interpretation,
        summary,
        table,
        failed,
        cautions,
        caveats(summary, study, cautions),
        conflict,
        store.changes(target, info),
    )
    tree.attrs["failed_checks"] = "; ".join(failed)
    audited = audit(study)

    with store.whole_folder(target) as writing:
        store.write_table(summary, writing / store.SUMMARY, failed)
        store.write_table(table, writing / store.CHECKS, failed)
        store.write_table(audited.counts, writing / store.CELLS, failed)
        store.write_table(audited.reported, writing / store.REPORTED, failed)
        store.write_table(audited.identification, writing / store.IDENTIFICATION_TABLE, failed)
        if study.cells is not None and study.is_adjusted:
            overlap = overlap_of(study.cells)
            store.write_table(overlap.regimens, writing / store.OVERLAP, failed)
            store.write_table(overlap.balance, writing / store.BALANCE, failed)
        store.write_draws(tree, writing / store.DRAWS)
        store.write_info({**info, **_told(audited, result)}, writing / store.INFO)
        draw(FIT, View(fit, summary), writing, failed)
    on_progress(f"{shown}: {target} ({result.changes})")
    if failed:
        warnings.warn(
            f"{target.name} failed its checks: {'; '.join(failed)}", FailedChecks, stacklevel=3
        )
    return tree, result


def _told(audited: Audit, result: Result) -> dict[str, Any]:
    """Collect what the report tells of a fit beside its tables and figures."""
    study, conflict = audited.study, result.conflict
    return {
        "file": study.file,
        "title": study.title,
        "words": study.current_interpretation.words,
        "source": f"{study.source}, doi {study.doi}" if study.doi else study.source,
        "question": Question.of(study).as_json(),
        "audit": wording.words(audited),
        "open": list(audited.questions),
        "agreement": [str(a) for a in headline.agreements(result.summary)],
        "cautions": result.cautions,
        "caveats": [asdict(caveat) for caveat in result.caveats],
        "conflict": None if conflict is None else conflict.as_json(),
        "conflict_words": "" if conflict is None else str(conflict),
        "sizes": size_changes(result.summary),
    }
