"""Bayes factors of interactions, and averages over which of them there are, from marginal likelihoods.

A model without an interaction is `interaction` with that product term held at 0, for its prior is
independent of all else; so one compiled density gives them all (and with all products held at 0 it is
`additive`).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import logsumexp

from cotreat import laplace
from cotreat.estimands import enumerate_estimands, waist_of
from cotreat.given import Given
from cotreat.marginal import DRAWN
from cotreat.measures import REPRESENTATIVE
from cotreat.names import INTERVAL
from cotreat.priors import PriorSet
from cotreat.study import Study

if TYPE_CHECKING:
    from cotreat.catalogue import Model
    from cotreat.marginal import Marginals

GAMMA = "gamma"
ANY = "any interaction"
FACTORS = (0.5, 1.0, 2.0)
"""Prior SDs of the product terms, in units of the chosen one, under which Bayes factors are given."""
MOST_SETS = 16
"""Sets of interactions that are averaged over at most: four pairs of treatments."""
AT_NULL = 1e-9
"""A ratio of odds ratios is 1 where its log is no further from 0: it is worked out from risks."""
WAIST = ("risk", "conditional_risk", "log_ratio", "size", "sigma")

GRADES = ((3.0, "not worth more than a bare mention"), (20.0, "positive"), (150.0, "strong"))
"""What Bayes factors up to some size are as evidence: Kass & Raftery, J Am Stat Assoc 1995;90:773."""


@dataclass(frozen=True)
class LogEvidence:
    """A log marginal likelihood, and whether it can be used.

    Attributes
    ----------
    value : float
        NaN where it cannot.
    pareto_k : float
    """

    value: float
    pareto_k: float


def log_evidence(marginals: Marginals, held: Sequence[int] = (), sd: float = 1.0) -> LogEvidence:
    """Return the log evidence of `interaction` without some products.

    Parameters
    ----------
    held
        Places of their pairs among all.
    sd
        Prior SD of the products, in units of the chosen one.
    """
    numbers = _wider(marginals.given, sd)
    at = [marginals.place(GAMMA)[pair] for pair in held]
    found = marginals.held_at_zero(at) if sd == 1.0 else marginals.found(numbers, at)
    value = found.log_evidence - len(held) * _at_zero(numbers)
    is_bad = found.verdict == laplace.BAD
    return LogEvidence(float("nan") if is_bad else value, found.pareto_k)


def _wider(numbers: Given, factor: float) -> Given:
    name = f"{GAMMA} sigma"
    return {**numbers, name: numbers[name] * factor}


def _at_zero(numbers: Given) -> float:
    """Return the log density of one product's prior at 0."""
    mu, sigma = (float(numbers[f"{GAMMA} {name}"]) for name in ("mu", "sigma"))
    return -0.5 * (mu / sigma) ** 2 - float(np.log(sigma * np.sqrt(2 * np.pi)))


# --- Bayes factors ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class BayesFactor:
    """How many times as probable the evidence is with something as without it.

    Attributes
    ----------
    of : str
        ``any interaction``, or a pair of treatments.
    against : str
        What is compared with what.
    prior : str
        The prior of what is tested, on which the factor depends.
    prior_sd : float
        Its SD; NaN where it has none.
    is_chosen : bool
        Whether that is the prior of the fits.
    log : float
        Natural logarithm of the factor; NaN where it cannot be had.
    pareto_k : float
        The worse of the two marginal likelihoods'.
    savage_dickey, quadrature, smc : float
        The factor by other ways; NaN where they do not apply or were not asked for.
    """

    of: str
    against: str
    prior: str
    prior_sd: float
    is_chosen: bool
    log: float
    pareto_k: float
    savage_dickey: float = float("nan")
    quadrature: float = float("nan")
    smc: float = float("nan")

    @property
    def factor(self) -> float:
        """In favour of what is tested: above 1 for it, below 1 against it."""
        return float(np.exp(self.log))

    @property
    def grade(self) -> str:
        """What it is worth as evidence, either way."""
        return grade(self.factor)


def grade(factor: float) -> str:
    """Say what a Bayes factor is worth as evidence, by Kass & Raftery (1995)."""
    if not np.isfinite(factor):
        return ""
    size = max(factor, 1 / factor) if factor > 0 else np.inf
    word = next((word for most, word in GRADES if size < most), "very strong")
    if size < GRADES[0][0]:
        return word
    return f"{word}, {'for' if factor > 1 else 'against'} it"


def factors_of_interactions(
    study: Study,
    marginals: Marginals,
    fit: xr.DataTree,
    sds: Sequence[float] = FACTORS,
    *,
    each: bool = True,
) -> list[BayesFactor]:
    """Return the Bayes factors of any interaction and of each, by model `interaction`.

    Parameters
    ----------
    marginals
        Of model `interaction`.
    fit
        A fit of it, for the Savage–Dickey ratio.
    sds
        Prior SDs, in units of the chosen one.
    each
        Whether each pair is tested under all of them, not under the chosen one alone.
    """
    pairs = study.pair_labels
    chosen = float(marginals.given[f"{GAMMA} sigma"])
    mu = float(marginals.given[f"{GAMMA} mu"])
    none = list(range(len(pairs)))
    every_quadrature = marginals.quadrature()
    ratios = savage_dickey(fit, pairs)
    found = []
    without = log_evidence(marginals, none)  # no product is left whose prior could matter
    for factor in sds:
        whole = log_evidence(marginals, (), factor)
        rivals = [(ANY, none, without)]
        if len(pairs) > 1 and (each or factor == 1.0):
            one = (log_evidence(marginals, [at], factor) for at in none)
            rivals += [(p, [at], e) for at, (p, e) in enumerate(zip(pairs, one, strict=True))]
        for of, held, rival in rivals:
            is_chosen = factor == 1.0
            is_single = len(held) == 1
            by_nodes = float("nan")
            if is_chosen and np.isfinite(every_quadrature):
                at = [marginals.place(GAMMA)[pair] for pair in held]
                less = marginals.quadrature(at) - len(held) * _at_zero(marginals.given)
                by_nodes = float(np.exp(every_quadrature - less))
            found.append(
                BayesFactor(
                    of,
                    "interaction against additive"
                    if of == ANY
                    else f"interaction against the same without {of}",
                    f"each log ratio of odds ratios ~ Normal({mu:g}, {chosen * factor:g})",
                    chosen * factor,
                    is_chosen,
                    whole.value - rival.value,
                    max(whole.pareto_k, rival.pareto_k),
                    ratios[held[0]] if is_chosen and is_single else float("nan"),
                    by_nodes,
                )
            )
    return found


def savage_dickey(fit: xr.DataTree, pairs: Sequence[str]) -> list[float]:
    """Return the Bayes factor of each pair's product by ArviZ's Savage–Dickey ratio, from draws.

    NaN where 0 is beyond all draws of the posterior: then its density there is not known.
    """
    import arviz as az

    found = []
    for pair in pairs:
        parts = {
            group: fit[group].to_dataset()[[GAMMA]].sel(pair=pair, drop=True)
            for group in ("prior", "posterior")
        }
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", UserWarning)
                ratio = az.bayes_factor(xr.DataTree.from_dict(parts), GAMMA)
            found.append(float(ratio[GAMMA].sel(bf_type="BF10")))
        except (UserWarning, ValueError):
            found.append(float("nan"))
    return found


def factor_of_model(
    name: str, priors: PriorSet, variables: Sequence[str], whole: LogEvidence, additive: LogEvidence
) -> BayesFactor:
    """Return the Bayes factor of any interaction by another model that contains `additive`."""
    prior = ", ".join(_in_words(priors, variable) for variable in variables)
    return BayesFactor(
        ANY,
        f"{name} against additive",
        prior,
        float("nan"),
        is_chosen=True,
        log=whole.value - additive.value,
        pareto_k=max(whole.pareto_k, additive.pareto_k),
    )


def _in_words(priors: PriorSet, variable: str) -> str:
    row = priors[variable]
    numbers = ", ".join(f"{value:g}" for value in row.numbers().values())
    return f"{variable} ~ {row.distribution}({numbers})"


def table_of(factors: Sequence[BayesFactor]) -> pd.DataFrame:
    """List Bayes factors, a row each."""
    return pd.DataFrame(
        [
            {
                "of": one.of,
                "comparison": one.against,
                "prior": one.prior,
                "prior_sd": one.prior_sd,
                "prior_of_the_fits": "yes" if one.is_chosen else "no",
                "bayes_factor": one.factor,
                "log_bayes_factor": one.log,
                "evidence": one.grade,
                "savage_dickey": one.savage_dickey,
                "quadrature": one.quadrature,
                "smc": one.smc,
                "pareto_k": one.pareto_k,
            }
            for one in factors
        ]
    )


# --- Averages over which interactions there are ----------------------------------------------------


@dataclass(frozen=True)
class Weighed:
    """One set of interactions that there may be.

    Attributes
    ----------
    present : tuple of int
        Places of their pairs among all.
    prior, posterior : float
        Probability that just these are there.
    """

    present: tuple[int, ...]
    prior: float
    log_evidence: float
    pareto_k: float
    posterior: float


def weigh(marginals: Marginals, pairs: int) -> list[Weighed]:
    """Weigh every set of interactions; empty where there are too many, or one cannot be worked out.

    Notes
    -----
    All numbers of interactions have the same prior probability, and all sets of one number: each
    interaction is there with probability 1/2, and none and all of them are as probable (Scott & Berger, Ann
    Stat 2010;38:2587).
    """
    if 2**pairs > MOST_SETS:
        return []
    every = [own for count in range(pairs + 1) for own in combinations(range(pairs), count)]
    priors = [1 / ((pairs + 1) * comb(pairs, len(own))) for own in every]
    logs = [log_evidence(marginals, _absent(own, pairs)) for own in every]
    joint = np.log(priors) + np.array([one.value for one in logs])
    if np.isnan(joint).any():
        return []
    after = np.exp(joint - logsumexp(joint))
    return [
        Weighed(own, prior, one.value, one.pareto_k, float(weight))
        for own, prior, one, weight in zip(every, priors, logs, after, strict=True)
    ]


def _absent(present: Sequence[int], pairs: int) -> list[int]:
    return [at for at in range(pairs) if at not in present]


def probability_of_none(sets: Sequence[Weighed], pair: int | None = None) -> tuple[float, float]:
    """Return prior and posterior probability that a pair has no interaction; None for any pair."""
    own = [s for s in sets if (not s.present if pair is None else pair not in s.present)]
    return sum(s.prior for s in own), sum(s.posterior for s in own)


def table_of_sets(study: Study, sets: Sequence[Weighed]) -> pd.DataFrame:
    """List the sets of interactions that were averaged over, a row each."""
    labels = study.pair_labels
    return pd.DataFrame(
        [
            {
                "interactions": ", ".join(labels[at] for at in one.present) or "none (additive)",
                "prior_probability": one.prior,
                "log_evidence": one.log_evidence,
                "probability": one.posterior,
                "pareto_k": one.pareto_k,
            }
            for one in sets
        ]
    )


def averaged(study: Study, marginals: Marginals, sets: Sequence[Weighed]) -> xr.Dataset:
    """Draw from the posterior averaged over sets of interactions, each in proportion to its probability."""
    ends = np.round(np.cumsum([one.posterior for one in sets]) * DRAWN).astype(int)
    counts = np.diff(ends, prepend=0)
    parts = []
    for one, count in zip(sets, counts.tolist(), strict=True):
        if count:
            absent = [marginals.place(GAMMA)[at] for at in _absent(one.present, len(study.pairs))]
            found = marginals.held_at_zero(absent)
            parts.append(marginals.draws(found, WAIST, absent).isel(draw=slice(count)))
    whole = xr.concat(parts, "draw")
    whole = whole.assign_coords(draw=range(whole.sizes["draw"]))
    return whole.assign(risk=whole["risk"].assign_attrs(risk_kind=study.risk_kind))


def table_of_averages(
    study: Study, model: Model, average: xr.Dataset, fit: xr.DataTree
) -> pd.DataFrame:
    """Put measures of synergy averaged over sets of interactions beside those of the model with all.

    One measure of each family, pair and background, on the scale on which synergy is judged.
    """
    whole = waist_of(fit["posterior"].to_dataset())
    rows = list(_average_rows(study, model, average, whole))
    return pd.DataFrame(rows)


def _average_rows(
    study: Study, model: Model, average: xr.Dataset, whole: xr.Dataset
) -> Iterator[dict[str, object]]:
    tail = (1 - INTERVAL) / 2
    for one in enumerate_estimands(study, model):
        if one.measure is None or not one.is_judged:
            continue
        if one.measure.name not in REPRESENTATIVE.values() or one.null is None:
            continue
        if study.is_case_control and one.needs_risks:
            continue
        row: dict[str, object] = {
            "estimand": one.label,
            "background": one.background,
            "scale": one.scale,
        }
        for name, waist in (("averaged", average), ("one_model", whole)):
            values = one.values(waist).values.ravel()
            off = np.log(values) if one.log else values - one.null
            lower, middle, upper = np.quantile(values, [tail, 0.5, 1 - tail])
            row |= {
                f"estimate_{name}": middle,
                f"lower_{name}": lower,
                f"upper_{name}": upper,
                f"probability_{name}": float((off > AT_NULL).mean()),
            }
            if name == "averaged":
                row["probability_at_null"] = float((np.abs(off) <= AT_NULL).mean())
        yield row
