"""Induced priors: the prior distribution of risks and of all estimands."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytensor
import xarray as xr
from pymc.pytensorf import find_rng_nodes, reseed_rngs
from pytensor.graph.replace import clone_replace

from cotreat.core.constants import INTERVAL
from cotreat.estimands.enumerate import enumerate_estimands
from cotreat.estimands.estimand import CONDITIONAL, Estimand, RiskDraws, is_beyond_null
from cotreat.estimands.identification import Identification, Status, asked
from cotreat.evidence.resolve import resolve
from cotreat.inference import vectorise
from cotreat.inference.vectorise import untraced
from cotreat.models.build import build
from cotreat.models.registry import Model
from cotreat.models.select import priors_for
from cotreat.priors import model_data
from cotreat.priors.prior import PriorSet
from cotreat.results.summary import MAX_UNDEFINED
from cotreat.study.study import Study

DRAWS = 4000
RISKS = ("risk", CONDITIONAL)
SUREST = 1 - 2.0**-53
"""Largest risk below 1: under a prior of SD 5 some draws round to 1."""


class Induced:
    """Prior draws of the risks under a model, compiled once for all parameters of its priors.

    All prior sets use the same random numbers, so that only the sets differ.

    Parameters
    ----------
    study
        Under any interpretation: no prior depends on it.
    model
        The model.
    priors
        With the distributions, though not the parameters, of all sets to be drawn.
    draws
        Number of draws.
    seed
        Of the draws.
    """

    def __init__(
        self, study: Study, model: Model, priors: PriorSet, *, draws: int = DRAWS, seed: int
    ) -> None:
        built = build(study, model, priors_for(priors, model, study))
        self._built, self._study = built, study
        self._names = [name for name in RISKS if name in built.named_vars]
        with untraced():
            many = vectorise.enlarged(built, draws)
            self._inputs, drawn = model_data.opened(built, list(many.values()))
            reseed_rngs(find_rng_nodes(drawn), seed)
            # Functions of PyMC would draw other random numbers at each call.
            self._draw = pytensor.function(
                list(self._inputs.values()), drawn, mode="FAST_COMPILE", on_unused_input="ignore"
            )
            values = {rv: rv.type(rv.name) for rv in many}
            outputs = clone_replace([built[name] for name in self._names], replace=values)
            self._function = vectorise.function_of_draws(
                vectorise.in_jax(list(values.values()), outputs)
            )

    def risk_draws(self, priors: PriorSet) -> xr.Dataset:
        """Return draws of the risks by chain (one), draw and arm under a prior set.

        Parameters
        ----------
        priors
            With the distributions of the set that was compiled.

        Returns
        -------
        xarray.Dataset
        """
        data = {variable.name: variable.get_value() for variable in self._built.data_vars}
        data |= {name: value for row in priors.rows for name, value in row.given().items()}
        drawn = self._draw(*(data[name] for name in self._inputs))
        values = [np.asarray(value) for value in self._function(*drawn)]
        risk_draws = vectorise.labelled(
            self._built, dict(zip(self._names, values, strict=True)), chains=1
        )
        return with_odds(risk_draws, self._study)


def with_odds(risk_draws: xr.Dataset, study: Study) -> xr.Dataset:
    """Clip risks below 1, so that all have odds, and set the attribute ``risk_kind``.

    Parameters
    ----------
    risk_draws
        Draws of the risks.
    study
        With the kind of its risks.

    Returns
    -------
    xarray.Dataset
    """
    known = {name: risk_draws[name].clip(max=SUREST) for name in RISKS if name in risk_draws}
    known["risk"] = known["risk"].assign_attrs(risk_kind=study.risk_kind)
    return risk_draws.assign(known)


def estimands_of(
    study: Study, model: Model, risk_draws: RiskDraws
) -> list[tuple[Estimand, Status]]:
    """List the estimands that have a posterior distribution, with their identification.

    Parameters
    ----------
    study, model
        Of the fit.
    risk_draws
        Its posterior draws of the risks.

    Returns
    -------
    list of (Estimand, Status)
    """
    evidence = resolve(study)
    identification = Identification(study, model, risk_draws, evidence)
    every = ((one, identification.of(one)) for one in enumerate_estimands(study, model, evidence))
    return [(one, status) for one, status in every if status.has_draws]


def table_of(
    estimands: Sequence[tuple[Estimand, Status]], prior: RiskDraws, posterior: RiskDraws
) -> pd.DataFrame:
    """Return median and interval of estimands, and P(beyond null), before and after the evidence.

    Parameters
    ----------
    estimands
        What `estimands_of` returns.
    prior, posterior
        Draws of the risks.

    Returns
    -------
    pandas.DataFrame
        One row per estimand.
    """
    rows, tail = [], (1 - INTERVAL) / 2
    for one, status in estimands:
        row: dict[str, object] = dict(asked(one, status))
        has_probability = one.null is not None and one.is_judged and status.is_open
        for name, risk_draws in (("prior", prior), ("posterior", posterior)):
            draws, numbers = one.values(risk_draws).values, [np.nan] * 3
            # Limits and median are NaN where too many draws of a synergy index are undefined.
            if np.isnan(draws).mean() < MAX_UNDEFINED:
                numbers = np.nanquantile(draws, [tail, 0.5, 1 - tail]).tolist()
            lower, middle, upper = numbers
            row |= {name: middle, f"{name} lower": lower, f"{name} upper": upper}
            if has_probability:
                row[f"{name} probability"] = float(is_beyond_null(one, risk_draws).mean())
        rows.append(row)
    return pd.DataFrame(rows)
