"""Verdicts per pair and scale (S13, S14), and interpretations compared by a joint predictive tail (S7)."""

import re
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from scipy.special import expit, ndtr
from scipy.stats import chi2

from cotreat import StudyError, parse_study
from cotreat.cli.summary import text_of
from cotreat.core.constants import FIXED, IDENTIFIED, NOT_IDENTIFIED
from cotreat.evidence.joint_distribution import joint_distribution
from cotreat.evidence.reported import estimates_of
from cotreat.priors.sets import prior_set
from cotreat.report.conclusion import Alternative, assessments, conclude
from cotreat.report.lines import four_lines, sensitivity_table, verdict
from cotreat.report.question import Question
from tests import test_reported_likelihood as reported_file
from tests.codes import codes
from tests.conftest import table_of
from tests.faults.test_table import TWO_BY_TWO, normal_table

NAN = float("nan")


# --- Studies made to be each verdict ---------------------------------------------------------------


def study_of(counts, more=""):
    """Return the 2×2 study with patients and events of none, A, B and A+B."""
    text = TWO_BY_TWO
    for n, events in counts:
        text = re.sub(r"n = 100\nevents = \d+", f"n =  {n}\nevents = {events}", text, count=1)
    return parse_study(text + more)


def summarised(counts, more=""):
    """Summarise exact posteriors from independent uniform priors: beta distributions of the four risks."""
    study, rng = study_of(counts, more), np.random.default_rng(5)

    def draws(shape, first, second):
        return xr.DataArray(
            rng.beta(first, second, (*shape, 4)),
            dims=("chain", "draw", "arm"),
            coords={"arm": list(study.counted)},
            attrs={"risk_kind": "crude"},
        )

    before = draws((1, 20_000), 1, 1)
    after = draws((4, 2000), study.events + 1, study.n - study.events + 1)
    return study, table_of(study, "saturated", before, after)


def verdicts_of(counts, more="", **given):
    """Return the verdict on each scale in words, by scale."""
    study, table = summarised(counts, more)
    found = conclude(Question.of(study), table, **given)
    return {one.scale: str(one.verdict) for one in found.assessments}


def test_s14_a_study_that_supports_synergy_on_every_scale():
    found = verdicts_of([(2000, 200), (2000, 220), (2000, 220), (2000, 1200)])
    assert set(found.values()) == {"supported, for synergy"}


def test_s14_a_study_that_supports_the_opposite():
    found = verdicts_of([(2000, 200), (2000, 700), (2000, 700), (2000, 300)])
    assert set(found.values()) == {"supported, against synergy"}


def test_s14_a_study_that_practically_excludes_an_interaction_on_one_scale():
    # Odds ratios 1.33 and 1.33² = 1.78 at a risk of 0.2: no product term. The log ratio of odds ratios has SE
    # √Σ 1/(n p (1 − p)) = 0.033, so that ±0.223 is 6.7 SE away; the ratio of risk ratios is 0.985.
    counts = [(20_000, 4000), (20_000, 5000), (20_000, 5000), (20_000, 6154)]
    found = verdicts_of(counts)
    assert found["multiplicative odds"] == "practically excluded"
    assert found["multiplicative risks"] == "practically excluded"
    # RERI has no margin, and cannot be excluded. Odds ratio 1.78 is expected 1.67 when excess odds ratios add.
    assert found["RERI from odds ratios"].startswith(("inconclusive", "supported, for synergy"))
    # A narrower margin of the study file excludes nothing: 0.97 to 1.03 is within 1 SE.
    own = verdicts_of(counts, "[margins]\nror = [0.97, 1.03]\n")
    assert own["multiplicative odds"] == "inconclusive"


def test_s14_few_patients_are_inconclusive():
    found = verdicts_of([(60, 12), (60, 18), (60, 17), (60, 26)])
    assert set(found.values()) == {"inconclusive"}


def test_s14_an_interaction_that_exists_and_is_too_small_to_matter():
    # 2,000,000 patients in each regimen, ratio of odds ratios 1.04: 8 SE above 1, inside 0.8 to 1.25.
    counts = [(2_000_000, n) for n in (400_000, 500_000, 500_000, 623_000)]
    assert (
        verdicts_of(counts)["multiplicative odds"]
        == "supported, for synergy, but inside the margin"
    )


def test_s14_default_margins_of_differences_follow_the_lowest_risk():
    # Lowest posterior median risk about 0.02, a quarter of it 0.005; with risks near one half 0.05.
    _, rare = summarised([(20_000, 400), (20_000, 500), (20_000, 500), (20_000, 600)])
    _, common = summarised([(200, 90), (200, 95), (200, 100), (200, 105)])
    for table, half in ((rare, 0.005), (common, 0.05)):
        row = table[(codes(table) == "ic[A:B]") & table.probability.notna()].iloc[0]
        assert row.get("margin_upper", NAN) == pytest.approx(half, rel=0.02)
        assert row.get("margin_lower", NAN) == pytest.approx(-half, rel=0.02)
        assert row.get("margin") == "default"


def test_s14_margins_of_a_study_file_are_checked():
    for text, words in (("ror = [1.1, 1.25]", "margins.ror"), ("ic = [0.05, 0.1]", "margins.ic")):
        with pytest.raises(StudyError, match=words):
            parse_study(TWO_BY_TWO + f"[margins]\n{text}\n")


# --- The rule, on numbers --------------------------------------------------------------------------


def said(probability, error=0.0, inside=NAN, inside_error=0.0, prior_inside=0.35, **more):
    from cotreat.results.verdict import Finding, verdict_of

    rivals = more.pop("rivals", ())
    status = more.pop("status", IDENTIFIED)
    finding = Finding(status, probability, error, inside, inside_error, prior_inside, **more)
    return str(verdict_of(finding, [Finding(*rival) for rival in rivals]))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (said(NAN, status=FIXED), "not estimable"),
        (said(0.99, is_reliable=False), "not assessed"),
        (said(0.5, status=NOT_IDENTIFIED), "not identified (by model and prior: inconclusive)"),
        (said(0.975), "supported, for synergy"),
        (said(0.9749), "inconclusive"),
        (said(0.025), "supported, against synergy"),
        (said(0.9, inside=0.95), "practically excluded"),
        (said(0.9, inside=0.95, prior_inside=0.80), "practically excluded"),
        (
            said(0.9, inside=0.95, prior_inside=0.81),
            "inconclusive, the margin is too wide for this risk",
        ),
        # ISIS-2's ratio of odds ratios: P(inside) 0.949 to 0.954 over seeds.
        (said(0.72, 0.006, 0.951, 0.0025), "inconclusive, at the threshold"),
        (said(0.72, 0.006, 0.957, 0.0025), "practically excluded"),
        (said(0.976, 0.001), "inconclusive, at the threshold"),
        (said(0.978, 0.001), "supported, for synergy"),
        (said(0.976, 0.001, 0.99, 0.001), "practically excluded, at the threshold"),
    ],
)
def test_s14_the_first_verdict_that_holds(given, words):
    assert given == words


def test_s14_a_verdict_under_another_interpretation():
    for_synergy, open_ = (IDENTIFIED, 0.99), (IDENTIFIED, 0.6)
    assert said(0.99, rivals=[for_synergy]) == "supported, for synergy"
    assert said(0.99, rivals=[for_synergy, open_]) == "inconclusive, depends on interpretation"
    assert said(0.99, rivals=[(NOT_IDENTIFIED, 0.99)]) == "inconclusive, depends on interpretation"
    assert said(0.5, inside=0.97, rivals=[open_]) == "inconclusive, depends on interpretation"
    assert said(0.5, rivals=[for_synergy]) == "inconclusive"
    assert said(0.99, status=NOT_IDENTIFIED, rivals=[(NOT_IDENTIFIED, 0.5)]) == (
        "not identified (by model and prior: inconclusive, depends on interpretation)"
    )
    # Without a verdict of its own, because its diagnostics failed, it contradicts nothing.
    assert said(0.99, rivals=[(IDENTIFIED, 0.5, 0, NAN, 0, NAN, False)]) == "supported, for synergy"


def test_s14_contradictory_interpretations_of_a_study():
    study, table = summarised([(2000, 200), (2000, 220), (2000, 220), (2000, 1200)])
    _, other = summarised([(60, 12), (60, 18), (60, 17), (60, 26)])
    rival = Alternative(("rival", "saturated", "weak"), other)
    found = conclude(Question.of(study), table, alternatives=[rival])
    assert verdict(found) == "Inconclusive, depends on interpretation"
    aside = conclude(Question.of(study), table, alternatives=[rival], incompatible=["rival"])
    assert verdict(aside) == "Supported, for synergy"
    # Sensitivity has directions and one denominator.
    row = sensitivity_table(found).iloc[0]
    assert (row["other choices"], row["inconclusive"], row["supported, for synergy"]) == (1, 1, 0)


def test_s14_failed_checks_leave_no_verdict():
    study, table = summarised([(2000, 200), (2000, 220), (2000, 220), (2000, 1200)])
    found = conclude(Question.of(study), table, failed=["R-hat: 1.7"])
    assert verdict(found) == "Not assessed: diagnostics failed"
    assert not found.assessments


def test_s14_identification_is_that_of_each_scale():
    # Of one pair only the ratio of odds ratios is identified: today the status of the first row is that of all,
    # or the other scales are not shown.
    study, table = summarised([(2000, 200), (2000, 220), (2000, 220), (2000, 1200)])
    is_ratio = table.measure == "ror"
    mixed = table.assign(status=np.where(is_ratio, IDENTIFIED, NOT_IDENTIFIED))
    found = {one.scale: one.identified for one in assessments(mixed)}
    assert found.pop("multiplicative odds")
    assert list(found.values()) == [False] * 4
    text = " ".join(map(str, four_lines(conclude(Question.of(study), mixed))))
    assert "on the scale multiplicative odds" in text
    assert "not identified (prior-dependent)" in text


def test_s13_the_text_has_a_line_per_scale_and_counts_none():
    table = normal_table(0.5)
    study = parse_study(TWO_BY_TWO)
    found = conclude(Question.of(study), table)
    fit = SimpleNamespace(
        model="interaction", interpretation="default", summary=table, conflict=None
    )
    fit.failed = fit.cautions = fit.caveats = ()
    done = SimpleNamespace(study=study, primary=fit, results=[fit], conclusion=found, refused={})
    done.report = "report.html"
    text = text_of(done)
    assert not re.search(r"\d of \d (scales|families|senses)", text)
    for scale in ("additive", "RERI from odds ratios", "multiplicative odds", "Bliss independence"):
        lines = re.findall(rf"^.*drug A with drug B, {scale}: .*$", text, re.MULTILINE)
        assert len(lines) == 1, scale


# --- Interpretations -------------------------------------------------------------------------------


def added(text, means, offset=0.0):
    """Return the joint tail of what a second interpretation adds, from a posterior of one or two points.

    Besides, deviations of the added numbers from their conditional normal distribution in SDs, computed by an
    inverse of the joint covariance.
    """
    from cotreat.evidence.joint_tail import joint_tail

    file = reported_file
    plain, other = file.interpretation("plain", default=True), file.interpretation("other", means)
    study = parse_study(file.HEAD + file.TOTALS + text + plain + other).resolve("other")
    levels = file.LEVELS + offset * np.eye(len(file.LEVELS))[3]
    shape = (1, 1000, len(levels))
    posterior = xr.Dataset(
        {
            "risk": (("chain", "draw", "arm"), np.broadcast_to(expit(levels), shape)),
            "size": (("chain", "draw", "present"), np.broadcast_to(file.SIZES, shape)),
        },
        {"arm": list(study.present), "present": list(study.present)},
    )
    tail = joint_tail(study, prior_set("weak", study), posterior, seed=2)
    numbers = estimates_of(study)
    joint = joint_distribution(np, numbers, levels, None, None, file.SIZES, 0.0)
    covariance = joint.covariance + np.diag(numbers.rounding)
    first = study.resolve("plain").reported_estimates
    unused = {one.id for one in first if one.meaning is None}
    new = [at for at, name in enumerate(numbers.names) if name in unused]
    known = [at for at in range(len(numbers.names)) if at not in new]
    gain = covariance[np.ix_(new, known)] @ np.linalg.pinv(covariance[np.ix_(known, known)])
    mean = joint.mean[new] + gain @ (numbers.values[known] - joint.mean[known])
    rest = covariance[np.ix_(new, new)] - gain @ covariance[np.ix_(known, new)]
    return tail, numbers.values[new] - mean, rest


PLAIN = reported_file.SETS_RATIO + reported_file.ARM_RATIO
ONE = PLAIN + reported_file.shown("p", "0.040", "+")
TWO = ONE + reported_file.shown("q", "0.30", "+")
USED = f"p = {{ {reported_file.PRODUCT} }}"
BOTH = f"{USED}\nq = {{ {reported_file.OTHER_PRODUCT} }}"


@pytest.mark.parametrize("offset", [0.0, -0.5, -1.0])
def test_s7_the_tail_of_one_number_is_that_of_a_normal(offset):
    # Box 1980: of a normal distribution P(p(y_rep) ≤ p(y)) is the two-sided tail. 8,000 replicates: SE ≤ 0.0056.
    tail, off, covariance = added(ONE, USED, offset)
    expected = 2 * ndtr(-abs(off[0]) / np.sqrt(covariance[0, 0]))
    assert tail == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("offset", [0.0, -0.5])
def test_s7_the_tail_of_two_numbers_is_joint(offset):
    tail, off, covariance = added(TWO, BOTH, offset)
    assert len(off) == 2
    expected = chi2(2).sf(off @ np.linalg.solve(covariance, off))
    assert tail == pytest.approx(expected, abs=0.02)


def test_s7_a_p_value_that_is_a_range_has_a_mass():
    # The range z > 1.96 has the mass m, its complement 1 − m: if m is the smaller, the tail is m, otherwise 1.
    text = PLAIN + reported_file.shown("p", '"<0.05"', "+")
    tail, off, covariance = added(text, USED)
    mass = ndtr(-off[0] / np.sqrt(covariance[0, 0]))
    assert tail == pytest.approx(mass if mass < 0.5 else 1.0, abs=0.02)


def test_s7_an_interpretation_that_adds_nothing_has_no_tail():
    from cotreat.evidence.joint_tail import joint_tail

    file = reported_file
    both = file.interpretation("plain", default=True) + file.interpretation("other", USED)
    study = parse_study(file.HEAD + file.TOTALS + ONE + both)
    assert np.isnan(joint_tail(study, prior_set("weak", study), xr.Dataset(), seed=1))


def test_s7_numbers_of_several_meanings_are_not_common():
    from cotreat import load_study
    from cotreat.evidence.joint_tail import common_study

    common = common_study(load_study("sun2024"))
    used = {one.id for one in common.reported_estimates if one.meaning is not None}
    assert used == {"tac", "tac-cyc-vs-cyc", "tac-mmf-vs-mmf", "dose", "duration"}


def test_s7_incompatible_below_a_tail_of_one_in_a_hundred():
    # Tails of the tacrolimus cohort: abstract-wording 0.001 and four-set-products 0.004, both incompatible.
    from cotreat.sensitivity.interpretations import Conflict

    for tail, is_incompatible in ((0.001, True), (0.004, True), (0.0101, False), (NAN, False)):
        found = Conflict("other", tail)
        assert found.is_incompatible == is_incompatible
        assert "log evidence" not in str(found)
        assert "against the default" not in str(found)
