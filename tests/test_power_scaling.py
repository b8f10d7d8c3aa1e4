"""Power scaling of estimands: as ArviZ scales the parameters behind them, and as a fit with other priors."""

from dataclasses import replace

import arviz as az
import numpy as np
import pytest

from cotreat import load_study
from cotreat.models.registry import MODELS
from cotreat.plots import SENSITIVITY, picture
from cotreat.plots import power_scaling as plot
from cotreat.plots.records import Sensitivity
from cotreat.plots.style import off_screen
from cotreat.priors.sets import prior_set
from cotreat.sensitivity.power_scaling import beliefs, scaled
from tests.codes import by_code, table_of_codes
from tests.shared import draws_of as fit


@pytest.fixture(scope="module")
def isis2():
    return load_study("isis2")


@pytest.fixture(scope="module")
def tree(isis2):
    return fit(
        isis2, "interaction", "interactions:pessimistic-strong", engine="laplace", draws=4000
    )


@pytest.fixture(scope="module")
def table(tree, isis2):
    return scaled(tree, isis2, MODELS["interaction"]).pipe(by_code)


@pytest.mark.slow
def test_an_odds_ratio_is_as_sensitive_as_the_coefficient_that_it_is(tree, table):
    """Under `interaction` log OR[SK vs none] is β of SK, and the log ROR is γ, whatever the side."""
    expected = az.psense_summary(
        tree, var_names=["beta", "gamma"], prior_var_names=["alpha", "beta", "gamma"], round_to=6
    )
    for label, parameter in (
        ("odds_ratio[SK vs none]", "beta[SK]"),
        ("odds_ratio[ASA vs none]", "beta[ASA]"),
    ):
        assert table.loc[label, "prior"] == pytest.approx(
            expected.loc[parameter, "prior"], abs=2e-6
        )
        assert table.loc[label, "likelihood"] == pytest.approx(
            expected.loc[parameter, "likelihood"], abs=2e-6
        )
    own = az.psense(tree, var_names=["beta"], group="prior", group_var_names=["gamma"])
    assert table.loc["odds_ratio[SK vs none]", "prior of gamma"] == pytest.approx(
        float(own["beta"].sel(treatment="SK"))
    )


@pytest.mark.slow
def test_a_strong_belief_about_interactions_moves_them_and_no_single_risk(table):
    # 8,600 patients an arm leave a single risk to the evidence.
    assert table.loc["ror[SK:ASA]", "prior"] > 0.05
    assert table.loc["ror[SK:ASA]", "diagnosis"] == "potential prior-data conflict"
    assert table.loc["risk[SK]", "prior"] < 0.05
    assert table.loc["risk[SK]", "diagnosis"] == "✓"
    assert table.loc["ror[SK:ASA]", "prior of gamma"] > table.loc["ror[SK:ASA]", "prior of beta"]


@pytest.mark.slow
def test_half_the_prior_is_a_fit_with_twice_its_variance(isis2, table):
    """A normal density to the power ½ is one with √2 times the SD."""
    told = prior_set("interactions:pessimistic-strong", isis2)
    wide = replace(
        told,
        name="wide",
        rows=tuple(
            replace(row, sigma=row.sigma * 2**0.5)
            if row.distribution == "Normal" and row.sigma
            else row
            for row in told.rows
        ),
    )
    risk = fit(isis2, "interaction", wide, engine="laplace", draws=4000)["posterior"]["risk"]
    odds = risk / (1 - risk)
    ror = odds.sel(arm="SK") * odds.sel(arm="ASA") / odds.sel(arm="SK+ASA") / odds.sel(arm="none")
    expected = float((ror > 1).mean())
    found = table.loc["ror[SK:ASA]", "at half the prior"]
    assert found == pytest.approx(expected, abs=4 * np.sqrt(0.25 / 4000))
    assert abs(found - table.loc["ror[SK:ASA]", "probability"]) > 0.05


def test_only_beliefs_are_scaled():
    names = [
        "tau",
        "mu",
        "z",
        "alpha",
        "beta",
        "sigma",
        "share_1",
        "tail_p",
        "simplex_A",
        "cluster_z",
    ]
    assert beliefs(dict.fromkeys(names)) == ["tau", "mu", "alpha", "beta", "sigma"]


def test_what_lies_beyond_the_edge_is_an_arrow(isis2):
    rows = [
        ("odds_ratio[SK vs none]", "identified", 0.02, 0.1),
        ("ror[SK:ASA]", "identified", 0.4, 0.2),
    ]
    columns = ["estimand", "status", "prior", "likelihood"]
    with off_screen():
        table = table_of_codes(rows, columns)
        figure = plot.power_scaling(Sensitivity(isis2, scaling=table))
    marks = {
        (line.get_marker(), round(float(line.get_xdata()[0]), 3))
        for line in figure.axes[0].lines
        if len(line.get_xdata()) == 1
    }
    assert marks == {("s", 0.02), ("o", 0.1), (">", plot.FURTHEST), ("o", 0.2)}
    assert "arrow at the edge" in picture(SENSITIVITY, "power_scaling").caption
