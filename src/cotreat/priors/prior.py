"""Define the prior of one parameter and the prior set."""

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
"""Scales on which a prior is reported, each with the transform from the scale of the parameter."""


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
        Parameters of the distribution; None if it has no such parameter, or if other variables of the
        model determine it.
    meaning : str
        Meaning of the parameter, as reported.
    reason : str
        Reason for the prior, as reported.
    chosen_by : str
        ``default``, ``study file`` or ``user``.
    scale : str
        Scale of `SCALES` on which the central 95 % interval is reported; empty for none.
    about : str
        Label in figures of an element of the variable; ``{}`` is replaced by its treatment, pair or regimen.
    symbol : str
        Label in figures of the quantity, with its symbol.
    further : tuple of (str, float)
        Other parameters of the distribution, by their names in PyMC, such as ``("nu", 4.0)``.
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
        """Return the parameters of the distribution that have a value, by their names in PyMC.

        Returns
        -------
        dict
            Values by parameter.
        """
        stated = {"mu": self.mu, "sigma": self.sigma, **dict(self.further)}
        return {name: value for name, value in stated.items() if value is not None}

    def given(self) -> dict[str, float]:
        """Return the same values by their names as data of a PyMC model, such as ``beta sigma``.

        Returns
        -------
        dict
            Values by name of the data.
        """
        return {f"{self.variable} {name}": value for name, value in self.numbers().items()}

    def in_words(self) -> str:
        """Return the central 95 % interval with its scale; empty if the prior has no `scale`.

        Returns
        -------
        str
            For example ``risk 0.05 to 0.40``.
        """
        if self.mu is None or self.sigma is None or not self.scale:
            return ""
        lower, upper = self.central()
        return f"{self.scale} {lower:.2f} to {upper:.2f}"

    def central(self) -> tuple[float, float]:
        """Return the central 95 % interval of a normal prior on its `scale`.

        Returns
        -------
        lower, upper : float
            2.5 % and 97.5 % quantiles.

        Raises
        ------
        ValueError
            If other variables of the model determine the mean or the standard deviation.
        """
        if self.mu is None or self.sigma is None:
            raise ValueError(f"the prior of {self.variable} has no fixed mean and SD")
        lower, upper = SCALES[self.scale](self.mu + self.sigma * ndtri([0.025, 0.975]))
        return float(lower), float(upper)


@dataclass(frozen=True)
class PriorSet:
    """A named table of priors.

    Attributes
    ----------
    name : str
        Lower-case letters, digits, ``:``, ``-`` and ``_``, because a results folder has the same name.
    rows : tuple of Prior
        Priors, one per variable.
    about_effects, about_interactions : bool
        Whether the set states a belief about treatment effects, or about interactions. A model without
        such parameters refuses the set.

    Raises
    ------
    ModelError
        If the name contains other characters.
    """

    name: str
    rows: tuple[Prior, ...]
    about_effects: bool = False
    about_interactions: bool = False

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9][a-z0-9:_-]*", self.name):
            raise ModelError(
                f"{self.name!r} cannot be the name of a prior set, because a results folder has the "
                "same name: use lower-case letters, digits, :, - and _"
            )

    def __contains__(self, variable: str) -> bool:
        return any(row.variable == variable for row in self.rows)

    def __getitem__(self, variable: str) -> Prior:
        for row in self.rows:
            if row.variable == variable:
                return row
        variables = ", ".join(row.variable for row in self.rows)
        raise ModelError(
            f"the prior set {self.name} has no variable {variable!r}; its variables are {variables}"
        )

    def change(self, variable: str, *, reason: str, name: str, **numbers: float) -> Self:
        """Return a copy of the prior set, with a new name, in which the prior of one variable is changed.

        Parameters
        ----------
        variable
            Variable whose prior is changed.
        reason
            Reason for the prior, as reported.
        name
            Name of the new set.
        **numbers
            New values of ``mu`` and ``sigma``.

        Returns
        -------
        PriorSet
            The changed set.

        Raises
        ------
        ModelError
            If the set does not contain the variable, or the name is not valid.

        Examples
        --------
        >>> weak = prior_set("weak", load_study("isis2"))
        >>> wide = weak.change("gamma", sigma=1.0, name="wide", reason="as wide as an effect")
        """
        new = replace(self[variable], reason=reason, chosen_by="user", **numbers)  # type: ignore[arg-type]
        rows = tuple(new if row.variable == variable else row for row in self.rows)
        return replace(self, name=name, rows=rows)

    def table(self) -> pd.DataFrame:
        """Return the prior set as a data frame, one row per variable.

        Returns
        -------
        DataFrame
            Variable, meaning, distribution, parameters, central 95 % interval, reason and who chose it.
        """
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
