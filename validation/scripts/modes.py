"""Fit simulated studies with unknown arm sizes: how often Laplace's approximation is good, and whether rightly.

``python -m validation.scripts.modes --part 3 --out FOLDER`` simulates the cohorts of one part, fits the regressions
that a paper would report, publishes them rounded with the totals, and reanalyses the publication. All fits that are
not good, and two random good ones per part, are compared with sequential Monte Carlo of other seeds and twice the
particles. ``--summary`` combines the parts into ``bars.csv``.
"""

import argparse
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import statsmodels.api as sm
from numpy.typing import NDArray
from scipy.special import expit, logit

from cotreat import parse_study
from cotreat.estimands.enumerate import judged_measures
from cotreat.estimands.estimand import is_beyond_null
from cotreat.evidence.resolve import resolve
from cotreat.inference import laplace, tempering
from cotreat.inference.batch import LAPLACE, RISK_DRAWS, Answer, Specification, compiled, fit_many
from cotreat.inference.vectorise import labelled
from cotreat.models.build import given_of
from cotreat.models.registry import find_model
from cotreat.models.select import priors_for
from cotreat.priors.sets import prior_set
from cotreat.results import store
from cotreat.study.study import Study

PARTS, STUDIES, CHECKED = 20, 10, 2
"""Number of parts, of studies in each, and of good fits in each that are compared."""
MODEL, PRIORS = "interaction", "weak"
PARTICLES, REFERENCES = 2 * tempering.PARTICLES, 2
"""Number of particles per run of a reference, and number of references of different seeds."""
SAME_REFERENCE, OFF = 0.02, 0.05
"""Difference of two references above which a study is unusable, and largest accepted error of a probability."""
ARMS = ("none", "A", "B", "A+B")
A, B = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
CONTRASTS = (
    ("A vs none", "B vs none", "A+B vs none"),
    ("A vs not A", "B vs not B", "A x B | treatments"),
    ("A vs none", "B vs none", "A+B vs A", "A+B vs B"),
    ("A vs not A", "B vs not B", "A+B vs none", "A x B | treatments"),
)
"""What a study of each design reports; part p has design p mod 4, so that its studies share a density."""
LARGE, SEPARATED = 30.0, 5.0
"""Cohorts are drawn again if an odds ratio exceeds the first number, or a standard error the second."""
HEAD = """
format = 1
study = {{ id = "modes-{name}", title = "Simulated", design = "cohort", source = "simulation" }}
outcome = {{ name = "y", direction = "harm" }}
treatments = {{ A = {{ name = "a" }}, B = {{ name = "b" }} }}
totals = [{{ patients = "all", n = {n}, events = {events} }}]
"""
REPORTED = """
[[reported]]
id = "c{at}"
kind = "odds_ratio"
contrast = "{contrast}"
value = {value:.2f}
ci = [{lower:.2f}, {upper:.2f}]
level = 0.95
adjusted = false
source = "simulation"
"""


def cohort(rng: np.random.Generator) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw patients and events by regimen.

    Parameters
    ----------
    rng
        Random number generator.

    Returns
    -------
    tuple of ndarray, shape (4,)
        Patients and events.
    """
    total = int(np.exp(rng.uniform(np.log(300), np.log(6000))))
    n = rng.multinomial(total, rng.dirichlet(np.ones(4)))
    log_odds = logit(rng.uniform(0.05, 0.6)) + rng.normal(0, 0.6, 2) @ [A, B]
    return n, rng.binomial(n, expit(log_odds + rng.normal(0, 0.5) * A * B))


def estimate(contrast: str, n: NDArray[np.int64], events: NDArray[np.int64]) -> tuple[float, float]:
    """Estimate a log odds ratio and its standard error by logistic regression.

    Parameters
    ----------
    contrast
        One of `CONTRASTS`.
    n, events
        Patients and events by regimen.

    Returns
    -------
    tuple of float
        Estimate and standard error.
    """
    if contrast.startswith("A x B"):
        columns, arms = [A, B, A * B], np.arange(4)
    elif " vs not " in contrast:
        columns, arms = [A if contrast.startswith("A") else B], np.arange(4)
    else:
        arms = np.array([ARMS.index(label) for label in contrast.split(" vs ")])
        columns = [np.arange(4) == arms[0]]
    design = sm.add_constant(np.column_stack(columns).astype(float))[arms]
    counts = np.column_stack([events, n - events])[arms]
    with warnings.catch_warnings():
        # A saturated regression of grouped data has no residuals, which statsmodels takes for separation.
        warnings.simplefilter("ignore")
        fitted = sm.GLM(counts, design, family=sm.families.Binomial()).fit()
    return float(fitted.params[-1]), float(fitted.bse[-1])


def published(part: int, at: int) -> tuple[Study, NDArray[np.int64]]:
    """Draw cohorts until one has estimable odds ratios, and publish it.

    Parameters
    ----------
    part, at
        Indices of the part and of the study in it, from which the seed follows.

    Returns
    -------
    tuple
        The published study, and the true patients by regimen.
    """
    rng = np.random.default_rng((part, at, 18))
    contrasts = CONTRASTS[part % len(CONTRASTS)]
    while True:
        n, events = cohort(rng)
        if (n < 10).any() or (events < 3).any() or (n - events < 3).any():
            continue
        found = [estimate(contrast, n, events) for contrast in contrasts]
        ends = [np.exp(b + 1.96 * np.array([-s, 0, s])) for b, s in found]
        if all(np.exp(abs(b)) < LARGE and s < SEPARATED for b, s in found) and all(
            lower > 0.005 and round(lower, 2) < round(upper, 2) for lower, _, upper in ends
        ):
            break
    text = HEAD.format(name=f"{part}-{at}", n=n.sum(), events=events.sum())
    for index, (contrast, (lower, value, upper)) in enumerate(zip(contrasts, ends, strict=True)):
        text += REPORTED.format(at=index, contrast=contrast, value=value, lower=lower, upper=upper)
    return parse_study(text), n


def probabilities(answer: Answer) -> dict[str, float]:
    """Return P(synergy) of every judged measure.

    Parameters
    ----------
    answer
        A fit.

    Returns
    -------
    dict
        Probabilities by code of the measure.
    """
    draws, study = answer.risk_draws, answer.study
    measures = judged_measures(study, find_model(answer.model, study), draws, resolve(study))
    return {one.code: float(is_beyond_null(one, draws).mean()) for one in measures}


def reference(answer: Answer, seed: int) -> dict[str, float]:
    """Return P(synergy) of every judged measure by sequential Monte Carlo with more particles.

    Parameters
    ----------
    answer
        The fit.
    seed
        Seed of the random numbers.

    Returns
    -------
    dict
        Probabilities by code of the measure; empty if the sample is not stable.
    """
    study, model = answer.study, find_model(answer.model, answer.study)
    chosen = priors_for(prior_set(PRIORS, study), model, study)
    density, numbers = compiled(study, model, chosen), given_of(study, model, chosen)
    rng = np.random.default_rng(seed)
    surface = density.surface(numbers)
    sample = tempering.sample(surface, density.start, density.widths, rng, particles=PARTICLES)
    if not sample.is_stable:
        return {}
    points = sample.points.reshape(-1, density.size)
    values = labelled(density.built, density.deterministics(RISK_DRAWS, points, numbers), 1)
    values["risk"].attrs["risk_kind"] = study.risk_kind
    draws = values.assign_coords(draw=range(len(points)))
    measures = judged_measures(study, model, draws, resolve(study))
    return {one.code: float(is_beyond_null(one, draws).mean()) for one in measures}


def rows_of(part: int, at: int, answer: Answer, seconds: float) -> Iterator[dict[str, object]]:
    """Yield a row per judged measure of a fit.

    Parameters
    ----------
    part, at
        Indices of the part and of the study in it.
    answer
        The fit.
    seconds
        CPU-seconds of the fit.

    Yields
    ------
    dict
        Columns of the table.
    """
    row = {
        "part": part,
        "study": at,
        "reported": "; ".join(CONTRASTS[part % len(CONTRASTS)]),
        "engine": answer.engine,
        "verdict": answer.verdict,
        "pareto_k": answer.pareto_k,
        "log_evidence": answer.log_evidence,
        "seconds": seconds,
    }
    is_usable = answer.verdict != laplace.UNRELIABLE
    found = probabilities(answer) if is_usable else {"": np.nan}
    for measure, probability in found.items():
        yield {**row, "measure": measure, "probability": probability}


def run(part: int) -> pd.DataFrame:
    """Simulate, fit and compare the studies of one part.

    Parameters
    ----------
    part
        Index of the part.

    Returns
    -------
    pandas.DataFrame
        One row per study and measure; ``reference_1`` and ``reference_2`` are missing where the fit was not
        compared.
    """
    rows, answers = [], []
    for at in range(STUDIES):
        study, _ = published(part, at)
        before = time.process_time()
        (answer,) = fit_many([Specification(study, MODEL, PRIORS)], seed=1 + at, processes=1)
        rows.append(list(rows_of(part, at, answer, time.process_time() - before)))
        answers.append(answer)
    good = [at for at, one in enumerate(answers) if (one.engine, one.verdict) == GOOD]
    chosen = np.random.default_rng((part, 7)).permutation(good)[:CHECKED]
    for at, answer in enumerate(answers):
        if at in good and at not in chosen:
            continue
        for number in range(1, REFERENCES + 1):
            found = reference(answer, 1000 * part + 10 * at + number)
            for row in rows[at]:
                row[f"reference_{number}"] = found.get(str(row["measure"]), np.nan)
    columns = [f"reference_{number}" for number in range(1, REFERENCES + 1)]
    table = pd.DataFrame(
        [
            {"is_compared": at in chosen or at not in good, **row}
            for at, of_study in enumerate(rows)
            for row in of_study
        ]
    )
    return table.reindex(columns=list(dict.fromkeys([*table.columns, *columns])))


GOOD = (LAPLACE, laplace.GOOD)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Summarise all parts: the numbers behind the bar.

    Parameters
    ----------
    table
        Rows of all parts.

    Returns
    -------
    pandas.DataFrame
        Columns ``quantity``, ``value`` and ``bar``.
    """
    first = table.groupby(["part", "study"]).first()
    count = len(first)
    is_good = (first.engine == LAPLACE) & (first.verdict == laplace.GOOD)
    references = table[["reference_1", "reference_2"]]
    apart = (
        (references.max(axis=1) - references.min(axis=1)).groupby([table.part, table.study]).max()
    )
    is_compared = first.is_compared
    lacks = references.isna().any(axis=1).groupby([table.part, table.study]).any()
    is_unusable = is_compared & (lacks | (apart > SAME_REFERENCE))
    is_unusable |= first.verdict == laplace.UNRELIABLE
    off = (table.probability - references.mean(axis=1)).abs()
    worst = off.groupby([table.part, table.study]).max()[is_compared & ~is_unusable]
    lines = [
        ("studies", count, ""),
        ("good by Laplace, %", 100 * is_good.mean(), "at least 80"),
        ("by sequential Monte Carlo, %", 100 * (first.engine != LAPLACE).mean(), ""),
        ("without a usable answer, %", 100 * is_unusable.mean(), "at most 2"),
        ("compared with the reference", int(is_compared.sum()), ""),
        ("largest error of a P(synergy)", worst.max(), f"at most {OFF}"),
        ("errors above the bar", int((worst > OFF).sum()), "0"),
        ("CPU-seconds per fit, mean", first.seconds.mean(), ""),
    ]
    return pd.DataFrame(lines, columns=["quantity", "value", "bar"])


def main() -> None:
    """Run one part, or summarise all parts."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--part", type=int)
    parser.add_argument("--summary", type=Path, help="folder with the tables of all parts")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    if arguments.summary is not None:
        parts = [store.read_table(path) for path in sorted(arguments.summary.glob("part-*.csv"))]
        store.write_table(summary(pd.concat(parts)), arguments.out / "bars.csv", [])
        return
    store.write_table(run(arguments.part), arguments.out / f"part-{arguments.part:02}.csv", [])


if __name__ == "__main__":
    main()
