"""The four-cell tables of the primary analysis, kept as a supplementary analysis at the end of the report."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from cotreat.core.constants import SEED
from cotreat.report.sections import section
from cotreat.results import four_cells
from cotreat.results.supplementary import Analysis, write_analysis
from cotreat.study.study import Study

FOLDER = "four_cells"
MOST_TABLES = 12
"""So many four-cell tables are shown; the CSV file of the bias analyses has all."""


def write_four_cells(
    study: Study, summary: pd.DataFrame, folder: Path, failed: Sequence[str] = ()
) -> Path:
    """Write the four-cell tables of a study.

    Parameters
    ----------
    study
        Under the interpretation of the summary, without strata.
    summary
        Of the primary analysis.
    folder
        ``results/STUDY``.
    failed
        Failed diagnostics of the primary analysis.

    Returns
    -------
    Path
        ``FOLDER/four_cells``.
    """
    shown = four_cells.tables(study, summary)[:MOST_TABLES]
    tables = {f"{FOLDER}_{at}.csv": one.arranged() for at, one in enumerate(shown, start=1)}
    facts = {"adjusted": four_cells.adjusted_for(study), "mark": four_cells.MARK}
    sections = tuple(
        replace(section(FOLDER, "pair", one=one, **facts), table=name)
        for one, name in zip(shown, tables, strict=True)
    )
    analysis = Analysis("Four-cell tables", study.digest, SEED, (), sections)
    return write_analysis(folder / FOLDER, analysis, tables, failed=failed)
