"""Unmeasured confounding: what a fit that allows for it says, and how much of it would overturn a conclusion.

How it is stated is told in `cotreat.effects.confounding`.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri

from cotreat import laplace
from cotreat.batch import Answer, Specification, fit_many
from cotreat.catalogue import find_model
from cotreat.estimands import (
    EXTRAPOLATED,
    OBSERVED,
    Estimand,
    availability,
    enumerate_estimands,
    full_label,
    is_beyond_null,
    is_measure,
)
from cotreat.names import DECIDED, INTERVAL
from cotreat.priors import BIAS, Prior, PriorSet
from cotreat.regimens import NONE, parse
from cotreat.study import Study

SINGLE_SD = float(np.log(2) / ndtri(0.975))
PRODUCT_SD = SINGLE_SD / 2
"""SDs of a plausible bias: of an odds ratio 95 % within a factor of 2 either way, and half of that on the
log scale of a ratio of odds ratios, as interactions are half of effects in the prior set ``weak``."""
PLAUSIBLE = (
    "about what a confounder does that is two to three times as frequent with the treatment and multiplies "
    "the risk as much"
)
KNOWN = "a bias that is taken to be known, to see what it would do"

LARGEST_SINGLE, LARGEST_PRODUCT = float(np.log(3)), float(np.log(3))
"""How far a tipping-point surface goes, on the log scale."""
DRAWS = 2000


def with_confounding(
    priors: PriorSet,
    *,
    single: tuple[float, float] = (0.0, SINGLE_SD),
    product: tuple[float, float] = (0.0, PRODUCT_SD),
    reason: str = PLAUSIBLE,
    name: str = "",
) -> PriorSet:
    """Return a prior set that states unmeasured confounding too.

    Parameters
    ----------
    single, product
        Mean and SD of the log of the factor by which confounding has multiplied, in the evidence, the odds ratio of
        each treatment and the ratio of odds ratios of each pair. An SD of 0 states a known bias. Above 0 on
        the log scale means that the evidence shows too large a ratio.
    reason
        Why these numbers.
    name
        Of the new set; by default the old one's with ``-confounded``.

    Examples
    --------
    >>> study = load_study("sun2024")
    >>> fit(study, "interaction", with_confounding(prior_set("weak", study)))
    """
    chosen_by = "default" if reason == PLAUSIBLE else "user"
    rows = tuple(
        Prior(variable, "Normal", *numbers, BIAS[variable], reason, chosen_by)
        for variable, numbers in zip(BIAS, (single, product), strict=True)
    )
    others = tuple(row for row in priors.rows if row.variable not in BIAS)
    return replace(priors, name=name or f"{priors.name}-confounded", rows=(*others, *rows))
