import pandas as pd
import pytest

from cotreat import load_study
from cotreat.headline import agreements, headline, leader
from cotreat.remarks import remarks


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
    assert leader(run) == speaks


def rows(probabilities, background="none"):
    return pd.DataFrame(
        {
            "estimator": "posterior",
            "model": "interaction",
            "estimand": [f"{name}[A:B]" for name in probabilities],
            "background": background,
            "availability": "observed",
            "probability": list(probabilities.values()),
        }
    )


def test_families_are_counted_once_and_hsa_not_at_all():
    table = rows(
        {
            **{"ic": 0.99, "reri_rr": 0.99, "ap": 0.99, "s": 0.99},
            **{"reri_or": 0.98, "ap_or": 0.98, "ror": 0.4, "rrr": 0.02, "bliss": 0.6, "hsa": 1.0},
        }
    )
    (found,) = agreements(table)
    assert (found.families, found.agree, found.towards) == (5, 3, "synergy")
    assert (found.decided_for, found.decided_against) == (2, 1)
    assert str(found) == (
        "A:B on background none: 3 of 5 families agree in leaning towards synergy; "
        "decided for synergy 2, against 1, undecided 2"
    )


def test_a_ratio_shared_by_all_backgrounds_counts_on_each():
    shared = rows({"ror": 0.9}, "every (the same by assumption)")
    table = pd.concat([rows({"ic": 0.9}), rows({"ic": 0.2}, "C"), shared])
    found = {a.background: (a.agree, a.families) for a in agreements(table)}
    assert found == {"none": (2, 2), "C": (1, 2)}


def test_a_model_without_interaction_counts_no_family(tables):
    table = tables("isis2", "additive")
    assert agreements(table) == []
    assert any(
        "additive has no interaction" in line for line in remarks(table, load_study("isis2"))
    )


def test_isis2_remarks(tables):
    lines = remarks(tables("isis2", "interaction"), load_study("isis2"))
    assert any("hsa[SK:ASA] is decided" in s and "not evidence of synergy" in s for s in lines)
    assert any("it reaches 92% here, and they mislead" in s for s in lines)


def test_factor_v_leiden_remarks_name_the_interval_that_includes_the_null(tables):
    lines = remarks(tables("factor-v-leiden", "interaction"), load_study("factor-v-leiden"))
    assert any(
        "reri_or[FVL:OC]" in s and "MOVER interval (-5.372 to 143.8) includes 0" in s for s in lines
    )
    assert any("ror[FVL:OC]: little was learnt (contraction 0.2" in s for s in lines)
    assert any("only if the outcome is rare in every group" in s for s in lines)


def test_extrapolated_synergy_is_said(tables, three):
    lines = remarks(tables("three", "interaction"), three)
    assert any(
        "Synergy is extrapolated for A:B on none; A:C on none; B:C on none" in s
        and "without patients (none)" in s
        for s in lines
    )
    assert "(extrapolated): " in str(agreements(tables("three", "interaction"))[0])


def test_headline_stands_beside_maximum_likelihood(tables):
    table = headline(tables("isis2", "interaction")).set_index(["estimand", "scale"])
    row = table.loc[("odds_ratio[SK vs none]", "event")]
    assert row["maximum likelihood (95%)"] == "0.764 (0.670 to 0.872)"
    assert row["P(> null)"] == "< 0.001"
    # What the second drug adds to the first.
    assert ("odds_ratio[SK+ASA vs SK]", "event") in table.index
    assert ("odds_ratio[ASA vs SK]", "event") not in table.index
    assert ("hsa[SK:ASA]", "non-event") in table.index
    assert ("ic[SK:ASA]", "event") not in table.index
    # The ratio of odds ratios stands on both scales: survival is judged, deaths are printed.
    assert (
        table.loc[("ror[SK:ASA]", "event"), "maximum likelihood (95%)"] == "0.945 (0.776 to 1.15)"
    )
    assert table.loc[("ror[SK:ASA]", "event"), "P(> null)"] == ""


def test_headline_compares_with_an_observed_regimen(tables):
    table = headline(tables("three", "interaction")).set_index("estimand")
    assert table.loc["odds_ratio[A+B vs A]", "availability"] == "observed"
    assert "odds_ratio[A vs none]" not in table.index


def test_headline_shows_the_thresholds_asked_for(tables):
    table = headline(tables("isis2", "interaction", thresholds=[0.8])).set_index("estimand")
    assert table.loc["odds_ratio[SK vs none] > 0.8", "P(> null)"] != ""


def test_headline_of_a_case_control_study_says_what_is_undefined(tables):
    table = headline(tables("factor-v-leiden", "interaction")).set_index("estimand")
    assert table.loc["ic[FVL:OC]", "availability"] == "undefined: not identified by design"
    assert table.loc["ic[FVL:OC]", "P(> null)"] == ""


def test_headline_of_additive_says_what_is_fixed_and_implied(tables):
    table = headline(tables("isis2", "additive")).set_index(["estimand", "scale"])
    assert table.loc[("ror[SK:ASA]", "event"), "availability"] == "fixed by the model"
    assert table.loc[("ic[SK:ASA]", "non-event"), "availability"] == "implied by the model"
