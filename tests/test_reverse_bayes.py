"""One odds ratio in closed form, and the sceptics it does not convince."""

import numpy as np
import pytest
from scipy import stats

from cotreat import load_study, parse_study
from cotreat.inference.batch import Specification, fit_many
from cotreat.models.registry import MODELS
from cotreat.priors.belief_grid import BELIEFS
from cotreat.priors.sets import prior_set
from cotreat.sensitivity.reverse_bayes import (
    Normal,
    critical,
    critical_odds_ratio,
    odds_ratios_of,
    under_beliefs,
)
from tests.shared import draws_of as fit

ONE = """
format = 1

[study]
id = "one"
title = "One printed odds ratio, with nothing around it"
design = "cohort"
source = "made up"

[outcome]
name = "response"
direction = "benefit"

[treatments]
A = { name = "drug A" }
B = { name = "drug B" }

[[reported]]
id = "a"
kind = "odds_ratio"
contrast = "A vs none"
value = 2.43
ci = [1.20, 4.92]
adjusted = false
source = "made up: the numbers of the tacrolimus cohort"
"""


# --- Normal and normal ---------------------------------------------------------------------------------


def test_diamond_and_kaul():
    # JACC 2004;43:1929: prior N(0, 0.07), data N(0.12, 0.06), posterior N(0.07, 0.05).
    after = Normal(0, 0.07).given(Normal(0.12, 0.06))
    assert (round(after.mean, 2), round(after.sd, 2)) == (0.07, 0.05)


@pytest.mark.parametrize(("prior_mean", "mean"), [(0.0, -0.2572937), (-0.1481992, -0.2652921)])
def test_recovery_tocilizumab(prior_mean, mean):
    # medRxiv 2021.06.15.21258966, users of steroids; the SD is printed for the first prior.
    after = Normal(prior_mean, 0.3099127).given(Normal(-0.2719723, 0.07402324))
    assert after.mean == pytest.approx(mean, abs=1e-6)
    assert after.sd == pytest.approx(0.07199797, abs=1e-6)


def test_the_grid_is_that_of_a_sum_over_a_fine_grid():
    study = load_study("sun2024")
    known = odds_ratios_of(study, MODELS["interaction"])
    table = under_beliefs(study, known).set_index(["odds ratio", "belief"])
    # The effect of tacrolimus, over all and beside each partner; 2.43 and 3.14 change the partner too.
    assert [one.source for one in known if one.about] == ["tac", "tac-cyc-vs-cyc", "tac-mmf-vs-mmf"]
    known = [one for one in known if one.about]
    assert len(table) == len(BELIEFS) * len(known) == 27
    at = np.linspace(-12, 12, 48_001)
    for one in known:
        for belief in BELIEFS:
            beta = prior_set(f"grid:{belief}", study)["beta"]
            weight = stats.norm.pdf(at, beta.mu, beta.sigma) * stats.norm.pdf(
                at, one.log.mean, one.log.sd
            )
            weight /= weight.sum()
            mean = weight @ at
            row = table.loc[one.label, belief]
            assert row["posterior mean (log)"] == pytest.approx(mean, abs=1e-6)
            sd = np.sqrt(weight @ (at - mean) ** 2)
            assert row["posterior SD (log)"] == pytest.approx(sd, abs=1e-6)
            # Half of the point at 0 lies above it.
            above = weight[at > 1e-9].sum() + weight[abs(at) < 1e-9].sum() / 2
            assert row["P(odds ratio > 1)"] == pytest.approx(above, abs=1e-6)
            assert row["upper"] == pytest.approx(np.exp(mean + 1.959963985 * sd), rel=1e-5)


def test_a_belief_turns_with_the_number_it_is_about():
    """Treated against not 2.43, and not against treated 0.41: one number, and one belief about it."""
    upside_down = (
        ONE.replace('"A vs none"', '"none vs A"')
        .replace("value = 2.43", "value = 0.41")
        .replace("[1.20, 4.92]", "[0.20, 0.83]")
    )
    above = []
    for text in (ONE, upside_down):
        study = parse_study(text)
        table = under_beliefs(study, odds_ratios_of(study, MODELS["additive"]))
        above.append(table.set_index("belief")["P(odds ratio > 1)"]["optimistic-strong"])
    assert above == pytest.approx([0.998, 0.002], abs=0.0005)


def test_a_belief_about_an_interaction_is_about_products():
    study = load_study("sun2024").resolve("abstract-wording")
    known = odds_ratios_of(study, MODELS["interaction"])
    (product, *_) = [one for one in known if one.label.startswith("product term, ")]
    table = under_beliefs(study, [product]).set_index("belief")
    assert table["prior mean (log)"]["optimistic-weak"] == pytest.approx(np.log(2) / 2)
    assert table["prior SD (log)"]["neutral-weak"] == 5.0


@pytest.fixture(scope="module")
def one_claim():
    return parse_study(ONE)


@pytest.mark.slow
def test_fits_of_one_claim_are_the_closed_form_within_monte_carlo_error(one_claim):
    names = [f"grid:{belief}" for belief in BELIEFS]
    answers = fit_many(
        [Specification(one_claim, "additive", n) for n in names], effective=4000, draws=4000
    )
    closed = under_beliefs(one_claim, odds_ratios_of(one_claim, MODELS["additive"]))
    for answer, (_, row) in zip(answers, closed.iterrows(), strict=True):
        _agrees(answer.risk_draws["risk"], row)


@pytest.mark.long
def test_nuts_of_one_claim_is_the_closed_form_within_monte_carlo_error(one_claim):
    tree = fit(one_claim, "additive", "sceptical", draws=2000, tune=500, chains=2)
    closed = under_beliefs(one_claim, odds_ratios_of(one_claim, MODELS["additive"]))
    row = closed[closed.belief == "pessimistic-moderate"].iloc[0]
    _agrees(tree["posterior"]["risk"], row)


def _agrees(risk, row):
    """Compare with 4,000 draws: errors of the mean and of the SD are sd/√4000 and sd/√8000."""
    odds = risk / (1 - risk)
    log = np.log((odds.sel(arm="A") / odds.sel(arm="none")).values.ravel())
    sd = row["posterior SD (log)"]
    assert log.mean() == pytest.approx(row["posterior mean (log)"], abs=4 * sd / 4000**0.5)
    assert log.std() == pytest.approx(sd, abs=5 * sd / 8000**0.5)
    above = row["P(odds ratio > 1)"]
    error = max(np.sqrt(above * (1 - above) / 4000), 1e-3)
    assert (log > 0).mean() == pytest.approx(above, abs=4 * error)


# --- Matthews' critical odds ratio ---------------------------------------------------------------------


@pytest.mark.parametrize(
    # Of the two odds ratios that the abstract of Sun et al. calls synergistic.
    ("lower", "upper", "expected"),
    [(1.20, 4.92, 2.52), (1.49, 6.64, 1.90)],
)
def test_matthews_critical_odds_ratio(lower, upper, expected):
    assert round(critical_odds_ratio(lower, upper), 2) == expected
    # Of the inverse odds ratio it is the inverse.
    turned = critical_odds_ratio(1 / upper, 1 / lower)
    assert turned == pytest.approx(1 / critical_odds_ratio(lower, upper))


def test_the_critical_sceptic_is_just_not_convinced():
    mean, sd = np.log(2.43), 0.36
    ends = np.exp(mean + 1.959963985 * sd * np.array([-1, 1]))
    limit = critical_odds_ratio(*ends)
    sceptic = Normal(0, np.log(limit) / 1.959963985)
    assert sceptic.given(Normal(mean, sd)).interval[0] == pytest.approx(0, abs=1e-8)


def test_an_interval_that_holds_1_needs_no_sceptic():
    assert np.isnan(critical_odds_ratio(0.9, 3.0))


def test_critical_priors_of_the_tacrolimus_cohort():
    study = load_study("sun2024")
    table = critical(odds_ratios_of(study, MODELS["interaction"])).set_index("from")
    assert table.loc["tac-mmf-vs-cyc", "critical odds ratio"] == pytest.approx(2.52, abs=0.005)
    assert table.loc["tac-cyc-vs-mmf", "critical odds ratio"] == pytest.approx(1.90, abs=0.005)
    # 2.43 lies within 2.52, 3.14 beyond 1.90.
    assert "within" in table.loc["tac-mmf-vs-cyc", "verdict"]
    assert "beyond" in table.loc["tac-cyc-vs-mmf", "verdict"]


def test_odds_ratios_of_counts_are_those_of_two_by_two_tables():
    # Two regimens that differ by one treatment; Woolf's standard error from the counts of ISIS-2.
    study = load_study("isis2")
    known = {one.label: one for one in odds_ratios_of(study, MODELS["interaction"])}
    assert set(known) == {
        "odds ratio, SK vs none",
        "odds ratio, ASA vs none",
        "odds ratio, SK+ASA vs SK",
        "odds ratio, SK+ASA vs ASA",
    }
    cells = np.array([448, 4300 - 448, 568, 4300 - 568])
    one = known["odds ratio, SK vs none"].log
    assert one.mean == pytest.approx(np.log(448 * (4300 - 568) / (568 * (4300 - 448))), rel=1e-6)
    assert one.sd == pytest.approx(np.sqrt((1 / cells).sum()), rel=1e-4)
