"""Calibration: ranks that are uniform where they must be, and are not where a likelihood is wrong."""

import os
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from arviz_stats.base import array_stats
from scipy import stats
from validation.scripts import simuk_check

from cotreat import parse_study
from cotreat.calibration import kept
from cotreat.calibration.kept import jobs, template, template_path
from cotreat.calibration.parallel import workers
from cotreat.calibration.replicates import (
    RANKED,
    Job,
    batches_of,
    draw_evidence,
    draw_parameters,
    run_batch,
)
from cotreat.calibration.sbc import MOST_DROPPED, calibrate
from cotreat.calibration.uniformity import Uniformity, holm
from cotreat.cli import main
from cotreat.core.errors import ModelError
from cotreat.evidence import reported, reported_likelihood
from cotreat.inference import batch
from cotreat.inference.batch import Specification, fit_many
from cotreat.models.build import build
from cotreat.priors.sets import prior_set
from cotreat.results import store

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results" / "calibration"
UNSIGNED = """
[[reported]]
id = "p-ab"
kind = "p_value"
contrast = "A x B"
value = 0.04
adjusted = false
source = "made up"
"""


# --- Uniformity ------------------------------------------------------------------------------------


def test_p_values_of_uniform_ranks_are_uniform():
    rule = Uniformity.of(300, 99)
    rng = np.random.default_rng(2)
    p = [rule.p_value(rng.integers(0, 100, 300)) for _ in range(1000)]
    assert stats.kstest(p, "uniform").pvalue > 0.01


def p_value_by_arviz(ranks, draws, seed=1):
    """Return the p-value of ArviZ's test: pointwise order-based, combined by Cauchy (arXiv:2603.02928).

    Each rank is spread evenly over its step, because the test is of continuous values. The test is
    approximate: it rejects uniform ranks somewhat more often than its level.
    """
    values = (ranks + np.random.default_rng(seed).uniform(size=len(ranks))) / (draws + 1)
    return float(array_stats.uniformity_test(values)[0])


def test_the_exact_p_value_orders_ranks_as_that_of_arviz_does():
    rule = Uniformity.of(300, 99)
    every = np.random.default_rng(5).integers(0, 100, (400, 300))
    exact = np.array([rule.p_value(ranks) for ranks in every])
    other = np.array([p_value_by_arviz(ranks, 99) for ranks in every])
    assert stats.spearmanr(exact, other).statistic > 0.85
    assert 0.02 < (other <= 0.05).mean() < 0.12
    far = np.floor(100 * np.random.default_rng(6).beta(1.0, 0.8, 1000)).astype(int)
    assert p_value_by_arviz(far, 99) < 0.001


@pytest.mark.parametrize("level", [0.9, 0.99])
def test_bands_hold_all_points_as_often_as_they_say(level):
    rule = Uniformity.of(300, 99)
    lower, upper = rule.band(level)
    rng = np.random.default_rng(3)
    ranks = rng.integers(0, 100, (2000, 300))
    reached = np.stack([np.cumsum(np.bincount(row, minlength=100))[:-1] for row in ranks]) / 300
    inside = ((reached >= lower - 1e-12) & (reached <= upper + 1e-12)).all(1).mean()
    assert inside == pytest.approx(level, abs=3 * np.sqrt(level * (1 - level) / 2000) + 0.003)


@pytest.mark.parametrize("shape", [(1.0, 0.8), (0.8, 0.8), (1.25, 1.25)])
def test_ranks_that_lean_or_are_too_wide_or_narrow_fail(shape):
    rng = np.random.default_rng(4)
    ranks = np.floor(100 * rng.beta(*shape, 1000)).astype(int)
    assert Uniformity.of(1000, 99).p_value(ranks) < 0.001


def test_holm_by_hand():
    # Holm 1979: .01 ≤ .05/4 and .013 ≤ .05/3 are rejected, .03 > .05/2 and all after it stand.
    assert holm([0.03, 0.01, 0.04, 0.013], 0.05).tolist() == [True, False, True, False]


# --- Evidence that is drawn again ------------------------------------------------------------------


def test_printed_numbers_are_drawn_from_their_joint_law():
    study = template("reported")
    job = Job.of(study, "interaction", prior_set("weak", study))
    _, drawn = draw_parameters(build(job.study, job.model, job.priors), 1, 5)
    many = drawn.isel(draw=np.zeros(40_000, dtype=int))
    seen = draw_evidence(job.study, many, np.random.default_rng(6))
    points = np.stack([one["reported points"] for one in seen])
    kept = reported.estimates_of(study).kept
    mean = drawn["reported_mean"].values[0, 0][kept]
    covariance = drawn["reported_covariance"].values[0, 0][np.ix_(kept, kept)]
    sd = np.sqrt(np.diag(covariance))
    assert np.abs((points.mean(0) - mean) / sd).max() < 0.025
    assert np.allclose(
        np.cov(points.T) / np.outer(sd, sd), covariance / np.outer(sd, sd), atol=0.03
    )


def test_truths_are_drawn_from_the_priors_that_are_asked_for():
    """Both sets have one shape, and one compiled density: its own numbers are those of the first."""
    study = template("counts")
    for name, sd in (("weak", 0.5), ("interactions:neutral-strong", 0.205)):
        job = Job.of(study, "interaction", prior_set(name, study))
        run_batch(batches_of(job, 1, 1)[0])
        truth = np.concatenate([part.truth for part in batches_of(job, 4000, 1)])
        at = job.density.places["gamma"].start
        assert truth[:, at].std() == pytest.approx(sd, rel=0.05)


def test_p_values_without_sign_cannot_be_drawn_again():
    text = template_path("reported").read_text(encoding="utf-8") + UNSIGNED
    study = parse_study(text)
    with pytest.raises(ModelError, match="calibrate an interpretation without them"):
        Job.of(study, "interaction", prior_set("weak", study))


# --- Calibrations ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("counts", "interaction"),
        ("reported", "interaction"),
    ],
)
@pytest.mark.long
def test_models_are_calibrated(name, model):
    found = calibrate(template(name), model, replicates=100)
    assert found.passes, found.worst
    assert found.dropped <= 5
    assert {"parameter", "estimand", "log-likelihood"} == set(found.table.kind)


def test_parts_give_the_same_alone():
    study = template("counts")
    job = Job.of(study, "additive", prior_set("weak", study))
    first, second = batches_of(job, 60, 1)
    together = [*run_batch(first), *run_batch(second)]
    again = run_batch(second)
    assert len(together) == 60
    for one, other in zip(together[50:], again, strict=True):
        assert np.array_equal(one.points, other.points)
    assert together[0].points.shape[0] == 1 + RANKED


@pytest.mark.long
def test_a_killed_worker_changes_no_number():
    """One of two workers is killed once its first part is done: Dask begins its parts again elsewhere."""
    study = template("counts")
    alone = calibrate(study, "interaction", replicates=100)
    pytest.importorskip("distributed")
    from distributed import Client, LocalCluster

    killed = []
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):

        def kill(_done, _all):
            if not killed:
                killed.append(next(iter(client.run(os.getpid).values())))
                os.kill(killed[0], signal.SIGKILL)

        with workers(2, cluster.scheduler_address) as mapped:
            beside = calibrate(
                study, "interaction", replicates=100, mapped=mapped, on_progress=kill
            )
    assert killed
    pd.testing.assert_frame_equal(alone.table, beside.table)


@pytest.mark.long
def test_a_wrong_likelihood_fails(monkeypatch):
    """Printed odds ratios that share a comparator are taken for independent."""
    right = reported_likelihood._normal_log_density

    def diagonal(value, mean, covariance, *, count):
        return right(value, mean, covariance * np.eye(count), count=count)

    monkeypatch.setattr(reported_likelihood, "_normal_log_density", diagonal)
    monkeypatch.setattr(batch, "_held", {})  # what is compiled already is right
    found = calibrate(template("reported"), "interaction", replicates=1000, seed=7)
    assert not found.passes


def test_a_wrong_likelihood_has_failed_at_five_thousand():
    """The same at 5,000 replicates takes minutes; made by validation/scripts/wrong_likelihood.py."""
    table = store.read_table(RESULTS / "wrong_likelihood.csv")
    assert (table.replicates + table.dropped == 5000).all()
    assert not table.passes.all()
    assert table.p_value.min() < 1e-4


NOISE = 0.022
"""Error of a share of one half by 1,000 draws of NUTS less that by 1,000 by weight."""


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "model"), [("counts", "interaction"), ("counts-three", "exchangeable")]
)
def test_truths_lie_where_nuts_has_them_by_evidence_that_simuk_has_drawn(name, model):
    """simuk 0.3 draws truths and evidence by PyMC, and samples by NUTS; made by validation/scripts/simuk_check.py."""
    study = template(name)
    kept = store.read_table(RESULTS / "simuk.csv").query("model == @model")
    groups = [rows.set_index("regimen") for _, rows in kept.groupby("simulation")]
    assert len(groups) == 25
    asked = [
        Specification(simuk_check.with_events(study, rows.events.to_dict(), str(at)), model)
        for at, rows in enumerate(groups)
    ]
    apart = np.array(
        [
            float((answer.risk_draws["risk"].sel(arm=regimen) < row.truth).mean()) - row.below_simuk
            for answer, rows in zip(fit_many(asked), groups, strict=True)
            for regimen, row in rows.iterrows()
        ]
    )
    assert apart.std() < NOISE
    assert np.abs(apart).max() < 4 * NOISE
    means = apart.reshape(25, -1).mean(1)
    assert abs(means.mean()) < 3 * means.std() / 5


# --- What is kept ----------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_calibration_is_kept(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(kept, "TEMPLATES", {"counts": ("additive",), "reported": ("additive",)})
    out = ["--out", str(tmp_path), "--processes", "1", "--replicates", "60", "--quiet"]
    assert main(["calibrate", "additive", *out]) == 0
    said = capsys.readouterr().out
    assert "additive on counts: passes; 22 quantities, 60 replicates" in said
    folder = tmp_path / "calibration"
    table = store.read_table(folder / "sbc.csv")
    assert set(table.study) == {"counts", "reported"}
    assert (folder / "additive--reported.png").exists()
    # Again, in the place of the first: no row twice.
    assert main(["calibrate", str(tmp_path / "no.toml"), *out]) == 2
    assert main(["calibrate", "isis2", "--model", "additive", *out]) == 0
    again = store.read_table(folder / "sbc.csv")
    assert not again.duplicated(["study", "model", "quantity"]).any()
    assert set(again.study) == {*table.study, "isis2"}


def test_every_model_under_every_kind_of_evidence_is_kept_and_passes():
    table = store.read_table(RESULTS / "sbc.csv")
    own = table.groupby(["study", "model"])
    assert {(name, model.partition(":")[0]) for name, model in own.groups} == set(jobs())
    for _, rows in own:
        count, dropped = int(rows.replicates.iloc[0]), int(rows.dropped.iloc[0])
        assert count + dropped >= 1000
        assert dropped <= MOST_DROPPED * (count + dropped)
        assert rows.passes.all()
