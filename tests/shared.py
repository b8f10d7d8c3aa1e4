"""Fits and a reanalysis that tests share: each is made once in a test run, whatever the number of workers."""

import hashlib
import io
import json
import os
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from filelock import FileLock

from cotreat.cli import main
from cotreat.inference import sampling
from cotreat.plots import View, figures, registry
from cotreat.results import store
from cotreat.workflow import reanalyse as workflow
from tests.conftest import FOLDER


@cache
def folder():
    """Return the folder in which this run keeps its fits."""
    return Path(os.environ.get(FOLDER) or tempfile.mkdtemp(prefix="cotreat-fits-"))


def draws_of(study, *model, **settings):
    """Return the draws of a fit, without its record."""
    return sampling.fit_model(study, *model, **settings).draws


def fit(study, model="interaction", priors="weak", **settings):
    """Return the draws of `cotreat.inference.sampling.fit_model`, or read the same fit of another test of this run.

    The key is all that determines a fit: study, interpretation, counts, model, priors and settings. The
    source does not change during a run, and the next run begins with an empty folder.
    """
    rows = priors if isinstance(priors, str) else priors.table().to_csv()
    counts = [np.asarray(study.n).tolist(), np.asarray(study.events).tolist()]
    own = (study.digest, study.interpretation, counts, model, rows, sorted(settings.items()))
    path = folder() / f"{hashlib.sha256(repr(own).encode()).hexdigest()[:32]}.nc"
    with FileLock(path.with_suffix(".lock")):
        if not path.exists():
            writing = path.with_suffix(".writing")
            store.write_draws(draws_of(study, model, priors, **settings), writing)
            writing.rename(path)
    return store.read_draws(path)


class Done(NamedTuple):
    """Exit status, standard output and standard error of a command."""

    returncode: int
    stdout: str
    stderr: str


def run(*arguments):
    """Run the command line in this process."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = main([str(word) for word in arguments])
    return Done(status, out.getvalue(), err.getvalue())


REANALYSIS = (
    *("reanalyse", "oral-cancer", "--model", "interaction", "--depth", "quick"),
    *("--engine", "laplace", "--draws", 1000, "--or-threshold", 0.8),
)
"""A whole reanalysis with its supplementary analyses, of a case-control study of one pair."""


def reanalysis():
    """Return the folder of the study that `REANALYSIS` wrote, and what it printed. To be read only."""
    out = folder() / "reanalysis"
    with FileLock(out.with_suffix(".lock")):
        printed = out.with_suffix(".json")
        if not printed.exists():
            printed.write_text(json.dumps(run(*REANALYSIS, "--out", out)))
    return out / "oral-cancer", Done(*json.loads(printed.read_text()))


def draw_only(monkeypatch, *names):
    """Let reanalyses of this test draw only some figures of fits: drawing all takes longer than a small fit."""

    def draw(*arguments):
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(
                registry,
                "figures",
                lambda of: {name: one for name, one in figures(of).items() if name in names},
            )
            return registry.draw(*arguments)

    monkeypatch.setattr(workflow, "draw", draw)


def view_of(draws, study, model, summary):
    """Return the record of figures of a fit from draws under the default priors."""
    return View(sampling.fit_of(study, model, draws), summary)
