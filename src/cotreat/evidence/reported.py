"""Reported estimates of one cohort: odds ratios, p-values and totals, and which follow from others.

No PyMC here: tables, labels and checks of study files read these records.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, ndtr, ndtri

from cotreat.evidence.arm_sizes import Sizes, sizes_of
from cotreat.evidence.arm_variances import APPROXIMATE, ArmVariances, Equation, arm_variances
from cotreat.evidence.contrasts import Cohort, code, coefficient_of, members, named_parts
from cotreat.evidence.logistic_operator import Coefficient
from cotreat.evidence.statistics import (
    LOG_ODDS,
    ODDS_RATIO,
    RISK_RATIO,
    Estimators,
    RiskContrasts,
    Statistic,
    has_level,
    statistic_of,
)
from cotreat.study import regimens
from cotreat.study.regimens import GROUP, LEVEL
from cotreat.study.study import (
    FROM_N,
    FROM_P,
    Meaning,
    ReportedEstimate,
    RoundedNumber,
    Study,
    Total,
)

if TYPE_CHECKING:
    from cotreat.evidence.protocol import Evidence

MOST_ROUNDING = 0.5
"""Largest rounding error of a log standard error that a p-value implies."""
NO_WEIGHT = 1e-9
"""Size of a weight that is rounding noise."""


def link_value(estimate: ReportedEstimate) -> float:
    """Return a reported estimate on the scale of its link: the log of an odds ratio.

    Parameters
    ----------
    estimate
        The reported estimate.

    Returns
    -------
    float
        For example a log odds ratio.
    """
    return float(statistic_of(estimate.kind).link.to(estimate.value.value))


def standard_error(estimate: ReportedEstimate) -> float:
    """Return the standard error that a reported interval implies, on the scale of the link.

    Parameters
    ----------
    estimate
        The reported estimate.

    Returns
    -------
    float
        Width of the interval over twice the normal quantile.
    """
    link = statistic_of(estimate.kind).link
    lower, upper = (link.to(end.value) for end in _limits(estimate))
    return float((upper - lower) / (2 * ndtri(0.5 + estimate.level / 2)))


def estimate_rounding(estimate: ReportedEstimate) -> float:
    """Return the largest rounding error of a reported estimate, on the scale of the link.

    Parameters
    ----------
    estimate
        The reported estimate.

    Returns
    -------
    float
        Half a unit of the last reported digit, by the delta method.
    """
    return _rounding(estimate, estimate.value)


def width_rounding(estimate: ReportedEstimate) -> float:
    """Return the largest rounding error of the log of a reported standard error.

    Parameters
    ----------
    estimate
        The reported estimate.

    Returns
    -------
    float
        Sum of the rounding errors of both limits, relative to the width.
    """
    ends = sum(_rounding(estimate, end) for end in _limits(estimate))
    return float(ends / (2 * ndtri(0.5 + estimate.level / 2)) / standard_error(estimate))


def _rounding(estimate: ReportedEstimate, number: RoundedNumber) -> float:
    return float(number.half * statistic_of(estimate.kind).link.slope(number.value))


def _limits(estimate: ReportedEstimate) -> tuple[RoundedNumber, RoundedNumber]:
    assert estimate.ci is not None  # noqa: S101 - for the type checker: callers pass no p-values
    return estimate.ci


def z_value(p: float) -> float:
    """Return the absolute normal deviate of a two-sided p-value.

    Parameters
    ----------
    p
        The p-value.

    Returns
    -------
    float
        −Φ⁻¹(p / 2).
    """
    return float(-ndtri(p / 2))


def z_rounding(estimate: ReportedEstimate) -> float:
    """Return the largest rounding error of the normal deviate of a reported p-value.

    Parameters
    ----------
    estimate
        A reported p-value.

    Returns
    -------
    float
        Half the range of the deviate.
    """
    return deviate_rounding(estimate.value)


def deviate_rounding(p_value: RoundedNumber) -> float:
    """Return the largest rounding error of the normal deviate of a p-value.

    Parameters
    ----------
    p_value
        The p-value.

    Returns
    -------
    float
        Half the range of the deviate.
    """
    p, half = p_value.value, p_value.half
    return (z_value(max(p - half, 1e-300)) - z_value(min(p + half, 1.0))) / 2


def wald_z(estimate: ReportedEstimate) -> float:
    """Return the Wald deviate of a reported estimate from the null of its statistic.

    Parameters
    ----------
    estimate
        The reported estimate.

    Returns
    -------
    float
        Distance from the null in standard errors.
    """
    statistic = statistic_of(estimate.kind)
    if statistic.null is None:
        return np.nan
    null = float(statistic.link.to(statistic.null))
    return (link_value(estimate) - null) / standard_error(estimate)


def wald_p(estimate: ReportedEstimate) -> float:
    """Return the two-sided Wald p-value that a reported estimate with an interval implies.

    Parameters
    ----------
    estimate
        The reported estimate.

    Returns
    -------
    float
        The p-value.
    """
    return float(2 * ndtr(-abs(wald_z(estimate))))


@dataclass(frozen=True)
class Dependence:
    """A reported estimate that is determined by others.

    Attributes
    ----------
    name : str
        Its id, or ``events[…]`` of a total.
    others : tuple of str
        The rows that determine it.
    implied : float
        Its value calculated from the others, on its own scale: an odds ratio, a p-value, a count.
    agrees : bool or None
        Whether the reported value agrees within rounding; None where that cannot be checked.
    """

    name: str
    others: tuple[str, ...]
    implied: float
    agrees: bool | None


class _Function(NamedTuple):
    """A row as a function of linear arguments, each the weights of groups of arms by their key."""

    at: int
    arguments: list[dict[Any, float]]
    value: Callable[[NDArray[np.float64]], float]


def _functions_of(at: int, statistic: Statistic, coef: Coefficient) -> Iterator[_Function]:
    """Yield a row as a function of ratios of groups of arms, or of their log odds, where it is one."""
    operator, groups = statistic.operator((coef,)), [group.tobytes() for group in coef.groups]
    levels = [{(LOG_ODDS, coef.is_adjusted, group): 1.0} for group in groups]
    if isinstance(operator, RiskContrasts):
        contrasts = operator
        yield _Function(
            at, levels, lambda odds: float(coef.contrast @ contrasts.value(np, expit(odds)))
        )
    elif statistic.of_ratios is not None:
        of = statistic.of_ratios
        scale = LOG_ODDS if of.of_odds else RISK_RATIO
        neither, second, first, both = ((scale, coef.is_adjusted, group) for group in groups)
        ratios = [{group: 1.0, neither: -1.0} for group in (first, second, both)]
        yield _Function(at, ratios, lambda logs: float(of.value(np, *logs)))
        if not of.of_odds:
            yield _Function(at, levels, lambda odds: float(of.value(np, *(_logs(odds)[[2, 1, 3]]))))


def _logs(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the log risk ratios of groups to the first, from their log odds."""
    logs = np.log(expit(log_odds))
    return np.asarray(logs - logs[0])


@dataclass(frozen=True)
class ReportedEstimates:
    """The reported estimates that are evidence under an interpretation, in the order of the joint distribution.

    Attributes
    ----------
    study : Study
        Resolved to the interpretation and the strata.
    sizes : Sizes
        Constraints on the arm sizes.
    with_interval, p_values : tuple of ReportedEstimate
        Estimates with an interval, on whatever scale; p-values, tails last.
    totals : tuple of Total
        Totals with events that are not all counted.
    """

    study: Study
    sizes: Sizes
    with_interval: tuple[ReportedEstimate, ...]
    p_values: tuple[ReportedEstimate, ...]
    totals: tuple[Total, ...]

    @property
    def reported_estimates(self) -> tuple[ReportedEstimate, ...]:
        """Estimates with an interval, then p-values."""
        return (*self.with_interval, *self.p_values)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Ids of all rows: estimates, then ``events[…]`` of totals."""
        events = (f"events[{total.patients}]" for total in self.totals)
        return (*(estimate.id for estimate in self.reported_estimates), *events)

    @property
    def is_adjusted(self) -> bool:
        """Whether any estimate is adjusted for unreported covariates."""
        return any(estimate.adjusted for estimate in self.reported_estimates)

    @property
    def has_loss(self) -> bool:
        """Whether precision loss is a parameter; without sizes the standard errors are the reported ones."""
        return self.is_adjusted and self.sizes.are_known

    @property
    def has_free_variances(self) -> bool:
        """Whether covariances of the estimates are a parameter: no totals, and more than the standard errors determine."""
        return not self.sizes.are_known and bool(self.variances.free)

    # --- The reported values ---------------------------------------------------------------------

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """Estimates on the scale of their link, signed deviates of p-values (+ for an unknown sign), events."""
        deviates = [(-1 if p.sign == "-" else 1) * z_value(p.value.value) for p in self.p_values]
        events = [float(total.events or 0) for total in self.totals]
        return np.array([*map(link_value, self.with_interval), *deviates, *events])

    @cached_property
    def rounding(self) -> NDArray[np.float64]:
        """Variance due to rounding, uniform within the rounding error, shape (row,)."""
        deviates = [0.0 if p.is_below else z_rounding(p) for p in self.p_values]
        halves = np.array([*map(estimate_rounding, self.with_interval), *deviates])
        return np.pad(halves**2 / 3, (0, len(self.totals)))

    @cached_property
    def is_tail(self) -> NDArray[np.bool_]:
        """Whether a row is a p-value with "<" or an unknown sign: a range of deviates, not a point."""
        tails = [not e.has_interval and (e.is_below or not e.sign) for e in self.reported_estimates]
        return np.array([*tails, *(False,) * len(self.totals)], dtype=bool)

    @property
    def is_count(self) -> NDArray[np.bool_]:
        """Whether a row is the number of events of a total."""
        return np.array([False] * len(self.reported_estimates) + [True] * len(self.totals))

    @property
    def points(self) -> list[int]:
        """Rows that enter the likelihood as points."""
        return [at for at in self.kept if not self.is_tail[at]]

    @cached_property
    def data(self) -> dict[str, Any]:
        """The values as data of a PyMC model, by name."""
        data = {"reported points": self.values[self.points], "reported rounding": self.rounding}
        if self.width_rows:
            widths = np.array([self.log_error(at) for at in self.width_rows])
            data["reported widths"], data["width rounding"] = widths[:, 0], widths[:, 1] ** 2 / 3
        return {**data, **self.sizes.data}

    # --- Widths ----------------------------------------------------------------------------------

    def log_error(self, at: int) -> tuple[float, float]:
        """Return the log standard error of an estimate, and its largest rounding error.

        Parameters
        ----------
        at
            Index of the row: an estimate with an interval, or a p-value whose estimate others determine.

        Returns
        -------
        tuple of float
            NaN and infinity where they do not determine it.
        """
        estimate = self.reported_estimates[at]
        if estimate.has_interval:
            return float(np.log(standard_error(estimate))), width_rounding(estimate)
        sources = {self.reported_estimates[i]: w for i, w in self.follows_from(at).items()}
        if estimate.is_below or not sources or not all(e.has_interval for e in sources):
            return np.nan, np.inf
        statistic = statistic_of(next(iter(sources)).kind)
        effect = sum(w * link_value(e) for e, w in sources.items())
        effect = abs(effect - float(statistic.link.to(statistic.null)))
        slack = sum(abs(w) * estimate_rounding(e) for e, w in sources.items())
        z = z_value(estimate.value.value)
        if min(effect, z) <= 0:
            return np.nan, np.inf
        return float(np.log(effect / z)), slack / effect + z_rounding(estimate) / z

    @cached_property
    def width_rows(self) -> list[int]:
        """Rows whose standard error is evidence.

        Those of every interval, and of the p-values whose estimate follows from others but whose variance does
        not: squared standard errors are sums over groups of arms with the squared weights of their log-odds.
        """
        if not self.sizes.are_known:
            return []
        count = len(self.with_interval)
        implied = [
            at
            for at in range(count, len(self.reported_estimates))
            if self.log_error(at)[1] <= MOST_ROUNDING
        ]
        entries: list[dict[Any, float]] = []
        for statistic, coef in zip(
            self.regressions.statistics, self.regressions.coefficients, strict=True
        ):
            keys = [(statistic.of_groups, coef.is_adjusted, g.tobytes()) for g in coef.groups]
            is_sum = coef.is_saturated and statistic.of_ratios is None
            entries.append(
                dict(zip(keys, coef.contrast**2, strict=True)) if is_sum else {id(coef): 1.0}
            )
        keys = list(dict.fromkeys(key for entry in entries for key in entry))
        rows = np.array([[entry.get(key, 0.0) for key in keys] for entry in entries])
        kept, _ = independent_rows(rows, [*range(count), *implied])
        return [at for at in (*range(count), *implied) if at < count or at in kept]

    # --- The contrasts ---------------------------------------------------------------------------

    @property
    def meanings(self) -> list[Meaning]:
        """Contrast of each estimate."""
        return [e.meaning for e in self.reported_estimates if e.meaning is not None]

    @cached_property
    def regressions(self) -> Estimators:
        """Coefficients that are estimated, each with its statistic."""
        cohort, estimates = cohort_of(self.study), self.reported_estimates
        coefficients = (
            coefficient_of(meaning, cohort, is_adjusted=estimate.adjusted)
            for estimate, meaning in zip(estimates, self.meanings, strict=True)
        )
        return Estimators(tuple(statistic_of(e.kind) for e in estimates), tuple(coefficients))

    @cached_property
    def variances(self) -> ArmVariances:
        """Variances of the groups of arms by which estimates are correlated where no totals are reported."""
        regressions = self.regressions
        pairs = zip(
            self.with_interval, regressions.statistics, regressions.coefficients, strict=False
        )
        named = [(estimate, _groups(statistic, coef)) for estimate, statistic, coef in pairs]
        crude = {key for estimate, groups in named if not estimate.adjusted for key in groups}
        return arm_variances([_equation(*one, crude) for one in named])

    @cached_property
    def of_parts(self) -> dict[tuple[str, str], Meaning]:
        """Contrasts of each level or subgroup, by treatment and stratum, reported or not.

        A level against no treatment, or the treatment against none within a subgroup; as the study file
        writes the contrast where an estimate of it is reported.
        """
        study = self.study
        words = {
            (t, part): (part, f"not {t}") for t, parts in study.levels.items() for part in parts
        }
        for group, t in product(study.groups, study.treatment_ids):
            within = group.replace(GROUP, LEVEL)
            words[t, group] = (f"{t} and {within}", f"not {t} and {within}")
        as_reported = {self._sides(meaning): meaning for meaning in self.meanings}
        meanings = {at: Meaning("sets", both) for at, both in words.items()}
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
        reported = set(self.meanings)
        return tuple(meaning for meaning in self.of_parts.values() if meaning not in reported)

    def is_mixed(self, treatment: str) -> bool:
        """Return whether an estimate of a treatment at all its levels together is reported.

        Parameters
        ----------
        treatment
            Id of the treatment.

        Returns
        -------
        bool
            True where such an estimate is evidence.
        """
        whole = self._sides(Meaning("sets", (treatment, f"not {treatment}")))
        return any(self._sides(e.meaning) == whole for e in self.with_interval if e.meaning)

    @property
    def inferred_ids(self) -> tuple[str, ...]:
        """Ids of the contrasts that are not reported."""
        return tuple(map(inferred_id, self.inferred))

    @cached_property
    def regressions_inferred(self) -> Estimators:
        """Log odds ratios that could have been reported, adjusted if any estimate is."""
        cohort, is_adjusted = cohort_of(self.study), self.is_adjusted
        coefficients = [coefficient_of(m, cohort, is_adjusted=is_adjusted) for m in self.inferred]
        return Estimators((ODDS_RATIO,) * len(coefficients), tuple(coefficients))

    @cached_property
    def within(self) -> NDArray[np.float64]:
        """Membership of the arms in each total, shape (total, arm)."""
        arms = self.study.present
        members = [self.study.members(total.patients, arms) for total in self.totals]
        return np.array(members, dtype=float).reshape(len(members), len(arms))

    @cached_property
    def shifted(self) -> NDArray[np.float64]:
        """Indicator of estimates that share a shift, shape (estimate, regression).

        Where adjusted estimates come from two or more regressions, each regression has its own set of
        covariates.
        """
        models = [e.model if e.adjusted else "" for e in self.reported_estimates]
        distinct = [model for model in dict.fromkeys(models) if model]
        if len(distinct) < 2:
            return np.zeros((len(models), 0))
        return np.array([[float(model == other) for other in distinct] for model in models])

    # --- Dependent rows --------------------------------------------------------------------------

    @cached_property
    def _directions(self) -> NDArray[np.float64]:
        """Linear representation of the rows, whose rank gives the dependences, then of the arguments of `_functions`.

        Saturated coefficients are combinations over groups of arms, on the scale of their statistic; any
        other has its own coordinate; totals are sums over arms.
        """
        entries: list[dict[Any, float]] = []
        regressions = self.regressions
        for statistic, coef in zip(regressions.statistics, regressions.coefficients, strict=True):
            if coef.is_saturated and statistic.of_ratios is None:
                keys = [(statistic.of_groups, coef.is_adjusted, g.tobytes()) for g in coef.groups]
                entries.append(dict(zip(keys, coef.contrast, strict=True)))
            else:
                entries.append({(statistic.name, coef.equation, coef.weights.tobytes()): 1.0})
        entries += [{("arm", i): w for i, w in enumerate(row)} for row in self.within]
        places = [*range(len(entries))]
        for function in self._functions:
            entries += function.arguments
            places += [function.at] * len(function.arguments)
        keys = list(dict.fromkeys(key for entry in entries for key in entry))
        rows = np.array([[entry.get(key, 0.0) for key in keys] for entry in entries])
        rows = rows.reshape(len(entries), len(keys))
        shifts = np.pad(self.shifted, ((0, len(self.totals)), (0, 0)))
        return np.hstack([rows, shifts[places]])

    @cached_property
    def _functions(self) -> list[_Function]:
        """Rows that are functions of contrasts of log odds, or of log risks, which others may determine."""
        pairs = zip(self.regressions.statistics, self.regressions.coefficients, strict=True)
        return [one for at, pair in enumerate(pairs) for one in _functions_of(at, *pair)]

    @cached_property
    def _split(self) -> tuple[list[int], dict[int, NDArray[np.float64]]]:
        rows = [at for at in range(len(self.names)) if at not in self._determined]
        kept, others = self.split(sorted(rows, key=self.looseness))
        # In the order of the joint distribution, whichever were taken first.
        order = np.argsort(kept)
        padded = {at: np.pad(others[at], (0, len(kept) - len(others[at]))) for at in sorted(others)}
        return sorted(kept), {at: weights[order] for at, weights in padded.items()}

    @cached_property
    def _determined(self) -> dict[int, tuple[_Function, NDArray[np.float64]]]:
        """Rows that are functions of others, with the weights of the others in the arguments, shape (row, argument)."""
        statistics = self.regressions.statistics
        linear = [at for at in range(len(self.with_interval)) if statistics[at].of_ratios is None]
        found: dict[int, tuple[_Function, NDArray[np.float64]]] = {}
        start = len(self.names)
        for function in self._functions:
            stop = start + len(function.arguments)
            arguments, start = self._directions[start:stop].T, stop
            rows = [at for at in linear if at != function.at and at not in found]
            kept, _ = independent_rows(self._directions, sorted(rows, key=self.looseness))
            basis = self._directions[kept].T
            if not kept or function.at in found:
                continue
            weights = np.linalg.lstsq(basis, arguments, rcond=None)[0]
            if np.abs(basis @ weights - arguments).max() < NO_WEIGHT:
                found[function.at] = function, np.zeros((len(self.names), weights.shape[1]))
                found[function.at][1][kept] = weights
        return found

    def looseness(self, at: int) -> tuple[int, float, str]:
        """Return the sort key by which one of several linearly dependent rows is dropped: the last.

        Estimates are sorted by standard error to two digits (more are rounding noise), then p-values, tails
        last, then totals; the order in the file does not matter.

        Parameters
        ----------
        at
            Index of the row.

        Returns
        -------
        tuple
            The sort key.
        """
        if at >= len(self.reported_estimates):
            return 3, 0.0, self.names[at]
        estimate = self.reported_estimates[at]
        if estimate.has_interval:
            return 0, round(standard_error(estimate), 2), estimate.id
        return 1 + estimate.is_below, 0.0, estimate.id

    def follows_from(self, at: int) -> dict[int, float]:
        """Return the kept rows that determine a row, with their weights; empty for a kept row.

        Parameters
        ----------
        at
            Index of the row.

        Returns
        -------
        dict
            Weights by row.
        """
        kept, others = self._split
        weights = others.get(at, np.zeros(0))
        return {kept[i]: float(w) for i, w in enumerate(weights) if abs(w) > NO_WEIGHT}

    def split(self, rows: Iterable[int]) -> tuple[list[int], dict[int, NDArray[np.float64]]]:
        """Return the rows that are independent of earlier ones, and the weights of the other rows in those.

        Parameters
        ----------
        rows
            Rows in the order in which they are taken.

        Returns
        -------
        kept, weights
            As `independent_rows` returns them.
        """
        left = [at for at in rows if at not in self._determined]
        return independent_rows(self._directions, left)

    @property
    def kept(self) -> list[int]:
        """Linearly independent rows, which enter the likelihood."""
        return self._split[0]

    @cached_property
    def dependences(self) -> tuple[Dependence, ...]:
        """Rows that are determined by others, each checked within rounding."""
        linear = map(self._dependence, self._split[1])
        return (*linear, *map(self._dependence_by_function, self._determined))

    def _dependence_by_function(self, at: int) -> Dependence:
        """Calculate a function of the rows that determine it, and compare within rounding."""
        function, weights = self._determined[at]
        estimate = self.reported_estimates[at]
        others = [row for row in range(len(weights)) if np.abs(weights[row]).max() > NO_WEIGHT]
        value = function.value(self.values @ weights)
        moved = (
            estimate_rounding(self.reported_estimates[row]) * np.eye(len(weights))[row]
            for row in others
        )
        slack = estimate_rounding(estimate) + sum(
            abs(function.value((self.values + move) @ weights) - value) for move in moved
        )
        implied = float(statistic_of(estimate.kind).link.back(value))
        agrees = bool(abs(value - self.values[at]) <= 1.05 * slack)
        return Dependence(estimate.id, tuple(self.names[row] for row in others), implied, agrees)

    def _dependence(self, at: int) -> Dependence:
        """Calculate a row from the kept ones, and compare within rounding."""
        weights = self.follows_from(at)
        name, others = self.names[at], tuple(self.names[i] for i in weights)
        value = float(sum(w * self.values[i] for i, w in weights.items()))
        count = len(self.reported_estimates)
        if at >= count:
            return Dependence(name, others, value, bool(abs(value - self.values[at]) < 0.5))
        estimate = self.reported_estimates[at]
        sources = [(self.reported_estimates[i], w) for i, w in weights.items()]
        if not estimate.has_interval:
            source, weight = sources[0]
            if len(sources) > 1 or not source.has_interval:
                return Dependence(name, others, np.nan, None)
            side = "+" if weight * link_value(source) > 0 else "-"
            agrees = p_agrees(estimate, source) and estimate.sign in ("", side)
            return Dependence(name, others, wald_p(source), agrees)
        slack = sum(abs(w) * estimate_rounding(source) for source, w in sources)
        slack += estimate_rounding(estimate)
        implied = float(statistic_of(estimate.kind).link.back(value))
        agrees = bool(abs(value - self.values[at]) <= slack * 1.05)
        return Dependence(name, others, implied, agrees)

    @cached_property
    def redundant(self) -> dict[str, tuple[str, ...]]:
        """Rows that crude estimates on several scales determine, by id: three functions of two risks, for example.

        Their joint covariance L D Lᵀ is singular where rows of L are linearly dependent, with L the derivatives of
        the rows in the events of the arms, and D the variances of these.
        """
        # Without sizes a set is a mixture of its arms in unknown shares, which others do not determine.
        crude = [
            at
            for at, (e, coef) in enumerate(
                zip(self.with_interval, self.regressions.coefficients, strict=False)
            )
            if at in self.kept
            and not e.adjusted
            and (self.sizes.are_known or (coef.groups.sum(1) == 1).all())
        ]
        if len({self.with_interval[at].kind for at in crude}) < 2:
            return {}
        log_odds = np.random.default_rng(0).normal(-1.0, 0.5, len(self.study.present))  # any risks
        levers = self.regressions.moments(np, log_odds, None, self.sizes.typical).lever
        rows = np.vstack([levers, self.within])
        totals = [at for at in self.kept if at >= len(levers)]
        scaled = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        kept, others = independent_rows(scaled, [*crude, *totals])
        names = {at: self.names[at] for at in kept}
        return {
            self.names[at]: tuple(
                n for n, w in zip(names.values(), weights, strict=False) if abs(w) > 1e-6
            )
            for at, weights in others.items()
        }


def _groups(statistic: Statistic, coef: Coefficient) -> dict[Hashable, float]:
    """Return the weights of groups of arms in a coefficient whose variance is a sum over groups; otherwise none."""
    if not coef.is_saturated or statistic.of_ratios is not None:
        return {}
    keys = [(statistic.of_groups, group.tobytes()) for group in coef.groups]
    return dict(zip(keys, coef.contrast.tolist(), strict=True))


def _equation(
    estimate: ReportedEstimate, groups: dict[Hashable, float], crude: set[Hashable]
) -> Equation:
    """Return the standard error of an estimate as a sum over groups of arms.

    The variance of a group in an adjusted estimate is that in a crude one, and what the adjustment adds, which is
    independent of every crude estimate (Hausman, Econometrica 1978;46:1251).
    """
    weights: dict[Hashable, float] = {}
    for key, weight in groups.items():
        if not estimate.adjusted or key in crude:
            weights[key] = weight
        if estimate.adjusted:
            weights["adjusted", key] = weight
    is_exact = not estimate.adjusted and estimate.interval in ("wald", FROM_P, FROM_N)
    error = 2 * (width_rounding(estimate) + (0.0 if is_exact else APPROXIMATE))
    return Equation(weights or {("alone", estimate.id): 1.0}, standard_error(estimate) ** 2, error)


def independent_rows(
    matrix: NDArray[np.float64], order: Iterable[int]
) -> tuple[list[int], dict[int, NDArray[np.float64]]]:
    """Return the rows of a matrix that are linearly independent of earlier ones, and the weights of the others.

    Parameters
    ----------
    matrix
        Shape (row, column).
    order
        Indices of the rows, in the order in which they are taken.

    Returns
    -------
    independent : list of int
        Indices of the independent rows.
    weights : dict of ndarray
        Weights of each other row in the independent rows before it.
    """
    independent: list[int] = []
    weights: dict[int, NDArray[np.float64]] = {}
    for at in order:
        basis, row = matrix[independent].T, matrix[at]
        combination, *_ = np.linalg.lstsq(basis, row, rcond=None)
        if np.abs(basis @ combination - row).max(initial=0.0) < 1e-9 and independent:
            weights[at] = combination
        else:
            independent.append(at)
    return independent, weights


def inferred_id(meaning: Meaning) -> str:
    """Return the id of a coefficient that is not reported.

    Parameters
    ----------
    meaning
        Contrast of a reported estimate.

    Returns
    -------
    str
        Its entry in the dimension ``reported_estimate``.
    """
    return f"inferred {code(meaning)}"


def incompatibilities(study: Study) -> list[tuple[str, bool]]:
    """List the reported estimates that others determine and contradict, or that are redundant.

    Parameters
    ----------
    study
        Resolved to an interpretation and a stratification.

    Returns
    -------
    list of (str, bool)
        Message, and whether it is an error: a redundant estimate, or Wald estimates of one regression, or
        counts.
    """
    numbers = estimates_of(study)
    if numbers is None:
        return []
    messages = [
        (
            f"{name} is determined by {', '.join(others)}: they are functions of the same risks, on several "
            f"scales; leave out {name} or one of the others",
            True,
        )
        for name, others in numbers.redundant.items()
    ]
    messages += [(words, True) for words in _contradictory_errors(numbers)]
    totals = {f"events[{total.patients}]": str(total.events) for total in numbers.totals}
    as_reported = {e.id: e.as_reported for e in numbers.reported_estimates} | totals
    for dependence in numbers.dependences:
        if dependence.agrees is not False:
            continue
        involved = [
            e for e in numbers.reported_estimates if e.id in (dependence.name, *dependence.others)
        ]
        is_wald = all(e.has_interval and e.interval == "wald" for e in involved)
        models = {e.model for e in involved}
        is_error = not involved or (is_wald and len(models) == 1 and "" not in models)
        hint = _risk_ratio_hint(numbers, involved)
        words = (
            f"{dependence.name} is reported as {as_reported[dependence.name]}, but {', '.join(dependence.others)} make it "
            f"{dependence.implied:.4g}, beyond rounding{hint}"
        )
        messages.append((words, is_error))
    return messages


def _contradictory_errors(numbers: ReportedEstimates) -> Iterator[str]:
    """Yield a message for each set of estimates whose standard errors contradict each other without totals."""
    if numbers.sizes.are_known:
        return
    for places in (part.estimates for part in numbers.variances.parts if not part.is_consistent):
        estimates = [numbers.with_interval[at] for at in places]
        errors = ", ".join(f"{e.id} {standard_error(e):.3g}" for e in estimates)
        without = [
            e.id
            for e in estimates
            if replace(
                numbers, with_interval=tuple(other for other in estimates if other is not e)
            ).variances.is_consistent
        ]
        names = " or ".join(without) if len(without) < len(estimates) else "any one of them"
        one = f"; without {names} the others agree" if without else ""
        yield (
            f"no variances of the arms give the standard errors of these estimates, which share arms: {errors}{one}. "
            "The squared standard error of a comparison is the sum of the variances of its two arms; correct an "
            f'interval, or leave an estimate out by contrast = "unspecified: …"{_risk_ratio_hint(numbers, estimates)}'
        )


def _risk_ratio_hint(numbers: ReportedEstimates, involved: Sequence[ReportedEstimate]) -> str:
    """Return a hint at an odds ratio that is the ratio of two reported percentages; empty where none is."""
    known = {
        e.meaning.words[0]: e for e in numbers.with_interval if e.meaning and has_level(e.kind)
    }
    for estimate in involved:
        words = estimate.meaning.words if estimate.meaning else ()
        if estimate.kind != ODDS_RATIO.name or len(words) != 2 or not set(words) <= set(known):
            continue
        one, other = (known[word].value for word in words)
        slack = one.half / one.value + other.half / other.value + estimate_rounding(estimate)
        if abs(np.log(one.value / other.value) - link_value(estimate)) <= 1.05 * slack:
            ids = f"{known[words[0]].id} and {known[words[1]].id}"
            return (
                f'; {estimate.id} is the ratio of {ids}, a risk ratio: write kind = "{RISK_RATIO}"'
            )
    return ""


def too_narrow(numbers: ReportedEstimates) -> list[str]:
    """List the odds ratios whose interval is narrower than that of any odds ratio of so many patients.

    Parameters
    ----------
    numbers
        The reported estimates.

    Returns
    -------
    list of str
        A message for each.

    Notes
    -----
    The log odds of a group of n patients have the variance 1/(n p (1 − p)), at least 4/n; of several groups that share
    N patients Σ 4 c²/n is at least 4 (Σ |c|)²/N.
    """
    if not numbers.sizes.are_known:
        return []
    messages, study = [], numbers.study
    members = [(study.members(total.patients, study.present), total.n) for total in study.totals]
    pairs = zip(numbers.with_interval, numbers.regressions.coefficients, strict=False)
    for estimate, coef in pairs:
        if statistic_of(estimate.kind).of_groups != LOG_ODDS or not coef.is_saturated:
            continue
        most = [_most_patients(group > 0, members) for group in coef.groups]
        together = _most_patients(coef.groups.any(0), members)
        apart = 4 * float((coef.contrast**2 / most).sum())
        least = np.sqrt(max(apart, 4 * np.abs(coef.contrast).sum() ** 2 / together))
        if standard_error(estimate) * (1 + width_rounding(estimate)) < least:
            words = f"{estimate.id}: the interval of {estimate.as_reported} is narrower than that of any odds ratio of so"
            hint = f'; is it a risk ratio? Then write kind = "{RISK_RATIO}"'
            is_ratio = estimate.kind == ODDS_RATIO.name
            messages.append(f"{words} many patients (SE at least {least:.3g}){hint * is_ratio}")
    return messages


def _most_patients(
    inside: NDArray[np.bool_], totals: Sequence[tuple[NDArray[np.bool_], int]]
) -> float:
    """Return the largest possible number of patients of some arms: the smallest total that contains them."""
    return float(min((n for members, n in totals if members[inside].all()), default=np.inf))


def p_agrees(as_reported: ReportedEstimate, ratio: ReportedEstimate) -> bool:
    """Return whether a p-value is the Wald p-value of an estimate, both within rounding.

    Parameters
    ----------
    as_reported
        The p-value.
    ratio
        The estimate with an interval.

    Returns
    -------
    bool
        True within rounding of both.
    """
    z = abs(wald_z(ratio))
    slack = estimate_rounding(ratio) / standard_error(ratio) + z * width_rounding(ratio)
    if as_reported.is_below:
        return z + slack >= z_value(as_reported.value.value)
    return abs(z - z_value(as_reported.value.value)) <= slack + z_rounding(as_reported)


def cohort_of(study: Study) -> Cohort:
    """Return the cohort of a study, on which contrasts are defined.

    Parameters
    ----------
    study
        The study, resolved to an interpretation and a stratification.

    Returns
    -------
    Cohort
        The cohort.
    """
    return Cohort(study.treatment_ids, tuple(map(regimens.parse, study.present)), study.parts)


def is_used(study: Study, estimate: ReportedEstimate) -> bool:
    """Return whether an estimate is evidence: it has a contrast that involves arms without counts.

    A contrast of levels or subgroups is evidence only under a stratification by these.

    Parameters
    ----------
    study
        The study, resolved to an interpretation and a stratification.
    estimate
        The reported estimate.

    Returns
    -------
    bool
        Whether it is evidence.
    """
    meaning = estimate.meaning
    if meaning is None or estimate.kind == "p_trend" or not statistic_of(estimate.kind).is_evidence:
        return False
    if not study.distinguishes(named_parts(meaning)):
        return False
    in_regression = members(meaning, cohort_of(study))
    return bool(np.any(in_regression & ~np.isin(study.present, study.counted)))


@lru_cache(maxsize=64)
def estimates_of(study: Study) -> ReportedEstimates | None:
    """Collect the reported estimates that are evidence; None where all patients are counted.

    Parameters
    ----------
    study
        The study, resolved to an interpretation and a stratification.

    Returns
    -------
    ReportedEstimates or None
        The estimates in the order of the joint distribution.
    """
    if not study.has_uncounted:
        return None
    used = [estimate for estimate in study.reported_estimates if is_used(study, estimate)]
    # Tails of "<" come last: their probability is taken given all others.
    p_values = sorted((c for c in used if not c.has_interval), key=lambda c: c.is_below)
    arms, counted = np.array(study.present), set(study.counted)
    totals = [
        total
        for total in study.totals
        if total.events is not None
        and not set(arms[study.members(total.patients, study.present)]) <= counted
    ]
    with_interval = tuple(estimate for estimate in used if estimate.has_interval)
    return ReportedEstimates(study, sizes_of(study), with_interval, tuple(p_values), tuple(totals))


def reported_in(evidence: Iterable[Evidence]) -> ReportedEstimates | None:
    """Return the reported estimates among the evidence of a study; None where there are none.

    For tables, figures and analyses of reported estimates alone.

    Parameters
    ----------
    evidence
        Evidence of the study.

    Returns
    -------
    ReportedEstimates or None
        The estimates of the only piece that has any.
    """
    every = (getattr(piece, "reported", None) for piece in evidence)
    return next((reported for reported in every if reported is not None), None)
