"""Faults S9 and D6: clusters of few patients, and matched sets. Numbers of R: tests/reference/conditional.R."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from statsmodels.discrete.conditional_models import ConditionalLogit

from cotreat import StudyError, load_study, parse_study
from cotreat.audit.audit import audit
from cotreat.audit.wording import words
from cotreat.estimands.enumerate import enumerate_estimands
from cotreat.evidence.protocol import Point
from cotreat.evidence.resolve import resolve
from cotreat.frequentist.g_computation import fit_frequentist
from cotreat.frequentist.intervals import intervals
from cotreat.inference.sampling import fit_model
from cotreat.models.registry import find_model
from cotreat.results.summary import summary_of
from cotreat.study.study import BY_MATCHING
from tests.codes import code

TESTS = Path(__file__).parent.parent
PAIRS = TESTS / "cases" / "pairs.toml"
INFERT = pd.read_csv(TESTS / "reference" / "infert.csv")
OF_R = pd.read_csv(TESTS / "reference" / "conditional.csv").set_index(["model", "term"])
HEAD = """
format = 1
study = { id = "infert", title = "Infertility after abortions", design = "DESIGN", source = "datasets::infert" }
outcome = { name = "infertility", direction = "harm", synergy_on = "event" }
treatments = { S = { name = "spontaneous" }, I = { name = "induced" } }
[patients]
outcome = "case"
treatments = { S = "spont", I = "ind" }
"""
COEFFICIENTS = {
    "odds_ratio[S vs none]": "spont",
    "odds_ratio[I vs none]": "ind",
    "ror[S:I]": "spont:ind",
}


def infert(more='matched = "stratum"', design="case-control", frame=INFERT):
    return parse_study(HEAD.replace("DESIGN", design) + more, patients=frame)


def likelihood(study, model="interaction"):
    """Fit by maximum likelihood; return the regression and the estimands by code."""
    description = find_model(model, study)
    evidence = resolve(study)
    named = {code(e): e for e in enumerate_estimands(study, description, evidence)}
    return fit_frequentist(study, description, evidence), named


def by_code(study, model="interaction"):
    """Return estimate, standard error of the logarithm, and status of each estimand."""
    fit, named = likelihood(study, model)
    found = {}
    for name, estimand in named.items():
        fitted = fit.regression_of(estimand) if hasattr(fit, "regression_of") else fit
        status, value, se = fitted.status(estimand), np.nan, np.nan
        if status.is_estimable:
            value = fitted.estimate(estimand)
            slope = fitted.slope(estimand)
            se = np.sqrt(slope @ fitted.covariance @ slope) / value
        found[name] = (value, se, str(status))
    return found


# --- Clusters of few patients ------------------------------------------------------------------------


def test_s9_pairs_are_conditioned_on_and_not_given_indicators():
    # One of six discordant pairs; an indicator for each pair gives (1/6)².
    study = load_study(str(PAIRS))
    for model in ("interaction", "saturated"):
        value, se, _ = by_code(study, model)["odds_ratio[L+A vs A]"]
        assert value == pytest.approx(1 / 6, rel=1e-9)
        assert np.log(value) == pytest.approx(OF_R.estimate["pairs", "trt"], abs=1e-9)
        # R's iterations end earlier.
        assert se == pytest.approx(OF_R.se["pairs", "trt"], rel=1e-6)


def test_s9_pairs_do_not_compare_what_is_constant_within_them():
    found = by_code(load_study(str(PAIRS)))
    assert found["odds_ratio[A vs none]"][2] == (
        "not estimable: no cluster with and without an event compares these regimens"
    )
    # Five pairs without adult onset, and in all of them only the untreated eye had the event.
    assert found["odds_ratio[L vs none]"][2].endswith("no finite estimate (separation)")


def test_s9_risks_of_pairs_are_proportions_with_variances_by_pair():
    study = load_study(str(PAIRS))
    fit, named = likelihood(study)
    estimand = named["risk_difference[L+A vs A]"]
    (interval,) = intervals(fit.regression_of(estimand), estimand)
    eyes = pd.read_csv(PAIRS.with_suffix(".csv")).query("adult == 1")
    wide = eyes.pivot_table(index="id", columns="trt", values="status")
    # McNemar: the variance of a mean of differences.
    difference = wide[1] - wide[0]
    se = np.sqrt(np.mean((difference - difference.mean()) ** 2) / len(difference))
    centre = difference.mean()
    assert fit.regression_of(estimand).estimate(estimand) == pytest.approx(centre, abs=1e-9)
    assert [interval.lower, interval.upper] == pytest.approx(
        [centre - 1.959964 * se, centre + 1.959964 * se], abs=1e-6
    )


# --- Matched sets --------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["interaction", "additive"])
def test_s9_two_controls_a_case_agree_with_clogit(model):
    found = by_code(infert(), model)
    reference = OF_R.loc["stratum" if model == "interaction" else model]
    for name, term in COEFFICIENTS.items():
        if term in reference.index:
            assert np.log(found[name][0]) == pytest.approx(reference.estimate[term], abs=1e-8)
            assert found[name][1] == pytest.approx(reference.se[term], abs=1e-8)


def test_s9_sets_of_many_cases_agree_with_clogit_and_statsmodels():
    frame = INFERT.assign(set=INFERT.education * 100 + INFERT.parity)
    study = infert('matched = "set"\ncovariates = { age = "continuous" }', frame=frame)
    fit, named = likelihood(study)
    reference = OF_R.loc["set"]
    for name, term in COEFFICIENTS.items():
        value = np.log(fit.estimate(named[name]))
        assert value == pytest.approx(reference.estimate[term], abs=1e-7)
        slope = fit.slope(named[name])
        se = np.sqrt(slope @ fit.covariance @ slope) / np.exp(value)
        assert se == pytest.approx(reference.se[term], abs=1e-7)
    assert [one.method for one in intervals(fit, named["ror[S:I]"])] == ["Wald", "profile"]
    assert [one.method for one in intervals(fit, named["reri_or[S:I]"])] == ["delta", "MOVER"]
    scale = study.patterns.covariates[0].scale
    assert fit.coefficients[-1] / scale == pytest.approx(reference.estimate["age"], abs=1e-7)
    assert np.sqrt(fit.covariance[-1, -1]) / scale == pytest.approx(reference.se["age"], abs=1e-7)
    # Two sets of two and of three women who do not differ have probability 1/2 and 1/3 at any coefficients.
    top = -fit.likelihood.cost(fit.coefficients)[0] - np.log(6)
    assert top == pytest.approx(reference.estimate["loglik"], abs=1e-8)
    design = np.column_stack([frame.spont, frame.ind, frame.spont * frame.ind, frame.age])
    peer = ConditionalLogit(
        frame.case.to_numpy(), design.astype(float), groups=frame.set.to_numpy()
    )
    at = np.array([0.5, -0.2, 0.3, 0.02])
    cost, slope = fit.likelihood.cost(np.r_[7.0, at[:3], at[3] * scale])  # any intercept
    assert cost + np.log(6) == pytest.approx(-peer.loglike(at), abs=1e-8)
    np.testing.assert_allclose(-slope[1:] * [1, 1, 1, scale], peer.score(at), atol=1e-6)


def test_s9_few_large_clusters_keep_an_indicator_each():
    """Two clusters of 124 women: statsmodels' logistic regression with one indicator and its robust variance (HC0)."""
    frame = INFERT.assign(half=np.arange(len(INFERT)) % 2)
    found = by_code(infert('cluster = "half"', design="cohort", frame=frame))
    s, i = (frame[name].to_numpy(float) for name in ("spont", "ind"))
    design = np.column_stack([np.ones(len(frame)), s, i, s * i, frame.half])
    fit = sm.Logit(frame.case.to_numpy(float), design).fit(disp=0, cov_type="HC0")
    value, se, status = found["ror[S:I]"]
    assert status == "identified"
    assert np.log(value) == pytest.approx(fit.params[3], abs=1e-6)
    assert se == pytest.approx(fit.bse[3], rel=1e-6)


def test_s9_odds_ratios_of_matched_sets_remain_and_risks_do_not():
    for design in ("case-control", "cohort"):
        study = infert(design=design)
        fit = fit_model(study, engine="laplace", draws=500, seed=1)
        table = summary_of(fit)
        posterior = table[table.estimator == "posterior"].drop_duplicates("measure")
        status = posterior.set_index("measure").status
        kept = ["odds_ratio", "ror", "reri_or", "ap_or", "s_or"]
        lost = ["risk", "risk_difference", "ic", "rrr", "bliss", "hsa"]
        assert set(status[kept]) == {"identified"}
        assert set(status[[m for m in lost if m in status]]) == {"not estimable"}
        if design == "cohort":
            reasons = set(posterior.set_index("measure").reason[lost])
            assert reasons == {BY_MATCHING}
            ml = table[table.estimator == "maximum likelihood"].set_index(["measure", "contrast"])
            for arm, n, events in zip(study.counted, study.n, study.events, strict=True):
                assert ml.estimate["risk", arm] == pytest.approx(events / n, abs=1e-9)


def test_s9_sets_without_discordance_are_counted():
    study = parse_study(
        PAIRS.read_text().replace("cluster", "matched").replace('file = "pairs.csv"', ""),
        patients=pd.read_csv(PAIRS.with_suffix(".csv")),
    )
    assert "12 of 30 matched sets are informative; not informative are 18 without" in words(
        audit(study)
    )


def test_s9_covariates_constant_within_sets_drop_with_a_word():
    study = infert(
        'matched = "stratum"\ncovariates = { age = "continuous", parity = "continuous" }',
        frame=INFERT.assign(age=INFERT.age + (INFERT.index % 2)),
    )
    assert study.patterns.names == ("age",)
    assert "constant within every matched set, and therefore left out: parity" in study.warnings[0]


def test_s9_clusters_of_a_case_control_study_warn():
    study = infert('cluster = "stratum"')
    assert any('write matched = "…" in place of cluster' in line for line in study.warnings)


@pytest.mark.parametrize("key", ["cluster", "matched"])
def test_d6_a_cluster_for_each_patient_is_refused_with_the_likely_slip(key):
    frame = INFERT.assign(woman=np.arange(len(INFERT)))
    with pytest.raises(StudyError, match=f"patients.{key}: every patient .* write patient ="):
        infert(f'{key} = "woman"', frame=frame)


# --- The conditional likelihood of the posterior ------------------------------------------------------


def test_s9_matched_sets_are_left_out_one_at_a_time():
    study = infert(design="cohort")
    (evidence,) = resolve(study)
    folds = evidence.folds()
    assert (folds.kind, folds.count) == ("set", 74)  # 83 sets, of which 9 are alike
    # At the maximum of clogit, with any baseline.
    b = OF_R.estimate["stratum"]
    eta = -1.0 + np.array([[0, b["spont"], b["ind"], b["spont"] + b["ind"] + b["spont:ind"]]])
    import xarray as xr

    risk = xr.DataArray(
        1 / (1 + np.exp(-eta[None])),
        dims=("chain", "draw", "arm"),
        coords={"arm": ["none", "S", "I", "S+I"]},
    )
    logs = evidence.fold_densities(risk.to_dataset(name="risk"), folds)[0, 0]
    times = np.array([fold.times for fold in folds.parts])
    # The other nine sets have probability 1/3 (1/2 in the one of two women) whatever the coefficients.
    alike = b["loglik"] - times @ logs
    assert alike == pytest.approx(-8 * np.log(3) - np.log(2), abs=1e-6)


def test_s9_events_are_chosen_with_the_probability_that_the_sets_leave():
    from cotreat.evidence.matched import choices

    eta = np.random.default_rng(1).normal(size=(2, 5))
    is_there = np.array([[True] * 5, [True] * 4 + [False]])
    chosen = np.array([2, 3])
    drawn, probability = zip(
        *(choices(eta, is_there, chosen, rng) for rng in np.random.default_rng(2).spawn(4000)),
        strict=True,
    )
    for row, (there, m) in enumerate(zip((5, 4), chosen, strict=True)):
        sets = list(combinations(range(there), m))
        odds = np.array([np.exp(eta[row, list(c)].sum()) for c in sets])
        exact = [odds[[j in c for c in sets]].sum() / odds.sum() for j in range(there)]
        np.testing.assert_allclose(probability[0][row, :there], exact, rtol=1e-12)
        np.testing.assert_allclose(np.mean(drawn, 0)[row, :there], exact, atol=0.04)
    assert (np.sum(drawn, 2) == chosen).all()


def test_s9_risks_before_matching_are_not_identified_by_the_sets():
    study = infert(design="cohort")
    (evidence,) = resolve(study)
    rows = evidence.jacobian(Point(np.zeros(4)))
    assert np.linalg.matrix_rank(rows) == 3
    np.testing.assert_allclose(rows @ np.ones(4), 0, atol=1e-6)


# --- Many clusters ----------------------------------------------------------------------------------


SITES = """
format = 1
study = { id = "sites", title = "Sites", design = "cohort", source = "made up" }
outcome = { name = "response", direction = "benefit" }
treatments = { A = { name = "a" }, B = { name = "b" } }
[patients]
outcome = "y"
treatments = { A = "a", B = "b" }
cluster = "site"
"""


def sites(count, patients=4, sd=0.6, seed=1):
    """Make a study of some sites, the first of them without events."""
    rng = np.random.default_rng(seed)
    rows = count * patients
    frame = pd.DataFrame({name: rng.integers(0, 2, rows) for name in "ab"})
    frame["site"] = np.repeat(np.arange(count), patients)
    eta = -1 + 0.5 * frame.a + 0.4 * frame.b + 0.3 * frame.a * frame.b
    frame["y"] = rng.binomial(1, 1 / (1 + np.exp(-(eta + rng.normal(0, sd, count)[frame.site]))))
    frame.loc[frame.site == 0, "y"] = 0
    return parse_study(SITES, patients=frame)


def test_d6_the_model_of_many_clusters_has_one_parameter_for_them():
    from cotreat.models.build import build
    from cotreat.models.select import priors_for
    from cotreat.priors.sets import prior_set

    study = sites(200)
    model = find_model("interaction", study)
    built = build(study, model, priors_for(prior_set("weak", study), model, study))
    sizes = {rv.name: int(np.prod(rv.shape.eval())) for rv in built.free_RVs}
    assert sizes["between"] == 1
    assert sum(sizes.values()) <= 6


def test_d6_an_audit_is_linear_in_clusters():
    # 17 seconds with 1,000 clusters before.
    from time import process_time

    start = process_time()
    text = words(audit(sites(3000)))
    assert "With 3000 clusters" in text
    assert process_time() - start < 8


def test_d6_a_thousand_clusters_have_a_conditional_likelihood():
    study = sites(1000)
    found = by_code(study)
    value, se, status = found["ror[A:B]"]
    assert status == "identified"
    assert abs(np.log(value) - 0.3) < 3 * se


def effects_of_glmer(model):
    b = OF_R.loc[model].estimate
    return b, float(b["between"])


@pytest.mark.parametrize("model", ["eyes", "hospitals"])
def test_d6_the_marginal_likelihood_is_that_of_glmer(model):
    from cotreat.evidence.clusters import _blocks, _padded, log_marginal

    b, between = effects_of_glmer(model)
    if model == "eyes":
        patterns = load_study(str(PAIRS)).stratified.patterns
        terms = {"none": 0, "L": b.get("trt"), "A": b.get("adult")}
        terms["L+A"] = terms["L"] + terms["A"] + b["trt:adult"]
        shift = 0.0
    else:
        patterns = load_study(str(TESTS / "reference" / "patients.toml")).stratified.patterns
        terms = {"none": 0.0, "A": b["a"], "B": b["b"], "C": b["c"]}
        terms |= {"A+B": b["a"] + b["b"] + b["a:b"], "A+C": b["a"] + b["c"] + b["a:c"]}
        shift = patterns.values @ b[[f"x{i}" for i in range(1, 7)]].to_numpy()
    eta = b["(Intercept)"] + np.array([terms[r] for r in patterns.regimens]) + shift
    total = sum(
        log_marginal(
            np,
            eta[np.maximum(block, 0)],
            _padded(patterns.n, block),
            _padded(patterns.events, block),
            between,
        ).sum()
        for block in _blocks(patterns)
    )
    # With an SD of 2.05, eleven nodes leave an error of 1e-4 in thirty pairs.
    tolerance = 1e-3 if model == "eyes" else 1e-6
    assert total == pytest.approx(b["loglik"], abs=tolerance)


@pytest.mark.slow
def test_d6_the_posterior_is_that_of_rstanarm_with_effects_integrated_out(monkeypatch):
    # Six hospitals, whose effects are parameters otherwise.
    from cotreat.evidence import resolve as resolving

    monkeypatch.setattr(resolving, "MANY_CLUSTERS", 0)
    resolving._resolved.cache_clear()
    study = load_study(str(TESTS / "reference" / "patients.toml"))
    ours = fit_model(study, engine="laplace", draws=4000, seed=1).posterior.sel(pair=["A:B", "A:C"])
    resolving._resolved.cache_clear()
    assert "cluster_effect" not in ours
    columns = [ours[name] for name in ("alpha", "beta", "gamma", "delta", "between")]
    own = np.hstack([c.values.reshape(c.sizes["chain"] * c.sizes["draw"], -1) for c in columns])
    theirs = pd.read_csv(TESTS / "reference" / "patients_rstanarm.csv")
    assert np.abs((own.mean(0) - theirs["mean"]) / theirs["sd"]).max() < 0.07
    assert np.abs(own.std(0) / theirs["sd"] - 1).max() < 0.07


# --- The compiled models ----------------------------------------------------------------------------


def compiled(study, count=3):
    """Return draws of the prior with all deterministics, and the log densities of the events."""
    from cotreat.inference import vectorise
    from cotreat.models.build import build
    from cotreat.models.select import priors_for
    from cotreat.priors.sets import prior_set

    model = find_model("interaction", study)
    built = build(study, model, priors_for(prior_set("weak", study), model, study))
    draws = vectorise.prior(built, count, seed=1)
    logs = vectorise.log_densities(built, built.observed_RVs, draws)["events"]
    return vectorise.completed(built, draws, chains=1), logs


def test_s9_the_model_of_matched_sets_has_their_conditional_likelihood():
    frame = INFERT.assign(set=np.arange(len(INFERT)) // 5)
    study = infert('matched = "set"\ncovariates = { age = "continuous" }', frame=frame)
    draws, logs = compiled(study)
    (evidence,) = resolve(study)
    folds = evidence.folds()
    times = np.array([fold.times for fold in folds.parts])
    np.testing.assert_allclose(evidence.fold_densities(draws, folds)[0] * times, logs, rtol=1e-9)


def test_d6_the_model_of_many_clusters_integrates_and_leaves_out_clusters():
    study = sites(40)
    draws, logs = compiled(study)
    (evidence,) = resolve(study)
    folds = evidence.folds()
    assert (folds.kind, folds.count) == ("cluster", 40)
    np.testing.assert_allclose(evidence.fold_densities(draws, folds)[0], logs, rtol=1e-9)
    # The mean risk over the distribution of clusters, by a fine sum.
    z = np.linspace(-8, 8, 2001)
    weight = np.exp(-(z**2) / 2) / np.exp(-(z**2) / 2).sum()
    conditional, between = draws["conditional_risk"].values[0], draws["between"].values[0]
    log_odds = np.log(conditional / (1 - conditional))[..., None] + between[:, None, None] * z
    np.testing.assert_allclose(
        draws["risk"].values[0], (weight / (1 + np.exp(-log_odds))).sum(-1), atol=1e-5
    )


def test_d6_predictions_are_of_new_clusters():
    import xarray as xr

    # The true model predicts the events of each group of predicted risk: p-values are uniform.
    eta, tails = np.array([-1, -0.5, -0.6, 0.2]), []
    risk = np.broadcast_to(1 / (1 + np.exp(-eta)), (2, 100, 4))
    draws = xr.Dataset(
        {
            "conditional_risk": (("chain", "draw", "arm"), risk),
            "between": (("chain", "draw"), np.full((2, 100), 0.6)),
        },
        {"arm": ["none", "A", "B", "A+B"]},
    )
    for seed in range(8):
        study = sites(300, seed=seed)
        (evidence,) = resolve(study)
        made = evidence.replicate(draws, np.random.default_rng(seed))
        expected = made["expected_events"].values[0, 0]
        np.testing.assert_allclose(made["events"].mean(("chain", "draw")), expected, rtol=0.05)
        observed = np.bincount(made["risk_group_of"].values, study.patterns.events)
        drawn, mean, variance = (
            made[f"{name}_by_risk"].values.reshape(200, -1)
            for name in ("events", "expected", "variance")
        )
        of_data, of_draws = (((e - mean) ** 2 / variance).sum(1) for e in (observed, drawn))
        tails.append((of_draws >= of_data).mean())
    assert 0.5 - 3 / np.sqrt(12 * 8) < np.mean(tails) < 0.5 + 3 / np.sqrt(12 * 8)
