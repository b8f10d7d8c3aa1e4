"""What a reader is told first: the headline table, how far the families agree, what to beware of."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from cotreat.catalogue import MODELS
from cotreat.estimands import EVERY
from cotreat.measures import APART, MEASURES, ODDS_ADDITIVE, REPRESENTATIVE
from cotreat.names import DECIDED, IMPLIED
from cotreat.study import Study
from cotreat.summary import LIKELIHOOD, POSTERIOR, name_of, subject_of

LEADERS = ("exchangeable", "interaction", "saturated", "additive")
"""Which model speaks in the headline: the first one run. The first two contain the additive one."""

LITTLE_LEARNT = 0.5
COMMON = 0.1


def leader(models: list[str]) -> str:
    """Return the model whose numbers make the headline."""
    return next(name for name in LEADERS if name in models)


# --- The headline table ----------------------------------------------------------------------------


def headline(summary: pd.DataFrame) -> pd.DataFrame:
    """Reduce a summary to odds ratios against the first regimen and one measure of each family.

    Returns
    -------
    pandas.DataFrame
        Text cells, ready to print. The frequentist numbers are on the event scale; a measure on the
        other scale stands beside none.
    """
    rows = summary[(summary.estimator == POSTERIOR) & summary.estimand.map(_is_headline(summary))]
    likelihood = summary[summary.estimator == LIKELIHOOD].drop_duplicates(
        ["estimand", "background", "scale"]
    )
    both = rows.merge(
        likelihood[["estimand", "background", "scale", "estimate", "lower", "upper"]],
        on=["estimand", "background", "scale"],
        how="left",
        suffixes=("", "_ml"),
    )
    # Of a measure on two scales the first, judged one is shown; of the ratio of odds ratios both, for
    # its value in print is that of the event.
    keep = ~both.duplicated(["estimand", "background"]) | (both.estimand.map(name_of) == "ror")
    return pd.DataFrame([_headline_row(row) for row in both[keep].itertuples()])


def _is_headline(summary: pd.DataFrame) -> Callable[[str], bool]:
    reference = subject_of(summary.estimand.iloc[0])
    shown = {*REPRESENTATIVE.values(), "hsa"}

    def tell(label: str) -> bool:
        if name_of(label) == "odds_ratio":
            return label.endswith(f" vs {reference}]")
        return name_of(label) in shown

    return tell


def _headline_row(row: Any) -> dict[str, str]:
    label = row.estimand
    if name_of(label) in MEASURES and not row.background.startswith(EVERY):
        label += f" on {row.background}" if row.background != "none" else ""
    return {
        "estimand": label,
        "scale": row.scale,
        "posterior (95% credible)": _numbers(row.estimate, row.lower, row.upper),
        "maximum likelihood (95%)": _numbers(row.estimate_ml, row.lower_ml, row.upper_ml),
        "P(> null)": _share(row.probability),
        "prior P": _share(row.prior_probability),
        "learnt": _learnt(row.contraction),
        "availability": row.availability,
    }


def _numbers(estimate: float, lower: float, upper: float) -> str:
    if pd.isna(estimate):
        return ""
    interval = "" if pd.isna(lower) else f" ({_digits(lower)} to {_digits(upper)})"
    return _digits(estimate) + interval


def _digits(value: float) -> str:
    """Write three significant digits, zeros at the end included."""
    return f"{value:#.3g}".rstrip(".")


def _learnt(contraction: float) -> str:
    if pd.isna(contraction):
        return ""
    return "< 0" if contraction < 0 else f"{contraction:.2f}"


def _share(probability: float) -> str:
    """Write a probability so that one of 8,000 draws is not rounded to certainty."""
    if pd.isna(probability):
        return ""
    if probability < 0.0005 or probability > 0.9995:
        return "< 0.001" if probability < 0.5 else "> 0.999"
    return f"{probability:.3f}"


# --- Agreement of the families ---------------------------------------------------------------------


def _judged(summary: pd.DataFrame) -> pd.DataFrame:
    """Return the measures that have a probability, with their name and pair."""
    rows = summary[(summary.estimator == POSTERIOR) & summary.probability.notna()]
    rows = rows.assign(measure=rows.estimand.map(name_of), pair=rows.estimand.map(subject_of))
    return rows[rows.measure.isin(MEASURES)]


@dataclass(frozen=True)
class Agreement:
    """How many of the five families of synergy say the same of a pair on a background.

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
    """

    pair: str
    background: str
    families: int
    agree: int
    towards: str
    decided_for: int
    decided_against: int

    def __str__(self) -> str:
        if not self.families:
            return f"{self.pair}: no family of synergy measures has a probability here"
        undecided = self.families - self.decided_for - self.decided_against
        where = f" on background {self.background}" if self.background else ""
        return (
            f"{self.pair}{where}: {self.agree} of {self.families} families agree on "
            f"{self.towards}; decided for synergy {self.decided_for}, against "
            f"{self.decided_against}, undecided {undecided}"
        )


def agreements(summary: pd.DataFrame) -> list[Agreement]:
    """Count the families behind each pair of treatments and each background of a summary."""
    rows = _judged(summary)
    rows = rows[rows.measure.isin(REPRESENTATIVE.values())]
    shared = rows.background.str.startswith(EVERY)
    return [
        _count(pair, background, pd.concat([own, rows[shared & (rows.pair == pair)]]).probability)
        for (pair, background), own in rows[~shared].groupby(["pair", "background"], sort=False)
    ]


def _count(pair: str, background: str, probability: pd.Series) -> Agreement:
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
    )


# --- What to beware of -----------------------------------------------------------------------------


def remarks(summary: pd.DataFrame, study: Study) -> list[str]:
    """Say in sentences what a reader of the table must not overlook."""
    return [
        *_implied(summary),
        *_apart(summary),
        *_common_outcome(summary, study),
        *_against_intervals(summary),
        *_little_learnt(summary),
        *_extrapolated(summary),
    ]


def _implied(summary: pd.DataFrame) -> Iterator[str]:
    if (summary.availability == IMPLIED).any():
        model = summary.model.iloc[0]
        yield (
            f"The model {model} has no interaction: what the measures of synergy show under it "
            "follows from the single effects, so they get no probability."
        )


def _apart(summary: pd.DataFrame) -> Iterator[str]:
    for row in _judged(summary).itertuples():
        if MEASURES[row.measure].family == APART and row.probability >= DECIDED:
            yield (
                f"{row.estimand} is decided (P {_share(row.probability)}): the combination is better "
                "than the better single treatment. That is not evidence of synergy."
            )


def _common_outcome(summary: pd.DataFrame, study: Study) -> Iterator[str]:
    if study.is_case_control or not (MODELS[summary.model.iloc[0]].has_products):
        return
    risk = study.events.sum() / study.n.sum()
    risk = 1 - risk if study.outcome.synergy_on == "non-event" else risk
    if risk > COMMON:
        yield (
            f"The outcome on the scale of synergy ({study.outcome.synergy_on}) is common "
            f"({risk:.0%}): the {ODDS_ADDITIVE} measures (reri_or, ap_or, s_or) stand in for the "
            "risk-additive ones only where it is rare, and mislead here."
        )


def _against_intervals(summary: pd.DataFrame) -> Iterator[str]:
    likelihood = summary[(summary.estimator == LIKELIHOOD) & summary.lower.notna()]
    for row in _judged(summary).itertuples():
        measure = MEASURES[row.measure]
        speaks = REPRESENTATIVE.get(measure.family) == row.measure
        if not speaks or 1 - DECIDED < row.probability < DECIDED:
            continue
        same = likelihood[
            (likelihood.estimand == row.estimand)
            & (likelihood.background == row.background)
            & (likelihood.scale == row.scale)
        ]
        for other in same[(same.lower <= measure.null) & (same.upper >= measure.null)].itertuples():
            yield (
                f"{row.estimand} is decided (P {_share(row.probability)}), yet the {other.interval} "
                f"interval ({other.lower:.4g} to {other.upper:.4g}) includes {measure.null:g}: the "
                "prior, or the method of the interval, makes the difference."
            )


def _little_learnt(summary: pd.DataFrame) -> Iterator[str]:
    rows = _judged(summary)
    rows = rows[rows.measure.isin(REPRESENTATIVE.values()) & (rows.contraction < LITTLE_LEARNT)]
    for row in rows.itertuples():
        if row.contraction < 0:
            yield (
                f"{row.estimand}: the posterior is wider than the prior (contraction "
                f"{row.contraction:.3g}); the data lie where the prior hardly was, and the measure "
                "is wide there."
            )
        else:
            yield (
                f"{row.estimand}: little was learnt (contraction {row.contraction:.2f}); its "
                "posterior is still much of its prior."
            )


def _extrapolated(summary: pd.DataFrame) -> Iterator[str]:
    rows = _judged(summary)
    for pair in dict.fromkeys(rows[rows.availability == "extrapolated"].pair):
        yield f"Synergy of {pair} is extrapolated on some background: model and prior speak, not data."
