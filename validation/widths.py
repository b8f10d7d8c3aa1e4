"""Cohorts of four arms published as three odds ratios: posteriors from the widths against those from the counts.

The cohorts are drawn, reported with two decimals and fitted three times: from their counts, and from the reported
estimates with and without the widths of the intervals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import ndtri

from cotreat import parse_study
from cotreat.evidence.reported_predictive import UNREAD
from cotreat.inference import laplace, vectorise
from cotreat.inference.batch import compiled
from cotreat.models.build import given_of
from cotreat.models.registry import MODELS
from cotreat.models.select import priors_for
from cotreat.priors.sets import prior_set
from cotreat.study.study import Study

Array = NDArray[np.float64]

ARMS = ("none", "A", "B", "A+B")
DECIMALS = 2
MODEL = "interaction"
EFFORTS: tuple[dict[str, Any], ...] = (
    {"effective": 10_000},
    {"effective": 20_000, "enough": laplace.ENOUGH},
)
"""Settings of a fit, and of its repetition where it is unreliable."""
DRAWS = 20_000
HEAD = """format = 1
study = { id = "cohort", title = "Simulated", design = "cohort", source = "simulated" }
outcome = { name = "y", direction = "harm" }
treatments = { A = { name = "a" }, B = { name = "b" } }
"""


def counted(events: Array, n: Array) -> Study:
    """Return the study with the counts of each arm.

    Parameters
    ----------
    events, n
        Events and patients by arm of `ARMS`, shape (4,).
    """
    rows = (
        f'{{ regimen = "{arm}", n = {int(size)}, events = {int(count)} }}'
        for arm, count, size in zip(ARMS, events, n, strict=True)
    )
    return parse_study(f"{HEAD}arms = [{', '.join(rows)}]\n")


def reported(events: Array, n: Array, *, with_sizes: bool) -> Study | None:
    """Return the study with three odds ratios against no treatment and the total number of events.

    Parameters
    ----------
    events, n
        Events and patients by arm of `ARMS`, shape (4,).
    with_sizes
        Whether the sizes of the arms are reported.

    Returns
    -------
    Study or None
        None where a regression has no estimate, or a reported number would be 0.00.
    """
    if min(events.min(), (n - events).min()) < 1:
        return None
    log_odds, variance = np.log(events / (n - events)), 1 / events + 1 / (n - events)
    totals = [f'{{ patients = "all", n = {int(n.sum())}, events = {int(events.sum())} }}']
    if with_sizes:
        known = (("A", n[1] + n[3]), ("B", n[2] + n[3]), ("A and B", n[3]))
        totals += [f'{{ patients = "{name}", n = {int(size)} }}' for name, size in known]
    rows = []
    for at in (1, 2, 3):
        error = ndtri(0.975) * np.sqrt(variance[at] + variance[0])
        ends = log_odds[at] - log_odds[0] + error * np.array([-1.0, 0.0, 1.0])
        lower, value, upper = (f"{ratio:.{DECIMALS}f}" for ratio in np.exp(ends))
        if float(lower) == 0:
            return None
        rows.append(
            f'{{ id = "{ARMS[at]}", kind = "odds_ratio", contrast = "{ARMS[at]} vs none", value = {value}, '
            f'ci = [{lower}, {upper}], adjusted = false, source = "simulated" }}'
        )
    return parse_study(f"{HEAD}totals = [{', '.join(totals)}]\nreported = [{', '.join(rows)}]\n")


@dataclass(frozen=True)
class Fitted:
    """A posterior: risks by arm of `ARMS`, and the reliability of its weights.

    Attributes
    ----------
    risk : ndarray, shape (draw, 4)
    verdict : str
    """

    risk: Array
    verdict: str

    @property
    def quantities(self) -> dict[str, Array]:
        """Draws of the log odds ratios, the log ratio of odds ratios and the interaction contrast."""
        return quantities_of(self.risk)


def quantities_of(risk: Array) -> dict[str, Array]:
    """Return log odds ratios against no treatment, the log ratio of odds ratios and the interaction contrast.

    Parameters
    ----------
    risk
        Risks by arm of `ARMS`, shape (draw, 4).

    Returns
    -------
    dict
        Values by name, each shape (draw,).
    """
    log_odds = np.log(risk / (1 - risk))
    ratios = log_odds[:, 1:] - log_odds[:, :1]
    return {
        **{f"odds ratio {arm}": ratios[:, at] for at, arm in enumerate(ARMS[1:])},
        "ratio of odds ratios": ratios[:, 2] - ratios[:, 0] - ratios[:, 1],
        "interaction contrast": risk @ np.array([1.0, -1.0, -1.0, 1.0]),
    }


def fit(study: Study, seed: int, *, with_widths: bool = True) -> Fitted:
    """Fit a study by Laplace's approximation with importance sampling.

    Parameters
    ----------
    study
        As `counted` or `reported` return it.
    seed
        Random seed.
    with_widths
        Whether the widths of the intervals are used.

    Returns
    -------
    Fitted
        The posterior.
    """
    model = MODELS[MODEL]
    priors = priors_for(prior_set("weak", study), model, study)
    density, numbers = compiled(study, model, priors), given_of(study, model, priors)
    if not with_widths:
        numbers = {**numbers, "width rounding": numbers["width rounding"] + UNREAD}
    surface = density.surface(numbers)
    for effort in EFFORTS:
        found = laplace.approximate(surface, density.start, density.spreads, seed=seed, **effort)
        if found.verdict != laplace.UNRELIABLE:
            break
    points = found.resampled(1, DRAWS, np.random.default_rng(seed))[0]
    values = density.deterministics(("risk",), points, numbers)
    draws: xr.Dataset = vectorise.labelled(density.built, values, 1)
    return Fitted(draws["risk"].sel(arm=list(ARMS)).values[0], found.verdict)
