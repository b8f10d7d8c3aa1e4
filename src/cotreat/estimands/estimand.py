"""Estimands: named questions to labelled risks, answered draw by draw.

Everything here reads ``risk(…, arm)`` and needs no PyMC, so posterior draws, prior draws, a maximum
likelihood fit and raw proportions are all asked alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cotreat.core.constants import ANY, CONDITIONAL
from cotreat.estimands.measures import MEASURES, Measure
from cotreat.study import regimens
from cotreat.study.study import Scale

if TYPE_CHECKING:
    import xarray as xr
    from typing_extensions import TypeIs

type RiskDraws = xr.DataArray | xr.Dataset
"""Risks by arm; or, of printed numbers, a dataset that also holds conditional risks, the claims'
coefficients, sizes of arms and the SD of the prognostic score."""
ANALYSES = ("risk", CONDITIONAL, "log_ratio", "size", "sigma")

RISK, ODDS_RATIO, EFFECT_RATIO, SIZE, NEEDED = (
    "risk",
    "odds_ratio",
    "effect_ratio",
    "size",
    "nnt",
)
DIFFERENCE, RATIO, MARGINAL = "risk_difference", "risk_ratio", "marginal_odds_ratio"
WORDS = {
    RISK: "risk",
    ODDS_RATIO: "odds ratio",
    DIFFERENCE: "risk difference",
    RATIO: "risk ratio",
    MARGINAL: "marginal odds ratio",
    NEEDED: "number needed to treat",
    EFFECT_RATIO: "ratio of odds ratios of one treatment",
    "trend": "odds ratio of a step",
    "product": "product term",
    "adjusted_product": "product term, adjusted for every treatment",
    "mutual_product": "product term, adjusted for another",
    SIZE: "arm size",
}
"""What a measure that is not one of synergy is called, for people."""


def risk_draws_of(draws: xr.Dataset) -> xr.Dataset:
    """Return what estimands are asked of, from a group of a fit."""
    return draws[[name for name in ANALYSES if name in draws]]


def is_array(risk_draws: RiskDraws) -> TypeIs[xr.DataArray]:
    """Return whether risks come without a dataset around them; does not load xarray."""
    return not hasattr(risk_draws, "data_vars")


@dataclass(frozen=True)
class Estimand:
    """A question to the risks of some regimens.

    Attributes
    ----------
    measure : str
        What is asked: ``risk``, ``odds_ratio``, ``ror``, …, the column ``measure`` of every table.
    arms : tuple of str
        Regimens it reads, in the order in which `of` takes their risks.
    of : callable
        Formula on the risks of `arms` as arrays, on the event scale.
    contrast : str
        The regimen, or the one regimen against the other (``A+B vs B``), without the stratum; empty for
        measures of a pair.
    pair : str
        The two treatments whose interaction it measures, ``A:B``; empty for others.
    co_treatment : str
        The other study treatments given: a regimen, ``none``, or `ANY` where a model holds the number
        the same with all of them; empty where there is no pair.
    stratum : str
        The subgroup, ``kidney=severe``; empty for all patients.
    judged_on : str
        ``event`` or ``non-event``; empty for sizes.
    unit : str
        What its values are: ``risk``, ``ratio``, ``difference``, ``patients`` or ``share``.
    threshold : float or None
        Odds ratio beyond which a probability is asked in place of `null`.
    assumption : str
        What it takes for granted besides the model's structure; stands in the column ``reason``.
    null : float or None
        Value beyond which a probability is given; None for a risk.
    log : bool
        Whether intervals and contraction are judged on the log scale.
    synergy : Measure or None
        The measure of synergy behind it, if it is one.
    claim : str
        Id of the printed number whose coefficient it is, if it is one; or of one that could have been
        printed and was not.
    is_crude : bool
        Whether that number is adjusted for nothing.
    is_judged : bool
        Whether a probability may be read from it: for measures, only on the scale of synergy.
    is_repeated : bool
        Whether it lies beyond its null just where an odds ratio does that is listed too.
    """

    measure: str
    arms: tuple[str, ...]
    of: Callable[..., Any]
    contrast: str = ""
    pair: str = ""
    co_treatment: str = ""
    stratum: str = ""
    judged_on: Scale | str = "event"
    unit: str = "ratio"
    threshold: float | None = None
    assumption: str = ""
    null: float | None = None
    log: bool = False
    needs_risks: bool = False
    synergy: Measure | None = None
    is_judged: bool = True
    reported_estimate: str = ""
    is_crude: bool = False
    is_repeated: bool = False

    @property
    def scale(self) -> str:
        """The reference model of no interaction; empty for what measures no interaction."""
        return self.synergy.family.name if self.synergy is not None else ""

    @property
    def is_odds_ratio(self) -> bool:
        """Whether it is the conditional odds ratio of two regimens or sets of patients."""
        return self.measure == ODDS_RATIO

    @property
    def columns(self) -> dict[str, str]:
        """What every table says of it, by column (`cotreat.core.constants.QUESTION`)."""
        return {
            "measure": self.measure,
            "contrast": self.contrast,
            "pair": self.pair,
            "co_treatment": self.co_treatment,
            "stratum": self.stratum,
            "scale": self.scale,
            "judged_on": self.judged_on,
        }

    @property
    def code(self) -> str:
        """A short name, unique within one scale of a study: ``ror[A:B] with C``."""
        return code_of(
            self.measure,
            self.contrast,
            self.pair,
            self.co_treatment,
            self.stratum,
            self.threshold,
        )

    @property
    def label(self) -> str:
        """What it is called, for people: ``ratio of odds ratios (ror), A × B with C``."""
        return label_of(
            self.measure,
            self.contrast,
            self.pair,
            self.co_treatment,
            self.stratum,
            self.threshold,
        )

    def reads(self, risk_draws: RiskDraws) -> xr.DataArray:
        """Return the array it is asked of.

        Where numbers are adjusted for covariates nobody can see, odds ratios and what is made of them
        are conditional on these, as printed; risks and what is made of them are means over them.
        """
        if is_array(risk_draws):
            return risk_draws
        if self.reported_estimate:
            return risk_draws["log_ratio"]
        return risk_draws[
            "risk" if self.needs_risks or CONDITIONAL not in risk_draws else CONDITIONAL
        ]

    def risk_kind(self, risk_draws: RiskDraws) -> str:
        """Say what its risks, or odds, are: ``crude``, ``implied`` or ``conditional``."""
        if self.is_crude:
            return "crude"
        array = self.reads(risk_draws)
        is_conditional = not is_array(risk_draws) and CONDITIONAL in risk_draws
        if is_conditional and not self.needs_risks:
            return "conditional"
        return (array if "risk_kind" in array.attrs else risk_draws["risk"]).attrs["risk_kind"]

    def values(self, risk_draws: RiskDraws) -> xr.DataArray:
        """Answer for each draw: the dims of the waist without ``arm``."""
        import xarray as xr

        risk = self.reads(risk_draws)
        if self.reported_estimate:
            return self.of(risk.sel(reported_estimate=self.reported_estimate, drop=True))
        # Labels cost more than the arithmetic, so they are taken off once and put on once.
        arrays = np.moveaxis(risk.values, risk.get_axis_num("arm"), 0)
        at = risk.indexes["arm"].get_indexer(list(self.arms))
        dims = [dim for dim in risk.dims if dim != "arm"]
        coords = {dim: risk.coords[dim] for dim in dims if dim in risk.coords}
        return xr.DataArray(self.of(*arrays[at]), dims=dims, coords=coords)


def code_of(
    measure: str,
    contrast: str,
    pair: str,
    co_treatment: str,
    stratum: str,
    threshold: float | None = None,
) -> str:
    """Write the fields of an estimand in short: ``odds_ratio[A+B vs B | sex=f]``, ``ror[A:B] with C``.

    Parameters
    ----------
    measure, contrast, pair, co_treatment, stratum, threshold
        The columns of these names of any table.
    """
    within = f"{regimens.WITHIN}{stratum}" if stratum else ""
    beyond = f" > {threshold:g}" if threshold is not None else ""
    if pair and not contrast:
        given = f" with {co_treatment}{within}" if co_treatment else ""
        return f"{measure}[{pair}]{given}{beyond}"
    return f"{measure}[{contrast}{within}]{beyond}"


def label_of(
    measure: str,
    contrast: str,
    pair: str,
    co_treatment: str,
    stratum: str,
    threshold: float | None = None,
) -> str:
    """Write the fields of an estimand for people; the only place where a label is made.

    Parameters
    ----------
    measure, contrast, pair, co_treatment, stratum, threshold
        The columns of these names of any table.
    """
    known = MEASURES.get(measure)
    name = (
        f"{known.words} ({measure})"
        if known is not None
        else WORDS.get(measure, measure.replace("_", " "))
    )
    if threshold is not None:
        name += f" > {threshold:g}"
    label = f"{name}, {contrast or pair.replace(':', ' × ')}"
    if co_treatment == ANY:
        label += " with any co-treatment"
    elif co_treatment not in ("", regimens.NONE):
        label += f" with {co_treatment}"
    return f"{label} in {stratum}" if stratum else label


def on_scale(measure: Measure, scale: Scale | str) -> Callable[..., Any]:
    """Return a measure's formula on the risks of the event, where it is judged on the non-event too."""

    def of(r00: Any, r10: Any, r01: Any, r11: Any) -> Any:
        if scale == "non-event":
            r00, r10, r01, r11 = 1 - r00, 1 - r10, 1 - r01, 1 - r11
        return measure.formula(r00=r00, r10=r10, r01=r01, r11=r11)

    return of


def is_measure(estimand: Estimand, name: str) -> bool:
    """Tell whether an estimand is a certain measure of synergy."""
    return estimand.synergy is not None and estimand.measure == name


def is_combination_ratio(estimand: Estimand, *, against_none: bool = True) -> bool:
    """Tell whether an estimand is the odds ratio of a regimen against itself less one part.

    Parameters
    ----------
    against_none
        Whether that may leave none at all.
    """
    is_ratio = estimand.is_odds_ratio and len(estimand.arms) == 2
    return is_ratio and regimens.adds_one(*estimand.arms, against_none=against_none)


def on_measure(estimand: Estimand, measure: Measure) -> Estimand:
    """Ask another measure of the same four regimens on the same scale."""
    return replace(
        estimand,
        measure=measure.name,
        of=on_scale(measure, estimand.judged_on),
        unit=measure.unit,
        synergy=measure,
        null=measure.null,
        log=measure.log,
    )


def risk_of(tree: xr.DataTree, group: str = "posterior") -> xr.DataArray:
    """Return the waist of a fit: the draws of risk in a group, dims (chain, draw, arm)."""
    return tree[group].to_dataset()["risk"]


def is_beyond_null(estimand: Estimand, risk_draws: RiskDraws) -> xr.DataArray:
    """Tell for each draw whether an estimand lies beyond its null.

    A synergy index has no value in some draws and takes the answer of the measure of its sign.

    Raises
    ------
    ValueError
        If the estimand has no null, as a risk.
    """
    null, measure = estimand.null, estimand.synergy
    if null is None:
        raise ValueError(f"{estimand.label} has no null to lie beyond")
    if measure is not None and measure.sign_of:
        stand_in = MEASURES[measure.sign_of]
        estimand, null = on_measure(estimand, stand_in), stand_in.null
    return estimand.values(risk_draws) > null
