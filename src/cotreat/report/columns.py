"""Columns of a summary that its labels hold: the only place of the report where a label is parsed."""

from __future__ import annotations

import pandas as pd

from cotreat.estimands import EVERY, name_of, subject_of
from cotreat.measures import MEASURES
from cotreat.names import OBSERVED

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
    measure = table.estimand.map(name_of)
    subject = table.estimand.map(subject_of)
    is_synergy = measure.isin(MEASURES)
    background = table.background.fillna("").astype(str)
    parts = background.str.partition(" | ")
    is_shared = background.str.startswith(EVERY)
    scale = [MEASURES[name].family if name in MEASURES else "" for name in measure]
    return table.rename(columns={"scale": "judged_on"}).assign(
        measure=measure,
        contrast=subject.where(~is_synergy, ""),
        pair=subject.where(is_synergy, ""),
        co_treatment=parts[0].where(~is_shared, ANY),
        stratum=parts[2].where(~is_shared, ""),
        scale=scale,
        identified=table.availability == OBSERVED,
        has_threshold=table.estimand.str.contains(">", regex=False),
    )


def is_measure(table: pd.DataFrame, measure: str) -> pd.Series:
    """Whether each row of a table is of a measure."""
    return table.estimand.fillna("").map(name_of) == measure


def kind_and_contrast(label: str) -> tuple[str, str]:
    """Return the measure of a reported estimate and what it compares; of other words no measure."""
    return (name_of(label), subject_of(label)) if subject_of(label) else ("", label)
