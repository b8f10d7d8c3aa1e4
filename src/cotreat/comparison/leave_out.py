"""Leaving evidence out: its units, what each adds to the rest, and what the rest predicts of it.

A unit is what is left out at a time: a patient, the count of a regimen, or a printed number with the width
of its interval. Where numbers follow from one another, another of them is not used either, for one that
the others tell would not be left out. Leaving it out changes numbers that a model is given and nothing else, so that one
compiled density serves for all: a patient fewer in a cell; a count of none among none, which is as likely
under any risk; a printed number with so wide a rounding that it could be any.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp

from cotreat.core.constants import INTERVAL
from cotreat.evidence import patients, reported
from cotreat.inference import laplace
from cotreat.priors.model_data import Given
from cotreat.sensitivity import interpretations
from cotreat.study.study import Claim, Study

if TYPE_CHECKING:
    from cotreat.inference.marginal_likelihood import Marginals

PATIENT, CELL, CLAIM = "patient", "cell", "claim"
UNITS = {
    PATIENT: "a patient",
    CELL: "the count of a regimen",
    CLAIM: "a printed number with its width",
}
"""What is left out at a time, in words."""

UNREAD = 1e8
"""Variance, in units of its own scale, of the rounding of a number that is left out."""
NUTS_DRAWS, NUTS_TUNE, NUTS_CHAINS = 1000, 1000, 4

LAW = ("claim_mean", "claim_covariance", "width_mean", "width_sd")
"""Deterministics that say what is printed."""


@dataclass(frozen=True)
class Unit:
    """What is left out at a time.

    Attributes
    ----------
    name : str
    changes : tuple of (str, int, float)
        What leaving it out adds to which entry of which numbers that the model is given.
    constant : float
        Log density of the unit given the rest is the log evidence, less that under the changes, plus this.
    times : int
        How many units are like it.
    beside : tuple of str
        Printed numbers that are not used either: with one of them it could be told.
    """

    name: str
    changes: tuple[tuple[str, int, float], ...]
    constant: float = 0.0
    times: int = 1
    beside: tuple[str, ...] = ()

    def left_out(self, numbers: Given) -> Given:
        """Return the numbers that a model is given without it."""
        changed = dict(numbers)
        for name, at, amount in self.changes:
            array = np.array(changed[name])
            array[at] += amount if array.dtype.kind == "f" else int(amount)
            changed[name] = array
        return changed


@dataclass(frozen=True)
class Units:
    """The evidence of a study, cut into what is left out at a time.

    Attributes
    ----------
    kind : str
        ``patient``, ``cell`` or ``claim``.
    parts : tuple of Unit
    """

    kind: str
    parts: tuple[Unit, ...]

    @property
    def count(self) -> int:
        """How many units there are, those that are alike counted each."""
        return sum(part.times for part in self.parts)

    @property
    def names(self) -> list[str]:
        """Names of the parts, in order."""
        return [part.name for part in self.parts]


def units_of(study: Study) -> Units:
    """Cut the evidence of a study into units.

    Patients where they are given with covariates; printed numbers where there are any, given the counts of
    the regimens that were counted; else the counts of the regimens.
    """
    if study.is_adjusted:
        return Units(PATIENT, tuple(_patients(study)))
    numbers = reported.printed(study)
    if numbers is not None:
        return Units(CLAIM, tuple(_claims(numbers)))
    cells = (
        Unit(
            regimen,
            (
                ("counted n", at, -float(study.n[at])),
                ("counted events", at, -float(study.events[at])),
            ),
        )
        for at, regimen in enumerate(study.counted)
    )
    return Units(CELL, tuple(cells))


def _patients(study: Study) -> Iterator[Unit]:
    """Yield of each cell of patients who are alike one with the event and one without.

    Patients who are alike are as likely in any order: the binomial density of their cell counts the orders.
    """
    cells = study.cells
    assert cells is not None  # noqa: S101 - for the type checker
    for at, (n, r) in enumerate(zip(cells.n.tolist(), cells.events.tolist(), strict=True)):
        for events, times, word in ((1, r, "with"), (0, n - r, "without")):
            if times:
                orders = _log_orders(n - 1, r - events) - _log_orders(n, r)
                yield Unit(
                    f"cell {at}, {cells.regimens[at]}, {word} event",
                    (("cell n", at, -1.0), ("cell events", at, -float(events))),
                    orders,
                    times,
                )


def _log_orders(n: int, r: int) -> float:
    return float(gammaln(n + 1) - gammaln(r + 1) - gammaln(n - r + 1))


def _claims(numbers: reported.Printed) -> Iterator[Unit]:
    """Yield printed numbers with their widths."""
    for at, name in enumerate(numbers.names):
        changes: list[tuple[str, int, float]] = []
        point, constant = _point_of(numbers, at)
        if point is not None:
            scale = _scale(numbers, point)
            changes.append(("printed rounding", point, UNREAD * scale))
            own = numbers.claims[point] if point < len(numbers.claims) else None
            constant += _log_unread(own, scale)
        if at < len(numbers.odds_ratios) and numbers.sizes.are_known:
            changes.append(("width rounding", at, UNREAD))
            constant += _log_unread(None, 1.0)
        if changes:
            yield Unit(name, tuple(changes), constant, beside=_beside(numbers, at, point))


def _point_of(numbers: reported.Printed, at: int) -> tuple[int | None, float]:
    """Return the row of the joint law that is left out for a number, and what its log density is more.

    A number that follows from others is left out by leaving out the loosest of these, with which it moves in
    proportion. A p-value that follows from an odds ratio says nothing more, and is not left out.
    """
    if at in numbers.kept:
        return at, 0.0
    weights = numbers.follows_from(at)
    is_p_value = len(numbers.odds_ratios) <= at < len(numbers.claims)
    if is_p_value or not weights:
        return None, 0.0
    point = max(weights, key=numbers.looseness)
    return point, -float(np.log(abs(weights[point])))


def _beside(numbers: reported.Printed, at: int, point: int | None) -> tuple[str, ...]:
    """Name the numbers that are not used where a row of the joint law is left out for one."""
    if point is None:
        return ()
    rows = range(len(numbers.names))
    unused = [row for row in rows if row == point or point in numbers.follows_from(row)]
    return tuple(numbers.names[row] for row in unused if row != at)


def _scale(numbers: reported.Printed, at: int) -> float:
    """A total is counted in patients, all else is on the scale of log odds or deviates."""
    more = at - len(numbers.claims)
    return float(numbers.totals[more].n) if more >= 0 else 1.0


def _log_unread(claim: Claim | None, scale: float) -> float:
    """Return the log density of a number that could be any, as the changed numbers have it."""
    flat = -0.5 * float(np.log(2 * np.pi * UNREAD * scale))
    if claim is None or claim.is_odds_ratio:
        return flat
    if claim.is_below:  # half of all deviates lie on its side, or nearly all beyond it on either
        return float(np.log(0.5)) if claim.sign else 0.0
    return flat if claim.sign else flat + float(np.log(2))


# --- Densities given the rest, draw by draw --------------------------------------------------------


def log_densities(study: Study, posterior: xr.Dataset, units: Units) -> xr.DataArray | None:
    """Return the log density of each unit given the parameters and all other units.

    Returns
    -------
    xarray.DataArray or None
        Dims (chain, draw, unit). None where p-values are printed of which only a side or a bound is known:
        they are no part of a normal law.

    Notes
    -----
    Of printed numbers: the conditional normal of one row of the joint law given all others (Bürkner, Gabry
    & Vehtari, Comput Stat 2021;36:1243), times the density of its width.
    """
    if units.kind == PATIENT:
        values = _of_patients(study, posterior)
    elif units.kind == CELL:
        values = _of_counts(study, posterior)
    else:
        numbers = reported.printed(study)
        assert numbers is not None  # noqa: S101 - for the type checker
        if reported.observed(numbers).is_tail[numbers.kept].any():
            return None
        values = _of_claims(numbers, posterior, units)
    coords = {"chain": posterior["chain"], "draw": posterior["draw"], "unit": units.names}
    return xr.DataArray(values, coords, ("chain", "draw", "unit"), name="unit_density")


def _of_counts(study: Study, posterior: xr.Dataset) -> NDArray[np.float64]:
    risk = posterior["risk"].sel(arm=list(study.counted)).transpose("chain", "draw", "arm").values
    ways = np.array(
        [_log_orders(n, r) for n, r in zip(study.n.tolist(), study.events.tolist(), strict=True)]
    )
    logs: NDArray[np.float64] = (
        ways + study.events * np.log(risk) + (study.n - study.events) * np.log1p(-risk)
    )
    return logs


def _of_patients(study: Study, posterior: xr.Dataset) -> NDArray[np.float64]:
    cells = study.cells
    assert cells is not None  # noqa: S101 - for the type checker
    found = []
    for chain in range(posterior.sizes["chain"]):
        risk = patients.risks(cells, posterior.isel(chain=chain))
        both = np.stack([np.log(risk), np.log1p(-risk)], axis=-1)
        is_there = np.stack([cells.events > 0, cells.events < cells.n], axis=-1)
        found.append(both[:, is_there])
    return np.stack(found)


def _of_claims(
    numbers: reported.Printed, posterior: xr.Dataset, units: Units
) -> NDArray[np.float64]:
    kept, data = numbers.kept, reported.observed(numbers)
    mean = posterior["claim_mean"].values[..., kept]
    covariance = posterior["claim_covariance"].values[..., kept, :][..., kept]
    precision = np.linalg.inv(covariance)
    pull = (precision @ (data.values[kept] - mean)[..., None])[..., 0]
    inverse = np.diagonal(precision, axis1=-2, axis2=-1)
    of_rows = 0.5 * (np.log(inverse / (2 * np.pi)) - pull**2 / inverse)
    logs = np.zeros((*mean.shape[:2], len(numbers.names)))
    for at in range(len(numbers.names)):
        point, more = _point_of(numbers, at)
        if point is not None:
            logs[..., at] = of_rows[..., kept.index(point)] + more
    logs[..., : len(numbers.odds_ratios)] += _of_widths(numbers, posterior)
    return logs[..., [numbers.names.index(name) for name in units.names]]


def _of_widths(numbers: reported.Printed, posterior: xr.Dataset) -> NDArray[np.float64]:
    """Return the log density of each printed width, 0 where they are no evidence."""
    if "width_mean" not in posterior:
        shape = posterior["claim_mean"].shape[:2]
        return np.zeros((*shape, len(numbers.odds_ratios)))
    sd = posterior["width_sd"].values
    off = (reported.data(numbers)["printed widths"] - posterior["width_mean"].values) / sd
    logs: NDArray[np.float64] = -0.5 * (off**2 + np.log(2 * np.pi * sd**2))
    return logs


# --- Exact refits ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Refit:
    """What leaving one unit out gave.

    Attributes
    ----------
    elpd : float
        Log density that the rest predicts for the unit; NaN where it could not be worked out.
    pareto_k, effective : float
        Of the refit's own weights, and their effective draws; NaN of NUTS.
    error : float
        Monte Carlo error of the refit's part of it; that of the whole model's log evidence, which all refits
        share, is not in it.
    how : str
    posterior : xarray.Dataset or None
        Draws of the refit, of ``risk`` and of what says what is printed, if they were asked for.
    """

    elpd: float
    pareto_k: float
    effective: float
    error: float
    how: str
    posterior: xr.Dataset | None = None


BY_LAPLACE, BY_NUTS = "refit", "refit by NUTS"
NOT_REFITTED, TOO_MANY, NOT_TRUSTED = (
    "weights not trusted, no refit",
    "weights not trusted, beyond the most refits",
    "neither weights nor refit trusted",
)
"""Why there is no answer."""


def refit(
    study: Study,
    marginals: Marginals,
    units: Units,
    unit: Unit,
    densities: xr.DataArray | None,
    *,
    is_predicted: bool = False,
    may_sample: bool = False,
) -> Refit:
    """Fit the rest without one unit, and say how probable the rest makes it.

    The log density of the unit given the rest is the difference of two log evidences, with the unit and
    without. Where either cannot be trusted, by Pareto k, NUTS samples the rest if it may.

    Parameters
    ----------
    densities
        What `log_densities` gave for draws of the fit.
    is_predicted
        Whether draws of what says what is printed or counted are wanted.
    """
    numbers = unit.left_out(marginals.given)
    weights = None if densities is None else -densities.sel(unit=unit.name, drop=True)
    found = marginals.found(numbers, weights=weights)
    if laplace.BAD not in (found.verdict, marginals.whole.verdict):
        elpd = marginals.whole.log_evidence - found.log_evidence + unit.constant
        names = ("risk", *LAW)
        draws = marginals.draws(found, names) if is_predicted else None
        return Refit(elpd, found.pareto_k, found.effective, found.log_error, BY_LAPLACE, draws)
    if may_sample:
        posterior = marginals.sampled(numbers, draws=NUTS_DRAWS, tune=NUTS_TUNE, chains=NUTS_CHAINS)
        logs = log_densities(study, posterior, units)
        if logs is not None and _has_settled(posterior):
            own = logs.sel(unit=unit.name)
            elpd = float(logsumexp(own) - np.log(own.size))
            error = float(log_mean_errors(own))
            return Refit(elpd, float("nan"), float("nan"), error, BY_NUTS, posterior)
    return Refit(float("nan"), found.pareto_k, found.effective, float("nan"), NOT_TRUSTED)


def log_mean_errors(logs: xr.DataArray) -> NDArray[np.float64]:
    """Return the Monte Carlo error of the log of a mean over draws, from logs, dims (chain, draw, …)."""
    import arviz as az

    means: xr.DataArray = xr.ufuncs.exp(logs - logs.max(("chain", "draw")))
    error = az.mcse(means.to_dataset(name="mean"), method="mean")["mean"]
    found: NDArray[np.float64] = np.asarray(error / means.mean(("chain", "draw")))
    return found


def _has_settled(posterior: xr.Dataset) -> bool:
    """Tell whether the chains of a sampled refit agree."""
    import arviz as az

    return bool(float(az.rhat(posterior[["risk"]])["risk"].max()) < 1.01)


# --- What the rest predicts ------------------------------------------------------------------------


@dataclass(frozen=True)
class Left:
    """A printed number, or a count, in what the evidence that is not left out with it predicts of it.

    Attributes
    ----------
    unit : str
    quantity : str
        ``odds ratio``, ``p-value``, ``standard error`` (of the log odds ratio) or ``events``.
    printed : str
        As it stands in print.
    value : float
        The same as a number.
    lower, left, median, right, upper : float
        Ends of the central 95 and 50 % of the predictive distribution, and its middle.
    tail : float
        Share of predictions at least as far out, on the nearer side.
    beside : tuple of str
        Printed numbers that were not used either.
    """

    unit: str
    quantity: str
    printed: str
    value: float
    lower: float
    left: float
    median: float
    right: float
    upper: float
    tail: float
    beside: tuple[str, ...] = ()

    @property
    def is_outside(self) -> bool:
        """Whether it lies outside the central 95 % of the predictions."""
        return self.tail < (1 - INTERVAL) / 2


ODDS_RATIO, P_VALUE, WIDTH, EVENTS = "odds ratio", "p-value", "standard error", "events"


def predictions(
    study: Study, units: Units, unit: Unit, posterior: xr.Dataset, rng: np.random.Generator
) -> list[Left]:
    """Predict what was left out from a refit without it; nothing for patients.

    Parameters
    ----------
    posterior
        What `refit` returned for the unit.
    """
    if units.kind == PATIENT:
        return []
    if units.kind == CELL:
        at = study.counted.index(unit.name)
        risk = posterior["risk"].sel(arm=unit.name).values.ravel()
        own = float(study.events[at])
        drawn = rng.binomial(study.n[at], risk)
        return [_left(unit.name, EVENTS, f"{own:.0f} of {study.n[at]}", own, drawn)]
    numbers = reported.printed(study)
    assert numbers is not None  # noqa: S101 - for the type checker
    flat = posterior.stack(sample=("chain", "draw")).transpose("sample", ...)
    at = numbers.names.index(unit.name)
    found = [_of_width(numbers, at, flat, rng)]
    point, _ = _point_of(numbers, at)
    if point is not None:
        found.insert(0, _of_number(numbers, at, point, flat, rng))
    return [replace(left, beside=unit.beside) for left in found if left is not None]


def _of_number(
    numbers: reported.Printed,
    at: int,
    point: int,
    flat: xr.Dataset,
    rng: np.random.Generator,
) -> Left:
    """Predict a number from the rows of the joint law without the one that was left out for it."""
    name, data = numbers.names[at], reported.observed(numbers)
    points = [i for i in numbers.kept if i != point and not data.is_tail[i]]
    covariance = flat["claim_covariance"].values - np.diag(data.rounding)
    mean = flat["claim_mean"].values
    centre, sd = interpretations.conditional(mean, covariance, at, points, data)
    value, drawn = float(data.values[at]), rng.normal(centre, sd)
    if at < len(numbers.odds_ratios):
        claim = numbers.claims[at]
        return _left(name, ODDS_RATIO, str(claim.value), claim.value.value, np.exp(drawn))
    if at < len(numbers.claims):
        return _of_p_value(numbers.claims[at], value, centre, sd, rng)
    total = numbers.totals[at - len(numbers.claims)].n
    return _left(name, EVENTS, f"{value:.0f} of {total}", value, drawn)


def _of_width(
    numbers: reported.Printed, at: int, flat: xr.Dataset, rng: np.random.Generator
) -> Left | None:
    """Predict the width of an odds ratio; None of what has none."""
    if at >= len(numbers.odds_ratios) or "width_mean" not in flat:
        return None
    claim = numbers.odds_ratios[at]
    sd = flat["width_sd"].isel(odds_ratio=at).values
    widths = np.exp(rng.normal(flat["width_mean"].isel(odds_ratio=at).values, sd))
    value = reported.standard_error(claim)
    assert claim.ci is not None  # noqa: S101 - for the type checker
    interval = f"{value:.3f} ({claim.ci[0]}–{claim.ci[1]})"
    return _left(claim.id, WIDTH, interval, value, widths)


def _of_p_value(
    claim: Claim,
    value: float,
    centre: NDArray[np.float64],
    sd: NDArray[np.float64],
    rng: np.random.Generator,
) -> Left:
    one = interpretations.predicted(claim, value, centre, sd, rng)
    shown = claim.value.value
    none = float("nan")
    return Left(
        claim.id,
        P_VALUE,
        claim.printed,
        shown,
        one.lower,
        none,
        one.median,
        none,
        one.upper,
        one.tail,
    )


def _left(name: str, quantity: str, printed: str, value: float, drawn: NDArray[np.float64]) -> Left:
    beyond = (1 - INTERVAL) / 2
    ends = np.quantile(drawn, [beyond, 0.25, 0.5, 0.75, 1 - beyond])
    lower, left, median, right, upper = map(float, ends)
    # Half of those that are the same: counts are whole numbers.
    above = float((drawn > value).mean() + (drawn == value).mean() / 2)
    tail = min(above, 1 - above)
    return Left(name, quantity, printed, value, lower, left, median, right, upper, tail)


def follows(study: Study) -> Sequence[reported.Dependence]:
    """Return the printed numbers that follow from others."""
    numbers = reported.printed(study)
    return () if numbers is None else numbers.dependences
