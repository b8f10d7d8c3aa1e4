"""Simulate, publish, reanalyse: scenarios follow their rules, simulated papers report what a paper would report, and rates are shares."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit
from validation import publish_and_reanalyse as published
from validation import records
from validation.published_paper import (
    UnprintableError,
    claims_synergy,
    counted_wholly,
    estimates,
    odds_ratio_of,
    reread,
    used_claims,
)
from validation.published_paper import published as in_print
from validation.scripts import calibration_page
from validation.simulate import SimulationError
from validation.true_cohorts import SCENARIOS, Cohort, draw, plain, scenarios

from cotreat import load_study
from cotreat.evidence.reported import estimates_of, incompatibilities
from cotreat.inference import batch, laplace
from cotreat.inference.batch import Specification
from cotreat.priors.sets import prior_set
from cotreat.results import store
from cotreat.study.study import Meaning, RoundedNumber

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def study():
    return plain(load_study("sun2024"))


@pytest.fixture(scope="module")
def scenario_of(study):
    return {scenario.name: scenario for scenario in scenarios(study)}


@pytest.fixture(scope="module")
def cohort(scenario_of):
    return draw(scenario_of["multiplicative"], np.random.default_rng(3))


# --- Scenarios ----------------------------------------------------------------------------------------


def _truths(study, scenario, measure):
    truth = scenario.truth(is_crude=False)
    found = published.measures_of(study, measure)
    return {pair: float(one.values(truth)) for pair, one in found.items()}


def test_scenarios_combine_treatments_by_their_rule(study, scenario_of):
    for name, scenario in scenario_of.items():
        truths = _truths(study, scenario, scenario.measure)
        if name == "additive":
            assert truths == pytest.approx(dict.fromkeys(study.pair_labels, 0), abs=1e-3)
        elif name == "synergistic":
            assert truths == pytest.approx({"TAC:CYC": 2, "TAC:MMF": 2, "CYC:MMF": 1})
        else:
            assert truths == pytest.approx(dict.fromkeys(study.pair_labels, 1))
    assert set(scenario_of) == set(SCENARIOS)


def test_the_odds_without_treatment_are_moved_by_an_sd_of_their_prior(scenario_of):
    # sun2024 declares a risk without treatment of 0.05 to 0.40, the central 95 % of a logit-normal prior.
    lower, upper = logit([0.05, 0.40])
    middle, sd = (lower + upper) / 2, (upper - lower) / (2 * 1.959964)
    at = {name: scenario.log_odds["none"] for name, scenario in scenario_of.items()}
    for name in ("multiplicative", "additive", "synergistic"):
        assert at[name] == pytest.approx(middle)
    assert at["multiplicative, rare without"] == pytest.approx(middle - sd)
    assert at["multiplicative, common without"] == pytest.approx(middle + sd)


def test_scenarios_are_calibrated_to_the_reported_estimates(study, scenario_of):
    """Each has the reported estimates on average, so that they do not distinguish the scenarios."""
    numbers = estimates_of(study)
    for scenario in scenario_of.values():
        log_odds = np.array([scenario.log_odds[label] for label in study.present])
        sizes = np.array(list(scenario.sizes.values()), dtype=float)
        means = np.exp(numbers.regressions.moments(np, log_odds, scenario.sigma, sizes).mean)
        for reported_estimate, mean in zip(numbers.with_interval, means, strict=True):
            assert reported_estimate.ci[0].value < mean < reported_estimate.ci[1].value
            assert abs(np.log(mean / reported_estimate.value.value)) < 0.36  # an SE or less
        events = sum(scenario.risk[label] * n for label, n in scenario.sizes.items())
        assert events == pytest.approx(221, abs=2)


def test_scenarios_have_the_reported_numbers_of_patients(study, scenario_of):
    for scenario in scenario_of.values():
        on = sum(n for label, n in scenario.sizes.items() if "TAC" in label)
        assert (sum(scenario.sizes.values()), on) == (793, 244)
        assert tuple(scenario.sizes) == study.present


def test_synergy_of_a_harm_is_asked_of_those_who_escape_it(study):
    harm = replace(study, outcome=replace(study.outcome, direction="harm", synergy_on="non-event"))
    (scenario,) = (scenario for scenario in scenarios(harm) if scenario.name == "synergistic")
    assert _truths(harm, scenario, "ror")["TAC:CYC"] == pytest.approx(2)


def test_cases_and_controls_are_refused(study):
    with pytest.raises(SimulationError, match="cases and controls were sampled"):
        next(scenarios(replace(study, design="case-control")))


def test_counts_know_mean_risks_alone(study, scenario_of):
    """Without a score odds ratios are nearer to 1 (Robinson & Jewell, Int Stat Rev 1991;59:227)."""
    truth = scenario_of["synergistic"].truth(is_crude=True)
    ror = float(published.measures_of(study, "ror")["TAC:CYC"].values(truth))
    assert 1.5 < ror < 2


# --- Print -----------------------------------------------------------------------------------------


def test_a_crude_product_is_the_cross_product_of_counts(study, cohort):
    reported_estimate = replace(
        odds_ratio_of(Meaning("product", ("TAC", "CYC")), "p", ""), adjusted=False
    )
    (found,) = estimates(study, (reported_estimate,), cohort).values()
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


def test_adjusted_odds_ratios_are_those_at_one_score(study, scenario_of):
    """Of a hundred times as many patients an estimate is its truth but for a tenth of the error."""
    scenario = scenario_of["synergistic"]
    many = replace(scenario, sizes={label: 100 * n for label, n in scenario.sizes.items()})
    found = estimates(study, used_claims(study), draw(many, np.random.default_rng(4)))
    at = scenario.log_odds
    for name, (first, second) in {
        "tac-cyc-vs-cyc": ("TAC+CYC", "CYC"),
        "tac-mmf-vs-cyc": ("TAC+MMF", "CYC"),
        "tac-mmf-vs-mmf": ("TAC+MMF", "MMF"),
    }.items():
        own = found[name]
        assert abs(own.log - (at[first] - at[second])) < 3 * own.error
        assert own.error < 0.05


def test_what_is_printed_does_not_contradict_itself(study, cohort):
    for interpretation in study.interpretations:
        found = in_print(study.resolve(interpretation.id), cohort, "x")
        assert [c.id for c in found.reported_estimates] == [
            c.id for c in used_claims(study.resolve(interpretation.id))
        ]
        assert incompatibilities(found) == []
        assert found.totals[0].events == cohort.event.sum()


def test_p_values_are_rounded_and_have_the_side_of_their_product(study, cohort):
    under = study.resolve("four-set-products")
    reported_estimates = {c.id: c for c in in_print(under, cohort, "x").reported_estimates}
    found = estimates(under, used_claims(under), cohort)
    for name in ("p-tac-cyc", "p-tac-mmf"):
        p = found[name].p_value
        assert reported_estimates[name].value.value == pytest.approx(max(round(p, 3), 0.001))
        assert reported_estimates[name].sign == ("+" if found[name].log > 0 else "-")
        assert reported_estimates[name].is_below == (p < 0.0005)


def test_a_misreading_changes_meanings_and_no_number(study, cohort):
    own = in_print(study, cohort, "x")
    other = reread(own, study.resolve("abstract-wording"))
    assert [c.as_reported for c in other.reported_estimates] == [
        c.as_reported for c in own.reported_estimates
    ]
    assert {c.id: c.meaning.kind for c in other.reported_estimates}["tac-cyc-vs-mmf"] == "product"
    with pytest.raises(ValueError, match="p-tac-cyc is not reported"):
        reread(own, study.resolve("four-set-products"))


def test_without_events_nothing_can_be_printed(study, scenario_of):
    sizes = scenario_of["additive"].sizes
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
    assert [p.label for p in found[:4]] == [
        interpretation.id for interpretation in study.interpretations
    ]
    assert found[4].label == "odds-ratios, misread as abstract-wording"
    assert [len(p.more) or len(p.counted) for p in found[5:]] == [3, 3, 3]
    assert [c.meaning.words for c in found[5].more] == [
        ("TAC", "CYC"),
        ("CYC+MMF", "CYC"),
        ("TAC+CYC+MMF", "CYC"),
    ]


@pytest.mark.parametrize(
    ("interpretation", "reported_estimate", "change", "expected"),
    [
        (
            "four-set-products",
            "p-tac-cyc",
            {"value": RoundedNumber(0.04, 0.0005), "sign": "+"},
            True,
        ),
        (
            "four-set-products",
            "p-tac-cyc",
            {"value": RoundedNumber(0.04, 0.0005), "sign": "-"},
            False,
        ),
        (
            "four-set-products",
            "p-tac-cyc",
            {"value": RoundedNumber(0.06, 0.0005), "sign": "+"},
            False,
        ),
        ("mutually-adjusted-products", "p-tac-mmf", {"value": RoundedNumber(0.01, 0.0005)}, False),
        (
            "abstract-wording",
            "tac-cyc-vs-mmf",
            {"ci": (RoundedNumber(1.01, 0.005), RoundedNumber(9, 0.005))},
            True,
        ),
        (
            "abstract-wording",
            "tac-cyc-vs-mmf",
            {"ci": (RoundedNumber(0.99, 0.005), RoundedNumber(9, 0.005))},
            False,
        ),
        ("odds-ratios", "tac", {}, True),
    ],
)
def test_a_paper_claims_what_its_own_number_shows(
    study, interpretation, reported_estimate, change, expected
):
    """Of the first pair: its product, in whatever form it is printed; without one, combination against partner."""
    under = study.resolve(interpretation)
    quiet = {"value": RoundedNumber(0.5, 0.0005)}
    reported_estimates = tuple(
        replace(c, **change)
        if c.id == reported_estimate
        else replace(c, **quiet)
        if c.ci is None
        else c
        for c in used_claims(under)
    )
    own = replace(
        under,
        interpretations=(
            replace(under.current_interpretation, reported_estimates=reported_estimates),
        ),
    )
    assert claims_synergy(own) == expected


# --- Reanalysis ------------------------------------------------------------------------------------


def test_a_search_that_came_to_nothing_is_not_held_against_other_data(study, cohort, monkeypatch):
    """Modes of one cohort that were come to once only say nothing of the next one's."""
    real, calls = laplace.approximate, []

    def approximate(*given, **settings):
        found = real(*given, **settings)
        calls.append(settings.get("first"))
        return replace(found, is_searched=False, modes=2) if len(calls) == 1 else found

    monkeypatch.setattr(batch.laplace, "approximate", approximate)
    first, second = (counted_wholly(study, cohort, name) for name in ("first", "second"))
    weak = prior_set("weak", study)
    wider = weak.change("alpha", sigma=0.7, name="wider", reason="a test")
    asked = [(first, weak), (first, wider), (second, weak)]
    answers = batch.fit_many([batch.Specification(one, "exchangeable", own) for one, own in asked])
    # Under another prior it is the same evidence, whose modes were come to once only.
    assert [one.verdict == laplace.UNRELIABLE for one in answers] == [True, True, False]
    assert [call is None for call in calls] == [True, False, True]


def _row(cohort, probability, lower, upper, **others):
    return {
        "of": "all",
        "scenario": "multiplicative",
        "measure": "ror",
        "paper": "p",
        "pair": "A:B",
        "cohort": cohort,
        "truth": 1.0,
        "verdict": "good",
        "lower": lower,
        "upper": upper,
        "probability": probability,
        "is_claimed": cohort == 0,
        "tried": 1,
    } | others


def _wilson(hits: int, count: int, side: int) -> float:
    """End of a 95 % interval: Wilson, J Am Stat Assoc 1927;22:209."""
    z, share = 1.959964, hits / count
    half = z * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return (share + z**2 / (2 * count) + side * half) / (1 + z**2 / count)


def test_rates_by_hand():
    nothing = float("nan")
    rows = [
        _row(0, 0.5, 0.5, 2.0),
        _row(1, 0.99, 1.1, 4.4),
        _row(2, 0.5, 0.5, 2.0, verdict="borderline"),
        _row(3, 0.5, 0.5, 2.0),
        _row(4, nothing, nothing, nothing, verdict="unreliable"),
        _row(0, nothing, nothing, nothing, verdict="unreliable", paper="q"),
        _row(0, 0.9, -0.1, 0.2, measure="ic", truth=0.0),
    ]
    row, bad, ic = published.rates(pd.DataFrame(rows)).to_dict("records")
    assert (row["cohorts"], row["dropped"], row["claims"]) == (5, 1, 0.2)
    assert (row["sure"], row["coverage"]) == (0.25, 0.75)
    assert row["width"] == pytest.approx(np.log(4))
    # From the lower end of one cohort in five to the upper one of two: the dropped one may be sure or not.
    assert row["sure_lower"] == pytest.approx(_wilson(1, 5, -1))
    assert row["sure_upper"] == pytest.approx(_wilson(2, 5, 1))
    assert bad["dropped"] == 1
    assert np.isnan(bad["sure"])
    assert (bad["sure_lower"], bad["sure_upper"]) == pytest.approx((0, 1))
    assert ic["width"] == pytest.approx(0.3)


def test_what_cannot_be_trusted_is_asked_for_again_with_care(study, monkeypatch):
    asked = []

    def fitted(specifications, **settings):
        asked.append((list(specifications), settings))
        verdict = laplace.GOOD if len(asked) > 1 else laplace.UNRELIABLE
        return [SimpleNamespace(verdict=v) for v in (laplace.GOOD, verdict)[-len(specifications) :]]

    monkeypatch.setattr(published, "fit_many", fitted)
    one, other = (Specification(study, name) for name in ("additive", "exchangeable"))
    answers = published._answered([one, other], 1)
    assert [answer.verdict for answer in answers] == [laplace.GOOD, laplace.GOOD]
    (_, (again, settings)) = asked
    assert again == [other]
    assert settings["effort"] == published.CAREFUL
    assert settings["effective"] == published.EFFECTIVE_AGAIN


def test_rates_and_the_page_that_are_kept_are_those_of_the_rows():
    folder = ROOT / "results" / "calibration"
    own = folder / "published" / "sun2024"
    pd.testing.assert_frame_equal(
        published.rates(pd.read_csv(own / "rows.csv.gz")), pd.read_csv(own / "rates.csv"), rtol=1e-4
    )
    assert calibration_page.current() == (folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_cohorts_are_printed_reanalysed_and_kept(study, tmp_path):
    """A cohort of one scenario as they come, and one drawn until its paper claims synergy; the same in any process."""
    every = published.parts_of(study, 1, 1)
    parts = [
        next(replace(p, papers=p.papers[:1]) for p in every if p.of == "all"),
        next(p for p in every if p.of == "claimed" and p.papers[0].label == "four-set-products"),
    ]
    common, claimed = map(published.reanalysed, parts)
    assert set(common.pair) == {"TAC:CYC", "TAC:MMF", "CYC:MMF"}
    assert set(common.paper) == {"odds-ratios", published.WHOLE}
    assert set(claimed.paper) == {"four-set-products"}
    assert claimed.is_claimed.all()
    assert claimed.tried.iloc[0] > 1
    pd.testing.assert_frame_equal(common, published.reanalysed(parts[0]))
    records.add_published(tmp_path, load_study("sun2024"), pd.concat([common, claimed]), 1)
    folder = tmp_path / "published" / "sun2024"
    assert len(pd.read_csv(folder / "rows.csv.gz")) == 9
    assert len(store.read_table(folder / "rates.csv")) == 9
    assert (folder / "rates.png").stat().st_size > 10_000
