"""The likelihood of printed numbers, piece by piece, against closed forms, SciPy and brute force."""

from itertools import combinations

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest
import xarray as xr
from scipy import integrate, stats
from scipy.spatial import ConvexHull, HalfspaceIntersection
from scipy.special import expit, gammaln, logit, ndtr, ndtri, softmax

from cotreat import load_study, parse_study
from cotreat.estimands.enumerate import enumerate_estimands
from cotreat.estimands.identification import Determination
from cotreat.evidence import (
    logistic_operator,
    reported,
    reported_likelihood,
    width_distribution,
)
from cotreat.evidence.arm_sizes import sizes_of
from cotreat.evidence.arm_sizes_prior import declare_sizes
from cotreat.evidence.joint_distribution import Joint, joint_distribution
from cotreat.evidence.joint_tail import predictions_of
from cotreat.evidence.protocol import Point, parameters_of
from cotreat.evidence.reported import estimates_of
from cotreat.evidence.reported_evidence import ReportedEvidence
from cotreat.evidence.resolve import resolve
from cotreat.evidence.width_distribution import Widths
from cotreat.inference import vectorise
from cotreat.inference.sampling import log_mean_exp
from cotreat.inference.smc import Sampler
from cotreat.models.build import build
from cotreat.models.registry import MODELS
from cotreat.models.select import priors_for
from cotreat.priors.sets import prior_set
from cotreat.sensitivity.interpretations import conflict_of
from tests.codes import code, status_text

HEAD = """
format = 1

[study]
id = "printed"
title = "Printed numbers, made up for the tests"
design = "cohort"
source = "made up"
inclusion = "any(A, B, C)"

[outcome]
name = "response"
direction = "benefit"

[treatments]
A = { name = "drug A" }
B = { name = "drug B" }
C = { name = "drug C" }
"""
LABELS = ("A", "B", "C", "A+B", "A+C", "B+C", "A+B+C")
SETS = [set(label.split("+")) for label in LABELS]
SIZES = np.array([60.0, 210.0, 190.0, 110.0, 90.0, 100.0, 40.0])
LEVELS = np.array([-0.9, -1.3, -1.2, -0.4, -0.6, -1.0, -0.1])


def total(patients, n, events=None):
    more = "" if events is None else f"events = {events}\n"
    return f'[[totals]]\npatients = "{patients}"\nn = {n}\n{more}'


def ratio(name, about, value=2.0, se=0.3, model="", *, adjusted=False):
    lower, upper = value * np.exp(np.array([-1, 1]) * se * ndtri(0.975))
    return (
        f'[[reported]]\nid = "{name}"\nkind = "odds_ratio"\n{about}\nvalue = {value:.2f}\n'
        f"ci = [{lower:.2f}, {upper:.2f}]\n{tail_of(model, adjusted)}"
    )


def p_value(name, about, value, sign="", model="", *, adjusted=False):
    side = f'sign = "{sign}"\n' if sign else ""
    return (
        f'[[reported]]\nid = "{name}"\nkind = "p_value"\n{about}\nvalue = {value}\n{side}'
        f"{tail_of(model, adjusted)}"
    )


def tail_of(model, adjusted):
    own = f'model = "{model}"\n' if model else ""
    return f'adjusted = {str(adjusted).lower()}\n{own}source = "made up"\n'


def arm(regimen, n, events):
    return f'[[arms]]\nregimen = "{regimen}"\nn = {n}\nevents = {events}\n'


def interpretation(name, means="", *, default=False):
    return (
        f'[[interpretations]]\nid = "{name}"\nwords = "as {name} says"\n'
        + "default = true\n" * default
        + (f"[interpretations.means]\n{means}\n" if means else "")
    )


TOTALS = total("all", 800, 220) + total("A", 300)
SETS_RATIO = ratio("sets", 'contrast = "A vs not A"', 1.9, 0.17)
ARM_RATIO = ratio("arms", 'contrast = "A+B vs B"', 2.4, 0.27)
PRODUCT, OTHER_PRODUCT = 'contrast = "A x B"', 'contrast = "A x C"'


def stated(study, model="interaction"):
    return build(study, MODELS[model], priors_for(prior_set("weak", study), MODELS[model], study))


# --- The plain law, from first principles --------------------------------------------------------------

NODES, SHARES = np.polynomial.hermite_e.hermegauss(15)
SHARES = SHARES / SHARES.sum()


def averages(level, sigma):
    """Return E q, E q(1 − q) and E q(1 − q)(1 − 2q) over the prognostic score."""
    q = expit(np.add.outer(level, sigma * NODES))
    return q @ SHARES, (q * (1 - q)) @ SHARES, (q * (1 - q) * (1 - 2 * q)) @ SHARES


def columns_of(kind, words, sets):
    """Write the design of a regression out, one row an arm; return it with the arms in it."""

    def has(*drugs):
        return np.array([float(set(drugs) <= own) for own in sets])

    one, everyone = np.ones(len(sets)), np.ones(len(sets), bool)
    if kind == "versus":  # (arms, arms)
        first, second = (np.array([own in side for own in sets]) for side in words)
        return np.column_stack([one, first]), 1, first | second
    if kind == "sets":  # with a drug against without
        return np.column_stack([one, has(words)]), 1, everyone
    if kind == "product":
        a, b = words
        return np.column_stack([one, has(a), has(b), has(a, b)]), 3, everyone
    drugs = sorted(set().union(*sets))  # products in one regression
    own = [has(drug) for drug in drugs]
    return np.column_stack([one, *own, *(has(*p) for p in words)]), 1 + len(drugs), everyone


def fitted(reported_estimate, sets, level, sigma, n):
    """Return coefficient, lever, variance and drift, the score equations solved to the end."""
    columns, meant, members = columns_of(
        reported_estimate["kind"], reported_estimate["words"], sets
    )
    spread = sigma if reported_estimate["adjusted"] else 0.0
    x, size = columns[members], n[members]
    risk = averages(level[members], sigma)[0]
    b = np.linalg.lstsq(x, level[members], rcond=None)[0]
    for _ in range(100):
        fitted, weight, slope = averages(x @ b, spread)
        inverse = np.linalg.inv((x.T * (size * weight)) @ x)
        b = b + inverse @ x.T @ (size * (risk - fitted))
    lever, drift = np.zeros(len(n)), np.zeros(len(n))
    per_event = inverse @ x.T  # db/dE by arm
    lever[members] = per_event[meant]
    row = x @ inverse[:, meant]
    # dH⁻¹ = −H⁻¹ (dH) H⁻¹, with dH = Σ n slope (x · db) x xᵀ
    drift[members] = -0.5 * ((size * slope * row**2) @ (x @ per_event)) / inverse[meant, meant]
    return b[meant], lever, inverse[meant, meant], drift


def plain_law(rows, sets, level, sigma, loss, n, counted=(), shift_sd=0.1):
    """Return mean and covariance of all rows, and mean and variance of the log standard errors.

    Every row is a sum of independent noises with loadings: of each arm's events within and between
    values of the score, of what adjustment loses in each arm, and of each regression's shift. Standard errors
    are those before any estimate is known.
    """
    risk, weight, _ = averages(level, sigma)
    inner, whole = n * weight, n * risk * (1 - risk)
    models = sorted({r["model"] for r in rows if r.get("adjusted") and r["model"]})
    models = models if len(models) > 1 else []
    means, loadings, widths = [], [], []
    for row in rows:
        if row["kind"] == "events":
            lever = np.array([float(row["of"](own)) for own in sets])
            means.append(lever @ (n * risk))
            loadings.append(np.r_[lever, lever, 0 * lever, np.zeros(len(models))])
            continue
        adjusted = row["adjusted"]
        mean, lever, variance, drift = fitted(row, sets, level, sigma, n)
        error = np.sqrt(variance) * (1 + loss if adjusted else 1)
        shift = np.array([float(adjusted and row["model"] == m) for m in models])
        if "p" in row:
            mean = mean / error
            lever = lever / error - mean * drift
            shift = shift / error
        else:
            widths.append((np.log(error), 0.05**2 + drift**2 @ whole))
        means.append(mean)
        loadings.append(np.r_[lever, lever * (not adjusted), lever * adjusted, shift])
    noise = np.r_[
        inner, whole - inner, inner * ((1 + loss) ** 2 - 1), np.full(len(models), shift_sd**2)
    ]
    loadings, means = np.array(loadings), np.array(means)
    covariance = (loadings * noise) @ loadings.T
    if counted:
        known = np.zeros((len(counted), len(noise)))
        for at, place in enumerate(counted):
            known[at, [place, place + len(n)]] = 1.0
        seen = np.array([events - n[place] * risk[place] for place, events in counted.items()])
        across = (loadings * noise) @ known.T
        gain = across @ np.linalg.inv((known * noise) @ known.T)
        means, covariance = means + gain @ seen, covariance - gain @ across.T
    return means, covariance, np.array(widths).reshape(-1, 2)


def plain_widths(rows, sets, level, sigma, loss, n, values, rounding):
    """Return mean and covariance of the log standard errors given the values of rows with a rounding variance.

    The log-odds of the counts come by iterations of the linear solution, totals on the logit scale.
    """
    risk, weight, _ = averages(level, sigma)
    inner, whole = n * weight, n * risk * (1 - risk)
    models = sorted({r["model"] for r in rows if r.get("adjusted") and r["model"]})
    models = models if len(models) > 1 else []
    noise = np.r_[inner, whole - inner, inner * ((1 + loss) ** 2 - 1), np.full(len(models), 0.1**2)]
    h, arms, left = level, len(n), None
    for _ in range(width_distribution.STEPS + 1):
        scale = averages(h, sigma)[1] / weight
        off, loadings, spread, errors, drifts = [], [], [], [], []
        for row, seen, digits in zip(rows, values, rounding, strict=True):
            value, variance = seen, digits
            adjusted = row.get("adjusted", False)
            shift = np.array([float(adjusted and row["model"] == m) for m in models])
            if row["kind"] == "events":
                lever = np.array([float(row["of"](own)) for own in sets])
                patients, events = lever @ n, lever @ (n * averages(h, sigma)[0])
                lever = lever * patients / (events * (patients - events))
                mean, slope = logit(events / patients), patients / (seen * (patients - seen))
                value, variance = logit(seen / patients), digits * slope**2
            else:
                mean, lever, squared, drift = fitted(row, sets, h, sigma, n)
                error = np.sqrt(squared) * (1 + loss if adjusted else 1)
                if "p" in row:
                    mean = mean / error
                    lever, shift = lever / error - mean * drift, shift / error
                else:
                    errors.append(np.log(error))
                    drifts.append(drift * scale)
            lever = lever * scale
            off.append(value - mean + lever @ (inner * (h - level)))
            spread.append(variance)
            loadings.append(np.r_[lever, lever * (not adjusted), lever * adjusted, shift])
        of_errors, loadings = (errors, np.array(drifts), left), np.array(loadings)
        across = (loadings * noise)[:, :arms] + (loadings * noise)[:, arms : 2 * arms]
        gain = across.T @ np.linalg.inv((loadings * noise) @ loadings.T + np.diag(spread))
        h, left = level + gain @ np.array(off) / inner, np.diag(whole) - gain @ across
    errors, drifts, left = of_errors
    return np.array(errors), drifts @ left @ drifts.T + 0.05**2 * np.eye(len(errors))


NOT_REPORTED = 1e12
"""Rounding variance of a row of which nothing is known."""


def deviate(p):
    return stats.norm.isf(p / 2)


def plain_data(rows):
    """Return values, variances by rounding, and of the log standard errors the same."""
    values, rounding, widths, width_rounding = [], [], [], []
    for row in rows:
        if row["kind"] == "events":
            values.append(row["events"])
            rounding.append(0.0)
        elif "p" in row:
            values.append(deviate(row["p"]))
            rounding.append((deviate(row["p"] - 0.0005) - deviate(row["p"] + 0.0005)) / 2)
        else:
            value, lower, upper = row["reported"]
            values.append(np.log(value))
            rounding.append(0.005 / value)
            se = np.log(upper / lower) / (2 * 1.959963984540054)
            widths.append(np.log(se))
            width_rounding.append((0.005 / lower + 0.005 / upper) / (2 * 1.959963984540054) / se)
    return (
        *map(np.array, (values, np.square(rounding) / 3, widths)),
        np.square(width_rounding) / 3,
    )


# --- The flagship ------------------------------------------------------------------------------------

SUN_SETS = [
    {"TAC"},
    {"CYC"},
    {"MMF"},
    {"TAC", "CYC"},
    {"TAC", "MMF"},
    {"CYC", "MMF"},
    {"TAC", "CYC", "MMF"},
]
WITH_TAC = np.array(["TAC" in own for own in SUN_SETS])


def reported_estimate(kind, words, model, **print_):
    return {"kind": kind, "words": words, "model": model, "adjusted": True, **print_}


def versus(first, second):
    return "versus", ([set(first.split("+"))], [set(second.split("+"))]), "combinations"


SUN = {
    "tac": reported_estimate("sets", "TAC", "tacrolimus", reported=(2.82, 1.89, 4.22)),
    "a": reported_estimate(*versus("TAC+CYC", "CYC"), reported=(2.15, 1.15, 4.02)),
    "b": reported_estimate(*versus("TAC+MMF", "CYC"), reported=(2.43, 1.20, 4.92)),
    "c": reported_estimate(*versus("TAC+CYC", "MMF"), reported=(3.14, 1.49, 6.64)),
    "d": reported_estimate(*versus("TAC+MMF", "MMF"), reported=(3.54, 1.66, 7.58)),
    "p-cyc": reported_estimate("product", ("TAC", "CYC"), "interaction", p=0.043),
    "p-mmf": reported_estimate("product", ("TAC", "MMF"), "interaction", p=0.025),
    "q-cyc": reported_estimate(
        "products", [("TAC", "CYC"), ("TAC", "MMF")], "interaction", p=0.043
    ),
    "q-mmf": reported_estimate(
        "products", [("TAC", "MMF"), ("TAC", "CYC")], "interaction", p=0.025
    ),
    "b-product": reported_estimate(
        "product", ("TAC", "MMF"), "interaction", reported=(2.43, 1.20, 4.92)
    ),
    "c-product": reported_estimate(
        "product", ("TAC", "CYC"), "interaction", reported=(3.14, 1.49, 6.64)
    ),
    "events": {"kind": "events", "of": lambda _: True, "events": 221.0},
}
# The rows of the joint law; "d" follows from three others where they compare regimens, and then only
# its standard error is evidence of its own.
FLAGSHIP = {
    "odds-ratios": ("exchangeable", "tac a b c events", "d"),
    "four-set-products": ("interaction", "tac a b c p-cyc p-mmf events", "d"),
    "mutually-adjusted-products": ("interaction", "tac a b c q-cyc q-mmf events", "d"),
    "abstract-wording": ("interaction", "tac a b-product c-product d events", ""),
}


def shares_of(y):
    """Undo the sampler's simplex transform; return shares and the log density of Dirichlet(1) in y."""
    shares = softmax(np.append(y, -y.sum()))
    k = len(shares)
    return shares, gammaln(k) + np.log(k) + np.log(shares).sum()


def half_normal(log_value, scale):
    return stats.halfnorm.logpdf(np.exp(log_value), scale=scale) + log_value


BASELINE = logit([0.05, 0.40])


def products(v):
    """Return the product terms of the pairs and their log prior density."""
    if "gamma" in v:
        return v["gamma"], stats.norm.logpdf(v["gamma"], 0, 0.5).sum()
    # k − 1 free coordinates to k numbers that sum to 0, lengths kept.
    free, tau = v["z_zerosum__"], np.exp(v["tau_log__"])
    k = len(free) + 1
    shift = free.sum() / (np.sqrt(k) + k)
    gamma = v["mu"] + tau * (np.append(free, shift - free.sum() / np.sqrt(k)) - shift)
    covariance = tau**2 * np.eye(k) + 0.25**2 * np.ones((k, k))
    density = stats.multivariate_normal.logpdf(gamma, np.zeros(k), covariance)
    return gamma, density + 0.5 * np.log(k) + (k - 1) * np.log(tau) + half_normal(
        v["tau_log__"], 0.5
    )


def flagship_terms(v, rows, width_only):
    """Return the log densities of prior, estimates and widths at a point of the sampler's space."""
    gamma, prior = products(v)
    with_tac, first = shares_of(v["share_1_simplex__"])
    without, second = shares_of(v["share_2_simplex__"])
    prior += (
        # [baseline] of sun2024: central 95 % of the risk without treatment 0.05 to 0.40.
        stats.norm.logpdf(v["alpha"], np.mean(BASELINE), np.diff(BASELINE)[0] / (2 * 1.95996398454))
        + stats.norm.logpdf(v["beta"], 0, 1).sum()
        + half_normal(v["sigma_log__"], 1.0)
        + half_normal(v["loss_log__"], 0.15)
        + first
        + second
    )
    n = np.zeros(7)
    n[WITH_TAC], n[~WITH_TAC] = 244 * with_tac, 549 * without
    drugs = ("TAC", "CYC", "MMF")
    content = np.array([[d in own for d in drugs] for own in SUN_SETS], float)
    pairs = np.array([[set(p) <= own for p in combinations(drugs, 2)] for own in SUN_SETS], float)
    level = v["alpha"] + content @ v["beta"] + pairs @ gamma
    sigma, loss = np.exp(v["sigma_log__"]), np.exp(v["loss_log__"])
    more = [SUN[name] for name in width_only.split()]
    mean, covariance, _ = plain_law([*rows, *more], SUN_SETS, level, sigma, loss, n)
    values, rounding, errors, error_rounding = plain_data([*rows, *more])
    # An odds ratio that follows from others has no row, but a standard error in print.
    kept = slice(len(rows))
    points = stats.multivariate_normal.logpdf(
        values[kept], mean[kept], (covariance + np.diag(rounding))[kept, kept]
    )
    unknown = np.r_[rounding[kept], np.full(len(more), NOT_REPORTED)]
    mean, covariance = plain_widths(
        [*rows, *more], SUN_SETS, level, sigma, loss, n, values, unknown
    )
    widths = stats.multivariate_normal.logpdf(errors, mean, covariance + np.diag(error_rounding))
    return np.array([prior, points, widths])


def flagship_points(built, count):
    """Draw points near where the printed numbers are not absurd."""
    rng = np.random.default_rng(20240115)
    centre = {"alpha": -1.5, "tau_log__": -1.0, "sigma_log__": -0.4, "loss_log__": -2.0}
    return [
        {k: centre.get(k, 0.0) + rng.normal(0, 0.3, np.shape(v)) for k, v in start.items()}
        for start in [built.initial_point()] * count
    ]


@pytest.mark.slow
@pytest.mark.parametrize("name", FLAGSHIP)
def test_log_density_of_the_flagship_is_the_plain_sum(name, monkeypatch):
    # The model stops after few steps, near enough (tests/test_regression.py); here it goes on.
    monkeypatch.setattr(logistic_operator, "CENTRE_STEPS", 2)
    monkeypatch.setattr(logistic_operator, "FIT_STEPS", 4)
    model, rows, width_only = FLAGSHIP[name]
    built = stated(load_study("sun2024").resolve(name), model)
    terms = [built.varlogp, built.logp(vars=built["reported"]), built.logp(vars=built["widths"])]
    # Nothing else is in the posterior.
    assert [rv.name for rv in built.observed_RVs] == ["reported", "widths"]
    assert built.potentials == []
    density = built.compile_fn(terms, mode="FAST_COMPILE")
    for point in flagship_points(built, 3):
        expected = flagship_terms(point, [SUN[row] for row in rows.split()], width_only)
        np.testing.assert_allclose(density(point), expected, rtol=1e-8)


# --- The law of a made-up study, adjusted beside crude, counted beside uncounted ------------------------

MIXED_ROWS = [
    {**reported_estimate("sets", "A", "main"), "reported": (1.9, 1.36, 2.65)},
    {
        **reported_estimate("versus", ([{"A", "B"}], [{"B"}]), ""),
        "adjusted": False,
        "reported": (2.4, 1.41, 4.07),
    },
    {
        **reported_estimate("versus", ([{"A", "C"}], [{"B"}]), "second"),
        "reported": (1.5, 0.83, 2.7),
    },
    {**reported_estimate("product", ("A", "B"), ""), "adjusted": False, "p": 0.04},
    {**reported_estimate("product", ("A", "C"), "second"), "p": 0.2},
    {"kind": "events", "of": lambda _: True, "events": 220.0},
    {"kind": "events", "of": lambda own: "A" in own, "events": 110.0},
]
MIXED_TEXT = (
    total("all", 800, 220)
    + total("A", 300, 110)
    + ratio("sets", 'contrast = "A vs not A"', 1.9, 0.17, "main", adjusted=True)
    + ratio("arms", 'contrast = "A+B vs B"', 2.4, 0.27)
    + ratio("others", 'contrast = "A+C vs B"', 1.5, 0.3, "second", adjusted=True)
    + p_value("crude", PRODUCT, 0.040, "+")
    + p_value("adjusted", OTHER_PRODUCT, 0.200, "+", "second", adjusted=True)
)
COUNTED = {0: 25, 1: 40, 2: 60}  # of A, B and C


@pytest.mark.parametrize("is_counted", [False, True])
def test_joint_law_adjusted_beside_crude_is_the_plain_one(is_counted, monkeypatch):
    monkeypatch.setattr(width_distribution, "STEPS", 3)
    counts = [arm(LABELS[at], int(SIZES[at]), r) for at, r in COUNTED.items()]
    numbers = estimates_of(parse_study(HEAD + "".join(counts) * is_counted + MIXED_TEXT))
    sigma, loss = 0.8, 0.12
    law = joint_distribution(np, numbers, LEVELS, sigma, loss, SIZES, 0.1)
    counted = COUNTED if is_counted else {}
    mean, covariance, _ = plain_law(MIXED_ROWS, SETS, LEVELS, sigma, loss, SIZES, counted)
    scale = np.sqrt(np.diag(covariance))
    # The log-odds of pooled arms come by one Halley step: within 1e-6 standard errors.
    np.testing.assert_allclose(law.mean / scale, mean / scale, atol=1e-6)
    scales = np.outer(scale, scale)
    np.testing.assert_allclose(law.covariance / scales, covariance / scales, atol=1e-6)
    assert set(numbers.points) == set(range(len(numbers.names)))
    given = numbers.values[numbers.points], numbers.rounding
    widths = width_distribution.width_distribution(
        np, numbers, LEVELS, sigma, loss, SIZES, 0.1, *given
    )
    if not is_counted:
        expected = plain_widths(MIXED_ROWS, SETS, LEVELS, sigma, loss, SIZES, *given)
        np.testing.assert_allclose(widths.mean, expected[0], atol=1e-6)
        np.testing.assert_allclose(widths.covariance, expected[1], rtol=1e-5, atol=1e-8)


# --- P-values ------------------------------------------------------------------------------------------


def fixed(study, level=LEVELS, n=SIZES):
    """State the printed numbers alone, at fixed log-odds and sizes; return numbers, law and model."""
    numbers = estimates_of(study)
    law = joint_distribution(np, numbers, level, None, None, n, 0.0)
    with pm.Model(coords=ReportedEvidence(numbers).coords()) as built:
        widths = Widths(*map(pt.as_tensor, widths_of(numbers, level, n)))
        reported_likelihood.observe(numbers, Joint(*map(pt.as_tensor, law)), widths)
    return numbers, law, built


def widths_of(numbers, level=LEVELS, n=SIZES):
    """Return the distribution of the standard errors given the points, without adjustment."""
    given = numbers.values[numbers.points], numbers.rounding
    return width_distribution.width_distribution(np, numbers, level, None, None, n, 0.0, *given)


def tails_of(built):
    """Return the potential of a model as a function of its latent uniforms, and the points' density."""
    terms = [built.logp(vars=built.observed_RVs, sum=True), built.potentiallogp]
    compiled = built.compile_fn(
        terms, inputs=built.value_vars, mode="FAST_COMPILE", on_unused_input="ignore"
    )
    names = [value.name for value in built.value_vars]

    def evaluate(*uniforms):
        points, potential = compiled(dict(zip(names, map(logit, uniforms), strict=True)))
        return float(points), float(potential)

    return evaluate


def conditional(study, law, tails):
    """Return mean and covariance of some rows given all others, by SciPy's inverse."""
    numbers = estimates_of(study)
    data = numbers
    covariance = law.covariance + np.diag(data.rounding)
    given = [at for at in numbers.kept if at not in tails]
    inner = np.linalg.inv(covariance[np.ix_(given, given)])
    gain = covariance[np.ix_(tails, given)] @ inner
    mean = law.mean[tails] + gain @ (data.values[given] - law.mean[given])
    density = stats.multivariate_normal.logpdf(
        data.values[given], law.mean[given], covariance[np.ix_(given, given)]
    )
    return mean, covariance[np.ix_(tails, tails)] - gain @ covariance[np.ix_(given, tails)], density


def p_study(value, sign, *more):
    return parse_study(
        HEAD + TOTALS + SETS_RATIO + ARM_RATIO + p_value("p", PRODUCT, value, sign) + "".join(more)
    )


def joint_density(study, law, values):
    numbers = estimates_of(study)
    covariance = law.covariance + np.diag(numbers.rounding)
    return stats.multivariate_normal.logpdf(values, law.mean, covariance)


@pytest.mark.parametrize(("sign", "side"), [("+", 1), ("-", -1)])
def test_exact_p_value_with_its_sign_is_a_point(sign, side):
    study = p_study("0.040", sign)
    numbers, law, built = fixed(study)
    assert numbers.names == ("sets", "arms", "p", "events[all]")
    values = [np.log(1.9), np.log(2.4), side * deviate(0.04), 220.0]
    points, potential = tails_of(built)()
    assert points == pytest.approx(
        joint_density(study, law, values) + width_density(numbers), rel=1e-10
    )
    assert potential == 0


def width_density(numbers):
    """Return the log density of the two standard errors of SETS_RATIO and ARM_RATIO."""
    ends = [(1.36, 2.65), (1.41, 4.07)]
    z = 2 * stats.norm.ppf(0.975)
    se = np.array([np.log(b / a) / z for a, b in ends])
    rounding = np.array([(0.005 / a + 0.005 / b) / z for a, b in ends]) / se
    mean, covariance = widths_of(numbers)
    return stats.multivariate_normal.logpdf(np.log(se), mean, covariance + np.diag(rounding**2 / 3))


def test_exact_p_value_without_its_sign_is_the_sum_of_both():
    study = p_study("0.040", "")
    numbers, law, built = fixed(study)
    assert built.coords["point"] == ("sets", "arms", "events[all]")
    both = [
        joint_density(study, law, [np.log(1.9), np.log(2.4), side * deviate(0.04), 220.0])
        for side in (1, -1)
    ]
    found = sum(tails_of(built)())
    assert found == pytest.approx(np.logaddexp(*both) + width_density(numbers), rel=1e-10)


@pytest.mark.parametrize("sign", ["+", "-", ""])
def test_p_value_below_is_the_tail_of_the_conditional_normal(sign):
    study = p_study('"<0.05"', sign)
    numbers, law, built = fixed(study)
    at = numbers.names.index("p")
    mean, covariance, density = conditional(study, law, [at])
    one, z = stats.norm(mean[0], np.sqrt(covariance[0, 0])), deviate(0.05)
    tails = {"+": one.sf(z), "-": one.cdf(-z), "": one.sf(z) + one.cdf(-z)}
    points, potential = tails_of(built)()
    assert potential == pytest.approx(np.log(tails[sign]), rel=1e-6)
    assert points == pytest.approx(density + width_density(numbers), rel=1e-10)


def corners(mean, covariance, z, signs):
    """Return the probability that each deviate lies beyond its z, by the bivariate normal's cdf."""
    chance = 0.0
    for first in "+-" if not signs[0] else signs[0]:
        for second in "+-" if not signs[1] else signs[1]:
            flip = np.diag([-1.0 if s == "+" else 1.0 for s in (first, second)])
            chance += stats.multivariate_normal.cdf(
                -np.array(z), flip @ mean, flip @ covariance @ flip, abseps=1e-9, releps=1e-9
            )
    return chance


@pytest.mark.parametrize(
    "signs", [("+", "+"), ("+", "-"), ("-", "+"), ("-", "-"), ("", "+"), ("", "")]
)
def test_two_p_values_below_average_to_the_bivariate_tail(signs):
    study = p_study('"<0.05"', signs[0], p_value("q", OTHER_PRODUCT, '"<0.2"', signs[1]))
    numbers, law, built = fixed(study)
    at = [numbers.names.index(name) for name in ("p", "q")]
    mean, covariance, _ = conditional(study, law, at)
    assert abs(covariance[0, 1]) > 0.05  # else the order would not matter
    assert [rv.name for rv in built.free_RVs] == ["tail_p"]
    expected = corners(mean, covariance, [deviate(0.05), deviate(0.2)], signs)
    evaluate = tails_of(built)
    # Unsigned tails meet at a corner of the integrand in u: two pieces of Gauss–Legendre.
    upper, lower = (
        stats.norm.cdf((s * mean[0] - deviate(0.05)) / np.sqrt(covariance[0, 0])) for s in (1, -1)
    )
    cut = {"+": 1.0, "-": 0.0, "": upper / (upper + lower)}[signs[0]]
    nodes, weights = np.polynomial.legendre.leggauss(40)
    found = sum(
        w * (end - start) / 2 * np.exp(evaluate(start + (end - start) * (x + 1) / 2)[1])
        for start, end in ((0.0, cut), (cut, 1.0))
        if end > start
        for x, w in zip(nodes, weights, strict=True)
    )
    assert found == pytest.approx(expected, rel=1e-3)


def test_an_exact_p_value_without_sign_before_one_below():
    study = p_study("0.040", "", p_value("q", OTHER_PRODUCT, '"<0.2"', "+"))
    numbers, law, built = fixed(study)
    assert built.free_RVs == []
    at = [numbers.names.index(name) for name in ("p", "q")]
    mean, covariance, _ = conditional(study, law, at)
    expected = 0.0
    for z in (deviate(0.04), -deviate(0.04)):
        centre = mean[1] + covariance[0, 1] / covariance[0, 0] * (z - mean[0])
        sd = np.sqrt(covariance[1, 1] - covariance[0, 1] ** 2 / covariance[0, 0])
        first = stats.norm.pdf(z, mean[0], np.sqrt(covariance[0, 0]))
        expected += first * stats.norm.sf(deviate(0.2), centre, sd)
    assert tails_of(built)()[1] == pytest.approx(np.log(expected), rel=1e-6)


@pytest.mark.slow
def test_tails_far_out_stay_exact():
    # Product terms on the other side: 1 less the first tail is 1 in double precision.
    study = p_study('"<0.001"', "+", p_value("q", OTHER_PRODUCT, '"<0.001"', "+"))
    against = LEVELS + np.array([2.5, 0, 0, -1, -1, 0, -3])
    numbers, law, built = fixed(study, against, 4 * SIZES)
    mean, covariance, _ = conditional(study, law, [numbers.names.index(name) for name in "pq"])
    root, z = np.linalg.cholesky(covariance), deviate(0.001)
    first = (z - mean[0]) / root[0, 0]
    assert stats.norm.sf(first) < 1e-20
    evaluate = tails_of(built)
    for u in (0.01, 0.5, 0.99):
        error = stats.norm.isf(u * stats.norm.sf(first))
        second = (z - mean[1] - root[1, 0] * error) / root[1, 1]
        expected = stats.norm.logsf(first) + stats.norm.logsf(second)
        assert evaluate(u)[1] == pytest.approx(expected, rel=1e-6)
    (value,) = built.value_vars
    slope = built.compile_fn(
        pt.grad(built.potentiallogp, value), inputs=[value], mode="FAST_COMPILE"
    )
    assert np.isfinite(slope({value.name: 0.3}))


@pytest.mark.parametrize("sign", ["+", ""])
def test_a_bound_may_be_the_only_number_in_print(sign):
    study = parse_study(HEAD + total("all", 800) + p_value("p", PRODUCT, '"<0.05"', sign))
    _, law, built = fixed(study)
    one, z = stats.norm(law.mean[0], np.sqrt(law.covariance[0, 0])), deviate(0.05)
    expected = one.sf(z) + (one.cdf(-z) if not sign else 0.0)
    points, potential = tails_of(built)()
    assert points == 0
    assert potential == pytest.approx(np.log(expected), rel=1e-6)


# --- Mixed evidence: brute force ----------------------------------------------------------------------

# So many patients that regressions are linear in their noise: to 0.002 SDs.
MANY = SIZES * 2000
COHORTS = 20_000
BIG_COUNTED = {0: 1.5, 1: -1.2, 3: 0.8}  # SDs by which the counts of A, B and A+B are off


def big_events():
    risk = expit(LEVELS)
    return {
        at: int(MANY[at] * risk[at] + sds * np.sqrt(MANY[at] * risk[at] * (1 - risk[at])))
        for at, sds in BIG_COUNTED.items()
    }


def batch_regression(columns, meant, members, events, n):
    """Fit one logistic regression to many cohorts; return coefficient and standard error of each."""
    x, y, size = columns[members], events[:, members], n[members]
    b = np.zeros((len(y), x.shape[1]))
    for _ in range(12):
        risk = expit(b @ x.T)
        inverse = np.linalg.inv(np.einsum("ai,ca,aj->cij", x, size * risk * (1 - risk), x))
        b = b + np.einsum("cij,aj,ca->ci", inverse, x, y - size * risk)
    return b[:, meant], np.sqrt(inverse[:, meant, meant])


@pytest.mark.slow
def test_law_given_the_counts_is_that_of_simulated_cohorts():
    events = big_events()
    study = parse_study(
        HEAD
        + "".join(arm(LABELS[at], int(MANY[at]), r) for at, r in events.items())
        + total("all", int(MANY.sum()), 500_000)
        + total("A", int(MANY[[0, 3, 4, 6]].sum()), 240_000)
        + ratio("sets", 'contrast = "A vs not A"')
        + ratio("arms", 'contrast = "A+C vs B"')
        + ratio("beside", 'contrast = "A x C | treatments"')
        + p_value("p", PRODUCT, "0.040", "+")
    )
    numbers = estimates_of(study)
    assert numbers.names == ("sets", "arms", "beside", "p", "events[all]", "events[A]")
    law = joint_distribution(np, numbers, LEVELS, None, None, MANY, 0.0)

    drawn = np.random.default_rng(7).binomial(MANY.astype(int), expit(LEVELS), (COHORTS, 7))
    for at, count in events.items():
        drawn[:, at] = count
    rows = []
    for kind, words in (
        ("sets", "A"),
        ("versus", ([{"A", "C"}], [{"B"}])),
        ("products", [("A", "C")]),
        ("product", ("A", "B")),
    ):
        coefficient, error = batch_regression(*columns_of(kind, words, SETS), drawn, MANY)
        rows.append(coefficient / error if kind == "product" else coefficient)
    rows += [drawn.sum(1), drawn[:, [0, 3, 4, 6]].sum(1)]

    sd = np.sqrt(np.diag(law.covariance))
    free = joint_distribution(
        np, estimates_of(parse_study(uncounted_twin(study))), LEVELS, None, None, MANY, 0.0
    )
    # The counts matter: they narrow every row and move most by half an SD or more.
    assert (sd < 0.97 * np.sqrt(np.diag(free.covariance))).all()
    assert np.sum(np.abs(law.mean - free.mean) / sd > 0.5) >= 4
    # Monte Carlo error of a mean is 1/√C = 0.007 SDs, of a correlation at most √2/√C = 0.01.
    np.testing.assert_allclose((np.mean(rows, 1) - law.mean) / sd, 0, atol=5 / np.sqrt(COHORTS))
    scale = np.outer(sd, sd)
    np.testing.assert_allclose(
        np.cov(rows) / scale, law.covariance / scale, atol=5 * np.sqrt(2 / COHORTS)
    )


def uncounted_twin(study):
    """Write the same printed numbers without any count."""
    return (
        HEAD
        + "".join(total(t.patients, t.n, t.events) for t in study.totals)
        + ratio("sets", 'contrast = "A vs not A"')
        + ratio("arms", 'contrast = "A+C vs B"')
        + ratio("beside", 'contrast = "A x C | treatments"')
        + p_value("p", PRODUCT, "0.040", "+")
    )


SMALL = (
    HEAD
    + arm("A", 60, 25)
    + arm("B", 210, 40)
    + arm("A+B", 110, 45)
    + total("all", 800, 220)
    + ratio("sets", 'contrast = "A vs not A"', 1.9, 0.17, adjusted=True)
)


@pytest.mark.slow
def test_counted_arms_are_binomial_and_claims_of_them_alone_are_no_evidence():
    study = parse_study(SMALL)
    more = parse_study(SMALL + ratio("counted", 'contrast = "A+B vs B"', 9.0))
    assert [c.id for c in more.reported_estimates] == ["sets", "counted"]
    assert estimates_of(more).names == estimates_of(study).names == ("sets", "events[all]")
    built, again = stated(study), stated(more)
    both = [m.compile_logp(mode="FAST_COMPILE") for m in (built, again)]
    counts = built.compile_logp(vars=built["events"], mode="FAST_COMPILE")
    rng = np.random.default_rng(3)
    for _ in range(3):
        point = {k: rng.normal(-0.5, 0.3, v.shape) for k, v in built.initial_point().items()}
        assert both[0](point) == both[1](point)
        # The intercept is the mean of all regimens of the cohort, also of those of unknown size.
        columns = [study.content(study.present), study.products(study.present)]
        effects = sum(x @ point[n] for x, n in zip(columns, ("beta", "gamma"), strict=True))
        every = point["alpha"] + effects - effects.mean()
        level = every[[study.present.index(arm) for arm in ("A", "B", "A+B")]]
        risk = averages(level, np.exp(point["sigma_log__"]))[0]
        expected = stats.binom.logpmf([25, 40, 45], [60, 210, 110], risk).sum()
        assert counts(point) == pytest.approx(expected, rel=1e-10)


# --- Sizes ------------------------------------------------------------------------------------------


def in_model(sizes):
    with pm.Model() as built:
        return built, declare_sizes(sizes)


def two_drugs():
    """A 60 and B 50 of 100, all four regimens allowed: one size is free, of both drugs 10 to 50."""
    head = HEAD.replace('C = { name = "drug C" }\n', "").replace('inclusion = "any(A, B, C)"\n', "")
    return head + total("all", 100) + total("A", 60) + total("B", 50) + SETS_RATIO


OVERLAPS = {
    "one dimension": two_drugs(),
    "two dimensions": HEAD
    + total("all", 400)
    + total("A", 150)
    + total("B", 200)
    + total("C", 180)
    + total("A and B", 60)
    + SETS_RATIO,
}


def test_sizes_of_a_partition_are_flat_dirichlet():
    study = parse_study(HEAD + TOTALS + SETS_RATIO)
    built, size = in_model(sizes_of(study))
    drawn = pm.draw([size, *built.free_RVs], 2000, random_seed=1, mode="FAST_COMPILE")
    size, with_a, without = drawn
    np.testing.assert_allclose(size.sum(1), 800)
    np.testing.assert_allclose(size[:, [0, 3, 4, 6]], 300 * with_a)
    np.testing.assert_allclose(size[:, [1, 2, 5]], 500 * without)
    for shares in (with_a, without):
        k = shares.shape[1]
        for share in shares.T:
            assert stats.kstest(share, stats.beta(1, k - 1).cdf).pvalue > 0.001
    density = built.compile_logp(mode="FAST_COMPILE")
    rng = np.random.default_rng(2)
    for _ in range(3):
        point = {k: rng.normal(size=v.shape) for k, v in built.initial_point().items()}
        expected = sum(shares_of(y)[1] for y in point.values())
        assert density(point) == pytest.approx(expected, rel=1e-10)


def polytope_functions(name):
    """Return sizes of a study with overlapping totals, and its transform both ways, compiled."""
    study = parse_study(OVERLAPS[name])
    sizes = sizes_of(study)
    built, size = in_model(sizes)
    (rv,) = built.free_RVs
    transform, y = built.rvs_to_transforms[rv], pt.dvector("y")
    inputs = rv.owner.inputs
    back = transform.backward(y, *inputs)
    function = pytensor.function(
        [y],
        [back, transform.forward(back, *inputs), transform.log_jac_det(y, *inputs)],
        mode="FAST_COMPILE",
    )
    return study, sizes.polytope, built, size, function


def test_overlapping_totals_hold_in_every_draw():
    for name in OVERLAPS:
        study, polytope, built, size, _ = polytope_functions(name)
        drawn = pm.draw(size, 500, random_seed=1, mode="FAST_COMPILE")
        assert drawn.min() > 0
        assert (np.ptp(drawn, axis=0) > 5).sum() >= 4
        for one in study.totals:
            inside = study.members(one.patients, study.present)
            np.testing.assert_allclose(drawn[:, inside].sum(1), one.n)
        assert polytope.basis.shape[1] == built.free_RVs[0].type.shape[0]


def _corners(polytope):
    """Find the corners of centre + basis · t ≥ 0, shape (corner, dimension)."""
    walls = np.column_stack([-polytope.basis, -polytope.centre])
    if walls.shape[1] == 2:
        ends = -polytope.centre / polytope.basis[:, 0]
        return np.array([ends[ends < 0].max(), ends[ends > 0].min()])
    return HalfspaceIntersection(walls, np.zeros(walls.shape[1] - 1)).intersections


@pytest.mark.parametrize("name", OVERLAPS)
def test_free_sizes_are_moved_into_the_polytope_and_back(name):
    _, polytope, built, _, function = polytope_functions(name)
    dimension = polytope.basis.shape[1]
    rng, step = np.random.default_rng(5), 1e-6
    for scale in (0.01, 0.5, 1.0, 2.0):
        for _ in range(5):
            y = scale * rng.normal(size=dimension)
            back, forth, log_jacobian = function(y)
            np.testing.assert_allclose(forth, y, rtol=1e-6, atol=1e-9)
            assert (polytope.centre + polytope.basis @ back > 0).all()
            moves = step * np.eye(dimension)
            numeric = [(function(y + e)[0] - function(y - e)[0]) / (2 * step) for e in moves]
            expected = np.log(abs(np.linalg.det(numeric)))
            assert log_jacobian == pytest.approx(expected, abs=1e-5)
    # The sampler's density is this Jacobian over the volume, so that sizes are uniform, and their
    # density integrates to 1: log evidence needs that. SciPy's volume is Qhull's.
    volume = np.ptp(_corners(polytope)) if dimension == 1 else ConvexHull(_corners(polytope)).volume
    density = built.compile_logp(mode="FAST_COMPILE")
    (value,) = built.value_vars
    for y in rng.normal(size=(3, dimension)):
        expected = function(y)[2] - np.log(volume)
        assert density({value.name: y}) == pytest.approx(expected, abs=0.01)
    assert np.isfinite(density(built.initial_point()))


def test_one_free_size_fills_its_whole_interval():
    _, _, _, _, function = polytope_functions("one dimension")
    # The four sizes move by ±1 together, so that an interval of 40 patients has length 40 · √4.
    mass, _ = integrate.quad(lambda y: np.exp(function(np.array([y]))[2]), -12, 12, points=[0])
    assert mass == pytest.approx(80, rel=1e-4)


def test_two_free_sizes_fill_the_whole_polygon():
    _, polytope, _, _, function = polytope_functions("two dimensions")
    # By polar coordinates in y; the area by the distance to the wall in each direction.
    angles = (np.arange(240) + 0.5) * 2 * np.pi / 240
    ways = np.column_stack([np.cos(angles), np.sin(angles)])
    wall = [1 / np.max(-(polytope.basis @ way) / polytope.centre) for way in ways]
    area = np.pi * np.mean(np.square(wall))
    nodes, weights = np.polynomial.legendre.leggauss(40)
    radii, weights = 6 * (nodes + 1), 6 * weights
    mass = sum(
        w * rho * np.mean([np.exp(function(rho * way)[2]) for way in ways[::12]]) * 2 * np.pi
        for rho, w in zip(radii, weights, strict=True)
    )
    coarse = np.pi * np.mean(np.square(wall[::12]))
    assert mass == pytest.approx(coarse, rel=1e-3)
    # Shoelace of the corners, found where two sizes vanish and no other is negative.
    corners_found = []
    for i, j in combinations(range(len(polytope.centre)), 2):
        pair = polytope.basis[[i, j]]
        if abs(np.linalg.det(pair)) > 1e-9:
            at = np.linalg.solve(pair, -polytope.centre[[i, j]])
            if (polytope.centre + polytope.basis @ at > -1e-9).all():
                corners_found.append(at)
    around = np.array(sorted(corners_found, key=lambda t: np.arctan2(t[1], t[0])))
    after = np.roll(around, -1, axis=0)
    shoelace = 0.5 * np.sum(around[:, 0] * after[:, 1] - around[:, 1] * after[:, 0])
    assert area == pytest.approx(shoelace, rel=1e-2)


# --- No totals --------------------------------------------------------------------------------------


def test_without_totals_claims_are_independent_normals():
    study = parse_study(
        HEAD
        + ratio("one", 'contrast = "A+B vs B"', 2.4, 0.27, adjusted=True)
        + ratio("two", 'contrast = "A vs not A"', 1.9, 0.17)
    )
    shares = SIZES / SIZES.sum()
    numbers = estimates_of(study)
    assert not numbers.sizes.are_known
    with pm.Model(coords=ReportedEvidence(numbers).coords()) as built:
        reported_likelihood.likelihood(
            numbers,
            pt.as_tensor(LEVELS),
            pt.as_tensor(0.8),
            pt.as_tensor(0.1),
            pt.as_tensor(shares),
            0.1,
        )
    assert [rv.name for rv in built.observed_RVs] == ["reported"]
    (risk, *_) = averages(LEVELS, 0.8)
    with_a = np.array(["A" in own for own in SETS])
    pooled = [np.average(risk[side], weights=shares[side]) for side in (with_a, ~with_a)]
    expected = [LEVELS[3] - LEVELS[1], logit(pooled[0]) - logit(pooled[1])]
    z = 2 * stats.norm.ppf(0.975)
    se = np.array([np.log(4.07 / 1.41) / z, np.log(2.65 / 1.36) / z])
    rounding = np.array([0.005 / 2.4, 0.005 / 1.9]) ** 2 / 3
    sd = np.sqrt(se**2 + rounding)
    found = built.compile_fn(built.observedlogp, mode="FAST_COMPILE")({})
    assert found == pytest.approx(
        stats.norm.logpdf(np.log([2.4, 1.9]), expected, sd).sum(), rel=1e-10
    )


@pytest.mark.slow
def test_a_study_without_totals_can_be_stated():
    study = parse_study(HEAD + ratio("one", 'contrast = "A+B vs B"', 2.4, 0.27))
    built = stated(study, "additive")
    assert [rv.name for rv in built.free_RVs] == ["alpha", "beta", "share_1"]
    density = built.compile_logp(mode="FAST_COMPILE")
    assert np.isfinite(density(built.initial_point()))


# --- Many draws at once -------------------------------------------------------------------------------


@pytest.mark.slow
def test_vectorised_values_are_pymcs_own(three):
    built = stated(three, "exchangeable")
    rng = np.random.default_rng(8)
    z = rng.normal(size=(2, 3, 3))
    draws = {
        "alpha": rng.normal(-1, 0.5, (2, 3)),
        "beta": rng.normal(0, 1, (2, 3, 3)),
        "mu": rng.normal(0, 0.3, (2, 3)),
        "tau": rng.gamma(2, 0.2, (2, 3)),
        "z": z - z.mean(2, keepdims=True),
    }
    dims = {"beta": ["treatment"], "z": ["pair"]}
    data = {name: (("chain", "draw", *dims.get(name, [])), v) for name, v in draws.items()}
    tree = xr.DataTree.from_dict(
        {"posterior": xr.Dataset(data, {k: list(built.coords[k]) for k in ("treatment", "pair")})}
    )
    flat = {name: values.reshape(6, *values.shape[2:]) for name, values in draws.items()}
    options = {"model": built, "progressbar": False, "compile_kwargs": {"mode": "FAST_COMPILE"}}
    log_likelihood = vectorise.log_densities(built, built.observed_RVs, flat)
    log_prior = vectorise.log_densities(built, built.free_RVs, flat)
    for own, theirs in (
        (
            vectorise.deterministics(built, flat),
            pm.compute_deterministics(tree["posterior"].to_dataset(), **options),
        ),
        (
            log_likelihood,
            pm.stats.compute_log_likelihood(tree, extend_inferencedata=False, **options),
        ),
        (
            log_prior,
            pm.stats.compute_log_prior(tree, extend_inferencedata=False, **options),
        ),
    ):
        assert set(own) == set(theirs.data_vars)
        for name, values in own.items():
            expected = theirs[name].values
            np.testing.assert_allclose(values.reshape(expected.shape), expected, rtol=1e-10)


# --- Sequential Monte Carlo ----------------------------------------------------------------------------

CHAINS, PARTICLES, STEPS = 4, 1000, 20
Y, COUNTS = np.array([1.2, 0.7, 1.9, 1.4]), np.array([3, 5, 2])


def two_bumps(library, x):
    bumps = [
        library.log(share) - 0.5 * ((x - at) / 0.3) ** 2 for share, at in ((0.3, -2.5), (0.7, 2.5))
    ]
    return library.logaddexp(*bumps)


@pytest.fixture(scope="module")
def particles():
    """Run once: a Normal mean and a Poisson rate under conjugate priors, and a target of two modes."""
    with pm.Model() as built:
        theta = pm.Normal("theta", 0.0, 2.0)
        rate = pm.Gamma("rate", alpha=3.0, beta=2.0)
        x = pm.Normal("x", 0.5, 2.0)
        pm.Normal("y", theta, 0.5, observed=Y)
        pm.Poisson("counts", rate, observed=COUNTS)
        pm.Potential("bumps", two_bumps(pt, x))
    rng, size = np.random.default_rng(4), CHAINS * PARTICLES
    prior = {
        "theta": rng.normal(0, 2, size),
        "rate": rng.gamma(3, 0.5, size),
        "x": rng.normal(0.5, 2, size),
    }
    return Sampler(built, prior, chains=CHAINS, particles=PARTICLES).run(STEPS, seed=1)


GRID = np.linspace(-9, 9, 90_001)
BUMPS = np.exp(two_bumps(np, GRID)) * stats.norm.pdf(GRID, 0.5, 2)


@pytest.mark.slow
def test_sequential_monte_carlo_finds_the_log_evidence(particles):
    shape, by = 3 + COUNTS.sum(), 2 + len(COUNTS)
    expected = (
        stats.multivariate_normal.logpdf(Y, np.zeros(4), 0.25 * np.eye(4) + 4.0)
        + gammaln(shape)
        - gammaln(3)
        + 3 * np.log(2)
        - shape * np.log(by)
        - gammaln(COUNTS + 1).sum()
        + np.log(integrate.trapezoid(BUMPS, GRID))
    )
    assert particles.log_evidence.shape == (CHAINS,)
    assert log_mean_exp(particles.log_evidence) == pytest.approx(expected, abs=0.1)


@pytest.mark.slow
def test_sequential_monte_carlo_finds_conjugate_posteriors(particles):
    shape, by = 3 + COUNTS.sum(), 2 + len(COUNTS)
    precision = 1 / 4 + len(Y) / 0.25
    expected = {
        "theta": (Y.sum() / 0.25 / precision, np.sqrt(1 / precision)),
        "rate": (shape / by, np.sqrt(shape) / by),
    }
    assert particles.steps == STEPS
    # 3000 particles a chain that are not all independent: counted as 500. Four errors.
    independent = 500 * CHAINS
    for name, (mean, sd) in expected.items():
        found = particles.draws[name]
        assert found.shape[0] == CHAINS
        assert found.mean() == pytest.approx(mean, abs=4 * sd / np.sqrt(independent))
        assert found.std() == pytest.approx(sd, rel=4 / np.sqrt(2 * independent))


@pytest.mark.slow
def test_sequential_monte_carlo_gives_two_modes_their_weights(particles):
    upper = integrate.trapezoid(BUMPS * (GRID > 0), GRID) / integrate.trapezoid(BUMPS, GRID)
    x = particles.draws["x"]
    assert (x > 0).mean() == pytest.approx(upper, abs=0.05)
    precision = 1 / 4 + 1 / 0.09
    for side in (-1, 1):
        own = x[side * x > 0]
        mean = (side * 2.5 / 0.09 + 0.5 / 4) / precision
        assert own.mean() == pytest.approx(mean, abs=0.03)
        assert own.std() == pytest.approx(1 / np.sqrt(precision), rel=0.1)


# --- Readings -----------------------------------------------------------------------------------------

DRAWS = 2000
SUBADDITIVE = LEVELS + np.array([1.6, 0, 0, -0.3, 0.8, 0, -0.8])


def posterior_of(study, level=LEVELS, n=SIZES):
    """Return a posterior that is one point, repeated."""
    shape = (1, DRAWS, len(level))
    return xr.Dataset(
        {
            "risk": (("chain", "draw", "arm"), np.broadcast_to(expit(level), shape)),
            "size": (("chain", "draw", "present"), np.broadcast_to(n, shape)),
        },
        {"arm": list(study.present), "present": list(study.present)},
    )


def prediction(text, means, level=LEVELS):
    """Predict what a second reading reads in another way; return it with study, mean and SD.

    Mean and SD are those of the conditional normal, all other rows given, by an inverse.
    """
    study = parse_study(
        text + interpretation("plain", default=True) + interpretation("other", means)
    )
    study = study.resolve("other")
    (found,) = predictions_of(study, prior_set("weak", study), posterior_of(study, level), seed=3)
    numbers = estimates_of(study)
    law = joint_distribution(np, numbers, level, None, None, SIZES, 0.0)
    data = numbers
    at = numbers.names.index(found.reported_estimate)
    given = [i for i in range(len(numbers.names)) if i != at]
    covariance = law.covariance + np.diag(data.rounding)
    inverse = np.linalg.pinv(covariance[np.ix_(given, given)])
    gain = covariance[at, given] @ inverse
    mean = law.mean[at] + gain @ (data.values[given] - law.mean[given])
    # A replicate is rounded as the reported number is.
    return found, mean, np.sqrt(covariance[at, at] - gain @ covariance[given, at])


def shown(name, value, sign):
    return p_value(name, 'contrast = "unspecified: synergy"', value, sign)


def two_sided(z):
    return 2 * ndtr(-abs(z))


@pytest.mark.parametrize(("sign", "side"), [("+", 1), ("-", -1)])
def test_prediction_of_a_p_value_is_the_conditional_normal(sign, side):
    text = HEAD + TOTALS + SETS_RATIO + ARM_RATIO + shown("p", "0.040", sign)
    level = LEVELS if side > 0 else SUBADDITIVE
    found, mean, sd = prediction(text, f"p = {{ {PRODUCT} }}", level)
    assert side * mean > 1  # else the p-values of the other side would count as 1
    # A median is off by 1.25/√draws SDs, an end of the interval by 2.7/√draws; five of them.
    off = 5 * sd / np.sqrt(DRAWS)
    assert two_sided(abs(mean) + 1.25 * off) < found.median < two_sided(abs(mean) - 1.25 * off)
    assert found.lower == pytest.approx(
        two_sided(abs(mean) + 1.96 * sd), rel=0.5 * (abs(mean) + 3 * sd)
    )
    value = side * deviate(0.04)
    below = ndtr((value - mean) / sd)
    assert found.tail == pytest.approx(min(below, 1 - below), rel=1e-6)
    assert found.as_reported == "p = 0.040"


def test_prediction_of_an_odds_ratio_is_the_conditional_normal():
    text = HEAD + TOTALS + SETS_RATIO + ratio("m", 'contrast = "A+C vs B"', 4.0, 0.4)
    found, mean, sd = prediction(text, 'm = { contrast = "A+B vs B" }')
    assert np.log(found.median) == pytest.approx(mean, abs=5 * 1.25 * sd / np.sqrt(DRAWS))
    for end, side in ((found.lower, -1), (found.upper, 1)):
        expected = mean + side * stats.norm.ppf(0.975) * sd
        assert np.log(end) == pytest.approx(expected, abs=5 * 2.7 * sd / np.sqrt(DRAWS))
    assert found.tail == pytest.approx(stats.norm.sf(np.log(4.0), mean, sd), rel=1e-6)


def conflict(text, means):
    """Compare the interpretation that `means` states with the numbers common to it and the default."""
    study = parse_study(
        text + interpretation("plain", default=True) + interpretation("other", means)
    ).resolve("other")
    return conflict_of(study, prior_set("weak", study), posterior_of(study), seed=3)


@pytest.mark.parametrize(("value", "contradicted"), [("0.001", False), ("0.300", True)])
def test_a_p_value_that_an_odds_ratio_determines_adds_nothing_or_contradicts_it(
    value, contradicted
):
    text = HEAD + TOTALS + ARM_RATIO + shown("p", value, "+")
    found = conflict(text, 'p = { contrast = "A+B vs B" }')
    assert found.is_incompatible is contradicted
    assert len(found.predictions) == contradicted
    if contradicted:
        assert found.tail == 0
        (shown_as,) = found.predictions
        # The standard error of the printed interval.
        expected = two_sided(np.log(2.4) / 0.27)
        assert shown_as.median == pytest.approx(expected, rel=0.05)
    else:
        assert np.isnan(found.tail)
        assert "adds no information" in str(found)


FOUR = (
    ratio("b", 'contrast = "A+C vs B"', 3.0, 0.35)
    + ratio("c", 'contrast = "A+B vs C"', 2.5, 0.35)
    + ratio("d", 'contrast = "A+C vs C"', 3.75, 0.35)
)


@pytest.mark.parametrize(("value", "contradicted"), [(2.0, False), (3.0, True)])
def test_a_number_that_follows_from_common_ones_adds_nothing_or_contradicts_them(
    value, contradicted
):
    # a = b · c / d = 2 under the interpretation.
    text = HEAD + TOTALS + ratio("a", 'contrast = "A vs not A"', value, 0.3) + FOUR
    found = conflict(text, 'a = { contrast = "A+B vs B" }')
    assert found.is_incompatible is contradicted
    if contradicted:
        assert found.tail == 0
        assert [one.reported_estimate for one in found.predictions] == ["d"]
        assert found.predictions[0].median == pytest.approx(3.0 * 2.5 / value)
    else:
        assert np.isnan(found.tail)
        assert found.predictions == ()


@pytest.mark.parametrize("value", ["0.040", '"<0.05"'])
def test_a_p_value_without_sign_is_as_far_out_on_either_side(value):
    # The product is predicted at a deviate of about −2, of which p = 0.04 says nothing odd.
    level = SUBADDITIVE
    text = HEAD + TOTALS + SETS_RATIO + ARM_RATIO + shown("p", value, "")
    found, mean, sd = prediction(text, f"p = {{ {PRODUCT} }}", level)
    assert mean < -1
    z = deviate(0.04 if value == "0.040" else 0.05)
    beyond = ndtr((-z - mean) / sd) + ndtr((mean - z) / sd)
    expected = beyond if "<" in value else min(beyond, 1 - beyond)
    assert found.tail == pytest.approx(expected, rel=1e-6)


def test_a_prediction_far_below_a_bound_does_not_contradict_it():
    level = LEVELS + np.array([0, 0, 0, 2.2, 0, 0, 2.2])
    text = HEAD + TOTALS + SETS_RATIO + shown("p", '"<0.05"', "+")
    found, mean, sd = prediction(text, f"p = {{ {PRODUCT} }}", level)
    assert mean > 5
    assert found.tail == pytest.approx(stats.norm.sf(deviate(0.05), mean, sd), rel=1e-6)
    assert found.tail > 0.99


ADJUSTED_RATIO = ratio("ratio", 'contrast = "A+B vs B"', 2.1, 0.27, "one", adjusted=True)


@pytest.mark.parametrize(
    ("as_reported", "availability"),
    [
        ('value = "<0.05"', "not identified"),
        ('value = "<0.05"\nsign = "+"', "not identified"),
        ("value = 0.03", "not identified"),
        ('value = 0.03\nsign = "+"', "identified"),
    ],
)
def test_a_part_of_the_line_does_not_determine_a_coefficient(as_reported, availability):
    reported_estimate = (
        f'[[reported]]\nid = "p"\nkind = "p_value"\n{PRODUCT}\n{as_reported}\nsource = "made up"\n'
    )
    text = HEAD + total("all", 400, 120) + ADJUSTED_RATIO + reported_estimate
    study = parse_study(text)
    estimands = {
        code(e): e for e in enumerate_estimands(study, MODELS["interaction"], resolve(study))
    }
    point = Point(np.linspace(-2, 1, len(study.regimens)))
    assert (
        status_text(Determination(study, point, resolve(study)).of(estimands["product[A:B]"]))
        == availability
    )
    assert (
        status_text(
            Determination(study, point, resolve(study)).of(estimands["odds_ratio[A+B vs B]"])
        )
        == "identified"
    )


def test_without_totals_a_loss_is_not_asked_for_and_shifts_count():
    other = ratio("other", 'contrast = "A+C vs C"', 1.5, 0.2, "two", adjusted=True)
    study = parse_study(HEAD + ADJUSTED_RATIO + other)
    numbers = reported.estimates_of(study)
    assert "loss" not in parameters_of(resolve(study))
    arms = np.full(len(study.present), -1.0)
    law = joint_distribution(np, numbers, arms, 0.5, None, np.ones(len(arms)), 0.1)
    errors = [
        reported.standard_error(reported_estimate) for reported_estimate in numbers.with_interval
    ]
    np.testing.assert_allclose(law.covariance, np.diag(np.square(errors) + 0.1**2))
    built = build(study, MODELS["interaction"], prior_set("weak", study))
    assert "loss" not in {rv.name for rv in built.free_RVs}


def test_the_coefficient_of_a_crude_number_is_not_called_conditional():
    text = HEAD + total("all", 400, 120) + ADJUSTED_RATIO + SETS_RATIO
    study = parse_study(text)
    (own,) = [
        e
        for e in enumerate_estimands(study, MODELS["interaction"], resolve(study))
        if e.reported_estimate
    ]
    risk = xr.DataArray(np.zeros((1, 1)), dims=("chain", "draw"), attrs={"risk_kind": "implied"})
    risk_draws = xr.Dataset({"risk": risk, "conditional_risk": risk, "log_ratio": risk})
    assert own.risk_kind(risk_draws) == "crude"
