"""Declare the model whose log-odds are exchangeable across regimens, without a structure by treatment."""

import pytensor.tensor as pt

from cotreat.priors.declare import exchangeable
from cotreat.priors.prior import PriorSet
from cotreat.study.study import Study


def log_odds(study: Study, arms: tuple[str, ...], priors: PriorSet) -> pt.TensorVariable:
    """Declare the log-odds by arm, η_a ~ Normal(m, τ_arm), in the PyMC model in context.

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
    If the study file declares the baseline of a regimen of the cohort, m is the log-odds of this regimen.
    """
    declared = [at for at, arm in enumerate(arms) if study.baseline and arm in study.reference]
    return exchangeable(
        priors,
        "eta",
        mean="m",
        spread="tau_arm",
        dims="arm",
        count=len(arms),
        reference=declared[0] if declared else None,
    )
