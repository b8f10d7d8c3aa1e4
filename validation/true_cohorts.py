"""Worlds of which all is known: cohorts in the image of a study, whose treatments combine by a rule."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import expit

from cotreat.estimands.estimand import CONDITIONAL
from cotreat.evidence.logistic_operator import averages, centre
from cotreat.priors.sets import prior_set
from cotreat.study import regimens
from cotreat.study.study import Study
from validation.simulate import SIGMA, SimulationError, solved, whole_sizes

ADDITIVE, MULTIPLICATIVE, SYNERGISTIC = "additive", "multiplicative", "synergistic"
RARE, COMMON = "rare", "common"
RATIO = 2.0
"""Ratio of odds ratios of a synergistic pair."""


@dataclass(frozen=True)
class Rule:
    """How treatments combine.

    Attributes
    ----------
    measure : str
        The measure of synergy whose truth the rule fixes.
    ratio : float
        Of odds ratios, of the first treatment and any other; all others are 1.
    none : float
        The log-odds without treatment, in SDs of its ``weak`` prior from the middle of that.
    """

    words: str
    measure: str = "ror"
    ratio: float = 1.0
    none: float = 0.0


WORLDS = {
    MULTIPLICATIVE: Rule("odds ratios multiply"),
    f"{MULTIPLICATIVE}, {RARE} without": Rule(
        "the same, and the odds without treatment lie an SD of their prior below its middle",
        none=-1.0,
    ),
    f"{MULTIPLICATIVE}, {COMMON} without": Rule("the same, and they lie an SD above it", none=1.0),
    ADDITIVE: Rule("risks add", "ic"),
    SYNERGISTIC: Rule(
        "odds ratios multiply, but the ratio of odds ratios of the first treatment and any other is 2",
        ratio=RATIO,
    ),
}
"""How treatments combine, by name."""


@dataclass(frozen=True)
class World:
    """What cohorts are drawn from.

    Attributes
    ----------
    measure : str
        Whose truth its rule fixes.
    log_odds : dict
        By regimen, that without treatment too, at the centre of the prognostic score.
    sizes : dict
        Patients by regimen that has some.
    sigma : float
        SD of the prognostic score, normal and independent of the regimen.
    """

    name: str
    measure: str
    log_odds: Mapping[str, float]
    sizes: Mapping[str, int]
    sigma: float

    @cached_property
    def risk(self) -> dict[str, float]:
        """Mean over patients, by regimen."""
        at = np.array(list(self.log_odds.values()))
        return dict(zip(self.log_odds, averages(np, at, self.sigma).risk.tolist(), strict=True))

    def truth(self, *, is_crude: bool) -> xr.Dataset:
        """Lay it out as estimands ask it: of a fit that knows no score, by mean risks alone."""
        at = self.risk.values() if is_crude else expit(list(self.log_odds.values()))
        return xr.Dataset(
            {"risk": ("arm", list(self.risk.values())), CONDITIONAL: ("arm", list(at))},
            {"arm": list(self.log_odds)},
        )


@dataclass(frozen=True)
class Cohort:
    """Patients of a world: place of their regimen among those that have patients, score and outcome."""

    regimen: NDArray[np.int64]
    score: NDArray[np.float64]
    event: NDArray[np.int64]


def plain(study: Study) -> Study:
    """Return a study without levels and subgroups, and without what is printed of those."""
    return replace(study, stratifications=(), strata="")


def worlds(study: Study) -> Iterator[World]:
    """Make the worlds of `WORLDS` in the image of a study of printed numbers.

    Under each rule the odds of single treatments, and the sizes, are those that make what is printed, as near
    as the rule lets them. A world whose risks would have to leave 0 to 1 is left out.

    Raises
    ------
    SimulationError
        If the study prints no totals and odds ratios to be matched, or samples cases and controls.
    """
    if study.is_case_control:
        raise SimulationError(
            f"{study.id} cannot be simulated: its cases and controls were sampled"
        )
    own = plain(study)
    patients = sum(total.n for total in own.totals if total.patients == "all")
    if not patients:
        raise SimulationError(
            f"{study.id} cannot be simulated: a cohort is made in the image of printed odds ratios and of the "
            'number of all patients, [[totals]] patients = "all"'
        )
    for name, rule in WORLDS.items():
        world = _world(own, name, rule, patients)
        if all(np.isfinite(list(world.log_odds.values()))):
            yield world


def _world(study: Study, name: str, rule: Rule, patients: int) -> World:
    prior = prior_set("weak", study)["alpha"].numbers()
    none = float(prior["mu"] + rule.none * prior["sigma"])
    # Synergy of a harm is a larger chance to escape it.
    ratio = rule.ratio if study.outcome.synergy_on == "event" else 1 / rule.ratio
    taken = [regimens.taken(regimens.parse(label)) for label in study.regimens]
    on = np.array([[t in own for t in study.treatment_ids] for own in taken])
    pairs = np.where(on[:, 0], on.sum(1) - 1, 0)
    at_present = [study.regimens.index(label) for label in study.present]

    def every(single: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the log-odds of all regimens, of those of single treatments."""
        if rule.measure == "ic":
            base, *risks = averages(np, np.array([none, *single]), SIGMA).risk
            risk = base + on @ (np.array(risks) - base)
            return centre(np, np.where((risk > 0) & (risk < 1), risk, np.nan), SIGMA)
        return none + on @ (single - none) + pairs * np.log(ratio)

    def present(single: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.nan_to_num(every(single)[at_present], nan=FAR)

    single, n = solved(study, present, np.full(len(study.treatment_ids), none))
    sizes = whole_sizes(study, n, patients)
    return World(
        name,
        rule.measure,
        dict(zip(study.regimens, every(single).tolist(), strict=True)),
        dict(zip(study.present, sizes.tolist(), strict=True)),
        SIGMA,
    )


FAR = -8.0
"""Log-odds in place of those of a risk that cannot be: far from anything that is printed."""


def draw(world: World, rng: np.random.Generator) -> Cohort:
    """Draw the patients of a cohort."""
    regimen = np.repeat(np.arange(len(world.sizes)), list(world.sizes.values()))
    score = rng.normal(size=len(regimen))
    log_odds = np.array([world.log_odds[label] for label in world.sizes])[regimen]
    return Cohort(regimen, score, rng.binomial(1, expit(log_odds + world.sigma * score)))
