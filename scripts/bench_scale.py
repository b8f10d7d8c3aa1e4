"""From rows of Parquet to the posterior: time, memory, and whether only the number of cells counts.

The patients are made up: three treatments, six discrete covariates, 1,152 cells whatever the number of
rows. Each run is a whole process with empty caches.
"""

import json
import sys
import tempfile
from pathlib import Path

import duckdb
import pandas as pd
from processes import run

HERE = Path(__file__).parent
A_FILE = 10_000_000
"""Rows of one Parquet file."""
FEW = 200_000
"""Rows of the data set that has as many cells."""
SECONDS, MIB = 30.0, 2048.0
"""Bars of a run on 10 million rows."""
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
    """Write a study file and its patients, in files of at most 10 million rows; return the study's."""
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
    """Write a number from 0 to 1 for a column, the same each time, whatever DuckDB's threads do."""
    return f"(hash(i * {COLUMNS} + {at}) % 1000003) / 1000003"


def measure(rows: int, rounds: int) -> pd.DataFrame:
    """Fit many rows and few, in turn; a row a run."""
    found = []
    with tempfile.TemporaryDirectory() as many, tempfile.TemporaryDirectory() as few:
        studies = [write(Path(many), rows), write(Path(few), FEW)]
        for at in range(rounds):
            for study in studies:
                ran = run([sys.executable, str(HERE / "fit_once.py"), str(study)])
                said = json.loads(ran.out)
                print(
                    f"  round {at + 1}, {said['rows']:,} rows: {ran.seconds:.1f} s", file=sys.stderr
                )
                found.append((f"{said['rows']:,} rows", at + 1, said, ran))
    return pd.DataFrame(
        [
            (what, at, said["cells"], ran.seconds, said["read"], said["fit"], ran.mib)
            for what, at, said, ran in found
        ],
        columns=["what", "round", "cells", "seconds", "read_seconds", "fit_seconds", "mib"],
    )


def report(table: pd.DataFrame) -> list[str]:
    """Say medians, and how they compare to the bars."""
    lines, fits = [], []
    for name, own in table.groupby("what", sort=False):
        fits.append(own.fit_seconds.median())
        count = int(str(name).split()[0].replace(",", ""))
        lines.append(
            f"{name:<16} {own.cells.iloc[0]:>6,} cells, median {own.seconds.median():5.1f} s of {len(own)} "
            f"runs, read and collapsed at {count / own.read_seconds.median():,.0f} rows a second, "
            f"after that {fits[-1]:5.1f} s, peak {own.mib.max():,.0f} MiB"
        )
    lines.append(f"after the collapse many rows take {fits[0] / fits[-1]:.2f} of the time of few")
    many = table[table.what == f"{A_FILE:,} rows"]
    if len(many):
        is_met = many.seconds.median() < SECONDS and many.mib.max() < MIB
        lines.append(
            f"bars of {A_FILE:,} rows ({SECONDS:.0f} s, {MIB:,.0f} MiB): {'met' if is_met else 'missed'}"
        )
    return lines
