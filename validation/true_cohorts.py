"""Define data-generating scenarios calibrated to a study, with a known rule of combination of treatments."""

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
from cotreat.study.study import Baseline, Study
from validation.simulate import SIGMA, SimulationError, solved, whole_sizes

ADDITIVE, MULTIPLICATIVE, SYNERGISTIC = "additive", "multiplicative", "synergistic"
RARE, COMMON = "rare", "common"
TYPICAL = Baseline(0.05, 0.40, "most outcomes that trials study")
"""Prior of the risk without treatment if the study file does not declare it."""
RATIO = 2.0
"""True ratio of odds ratios of a synergistic pair."""


@dataclass(frozen=True)
class Rule:
    """Rule by which treatments combine.

    Attributes
    ----------
    words : str
        Description of the rule.
    measure : str
        Measure of synergy whose true value the rule determines.
    ratio : float
        Ratio of odds ratios of the first treatment and any other treatment; all other ratios are 1.
    none : float
        Log odds without treatment, in SDs of its prior from the prior mean.
    """

    words: str
    measure: str = "ror"
    ratio: float = 1.0
    none: float = 0.0


SCENARIOS = {
    MULTIPLICATIVE: Rule("odds ratios multiply"),
    f"{MULTIPLICATIVE}, {RARE} without": Rule(
        "as above, with log odds without treatment one prior SD below the prior mean",
        none=-1.0,
    ),
    f"{MULTIPLICATIVE}, {COMMON} without": Rule(
        "as above, with log odds without treatment one prior SD above the prior mean", none=1.0
    ),
    ADDITIVE: Rule("risks add", "ic"),
    SYNERGISTIC: Rule(
        "odds ratios multiply, but the ratio of odds ratios of the first treatment and any other is 2",
        ratio=RATIO,
    ),
}
"""Rules of combination, by scenario."""


@dataclass(frozen=True)
class Scenario:
    """A data-generating scenario.

    Attributes
    ----------
    name : str
        Name of the scenario.
    measure : str
        Measure of synergy whose true value the rule determines.
    log_odds : dict
        Log odds at the mean of the latent prognostic score, by regimen, including no treatment.
    sizes : dict
        Number of patients by regimen, for regimens with patients.
    sigma : float
        SD of the latent prognostic score, which is normal and independent of the regimen.
    """

    name: str
    measure: str
    log_odds: Mapping[str, float]
    sizes: Mapping[str, int]
    sigma: float

    @cached_property
    def risk(self) -> dict[str, float]:
        """Marginal risk, averaged over the prognostic score, by regimen."""
        at = np.array(list(self.log_odds.values()))
        return dict(zip(self.log_odds, averages(np, at, self.sigma).risk.tolist(), strict=True))

    def truth(self, *, is_crude: bool) -> xr.Dataset:
        """Return the true risks in the layout of risk draws.

        Parameters
        ----------
        is_crude
            Whether the fit has no prognostic score; conditional risks are then marginal risks.

        Returns
        -------
        xarray.Dataset
            Marginal and conditional risks, dims (arm,).
        """
        at = self.risk.values() if is_crude else expit(list(self.log_odds.values()))
        return xr.Dataset(
            {"risk": ("arm", list(self.risk.values())), CONDITIONAL: ("arm", list(at))},
            {"arm": list(self.log_odds)},
        )


@dataclass(frozen=True)
class Cohort:
    """Patients of a simulated cohort.

    Attributes
    ----------
    regimen : ndarray of int, shape (patient,)
        Index among the regimens with patients.
    score : ndarray, shape (patient,)
        Latent prognostic score, standard normal.
    event : ndarray of int, shape (patient,)
        1 with the event, 0 without.
    """

    regimen: NDArray[np.int64]
    score: NDArray[np.float64]
    event: NDArray[np.int64]


def plain(study: Study) -> Study:
    """Return a study without levels and subgroups, and without the estimates reported for them.

    Parameters
    ----------
    study
        A study.
    """
    return replace(study, stratifications=(), strata="")


def scenarios(study: Study) -> Iterator[Scenario]:
    """Yield the data-generating scenarios of `SCENARIOS`, calibrated to a study with reported estimates.

    Under each rule, the odds of single treatments and the arm sizes are calibrated to the reported estimates as
    closely as the rule allows. A scenario with a risk outside 0 to 1 is omitted.

    Parameters
    ----------
    study
        A study with reported estimates.

    Yields
    ------
    Scenario
        A scenario.

    Raises
    ------
    SimulationError
        If the study does not report odds ratios and totals that do not overlap, or samples cases and controls.
    """
    if study.is_case_control:
        raise SimulationError(
            f"{study.id} cannot be simulated: its cases and controls were sampled"
        )
    unstratified = plain(study)
    patients = sum(total.n for total in unstratified.totals if total.patients == "all")
    if not patients:
        raise SimulationError(
            f"{study.id} cannot be simulated: a cohort is calibrated to reported odds ratios and to the "
            'number of all patients, [[totals]] patients = "all"'
        )
    for name, rule in SCENARIOS.items():
        scenario = _scenario(unstratified, name, rule, patients)
        if all(np.isfinite(list(scenario.log_odds.values()))):
            yield scenario


def _scenario(study: Study, name: str, rule: Rule, patients: int) -> Scenario:
    """Calibrate a scenario to a study under a rule of combination."""
    declared = study.baseline if study.baseline and not study.baseline.regimen else TYPICAL
    prior = prior_set("weak", replace(study, baseline=declared))["alpha"].numbers()
    none = float(prior["mu"] + rule.none * prior["sigma"])
    # Synergy against a harmful event is a lower probability of the event.
    ratio = rule.ratio if study.outcome.synergy_on == "event" else 1 / rule.ratio
    taken = [regimens.taken(regimens.parse(label)) for label in study.regimens]
    on = np.array([[t in treatments for t in study.treatment_ids] for treatments in taken])
    pairs = np.where(on[:, 0], on.sum(1) - 1, 0)
    at_present = [study.regimens.index(label) for label in study.present]

    def every(single: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the log odds of all regimens, given those of single treatments."""
        if rule.measure == "ic":
            base, *risks = averages(np, np.array([none, *single]), SIGMA).risk
            risk = base + on @ (np.array(risks) - base)
            return centre(np, np.where((risk > 0) & (risk < 1), risk, np.nan), SIGMA)
        return none + on @ (single - none) + pairs * np.log(ratio)

    def present(single: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.nan_to_num(every(single)[at_present], nan=FAR)

    single, n = solved(study, present, np.full(len(study.treatment_ids), none))
    sizes = whole_sizes(study, n, patients)
    return Scenario(
        name,
        rule.measure,
        dict(zip(study.regimens, every(single).tolist(), strict=True)),
        dict(zip(study.present, sizes.tolist(), strict=True)),
        SIGMA,
    )


FAR = -8.0
"""Log odds that replace those of an inadmissible risk: far from every reported estimate."""


def draw(scenario: Scenario, rng: np.random.Generator) -> Cohort:
    """Draw a cohort of patients from a scenario.

    Parameters
    ----------
    scenario
        The scenario.
    rng
        Random number generator.
    """
    regimen = np.repeat(np.arange(len(scenario.sizes)), list(scenario.sizes.values()))
    score = rng.normal(size=len(regimen))
    log_odds = np.array([scenario.log_odds[label] for label in scenario.sizes])[regimen]
    return Cohort(regimen, score, rng.binomial(1, expit(log_odds + scenario.sigma * score)))
