"""Unmeasured confounding: what a fit that allows for it says, and how much of it would overturn a conclusion.

How it is stated is told in `cotreat.effects.confounding`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.special import ndtri

from cotreat import laplace
from cotreat.batch import WAIST, Answer, Specification, fit_many
from cotreat.catalogue import Model, find_model
from cotreat.estimands import (
    EVERY,
    Estimand,
    Waist,
    availability,
    enumerate_estimands,
    full_label,
    is_beyond_null,
    is_measure,
)
from cotreat.evidence.claims import printed, share_orders
from cotreat.given import Given
from cotreat.model import build, given_of
from cotreat.names import DECIDED, EXTRAPOLATED, INTERVAL, OBSERVED
from cotreat.normals import terms
from cotreat.priors import BIAS, Prior, PriorSet
from cotreat.regimens import NONE, parse
from cotreat.sampling import prepare_jax
from cotreat.standardised import Density
from cotreat.study import Study
from cotreat.vectorised import labelled

SINGLE_SD = float(np.log(2) / ndtri(0.975))
PRODUCT_SD = SINGLE_SD / 2
"""SDs of a plausible bias: of an odds ratio 95 % within a factor of 2 either way, and half of that on the
log scale of a ratio of odds ratios, as interactions are half of effects in the prior set ``weak``."""
PLAUSIBLE = (
    "95 % within a factor of 2 (a pair's: of 1.4) either way: a factor of 2 is the most that a confounder makes "
    "that is 2.2 times (common outcome) to 3.4 times (rare) as frequent with the treatment, and multiplies the "
    "risk as much"
)
KNOWN = "a bias that is taken to be known, to see what it would do"

LARGEST = {"bias_beta": float(np.log(3)), "bias_gamma": float(np.log(2))}
"""How far a tipping-point surface goes, on the log scale."""
WIDER = 0.8
"""Priors that are to hold every bias have this share of the largest one added to their SD, in squares."""
EFFECTIVE, POINTS, LEAST_EFFECTIVE = 4000, 12_000, 100
"""Effective draws that the posterior of what is seen is to have; of its draws so many serve at each bias,
and there so many must be effective."""
DRAWS = 4000
"""Draws of the fit that allows for plausible confounding."""

Array = NDArray[np.float64]


def with_confounding(
    priors: PriorSet,
    *,
    single: tuple[float, float | None] = (0.0, SINGLE_SD),
    products: tuple[float, float | None] = (0.0, PRODUCT_SD),
    reason: str = PLAUSIBLE,
    name: str = "",
) -> PriorSet:
    """Return a prior set that states unmeasured confounding too.

    Parameters
    ----------
    single, products
        Mean and SD of the log of the factor by which confounding has multiplied, in the evidence, the odds ratio of
        each treatment and the ratio of odds ratios of each pair. No SD states a bias that is known. Above 0 on
        the log scale means that the evidence shows too large a ratio.
    reason
        Why these numbers.
    name
        Of the new set; by default the old one's with ``-confounded``.

    Examples
    --------
    >>> study = load_study("sun2024")
    >>> fit(study, "interaction", with_confounding(prior_set("weak", study)))
    """
    chosen_by = "default" if reason == PLAUSIBLE else "user"
    rows = tuple(
        Prior(variable, "Normal", *numbers, BIAS[variable], reason, chosen_by)
        for variable, numbers in zip(BIAS, (single, products), strict=True)
    )
    others = tuple(row for row in priors.rows if row.variable not in BIAS)
    return replace(priors, name=name or f"{priors.name}-confounded", rows=(*others, *rows))


# --- Tipping points --------------------------------------------------------------------------------

FOR, TOWARDS, AGAINST_LEANS, AGAINST = STANDINGS = (
    "decided: beyond the null",
    "leans beyond the null",
    "leans short of the null",
    "decided: short of the null",
)
"""Where a probability stands, from the highest to the lowest."""


def standing(probability: float) -> str:
    """Say where a probability of lying beyond the null stands; empty for none."""
    if np.isnan(probability):
        return ""
    return STANDINGS[sum((probability < DECIDED, probability < 0.5, probability <= 1 - DECIDED))]


@dataclass(frozen=True)
class Surface:
    """What becomes of one conclusion under known biases of single treatments and of products.

    Attributes
    ----------
    single, products : ndarray, shape (step,)
        Log of the factors, from below 0 to above it.
    probability : ndarray, shape (step, step)
        Of lying beyond the null, by bias of single treatments (rows) and of products (columns); NaN where
        it cannot be told.
    estimate, lower, upper : ndarray, shape (step, step)
        Posterior median and interval.
    """

    estimand: Estimand
    availability: str
    single: Array
    products: Array
    probability: Array
    estimate: Array
    lower: Array
    upper: Array

    @property
    def label(self) -> str:
        """The estimand with its background, if that tells anything."""
        background = self.estimand.background
        if background == NONE or background.startswith(EVERY):
            return self.estimand.label
        return full_label(self.estimand)

    @property
    def centre(self) -> tuple[int, int]:
        """Where there is no bias."""
        return (len(self.single) // 2, len(self.products) // 2)

    @property
    def unbiased(self) -> dict[str, float]:
        """Estimate, limits and probability where there is no bias."""
        return {name: float(getattr(self, name)[self.centre]) for name in PARTS}

    @property
    def standing(self) -> str:
        """What is concluded where there is no bias."""
        return standing(self.unbiased["probability"])

    @property
    def is_decided(self) -> bool:
        """Whether it is decided where there is no bias."""
        return self.standing in (FOR, AGAINST)

    def tipping(self, level: float) -> tuple[float, float]:
        """Return the factors of single treatments alone, and of products alone, that reach a probability.

        Those nearest to 1; NaN where none on the surface does.
        """
        row, column = self.centre
        return (
            _crossing(self.single, self.probability[:, column], level),
            _crossing(self.products, self.probability[row], level),
        )


PARTS = ("estimate", "lower", "upper", "probability")


def _crossing(bias: Array, probability: Array, level: float) -> float:
    """Interpolate on the scale of normal deviates, where a normal posterior's probability is a line."""
    # As many draws as there are tell no deviate beyond that of one of them.
    z = ndtri(np.clip(probability, 1 / POINTS, 1 - 1 / POINTS)) - ndtri(level)
    at = np.flatnonzero(z[:-1] * z[1:] <= 0)
    if not len(at):
        return np.nan
    found = bias[at] - z[at] * np.diff(bias)[at] / np.diff(z)[at]
    return float(np.exp(found[np.abs(found).argmin()]))


def tips(model: Model) -> bool:
    """Tell whether `surfaces` takes a model: one whose parameters can take all of a bias upon them."""
    return {"beta", "gamma"} <= set(model.parameters) or {"beta", "mu"} <= set(model.parameters)


def surfaces(
    study: Study, model: str, priors: PriorSet, *, steps: int, seed: int
) -> tuple[list[Surface], list[str]]:
    """Answer every conclusion under a grid of known biases, the same for all treatments and for all pairs.

    Parameters
    ----------
    model
        One that `tips` takes.
    steps
        Biases on each side of 0.

    Returns
    -------
    list of Surface
        One for each entry of `conclusions`; none where the fit could not be used.
    list of str
        What could not be told, in words.

    Raises
    ------
    ModelError
        If the study was randomised, or cannot go with model or priors.

    Notes
    -----
    What the evidence sees, β + bias, has one likelihood under all biases. So one distribution of it is
    approximated, under priors wide enough for every bias, and its draws serve at each: moved by the
    bias, and weighted by that posterior's density over the proposal's. Pareto-smoothed weights say where that
    cannot be trusted.
    """
    prepare_jax()
    found = find_model(model, study)
    grid = [LARGEST[name] * np.arange(-steps, steps + 1) / steps for name in BIAS]

    def biased(single: float, products: float) -> PriorSet:
        own = with_confounding(
            priors, single=(single, None), products=(products, None), reason=KNOWN
        )
        return own.only(found, study)

    unbiased = biased(0.0, 0.0)
    density = Density(build(study, found, unbiased), share_orders(printed(study)))
    names = ("beta", "mu" if "mu" in found.parameters else "gamma")
    wide = unbiased
    for name, largest in zip(names, LARGEST.values(), strict=True):
        sd = float(np.hypot(unbiased[name].numbers()["sigma"], WIDER * largest))
        wide = wide.change(name, sigma=sd, name="wide", reason="wide enough for every bias")
    seen = laplace.approximate(
        density.surface(given_of(study, found, wide)),
        density.start,
        density.spreads,
        effective=EFFECTIVE,
        seed=seed,
    )
    if seen.verdict == laplace.BAD:
        return [], [
            f"tipping points: Pareto k {seen.pareto_k:.2f} of the posterior of what is seen"
        ]
    points = seen.points[:POINTS]
    proposal = seen.proposal.log_density(terms(points))
    told: dict[tuple[int, int], _Told | None] = {}
    for at in np.ndindex(*map(len, grid)):
        bias = [float(own[i]) for own, i in zip(grid, at, strict=True)]
        numbers = given_of(study, found, biased(*bias))
        moved = points.copy()
        for name, own in zip(names, bias, strict=True):
            moved[:, density.columns(name)] -= own
        weights, k = laplace.smoothed(density.surface(numbers)(moved) - proposal)
        usable = k < laplace.BAD_K and 1 / np.sum(weights**2) >= LEAST_EFFECTIVE
        told[at] = _Told(weights, _waist(density, moved, numbers, study)) if usable else None
    middle = told[(steps, steps)]
    if middle is None:
        return [], ["tipping points: no draws to be used without bias"]
    bad = sum(one is None for one in told.values())
    words = [f"tipping points: {bad} of {len(told)} biases could not be told"] if bad else []
    asked = conclusions(study, found, middle.waist)
    return [_surface(e, available, grid, told) for e, available in asked], words


@dataclass(frozen=True)
class _Told:
    """Draws under one bias, and their weights."""

    weights: Array
    waist: xr.Dataset


def _waist(density: Density, points: Array, numbers: Given, study: Study) -> xr.Dataset:
    waist = labelled(density.built, density.deterministics(WAIST, points, numbers), 1)
    risk = waist["risk"].assign_attrs(risk_kind=study.risk_kind)
    return waist.assign(risk=risk)


def conclusions(study: Study, model: Model, waist: Waist) -> list[tuple[Estimand, str]]:
    """List what confounding might overturn, with availabilities.

    First the odds ratio of each combination against itself less one treatment, where the evidence determines
    it; then the ratio of odds ratios of each pair and its interaction contrast of risks, or, where risks are
    not identified, of odds, each on the first background where it is observed, or else can be told.
    """
    ratios, measures = [], {}
    additive = "reri_or" if study.is_case_control else "ic"
    for e in enumerate_estimands(study, model):
        if e.measure is None and not e.label.startswith("odds_ratio["):
            continue
        is_asked = any(is_measure(e, name) for name in ("ror", additive)) and e.is_judged
        if e.measure is not None and not is_asked:
            continue
        available = availability(e, study, model, waist)
        if e.measure is None:
            if available == OBSERVED and _is_less_one(e):
                ratios.append((e, available))
        elif available in (OBSERVED, EXTRAPOLATED):
            key = (e.measure.name, e.pair)
            if key not in measures or (available == OBSERVED != measures[key][1]):
                measures[key] = (e, available)
    order = sorted(measures, key=lambda key: key[0] != "ror")
    return ratios + [measures[key] for key in order]


def _is_less_one(estimand: Estimand) -> bool:
    if len(estimand.arms) != 2:
        return False
    arm, against = map(parse, estimand.arms)
    return bool(against) and against < arm and len(arm - against) == 1


def _surface(
    estimand: Estimand,
    available: str,
    grid: Sequence[Array],
    told: Mapping[tuple[int, int], _Told | None],
) -> Surface:
    values = np.full((len(PARTS), *map(len, grid)), np.nan)
    for at, one in told.items():
        if one is not None:
            draws = estimand.values(one.waist).values.ravel()
            ends = _quantiles(draws, one.weights, [0.5, _TAIL, 1 - _TAIL])
            beyond = is_beyond_null(estimand, one.waist).values.ravel()
            values[(slice(None), *at)] = [*ends, float(one.weights @ beyond)]
    return Surface(estimand, available, *grid, **dict(zip(PARTS, values, strict=True)))


_TAIL = (1 - INTERVAL) / 2


def _quantiles(draws: Array, weights: Array, shares: Sequence[float]) -> Array:
    """Return quantiles of weighted draws."""
    order = np.argsort(draws)
    own = weights[order]
    return np.interp(shares, np.cumsum(own) - own / 2, draws[order])


# --- Confounding that is allowed for ---------------------------------------------------------------


def allowed(
    study: Study, model: str, priors: PriorSet, found: Sequence[Surface], *, seed: int
) -> tuple[pd.DataFrame, list[str]]:
    """Answer every conclusion without confounding, and with a plausible one inside the posterior.

    Returns
    -------
    DataFrame
        Two rows for each conclusion, told apart by ``confounding``: ``none`` and ``plausible``.
    list of str
        What could not be told, in words.
    """
    (answer,) = fit_many(
        [Specification(study, model, with_confounding(priors))], draws=DRAWS, seed=seed
    )
    is_bad = answer.verdict == laplace.BAD
    rows = []
    for one in found:
        after = dict.fromkeys(PARTS, np.nan) if is_bad else _of_answer(one.estimand, answer)
        for words, told in (("none", one.unbiased), ("plausible", after)):
            rows.append(
                {
                    **_named(one),
                    "confounding": words,
                    **told,
                    "standing": standing(told["probability"]),
                }
            )
    words = [f"plausible confounding: Pareto k {answer.pareto_k:.2f}"] if is_bad else []
    return pd.DataFrame(rows), words


def _of_answer(estimand: Estimand, answer: Answer) -> dict[str, float]:
    ends = np.quantile(estimand.values(answer.waist).values, [0.5, _TAIL, 1 - _TAIL])
    beyond = float(is_beyond_null(estimand, answer.waist).mean())
    return dict(zip(PARTS, [*map(float, ends), beyond], strict=True))


# --- As tables -------------------------------------------------------------------------------------


def grid_table(found: Sequence[Surface]) -> pd.DataFrame:
    """List every conclusion at every bias, which stands as a factor."""
    rows = []
    for one in found:
        for i, j in np.ndindex(*one.probability.shape):
            now = standing(float(one.probability[i, j]))
            rows.append(
                {
                    **_named(one),
                    "single_factor": np.exp(one.single[i]),
                    "product_factor": np.exp(one.products[j]),
                    **{name: getattr(one, name)[i, j] for name in PARTS},
                    "standing": now,
                    "is_overturned": bool(now) and now != one.standing,
                }
            )
    return pd.DataFrame(rows)


def points_table(found: Sequence[Surface]) -> pd.DataFrame:
    """List for each conclusion the factors at which it tips: to undecided, and to the other side."""
    return pd.DataFrame([row for one in found for row in _points(one)])


def _points(one: Surface) -> Iterator[dict[str, Any]]:
    near = DECIDED if one.unbiased["probability"] >= 0.5 else 1 - DECIDED
    for level in (near, 0.5) if one.is_decided else (0.5,):
        single, products = one.tipping(level)
        yield {
            **_named(one),
            **one.unbiased,
            "standing": one.standing,
            "tips_at": f"P {level:g}" + ("" if level == 0.5 else ": interval reaches the null"),
            "single_factor": single,
            "product_factor": products,
        }


def _named(one: Surface) -> dict[str, str]:
    e = one.estimand
    return {
        "estimand": e.label,
        "background": e.background,
        "scale": e.scale,
        "availability": one.availability,
    }
