"""Declare the model with monotone effects of ordered treatment levels."""

from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
from numpy.typing import NDArray

from cotreat.priors.declare import state
from cotreat.priors.prior import PriorSet
from cotreat.study.study import Study


def log_odds(study: Study, arms: tuple[str, ...], priors: PriorSet) -> pt.TensorVariable:
    """Declare the log-odds by arm, with the dose x_d in [0, 1] of treatment d, in the PyMC model in context.

    Parameters
    ----------
    study
        The study, under an interpretation and a stratification.
    arms
        Regimens whose risk the model estimates.
    priors
        Priors of the parameters of the model.

    Returns
    -------
    TensorVariable
        η by arm, shape (arm,).

    Notes
    -----
    x_d increases from 0 without the treatment to 1 at the highest level; its increments are a Dirichlet simplex
    (Bürkner & Charpentier, Br J Math Stat Psychol 2020;73:420). The product terms contain the same x_d, so the
    odds are monotone in the level with every co-treatment. The intercept α is the mean log-odds of the regimens of
    `cotreat.study.study.Study.reference` if the levels of a treatment are equally spaced.
    """
    alpha, beta = state(priors, "alpha"), state(priors, "beta", dims="treatment")
    gamma = state(priors, "gamma", dims="pair")
    x = {t: _dose(study, arms, t, priors) for t in study.treatment_ids}
    at_centre = {t: _spaced(study, t) for t in study.treatment_ids}
    singles = [x[t] - at_centre[t].mean() for t in study.treatment_ids]
    pairs = [x[a] * x[b] - (at_centre[a] * at_centre[b]).mean() for a, b in study.pairs]
    return alpha + pt.stack(singles, axis=1) @ beta + pt.stack(pairs, axis=1) @ gamma


def _spaced(study: Study, treatment: str) -> NDArray[np.float64]:
    """Return the dose of equally spaced levels in the regimens of the reference, shape (regimen,)."""
    return study.ranks(study.reference, treatment) / len(study.parts_of(treatment))


def _dose(study: Study, arms: tuple[str, ...], treatment: str, priors: PriorSet) -> Any:
    """Declare the dose x by arm, shape (arm,); it is 0 or 1 for a treatment without levels."""
    at = study.ranks(arms, treatment)
    levels = study.levels.get(treatment)
    if levels is None:
        return pt.as_tensor(at.astype(float))
    concentration = np.ones(len(levels))
    variable = f"{priors['simplex'].variable}_{treatment}"
    steps = pm.Dirichlet(variable, concentration, dims=f"level_{treatment}")
    return pt.concatenate([pt.zeros(1), pt.cumsum(steps)])[at]
