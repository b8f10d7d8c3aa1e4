"""Build the headline table, and count the scales that agree on synergy."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from cotreat.core.constants import ANY, CONCLUSIVE, IDENTIFIED, NOT_ESTIMABLE
from cotreat.estimands.estimand import ODDS_RATIO, RISK, SIZE
from cotreat.estimands.measures import MEASURES, representatives
from cotreat.models.registry import rank
from cotreat.results.summary import LIKELIHOOD, PENALISED, POSTERIOR, PRIOR, REPORTED
from cotreat.study.regimens import NONE, WITHIN, adds_one
from cotreat.study.study import BY_DESIGN

NOISE = 1e-12
REPEATED = ("risk_difference", "risk_ratio", "marginal_odds_ratio", "nnt")
"""Contrasts of risks, which a summary has beside odds ratios."""
KEYS = ["label", "judged_on"]
"""Columns that identify an estimand of a summary."""

IDENTIFICATION = "identification"
PROBABILITY = "P(ratio > 1) or P(synergy)"
PRIOR_PROBABILITY = "prior P"
"""Headings of columns: whether the evidence alone determines a row, and its probabilities. Of an odds ratio
the probability is that it is above 1, of a measure of synergy P(synergy)."""


def status(row: Any) -> str:
    """Return the status of an estimand, with the reason where it is not estimable.

    Parameters
    ----------
    row
        A row of a table with the columns ``status`` and ``reason``.
    """
    return f"{row.status}: {row.reason}" if row.status == NOT_ESTIMABLE else str(row.status)


def primary(models: list[str]) -> str:
    """Return the model whose numbers make the headline."""
    return min(models, key=rank)


# --- The headline table ----------------------------------------------------------------------------


def headline(summary: pd.DataFrame) -> pd.DataFrame:
    """Reduce a summary to its main odds ratios and one measure per scale.

    The odds ratios are those against the first regimen with patients, those of a combination against the
    same without one treatment, and any with a threshold. Of reported estimates the table holds all ratios
    that they identify, then the measures with no other study drug, which they do not, with prior and
    posterior.

    Returns
    -------
    pandas.DataFrame
        Text cells, ready to print.
    """
    if (summary.estimator == REPORTED).any():
        return _of_printed(summary)
    rows = summary[(summary.estimator == POSTERIOR) & _is_headline(summary)]
    for name, suffix in ((LIKELIHOOD, "_ml"), (PENALISED, "_penalised")):
        beside = summary[summary.estimator == name].drop_duplicates(KEYS)
        beside = beside[[*KEYS, "status", "estimate", "lower", "upper"]]
        rows = rows.merge(beside, on=KEYS, how="left", suffixes=("", suffix))
    # Of a measure judged on both sides of the outcome the first is shown; of the ratio of odds ratios both,
    # because the reported one is of the event.
    keep = ~rows.duplicated(["label"]) | (rows.measure == "ror")
    return pd.DataFrame([_headline_row(row) for row in rows[keep].itertuples()])


def _of_printed(summary: pd.DataFrame) -> pd.DataFrame:
    rows = summary[(summary.estimator == POSTERIOR) & (summary.measure != SIZE)]
    for name in (PRIOR, REPORTED):
        beside = summary[summary.estimator == name].drop_duplicates(KEYS)
        beside = beside[[*KEYS, "estimate", "lower", "upper"]]
        rows = rows.merge(beside, on=KEYS, how="left", suffixes=("", f"_{name}"))
    alone = (rows.co_treatment == NONE) & (rows.stratum == "")
    alone |= rows.co_treatment == ANY
    # Levels and subgroups that are not reported are what such a model is run for.
    is_set = rows.contrast.str.contains(" vs not ", regex=False)
    is_ratio = ~rows.measure.isin([*MEASURES, RISK, *REPEATED])
    is_ratio &= (rows.status == IDENTIFIED) | is_set
    is_measure = rows.measure.isin(representatives().values()) & alone & rows.probability.notna()
    has_threshold = rows.threshold.notna()
    shown = pd.concat([rows[is_ratio | has_threshold], rows[is_measure & ~is_ratio]])
    return pd.DataFrame([_printed_row(row) for row in shown.itertuples()])


def _printed_row(row: Any) -> dict[str, str]:
    cells = _headline_row(row)
    del cells["maximum likelihood (95%)"], cells["judged on"]
    posterior = cells.pop("posterior (95% credible)")
    prior = _numbers(row.estimate_prior, row.lower_prior, row.upper_prior)
    return {
        "estimand": cells.pop("estimand"),
        IDENTIFICATION: cells.pop(IDENTIFICATION),
        "posterior (95% credible)": posterior,
        "reported (95%)": _numbers(row.estimate_printed, row.lower_printed, row.upper_printed),
        "prior (95%)": prior,
        **cells,
    }


def _is_headline(summary: pd.DataFrame) -> pd.Series:
    """Whether each row is of the headline: against the first regimen with patients, or of one treatment more."""
    risks = summary[summary.measure == RISK]
    # In a case-control study no risk is identified, but every counted odds ratio is.
    known = risks[(risks.status == IDENTIFIED) | (risks.reason == BY_DESIGN)]
    first = (known if len(known) else risks).iloc[0]
    is_measure = summary.measure.isin({*representatives().values(), "hsa"})
    sides = summary.contrast.str.partition(" vs ")
    is_first = (sides[2] == first.contrast) & (summary.stratum == first.stratum)
    adds = [
        adds_one(arm, less, against_none=False)
        for arm, less in zip(sides[0], sides[2], strict=True)
    ]
    is_shown = is_first | (pd.Series(adds, summary.index) & (summary.stratum == ""))
    is_shown |= summary.threshold.notna()
    return is_measure | ((summary.measure == ODDS_RATIO) & is_shown)


def _headline_row(row: Any) -> dict[str, str]:
    return {
        "estimand": row.label,
        "judged on": row.judged_on,
        "posterior (95% credible)": _numbers(row.estimate, row.lower, row.upper),
        "maximum likelihood (95%)": _likelihood(row) if hasattr(row, "estimate_ml") else "",
        PROBABILITY: share(row.probability),
        PRIOR_PROBABILITY: share(row.prior_probability),
        "posterior contraction": _contraction(row.posterior_contraction),
        IDENTIFICATION: status(row),
    }


def _likelihood(row: Any) -> str:
    numbers = _numbers(row.estimate_ml, row.lower_ml, row.upper_ml)
    if row.status == NOT_ESTIMABLE or row.status_ml != NOT_ESTIMABLE:
        return numbers
    penalised = _numbers(row.estimate_penalised, row.lower_penalised, row.upper_penalised)
    return f"penalised: {penalised}" if penalised else "not estimable"


def _numbers(estimate: float, lower: float, upper: float) -> str:
    if pd.isna(estimate):
        return ""
    interval = "" if pd.isna(lower) else f" ({digits(lower)} to {digits(upper)})"
    return digits(estimate) + interval


def digits(value: float) -> str:
    """Write three significant digits, zeros at the end included; rounding noise is 0."""
    value = 0.0 if abs(value) < NOISE else value
    return f"{value:#.3g}".rstrip(".")


def _contraction(contraction: float) -> str:
    if pd.isna(contraction):
        return ""
    return "< 0" if contraction < 0 else f"{contraction:.2f}"


def share(probability: float) -> str:
    """Write a probability so that one of 8,000 draws is not rounded to certainty."""
    if pd.isna(probability):
        return ""
    if probability < 0.0005 or probability > 0.9995:
        return "< 0.001" if probability < 0.5 else "> 0.999"
    return f"{probability:.3f}"


# --- Agreement of the scales -------------------------------------------------------------------------


def judged(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the measures of synergy that have a probability."""
    rows = summary[(summary.estimator == POSTERIOR) & summary.probability.notna()]
    return rows[rows.measure.isin(MEASURES)]


@dataclass(frozen=True)
class Agreement:
    """How many of the scales of synergy agree on a pair with a co-treatment.

    Attributes
    ----------
    scales : int
        Scales that have a probability at all: defined, and not fixed by the model.
    agree : int
        Scales on the side where most of them are.
    towards : str
        That side: ``synergy`` or ``antagonism``.
    conclusive_for, conclusive_against : int
        Scales with P(synergy) ≥ 0.975 and with P(synergy) ≤ 0.025.
    identified : bool
        Whether the evidence alone determines the measures.
    """

    pair: str
    co_treatment: str
    scales: int
    agree: int
    towards: str
    conclusive_for: int
    conclusive_against: int
    identified: bool

    def __str__(self) -> str:
        none = "no other study drug" if self.co_treatment == NONE else self.co_treatment
        where = f" with {none}" if self.co_treatment else ""
        conclusive = self.conclusive_for + self.conclusive_against
        agree = "agree on" if conclusive == self.scales else "point to"
        found = f"{self.pair}{where}: {self.agree} of {self.scales} scales {agree} {self.towards}; "
        if not self.identified:
            return f"{found}none is identified"
        return (
            f"{found}conclusive for synergy {self.conclusive_for}, against {self.conclusive_against}, "
            f"inconclusive {self.scales - conclusive}"
        )


def agreements(summary: pd.DataFrame) -> list[Agreement]:
    """Count the scales that agree on each pair of treatments and co-treatment of a summary."""
    rows = judged(summary)
    rows = rows[rows.measure.isin(representatives().values())]
    shared = rows.co_treatment == ANY
    places = rows[~shared].groupby(["pair", "co_treatment", "stratum"], sort=False)
    return [
        _count(
            pair,
            f"{given}{WITHIN}{stratum}" if stratum else given,
            pd.concat([own, rows[shared & (rows.pair == pair)]]),
        )
        for (pair, given, stratum), own in places
    ]


def _count(pair: str, co_treatment: str, rows: pd.DataFrame) -> Agreement:
    probability = rows.probability
    towards_synergy = int((probability > 0.5).sum())
    agree = max(towards_synergy, len(probability) - towards_synergy)
    return Agreement(
        pair=pair,
        co_treatment=co_treatment,
        scales=len(probability),
        agree=agree,
        towards="synergy" if agree == towards_synergy else "antagonism",
        conclusive_for=int((probability >= CONCLUSIVE).sum()),
        conclusive_against=int((probability <= 1 - CONCLUSIVE).sum()),
        identified=bool((rows.status == IDENTIFIED).iloc[0]),
    )
