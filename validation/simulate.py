"""Simulate a synthetic cohort calibrated to a study with reported estimates only."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.special import expit, softmax

from cotreat.evidence.joint_distribution import joint_distribution, noise_at, rows_at
from cotreat.evidence.logistic_operator import Coefficient, Regressions, coefficient
from cotreat.evidence.reported import (
    ReportedEstimates,
    estimates_of,
    link_value,
    standard_error,
)
from cotreat.evidence.width_distribution import WIDTH_ERROR
from cotreat.study.regimens import parse, treatment_of
from cotreat.study.study import Stratification, Study
from cotreat.study_file.shape import SCHEMA_LINE

SYNTHETIC = "synthetic"
SIGMA = 0.8
"""SD of the latent prognostic score, on the log odds, within a regimen: assumed, because it is not reported."""
MIDDLE = float(np.log(0.28 / 0.72))
"""Prior centre of the log odds of each regimen, used where no estimate is reported."""
WEAK_SD, SHARE_SD = 1.0, 1.0
"""Penalty SDs of log odds and of log arm sizes, which matter where these are not identified."""
CONTINUOUS = ("age", "activity")
EFFECTS = {"age": -0.3, "activity": -0.7, "kidney=moderate": -0.2, "kidney=severe": -0.5}
"""Log odds ratios of simulated covariates, per SD of a continuous one, before scaling to `SIGMA`."""
PERIODS = ("2010-2013", "2014-2017", "2018-2021")
PERIOD_SD = 0.2


class SimulationError(ValueError):
    """Report that no cohort can be calibrated to a study."""


@dataclass(frozen=True)
class Level:
    """A level of a treatment in a stratification that does not define the regimens.

    Attributes
    ----------
    share : float
        Share of the patients on the treatment.
    log_odds : float
        Increment of the log odds relative to the regimen.
    """

    share: float
    log_odds: float


@dataclass(frozen=True)
class Truth:
    """True parameters of a synthetic cohort.

    Attributes
    ----------
    log_odds : dict
        Log odds by regimen for a patient with mean covariates; regimens are stratified by dose if the study
        has doses.
    sizes : dict
        Number of patients by regimen.
    sigma : float
        SD of the latent prognostic score, on the log odds, within a regimen.
    levels : dict
        `Level` by level of a further stratification, such as duration; independent of the regimen.
    """

    log_odds: dict[str, float]
    sizes: dict[str, int]
    sigma: float
    levels: dict[str, Level]


def truth_of(study: Study, patients: int) -> Truth:
    """Calibrate log odds and arm sizes to the reported estimates of a study by penalised least squares.

    Parameters
    ----------
    study
        A study with reported estimates.
    patients
        Size of the cohort.

    Returns
    -------
    Truth
        True parameters of the cohort.

    Raises
    ------
    SimulationError
        If the study does not report odds ratios and totals that do not overlap.
    """
    first, *others = [strata.id for strata in study.stratifications if strata.is_graded] or [""]
    stratified = study.resolve(strata=first)
    log_odds, n = _solved(stratified)
    sizes = whole_sizes(stratified, n, patients)
    levels: dict[str, Level] = {}
    for other in others:
        levels |= _levels(study.resolve(strata=other), stratified, log_odds, n)
    return Truth(
        dict(zip(stratified.present, np.round(log_odds, 3).tolist(), strict=True)),
        dict(zip(stratified.present, sizes.tolist(), strict=True)),
        SIGMA,
        levels,
    )


def whole_sizes(study: Study, n: NDArray[np.float64], patients: int) -> NDArray[np.int64]:
    """Scale and round arm sizes to whole patients, preserving the reported totals.

    Parameters
    ----------
    study
        A study with reported totals.
    n
        Arm sizes, shape (present,).
    patients
        Size of the cohort.

    Returns
    -------
    ndarray
        Whole arm sizes, shape (present,), with sum `patients`.
    """
    shares = n * patients / n.sum()
    sizes = np.zeros(len(n), int)
    within = np.array([study.members(total.patients, study.present) for total in study.totals])
    _, atom = np.unique(within, axis=1, return_inverse=True)
    blocks = [np.flatnonzero(atom.ravel() == at) for at in range(atom.max() + 1)]
    whole = rounded(np.array([shares[arms].sum() for arms in blocks]), patients)
    for arms, total in zip(blocks, whole, strict=True):
        sizes[arms] = rounded(shares[arms], total)
    return sizes


def _solved(study: Study) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return log odds and arm sizes calibrated to the reported estimates, each of shape (present,)."""
    return solved(study, lambda log_odds: log_odds, np.full(len(study.present), MIDDLE))


def solved(
    study: Study,
    log_odds_of: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    start: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Calibrate parameters of the log odds, and arm sizes, to the reported estimates of a study.

    The criterion is penalised least squares: reported estimates and standard errors, log odds around `MIDDLE`,
    and log arm sizes.

    Parameters
    ----------
    study
        A study with reported estimates.
    log_odds_of
        Maps parameters, of the shape of `start`, to log odds by regimen, shape (present,).
    start
        Starting values of the parameters.

    Returns
    -------
    parameters, sizes : ndarray
        Calibrated parameters, and arm sizes of shape (present,).

    Raises
    ------
    SimulationError
        If the study does not report odds ratios and totals that do not overlap.
    """
    numbers = estimates_of(study)
    if numbers is None or not numbers.sizes.are_known or numbers.sizes.polytope is not None:
        raise SimulationError(
            f"{study.id} cannot be simulated: a cohort is calibrated to reported odds ratios and "
            "to totals that do not overlap"
        )

    def misfit(at: NDArray[np.float64]) -> NDArray[np.float64]:
        log_odds = log_odds_of(at[: len(start)])
        return _misfit(numbers, np.concatenate([log_odds, at[len(start) :]]), MIDDLE)

    solution = least_squares(misfit, np.concatenate([start, np.zeros(len(study.present))])).x
    return solution[: len(start)], _sizes(numbers, solution[len(start) :])


def _levels(
    study: Study, primary: Study, log_odds: NDArray[np.float64], n: NDArray[np.float64]
) -> dict[str, Level]:
    """Calibrate the levels of a further stratification, given log odds and arm sizes of the primary one.

    The reported estimates of each level are matched, and the odds ratio of the whole treatment is preserved.

    Parameters
    ----------
    study
        The study under the further stratification.
    primary
        The study under the primary stratification, with `log_odds` and arm sizes `n`, shape (present,).
    """
    numbers = estimates_of(study)
    assert numbers is not None  # noqa: S101 - `_solved` has checked it
    _, sizes = _solved(study)
    found: dict[str, Level] = {}
    for treatment, parts in study.levels.items():
        share = np.array([sizes[[part in parse(r) for r in study.present]].sum() for part in parts])
        share /= share.sum()
        wanted = {
            parts.index(reported_estimate.meaning.words[0]): link_value(reported_estimate)
            for reported_estimate in numbers.with_interval
            if reported_estimate.meaning is not None and reported_estimate.meaning.words[0] in parts
        }
        treated = primary.members(treatment, primary.present)
        added = _added(treated, log_odds, n, share, wanted)
        pairs = zip(share.round(3), added.round(3), strict=True)
        found |= {p: Level(*map(float, pair)) for p, pair in zip(parts, pairs, strict=True)}
    return found


def _added(
    treated: NDArray[np.bool_],
    log_odds: NDArray[np.float64],
    n: NDArray[np.float64],
    share: NDArray[np.float64],
    wanted: dict[int, float],
) -> NDArray[np.float64]:
    """Solve for the increment of log odds of each level, shape (level,); regimens are split by level shares."""
    count = len(share)
    level = np.concatenate(
        [np.full(int((~treated).sum()), -1), np.tile(np.arange(count), treated.sum())]
    )
    base = np.concatenate([log_odds[~treated], np.repeat(log_odds[treated], count)])
    size = np.concatenate([n[~treated], np.outer(n[treated], share).ravel()])
    without = level < 0
    sides = [(level == at) for at in wanted] + [~without]
    regressions = Regressions(tuple(_against(side, without) for side in sides))
    whole = regressions.moments(np, base, SIGMA, size).mean[-1]
    goal = np.array([*wanted.values(), whole])

    def misfit(added: NDArray[np.float64]) -> NDArray[np.float64]:
        moved = base + np.where(without, 0.0, added[level])
        off = regressions.moments(np, moved, SIGMA, size).mean - goal
        return np.concatenate(
            [100 * off, 0.1 * added]
        )  # levels without a reported estimate stay near 0

    return least_squares(misfit, np.zeros(count)).x


def _against(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Coefficient:
    """Return the adjusted log odds ratio of one set of arms against another."""
    columns = np.column_stack([np.ones(len(first)), first])
    return coefficient(columns, np.array([0.0, 1.0]), first | second, is_adjusted=True)


def rounded(parts: NDArray[np.float64], total: int) -> NDArray[np.int64]:
    """Round shares to whole numbers with a given sum by the largest-remainder method.

    Parameters
    ----------
    parts
        Non-negative numbers with sum `total`, shape (part,).
    total
        Sum of the result.

    Returns
    -------
    ndarray of int
        Shape (part,).
    """
    whole = np.floor(parts).astype(int)
    whole[np.argsort(whole - parts)[: total - whole.sum()]] += 1
    return whole


def _sizes(numbers: ReportedEstimates, free: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return arm sizes, shape (present,), by a softmax within each reported total."""
    n = numbers.sizes.fixed.copy()
    for arms, total in numbers.sizes.blocks:
        n[list(arms)] = total * softmax(free[list(arms)])
    return n


def log_errors(
    numbers: ReportedEstimates,
    log_odds: NDArray[np.float64],
    sigma: float,
    loss: float,
    n: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and SD of the log standard errors where no estimate is known.

    Parameters
    ----------
    numbers
        The reported estimates.
    log_odds, sigma, loss, n
        As `cotreat.evidence.joint_distribution.joint_distribution` takes them.
    """
    rows = rows_at(np, numbers, log_odds, sigma, loss, n)
    noise = noise_at(np, numbers, log_odds, sigma, loss, n)
    count = len(numbers.with_interval)
    moves = (rows.moments.drift[:count] ** 2 * noise.total).sum(1)
    return rows.log_error[:count], np.sqrt(WIDTH_ERROR**2 + moves)


def _misfit(
    numbers: ReportedEstimates, at: NDArray[np.float64], middle: float
) -> NDArray[np.float64]:
    """Return standardised residuals of the reported estimates, and penalties of log odds and arm sizes."""
    count = len(numbers.study.present)
    log_odds, free = at[:count], at[count:]
    at = log_odds, SIGMA, 0.0, _sizes(numbers, free)
    law, errors, spread = joint_distribution(np, numbers, *at, 0.0), *log_errors(numbers, *at)
    data = numbers
    kept = [row for row in numbers.kept if not data.is_tail[row]]
    # A tenth of the sampling error, so that the cohort deviates from the report by sampling error alone.
    off = 10 * (data.values - law.mean)[kept] / np.sqrt(np.diag(law.covariance))[kept]
    widths = np.log(
        [standard_error(reported_estimate) for reported_estimate in numbers.with_interval]
    )
    wide = (widths - errors) / spread
    return np.concatenate([off, wide, (log_odds - middle) / WEAK_SD, free / SHARE_SD])


def draw_cohort(study: Study, truth: Truth, seed: int) -> tuple[pd.DataFrame, dict[str, float]]:
    """Draw a cohort of patients with simulated covariates that are independent of the regimen.

    Parameters
    ----------
    study
        The study to which the truth is calibrated.
    truth
        True parameters.
    seed
        Seed of the random numbers.

    Returns
    -------
    tuple
        Individual patient data, one row per patient; and the true log odds ratios of the covariates.
    """
    rng = np.random.default_rng(seed)
    labels = np.repeat(list(truth.sizes), list(truth.sizes.values()))
    rng.shuffle(labels)
    count = len(labels)
    drugs, added = _drugs(study, truth, labels, rng)
    frame = pd.DataFrame(
        {
            SYNTHETIC: True,
            "patient": np.arange(1, count + 1),
            **drugs,
            "age": rng.normal(33, 11, count).round().clip(16, 80).astype(int),
            "activity": rng.normal(13, 5, count).round().clip(0, 40).astype(int),
            "kidney": rng.choice(["mild", "moderate", "severe"], count, p=[0.4, 0.35, 0.25]),
            "period": rng.choice(PERIODS, count),
        }
    )
    columns = {name: (frame[name] - frame[name].mean()) / frame[name].std() for name in CONTINUOUS}
    columns |= {f"kidney={level}": frame.kidney == level for level in ("moderate", "severe")}
    columns |= {f"period={name}": frame.period == name for name in PERIODS}
    effects = EFFECTS | {f"period={name}": rng.normal(0, PERIOD_SD) for name in PERIODS}
    score = sum(effects[name] * column.astype(float) for name, column in columns.items())
    factor = truth.sigma / score.std()
    score = factor * (score - score.mean())
    log_odds = pd.Series(labels).map(truth.log_odds) + added + score
    frame["response"] = rng.binomial(1, expit(log_odds))
    return frame, {name: round(float(factor * effect), 4) for name, effect in effects.items()}


def _drugs(
    study: Study, truth: Truth, labels: NDArray[np.str_], rng: np.random.Generator
) -> tuple[dict[str, NDArray], NDArray[np.float64]]:
    """Return the columns of treatments and levels, and the increments of log odds of further levels."""
    regimens = list(map(parse, labels))
    columns = {
        t.lower(): np.array(
            [
                int(any(treatment_of(p) == t for p in names_of_regimen))
                for names_of_regimen in regimens
            ]
        )
        for t in study.treatment_ids
    }
    added = np.zeros(len(labels))
    for strata in _graded(study):
        for treatment, parts in strata.levels.items():
            treated = columns[treatment.lower()] == 1
            if set(parts) <= set(truth.levels):
                share = np.array([truth.levels[part].share for part in parts])
                at = rng.choice(len(parts), len(labels), p=share / share.sum())
                more = np.array([truth.levels[part].log_odds for part in parts])
                added += np.where(treated, more[at], 0.0)
            else:
                at = np.array(
                    [
                        next((i for i, p in enumerate(parts) if p in names_of_regimen), 0)
                        for names_of_regimen in regimens
                    ]
                )
            names = np.array([part.partition(".")[2] for part in parts])
            columns[_column(treatment, strata)] = np.where(treated, names[at], "")
    return columns, added


def _graded(study: Study) -> list[Stratification]:
    """Return the stratifications by levels of treatments."""
    return [strata for strata in study.stratifications if strata.is_graded]


def _column(treatment: str, strata: Stratification) -> str:
    """Return the name of the column with the levels of a treatment."""
    return f"{treatment.lower()}_{strata.id}"


def simulate(study: Study, patients: int, seed: int, out: Path) -> Path:
    """Write a synthetic cohort, its study file and its true parameters into a folder.

    Parameters
    ----------
    study
        The study to which the cohort is calibrated.
    patients
        Size of the cohort.
    seed
        Seed of the random numbers.
    out
        Parent of the new folder.

    Returns
    -------
    Path
        The study file.

    Raises
    ------
    SimulationError
        If the study does not report odds ratios and totals that do not overlap.
    """
    truth = truth_of(study, patients)
    name = f"{study.id}-{SYNTHETIC}"
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    frame, effects = draw_cohort(study, truth, seed)
    frame.to_csv(folder / f"{name}.csv", index=False)
    record = {
        "what": "SYNTHETIC: true parameters of the cohort in this folder; no patient is real",
        "seed": seed,
        "covariates": "simulated, independent of the regimen",
        **asdict(truth),
        "effects": effects,
    }
    (folder / "truth.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    path = folder / f"{name}.toml"
    path.write_text(_study_file(study, name), encoding="utf-8")
    return path


def _study_file(study: Study, name: str) -> str:
    """Return the text of the study file of a synthetic cohort."""

    def text(value: str) -> str:
        return json.dumps(value, ensure_ascii=False)

    def levels(treatment: str) -> str:
        own = ((d.id, dict(d.owners).get(treatment, ())) for d in _graded(study))
        return "".join(
            f"{strata} = {{ {', '.join(f'{i} = {text(name)}' for i, name in named)} }}\n"
            for strata, named in own
            if named
        )

    columns_of_levels = "".join(
        f"{d.id} = {{ {', '.join(f'{t} = {text(_column(t, d))}' for t in d.levels)} }}\n"
        for d in _graded(study)
    )
    treatments = "".join(
        f"[treatments.{t.id}]\nname = {text(t.name)}\n{levels(t.id)}\n" for t in study.treatments
    )
    columns = ", ".join(f"{t} = {text(t.lower())}" for t in study.treatment_ids)
    return f"""{SCHEMA_LINE}
# SYNTHETIC: no patient of this cohort is real. truth.json says what it was drawn from.

format = 1

[study]
id = {text(name)}
title = {text("SYNTHETIC cohort calibrated to: " + study.title)}
design = {text(study.design)}
source = {text("simulated; see truth.json")}
inclusion = {text(study.inclusion)}

[outcome]
name = {text(study.outcome.name)}
direction = {text(study.outcome.direction)}
synergy_on = {text(study.outcome.synergy_on)}

{treatments}[subgroups.kidney]
name = "disease of the kidney"
groups = {{ mild = "mild kidney disease", moderate = "moderate kidney disease", severe = "severe kidney disease" }}

[patients]
file = {text(f"{name}.csv")}
outcome = "response"
patient = "patient"
treatments = {{ {columns} }}
{columns_of_levels}subgroups = {{ kidney = "kidney" }}
covariates = {{ age = "continuous", activity = "continuous", kidney = "categorical" }}
cluster = "period"
"""
