"""Analysis of bias: E-values, plausible confounding, tipping points."""

from cotreat.bias import e_values, unmeasured_confounding
from cotreat.bias.records import BiasAnalysis, Surface
from cotreat.core.constants import FULL, QUICK, STANDARD
from cotreat.diagnostics import checks
from cotreat.estimands.estimand import risk_draws_of
from cotreat.inference import sampling
from cotreat.inference.record import Fit
from cotreat.models.registry import described
from cotreat.models.select import models_for
from cotreat.priors.defaults import BIAS
from cotreat.results import four_cells
from cotreat.results.headline import primary
from cotreat.results.summary import summary_of
from cotreat.results.supplementary import Task
from cotreat.study.study import Study

STEPS = {QUICK: 1, STANDARD: 2, FULL: 4}
"""Biases of a tipping-point surface on each side of none, by depth."""


def analyse_bias(task: Task) -> BiasAnalysis:
    """Analyse the sensitivity of a study's conclusions to unmeasured confounding.

    Parameters
    ----------
    task
        Its depth sets the resolution of the tipping-point surface. The primary model is fitted by Laplace's
        approximation unless it has a fit.

    Returns
    -------
    BiasAnalysis
        Without E-values and surfaces where every treatment was assigned at random.
    """
    study, priors = task.study.resolve(strata=""), task.priors
    fit = _primary_fit(study, task)
    posterior = risk_draws_of(fit.posterior)
    summary = summary_of(fit)
    tables = {}
    surfaces: list[Surface] = []
    is_unreliable = False
    if not study.is_randomised:
        task.on_progress(f"{study.id}: E-values")
        tables["e_values.csv"] = e_values.of_ratios(study, summary)
        task.on_progress(f"{study.id}: tipping points")
        surfaces, is_unreliable = unmeasured_confounding.surfaces(
            study, fit.model, priors, posterior, steps=STEPS[task.depth], seed=task.seed
        )
    if surfaces:
        tables["confounding.csv"] = unmeasured_confounding.allowed_table(surfaces)
        tables["tipping.csv"] = unmeasured_confounding.grid_table(surfaces)
        tables["tipping_points.csv"] = unmeasured_confounding.points_table(surfaces)
        rows = unmeasured_confounding.with_confounding(priors).table()
        tables["confounding_priors.csv"] = rows[rows.variable.isin(BIAS)]
    tables["four_cells.csv"] = four_cells.long_table(four_cells.tables(study, summary))
    return BiasAnalysis(
        study,
        fit.model.name,
        priors.name,
        str(sampling.provenance(fit.draws)["engine"]),
        task.depth,
        task.seed,
        tuple(surfaces),
        tables,
        is_unreliable,
        tuple(checks.failures(checks.checks(fit))),
    )


def _primary_fit(study: Study, task: Task) -> Fit:
    """Return the fit of the primary model without strata, fitted now if there is none."""
    fits = [name for name, interpretation in task.fits if interpretation == study.interpretation]
    names = [name for name in fits if not described(name).strata]
    if names:
        name = primary(names)
        draws = task.fits[name, study.interpretation]
        return sampling.fit_of(study, described(name), draws, task.priors)
    name = primary(models_for(study, task.priors)[0])
    task.on_progress(f"{study.id}: {name} by Laplace's approximation")
    return sampling.fit_model(study, name, task.priors, engine="laplace", seed=task.seed)
