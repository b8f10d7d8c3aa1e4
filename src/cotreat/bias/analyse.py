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
from cotreat.priors.prior import PriorSet
from cotreat.results import four_cells
from cotreat.results.headline import primary
from cotreat.results.summary import summarise
from cotreat.results.supplementary import Fits, OnProgress
from cotreat.study.study import Study

STEPS = {QUICK: 1, STANDARD: 2, FULL: 4}
"""Biases of a tipping-point surface on each side of none, by depth."""


def analyse_bias(
    study: Study,
    fits: Fits,
    priors: PriorSet,
    *,
    depth: str = STANDARD,
    seed: int,
    on_progress: OnProgress = lambda _: None,
) -> BiasAnalysis:
    """Analyse the sensitivity of a study's conclusions to unmeasured confounding.

    Parameters
    ----------
    study
        Under the interpretation of the primary analysis.
    fits
        Fits by model and interpretation. The primary model is fitted by Laplace's approximation where it is
        not among them.
    priors
        Prior set of the fits.
    depth
        ``quick``, ``standard`` or ``full``: the resolution of the tipping-point surface.
    seed
        Of fits.
    on_progress
        Called with lines of progress.

    Returns
    -------
    BiasAnalysis
        Without E-values and surfaces for a randomised study.
    """
    study = study.resolve(strata="")
    fit = _primary_fit(study, fits, priors, seed, on_progress)
    posterior = risk_draws_of(fit.posterior)
    summary = summarise(
        study,
        fit.model,
        fit.evidence,
        prior=risk_draws_of(fit.prior),
        posterior=posterior,
        likelihood=None,
        labels={
            "model": fit.model.name,
            "priors": priors.name,
            "interpretation": study.interpretation,
        },
    )
    tables = {}
    surfaces: list[Surface] = []
    is_unreliable = False
    if study.design != "randomised":
        on_progress(f"{study.id}: E-values")
        tables["e_values.csv"] = e_values.of_ratios(study, summary)
        on_progress(f"{study.id}: tipping points")
        surfaces, is_unreliable = unmeasured_confounding.surfaces(
            study, fit.model, priors, posterior, steps=STEPS[depth], seed=seed
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
        depth,
        seed,
        tuple(surfaces),
        tables,
        is_unreliable,
        tuple(checks.failures(checks.checks(fit))),
    )


def _primary_fit(
    study: Study, fits: Fits, priors: PriorSet, seed: int, on_progress: OnProgress
) -> Fit:
    """Return the fit of the primary model without strata, fitted now if there is none."""
    names = [name for name, interpretation in fits if interpretation == study.interpretation]
    names = [name for name in names if not described(name).strata]
    if names:
        name = primary(names)
        return sampling.fit_of(study, described(name), fits[name, study.interpretation], priors)
    name = primary(models_for(study, priors)[0])
    on_progress(f"{study.id}: {name} by Laplace's approximation")
    return sampling.fit_model(study, name, priors, engine="laplace", seed=seed)
