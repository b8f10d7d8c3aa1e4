"""Worlds of which all is known: cohorts in the image of a study, whose treatments combine by a rule."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import expit

from cotreat import regimens
from cotreat.estimands import CONDITIONAL
from cotreat.evidence.regression import averages, centre
from cotreat.priors import prior_set
from cotreat.simulate import SimulationError, truth_of
from cotreat.study import Study

ADDITIVE, MULTIPLICATIVE, SYNERGISTIC = "additive", "multiplicative", "synergistic"
WORLDS = {
    ADDITIVE: "risks add: no interaction contrast",
    MULTIPLICATIVE: "odds ratios multiply: every ratio of odds ratios is 1",
    SYNERGISTIC: "odds ratios multiply, and the ratio of odds ratios of the first treatment and any other is 2",
}
"""How treatments combine, by name."""
RATIO = 2.0
"""Ratio of odds ratios of a synergistic pair."""


@dataclass(frozen=True)
class World:
    """What cohorts are drawn from.

    Attributes
    ----------
    log_odds : dict
        By regimen, that without treatment too, at the centre of the prognostic score.
    sizes : dict
        Patients by regimen that has some.
    sigma : float
        SD of the prognostic score, normal and independent of the regimen.
    """

    name: str
    log_odds: Mapping[str, float]
    sizes: Mapping[str, int]
    sigma: float

    @cached_property
    def risk(self) -> dict[str, float]:
        """Mean over patients, by regimen."""
        at = np.array(list(self.log_odds.values()))
        return dict(zip(self.log_odds, averages(np, at, self.sigma).risk.tolist(), strict=True))

    def truth(self, *, is_crude: bool) -> xr.Dataset:
        """Lay it out as estimands ask it: of a fit to counts, which knows no score, by mean risks alone."""
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
    return replace(study, divisions=(), division="")


def worlds(study: Study) -> Iterator[World]:
    """Make the worlds of `WORLDS` in the image of a study of printed numbers.

    Sizes and the odds of single treatments are such that what is printed comes out, as near the middle as
    may be; the odds without treatment are the middle of the ``weak`` prior.

    Raises
    ------
    SimulationError
        If the study prints no totals and odds ratios to be matched, or has no patients on some single
        treatment.
    """
    own = plain(study)
    patients = sum(total.n for total in own.totals if total.patients == "all")
    if not patients:
        raise SimulationError(
            f"{study.id} cannot be simulated: a cohort is made in the image of printed odds ratios and of the "
            'number of all patients, [[totals]] patients = "all"'
        )
    image = truth_of(own, patients)
    missing = [t for t in own.treatment_ids if t not in image.log_odds]
    if missing:
        raise SimulationError(f"{study.id} has no patients on {missing[0]} alone to be matched")
    none = float(prior_set("weak", own)["alpha"].numbers()["mu"])
    single = {t: image.log_odds[t] for t in own.treatment_ids}
    for name in WORLDS:
        log_odds = {
            label: _combined(name, none, single, regimens.taken(regimens.parse(label)), image.sigma)
            for label in own.regimens
        }
        yield World(name, log_odds, image.sizes, image.sigma)


def _combined(
    name: str, none: float, single: Mapping[str, float], on: frozenset[str], sigma: float
) -> float:
    """Return the log-odds of a regimen by the rule of a world.

    Parameters
    ----------
    none, single
        Log-odds without treatment, and of each treatment alone, the first one first.
    on
        Treatments of the regimen.
    """
    if name == ADDITIVE:
        at = np.array([none, *(single[t] for t in single if t in on)])
        base, *risks = averages(np, at, sigma).risk
        risk = base + sum(one - base for one in risks)
        if not 0 < risk < 1:
            raise SimulationError(
                f"risks cannot add: that of {'+'.join(on)} would be {risk:.2f}; the other worlds need no "
                "such sum"
            )
        return float(centre(np, np.array([risk]), sigma)[0])
    pairs = len(on) - 1 if next(iter(single)) in on else 0
    more = pairs * float(np.log(RATIO)) if name == SYNERGISTIC else 0.0
    return none + sum(single[t] - none for t in on) + more


def draw(world: World, rng: np.random.Generator) -> Cohort:
    """Draw the patients of a cohort."""
    regimen = np.repeat(np.arange(len(world.sizes)), list(world.sizes.values()))
    score = rng.normal(size=len(regimen))
    log_odds = np.array([world.log_odds[label] for label in world.sizes])[regimen]
    return Cohort(regimen, score, rng.binomial(1, expit(log_odds + world.sigma * score)))
