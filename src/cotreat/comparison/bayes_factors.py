"""Bayes factors of interactions, from marginal likelihoods.

A model without an interaction is `interaction` with that product term held at 0, for its prior is
independent of all else; so one compiled density gives them all (and with all products held at 0 it is
`additive`).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import logsumexp

from cotreat.evidence.protocol import Given
from cotreat.inference import laplace, sampling
from cotreat.inference.laplace import Approximation
from cotreat.priors.prior import PriorSet
from cotreat.study.study import Study

if TYPE_CHECKING:
    from cotreat.inference.marginal_likelihood import Marginals

GAMMA = "gamma"
ANY = "any interaction"
FACTORS = (0.5, 1.0, 2.0)
"""Prior SDs of the product terms, in units of the chosen one, under which Bayes factors are given."""
MOST_SETS = 64
"""Sets of interactions that are summed over for P(no interaction) at most: those of six pairs."""

GRADES = ((3.0, "not worth more than a bare mention"), (20.0, "positive"), (150.0, "strong"))
"""What Bayes factors up to some size are as evidence: Kass & Raftery, J Am Stat Assoc 1995;90:773."""


BY_WEIGHTS, BY_SMC = "importance sampling", "sequential Monte Carlo"


@dataclass(frozen=True)
class LogEvidence:
    """A log marginal likelihood, and whether it can be used.

    Attributes
    ----------
    value : float
        NaN where it cannot.
    pareto_k : float
        NaN of sequential Monte Carlo.
    error : float
        Monte Carlo error.
    method : str
    """

    value: float
    pareto_k: float
    error: float = float("nan")
    method: str = BY_WEIGHTS

    @property
    def is_known(self) -> bool:
        """Whether it can be used."""
        return bool(np.isfinite(self.value))


def by_weights(found: Approximation, at_zero: float = 0.0) -> LogEvidence:
    """Return the log evidence that importance sampling found, less a log density at 0; NaN if it is bad."""
    if found.verdict == laplace.UNRELIABLE:
        return LogEvidence(float("nan"), found.pareto_k)
    return LogEvidence(found.log_evidence - at_zero, found.pareto_k, found.log_error)


def by_smc(tree: xr.DataTree) -> LogEvidence:
    """Return the log evidence of a run of sequential Monte Carlo, its error by how far chains are apart."""
    logs = tree["sample_stats"].to_dataset()["log_evidence"].values
    error = float(np.std(logs, ddof=1) / np.sqrt(len(logs)))
    return LogEvidence(sampling.log_evidence(tree), float("nan"), error, BY_SMC)


class Evidences:
    """The log evidences of `interaction` without some products: one number of each for all tables.

    Parameters
    ----------
    marginals
        Of model `interaction`.
    pairs
        How many products it has.
    known
        By the products held at 0, those worked out already: of the model itself, and of `additive`.
    """

    def __init__(
        self,
        marginals: Marginals,
        pairs: int,
        known: Mapping[tuple[int, ...], LogEvidence] | None = None,
    ) -> None:
        self.marginals, self.pairs = marginals, pairs
        self._found = {(held, 1.0): one for held, one in (known or {}).items() if one.is_known}

    def of(self, held: Sequence[int] = (), sd: float = 1.0) -> LogEvidence:
        """Return one, worked out once.

        Parameters
        ----------
        held
            Places of the pairs, among all, whose products are held at 0.
        sd
            Prior SD of the others, in units of the chosen one.
        """
        # Where no product is left none has a prior that could matter.
        key = (tuple(held), 1.0 if len(held) == self.pairs else sd)
        if key not in self._found:
            self._found[key] = _log_evidence(self.marginals, *key)
        return self._found[key]


def _log_evidence(marginals: Marginals, held: Sequence[int], sd: float) -> LogEvidence:
    numbers = _wider(marginals.given, sd)
    at = [marginals.place(GAMMA)[pair] for pair in held]
    found = marginals.held_at_zero(at) if sd == 1.0 else marginals.found(numbers, at)
    return by_weights(found, len(held) * _at_zero(numbers))


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
    error : float
        Monte Carlo error of `log`.
    method : str
        How the marginal likelihoods were worked out.
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
    error: float
    method: str
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
    evidences: Evidences,
    fit: xr.DataTree,
    sds: Sequence[float] = FACTORS,
    *,
    each: bool = True,
) -> list[BayesFactor]:
    """Return the Bayes factors of any interaction and of each, by model `interaction`.

    Parameters
    ----------
    evidences
        Of model `interaction`.
    fit
        A fit of it, for the Savage–Dickey ratio.
    sds
        Prior SDs, in units of the chosen one.
    each
        Whether each pair is tested under all of them, not under the chosen one alone.
    """
    pairs = study.pair_labels
    ratios = savage_dickey(fit, pairs)
    every = tuple(range(len(pairs)))
    found = []
    for factor in sds:
        found.append(_factor(ANY, every, evidences, factor, ratios))
        if len(pairs) > 1 and (each or factor == 1.0):
            found += [
                _factor(pair, (at,), evidences, factor, ratios) for at, pair in enumerate(pairs)
            ]
    return found


def _factor(
    of: str, held: tuple[int, ...], evidences: Evidences, sd: float, ratios: Sequence[float]
) -> BayesFactor:
    given = evidences.marginals.given
    prior_sd = float(given[f"{GAMMA} sigma"]) * sd
    rival = "additive" if of == ANY else f"the same without {of}"
    is_chosen = sd == 1.0
    return BayesFactor(
        of,
        f"interaction against {rival}",
        f"each log ratio of odds ratios ~ Normal({float(given[f'{GAMMA} mu']):g}, {prior_sd:g})",
        prior_sd,
        is_chosen,
        *_between(evidences.of((), sd), evidences.of(held, sd)),
        savage_dickey=ratios[held[0]] if is_chosen and len(held) == 1 else float("nan"),
        quadrature=_by_quadrature(evidences.marginals, held) if is_chosen else float("nan"),
    )


def _between(whole: LogEvidence, rival: LogEvidence) -> tuple[float, float, float, str]:
    """Return log, Pareto k, error and method of a Bayes factor."""
    return (
        whole.value - rival.value,
        float(np.fmax(whole.pareto_k, rival.pareto_k)),
        float(np.hypot(whole.error, rival.error)),
        ", ".join(dict.fromkeys([whole.method, rival.method])),
    )


def _by_quadrature(marginals: Marginals, held: Sequence[int]) -> float:
    whole = marginals.quadrature()
    if np.isnan(whole):
        return whole
    at = [marginals.place(GAMMA)[pair] for pair in held]
    return float(np.exp(whole - marginals.quadrature(at) + len(held) * _at_zero(marginals.given)))


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
        True,
        *_between(whole, additive),
    )


def _in_words(priors: PriorSet, variable: str) -> str:
    row = priors[variable]
    numbers = ", ".join(f"{value:g}" for value in row.numbers().values())
    return f"{variable} ~ {row.distribution}({numbers})"


# --- P(no interaction) -----------------------------------------------------------------------------


def why_no_probability(evidences: Evidences) -> str:
    """Say why P(no interaction) cannot be worked out; empty where it can."""
    pairs = evidences.pairs
    if 2**pairs > MOST_SETS:
        return f"{pairs} pairs make {2**pairs} sets, and no more than {MOST_SETS} are summed over"
    bad = sum(not evidences.of(held).is_known for held in _every_held(pairs))
    return (
        f"{bad} of {2**pairs} sets have no marginal likelihood that can be trusted" if bad else ""
    )


def probability_of_none(evidences: Evidences) -> tuple[float, float]:
    """Return the probability that there is no interaction, before and after the evidence.

    Notes
    -----
    All numbers of interactions have the same prior probability, and all sets of one number: each
    interaction is present with probability 1/2, and none and all of them are as probable (Scott & Berger, Ann
    Stat 2010;38:2587).
    """
    pairs, every = evidences.pairs, _every_held(evidences.pairs)
    logs = [evidences.of(held).value - np.log(comb(pairs, len(held))) for held in every]
    return 1 / (pairs + 1), float(np.exp(logs[-1] - logsumexp(logs)))


def _every_held(pairs: int) -> list[tuple[int, ...]]:
    """List the sets of products held at 0, from none to all."""
    return [held for count in range(pairs + 1) for held in combinations(range(pairs), count)]


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
                "log_mc_error": one.error,
                "evidence": one.grade,
                "savage_dickey": one.savage_dickey,
                "quadrature": one.quadrature,
                "smc": one.smc,
                "method": one.method,
                "pareto_k": one.pareto_k,
            }
            for one in factors
        ]
    )
