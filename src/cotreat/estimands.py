"""Estimands: named questions to labelled risks, answered draw by draw.

Everything here reads ``risk(…, arm)`` and needs no PyMC, so posterior draws, prior draws, a maximum
likelihood fit and raw proportions are all asked alike.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import logit

from cotreat import regimens
from cotreat.catalogue import Model
from cotreat.evidence import counts
from cotreat.measures import MEASURES, Measure, odds
from cotreat.names import EXTRAPOLATED, FIXED, IMPLIED, OBSERVED
from cotreat.study import NOT_IDENTIFIED, Scale, Study

EVERY = "every ("
"""How the background of a number that a model holds the same on all of them begins."""

ROW_SPACE_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Estimand:
    """A question to the risks of some regimens.

    Attributes
    ----------
    label : str
        ``risk[A]``, ``odds_ratio[A+B vs B]`` or ``ror[A:B]``.
    arms : tuple of str
        Regimens it reads, in the order in which `of` takes their risks.
    of : callable
        Formula on the risks of `arms` as arrays, on the event scale.
    null : float or None
        Value beyond which a probability is given; None for a risk.
    log : bool
        Whether intervals and contraction are judged on the log scale.
    measure : Measure or None
        The measure of synergy behind it, if it is one.
    is_judged : bool
        Whether a probability may be read from it: for measures, only on the scale of synergy.
    """

    label: str
    arms: tuple[str, ...]
    of: Callable[..., Any]
    background: str = ""
    scale: Scale = "event"
    null: float | None = None
    log: bool = False
    needs_risks: bool = False
    measure: Measure | None = None
    pair: str = ""
    is_judged: bool = True

    def values(self, risk: xr.DataArray) -> xr.DataArray:
        """Answer for each draw: the dims of `risk` without ``arm``."""
        # Labels cost more than the arithmetic, so they are taken off once and put on once.
        arrays = np.moveaxis(risk.values, risk.get_axis_num("arm"), 0)
        at = risk.indexes["arm"].get_indexer(list(self.arms))
        dims = [dim for dim in risk.dims if dim != "arm"]
        coords = {dim: risk.coords[dim] for dim in dims if dim in risk.coords}
        return xr.DataArray(self.of(*arrays[at]), dims=dims, coords=coords)


def enumerate_estimands(study: Study, model: Model) -> list[Estimand]:
    """List every estimand of a study: risks, odds ratios of all pairs of regimens, measures.

    Parameters
    ----------
    model
        Under a model with structure the ratio of odds ratios is the same on every background, so it
        is listed once for each pair of treatments.
    """
    return [*_risks(study), *_odds_ratios(study), *_measures(study, model)]


def _risks(study: Study) -> Iterator[Estimand]:
    for arm in study.regimens:
        yield Estimand(f"risk[{arm}]", (arm,), lambda r: r, needs_risks=True)


def _odds_ratios(study: Study) -> Iterator[Estimand]:
    for reference, arm in combinations(study.regimens, 2):
        yield Estimand(
            f"odds_ratio[{arm} vs {reference}]",
            (arm, reference),
            lambda r, r0: odds(r) / odds(r0),
            null=1.0,
            log=True,
        )


def _measures(study: Study, model: Model) -> Iterator[Estimand]:
    scales: tuple[Scale, ...] = ("event",)
    if study.outcome.synergy_on == "non-event":
        scales = ("non-event", "event")
    for pair, name in zip(study.pairs, study.pair_labels, strict=True):
        for measure in MEASURES.values():
            for scale in scales:
                for background, arms in _backgrounds(study, model, pair, measure):
                    yield Estimand(
                        f"{measure.name}[{name}]",
                        arms,
                        _on_scale(measure, scale),
                        background=background,
                        scale=scale,
                        null=measure.null,
                        log=measure.log,
                        needs_risks=measure.needs_risks,
                        measure=measure,
                        pair=name,
                        is_judged=scale == study.outcome.synergy_on,
                    )


def _backgrounds(
    study: Study, model: Model, pair: tuple[str, str], measure: Measure
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the label of a background and its four regimens, in the order 00, 10, 01, 11."""
    cells = [
        (study.label(others), four_cells(study, pair, others)) for others in study.backgrounds(pair)
    ]
    if measure.name != "ror" or not model.has_structure or len(cells) == 1:
        yield from cells
        return
    # One number for all backgrounds: read it where the evidence speaks, if it does anywhere.
    observed = [(label, arms) for label, arms in cells if set(arms) <= set(study.counted)]
    arms = (observed or cells)[0][1]
    if observed and len(observed) < len(cells):
        named = ", ".join(label for label, _ in observed)
        yield f"{EVERY}counted on {named}; elsewhere the same by assumption)", arms
    else:
        yield f"{EVERY}the same by assumption)", arms


def four_cells(
    study: Study, pair: tuple[str, str], background: regimens.Regimen
) -> tuple[str, str, str, str]:
    """Return the regimens 00, 10, 01, 11 of a pair on a background."""
    first, second = pair
    added: tuple[set[str], ...] = (set(), {first}, {second}, {first, second})
    none, one, other, both = (study.label(background | extra) for extra in added)
    return none, one, other, both


def _on_scale(measure: Measure, scale: Scale) -> Callable[..., Any]:
    def of(r00: Any, r10: Any, r01: Any, r11: Any) -> Any:
        if scale == "non-event":
            r00, r10, r01, r11 = 1 - r00, 1 - r10, 1 - r01, 1 - r11
        return measure.formula(r00=r00, r10=r10, r01=r01, r11=r11)

    return of


def is_measure(estimand: Estimand, name: str) -> bool:
    """Tell whether an estimand is a certain measure of synergy."""
    return estimand.measure is not None and estimand.measure.name == name


def on_measure(estimand: Estimand, measure: Measure) -> Estimand:
    """Ask another measure of the same four regimens on the same scale."""
    return replace(
        estimand,
        of=_on_scale(measure, estimand.scale),
        measure=measure,
        null=measure.null,
        log=measure.log,
    )


def risk_of(tree: xr.DataTree, group: str = "posterior") -> xr.DataArray:
    """Return the waist of a fit: the draws of risk in a group, dims (chain, draw, arm)."""
    return tree[group].to_dataset()["risk"]


def availability(estimand: Estimand, study: Study, model: Model, risk: xr.DataArray) -> str:
    """Tell whether the evidence itself determines an estimand.

    Parameters
    ----------
    risk
        Draws under `model`, whose regimens are those it can speak of.

    Returns
    -------
    str
        ``observed``, ``extrapolated``, ``fixed by the model``, ``implied by the model``, or
        ``undefined: `` and why.
    """
    if study.is_case_control and estimand.needs_risks:
        return NOT_IDENTIFIED
    missing = [arm for arm in estimand.arms if arm not in risk.coords["arm"].values]
    if missing:
        return f"undefined: no patients in {', '.join(missing)}"
    if is_fixed(estimand, model):
        return FIXED
    if is_implied(estimand, model):
        return IMPLIED
    return determination(estimand, study, all_risks(study, risk))


def is_fixed(estimand: Estimand, model: Model) -> bool:
    """Tell whether the model holds a measure at its null."""
    return is_measure(estimand, "ror") and not model.has_products


def is_implied(estimand: Estimand, model: Model) -> bool:
    """Tell whether the model's lack of an interaction already answers a question of synergy."""
    return estimand.measure is not None and not model.has_products


def determination(estimand: Estimand, study: Study, risk: NDArray[np.float64]) -> str:
    """Tell by rank whether counts determine an estimand near the given risks.

    It is *observed* where its gradient in the log-odds of all regimens lies in the row space of the
    evidence's Jacobian, *extrapolated* otherwise.

    Parameters
    ----------
    risk
        Risk by regimen, shape (regimen,); any value within (0, 1) for the uncounted.
    """
    evidence = counts.jacobian(study, risk)
    measure = estimand.measure
    if measure is not None and not measure.smooth:
        # Which of two regimens is the better one is known only where both are.
        own = np.array([[float(r == arm) for r in study.regimens] for arm in estimand.arms[1:]])
        return _told(all(in_row_space(row, evidence) for row in own))
    slope = gradient(estimand, study.regimens, risk)
    if np.isnan(slope).any() and measure is not None:
        # A synergy index has no value here, but asks of the evidence what its sign asks.
        stand_in = on_measure(estimand, MEASURES[measure.sign_of])
        slope = gradient(stand_in, study.regimens, risk)
    return _told(in_row_space(slope, evidence))


def _told(is_inside: bool) -> str:
    return OBSERVED if is_inside else EXTRAPOLATED


def gradient(
    estimand: Estimand, arms: tuple[str, ...], risk: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Differentiate an estimand in the log-odds of each arm.

    Parameters
    ----------
    risk
        Shape (arm,).

    Returns
    -------
    ndarray
        Shape (arm,); NaN where the estimand has no value.

    Notes
    -----
    By the complex step (Squire & Trapp, SIAM Rev 1998;40:110), exact to machine precision.
    """
    step = 1e-20
    moved = logit(risk) + 1j * step * np.eye(len(arms))
    risks = 1 / (1 + np.exp(-moved))
    return estimand.of(*(risks[:, arms.index(arm)] for arm in estimand.arms)).imag / step


def in_row_space(vector: NDArray[np.float64], rows: NDArray[np.float64]) -> bool:
    """Tell whether a vector is a combination of the rows of a matrix."""
    weights, *_ = np.linalg.lstsq(rows.T, vector, rcond=None)
    residual = np.linalg.norm(rows.T @ weights - vector)
    return bool(residual <= ROW_SPACE_TOLERANCE * max(np.linalg.norm(vector), 1e-300))


def all_risks(study: Study, risk: xr.DataArray) -> NDArray[np.float64]:
    """Return the mean risk of all regimens; those the model is silent on get the overall mean.

    Parameters
    ----------
    risk
        Dims (chain, draw, arm).

    Returns
    -------
    ndarray
        Shape (regimen,), kept within (0, 1) so that its log-odds are finite.
    """
    mean = risk.mean([dim for dim in risk.dims if dim != "arm"])
    filled = mean.reindex(arm=list(study.regimens), fill_value=float(mean.mean()))
    return np.clip(filled.values, 1e-9, 1 - 1e-9)
