"""Patients of a study file: what is read, what is refused, and how rows become cells."""

import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytensor.tensor as pt
import pytest
import statsmodels.api as sm
import xarray as xr
from scipy import stats
from scipy.special import expit

from cotreat import StudyError, load_study, parse_study
from cotreat.cli import main
from cotreat.diagnostics.checks import checks, failures
from cotreat.estimands.enumerate import enumerate_estimands
from cotreat.estimands.estimand import risk_draws_of
from cotreat.evidence import patients
from cotreat.evidence.resolve import resolve
from cotreat.frequentist.g_computation import fit_adjusted
from cotreat.frequentist.intervals import intervals
from cotreat.inference.sampling import fit_of
from cotreat.models.build import build
from cotreat.models.registry import MODELS
from cotreat.models.select import priors_for
from cotreat.priors.sets import prior_set
from cotreat.results.summary import summarise
from cotreat.study_file.reader import aggregation_of
from tests.codes import by_code, code, status_text
from tests.codes import given as given_to
from tests.shared import fit

HEAD = """
format = 1
study = { id = "rows", title = "Rows, made up", design = "cohort", source = "made up", inclusion = "any(A, B)" }
outcome = { name = "response", direction = "benefit" }
treatments = { A = { name = "drug A" }, B = { name = "drug B" } }
"""
PATIENTS = """
[patients]
file = "rows.csv"
outcome = "response"
treatments = { A = "a", B = "b" }
covariates = { age = "continuous", female = "binary", class = "categorical" }
cluster = "hospital"
patient = "id"
"""
TEXT = HEAD + PATIENTS
COUNT = 300
REFERENCE = Path(__file__).parent / "reference"


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(7)
    a = rng.binomial(1, 0.6, COUNT)
    b = np.where(a == 0, 1, rng.binomial(1, 0.5, COUNT))
    age = rng.normal(40, 10, COUNT).round()
    hospital = rng.choice(["north", "south", "west"], COUNT)
    eta = -1 + 0.5 * a + 0.4 * b + 0.03 * (age - 40) + 0.5 * (hospital == "south")
    return pd.DataFrame(
        {
            "id": range(COUNT),
            "a": a,
            "b": b,
            "age": age,
            "female": rng.binomial(1, 0.8, COUNT),
            "class": rng.choice(["III", "IV", "V"], COUNT),
            "hospital": hospital,
            "response": rng.binomial(1, expit(eta)),
        }
    )


@pytest.fixture(scope="module")
def study(frame):
    return parse_study(TEXT, patients=frame)


def problems(text=TEXT, **given):
    with pytest.raises(StudyError) as caught:
        parse_study(text, **given)
    return caught.value.problems


# --- What is read ----------------------------------------------------------------------------------


def test_counts_by_regimen_are_those_of_pandas(study, frame):
    named = frame.assign(regimen=np.where(frame.a & frame.b, "A+B", np.where(frame.a, "A", "B")))
    counted = named.groupby("regimen").response.agg(["size", "sum"]).loc[list(study.counted)]
    assert list(study.n) == list(counted["size"])
    assert list(study.events) == list(counted["sum"])
    assert study.patterns.n.sum() == COUNT
    assert not study.has_uncounted


def test_covariates_are_centred_and_scaled_over_patients(study, frame):
    cells = study.patterns
    assert cells.names == ("age", "female", "class=IV", "class=V")
    age, female = cells.covariates[:2]
    assert age.mean == pytest.approx(frame.age.mean())
    assert age.scale == pytest.approx(frame.age.std(ddof=0))
    assert (female.mean, female.scale) == (pytest.approx(frame.female.mean()), 1.0)
    means = np.average(cells.values, axis=0, weights=cells.n)
    assert np.allclose(means, 0)
    assert np.average(cells.values[:, 0] ** 2, weights=cells.n) == pytest.approx(1)


def test_profiles_weigh_all_patients_whatever_their_regimen(study, frame):
    cells = study.patterns
    keys = ["age", "female", "class", "hospital"]
    (weights,) = cells.weights(study.regimens)
    assert len(weights) == len(frame.groupby(keys))
    assert sorted(weights * COUNT) == pytest.approx(sorted(frame.groupby(keys).size()))


def files(frame, folder):
    """Write the same rows in every way that can be read."""
    frame.to_csv(folder / "rows.csv", index=False)
    frame.to_parquet(folder / "rows.parquet")
    (folder / "parts").mkdir()
    for at, part in enumerate(np.array_split(np.arange(COUNT), 3)):
        frame.iloc[part].to_parquet(folder / "parts" / f"{at}.parquet")
    return ["rows.csv", "rows.parquet", "parts"]


def test_files_folders_and_frames_give_the_same_cells(frame, study, tmp_path):
    shuffled = frame.sample(frac=1, random_state=1).astype({"a": bool, "response": float})
    read = [parse_study(TEXT, patients=one) for one in (shuffled, pl.from_pandas(frame))]
    for name in files(frame, tmp_path):
        text = TEXT.replace("rows.csv", name)
        (tmp_path / "study.toml").write_text(text, encoding="utf-8")
        read.append(load_study(tmp_path / "study.toml"))
    for other in read:
        assert other.patterns.regimens == study.patterns.regimens
        assert other.patterns.clusters == study.patterns.clusters
        for part in ("values", "cluster", "n", "events"):
            assert np.array_equal(getattr(other.patterns, part), getattr(study.patterns, part)), (
                part
            )


def test_another_patient_is_another_digest(frame, study):
    other = frame.assign(response=frame.response.where(frame.id > 0, 1 - frame.response))
    assert parse_study(TEXT, patients=other).digest != study.digest
    assert parse_study(TEXT, patients=frame).digest == study.digest


def test_rows_with_missing_values_are_dropped_only_if_the_file_says_so(frame):
    holes = frame.astype({"age": float, "class": object})
    holes.loc[3, "age"] = np.nan
    holes.loc[[3, 5], "class"] = None
    (found,) = problems(patients=holes)
    assert found == (
        'patients.missing: values are missing (age 1, class 2); write missing = "drop" to leave those '
        "rows out"
    )
    study = parse_study(TEXT + 'missing = "drop"', patients=holes)
    assert study.n.sum() == COUNT - 2
    assert str(study.patterns).endswith("2 rows with missing values were dropped (age 1, class 2)")


# --- SQL -------------------------------------------------------------------------------------------


def test_the_sql_gives_the_same_cells_in_sqlite(frame, study, tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(TEXT, encoding="utf-8")
    query, _, section = aggregation_of(path)
    assert section == {
        "covariates": {"age": "continuous", "female": "binary", "class": "categorical"},
        "cluster": "hospital",
    }
    with closing(sqlite3.connect(":memory:")) as database:
        frame.to_sql("patients", database, index=False)
        cells = pd.read_sql_query(query, database)
    assert cells["n"].sum() == COUNT
    text = (
        HEAD
        + "[patterns]\ncluster = 'hospital'\ncovariates = { "
        + ("age = 'continuous', female = 'binary', class = 'categorical' }")
    )
    other = parse_study(text, patients=cells)
    for part in ("values", "cluster", "n", "events"):
        assert np.array_equal(getattr(other.patterns, part), getattr(study.patterns, part)), part
    assert other.patterns.regimens == study.patterns.regimens


def test_the_command_aggregate_prints_sql_without_the_rows(tmp_path, capsys):
    path = tmp_path / "study.toml"
    path.write_text(TEXT.replace('"a"', '"odd ""name"'.replace('""', '\\"')), encoding="utf-8")
    assert main(["aggregate", str(path), "--print-sql"]) == 0
    out, err = capsys.readouterr()
    assert 'CAST("odd ""name" AS INTEGER) AS "A"' in out
    assert 'cluster = "hospital"' in err


def test_the_command_aggregate_says_what_the_collapse_achieved(frame, tmp_path, capsys):
    frame.drop(columns="age").to_csv(tmp_path / "rows.csv", index=False)
    path = tmp_path / "study.toml"
    path.write_text(TEXT.replace('age = "continuous", ', ""), encoding="utf-8")
    assert main(["aggregate", str(path)]) == 0
    assert capsys.readouterr().out.startswith("300 rows, 5")
    assert main(["aggregate", "isis2"]) == 2


# --- What is refused -------------------------------------------------------------------------------


def changed(**columns):
    return lambda frame: frame.assign(**columns)


def some(column, value, rows=(0,)):
    def change(frame):
        new = frame.astype({column: object})
        new.loc[list(rows), column] = value
        return new

    return change


WRONG_ROWS = {
    "no outcome": (lambda f: f.drop(columns="response"), "patients.outcome: there is no column"),
    "no treatment": (
        lambda f: f.drop(columns="b"),
        "patients.treatments.B: there is no column 'b'",
    ),
    "near miss": (lambda f: f.rename(columns={"age": "ages"}), "did you mean ages?"),
    "no cluster": (lambda f: f.drop(columns="hospital"), "patients.cluster: there is no column"),
    "text outcome": (
        some("response", "yes"),
        "patients.outcome: column 'response' has the values '0', '1', 'yes'; write event = \"…\"",
    ),
    "words": (changed(response="alive"), "has the values 'alive'; write event = \"…\""),
    "outcome of 2": (some("response", 2), "column 'response' holds 2 and the like in 1 rows"),
    "treatment of 5": (changed(a=5), "patients.treatments.A: column 'a' holds 5"),
    "half a treatment": (changed(a=0.5), "holds 0.5 and the like in 300 rows"),
    "negative": (some("female", -1), "patients.covariates.female: column 'female' holds -1"),
    "age in words": (
        some("age", "forty"),
        "column 'age' holds text such as 'forty'; it must hold numbers",
    ),
    "endless age": (some("age", np.inf), "column 'age' holds inf and the like"),
    "age a date": (
        changed(age=pd.Timestamp("2020-01-01")),
        "column 'age' holds values of the type TIMESTAMP",
    ),
    "constant age": (changed(age=40.0), "column 'age' has the same value in every row"),
    "one class": (changed(**{"class": "III"}), "column 'class' has the same value in every row"),
    "one hospital": (
        changed(hospital="north"),
        "column 'hospital' has the same value in every row",
    ),
    "as many classes as patients": (
        lambda f: f.assign(**{"class": f.id.astype(str)}),
        "column 'class' has 300 levels, more than 50; is it continuous, or the patient?",
    ),
    "one patient twice": (
        lambda f: pd.concat([f, f.iloc[:1]]),
        "patients.patient: 1 patient stands in several rows, such as 0",
    ),
    "patients twice": (lambda f: pd.concat([f, f]), "300 patients stand in several rows"),
    "no rows": (lambda f: f.iloc[:0], "patients.file: has no rows"),
    "no value at all": (changed(age=np.nan), "column 'age' has no value in any row"),
    "forbidden regimen": (
        changed(a=0, b=lambda f: (f.id > 9).astype(int)),
        "the regimen none of 10 patients is forbidden by study.inclusion = 'any(A, B)'",
    ),
    "one regimen": (changed(a=1, b=0), "all patients have the regimen A; at least two"),
}


@pytest.mark.parametrize("case", WRONG_ROWS)
def test_wrong_rows_give_one_clear_error(frame, case):
    change, words = WRONG_ROWS[case]
    found = problems(patients=change(frame))
    assert any(words in line for line in found), found


WRONG_TEXT = {
    "no file": (HEAD + PATIENTS, "patients.file: there is no file"),
    "no outcome": (TEXT.replace('outcome = "response"', ""), "patients.outcome: missing"),
    "treatment left out": (TEXT.replace(', B = "b"', ""), "patients.treatments.B: missing"),
    "unknown treatment": (TEXT.replace('B = "b" }', 'B = "b", C = "c" }'), "C: no such treatment"),
    "unknown kind": (TEXT.replace('"continuous"', '"number"'), "patients.covariates: is"),
    "arms too": (
        TEXT + '[[arms]]\nregimen = "A"\nn = 3\nevents = 1\n',
        "arms: cannot be given with [patients]",
    ),
    "column for two": (
        TEXT.replace('B = "b"', 'B = "a"'),
        "column 'a' is that of treatments.A too",
    ),
    "name of a treatment": (
        TEXT.replace('A = "a"', 'A = "female"').replace("female = ", "a = "),
        "patients.covariates.a: column 'a' has the name of the column 'A' of the covariate patterns",
    ),
    "missing otherwise": (TEXT + 'missing = "impute"', "patients.missing: is 'impute'"),
}


@pytest.mark.parametrize("case", WRONG_TEXT)
def test_wrong_sections_give_one_clear_error(frame, case):
    text, words = WRONG_TEXT[case]
    found = problems(text, **({} if case == "no file" else {"patients": frame}))
    assert any(words in line for line in found), found


def rows_as_text(frame, change=lambda lines: lines):
    lines = frame.to_csv(index=False).splitlines()
    return "\n".join([lines[0], *change(lines[1:])])


def half_a_parquet(frame, path):
    frame.to_parquet(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def folder_with_half(frame, path):
    path.mkdir()
    frame.to_parquet(path / "1.parquet")
    half_a_parquet(frame, path / "2.parquet")


CUT = "is no whole Parquet file: it was cut short or has another format"
BROKEN_FILES = {
    "half.parquet": (half_a_parquet, f"half.parquet {CUT}"),
    "text.parquet": (lambda f, p: p.write_text(rows_as_text(f)), f"text.parquet {CUT}"),
    "half a folder": (folder_with_half, f"2.parquet {CUT}"),
    "hollow": (lambda _, p: p.mkdir(), "the folder holds no .parquet file"),
    "empty.csv": (lambda _, p: p.write_text(""), "the file is empty"),
    "header.csv": (lambda f, p: p.write_text(rows_as_text(f.iloc[:0])), "has no rows"),
    "cut.csv": (
        lambda f, p: p.write_text(rows_as_text(f, lambda rows: [*rows[:149], rows[149][:7]])),
        "line 151 has 3 values, and the header names 8 columns",
    ),
    "ragged.csv": (
        lambda f, p: p.write_text(rows_as_text(f, lambda rows: [rows[0] + ",9", *rows[1:]])),
        "line 2 has 9 values, and the header names 8 columns",
    ),
    "quote.csv": (
        lambda f, p: p.write_text(rows_as_text(f, lambda rows: [*rows[:-1], '"' + rows[-1]])),
        "cannot be read to line 301 (unexpected end of data); is a quotation mark left open?",
    ),
    "latin.csv": (
        lambda f, p: p.write_bytes(
            rows_as_text(f.replace({"hospital": {"west": "wést"}})).encode("latin-1")
        ),
        "is not UTF-8 text; save the file as UTF-8",
    ),
    "rows.csv.gz": (lambda f, p: p.write_text(rows_as_text(f)), "Not a gzipped file (b'id')"),
    "rows.xlsx": (
        lambda _, p: p.write_bytes(b"PK\x03\x04" + bytes(range(256)) * 9),
        "rows.xlsx is no whole Excel workbook: it was cut short or has another format",
    ),
    "rows.csv": (
        lambda _, p: p.write_bytes(b"PK\x03\x04" + bytes(range(256)) * 9),
        "the file is a workbook or a zip archive; save its rows as CSV or Parquet",
    ),
}


@pytest.mark.parametrize("name", BROKEN_FILES)
def test_a_broken_file_gives_one_clear_error(frame, tmp_path, name):
    write, words = BROKEN_FILES[name]
    write(frame, tmp_path / name)
    (only,) = problems(TEXT.replace("rows.csv", name), folder=tmp_path)
    assert only.startswith("patients.file: ")
    assert only.endswith(words)


def test_rows_are_read_whatever_stands_between_the_values(frame, study, tmp_path):
    frame.to_csv(tmp_path / "rows.csv", index=False, sep=";")
    read = parse_study(TEXT, folder=tmp_path)
    assert np.array_equal(read.patterns.values, study.patterns.values)
    frame.to_csv(tmp_path / "rows.csv.gz", index=False, sep="\t")
    read = parse_study(TEXT.replace("rows.csv", "rows.csv.gz"), folder=tmp_path)
    assert np.array_equal(read.patterns.values, study.patterns.values)


def test_the_former_name_of_the_table_is_refused_with_the_present_one():
    patterns = pd.DataFrame({"A": [1, 0], "B": [0, 1], "n": [4, 5], "events": [1, 1]})
    assert problems(HEAD + "[cells]", patients=patterns) == ("cells: is now [patterns]",)


def test_cells_with_more_events_than_patients_are_refused():
    cells = pd.DataFrame({"A": [1, 0], "B": [0, 1], "n": [4, 5], "events": [5, 1]})
    assert problems(HEAD + "[patterns]", patients=cells) == (
        "patterns.events: 1 covariate patterns have more events than patients",
    )
    holes = cells.assign(A=[1, None], events=1)
    assert problems(HEAD + "[patterns]", patients=holes) == (
        "patterns.file: values are missing (A 1); a covariate pattern needs all of them",
    )
    wrong = cells.assign(n=[0, 5], events=[0, 1])
    assert "patterns.n: column 'n' holds 0" in problems(HEAD + "[patterns]", patients=wrong)[0]


def test_a_frame_needs_its_columns_named(frame):
    text = HEAD + "".join(
        f'[[arms]]\nregimen = "{regimen}"\nn = 9\nevents = 3\n' for regimen in ("A", "B")
    )
    assert problems(text, patients=frame)[0].startswith(
        "patients: missing; it must name the columns"
    )


# --- What is fitted --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted(study):
    return fit(study, "interaction", engine="laplace", draws=1000)


@pytest.mark.slow
def test_patients_pass_every_check(study, fitted):
    assert failures(checks(fit_of(study, MODELS["interaction"], fitted))) == []


@pytest.mark.slow
def test_without_covariates_the_draws_are_those_of_counts_by_regimen(frame):
    columns = PATIENTS[: PATIENTS.index("covariates")]
    rows = parse_study(HEAD + columns, patients=frame)
    counts = "".join(
        f'[[arms]]\nregimen = "{arm}"\nn = {n}\nevents = {events}\n'
        for arm, n, events in zip(rows.counted, rows.n, rows.events, strict=True)
    )
    draws = [
        fit(study, "interaction", draws=200, tune=200)["posterior"]["risk"].values
        for study in (rows, parse_study(HEAD + counts))
    ]
    assert np.array_equal(*draws)


@pytest.mark.slow
def test_standardised_risk_is_the_mean_over_all_patients(study, fitted, frame):
    draw = fitted["posterior"].to_dataset().isel(chain=0, draw=5)
    by_name = dict(zip(study.patterns.names, draw["delta"].values, strict=True))
    age, female = study.patterns.covariates[:2]
    shift = by_name["age"] * (frame.age - age.mean) / age.scale
    shift += by_name["female"] * (frame.female - female.mean)
    for level in ("IV", "V"):
        own = (frame["class"] == level).astype(float)
        shift += by_name[f"class={level}"] * (own - own.mean())
    shift += draw["cluster_effect"].sel(cluster=frame.hospital.values).values
    for arm in study.regimens:
        odds = np.log(
            draw["conditional_risk"].sel(arm=arm) / (1 - draw["conditional_risk"].sel(arm=arm))
        )
        assert float(draw["risk"].sel(arm=arm)) == pytest.approx(expit(float(odds) + shift).mean())


@pytest.mark.slow
def test_rows_one_by_one_have_the_same_posterior_density_as_cells(study, frame):
    # Each patient a cell of his own: Binomial(n, p) differs from n Bernoulli by a constant only.
    priors = priors_for(prior_set("weak", study), MODELS["interaction"], study)
    mode = {"mode": "FAST_COMPILE"}  # through C, compiling takes most of a minute
    cells = build(study, MODELS["interaction"], priors).compile_logp(**mode)
    single = frame.assign(age=frame.age + 1e-9 * frame.id)
    rows = parse_study(TEXT, patients=single)
    assert len(rows.patterns.n) == COUNT
    apart = build(rows, MODELS["interaction"], priors).compile_logp(**mode)
    rng = np.random.default_rng(1)
    start = build(study, MODELS["interaction"], priors).initial_point()
    gaps = []
    for _ in range(3):
        point = {name: rng.normal(0, 0.3, np.shape(value)) for name, value in start.items()}
        gaps.append(float(cells(point) - apart(point)))
    assert gaps == pytest.approx([gaps[0]] * 3, abs=1e-4)


def test_log_density_of_events_is_that_of_scipy():
    n, events = np.array([1, 1, 40, 40, 40]), np.array([0, 1, 0, 13, 40])
    log_odds = np.array([-60.0, -1.2, 0.3, 5.0, 60.0])
    # SciPy loses log(1 - p) where p rounds to 1, so p and 1 - p trade places there.
    expected = np.where(
        log_odds < 0,
        stats.binom.logpmf(events, n, expit(log_odds)),
        stats.binom.logpmf(n - events, n, expit(-log_odds)),
    )
    found = patients.log_binomial(*map(pt.as_tensor, (events, n, log_odds)))
    np.testing.assert_allclose(found.eval(mode="FAST_COMPILE"), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.slow
def test_replicated_events_are_those_of_the_cells(study, fitted):
    again = fitted["posterior_predictive"].to_dataset()
    mean = again["events"].mean(("chain", "draw")).values
    assert np.allclose(mean, again["expected_events"].mean(("chain", "draw")), rtol=0.02)
    assert np.allclose(mean, study.events, atol=3 * np.sqrt(study.n * 0.25))


@pytest.mark.slow
def test_summary_tells_conditional_from_standardised(study, fitted):
    rows = summarise(
        study,
        MODELS["interaction"],
        resolve(study),
        prior=risk_draws_of(fitted["prior"].to_dataset()),
        posterior=risk_draws_of(fitted["posterior"].to_dataset()),
        likelihood=None,
        labels={"model": "interaction", "priors": "weak", "interpretation": study.interpretation},
    ).pipe(by_code)
    assert set(rows.loc[["risk[A]", "ic[A:B]"]].risk_kind) == {"standardised"}
    assert set(rows.loc[["odds_ratio[A+B vs A]"]].risk_kind) == {"conditional"}
    assert rows.loc["risk[A]"].status == "identified"


# --- Maximum likelihood ----------------------------------------------------------------------------


def of_rows(frame):
    """Fit the same regression by statsmodels to one row a patient."""
    design = pd.DataFrame({"one": 1.0, "a": frame.a, "b": frame.b})
    design = design.assign(age=frame.age, female=frame.female)
    for column, levels in (("class", ("IV", "V")), ("hospital", ("south", "west"))):
        design = design.assign(
            **{level: (frame[column] == level).astype(float) for level in levels}
        )
    fitted = sm.GLM(frame.response, design, family=sm.families.Binomial())
    return design, fitted.fit(cov_type="HC0", tol=1e-12)


def estimand_of(study, label, background=None):
    (found,) = [
        e
        for e in enumerate_estimands(study, MODELS["interaction"], resolve(study))
        if code(e) == label and (background is None or given_to(e) == background)
    ]
    return found


@pytest.fixture(scope="module")
def three_arms(study):
    # No patient has neither drug, so that the product and the single effects cannot be told apart.
    return fit_adjusted(study, MODELS["additive"], resolve(study))


def test_conditional_odds_ratio_and_its_robust_interval_are_those_of_statsmodels(
    frame, three_arms, study
):
    _, fitted = of_rows(frame)
    wanted = estimand_of(study, "odds_ratio[A+B vs A]")
    (interval,) = intervals(three_arms, wanted)
    assert three_arms.estimate(wanted) == pytest.approx(np.exp(fitted.params["b"]), rel=1e-6)
    expected = np.exp(fitted.conf_int().loc["b"])
    assert [interval.lower, interval.upper] == pytest.approx(list(expected), rel=1e-6)
    assert interval.label == "95% Wald, robust"


def test_standardised_difference_is_that_of_predictions_for_every_patient(frame, study, three_arms):
    design, fitted = of_rows(frame)

    def risks(coefficients):
        return np.array(
            [
                expit(design.assign(a=a, b=b).to_numpy() @ coefficients).mean()
                for a, b in ((1, 0), (0, 1), (1, 1))
            ]
        )

    found = three_arms.risk_draws["risk"].sel(arm=["A", "B", "A+B"]).values.ravel()
    assert found == pytest.approx(risks(fitted.params.to_numpy()), rel=1e-6)
    # The delta method by central differences.
    steps = 1e-5 * np.eye(len(fitted.params))
    center = fitted.params.to_numpy()
    slopes = np.array([(risks(center + s) - risks(center - s))[2] / 2e-5 for s in steps])
    se = np.sqrt(slopes @ fitted.cov_params().to_numpy() @ slopes)
    wanted = estimand_of(study, "risk[A+B]")
    slope = three_arms.slope(wanted)
    assert np.sqrt(slope @ three_arms.covariance @ slope) == pytest.approx(se, rel=1e-4)


def test_what_maximum_likelihood_cannot_estimate_says_why(study, frame):
    fitted = fit_adjusted(study, MODELS["interaction"], resolve(study))
    assert status_text(fitted.status(estimand_of(study, "ror[A:B]"))) == (
        "not estimable: the counted regimens do not determine it"
    )
    cured = parse_study(TEXT, patients=frame.assign(response=frame.response.where(frame.b == 0, 1)))
    separated = fit_adjusted(cured, MODELS["saturated"], resolve(cured))
    words = "not estimable: maximum likelihood has no finite estimate (separation)"
    assert status_text(separated.status(estimand_of(cured, "risk[A+B]"))) == words
    assert status_text(separated.status(estimand_of(cured, "risk[A]"))) == "identified"


def test_sums_by_regimen(study):
    n = patients.by_regimen(study, study.patterns.n[None])
    assert list(n[0]) == list(study.n)


# --- Peers -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["laplace", pytest.param("numpyro", marks=pytest.mark.long)])
def of_peers(request):
    """Posterior of the study that rstanarm and brms fitted too."""
    study = load_study(REFERENCE / "patients.toml")
    assert not {"B+C", "A+B+C"} & set(study.counted)
    return fit(study, "interaction", engine=request.param, draws=8000)["posterior"].to_dataset()


@pytest.mark.slow
@pytest.mark.parametrize("peer", ["rstanarm", "brms"])
def test_posterior_is_that_of_a_peer(of_peers, peer):
    ours = of_peers.sel(pair=["A:B", "A:C"])
    columns = [ours[name] for name in ("alpha", "beta", "gamma", "delta", "between")]
    own = np.hstack([c.values.reshape(c.sizes["chain"] * c.sizes["draw"], -1) for c in columns])
    theirs = pd.read_csv(REFERENCE / f"patients_{peer}.csv")
    assert list(theirs.parameter[[0, 1, 4, 6, 12]]) == ["one", "drug_a", "ab", "x1", "between"]
    assert np.abs((own.mean(0) - theirs["mean"]) / theirs["sd"]).max() < 0.05
    assert np.abs(own.std(0) / theirs["sd"] - 1).max() < 0.05


@pytest.mark.slow
def test_product_term_of_drugs_never_given_together_is_prior_only(of_peers):
    gamma = of_peers["gamma"].sel(pair="B:C")
    assert gamma.mean() == pytest.approx(0, abs=0.025)
    assert gamma.std() == pytest.approx(0.5, rel=0.05)
    others = of_peers.sel(pair=["A:B", "A:C"])
    for name in ("alpha", "beta", "gamma", "delta", "between"):
        assert np.abs(xr.corr(gamma, others[name], ("chain", "draw"))).max() < 0.05, name
