"""The sections ``[patients]`` and ``[cells]`` of a study file: rows, or cells made of them elsewhere."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cotreat.core.toml_tables import Problems
from cotreat.study import regimens
from cotreat.study.covariate_patterns import CATEGORICAL, CONTINUOUS, Cells, Covariate, Labels
from cotreat.study.regimens import GROUP, LEVEL
from cotreat.study.study import GRADINGS, Stratification
from cotreat.study_file.aggregate import (
    EVENTS,
    Collapsed,
    CollapseError,
    Columns,
    N,
    Parted,
    collapse,
)
from cotreat.study_file.parsing import Places
from cotreat.study_file.shape import AggregatedTable, PatientsTable

PATIENTS, CELLS = "patients", "cells"
FILE = "a CSV or Parquet file, or a folder of Parquet files, beside the study file"


@dataclass(frozen=True)
class Asked:
    """What a section states: its columns, its file, and whether rows that lack values may be dropped."""

    columns: Columns
    file: str
    may_drop: bool


def read_columns(
    table: PatientsTable | AggregatedTable,
    treatments: tuple[str, ...],
    stratifications: tuple[Stratification, ...],
    problems: Problems,
) -> Asked | None:
    """Read which column holds what; None where there are problems, which are noted."""
    section = CELLS if isinstance(table, AggregatedTable) else PATIENTS
    before = len(problems.found)
    parted = tuple(_parted(table, section, stratifications, problems))
    covariates = tuple((table.covariates or {}).items())
    if isinstance(table, AggregatedTable):
        own = tuple((name, name) for name in treatments)
        columns = Columns(EVENTS, own, covariates, table.cluster or "", n=N, parted=parted)
        is_lossy = False
    else:
        given = table.treatments
        for name in treatments:
            if name not in given:
                problems.add(
                    f"{section}.treatments.{name}",
                    "missing; it must be the column of the treatment",
                )
        for name in sorted(set(given) - set(treatments)):
            problems.add(
                f"{section}.treatments.{name}",
                f"no such treatment; they are {', '.join(treatments)}",
            )
        own = tuple((name, given[name]) for name in treatments if name in given)
        columns = Columns(
            table.outcome, own, covariates, table.cluster or "", table.patient or "", parted=parted
        )
        is_lossy = table.missing == "drop"
    sound = len(problems.found) == before
    return Asked(columns, table.file or "", is_lossy) if sound else None


def _parted(
    table: PatientsTable | AggregatedTable,
    section: str,
    stratifications: tuple[Stratification, ...],
    problems: Problems,
) -> Iterator[Parted]:
    """Read which column holds the levels of a treatment, or subgroups, that the file declares."""
    known = {strata.id: dict(strata.owners) for strata in stratifications}
    for strata in GRADINGS:
        columns: dict[str, str] = getattr(table, strata) or {}
        for treatment, column in columns.items():
            own = known.get(strata, {}).get(treatment)
            if own is None:
                problems.add(
                    f"{section}.{strata}.{treatment}",
                    f"the study file has no {strata} of {treatment}; write [treatments.{treatment}] "
                    f'{strata} = {{ low = "…", high = "…" }}',
                )
            else:
                yield Parted(strata, treatment, column, tuple(i for i, _ in own))
        for treatment in sorted(set(known.get(strata, {})) - set(columns)):
            problems.add(
                f"{section}.{strata}.{treatment}",
                "missing; it must be the column of these levels",
            )
    subgroups = table.subgroups or {}
    for name, column in subgroups.items():
        if name in GRADINGS or name not in known:
            problems.add(
                f"{section}.subgroups.{name}",
                f"the study file has no such subgroups; write [subgroups.{name}]",
            )
        else:
            yield Parted(name, "", column, tuple(i for i, _ in known[name][name]))
    for name in sorted(set(known) - set(subgroups) - set(GRADINGS)):
        problems.add(
            f"{section}.subgroups.{name}", "missing; it must be the column of these groups"
        )


def read_patients(
    table: PatientsTable | AggregatedTable,
    given: Any | None,
    folder: Path,
    inclusion: str,
    admitted: regimens.Rule,
    places: Places,
) -> Cells | None:
    """Read rows or cells, and collapse them.

    Parameters
    ----------
    table
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
    section = CELLS if isinstance(table, AggregatedTable) else PATIENTS
    asked = read_columns(table, places.treatments, places.stratifications, problems)
    collapsed = None if asked is None else _collapsed(asked, section, given, folder, problems)
    if asked is None or collapsed is None:
        return None
    cells = cells_of(collapsed, asked.columns, places.treatments)
    before = len(problems.found)
    for covariate, values in zip(cells.covariates, cells.values.T, strict=True):
        if not np.isfinite(values).all():
            problems.add(
                f"{section}.covariates.{covariate.column}",
                "has values that are too large to be scaled; correct or rescale them",
            )
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
    texts += [one.column for one in columns.parted if one.column not in names]
    frame = frame.astype(dict.fromkeys(texts, str))
    frame = frame.sort_values(list(columns.keys), ignore_index=True)
    n = frame[N].to_numpy(np.int64)
    covariates, values = [], []
    for name, kind in columns.covariates:
        for label, column in _design(frame[name], kind):
            covariate, scaled = _scaled(label, name, column, n, kind)
            covariates.append(covariate)
            values.append(scaled)
    clusters, cluster = ((), np.zeros(len(frame), np.int64))
    if columns.cluster:
        found = pd.Categorical(frame[columns.cluster])
        clusters, cluster = tuple(found.categories), found.codes.astype(np.int64)
    return Cells(
        labels=tuple(_labels(frame, columns, treatments)),
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


def _labels(frame: pd.DataFrame, columns: Columns, treatments: tuple[str, ...]) -> Iterator[Labels]:
    """Label the regimens of the cells as they are, and by each division of the patients."""
    plain = [np.where(frame[t].to_numpy(bool), t, "") for t in treatments]
    yield Labels("", _joined(plain))
    for strata in dict.fromkeys(one.strata for one in columns.parted):
        own = {one.treatment: one for one in columns.parted if one.strata == strata}
        if "" in own:
            group = _as_ids(frame[own[""].column], own[""].ids)
            labels = [
                regimens.WITHIN.join([regimen, f"{strata}{GROUP}{i}"])
                for regimen, i in zip(_joined(plain), group, strict=True)
            ]
            yield Labels(strata, tuple(labels), own[""].column)
            continue
        told = [
            np.where(part != "", t + LEVEL + frame[own[t].column].astype(object), "")
            if t in own
            else part
            for t, part in zip(treatments, plain, strict=True)
        ]
        yield Labels(strata, _joined(told))


def _joined(parts: list[Any]) -> tuple[str, ...]:
    """Write the regimen of each cell, from the part of each treatment or nothing."""
    return tuple("+".join(filter(None, row)) or regimens.NONE for row in zip(*parts, strict=True))


def _as_ids(column: pd.Series, ids: tuple[str, ...]) -> list[str]:
    """Write subgroups by their ids, also where their column is a covariate of 0 and 1."""
    said = {"0": "false", "1": "true"}
    words = column.astype(str)
    return [word if word in ids else said.get(word, word) for word in words]


def _design(column: pd.Series, kind: str) -> list[tuple[str, Any]]:
    """Make the columns of a covariate: itself, or an indicator for each level but the first."""
    if kind != CATEGORICAL:
        return [(str(column.name), column.to_numpy(float))]
    levels = sorted(column.unique())
    return [(f"{column.name}={one}", (column == one).to_numpy(float)) for one in levels[1:]]


def _scaled(label: str, name: str, column: Any, n: Any, kind: str) -> tuple[Covariate, Any]:
    mean, scale = 0.0, 1.0
    with np.errstate(over="ignore", invalid="ignore"):  # read_patients refuses what is not finite
        if len(n):
            mean = float(np.average(column, weights=n))
        off = column - mean
        if kind == CONTINUOUS and len(n):
            scale = float(np.sqrt(np.average(off**2, weights=n)))
        return Covariate(label, mean, scale, name), off / scale


def digest_with(digest: str, cells: Cells) -> str:
    """Return what tells a study file with these patients from any other."""
    parts = [digest, repr(cells.labels), repr(cells.covariates), repr(cells.clusters)]
    arrays = [cells.values, cells.cluster, cells.n, cells.events]
    return hashlib.sha256(
        "".join(parts).encode() + b"".join(a.tobytes() for a in arrays)
    ).hexdigest()
