"""The registry of statistics in which estimates are reported: scale, null, sampling distribution.

A new one is one entry of `STATISTICS`, added by `register`. No PyMC here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
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
LOGIT = Link(
    lambda value: np.log(value / (100 - value)),
    lambda value: 100 / (1 + np.exp(-value)),
    lambda value: 100 / (value * (100 - value)),
)
"""From percentages to log-odds."""

COMPARISONS = ("regimens", "sets", "trend", "product", "adjusted_product", "products")
"""Contrasts of several groups of arms."""
PRODUCTS = ("product", "adjusted_product", "products")
"""Contrasts that are the product of two treatments."""
LEVELS = ("regimen", "set")
"""Contrasts that are one group of arms alone."""
LOG_ODDS = "log odds"
"""Scale of odds ratios and percentages."""
RISK_RATIO = "risk_ratio"
"""Name of the risk ratio, and its scale."""


@dataclass(frozen=True)
class OfRatios:
    """A function of the three ratios of a product's four groups, such as the excess risk due to interaction.

    Attributes
    ----------
    value : callable
        From the array module and the logs of the ratios to the group without either treatment (first alone,
        second alone, both) to the function on the scale of the link.
    gradient : callable
        The same to its three derivatives in these logs.
    of_odds : bool
        Whether the ratios are odds ratios; otherwise risk ratios.
    """

    value: Callable[[ModuleType, Array, Array, Array], Array]
    gradient: Callable[[ModuleType, Array, Array, Array], tuple[Array, Array, Array]]
    of_odds: bool


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
    null : float or None
        Its value without an effect, on the reported scale; None where it is no comparison.
    unit : str
        ``ratio``, ``difference`` or ``percent``.
    is_regression : bool
        Whether it may be adjusted for covariates, or a coefficient of a model that is not saturated.
    scale : str
        Function of the risk of a group of which it is a contrast; its name if empty.
    contrasts : tuple of str
        Kinds of contrasts that it may have (`cotreat.evidence.contrasts.KINDS`).
    bounds : tuple of float
        Limits between which its values lie.
    of_ratios : OfRatios or None
        The function that it is of the three ratios of a product's four groups; None for a contrast.
    needs_risks : bool
        Whether it has no value in a case-control study.
    is_evidence : bool
        Whether it can enter a likelihood; otherwise it is shown with the fit.
    """

    name: str
    words: str
    operator: Callable[[tuple[Coefficient, ...]], Operator]
    link: Link
    null: float | None
    unit: str
    is_regression: bool = False
    scale: str = ""
    contrasts: tuple[str, ...] = COMPARISONS
    bounds: tuple[float, float] = (-np.inf, np.inf)
    of_ratios: OfRatios | None = None
    needs_risks: bool = False
    is_evidence: bool = True

    @property
    def of_groups(self) -> str:
        """Name of the function of the risk of a group of which it is a contrast."""
        return self.scale or self.name

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
            raise ValueError(
                f"an adjusted {self.words} is not supported, because only odds ratios have a model of unreported "
                "covariates; enter the adjusted odds ratio or the crude number, or only show it, by "
                'contrast = "unspecified: …"'
            )
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


COMPLEX_STEP = 1e-20
STEP = 1e-5
"""Step of numerical second derivatives, in units of p(1 − p) or of log-odds."""


@dataclass(frozen=True)
class RatioFunctions:
    """Functions of the ratios of a product's four groups, by the delta method on the log-odds of the groups.

    Attributes
    ----------
    coefficients : tuple of Coefficient
        Products of two treatments over their four groups; adjusted ones only of odds ratios.
    of : OfRatios
        The function.
    """

    coefficients: tuple[Coefficient, ...]
    of: OfRatios

    @cached_property
    def _groups(self) -> Regressions:
        """The fitted log-odds of each group of each coefficient: neither, second, first, both."""
        return Regressions(
            tuple(
                replace(coef, weights=columns)
                for coef in self.coefficients
                for columns in coef.columns
            )
        )

    def moments(self, xp: ModuleType, log_odds: Array, sigma: Array | None, n: Array) -> Moments:
        """Evaluate the functions at the log-odds of the groups.

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
        groups = self._groups.moments(xp, log_odds, sigma, n)
        parts = [
            self._moments(xp, Moments(*(column[4 * at : 4 * at + 4] for column in columns)))
            for at in range(len(self.coefficients))
            for columns in [(groups.mean, groups.lever, groups.variance, groups.drift)]
        ]
        return Moments(*(xp.stack(column) for column in zip(*parts, strict=True)))

    def _moments(self, xp: ModuleType, groups: Moments) -> tuple[Array, ...]:
        slope = self._gradient(xp, groups.mean)
        variances = slope**2 * groups.variance
        bend = xp.stack(
            [
                (self._gradient(xp, groups.mean + step) - self._gradient(xp, groups.mean - step))
                / (2 * STEP)
                for step in STEP * np.eye(4)
            ]
        )
        moved = (2 * slope * groups.variance) @ bend @ groups.lever + 2 * variances @ groups.drift
        total = variances.sum()
        return self._value(xp, groups.mean), slope @ groups.lever, total, moved / (2 * total)

    def _logs(self, xp: ModuleType, level: Array) -> Array:
        return level if self.of.of_odds else -xp.log1p(xp.exp(-level))

    def _value(self, xp: ModuleType, level: Array) -> Array:
        logs = self._logs(xp, level)
        return self.of.value(xp, logs[2] - logs[0], logs[1] - logs[0], logs[3] - logs[0])

    def _gradient(self, xp: ModuleType, level: Array) -> Array:
        """Return the derivatives in the log-odds of the groups, shape (4,)."""
        logs = self._logs(xp, level)
        first, second, both = self.of.gradient(
            xp, logs[2] - logs[0], logs[1] - logs[0], logs[3] - logs[0]
        )
        in_logs = xp.stack([-(first + second + both), second, first, both])
        return in_logs if self.of.of_odds else in_logs / (1 + xp.exp(level))


def of_risks(
    name: str,
    words: str,
    value: Callable[[ModuleType, Array], Array],
    jacobian: Callable[[ModuleType, Array], Array],
    *,
    link: Link,
    null: float,
    unit: str,
    bounds: tuple[float, float] = (-np.inf, np.inf),
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
    bounds
        Limits between which its values lie.

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
    return Statistic(name, words, operator, link, null, unit, bounds=bounds, needs_risks=True)


def of_ratios(
    name: str, words: str, function: OfRatios, *, link: Link, null: float, is_evidence: bool = True
) -> Statistic:
    """Return a statistic that is a function of the ratios of a product's four groups.

    Parameters
    ----------
    name
        The key ``kind`` of a study file.
    words
        What it is called, for people.
    function
        The function, with its derivatives.
    link
        Scale on which its sampling distribution is about normal.
    null
        Its value without interaction, on the reported scale.
    is_evidence
        Whether it can enter a likelihood.

    Returns
    -------
    Statistic
        The entry for `register`.
    """
    return Statistic(
        name,
        words,
        partial(RatioFunctions, of=function),
        link,
        null,
        "ratio" if link.is_log else "difference",
        is_regression=function.of_odds,
        contrasts=("product",),
        of_ratios=function,
        needs_risks=not function.of_odds,
        is_evidence=is_evidence,
    )


def _reri(xp: ModuleType, first: Array, second: Array, both: Array) -> Array:
    return xp.exp(both) - xp.exp(first) - xp.exp(second) + 1


def _reri_gradient(
    xp: ModuleType, first: Array, second: Array, both: Array
) -> tuple[Array, Array, Array]:
    return -xp.exp(first), -xp.exp(second), xp.exp(both)


def _ap(xp: ModuleType, first: Array, second: Array, both: Array) -> Array:
    return _reri(xp, first, second, both) * xp.exp(-both)


def _ap_gradient(
    xp: ModuleType, first: Array, second: Array, both: Array
) -> tuple[Array, Array, Array]:
    return -xp.exp(first - both), -xp.exp(second - both), 1 - _ap(xp, first, second, both)


def _log_s(xp: ModuleType, first: Array, second: Array, both: Array) -> Array:
    return xp.log(xp.exp(both) - 1) - xp.log(xp.exp(first) + xp.exp(second) - 2)


def _log_s_gradient(
    xp: ModuleType, first: Array, second: Array, both: Array
) -> tuple[Array, Array, Array]:
    apart = xp.exp(first) + xp.exp(second) - 2
    return -xp.exp(first) / apart, -xp.exp(second) / apart, 1 / (1 - xp.exp(-both))


ODDS_RATIO = Statistic(
    "odds_ratio", "odds ratio", Regressions, LOG, 1.0, "ratio", True, scale=LOG_ODDS
)
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
register(
    of_risks(
        RISK_RATIO,
        "risk ratio",
        lambda xp, p: xp.log(p),
        lambda _, p: 1 / p,
        link=LOG,
        null=1.0,
        unit="ratio",
    )
)
register(
    of_risks(
        "risk_difference",
        "risk difference",
        lambda _, p: p,
        lambda _, p: 0 * p + 1,
        link=IDENTITY,
        null=0.0,
        unit="difference",
        bounds=(-1.0, 1.0),
    )
)
register(
    Statistic(
        "ratio_of_odds_ratios",
        "ratio of odds ratios",
        Regressions,
        LOG,
        1.0,
        "ratio",
        True,
        scale=LOG_ODDS,
        contrasts=PRODUCTS,
    )
)
register(
    Statistic(
        "percentage",
        "percentage",
        Regressions,
        LOGIT,
        None,
        "percent",
        scale=LOG_ODDS,
        contrasts=LEVELS,
        bounds=(0.0, 100.0),
        needs_risks=True,
    )
)
for is_of_odds, suffixes, of_what in (
    (True, ("_or", "_or", "_or"), "odds ratios"),
    (False, ("_rr", "", ""), "risk ratios"),
):
    register(
        of_ratios(
            f"reri{suffixes[0]}",
            f"relative excess risk due to interaction (RERI), from {of_what}",
            OfRatios(_reri, _reri_gradient, is_of_odds),
            link=IDENTITY,
            null=0.0,
        )
    )
    register(
        of_ratios(
            f"ap{suffixes[1]}",
            f"attributable proportion due to interaction, from {of_what}",
            OfRatios(_ap, _ap_gradient, is_of_odds),
            link=IDENTITY,
            null=0.0,
        )
    )
    # It has no value where the separate effects cancel, so that no likelihood has it.
    register(
        of_ratios(
            f"s{suffixes[2]}",
            f"synergy index, from {of_what}",
            OfRatios(_log_s, _log_s_gradient, is_of_odds),
            link=LOG,
            null=1.0,
            is_evidence=False,
        )
    )


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


def has_level(kind: str | None) -> bool:
    """Return whether a kind of reported number is of one group of patients alone, as a percentage is.

    Parameters
    ----------
    kind
        The key ``kind`` of the study file.

    Returns
    -------
    bool
    """
    return kind in STATISTICS and STATISTICS[kind].contrasts == LEVELS


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

    def derivatives(
        self, log_odds: Array, sigma: Array | None, n: Array, ways: Array
    ) -> tuple[Array, Array]:
        """Differentiate expectations, and log standard errors, in the log-odds and in directions of the sizes.

        Parameters
        ----------
        log_odds, sigma, n
            As `moments` takes them.
        ways
            Directions of the sizes, shape (arm, way).

        Returns
        -------
        tuple of ndarray, each shape (coefficient, arm + way)
            Derivatives of the expectations and of the log standard errors.

        Notes
        -----
        In the sizes by the complex step (Squire & Trapp, SIAM Rev 1998;40:110), exact to machine precision.
        """
        at, slope = self.moments(np, log_odds, sigma, n), n * averages(np, log_odds, sigma).weight
        moved = [self.moments(np, log_odds, sigma, n + 1j * COMPLEX_STEP * way) for way in ways.T]
        means = [m.mean.imag / COMPLEX_STEP for m in moved]
        errors = [0.5 * np.log(m.variance).imag / COMPLEX_STEP for m in moved]
        shape = (len(moved), len(self.coefficients))
        of_mean, of_error = (np.array(part).reshape(shape).T for part in (means, errors))
        return np.hstack([at.lever * slope, of_mean]), np.hstack([at.drift * slope, of_error])
