"""Fitting: draws from prior and posterior, with what they came from written on them."""

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from cotreat.catalogue import find_model
from cotreat.engines import EngineError, require_engine
from cotreat.model import build
from cotreat.names import CHAINS, DRAWS, READING, SEED, TUNE
from cotreat.priors import PriorSet, prior_set
from cotreat.study import Study

MIN_CHAINS = 2
PRIOR_DRAWS = 20_000
TARGET_ACCEPT = 0.995
"""Models with a spread of their own reach towards a spread of 0, where longer steps diverge: over 12
seeds of `exchangeable` on a seven-arm study 9, 1 and 0 divergences at 0.98, 0.99 and 0.995."""
PACKAGES = ("cotreat", "pymc", "pytensor", "arviz", "jax", "numpyro", "numpy", "xarray")


def prepare_jax(chains: int = CHAINS) -> None:
    """Give JAX one host device a chain and a compilation cache that outlives the process.

    Does nothing to settings that are already made, and comes too late where JAX has started.
    """
    flag = "--xla_force_host_platform_device_count"
    if flag not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}={chains}".strip()
    import jax

    # Through JAX's configuration: ArviZ may have imported it already, and then no variable counts.
    if jax.config.jax_compilation_cache_dir is None:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(caches / "cotreat" / "jax"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def fit(
    study: Study,
    model: str = "interaction",
    priors: str | PriorSet = "weak",
    *,
    engine: str = "numpyro",
    draws: int = DRAWS,
    tune: int = TUNE,
    chains: int = CHAINS,
    seed: int = SEED,
    progress: bool = False,
) -> xr.DataTree:
    """Sample prior and posterior of a model of a study.

    Parameters
    ----------
    study
        What `load_study` returns.
    model
        ``additive``, ``interaction``, ``exchangeable`` or ``saturated``.
    priors
        Name of a prior set, or a set of your own.
    engine
        ``numpyro`` or ``nutpie``.
    draws, tune
        Kept and warm-up draws for each chain.
    chains
        At least 2; fewer than 4 fail the diagnostics.
    seed
        The same seed gives the same draws on the same machine.
    progress
        Whether to show the sampler's progress.

    Returns
    -------
    xarray.DataTree
        Groups ``prior``, ``posterior``, ``posterior_predictive``,
        ``log_likelihood``, ``log_prior``, ``sample_stats``, ``observed_data`` and
        ``constant_data``; ``attrs["provenance"]`` says as JSON what the draws came from.

    Raises
    ------
    ModelError
        If the study or the prior set cannot go with the model.
    EngineError
        If the engine is unknown or not installed, or has too few chains.

    Examples
    --------
    >>> draws = fit(load_study("isis2"), "interaction", seed=1)
    >>> draws["posterior"]["risk"].mean(("chain", "draw"))
    """
    description = find_model(model, study)
    chosen = prior_set(priors, study) if isinstance(priors, str) else priors
    chosen = chosen.only(description)
    require_engine(engine)
    if chains < MIN_CHAINS:
        raise EngineError(f"{chains} chain cannot be checked against others; use {CHAINS}")
    prepare_jax(chains)
    built = build(study, description, chosen)
    tree = _SAMPLERS[engine](
        built, draws=draws, tune=tune, chains=chains, random_seed=seed, progressbar=progress
    )
    _complete(tree, built, seed)
    _label(tree, study)
    tree.attrs = {
        "provenance": json.dumps(
            {
                "study": study.id,
                "study_digest": study.digest,
                "model": model,
                "priors": chosen.name,
                "prior_rows": chosen.table().to_dict("records"),
                "reading": READING,
                "engine": engine,
                "draws": draws,
                "tune": tune,
                "chains": chains,
                "seed": seed,
                "versions": _versions(engine),
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
            }
        )
    }
    return _as_numpy(tree)


def provenance(tree: xr.DataTree) -> dict[str, Any]:
    """Return what a fit came from."""
    return json.loads(tree.attrs["provenance"])


def _numpyro(built: Any, *, chains: int, **settings: Any) -> xr.DataTree:
    import jax
    import pymc as pm

    # With fewer host devices than chains (JAX was started by somebody else) chains share one program.
    method = "parallel" if jax.local_device_count() >= chains else "vectorized"
    return pm.sample(
        model=built,
        nuts_sampler="numpyro",
        chains=chains,
        nuts={"target_accept": TARGET_ACCEPT, "chain_method": method, "dense_mass": True},
        compute_convergence_checks=False,
        quiet=not settings["progressbar"],
        **settings,
    )


def _nutpie(built: Any, **settings: Any) -> xr.DataTree:
    import pymc as pm

    tree = pm.sample(
        model=built,
        nuts_sampler="nutpie",
        # Through numba the first run compiles for 40 s, and its draws depend on numba's cache.
        backend="jax",
        nuts={"target_accept": TARGET_ACCEPT},
        compute_convergence_checks=False,
        quiet=not settings["progressbar"],
        **settings,
    )
    stats = tree["sample_stats"].to_dataset()[list(_NUTPIE_STATS)].rename(_NUTPIE_STATS)
    tree["sample_stats"] = xr.DataTree(stats)
    return tree


_NUTPIE_STATS = {
    "diverging": "diverging",
    "energy": "energy",
    "depth": "tree_depth",
    "n_steps": "n_steps",
    "step_size": "step_size",
    "mean_tree_accept": "acceptance_rate",
    "logp": "lp",
}
"""Statistics of nutpie under the names that NumPyro's have."""

_SAMPLERS: dict[str, Callable[..., xr.DataTree]] = {"numpyro": _numpyro, "nutpie": _nutpie}


def _complete(tree: xr.DataTree, built: Any, seed: int) -> None:
    """Add what the sampler does not return: prior, predictions, log densities by point."""
    import pymc as pm

    # Through numba each of these would compile for many seconds.
    quick = {"mode": "FAST_COMPILE"}
    with built, _quiet("pymc"):
        prior = pm.sample_prior_predictive(PRIOR_DRAWS, random_seed=seed, compile_kwargs=quick)
        predicted = pm.sample_posterior_predictive(
            tree, random_seed=seed, progressbar=False, compile_kwargs=quick
        )
        options = {"extend_inferencedata": False, "progressbar": False, "compile_kwargs": quick}
        tree["log_likelihood"] = xr.DataTree(pm.compute_log_likelihood(tree, **options))
        tree["log_prior"] = xr.DataTree(pm.stats.compute_log_prior(tree, **options))
    tree["prior"] = prior["prior"]
    tree["posterior_predictive"] = predicted["posterior_predictive"]


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Keep a logger from announcing what it samples."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


def _label(tree: xr.DataTree, study: Study) -> None:
    """Write the evidence into the tree, and what the risks are."""
    arms = tuple(tree["posterior"].coords["arm"].values)
    tree["constant_data"] = xr.DataTree(
        xr.Dataset(
            {"n": ("counted", study.n), "content": (("arm", "treatment"), study.content(arms))},
            coords={
                "counted": list(study.counted),
                "arm": list(arms),
                "treatment": list(study.treatment_ids),
            },
        )
    )
    for group in ("prior", "posterior"):
        data = tree[group].to_dataset()
        tree[group] = xr.DataTree(data.assign(risk=data["risk"].assign_attrs(risk_kind="crude")))


def _as_numpy(tree: xr.DataTree) -> xr.DataTree:
    """Replace JAX arrays, on which ArviZ's figures warn."""
    return tree.map_over_datasets(lambda data: data.map(np.asarray, keep_attrs=True))


def _versions(engine: str) -> dict[str, str]:
    named = (*PACKAGES, engine) if engine not in PACKAGES else PACKAGES
    return {"python": sys.version.split()[0], **{name: version(name) for name in named}}
