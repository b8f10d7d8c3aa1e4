"""Faults that public data showed, by their number in the list of faults; the inputs are in tests/cases."""

import csv
from collections import Counter
from importlib import resources
from pathlib import Path

import pandas as pd
import pytest

from cotreat import StudyError, load_study, parse_study, reanalyse
from cotreat.cli import main
from cotreat.cli.summary import text_of
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
