"""Patients collapsed to cells: rows that are alike in all that a model knows of them are counted."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cotreat.study.regimens import group_of

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
    column : str
        The column of the rows that it was made of.
    """

    name: str
    mean: float
    scale: float
    column: str


@dataclass(frozen=True)
class Labels:
    """Regimens of all cells, told by one division of the patients.

    Attributes
    ----------
    division : str
        ``dose``, ``duration`` or an id of subgroups; empty for regimens as they are.
    regimens : tuple of str
        By cell.
    column : str
        The column that subgroups were made of: no covariate where it tells regimens apart.
    """

    strata: str
    regimens: tuple[str, ...]
    column: str = ""


@dataclass(frozen=True, eq=False)
class Cells:
    """The patients of a study by regimen, covariates and cluster.

    Attributes
    ----------
    labels : tuple of Labels
        Regimen of each cell: by the division in force, then by others.
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

    labels: tuple[Labels, ...]
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
    def regimens(self) -> tuple[str, ...]:
        """Regimen of each cell, by the division in force."""
        return self.labels[0].regimens

    @property
    def stratifications(self) -> frozenset[str]:
        """Ids of all divisions by which the regimens of these patients are told."""
        return frozenset(own.strata for own in self.labels)

    def stratified(self, strata: str) -> "Cells":
        """Tell regimens by a division, and count together the patients that are alike then."""
        if len(self.labels) == 1:
            return self
        (own,) = (labels for labels in self.labels if labels.strata == strata)
        others = [
            at for at, c in enumerate(self.covariates) if not own.column or c.column != own.column
        ]
        names, label = np.unique(own.regimens, return_inverse=True)
        known = np.column_stack([label, self.cluster, self.values[:, others]])
        kept, cell = np.unique(known, axis=0, return_inverse=True)
        n, events = (
            np.bincount(cell.ravel(), weights=w).astype(np.int64) for w in (self.n, self.events)
        )
        return replace(
            self,
            labels=(replace(own, regimens=tuple(names[kept[:, 0].astype(int)].tolist())),),
            covariates=tuple(self.covariates[at] for at in others),
            values=kept[:, 2:],
            cluster=kept[:, 1].astype(np.int64),
            n=n,
            events=events,
        )

    @cached_property
    def counts(self) -> dict[str, tuple[int, int]]:
        """Patients and events by regimen."""
        names, label = np.unique(self.regimens, return_inverse=True)
        n, events = (np.bincount(label, weights=w).astype(int) for w in (self.n, self.events))
        return {str(name): (int(n[i]), int(events[i])) for i, name in enumerate(names)}

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

    def weights(self, arms: tuple[str, ...]) -> NDArray[np.float64]:
        """Share of the patients with each profile, whatever their regimen, shape (arm or 1, profile).

        Of an arm within a subgroup these are the patients of that subgroup.
        """
        profile, count = self._profile_of[1], len(self.profiles)
        groups = np.array([group_of(regimen) for regimen in self.regimens])
        wanted = [group_of(arm) for arm in arms]
        shares = {}
        for group in dict.fromkeys(wanted):
            own = groups == group
            counts = np.bincount(profile[own], weights=self.n[own], minlength=count)
            shares[group] = counts / counts.sum()
        if len(shares) == 1:
            return np.array(list(shares.values()))
        return np.array([shares[group] for group in wanted])

    def __str__(self) -> str:
        """Say what the collapse achieved."""
        words = f"{self.rows:,} rows, {len(self.n):,} cells"
        if self.dropped:
            lacking = ", ".join(f"{name} {count:,}" for name, count in self.missing)
            words += f"; {self.dropped:,} rows were dropped, for they lack values ({lacking})"
        return words
