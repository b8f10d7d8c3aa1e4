"""Verify that calibration rejects a wrong likelihood: odds ratios with a common comparator, taken as independent.

The table is results/calibration/wrong_likelihood.csv. A run takes minutes. The test runs 1,000 replicates and reads
this table.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from cotreat.calibration.kept import template
from cotreat.calibration.sbc import calibrate
from cotreat.evidence import reported_likelihood
from cotreat.results import store

OUT = Path(__file__).parents[2] / "results" / "calibration" / "wrong_likelihood.csv"
REPLICATES = 5_000


def path_of(arguments: list[str]) -> Path:
    """Return the path of the table: in the folder given as first argument, otherwise `OUT`.

    Parameters
    ----------
    arguments
        Arguments of the command line, with the program first.
    """
    return Path(arguments[1]) / OUT.name if len(arguments) > 1 else OUT


def main() -> None:
    """Calibrate the wrong likelihood, write the table and print the verdict."""
    right = reported_likelihood._normal_log_density

    def diagonal(value: Any, mean: Any, covariance: Any, *, count: int) -> Any:
        return right(value, mean, covariance * np.eye(count), count=count)

    reported_likelihood._normal_log_density = diagonal
    calibration = calibrate(
        template("reported"), "interaction", replicates=REPLICATES, on_progress=_print_progress
    )
    store.write_table(calibration.table, path_of(sys.argv), [])
    print(calibration.sentence)


def _print_progress(done: int, every: int) -> None:
    """Print the number of finished replicates, every 500."""
    if done % 500 == 0:
        print(f"{done:,} of {every:,}", flush=True)


if __name__ == "__main__":
    main()
