from importlib import resources

import numpy as np
import pytest
import xarray as xr

from cotreat import audit, load_study, parse_study
from cotreat.core.constants import CHECK_COLUMNS
from cotreat.diagnostics.checks import FAIL, WARN, cautions, checks, failures
from cotreat.inference.sampling import fit_of
from cotreat.models.registry import MODELS
from tests.conftest import THREE, arms
from tests.shared import draws_of as fit


@pytest.fixture(scope="module")
def study():
    return load_study("isis2")


@pytest.fixture
def tree(nuts):
    return nuts("isis2", "interaction").copy(deep=True)


def failed(tree, study):
    table = checks(fit_of(study, MODELS["interaction"], tree))
    return table[table.verdict == FAIL].set_index("check")


def with_posterior(tree, change):
    posterior = tree["posterior"].to_dataset()
    tree["posterior"] = xr.DataTree(posterior.map(change, keep_attrs=True))
    return tree


def with_stat(tree, name, values):
    stats = tree["sample_stats"].to_dataset()
    tree["sample_stats"] = xr.DataTree(stats.assign({name: (("chain", "draw"), values)}))
    return tree


def test_a_sound_fit_passes_every_row(tree, study):
    table = checks(fit_of(study, MODELS["interaction"], tree))
    assert tuple(table.columns) == CHECK_COLUMNS
    assert set(table.check) >= {
        *("R-hat", "R-hat of probabilities", "bulk ESS", "tail ESS", "ESS of probabilities"),
        *("MCSE / SD", "divergences", "energy (BFMI)", "tree depth"),
    }
    assert failures(table) == []
    assert (table.advice == "").all()


def test_one_chain_elsewhere_fails_r_hat_and_names_the_quantity(tree, study):
    def move(draws):
        shift = xr.zeros_like(draws)
        shift[0] = 0.5 * draws.std(("chain", "draw"))
        return draws + shift

    rows = failed(with_posterior(tree, move), study)
    assert rows.loc["R-hat", "value"] > 1.01
    assert rows.loc["R-hat", "where"]
    assert "chains disagree" in rows.loc["R-hat", "advice"]


def test_repeated_draws_fail_effective_sample_size(tree, study):
    def stick(draws):
        return draws.isel(draw=np.arange(draws.sizes["draw"]) // 50 * 50).assign_coords(
            draw=draws["draw"]
        )

    rows = failed(with_posterior(tree, stick), study)
    assert {"bulk ESS", "tail ESS", "ESS of probabilities"} <= set(rows.index)
    assert (rows.loc[["bulk ESS", "tail ESS"], "value"] < 1000).all()
    assert "--draws" in rows.loc["bulk ESS", "advice"]


def test_a_single_divergence_fails(tree, study):
    diverging = np.zeros((4, 2000), dtype=bool)
    diverging[2, 17] = True
    rows = failed(with_stat(tree, "diverging", diverging), study)
    assert list(rows.index) == ["divergences"]
    assert rows.loc["divergences", "value"] == 1


def test_trees_at_their_limit_fail(tree, study):
    depth = np.full((4, 2000), 3)
    depth[0, 0] = 10
    assert list(failed(with_stat(tree, "tree_depth", depth), study).index) == ["tree depth"]


def test_an_energy_that_wanders_fails(tree, study):
    # A random walk changes little from draw to draw beside its spread: Betancourt's warning sign.
    energy = np.random.default_rng(1).normal(size=(4, 2000)).cumsum(axis=1)
    assert list(failed(with_stat(tree, "energy", energy), study).index) == ["energy (BFMI)"]


def test_too_few_chains_fail(tree, study):
    one = tree.isel(chain=[0])
    assert "chains" in failed(one, study).index


def test_a_quantity_that_is_not_a_number_fails(tree, study):
    def spoil(draws):
        return draws.where(draws["draw"] != 5)

    rows = failed(with_posterior(tree, spoil), study)
    assert {"R-hat", "bulk ESS", "MCSE / SD"} <= set(rows.index)


def test_failures_are_sentences_with_value_threshold_and_advice(tree, study):
    diverging = np.ones((4, 2000), dtype=bool)
    (line,) = failures(
        checks(fit_of(study, MODELS["interaction"], with_stat(tree, "diverging", diverging)))
    )
    assert line == (
        "divergences: 8000 (all chains), should be = 0; parts of the posterior were not reached: "
        "another model, or tighter priors"
    )


def test_probabilities_that_are_not_reported_are_not_checked(fits, study):
    table = checks(fit_of(study, MODELS["additive"], fits("isis2", "additive")))
    assert not table["where"].str.contains(r"ic\[").any()


def rare(events, baseline=""):
    cells = {r: (10_000, e) for r, e in zip(("none", "A", "B", "A+B"), events, strict=True)}
    two = THREE.replace('C = { name = "drug C" }\n', "").replace('"any(A, B, C)"', '"all"')
    return parse_study(two.replace('"three"', '"rare"') + baseline + arms(cells))


@pytest.mark.slow
def test_a_rare_outcome_needs_no_baseline():
    study = rare([8, 16, 14, 40])
    tree = fit(study, "interaction", engine="laplace")
    table = checks(fit_of(study, MODELS["interaction"], tree))
    assert cautions(table) == failures(table) == []
    assert "PRIOR CONFLICT" not in audit(study)
    none = tree["posterior"]["risk"].sel(arm="none")
    assert float(none.median()) == pytest.approx(8e-4, rel=0.15)


@pytest.mark.slow
def test_a_baseline_that_the_counts_contradict_is_said():
    study = rare([8, 16, 14, 40], '[baseline]\nrisk = [0.05, 0.4]\nsource = "wrong"\n')
    table = checks(
        fit_of(study, MODELS["interaction"], fit(study, "interaction", engine="laplace"))
    )
    (line,) = cautions(table)
    assert line.startswith("prior conflict: ")
    assert "(declared baseline)" in line
    assert "correct [baseline]" in line
    assert failures(table) == []
    assert "PRIOR CONFLICT" in audit(study)


@pytest.mark.slow
def test_a_baseline_of_the_study_file_ends_the_conflict():
    study = rare([8, 16, 14, 40], '[baseline]\nrisk = [0.0002, 0.005]\nsource = "registry"\n')
    tree = fit(study, "interaction", engine="laplace")
    assert cautions(checks(fit_of(study, MODELS["interaction"], tree))) == []
    assert "PRIOR CONFLICT" not in audit(study)
    # 8 of 10,000 is inside the prior, so the reference risk stays where it was counted.
    assert float(tree["posterior"]["risk"].sel(arm="none").median()) == pytest.approx(
        8e-4, rel=0.15
    )


@pytest.mark.slow
def test_a_count_that_the_model_does_not_reproduce_is_said():
    text = (resources.files("cotreat.studies") / "isis2.toml").read_text()
    text = text[: text.index("[[totals]]")].replace("events = 343", "events = 250")
    study = parse_study(text)
    line = cautions(
        checks(fit_of(study, MODELS["additive"], fit(study, "additive", engine="laplace")))
    )[0]
    assert line.startswith("predicted counts (χ²): 0")
    assert "with these priors does not reproduce the counts" in line
    assert (
        cautions(
            checks(
                fit_of(study, MODELS["interaction"], fit(study, "interaction", engine="laplace"))
            )
        )
        == []
    )


def test_a_warning_is_not_a_failure(tree, study):
    table = checks(fit_of(study, MODELS["interaction"], tree))
    assert WARN not in set(table.verdict)
    assert {"prior conflict", "predicted counts (χ²)"} <= set(table.check)


@pytest.mark.long
@pytest.mark.parametrize("n", [40, 1000])
def test_regimens_that_are_all_alike_can_be_sampled(n):
    # A spread near 0 is a funnel for a careless statement of the saturated model.
    cells = dict.fromkeys(("A", "B", "C", "A+B", "A+C", "B+C", "A+B+C"), (n, n // 5))
    study = parse_study(THREE + arms(cells))
    for model in ("saturated", "exchangeable"):
        table = checks(fit_of(study, MODELS[model], fit(study, model)))
        found = table.set_index("check").value
        assert found["divergences"] <= 1, model
        assert found["R-hat"] <= 1.01, model
        assert found["bulk ESS"] >= 1000, model
