"""The registry of statistics in which estimates are reported: scale, null, sampling distribution.

A new one is one entry of `STATISTICS`, added by `register`. No PyMC here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from cotreat.evidence.logistic_operator import Coefficient, Moments, Regressions, averages

Array = Any


class Operator(Protocol):
    """Evaluate several estimates of one statistic, as `Regressions` does for log odds ratios."""

    def moments(self, xp: ModuleType, log_odds: Array, sigma: Array | None, n: Array) -> Moments:
        """Return expectations, levers and variances on the scale of the link.

        Parameters
        ----------
        xp
            Array library: NumPy or JAX.
        log_odds
            Conditional log-odds by arm, at the centre of the prognostic score, shape (arm,).
        sigma
            SD of the latent prognostic score; None without a score.
        n
            Patients by arm, shape (arm,).

        Returns
        -------
        Moments
            By coefficient.
        """


@dataclass(frozen=True)
class Link:
    """The scale on which the sampling distribution of a statistic is about normal.

    Attributes
    ----------
    to, back : callable
        From the reported scale to that of the link, and back.
    slope : callable
        Derivative of `to`.
    is_log : bool
        Whether reported values are positive and figures have a logarithmic axis.
    """

    to: Callable[[Any], Any]
    back: Callable[[Any], Any]
    slope: Callable[[Any], Any]
    is_log: bool = False


LOG = Link(np.log, np.exp, lambda value: 1 / value, is_log=True)
IDENTITY = Link(lambda value: value, lambda value: value, lambda _: 1.0)


@dataclass(frozen=True)
class Statistic:
    """A kind of reported estimate.

    Attributes
    ----------
    name : str
        The key ``kind`` of a study file, and the column ``measure`` of tables.
    words : str
        What it is called, for people.
    operator : callable
        From its coefficients to their joint evaluation.
    link : Link
    null : float
        Its value without an effect, on the reported scale.
    unit : str
        ``ratio`` or ``difference``.
    is_regression : bool
        Whether it may be adjusted for covariates, or a coefficient of a model that is not saturated.
    """

    name: str
    words: str
    operator: Callable[[tuple[Coefficient, ...]], Operator]
    link: Link
    null: float
    unit: str
    is_regression: bool = False

    def require_defined(self, coefficient: Coefficient) -> None:
        """Raise a ValueError if the statistic has no sampling distribution for a coefficient.

        Parameters
        ----------
        coefficient
            The regression coefficient.

        Raises
        ------
        ValueError
            If the coefficient is adjusted or not saturated, and the statistic is no regression coefficient.
        """
        if self.is_regression:
            return
        if coefficient.is_adjusted:
            raise ValueError(f"an adjusted {self.words} is not supported; an odds ratio is")
        if not coefficient.is_saturated:
            raise ValueError(f"a {self.words} needs a contrast of two sets, or of a product's four")


@dataclass(frozen=True)
class RiskContrasts:
    """Contrasts of a function of the groups' risks, such as log risk ratios.

    Attributes
    ----------
    coefficients : tuple of Coefficient
        Saturated and unadjusted ones.
    value, jacobian : callable
        From the array module and the risks by group, shape (group,), to the function and its derivative.

    Notes
    -----
    By the delta method (Oehlert, Am Stat 1992;46:27) a contrast c of g(p) has the variance Σ c² g′(p)² p(1 − p)/n over the groups, and
    moves with the events of an arm by c g′(p)/n of its group.
    """

    coefficients: tuple[Coefficient, ...]
    value: Callable[[ModuleType, Array], Array]
    jacobian: Callable[[ModuleType, Array], Array]

    def moments(self, xp: ModuleType, log_odds: Array, sigma: Array | None, n: Array) -> Moments:
        """Evaluate the contrasts at the marginal risks.

        Parameters
        ----------
        xp
            Array library: NumPy or JAX.
        log_odds
            Conditional log-odds by arm, at the centre of the prognostic score, shape (arm,).
        sigma
            SD of the latent prognostic score; None without a score.
        n
            Patients by arm, shape (arm,).

        Returns
        -------
        Moments
            By coefficient.
        """
        events = n * averages(xp, log_odds, sigma).risk
        parts = [self._moments(xp, coef, events, n) for coef in self.coefficients]
        return Moments(*(xp.stack(column) for column in zip(*parts, strict=True)))

    def _moments(
        self, xp: ModuleType, coef: Coefficient, events: Array, n: Array
    ) -> tuple[Array, ...]:
        size = coef.groups @ n
        risk = (coef.groups @ events) / size
        spread = risk * (1 - risk)
        slope = coef.contrast * self.jacobian(xp, risk)
        variances = slope**2 * spread / size
        # The second derivative is needed for the noise of the standard error alone.
        step = STEP * spread
        ends = (self.jacobian(xp, risk + step), self.jacobian(xp, risk - step))
        bend = coef.contrast * (ends[0] - ends[1]) / (2 * step)
        moved = (2 * slope * bend * spread + slope**2 * (1 - 2 * risk)) / size**2
        drift = 0.5 * moved / variances.sum()
        return (
            coef.contrast @ self.value(xp, risk),
            (slope / size) @ coef.groups,
            variances.sum(),
            drift @ coef.groups,
        )


STEP = 1e-5
"""Step of the numerical second derivative, in units of p(1 − p)."""


def of_risks(
    name: str,
    words: str,
    value: Callable[[ModuleType, Array], Array],
    jacobian: Callable[[ModuleType, Array], Array],
    *,
    link: Link,
    null: float,
    unit: str,
) -> Statistic:
    """Return a statistic that is a contrast of a function of risks.

    Parameters
    ----------
    name
        The key ``kind`` of a study file, and the column ``measure`` of tables.
    words
        What it is called, for people.
    value, jacobian
        From the array module and risks to the function on the scale of the link, and its derivative.
    link
        Scale on which its sampling distribution is about normal.
    null
        Its value without an effect, on the reported scale.
    unit
        ``ratio`` or ``difference``.

    Returns
    -------
    Statistic
        The entry for `register`.

    Examples
    --------
    >>> of_risks("risk_ratio", "risk ratio", lambda xp, p: xp.log(p), lambda xp, p: 1 / p,
    ...          link=LOG, null=1.0, unit="ratio")
    """
    operator = partial(RiskContrasts, value=value, jacobian=jacobian)
    return Statistic(name, words, operator, link, null, unit)


ODDS_RATIO = Statistic("odds_ratio", "odds ratio", Regressions, LOG, 1.0, "ratio", True)
STATISTICS: dict[str, Statistic] = {}
"""Every statistic by the ``kind`` of a reported estimate."""


def register(statistic: Statistic) -> None:
    """Add a statistic to `STATISTICS`.

    Parameters
    ----------
    statistic
        The statistic; it replaces an entry of the same name.
    """
    STATISTICS[statistic.name] = statistic


register(ODDS_RATIO)


def statistic_of(kind: str) -> Statistic:
    """Return the statistic of a kind of reported number; of p-values that of their coefficient.

    Parameters
    ----------
    kind
        The key ``kind`` of the study file.

    Returns
    -------
    Statistic
        The entry of `STATISTICS`; for p-values and trends the odds ratio.
    """
    return STATISTICS.get(kind, ODDS_RATIO)


@dataclass(frozen=True)
class Estimators:
    """Coefficients with their statistics, evaluated together.

    Attributes
    ----------
    statistics : tuple of Statistic
        Statistic in which each coefficient is reported.
    coefficients : tuple of Coefficient
        The coefficients.
    """

    statistics: tuple[Statistic, ...]
    coefficients: tuple[Coefficient, ...]

    @cached_property
    def _operators(self) -> list[tuple[list[int], Operator]]:
        """Operators by statistic, with the places of their coefficients."""
        places: dict[str, list[int]] = {}
        for at, statistic in enumerate(self.statistics):
            places.setdefault(statistic.name, []).append(at)
        return [
            (at, self.statistics[at[0]].operator(tuple(self.coefficients[i] for i in at)))
            for at in places.values()
        ] or [([], Regressions(()))]

    def moments(self, xp: ModuleType, log_odds: Array, sigma: Array | None, n: Array) -> Moments:
        """Evaluate the coefficients in their order, as `Regressions.moments` does.

        Parameters
        ----------
        xp
            Array library: NumPy or JAX.
        log_odds
            Conditional log-odds by arm, at the centre of the prognostic score, shape (arm,).
        sigma
            SD of the latent prognostic score; None without a score.
        n
            Patients by arm, shape (arm,).

        Returns
        -------
        Moments
            By coefficient, in their order.
        """
        parts = [operator.moments(xp, log_odds, sigma, n) for _, operator in self._operators]
        if len(parts) == 1:
            return parts[0]
        order = np.argsort([place for at, _ in self._operators for place in at])
        columns = ((part.mean, part.lever, part.variance, part.drift) for part in parts)
        return Moments(*(xp.concatenate(column)[order] for column in zip(*columns, strict=True)))
