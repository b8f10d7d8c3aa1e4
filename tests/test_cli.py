"""The command line as its users meet it: in processes of their own."""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from cotreat.core.constants import SUMMARY_COLUMNS
from cotreat.results import store
from tests.codes import codes
from tests.conftest import THREE, arms

ROOT = Path(__file__).parent.parent
HEAVY = ("scipy.stats", "statsmodels", "matplotlib", "arviz", "pymc", "jax", "arviz_base")


def run(*arguments, cwd=None):
    command = [sys.executable, "-m", "cotreat.cli", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, timeout=300, check=False
    )


def run_without_parts(*arguments):
    """Run it without what stands around the fits, which takes longer than the fits."""
    code = "import sys; from cotreat import around; around.write_parts = lambda *_, **__: None; "
    code += "from cotreat.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A real run of one model, with what it printed."""
    out = tmp_path_factory.mktemp("results")
    return out, run(
        *("reanalyse", "isis2", "--model", "interaction", "--depth", "quick"),
        *("--out", out, "--or-threshold", 0.8),
    )


@pytest.mark.parametrize(
    "code",
    [
        "import cotreat",
        "from cotreat.cli import main; main(['studies'])",
        "from cotreat.cli import main; main(['audit', 'isis2'])",
        "from cotreat.cli import main; main(['audit', 'factor-v-leiden'])",
        "from cotreat.cli import main; main(['audit', 'sun2024'])",
        "from cotreat.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass",
    ],
)
def test_quick_commands_load_nothing_heavy(code):
    check = f"import sys; print([m for m in {HEAVY!r} if m in sys.modules])"
    process = subprocess.run(
        [sys.executable, "-c", f"{code}\n{check}"], capture_output=True, text=True, check=True
    )
    assert process.stdout.splitlines()[-1] == "[]"


def test_studies_are_listed():
    lines = run("studies").stdout.splitlines()
    assert [line.split()[0] for line in lines] == [
        "factor-v-leiden",
        "isis2",
        "oral-cancer",
        "sun2024",
        "sun2024-synthetic",
    ]
    assert "793 patients, printed numbers only" in lines[3]
    assert "17,187 patients" in lines[1]


def test_audit_compares_printed_odds_ratios_with_the_cells():
    text = run("audit", "factor-v-leiden").stdout
    assert "printed 34.7 (7.8–154), cells 34.72 (7.827–154): agrees" in text
    assert "risks: not estimable (not identified by design)" in text
    assert "reri_or, ap_or, s_or, ror: identified" in text


def test_audit_shows_a_contradiction_and_empty_cells(tmp_path):
    claim = """
[[claims]]
id = "odd"
kind = "odds_ratio"
regimens = ["A", "B"]
value = 2.0
ci = [1.0, 4.0]
source = "nowhere"
"""
    cells = {"A": (60, 12), "B": (150, 25), "A+B": (60, 22), "C": (50, 10)}
    path = tmp_path / "mine.toml"
    path.write_text(THREE + arms(cells) + claim)
    text = run("audit", path).stdout
    assert "contradiction: 2.0, 1.0, 4.0 not within rounding" in text
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
        (["isis2", "--chains", "1"], "'1' is not a whole number from 2 up"),
        (["isis2", "--draws", "ten"], "'ten' is not a whole number from 100 up"),
        (["isis2", "--or-threshold", "-1"], "'-1' is not a number above 0"),
    ],
)
def test_what_cannot_be_run_is_refused_with_status_2(tmp_path, arguments, says):
    process = run("reanalyse", *arguments, cwd=tmp_path)
    assert process.returncode == 2
    assert says in process.stderr
    assert "Traceback" not in process.stderr
    assert list(tmp_path.iterdir()) == []


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
    assert "Traceback" not in process.stderr


@pytest.mark.slow
def test_reanalyse_writes_a_whole_folder(done):
    out, process = done
    assert process.returncode == 0, process.stderr
    assert "of 5 families agree in leaning towards synergy" in process.stdout
    assert "not evidence of synergy" in process.stdout
    fit = out / "isis2" / "interaction--weak--default"
    for name in ("summary.csv", "checks.csv", "info.json", "draws.nc", "synergy.png", "trace.png"):
        assert (fit / name).stat().st_size > 0
    summary = store.read_summary(fit / "summary.csv")
    assert tuple(summary.columns) == SUMMARY_COLUMNS
    assert (codes(summary) == "odds_ratio[SK vs none] > 0.8").sum() == 1
    info = json.loads((fit / "info.json").read_text())
    assert info["failed_checks"] == []
    assert info["priors"] == "weak"
    assert [p.name for p in (out / "isis2").iterdir() if p.name.startswith(".")] == []


@pytest.mark.slow
def test_report_can_be_written_again_and_shows_every_figure(done):
    out, _ = done
    page = out / "isis2" / "report.html"
    first = page.read_text()
    page.unlink()
    assert run("report", out / "isis2").stdout.strip() == str(page)
    assert page.read_text() == first
    shown = re.findall(r'<img src="data:image/webp[^"]+" alt="[^"]+"', first)
    assert len(shown) == len(list((out / "isis2").glob("*/*.png")))
    assert "FAILED" not in first


@pytest.mark.slow
def test_failed_checks_reach_the_top_of_everything_and_status_3(tmp_path):
    # Far too few draws: effective sample sizes cannot reach their thresholds.
    process = run_without_parts(
        *("reanalyse", "factor-v-leiden", "--model", "interaction", "--draws", 100),
        *("--out", tmp_path, "--quiet"),
    )
    assert process.returncode == 3, process.stderr
    assert process.stdout.startswith("FAILED CHECKS: do not use the numbers of interaction:")
    fit = tmp_path / "factor-v-leiden" / "interaction--weak--default"
    for name in ("summary.csv", "checks.csv"):
        assert (fit / name).read_text().startswith("# FAILED CHECK: ")
    assert next(iter(json.loads((fit / "info.json").read_text()))) == "failed_checks"
    assert "bulk ESS" in store.read_draws(fit / "draws.nc").attrs["failed_checks"]
    page = (tmp_path / "factor-v-leiden" / "report.html").read_text()
    warning = page.index("Failed checks: do not use the numbers of these fits")
    assert warning < page.index('id="answer"')
    assert "none of these numbers is to be used" in page
    assert "none of these numbers is to be used" in process.stdout
    assert "95% MOVER interval (−5.372 to 143.8) includes 0" in page
    assert process.stderr == ""  # --quiet


@pytest.mark.slow
def test_the_answer_of_another_fit_is_called_that(tmp_path):
    from cotreat import load_study, reanalyse
    from cotreat.cli.ending import ending

    isis2, options = load_study("isis2"), {"engine": "laplace", "draws": 1000, "out": tmp_path}
    first = ending(reanalyse(isis2, "interaction", **options))
    assert "report's leading fit" not in first
    bold = reanalyse(isis2, "interaction", "interactions:pessimistic-strong", **options)
    said = ending(bold)
    whose = (
        "report's leading fit: model interaction, weak priors; the answer is of it, the table below of the "
        "fit just made:"
    )
    assert f"{whose}\n{bold.answer.sentences[0]}" in said
    assert "model interaction, interactions:pessimistic-strong priors" in said
    # The answer is of the weak fit, and has asked the new one.
    assert bold.answer.choice == ("default", "interaction", "weak")
    assert bold.answer.sentences[-1].startswith("One other choice")


@pytest.mark.slow
def test_a_report_leaves_out_fits_of_other_data(tmp_path):
    text = (ROOT / "src/cotreat/studies/isis2.toml").read_text()
    text = text[: text.index("[[totals]]")]
    path = tmp_path / "isis2.toml"
    for events, model in (("343", "additive"), ("344", "interaction")):
        path.write_text(text.replace("343", events))
        options = ("--engine", "laplace", "--draws", 500, "--out", tmp_path, "--quiet")
        run_without_parts("reanalyse", path, "--model", model, *options)
    page = (tmp_path / "isis2" / "report.html").read_text()
    assert "344 / 4292" in page
    assert "those of the model <code>interaction</code>" in page
    assert "Model additive" not in page
    assert "additive--weak--default.</p>" in " ".join(page.split())
    fit = tmp_path / "isis2" / "interaction--weak--default"
    assert run("report", fit).returncode == (3 if store.read_info(fit)["failed_checks"] else 0)


@pytest.mark.slow
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
