"""Fit a study file once and print as JSON what it took: the process that the benchmarks time."""

import argparse
import json
import time

from arviz_stats import ess as ess_of  # what arviz gives, without its figures

import cotreat
from cotreat.names import DRAWS

COEFFICIENTS = ("alpha", "beta", "gamma", "delta")


def main() -> None:
    """Print rows, cells, seconds from study to posterior, and the least bulk ESS of a coefficient."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", help="a study file with patients")
    parser.add_argument("--draws", type=int, default=DRAWS, help="draws a chain, after 1,000")
    asked = parser.parse_args()
    study = cotreat.load_study(asked.study)
    start = time.perf_counter()
    posterior = cotreat.fit(study, "interaction", draws=asked.draws)["posterior"].to_dataset()
    seconds = time.perf_counter() - start
    ess = ess_of(posterior[[name for name in COEFFICIENTS if name in posterior]], method="bulk")
    least = min(float(value.min()) for value in ess.data_vars.values())
    said = {"rows": study.cells.rows, "cells": len(study.cells.n), "fit": seconds, "ess": least}
    print(json.dumps(said))


if __name__ == "__main__":
    main()
