"""E-values against the R package EValue and published examples (tests/reference/e_values.R)."""

import csv
from pathlib import Path

import numpy as np
import pytest

from cotreat import load_study
from cotreat.bias.e_values import (
    ANY,
    SAME,
    Stratum,
    e_value,
    heterogeneity,
    least_contrast,
    nearer_limit,
    of_interactions,
    of_ratios,
)
from cotreat.models.registry import MODELS
from cotreat.results.summary import POSTERIOR, PRINTED
from tests.codes import table_of_codes
from tests.test_summary import draws

with (Path(__file__).parent / "reference" / "e_values.csv").open(encoding="utf-8") as file:
    REFERENCE = {
        (row["study"], row["quantity"]): float(row["value"]) for row in csv.DictReader(file)
    }

LETENNEUR = ((158, 2988, 6, 364), (64, 1790, 17, 605))
MADE_UP = ((150, 300, 60, 300), (90, 300, 75, 300))


def strata(table):
    return tuple(Stratum(r1 / n1, r0 / n0, n1 / (n1 + n0)) for r1, n1, r0, n0 in table)


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


@pytest.mark.parametrize(("name", "table"), [("letenneur", LETENNEUR), ("made-up", MADE_UP)])
def test_interaction_as_evalues_ic(name, table):
    """R stops its search within about 1e-4 of the bias factor."""
    one, zero = strata(table)
    assert heterogeneity(one, zero) == pytest.approx(REFERENCE[name, "est any"], rel=2e-3)
    same = heterogeneity(one, zero, direction=SAME)
    assert same == pytest.approx(REFERENCE[name, "est unknown"], rel=2e-3)


@pytest.mark.parametrize(("name", "table"), [("letenneur", LETENNEUR), ("made-up", MADE_UP)])
def test_limit_of_interaction_as_evalues_ic(name, table):
    """Draws of R's large-sample law give R's limit where confounding has raised both risk differences.

    Where it has lowered one, R takes the variance that goes with raising it, and is off by some per cent.
    """
    rng = np.random.default_rng(1)

    def drawn(events, n):
        p = events / n
        return rng.normal(p, np.sqrt(p * (1 - p) / n), 200_000)

    one, zero = (
        Stratum(drawn(r1, n1), drawn(r0, n0), drawn(n1, n1 + n0)) for r1, n1, r0, n0 in table
    )
    value = REFERENCE[name, "CI positive"]
    bound = least_contrast(one, zero, (value**2 / (2 * value - 1), 1.0))
    assert np.quantile(bound, 0.025) == pytest.approx(0, abs=0.02 * bound.std())
    for direction, word in ((ANY, "any"), (SAME, "unknown")):
        found = heterogeneity(one, zero, lambda c: float(np.quantile(c, 0.025)), direction)
        assert found == pytest.approx(REFERENCE[name, f"CI {word}"], rel=0.05)


def test_at_the_bias_factor_the_contrast_is_gone():
    one, zero = strata(MADE_UP)
    value = heterogeneity(one, zero)
    factor = value**2 / (2 * value - 1)  # a confounder as strong as the E-value on both sides
    assert least_contrast(one, zero, (factor, factor)) == pytest.approx(0, abs=1e-9)
    assert heterogeneity(zero, one) == 1.0  # a negative contrast needs no confounder to be null


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
        (PRINTED, "odds_ratio[TAC vs not TAC]", "identified", 2.82, 1.89, 4.22),
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
    study, model = load_study("oral-cancer"), MODELS["interaction"]
    waist = draws(np.full((10, 4), 0.3), study.regimens)
    assert of_interactions(study, model, waist).empty


def test_interaction_of_counts_by_its_draws(three):
    study, model = three, MODELS["interaction"]
    rng = np.random.default_rng(2)
    risk = rng.beta(20, 40, (500, len(study.regimens)))
    risk[:, study.regimens.index("A+B+C")] += 0.3
    table = of_interactions(study, model, draws(risk, study.regimens))
    # Nobody was on none of the drugs, so that only with the third drug have all four cells patients.
    assert set(table.co_treatment) == {"A", "B", "C"}
    row = table[(table.pair == "A:B") & (table.exposure == "B") & (table.direction == ANY)].iloc[0]
    r = dict(zip(study.regimens, risk.T, strict=True))
    n = dict(zip(study.counted, study.n, strict=True))
    one = Stratum(r["A+B+C"], r["A+C"], n["A+B+C"] / (n["A+B+C"] + n["A+C"]))
    zero = Stratum(r["B+C"], r["C"], n["B+C"] / (n["B+C"] + n["C"]))
    assert row.ic == pytest.approx(np.median(r["A+B+C"] - r["A+C"] - r["B+C"] + r["C"]))
    assert row.e_value == pytest.approx(heterogeneity(one, zero, lambda c: float(np.median(c))))
    assert row.e_value > row.e_value_limit > 1
