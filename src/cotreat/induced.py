"""What a prior says of risks, and of all that is asked of them, before any evidence."""

from collections.abc import Mapping

import numpy as np
import pymc as pm
import pytensor
import xarray as xr
from pymc.pytensorf import find_rng_nodes, reseed_rngs
from pytensor.graph.replace import clone_replace

from cotreat import given, vectorised
from cotreat.catalogue import Model
from cotreat.estimands import CONDITIONAL
from cotreat.model import build
from cotreat.priors import PriorSet
from cotreat.study import Study
from cotreat.vectorised import untraced

DRAWS = 4000
READ = ("risk", CONDITIONAL)


class Induced:
    """Prior draws of the risks under a model, compiled once for any numbers of its priors.

    The same random numbers serve all of them, so that what differs between two prior sets is the sets.

    Parameters
    ----------
    study
        Under any of its readings: no prior depends on them.
    priors
        With the distributions, if not the numbers, of all that are asked about.
    """

    def __init__(
        self, study: Study, model: Model, priors: PriorSet, *, draws: int = DRAWS, seed: int
    ) -> None:
        built = build(study, model, priors.only(model, study))
        self._built, self._study = built, study
        self._names = [name for name in READ if name in built.named_vars]
        with untraced():
            many = vectorised.enlarged(built, draws)
            self._inputs, drawn = given.opened(built, list(many.values()))
            reseed_rngs(find_rng_nodes(drawn), seed)
            # Not PyMC's own: its functions take other random numbers at each call.
            self._draw = pytensor.function(
                list(self._inputs.values()), drawn, mode="FAST_COMPILE", on_unused_input="ignore"
            )
            values = {rv: rv.type(rv.name) for rv in many}
            outputs = clone_replace([built[name] for name in self._names], replace=values)
            self._function = vectorised.function_of_draws(
                vectorised.in_jax(list(values.values()), outputs)
            )

    def waist(self, priors: PriorSet) -> xr.Dataset:
        """Return draws of the risks by chain (one), draw and arm under other numbers."""
        known = _numbers(self._built, priors)
        drawn = self._draw(*(known[name] for name in self._inputs))
        values = [np.asarray(value) for value in self._function(*drawn)]
        waist = vectorised.labelled(
            self._built, dict(zip(self._names, values, strict=True)), chains=1
        )
        risk = waist["risk"].assign_attrs(risk_kind=self._study.risk_kind)
        return waist.assign(risk=risk)


def _numbers(built: pm.Model, priors: PriorSet) -> Mapping[str, object]:
    """Return the data of a model with the numbers of a prior set in the place of its own."""
    own = {variable.name: variable.get_value() for variable in built.data_vars}
    return own | {name: v for row in priors.rows for name, v in row.given().items()}
