"""Widths of intervals: faults S2, S8 and S15 that public data showed."""

import numpy as np
import pytest
from scipy.special import logit

from cotreat import parse_study
from cotreat.estimands.enumerate import enumerate_estimands
from cotreat.estimands.identification import Determination
from cotreat.evidence.protocol import Point
from cotreat.evidence.resolve import resolve
from cotreat.inference.batch import Specification, fit_many
from cotreat.models.registry import MODELS

ARMS = ("none", "A", "B", "A+B")
HEAD = """format = 1
study = { id = "four-arms", title = "Four arms", design = "cohort", source = "counts, rounded" }
outcome = { name = "y", direction = "harm" }
treatments = { A = { name = "a" }, B = { name = "b" } }
baseline = { risk = [0.05, 0.40], source = "the default of earlier versions" }
"""
EVENTS, PATIENTS = np.array([5, 75, 55, 37]), np.array([12, 403, 266, 319])


def counted():
    rows = [
        f'{{ regimen = "{arm}", n = {n}, events = {r} }}'
        for arm, r, n in zip(ARMS, EVENTS, PATIENTS, strict=True)
    ]
    return HEAD + f"arms = [{', '.join(rows)}]\n"


def odds_ratio(name, value, lower, upper):
    return (
        f'{{ id = "{name}", kind = "odds_ratio", contrast = "{name} vs none", value = {value}, '
        f'ci = [{lower}, {upper}], adjusted = false, source = "table" }}'
    )


# log OR ± 1.96 √(1/5 + 1/7 + 1/r + 1/(n − r)) of the counts, with two decimals.
RATIOS = (
    odds_ratio("A", "0.32", "0.10", "1.04"),
    odds_ratio("B", "0.36", "0.11", "1.19"),
    odds_ratio("A+B", "0.18", "0.06", "0.61"),
)


def reported(ratios, totals, *more):
    return HEAD + f"totals = [{', '.join(totals)}]\nreported = [{', '.join((*ratios, *more))}]\n"


ALL = '{ patients = "all", n = 1000, events = 172 }'
SIZES = (
    '{ patients = "A", n = 722 }',
    '{ patients = "B", n = 585 }',
    '{ patients = "A and B", n = 319 }',
)


def risks(text):
    """Fit the model with an interaction; return draws of the risks by arm."""
    (answer,) = fit_many(
        [Specification(parse_study(text), "interaction")], effective=4000, draws=8000
    )
    assert answer.verdict in ("good", "borderline")
    return answer.risk_draws["risk"].sel(arm=list(ARMS)).values[0]


def p_synergy(text):
    """Return P(ROR > 1)."""
    return float((logit(risks(text)) @ np.array([1.0, -1, -1, 1]) > 0).mean())


@pytest.mark.slow
def test_s2_estimates_that_determine_the_counts_give_the_posterior_of_the_counts():
    # The widths add nothing to estimates, totals and sizes; counted twice, they gave P(ROR > 1) = 0.66.
    by_counts, by_estimates = p_synergy(counted()), p_synergy(reported(RATIOS, (ALL, *SIZES)))
    assert by_counts == pytest.approx(0.30, abs=0.03)
    assert by_estimates == pytest.approx(
        by_counts, abs=0.03 + 0.015
    )  # Monte Carlo error 0.007 in each


# --- A width of a number that follows from others -----------------------------------------------------

# Of `two-sizes.toml`: log ROR = log(0.77 / (1.20 · 1.01)) = −0.454.
TWO_SIZES = (
    odds_ratio("A", "1.20", "0.89", "1.63"),
    odds_ratio("B", "1.01", "0.80", "1.28"),
    odds_ratio("A+B", "0.77", "0.61", "0.98"),
)
TOTAL = '{ patients = "all", n = 4109, events = 1348 }'


def product(p):
    return (
        f'{{ id = "p", kind = "p_value", contrast = "A x B", value = {p}, sign = "-", adjusted = false, '
        'source = "text" }'
    )


def widths_of(text):
    """Return the standard errors that are evidence."""
    (evidence,) = resolve(parse_study(text))
    return np.exp(evidence.data(ARMS)["reported widths"])


def test_s8_a_p_value_that_follows_from_the_estimates_informs_by_its_standard_error():
    widths = widths_of(reported(TWO_SIZES, (TOTAL,), product("0.007")))
    assert len(widths) == 4
    # |log ROR| / z = 0.4537 / 2.6968
    assert widths[-1] == pytest.approx(0.1682, abs=2e-4)


def test_s8_a_p_value_of_an_odds_ratio_with_its_interval_is_no_further_evidence():
    p = product("0.240").replace("A x B", "A vs none").replace('sign = "-"', 'sign = "+"')
    assert len(widths_of(reported(TWO_SIZES, (TOTAL,), p))) == 3


# --- Identification -----------------------------------------------------------------------------------


def statuses(text):
    """Return status and reason of each estimand near the risks and sizes of the counts, by label."""
    study = parse_study(text)
    evidence = resolve(study)
    log_odds = dict(zip(ARMS, logit(EVENTS / PATIENTS), strict=True))
    sizes = dict(zip(ARMS, PATIENTS.astype(float), strict=True))
    point = Point(
        np.array([log_odds[arm] for arm in study.regimens]),
        None,
        np.array([sizes[arm] for arm in study.present]),
    )
    determination = Determination(study, point, evidence)
    estimands = enumerate_estimands(study, MODELS["interaction"], evidence)
    return {e.label: determination.of(e) for e in estimands}


def test_s15_arms_that_the_widths_determine_are_identified():
    found = statuses(reported(RATIOS, (ALL,)))
    assert {status.name for status in found.values()} == {"identified"}
    contrast = next(status for label, status in found.items() if "(ic)" in label)
    assert "widths of the intervals" in contrast.reason


def test_s15_two_odds_ratios_and_a_total_do_not_identify_the_interaction():
    found = statuses(reported(RATIOS[:2], (ALL,)))
    names = {label: status.name for label, status in found.items()}
    assert names["odds ratio, A vs none"] == "identified"
    assert {name for label, name in names.items() if "(ic)" in label or "(ror)" in label} == {
        "not identified"
    }
