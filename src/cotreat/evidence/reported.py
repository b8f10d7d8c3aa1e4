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
from cotreat.evidence.logistic_operator import Regressions
from cotreat.study import regimens
from cotreat.study.regimens import GROUP, LEVEL
from cotreat.study.study import Meaning, ReportedEstimate, Study, Total

if TYPE_CHECKING:
    from cotreat.evidence.protocol import Evidence

NO_WEIGHT = 1e-9
"""Size of a weight that is rounding noise."""


def log_estimate(reported_estimate: ReportedEstimate) -> float:
    """Return the log of a reported odds ratio."""
    return float(np.log(reported_estimate.value.value))


def standard_error(reported_estimate: ReportedEstimate) -> float:
    """Return the standard error of a log odds ratio that its reported interval implies."""
    assert reported_estimate.ci is not None  # noqa: S101 - for the type checker: an odds ratio has one
    lower, upper = (np.log(end.value) for end in reported_estimate.ci)
    return float((upper - lower) / (2 * ndtri(0.5 + reported_estimate.level / 2)))


def estimate_rounding(reported_estimate: ReportedEstimate) -> float:
    """Return by how much rounding may have moved a reported log odds ratio, at most."""
    return reported_estimate.value.half / reported_estimate.value.value


def width_rounding(reported_estimate: ReportedEstimate) -> float:
    """Return by how much rounding may have moved the log of a reported standard error, at most."""
    assert reported_estimate.ci is not None  # noqa: S101
    ends = sum(end.half / end.value for end in reported_estimate.ci)
    return float(
        ends / (2 * ndtri(0.5 + reported_estimate.level / 2)) / standard_error(reported_estimate)
    )


def z_value(p: float) -> float:
    """Return the absolute normal deviate of a two-sided p-value."""
    return float(-ndtri(p / 2))


def z_rounding(reported_estimate: ReportedEstimate) -> float:
    """Return by how much rounding may have moved the deviate of a reported p-value, at most."""
    p, half = reported_estimate.value.value, reported_estimate.value.half
    return (z_value(max(p - half, 1e-300)) - z_value(min(p + half, 1.0))) / 2


def wald_p(reported_estimate: ReportedEstimate) -> float:
    """Return the two-sided Wald p-value that a reported odds ratio implies."""
    return float(
        2 * ndtr(-abs(log_estimate(reported_estimate)) / standard_error(reported_estimate))
    )


@dataclass(frozen=True)
class Dependence:
    """A reported estimate that follows from others.

    Attributes
    ----------
    implied : float
        What the others make of it, on its own scale: an odds ratio, a p-value, a count.
    agrees : bool or None
        Whether it is that within rounding; None where it cannot be told.
    """

    name: str
    others: tuple[str, ...]
    implied: float
    agrees: bool | None


@dataclass(frozen=True)
class ReportedEstimates:
    """The reported estimates of a study that are evidence in its reading, in the order of the joint distribution.

    Attributes
    ----------
    odds_ratios, p_values : tuple of Claim
    totals : tuple of Total
        Those with events that are not all counted.
    """

    study: Study
    sizes: Sizes
    odds_ratios: tuple[ReportedEstimate, ...]
    p_values: tuple[ReportedEstimate, ...]
    totals: tuple[Total, ...]

    @property
    def reported_estimates(self) -> tuple[ReportedEstimate, ...]:
        """Odds ratios, then p-values."""
        return (*self.odds_ratios, *self.p_values)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Ids of all rows: claims, then ``events[…]`` of totals."""
        return (
            *(reported_estimate.id for reported_estimate in self.reported_estimates),
            *(f"events[{total.patients}]" for total in self.totals),
        )

    @property
    def is_adjusted(self) -> bool:
        """Whether any claim is adjusted for covariates that nobody can see."""
        return any(reported_estimate.adjusted for reported_estimate in self.reported_estimates)

    @property
    def has_loss(self) -> bool:
        """Whether what adjustment loses counts: without sizes the standard errors are the printed ones."""
        return self.is_adjusted and self.sizes.are_known

    @cached_property
    def regressions(self) -> Regressions:
        """The coefficients that the claims are."""
        cohort = cohort_of(self.study)
        return Regressions(
            tuple(
                coefficient_of(
                    reported_estimate.meaning, cohort, is_adjusted=reported_estimate.adjusted
                )
                for reported_estimate in self.reported_estimates
                if reported_estimate.meaning is not None
            )
        )

    @cached_property
    def of_parts(self) -> dict[tuple[str, str], Meaning]:
        """What print says, or could have said, of each level or subgroup by itself.

        By treatment and part: a level against none of the treatment, or the treatment against none of it
        within a subgroup; in the words of the claim, where one is about it.
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
        """Tell which arms stand on each side of an odds ratio of two sets; none for anything else."""
        if meaning.kind != "sets":
            return ()
        cohort = cohort_of(self.study)
        return tuple(tuple(cohort.within(words).tolist()) for words in meaning.words)

    @cached_property
    def inferred(self) -> tuple[Meaning, ...]:
        """What print could have said of a level or subgroup, and did not."""
        known = {reported_estimate.meaning for reported_estimate in self.reported_estimates}
        return tuple(meaning for meaning in self.of_parts.values() if meaning not in known)

    def is_mixed(self, treatment: str) -> bool:
        """Tell whether an odds ratio of a treatment as a whole is printed, of which levels are parts."""
        whole = self._sides(Meaning("sets", (treatment, f"not {treatment}")))
        return any(
            c.meaning is not None and self._sides(c.meaning) == whole for c in self.odds_ratios
        )

    @property
    def inferred_ids(self) -> tuple[str, ...]:
        """Ids of what could have been printed, beside those of claims."""
        return tuple(map(inferred_id, self.inferred))

    @cached_property
    def regressions_inferred(self) -> Regressions:
        """The coefficients that could have been printed, adjusted if any claim is."""
        cohort = cohort_of(self.study)
        return Regressions(
            tuple(coefficient_of(m, cohort, is_adjusted=self.is_adjusted) for m in self.inferred)
        )

    @cached_property
    def within(self) -> NDArray[np.float64]:
        """Arms of each total, shape (total, arm)."""
        labels = self.study.present
        found = [self.study.members(total.patients, labels) for total in self.totals]
        return np.array(found, dtype=float).reshape(len(found), len(labels))

    @cached_property
    def shifted(self) -> NDArray[np.float64]:
        """Which claims share a shift, 0 or 1, shape (claim, regression).

        Where adjusted claims come from two or more regressions, each of those had a covariate set of
        its own.
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
        """What each row is about, in coordinates in which rows depend linearly if ever.

        Saturated coefficients are combinations of the log-odds of groups of arms; any other has a
        coordinate of its own; totals are sums over arms; and the shift of a regression is another.
        """
        entries: list[dict[Any, float]] = []
        for reported_estimate, one in zip(
            self.reported_estimates, self.regressions.coefficients, strict=True
        ):
            if one.is_saturated:
                keys = [(reported_estimate.adjusted, g.tobytes()) for g in one.groups]
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
        """Put the weights of a row in those kept before it into the order of all."""
        padded = np.pad(weights, (0, len(order) - len(weights)))
        return padded[order]

    def looseness(self, at: int) -> tuple[int, float, str]:
        """Tell which of the numbers that follow from one another is told from the others: the loosest.

        Odds ratios come first, by their standard errors to two digits, for more are rounding noise, then
        p-values, tails last, then totals; never by their order in the file, so that no answer depends on it.
        """
        if at >= len(self.reported_estimates):
            return 3, 0.0, self.names[at]
        reported_estimate = self.reported_estimates[at]
        if reported_estimate.is_odds_ratio:
            return 0, round(standard_error(reported_estimate), 2), reported_estimate.id
        return 1 + reported_estimate.is_below, 0.0, reported_estimate.id

    def follows_from(self, at: int) -> dict[int, float]:
        """Return the rows that a row follows from, with its weights in them; none of those kept."""
        kept, others = self._split
        weights = others.get(at, np.zeros(0))
        return {kept[i]: float(w) for i, w in enumerate(weights) if abs(w) > NO_WEIGHT}

    def split(self, rows: Iterable[int]) -> tuple[list[int], dict[int, NDArray[np.float64]]]:
        """Return the rows that depend on no earlier one, and for the others their weights in those."""
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
        """Rows that enter the joint distribution: those that do not follow from others."""
        return self._split[0]

    @cached_property
    def dependences(self) -> tuple[Dependence, ...]:
        """Return the rows that follow from others, each checked within rounding."""
        return tuple(map(self._dependence, self._split[1]))

    def _dependence(self, at: int) -> Dependence:
        used = list(self.follows_from(at).items())
        names = tuple(self.names[i] for i, _ in used)
        ratios, reported_estimates = len(self.odds_ratios), len(self.reported_estimates)
        if at >= reported_estimates:
            implied = sum(
                w * float(self.totals[i - reported_estimates].events or 0) for i, w in used
            )
            own = self.totals[at - reported_estimates].events
            agrees = bool(abs(implied - float(own or 0)) < 0.5)
            return Dependence(self.names[at], names, float(implied), agrees)
        reported_estimate = self.reported_estimates[at]
        if at >= ratios:
            if len(used) == 1 and used[0][0] < ratios:
                p = wald_p(self.reported_estimates[used[0][0]])
                ratio, weight = self.reported_estimates[used[0][0]], used[0][1]
                side = "+" if weight * log_estimate(ratio) > 0 else "-"
                agrees = p_agrees(reported_estimate, ratio) and reported_estimate.sign in ("", side)
                return Dependence(reported_estimate.id, names, p, agrees)
            return Dependence(reported_estimate.id, names, np.nan, None)
        log = sum(w * log_estimate(self.reported_estimates[i]) for i, w in used)
        slack = sum(abs(w) * estimate_rounding(self.reported_estimates[i]) for i, w in used)
        agrees = bool(
            abs(log - log_estimate(reported_estimate))
            <= (slack + estimate_rounding(reported_estimate)) * 1.05
        )
        return Dependence(reported_estimate.id, names, float(np.exp(log)), agrees)


def inferred_id(meaning: Meaning) -> str:
    """Return the id of a coefficient that print does not tell."""
    return f"inferred {label(meaning)}"


def incompatibilities(study: Study) -> list[tuple[str, bool]]:
    """Say which reported estimates contradict others that they follow from, beyond rounding.

    Returns
    -------
    list of (str, bool)
        Words, and whether it is an error: all are Wald odds ratios of one regression, or counts.
    """
    numbers = estimates_of(study)
    if numbers is None:
        return []
    found = []
    for one in numbers.dependences:
        if one.agrees is not False:
            continue
        own = [
            reported_estimate
            for reported_estimate in numbers.reported_estimates
            if reported_estimate.id in (one.name, *one.others)
        ]
        ratios = [
            reported_estimate
            for reported_estimate in own
            if reported_estimate.is_odds_ratio and reported_estimate.interval == "wald"
        ]
        models = {reported_estimate.model for reported_estimate in own}
        alike = len(ratios) == len(own) and len(models) == 1 and "" not in models
        shown = next((c.as_reported for c in own if c.id == one.name), None)
        if shown is None:
            at = numbers.names.index(one.name) - len(numbers.reported_estimates)
            shown = str(numbers.totals[at].events)
        found.append(
            (
                f"{one.name} is printed as {shown}, but {', '.join(one.others)} make it "
                f"{one.implied:.4g}, beyond rounding",
                alike or not own,
            )
        )
    return found


def p_agrees(as_reported: ReportedEstimate, ratio: ReportedEstimate) -> bool:
    """Tell whether a p-value is that of an odds ratio, both within rounding."""
    z = abs(log_estimate(ratio)) / standard_error(ratio)
    slack = estimate_rounding(ratio) / standard_error(ratio) + z * width_rounding(ratio)
    if as_reported.is_below:
        return z + slack >= z_value(as_reported.value.value)
    return abs(z - z_value(as_reported.value.value)) <= slack + z_rounding(as_reported)


def cohort_of(study: Study) -> Cohort:
    """Return the arms of a study's cohort as what contrasts are stated on."""
    return Cohort(study.treatment_ids, tuple(map(regimens.parse, study.present)), study.parts)


def is_used(study: Study, reported_estimate: ReportedEstimate) -> bool:
    """Tell whether a claim is evidence: it has a meaning, and says more than counted arms do.

    One about levels or subgroups is evidence only where regimens are told by these.
    """
    if (
        reported_estimate.meaning is None
        or reported_estimate.kind == "p_trend"
        or not can_tell(study, reported_estimate.meaning)
    ):
        return False
    in_it = members(reported_estimate.meaning, cohort_of(study))
    return bool(np.any(in_it & ~np.isin(study.present, study.counted)))


def can_tell(study: Study, meaning: Meaning) -> bool:
    """Tell whether the regimens of a study are told by what a number is about."""
    return study.distinguishes(named_parts(meaning))


@lru_cache(maxsize=64)
def estimates_of(study: Study) -> ReportedEstimates | None:
    """Collect the reported estimates that are evidence; None where all patients are counted."""
    if not study.has_uncounted:
        return None
    used = [
        reported_estimate
        for reported_estimate in study.reported_estimates
        if is_used(study, reported_estimate)
    ]
    # Tails of "<" come last: their probability is taken given all others.
    p_values = sorted((c for c in used if not c.is_odds_ratio), key=lambda c: c.is_below)
    uncounted = [t for t in study.totals if t.events is not None and _says_more(study, t)]
    return ReportedEstimates(
        study,
        sizes_of(study),
        tuple(reported_estimate for reported_estimate in used if reported_estimate.is_odds_ratio),
        tuple(p_values),
        tuple(uncounted),
    )


def reported_in(evidence: Iterable[Evidence]) -> ReportedEstimates | None:
    """Return the reported estimates among the evidence of a study; None where there are none.

    For tables, figures and analyses that are about reported estimates alone.
    """
    found = (getattr(one, "reported", None) for one in evidence)
    return next((one for one in found if one is not None), None)


def _says_more(study: Study, total: Total) -> bool:
    inside = np.array(study.present)[study.members(total.patients, study.present)]
    return not set(inside) <= set(study.counted)
