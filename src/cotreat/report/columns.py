"""Columns of a summary that its labels hold: the only place of the report where a label is parsed."""

from __future__ import annotations

import pandas as pd

from cotreat.core.constants import OBSERVED
from cotreat.estimands.estimand import EVERY, name_of, subject_of
from cotreat.estimands.measures import MEASURES

ANY = "any"
"""Co-treatment of a measure that the model holds the same whatever else is given."""


def tidy(table: pd.DataFrame) -> pd.DataFrame:
    """Return a summary, or a table of the same rows, with one column per part of its labels.

    Parameters
    ----------
    table
        With ``estimand``, ``background`` and ``availability``; a ``scale`` of event or non-event is
        renamed ``judged_on``.

    Returns
    -------
    pandas.DataFrame
        With ``measure``, ``contrast`` (empty for measures of synergy), ``pair`` (empty for others),
        ``co_treatment``, ``stratum``, ``scale`` (reference model of no interaction) and
        ``identified``.
    """
    measure = [name_of(label) for label in table.estimand]
    subject = [subject_of(label) for label in table.estimand]
    background = ["" if pd.isna(text) else str(text) for text in table.background]
    places = [
        (ANY, "") if text.startswith(EVERY) else text.partition(" | ")[::2] for text in background
    ]
    return table.rename(columns={"scale": "judged_on"}).assign(
        measure=measure,
        contrast=["" if m in MEASURES else s for m, s in zip(measure, subject, strict=True)],
        pair=[s if m in MEASURES else "" for m, s in zip(measure, subject, strict=True)],
        co_treatment=[co_treatment for co_treatment, _ in places],
        stratum=[stratum for _, stratum in places],
        scale=[MEASURES[name].family if name in MEASURES else "" for name in measure],
        identified=table.availability == OBSERVED,
        has_threshold=[">" in label for label in table.estimand],
    )


def is_measure(table: pd.DataFrame, measure: str) -> pd.Series:
    """Whether each row of a table is of a measure."""
    return table.estimand.fillna("").map(name_of) == measure


def kind_and_contrast(label: str) -> tuple[str, str]:
    """Return the measure of a reported estimate and what it compares; of other words no measure."""
    return (name_of(label), subject_of(label)) if subject_of(label) else ("", label)
