"""From a study, a model and priors to one PyMC model: evidence given arms given effects."""

from importlib import import_module

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from cotreat.evidence import arm_sizes, counts, patients, reported
from cotreat.evidence.logistic_operator import averages
from cotreat.models import confounding
from cotreat.models.registry import Model
from cotreat.priors.declare import numbers_of, state
from cotreat.priors.model_data import Given
from cotreat.priors.prior import PriorSet
from cotreat.study.study import Study


def build(study: Study, model: Model, priors: PriorSet) -> pm.Model:
    """State a model of a study.

    Parameters
    ----------
    study
        With its regimens told by what ``model.division`` says.
    priors
        A prior for every entry of ``model.parameters`` and of ``reported.parameters``. With the rows of
        `cotreat.priors.sets.BIAS` the evidence is about confounded log-odds, all that estimands read about
        those without confounding.

    Returns
    -------
    pymc.Model
        With the dims ``treatment``, ``pair``, ``arm`` (regimens the model can speak of) and
        ``counted`` (regimens with patients), and the deterministic ``risk`` by arm. With printed
        numbers as evidence also ``present`` (regimens of the cohort) with the deterministic
        ``size``, what `cotreat.evidence.reported.likelihood` makes, and, where they are adjusted,
        ``conditional_risk``: the risk at the centre of the prognostic score. With patients, what
        `cotreat.evidence.patients.likelihood` makes. With confounding also
        ``confounded_risk`` and ``confounded_conditional_risk``: the same as the evidence sees them.
    """
    arms = model.arms(study)
    numbers = reported.printed(study)
    coords = {
        "treatment": study.treatment_ids,
        "pair": study.pair_labels,
        "arm": arms,
        "counted": study.counted,
        **({"group": study.groups} if study.groups else {}),
        **{f"level_{treatment}": parts for treatment, parts in study.levels.items()},
        **({} if numbers is None else reported.coordinates(numbers)),
        **(patients.coordinates(study) if study.is_adjusted else {}),
    }
    effects = import_module(model.states)
    with pm.Model(coords=coords) as built:
        eta = effects.log_odds(study, arms, priors)
        seen = confounding.confounded(study, arms, eta, priors)
        if study.is_adjusted:
            patients.likelihood(study, arms, eta, priors, seen)
            return built
        sigma = None
        if numbers is not None and numbers.is_adjusted:
            sigma = state(priors, "sigma")
            confounding.tell("conditional_risk", pm.math.invlogit, eta, seen)
        confounding.tell("risk", lambda log_odds: averages(pt, log_odds, sigma).risk, eta, seen)
        if study.counted:
            counts.likelihood(study, arms, seen, sigma)
        if numbers is not None:
            _printed(numbers, arms, eta, seen, sigma, priors)
    return built


def given_of(study: Study, model: Model, priors: PriorSet) -> Given:
    """Return the numbers that `build` states as data, by name, without stating a model.

    There may be some more than the model needs.
    """
    numbers = reported.printed(study)
    known = {name: value for row in priors.rows for name, value in row.given().items()}
    if study.is_adjusted and study.cells is not None:
        return {**known, **patients.data(study.cells, model.arms(study))}
    if study.counted:
        known |= counts.data(study)
    return known if numbers is None else {**known, **reported.data(numbers)}


def shape_of(study: Study, model: Model, priors: PriorSet) -> str:
    """Describe all that the density of a model is made of besides the numbers that it is given.

    Models of one shape differ in `given_of` only, so that what is compiled for one serves for all.
    """
    numbers = reported.printed(study)
    sizes = {name: np.shape(value) for name, value in given_of(study, model, priors).items()}
    return repr(
        (
            model.name,
            [(row.variable, row.distribution) for row in priors.rows],
            (study.treatment_ids, study.pairs, study.levels, study.groups),
            (model.arms(study), study.counted, study.is_adjusted),
            study.cells and (study.cells.names, study.cells.clusters),
            sizes,
            numbers and reported.shape(numbers),
        )
    )


def _printed(
    numbers: reported.Printed,
    arms: tuple[str, ...],
    eta: pt.TensorVariable,
    seen: pt.TensorVariable,
    sigma: pt.TensorVariable | None,
    priors: PriorSet,
) -> None:
    loss = state(priors, "loss") if numbers.has_loss else None
    size = arm_sizes.state(numbers.sizes)
    pm.Deterministic("size", size, dims="present")
    shift = numbers_of(priors, "shift")["sigma"] if numbers.shifted.size else pt.zeros(())
    at = [arms.index(regimen) for regimen in numbers.study.present]
    unconfounded = None if seen is eta else eta[at]
    reported.likelihood(numbers, seen[at], sigma, loss, size, shift, unconfounded)
