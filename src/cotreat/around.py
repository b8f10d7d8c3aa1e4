"""What is worked out around the fits of a study: model comparison, sensitivity, bias, and the supplement."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import xarray as xr

from cotreat import checklists, four_cells
from cotreat.four_cells import FourCells
from cotreat.priors import PriorSet
from cotreat.study import Study
from cotreat.supplement import Checklist, PairTable, Supplement, write_supplement

Fits = Mapping[tuple[str, str], xr.DataTree]
Say = Callable[[str], None]

MOST_TABLES = 12
"""So many four-cell tables are arranged; the others can be read from the summary."""
CHECKLISTS = {
    checklists.BARG: "BARG: Bayesian analysis reporting guidelines (Kruschke, Nat Hum Behav 2021;5:1282)",
    checklists.ROBUST: "ROBUST: reporting of Bayes used in clinical studies (Sung et al., J Clin Epidemiol "
    "2005;58:261)",
}


def write_parts(
    study: Study,
    fits: Fits,
    priors: PriorSet,
    folder: Path,
    *,
    depth: str,
    seed: int,
    say: Say,
) -> None:
    """Write every part of a study's results.

    Parameters
    ----------
    fits
        By model and reading, all under `priors`.
    folder
        ``results/STUDY``.
    depth
        ``quick``, ``standard`` or ``full``.
    """
    from cotreat import bias, comparison, sensitivity

    for name, part in (
        ("model comparison", comparison),
        ("sensitivity", sensitivity),
        ("bias", bias),
    ):
        say(f"{study.id}: {name}, depth {depth}")
        part.write(study, fits, priors, folder, depth=depth, seed=seed, say=lambda x: say(f"  {x}"))


def write_end(study: Study, summary: pd.DataFrame, folder: Path, failed: list[str]) -> None:
    """Write the supplement: four-cell tables of the leading fit, and checklists filled from all folders."""
    items = checklists.items(folder)
    lists = tuple(
        Checklist(
            title,
            tuple((_asked(i), i.answer or None) for i in items if i.checklist == name),
        )
        for name, title in CHECKLISTS.items()
    )
    tables = tuple(map(_pair_table, four_cells.tables(study, summary)[:MOST_TABLES]))
    write_supplement(folder, Supplement(study.digest, tables, lists), failed)


def _asked(item: checklists.Item) -> str:
    return f"{item.step}: {item.asks}" if item.step else item.asks


def _pair_table(one: FourCells) -> PairTable:
    beside = "" if one.background == "none" else f", beside {one.background}"
    words = [
        "The four cells against the one with neither, posterior medians with 95% equal-tailed credible intervals, "
        "on the scale of the event, as Knol & VanderWeele (2012) recommend.",
        *one.in_words(),
    ]
    if not one.has_risks:
        words.append("Odds ratios only: the sampling of a case-control study sets the risks.")
    if one.is_extrapolated:
        words.append(
            f"A number with{four_cells.MARK} is extrapolated: model and prior, not the evidence, determine it."
        )
    table = one.arranged().rename(columns={"stratum": ""})
    return PairTable(f"{one.first} and {one.second}{beside}", tuple(words), table)
