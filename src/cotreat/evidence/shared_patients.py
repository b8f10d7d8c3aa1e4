"""State in words what is assumed of estimates that share patients where no totals are reported."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from itertools import combinations

import numpy as np

from cotreat.evidence.arm_variances import Solutions
from cotreat.evidence.contrasts import KINDS
from cotreat.evidence.reported import ReportedEstimates, cohort_of

NO_CORRELATION = 1e-6
"""Size of a correlation that is zero."""


def assumptions(reported: ReportedEstimates) -> tuple[str, ...]:
    """State the covariances that are assumed between estimates of the same patients.

    Parameters
    ----------
    reported
        The reported estimates.

    Returns
    -------
    tuple of str
        One sentence for each group of patients in several estimates, and one for estimates that are taken as
        independent; empty where totals are reported.
    """
    if reported.sizes.are_known:
        return ()
    labels = _labels(reported)
    sentences = [
        sentence
        for part in reported.variances.parts
        for sentence in _of_part(reported, part, labels)
    ]
    return (*sentences, *_independent(reported))


def _of_part(
    reported: ReportedEstimates, part: Solutions, labels: dict[Hashable, str]
) -> Iterator[str]:
    """Yield a sentence on each group of patients that several estimates share."""
    ids = [reported.with_interval[at].id for at in part.estimates]
    for place, keys in enumerate(part.groups):
        rows = np.flatnonzero(part.weights[:, place]).tolist()
        if len(rows) < 2:
            continue
        lower, upper = part.bounds(np.eye(len(part.groups))[place])
        names = " and of ".join(labels[key] for key in keys)
        variance = (
            f"{upper:.3g} by their standard errors"
            if upper - lower < NO_CORRELATION
            else f"between {_tidy(lower):.3g} and {upper:.3g}, all equally probable"
        )
        pairs = [_correlation(part, ids, *pair) for pair in combinations(rows, 2)]
        yield (
            f"{_listed([ids[row] for row in rows])} share the patients of {names}: the variance of their "
            f"log odds is {variance}; correlation {'; '.join(pairs)}"
        )


def _correlation(part: Solutions, ids: list[str], one: int, other: int) -> str:
    lower, upper = part.correlations(one, other)
    values = f"{lower:.2f}" if upper - lower < NO_CORRELATION else f"{lower:.2f} to {upper:.2f}"
    return f"{values} ({ids[one]}, {ids[other]})"


def _independent(reported: ReportedEstimates) -> Iterator[str]:
    """Yield a sentence on the estimates that share patients and are taken as independent."""
    members = [coef.groups.any(0) for coef in reported.regressions.coefficients]
    linked = (reported.variances.weights != 0).astype(float)
    used = [at for at in reported.kept if at < len(reported.with_interval)]
    pairs = [
        (one, other)
        for one, other in combinations(used, 2)
        if (members[one] & members[other]).any() and not linked[one] @ linked[other]
    ]
    if not pairs:
        return
    names = [
        reported.with_interval[at].id for at in dict.fromkeys(at for pair in pairs for at in pair)
    ]
    yield (
        f"{_listed(names)} share patients, but no common regimen or set, or not on one scale: they are taken as "
        "independent, so intervals may be too narrow or too wide; numbers of patients ([[totals]]) would "
        "determine their correlation"
    )


def _labels(reported: ReportedEstimates) -> dict[Hashable, str]:
    """Name the groups of arms: as a side of a reported contrast, otherwise by their regimens."""
    cohort, words = cohort_of(reported.study), {}
    for meaning in reported.meanings:
        holds = KINDS[meaning.kind].holds
        if holds != "treatments":
            for side, word in zip(cohort.sides(holds, meaning.words), meaning.words, strict=True):
                words[side.astype(float).tobytes()] = word
    labels: dict[Hashable, str] = {}
    for part in reported.variances.parts:
        for key in (key for keys in part.groups for key in keys):
            group = key[1] if key[0] != "adjusted" else key[1][1]
            if isinstance(group, bytes):
                arms = zip(reported.study.present, np.frombuffer(group), strict=True)
                labels[key] = words.get(group, " or ".join(arm for arm, is_in in arms if is_in))
                labels[key] += ", in what adjustment adds" * (
                    key[0] == "adjusted" and _has(part, key[1])
                )
    return labels


def _tidy(value: float) -> float:
    return value if value > NO_CORRELATION else 0.0


def _has(part: Solutions, key: Hashable) -> bool:
    return any(key in keys for keys in part.groups)


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"
