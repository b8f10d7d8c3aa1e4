"""A study as a frozen record: what was given, what was counted, what was printed."""

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations, product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cotreat.study import regimens
from cotreat.study.covariate_patterns import Cells
from cotreat.study.regimens import GROUP, LEVEL, Regimen

Design = Literal["cohort", "randomised", "case-control"]
Scale = Literal["event", "non-event"]

BY_DESIGN = "not identified by design"
"""Why there are no risks in a case-control study: its sampling fixes the share of cases."""


DOSE, DURATION = GRADINGS = ("dose", "duration")
"""What levels of a treatment may be levels of."""
MOST_REGIMENS = 64
"""Past that no table of regimens is readable."""


class InterpretationError(ValueError):
    """A reading that a study does not have."""


class StratificationError(ValueError):
    """A division of its patients that a study cannot make."""


@dataclass(frozen=True)
class RoundedNumber:
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
class Stratification:
    """What tells patients of one regimen apart: levels of their treatments, or subgroups.

    Attributes
    ----------
    id : str
        ``dose``, ``duration``, or what a study file calls the subgroups.
    owners : tuple of (str, tuple of (str, str))
        For levels, each treatment that has some; for subgroups, the one id again. With it id and name
        of each level, the lowest first, or of each subgroup.
    name : str
        What the subgroups are by.
    """

    id: str
    owners: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    name: str = ""

    @property
    def is_graded(self) -> bool:
        """Whether its parts are ordered levels of treatments."""
        return self.id in GRADINGS

    @cached_property
    def names(self) -> dict[str, str]:
        """Name of each part, in order: ``TAC.high`` or ``kidney=severe``."""
        mark = LEVEL if self.is_graded else GROUP
        return {f"{owner}{mark}{i}": name for owner, own in self.owners for i, name in own}

    @cached_property
    def levels(self) -> dict[str, tuple[str, ...]]:
        """Parts of each treatment that has levels, the lowest first; empty for subgroups."""
        if not self.is_graded:
            return {}
        return {owner: tuple(f"{owner}{LEVEL}{i}" for i, _ in own) for owner, own in self.owners}

    @property
    def groups(self) -> tuple[str, ...]:
        """Parts that are subgroups; empty for levels."""
        return () if self.is_graded else tuple(self.names)

    @cached_property
    def written(self) -> frozenset[str]:
        """Parts as set expressions write them: ``TAC.high``, ``kidney.severe``."""
        return frozenset(part.replace(GROUP, LEVEL) for part in self.names)

    def is_told(self, regimen: Regimen) -> bool:
        """Tell whether a regimen says all that the division would know of it."""
        if self.groups:
            return bool(regimen & set(self.groups))
        return all(
            bool(regimen & set(own))
            for treatment, own in self.levels.items()
            if treatment in regimens.taken(regimen)
        )


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
class ReportedEstimate:
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
    value: RoundedNumber
    is_below: bool
    ci: tuple[RoundedNumber, RoundedNumber] | None
    level: float
    interval: str
    adjusted: bool
    model: str
    sign: str
    source: str

    @property
    def has_interval(self) -> bool:
        """Whether it is an estimate with an interval, such as an odds ratio, and no p-value."""
        return self.ci is not None

    @property
    def as_reported(self) -> str:
        """The number as it stands in print."""
        if self.ci is None:
            return f"p {'<' if self.is_below else '='} {self.value}"
        return f"{self.value} ({self.ci[0]}–{self.ci[1]})"


@dataclass(frozen=True)
class Interpretation:
    """One way to understand a file whose words leave something open.

    Attributes
    ----------
    claims : tuple of Claim
        All printed numbers, with the meanings they have in this reading.
    """

    id: str
    words: str
    reported_estimates: tuple[ReportedEstimate, ...]


@dataclass(frozen=True)
class StratifiedCounts:
    """Counts of patients as finely as a study tells them, whatever divides them.

    Attributes
    ----------
    arms : tuple of Arm
        Regimens may be told by level and subgroup.
    totals : tuple of Total
    cells : Cells or None
    """

    arms: tuple[Arm, ...]
    totals: tuple[Total, ...]
    cells: Cells | None = None


@dataclass(frozen=True)
class Sequential:
    """Treatments that some or all who got them together got one after the other, and where that stands."""

    treatments: tuple[str, ...]
    source: str


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
    told : Told
        Counts as finely as they were given.
    divisions : tuple of Division
        What can tell patients of one regimen apart.
    division : str
        Id of the one by which this record does; empty for regimens as they are.
    sequential : tuple of Sequential
        Treatments that were given one after the other.
    readings : tuple of Reading
        All ways to understand what was printed, the default first.
    reading : str
        The one of them that this record stands under.
    warnings : tuple of str
        What is odd about the printed numbers, but no error.
    digest : str
        SHA-256 of the study file's text and of its patients; two fits with the same digest saw the
        same evidence.
    file : str
        The path it was read from, as it was given; empty for packaged studies.
    """

    id: str
    title: str
    design: Design
    source: str
    doi: str
    inclusion: str
    outcome: Outcome
    treatments: tuple[Treatment, ...]
    stratified: StratifiedCounts
    baseline: Baseline | None
    interpretations: tuple[Interpretation, ...]
    interpretation: str
    warnings: tuple[str, ...]
    digest: str
    stratifications: tuple[Stratification, ...] = ()
    strata: str = ""
    sequential: tuple[Sequential, ...] = ()
    file: str = field(default="", compare=False)

    @property
    def risk_kind(self) -> str:
        """What a risk of its fits is: implied by printed numbers, standardised over patients, or crude."""
        return "implied" if self.has_uncounted else "standardised" if self.is_adjusted else "crude"

    @property
    def reported_estimates(self) -> tuple[ReportedEstimate, ...]:
        """What was printed, with the meanings of the reading."""
        return self.read.reported_estimates

    @cached_property
    def read(self) -> Interpretation:
        """The reading that this record stands under."""
        return next(
            interpretation
            for interpretation in self.interpretations
            if interpretation.id == self.interpretation
        )

    @property
    def is_default(self) -> bool:
        """Whether it stands under its default reading."""
        return self.interpretation == self.interpretations[0].id

    def resolve(self, interpretation: str | None = None, strata: str | None = None) -> "Study":
        """Return the study under an interpretation and a stratification.

        Parameters
        ----------
        interpretation
            Id of an interpretation; empty or None keeps that of this record.
        strata
            ``dose``, ``duration`` or the id of subgroups; "" pools all strata; None keeps the
            stratification of this record.

        Raises
        ------
        InterpretationError
            If the study has no such interpretation.
        StratificationError
            If the study has no such strata, or does not count its patients by them.
        """
        ids = [known.id for known in self.interpretations]
        if interpretation and interpretation not in ids:
            raise InterpretationError(
                f"{self.id} has no interpretation {interpretation!r}; its interpretations are "
                f"{', '.join(ids)}"
            )
        if strata:
            self._require(strata)
        return replace(
            self,
            interpretation=interpretation or self.interpretation,
            strata=self.strata if strata is None else strata,
        )

    def _require(self, strata: str) -> None:
        known = {own.id: own for own in self.stratifications}
        if strata not in known:
            what = "levels of" if strata in GRADINGS else "subgroups by"
            has = f"; it has {', '.join(known)}" if known else ""
            raise StratificationError(f"{self.id} has no {what} {strata}{has}")
        own = known[strata]
        cells = self.stratified.cells
        untold = [arm for arm in self.stratified.arms if not own.is_told(arm.regimen)]
        if untold or (cells is not None and strata not in cells.stratifications):
            example = next(iter(own.names))
            if own.groups:
                example = f"{self.treatments[0].id}{regimens.WITHIN}{example}"
            raise StratificationError(
                f"the patients of {self.id} are not counted by {strata}; write regimens such as "
                f"{example} in [[arms]], or name its column under [patients]"
            )
        count = len(self._lattice(own))
        if count > MOST_REGIMENS:
            raise StratificationError(
                f"{self.id} by {strata} has {count} regimens; at most {MOST_REGIMENS} can be read"
            )

    @cached_property
    def stratification(self) -> Stratification | None:
        """What tells patients of one regimen apart in this record; None for nothing."""
        return next((own for own in self.stratifications if own.id == self.strata), None)

    @property
    def levels(self) -> dict[str, tuple[str, ...]]:
        """Parts that stand for a treatment in the regimens, if they are told by its levels."""
        return self.stratification.levels if self.stratification else {}

    @property
    def groups(self) -> tuple[str, ...]:
        """Parts that are subgroups in the regimens; empty for none."""
        return self.stratification.groups if self.stratification else ()

    @cached_property
    def parts(self) -> frozenset[str]:
        """Levels and subgroups of all divisions, which set expressions may name."""
        return frozenset(part for own in self.stratifications for part in own.names)

    def tells(self, named: frozenset[str]) -> bool:
        """Tell whether regimens are told by some levels or subgroups, written ``TAC.high``."""
        own = self.stratification.names if self.stratification else {}
        return named <= {part.replace(GROUP, LEVEL) for part in own}

    @cached_property
    def arms(self) -> tuple[Arm, ...]:
        """Counts by regimen, told as this record tells regimens."""
        if self.cells is not None:
            counts = self.cells.counts.items()
            return tuple(Arm(regimens.parse(r), *both, self.source) for r, both in counts)
        summed: dict[Regimen, Arm] = {}
        for arm in self.stratified.arms:
            own = regimens.parse(self.cut(arm.regimen))
            before = summed.get(own, Arm(own, 0, 0, arm.source))
            summed[own] = replace(before, n=before.n + arm.n, events=before.events + arm.events)
        return tuple(summed.values())

    def cut(self, regimen: Regimen) -> str:
        """Label a regimen by what this record tells of it."""
        kept = self.stratification.names if self.stratification else {}
        told = (part for part in regimen if part in kept or GROUP not in part)
        return self.label(frozenset(p if p in kept else regimens.treatment_of(p) for p in told))

    @cached_property
    def totals(self) -> tuple[Total, ...]:
        """Printed margins of sets that this record can tell."""
        return tuple(
            total
            for total in self.stratified.totals
            if self.tells(regimens.named_parts(total.patients))
        )

    @cached_property
    def cells(self) -> Cells | None:
        """Patients by regimen, covariates and cluster, where the rows were given."""
        cells = self.stratified.cells
        return None if cells is None else cells.stratified(self.strata)

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

    def parts_of(self, treatment: str) -> tuple[str, ...]:
        """What stands for a treatment in the regimens: itself, or each of its levels."""
        return self.levels.get(treatment, (treatment,))

    @cached_property
    def all_parts(self) -> tuple[str, ...]:
        """What stands for treatments in the regimens, in order: ``A.low``, ``A.high``, ``B``."""
        return tuple(part for treatment in self.treatment_ids for part in self.parts_of(treatment))

    @cached_property
    def judged_pairs(self) -> dict[str, tuple[str, str]]:
        """Every two parts that may be synergistic, by label: ``A:B``, or ``A.high:B`` by levels."""
        return {
            f"{a}:{b}": (a, b)
            for one, other in self.pairs
            for a, b in product(self.parts_of(one), self.parts_of(other))
        }

    def _lattice(self, strata: Stratification | None) -> tuple[Regimen, ...]:
        levels, groups = (strata.levels, strata.groups) if strata else ({}, ())
        return regimens.lattice(self.treatment_ids, levels, groups)

    @cached_property
    def regimens(self) -> tuple[str, ...]:
        """Labels of all regimens, counted or not: 2^k of them where they are not told by levels."""
        return tuple(map(self.label, self._lattice(self.stratification)))

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
        return regimens.rule(patients, self.treatment_ids, self.parts)(regimen)

    def members(self, patients: str, labels: tuple[str, ...]) -> NDArray[np.bool_]:
        """Tell which of some regimens belong to a set of patients, shape (labels,)."""
        belongs = regimens.rule(patients, self.treatment_ids, self.parts)
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
        sets = [regimens.taken(regimens.parse(text)) for text in labels]
        return np.array([[float(t in s) for t in self.treatment_ids] for s in sets])

    def part_content(self, labels: tuple[str, ...]) -> NDArray[np.float64]:
        """Tell which of `all_parts` each regimen holds, 0 or 1, shape (regimen, part)."""
        sets = [regimens.parse(text) for text in labels]
        return np.array([[float(part in s) for part in self.all_parts] for s in sets])

    def ranks(self, labels: tuple[str, ...], treatment: str) -> NDArray[np.int64]:
        """Return the level of a treatment in each regimen, 0 for none, 1 for the lowest, shape (regimen,)."""
        parts = self.parts_of(treatment)
        sets = [regimens.parse(text) for text in labels]
        return np.array([next((i for i, p in enumerate(parts, 1) if p in s), 0) for s in sets])

    def products(self, labels: tuple[str, ...]) -> NDArray[np.float64]:
        """Return which pairs each regimen holds, 0 or 1, shape (regimen, pair)."""
        sets = [regimens.taken(regimens.parse(text)) for text in labels]
        return np.array([[float(a in s and b in s) for a, b in self.pairs] for s in sets])

    def backgrounds(self, pair: tuple[str, str]) -> tuple[Regimen, ...]:
        """Return every set of the other treatments on which two parts can be judged."""
        own = set(map(regimens.treatment_of, pair))
        others = [t for t in self.treatment_ids if t not in own]
        return regimens.lattice(others, self.levels, self.groups)

    def is_admitted(self, regimen: str) -> bool:
        """Tell whether the inclusion rule lets a regimen into the study."""
        return self.holds(self.inclusion, regimens.parse(regimen))
