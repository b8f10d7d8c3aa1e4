"""Firth's penalised likelihood where separation leaves maximum likelihood without an estimate."""

import csv
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit

from cotreat.core.constants import QUESTION
from cotreat.estimands.enumerate import enumerate_estimands
from cotreat.evidence.resolve import resolve
from cotreat.frequentist import intervals as intervals_of
from cotreat.frequentist.firth import LogLikelihood, climb, maximise_penalised
from cotreat.frequentist.g_computation import fit_adjusted
from cotreat.frequentist.intervals import Z, intervals
from cotreat.frequentist.logistic import NO_MAXIMUM, fit_likelihood
from cotreat.models.registry import MODELS
from cotreat.plots.interval_rows import NOT_ESTIMABLE, looks
from cotreat.plots.odds_ratios import rows_to_draw
from cotreat.report.caveats import caveats
from cotreat.results.headline import headline
from cotreat.results.summary import LIKELIHOOD, PENALISED, summarise
from cotreat.study_file.reader import load_study, parse_study
from tests.codes import by_code, code, codes, status_text
from tests.codes import given as given_to
from tests.shared import view_of
from tests.test_frequentist import EIGHT, TABLE, study_of, terms
from tests.test_summary import random_risks

REFERENCE = Path(__file__).parent / "reference"
ROWS = {
    (row["model"], row["quantity"]): [
        float(row[name] or "nan") for name in ("estimate", "se", "lower", "upper")
    ]
    for row in csv.DictReader((REFERENCE / "penalised.csv").read_text().splitlines())
}
SEPARATED = {**TABLE, "A": (0, 40), "B": (25, 85)}
PATIENTS = """
format = 1
study = { id = "patients", title = "Made up", design = "cohort", source = "made up" }
outcome = { name = "response", direction = "benefit" }
treatments = { A = { name = "a" }, B = { name = "b" }, C = { name = "c" } }
[patients]
file = "penalised_patients.csv"
outcome = "response"
treatments = { A = "a", B = "b", C = "c" }
covariates = { x = "continuous" }
"""


@pytest.fixture(scope="module")
def patients():
    return parse_study(PATIENTS, folder=REFERENCE)


def ask(fit, label, background=None):
    (found,) = (
        e
        for e in enumerate_estimands(fit.study, fit.model, resolve(fit.study))
        if code(e) == label and e.judged_on == "event" and background in (None, given_to(e))
    )
    return found


def limits(fit, estimand):
    (found,) = intervals(fit, estimand)
    return found


def table(study, model, likelihood=None):
    """Summarise, with random numbers for a posterior."""
    risks = random_risks(MODELS[model].arms(study))
    return summarise(
        study,
        MODELS[model],
        resolve(study),
        prior=risks,
        posterior=risks,
        likelihood=likelihood or fit_likelihood(study, MODELS[model], resolve(study)),
        labels={"model": model, "priors": "weak", "interpretation": "default"},
    )


# --- Other people's software ------------------------------------------------------------------------

LABELS = {
    ("table", "A"): "odds_ratio[A vs none]",
    ("table", "A:B"): "ror[A:B]",
    ("saturated", "regimen001"): "odds_ratio[C vs none]",
    ("saturated", "regimen010"): "odds_ratio[B vs none]",
    ("saturated", "regimen100"): "odds_ratio[A vs none]",
    ("saturated", "regimen101"): "odds_ratio[A+C vs none]",
    ("saturated", "regimen110"): "odds_ratio[A+B vs none]",
    ("interaction", "a:b"): "ror[A:B]",
    ("interaction", "a:c"): "ror[A:C]",
}


@pytest.mark.parametrize(("model", "quantity"), LABELS)
def test_log_ratio_is_that_of_brglm2_and_its_profile_that_of_optim(model, quantity, patients):
    if model == "table":
        fit = fit_likelihood(
            study_of(SEPARATED), MODELS["interaction"], resolve(study_of(SEPARATED))
        ).penalised
    else:
        fit = fit_adjusted(patients, MODELS[model], resolve(patients)).penalised
    wanted = ask(fit, LABELS[model, quantity])
    estimate, se, lower, upper = ROWS[model, quantity]
    assert np.log(fit.estimate(wanted)) == pytest.approx(estimate, abs=1e-6)
    contrast = fit.contrast(wanted)
    assert np.sqrt(contrast @ fit.covariance @ contrast) == pytest.approx(se, rel=1e-6)
    found = limits(fit, wanted)
    assert found.label == "95% profile"
    assert np.log([found.lower, found.upper]) == pytest.approx([lower, upper], abs=2e-6)


def test_standardised_risk_is_that_of_brglm2_with_the_models_own_covariance(patients):
    fit = fit_adjusted(patients, MODELS["saturated"], resolve(patients)).penalised
    wanted = ask(fit, "risk[A+B]")
    estimate, se, *_ = ROWS["saturated", "risk110"]
    assert fit.estimate(wanted) == pytest.approx(estimate, rel=1e-6)
    slope = fit.slope(wanted)
    assert np.sqrt(slope @ fit.covariance @ slope) == pytest.approx(se, rel=1e-6)
    assert limits(fit, wanted).label == "95% Wald"


# --- Closed forms and symmetries ----------------------------------------------------------------------

sizes = st.lists(st.integers(1, 3_000_000), min_size=4, max_size=4)


@settings(max_examples=50, deadline=None)
@given(n=sizes, shares=st.lists(st.sampled_from([0, 0.1, 0.6, 1]), min_size=4, max_size=4))
@pytest.mark.parametrize("names", [["", "A", "B", "AB"], None], ids=["products", "cells"])
def test_a_saturated_table_gets_half_an_event_and_half_a_non_event_a_cell(names, n, shares):
    n = np.array(n)
    events = np.round(n * shares).astype(int)
    design = np.eye(4) if names is None else terms([*TABLE], names)
    found = design @ maximise_penalised(events, n, design)
    np.testing.assert_allclose(found, logit((events + 0.5) / (n + 1)), rtol=0, atol=1e-7)


def test_patients_one_by_one_have_the_penalised_likelihood_of_their_cells():
    design = terms([*EIGHT], ["", "A", "B", "C", "AB"])
    events, n = np.array([0, 2, 1, 0, 0, 5, 3, 0]), np.arange(3, 11)
    at = np.repeat(np.arange(8), n)
    own = np.concatenate([np.arange(size) < k for size, k in zip(n, events, strict=True)])
    cells = maximise_penalised(events, n, design)
    one_by_one = maximise_penalised(own.astype(int), np.ones(len(at), int), design[at])
    np.testing.assert_allclose(cells, one_by_one, atol=1e-8)


def test_what_is_an_event_does_not_matter():
    design = terms([*EIGHT], ["", "A", "B", "C"])
    events, n = np.array([0, 2, 0, 0, 0, 5, 3, 0]), np.arange(3, 11)
    there, back = (maximise_penalised(k, n, design) for k in (events, n - events))
    np.testing.assert_allclose(there, -back, atol=1e-9)


def test_a_design_that_the_cells_do_not_fill_changes_nothing_they_tell_apart():
    # Without "none" the seven others leave one combination of these seven coefficients open.
    arms = [arm for arm in EIGHT if arm not in ("none", "A+B+C")]
    wide = terms(arms, ["", "A", "B", "C", "AB", "AC", "BC"])
    events, n = np.array([0, 4, 3, 9, 0, 2]), np.full(6, 12)
    found = wide @ maximise_penalised(events, n, wide)
    np.testing.assert_allclose(found, logit((events + 0.5) / (n + 1)), atol=1e-8)


@settings(max_examples=30, deadline=None)
@given(n=sizes, all_of=st.booleans(), at=st.sampled_from(["A", "B"]))
def test_no_slope_is_left_at_the_summit_of_separated_treatments(n, all_of, at):
    design = terms([*TABLE], ["", "A", "B"])
    n = np.array(n)
    has = np.array([at in arm for arm in TABLE])
    events = np.where(has, n * all_of, np.ceil(n * 0.3)).astype(int)
    found = maximise_penalised(events, n, design)
    surface = LogLikelihood(events, n, design, is_penalised=True)
    slope = surface.cost(found)[1]
    # In standard errors, as a step that would still be taken.
    assert slope @ np.linalg.solve(surface.curvature(found), slope) < 1e-14


@pytest.mark.parametrize("is_penalised", [True, False])
def test_slope_is_that_of_the_likelihood(is_penalised):
    design = terms([*EIGHT], ["", "A", "B", "C", "AB"])
    surface = LogLikelihood(np.arange(8), np.arange(5, 13), design, is_penalised)
    point, step = np.array([-0.4, 0.3, 0.8, -1, 0.2]), 1e-6
    around = [
        [surface.cost(point + side * step * axis)[0] for side in (1, -1)] for axis in np.eye(5)
    ]
    slopes = (np.array(around) @ [1, -1]) / (2 * step)
    np.testing.assert_allclose(surface.cost(point)[1], slopes, atol=1e-7)


def test_limits_of_a_risk_are_where_the_penalised_deviance_rises_by_z_squared():
    fit = fit_likelihood(
        study_of(SEPARATED), MODELS["interaction"], resolve(study_of(SEPARATED))
    ).penalised
    found = limits(fit, ask(fit, "risk[A]"))
    # One cell on its own in a saturated table: the penalty is half the log information of it.
    n = 40

    def deviance(p):
        return -2 * (n * np.log1p(-p) + 0.5 * np.log(n * p * (1 - p)))

    best = deviance(0.5 / (n + 1))
    for end in (found.lower, found.upper):
        assert deviance(end) - best == pytest.approx(Z**2, abs=1e-6)


def test_a_section_through_the_summit_has_its_deviance():
    design = terms([*EIGHT], ["", "A", "B", "C"])
    events, n = np.array([0, 2, 0, 0, 0, 5, 3, 0]), np.arange(3, 11)
    surface = LogLikelihood(events, n, design, is_penalised=True)
    summit, best = climb(surface, np.zeros(4))
    held = np.array([0, summit[1], 0, 0])
    rest, deviance = climb(surface, np.zeros(3), held, np.eye(4)[:, [0, 2, 3]])
    np.testing.assert_allclose(rest, summit[[0, 2, 3]], atol=1e-8)
    assert deviance == pytest.approx(best, abs=1e-10)


# --- Where patients are separated -----------------------------------------------------------------------


def clustered(rows, south=0, share=1 / 3, seed=3):
    """Make patients of three hospitals, in one of which nobody, or everybody, had the event."""
    rng = np.random.default_rng(seed)
    made = pd.DataFrame({drug: rng.integers(0, 2, rows) for drug in "abc"})
    made["x"] = rng.normal(size=rows).round(1)
    made["hospital"] = rng.choice(
        ["east", "south", "west"], rows, p=[(1 - share) / 2, share, (1 - share) / 2]
    )
    made["response"] = rng.binomial(1, expit(-0.8 + 0.4 * made.a + 0.5 * made.x))
    made.loc[made.hospital == "south", "response"] = south
    return made


@pytest.mark.parametrize(("south", "share"), [(0, 1 / 3), (1, 1 / 3), (0, 0.9), (1, 0.9)])
def test_a_hospital_of_one_outcome_leaves_odds_ratios_and_takes_risks(south, share):
    made = clustered(900, south, share)
    study = parse_study(PATIENTS + 'cluster = "hospital"', patients=made)
    fit = fit_adjusted(study, MODELS["additive"], resolve(study))
    ratio, risk = ask(fit, "odds_ratio[A vs none]"), ask(fit, "risk[A]")
    assert status_text(fit.status(ratio)) == "identified"
    assert status_text(fit.status(risk)) == f"not estimable: {NO_MAXIMUM} (separation)"
    # What is left is the regression on the other hospitals.
    others = made[made.hospital != "south"]
    design = sm.add_constant(others[["a", "b", "c", "x"]].assign(w=others.hospital == "west") * 1.0)
    fitted = sm.GLM(others.response, design, family=sm.families.Binomial()).fit(cov_type="HC0")
    assert np.log(fit.estimate(ratio)) == pytest.approx(fitted.params["a"], abs=1e-6)
    found = limits(fit, ratio)
    assert np.log([found.lower, found.upper]) == pytest.approx(
        list(fitted.conf_int().loc["a"]), abs=1e-6
    )
    assert 0 < fit.penalised.estimate(risk) < 1
    found = caveats(table(study, "additive", fit), resolve(study))
    (separation,) = [one for one in found if one.subject == "separation"]
    assert separation.text.startswith("Covariates or clusters separate patients with the event")


def test_separation_is_seen_among_many_patients():
    made = clustered(60_000).assign(hospital="one")
    made.loc[(made.a == 1) & (made.b == 1) & (made.c == 0), "response"] = 0
    fit = fit_adjusted(
        parse_study(PATIENTS, patients=made),
        MODELS["saturated"],
        resolve(parse_study(PATIENTS, patients=made)),
    )
    for arm in fit.arms:
        expected = f"not estimable: {NO_MAXIMUM} (separation)" if arm == "A+B" else "identified"
        assert status_text(fit.status(ask(fit, f"risk[{arm}]"))) == expected
    n, events = (fit.study.n, fit.study.events)
    at = fit.study.counted.index("A+B")
    assert events[at] == 0
    assert fit.penalised.estimate(ask(fit, "risk[A+B]")) == pytest.approx(0.5 / n[at], rel=0.02)


def test_rare_events_are_no_separation():
    # One patient in 3,000 or so, each a cell of its own.
    made = clustered(20_000).assign(hospital="one")
    made["x"] = np.random.default_rng(5).normal(size=len(made))
    made["response"] = np.random.default_rng(6).binomial(1, 3e-4, len(made))
    study = parse_study(PATIENTS, patients=made)
    fit = fit_adjusted(study, MODELS["additive"], resolve(study))
    assert status_text(fit.status(ask(fit, "risk[A]"))) == "identified"


# --- In the table -------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["interaction", "saturated"])
def test_what_separation_undoes_has_a_penalised_row_after_its_own(model):
    study = study_of(SEPARATED)
    found = table(study, model)
    undone = found[found.reason.str.startswith(NO_MAXIMUM)]
    assert set(undone.estimator) == {LIKELIHOOD}
    assert undone.estimate.isna().all()
    after = found.loc[undone.index + 1]
    keys = [*QUESTION, "label"]
    assert (after.estimator == PENALISED).all()
    assert after[keys].values.tolist() == undone[keys].values.tolist()
    is_own = ~codes(found).str.startswith("nnt")  # which have no row of maximum likelihood
    assert ((found.estimator == PENALISED) & is_own).sum() == len(undone)
    risk = after[codes(after) == "risk[A]"].iloc[0]
    assert risk.estimate == pytest.approx(0.5 / 41)
    assert (risk.status, risk.risk_kind) == ("identified", "crude")
    ratio = after[codes(after) == "odds_ratio[A vs none]"].iloc[0]
    assert ratio.lower < ratio.estimate < ratio.upper
    assert after[codes(after) == "ic[A:B]"].iloc[0].interval == "95% delta"


@pytest.mark.parametrize("study", ["isis2", "oral-cancer", "factor-v-leiden"])
def test_nothing_is_penalised_without_separation(study):
    assert PENALISED not in set(table(load_study(study), "interaction").estimator)


def test_a_regimen_without_patients_stays_undefined():
    cells = {arm: EIGHT[arm] for arm in ("none", "A", "B", "A+B", "C")}
    found = table(study_of({**cells, "A": (0, 90)}), "saturated")
    own = found[codes(found) == "odds_ratio[A+C vs A]"]
    assert list(own.estimator) == ["posterior", LIKELIHOOD]
    assert (own.reason == "no patients in A+C").all()


def test_patients_with_covariates_have_penalised_rows_too(patients):
    likelihood = fit_adjusted(patients, MODELS["saturated"], resolve(patients))
    found = table(patients, "saturated", likelihood)
    own = found[found.estimator == PENALISED].pipe(by_code)
    ratios = [label for label in own.index if label.startswith(("risk[", "odds_ratio["))]
    assert len(ratios) == 1 + 5
    assert all("A+B" in label for label in ratios)
    assert own.loc["risk[A+B]", "risk_kind"] == "standardised"
    difference, needed = (own.loc[f"{name}[A+B vs none]"] for name in ("risk_difference", "nnt"))
    assert needed.estimate == pytest.approx(1 / difference.estimate)
    assert own.loc["odds_ratio[A+B vs none]", "risk_kind"] == "conditional"


def test_a_profile_of_too_many_cells_is_not_walked(patients, monkeypatch):
    monkeypatch.setattr(intervals_of, "MOST_CELLS", 10)
    fit = fit_adjusted(patients, MODELS["saturated"], resolve(patients)).penalised
    found = limits(fit, ask(fit, "odds_ratio[A+B vs none]"))
    estimate, se, *_ = ROWS["saturated", "regimen110"]
    assert found.label == "95% Wald"
    assert np.log([found.lower, found.upper]) == pytest.approx(
        [estimate - Z * se, estimate + Z * se], abs=1e-5
    )


def test_the_headline_shows_the_penalised_estimate_as_such():
    found = headline(table(study_of(SEPARATED), "interaction"))
    cells = found.set_index("estimand")["maximum likelihood (95%)"]
    assert cells["odds ratio, A vs none"] == "penalised: 0.0485 (0.000378 to 0.369)"
    assert not cells["odds ratio, B vs none"].startswith("penalised")


def test_the_comparison_draws_it_with_a_marker_of_its_own():
    study = study_of(SEPARATED)
    view = view_of(None, study, MODELS["interaction"], table(study, "interaction"))
    rows = rows_to_draw(view)
    (row,) = (row for row in rows if row.name == "A" and row.lines)
    assert [line.words for line in row.lines] == ["", NOT_ESTIMABLE, ""]
    line = row.lines[-1]
    assert (line.kind, line.is_filled) == (f"{PENALISED}, 95% profile", False)
    look = looks(rows)
    assert [own["marker"] for own in look.values()].count(look[line.kind]["marker"]) == 1


def test_caveats_name_separated_and_sparse_regimens():
    study = study_of({**SEPARATED, "A+B": (60, 0), "B": (3, 85)})
    found = {one.subject: one.text for one in caveats(table(study, "interaction"), resolve(study))}
    assert found["separation"].startswith(
        "No patient in A (0 of 40) and every patient in A+B (60 of 60) had the event."
    )
    assert "not because of the data" in found["separation"]
    assert found["sparse data"].startswith("Fewer than 5 events or non-events: B (3 of 88).")


def test_caveats_call_an_extreme_regimen_sparse_where_the_model_has_an_estimate():
    study = study_of(SEPARATED)
    found = {one.subject: one.text for one in caveats(table(study, "additive"), resolve(study))}
    assert "separation" not in found
    assert "non-events: A (0 of 40)." in found["sparse data"]


def test_caveats_are_silent_where_every_regimen_has_enough():
    study = load_study("isis2")
    subjects = {one.subject for one in caveats(table(study, "interaction"), resolve(study))}
    assert subjects
    assert not {"separation", "sparse data"} & subjects
