"""Fits that tests share: each is made once in a test run, whatever the number of workers."""

import hashlib
import os
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from filelock import FileLock

from cotreat.inference import sampling
from cotreat.plots import View
from cotreat.results import store

FOLDER = "COTREAT_TEST_FITS"
"""The environment variable with the folder of this run; workers inherit it."""


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


def view_of(draws, study, model, summary):
    """Return the record of figures of a fit from draws under the default priors."""
    return View(sampling.fit_of(study, model, draws), summary)
