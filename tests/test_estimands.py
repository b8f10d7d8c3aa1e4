"""Estimands: what is asked of a study, and whether its evidence answers."""

from collections import Counter

import numpy as np
import pytest
import xarray as xr
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from cotreat.core.constants import FIXED, IMPLIED
from cotreat.estimands.enumerate import enumerate_estimands, four_cells
from cotreat.estimands.estimand import on_measure
from cotreat.estimands.identification import (
    Determination,
    Identification,
    gradient,
    in_row_space,
    is_fixed,
)
from cotreat.estimands.measures import MEASURES
from cotreat.evidence.protocol import Point
from cotreat.evidence.resolve import resolve
from cotreat.models.registry import MODELS
from cotreat.study.study import BY_DESIGN
from cotreat.study_file.reader import load_study, parse_study
from tests.codes import code, status_text
from tests.codes import given as given_to

ALL = ("none", "A", "B", "C", "A+B", "A+C", "B+C", "A+B+C")
TREATED = ALL[1:]
BY_DESIGN_ONLY = f"not estimable: {BY_DESIGN}"
STRUCTURED = [name for name, model in MODELS.items() if model.has_structure]


def three_treatments(counted, design="cohort"):
    head = f"""
        format = 1
        study = {{ id = "x", title = "x", design = "{design}", source = "x" }}
        outcome = {{ name = "x", direction = "benefit", synergy_on = "event" }}
        treatments = {{ A = {{ name = "a" }}, B = {{ name = "b" }}, C = {{ name = "c" }} }}
    """
    arms = [f'[[arms]]\nregimen = "{arm}"\nn = 50\nevents = 20' for arm in counted]
    return parse_study("\n".join([head, *arms]))


def draws(arms, log_odds=None):
    if log_odds is None:
        log_odds = np.random.default_rng(1).normal(-1, 0.8, (2, 50, len(arms)))
    dims = ("chain", "draw", "arm")
    return xr.DataArray(expit(log_odds), dims=dims, coords={"arm": list(arms)})


def additive_draws(study, n_draws=50):
    effects = np.random.default_rng(2).normal(size=(1, n_draws, len(study.treatment_ids)))
    return draws(study.regimens, -1 + effects @ study.content(study.regimens).T)


def find(study, label, model="interaction", **wanted):
    (found,) = (
        e
        for e in enumerate_estimands(study, MODELS[model], resolve(study))
        if code(e) == label
        and given_to(e) == wanted.get("background", given_to(e))
        and e.judged_on == wanted.get("judged_on", e.judged_on)
    )
    return found


def kinds(study, model):
    listed = enumerate_estimands(study, MODELS[model], resolve(study))
    return Counter(e.measure for e in listed)


# --- Which questions are asked --------------------------------------------------------------------


@pytest.mark.parametrize("model", ["additive", "interaction", "saturated"])
@pytest.mark.parametrize(("study", "scales"), [("isis2", 2), ("oral-cancer", 1)])
def test_two_treatments_ask_each_measure_once_a_scale(study, scales, model):
    expected = {"risk": 4, "odds_ratio": 6} | dict.fromkeys(MEASURES, scales)
    if study == "isis2":  # a case-control study has no risks to contrast
        expected |= {"risk_difference": 6, "risk_ratio": 6}
    assert kinds(load_study(study), model) == expected


@pytest.mark.parametrize("counted", [ALL, TREATED], ids=["with none", "without none"])
@pytest.mark.parametrize("model", MODELS)
def test_three_treatments_ask_each_measure_on_each_background(counted, model):
    # What is asked does not depend on what was counted; whether it is answered does.
    ror = 3 if MODELS[model].has_structure else 6
    expected = {"risk": 8, **dict.fromkeys(("odds_ratio", "risk_difference", "risk_ratio"), 28)}
    expected["effect_ratio"] = 3
    expected |= dict.fromkeys(MEASURES, 6) | {"ror": ror}
    assert kinds(three_treatments(counted), model) == expected


@pytest.mark.parametrize("study", ["isis2", "oral-cancer", "three"])
@pytest.mark.parametrize("model", MODELS)
def test_no_question_is_asked_twice(study, model):
    study = three_treatments(TREATED) if study == "three" else load_study(study)
    listed = enumerate_estimands(study, MODELS[model], resolve(study))
    assert len({(e.label, given_to(e), e.judged_on) for e in listed}) == len(listed)


def test_a_harm_judged_on_the_non_event_keeps_both_scales():
    listed = enumerate_estimands(
        load_study("isis2"), MODELS["interaction"], resolve(load_study("isis2"))
    )
    measures = {(e.measure, e.judged_on): e.is_judged for e in listed if e.synergy}
    assert measures == {
        (name, scale): scale == "non-event" for name in MEASURES for scale in ("event", "non-event")
    }


def test_risks_and_odds_ratios_stay_on_the_event_scale():
    listed = enumerate_estimands(
        load_study("isis2"), MODELS["interaction"], resolve(load_study("isis2"))
    )
    assert {e.judged_on for e in listed if e.synergy is None} == {"event"}


@pytest.mark.parametrize("study", ["oral-cancer", "factor-v-leiden"])
def test_a_study_judged_on_the_event_has_one_scale(study):
    listed = enumerate_estimands(
        load_study(study), MODELS["interaction"], resolve(load_study(study))
    )
    assert {(e.judged_on, e.is_judged) for e in listed} == {("event", True)}


@pytest.mark.parametrize("pair", ["A:B", "A:C", "B:C"])
@pytest.mark.parametrize("measure", [name for name in MEASURES if name != "ror"])
@pytest.mark.parametrize("model", ["interaction", "saturated"])
def test_backgrounds_are_the_sets_of_the_other_treatments(pair, measure, model):
    (other,) = set("ABC") - set(pair.split(":"))
    listed = enumerate_estimands(
        three_treatments(TREATED), MODELS[model], resolve(three_treatments(TREATED))
    )
    found = [given_to(e) for e in listed if code(e) == f"{measure}[{pair}]"]
    assert found == ["none", other]


@pytest.mark.parametrize("model", STRUCTURED)
@pytest.mark.parametrize(
    ("counted", "background", "arms"),
    [
        (ALL, "any", ("none", "A", "B", "A+B")),
        # Read on the background that was counted, and named as such.
        (
            TREATED,
            "any",
            ("C", "A+C", "B+C", "A+B+C"),
        ),
        (
            ALL[:-1],
            "any",
            ("none", "A", "B", "A+B"),
        ),
        (("A", "B"), "any", ("none", "A", "B", "A+B")),
    ],
)
def test_structure_makes_one_ratio_of_odds_ratios(model, counted, background, arms):
    ror = find(three_treatments(counted), "ror[A:B]", model)
    assert (given_to(ror), ror.arms) == (background, arms)


def test_saturated_asks_the_ratio_of_odds_ratios_on_each_background():
    study = three_treatments(ALL)
    assert find(study, "ror[A:C]", "saturated", background="none").arms == ("none", "A", "C", "A+C")
    assert find(study, "ror[A:C]", "saturated", background="B").arms == (
        *("B", "A+B", "B+C", "A+B+C"),
    )


def test_with_two_treatments_there_is_no_other_background():
    assert given_to(find(load_study("oral-cancer"), "ror[ALC:SMK]")) == "none"


@pytest.mark.parametrize(
    ("pair", "background", "cells"),
    [
        (("A", "B"), "", ("none", "A", "B", "A+B")),
        (("A", "B"), "C", ("C", "A+C", "B+C", "A+B+C")),
        (("A", "C"), "B", ("B", "A+B", "B+C", "A+B+C")),
        (("B", "C"), "A", ("A", "A+B", "A+C", "A+B+C")),
        (("C", "A"), "", ("none", "C", "A", "A+C")),
    ],
)
def test_four_cells_are_00_10_01_11(pair, background, cells):
    assert four_cells(three_treatments(ALL), pair, frozenset(background)) == cells


# --- Their answers --------------------------------------------------------------------------------

FOUR = xr.DataArray([0.1, 0.2, 0.25, 0.6], dims="arm", coords={"arm": ["none", "A", "B", "A+B"]})


@pytest.mark.parametrize(
    ("label", "answer"),
    [
        ("risk[B]", 1 / 4),
        ("odds_ratio[A+B vs A]", 6),
        ("odds_ratio[B vs A]", 4 / 3),
        ("ic[A:B]", 1 / 4),
    ],
)
def test_values_read_the_regimens_they_name(label, answer):
    study = three_treatments(ALL)
    shuffled = FOUR[[2, 0, 3, 1]]
    wanted = {"background": "none"} if label.startswith("ic") else {}
    assert find(study, label, **wanted).values(shuffled) == pytest.approx(answer)


def test_values_keep_the_dims_of_the_draws():
    study = load_study("isis2")
    assert find(study, "risk[SK]").values(draws(study.regimens)).dims == ("chain", "draw")


def test_the_non_event_is_asked_of_one_minus_the_risk():
    study = load_study("isis2")
    risk = draws(study.regimens)
    event, other = (
        find(study, "ror[SK:ASA]", judged_on=s).values(risk) for s in ("event", "non-event")
    )
    xr.testing.assert_allclose(other, 1 / event)


def test_another_measure_keeps_the_scale_and_the_regimens():
    study = load_study("isis2")
    index, contrast = (find(study, f"{m}[SK:ASA]", judged_on="non-event") for m in ("s", "ic"))
    asked = on_measure(index, MEASURES["ic"])
    risk = draws(study.regimens)
    xr.testing.assert_identical(asked.values(risk), contrast.values(risk))
    assert (asked.null, asked.log, asked.is_judged) == (0, False, True)


# --- Gradient and row space -----------------------------------------------------------------------

H = 1e-5
ISIS2 = load_study("isis2")


@pytest.mark.parametrize(
    "estimand",
    enumerate_estimands(ISIS2, MODELS["interaction"], resolve(ISIS2)),
    ids=lambda e: f"{e.label}-{e.judged_on}",
)
@settings(max_examples=20, deadline=None)
@given(risk=st.lists(st.floats(0.05, 0.95), min_size=4, max_size=4).map(np.array))
def test_gradient_is_the_central_difference(estimand, risk):
    none, a, b, _ = risk if estimand.judged_on == "event" else 1 - risk
    excess = a + b - 2 * none
    if estimand.synergy and estimand.measure == "s_or":
        excess = a / (1 - a) + b / (1 - b) - 2 * none / (1 - none)
    # Near a kink or a pole a finite difference is the worse of the two.
    assume(abs(excess) > 0.1)
    assume(abs(a - b) > 1e-3)
    moves = logit(risk) + H * np.array([[+1], [-1]])[..., None] * np.eye(4)
    ends = xr.DataArray(
        expit(moves), dims=("side", "direction", "arm"), coords={"arm": list(ISIS2.regimens)}
    )
    up, down = estimand.values(ends).values
    slope = gradient(estimand, ISIS2.regimens, Point(logit(risk)))
    scale = max(1, np.abs(up).max())
    np.testing.assert_allclose(slope, (up - down) / (2 * H), rtol=1e-6, atol=1e-7 * scale)


@pytest.mark.parametrize(
    ("vector", "inside"),
    [
        ([1, 0, 0], True),
        ([3, -2, 0], True),
        ([0, 0, 1], False),
        ([1, 0, 1e-4], False),
        ([0, 0, 0], True),
    ],
)
@pytest.mark.parametrize("scale", [1e-8, 1, 1e8])
def test_row_space_does_not_depend_on_scale(vector, inside, scale):
    rows = np.array([[1.0, 1.0, 0.0], [1.0, -1.0, 0.0]])
    assert in_row_space(scale * np.array(vector), rows) is inside
    assert in_row_space(np.array(vector, dtype=float), scale * rows) is inside


@given(seed=st.integers(0, 10**6), n_rows=st.integers(1, 4))
def test_row_space_holds_combinations_and_not_what_is_across(seed, n_rows):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(n_rows, 5))
    across = np.linalg.svd(rows)[2][-1]
    combination = rng.normal(size=n_rows) @ rows
    assert in_row_space(combination, rows)
    assert not in_row_space(combination + 0.1 * np.linalg.norm(combination) * across, rows)


# --- Availability ---------------------------------------------------------------------------------


@settings(max_examples=12, deadline=None)
@given(counted=st.sets(st.sampled_from(ALL), min_size=2), seed=st.integers(0, 10**6))
def test_observed_means_that_all_its_regimens_were_counted(counted, seed):
    study = three_treatments(sorted(counted))
    # Random, for at round numbers a slope can vanish and even an uncounted regimen not matter.
    risk = np.random.default_rng(seed).uniform(0.05, 0.95, len(ALL))
    for estimand in enumerate_estimands(study, MODELS["saturated"], resolve(study)):
        if estimand.synergy and not estimand.synergy.smooth:
            continue  # a maximum ignores the smaller of two risks, and so does its slope
        expected = "identified" if set(estimand.arms) <= counted else "not identified"
        assert (
            status_text(Determination(study, Point(logit(risk)), resolve(study)).of(estimand))
            == expected
        ), estimand.code


@pytest.mark.parametrize(
    ("label", "background", "expected"),
    [
        ("risk[A+B]", "", "identified"),
        ("risk[none]", "", "not identified"),
        ("odds_ratio[A+B vs A]", "", "identified"),
        ("odds_ratio[A vs none]", "", "not identified"),
        ("ic[A:B]", "none", "not identified"),
        ("ic[A:B]", "C", "identified"),
        ("s[A:B]", "C", "identified"),
        ("hsa[A:B]", "C", "identified"),
    ],
)
def test_availability_without_an_untreated_arm(label, background, expected):
    study = three_treatments(TREATED)
    estimand = find(study, label, background=background)
    model = MODELS["interaction"]
    assert (
        status_text(Identification(study, model, draws(ALL), resolve(study)).of(estimand))
        == expected
    )


def test_an_index_without_a_value_is_as_available_as_its_sign():
    study = load_study("isis2")
    protective = draws(study.regimens, np.array([0.0, -1.0, -1.0, -2.0])[None, None, :])
    index = find(study, "s[SK:ASA]", judged_on="event")
    assert np.isnan(index.values(protective)).all()
    assert (
        status_text(
            Identification(study, MODELS["interaction"], protective, resolve(study)).of(index)
        )
        == "identified"
    )


@pytest.mark.parametrize(
    "estimand",
    enumerate_estimands(
        load_study("oral-cancer"), MODELS["interaction"], resolve(load_study("oral-cancer"))
    ),
    ids=lambda e: e.label,
)
def test_a_case_control_study_answers_odds_ratios_only(estimand):
    study = load_study("oral-cancer")
    known = estimand.measure in {"odds_ratio", "ror", "reri_or", "ap_or", "s_or"}
    available = status_text(
        Identification(study, MODELS["interaction"], draws(study.regimens), resolve(study)).of(
            estimand
        )
    )
    assert available == ("identified" if known else BY_DESIGN_ONLY)


@pytest.mark.parametrize(
    ("label", "background", "expected"),
    [
        ("risk[none]", "", "not estimable: no patients in none"),
        ("risk[A]", "", "identified"),
        ("odds_ratio[A vs none]", "", "not estimable: no patients in none"),
        ("ror[A:B]", "none", "not estimable: no patients in none"),
        ("ror[A:B]", "C", "not estimable: no patients in A+B+C"),
        ("bliss[A:C]", "none", "not estimable: no patients in none"),
        ("bliss[B:C]", "A", "not estimable: no patients in A+B+C"),
    ],
)
def test_saturated_is_silent_on_empty_cells(label, background, expected):
    study = three_treatments(TREATED[:-1])
    estimand = find(study, label, "saturated", background=background)
    model = MODELS["saturated"]
    assert (
        status_text(Identification(study, model, draws(study.counted), resolve(study)).of(estimand))
        == expected
    )


@pytest.mark.parametrize(
    "estimand",
    enumerate_estimands(three_treatments(ALL), MODELS["additive"], resolve(three_treatments(ALL))),
    ids=lambda e: f"{e.label}-{given_to(e)}",
)
def test_additive_fixes_or_implies_every_measure_of_synergy(estimand):
    study = three_treatments(ALL)
    name = estimand.measure if estimand.synergy else ""
    is_ratio_of_effects = estimand.measure == "effect_ratio"
    expected = {"ror": FIXED, "": FIXED if is_ratio_of_effects else "identified"}.get(name, IMPLIED)
    model, risk = MODELS["additive"], additive_draws(study)
    assert status_text(Identification(study, model, risk, resolve(study)).of(estimand)) == expected
    assert is_fixed(estimand, model) == (name == "ror" or is_ratio_of_effects)


def test_a_case_control_study_under_additive_says_first_what_its_design_forbids():
    study = load_study("oral-cancer")
    risk = additive_draws(study)
    for label, expected in [("ic", BY_DESIGN_ONLY), ("ror", FIXED), ("reri_or", IMPLIED)]:
        estimand = find(study, f"{label}[ALC:SMK]", "additive")
        assert (
            status_text(
                Identification(study, MODELS["additive"], risk, resolve(study)).of(estimand)
            )
            == expected
        )


@pytest.mark.parametrize("empty", range(4))
def test_raw_proportions_with_an_empty_numerator_can_be_asked(empty):
    study = load_study("isis2")
    events = np.where(np.arange(4) == empty, 0, study.events)
    raw = xr.DataArray(
        (events / study.n)[None, None],
        dims=("chain", "draw", "arm"),
        coords={"arm": list(study.counted)},
    )
    for estimand in enumerate_estimands(study, MODELS["saturated"], resolve(study)):
        assert (
            status_text(
                Identification(study, MODELS["saturated"], raw, resolve(study)).of(estimand)
            )
            == "identified"
        )


def test_the_better_single_is_not_observed_where_the_other_was_not_counted():
    study = three_treatments(["none", "A", "A+B", "C"])
    high_a = draws(study.regimens, np.where(np.array(study.regimens) == "A", 1.0, -1.0)[None, None])
    hsa = find(study, "hsa[A:B]", background="none")
    assert (
        status_text(Identification(study, MODELS["interaction"], high_a, resolve(study)).of(hsa))
        == "not identified"
    )
