"""Recover the odds ratio of a dose that is not reported, from the estimates that the flagship reports.

True values are drawn from the prior of the model `dose`. The simulated paper reports the odds ratio of all patients
on tacrolimus, that of the higher dose, and the margins. dose.csv contains the posterior of the odds ratio of the
lower dose by cohort; dose.md summarises it. An interrupted run resumes.
"""

import argparse
import json
import multiprocessing
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import pymc as pm
import statsmodels.api as sm
from scipy.special import expit, logit, ndtri

from cotreat import load_study, parse_study
from cotreat.evidence.reported import estimates_of
from cotreat.inference.sampling import PACKAGES
from cotreat.models.build import build
from cotreat.models.registry import find_model
from cotreat.models.select import priors_for
from cotreat.priors.sets import prior_set
from cotreat.study.study import Study
from validation.scripts.recovery import (
    CHAINS,
    DRAWS,
    LEVEL,
    RHAT,
    TARGET_ACCEPT,
    TUNE,
    Sampler,
    whole,
)

OUT = Path(__file__).parents[2] / "results" / "recovery"
COHORTS, SEED, STORE = 100, 3, 400
"""Number of reported cohorts, seed, and number of draws of true values (some cohorts are not reported)."""
FEWEST = 5
"""Smallest number of events, and of non-events, of a group whose odds ratio is reported."""
TOTALS = {"TAC": 244, "not TAC": 549}
SETS = {"tac": ("TAC", "not TAC"), "dose": ("TAC.high", "not TAC")}
INFERRED = ("TAC.low", "not TAC")
COVERAGE_BAR, WIDTH_BAR = 0.90, 0.7

STUDY = """
format = 1
study = {{ id = "cohort-{at}", title = "Simulated", design = "cohort", source = "validation/scripts/recovery_dose.py", inclusion = "any(TAC, CYC, MMF)" }}
outcome = {{ name = "response", direction = "benefit" }}
totals = [
  {{ patients = "all", n = {n}, events = {events} }},
  {{ patients = "TAC", n = {on} }},
  {{ patients = "not TAC", n = {off} }},
]
reported = [
{reported_estimates}
]
[treatments]
TAC = {{ name = "tacrolimus", dose = {{ low = "lower", high = "higher" }} }}
CYC = {{ name = "cyclophosphamide" }}
MMF = {{ name = "mycophenolate mofetil" }}
"""
CLAIM = (
    '  {{ id = "{id}", kind = "odds_ratio", contrast = "{contrast}", value = {value}, ci = [{lower}, {upper}], '
    'adjusted = true, model = "{id}", source = "simulated" }},'
)
Truth = dict[str, Any]


@cache
def stated() -> tuple[Study, pm.Model, float]:
    """Return the flagship stratified by dose, its PyMC model, and the SD of the shift of a regression."""
    study = load_study("sun2024").resolve(strata="dose")
    model = find_model("dose", study)
    priors = priors_for(prior_set("weak", study), model, study)
    return study, build(study, model, priors), priors["shift"].numbers()["sigma"]


def truths(count: int, seed: int) -> Iterator[Truth]:
    """Yield draws of true values from the prior.

    Parameters
    ----------
    count
        Number of draws.
    seed
        Seed of the random numbers.

    Yields
    ------
    dict
        ``log_odds`` and ``n`` (whole patients) by arm, ``sigma`` (SD of the prognostic score) and ``shifts`` by
        regression.
    """
    study, built, shift_sd = stated()
    with built:
        drawn = pm.sample_prior_predictive(
            count,
            random_seed=seed,
            var_names=["conditional_risk", "size", "sigma"],
            compile_kwargs={"mode": "FAST_COMPILE"},
        )
    prior = drawn["prior"].to_dataset().isel(chain=0)
    on = study.members("TAC", study.present)
    shifts = np.random.default_rng(seed).normal(0, shift_sd, (count, len(SETS)))
    for at in range(count):
        draw = prior.isel(draw=at)
        n = np.empty(len(on), int)
        for side, total in zip((on, ~on), TOTALS.values(), strict=True):
            n[side] = whole(draw["size"].values[side], total)
        log_odds = logit(draw["conditional_risk"].sel(arm=list(study.present)).values)
        yield {"log_odds": log_odds, "n": n, "sigma": float(draw["sigma"]), "shifts": shifts[at]}


def true_ratio(truth: Truth) -> float:
    """Return the true conditional odds ratio of the lower dose against no tacrolimus.

    Parameters
    ----------
    truth
        True values.
    """
    numbers = estimates_of(stated()[0])
    assert numbers is not None  # noqa: S101 - for the type checker
    law = numbers.regressions_inferred.moments(
        np, truth["log_odds"], truth["sigma"], truth["n"].astype(float)
    )
    return float(np.exp(law.mean[0]))


def print_cohort(truth: Truth, rng: np.random.Generator, at: int) -> Study | None:
    """Simulate patients and report the estimates that the flagship reports by dose.

    Parameters
    ----------
    truth
        True values.
    rng
        Random number generator.
    at
        Index of the cohort.

    Returns
    -------
    Study or None
        The report; None if a group has fewer than `FEWEST` events or non-events.
    """
    study, _, _ = stated()
    arm = np.repeat(np.arange(len(truth["n"])), truth["n"])
    score = rng.normal(0, 1, len(arm))
    y = rng.binomial(1, expit(truth["log_odds"][arm] + truth["sigma"] * score))
    groups = {
        words: study.members(words, study.present)[arm] for words in ("TAC.low", "TAC.high", "TAC")
    }
    for rows in (*groups.values(), ~groups["TAC"]):
        if min(y[rows].sum(), (1 - y[rows]).sum()) < FEWEST:
            return None
    reported_estimates = []
    for (name, words), columns, shift in zip(
        SETS.items(), (["TAC"], ["TAC.high", "TAC.low"]), truth["shifts"], strict=True
    ):
        design = np.column_stack([*(groups[c] for c in columns), np.ones(len(y)), score]).astype(
            float
        )
        fitted = sm.GLM(y, design, family=sm.families.Binomial()).fit()
        half = float(ndtri(0.5 + LEVEL / 2)) * fitted.bse[0]
        ends = np.exp(fitted.params[0] + shift + np.array([0, -half, half]))
        value, lower, upper = (f"{end:.2f}" for end in ends)
        reported_estimates.append(
            CLAIM.format(
                id=name, contrast=" vs ".join(words), value=value, lower=lower, upper=upper
            )
        )
    text = STUDY.format(
        at=at,
        n=len(y),
        events=int(y.sum()),
        on=TOTALS["TAC"],
        off=TOTALS["not TAC"],
        reported_estimates="\n".join(reported_estimates),
    )
    return parse_study(text)


@cache
def cohorts(seed: int) -> list[tuple[Truth, Study]]:
    """Return the reported cohorts in order, each with its true values.

    Parameters
    ----------
    seed
        Seed of the simulation.
    """
    reported: list[tuple[Truth, Study]] = []
    for at, truth in enumerate(truths(STORE, seed)):
        study = print_cohort(truth, np.random.default_rng([seed, at]), at)
        if study is not None:
            reported.append((truth, study))
    return reported


@cache
def sampler(seed: int) -> Sampler:
    """Return a sampler for all cohorts of a seed.

    Parameters
    ----------
    seed
        Seed of the simulation.
    """
    return Sampler(cohorts(seed)[0][1], "dose")


def recovered(seed: int, at: int) -> dict[str, Any]:
    """Fit one cohort and compare the odds ratio of the lower dose with its true value.

    Parameters
    ----------
    seed
        Seed of the simulation.
    at
        Index of the cohort.

    Returns
    -------
    dict
        A row of the table: true value, posterior median, 95 % interval and diagnostics.
    """
    truth, study = cohorts(seed)[at]
    risk_draws, x, diverging = sampler(seed).sample(study, seed + at)
    numbers = estimates_of(study.resolve(strata="dose"))
    assert numbers is not None  # noqa: S101 - for the type checker
    draws = risk_draws["log_ratio"].sel(reported_estimate=numbers.inferred_ids[0])
    lower, median, upper = np.exp(np.quantile(draws, [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2]))
    value = true_ratio(truth)
    return {
        "cohort": at,
        "truth": value,
        "estimate": float(median),
        "lower": float(lower),
        "upper": float(upper),
        "covered": int(lower <= value <= upper),
        "rhat": max(float(az.rhat(draws)), float(np.max(az.rhat(x)))),
        "divergences": diverging,
    }


def prior_width(seed: int) -> float:
    """Return the width of the prior 95 % interval of the log odds ratio of the lower dose.

    Parameters
    ----------
    seed
        Seed of the simulation.
    """
    logs = np.log([true_ratio(truth) for truth in truths(4000, seed)])
    lower, upper = np.quantile(logs, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(upper - lower)


# --- The table and the page ------------------------------------------------------------------------


def summed(table: pd.DataFrame, before: float) -> dict[str, float]:
    """Summarise the table.

    Parameters
    ----------
    table
        One row per cohort.
    before
        Width of the prior 95 % interval.

    Returns
    -------
    dict
        Coverage, its standard error, median width as a share of the prior width, and number of failed fits.
    """
    share = float(table.covered.mean())
    width = float(np.log(table.upper / table.lower).median())
    return {
        "coverage": share,
        "error": float(np.sqrt(share * (1 - share) / len(table))),
        "width": width / before,
        "failed": int(((table.rhat > RHAT) | (table.divergences > 0)).sum()),
    }


PAGE = """# The odds ratio of a dose that is not reported

**The 95 % interval of the lower dose's odds ratio contains the true value in {coverage:.0%} of {cohorts} cohorts (Monte Carlo
error {error:.1%}); on the log scale, its median width is {width:.2f} of that of the prior interval.** The targets were at
least {coverage_bar:.0%} and at most {width_bar}.

1. **True values.** They are a draw from the prior of the model `dose` with the `weak` prior set on sun2024: log-odds of the
   eleven regimens by two doses of tacrolimus, arm sizes (244 on tacrolimus, 549 not), SD of the prognostic score, and a
   shift for each of the two regressions.
2. **Patients.** The response of each of 793 patients depends on a prognostic score and on the regimen.
3. **Reported estimates.** Two logistic regressions are adjusted for the score: all patients on tacrolimus against none, and the
   higher dose against none, adjusted for the lower dose, whose odds ratio is not reported. Both odds ratios are reported
   with 95 % intervals to two decimals, with the numbers of patients, of patients on tacrolimus, and of events. Cohorts with
   fewer than {fewest} events or non-events in a group are not reported: {left_out} of {drawn} draws.
4. **Reanalysis.** The model `dose` is fitted to these numbers alone: {chains} chains of {tune} + {draws} draws of NUTS on the
   density of `cotreat.models.build.build`, with a target acceptance of {accept}.

{failed} of {cohorts} fits have a divergence or an R-hat over {rhat}; they are included in all numbers above.

Made on {date} with seed {seed}, {versions}. To reproduce:

    .venv/bin/python -m validation.scripts.recovery_dose --processes 2
"""


def page(table: pd.DataFrame, seed: int) -> str:
    """Return the text of dose.md.

    Parameters
    ----------
    table
        One row per cohort.
    seed
        Seed of the simulation.
    """
    drawn = int(cohorts(seed)[len(table) - 1][1].id.rpartition("-")[2]) + 1
    return PAGE.format(
        **summed(table, prior_width(seed)),
        cohorts=len(table),
        coverage_bar=COVERAGE_BAR,
        width_bar=WIDTH_BAR,
        fewest=FEWEST,
        left_out=drawn - len(table),
        drawn=drawn,
        chains=CHAINS,
        tune=TUNE,
        draws=DRAWS,
        accept=TARGET_ACCEPT,
        rhat=RHAT,
        date=datetime.now(UTC).date(),
        seed=seed,
        versions=", ".join(f"{package} {version(package)}" for package in PACKAGES),
    )


def run(seed: int, count: int, processes: int, scratch: Path) -> pd.DataFrame:
    """Fit the cohorts that are not in a scratch file.

    Parameters
    ----------
    seed
        Seed of the simulation.
    count
        Number of cohorts.
    processes
        Number of processes.
    scratch
        Path of the finished rows, JSON lines.

    Returns
    -------
    pandas.DataFrame
        One row per cohort.
    """
    lines = scratch.read_text(encoding="utf-8").splitlines() if scratch.exists() else []
    records = {record["cohort"]: record for record in map(json.loads, lines)}
    left = [at for at in range(count) if at not in records]
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        for future in as_completed([pool.submit(recovered, seed, at) for at in left]):
            record = future.result()
            records[record["cohort"]] = record
            with scratch.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
            print(
                f"cohort {record['cohort']}: R-hat {record['rhat']:.3f}, {len(records)} of {count}",
                file=sys.stderr,
            )
    return pd.DataFrame([records[at] for at in range(count)])


def main() -> None:
    """Recover the cohorts and write dose.csv and dose.md."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--cohorts", type=int, default=COHORTS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    table = run(
        arguments.seed, arguments.cohorts, arguments.processes, arguments.out / "dose.jsonl"
    )
    table.to_csv(arguments.out / "dose.csv", index=False, float_format="%.6g")
    (arguments.out / "dose.md").write_text(page(table, arguments.seed), encoding="utf-8")


if __name__ == "__main__":
    main()
