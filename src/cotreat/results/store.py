"""Write and read the folder of a fit, whole or not at all, and compare it with the previous one."""

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd
import xarray as xr

from cotreat.core.constants import QUESTION, SUMMARY_COLUMNS

WRITING, REPLACED = ".writing-", ".replaced-"

DRAWS = "draws.nc"
SUMMARY = "summary.csv"
CHECKS = "checks.csv"
OVERLAP = "overlap.csv"
SHIFTS = "prior_shifts.csv"
BALANCE = "balance.csv"
CELLS = "cells.csv"
REPORTED = "reported.csv"
IDENTIFICATION_TABLE = "identification.csv"
INFO = "info.json"


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder that replaces `target` when the block ends without an error.

    A block that fails, or a process that is killed in it, leaves `target` unchanged.

    Parameters
    ----------
    target
        Folder that is replaced; its parents are made.

    Yields
    ------
    Path
        The temporary folder, beside `target`.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep(target)
    mark = f"{os.getpid()}-{uuid4().hex[:8]}"
    temporary = target.parent / f"{WRITING}{target.name}-{mark}"
    temporary.mkdir()
    try:
        yield temporary
        replaced = target.parent / f"{REPLACED}{target.name}-{mark}"
        if target.exists():
            target.rename(replaced)
        temporary.rename(target)
        shutil.rmtree(replaced, ignore_errors=True)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _sweep(target: Path) -> None:
    """Clean up after a killed run: restore a folder that it had moved, remove incomplete ones."""
    for remnant in sorted(target.parent.glob(f"{REPLACED}{target.name}-*")):
        if target.exists():
            shutil.rmtree(remnant)
        else:
            remnant.rename(target)
    for remnant in target.parent.glob(f"{WRITING}{target.name}-*"):
        if not _is_running(int(remnant.name.rsplit("-", 2)[1])):
            shutil.rmtree(remnant)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return isinstance(error, PermissionError)
    return True


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all.

    Parameters
    ----------
    path
        File that is replaced; its folder is made.
    text
        Text, written as UTF-8.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{WRITING}{path.name}-{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def write_table(table: pd.DataFrame, path: Path, failed: list[str]) -> None:
    """Write a CSV file of ten digits, with failed diagnostics as comment lines above its header.

    Parameters
    ----------
    table
        The table, without its index.
    path
        File that is replaced.
    failed
        Failed diagnostics behind the numbers.
    """
    path.write_text(table_text(table, failed), encoding="utf-8")


def table_text(table: pd.DataFrame, failed: Sequence[str] = ()) -> str:
    """Return the text of a CSV file as `write_table` writes it.

    Parameters
    ----------
    table
        The table, without its index.
    failed
        Failed diagnostics behind the numbers.

    Returns
    -------
    str
        Comment lines and CSV.
    """
    warning = [f"# FAILED CHECK: {line}\n" for line in failed]
    return "".join(warning) + table.to_csv(index=False, float_format="%.10g")


def read_table(path: Path) -> pd.DataFrame:
    """Read a CSV file that `write_table` wrote.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    pandas.DataFrame
        Nullable types; comment lines are skipped.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    return pd.read_csv(
        path,
        skiprows=sum(line.startswith("# ") for line in lines),
        keep_default_na=False,
        na_values=[""],
        dtype_backend="numpy_nullable",
    )


def read_summary(path: Path) -> pd.DataFrame:
    """Read a table that names estimands, with empty text where a text column does not apply.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    pandas.DataFrame
        Nullable types, except the text columns.
    """
    table = read_table(path)
    if "estimator" in table:  # an earlier version may not have written every column
        missing = [name for name in SUMMARY_COLUMNS if name not in table]
        table = table.assign(**dict.fromkeys(missing, np.nan))
    texts = [
        name for name in (*QUESTION, "status", "reason", "interval", "margin") if name in table
    ]
    return with_texts(table, texts)


def with_texts(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Return a table with empty text where text columns are missing.

    Parameters
    ----------
    table
        The table.
    columns
        Names of text columns.

    Returns
    -------
    pandas.DataFrame
        A copy with these columns as plain text.
    """
    return table.assign(
        **{name: table[name].astype("string").fillna("").astype(str) for name in columns}
    )


def write_draws(tree: xr.DataTree, path: Path) -> None:
    """Write a fit as NetCDF.

    Parameters
    ----------
    tree
        The groups of a fit.
    path
        File that is replaced.
    """
    tree.to_netcdf(path, engine="h5netcdf")


def read_draws(path: Path) -> xr.DataTree:
    """Read a fit into memory and close its file.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    xarray.DataTree
        The groups of the fit.
    """
    with xr.open_datatree(path, engine="h5netcdf") as tree:
        return tree.load()


def write_info(info: Mapping[str, Any], path: Path) -> None:
    """Write the provenance of a fit as JSON; NaN, which JSON does not have, becomes null.

    Parameters
    ----------
    info
        Values by name; values that JSON does not have, except NaN, are refused.
    path
        File that is replaced.
    """
    text = json.dumps(_without_nan(info), indent=1, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def _without_nan(value: Any) -> Any:
    """Replace NaN by None in nested mappings and sequences."""
    if isinstance(value, Mapping):
        return {name: _without_nan(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(part) for part in value]
    return None if isinstance(value, float) and np.isnan(value) else value


def read_info(folder: Path) -> dict[str, Any]:
    """Read the provenance of the fit in a folder.

    Parameters
    ----------
    folder
        Folder of a fit.

    Returns
    -------
    dict
        Values by name.

    Raises
    ------
    FileNotFoundError
        If the folder has no provenance.
    ValueError
        If it is not JSON.
    """
    return json.loads((folder / INFO).read_text(encoding="utf-8"))


COMPARED: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "data": lambda info: info["study_digest"],
    "priors": lambda info: info["prior_rows"],
    "settings": lambda info: [info[k] for k in ("engine", "draws", "tune", "chains", "seed")],
    "versions": lambda info: info["versions"],
}
"""Parts of the provenance that are compared between two runs."""


def changes(folder: Path, info: Mapping[str, Any]) -> str:
    """Describe how the provenance of a fit differs from that of the fit already in a folder.

    Parameters
    ----------
    folder
        Folder of the earlier fit; it may not exist.
    info
        Provenance of the new fit.

    Returns
    -------
    str
        A phrase for the progress of a reanalysis.
    """
    try:
        before = read_info(folder)
        now = _without_nan(info)  # NaN differs from itself
        different = [name for name, part in COMPARED.items() if part(before) != part(now)]
    except FileNotFoundError:
        return "first run"
    except (KeyError, ValueError):
        return "the earlier run cannot be read"
    if not different:
        return "same data, priors, settings and versions as the last run"
    return f"changed since the last run: {', '.join(different)}"
