"""Define estimands: named functions of the risks by regimen, evaluated draw by draw.

An estimand reads ``risk(…, arm)`` and needs no PyMC, so that posterior draws, prior draws, a maximum
likelihood fit and crude proportions are evaluated alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cotreat.core.constants import ANY, CONDITIONAL, QUESTION
from cotreat.estimands.measures import MEASURES, Measure
from cotreat.evidence.contrasts import KINDS
from cotreat.evidence.statistics import STATISTICS
from cotreat.study import regimens
from cotreat.study.study import Scale

if TYPE_CHECKING:
    import xarray as xr
    from typing_extensions import TypeIs

type RiskDraws = xr.DataArray | xr.Dataset
"""Draws of risk by arm; or a dataset of the `RISK_VARIABLES` that a fit has: with reported estimates also
conditional risks, log ratios of the reported coefficients, arm sizes and the SD of the prognostic score."""
RISK_VARIABLES = ("risk", CONDITIONAL, "log_ratio", "size", "sigma")

RISK, ODDS_RATIO, EFFECT_RATIO = "risk", "odds_ratio", "effect_ratio"
SIZE, NEEDED = "size", "nnt"
DIFFERENCE, RATIO, MARGINAL = "risk_difference", "risk_ratio", "marginal_odds_ratio"
WORDS = {
    RISK: "risk",
    ODDS_RATIO: "odds ratio",
    DIFFERENCE: "risk difference",
    RATIO: "risk ratio",
    MARGINAL: "marginal odds ratio",
    NEEDED: "number needed to treat",
    EFFECT_RATIO: "ratio of odds ratios of one treatment",
    **{kind.name: kind.words.format("odds ratio") for kind in KINDS.values()},
    SIZE: "arm size",
}
"""Labels of the measures that are not measures of interaction, by name."""


def risk_draws_of(draws: xr.Dataset) -> xr.Dataset:
    """Return the variables that estimands are functions of.

    Parameters
    ----------
    draws
        Group ``prior`` or ``posterior`` of a fit.

    Returns
    -------
    Dataset
        The `RISK_VARIABLES` that the draws contain.
    """
    return draws[[name for name in RISK_VARIABLES if name in draws]]


def is_array(risk_draws: RiskDraws) -> TypeIs[xr.DataArray]:
    """Return whether risk draws are an array, not a dataset, without loading xarray.

    Parameters
    ----------
    risk_draws
        Draws of the risks by arm.

    Returns
    -------
    bool
        False for a dataset.
    """
    return not hasattr(risk_draws, "data_vars")


@dataclass(frozen=True)
class Estimand:
    """A function of the risks of some regimens.

    Attributes
    ----------
    measure : str
        Name of the measure: ``risk``, ``odds_ratio``, ``ror``, …
    arms : tuple of str
        Regimens, in the order in which `of` takes their risks.
    of : callable
        Formula on the risks of the event in `arms`, as arrays.
    contrast : str
        Regimen, or regimen against regimen (``A+B vs B``), without the stratum; empty for measures of a pair.
    pair : str
        The two treatments whose interaction is measured, ``A:B``; empty for others.
    co_treatment : str
        Other study treatments of all patients: a regimen, ``none``, or `ANY` where a model holds the measure
        constant over them; empty where there is no pair.
    stratum : str
        Subgroup, ``kidney=severe``; empty for all patients.
    judged_on : str
        ``event`` or ``non-event``; empty for arm sizes.
    unit : str
        Unit of its values: ``risk``, ``ratio``, ``difference``, ``patients`` or ``share``.
    threshold : float or None
        Odds ratio above which the probability lies, in place of `null`.
    assumption : str
        Assumption besides the model's structure, for the column ``reason``.
    null : float or None
        Value above which the probability lies; None for a risk.
    log : bool
        Whether intervals and contraction are computed on the log scale.
    needs_risks : bool
        Whether odds ratios alone do not determine it.
    synergy : Measure or None
        The measure of interaction, if it is one.
    is_judged : bool
        Whether it has a probability: measures of interaction only on the scale of synergy.
    reported_estimate : str
        Id of the reported, or inferred, coefficient that it is; empty for others.
    is_crude : bool
        Whether that coefficient is adjusted for nothing.
    is_repeated : bool
        Whether it lies above its null exactly where a listed odds ratio does.
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
        """The reference model of no interaction; empty unless it is a measure of interaction."""
        return self.synergy.family.name if self.synergy is not None else ""

    @property
    def is_odds_ratio(self) -> bool:
        """Whether it is a conditional odds ratio of two regimens or sets of patients."""
        return self.measure == ODDS_RATIO

    @property
    def columns(self) -> dict[str, str]:
        """Values of the columns `cotreat.core.constants.QUESTION`."""
        return {name: getattr(self, name) for name in QUESTION}

    @property
    def code(self) -> str:
        """A short name, unique within one scale of a study: ``ror[A:B] with C``."""
        return code_of(*self._fields)

    @property
    def label(self) -> str:
        """The label for people: ``ratio of odds ratios (ror), A × B with C``."""
        return label_of(*self._fields)

    @property
    def _fields(self) -> tuple[str, str, str, str, str, float | None]:
        subject = (self.measure, self.contrast, self.pair, self.co_treatment)
        return *subject, self.stratum, self.threshold

    def variable_of(self, risk_draws: RiskDraws) -> xr.DataArray:
        """Return the variable that it is a function of.

        Where the evidence is adjusted for covariates, odds ratios and measures of odds ratios are conditional
        on them, as reported; risks and measures of risks are means over them.

        Parameters
        ----------
        risk_draws
            Draws of the risks by arm.

        Returns
        -------
        DataArray
            Draws by arm, or by reported estimate.
        """
        if is_array(risk_draws):
            return risk_draws
        if self.reported_estimate:
            return risk_draws["log_ratio"]
        is_marginal = self.needs_risks or CONDITIONAL not in risk_draws
        return risk_draws["risk" if is_marginal else CONDITIONAL]

    def risk_kind(self, risk_draws: RiskDraws) -> str:
        """Return the kind of its risks or odds: ``crude``, ``implied``, ``standardised`` or ``conditional``.

        Parameters
        ----------
        risk_draws
            Draws of the risks by arm.

        Returns
        -------
        str
            The kind.
        """
        if self.is_crude:
            return "crude"
        if not is_array(risk_draws) and CONDITIONAL in risk_draws and not self.needs_risks:
            return "conditional"
        array = self.variable_of(risk_draws)
        return (array if "risk_kind" in array.attrs else risk_draws["risk"]).attrs["risk_kind"]

    def values(self, risk_draws: RiskDraws) -> xr.DataArray:
        """Evaluate it for each draw: the dims of the risk draws without ``arm``.

        Parameters
        ----------
        risk_draws
            Draws of the risks by arm.

        Returns
        -------
        DataArray
            Values by draw.
        """
        import xarray as xr

        risk = self.variable_of(risk_draws)
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

    Returns
    -------
    str
        The code.
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
    """Write the fields of an estimand for people; labels are made nowhere else.

    Parameters
    ----------
    measure, contrast, pair, co_treatment, stratum, threshold
        The columns of these names of any table.

    Returns
    -------
    str
        The label.
    """
    interaction = MEASURES.get(measure)
    name = (
        f"{interaction.words} ({measure})"
        if interaction is not None
        else WORDS.get(measure) or _words_of_reported(measure)
    )
    if threshold is not None:
        name += f" > {threshold:g}"
    label = f"{name}, {contrast or pair.replace(':', ' × ')}"
    if co_treatment == ANY:
        label += " with any co-treatment"
    elif co_treatment not in ("", regimens.NONE):
        label += f" with {co_treatment}"
    return f"{label} in {stratum}" if stratum else label


def _words_of_reported(measure: str) -> str:
    """Return the words of a kind of reported number, also of a product; the measure itself for any other."""
    statistic = STATISTICS.get(measure.removesuffix("_product"))
    return measure.replace("_", " ") if statistic is None else statistic.words


def on_scale(measure: Measure, scale: Scale | str) -> Callable[..., Any]:
    """Return the formula of a measure, judged on a scale, as a function of the risks of the event.

    Parameters
    ----------
    measure
        The measure of interaction.
    scale
        ``event`` or ``non-event``.

    Returns
    -------
    callable
        Function of the risks of the event in the regimens 00, 10, 01, 11.
    """

    def of(*risks: Any) -> Any:
        judged_risks = risks if scale == "event" else tuple(1 - risk for risk in risks)
        return measure.formula(**dict(zip(("r00", "r10", "r01", "r11"), judged_risks, strict=True)))

    return of


def fields_of(measure: Measure, scale: Scale | str) -> dict[str, Any]:
    """Return the fields of an estimand that a measure of interaction determines.

    Parameters
    ----------
    measure
        The measure.
    scale
        ``event`` or ``non-event``.

    Returns
    -------
    dict
        Values by field.
    """
    shared = {name: getattr(measure, name) for name in ("unit", "null", "log")}
    of = on_scale(measure, scale)
    return {"measure": measure.name, "of": of, "judged_on": scale, "synergy": measure, **shared}


def is_combination_ratio(estimand: Estimand, *, against_none: bool = True) -> bool:
    """Return whether an estimand is the odds ratio of a regimen against itself less one treatment.

    Parameters
    ----------
    estimand
        The estimand.
    against_none
        Whether the comparator may be no treatment at all.

    Returns
    -------
    bool
        True for ``A+B vs B``.
    """
    is_ratio = estimand.is_odds_ratio and len(estimand.arms) == 2
    return is_ratio and regimens.adds_one(*estimand.arms, against_none=against_none)


def on_measure(estimand: Estimand, measure: Measure) -> Estimand:
    """Return the estimand of another measure of the same four regimens on the same scale.

    Parameters
    ----------
    estimand
        A measure of interaction.
    measure
        The other measure.

    Returns
    -------
    Estimand
        The estimand of the other measure.
    """
    return replace(estimand, **fields_of(measure, estimand.judged_on))


def is_beyond_null(estimand: Estimand, risk_draws: RiskDraws) -> xr.DataArray:
    """Return for each draw whether an estimand lies above its null.

    A synergy index has no value in some draws; there the measure that has its sign stands in for it.

    Parameters
    ----------
    estimand
        The estimand.
    risk_draws
        Draws of the risks by arm.

    Returns
    -------
    DataArray of bool
        By draw.

    Raises
    ------
    ValueError
        If the estimand has no null, as a risk.
    """
    null, measure = estimand.null, estimand.synergy
    if null is None:
        raise ValueError(f"{estimand.label} has no null to lie beyond")
    if measure is not None and measure.sign_of:
        estimand = on_measure(estimand, MEASURES[measure.sign_of])
        null = MEASURES[measure.sign_of].null
    return estimand.values(risk_draws) > null
