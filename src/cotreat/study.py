"""A study as a frozen record: what was given, what was counted, what was printed."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cotreat import regimens
from cotreat.cells import Cells
from cotreat.regimens import Regimen

Design = Literal["cohort", "randomised", "case-control"]
Scale = Literal["event", "non-event"]

NOT_IDENTIFIED = "undefined: not identified by design"
"""Availability of risks in a case-control study: its sampling fixes the share of cases."""


class ReadingError(ValueError):
    """A reading that a study does not have."""


@dataclass(frozen=True)
class Printed:
    """A number as it stands in print; the truth lies within `half` of `value`."""

    value: float
    half: float

    def __str__(self) -> str:
        """Write the number with the digits it has in print."""
        digits = 0 if self.half <= 0 else max(0, round(-math.log10(2 * self.half)))
        return f"{self.value:.{digits}f}"


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
class Meaning:
    """What a printed number is a coefficient of.

    Attributes
    ----------
    kind : str
        An entry of `cotreat.evidence.contrasts.KINDS`, such as ``sets``.
    words : tuple
        Regimens, set expressions or treatments, as that kind takes them.
    """

    kind: str
    words: tuple[Any, ...]


@dataclass(frozen=True)
class Claim:
    """A printed odds ratio or p-value.

    Attributes
    ----------
    kind : str
        ``odds_ratio``, ``p_value`` or ``p_trend``.
    meaning : Meaning or None
        None for a number that is shown and not used.
    about : str
        What such a number is said to be about.
    value : Printed
        The odds ratio, or the p-value.
    is_below : bool
        Whether a p-value is printed as "<".
    ci : tuple of Printed, or None
        The interval of an odds ratio.
    interval : str
        ``wald``, ``profile`` or ``exact``.
    model : str
        Claims of one regression share it; empty where the print does not say.
    sign : str
        ``+`` or ``-``, the side of a p-value; empty where it is not known.
    """

    id: str
    kind: str
    meaning: Meaning | None
    about: str
    value: Printed
    is_below: bool
    ci: tuple[Printed, Printed] | None
    level: float
    interval: str
    adjusted: bool
    model: str
    sign: str
    source: str

    @property
    def is_odds_ratio(self) -> bool:
        """Whether it is an odds ratio with an interval."""
        return self.kind == "odds_ratio"

    @property
    def printed(self) -> str:
        """The number as it stands in print."""
        if self.ci is None:
            return f"p {'<' if self.is_below else '='} {self.value}"
        return f"{self.value} ({self.ci[0]}–{self.ci[1]})"


@dataclass(frozen=True)
class Reading:
    """One way to understand a file whose words leave something open.

    Attributes
    ----------
    claims : tuple of Claim
        All printed numbers, with the meanings they have in this reading.
    """

    id: str
    words: str
    claims: tuple[Claim, ...]


@dataclass(frozen=True)
class Baseline:
    """The central 95 % prior interval of the risk without any treatment, and why."""

    lower: float
    upper: float
    source: str


@dataclass(frozen=True)
class Study:
    """Everything a study file offers, checked, under one reading of its words.

    Attributes
    ----------
    readings : tuple of Reading
        All ways to understand what was printed, the default first.
    reading : str
        The one of them that this record stands under.
    warnings : tuple of str
        What is odd about the printed numbers, but no error.
    digest : str
        SHA-256 of the study file's text and of its patients; two fits with the same digest saw the
        same evidence.
    cells : Cells or None
        Patients by regimen, covariates and cluster, where the rows were given; `arms` counts them.
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
    baseline: Baseline | None
    readings: tuple[Reading, ...]
    reading: str
    warnings: tuple[str, ...]
    digest: str
    cells: Cells | None = None

    @property
    def claims(self) -> tuple[Claim, ...]:
        """What was printed, with the meanings of the reading."""
        return self.read.claims

    @cached_property
    def read(self) -> Reading:
        """The reading that this record stands under."""
        return next(reading for reading in self.readings if reading.id == self.reading)

    @property
    def is_default(self) -> bool:
        """Whether it stands under its default reading."""
        return self.reading == self.readings[0].id

    def under(self, reading: str) -> "Study":
        """Return the study under another of its readings.

        Raises
        ------
        ReadingError
            If it has no such reading.
        """
        names = [known.id for known in self.readings]
        if reading not in names:
            raise ReadingError(
                f"{self.id} has no reading {reading!r}; its readings are {', '.join(names)}"
            )
        return replace(self, reading=reading)

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
    def admitted(self) -> tuple[str, ...]:
        """Labels of the regimens that the inclusion rule lets in, in the order of `regimens`."""
        return tuple(r for r in self.regimens if self.is_admitted(r))

    @cached_property
    def present(self) -> tuple[str, ...]:
        """Labels of the regimens that have patients, or may have: the cohort.

        Where the totals leave no patients outside the counted regimens, those are all.
        """
        if not self.has_uncounted:
            return self.counted
        full = [total for total in self.totals if total.n == self._counted_in(total.patients)]
        return tuple(
            r
            for r in self.admitted
            if r in self._arm_of
            or not any(self.holds(total.patients, regimens.parse(r)) for total in full)
        )

    def _counted_in(self, patients: str) -> int:
        return sum(arm.n for arm in self.arms if self.holds(patients, arm.regimen))

    @cached_property
    def has_uncounted(self) -> bool:
        """Whether the cohort has patients whose regimen was not counted."""
        return not self.arms or any(
            total.n > sum(arm.n for arm in self.arms if self.holds(total.patients, arm.regimen))
            for total in self.totals
        )

    def holds(self, patients: str, regimen: Regimen) -> bool:
        """Tell whether a regimen belongs to a set of patients."""
        return regimens.rule(patients, self.treatment_ids)(regimen)

    def members(self, patients: str, labels: tuple[str, ...]) -> NDArray[np.bool_]:
        """Tell which of some regimens belong to a set of patients, shape (labels,)."""
        belongs = regimens.rule(patients, self.treatment_ids)
        return np.array([belongs(regimens.parse(text)) for text in labels])

    @property
    def is_adjusted(self) -> bool:
        """Whether patients are given with covariates or clusters, over which risks are standardised."""
        return self.cells is not None and self.cells.are_adjusted

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
