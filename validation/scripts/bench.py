"""Measure the run time of complete processes.

The benchmarks are: the first commands of a new user, the main job, individual patient data compared with three
other packages, millions of patients, batches of fits, and a calibration. ``make bench`` runs all of them; the
names of benchmarks as arguments select some. Medians are printed; slow runs do not fail. ``--save`` replaces the
kept runs in results/benchmarks/.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from validation.scripts import bench_patients, bench_scale
from validation.scripts.processes import run

RESULTS = Path(__file__).parents[2] / "results" / "benchmarks"
MAIN_JOB = ["-m", "cotreat.cli", "reanalyse", "sun2024", "--quiet"]
AUDIT = ["-m", "cotreat.cli", "audit", "sun2024"]
FIRST = ["-m", "cotreat.cli", "reanalyse", "isis2", "--model", "interaction", "--depth", "quick"]
COLD, KEPT = "cold caches", "caches kept"


def start(rounds: int) -> tuple[pd.DataFrame, list[str]]:
    """Measure the time of the first commands of a new user.

    Parameters
    ----------
    rounds
        Number of runs.

    Returns
    -------
    tuple
        One row per run (seconds), and lines of a report.
    """
    return _timed(
        {"audit sun2024": AUDIT, "isis2, quick, interaction": [*FIRST, "--quiet"]}, rounds
    )


def jobs(rounds: int) -> tuple[pd.DataFrame, list[str]]:
    """Measure the time of the main job; see `start` for parameters and result.

    Parameters
    ----------
    rounds
        Number of runs.
    """
    return _timed({"main job": MAIN_JOB}, rounds)


def _timed(commands: dict[str, list[str]], rounds: int) -> tuple[pd.DataFrame, list[str]]:
    """Measure the time of commands with cold caches, and again with warm caches and no results."""
    rows = []
    for at in range(rounds):
        for what, command in commands.items():
            with tempfile.TemporaryDirectory() as folder:
                for caches in (COLD, KEPT):
                    out = [] if command is AUDIT else ["--out", str(Path(folder) / caches)]
                    ran = run([sys.executable, *command, *out], Path(folder))
                    rows.append((f"{what}, {caches}", at + 1, ran.seconds))
    table = pd.DataFrame(rows, columns=["what", "round", "seconds"])
    medians = table.groupby("what", sort=False).seconds.median()
    return table, [
        f"{what:<40} median {seconds:6.1f} s of {rounds} runs" for what, seconds in medians.items()
    ]


def patients(rounds: int) -> tuple[pd.DataFrame, list[str]]:
    """Measure the time of one cohort in cotreat, rstanarm, brms and bambi; see `start` for parameters and result.

    Parameters
    ----------
    rounds
        Number of runs.
    """
    table = bench_patients.measure(rounds)
    return table, [*bench_patients.report(table), bench_patients.report_further()]


def scale(rows: int) -> Callable[[int], tuple[pd.DataFrame, list[str]]]:
    """Return a benchmark of many patients, and of few patients with the same covariate patterns.

    Parameters
    ----------
    rows
        Number of patients.

    Returns
    -------
    callable
        A benchmark with the parameters and the result of `start`.
    """

    def part(rounds: int) -> tuple[pd.DataFrame, list[str]]:
        table = bench_scale.measure(rows, rounds)
        return table, bench_scale.report(table)

    return part


BATCHES = {"tables": 30, "cohorts": 300, "specifications": 120}
"""Batches of 1,000 fits, and the targets in seconds on 2 cores."""


def batches(rounds: int) -> tuple[pd.DataFrame, list[str]]:
    """Measure the time of batches of fits by Laplace's approximation, with cold caches.

    See `start` for parameters and result.

    Parameters
    ----------
    rounds
        Number of runs.
    """
    rows, lines = [], []
    for kind, bar in BATCHES.items():
        for at in range(rounds):
            ran = run([sys.executable, str(Path(__file__).parent / "fit_batches.py"), kind])
            batch = json.loads(ran.out)
            rows.append((f"1,000 {kind}", at + 1, ran.seconds))
        median = statistics.median(seconds for *_, seconds in rows[-rounds:])
        is_met = "met" if median <= bar else "missed"
        counts = ", ".join(f"{count} {verdict}" for verdict, count in batch["verdicts"].items())
        lines.append(
            f"1,000 {kind:<15} median {median:6.1f} s of {rounds} runs (bar {bar}: {is_met}); {counts}"
        )
    return pd.DataFrame(rows, columns=["what", "round", "seconds"]), lines


REPLICATES, REPLICATES_BAR = 1000, 60
"""Replicates of a calibration of `interaction` on counts of four regimens, and the target in seconds."""


def calibration(rounds: int) -> tuple[pd.DataFrame, list[str]]:
    """Measure the time of a calibration with cold caches and all cores; see `start` for parameters and result.

    Parameters
    ----------
    rounds
        Number of runs.
    """
    from cotreat.calibration.kept import template_path

    command = ["-m", "cotreat.cli", "calibrate", str(template_path("counts")), "--quiet"]
    command += ["--model", "interaction", "--replicates", str(REPLICATES)]
    rows = []
    for at in range(rounds):
        with tempfile.TemporaryDirectory() as out:
            ran = run([sys.executable, *command, "--out", out])
        rows.append((f"{REPLICATES:,} replicates", at + 1, ran.seconds))
    median = statistics.median(seconds for *_, seconds in rows)
    verdict = "met" if median <= REPLICATES_BAR else "missed"
    return pd.DataFrame(rows, columns=["what", "round", "seconds"]), [
        f"{REPLICATES:,} replicates of interaction on counts: median {median:.1f} s of {rounds} runs, "
        f"{REPLICATES / median:.0f} per second (bar {REPLICATES_BAR} s: {verdict})"
    ]


def save(tables: dict[str, pd.DataFrame], lines: dict[str, list[str]], command: str) -> None:
    """Write every run to table.csv, and the medians to README.md.

    Parameters
    ----------
    tables, lines
        Runs and lines of the report, by benchmark.
    command
        Arguments of the command line.
    """
    RESULTS.mkdir(parents=True, exist_ok=True)
    runs = [table.assign(part=name) for name, table in tables.items()]
    table = pd.concat(runs, ignore_index=True)
    table.to_csv(RESULTS / "table.csv", index=False, float_format="%.6g")
    parts = "\n\n".join(
        f"## {name}\n\n" + "\n".join(f"- {x}" for x in lines[name]) for name in lines
    )
    (RESULTS / "README.md").write_text(
        "# Benchmarks\n\n"
        f"Whole processes on {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"{datetime.now(UTC):%Y-%m-%d}; table.csv has every run. Caches are empty at the start of each unless "
        "stated otherwise; memory is that of the largest single process. Made by "
        f"`validation/scripts/bench.py {command}`.\n\n"
        f"{parts}\n",
        encoding="utf-8",
    )


ANALYSES = ("start", "jobs", "patients", "scale", "batches", "calibration")


def main() -> None:
    """Run the selected benchmarks and print one line per process or batch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(ANALYSES)} (all)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=bench_scale.A_FILE, help="of scale")
    parser.add_argument("--save", action="store_true", help="keep the runs in results/benchmarks/")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.parts if name not in ANALYSES]:
        parser.error(f"there is no part {unknown[0]}; there are {', '.join(ANALYSES)}")
    every = (start, jobs, patients, scale(arguments.rows), batches, calibration)
    parts = dict(zip(ANALYSES, every, strict=True))
    tables, lines = {}, {}
    for name in arguments.parts or parts:
        tables[name], lines[name] = parts[name](arguments.rounds)
        print("\n".join(lines[name]), flush=True)
    if arguments.save:
        save(tables, lines, " ".join(sys.argv[1:]))


if __name__ == "__main__":
    main()
