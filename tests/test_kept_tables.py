"""Kept tables have the columns that the code writes, and labels that are made of them."""

from pathlib import Path

import pandas as pd
import pytest

from cotreat.core.constants import ASKED, STATUSES, SUMMARY_COLUMNS
from cotreat.estimands.estimand import label_of
from cotreat.estimands.measures import MEASURES
from cotreat.results import store
from cotreat.results.supplementary import MULTIVERSE_COLUMNS
from cotreat.sensitivity.belief_grid import COLUMNS

RESULTS = Path(__file__).parent.parent / "results"
SUMMARIES = sorted(RESULTS.glob("*/*/summary.csv"))
LABELLED = sorted(
    path
    for name in ("multiverse", "grid", "induced", "power_scaling", "tipping", "confounding")
    for path in RESULTS.glob(f"*/*/{name}.csv")
)


def label(row):
    threshold = None if pd.isna(row.threshold) else row.threshold
    fields = (row.measure, row.contrast, row.pair, row.co_treatment, row.stratum)
    return label_of(*fields, threshold)


@pytest.mark.parametrize("path", SUMMARIES, ids=lambda path: path.parent.name)
def test_a_kept_summary_has_the_columns_of_now(path):
    table = store.read_summary(path)
    assert tuple(table.columns) == SUMMARY_COLUMNS
    assert set(table.status) <= set(STATUSES)
    assert [label(row) for row in table.itertuples()] == list(table.label)
    scales = [MEASURES[name].family.name if name in MEASURES else "" for name in table.measure]
    assert scales == list(table.scale)


@pytest.mark.parametrize("path", LABELLED, ids=lambda path: f"{path.parts[-3]}-{path.stem}")
def test_a_kept_supplementary_table_names_estimands_by_columns(path):
    table = store.read_table(path)
    assert set(ASKED) <= set(table.columns)
    assert "estimand" not in table
    expected = {"multiverse": MULTIVERSE_COLUMNS, "grid": COLUMNS}.get(path.stem)
    assert expected is None or tuple(table.columns) == expected
