"""One table of every estimand: posterior and maximum likelihood in the same columns."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from cotreat import estimands
from cotreat.catalogue import Model
from cotreat.estimands import Estimand, Waist, enumerate_estimands, is_beyond_null
from cotreat.frequentist import Likelihood
from cotreat.intervals import intervals
from cotreat.names import (
    CREDIBLE,
    FIXED,
    GIVEN_NONE,
    IMPLIED,
    INTERVAL,
    SUMMARY_COLUMNS,
    is_undefined,
)
from cotreat.study import Study

POSTERIOR = "posterior"
LIKELIHOOD = "maximum likelihood"
MAX_UNDEFINED = 0.01
"""Share of undefined draws from which on a synergy index gets no estimate."""

Row = dict[str, Any]


def name_of(label: str) -> str:
    """Return the name before the bracket of an estimand's label: ``ror`` of ``ror[A:B]``."""
    return label.partition("[")[0]


def subject_of(label: str) -> str:
    """Return what stands between the brackets of an estimand's label: ``A:B`` of ``ror[A:B]``."""
    return label.partition("[")[2].partition("]")[0]


def summarise(
    study: Study,
    model: Model,
    *,
    prior: xr.DataArray,
    posterior: xr.DataArray,
    likelihood: Likelihood,
    labels: dict[str, str],
    thresholds: Sequence[float] = (),
) -> pd.DataFrame:
    """Answer every estimand by posterior and by maximum likelihood.

    Parameters
    ----------
    prior, posterior
        Draws of ``risk``, dims (chain, draw, arm).
    likelihood
        The same model without priors.
    labels
        ``model``, ``priors`` and ``reading``, repeated in each row.
    thresholds
        Odds ratios for which P(odds ratio > threshold) is wanted besides P(odds ratio > 1).

    Returns
    -------
    pandas.DataFrame
        One row for each estimand, scale, background and interval, with the columns of
        `cotreat.names.SUMMARY_COLUMNS`. Estimates of the posterior are medians; undefined ones are
        missing, and ``availability`` says why.
    """
    rows: list[Row] = []
    for estimand in enumerate_estimands(study, model):
        rows += _posterior_rows(estimand, study, model, prior, posterior, thresholds)
        rows += _likelihood_rows(estimand, likelihood)
    table = pd.DataFrame(rows).assign(study=study.id, **labels)
    return table[list(SUMMARY_COLUMNS)]


def _row(estimand: Estimand, estimator: str, risk_kind: str, availability: str) -> Row:
    return {
        "estimator": estimator,
        "estimand": estimand.label,
        "background": estimand.background,
        "scale": estimand.scale,
        "risk_kind": risk_kind,
        "availability": availability,
        "estimate": np.nan,
        "lower": np.nan,
        "upper": np.nan,
        "interval": "",
        "probability": np.nan,
        "prior_probability": np.nan,
        "contraction": np.nan,
    }


# --- Posterior -----------------------------------------------------------------------------------


def _posterior_rows(
    estimand: Estimand,
    study: Study,
    model: Model,
    prior: Waist,
    posterior: Waist,
    thresholds: Sequence[float],
) -> Iterator[Row]:
    available = estimands.availability(estimand, study, model, posterior)
    row = _row(estimand, POSTERIOR, estimand.risk_kind(posterior), available)
    if is_undefined(available):
        yield row
        return
    if available == FIXED:
        yield {**row, "estimate": estimand.null}
        return
    before, after = _draws(estimand, prior), _draws(estimand, posterior)
    if available == IMPLIED:
        yield {**row, **_interval(after, GIVEN_NONE)}
        return
    yield {
        **row,
        **_interval(after),
        **_probability(estimand, prior, posterior),
        "contraction": _contraction(estimand, before, after),
    }
    if estimand.label.startswith("odds_ratio"):
        for threshold in thresholds:
            yield {
                **row,
                "estimand": f"{estimand.label} > {threshold:g}",
                "probability": float(np.mean(after > threshold)),
                "prior_probability": float(np.mean(before > threshold)),
            }


def _draws(estimand: Estimand, risk: Waist) -> NDArray[np.float64]:
    return estimand.values(risk).values.ravel()


def _interval(draws: NDArray[np.float64], label: str = CREDIBLE) -> Row:
    undefined = float(np.isnan(draws).mean())
    if undefined >= MAX_UNDEFINED:
        return {"interval": f"not shown: undefined in {undefined:.0%} of draws"}
    tail = (1 - INTERVAL) / 2
    lower, median, upper = np.nanquantile(draws, [tail, 0.5, 1 - tail])
    return {"estimate": median, "lower": lower, "upper": upper, "interval": label}


def _probability(estimand: Estimand, prior: Waist, posterior: Waist) -> Row:
    if estimand.null is None or not estimand.is_judged:
        return {}
    return {
        "probability": float(is_beyond_null(estimand, posterior).mean()),
        "prior_probability": float(is_beyond_null(estimand, prior).mean()),
    }


def _contraction(
    estimand: Estimand, before: NDArray[np.float64], after: NDArray[np.float64]
) -> float:
    if estimand.measure is not None and estimand.measure.sign_of:
        return np.nan
    if estimand.log:
        before, after = np.log(before), np.log(after)
    return float(1 - (_iqr(after) / _iqr(before)) ** 2)


def _iqr(draws: NDArray[np.float64]) -> float:
    lower, upper = np.quantile(draws, [0.25, 0.75])
    return float(upper - lower)


# --- Maximum likelihood ---------------------------------------------------------------------------


def _likelihood_rows(estimand: Estimand, likelihood: Likelihood) -> Iterator[Row]:
    available = likelihood.availability(estimand)
    row = _row(estimand, LIKELIHOOD, likelihood.risk.attrs["risk_kind"], available)
    if is_undefined(available):
        yield row
        return
    row["estimate"] = likelihood.estimate(estimand)
    if available == FIXED:
        yield row
        return
    for interval in intervals(likelihood, estimand):
        yield {**row, "lower": interval.lower, "upper": interval.upper, "interval": interval.label}
