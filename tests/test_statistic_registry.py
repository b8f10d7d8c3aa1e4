"""A reported number on another scale than the log odds ratio is one entry of a registry, also from outside."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import logit, ndtri

from cotreat import parse_study
from cotreat.audit.audit import check_against_counts
from cotreat.evidence.joint_distribution import jacobian, joint_distribution
from cotreat.evidence.reported import estimates_of, link_value, standard_error, wald_p
from cotreat.evidence.resolve import resolve
from cotreat.evidence.statistics import IDENTITY, STATISTICS, of_risks, register
from cotreat.evidence.width_distribution import width_distribution
from cotreat.inference.sampling import fit_of
from cotreat.models.registry import MODELS
from cotreat.plots import reported as reported_figure
from cotreat.plots.records import View
from cotreat.results.store import DRAWS, read_draws
from cotreat.study_file.reader import StudyError
from cotreat.workflow.reanalyse import reanalyse
from tests.shared import draw_only

HEAD = """
format = 1

[study]
id = "ratios"
title = "Risk ratios, made up for the tests"
design = "cohort"
source = "made up"
inclusion = "any(A, B)"

[outcome]
name = "response"
direction = "benefit"

[treatments]
A = { name = "drug A" }
B = { name = "drug B" }
"""
N = {"A": 4000, "B": 3000, "A+B": 5000}
EVENTS = {"A": 1000, "B": 1200, "A+B": 2500}
RISKS = {arm: EVENTS[arm] / N[arm] for arm in N}
SETS = {"A": "A and not B", "B": "B and not A", "A+B": "A and B"}
TOTALS = (
    "".join(
        f'[[totals]]\npatients = "{SETS[arm]}"\nn = {n}\nsource = "made up"\n'
        for arm, n in N.items()
    )
    + f'[[totals]]\npatients = "all"\nn = {sum(N.values())}\nevents = {sum(EVENTS.values())}\n'
)
ARMS = "".join(
    f'[[arms]]\nregimen = "{arm}"\nn = {n}\nevents = {EVENTS[arm]}\nsource = "made up"\n'
    for arm, n in N.items()
)


def reported(kind, contrast, value, lower, upper, more=""):
    name = f"{kind.replace('_', '-')}-{contrast.split()[0].lower().replace('+', '-')}"
    return (
        f'[[reported]]\nid = "{name}"\nkind = "{kind}"\ncontrast = "{contrast}"\n'
        f'value = {value:.4f}\nci = [{lower:.4f}, {upper:.4f}]\nsource = "made up"\n{more}'
    )


def log_ratio(arm, against="B"):
    """Return the log risk ratio of the counts and its standard error, in closed form."""
    p, q = RISKS[arm], RISKS[against]
    variance = (1 - p) / (N[arm] * p) + (1 - q) / (N[against] * q)
    return np.log(p / q), np.sqrt(variance)


def risk_ratio(arm, more=""):
    mean, error = log_ratio(arm)
    ends = np.exp(mean + ndtri(0.975) * error * np.array([-1, 1]))
    return reported("risk_ratio", f"{arm} vs B", np.exp(mean), *ends, more)


def risk_difference(arm):
    p, q = RISKS[arm], RISKS["B"]
    error = np.sqrt(p * (1 - p) / N[arm] + q * (1 - q) / N["B"])
    ends = p - q + ndtri(0.975) * error * np.array([-1, 1])
    return reported("risk_difference", f"{arm} vs B", p - q, *ends)


def joint(text):
    study = parse_study(HEAD + text)
    numbers = estimates_of(study)
    eta = logit([RISKS[arm] for arm in study.present])
    n = np.array([N[arm] for arm in study.present], float)
    return numbers, joint_distribution(np, numbers, eta, None, None, n, 0.0), eta, n


def widths_before(numbers, eta, n):
    """Return the distribution of the standard errors where no estimate is known: a rounding variance of 1e12."""
    nothing = numbers.values[numbers.points], np.full(len(numbers.names), 1e12)
    return width_distribution(np, numbers, eta, None, None, n, 0.0, *nothing)


def test_mean_and_covariance_of_log_risk_ratios_are_those_of_the_closed_form():
    numbers, law, eta, n = joint(TOTALS + risk_ratio("A") + risk_ratio("A+B"))
    (mean, error), (mean2, error2) = log_ratio("A"), log_ratio("A+B")
    shared = (1 - RISKS["B"]) / (N["B"] * RISKS["B"])
    assert law.mean[:2] == pytest.approx([mean, mean2], rel=1e-12)
    assert law.covariance[:2, :2] == pytest.approx(
        np.array([[error**2, shared], [shared, error2**2]]), rel=1e-12
    )
    widths = widths_before(numbers, eta, n)
    assert widths.mean == pytest.approx(np.log([error, error2]), rel=1e-9)
    assert numbers.values[:2] == pytest.approx([mean, mean2], abs=1e-4)


def test_risk_differences_and_odds_ratios_stand_in_one_joint_distribution():
    odds = reported("odds_ratio", "A+B vs B", 1.5, 1.37, 1.65)
    text = TOTALS + risk_difference("A") + odds
    numbers, law, eta, n = joint(text)
    p, q, both = (RISKS[arm] for arm in ("A", "B", "A+B"))
    variance = p * (1 - p) / N["A"] + q * (1 - q) / N["B"]
    assert law.mean[0] == pytest.approx(p - q, rel=1e-12)
    assert law.mean[1] == pytest.approx(logit(both) - logit(q), rel=1e-12)
    assert law.covariance[0, 0] == pytest.approx(variance, rel=1e-12)
    # Both move with the events of B: by −1/n and by −1/(n q (1 − q)).
    assert law.covariance[0, 1] == pytest.approx(1 / N["B"], rel=1e-12)
    step = 1e-6
    at = numbers.study.present.index("A")
    moved = [
        joint_distribution(np, numbers, eta + move * np.eye(3)[at], None, None, n, 0.0).mean[0]
        for move in (step, -step)
    ]
    slope = jacobian(numbers, eta, None, n)[0, at]
    assert slope == pytest.approx((moved[0] - moved[1]) / (2 * step), rel=1e-6)


def test_noise_of_the_standard_error_is_that_of_the_closed_form():
    numbers, _, eta, n = joint(TOTALS + risk_ratio("A") + risk_ratio("A+B"))
    # ½ d log v / dp of v = (1 − p)/(n p) + …, times the SD of p.
    _, error = log_ratio("A")
    slopes = [-1 / (2 * N[arm] * RISKS[arm] ** 2 * error**2) for arm in ("A", "B")]
    noise = [RISKS[arm] * (1 - RISKS[arm]) / N[arm] for arm in ("A", "B")]
    expected = 0.05**2 + np.square(slopes) @ noise
    assert widths_before(numbers, eta, n).covariance[0, 0] == pytest.approx(expected, rel=1e-8)


def test_interval_and_wald_test_take_link_and_null():
    study = parse_study(HEAD + TOTALS + risk_difference("A") + risk_ratio("A+B"))
    difference, ratio = study.reported_estimates
    mean, error = log_ratio("A+B")
    assert link_value(ratio) == pytest.approx(mean, abs=1e-4)
    assert standard_error(ratio) == pytest.approx(error, rel=2e-3)
    assert link_value(difference) == pytest.approx(RISKS["A"] - RISKS["B"])
    assert wald_p(difference) < 1e-30
    (evidence,) = resolve(study)
    assert evidence.rows().about.tolist()[:2] == [
        "risk difference, A vs B",
        "risk ratio, A+B vs B",
    ]


def test_a_third_ratio_that_follows_from_two_enters_once():
    mean = log_ratio("A+B")[0] - log_ratio("A")[0]
    ends = np.exp(mean + np.array([-0.1, 0.1]))
    third = reported("risk_ratio", "A+B vs A", np.exp(mean), *ends).replace(
        'id = "risk-ratio-a-b"', 'id = "third"'
    )
    numbers = joint(TOTALS + risk_ratio("A") + risk_ratio("A+B") + third)[0]
    (dependence,) = numbers.dependences
    assert (dependence.name, dependence.agrees) == ("third", True)
    assert dependence.implied == pytest.approx(np.exp(mean), rel=1e-3)


def test_three_scales_of_the_same_two_sets_are_refused():
    p, q = RISKS["A"], RISKS["B"]
    ratio = p / (1 - p) * (1 - q) / q
    text = reported("odds_ratio", "A vs B", ratio, ratio / 1.1, ratio * 1.1)
    two = HEAD + TOTALS + risk_ratio("A") + risk_difference("A")
    assert estimates_of(parse_study(two)).redundant == {}
    with pytest.raises(
        StudyError, match="odds-ratio-a is determined by risk-ratio-a, risk-difference-a"
    ):
        parse_study(two + text)


def test_counted_arms_are_compared_on_the_reported_scale():
    study = parse_study(HEAD + ARMS + risk_ratio("A") + risk_difference("A+B"))
    ratio, difference = (check_against_counts(study, one) for one in study.reported_estimates)
    assert ratio.implied == pytest.approx(
        np.exp(log_ratio("A")[0] + ndtri(0.975) * log_ratio("A")[1] * np.array([0, -1, 1]))
    )
    assert difference.implied[0] == pytest.approx(RISKS["A+B"] - RISKS["B"])
    assert (ratio.verdict, difference.verdict) == ("agrees", "agrees")


def test_what_has_no_sampling_distribution_is_refused():
    with pytest.raises(StudyError, match="an adjusted risk ratio is not supported"):
        parse_study(HEAD + TOTALS + risk_ratio("A", "adjusted = true\n"))


@pytest.fixture
def _registered():
    """Register a difference of arcsines from outside: one entry."""
    register(
        of_risks(
            "arcsine_difference",
            "difference of arcsines",
            lambda xp, p: xp.arcsin(xp.sqrt(p)),
            lambda xp, p: 0.5 / xp.sqrt(p * (1 - p)),
            link=IDENTITY,
            null=0.0,
            unit="difference",
        )
    )
    yield
    del STATISTICS["arcsine_difference"]


def arcsine(more=""):
    p, q = RISKS["A"], RISKS["B"]
    value = np.arcsin(np.sqrt(p)) - np.arcsin(np.sqrt(q))
    error = 0.5 * np.sqrt(1 / N["A"] + 1 / N["B"])  # the arcsine stabilises the variance
    ends = value + ndtri(0.975) * error * np.array([-1, 1])
    return value, error, reported("arcsine_difference", "A vs B", value, *ends, more)


@pytest.mark.usefixtures("_registered")
def test_a_statistic_is_registered_from_outside():
    value, error, text = arcsine()
    _, law, *_ = joint(TOTALS + text)
    assert law.mean[0] == pytest.approx(value, rel=1e-12)
    assert law.covariance[0, 0] == pytest.approx(error**2, rel=1e-12)


def test_a_kind_that_nobody_registered_is_refused():
    with pytest.raises(StudyError, match="kind: is 'arcsine_difference'; it must be"):
        parse_study(HEAD + TOTALS + arcsine()[2])


@pytest.mark.slow
def test_a_fit_is_that_of_the_counts_and_stands_in_table_figure_and_report(tmp_path, monkeypatch):
    draw_only(monkeypatch, "reported")
    study = parse_study(HEAD + TOTALS + risk_ratio("A") + risk_difference("A+B"))
    result = reanalyse(study, "interaction", engine="laplace", draws=500, seed=1, out=tmp_path)
    (fit,) = result.results
    table = pd.read_csv(fit.folder / "summary.csv")
    posterior = table[table.estimator == "posterior"]
    risks = posterior[posterior.measure == "risk"].set_index("contrast")
    for arm, risk in RISKS.items():
        row = risks.loc[arm]
        # Monte Carlo error of 500 draws is 0.06 SDs of a median, the prior's pull less.
        assert abs(row.estimate - risk) < 0.25 * row.sd
    as_reported = table[table.estimator == "reported"].set_index("measure")
    assert set(as_reported.index) == {"risk_ratio", "risk_difference"}
    for measure, value in (
        ("risk_ratio", RISKS["A"] / RISKS["B"]),
        ("risk_difference", RISKS["A+B"] - RISKS["B"]),
    ):
        own = posterior[(posterior.measure == measure)]
        row = as_reported.loc[measure]
        turned = row.contrast in {"B vs A", "B vs A+B"}
        expected = (1 / value if measure == "risk_ratio" else -value) if turned else value
        assert row.estimate == pytest.approx(expected, rel=2e-3)
        (match,) = own[own.contrast == row.contrast].itertuples()
        assert abs(match.estimate - expected) < 0.25 * match.sd
    assert (fit.folder / "reported.png").is_file()
    view = View(fit_of(study, MODELS["interaction"], read_draws(fit.folder / DRAWS)), fit.summary)
    ratios, differences = reported_figure.reported(view).axes
    assert (ratios.get_xscale(), differences.get_xscale()) == ("log", "linear")
    assert [axes.lines[0].get_xdata()[0] for axes in (ratios, differences)] == [1, 0]
    assert [
        axes.get_xlabel().startswith(words)
        for axes, words in zip(
            (ratios, differences), ("risk ratio", "risk difference"), strict=True
        )
    ] == [True, True]
    page = result.report.read_text(encoding="utf-8")
    for text in ("risk ratio", "risk difference", "risk-ratio-a", "risk-difference-a-b"):
        assert text in page
