"""Reported estimates of one cohort: odds ratios, p-values and totals, and which follow from others.

No PyMC here: tables, labels and checks of study files read these records.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from cotreat.evidence.arm_sizes import Sizes, sizes_of
from cotreat.evidence.contrasts import (
    Cohort,
    coefficient_of,
    label,
    members,
    named_parts,
)
from cotreat.evidence.statistics import ODDS_RATIO, Estimators, statistic_of
from cotreat.study import regimens
from cotreat.study.regimens import GROUP, LEVEL
from cotreat.study.study import Meaning, ReportedEstimate, RoundedNumber, Study, Total

if TYPE_CHECKING:
    from cotreat.evidence.protocol import Evidence

NO_WEIGHT = 1e-9
"""Size of a weight that is rounding noise."""


def link_value(estimate: ReportedEstimate) -> float:
    """Return a reported estimate on the scale of its link: the log of an odds ratio."""
    return float(statistic_of(estimate.kind).link.to(estimate.value.value))


def standard_error(estimate: ReportedEstimate) -> float:
    """Return the standard error that a reported interval implies, on the scale of the link."""
    link = statistic_of(estimate.kind).link
    lower, upper = (link.to(end.value) for end in _limits(estimate))
    return float((upper - lower) / (2 * ndtri(0.5 + estimate.level / 2)))


def estimate_rounding(estimate: ReportedEstimate) -> float:
    """Return the largest rounding error of a reported estimate, on the scale of the link."""
    return _rounding(estimate, estimate.value)


def width_rounding(estimate: ReportedEstimate) -> float:
    """Return the largest rounding error of the log of a reported standard error."""
    ends = sum(_rounding(estimate, end) for end in _limits(estimate))
    return float(ends / (2 * ndtri(0.5 + estimate.level / 2)) / standard_error(estimate))


def _rounding(estimate: ReportedEstimate, number: RoundedNumber) -> float:
    return float(number.half * statistic_of(estimate.kind).link.slope(number.value))


def _limits(estimate: ReportedEstimate) -> tuple[RoundedNumber, RoundedNumber]:
    assert estimate.ci is not None  # noqa: S101 - for the type checker: callers pass no p-values
    return estimate.ci


def z_value(p: float) -> float:
    """Return the absolute normal deviate of a two-sided p-value."""
    return float(-ndtri(p / 2))


def z_rounding(estimate: ReportedEstimate) -> float:
    """Return the largest rounding error of the normal deviate of a reported p-value."""
    p, half = estimate.value.value, estimate.value.half
    return (z_value(max(p - half, 1e-300)) - z_value(min(p + half, 1.0))) / 2


def wald_z(estimate: ReportedEstimate) -> float:
    """Return the Wald deviate of a reported estimate from the null of its statistic."""
    statistic = statistic_of(estimate.kind)
    null = float(statistic.link.to(statistic.null))
    return (link_value(estimate) - null) / standard_error(estimate)


def wald_p(estimate: ReportedEstimate) -> float:
    """Return the two-sided Wald p-value that a reported estimate with an interval implies."""
    return float(2 * ndtr(-abs(wald_z(estimate))))


@dataclass(frozen=True)
class Dependence:
    """A reported estimate that is determined by others.

    Attributes
    ----------
    implied : float
        Its value calculated from the others, on its own scale: an odds ratio, a p-value, a count.
    agrees : bool or None
        Whether the reported value agrees within rounding; None where that cannot be checked.
    """

    name: str
    others: tuple[str, ...]
    implied: float
    agrees: bool | None


@dataclass(frozen=True)
class ReportedEstimates:
    """The reported estimates that are evidence under an interpretation, in the order of the joint distribution.

    Attributes
    ----------
    sizes : Sizes
        Constraints on the arm sizes.
    odds_ratios, p_values : tuple of ReportedEstimate
        Estimates with an interval, on whatever scale; p-values, tails last.
    totals : tuple of Total
        Totals with events that are not all counted.
    """

    study: Study
    sizes: Sizes
    odds_ratios: tuple[ReportedEstimate, ...]
    p_values: tuple[ReportedEstimate, ...]
    totals: tuple[Total, ...]

    @property
    def reported_estimates(self) -> tuple[ReportedEstimate, ...]:
        """Estimates with an interval, then p-values."""
        return (*self.odds_ratios, *self.p_values)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Ids of all rows: estimates, then ``events[…]`` of totals."""
        return (
            *(estimate.id for estimate in self.reported_estimates),
            *(f"events[{total.patients}]" for total in self.totals),
        )

    @property
    def is_adjusted(self) -> bool:
        """Whether any estimate is adjusted for unreported covariates."""
        return any(estimate.adjusted for estimate in self.reported_estimates)

    @property
    def has_loss(self) -> bool:
        """Whether precision loss is a parameter; without sizes the standard errors are the reported ones."""
        return self.is_adjusted and self.sizes.are_known

    @cached_property
    def regressions(self) -> Estimators:
        """Coefficients that are estimated, each with its statistic."""
        cohort = cohort_of(self.study)
        pairs = [
            (statistic_of(e.kind), coefficient_of(e.meaning, cohort, is_adjusted=e.adjusted))
            for e in self.reported_estimates
            if e.meaning is not None
        ]
        return Estimators(tuple(s for s, _ in pairs), tuple(c for _, c in pairs))

    @cached_property
    def of_parts(self) -> dict[tuple[str, str], Meaning]:
        """Contrasts of each level or subgroup, by treatment and stratum, reported or not.

        A level against no treatment, or the treatment against none within a subgroup; as the study file
        writes the contrast where an estimate of it is reported.
        """
        study = self.study
        every = {(t, part): (part, f"not {t}") for t, own in study.levels.items() for part in own}
        for group in study.groups:
            within = group.replace(GROUP, LEVEL)
            for t in study.treatment_ids:
                every[t, group] = (f"{t} and {within}", f"not {t} and {within}")
        as_reported = {
            self._sides(c.meaning): c.meaning
            for c in self.reported_estimates
            if c.meaning is not None
        }
        meanings = {at: Meaning("sets", words) for at, words in every.items()}
        return {
            at: as_reported.get(sides, meaning)
            for at, meaning in meanings.items()
            if all(map(any, sides := self._sides(meaning)))
        }

    def _sides(self, meaning: Meaning) -> tuple[tuple[bool, ...], ...]:
        """Return the membership of arms in each side of a contrast of two sets; empty for others."""
        if meaning.kind != "sets":
            return ()
        cohort = cohort_of(self.study)
        return tuple(tuple(cohort.within(words).tolist()) for words in meaning.words)

    @cached_property
    def inferred(self) -> tuple[Meaning, ...]:
        """Contrasts of a level or subgroup that are not reported."""
        known = {estimate.meaning for estimate in self.reported_estimates}
        return tuple(meaning for meaning in self.of_parts.values() if meaning not in known)

    def is_mixed(self, treatment: str) -> bool:
        """Return whether an estimate of a treatment at all its levels together is reported."""
        whole = self._sides(Meaning("sets", (treatment, f"not {treatment}")))
        return any(
            c.meaning is not None and self._sides(c.meaning) == whole for c in self.odds_ratios
        )

    @property
    def inferred_ids(self) -> tuple[str, ...]:
        """Ids of the contrasts that are not reported."""
        return tuple(map(inferred_id, self.inferred))

    @cached_property
    def regressions_inferred(self) -> Estimators:
        """Log odds ratios that could have been reported, adjusted if any estimate is."""
        cohort = cohort_of(self.study)
        coefficients = [
            coefficient_of(one, cohort, is_adjusted=self.is_adjusted) for one in self.inferred
        ]
        return Estimators((ODDS_RATIO,) * len(coefficients), tuple(coefficients))

    @cached_property
    def within(self) -> NDArray[np.float64]:
        """Membership of the arms in each total, shape (total, arm)."""
        labels = self.study.present
        found = [self.study.members(total.patients, labels) for total in self.totals]
        return np.array(found, dtype=float).reshape(len(found), len(labels))

    @cached_property
    def shifted(self) -> NDArray[np.float64]:
        """Indicator of estimates that share a shift, shape (estimate, regression).

        Where adjusted estimates come from two or more regressions, each regression has its own set of
        covariates.
        """
        models = list(
            dict.fromkeys(c.model for c in self.reported_estimates if c.adjusted and c.model)
        )
        if len(models) < 2:
            return np.zeros((len(self.reported_estimates), 0))
        return np.array(
            [[float(c.adjusted and c.model == m) for m in models] for c in self.reported_estimates]
        )

    @cached_property
    def _directions(self) -> NDArray[np.float64]:
        """Linear representation of the rows, whose rank gives the dependences.

        Saturated coefficients are combinations over groups of arms, on the scale of their statistic; any
        other has its own coordinate; totals are sums over arms; each shift is a coordinate.
        """
        entries: list[dict[Any, float]] = []
        known = self.regressions
        for statistic, one in zip(known.statistics, known.coefficients, strict=True):
            if one.is_saturated:
                keys = [(statistic.name, one.is_adjusted, g.tobytes()) for g in one.groups]
                entries.append(dict(zip(keys, one.contrast, strict=True)))
            else:
                entries.append({(one.equation, one.weights.tobytes()): 1.0})
        entries += [{("arm", i): w for i, w in enumerate(row)} for row in self.within]
        keys = list(dict.fromkeys(key for entry in entries for key in entry))
        rows = np.array([[entry.get(key, 0.0) for key in keys] for entry in entries])
        rows = rows.reshape(len(entries), len(keys))
        shifts = np.pad(self.shifted, ((0, len(self.totals)), (0, 0)))
        return np.hstack([rows, shifts])

    @cached_property
    def _split(self) -> tuple[list[int], dict[int, NDArray[np.float64]]]:
        kept, others = self.split(sorted(range(len(self.names)), key=self.looseness))
        # In the order of the joint distribution, whichever were taken first.
        order = np.argsort(kept)
        return sorted(kept), {at: self._placed(others[at], order) for at in sorted(others)}

    @staticmethod
    def _placed(weights: NDArray[np.float64], order: NDArray[np.int64]) -> NDArray[np.float64]:
        """Reorder weights of kept rows from the order of selection to that of the joint distribution."""
        padded = np.pad(weights, (0, len(order) - len(weights)))
        return padded[order]

    def looseness(self, at: int) -> tuple[int, float, str]:
        """Return the sort key by which one of several linearly dependent rows is dropped: the last.

        Estimates are sorted by standard error to two digits (more are rounding noise), then p-values, tails
        last, then totals; the order in the file does not matter.
        """
        if at >= len(self.reported_estimates):
            return 3, 0.0, self.names[at]
        estimate = self.reported_estimates[at]
        if estimate.has_interval:
            return 0, round(standard_error(estimate), 2), estimate.id
        return 1 + estimate.is_below, 0.0, estimate.id

    def follows_from(self, at: int) -> dict[int, float]:
        """Return the kept rows that determine a row, with their weights; empty for a kept row."""
        kept, others = self._split
        weights = others.get(at, np.zeros(0))
        return {kept[i]: float(w) for i, w in enumerate(weights) if abs(w) > NO_WEIGHT}

    def split(self, rows: Iterable[int]) -> tuple[list[int], dict[int, NDArray[np.float64]]]:
        """Return the rows that are independent of earlier ones, and the weights of the other rows in those."""
        kept: list[int] = []
        others: dict[int, NDArray[np.float64]] = {}
        for at in rows:
            row = self._directions[at]
            basis = self._directions[kept].T
            weights, *_ = np.linalg.lstsq(basis, row, rcond=None)
            if np.abs(basis @ weights - row).max(initial=0.0) < 1e-9 and kept:
                others[at] = weights
            else:
                kept.append(at)
        return kept, others

    @property
    def kept(self) -> list[int]:
        """Linearly independent rows, which enter the likelihood."""
        return self._split[0]

    @cached_property
    def dependences(self) -> tuple[Dependence, ...]:
        """Rows that are determined by others, each checked within rounding."""
        return tuple(map(self._dependence, self._split[1]))

    def _dependence(self, at: int) -> Dependence:
        """Calculate a row from the kept ones, and compare within rounding."""
        used = self.follows_from(at)
        name, others = self.names[at], tuple(self.names[i] for i in used)
        count = len(self.reported_estimates)
        if at >= count:
            events = [float(total.events or 0) for total in self.totals]
            implied = sum(w * events[i - count] for i, w in used.items())
            return Dependence(name, others, implied, abs(implied - events[at - count]) < 0.5)
        estimate = self.reported_estimates[at]
        sources = [(self.reported_estimates[i], w) for i, w in used.items()]
        if not estimate.has_interval:
            return self._dependent_p_value(estimate, others, sources)
        value = sum(w * link_value(source) for source, w in sources)
        slack = sum(abs(w) * estimate_rounding(source) for source, w in sources)
        slack += estimate_rounding(estimate)
        implied = float(statistic_of(estimate.kind).link.back(value))
        return Dependence(
            name, others, implied, bool(abs(value - link_value(estimate)) <= slack * 1.05)
        )

    @staticmethod
    def _dependent_p_value(
        p_value: ReportedEstimate,
        others: tuple[str, ...],
        sources: list[tuple[ReportedEstimate, float]],
    ) -> Dependence:
        if len(sources) > 1 or not sources[0][0].has_interval:
            return Dependence(p_value.id, others, np.nan, None)
        source, weight = sources[0]
        side = "+" if weight * link_value(source) > 0 else "-"
        agrees = p_agrees(p_value, source) and p_value.sign in ("", side)
        return Dependence(p_value.id, others, wald_p(source), agrees)


def inferred_id(meaning: Meaning) -> str:
    """Return the id of a coefficient that is not reported."""
    return f"inferred {label(meaning)}"


def incompatibilities(study: Study) -> list[tuple[str, bool]]:
    """List the reported estimates that are incompatible with others that determine them.

    Returns
    -------
    list of (str, bool)
        Message, and whether it is an error: all are Wald estimates of one regression, or counts.
    """
    numbers = estimates_of(study)
    if numbers is None:
        return []
    found = []
    for one in numbers.dependences:
        if one.agrees is not False:
            continue
        own = [e for e in numbers.reported_estimates if e.id in (one.name, *one.others)]
        is_wald = all(e.has_interval and e.interval == "wald" for e in own)
        models = {e.model for e in own}
        is_error = not own or (is_wald and len(models) == 1 and "" not in models)
        at = numbers.names.index(one.name)
        count = len(numbers.reported_estimates)
        shown = (
            numbers.reported_estimates[at].as_reported
            if at < count
            else str(numbers.totals[at - count].events)
        )
        words = (
            f"{one.name} is reported as {shown}, but {', '.join(one.others)} make it "
            f"{one.implied:.4g}, beyond rounding"
        )
        found.append((words, is_error))
    return found


def p_agrees(as_reported: ReportedEstimate, ratio: ReportedEstimate) -> bool:
    """Return whether a p-value is the Wald p-value of an estimate, both within rounding."""
    z = abs(wald_z(ratio))
    slack = estimate_rounding(ratio) / standard_error(ratio) + z * width_rounding(ratio)
    if as_reported.is_below:
        return z + slack >= z_value(as_reported.value.value)
    return abs(z - z_value(as_reported.value.value)) <= slack + z_rounding(as_reported)


def cohort_of(study: Study) -> Cohort:
    """Return the cohort of a study, on which contrasts are defined."""
    return Cohort(study.treatment_ids, tuple(map(regimens.parse, study.present)), study.parts)


def is_used(study: Study, estimate: ReportedEstimate) -> bool:
    """Return whether an estimate is evidence: it has a contrast that involves arms without counts.

    A contrast of levels or subgroups is evidence only under a stratification by these.
    """
    if (
        estimate.meaning is None
        or estimate.kind == "p_trend"
        or not study.distinguishes(named_parts(estimate.meaning))
    ):
        return False
    in_it = members(estimate.meaning, cohort_of(study))
    return bool(np.any(in_it & ~np.isin(study.present, study.counted)))


@lru_cache(maxsize=64)
def estimates_of(study: Study) -> ReportedEstimates | None:
    """Collect the reported estimates that are evidence; None where all patients are counted."""
    if not study.has_uncounted:
        return None
    used = [estimate for estimate in study.reported_estimates if is_used(study, estimate)]
    # Tails of "<" come last: their probability is taken given all others.
    p_values = sorted((c for c in used if not c.has_interval), key=lambda c: c.is_below)
    uncounted = [t for t in study.totals if t.events is not None and _says_more(study, t)]
    return ReportedEstimates(
        study,
        sizes_of(study),
        tuple(estimate for estimate in used if estimate.has_interval),
        tuple(p_values),
        tuple(uncounted),
    )


def reported_in(evidence: Iterable[Evidence]) -> ReportedEstimates | None:
    """Return the reported estimates among the evidence of a study; None where there are none.

    For tables, figures and analyses of reported estimates alone.
    """
    found = (getattr(one, "reported", None) for one in evidence)
    return next((one for one in found if one is not None), None)


def _says_more(study: Study, total: Total) -> bool:
    inside = np.array(study.present)[study.members(total.patients, study.present)]
    return not set(inside) <= set(study.counted)
