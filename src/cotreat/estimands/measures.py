"""Measures of interaction: formulas on four risks, as functions of arrays, and their registry.

Each function takes the risks by keyword, as arrays that broadcast. Odds-based measures take risks too, so that
every measure has one signature. Xarray objects pass through with their labels. A new measure is one function
and its entry in `MEASURES`, the family included.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Risks = Any  # float, NumPy array or xarray.DataArray; the formulas only add, multiply and compare


@dataclass(frozen=True)
class Family:
    """Measures that share a reference model of no interaction, and count once.

    Attributes
    ----------
    name : str
        The scale, as in the column ``scale``.
    phrase : str
        Joint effect of the separate effects without interaction.
    axis : str
        Label of the axis in figures; families with one axis share a panel.
    interval_method : str
        Method of a further confidence interval, an entry of `cotreat.frequentist.intervals.METHODS`; empty
        for none besides Wald or delta.
    is_synergy : bool
        Whether a value beyond the null is evidence of synergy.
    """

    name: str
    phrase: str
    axis: str
    interval_method: str = ""
    is_synergy: bool = True


@dataclass(frozen=True)
class Measure:
    """A measure of interaction.

    Attributes
    ----------
    name : str
        Its key in `MEASURES`, the column ``measure``.
    formula : callable
        The function of four risks.
    family : Family
        The scale on which it measures interaction.
    null : float
        Value at which the treatments do not interact.
    log : bool
        Whether the measure is a ratio, judged on the log scale.
    needs_risks : bool
        Whether odds ratios alone do not determine it.
    sign_of : str
        Measure with the same sign that has a value in every draw.
    smooth : bool
        Whether the delta method applies.
    is_contrast : bool
        Whether its logarithm is a contrast of log-odds, as the product term of a logistic regression: a model
        with structure then holds it constant over co-treatments, and one without product terms at its null.
    terms : tuple of pair of int
        For the method MOVER: the measure is, up to constants, the first odds ratio minus the other two; each
        is one regimen against another by place in 00, 10, 01, 11.
    words : str
        Label for people.
    """

    name: str
    formula: Callable[..., Risks]
    family: Family
    null: float
    words: str
    log: bool = False
    needs_risks: bool = True
    sign_of: str = ""
    smooth: bool = True
    is_contrast: bool = False
    terms: tuple[tuple[int, int], ...] = ()

    @property
    def unit(self) -> str:
        """Unit of its values, as in the column ``unit``."""
        return "ratio" if self.log else "difference"


RISK_ADDITIVE = "additive"
ODDS_ADDITIVE = "RERI from odds ratios"
LOG_ODDS = "multiplicative odds"
LOG_RISK = "multiplicative risks"
INDEPENDENCE = "Bliss independence"
APART = "highest single agent"
"""Names of the packaged families."""

RISKS, EXCESS, RATIOS = "difference of risks", "excess of odds ratios", "ratio of ratios"
"""Axes of figures."""

_ADDITIVE = Family(RISK_ADDITIVE, "added risks", RISKS)
_RERI = Family(ODDS_ADDITIVE, "added odds", EXCESS, "MOVER")
_ODDS = Family(LOG_ODDS, "multiplied odds", RATIOS, "profile")
_RISK_RATIOS = Family(LOG_RISK, "multiplied risks", RATIOS)
_BLISS = Family(INDEPENDENCE, "independent action", RISKS)
_HSA = Family(APART, "the better of the two alone", RISKS, is_synergy=False)

MEASURES: dict[str, Measure] = {}
"""Every measure by name."""


def register(
    family: Family, null: float, words: str, **properties: Any
) -> Callable[[Callable[..., Risks]], Callable[..., Risks]]:
    """Return the decorator that adds a formula to `MEASURES` under the name of its function.

    Parameters
    ----------
    family, null, words, **properties
        Fields of `Measure`.

    Returns
    -------
    callable
        From the formula to the formula itself.
    """

    def add(formula: Callable[..., Risks]) -> Callable[..., Risks]:
        name = formula.__name__
        MEASURES[name] = Measure(name, formula, family, null, words, **properties)
        return formula

    return add


def odds(risk: Risks) -> Risks:
    """Return the odds of a risk.

    Parameters
    ----------
    risk
        The risk, between 0 and 1.

    Returns
    -------
    array
        p / (1 − p).
    """
    return risk / (1 - risk)


def _odds_ratios(r00: Risks, r10: Risks, r01: Risks, r11: Risks) -> tuple[Risks, Risks, Risks]:
    """Return the odds ratios of both, of the first and of the second treatment against neither."""
    reference = odds(r00)
    return odds(r11) / reference, odds(r10) / reference, odds(r01) / reference


NO_EXCESS = 1e-9
"""A joint excess of the single effects below this is 0, up to rounding."""


def _index(ratio11: Risks, ratio10: Risks, ratio01: Risks) -> Risks:
    """Return the synergy index of three ratios; NaN where the single effects add up to 0 or less."""
    # Where the single effects have no joint excess, the sign of a ratio of excesses is meaningless.
    excess = ratio10 + ratio01 - 2
    has_excess = np.greater(excess, NO_EXCESS)
    with np.errstate(divide="ignore", invalid="ignore"):
        defined = np.true_divide(has_excess, has_excess)  # 1 or NaN, with the labels kept
        return np.true_divide(ratio11 - 1, excess) * defined


@register(_ADDITIVE, 0, "interaction contrast of risks")
def ic(*, r00: Risks, r10: Risks, r01: Risks, r11: Risks) -> Risks:
    """Return the interaction contrast, a difference of risk differences.

    Parameters
    ----------
    r00, r10, r01, r11
        Risks without either treatment, with the first alone, with the second alone, with both.

    Returns
    -------
    array
        r11 − r10 − r01 + r00.

    Notes
    -----
    Rothman, Modern Epidemiology, 1986.
    """
    return r11 - r10 - r01 + r00


@register(_ADDITIVE, 0, "relative excess risk, risk ratios")
def reri_rr(*, r00: Risks, r10: Risks, r01: Risks, r11: Risks) -> Risks:
    """Return the relative excess risk due to interaction (RERI) from risk ratios.

    Parameters
    ----------
    r00, r10, r01, r11
        Risks without either treatment, with the first alone, with the second alone, with both.

    Returns
    -------
    array
        RR11 − RR10 − RR01 + 1.

    Notes
    -----
    Rothman, Modern Epidemiology, 1986.
    """
    return ic(r00=r00, r10=r10, r01=r01, r11=r11) / r00


@register(_ADDITIVE, 0, "attributable proportion, risk ratios")
def ap(*, r00: Risks, r10: Risks, r01: Risks, r11: Risks) -> Risks:
    """Return the proportion of the joint risk that is due to interaction, from risk ratios.

    Parameters
    ----------
    r00, r10, r01, r11
        Risks without either treatment, with the first alone, with the second alone, with both.

    Returns
    -------
    array
        RERI / RR11.

    Notes
    -----
    Rothman, Modern Epidemiology, 1986.
    """
    return ic(r00=r00, r10=r10, r01=r01, r11=r11) / r11


@register(_ADDITIVE, 1, "synergy index, risk ratios", log=True, sign_of="ic")
def s(*, r00: Risks, r10: Risks, r01: Risks, r11: Risks) -> Risks:
    """Return the synergy index from risk ratios.

    Parameters
    ----------
    r00, r10, r01, r11
        Risks without either treatment, with the first alone, with the second alone, with both.

    Returns
    -------
    array
        (RR11 − 1) / (RR10 + RR01 − 2); NaN where the single effects add up to 0 or less.

    Notes
    -----
    Rothman, Am J Epidemiol 1976;103:506.
    """
    return _index(r11 / r00, r10 / r00, r01 / r00)


@register(
    _RERI, 0, "relative excess risk, odds ratios", needs_risks=False, terms=((3, 0), (1, 0), (2, 0))
)
def reri_or(*, r00: Risks, r10: Risks, r01: Risks, r11: Risks) -> Risks:
    """Return the relative excess risk due to interaction (RERI) from odds ratios.

    Parameters
    ----------
    r00, r10, r01, r11
        Risks without either treatment, with the first alone, with the second alone, with both.

    Returns
    -------
    array
        OR11 − OR10 − OR01 + 1.

    Notes
    -----
    Hosmer & Lemeshow, Epidemiology 1992;3:452.
    """
    or11, or10, or01 = _odds_ratios(r00, r10, r01, r11)
    return or11 - or10 - or01 + 1


@register(
    _RERI,
    0,
    "attributable proportion, odds ratios",
    needs_risks=False,
    terms=((0, 3), (1, 3), (2, 3)),
)
def ap_or(*, r00: Risks, r10: Risks, r01: Risks, r11: Risks) -> Risks:
    """Return the proportion due to interaction, from odds ratios.

    Parameters
    ----------
    r00, r10, r01, r11
        Risks without either treatment, with the first alone, with the second alone, with both.

    Returns
    -------
    array
        RERI / OR11.

    Notes
    -----
    Hosmer & Lemeshow, Epidemiology 1992;3:452.
    """
    or11, or10, or01 = _odds_ratios(r00, r10, r01, r11)
    return (or11 - or10 - or01 + 1) / or11


@register(_RERI, 1, "synergy index, odds ratios", log=True, needs_risks=False, sign_of="reri_or")
def s_or(*, r00: Risks, r10: Risks, r01: Risks, r11: Risks) -> Risks:
    """Return the synergy index from odds ratios.

    Parameters
    ----------
    r00, r10, r01, r11
        Risks without either treatment, with the first alone, with the second alone, with both.

    Returns
    -------
    array
        (OR11 − 1) / (OR10 + OR01 − 2); NaN where the single effects add up to 0 or less.

    Notes
    -----
    Hosmer & Lemeshow, Epidemiology 1992;3:452.
    """
    return _index(*_odds_ratios(r00, r10, r01, r11))


@register(_ODDS, 1, "ratio of odds ratios", log=True, needs_risks=False, is_contrast=True)
def ror(*, r00: Risks, r10: Risks, r01: Risks, r11: Risks) -> Risks:
    """Return the ratio of odds ratios, the exponential of a logistic regression's product term.

    Parameters
    ----------
    r00, r10, r01, r11
        Risks without either treatment, with the first alone, with the second alone, with both.

    Returns
    -------
    array
        OR11 / (OR10 · OR01).

    Notes
    -----
    Knol & VanderWeele, Int J Epidemiol 2012;41:514.
    """
    return odds(r11) * odds(r00) / (odds(r10) * odds(r01))


@register(_RISK_RATIOS, 1, "ratio of risk ratios", log=True)
def rrr(*, r00: Risks, r10: Risks, r01: Risks, r11: Risks) -> Risks:
    """Return the ratio of risk ratios.

    Parameters
    ----------
    r00, r10, r01, r11
        Risks without either treatment, with the first alone, with the second alone, with both.

    Returns
    -------
    array
        RR11 / (RR10 · RR01).

    Notes
    -----
    Knol & VanderWeele, Int J Epidemiol 2012;41:514.
    """
    return r11 * r00 / (r10 * r01)


@register(_BLISS, 0, "excess over independent action")
def bliss(*, r00: Risks, r10: Risks, r01: Risks, r11: Risks) -> Risks:
    """Return the excess over independent action, corrected for the risk without treatment.

    Parameters
    ----------
    r00, r10, r01, r11
        Risks without either treatment, with the first alone, with the second alone, with both.

    Returns
    -------
    array
        r11 − (1 − (1 − r10)(1 − r01) / (1 − r00)).

    Notes
    -----
    Bliss, Ann Appl Biol 1939;26:585; Abbott, J Econ Entomol 1925;18:265.
    """
    return r11 - (1 - (1 - r10) * (1 - r01) / (1 - r00))


@register(_HSA, 0, "excess over the better single treatment", smooth=False)
def hsa(*, r00: Risks, r10: Risks, r01: Risks, r11: Risks) -> Risks:  # noqa: ARG001 - all are called alike
    """Return the excess over the better single treatment (highest single agent); not evidence of synergy.

    Parameters
    ----------
    r00, r10, r01, r11
        Risks without either treatment, with the first alone, with the second alone, with both.

    Returns
    -------
    array
        r11 − max(r10, r01).

    Notes
    -----
    Berenbaum, Pharmacol Rev 1989;41:93.
    """
    return r11 - np.maximum(r10, r01)


def families() -> dict[str, Family]:
    """Return the families of all measures by name, in the order of the registry.

    Returns
    -------
    dict
        Families by name.
    """
    return {measure.family.name: measure.family for measure in MEASURES.values()}


def representatives() -> dict[str, str]:
    """Return the representative measure of each family of synergy: the first in the registry.

    Returns
    -------
    dict
        Names of measures by the names of their families, without families that are not evidence of
        synergy.
    """
    names: dict[str, str] = {}
    for measure in MEASURES.values():
        if measure.family.is_synergy:
            names.setdefault(measure.family.name, measure.name)
    return names
