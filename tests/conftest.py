from functools import cache

import pytest

from cotreat import load_study, parse_study
from cotreat.estimands.estimand import risk_of
from cotreat.frequentist.logistic import fit_likelihood
from cotreat.inference.sampling import fit, prepare_jax
from cotreat.models.registry import MODELS
from cotreat.results.summary import summarise

# Before any test starts JAX: one host device a chain.
prepare_jax()

THREE = """
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


def pytest_collection_modifyitems(items):
    """Mark as slow whatever samples: it uses a fit, directly or through another fixture."""
    for item in items:
        if {"fits", "tables"} & set(item.fixturenames):
            item.add_marker("slow")


@pytest.fixture(scope="session")
def three():
    """Three drugs; patients with none of them are excluded by design."""
    return parse_study(THREE + arms(THREE_CELLS))


@pytest.fixture(scope="session")
def gap():
    """As `three`, but nobody was given B+C either."""
    cells = {regimen: cell for regimen, cell in THREE_CELLS.items() if regimen != "B+C"}
    return parse_study(THREE.replace('"three"', '"gap"') + arms(cells))


@pytest.fixture(scope="session")
def fits(three):
    """Fits by (study, model), each sampled once for all tests with the defaults of `fit`."""

    @cache
    def sampled(name, model):
        return fit(three if name == "three" else load_study(name), model)

    return sampled


def table_of(study, model, prior, posterior, **options):
    return summarise(
        study,
        MODELS[model],
        prior=prior,
        posterior=posterior,
        likelihood=fit_likelihood(study, MODELS[model]),
        labels={"model": model, "priors": "weak", "interpretation": "default"},
        **options,
    )


@pytest.fixture(scope="session")
def tables(fits, three):
    def table(name, model, **options):
        study = three if name == "three" else load_study(name)
        tree = fits(name, model)
        return table_of(study, model, risk_of(tree, "prior"), risk_of(tree), **options)

    return table
