"""Records of a bias analysis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from cotreat.core.constants import CONCLUSIVE

if TYPE_CHECKING:
    import pandas as pd

    from cotreat.estimands.estimand import Estimand
    from cotreat.estimands.identification import Status
    from cotreat.study.study import Study

Array = NDArray[np.float64]

SINGLE_SD = float(np.log(2) / ndtri(0.975))
PRODUCT_SD = SINGLE_SD / 2
"""SDs of a plausible bias: 95 % of the bias of an odds ratio within a factor of 2 either way, and half of that
on the log scale for a ratio of odds ratios, as interactions are half of effects in the prior set ``weak``."""
COMBINED_SD = float(np.hypot(SINGLE_SD, PRODUCT_SD))
"""SD of the bias of a combination against the same without one treatment, which both biases shift."""
RAREST = 1e-4
"""Smallest probability that some thousand draws can estimate."""
QUANTITIES = ("estimate", "lower", "upper", "probability")
"""Posterior quantities of a conclusion."""

FOR, NEITHER, AGAINST = STANDINGS = (
    "supported: above the null",
    "inconclusive",
    "supported: below the null",
)
"""Standing of a probability, from the highest to the lowest."""


def within(sd: float) -> float:
    """Return the factor within which 95 % of a bias lies, either way.

    Parameters
    ----------
    sd
        SD of the bias on the log scale.

    Returns
    -------
    float
        Above 1.
    """
    return float(np.exp(ndtri(0.975) * sd))


def standing(probability: float) -> str:
    """Classify a probability of lying beyond the null.

    Parameters
    ----------
    probability
        Posterior probability.

    Returns
    -------
    str
        One of `STANDINGS`.
    """
    return STANDINGS[(probability < CONCLUSIVE) + (probability <= 1 - CONCLUSIVE)]


@dataclass(frozen=True)
class Surface:
    """A conclusion under known biases of single treatments and of products.

    Attributes
    ----------
    estimand : Estimand
    status : Status
        Its identification.
    single, products : ndarray, shape (step,)
        Log of the bias factors, from below 0 to above it.
    estimate, lower, upper : ndarray, shape (step, step)
        Posterior median and interval, by bias of single treatments (rows) and of products (columns).
    probability : ndarray, shape (step, step)
        Posterior probability of lying beyond the null.
    plausible : mapping of float
        `QUANTITIES` under plausible biases with a prior (`with_confounding`); empty where that posterior is
        unreliable.
    """

    estimand: Estimand
    status: Status
    single: Array
    products: Array
    estimate: Array
    lower: Array
    upper: Array
    probability: Array
    plausible: Mapping[str, float]

    @property
    def label(self) -> str:
        """The estimand with its co-treatment."""
        return self.estimand.label

    @property
    def centre(self) -> tuple[int, int]:
        """Indices of no bias."""
        return (len(self.single) // 2, len(self.products) // 2)

    @property
    def unbiased(self) -> dict[str, float]:
        """`QUANTITIES` without bias."""
        return {name: float(getattr(self, name)[self.centre]) for name in QUANTITIES}

    @property
    def standing(self) -> str:
        """Standing without bias."""
        return standing(self.unbiased["probability"])

    @property
    def is_conclusive(self) -> bool:
        """Whether the conclusion is conclusive without bias."""
        return self.standing in (FOR, AGAINST)

    def tipping(self, level: float) -> tuple[float, float]:
        """Return the bias factors at which the probability reaches a level.

        Parameters
        ----------
        level
            Probability of lying beyond the null.

        Returns
        -------
        tuple of float
            Factor of single treatments alone, and of products alone; the nearest to 1, NaN where none on the
            surface reaches the level.
        """
        row, column = self.centre
        return (
            _crossing(self.single, self.probability[:, column], level),
            _crossing(self.products, self.probability[row], level),
        )


def _crossing(bias: Array, probability: Array, level: float) -> float:
    """Interpolate on the scale of normal deviates, where a normal posterior's probability is a line."""
    z = ndtri(np.clip(probability, RAREST, 1 - RAREST)) - ndtri(level)
    at = np.flatnonzero(z[:-1] * z[1:] <= 0)
    if not len(at):
        return np.nan
    roots = bias[at] - z[at] * np.diff(bias)[at] / np.diff(z)[at]
    return float(np.exp(roots[np.abs(roots).argmin()]))


@dataclass(frozen=True)
class BiasAnalysis:
    """E-values and sensitivity to unmeasured confounding.

    Attributes
    ----------
    study : Study
    model, priors, engine : str
        Of the fit.
    depth : str
    seed : int
    surfaces : tuple of Surface
        Empty where every treatment was assigned at random.
    tables : mapping of pandas.DataFrame
        By name of their file.
    is_unreliable : bool
        Whether the fit with plausible confounding is unreliable.
    failed_checks : tuple of str
        Failed diagnostics of the fit.
    """

    study: Study
    model: str
    priors: str
    engine: str
    depth: str
    seed: int
    surfaces: tuple[Surface, ...]
    tables: Mapping[str, pd.DataFrame]
    is_unreliable: bool
    failed_checks: tuple[str, ...]
