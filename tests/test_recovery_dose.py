"""The dose that nobody printed: truths, prints, and what the table in results/ says."""

from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.special import expit

from cotreat.evidence.reported import estimates_of, link_value

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results" / "recovery"


@pytest.fixture(scope="module")
def script():
    return import_module("validation.scripts.recovery_dose")


@pytest.fixture(scope="module")
def truth(script):
    return list(script.truths(3, 5))[2]


def test_the_true_ratio_is_what_a_large_cohort_would_print(script, truth):
    # A hundred times as many patients, and the regression that leaves the lower dose out of print.
    study, _, _ = script.stated()
    arm = np.repeat(np.arange(len(truth["n"])), 300 * truth["n"])
    rng = np.random.default_rng(1)
    score = rng.normal(size=len(arm))
    y = rng.binomial(1, expit(truth["log_odds"][arm] + truth["sigma"] * score))
    low, high = (study.members(f"TAC.{level}", study.present)[arm] for level in ("low", "high"))
    design = np.column_stack([low, high, np.ones(len(y)), score]).astype(float)
    fitted = sm.GLM(y, design, family=sm.families.Binomial()).fit()
    assert abs(fitted.params[0] - np.log(script.true_ratio(truth))) < 4 * fitted.bse[0]
    assert fitted.bse[0] < 0.06


def test_sizes_keep_the_printed_margins(script, truth):
    study, _, _ = script.stated()
    on = study.members("TAC", study.present)
    assert (truth["n"][on].sum(), truth["n"][~on].sum()) == (244, 549)


def test_a_printed_cohort_has_the_higher_dose_and_not_the_lower(script):
    printings = (
        script.print_cohort(one, np.random.default_rng(at), at)
        for at, one in enumerate(script.truths(20, 5))
    )
    study = next(one for one in printings if one is not None)
    numbers = estimates_of(study.resolve(strata="dose"))
    assert [reported_estimate.id for reported_estimate in numbers.with_interval] == ["tac", "dose"]
    assert numbers.inferred_ids == ("inferred odds_ratio[TAC.low vs not TAC]",)
    assert study.totals[0].n == 793
    assert np.isfinite(link_value(numbers.with_interval[1]))


def test_the_summary_counts_what_the_table_says(script):
    table = pd.DataFrame(
        {
            "lower": [1.0, 1.0, 2.0, 1.0],
            "upper": np.exp([1.0, 2.0, 3.0, 4.0]) * [1, 1, 2, 1],
            "covered": [1, 1, 0, 1],
            "rhat": [1.0, 1.0, 1.0, 1.2],
            "divergences": [0, 3, 0, 0],
        }
    )
    found = script.summed(table, 5.0)
    assert found["coverage"] == 0.75
    assert found["width"] == pytest.approx(2.5 / 5)
    assert found["failed"] == 2


def test_the_lower_dose_is_recovered(script):
    table = pd.read_csv(RESULTS / "dose.csv")
    assert len(table) == script.COHORTS
    assert (table.covered == table.truth.between(table.lower, table.upper)).all()
    found = script.summed(table, script.prior_width(script.SEED))
    assert found["coverage"] >= script.COVERAGE_BAR
    assert found["width"] <= script.WIDTH_BAR
    page = (RESULTS / "dose.md").read_text(encoding="utf-8")
    assert f"in {found['coverage']:.0%} of {len(table)} cohorts" in page


@pytest.mark.long
def test_a_cohort_of_the_table_is_recovered_again(script):
    before = pd.read_csv(RESULTS / "dose.csv").set_index("cohort").loc[1]
    again = script.recovered(script.SEED, 1)
    assert again["truth"] == pytest.approx(before.truth, rel=1e-5)
    assert np.log(again["estimate"] / before.estimate) == pytest.approx(0, abs=0.05)
    assert again["rhat"] < 1.02
