"""Build the PyMC model of a study: treatment effects, log-odds by arm, likelihood of the evidence."""

from importlib import import_module

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from cotreat.evidence.logistic_operator import averages
from cotreat.evidence.protocol import SCORE, Evidences, Given, Predictor, parameters_of
from cotreat.evidence.resolve import resolve
from cotreat.models import confounding
from cotreat.models.registry import Model
from cotreat.priors.declare import state, state_risk
from cotreat.priors.defaults import BIAS
from cotreat.priors.prior import PriorSet
from cotreat.study.study import Study


def build(study: Study, model: Model, priors: PriorSet) -> pm.Model:
    """Build the PyMC model of a study.

    Parameters
    ----------
    study
        Study, stratified by ``model.strata``.
    model
        Entry of the registry.
    priors
        Priors of all ``model.parameters`` and of all parameters of the evidence. With priors of
        `cotreat.priors.defaults.BIAS` the likelihood refers to the confounded log-odds, and the estimands refer to
        the log-odds without confounding.

    Returns
    -------
    pymc.Model
        With the dimensions ``treatment``, ``pair``, ``arm`` (regimens whose risk the model estimates) and ``counted``
        (regimens with counted patients), the deterministic ``risk`` by arm, and the variables of the likelihood.
        If estimates are adjusted for unreported covariates, or patients have covariates, also with
        ``conditional_risk``: the risk at the centre of the latent prognostic score or of the covariates. With
        confounding also with ``confounded_risk`` and ``confounded_conditional_risk``, to which the likelihood refers.
    """
    arms, evidence = model.arms(study), resolve(study)
    effects = import_module(model.module_path)
    with pm.Model(coords=_coords(study, arms, evidence)) as built:
        eta = effects.log_odds(study, arms, priors)
        confounded = confounding.confounded(study, arms, eta, priors)
        is_adjusted = SCORE in parameters_of(evidence)
        predictor = Predictor(arms, eta, confounded, state(priors, SCORE) if is_adjusted else None)
        if not any(piece.standardises for piece in evidence):
            sigma = predictor.sigma
            if sigma is not None:
                state_risk("conditional_risk", pm.math.invlogit, eta, confounded)
            state_risk("risk", lambda at: averages(pt, at, sigma).risk, eta, confounded)
        for piece in evidence:
            piece.likelihood(predictor, priors)
    return built


def _coords(study: Study, arms: tuple[str, ...], evidence: Evidences) -> dict[str, object]:
    """Return the labels of each dimension of the PyMC model."""
    shared = {
        "treatment": study.treatment_ids,
        "pair": study.pair_labels,
        "not_randomised": study.not_randomised,
        "confounded_pair": [f"{a}:{b}" for a, b in study.confounded_pairs],
        "arm": arms,
        "counted": study.counted,
        **({"group": study.groups} if study.groups else {}),
        **{f"level_{treatment}": parts for treatment, parts in study.levels.items()},
    }
    return {**shared, **{dim: of for piece in evidence for dim, of in piece.coords().items()}}


def given_of(study: Study, model: Model, priors: PriorSet) -> Given:
    """Return the data of the PyMC model of a study, without building it.

    Parameters
    ----------
    study
        Study, stratified by ``model.strata``.
    model
        Entry of the registry.
    priors
        Prior set.

    Returns
    -------
    dict
        Values by name; it may contain more names than the model has data.
    """
    arms = model.arms(study)
    of_priors = {name: value for row in priors.rows for name, value in row.given().items()}
    return {**of_priors, **{n: v for piece in resolve(study) for n, v in piece.data(arms).items()}}


def shape_of(study: Study, model: Model, priors: PriorSet) -> str:
    """Return the structure of the PyMC model of a study: everything that determines its density except its data.

    Models with the same structure differ only in `given_of`, so one compiled density serves all of them.

    Parameters
    ----------
    study
        Study, stratified by ``model.strata``.
    model
        Entry of the registry.
    priors
        Prior set.

    Returns
    -------
    str
        Models with equal strings share a compiled density.
    """
    sizes = {name: np.shape(value) for name, value in given_of(study, model, priors).items()}
    return repr(
        (
            model.name,
            [(row.variable, row.distribution) for row in priors.rows],
            (study.treatment_ids, study.pairs, study.levels, study.groups),
            study.randomised if any(name in priors for name in BIAS) else (),
            (model.arms(study), study.counted, study.reference),
            sizes,
            [piece.shape() for piece in resolve(study)],
        )
    )
