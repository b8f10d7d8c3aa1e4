"""Fit a batch in one process and print the run time as JSON; timed by `bench.py batches`.

``tables``: data sets of counts of four regimens. ``cohorts``: simulated responses of the 793 patients in
tests/reference. ``specifications``: interpretations, models and priors of the flagship study. Each is fitted once
by Laplace's approximation.
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
"""By model, the variable whose prior SD is varied."""


def tables(count: int) -> list[Specification]:
    """Return `count` specifications with counts drawn from the same risks.

    Parameters
    ----------
    count
        Number of specifications.
    """
    events = np.random.default_rng(1).binomial(SIZES, RISKS, (count, 4))
    batch = []
    for row in events:
        arms = [ARM.format(*arm) for arm in zip(REGIMENS, SIZES, row, strict=True)]
        study = parse_study(f"{TABLE}arms = [\n{chr(10).join(arms)}\n]\n")
        batch.append(Specification(study, "interaction"))
    return batch


def cohorts(count: int) -> list[Specification]:
    """Return `count` specifications with the same patients; responses have the observed proportion.

    Parameters
    ----------
    count
        Number of specifications.
    """
    study = load_study(REFERENCE / "patients.toml")
    patterns = study.stratified.patterns
    assert patterns is not None  # noqa: S101 - for the type checker
    share = patterns.events.sum() / patterns.n.sum()
    draws = np.random.default_rng(1).binomial(patterns.n, share, (count, len(patterns.n)))
    return [
        Specification(
            replace(
                study,
                stratified=replace(study.stratified, patterns=replace(patterns, events=events)),
            ),
            "interaction",
        )
        for events in draws
    ]


def specifications(count: int) -> list[Specification]:
    """Return `count` combinations of interpretation, model and prior SD of the flagship study.

    Parameters
    ----------
    count
        Number of specifications.
    """
    study = load_study("sun2024")
    beliefs = ("weak", *GRID)
    pairs = [
        (interpretation.id, model) for interpretation in study.interpretations for model in MODELS
    ]
    each = -(-count // len(pairs))
    batch = []
    for at in range(each):
        for interpretation, model in pairs:
            resolved = study.resolve(interpretation)
            belief = "weak" if model == "saturated" else beliefs[at % len(beliefs)]
            scale = 0.5 + 1.5 * at / each
            base = prior_set(belief, resolved)
            sd = scale * (base[MODELS[model]].sigma or 1.0)
            name = f"{belief}-{at}"
            priors = base.change(MODELS[model], sigma=sd, name=name, reason="a benchmark")
            batch.append(Specification(resolved, model, priors))
    return batch[:count]


KINDS = {"tables": tables, "cohorts": cohorts, "specifications": specifications}


def main() -> None:
    """Print the number of fits, the seconds and the number of fits by verdict."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=list(KINDS))
    parser.add_argument("--count", type=int, default=1000)
    arguments = parser.parse_args()
    start = time.perf_counter()
    answers = fit_many(KINDS[arguments.kind](arguments.count))
    seconds = time.perf_counter() - start
    verdicts = Counter(answer.verdict for answer in answers)
    print(json.dumps({"count": len(answers), "seconds": seconds, "verdicts": verdicts}))


if __name__ == "__main__":
    main()
