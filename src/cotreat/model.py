"""From a study, a model and priors to one PyMC model: evidence given arms given effects."""

from importlib import import_module

import pymc as pm

from cotreat.catalogue import Model
from cotreat.evidence import counts
from cotreat.priors import PriorSet
from cotreat.study import Study


def build(study: Study, model: Model, priors: PriorSet) -> pm.Model:
    """State a model of a study.

    Parameters
    ----------
    priors
        A prior for every entry of ``model.parameters``.

    Returns
    -------
    pymc.Model
        With the dims ``treatment``, ``pair``, ``arm`` (regimens the model can speak of) and
        ``counted`` (regimens with patients), and the deterministic ``risk`` by arm.
    """
    arms = model.arms(study)
    coords = {
        "treatment": study.treatment_ids,
        "pair": study.pair_labels,
        "arm": arms,
        "counted": study.counted,
    }
    effects = import_module(f"cotreat.effects.{model.name}")
    with pm.Model(coords=coords) as built:
        eta = effects.log_odds(study, arms, priors)
        pm.Deterministic("risk", pm.math.invlogit(eta), dims="arm")
        counts.likelihood(study, arms, eta)
    return built
