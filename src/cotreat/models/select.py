"""Select the models that can be fitted to a study, and the priors that a model needs."""

from collections.abc import Sequence
from dataclasses import replace

from cotreat.core.errors import ModelError
from cotreat.evidence.protocol import parameters_of
from cotreat.evidence.resolve import resolve
from cotreat.models.registry import MODELS, Model, find_model, is_on_request
from cotreat.priors.belief_grid import EFFECTS, INTERACTIONS
from cotreat.priors.defaults import BIAS
from cotreat.priors.prior import PriorSet
from cotreat.study.study import Study


def priors_for(priors: PriorSet, model: Model, study: Study) -> PriorSet:
    """Return the priors that a model and the evidence of a study need.

    Parameters
    ----------
    priors
        Prior set.
    model
        Entry of the registry.
    study
        Study, stratified by ``model.strata``.

    Returns
    -------
    PriorSet
        The prior set without the rows of other variables.

    Raises
    ------
    ModelError
        If the set states a belief about effects or interactions and the model has no such parameter, or if it
        contains priors of unmeasured confounding and every treatment was assigned at random.
    """
    if study.is_randomised and any(row.variable in BIAS for row in priors.rows):
        raise ModelError(
            f"the prior set {priors.name!r} states unmeasured confounding, but {study.id} was "
            "randomised; use a set without bias_beta and bias_gamma"
        )
    for is_about, words, variables in (
        (priors.about_effects, "treatment effects", EFFECTS),
        (priors.about_interactions, "interactions", INTERACTIONS),
    ):
        if is_about and not set(variables) & set(model.parameters):
            raise ModelError(
                f"the prior set {priors.name!r} is a belief about {words}, but {model.name} has no such "
                "parameter; use weak"
            )
    needed = {*model.parameters, *parameters_of(resolve(study)), *BIAS}
    return replace(priors, rows=tuple(row for row in priors.rows if row.variable in needed))


def models_for(
    study: Study, priors: PriorSet, asked: Sequence[str] = ()
) -> tuple[list[str], dict[str, str]]:
    """Return the models that can be fitted to a study with a prior set, and the reasons against the others.

    Parameters
    ----------
    study
        The study.
    priors
        Prior set.
    asked
        Names of the requested models; without any, all models that do not need a request by name.

    Returns
    -------
    possible : list of str
        Names of the models that can be fitted.
    refused : dict of str
        Reason by name of each other model; empty if models are requested.

    Raises
    ------
    ModelError
        If a requested model cannot be fitted.
    """
    possible, refused = [], {}
    for name in dict.fromkeys(asked) or (name for name in MODELS if not is_on_request(name)):
        try:
            model = find_model(name, study)
            priors_for(priors, model, study.resolve(strata=model.strata))
            possible.append(model.name)
        except ModelError as error:
            if asked:
                raise
            refused[name] = str(error)
    return possible, refused
