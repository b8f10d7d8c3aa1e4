"""Patients to cells in SQL: by DuckDB here, or by whatever holds the rows elsewhere."""

from __future__ import annotations

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

ROWS = "patients"
"""Name of the table of rows."""
SOURCE = "source"
"""Name of the rows as they come."""
N, EVENTS = "n", "events"
MOST_LEVELS = 50
NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL")
YES_NO = "0 and 1, or true and false"


class CollapseError(ValueError):
    """Rows that cannot be collapsed.

    Attributes
    ----------
    problems : tuple of (str, str)
        The key of the study file that asks for it, and what is wrong.
    """

    def __init__(self, problems: list[tuple[str, str]]) -> None:
        super().__init__(problems)
        self.problems = tuple(problems)


@dataclass(frozen=True)
class Parted:
    """A column whose values are levels of a treatment, or subgroups.

    Attributes
    ----------
    division : str
        ``dose``, ``duration``, or the id of the subgroups.
    treatment : str
        Whose levels they are; empty for subgroups.
    ids : tuple of str
        All that the column may hold; of a treatment's levels only where the treatment was given.
    """

    strata: str
    treatment: str
    column: str
    ids: tuple[str, ...]

    @property
    def key(self) -> str:
        """The key of the study file that names the column."""
        owner = self.treatment or self.strata
        return f"{self.strata if self.treatment else 'subgroups'}.{owner}"


@dataclass(frozen=True)
class Columns:
    """Which column of a table holds what.

    Attributes
    ----------
    outcome : str
        Of rows: 0 or 1. Of cells: patients with the event.
    n : str
        Of cells: how many patients; empty for rows.
    treatments : tuple of (str, str)
        Treatment and column.
    covariates : tuple of (str, str)
        Column and kind.
    cluster, patient : str
        Empty for none.
    parted : tuple of Parted
        Levels and subgroups.
    """

    outcome: str
    treatments: tuple[tuple[str, str], ...]
    covariates: tuple[tuple[str, str], ...] = ()
    cluster: str = ""
    patient: str = ""
    n: str = ""
    parted: tuple[Parted, ...] = ()

    @property
    def places(self) -> list[tuple[str, str]]:
        """Every column with the key of the study file that names it."""
        return [
            ("outcome" if not self.n else EVENTS, self.outcome),
            *((f"treatments.{name}", column) for name, column in self.treatments),
            *((f"covariates.{column}", column) for column, _ in self.covariates),
            *((one.key, one.column) for one in self.parted),
            *((key, c) for key, c in (("cluster", self.cluster), ("patient", self.patient)) if c),
            *((("n", self.n),) if self.n else ()),
        ]

    def given(self, part: Parted) -> str:
        """Write in SQL that a patient has the treatment whose level a column tells."""
        column = dict(self.treatments).get(part.treatment)
        return "1 = 1" if column is None else f"CAST({quoted(column)} AS INTEGER) = 1"

    @property
    def kept(self) -> dict[str, str]:
        """By column, in SQL, that its value is not missing: without it a row is of no use."""
        levels = {one.column: self.given(one) for one in self.parted if one.treatment}
        return {
            column: f"NOT ({levels[column]} AND {quoted(column)} IS NULL)"
            if column in levels
            else f"{quoted(column)} IS NOT NULL"
            for key, column in self.places
            if key != "patient"
        }

    @property
    def keys(self) -> dict[str, str]:
        """By column of the cells, in SQL, what tells one cell from another."""
        found = {name: f"CAST({quoted(column)} AS INTEGER)" for name, column in self.treatments}
        for column, kind in self.covariates:
            found[column] = (
                f"CAST({quoted(column)} AS INTEGER)" if kind == BINARY else quoted(column)
            )
        for one in self.parted:
            own = f"CASE WHEN {self.given(one)} THEN {quoted(one.column)} END"
            found.setdefault(one.column, own if one.treatment else _text(one.column))
        return {**found, **({self.cluster: quoted(self.cluster)} if self.cluster else {})}


def collapse_sql(columns: Columns) -> str:
    """Write the collapse as plain SQL; tested on DuckDB and SQLite.

    Returns
    -------
    str
        One SELECT from the table `ROWS`, whose rows are cells: treatments, covariates, levels,
        subgroups and cluster, ``n`` patients, of whom ``events`` had the event. Rows that lack a value
        are left out.
    """
    parts = [f"{what} AS {quoted(name)}" for name, what in columns.keys.items()]
    count = quoted(columns.n) if columns.n else "1"
    parts += [
        f"{count} AS {quoted(N)}",
        f"CAST({quoted(columns.outcome)} AS INTEGER) AS {quoted(EVENTS)}",
    ]
    group = ", ".join(map(quoted, columns.keys))
    inner = ",\n    ".join(parts)
    return (
        f"SELECT {group},\n"
        f"  SUM({quoted(N)}) AS {quoted(N)}, SUM({quoted(EVENTS)}) AS {quoted(EVENTS)}\n"
        f"FROM (\n  SELECT\n    {inner}\n  FROM {ROWS}\n"
        f"  WHERE {' AND '.join(columns.kept.values())}\n) AS kept\n"
        f"GROUP BY {group}"
    )


def check_sql(columns: Columns) -> str:
    """Write a query that counts the rows which `collapse_sql` leaves out or mends without a word.

    By column those that lack a value, and levels of a treatment that was not given; patients that stand
    in several rows are rows less patients.
    """
    parts = [f"COUNT(*) AS {quoted('rows')}"]
    parts += [
        f"SUM(CASE WHEN {has} THEN 0 ELSE 1 END) AS {quoted(f'{column} missing')}"
        for column, has in columns.kept.items()
    ]
    for one in columns.parted:
        if one.treatment:
            held = f"NOT {columns.given(one)} AND {_text(one.column)} NOT IN ('', 'none', '0')"
            name = quoted(f"{one.column} without {one.treatment}")
            parts.append(f"SUM(CASE WHEN {held} THEN 1 ELSE 0 END) AS {name}")
    if columns.patient:
        parts.append(f"COUNT(DISTINCT {quoted(columns.patient)}) AS {quoted('patients')}")
    inner = ",\n  ".join(parts)
    return f"SELECT\n  {inner}\nFROM {ROWS}"


def _text(column: str) -> str:
    return f"CAST({quoted(column)} AS VARCHAR)"


def quoted(name: str) -> str:
    """Write a name so that any character may stand in it."""
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True)
class Collapsed:
    """What came of the rows.

    Attributes
    ----------
    cells : pandas.DataFrame
        One row a cell, in no order.
    rows, dropped : int
    missing : tuple of (str, int)
    """

    cells: pd.DataFrame
    rows: int
    dropped: int
    missing: tuple[tuple[str, int], ...]


def collapse(source: Path | Any, columns: Columns, *, may_drop: bool) -> Collapsed:
    """Check the rows of a file or frame, and collapse them to cells, within DuckDB.

    Parameters
    ----------
    source
        A CSV or Parquet file, a folder of Parquet files, or a frame of pandas or polars.
    may_drop
        Whether rows that lack a value may be left out.

    Raises
    ------
    CollapseError
        If the rows are not what `columns` says; every problem found is in it.
    """
    import duckdb

    with duckdb.connect(config={"preserve_insertion_order": "false"}) as connection:
        try:
            types = attach(connection, source, SOURCE)
            problems = list(_absent(columns, list(types)))
            if not problems:
                _name_rows(connection, types, columns)
                problems = list(_problems(connection, columns, types, may_drop=may_drop))
            if problems:
                raise CollapseError(problems)
            rows = _one(connection, f"SELECT COUNT(*) FROM {ROWS}")
            missing = _missing(connection, columns)
            cells = connection.execute(collapse_sql(columns)).df()
        except RowsError as error:
            raise CollapseError([("file", str(error))]) from None
        except duckdb.Error as error:
            raise CollapseError([("file", why(source, error))]) from None
    counted = int(cells[N].sum()) if len(cells) else 0
    return Collapsed(cells, rows, 0 if columns.n else rows - counted, missing)


def _name_rows(
    connection: duckdb.DuckDBPyConnection, types: dict[str, str], columns: Columns
) -> None:
    """Name the rows `ROWS`, as they are meant.

    NaN stands for a value that is missing, and levels 1.0 and 2.0 for 1 and 2: a frame that lacks values
    can hold whole numbers in no other way.
    """
    parted = {one.column for one in columns.parted}
    parts = []
    for column, kind in types.items():
        name = what = quoted(column)
        if kind in ("FLOAT", "DOUBLE"):
            what = f"CASE WHEN isnan({name}) THEN NULL ELSE {name} END"
            if column in parted and not _one(
                connection, f"SELECT COUNT(*) FROM {SOURCE} WHERE {what} <> floor({name})"
            ):
                what = f"CAST({what} AS BIGINT)"
        parts.append(f"{what} AS {name}")
    connection.execute(f"CREATE VIEW {ROWS} AS SELECT {', '.join(parts)} FROM {SOURCE}")


# --- What may be wrong -----------------------------------------------------------------------------


def _absent(columns: Columns, known: list[str]) -> Iterator[tuple[str, str]]:
    """Find columns that are not there, or that are named twice."""
    used: dict[str, str] = {}
    for key, column in columns.places:
        if column not in known:
            hint = nearest(column, known) or f"the columns are {', '.join(known)}"
            yield key, f"there is no column {column!r}; {hint}"
        elif column in used and not (
            key.startswith("subgroups.") and used[column].startswith("covariates.")
        ):
            yield key, f"column {column!r} is that of {used[column]} too"
        used.setdefault(column, key)
    # SQL takes names that differ by case only for one.
    own = {name.lower(): name for name in (*dict(columns.treatments), N, EVENTS)}
    others = [(f"covariates.{column}", column) for column, _ in columns.covariates]
    others += [(one.key, one.column) for one in columns.parted]
    for key, column in [*others, ("cluster", columns.cluster)]:
        if column.lower() in own:
            name = own[column.lower()]
            yield key, f"column {column!r} and the cells' column {name!r} have one name; rename it"


def _problems(
    connection: duckdb.DuckDBPyConnection,
    columns: Columns,
    types: dict[str, str],
    *,
    may_drop: bool,
) -> Iterator[tuple[str, str]]:
    """Find values that are not what their column must hold."""
    if not _one(connection, f"SELECT COUNT(*) FROM {ROWS}"):
        yield "file", "has no rows"
        return
    before = 0
    kinds = dict(columns.covariates)
    parted = {one.key: one for one in columns.parted}
    for key, column in columns.places:
        kind = kinds.get(column, "") if key.startswith("covariates") else key.partition(".")[0]
        if key in parted:
            wrongs = _wrong_parts(connection, parted[key], columns)
        else:
            wrongs = _wrong(connection, column, kind, types[column])
        for wrong in wrongs:
            before += 1
            yield key, f"column {column!r} {wrong}"
    if columns.n and not before:
        more = f"{quoted(columns.outcome)} > {quoted(columns.n)}"
        if found := _one(connection, f"SELECT COUNT(*) FROM {ROWS} WHERE {more}"):
            yield EVENTS, f"{found} cells have more events than patients"
    if columns.patient:
        yield from _twice(connection, columns.patient)
    can_tell = not columns.parted or _are_yes_no(connection, columns)
    missing = _missing(connection, columns) if can_tell else ()
    if missing and not may_drop:
        words = ", ".join(f"{name} {count:,}" for name, count in missing)
        if columns.n:
            yield "file", f"values are missing ({words}); a cell needs all of them"
        else:
            yield (
                "missing",
                f'values are missing ({words}); write missing = "drop" to leave those rows out',
            )


def _wrong(
    connection: duckdb.DuckDBPyConnection, column: str, kind: str, type_: str
) -> Iterator[str]:
    name = quoted(column)
    if not _one(connection, f"SELECT COUNT({name}) FROM {ROWS}"):
        yield "has no value in any row"
        return
    is_number = type_ in NUMBERS or (type_.startswith("U") and type_[1:] in NUMBERS)
    if kind in (CATEGORICAL, "cluster", "patient"):
        levels = _one(connection, f"SELECT COUNT(DISTINCT {name}) FROM {ROWS}")
        if kind == CATEGORICAL and levels > MOST_LEVELS:
            yield f"has {levels:,} levels, more than {MOST_LEVELS}; is it continuous, or the patient?"
        elif kind != "patient" and levels < 2:
            yield "has the same value in every row; leave it out"
        return
    if not is_number and not (type_ == "BOOLEAN" and kind not in (CONTINUOUS, N, EVENTS)):
        right = "numbers" if kind in (CONTINUOUS, N, EVENTS) else YES_NO
        yield f"holds {_example(connection, name, type_)}; it must hold {right}"
        return
    counts = kind in (N, EVENTS)
    if kind == CONTINUOUS:
        bad, right = f"isinf({name}::DOUBLE)", "finite numbers"
    elif counts:
        least = 1 if kind == N else 0
        bad, right = f"{name} < {least} OR {name} <> floor({name})", f"whole numbers from {least}"
    else:
        bad, right = f"{name}::DOUBLE NOT IN (0, 1)", YES_NO
    found = connection.execute(f"SELECT COUNT(*), MIN({name}) FROM {ROWS} WHERE {bad}").fetchone()
    if found and found[0]:
        yield f"holds {found[1]:g} and the like in {found[0]:,} rows; it must hold {right}"
    elif (
        kind in (CONTINUOUS, BINARY)
        and _one(connection, f"SELECT COUNT(DISTINCT {name}) FROM {ROWS}") < 2
    ):
        yield "has the same value in every row; leave it out"


NO_LEVEL = ("", "none", "0")
"""What may stand, besides nothing, for the level of a treatment that was not given."""


def _wrong_parts(
    connection: duckdb.DuckDBPyConnection, one: Parted, columns: Columns
) -> Iterator[str]:
    """Find values that are no level or subgroup, and levels without the treatment."""
    if not _are_yes_no(connection, columns):
        return
    value, given = _text(one.column), columns.given(one)
    what = f"the levels of {one.treatment} are" if one.treatment else "the subgroups are"

    def among(words: tuple[str, ...]) -> str:
        return ", ".join("'" + word.replace("'", "''") + "'" for word in words)

    def count(where: str) -> tuple[int, str]:
        query = f"SELECT COUNT(*), MIN({value}) FROM {ROWS} WHERE {where}"
        return connection.execute(query).fetchone() or (0, "")

    rows, example = count(f"{given} AND {value} NOT IN ({among(one.ids)})")
    if rows:
        yield f"holds {example!r} and the like in {rows:,} rows; {what} {', '.join(one.ids)}"
        return
    rows, example = count(f"NOT ({given}) AND {value} NOT IN ({among(NO_LEVEL)})")
    if rows:
        yield f"holds {example!r} and the like in {rows:,} rows whose patients did not get {one.treatment}"
    kept = " AND ".join(columns.kept.values())
    for part in one.ids:
        if not count(f"{kept} AND {given} AND {value} = {among((part,))}")[0]:
            yield (
                f"holds {part!r} in no row that lacks no value; leave it out of the study file, or join it "
                "with another"
            )


def _are_yes_no(connection: duckdb.DuckDBPyConnection, columns: Columns) -> bool:
    """Tell whether every treatment is 0 or 1; else no level can be read beside it."""
    for _, column in columns.treatments:
        name = f"TRY_CAST({quoted(column)} AS DOUBLE)"
        bad = f"{quoted(column)} IS NOT NULL AND ({name} IS NULL OR {name} NOT IN (0, 1))"
        if _one(connection, f"SELECT COUNT(*) FROM {ROWS} WHERE {bad}"):
            return False
    return True


def _example(connection: duckdb.DuckDBPyConnection, name: str, type_: str) -> str:
    """Show a value that is none of the numbers it should be."""
    if type_ != "VARCHAR":
        return f"values of the type {type_}"
    odd = f"SELECT MIN({name}) FROM {ROWS} WHERE TRY_CAST({name} AS DOUBLE) IS NULL"
    return f"text such as {_one(connection, odd)!r}"


def _twice(connection: duckdb.DuckDBPyConnection, column: str) -> Iterator[tuple[str, str]]:
    name = quoted(column)
    again = f"SELECT {name} AS one FROM {ROWS} WHERE {name} IS NOT NULL GROUP BY {name} HAVING COUNT(*) > 1"
    count, first = connection.execute(f"SELECT COUNT(*), MIN(one) FROM ({again})").fetchone() or (
        0,
        "",
    )
    if count:
        patients = "1 patient stands" if count == 1 else f"{count:,} patients stand"
        yield "patient", f"{patients} in several rows, such as {first!r}; each must have one"


def _missing(
    connection: duckdb.DuckDBPyConnection, columns: Columns
) -> tuple[tuple[str, int], ...]:
    """Count the rows that lack a value, by column."""
    parts = ", ".join(
        f"COUNT(*) - COUNT(CASE WHEN {has} THEN 1 END)" for has in columns.kept.values()
    )
    found = connection.execute(f"SELECT {parts} FROM {ROWS}").fetchone() or ()
    counts = zip(columns.kept, found, strict=True)
    return tuple((name, int(count)) for name, count in counts if count)


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> int:
    found = connection.execute(query).fetchone()
    return found[0] if found else 0
