"""Measures of synergy: formulas on four risks, as plain functions of arrays.

Each function takes the risks by keyword, as arrays that broadcast: ``r00`` without either treatment,
``r10`` with the first alone, ``r01`` with the second alone, ``r11`` with both. Odds-based measures
take risks too, so that every measure is called alike. Xarray objects pass through with their labels.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Risks = Any  # float, NumPy array or xarray.DataArray; the formulas only add, multiply and compare


def ic(*, r00: Risks, r10: Risks, r01: Risks, r11: Risks) -> Risks:
    """Interaction contrast, a difference of risk differences (Rothman, Modern Epidemiology)."""
    return r11 - r10 - r01 + r00


def reri_rr(*, r00: Risks, r10: Risks, r01: Risks, r11: Risks) -> Risks:
    """Relative excess risk due to interaction, from risk ratios (Rothman 1986)."""
    return ic(r00=r00, r10=r10, r01=r01, r11=r11) / r00


def ap(*, r00: Risks, r10: Risks, r01: Risks, r11: Risks) -> Risks:
    """Proportion of the joint risk that is due to interaction, from risk ratios (Rothman 1986)."""
    return ic(r00=r00, r10=r10, r01=r01, r11=r11) / r11


def s(*, r00: Risks, r10: Risks, r01: Risks, r11: Risks) -> Risks:
    """Synergy index from risk ratios (Rothman 1986); NaN where the single effects add up to 0 or less."""
    return _index(r11 / r00, r10 / r00, r01 / r00)


def odds(risk: Risks) -> Risks:
    """Odds of a risk."""
    return risk / (1 - risk)


def _odds_ratios(r00: Risks, r10: Risks, r01: Risks, r11: Risks) -> tuple[Risks, Risks, Risks]:
    reference = odds(r00)
    return odds(r11) / reference, odds(r10) / reference, odds(r01) / reference


def reri_or(*, r00: Risks, r10: Risks, r01: Risks, r11: Risks) -> Risks:
    """Relative excess risk due to interaction, from odds ratios (Hosmer & Lemeshow 1992)."""
    or11, or10, or01 = _odds_ratios(r00, r10, r01, r11)
    return or11 - or10 - or01 + 1


def ap_or(*, r00: Risks, r10: Risks, r01: Risks, r11: Risks) -> Risks:
    """Proportion due to interaction, from odds ratios (Hosmer & Lemeshow 1992)."""
    or11, or10, or01 = _odds_ratios(r00, r10, r01, r11)
    return (or11 - or10 - or01 + 1) / or11


def s_or(*, r00: Risks, r10: Risks, r01: Risks, r11: Risks) -> Risks:
    """Synergy index from odds ratios (Hosmer & Lemeshow 1992); NaN as for `s`."""
    return _index(*_odds_ratios(r00, r10, r01, r11))


NO_EXCESS = 1e-9
"""Single effects whose excess is this near 0 add up to none, up to rounding."""


def _index(ratio11: Risks, ratio10: Risks, ratio01: Risks) -> Risks:
    # With single effects that add up to no excess, a ratio of excesses has no meaning: its sign flips.
    excess = ratio10 + ratio01 - 2
    has_excess = np.greater(excess, NO_EXCESS)
    with np.errstate(divide="ignore", invalid="ignore"):
        defined = np.true_divide(has_excess, has_excess)  # 1 or NaN, with the labels kept
        return np.true_divide(ratio11 - 1, excess) * defined


def ror(*, r00: Risks, r10: Risks, r01: Risks, r11: Risks) -> Risks:
    """Ratio of odds ratios, the exponential of a logistic regression's product term."""
    return odds(r11) * odds(r00) / (odds(r10) * odds(r01))


def rrr(*, r00: Risks, r10: Risks, r01: Risks, r11: Risks) -> Risks:
    """Ratio of risk ratios."""
    return r11 * r00 / (r10 * r01)


def bliss(*, r00: Risks, r10: Risks, r01: Risks, r11: Risks) -> Risks:
    """Excess over independent action (Bliss 1939), corrected for the background risk (Abbott 1925)."""
    return r11 - (1 - (1 - r10) * (1 - r01) / (1 - r00))


def hsa(*, r00: Risks, r10: Risks, r01: Risks, r11: Risks) -> Risks:  # noqa: ARG001 - all are called alike
    """Excess over the better single treatment (highest single agent); not evidence of synergy."""
    return r11 - np.maximum(r10, r01)


@dataclass(frozen=True)
class Measure:
    """An entry of the registry.

    Attributes
    ----------
    formula : callable
        The function of four risks.
    family : str
        Measures of one family answer one question and count once.
    null : float
        Value at which the treatments do not interact.
    log : bool
        Whether the measure is a ratio, judged on the log scale.
    needs_risks : bool
        Whether odds ratios alone do not determine it.
    sign_of : str
        Measure whose position beyond its null stands for this one's.
    smooth : bool
        Whether the delta method applies.
    words : str
        What it is, for people.
    """

    name: str
    formula: Callable[..., Risks]
    family: str
    null: float
    words: str
    log: bool = False
    needs_risks: bool = True
    sign_of: str = ""
    smooth: bool = True


RISK_ADDITIVE = "risk-additive"
ODDS_ADDITIVE = "odds-additive"
LOG_ODDS = "log-odds"
LOG_RISK = "log-risk"
INDEPENDENCE = "independence"
APART = "better than the best single"

REPRESENTATIVE = {
    RISK_ADDITIVE: "ic",
    ODDS_ADDITIVE: "reri_or",
    LOG_ODDS: "ror",
    LOG_RISK: "rrr",
    INDEPENDENCE: "bliss",
}
"""The measure that speaks for each of the five families of synergy."""

MEASURES: dict[str, Measure] = {
    m.name: m
    for m in (
        Measure("ic", ic, RISK_ADDITIVE, 0, "interaction contrast of risks"),
        Measure("reri_rr", reri_rr, RISK_ADDITIVE, 0, "relative excess risk, risk ratios"),
        Measure("ap", ap, RISK_ADDITIVE, 0, "attributable proportion, risk ratios"),
        Measure("s", s, RISK_ADDITIVE, 1, "synergy index, risk ratios", log=True, sign_of="ic"),
        Measure(
            "reri_or",
            reri_or,
            ODDS_ADDITIVE,
            0,
            "relative excess risk, odds ratios",
            needs_risks=False,
        ),
        Measure(
            "ap_or",
            ap_or,
            ODDS_ADDITIVE,
            0,
            "attributable proportion, odds ratios",
            needs_risks=False,
        ),
        Measure(
            "s_or",
            s_or,
            ODDS_ADDITIVE,
            1,
            "synergy index, odds ratios",
            log=True,
            needs_risks=False,
            sign_of="reri_or",
        ),
        Measure("ror", ror, LOG_ODDS, 1, "ratio of odds ratios", log=True, needs_risks=False),
        Measure("rrr", rrr, LOG_RISK, 1, "ratio of risk ratios", log=True),
        Measure("bliss", bliss, INDEPENDENCE, 0, "excess over independent action"),
        Measure("hsa", hsa, APART, 0, "excess over the better single treatment", smooth=False),
    )
}
"""Every measure by name; a new one is a function above and a line here."""
