"""Check the default priors on two-by-two tables of counts: coverage and false conclusions by baseline risk.

Each treatment has an odds ratio of 2 and the ratio of odds ratios is 1. baseline_prior.csv contains a row per prior
set, baseline risk and number of patients per arm; a rerun computes the missing rows only. The bars: the 95 % interval
of the odds ratio of A covers 2 in at least 93 % of the data sets everywhere (less 2 SE), and in at most 98 % (plus
2 SE) where every arm has at least 20 expected events and non-events; P(ROR > 1) is at least .975 in at most 2.5 %
of the data sets, plus 3 SE in each cell and plus 1 SE over all cells.
"""

import argparse
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit

from cotreat import parse_study
from cotreat.core.constants import CONCLUSIVE
from cotreat.inference.batch import Specification, fit_many
from cotreat.models.design import centred
from cotreat.priors.belief_grid import DEFAULTS
from cotreat.priors.sets import prior_set
from cotreat.study.study import StratifiedCounts, Study

Array = NDArray[np.float64]
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
DRAWS, DF = 4000, 6
"""Weighted draws per data set, and degrees of freedom of the proposal."""
REGIMENS = ("none", "A", "B", "A+B")
TWO = """
format = 1
study = { id = "two", title = "Two by two", design = "cohort", source = "simulated" }
outcome = { name = "response", direction = "benefit" }
treatments = { A = { name = "A" }, B = { name = "B" } }
"""
COLUMNS = [
    *("priors", "baseline", "patients_per_arm", "data_sets", "is_frequent"),
    *("coverage", "false_synergy", "least_effective"),
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


def study(patients: int) -> Study:
    """Return a two-by-two study.

    Parameters
    ----------
    patients
        Patients per arm.
    """
    arms = "\n".join(f'[[arms]]\nregimen = "{r}"\nn = {patients}\nevents = 0' for r in REGIMENS)
    return parse_study(TWO + arms)


@dataclass(frozen=True)
class Posterior:
    """Summarise the posteriors of several data sets.

    Attributes
    ----------
    lower, upper : ndarray, shape (data set,)
        95 % interval of the log odds ratio of A.
    above : ndarray, shape (data set,)
        P(ROR > 1).
    effective : ndarray, shape (data set,)
        Effective sample size of the weighted draws.
    """

    lower: Array
    upper: Array
    above: Array
    effective: Array


def posterior(own: Study, events: Array, priors: str) -> Posterior:
    """Return the posteriors under the model with interaction, by importance sampling from a t around each mode.

    The posterior is log-concave: a binomial likelihood with normal priors. `compared` checks it against `fit_many`.

    Parameters
    ----------
    own
        The study, with the numbers of patients.
    events
        Events by regimen, shape (data set, regimen).
    priors
        Name of the prior set.
    """
    centred_columns = [centred(own.content, own, REGIMENS), centred(own.products, own, REGIMENS)]
    design = np.column_stack([np.ones(len(REGIMENS)), *centred_columns])
    rows = prior_set(priors, own)
    sds = np.array([rows[name].sigma for name in ("alpha", "beta", "beta", "gamma")], float)
    n, precision = own.n.astype(float), np.diag(1 / sds**2)
    mode, root = _modes(design, n, events, precision)
    rng = np.random.default_rng(1)
    z = rng.standard_normal((DRAWS, 4)) / np.sqrt(rng.chisquare(DF, (DRAWS, 1)) / DF)
    parts = [
        _weighted(design, n, events[at], mode[at], root[at], precision, z)
        for at in np.array_split(np.arange(len(events)), max(1, len(events) // 50))
    ]
    return Posterior(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _modes(design: Array, n: Array, events: Array, precision: Array) -> tuple[Array, Array]:
    """Return the modes by Newton's method, and the Cholesky factors of the inverse Hessians."""
    at = np.linalg.solve(design, logit((events + 0.5) / (n + 1)).T).T
    for _ in range(100):
        risk = expit(at @ design.T)
        weight = n * risk * (1 - risk)
        hessian = np.einsum("ka,ai,aj->kij", weight, design, design) + precision
        gradient = (events - n * risk) @ design - at @ precision
        step = np.linalg.solve(hessian, gradient[..., None])[..., 0]
        at = at + step / np.maximum(1, np.abs(step).max(1, keepdims=True))
    return at, np.linalg.cholesky(np.linalg.inv(hessian))


def _weighted(
    design: Array, n: Array, events: Array, mode: Array, root: Array, precision: Array, z: Array
) -> tuple[Array, Array, Array, Array]:
    """Return the fields of `Posterior` for some data sets."""
    at = mode[:, None] + z @ root.transpose(0, 2, 1)
    eta = at @ design.T
    log = (events[:, None] * eta - n * np.logaddexp(0, eta)).sum(2)
    log += -((at @ precision) * at).sum(2) / 2 + (DF + 4) / 2 * np.log1p((z**2).sum(1) / DF)
    weight = np.exp(log - log.max(1, keepdims=True))
    weight /= weight.sum(1, keepdims=True)
    none, a, b, both = np.moveaxis(eta, 2, 0)
    order = np.argsort(a - none, axis=1)
    values = np.take_along_axis(a - none, order, 1)
    below = np.cumsum(np.take_along_axis(weight, order, 1), 1)
    limits = [
        np.take_along_axis(values, (below < share).sum(1)[:, None], 1)[:, 0]
        for share in (0.025, 0.975)
    ]
    above = (weight * (both - a - b + none > 0)).sum(1)
    return limits[0], limits[1], above, 1 / (weight**2).sum(1)


def cell(
    priors: str, baseline: float, patients: int, data_sets: int, seed: int
) -> dict[str, object]:
    """Return a row of the table.

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
    events = drawn(baseline, patients, data_sets, seed)
    found = posterior(study(patients), events, priors)
    log = np.log(ODDS_RATIO)
    return {
        "priors": priors,
        "baseline": baseline,
        "patients_per_arm": patients,
        "data_sets": data_sets,
        "is_frequent": is_frequent(baseline, patients),
        "coverage": float(np.mean((found.lower <= log) & (log <= found.upper))),
        "false_synergy": float(np.mean(found.above >= CONCLUSIVE)),
        "least_effective": float(found.effective.min()),
    }


def drawn(baseline: float, patients: int, data_sets: int, seed: int) -> Array:
    """Draw the events by regimen, shape (data set, regimen).

    Parameters
    ----------
    baseline
        Risk without treatment.
    patients
        Patients per arm.
    data_sets
        Number of data sets.
    seed
        Seed of the random numbers.
    """
    rng = np.random.default_rng([seed, round(1000 * baseline), patients])
    return rng.binomial(patients, risks(baseline), (data_sets, len(REGIMENS))).astype(float)


def compared(priors: str, baseline: float, patients: int, data_sets: int, seed: int) -> float:
    """Return the largest difference in P(ROR > 1) from the fits of the package.

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
    first, events = study(patients), drawn(baseline, patients, data_sets, seed)
    specifications = []
    for row in events:
        counted = zip(first.stratified.arms, row, strict=True)
        arms = tuple(replace(arm, events=int(count)) for arm, count in counted)
        own = replace(first, stratified=StratifiedCounts(arms, ()), digest=str(row))
        specifications.append(Specification(own, "interaction", priors))
    shares = []
    for answer in fit_many(specifications, processes=1):
        log_odds = logit(answer.risk_draws["risk"].sel(arm=list(REGIMENS)).values[0])
        shares.append(np.mean(log_odds @ np.array([1, -1, -1, 1]) > 0))
    return float(np.abs(posterior(first, events, priors).above - shares).max())


def missed(table: pd.DataFrame) -> list[str]:
    """Return a line for each missed bar.

    Parameters
    ----------
    table
        A row per cell.
    """
    used = table.data_sets

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
    """Write the table, print the largest difference from fits of the package and the missed bars."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--data-sets", type=int, default=DATA_SETS)
    parser.add_argument("--seed", type=int, default=18)
    arguments = parser.parse_args()
    wanted = product(DEFAULTS, BASELINES, PATIENTS)
    rows = [cell(*one, arguments.data_sets, arguments.seed) for one in wanted]
    table = pd.DataFrame(rows)[COLUMNS]
    arguments.out.mkdir(parents=True, exist_ok=True)
    table.to_csv(arguments.out / FILE, index=False, float_format="%.6g")
    print("\n".join(missed(table)) or "every bar is met")
    for priors, baseline in product(DEFAULTS, (0.01, 0.5)):
        apart = compared(priors, baseline, 200, 40, arguments.seed)
        print(
            f"{priors}, baseline {baseline}: P(ROR > 1) differs by at most {apart:.3f} from 40 fits"
        )


if __name__ == "__main__":
    main()
