"""Sensitivity analysis of a study: interpretations, models, priors, and the weight of the prior."""

import pandas as pd

from cotreat.diagnostics import checks
from cotreat.estimands.estimand import RISK, risk_draws_of
from cotreat.inference.record import Fit
from cotreat.inference.sampling import provenance
from cotreat.results.supplementary import MULTIVERSE, Task
from cotreat.sensitivity import (
    belief_grid,
    interpretations,
    multiverse,
    power_scaling,
    prior_predictive,
    reverse_bayes,
)
from cotreat.sensitivity.fits import Answers, plan_fits
from cotreat.sensitivity.records import (
    INTERPRETATION,
    MODEL,
    ONE_AT_A_TIME,
    PRIORS,
    SensitivityAnalysis,
)


def analyse_sensitivity(task: Task) -> SensitivityAnalysis:
    """Analyse the sensitivity of a study's conclusions to interpretations, models and priors.

    Parameters
    ----------
    task
        With depth ``quick``: the primary model under other priors, and the other models, without a grid.
        ``standard``: also every interpretation, and the belief × strength grid on effects and on interactions
        one at a time. ``full``: interpretations × models × priors and both grids crossed.

    Returns
    -------
    SensitivityAnalysis
    """
    study, answers = task.study, Answers.of(task)
    fit = answers.primary_fit()
    plan = plan_fits(answers)
    answers.fitted([*plan.multiverse, *plan.grid])  # all in one batch
    table = answers.table(plan.multiverse)
    tables = {
        MULTIVERSE: table,
        ONE_AT_A_TIME: multiverse.one_at_a_time(table, study, answers.base),
    }
    grid = belief_grid.table_of(answers.table(plan.grid), study) if plan.grid else pd.DataFrame()
    unreliable = belief_grid.unreliable(grid) if plan.grid else 0
    if unreliable < len(plan.grid):
        tables |= {"grid.csv": grid, "grid_ranges.csv": belief_grid.ranges(grid)}
    task.on_progress("power scaling, reverse Bayes, induced priors …")
    tables["power_scaling.csv"] = power_scaling.scaled(fit.draws, study, fit.model)
    if ratios := reverse_bayes.odds_ratios_of(study, fit.model):
        tables["critical.csv"] = reverse_bayes.critical(ratios)
    prior, posterior = (risk_draws_of(group) for group in (fit.prior, fit.posterior))
    estimands = prior_predictive.estimands_of(study, fit.model, posterior)
    tables["induced.csv"] = prior_predictive.table_of(estimands, prior, posterior)
    asked = {one.code for one in multiverse.estimands_asked(study, fit.model.name)}
    return SensitivityAnalysis(
        study,
        answers.base,
        str(provenance(fit.draws)["engine"]),
        task.depth,
        task.seed,
        answers.effective,
        plan.is_crossed,
        {name: _six_digits(one) for name, one in tables.items()},
        multiverse.with_scales(table),
        failed_checks=tuple(checks.failures(checks.checks(fit))),
        fits=table.drop_duplicates([INTERPRETATION, MODEL, PRIORS]),
        untried=tuple(
            (base.model, base.study.interpretation)
            for base in plan.base
            if plan.is_crossed and not answers.is_reliable(base) and multiverse.other_priors(base)
        ),
        incompatible=_incompatible(task, fit),
        grid_sets=len(plan.grid),
        grid_unreliable=unreliable,
        estimands=tuple(
            (one, status)
            for one, status in estimands
            if one.is_judged and (one.code in asked or one.measure == RISK)
        ),
        prior=prior,
        posterior=posterior,
    )


def _incompatible(task: Task, fit: Fit) -> tuple[str, ...]:
    """List the interpretations with which the other reported estimates are incompatible, under the primary model."""
    if task.incompatible is not None:
        return task.incompatible
    return interpretations.incompatible(task.study, fit.model.name, task.priors, task.seed)


def _six_digits(table: pd.DataFrame) -> pd.DataFrame:
    """Round to six digits: the others are Monte Carlo error."""
    numbers = table.select_dtypes("float").columns
    return table.assign(**{n: table[n].map(lambda v: float(f"{v:.6g}")) for n in numbers})
