import numpy as np
import pytest
import xarray as xr

from cotreat import load_study
from cotreat.core.constants import (
    ANY,
    FIXED,
    IMPLIED,
    NOT_ESTIMABLE,
    QUESTION,
    STATUSES,
    SUMMARY_COLUMNS,
)
from cotreat.estimands.enumerate import enumerate_estimands
from cotreat.estimands.estimand import code_of, label_of
from cotreat.estimands.measures import MEASURES, representatives
from cotreat.evidence.resolve import resolve
from cotreat.frequentist.logistic import fit_likelihood
from cotreat.models.registry import MODELS
from cotreat.report.caveats import SERIOUS, of_sequences
from cotreat.results.monte_carlo import share
from cotreat.results.summary import LIKELIHOOD, POSTERIOR, is_beyond_null
from tests.codes import codes, status_text
from tests.conftest import table_of


def one(table, estimand, scale="event", estimator=POSTERIOR):
    rows = table[
        (codes(table) == estimand) & (table.judged_on == scale) & (table.estimator == estimator)
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
    listed = enumerate_estimands(
        load_study("isis2"), MODELS["interaction"], resolve(load_study("isis2"))
    )
    needed = codes(posterior).str.startswith("nnt[")  # a row beside each risk difference
    assert list(posterior[~needed].label) == [estimand.label for estimand in listed]
    assert needed.sum() == codes(posterior).str.startswith("risk_difference[").sum() == 6
    assert set(table.study) == {"isis2"}
    shown = posterior[posterior.lower.notna() & ~needed]
    assert (shown.interval == "95% equal-tailed credible").all()


def test_maximum_likelihood_stands_on_the_scale_of_synergy_too(tables):
    rows = tables("isis2", "interaction").query(
        "measure == 'ror' and pair == 'SK:ASA' and interval == '95% profile'"
    )
    event, survival = (rows[rows.judged_on == scale].iloc[0] for scale in ("event", "non-event"))
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
    for measure in representatives().values():
        row = one(table, f"{measure}[SK:ASA]", "non-event")
        assert 0.025 < row.probability < 0.975, measure
        assert row.status == "identified"
    assert one(table, "hsa[SK:ASA]", "non-event").probability > 0.999


def test_additive_leaves_no_family_open(tables):
    table = tables("isis2", "additive")
    for measure in MEASURES:
        row = one(table, f"{measure}[SK:ASA]", "non-event")
        assert row.status == (FIXED if measure == "ror" else IMPLIED)
        assert row[["probability", "prior_probability", "posterior_contraction"]].isna().all()
        assert row.interval in ("", "95% equal-tailed credible, given no interaction")
    assert one(table, "ror[SK:ASA]").estimate == 1
    assert one(table, "ror[SK:ASA]", estimator=LIKELIHOOD).status == FIXED
    assert one(table, "odds_ratio[SK vs none]").probability < 0.001


def test_factor_v_leiden(tables):
    table = tables("factor-v-leiden", "interaction")
    assert one(table, "reri_or[FVL:OC]").probability > 0.9
    assert 0.025 < one(table, "ror[FVL:OC]").probability < 0.975
    for estimand in ("risk[none]", "ic[FVL:OC]", "rrr[FVL:OC]", "bliss[FVL:OC]", "hsa[FVL:OC]"):
        row = one(table, estimand)
        assert (row.status, row.reason) == (NOT_ESTIMABLE, "not identified by design")
        assert (
            row[["estimate", "lower", "upper", "probability", "posterior_contraction"]].isna().all()
        )
    mover = table[(codes(table) == "reri_or[FVL:OC]") & (table.interval == "95% MOVER")].iloc[0]
    assert mover.lower < 0 < mover.upper


def test_saturated_says_which_cells_are_empty(gap):
    counted = random_risks(gap.counted)
    table = table_of(gap, "saturated", counted, counted)
    row = table[(codes(table) == "ic[B:C]") & (table.co_treatment == "none")].iloc[0]
    assert (row.status, row.reason) == (NOT_ESTIMABLE, "no patients in none, B+C")
    row = table[(codes(table) == "ic[A:B]") & (table.co_treatment == "C")].iloc[0]
    assert (row.status, row.reason) == (NOT_ESTIMABLE, "no patients in B+C")


def test_extrapolation_is_told_from_observation(tables):
    table = tables("three", "interaction")
    ic = table[(codes(table) == "ic[A:B]") & (table.estimator == POSTERIOR)]
    assert dict(zip(ic.co_treatment, ic.status, strict=True)) == {
        "none": "not identified",
        "C": "identified",
    }
    assert one(table, "risk[none]").status == "not identified"
    assert one(table, "risk[B+C]").status == "identified"


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
    assert one(table, "odds_ratio[A vs none]").posterior_contraction == pytest.approx(0.75)
    for measure in ("s", "s_or"):
        rows = table[codes(table) == f"{measure}[A:B]"]
        assert rows.posterior_contraction.isna().all()


def test_a_synergy_index_takes_its_probability_from_the_sign(tables):
    table = tables("isis2", "interaction")
    assert one(table, "s[SK:ASA]", "non-event").probability == pytest.approx(
        one(table, "ic[SK:ASA]", "non-event").probability
    )


def test_an_index_undefined_in_some_draws_is_not_shown(three):
    risks = random_risks(three.regimens)
    table = table_of(three, "interaction", risks, risks)
    row = table[(codes(table) == "s[A:B]") & (table.co_treatment == "C")].iloc[0]
    assert np.isnan(row.estimate)
    assert row.interval.startswith("not shown: undefined in ")
    assert row.probability == pytest.approx(
        table[(codes(table) == "ic[A:B]") & (table.co_treatment == "C")].iloc[0].probability
    )


def test_thresholds_are_given_where_asked(tables, fits):
    table = tables("isis2", "interaction", thresholds=[0.8])
    beta = fits("isis2", "interaction")["posterior"]["beta"].sel(treatment="SK")
    row = one(table, "odds_ratio[SK vs none] > 0.8")
    assert row.probability == pytest.approx(float((np.exp(beta) > 0.8).mean()))
    assert tables("isis2", "interaction").threshold.isna().all()


def test_a_risk_has_no_null_to_lie_beyond(three):
    estimand = enumerate_estimands(three, MODELS["interaction"], resolve(three))[0]
    with pytest.raises(ValueError, match=r"risk, none has no null"):
        is_beyond_null(estimand, random_risks(three.regimens))


def test_posterior_and_proportions_are_asked_by_the_same_formula():
    study = load_study("isis2")
    proportions = draws([study.events / study.n], study.counted)
    likelihood = fit_likelihood(study, MODELS["saturated"], resolve(study))
    for estimand in enumerate_estimands(study, MODELS["saturated"], resolve(study)):
        found = estimand.values(proportions).item()
        if status_text(likelihood.status(estimand)) == "identified":
            assert likelihood.estimate(estimand) == pytest.approx(found, rel=1e-9)


def test_a_label_and_a_code_are_made_of_the_columns():
    ratio = ("odds_ratio", "A+B vs B", "", "", "sex=f", 1.5)
    assert label_of(*ratio) == "odds ratio > 1.5, A+B vs B in sex=f"
    assert code_of(*ratio) == "odds_ratio[A+B vs B | sex=f] > 1.5"
    measure = ("ror", "", "A:B", "C", "sex=f")
    assert label_of(*measure) == "ratio of odds ratios (ror), A × B with C in sex=f"
    assert code_of(*measure) == "ror[A:B] with C | sex=f"
    shared = ("ror", "", "A:B", ANY, "")
    assert label_of(*shared) == "ratio of odds ratios (ror), A × B with any co-treatment"


def test_columns_name_an_estimand_without_its_label(tables):
    for name in ("isis2", "three", "factor-v-leiden"):
        table = tables(name, "interaction", thresholds=[0.8])
        rows = table[table.estimator == POSTERIOR]
        assert not rows.duplicated([*QUESTION, "threshold"]).any()
        assert set(rows.status) <= set(STATUSES)
        is_synergy = rows.measure.isin(MEASURES)
        assert (rows.scale.ne("") == is_synergy).all()
        assert (rows.pair.ne("") == is_synergy).all()


def test_contraction_is_of_log_odds_ratios_alone(tables):
    table = tables("isis2", "interaction")
    known = table[table.posterior_contraction.notna()]
    assert set(known.measure) == {"odds_ratio", "ror"}


def test_every_combination_given_one_after_the_other_is_told_of_immortal_time():
    (caveat,) = of_sequences(load_study("sun2024"))
    assert (caveat.subject, caveat.severity) == ("immortal-time bias", SERIOUS)
    words = caveat.text
    assert words.startswith(
        "Cyclophosphamide and mycophenolate mofetil were given one after the other"
    )
    assert "immortal time" in words
    assert "Estimates of CYC+MMF, TAC+CYC+MMF, and every measure that uses them" in words
    assert not list(of_sequences(load_study("isis2")))


@pytest.mark.parametrize(
    ("probability", "text"),
    [
        (0.0532, "0.053"),
        (0.9995, "> 0.999"),
        (0.99949, "0.999"),
        (0.0004, "< 0.001"),
        (1.0, "> 0.999"),
        (float("nan"), ""),
    ],
)
def test_a_probability_is_never_written_as_zero_or_one(probability, text):
    assert share(probability) == text
