"""Aggregation of individual patient data to covariate patterns in SQL, by DuckDB or elsewhere."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cotreat.core.toml_tables import nearest
from cotreat.study.covariate_patterns import BINARY, CATEGORICAL, CONTINUOUS
from cotreat.study_file.rows import RowsError, attach, why

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

ROWS, SOURCE = "patients", "source"
"""Names of the table of rows, and of the rows as they were read."""
N, EVENTS, WEIGHT = "n", "events", "weight"
MOST_LEVELS = 50
"""Largest number of levels of a categorical covariate."""
NO_LEVEL = ("", "none", "0")
"""Values, besides null, of the level of a treatment that was not given."""
NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL")
YES_NO = "0 and 1, or true and false"
RIGHT = {
    CONTINUOUS: ("isinf({}::DOUBLE)", "finite numbers"),
    N: ("{0} < 1 OR {0} <> floor({0})", "whole numbers from 1"),
    EVENTS: ("{0} < 0 OR {0} <> floor({0})", "whole numbers from 0"),
    WEIGHT: ("{0} < 0 OR {0} <> floor({0})", "numbers of patients, whole and from 0"),
    BINARY: ("{}::DOUBLE NOT IN (0, 1)", YES_NO),
}
"""By kind of column, the SQL condition of a wrong number, and what a right one is."""
LIKE_COUNTS = re.compile(r"freq|frequency|counts?|n|weights?|w|wt|patients", re.IGNORECASE)
"""Names of columns that are often numbers of patients per row."""
LIKE_IDS = re.compile(
    r"(patient|subject|person|participant|case)?[ _.]?(id|no|nr|number)|mrn", re.I
)
"""Names of columns that often identify patients."""
FEWEST_ROWS = 4
"""Largest number of rows of which patients may have every combination once, by chance."""

Problem = tuple[str, str]
"""The key of the study file that names a column, and what is wrong with the column."""


@dataclass(frozen=True)
class StratumColumn:
    """A column of levels of a treatment, or of subgroups.

    Attributes
    ----------
    strata : str
        ``dose``, ``duration``, or the id of the subgroups.
    treatment : str
        The treatment that has the levels; empty for subgroups.
    column : str
    ids : tuple of str
        The values of the column; for levels, of the patients that got the treatment.
    """

    strata: str
    treatment: str
    column: str
    ids: tuple[str, ...]

    @property
    def key(self) -> str:
        """The key of the study file that names the column."""
        return f"{self.strata}.{self.treatment}" if self.treatment else f"subgroups.{self.strata}"


@dataclass(frozen=True)
class Columns:
    """The columns of a table of patients, or of covariate patterns.

    Attributes
    ----------
    outcome : str
        0 or 1 for a patient; the number of events for a pattern.
    treatments : tuple of (str, str)
        Treatment and column.
    covariates : tuple of (str, str)
        Column and kind.
    cluster, patient : str
        Empty for none.
    n : str
        The number of patients for a pattern; empty for patients.
    strata : tuple of StratumColumn
        Levels and subgroups.
    weight : str
        The number of patients that a row of patients stands for; empty for one.
    """

    outcome: str
    treatments: tuple[tuple[str, str], ...]
    covariates: tuple[tuple[str, str], ...] = ()
    cluster: str = ""
    patient: str = ""
    n: str = ""
    strata: tuple[StratumColumn, ...] = ()
    weight: str = ""

    @property
    def places(self) -> list[tuple[str, str]]:
        """Every column, after the key of the study file that names it."""
        single = (
            ("cluster", self.cluster),
            ("patient", self.patient),
            ("n", self.n),
            (WEIGHT, self.weight),
        )
        return [
            (EVENTS if self.n else "outcome", self.outcome),
            *((f"treatments.{name}", column) for name, column in self.treatments),
            *((f"covariates.{column}", column) for column, _ in self.covariates),
            *((stratum.key, stratum.column) for stratum in self.strata),
            *((key, column) for key, column in single if column),
        ]

    def given(self, stratum: StratumColumn) -> str:
        """Return the SQL condition that a patient got the treatment of a column of levels.

        Parameters
        ----------
        stratum
            Column of levels of a treatment.

        Returns
        -------
        str
            ``1 = 1`` where the treatment has no column of its own.
        """
        column = dict(self.treatments).get(stratum.treatment)
        return "1 = 1" if column is None else f"CAST({quoted(column)} AS INTEGER) = 1"

    @property
    def kept(self) -> dict[str, str]:
        """The SQL condition, by column, that its value is not missing."""
        levels = {s.column: self.given(s) for s in self.strata if s.treatment}
        return {
            column: f"NOT ({levels[column]} AND {quoted(column)} IS NULL)"
            if column in levels
            else f"{quoted(column)} IS NOT NULL"
            for key, column in self.places
            if key != "patient"
        }

    @property
    def keys(self) -> dict[str, str]:
        """The SQL expression of each column that defines the covariate patterns."""
        keys = {name: f"CAST({quoted(column)} AS INTEGER)" for name, column in self.treatments}
        for column, kind in self.covariates:
            name = quoted(column)
            keys[column] = f"CAST({name} AS INTEGER)" if kind == BINARY else name
        for s in self.strata:
            level = f"CASE WHEN {self.given(s)} THEN {quoted(s.column)} END"
            keys.setdefault(s.column, level if s.treatment else _text(s.column))
        return {**keys, **({self.cluster: quoted(self.cluster)} if self.cluster else {})}


def aggregation_sql(columns: Columns) -> str:
    """Write the aggregation as plain SQL, which DuckDB and SQLite run.

    Parameters
    ----------
    columns
        The columns of the table of patients.

    Returns
    -------
    str
        One SELECT from the table `ROWS`, whose rows are covariate patterns: treatments, covariates,
        levels, subgroups and cluster, with ``n`` patients and ``events``. Rows with a missing value are
        omitted.
    """
    parts = [f"{expression} AS {quoted(name)}" for name, expression in columns.keys.items()]
    events = f"CAST({quoted(columns.outcome)} AS INTEGER)"
    conditions = list(columns.kept.values())
    if columns.weight:
        events = f"{events} * {quoted(columns.weight)}"
        conditions.append(f"{quoted(columns.weight)} > 0")
    size = columns.n or columns.weight
    parts += [f"{quoted(size) if size else '1'} AS {quoted(N)}", f"{events} AS {quoted(EVENTS)}"]
    group = ", ".join(map(quoted, columns.keys))
    inner = ",\n    ".join(parts)
    return (
        f"SELECT {group},\n"
        f"  SUM({quoted(N)}) AS {quoted(N)}, SUM({quoted(EVENTS)}) AS {quoted(EVENTS)}\n"
        f"FROM (\n  SELECT\n    {inner}\n  FROM {ROWS}\n"
        f"  WHERE {' AND '.join(conditions)}\n) AS kept\n"
        f"GROUP BY {group}"
    )


def check_sql(columns: Columns) -> str:
    """Write a query that counts the rows which `aggregation_sql` omits or changes.

    Parameters
    ----------
    columns
        The columns of the table of patients.

    Returns
    -------
    str
        One SELECT: the number of rows, by column those with a missing value, levels of a treatment that
        was not given, and the number of distinct patients.
    """
    parts = [f"COUNT(*) AS {quoted('rows')}"]
    parts += [
        f"SUM(CASE WHEN {condition} THEN 0 ELSE 1 END) AS {quoted(f'{column} missing')}"
        for column, condition in columns.kept.items()
    ]
    for s in (s for s in columns.strata if s.treatment):
        held = f"NOT {columns.given(s)} AND {_text(s.column)} NOT IN ({_list(NO_LEVEL)})"
        name = quoted(f"{s.column} without {s.treatment}")
        parts.append(f"SUM(CASE WHEN {held} THEN 1 ELSE 0 END) AS {name}")
    if columns.patient:
        parts.append(f"COUNT(DISTINCT {quoted(columns.patient)}) AS {quoted('patients')}")
    inner = ",\n  ".join(parts)
    return f"SELECT\n  {inner}\nFROM {ROWS}"


def _text(column: str) -> str:
    return f"CAST({quoted(column)} AS VARCHAR)"


def _list(words: tuple[str, ...]) -> str:
    return ", ".join("'" + word.replace("'", "''") + "'" for word in words)


def quoted(name: str) -> str:
    """Return a name as a quoted SQL identifier.

    Parameters
    ----------
    name
        Name of a column or table.

    Returns
    -------
    str
    """
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True)
class Aggregated:
    """Covariate patterns with the numbers of rows that they were made of.

    Attributes
    ----------
    patterns : pandas.DataFrame
        One row per covariate pattern, in no order.
    rows, dropped : int
        Rows of the data, and rows dropped because of missing values.
    missing : tuple of (str, int)
        Columns with missing values, and their numbers of rows.
    warning : str
        What is unusual about the rows; empty for nothing.
    """

    patterns: pd.DataFrame
    rows: int
    dropped: int
    missing: tuple[tuple[str, int], ...]
    warning: str


def aggregate(
    source: Path | Any, columns: Columns, *, may_drop: bool
) -> Aggregated | list[Problem]:
    """Check the rows of a file or frame, and aggregate them to covariate patterns in DuckDB.

    Parameters
    ----------
    source
        A CSV or Parquet file, a folder of Parquet files, or a frame of pandas or polars.
    columns
        The columns of the rows.
    may_drop
        Whether rows with a missing value may be omitted.

    Returns
    -------
    Aggregated or list of (str, str)
        All problems, if the rows do not match `columns`.
    """
    import duckdb

    with duckdb.connect(config={"preserve_insertion_order": "false"}) as connection:
        try:
            table = _Table(connection, columns, attach(connection, source, SOURCE))
            problems = list(table.absent())
            if not problems:
                table.name_rows()
                problems = list(table.problems(may_drop=may_drop))
            if problems:
                return problems
            rows, missing = table.count(), table.missing()
            complete = table.count(" AND ".join(columns.kept.values()))
            warning = "" if columns.n or columns.weight or columns.patient else table.like_ids()
            patterns = connection.execute(aggregation_sql(columns)).df()
        except RowsError as error:
            return [("file", str(error))]
        except (OSError, EOFError) as error:
            return [("file", f"cannot be read: {error}")]
        except duckdb.Error as error:
            return [("file", why(source, error))]
    return Aggregated(patterns, rows, 0 if columns.n else rows - complete, missing, warning)


@dataclass(frozen=True)
class _Table:
    """The rows in DuckDB, with their columns and the type of each."""

    connection: duckdb.DuckDBPyConnection
    columns: Columns
    types: dict[str, str]

    def first_row(self, query: str) -> tuple[Any, ...]:
        """Return the first row of a query."""
        return self.connection.execute(query).fetchone() or ()

    def count(self, where: str = "1 = 1", what: str = "*", table: str = ROWS) -> int:
        """Count rows."""
        return int(self.first_row(f"SELECT COUNT({what}) FROM {table} WHERE {where}")[0])

    def examples(self, value: str, where: str) -> tuple[Any, ...]:
        """Count the rows that fulfil a condition, with the smallest of their values."""
        return self.first_row(f"SELECT COUNT(*), MIN({value}) FROM {ROWS} WHERE {where}")

    def name_rows(self) -> None:
        """Make the view `ROWS`: NaN as missing, and levels 1.0 and 2.0 as 1 and 2.

        A frame with missing values cannot contain whole numbers in another way.
        """
        levels = {s.column for s in self.columns.strata}
        parts = []
        for column, kind in self.types.items():
            name = value = quoted(column)
            if kind in ("FLOAT", "DOUBLE"):
                value = f"CASE WHEN isnan({name}) THEN NULL ELSE {name} END"
                if column in levels and not self.count(f"{value} <> floor({name})", table=SOURCE):
                    value = f"CAST({value} AS BIGINT)"
            parts.append(f"{value} AS {name}")
        self.connection.execute(f"CREATE VIEW {ROWS} AS SELECT {', '.join(parts)} FROM {SOURCE}")

    def missing(self) -> tuple[tuple[str, int], ...]:
        """Count the rows with a missing value, by column."""
        kept = self.columns.kept
        parts = (f"COUNT(*) - COUNT(CASE WHEN {has} THEN 1 END)" for has in kept.values())
        counts = zip(kept, self.first_row(f"SELECT {', '.join(parts)} FROM {ROWS}"), strict=True)
        return tuple((name, int(count)) for name, count in counts if count)

    # --- Problems ------------------------------------------------------------------------------

    def absent(self) -> Iterator[Problem]:
        """Yield columns that do not exist, or are named twice."""
        columns, used = self.columns, dict[str, str]()
        for key, column in columns.places:
            if column not in self.types:
                words = nearest(column, self.types) or f"the columns are {', '.join(self.types)}"
                yield key, f"there is no column {column!r}; {words}"
            elif column in used and not (
                key.startswith("subgroups.") and used[column].startswith("covariates.")
            ):
                yield key, f"column {column!r} is that of {used[column]} too"
            used.setdefault(column, key)
        # SQL ignores case in names.
        made = {name.lower(): name for name in (*dict(columns.treatments), N, EVENTS)}
        singles = ("outcome", EVENTS, "patient", N)
        for key, column in columns.places:
            name = made.get(column.lower())
            if name and key not in singles and not key.startswith("treatments."):
                words = f"column {column!r} has the name of the column {name!r} of the covariate patterns; rename it"
                yield key, words

    def problems(self, *, may_drop: bool) -> Iterator[Problem]:
        """Yield values that their column cannot contain."""
        if not self.count():
            yield "file", "has no rows"
            return
        columns, kinds = self.columns, dict(self.columns.covariates)
        strata = {s.key: s for s in columns.strata}
        is_sound = True
        for key, column in columns.places:
            kind = kinds.get(column, "") if key.startswith("covariates") else key.partition(".")[0]
            wrong = self._strata(strata[key]) if key in strata else self._values(column, kind)
            for words in wrong:
                is_sound = False
                yield key, f"column {column!r} {words}"
        more = f"{quoted(columns.outcome)} > {quoted(columns.n)}"
        if columns.n and is_sound and (rows := self.count(more)):
            yield EVENTS, f"{rows} covariate patterns have more events than patients"
        if columns.patient:
            yield from self._repeated(columns.patient)
        if is_sound and not (columns.n or columns.weight):
            yield from self._like_counts()
        missing = self.missing() if not columns.strata or self._are_yes_no() else ()
        if missing and not may_drop:
            words = f"values are missing ({', '.join(f'{name} {n:,}' for name, n in missing)})"
            if columns.n:
                yield "file", f"{words}; a covariate pattern needs all of them"
            else:
                yield "missing", f'{words}; write missing = "drop" to leave those rows out'

    def _values(self, column: str, kind: str) -> Iterator[str]:
        """Yield what is wrong with the values of a column of some kind."""
        name, type_ = quoted(column), self.types[column]
        is_same = "has the same value in every row; leave it out"
        if not self.count(what=name):
            yield "has no value in any row"
            return
        if kind in (CATEGORICAL, "cluster", "patient"):
            levels = self.count(what=f"DISTINCT {name}")
            if kind == CATEGORICAL and levels > MOST_LEVELS:
                words = "is it continuous, or the patient?"
                yield f"has {levels:,} levels, more than {MOST_LEVELS}; {words}"
            elif kind != "patient" and levels < 2:
                yield is_same
            return
        is_number = type_.removeprefix("U") in NUMBERS
        bad, right = RIGHT.get(kind, RIGHT[BINARY])
        if not is_number and not (type_ == "BOOLEAN" and right == YES_NO):
            is_text = f"TRY_CAST({name} AS DOUBLE) IS NULL"
            shown = f"values of the type {type_}"
            if type_ == "VARCHAR":
                shown = f"text such as {self.examples(name, is_text)[1]!r}"
            yield f"holds {shown}; it must hold {'numbers' if right != YES_NO else right}"
            return
        rows, example = self.examples(name, bad.format(name))
        if rows:
            yield f"holds {example:g} and the like in {rows:,} rows; it must hold {right}"
        elif kind in (CONTINUOUS, BINARY) and self.count(what=f"DISTINCT {name}") < 2:
            yield is_same

    def _strata(self, stratum: StratumColumn) -> Iterator[str]:
        """Yield values that are no level or subgroup, and levels without the treatment."""
        if not self._are_yes_no():
            return
        value, given = _text(stratum.column), self.columns.given(stratum)
        owner = stratum.treatment
        rows, example = self.examples(value, f"{given} AND {value} NOT IN ({_list(stratum.ids)})")
        if rows:
            what = f"the levels of {owner} are" if owner else "the subgroups are"
            words = f"{what} {', '.join(stratum.ids)}"
            yield f"holds {example!r} and the like in {rows:,} rows; {words}"
            return
        held = f"NOT ({given}) AND {value} NOT IN ({_list(NO_LEVEL)})"
        rows, example = self.examples(value, held)
        if rows:
            words = f"whose patients did not get {owner}"
            yield f"holds {example!r} and the like in {rows:,} rows {words}"
        kept = " AND ".join(self.columns.kept.values())
        for part in stratum.ids:
            if not self.count(f"{kept} AND {given} AND {value} = {_list((part,))}"):
                more = "leave it out of the study file, or join it with another"
                yield f"has no complete row with {part!r}; {more}"

    def _are_yes_no(self) -> bool:
        """Return whether every treatment is 0 or 1; otherwise no level can be checked."""
        number = "TRY_CAST({0} AS DOUBLE)"
        bad = f"{{0}} IS NOT NULL AND ({number} IS NULL OR {number} NOT IN (0, 1))"
        return not any(self.count(bad.format(quoted(one))) for _, one in self.columns.treatments)

    def _repeated(self, column: str) -> Iterator[Problem]:
        name = quoted(column)
        of_id = f"SELECT {name} AS id FROM {ROWS} WHERE {name} IS NOT NULL"
        repeated = f"{of_id} GROUP BY {name} HAVING COUNT(*) > 1"
        count, first = self.first_row(f"SELECT COUNT(*), MIN(id) FROM ({repeated})")
        if count:
            patients = "1 patient stands" if count == 1 else f"{count:,} patients stand"
            yield "patient", f"{patients} in several rows, such as {first!r}; each must have one"

    def like_ids(self) -> str:
        """Return a warning of an unused column that looks like ids of patients and repeats them."""
        used = {column for _, column in self.columns.places}
        for column in (name for name in self.types if name not in used):
            ids, rows = (
                self.count(what=f"DISTINCT {quoted(column)}"),
                self.count(what=quoted(column)),
            )
            if LIKE_IDS.fullmatch(column) and ids < rows:
                words = f"column {column!r} is not used and has {ids:,} values in {rows:,} rows"
                key = f"write patient = {_text_of(column)} to check it"
                return f"{words}; each row is one patient here; if {column!r} identifies patients, {key}"
        return ""

    def _like_counts(self) -> Iterator[Problem]:
        """Yield signs that the rows are not patients, but a table with a column of counts."""
        used = {column for _, column in self.columns.places}
        rows = self.count()
        for column in (name for name in self.types if name not in used):
            name = quoted(column)
            if not (LIKE_COUNTS.fullmatch(column) and self._is_whole(column)):
                continue
            lowest, highest, different = self.first_row(
                f"SELECT MIN({name}), MAX({name}), COUNT(DISTINCT {name}) FROM {ROWS}"
            )
            if (lowest, highest, different) == (1, rows, rows):  # numbers of the rows
                continue
            words = f"column {column!r} is not used and looks like numbers of patients"
            yield WEIGHT, f"{words}; write weight = {_text_of(column)}, or remove the column"
            return
        combined = ", ".join(
            map(quoted, dict.fromkeys(column for _, column in self.columns.places))
        )
        distinct = self.first_row(f"SELECT COUNT(*) FROM (SELECT DISTINCT {combined} FROM {ROWS})")
        levels = (self.count(what=f"DISTINCT {quoted(column)}") for column in used)
        if distinct[0] == rows == math.prod(levels) and rows > FEWEST_ROWS:
            words = "every combination of the columns stands in one row, as in a table of counts"
            yield WEIGHT, f'{words}; write weight = "…" with the column of the numbers of patients'

    def _is_whole(self, column: str) -> bool:
        """Return whether a column has whole numbers from 0 only."""
        bad, _ = RIGHT[WEIGHT]
        is_number = self.types[column].removeprefix("U") in NUMBERS
        return is_number and not self.count(bad.format(quoted(column)))


def _text_of(column: str) -> str:
    """Return the name of a column as text of a TOML file."""
    return json.dumps(column, ensure_ascii=False)
