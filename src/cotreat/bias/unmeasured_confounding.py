"""Unmeasured confounding: a posterior that allows for it, and the bias that would overturn a conclusion.

`cotreat.models.confounding` has the model.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from cotreat.bias.records import PRODUCT_SD, QUANTITIES, SINGLE_SD, Surface, standing
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
from cotreat.models.confounding import exposures
from cotreat.models.registry import Model
from cotreat.priors.defaults import BIAS
from cotreat.priors.prior import PriorSet
from cotreat.study.regimens import parse
from cotreat.study.study import Study

PLAUSIBLE = (
    "95 % within a factor of 2 (a pair's: of 1.4) either way: a factor of 2 is the most that a confounder makes "
    "that is 2.2 times (common outcome) to 3.4 times (rare) as frequent with the treatment, and multiplies the "
    "risk as much"
)
LARGEST = {"bias_beta": float(np.log(3)), "bias_gamma": float(np.log(2))}
"""Largest bias of a tipping-point surface, on the log scale."""
EFFECTIVE = 2000
"""Effective draws of the posterior with a plausible bias."""


def with_confounding(
    priors: PriorSet,
    *,
    single: tuple[float, float | None] = (0.0, SINGLE_SD),
    products: tuple[float, float | None] = (0.0, PRODUCT_SD),
    reason: str = PLAUSIBLE,
) -> PriorSet:
    """Return a prior set with priors of unmeasured confounding.

    Parameters
    ----------
    priors
        The prior set.
    single, products
        Mean and SD of the log of the factor by which confounding multiplied, in the evidence, the odds ratio of
        each treatment and the ratio of odds ratios of each pair. Without an SD the bias is known. Above 0 the
        evidence shows too large a ratio.
    reason
        Justification of the numbers.

    Returns
    -------
    PriorSet
        Its name is the old one with ``-confounded``.

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
    return replace(priors, name=f"{priors.name}-confounded", rows=(*others, *rows))


def surfaces(
    study: Study, model: Model, priors: PriorSet, risk_draws: xr.Dataset, *, steps: int, seed: int
) -> tuple[list[Surface], bool]:
    """Evaluate every conclusion under a grid of known biases, and under plausible ones with a prior.

    Parameters
    ----------
    study, model, priors
        The analysis without confounding. Known biases are the same for all treatments and for all pairs;
        plausible ones have a prior each.
    risk_draws
        Posterior draws of the risks.
    steps
        Number of biases on each side of 0.
    seed
        Of the fit with plausible biases.

    Returns
    -------
    list of Surface
        One for each entry of `conclusions`.
    bool
        Whether the fit with plausible biases is unreliable.

    Raises
    ------
    ModelError
        If all treatments were randomised, or model or priors cannot be used with it.

    Notes
    -----
    A known bias c on the log scale shifts the posterior: biased log OR = log OR + c. Each draw's log odds are
    therefore shifted by the bias of its regimen (`without_bias`), as in a probabilistic bias analysis (Greenland,
    J R Stat Soc A 2005;168:267). The prior of the analysis is then about the biased odds ratio. The posterior
    with plausible biases is a separate fit.
    """
    (allowed,) = fit_many(
        [Specification(study, model.name, with_confounding(priors))], effective=EFFECTIVE, seed=seed
    )
    is_unreliable = allowed.verdict == laplace.UNRELIABLE
    single, products = (LARGEST[name] * np.arange(-steps, steps + 1) / steps for name in BIAS)
    shifted = {
        (i, j): without_bias(study, risk_draws, float(single[i]), float(products[j]))
        for i, j in np.ndindex(len(single), len(products))
    }
    found = []
    for estimand, status in conclusions(study, model, risk_draws):
        values = np.empty((len(QUANTITIES), len(single), len(products)))
        for (i, j), draws in shifted.items():
            values[:, i, j] = _quantities(estimand, draws)
        allowed_values = () if is_unreliable else _quantities(estimand, allowed.risk_draws)
        plausible = dict(zip(QUANTITIES, allowed_values, strict=False))
        estimate, lower, upper, probability = values
        arrays = (single, products, estimate, lower, upper, probability)
        found.append(Surface(estimand, status, *arrays, plausible))
    return found, is_unreliable


def without_bias(
    study: Study, risk_draws: xr.Dataset, single: float, products: float
) -> xr.Dataset:
    """Remove known biases from draws of risks.

    Parameters
    ----------
    study
        With the treatments of each regimen.
    risk_draws
        Draws with the biases.
    single, products
        Log of the factor by which confounding multiplied each treatment's odds ratio, and each pair's ratio of
        odds ratios.

    Returns
    -------
    xarray.Dataset
        The log odds of a regimen are lower by `single` for each of its treatments that was not randomised, and
        by `products` for each pair of which not both treatments were (`cotreat.models.confounding`).
    """
    content, pairs = exposures(study, tuple(risk_draws["arm"].values))
    bias = single * content.sum(1) + products * pairs.sum(1)
    factor = xr.DataArray(np.exp(bias), dims="arm")
    names = [name for name in ("risk", CONDITIONAL) if name in risk_draws]
    shifted = {name: odds(risk_draws[name]) / factor for name in names}
    return risk_draws.assign({name: value / (1 + value) for name, value in shifted.items()})


def conclusions(study: Study, model: Model, risk_draws: RiskDraws) -> list[tuple[Estimand, Status]]:
    """List the conclusions that confounding might overturn, with their identification.

    Parameters
    ----------
    study, model
        Of the fit.
    risk_draws
        Its draws of the risks.

    Returns
    -------
    list of (Estimand, Status)
        First the identified odds ratios of a combination against the same without one treatment. Then, for each
        pair, the ratio of odds ratios and the interaction contrast of risks or, where risks are not identified,
        of odds; each with the first co-treatment for which it is identified, otherwise estimable. Regimens
        that differ in randomised treatments only, and pairs of randomised treatments, are left out: no
        confounding can overturn these.
    """
    ratios: list[tuple[Estimand, Status]] = []
    measures: dict[tuple[str, str], tuple[Estimand, Status]] = {}
    names = ("ror", "reri_or" if study.why_no_risks else "ic")
    identification = Identification(study, model, risk_draws, resolve(study))
    pairs = {f"{a}:{b}" for a, b in study.confounded_pairs}
    for e in enumerate_estimands(study, model, resolve(study)):
        if e.synergy is None:
            if e.is_odds_ratio and is_combination_ratio(e, against_none=False):
                status = identification.of(e)
                is_open = status.name == IDENTIFIED and not study.differ_at_random(
                    *([parse(arm)] for arm in e.arms)
                )
                ratios += [(e, status)] * is_open
        elif e.is_judged and e.measure in names and e.pair in pairs:
            status, key = identification.of(e), (e.measure, e.pair)
            is_better = key in measures and status.name == IDENTIFIED != measures[key][1].name
            if status.is_open and (key not in measures or is_better):
                measures[key] = (e, status)
    order = sorted(measures, key=lambda key: key[0] != "ror")
    return ratios + [measures[key] for key in order]


def _quantities(estimand: Estimand, risk_draws: xr.Dataset) -> tuple[float, ...]:
    """Return `QUANTITIES` of an estimand."""
    tail = (1 - INTERVAL) / 2
    quantiles = np.quantile(estimand.values(risk_draws).values, [0.5, tail, 1 - tail])
    return (*map(float, quantiles), float(is_beyond_null(estimand, risk_draws).mean()))


# --- Tables ----------------------------------------------------------------------------------------


def grid_table(found: Sequence[Surface]) -> pd.DataFrame:
    """List every conclusion at every bias, as factors.

    Parameters
    ----------
    found
        What `surfaces` returns.

    Returns
    -------
    pandas.DataFrame
        One row per conclusion and bias.
    """
    rows = []
    for one in found:
        for i, j in np.ndindex(*one.probability.shape):
            now = standing(float(one.probability[i, j]))
            rows.append(
                {
                    **asked(one.estimand, one.status),
                    "single_factor": np.exp(one.single[i]),
                    "product_factor": np.exp(one.products[j]),
                    **{name: getattr(one, name)[i, j] for name in QUANTITIES},
                    "standing": now,
                    "is_overturned": now != one.standing,
                }
            )
    return pd.DataFrame(rows)


def points_table(found: Sequence[Surface]) -> pd.DataFrame:
    """List the tipping points of each conclusion: to inconclusive, and to the other side of the null.

    Parameters
    ----------
    found
        What `surfaces` returns.

    Returns
    -------
    pandas.DataFrame
        One row per conclusion and level of the probability.
    """
    return pd.DataFrame([row for one in found for row in _points(one)])


def _points(one: Surface) -> Iterator[dict[str, Any]]:
    near = CONCLUSIVE if one.unbiased["probability"] >= 0.5 else 1 - CONCLUSIVE
    for level in (near, 0.5) if one.is_conclusive else (0.5,):
        single, products = one.tipping(level)
        yield {
            **asked(one.estimand, one.status),
            **one.unbiased,
            "standing": one.standing,
            "tips_at": f"P {level:g}" + ("" if level == 0.5 else ": interval reaches the null"),
            "single_factor": single,
            "product_factor": products,
        }


def allowed_table(found: Sequence[Surface]) -> pd.DataFrame:
    """List each conclusion without confounding, and with a plausible one in the posterior.

    Parameters
    ----------
    found
        What `surfaces` returns.

    Returns
    -------
    pandas.DataFrame
        Two rows per conclusion.
    """
    rows = [
        {
            **asked(one.estimand, one.status),
            "confounding": confounding,
            **values,
            "standing": standing(values["probability"]),
        }
        for one in found
        for confounding, values in (("none", one.unbiased), ("plausible", one.plausible))
        if values
    ]
    return pd.DataFrame(rows)
