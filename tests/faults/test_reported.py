"""Faults of reported estimates that public data showed, by their number: without totals, and beyond odds ratios."""

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtri

from cotreat import StudyError, parse_study
from cotreat.audit.audit import audit
from cotreat.audit.wording import words
from cotreat.evidence.joint_distribution import joint_distribution
from cotreat.evidence.reported import estimates_of
from cotreat.inference.sampling import fit_model
from cotreat.priors.sets import prior_set

HEAD = """
format = 1

[study]
id = "reported-faults"
title = "Reported estimates, made up for the tests"
design = "cohort"
source = "made up"

[outcome]
name = "response"
direction = "benefit"

[treatments]
A = { name = "drug A" }
B = { name = "drug B" }
"""
COUNTS = {"none": (100, 1000), "A": (150, 1000), "B": (140, 1000), "A+B": (290, 1000)}


def estimate(name, kind, contrast, value, limits, more=""):
    low, high = limits
    return (
        f'[[reported]]\nid = "{name}"\nkind = "{kind}"\ncontrast = "{contrast}"\n'
        f'value = {value:.3f}\nci = [{low:.3f}, {high:.3f}]\nsource = "made up"\n{more}'
    )


def variance(regimen):
    """Woolf's variance of the log odds of a regimen: 1/events + 1/non-events."""
    events, n = COUNTS[regimen]
    return 1 / events + 1 / (n - events)


def odds(regimen):
    events, n = COUNTS[regimen]
    return events / (n - events)


def odds_ratio(name, one, other, more="", factor=1.0):
    (a, n), (b, m) = COUNTS[one], COUNTS[other]
    value = a * (m - b) / ((n - a) * b)
    half = ndtri(0.975) * factor * np.sqrt(variance(one) + variance(other))
    limits = value * np.exp([-half, half])
    return estimate(name, "odds_ratio", f"{one} vs {other}", value, limits, more)


STAR = "".join(odds_ratio(f"or{at}", arm, "none") for at, arm in enumerate(("A", "B", "A+B")))
CHAIN = odds_ratio("first", "A", "none") + odds_ratio("second", "A+B", "A")
TRIANGLE = STAR[: STAR.index('[[reported]]\nid = "or2"')] + odds_ratio("third", "A", "B")
SQUARE = CHAIN + odds_ratio("third", "B", "none")


def covariance(study):
    """Covariance of the estimates at the centre of what the standard errors leave free."""
    law = joint_distribution(np, estimates_of(study), np.zeros(4), None, None, np.ones(4) / 4, 0.0)
    return law.covariance


# --- S3: several odds ratios against one comparator, without totals ------------------------------------


def test_s3_odds_ratios_of_one_comparator_have_its_variance_as_covariance():
    # The comparator's variance is between 0 and the smallest squared standard error; here at its middle.
    smallest = variance("A+B") + variance("none")
    shared = covariance(parse_study(HEAD + STAR))[np.triu_indices(3, 1)]
    assert shared == pytest.approx(np.full(3, smallest / 2), rel=5e-3)


def test_s3_a_chain_of_odds_ratios_is_negatively_correlated():
    # A is the numerator of the first and the denominator of the second.
    smallest = variance("A+B") + variance("A")
    shared = covariance(parse_study(HEAD + CHAIN))[0, 1]
    assert shared == pytest.approx(-smallest / 2, rel=5e-3)


def test_s3_three_odds_ratios_of_three_regimens_determine_every_variance():
    # v_none = (SE²(A vs none) + SE²(B vs none) − SE²(A vs B)) / 2: that of the counts, without any freedom.
    study = parse_study(HEAD + TRIANGLE)
    law = covariance(study)
    assert law[0, 1] == pytest.approx(variance("none"), rel=0.02)
    assert law[0, 2] == pytest.approx(variance("A"), rel=0.02)
    assert law[1, 2] == pytest.approx(-variance("B"), rel=0.02)
    assert "determined" not in words(audit(study))


def test_s3_crude_and_adjusted_odds_ratios_of_one_comparison_are_nearly_one_number():
    # Hausman: the covariance with an efficient estimate is the variance of the latter.
    text = odds_ratio("crude", "A", "none") + odds_ratio(
        "adjusted", "A", "none", "adjusted = true\n", factor=1.05
    )
    law = covariance(parse_study(HEAD + text))
    assert law[0, 1] == pytest.approx(law[0, 0], rel=1e-6)
    assert law[1, 1] / law[0, 0] == pytest.approx(1.05**2, rel=5e-3)


def test_s3_the_audit_states_what_is_assumed():
    text = words(audit(parse_study(HEAD + STAR)))
    largest = variance("A+B") + variance("none")
    assert (
        "or0, or1 and or2 share the patients of none: the variance of their log odds is between 0 and "
        f"{largest:.3g}, all equally probable" in text
    )
    # v/(SE SE′) at the upper end.
    errors = [variance(arm) + variance("none") for arm in ("A", "B")]
    assert f"0.00 to {largest / np.sqrt(np.prod(errors)):.2f} (or0, or1)" in text
    assert "A, B" not in text.partition("Assumed")[2].partition("What the")[0]


def test_s3_the_audit_states_which_estimates_are_taken_as_independent():
    text = odds_ratio("pair", "A+B", "A") + odds_ratio("whole", "A", "none").replace(
        "A vs none", "A vs not A"
    )
    (sentence,) = audit(parse_study(HEAD + text)).assumed
    assert sentence.startswith("pair and whole share patients")
    assert "taken as independent" in sentence


def test_s3_standard_errors_that_contradict_each_other_are_refused():
    # Each comparison twice around the square: SE² of opposite sides must have one sum.
    sound = SQUARE + odds_ratio("fourth", "A+B", "B")
    parse_study(HEAD + sound)
    wrong = SQUARE + odds_ratio("fourth", "A+B", "B", factor=1.6)
    with pytest.raises(StudyError, match="no variances of the arms give the standard errors"):
        parse_study(HEAD + wrong)


@pytest.mark.slow
def test_s3_the_interaction_is_that_of_the_mixture_over_the_comparators_variance():
    study = parse_study(HEAD + STAR)
    fit = fit_model(study, "interaction", "weak", engine="laplace", draws=2000, seed=1)
    draws = fit.draws["posterior"]["gamma"].values.ravel()
    # Given the comparator's variance v the three log odds ratios are normal with the covariance
    # diag(SE² − v) + v, and log odds ratios and their product have normal priors: a mixture over v.
    prior = prior_set("weak", study)
    design = np.array([[1.0, 0, 0], [0, 1, 0], [1, 1, 1]])
    precision = np.diag([prior[name].sigma ** -2 for name in ("beta", "beta", "gamma")])
    values = np.log([odds(arm) / odds("none") for arm in ("A", "B", "A+B")])
    errors = np.array([variance(arm) + variance("none") for arm in ("A", "B", "A+B")])
    nodes, weights = np.polynomial.legendre.leggauss(100)
    spread = design @ np.linalg.inv(precision) @ design.T
    below, evidence = [], []
    for shared in [0.0, *(nodes + 1) / 2 * errors.min()]:
        noise = np.diag(errors - shared) + shared
        information = design.T @ np.linalg.inv(noise)
        posterior = np.linalg.inv(information @ design + precision)
        mean = posterior @ information @ values
        below.append(stats.norm.cdf(mean[2] / np.sqrt(posterior[2, 2])))
        evidence.append(stats.multivariate_normal(np.zeros(3), spread + noise).pdf(values))
    expected = np.average(below[1:], weights=weights * evidence[1:])
    independent = below[0]
    assert expected > independent + 0.01
    # Monte Carlo error of 8,000 draws is 0.001.
    assert np.mean(draws > 0) == pytest.approx(expected, abs=0.004)
