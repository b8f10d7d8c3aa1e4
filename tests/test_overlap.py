"""Overlap of patients: what is compared, who hardly ever gets a regimen, and what is said of it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm

from cotreat import audit, parse_study
from cotreat.audit.overlap import MOST_RARE, RARE, UNLIKE, overlap_of, propensities
from cotreat.study.covariate_patterns import CovariatePatterns, DesignColumn, StratumRegimens
from tests.test_patients import TEXT, frame, study  # noqa: F401 - fixtures

REFERENCE = Path(__file__).parent / "reference"


def made(took, **columns):
    """Make cells of one patient each, whose covariates are all that stands in `columns`."""
    values = np.column_stack(list(columns.values())).astype(float)
    mean = values.mean(0)
    known = tuple(DesignColumn(name, m, 1.0, name) for name, m in zip(columns, mean, strict=True))
    none = np.zeros(len(took), int)
    return CovariatePatterns(
        (StratumRegimens("", tuple(took)),),
        known,
        values - mean,
        (),
        none,
        none + 1,
        none,
        len(took),
        (),
        0,
    )


def regimen_of(rows):
    return np.where(rows.a & rows.b, "A+B", np.where(rows.a, "A", "B"))


# --- How alike patients are ------------------------------------------------------------------------


def test_standardised_differences_are_those_of_the_formulas(study, frame):  # noqa: F811
    # Austin, Stat Med 2009;28:3083: (m1 - m2) / sqrt((s1² + s2²) / 2), p (1 - p) of binary ones.
    balance = overlap_of(study.patterns).balance.set_index(["covariate", "regimen"])
    took = regimen_of(frame)
    columns = {
        "age": frame.age,
        "female": frame.female,
        "class=V": (frame["class"] == "V").astype(float),
        "cluster=south": (frame.hospital == "south").astype(float),
    }
    for name, values in columns.items():
        ddof = int(name == "age")
        for regimen in ("A", "B", "A+B"):
            own, others = values[took == regimen], values[took != regimen]
            spread = np.sqrt((own.var(ddof=ddof) + others.var(ddof=ddof)) / 2)
            row = balance.loc[name, regimen]
            assert row["mean"] == pytest.approx(own.mean())
            assert row.others == pytest.approx(others.mean())
            assert row.difference == pytest.approx((own.mean() - others.mean()) / spread)


def test_largest_difference_is_that_of_two_regimens(study, frame):  # noqa: F811
    took, found = regimen_of(frame), {}
    for one, two in (("A", "B"), ("A", "A+B"), ("B", "A+B")):
        first, second = frame.age[took == one], frame.age[took == two]
        apart = (first.mean() - second.mean()) / np.sqrt((first.var() + second.var()) / 2)
        found[frozenset((one, two))] = abs(apart)
    row = overlap_of(study.patterns).balance.query("covariate == 'age'").iloc[0]
    assert row.largest_pairwise == pytest.approx(max(found.values()))
    assert found[frozenset(row.pairwise_between.split(" and "))] == max(found.values())


def test_cells_and_patients_one_by_one_are_the_same(study, frame):  # noqa: F811
    alone = parse_study(TEXT, patients=frame.assign(age=frame.age + 1e-9 * frame.id))
    assert len(alone.patterns.n) > len(study.patterns.n)
    one, two = (
        overlap_of(s.patterns).balance.sort_values(["covariate", "regimen"]) for s in (study, alone)
    )
    np.testing.assert_allclose(one.difference, two.difference, atol=1e-6)
    one, two = (overlap_of(s.patterns).regimens.sort_values("regimen") for s in (study, alone))
    np.testing.assert_allclose(one.lowest, two.lowest, atol=1e-6)


def test_a_covariate_that_settles_the_regimen_differs_endlessly():
    took = np.repeat(["A", "B", "A+B"], 50)
    found = overlap_of(made(took, old=(took == "A").astype(int)))
    rows = found.balance.set_index("regimen")
    assert rows.difference["A"] == np.inf
    assert rows.largest_pairwise["B"] == np.inf
    assert found.is_unlike
    assert found.most_unlike.regimen == "A"


def test_what_chance_makes_of_unrelated_covariates_is_allowed():
    # 100 tables of 3 regimens × 3 covariates drawn apart from the regimens: under plain 0.25 about half
    # of them would be called unlike, and with what chance makes 5 % (Bonferroni, a little fewer).
    rng = np.random.default_rng(3)
    plain = unlike = 0
    for _ in range(100):
        took = np.repeat(["A", "B", "A+B"], (150, 120, 30))
        found = overlap_of(made(took, **{name: rng.normal(size=300) for name in "xyz"}))
        plain += found.balance.difference.abs().max() > UNLIKE
        unlike += found.is_unlike
    assert plain > 30
    assert unlike <= 13  # so are 99.9 % of Binomial(100, 0.05)


def test_a_real_difference_is_not_put_down_to_chance():
    rng = np.random.default_rng(4)
    took = np.repeat(["A", "B", "A+B"], (1500, 1200, 300))
    found = overlap_of(made(took, age=rng.normal(size=3000) + 0.5 * (took == "A+B")))
    assert found.is_unlike
    assert (found.most_unlike.covariate, found.most_unlike.regimen) == ("age", "A+B")
    assert found.most_unlike.difference == pytest.approx(0.5, abs=0.15)


# --- Who gets what ---------------------------------------------------------------------------------


def test_probabilities_are_those_of_statsmodels(frame):  # noqa: F811
    columns = np.column_stack([(frame.age - 40) / 10, frame.female - 0.8])
    took = pd.Categorical(regimen_of(frame))
    peer = sm.MNLogit(took.codes, sm.add_constant(columns)).fit(disp=False, tol=1e-12)
    found = propensities(columns, np.eye(3)[took.codes], ridge=1e-9)
    np.testing.assert_allclose(found, peer.predict(), atol=1e-6)


def test_probabilities_under_the_ridge_are_those_of_nnet():
    # tests/reference/overlap.R: weights of all regimens by nnet, decay on all but the intercepts.
    rows = pd.read_csv(REFERENCE / "patients.csv")
    peer = pd.read_csv(REFERENCE / "overlap_nnet.csv")
    columns = rows[[f"x{i}" for i in range(1, 7)]].to_numpy()
    columns = np.hstack([columns - columns.mean(0), pd.get_dummies(rows.hospital).to_numpy(float)])
    took = pd.Categorical(rows.a.astype(str) + rows.b.astype(str) + rows.c.astype(str))
    assert list(took.categories) == [name.removeprefix("p") for name in peer]
    found = propensities(columns, np.eye(len(took.categories))[took.codes])
    np.testing.assert_allclose(found, peer.to_numpy(), atol=2e-5)


def test_counts_weigh_as_rows_do():
    rng = np.random.default_rng(5)
    columns, counts = rng.normal(size=(20, 2)), rng.integers(0, 9, (20, 4))
    took = np.repeat(np.tile(np.eye(4), (20, 1)), counts.ravel(), axis=0)
    rows = np.repeat(columns, counts.sum(1), axis=0)
    np.testing.assert_allclose(
        propensities(columns, counts.astype(float)),
        propensities(rows, took)[np.r_[0, counts.sum(1).cumsum()[:-1]]],
        atol=1e-7,
    )


def test_shares_are_those_of_a_known_assignment():
    # Regimen by age alone, logit P(A+B) = 3 age - 2 against A and B alike: P(A+B) < 0.02 where
    # age < (logit 0.02 + 2 + log 2) / 3, which 100,000 patients put within 0.01.
    rng = np.random.default_rng(6)
    age = rng.normal(size=100_000)
    odds = np.exp(3 * age - 2)
    both = rng.random(age.size) < odds / (2 + odds)
    took = np.where(both, "A+B", np.where(rng.random(age.size) < 0.5, "A", "B"))
    found = overlap_of(made(took, age=age.round(2)))
    rows = found.regimens.set_index("regimen")
    bound = (np.log(0.02 / 0.98) + 2 + np.log(2)) / 3
    assert rows.rare["A+B"] == pytest.approx((age < bound).mean(), abs=0.01)
    assert rows.share["A+B"] == pytest.approx(both.mean())
    assert found.rarest.regimen == "A+B"
    assert found.is_rare


def test_separation_gives_finite_small_probabilities():
    took = np.repeat(["A", "B", "A+B"], 100)
    found = overlap_of(made(took, old=(took == "A+B").astype(int)))
    rows = found.regimens.set_index("regimen")
    # The others' 200 patients hardly ever get A+B, and the 100 of A+B hardly ever anything else.
    assert rows.rare["A+B"] == pytest.approx(2 / 3)
    assert rows.rare["A"] == rows.rare["B"] == pytest.approx(1 / 3)
    assert 0 < rows.lowest["A+B"] < RARE
    assert np.isfinite(rows.lowest).all()


@pytest.mark.parametrize("few", [30, 48, 80])
def test_what_chance_alone_makes_rare_is_told(few):
    # 793 patients with columns drawn apart from the regimen: the mean share over 40 cohorts, 18, 2 and 0 %.
    rng = np.random.default_rng(7)
    took = np.repeat(["A", "B", "A+B"], (793 - few - 300, 300, few))
    shares = []
    for _ in range(40):
        columns = {f"x{i}": rng.normal(size=793).round(3) for i in range(9)}
        shares.append(overlap_of(made(took, **columns)).regimens.set_index("regimen").loc["A+B"])
    found = pd.DataFrame(shares)
    assert found.chance.mean() == pytest.approx(found.rare.mean(), rel=0.3, abs=0.01)


def test_subgroups_are_looked_at_by_themselves():
    # Within a subgroup the numbers are those of its patients alone; one with a single regimen is left out.
    rng = np.random.default_rng(8)
    took, x = rng.choice(["A", "B", "A+B"], 300), rng.normal(size=300)
    alone = overlap_of(made(took, x=x))
    more = np.r_[took + " | sex=f", np.repeat(["A | sex=m", "B | sex=m"], 40), ["A | sex=x"] * 5]
    shift = np.r_[np.zeros(40), np.ones(40), np.full(5, 9)]
    found = overlap_of(made(more, x=np.r_[x, shift]))
    women = found.regimens[found.regimens.regimen.str.endswith("sex=f")]
    for name in ("patients", "share", "rare", "chance", "lowest"):
        np.testing.assert_allclose(women[name], alone.regimens[name], rtol=1e-6)
    rows = found.balance[found.balance.regimen.str.endswith("sex=f")]
    np.testing.assert_allclose(rows.difference, alone.balance.difference, atol=1e-9)
    np.testing.assert_allclose(rows["mean"], alone.balance["mean"], atol=1e-9)
    assert found.most_unlike.difference == pytest.approx(-np.inf)
    assert set(found.regimens.regimen) == set(more) - {"A | sex=x"}
    words = (
        "50% of the patients of its subgroup have an estimated probability below 0.02 of A | sex=m"
    )
    assert words in str(found)


# --- What is said ----------------------------------------------------------------------------------


def test_good_overlap_is_said(study):  # noqa: F811
    words = str(overlap_of(study.patterns))
    assert words.startswith(
        "Overlap: no patient has an estimated probability below 0.02 of any regimen. The largest "
        "standardised difference of a regimen's patients from all others is "
    )
    assert words in audit(study)
    assert "not checked" not in audit(study)


def test_bad_overlap_names_share_and_regimen():
    took = np.repeat(["A", "B", "A+B"], 100)
    words = str(overlap_of(made(took, old=(took == "A+B").astype(int))))
    assert words.startswith(
        "Overlap: 67% of these patients have an estimated probability below 0.02 of A+B, which 33% received "
        "(2 more regimens are rare for more than 5%), more than the 5% allowed: for them its standardised risk"
    )
    assert "is inf (old, A+B), more than the " in words
    assert MOST_RARE == 0.05


def test_a_study_of_counts_has_no_overlap_to_tell(three):
    assert "Overlap" not in audit(three)
