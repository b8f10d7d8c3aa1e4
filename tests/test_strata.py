"""Levels of treatments and subgroups: what is read, refused, counted and stated."""

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats
from scipy.special import expit

from cotreat import StudyError, audit, load_study, parse_study
from cotreat.core.errors import ModelError
from cotreat.diagnostics.checks import checks, failures
from cotreat.estimands.enumerate import counted_co_treatment, enumerate_estimands
from cotreat.estimands.estimand import risk_draws_of
from cotreat.evidence import joint_distribution, reported
from cotreat.evidence.logistic_operator import averages
from cotreat.evidence.resolve import resolve
from cotreat.frequentist.g_computation import fit_adjusted
from cotreat.frequentist.intervals import intervals
from cotreat.frequentist.logistic import fit_likelihood
from cotreat.inference.sampling import fit_of
from cotreat.models.build import build
from cotreat.models.registry import MODELS, find_model
from cotreat.models.select import priors_for
from cotreat.plots import levels
from cotreat.priors.sets import prior_set
from cotreat.results import store
from cotreat.results.summary import summarise
from cotreat.study import regimens
from cotreat.study_file.reader import aggregation_of
from tests.codes import by_code, code, codes
from tests.shared import fit, view_of
from tests.test_model import binomial, intercept, points, zero_sum

ROOT = Path(__file__).parents[1] / "results"

HEAD = """
format = 1
study = { id = "rows", title = "Rows, made up", design = "cohort", source = "made up" }
outcome = { name = "response", direction = "benefit" }
[treatments.A]
name = "drug A"
dose = { low = "up to 5 mg", mid = "6 to 10 mg", high = "over 10 mg" }
duration = { short = "up to a year", long = "over a year" }
[treatments.B]
name = "drug B"
[subgroups.age]
name = "age"
groups = { young = "up to 40 years", old = "over 40 years" }
"""
PATIENTS = """
[patients]
file = "rows.csv"
outcome = "response"
treatments = { A = "a", B = "b" }
covariates = { score = "continuous", group = "categorical" }
dose = { A = "a_dose" }
duration = { A = "a_time" }
subgroups = { age = "group" }
"""
TEXT = HEAD + PATIENTS
ARMS = "".join(
    f'[[arms]]\nregimen = "{arm}"\nn = {n}\nevents = {events}\n'
    for arm, n, events in (
        ("none", 100, 15),
        ("A.low", 60, 12),
        ("A.mid", 50, 14),
        ("A.high", 40, 18),
        ("B", 80, 16),
        ("A.low+B", 45, 12),
        ("A.mid+B", 35, 14),
        ("A.high+B", 30, 18),
    )
)
COUNT = 400
LEVELS = np.array(["low", "mid", "high"])


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(11)
    a, b = rng.binomial(1, 0.6, COUNT), rng.binomial(1, 0.5, COUNT)
    level = rng.integers(0, 3, COUNT)
    old = rng.binomial(1, 0.4, COUNT)
    score = rng.normal(0, 1, COUNT).round(2)
    eta = -1.2 + a * (0.3 + 0.4 * level) + 0.4 * b - 0.5 * old + 0.3 * score
    return pd.DataFrame(
        {
            "a": a,
            "b": b,
            "a_dose": np.where(a == 1, LEVELS[level], None),
            "a_time": np.where(a == 1, rng.choice(["short", "long"], COUNT), None),
            "group": np.where(old == 1, "old", "young"),
            "score": score,
            "response": rng.binomial(1, expit(eta)),
        }
    )


@pytest.fixture(scope="module")
def study(frame):
    return parse_study(TEXT, patients=frame)


@pytest.fixture(scope="module")
def counted():
    return parse_study(HEAD + ARMS)


def problems(text=TEXT, **given):
    with pytest.raises(StudyError) as caught:
        parse_study(text, **given)
    return caught.value.problems


# --- Regimens --------------------------------------------------------------------------------------


def test_regimens_are_written_and_read_with_levels_and_subgroup():
    text = "A.high+B | age=old"
    regimen = regimens.parse(text)
    assert regimen == {"A.high", "B", "age=old"}
    assert regimens.label(regimen, ("A", "B")) == text
    assert regimens.taken(regimen) == {"A", "B"}
    assert regimens.group_of(text) == "age=old"
    assert regimens.label(frozenset({"age=old"}), ("A", "B")) == "none | age=old"
    assert regimens.parse("none | age=old") == {"age=old"}


def test_a_word_leaves_levels_and_subgroups_open_that_it_does_not_name():
    arm = regimens.parse("A.high+B | age=old")
    for word in ("A+B", "A.high+B", "A+B | age=old"):
        assert regimens.fits(arm, regimens.parse(word)), word
    for word in ("A", "A.low+B", "A+B | age=young"):
        assert not regimens.fits(arm, regimens.parse(word)), word


def test_lattice_with_levels_counts_as_a_product():
    every = regimens.lattice(("A", "B"), {"A": ("A.low", "A.high")}, ("g=1", "g=2"))
    assert len(every) == len(set(every)) == (1 + 2) * (1 + 1) * 2


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("A", True),
        ("A.high", True),
        ("A.low", False),
        ("not A.low and age.old", True),
        ("none", False),
    ],
)
def test_set_expressions_name_levels_and_subgroups(expression, holds):
    parts = {"A.low", "A.high", "age=old", "age=young"}
    belongs = regimens.rule(expression, ("A", "B"), parts)
    assert belongs(regimens.parse("A.high+B | age=old")) is holds


def test_an_unknown_level_is_refused_with_those_there_are():
    with pytest.raises(ValueError, match=r"names A\.top; of A there are high, low"):
        regimens.rule("A.top", ("A",), {"A.low", "A.high"})
    with pytest.raises(ValueError, match="there are no levels of the name A"):
        regimens.rule("A.top", ("A",))


# --- Patients --------------------------------------------------------------------------------------


def test_counts_by_level_are_those_of_pandas(study, frame):
    told = study.resolve(strata="dose")
    named = np.where(frame.a == 1, "A." + frame.a_dose.fillna(""), "")
    labels = pd.Series(named).str.cat(np.where(frame.b == 1, "B", ""), sep="+").str.strip("+")
    expected = frame.response.groupby(labels.replace("", "none")).agg(["size", "sum"])
    assert list(told.n) == list(expected.loc[list(told.counted), "size"])
    assert list(told.events) == list(expected.loc[list(told.counted), "sum"])
    assert told.regimens == (
        *("none", "A.low", "A.mid", "A.high", "B", "A.low+B", "A.mid+B", "A.high+B"),
    )
    assert study.resolve(strata="duration").n.sum() == study.n.sum() == COUNT


def test_subgroups_leave_their_own_column_out_of_the_covariates(study, frame):
    told = study.resolve(strata="age")
    assert study.patterns.names == ("score", "group=young")
    assert told.patterns.names == ("score",)
    at = told.counted.index("A+B | age=old")
    own = frame[(frame.a == 1) & (frame.b == 1) & (frame.group == "old")]
    assert (told.n[at], told.events[at]) == (len(own), own.response.sum())


def test_weights_within_a_subgroup_are_those_of_its_patients(study, frame):
    told = study.resolve(strata="age")
    weights = told.patterns.weights(told.regimens)
    assert weights.shape == (len(told.regimens), len(told.patterns.profiles))
    assert weights.sum(1) == pytest.approx(1)
    score = told.patterns.values[told.patterns.profiles, 0]
    covariate = told.patterns.covariates[0]
    mean = weights[told.regimens.index("none | age=old")] @ score
    old = frame.score[frame.group == "old"].mean()
    assert mean * covariate.scale + covariate.mean == pytest.approx(old)


def test_without_levels_the_cells_are_those_of_a_file_that_has_none(study, frame):
    plain = HEAD[: HEAD.index("dose =")] + "[treatments.B]\nname = 'drug B'\n"
    section = PATIENTS[: PATIENTS.index("dose =")]
    other = parse_study(plain + section, patients=frame)
    key = ["n", "events"]
    mine, theirs = (
        pd.DataFrame(
            {
                "r": c.regimens,
                "x": c.values[:, 0],
                "y": c.values[:, 1],
                "n": c.n,
                "events": c.events,
            }
        ).sort_values(["r", "x", "y"], ignore_index=True)
        for c in (study.patterns, other.patterns)
    )
    assert np.array_equal(mine[key], theirs[key])
    assert np.allclose(mine[["x", "y"]], theirs[["x", "y"]])


def test_cells_of_the_printed_sql_are_the_same_also_in_sqlite(study, frame, tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(TEXT, encoding="utf-8")
    query, check_query, section = aggregation_of(path)
    assert section == {
        "covariates": {"score": "continuous", "group": "categorical"},
        "dose": {"A": "a_dose"},
        "duration": {"A": "a_time"},
        "subgroups": {"age": "group"},
    }
    with closing(sqlite3.connect(":memory:")) as database:
        frame.to_sql("patients", database, index=False)
        cells = pd.read_sql_query(query, database)
        clean = pd.read_sql_query(check_query, database).iloc[0]
        broken = frame.assign(
            a_dose=frame.a_dose.where(frame.index > 4), score=frame.score.where(frame.b == 1)
        )
        broken.loc[frame.a == 0, "a_dose"] = "low"
        broken.to_sql("patients", database, index=False, if_exists="replace")
        dirty = pd.read_sql_query(check_query, database).iloc[0]
    assert clean["rows"] == COUNT
    assert clean.drop("rows").sum() == 0
    assert dirty["score missing"] == (frame.b == 0).sum()
    assert dirty["a_dose missing"] == (frame.a[:5] == 1).sum()
    assert dirty["a_dose without A"] == (frame.a == 0).sum()
    text = HEAD + (
        "[patterns]\ncovariates = { score = 'continuous', group = 'categorical' }\n"
        "dose = { A = 'a_dose' }\nduration = { A = 'a_time' }\nsubgroups = { age = 'group' }\n"
    )
    other = parse_study(text, patients=cells)
    for strata in ("", "dose", "duration", "age"):
        mine, theirs = (s.resolve(strata=strata).patterns for s in (study, other))
        assert mine.regimens == theirs.regimens
        for part in ("values", "n", "events"):
            assert np.array_equal(getattr(mine, part), getattr(theirs, part)), part


def test_a_column_of_0_and_1_may_tell_subgroups(frame):
    text = TEXT.replace('young = "up to 40 years", old', 'false = "up to 40 years", true').replace(
        'group = "categorical"', 'group = "binary"'
    )
    rows = frame.assign(group=(frame.group == "old"))
    told = parse_study(text, patients=rows).resolve(strata="age")
    assert (
        told.n[told.counted.index("none | age=true")]
        == ((frame.a == 0) & (frame.b == 0) & (frame.group == "old")).sum()
    )


def some(column, value, where=lambda f: f.index[:1]):
    def change(frame):
        new = frame.astype({column: object})
        new.loc[where(frame), column] = value
        return new

    return change


UNTREATED, TREATED = (lambda f: f.index[f.a == 0][:2]), (lambda f: f.index[f.a == 1][:3])
WRONG_ROWS = {
    "a dose without the drug": (
        some("a_dose", "low", UNTREATED),
        "patients.dose.A: column 'a_dose' holds 'low' and the like in 2 rows whose patients did not get A",
    ),
    "an unknown level": (
        some("a_dose", "huge", TREATED),
        "column 'a_dose' holds 'huge' and the like in 3 rows; the levels of A are low, mid, high",
    ),
    "a drug without its dose": (
        some("a_dose", None, TREATED),
        'patients.missing: values are missing (a_dose 3); write missing = "drop"',
    ),
    "numbers for levels": (
        lambda f: f.assign(a_dose=np.where(f.a == 1, 2.0, np.nan)),
        "holds '2' and the like",
    ),
    "a level that nobody has": (
        lambda f: f.assign(a_dose=f.a_dose.where(f.a_dose != "mid", "low")),
        "column 'a_dose' has no complete row with 'mid'",
    ),
    "no column of the dose": (
        lambda f: f.drop(columns="a_dose"),
        "patients.dose.A: there is no column 'a_dose'",
    ),
    "an unknown subgroup": (
        some("group", "infant"),
        "patients.subgroups.age: column 'group' holds 'infant'",
    ),
    "a subgroup that is missing": (some("group", None), "values are missing (group 1)"),
    "text for the drug": (some("a", "yes"), "column 'a' has the values '0', '1', 'yes'"),
}


@pytest.mark.parametrize("case", WRONG_ROWS)
def test_wrong_levels_give_one_clear_error(frame, case):
    change, words = WRONG_ROWS[case]
    found = problems(patients=change(frame))
    assert any(words in line for line in found), found
    assert len(found) <= 2, found


def test_what_says_that_a_drug_was_not_given_is_no_level(study, frame):
    for word in ("none", "0", ""):
        rows = frame.assign(a_dose=frame.a_dose.where(frame.a == 1, word))
        told = parse_study(TEXT, patients=rows)
        assert (
            told.resolve(strata="dose").patterns.n.tolist()
            == study.resolve(strata="dose").patterns.n.tolist()
        )


def test_levels_may_be_numbers_and_floats_where_a_frame_lacks_values(study, frame):
    number = {"low": "1", "mid": "2", "high": "3"}
    text = TEXT
    for level, one in number.items():
        text = re.sub(rf"\b{level} = ", f"{one} = ", text)
    rows = frame.assign(a_dose=frame.a_dose.map(number).astype(float))
    assert rows.a_dose.isna().any()
    told, words = (one.resolve(strata="dose") for one in (parse_study(text, patients=rows), study))
    own = dict(zip(told.counted, told.n, strict=True))
    for regimen, n in zip(words.counted, words.n, strict=True):
        assert own[re.sub(r"(?<=A\.)\w+", lambda level: number[level[0]], regimen)] == n


def test_rows_without_the_level_of_their_drug_may_be_dropped(frame):
    rows = some("a_dose", None, TREATED)(frame)
    dropped = parse_study(TEXT + 'missing = "drop"', patients=rows)
    assert dropped.n.sum() == COUNT - 3
    assert "3 rows with missing values were dropped (a_dose 3)" in str(dropped.patterns)


WRONG_TEXT = {
    "one level": (
        TEXT.replace('short = "up to a year", ', ""),
        "treatments.A.duration: is { long = 'over a year' }; it must be a table of at least two",
    ),
    "a level of both": (
        TEXT.replace("short =", "low ="),
        "treatments.A.duration.low: is a level of the dose too; give it another id",
    ),
    "two levels of one name": (
        TEXT.replace("6 to 10 mg", "up to 5 mg"),
        "treatments.A.dose.mid: has the name of low; give each another name",
    ),
    "an odd id": (
        TEXT.replace("mid =", '"6-10" ='),
        "treatments.A.dose.6-10: an id must be letters",
    ),
    "subgroups by a treatment": (
        TEXT.replace("[subgroups.age]", "[subgroups.B]").replace("{ age =", "{ B ="),
        "subgroups.B: B is a treatment",
    ),
    "subgroups by dose": (
        TEXT.replace("[subgroups.age]", "[subgroups.dose]"),
        "nor dose or duration",
    ),
    "a column for no dose": (
        TEXT.replace('dose = { A = "a_dose" }', 'dose = { A = "a_dose", B = "b" }'),
        "patients.dose.B: the study file has no dose of B",
    ),
    "a column for no subgroups": (
        TEXT.replace("subgroups = { age", "subgroups = { sex"),
        "patients.subgroups.sex: the study file has no such subgroups",
    ),
    "a dose without a column": (
        TEXT.replace('dose = { A = "a_dose" }\n', ""),
        "patients.dose.A: missing; it must be the column of these levels",
    ),
    "a total of a level": (
        TEXT + '[[totals]]\npatients = "A.low"\nn = 9\n',
        "totals[1].patients: names A.low, which the rows of patients count",
    ),
}


@pytest.mark.parametrize("case", WRONG_TEXT)
def test_wrong_sections_give_one_clear_error(frame, case):
    text, words = WRONG_TEXT[case]
    found = problems(text, patients=frame)
    assert any(words in line for line in found), found


# --- Counts by level -------------------------------------------------------------------------------


def test_counts_by_level_add_up_to_counts_by_regimen(counted):
    assert dict(zip(counted.counted, counted.n, strict=True)) == {
        "none": 100,
        "A": 150,
        "B": 80,
        "A+B": 110,
    }
    assert counted.resolve(strata="dose").counted == counted.resolve(strata="dose").regimens


def test_arms_that_share_patients_are_refused():
    found = problems(HEAD + ARMS + '[[arms]]\nregimen = "A"\nn = 5\nevents = 1\n')
    words = "A shares patients with an arm above; name the level or subgroup in each arm or in none"
    assert found == (f"arms[9].regimen: {words}",)


def arm(regimen, n=50, events=15):
    return f'[[arms]]\nregimen = "{regimen}"\nn = {n}\nevents = {events}\n'


WRONG_COUNTS = {
    "told by dose and by age": (
        "".join(map(arm, ("none", "A.low", "A.mid", "A.high", "B | age=young", "B | age=old"))),
        "arms: are counted by dose and by age, so that patients stand in two of them; count all by one",
    ),
    "told by dose and by duration": (
        "".join(map(arm, ("none", "A.low", "A.short", "B"))),
        "arms: are counted by dose and by duration",
    ),
    "some without their age": (
        "".join(map(arm, ("none", "A | age=old", "A | age=young", "B"))),
        "arms: none, B must say the age, as the others do",
    ),
    "two ages": (
        arm("none | age=old") + arm("A | age=old | age=young"),
        "arms[2].regimen: 'A | age=old | age=young' names subgroups of one kind twice",
    ),
    "a level left out while more patients are printed": (
        "".join(map(arm, ("none", "A.high", "B")))
        + '[[totals]]\npatients = "all"\nn = 200\n'
        + '[[reported]]\nid = "low"\nkind = "odds_ratio"\ncontrast = "A.low vs not A"\nvalue = 2.0\n'
        + 'ci = [1.0, 4.0]\nsource = "x"\n',
        "arms: A is not counted at each of its levels, or in each subgroup, though the totals contain more",
    ),
    "a total of a level that no arm tells": (
        "".join(map(arm, ("none", "A", "B"))) + '[[totals]]\npatients = "A.high"\nn = 20\n',
        "totals[1].patients: names A.high, by which the arms are not counted",
    ),
}


@pytest.mark.parametrize("case", WRONG_COUNTS)
def test_counts_that_would_count_patients_twice_or_in_part_are_refused(case):
    text, words = WRONG_COUNTS[case]
    found = problems(HEAD + text)
    assert any(line.startswith(words) for line in found), found


def by_level(*totals):
    """Write a study of which none and B are counted, and A is printed by its dose."""
    text = "".join(map(arm, ("none", "B")))
    for who, n, *events in (("all", 500), *totals):
        text += f'[[totals]]\npatients = "{who}"\nn = {n}\n'
        text += "".join(f"events = {count}\n" for count in events)
    for own in ("A.low", "A.high", "A.high+B"):
        text += f'[[reported]]\nid = "{own}"\nkind = "odds_ratio"\ncontrast = "{own} vs none"\n'
        text += 'value = 2.0\nci = [1.0, 4.0]\nsource = "x"\n'
    return HEAD + text


def test_levels_may_be_printed_of_treatments_that_no_counted_regimen_holds():
    """A regimen without A says all that its dose would know of it; who has A stands in the totals."""
    study = parse_study(by_level(("A.high", 120))).resolve(strata="dose")
    assert study.counted == ("none", "B")
    assert set(study.present) > {"A.low", "A.high", "A.high+B"}
    used = {
        reported_estimate.id
        for reported_estimate in study.reported_estimates
        if reported.is_used(study, reported_estimate)
    }
    assert used == {"A.low", "A.high", "A.high+B"}


@pytest.mark.parametrize(
    ("total", "words"),
    [
        (("B and not A.high", 5), "5 reported for 'B and not A.high', but its arms add up to 50"),
        (
            ("not A.low and not A.mid and not A.high", 100, 37),
            "37 reported for 'not A.low and not A.mid and not A.high', but its arms add up to 30",
        ),
        (
            ("A.high and A.short", 20),
            "names levels or subgroups of several stratifications (dose, duration); a total can name one",
        ),
    ],
)
def test_totals_by_level_are_held_against_the_counts(total, words):
    found = problems(by_level(total))
    assert any(words in line for line in found), found


def test_inclusion_names_treatments_only():
    text = HEAD.replace('source = "made up"', 'source = "made up", inclusion = "not A.high"')
    assert "study.inclusion: names A.high; it may name treatments only" in problems(text + ARMS)


def test_a_subgroup_that_dropping_leaves_empty_is_refused(frame):
    rows = frame.assign(score=frame.score.where(frame.group != "old"))
    found = problems(TEXT + 'missing = "drop"', patients=rows)
    assert any("has no complete row with 'old'" in line for line in found), found


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("duration", "the patients of rows are not counted by duration"),
        ("subgroups", "the patients of rows are not counted by age"),
        ("subgroups:sex", "rows has no subgroups by sex; it has dose, duration, age"),
        ("dose:A", "no model 'dose:A'"),
        ("subgroups:", "no model 'subgroups:'; did you mean subgroups"),
        ("duratoin", "no model 'duratoin'; did you mean duration"),
    ],
)
def test_models_need_patients_told_by_what_they_ask(counted, model, words):
    with pytest.raises(ModelError, match=words):
        find_model(model, counted)


def test_the_audit_counts_by_every_division_or_says_that_it_cannot(study, counted):
    text = audit(counted)
    assert "Counts by dose:" in text
    assert re.search(r"  A\.mid +14 +50 +0\.280", text)
    assert (
        "No counts by duration: the patients of rows are not counted by duration; write regimens such as "
        "A.short in [[arms]], or name its column under [patients]."
    ) in text
    assert "write regimens such as A | age=young in [[arms]]" in text
    assert "No counts" not in audit(study)
    assert "Counts by age:" in audit(study)


def test_a_study_without_levels_has_no_such_model():
    study = load_study("isis2")
    for model, words in (("dose", "isis2 has no levels of dose"), ("subgroups", "no subgroups")):
        with pytest.raises(ModelError, match=words):
            find_model(model, study)


def test_several_subgroups_must_be_named(frame):
    text = TEXT.replace(
        "[patients]",
        '[subgroups.arm]\nname = "b"\ngroups = { false = "no", true = "yes" }\n[patients]',
    )
    text = text.replace('age = "group" }', 'age = "group", arm = "b2" }')
    study = parse_study(text, patients=frame.assign(b2=frame.b == 1))
    with pytest.raises(ModelError, match="choose one: subgroups:age or subgroups:arm"):
        find_model("subgroups", study)
    assert find_model("subgroups:arm", study).strata == "arm"


def test_too_many_levels_are_refused():
    many = ", ".join(f'l{at} = "level {at}"' for at in range(40))
    text = HEAD.replace('low = "up to 5 mg", mid = "6 to 10 mg", high = "over 10 mg"', many)
    arms = "".join(
        f'[[arms]]\nregimen = "{arm}"\nn = 9\nevents = 3\n' for arm in ("none", "A.l0", "A.l1", "B")
    )
    with pytest.raises(ModelError, match="has 82 regimens; at most 64"):
        find_model("dose", parse_study(text + arms))


# --- Models ----------------------------------------------------------------------------------------


def stated(study, name):
    model = find_model(name, study)
    told = study.resolve(strata=model.strata)
    return told, build(told, model, priors_for(prior_set("weak", study), model, told))


def test_log_density_of_dose_is_the_plain_sum(counted):
    told, built = stated(counted, "dose")
    density = built.compile_logp(mode="FAST_COMPILE")
    for point in points(built, 5):
        free = point["simplex_A_simplex__"]
        raw = np.append(free, -free.sum())
        share = np.exp(raw) / np.exp(raw).sum()
        x = np.concatenate([[0.0], np.cumsum(share)])[told.ranks(told.counted, "A")]
        b = np.array(["B" in arm for arm in told.counted])
        # The centre of the design: equally spaced levels, regimens with equal weights.
        spaced = told.ranks(told.counted, "A") / 3
        eta = (
            point["alpha"]
            + point["beta"][0] * (x - spaced.mean())
            + point["beta"][1] * (b - b.mean())
            + point["gamma"][0] * (x * b - (spaced * b).mean())
        )
        # Dirichlet(1, 1, 1), and the Jacobian of PyMC's simplex: sums of the logs, and log k.
        simplex = stats.dirichlet.logpdf(share, np.ones(3)) + np.log(share).sum() + np.log(3)
        plain = (
            intercept(point["alpha"])
            + stats.norm.logpdf(point["beta"]).sum()
            + stats.norm.logpdf(point["gamma"], 0, 0.5).sum()
            + simplex
            + binomial(told, eta)
        )
        assert density(point) == pytest.approx(plain, rel=1e-8)


def test_log_density_of_subgroups_is_that_of_the_multivariate_normal(frame):
    rows = parse_study(
        TEXT.replace('covariates = { score = "continuous", group = "categorical" }\n', ""),
        patients=frame,
    )
    told, built = stated(rows, "subgroups")
    density = built.compile_logp(mode="FAST_COMPILE")
    groups = np.array([told.groups.index(regimens.group_of(arm)) for arm in told.counted])
    columns = told.content(told.counted), told.products(told.counted)
    content, products = (of - of.mean(0) for of in columns)
    for point in points(built, 5):
        tau = np.exp(point["spread_log__"])
        effects, plain = [], 0.0
        for d in range(2):
            # β_dg ~ Normal(M, τ_d), M ~ Normal(0, 1): jointly normal with covariance τ² I + 1.
            own = point["beta"][d] + tau[d] * zero_sum(point["effect_z_zerosum__"][d])
            effects.append(own)
            plain += stats.multivariate_normal.logpdf(own, np.zeros(2), tau[d] ** 2 * np.eye(2) + 1)
            plain += 0.5 * np.log(2) + np.log(tau[d])  # by own mean and free deviation
        level = zero_sum(point["alpha_group_zerosum__"])
        # Two subgroups differ by log odds ratio ~ Normal(0, 1).
        plain += stats.norm.logpdf(level[1] - level[0]) + 0.5 * np.log(2)
        eta = point["alpha"] + level[groups] + (content * np.array(effects).T[groups]).sum(1)
        eta = eta + products @ point["gamma"]
        plain += (
            intercept(point["alpha"])
            + stats.norm.logpdf(point["gamma"], 0, 0.5).sum()
            + (stats.halfnorm.logpdf(tau, scale=0.5) + point["spread_log__"]).sum()
            + binomial(told, eta)
        )
        assert density(point) == pytest.approx(plain, rel=1e-8)


@pytest.fixture(scope="module")
def by_dose(counted):
    return fit(counted, "dose", engine="laplace", draws=1000)


@pytest.mark.slow
def test_an_effect_never_turns_back_on_any_background(counted, by_dose):
    posterior = by_dose["posterior"].to_dataset()
    assert failures(checks(fit_of(counted.resolve(strata="dose"), MODELS["dose"], by_dose))) == []
    risk = posterior["risk"]
    for background in ("", "+B"):
        steps = [risk.sel(arm="none" if not background else "B")]
        steps += [risk.sel(arm=f"A.{level}{background}") for level in LEVELS]
        rises = np.sign(np.diff(np.stack([s.values for s in steps]), axis=0))
        assert ((rises >= 0).all(0) | (rises <= 0).all(0)).all()


@pytest.mark.slow
def test_with_the_highest_level_alone_the_model_is_interaction():
    # Nobody has a lower level, so that the steps are not seen: the same risks within Monte Carlo error.
    arms = [("none", 100, 15), ("A.high", 150, 44), ("B", 80, 16), ("A.high+B", 110, 44)]
    text = HEAD + "".join(
        f'[[arms]]\nregimen = "{arm}"\nn = {n}\nevents = {events}\n' for arm, n, events in arms
    )
    study = parse_study(text)
    means = []
    for model, labels in (
        ("dose", [a for a, *_ in arms]),
        ("interaction", ["none", "A", "B", "A+B"]),
    ):
        risk = fit(study, model, engine="laplace", draws=4000)["posterior"]["risk"].sel(arm=labels)
        means.append((risk.mean(("chain", "draw")).values, risk.std(("chain", "draw")).values))
    assert np.abs(means[0][0] - means[1][0]).max() < 0.05 * means[1][1].max()
    assert means[0][1] == pytest.approx(means[1][1], rel=0.05)


@pytest.mark.slow
def test_summary_by_subgroup_asks_within_subgroups_only(study):
    model = find_model("subgroups", study)
    told = study.resolve(strata="age")
    tree = fit(study, "subgroups", engine="laplace", draws=1000)
    assert failures(checks(fit_of(told, model, tree))) == []
    table = summarise(
        told,
        model,
        resolve(told),
        prior=risk_draws_of(tree["prior"].to_dataset()),
        posterior=risk_draws_of(tree["posterior"].to_dataset()),
        likelihood=fit_adjusted(told, model, resolve(told)),
        labels={"model": model.name, "priors": "weak", "interpretation": told.interpretation},
    )
    odds_ratios = table[codes(table).str.startswith("odds_ratio[")]
    assert codes(odds_ratios).nunique() == 2 * 6
    own = table[table.estimator == "posterior"].pipe(by_code)
    modification = own.loc["effect_ratio[A: age=old vs age=young]"]
    assert modification.status == "identified"
    draws = tree["posterior"]["group_effect"].sel(treatment="A")
    gap = np.exp(draws.sel(group="age=old") - draws.sel(group="age=young"))
    assert modification.estimate == pytest.approx(float(gap.median()))
    # Shrunk: nearer to 1 than maximum likelihood, which takes each subgroup by itself.
    ml = table[table.estimator == "maximum likelihood"].pipe(by_code)
    alone = ml.loc["effect_ratio[A: age=old vs age=young]"]
    assert abs(np.log(modification.estimate)) < abs(np.log(alone.estimate))
    assert modification.upper / modification.lower < alone.upper / alone.lower
    rows = levels.rows_to_draw(view_of(tree, told, model, table))
    assert [row.name for row in rows] == [
        "drug A vs none",
        "up to 40 years",
        "over 40 years",
        "drug B vs none",
        "up to 40 years",
        "over 40 years",
    ]
    shown, beside = rows[2].lines
    of_old = own.loc["odds_ratio[A vs none | age=old]"]
    assert (shown.estimate, shown.lower) == (of_old.estimate, of_old.lower)
    assert beside.estimate == ml.loc["odds_ratio[A vs none | age=old]"].estimate


# --- Estimands -------------------------------------------------------------------------------------


def test_the_synergy_surface_has_a_point_for_each_pair_of_levels(counted):
    told = counted.resolve(strata="dose")
    listed = [
        e for e in enumerate_estimands(told, MODELS["dose"], resolve(told)) if e.synergy is not None
    ]
    assert {e.pair for e in listed} == {"A.low:B", "A.mid:B", "A.high:B"}
    (ic,) = [e for e in listed if code(e) == "ic[A.mid:B]"]
    assert ic.arms == ("none", "A.mid", "B", "A.mid+B")


def test_an_effect_in_subgroups_is_read_where_it_is_counted(study, frame):
    assert counted_co_treatment(study.resolve(strata="age"), "A") == frozenset()
    without = frame[(frame.a == 1) | (frame.b == 1)]
    told = parse_study(TEXT, patients=without).resolve(strata="age")
    assert counted_co_treatment(told, "A") == {"B"}


def test_maximum_likelihood_takes_levels_as_categories(counted):
    fitted = fit_likelihood(
        counted.resolve(strata="dose"), MODELS["dose"], resolve(counted.resolve(strata="dose"))
    )
    wanted = {
        code(e): e
        for e in enumerate_estimands(
            counted.resolve(strata="dose"), MODELS["dose"], resolve(counted.resolve(strata="dose"))
        )
    }
    # Saturated in four by two cells: raw proportions.
    assert fitted.estimate(wanted["odds_ratio[A.mid+B vs B]"]) == pytest.approx(
        (14 / 21) / (16 / 64)
    )
    difference = wanted["risk_difference[A.mid vs none]"]
    assert fitted.estimate(difference) == pytest.approx(14 / 50 - 15 / 100)
    (interval,) = intervals(fitted, difference)
    se = np.sqrt(0.28 * 0.72 / 50 + 0.15 * 0.85 / 100)
    assert interval.lower == pytest.approx(0.13 - 1.959964 * se, rel=1e-5)


def test_maximum_likelihood_in_subgroups_is_that_of_statsmodels(study, frame):
    model = find_model("subgroups", study)
    fitted = fit_adjusted(study.resolve(strata="age"), model, resolve(study.resolve(strata="age")))
    old = (frame.group == "old").astype(float)
    design = pd.DataFrame(
        {
            "one": 1.0,
            "a": frame.a,
            "b": frame.b,
            "ab": frame.a * frame.b,
            "old": old,
            "a_old": frame.a * old,
            "b_old": frame.b * old,
            "score": frame.score,
        }
    )
    theirs = sm.GLM(frame.response, design, family=sm.families.Binomial()).fit(cov_type="HC0")
    wanted = {
        code(e): e
        for e in enumerate_estimands(
            study.resolve(strata="age"), model, resolve(study.resolve(strata="age"))
        )
    }
    modification = wanted["effect_ratio[A: age=old vs age=young]"]
    (interval,) = intervals(fitted, modification)
    assert fitted.estimate(modification) == pytest.approx(np.exp(theirs.params["a_old"]), rel=1e-6)
    expected = np.exp(theirs.conf_int().loc["a_old"])
    assert [interval.lower, interval.upper] == pytest.approx(list(expected), rel=1e-5)


# --- Numbers needed to treat -----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["benefit", "harm"])
def test_numbers_needed_to_treat_go_through_infinity(direction):
    text = HEAD.replace("benefit", direction) + (
        '[[arms]]\nregimen = "none"\nn = 200\nevents = 40\n'
        '[[arms]]\nregimen = "A.low"\nn = 200\nevents = 90\n'
        '[[arms]]\nregimen = "B"\nn = 200\nevents = 44\n'
    )
    study = parse_study(text)
    tree = fit(study, "additive", engine="laplace", draws=1000)
    waists = [risk_draws_of(tree[group].to_dataset()) for group in ("prior", "posterior")]
    table = summarise(
        study,
        MODELS["additive"],
        resolve(study),
        prior=waists[0],
        posterior=waists[1],
        likelihood=fit_likelihood(study, MODELS["additive"], resolve(study)),
        labels={"model": "additive", "priors": "weak", "interpretation": study.interpretation},
    )
    sign = 1 if direction == "benefit" else -1
    for _, own in table.groupby("estimator"):
        rows = own.pipe(by_code)
        clear, open_ = rows.loc["nnt[A vs none]"], rows.loc["nnt[B vs none]"]
        difference = rows.loc["risk_difference[A vs none]"]
        assert clear.estimate == pytest.approx(sign / difference.estimate)
        limits = sorted(sign / np.array([difference.lower, difference.upper]))
        assert [clear.lower, clear.upper] == pytest.approx(limits)
        assert "infinity" not in clear.interval
        difference = rows.loc["risk_difference[B vs none]"]
        assert difference.lower < 0 < difference.upper
        assert open_.lower < 0 < open_.upper
        ends = sorted(sign / np.array([difference.lower, difference.upper]))
        assert [open_.lower, open_.upper] == pytest.approx(ends)
        assert open_.interval.endswith(
            f"NNTB {ends[1]:.3g} through infinity to NNTH {-ends[0]:.3g}"
        )
        assert np.isnan(open_.probability)


# --- Printed numbers -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sun():
    return load_study("sun2024")


def test_a_claim_about_a_level_is_evidence_only_where_levels_are_told(sun):
    used = {
        strata: {c.id for c in reported.estimates_of(sun.resolve(strata=strata)).reported_estimates}
        for strata in ("", "dose", "duration")
    }
    assert used["dose"] == used[""] | {"dose"}
    assert used["duration"] == used[""] | {"duration"}
    assert find_model("dose", sun).strata == "dose"


def test_regimens_without_levels_mean_all_levels(sun):
    told = sun.resolve(strata="dose")
    numbers = reported.estimates_of(told)
    at = [c.id for c in numbers.reported_estimates].index("tac-cyc-vs-cyc")
    one = numbers.regressions.coefficients[at]
    arms = {told.present[i] for group in one.groups for i in np.flatnonzero(group)}
    assert arms == {"TAC.low+CYC", "TAC.high+CYC", "CYC"}


def test_the_level_that_nobody_printed_is_inferred(sun):
    numbers = reported.estimates_of(sun.resolve(strata="dose"))
    assert numbers.inferred_ids == ("inferred odds_ratio[TAC.low vs not TAC]",)
    assert reported.estimates_of(sun).inferred == ()
    assert reported.estimates_of(sun.resolve(strata="duration")).inferred_ids == (
        "inferred odds_ratio[TAC.short vs not TAC]",
    )


def printed_levels(claims_):
    text = """
format = 1
study = { id = "printed", title = "Made up", design = "cohort", source = "made up", inclusion = "any(A, B)" }
outcome = { name = "response", direction = "benefit" }
treatments = { A = { name = "a", dose = { low = "low", high = "high" } }, B = { name = "b" } }
totals = [{ patients = "all", n = 400, events = 120 }, { patients = "A", n = 150 }]
reported = [
"""
    own = "".join(
        f'  {{ id = "{name}", {what}, source = "x" }},\n' for name, what in claims_.items()
    )
    return parse_study(text + own + "]\n").resolve(strata="dose")


HIGH = 'kind = "odds_ratio", contrast = "A.high vs not A", value = 3.0, ci = [1.5, 6.0]'


def test_what_is_printed_in_other_words_or_as_a_p_value_is_not_inferred():
    assert reported.estimates_of(printed_levels({"high": HIGH})).inferred_ids == (
        "inferred odds_ratio[A.low vs not A]",
    )
    turned = HIGH.replace('"A.high vs not A"', '"A and A.high vs B and not A"')
    numbers = reported.estimates_of(printed_levels({"high": turned}))
    assert numbers.inferred_ids == ("inferred odds_ratio[A.low vs not A]",)
    assert numbers.of_parts["A", "A.high"].words == ("A and A.high", "B and not A")
    low = 'kind = "p_value", contrast = "A.low vs not A", value = 0.03, sign = "+"'
    numbers = reported.estimates_of(printed_levels({"high": HIGH, "low": low}))
    assert numbers.inferred == ()


def test_levels_are_a_mixture_only_where_the_whole_is_printed(sun):
    assert reported.estimates_of(sun.resolve(strata="dose")).is_mixed("TAC")
    assert not reported.estimates_of(printed_levels({"high": HIGH})).is_mixed("A")


def test_the_overall_odds_ratio_is_a_mixture_of_the_levels(sun):
    # With the score's SD 0, collapsing levels is exact: pooled risks of all patients on tacrolimus.
    told = sun.resolve(strata="dose")
    numbers = reported.estimates_of(told)
    rng = np.random.default_rng(3)
    count = len(told.present)
    eta, n = rng.normal(-1, 0.8, count), rng.uniform(5, 200, count)
    law = joint_distribution.joint_distribution(np, numbers, eta, 1e-9, 0.0, n, 0.0)
    risk = averages(np, eta, None).risk
    on = told.members("TAC", told.present)

    def log_odds(arms):
        p = (n * risk)[arms].sum() / n[arms].sum()
        return np.log(p / (1 - p))

    tac = [c.id for c in numbers.reported_estimates].index("tac")
    assert law.ratios[tac] == pytest.approx(log_odds(on) - log_odds(~on), abs=1e-6)
    high = told.members("TAC.high", told.present)
    dose = [c.id for c in numbers.reported_estimates].index("dose")
    assert law.ratios[dose] == pytest.approx(log_odds(high) - log_odds(~on), abs=1e-6)
    low = told.members("TAC.low", told.present)
    inferred = numbers.regressions_inferred.moments(np, eta, 1e-9, n).mean
    assert inferred[0] == pytest.approx(log_odds(low) - log_odds(~on), abs=1e-6)


def lower_dose(table):
    """Check a posterior of the lower dose, and of how many patients had the higher one."""
    own = table[table.estimator == "posterior"].pipe(by_code)
    low, size = own.loc["odds_ratio[TAC.low vs not TAC]"], own.loc["size[all with TAC.high]"]
    # The widths of the intervals determine how many patients had the higher dose, and so the lower one's odds ratio.
    assert (low.status, low.reason.split(" that ")[0]) == ("identified", "assuming")
    # As a prototype had it: an odds ratio near 2.5, and about 35 patients on the higher dose.
    assert 2.0 < low.estimate < 2.8
    assert 20 < size.estimate < 50


def test_the_kept_flagship_infers_its_lower_dose():
    lower_dose(store.read_table(ROOT / "sun2024/dose--weak--odds-ratios/summary.csv"))


def lines_of_levels(view):
    """The figure of levels has the reported odds ratio beside the posterior of the higher dose."""
    heading, lower, higher = levels.rows_to_draw(view)
    assert (heading.name, heading.is_heading) == ("tacrolimus vs none", True)
    assert [line.is_reported for line in higher.lines] == [False, True]
    assert [line.is_unidentified for line in lower.lines] == [False]
    assert lower.prior is None  # shown only where an estimand is not identified


def test_the_figure_of_levels_of_the_kept_flagship(sun):
    study = sun.resolve(strata="dose")
    summary = store.read_summary(ROOT / "sun2024/dose--weak--odds-ratios/summary.csv")
    numbers = reported.estimates_of(study)
    lines_of_levels(SimpleNamespace(study=study, summary=summary, reported=numbers))


@pytest.mark.long
def test_the_flagship_teaches_its_lower_dose(sun):
    tree = fit(sun, "dose", draws=1500)
    told = sun.resolve(strata="dose")
    assert failures(checks(fit_of(told, MODELS["dose"], tree))) == []
    table = summarise(
        told,
        MODELS["dose"],
        resolve(told),
        prior=risk_draws_of(tree["prior"].to_dataset()),
        posterior=risk_draws_of(tree["posterior"].to_dataset()),
        likelihood=None,
        labels={"model": "dose", "priors": "weak", "interpretation": told.interpretation},
    )
    lower_dose(table)
    lines_of_levels(view_of(tree, told, MODELS["dose"], table))


def test_printed_subgroups_are_evidence_of_their_subgroups():
    text = """
format = 1
study = { id = "printed", title = "Made up", design = "cohort", source = "made up", inclusion = "any(A, B)" }
outcome = { name = "response", direction = "benefit" }
treatments = { A = { name = "a" }, B = { name = "b" } }
subgroups = { age = { name = "age", groups = { young = "up to 40", old = "over 40" } } }
totals = [
  { patients = "all", n = 400, events = 120 },
  { patients = "A", n = 150 },
  { patients = "age.old", n = 180, events = 60 },
]
reported = [
  { id = "all", kind = "odds_ratio", contrast = "A vs not A", value = 2.0, ci = [1.3, 3.08], source = "x" },
  { id = "old", kind = "odds_ratio", contrast = "A and age.old vs not A and age.old", value = 3.0, ci = [1.5, 6.0], source = "x" },
]
"""
    study = parse_study(text)
    assert [total.patients for total in study.totals] == ["all", "A"]
    told = study.resolve(strata="age")
    numbers = reported.estimates_of(told)
    assert [c.id for c in numbers.reported_estimates] == ["all", "old"]
    assert numbers.inferred_ids == (
        "inferred odds_ratio[A and age.young vs not A and age.young]",
        "inferred odds_ratio[B and age.young vs not B and age.young]",
        "inferred odds_ratio[B and age.old vs not B and age.old]",
    )
    assert len(told.present) == 6
    two = text.replace("A and age.old", "A and age.older")
    assert any("of age there are old, young" in line for line in problems(two))
