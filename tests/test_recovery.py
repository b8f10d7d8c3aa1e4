"""The recovery study: its pieces, one big cohort, and what its table says."""

import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit

from cotreat import load_study, parse_study
from cotreat.core.constants import IDENTIFIED
from cotreat.evidence.reported import estimates_of, incompatibilities, link_value
from cotreat.models.build import build
from cotreat.models.registry import find_model
from cotreat.models.select import priors_for
from cotreat.priors.sets import prior_set

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results" / "recovery"
REGIMENS = ("none", "TAC", "CYC", "MMF", "TAC+CYC", "TAC+MMF", "CYC+MMF", "TAC+CYC+MMF")
SIZES = (24, 230, 220, 95, 95, 99, 30)


@pytest.fixture(scope="module")
def script():
    return import_module("validation.scripts.recovery")


def truth_of(script, conditional, n=SIZES, loss=0.1, shifts=(0.0, 0.0)):
    by_regimen = dict(zip(REGIMENS, conditional, strict=True))
    return script.Truth(by_regimen, by_regimen, n, sigma=0.8, loss=loss, shifts=shifts)


@pytest.fixture(scope="module")
def truth(script):
    return truth_of(script, (0.2, 0.3, 0.24, 0.19, 0.42, 0.41, 0.26, 0.45))


@pytest.fixture(scope="module")
def cohort(script, truth):
    return script.print_cohort(truth, np.random.default_rng(3))


# --- Truths ----------------------------------------------------------------------------------------


def test_sizes_are_whole_patients_and_keep_their_total(script):
    rng = np.random.default_rng(1)
    for total, arms in ((244, 4), (549, 3), (7, 4)):
        for _ in range(100):
            sizes = total * rng.dirichlet(np.full(arms, 0.5))
            n = script.whole(sizes, total)
            assert n.sum() == total
            assert n.min() >= 1
            if sizes.min() >= 1:
                assert np.abs(n - sizes).max() < 1


def test_truths_have_the_totals_of_the_flagship(script):
    for times in (1, 10):
        for truth in script.truths(20, seed=1, times=times):
            on = sum(n for n, arm in zip(truth.n, script.ARMS, strict=True) if "TAC" in arm)
            assert (on, sum(truth.n)) == (244 * times, 793 * times)
            assert tuple(truth.conditional) == REGIMENS


def test_the_true_set_odds_ratio_is_that_of_its_arms_where_these_are_alike(script, cohort):
    study = parse_study(script.study_text("alike", cohort))
    alike = truth_of(script, [0.4 if "TAC" in regimen else 0.2 for regimen in REGIMENS])
    risk_draws = script.waist_at(alike, study)
    # Coefficients are exact within 1e-3 standard errors.
    assert float(risk_draws["log_ratio"].sel(reported_estimate="tac")) == pytest.approx(
        logit(0.4) - logit(0.2), abs=1e-4
    )
    true = {script._code(e): float(e.values(risk_draws)) for e in script.asked(study)}
    odds = (0.4 / 0.6) / (0.2 / 0.8)
    assert true["odds_ratio[TAC+CYC vs CYC]"] == pytest.approx(odds)
    assert true["odds_ratio[TAC+MMF vs TAC+CYC]"] == pytest.approx(1)
    assert true["risk[none]"] == pytest.approx(0.2)


# --- What is printed -------------------------------------------------------------------------------


def test_printed_numbers_have_two_decimals_and_contradict_nothing(script, cohort):
    assert set(cohort.ratios) == set(script.CLAIMS)
    for value, lower, upper in cohort.ratios.values():
        assert all(re.fullmatch(r"\d+\.\d\d", text) for text in (value, lower, upper))
        assert float(lower) < float(value) < float(upper)
    assert (cohort.total, cohort.on) == (793, 244)
    assert incompatibilities(parse_study(script.study_text("one", cohort))) == []


def test_the_study_says_what_the_flagship_says(script, cohort):
    study = parse_study(script.study_text("recovery-000", cohort))
    own, flagship = estimates_of(study), estimates_of(load_study("sun2024"))
    assert own.names == flagship.names
    assert own.kept == flagship.kept
    assert own.sizes.blocks == flagship.sizes.blocks
    np.testing.assert_array_equal(own.shifted, flagship.shifted)
    equations = [[c.equation for c in n.regressions.coefficients] for n in (own, flagship)]
    assert equations[0] == equations[1]
    assert [c.adjusted for c in own.reported_estimates] == [
        c.adjusted for c in flagship.reported_estimates
    ]
    for reported_estimate in own.reported_estimates:
        assert link_value(reported_estimate) == np.log(
            float(cohort.ratios[reported_estimate.id][0])
        )


def test_a_shift_moves_all_odds_ratios_of_its_regression(script, truth, cohort):
    shifted = truth_of(script, truth.conditional.values(), shifts=(0.0, np.log(2)))
    moved = script.print_cohort(shifted, np.random.default_rng(3))
    assert moved.ratios["tac"] == cohort.ratios["tac"]
    for reported_estimate in set(script.CLAIMS) - {"tac"}:
        for before, after in zip(
            cohort.ratios[reported_estimate], moved.ratios[reported_estimate], strict=True
        ):
            assert float(after) == pytest.approx(2 * float(before), abs=0.016)


def test_loss_widens_the_printed_interval_by_as_much(script, truth):
    def width(loss):
        one = truth_of(script, truth.conditional.values(), tuple(20 * n for n in SIZES), loss)
        ends = script.print_cohort(one, np.random.default_rng(3)).ratios["tac"]
        return np.log(float(ends[2]) / float(ends[1]))

    # Printed with two decimals, an end of 2.50 is within 0.2 %, and a width of 0.2 within 2 %.
    assert width(0.3) / width(0.0) == pytest.approx(1.3, rel=0.04)


def test_nobody_prints_an_arm_with_few_events(script, truth):
    small = truth_of(script, truth.conditional.values(), (24, 230, 220, 9, 181, 99, 30))
    assert script.print_cohort(small, np.random.default_rng(3)) is None


# --- Posteriors ------------------------------------------------------------------------------------


def test_the_density_with_data_as_arguments_is_that_of_the_model(script, cohort, truth):
    other = script.print_cohort(truth, np.random.default_rng(4))
    first, third = (
        parse_study(script.study_text(f"recovery-00{at}", one))
        for at, one in enumerate((cohort, other))
    )
    sampler = script.Sampler(first)
    model = find_model(script.MODEL, third)
    built = build(third, model, priors_for(prior_set(script.PRIORS, third), model, third))
    start = built.initial_point()
    expected = built.compile_logp(mode="FAST_COMPILE")(start)
    own = float(sampler.log_density(sampler.start, sampler.data(third)))
    assert own == pytest.approx(float(expected), rel=1e-10)
    assert own != pytest.approx(float(sampler.log_density(sampler.start, sampler.data(first))))


def test_a_run_goes_on_after_the_last_whole_cohort(script, tmp_path):
    table = tmp_path / "table.csv"
    rows = [(at, name) for at in (0, 1) for name in script.ASKED]
    pd.DataFrame(rows[:-3], columns=["cohort", "estimand"]).to_csv(table, index=False)
    assert script.finished(table) == {0}
    assert len(pd.read_csv(table)) == len(script.ASKED)


@pytest.mark.long
def test_a_cohort_ten_times_as_large_is_recovered_by_narrower_intervals(script, monkeypatch):
    # Of as many draws as in the study, one fit in twenty has an R-hat just above its bar by chance.
    monkeypatch.setattr(script, "DRAWS", 2000)
    cohorts = {}
    for times in (1, 10):
        # The seventh is the first whose cohort would be printed at either size.
        truth = script.truths(7, seed=7, times=times)[6]
        one = script.print_cohort(truth, np.random.default_rng(1))
        cohorts[times] = truth, parse_study(script.study_text(f"big-{times}", one))
    sampler = script.Sampler(cohorts[1][1])
    width = {}
    for times, (truth, study) in cohorts.items():
        table = pd.DataFrame(script.rows(study, truth, sampler.sample(study, 1)))
        # A divergence or two near a spread of 0 does not move an interval; a chain elsewhere does.
        assert table["max_rhat"].max() <= script.RHAT
        observed = table[table["status"] == IDENTIFIED].set_index("estimand")
        assert set(observed.index) == set(script.OBSERVED_RATIOS)
        width[times] = np.log(observed["upper"] / observed["lower"])
    assert observed["truth"].between(observed["lower"], observed["upper"]).all()
    # Not by √10: other covariates of a regression move its odds ratios however many patients.
    assert (width[10] / width[1]).max() < 0.75


# --- Results ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def results():
    return pd.read_csv(RESULTS / "table.csv")


def test_every_row_of_the_table_is_what_it_says(script, results):
    names = results.groupby("cohort")["estimand"].agg(tuple)
    assert names.map(lambda own: own == script.ASKED).all()
    holds = results["truth"].between(results["lower"], results["upper"])
    assert (holds == results["covered"].astype(bool)).all()
    observed = results["status"] == IDENTIFIED
    assert set(results["estimand"][observed]) == set(script.OBSERVED_RATIOS)


def test_observed_odds_ratios_are_recovered(script, results):
    own = results[results["estimand"].isin(script.OBSERVED_RATIOS)]
    holds = own["truth"].between(own["lower"], own["upper"]).groupby(own["cohort"]).mean()
    assert len(holds) >= 100
    assert holds.mean() >= 0.90


def test_the_page_is_made_from_the_table(script, results):
    assert (RESULTS / "README.md").read_text(encoding="utf-8") == script.page(results)
