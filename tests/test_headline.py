import pandas as pd
import pytest

from cotreat import load_study
from cotreat.core.constants import IDENTIFIED, NOT_IDENTIFIED
from cotreat.evidence.resolve import resolve
from cotreat.report.caveats import CAUTION, NOTE, SERIOUS, caveats
from cotreat.report.wording import capital
from cotreat.results.headline import IDENTIFICATION, PROBABILITY, headline, primary
from cotreat.results.verdict import verdicts
from tests.codes import fields


@pytest.mark.parametrize(
    ("run", "speaks"),
    [
        (["additive", "interaction", "saturated"], "interaction"),
        (["additive", "interaction", "exchangeable"], "exchangeable"),
        (["additive", "saturated"], "saturated"),
        (["additive"], "additive"),
    ],
)
def test_the_headline_comes_from_a_model_that_contains_the_others(run, speaks):
    assert primary(run) == speaks


def label(short):
    """Return what an estimand is called, by its code."""
    return fields(short)["label"]


def rows(probabilities, co_treatment="none"):
    return pd.DataFrame([fields(f"{name}[A:B]", co_treatment) for name in probabilities]).assign(
        estimator="posterior",
        model="interaction",
        judged_on="event",
        status=IDENTIFIED,
        reason="",
        probability=list(probabilities.values()),
    )


def test_one_verdict_per_scale_and_none_of_hsa():
    table = rows(
        {
            **{"ic": 0.99, "reri_rr": 0.99, "ap": 0.99, "s": 0.99},
            **{"reri_or": 0.98, "ap_or": 0.98, "ror": 0.4, "rrr": 0.02, "bliss": 0.6, "hsa": 1.0},
        }
    )
    found = verdicts(table.assign(probability_inside=float("nan")))
    assert dict(zip(found.scale, found.verdict, strict=True)) == {
        "additive": "supported, for synergy",
        "RERI from odds ratios": "supported, for synergy",
        "multiplicative odds": "inconclusive",
        "multiplicative risks": "supported, against synergy",
        "Bliss independence": "inconclusive",
    }


def test_a_model_without_interaction_has_no_verdict(tables):
    table = tables("isis2", "additive")
    assert set(verdicts(table).verdict) == {"not estimable"}
    (caveat,) = [
        one for one in caveats(table, resolve(load_study("isis2"))) if one.subject == "model"
    ]
    assert caveat.severity == SERIOUS
    assert "additive has no interaction" in caveat.text


def test_isis2_caveats(tables):
    found = {
        c.subject: c for c in caveats(tables("isis2", "interaction"), resolve(load_study("isis2")))
    }
    assert f"{capital(label('hsa[SK:ASA]'))} is conclusive" in found["better than either"].text
    assert "not evidence of synergy" in found["better than either"].text
    assert "it reaches 92% here, so that they are misleading" in found["rare outcome"].text
    assert {one.severity for one in found.values()} == {CAUTION}


def test_factor_v_leiden_caveats_name_the_interval_that_includes_the_null(tables):
    table = tables("factor-v-leiden", "interaction")
    lines = [one.text for one in caveats(table, resolve(load_study("factor-v-leiden")))]
    assert any(
        capital(label("reri_or[FVL:OC]")) in s
        and "MOVER interval (-5.372 to 143.8) includes 0" in s
        for s in lines
    )
    # The kept fit by NUTS has a contraction of 0.261, so that the data have more than a fifth of the precision.
    row = table[(table.measure == "ror") & (table.estimator == "posterior")].iloc[0]
    assert row.data_share == pytest.approx(0.261, abs=0.05)
    assert not any("identified but weak" in s for s in lines)
    assert any("only if the outcome is rare in every group" in s for s in lines)


def test_synergy_that_is_not_identified_is_a_serious_caveat(tables, three):
    found = caveats(tables("three", "interaction"), resolve(three))
    (caveat,) = [one for one in found if one.subject == "identification"]
    order = [(SERIOUS, CAUTION, NOTE).index(one.severity) for one in found]
    assert order == sorted(order)
    assert caveat.severity == SERIOUS
    none = "with no other study drug"
    assert f"not identified (prior-dependent) for A:B {none}; A:C {none}; B:C {none}" in caveat.text
    assert "without patients (none)" in caveat.text


def test_scales_that_are_not_identified_are_never_supported():
    table = rows({"ic": 0.99, "reri_or": 0.99, "ror": 0.99, "rrr": 0.99, "bliss": 0.99})
    found = verdicts(table.assign(status=NOT_IDENTIFIED, probability_inside=float("nan")))
    assert set(found.verdict) == {"not identified (by model and prior: supported, for synergy)"}


def test_headline_stands_beside_maximum_likelihood(tables):
    table = headline(tables("isis2", "interaction")).set_index(["estimand", "judged on"])
    row = table.loc[(label("odds_ratio[SK vs none]"), "event")]
    assert row["maximum likelihood (95%)"] == "0.764 (0.670 to 0.872)"
    assert row[PROBABILITY] == "< 0.001"
    # What the second drug adds to the first.
    assert (label("odds_ratio[SK+ASA vs SK]"), "event") in table.index
    assert (label("odds_ratio[ASA vs SK]"), "event") not in table.index
    assert (label("hsa[SK:ASA]"), "non-event") in table.index
    assert (label("ic[SK:ASA]"), "event") not in table.index
    # The ratio of odds ratios stands on both scales: survival is judged, deaths are reported.
    assert (
        table.loc[(label("ror[SK:ASA]"), "event"), "maximum likelihood (95%)"]
        == "0.945 (0.776 to 1.15)"
    )
    assert table.loc[(label("ror[SK:ASA]"), "event"), PROBABILITY] == ""


def test_headline_compares_with_an_observed_regimen(tables):
    table = headline(tables("three", "interaction")).set_index("estimand")
    assert table.loc[label("odds_ratio[A+B vs A]"), IDENTIFICATION] == "identified"
    assert label("odds_ratio[A vs none]") not in table.index


def test_headline_shows_the_thresholds_asked_for(tables):
    table = headline(tables("isis2", "interaction", thresholds=[0.8])).set_index("estimand")
    assert table.loc[label("odds_ratio[SK vs none] > 0.8"), PROBABILITY] != ""


def test_headline_of_a_case_control_study_says_what_is_undefined(tables):
    table = headline(tables("factor-v-leiden", "interaction")).set_index("estimand")
    assert (
        table.loc[label("ic[FVL:OC]"), IDENTIFICATION] == "not estimable: not identified by design"
    )
    assert table.loc[label("ic[FVL:OC]"), PROBABILITY] == ""


def test_headline_of_additive_says_what_is_fixed_and_implied(tables):
    table = headline(tables("isis2", "additive")).set_index(["estimand", "judged on"])
    assert table.loc[(label("ror[SK:ASA]"), "event"), IDENTIFICATION] == "fixed by the model"
    assert table.loc[(label("ic[SK:ASA]"), "non-event"), IDENTIFICATION] == "implied by the model"
