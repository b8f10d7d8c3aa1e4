"""Fit a model to a study: draws from prior and posterior, with their provenance."""

import json
import os
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.special import logsumexp

from cotreat.core.constants import (
    CHAINS,
    DRAWS,
    EVIDENCE_MOVED,
    PROBABILITY_MOVED,
    SEED,
    TUNE,
)
from cotreat.estimands.enumerate import judged_measures
from cotreat.estimands.estimand import is_beyond_null, risk_draws_of
from cotreat.evidence.protocol import Evidences, share_orders_of
from cotreat.evidence.resolve import resolve
from cotreat.inference import laplace, vectorise
from cotreat.inference.engines import LIBRARIES, EngineError, require_engine
from cotreat.inference.influence import add_influence
from cotreat.inference.record import Fit, unsettled
from cotreat.inference.vectorise import Draws
from cotreat.models.build import build
from cotreat.models.registry import Model, find_model
from cotreat.models.select import priors_for
from cotreat.priors.prior import PriorSet
from cotreat.priors.sets import prior_set
from cotreat.study.study import Study

MIN_CHAINS = 2
PRIOR_DRAWS = 20_000
SMC_STEPS = (10, 20, 40, 80, 160)
"""Numbers of moves per stage, doubled until the results no longer change."""
EFFECTIVE, MIN_EFFECTIVE = 4000, 1000
"""Target effective sample size of Laplace's approximation, and the smallest that is accepted."""
CHAINS_APART, ERROR_BETWEEN = 1.008, 0.04
"""Largest R-hat, and largest ratio of the SE between chains to the SD, at which the steps are not doubled
further."""
WHOLE, THIN, FEW = 8_000_000, 20_000_000, 1000
"""Largest number of values (draws × covariate patterns, 8 bytes each) that are computed for every draw; above
it, `FEW` draws are used, evenly spaced within chains. Stored log likelihoods have at most `THIN` values."""
PACKAGES = ("cotreat", "pymc", "pytensor", "arviz", "jax", "numpyro", "numpy", "xarray")


def prepare_jax(chains: int = CHAINS) -> None:
    """Configure JAX with one host device per chain and a persistent compilation cache.

    Existing settings are kept. The number of devices has no effect once JAX has started.

    Parameters
    ----------
    chains
        Number of chains.
    """
    flag = "--xla_force_host_platform_device_count"
    if flag not in os.environ.get("XLA_FLAGS", ""):
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flag}={chains}".strip()
    import jax

    # JAX reads environment variables on import only, and ArviZ may have imported it already.
    if jax.config.jax_compilation_cache_dir is None:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(caches / "cotreat" / "jax"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def fit_model(
    study: Study,
    model: str = "interaction",
    priors: str | PriorSet | None = None,
    *,
    engine: str = "numpyro",
    draws: int = DRAWS,
    tune: int = TUNE,
    chains: int = CHAINS,
    seed: int = SEED,
    progress: bool = False,
    prior: xr.Dataset | None = None,
) -> Fit:
    """Sample the prior and the posterior of a model of a study, and return the record of the fit.

    Parameters
    ----------
    study
        The study, as `load_study` returns it, under one of its interpretations.
    model
        An entry of `cotreat.models.registry.MODELS`, such as ``interaction``, ``dose`` or ``subgroups:age``.
    priors
        Name of a prior set, or a prior set; by default `cotreat.priors.belief_grid.default_name`.
    engine
        ``numpyro``, ``laplace`` or ``smc``. If ``laplace`` is unreliable by its Pareto k, has too few
        effective draws, or an independent search finds mass elsewhere, it is replaced by ``smc`` where arm
        sizes are unknown and otherwise by ``numpyro``, with a line on stderr; ``attrs["replaced"]`` of
        ``sample_stats`` contains the reason.
    draws, tune
        Kept draws and warm-up draws per chain. For ``smc``, `draws` is the number of particles, each kept
        three times; for ``laplace``, it is the number of resampled draws. Both ignore `tune`.
    chains
        Number of chains, at least 2; fewer than 4 fail the diagnostics.
    seed
        Seed of the random numbers. Draws are reproducible on the same machine.
    progress
        Whether the progress of the sampler is shown.
    prior
        Group ``prior`` of a fit of the same model, priors and totals under another interpretation, whose
        draws are reused.

    Returns
    -------
    Fit
        The resolved study, its evidence, the model, the priors, and the draws: groups ``prior``, ``posterior``, ``posterior_predictive``, ``log_likelihood``, ``log_prior``,
        ``sample_stats``, ``observed_data`` and ``constant_data``; with individual patient data also
        ``influence``. ``attrs["provenance"]`` contains study, model, priors, settings and versions as JSON.
        With many covariate patterns, ``log_likelihood`` and ``posterior_predictive`` contain a subset of the
        draws, which their attribute ``draws`` describes.

    Raises
    ------
    ModelError
        If the study or the prior set is incompatible with the model.
    EngineError
        If the engine is unknown or not installed, or if there are fewer than 2 chains.

    Examples
    --------
    >>> fit = fit_model(load_study("isis2"), "interaction", seed=1)
    >>> fit.posterior["risk"].mean(("chain", "draw"))
    """
    description = find_model(model, study)
    study = study.resolve(strata=description.strata)
    evidence = resolve(study)
    chosen = priors_for(prior_set(priors, study), description, study)
    require_engine(engine)
    if chains < MIN_CHAINS:
        raise EngineError(
            f"convergence cannot be checked with fewer than {MIN_CHAINS} chains; use {CHAINS}"
        )
    prepare_jax(chains)
    built = build(study, description, chosen)
    prior_draws = _prior(built, max(PRIOR_DRAWS, chains * draws), seed, prior)
    size = {"draws": draws, "chains": chains, "seed": seed}
    tree, replaced = None, ""
    if engine == "smc":
        tree = _smc(built, prior_draws, study, description, progress=progress, **size)
    elif engine == "laplace":
        tree, replaced, engine = _laplace(built, evidence, **size)
        if replaced:
            print(f"{study.id}: {replaced}; repeated by {engine}", file=sys.stderr)
    if tree is None and engine == "smc":
        tree = _smc(built, prior_draws, study, description, progress=progress, **size)
    elif tree is None:
        accept = target_accept_of(evidence)
        tree = _numpyro(built, tune=tune, target_accept=accept, progress=progress, **size)
    if replaced:
        stats = tree["sample_stats"].to_dataset()
        tree["sample_stats"] = xr.DataTree(stats.assign_attrs(replaced=replaced))
    _complete(tree, built, prior_draws, evidence, seed)
    if any(item.pattern_count for item in evidence):
        add_influence(tree, [rv.name for rv in built.free_RVs])
    _label(tree, study)
    named = dict.fromkeys((*PACKAGES, LIBRARIES.get(engine, engine)))
    record = {
        "study": study.id,
        "study_digest": study.digest,
        "model": description.name,
        "priors": chosen.name,
        "prior_rows": chosen.table().to_dict("records"),
        "interpretation": study.interpretation,
        "engine": engine,
        "draws": draws,
        "tune": tune if engine == "numpyro" else 0,
        "chains": chains,
        "seed": seed,
        "versions": {"python": sys.version.split()[0], **{name: version(name) for name in named}},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    tree.attrs = {"provenance": json.dumps(record)}
    return Fit(study, evidence, description, chosen, tree)


def fit_of(
    study: Study, model: Model, draws: xr.DataTree, priors: str | PriorSet | None = None
) -> Fit:
    """Return the record of a fit from stored draws.

    Parameters
    ----------
    study
        The study, resolved to the interpretation of the fit.
    model
        The model of the fit.
    draws
        Draws, as `fit` returned them.
    priors
        Prior set of the fit, or its name; None for the default one of the study.

    Returns
    -------
    Fit
        The record.

    Raises
    ------
    ModelError
        If the prior set is incompatible with the model.
    """
    study = study.resolve(strata=model.strata)
    chosen = priors_for(prior_set(priors, study), model, study)
    return Fit(study, resolve(study), model, chosen, draws)


def target_accept_of(evidence: Evidences) -> float:
    """Return the target acceptance rate of NUTS for the evidence.

    Parameters
    ----------
    evidence
        Evidence of a study.

    Returns
    -------
    float
        The largest target among the items of evidence.

    Notes
    -----
    With large counts, the posteriors of models with a scale parameter are narrow and curved, and long steps
    diverge: over 8 seeds of `saturated` on ISIS-2, 63, 15 and 6 draws diverged at 0.98, 0.99 and 0.995. The
    standard deviations of clusters and subgroups have the same effect: with 300 and with 793 patients, some
    draws diverged at 0.95. Posteriors from reported estimates alone are wide: over 12 fits of the tacrolimus
    cohort no draw diverged at 0.98, and some trajectories reached their maximum length at 0.995.
    """
    return max(item.target_accept for item in evidence)


def provenance(tree: xr.DataTree) -> dict[str, Any]:
    """Return study, model, priors, settings and versions of a fit.

    Parameters
    ----------
    tree
        What `fit` returned.

    Returns
    -------
    dict
        The decoded JSON of ``attrs["provenance"]``.
    """
    return json.loads(tree.attrs["provenance"])


def _numpyro(built: Any, *, draws: int, chains: int, **settings: Any) -> xr.DataTree:
    """Sample the posterior by NUTS and return draws and sampler statistics."""
    from cotreat.inference import nuts

    run = nuts.run(built, draws=draws, chains=chains, **settings)
    flat = vectorise.flat(run.draws, run.draws)
    posterior = vectorise.labelled(built, flat, chains).assign_coords(draw=range(draws))
    stats = {name: (("chain", "draw"), values) for name, values in run.stats.items()}
    sample_stats = xr.Dataset(stats, {d: posterior[d] for d in ("chain", "draw")})
    return xr.DataTree.from_dict({"posterior": posterior, "sample_stats": sample_stats})


def _laplace(
    built: Any, evidence: Evidences, *, draws: int, chains: int, seed: int
) -> tuple[xr.DataTree | None, str, str]:
    """Return resampled draws of Laplace's approximation, or the reason why it is not good, and the engine."""
    from cotreat.inference.search import search_of
    from cotreat.inference.standard_coordinates import Density

    density = Density(built, share_orders_of(evidence))
    search = search_of(density, evidence, density.given, np.random.default_rng(seed))
    approximation = laplace.approximate(
        density.surface(density.given),
        *(density.start, density.spreads),
        effective=max(EFFECTIVE, chains * draws // 2),
        seed=seed,
        search=search,
    )
    if laplace.must_repeat(approximation, search) or approximation.effective < MIN_EFFECTIVE:
        why = f"laplace: Pareto k {approximation.pareto_k:.2f}, {approximation.effective:.0f} effective draws"
        why += "" if approximation.is_searched else ", the search for modes is incomplete"
        return None, why, "numpyro" if search is None else "smc"
    points = approximation.resampled(chains, draws, np.random.default_rng(seed))
    flat = density.draws(points.reshape(-1, density.size), density.given)
    posterior = vectorise.labelled(built, flat, chains).assign_coords(draw=range(draws))
    stats = xr.Dataset(
        {
            "pareto_k": approximation.pareto_k,
            "effective": approximation.effective,
            "modes": approximation.modes,
            "log_evidence": ("chain", np.full(chains, approximation.log_evidence)),
        },
        {"chain": range(chains)},
    )
    return xr.DataTree.from_dict({"posterior": posterior, "sample_stats": stats}), "", "laplace"


def _prior(built: Any, count: int, seed: int, reused: xr.Dataset | None = None) -> Draws:
    """Return prior draws of the free variables, reusing known draws if they are complete and sufficient."""
    names = [rv.name for rv in built.free_RVs]
    if reused is not None and set(names) <= set(reused) and reused.sizes["draw"] >= count:
        return {name: reused[name].values[0] for name in names}
    return vectorise.prior(built, count, seed)


def _smc(
    built: Any,
    prior: Draws,
    study: Study,
    model: Model,
    *,
    draws: int,
    chains: int,
    seed: int,
    progress: bool = False,
) -> xr.DataTree:
    """Run with doubled numbers of steps until the results no longer change or the largest number is reached."""
    from cotreat.inference.smc import Sampler

    sampler = Sampler(built, prior, chains=chains, particles=draws)
    before = None
    for steps in SMC_STEPS:
        run = sampler.run(steps, seed + steps)
        # Label the particles, and store P(measure beyond its null) per judged measure and chain.
        posterior = vectorise.completed(built, vectorise.flat(run.draws, run.draws), chains)
        risk_draws = risk_draws_of(posterior)
        probabilities = {
            e.code: is_beyond_null(e, risk_draws).mean("draw").values
            for e in judged_measures(study, model, risk_draws, resolve(study))
        }
        by_chain = np.reshape([*probabilities.values()], (-1, chains))
        stats = xr.Dataset(
            {
                "log_evidence": ("chain", run.log_evidence),
                "stages": ("chain", run.stages),
                "acceptance_rate": ("chain", run.acceptance),
                "steps": run.steps,
                "probability": (("measure", "chain"), by_chain),
            },
            coords={"chain": range(chains), "measure": list(probabilities)},
        )
        after = xr.DataTree.from_dict({"posterior": posterior, "sample_stats": stats})
        if progress:
            evidence = log_mean_exp(run.log_evidence)
            print(f"  {steps} moves per stage: log evidence {evidence:.2f}", file=sys.stderr)
        if before is not None:
            # Changes of log evidence and probabilities after doubling the steps.
            now, then = (tree["sample_stats"].to_dataset() for tree in (after, before))
            moved = abs(now["probability"].mean("chain") - then["probability"].mean("chain"))
            change = abs(log_evidence(after) - log_evidence(before))
            noted = now.assign(evidence_moved=change, probability_moved=moved)
            after["sample_stats"] = xr.DataTree(noted)
            is_stable = moved.values.max(initial=0.0) <= PROBABILITY_MOVED
            if is_stable and change <= EVIDENCE_MOVED and chains_agree(after):
                break
        before = after
    return after


def temper(
    tree: xr.DataTree, study: Study, model: str, priors: PriorSet, *, progress: bool = False
) -> xr.DataTree:
    """Run tempered sequential Monte Carlo for a fit, for its log marginal likelihood and as a comparison.

    Parameters
    ----------
    tree
        What `fit` returned for the same study, model and priors; its settings and prior draws are reused.
    study
        The study, resolved to the interpretation of the fit.
    model
        Name of the model.
    priors
        Prior set of the fit.
    progress
        Whether the log evidence is reported for each number of moves.

    Returns
    -------
    xarray.DataTree
        Groups ``posterior`` and ``sample_stats``.

    Raises
    ------
    ModelError
        If the study or the prior set is incompatible with the model.
    """
    description = find_model(model, study)
    built = build(study, description, priors_for(priors, description, study))
    used = provenance(tree)
    prior = _prior(built, used["chains"] * used["draws"], used["seed"], tree["prior"].to_dataset())
    size = {name: used[name] for name in ("draws", "chains", "seed")}
    return _smc(built, prior, study, description, progress=progress, **size)


def log_evidence(tree: xr.DataTree) -> float:
    """Return the log marginal likelihood of a run of sequential Monte Carlo, averaged over chains.

    Parameters
    ----------
    tree
        What `temper` returned, or `fit` with engine ``smc``.

    Returns
    -------
    float
        Log of the mean of the chains' marginal likelihoods.
    """
    return log_mean_exp(tree["sample_stats"].to_dataset()["log_evidence"].values)


def chains_agree(tree: xr.DataTree) -> bool:
    """Return whether independent chains of sequential Monte Carlo agree on arm sizes and risks.

    Parameters
    ----------
    tree
        A run of sequential Monte Carlo with group ``posterior``.

    Returns
    -------
    bool
        True within `CHAINS_APART` and `ERROR_BETWEEN`.

    Notes
    -----
    R-hat: Vehtari et al., Bayesian Anal 2021;16:667.
    """
    import arviz as az

    posterior = tree["posterior"].to_dataset()
    parts = unsettled(posterior[[n for n in ("risk", "size", "log_ratio") if n in posterior]])
    parts = parts.map(np.asarray, keep_attrs=True)
    apart = parts.mean("draw").std("chain", ddof=1) / np.sqrt(parts.sizes["chain"])
    error = apart / parts.std(("chain", "draw"))
    worst = [float(v.max()) for v in az.rhat(parts).data_vars.values()]
    return max(worst) <= CHAINS_APART and all(
        float(v.max()) <= ERROR_BETWEEN for v in error.data_vars.values()
    )


def log_mean_exp(logs: np.ndarray) -> float:
    """Return the log of the mean of numbers.

    Parameters
    ----------
    logs
        Logs of the numbers, shape (number,).

    Returns
    -------
    float
        Log of the mean.
    """
    return float(logsumexp(logs) - np.log(len(logs)))


def _complete(tree: xr.DataTree, built: Any, prior: Draws, evidence: Evidences, seed: int) -> None:
    """Add prior draws, deterministics, predictions and pointwise log densities to the draws of a sampler."""
    names = [rv.name for rv in built.free_RVs]
    posterior = tree["posterior"].to_dataset()
    chains, draws = posterior.sizes["chain"], posterior.sizes["draw"]
    flat = vectorise.flat(posterior, names)
    # Sequential Monte Carlo needs the risks for its check of convergence.
    if "risk" not in posterior:
        posterior = vectorise.completed(built, flat, chains)
        tree["posterior"] = xr.DataTree(posterior)
    kept = {name: array[:PRIOR_DRAWS] for name, array in prior.items()}
    tree["prior"] = xr.DataTree(vectorise.completed(built, kept, 1))
    patterns = max(item.pattern_count for item in evidence)
    at = thinned(chains, draws, patterns, THIN)
    if len(at) == draws:  # One program compiles faster than two.
        logs = vectorise.log_densities(built, [*built.observed_RVs, *built.free_RVs], flat)
    else:
        few = vectorise.flat(posterior.isel(draw=at), names)
        logs = vectorise.log_densities(built, built.observed_RVs, few)
        logs |= vectorise.log_densities(built, built.free_RVs, flat)
    log_prior = {name: logs.pop(name) for name in names}
    tree["log_prior"] = xr.DataTree(vectorise.labelled(built, log_prior, chains))
    log_likelihood = vectorise.labelled(built, logs, chains).assign_coords(draw=at)
    tree["log_likelihood"] = xr.DataTree(_noted(log_likelihood, posterior))
    some = posterior.isel(draw=thinned(chains, draws, patterns))
    rng = np.random.default_rng(seed)
    made = [item.replicate(some, rng) for item in evidence]
    replicates = xr.Dataset({name: values for group in made for name, values in group.items()})
    constant = [name for name, values in replicates.items() if "draw" not in values.dims]
    if constant:
        tree["constant_data"] = xr.DataTree(replicates[constant])
    tree["posterior_predictive"] = xr.DataTree(_noted(replicates.drop_vars(constant), posterior))
    data = {rv.name: built.rvs_to_values[rv].eval()[None] for rv in built.observed_RVs}
    observed = vectorise.labelled(built, data, 1).isel(chain=0, draw=0, drop=True)
    tree["observed_data"] = xr.DataTree(observed)


def thinned(chains: int, draws: int, cells: int, most: float = np.inf) -> NDArray[np.int64]:
    """Return indices of evenly spaced draws for which values per covariate pattern are computed.

    Parameters
    ----------
    chains
        Number of chains.
    draws
        Number of draws per chain.
    cells
        Number of covariate patterns; 0 without individual patient data.
    most
        Largest number of values (draws of all chains × patterns) if the draws are thinned.

    Returns
    -------
    ndarray of int
        Indices of draws, the same for each chain; all draws if there are at most `WHOLE` values.
    """
    if chains * draws * cells <= WHOLE:
        return np.arange(draws)
    count = max(1, int(min(FEW, most / cells)) // chains)
    return np.linspace(0, draws - 1, min(count, draws)).round().astype(int)


def _noted(some: xr.Dataset, posterior: xr.Dataset) -> xr.Dataset:
    """Describe a subset of the draws in the attribute ``draws``."""
    kept, draws = some.sizes["draw"], posterior.sizes["draw"]
    if kept == draws:
        return some
    return some.assign_attrs(
        draws=f"{kept} of {draws} per chain, evenly spaced, because there are many covariate patterns"
    )


def _label(tree: xr.DataTree, study: Study) -> None:
    """Store the counts and the composition of the arms as constant data, and the kind of risk as an attribute."""
    arms = tuple(tree["posterior"].coords["arm"].values)
    labels = {"counted": study.counted, "arm": arms, "treatment": study.treatment_ids}
    data = xr.Dataset(
        {"n": ("counted", study.n), "content": (("arm", "treatment"), study.content(arms))},
        coords={dim: list(of) for dim, of in labels.items()},
    )
    constant = tree["constant_data"].to_dataset() if "constant_data" in tree.children else {}
    tree["constant_data"] = xr.DataTree(data.assign(constant))
    for group in ("prior", "posterior"):
        tree[group]["risk"].attrs["risk_kind"] = study.risk_kind
