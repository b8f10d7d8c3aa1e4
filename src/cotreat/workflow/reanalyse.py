"""Reanalysis of a study: fit, diagnose, summarise, analyse, draw and write."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from cotreat.audit import wording
from cotreat.audit.audit import Audit, audit
from cotreat.audit.overlap import overlap_in
from cotreat.core.constants import CHECK_COLUMNS, DEPTHS, DRAWS, QUICK, SEED, STANDARD
from cotreat.diagnostics import checks
from cotreat.inference import laplace, sampling
from cotreat.inference.marginal_likelihood import Marginals
from cotreat.inference.record import Fit
from cotreat.models.registry import Model, described, is_on_request
from cotreat.models.select import models_for
from cotreat.plots import FIT, View, draw
from cotreat.priors.belief_grid import default_name
from cotreat.priors.prior import PriorSet
from cotreat.priors.sets import prior_set
from cotreat.report import write_report
from cotreat.report.caveats import Caveat, caveats
from cotreat.report.conclusion import Conclusion
from cotreat.report.folder import read_results
from cotreat.report.four_cells import write_four_cells
from cotreat.report.question import Question
from cotreat.results import headline, prior_shift, store
from cotreat.results.summary import summary_of
from cotreat.results.supplementary import Task
from cotreat.results.verdict import is_any_at_threshold
from cotreat.sensitivity.interpretations import (
    Conflict,
    conflict_of,
    fit_common,
    names_of,
    size_changes,
)
from cotreat.study.study import Study
from cotreat.workflow import analyses


class FailedChecks(UserWarning):
    """A fit whose diagnostics failed: its numbers must not be used."""


@dataclass(frozen=True)
class Result:
    """The results of one model under one interpretation.

    Attributes
    ----------
    folder : Path
    model, interpretation : str
    summary, checks : pandas.DataFrame
    failed : list of str
        Failed diagnostics; with any, the numbers must not be used.
    cautions : list of str
        Conflicts of prior or model with the evidence.
    caveats : list of Caveat
        Caveats of the numbers.
    conflict : Conflict or None
        Comparison with the default interpretation, where several are fitted.
    changes : str
        Differences from the fit that the folder contained before.
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
    """The results of a reanalysis.

    Attributes
    ----------
    study : Study
    results : tuple of Result
        One per fit.
    refused : dict of str
        Reasons by model that cannot be fitted.
    report : Path
        ``report.html``.
    conclusion : Conclusion
        Of the primary analysis in the study's folder.
    """

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
        """The primary analysis: the primary model under the default interpretation."""
        return _primary(self.study, self.results)


def _primary(study: Study, results: Sequence[Result]) -> Result:
    name = headline.primary([result.model for result in results])
    own = [result for result in results if result.model == name]
    default = [result for result in own if result.interpretation == study.interpretations[0].id]
    return (default or own)[0]


def plan(
    study: Study, models: Sequence[str], asked_models: Sequence[str], interpretations: Sequence[str]
) -> list[tuple[str, str]]:
    """Return the models and interpretations to fit.

    By default the primary model under every interpretation, and every other model under the default one.

    Parameters
    ----------
    study
        With its interpretations.
    models
        Models that can be fitted.
    asked_models
        Models named by the user.
    interpretations
        Interpretations named by the user, or ``all``.

    Returns
    -------
    list of (str, str)
        Model and interpretation of each fit.

    Raises
    ------
    InterpretationError
        If the study has no such interpretation.
    """
    every = [interpretation.id for interpretation in study.interpretations]
    for name in set(interpretations) - {"all"}:
        study.resolve(name)
    # In the order of the study file: the default one, to which the others are compared, comes first.
    chosen = [name for name in every if name in interpretations or "all" in interpretations]
    primary = headline.primary(list(models))
    if asked_models:
        return list(product(models, chosen or [study.interpretation]))
    others = [] if chosen else [(model, every[0]) for model in models if model != primary]
    return [*product([primary], chosen or every), *others]


def reanalyse(
    study: Study,
    models: str | Sequence[str] = (),
    priors: str | PriorSet | None = None,
    *,
    interpretations: str | Sequence[str] = (),
    out: str | Path = "results",
    thresholds: Sequence[float] = (),
    engine: str | None = None,
    depth: str | None = None,
    on_progress: Callable[[str], None] = lambda _: None,
    **settings: Any,
) -> Reanalysis:
    """Reanalyse a study and write ``OUT/STUDY/MODEL--PRIORS--INTERPRETATION/`` and ``OUT/STUDY/report.html``.

    Parameters
    ----------
    study
        The study.
    models
        Name or names of models; by default every model that study and priors identify.
    priors
        Name of a prior set, or a prior set; by default ``exposures`` if synergy is judged on the event of a harm,
        otherwise ``weak``.
    interpretations
        Names of interpretations, or ``all``; `plan` has the default.
    out
        Folder for the results of all studies.
    thresholds
        Odds ratios for which P(odds ratio > threshold) is computed.
    engine
        ``numpyro``, ``laplace`` or ``smc``. By default NUTS by NumPyro, and sequential Monte Carlo under
        interpretations other than the default, whose log evidence is needed; models other than the primary
        one are approximated by ``laplace`` at depths ``quick`` and ``standard``. With reported estimates a
        fit that fails its checks is replaced by sequential Monte Carlo.
    depth
        Extent of the supplementary analyses: ``quick``, ``standard`` or ``full``; None for the fits alone.
        They are written to ``OUT/STUDY/comparison/``, ``sensitivity/`` and ``bias/``, unless every model is
        one that is fitted only when named. Where interpretations are compared, the log evidence with NUTS
        comes from sequential Monte Carlo at ``full`` and None, otherwise from importance sampling where its
        weights are reliable.
    on_progress
        Called with a line per step.
    **settings
        ``draws``, ``tune``, ``chains``, ``seed``, ``progress`` of `sampling.fit_model`.

    Returns
    -------
    Reanalysis
        Results of every fit, the report and its conclusion.

    Raises
    ------
    ModelError
        If a named model cannot be fitted; nothing is written.
    InterpretationError
        If the study has no such interpretation.
    ValueError
        If there is no such depth.
    """
    if depth is not None and depth not in DEPTHS:
        raise ValueError(f"no depth {depth!r}; the depths are {', '.join(DEPTHS)}")
    models = (models,) if isinstance(models, str) else models
    interpretations = (interpretations,) if isinstance(interpretations, str) else interpretations
    chosen = prior_set(priors, study)
    possible, refused = models_for(study, chosen, models)
    pairs = plan(study, possible, models, interpretations)
    primary = headline.primary(list(possible))
    folder = Path(out) / study.id
    folder.mkdir(parents=True, exist_ok=True)  # an error before the first fit
    results: list[Result] = []
    fits: dict[tuple[str, str], xr.DataTree] = {}
    fitted = [name for name, _ in pairs]
    compared = {name for name in fitted if fitted.count(name) > 1}
    context = _Context(folder, chosen, settings, depth, thresholds, on_progress, compared)
    for name, interpretation in pairs:
        several = len(study.interpretations) > 1
        shown = f"{name}, interpretation {interpretation}" if several else name
        on_progress(f"{study.id}: {shown}, {chosen.name} priors")
        model = described(name)
        resolved = study.resolve(interpretation, model.strata)
        chosen_engine = engine or _engine(resolved, depth, is_primary=name == primary)
        tree, result = _write(context, resolved, model, chosen_engine, f"{study.id}: {shown}")
        results.append(result)
        if depth and not is_on_request(model.name):
            fits[name, interpretation] = tree
    if fits and depth:
        seed = int(settings.get("seed", SEED))
        resolved = study.resolve(_primary(study, results).interpretation)
        conflicts = [one.conflict for one in results if one.conflict and one.model == primary]
        known = names_of(conflicts) if conflicts else None
        task = Task(resolved, fits, chosen, depth, seed, on_progress, known)
        analyses.write_analyses(task, folder)
    written = read_results(folder).fits
    lead = next((fit for fit in written if not fit.model.strata), written[0])
    resolved = study.resolve(lead.choice[0], lead.model.strata)
    write_four_cells(resolved, lead.summary, folder, lead.failed)
    report = write_report(folder, study)
    return Reanalysis(study, tuple(results), refused, report.page, report.conclusion)


@dataclass
class _Context:
    """What all fits of a reanalysis share, and draws that later fits use.

    Attributes
    ----------
    folder : Path
        ``OUT/STUDY``.
    priors, settings, depth, thresholds, on_progress
        Arguments of `reanalyse`.
    compared : set of str
        Models that are fitted under several interpretations.
    prior : dict of Dataset
        Prior draws by model.
    common : dict of Dataset
        Posterior draws given the numbers that are common to all interpretations, by model.
    """

    folder: Path
    priors: PriorSet
    settings: dict[str, Any]
    depth: str | None
    thresholds: Sequence[float]
    on_progress: Callable[[str], None]
    compared: set[str]
    prior: dict[str, xr.Dataset] = field(default_factory=dict)
    common: dict[str, xr.Dataset] = field(default_factory=dict)


def _engine(study: Study, depth: str | None, *, is_primary: bool) -> str:
    """Choose an engine: NUTS for the primary model, and for others at depth full and None."""
    if not study.is_default:
        return "smc"
    return "numpyro" if is_primary or depth not in (QUICK, STANDARD) else "laplace"


MORE = 4
"""So many times the draws are made where a verdict is at a threshold."""


def _settled(
    context: _Context, study: Study, model: Model, engine: str
) -> tuple[Fit, pd.DataFrame, float | None, pd.DataFrame]:
    """Fit, and once more with more draws where an identified verdict is at a threshold; return the summary too.

    Only the default number of draws is increased, not one that the user chose.
    """
    fit, table, evidence = _sampled(context, study, model, engine)
    summary = summary_of(fit, context.thresholds)
    is_default = context.settings.get("draws", DRAWS) == DRAWS
    if is_default and not checks.failures(table) and is_any_at_threshold(summary):
        context.on_progress(
            f"a probability is at the threshold of a verdict: {MORE} times the draws"
        )
        fit, table, evidence = _sampled(context, study, model, engine, MORE * DRAWS)
        summary = summary_of(fit, context.thresholds)
    return fit, table, evidence, summary


def _sampled(
    context: _Context, study: Study, model: Model, asked_engine: str, draws: int | None = None
) -> tuple[Fit, pd.DataFrame, float | None]:
    """Fit, replacing NUTS that fails; return the fit, its checks and, where needed, the log evidence."""
    priors, settings = context.priors, dict(context.settings)
    if draws is not None:
        settings["draws"] = draws
    sample = partial(sampling.fit_model, study, model.name, priors, **settings)
    fit = sample(engine=asked_engine, prior=context.prior.get(model.name))
    context.prior[model.name] = prior = fit.prior
    table = checks.checks(fit)
    more: list[dict[str, Any]] = []
    # Another engine than asked for, where it was replaced.
    engine = sampling.provenance(fit.draws)["engine"]
    if engine != "smc" and study.has_uncounted and checks.failures(table):
        names = ", ".join(line.partition(":")[0] for line in checks.failures(table))
        more = table[table.check == checks.REPLACED].to_dict("records")
        more.append(checks.replaced("smc", f"{engine} failed: {names}"))
        fit = sample(engine="smc", prior=prior)
        table = checks.checks(fit)
    tree, evidence = fit.draws, None
    if "log_evidence" in tree["sample_stats"]:
        evidence = sampling.log_evidence(tree)
    elif model.name in context.compared:
        evidence = _evidence_by_weights(context.depth, fit)
        if evidence is None:
            progress = bool(settings.get("progress"))
            tempered = sampling.temper(tree, study, model.name, priors, progress=progress)
            more += checks.agreement(fit, tempered)
            evidence = sampling.log_evidence(tempered)
        stats = tree["sample_stats"].to_dataset().assign_attrs(log_evidence=evidence)
        tree["sample_stats"] = xr.DataTree(stats)
    if more:
        table = pd.concat([table, pd.DataFrame(more)[list(CHECK_COLUMNS)]], ignore_index=True)
    return fit, table, evidence


def _evidence_by_weights(depth: str | None, fit: Fit) -> float | None:
    """Return the log evidence of a fit by importance sampling; None where it is not used or unreliable.

    The weights do not detect a mode that the draws missed; sequential Monte Carlo, which starts from the
    prior, does, and is used at depths ``full`` and None.
    """
    if depth not in (QUICK, STANDARD):
        return None
    seed = sampling.provenance(fit.draws)["seed"]
    whole = Marginals(fit.study, fit.model, fit.priors, fit.posterior, seed).whole
    return None if whole.verdict == laplace.UNRELIABLE else whole.log_evidence


def _conflict(context: _Context, fit: Fit, evidence: float | None) -> Conflict | None:
    """Compare an interpretation with the numbers common to all, where several are fitted or it is not the default."""
    study, name = fit.study, fit.model.name
    if len(study.interpretations) == 1 or (study.is_default and name not in context.compared):
        return None
    settings = {n: v for n, v in context.settings.items() if n in ("draws", "chains", "seed")}
    if name not in context.common:
        context.on_progress(f"{study.id}: {name}, numbers common to all interpretations")
        context.common[name] = fit_common(study, name, context.priors, **settings)
    seed = int(settings.get("seed", SEED))
    log_evidence = float("nan") if evidence is None else evidence
    return conflict_of(study, context.priors, context.common[name], seed, log_evidence)


def _write(
    context: _Context, study: Study, model: Model, engine: str, shown: str
) -> tuple[xr.DataTree, Result]:
    """Fit, summarise every estimand, and write the folder of the fit."""
    fit, table, evidence, summary = _settled(context, study, model, engine)
    tree, conflict = fit.draws, _conflict(context, fit, evidence)
    failed = checks.failures(table)
    cautions = [*study.cautions, *checks.cautions(table)]
    moved = prior_shift.shift_table(fit)
    if conflict is not None and conflict.is_incompatible:
        cautions = [f"interpretation {study.interpretation}, {conflict}", *cautions]
    name = f"{model.name}--{context.priors.name}--{study.interpretation}"
    target = context.folder / name.replace(":", "-")
    info = {"failed_checks": failed, **sampling.provenance(tree)}
    result = Result(
        target,
        model.name,
        study.interpretation,
        summary,
        table,
        failed,
        cautions,
        caveats(summary, fit.evidence, cautions, prior_shift.named(moved, fit)),
        conflict,
        store.changes(target, info),
    )
    tree.attrs["failed_checks"] = "; ".join(failed)
    audited = audit(study)
    tables = {
        store.SUMMARY: summary,
        store.CHECKS: table,
        store.CELLS: audited.counts,
        store.REPORTED: audited.reported,
        store.IDENTIFICATION_TABLE: audited.identification,
        store.SHIFTS: moved,
    }
    if overlap := overlap_in(study):
        tables |= {store.OVERLAP: overlap.regimens, store.BALANCE: overlap.balance}
    with store.whole_folder(target) as writing:
        for file, one in tables.items():
            store.write_table(one, writing / file, failed)
        store.write_draws(tree, writing / store.DRAWS)
        store.write_info({**info, **_report_info(audited, result)}, writing / store.INFO)
        draw(FIT, View(fit, summary), writing, failed)
    context.on_progress(f"{shown}: {target} ({result.changes})")
    if failed:
        warnings.warn(
            f"{target.name} failed its checks: {'; '.join(failed)}", FailedChecks, stacklevel=3
        )
    return tree, result


def _report_info(audited: Audit, result: Result) -> dict[str, Any]:
    """Return what the report shows of a fit besides its tables and figures."""
    study, conflict = audited.study, result.conflict
    return {
        "file": study.file,
        "title": study.title,
        "words": study.current_interpretation.words,
        "source": f"{study.source}, doi {study.doi}" if study.doi else study.source,
        "question": Question.of(study).as_json(),
        "default_priors": default_name(study),
        "audit": wording.words(audited),
        "open": list(audited.questions),
        "cautions": result.cautions,
        "caveats": [asdict(caveat) for caveat in result.caveats],
        "default_interpretation": study.interpretations[0].id,
        "conflict": None if conflict is None else conflict.as_json(),
        "conflict_words": "" if conflict is None else str(conflict),
        "sizes": size_changes(result.summary),
    }
