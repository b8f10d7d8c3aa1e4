"""Part folders: what stands beside the fits of a study, in a shape that the report can arrange.

A part is a folder ``results/STUDY/NAME/`` of tables (CSV), figures (PNG) and ``about.json``, which says in
words what they show. The report arranges parts and computes nothing, so all words are the producer's.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
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
"""Fits by model and reading."""
OnProgress = Callable[[str], None]
"""Takes a line of progress."""
Draw = Callable[[Path, Sequence[str]], Sequence[Picture]]
"""Draws figures into a folder, with the failed diagnostics in red, and returns what it has drawn."""

ABOUT = "about.json"
"""What a part folder holds and no fit's folder does."""

COMPARISON, SENSITIVITY, BIAS = "comparison", "sensitivity", "bias"
ANALYSES = (COMPARISON, SENSITIVITY, BIAS)
"""Folders of the parts, in the order of the report."""

MULTIVERSE = "multiverse.csv"
"""Table of the sensitivity part that the plain-words answer reads."""

MULTIVERSE_COLUMNS = (
    "interpretation",
    "model",
    "priors",
    "pareto_k",
    "verdict",
    "log_evidence",
    *ASKED,
    "estimate",
    "lower",
    "upper",
    "probability",
    "mc_error",
    "prior_probability",
)
"""Its columns, in order."""

UNRELIABLE = VERDICTS[-1]
"""Verdict of a fit of the multiverse that cannot be used: one row, its numbers missing."""

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
    """

    study: Study
    fits: Fits
    priors: PriorSet
    depth: str = STANDARD
    seed: int = SEED
    on_progress: OnProgress = lambda _: None


class AnalysisError(ValueError):
    """A part whose sections and files do not belong together."""


@dataclass(frozen=True)
class Section:
    """A heading with what stands below it, in this order.

    Attributes
    ----------
    words : tuple of str
        Paragraphs; they explain the columns of the table that do not explain themselves.
    table : str
        Name of a CSV file of the part; empty where there is none.
    figure : Picture or None
        Caption and alternative text of ``NAME.png`` of the part.
    """

    heading: str
    words: tuple[str, ...] = ()
    table: str = ""
    figure: Picture | None = None


@dataclass(frozen=True)
class Analysis:
    """What a producer says of a study beside the fits.

    Attributes
    ----------
    study_digest : str
        That of the fits it belongs to.
    settings : dict
        What else the numbers depend on, as JSON can hold it.
    findings : tuple of str
        What a clinician must know, in at most three plain sentences that say no more than the tables.
    failed : tuple of str
        What failed or could not be answered, in words; failed diagnostics first.
    failed_checks : tuple of str
        Failed diagnostics of the fits behind the numbers, which must not be used where there are any.
    versions : dict
        Packages that numbers depend on, by name.
    created : str
        When, as ISO 8601; empty stands for the time of writing.
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


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of Python, of this package and of those named."""
    return {
        "python": sys.version.split()[0],
        **{name: version(name) for name in ("cotreat", *packages)},
    }


def write_analysis(
    folder: Path,
    part: Analysis,
    tables: Mapping[str, pd.DataFrame],
    draw: Draw | None = None,
    failed: Sequence[str] = (),
) -> Path:
    """Write a part's folder, whole or not at all.

    Parameters
    ----------
    folder
        ``results/STUDY/NAME``; what is there is replaced.
    tables
        By name of their files, such as ``models.csv``; also those that no section shows.
    draw
        Draws the figures; one that no section shows gets a section of its own at the end.
    failed
        Failed diagnostics of the fits behind the numbers, besides ``part.failed_checks``: all of them stand
        above every table, in every figure, and before ``part.failed`` in ``about.json``.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    PartError
        If a section shows a table or figure that does not exist, or there are too many findings.
    """
    _agree(part, set(tables))
    failed = list(dict.fromkeys([*part.failed_checks, *failed]))
    with store.whole_folder(folder) as writing:
        for name, table in tables.items():
            store.write_table(table, writing / name, failed)
        drawn = draw(writing, failed) if draw else ()
        shown = replace(part, sections=_with_figures(part, drawn))
        store.write_info(_as_json(shown, failed), writing / ABOUT)
    return folder


def _agree(part: Analysis, tables: set[str]) -> None:
    """Refuse a part that promises what it does not hold."""
    told = {section.table for section in part.sections if section.table}
    if told - tables:
        raise AnalysisError(f"{part.title}: no table {', '.join(sorted(told - tables))}")
    if len(part.findings) > MOST_FINDINGS:
        raise AnalysisError(f"{part.title}: {len(part.findings)} findings, at most {MOST_FINDINGS}")


def _with_figures(part: Analysis, drawn: Sequence[Picture]) -> tuple[Section, ...]:
    """Return the sections, and one more for each figure that none of them shows."""
    shown = {section.figure.name for section in part.sections if section.figure}
    missing = shown - {picture.name for picture in drawn}
    if missing:
        raise AnalysisError(f"{part.title}: no figure {', '.join(sorted(missing))}")
    others = [picture for picture in drawn if picture.name not in shown]
    more = (Section(picture.title.capitalize(), figure=picture) for picture in others)
    return (*part.sections, *more)


def _as_json(part: Analysis, failed: Sequence[str]) -> dict[str, Any]:
    return {
        **asdict(part),
        "created": part.created or datetime.now(UTC).isoformat(timespec="seconds"),
        "failed": list(dict.fromkeys([*failed, *part.failed])),
        "failed_checks": list(failed),
        "sections": [_section_as_json(section) for section in part.sections],
    }


def _section_as_json(section: Section) -> dict[str, Any]:
    figure = section.figure
    told = figure and {"file": figure.file, "caption": figure.caption, "alt": figure.alt}
    return {
        "heading": section.heading,
        "words": list(section.words),
        "table": section.table or None,
        "figure": told,
    }


def read_analysis(folder: Path) -> Analysis:
    """Read what a part's folder says of itself.

    Raises
    ------
    PartError
        If ``about.json`` is not there or not what `write_part` writes.
    """
    try:
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        about["sections"] = tuple(map(_section_of, about["sections"]))
        about |= {name: tuple(about[name]) for name in ("findings", "failed", "failed_checks")}
        return Analysis(**about)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AnalysisError(
            f"the part in {folder} cannot be read ({error}); make it again"
        ) from None


def _section_of(told: Mapping[str, Any]) -> Section:
    figure = told["figure"]
    return Section(
        heading=told["heading"],
        words=tuple(told["words"]),
        table=told["table"] or "",
        figure=figure
        and Picture(figure["file"].removesuffix(".png"), figure["caption"], figure["alt"]),
    )
