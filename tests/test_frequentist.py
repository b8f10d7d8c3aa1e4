"""Maximum likelihood against published numbers, other people's software and closed forms."""

import csv
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit, logit

from cotreat.core.constants import FIXED, IMPLIED
from cotreat.estimands.enumerate import enumerate_estimands
from cotreat.estimands.identification import Identification
from cotreat.estimands.measures import MEASURES
from cotreat.evidence.resolve import resolve
from cotreat.frequentist.intervals import Z, intervals
from cotreat.frequentist.logistic import fit_likelihood
from cotreat.models.registry import MODELS
from cotreat.study.study import BY_DESIGN
from cotreat.study_file.reader import load_study, parse_study
from tests.codes import code, status_text
from tests.codes import given as given_to

DRUGS = {"isis2": ("SK", "ASA"), "oral-cancer": ("ALC", "SMK"), "factor-v-leiden": ("FVL", "OC")}
FOUR = ("none", "A", "B", "A+B")


def study_of(cells, design="cohort"):
    """Make a study of {regimen: (events, non-events)}."""
    treatments = sorted({part for regimen in cells for part in regimen.split("+")} - {"none"})
    lines = [
        "format = 1",
        f'study = {{ id = "x", title = "x", design = "{design}", source = "x" }}',
        'outcome = { name = "x", direction = "benefit", synergy_on = "event" }',
        *(f'[treatments.{t}]\nname = "{t}"' for t in treatments),
        *(
            f'[[arms]]\nregimen = "{regimen}"\nn = {events + others}\nevents = {events}'
            for regimen, (events, others) in cells.items()
        ),
    ]
    return parse_study("\n".join(lines))


def ask(study, model, label, background=None):
    """Fit, and return the fit with one estimand on the event scale."""
    fit = fit_likelihood(study, MODELS[model], resolve(study))
    (found,) = (
        e
        for e in enumerate_estimands(study, MODELS[model], resolve(study))
        if code(e) == label and e.judged_on == "event" and background in (None, given_to(e))
    )
    return fit, found


def interval(fit, estimand, method):
    (found,) = (i for i in intervals(fit, estimand) if i.method == method)
    assert not found.why_none
    return found.lower, found.upper


@cache
def answer(study, model, label, method):
    fit, estimand = ask(load_study(study), model, label)
    assert status_text(fit.status(estimand)) == "identified"
    return fit.estimate(estimand), *interval(fit, estimand, method)


# --- Published numbers ----------------------------------------------------------------------------

# R's glm stops early by default, so published standard errors of this sparse table are off by up to
# 3e-6, and R's confint interpolates the profile, which is off by up to 2.5e-4.
EARLY_STOP = 5e-6
INTERPOLATED = 3e-4


def assert_prints_as(value, as_reported, rtol=0.0):
    half_a_digit = 0.5 * 10.0 ** -len(as_reported.partition(".")[2])
    assert value == pytest.approx(float(as_reported), abs=half_a_digit + rtol * abs(value), rel=0)


@pytest.mark.parametrize(
    ("study", "label", "method", "as_reported", "rtol"),
    [
        ("isis2", "odds_ratio[SK vs none]", "Wald", "0.7642 0.6698 0.8718", 0),
        ("isis2", "odds_ratio[ASA vs none]", "Wald", "0.7900 0.6931 0.9005", 0),
        ("isis2", "odds_ratio[SK+ASA vs none]", "Wald", "0.5707 0.4955 0.6573", 0),
        ("isis2", "ror[SK:ASA]", "Wald", "0.9453 0.7762 1.1513", 0),
        ("isis2", "ic[SK:ASA]", "delta", "0.00049 -0.0179 0.0189", 0),
        ("oral-cancer", "reri_or[ALC:SMK]", "delta", "3.739848 -1.836675 9.316372", EARLY_STOP),
        ("oral-cancer", "ap_or[ALC:SMK]", "delta", "0.4138765 -0.07306308 0.9008162", EARLY_STOP),
        ("oral-cancer", "s_or[ALC:SMK]", "delta", "1.870482 0.6460433 5.415585", EARLY_STOP),
        ("oral-cancer", "reri_or[ALC:SMK]", "MOVER", "3.739848 -11.43 21.87", 0),
        ("oral-cancer", "ap_or[ALC:SMK]", "MOVER", "0.4138765 -0.38 0.81", 0),
        ("oral-cancer", "s_or[ALC:SMK]", "MOVER", "1.870482 0.65 5.42", 0),
        ("oral-cancer", "ror[ALC:SMK]", "Wald", "0.9149 0.1543611 5.4227369", EARLY_STOP),
        ("oral-cancer", "ror[ALC:SMK]", "profile", "0.9149 0.1397799 5.26705", INTERPOLATED),
        ("factor-v-leiden", "odds_ratio[FVL vs none]", "Wald", "6.944 2.049 23.53", 0),
        # The upper limit is 6.11753; it was printed as 6.117, cut and not rounded.
        ("factor-v-leiden", "odds_ratio[OC vs none]", "Wald", "3.704 2.242 6.1175", 0),
        ("factor-v-leiden", "odds_ratio[FVL+OC vs none]", "Wald", "34.722 7.827 154.04", 0),
        ("factor-v-leiden", "ror[FVL:OC]", "Wald", "1.350 0.199 9.171", 0),
        ("factor-v-leiden", "ror[FVL:OC]", "profile", "1.350 0.2115 11.494", INTERPOLATED),
        ("factor-v-leiden", "reri_or[FVL:OC]", "delta", "25.07 -26.4 76.6", 0),
        ("factor-v-leiden", "reri_or[FVL:OC]", "MOVER", "25.07 -5.37 143.8", 0),
    ],
)
def test_published_estimate_and_interval(study, label, method, as_reported, rtol):
    values = answer(study, "interaction", label, method)
    for value, text in zip(values, as_reported.split(), strict=True):
        assert_prints_as(value, text, rtol)


@pytest.mark.parametrize(
    ("at", "coefficient", "standard_error"),
    [
        (0, "-1.89712", "0.61914"),
        (1, "1.20397", "0.79582"),
        (2, "1.08619", "0.75092"),
        (3, "-0.08893", "0.90794"),
    ],
)
def test_published_coefficients_of_oral_cancer(at, coefficient, standard_error):
    fit = fit_likelihood(
        load_study("oral-cancer"), MODELS["interaction"], resolve(load_study("oral-cancer"))
    )
    assert_prints_as(fit.coefficients[at], coefficient)
    assert_prints_as(np.sqrt(fit.covariance[at, at]), standard_error, EARLY_STOP)


# --- Reference software ---------------------------------------------------------------------------

TABLE_OF_R = Path(__file__).parent / "reference" / "frequentist.csv"
REFERENCE = [
    row
    for row in csv.DictReader(TABLE_OF_R.read_text().splitlines())
    # epiR gives a number here, with a warning; ours has none, as a test below says.
    if (row["study"], row["quantity"]) != ("isis2", "s_or")
]
METHODS = {
    "wald": "Wald",
    "profile_confint": "profile",
    "profile_exact": "profile",
    "epiR_delta": "delta",
}
COEFFICIENTS = ("alpha", "beta_A", "beta_B", "gamma")


def ours(study, quantity, method):
    a, b = DRUGS[study]
    both = f"{a}+{b}"
    if method in METHODS:
        arms = {"or_A": a, "or_B": b, "or_both": both}
        label = (
            f"odds_ratio[{arms[quantity]} vs none]" if quantity in arms else f"{quantity}[{a}:{b}]"
        )
        return answer(study, "interaction", label, METHODS[method])
    fit = fit_likelihood(
        load_study(study), MODELS[method.removeprefix("glm_")], resolve(load_study(study))
    )
    kind, _, name = quantity.partition("_")
    if kind == "risk":
        arm = {"neither": "none", "A": a, "B": b, "both": both}[name]
        return (fit.risk_draws.sel(arm=arm).item(),)
    at = COEFFICIENTS.index(name if kind == "se" else quantity)
    value, se = fit.coefficients[at], np.sqrt(fit.covariance[at, at])
    return (se,) if kind == "se" else (value, value - Z * se, value + Z * se)


@pytest.mark.parametrize(
    "row", REFERENCE, ids=lambda row: f"{row['study']}-{row['quantity']}-{row['method']}"
)
def test_reference_software(row):
    expected = [float(row[c]) for c in ("estimate", "lower", "upper") if row[c]]
    # statsmodels takes standard errors from the last step but one, which costs the sparse tables
    # some digits of 1e-8; confint interpolates.
    rtol = INTERPOLATED if row["method"] == "profile_confint" else 2e-8
    np.testing.assert_allclose(ours(row["study"], row["quantity"], row["method"]), expected, rtol)


def test_no_index_of_two_drugs_that_protect():
    # Both odds ratios of ISIS-2 are below 1, so a ratio of excesses says nothing.
    fit, estimand = ask(load_study("isis2"), "interaction", "s_or[SK:ASA]")
    assert (
        status_text(fit.status(estimand)) == "not estimable: the single effects add up to no excess"
    )
    assert np.isnan(fit.estimate(estimand))


# --- Closed forms ---------------------------------------------------------------------------------

count = st.integers(5, 500)
tables = st.tuples(*[st.tuples(count, count)] * 4).map(lambda t: dict(zip(FOUR, t, strict=True)))


@settings(max_examples=60, deadline=None)
@given(cells=tables)
def test_wald_interval_of_the_ratio_of_odds_ratios(cells):
    (a, b), (c, d), (e, f), (g, h) = cells.values()
    fit, ror = ask(study_of(cells), "interaction", "ror[A:B]")
    se = np.sqrt(sum(1 / x for pair in cells.values() for x in pair))
    log_ror = np.log((g / h) * (a / b) / ((c / d) * (e / f)))
    assert fit.estimate(ror) == pytest.approx(np.exp(log_ror), rel=1e-10)
    assert interval(fit, ror, "Wald") == pytest.approx(
        np.exp([log_ror - Z * se, log_ror + Z * se]), rel=1e-6
    )


@pytest.mark.parametrize("model", ["interaction", "saturated"])
def test_wald_interval_of_a_risk_is_symmetric_in_its_log_odds(model):
    study = load_study("isis2")
    for arm, n, events in zip(study.counted, study.n, study.events, strict=True):
        fit, risk = ask(study, model, f"risk[{arm}]")
        half = Z * np.sqrt(1 / events + 1 / (n - events))
        ends = expit(logit(events / n) + half * np.array([-1, 1]))
        assert interval(fit, risk, "Wald") == pytest.approx(ends, rel=1e-8)


def test_delta_interval_of_the_interaction_contrast():
    study = load_study("isis2")
    p = study.events / study.n
    half = Z * np.sqrt(sum(p * (1 - p) / study.n))
    value, lower, upper = answer("isis2", "interaction", "ic[SK:ASA]", "delta")
    assert (value - lower, upper - value) == pytest.approx((half, half), rel=1e-8)


@pytest.mark.parametrize("study", DRUGS)
def test_two_treatments_counted_in_full_are_saturated_by_their_product(study):
    # The same fit in two parametrisations, so whatever has an interval has the same one.
    study = load_study(study)
    fits = [
        fit_likelihood(study, MODELS[model], resolve(study))
        for model in ("interaction", "saturated")
    ]
    for estimand in enumerate_estimands(study, MODELS["interaction"], resolve(study)):
        one, other = ([fit.estimate(estimand)] for fit in fits)
        available = {status_text(fit.status(estimand)) for fit in fits}
        assert len(available) == 1
        if available == {"identified"}:
            for numbers, fit in zip((one, other), fits, strict=True):
                numbers += [x for i in intervals(fit, estimand) for x in (i.lower, i.upper)]
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-9)


# --- Profile --------------------------------------------------------------------------------------

EIGHT = {
    "none": (20, 80),
    "A": (30, 60),
    "B": (25, 85),
    "C": (22, 73),
    "A+B": (50, 70),
    "A+C": (31, 49),
    "B+C": (28, 57),
    "A+B+C": (40, 30),
}


def log_likelihood(cells, design, offset=0.0):
    """Maximise Σ r η − n log(1 + e^η), η = offset + design · b, by a general optimiser."""
    r, others = np.array(list(cells.values()), dtype=float).T
    n = r + others

    def cost(b):
        eta = offset + design @ b
        return np.sum(n * np.logaddexp(0, eta) - r * eta)

    def slope(b):
        return design.T @ (n * expit(offset + design @ b) - r)

    def curvature(b):
        p = expit(offset + design @ b)
        return design.T * (n * p * (1 - p)) @ design

    start = np.zeros(design.shape[1])
    found = minimize(cost, start, jac=slope, hess=curvature, method="trust-exact")
    assert found.success
    return -found.fun


def terms(regimens, names):
    """Return the columns of a log-linear model: 1 where a regimen holds all drugs of a term."""
    return np.array([[float(set(name) <= set(arm)) for name in names] for arm in regimens])


def check_profile(cells, fit, ror, others):
    """`others` are the terms of the model besides the product of A and B."""
    rest, product = terms(cells, others), terms(cells, ["AB"])
    best = log_likelihood(cells, np.hstack([rest, product]))
    lower, upper = interval(fit, ror, "profile")
    assert lower < fit.estimate(ror) < upper
    for end in (lower, upper):
        drop = best - log_likelihood(cells, rest, np.log(end) * product[:, 0])
        assert 2 * drop == pytest.approx(Z**2, abs=1e-6)


@settings(max_examples=15, deadline=None)
@given(cells=tables)
def test_profile_limits_are_where_the_deviance_rises_by_z_squared(cells):
    fit, ror = ask(study_of(cells), "interaction", "ror[A:B]")
    check_profile(cells, fit, ror, ["", "A", "B"])


@pytest.mark.parametrize("uncounted", ["", "none", "A+B+C", "C"])
def test_profile_over_three_treatments(uncounted):
    cells = {arm: pair for arm, pair in EIGHT.items() if arm != uncounted}
    fit, ror = ask(study_of(cells), "interaction", "ror[A:B]")
    check_profile(cells, fit, ror, ["", "A", "B", "C", "AC", "BC"])


def test_profile_on_a_background_of_the_saturated_model():
    fit, ror = ask(study_of(EIGHT), "saturated", "ror[A:B]", "C")
    check_profile({a: p for a, p in EIGHT.items() if "C" in a}, fit, ror, ["", "A", "B"])


# --- Where maximum likelihood has no answer ---------------------------------------------------------

TABLE = {"none": (20, 80), "A": (30, 60), "B": (25, 85), "A+B": (50, 70)}
EXTREMES = [(0, 40), (40, 0)]  # nobody, and everybody


def estimands_of(study, model):
    return [
        e
        for e in enumerate_estimands(study, MODELS[model], resolve(study))
        if e.judged_on == "event"
    ]


@pytest.mark.parametrize("extreme", EXTREMES, ids=["zero events", "all events"])
@pytest.mark.parametrize("arm", TABLE)
@pytest.mark.parametrize("model", ["interaction", "saturated"])
def test_an_extreme_cell_undoes_only_what_reads_it(model, arm, extreme):
    study = study_of({**TABLE, arm: extreme})
    fit = fit_likelihood(study, MODELS[model], resolve(study))
    for estimand in estimands_of(study, model):
        available = status_text(fit.status(estimand))
        if arm in estimand.arms:
            assert available == (
                "not estimable: maximum likelihood has no finite estimate: "
                f"the fitted risk is 0 or 1 in {arm}"
            )
        else:
            assert available == "identified"
            raw = [TABLE[a] for a in estimand.arms]
            odds = [events / others for events, others in raw]
            risks = [value / (1 + value) for value in odds]
            expected = {
                "risk": risks[0],
                "odds_ratio": odds[0] / odds[-1],
                "risk_difference": risks[0] - risks[-1],
                "risk_ratio": risks[0] / risks[-1],
            }[estimand.measure]
            assert fit.estimate(estimand) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("extreme", EXTREMES, ids=["zero events", "all events"])
def test_an_extreme_cell_of_the_additive_model_need_not_be_fitted_as_such(extreme):
    # Another arm shares its treatment, so every coefficient stays finite.
    study = study_of({**TABLE, "A": extreme})
    fit = fit_likelihood(study, MODELS["additive"], resolve(study))
    assert {status_text(fit.status(e)) for e in estimands_of(study, "additive")} <= {
        *("identified", FIXED, IMPLIED),
        "not estimable: the single effects add up to no excess",
    }


def test_a_treatment_without_any_event_is_undefined_under_additive_too():
    cells = {**TABLE, "A": (0, 40), "A+B": (0, 50)}
    fit, estimand = ask(study_of(cells), "additive", "odds_ratio[A+B vs A]")
    assert status_text(fit.status(estimand)).endswith("the fitted risk is 0 or 1 in A+B, A")
    fit, estimand = ask(study_of(cells), "additive", "odds_ratio[B vs none]")
    assert status_text(fit.status(estimand)) == "identified"
    assert fit.estimate(estimand) == pytest.approx(25 / 85 / (20 / 80), rel=1e-10)


@pytest.mark.parametrize("study", DRUGS)
def test_additive_fixes_the_ratio_of_odds_ratios_and_implies_the_rest(study):
    study = load_study(study)
    fit = fit_likelihood(study, MODELS["additive"], resolve(study))
    for estimand in estimands_of(study, "additive"):
        available = status_text(fit.status(estimand))
        if study.is_case_control and estimand.needs_risks:
            assert available == f"not estimable: {BY_DESIGN}"
        elif estimand.synergy is None:
            assert available == "identified"
        elif estimand.measure == "ror":
            assert available == FIXED
        elif np.isnan(fit.estimate(estimand)):
            assert available == "not estimable: the single effects add up to no excess"
        else:
            assert available == IMPLIED


def test_saturated_says_which_regimens_have_no_patients():
    cells = {arm: EIGHT[arm] for arm in ("none", "A", "B", "A+B", "A+B+C")}
    study = study_of(cells)
    fit = fit_likelihood(study, MODELS["saturated"], resolve(study))
    for estimand in estimands_of(study, "saturated"):
        empty = [arm for arm in estimand.arms if arm not in cells]
        undefined = f"not estimable: no patients in {', '.join(empty)}"
        assert status_text(fit.status(estimand)) == (undefined if empty else "identified"), (
            estimand.code
        )


def test_a_maximum_of_two_risks_has_an_estimate_and_no_interval():
    fit, estimand = ask(study_of(TABLE), "interaction", "hsa[A:B]")
    assert fit.estimate(estimand) == pytest.approx(50 / 120 - 30 / 90)
    (none,) = intervals(fit, estimand)
    assert np.isnan([none.lower, none.upper]).all()
    assert none.label == "none: the maximum of two risks is not smooth"


# --- Invariances ----------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["additive", "interaction", "saturated"])
@pytest.mark.parametrize("label", [f"{name}[A:B]" for name in MEASURES])
def test_which_treatment_is_called_the_first_does_not_matter(model, label):
    renamed = study_of({**TABLE, "A": TABLE["B"], "B": TABLE["A"]})
    answers = []
    for study in (study_of(TABLE), renamed):
        fit, estimand = ask(study, model, label)
        ends = [(i.lower, i.upper) for i in intervals(fit, estimand)] if label != "ror[A:B]" else []
        answers.append(np.array([fit.estimate(estimand), *np.ravel(ends)]))
    np.testing.assert_allclose(*answers, rtol=1e-7, atol=1e-12)


def test_the_profile_does_not_depend_on_which_treatment_is_the_first():
    renamed = study_of({**TABLE, "A": TABLE["B"], "B": TABLE["A"]})
    ends = [
        interval(*ask(s, "interaction", "ror[A:B]"), "profile") for s in (study_of(TABLE), renamed)
    ]
    assert ends[0] == pytest.approx(ends[1], rel=1e-9)


def test_exchangeable_is_fitted_as_interaction():
    fits = [
        fit_likelihood(study_of(EIGHT), MODELS[m], resolve(study_of(EIGHT)))
        for m in ("exchangeable", "interaction")
    ]
    np.testing.assert_array_equal(*(fit.coefficients for fit in fits))


@pytest.mark.parametrize(
    "cells",
    [
        dict(zip(FOUR, [(2, 242), (12, 319), (17, 58), (1, 177)], strict=True)),
        dict(zip(FOUR, [(10, 1), (3, 2), (3, 60), (200, 2)], strict=True)),
        dict(zip(FOUR, [(308, 1), (1, 152), (1, 84), (22, 30)], strict=True)),
        dict(zip(FOUR, [(20, 126), (10, 186), (1, 367), (21, 43)], strict=True)),
    ],
)
def test_profile_of_sparse_tables(cells):
    fit, ror = ask(study_of(cells), "interaction", "ror[A:B]")
    check_profile(cells, fit, ror, ["", "A", "B"])


def test_profile_of_a_sparse_table_by_r():
    # exp(confint(glm(cbind(r, o) ~ A * B, binomial), "A:B")), R 4.2.2
    cells = dict(zip(FOUR, [(10, 1), (3, 2), (3, 60), (200, 2)], strict=True))
    ends = interval(*ask(study_of(cells), "interaction", "ror[A:B]"), "profile")
    assert ends == pytest.approx((590.2862, 554286.6742), rel=2e-3)


@pytest.mark.parametrize("extreme", [*EXTREMES, (480, 0)])
@pytest.mark.parametrize("arm", FOUR)
@pytest.mark.parametrize(
    "table",
    [TABLE, dict(zip(FOUR, [(1949, 1507), (480, 20), (2819, 2123), (805, 3737)], strict=True))],
)
def test_an_extreme_cell_leaves_the_intervals_of_other_arms_alone(table, arm, extreme):
    study = study_of({**table, arm: extreme})
    fit = fit_likelihood(study, MODELS["interaction"], resolve(study))
    for estimand in estimands_of(study, "interaction"):
        if estimand.code.startswith("odds_ratio") and arm not in estimand.arms:
            lower, upper = interval(fit, estimand, "Wald")
            se = np.sqrt(sum(1 / x for a in estimand.arms for x in table[a]))
            assert np.log(upper / lower) == pytest.approx(2 * Z * se, rel=1e-6)


@pytest.mark.parametrize("uncounted", [("A+C", "B+C", "A+B+C"), ("none", "A+B+C")])
def test_what_the_counted_regimens_cannot_estimate_is_undefined(uncounted):
    cells = {arm: pair for arm, pair in EIGHT.items() if arm not in uncounted}
    study = study_of(cells)
    fit = fit_likelihood(study, MODELS["interaction"], resolve(study))
    said = {
        status_text(fit.status(e))
        for e in estimands_of(study, "interaction")
        if not set(e.arms) <= set(cells)
    }
    assert "not estimable: the counted regimens do not determine it" in said


@pytest.mark.parametrize("model", ["interaction", "saturated"])
@pytest.mark.parametrize("d", range(1, 8))
def test_single_effects_that_cancel_have_no_index(model, d):
    study = study_of(
        dict(zip(FOUR, [(10, 90), (10 + d, 90 - d), (10 - d, 90 + d), (15, 85)], strict=True))
    )
    fit, estimand = ask(study, model, "s[A:B]")
    assert (
        status_text(fit.status(estimand)) == "not estimable: the single effects add up to no excess"
    )


def test_equal_proportions_do_not_make_the_model_fix_a_measure():
    fit, estimand = ask(study_of(dict.fromkeys(FOUR, (20, 80))), "additive", "ic[A:B]")
    assert status_text(fit.status(estimand)) == "implied by the model"


@pytest.mark.parametrize("name", ["ror", "reri_or", "ap_or"])
def test_every_interval_is_on_the_scale_of_its_estimand(name):
    study = load_study("isis2")
    fit = fit_likelihood(study, MODELS["interaction"], resolve(study))
    event, other = (
        next(
            e
            for e in enumerate_estimands(study, MODELS["interaction"], resolve(study))
            if e.measure == name and e.judged_on == s
        )
        for s in ("event", "non-event")
    )
    a = {i.method: (i.lower, i.upper) for i in intervals(fit, event)}
    b = {i.method: (i.lower, i.upper) for i in intervals(fit, other)}
    for method in set(a) - {"Wald", "delta"}:
        if name == "ror":
            assert b[method] == pytest.approx((1 / a[method][1], 1 / a[method][0]))
        else:
            assert b[method] != pytest.approx(a[method])


@pytest.mark.parametrize(("model", "missing"), [("interaction", "none"), ("additive", "A+C")])
def test_a_regimen_nobody_got_is_extrapolated_under_maximum_likelihood_too(model, missing):
    study = study_of({arm: pair for arm, pair in EIGHT.items() if arm != missing})
    fit, risk = ask(study, model, f"risk[{missing}]")
    draws = xr.DataArray(
        expit(np.random.default_rng(1).normal(size=(1, 9, 8))),
        dims=("chain", "draw", "arm"),
        coords={"arm": list(study.regimens)},
    )
    assert (
        status_text(fit.status(risk))
        == status_text(Identification(study, MODELS[model], draws, resolve(study)).of(risk))
        == "not identified"
    )
