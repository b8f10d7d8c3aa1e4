"""Collinearity of the covariates of patients: exact by rank, and near by condition indices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import qr

from cotreat.study.covariate_patterns import CovariatePatterns
from cotreat.study.study import Study

Array = NDArray[np.float64]

ILL_CONDITIONED = 30.0
"""Condition index above which columns are nearly collinear (Belsley, Kuh & Welsch, Regression Diagnostics, 1980)."""
SHARED = 0.5
"""Share of the variance of a coefficient above which its column belongs to a near collinearity (same source)."""
NEGLIGIBLE = 1e-8
"""Part of a unit column that counts as rounding error."""


@dataclass(frozen=True)
class Dependence:
    """A covariate that other columns of the design determine.

    Attributes
    ----------
    covariate : str
    others : tuple of str
        Covariates, treatments and pairs of treatments.
    with_treatments : bool
        Whether a treatment, or a pair of them, is among the others.
    """

    covariate: str
    others: tuple[str, ...]
    with_treatments: bool

    def __str__(self) -> str:
        words = f"{self.covariate} is a linear combination of {', '.join(self.others)}"
        if self.with_treatments:
            return (
                f"{words}: the data cannot separate its effect from theirs, so that these effects are not "
                f"identified; leave {self.covariate} out of covariates"
            )
        return (
            f"{words}: its coefficient is not estimable, although the effects of treatments are; leave "
            f"{self.covariate} out of covariates"
        )


@dataclass(frozen=True)
class NearDependence:
    """Columns of the design that nearly determine one another.

    Attributes
    ----------
    columns : tuple of str
        Covariates and treatments.
    index : float
        Condition index of the centred columns at unit length.
    """

    columns: tuple[str, ...]
    index: float

    def __str__(self) -> str:
        return (
            f"{', '.join(self.columns)} are nearly collinear (condition index {self.index:.0f}, above "
            f"{ILL_CONDITIONED:g}): their separate effects are imprecise; keep one of them, or combine them"
        )


@dataclass(frozen=True)
class Collinearity:
    """Collinear columns of the design of patients.

    Attributes
    ----------
    exact : tuple of Dependence
    near : tuple of NearDependence
    """

    exact: tuple[Dependence, ...]
    near: tuple[NearDependence, ...]

    def __iter__(self) -> Iterator[Dependence | NearDependence]:
        return iter((*self.exact, *self.near))


def collinearity_of(study: Study) -> Collinearity:
    """Find the covariates of a study that are collinear with others, with treatments or with pairs of them.

    Parameters
    ----------
    study
        The study, resolved to a stratification.

    Returns
    -------
    Collinearity
        Without any for a study without covariates.

    Notes
    -----
    All columns are centred and weighted by the patients of each covariate pattern, and scaled to unit length.
    Covariates, less what treatments and pairs explain of them, are ordered by QR decomposition with column
    pivoting (Golub, Numer Math 1965;7:206); those beyond the rank depend on the others. Clusters are left out:
    their effects have a common distribution in the model.
    """
    patterns = study.patterns
    if patterns is None or not patterns.covariates:
        return Collinearity((), ())
    treatments = _unit(study.content(patterns.regimens), patterns.n)
    pairs = _unit(study.products(patterns.regimens), patterns.n)
    covariates = _unit(patterns.values, patterns.n)
    given, names = np.hstack([treatments, pairs]), (*study.treatment_ids, *study.pair_labels)
    kept = _independent(given)
    exact, chosen = _exact(patterns, covariates, given[:, kept], [names[i] for i in kept])
    single = [i for i in kept if i < len(study.treatment_ids)]
    columns = np.hstack([treatments[:, single], covariates[:, chosen]])
    of = [*(names[i] for i in single), *(patterns.names[i] for i in chosen)]
    return Collinearity(exact, tuple(_near(columns, of, len(single))))


def _unit(columns: Array, n: NDArray[np.int64]) -> Array:
    """Centre columns at their weighted means and scale them to unit length; a constant column is 0."""
    centred = columns - np.average(columns, axis=0, weights=n)
    weighted = centred * np.sqrt(n / n.sum())[:, None]
    length = np.linalg.norm(weighted, axis=0)
    return weighted / np.where(length > NEGLIGIBLE, length, np.inf)


def _independent(columns: Array) -> list[int]:
    """Return the columns, in order, that the columns before do not determine."""
    kept: list[int] = []
    for at in range(columns.shape[1]):
        rest = _residuals(columns[:, [at]], columns[:, kept])
        if np.linalg.norm(rest) > NEGLIGIBLE:
            kept.append(at)
    return kept


def _residuals(columns: Array, given: Array) -> Array:
    """Return the columns less their projection on others, which are independent."""
    base = np.linalg.qr(given)[0]
    return columns - base @ (base.T @ columns)


def _exact(
    patterns: CovariatePatterns, covariates: Array, given: Array, names: Sequence[str]
) -> tuple[tuple[Dependence, ...], list[int]]:
    """Return the covariates that other columns determine, and the other covariates."""
    upper, order = qr(_residuals(covariates, given), mode="r", pivoting=True)
    rank = int((np.abs(np.diag(upper)) > NEGLIGIBLE).sum())
    chosen, dependent = sorted(order[:rank].tolist()), sorted(order[rank:].tolist())
    base = np.hstack([given, covariates[:, chosen]])
    of = [*names, *(patterns.names[i] for i in chosen)]
    found = []
    for at in dependent:
        weights = np.linalg.lstsq(base, covariates[:, at], rcond=None)[0]
        is_there = np.abs(weights) > 1e-6
        others = tuple(name for name, is_used in zip(of, is_there, strict=True) if is_used)
        found.append(Dependence(patterns.names[at], others, bool(is_there[: len(names)].any())))
    return tuple(found), chosen


def _near(columns: Array, names: Sequence[str], treatments: int) -> Iterator[NearDependence]:
    """Yield near collinearities of at least two columns, one of them a covariate."""
    if not columns.size:
        return
    _, singular, directions = np.linalg.svd(columns, full_matrices=False)
    share = (directions / singular[:, None]) ** 2
    share /= share.sum(0)
    for index, shares in zip(singular[0] / singular, share, strict=True):
        at = np.flatnonzero(shares > SHARED)
        if index > ILL_CONDITIONED and len(at) > 1 and at[-1] >= treatments:
            yield NearDependence(tuple(names[i] for i in at.tolist()), float(index))
