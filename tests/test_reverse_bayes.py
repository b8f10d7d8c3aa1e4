"""One odds ratio in closed form, the sceptics it does not convince, and the prior SD of an interaction."""

import numpy as np
import pandas as pd
import pytest
from scipy import optimize, stats

from cotreat import fit, load_study, parse_study
from cotreat.inference.batch import Specification, fit_many
from cotreat.models.registry import MODELS
from cotreat.plots import critical_sd
from cotreat.plots.style import off_screen
from cotreat.priors.sets import BELIEFS, pairs_sd, prior_set
from cotreat.sensitivity.prior_predictive import Induced
from cotreat.sensitivity.reverse_bayes import (
    SDS,
    Normal,
    critical,
    critical_odds_ratio,
    critical_sds,
    odds_ratios_of,
    under_beliefs,
    with_sd,
)

ONE = """
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

[[claims]]
id = "a"
kind = "odds_ratio"
regimens = ["A", "none"]
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
        ONE.replace('["A", "none"]', '["none", "A"]')
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
    study = load_study("sun2024").under("abstract-wording")
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
        _agrees(answer.waist["risk"], row)


@pytest.mark.slow
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


# --- The critical prior SD of an interaction -----------------------------------------------------------


def chance(sd, data=Normal(0.9, 0.36)):  # noqa: B008 - frozen
    return Normal(0, sd).given(data).above


def test_the_critical_sd_is_the_root_of_the_closed_form():
    curve, (found,) = critical_sds(
        lambda sds: [{"A:B": chance(sd)} for sd in sds], [0.95], rounds=4
    )
    root = optimize.brentq(lambda sd: chance(sd) - 0.95, 0.05, 2)
    assert found.sd == pytest.approx(root, rel=1e-3)
    assert f"{root:.2f}" in found.words
    assert curve["prior SD"].is_monotonic_increasing


def test_there_may_be_no_critical_sd():
    def several(sds):
        return [{"never": 0.7, "always": 0.99, "narrow": 0.99 if sd < 0.3 else 0.6} for sd in sds]

    _, found = critical_sds(several, [0.95])
    words = {one.interaction: one.words for one in found}
    assert all(np.isnan(one.sd) for one in found)
    assert words["never"].startswith("none: below 0.95 with every prior SD that was fitted, 0.700")
    assert words["always"] == "none: at least 0.95 even with a prior SD of 0.05"
    assert words["narrow"] == "none: at least 0.95 only with a prior SD of 0.2 or less"


def test_bad_fits_leave_a_gap_that_is_told_and_not_bridged():
    data = Normal(0.9, 0.36)
    root = optimize.brentq(lambda sd: chance(sd, data) - 0.95, 0.05, 2)
    assert 0.2 < root < 0.35

    def without(bad):
        return lambda sds: [{} if sd == bad else {"A:B": chance(sd, data)} for sd in sds]

    curve, (found,) = critical_sds(without(1.0), [0.95])
    assert curve[curve["A:B"].isna()]["prior SD"].tolist() == [1.0]
    assert found.sd == pytest.approx(root, rel=0.1)  # both its neighbours were fitted
    assert found.words.endswith("(1 of the 9 prior SDs tried could not be fitted)")
    _, (found,) = critical_sds(without(0.35), [0.95])
    assert np.isnan(found.sd)
    assert found.words == (
        "falls below 0.95 between prior SDs of 0.2 and 0.5, where no fit could be used (1 of the 7 prior SDs tried "
        "could not be fitted)"
    )


def test_the_picture_has_a_gap_where_no_fit_could_be_used(three):
    curve = pd.DataFrame({"prior SD": [0.1, 0.2, 0.5, 1.0], "A:B": [0.6, np.nan, 0.8, 0.9]})
    with off_screen():
        figure = critical_sd.draw(curve, [], 0.5, three)
    (line,) = [one for one in figure.axes[0].lines if one.get_marker() == "."]
    assert np.isnan(line.get_ydata()).tolist() == [False, True, False, False]


def test_a_curve_that_crosses_more_than_once_has_no_critical_sd():
    heights = dict(zip(SDS, (0.90, 0.96, 0.94, 0.96, 0.97, 0.98, 0.98), strict=True))
    _, (found,) = critical_sds(lambda sds: [{"A:B": heights[sd]} for sd in sds], [0.95], rounds=2)
    assert np.isnan(found.sd)
    assert "crosses 0.95 more than once, or lies within its Monte Carlo error" in found.words
    assert "at least 0.95 with prior SDs of 0.1, 0.35, 0.5, 1, 2" in found.words


def test_without_any_fit_it_says_so():
    curve, found = critical_sds(lambda sds: [{} for _ in sds], [0.95])
    assert list(curve.columns) == ["prior SD"]
    assert found == []
    assert isinstance(curve, pd.DataFrame)


@pytest.mark.parametrize("model", ["interaction", "exchangeable"])
def test_pairs_have_the_prior_sd_that_is_asked_for(three, model):
    optimist = prior_set("interactions:optimistic-strong", three)
    for sd in (0.2, 1.0):
        chosen = with_sd(optimist, sd)
        assert pairs_sd(chosen, MODELS[model]) == pytest.approx(sd)
        risk = Induced(three, MODELS[model], chosen, seed=1, draws=20_000).waist(chosen)["risk"]
        log = np.log(risk / (1 - risk))
        ror = log.sel(arm="A+B") - log.sel(arm="A") - log.sel(arm="B") + log.sel(arm="none")
        # Of relatives the law has long tails: E τ⁴ = 3 (E τ²)².
        assert float(ror.std()) == pytest.approx(sd, rel=0.03)
        assert float((ror > 0).mean()) == pytest.approx(0.5, abs=0.015)
