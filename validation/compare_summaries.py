"""Compare kept summaries of two revisions or folders, estimand by estimand.

``python -m validation.compare_summaries BEFORE AFTER`` accepts folders and git revisions (``results/`` of the
revision). Summaries in the old format are converted to the columns of the new format. For each fit the output
lists the number of rows, the rows that differ by more than 1e-10, and the rows that are in one summary only. If
posterior rows differ, it also gives their largest differences: of estimates and limits in posterior SDs, of
probabilities in absolute terms. Between two runs of a sampler these are Monte Carlo errors.
"""

import io
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from cotreat.core.constants import QUESTION, SUMMARY_COLUMNS
from validation.migrate_summary import is_old, new_columns

TOLERANCE = 1e-10
KEYS = [
    *QUESTION,
    "threshold",
    "estimator",
    "interval",
    "model",
    "priors",
    "interpretation",
    "study",
]
NUMBERS = [
    "estimate",
    "sd",
    "lower",
    "upper",
    "probability",
    "prior_probability",
    "overlap",
    "data_share",
    "posterior_contraction",
]
TEXTS = ["status", "reason", "risk_kind", "unit"]
RENAMED = {"printed": "reported"}
"""Estimators renamed after the change of columns: old name to new name."""
ADDED = {"sd", "overlap", "data_share"}
"""Numeric columns that the old format does not have."""


def texts_of(source: str) -> dict[str, str]:
    """Read the text of every summary in a folder, or in ``results/`` of a git revision.

    Parameters
    ----------
    source
        A folder, or a git revision.

    Returns
    -------
    dict
        Text of each ``summary.csv`` by its path relative to the folder.

    Raises
    ------
    subprocess.CalledProcessError
        If git does not know the revision.
    """
    folder = Path(source)
    if folder.is_dir():
        paths = sorted(folder.rglob("summary.csv"))
        return {str(path.relative_to(folder)): path.read_text("utf-8") for path in paths}
    listed = _git("ls-tree", "-r", "--name-only", source, "results").splitlines()
    return {
        path.removeprefix("results/"): _git("show", f"{source}:{path}")
        for path in listed
        if path.endswith("/summary.csv")
    }


def _git(*words: str) -> str:
    """Run a git command and return its standard output."""
    done = subprocess.run(["git", *words], check=True, capture_output=True, text=True)  # noqa: S607
    return done.stdout


def table_of(text: str) -> tuple[pd.DataFrame, bool]:
    """Parse a summary into the columns of the new format.

    Parameters
    ----------
    text
        Text of a ``summary.csv``.

    Returns
    -------
    tuple
        The table, and whether the text had the old format.
    """
    lines = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("# "))
    table = pd.read_csv(io.StringIO(lines), dtype=str, keep_default_na=False)
    was_old = is_old(table)
    converted = (new_columns(table) if was_old else table).reindex(
        columns=SUMMARY_COLUMNS, fill_value=""
    )
    return converted.replace({"estimator": RENAMED}), was_old


def differences(before: pd.DataFrame, after: pd.DataFrame, added: set[str]) -> Iterator[str]:
    """Yield a line for each row that differs or is in one table only.

    Parameters
    ----------
    before, after
        Summaries in the columns of the new format.
    added
        Numeric columns that are not compared where `before` has no value.

    Yields
    ------
    str
        The column, both values and the key of the row.
    """
    first, second = (_keyed(table) for table in (before, after))
    for key in first.index.difference(second.index):
        yield f"only before: {_key_label(key)}"
    for key in second.index.difference(first.index):
        yield f"only after: {_key_label(key)}"
    shared = first.index.intersection(second.index)
    first, second = first.loc[shared], second.loc[shared]
    for name in NUMBERS:
        left, right = (pd.to_numeric(table[name]).to_numpy(float) for table in (first, second))
        is_same = np.isclose(left, right, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
        if name in added:
            is_same |= np.isnan(left)
        for at in np.flatnonzero(~is_same):
            yield f"{name}: {left[at]:.10g} before, {right[at]:.10g} after: {_key_label(shared[at])}"
    for name in TEXTS:
        for at in np.flatnonzero((first[name] != second[name]).to_numpy()):
            words = f"{first[name].iloc[at]!r} before, {second[name].iloc[at]!r} after"
            yield f"{name}: {words}: {_key_label(shared[at])}"


def largest_differences(before: pd.DataFrame, after: pd.DataFrame) -> str:
    """Describe the largest differences of posterior estimates, limits and probabilities.

    Parameters
    ----------
    before, after
        Summaries in the columns of the new format.

    Returns
    -------
    str
        Median and maximum over rows, of estimates and limits divided by the posterior SD, of probabilities
        as they are.
    """
    first, second = (_keyed(table[table.estimator == "posterior"]) for table in (before, after))
    shared = first.index.intersection(second.index)
    first, second = first.loc[shared], second.loc[shared]
    sd = pd.to_numeric(second.sd)
    parts = []
    for name, scale, unit in (
        ("estimate", sd, " SD"),
        ("lower", sd, " SD"),
        ("upper", sd, " SD"),
        ("probability", 1.0, ""),
    ):
        moved = (pd.to_numeric(second[name]) - pd.to_numeric(first[name])).abs() / scale
        parts.append(f"{name} {moved.median():.2g}{unit}, at most {moved.max():.2g}{unit}")
    return "; ".join(parts)


def _keyed(table: pd.DataFrame) -> pd.DataFrame:
    """Index a summary by `KEYS` and the number of the occurrence; the kind of interval counts, not its text."""
    kinds = table.interval.str.split("[,:]").str[0]
    table = table.assign(interval=kinds)
    occurrence = table.groupby(KEYS, sort=False).cumcount()
    return table.assign(occurrence=occurrence).set_index([*KEYS, "occurrence"])


def _key_label(key: tuple[object, ...]) -> str:
    """Join the non-empty entries of a key."""
    return " · ".join(str(part) for part in key if part != "")


def compare(before: Mapping[str, str], after: Mapping[str, str]) -> int:
    """Print the differences between two sets of summaries.

    Parameters
    ----------
    before, after
        Text of each summary by path.

    Returns
    -------
    int
        The number of differences.
    """
    total = 0
    for path in sorted(set(before) | set(after)):
        if path not in before or path not in after:
            print(f"{path}: only {'after' if path in after else 'before'}")
            continue
        (old, was_old), (new, _) = table_of(before[path]), table_of(after[path])
        lines = list(differences(old, new, ADDED if was_old else ADDED - {"sd"}))
        print(f"{path}: {len(old)} rows before, {len(new)} after, {len(lines)} differences")
        if lines:
            print(f"  posterior: {largest_differences(old, new)}")
        for line in lines:
            print(f"  {line}")
        total += len(lines)
    return total


if __name__ == "__main__":
    sys.exit(bool(compare(*map(texts_of, sys.argv[1:3]))))
