"""A synthetic cohort in the image of a study of which only printed numbers are known."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.special import expit, softmax

from cotreat.evidence.joint_distribution import joint_distribution
from cotreat.evidence.logistic_operator import Coefficient, Regressions, coefficient
from cotreat.evidence.reported import (
    ReportedEstimates,
    estimates_of,
    link_value,
    standard_error,
)
from cotreat.evidence.reported_data import observed
from cotreat.study.regimens import parse, treatment_of
from cotreat.study.study import Stratification, Study
from cotreat.study_file.shape import SCHEMA_LINE

SYNTHETIC = "synthetic"
SIGMA = 0.8
"""SD of the log-odds between patients of one regimen: assumed, nobody printed it."""
MIDDLE = float(np.log(0.28 / 0.72))
"""Log-odds of a regimen of which print says nothing."""
WEAK_SD, SHARE_SD = 1.0, 1.0
"""How far log-odds and sizes that print leaves open may lie from the middle."""
CONTINUOUS = ("age", "activity")
EFFECTS = {"age": -0.3, "activity": -0.7, "kidney=moderate": -0.2, "kidney=severe": -0.5}
"""Log odds ratios of made-up covariates, by SD of a continuous one, before they are scaled to `SIGMA`."""
PERIODS = ("2010-2013", "2014-2017", "2018-2021")
PERIOD_SD = 0.2


class SimulationError(ValueError):
    """A study in whose image no cohort can be made."""


@dataclass(frozen=True)
class Level:
    """A level of a treatment beside that which tells regimens apart.

    Attributes
    ----------
    share : float
        Of the patients on the treatment.
    log_odds : float
        What it adds to the log-odds of their regimen.
    """

    share: float
    log_odds: float


@dataclass(frozen=True)
class Truth:
    """What a synthetic cohort is drawn from.

    Attributes
    ----------
    log_odds : dict
        By regimen, told by dose where the study has doses, for a patient whose covariates have their
        means.
    sizes : dict
        Patients by regimen.
    sigma : float
        SD of the log-odds between patients of one regimen.
    levels : dict
        By level of another division, such as a duration; independent of the regimen.
    """

    log_odds: dict[str, float]
    sizes: dict[str, int]
    sigma: float
    levels: dict[str, Level]


def truth_of(study: Study, patients: int) -> Truth:
    """Find log-odds and sizes that make what is printed of a study, as near the middle as may be.

    Raises
    ------
    SimulationError
        If the study prints no totals and odds ratios to be matched.
    """
    first, *others = [own.id for own in study.stratifications if own.is_graded] or [""]
    told = study.resolve(strata=first)
    log_odds, n = _solved(told)
    sizes = whole_sizes(told, n, patients)
    levels: dict[str, Level] = {}
    for other in others:
        levels |= _levels(study.resolve(strata=other), told, log_odds, n)
    return Truth(
        dict(zip(told.present, np.round(log_odds, 3).tolist(), strict=True)),
        dict(zip(told.present, sizes.tolist(), strict=True)),
        SIGMA,
        levels,
    )


def whole_sizes(study: Study, n: NDArray[np.float64], patients: int) -> NDArray[np.int64]:
    """Round sizes by regimen to so many patients, set by set, so that the printed totals hold."""
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
    """Return log-odds and sizes by regimen that make what is printed, each of shape (present,)."""
    return solved(study, lambda log_odds: log_odds, np.full(len(study.present), MIDDLE))


def solved(
    study: Study,
    log_odds_of: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    start: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Find parameters of log-odds, and sizes, that make what is printed, as near the middle as may be.

    Parameters
    ----------
    log_odds_of
        Log-odds by regimen, shape (present,), of parameters of the shape of `start`.

    Returns
    -------
    parameters, sizes : ndarray

    Raises
    ------
    SimulationError
        If the study prints no totals and odds ratios to be matched.
    """
    numbers = estimates_of(study)
    if numbers is None or not numbers.sizes.are_known or numbers.sizes.polytope is not None:
        raise SimulationError(
            f"{study.id} cannot be simulated: a cohort is made in the image of printed odds ratios and "
            "of totals that do not overlap"
        )

    def misfit(at: NDArray[np.float64]) -> NDArray[np.float64]:
        log_odds = log_odds_of(at[: len(start)])
        return _misfit(numbers, np.concatenate([log_odds, at[len(start) :]]), MIDDLE)

    found = least_squares(misfit, np.concatenate([start, np.zeros(len(study.present))])).x
    return found[: len(start)], _sizes(numbers, found[len(start) :])


def _levels(
    study: Study, told: Study, log_odds: NDArray[np.float64], n: NDArray[np.float64]
) -> dict[str, Level]:
    """Find what levels of a further division add to the log-odds of regimens told by the first one.

    What is printed of each level is made, and what is printed of the treatment as a whole is kept.

    Parameters
    ----------
    study
        Told by the further division.
    told
        Told by the first one, with `log_odds` and sizes `n` by regimen.
    """
    numbers = estimates_of(study)
    assert numbers is not None  # noqa: S101 - `_solved` was asked before
    _, sizes = _solved(study)
    found: dict[str, Level] = {}
    for treatment, parts in study.levels.items():
        share = np.array([sizes[[part in parse(r) for r in study.present]].sum() for part in parts])
        share /= share.sum()
        wanted = {
            parts.index(reported_estimate.meaning.words[0]): link_value(reported_estimate)
            for reported_estimate in numbers.odds_ratios
            if reported_estimate.meaning is not None and reported_estimate.meaning.words[0] in parts
        }
        treated = told.members(treatment, told.present)
        added = _added(treated, log_odds, n, share, wanted)
        pairs = zip(share.round(3), added.round(3), strict=True)
        found |= {p: Level(*map(float, one)) for p, one in zip(parts, pairs, strict=True)}
    return found


def _added(
    treated: NDArray[np.bool_],
    log_odds: NDArray[np.float64],
    n: NDArray[np.float64],
    share: NDArray[np.float64],
    wanted: dict[int, float],
) -> NDArray[np.float64]:
    """Solve for what each level adds, shape (level,), with every regimen split by the levels' shares."""
    count = len(share)
    level = np.concatenate(
        [np.full(int((~treated).sum()), -1), np.tile(np.arange(count), treated.sum())]
    )
    base = np.concatenate([log_odds[~treated], np.repeat(log_odds[treated], count)])
    size = np.concatenate([n[~treated], np.outer(n[treated], share).ravel()])
    without = level < 0
    sides = [(level == at) for at in wanted] + [~without]
    regressions = Regressions(tuple(_against(side, without) for side in sides))
    whole = regressions.law(np, base, SIGMA, size).mean[-1]
    goal = np.array([*wanted.values(), whole])

    def misfit(added: NDArray[np.float64]) -> NDArray[np.float64]:
        moved = base + np.where(without, 0.0, added[level])
        off = regressions.law(np, moved, SIGMA, size).mean - goal
        return np.concatenate([100 * off, 0.1 * added])  # levels that nobody printed stay near 0

    return least_squares(misfit, np.zeros(count)).x


def _against(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Coefficient:
    """Return the log odds ratio of some arms against others, adjusted as the printed ones are."""
    columns = np.column_stack([np.ones(len(first)), first])
    return coefficient(columns, np.array([0.0, 1.0]), first | second, is_adjusted=True)


def rounded(parts: NDArray[np.float64], total: int) -> NDArray[np.int64]:
    """Round parts to whole numbers of a given sum, by largest remainders."""
    whole = np.floor(parts).astype(int)
    whole[np.argsort(whole - parts)[: total - whole.sum()]] += 1
    return whole


def _sizes(numbers: ReportedEstimates, free: NDArray[np.float64]) -> NDArray[np.float64]:
    n = numbers.sizes.fixed.copy()
    for arms, total in numbers.sizes.blocks:
        n[list(arms)] = total * softmax(free[list(arms)])
    return n


def _misfit(
    numbers: ReportedEstimates, at: NDArray[np.float64], middle: float
) -> NDArray[np.float64]:
    """Measure in SDs how far a point is from what is printed, and from the middle."""
    count = len(numbers.study.present)
    log_odds, free = at[:count], at[count:]
    law = joint_distribution(np, numbers, log_odds, SIGMA, 0.0, _sizes(numbers, free), 0.0)
    data = observed(numbers)
    kept = [row for row in numbers.kept if not data.is_tail[row]]
    # Ten times tighter than sampling error: the cohort then differs from print by that error alone.
    off = 10 * (data.values - law.mean)[kept] / np.sqrt(np.diag(law.covariance))[kept]
    widths = np.log(
        [standard_error(reported_estimate) for reported_estimate in numbers.odds_ratios]
    )
    wide = (widths - law.width) / law.width_sd
    return np.concatenate([off, wide, (log_odds - middle) / WEAK_SD, free / SHARE_SD])


def draw_cohort(study: Study, truth: Truth, seed: int) -> tuple[pd.DataFrame, dict[str, float]]:
    """Draw patients, one row each, and return with them the log odds ratios of their covariates.

    Covariates are made up and independent of the regimen.
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
    """Return the columns of treatments and their levels, and what further levels add to log-odds."""
    regimens = list(map(parse, labels))
    columns = {
        t.lower(): np.array([int(any(treatment_of(p) == t for p in own)) for own in regimens])
        for t in study.treatment_ids
    }
    added = np.zeros(len(labels))
    for strata in _graded(study):
        for treatment, parts in strata.levels.items():
            given = columns[treatment.lower()] == 1
            if set(parts) <= set(truth.levels):
                share = np.array([truth.levels[part].share for part in parts])
                at = rng.choice(len(parts), len(labels), p=share / share.sum())
                more = np.array([truth.levels[part].log_odds for part in parts])
                added += np.where(given, more[at], 0.0)
            else:
                at = np.array(
                    [next((i for i, p in enumerate(parts) if p in own), 0) for own in regimens]
                )
            names = np.array([part.partition(".")[2] for part in parts])
            columns[_column(treatment, strata)] = np.where(given, names[at], "")
    return columns, added


def _graded(study: Study) -> list[Stratification]:
    return [strata for strata in study.stratifications if strata.is_graded]


def _column(treatment: str, strata: Stratification) -> str:
    return f"{treatment.lower()}_{strata.id}"


def simulate(study: Study, patients: int, seed: int, out: Path) -> Path:
    """Write a synthetic cohort, its study file and its truth into a folder; return the study file."""
    truth = truth_of(study, patients)
    name = f"{study.id}-{SYNTHETIC}"
    folder = out / name
    folder.mkdir(parents=True, exist_ok=True)
    frame, effects = draw_cohort(study, truth, seed)
    frame.to_csv(folder / f"{name}.csv", index=False)
    said = {
        "what": "SYNTHETIC: parameters that the cohort beside was drawn from; no patient is real",
        "seed": seed,
        "covariates": "made up, and independent of the regimen",
        **asdict(truth),
        "effects": effects,
    }
    (folder / "truth.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    path = folder / f"{name}.toml"
    path.write_text(_study_file(study, name), encoding="utf-8")
    return path


def _study_file(study: Study, name: str) -> str:
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
