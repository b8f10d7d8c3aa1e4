"""Reported estimates as data: on the scale of their joint distribution, with rounding, by name.

No PyMC here: leaving out, checks and figures read these numbers.
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
        Log odds ratios, deviates of p-values by their sign (+ where it is not known), events.
    rounding : ndarray, shape (row,)
        Variance by rounding.
    is_tail : ndarray of bool, shape (row,)
        Rows that are "<" or whose sign is not known: not a point but a part of the line.
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
    """Return the reported estimates as data of a PyMC model."""
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
    """Order the shares of each total that is shared out, by variable: the most often reported arms first.

    A total that is shared out arm by arm in this order leaves shares that depend little on each other.
    """
    words = [
        w for c in numbers.reported_estimates if c.meaning is not None for w in c.meaning.words
    ]
    told = [words.count(regimen) for regimen in numbers.study.present]
    sizes = numbers.sizes
    return {
        name: sorted(range(len(arms)), key=lambda at, arms=arms: -told[arms[at]])  # type: ignore[misc]
        for name, (arms, _) in zip(sizes.variables, sizes.blocks, strict=False)
    }


def shape(numbers: ReportedEstimates) -> tuple[Any, ...]:
    """Return all that the joint distribution is made of besides `data`: equal shapes have one law."""
    sizes, study = numbers.sizes, numbers.study
    reported_estimates = [
        (
            estimate.kind,
            estimate.meaning,
            estimate.adjusted,
            estimate.model,
            estimate.sign,
            estimate.is_below,
            # What is no point stands in the law as it is, and so do errors where sizes are not known.
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
    """Name the entries of everything that `likelihood` makes."""
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
