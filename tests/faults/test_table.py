"""Faults of the table: digits that are Monte Carlo noise (S17), and measures of what the data add (S12)."""

import math

import numpy as np
import pytest
import xarray as xr

from cotreat import parse_study
from cotreat.core.constants import IDENTIFIED
from cotreat.results.headline import IDENTIFICATION, PROBABILITY, headline
from cotreat.results.summary import POSTERIOR
from tests.codes import codes
from tests.conftest import table_of

TWO_BY_TWO = """
format = 1

[study]
id = "two"
title = "Two drugs, made up for the tests"
design = "randomised"
source = "made up"

[outcome]
name = "response"
direction = "benefit"

[treatments]
A = { name = "drug A" }
B = { name = "drug B" }

[[arms]]
regimen = "none"
n = 100
events = 20

[[arms]]
regimen = "A"
n = 100
events = 30

[[arms]]
regimen = "B"
n = 100
events = 30

[[arms]]
regimen = "A+B"
n = 100
events = 40
"""


def risks(log_odds, arms):
    """Return draws of risks, shape (chain, draw, arm), from log odds."""
    return xr.DataArray(
        1 / (1 + np.exp(-log_odds)),
        dims=("chain", "draw", "arm"),
        coords={"arm": list(arms)},
        attrs={"risk_kind": "crude"},
    )


def normal_table(sd, shift=0.0, draws=2500, **options):
    """Summarise normal log odds: prior SD 1, posterior SD `sd` and all shifted by `shift` for A+B."""
    study = parse_study(TWO_BY_TWO)
    rng = np.random.default_rng(3)
    before = rng.normal(-1, 1, (1, 20_000, 4))
    after = rng.normal(-1, sd, (4, draws, 4))
    after[..., study.regimens.index("A+B")] += shift
    arms = study.regimens
    return table_of(study, "interaction", risks(before, arms), risks(after, arms), **options)


def row_of(table, code):
    own = table[(codes(table) == code) & (table.estimator == POSTERIOR)]
    return own[own.judged_on == "event"].iloc[0]


def number(row, column):
    """Return a column of a row, NaN where the table has none."""
    return float(row.get(column, np.nan))


def test_s17_probabilities_and_limits_have_monte_carlo_errors():
    # Independent draws: √(p (1 − p) / S); the median of a normal has √(π/2) SD/√S, its 97.5 % quantile
    # √(p (1 − p)) / φ(1.96) SD/√S = 2.671 SD/√S (David & Nagaraja, Order Statistics, 2003). The log odds
    # ratio of A against none has SD √2.
    table = normal_table(1.0)
    row, count = row_of(table, "odds_ratio[A vs none]"), 10_000
    p = row.probability
    assert number(row, "mcse_probability") == pytest.approx(math.sqrt(p * (1 - p) / count), rel=0.1)
    median = math.sqrt(math.pi / 2 * 2 / count)
    assert number(row, "mcse_estimate") / row.estimate == pytest.approx(median, rel=0.2)
    limit = 2.671 * math.sqrt(2 / count)
    assert number(row, "mcse_upper") / row.upper == pytest.approx(limit, rel=0.25)


def test_s17_weighted_draws_are_worth_their_effective_number():
    # 1,000 effective draws among 10,000: √10 times the error of independent ones.
    row, weighted = (
        row_of(table, "odds_ratio[A vs none]")
        for table in (normal_table(1.0), normal_table(1.0, effective=1000.0))
    )
    for column in ("mcse_probability", "mcse_estimate", "mcse_upper"):
        assert number(weighted, column) / number(row, column) == pytest.approx(
            math.sqrt(10), rel=0.25
        )


def test_s17_a_digit_that_is_noise_is_not_shown():
    # With 400 draws P has an error of 0.025, and the median of a ratio near 1 one of 0.09.
    table = headline(normal_table(1.0, draws=100)).set_index("estimand")
    row = table.loc["odds ratio, A vs none"]
    assert len(row[PROBABILITY]) == len("0.5")
    estimate = row["posterior (95% credible)"].partition(" ")[0]
    assert len(estimate) <= len("1.0")
    many = (
        headline(normal_table(1.0, draws=5000)).set_index("estimand").loc["odds ratio, A vs none"]
    )
    assert len(many[PROBABILITY]) == len("0.50")


def test_s12_overlap_of_prior_and_posterior():
    # Of normals with SDs √4 a distance d apart (the log ratio of odds ratios is a sum of four): 2 Φ(−d/4).
    for shift, expected in ((0.0, 1.0), (2.0, 0.6171), (8.0, 0.0455)):
        row = row_of(normal_table(1.0, shift), "ror[A:B]")
        assert number(row, "overlap") == pytest.approx(expected, abs=0.035)


def test_s12_share_of_the_precision_that_comes_from_data():
    # Normal prior with SD 1 and posterior with SD s: 1 − s², for every function of the log odds; the excess of
    # odds ratios has so long a tail under the prior that its variances are useless.
    table = normal_table(0.5)
    for code in ("odds_ratio[A vs none]", "ror[A:B]", "reri_or[A:B]", "ic[A:B]", "risk[A]"):
        assert number(row_of(table, code), "data_share") == pytest.approx(0.75, abs=0.03), code


def test_s12_little_information_is_identified_but_weak():
    # Posterior SD 0.95 of the prior's: 10 % of the precision comes from data. Contraction is of log odds
    # ratios alone, and is no measure of what was learnt: a shift by 8 prior SDs of an odds leaves it.
    table = normal_table(0.95, shift=8.0)
    row = row_of(table, "ror[A:B]")
    assert row.status == IDENTIFIED
    assert row.posterior_contraction == pytest.approx(0.1, abs=0.05)
    assert number(row, "overlap") < 0.1
    shown = headline(table).set_index("estimand")
    assert shown.loc["ratio of odds ratios (ror), A × B", IDENTIFICATION] == "identified but weak"
    known = table[table.posterior_contraction.notna()]
    assert set(known.measure) == {"odds_ratio", "ror"}
