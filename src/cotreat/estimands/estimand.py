"""Estimands: named questions to labelled risks, answered draw by draw.

Everything here reads ``risk(…, arm)`` and needs no PyMC, so posterior draws, prior draws, a maximum
likelihood fit and raw proportions are all asked alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations, product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from cotreat.core.constants import CONDITIONAL, EXTRAPOLATED, FIXED, IMPLIED, OBSERVED
from cotreat.estimands.measures import MEASURES, REPRESENTATIVE, Measure, odds
from cotreat.evidence.logistic_operator import averages
from cotreat.evidence.protocol import Evidences, Point, stacked
from cotreat.models.registry import Model
from cotreat.study import regimens
from cotreat.study.study import NOT_IDENTIFIED, Scale, Study

if TYPE_CHECKING:
    import xarray as xr
    from typing_extensions import TypeIs

EVERY = "every ("
"""How the background of a number that a model holds the same on all of them begins."""

ROW_SPACE_TOLERANCE = 1e-6


type Waist = xr.DataArray | xr.Dataset
"""Risks by arm; or, of printed numbers, a dataset that also holds conditional risks, the claims'
coefficients, sizes of arms and the SD of the prognostic score."""
PARTS = ("risk", CONDITIONAL, "log_ratio", "size", "sigma")


def waist_of(draws: xr.Dataset) -> xr.Dataset:
    """Return what estimands are asked of, from a group of a fit."""
    return draws[[name for name in PARTS if name in draws]]


def _is_array(waist: Waist) -> TypeIs[xr.DataArray]:
    """Return whether risks come without a dataset around them; does not load xarray."""
    return not hasattr(waist, "data_vars")


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
    claim: str = ""
    is_crude: bool = False
    is_repeated: bool = False

    def reads(self, waist: Waist) -> xr.DataArray:
        """Return the array it is asked of.

        Where numbers are adjusted for covariates nobody can see, odds ratios and what is made of them
        are conditional on these, as printed; risks and what is made of them are means over them.
        """
        if _is_array(waist):
            return waist
        if self.claim:
            return waist["log_ratio"]
        return waist["risk" if self.needs_risks or CONDITIONAL not in waist else CONDITIONAL]

    def risk_kind(self, waist: Waist) -> str:
        """Say what its risks, or odds, are: ``crude``, ``implied`` or ``conditional``."""
        if self.is_crude:
            return "crude"
        array = self.reads(waist)
        is_conditional = not _is_array(waist) and CONDITIONAL in waist
        if is_conditional and not self.needs_risks:
            return "conditional"
        return (array if "risk_kind" in array.attrs else waist["risk"]).attrs["risk_kind"]

    def values(self, waist: Waist) -> xr.DataArray:
        """Answer for each draw: the dims of the waist without ``arm``."""
        import xarray as xr

        risk = self.reads(waist)
        if self.claim:
            return xr.ufuncs.exp(risk.sel(claim=self.claim, drop=True))
        # Labels cost more than the arithmetic, so they are taken off once and put on once.
        arrays = np.moveaxis(risk.values, risk.get_axis_num("arm"), 0)
        at = risk.indexes["arm"].get_indexer(list(self.arms))
        dims = [dim for dim in risk.dims if dim != "arm"]
        coords = {dim: risk.coords[dim] for dim in dims if dim in risk.coords}
        return xr.DataArray(self.of(*arrays[at]), dims=dims, coords=coords)


def enumerate_estimands(study: Study, model: Model, evidence: Evidences) -> list[Estimand]:
    """List every estimand of a study: risks, odds ratios of all pairs of regimens, measures, ….

    Parameters
    ----------
    model
        Under a model with structure the ratio of odds ratios is the same on every background, so it
        is listed once for each pair of treatments.
    evidence
        What the study resolves to.
    """
    return [
        *_risks(study),
        *_odds_ratios(study),
        *_risk_contrasts(study),
        *_coefficients(evidence),
        *_effect_ratios(study),
        *_effect_modification(study),
        *_measures(study, model),
    ]


def _coefficients(evidence: Evidences) -> Iterator[Estimand]:
    """Yield the coefficients that are reported, or could have been, and are no odds ratio of two regimens."""
    known: set[str] = set()
    for one in (own for of in evidence for own in of.coefficients):
        if one.is_ratio_of_regimens or one.label in known:
            continue
        known.add(one.label)
        yield Estimand(
            one.label, (), np.exp, null=1.0, log=True, claim=one.id, is_crude=one.is_crude
        )


def _effect_ratios(study: Study) -> Iterator[Estimand]:
    """Yield for each treatment its odds ratio with one partner over that with another.

    No model lets it differ between subgroups, so that it is asked in the first of them.
    """
    within = frozenset(study.groups[:1])
    for drug in study.treatment_ids:
        others = [other for other in study.treatment_ids if other != drug]
        for pair in combinations(others, 2):
            for part, one, two in product(*map(study.parts_of, (drug, *pair))):
                yield _effect_ratio(study, part, one, two, within)


def _effect_modification(study: Study) -> Iterator[Estimand]:
    """Yield for each treatment its odds ratio in one subgroup over that in another.

    Every model holds it the same on all backgrounds.
    """
    for drug in study.treatment_ids:
        background = spoken_background(study, drug)
        for other, one in combinations(study.groups, 2):
            yield _effect_ratio(study, drug, one, other, background)


def _effect_ratio(
    study: Study, part: str, one: str, other: str, beside: regimens.Regimen
) -> Estimand:
    """Ask for the odds ratio of a part with one thing over that with another."""
    sets = ({part, one}, {one}, {part, other}, {other})
    return Estimand(
        f"effect_ratio[{part}: {one} vs {other}]",
        tuple(study.label(beside | regimen) for regimen in sets),
        lambda r1, r2, r3, r4: odds(r1) * odds(r4) / (odds(r2) * odds(r3)),
        null=1.0,
        log=True,
    )


def spoken_background(study: Study, drug: str) -> regimens.Regimen:
    """Return the treatments beside which a drug's effect is counted at every level and in every subgroup.

    The fewest that do; none where the evidence has no such background.
    """
    others = [treatment for treatment in study.treatment_ids if treatment != drug]
    groups = [frozenset({group}) for group in study.groups] or [frozenset[str]()]
    for background in regimens.lattice(others):
        beside = [background | own for own in groups]
        wanted = {study.label(one) for one in beside}
        wanted |= {study.label(one | {part}) for one in beside for part in study.parts_of(drug)}
        if wanted <= set(study.counted):
            return background
    return frozenset()


def _risks(study: Study) -> Iterator[Estimand]:
    for arm in study.regimens:
        yield Estimand(f"risk[{arm}]", (arm,), lambda r: r, needs_risks=True)


def _compared(study: Study) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield every two regimens within one subgroup, the later one first, with their label."""
    for reference, arm in combinations(study.regimens, 2):
        group = regimens.group_of(arm)
        if group == regimens.group_of(reference):
            yield f"{arm.partition(regimens.WITHIN)[0]} vs {reference}", (arm, reference)


def _odds_ratios(study: Study) -> Iterator[Estimand]:
    for label, arms in _compared(study):
        yield Estimand(f"odds_ratio[{label}]", arms, _odds_ratio, null=1.0, log=True)


def _odds_ratio(r: Any, r0: Any) -> Any:
    return odds(r) / odds(r0)


def _risk_contrasts(study: Study) -> Iterator[Estimand]:
    """Yield contrasts of risks, which are means over covariates where odds ratios are conditional."""
    if study.is_case_control:
        return
    for label, arms in _compared(study):
        for name, of, null in CONTRASTS:
            if name != MARGINAL or study.is_adjusted:
                yield Estimand(
                    f"{name}[{label}]",
                    arms,
                    of,
                    null=null,
                    log=null == 1,
                    needs_risks=True,
                    is_repeated=True,
                )


DIFFERENCE, RATIO, MARGINAL = "risk_difference", "risk_ratio", "marginal_odds_ratio"
CONTRASTS: tuple[tuple[str, Callable[..., Any], float], ...] = (
    (DIFFERENCE, lambda r, r0: r - r0, 0.0),
    (RATIO, lambda r, r0: r / r0, 1.0),
    (MARGINAL, _odds_ratio, 1.0),
)
"""Contrasts of two risks, with their formula and null."""


def _measures(study: Study, model: Model) -> Iterator[Estimand]:
    scales: tuple[Scale, ...] = ("event",)
    if study.outcome.synergy_on == "non-event":
        scales = ("non-event", "event")
    for name, pair in study.judged_pairs.items():
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
    """Return the regimens 00, 10, 01, 11 of two parts on a background."""
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


def is_combination_ratio(estimand: Estimand, *, against_none: bool = True) -> bool:
    """Tell whether an estimand is the odds ratio of a regimen against itself less one part.

    Parameters
    ----------
    against_none
        Whether that may leave none at all.
    """
    is_ratio = name_of(estimand.label) == "odds_ratio" and len(estimand.arms) == 2
    return is_ratio and regimens.adds_one(*estimand.arms, against_none=against_none)


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


class Availability:
    """Tells which estimands the evidence itself determines.

    Parameters
    ----------
    waist
        Draws under `model`, whose regimens are those it can speak of.
    evidence
        What the study resolves to.
    """

    def __init__(self, study: Study, model: Model, waist: Waist, evidence: Evidences) -> None:
        self._study, self._model, self._waist, self._evidence = study, model, waist, evidence

    @cached_property
    def _determined(self) -> Determination:
        return Determination(self._study, point_of(self._study, self._waist), self._evidence)

    def of(self, estimand: Estimand) -> str:
        """Return the availability of an estimand.

        Returns
        -------
        str
            ``observed``, ``extrapolated``, ``fixed by the model``, ``implied by the model``, or
            ``undefined: `` and why.
        """
        if self._study.is_case_control and estimand.needs_risks:
            return NOT_IDENTIFIED
        missing = [a for a in estimand.arms if a not in self._waist.coords["arm"].values]
        if missing:
            return f"undefined: no patients in {', '.join(missing)}"
        if is_fixed(estimand, self._model):
            return FIXED
        if is_implied(estimand, self._model):
            return IMPLIED
        return self._determined.of(estimand)


def is_fixed(estimand: Estimand, model: Model) -> bool:
    """Tell whether the model holds an estimand at its null."""
    of_products = is_measure(estimand, "ror") or estimand.label.startswith("effect_ratio")
    return of_products and not model.has_products


def is_implied(estimand: Estimand, model: Model) -> bool:
    """Tell whether the model's lack of an interaction already answers a question of synergy."""
    return estimand.measure is not None and not model.has_products


class Determination:
    """Tells by rank what the evidence determines near a point, whatever the model.

    An estimand is *observed* where its gradient in the log-odds of all regimens, and in the sizes that
    totals leave open, lies in the row space of the evidence's Jacobian, *extrapolated* otherwise.
    """

    def __init__(self, study: Study, point: Point, evidence: Evidences) -> None:
        self._study, self._point, self._evidence = study, point, evidence

    @cached_property
    def _jacobian(self) -> NDArray[np.float64]:
        return jacobian(self._evidence, self._point)

    def of(self, estimand: Estimand) -> str:
        """Return ``observed`` or ``extrapolated``."""
        width = self._jacobian.shape[1]
        padded = [np.pad(row, (0, width - len(row))) for row in self._asked(estimand)]
        is_inside = all(in_row_space(row, self._jacobian) for row in padded)
        return OBSERVED if is_inside else EXTRAPOLATED

    def _asked(self, estimand: Estimand) -> Sequence[NDArray[np.float64]]:
        """Return the directions that the evidence must determine, each shape (regimen,) or with ways."""
        study, measure = self._study, estimand.measure
        if measure is not None and not measure.smooth:
            # Which of two regimens is the better one is known only where both are.
            return [np.array([float(r == a) for r in study.regimens]) for a in estimand.arms[1:]]
        if estimand.claim:
            return [self._coefficients[estimand.claim]]
        slope = gradient(estimand, study.regimens, self._point)
        if np.isnan(slope).any() and measure is not None:
            # A synergy index has no value here, but asks of the evidence what its sign asks.
            stand_in = on_measure(estimand, MEASURES[measure.sign_of])
            slope = gradient(stand_in, study.regimens, self._point)
        return [slope]

    @cached_property
    def _coefficients(self) -> dict[str, NDArray[np.float64]]:
        """Gradient of each reported coefficient, by its id."""
        blocks = [one.coefficient_jacobian(self._point) for one in self._evidence]
        ids = [own.id for one in self._evidence for own in one.coefficients]
        rows = np.vstack(stacked(blocks, len(self._study.regimens)))
        return dict(zip(ids, rows, strict=True))


def jacobian(evidence: Evidences, point: Point) -> NDArray[np.float64]:
    """Differentiate the expectation of all evidence in the log-odds of all regimens, and in sizes.

    Returns
    -------
    ndarray
        Rows of all evidence, shape (row, regimen + way): ways are those in which totals leave sizes open.
    """
    blocks = [one.jacobian(point) for one in evidence]
    return np.vstack(stacked(blocks, len(point.log_odds)))


def gradient(estimand: Estimand, arms: tuple[str, ...], point: Point) -> NDArray[np.float64]:
    """Differentiate an estimand in the conditional log-odds of each arm.

    Parameters
    ----------
    point
        With one log-odds for each of `arms`.

    Returns
    -------
    ndarray
        Shape (arm,); NaN where the estimand has no value.

    Notes
    -----
    By the complex step (Squire & Trapp, SIAM Rev 1998;40:110), exact to machine precision.
    """
    step = 1e-20
    moved = point.log_odds + 1j * step * np.eye(len(arms))
    sigma = point.sigma if estimand.needs_risks else None
    risks = averages(np, moved.ravel(), sigma).risk.reshape(moved.shape)
    return estimand.of(*(risks[:, arms.index(arm)] for arm in estimand.arms)).imag / step


def in_row_space(vector: NDArray[np.float64], rows: NDArray[np.float64]) -> bool:
    """Tell whether a vector is a combination of the rows of a matrix."""
    weights, *_ = np.linalg.lstsq(rows.T, vector, rcond=None)
    residual = np.linalg.norm(rows.T @ weights - vector)
    return bool(residual <= ROW_SPACE_TOLERANCE * max(np.linalg.norm(vector), 1e-300))


def point_of(study: Study, waist: Waist) -> Point:
    """Return the posterior mean; regimens the model is silent on get the mean of the others."""
    if _is_array(waist):
        return Point(_log_odds(study, waist))
    mean = {name: float(waist[name].mean()) for name in ("sigma",) if name in waist}
    dims = [dim for dim in ("chain", "draw") if dim in waist.dims]
    n = waist["size"].mean(dims).values if "size" in waist else None
    risk = waist[CONDITIONAL if CONDITIONAL in waist else "risk"]
    return Point(_log_odds(study, risk), mean.get("sigma"), n)


def _log_odds(study: Study, risk: xr.DataArray) -> NDArray[np.float64]:
    """Return the log-odds of the mean risk of all regimens, kept finite."""
    mean = risk.mean([dim for dim in risk.dims if dim != "arm"])
    filled = mean.reindex(arm=list(study.regimens), fill_value=float(mean.mean()))
    return logit(np.clip(filled.values, 1e-9, 1 - 1e-9))


# --- Probabilities ---------------------------------------------------------------------------------


def is_beyond_null(estimand: Estimand, waist: Waist) -> xr.DataArray:
    """Tell for each draw whether an estimand lies beyond its null.

    A synergy index has no value in some draws and takes the answer of the measure of its sign.

    Raises
    ------
    ValueError
        If the estimand has no null, as a risk.
    """
    null, measure = estimand.null, estimand.measure
    if null is None:
        raise ValueError(f"{estimand.label} has no null to lie beyond")
    if measure is not None and measure.sign_of:
        stand_in = MEASURES[measure.sign_of]
        estimand, null = on_measure(estimand, stand_in), stand_in.null
    return estimand.values(waist) > null


def judged_measures(
    study: Study, model: Model, waist: Waist, evidence: Evidences
) -> list[Estimand]:
    """List one measure of each family, pair and background that gets a probability."""
    available = Availability(study, model, waist, evidence)
    return [
        estimand
        for estimand in enumerate_estimands(study, model, evidence)
        if estimand.measure is not None
        and estimand.measure.name in REPRESENTATIVE.values()
        and estimand.is_judged
        and available.of(estimand) in (OBSERVED, EXTRAPOLATED)
    ]


def full_label(estimand: Estimand) -> str:
    """Name an estimand with its background."""
    return f"{estimand.label} on {estimand.background}" if estimand.background else estimand.label


def name_of(label: str) -> str:
    """Return the name before the bracket of an estimand's label: ``ror`` of ``ror[A:B]``."""
    return label.partition("[")[0]


def subject_of(label: str) -> str:
    """Return what stands between the brackets of an estimand's label: ``A:B`` of ``ror[A:B]``."""
    return label.partition("[")[2].partition("]")[0]
