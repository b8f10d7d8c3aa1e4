import gc
import os
import shutil
import tempfile
from functools import cache

import pytest

FOLDER = "COTREAT_TEST_FITS"
"""The environment variable with the folder of this run; workers inherit it."""

# Before the workers start, which inherit both: the folder of fits of this run, and one BLAS thread.
if FOLDER not in os.environ:
    os.environ[FOLDER] = tempfile.mkdtemp(prefix="cotreat-fits-")
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

# Graphs of PyTensor are millions of small objects: at the default thresholds, a third of the time goes to the collector.
gc.set_threshold(50_000, 20, 20)

THREE = """
format = 1

[study]
id = "three"
title = "Three drugs, made up for the tests"
design = "cohort"
source = "made up"
inclusion = "any(A, B, C)"

[outcome]
name = "response"
direction = "benefit"

[treatments]
A = { name = "drug A" }
B = { name = "drug B" }
C = { name = "drug C" }
"""
THREE_CELLS = {
    "A": (60, 12),
    "B": (150, 25),
    "C": (140, 30),
    "A+B": (60, 22),
    "A+C": (70, 30),
    "B+C": (100, 25),
    "A+B+C": (40, 20),
}


def arms(cells):
    return "".join(
        f'[[arms]]\nregimen = "{regimen}"\nn = {n}\nevents = {events}\n'
        for regimen, (n, events) in cells.items()
    )


def pytest_configure(config):
    """Prepare JAX before any test starts it: one host device per chain. The process that only hands out tests needs none."""
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", 0):
        from cotreat.inference.sampling import prepare_jax

        prepare_jax()
        gc.freeze()


def pytest_unconfigure(config):
    """Remove the folder of the run when all workers are done."""
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ.pop(FOLDER, ""), ignore_errors=True)


def pytest_collection_modifyitems(items):
    """Mark as slow whatever samples: it uses a fit, directly or through another fixture."""
    for item in items:
        if {"fits", "tables", "nuts"} & set(item.fixturenames):
            item.add_marker("slow")


@pytest.fixture(scope="session")
def three():
    """Three drugs; patients with none of them are excluded by design."""
    from cotreat import parse_study

    return parse_study(THREE + arms(THREE_CELLS))


@pytest.fixture(scope="session")
def gap():
    """As `three`, but nobody was given B+C either."""
    from cotreat import parse_study

    cells = {regimen: cell for regimen, cell in THREE_CELLS.items() if regimen != "B+C"}
    return parse_study(THREE.replace('"three"', '"gap"') + arms(cells))


@pytest.fixture(scope="session")
def fits(three):
    """Fits by (study, model), by Laplace's approximation, shared by all tests of a run."""
    from cotreat import load_study
    from tests.shared import fit

    @cache
    def fitted(name, model):
        return fit(three if name == "three" else load_study(name), model, engine="laplace")

    return fitted


@pytest.fixture(scope="session")
def nuts(three):
    """Fits by (study, model), sampled with the defaults of `fit`, shared by all tests of a run."""
    from cotreat import load_study
    from tests.shared import fit

    @cache
    def sampled(name, model):
        return fit(three if name == "three" else load_study(name), model)

    return sampled


def table_of(study, model, prior, posterior, **options):
    from cotreat.evidence.resolve import resolve
    from cotreat.frequentist.logistic import fit_likelihood
    from cotreat.models.registry import MODELS
    from cotreat.results.summary import summarise

    return summarise(
        study,
        MODELS[model],
        resolve(study),
        prior=prior,
        posterior=posterior,
        likelihood=fit_likelihood(study, MODELS[model], resolve(study)),
        labels={"model": model, "priors": "weak", "interpretation": "default"},
        **options,
    )


@pytest.fixture(scope="session")
def tables(fits, three):
    from cotreat import load_study

    def table(name, model, **options):
        study = three if name == "three" else load_study(name)
        tree = fits(name, model)
        return table_of(study, model, tree["prior"]["risk"], tree["posterior"]["risk"], **options)

    return table
