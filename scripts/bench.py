"""Time the main job as a whole process: with cold caches, and with caches kept and results removed.

Run by ``make bench``. Prints medians; nothing here fails for being slow.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 3
MAIN_JOB = ["-m", "cotreat.cli", "reanalyse", "sun2024", "--quiet"]
AUDIT = ["-m", "cotreat.cli", "audit", "sun2024"]


def seconds(arguments: list[str], caches: Path, out: list[str]) -> float:
    """Return the wall time of one process that keeps its caches in a folder of its own."""
    environment = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    environment["XDG_CACHE_HOME"] = str(caches / "cache")
    environment["PYTENSOR_FLAGS"] = f"base_compiledir={caches / 'pytensor'}"
    start = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments, *out], check=True, env=environment, capture_output=True
    )
    return time.perf_counter() - start


def main() -> None:
    """Print a line for each thing timed."""
    cold, warm, audit = [], [], []
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            cold.append(seconds(MAIN_JOB, place, ["--out", str(place / "first")]))
            warm.append(seconds(MAIN_JOB, place, ["--out", str(place / "second")]))
            audit.append(seconds(AUDIT, place, []))
    for name, times in (
        ("main job, cold caches", cold),
        ("main job, caches kept, results removed", warm),
        ("audit sun2024", audit),
    ):
        print(f"{name:<40} median {statistics.median(times):6.1f} s of {RUNS} runs")


if __name__ == "__main__":
    main()
