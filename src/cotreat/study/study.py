"""A study as a frozen record: treatments, counts of patients and reported estimates."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations, product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cotreat.study import regimens
from cotreat.study.covariate_patterns import CovariatePatterns
from cotreat.study.regimens import GROUP, LEVEL, Regimen

Design = Literal["cohort", "randomised", "case-control"]
Scale = Literal["event", "non-event"]
RANDOMISED: Design = "randomised"

BY_DESIGN = "not identified by design"
BY_MATCHING = "not identified given the number of events in each matched set"
NO_RISKS = (BY_DESIGN, BY_MATCHING)
"""Reasons why risks are not estimable."""
"""Reason why a case-control study has no risks: its sampling fixes the share of cases."""

DOSE, DURATION = GRADINGS = ("dose", "duration")
"""Stratifications by ordered levels of treatments."""
MOST_REGIMENS = 64
"""Largest number of regimens of a stratified study; a longer table is not readable."""


class InterpretationError(ValueError):
    """An interpretation that a study does not have."""


class StratificationError(ValueError):
    """A stratification that a study does not have, or by which its patients are not counted."""


@dataclass(frozen=True)
class RoundedNumber:
    """A number as published; the exact value lies within `half` of `value`.

    Attributes
    ----------
    value : float
        The published number.
    half : float
        Half a unit of its last digit.
    """

    value: float
    half: float

    def __str__(self) -> str:
        """Format the number with its published digits."""
        digits = 0 if self.half <= 0 else max(0, round(-math.log10(2 * self.half)))
        return f"{self.value:.{digits}f}"


@dataclass(frozen=True)
class Treatment:
    """A drug or exposure.

    Attributes
    ----------
    id : str
        Name in regimens and set expressions.
    name : str
        Name in tables and figures.
    """

    id: str
    name: str


@dataclass(frozen=True)
class Outcome:
    """The yes/no outcome and the scale on which synergy is judged.

    Attributes
    ----------
    name : str
    time : str
        Time of assessment; empty where it is not stated.
    direction : str
        ``benefit`` or ``harm``.
    synergy_on : str
        ``event`` or ``non-event``.
    """

    name: str
    time: str
    direction: Literal["benefit", "harm"]
    synergy_on: Scale


@dataclass(frozen=True)
class Margin:
    """Values of a measure of interaction that would not matter.

    Attributes
    ----------
    measure : str
        ``ror``, ``rrr``, ``ic`` or ``bliss``.
    lower, upper : float
        On the scale on which synergy is judged, event or non-event.
    is_default : bool
        Whether nobody declared it.
    """

    measure: str
    lower: float
    upper: float
    is_default: bool = False


@dataclass(frozen=True)
class Stratification:
    """Strata of the patients: levels of their treatments, or subgroups.

    Attributes
    ----------
    id : str
        ``dose``, ``duration``, or the id of the subgroups in the study file.
    owners : tuple of (str, tuple of (str, str))
        For levels, each treatment that has levels; for subgroups, their id. Each with the id and the
        name of every level, the lowest first, or of every subgroup.
    name : str
        Name of the characteristic that defines the subgroups.
    """

    id: str
    owners: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    name: str = ""

    @property
    def is_graded(self) -> bool:
        """Whether the strata are ordered levels of treatments."""
        return self.id in GRADINGS

    @cached_property
    def names(self) -> dict[str, str]:
        """Name of each stratum, in order, by ``TAC.high`` or ``kidney=severe``."""
        mark = LEVEL if self.is_graded else GROUP
        return {f"{owner}{mark}{i}": name for owner, strata in self.owners for i, name in strata}

    @cached_property
    def levels(self) -> dict[str, tuple[str, ...]]:
        """Levels of each treatment that has some, the lowest first; empty for subgroups."""
        owners = self.owners if self.is_graded else ()
        return {name: tuple(f"{name}{LEVEL}{i}" for i, _ in levels) for name, levels in owners}

    @property
    def groups(self) -> tuple[str, ...]:
        """Subgroups; empty for levels."""
        return () if self.is_graded else tuple(self.names)

    @cached_property
    def written(self) -> frozenset[str]:
        """Strata in the notation of set expressions: ``TAC.high``, ``kidney.severe``."""
        return frozenset(stratum.replace(GROUP, LEVEL) for stratum in self.names)

    def classifies(self, regimen: Regimen) -> bool:
        """Return whether a regimen names its subgroup, or the level of each treatment that has levels.

        Parameters
        ----------
        regimen : frozenset of str

        Returns
        -------
        bool
        """
        if self.groups:
            return not regimen.isdisjoint(self.groups)
        treatments = regimens.taken(regimen)
        return all(
            not regimen.isdisjoint(levels)
            for treatment, levels in self.levels.items()
            if treatment in treatments
        )


@dataclass(frozen=True)
class Arm:
    """Counts of one regimen: `events` of `n` patients.

    Attributes
    ----------
    regimen : frozenset of str
    n, events : int
    source : str
        Table or figure of the publication.
    """

    regimen: Regimen
    n: int
    events: int
    source: str


def pooled(arms: Iterable[Arm], stratum: Callable[[Regimen], Regimen]) -> dict[Regimen, Arm]:
    """Sum counts over arms whose regimens are equal at a coarser stratification.

    Parameters
    ----------
    arms : iterable of Arm
    stratum : callable
        The coarser regimen of each arm's regimen.

    Returns
    -------
    dict of Regimen to Arm
    """
    sums: dict[Regimen, Arm] = {}
    for arm in arms:
        regimen = stratum(arm.regimen)
        before = sums.get(regimen, Arm(regimen, 0, 0, arm.source))
        sums[regimen] = replace(before, n=before.n + arm.n, events=before.events + arm.events)
    return sums


@dataclass(frozen=True)
class Total:
    """A reported margin: patients, and patients with the event, of a set of patients.

    Attributes
    ----------
    patients : str
        Set expression.
    n : int
    events : int or None
        None where they are not reported.
    source : str
        Table or figure of the publication.
    """

    patients: str
    n: int
    events: int | None
    source: str


@dataclass(frozen=True)
class Meaning:
    """The coefficient that a reported number estimates.

    Attributes
    ----------
    kind : str
        An entry of `cotreat.evidence.contrasts.KINDS`, such as ``sets``.
    words : tuple
        Regimens, set expressions or treatments, as that kind requires.
    """

    kind: str
    words: tuple[Any, ...]


FROM_P, FROM_N = "from the p-value", "from n"
"""Intervals that are calculated from the p-value of an estimate, and from the patients of a percentage."""


@dataclass(frozen=True)
class ReportedEstimate:
    """A reported odds ratio or p-value.

    Attributes
    ----------
    id : str
        Name in tables and figures.
    kind : str
        ``odds_ratio``, ``p_value`` or ``p_trend``.
    meaning : Meaning or None
        None for a number that is shown and not used.
    about : str
        Description of a number that is not used.
    value : RoundedNumber
        The odds ratio, or the p-value.
    is_below : bool
        Whether a p-value is reported as "<".
    ci : tuple of RoundedNumber, or None
        The interval of an odds ratio.
    level : float
        Confidence level of `ci`.
    interval : str
        ``wald``, ``profile`` or ``exact``; `FROM_P` or `FROM_N` where `ci` is calculated from these.
    adjusted : bool
        Whether the regression contains covariates.
    model : str
        Id shared by the estimates of one regression; empty where the source does not state it.
    sign : str
        ``+`` or ``-``, the side of a p-value; empty where it is not reported.
    source : str
        Where it is reported.
    basis : str
        The number that was reported instead of an interval, such as ``p = 0.03``; empty for an interval.
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
    basis: str = ""

    @property
    def has_interval(self) -> bool:
        """Whether it is an estimate with an interval, such as an odds ratio, and no p-value."""
        return self.ci is not None

    @property
    def as_reported(self) -> str:
        """The number as published, such as ``2.15 (1.15 to 4.02)``."""
        if self.ci is None:
            return f"p {'<' if self.is_below else '='} {self.value}"
        if self.basis:
            return f"{self.value}, {self.basis}"
        return f"{self.value} ({self.ci[0]} to {self.ci[1]})"


@dataclass(frozen=True)
class Interpretation:
    """One interpretation of the ambiguous statements of a publication.

    Attributes
    ----------
    id : str
    words : str
        The interpretation in words.
    reported_estimates : tuple of ReportedEstimate
        All reported numbers, with the contrasts of this interpretation.
    """

    id: str
    words: str
    reported_estimates: tuple[ReportedEstimate, ...]


@dataclass(frozen=True)
class StratifiedCounts:
    """Counts of patients at the finest stratification that a study reports.

    Attributes
    ----------
    arms : tuple of Arm
        Their regimens may name levels and subgroups.
    totals : tuple of Total
    patterns : CovariatePatterns or None
        Covariate patterns of individual patient data.
    """

    arms: tuple[Arm, ...]
    totals: tuple[Total, ...]
    patterns: CovariatePatterns | None = None


@dataclass(frozen=True)
class Sequential:
    """Treatments of a combination that some patients received in sequence, with the source.

    Attributes
    ----------
    treatments : tuple of str
    source : str
    """

    treatments: tuple[str, ...]
    source: str


@dataclass(frozen=True)
class Baseline:
    """Central 95 % prior interval of the risk of a regimen, with its source.

    Attributes
    ----------
    lower, upper : float
    source : str
    regimen : frozenset of str
        Without levels and subgroup; by default no treatment.
    """

    lower: float
    upper: float
    source: str
    regimen: Regimen = frozenset()


@dataclass(frozen=True)
class Study:
    """A checked study file under one interpretation and one stratification.

    Attributes
    ----------
    id, title : str
    design : str
        ``cohort``, ``randomised`` or ``case-control``.
    source, doi : str
        The publication.
    inclusion : str
        Set expression of the regimens that the study admits.
    outcome : Outcome
    treatments : tuple of Treatment
    stratified : StratifiedCounts
        Counts at the finest reported stratification.
    baseline : Baseline or None
        Prior interval of the risk of a regimen.
    interpretations : tuple of Interpretation
        The default first.
    interpretation : str
        Id of the interpretation of this record.
    warnings : tuple of str
        Unusual features of the reported numbers that are no errors.
    digest : str
        SHA-256 of the study file's content and of its patients; fits with equal digests used the same
        evidence.
    stratifications : tuple of Stratification
        Those that the study file declares.
    strata : str
        Id of the stratification of this record; empty for pooled strata.
    sequential : tuple of Sequential
        Treatments received in sequence.
    named_randomised : tuple of str
        Randomised treatments that the study file names; empty where it names none.
    file : str
        Path of the study file; empty for packaged studies.
    margins : tuple of Margin
        Margins of no relevant interaction that the study file declares.
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
    named_randomised: tuple[str, ...] = ()
    file: str = field(default="", compare=False)
    margins: tuple[Margin, ...] = ()

    # --- Interpretation and stratification ---------------------------------------------------------

    def resolve(self, interpretation: str | None = None, strata: str | None = None) -> "Study":
        """Return the study under an interpretation and a stratification.

        Parameters
        ----------
        interpretation
            Id of an interpretation; empty or None keeps that of this record.
        strata
            ``dose``, ``duration`` or the id of subgroups; "" pools all strata; None keeps the
            stratification of this record.

        Returns
        -------
        Study

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
        known = {stratification.id: stratification for stratification in self.stratifications}
        if strata not in known:
            what = "levels of" if strata in GRADINGS else "subgroups by"
            has = f"; it has {', '.join(known)}" if known else ""
            raise StratificationError(f"{self.id} has no {what} {strata}{has}")
        required = known[strata]
        patterns = self.stratified.patterns
        is_counted = all(required.classifies(arm.regimen) for arm in self.stratified.arms)
        if not is_counted or (patterns is not None and strata not in patterns.stratifications):
            example = next(iter(required.names))
            if required.groups:
                example = f"{self.treatments[0].id}{regimens.WITHIN}{example}"
            raise StratificationError(
                f"the patients of {self.id} are not counted by {strata}; write regimens such as "
                f"{example} in [[arms]], or name its column under [patients]"
            )
        count = len(self._lattice(required))
        if count > MOST_REGIMENS:
            raise StratificationError(
                f"{self.id} by {strata} has {count} regimens; at most {MOST_REGIMENS} can be read"
            )

    @cached_property
    def current_interpretation(self) -> Interpretation:
        """The interpretation of this record."""
        return next(one for one in self.interpretations if one.id == self.interpretation)

    @property
    def reported_estimates(self) -> tuple[ReportedEstimate, ...]:
        """The reported estimates, with their contrasts under the interpretation."""
        return self.current_interpretation.reported_estimates

    @property
    def cautions(self) -> tuple[str, ...]:
        """Warnings that concern every interpretation, each after the name of what it is about."""
        return tuple(
            words if words.startswith("patients: ") else f"reported {words}"
            for words in self.warnings
            if not words.startswith("interpretation ")
        )

    @property
    def is_default(self) -> bool:
        """Whether the interpretation is the default one."""
        return self.interpretation == self.interpretations[0].id

    @cached_property
    def stratification(self) -> Stratification | None:
        """The stratification of this record; None for pooled strata."""
        return next((one for one in self.stratifications if one.id == self.strata), None)

    @property
    def levels(self) -> dict[str, tuple[str, ...]]:
        """Levels by treatment, where the regimens are stratified by levels."""
        return self.stratification.levels if self.stratification else {}

    @property
    def groups(self) -> tuple[str, ...]:
        """Subgroups by which the regimens are stratified; empty for none."""
        return self.stratification.groups if self.stratification else ()

    @cached_property
    def parts(self) -> frozenset[str]:
        """Levels and subgroups of all stratifications, which set expressions may name."""
        return frozenset(part for one in self.stratifications for part in one.names)

    def distinguishes(self, named: frozenset[str]) -> bool:
        """Return whether this record is stratified by the given levels or subgroups (``TAC.high``).

        Parameters
        ----------
        named : frozenset of str
            Levels or subgroups in the notation of set expressions.

        Returns
        -------
        bool
        """
        return named <= (self.stratification.written if self.stratification else frozenset())

    # --- Assignment --------------------------------------------------------------------------------

    @property
    def randomised(self) -> tuple[str, ...]:
        """Treatments assigned at random: those the file names, otherwise all of a randomised study."""
        return (self.named_randomised or self.treatment_ids) if self.design == RANDOMISED else ()

    @property
    def not_randomised(self) -> tuple[str, ...]:
        """Treatments not assigned at random, in the order of the file."""
        return tuple(t for t in self.treatment_ids if t not in self.randomised)

    @property
    def is_randomised(self) -> bool:
        """Whether every treatment was assigned at random."""
        return not self.not_randomised

    @property
    def confounded_pairs(self) -> tuple[tuple[str, str], ...]:
        """Pairs whose causal interaction may be confounded: not both treatments were randomised."""
        return tuple(pair for pair in self.pairs if not set(pair) <= set(self.randomised))

    def differ_at_random(self, first: Iterable[Regimen], second: Iterable[Regimen]) -> bool:
        """Return whether two sets of patients differ only in treatments assigned at random.

        Parameters
        ----------
        first, second : iterable of Regimen
            Regimens of the patients of each set.

        Returns
        -------
        bool
            True where both sets have the same regimens of the other treatments, each with the same
            randomised treatments within a set: randomisation then makes their patients alike.
        """
        others = [self._other_than_randomised(frozenset(side)) for side in (first, second)]
        return others[0] is not None and others[0] == others[1]

    def _other_than_randomised(self, side: frozenset[Regimen]) -> set[Regimen] | None:
        """Return the parts not assigned at random, by regimen; None where they depend on the others."""
        assigned = {
            part for r in side for part in r if regimens.treatment_of(part) in self.randomised
        }
        others = {regimen - assigned for regimen in side}
        is_product = len(side) == len(others) * len({regimen & assigned for regimen in side})
        return others if is_product else None

    # --- Patients ----------------------------------------------------------------------------------

    @cached_property
    def arms(self) -> tuple[Arm, ...]:
        """Counts by regimen at the stratification of this record."""
        if self.patterns is not None:
            counts = self.patterns.counts.items()
            return tuple(Arm(regimens.parse(r), *both, self.source) for r, both in counts)
        return tuple(pooled(self.stratified.arms, self._pooled_regimen).values())

    def _pooled_regimen(self, regimen: Regimen) -> Regimen:
        kept = self.stratification.names if self.stratification else {}
        parts = (part for part in regimen if part in kept or GROUP not in part)
        return frozenset(p if p in kept else regimens.treatment_of(p) for p in parts)

    @cached_property
    def totals(self) -> tuple[Total, ...]:
        """Reported margins of sets of patients that the stratification distinguishes."""
        totals = self.stratified.totals
        return tuple(t for t in totals if self.distinguishes(regimens.named_parts(t.patients)))

    @cached_property
    def patterns(self) -> CovariatePatterns | None:
        """Covariate patterns of the individual patient data; None for a study without them."""
        patterns = self.stratified.patterns
        return None if patterns is None else patterns.stratified(self.strata)

    @property
    def is_adjusted(self) -> bool:
        """Whether the data contain covariates or clusters, over which risks are standardised."""
        patterns = self.patterns
        is_any = patterns is not None and bool(patterns.covariates or patterns.clusters)
        return is_any and not self.is_matched

    @property
    def is_matched(self) -> bool:
        """Whether the patients are in matched sets, on whose numbers of events the likelihood is conditional."""
        return self.patterns is not None and self.patterns.is_matched

    @property
    def why_no_risks(self) -> str:
        """Why risks and measures of risks are not estimable; empty where they are."""
        return BY_DESIGN if self.is_case_control else BY_MATCHING if self.is_matched else ""

    def without_clusters(self) -> "Study":
        """Return the study of the same patients without clusters or matched sets.

        Returns
        -------
        Study
        """
        patterns = self.patterns
        if patterns is None:
            return self
        alone = replace(patterns, clusters=(), cluster=0 * patterns.cluster, is_matched=False)
        return replace(self, stratified=replace(self.stratified, patterns=alone))

    @property
    def is_case_control(self) -> bool:
        """Whether cases and controls were sampled separately, so that risks are not identified."""
        return self.design == "case-control"

    @property
    def risk_kind(self) -> str:
        """Kind of the risks: implied by reported estimates, standardised over patients, or crude."""
        if self.is_matched:
            return "conditional"
        return "implied" if self.has_uncounted else "standardised" if self.is_adjusted else "crude"

    @cached_property
    def has_uncounted(self) -> bool:
        """Whether the cohort has patients whose regimen is not counted."""
        return not self.arms or any(t.n > self._counted_in(t.patients) for t in self.totals)

    def _counted_in(self, patients: str) -> int:
        return sum(arm.n for arm in self.arms if self.holds(patients, arm.regimen))

    @cached_property
    def arm_of(self) -> dict[str, Arm]:
        """Arms by the label of their regimen."""
        return {self.label(arm.regimen): arm for arm in self.arms}

    @cached_property
    def n(self) -> NDArray[np.int64]:
        """Patients by counted regimen, shape (counted,)."""
        return np.array([self.arm_of[r].n for r in self.counted])

    @cached_property
    def events(self) -> NDArray[np.int64]:
        """Events by counted regimen, shape (counted,)."""
        return np.array([self.arm_of[r].events for r in self.counted])

    def holds(self, patients: str, regimen: Regimen) -> bool:
        """Return whether a regimen belongs to a set of patients.

        Parameters
        ----------
        patients : str
            Set expression.
        regimen : frozenset of str

        Returns
        -------
        bool
        """
        return regimens.rule(patients, self.treatment_ids, self.parts)(regimen)

    def members(self, patients: str, labels: tuple[str, ...]) -> NDArray[np.bool_]:
        """Return which regimens belong to a set of patients, shape (labels,).

        Parameters
        ----------
        patients : str
            Set expression.
        labels : tuple of str
            Labels of regimens.

        Returns
        -------
        ndarray of bool, shape (labels,)
        """
        belongs = regimens.rule(patients, self.treatment_ids, self.parts)
        return np.array([belongs(regimens.parse(text)) for text in labels])

    # --- Treatments and regimens -------------------------------------------------------------------

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
        """Return the levels of a treatment; the treatment itself where the strata have none of it.

        Parameters
        ----------
        treatment : str
            Id of a treatment.

        Returns
        -------
        tuple of str
        """
        return self.levels.get(treatment, (treatment,))

    @cached_property
    def all_parts(self) -> tuple[str, ...]:
        """Treatments, or their levels, in order: ``A.low``, ``A.high``, ``B``."""
        return tuple(part for treatment in self.treatment_ids for part in self.parts_of(treatment))

    @cached_property
    def judged_pairs(self) -> dict[str, tuple[str, str]]:
        """Every two treatments or levels whose synergy is judged, by label: ``A:B``, ``A.high:B``."""
        return {
            f"{a}:{b}": (a, b)
            for first, second in self.pairs
            for a, b in product(self.parts_of(first), self.parts_of(second))
        }

    def _lattice(self, strata: Stratification | None) -> tuple[Regimen, ...]:
        levels, groups = (strata.levels, strata.groups) if strata else ({}, ())
        return regimens.lattice(self.treatment_ids, levels, groups)

    @cached_property
    def regimens(self) -> tuple[str, ...]:
        """Labels of all regimens, counted or not: 2^k of k treatments without levels."""
        return tuple(map(self.label, self._lattice(self.stratification)))

    @cached_property
    def counted(self) -> tuple[str, ...]:
        """Labels of the regimens with counted patients, in the order of `regimens`."""
        return tuple(r for r in self.regimens if r in self.arm_of)

    def is_admitted(self, regimen: str) -> bool:
        """Return whether the inclusion rule admits a regimen.

        Parameters
        ----------
        regimen : str
            Label of a regimen.

        Returns
        -------
        bool
        """
        return self.holds(self.inclusion, regimens.parse(regimen))

    @cached_property
    def admitted(self) -> tuple[str, ...]:
        """Labels of the regimens that the inclusion rule admits, in the order of `regimens`."""
        return tuple(filter(self.is_admitted, self.regimens))

    @cached_property
    def present(self) -> tuple[str, ...]:
        """Labels of the regimens of the cohort: those that have patients, or may have.

        Where the totals leave no patients outside the counted regimens, the cohort is `counted`.
        """
        if not self.has_uncounted:
            return self.counted
        full = [t.patients for t in self.totals if t.n == self._counted_in(t.patients)]
        return tuple(
            r
            for r in self.admitted
            if r in self.arm_of or not any(self.holds(s, regimens.parse(r)) for s in full)
        )

    def label(self, regimen: Regimen) -> str:
        """Write a regimen in the order of the file's treatments.

        Parameters
        ----------
        regimen : frozenset of str

        Returns
        -------
        str
        """
        return regimens.label(regimen, self.treatment_ids)

    # --- Design matrices ---------------------------------------------------------------------------

    @cached_property
    def reference(self) -> tuple[str, ...]:
        """Labels of the regimens whose mean log-odds are the intercept of a model.

        With a declared baseline they are its regimen, at every level and in every subgroup; otherwise the regimens of
        the cohort that have patients or are of unknown size.
        """
        if self.baseline is not None:
            named = self.baseline.regimen
            return tuple(r for r in self.regimens if regimens.taken(regimens.parse(r)) == named)
        empty = {regimen for regimen, arm in self.arm_of.items() if arm.n == 0}
        return tuple(r for r in self.present if r not in empty) or self.present

    def content(self, labels: tuple[str, ...]) -> NDArray[np.float64]:
        """Return the indicators of the treatments in each regimen, shape (regimen, treatment).

        Parameters
        ----------
        labels : tuple of str
            Labels of regimens.

        Returns
        -------
        ndarray, shape (regimen, treatment)
        """
        sets = [regimens.taken(regimens.parse(text)) for text in labels]
        return np.array([[float(t in s) for t in self.treatment_ids] for s in sets])

    def products(self, labels: tuple[str, ...]) -> NDArray[np.float64]:
        """Return the indicators of the pairs in each regimen, shape (regimen, pair).

        Parameters
        ----------
        labels : tuple of str
            Labels of regimens.

        Returns
        -------
        ndarray, shape (regimen, pair)
        """
        sets = [regimens.taken(regimens.parse(text)) for text in labels]
        return np.array([[float(a in s and b in s) for a, b in self.pairs] for s in sets])

    def ranks(self, labels: tuple[str, ...], treatment: str) -> NDArray[np.int64]:
        """Return the level of a treatment in each regimen, shape (regimen,): 0 none, 1 lowest.

        Parameters
        ----------
        labels : tuple of str
            Labels of regimens.
        treatment : str
            Id of a treatment.

        Returns
        -------
        ndarray of int, shape (regimen,)
        """
        parts = self.parts_of(treatment)
        sets = [regimens.parse(text) for text in labels]
        return np.array([next((i for i, p in enumerate(parts, 1) if p in s), 0) for s in sets])

    def co_treatments(self, pair: tuple[str, str]) -> tuple[Regimen, ...]:
        """Return every set of the other treatments with which a pair is judged.

        Parameters
        ----------
        pair : tuple of str
            Two treatments or levels.

        Returns
        -------
        tuple of frozenset of str
        """
        judged = set(map(regimens.treatment_of, pair))
        others = [t for t in self.treatment_ids if t not in judged]
        return regimens.lattice(others, self.levels, self.groups)
