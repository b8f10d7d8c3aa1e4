"""Reported estimates as data: on the scale of their joint distribution, with rounding, by name.

No PyMC here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cotreat.evidence.protocol import Given
from cotreat.evidence.reported import (
    ReportedEstimates,
    estimate_rounding,
    link_value,
    standard_error,
    width_rounding,
    z_rounding,
    z_value,
)


@dataclass(frozen=True)
class Observed:
    """The reported estimates as data.

    Attributes
    ----------
    values : ndarray, shape (row,)
        Estimates on the scale of their link, signed deviates of p-values (+ for an unknown sign), events.
    rounding : ndarray, shape (row,)
        Variance due to rounding.
    is_tail : ndarray of bool, shape (row,)
        p-values with "<" or an unknown sign: a range of deviates, not a point.
    """

    values: NDArray[np.float64]
    rounding: NDArray[np.float64]
    is_tail: NDArray[np.bool_]


def observed(numbers: ReportedEstimates) -> Observed:
    """Return the reported estimates on the scale of the joint distribution."""
    values, halves = [], []
    for estimate in numbers.reported_estimates:
        if estimate.has_interval:
            values.append(link_value(estimate))
            halves.append(estimate_rounding(estimate))
        else:
            values.append((-1 if estimate.sign == "-" else 1) * z_value(estimate.value.value))
            halves.append(0.0 if estimate.is_below else z_rounding(estimate))
    values += [float(total.events or 0) for total in numbers.totals]
    halves += [0.0] * len(numbers.totals)
    tails = [not c.has_interval and (c.is_below or not c.sign) for c in numbers.reported_estimates]
    return Observed(
        np.array(values),
        np.array(halves) ** 2 / 3,
        np.array(tails + [False] * len(numbers.totals), dtype=bool),
    )


def data(numbers: ReportedEstimates) -> Given:
    """Return the reported estimates as data of a PyMC model, by name."""
    seen = observed(numbers)
    points = [at for at in numbers.kept if not seen.is_tail[at]]
    known = {"printed points": seen.values[points], "printed rounding": seen.rounding}
    if numbers.sizes.are_known and numbers.odds_ratios:
        known["printed widths"] = np.log(
            [standard_error(estimate) for estimate in numbers.odds_ratios]
        )
        rounding = np.array([width_rounding(estimate) for estimate in numbers.odds_ratios])
        known["width rounding"] = rounding**2 / 3
    return {**known, **numbers.sizes.data}


def share_orders(numbers: ReportedEstimates) -> dict[str, list[int]]:
    """Return the stick-breaking order of the shares of each total: arms in most contrasts first.

    In this order the stick-breaking coordinates are nearly independent.
    """
    words = [
        w for c in numbers.reported_estimates if c.meaning is not None for w in c.meaning.words
    ]
    mentions = [words.count(regimen) for regimen in numbers.study.present]
    sizes = numbers.sizes
    return {
        name: sorted(range(len(arms)), key=lambda at, arms=arms: -mentions[arms[at]])  # type: ignore[misc]
        for name, (arms, _) in zip(sizes.variables, sizes.blocks, strict=False)
    }


def shape(numbers: ReportedEstimates) -> tuple[Any, ...]:
    """Return everything that determines the joint distribution besides `data`."""
    sizes, study = numbers.sizes, numbers.study
    reported_estimates = [
        (
            estimate.kind,
            estimate.meaning,
            estimate.adjusted,
            estimate.model,
            estimate.sign,
            estimate.is_below,
            # Tails, and standard errors without sizes, are constants of the density.
            None
            if estimate.has_interval or (estimate.sign and not estimate.is_below)
            else estimate.value,
            None if sizes.are_known else (estimate.ci, estimate.level),
        )
        for estimate in numbers.reported_estimates
    ]
    loose = sizes.polytope and (sizes.polytope.centre.tolist(), sizes.polytope.basis.tolist())
    return (
        tuple(reported_estimates),
        tuple(total.patients for total in numbers.totals),
        numbers.inferred,
        (study.present, study.counted, tuple(study.n.tolist()), tuple(study.events.tolist())),
        (tuple(arms for arms, _ in sizes.blocks), str(loose), sizes.loose, sizes.are_known),
    )


def coordinates(numbers: ReportedEstimates) -> dict[str, tuple[str, ...]]:
    """Return the coordinates of the variables that `likelihood` declares."""
    tails = observed(numbers).is_tail
    return {
        "present": numbers.study.present,
        "reported_estimate": (
            *(estimate.id for estimate in numbers.reported_estimates),
            *numbers.inferred_ids,
        ),
        "odds_ratio": tuple(estimate.id for estimate in numbers.odds_ratios),
        "row": numbers.names,
        "row_": numbers.names,
        "point": tuple(numbers.names[at] for at in numbers.kept if not tails[at]),
    }
