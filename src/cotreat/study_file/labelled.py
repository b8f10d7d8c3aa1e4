"""Rows of files of Stata, SPSS, SAS and Excel, with value labels and user-missing codes."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cotreat.study_file.coding import MOST_SHOWN, fold
from cotreat.study_file.rows import RowsError

if TYPE_CHECKING:
    import pandas as pd

EXCEL, SAS = ".xlsx", ".sas7bdat"
READERS = {
    ".dta": "read_dta",
    ".sav": "read_sav",
    ".zsav": "read_sav",
    SAS: "read_sas7bdat",
    EXCEL: "",
}
"""By ending, the function of pyreadstat that reads a file; empty for Excel, which openpyxl reads."""
_FROM_R = 'in R write write.csv(data, "rows.csv", row.names = FALSE), or arrow::write_parquet(data, "rows.parquet")'
EXPORTS = {
    ".rds": f"is a file of R; {_FROM_R}",
    ".rda": f"is a file of R; {_FROM_R}",
    ".rdata": f"is a file of R; {_FROM_R}",
    ".xls": "is an old Excel workbook; save it as .xlsx or CSV",
    ".ods": "is a workbook of LibreOffice; save it as .xlsx or CSV",
    ".por": "is a portable file of SPSS; save it as .sav or CSV",
    ".xpt": "is a transport file of SAS; export it as .sas7bdat or CSV",
}
"""By ending, what to do with a file that is not read."""
MISSING_TEXTS = ("", "NA")
"""Texts that are missing values, as in a CSV file."""


@dataclass(frozen=True)
class LabelledRows:
    """Rows of a file, with what it states about its values.

    Attributes
    ----------
    frame : pandas.DataFrame
        The codes, without user-missing ones.
    labels : mapping of str to mapping of str to str
        By column, the label of each code as text.
    missing : mapping of str to mapping of str to int
        By column, the number of rows of each user-missing code as text.
    note : str
        What was read of the file; empty for all of it.
    """

    frame: pd.DataFrame
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    missing: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    note: str = ""

    def notes(self, columns: Sequence[str]) -> Iterator[str]:
        """Yield what the file states about values of some columns.

        Parameters
        ----------
        columns
            Names of the columns.

        Yields
        ------
        str
        """
        if self.note:
            yield self.note
        for column in columns:
            labels, missing = self.labels.get(column, {}), self.missing.get(column, {})
            if labels:
                some = [f"{code} is {label!r}" for code, label in labels.items()][:MOST_SHOWN]
                more = ", …" * (len(labels) > MOST_SHOWN)
                yield f"labels of the file, column {column!r}: {', '.join(some)}{more}"
            if missing:
                rows = (
                    f"{code}{f' ({labels[code]})' if code in labels else ''} in {count:,} rows"
                    for code, count in missing.items()
                )
                yield f"user-missing codes of the file, column {column!r}: {', '.join(rows)}"

    def with_labels(
        self, words: Mapping[str, Sequence[str] | None], categories: Container[str]
    ) -> pd.DataFrame:
        """Return the rows with labels in place of codes where the study file names labels.

        Parameters
        ----------
        words
            By column, the values that the study file names; None for a column whose codes are numbers.
        categories
            Columns whose labels are shown: categorical covariates and clusters.

        Returns
        -------
        pandas.DataFrame

        Notes
        -----
        A column without words has its codes where they are 0 and 1 and it is no category, and otherwise
        its labels. A column in which a value has no label has its codes.
        """
        frame = self.frame.copy(deep=False)
        for column, named in words.items():
            labels = self.labels.get(column, {})
            if column not in self.frame or not labels or named is None:
                continue
            codes = self.frame[column].map(code_of, na_action="ignore")
            found = set(codes.dropna())
            known = {*map(fold, labels.values())}
            is_named = bool(named) and all(fold(word) in known for word in named)
            is_shown = not named and (column in categories or not found <= {"0", "1"})
            if found <= {*labels} and (is_named or is_shown):
                frame[column] = codes.map(dict(labels), na_action="ignore")
        return frame


def code_of(value: Any) -> str:
    """Return a code as text.

    Parameters
    ----------
    value
        A number or text.

    Returns
    -------
    str
        Such as ``2`` for 2.0.
    """
    is_whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if is_whole else value)


def read_labelled(source: Path) -> LabelledRows | None:
    """Read a file of Stata, SPSS, SAS or Excel.

    Parameters
    ----------
    source
        The file.

    Returns
    -------
    LabelledRows or None
        None for a file of another kind.

    Raises
    ------
    RowsError
        If the file cannot be read.
    """
    ending = source.suffix.lower()
    if ending in EXPORTS and source.is_file():
        raise RowsError(f"{source.name} {EXPORTS[ending]}")
    if ending not in READERS or not source.is_file():
        return None
    if not source.stat().st_size:
        raise RowsError("the file is empty")
    library = "openpyxl" if ending == EXCEL else "pyreadstat"
    try:
        return _from_excel(source) if ending == EXCEL else _from_pyreadstat(source, READERS[ending])
    except ImportError:
        how = "pip install 'cotreat[files]'"
        raise RowsError(f"{source.name} is read by {library}; install it with {how}") from None


def _from_excel(source: Path) -> LabelledRows:
    """Read the first sheet of a workbook."""
    import zipfile

    import openpyxl  # noqa: F401 - pandas reads through it, and says less where it is not installed
    import pandas as pd

    try:
        with pd.ExcelFile(source, engine="openpyxl") as book:
            names = [str(name) for name in book.sheet_names]
            frame = pd.read_excel(book, keep_default_na=False, na_values=list(MISSING_TEXTS))
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        words = f"{source.name} is no whole Excel workbook: it was cut short or has another format"
        raise RowsError(words) from error
    frame = frame.rename(columns=str).dropna(how="all")
    several = f"sheet {names[0]!r} of {source.name}, the first of {len(names)}"
    return LabelledRows(_plain(frame), note=several if len(names) > 1 else "")


def _from_pyreadstat(source: Path, reader: str) -> LabelledRows:
    """Read a file of Stata, SPSS or SAS."""
    import pyreadstat

    read: Callable[..., tuple[pd.DataFrame, Any]] = getattr(pyreadstat, reader)
    catalog = source.with_suffix(".sas7bcat")  # labels of SAS, in a file of their own
    has_catalog = source.suffix.lower() == SAS and catalog.exists()
    more = {"catalog_file": str(catalog), "formats_as_category": False} if has_catalog else {}
    try:
        frame, about = read(str(source), user_missing=True, **more)
    except (pyreadstat.ReadstatError, pyreadstat.PyreadstatError, UnicodeDecodeError) as error:
        words = f"{source.name} is no whole {source.suffix} file: it was cut short or has another format"
        raise RowsError(f"{words} ({error})") from error
    labels = {
        column: {code_of(code): str(label) for code, label in of.items()}
        for column, of in about.variable_value_labels.items()
        if column in frame
    }
    frame, missing = frame.replace({"": None}), {}
    for column in frame:
        is_missing = _user_missing(frame[column], about)
        if is_missing.any():
            counts = frame[column][is_missing].map(code_of).value_counts(sort=False)
            missing[str(column)] = {str(code): int(count) for code, count in counts.items()}
            frame[column] = frame[column].mask(is_missing, None).infer_objects()
    return LabelledRows(_plain(frame), labels, missing)


def _user_missing(column: pd.Series, about: Any) -> pd.Series:
    """Return which values are user-missing: by ranges in SPSS, by letters in Stata and SAS."""
    letters = about.missing_user_values.get(column.name, [])
    found = column.isin(letters) & column.map(lambda value: isinstance(value, str))
    for limits in about.missing_ranges.get(column.name, []):
        lower, upper = limits["lo"], limits["hi"]
        if isinstance(lower, str) or column.dtype.kind in "iuf":
            found |= column.isin([lower]) if lower == upper else column.between(lower, upper)
    return found


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows with objects as numbers where all are, otherwise as text."""
    import pandas as pd

    for column in filter(lambda name: pd.api.types.is_object_dtype(frame[name]), frame):
        values = frame[column].dropna()
        if all(isinstance(value, int | float) for value in values):
            frame[column] = pd.to_numeric(frame[column])
        else:
            frame[column] = frame[column].map(code_of, na_action="ignore")
    return frame
