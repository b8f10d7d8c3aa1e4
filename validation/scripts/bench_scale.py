"""Measure time and memory from Parquet files to the posterior, by number of patients.

The patients are simulated: three treatments, six discrete covariates, and 1,152 covariate patterns for any number
of patients. Each run is a complete process with empty caches.
"""

import json
import sys
import tempfile
from pathlib import Path

import duckdb
import pandas as pd

from validation.scripts.processes import run

HERE = Path(__file__).parent
A_FILE = 10_000_000
"""Rows of one Parquet file."""
FEW = 200_000
"""Rows of the small data set, which has the same number of covariate patterns."""
SECONDS, MIB = 30.0, 2048.0
"""Targets of a run on 10 million rows."""
LEVELS = {"sex": 2, "smoker": 2, "prior_event": 2, "diabetes": 2, "stage": 3, "region": 3}
SHARES = {"a": 0.4, "b": 0.55, "c": 0.45}
COLUMNS = len(LEVELS) + len(SHARES) + 1
STUDY = """
format = 1
study = { id = "scale", title = "Made up", design = "cohort", source = "made up" }
outcome = { name = "response", direction = "benefit" }
treatments = { A = { name = "a" }, B = { name = "b" }, C = { name = "c" } }
[patients]
file = "rows"
outcome = "response"
treatments = { A = "a", B = "b", C = "c" }
[patients.covariates]
"""
KINDS = {2: "binary", 3: "categorical"}


def write(folder: Path, rows: int) -> Path:
    """Write a study file and its patients, in Parquet files of at most 10 million rows.

    Parameters
    ----------
    folder
        Where to write.
    rows
        Number of patients.

    Returns
    -------
    Path
        The study file.
    """
    (folder / "rows").mkdir()
    kinds = "".join(f'{name} = "{KINDS[levels]}"\n' for name, levels in LEVELS.items())
    (folder / "study.toml").write_text(STUDY + kinds, encoding="utf-8")
    drawn = [
        f"{_uniform(at)} < {share} AS {name}" for at, (name, share) in enumerate(SHARES.items())
    ]
    drawn += [
        f"floor({_uniform(at)} * {levels})::TINYINT AS {name}"
        for at, (name, levels) in enumerate(LEVELS.items(), len(SHARES))
    ]
    log_odds = (
        "-1.4 + 0.7 * a::INT + 0.3 * b::INT + 0.1 * c::INT + 0.4 * (a AND b)::INT - 0.3 * (a AND c)::INT"
        " + 0.3 * sex - 0.2 * smoker + 0.1 * diabetes + 0.2 * stage - 0.1 * region"
    )
    with duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar = false")
        for at, first in enumerate(range(0, rows, A_FILE)):
            last = min(first + A_FILE, rows)
            connection.execute(
                f"COPY (SELECT *, {_uniform(COLUMNS - 1)} < 1 / (1 + exp(-({log_odds}))) AS response "
                f"FROM (SELECT i, {', '.join(drawn)} FROM range({first}, {last}) AS t(i))) "
                f"TO '{folder / 'rows' / f'{at}.parquet'}'"
            )
    return folder / "study.toml"


def _uniform(at: int) -> str:
    """Return the SQL of a pseudo-random number from 0 to 1 that does not depend on threads of DuckDB."""
    return f"(hash(i * {COLUMNS} + {at}) % 1000003) / 1000003"


def measure(rows: int, rounds: int) -> pd.DataFrame:
    """Fit a large and a small data set in turn, `rounds` times.

    Parameters
    ----------
    rows
        Number of patients of the large data set.
    rounds
        Number of runs per data set.

    Returns
    -------
    pandas.DataFrame
        One row per run: covariate patterns, seconds (all, reading, fitting) and memory (MiB).
    """
    runs = []
    with tempfile.TemporaryDirectory() as many, tempfile.TemporaryDirectory() as few:
        studies = [write(Path(many), rows), write(Path(few), FEW)]
        for at in range(rounds):
            for study in studies:
                ran = run([sys.executable, str(HERE / "fit_once.py"), str(study)])
                result = json.loads(ran.out)
                print(
                    f"  round {at + 1}, {result['rows']:,} rows: {ran.seconds:.1f} s",
                    file=sys.stderr,
                )
                runs.append((f"{result['rows']:,} rows", at + 1, result, ran))
    return pd.DataFrame(
        [
            (what, at, result["cells"], ran.seconds, result["read"], result["fit"], ran.mib)
            for what, at, result, ran in runs
        ],
        columns=["what", "round", "cells", "seconds", "read_seconds", "fit_seconds", "mib"],
    )


def report(table: pd.DataFrame) -> list[str]:
    """Report medians and compare them with the targets.

    Parameters
    ----------
    table
        Runs returned by `measure`.

    Returns
    -------
    list of str
        Lines of the report.
    """
    lines, fits = [], []
    for name, runs in table.groupby("what", sort=False):
        fits.append(runs.fit_seconds.median())
        count = int(str(name).split()[0].replace(",", ""))
        lines.append(
            f"{name:<16} {runs.cells.iloc[0]:>6,} covariate patterns, median {runs.seconds.median():5.1f} s of {len(runs)} "
            f"runs, read and aggregated at {count / runs.read_seconds.median():,.0f} rows per second, "
            f"fitted in {fits[-1]:5.1f} s, peak {runs.mib.max():,.0f} MiB"
        )
    lines.append(f"after aggregation, many rows take {fits[0] / fits[-1]:.2f} of the time of few")
    many = table[table.what == f"{A_FILE:,} rows"]
    if len(many):
        is_met = many.seconds.median() < SECONDS and many.mib.max() < MIB
        lines.append(
            f"bars of {A_FILE:,} rows ({SECONDS:.0f} s, {MIB:,.0f} MiB): {'met' if is_met else 'missed'}"
        )
    return lines
