"""Fit a study file once and print as JSON what it took: the process that the benchmarks time.

With ``--engine laplace --again N`` it then fits it N times more under other priors, and adds how long one of
these takes.
"""

import argparse
import json
import statistics
import time
from itertools import pairwise

from arviz_stats import ess as ess_of  # what arviz gives, without its figures

import cotreat
from cotreat.core.constants import DRAWS
from cotreat.priors.sets import prior_set
from cotreat.study.study import Study

COEFFICIENTS = ("alpha", "beta", "gamma", "delta")
WANTED = 4000
"""Effective draws that further fits must have."""


def main() -> None:
    """Print rows, cells, seconds to cells and from these to the posterior, and the least bulk ESS of a coefficient."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", help="a study file with patients")
    parser.add_argument("--draws", type=int, default=DRAWS, help="draws a chain, after 1,000")
    parser.add_argument("--engine", default="numpyro", choices=["numpyro", "laplace"])
    parser.add_argument("--again", type=int, default=0, help="further fits, by laplace")
    asked = parser.parse_args()
    start = time.perf_counter()
    study = cotreat.load_study(asked.study)
    read = time.perf_counter() - start
    start = time.perf_counter()
    tree = cotreat.fit(study, "interaction", engine=asked.engine, draws=asked.draws)
    seconds = time.perf_counter() - start
    stats, posterior = (tree[group].to_dataset() for group in ("sample_stats", "posterior"))
    if "effective" in stats:  # draws by weight, some of them several times
        least = float(stats["effective"])
    else:
        ess = ess_of(posterior[[name for name in COEFFICIENTS if name in posterior]], method="bulk")
        least = min(float(value.min()) for value in ess.data_vars.values())
    said = {
        "rows": study.cells.rows,
        "cells": len(study.cells.n),
        "read": read,
        "fit": seconds,
        "ess": least,
    }
    if asked.again:
        said["again"] = further(study, asked.again)
    print(json.dumps(said))


def further(study: Study, count: int) -> float:
    """Return the median of seconds that a further fit takes, under another prior of the effects."""
    from cotreat.inference.batch import Specification, fit_many

    weak = prior_set("weak", study)
    sets = [
        weak.change("beta", sigma=0.5 + at / count, name=f"sd-{at}", reason="a benchmark")
        for at in range(count + 1)
    ]
    stamps: list[float] = []
    fit_many(
        [Specification(study, "interaction", one) for one in sets],
        effective=WANTED,
        processes=1,
        on_progress=lambda _done, _all: stamps.append(time.perf_counter()),
    )
    return statistics.median(after - before for before, after in pairwise(stamps))


if __name__ == "__main__":
    main()
