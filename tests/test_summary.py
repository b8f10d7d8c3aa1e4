import numpy as np
import pytest
import xarray as xr

from cotreat import load_study
from cotreat.core.constants import FIXED, IMPLIED, SUMMARY_COLUMNS
from cotreat.estimands.enumerate import enumerate_estimands
from cotreat.results.old_columns import name_of, subject_of
from cotreat.estimands.measures import MEASURES, REPRESENTATIVE
from cotreat.frequentist.logistic import fit_likelihood
from cotreat.models.registry import MODELS
from cotreat.remarks import of_sequences
from cotreat.results.summary import LIKELIHOOD, POSTERIOR, is_beyond_null
from tests.conftest import table_of


def one(table, estimand, scale="event", estimator=POSTERIOR):
    rows = table[
        (table.estimand == estimand) & (table.scale == scale) & (table.estimator == estimator)
    ]
    assert len(rows) == 1
    return rows.iloc[0]


def draws(values, arms):
    return xr.DataArray(
        np.asarray(values, dtype=float)[None],
        dims=("chain", "draw", "arm"),
        coords={"arm": list(arms)},
        attrs={"risk_kind": "crude"},
    )


def random_risks(arms, count=400, seed=1):
    return draws(np.random.default_rng(seed).uniform(0.1, 0.6, (count, len(arms))), arms)


def test_columns_and_one_row_an_estimand(tables):
    table = tables("isis2", "interaction")
    assert tuple(table.columns) == SUMMARY_COLUMNS
    posterior = table[table.estimator == POSTERIOR]
    listed = enumerate_estimands(load_study("isis2"), MODELS["interaction"])
    needed = posterior.estimand.str.startswith("nnt[")  # a row beside each risk difference
    assert list(posterior[~needed].estimand) == [estimand.label for estimand in listed]
    assert needed.sum() == posterior.estimand.str.startswith("risk_difference[").sum() == 6
    assert set(table.study) == {"isis2"}
    shown = posterior[posterior.lower.notna() & ~needed]
    assert (shown.interval == "95% equal-tailed credible").all()


def test_maximum_likelihood_stands_on_the_scale_of_synergy_too(tables):
    rows = tables("isis2", "interaction").query(
        "estimand == 'ror[SK:ASA]' and interval == '95% profile'"
    )
    event, survival = (rows[rows.scale == scale].iloc[0] for scale in ("event", "non-event"))
    assert (survival.estimate, survival.lower) == pytest.approx(
        (1 / event.estimate, 1 / event.upper)
    )


def test_isis2_prints_the_event_and_judges_survival(tables):
    table = tables("isis2", "interaction")
    event, survival = (one(table, "ror[SK:ASA]", scale) for scale in ("event", "non-event"))
    assert event.estimate == pytest.approx(0.945, abs=0.01)
    assert survival.estimate == pytest.approx(1 / event.estimate)
    assert np.isnan(event.probability)
    assert 0 < survival.probability < 1


@pytest.mark.parametrize("model", ["interaction", "saturated"])
def test_isis2_is_undecided_in_every_family(tables, model):
    table = tables("isis2", model)
    for measure in REPRESENTATIVE.values():
        row = one(table, f"{measure}[SK:ASA]", "non-event")
        assert 0.025 < row.probability < 0.975, measure
        assert row.availability == "observed"
    assert one(table, "hsa[SK:ASA]", "non-event").probability > 0.999


def test_additive_leaves_no_family_open(tables):
    table = tables("isis2", "additive")
    for measure in MEASURES:
        row = one(table, f"{measure}[SK:ASA]", "non-event")
        assert row.availability == (FIXED if measure == "ror" else IMPLIED)
        assert row[["probability", "prior_probability", "contraction"]].isna().all()
        assert row.interval in ("", "95% equal-tailed credible, given no interaction")
    assert one(table, "ror[SK:ASA]").estimate == 1
    assert one(table, "ror[SK:ASA]", estimator=LIKELIHOOD).availability == FIXED
    assert one(table, "odds_ratio[SK vs none]").probability < 0.001


def test_factor_v_leiden(tables):
    table = tables("factor-v-leiden", "interaction")
    assert one(table, "reri_or[FVL:OC]").probability > 0.9
    assert 0.025 < one(table, "ror[FVL:OC]").probability < 0.975
    for estimand in ("risk[none]", "ic[FVL:OC]", "rrr[FVL:OC]", "bliss[FVL:OC]", "hsa[FVL:OC]"):
        row = one(table, estimand)
        assert row.availability == "undefined: not identified by design"
        assert row[["estimate", "lower", "upper", "probability", "contraction"]].isna().all()
    mover = table[(table.estimand == "reri_or[FVL:OC]") & (table.interval == "95% MOVER")].iloc[0]
    assert mover.lower < 0 < mover.upper


def test_saturated_says_which_cells_are_empty(gap):
    counted = random_risks(gap.counted)
    table = table_of(gap, "saturated", counted, counted)
    row = table[(table.estimand == "ic[B:C]") & (table.background == "none")].iloc[0]
    assert row.availability == "undefined: no patients in none, B+C"
    row = table[(table.estimand == "ic[A:B]") & (table.background == "C")].iloc[0]
    assert row.availability == "undefined: no patients in B+C"


def test_extrapolation_is_told_from_observation(tables):
    table = tables("three", "interaction")
    ic = table[(table.estimand == "ic[A:B]") & (table.estimator == POSTERIOR)]
    assert dict(zip(ic.background, ic.availability, strict=True)) == {
        "none": "extrapolated",
        "C": "observed",
    }
    assert one(table, "risk[none]").availability == "extrapolated"
    assert one(table, "risk[B+C]").availability == "observed"


def test_estimates_are_plain_quantiles_of_the_draws(three):
    prior, posterior = random_risks(three.regimens, seed=1), random_risks(three.regimens, seed=2)
    table = table_of(three, "interaction", prior, posterior)
    row = one(table, "odds_ratio[A vs none]")
    r0, r1 = (posterior.sel(arm=arm).values.ravel() for arm in ("none", "A"))
    ratio = r1 / (1 - r1) / (r0 / (1 - r0))
    np.testing.assert_allclose(
        row[["lower", "estimate", "upper"]].astype(float), np.quantile(ratio, [0.025, 0.5, 0.975])
    )
    assert row.probability == np.mean(ratio > 1)


def test_contraction_compares_interquartile_ranges_on_the_log_scale(three):
    rng = np.random.default_rng(5)
    eta = rng.normal(-1, 1, (4000, len(three.regimens)))
    # Log-odds half as wide about the same centre: each log odds ratio's IQR halves.
    wide, narrow = (draws(1 / (1 + np.exp(-x)), three.regimens) for x in (eta, -1 + (eta + 1) / 2))
    table = table_of(three, "interaction", wide, narrow)
    assert one(table, "odds_ratio[A vs none]").contraction == pytest.approx(0.75)
    for measure in ("s", "s_or"):
        rows = table[table.estimand == f"{measure}[A:B]"]
        assert rows.contraction.isna().all()


def test_a_synergy_index_takes_its_probability_from_the_sign(tables):
    table = tables("isis2", "interaction")
    assert one(table, "s[SK:ASA]", "non-event").probability == pytest.approx(
        one(table, "ic[SK:ASA]", "non-event").probability
    )


def test_an_index_undefined_in_some_draws_is_not_shown(three):
    risks = random_risks(three.regimens)
    table = table_of(three, "interaction", risks, risks)
    row = table[(table.estimand == "s[A:B]") & (table.background == "C")].iloc[0]
    assert np.isnan(row.estimate)
    assert row.interval.startswith("not shown: undefined in ")
    assert row.probability == pytest.approx(
        table[(table.estimand == "ic[A:B]") & (table.background == "C")].iloc[0].probability
    )


def test_thresholds_are_given_where_asked(tables, fits):
    table = tables("isis2", "interaction", thresholds=[0.8])
    beta = fits("isis2", "interaction")["posterior"]["beta"].sel(treatment="SK")
    row = one(table, "odds_ratio[SK vs none] > 0.8")
    assert row.probability == pytest.approx(float((np.exp(beta) > 0.8).mean()))
    assert not tables("isis2", "interaction").estimand.str.contains(">").any()


def test_a_risk_has_no_null_to_lie_beyond(three):
    estimand = enumerate_estimands(three, MODELS["interaction"])[0]
    with pytest.raises(ValueError, match=r"risk\[none\] has no null"):
        is_beyond_null(estimand, random_risks(three.regimens))


def test_posterior_and_proportions_are_asked_by_the_same_formula():
    study = load_study("isis2")
    proportions = draws([study.events / study.n], study.counted)
    likelihood = fit_likelihood(study, MODELS["saturated"])
    for estimand in enumerate_estimands(study, MODELS["saturated"]):
        found = estimand.values(proportions).item()
        if likelihood.availability(estimand) == "observed":
            assert likelihood.estimate(estimand) == pytest.approx(found, rel=1e-9)


def test_labels_come_apart():
    assert (name_of("ror[A:B]"), subject_of("ror[A:B]")) == ("ror", "A:B")
    assert subject_of("odds_ratio[A+B vs none] > 1.5") == "A+B vs none"
    assert set(MEASURES) >= set(REPRESENTATIVE.values())


def test_every_combination_given_one_after_the_other_is_told_of_immortal_time():
    (words,) = of_sequences(load_study("sun2024"))
    assert words.startswith(
        "Cyclophosphamide and mycophenolate mofetil were given one after the other"
    )
    assert "immortal time" in words
    assert "What is said of CYC+MMF, TAC+CYC+MMF, and" in words
    assert not list(of_sequences(load_study("isis2")))
