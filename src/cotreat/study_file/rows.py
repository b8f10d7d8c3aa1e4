"""Rows of a file, a folder or a frame as a view of DuckDB, with plain messages where they cannot be."""

from __future__ import annotations

import csv
import glob
import gzip
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    import duckdb

DELIMITERS = (",", ";", "\t", "|")
PARQUET = (".parquet", ".pq")


class RowsError(ValueError):
    """Rows that cannot be read."""


def attach(connection: duckdb.DuckDBPyConnection, source: Path | Any, view: str) -> dict[str, str]:
    """Make a view of rows in DuckDB.

    Parameters
    ----------
    connection
        An open connection.
    source
        A CSV or Parquet file, a folder of Parquet files, or a frame of pandas or polars.
    view
        Name of the view.

    Returns
    -------
    dict of str to str
        The type of each column, without its precision.

    Raises
    ------
    RowsError
        If there are no rows.
    OSError, EOFError
        If there is no right to read the file, or no whole .gz.
    duckdb.Error
        If the rows have another form.
    """
    read = "given"
    if isinstance(source, Path):
        read = _read(source)
    else:
        connection.register(read, source)
    connection.execute(f"CREATE VIEW {view} AS SELECT * FROM {read}")
    described = connection.execute(f"DESCRIBE {view}").fetchall()
    return {name: str(kind).partition("(")[0] for name, kind, *_ in described}


def _read(source: Path) -> str:
    """Return the table function of DuckDB that reads a file."""
    # DuckDB reads a name as a pattern: a folder data[1] would be data1.
    name = glob.escape(str(source)).replace("'", "''")
    if source.is_dir():
        if not any(source.glob("*.parquet")):
            raise RowsError("the folder holds no .parquet file")
        return f"read_parquet('{name}/*.parquet', union_by_name = true)"
    if not source.stat().st_size:
        raise RowsError("the file is empty")
    if source.suffix.lower() in PARQUET:
        return f"read_parquet('{name}')"
    # DuckDB's own search for the delimiter reads a file with one cut row as one wide column.
    return (
        f"read_csv('{name}', header = true, nullstr = ['', 'NA'], sample_size = -1, "
        f"delim = '{_delimiter(source)}', quote = '\"', escape = '\"')"
    )


def _opened(source: Path, **how: Any) -> TextIO:
    opener = gzip.open if source.suffix.lower() == ".gz" else open
    return cast(TextIO, opener(source, "rt", encoding="utf-8-sig", newline="", **how))


def _delimiter(source: Path) -> str:
    with _opened(source, errors="replace") as lines:
        header = lines.readline()
    return max(DELIMITERS, key=header.count)


def why(source: Path | Any, error: Exception) -> str:
    """Return why rows cannot be read; in DuckDB's words where there are no better ones.

    Parameters
    ----------
    source
        The file or frame.
    error
        The error of DuckDB.

    Returns
    -------
    str
    """
    words = str(error).strip().splitlines()[0]
    if "No magic bytes" in words or "Invalid Input Error: File" in words:
        which = words.rpartition("'")[0].rpartition("/")[2].rpartition("'")[2]
        return f"{which or source} is no whole Parquet file: it was cut short or has another format"
    if isinstance(source, Path) and source.is_file() and source.suffix.lower() not in PARQUET:
        try:
            return _why_no_csv(source) or f"cannot be read: {words}"
        except EOFError:
            return "the file is cut short; copy it again"
    return f"cannot be read: {words}"


def _why_no_csv(source: Path) -> str:
    """Return what is wrong with the first line that does not match the header; empty if all match."""
    with source.open("rb") as raw:
        is_archive = raw.read(2) == b"PK"
    if is_archive:
        return "the file is a workbook or a zip archive; save its rows as CSV or Parquet"
    with _opened(source, errors="surrogateescape") as lines:
        for at, line in enumerate(lines, 1):
            if any("\udc80" <= letter <= "\udcff" for letter in line):
                return f"line {at} is not UTF-8 text; save the file as UTF-8"
    with _opened(source) as lines:
        reader = csv.reader(lines, delimiter=_delimiter(source), strict=True)
        try:
            header = next(reader)
            for row in reader:
                if row and len(row) != len(header):
                    counts = f"{len(row)} values, and the header names {len(header)} columns"
                    return f"line {reader.line_num} has {counts}"
        except csv.Error as error:
            return f"cannot be read to line {reader.line_num} ({error}); is a quotation mark left open?"
    return ""
