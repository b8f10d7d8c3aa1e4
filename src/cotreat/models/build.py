"""From a study, a model and priors to one PyMC model: evidence given arms given effects."""

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
from cotreat.priors.prior import PriorSet
from cotreat.study.study import Study


def build(study: Study, model: Model, priors: PriorSet) -> pm.Model:
    """State a model of a study.

    Parameters
    ----------
    study
        With its regimens told by what ``model.division`` says.
    priors
        A prior for every entry of ``model.parameters`` and of the parameters of the evidence. With the rows
        of `cotreat.priors.sets.BIAS` the evidence is about confounded log-odds, all that estimands read
        about those without confounding.

    Returns
    -------
    pymc.Model
        With the dims ``treatment``, ``pair``, ``arm`` (regimens the model can speak of) and
        ``counted`` (regimens with patients), the deterministic ``risk`` by arm, and what the likelihood of
        each piece of evidence makes. Where estimates are adjusted for covariates nobody can see, or patients
        have covariates, also ``conditional_risk``: the risk at the centre of the prognostic score, or of the
        covariates. With confounding also ``confounded_risk`` and ``confounded_conditional_risk``: the same as
        the evidence sees them.
    """
    arms, evidence = model.arms(study), resolve(study)
    effects = import_module(model.states)
    with pm.Model(coords=_coords(study, arms, evidence)) as built:
        eta = effects.log_odds(study, arms, priors)
        seen = confounding.confounded(study, arms, eta, priors)
        is_adjusted = SCORE in parameters_of(evidence)
        predictor = Predictor(arms, eta, seen, state(priors, SCORE) if is_adjusted else None)
        if not any(one.standardises for one in evidence):
            _state_risks(predictor)
        for one in evidence:
            one.likelihood(predictor, priors)
    return built


def _coords(study: Study, arms: tuple[str, ...], evidence: Evidences) -> dict[str, object]:
    own = {
        "treatment": study.treatment_ids,
        "pair": study.pair_labels,
        "arm": arms,
        "counted": study.counted,
        **({"group": study.groups} if study.groups else {}),
        **{f"level_{treatment}": parts for treatment, parts in study.levels.items()},
    }
    return {**own, **{dim: of for one in evidence for dim, of in one.coords().items()}}


def _state_risks(predictor: Predictor) -> None:
    """State the risks by arm as means over the latent prognostic score, if there is one."""
    eta, seen, sigma = predictor.log_odds, predictor.seen, predictor.sigma
    if sigma is not None:
        state_risk("conditional_risk", pm.math.invlogit, eta, seen)
    state_risk("risk", lambda log_odds: averages(pt, log_odds, sigma).risk, eta, seen)


def given_of(study: Study, model: Model, priors: PriorSet) -> Given:
    """Return the numbers that `build` states as data, by name, without stating a model.

    There may be some more than the model needs.
    """
    arms = model.arms(study)
    known = {name: value for row in priors.rows for name, value in row.given().items()}
    return {**known, **{n: v for one in resolve(study) for n, v in one.data(arms).items()}}


def shape_of(study: Study, model: Model, priors: PriorSet) -> str:
    """Describe all that the density of a model is made of besides the numbers that it is given.

    Models of one shape differ in `given_of` only, so that what is compiled for one serves for all.
    """
    sizes = {name: np.shape(value) for name, value in given_of(study, model, priors).items()}
    return repr(
        (
            model.name,
            [(row.variable, row.distribution) for row in priors.rows],
            (study.treatment_ids, study.pairs, study.levels, study.groups),
            (model.arms(study), study.counted),
            sizes,
            [one.shape() for one in resolve(study)],
        )
    )
