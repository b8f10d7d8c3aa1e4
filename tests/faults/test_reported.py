"""Faults of reported estimates that public data showed, by their number: without totals, and beyond odds ratios."""

import warnings

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats
from scipy.special import logit, ndtri

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
    assert "all equally probable" not in words(audit(study))


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
    assumed = words(audit(parse_study(HEAD + text)))
    assert "pair and whole share patients" in assumed
    assert "they are taken as independent" in assumed


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


# --- S19: reported numbers beyond the odds ratio ---------------------------------------------------------

TOTALS = "".join(
    f'[[totals]]\npatients = "{patients}"\nn = {COUNTS[arm][1]}\n'
    for arm, patients in {
        "none": "none",
        "A": "A and not B",
        "B": "B and not A",
        "A+B": "A and B",
    }.items()
).replace('"none"', '"not A and not B"')


def number(name, kind, contrast, rest):
    return (
        f'[[reported]]\nid = "{name}"\nkind = "{kind}"\ncontrast = "{contrast}"\nsource = "made up"\n'
        f"{rest}\n"
    )


def risk(regimen):
    events, n = COUNTS[regimen]
    return events / n


def moments(text):
    """Means and covariance of the reported numbers at the counts, and the reported values."""
    numbers = estimates_of(parse_study(HEAD + text))
    arms = numbers.study.present
    n = np.array([COUNTS[arm][1] for arm in arms], float)
    log_odds = np.log([odds(arm) for arm in arms])
    return numbers, joint_distribution(np, numbers, log_odds, None, None, n, 0.0)


def percentages(arms=COUNTS):
    return "".join(
        number(f"p{at}", "percentage", arm, f"value = {100 * risk(arm):.1f}\nn = {COUNTS[arm][1]}")
        for at, arm in enumerate(arms)
    )


def test_s19_risk_ratio_and_risk_difference_have_the_delta_and_wald_standard_errors():
    p, q = risk("A"), risk("none")
    half = ndtri(0.975) * np.sqrt((1 - p) / (1000 * p) + (1 - q) / (1000 * q))
    ratio = estimate("rr", "risk_ratio", "A vs none", p / q, p / q * np.exp([-half, half]))
    half = ndtri(0.975) * np.sqrt(p * (1 - p) / 1000 + q * (1 - q) / 1000)
    difference = estimate(
        "rd", "risk_difference", "none vs A", q - p, q - p + np.array([-half, half])
    )
    for text, value, error in (
        (ratio, np.log(p / q), np.sqrt((1 - p) / (1000 * p) + (1 - q) / (1000 * q))),
        (difference, q - p, np.sqrt(p * (1 - p) / 1000 + q * (1 - q) / 1000)),
    ):
        numbers, law = moments(TOTALS + text)
        assert law.mean[0] == pytest.approx(value, rel=1e-12)
        assert np.sqrt(law.covariance[0, 0]) == pytest.approx(error, rel=1e-12)
        assert numbers.values[0] == pytest.approx(value, abs=6e-4)
    assert "-0.0" in difference  # negative limits are accepted


def test_s19_a_percentage_of_n_patients_is_the_logit_of_the_counts_with_their_standard_error():
    numbers = estimates_of(parse_study(HEAD + percentages()))
    assert numbers.values == pytest.approx(np.log([odds(arm) for arm in COUNTS]), rel=1e-9)
    assert numbers.variances.centre == pytest.approx([variance(arm) for arm in COUNTS], rel=1e-6)


def test_s19_an_odds_ratio_with_its_p_value_has_its_exact_standard_error():
    # SE = |log OR| / z(p): 0.41 / 2.1701 for p = 0.03.
    text = number("or", "odds_ratio", "A vs none", "value = 1.50\np = 0.03")
    numbers = estimates_of(parse_study(HEAD + text))
    assert np.sqrt(covariance(numbers.study)[0, 0]) == pytest.approx(
        np.log(1.5) / 2.17009, rel=1e-5
    )
    assert numbers.with_interval[0].as_reported == "1.50, p = 0.03"


def hosmer_lemeshow(kind):
    """Value and standard error of RERI or AP of the counts, by their closed form from the odds ratios."""
    r10, r01, r11 = (odds(arm) / odds("none") for arm in ("A", "B", "A+B"))
    reri = r11 - r10 - r01 + 1
    slopes = {"A": -r10, "B": -r01, "A+B": r11}
    if kind == "ap_or":
        slopes = {"A": -r10 / r11, "B": -r01 / r11, "A+B": (r10 + r01 - 1) / r11}
        reri = reri / r11
    slopes["none"] = -sum(slopes.values())
    return reri, np.sqrt(sum(slope**2 * variance(arm) for arm, slope in slopes.items()))


@pytest.mark.parametrize("kind", ["reri_or", "ap_or"])
def test_s19_excess_risk_and_attributable_proportion_are_functions_of_the_joint_law(kind):
    # Hosmer & Lemeshow, Epidemiology 1992;3:452.
    value, error = hosmer_lemeshow(kind)
    ends = value + ndtri(0.975) * error * np.array([-1, 1])
    _, law = moments(TOTALS + estimate("x", kind, "A x B", value, ends))
    assert law.mean[0] == pytest.approx(value, rel=1e-12)
    assert np.sqrt(law.covariance[0, 0]) == pytest.approx(error, rel=1e-12)


def test_s19_derivatives_of_the_excess_risk_from_risk_ratios_are_those_of_differences():
    _, law = moments(TOTALS + estimate("x", "reri_rr", "A x B", 0.5, (-0.1, 1.1)))
    r = {arm: risk(arm) for arm in COUNTS}
    value = (r["A+B"] - r["A"] - r["B"]) / r["none"] + 1
    assert law.mean[0] == pytest.approx(value, rel=1e-12)
    slopes = {arm: sign / r["none"] for arm, sign in (("A", -1), ("B", -1), ("A+B", 1))}
    slopes["none"] = -(value - 1) / r["none"]
    spread = sum(slope**2 * r[arm] * (1 - r[arm]) / 1000 for arm, slope in slopes.items())
    assert law.covariance[0, 0] == pytest.approx(spread, rel=1e-10)


def test_s19_noise_of_the_width_of_an_excess_risk_is_its_numerical_derivative():
    numbers, _ = moments(TOTALS + estimate("x", "reri_or", "A x B", 1.0, (0.2, 1.8)))
    n, log_odds = np.full(4, 1000.0), np.log([odds(arm) for arm in numbers.study.present])
    found = numbers.regressions.moments(np, log_odds, None, n).drift[0]
    for at, step in enumerate(1e-5 * np.eye(4)):
        errors = [
            0.5 * np.log(numbers.regressions.moments(np, log_odds + move, None, n).variance[0])
            for move in (step, -step)
        ]
        p = risk(numbers.study.present[at])
        slope = (errors[0] - errors[1]) / 2e-5 / (1000 * p * (1 - p))
        assert found[at] == pytest.approx(slope, rel=1e-5)


def test_s19_an_excess_risk_that_follows_from_the_odds_ratios_enters_once():
    value = hosmer_lemeshow("reri_or")[0]
    text = STAR + estimate("reri", "reri_or", "A x B", value, (value - 1, value + 1))
    numbers = estimates_of(parse_study(HEAD + text))
    (dependence,) = numbers.dependences
    assert (dependence.name, dependence.agrees) == ("reri", True)
    assert dependence.implied == pytest.approx(value, abs=0.01)
    assert numbers.kept == [0, 1, 2]
    wrong = text.replace(f"value = {value:.3f}", f"value = {value + 0.2:.3f}")
    (dependence,) = estimates_of(parse_study(HEAD + wrong)).dependences
    assert dependence.agrees is False


def test_s19_a_ratio_of_odds_ratios_is_a_product_term():
    text = estimate("ror", "ratio_of_odds_ratios", "A x B", 1.5, (0.9, 2.5))
    _, law = moments(TOTALS + text)
    assert law.mean[0] == pytest.approx(
        np.log(odds("A+B") * odds("none") / odds("A") / odds("B")), rel=1e-12
    )
    assert law.covariance[0, 0] == pytest.approx(sum(map(variance, COUNTS)), rel=1e-12)


def test_s19_a_synergy_index_is_shown_and_not_used():
    text = STAR + estimate("s", "s_or", "A x B", 2.0, (1.2, 3.333))
    result = audit(parse_study(HEAD + text))
    assert result.reported.set_index("number").use["s"] == "shown, not used here"


WRONG = {
    (
        "percentage",
        "A",
        "value = 130\nn = 100",
    ): "is 130; it must be a number above 0 and below 100",
    ("percentage", "A", "value = 30"): "or n with the number of patients",
    ("percentage", "A vs B", "value = 30\nn = 100"): "it must be a regimen such as",
    ("risk_difference", "A vs B", "value = 0.3\nci = [-0.2, 0.1]"): "does not contain the estimate",
    ("risk_difference", "A vs B", "value = 12\nci = [2, 22]"): "0.12 for 12 percentage points",
    ("odds_ratio", "A vs B", "value = 1.3\np = 0"): "above 0 and below 1",
    ("odds_ratio", "A vs B", "value = 1.00\np = 0.4"): "determines no standard error",
    ("odds_ratio", "A vs B", 'value = 1.4\np = "<0.001"'): "from which no standard error follows",
    ("risk_ratio", "A vs B", "value = 0\nci = [0.2, 1.1]"): "is 0; it must be a number above 0",
    ("hazard_ratio", "A vs B", "value = 1.3\nci = [0.9, 2]"): "a ratio of rates over time",
    ("HR", "A vs B", "value = 1.3\nci = [0.9, 2]"): 'kind = "percentage"',
    ("RR", "A vs B", "value = 1.3\nci = [0.9, 2]"): "did you mean risk_ratio?",
    ("RD", "A vs B", "value = 0.3\nci = [0.1, 0.5]"): "did you mean risk_difference?",
    ("RERI", "A x B", "value = 0.3\nci = [-0.1, 0.7]"): "did you mean reri_or?",
    ("ratio_of_odds_ratios", "A vs B", "value = 1.3\nci = [0.9, 1.9]"): 'such as "A x B"',
    ("risk_ratio", "A vs B", "adjusted = true\nvalue = 1.3\nci = [0.9, 1.9]"): (
        "an adjusted risk ratio is not supported"
    ),
}


@pytest.mark.parametrize("given", WRONG)
def test_s19_wrong_numbers_are_refused_in_one_sentence(given):
    with pytest.raises(StudyError) as error:
        parse_study(HEAD + number("x", *given))
    (problem,) = error.value.problems
    assert WRONG[given] in problem


def test_s19_risks_are_refused_in_a_case_control_study():
    text = HEAD.replace('design = "cohort"', 'design = "case-control"').replace(
        'direction = "benefit"', 'direction = "harm"\nsynergy_on = "event"'
    )
    with pytest.raises(StudyError, match="cases and controls were sampled apart"):
        parse_study(text + number("x", "risk_ratio", "A vs B", "value = 1.3\nci = [0.9, 1.9]"))


def test_s19_a_risk_ratio_entered_as_odds_ratio_is_told_from_the_percentages():
    text = percentages() + number("x", "odds_ratio", "A vs none", "value = 1.50\nci = [1.18, 1.90]")
    with pytest.raises(
        StudyError, match='x is the ratio of p1 and p0, a risk ratio: write kind = "risk_ratio"'
    ):
        parse_study(HEAD + text)
    # As a risk ratio it follows from the percentages and agrees.
    (dependence,) = estimates_of(
        parse_study(HEAD + text.replace('"odds_ratio"', '"risk_ratio"'))
    ).dependences
    assert (dependence.name, dependence.agrees) == ("x", True)


def test_s19_a_risk_ratio_entered_as_odds_ratio_is_told_from_the_counts():
    arms = "".join(
        f'[[arms]]\nregimen = "{arm}"\nn = {n}\nevents = {events}\n'
        for arm, (events, n) in COUNTS.items()
    )
    text = arms + number("x", "odds_ratio", "A vs none", "value = 1.50\nci = [1.18, 1.90]")
    assert 'it is the risk ratio of the counts: write kind = "risk_ratio"' in words(
        audit(parse_study(HEAD + text))
    )


def test_s19_a_risk_ratio_entered_as_odds_ratio_is_told_from_the_totals():
    # 600 and 500 events of 1,000: SE of the log risk ratio 0.041; of a log odds ratio at least √(8/1000) = 0.089.
    text = TOTALS + number("x", "odds_ratio", "A vs none", "value = 1.20\nci = [1.11, 1.30]")
    (warning,) = parse_study(HEAD + text).warnings
    assert (
        "narrower than that of any odds ratio of so many patients (SE at least 0.0894)" in warning
    )


@pytest.mark.slow
def test_s19_the_posterior_from_percentages_is_that_from_the_counts():
    study = parse_study(HEAD + percentages())
    fit = fit_model(study, "interaction", "weak", engine="laplace", draws=1000, seed=1)
    risks = fit.draws["posterior"]["risk"].values.reshape(-1, 4)
    # The same draws with weights binomial over normal are those of the posterior from the counts.
    events, n = np.array([*COUNTS.values()]).T
    error = np.sqrt([variance(arm) for arm in COUNTS])
    normal = stats.norm.logpdf(np.log([odds(arm) for arm in COUNTS]), logit(risks), error)
    logs = (stats.binom.logpmf(events, n, risks) - normal).sum(1)
    weights = np.exp(logs - logs.max())
    mean = np.average(risks, axis=0, weights=weights)
    sd = np.sqrt(np.average((risks - mean) ** 2, axis=0, weights=weights))
    # Monte Carlo error of 4,000 draws is 0.016 SD; the skewness of a binomial of 100 events shifts 0.03 SD.
    assert np.abs(risks.mean(0) - mean).max() < 0.08 * sd.max()
    assert risks.std(0) / sd == pytest.approx(np.ones(4), abs=0.06)


def test_s19_percentages_of_a_regimen_and_of_all_with_it_are_two_numbers():
    text = number("one", "percentage", "B", "value = 14.0\nn = 1000") + number(
        "all", "percentage", "all with B", "value = 21.5\nn = 2000"
    )
    reported = audit(parse_study(HEAD + text)).reported
    assert reported.contrast.tolist() == ["B", "all with B"]


def test_s19_standard_errors_are_those_of_real_regressions():
    # statsmodels: logistic and log-binomial regressions on the counts; RERI by the delta method on its covariance.
    arms = ["none", "A", "B", "A+B"]
    design = np.array([[1.0, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [1, 1, 1, 1]])
    counts = np.array([[COUNTS[arm][0], COUNTS[arm][1] - COUNTS[arm][0]] for arm in arms])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no residuals are left; the log is not the canonical link
        logistic = sm.GLM(counts, design, family=sm.families.Binomial()).fit()
        family = sm.families.Binomial(sm.families.links.Log())
        binomial = sm.GLM(counts[:2], design[:2, :2], family=family).fit()
    ratios = np.exp(design @ logistic.params - logistic.params[0])
    slopes = np.array([0, -ratios[1], -ratios[2], ratios[3]]) @ (design - design[0])
    error = np.sqrt(slopes @ logistic.cov_params() @ slopes)
    _, law = moments(TOTALS + estimate("x", "reri_or", "A x B", 1.0, (0.2, 1.8)))
    assert np.sqrt(law.covariance[0, 0]) == pytest.approx(error, rel=1e-6)
    _, law = moments(TOTALS + estimate("x", "risk_ratio", "A vs none", 1.5, (1.2, 1.875)))
    assert np.sqrt(law.covariance[0, 0]) == pytest.approx(
        binomial.bse[1], rel=1e-5
    )  # converged to 1e-8 in the deviance
