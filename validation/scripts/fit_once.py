"""Fit a study file once and print the run time as JSON; timed by the benchmarks.

``--engine laplace --again N`` adds N fits under other priors, and the median time of one of these.
"""

import argparse
import json
import statistics
import time
from itertools import pairwise

from arviz_stats import ess as ess_of  # the function of arviz, without its figures

import cotreat
from cotreat.core.constants import DRAWS
from cotreat.priors.sets import prior_set
from cotreat.study.study import Study

COEFFICIENTS = ("alpha", "beta", "gamma", "delta")
WANTED = 4000
"""Effective draws required of further fits."""


def main() -> None:
    """Print numbers of patients and covariate patterns, seconds of reading and fitting, and smallest bulk ESS."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", help="a study file with patients")
    parser.add_argument(
        "--draws", type=int, default=DRAWS, help="draws per chain, after 1,000 warm-up draws"
    )
    parser.add_argument("--engine", default="numpyro", choices=["numpyro", "laplace"])
    parser.add_argument("--again", type=int, default=0, help="further fits, by laplace")
    arguments = parser.parse_args()
    start = time.perf_counter()
    study = cotreat.load_study(arguments.study)
    read = time.perf_counter() - start
    start = time.perf_counter()
    tree = cotreat.fit(study, "interaction", engine=arguments.engine, draws=arguments.draws)
    seconds = time.perf_counter() - start
    stats, posterior = (tree[group].to_dataset() for group in ("sample_stats", "posterior"))
    if "effective" in stats:  # draws resampled by importance weights
        least = float(stats["effective"])
    else:
        ess = ess_of(posterior[[name for name in COEFFICIENTS if name in posterior]], method="bulk")
        least = min(float(value.min()) for value in ess.data_vars.values())
    record = {
        "rows": study.patterns.rows,
        "cells": len(study.patterns.n),
        "read": read,
        "fit": seconds,
        "ess": least,
    }
    if arguments.again:
        record["again"] = further(study, arguments.again)
    print(json.dumps(record))


def further(study: Study, count: int) -> float:
    """Return the median time in seconds of a further fit under another prior of the effects.

    Parameters
    ----------
    study
        The study.
    count
        Number of further fits.
    """
    from cotreat.inference.batch import Specification, fit_many

    weak = prior_set("weak", study)
    sets = [
        weak.change("beta", sigma=0.5 + at / count, name=f"sd-{at}", reason="a benchmark")
        for at in range(count + 1)
    ]
    stamps: list[float] = []
    fit_many(
        [Specification(study, "interaction", priors) for priors in sets],
        effective=WANTED,
        processes=1,
        on_progress=lambda _done, _all: stamps.append(time.perf_counter()),
    )
    return statistics.median(after - before for before, after in pairwise(stamps))


if __name__ == "__main__":
    main()
