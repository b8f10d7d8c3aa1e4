"""Checks of patients: predicted risks against events, and what leaving out a cell would do."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import xarray as xr
from scipy.special import expit, logit
from scipy.stats import betabinom, binom

from cotreat import parse_study
from cotreat.audit.overlap import overlap_of
from cotreat.diagnostics.checks import FAIL, PASS, WARN, cautions, checks
from cotreat.diagnostics.risk_calibration import calibration_of, recalibrated
from cotreat.estimands.estimand import risk_draws_of
from cotreat.evidence import patients
from cotreat.evidence.resolve import resolve
from cotreat.inference import influence, sampling
from cotreat.inference.influence import add_influence
from cotreat.inference.sampling import fit_of, thinned
from cotreat.models.registry import MODELS
from cotreat.report.caveats import caveats
from cotreat.results.summary import summarise
from cotreat.study.covariate_patterns import CovariatePatterns, DesignColumn, StratumRegimens
from cotreat.workflow.reanalyse import reanalyse
from tests.shared import draw_only
from tests.shared import draws_of as fit
from tests.test_patients import TEXT, frame, study  # noqa: F401 - fixtures

CHAINS, DRAWS = 2, 200


def posterior_of(study, delta, cluster=(0.0, 0.0, 0.0), seed=1):  # noqa: F811
    """Make draws about given log-odds of the regimens, as a fit has them."""
    rng = np.random.default_rng(seed)
    size = (CHAINS, DRAWS)
    arms = list(study.regimens)

    def about(values):
        return np.asarray(values) + rng.normal(0, 0.02, (*size, len(values)))

    return xr.Dataset(
        {
            "conditional_risk": (("chain", "draw", "arm"), expit(about([-1.0] * len(arms)))),
            "delta": (("chain", "draw", "covariate"), about(delta)),
            "cluster_effect": (("chain", "draw", "cluster"), about(cluster)),
        },
        {"chain": range(CHAINS), "draw": range(DRAWS), "arm": arms},
    )


def tree_of(study, posterior):  # noqa: F811
    """Make what a fit keeps of the risks in `posterior`."""
    cells = study.patterns
    risk = patients.mean_risks(cells, posterior)
    group = patients.groups_of(risk, cells.n)
    again = patients.Patients(study).replicate(posterior, np.random.default_rng(2))
    known = {"predicted_risk": ("cell", risk), "risk_group_of": ("cell", group)}
    return xr.DataTree.from_dict(
        {"posterior_predictive": again.drop_vars(known), "constant_data": xr.Dataset(known)}
    )


# --- Predicted risk --------------------------------------------------------------------------------


def test_mean_risks_are_those_of_the_draws(study):  # noqa: F811
    posterior = posterior_of(study, [0.5, 0.1, 0.2, -0.3], (0.1, 0.4, -0.2))
    cells = study.patterns
    by_hand = []
    for at in (0, 7, 100):
        own = posterior.sel(arm=cells.regimens[at]).isel(cluster=cells.cluster[at])
        shift = (own["delta"] * cells.values[at]).sum("covariate") + own["cluster_effect"]
        by_hand.append(float(expit(logit(own["conditional_risk"]) + shift).mean()))
    assert patients.mean_risks(cells, posterior)[[0, 7, 100]] == pytest.approx(by_hand)


def test_pieces_change_nothing(study, monkeypatch):  # noqa: F811
    posterior = posterior_of(study, [0.5, 0.1, 0.2, -0.3])
    whole = patients.mean_risks(study.patterns, posterior)
    monkeypatch.setattr(patients, "AT_ONCE", 7 * len(study.patterns.n))
    np.testing.assert_allclose(patients.mean_risks(study.patterns, posterior), whole)
    again = tree_of(study, posterior)["posterior_predictive"].to_dataset()
    assert again.sizes == {"chain": 2, "draw": DRAWS, "counted": 3, "risk_group": 10}
    np.testing.assert_array_equal(
        again["events"].sum("counted"), again["events_by_risk"].sum("risk_group")
    )
    np.testing.assert_allclose(
        again["expected_events"].sum("counted"), again["expected_by_risk"].sum("risk_group")
    )


@pytest.mark.parametrize(("count", "groups"), [(1000, 10), (100, 5), (30, 2)])
def test_groups_are_quantiles_of_risk(count, groups):
    risk = np.random.default_rng(1).random(count)
    found = patients.groups_of(risk, np.ones(count, int))
    expected = pd.qcut(risk, groups, labels=False)
    np.testing.assert_array_equal(found, expected)


def test_groups_of_unlike_cells_have_like_numbers_of_patients():
    rng = np.random.default_rng(1)
    n = rng.integers(1, 50, 400)
    found = np.bincount(patients.groups_of(rng.random(400), n), n)
    assert len(found) == 10
    assert found == pytest.approx(n.sum() / 10, abs=50)


def test_recalibration_undoes_a_known_distortion():
    # 10,000 patients in each of 50 cells, with exactly as many events as their risk makes: predictions
    # of twice their log-odds have slope 1/2, and those of log-odds 0.3 too high are 0.3 too high.
    score = np.linspace(-2, 1, 50)
    n = np.full(50, 10_000)
    events = n * expit(score)
    assert recalibrated(expit(score), n, events) == pytest.approx((0, 1), abs=1e-6)
    assert recalibrated(expit(2 * score), n, events)[1] == pytest.approx(0.5)
    assert recalibrated(expit(score + 0.3), n, events) == pytest.approx((-0.3, 1))
    assert np.isnan(recalibrated(np.full(50, 0.3), n, events)[1])


def test_recalibration_is_that_of_statsmodels(frame):  # noqa: F811
    risk = expit(-1 + 0.08 * (frame.age - 40))
    score = logit(risk)
    ones, family = np.ones(len(frame)), sm.families.Binomial()
    large = sm.GLM(frame.response, ones, family=family, offset=score).fit().params
    slope = sm.GLM(frame.response, sm.add_constant(score), family=family).fit().params
    found = recalibrated(risk.to_numpy(), np.ones(len(frame), int), frame.response.to_numpy())
    assert found == pytest.approx((large.iloc[0], slope.iloc[1]), rel=1e-6)


@pytest.fixture(scope="module")
def many():
    """3,000 patients on A, B or both with log-odds of a response -1 + x, and nothing else."""
    rng = np.random.default_rng(11)
    x = rng.normal(size=3000)
    took = rng.choice(["A", "B", "A+B"], 3000)
    rows = pd.DataFrame({"a": took != "B", "b": took != "A", "age": x})
    rows["response"] = rng.binomial(1, expit(-1 + x))
    text = TEXT[: TEXT.index("covariates")] + 'covariates = { age = "continuous" }\n'
    return parse_study(text, patients=rows)


def test_true_risks_are_calibrated(many):
    scale = many.patterns.covariates[0].scale
    found = calibration_of(tree_of(many, posterior_of(many, [scale])), many.patterns)
    assert found.share > 0.05
    assert found.in_the_large == pytest.approx(0, abs=0.15)
    assert found.slope == pytest.approx(1, abs=0.15)
    inside = (found.groups.observed >= found.groups.lower) & (
        found.groups.observed <= found.groups.upper
    )
    assert inside.sum() >= 8
    weighted = (found.groups.patients * found.groups.observed).sum()
    assert weighted == pytest.approx(many.patterns.events.sum())


def test_shrunken_risks_are_not(many):
    found = calibration_of(tree_of(many, posterior_of(many, [0.5])), many.patterns)
    assert found.share < 0.01
    assert found.slope == pytest.approx(2, abs=0.3)
    assert "patients with a predicted risk of" in found.worst


# --- Influence -------------------------------------------------------------------------------------


def of_one_risk(n, events, seed=1):
    """Make draws of the risk that all cells share, under a flat prior, and their log-likelihood."""
    n, events = np.asarray(n), np.asarray(events)
    rng = np.random.default_rng(seed)
    risk = rng.beta(1 + events.sum(), 1 + (n - events).sum(), (4, 2000))
    logs = binom.logpmf(events, n, risk[..., None])
    return xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset({"p": (("chain", "draw"), risk)}),
            "log_likelihood": xr.Dataset(
                {"events": (("chain", "draw", "cell"), logs)}, {"draw": range(2000)}
            ),
        }
    )


def test_leaving_out_a_cell_is_what_a_fit_without_it_says():
    # Exactly: without a cell the risk is Beta, and the cell's events beta-binomial.
    n, events = np.array([20, 30, 25, 1, 40]), np.array([6, 7, 9, 1, 10])
    tree = of_one_risk(n, events)
    add_influence(tree, ["p"])
    rest, failed = events.sum() - events, (n - events).sum() - (n - events)
    exact = betabinom.logpmf(events, n, 1 + rest, 1 + failed)
    np.testing.assert_allclose(tree["influence"]["elpd"], exact, atol=0.02)
    assert (tree["influence"]["pareto_k"] < tree["influence"].attrs["good_k"]).all()


def test_a_cell_that_outweighs_the_others_is_found():
    tree = of_one_risk([2, 3, 400], [0, 1, 300])
    add_influence(tree, ["p"])
    k = tree["influence"]["pareto_k"].values
    assert k.argmax() == 2
    assert k[2] > tree["influence"].attrs["good_k"]


def test_too_many_cells_are_not_left_out(monkeypatch):
    monkeypatch.setattr(influence, "MOST", 4)
    tree = of_one_risk([20] * 5, [6] * 5)
    add_influence(tree, ["p"])
    assert "influence" not in tree.children


def cells_of(n):
    n = np.asarray(n)
    none = np.zeros(len(n), int)
    return CovariatePatterns(
        (StratumRegimens("", ("A",) * (len(n) - 1) + ("A+B | age=old",)),),
        (DesignColumn("x", 0.0, 1.0, "x"),),
        np.zeros((len(n), 1)),
        (),
        none,
        n,
        none,
        int(n.sum()),
        (),
        0,
    )


def test_what_is_left_out_is_named():
    assert influence.unit(cells_of([1, 1])) == "patient"
    assert influence.unit(cells_of([1, 2])) == "cell"
    assert influence.described(cells_of([1, 1]), 0) == "a patient on A"
    assert influence.described(cells_of([1, 1200]), 1) == "1,200 patients on A+B | age=old"


# --- Some of the draws -----------------------------------------------------------------------------


def test_few_cells_keep_every_draw():
    assert list(thinned(4, 2000, 0)) == list(range(2000))
    assert list(thinned(4, 2000, 1000)) == list(range(2000))


@pytest.mark.parametrize(("cells", "kept"), [(1001, 250), (20_000, 250), (100_000, 50)])
def test_many_cells_keep_some_draws_evenly_spaced(cells, kept):
    found = thinned(4, 2000, cells, sampling.THIN)
    assert len(found) == kept
    assert (found[0], found[-1]) == (0, 1999)
    assert np.ptp(np.diff(found)) <= 1
    assert 4 * kept * cells <= sampling.THIN
    assert len(thinned(4, 2000, cells)) == 250


@pytest.fixture(scope="module")
def some_draws(study):  # noqa: F811
    """A fit of which, as of one with many cells, log-likelihood and replicates hold some draws."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sampling, "WHOLE", 1000)
        patched.setattr(sampling, "FEW", 200)
        return fit(study, "additive", engine="laplace", draws=500)


@pytest.mark.slow
def test_log_likelihood_of_some_draws_is_theirs(study, some_draws):  # noqa: F811
    logs = some_draws["log_likelihood"].to_dataset()
    assert logs.sizes == {"chain": 4, "draw": 50, "cell": len(study.patterns.n)}
    assert (
        logs.attrs["draws"]
        == "50 of 500 per chain, evenly spaced, because there are many covariate patterns"
    )
    posterior = some_draws["posterior"].to_dataset().sel(draw=logs["draw"]).isel(chain=2)
    risk = patients.risks(study.patterns, posterior)
    expected = binom.logpmf(study.patterns.events, study.patterns.n, risk)
    np.testing.assert_allclose(logs["events"].isel(chain=2), expected, atol=1e-5)
    again = some_draws["posterior_predictive"].to_dataset()
    assert again.sizes["draw"] == 50
    assert again["events"].mean(("chain", "draw")).values == pytest.approx(
        again["expected_events"].mean(("chain", "draw")).values, rel=0.1
    )


@pytest.mark.slow
def test_rows_about_patients_are_there(study, some_draws):  # noqa: F811
    table = checks(fit_of(study, MODELS["additive"], some_draws)).set_index("check")
    rows = table.loc[["calibration (χ²)", "influence (Pareto k)", "overlap", "balance"]]
    assert FAIL not in set(rows.verdict)
    assert rows.verdict["calibration (χ²)"] == PASS
    assert "one cell left out at a time; largest k" in rows["where"]["influence (Pareto k)"]
    assert rows.threshold["overlap"] == "≤ 0.05"


@pytest.mark.slow
def test_overlap_stands_in_the_folder_and_in_the_report(study, tmp_path, monkeypatch):  # noqa: F811
    draw_only(monkeypatch, "risk_calibration", "influence")
    result = reanalyse(study, "additive", engine="laplace", draws=1000, out=tmp_path)
    folder, found = result.primary.folder, overlap_of(study.patterns)
    written = [pd.read_csv(folder / name) for name in ("overlap.csv", "balance.csv")]
    for table, own in zip(written, (found.regimens, found.balance), strict=True):
        pd.testing.assert_frame_equal(table, own, check_dtype=False)
    (caveat,) = [one for one in result.primary.caveats if one.subject == "overlap"]
    assert str(found) == f"Overlap: {caveat.text[0].lower()}{caveat.text[1:]}"
    page = result.report.read_text(encoding="utf-8")
    for row in found.balance[found.balance.covariate == "age"].itertuples():
        shown = f"{row.mean:.3g} ({row.difference:+.2f})".replace("-", "−")
        assert f">{shown}</td>" in page
    for name in ("risk calibration", "influence"):
        assert f'aria-label="Figure: {name}"' in page
    assert "calibration (χ²)" in set(result.primary.checks.check)


@pytest.mark.slow
def test_risks_that_are_off_are_said(study, some_draws):  # noqa: F811
    tree = some_draws.copy(deep=True)
    off = tree["posterior_predictive"].to_dataset()
    for name in ("expected_by_risk", "variance_by_risk"):
        off[name] = off[name] / 3
    off["events_by_risk"] = off["events_by_risk"] // 3
    tree["posterior_predictive"] = xr.DataTree(off)
    table = checks(fit_of(study, MODELS["additive"], tree))
    (line,) = [line for line in cautions(table) if line.startswith("calibration")]
    assert "in the large" in line
    assert table.set_index("check").verdict["calibration (χ²)"] == WARN
    summary = summarise(
        study,
        MODELS["additive"],
        resolve(study),
        prior=risk_draws_of(tree["prior"].to_dataset()),
        posterior=risk_draws_of(tree["posterior"].to_dataset()),
        likelihood=None,
        labels={"model": "additive", "priors": "weak", "interpretation": study.interpretation},
    )
    words = "Predicted risks do not agree with the observed events"
    (caveat,) = [
        c for c in caveats(summary, resolve(study), cautions(table)) if c.subject == "calibration"
    ]
    assert caveat.text.startswith(words)
    subjects = [one.subject for one in caveats(summary, resolve(study))]
    assert "calibration" not in subjects
    assert subjects.count("overlap") == 1
