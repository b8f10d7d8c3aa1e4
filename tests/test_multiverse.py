"""Readings × models × priors: what is fitted, what is asked, and one thing changed at a time."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.special import expit

from cotreat import load_study
from cotreat.inference.batch import Specification, fit_many
from cotreat.inference.laplace import UNRELIABLE
from cotreat.inference.sampling import fit_of
from cotreat.models.registry import MODELS
from cotreat.priors.belief_grid import GRID, INTERACTION_GRID
from cotreat.priors.sets import prior_set
from cotreat.results.supplementary import MULTIVERSE_COLUMNS
from cotreat.sensitivity import belief_grid, multiverse
from cotreat.sensitivity.multiverse import MultiverseRows
from cotreat.sensitivity.prior_predictive import Induced, estimands_of, table_of
from cotreat.sensitivity.records import MODEL, PRIORS, SCALE, Base
from tests.codes import by_code, codes
from tests.shared import draws_of as fit

MODELS_OF_SUN = ["exchangeable", "interaction", "saturated", "additive"]
NAMES = ["weak", "interactions:optimistic-moderate", "grid:pessimistic-moderate"]


@pytest.fixture(scope="module")
def sun():
    return load_study("sun2024")


@pytest.fixture(scope="module")
def isis2():
    return load_study("isis2")


# --- What is fitted ------------------------------------------------------------------------------------


def test_one_thing_at_a_time_takes_every_reading_or_every_model(sun):
    star = multiverse.bases(sun, MODELS_OF_SUN, prior_set("weak", sun), is_full=False)
    assert Counter(one.study.interpretation for one in star) == {
        "odds-ratios": 4,
        "four-set-products": 1,
        "mutually-adjusted-products": 1,
        "abstract-wording": 1,
    }
    assert {one.model for one in star if not one.study.is_default} == {"exchangeable"}
    assert (star[0].model, star[0].study.interpretation) == ("exchangeable", "odds-ratios")
    every = multiverse.bases(sun, MODELS_OF_SUN, prior_set("weak", sun), is_full=True)
    assert len({(one.model, one.study.interpretation) for one in every}) == 16


def test_models_are_tried_with_the_beliefs_that_they_can_honour(sun):
    def names(model):
        base = Specification(sun, model, prior_set("weak", sun))
        return [multiverse.name_of_set(one) for one in multiverse.other_priors(base)]

    # Of two names for one set one is tried: "narrow" is the default about interactions.
    sets = [name for name in multiverse.SETS if name != "interactions:narrow"]
    assert names("interaction") == sets[1:]
    assert names("additive") == [name for name in sets if name.startswith("grid:")]
    assert names("saturated") == []
    alias = Specification(sun, "interaction", prior_set("pessimistic", sun))
    beside = [multiverse.name_of_set(one) for one in multiverse.other_priors(alias)]
    assert beside == [name for name in sets if name != "grid:pessimistic-moderate"]


def test_the_grid_is_crossed_or_a_cross(sun):
    names = {one.priors for one in multiverse.grid(sun, "interaction", is_full=False)}
    assert names == {"weak", *GRID, *INTERACTION_GRID, "interactions:wide"}
    assert len(multiverse.grid(sun, "interaction", is_full=True)) == 110
    # Without interactions there is no belief about them.
    assert len(multiverse.grid(sun, "additive", is_full=True)) == 10


# --- The induced prior ---------------------------------------------------------------------------------


def test_the_prior_of_an_interaction_is_the_belief_itself(isis2):
    """log ROR = γ: the share of the prior beyond its null is stated, for survival on the other side."""
    induced = Induced(isis2, MODELS["interaction"], prior_set("weak", isis2), draws=20_000, seed=1)
    for name, beyond in (
        ("weak", 0.5),
        ("interactions:pessimistic-strong", 0.05),
        ("interactions:pessimistic-weak", 0.30),
        ("interactions:optimistic-moderate", 0.85),
        ("grid:optimistic-strong:optimistic-strong", 0.95),
    ):
        risk = induced.risk_draws(prior_set(name, isis2))["risk"]
        log = np.log(risk / (1 - risk))
        ror = log.sel(arm="SK+ASA") - log.sel(arm="SK") - log.sel(arm="ASA") + log.sel(arm="none")
        error = np.sqrt(beyond * (1 - beyond) / 20_000)
        assert float((ror < 0).mean()) == pytest.approx(beyond, abs=4 * error)
    none = induced.risk_draws(prior_set("weak", isis2))["risk"].sel(arm="none")
    # α − (β_SK + β_ASA)/2 − γ/4, SDs 2.5, 1, 1 and 0.5.
    sd = np.sqrt(2.5**2 + 2 * (1 / 2) ** 2 + (0.5 / 4) ** 2)
    expected = expit(stats.norm.ppf([0.1, 0.5, 0.9], 0, sd))
    assert none.quantile([0.1, 0.5, 0.9]).values == pytest.approx(expected, abs=0.006)


def test_the_widest_belief_leaves_risks_that_have_odds(sun):
    name = "grid:neutral-weak:neutral-weak"
    risk_draws = Induced(sun, MODELS["interaction"], prior_set(name, sun), seed=1).risk_draws(
        prior_set(name, sun)
    )
    assert np.isfinite(risk_draws["risk"] / (1 - risk_draws["risk"])).all()
    assert risk_draws["risk"].attrs["risk_kind"] == "implied"


# --- What is asked -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def answered(isis2):
    """Return answers of three models of ISIS-2, and their rows."""
    wanted = [Specification(isis2, "interaction", name) for name in NAMES]
    wanted += [Specification(isis2, "saturated"), Specification(isis2, "additive")]
    answers = fit_many(wanted, effective=4000, draws=4000)
    asking = MultiverseRows(seed=1)
    sets = [prior_set(one.priors, isis2) for one in answers]
    rows = [asking.rows(one, chosen) for one, chosen in zip(answers, sets, strict=True)]
    return answers, multiverse.table_of([row for own in rows for row in own])


@pytest.mark.slow
def test_rows_hold_what_was_asked(answered):
    answers, table = answered
    assert tuple(table.columns) == MULTIVERSE_COLUMNS
    own = table[(table.priors == NAMES[1]) & (codes(table) == "ror[SK:ASA]")].iloc[0]
    risk = answers[1].risk_draws["risk"]
    odds = risk / (1 - risk)
    # Synergy is judged on survival: the ratio of odds ratios of the non-event.
    ror = odds.sel(arm="SK") * odds.sel(arm="ASA")
    ror = (ror / odds.sel(arm="SK+ASA") / odds.sel(arm="none")).values.ravel()
    assert (own.judged_on, own.status) == ("non-event", "identified")
    assert own.probability == (ror > 1).mean()
    assert own[["lower", "estimate", "upper"]].tolist() == pytest.approx(
        np.quantile(ror, [0.025, 0.5, 0.975])
    )
    assert own.prior_probability == pytest.approx(0.85, abs=0.025)
    assert np.isfinite(own.log_evidence)
    additive = table[(table.model == "additive") & (codes(table) == "ror[SK:ASA]")].iloc[0]
    assert additive.status == "fixed by the model"
    assert np.isnan(additive.probability)


@pytest.mark.slow
def test_a_bad_fit_is_one_row_without_numbers(answered, isis2):
    bad = replace(answered[0][0], verdict=UNRELIABLE, pareto_k=0.9)
    (row,) = MultiverseRows(seed=1).rows(bad, prior_set("weak", isis2))
    assert row == {
        "interpretation": "default",
        "model": "interaction",
        "priors": "weak",
        "engine": "laplace",
        "pareto_k": 0.9,
        "verdict": UNRELIABLE,
    }


@pytest.mark.slow
def test_one_thing_is_changed_at_a_time(answered, isis2):
    _, table = answered
    changes = multiverse.one_at_a_time(table, isis2, Base("default", "interaction", "weak"))
    lead = table[(table.priors == "weak") & (table.model == "interaction")].pipe(by_code)
    found = changes.set_index(["what changes", "to"])
    for name in ("ic", "reri_or", "ror", "rrr", "bliss"):
        (words,) = [to for what, to in found.index if what == SCALE and f"({name})" in to]
        row = found.loc[SCALE, words]
        assert row.probability == lead.probability[f"{name}[SK:ASA]"]
        assert row["is primary"] == (name == "ror")
        assert row.difference == row.probability - lead.probability["ror[SK:ASA]"]
    assert found.loc[(MODEL, "additive"), "words"] == "fixed by the model"
    optimist = found.loc[(PRIORS, NAMES[1])]
    assert optimist.probability > lead.probability["ror[SK:ASA]"]
    # Each set of priors once, under the leading model: what was crossed with another is no single change.
    assert changes[changes["what changes"] == PRIORS].to.tolist() == NAMES
    assert changes[changes["what changes"] == MODEL].to.tolist() == [
        "interaction",
        "saturated",
        "additive",
    ]


@pytest.mark.slow
def test_what_cannot_be_trusted_is_said_in_words(answered, isis2):
    _, table = answered
    bad = table.copy()
    is_one = bad.priors == NAMES[1]
    bad.loc[is_one, "verdict"] = UNRELIABLE
    changes = multiverse.one_at_a_time(bad, isis2, Base("default", "interaction", "weak"))
    row = changes.set_index(["what changes", "to"]).loc[(PRIORS, NAMES[1])]
    assert np.isnan(row.probability)
    assert row.words == "the fit is unreliable"


@pytest.mark.slow
def test_the_grid_says_how_far_each_number_moves(answered, isis2):
    _, table = answered
    own = table[table.model == "interaction"].copy()
    own.loc[own.priors == NAMES[2], "verdict"] = UNRELIABLE
    grid = belief_grid.table_of(own, isis2)
    assert belief_grid.unreliable(grid) == 1
    assert (
        grid[grid.verdict == UNRELIABLE][["measure", "estimate", "probability"]]
        .isna()
        .all(axis=None)
    )
    ranges = belief_grid.ranges(grid).set_index("number")
    probability = own[codes(own) == "ror[SK:ASA]"].set_index("priors").probability
    row = ranges.loc["P(synergy)"]
    assert row["under the default priors"] == row.lowest == probability["weak"]
    assert row.highest == probability[NAMES[1]]
    assert row["under "] == "effects weak (default), interactions optimistic-moderate"
    assert row["prior sets"] == 2
    assert row["conclusive"] == 0
    # Streptokinase with aspirin against one of them: 0.75 (0.64 to 0.87) by maximum likelihood.
    assert ranges.loc["odds ratio", "conclusive"] == 2


@pytest.mark.slow
def test_a_fit_is_an_answer_only_if_it_passes_its_checks(isis2):
    tree = fit(isis2, "interaction", engine="laplace", draws=1000)
    answer = multiverse.answer_of(fit_of(isis2, MODELS["interaction"], tree))
    assert answer is not None
    assert answer.pareto_k == float(tree["sample_stats"]["pareto_k"])
    assert answer.risk_draws["risk"].identical(tree["posterior"]["risk"])
    every = estimands_of(isis2, MODELS["interaction"], answer.risk_draws)
    table = table_of(every, tree["prior"].to_dataset(), tree["posterior"].to_dataset())
    row = table[(codes(table) == "ror[SK:ASA]") & (table.judged_on == "non-event")].iloc[0]
    assert row["prior probability"] == pytest.approx(0.5, abs=0.015)
    # The prior is Normal(0, 0.5) on the log.
    assert np.log(row["prior upper"]) == pytest.approx(0.98, abs=0.03)
    chains = tree["posterior"]["risk"].copy()
    chains[0] *= 1.2
    tree["posterior"] = tree["posterior"].assign(risk=chains)
    assert multiverse.answer_of(fit_of(isis2, MODELS["interaction"], tree)) is None
