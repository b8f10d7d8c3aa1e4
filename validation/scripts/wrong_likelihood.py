"""Show that calibration finds a wrong likelihood: odds ratios that share a comparator, taken for independent.

Writes results/calibration/wrong_likelihood.csv; minutes. The test of it runs 1,000 replicates, and reads this.
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
    """Return where to write: into the folder that is given, or to `OUT`."""
    return Path(arguments[1]) / OUT.name if len(arguments) > 1 else OUT


def main() -> None:
    """Run it."""
    right = reported_likelihood._normal_log_density

    def diagonal(value: Any, mean: Any, covariance: Any, *, count: int) -> Any:
        return right(value, mean, covariance * np.eye(count), count=count)

    reported_likelihood._normal_log_density = diagonal
    found = calibrate(template("claims"), "interaction", replicates=REPLICATES, on_progress=_tell)
    store.write_table(found.table, path_of(sys.argv), [])
    print(found.sentence)


def _tell(done: int, every: int) -> None:
    if done % 500 == 0:
        print(f"{done:,} of {every:,}", flush=True)


if __name__ == "__main__":
    main()
