"""The belief × strength grid on effects and on interactions: P(synergy) and odds ratios over all of it."""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from cotreat.core.constants import ASKED, CONCLUSIVE, IDENTIFIED
from cotreat.estimands.estimand import ODDS_RATIO
from cotreat.inference import laplace
from cotreat.priors.belief_grid import beliefs_of
from cotreat.sensitivity.multiverse import leading_sense
from cotreat.study.regimens import contrast
from cotreat.study.study import Study

COLUMNS = (
    "effects",
    "interactions",
    "pareto_k",
    "verdict",
    "of_pair",
    *ASKED,
    "estimate",
    "lower",
    "upper",
    "probability",
    "mc_error",
    "prior_probability",
)
"""Columns of the table, in order; an empty belief is the weak prior."""
WEAK = "weak (default)"
Question = dict[str, str]
"""Columns that a row must have these values in."""


def table_of(multiverse: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Reduce answers under every belief to the interaction of each pair and an odds ratio of it.

    Parameters
    ----------
    multiverse
        Answers of one model and reading with the columns of the multiverse, one of them under the
        default priors.

    Returns
    -------
    pandas.DataFrame
        For each prior set and pair a row of the interaction, with P(synergy), and one of the odds ratio of both
        treatments against the second, or against the first where the evidence determines that one only; of bad
        fits one row without numbers.
    """
    asked = {pair: _asked(multiverse, study, pair) for pair in study.pair_labels}
    rows: list[dict[str, Any]] = []
    for name, own in multiverse.groupby("priors", sort=False):
        effects, interactions = beliefs_of(str(name))
        first = own.iloc[0]
        row = {
            "effects": effects or WEAK,
            "interactions": interactions or WEAK,
            "pareto_k": first.pareto_k,
            "verdict": first.verdict,
        }
        rows += [{**row, **one} for one in _answers(own, asked)] or [row]
    return pd.DataFrame(rows).reindex(columns=list(COLUMNS))


def _answers(own: pd.DataFrame, asked: dict[str, list[Question]]) -> Iterator[dict[str, Any]]:
    if (own.verdict == laplace.UNRELIABLE).any():
        return
    for pair, questions in asked.items():
        for question in questions:
            is_asked = (own[list(question)].fillna("") == pd.Series(question)).all(axis=1)
            for row in own[is_asked].to_dict("records"):
                kept = {name: row[name] for name in COLUMNS if name in row}
                yield {k: v for k, v in kept.items() if k not in ("pareto_k", "verdict")} | {
                    "of_pair": pair
                }


def _asked(multiverse: pd.DataFrame, study: Study, pair: str) -> list[Question]:
    """Return the interaction of a pair, and the odds ratio of both treatments against one of them."""
    good = multiverse[multiverse.verdict != laplace.UNRELIABLE]
    first = good[good.priors == good.priors.iloc[0]] if len(good) else good
    one, other = pair.split(":")
    both = study.label(frozenset({one, other}))
    ratios = first[first.measure == ODDS_RATIO]
    status = dict(zip(ratios.contrast, ratios.status, strict=True))
    known = [c for c in (contrast(both, single) for single in (other, one)) if c in status]
    known.sort(key=lambda c: status[c] != IDENTIFIED)
    sense: Question = leading_sense(first, study, pair)._asdict()
    return [sense, *({"measure": ODDS_RATIO, "contrast": c} for c in known[:1])]


def ranges(table: pd.DataFrame) -> pd.DataFrame:
    """Say how far each number moves over the grid, and under how many priors it decides.

    Returns
    -------
    pandas.DataFrame
        One row an estimand: its value under the default priors, the lowest and the highest with the
        beliefs behind them, and how many prior sets decide: P ≥ 0.975 or ≤ 0.025 of an interaction, an
        interval that leaves out 1 of an odds ratio.
    """
    rows = []
    for (pair, measure), own in table.dropna(subset="measure").groupby(
        ["of_pair", "measure"], sort=False
    ):
        is_ratio = measure == ODDS_RATIO
        values = own.estimate if is_ratio else own.probability
        lower, upper = own.loc[values.idxmin()], own.loc[values.idxmax()]
        is_weak = (own.effects == WEAK) & (own.interactions == WEAK)
        decided = (
            (own.lower > 1) | (own.upper < 1)
            if is_ratio
            else (own.probability >= CONCLUSIVE) | (own.probability <= 1 - CONCLUSIVE)
        )
        rows.append(
            {
                "of_pair": pair,
                **{name: own[name].iloc[0] for name in ASKED},
                "number": "odds ratio" if is_ratio else "P(synergy)",
                "under the default priors": values[is_weak].max(),
                "lowest": values.min(),
                "under": _beliefs(lower),
                "highest": values.max(),
                "under ": _beliefs(upper),
                "prior sets": len(own),
                "that decide": int(decided.sum()),
            }
        )
    return pd.DataFrame(rows)


def _beliefs(row: pd.Series) -> str:
    return f"effects {row.effects}, interactions {row.interactions}"


def bad(table: pd.DataFrame) -> int:
    """Count the prior sets whose fit cannot be used."""
    return int((table.verdict == laplace.UNRELIABLE).sum())


def pairs_of(table: pd.DataFrame) -> Sequence[str]:
    """Return the pairs that the table has answers of."""
    return [str(pair) for pair in table.of_pair.dropna().drop_duplicates()]
