"""Figures: what is drawn, told by the plain rows behind a picture and by its artists."""

import warnings

import numpy as np
import xarray as xr
from scipy.special import expit
from statsmodels.tools.sm_exceptions import SingularMatrixWarning

from cotreat.effects import MODELS
from cotreat.frequentist import fit_likelihood
from cotreat.plots import View
from cotreat.study_file import load_study, parse_study
from cotreat.summary import summarise

THREE = """
[study]
id = "three"
title = "Three drugs"
design = "cohort"
source = "made up"
inclusion = "any(TAC, CYC, MMF)"
[outcome]
name = "complete response"
time = "6 months"
direction = "benefit"
[treatments.TAC]
name = "tacrolimus"
[treatments.CYC]
name = "cyclophosphamide"
[treatments.MMF]
name = "mycophenolate mofetil"
[[arms]]
regimen = "TAC"
n = 40
events = 11
[[arms]]
regimen = "CYC"
n = 150
events = 36
[[arms]]
regimen = "MMF"
n = 120
events = 23
[[arms]]
regimen = "TAC+CYC"
n = 60
events = 25
[[arms]]
regimen = "TAC+MMF"
n = 50
events = 20
"""
STUDIES = {
    "isis2": load_study("isis2"),
    "factor-v-leiden": load_study("factor-v-leiden"),
    "three": parse_study(THREE, "three.toml"),
}
PNG = b"\x89PNG\r\n\x1a\n"


# --- A fit without sampling ----------------------------------------------------------------------


def fake_draws(study, model, rng, chains, draws, spread):
    """Draw parameters and the risks they make, with the dims and names of a fit."""
    arms, shape = model.arms(study), (chains, draws)
    values, dims = {}, {}
    sizes = {
        "beta": ("treatment", study.treatment_ids),
        "gamma": ("pair", study.pair_labels),
        "z": ("pair", study.pair_labels),
        "eta": ("arm", arms),
    }
    for name in dict.fromkeys((*model.parameters, *(["gamma"] if model.has_products else []))):
        dim, labels = sizes.get(name, (None, ()))
        size = shape + ((len(labels),) if dim else ())
        dims[name] = ("chain", "draw", *([dim] if dim else []))
        values[name] = rng.normal(-0.3, spread, size)
    if model.has_structure:
        eta = values["alpha"][..., None] + values["beta"] @ study.content(arms).T
        if model.has_products:
            eta = eta + values["gamma"] @ study.products(arms).T
    else:
        values.pop("gamma")
        eta = values["eta"]
    data = xr.Dataset(
        {name: (dims[name], value) for name, value in values.items()},
        coords={
            "chain": range(chains),
            "draw": range(draws),
            "treatment": list(study.treatment_ids),
            "pair": list(study.pair_labels),
            "arm": list(arms),
        },
    )
    return data.assign(risk=(("chain", "draw", "arm"), expit(eta - 1), {"risk_kind": "crude"}))


def fake_tree(study, model, seed=1):
    rng = np.random.default_rng(seed)
    posterior = fake_draws(study, model, rng, 4, 200, 0.2)
    prior = fake_draws(study, model, rng, 1, 800, 0.8)
    risk = posterior["risk"].sel(arm=list(study.counted)).rename(arm="counted")
    events = rng.binomial(study.n, risk.values)
    counted = {"counted": list(study.counted)}
    sampler = ("chain", "draw"), rng.normal(20, 2, (4, 200))
    return xr.DataTree.from_dict(
        {
            "posterior": posterior,
            "prior": prior,
            "posterior_predictive": risk.copy(data=events).to_dataset(name="events"),
            "observed_data": xr.Dataset({"events": ("counted", study.events)}, coords=counted),
            "sample_stats": xr.Dataset(
                {"energy": sampler, "diverging": (("chain", "draw"), np.zeros((4, 200), bool))},
                coords={"chain": range(4), "draw": range(200)},
            ),
        }
    )


def fake_view(study_id, model_name):
    study, model = STUDIES[study_id], MODELS[model_name]
    tree = fake_tree(study, model)
    with warnings.catch_warnings():
        # Five arms and seven coefficients: statsmodels says so, and the summary calls them undefined.
        warnings.simplefilter("ignore", SingularMatrixWarning)
        likelihood = fit_likelihood(study, model)
        summary = summarise(
            study,
            model,
            prior=tree["prior"]["risk"],
            posterior=tree["posterior"]["risk"],
            likelihood=likelihood,
            labels={"model": model_name, "priors": "weak", "reading": "default"},
        )
    return View(tree, study, model, summary)
