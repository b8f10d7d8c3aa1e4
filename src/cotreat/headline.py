"""What a reader is told first: the headline table, and how far the families agree."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cotreat.core.constants import DECIDED
from cotreat.estimands.measures import MEASURES, representatives
from cotreat.models.registry import rank
from cotreat.results.old_columns import (
    EVERY,
    OBSERVED,
    is_undefined,
    name_of,
    old_columns,
    subject_of,
)
from cotreat.results.summary import LIKELIHOOD, PENALISED, POSTERIOR, PRINTED, PRIOR
from cotreat.study.regimens import adds_one
from cotreat.study.study import BY_DESIGN

NOISE = 1e-12
REPEATED = ("risk_difference", "risk_ratio", "marginal_odds_ratio", "nnt")
"""Contrasts of risks, which a summary has beside odds ratios."""
KEYS = ["estimand", "background", "scale"]
"""What tells the questions of a summary apart."""


def leader(models: list[str]) -> str:
    """Return the model whose numbers make the headline."""
    return min(models, key=rank)


# --- The headline table ----------------------------------------------------------------------------


def headline(summary: pd.DataFrame) -> pd.DataFrame:
    """Reduce a summary to its chief odds ratios and one measure of each family.

    The odds ratios are those against the first regimen that the evidence observes, those of a
    combination against itself less one treatment, and any with a threshold.

    Of printed numbers it holds all ratios that they determine, then the measures on the empty
    background, which they do not, with prior beside posterior.

    Returns
    -------
    pandas.DataFrame
        Text cells, ready to print.
    """
    summary = old_columns(summary)
    if (summary.estimator == PRINTED).any():
        return _of_printed(summary)
    rows = summary[(summary.estimator == POSTERIOR) & summary.estimand.map(_is_headline(summary))]
    for name, suffix in ((LIKELIHOOD, "_ml"), (PENALISED, "_penalised")):
        beside = summary[summary.estimator == name].drop_duplicates(KEYS)
        beside = beside[[*KEYS, "availability", "estimate", "lower", "upper"]]
        rows = rows.merge(beside, on=KEYS, how="left", suffixes=("", suffix))
    # Of a measure on two scales the first, judged one is shown; of the ratio of odds ratios both, for
    # its value in print is that of the event.
    keep = ~rows.duplicated(["estimand", "background"]) | (rows.estimand.map(name_of) == "ror")
    return pd.DataFrame([_headline_row(row) for row in rows[keep].itertuples()])


def _of_printed(summary: pd.DataFrame) -> pd.DataFrame:
    rows = summary[(summary.estimator == POSTERIOR) & ~summary.scale.isin(["patients", "share"])]
    for name in (PRIOR, PRINTED):
        beside = summary[summary.estimator == name].drop_duplicates(KEYS)
        beside = beside[[*KEYS, "estimate", "lower", "upper"]]
        rows = rows.merge(beside, on=KEYS, how="left", suffixes=("", f"_{name}"))
    names = rows.estimand.map(name_of)
    on_none = (rows.background == "none") | rows.background.str.startswith(EVERY)
    # What a level or subgroup was not printed of is what such a model is run for.
    is_set = rows.estimand.str.contains(" vs not ", regex=False)
    is_ratio = ~names.isin([*MEASURES, "risk", *REPEATED]) & (
        (rows.availability == OBSERVED) | is_set
    )
    is_measure = names.isin(representatives().values()) & on_none & rows.probability.notna()
    asked = rows.estimand.str.contains(">", regex=False)
    shown = pd.concat([rows[is_ratio | asked], rows[is_measure & ~is_ratio]])
    return pd.DataFrame([_printed_row(row) for row in shown.itertuples()])


def _printed_row(row: Any) -> dict[str, str]:
    cells = _headline_row(row)
    del cells["maximum likelihood (95%)"], cells["scale"]
    posterior = cells.pop("posterior (95% credible)")
    prior = _numbers(row.estimate_prior, row.lower_prior, row.upper_prior)
    return {
        "estimand": cells.pop("estimand"),
        "availability": cells.pop("availability"),
        "posterior (95% credible)": posterior,
        "printed (95%)": _numbers(row.estimate_printed, row.lower_printed, row.upper_printed),
        "prior (95%)": prior,
        **cells,
    }


def _is_headline(summary: pd.DataFrame) -> Callable[[str], bool]:
    risks = summary[summary.estimand.str.startswith("risk[")]
    # In a case-control study no risk is observed, but every counted odds ratio is.
    observed = risks[risks.availability.isin([OBSERVED, f"undefined: {BY_DESIGN}"])].estimand
    reference = subject_of(observed.iloc[0] if len(observed) else risks.estimand.iloc[0])
    shown = {*representatives().values(), "hsa"}

    def tell(label: str) -> bool:
        if name_of(label) != "odds_ratio":
            return name_of(label) in shown
        arm, _, against = subject_of(label).partition(" vs ")
        is_one_less = adds_one(arm, against, against_none=False)
        return against == reference or is_one_less or ">" in label

    return tell


def _headline_row(row: Any) -> dict[str, str]:
    label = row.estimand
    if name_of(label) in MEASURES and not row.background.startswith(EVERY):
        label += f" on {row.background}" if row.background != "none" else ""
    return {
        "estimand": label,
        "scale": row.scale,
        "posterior (95% credible)": _numbers(row.estimate, row.lower, row.upper),
        "maximum likelihood (95%)": _likelihood(row) if hasattr(row, "estimate_ml") else "",
        "P(> null)": share(row.probability),
        "prior P": share(row.prior_probability),
        "learnt": _learnt(row.contraction),
        "availability": row.availability,
    }


def _likelihood(row: Any) -> str:
    numbers = _numbers(row.estimate_ml, row.lower_ml, row.upper_ml)
    if is_undefined(row.availability) or not is_undefined(str(row.availability_ml)):
        return numbers
    penalised = _numbers(row.estimate_penalised, row.lower_penalised, row.upper_penalised)
    return f"penalised: {penalised}" if penalised else "not estimable"


def _numbers(estimate: float, lower: float, upper: float) -> str:
    if pd.isna(estimate):
        return ""
    interval = "" if pd.isna(lower) else f" ({_digits(lower)} to {_digits(upper)})"
    return _digits(estimate) + interval


def _digits(value: float) -> str:
    """Write three significant digits, zeros at the end included; rounding noise is 0."""
    value = 0.0 if abs(value) < NOISE else value
    return f"{value:#.3g}".rstrip(".")


def _learnt(contraction: float) -> str:
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


# --- Agreement of the families ---------------------------------------------------------------------


def judged(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the measures that have a probability, with their name and pair."""
    summary = old_columns(summary)
    rows = summary[(summary.estimator == POSTERIOR) & summary.probability.notna()]
    rows = rows.assign(measure=rows.estimand.map(name_of), pair=rows.estimand.map(subject_of))
    return rows[rows.measure.isin(MEASURES)]


@dataclass(frozen=True)
class Agreement:
    """How many of the families of synergy say the same of a pair on a background.

    Attributes
    ----------
    families : int
        Families that have a probability at all: defined, and not fixed by the model.
    agree : int
        Families on the side where most of them are.
    towards : str
        That side: ``synergy`` or ``antagonism``.
    decided_for, decided_against : int
        Families with P ≥ 0.975 and with P ≤ 0.025.
    availability : str
        That of the background's measures: ``observed`` or ``extrapolated``.
    """

    pair: str
    background: str
    families: int
    agree: int
    towards: str
    decided_for: int
    decided_against: int
    availability: str

    def __str__(self) -> str:
        undecided = self.families - self.decided_for - self.decided_against
        where = f" on background {self.background}" if self.background else ""
        how = "" if self.availability == OBSERVED else f" ({self.availability})"
        decided = self.decided_for + self.decided_against
        agree = "agree on" if decided == self.families else "agree in leaning towards"
        return (
            f"{self.pair}{where}{how}: {self.agree} of {self.families} families {agree} "
            f"{self.towards}; decided for synergy {self.decided_for}, against "
            f"{self.decided_against}, undecided {undecided}"
        )


def agreements(summary: pd.DataFrame) -> list[Agreement]:
    """Count the families behind each pair of treatments and each background of a summary."""
    rows = judged(summary)
    rows = rows[rows.measure.isin(representatives().values())]
    shared = rows.background.str.startswith(EVERY)
    return [
        _count(pair, background, pd.concat([own, rows[shared & (rows.pair == pair)]]))
        for (pair, background), own in rows[~shared].groupby(["pair", "background"], sort=False)
    ]


def _count(pair: str, background: str, rows: pd.DataFrame) -> Agreement:
    probability = rows.probability
    towards_synergy = int((probability > 0.5).sum())
    agree = max(towards_synergy, len(probability) - towards_synergy)
    return Agreement(
        pair=pair,
        background=background,
        families=len(probability),
        agree=agree,
        towards="synergy" if agree == towards_synergy else "antagonism",
        decided_for=int((probability >= DECIDED).sum()),
        decided_against=int((probability <= 1 - DECIDED).sum()),
        availability=rows.availability.iloc[0],
    )
