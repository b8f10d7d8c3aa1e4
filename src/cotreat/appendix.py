"""The appendix of a study's report: four-cell tables of the leading fit, and checklists filled from all folders."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from cotreat import checklists
from cotreat.report.supplement import Checklist, PairTable, Supplement, write_supplement
from cotreat.results import four_cells
from cotreat.results.four_cells import FourCells
from cotreat.study.study import Study

MOST_TABLES = 12
"""So many four-cell tables are arranged; all are in the long one."""
TITLES = {
    checklists.BARG: "BARG: Bayesian analysis reporting guidelines (Kruschke, Nat Hum Behav 2021;5:1282)",
    checklists.ROBUST: "ROBUST: reporting of Bayes used in clinical studies (Sung et al., J Clin Epidemiol 2005;58:261)",
}
LAID_OUT = (
    "The four cells against the one with neither, posterior medians with 95% equal-tailed credible intervals, on "
    "the scale of the event. Laid out after Knol & VanderWeele (Int J Epidemiol 2012;41:514), who take the cell with "
    "the lowest risk as reference"
)
ODDS_ONLY = "Odds ratios only: the sampling of a case-control study sets the risks."


def write_appendix(
    study: Study, summary: pd.DataFrame, folder: Path, failed: Sequence[str] = ()
) -> Path:
    """Write ``FOLDER/supplement/``; best when all fits and parts are there, for checklists are filled from them.

    Parameters
    ----------
    summary
        Of the leading fit.
    folder
        ``results/STUDY``; without a fit in it there are no checklists.
    failed
        Failed diagnostics of the leading fit.
    """
    adjusted = four_cells.adjusted_for(study)
    shown = four_cells.tables(study, summary)[:MOST_TABLES]
    tables = tuple(_pair_table(one, adjusted) for one in shown)
    try:
        found = checklists.items(folder)
    except FileNotFoundError:
        found = ()
    lists = tuple(
        Checklist(title, own)
        for name, title in TITLES.items()
        if (own := tuple(_asked(one) for one in found if one.checklist == name))
    )
    return write_supplement(folder, Supplement(study.digest, tables, lists), failed)


def _pair_table(one: FourCells, adjusted: str) -> PairTable:
    beside = "" if one.background == "none" else f", beside {one.background}"
    lowest = f"; here that is {one.lowest}" if one.lowest else ""
    words = [f"{LAID_OUT}{lowest}. {adjusted}", *one.in_words()]
    if not one.has_risks:
        words.append(ODDS_ONLY)
    if one.is_extrapolated:
        words.append(
            f"A number with{four_cells.MARK} is extrapolated: model and prior, not the evidence, determine it."
        )
    return PairTable(f"{one.first} × {one.second}{beside}", tuple(words), one.arranged())


def _asked(one: checklists.Item) -> tuple[str, str | None]:
    """Return what is asked, with its step, and the answer with where it stands."""
    where = f" ({one.where})" if one.where else ""
    return (f"{one.step}: {one.asks}", f"{one.answer}{where}" if one.is_answered else None)
