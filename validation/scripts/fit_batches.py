"""Fit a batch in one process and print as JSON what it took: what `bench.py batches` times.

``tables``: data sets of a 2×2 table; ``cohorts``: other responses of the 793 patients of tests/reference;
``specifications``: readings, models and priors of the flagship. Each once, by Laplace's approximation.
"""

import argparse
import json
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from cotreat import load_study, parse_study
from cotreat.inference.batch import Specification, fit_many
from cotreat.priors.belief_grid import GRID
from cotreat.priors.sets import prior_set

REFERENCE = Path(__file__).parents[2] / "tests" / "reference"
REGIMENS, SIZES, RISKS = ("none", "A", "B", "A+B"), (100, 90, 80, 70), (0.15, 0.25, 0.3, 0.5)
ARM = '{{ regimen = "{}", n = {}, events = {} }},'
TABLE = """
format = 1
study = { id = "two", title = "Two by two", design = "cohort", source = "made up" }
outcome = { name = "response", direction = "benefit" }
treatments = { A = { name = "A" }, B = { name = "B" } }
"""
MODELS = {"exchangeable": "mu", "interaction": "gamma", "saturated": "tau_arm", "additive": "alpha"}
"""Of each model the variable whose SD is varied."""


def tables(count: int) -> list[Specification]:
    """Return so many tables drawn from the same risks."""
    events = np.random.default_rng(1).binomial(SIZES, RISKS, (count, 4))
    found = []
    for row in events:
        arms = [ARM.format(*arm) for arm in zip(REGIMENS, SIZES, row, strict=True)]
        study = parse_study(f"{TABLE}arms = [\n{chr(10).join(arms)}\n]\n")
        found.append(Specification(study, "interaction"))
    return found


def cohorts(count: int) -> list[Specification]:
    """Return so many cohorts of the same patients, whose responses are drawn with the share of the cohort."""
    study = load_study(REFERENCE / "patients.toml")
    cells = study.stratified.cells
    assert cells is not None  # noqa: S101 - for the type checker
    share = cells.events.sum() / cells.n.sum()
    draws = np.random.default_rng(1).binomial(cells.n, share, (count, len(cells.n)))
    return [
        Specification(
            replace(
                study, stratified=replace(study.stratified, cells=replace(cells, events=events))
            ),
            "interaction",
        )
        for events in draws
    ]


def specifications(count: int) -> list[Specification]:
    """Return readings × models × priors of the flagship, the priors' SDs spread as the count needs."""
    study = load_study("sun2024")
    beliefs = ("weak", *GRID)
    pairs = [
        (interpretation.id, model) for interpretation in study.interpretations for model in MODELS
    ]
    each = -(-count // len(pairs))
    found = []
    for at in range(each):
        for interpretation, model in pairs:
            told = study.resolve(interpretation)
            belief = "weak" if model == "saturated" else beliefs[at % len(beliefs)]
            scale = 0.5 + 1.5 * at / each
            base = prior_set(belief, told)
            sd = scale * (base[MODELS[model]].sigma or 1.0)
            name = f"{belief}-{at}"
            one = base.change(MODELS[model], sigma=sd, name=name, reason="a benchmark")
            found.append(Specification(told, model, one))
    return found[:count]


KINDS = {"tables": tables, "cohorts": cohorts, "specifications": specifications}


def main() -> None:
    """Print how many, seconds in all, and how many of each verdict."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=list(KINDS))
    parser.add_argument("--count", type=int, default=1000)
    asked = parser.parse_args()
    start = time.perf_counter()
    answers = fit_many(KINDS[asked.kind](asked.count))
    seconds = time.perf_counter() - start
    verdicts = Counter(one.verdict for one in answers)
    print(json.dumps({"count": len(answers), "seconds": seconds, "verdicts": verdicts}))


if __name__ == "__main__":
    main()
