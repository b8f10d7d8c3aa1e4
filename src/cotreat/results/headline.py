"""Build the headline table."""

from typing import Any

import numpy as np
import pandas as pd

from cotreat.core.constants import (
    ANY,
    IDENTIFIED,
    NOT_ESTIMABLE,
    WEAK,
    WEAK_BELOW,
)
from cotreat.estimands.estimand import (
    DIFFERENCE,
    MARGINAL,
    NEEDED,
    ODDS_RATIO,
    RATIO,
    RISK,
    SIZE,
)
from cotreat.estimands.identification import Status
from cotreat.estimands.measures import MEASURES, representatives
from cotreat.models.registry import rank
from cotreat.results.monte_carlo import digits, share
from cotreat.results.summary import LIKELIHOOD, PENALISED, POSTERIOR, PRIOR, REPORTED
from cotreat.study.regimens import NONE, adds_one
from cotreat.study.study import NO_RISKS

REPEATED = (DIFFERENCE, RATIO, MARGINAL, NEEDED)
"""Contrasts of risks, which lie above their null where a listed odds ratio does."""
KEYS = ["label", "judged_on"]
"""Columns that identify an estimand of a summary."""

IDENTIFICATION = "identification"
PROBABILITY = "P(ratio > 1) or P(synergy)"
PRIOR_PROBABILITY = "prior P"
"""Headings: identification of the row, and its probabilities, P(OR > 1) of an odds ratio and P(synergy) of a
measure of interaction."""
POSTERIOR_95, LIKELIHOOD_95 = "posterior (95% credible)", "maximum likelihood (95%)"
REPORTED_95, PRIOR_95 = "reported (95%)", "prior (95%)"
ESTIMAND, JUDGED_ON = "estimand", "judged on"
OVERLAP, DATA_SHARE = "prior–posterior overlap", "data share"
"""Headings: overlap of prior and posterior, and share of the posterior precision that comes from the data."""
PROBABILITIES = [PROBABILITY, PRIOR_PROBABILITY, OVERLAP, DATA_SHARE]
HEADINGS = [ESTIMAND, JUDGED_ON, POSTERIOR_95, LIKELIHOOD_95, *PROBABILITIES, IDENTIFICATION]
REPORTED_HEADINGS = [ESTIMAND, IDENTIFICATION, POSTERIOR_95, REPORTED_95, PRIOR_95, *PROBABILITIES]
"""Columns of the headline table, without and with reported estimates."""

NUMBERS = ["estimate", "lower", "upper"]
PRIOR_ERROR = 0.5 / 20_000**0.5
"""Largest Monte Carlo error of a prior probability, from the 20,000 prior draws of a fit."""
OTHERS = {"_ml": LIKELIHOOD, "_penalised": PENALISED, "_prior": PRIOR, "_reported": REPORTED}
"""Estimators shown with the posterior, by the suffix of their columns."""


def primary(models: list[str]) -> str:
    """Return the model of the primary analysis.

    Parameters
    ----------
    models
        Names of the fitted models.

    Returns
    -------
    str
        The name that comes first in the order of `cotreat.models.registry.rank`.
    """
    return min(models, key=rank)


# --- The headline table ----------------------------------------------------------------------------


def headline(summary: pd.DataFrame) -> pd.DataFrame:
    """Build the headline table of a summary: its main odds ratios and one measure per scale.

    The odds ratios compare with the first regimen with patients, or a combination with itself less one
    treatment, or have a threshold. With reported estimates the table holds all ratios that they identify,
    then the measures with no other study drug, which they do not identify, with prior and posterior.

    Parameters
    ----------
    summary
        What `cotreat.results.summary.summarise` returns.

    Returns
    -------
    pandas.DataFrame
        One row for each estimand, all cells text.
    """
    has_reported = bool((summary.estimator == REPORTED).any())
    posterior = summary[summary.estimator == POSTERIOR]
    rows = _of_reported(posterior) if has_reported else posterior[_is_headline(posterior)]
    for suffix, estimator in OTHERS.items():
        other = summary[summary.estimator == estimator].drop_duplicates(KEYS)
        columns = other[[*KEYS, *NUMBERS, "status"]]
        rows = rows.merge(columns, on=KEYS, how="left", suffixes=("", suffix))
    if not has_reported:
        # Of a measure judged on event and non-event the first is shown; of the ratio of odds ratios both,
        # because the reported one is of the event.
        rows = rows[~rows.duplicated(["label"]) | (rows.measure == "ror")]
    headings = REPORTED_HEADINGS if has_reported else HEADINGS
    return pd.DataFrame([_headline_row(row) for row in rows.itertuples()], columns=headings)


def _of_reported(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the ratios that are identified or have a threshold, then the measures with no other study drug."""
    rows = rows[rows.measure != SIZE]
    alone = (rows.co_treatment == ANY) | ((rows.co_treatment == NONE) & (rows.stratum == ""))
    # Models of levels and subgroups are fitted for the sets that are not reported.
    is_set = rows.contrast.str.contains(" vs not ", regex=False)
    is_ratio = ~rows.measure.isin([*MEASURES, RISK, *REPEATED])
    is_ratio &= (rows.status == IDENTIFIED) | is_set
    is_ratio |= rows.threshold.notna()
    is_measure = rows.measure.isin(representatives().values()) & alone & rows.probability.notna()
    return pd.concat([rows[is_ratio], rows[is_measure & ~is_ratio]])


def _is_headline(summary: pd.DataFrame) -> pd.Series:
    """Return for each row whether it is a measure, or a contrast of the headline."""
    risks = summary[summary.measure == RISK]
    # In a case-control study, or matched sets, no risk is identified, but counted odds ratios are.
    identified = risks[(risks.status == IDENTIFIED) | risks.reason.isin(NO_RISKS)]
    first = (identified if len(identified) else risks).iloc[0]
    is_measure = summary.measure.isin({*representatives().values(), "hsa"})
    sides = summary.contrast.str.partition(" vs ")
    is_first = (sides[2] == first.contrast) & (summary.stratum == first.stratum)
    adds = [
        bool(less) and adds_one(arm, less, against_none=False)
        for arm, less in zip(sides[0], sides[2], strict=True)
    ]
    is_shown = is_first | (pd.Series(adds, summary.index) & (summary.stratum == ""))
    is_shown |= summary.threshold.notna()
    return is_measure | ((summary.measure == ODDS_RATIO) & is_shown)


def _headline_row(row: Any) -> dict[str, str]:
    return {
        ESTIMAND: row.label,
        JUDGED_ON: row.judged_on,
        POSTERIOR_95: numbers(row),
        LIKELIHOOD_95: _likelihood(row),
        REPORTED_95: numbers(row, "_reported"),
        PRIOR_95: numbers(row, "_prior"),
        PROBABILITY: share(row.probability, row.mcse_probability),
        PRIOR_PROBABILITY: prior_share(row.prior_probability),
        OVERLAP: _two_decimals(row.overlap),
        DATA_SHARE: _two_decimals(row.data_share),
        IDENTIFICATION: identification(row),
    }


def prior_share(probability: float) -> str:
    """Write a prior probability without the digits that are Monte Carlo noise.

    Parameters
    ----------
    probability
        A probability; missing for none.

    Returns
    -------
    str
        Such as ``0.50``.
    """
    return share(probability, PRIOR_ERROR)


def identification(row: Any) -> str:
    """Write the status of an estimand, with its reason, and whether it is weakly identified.

    Parameters
    ----------
    row
        A row of a summary.

    Returns
    -------
    str
        Such as ``identified but weak``.
    """
    if row.status == IDENTIFIED and not pd.isna(row.data_share) and row.data_share < WEAK_BELOW:
        return f"{Status(WEAK, row.reason)}"
    return str(Status(row.status, row.reason))


def _two_decimals(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.2f}"


def _likelihood(row: Any) -> str:
    if row.status == NOT_ESTIMABLE or row.status_ml != NOT_ESTIMABLE:
        return numbers(row, "_ml")
    penalised = numbers(row, "_penalised")
    return f"penalised: {penalised}" if penalised else "not estimable"


def numbers(row: Any, suffix: str = "") -> str:
    """Write the estimate and interval of an estimator; empty where there is none.

    Parameters
    ----------
    row
        A row of the headline table.
    suffix
        Suffix of the columns of the estimator; empty for the posterior.

    Returns
    -------
    str
        Such as ``2.48 (1.40 to 4.17)``.
    """
    values = [getattr(row, name + suffix) for name in NUMBERS]
    errors = [np.nan if suffix else getattr(row, f"mcse_{name}", np.nan) for name in NUMBERS]
    if pd.isna(values[0]):
        return ""
    estimate, lower, upper = (
        "" if pd.isna(value) else digits(value, np.nan if pd.isna(error) else error)
        for value, error in zip(values, errors, strict=True)
    )
    return f"{estimate} ({lower} to {upper})" if lower else estimate


def judged(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of measures of interaction that have a probability.

    Parameters
    ----------
    summary
        What `cotreat.results.summary.summarise` returns.

    Returns
    -------
    pandas.DataFrame
        Rows of the posterior.
    """
    rows = summary[(summary.estimator == POSTERIOR) & summary.probability.notna()]
    return rows[rows.measure.isin(MEASURES)]
