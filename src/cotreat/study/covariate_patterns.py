"""Covariate patterns: patients with equal regimen, covariates and cluster, counted together."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cotreat.study.regimens import group_of

CONTINUOUS, BINARY, CATEGORICAL = KINDS = ("continuous", "binary", "categorical")
"""Kinds of covariates."""


@dataclass(frozen=True)
class DesignColumn:
    """A column of the design matrix.

    Attributes
    ----------
    name : str
        ``age``; ``class=IV`` for the indicator of a level of a categorical covariate.
    mean, scale : float
        Centre and scale of the values: the mean and SD of a continuous covariate; scale 1 otherwise.
    column : str
        Column of the data.
    """

    name: str
    mean: float
    scale: float
    column: str


@dataclass(frozen=True)
class StratumRegimens:
    """Regimens of all covariate patterns at one stratification.

    Attributes
    ----------
    strata : str
        ``dose``, ``duration`` or the id of subgroups; empty for pooled strata.
    regimens : tuple of str
        By covariate pattern.
    column : str
        Column that defines the subgroups; it is no covariate under this stratification.
    """

    strata: str
    regimens: tuple[str, ...]
    column: str = ""


@dataclass(frozen=True, eq=False)
class CovariatePatterns:
    """Individual patient data, aggregated by regimen, covariates and cluster.

    Attributes
    ----------
    labels : tuple of StratumRegimens
        Regimens at the current stratification, then at the others.
    covariates : tuple of DesignColumn
    values : ndarray, shape (pattern, covariate)
        Centred and scaled covariates.
    clusters : tuple of str
        Names of the clusters; empty for none.
    cluster : ndarray of int, shape (pattern,)
        Index into `clusters`; 0 without clusters.
    n, events : ndarray of int, shape (pattern,)
    rows : int
        Rows of the data, including the dropped ones.
    missing : tuple of (str, int)
        Columns with missing values and their numbers of rows, which were dropped.
    dropped : int
        Rows that were dropped.
    warnings : tuple of str
        What is unusual about the rows.
    notes : tuple of str
        How values were read that are no numbers.
    is_matched : bool
        Whether the clusters are matched sets, which are conditioned on.
    """

    labels: tuple[StratumRegimens, ...]
    covariates: tuple[DesignColumn, ...]
    values: NDArray[np.float64]
    clusters: tuple[str, ...]
    cluster: NDArray[np.int64]
    n: NDArray[np.int64]
    events: NDArray[np.int64]
    rows: int
    missing: tuple[tuple[str, int], ...]
    dropped: int
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    is_matched: bool = False

    @property
    def regimens(self) -> tuple[str, ...]:
        """Regimen of each pattern at the current stratification."""
        return self.labels[0].regimens

    @property
    def stratifications(self) -> frozenset[str]:
        """Ids of all stratifications of these patients."""
        return frozenset(labels.strata for labels in self.labels)

    def stratified(self, strata: str) -> "CovariatePatterns":
        """Return the covariate patterns at one stratification, aggregated again.

        Parameters
        ----------
        strata : str
            Id of the stratification; empty for pooled strata.

        Returns
        -------
        CovariatePatterns
        """
        if len(self.labels) == 1:
            return self
        (labels,) = (labels for labels in self.labels if labels.strata == strata)
        others = [
            i
            for i, c in enumerate(self.covariates)
            if not labels.column or c.column != labels.column
        ]
        names, label = np.unique(labels.regimens, return_inverse=True)
        pattern = np.column_stack([label, self.cluster, self.values[:, others]])
        kept, index = np.unique(pattern, axis=0, return_inverse=True)
        n, events = (
            np.bincount(index.ravel(), weights=w).astype(np.int64) for w in (self.n, self.events)
        )
        regimens = tuple(names[kept[:, 0].astype(int)].tolist())
        return replace(
            self,
            labels=(replace(labels, regimens=regimens),),
            covariates=tuple(self.covariates[i] for i in others),
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
        """Names of the columns of the design matrix."""
        return tuple(covariate.name for covariate in self.covariates)

    @cached_property
    def _profile_of(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First pattern of each profile of covariates and cluster, and the profile of each pattern."""
        profiles = np.column_stack([self.values, self.cluster])
        _, first, profile = np.unique(profiles, axis=0, return_index=True, return_inverse=True)
        return first, profile.ravel()

    @property
    def profiles(self) -> NDArray[np.int64]:
        """One pattern of each distinct profile of covariates and cluster, shape (profile,)."""
        return self._profile_of[0]

    def weights(self, arms: tuple[str, ...]) -> NDArray[np.float64]:
        """Return the share of patients with each profile, over all regimens.

        Parameters
        ----------
        arms : tuple of str
            Labels of regimens; the shares of an arm within a subgroup are those of the subgroup.

        Returns
        -------
        ndarray, shape (arm or 1, profile)
        """
        profile, count = self._profile_of[1], len(self.profiles)
        groups = np.array([group_of(regimen) for regimen in self.regimens])
        wanted = [group_of(arm) for arm in arms]
        shares = {}
        for group in dict.fromkeys(wanted):
            members = groups == group
            counts = np.bincount(profile[members], weights=self.n[members], minlength=count)
            shares[group] = counts / counts.sum()
        return np.array(
            list(shares.values()) if len(shares) == 1 else [shares[group] for group in wanted]
        )

    def __str__(self) -> str:
        """Summarise the aggregation: rows, covariate patterns, dropped rows."""
        words = f"{self.rows:,} rows, {len(self.n):,} covariate patterns"
        if self.dropped:
            columns = ", ".join(f"{name} {count:,}" for name, count in self.missing)
            words += f"; {self.dropped:,} rows with missing values were dropped ({columns})"
        return words
