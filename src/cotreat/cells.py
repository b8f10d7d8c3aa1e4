"""Patients collapsed to cells: rows that are alike in all that a model knows of them are counted."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

CONTINUOUS, BINARY, CATEGORICAL = KINDS = ("continuous", "binary", "categorical")
"""Kinds of covariates."""


@dataclass(frozen=True)
class Covariate:
    """A column of the design that the patients' covariates make.

    Attributes
    ----------
    name : str
        ``age``, or ``class=IV`` for a level of a categorical one against its first.
    mean, scale : float
        What was taken away from the values, and what they were divided by: the SD of a continuous
        covariate, 1 of any other.
    """

    name: str
    mean: float
    scale: float


@dataclass(frozen=True, eq=False)
class Cells:
    """The patients of a study by regimen, covariates and cluster.

    Attributes
    ----------
    regimens : tuple of str
        Regimen of each cell.
    covariates : tuple of Covariate
    values : ndarray, shape (cell, covariate)
        Centred and scaled.
    clusters : tuple of str
        Names of the clusters; empty for none.
    cluster : ndarray of int, shape (cell,)
        Which cluster a cell is of; 0 where there are none.
    n, events : ndarray of int, shape (cell,)
    rows : int
        Rows that were read, with those that were dropped.
    missing : tuple of (str, int)
        Columns that lack values, and how many rows lack them: these were dropped.
    dropped : int
        Rows that were dropped.
    """

    regimens: tuple[str, ...]
    covariates: tuple[Covariate, ...]
    values: NDArray[np.float64]
    clusters: tuple[str, ...]
    cluster: NDArray[np.int64]
    n: NDArray[np.int64]
    events: NDArray[np.int64]
    rows: int
    missing: tuple[tuple[str, int], ...]
    dropped: int

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the covariates' columns."""
        return tuple(covariate.name for covariate in self.covariates)

    @property
    def are_adjusted(self) -> bool:
        """Whether more than the regimen is known of a patient; else the counts by regimen say it all."""
        return bool(self.covariates or self.clusters)

    @cached_property
    def _profile_of(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First cell of each distinct profile, and which profile each cell is of."""
        known = np.column_stack([self.values, self.cluster])
        _, first, profile = np.unique(known, axis=0, return_index=True, return_inverse=True)
        return first, profile.ravel()

    @property
    def profiles(self) -> NDArray[np.int64]:
        """A cell of each distinct profile of covariates and cluster, shape (profile,)."""
        return self._profile_of[0]

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """Share of the patients with each profile, whatever their regimen, shape (profile,)."""
        counts = np.bincount(self._profile_of[1], weights=self.n)
        return counts / counts.sum()

    def __str__(self) -> str:
        """Say what the collapse achieved."""
        words = f"{self.rows:,} rows, {len(self.n):,} cells"
        if self.dropped:
            lacking = ", ".join(f"{name} {count:,}" for name, count in self.missing)
            words += f"; {self.dropped:,} rows were dropped, for they lack values ({lacking})"
        return words
