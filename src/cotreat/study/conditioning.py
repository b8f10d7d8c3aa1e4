"""Sets of patients to condition on: matched sets, or clusters of few patients, with equal sets counted together."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cotreat.study.covariate_patterns import CovariatePatterns
from cotreat.study.study import Study

MOST = 100
"""Largest set whose patients are listed; larger ones are kept as covariate patterns."""


@dataclass(frozen=True, eq=False)
class SetBlock:
    """Different sets of similar size, padded to the largest of them.

    Within a set, the fewer of the patients with and without the event are *chosen*. The probability of the events
    given their number is that of the choice, with the sign of the log-odds changed where those without the event
    are chosen.

    Attributes
    ----------
    profile : ndarray of int, shape (set, patient)
        Profile of regimen and covariates of each patient; 0 where there is none.
    is_there : ndarray of bool, shape (set, patient)
        False for padding, which follows the patients.
    is_chosen : ndarray of bool, shape (set, patient)
    sign : ndarray, shape (set,)
        1 where patients with the event are chosen, otherwise −1.
    times : ndarray of int, shape (set,)
        Number of equal sets.
    """

    profile: NDArray[np.int64]
    is_there: NDArray[np.bool_]
    is_chosen: NDArray[np.bool_]
    sign: NDArray[np.float64]
    times: NDArray[np.int64]

    @property
    def chosen(self) -> NDArray[np.int64]:
        """Number of chosen patients, shape (set,)."""
        return self.is_chosen.sum(1)


@dataclass(frozen=True, eq=False)
class ConditioningSets:
    """The sets of a study that are informative given their numbers of events.

    Attributes
    ----------
    regimens : tuple of str
        Regimen of each profile.
    values : ndarray, shape (profile, covariate)
        Centred and scaled covariates of each profile.
    blocks : tuple of SetBlock
        Sets of at most `MOST` patients.
    large : tuple of ndarray
        Of the covariate patterns of larger sets: profile, patients, events, index of the set.
    count : int
        All sets.
    concordant : int
        Sets in which all patients, or none, had the event.
    alike : int
        Other sets whose patients do not differ in regimen and covariates.
    """

    regimens: tuple[str, ...]
    values: NDArray[np.float64]
    blocks: tuple[SetBlock, ...]
    large: tuple[NDArray[np.int64], ...]
    count: int
    concordant: int
    alike: int

    @property
    def informative(self) -> int:
        """Number of sets that enter the conditional likelihood."""
        return self.count - self.concordant - self.alike

    def __str__(self) -> str:
        """State how many sets enter the conditional likelihood, and what is not estimable."""
        left_out = [
            f"{self.concordant:,} without discordance (all or no patients with the event)",
            f"{self.alike:,} whose patients do not differ in regimen and covariates",
        ]
        counts = (self.concordant, self.alike)
        rest = " and ".join(words for words, count in zip(left_out, counts, strict=True) if count)
        words = f"{self.informative:,} of {self.count:,} matched sets are informative"
        return (
            f"{words}{f'; not informative are {rest}' if rest else ''}. Odds ratios are conditional on the number of "
            "events in each matched set, so that the posterior has no risks and no log evidence that could be "
            "compared with that of an unmatched analysis."
        )


def conditioning_sets(patterns: CovariatePatterns) -> ConditioningSets:
    """Divide patients into sets by cluster, and count equal sets.

    Parameters
    ----------
    patterns
        Covariate patterns with clusters.

    Returns
    -------
    ConditioningSets
    """
    names, label = np.unique(patterns.regimens, return_inverse=True)
    rows = np.column_stack([label, patterns.values])
    kept, profile = np.unique(rows, axis=0, return_inverse=True)
    profile, count = profile.ravel(), len(patterns.clusters)
    n, events = (np.bincount(patterns.cluster, w, count) for w in (patterns.n, patterns.events))
    is_discordant = (events > 0) & (events < n)
    first, last = np.full(count, len(kept)), np.full(count, -1)
    np.minimum.at(first, patterns.cluster, profile)
    np.maximum.at(last, patterns.cluster, profile)
    is_alike = first == last
    is_in = (is_discordant & ~is_alike)[patterns.cluster]
    is_small = n[patterns.cluster] <= MOST
    at = np.flatnonzero(is_in & ~is_small)
    index = np.unique(patterns.cluster[at], return_inverse=True)[1]
    return ConditioningSets(
        tuple(names[kept[:, 0].astype(int)].tolist()),
        kept[:, 1:],
        tuple(_blocks(patterns, profile, np.flatnonzero(is_in & is_small))),
        (profile[at], patterns.n[at], patterns.events[at], index),
        int((n > 0).sum()),
        int(((n > 0) & ~is_discordant).sum()),
        int((is_discordant & is_alike).sum()),
    )


def conditioning_of(study: Study) -> ConditioningSets:
    """Return the matched sets of a study.

    Parameters
    ----------
    study
        A study with matched patients.

    Returns
    -------
    ConditioningSets
    """
    assert study.patterns is not None  # noqa: S101 - for the type checker
    return conditioning_sets(study.patterns)


def without_constants(patterns: CovariatePatterns) -> CovariatePatterns:
    """Leave out covariates that are constant within every matched set, and warn of them.

    Parameters
    ----------
    patterns
        Covariate patterns with matched sets.

    Returns
    -------
    CovariatePatterns
        Unchanged where there are none.
    """
    count = len(patterns.clusters)
    lowest = np.full((count, len(patterns.covariates)), np.inf)
    highest = -lowest
    np.minimum.at(lowest, patterns.cluster, patterns.values)
    np.maximum.at(highest, patterns.cluster, patterns.values)
    is_kept = (lowest < highest).any(0)
    if is_kept.all():
        return patterns
    names = ", ".join(np.array(patterns.names)[~is_kept].tolist())
    words = f"constant within every matched set, and therefore left out: {names}"
    covariates = zip(patterns.covariates, is_kept.tolist(), strict=True)
    return replace(
        patterns,
        covariates=tuple(covariate for covariate, kept in covariates if kept),
        values=patterns.values[:, is_kept],
        warnings=(*patterns.warnings, words),
    )


def _blocks(
    patterns: CovariatePatterns, profile: NDArray[np.int64], at: NDArray[np.int64]
) -> Iterator[SetBlock]:
    """Yield the sets of some covariate patterns in blocks of similar size."""
    n = patterns.n[at]
    patient = np.repeat(at, n)
    place = np.arange(len(patient)) - np.repeat(np.cumsum(n) - n, n)
    # A patient is twice the profile, plus 1 with the event.
    code = 2 * profile[patient] + (place < patterns.events[patient])
    order = np.lexsort((code, patterns.cluster[patient]))
    code, cluster = code[order], patterns.cluster[patient][order]
    _, start, size = np.unique(cluster, return_index=True, return_counts=True)
    classes = np.ceil(np.log2(size))
    for one in np.unique(classes):
        members = np.flatnonzero(classes == one)
        offset = np.arange(size[members].max())
        is_there = offset < size[members][:, None]
        padded = np.where(
            is_there, code[np.where(is_there, start[members][:, None] + offset, 0)], -1
        )
        codes, times = np.unique(padded, axis=0, return_counts=True)
        is_there, is_event = codes >= 0, codes % 2 == 1
        is_event &= is_there
        with_event = 2 * is_event.sum(1) <= is_there.sum(1)
        is_chosen = np.where(with_event[:, None], is_event, is_there & ~is_event)
        sign = np.where(with_event, 1.0, -1.0)
        yield SetBlock(np.maximum(codes, 0) // 2, is_there, is_chosen, sign, times)
