"""Supplementary analyses of a study: compute, word, draw and write each of them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cotreat.plots import draw
from cotreat.plots import records as plots
from cotreat.plots.records import Record
from cotreat.priors.prior import PriorSet
from cotreat.results.supplementary import (
    BIAS,
    COMPARISON,
    SENSITIVITY,
    Analysis,
    Fits,
    OnProgress,
    write_analysis,
)
from cotreat.study.study import Study

if TYPE_CHECKING:
    import pandas as pd


def write_analyses(
    study: Study,
    fits: Fits,
    priors: PriorSet,
    folder: Path,
    *,
    depth: str,
    seed: int,
    on_progress: OnProgress,
) -> None:
    """Compute and write every supplementary analysis of a study.

    Parameters
    ----------
    study
        Under the interpretation of the primary analysis.
    fits
        By model and interpretation, all under `priors`.
    priors
        Prior set of the fits.
    folder
        ``results/STUDY``.
    depth
        ``quick``, ``standard`` or ``full``.
    seed
        Of fits and predictions.
    on_progress
        Called with lines of progress.
    """
    for name in (COMPARISON, SENSITIVITY, BIAS):
        on_progress(f"{study.id}: {TITLES[name]}, depth {depth}")
        write_one(
            name,
            study,
            fits,
            priors,
            folder,
            depth=depth,
            seed=seed,
            on_progress=lambda line: on_progress(f"  {line}"),
        )


TITLES = {COMPARISON: "model comparison", SENSITIVITY: "sensitivity", BIAS: "bias"}


def write_one(
    name: str,
    study: Study,
    fits: Fits,
    priors: PriorSet,
    folder: Path,
    *,
    depth: str,
    seed: int,
    on_progress: OnProgress,
) -> Path:
    """Compute and write one supplementary analysis.

    Parameters
    ----------
    name
        ``comparison``, ``sensitivity`` or ``bias``.
    study, fits, priors, folder, depth, seed, on_progress
        As of `write_analyses`; missing fits are made.

    Returns
    -------
    Path
        ``FOLDER/NAME``.
    """
    from cotreat.inference.engines import one_thread

    compute = {COMPARISON: _comparison, SENSITIVITY: _sensitivity, BIAS: _bias}[name]
    with one_thread():
        worded, figures, failed = compute(
            study, fits, priors, depth=depth, seed=seed, on_progress=on_progress
        )
        on_progress("figures …")
        return write_analysis(folder / name, *worded, partial(draw, name, figures), failed)


Computed = tuple[tuple[Analysis, "dict[str, pd.DataFrame]"], Record, tuple[str, ...]]
"""Wording and tables, the record of the figures, and failed diagnostics."""


def _comparison(*arguments: Any, **settings: Any) -> Computed:
    from cotreat.comparison.compare import compare
    from cotreat.evidence.resolve import resolve
    from cotreat.report.sections.comparison import worded

    record = compare(*arguments, **settings)
    figures = plots.Comparison(
        record.study,
        record.model_shown,
        resolve(record.study),
        record.predictions,
        record.models,
        record.factors,
    )
    return worded(record), figures, record.failed_checks


def _sensitivity(*arguments: Any, **settings: Any) -> Computed:
    from cotreat.report.sections.sensitivity import worded
    from cotreat.sensitivity.analyse import analyse_sensitivity
    from cotreat.sensitivity.records import ONE_AT_A_TIME

    record = analyse_sensitivity(*arguments, **settings)
    figures = plots.Sensitivity(
        record.study,
        record.tables[ONE_AT_A_TIME],
        record.combinations,
        record.incompatible,
        record.tables.get("grid.csv"),
        record.tables["power_scaling.csv"],
        [plots.PriorPosterior.of(*one, record.prior, record.posterior) for one in record.estimands],
    )
    return worded(record), figures, record.failed_checks


def _bias(*arguments: Any, **settings: Any) -> Computed:
    from cotreat.bias.analyse import analyse_bias
    from cotreat.bias.records import FOR
    from cotreat.report.sections.bias import worded

    record = analyse_bias(*arguments, **settings)
    shown = sorted(record.surfaces, key=lambda one: (not one.is_conclusive, one.standing != FOR))
    figures = plots.Bias(record.study, record.model, record.priors, shown)
    return worded(record), figures, record.failed_checks
