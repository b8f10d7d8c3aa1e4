"""The sections ``[patients]`` and ``[patterns]`` of a study file: patients, or covariate patterns."""

import hashlib
from collections.abc import Iterator
from dataclasses import astuple, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cotreat.core.toml_tables import show_key
from cotreat.study import regimens
from cotreat.study.conditioning import MOST, without_constants
from cotreat.study.covariate_patterns import (
    CATEGORICAL,
    CONTINUOUS,
    CovariatePatterns,
    DesignColumn,
    StratumRegimens,
)
from cotreat.study.regimens import GROUP, LEVEL
from cotreat.study.study import GRADINGS
from cotreat.study_file.aggregate import EVENTS, Aggregated, Columns, N, StratumColumn, aggregate
from cotreat.study_file.coding import NO_LEVEL, RegimenColumn, YesNo, texts_of
from cotreat.study_file.parsing import RegimenReader
from cotreat.study_file.shape import AggregatedTable, PatientsTable

PATIENTS, PATTERNS = "patients", "patterns"
FILE = "a file of CSV, Parquet, Stata, SPSS, SAS or Excel, or a folder of Parquet files, beside the study file"


def _section(table: PatientsTable | AggregatedTable) -> str:
    return PATTERNS if isinstance(table, AggregatedTable) else PATIENTS


def read_columns(table: PatientsTable | AggregatedTable, reader: RegimenReader) -> Columns | None:
    """Read the columns of [patients] or [patterns]; problems are noted.

    Parameters
    ----------
    table
        The section.
    reader
        Ids of treatments and strata.

    Returns
    -------
    Columns or None
        None where there are problems.
    """
    treatments, problems = reader.treatments, reader.problems
    before = len(problems.lines)
    strata = tuple(_strata(table, reader))
    if isinstance(table, AggregatedTable):
        columns = Columns(
            YesNo(EVENTS), tuple((name, YesNo(name)) for name in treatments), n=N, strata=strata
        )
    else:
        if table.patient and table.weight:
            words = (
                "a row of several patients has no patient of its own; leave out patient or weight"
            )
            problems.add(f"{PATIENTS}.weight", words)
        regimen = _regimen(table, reader)
        columns = Columns(
            YesNo(table.outcome, texts_of(table.event), texts_of(table.no_event)),
            tuple(_indicators(table, regimen, strata, reader)),
            patient=table.patient or "",
            strata=strata,
            weight=table.weight or "",
            regimen=regimen,
            missing_values=texts_of(table.missing_values),
        )
    if table.cluster and table.matched:
        words = "matched sets are conditioned on, and clusters within them cannot be; leave out one"
        problems.add(f"{_section(table)}.matched", words)
    if len(problems.lines) > before:
        return None
    covariates = tuple((table.covariates or {}).items())
    cluster, is_matched = table.matched or table.cluster or "", table.matched is not None
    return replace(columns, covariates=covariates, cluster=cluster, is_matched=is_matched)


def _regimen(table: PatientsTable, reader: RegimenReader) -> RegimenColumn | None:
    """Return the column of regimens; note wrong regimens of its values."""
    if table.regimen is None:
        return None
    sound = []
    for value, label in (table.regimen.values or {}).items():
        where = f"{PATIENTS}.regimen.values.{show_key(value)}"
        regimen = reader.regimen(where, label)
        if regimen is not None and (named := sorted(regimen - {*reader.treatments})):
            words = (
                f"names {', '.join(named)}; write the column of levels or subgroups as its own key"
            )
            reader.problems.add(where, words)
        elif regimen is not None:
            sound.append((value, label))
    return RegimenColumn(table.regimen.column, tuple(sound))


def _indicators(
    table: PatientsTable,
    regimen: RegimenColumn | None,
    strata: tuple[StratumColumn, ...],
    reader: RegimenReader,
) -> Iterator[tuple[str, YesNo]]:
    """Yield each treatment with its column and values; note missing and unknown treatments."""
    treatments, problems, where = reader.treatments, reader.problems, f"{PATIENTS}.treatments"
    given = table.treatments or {}
    if (regimen is None) == (not given):
        words = "write either the column of each treatment, or regimen with the column of regimens"
        problems.add(where, f"missing; {words}" if regimen is None else words)
        return
    if regimen is not None:
        yield from regimen.indicators(treatments)
        return
    for name in (name for name in given if name not in treatments):
        problems.add(f"{where}.{name}", f"no such treatment; they are {', '.join(treatments)}")
    for name in treatments:
        if name not in given:
            problems.add(f"{where}.{name}", "missing; it must be the column of the treatment")
            continue
        column, yes, no = given[name].column, texts_of(given[name].yes), texts_of(given[name].no)
        levels = [s.ids for s in strata if s.treatment == name and s.column == column]
        if levels and not (yes or no):
            yes, no = levels[0], NO_LEVEL
        yield name, YesNo(column, yes, no)


def _strata(
    table: PatientsTable | AggregatedTable, reader: RegimenReader
) -> Iterator[StratumColumn]:
    """Yield the columns of levels and subgroups; note those that the file does not declare."""
    for kind in (*GRADINGS, "subgroups"):
        where, is_graded = f"{_section(table)}.{kind}", kind in GRADINGS
        columns: dict[str, str] = getattr(table, kind) or {}
        declared = {
            owner: tuple(i for i, _ in named)
            for strata in reader.stratifications
            if kind == (strata.id if strata.is_graded else "subgroups")
            for owner, named in strata.owners
        }
        for name in (name for name in columns if name not in declared):
            words = f"the study file has no such subgroups; write [subgroups.{name}]"
            if is_graded:
                levels = f'[treatments.{name}] {kind} = {{ low = "…", high = "…" }}'
                words = f"the study file has no {kind} of {name}; write {levels}"
            reader.problems.add(f"{where}.{name}", words)
        for name in sorted(set(declared) - set(columns)):
            words = f"missing; it must be the column of these {'levels' if is_graded else 'groups'}"
            reader.problems.add(f"{where}.{name}", words)
        for name in (name for name in columns if name in declared):
            strata_id, treatment = (kind, name) if is_graded else (name, "")
            yield StratumColumn(strata_id, treatment, columns[name], declared[name])


def read_patients(
    table: PatientsTable | AggregatedTable,
    frame: Any | None,
    folder: Path,
    reader: RegimenReader,
) -> CovariatePatterns | None:
    """Read patients or covariate patterns, and aggregate them; problems are noted.

    Parameters
    ----------
    table
        The section of the study file.
    frame
        A frame that replaces the file.
    folder
        Folder of the study file.
    reader
        Ids of treatments and strata, and the inclusion rule.

    Returns
    -------
    CovariatePatterns or None
        None where there are problems.
    """
    problems, section = reader.problems, _section(table)
    columns = read_columns(table, reader)
    if columns is None:
        return None
    source = folder / (table.file or "") if frame is None else frame
    if frame is None and not (table.file and source.exists()):
        absent = f"there is no file {str(source)!r}" if table.file else "missing"
        problems.add(f"{section}.file", f"{absent}; it must be {FILE}")
        return None
    may_drop = isinstance(table, PatientsTable) and table.missing == "drop"
    aggregated = aggregate(source, columns, may_drop=may_drop)
    if isinstance(aggregated, list):
        for key, words in aggregated:
            problems.add(f"{section}.{key}", words)
        return None
    patterns = covariate_patterns(aggregated, columns, reader.treatments)
    before = len(problems.lines)
    for covariate, values in zip(patterns.covariates, patterns.values.T, strict=True):
        if not (np.isfinite(values).all() and np.isfinite(covariate.scale)):
            words = "has values that are too large to be scaled; correct or rescale them"
            problems.add(f"{section}.covariates.{covariate.column}", words)
    for words in _repeated(patterns):
        problems.add(f"{section}.covariates", words)
    _check(patterns, section, reader)
    return patterns if len(problems.lines) == before else None


def _repeated(patterns: CovariatePatterns) -> Iterator[str]:
    """Yield why columns of the design matrix have one name."""
    columns: dict[str, str] = {}
    for covariate in patterns.covariates:
        first = columns.setdefault(covariate.name, covariate.column)
        if first != covariate.column:
            words = f"columns {first!r} and {covariate.column!r} both make the covariate"
            yield f"{words} {covariate.name!r}; rename one of them"


def _check(patterns: CovariatePatterns, section: str, reader: RegimenReader) -> None:
    """Require patients on at least two regimens, all of them admitted."""
    if not len(patterns.n):
        reader.problems.add(section, f"no row is left: {patterns}")
    elif len(patterns.counts) < 2:
        words = f"all patients have the regimen {patterns.regimens[0]}"
        reader.problems.add(section, f"{words}; at least two must have patients")
    if patterns.is_matched:
        sizes = np.bincount(patterns.cluster, patterns.n)
        largest = patterns.clusters[int(sizes.argmax())]
        if sizes.max() > MOST:
            words = f"the set {largest!r} has {sizes.max():,.0f} patients, more than {MOST}"
            words = (
                f"{words}; make its variables covariates, or write cluster = in place of matched ="
            )
            reader.problems.add(f"{section}.matched", words)
    if patterns.clusters and patterns.n.sum() == len(patterns.clusters):
        kind = "matched" if patterns.is_matched else "cluster"
        what = "matched set" if patterns.is_matched else "cluster"
        words = f"every patient is a {what} alone; if the column identifies patients, write patient"
        reader.problems.add(f"{section}.{kind}", f"{words} = in place of {kind} =")
    for regimen, (n, _) in patterns.counts.items():
        name = f"the regimen {regimen} of {n:,} patients"
        reader.require_admitted(section, name, regimens.parse(regimen))


def covariate_patterns(
    aggregated: Aggregated, columns: Columns, treatments: tuple[str, ...]
) -> CovariatePatterns:
    """Order covariate patterns; centre and scale their covariates.

    Parameters
    ----------
    aggregated
        Covariate patterns in any order.
    columns
        Their columns.
    treatments
        Ids of the treatments, in the order of the study file.

    Returns
    -------
    CovariatePatterns
    """
    names = [column for column, _ in columns.covariates]
    texts = [column for column, kind in columns.covariates if kind == CATEGORICAL]
    texts += [columns.cluster] * bool(columns.cluster)
    texts += [s.column for s in columns.strata if s.column not in names]
    frame = aggregated.patterns.astype(dict.fromkeys(texts, str))
    frame = frame.sort_values(list(columns.keys), ignore_index=True)
    n = frame[N].to_numpy(np.int64)
    scaled = [
        _scaled(label, name, column, n, kind)
        for name, kind in columns.covariates
        for label, column in _design(frame[name], kind)
    ]
    clusters: tuple[str, ...] = ()
    cluster = np.zeros(len(frame), np.int64)
    if columns.cluster:
        categories = pd.Categorical(frame[columns.cluster])
        clusters, cluster = tuple(categories.categories), categories.codes.astype(np.int64)
    patterns = CovariatePatterns(
        labels=tuple(_labels(frame, columns, treatments)),
        covariates=tuple(covariate for covariate, _ in scaled),
        values=np.array([values for _, values in scaled]).reshape(len(scaled), len(frame)).T,
        clusters=clusters,
        cluster=cluster,
        n=n,
        events=frame[EVENTS].to_numpy(np.int64),
        rows=aggregated.rows,
        missing=aggregated.missing,
        dropped=aggregated.dropped,
        warnings=aggregated.warnings,
        notes=aggregated.notes,
        is_matched=columns.is_matched,
    )
    return without_constants(patterns) if columns.is_matched else patterns


def _labels(
    frame: pd.DataFrame, columns: Columns, treatments: tuple[str, ...]
) -> Iterator[StratumRegimens]:
    """Yield the regimens of the patterns, with pooled strata and at each stratification."""
    taken = [np.where(frame[t].to_numpy(bool), t, "") for t in treatments]
    yield StratumRegimens("", _joined(taken))
    for strata in dict.fromkeys(s.strata for s in columns.strata):
        column_of = {s.treatment: s for s in columns.strata if s.strata == strata}
        if "" in column_of:
            column, ids = column_of[""].column, column_of[""].ids
            pairs = zip(_joined(taken), _as_ids(frame[column], ids), strict=True)
            labels = (f"{regimen}{regimens.WITHIN}{strata}{GROUP}{i}" for regimen, i in pairs)
            yield StratumRegimens(strata, tuple(labels), column)
            continue
        at_level = [
            np.where(part != "", t + LEVEL + frame[column_of[t].column].astype(object), "")
            if t in column_of
            else part
            for t, part in zip(treatments, taken, strict=True)
        ]
        yield StratumRegimens(strata, _joined(at_level))


def _joined(parts: list[Any]) -> tuple[str, ...]:
    """Return the regimen of each pattern from the part of each treatment, empty where not taken."""
    return tuple("+".join(filter(None, row)) or regimens.NONE for row in zip(*parts, strict=True))


def _as_ids(column: pd.Series, ids: tuple[str, ...]) -> list[str]:
    """Return the ids of subgroups, also where their column is a covariate of 0 and 1."""
    truth = {"0": "false", "1": "true"}
    return [word if word in ids else truth.get(word, word) for word in column.astype(str)]


def _design(column: pd.Series, kind: str) -> list[tuple[str, Any]]:
    """Return the design columns of a covariate: itself, or an indicator per level but the first."""
    if kind != CATEGORICAL:
        return [(str(column.name), column.to_numpy(float))]
    levels = sorted(column.unique())[1:]
    return [(f"{column.name}={level}", (column == level).to_numpy(float)) for level in levels]


def _scaled(label: str, name: str, column: Any, n: Any, kind: str) -> tuple[DesignColumn, Any]:
    mean, scale = 0.0, 1.0
    with np.errstate(over="ignore", invalid="ignore"):  # `read_patients` refuses infinities
        if len(n):
            mean = float(np.average(column, weights=n))
        centred = column - mean
        if kind == CONTINUOUS and len(n):
            scale = float(np.sqrt(np.average(centred**2, weights=n)))
        return DesignColumn(label, mean, scale, name), centred / scale


def digest_with(digest: str, patterns: CovariatePatterns | None) -> str:
    """Return the SHA-256 of a study file's digest and its patients; the digest itself without any.

    Parameters
    ----------
    digest : str
        Digest of the study file.
    patterns : CovariatePatterns or None

    Returns
    -------
    str
    """
    if patterns is None:
        return digest
    records = (tuple(map(astuple, records)) for records in (patterns.labels, patterns.covariates))
    parts = [digest, *map(repr, records), repr(patterns.clusters)]
    arrays = [patterns.values, patterns.cluster, patterns.n, patterns.events]
    content = "".join(parts).encode() + b"".join(a.tobytes() for a in arrays)
    return hashlib.sha256(content).hexdigest()
