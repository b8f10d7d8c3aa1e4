"""Sections of the report on the supplementary analyses, with their texts in ``analyses.toml``."""

import platform
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any, Protocol

from cotreat.plots import picture
from cotreat.report.templates import paragraphs, texts
from cotreat.results.supplementary import ANALYSES, MOST_FINDINGS, Analysis, Section
from cotreat.study.study import Study

TEXTS = texts("analyses.toml")
"""By analysis: texts, and sections with heading, table, figure and paragraphs."""
PACKAGES = ("cotreat", "arviz", "jax", "numpy", "pymc", "pytensor", "scipy")


class Record(Protocol):
    """What the records of all supplementary analyses have."""

    @property
    def study(self) -> Study:
        """Study under the interpretation of the primary analysis."""

    @property
    def depth(self) -> str:
        """Depth of the analysis."""

    @property
    def seed(self) -> int:
        """Seed of fits and predictions."""


def text(analysis: str, name: str, /, **facts: Any) -> str:
    """Fill a text of an analysis, such as a finding.

    Parameters
    ----------
    analysis, name
        Folder of the analysis, and entry in ``analyses.toml``.
    **facts
        Variables of the template.

    Returns
    -------
    str
        On one line.
    """
    return " ".join(paragraphs(TEXTS[analysis][name], **facts))


def section(analysis: str, name: str, /, **facts: Any) -> Section:
    """Return a section of an analysis with its heading and paragraphs filled.

    Parameters
    ----------
    analysis, name
        Folder of the analysis, and entry in ``analyses.toml``.
    **facts
        Variables of the template.

    Returns
    -------
    Section
    """
    entry = TEXTS[analysis][name]
    (heading,) = paragraphs(entry["heading"], **facts)
    figure = picture(analysis, entry["figure"]) if "figure" in entry else None
    return Section(heading, paragraphs(entry["words"], **facts), entry.get("table", ""), figure)


def analysis_of(
    name: str,
    record: Record,
    findings: Iterable[str],
    sections: Iterable[Section],
    failed: Iterable[str],
    **settings: Any,
) -> Analysis:
    """Put findings and sections of an analysis together, with its settings and versions.

    Parameters
    ----------
    name
        Folder of the analysis.
    record
        The analysis.
    findings, sections, failed
        Its words.
    **settings
        Settings besides depth and interpretation.

    Returns
    -------
    Analysis
    """
    return Analysis(
        ANALYSES[name],
        record.study.digest,
        record.seed,
        tuple(findings)[:MOST_FINDINGS],
        tuple(sections),
        tuple(failed),
        settings={
            "depth": record.depth,
            "interpretation": record.study.interpretation,
            **settings,
        },
        versions={"python": platform.python_version()} | {p: version(p) for p in PACKAGES},
    )
