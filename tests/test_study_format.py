"""The format of study files: the grammar of contrasts, the schema, version 0.1, and odd inputs."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cotreat.evidence.contrasts import KINDS
from cotreat.evidence.statistics import STATISTICS
from cotreat.study.study import Meaning, Study
from cotreat.study_file.contrast import UNSPECIFIED, format_contrast, parse_contrast
from cotreat.study_file.reader import StudyError, load_study, packaged, parse_study
from cotreat.study_file.shape import SCHEMA_FILE, SCHEMA_LINE, schema

ROOT = Path(__file__).parent.parent
PACKAGED = [
    *ROOT.glob("src/cotreat/studies/*.toml"),
    *ROOT.glob("src/cotreat/**/templates/*.toml"),
    *ROOT.glob("validation/**/templates/*.toml"),
    *ROOT.glob("results/sun2024-synthetic/*.toml"),
    ROOT / "tests/reference/patients.toml",
]

# --- The grammar of contrasts --------------------------------------------------------------------

FORMS = {
    "TAC+CYC vs CYC": Meaning("regimens", ("TAC+CYC", "CYC")),
    "TAC vs none": Meaning("regimens", ("TAC", "none")),
    "TAC.high+CYC | kidney=severe vs CYC | kidney=severe": Meaning(
        "regimens", ("TAC.high+CYC | kidney=severe", "CYC | kidney=severe")
    ),
    "TAC vs not TAC": Meaning("sets", ("TAC", "not TAC")),
    "TAC.high vs not TAC": Meaning("sets", ("TAC.high", "not TAC")),
    "TAC and not CYC vs CYC": Meaning("sets", ("TAC and not CYC", "CYC")),
    "any(TAC, CYC) vs none": Meaning("sets", ("any(TAC, CYC)", "none")),
    "all with TAC vs all with CYC": Meaning("sets", ("TAC", "CYC")),
    "all with TAC vs none": Meaning("sets", ("TAC", "none")),
    "not TAC < TAC and not CYC < TAC and CYC": Meaning(
        "trend", ("not TAC", "TAC and not CYC", "TAC and CYC")
    ),
    "TAC.low < TAC.high": Meaning("trend", ("TAC.low", "TAC.high")),
    "TAC x CYC": Meaning("product", ("TAC", "CYC")),
    "TAC x CYC | treatments": Meaning("adjusted_product", ("TAC", "CYC")),
    "TAC x CYC | TAC x MMF": Meaning("products", (("TAC", "CYC"), ("TAC", "MMF"))),
    "TAC x CYC | TAC x MMF, CYC x MMF": Meaning(
        "products", (("TAC", "CYC"), ("TAC", "MMF"), ("CYC", "MMF"))
    ),
    "unspecified: dose vs none": Meaning(UNSPECIFIED, ("dose vs none",)),
}

ALL_KINDS = " or ".join(f'"{kind}"' for kind in (*STATISTICS, "p_value", "p_trend"))


LEVEL_FORMS = {
    "TAC+CYC": Meaning("regimen", ("TAC+CYC",)),
    "none": Meaning("regimen", ("none",)),
    "all with TAC": Meaning("set", ("TAC",)),
    "not TAC": Meaning("set", ("not TAC",)),
    "TAC and not CYC": Meaning("set", ("TAC and not CYC",)),
}
"""Forms of the patients of a percentage."""


@pytest.mark.parametrize("text", LEVEL_FORMS)
def test_each_form_of_the_patients_of_a_percentage(text: str) -> None:
    assert parse_contrast(text, is_level=True) == LEVEL_FORMS[text]
    assert format_contrast(LEVEL_FORMS[text]) == text


@pytest.mark.parametrize("text", ["TAC vs CYC", "TAC x CYC", "not TAC < TAC", ""])
def test_what_is_no_group_of_patients(text: str) -> None:
    with pytest.raises(ValueError, match="it must be a regimen such as"):
        parse_contrast(text, is_level=True)


@pytest.mark.parametrize("text", FORMS)
def test_each_form_of_a_contrast(text: str) -> None:
    assert parse_contrast(text) == FORMS[text]
    assert format_contrast(FORMS[text]) == text


def test_every_kind_of_meaning_has_a_form() -> None:
    meanings = (*FORMS.values(), *LEVEL_FORMS.values())
    assert {meaning.kind for meaning in meanings} == {*KINDS, UNSPECIFIED}


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("  TAC  vs  CYC ", "TAC vs CYC"),
        ("TAC × CYC", "TAC x CYC"),
        ("TAC x CYC|treatments", "TAC x CYC | treatments"),
        ("all with TAC vs not TAC", "TAC vs not TAC"),
        ("unspecified:dose", "unspecified: dose"),
    ],
)
def test_other_ways_to_write_a_contrast(text: str, same: str) -> None:
    assert format_contrast(parse_contrast(text)) == same


@pytest.mark.parametrize(
    "text",
    ["TAC", "TAC vs", "vs TAC", "TAC vs CYC vs MMF", "TAC <", "TAC x", "unspecified:", "TACvsCYC"],
)
def test_what_is_no_contrast(text: str) -> None:
    with pytest.raises(ValueError, match="it must be a contrast such as"):
        parse_contrast(text)


DRUGS = st.sampled_from(["A", "B", "C_2", "x", "andes", "nota"])
ANALYSES = DRUGS | DRUGS.map(lambda drug: f"{drug}.high")
PLAIN = st.lists(ANALYSES, min_size=1, max_size=3, unique_by=lambda part: part[0]).map("+".join)
REGIMENS = PLAIN | st.just("none") | PLAIN.map(lambda one: f"{one} | age=old")
NAMES = ANALYSES | st.just("none") | st.just("age.old")
MARKED = (
    NAMES.map(lambda one: f"not {one}")
    | st.tuples(NAMES, NAMES).map(" and not ".join)
    | st.lists(DRUGS, min_size=1, max_size=3).map(lambda own: f"any({', '.join(own)})")
    | st.just("all")
)
SETS = st.tuples(NAMES | MARKED, NAMES | MARKED).filter(lambda own: own != ("none", "none"))
PAIRS = st.tuples(DRUGS, DRUGS)
WORDS = st.text(st.characters(codec="ascii", exclude_categories=["C"])).map(str.strip).filter(bool)
MEANINGS = st.one_of(
    st.tuples(REGIMENS, REGIMENS).map(lambda own: Meaning("regimens", own)),
    SETS.map(lambda own: Meaning("sets", own)),
    st.lists(NAMES | MARKED, min_size=2, max_size=4).map(lambda own: Meaning("trend", tuple(own))),
    PAIRS.map(lambda own: Meaning("product", own)),
    PAIRS.map(lambda own: Meaning("adjusted_product", own)),
    st.lists(PAIRS, min_size=2, max_size=4).map(lambda own: Meaning("products", tuple(own))),
    WORDS.map(lambda own: Meaning(UNSPECIFIED, (own,))),
)


@given(MEANINGS)
def test_contrasts_are_read_as_they_were_meant(meaning: Meaning) -> None:
    assert parse_contrast(format_contrast(meaning)) == meaning


@given(MEANINGS.map(format_contrast))
def test_contrasts_are_written_as_they_were_read(text: str) -> None:
    assert format_contrast(parse_contrast(text)) == text


def contrasts(file: Path) -> list[str]:
    raw = tomllib.loads(file.read_text(encoding="utf-8"))
    tables = [*raw.get("reported", ())]
    for one in raw.get("interpretations", ()):
        tables += one.get("means", {}).values()
    return [table["contrast"] for table in tables]


def test_contrasts_of_the_packaged_files_are_written_as_they_are_read() -> None:
    found = [text for file in PACKAGED for text in contrasts(file)]
    assert len(found) > 40
    assert [format_contrast(parse_contrast(text)) for text in found] == found


# --- The schema ----------------------------------------------------------------------------------


def test_schema_is_of_draft_2020_12_and_has_the_grammar() -> None:
    found = schema()
    assert found["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert found["$id"] == SCHEMA_FILE
    assert found["required"] == ["format", "study", "outcome", "treatments"]
    for table in ("ReportedTable", "MeansTable"):
        grammar = found["$defs"][table]["properties"]["contrast"]["description"]
        for form in (
            "A+B vs B",
            "A vs not A",
            "A x B | treatments",
            "A x B | A x C",
            "unspecified:",
        ):
            assert form in grammar
    assert "null" not in re.findall(r'"type": "(\w+)"', json.dumps(found))
    tables = [found, *found["$defs"].values()]
    assert all(table["additionalProperties"] is False for table in tables)


def test_schema_and_reader_agree_on_what_each_kind_of_number_requires() -> None:
    *kinds, estimates, p_values = schema()["$defs"]["ReportedTable"]["allOf"]
    value = {
        rule["if"]["properties"]["kind"]["enum"][0]: rule["then"]["properties"]["value"]
        for rule in kinds
    }
    assert [*value] == estimates["if"]["properties"]["kind"]["enum"] == [*STATISTICS]
    assert value["odds_ratio"] == {"type": "number", "exclusiveMinimum": 0}
    assert value["reri_or"] == {"type": "number"}
    assert value["percentage"]["exclusiveMaximum"] == 100
    assert [one["required"] for one in estimates["then"]["anyOf"]] == [["ci"], ["p"], ["n"]]
    assert p_values["if"]["properties"]["kind"]["enum"] == ["p_value", "p_trend"]


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (
            'kind = "odds_ratio", value = 2',
            "ci: missing; it must be [lower, upper] with 0 < lower < upper, or p with the p-value of its Wald test",
        ),
        (
            'kind = "odds_ratio", value = 2, ci = [1, 4], sign = "+"',
            "sign: only a p-value has a sign; leave it out",
        ),
        (
            'kind = "p_value", value = 0.2, ci = [1, 4]',
            "ci: a p-value has no interval; leave it out",
        ),
        (
            'kind = "p_value", value = 0.2, level = 0.9',
            "level: a p-value has no interval; leave it out",
        ),
        (
            'kind = "p_value", value = 2',
            'value: is 2; it must be a number above 0 and at most 1, or as text "<0.001"',
        ),
        (
            'kind = "odds", value = -2',
            f"kind: is 'odds'; it must be {ALL_KINDS}",
        ),
    ],
)
def test_keys_of_a_kind_of_reported_number(keys: str, line: str) -> None:
    table = f'{{ id = "x", contrast = "A+B vs B", source = "s", {keys} }}'
    text = (ROOT / "src/cotreat/studies/isis2.toml").read_text(encoding="utf-8")
    text = text.replace("A+B", "SK+ASA").replace("format = 1", f"format = 1\nreported = [{table}]")
    found = problems(text.replace("A+B vs B", "SK+ASA vs ASA"))
    assert found == (f"reported[1].{line}",)


def test_packaged_files_name_the_schema_in_their_first_line() -> None:
    assert len(PACKAGED) > len(packaged()) + 10
    for file in PACKAGED:
        assert file.read_text(encoding="utf-8").splitlines()[0] == SCHEMA_LINE, file


# --- Version 0.1 ---------------------------------------------------------------------------------

OLD = """
study = { id = "old", title = "In the format of version 0.1", design = "cohort", source = "s" }
outcome = { name = "y", direction = "harm" }
treatments = { A = { name = "a" }, B = { name = "b" } }
totals = [{ patients = "all", n = 400, events = 134 }]
claims = [
  { id = "regimens", kind = "odds_ratio", regimens = ["A+B", "none"], value = 1.20, ci = [0.89, 1.63], source = "t" },
  { id = "sets", kind = "odds_ratio", sets = ["A", "not A"], value = 1.01, ci = [0.80, 1.28], source = "t" },
  { id = "trend", kind = "p_trend", trend = ["not A", "A and not B", "A and B"], value = 0.5, source = "t" },
  { id = "product", kind = "p_value", product = ["A", "B"], value = 0.5, source = "t" },
  { id = "adjusted", kind = "p_value", adjusted_product = ["A", "B"], value = 0.5, source = "t" },
  { id = "about", kind = "p_value", about = "synergy", value = 0.5, source = "t" },
  { id = "plain", kind = "odds_ratio", sets = ["A", "none"], value = 1.01, ci = [0.80, 1.28], source = "t" },
]
readings = [
  { id = "one", words = "as it is", default = true },
  { id = "two", words = "a product", means = { about = { products = [["A", "B"], ["B", "A"]] } } },
]
"""
TRANSLATED = (
    'claims[1].regimens: is now contrast = "A+B vs none"',
    'claims[2].sets: is now contrast = "A vs not A"',
    'claims[3].trend: is now contrast = "not A < A and not B < A and B"',
    'claims[4].product: is now contrast = "A x B"',
    'claims[5].adjusted_product: is now contrast = "A x B | treatments"',
    'claims[6].about: is now contrast = "unspecified: synergy"',
    'claims[7].sets: is now contrast = "all with A vs none"',
    "claims: is now [[reported]]",
    'readings[2].means.about.products: is now contrast = "A x B | B x A"',
    "readings: is now [[interpretations]]",
)


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(StudyError) as caught:
        parse_study(text)
    return caught.value.problems


def test_a_file_of_version_0_1_is_refused_with_what_to_write() -> None:
    first, *others = problems(OLD)
    assert first.startswith("format: missing; write format = 1 as the first key of the file")
    assert "version 0.1" in first
    translated = [line for line in others if "is now" in line]
    assert tuple(translated) == TRANSLATED


def test_what_else_is_wrong_with_a_file_of_version_0_1_is_said_too() -> None:
    text = OLD.replace("[0.89, 1.63]", "[1.30, 1.63]")
    assert [line for line in problems(text) if line not in problems(OLD)] == [
        "reported[1].ci: (1.30, 1.63) does not contain the estimate 1.20"
    ]


def test_format_is_1() -> None:
    right = "format: is 2; it must be 1"
    assert next(line for line in problems("format = 2\n" + OLD) if "format" in line) == right


def test_a_slip_of_format_is_an_unknown_key() -> None:
    found = problems("fromat = 1\n" + OLD)
    assert found[0] == "fromat: unknown key; did you mean format?"
    assert "format: missing; it must be 1" in found


# --- Odd inputs ----------------------------------------------------------------------------------

CASES = ROOT / "tests/cases"
LOADED = {
    "dta.toml": "fm",
    "formula/s.toml": "rows",
    "formula_source.toml": "mine",
    "high-risk.toml": "cv213836",
    "labels.toml": "code",
    "pairs.toml": "pairs",
    "self_column/s.toml": "rows",
    "slash_column/s.toml": "slash-column",
    "strong-effect.toml": "ovary3",
    "two-sizes.toml": "two-sizes",
    "wrongdata/data[1]/s.toml": "rows",
}
REFUSED = {
    "freq.toml": "patients.weight: column 'Freq' is not used and looks like numbers of patients",
    "age_1e308/s.toml": "patients.covariates.age: has values that are too large to be scaled",
    "deep_dotted_risk_20000.toml": "baseline.risk: is { a = { a = ",
    "esc_key.toml": r"'\x1b[31mred': '\x1b[31mred' has a control character; remove it",
    "gz_cut/s.toml": "patients.file: the file is cut short",
    "levels_6x30.toml": "treatments: dose makes 887,503,681 regimens of 6 treatments",
    "one.toml": "patients.treatments.B: column 'rx' is that of treatments.A too",
}


def test_every_case_is_tested() -> None:
    found = {file.relative_to(CASES).as_posix() for file in CASES.rglob("*.toml")}
    assert found == {*LOADED, *REFUSED}


@pytest.mark.parametrize("name", LOADED)
def test_cases_that_are_read(name: str) -> None:
    study = load_study(CASES / name)
    assert isinstance(study, Study)
    assert study.id == LOADED[name]


@pytest.mark.parametrize("name", REFUSED)
def test_cases_that_are_refused_with_a_short_message(name: str) -> None:
    with pytest.raises(StudyError) as caught:
        load_study(CASES / name)
    assert any(line.startswith(REFUSED[name]) for line in caught.value.problems)
    message = str(caught.value)
    assert len(message) < 1000
    assert all(line.isprintable() for line in message.splitlines())
