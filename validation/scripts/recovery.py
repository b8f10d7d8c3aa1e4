"""Recover true values from the estimates that a paper would report of a cohort.

The true values of each cohort are a draw from the prior of the model `exchangeable` under the study file of the
flagship. The 793 patients are simulated individually and analysed as in the paper; the estimates are rounded to
two decimals, and these alone are reanalysed. results/recovery/table.csv contains one row per cohort and estimand,
with the 95 % interval and the true value; README.md summarises it.

The table is extended cohort by cohort, and an interrupted run resumes.
"""

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from cotreat.evidence.resolve import resolve
from cotreat.inference.sampling import prepare_jax
from cotreat.models.registry import Model, find_model
from cotreat.models.select import priors_for
from cotreat.priors import model_data

prepare_jax()  # before anything starts JAX

import arviz as az  # noqa: E402
import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import pymc as pm  # noqa: E402
import xarray as xr  # noqa: E402
from numpy.typing import NDArray  # noqa: E402
from pymc.sampling.jax import get_jaxified_graph  # noqa: E402
from scipy.special import logit, ndtri  # noqa: E402

from cotreat import load_study, parse_study  # noqa: E402
from cotreat.estimands.enumerate import enumerate_estimands  # noqa: E402
from cotreat.estimands.estimand import CONDITIONAL, RISK_VARIABLES, Estimand, code_of  # noqa: E402
from cotreat.estimands.identification import Identification  # noqa: E402
from cotreat.evidence.reported import estimates_of  # noqa: E402
from cotreat.inference.vectorise import in_jax  # noqa: E402
from cotreat.models.build import build, given_of, shape_of  # noqa: E402
from cotreat.priors.prior import PriorSet  # noqa: E402
from cotreat.priors.sets import prior_set  # noqa: E402
from cotreat.study.study import Study  # noqa: E402
from validation.scripts.compiled_nuts import compiled_chains, split  # noqa: E402
from validation.scripts.simulate_operator import (  # noqa: E402
    ARMS,
    REGRESSIONS,
    Configuration,
    analysed,
    patients_of,
)

Floats = NDArray[np.float64]

OUT = Path(__file__).parents[2] / "results" / "recovery"
COHORTS, MOST, SEED = 110, 200, 24
TRIES = 50
"""Draws of true values available per cohort, for cohorts that would not be reported."""
MODEL, PRIORS = "exchangeable", "weak"
DRAWS, TUNE, CHAINS, TARGET_ACCEPT = 1000, 500, 4, 0.95
RHAT = 1.01
APART = 1.1
"""R-hat above which chains are in different regions."""
LEVEL = 0.95

FEWEST = 5
"""Smallest number of events, and of non-events, of an arm whose odds ratio is reported."""
TOTALS = {"TAC": 244, "not TAC": 549}
FOUR = ("CYC", "MMF", "TAC+CYC", "TAC+MMF")
"""Arms of the reported combination odds ratios."""
REPORTED = (REGRESSIONS["tacrolimus"], REGRESSIONS["combinations"])
CLAIMS = {
    "tac": ('contrast = "TAC vs not TAC"', "tacrolimus"),
    "tac-cyc-vs-cyc": ('contrast = "TAC+CYC vs CYC"', "combinations"),
    "tac-mmf-vs-cyc": ('contrast = "TAC+MMF vs CYC"', "combinations"),
    "tac-cyc-vs-mmf": ('contrast = "TAC+CYC vs MMF"', "combinations"),
    "tac-mmf-vs-mmf": ('contrast = "TAC+MMF vs MMF"', "combinations"),
}
"""Contrast and regression of each reported estimate, by its id in the study file of the flagship."""
OBSERVED_RATIOS = (
    "odds_ratio[MMF vs CYC]",
    "odds_ratio[TAC+CYC vs CYC]",
    "odds_ratio[TAC+MMF vs CYC]",
    "odds_ratio[TAC+CYC vs MMF]",
    "odds_ratio[TAC+MMF vs MMF]",
    "odds_ratio[TAC+MMF vs TAC+CYC]",
    "odds_ratio[TAC vs not TAC]",
    "effect_ratio[TAC: CYC vs MMF]",
)
EXTRAPOLATED = ("risk[none]", "odds_ratio[TAC vs none]", "ror[TAC:CYC]", "ic[TAC:CYC]")
ASKED = (*OBSERVED_RATIOS, *EXTRAPOLATED)


# --- Truths ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Truth:
    """True values of a cohort.

    Attributes
    ----------
    risk, conditional : dict
        Risk by regimen, including no treatment: marginal over the prognostic score, and at its mean.
    n : tuple of int
        Patients by arm of `ARMS`.
    sigma : float
        SD of the latent prognostic score, on the log odds.
    loss : float
        Precision loss from covariate adjustment, relative.
    shifts : tuple of float
        Shift of the log odds ratios of each regression of `REPORTED`.
    """

    risk: dict[str, float]
    conditional: dict[str, float]
    n: tuple[int, ...]
    sigma: float
    loss: float
    shifts: tuple[float, ...]

    @property
    def configuration(self) -> Configuration:
        """Simulation settings, with the precision loss expressed by a further covariate.

        A covariate without effect whose mean is higher by `pull` SDs in patients on TAC widens the interval of
        TAC against not TAC by √(1 + p(1 − p) pull²), where p is the share of patients on TAC (the variance
        inflation factor of the covariate).
        """
        on = sum(n for n, arm in zip(self.n, ARMS, strict=True) if "TAC" in arm.split("+"))
        share = on / sum(self.n)
        pull = np.sqrt(((1 + self.loss) ** 2 - 1) / (share * (1 - share)))
        risks = tuple(self.conditional[arm] for arm in ARMS)
        return Configuration("", self.n, self.sigma, float(pull), risks)


def whole(sizes: Floats, total: int) -> NDArray[np.int64]:
    """Round arm sizes to whole patients with a given total and at least one patient per arm.

    Parameters
    ----------
    sizes
        Arm sizes with sum `total`, shape (arm,).
    total
        Number of patients.
    """
    floors = np.floor(sizes).astype(int)
    left = total - floors.sum()
    floors[np.argsort(floors - sizes)[:left]] += 1
    while (floors == 0).any():
        floors[floors.argmax()] -= 1
        floors[floors.argmin()] += 1
    return floors


def truths(count: int, seed: int, times: int = 1) -> list[Truth]:
    """Draw true values from the prior of the flagship under its default interpretation.

    Parameters
    ----------
    count
        Number of draws.
    seed
        Seed of the random numbers.
    times
        Size of the cohorts as a multiple of the flagship.
    """
    study = load_study("sun2024")
    model = find_model(MODEL, study)
    chosen = priors_for(prior_set(PRIORS, study), model, study)
    built = build(study, model, chosen)
    names = ["risk", CONDITIONAL, "size", "sigma", "loss"]
    with built:
        drawn = pm.sample_prior_predictive(
            count,
            random_seed=seed,
            var_names=names,
            compile_kwargs={"mode": "FAST_COMPILE"},  # compilation by numba takes many seconds
        )
    prior = drawn["prior"].to_dataset().isel(chain=0)
    assert study.present == ARMS  # noqa: S101 - sizes are matched to arms by position
    on = np.array(["TAC" in arm.split("+") for arm in ARMS])
    shift_sd = chosen["shift"].numbers()["sigma"]
    shifts = np.random.default_rng(seed).normal(0, shift_sd, (count, len(REPORTED)))
    drawn_truths = []
    for at in range(count):
        draw = prior.isel(draw=at)
        n = np.empty(len(ARMS), int)
        for side, total in zip((on, ~on), TOTALS.values(), strict=True):
            n[side] = whole(times * draw["size"].values[side], times * total)
        drawn_truths.append(
            Truth(
                dict(zip(draw["arm"].values, draw["risk"].values, strict=True)),
                dict(zip(draw["arm"].values, draw[CONDITIONAL].values, strict=True)),
                tuple(n.tolist()),
                float(draw["sigma"]),
                float(draw["loss"]),
                tuple(shifts[at].tolist()),
            )
        )
    return drawn_truths


def waist_at(truth: Truth, study: Study) -> xr.Dataset:
    """Return true values in the layout of risk draws.

    Parameters
    ----------
    truth
        True values.
    study
        A study with the reported estimates.

    Returns
    -------
    xarray.Dataset
        Marginal and conditional risks, dims (arm,), and log odds ratios, dims (reported_estimate,).
    """
    numbers = estimates_of(study)
    assert numbers is not None  # noqa: S101 - for the type checker: nothing is counted
    regimens = list(truth.risk)
    log_odds = logit([truth.conditional[arm] for arm in study.present])
    law = numbers.regressions.moments(np, log_odds, truth.sigma, np.array(truth.n, dtype=float))
    return xr.Dataset(
        {
            "risk": ("arm", list(truth.risk.values())),
            CONDITIONAL: ("arm", list(truth.conditional.values())),
            "log_ratio": ("reported_estimate", law.mean),
        },
        {
            "arm": regimens,
            "reported_estimate": [
                reported_estimate.id for reported_estimate in numbers.reported_estimates
            ],
        },
    )


# --- Reports ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Printing:
    """The report of a cohort.

    Attributes
    ----------
    total, on, events : int
        Patients, patients on TAC, and events.
    ratios : dict
        Odds ratio and limits of its 95 % interval, rounded to two decimals, by id of the reported estimate.
    """

    total: int
    on: int
    events: int
    ratios: dict[str, tuple[str, str, str]]


def print_cohort(truth: Truth, rng: np.random.Generator) -> Printing | None:
    """Simulate patients and report the estimates that the flagship reports.

    Parameters
    ----------
    truth
        True values.
    rng
        Random number generator.

    Returns
    -------
    Printing or None
        The report; None if an arm has too few events or an odds ratio is not finite or rounds to 0.
    """
    setting = truth.configuration
    cohort = patients_of(setting, 1, rng, rng)
    y = cohort[0][0]
    starts = np.concatenate([[0], np.cumsum(truth.n)[:-1]])
    events = np.add.reduceat(y, starts)
    four = np.isin(ARMS, FOUR)
    if np.minimum(events, np.array(truth.n) - events)[four].min() < FEWEST:
        return None
    try:
        estimates = list(analysed(setting, cohort, len(cohort) - 1, REPORTED))
    except np.linalg.LinAlgError:
        return None
    regression = {name: at for at, fitted in enumerate(REPORTED) for name in fitted.meant}
    ratios = {}
    for name, estimate, se in estimates:
        # The shift represents covariates of the regression that are not simulated.
        centre = estimate[0] + truth.shifts[regression[name]]
        ends = centre + np.array([0, -1, 1]) * ndtri(0.5 + LEVEL / 2) * se[0]
        ratios[name] = tuple(f"{ratio:.2f}" for ratio in np.exp(ends))
    numbers = np.array([[float(text) for text in row] for row in ratios.values()])
    if not np.isfinite(numbers).all() or numbers.min() <= 0:
        return None
    on = sum(n for n, arm in zip(truth.n, ARMS, strict=True) if "TAC" in arm.split("+"))
    return Printing(sum(truth.n), on, int(y.sum()), ratios)


STUDY = """
format = 1

[study]
id = "{id}"
title = "Simulated as the flagship"
design = "cohort"
source = "validation/scripts/recovery.py"
inclusion = "any(TAC, CYC, MMF)"

[outcome]
name = "response"
direction = "benefit"

[treatments]
TAC = {{ name = "tacrolimus" }}
CYC = {{ name = "cyclophosphamide" }}
MMF = {{ name = "mycophenolate mofetil" }}

[[totals]]
patients = "all"
n = {total}
events = {events}
source = "simulated"

[[totals]]
patients = "TAC"
n = {on}
source = "simulated"

[[totals]]
patients = "not TAC"
n = {off}
source = "simulated"
{reported_estimates}"""
CLAIM = """
[[reported]]
id = "{id}"
kind = "odds_ratio"
{meaning}
value = {value}
ci = [{lower}, {upper}]
adjusted = true
model = "{model}"
source = "simulated"
"""


def study_text(name: str, one: Printing) -> str:
    """Return the text of the study file of a reported cohort.

    Parameters
    ----------
    name
        Id of the study.
    one
        The report.
    """
    reported_estimates = "".join(
        CLAIM.format(
            id=reported_estimate,
            meaning=meaning,
            model=model,
            value=value,
            lower=lower,
            upper=upper,
        )
        for reported_estimate, (meaning, model) in CLAIMS.items()
        for value, lower, upper in [one.ratios[reported_estimate]]
    )
    off = one.total - one.on
    return STUDY.format(
        id=name,
        total=one.total,
        events=one.events,
        on=one.on,
        off=off,
        reported_estimates=reported_estimates,
    )


# --- Posteriors ------------------------------------------------------------------------------------


class Sampler:
    """NUTS for the model of all studies that report the same estimands.

    The reported estimates are arguments of the density, so that one compilation serves all cohorts.

    Parameters
    ----------
    first
        A study that reports the estimands.
    model
        Name of the model.
    """

    def __init__(self, first: Study, model: str = MODEL) -> None:
        self._model = model
        built, self._shape = build(*self._inputs(first)), shape_of(*self._inputs(first))
        inputs, (opened,) = model_data.opened(built, [built.logp()])
        self._given = list(inputs)
        self._start = built.initial_point()
        values = built.value_vars
        self._names = [value.name for value in values]
        self._density = in_jax([*values, *inputs.values()], [opened])
        parts = [built[name] for name in RISK_VARIABLES]
        risk_draws = get_jaxified_graph(inputs=values, outputs=built.replace_rvs_by_values(parts))
        self._risk_draws = jax.jit(jax.vmap(jax.vmap(lambda x: risk_draws(*self._split(x)))))
        dims = {name: built.named_vars_to_dims.get(name, ()) for name in RISK_VARIABLES}
        self._dims = {
            name: ("chain", "draw", *dims_of_variable) for name, dims_of_variable in dims.items()
        }
        named = {dim for dims_of_variable in dims.values() for dim in dims_of_variable}
        self._coords = {dim: list(built.coords[dim]) for dim in named}

    def _inputs(self, study: Study) -> tuple[Study, Model, PriorSet]:
        """Return the stratified study, the model and the priors."""
        model = find_model(self._model, study)
        stratified = study.resolve(strata=model.strata)
        return stratified, model, priors_for(prior_set(PRIORS, study), model, stratified)

    def data(self, study: Study) -> tuple[Any, ...]:
        """Return the reported estimates of a study as arguments of the density.

        Parameters
        ----------
        study
            A study that reports the same estimands.

        Raises
        ------
        ValueError
            If the density differs in more than the values of the reported estimates.
        """
        inputs = self._inputs(study)
        if shape_of(*inputs) != self._shape:
            raise ValueError(
                f"the density of {study.id} differs in more than the values of reported estimates"
            )
        numbers = given_of(*inputs)
        return tuple(jnp.asarray(numbers[name]) for name in self._given)

    @property
    def start(self) -> Floats:
        """Initial point of PyMC as one vector, shape (coordinate,)."""
        return np.concatenate([np.ravel(self._start[name]) for name in self._names])

    def _split(self, x: Any) -> list[Any]:
        """Split a vector into the arrays of the parameters."""
        return split(x, [np.shape(self._start[name]) for name in self._names])

    def log_density(self, x: Any, data: tuple[Any, ...]) -> Any:
        """Evaluate the log density at unconstrained parameters, shape (coordinate,), given data.

        Parameters
        ----------
        x
            Unconstrained parameters, shape (coordinate,).
        data
            Result of `data`.
        """
        return self._density(*self._split(x), *data)[0]

    @cached_property
    def _chains(self) -> Any:
        """Compiled NUTS of the density."""
        return compiled_chains(
            self.log_density, tune=TUNE, draws=DRAWS, target_accept=TARGET_ACCEPT
        )

    def sample(self, study: Study, seed: int) -> tuple[xr.Dataset, Floats, int]:
        """Sample the posterior of a study.

        Parameters
        ----------
        study
            A study that reports the same estimands.
        seed
            Seed of the sampler.

        Returns
        -------
        tuple
            Risk draws, dims (chain, draw, …); unconstrained parameters, shape (chain, draw, coordinate); and
            the number of divergences.
        """
        key, jitter = jax.random.split(jax.random.PRNGKey(seed))
        start = self.start + jax.random.uniform(jitter, (CHAINS, self.start.size), minval=-1.0)
        data = self.data(study)
        x, diverging = self._chains(jax.random.split(key, CHAINS), start, data)
        parts = {
            name: (self._dims[name], np.asarray(values))
            for name, values in zip(RISK_VARIABLES, self._risk_draws(x), strict=True)
        }
        return xr.Dataset(parts, self._coords), np.asarray(x), int(diverging.sum())


# --- A cohort --------------------------------------------------------------------------------------


def asked(study: Study) -> list[Estimand]:
    """Return the estimands of the table, in the order of `ASKED`.

    Parameters
    ----------
    study
        A reported study.
    """
    by_code: dict[str, Estimand] = {}
    for estimand in enumerate_estimands(study, find_model(MODEL, study), resolve(study)):
        # An interaction contrast has several co-treatments; the first is no other study drug.
        by_code.setdefault(_code(estimand), estimand)
    return [by_code[code] for code in ASKED]


def _code(estimand: Estimand) -> str:
    """Return the code of an estimand without its co-treatment."""
    return code_of(estimand.measure, estimand.contrast, estimand.pair, "", estimand.stratum)


def rows(
    study: Study, truth: Truth, posterior: tuple[xr.Dataset, Floats, int]
) -> Iterator[dict[str, Any]]:
    """Yield one row of the table per estimand: true value, posterior summary and diagnostics.

    Parameters
    ----------
    study
        The reported study.
    truth
        True values.
    posterior
        Result of `Sampler.sample`.
    """
    risk_draws, x, diverging = posterior
    risk_draws["risk"] = risk_draws["risk"].assign_attrs(risk_kind="implied")
    true = waist_at(truth, study)
    model = find_model(MODEL, study)
    draws = {e.code: e.values(risk_draws) for e in asked(study)}
    rhat = max(float(np.max(az.rhat(v))) for v in (x, *(d.values for d in draws.values())))
    ess = min(float(np.min(az.ess(v))) for v in (x, *(d.values for d in draws.values())))
    for estimand in asked(study):
        values = draws[estimand.code].values.ravel()
        value = float(estimand.values(true))
        lower, median, upper = np.quantile(values, [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2])
        yield {
            "estimand": _code(estimand),
            "status": Identification(study, model, risk_draws, resolve(study)).of(estimand).name,
            "truth": value,
            "estimate": median,
            "lower": lower,
            "upper": upper,
            "covered": int(lower <= value <= upper),
            "below": float(np.mean(values < value)),
            "sigma": truth.sigma,
            "loss": truth.loss,
            "max_rhat": rhat,
            "min_ess": ess,
            "divergences": diverging,
        }


def printed_cohort(store: list[Truth], rng: np.random.Generator) -> tuple[int, Truth, Printing]:
    """Return the first cohort that would be reported, with its true values.

    Parameters
    ----------
    store
        Draws of true values.
    rng
        Random number generator.

    Returns
    -------
    tuple
        Number of discarded cohorts, true values and report.

    Raises
    ------
    RuntimeError
        If none of the cohorts would be reported.
    """
    for tried, truth in enumerate(store):
        report = print_cohort(truth, rng)
        if report is not None:
            return tried, truth, report
    raise RuntimeError(f"none of {len(store)} cohorts would be reported")


def finished(table: Path) -> set[int]:
    """Return the complete cohorts of a table; delete rows of incomplete cohorts.

    Parameters
    ----------
    table
        Path of the table.
    """
    if not table.exists():
        return set()
    saved = pd.read_csv(table, dtype=str)
    is_whole = saved.groupby("cohort")["estimand"].transform("size") == len(ASKED)
    if not is_whole.all():
        saved[is_whole].to_csv(table, index=False)
    return set(saved.loc[is_whole, "cohort"].astype(int))


def run(cohorts: int, seed: int, table: Path) -> None:
    """Append the missing cohorts to a table.

    Parameters
    ----------
    cohorts
        Number of cohorts.
    seed
        Seed of the simulation.
    table
        Path of the table.
    """
    missing = sorted(set(range(cohorts)) - finished(table))
    if not missing:
        return
    stores = truths(MOST * TRIES, seed)
    sampler = None
    for at in missing:
        rng = np.random.default_rng([seed, at])
        tried, truth, report = printed_cohort(stores[at * TRIES : (at + 1) * TRIES], rng)
        study = parse_study(study_text(f"recovery-{at:03d}", report))
        sampler = sampler or Sampler(study)
        rows_of_cohort = pd.DataFrame(rows(study, truth, sampler.sample(study, at)))
        rows_of_cohort.insert(0, "cohort", at)
        rows_of_cohort.insert(1, "discarded", tried)
        rows_of_cohort.to_csv(
            table, mode="a", header=not table.exists(), index=False, float_format="%.6g"
        )
        held = rows_of_cohort["covered"][rows_of_cohort["estimand"].isin(OBSERVED_RATIOS)]
        print(
            study.id,
            f"covered {held.sum()}/{len(held)}",
            f"R-hat {rows_of_cohort['max_rhat'][0]:.3f}",
            f"ESS {rows_of_cohort['min_ess'][0]:.0f}",
            f"divergences {rows_of_cohort['divergences'][0]}",
            f"discarded {tried}",
            flush=True,
        )


# --- Results ---------------------------------------------------------------------------------------


def coverage(table: pd.DataFrame, estimands: Iterable[str]) -> tuple[float, float]:
    """Return the share of intervals that contain the true value, and its Monte Carlo standard error.

    The standard error is computed over cohorts, because the intervals of a cohort depend on the same patients.

    Parameters
    ----------
    table
        Rows of the table.
    estimands
        Codes of estimands to pool.
    """
    pooled = table[table["estimand"].isin(list(estimands))]
    holds = pooled["truth"].between(pooled["lower"], pooled["upper"])
    by_cohort = holds.groupby(pooled["cohort"]).mean()
    return float(by_cohort.mean()), float(by_cohort.std() / np.sqrt(len(by_cohort)))


def has_failed(table: pd.DataFrame) -> pd.Series:
    """Flag the rows of fits with an R-hat above `RHAT` or with divergences.

    Parameters
    ----------
    table
        Rows of the table.
    """
    return (table["max_rhat"] > RHAT) | (table["divergences"] > 0)


def _line(table: pd.DataFrame, words: str, estimands: Iterable[str]) -> str:
    """Format coverage, its error, and the shares of intervals too high and too low."""
    estimands = list(estimands)
    pooled = table[table["estimand"].isin(estimands)]
    share, error = coverage(pooled, estimands)
    under = (pooled["truth"] < pooled["lower"]).mean()
    over = (pooled["truth"] > pooled["upper"]).mean()
    return f"| {words} | {share:.1%} | {error:.1%} | {under:.1%} | {over:.1%} |"


def _halves(table: pd.DataFrame, by_cohort: pd.Series, words: str) -> Iterator[str]:
    """Yield the lines of cohorts below and above the median of a variable."""
    middle = by_cohort.median()
    low = table["cohort"].map(by_cohort < middle)
    yield _line(table[low], f"identified, {words} < {middle:.2f}", OBSERVED_RATIOS)
    yield _line(table[~low], f"identified, {words} ≥ {middle:.2f}", OBSERVED_RATIOS)


def page(table: pd.DataFrame) -> str:
    """Return the text of README.md from the rows of the table.

    Parameters
    ----------
    table
        Rows of the table.
    """
    first = table.groupby("cohort").first()
    failed = has_failed(table)
    sound = table[~failed]
    share, error = coverage(table, OBSERVED_RATIOS)
    without, without_error = coverage(sound, OBSERVED_RATIOS)
    outside, outside_error = coverage(table, EXTRAPOLATED)
    tried = int(first["discarded"].sum())
    lines = [
        _line(table, "**identified, pooled**", OBSERVED_RATIOS),
        *(_line(table, f"`{name}`", [name]) for name in OBSERVED_RATIOS),
        _line(table, "**not identified, pooled**", EXTRAPOLATED),
        *(_line(table, f"`{name}`", [name]) for name in EXTRAPOLATED),
        *_halves(table, first["loss"], "precision loss"),
        *_halves(table, first["sigma"], "σ"),
    ]
    return PAGE.format(
        cohorts=len(first),
        share=share,
        error=error,
        failed=int(has_failed(first).sum()),
        sound=int((~has_failed(first)).sum()),
        few=int((first["min_ess"] < 1000).sum()),
        rhat=RHAT,
        worst=first["max_rhat"].max(),
        diverging=int((first["divergences"] > 0).sum()),
        ess=first["min_ess"].min(),
        without=without,
        without_error=without_error,
        discarded=tried,
        discarded_share=tried / (tried + len(first)),
        fewest=FEWEST,
        gap=share - LEVEL,
        gaps=abs(share - LEVEL) / error,
        stuck=int((first["max_rhat"] > APART).sum()),
        apart=APART,
        unidentified=outside,
        unidentified_error=outside_error,
        draws=DRAWS,
        tune=TUNE,
        chains=CHAINS,
        accept=TARGET_ACCEPT,
        lines="\n".join(lines),
    )


PAGE = """# True values recovered from what a paper would report

Only the reported estimates of each simulated cohort are analysed here. [patients.md](patients.md) recovers true values
from individual patient data, and [dose.md](dose.md) the odds ratio of a dose that is not reported.

Made by `.venv/bin/python -m validation.scripts.recovery`; all rows are in `table.csv`. The run takes about 20 minutes
on one core, and resumes where it was stopped.

1. **True values.** They are a draw from the prior of `exchangeable` with the `weak` prior set under the default
   interpretation of `sun2024`: log-odds by regimen, σ of the prognostic score, arm sizes (rounded to whole
   patients, 244 on TAC and 549 not), `loss`, and a shift for each of the two regressions.
2. **Patients.** Each of 793 patients has a score u and responds with probability logistic(η + σu). The precision loss (`loss`) is
   due to a further covariate without effect, which is higher in patients on TAC and widens the interval of TAC
   against not TAC by 1 + loss. The other estimates lose less precision, because no covariate can widen all of them
   equally, as the model assumes. The shift stands for covariates that are not simulated, and is added to all log odds
   ratios of a regression.
3. **Reported estimates.** Logistic regressions on the patients, adjusted for u and the covariate, give TAC against not TAC
   and, in one regression, four odds ratios of CYC, MMF, TAC+CYC and TAC+MMF. They are reported with Wald 95 % intervals
   to two decimals, with the numbers of patients and the total number of events. No p-values are reported, because the
   default interpretation uses none.
4. **Reanalysis.** These numbers alone are reanalysed under the same model and prior set, with {chains} chains of {tune} + {draws}
   draws. NUTS samples the density of `cotreat.models.build.build` directly, at a target acceptance of {accept},
   because `fit` would compile it again for each cohort.

**Of the 95 % intervals of identified odds ratios, {without:.1%} contain the true value (Monte Carlo error
{without_error:.1%}, computed over cohorts) in the {sound} cohorts whose fits have no high R-hat and no divergence, and
{share:.1%} ({error:.1%}) in all {cohorts}, as in the table.** *Too high* and *too low* are the shares of intervals that lie entirely above and
below the true value. Odds ratios are conditional on the score, as reported.

| estimand | coverage | error | too high | too low |
|---|---|---|---|---|
{lines}

**Diagnostics.** {failed} of {cohorts} fits have an R-hat over {rhat} (the largest is {worst:.2f}) or divergences
({diverging} fits). The smallest effective sample size is {ess:.0f}; in {few} fits it is below 1,000, because chains are
short to allow many cohorts.

**Discarded: {discarded} cohorts, {discarded_share:.0%} of all drawn**, because one of the four reported arms had
fewer than {fewest} events or non-events, or because an odds ratio was not finite or was rounded to 0.00. No paper would
report these. The true values therefore follow the prior conditional on being reported (larger arms, more frequent
outcomes), and the reanalysis does not model this selection. Only without it, and with an exact sampling distribution of
the reported estimates, would coverage be 95 % by construction, for any prior.

Interpretation:

- *Calibration.* Pooled coverage differs from 95 % by {gap:+.1%}, or {gaps:.1f} Monte Carlo errors; no
  single estimand differs detectably from 95 % with so few cohorts. The approximations (normal errors of odds
  ratios of small arms, the slope of the score, one precision loss for all estimates, the selection) have no visible effect.
- *Intervals that are too wide because chains disagree.* R-hat is over {apart} in {stuck} fits, in which one or two chains
  stay in another region. Only cohort 25 was examined: in its region, TAC+MMF has about one
  patient, presumably because the distribution, which is of first order in the noise of the counts, then admits almost
  any interval. Its log density is about 19 below that of the other chains, so it should contain almost no
  draws, but it contains a quarter of them and widens the intervals. R-hat flags each such fit, and its numbers would not be
  used: `cotreat reanalyse` replaces the fit by sequential Monte Carlo.
- Intervals of estimands that are *not identified* contain the true value in {unidentified:.1%} ({unidentified_error:.1%}), but
  only because the true values are drawn from the prior that supplies what is not identified. This is no evidence for
  scenarios in which that prior is wrong; no true values were drawn from another prior.
"""


def main() -> None:
    """Recover the missing cohorts of table.csv, then write README.md."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--cohorts", type=int, default=COHORTS, help=f"at most {MOST}")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    if arguments.cohorts > MOST:
        parser.error(f"--cohorts: at most {MOST}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    table = arguments.out / "table.csv"
    run(arguments.cohorts, arguments.seed, table)
    (arguments.out / "README.md").write_text(page(pd.read_csv(table)), encoding="utf-8")


if __name__ == "__main__":
    main()
