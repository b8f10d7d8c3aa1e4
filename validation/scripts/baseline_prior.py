"""Check the default priors on two-by-two tables of counts: coverage and false conclusions by baseline risk.

Each treatment has an odds ratio of 2 and the ratio of odds ratios is 1. baseline_prior.csv contains a row per prior
set, baseline risk and number of patients per arm; a rerun computes the missing rows only. The bars: the 95 % interval
of the odds ratio of A covers 2 in at least 93 % of the data sets everywhere (less 2 SE), and in at most 98 % (plus
2 SE) where every arm has at least 20 expected events and non-events; P(ROR > 1) is at least .975 in at most 2.5 %
of the data sets, plus 3 SE in each cell and plus 1 SE over all cells.
"""

import argparse
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit

from cotreat import parse_study
from cotreat.core.constants import CONCLUSIVE
from cotreat.inference.batch import Answer, Specification, fit_many
from cotreat.inference.laplace import UNRELIABLE
from cotreat.priors.belief_grid import DEFAULTS
from cotreat.study.study import Arm, StratifiedCounts, Study

OUT = Path(__file__).parents[2] / "results" / "verify"
FILE = "baseline_prior.csv"
BASELINES = (0.005, 0.01, 0.02, 0.2, 0.5, 0.8, 0.95)
PATIENTS = (50, 200, 1000)
ODDS_RATIO = 2.0
DATA_SETS = 1000
LOWEST, HIGHEST, FALSE = 0.93, 0.98, 0.025
"""Bars of the coverage and of the share of false conclusions."""
ENOUGH = 20
"""Expected events and non-events per arm from which the upper bar of the coverage applies."""
REGIMENS = ("none", "A", "B", "A+B")
TWO = """
format = 1
study = { id = "two", title = "Two by two", design = "cohort", source = "simulated" }
outcome = { name = "response", direction = "benefit" }
treatments = { A = { name = "A" }, B = { name = "B" } }
"""
COLUMNS = [
    *("priors", "baseline", "patients_per_arm", "data_sets", "unreliable", "is_frequent"),
    *("coverage", "false_synergy"),
]


def risks(baseline: float) -> NDArray[np.float64]:
    """Return the risks of `REGIMENS`.

    Parameters
    ----------
    baseline
        Risk without treatment.
    """
    return expit(logit(baseline) + np.log(ODDS_RATIO) * np.array([0, 1, 1, 2]))


def is_frequent(baseline: float, patients: int) -> bool:
    """Return whether every arm has at least `ENOUGH` expected events and non-events.

    Parameters
    ----------
    baseline
        Risk without treatment.
    patients
        Patients per arm.
    """
    risk = risks(baseline)
    return bool(patients * np.minimum(risk, 1 - risk).min() >= ENOUGH)


def studies(events: NDArray[np.int64], patients: int) -> list[Study]:
    """Return a study per row of events.

    Parameters
    ----------
    events
        Events by regimen, shape (study, regimen).
    patients
        Patients per arm.
    """
    arms = "\n".join(f'[[arms]]\nregimen = "{r}"\nn = {patients}\nevents = 0' for r in REGIMENS)
    first = parse_study(TWO + arms)

    def with_events(row: NDArray[np.int64]) -> Study:
        counted: list[Arm] = [
            replace(arm, events=int(count))
            for arm, count in zip(first.stratified.arms, row, strict=True)
        ]
        return replace(first, stratified=StratifiedCounts(tuple(counted), ()), digest=str(row))

    return [with_events(row) for row in events]


def judged(answer: Answer) -> tuple[bool, bool]:
    """Return whether the interval of A covers `ODDS_RATIO`, and whether P(ROR > 1) is conclusive.

    Parameters
    ----------
    answer
        Draws of a fit.
    """
    log_odds = logit(answer.risk_draws["risk"].sel(arm=list(REGIMENS)).values[0])
    none, a, b, both = log_odds.T
    lower, upper = np.quantile(a - none, [0.025, 0.975])
    share = np.mean(both - a - b + none > 0)
    return bool(lower <= np.log(ODDS_RATIO) <= upper), bool(share >= CONCLUSIVE)


def cell(
    priors: str, baseline: float, patients: int, data_sets: int, seed: int
) -> dict[str, object]:
    """Fit the data sets of one cell of the table; equal data sets are fitted once.

    Parameters
    ----------
    priors
        Name of the prior set.
    baseline
        Risk without treatment.
    patients
        Patients per arm.
    data_sets
        Number of data sets.
    seed
        Seed of the data sets.
    """
    rng = np.random.default_rng([seed, int(1000 * baseline), patients])
    drawn = rng.binomial(patients, risks(baseline), (data_sets, len(REGIMENS)))
    events, counts = np.unique(drawn, axis=0, return_counts=True)
    answers = fit_many(
        [Specification(study, "interaction", priors) for study in studies(events, patients)],
        processes=1,
    )
    is_good = np.array([answer.verdict != UNRELIABLE for answer in answers])
    kept = [answer for answer, good in zip(answers, is_good, strict=True) if good]
    covers, false = np.average([judged(one) for one in kept], axis=0, weights=counts[is_good])
    return {
        "priors": priors,
        "baseline": baseline,
        "patients_per_arm": patients,
        "data_sets": data_sets,
        "unreliable": int(counts[~is_good].sum()),
        "is_frequent": is_frequent(baseline, patients),
        "coverage": covers,
        "false_synergy": false,
    }


def missed(table: pd.DataFrame) -> list[str]:
    """Return a line for each missed bar.

    Parameters
    ----------
    table
        A row per cell.
    """
    used = table.data_sets - table.unreliable

    def error(share: float, count: pd.Series) -> pd.Series:
        return np.sqrt(share * (1 - share) / count)

    bars = {
        "coverage too low": table.coverage < LOWEST - 2 * error(LOWEST, used),
        "coverage too high": table.is_frequent
        & (table.coverage > HIGHEST + 2 * error(HIGHEST, used)),
        "false conclusions": table.false_synergy > FALSE + 3 * error(FALSE, used),
    }
    lines = [
        f"{words}: {row.priors}, baseline {row.baseline:g}, {row.patients_per_arm} per arm: "
        f"coverage {row.coverage:.3f}, false {row.false_synergy:.4f}"
        for words, is_missed in bars.items()
        for row in table[is_missed].itertuples()
    ]
    for priors, rows in table.groupby("priors"):
        count = used[rows.index]
        share = float(np.average(rows.false_synergy, weights=count))
        if share > FALSE + float(error(FALSE, count.sum())):
            lines.append(f"false conclusions over all cells: {priors} {share:.4f}")
    return lines


def main() -> None:
    """Compute the missing cells, write the table, and print the missed bars."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--data-sets", type=int, default=DATA_SETS)
    parser.add_argument("--cells", type=int, default=10**6, help="compute at most this many")
    parser.add_argument("--seed", type=int, default=18)
    arguments = parser.parse_args()
    path = arguments.out / FILE
    rows = pd.read_csv(path).to_dict("records") if path.exists() else []
    done = {(row["priors"], row["baseline"], row["patients_per_arm"]) for row in rows}
    wanted = [one for one in product(DEFAULTS, BASELINES, PATIENTS) if one not in done]
    arguments.out.mkdir(parents=True, exist_ok=True)
    for one in wanted[: arguments.cells]:
        rows.append(cell(*one, arguments.data_sets, arguments.seed))
        pd.DataFrame(rows)[COLUMNS].to_csv(path, index=False, float_format="%.6g")
    if len(wanted) <= arguments.cells:
        print("\n".join(missed(pd.DataFrame(rows))) or "every bar is met")


if __name__ == "__main__":
    main()
