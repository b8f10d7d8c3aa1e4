"""Averages over which interactions there are: models in which each is there or not, by their probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
import pandas as pd
import xarray as xr
from scipy.special import logsumexp

from cotreat.comparison.bayes_factors import GAMMA, Evidences, LogEvidence
from cotreat.core.constants import CREDIBLE, INTERVAL
from cotreat.estimands.enumerate import enumerate_estimands, is_representative
from cotreat.estimands.estimand import PARTS, Estimand
from cotreat.estimands.identification import Identification, Status
from cotreat.estimands.identification import asked as columns_of
from cotreat.inference import laplace
from cotreat.inference.marginal_likelihood import DRAWN, Array, Marginals
from cotreat.models.registry import Model
from cotreat.study.study import Study

MOST_SETS = 64
"""Sets of interactions that are averaged over at most: those of six pairs, of four treatments."""
AT_NULL = 1e-9
"""A ratio of odds ratios is 1 where its log is no further from 0: it is worked out from risks."""


@dataclass(frozen=True)
class Weighed:
    """One set of interactions that there may be.

    Attributes
    ----------
    present : tuple of int
        Places of their pairs among all.
    prior, posterior : float
        Probability that just these are there.
    evidence : LogEvidence
    """

    present: tuple[int, ...]
    prior: float
    evidence: LogEvidence
    posterior: float


def weigh(evidences: Evidences) -> list[Weighed]:
    """Weigh every set of interactions; empty where `why_not` says why.

    Notes
    -----
    All numbers of interactions have the same prior probability, and all sets of one number: each
    interaction is there with probability 1/2, and none and all of them are as probable (Scott & Berger, Ann
    Stat 2010;38:2587).
    """
    if why_not(evidences):
        return []
    pairs, every = evidences.pairs, _sets(evidences.pairs)
    priors = [1 / ((pairs + 1) * comb(pairs, len(own))) for own in every]
    logs = [evidences.of(_absent(own, pairs)) for own in every]
    joint = np.log(priors) + np.array([one.value for one in logs])
    after = np.exp(joint - logsumexp(joint))
    return [
        Weighed(own, prior, one, float(weight))
        for own, prior, one, weight in zip(every, priors, logs, after, strict=True)
    ]


def why_not(evidences: Evidences) -> str:
    """Say why sets of interactions cannot be averaged over; empty where they can."""
    pairs = evidences.pairs
    if 2**pairs > MOST_SETS:
        return f"{pairs} pairs make {2**pairs} sets, and no more than {MOST_SETS} are averaged over"
    bad = sum(not evidences.of(_absent(own, pairs)).is_known for own in _sets(pairs))
    return (
        f"{bad} of {2**pairs} sets have no marginal likelihood that can be trusted" if bad else ""
    )


def _sets(pairs: int) -> list[tuple[int, ...]]:
    return [own for count in range(pairs + 1) for own in combinations(range(pairs), count)]


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
                "log_evidence": one.evidence.value,
                "log_evidence_mc_error": one.evidence.error,
                "log_evidence_by": one.evidence.method,
                "probability": one.posterior,
                "pareto_k": one.evidence.pareto_k,
            }
            for one in sets
        ]
    )


def averaged(study: Study, marginals: Marginals, sets: Sequence[Weighed]) -> xr.Dataset | None:
    """Draw from the posterior averaged over sets of interactions, each in proportion to its probability.

    None where the draws of a set that counts cannot be trusted, though its marginal likelihood can.
    """
    parts = []
    for one, count in zip(sets, _shares([one.posterior for one in sets]), strict=True):
        if count:
            absent = _held(study, marginals, one)
            found = marginals.held_at_zero(absent)
            if found.verdict == laplace.BAD:
                return None
            parts.append(marginals.points(found, count, absent))
    return _waist(study, marginals, np.concatenate(parts))


def averaged_prior(
    study: Study, marginals: Marginals, sets: Sequence[Weighed], prior: xr.Dataset
) -> xr.Dataset:
    """Draw from the prior averaged over sets of interactions.

    Parameters
    ----------
    prior
        Draws of the free variables of `interaction`, at least `DRAWN` of them.
    """
    parts, start = [], 0
    for one, count in zip(sets, _shares([one.prior for one in sets]), strict=True):
        own = prior.isel(draw=slice(start, start + count))
        parts.append(marginals.prior_points(own, _held(study, marginals, one)))
        start += count
    return _waist(study, marginals, np.concatenate(parts))


def _shares(probabilities: Sequence[float]) -> list[int]:
    """Share draws out by probability."""
    ends = np.round(np.cumsum(probabilities) * DRAWN).astype(int)
    return [int(count) for count in np.diff(ends, prepend=0)]


def _held(study: Study, marginals: Marginals, one: Weighed) -> list[int]:
    return [marginals.place(GAMMA)[at] for at in _absent(one.present, len(study.pairs))]


def _waist(study: Study, marginals: Marginals, points: Array) -> xr.Dataset:
    whole = marginals.worked_out(points, PARTS)
    return whole.assign(risk=whole["risk"].assign_attrs(risk_kind=study.risk_kind))


Waists = tuple[xr.Dataset, xr.Dataset]
"""What estimands are asked of, before the evidence and after it."""


def table_of_averages(
    study: Study, model: Model, average: Waists, one_model: Waists
) -> pd.DataFrame:
    """Put measures of synergy averaged over sets of interactions beside those of one model.

    One measure of each family, pair and background, on the scale on which synergy is judged.

    Parameters
    ----------
    model
        The one model, that of the headline.
    """
    asked = [
        one
        for one in enumerate_estimands(study, model)
        if one.is_judged
        and is_representative(one)
        and one.null is not None
        and not (study.is_case_control and one.needs_risks)
    ]
    identification = Identification(study, model, one_model[1])
    rows = [
        _average_row(one, identification.of(one), average, one_model) | {"one_model": model.name}
        for one in asked
    ]
    return pd.DataFrame(rows)


def _average_row(
    one: Estimand, status: Status, average: Waists, one_model: Waists
) -> dict[str, object]:
    return {
        **columns_of(one, status),
        "interval": CREDIBLE,
        **_asked(one, average, "averaged"),
        "probability_at_null": _at_null(one, average[1]),
        "prior_probability_at_null": _at_null(one, average[0]),
        **_asked(one, one_model, "one_model"),
    }


def _asked(one: Estimand, waists: Waists, name: str) -> dict[str, float]:
    tail = (1 - INTERVAL) / 2
    values = one.values(waists[1]).values
    lower, middle, upper = map(float, np.quantile(values, [tail, 0.5, 1 - tail]))
    before, after = (float((_off(one, waist) > AT_NULL).mean()) for waist in waists)
    return {
        f"estimate_{name}": middle,
        f"lower_{name}": lower,
        f"upper_{name}": upper,
        f"probability_{name}": after,
        f"prior_probability_{name}": before,
    }


def _at_null(one: Estimand, waist: xr.Dataset) -> float:
    return float((np.abs(_off(one, waist)) <= AT_NULL).mean())


def _off(one: Estimand, waist: xr.Dataset) -> Array:
    """Return how far draws are from the null, on the scale on which it is judged."""
    values: Array = one.values(waist).values
    return np.log(values) if one.log else values - float(one.null or 0.0)
