"""Many fits at once: the same answers as one by one, in order, and bad ones told."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from cotreat import load_study
from cotreat.core.errors import ModelError
from cotreat.estimands.enumerate import judged_measures
from cotreat.estimands.estimand import is_beyond_null
from cotreat.evidence.resolve import resolve
from cotreat.inference import batch
from cotreat.inference.batch import Specification, fit_many
from cotreat.inference.laplace import UNRELIABLE
from cotreat.models.registry import find_model
from cotreat.priors.belief_grid import GRID
from cotreat.priors.sets import prior_set

SCRIPTS = Path(__file__).parent.parent / "validation" / "scripts"


@pytest.fixture(scope="module")
def tables():
    """Return what the benchmark fits: a function of how many two-by-two tables."""
    specification = importlib.util.spec_from_file_location(
        "fit_batches", SCRIPTS / "fit_batches.py"
    )
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return lambda count: [one.study for one in module.tables(count)]


def table_of(answers):
    """Tabulate answers, one row per answer, with P(measure beyond its null) unless unreliable."""
    rows = []
    for answer in answers:
        row = {"interpretation": answer.study.interpretation, "pareto_k": answer.pareto_k}
        row["verdict"] = answer.verdict
        if answer.verdict != UNRELIABLE:
            study, draws = answer.study, answer.risk_draws
            row |= {"effective": answer.effective, "log_evidence": answer.log_evidence}
            for one in judged_measures(
                study, find_model(answer.model, study), draws, resolve(study)
            ):
                row[one.code] = float(is_beyond_null(one, draws).mean())
        rows.append(row)
    return pd.DataFrame(rows)


@pytest.mark.slow
def test_answers_are_those_of_nuts_under_every_prior():
    """Against moments of NUTS; the recipe is tests/reference/nuts_isis2.py."""
    study = load_study("isis2")
    nuts = pd.read_csv(Path(__file__).parent / "reference" / "nuts_isis2.csv")
    names = ["weak", *GRID[::4]]
    assert list(nuts.priors.unique()) == names
    answers = fit_many(
        [Specification(study, "interaction", n) for n in names], effective=4000, draws=4000
    )
    assert [one.priors for one in answers] == names
    table = table_of(answers)
    for answer, row in zip(answers, table.to_dict("records"), strict=True):
        expected = nuts[nuts.priors == answer.priors].set_index("quantity")
        own = answer.risk_draws["risk"]
        for arm in own["arm"].values:
            mean, sd = expected.loc[f"risk[{arm}]", ["mean", "sd"]]
            assert abs(float(own.sel(arm=arm).mean()) - mean) < 0.05 * sd, arm
            assert float(own.sel(arm=arm).std()) == pytest.approx(sd, rel=0.05), arm
        # Synergy is judged on survival, the non-event.
        below = expected.loc["P(ror < 1)", "mean"]
        assert row["ror[SK:ASA] with none"] == pytest.approx(below, abs=0.03)


@pytest.mark.slow
def test_a_shape_is_compiled_once(monkeypatch, tables):
    made = []
    monkeypatch.setattr(batch, "_held", {})
    own = batch.Density
    monkeypatch.setattr(
        batch, "Density", lambda built, *more: made.append(built) or own(built, *more)
    )
    studies = tables(6)
    specifications = [Specification(s, m) for s in studies for m in ("interaction", "additive")]
    done = []
    answers = fit_many(
        specifications, processes=1, on_progress=lambda one, all_: done.append((one, all_))
    )
    assert len(made) == 2
    fit_many(specifications[:2], processes=1)
    assert len(made) == 2  # nor for another batch
    assert done == [(at, 12) for at in range(1, 13)]
    assert [one.study for one in answers] == [one.study for one in specifications]
    assert [one.model for one in answers] == ["interaction", "additive"] * 6
    # The share of events in each arm is where each data set has it.
    for one in answers[::2]:
        share = one.study.events / one.study.n
        mean = one.risk_draws["risk"].sel(arm=list(one.study.counted)).mean(("chain", "draw"))
        assert abs(mean.values - share).max() < 0.08
        assert one.verdict != UNRELIABLE


@pytest.mark.slow
def test_processes_share_the_work_and_change_nothing(tables):
    specifications = [Specification(s, "interaction") for s in tables(6)]
    specifications += [Specification(s, "additive") for s in tables(2)]
    alone = fit_many(specifications, processes=1)
    beside = fit_many(specifications, processes=2)
    for one, other in zip(alone, beside, strict=True):
        assert one.study == other.study
        assert one.model == other.model
        assert one.log_evidence == pytest.approx(other.log_evidence, abs=1e-9)
        xr.testing.assert_allclose(one.risk_draws, other.risk_draws, rtol=1e-9)


@pytest.mark.slow
def test_several_modes_are_found_or_sampled_by_sequential_monte_carlo():
    # The sizes of four-set-products have several solutions: importance weights alone were unreliable.
    study = load_study("sun2024")
    names = ["weak", "sceptical"]
    several = study.resolve("four-set-products")
    answers = fit_many(
        [
            *(Specification(study, "interaction", name) for name in names),
            Specification(several, "interaction", "weak"),
        ],
        processes=1,
    )
    table = table_of(answers)
    assert list(table.interpretation) == ["odds-ratios"] * 2 + ["four-set-products"]
    assert (table.verdict != UNRELIABLE).all()
    for answer in answers:
        assert np.isnan(answer.pareto_k) == (answer.engine == batch.SMC)
    measures = table.filter(like="ror[")
    assert measures.shape[1] == 3  # one a pair, the same on every background
    assert measures.notna().all(axis=None)
    # Sequential Monte Carlo found −6.7 under the default reading: results/sun2024.
    assert table.log_evidence[0] == pytest.approx(-6.7, abs=0.15)


def test_a_specification_that_cannot_be_is_refused_before_any_is_fitted():
    study = load_study("isis2")
    with pytest.raises(ModelError, match="at least 2 pairs"):
        fit_many([Specification(study, "interaction"), Specification(study, "exchangeable")])


def test_parts_hold_one_shape_and_not_too_many(monkeypatch, tables):
    studies = tables(5)
    wide = prior_set("weak", studies[0]).change("gamma", sigma=1.0, name="wide", reason="a test")
    asked = [
        Specification(s, m, p)
        for s in studies
        for m, p in (("interaction", wide), ("additive", "weak"))
    ]
    tasks = [batch._task(at, one) for at, one in enumerate(asked)]
    monkeypatch.setattr(batch, "PART", 3)
    parts = batch._shared(tasks)
    assert [len(part) for part in parts] == [3, 3, 2, 2]
    assert all(len({task.shape for task in part}) == 1 for part in parts)
    assert sorted(task.at for part in parts for task in part) == list(range(10))
