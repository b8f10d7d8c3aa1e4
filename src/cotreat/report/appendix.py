"""The appendix of a study's report: four-cell tables of the primary analysis."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cotreat.report.supplement import PairTable, Supplement, write_supplement
from cotreat.results import four_cells
from cotreat.results.four_cells import FourCells
from cotreat.study.study import Study

MOST_TABLES = 12
"""So many four-cell tables are shown; the CSV file of the bias analyses has all."""
LAID_OUT = (
    "The four cells against the one with neither, posterior medians with 95% equal-tailed credible intervals, on "
    "the scale of the event. Arranged as by Knol & VanderWeele (Int J Epidemiol 2012;41:514), who take the cell with "
    "the lowest risk as reference"
)
ODDS_ONLY = "Odds ratios only: the sampling of a case-control study sets the risks."


def write_appendix(
    study: Study, summary: pd.DataFrame, folder: Path, failed: Sequence[str] = ()
) -> Path:
    """Write ``FOLDER/supplement/``.

    Parameters
    ----------
    summary
        Of the primary analysis.
    folder
        ``results/STUDY``.
    failed
        Failed diagnostics of the primary analysis.
    """
    adjusted = four_cells.adjusted_for(study)
    shown = four_cells.tables(study, summary)[:MOST_TABLES]
    tables = tuple(_pair_table(one, adjusted) for one in shown)
    return write_supplement(folder, Supplement(study.digest, tables), failed)


def _pair_table(one: FourCells, adjusted: str) -> PairTable:
    beside = "" if one.co_treatment == "none" else f", with {one.co_treatment} as co-treatment"
    lowest = f"; here that is {one.lowest}" if one.lowest else ""
    words = [f"{LAID_OUT}{lowest}. {adjusted}", *one.in_words()]
    if not one.has_risks:
        words.append(ODDS_ONLY)
    if one.has_unidentified:
        words.append(
            f"A number with{four_cells.MARK} is not identified (prior-dependent): model and prior, not the "
            "evidence, determine it."
        )
    return PairTable(f"{one.first} × {one.second}{beside}", tuple(words), one.arranged())
