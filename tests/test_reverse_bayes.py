"""One odds ratio under each belief in closed form, and the critical sceptical prior."""

from typing import NamedTuple

import numpy as np
import pytest
from scipy import stats

from cotreat import load_study, parse_study
from cotreat.inference.batch import Specification, fit_many
from cotreat.models.registry import MODELS
from cotreat.priors.belief_grid import BELIEFS
from cotreat.priors.sets import prior_set
from cotreat.sensitivity.reverse_bayes import (
    critical,
    critical_odds_ratio,
    odds_ratios_of,
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


class Normal(NamedTuple):
    """A normal distribution of a log odds ratio, as prior, likelihood or posterior."""

    mean: float
    sd: float

    def given(self, data):
        """Return the posterior: precisions add, and weight the means."""
        prior, likelihood = 1 / self.sd**2, 1 / data.sd**2
        mean = (prior * self.mean + likelihood * data.mean) / (prior + likelihood)
        return Normal(mean, (prior + likelihood) ** -0.5)


def closed_form(study, belief):
    """Return the posterior of the log odds ratio of a study with one reported estimate under a belief."""
    (one,) = odds_ratios_of(study, MODELS["additive"])
    prior = prior_set(f"grid:{belief}", study)["beta"]
    sd = np.log(one.upper / one.lower) / 2 / 1.959963985
    return Normal(prior.mu, prior.sigma).given(Normal(np.log(one.upper * one.lower) / 2, sd))


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


@pytest.fixture(scope="module")
def one_claim():
    return parse_study(ONE)


@pytest.mark.slow
def test_fits_of_one_claim_are_the_closed_form_within_monte_carlo_error(one_claim):
    names = [f"grid:{belief}" for belief in BELIEFS]
    answers = fit_many(
        [Specification(one_claim, "additive", n) for n in names], effective=4000, draws=4000
    )
    for answer, belief in zip(answers, BELIEFS, strict=True):
        _agrees(answer.risk_draws["risk"], closed_form(one_claim, belief))


@pytest.mark.long
def test_nuts_of_one_claim_is_the_closed_form_within_monte_carlo_error(one_claim):
    tree = fit(one_claim, "additive", "pessimistic", draws=2000, tune=500, chains=2)
    _agrees(tree["posterior"]["risk"], closed_form(one_claim, "pessimistic-moderate"))


def _agrees(risk, closed):
    """Compare with 4,000 draws: errors of the mean and of the SD are sd/√4000 and sd/√8000."""
    odds = risk / (1 - risk)
    log = np.log((odds.sel(arm="A") / odds.sel(arm="none")).values.ravel())
    mean, sd = closed
    assert log.mean() == pytest.approx(mean, abs=4 * sd / 4000**0.5)
    assert log.std() == pytest.approx(sd, abs=5 * sd / 8000**0.5)
    above = stats.norm.cdf(mean / sd)
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
    after = sceptic.given(Normal(mean, sd))
    assert after.mean - 1.959963985 * after.sd == pytest.approx(0, abs=1e-8)


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
    one = known["odds ratio, SK vs none"]
    assert one.estimate == pytest.approx(448 * (4300 - 568) / (568 * (4300 - 448)), rel=1e-6)
    sd = np.log(one.upper / one.lower) / 2 / 1.959963985
    assert sd == pytest.approx(np.sqrt((1 / cells).sum()), rel=1e-4)
