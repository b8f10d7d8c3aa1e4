"""The sections ``[patients]`` and ``[cells]`` of a study file: rows, or cells made of them elsewhere."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cotreat import regimens
from cotreat.cells import CATEGORICAL, CONTINUOUS, KINDS, Cells, Covariate
from cotreat.collapse import EVENTS, Collapsed, CollapseError, Columns, N, collapse
from cotreat.places import Places
from cotreat.regimens import Regimen
from cotreat.study import Arm
from cotreat.toml_tables import Key, Problems, is_text, one_of, read_table, text

PATIENTS, CELLS = "patients", "cells"
FILE = "a CSV or Parquet file, or a folder of Parquet files, beside the study file"


def _is_named(value: object, accepts: Any) -> bool:
    return isinstance(value, dict) and bool(value) and all(map(accepts, value.values()))


_COVARIATES = Key(
    lambda v: _is_named(v, lambda kind: kind in KINDS),
    'a table such as { age = "continuous", sex = "binary", class = "categorical" }',
    required=False,
)
KEYS: dict[str, dict[str, Key]] = {
    PATIENTS: {
        "file": text(required=False),
        "outcome": text(),
        "treatments": Key(
            lambda v: _is_named(v, is_text),
            'a table such as { A = "column of A", B = "column of B" }',
        ),
        "covariates": _COVARIATES,
        "cluster": text(required=False),
        "patient": text(required=False),
        "missing": one_of("drop", required=False),
    },
    CELLS: {
        "file": text(required=False),
        "covariates": _COVARIATES,
        "cluster": text(required=False),
    },
}


@dataclass(frozen=True)
class Asked:
    """What a section says: its columns, its file, and whether rows that lack values may be dropped."""

    columns: Columns
    file: str
    may_drop: bool


def read_columns(
    raw: object, section: str, treatments: tuple[str, ...], problems: Problems
) -> Asked | None:
    """Read which column holds what; None where there are problems, which are noted."""
    before = len(problems.found)
    table = read_table(raw, section, KEYS[section], problems)
    if table is None or len(problems.found) > before:
        return None
    covariates = tuple((table["covariates"] or {}).items())
    cluster = table["cluster"] or ""
    if section == CELLS:
        own = tuple((name, name) for name in treatments)
        return Asked(Columns(EVENTS, own, covariates, cluster, n=N), table["file"] or "", False)
    given = table["treatments"]
    for name in treatments:
        if name not in given:
            problems.add(
                f"{section}.treatments.{name}", "missing; it must be the column of the treatment"
            )
    for name in set(given) - set(treatments):
        problems.add(
            f"{section}.treatments.{name}", f"no such treatment; they are {', '.join(treatments)}"
        )
    if len(problems.found) > before:
        return None
    own = tuple((name, given[name]) for name in treatments)
    columns = Columns(table["outcome"], own, covariates, cluster, table["patient"] or "")
    return Asked(columns, table["file"] or "", table["missing"] == "drop")


def read_patients(
    raw: object,
    section: str,
    given: Any | None,
    folder: Path,
    inclusion: str,
    admitted: regimens.Rule,
    places: Places,
) -> Cells | None:
    """Read rows or cells, and collapse them.

    Parameters
    ----------
    raw
        The section of the study file.
    given
        A frame that stands for the file.
    folder
        Where the study file is.

    Returns
    -------
    Cells or None
        None where there are problems, which are noted.
    """
    problems = places.problems
    asked = read_columns(raw, section, places.treatments, problems)
    collapsed = None if asked is None else _collapsed(asked, section, given, folder, problems)
    if asked is None or collapsed is None:
        return None
    cells = cells_of(collapsed, asked.columns, places.treatments)
    before = len(problems.found)
    _check(cells, section, inclusion, admitted, problems)
    return cells if len(problems.found) == before else None


def _collapsed(
    asked: Asked, section: str, given: Any | None, folder: Path, problems: Problems
) -> Collapsed | None:
    source = given if given is not None else folder / asked.file
    if given is None and not asked.file:
        problems.add(f"{section}.file", f"missing; it must be {FILE}")
        return None
    if isinstance(source, Path) and not source.exists():
        problems.add(f"{section}.file", f"there is no file {str(source)!r}; it must be {FILE}")
        return None
    try:
        return collapse(source, asked.columns, may_drop=asked.may_drop)
    except CollapseError as error:
        for key, what in error.problems:
            problems.add(f"{section}.{key}", what)
        return None


def _check(
    cells: Cells, section: str, inclusion: str, admitted: regimens.Rule, problems: Problems
) -> None:
    if not len(cells.n):
        problems.add(section, f"no row is left: {cells}")
        return
    if len(set(cells.regimens)) < 2:
        problems.add(
            section,
            f"all patients have the regimen {cells.regimens[0]}; at least two must have patients",
        )
    for regimen in dict.fromkeys(cells.regimens):
        if not admitted(regimens.parse(regimen)):
            count = sum(n for own, n in zip(cells.regimens, cells.n, strict=True) if own == regimen)
            problems.add(
                section,
                f"{count:,} patients have the regimen {regimen}, which study.inclusion = {inclusion!r} forbids",
            )


def cells_of(collapsed: Collapsed, columns: Columns, treatments: tuple[str, ...]) -> Cells:
    """Put cells in order, and centre and scale their covariates."""
    frame = collapsed.cells
    names = [column for column, _ in columns.covariates]
    texts = [c for c, kind in columns.covariates if kind == CATEGORICAL] + [columns.cluster] * bool(
        columns.cluster
    )
    frame = frame.assign(**{name: frame[name].astype(str) for name in texts})
    keys = [*treatments, *names, *([columns.cluster] if columns.cluster else [])]
    frame = frame.sort_values(keys, ignore_index=True)
    n = frame[N].to_numpy(np.int64)
    covariates, values = [], []
    for name, kind in columns.covariates:
        for label, column in _design(frame[name], kind):
            covariate, scaled = _scaled(label, column, n, kind)
            covariates.append(covariate)
            values.append(scaled)
    clusters, cluster = ((), np.zeros(len(frame), np.int64))
    if columns.cluster:
        found = pd.Categorical(frame[columns.cluster])
        clusters, cluster = tuple(found.categories), found.codes.astype(np.int64)
    content = frame[list(treatments)].to_numpy(bool)
    labels = [regimens.label(frozenset(np.array(treatments)[row]), treatments) for row in content]
    return Cells(
        regimens=tuple(labels),
        covariates=tuple(covariates),
        values=np.array(values).reshape(len(values), len(frame)).T,
        clusters=clusters,
        cluster=cluster,
        n=n,
        events=frame[EVENTS].to_numpy(np.int64),
        rows=collapsed.rows,
        missing=collapsed.missing,
        dropped=collapsed.dropped,
    )


def _design(column: pd.Series, kind: str) -> list[tuple[str, Any]]:
    """Make the columns of a covariate: itself, or an indicator for each level but the first."""
    if kind != CATEGORICAL:
        return [(str(column.name), column.to_numpy(float))]
    levels = sorted(column.unique())
    return [(f"{column.name}={one}", (column == one).to_numpy(float)) for one in levels[1:]]


def _scaled(name: str, column: Any, n: Any, kind: str) -> tuple[Covariate, Any]:
    mean = float(np.average(column, weights=n)) if len(n) else 0.0
    off = column - mean
    scale = float(np.sqrt(np.average(off**2, weights=n))) if kind == CONTINUOUS and len(n) else 1.0
    return Covariate(name, mean, scale), off / scale


def arms_of(cells: Cells, source: str) -> dict[Regimen, Arm]:
    """Count patients and events by regimen."""
    arms = {}
    for label in dict.fromkeys(cells.regimens):
        own = np.array([regimen == label for regimen in cells.regimens])
        regimen = regimens.parse(label)
        arms[regimen] = Arm(regimen, int(cells.n[own].sum()), int(cells.events[own].sum()), source)
    return arms


def digest_with(digest: str, cells: Cells) -> str:
    """Return what tells a study file with these patients from any other."""
    parts = [digest, repr(cells.regimens), repr(cells.covariates), repr(cells.clusters)]
    arrays = [cells.values, cells.cluster, cells.n, cells.events]
    return hashlib.sha256(
        "".join(parts).encode() + b"".join(a.tobytes() for a in arrays)
    ).hexdigest()
