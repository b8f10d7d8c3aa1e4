"""Supplementary analyses of a study: compute, word, draw and write each of them."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cotreat.plots import draw
from cotreat.plots import records as plots
from cotreat.plots.records import Record
from cotreat.results.supplementary import (
    ANALYSES,
    BIAS,
    COMPARISON,
    SENSITIVITY,
    Analysis,
    Task,
    write_analysis,
)

if TYPE_CHECKING:
    import pandas as pd


def write_analyses(task: Task, folder: Path) -> None:
    """Compute and write every supplementary analysis of a study.

    Parameters
    ----------
    task
        Study, fits, priors and settings.
    folder
        ``results/STUDY``.
    """
    indented = replace(task, on_progress=lambda line: task.on_progress(f"  {line}"))
    for name, title in ANALYSES.items():
        task.on_progress(f"{task.study.id}: {title.lower()}, depth {task.depth}")
        write_one(name, indented, folder)


def write_one(name: str, task: Task, folder: Path) -> Path:
    """Compute and write one supplementary analysis.

    Parameters
    ----------
    name
        ``comparison``, ``sensitivity`` or ``bias``.
    task
        Study, fits, priors and settings.
    folder
        ``results/STUDY``.

    Returns
    -------
    Path
        ``FOLDER/NAME``.
    """
    from cotreat.inference.engines import one_thread

    compute = {COMPARISON: _comparison, SENSITIVITY: _sensitivity, BIAS: _bias}[name]
    with one_thread():
        worded, figures, failed = compute(task)
        task.on_progress("figures …")
        return write_analysis(folder / name, *worded, partial(draw, name, figures), failed)


Computed = tuple[tuple[Analysis, "dict[str, pd.DataFrame]"], Record, tuple[str, ...]]
"""Wording and tables, the record of the figures, and failed diagnostics."""


def _comparison(task: Task) -> Computed:
    from cotreat.comparison.compare import compare
    from cotreat.evidence.resolve import resolve
    from cotreat.report.sections.comparison import worded

    record = compare(task)
    figures = plots.Comparison(
        record.study,
        record.model_shown,
        resolve(record.study),
        record.predictions,
        record.models,
        record.factors,
    )
    return worded(record), figures, record.failed_checks


def _sensitivity(task: Task) -> Computed:
    from cotreat.report.sections.sensitivity import worded
    from cotreat.sensitivity.analyse import analyse_sensitivity
    from cotreat.sensitivity.records import ONE_AT_A_TIME

    record = analyse_sensitivity(task)
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


def _bias(task: Task) -> Computed:
    from cotreat.bias.analyse import analyse_bias
    from cotreat.bias.records import FOR
    from cotreat.report.sections.bias import worded

    record = analyse_bias(task)
    shown = sorted(record.surfaces, key=lambda one: (not one.is_conclusive, one.standing != FOR))
    figures = plots.Bias(record.study, record.model, record.priors, shown)
    return worded(record), figures, record.failed_checks
