"""Rows of a prior set, and prior sets."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy.special import expit, ndtri

from cotreat.core.errors import ModelError

RISK, SHARE_OF_CASES = "risk", "share of cases"
ODDS_RATIO, RATIO_OF_ODDS_RATIOS, FACTOR = "odds ratio", "ratio of odds ratios", "factor"
SCALES: dict[str, Callable[..., Any]] = {
    RISK: expit,
    SHARE_OF_CASES: expit,
    ODDS_RATIO: np.exp,
    RATIO_OF_ODDS_RATIOS: np.exp,
    FACTOR: np.exp,
}
"""Scales on which a prior is reported, with the transform from the scale of the parameter."""


@dataclass(frozen=True)
class Prior:
    """The prior distribution of one parameter of a model.

    Attributes
    ----------
    variable : str
        Name of the variable in the PyMC model.
    distribution : str
        Name of a distribution of PyMC, such as ``Normal``.
    mu, sigma : float or None
        Parameters of the distribution; None where it has no such parameter, or where other variables of
        the model determine it.
    meaning : str
        What the parameter is.
    reason : str
        Why it has this prior.
    chosen_by : str
        ``default``, ``study file`` or ``user``.
    scale : str
        Scale of `SCALES` on which the central 95 % interval is reported; empty for none.
    about : str
        What an entry of the variable refers to, for figures; ``{}`` takes its treatment, pair or regimen.
    symbol : str
        What the entry is, for figures.
    further : tuple of (str, float)
        Other parameters of the distribution by their names in PyMC, such as ``("nu", 4.0)``.
    """

    variable: str
    distribution: str
    mu: float | None
    sigma: float | None
    meaning: str
    reason: str
    chosen_by: str = "default"
    scale: str = ""
    about: str = "{}"
    symbol: str = ""
    further: tuple[tuple[str, float], ...] = ()

    def numbers(self) -> dict[str, float]:
        """Return the parameters of the distribution that the row states, by name."""
        stated = {"mu": self.mu, "sigma": self.sigma, **dict(self.further)}
        return {name: value for name, value in stated.items() if value is not None}

    def given(self) -> dict[str, float]:
        """Return the same numbers by their names as data of a PyMC model."""
        return {f"{self.variable} {name}": value for name, value in self.numbers().items()}

    def in_words(self) -> str:
        """Return the central 95 % interval in words; empty where the row has no scale."""
        if self.mu is None or self.sigma is None or not self.scale:
            return ""
        lower, upper = self.central()
        return f"{self.scale} {lower:.2f} to {upper:.2f}"

    def central(self) -> tuple[float, float]:
        """Return the central 95 % interval of a normal prior on its `scale`.

        Raises
        ------
        ValueError
            If other variables of the model determine the mean or the standard deviation.
        """
        if self.mu is None or self.sigma is None:
            raise ValueError(f"the prior of {self.variable} has no mean and SD of its own")
        lower, upper = SCALES[self.scale](self.mu + self.sigma * ndtri([0.025, 0.975]))
        return float(lower), float(upper)


@dataclass(frozen=True)
class PriorSet:
    """A named table of priors.

    Attributes
    ----------
    about_effects, about_interactions : bool
        Whether the set states a belief about treatment effects, or about interactions. A model without
        such parameters does not accept it.
    """

    name: str
    rows: tuple[Prior, ...]
    about_effects: bool = False
    about_interactions: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9:_-]*", self.name):
            raise ModelError(
                f"{self.name!r} cannot be the name of a prior set, because a results folder takes the "
                "same name: use lower-case letters, digits, :, - and _"
            )

    def __contains__(self, variable: str) -> bool:
        return any(row.variable == variable for row in self.rows)

    def __getitem__(self, variable: str) -> Prior:
        for row in self.rows:
            if row.variable == variable:
                return row
        known = ", ".join(row.variable for row in self.rows)
        raise ModelError(f"the prior set {self.name} has no variable {variable!r}, only {known}")

    def change(self, variable: str, *, reason: str, name: str, **numbers: float) -> Self:
        """Return a prior set of another name in which one variable has other parameters.

        Parameters
        ----------
        variable
            The variable whose prior changes.
        reason
            Why it has this prior; reports print it.
        name
            Name of the new set.
        **numbers
            ``mu``, ``sigma``.

        Raises
        ------
        ModelError
            If the set has no such variable.

        Examples
        --------
        >>> weak = prior_set("weak", load_study("isis2"))
        >>> wide = weak.change("gamma", sigma=1.0, name="wide", reason="as wide as an effect")
        """
        new = replace(self[variable], reason=reason, chosen_by="user", **numbers)  # type: ignore[arg-type]
        rows = tuple(new if row.variable == variable else row for row in self.rows)
        return replace(self, name=name, rows=rows)

    def table(self) -> pd.DataFrame:
        """Return the set as a table, one row per variable."""
        return pd.DataFrame(
            [
                {
                    "variable": row.variable,
                    "meaning": row.meaning,
                    "distribution": row.distribution,
                    "mu": row.mu,
                    "sigma": row.sigma,
                    "central 95%": row.in_words(),
                    "reason": row.reason,
                    "chosen by": row.chosen_by,
                }
                for row in self.rows
            ]
        )
