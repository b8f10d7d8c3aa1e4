"""Unmeasured confounding: what a fit that allows for it says, and how much of it would overturn a conclusion.

How it is stated is told in `cotreat.models.confounding`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.special import ndtri

from cotreat.core.constants import DECIDED, IDENTIFIED, INTERVAL
from cotreat.estimands.enumerate import enumerate_estimands
from cotreat.estimands.estimand import (
    Estimand,
    Waist,
    is_beyond_null,
    is_combination_ratio,
    is_measure,
)
from cotreat.estimands.identification import Identification, Status, asked
from cotreat.evidence.reported import printed, share_orders
from cotreat.inference import laplace
from cotreat.inference.batch import WAIST
from cotreat.inference.gaussian_mixture import terms
from cotreat.inference.sampling import prepare_jax
from cotreat.inference.standard_coordinates import Density
from cotreat.inference.vectorise import labelled
from cotreat.models.build import build, given_of
from cotreat.models.registry import Model, find_model
from cotreat.priors.sets import BIAS, Prior, PriorSet
from cotreat.study.study import Study

SINGLE_SD = float(np.log(2) / ndtri(0.975))
PRODUCT_SD = SINGLE_SD / 2
"""SDs of a plausible bias: of an odds ratio 95 % within a factor of 2 either way, and half of that on the
log scale of a ratio of odds ratios, as interactions are half of effects in the prior set ``weak``."""
COMBINED_SD = float(np.hypot(SINGLE_SD, PRODUCT_SD))
"""That of the odds ratio of a combination against itself less one treatment, which both move."""
PLAUSIBLE = (
    "95 % within a factor of 2 (a pair's: of 1.4) either way: a factor of 2 is the most that a confounder makes "
    "that is 2.2 times (common outcome) to 3.4 times (rare) as frequent with the treatment, and multiplies the "
    "risk as much"
)


def within(sd: float) -> float:
    """Return the factor within which 95 % of a bias of some SD lies, either way."""
    return float(np.exp(ndtri(0.975) * sd))


KNOWN = "a bias that is taken to be known, to see what it would do"

LARGEST = {"bias_beta": float(np.log(3)), "bias_gamma": float(np.log(2))}
"""How far a tipping-point surface goes, on the log scale."""
WIDER = 1.2
"""Priors that are to hold every bias have so many times the largest one added to their SD, in squares: at 0.8 more of
the far biases of the tacrolimus cohort cannot be told."""
TRIES = 2
"""Approximations that are made, with seeds of their own, until one can be used."""
SEEN_EFFECTIVE = 2000
"""Effective draws that the posterior of what is seen is to have."""
POINTS, ROUNDS, LEAST_EFFECTIVE = 12_000, 4, 400
"""Draws of it that serve at each bias; so many times as many at most where fewer are effective than must be."""

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
    mc_error, effective : ndarray, shape (step, step)
        Standard error of the probability, and the effective draws behind it.
    plausible : dict
        The same numbers by name where biases are not known but plausible (`with_confounding`).
    """

    estimand: Estimand
    status: Status
    single: Array
    products: Array
    probability: Array
    estimate: Array
    lower: Array
    upper: Array
    mc_error: Array
    effective: Array
    plausible: Mapping[str, float]

    @property
    def label(self) -> str:
        """The estimand with its co-treatment."""
        return self.estimand.label

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


PARTS = ("estimate", "lower", "upper", "probability", "mc_error", "effective")


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

    And under biases that are not known but plausible, each of its own.

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
    cannot be trusted; where too few are effective more draws are made, up to `ROUNDS` times as many.
    """
    prepare_jax()
    found = find_model(model, study)
    seen, pareto_k = _seen(study, found, priors, seed)
    if seen is None:
        return [], [f"tipping points: Pareto k {pareto_k:.2f} of the posterior of what is seen"]
    grid = [LARGEST[name] * np.arange(-steps, steps + 1) / steps for name in BIAS]
    biases = {
        at: [float(own[i]) for own, i in zip(grid, at, strict=True)]
        for at in np.ndindex(*map(len, grid))
    }
    told = {at: seen.under(bias) for at, bias in biases.items()}
    middle = told[(steps, steps)]
    if middle is None:
        return [], ["tipping points: no draws to be used without bias"]
    allowed = seen.allowed(seed)
    words = ["plausible confounding could not be told"] * (allowed is None)
    bad = sum(one is None for one in told.values())
    if bad:
        words.append(f"tipping points: {bad} of {len(told)} biases could not be told")
    wanted = conclusions(study, found, middle.waist)
    return [_surface(e, status, grid, told, allowed) for e, status in wanted], words


@dataclass(frozen=True)
class _Told:
    """Draws under some bias, and their weights."""

    weights: Array
    waist: xr.Dataset


_Round = tuple[Array, Array]


@dataclass(frozen=True)
class _Seen:
    """Draws of what the evidence sees, in the coordinates of the model with known biases.

    Attributes
    ----------
    names : tuple of str
        The variables that can take a bias of single treatments, and one of products, upon them.
    drawn : list of (ndarray, ndarray)
        Points, and the log density that they were drawn with, in rounds of `POINTS`.
    more : callable
        Draws another round.
    """

    study: Study
    model: Model
    priors: PriorSet
    names: tuple[str, str]
    density: Density
    drawn: list[_Round]
    more: Callable[[], _Round]

    def under(self, bias: Sequence[float]) -> _Told | None:
        """Weight the draws for a known bias; None where they cannot tell."""
        chosen = _known(self.priors, *bias)

        def moved(points: Array, proposal: Array) -> _Round:
            points = points.copy()
            for name, own in zip(self.names, bias, strict=True):
                points[:, self.density.columns(name)] -= own
            return points, proposal

        return self._told(self.density, chosen, moved)

    def allowed(self, seed: int) -> _Told | None:
        """Weight the draws, each with biases of its own drawn from what is plausible.

        Products that are drawn from one distribution take the mean of their biases upon its mean.
        """
        chosen = with_confounding(self.priors)
        density = _density(self.study, self.model, chosen)
        rng = np.random.default_rng(seed)

        def moved(seen: Array, proposal: Array) -> _Round:
            points, proposal = np.empty((len(seen), density.size)), proposal.copy()
            for rv in self.density.built.free_RVs:
                points[:, density.columns(rv.name)] = seen[:, self.density.columns(rv.name)]
            for variable, name in zip(BIAS, self.names, strict=True):
                columns = density.columns(f"{variable}_z")
                z = rng.normal(size=(len(points), len(columns)))
                points[:, columns] = z
                proposal -= 0.5 * (z**2 + np.log(2 * np.pi)).sum(1)
                bias = z * chosen[variable].numbers()["sigma"]
                own = density.columns(name)
                points[:, own] -= bias if len(own) == len(columns) else bias.mean(1, keepdims=True)
            return points, proposal

        return self._told(density, chosen, moved)

    def _told(
        self, density: Density, priors: PriorSet, moved: Callable[[Array, Array], _Round]
    ) -> _Told | None:
        """Weight rounds of draws, each moved to another posterior, until enough are effective."""
        numbers = given_of(self.study, self.model, priors)
        surface = density.surface(numbers)
        points, logs = np.empty((0, density.size)), np.empty(0)
        for at in range(ROUNDS):
            if at == len(self.drawn):
                self.drawn.append(self.more())
            new, proposal = moved(*self.drawn[at])
            points, logs = (
                np.concatenate([points, new]),
                np.concatenate([logs, surface(new) - proposal]),
            )
            weights, k = laplace.smoothed(logs)
            if 1 / np.sum(weights**2) >= LEAST_EFFECTIVE:
                break
        else:
            return None
        if k >= laplace.BAD_K:
            return None
        waist = labelled(density.built, density.deterministics(WAIST, points, numbers), 1)
        risk = waist["risk"].assign_attrs(risk_kind=self.study.risk_kind)
        return _Told(weights, waist.assign(risk=risk))


def _known(priors: PriorSet, single: float, products: float) -> PriorSet:
    return with_confounding(priors, single=(single, None), products=(products, None), reason=KNOWN)


def _density(study: Study, model: Model, priors: PriorSet) -> Density:
    return Density(build(study, model, priors), share_orders(printed(study)))


def _seen(study: Study, model: Model, priors: PriorSet, seed: int) -> tuple[_Seen | None, float]:
    """Approximate the distribution of what is seen; nothing where it cannot be used, and Pareto's k."""
    priors = priors.only(model, study)
    wide = _known(priors, 0.0, 0.0).only(model, study)
    density = _density(study, model, wide)
    names = ("beta", "mu" if "mu" in model.parameters else "gamma")
    for name, largest in zip(names, LARGEST.values(), strict=True):
        sd = float(np.hypot(priors[name].numbers()["sigma"], WIDER * largest))
        wide = wide.change(name, sigma=sd, name="wide", reason="wide enough for every bias")
    surface = density.surface(given_of(study, model, wide))
    for own in range(seed, seed + TRIES):
        found = laplace.approximate(
            surface, density.start, density.spreads, effective=SEEN_EFFECTIVE, seed=own
        )
        if found.verdict != laplace.BAD:
            break
    if found.verdict == laplace.BAD:
        return None, found.pareto_k
    normals, rng = found.proposal.normals, np.random.default_rng(seed)

    def drawn() -> _Round:
        points = normals.draw(POINTS, rng)
        return points, normals.log_density(terms(points))

    return _Seen(study, model, priors, names, density, [drawn()], drawn), found.pareto_k


def conclusions(study: Study, model: Model, waist: Waist) -> list[tuple[Estimand, Status]]:
    """List what confounding might overturn, with their identification.

    First the odds ratio of each combination against itself less one treatment, where the evidence determines
    it; then the ratio of odds ratios of each pair and its interaction contrast of risks, or, where risks are
    not identified, of odds, each on the first background where it is observed, or else can be told.
    """
    ratios: list[tuple[Estimand, Status]] = []
    measures: dict[tuple[str, str], tuple[Estimand, Status]] = {}
    additive = "reri_or" if study.is_case_control else "ic"
    identification = Identification(study, model, waist)
    for e in enumerate_estimands(study, model):
        if e.synergy is None and not e.is_odds_ratio:
            continue
        is_asked = any(is_measure(e, name) for name in ("ror", additive)) and e.is_judged
        if e.synergy is not None and not is_asked:
            continue
        status = identification.of(e)
        if e.synergy is None:
            if status.name == IDENTIFIED and is_combination_ratio(e, against_none=False):
                ratios.append((e, status))
        elif status.is_open:
            key = (e.measure, e.pair)
            if key not in measures or (status.name == IDENTIFIED != measures[key][1].name):
                measures[key] = (e, status)
    order = sorted(measures, key=lambda key: key[0] != "ror")
    return ratios + [measures[key] for key in order]


def _surface(
    estimand: Estimand,
    status: Status,
    grid: Sequence[Array],
    told: Mapping[tuple[int, ...], _Told | None],
    allowed: _Told | None,
) -> Surface:
    values = np.full((len(PARTS), *map(len, grid)), np.nan)
    for at, one in told.items():
        values[:, at[0], at[1]] = _numbers(estimand, one)
    plausible = dict(zip(PARTS, _numbers(estimand, allowed), strict=True))
    parts = dict(zip(PARTS, values, strict=True))
    single, products = grid
    return Surface(estimand, status, single, products, **parts, plausible=plausible)


def _numbers(estimand: Estimand, one: _Told | None) -> list[float]:
    """Return the numbers of `PARTS`."""
    if one is None:
        return [np.nan] * len(PARTS)
    draws = estimand.values(one.waist).values.ravel()
    beyond = is_beyond_null(estimand, one.waist).values.ravel()
    probability = float(one.weights @ beyond)
    # Of a weighted mean (Owen, Monte Carlo theory, methods and examples, 2013, section 9.2).
    error = float(np.sqrt(np.sum((one.weights * (beyond - probability)) ** 2)))
    effective = 1 / float(np.sum(one.weights**2))
    quantiles = _quantiles(draws, one.weights, [0.5, _TAIL, 1 - _TAIL])
    return [*quantiles, probability, max(error, 0.5 / effective), effective]


_TAIL = (1 - INTERVAL) / 2


def _quantiles(draws: Array, weights: Array, shares: Sequence[float]) -> Array:
    """Return quantiles of weighted draws."""
    order = np.argsort(draws)
    own = weights[order]
    return np.interp(shares, np.cumsum(own) - own / 2, draws[order])


# --- As tables -------------------------------------------------------------------------------------


def grid_table(found: Sequence[Surface]) -> pd.DataFrame:
    """List every conclusion at every bias, which stands as a factor; where nothing was told, nothing stands."""
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
                    "is_overturned": now != one.standing if now else None,
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


def allowed_table(found: Sequence[Surface]) -> pd.DataFrame:
    """List each conclusion without confounding, and with a plausible one inside the posterior."""
    rows = [
        {**_named(one), "confounding": words, **told, "standing": standing(told["probability"])}
        for one in found
        for words, told in (("none", one.unbiased), ("plausible", one.plausible))
    ]
    return pd.DataFrame(rows)


def _named(one: Surface) -> dict[str, str]:
    return asked(one.estimand, one.status)
