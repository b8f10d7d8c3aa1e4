import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pandas as pd
import pytest

from cotreat.results import store


def write(folder, text):
    with store.whole_folder(folder) as writing:
        (writing / "a.txt").write_text(text)


def test_a_folder_appears_whole(tmp_path):
    target = tmp_path / "study" / "fit"
    with store.whole_folder(target) as writing:
        (writing / "a.txt").write_text("new")
        assert not target.exists()
    assert (target / "a.txt").read_text() == "new"
    assert [p.name for p in target.parent.iterdir()] == ["fit"]


def test_a_rerun_replaces_all_of_it(tmp_path):
    target = tmp_path / "fit"
    write(target, "old")
    (target / "b.txt").write_text("left over")
    write(target, "new")
    assert [p.name for p in target.iterdir()] == ["a.txt"]
    assert [p.name for p in tmp_path.iterdir()] == ["fit"]


def test_a_failed_run_leaves_the_last_one(tmp_path):
    target = tmp_path / "fit"
    write(target, "old")
    stopped = pytest.raises(RuntimeError, match="stop")
    with stopped, store.whole_folder(target) as writing:
        (writing / "a.txt").write_text("half")
        raise RuntimeError("stop")
    assert (target / "a.txt").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["fit"]


SLOW_WRITER = """
import sys, time
from pathlib import Path
from cotreat.results.store import whole_folder
with whole_folder(Path(sys.argv[1])) as writing:
    (writing / "a.txt").write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("before", ["old", None])
def test_a_killed_run_leaves_no_half_written_result(tmp_path, before):
    target = tmp_path / "fit"
    if before:
        write(target, before)
    command = [sys.executable, "-c", textwrap.dedent(SLOW_WRITER), str(target)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"writing\n"
        process.kill()
    assert target.exists() == bool(before)
    if before:
        assert (target / "a.txt").read_text() == before
    write(target, "new")
    assert (target / "a.txt").read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["fit"]  # what the killed run left is cleared


def test_a_folder_moved_aside_by_a_killed_run_comes_back(tmp_path):
    aside = tmp_path / ".replaced-fit-999999-abcdef12"
    write(tmp_path / "fit", "old")
    (tmp_path / "fit").rename(aside)
    with pytest.raises(RuntimeError), store.whole_folder(tmp_path / "fit"):
        raise RuntimeError
    assert (tmp_path / "fit" / "a.txt").read_text() == "old"


def test_another_run_in_progress_is_not_cleared(tmp_path):
    theirs = tmp_path / f".writing-fit-{os.getpid()}-abcdef12"
    theirs.mkdir()
    write(tmp_path / "fit", "new")
    assert theirs.exists()


@pytest.mark.slow
def test_kill_in_the_middle_of_a_real_run(tmp_path):
    command = [sys.executable, "-m", "cotreat.cli", "reanalyse", "isis2", "--model", "additive"]
    command += ["--engine", "laplace", "--draws", "200", "--out", str(tmp_path)]
    fit = tmp_path / "isis2" / "additive--weak--default"
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob("isis2/.writing-*")) and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert list(tmp_path.glob("isis2/.writing-*")), "the run never began to write"
    assert not fit.exists()
    assert not (tmp_path / "isis2" / "report.html").exists()


def test_failed_checks_stand_above_the_table(tmp_path):
    table = pd.DataFrame({"estimand": ["ror[A:B]"], "estimate": [1.5], "lower": [None]})
    store.write_table(table, tmp_path / "t.csv", ["R-hat: 1.3 (gamma), should be ≤ 1.01; stop"])
    first, *_ = (tmp_path / "t.csv").read_text().splitlines()
    assert first == "# FAILED CHECK: R-hat: 1.3 (gamma), should be ≤ 1.01; stop"
    again = store.read_table(tmp_path / "t.csv")
    assert list(again.columns) == ["estimand", "estimate", "lower"]
    assert again.estimate[0] == 1.5


INFO = {
    "model": "interaction",
    "study_digest": "a",
    "prior_rows": [{"variable": "beta"}],
    **{"engine": "numpyro", "draws": 1, "tune": 1, "chains": 4, "seed": 1},
    "versions": {"pymc": "6.4"},
}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({}, "same data, priors, settings and versions as the last run"),
        ({"study_digest": "b"}, "changed since the last run: data"),
        ({"prior_rows": []}, "changed since the last run: priors"),
        ({"seed": 2}, "changed since the last run: settings"),
        ({"versions": {}, "study_digest": "b"}, "changed since the last run: data, versions"),
    ],
)
def test_a_rerun_says_what_changed(tmp_path, change, says):
    store.write_info(INFO, tmp_path / store.INFO)
    assert store.changes(tmp_path, INFO | change) == says


def test_numbers_that_do_not_exist_are_null_and_equal_on_a_rerun(tmp_path):
    info = INFO | {"prior_rows": [{"variable": "sigma", "mu": float("nan"), "sigma": 1.0}]}
    store.write_info(info, tmp_path / store.INFO)
    assert '"mu": null' in (tmp_path / store.INFO).read_text()
    assert store.changes(tmp_path, info).startswith("same data, priors")


def test_a_first_run_and_a_broken_one_are_told(tmp_path):
    assert store.changes(tmp_path, INFO) == "first run"
    (tmp_path / store.INFO).write_text(json.dumps({"model": 1}))
    assert store.changes(tmp_path, INFO) == "the earlier run cannot be read"
