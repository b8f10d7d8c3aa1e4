"""Compute Bayes factors of interactions from marginal likelihoods.

The model without an interaction is the model `interaction` with that product term held at 0, because the prior
of the term is independent of the other priors. One compiled density therefore serves all these models. With all
product terms held at 0 the model is `additive`.
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
"""Prior SDs of the product terms, in units of the SD of the prior set, for which Bayes factors are computed."""
MOST_SETS = 64
"""Largest number of sets of interactions in the sum for P(no interaction): the sets of six pairs."""


def by_weights(found: Approximation, at_zero: float = 0.0) -> LogEvidence:
    """Return the log evidence by importance sampling.

    Parameters
    ----------
    found
        The approximation of the posterior by weighted draws.
    at_zero
        Log prior density at 0 of the product terms held at 0; it is subtracted from the log evidence.

    Returns
    -------
    LogEvidence
        NaN if the importance weights are unreliable.
    """
    if found.verdict == laplace.UNRELIABLE:
        return LogEvidence(NAN, found.pareto_k)
    return LogEvidence(found.log_evidence - at_zero, found.pareto_k, found.log_error)


def by_smc(draws: xr.DataTree) -> LogEvidence:
    """Return the log evidence by sequential Monte Carlo.

    Parameters
    ----------
    draws
        A fit with ``log_evidence`` by chain in its sample statistics.

    Returns
    -------
    LogEvidence
        Its Monte Carlo standard error is the standard error of the mean over chains.
    """
    logs = draws["sample_stats"].to_dataset()["log_evidence"].values
    error = float(np.std(logs, ddof=1) / np.sqrt(len(logs)))
    return LogEvidence(sampling.log_evidence(draws), NAN, error, BY_SMC)


class LogEvidences:
    """The log evidences of the model `interaction` with subsets of product terms held at 0, each computed once.

    Parameters
    ----------
    marginals
        Marginal likelihoods of the model `interaction`.
    pairs
        Number of product terms.
    known
        Log evidences that are already computed, by the indices of the product terms held at 0.
    """

    def __init__(
        self,
        marginals: Marginals,
        pairs: int,
        known: Mapping[tuple[int, ...], LogEvidence] | None = None,
    ) -> None:
        self.marginals, self.pairs = marginals, pairs
        self._computed = {
            (held, 1.0): evidence for held, evidence in (known or {}).items() if evidence.is_known
        }

    def of(self, held: Sequence[int] = (), sd: float = 1.0) -> LogEvidence:
        """Return the log evidence with a subset of product terms held at 0.

        Parameters
        ----------
        held
            Indices of the pairs whose product terms are held at 0.
        sd
            Prior SD of the other product terms, in units of the SD of the prior set.

        Returns
        -------
        LogEvidence
            NaN if the importance weights are unreliable.
        """
        # With all product terms held at 0, the evidence does not depend on the prior SD.
        key = (tuple(held), 1.0 if len(held) == self.pairs else sd)
        if key not in self._computed:
            marginals, name = self.marginals, f"{GAMMA} sigma"
            given = {**marginals.given, name: marginals.given[name] * key[1]}
            at = [marginals.place(GAMMA)[pair] for pair in held]
            is_chosen = key[1] == 1.0
            found = marginals.held_at_zero(at) if is_chosen else marginals.approximation(given, at)
            self._computed[key] = by_weights(found, len(held) * _log_density_at_zero(given))
        return self._computed[key]


def _log_density_at_zero(given: Given) -> float:
    """Return the log prior density of one product term at 0."""
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
    """Return the Bayes factors for any interaction and for each interaction under the model `interaction`.

    Parameters
    ----------
    pairs
        Labels of the pairs.
    evidences
        Log evidences of the model `interaction`.
    draws
        A fit of this model, for the Savage–Dickey ratio.
    sds
        Prior SDs, in units of the SD of the prior set.
    each
        Whether each pair is tested under all of `sds`; otherwise only under the prior SD of the prior set.

    Returns
    -------
    list of BayesFactor
        By prior SD: any interaction first, then, with two pairs or more, each pair.
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
    """Return the Bayes factor for the product terms `held`, with the results of the other methods."""
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
    """Return the log, the Pareto k, the Monte Carlo standard error and the methods of a Bayes factor."""
    return (
        whole.value - rival.value,
        float(np.fmax(whole.pareto_k, rival.pareto_k)),
        float(np.hypot(whole.error, rival.error)),
        ", ".join(dict.fromkeys([whole.method, rival.method])),
    )


def _by_quadrature(marginals: Marginals, held: Sequence[int]) -> float:
    """Return a Bayes factor by quadrature; NaN with too many coordinates."""
    whole = marginals.quadrature()
    if np.isnan(whole):
        return whole
    at = [marginals.place(GAMMA)[pair] for pair in held]
    at_zero = len(held) * _log_density_at_zero(marginals.given)
    return float(np.exp(whole - marginals.quadrature(at) + at_zero))


def savage_dickey(draws: xr.DataTree, pairs: Sequence[str]) -> list[float]:
    """Return the Bayes factor for the product term of each pair by the Savage–Dickey ratio of ArviZ.

    Parameters
    ----------
    draws
        A fit of the model `interaction`, with prior and posterior draws.
    pairs
        Labels of the pairs.

    Returns
    -------
    list of float
        Above 1 in favour of the interaction; NaN if 0 is outside the range of the posterior draws, where the
        posterior density cannot be estimated.

    Notes
    -----
    Dickey, Ann Math Stat 1971;42:204.
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
    """Return the Bayes factor for any interaction under another model in which `additive` is nested.

    Parameters
    ----------
    name
        Name of the model.
    priors
        Prior set.
    variables
        Parameters of the interactions in the model.
    whole, additive
        Log evidence of the model and of `additive`.

    Returns
    -------
    BayesFactor
        NaN if one of the log evidences is unreliable.
    """
    prior = ", ".join(
        f"{row.variable} ~ {row.distribution}({', '.join(f'{v:g}' for v in row.numbers().values())})"
        for row in map(priors.__getitem__, variables)
    )
    against = f"{name} against additive"
    return BayesFactor(ANY, against, prior, NAN, True, *_difference(whole, additive))


# --- P(no interaction) -----------------------------------------------------------------------------


def why_no_probability(evidences: LogEvidences) -> str:
    """Return the reason why P(no interaction) is not computed.

    Parameters
    ----------
    evidences
        Log evidences of the model `interaction`.

    Returns
    -------
    str
        Empty if it can be computed.
    """
    sets = 2**evidences.pairs
    if sets > MOST_SETS:
        return f"{evidences.pairs} pairs make {sets} sets, and no more than {MOST_SETS} are summed"
    unreliable = sum(not evidences.of(held).is_known for held in _sets_held(evidences.pairs))
    return f"{unreliable} of {sets} sets have no reliable marginal likelihood" if unreliable else ""


def probability_of_none(evidences: LogEvidences) -> tuple[float, float]:
    """Return the prior and posterior probability of no interaction.

    Parameters
    ----------
    evidences
        Log evidences of the model `interaction`.

    Returns
    -------
    prior, posterior : float

    Notes
    -----
    All numbers of interactions have the same prior probability, and so do all sets with the same number. The
    prior probability of each interaction is therefore 1/2, and no interaction is as probable as all of them
    (Scott & Berger, Ann Stat 2010;38:2587).
    """
    pairs, sets = evidences.pairs, _sets_held(evidences.pairs)
    logs = [evidences.of(held).value - np.log(comb(pairs, len(held))) for held in sets]
    return 1 / (pairs + 1), float(np.exp(logs[-1] - logsumexp(logs)))


def _sets_held(pairs: int) -> list[tuple[int, ...]]:
    """Return the sets of product terms held at 0, from none to all."""
    return [held for count in range(pairs + 1) for held in combinations(range(pairs), count)]
