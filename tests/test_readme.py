"""The README's numbers are those of results/, and its commands and study files work."""

import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pandas as pd
import pytest

import cotreat
from cotreat import load_study, parse_study, reanalyse
from cotreat.models.registry import MODELS
from cotreat.results import store
from cotreat.results.headline import (
    DATA_SHARE,
    IDENTIFICATION,
    OVERLAP,
    PRIOR_PROBABILITY,
    PROBABILITY,
    headline,
)
from cotreat.results.monte_carlo import share
from cotreat.study_file.reader import packaged
from tests.codes import codes
from tests.shared import draw_only

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


NUMBER = re.compile(r"-?\d+\.?\d*")


def headline_rows():
    source, as_reported = re.search(
        r"<!-- headline: (\S+) -->\n(.*?)<!-- end of headline -->", README, re.DOTALL
    ).groups()
    lines = [line.removeprefix("|").removesuffix("|") for line in as_reported.splitlines()]
    header, _, *rows = [list(map(str.strip, line.split("|"))) for line in lines]
    return source, [dict(zip(header, map(str.strip, row), strict=True)) for row in rows]


def test_the_headline_table_is_that_of_the_results():
    source, as_reported = headline_rows()
    for found, row in zip(
        headline(store.read_summary(ROOT / source)).to_dict("records"), as_reported, strict=True
    ):
        for column in ("estimand", "reported (95%)", IDENTIFICATION):
            assert row[column] == found[column]
        # Another processor samples other draws: what differs by Monte Carlo error is not stale.
        estimate, lower, upper = map(float, NUMBER.findall(row["posterior (95% credible)"]))
        again = map(float, NUMBER.findall(found["posterior (95% credible)"]))
        for old, new in zip((estimate, lower, upper), again, strict=True):
            assert abs(old - new) < 0.05 * (upper - lower)
        for column in (PROBABILITY, PRIOR_PROBABILITY, OVERLAP, DATA_SHARE):
            for old, new in zip(*(NUMBER.findall(r[column]) for r in (row, found)), strict=True):
                assert abs(float(old) - float(new)) < 0.025


def sun2024(model, interpretation="odds-ratios"):
    return ROOT / "results" / "sun2024" / f"{model}--weak--{interpretation}"


def posterior(model, estimand):
    rows = store.read_summary(sun2024(model) / store.SUMMARY)
    (row,) = rows[(codes(rows) == estimand) & (rows.estimator == "posterior")].itertuples()
    return row


def test_the_numbers_of_its_prose_are_those_of_the_results():
    prose = " ".join(README.split())
    tails = []
    for interpretation in ("four-set-products", "mutually-adjusted-products", "abstract-wording"):
        conflict = store.read_info(sun2024("exchangeable", interpretation))["conflict"]
        tails.append(share(conflict["tail"]))
    sets, adjusted, wording = tails
    assert f"joint predictive tail {sets}" in prose
    assert f"it is {adjusted} and {wording}" in prose
    (tail,) = (
        p["tail"] for p in conflict["predictions"] if p["reported_estimate"] == "tac-cyc-vs-mmf"
    )
    assert f"{tail:.2%}".replace("%", " %") + " of predictions by the other numbers" in prose
    ratio = "effect_ratio[TAC: CYC vs MMF]"
    said = ", ".join(
        f"`{model}` {posterior(model, ratio).estimate:.2f}"
        for model in ("saturated", "interaction")
    )
    assert f"{said}, and `exchangeable`" in prose
    assert f"partially pooled, {posterior('exchangeable', ratio).estimate:.2f}." in prose
    for model, level in (("dose", "low"), ("duration", "short")):
        row = posterior(model, f"odds_ratio[TAC.{level} vs not TAC]")
        assert f" as {row.estimate:.2f} ({row.lower:.2f} to {row.upper:.2f})" in prose
    sizes = " ".join(store.read_info(sun2024("dose"))["sizes"])
    higher = re.search(r"all with TAC.high: (\d+ \(\d+ to \d+\))", sizes)[1]
    assert f"with {higher} of 244 on the higher one" in prose
    moved = max(
        abs(float(row[PROBABILITY]) - float(row[PRIOR_PROBABILITY]))
        for row in headline(store.read_summary(sun2024("exchangeable") / store.SUMMARY)).to_dict(
            "records"
        )
        if row[IDENTIFICATION] == "not identified"
    )
    assert f"differs from its value before the data by at most {moved:.2f} here" in prose


def test_its_ratios_of_times_are_those_of_the_benchmarks():
    table = store.read_table(ROOT / "results" / "benchmarks" / "table.csv")
    seconds = table[table.part == "patients"].groupby("what").seconds.median()
    own, laplace = (
        [f"{seconds[peer] / seconds[us]:.1f}" for peer in ("rstanarm", "bambi", "brms")]
        for us in ("cotreat", "laplace")
    )
    prose = " ".join(README.split())
    assert (
        f"rstanarm takes {own[0]}, bambi {own[1]} and brms {own[2]} times as long as `cotreat`, and "
        f"{laplace[0]}, {laplace[1]} and {laplace[2]} times as long as its engine `laplace`"
        in prose
    )


def test_what_it_links_to_exists():
    for target in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / target).exists(), target


def test_its_study_file_is_read():
    text, baseline, as_reported, rows, doses = blocks("toml")
    assert 'file = "rows.csv"' in rows
    by_dose = parse_study(doses)
    assert by_dose.counted == ("none", "A", "B", "A+B")
    assert by_dose.resolve(strata="dose").counted == by_dose.resolve(strata="dose").regimens
    study = parse_study(as_reported)
    frame = pd.DataFrame(
        {
            **{key: [0, 1, 1, 0] for key in ("got_a", "female", "remission")},
            "got_b": [1, 0, 1, 1],
            "age": [40, 50, 60, 70],
            "class": ["III", "IV", "V", "V"],
            "hospital": ["north", "south", "south", "north"],
            "id": range(4),
        }
    )
    assert parse_study(rows, patients=frame).counted == ("A", "B", "A+B")
    assert study.counted == ()
    assert study.present == ("A", "B", "A+B")
    assert len(text.splitlines()) == 11
    assert tomllib.loads(text)
    assert parse_study(text).counted == ("none", "A", "B", "A+B")
    assert parse_study(text.replace("arms = [", f"{baseline}arms = [")).baseline.lower == 0.08


def test_its_commands_are_those_of_the_command_line():
    from typer.main import get_command

    from cotreat.cli import app

    root = get_command(app)
    commands = re.findall(r"\.venv/bin/cotreat ([^#\n]+)", "".join(blocks("console")))
    assert len(commands) == 16
    for command in commands:
        with root.make_context("cotreat", command.split()) as context:
            name, found, rest = root.resolve_command(context, command.split())
            found.make_context(name, rest, parent=context)


def test_its_make_targets_exist():
    targets = re.findall(r"^make (\w+)", "".join(blocks("console")), re.MULTILINE)
    makefile = (ROOT / "Makefile").read_text()
    assert targets == ["reanalysis", "test"]
    assert all(f"\n{target}:" in makefile for target in targets)


@pytest.mark.slow
def test_its_python_runs(tmp_path, monkeypatch, capsys):
    one, many = blocks("python")
    monkeypatch.chdir(tmp_path)
    exec(one, {})  # noqa: S102 - it is ours
    assert "ratio of odds ratios (ror), SK × ASA" in capsys.readouterr().out
    exec(many, {})  # noqa: S102
    said = capsys.readouterr().out
    assert "grid:optimistic-strong" in said
    assert "unreliable" not in said


def test_every_result_in_git_is_of_the_packaged_study():
    for path in (ROOT / "results").glob("*/*/info.json"):
        info = store.read_info(path.parent)
        if info["study"] in packaged():  # a script reanalyses a made-up one besides
            assert info["study_digest"] == load_study(info["study"]).digest


def test_the_scripts_page_says_what_the_catalogue_says():
    page = (ROOT / "models" / "README.md").read_text(encoding="utf-8")
    for model in MODELS.values():
        assert f"| `{model.name}` | {model.sentence} | {model.predictor} |" in page


SCRIPTS = sorted((ROOT / "models").glob("*.py"))
LONG = {
    "synergy": ("interaction", "laplace"),
    "tacrolimus": ("interaction", "laplace"),
    "dose": ("duration", "numpyro"),
    "subgroups": ("subgroups", "numpyro"),
}
"""Scripts of many or long fits, which are run with one of them, by the engine that takes least."""


@pytest.mark.long
@pytest.mark.parametrize(
    "script", [s for s in SCRIPTS if s.stem not in LONG], ids=lambda path: path.stem
)
def test_every_script_runs(tmp_path, script):
    process = subprocess.run(
        [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert re.search(r" 0\.\d{3}", process.stdout), "no probability"
    assert list(tmp_path.glob("results/*/report.html"))


@pytest.fixture(scope="module")
def one_fit(tmp_path_factory):
    """Reanalyses of one model under the default interpretation, each made once."""
    out, made = tmp_path_factory.mktemp("results"), {}

    def reanalysed(study, model, engine):
        key = study.digest, model, engine
        if key not in made:
            own = [study.interpretation]
            fewer = {"draws": 500} if engine == "laplace" else {}
            made[key] = reanalyse(
                study, [model], interpretations=own, engine=engine, out=out, **fewer
            )
        return made[key]

    return reanalysed


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        name if engine == "laplace" else pytest.param(name, marks=pytest.mark.long)
        for name, (_, engine) in LONG.items()
    ],
)
def test_long_scripts_run_with_one_fit(one_fit, monkeypatch, capsys, name):
    def short(study, *_, **__):
        return one_fit(study, *LONG[name])

    draw_only(monkeypatch)
    monkeypatch.setattr(cotreat, "reanalyse", short)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "models" / f"{name}.py"))
    assert ended.value.code == 0
    said = {
        "synergy": "odds-ratios",
        "tacrolimus": "interaction",
        "dose": "is inferred, not reported",
        "subgroups": "TAC and activity.mild",
    }
    assert said[name] in capsys.readouterr().out


def test_every_result_in_git_passed_its_checks():
    folders = [path.parent for path in (ROOT / "results").glob("*/*/info.json")]
    assert {folder.name for folder in folders} >= {
        "interaction--weak--default",
        *(f"{model}--weak--odds-ratios" for model in MODELS if model != "subgroups"),
    }
    for folder in folders:
        assert store.read_info(folder)["failed_checks"] == []
        assert "FAIL" not in set(store.read_table(folder / store.CHECKS).verdict)
