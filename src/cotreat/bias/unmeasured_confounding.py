"""Unmeasured confounding: what a fit that allows for it says, and how much of it would overturn a conclusion.

How it is stated is told in `cotreat.models.confounding`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.special import ndtri

from cotreat.core.constants import CONCLUSIVE, CONDITIONAL, IDENTIFIED, INTERVAL
from cotreat.estimands.enumerate import enumerate_estimands
from cotreat.estimands.estimand import (
    Estimand,
    RiskDraws,
    is_beyond_null,
    is_combination_ratio,
)
from cotreat.estimands.identification import Identification, Status, asked
from cotreat.estimands.measures import odds
from cotreat.evidence.resolve import resolve
from cotreat.inference import laplace
from cotreat.inference.batch import Specification, fit_many
from cotreat.models.registry import Model
from cotreat.priors.defaults import BIAS
from cotreat.priors.prior import PriorSet
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


LARGEST = {"bias_beta": float(np.log(3)), "bias_gamma": float(np.log(2))}
"""How far a tipping-point surface goes, on the log scale."""
EFFECTIVE = 2000
"""Effective draws that the posterior with a plausible bias is to have."""
RAREST = 1e-4
"""Of some thousand draws no probability nearer to 0 or 1 is known."""

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
        replace(BIAS[variable], mu=numbers[0], sigma=numbers[1], reason=reason, chosen_by=chosen_by)
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
    """Say where a probability of lying beyond the null stands."""
    return STANDINGS[
        sum((probability < CONCLUSIVE, probability < 0.5, probability <= 1 - CONCLUSIVE))
    ]


@dataclass(frozen=True)
class Surface:
    """What becomes of one conclusion under known biases of single treatments and of products.

    Attributes
    ----------
    single, products : ndarray, shape (step,)
        Log of the factors, from below 0 to above it.
    estimate, lower, upper : ndarray, shape (step, step)
        Posterior median and interval, by bias of single treatments (rows) and of products (columns).
    probability : ndarray, shape (step, step)
        Posterior probability of lying beyond the null.
    plausible : dict
        The same numbers by name where biases are not known but plausible (`with_confounding`); empty where
        that posterior could not be approximated.
    """

    estimand: Estimand
    status: Status
    single: Array
    products: Array
    estimate: Array
    lower: Array
    upper: Array
    probability: Array
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
        return {name: float(getattr(self, name)[self.centre]) for name in ANALYSES}

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


ANALYSES = ("estimate", "lower", "upper", "probability")


def _crossing(bias: Array, probability: Array, level: float) -> float:
    """Interpolate on the scale of normal deviates, where a normal posterior's probability is a line."""
    z = ndtri(np.clip(probability, RAREST, 1 - RAREST)) - ndtri(level)
    at = np.flatnonzero(z[:-1] * z[1:] <= 0)
    if not len(at):
        return np.nan
    found = bias[at] - z[at] * np.diff(bias)[at] / np.diff(z)[at]
    return float(np.exp(found[np.abs(found).argmin()]))


def surfaces(
    study: Study, model: Model, priors: PriorSet, risk_draws: xr.Dataset, *, steps: int, seed: int
) -> tuple[list[Surface], list[str]]:
    """Answer every conclusion under a grid of known biases, the same for all treatments and for all pairs.

    And under biases that are not known but plausible, each with a prior of its own.

    Parameters
    ----------
    waist
        Posterior draws of the risks under `model` without confounding.
    steps
        Biases on each side of 0.

    Returns
    -------
    list of Surface
        One for each entry of `conclusions`.
    list of str
        What could not be answered, in words.

    Raises
    ------
    ModelError
        If the study was randomised, or cannot go with model or priors.

    Notes
    -----
    A known bias c on the log scale shifts the posterior: log OR seen = log OR + c. So each draw's log odds are
    moved by the bias of its regimen (`without_bias`), as in a probabilistic bias analysis (Greenland, J R Stat Soc A
    2005;168:267). The prior of the analysis is then about what is seen. The posterior with plausible biases
    is a fit by itself.
    """
    (allowed,) = fit_many(
        [Specification(study, model.name, with_confounding(priors))], effective=EFFECTIVE, seed=seed
    )
    is_unreliable = allowed.verdict == laplace.UNRELIABLE
    grid = [LARGEST[name] * np.arange(-steps, steps + 1) / steps for name in BIAS]
    moved = {
        (i, j): without_bias(study, risk_draws, float(grid[0][i]), float(grid[1][j]))
        for i, j in np.ndindex(len(grid[0]), len(grid[1]))
    }
    found = [
        _surface(estimand, status, grid, moved, None if is_unreliable else allowed.risk_draws)
        for estimand, status in conclusions(study, model, risk_draws)
    ]
    return found, ["plausible confounding: the fit cannot be trusted"] * is_unreliable


def without_bias(
    study: Study, risk_draws: xr.Dataset, single: float, products: float
) -> xr.Dataset:
    """Take known biases out of draws of risks.

    Parameters
    ----------
    single, products
        Log of the factor by which confounding has multiplied each treatment's odds ratio, and each pair's ratio
        of odds ratios.

    Returns
    -------
    xarray.Dataset
        Where the log odds of a regimen are less by `single` for each of its treatments, and by `products` for
        each pair of them.
    """
    arms = tuple(risk_draws["arm"].values)
    bias = single * study.content(arms).sum(1) + products * study.products(arms).sum(1)
    factor = xr.DataArray(np.exp(bias), dims="arm")
    seen = {
        name: odds(risk_draws[name]) / factor
        for name in ("risk", CONDITIONAL)
        if name in risk_draws
    }
    return risk_draws.assign({name: own / (1 + own) for name, own in seen.items()})


def conclusions(study: Study, model: Model, risk_draws: RiskDraws) -> list[tuple[Estimand, Status]]:
    """List what confounding might overturn, with their identification.

    First the odds ratio of each combination against itself less one treatment, where the evidence determines
    it; then the ratio of odds ratios of each pair and its interaction contrast of risks, or, where risks are
    not identified, of odds, each on the first background where it is observed, or else can be told.
    """
    ratios: list[tuple[Estimand, Status]] = []
    measures: dict[tuple[str, str], tuple[Estimand, Status]] = {}
    additive = "reri_or" if study.is_case_control else "ic"
    identification = Identification(study, model, risk_draws, resolve(study))
    for e in enumerate_estimands(study, model, resolve(study)):
        if e.synergy is None and not e.is_odds_ratio:
            continue
        is_asked = e.measure in ("ror", additive) and e.is_judged
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
    moved: Mapping[tuple[int, int], xr.Dataset],
    allowed: xr.Dataset | None,
) -> Surface:
    values = np.empty((len(ANALYSES), *map(len, grid)))
    for (i, j), risk_draws in moved.items():
        values[:, i, j] = _numbers(estimand, risk_draws)
    plausible = (
        {} if allowed is None else dict(zip(ANALYSES, _numbers(estimand, allowed), strict=True))
    )
    single, products = grid
    parts = dict(zip(ANALYSES, values, strict=True))
    return Surface(estimand, status, single, products, **parts, plausible=plausible)


def _numbers(estimand: Estimand, risk_draws: xr.Dataset) -> list[float]:
    """Return the numbers of `PARTS`."""
    tail = (1 - INTERVAL) / 2
    quantiles = np.quantile(estimand.values(risk_draws).values, [0.5, tail, 1 - tail])
    return [*map(float, quantiles), float(is_beyond_null(estimand, risk_draws).mean())]


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
                    **{name: getattr(one, name)[i, j] for name in ANALYSES},
                    "standing": now,
                    "is_overturned": now != one.standing,
                }
            )
    return pd.DataFrame(rows)


def points_table(found: Sequence[Surface]) -> pd.DataFrame:
    """List for each conclusion the factors at which it tips: to undecided, and to the other side."""
    return pd.DataFrame([row for one in found for row in _points(one)])


def _points(one: Surface) -> Iterator[dict[str, Any]]:
    near = CONCLUSIVE if one.unbiased["probability"] >= 0.5 else 1 - CONCLUSIVE
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
        if told
    ]
    return pd.DataFrame(rows)


def _named(one: Surface) -> dict[str, str]:
    return asked(one.estimand, one.status)
