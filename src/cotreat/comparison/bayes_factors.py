"""Bayes factors of interactions, from marginal likelihoods.

A model without an interaction is `interaction` with that product term held at 0, because its prior is
independent of the other priors. One compiled density therefore serves all of them; with all products held
at 0 it is `additive`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from scipy.special import logsumexp

from cotreat.comparison.records import ANY, BY_SMC, NAN, BayesFactor, LogEvidence
from cotreat.inference import laplace, sampling
from cotreat.priors.prior import PriorSet

if TYPE_CHECKING:
    from cotreat.evidence.protocol import Given
    from cotreat.inference.laplace import Approximation
    from cotreat.inference.marginal_likelihood import Marginals

GAMMA = "gamma"
FACTORS = (0.5, 1.0, 2.0)
"""Prior SDs of the product terms, in units of the chosen one, under which Bayes factors are computed."""
MOST_SETS = 64
"""Most sets of interactions in the sum for P(no interaction): those of six pairs."""


def by_weights(found: Approximation, at_zero: float = 0.0) -> LogEvidence:
    """Return the log evidence by importance sampling.

    Parameters
    ----------
    found
        The approximation with its weights.
    at_zero
        Log prior density of the products held at 0, subtracted from the log evidence.

    Returns
    -------
    LogEvidence
        NaN where the weights are unreliable.
    """
    if found.verdict == laplace.UNRELIABLE:
        return LogEvidence(NAN, found.pareto_k)
    return LogEvidence(found.log_evidence - at_zero, found.pareto_k, found.log_error)


def by_smc(draws: xr.DataTree) -> LogEvidence:
    """Return the log evidence of a run of sequential Monte Carlo, its error from the spread of chains.

    Parameters
    ----------
    draws
        A fit with ``log_evidence`` by chain in its sample statistics.
    """
    logs = draws["sample_stats"].to_dataset()["log_evidence"].values
    error = float(np.std(logs, ddof=1) / np.sqrt(len(logs)))
    return LogEvidence(sampling.log_evidence(draws), NAN, error, BY_SMC)


class LogEvidences:
    """Log evidences of `interaction` without some products, each computed once.

    Parameters
    ----------
    marginals
        Of model `interaction`.
    pairs
        Number of products.
    known
        Log evidences computed before, by the products held at 0.
    """

    def __init__(
        self,
        marginals: Marginals,
        pairs: int,
        known: Mapping[tuple[int, ...], LogEvidence] | None = None,
    ) -> None:
        self.marginals, self.pairs = marginals, pairs
        self._computed = {(held, 1.0): one for held, one in (known or {}).items() if one.is_known}

    def of(self, held: Sequence[int] = (), sd: float = 1.0) -> LogEvidence:
        """Return the log evidence with some products held at 0.

        Parameters
        ----------
        held
            Indices of the pairs whose products are held at 0.
        sd
            Prior SD of the others, in units of the chosen one.
        """
        # With all products at 0, no prior SD remains.
        key = (tuple(held), 1.0 if len(held) == self.pairs else sd)
        if key not in self._computed:
            self._computed[key] = _log_evidence(self.marginals, *key)
        return self._computed[key]


def _log_evidence(marginals: Marginals, held: Sequence[int], sd: float) -> LogEvidence:
    name = f"{GAMMA} sigma"
    given = {**marginals.given, name: marginals.given[name] * sd}
    at = [marginals.place(GAMMA)[pair] for pair in held]
    found = marginals.held_at_zero(at) if sd == 1.0 else marginals.found(given, at)
    return by_weights(found, len(held) * _log_density_at_zero(given))


def _log_density_at_zero(given: Given) -> float:
    """Return the log density of one product's prior at 0."""
    mu, sigma = (float(given[f"{GAMMA} {name}"]) for name in ("mu", "sigma"))
    return -0.5 * (mu / sigma) ** 2 - float(np.log(sigma * np.sqrt(2 * np.pi)))


# --- Bayes factors ---------------------------------------------------------------------------------


def factors_of_interactions(
    pairs: Sequence[str],
    evidences: LogEvidences,
    draws: xr.DataTree,
    sds: Sequence[float] = FACTORS,
    *,
    each: bool = True,
) -> list[BayesFactor]:
    """Return the Bayes factors of any interaction and of each, by model `interaction`.

    Parameters
    ----------
    pairs
        Labels of the pairs.
    evidences
        Of model `interaction`.
    draws
        A fit of it, for the Savage–Dickey ratio.
    sds
        Prior SDs, in units of the chosen one.
    each
        Whether each pair is tested under all of `sds`; otherwise under the chosen one only.
    """
    ratios = savage_dickey(draws, pairs)
    tests: list[tuple[str, tuple[int, ...]]] = [(ANY, tuple(range(len(pairs))))]
    every = [*tests, *((pair, (at,)) for at, pair in enumerate(pairs) if len(pairs) > 1)]
    return [
        _factor(of, held, evidences, sd, ratios)
        for sd in sds
        for of, held in (every if each or sd == 1.0 else tests)
    ]


def _factor(
    of: str, held: tuple[int, ...], evidences: LogEvidences, sd: float, ratios: Sequence[float]
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
        *_difference(evidences.of((), sd), evidences.of(held, sd)),
        savage_dickey=ratios[held[0]] if is_chosen and len(held) == 1 else NAN,
        quadrature=_by_quadrature(evidences.marginals, held) if is_chosen else NAN,
    )


def _difference(whole: LogEvidence, rival: LogEvidence) -> tuple[float, float, float, str]:
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
    at_zero = len(held) * _log_density_at_zero(marginals.given)
    return float(np.exp(whole - marginals.quadrature(at) + at_zero))


def savage_dickey(draws: xr.DataTree, pairs: Sequence[str]) -> list[float]:
    """Return the Bayes factor of each pair's product by ArviZ's Savage–Dickey ratio.

    Parameters
    ----------
    draws
        A fit of model `interaction`, with prior and posterior.
    pairs
        Labels of the pairs.

    Returns
    -------
    list of float
        NaN where 0 is beyond all posterior draws: the density there is unknown.
    """
    import arviz as az

    ratios = []
    for pair in pairs:
        groups = {
            group: draws[group].to_dataset()[[GAMMA]].sel(pair=pair, drop=True)
            for group in ("prior", "posterior")
        }
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", UserWarning)
                ratio = az.bayes_factor(xr.DataTree.from_dict(groups), GAMMA)
            ratios.append(float(ratio[GAMMA].sel(bf_type="BF10")))
        except (UserWarning, ValueError):
            ratios.append(NAN)
    return ratios


def factor_of_model(
    name: str, priors: PriorSet, variables: Sequence[str], whole: LogEvidence, additive: LogEvidence
) -> BayesFactor:
    """Return the Bayes factor of any interaction by another model that contains `additive`.

    Parameters
    ----------
    name
        The model.
    priors
        The prior set.
    variables
        Parameters of the interactions in the model.
    whole, additive
        Log evidence of the model and of `additive`.
    """
    rows = [priors[variable] for variable in variables]
    prior = ", ".join(
        f"{row.variable} ~ {row.distribution}({', '.join(f'{v:g}' for v in row.numbers().values())})"
        for row in rows
    )
    difference = _difference(whole, additive)
    return BayesFactor(ANY, f"{name} against additive", prior, NAN, True, *difference)


# --- P(no interaction) -----------------------------------------------------------------------------


def why_no_probability(evidences: LogEvidences) -> str:
    """Return why P(no interaction) cannot be computed; empty where it can."""
    sets = 2**evidences.pairs
    if sets > MOST_SETS:
        return f"{evidences.pairs} pairs make {sets} sets, and no more than {MOST_SETS} are summed over"
    bad = sum(not evidences.of(held).is_known for held in _sets_held(evidences.pairs))
    return f"{bad} of {sets} sets have no reliable marginal likelihood" if bad else ""


def probability_of_none(evidences: LogEvidences) -> tuple[float, float]:
    """Return the probability that there is no interaction, before and after the evidence.

    Notes
    -----
    All numbers of interactions have the same prior probability, and all sets of one number. Each interaction
    is therefore present with probability 1/2, and none and all of them are equally probable (Scott & Berger,
    Ann Stat 2010;38:2587).
    """
    pairs, sets = evidences.pairs, _sets_held(evidences.pairs)
    logs = [evidences.of(held).value - np.log(comb(pairs, len(held))) for held in sets]
    return 1 / (pairs + 1), float(np.exp(logs[-1] - logsumexp(logs)))


def _sets_held(pairs: int) -> list[tuple[int, ...]]:
    """List the sets of products held at 0, from none to all."""
    return [held for count in range(pairs + 1) for held in combinations(range(pairs), count)]
