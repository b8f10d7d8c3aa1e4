"""Aggregation of individual patient data to covariate patterns in SQL, by DuckDB or elsewhere."""

from __future__ import annotations

import math
import re
from collections.abc import Container, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cotreat.core.toml_tables import nearest
from cotreat.study.covariate_patterns import BINARY, CATEGORICAL, CONTINUOUS
from cotreat.study.regimens import NONE
from cotreat.study.study import GRADINGS
from cotreat.study_file.coding import (
    NO_LEVEL,
    CodingError,
    RegimenColumn,
    YesNo,
    as_text,
    coding_of,
    fold,
    indicators_of,
    listed,
    missing_hint,
    quoted,
    regimens_of,
    toml_of,
)
from cotreat.study_file.labelled import read_labelled
from cotreat.study_file.parsing import likely_regimen
from cotreat.study_file.rows import RowsError, attach, why

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

ROWS, SOURCE = "patients", "source"
"""Names of the table of rows, and of the rows as they were read."""
N, EVENTS, WEIGHT = "n", "events", "weight"
MOST_LEVELS = 50
"""Largest number of levels of a categorical covariate."""
NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL")
TEXTS = ("VARCHAR", "ENUM")
EVENT_KEYS = ("event", "no_event")
"""Keys of the values of the outcome."""
EVENT = 'write event = "…" with the value of patients with the event'
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
NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
CODES = (9, 99, 999, 9999, -9, -99, -999, -9999)
"""Numbers that often mean missing."""
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
    outcome : YesNo
        Whether a patient had the event; the number of events for a pattern.
    treatments : tuple of (str, YesNo)
        Treatment, and whether it was given.
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
    regimen : RegimenColumn, optional
        The column of regimens, which is that of every treatment.
    binary : tuple of YesNo
        Binary covariates whose values are not 0 and 1.
    missing_values : tuple of str
        Values that mean missing, as text.
    is_matched : bool
        Whether the clusters are matched sets.
    """

    outcome: YesNo
    treatments: tuple[tuple[str, YesNo], ...]
    covariates: tuple[tuple[str, str], ...] = ()
    cluster: str = ""
    patient: str = ""
    n: str = ""
    strata: tuple[StratumColumn, ...] = ()
    weight: str = ""
    regimen: RegimenColumn | None = None
    binary: tuple[YesNo, ...] = ()
    missing_values: tuple[str, ...] = ()
    is_matched: bool = False

    @property
    def cluster_key(self) -> str:
        """The key of the study file that names the column of clusters."""
        return "matched" if self.is_matched else "cluster"

    @property
    def places(self) -> list[tuple[str, str]]:
        """Every column, after the key of the study file that names it."""
        single = (
            (self.cluster_key, self.cluster),
            ("patient", self.patient),
            ("n", self.n),
            (WEIGHT, self.weight),
        )
        treatments = [(f"treatments.{name}", one.column) for name, one in self.treatments]
        if self.regimen is not None:
            treatments = [("regimen", self.regimen.column)]
        return [
            (EVENTS if self.n else "outcome", self.outcome.column),
            *treatments,
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
        indicator = dict(self.treatments).get(stratum.treatment)
        return "1 = 1" if indicator is None else f"{indicator.sql} = 1"

    @property
    def words(self) -> dict[str, tuple[str, ...] | None]:
        """By column, the values that the study file names; None for a column of numbers."""
        words: dict[str, tuple[str, ...] | None] = {self.outcome.column: self.outcome.values}
        words |= {one.column: one.values for _, one in self.treatments}
        if self.regimen is not None:
            words[self.regimen.column] = tuple(value for value, _ in self.regimen.values)
        words |= {name: None if kind == CONTINUOUS else () for name, kind in self.covariates}
        words |= {s.column: s.ids for s in self.strata}
        words |= {self.cluster: ()} | dict.fromkeys((self.patient, self.weight, self.n))
        return words

    @property
    def categories(self) -> set[str]:
        """Columns of categorical covariates and of clusters."""
        return {self.cluster, *(name for name, kind in self.covariates if kind == CATEGORICAL)}

    @property
    def coded(self) -> list[YesNo]:
        """Columns whose values are translated to 1 and 0."""
        several = [self.outcome, *self.binary, *(one for _, one in self.treatments)]
        return [one for one in several if one.is_coded]

    @property
    def kept(self) -> dict[str, str]:
        """The SQL condition, by column, that its value is not missing."""
        known = {one.column: f"{one.sql} IS NOT NULL" for one in self.coded}
        levels = {s.column: self.given(s) for s in self.strata if s.treatment}
        kept = {}
        for column in (column for key, column in self.places if key != "patient"):
            markers = self.markers(column)
            is_marked = f" OR {is_marker(quoted(column), markers)}" if markers else ""
            absent = f"({quoted(column)} IS NULL{is_marked})"
            kept[column] = known.get(column, f"{quoted(column)} IS NOT NULL")
            if markers:
                kept[column] = f"{kept[column]} AND NOT {is_marker(quoted(column), markers)}"
            if column in levels and column not in known:
                kept[column] = f"NOT ({levels[column]} AND {absent})"
        return kept

    def markers(self, column: str) -> tuple[str, ...]:
        """Return the values that mean missing in a column; a number is none of a patient or cluster.

        Parameters
        ----------
        column
            Name of the column.

        Returns
        -------
        tuple of str
            In lower case.
        """
        if column == self.patient:
            return ()
        words = map(fold, self.missing_values)
        return tuple(w for w in words if column != self.cluster or not NUMBER.fullmatch(w))

    @property
    def keys(self) -> dict[str, str]:
        """The SQL expression of each column that defines the covariate patterns."""
        keys = {name: one.sql for name, one in self.treatments}
        binary = {one.column: one for one in self.binary}
        for column, kind in self.covariates:
            is_binary = kind == BINARY
            keys[column] = binary.get(column, YesNo(column)).sql if is_binary else quoted(column)
        for s in self.strata:
            level = f"CASE WHEN {self.given(s)} THEN {quoted(s.column)} END"
            keys.setdefault(s.column, level if s.treatment else as_text(s.column))
        return {**keys, **({self.cluster: quoted(self.cluster)} if self.cluster else {})}


def is_marker(value: str, markers: tuple[str, ...]) -> str:
    """Return the SQL condition that a value means missing.

    Parameters
    ----------
    value
        An SQL expression.
    markers
        Texts in lower case; a number stands for itself with decimals too.

    Returns
    -------
    str
    """
    numbers = [f"{word}.0" for word in markers if word.lstrip("+-").isdigit()]
    return f"LOWER(TRIM(CAST({value} AS VARCHAR))) IN ({listed([*markers, *numbers])})"


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
    events = columns.outcome.sql
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
    # Where one meaning is declared, every other value counts as the other meaning.
    parts += [
        f"COUNT(DISTINCT {one.folded_sql}) AS {quoted(f'{one.column} values, at most 2')}"
        for one in columns.coded
        if bool(one.yes) != bool(one.no)
    ]
    for s in (s for s in columns.strata if s.treatment):
        held = f"NOT {columns.given(s)} AND {as_text(s.column)} NOT IN ({listed(NO_LEVEL)})"
        name = quoted(f"{s.column} without {s.treatment}")
        parts.append(f"SUM(CASE WHEN {held} THEN 1 ELSE 0 END) AS {name}")
    if columns.patient:
        parts.append(f"COUNT(DISTINCT {quoted(columns.patient)}) AS {quoted('patients')}")
    inner = ",\n  ".join(parts)
    return f"SELECT\n  {inner}\nFROM {ROWS}"


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
    warnings : tuple of str
        What is unusual about the rows.
    notes : tuple of str
        How values were read that are no numbers.
    """

    patterns: pd.DataFrame
    rows: int
    dropped: int
    missing: tuple[tuple[str, int], ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


def aggregate(
    source: Path | Any, columns: Columns, *, may_drop: bool
) -> Aggregated | list[Problem]:
    """Check the rows of a file or frame, and aggregate them to covariate patterns in DuckDB.

    Parameters
    ----------
    source
        A file of rows, a folder of Parquet files, or a frame of pandas or polars.
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
            labelled = read_labelled(source) if isinstance(source, Path) else None
            given = labelled.with_labels(columns.words, columns.categories) if labelled else source
            table = _Table(connection, columns, attach(connection, given, SOURCE))
            problems = list(table.absent())
            if not problems:
                table = table.named_rows()
                table, problems = table.decoded()
                problems += table.problems(may_drop=may_drop, unclear=[key for key, _ in problems])
            if problems:
                return problems
            columns = table.columns
            rows, missing = table.count(), table.missing()
            complete = table.count(" AND ".join(columns.kept.values()))
            patterns = connection.execute(aggregation_sql(columns)).df()
            used = list(dict.fromkeys(column for _, column in columns.places))
            of_file = labelled.notes(used) if labelled else ()
            warnings, notes = tuple(table.warnings()), (*of_file, *table.notes())
        except RowsError as error:
            return [("file", str(error))]
        except (OSError, EOFError) as error:
            return [("file", f"cannot be read: {error}")]
        except duckdb.Error as error:
            return [("file", why(source, error))]
    dropped = 0 if columns.n else rows - complete
    return Aggregated(patterns, rows, dropped, missing, warnings, notes)


def _may_share(first: str, second: str) -> bool:
    """Return whether two keys may name one column: a covariate and subgroups, a treatment and its levels."""
    (kind, _, treatment), (other, _, owner) = first.partition("."), second.partition(".")
    is_levels = kind == "treatments" and other in GRADINGS and treatment == owner
    return is_levels or (kind, other) == ("covariates", "subgroups")


def _names_of(treatment: str, one: YesNo) -> tuple[str, str]:
    """Return the words for the values of patients who got a treatment, and who did not."""
    if one.no == NO_LEVEL:
        return f"a level of {treatment} ({', '.join(one.yes)})", "none or 0"
    return "yes", "no"


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

    def named_rows(self) -> _Table:
        """Make the view `ROWS`: NaN and markers as missing, and codes 1.0 and 2.0 as 1 and 2.

        A frame with missing values cannot contain whole numbers in another way.
        """
        columns, types = self.columns, dict(self.types)
        treatments = {one.column for _, one in columns.treatments}
        codes = {columns.outcome.column, *treatments, *(s.column for s in columns.strata)}
        codes |= columns.categories
        numbers = {columns.outcome.column, *treatments, columns.weight}
        numbers |= {name for name, kind in columns.covariates if kind != CATEGORICAL}
        used = {column for _, column in columns.places}
        parts = []
        for column, kind in self.types.items():
            name = value = quoted(column)
            markers = columns.markers(column) if column in used else ()
            if kind in ("FLOAT", "DOUBLE"):
                value = f"CASE WHEN isnan({name}) THEN NULL ELSE {name} END"
            if markers:
                value = f"CASE WHEN NOT {is_marker(name, markers)} THEN {value} END"
            if kind == "VARCHAR" and column in numbers and self._are_numbers(value):
                types[column], value = "DOUBLE", f"CAST({value} AS DOUBLE)"
            is_code = types[column] in ("FLOAT", "DOUBLE") and column in codes
            if is_code and not self.count(f"{value} <> floor({value})", table=SOURCE):
                types[column], value = "BIGINT", f"CAST({value} AS BIGINT)"
            parts.append(f"{value} AS {name}")
        self.connection.execute(f"CREATE VIEW {ROWS} AS SELECT {', '.join(parts)} FROM {SOURCE}")
        return replace(self, types=types)

    def _are_numbers(self, value: str) -> bool:
        """Return whether each text is a number or null, and not all are null."""
        others = f"{value} IS NOT NULL AND COALESCE(isnan(TRY_CAST({value} AS DOUBLE)), true)"
        return bool(self.count(what=value, table=SOURCE)) and not self.count(others, table=SOURCE)

    # --- The meaning of values -----------------------------------------------------------------

    def decoded(self) -> tuple[_Table, list[Problem]]:
        """Return the table with the meaning of each value, and the values whose meaning is not clear."""
        columns, problems = self.columns, list[Problem]()
        if columns.n:
            return self, problems
        outcome = self._coding("outcome", columns.outcome, EVENT, EVENT_KEYS, problems)
        treatments = columns.treatments
        if columns.regimen is not None:
            treatments = tuple(self._regimens(columns.regimen, problems))
        else:
            treatments = tuple(
                (
                    name,
                    self._coding(
                        f"treatments.{name}", one, self._right(name), _names_of(name, one), problems
                    ),
                )
                for name, one in treatments
            )
        in_strata = {s.column for s in columns.strata}
        binary = tuple(
            self._coding(
                f"covariates.{name}",
                YesNo(name),
                f'write {name} = "categorical"',
                ("yes", "no"),
                problems,
            )
            for name, kind in columns.covariates
            if kind == BINARY and name not in in_strata
        )
        columns = replace(columns, outcome=outcome, treatments=treatments, binary=binary)
        return replace(self, columns=columns), problems

    def _right(self, treatment: str) -> str:
        """Return what to write where it is not clear who got a treatment."""
        columns = self.columns
        column = dict(columns.treatments)[treatment].column
        found, treatments = self.values(column), dict(columns.treatments)
        if any(likely_regimen(value, [*treatments]) not in ("", NONE) for value in found):
            return f"if they are regimens, write regimen = {toml_of(column)} in place of treatments"
        written = f'{treatment} = {{ column = {toml_of(column)}, yes = "…" }}'
        return f"write {written} with the value of patients who got {treatment}"

    def values(self, column: str, where: str = "1 = 1") -> list[str]:
        """Return the different values of a column as text, as far as they can be codes."""
        text = as_text(column)
        condition = f"{text} IS NOT NULL AND {where}"
        query = f"SELECT DISTINCT {text} FROM {ROWS} WHERE {condition} ORDER BY 1"
        return [value for (value,) in self.connection.execute(f"{query} LIMIT 1000").fetchall()]

    def _coding(
        self, key: str, one: YesNo, right: str, names: tuple[str, str], problems: list[Problem]
    ) -> YesNo:
        """Return the coding of a column; note values whose meaning is not clear."""
        if not one.is_coded and self.types[one.column] not in TEXTS:
            return one
        found = self.values(one.column)
        try:
            return coding_of(one, found, right, names) if found else one
        except CodingError as error:
            problems.append((key, f"column {one.column!r} {error}"))
            return one

    def _regimens(
        self, column: RegimenColumn, problems: list[Problem]
    ) -> Iterator[tuple[str, YesNo]]:
        """Yield the coding of each treatment by the column of regimens; note wrong values."""
        names = [name for name, _ in self.columns.treatments]
        try:
            found = self.values(column.column)
            yield from indicators_of(column.column, regimens_of(column, found, names), names)
        except CodingError as error:
            problems.append(("regimen", f"column {column.column!r} {error}"))
            yield from self.columns.treatments

    def notes(self) -> Iterator[str]:
        """Yield how values were read that are no numbers, and how many mean missing."""
        columns = self.columns
        if columns.outcome.is_coded:
            yield f"outcome, column {columns.outcome.column!r}: {columns.outcome}"
        for name, one in (*columns.treatments, *((one.column, one) for one in columns.binary)):
            if one.is_coded:
                yield f"{name}, column {one.column!r}: {one}"
        for column in dict.fromkeys(column for _, column in columns.places):
            if not (markers := columns.markers(column)):
                continue
            marked = f"FROM {SOURCE} WHERE {is_marker(quoted(column), markers)}"
            query = f"SELECT {as_text(column)}, COUNT(*) {marked} GROUP BY 1 ORDER BY 1"
            if rows := self.connection.execute(query).fetchall():
                words = ", ".join(f"{value!r} in {count:,} rows" for value, count in rows)
                yield f"missing values of column {column!r}: {words}"

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
            elif column in used and not _may_share(used[column], key):
                hint = ""
                if key.startswith("treatments.") and used[column].startswith("treatments."):
                    written = f"regimen = {toml_of(column)}"
                    hint = f"; if it contains the regimen, write {written} in place of treatments"
                yield key, f"column {column!r} is that of {used[column]} too{hint}"
            used.setdefault(column, key)
        # SQL ignores case in names.
        made = {name.lower(): name for name in (*dict(columns.treatments), N, EVENTS)}
        singles = ("outcome", EVENTS, "patient", N)
        for key, column in columns.places:
            name = made.get(column.lower())
            if name and key not in singles and not key.startswith("treatments."):
                words = f"column {column!r} has the name of the column {name!r} of the covariate patterns; rename it"
                yield key, words

    def problems(self, *, may_drop: bool, unclear: Container[str]) -> Iterator[Problem]:
        """Yield values that their column cannot contain, except where their meaning is not clear."""
        if not self.count():
            yield "file", "has no rows"
            return
        columns, kinds = self.columns, dict(self.columns.covariates)
        strata = {s.key: s for s in columns.strata}
        is_sound = not unclear
        for key, column in columns.places:
            if key in unclear:
                continue
            kind = kinds.get(column, "") if key.startswith("covariates") else key.partition(".")[0]
            wrong = self._strata(strata[key]) if key in strata else self._values(column, kind)
            for words in wrong:
                is_sound = False
                yield key, f"column {column!r} {words}"
        more = f"{quoted(columns.outcome.column)} > {quoted(columns.n)}"
        if columns.n and is_sound and (rows := self.count(more)):
            yield EVENTS, f"{rows} covariate patterns have more events than patients"
        if columns.patient:
            yield from self._repeated(columns.patient)
        if is_sound and not (columns.n or columns.weight):
            yield from self._like_counts()
        is_clear = not unclear and (not columns.strata or self._are_yes_no())
        missing = self.missing() if is_clear else ()
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
        if kind in (CATEGORICAL, "cluster", "matched", "patient"):
            levels = self.count(what=f"DISTINCT {name}")
            if kind == CATEGORICAL and levels > MOST_LEVELS:
                words = "is it continuous, or the patient?"
                yield f"has {levels:,} levels, more than {MOST_LEVELS}; {words}"
            elif kind != "patient" and levels < 2:
                yield is_same
            elif kind != "patient":
                yield from self._controls(column)
            return
        is_number = type_.removeprefix("U") in NUMBERS
        is_coded = column in {one.column for one in self.columns.coded}
        bad, right = RIGHT.get(kind, RIGHT[BINARY])
        if not (is_number or is_coded or (type_ == "BOOLEAN" and right == YES_NO)):
            shown, hint = f"values of the type {type_}", ""
            if type_ in TEXTS:
                texts = self.values(column, f"TRY_CAST({as_text(column)} AS DOUBLE) IS NULL")
                shown, hint = f"text such as {texts[0]!r}", missing_hint(texts)
            yield f"holds {shown}; it must hold {'numbers' if right != YES_NO else right}{hint}"
            return
        rows, example = (0, None) if is_coded else self.examples(name, bad.format(name))
        if rows:
            hint = ""
            if kind == "outcome":
                hint = f"; otherwise {EVENT}"
            elif kind == "treatments":
                treatment = next(t for t, one in self.columns.treatments if one.column == column)
                hint = f"; otherwise {self._right(treatment)}"
            yield f"holds {example:g} and the like in {rows:,} rows; it must hold {right}{hint}"
        elif kind in (CONTINUOUS, BINARY) and self.count(what=f"DISTINCT {name}") < 2:
            yield is_same

    def _controls(self, column: str) -> Iterator[str]:
        """Yield a value that has a control character, or several lines."""
        text = as_text(column)
        rows, example = self.examples(text, f"regexp_matches({text}, '[[:cntrl:]]')")
        if rows:
            yield f"holds {example[:40]!r} in {rows:,} rows, which has a control character; remove it"

    def _strata(self, stratum: StratumColumn) -> Iterator[str]:
        """Yield values that are no level or subgroup, and levels without the treatment."""
        if not self._are_yes_no():
            return
        value, given = as_text(stratum.column), self.columns.given(stratum)
        owner = stratum.treatment
        rows, example = self.examples(value, f"{given} AND {value} NOT IN ({listed(stratum.ids)})")
        if rows:
            what = f"the levels of {owner} are" if owner else "the subgroups are"
            words = f"{what} {', '.join(stratum.ids)}"
            yield f"holds {example!r} and the like in {rows:,} rows; {words}"
            return
        held = f"NOT ({given}) AND {value} NOT IN ({listed(NO_LEVEL)})"
        rows, example = self.examples(value, held)
        if rows:
            words = f"whose patients did not get {owner}"
            yield f"holds {example!r} and the like in {rows:,} rows {words}"
        kept = " AND ".join(self.columns.kept.values())
        for part in stratum.ids:
            if not self.count(f"{kept} AND {given} AND {value} = {listed((part,))}"):
                more = "leave it out of the study file, or join it with another"
                yield f"has no complete row with {part!r}; {more}"

    def _are_yes_no(self) -> bool:
        """Return whether every treatment is 0 or 1; otherwise no level can be checked."""
        number = "TRY_CAST({0} AS DOUBLE)"
        bad = f"{{0}} IS NOT NULL AND ({number} IS NULL OR {number} NOT IN (0, 1))"
        plain = [one.column for _, one in self.columns.treatments if not one.is_coded]
        return not any(self.count(bad.format(quoted(column))) for column in plain)

    def _repeated(self, column: str) -> Iterator[Problem]:
        name = quoted(column)
        of_id = f"SELECT {name} AS id FROM {ROWS} WHERE {name} IS NOT NULL"
        repeated = f"{of_id} GROUP BY {name} HAVING COUNT(*) > 1"
        count, first = self.first_row(f"SELECT COUNT(*), MIN(id) FROM ({repeated})")
        if count:
            patients = "1 patient stands" if count == 1 else f"{count:,} patients stand"
            yield "patient", f"{patients} in several rows, such as {first!r}; each must have one"

    def warnings(self) -> Iterator[str]:
        """Yield what is unusual about the rows."""
        columns = self.columns
        if not (columns.n or columns.weight or columns.patient) and (words := self._like_ids()):
            yield words
        for column, kind in columns.covariates:
            if kind != BINARY and self.types[column].removeprefix("U") in NUMBERS:
                yield from self._like_codes(column)

    def _like_codes(self, column: str) -> Iterator[str]:
        """Yield a warning of a number such as 999 or -9 that is far from all others."""
        name = quoted(column)
        codes = f"{name} IN ({', '.join(map(str, CODES))})"
        query = f"SELECT {name}, COUNT(*) FROM {ROWS} WHERE {codes} GROUP BY 1 ORDER BY 1"
        for code, rows in self.connection.execute(query).fetchall():
            others = f"FROM {ROWS} WHERE {name} <> {code:g}"
            lowest, highest = self.first_row(f"SELECT MIN({name}), MAX({name}) {others}")
            if lowest is None or not (code >= 2 * highest if code > 0 else lowest >= 0):
                continue
            edge = f"at most {highest:g}" if code > 0 else f"at least {lowest:g}"
            words = f"column {column!r} holds {code:g} in {rows:,} rows and otherwise {edge}"
            yield f"{words}; if {code:g} means missing, write missing_values = [{code:g}]"

    def _like_ids(self) -> str:
        """Return a warning of an unused column that looks like ids of patients and repeats them."""
        used = {column for _, column in self.columns.places}
        for column in (name for name in self.types if name not in used):
            ids, rows = (
                self.count(what=f"DISTINCT {quoted(column)}"),
                self.count(what=quoted(column)),
            )
            if LIKE_IDS.fullmatch(column) and ids < rows:
                words = f"column {column!r} is not used and has {ids:,} values in {rows:,} rows"
                key = f"write patient = {toml_of(column)} to check it"
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
            yield WEIGHT, f"{words}; write weight = {toml_of(column)}, or remove the column"
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
