"""A study as a frozen record: what was given, what was counted, what was printed."""

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from cotreat import regimens
from cotreat.regimens import Regimen

Design = Literal["cohort", "randomised", "case-control"]
Scale = Literal["event", "non-event"]

NOT_IDENTIFIED = "undefined: not identified by design"
"""Availability of risks in a case-control study: its sampling fixes the share of cases."""


@dataclass(frozen=True)
class Printed:
    """A number as it stands in print; the truth lies within `half` of `value`."""

    value: float
    half: float


@dataclass(frozen=True)
class Treatment:
    """One drug or exposure."""

    id: str
    name: str


@dataclass(frozen=True)
class Outcome:
    """The yes/no outcome and the scale on which synergy is judged."""

    name: str
    time: str
    direction: Literal["benefit", "harm"]
    synergy_on: Scale


@dataclass(frozen=True)
class Arm:
    """A counted cell: `events` of `n` patients on `regimen`."""

    regimen: Regimen
    n: int
    events: int
    source: str


@dataclass(frozen=True)
class Total:
    """A printed margin: a set of patients, how many they are and how many had the event."""

    patients: str
    n: int
    events: int | None
    source: str


@dataclass(frozen=True)
class Claim:
    """A printed odds ratio of two disjoint sets of patients, the first against the second."""

    id: str
    sides: tuple[str, str]
    members: tuple[frozenset[Regimen], frozenset[Regimen]]
    value: Printed
    ci: tuple[Printed, Printed]
    level: float
    adjusted: bool
    source: str


@dataclass(frozen=True)
class Baseline:
    """The central 95 % prior interval of the risk without any treatment, and why."""

    lower: float
    upper: float
    source: str


@dataclass(frozen=True)
class Study:
    """Everything a study file offers, checked.

    Attributes
    ----------
    digest : str
        SHA-256 of the study file's text; two fits with the same digest saw the same evidence.
    """

    id: str
    title: str
    design: Design
    source: str
    doi: str
    inclusion: str
    outcome: Outcome
    treatments: tuple[Treatment, ...]
    arms: tuple[Arm, ...]
    totals: tuple[Total, ...]
    claims: tuple[Claim, ...]
    baseline: Baseline | None
    digest: str

    @property
    def is_case_control(self) -> bool:
        """Whether cases and controls were sampled separately, so that risks mean nothing."""
        return self.design == "case-control"

    @cached_property
    def treatment_ids(self) -> tuple[str, ...]:
        """Treatments in the order of the file."""
        return tuple(t.id for t in self.treatments)

    @cached_property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Every pair of treatments."""
        return tuple(combinations(self.treatment_ids, 2))

    @cached_property
    def pair_labels(self) -> tuple[str, ...]:
        """``A:B`` for every pair, in the order of `pairs`."""
        return tuple(f"{a}:{b}" for a, b in self.pairs)

    @cached_property
    def regimens(self) -> tuple[str, ...]:
        """Labels of all 2^k regimens, counted or not."""
        return tuple(self.label(r) for r in regimens.lattice(self.treatment_ids))

    @cached_property
    def counted(self) -> tuple[str, ...]:
        """Labels of the regimens with patients, in the order of `regimens`."""
        return tuple(r for r in self.regimens if r in self._arm_of)

    @cached_property
    def n(self) -> NDArray[np.int64]:
        """Patients by counted regimen, shape (counted,)."""
        return np.array([self._arm_of[r].n for r in self.counted])

    @cached_property
    def events(self) -> NDArray[np.int64]:
        """Events by counted regimen, shape (counted,)."""
        return np.array([self._arm_of[r].events for r in self.counted])

    def source_of(self, regimen: str) -> str:
        """Return where the count of a regimen stands."""
        return self._arm_of[regimen].source

    @cached_property
    def _arm_of(self) -> dict[str, Arm]:
        return {self.label(arm.regimen): arm for arm in self.arms}

    def label(self, regimen: Regimen) -> str:
        """Write a regimen in the order of the file's treatments."""
        return regimens.label(regimen, self.treatment_ids)

    def content(self, labels: tuple[str, ...]) -> NDArray[np.float64]:
        """Return which treatments each regimen holds, 0 or 1, shape (regimen, treatment)."""
        sets = [regimens.parse(text) for text in labels]
        return np.array([[float(t in s) for t in self.treatment_ids] for s in sets])

    def products(self, labels: tuple[str, ...]) -> NDArray[np.float64]:
        """Return which pairs each regimen holds, 0 or 1, shape (regimen, pair)."""
        sets = [regimens.parse(text) for text in labels]
        return np.array([[float(a in s and b in s) for a, b in self.pairs] for s in sets])

    def backgrounds(self, pair: tuple[str, str]) -> tuple[Regimen, ...]:
        """Return every set of the other treatments on which a pair can be judged."""
        return regimens.lattice([t for t in self.treatment_ids if t not in pair])

    def is_admitted(self, regimen: str) -> bool:
        """Tell whether the inclusion rule lets a regimen into the study."""
        return regimens.rule(self.inclusion, self.treatment_ids)(regimens.parse(regimen))
