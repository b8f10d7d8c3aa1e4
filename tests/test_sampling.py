"""Posteriors against maximum likelihood, against another sampler's software, and against themselves."""

import json
import warnings
from pathlib import Path

import arviz as az
import numpy as np
import pandas as pd
import pymc as pm
import pytest
import xarray as xr
from scipy.special import logit

from cotreat import load_study
from cotreat.core.errors import ModelError
from cotreat.diagnostics.checks import _weights, checks, failures
from cotreat.estimands.enumerate import enumerate_estimands
from cotreat.evidence.resolve import resolve
from cotreat.frequentist.logistic import fit_likelihood
from cotreat.inference import laplace, nuts, vectorise
from cotreat.inference.engines import EngineError
from cotreat.inference.sampling import fit_of, provenance
from cotreat.models.build import build
from cotreat.models.registry import MODELS, find_model, is_on_request
from cotreat.models.select import priors_for
from cotreat.priors.sets import prior_set
from cotreat.results.store import read_draws, write_draws
from cotreat.results.summary import is_beyond_null
from tests.shared import draws_of as fit

REFERENCE = Path(__file__).parent / "reference" / "posterior.csv"
SHORT = {"draws": 200, "tune": 200}
ALL = [
    (study, model)
    for study in ("isis2", "oral-cancer", "factor-v-leiden", "three")
    for model in MODELS
    if not is_on_request(model) and (model != "exchangeable" or study == "three")
]


BRIEF = [("isis2", "interaction"), ("three", "exchangeable")]
"""Those that are sampled in every run; `make verify` samples all."""


@pytest.fixture(params=["laplace", pytest.param("numpyro", marks=pytest.mark.long)])
def fitted(request, fits, nuts):
    """Fits by either engine."""
    return fits if request.param == "laplace" else nuts


def study_of(name, three):
    return three if name == "three" else load_study(name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "model"),
    [one if one in BRIEF else pytest.param(*one, marks=pytest.mark.long) for one in ALL],
)
def test_every_diagnostic_passes(name, model, nuts, three):
    assert failures(checks(fit_of(study_of(name, three), MODELS[model], nuts(name, model)))) == []


@pytest.mark.long
def test_with_wide_priors_the_posterior_is_maximum_likelihood():
    study = load_study("isis2")
    wide = prior_set("weak", study)
    for variable in ("alpha", "beta", "gamma"):
        wide = wide.change(
            variable, mu=0.0, sigma=10.0, name="wide", reason="to see the data alone"
        )
    tree = fit(study, "interaction", wide, draws=5000)
    likelihood = fit_likelihood(study, MODELS["interaction"], resolve(study))
    posterior = tree["posterior"].to_dataset()
    draws = np.concatenate(
        [posterior["beta"].values.reshape(-1, 2), posterior["gamma"].values.reshape(-1, 1)], axis=1
    )
    se = np.sqrt(np.diag(likelihood.covariance))[1:]
    np.testing.assert_array_less(np.abs(draws.mean(0) - likelihood.coefficients[1:]) / se, 0.05)
    ratio = draws.std(0) / se
    assert ((ratio > 0.95) & (ratio < 1.05)).all()
    # The comparison means something only where Monte Carlo error is small beside its bounds.
    effective = az.ess(posterior[["beta", "gamma"]])
    assert min(float(v.min()) for v in effective.data_vars.values()) > 8000


# --- Against rstanarm with the same priors (recipe: tests/reference/posterior.R) --------------------


def reference(study, model):
    rows = pd.read_csv(REFERENCE)
    is_asked = (rows.study == study) & (rows.model == model) & (rows.priors == "weak")
    return rows[is_asked].set_index("quantity")


def by_reference_name(tree):
    posterior = tree["posterior"].to_dataset()
    draws = {"alpha": posterior["alpha"], **_numbered(posterior["beta"], ("beta_A", "beta_B"))}
    if "gamma" in posterior:
        draws["gamma"] = posterior["gamma"].isel(pair=0)
    names = ("risk_neither", "risk_A", "risk_B", "risk_both")
    return draws | _numbered(posterior["risk"], names)


def _numbered(array, names):
    return {name: array[..., i] for i, name in enumerate(names)}


STUDIES = ("isis2", "oral-cancer", "factor-v-leiden")


@pytest.mark.slow
@pytest.mark.parametrize("model", ["additive", "interaction"])
@pytest.mark.parametrize("name", STUDIES)
def test_posteriors_agree_with_rstanarm(name, model, fitted):
    expected = reference(name, model)
    for quantity, draws in by_reference_name(fitted(name, model)).items():
        row = expected.loc[quantity]
        assert abs(float(draws.mean()) - row["mean"]) < 0.05 * row["sd"], quantity
        assert float(draws.std()) == pytest.approx(row["sd"], rel=0.05), quantity


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_probabilities_of_synergy_agree_with_rstanarm(name, fitted):
    study, model = load_study(name), MODELS["interaction"]
    expected = reference(name, "interaction")
    risk = fitted(name, "interaction")["posterior"]["risk"]
    compared = 0
    for estimand in enumerate_estimands(study, model, resolve(study)):
        suffix = "_nonevent" if estimand.judged_on == "non-event" else ""
        quantity = f"P({estimand.measure}{suffix})" if estimand.synergy else ""
        if quantity in expected.index:
            found = float(is_beyond_null(estimand, risk).mean())
            assert abs(found - expected.loc[quantity, "mean"]) < 0.02, quantity
            compared += 1
    assert compared >= 6


# --- What the studies are known to say --------------------------------------------------------------


def test_a_seed_gives_the_same_draws():
    study = load_study("oral-cancer")
    first, again, other = (fit(study, seed=seed, **SHORT) for seed in (7, 7, 8))
    for group in ("prior", "posterior", "posterior_predictive"):
        assert first[group].to_dataset().equals(again[group].to_dataset()), group
        assert not first[group].to_dataset().equals(other[group].to_dataset()), group


def test_a_fit_has_its_groups_and_says_where_it_came_from(nuts):
    tree = nuts("isis2", "interaction")
    assert set(tree.children) == {
        "prior",
        "posterior",
        "posterior_predictive",
        "log_likelihood",
        "log_prior",
        "sample_stats",
        "observed_data",
        "constant_data",
    }
    assert tree["prior"].sizes["draw"] >= 20_000
    assert tree["posterior"].sizes["chain"] == 4
    assert tree["constant_data"]["n"].values.tolist() == [4300, 4300, 4295, 4292]
    assert tree["posterior"]["risk"].attrs["risk_kind"] == "crude"
    assert all(type(v.data) is np.ndarray for g in tree.children.values() for v in g.values())
    source = provenance(tree)
    assert source["study_digest"] == load_study("isis2").digest
    assert source["priors"] == "weak"
    assert [row["variable"] for row in source["prior_rows"]] == ["alpha", "beta", "gamma"]
    assert {"pymc", "jax", "numpyro", "arviz", "python"} <= set(source["versions"])


def test_pointwise_log_densities_are_those_of_the_model(nuts):
    from scipy import stats

    tree = nuts("isis2", "interaction")
    study = load_study("isis2")
    risk = tree["posterior"]["risk"].isel(draw=slice(50))
    expected = stats.binom.logpmf(study.events, study.n, risk.values)
    found = tree["log_likelihood"]["events"].isel(draw=slice(50)).values
    np.testing.assert_allclose(found, expected, rtol=1e-8)
    alpha = tree["posterior"]["alpha"].values
    np.testing.assert_allclose(
        tree["log_prior"]["alpha"].values, stats.norm.logpdf(alpha, 0, 2.5), rtol=1e-8
    )


def test_draws_survive_the_file(tmp_path, nuts):
    tree = nuts("isis2", "interaction")
    write_draws(tree, tmp_path / "draws.nc")
    again = read_draws(tmp_path / "draws.nc")
    assert json.loads(again.attrs["provenance"]) == provenance(tree)
    for name, group in tree.children.items():
        assert again[name].to_dataset().equals(group.to_dataset()), name
    (tmp_path / "draws.nc").unlink()  # the file is not held open


def test_unknown_engine_names_the_known_ones():
    with pytest.raises(
        EngineError, match="no engine 'bugs'; the engines are numpyro, laplace, smc"
    ):
        fit(load_study("isis2"), engine="bugs")


def test_a_missing_engine_says_what_it_needs(monkeypatch):
    monkeypatch.setattr("cotreat.inference.engines.find_spec", lambda _: None)
    with pytest.raises(EngineError, match="the engine smc needs blackjax"):
        fit(load_study("isis2"), engine="smc", **SHORT)


def test_a_single_chain_is_refused():
    with pytest.raises(EngineError, match="fewer than 2 chains"):
        fit(load_study("isis2"), chains=1)


def test_a_model_the_study_cannot_carry_is_refused():
    with pytest.raises(ModelError, match="at least 2 pairs"):
        fit(load_study("isis2"), "exchangeable")


# --- Short cuts past PyMC's own loops --------------------------------------------------------------


def stated(study, model):
    description = find_model(model, study)
    told = study.resolve(strata=description.strata)
    return build(told, description, priors_for(prior_set("weak", told), description, told))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("isis2", "saturated"),
        ("three", "exchangeable"),
        ("sun2024", "saturated"),
        ("sun2024", "dose"),
        ("sun2024-synthetic", "subgroups"),
    ],
)
def test_prior_draws_are_those_of_pymc(name, model, three):
    built = stated(study_of(name, three), model)
    drawn = vectorise.prior(built, 40, 3)
    with built, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The effect of Potentials")
        theirs = pm.sample_prior_predictive(
            40,
            var_names=list(drawn),
            random_seed=3,
            compile_kwargs={"mode": "FAST_COMPILE"},
        )["prior"].to_dataset()
    for variable, values in drawn.items():
        np.testing.assert_array_equal(values, theirs[variable].values[0])


@pytest.mark.slow
def test_numpyro_draws_are_those_it_gives_through_pymc():
    built = stated(load_study("isis2"), "saturated")
    asked = {"draws": 50, "tune": 100, "chains": 2}
    run = nuts.run(built, **asked, target_accept=0.9, seed=5)
    tree = pm.sample(
        model=built,
        nuts_sampler="numpyro",
        nuts={"target_accept": 0.9, "dense_mass": True},
        random_seed=5,
        progressbar=False,
        quiet=True,
        compute_convergence_checks=False,
        **asked,
    )
    for group, own in (("posterior", run.draws), ("sample_stats", run.stats)):
        for variable, values in own.items():
            np.testing.assert_allclose(values, np.asarray(tree[group][variable]), rtol=1e-12)


# --- Laplace's approximation -----------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize(
    ("study", "model"),
    [
        ("isis2", "interaction"),
        ("isis2", "saturated"),
        ("oral-cancer", "interaction"),
        ("three", "exchangeable"),
        ("sun2024-synthetic", "interaction"),
    ],
)
def test_laplace_agrees_with_nuts(study, model, three):
    one = study_of(study, three)
    tree = fit(one, model, engine="laplace")
    assert provenance(tree)["engine"] == "laplace"
    stats = tree["sample_stats"].to_dataset()
    assert float(stats["pareto_k"]) < 0.7
    table = checks(fit_of(one, MODELS[model], tree))
    assert failures(table) == []
    assert {"Pareto k of weights", "effective draws"} <= set(table.check)
    own, other = (logit(t["posterior"]["risk"]) for t in (tree, fit(one, model, draws=4000)))
    dims = ("chain", "draw")
    assert (abs(own.mean(dims) - other.mean(dims)) / other.std(dims)).max() < 0.07
    assert abs(own.std(dims) / other.std(dims) - 1).max() < 0.06


@pytest.mark.slow
def test_where_laplace_is_bad_nuts_stands_in_and_the_checks_say_so(monkeypatch):
    monkeypatch.setattr(laplace, "smoothed", lambda logs: (np.full(len(logs), 1 / len(logs)), 0.9))
    study = load_study("isis2")
    tree = fit(study, "interaction", engine="laplace", draws=500)
    assert provenance(tree)["engine"] == "numpyro"
    assert provenance(tree)["tune"] == 1000
    table = checks(fit_of(study, MODELS["interaction"], tree))
    (row,) = table[table.check == "engine replaced"].to_dict("records")
    assert row["where"].startswith("laplace: Pareto k 0.90, ")
    assert row["threshold"] == "recorded: numpyro was used"
    assert row["verdict"] == "pass"


def test_a_borderline_k_is_reported():
    stats = xr.Dataset({"pareto_k": 0.6, "effective": 1500.0, "modes": 1})
    rows = {row["check"]: row["verdict"] for row in _weights(stats)}
    assert rows == {
        "Pareto k of weights": "pass",
        "Pareto k of weights, borderline": "warn",
        "effective draws": "pass",
    }
    rows = {
        row["check"]: row["verdict"]
        for row in _weights(stats.assign(pareto_k=0.8, effective=300.0))
    }
    assert rows == {"Pareto k of weights": "FAIL", "effective draws": "FAIL"}
