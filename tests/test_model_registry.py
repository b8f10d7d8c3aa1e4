"""A model with a parameter of its own is one module and one registration, also outside the package."""

import sys
import types

import pandas as pd
import pytest

from cotreat import load_study
from cotreat.inference.batch import in_processes
from cotreat.models import interaction
from cotreat.models.design import centred
from cotreat.models.registry import MODELS, Model, register
from cotreat.priors.declare import state
from cotreat.priors.defaults import PARAMETERS
from cotreat.priors.prior import ODDS_RATIO, Prior
from cotreat.workflow.reanalyse import reanalyse
from tests.shared import draw_only

ROW = Prior(
    "theta",
    "StudentT",
    0.1,
    0.5,
    "log odds ratio of every combination",
    "heavier tails than a normal prior",
    scale=ODDS_RATIO,
    about="every combination",
    symbol="log odds ratio θ",
    further=(("nu", 4.0),),
)


def log_odds(study, arms, priors):
    """Add one effect of every combination, whatever the pair, to the model with interactions."""
    combined = centred(study.products, study, arms).sum(axis=1)
    return interaction.log_odds(study, arms, priors) + combined * state(priors, "theta")


@pytest.fixture
def registered(monkeypatch):
    module = types.ModuleType("a_module_outside.common")
    module.log_odds = log_odds
    monkeypatch.setitem(sys.modules, module.__name__, module)
    register(
        Model(
            "common",
            "Combinations share one effect besides their interactions.",
            "η = α + Σ β_d x_d + Σ (θ + γ_de) x_d x_e",
            ("alpha", "beta", "gamma", "theta"),
            priors=(ROW,),
            module=module.__name__,
        )
    )
    yield
    del MODELS["common"], PARAMETERS["theta"]


@pytest.mark.slow
@pytest.mark.usefixtures("registered")
def test_a_model_with_a_new_parameter_needs_one_module_and_one_registration(tmp_path, monkeypatch):
    draw_only(monkeypatch, "forest", "prior_posterior", "trace")
    result = reanalyse(
        load_study("isis2"), "common", engine="laplace", draws=500, thresholds=(1.1,), out=tmp_path
    )
    (fit,) = result.results
    table = pd.read_csv(fit.folder / "summary.csv")
    assert set(table.model) == {"common"}
    assert (fit.folder / "prior_posterior.png").is_file()
    page = result.report.read_text(encoding="utf-8")
    for text in (
        "heavier tails than a normal prior",
        "log odds ratio of every combination",
        "StudentT",
    ):
        assert text in page


@pytest.mark.usefixtures("registered")
def test_its_parameter_is_in_the_figures_under_its_own_name():
    from cotreat.plots.labels import parameter_name

    assert parameter_name(load_study("isis2"), "theta") == "every combination\nlog odds ratio θ"


def _is_known(model, parameter):
    return model in MODELS and parameter in PARAMETERS


@pytest.mark.slow
@pytest.mark.usefixtures("registered")
def test_worker_processes_have_it():
    assert list(in_processes([(_is_known, ("common", "theta"))] * 2, 2)) == [True, True]
