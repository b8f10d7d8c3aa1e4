"""Write and read the folders of supplementary analyses.

A folder ``results/STUDY/NAME/`` contains tables (CSV), figures (PNG) and ``about.json``, which describes them. The
report arranges them and computes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cotreat.core.constants import ASKED, SEED, STANDARD, VERDICTS
from cotreat.core.figures import Picture
from cotreat.results import store

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from cotreat.priors.prior import PriorSet
    from cotreat.study.study import Study

Fits = Mapping[tuple[str, str], "xr.DataTree"]
"""Fits by model and interpretation."""
OnProgress = Callable[[str], None]
"""Function of a line of progress."""
Draw = Callable[[Path, Sequence[str]], Sequence[Picture]]
"""Function that draws figures into a folder, with the failed diagnostics in red, and returns them."""

ABOUT = "about.json"
"""File of a supplementary analysis, which no fit has."""

COMPARISON, SENSITIVITY, BIAS = "comparison", "sensitivity", "bias"
ANALYSES = {
    COMPARISON: "Model comparison",
    SENSITIVITY: "Sensitivity analyses",
    BIAS: "Bias analyses",
}
"""Folders of the supplementary analyses with their titles, in the order of the report."""

MULTIVERSE = "multiverse.csv"
"""Table of the sensitivity analysis from which the conclusion is drawn."""

MULTIVERSE_COLUMNS = (
    *("interpretation", "model", "priors", "engine", "pareto_k", "verdict", "log_evidence"),
    *ASKED,
    *("estimate", "lower", "upper", "probability", "mc_error", "prior_probability"),
    *("probability_inside", "prior_probability_inside"),
)
"""Columns of `MULTIVERSE`, in order."""

UNRELIABLE = VERDICTS[-1]
"""Verdict of a fit of the multiverse that must not be used: one row, its numbers missing."""

MOST_FINDINGS = 3


@dataclass(frozen=True)
class Task:
    """Inputs of a supplementary analysis.

    Attributes
    ----------
    study : Study
        Under the interpretation of the primary analysis.
    fits : mapping of xarray.DataTree
        By model and interpretation, under `priors`; missing ones are fitted.
    priors : PriorSet
    depth : str
        ``quick``, ``standard`` or ``full``.
    seed : int
        Of fits and predictions.
    on_progress : callable
        Called with lines of progress.
    incompatible : tuple of str, or None
        Interpretations with which the other reported estimates are incompatible; None where not known yet.
    """

    study: Study
    fits: Fits
    priors: PriorSet
    depth: str = STANDARD
    seed: int = SEED
    on_progress: OnProgress = lambda _: None
    incompatible: tuple[str, ...] | None = None


class AnalysisError(ValueError):
    """The sections and files of a supplementary analysis do not match."""


@dataclass(frozen=True)
class Section:
    """A heading with paragraphs, table and figure, in this order.

    Attributes
    ----------
    words : tuple of str
        Paragraphs, with the columns of the table that need an explanation.
    table : str
        Name of a CSV file of the analysis; empty for none.
    figure : Picture or None
        ``NAME.png`` of the analysis.
    """

    heading: str
    words: tuple[str, ...] = ()
    table: str = ""
    figure: Picture | None = None


@dataclass(frozen=True)
class Analysis:
    """The description of a supplementary analysis of a study.

    Attributes
    ----------
    study_digest : str
        That of the fits.
    findings : tuple of str
        Up to three plain sentences for clinicians, which follow from the tables.
    failed : tuple of str
        Sentences on failed diagnostics, then on questions without an answer.
    failed_checks : tuple of str
        Failed diagnostics of the fits; numbers with any must not be used.
    settings : dict
        Further settings on which the numbers depend, as JSON.
    versions : dict
        Versions of the packages on which the numbers depend, by name.
    created : str
        Time as ISO 8601; empty for the time of writing.
    """

    title: str
    study_digest: str
    seed: int
    findings: tuple[str, ...]
    sections: tuple[Section, ...]
    failed: tuple[str, ...] = ()
    failed_checks: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    created: str = ""


def write_analysis(
    folder: Path,
    analysis: Analysis,
    tables: Mapping[str, pd.DataFrame],
    draw: Draw | None = None,
    failed: Sequence[str] = (),
) -> Path:
    """Write the folder of a supplementary analysis, whole or not at all.

    Parameters
    ----------
    folder
        ``results/STUDY/NAME``, which is replaced.
    analysis
        What ``about.json`` describes: title, findings, sections and provenance.
    tables
        Tables by file name, such as ``models.csv``, also those without a section.
    draw
        Draws the figures; a figure without a section is shown in a section at the end.
    failed
        Failed diagnostics of the fits besides ``analysis.failed_checks``: all are written above every table, into
        every figure, and before ``analysis.failed`` in ``about.json``.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    AnalysisError
        If a section refers to a table or figure that does not exist, or there are too many findings.
    """
    _require(
        [section.table for section in analysis.sections if section.table], tables, "table", analysis
    )
    if len(analysis.findings) > MOST_FINDINGS:
        count = len(analysis.findings)
        raise AnalysisError(f"{analysis.title}: {count} findings, at most {MOST_FINDINGS}")
    failed = list(dict.fromkeys([*analysis.failed_checks, *failed]))
    with store.whole_folder(folder) as writing:
        for name, table in tables.items():
            store.write_table(table, writing / name, failed)
        drawn = draw(writing, failed) if draw else ()
        complete = replace(
            analysis,
            created=analysis.created or datetime.now(UTC).isoformat(timespec="seconds"),
            failed=tuple(dict.fromkeys([*failed, *analysis.failed])),
            failed_checks=tuple(failed),
            sections=_with_figures(analysis, drawn),
        )
        store.write_info(asdict(complete), writing / ABOUT)
    return folder


def _require(names: list[str], existing: Iterable[str], kind: str, analysis: Analysis) -> None:
    missing = sorted(set(names) - set(existing))
    if missing:
        raise AnalysisError(f"{analysis.title}: no {kind} {', '.join(missing)}")


def _with_figures(analysis: Analysis, drawn: Sequence[Picture]) -> tuple[Section, ...]:
    """Return the sections, and one more for each figure without a section."""
    shown = [section.figure.name for section in analysis.sections if section.figure]
    _require(shown, [picture.name for picture in drawn], "figure", analysis)
    others = [picture for picture in drawn if picture.name not in shown]
    more = (Section(picture.title.capitalize(), figure=picture) for picture in others)
    return (*analysis.sections, *more)


def read_analysis(folder: Path) -> Analysis:
    """Read the description of a supplementary analysis.

    Parameters
    ----------
    folder
        Folder of the analysis.

    Returns
    -------
    Analysis

    Raises
    ------
    AnalysisError
        If ``about.json`` does not exist or was not written by `write_analysis`.
    """
    from pydantic import TypeAdapter

    try:
        text = (folder / ABOUT).read_text(encoding="utf-8")
        return TypeAdapter(Analysis).validate_json(text)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]  # further lines quote the file
        raise AnalysisError(
            f"the analysis in {folder} cannot be read ({reason}); make it again"
        ) from None
