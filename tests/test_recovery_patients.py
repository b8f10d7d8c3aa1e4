"""Recovery from patients: its pieces against closed forms, a run end to end, and what its table says."""

import json
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import arviz as az
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from scipy import stats
from scipy.special import expit, logit

from cotreat.diagnostics.checks import checks, failures
from cotreat.inference.sampling import fit_of
from cotreat.models.build import build
from cotreat.models.select import priors_for
from cotreat.priors.sets import prior_set
from tests.shared import fit

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "results" / "recovery" / "patients.csv"


@pytest.fixture(scope="module")
def script():
    return import_module("validation.scripts.recovery_patients")


@pytest.fixture(scope="module")
def experiment(script):
    return script.Experiment("interaction", seed=1, scenarios=40)


# --- Truths ----------------------------------------------------------------------------------------


def test_the_design_is_the_synthetic_cohort_with_six_centres(experiment):
    cells = experiment.study.patterns
    assert cells.n.sum() == 793
    assert len(cells.clusters) == 6
    assert np.bincount(cells.cluster, weights=cells.n).min() > 793 / 6 - 4 * np.sqrt(793 * 5 / 36)
    assert len(experiment.study.treatment_ids) == 3
    assert "none" not in experiment.study.counted


def test_truths_are_what_the_drawn_parameters_make(script, experiment):
    """Against sums and means over patients, written out without the package's own formulas."""
    study, cells = experiment.study, experiment.study.patterns
    for at in (0, 7):
        scenario = experiment.scenarios.isel(chain=0, draw=at)
        truth = experiment.truths.isel(chain=0, draw=at)
        shift = cells.values @ scenario["delta"].values
        shift += scenario["between"].values * scenario["cluster_z"].values[cells.cluster]

        def log_odds(regimen, scenario=scenario):
            drugs = set(regimen.split("+")) - {"none"}
            of_pairs = [p for p in study.pair_labels if set(p.split(":")) <= drugs]
            return float(
                sum(scenario["beta"].sel(treatment=drug) for drug in drugs)
                + sum(scenario["gamma"].sel(pair=pair) for pair in of_pairs)
            )

        # The intercept is the mean log-odds of the regimens of the cohort.
        level = float(scenario["alpha"]) - np.mean([log_odds(arm) for arm in study.counted])

        def risk(regimen, shift=level + shift, log_odds=log_odds):
            return np.average(expit(log_odds(regimen) + shift), weights=cells.n)

        expected = {
            "odds_ratio[TAC+MMF vs CYC]": np.exp(log_odds("TAC+MMF") - log_odds("CYC")),
            "risk[none]": risk("none"),
            "risk_difference[TAC+CYC+MMF vs CYC]": risk("TAC+CYC+MMF") - risk("CYC"),
            "ic[TAC:MMF] with CYC": risk("TAC+CYC+MMF")
            - risk("TAC+CYC")
            - risk("CYC+MMF")
            + risk("CYC"),
            "ror[CYC:MMF]": np.exp(scenario["gamma"].sel(pair="CYC:MMF")),
            "delta[age]": scenario["delta"].values[0],
            "between": scenario["between"],
            "cluster_effect[F]": (scenario["between"] * scenario["cluster_z"]).values[5],
        }
        for effect, value in expected.items():
            assert float(truth.sel(effect=effect)) == pytest.approx(float(value)), effect
    counts = truth["effect"].to_series().str.partition("[")[0].value_counts()
    of_every_kind = {"beta": 3, "gamma": 3, "delta": 4, "between": 1, "cluster_effect": 6}
    of_every_kind |= {"risk": 8, "odds_ratio": 6, "risk_difference": 6, "ic": 6, "ror": 3}
    assert counts.to_dict() == of_every_kind
    assert script.REFERENCE in study.counted


def test_responses_are_drawn_from_the_truth(experiment):
    """Standardised sums of events by scenario are standard normal: 40 scenarios, mean and variance."""
    cells, scenarios = experiment.study.patterns, experiment.scenarios.isel(chain=0)
    arms = list(scenarios["arm"].values)
    eta = logit(scenarios["conditional_risk"].values)[:, [arms.index(r) for r in cells.regimens]]
    eta = eta + scenarios["delta"].values @ cells.values.T
    eta += scenarios["cluster_effect"].values[:, cells.cluster]
    p, events = expit(eta), scenarios["events"].values
    z = (events - cells.n * p).sum(1) / np.sqrt((cells.n * p * (1 - p)).sum(1))
    assert abs(z.mean()) < 4 / np.sqrt(40)
    assert (z**2).sum() < stats.chi2.ppf(0.9999, 40)
    assert (z**2).sum() > stats.chi2.ppf(0.0001, 40)


def test_a_truth_does_not_depend_on_how_many_are_drawn(script, experiment):
    few = script.Experiment("interaction", seed=1, scenarios=3)
    xr.testing.assert_identical(few.truths, experiment.truths.isel(draw=slice(3)))
    np.testing.assert_array_equal(few.scenarios["events"], experiment.scenarios["events"][:, :3])


# --- Posteriors ------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["interaction", "exchangeable"])
def test_the_density_given_responses_is_that_of_a_model_built_on_them(script, model):
    own = script.Experiment(model, seed=1, scenarios=2)
    rng, responses = np.random.default_rng(1), own.scenarios["events"].values[0, 1]
    cells = replace(own.study.patterns, events=responses)
    other = replace(own.study, stratified=replace(own.study.stratified, patterns=cells))
    priors = priors_for(prior_set("weak", other), own.model, other)
    expected = build(other, own.model, priors).compile_logp(mode="FAST_COMPILE")
    names = [value.name for value in own.built.value_vars]
    data = own.data(responses)
    for _ in range(3):
        x = rng.normal(0, 0.5, sum(int(np.prod(shape)) for shape in own.shapes))
        point = dict(zip(names, map(np.asarray, script.split(x, own.shapes)), strict=True))
        assert float(own.log_density(x, data)) == pytest.approx(float(expected(point)), rel=1e-10)
        unlike = own.data(own.scenarios["events"].values[0, 0])
        assert abs(float(own.log_density(x, unlike)) - float(expected(point))) > 1


@pytest.mark.long
def test_the_posterior_is_that_of_fit(experiment):
    """Means and SDs of all effects differ by Monte Carlo error: 46 × 2 numbers, none over 4.5 of it."""
    study = experiment.study
    draws, _ = experiment.sample(study.patterns.events, seed=5)
    tree = fit(study, "interaction", draws=1500, seed=6)
    own, other = (experiment.effects(d) for d in (draws, tree["posterior"].to_dataset()))
    assert not failures(checks(fit_of(study, experiment.model, tree)))
    pair = [xr.Dataset({"e": e}) for e in (own, other)]
    dims = ("chain", "draw")
    for method, moment in (("mean", xr.DataArray.mean), ("sd", xr.DataArray.std)):
        error = np.sqrt(sum(az.mcse(p, method=method)["e"] ** 2 for p in pair))
        assert float((abs(moment(own, dims) - moment(other, dims)) / error).max()) < 4.5, method


@pytest.mark.long
def test_two_cohorts_end_to_end(script, tmp_path, monkeypatch, capsys):
    argv = ["recovery_patients.py", "--replicates", "2", "--out", str(tmp_path), "--processes", "2"]
    monkeypatch.setattr(sys, "argv", argv)
    script.main()
    assert "2 of 2" in capsys.readouterr().err
    table = pd.read_csv(tmp_path / "patients.csv")
    assert (table["replicates"] == 2).all()
    # Of 92 intervals of two scenarios, correlated: 60 is far below what a right posterior covers.
    assert table["covered"].sum() > 60
    lines = (tmp_path / "patients.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    assert sorted(one["replicate"] for one in records) == [0, 1]
    truths = script.Experiment("interaction", 1, 2).truths
    for one in records:
        assert one["rhat"] < 1.05
        expected = truths.isel(chain=0, draw=one["replicate"])
        assert [row[0] for row in one["effects"].values()] == pytest.approx(expected.values)
    written = (tmp_path / "patients.md").read_text(encoding="utf-8")
    assert f"{table['covered'].sum() / 92:.1%} of the 95 % intervals" in written
    script.main()
    assert capsys.readouterr().err == ""  # nothing is left to be done


# --- Results ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 3, 50, 200, 1000])
def test_the_band_is_that_of_scipy(script, count):
    lower, upper = script.band(count)
    assert (lower, upper) == stats.binom.interval(0.999, count, 0.95)
    assert stats.binom.cdf(lower - 1, count, 0.95) < 0.0005 <= stats.binom.cdf(lower, count, 0.95)


def records_of(factor, failed=frozenset()):
    """Return records of a normal mean, θ ~ N(0, 1), y ~ N(θ, 1), whose posterior is N(y/2, 1/2)."""
    rng, records = np.random.default_rng(3), []
    for at in range(200):
        theta = rng.normal(size=2)
        mean, sd = (theta + rng.normal(size=2)) / 2, np.sqrt(0.5)
        half = 1.96 * sd * np.array([1, factor])
        below = stats.norm.cdf((theta - mean) / sd)
        rows = np.stack([theta, mean, mean - half, mean + half, below], axis=1)
        effects = dict(zip(("right", "shrunken"), rows.tolist(), strict=True))
        rhat = 1.2 if at in failed else 1.001
        found = {"model": "interaction", "seed": 1, "replicate": at, "rhat": rhat, "ess": 2000.0}
        records.append({**found, "divergences": 0, "effects": effects})
    return records


def test_intervals_that_are_too_narrow_are_reported(script):
    # Shrunken by 0.7 they cover 2Φ(0.7 × 1.96) − 1 = 83 %.
    table = script.table_of(script.rows_of(records_of(0.7))).set_index("effect")
    assert table.loc["right", "inside"] == "yes"
    assert table.loc["shrunken", "inside"] == "no"
    assert table.loc["shrunken", "coverage"] == pytest.approx(0.83, abs=0.08)
    assert abs(table["mean_rank_z"]).max() < 4
    written = script.page(records_of(0.7), "interaction", "patients")
    assert "for 200 cohorts): `shrunken`;" in written


def test_failed_fits_are_counted_and_not_dropped(script):
    records = records_of(1.0, failed=range(30))
    table = script.table_of(script.rows_of(records))
    assert (table["replicates"] == 200).all()
    assert (table["sound_replicates"] == 170).all()
    assert "30 of 200 fits fail a check" in script.page(records, "interaction", "patients")
    for broken in ({"ess": 999.0}, {"divergences": 1}, {"rhat": 1.011}):
        assert script.has_failed(records[-1] | broken)
    assert not script.has_failed(records[-1])


def test_compared_gives_equal_tailed_limits(script):
    draws = np.arange(4000.0).reshape(4, 1000, 1)
    found = xr.DataArray(draws, dims=("chain", "draw", "effect"), coords={"effect": ["e"]})
    truth = xr.DataArray([999.5], dims="effect", coords={"effect": ["e"]})
    (row,) = script.compared(truth, found).values()
    assert row == pytest.approx([999.5, 1999.5, 99.975, 3899.025, 0.25])


def test_a_run_goes_on_after_the_last_whole_line(script, tmp_path):
    scratch = tmp_path / "scratch.jsonl"
    records = records_of(1.0)[:3]
    text = "".join(json.dumps(one) + "\n" for one in [*records, records[0] | {"seed": 2}])
    scratch.write_text(text + json.dumps(records[2])[:50], encoding="utf-8")
    assert list(script.finished(scratch, "interaction", 1)) == [0, 1, 2]
    assert list(script.finished(scratch, "interaction", 2)) == [0]
    assert script.finished(scratch, "exchangeable", 1) == {}
    assert scratch.read_text(encoding="utf-8") == text


@pytest.mark.skipif(not TABLE.exists(), reason="patients.csv has not been made yet")
def test_the_truth_is_recovered(experiment):
    table = pd.read_csv(TABLE)
    assert set(table["effect"]) == set(experiment.truths["effect"].values)
    assert (table["replicates"] >= 200).all()
    assert table["covered"].sum() / table["replicates"].sum() == pytest.approx(0.95, abs=0.02)
    for row in table.itertuples():
        lower, upper = stats.binom.interval(0.999, row.replicates, 0.95)
        assert lower <= row.covered <= upper, row.effect
        assert row.inside == "yes"
