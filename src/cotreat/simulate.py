"""A synthetic cohort in the image of a study of which only printed numbers are known."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.special import expit, softmax

from cotreat.evidence.claims import Printed, joint_law, observed, printed, standard_error
from cotreat.study import Study

SYNTHETIC = "synthetic"
SIGMA = 0.8
"""SD of the log-odds between patients of one regimen: assumed, nobody printed it."""
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
class Truth:
    """What a synthetic cohort is drawn from.

    Attributes
    ----------
    log_odds : dict
        By regimen, for a patient whose covariates have their means.
    sizes : dict
        Patients by regimen.
    sigma : float
        SD of the log-odds between patients of one regimen.
    """

    log_odds: dict[str, float]
    sizes: dict[str, int]
    sigma: float


def truth_of(study: Study, patients: int) -> Truth:
    """Find log-odds and sizes that make what is printed of a study, as near the middle as may be.

    Raises
    ------
    SimulationError
        If the study prints no totals and odds ratios to be matched.
    """
    numbers = printed(study)
    if numbers is None or not numbers.sizes.are_known or numbers.sizes.polytope is not None:
        raise SimulationError(
            f"{study.id} cannot be simulated: a cohort is made in the image of printed odds ratios and "
            "of totals that do not overlap"
        )
    count = len(study.present)
    middle = np.log(0.28 / 0.72)
    start = np.concatenate([np.full(count, middle), np.zeros(count)])
    found = least_squares(lambda at: _misfit(numbers, at, middle), start)
    n = _sizes(numbers, found.x[count:])
    shares = n * patients / n.sum()
    sizes = np.zeros(count, int)
    # Block by block, so that the printed totals hold.
    known = [at for at in range(count) if numbers.sizes.fixed[at] > 0]
    blocks = [*(arms for arms, _ in numbers.sizes.blocks), *((at,) for at in known)]
    whole = rounded(np.array([shares[list(arms)].sum() for arms in blocks]), patients)
    for arms, total in zip(blocks, whole, strict=True):
        sizes[list(arms)] = rounded(shares[list(arms)], total)
    return Truth(
        dict(zip(study.present, np.round(found.x[:count], 3).tolist(), strict=True)),
        dict(zip(study.present, sizes.tolist(), strict=True)),
        SIGMA,
    )


def rounded(parts: NDArray[np.float64], total: int) -> NDArray[np.int64]:
    """Round parts to whole numbers of a given sum, by largest remainders."""
    whole = np.floor(parts).astype(int)
    whole[np.argsort(whole - parts)[: total - whole.sum()]] += 1
    return whole


def _sizes(numbers: Printed, free: NDArray[np.float64]) -> NDArray[np.float64]:
    n = numbers.sizes.fixed.copy()
    for arms, total in numbers.sizes.blocks:
        n[list(arms)] = total * softmax(free[list(arms)])
    return n


def _misfit(numbers: Printed, at: NDArray[np.float64], middle: float) -> NDArray[np.float64]:
    """Measure in SDs how far a point is from what is printed, and from the middle."""
    count = len(numbers.study.present)
    log_odds, free = at[:count], at[count:]
    law = joint_law(np, numbers, log_odds, SIGMA, 0.0, _sizes(numbers, free), 0.0)
    data = observed(numbers)
    kept = [row for row in numbers.kept if not data.is_tail[row]]
    # Ten times tighter than sampling error: the cohort then differs from print by that error alone.
    off = 10 * (data.values - law.mean)[kept] / np.sqrt(np.diag(law.covariance))[kept]
    widths = np.log([standard_error(claim) for claim in numbers.odds_ratios])
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
    frame = pd.DataFrame(
        {
            SYNTHETIC: True,
            "patient": np.arange(1, count + 1),
            **dict(zip(map(str.lower, study.treatment_ids), _content(study, labels), strict=True)),
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
    log_odds = pd.Series(labels).map(truth.log_odds) + score
    frame["response"] = rng.binomial(1, expit(log_odds))
    return frame, {name: round(float(factor * effect), 4) for name, effect in effects.items()}


def _content(study: Study, labels: NDArray[np.str_]) -> NDArray[np.int64]:
    """Tell which drugs each patient has, 0 or 1, shape (treatment, patient)."""
    known = dict(zip(study.regimens, study.content(study.regimens).astype(int), strict=True))
    return np.array([known[label] for label in labels]).T


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

    treatments = "".join(f"{t.id} = {{ name = {text(t.name)} }}\n" for t in study.treatments)
    columns = ", ".join(f"{t} = {text(t.lower())}" for t in study.treatment_ids)
    return f"""# SYNTHETIC: no patient of this cohort is real. truth.json says what it was drawn from.

[study]
id = {text(name)}
title = {text("SYNTHETIC cohort in the image of: " + study.title)}
design = {text(study.design)}
source = {text("simulated; see truth.json")}
inclusion = {text(study.inclusion)}

[outcome]
name = {text(study.outcome.name)}
direction = {text(study.outcome.direction)}
synergy_on = {text(study.outcome.synergy_on)}

[treatments]
{treatments}
[patients]
file = {text(f"{name}.csv")}
outcome = "response"
patient = "patient"
treatments = {{ {columns} }}
covariates = {{ age = "continuous", activity = "continuous", kidney = "categorical" }}
cluster = "period"
"""
