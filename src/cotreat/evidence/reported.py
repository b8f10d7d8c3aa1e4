"""Printed numbers: what odds ratios, p-values and totals of one cohort say together.

All of them stand on the same hidden counts, so their errors are correlated, and how is known: each
is moved by the arms' counts through its lever (`cotreat.evidence.logistic_operator.Law`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from itertools import product
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from cotreat.evidence.arm_sizes import Sizes, sizes_of
from cotreat.evidence.contrasts import (
    Cohort,
    coefficient_of,
    label,
    members,
    named_parts,
)
from cotreat.evidence.logistic_operator import Averages, Law, Regressions, averages
from cotreat.priors import model_data
from cotreat.study import regimens
from cotreat.study.regimens import GROUP, LEVEL
from cotreat.study.study import Claim, Meaning, Study, Total

if TYPE_CHECKING:
    import pytensor.tensor as pt
    import xarray as xr

Array = Any

NO_WEIGHT = 1e-9
"""Size of a weight that is rounding noise."""
WIDTH_ERROR = 0.05
"""SD of the log of a printed standard error about that of the regression on arms alone."""
FAR_OUT = -20.0
"""Log of a tail's probability below which the inverse of erf is too coarse."""


def log_estimate(claim: Claim) -> float:
    """Return the log of a printed odds ratio."""
    return float(np.log(claim.value.value))


def standard_error(claim: Claim) -> float:
    """Return the standard error of a log odds ratio that its printed interval implies."""
    assert claim.ci is not None  # noqa: S101 - for the type checker: an odds ratio has one
    lower, upper = (np.log(end.value) for end in claim.ci)
    return float((upper - lower) / (2 * ndtri(0.5 + claim.level / 2)))


def estimate_rounding(claim: Claim) -> float:
    """Return by how much rounding may have moved a printed log odds ratio, at most."""
    return claim.value.half / claim.value.value


def width_rounding(claim: Claim) -> float:
    """Return by how much rounding may have moved the log of a printed standard error, at most."""
    assert claim.ci is not None  # noqa: S101
    ends = sum(end.half / end.value for end in claim.ci)
    return float(ends / (2 * ndtri(0.5 + claim.level / 2)) / standard_error(claim))


def z_value(p: float) -> float:
    """Return the absolute normal deviate of a two-sided p-value."""
    return float(-ndtri(p / 2))


def z_rounding(claim: Claim) -> float:
    """Return by how much rounding may have moved the deviate of a printed p-value, at most."""
    p, half = claim.value.value, claim.value.half
    return (z_value(max(p - half, 1e-300)) - z_value(min(p + half, 1.0))) / 2


def wald_p(claim: Claim) -> float:
    """Return the two-sided Wald p-value that a printed odds ratio implies."""
    from scipy.special import ndtr

    return float(2 * ndtr(-abs(log_estimate(claim)) / standard_error(claim)))


@dataclass(frozen=True)
class Dependence:
    """A printed number that follows from others.

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
class Printed:
    """The printed numbers of a study that are evidence in its reading, in the order of the joint law.

    Attributes
    ----------
    odds_ratios, p_values : tuple of Claim
    totals : tuple of Total
        Those with events that are not all counted.
    """

    study: Study
    sizes: Sizes
    odds_ratios: tuple[Claim, ...]
    p_values: tuple[Claim, ...]
    totals: tuple[Total, ...]

    @property
    def claims(self) -> tuple[Claim, ...]:
        """Odds ratios, then p-values."""
        return (*self.odds_ratios, *self.p_values)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Ids of all rows: claims, then ``events[…]`` of totals."""
        return (
            *(claim.id for claim in self.claims),
            *(f"events[{total.patients}]" for total in self.totals),
        )

    @property
    def is_adjusted(self) -> bool:
        """Whether any claim is adjusted for covariates that nobody can see."""
        return any(claim.adjusted for claim in self.claims)

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
                coefficient_of(claim.meaning, cohort, is_adjusted=claim.adjusted)
                for claim in self.claims
                if claim.meaning is not None
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
        printed = {self._sides(c.meaning): c.meaning for c in self.claims if c.meaning is not None}
        meanings = {at: Meaning("sets", words) for at, words in every.items()}
        return {
            at: printed.get(sides, meaning)
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
        known = {claim.meaning for claim in self.claims}
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
        models = list(dict.fromkeys(c.model for c in self.claims if c.adjusted and c.model))
        if len(models) < 2:
            return np.zeros((len(self.claims), 0))
        return np.array([[float(c.adjusted and c.model == m) for m in models] for c in self.claims])

    @cached_property
    def _directions(self) -> NDArray[np.float64]:
        """What each row is about, in coordinates in which rows depend linearly if ever.

        Saturated coefficients are combinations of the log-odds of groups of arms; any other has a
        coordinate of its own; totals are sums over arms; and the shift of a regression is another.
        """
        entries: list[dict[Any, float]] = []
        for claim, one in zip(self.claims, self.regressions.coefficients, strict=True):
            if one.is_saturated:
                keys = [(claim.adjusted, g.tobytes()) for g in one.groups]
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
        # In the order of the joint law, whichever were taken first.
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
        if at >= len(self.claims):
            return 3, 0.0, self.names[at]
        claim = self.claims[at]
        if claim.is_odds_ratio:
            return 0, round(standard_error(claim), 2), claim.id
        return 1 + claim.is_below, 0.0, claim.id

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
        """Rows that enter the joint law: those that do not follow from others."""
        return self._split[0]

    @cached_property
    def dependences(self) -> tuple[Dependence, ...]:
        """Return the rows that follow from others, each checked within rounding."""
        return tuple(map(self._dependence, self._split[1]))

    def _dependence(self, at: int) -> Dependence:
        used = list(self.follows_from(at).items())
        names = tuple(self.names[i] for i, _ in used)
        ratios, claims = len(self.odds_ratios), len(self.claims)
        if at >= claims:
            implied = sum(w * float(self.totals[i - claims].events or 0) for i, w in used)
            own = self.totals[at - claims].events
            agrees = bool(abs(implied - float(own or 0)) < 0.5)
            return Dependence(self.names[at], names, float(implied), agrees)
        claim = self.claims[at]
        if at >= ratios:
            if len(used) == 1 and used[0][0] < ratios:
                p = wald_p(self.claims[used[0][0]])
                ratio, weight = self.claims[used[0][0]], used[0][1]
                side = "+" if weight * log_estimate(ratio) > 0 else "-"
                agrees = p_agrees(claim, ratio) and claim.sign in ("", side)
                return Dependence(claim.id, names, p, agrees)
            return Dependence(claim.id, names, np.nan, None)
        log = sum(w * log_estimate(self.claims[i]) for i, w in used)
        slack = sum(abs(w) * estimate_rounding(self.claims[i]) for i, w in used)
        agrees = bool(abs(log - log_estimate(claim)) <= (slack + estimate_rounding(claim)) * 1.05)
        return Dependence(claim.id, names, float(np.exp(log)), agrees)


def inferred_id(meaning: Meaning) -> str:
    """Return the id of a coefficient that print does not tell."""
    return f"inferred {label(meaning)}"


def contradictions(study: Study) -> list[tuple[str, bool]]:
    """Say which printed numbers contradict others that they follow from, beyond rounding.

    Returns
    -------
    list of (str, bool)
        Words, and whether it is an error: all are Wald odds ratios of one regression, or counts.
    """
    numbers = printed(study)
    if numbers is None:
        return []
    found = []
    for one in numbers.dependences:
        if one.agrees is not False:
            continue
        own = [claim for claim in numbers.claims if claim.id in (one.name, *one.others)]
        ratios = [claim for claim in own if claim.is_odds_ratio and claim.interval == "wald"]
        models = {claim.model for claim in own}
        alike = len(ratios) == len(own) and len(models) == 1 and "" not in models
        shown = next((c.printed for c in own if c.id == one.name), None)
        if shown is None:
            at = numbers.names.index(one.name) - len(numbers.claims)
            shown = str(numbers.totals[at].events)
        found.append(
            (
                f"{one.name} is printed as {shown}, but {', '.join(one.others)} make it "
                f"{one.implied:.4g}, beyond rounding",
                alike or not own,
            )
        )
    return found


def p_agrees(printed: Claim, ratio: Claim) -> bool:
    """Tell whether a p-value is that of an odds ratio, both within rounding."""
    z = abs(log_estimate(ratio)) / standard_error(ratio)
    slack = estimate_rounding(ratio) / standard_error(ratio) + z * width_rounding(ratio)
    if printed.is_below:
        return z + slack >= z_value(printed.value.value)
    return abs(z - z_value(printed.value.value)) <= slack + z_rounding(printed)


def cohort_of(study: Study) -> Cohort:
    """Return the arms of a study's cohort as what contrasts are stated on."""
    return Cohort(study.treatment_ids, tuple(map(regimens.parse, study.present)), study.parts)


def is_used(study: Study, claim: Claim) -> bool:
    """Tell whether a claim is evidence: it has a meaning, and says more than counted arms do.

    One about levels or subgroups is evidence only where regimens are told by these.
    """
    if claim.meaning is None or claim.kind == "p_trend" or not can_tell(study, claim.meaning):
        return False
    in_it = members(claim.meaning, cohort_of(study))
    return bool(np.any(in_it & ~np.isin(study.present, study.counted)))


def can_tell(study: Study, meaning: Meaning) -> bool:
    """Tell whether the regimens of a study are told by what a number is about."""
    return study.tells(named_parts(meaning))


@lru_cache(maxsize=64)
def printed(study: Study) -> Printed | None:
    """Collect the printed numbers that are evidence; None where all patients are counted."""
    if not study.has_uncounted:
        return None
    used = [claim for claim in study.claims if is_used(study, claim)]
    # Tails of "<" come last: their probability is taken given all others.
    p_values = sorted((c for c in used if not c.is_odds_ratio), key=lambda c: c.is_below)
    uncounted = [t for t in study.totals if t.events is not None and _says_more(study, t)]
    return Printed(
        study,
        sizes_of(study),
        tuple(claim for claim in used if claim.is_odds_ratio),
        tuple(p_values),
        tuple(uncounted),
    )


def parameters(numbers: Printed | None) -> tuple[str, ...]:
    """Name the rows of a prior set that printed numbers need besides those of the model."""
    if numbers is None:
        return ()
    return (
        *(("sigma",) if numbers.is_adjusted else ()),
        *(("loss",) if numbers.has_loss else ()),
        *(("shift",) if numbers.shifted.size else ()),
        *(("share",) if numbers.sizes.variables else ()),
    )


def _says_more(study: Study, total: Total) -> bool:
    inside = np.array(study.present)[study.members(total.patients, study.present)]
    return not set(inside) <= set(study.counted)


# --- The joint law ---------------------------------------------------------------------------------


class Joint(NamedTuple):
    """The law of the printed numbers given the arms.

    Attributes
    ----------
    mean, covariance : shape (row,), (row, row)
        Of log odds ratios, normal deviates of p-values and events.
    ratios : shape (claim,)
        Log of the coefficients that the claims are about, without the counts' noise.
    width, width_sd : shape (odds ratio,)
        Expected log of the printed standard errors, and its SD; empty where sizes are not known.
    """

    mean: Array
    covariance: Array
    ratios: Array
    width: Array
    width_sd: Array


@dataclass(frozen=True)
class _Rows:
    """All printed numbers on the scale of their joint law: shape (row,) or (row, arm)."""

    mean: Array
    lever: Array
    scale: Array


def joint_law(
    xp: ModuleType,
    numbers: Printed,
    log_odds: Array,
    sigma: Array | None,
    loss: Array | None,
    n: Array,
    shift_sd: float,
) -> Joint:
    """State the multivariate normal law of all printed numbers of a cohort.

    Parameters
    ----------
    log_odds
        Conditional log-odds by arm of ``study.present``, shape (arm,).
    sigma
        SD of the latent prognostic score; None where nothing is adjusted for.
    loss
        Adjusted standard errors are 1 + loss times as large as the score alone makes them; None
        where nothing is adjusted for.
    n
        Patients by arm, or shares of them where sizes are not known, shape (arm,).
    shift_sd
        SD of the shift that a regression with covariates of its own has, integrated out.

    Notes
    -----
    The counts' noise in an arm has two parts: within values of the prognostic score, variance
    n E q(1 − q), which moves every number, and between them, n (p(1 − p) − E q(1 − q)), which
    adjusted claims do not feel. What adjustment loses is independent of the crude numbers, as the
    difference of any estimate to an efficient one is of that. Of counted arms the noise is known.
    """
    arms = averages(xp, log_odds, sigma)
    law = numbers.regressions.law(xp, log_odds, sigma, n)
    if not numbers.sizes.are_known:
        variance = np.diag([standard_error(claim) ** 2 for claim in numbers.odds_ratios])
        variance = variance + shift_sd**2 * (numbers.shifted @ numbers.shifted.T)
        return Joint(law.mean, variance, law.mean, np.zeros(0), np.zeros(0))
    own = np.array([float(claim.adjusted) for claim in numbers.claims])
    kappa = 1.0 if loss is None else 1 + loss
    log_error = 0.5 * xp.log(law.variance) + own * xp.log(kappa)
    rows = _rows(xp, numbers, law, log_error, n, arms)
    mean, covariance = _counted_known(numbers, rows, n, arms, kappa)
    shifts = np.pad(numbers.shifted, ((0, len(numbers.totals)), (0, 0)))
    covariance = covariance + shift_sd**2 * (shifts @ shifts.T) * rows.scale[:, None] * rows.scale
    count = len(numbers.odds_ratios)
    noise = n * arms.risk * (1 - arms.risk)
    width_sd = xp.sqrt(WIDTH_ERROR**2 + (law.drift[:count] ** 2 * noise).sum(1))
    return Joint(mean, covariance, law.mean, log_error[:count], width_sd)


def _rows(
    xp: ModuleType,
    numbers: Printed,
    law: Law,
    log_error: Array,
    n: Array,
    arms: Averages,
) -> _Rows:
    """Put p-values on the scale of their deviates, and add the events of totals.

    A deviate b/SE moves with both: by lever/SE − z · drift.
    """
    at, more = len(numbers.odds_ratios), len(numbers.totals)
    scale = xp.concatenate([np.ones(at), xp.exp(-log_error[at:]), np.ones(more)])
    means = xp.concatenate([law.mean, numbers.within @ (n * arms.risk)]) * scale
    levers = xp.concatenate([law.lever, numbers.within]) * scale[:, None]
    moving = xp.concatenate([0 * law.drift[:at], law.drift[at:], np.zeros(numbers.within.shape)])
    return _Rows(means, levers - means[:, None] * moving, scale)


def _counted_known(
    numbers: Printed, rows: _Rows, n: Array, arms: Averages, kappa: Array
) -> tuple[Array, Array]:
    """Return mean and covariance of the rows given the counts of the counted arms."""
    study = numbers.study
    adjusted = np.array([float(c.adjusted) for c in numbers.claims] + [0.0] * len(numbers.totals))
    crude_lever = rows.lever * (1 - adjusted)[:, None]
    adjusted_lever = rows.lever * adjusted[:, None]
    total = n * arms.risk * (1 - arms.risk)
    within = n * arms.weight
    part = within / total
    known = np.array([float(label in study.counted) for label in study.present])
    events = np.zeros(len(known))
    events[known > 0] = study.events
    residual = known * (events - n * arms.risk)
    mean = rows.mean + crude_lever @ residual + adjusted_lever @ (part * residual)
    covariance = (
        (rows.lever * (within * (1 - known))) @ rows.lever.T
        + (crude_lever * ((total - within) * (1 - known))) @ crude_lever.T
        + (adjusted_lever * (within * (kappa**2 - 1 + known * (1 - part)))) @ adjusted_lever.T
    )
    return mean, covariance


STEP = 1e-20


def jacobian(
    numbers: Printed,
    log_odds: NDArray[np.float64],
    sigma: float | None,
    n: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Differentiate coefficients and expected events in the log-odds, and in the sizes left open.

    Returns
    -------
    ndarray
        Printed numbers in the order of the joint law, then what could have been printed, shape
        (row, arm + way): ways are those of ``numbers.sizes.ways``.
    """
    arms = averages(np, log_odds, sigma)
    laws = (numbers.regressions, numbers.regressions_inferred)
    levers = [one.law(np, log_odds, sigma, n).lever for one in laws]
    in_odds = np.vstack([levers[0], numbers.within, levers[1]]) * (n * arms.weight)
    ways = numbers.sizes.ways
    # By the complex step, exact: the coefficients move with the sizes, for sets are mixtures of arms.
    moved = [_means(numbers, log_odds, sigma, n + 1j * STEP * way).imag / STEP for way in ways.T]
    in_sizes = np.array(moved).reshape(len(moved), len(in_odds)).T
    return np.hstack([in_odds, in_sizes])


def _means(
    numbers: Printed, log_odds: NDArray[np.float64], sigma: float | None, n: NDArray[Any]
) -> NDArray[Any]:
    """Return coefficients and expected events, printed and not, at complex sizes, shape (row,)."""
    risk = averages(np, log_odds, sigma).risk
    laws = (numbers.regressions, numbers.regressions_inferred)
    means = [one.law(np, log_odds, sigma, n).mean for one in laws]
    return np.concatenate([means[0], numbers.within @ (n * risk), means[1]])


# --- What was observed -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Observed:
    """The printed numbers as data.

    Attributes
    ----------
    values : ndarray, shape (row,)
        Log odds ratios, deviates of p-values by their sign (+ where it is not known), events.
    rounding : ndarray, shape (row,)
        Variance by rounding.
    is_tail : ndarray of bool, shape (row,)
        Rows that are "<" or whose sign is not known: not a point but a part of the line.
    """

    values: NDArray[np.float64]
    rounding: NDArray[np.float64]
    is_tail: NDArray[np.bool_]


def observed(numbers: Printed) -> Observed:
    """Return the printed numbers on the scale of the joint law."""
    values, halves = [], []
    for claim in numbers.claims:
        if claim.is_odds_ratio:
            values.append(log_estimate(claim))
            halves.append(estimate_rounding(claim))
        else:
            values.append((-1 if claim.sign == "-" else 1) * z_value(claim.value.value))
            halves.append(0.0 if claim.is_below else z_rounding(claim))
    values += [float(total.events or 0) for total in numbers.totals]
    halves += [0.0] * len(numbers.totals)
    tails = [not c.is_odds_ratio and (c.is_below or not c.sign) for c in numbers.claims]
    return Observed(
        np.array(values),
        np.array(halves) ** 2 / 3,
        np.array(tails + [False] * len(numbers.totals), dtype=bool),
    )


def data(numbers: Printed) -> model_data.Given:
    """Return the printed numbers as data of a PyMC model."""
    seen = observed(numbers)
    points = [at for at in numbers.kept if not seen.is_tail[at]]
    known = {"printed points": seen.values[points], "printed rounding": seen.rounding}
    if numbers.sizes.are_known and numbers.odds_ratios:
        known["printed widths"] = np.log([standard_error(claim) for claim in numbers.odds_ratios])
        rounding = np.array([width_rounding(claim) for claim in numbers.odds_ratios])
        known["width rounding"] = rounding**2 / 3
    return {**known, **numbers.sizes.data}


def share_orders(numbers: Printed | None) -> dict[str, list[int]]:
    """Order the shares of each total that is shared out, by variable: first those print tells most of.

    A total that is shared out arm by arm in this order leaves shares that depend little on each other.
    """
    if numbers is None:
        return {}
    words = [w for c in numbers.claims if c.meaning is not None for w in c.meaning.words]
    told = [words.count(regimen) for regimen in numbers.study.present]
    sizes = numbers.sizes
    return {
        name: sorted(range(len(arms)), key=lambda at, arms=arms: -told[arms[at]])  # type: ignore[misc]
        for name, (arms, _) in zip(sizes.variables, sizes.blocks, strict=False)
    }


def shape(numbers: Printed) -> tuple[Any, ...]:
    """Return all that the joint law is made of besides `data`: equal shapes have one law."""
    sizes, study = numbers.sizes, numbers.study
    claims = [
        (
            claim.kind,
            claim.meaning,
            claim.adjusted,
            claim.model,
            claim.sign,
            claim.is_below,
            # What is no point stands in the law as it is, and so do errors where sizes are not known.
            None if claim.is_odds_ratio or (claim.sign and not claim.is_below) else claim.value,
            None if sizes.are_known else (claim.ci, claim.level),
        )
        for claim in numbers.claims
    ]
    loose = sizes.polytope and (sizes.polytope.centre.tolist(), sizes.polytope.basis.tolist())
    return (
        tuple(claims),
        tuple(total.patients for total in numbers.totals),
        numbers.inferred,
        (study.present, study.counted, tuple(study.n.tolist()), tuple(study.events.tolist())),
        (tuple(arms for arms, _ in sizes.blocks), str(loose), sizes.loose, sizes.are_known),
    )


def coordinates(numbers: Printed) -> dict[str, tuple[str, ...]]:
    """Name the entries of everything that `likelihood` makes."""
    tails = observed(numbers).is_tail
    return {
        "present": numbers.study.present,
        "claim": (*(claim.id for claim in numbers.claims), *numbers.inferred_ids),
        "odds_ratio": tuple(claim.id for claim in numbers.odds_ratios),
        "row": numbers.names,
        "row_": numbers.names,
        "point": tuple(numbers.names[at] for at in numbers.kept if not tails[at]),
    }


# --- In a PyMC model -------------------------------------------------------------------------------


def likelihood(
    numbers: Printed,
    log_odds: pt.TensorVariable,
    sigma: pt.TensorVariable | None,
    loss: pt.TensorVariable | None,
    n: pt.TensorVariable,
    shift_sd: pt.TensorVariable,
    unconfounded: pt.TensorVariable | None = None,
) -> None:
    """State the printed numbers in the PyMC model in context.

    Parameters
    ----------
    log_odds, n
        By arm of ``study.present``.
    unconfounded
        Log-odds by arm to make the deterministic ``log_ratio`` of, where the evidence is confounded.
    """
    import pymc as pm
    import pytensor.tensor as pt

    def law_of(xp: Any, log_odds: Any, sigma: Any, loss: Any, n: Any, shift_sd: Any) -> Joint:
        return joint_law(xp, numbers, log_odds, sigma, loss, n, shift_sd)

    def inferred_of(xp: Any, log_odds: Any, sigma: Any, n: Any) -> Any:
        return numbers.regressions_inferred.law(xp, log_odds, sigma, n).mean

    def ratios_of(xp: Any, log_odds: Any, sigma: Any, n: Any) -> Any:
        return numbers.regressions.law(xp, log_odds, sigma, n).mean

    law = one_node(law_of)(log_odds, sigma, loss, n, shift_sd)
    ratios, own = law.ratios, log_odds
    if unconfounded is not None:
        ratios, own = one_node(ratios_of)(unconfounded, sigma, n), unconfounded
    more = [one_node(inferred_of)(own, sigma, n)] if numbers.inferred else []
    pm.Deterministic("log_ratio", pt.concatenate([ratios, *more]), dims="claim")
    observe(numbers, law)


def one_node(law: Callable[..., Any]) -> Callable[..., Any]:
    """State a function of an array module and arrays as one node of a PyTensor graph, through JAX.

    Spelled out it has thousands of nodes, and PyTensor takes seconds to rewrite them.
    """
    import jax.numpy as jnp
    from pytensor import wrap_jax

    @wrap_jax
    def in_jax(*given: Any) -> Any:
        return law(jnp, *given)

    return in_jax


def observe(numbers: Printed, law: Joint) -> None:
    """State the printed numbers, given their law, in the PyMC model in context.

    Makes the observed ``claims`` (points of the joint law) and ``widths`` (log standard errors), the
    potential ``tails``, and as deterministics the laws of all of them, of claims that follow from
    others too.
    """
    import pymc as pm
    import pytensor.tensor as pt

    is_tail, known = observed(numbers).is_tail, model_data.state(data(numbers))
    covariance = law.covariance + pt.diag(known["printed rounding"])
    pm.Deterministic("claim_mean", law.mean, dims="row")
    pm.Deterministic("claim_covariance", covariance, dims=("row", "row_"))
    points = [at for at in numbers.kept if not is_tail[at]]
    tails = [at for at in numbers.kept if is_tail[at]]
    values = known["printed points"]
    inner = covariance[points][:, points]
    pm.CustomDist(
        "claims",
        law.mean[points],
        inner,
        logp=partial(_normal_log_density, count=len(points)),
        signature="(k),(k,k)->(k)",
        observed=values,
        dims="point",
    )
    if tails:
        across = covariance[tails][:, points]
        weights = pt.linalg.solve(inner, across.T, assume_a="pos").T
        mean = law.mean[tails] + weights @ (values - law.mean[points])
        rest = covariance[tails][:, tails] - weights @ across.T
        pm.Potential("tails", _tails([numbers.claims[at] for at in tails], mean, rest))
    if numbers.sizes.are_known and numbers.odds_ratios:
        mean = pm.Deterministic("width_mean", law.width, dims="odds_ratio")
        sd = pt.sqrt(law.width_sd**2 + known["width rounding"])
        sd = pm.Deterministic("width_sd", sd, dims="odds_ratio")
        pm.Normal("widths", mean, sd, observed=known["printed widths"], dims="odds_ratio")


def _normal_log_density(value: Any, mean: Any, covariance: Any, *, count: int) -> Any:
    """Return the log density of a multivariate normal, row after row given the rows before.

    Written out, for there are few rows: calls into a linear algebra library for each of thousands of
    particles took most of the time.
    """
    import pytensor.tensor as pt

    off, rest, total = value - mean, covariance, pt.zeros(())
    for _ in range(count):
        variance, across = rest[0, 0], rest[0, 1:]
        total -= 0.5 * (off[0] ** 2 / variance + pt.log(2 * np.pi * variance))
        weights = across / variance
        off = off[1:] - weights * off[0]
        rest = rest[1:, 1:] - weights[:, None] * across
    return total


def replicate(posterior: xr.Dataset, rng: np.random.Generator) -> dict[str, xr.DataArray]:
    """Draw the printed numbers again: ``claims`` by row, and ``widths`` where they are evidence."""
    mean, covariance = posterior["claim_mean"], posterior["claim_covariance"]
    root = np.linalg.cholesky(covariance.values)
    noise = rng.normal(size=mean.shape)
    values = mean.values + (root @ noise[..., None])[..., 0]
    drawn = {"claims": mean.copy(data=values)}
    if "width_mean" in posterior:
        sd = posterior["width_sd"].values
        drawn["widths"] = posterior["width_mean"] + sd * rng.normal(size=sd.shape)
    return drawn


def _tails(
    claims: list[Claim], mean: pt.TensorVariable, covariance: pt.TensorVariable
) -> pt.TensorVariable:
    """Return the log probability of p-values whose deviate is not a point, given all other numbers.

    One after the other (Geweke, Hajivassiliou & Keane): each but the last tail is drawn through a
    uniform variable of its own, so that the next is conditional on it. Signs that nobody printed are
    summed over.
    """
    import pymc as pm
    import pytensor.tensor as pt

    chol = pt.linalg.cholesky(covariance)
    latent = [
        pm.Uniform(f"tail_{c.id}") if c.is_below and at < len(claims) - 1 else None
        for at, c in enumerate(claims)
    ]
    free = [at for at, c in enumerate(claims) if not c.is_below]
    patterns = list(product((1.0, -1.0), repeat=len(free)))
    logs = []
    for pattern in patterns:
        signs = dict(zip(free, pattern, strict=True))
        total: Any = 0.0
        errors: list[Any] = []
        for at, claim in enumerate(claims):
            z = z_value(claim.value.value)
            centre = mean[at] + sum((chol[at, j] * errors[j] for j in range(at)), start=0.0)
            if claim.is_below:
                mass, error = _beyond(z, centre, chol[at, at], claim.sign, latent[at])
            else:
                error = (signs[at] * z - centre) / chol[at, at]
                mass = pm.logp(pm.Normal.dist(), error) - pt.log(chol[at, at])
            total = total + mass
            errors.append(error)
        logs.append(total)
    return pt.logsumexp(pt.stack(logs))


def _beyond(
    z: float, centre: Any, spread: Any, sign: str, latent: pt.TensorVariable | None
) -> tuple[Any, Any]:
    """Return the log probability of |deviate| > z on the side of `sign`, and a standard error in it."""
    import pytensor.tensor as pt

    upper = _log_cdf((centre - z) / spread) if sign != "-" else -np.inf
    lower = _log_cdf((-z - centre) / spread) if sign != "+" else -np.inf
    mass = {"+": upper, "-": lower}.get(sign)
    mass = pt.logaddexp(upper, lower) if mass is None else mass
    if latent is None:
        return mass, 0.0
    above, below = pt.log(latent) + mass, pt.log1p(-latent) + mass
    inside = above < upper  # never where there is no upper tail
    return mass, pt.switch(inside, -_quantile(above), _quantile(below))


def _log_cdf(z: Any) -> Any:
    """Return the log of the normal distribution function.

    Neither branch overflows where the other one counts: JAX differentiates both.
    """
    import pytensor.tensor as pt

    low, high = pt.minimum(z, -1.0), pt.maximum(z, -1.0)
    return pt.switch(
        pt.lt(z, -1.0),
        pt.log(pt.erfcx(-low / np.sqrt(2)) / 2) - low**2 / 2,
        pt.log1p(-pt.erfc(high / np.sqrt(2)) / 2),
    )


def _quantile(log_p: Any) -> Any:
    """Return the standard normal deviate below which a probability lies, given its log."""
    import pytensor.tensor as pt

    near = np.sqrt(2) * pt.erfinv(2 * pt.exp(pt.maximum(log_p, FAR_OUT)) - 1)
    low = pt.minimum(log_p, FAR_OUT)
    far = -pt.sqrt(-2 * low - pt.log(-4 * np.pi * low))
    for _ in range(3):  # Newton's method in the log of the distribution function
        log_cdf = _log_cdf(far)
        slope = pt.exp(-0.5 * far**2 - 0.5 * np.log(2 * np.pi) - log_cdf)
        far = far - (log_cdf - low) / slope
    return pt.switch(log_p > FAR_OUT, near, far)
