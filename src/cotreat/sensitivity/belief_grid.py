"""The belief × strength grid on effects and on interactions: P(synergy) and odds ratios over all of it."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from cotreat.core.constants import ASKED, CONCLUSIVE, IDENTIFIED
from cotreat.estimands.estimand import ODDS_RATIO
from cotreat.inference import laplace
from cotreat.priors.belief_grid import as_default, beliefs_of, default_name, is_marked
from cotreat.sensitivity.multiverse import primary_scale
from cotreat.sensitivity.records import P_SYNERGY
from cotreat.study.regimens import contrast
from cotreat.study.study import Study

ANSWER = (
    *("estimate", "lower", "upper", "probability", "mc_error", "prior_probability"),
    *("probability_inside", "prior_probability_inside"),
)
COLUMNS = ("effects", "interactions", "pareto_k", "verdict", "of_pair", *ASKED, *ANSWER)
"""Columns of the table, in order; without a belief the default prior set, marked by `as_default`."""
Question = dict[str, str]
"""Values of the columns that identify a row."""


def table_of(multiverse: pd.DataFrame, study: Study) -> pd.DataFrame:
    """Reduce answers under every belief to the interaction of each pair and an odds ratio of it.

    Parameters
    ----------
    multiverse
        Answers of one model and interpretation with the columns of the multiverse, one of them under the
        default priors.
    study
        With its pairs.

    Returns
    -------
    pandas.DataFrame
        For each prior set and pair a row of the interaction, with P(synergy), and one of the odds ratio of both
        treatments against the second, or against the first where only that one is identified. Of unreliable
        fits one row without numbers.
    """
    default = as_default(default_name(study))
    questions = {pair: _questions(multiverse, study, pair) for pair in study.pair_labels}
    rows: list[dict[str, Any]] = []
    for name, table in multiverse.groupby("priors", sort=False):
        effects, interactions = beliefs_of(str(name))
        row = {"effects": effects or default, "interactions": interactions or default}
        row |= table.iloc[0][["pareto_k", "verdict"]].to_dict()
        rows += [{**row, **answer} for answer in _answers(table, questions)] or [row]
    return pd.DataFrame(rows).reindex(columns=list(COLUMNS))


def _answers(table: pd.DataFrame, questions: dict[str, list[Question]]) -> Iterator[dict[str, Any]]:
    if (table.verdict == laplace.UNRELIABLE).any():
        return
    for pair, question in ((pair, one) for pair, asked in questions.items() for one in asked):
        is_asked = (table[list(question)].fillna("") == pd.Series(question)).all(axis=1)
        for row in table.loc[is_asked, [*ASKED, *ANSWER]].to_dict("records"):
            yield {**row, "of_pair": pair}


def _questions(multiverse: pd.DataFrame, study: Study, pair: str) -> list[Question]:
    """Return the interaction of a pair, and the odds ratio of both treatments against one of them."""
    good = multiverse[multiverse.verdict != laplace.UNRELIABLE]
    first = good[good.priors == good.priors.iloc[0]] if len(good) else good
    one, other = pair.split(":")
    both = study.label(frozenset({one, other}))
    ratios = first[first.measure == ODDS_RATIO]
    status = dict(zip(ratios.contrast, ratios.status, strict=True))
    contrasts = [c for c in (contrast(both, single) for single in (other, one)) if c in status]
    contrasts.sort(key=lambda c: status[c] != IDENTIFIED)
    scale: Question = primary_scale(first, study, pair)._asdict()
    return [scale, *({"measure": ODDS_RATIO, "contrast": c} for c in contrasts[:1])]


def ranges(table: pd.DataFrame) -> pd.DataFrame:
    """Summarise the range of each estimand over the grid, and count the conclusive prior sets.

    Parameters
    ----------
    table
        What `table_of` returns.

    Returns
    -------
    pandas.DataFrame
        One row per estimand: its value under the default priors, the lowest and the highest with their
        beliefs, and the number of conclusive prior sets: P ≥ 0.975 or ≤ 0.025 of an interaction, an interval
        that excludes 1 of an odds ratio.
    """
    rows = []
    answered = table.dropna(subset="measure")
    for (pair, measure), group in answered.groupby(["of_pair", "measure"], sort=False):
        is_ratio = measure == ODDS_RATIO
        values = group.estimate if is_ratio else group.probability
        is_default = group.effects.map(is_marked) & group.interactions.map(is_marked)
        if is_ratio:
            conclusive = (group.lower > 1) | (group.upper < 1)
        else:
            conclusive = (values >= CONCLUSIVE) | (values <= 1 - CONCLUSIVE)
        lowest, highest = (
            f"effects {row.effects}, interactions {row.interactions}"
            for row in (group.loc[values.idxmin()], group.loc[values.idxmax()])
        )
        rows.append(
            {
                "of_pair": pair,
                **{name: group[name].iloc[0] for name in ASKED},
                "number": "odds ratio" if is_ratio else P_SYNERGY,
                "under the default priors": values[is_default].max(),
                "lowest": values.min(),
                "under": lowest,
                "highest": values.max(),
                "under ": highest,
                "prior sets": len(group),
                "conclusive": int(conclusive.sum()),
            }
        )
    return pd.DataFrame(rows)


def unreliable(table: pd.DataFrame) -> int:
    """Count the prior sets whose fit is unreliable.

    Parameters
    ----------
    table
        What `table_of` returns.

    Returns
    -------
    int
    """
    return int((table.verdict == laplace.UNRELIABLE).sum())
