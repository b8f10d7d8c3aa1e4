"""The belief × strength grid on effects and on interactions: P(synergy) and odds ratios over all of it."""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from cotreat.core.constants import DECIDED, OBSERVED
from cotreat.inference import laplace
from cotreat.priors.belief_grid import beliefs_of
from cotreat.sensitivity.multiverse import leading_sense
from cotreat.study.study import Study

COLUMNS = (
    "effects",
    "interactions",
    "pareto_k",
    "verdict",
    "pair",
    "estimand",
    "background",
    "scale",
    "availability",
    "estimate",
    "lower",
    "upper",
    "probability",
    "mc_error",
    "prior_probability",
)
"""Columns of the table, in order; an empty belief is the weak prior."""
WEAK = "weak (default)"


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


def _answers(
    own: pd.DataFrame, asked: dict[str, list[tuple[str, str]]]
) -> Iterator[dict[str, Any]]:
    if (own.verdict == laplace.BAD).any():
        return
    known = own.set_index(["estimand", "background"])
    for pair, questions in asked.items():
        for question in questions:
            if question in known.index:
                row = known.loc[question]
                kept = {name: row[name] for name in COLUMNS if name in row.index}
                kept |= {"pair": pair, "estimand": question[0], "background": question[1]}
                yield {k: v for k, v in kept.items() if k not in ("pareto_k", "verdict")}


def _asked(multiverse: pd.DataFrame, study: Study, pair: str) -> list[tuple[str, str]]:
    """Return the interaction of a pair, and the odds ratio of both treatments against one of them."""
    good = multiverse[multiverse.verdict != laplace.BAD]
    first = good[good.priors == good.priors.iloc[0]] if len(good) else good
    one, other = pair.split(":")
    both = study.label(frozenset({one, other}))
    labels = [f"odds_ratio[{both} vs {single}]" for single in (other, one)]
    available = first.set_index("estimand").availability if len(first) else {}
    ratios = sorted(
        (label for label in labels if label in available), key=lambda n: available[n] != OBSERVED
    )
    return [leading_sense(first, study, pair), *((label, "") for label in ratios[:1])]


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
    for (pair, estimand), own in table.dropna(subset="estimand").groupby(
        ["pair", "estimand"], sort=False
    ):
        is_ratio = str(estimand).startswith("odds_ratio")
        values = own.estimate if is_ratio else own.probability
        lower, upper = own.loc[values.idxmin()], own.loc[values.idxmax()]
        is_weak = (own.effects == WEAK) & (own.interactions == WEAK)
        decided = (
            (own.lower > 1) | (own.upper < 1)
            if is_ratio
            else (own.probability >= DECIDED) | (own.probability <= 1 - DECIDED)
        )
        rows.append(
            {
                "pair": pair,
                "estimand": estimand,
                "background": own.background.iloc[0],
                "scale": own.scale.iloc[0],
                "number": "odds ratio" if is_ratio else "P(synergy)",
                "availability": own.availability.iloc[0],
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
    return int((table.verdict == laplace.BAD).sum())


def pairs_of(table: pd.DataFrame) -> Sequence[str]:
    """Return the pairs that the table has answers of."""
    return [str(pair) for pair in table.pair.dropna().drop_duplicates()]
