"""Tests of the command line, in this process except where a test needs a process of its own."""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest
from typer.main import get_command

from cotreat import load_study
from cotreat.cli import app
from cotreat.cli.options import Depth
from cotreat.cli.summary import text_of
from cotreat.core.constants import DEPTHS, SUMMARY_COLUMNS
from cotreat.models.registry import MODELS
from cotreat.results import store
from cotreat.study_file import reader
from cotreat.study_file.reader import packaged
from cotreat.study_file.shape import schema
from cotreat.workflow import analyses
from tests import shared
from tests.codes import codes
from tests.conftest import THREE, arms

ROOT = Path(__file__).parent.parent
SAMPLERS = ("pymc", "pytensor", "jax", "arviz", "arviz_base", "matplotlib", "statsmodels")
HEAVY = ("scipy.stats", *SAMPLERS)
COMMANDS = [
    *("studies", "audit", "aggregate", "reanalyse", "compare", "sensitivity", "calibrate"),
    *("report", "schema"),
]


def run(*arguments, cwd="."):
    with chdir(cwd):
        return shared.run(*arguments)


@pytest.fixture
def fits_alone(monkeypatch):
    """Leave out the supplementary analyses, which take longer than the fits."""
    monkeypatch.setattr(analyses, "write_analyses", lambda *_, **__: None)


def python(code, **environment):
    """Run code in a process of its own; return its last line."""
    own = {**os.environ, **environment}
    command = [sys.executable, "-c", code]
    process = subprocess.run(command, capture_output=True, text=True, check=True, env=own)
    return process.stdout.splitlines()[-1]


@pytest.fixture
def undrawn(monkeypatch):
    """Leave out the figures of the fits."""
    shared.draw_only(monkeypatch)


# --- Start -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["studies"], ["aggregate", "isis2"], *(["audit", n] for n in packaged()[:4])],
    ids=" ".join,
)
def test_quick_commands_load_nothing_heavy(arguments):
    code = f"import sys; from cotreat.cli import main; main({arguments!r}); "
    assert python(f"{code} print([m for m in {HEAVY!r} if m in sys.modules])") == "[]"


def test_import_and_help_load_no_arrays():
    arrays = ("numpy", "pandas", "scipy", "xarray", "rich", "pydantic", *HEAVY)
    for code in ("import cotreat, sys", "import sys; from cotreat.cli import main; main(['-h'])"):
        assert python(f"{code}; print([m for m in {arrays!r} if m in sys.modules])") == "[]"


def test_help_takes_half_a_second_at_most():
    """Of processor time, which others on the machine do not lengthen as they do the wall clock's."""
    taken = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "cotreat.cli", "--help"]
        process = subprocess.run(command, capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        assert process.stdout.startswith("Usage: cotreat ")
    assert min(taken) <= 0.5


# --- Completion ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("cotreat ", set(COMMANDS)),
        ("cotreat s", {"studies", "sensitivity", "schema"}),
        ("cotreat audit ", set(packaged())),
        ("cotreat reanalyse isis2 --interp", {"--interpretation"}),
        (
            "cotreat compare sun2024 --interpretation ",
            {interpretation.id for interpretation in load_study("sun2024").interpretations},
        ),
        ("cotreat compare no-such --interpretation ", set()),
        ("cotreat compare --interpretation ", set()),
        ("cotreat reanalyse isis2 --model ", set(MODELS)),
        ("cotreat reanalyse isis2 --depth ", set(DEPTHS)),
        ("cotreat reanalyse isis2 --engine l", {"laplace"}),
        ("cotreat reanalyse isis2 --priors grid:neutral-s", {"grid:neutral-strong"}),
        ("cotreat calibrate isis", {"isis2"}),
        ("cotreat calibrate dos", {"dose"}),
    ],
)
def test_completion_offers_names(monkeypatch, line, offered):
    *words, _ = line.split(" ")
    monkeypatch.setenv("_COTREAT_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(words)))
    assert set(run().stdout.split()) == offered


def test_completion_loads_no_sampler():
    code = "import sys; from cotreat.cli import main; main([]); "
    code += f"print([m for m in {SAMPLERS!r} if m in sys.modules])"
    line = {"COMP_WORDS": "cotreat reanalyse sun2024 --interpretation ", "COMP_CWORD": "4"}
    assert python(code, _COTREAT_COMPLETE="complete_bash", **line) == "[]"


def test_completion_can_be_installed():
    text = run("--help").stdout
    assert "--install-completion" in text
    assert "--show-completion" in text


# --- Help ------------------------------------------------------------------------------------------


def helps() -> Iterator[str]:
    """Yield the help of everything, in one line each."""
    for arguments in ([], *([name] for name in COMMANDS)):
        done = run(*arguments, "--help")
        assert (done.returncode, done.stderr) == (0, "")
        yield " ".join(done.stdout.split())


def test_each_command_has_help_with_exit_statuses():
    first, *rest = helps()
    assert list(get_command(app).commands) == COMMANDS
    assert "..." not in first.partition("Commands:")[2]  # each line fits
    for name, text in zip(COMMANDS, rest, strict=True):
        assert text.startswith(f"Usage: cotreat {name} ")
        assert "Exit status: 0 done;" in text
        assert f" {name} " in first


def test_help_has_no_banned_phrase():
    banned = (ROOT / "tests" / "banned.txt").read_text(encoding="utf-8").splitlines()
    phrases = "|".join(re.escape(line) for line in banned if line and not line.startswith("#"))
    for text in helps():
        assert re.findall(rf"\b(?:{phrases})\b", text, re.IGNORECASE) == []


def test_the_help_of_reanalyse_describes_every_model():
    text = " ".join(run("reanalyse", "--help").stdout.split())
    for model in MODELS.values():
        assert f"{model.name} {model.sentence}" in text


def test_cotreat_alone_shows_help():
    done = run()
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.strip() == run("--help").stdout.strip()


def test_depths_are_those_of_the_analyses():
    assert tuple(Depth) == DEPTHS


def test_version_is_printed():
    assert re.fullmatch(r"cotreat \d+\.\d+\.\d+\S*\n", run("--version").stdout)


# --- Commands that fit nothing ---------------------------------------------------------------------


def test_studies_are_listed():
    lines = run("studies").stdout.splitlines()
    assert [line.split()[0] for line in lines] == [
        "factor-v-leiden",
        "isis2",
        "oral-cancer",
        "sun2024",
        "sun2024-synthetic",
    ]
    assert "793 patients, reported estimates only" in lines[3]
    assert "17,187 patients" in lines[1]


def test_audit_compares_reported_odds_ratios_with_the_counts():
    text = run("audit", "factor-v-leiden").stdout
    (row,) = (line for line in text.splitlines() if line.split()[:1] == ["both"])
    for part in ("34.7 (7.8 to 154)", "34.72 (7.827 to 154)", "checked: agrees"):
        assert part in row
    assert "risks: not estimable (not identified by design)" in text
    assert "reri_or, ap_or, s_or, ror: identified" in text


def test_audit_shows_a_contradiction_and_empty_cells(tmp_path):
    reported_estimate = """
[[reported]]
id = "odd"
kind = "odds_ratio"
contrast = "A vs B"
value = 2.0
ci = [1.0, 4.0]
source = "nowhere"
"""
    cells = {"A": (60, 12), "B": (150, 25), "A+B": (60, 22), "C": (50, 10)}
    path = tmp_path / "mine.toml"
    path.write_text(THREE + arms(cells) + reported_estimate)
    text = run("audit", path).stdout
    assert "incompatible with the counts: 2.0, 1.0, 4.0 not within rounding" in text
    assert re.search(r"none +empty by design", text)
    assert re.search(r"A\+C +no patients", text)
    assert "A:B with no other study drug: ic" in text
    assert "not identified" in text


def test_bad_input_is_one_message_and_status_2(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text(THREE + arms({"A": (10, 12), "D": (10, 1)}))
    for command in ("audit", "reanalyse"):
        process = run(command, path, cwd=tmp_path)
        assert process.returncode == 2
        assert process.stderr.splitlines() == [
            "cotreat: bad.toml has 2 problems:",
            "  arms[1].events: 12 events in 10 patients; at most 10 can be",
            "  arms[2].regimen: unknown treatment D; the treatments are A, B, C",
        ]
        assert process.stdout == ""
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.toml"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["isis"], "did you mean isis2?"),
        (["isis2", "--model", "exchangeable"], "needs at least 2 pairs"),
        (["isis2", "--model", "saturated", "--priors", "sceptical"], "no such parameter"),
        (["isis2", "--priors", "flat"], "no prior set 'flat'"),
        (["isis2", "--model", "probit"], "no model 'probit'; the models are exchangeable"),
        (["isis2", "--engine", "stan"], "no engine 'stan'; the engines are numpyro"),
        (["sun2024", "--interpretation", "abstract"], "abstract-wording"),
        (["isis2", "--chains", "1"], "'--chains': Input should be greater than or equal to 2"),
        (["isis2", "--draws", "ten"], "'--draws'"),
        (["isis2", "--depth", "deep"], "'deep' is not one of 'quick', 'standard', 'full'"),
        (["isis2", "--dep", "quick"], "No such option: --dep (Possible options: --depth"),
        (["isis2", "--modle", "additive"], "(Possible options: --model)"),
        ([], "Missing argument 'STUDY'"),
        (["isis2", "--or-threshold", "-1"], "'-1' is not a number above 0"),
        (["isis2", "--or-threshold", "nan"], "'nan' is not a number above 0"),
        (["isis2", "--or-threshold", "inf"], "'inf' is not a number above 0"),
    ],
)
def test_what_cannot_be_run_is_refused_with_status_2(tmp_path, arguments, says):
    process = run("reanalyse", *arguments, cwd=tmp_path)
    assert process.returncode == 2
    assert says in process.stderr
    assert process.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_a_command_that_does_not_exist_has_a_suggestion():
    done = run("reanalyze", "isis2")
    assert done.returncode == 2
    assert "No such command 'reanalyze'. Did you mean 'reanalyse'?" in done.stderr


def test_aggregation_of_a_study_without_patients():
    message = "isis2 has no individual patient data; its study file has no [patients] or [patterns]"
    assert run("aggregate", "isis2") == (2, "", f"cotreat: {message}\n")


def test_a_former_command_is_refused_with_its_present_name():
    assert run("cells", "isis2") == (2, "", "cotreat: the command cells is now aggregate\n")


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (OSError("No space left"), 1, "cotreat: No space left\n"),
        (KeyboardInterrupt(), 130, "cotreat: interrupted; the folders of unfinished models are"),
    ],
)
def test_other_errors_have_statuses_of_their_own(monkeypatch, error, status, message):
    def fail():
        raise error

    monkeypatch.setattr(reader, "packaged", fail)
    done = run("studies")
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith(message)


def test_an_unexpected_error_keeps_its_traceback(monkeypatch):
    def fail():
        raise ZeroDivisionError

    monkeypatch.setattr(reader, "packaged", fail)
    with pytest.raises(ZeroDivisionError):
        run("studies")


def test_the_schema_is_printed_as_json():
    done = run("schema")
    assert done.returncode == 0
    assert json.loads(done.stdout) == schema()
    assert {"study", "outcome", "treatments"} <= json.loads(done.stdout)["properties"].keys()


def test_a_reader_who_has_seen_enough_is_no_error():
    command = f"{sys.executable} -m cotreat.cli audit isis2 | head -n 1"
    process = subprocess.run(command, shell=True, capture_output=True, text=True, check=True)  # noqa: S602
    assert process.stderr == ""


def test_report_of_a_folder_without_fits(tmp_path):
    process = run("report", tmp_path)
    assert process.returncode == 2
    assert "holds no fit" in process.stderr


def test_an_output_folder_that_is_a_file(tmp_path):
    (tmp_path / "results").write_text("")
    process = run("reanalyse", "isis2", "--model", "additive", "--draws", 100, cwd=tmp_path)
    assert process.returncode == 2
    assert process.stdout == ""
    assert "results" in process.stderr


@pytest.mark.slow
def test_reanalyse_writes_a_whole_folder():
    out, process = shared.reanalysis()
    assert process.returncode == 0, process.stderr
    # Estimable in a case-control study: multiplicative odds, and RERI from odds ratios.
    assert "inconclusive for alcohol with smoking on all 2 scales (P(synergy) " in process.stdout
    assert "not estimable: not identified by design" in process.stdout
    fit = out / "interaction--exposures--default"
    for name in ("summary.csv", "checks.csv", "info.json", "draws.nc", "synergy.png", "trace.png"):
        assert (fit / name).stat().st_size > 0
    summary = store.read_summary(fit / "summary.csv")
    assert tuple(summary.columns) == SUMMARY_COLUMNS
    assert (codes(summary) == "odds_ratio[SMK vs none] > 0.8").sum() == 1
    info = json.loads((fit / "info.json").read_text())
    assert info["failed_checks"] == []
    assert info["priors"] == "exposures"
    assert [p.name for p in out.iterdir() if p.name.startswith(".")] == []


@pytest.mark.slow
def test_report_can_be_written_again_and_shows_every_figure(tmp_path):
    out, _ = shared.reanalysis()
    out = shutil.copytree(out, tmp_path / "oral-cancer")
    page = out / "report.html"
    first = page.read_text()
    page.unlink()
    assert run("report", out).stdout.strip() == str(page)
    assert page.read_text() == first
    shown = re.findall(r'<img src="data:image/webp[^"]+" alt="[^"]+"', first)
    assert len(shown) == len(list(out.glob("*/*.png")))
    assert "FAILED" not in first


@pytest.mark.slow
@pytest.mark.usefixtures("fits_alone")
def test_failed_checks_reach_the_top_of_everything_and_status_3(tmp_path):
    # Far too few draws: effective sample sizes cannot reach their thresholds.
    process = run(
        *("reanalyse", "factor-v-leiden", "--model", "interaction", "--draws", 100),
        *("--out", tmp_path, "--quiet"),
    )
    assert process.returncode == 3, process.stderr
    assert process.stdout.startswith("FAILED CHECKS: do not use the numbers of interaction:")
    fit = tmp_path / "factor-v-leiden" / "interaction--exposures--default"
    for name in ("summary.csv", "checks.csv"):
        assert (fit / name).read_text().startswith("# FAILED CHECK: ")
    assert next(iter(json.loads((fit / "info.json").read_text()))) == "failed_checks"
    assert "bulk ESS" in store.read_draws(fit / "draws.nc").attrs["failed_checks"]
    page = (tmp_path / "factor-v-leiden" / "report.html").read_text()
    warning = page.index("Failed diagnostics: do not use the numbers of these fits")
    assert warning < page.index('id="answer"')
    assert "do not use the numbers of this fit" in page
    assert "Not assessed: diagnostics failed" in process.stdout
    assert "do not use the numbers of this fit" in process.stdout
    assert "95% MOVER interval (−5.372 to 143.8) includes 0" in page
    assert process.stderr == ""  # --quiet


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_the_conclusion_of_another_fit_is_called_that(tmp_path):

    from cotreat import load_study, reanalyse
    from cotreat.report.lines import verdict

    isis2, options = load_study("isis2"), {"engine": "laplace", "draws": 1000, "out": tmp_path}
    first = text_of(reanalyse(isis2, "interaction", **options))
    assert "primary analysis of the report" not in first
    assert "\nPractically excluded on the scales additive, " in first
    assert "not evidence of synergy" in first
    bold = reanalyse(isis2, "interaction", "interactions:pessimistic-strong", **options)
    said = text_of(bold)
    whose = (
        "primary analysis of the report: model interaction, weak priors; the conclusion is of this analysis, "
        "the table below of the new fit:"
    )
    assert f"{whose}\n{verdict(bold.conclusion)}\nThe paper says: " in said
    assert "model interaction, interactions:pessimistic-strong priors" in said
    # The conclusion is of the weak fit, and its sensitivity counts the new one.
    assert bold.conclusion.choice == ("default", "interaction", "weak")
    assert {row.alternatives for row in bold.conclusion.sensitivity} == {1}


@pytest.mark.slow
@pytest.mark.usefixtures("fits_alone", "undrawn")
def test_a_report_leaves_out_fits_of_other_data(tmp_path):
    text = (ROOT / "src/cotreat/studies/isis2.toml").read_text()
    text = text[: text.index("[[totals]]")]
    path = tmp_path / "isis2.toml"
    for events, model in (("343", "additive"), ("344", "interaction")):
        path.write_text(text.replace("343", events))
        options = ("--engine", "laplace", "--draws", 500, "--out", tmp_path, "--quiet")
        run("reanalyse", path, "--model", model, *options)
    page = (tmp_path / "isis2" / "report.html").read_text()
    assert "344 of 4292" in page
    assert "model <code>interaction</code>, weak" in page
    assert "Model additive" not in page
    assert "additive--weak--default.</p>" in " ".join(page.split())
    fit = tmp_path / "isis2" / "interaction--weak--default"
    assert run("report", fit).returncode == (3 if store.read_info(fit)["failed_checks"] else 0)


@pytest.mark.slow
@pytest.mark.usefixtures("fits_alone")
def test_the_smallest_run_that_is_allowed_ends_with_failed_checks(tmp_path):
    path = tmp_path / "two.toml"
    path.write_text(THREE + arms({"A": (50, 20), "A+B": (50, 30)}))
    options = ["--draws", 100, "--chains", 2, "--engine", "laplace", "--depth", "quick", "--quiet"]
    models = ["--model", "saturated", "--model", "saturated", "--out", tmp_path]
    process = run("reanalyse", path, *models, *options)
    assert process.returncode == 3, process.stderr
    assert "not estimable: no patients in" in process.stdout
    assert len(list((tmp_path / "three").glob("*/summary.csv"))) == 1


@pytest.mark.slow
def test_the_wheel_works_without_the_checkout(tmp_path):
    source = tmp_path / "source"
    shutil.copytree(ROOT / "src", source / "src", ignore=shutil.ignore_patterns("*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    pip = [sys.executable, "-m", "pip"]
    subprocess.run([*pip, "wheel", *options, "-w", tmp_path, source], check=True, timeout=120)
    (wheel,) = tmp_path.glob("cotreat-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    code = (
        "import cotreat, cotreat.report, sys; from importlib import resources; "
        "print(cotreat.__file__, cotreat.load_study('isis2').id, "
        "all(resources.files('cotreat.report').joinpath(n).is_file() "
        "for n in ('page.html.jinja', 'body.html.jinja', 'macros.html.jinja', 'style.css')))"
    )
    process = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path / "site"), "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    where, study, template = process.stdout.split()
    assert where.startswith(str(tmp_path / "site"))
    assert (study, template) == ("isis2", "True")
