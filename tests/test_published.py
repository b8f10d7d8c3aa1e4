"""Simulate, publish, reanalyse: worlds are what they say, print is what a paper would print, and rates are shares."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from cotreat import batch, laplace, load_study
from cotreat.calibration import published
from cotreat.calibration.printing import (
    UnprintableError,
    counted_wholly,
    estimates,
    odds_ratio_of,
    reread,
    used_claims,
)
from cotreat.calibration.printing import published as in_print
from cotreat.calibration.worlds import Cohort, draw, plain, worlds
from cotreat.cli import main
from cotreat.estimands import subject_of
from cotreat.evidence.claims import contradictions
from cotreat.study import Meaning


@pytest.fixture(scope="module")
def study():
    return plain(load_study("sun2024"))


@pytest.fixture(scope="module")
def world_of(study):
    return {world.name: world for world in worlds(study)}


@pytest.fixture(scope="module")
def cohort(world_of):
    return draw(world_of["multiplicative"], np.random.default_rng(3))


# --- Worlds ----------------------------------------------------------------------------------------


def _truths(study, world, measure):
    truth = world.truth(is_crude=False)
    return {
        subject_of(one.label): float(one.values(truth))
        for one in published.measures_of(study)
        if one.measure.name == measure
    }


def test_worlds_combine_treatments_as_they_say(study, world_of):
    for value in _truths(study, world_of["additive"], "ic").values():
        assert value == pytest.approx(0, abs=1e-4)
    for value in _truths(study, world_of["multiplicative"], "ror").values():
        assert value == pytest.approx(1)
    assert _truths(study, world_of["synergistic"], "ror") == pytest.approx(
        {"TAC:CYC": 2, "TAC:MMF": 2, "CYC:MMF": 1}
    )


def test_worlds_have_the_patients_that_are_printed(study, world_of):
    for world in world_of.values():
        on = sum(n for label, n in world.sizes.items() if "TAC" in label)
        assert (sum(world.sizes.values()), on) == (793, 244)
        assert tuple(world.sizes) == study.present


def test_counts_know_mean_risks_alone(study, world_of):
    """Without a score odds ratios are nearer to 1 (Robinson & Jewell, Int Stat Rev 1991;59:227)."""
    truth = world_of["synergistic"].truth(is_crude=True)
    (ror,) = (
        float(one.values(truth))
        for one in published.measures_of(study)
        if one.label == "ror[TAC:CYC]"
    )
    assert 1.5 < ror < 2


# --- Print -----------------------------------------------------------------------------------------


def test_a_crude_product_is_the_cross_product_of_counts(study, cohort):
    claim = replace(odds_ratio_of(Meaning("product", ("TAC", "CYC")), "p", ""), adjusted=False)
    (found,) = estimates(study, (claim,), cohort).values()
    log, variance = 0.0, 0.0
    for tac, cyc in ((0, 0), (0, 1), (1, 0), (1, 1)):
        own = [
            ("TAC" in r.split("+")) == tac and ("CYC" in r.split("+")) == cyc for r in study.present
        ]
        events = cohort.event[np.array(own)[cohort.regimen]]
        sign = 1 if tac == cyc else -1
        log += sign * np.log(events.sum() / (1 - events).sum())
        variance += 1 / events.sum() + 1 / (1 - events).sum()
    assert found.log == pytest.approx(log, abs=1e-6)
    assert found.error == pytest.approx(np.sqrt(variance), rel=1e-6)


def test_adjusted_odds_ratios_are_those_at_one_score(study, world_of):
    """Of a hundred times as many patients an estimate is its truth but for a tenth of the error."""
    world = world_of["synergistic"]
    many = replace(world, sizes={label: 100 * n for label, n in world.sizes.items()})
    found = estimates(study, used_claims(study), draw(many, np.random.default_rng(4)))
    at = world.log_odds
    for name, (first, second) in {
        "tac-cyc-vs-cyc": ("TAC+CYC", "CYC"),
        "tac-mmf-vs-cyc": ("TAC+MMF", "CYC"),
        "tac-mmf-vs-mmf": ("TAC+MMF", "MMF"),
    }.items():
        own = found[name]
        assert abs(own.log - (at[first] - at[second])) < 3 * own.error
        assert own.error < 0.05


def test_what_is_printed_does_not_contradict_itself(study, cohort):
    for reading in study.readings:
        printed = in_print(study.under(reading.id), cohort, "x")
        assert [c.id for c in printed.claims] == [
            c.id for c in used_claims(study.under(reading.id))
        ]
        assert contradictions(printed) == []
        assert printed.totals[0].events == cohort.event.sum()


def test_p_values_are_rounded_and_have_the_side_of_their_product(study, cohort):
    under = study.under("four-set-products")
    claims = {c.id: c for c in in_print(under, cohort, "x").claims}
    found = estimates(under, used_claims(under), cohort)
    for name in ("p-tac-cyc", "p-tac-mmf"):
        p = found[name].p_value
        assert claims[name].value.value == pytest.approx(max(round(p, 3), 0.001))
        assert claims[name].sign == ("+" if found[name].log > 0 else "-")
        assert claims[name].is_below == (p < 0.0005)


def test_a_misreading_changes_meanings_and_no_number(study, cohort):
    printed = in_print(study, cohort, "x")
    other = reread(printed, study.under("abstract-wording"))
    assert [c.printed for c in other.claims] == [c.printed for c in printed.claims]
    assert {c.id: c.meaning.kind for c in other.claims}["tac-cyc-vs-mmf"] == "product"
    with pytest.raises(ValueError, match="p-tac-cyc is not printed"):
        reread(printed, study.under("four-set-products"))


def test_without_events_nothing_can_be_printed(study, world_of):
    sizes = world_of["additive"].sizes
    regimen = np.repeat(np.arange(len(sizes)), list(sizes.values()))
    score = np.random.default_rng(5).normal(size=len(regimen))
    event = (score > 0).astype(int) * (regimen != study.present.index("TAC+CYC"))
    with pytest.raises(UnprintableError):
        in_print(study, Cohort(regimen, score, event), "x")


def test_counts_of_every_patient(study, cohort):
    whole = counted_wholly(study, cohort, "x")
    assert not whole.has_uncounted
    assert (int(whole.n.sum()), int(whole.events.sum())) == (793, int(cohort.event.sum()))


def test_papers_of_the_flagship(study):
    found = list(published.papers(study))
    assert [(p.printed_by, p.read_as) for p in found if p.is_misread] == [
        ("odds-ratios", "abstract-wording")
    ]
    assert [len(p.more) or len(p.counted) for p in found if p.is_more] == [3, 3, 3]
    assert [p.name for p in found[:4]] == [reading.id for reading in study.readings]


# --- Reanalysis ------------------------------------------------------------------------------------


def test_a_search_that_came_to_nothing_is_not_held_against_other_data(study, cohort, monkeypatch):
    """Modes of one cohort that were come to once only say nothing of the next one's."""
    real, calls = laplace.approximate, []

    def approximate(*given, **settings):
        found = real(*given, **settings)
        calls.append(settings.get("first"))
        return replace(found, is_searched=False, modes=2) if len(calls) == 1 else found

    monkeypatch.setattr(batch.laplace, "approximate", approximate)
    cohorts = [counted_wholly(study, cohort, "first"), counted_wholly(study, cohort, "second")]
    answers = batch.fit_many([batch.Specification(one, "exchangeable") for one in cohorts])
    assert answers[0].verdict == laplace.BAD
    assert answers[1].verdict != laplace.BAD
    assert calls[:2] == [None, None]


def test_rates_by_hand():
    rows = pd.DataFrame(
        {
            "of": "all",
            "world": "additive",
            "paper": "p",
            "read_as": "p",
            "measure": "ror",
            "is_synergy": False,
            "cohort": [0, 0, 1, 1, 2, 2],
            "verdict": ["good", "good", "middling", "good", "bad", "bad"],
            "truth": 1.0,
            "estimate": 1.0,
            "lower": [0.5, 1.1, 0.5, 0.5, np.nan, np.nan],
            "upper": [2.0, 4.4, 2.0, 2.0, np.nan, np.nan],
            "probability": [0.5, 0.99, 0.5, 0.5, np.nan, np.nan],
        }
    )
    (row,) = published.rates(rows).to_dict("records")
    assert (row["cohorts"], row["answers"], row["dropped"]) == (2, 6, 2)
    assert row["sure"] == 0.25
    assert row["coverage"] == 0.75
    assert row["width"] == pytest.approx(np.log(4))
    # Wilson, J Am Stat Assoc 1927;22:209, of a quarter of two cohorts.
    z = 1.959964
    middle, half = 0.25 + z**2 / 4, z * np.sqrt(0.25 * 0.75 / 2 + z**2 / 16)
    ends = ((middle - half) / (1 + z**2 / 2), (middle + half) / (1 + z**2 / 2))
    assert (row["sure_lower"], row["sure_upper"]) == pytest.approx(ends)


@pytest.mark.slow
def test_cohorts_are_printed_and_reanalysed_the_same_alone(study):
    parts = [
        replace(part, papers=part.papers[:1], count=1, study=study)
        for part in published.parts_of(study, 1, 1)
        if part.world.name == "multiplicative"
    ]
    every, claimed = (published.reanalysed(part) for part in parts)
    assert set(every.pair) == {"TAC:CYC", "TAC:MMF", "CYC:MMF"}
    assert set(claimed.pair) == {"TAC:CYC"}
    assert set(every.paper) == {"odds-ratios", published.WHOLE}
    again = published.reanalysed(parts[0])
    pd.testing.assert_frame_equal(every, again)


# --- Command ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "said"),
    [([], "needs a study of printed numbers"), (["isis2"], "cannot be simulated")],
)
def test_what_cannot_be_published_is_refused(target, said, capsys, tmp_path):
    options = ["--published", "--processes", "1", "--out", str(tmp_path)]
    assert main(["calibrate", *target, *options]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
