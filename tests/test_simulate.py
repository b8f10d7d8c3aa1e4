"""Synthetic cohorts: their truth makes what is printed, and their patients show it again."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from validation.scripts import synthetic_cohort
from validation.simulate import SIGMA, SimulationError, draw_cohort, simulate, truth_of

from cotreat import load_study
from cotreat.evidence.joint_distribution import joint_distribution
from cotreat.evidence.reported import estimates_of
from cotreat.study_file.reader import packaged

MANY = 200_000


@pytest.fixture(scope="module")
def study():
    return load_study("sun2024")


@pytest.fixture(scope="module")
def truth(study):
    return truth_of(study, 793)


def test_truth_makes_the_printed_numbers(study, truth):
    told = study.resolve(strata="dose")
    numbers = estimates_of(told)
    assert [reported_estimate.id for reported_estimate in numbers.with_interval][-1] == "dose"
    log_odds = np.array([truth.log_odds[arm] for arm in told.present])
    n = np.array([float(truth.sizes[arm]) for arm in told.present])
    law = joint_distribution(np, numbers, log_odds, SIGMA, 0.0, n, 0.0)
    for reported_estimate, found in zip(numbers.with_interval, np.exp(law.ratios), strict=True):
        assert found == pytest.approx(reported_estimate.value.value, rel=0.03), reported_estimate.id
    assert law.mean[-1] == pytest.approx(221, abs=2)
    assert sum(truth.sizes.values()) == 793
    assert sum(n for arm, n in truth.sizes.items() if "TAC" in arm) == 244


@pytest.mark.slow
def test_many_patients_analysed_as_the_paper_did_show_the_printed_odds_ratios(study):
    frame, effects = draw_cohort(study, truth_of(study, MANY), 2)
    known = pd.get_dummies(frame[["age", "activity", "kidney", "period"]], drop_first=True).astype(
        float
    )

    def odds_ratio(rows, exposed):
        design = sm.add_constant(known[rows]).assign(exposed=exposed[rows].astype(float))
        fitted = sm.GLM(frame.response[rows], design, family=sm.families.Binomial()).fit()
        return np.exp(fitted.params["exposed"]), fitted.bse["exposed"], fitted.params

    tac, cyc, mmf = frame.tac == 1, frame.cyc == 1, frame.mmf == 1
    both_cyc, both_mmf = tac & cyc & ~mmf, tac & mmf & ~cyc
    cyc_alone, mmf_alone = cyc & ~tac & ~mmf, mmf & ~tac & ~cyc
    for rows, exposed, value in (
        (tac | ~tac, tac, 2.82),
        (both_cyc | cyc_alone, both_cyc, 2.15),
        (both_mmf | cyc_alone, both_mmf, 2.43),
        (both_cyc | mmf_alone, both_cyc, 3.14),
        (both_mmf | mmf_alone, both_mmf, 3.54),
        (~tac | (frame.tac_duration == "long"), frame.tac_duration == "long", 3.60),
        (~tac | (frame.tac_dose == "high"), frame.tac_dose == "high", 5.65),
    ):
        found, error, params = odds_ratio(rows, exposed)
        assert abs(np.log(found / value)) < 3.5 * error + 0.02
    # Coefficients of the last regression against the truth that is written beside the cohort.
    assert params["activity"] * frame.activity.std() == pytest.approx(effects["activity"], abs=0.06)
    assert params["age"] * frame.age.std() == pytest.approx(effects["age"], abs=0.06)
    assert frame.response.mean() == pytest.approx(221 / 793, abs=0.01)


def test_everything_written_says_that_it_is_synthetic(study, tmp_path):
    path = simulate(study, 793, 1, tmp_path)
    cohort = load_study(path)
    assert cohort.id == "sun2024-synthetic"
    assert cohort.title.startswith("SYNTHETIC")
    assert path.parent.name == "sun2024-synthetic"
    rows = pd.read_csv(path.with_suffix(".csv"))
    assert rows.synthetic.all()
    assert len(rows) == 793
    said = json.loads((path.parent / "truth.json").read_text(encoding="utf-8"))
    assert said["what"].startswith("SYNTHETIC")
    assert set(said["log_odds"]) == set(study.resolve(strata="dose").present)
    assert set(said["levels"]) == {"TAC.short", "TAC.long"}
    assert int(cohort.n.sum()) == 793
    again = simulate(study, 793, 1, tmp_path / "again")
    assert again.with_suffix(".csv").read_bytes() == path.with_suffix(".csv").read_bytes()


def test_the_packaged_cohort_is_the_one_of_seed_1(study, tmp_path):
    # Made by: cotreat simulate sun2024 --patients 793 --seed 1
    path = simulate(study, 793, 1, tmp_path)
    cohort = load_study("sun2024-synthetic")
    assert "sun2024-synthetic" in packaged()
    assert cohort.digest == load_study(path).digest


def test_the_script_writes_a_cohort(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        sys, "argv", ["synthetic_cohort", "--patients", "300", "--out", str(tmp_path)]
    )
    synthetic_cohort.main()
    assert capsys.readouterr().out.startswith("SYNTHETIC cohort: ")
    with pytest.raises(SimulationError, match="isis2 cannot be simulated"):
        simulate(load_study("isis2"), 300, 1, tmp_path)
