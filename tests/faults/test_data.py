"""Faults that public data showed, by their number in the list of faults; the inputs are in tests/cases."""

import csv
import sqlite3
import sys
from collections import Counter
from contextlib import closing
from importlib import resources
from pathlib import Path

import pandas as pd
import pyreadstat
import pytest

from cotreat import StudyError, load_study, parse_study, reanalyse
from cotreat.audit.audit import audit
from cotreat.audit.wording import words
from cotreat.cli import main
from cotreat.cli.summary import text_of
from cotreat.estimands import identification
from cotreat.study_file.reader import aggregation_of
from tests.shared import draw_only

CASES = Path(__file__).parent.parent / "cases"
FREQ = CASES / "freq.toml"


def patients(**columns):
    """Every patient of freq.csv as a row of its own."""
    rows = pd.read_csv(CASES / "freq.csv").replace({"yes": True, "no": False})
    repeated = rows.loc[rows.index.repeat(rows.Freq)].drop(columns="Freq")
    text = FREQ.read_text(encoding="utf-8").replace('\nfile = "freq.csv"', "")
    return parse_study(text, patients=repeated.assign(**columns))


def with_weight(**frame):
    text = FREQ.read_text(encoding="utf-8").replace('\nfile = "freq.csv"', '\nweight = "Freq"')
    rows = pd.read_csv(CASES / "freq.csv").replace({"yes": True, "no": False})
    return parse_study(text, patients=rows.assign(**frame))


def test_d1_a_column_of_counts_is_not_ignored():
    with pytest.raises(StudyError, match='numbers of patients; write weight = "Freq"'):
        load_study(str(FREQ))


def test_d1_the_weight_of_a_row_is_its_number_of_patients():
    study = with_weight()
    # Sums of freq.csv by hand: deaths of patients, by operation and X-ray.
    assert study.patterns.counts == {
        "none": (18, 4),
        "R": (95, 48),
        "X": (30, 16),
        "R+X": (156, 81),
    }
    odds = {name: events / (n - events) for name, (n, events) in study.patterns.counts.items()}
    ratio = {name: odds[name] / odds["none"] for name in ("R", "X", "R+X")}
    assert ratio["R"] == pytest.approx(3.57, abs=0.005)
    assert ratio["X"] == pytest.approx(4.00, abs=0.005)
    assert ratio["R+X"] / (ratio["R"] * ratio["X"]) == pytest.approx(0.264, abs=0.0005)


def test_d1_weighted_rows_are_the_rows_repeated():
    study, weighted = patients(), with_weight()
    assert study.patterns.counts == weighted.patterns.counts
    assert study.patterns.n.tolist() == weighted.patterns.n.tolist()
    assert study.patterns.values.tolist() == weighted.patterns.values.tolist()


def test_d1_a_row_of_no_patient_is_left_out():
    with_zero = with_weight(Freq=lambda f: f.Freq.where(f.Freq > 1, 0))
    assert with_zero.patterns.counts["none"] == (16, 3)
    assert with_zero.patterns.dropped == 0


@pytest.mark.parametrize("wrong", [-1, 1.5])
def test_d1_a_weight_is_a_number_of_patients(wrong):
    with pytest.raises(StudyError, match=r"patients\.weight: column 'Freq' holds -?1\.?5? and the"):
        with_weight(Freq=lambda f: f.Freq.where(f.Freq != 10, wrong))


def test_d1_a_full_cross_of_the_columns_is_a_table_of_counts():
    rows = pd.read_csv(CASES / "freq.csv").rename(columns={"Freq": "women"})
    text = FREQ.read_text(encoding="utf-8").replace('\nfile = "freq.csv"', "")
    with pytest.raises(StudyError, match="as in a table of counts; write weight"):
        parse_study(text, patients=rows.replace({"yes": True, "no": False}))


def test_d1_numbers_of_the_rows_are_no_counts():
    numbered = patients(n=lambda f: range(1, len(f) + 1))
    assert numbered.patterns.counts["R"] == (95, 48)


def test_d2_the_file_beside_the_study_is_read_not_a_pattern():
    place = CASES / "wrongdata" / "data[1]"
    study = load_study(str(place / "s.toml"))
    with (place / "rows.csv").open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    number = Counter((row["got_a"], row["got_b"]) for row in rows)
    regimens = {"none": ("0", "0"), "A": ("1", "0"), "B": ("0", "1"), "A+B": ("1", "1")}
    assert {name: study.patterns.counts[name][0] for name in regimens} == {
        name: number[taken] for name, taken in regimens.items()
    }


def test_d2_a_folder_of_parquet_files_is_read_not_a_pattern(tmp_path):
    rows = pd.read_csv(CASES / "freq.csv").replace({"yes": True, "no": False})
    repeated = rows.loc[rows.index.repeat(rows.Freq)].drop(columns="Freq")
    for name, part in (("data[1]", repeated), ("data1", repeated.head(100))):
        (tmp_path / name).mkdir()
        part.to_parquet(tmp_path / name / "rows.parquet")
    text = FREQ.read_text(encoding="utf-8").replace("freq.csv", "data[1]")
    (tmp_path / "s.toml").write_text(text, encoding="utf-8")
    assert load_study(str(tmp_path / "s.toml")).patterns.counts["R+X"] == (156, 81)


def test_d3_two_rows_of_a_patient_are_a_warning():
    (warning,) = patients(patient_id=lambda f: [at // 2 for at in range(len(f))]).warnings
    assert warning.startswith(
        "patients: column 'patient_id' is not used and has 150 values in 299 rows; each row is one patient"
    )
    assert 'write patient = "patient_id" to check it' in warning


def test_d3_an_id_of_each_row_and_another_repeated_column_are_no_warning():
    assert patients(patient_id=lambda f: range(len(f))).warnings == ()
    assert patients(hospital=lambda f: [at % 7 for at in range(len(f))]).warnings == ()


TWO = """
format = 1
study = { id = "two", title = "A and B", design = "cohort", source = "made up" }
outcome = { name = "remission", direction = "benefit" }
treatments = { A = { name = "drug A" }, B = { name = "drug B" } }
arms = [
  { regimen = "none", n = 120, events = 18 },
  { regimen = "A", n = 80, events = 20 },
  { regimen = "B", n = 90, events = 21 },
  { regimen = "A+B", n = 60, events = 28 },
]
"""
REPORTED = (
    '\nreported = [{ id = "x", kind = "odds_ratio", contrast = "A vs B", value = 2.0, ci = [1.0, 4.0]'
    ', source = "made up" }]\n'
)


@pytest.mark.parametrize(
    ("right", "written", "says"),
    [
        ('"none"', '"control"', "unknown treatment control; did you mean none?"),
        ('"none"', '"Placebo"', "unknown treatment Placebo; did you mean none?"),
        ('"none"', '"neither"', "unknown treatment neither; did you mean none?"),
        ('"A+B"', '"both"', "unknown treatment both; did you mean A+B?"),
        ('"A+B"', '"A and B"', "unknown treatment A and B; did you mean A+B?"),
        ('"A+B"', '"AB"', "unknown treatment AB; did you mean A+B?"),
        ('"A+B"', '"b/a"', "unknown treatment b/a; did you mean A+B?"),
        ('"A+B"', '"A and C"', 'the treatments are A, B, joined by "+"'),
        ('"cohort"', '"RCT"', "did you mean randomised?"),
        ('"benefit"', '"good"', "did you mean benefit?"),
        ('"odds_ratio"', '"OR"', "did you mean odds_ratio?"),
        ("value = 2.0", 'value = "2,15"', "a number above 0; write 2.15, without quotation marks"),
        ("n = 120", 'n = "1,200"', "write 1200, without quotation marks"),
        ("n = 120", "n = 1,5", "numbers have a decimal point, not a comma"),
    ],
)
def test_d11_the_right_word_is_suggested(right, written, says):
    text = TWO.replace("\narms", f"{REPORTED}arms")
    parse_study(text)
    with pytest.raises(StudyError) as error:
        parse_study(text.replace(right, written, 1))
    assert says in str(error.value)
    assert len(error.value.problems) == 1


@pytest.mark.slow
def test_d12_an_asymmetric_interval_is_a_warning_and_in_the_conclusion(
    tmp_path, monkeypatch, capsys
):
    # Factor V Leiden with 6.0 mistyped as 9.0: the middle of 2.4 and 9.0 is 4.65, not 3.8.
    text = (resources.files("cotreat.studies") / "factor-v-leiden.toml").read_text("utf-8")
    path = tmp_path / "mistyped.toml"
    path.write_text(text.replace("ci = [2.4, 6.0]", "ci = [2.4, 9.0]", 1), encoding="utf-8")
    draw_only(monkeypatch)
    warning = (
        "reported OC: (2.4, 9) is not symmetric about 3.8 on the log scale (its middle is 4.648)"
    )
    assert main(["audit", str(path)]) == 0
    assert f"cotreat: warning: {warning}" in capsys.readouterr().err
    study = load_study(str(path))
    result = reanalyse(study, ["interaction"], engine="laplace", out=tmp_path, depth=None)
    shown = " ".join(text_of(result).split())
    assert f"CAUTION, interaction: {warning}" in shown
    assert "Checks advise caution (reported OC)" in shown
    (page,) = tmp_path.glob("*/report.html")
    assert warning in page.read_text(encoding="utf-8")


# --- Texts for the outcome and the treatments (D8, D9) ---------------------------------------------

ROWS = """
format = 1
study = { id = "rows", title = "Patients", design = "cohort", source = "made up" }
outcome = { name = "death", direction = "harm" }
treatments = { A = { name = "drug A" }, B = { name = "drug B" } }
[patients]
outcome = "y"
"""
TREATMENTS = 'treatments = { A = "a", B = "b" }\n'
AGES = [30.0 + at for at in range(42)]
SEXES = ["f", "m"] * 21
COUNTS = {"none": (12, 3), "A": (10, 4), "B": (9, 5), "A+B": (11, 7)}


def rows(event=1, no_event=0, **columns):
    """One row for each patient of COUNTS."""
    patients = [
        (regimen, int("A" in regimen), int("B" in regimen), event if at < events else no_event)
        for regimen, (n, events) in COUNTS.items()
        for at in range(n)
    ]
    return pd.DataFrame(patients, columns=["rx", "a", "b", "y"]).assign(**columns)


def read(keys=TREATMENTS, **columns):
    return parse_study(ROWS + keys, patients=rows(**columns)).patterns


def refused(keys=TREATMENTS, **columns):
    with pytest.raises(StudyError) as error:
        read(keys, **columns)
    (problem,) = error.value.problems
    return problem


@pytest.mark.parametrize("name", ["y_YN.csv", "y_yesno.csv"])
def test_d8_yes_and_no_in_a_file(name):
    text = (CASES / "labels.toml").read_text(encoding="utf-8").replace("y_YN.csv", name)
    counts = parse_study(text, folder=CASES).patterns.counts
    # Sums of the file by pandas, which compares texts.
    table = pd.read_csv(CASES / name)
    events = table.y.str.lower().str.startswith("y")
    for regimen, (a, b) in {"none": (0, 0), "A": (1, 0), "B": (0, 1), "A+B": (1, 1)}.items():
        own = (table.a == a) & (table.b == b)
        assert counts[regimen] == (own.sum(), (own & events).sum())


@pytest.mark.parametrize(
    ("yes", "no"),
    [
        ("yes", "no"),
        ("Y", "N"),
        ("y", "n"),
        ("on", "off"),
        ("TRUE", "FALSE"),
        ("Yes ", "No"),
        ("T", "F"),
    ],
)
def test_d8_yes_and_no_in_a_frame(yes, no):
    patterns = read(event=yes, no_event=no, a=lambda f: f.a.map({1: yes, 0: no}))
    assert patterns.counts == COUNTS
    assert f"outcome, column 'y': yes: {yes!r}; no: {no!r}" in patterns.notes
    assert f"A, column 'a': yes: {yes!r}; no: {no!r}" in patterns.notes


def test_d8_categories_of_pandas_are_texts():
    assert read(y=lambda f: f.y.map({1: "yes", 0: "no"}).astype("category")).counts == COUNTS


def test_d8_a_binary_covariate_of_yes_and_no():
    keys = TREATMENTS + 'covariates = { smoker = "binary" }\n'
    smoker = [at % 3 == 0 for at in range(42)]
    words = ["Yes" if one else "no" for one in smoker]
    assert read(keys, smoker=words).values.tolist() == read(keys, smoker=smoker).values.tolist()
    problem = refused(keys, smoker=["f" if one else "m" for one in smoker])
    assert "column 'smoker' has the values 'f', 'm'; write smoker = \"categorical\"" in problem


@pytest.mark.parametrize(
    ("keys", "event", "no_event"),
    [
        ('event = "dead"', "Dead", "Alive"),
        ('event = "1_yes"', "1_yes", "0_no"),
        ("event = 2", 2, 1),
        ("event = 2", 2.0, 1.0),
        ("event = 0", 0, 1),
        ('no_event = "alive"', "dead ", "alive"),
        ('event = ["dead"]\nno_event = ["alive"]', "dead", "alive"),
        ("event = true", True, False),
    ],
)
def test_d8_the_value_of_the_event_is_a_key(keys, event, no_event):
    assert read(f"{keys}\n{TREATMENTS}", event=event, no_event=no_event).counts == COUNTS


def test_d8_several_values_are_the_event():
    causes = ["heart", "cancer"] * 21
    y = [cause if one else "alive" for cause, one in zip(causes, rows().y, strict=True)]
    assert read(f'event = ["heart", "cancer"]\n{TREATMENTS}', y=y).counts == COUNTS


def test_d8_the_value_of_a_treatment_is_a_key():
    keys = (
        'treatments = { A = { column = "got_a", yes = "given" }, B = { column = "b", no = 0 } }\n'
    )
    words = lambda f: f.a.map({1: "given", 0: "withheld"})  # noqa: E731
    assert read(keys, got_a=words).counts == COUNTS


@pytest.mark.parametrize(
    ("keys", "y", "says"),
    [
        (
            "",
            ["Dead", "Alive"],
            "the values 'Alive', 'Dead'; write event = \"…\" with the value of",
        ),
        ('event = "deed"', ["Dead", "Alive"], "has the values 'Alive', 'Dead'; event is 'deed'"),
        ("", ["1_yes", "0_no"], "has the values '0_no', '1_yes'; write event"),
        (
            "",
            [1, 2],
            "holds 2 and the like in 21 rows; it must hold 0 and 1, or true and false; other",
        ),
        ('event = "dead"', ["dead", "alive", "lost"], "more than two values: besides event it has"),
        (
            'event = "dead"\nno_event = "alive"',
            ["dead", "alive", "."],
            "'.', which is neither event nor no_event; write missing_values = [\".\"]",
        ),
        ('event = "dead"\nno_event = "dead"', ["dead", "alive"], "'dead', which is both"),
        ("", ["yes", "no", "."], "if '.' means missing, write missing_values = [\".\"]"),
        ("", ["yes", "no", "maybe"], "has the values 'maybe', 'no', 'yes'; write event"),
        ("event = []", ["yes", "no"], 'is []; it must be a value such as "dead" or 2'),
    ],
)
def test_d8_an_unclear_outcome_names_its_values_and_the_key(keys, y, says):
    assert says in refused(f"{keys}\n{TREATMENTS}", y=(y * 42)[:42])


def test_d8_an_unclear_treatment_names_its_values_and_the_key():
    problem = refused(a=lambda f: f.a.map({1: "given", 0: "withheld"}))
    assert problem == (
        "patients.treatments.A: column 'a' has the values 'given', 'withheld'; write "
        'A = { column = "a", yes = "…" } with the value of patients who got A'
    )


REGIMENS = {"none": "placebo", "A": "A only", "B": "B", "A+B": "both"}


def test_d9_one_column_of_regimens():
    text = (CASES / "one.toml").read_text(encoding="utf-8").replace('file = "one.csv"\n', "")
    text = text.replace('treatments = { A = "rx", B = "rx" }', 'regimen = "rx"')
    table = pd.read_csv(CASES / "one.csv")
    counts = parse_study(text, patients=pd.concat([table, table])).patterns.counts
    assert counts == dict.fromkeys(("none", "A", "B", "A+B"), (4, 2))


def test_d9_two_treatments_in_one_column_are_a_regimen():
    with pytest.raises(StudyError, match='write regimen = "rx" in place of treatments'):
        load_study(str(CASES / "one.toml"))


@pytest.mark.parametrize("named", [{}, {"A+B": "B + A "}, {"A+B": "B+A"}])
def test_d9_a_regimen_is_read_in_any_order(named):
    patterns = read('regimen = "rx"\n', rx=lambda f: f.rx.replace(named))
    assert patterns.counts == COUNTS


def test_d9_values_that_are_no_regimens_are_translated():
    keys = (
        'regimen = { column = "rx", values = { placebo = "none", "A only" = "A", both = "A+B" } }\n'
    )
    patterns = read(keys, rx=lambda f: f.rx.map(REGIMENS))
    assert patterns.counts == COUNTS
    assert "A, column 'rx': yes: 'A only', 'both'; no: 'B', 'placebo'" in patterns.notes
    numbers = 'regimen = { column = "rx", values = { 0 = "none", 1 = "A", 2 = "B", 3 = "A+B" } }\n'
    for kind in (int, float):
        of = dict(zip(COUNTS, map(kind, range(4)), strict=True))
        assert read(numbers, rx=lambda f, of=of: f.rx.map(of)).counts == COUNTS


def test_d9_an_untranslated_value_is_refused_with_what_to_write():
    assert refused('regimen = "rx"\n', rx=lambda f: f.rx.map(REGIMENS)) == (
        "patients.regimen: column 'rx' has the values 'A only', 'both', 'placebo', which are no "
        'regimens; write regimen = { column = "rx", values = { "A only" = "…", "both" = "A+B", '
        '"placebo" = "none" } }'
    )
    keys = 'regimen = { column = "rx", values = { plac = "none" } }\n'
    assert "'plac' of its table of values is none of them" in refused(keys)
    assert "unknown treatment C" in refused(keys.replace("none", "C"))
    both = 'regimen = "rx"\n' + TREATMENTS
    assert "write either the column of each treatment, or regimen" in refused(both)
    assert "missing; write either the column of each treatment, or regimen" in refused("")


def test_d9_an_empty_regimen_is_missing_and_not_none():
    problem = refused('regimen = "rx"\n', rx=lambda f: f.rx.where(f.rx != "none"))
    assert problem.startswith("patients.missing: values are missing (rx 12)")


LEVELS = ROWS.replace(
    '"drug A" }', '"drug A", dose = { low = "under 4 mg", high = "4 mg or more" } }'
)


def test_d9_a_column_of_levels_contains_none_for_the_others():
    words = ["low", "high"]
    level = [words[at % 2] if a else "none" for at, a in enumerate(rows().a)]
    keys = 'treatments = { A = "dose", B = "b" }\ndose = { A = "dose" }\n'
    patterns = parse_study(LEVELS + keys, patients=rows(dose=level)).patterns
    assert patterns.counts == COUNTS
    separate = parse_study(
        LEVELS + keys.replace('A = "dose", B', 'A = "a", B'), patients=rows(dose=level)
    )
    assert patterns.stratified("dose").counts == separate.patterns.stratified("dose").counts
    wrong = ["medium", *level[1:]]
    with pytest.raises(StudyError, match=r"'medium', which is neither a level of A \(low, high\)"):
        parse_study(LEVELS + keys, patients=rows(dose=wrong))


# --- Files of statistics packages and Excel (D10) --------------------------------------------------

LABELS = {
    "rx": {1: "none", 2: "A", 3: "B", 4: "A+B"},
    "y": {1: "alive", 2: "dead"},
    "sex": {0: "female", 1: "male", -9: "refused"},
    "age": {999: "not known"},
    "a": {0: "No", 1: "Yes"},
    "dose": {0: "none", 1: "low", 2: "high"},
}
FORMATS = LEVELS.replace('outcome = "y"', 'file = "FILE"\noutcome = "y"\nmissing = "drop"') + (
    'covariates = { age = "continuous", sex = "categorical" }\ndose = { A = "dose" }\ncluster = "site"\n'
)
CODED = "event = 2\n" + TREATMENTS
LABELLED = 'event = "dead"\nregimen = "rx"\n'


def codes():
    """Patients as SPSS and Stata store them: numbers, with 999 and -9 for missing values."""
    table = rows(event=2, no_event=1, age=AGES, sex=[0, 1] * 21, site=[1, 2, 3] * 14)
    table.loc[[3, 9], "age"], table.loc[7, "sex"] = 999, -9
    dose = [(at % 2 + 1) if a else 0 for at, a in enumerate(table.a)]
    return table.assign(rx=table.rx.map({v: k for k, v in LABELS["rx"].items()}), dose=dose)


def as_csv(folder, *, is_labelled):
    """Write what a package exports: codes or labels, and nothing for a missing value."""
    table = codes().astype({"sex": object, "age": object})
    table.loc[[3, 9], "age"], table.loc[7, "sex"] = None, None
    for name in [*LABELS] if is_labelled else ["dose"]:
        if name != "age":
            table[name] = table[name].map(LABELS[name])
    table.to_csv(folder / "rows.csv", index=False)
    return table


def as_sav(folder, name="rows.sav"):
    ranges = {"age": [999], "sex": [{"lo": -99, "hi": -1}]}
    pyreadstat.write_sav(
        codes(), folder / name, variable_value_labels=LABELS, missing_ranges=ranges
    )


def as_dta(folder):
    table = codes().astype({"age": object, "sex": object})
    table.loc[[3, 9], "age"], table.loc[7, "sex"] = "a", "b"
    labels = {name: of for name, of in LABELS.items() if name != "age"}
    labels["sex"] = {0: "female", 1: "male"}
    letters = {"age": ["a"], "sex": ["b"]}
    pyreadstat.write_dta(
        table, folder / "rows.dta", variable_value_labels=labels, missing_user_values=letters
    )


def as_xlsx(folder):
    table = as_csv(folder, is_labelled=True)
    with pd.ExcelWriter(folder / "rows.xlsx") as book:
        table.to_excel(book, sheet_name="patients", index=False)
        table.head(3).to_excel(book, sheet_name="notes", index=False)


def of_file(folder, name, keys):
    return parse_study(FORMATS.replace("FILE", name) + keys, folder=folder).patterns


def parts_of(patterns):
    arrays = (patterns.values, patterns.n, patterns.events, patterns.cluster)
    return [part.tolist() for part in arrays], patterns.labels, patterns.missing, patterns.dropped


def test_d10_a_file_of_stata():
    table = pd.read_stata(CASES / "f.dta")
    counts = load_study(str(CASES / "dta.toml")).patterns.counts
    events = table.groupby(["a", "b"]).y.agg(["size", "sum"]).apply(tuple, axis=1).to_dict()
    assert counts == {
        "none": events[0, 0],
        "A": events[1, 0],
        "B": events[0, 1],
        "A+B": events[1, 1],
    }


@pytest.mark.parametrize(
    ("write", "name"),
    [(as_sav, "rows.sav"), (as_dta, "rows.dta"), (as_xlsx, "rows.xlsx")],
)
def test_d10_a_file_has_the_rows_of_its_export(tmp_path, write, name):
    write(tmp_path)
    as_csv(tmp_path, is_labelled=True)
    export = of_file(tmp_path, "rows.csv", LABELLED)
    found = of_file(tmp_path, name, LABELLED)
    assert export.missing == (("age", 2), ("sex", 1))
    assert export.dropped == 3
    assert parts_of(found)[0][1:] == parts_of(export)[0][1:]
    assert found.names == export.names == ("age", "sex=male")
    assert parts_of(found) == parts_of(export)


@pytest.mark.parametrize(("write", "name"), [(as_sav, "rows.sav"), (as_dta, "rows.dta")])
def test_d10_codes_and_labels_are_the_same_patients(tmp_path, write, name):
    write(tmp_path)
    as_csv(tmp_path, is_labelled=False)
    coded, labelled = (of_file(tmp_path, name, keys) for keys in (CODED, LABELLED))
    assert parts_of(coded) == parts_of(labelled)
    export = of_file(tmp_path, "rows.csv", CODED)
    assert export.counts == coded.counts
    assert export.values.tolist() == coded.values.tolist()


def test_d10_labels_and_user_missing_codes_are_in_the_audit(tmp_path):
    as_sav(tmp_path)
    study = parse_study(FORMATS.replace("FILE", "rows.sav") + LABELLED, folder=tmp_path)
    shown = words(audit(study))
    for line in (
        "labels of the file, column 'y': 1 is 'alive', 2 is 'dead'",
        "user-missing codes of the file, column 'age': 999 (not known) in 2 rows",
        "user-missing codes of the file, column 'sex': -9 (refused) in 1 rows",
        "outcome, column 'y': yes: 'dead'; no: 'alive'",
    ):
        assert f"\n  {line}\n" in shown
    assert "3 rows with missing values were dropped (age 2, sex 1)" in shown


def test_d10_the_sheet_of_a_workbook_is_shown(tmp_path):
    as_xlsx(tmp_path)
    assert "sheet 'patients' of rows.xlsx, the first of 2" in (
        of_file(tmp_path, "rows.xlsx", LABELLED).notes
    )


def refused_file(folder, name, content=b"something else"):
    (folder / name).write_bytes(content)
    with pytest.raises(StudyError) as error:
        of_file(folder, name, LABELLED)
    (problem,) = error.value.problems
    return problem


@pytest.mark.parametrize(
    "name", ["rows.sav", "rows.dta", "rows.sas7bdat", "rows.xlsx", "rows.ZSAV"]
)
def test_d10_a_file_of_another_format_is_refused(tmp_path, name):
    problem = refused_file(tmp_path, name)
    assert f"{name} is no whole " in problem
    assert "it was cut short or has another format" in problem
    assert refused_file(tmp_path, name, b"") == "patients.file: the file is empty"


@pytest.mark.parametrize("library", ["pyreadstat", "openpyxl"])
def test_d10_without_the_extra_it_says_how_to_install_it(tmp_path, monkeypatch, library):
    name = "rows.xlsx" if library == "openpyxl" else "rows.sav"
    monkeypatch.setitem(sys.modules, library, None)
    assert refused_file(tmp_path, name) == (
        f"patients.file: {name} is read by {library}; install it with pip install 'cotreat[files]'"
    )


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("rows.rds", 'rows.rds is a file of R; in R write write.csv(data, "rows.csv", row.names'),
        ("rows.RData", "arrow::write_parquet"),
        ("rows.xls", "save it as .xlsx or CSV"),
    ],
)
def test_d10_a_file_that_is_not_read_is_to_be_exported(tmp_path, name, says):
    assert says in refused_file(tmp_path, name)


# --- Missing values (D11) --------------------------------------------------------------------------

MISSING = TREATMENTS + 'covariates = { age = "continuous", sex = "categorical" }\n'


@pytest.mark.parametrize("marker", [".", "n/a", "NULL", "NA"])
def test_d11_a_marker_of_missing_values_is_suggested(marker):
    ages = [marker, *map(str, AGES[1:])]
    assert refused(MISSING, age=ages, sex=SEXES) == (
        f"patients.covariates.age: column 'age' holds text such as {marker!r}; it must hold numbers; "
        f'if {marker!r} means missing, write missing_values = ["{marker}"]'
    )


def test_d11_markers_of_missing_values_are_a_key():
    ages, sexes = [*AGES], [*SEXES]
    ages[3], ages[7], sexes[9] = None, None, None
    keys = MISSING + 'missing = "drop"\n'
    right = read(keys, age=ages, sex=sexes)
    words = [str(age) for age in AGES]
    words[3], words[7], sexes[9] = ".", "999", " N/A"
    found = read(keys + 'missing_values = [".", "n/a", 999]\n', age=words, sex=sexes)
    assert found.counts == right.counts
    assert found.values.tolist() == right.values.tolist()
    assert found.missing == right.missing == (("age", 2), ("sex", 1))
    assert found.dropped == 3
    assert "missing values of column 'age': '.' in 1 rows, '999' in 1 rows" in found.notes
    problem = refused(MISSING + 'missing_values = [".", "n/a", 999]\n', age=words, sex=sexes)
    assert problem.startswith("patients.missing: values are missing (age 2, sex 1); write missing")


def test_d11_an_age_of_999_is_a_warning():
    study = parse_study(ROWS + MISSING, patients=rows(age=[*AGES[:-2], 999, 999], sex=SEXES))
    assert study.warnings == (
        "patients: column 'age' holds 999 in 2 rows and otherwise at most 69; if 999 means missing, "
        "write missing_values = [999]",
    )
    below = parse_study(ROWS + MISSING, patients=rows(age=[*AGES[:-1], -9], sex=SEXES))
    assert "holds -9 in 1 rows and otherwise at least 30" in below.warnings[0]
    plain = parse_study(ROWS + MISSING, patients=rows(age=[*AGES[:-1], 99], sex=SEXES))
    assert plain.warnings == ()
    keys = MISSING + 'missing = "drop"\nmissing_values = [999]\n'
    assert parse_study(ROWS + keys, patients=rows(age=[*AGES[:-1], 999], sex=SEXES)).warnings == ()


# --- Odd names and values (D5) ---------------------------------------------------------------------


def test_d5_a_column_may_have_the_name_of_a_word_of_python():
    assert load_study(str(CASES / "self_column" / "s.toml")).patterns.names == ("age", "self=b")


def test_d5_two_columns_that_make_one_covariate_are_refused():
    keys = TREATMENTS + 'covariates = { class = "categorical", "class=b" = "binary" }\n'
    both = {"class": ["a", "b"] * 21, "class=b": [0, 1, 1] * 14}
    assert refused(keys, **both) == (
        "patients.covariates: columns 'class' and 'class=b' both make the covariate 'class=b'; rename one "
        "of them"
    )


@pytest.mark.parametrize("huge", [1e308, -1e308, 1e200])
def test_d5_numbers_that_cannot_be_scaled_are_refused(huge):
    keys = TREATMENTS + 'covariates = { age = "continuous" }\n'
    assert refused(keys, age=[huge, *AGES[1:]]) == (
        "patients.covariates.age: has values that are too large to be scaled; correct or rescale them"
    )


def test_d5_a_cut_file_is_refused():
    with pytest.raises(StudyError, match="the file is cut short; copy it again"):
        load_study(str(CASES / "gz_cut" / "s.toml"))


DEEP = ".".join("a" * 20_000)


@pytest.mark.parametrize(
    "deep",
    [
        f"[study.x.{DEEP}]",
        f"[treatments.A.dose.{DEEP}]",
        f"[baseline.risk.{DEEP}]",
        f"[patients.treatments.{DEEP}]",
        f"[[reported]]\nvalue.{DEEP} = 1",
    ],
)
def test_d5_a_key_of_any_depth_gives_a_short_error(deep):
    with pytest.raises(StudyError) as error:
        parse_study(TWO + deep)
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize(
    ("right", "written"),
    [
        ('title = "A and B"', 'title = "A\\u001b[31m and B"'),
        ('name = "drug A"', 'name = "drug \\u0007A"'),
        ('regimen = "none"', 'regimen = "\\u001b]0;owned\\u0007"'),
        ('source = "made up" }', 'source = "made up", "\\u009bx" = 1 }'),
    ],
)
def test_d5_control_characters_are_refused_and_not_printed(tmp_path, capsys, right, written):
    path = tmp_path / "s.toml"
    path.write_text(TWO.replace(right, written, 1), encoding="utf-8")
    assert main(["audit", str(path)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "has a control character; remove it" in printed.err
    assert all(line.isprintable() for line in printed.err.splitlines())


def test_d5_control_characters_of_the_data_are_refused_and_not_printed():
    keys = TREATMENTS + 'covariates = { class = "categorical" }\n'
    problem = refused(keys, **{"class": ["a", "\x1b[31mb"] * 21})
    assert "column 'class' holds '\\x1b[31mb' in 21 rows, which has a control character" in problem
    table = rows().rename(columns={"y": "\x1b[31my"})
    with pytest.raises(StudyError) as error:
        parse_study(ROWS + TREATMENTS, patients=table)
    assert "the columns are rx, a, b, \\x1b[31my" in str(error.value)


# --- Any text in names and values (D4) -------------------------------------------------------------


@pytest.mark.slow
def test_d4_names_and_values_may_be_any_text(tmp_path, monkeypatch):
    keys = 'covariates = { "crea mg/dl" = "continuous", "a/b [1]" = "categorical" }\ncluster = "ward/1"\n'
    texts = {
        "crea mg/dl": AGES,
        "a/b [1]": ["x/y", "<b>", "{0} 50% $1$"] * 14,
        "ward/1": ["h/1", "../h", "a, b"] * 14,
    }
    study = parse_study(ROWS + TREATMENTS + keys, patients=rows(**texts))
    words(audit(study))
    draw_only(monkeypatch, "prior_posterior", "rank", "pair")
    reanalyse(study, ["interaction"], engine="laplace", draws=1000, out=tmp_path, depth=None)
    (folder,) = (path.parent for path in tmp_path.glob("*/*/summary.csv"))
    assert {"prior_posterior.png", "rank.png"} <= {path.name for path in folder.iterdir()}
    (page,) = tmp_path.glob("*/report.html")
    assert "crea mg/dl" in page.read_text(encoding="utf-8")


# --- Many regimens (D7) ----------------------------------------------------------------------------


def test_d7_levels_that_make_too_many_regimens_are_refused():
    with pytest.raises(StudyError) as error:
        load_study(str(CASES / "levels_6x30.toml"))
    # 30 levels and "not given" of each of six treatments: 31 to the power of 6.
    assert error.value.problems == (
        "treatments: dose makes 887,503,681 regimens of 6 treatments; at most 1,024 are supported: join "
        "levels or subgroups",
    )


def test_d7_subgroups_that_make_too_many_regimens_are_refused():
    groups = ", ".join(f'g{at} = "group {at}"' for at in range(300))
    with pytest.raises(StudyError, match=r"subgroups: age makes 1,200 regimens of 2 treatments"):
        parse_study(TWO + f'[subgroups.age]\nname = "age"\ngroups = {{ {groups} }}')


def test_d7_the_gradient_needs_the_arms_of_the_estimand_only(monkeypatch):
    treatments = ", ".join(f'{name} = {{ name = "drug {name}" }}' for name in "ABCDEF")
    text = TWO.partition("treatments")[0] + f"treatments = {{ {treatments} }}" + REPORTED
    study, evaluated = parse_study(text), []
    own = identification.averages

    def counted(xp, log_odds, sigma):
        evaluated.append(len(log_odds))
        return own(xp, log_odds, sigma)

    monkeypatch.setattr(identification, "averages", counted)
    audit(study)
    assert len(evaluated) > 4000
    assert max(evaluated) <= 16  # four arms, each moved alone; 64 times 64 before


def test_d8_the_query_for_a_database_reads_words_as_the_package_does(tmp_path):
    """The same events whether the rows are read here or by SQLite; one declared value, in another case."""
    frame = pd.DataFrame({"y": ["Dead", "dead ", "Alive", "alive", "ALIVE"], "a": [1, 0, 1, 0, 1]})
    file = tmp_path / "s.toml"
    file.write_text(
        'format = 1\n[study]\nid = "s"\ntitle = "t"\ndesign = "cohort"\nsource = "made up"\n'
        '[outcome]\nname = "death"\ndirection = "harm"\n[treatments]\nA = { name = "a" }\nB = { name = "b" }\n'
        '[patients]\noutcome = "y"\nevent = "dead"\ntreatments = { A = "a", B = "b" }\n',
        encoding="utf-8",
    )
    query, check, _ = aggregation_of(str(file))
    with closing(sqlite3.connect(":memory:")) as database:
        frame.assign(b=0).to_sql("patients", database, index=False)
        rows, checked = (pd.read_sql_query(text, database) for text in (query, check))
    assert rows.set_index("A")[["n", "events"]].to_numpy().tolist() == [[2, 1], [3, 1]]
    assert checked["y values, at most 2"].tolist() == [2]
