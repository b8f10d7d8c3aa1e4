"""E-values against the R package EValue and published examples (tests/reference/e_values.R)."""

import csv
from pathlib import Path

import numpy as np
import pytest

from cotreat import load_study
from cotreat.bias.e_values import e_value, nearer_limit, of_ratios
from cotreat.results.summary import POSTERIOR, REPORTED
from tests.codes import table_of_codes

with (Path(__file__).parent / "reference" / "e_values.csv").open(encoding="utf-8") as file:
    REFERENCE = {
        (row["study"], row["quantity"]): float(row["value"]) for row in csv.DictReader(file)
    }


def test_vanderweele_and_ding():
    """Ann Intern Med 2017;167:268: risk ratio 3.9 (1.8 to 8.7) has 7.26, and 3.0 for the limit."""
    assert float(e_value(3.9)) == pytest.approx(7.26, abs=0.005)
    assert float(e_value(nearer_limit(1.8, 8.7))) == pytest.approx(3.0, abs=1e-9)
    for quantity, ratio in (("estimate", 3.9), ("limit", 1.8)):
        assert float(e_value(ratio)) == pytest.approx(REFERENCE["vanderweele-ding", quantity])


def test_below_one_it_is_that_of_the_inverse():
    assert float(e_value(1 / 3.9)) == pytest.approx(float(e_value(3.9)))
    assert nearer_limit(0.2, 0.8) == 0.8
    assert nearer_limit(0.8, 1.2) == 1.0
    root = np.sqrt([0.86, 0.99])
    assert float(e_value(root[0])) == pytest.approx(REFERENCE["common-odds-ratio", "estimate"])
    assert float(e_value(root[1])) == pytest.approx(REFERENCE["common-odds-ratio", "limit"])


def summary(rows):
    columns = ["estimator", "estimand", "status", "estimate", "lower", "upper"]
    return table_of_codes(rows, columns).assign(judged_on="event")


def test_common_outcome_of_printed_numbers_by_square_root():
    study = load_study("sun2024")
    rows = [
        (POSTERIOR, "risk[TAC+CYC]", "not identified", 0.42, 0.2, 0.7),
        (POSTERIOR, "odds_ratio[TAC+CYC vs CYC]", "identified", 2.0, 1.21, 4.0),
        (POSTERIOR, "odds_ratio[TAC+CYC vs none]", "not identified", 4.0, 1.5, 9.0),
        (POSTERIOR, "odds_ratio[CYC+MMF vs TAC]", "not identified", 1.0, 0.5, 2.0),
        (POSTERIOR, "risk_ratio[TAC+CYC vs CYC]", "not identified", 1.6, 1.1, 2.5),
        (REPORTED, "odds_ratio[TAC vs not TAC]", "identified", 2.82, 1.89, 4.22),
    ]
    table = of_ratios(study, summary(rows))
    assert list(table.contrast) == ["TAC+CYC vs CYC", "TAC vs not TAC"]
    assert table.as_risk_ratio.tolist() == pytest.approx([np.sqrt(2.0), np.sqrt(2.82)])
    # √2 + √(√2 (√2 − 1)); the limit √1.21 = 1.1 gives 1.1 + √0.11
    assert table.e_value[0] == pytest.approx(2.1796, abs=1e-4)
    assert table.e_value_limit[0] == pytest.approx(1.1 + np.sqrt(0.11))


def test_case_control_tells_both_assumptions():
    rows = [(POSTERIOR, "odds_ratio[ALC+SMK vs SMK]", "identified", 4.0, 0.9, 9.0)]
    table = of_ratios(load_study("oral-cancer"), summary(rows))
    assert table["as_risk_ratio"].tolist() == [2.0, 4.0]
    assert table["from"].str.contains("if the outcome is").all()
    assert table.e_value_limit.tolist() == [1.0, 1.0]
