"""The four-cell tables of a study, shown at the end of its report.

They are kept in ``results/STUDY/supplement/``, so that the report can be written again without a fit.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cotreat.results import store

FOLDER = "supplement"
INDEX = "supplement.json"


@dataclass(frozen=True)
class PairTable:
    """The table of a pair's four cells, by Knol & VanderWeele (2012), as it is to be shown.

    Attributes
    ----------
    pair : str
        In the treatments' names, with the background if there are several.
    words : tuple of str
        Paragraphs above the table.
    table : pandas.DataFrame
        Its first column names the rows and may have no name of its own.
    """

    pair: str
    words: tuple[str, ...]
    table: pd.DataFrame


@dataclass(frozen=True)
class Supplement:
    """The four-cell tables of a study.

    Attributes
    ----------
    study_digest : str
        That of the fits it belongs to.
    """

    study_digest: str
    four_cells: tuple[PairTable, ...] = ()


def write_supplement(folder: Path, supplement: Supplement, failed: Sequence[str] = ()) -> Path:
    """Write ``supplement/`` into a study's folder, whole or not at all.

    Parameters
    ----------
    folder
        ``results/STUDY``.
    failed
        Failed diagnostics of the fit behind the tables; they stand above each.
    """
    with store.whole_folder(folder / FOLDER) as writing:
        tables = []
        for at, one in enumerate(supplement.four_cells, start=1):
            store.write_table(one.table, writing / f"four_cells_{at}.csv", list(failed))
            tables.append(
                {"pair": one.pair, "words": list(one.words), "table": f"four_cells_{at}.csv"}
            )
        index = {
            "study_digest": supplement.study_digest,
            "four_cells": tables,
        }
        store.write_info(index, writing / INDEX)
    return folder / FOLDER


def read_supplement(folder: Path) -> Supplement | None:
    """Read the supplement in a study's folder; None where there is none."""
    place = folder / FOLDER
    if not (place / INDEX).exists():
        return None
    index = json.loads((place / INDEX).read_text(encoding="utf-8"))
    return Supplement(
        index["study_digest"],
        tuple(
            PairTable(c["pair"], tuple(c["words"]), _read(place / c["table"]))
            for c in index["four_cells"]
        ),
    )


def _read(path: Path) -> pd.DataFrame:
    table = store.read_table(path)
    first = str(table.columns[0])
    return table.rename(columns={first: ""}) if first.startswith("Unnamed: ") else table
