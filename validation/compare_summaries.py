"""Compare kept summaries of two revisions or folders, estimand by estimand.

``python -m validation.compare_summaries BEFORE AFTER`` takes each as a folder or as a git revision, whose
``results/`` is read; summaries of the old format are read in the columns of the new. It prints, for each
fit, how many rows agree within 1e-10, which differ, and which stand on one side only.
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
    "posterior_contraction",
]
TEXTS = ["status", "reason", "risk_kind", "unit"]
RENAMED = {"printed": "reported"}
"""Estimators whose name changed after the columns did."""
ADDED = {"sd"}
"""Numbers that the old format had not."""


def texts_of(source: str) -> dict[str, str]:
    """Return the text of every summary of a folder, or of ``results/`` in a git revision, by path."""
    folder = Path(source)
    if folder.is_dir():
        found = sorted(folder.rglob("summary.csv"))
        return {str(path.relative_to(folder)): path.read_text("utf-8") for path in found}
    listed = _git("ls-tree", "-r", "--name-only", source, "results").splitlines()
    return {
        path.removeprefix("results/"): _git("show", f"{source}:{path}")
        for path in listed
        if path.endswith("/summary.csv")
    }


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], check=True, capture_output=True, text=True)  # noqa: S607
    return done.stdout


def table_of(text: str) -> tuple[pd.DataFrame, bool]:
    """Return a summary in the columns of the new format, and whether it was of the old."""
    lines = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("# "))
    table = pd.read_csv(io.StringIO(lines), dtype=str, keep_default_na=False)
    was_old = is_old(table)
    found = (new_columns(table) if was_old else table)[list(SUMMARY_COLUMNS)]
    return found.replace({"estimator": RENAMED}), was_old


def differences(before: pd.DataFrame, after: pd.DataFrame, added: set[str]) -> Iterator[str]:
    """Yield a line for each row that differs or stands on one side only.

    Parameters
    ----------
    added
        Numbers that are not compared where `before` has none.
    """
    one, other = (_keyed(table) for table in (before, after))
    for key in one.index.difference(other.index):
        yield f"only before: {_said(key)}"
    for key in other.index.difference(one.index):
        yield f"only after: {_said(key)}"
    shared = one.index.intersection(other.index)
    one, other = one.loc[shared], other.loc[shared]
    for name in NUMBERS:
        left, right = (pd.to_numeric(table[name]).to_numpy(float) for table in (one, other))
        is_same = np.isclose(left, right, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
        if name in added:
            is_same |= np.isnan(left)
        for at in np.flatnonzero(~is_same):
            yield f"{name}: {left[at]:.10g} before, {right[at]:.10g} after: {_said(shared[at])}"
    for name in TEXTS:
        for at in np.flatnonzero((one[name] != other[name]).to_numpy()):
            words = f"{one[name].iloc[at]!r} before, {other[name].iloc[at]!r} after"
            yield f"{name}: {words}: {_said(shared[at])}"


def _keyed(table: pd.DataFrame) -> pd.DataFrame:
    occurrence = table.groupby(KEYS, sort=False).cumcount()
    return table.assign(occurrence=occurrence).set_index([*KEYS, "occurrence"])


def _said(key: tuple[object, ...]) -> str:
    return " · ".join(str(part) for part in key if part != "")


def compare(before: Mapping[str, str], after: Mapping[str, str]) -> int:
    """Print what differs; return how many rows do."""
    total = 0
    for path in sorted(set(before) | set(after)):
        if path not in before or path not in after:
            print(f"{path}: only {'after' if path in after else 'before'}")
            continue
        (one, was_old), (other, _) = table_of(before[path]), table_of(after[path])
        lines = list(differences(one, other, ADDED if was_old else set()))
        print(f"{path}: {len(one)} rows before, {len(other)} after, {len(lines)} differences")
        for line in lines:
            print(f"  {line}")
        total += len(lines)
    return total


if __name__ == "__main__":
    sys.exit(bool(compare(*map(texts_of, sys.argv[1:3]))))
