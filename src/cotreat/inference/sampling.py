"""Fitting: draws from prior and posterior, with what they came from written on them."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
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
"""Moves at each stage, doubled until that changes nothing."""
EFFECTIVE, MIN_EFFECTIVE = 4000, 1000
"""Effective draws by weight that Laplace's approximation is asked for, and that it must have."""
CHAINS_APART, ERROR_BETWEEN = 1.008, 0.04
"""R-hat of the chains, and SE between them over the SD, to be reached before the checks ask more."""
WHOLE, THIN, FEW = 8_000_000, 20_000_000, 1000
"""So many numbers, by draw and cell of patients, are worked out for every draw (8 bytes each); of more,
for `FEW` draws evenly spaced by chain. Log-likelihoods are kept, and are no more than `THIN`."""
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
    prior: xr.Dataset | None = None,
) -> xr.DataTree:
    """Sample prior and posterior of a model of a study.

    Parameters
    ----------
    study
        What `load_study` returns, under one of its readings.
    model
        An entry of `cotreat.models.registry.MODELS`, such as ``interaction``, ``dose`` or ``subgroups:age``.
    priors
        Name of a prior set, or a set of your own.
    engine
        ``numpyro``, ``laplace`` or ``smc``. Where ``laplace`` cannot be trusted, by its Pareto
        k or because too few of its draws are effective, ``numpyro`` stands in, and
        ``attrs["replaced"]`` of ``sample_stats`` says so.
    draws, tune
        Kept and warm-up draws for each chain; for ``smc`` particles, each of which is kept three times,
        and nothing; for ``laplace`` draws by weight, and nothing.
    chains
        At least 2; fewer than 4 fail the diagnostics.
    seed
        The same seed gives the same draws on the same machine.
    progress
        Whether to show the sampler's progress.
    prior
        The ``prior`` group of a fit of the same model, priors and totals under another reading, whose
        draws need not be made again.

    Returns
    -------
    xarray.DataTree
        Groups ``prior``, ``posterior``, ``posterior_predictive``,
        ``log_likelihood``, ``log_prior``, ``sample_stats``, ``observed_data`` and
        ``constant_data``, with patients also ``influence``; ``attrs["provenance"]`` says as JSON what
        the draws came from. Of many patients ``log_likelihood`` and ``posterior_predictive`` hold some
        of the draws, and their attribute ``draws`` says so.

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
    return fit_model(
        study,
        model,
        priors,
        engine=engine,
        draws=draws,
        tune=tune,
        chains=chains,
        seed=seed,
        progress=progress,
        prior=prior,
    ).draws


def fit_model(
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
    prior: xr.Dataset | None = None,
) -> Fit:
    """Sample prior and posterior of a model of a study, and return the record of the fit.

    Parameters, errors and draws are those of `fit`.
    """
    description = find_model(model, study)
    study = study.resolve(strata=description.strata)
    evidence = resolve(study)
    chosen = prior_set(priors, study) if isinstance(priors, str) else priors
    chosen = priors_for(chosen, description, study)
    require_engine(engine)
    if chains < MIN_CHAINS:
        raise EngineError(f"{chains} chain cannot be checked against others; use {CHAINS}")
    prepare_jax(chains)
    built = build(study, description, chosen)
    before = _prior(built, max(PRIOR_DRAWS, chains * draws), seed, prior)
    tree, replaced = None, ""
    if engine == "smc":
        tree = _smc(
            built,
            before,
            study,
            description,
            draws=draws,
            chains=chains,
            seed=seed,
            on_progress=progress,
        )
    elif engine == "laplace":
        tree, replaced = _laplace(
            built, share_orders_of(evidence), draws=draws, chains=chains, seed=seed
        )
        engine = "numpyro" if replaced else engine
    if tree is None:
        tree = _numpyro(
            built,
            draws=draws,
            tune=tune,
            chains=chains,
            target_accept=target_accept_of(evidence),
            seed=seed,
            progress=progress,
        )
        if replaced:
            stats = tree["sample_stats"].to_dataset()
            tree["sample_stats"] = xr.DataTree(stats.assign_attrs(replaced=replaced))
    _complete(tree, built, before, evidence, seed)
    if any(one.patterns for one in evidence):
        add_influence(tree, [rv.name for rv in built.free_RVs])
    _label(tree, study)
    tree.attrs = {
        "provenance": json.dumps(
            {
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
                "versions": _versions(engine),
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
            }
        )
    }
    return Fit(study, evidence, description, chosen, tree)


def fit_of(study: Study, model: Model, draws: xr.DataTree, priors: str | PriorSet = "weak") -> Fit:
    """Return the record of a fit whose draws were kept.

    Parameters
    ----------
    study
        Under the interpretation that the fit was made with.
    draws
        What `fit` returned.
    priors
        What the fit was made with.
    """
    study = study.resolve(strata=model.strata)
    chosen = prior_set(priors, study) if isinstance(priors, str) else priors
    return Fit(study, resolve(study), model, priors_for(chosen, model, study), draws)


def target_accept_of(evidence: Evidences) -> float:
    """Return the acceptance rate that NUTS needs for evidence.

    Notes
    -----
    Where many were counted, models with a spread of their own are narrow and bent, and long steps diverge:
    over 8 seeds of `saturated` on ISIS-2 63, 15 and 6 draws at 0.98, 0.99 and 0.995. So do the spreads of
    clusters and subgroups: of 300 and of 793 patients some draw diverges at 0.95. Posteriors of reported
    estimates alone are wide: over 12 fits of the tacrolimus cohort none diverges at 0.98, and at 0.995 some
    trajectories are cut short.
    """
    return max(one.target_accept for one in evidence)


def provenance(tree: xr.DataTree) -> dict[str, Any]:
    """Return what a fit came from."""
    return json.loads(tree.attrs["provenance"])


def _numpyro(built: Any, *, draws: int, chains: int, **settings: Any) -> xr.DataTree:
    from cotreat.inference import nuts

    run = nuts.run(built, draws=draws, chains=chains, **settings)
    flat = {name: v.reshape(-1, *v.shape[2:]) for name, v in run.draws.items()}
    posterior = vectorise.labelled(built, flat, chains).assign_coords(draw=range(draws))
    stats = {name: (("chain", "draw"), values) for name, values in run.stats.items()}
    sample_stats = xr.Dataset(stats, {d: posterior[d] for d in ("chain", "draw")})
    return xr.DataTree.from_dict({"posterior": posterior, "sample_stats": sample_stats})


def _laplace(
    built: Any, orders: Mapping[str, Sequence[int]], *, draws: int, chains: int, seed: int
) -> tuple[xr.DataTree | None, str]:
    """Approximate a posterior; return its draws by weight, or nothing and why they cannot be used."""
    from cotreat.inference.standard_coordinates import Density

    density = Density(built, orders)
    found = laplace.approximate(
        density.surface(density.given),
        density.start,
        density.spreads,
        effective=EFFECTIVE,
        seed=seed,
    )
    if found.verdict == laplace.UNRELIABLE or found.effective < MIN_EFFECTIVE:
        why = f"laplace: Pareto k {found.pareto_k:.2f}, {found.effective:.0f} effective draws"
        return None, why + ("" if found.is_searched else ", modes found once only")
    points = found.resampled(chains, draws, np.random.default_rng(seed))
    flat = density.draws(points.reshape(-1, density.size), density.given)
    posterior = vectorise.labelled(built, flat, chains).assign_coords(draw=range(draws))
    stats = xr.Dataset(
        {
            "pareto_k": found.pareto_k,
            "effective": found.effective,
            "modes": found.modes,
            "log_evidence": ("chain", np.full(chains, found.log_evidence)),
        },
        {"chain": range(chains)},
    )
    return xr.DataTree.from_dict({"posterior": posterior, "sample_stats": stats}), ""


def _prior(built: Any, count: int, seed: int, known: xr.Dataset | None = None) -> Draws:
    """Draw the free variables from their prior, unless they are known and many enough."""
    names = [rv.name for rv in built.free_RVs]
    if known is not None and set(names) <= set(known) and known.sizes["draw"] >= count:
        return {name: known[name].values[0] for name in names}
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
    on_progress: bool = False,
) -> xr.DataTree:
    """Run with ever more steps until doubling them changes nothing, or they are too many."""
    from cotreat.inference.smc import Sampler

    sampler = Sampler(built, prior, chains=chains, particles=draws)
    before = None
    for steps in SMC_STEPS:
        run = sampler.run(steps, seed + steps)
        after = _run_tree(built, run, study, model)
        if on_progress:
            evidence = log_mean_exp(run.log_evidence)
            print(f"  {steps} moves a stage: log evidence {evidence:.2f}", file=sys.stderr)
        if before is not None:
            _note_doubling(after, before)
            if doubling_moved_little(after) and chains_agree(after):
                break
        before = after
    return after


def temper(
    tree: xr.DataTree, study: Study, model: str, priors: PriorSet, *, on_progress: bool = False
) -> xr.DataTree:
    """Run sequential Monte Carlo beside a fit, for its log evidence and to compare.

    Parameters
    ----------
    tree
        What `fit` returned for the same study, model and priors; its settings are used again.

    Returns
    -------
    xarray.DataTree
        Groups ``posterior`` and ``sample_stats``.
    """
    description = find_model(model, study)
    built = build(study, description, priors_for(priors, description, study))
    used = provenance(tree)
    prior = _prior(built, used["chains"] * used["draws"], used["seed"], tree["prior"].to_dataset())
    return _smc(
        built,
        prior,
        study,
        description,
        draws=used["draws"],
        chains=used["chains"],
        seed=used["seed"],
        on_progress=on_progress,
    )


def log_evidence(tree: xr.DataTree) -> float:
    """Return the log marginal likelihood that a run of sequential Monte Carlo found."""
    return log_mean_exp(tree["sample_stats"].to_dataset()["log_evidence"].values)


def _run_tree(built: Any, run: Any, study: Study, model: Model) -> xr.DataTree:
    """Label the particles, and note P(measure beyond its null) of each judged measure."""
    flat = {name: values.reshape(-1, *values.shape[2:]) for name, values in run.draws.items()}
    values = {**flat, **vectorise.deterministics(built, flat)}
    posterior = vectorise.labelled(built, values, run.log_evidence.size)
    risk_draws = risk_draws_of(posterior)
    chances = {
        e.code: is_beyond_null(e, risk_draws).mean("draw").values
        for e in judged_measures(study, model, risk_draws, resolve(study))
    }
    stats = xr.Dataset(
        {
            "log_evidence": ("chain", run.log_evidence),
            "stages": ("chain", run.stages),
            "acceptance_rate": ("chain", run.acceptance),
            "steps": run.steps,
            "probability": (
                ("measure", "chain"),
                np.reshape(list(chances.values()), (-1, run.log_evidence.size)),
            ),
        },
        coords={"chain": range(run.log_evidence.size), "measure": list(chances)},
    )
    return xr.DataTree.from_dict({"posterior": posterior, "sample_stats": stats})


def _note_doubling(after: xr.DataTree, before: xr.DataTree) -> None:
    """Note what doubling the steps has moved: the log evidence, and the probability it moved most."""
    now, then = (tree["sample_stats"].to_dataset() for tree in (after, before))
    moved = abs(now["probability"].mean("chain") - then["probability"].mean("chain"))
    change = log_mean_exp(now["log_evidence"].values) - log_mean_exp(then["log_evidence"].values)
    noted = now.assign(evidence_moved=abs(change), probability_moved=moved)
    after["sample_stats"] = xr.DataTree(noted)


def doubling_moved_little(tree: xr.DataTree) -> bool:
    """Tell whether doubling the steps left log evidence and probabilities where they were."""
    stats = tree["sample_stats"].to_dataset()
    moved = stats["probability_moved"].values.max(initial=0.0)
    return float(stats["evidence_moved"]) <= EVIDENCE_MOVED and moved <= PROBABILITY_MOVED


def chains_agree(tree: xr.DataTree) -> bool:
    """Tell whether the chains, each a run of its own, found the same sizes and risks."""
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
    """Average on the scale of the numbers whose logs are given."""
    return float(logsumexp(logs) - np.log(len(logs)))


def _complete(tree: xr.DataTree, built: Any, prior: Draws, evidence: Evidences, seed: int) -> None:
    """Add what the sampler does not return: prior, predictions, log densities by point."""
    posterior = tree["posterior"].to_dataset()
    chains = posterior.sizes["chain"]
    flat = {
        rv.name: (v := posterior[rv.name].values).reshape(-1, *v.shape[2:]) for rv in built.free_RVs
    }
    if "risk" not in posterior:  # sequential Monte Carlo needs them to see whether it has settled
        values = {**flat, **vectorise.deterministics(built, flat)}
        tree["posterior"] = xr.DataTree(vectorise.labelled(built, values, chains))
    kept = {name: array[:PRIOR_DRAWS] for name, array in prior.items()}
    before = {**kept, **vectorise.deterministics(built, kept)}
    tree["prior"] = xr.DataTree(vectorise.labelled(built, before, 1))
    posterior = tree["posterior"].to_dataset()
    count = max(one.patterns for one in evidence)
    at = thinned(chains, posterior.sizes["draw"], count, THIN)
    few = flat
    if len(at) < posterior.sizes["draw"]:
        few = {rv.name: posterior[rv.name].values[:, at] for rv in built.free_RVs}
        few = {name: v.reshape(-1, *v.shape[2:]) for name, v in few.items()}
    likelihood, own = _log_densities(built, flat, few)
    tree["log_prior"] = xr.DataTree(vectorise.labelled(built, own, chains))
    logs = vectorise.labelled(built, likelihood, chains).assign_coords(draw=at)
    tree["log_likelihood"] = xr.DataTree(_noted(logs, posterior))
    some = posterior.isel(draw=thinned(chains, posterior.sizes["draw"], count))
    rng = np.random.default_rng(seed)
    made = [one.replicate(some, rng) for one in evidence]
    again = xr.Dataset({name: values for own in made for name, values in own.items()})
    known = [name for name, values in again.items() if "draw" not in values.dims]
    if known:
        tree["constant_data"] = xr.DataTree(again[known])
    tree["posterior_predictive"] = xr.DataTree(_noted(again.drop_vars(known), posterior))
    seen = {rv.name: built.rvs_to_values[rv].eval() for rv in built.observed_RVs}
    dims = {name: built.named_vars_to_dims[name] for name in seen}
    tree["observed_data"] = xr.DataTree(
        xr.Dataset(
            {name: (dims[name], data) for name, data in seen.items()},
            {d: list(built.coords[d]) for own in dims.values() for d in own},
        )
    )


def thinned(chains: int, draws: int, cells: int, most: float = np.inf) -> NDArray[np.int64]:
    """Return the draws of each chain, evenly spaced, for which something is worked out for every cell.

    Parameters
    ----------
    cells
        Of patients; 0 for none.
    most
        Numbers, by draw of all chains and cell, that can be kept where they are many.
    """
    if chains * draws * cells <= WHOLE:
        return np.arange(draws)
    count = max(1, int(min(FEW, most / cells)) // chains)
    return np.linspace(0, draws - 1, min(count, draws)).round().astype(int)


def _noted(some: xr.Dataset, posterior: xr.Dataset) -> xr.Dataset:
    """Write on what holds but some of the draws which they are."""
    kept, draws = some.sizes["draw"], posterior.sizes["draw"]
    if kept == draws:
        return some
    return some.assign_attrs(
        draws=f"{kept} of {draws} of each chain, evenly spaced: cells are many"
    )


def _log_densities(built: Any, flat: Draws, few: Draws) -> tuple[Draws, Draws]:
    """Work out log densities: of each observation for a few draws, of the prior for all."""
    seen, free = built.observed_RVs, built.free_RVs
    if few is flat:  # one program compiles faster than two
        both = vectorise.log_densities(built, [*seen, *free], flat)
        named = ({rv.name: both[rv.name] for rv in own} for own in (seen, free))
        likelihood, prior = named
        return likelihood, prior
    few_logs = vectorise.log_densities(built, seen, few)
    return few_logs, vectorise.log_densities(built, free, flat)


def _label(tree: xr.DataTree, study: Study) -> None:
    """Write the evidence into the tree, and what the risks are."""
    arms = tuple(tree["posterior"].coords["arm"].values)
    given = xr.Dataset(
        {"n": ("counted", study.n), "content": (("arm", "treatment"), study.content(arms))},
        coords={
            "counted": list(study.counted),
            "arm": list(arms),
            "treatment": list(study.treatment_ids),
        },
    )
    own = tree["constant_data"].to_dataset() if "constant_data" in tree.children else {}
    tree["constant_data"] = xr.DataTree(given.assign(own))
    for group in ("prior", "posterior"):
        data = tree[group].to_dataset()
        risk = data["risk"].assign_attrs(risk_kind=study.risk_kind)
        tree[group] = xr.DataTree(data.assign(risk=risk))


def _versions(engine: str) -> dict[str, str]:
    named = dict.fromkeys((*PACKAGES, LIBRARIES.get(engine, engine)))
    return {"python": sys.version.split()[0], **{name: version(name) for name in named}}
