"""Diagnostics as rows: name, where, value, threshold, verdict, advice."""

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import xarray as xr

from cotreat.audit.overlap import MOST_RARE, RARE, overlap_of, percent
from cotreat.core.constants import (
    BFMI,
    CALIBRATION,
    CHECK_COLUMNS,
    CONFOUNDED,
    EVIDENCE_MOVED,
    PROBABILITY_MOVED,
)
from cotreat.diagnostics.risk_calibration import calibration_of
from cotreat.estimands.enumerate import enumerate_estimands, judged_measures
from cotreat.estimands.estimand import CONDITIONAL, is_beyond_null, risk_draws_of
from cotreat.estimands.identification import Identification
from cotreat.estimands.measures import odds
from cotreat.evidence.prior_conflict import PRIOR_CONFLICT
from cotreat.evidence.protocol import Evidences
from cotreat.inference import influence
from cotreat.inference.laplace import GOOD_K, UNRELIABLE_K
from cotreat.inference.record import Fit, unsettled
from cotreat.priors.defaults import BIAS
from cotreat.study.covariate_patterns import Cells

RHAT = 1.01
ESS = 1000
MCSE = 0.05
MAX_TREE_DEPTH = 10
MISFIT = 0.01

REPLACED = "engine replaced"
"""The check that records that one engine stands in for another."""
PASS, WARN, FAIL = "pass", "warn", "FAIL"

MORE_DRAWS = "draw more: raise --draws"
MORE_MOVES = (
    "sequential Monte Carlo has not settled after its last doubling: do not use these numbers; raise "
    "--draws, which are its particles"
)
NOT_MIXED = "the chains disagree: do not use these numbers; raise --draws, then try another --engine or model"
MEANS_APART = 0.05
DISAGREE = "two samplers disagree about the same posterior: raise --draws and look again"
Row = dict[str, Any]


def checks(fit: Fit) -> pd.DataFrame:
    """Run every diagnostic of a fit.

    Returns
    -------
    pandas.DataFrame
        One row a diagnostic with the columns of `cotreat.core.constants.CHECK_COLUMNS`; ``where`` names the
        quantity that is worst.

    Notes
    -----
    R-hat and effective sample sizes after Vehtari et al., Bayesian Anal 2021;16:667, energy after
    Betancourt 2016. Parameters, risks and log odds ratios need all of them, the indicator behind
    each probability of an odds ratio or measure its R-hat and the effective sample size of its mean.

    The last rows are about the model, not the sampler, and warn: whether the prior expected
    anything like the counts, and whether the fitted model predicts them (Box 1980; Rubin 1984); of
    patients with covariates also whether predicted risks are calibrated (`cotreat.diagnostics.risk_calibration`),
    whether single cells move the posterior (`cotreat.inference.influence`) and whether the regimens' patients are
    alike (`cotreat.audit.overlap`).
    """
    tree = fit.draws
    quantities = _quantities(tree)
    risk_draws = risk_draws_of(tree["posterior"].to_dataset())
    indicators = _indicators(risk_draws, fit)
    stats = tree["sample_stats"].to_dataset()
    rows = [
        *_agreement(quantities, indicators),
        *_by_engine(stats, quantities, indicators),
        _chains(tree["posterior"].sizes["chain"]),
        *_undefined(risk_draws, fit),
        *_conflict_and_misfit(tree, fit.evidence),
        *(_patients(tree, fit.study.cells) if fit.study.is_adjusted and fit.study.cells else ()),
    ]
    return pd.DataFrame(rows)[list(CHECK_COLUMNS)]


def _by_engine(stats: xr.Dataset, quantities: xr.Dataset, indicators: xr.Dataset) -> Iterator[Row]:
    """Run the diagnostics that only one kind of sampler has."""
    if "pareto_k" in stats:
        yield from _weights(stats)
        yield from _between(quantities)
    elif "log_evidence" in stats:
        yield from _between(quantities)
        yield from _doubling(stats)
    else:
        yield from _size(quantities, indicators)
        yield from _precision(quantities)
        yield from _sampler(stats)
        if "replaced" in stats.attrs:
            yield replaced("numpyro", stats.attrs["replaced"])


def _weights(stats: xr.Dataset) -> Iterator[Row]:
    """Judge whether weights have corrected Laplace's approximation, and how many draws they leave."""
    k, effective = float(stats["pareto_k"]), float(stats["effective"])
    where = f"{int(stats['modes'])} mode" + ("s" if int(stats["modes"]) > 1 else "")
    yield _row(
        "Pareto k of weights",
        where,
        k,
        f"< {UNRELIABLE_K}",
        k < UNRELIABLE_K,
        "Laplace's approximation does not cover the posterior: use --engine numpyro or smc",
    )
    if GOOD_K <= k < UNRELIABLE_K:
        yield _row(
            "Pareto k of weights, middling",
            where,
            k,
            f"< {GOOD_K}",
            False,
            "a few draws weigh much, and all estimates are less exact than their number says, those far "
            "out in the tails least; --engine numpyro has no such weights",
            WARN,
        )
    yield _row(
        "effective draws",
        "by weight",
        effective,
        f"≥ {ESS}",
        effective >= ESS,
        "use --engine numpyro",
    )


def agreement(fit: Fit, other: xr.DataTree) -> list[Row]:
    """Compare a fit with one by sequential Monte Carlo: rows that warn where they differ."""
    tree = fit.draws
    one, two = (_quantities(t)[["risk", "log_odds_ratio"]] for t in (tree, other))
    dims = ("chain", "draw")
    apart = abs(one.mean(dims) - two.mean(dims)) / one.std(dims)
    where, value = _worst(apart, max)
    yield_mean = _row(
        "NUTS against SMC: means",
        where,
        value,
        f"≤ {MEANS_APART} SD",
        value <= MEANS_APART,
        DISAGREE,
        WARN,
    )
    risk_draws, beside = (risk_draws_of(t["posterior"].to_dataset()) for t in (tree, other))
    gaps = {
        e.label: abs(
            float(is_beyond_null(e, risk_draws).mean()) - float(is_beyond_null(e, beside).mean())
        )
        for e in judged_measures(fit.study, fit.model, risk_draws, fit.evidence)
    }
    if not gaps:
        return [yield_mean]
    name = max(gaps, key=lambda label: gaps[label])
    return [
        yield_mean,
        _row(
            "NUTS against SMC: P(synergy)",
            name,
            gaps[name],
            f"≤ {PROBABILITY_MOVED}",
            gaps[name] <= PROBABILITY_MOVED,
            DISAGREE,
            WARN,
        ),
    ]


def replaced(by: str, why: str) -> Row:
    """Record that an engine failed, and which one stands in for it."""
    return _row(REPLACED, why, 1, f"recorded: {by} stands here", True, "")


def failures(checks: pd.DataFrame) -> list[str]:
    """Say each failed diagnostic in a line."""
    return _lines(checks, FAIL)


def cautions(checks: pd.DataFrame) -> list[str]:
    """Say in a line each where prior or model and the counts do not go together."""
    return _lines(checks, WARN)


def _lines(checks: pd.DataFrame, verdict: str) -> list[str]:
    return [
        f"{row.check}: {row.value:.4g} ({row.where}), should be {row.threshold}; {row.advice}"
        for row in checks[checks.verdict == verdict].itertuples()
    ]


def _row(
    check: str,
    where: str,
    value: float,
    threshold: str,
    passed: bool,
    advice: str,
    otherwise: str = FAIL,
) -> Row:
    return {
        "check": check,
        "where": where,
        "value": value,
        "threshold": threshold,
        "verdict": PASS if passed else otherwise,
        "advice": "" if passed else advice,
    }


DERIVED = (
    *("claim_mean", "claim_covariance", "width_mean", "width_sd", "conditional_risk"),
    *(*BIAS, f"{CONFOUNDED}risk", f"{CONFOUNDED}conditional_risk"),
)
"""Parts of a posterior that follow from parameters and that nobody reads."""


def _quantities(tree: xr.DataTree) -> xr.Dataset:
    """Return parameters, risks and log odds ratios of every pair of regimens."""
    posterior = tree["posterior"].to_dataset()
    log_odds = np.log(odds(posterior[CONDITIONAL if CONDITIONAL in posterior else "risk"]))
    pairs = list(combinations(log_odds.coords["arm"].values, 2))
    contrasts = xr.concat(
        [log_odds.sel(arm=b, drop=True) - log_odds.sel(arm=a, drop=True) for a, b in pairs],
        dim="contrast",
    ).assign_coords(contrast=[f"{b} vs {a}" for a, b in pairs])
    return (
        unsettled(posterior)
        .drop_vars(DERIVED, errors="ignore")
        .assign(log_odds_ratio=contrasts.transpose("chain", "draw", "contrast"))
    )


def _indicators(risk_draws: xr.Dataset, fit: Fit) -> xr.Dataset:
    """Return "beyond its null" by draw for each odds ratio and measure that has a probability."""
    identification = Identification(fit.study, fit.model, risk_draws, fit.evidence)
    return xr.Dataset(
        {
            f"P({e.label})": is_beyond_null(e, risk_draws)
            for e in enumerate_estimands(fit.study, fit.model, fit.evidence)
            if e.null is not None
            and e.is_judged
            and not e.is_repeated
            and identification.of(e).is_open
        }
    ).astype(float)


def _varying(indicators: xr.Dataset) -> xr.Dataset:
    """Leave out indicators that never change: they have no Monte Carlo error to see, and no R-hat."""
    return indicators[[n for n, v in indicators.items() if float(v.min()) < float(v.max())]]


def _agreement(quantities: xr.Dataset, indicators: xr.Dataset) -> Iterator[Row]:
    for name, data, method in (
        ("R-hat", quantities, "rank"),
        ("R-hat of probabilities", _varying(indicators), "split"),
    ):
        if data:
            where, value = _worst(az.rhat(data, method=method), max)
            yield _row(name, where, value, f"≤ {RHAT}", value <= RHAT, NOT_MIXED)


def _size(quantities: xr.Dataset, indicators: xr.Dataset) -> Iterator[Row]:
    for name, data, method in (
        ("bulk ESS", quantities, "bulk"),
        ("tail ESS", quantities, "tail"),
        ("ESS of probabilities", _varying(indicators), "mean"),
    ):
        if data:
            where, value = _worst(az.ess(data, method=method), min)
            yield _row(name, where, value, f"≥ {ESS}", value >= ESS, MORE_DRAWS)


def _precision(quantities: xr.Dataset) -> Iterator[Row]:
    relative = az.mcse(quantities) / quantities.std(("chain", "draw"))
    where, value = _worst(relative, max)
    yield _row("MCSE / SD", where, value, f"≤ {MCSE}", value <= MCSE, MORE_DRAWS)


def _between(quantities: xr.Dataset) -> Iterator[Row]:
    """Judge precision by how far apart the chains are: particles of one share their ancestors."""
    error = quantities.mean("draw").std("chain", ddof=1) / np.sqrt(quantities.sizes["chain"])
    where, value = _worst(error / quantities.std(("chain", "draw")), max)
    yield _row("SE between runs / SD", where, value, f"≤ {MCSE}", value <= MCSE, MORE_DRAWS)


def _doubling(stats: xr.Dataset) -> Iterator[Row]:
    """Judge whether doubling the moves at each stage still changes what a reader would read."""
    moved = float(stats["evidence_moved"])
    where = f"{int(stats['steps'])} moves against half as many"
    yield _row(
        "log evidence, moves doubled",
        where,
        moved,
        f"≤ {EVIDENCE_MOVED}",
        moved <= EVIDENCE_MOVED,
        MORE_MOVES,
    )
    if stats.sizes["measure"]:
        changes = stats["probability_moved"].values
        at, moved = int(changes.argmax()), float(changes.max())
        yield _row(
            "P(synergy), moves doubled",
            str(stats["measure"].values[at]),
            moved,
            f"≤ {PROBABILITY_MOVED}",
            moved <= PROBABILITY_MOVED,
            MORE_MOVES,
        )


def _undefined(risk_draws: xr.Dataset, fit: Fit) -> Iterator[Row]:
    """Count the draws in which a measure has no value: shown, not judged."""
    identification = Identification(fit.study, fit.model, risk_draws, fit.evidence)
    for e in enumerate_estimands(fit.study, fit.model, fit.evidence):
        if e.synergy is None or not e.is_judged or not e.synergy.sign_of:
            continue
        if not identification.of(e).has_draws:
            continue
        missing = int(np.isnan(e.values(risk_draws).values).sum())
        if missing:
            yield _row("undefined draws", e.label, missing, "shown, not judged", True, "")


def _conflict_and_misfit(tree: xr.DataTree, evidence: Evidences) -> Iterator[Row]:
    """Judge each piece of evidence against what prior and posterior predict of it."""
    for one in evidence:
        far = one.prior_conflict(tree)
        if far is not None:
            passed = far.value <= PRIOR_CONFLICT
            threshold = f"≤ {PRIOR_CONFLICT} SD"
            yield _row("prior conflict", far.where, far.value, threshold, passed, far.advice, WARN)
        off = one.misfit(tree)
        if off is not None:
            passed, name = off.value >= MISFIT, f"predicted {one.kind} (χ²)"
            yield _row(name, off.where, off.value, f"≥ {MISFIT}", passed, off.advice, WARN)


def _patients(tree: xr.DataTree, cells: Cells) -> Iterator[Row]:
    yield _calibration(tree, cells)
    yield _influence(tree, cells)
    yield from _overlap(cells)


def _calibration(tree: xr.DataTree, cells: Cells) -> Row:
    """Compare events with predicted risk; name the group of patients that fits worst."""
    found = calibration_of(tree, cells)
    return _row(
        CALIBRATION,
        f"{found.worst}; {found}",
        found.share,
        f"≥ {MISFIT}",
        found.share >= MISFIT,
        "predicted risks are off even in the patients they were fitted to: look at the figure of "
        "calibration; a covariate may not act linearly on the log-odds, or not alike under all regimens",
        WARN,
    )


def _influence(tree: xr.DataTree, cells: Cells) -> Row:
    """Count the cells without which the posterior would be elsewhere; describe the worst."""
    unit, name = influence.unit(cells), "influence (Pareto k)"
    if influence.GROUP not in tree.children:
        words = f"not worked out: {len(cells.n):,} cells are more than {influence.MOST:,}"
        return _row(name, words, np.nan, "shown, not judged", True, "")
    found = tree[influence.GROUP].to_dataset()
    k, good = found["pareto_k"].values, float(found.attrs["good_k"])
    worst, count = int(k.argmax()), int((k > good).sum())
    return _row(
        name,
        f"one {unit} left out at a time; largest k {k[worst]:.2f}, {influence.described(cells, worst)}",
        count,
        f"= 0 above {good:.2g}",
        count == 0,
        "the posterior leans on them: look at them, and do not trust leave-one-out sums",
        WARN,
    )


def _overlap(cells: Cells) -> Iterator[Row]:
    """Judge whether patients could have had any regimen, and how unlike those of one are."""
    found = overlap_of(cells)
    rare, unlike = found.rarest, found.most_unlike
    yield _row(
        "overlap",
        f"share of patients with an estimated probability under {RARE} of "
        + (f"{rare.regimen}, which {percent(rare.share)} got" if rare.rare else "any regimen"),
        float(rare.rare),
        f"≤ {MOST_RARE}",
        not found.is_rare,
        "what the standardised risk of this regimen takes for them is extrapolated by the covariates' "
        "effects: prefer odds ratios, or restrict the cohort to patients who could have had any regimen",
        WARN,
    )
    yield _row(
        "balance",
        f"standardised difference, {unlike.covariate}, {unlike.regimen} against all others",
        abs(float(unlike.difference)),
        f"≤ {found.allowed:.2f}",
        not found.is_unlike,
        "the patients of this regimen are unlike the others, and its numbers lean on the form of the "
        "covariates' effects, linear on the log-odds",
        WARN,
    )


def _sampler(stats: xr.Dataset) -> Iterator[Row]:
    diverging = int(stats["diverging"].sum())
    advice = "parts of the posterior were not reached: another model, or tighter priors"
    yield _row("divergences", "all chains", diverging, "= 0", diverging == 0, advice)
    energy = az.bfmi(xr.DataTree.from_dict({"sample_stats": stats}))
    bfmi = float(energy["energy"].min())
    advice = "heavy tails slow the sampler: another model, or tighter priors"
    yield _row("energy (BFMI)", "worst chain", bfmi, f"≥ {BFMI}", bfmi >= BFMI, advice)
    depth = int(stats["tree_depth"].max())
    yield _row(
        "tree depth",
        "deepest draw",
        depth,
        f"< {MAX_TREE_DEPTH}",
        depth < MAX_TREE_DEPTH,
        "the sampler gave up long trajectories: draws are few for their number",
    )


def _chains(chains: int) -> Row:
    return _row(
        "chains", "all", chains, "≥ 4", chains >= 4, "R-hat needs several chains: --chains 4"
    )


def _worst(by_variable: xr.Dataset, pick: Any) -> tuple[str, float]:
    """Return the name and value of the largest or smallest entry; NaN is worse than any number."""
    entries = [
        (f"{name}[{', '.join(map(str, index))}]" if index else str(name), float(value))
        for name, array in by_variable.data_vars.items()
        for index, value in _entries(array)
    ]
    missing = [entry for entry in entries if np.isnan(entry[1])]
    return missing[0] if missing else pick(entries, key=lambda entry: entry[1])


def _entries(array: xr.DataArray) -> Iterator[tuple[tuple[Any, ...], float]]:
    for index in np.ndindex(array.shape):
        labels = (array[dim].values[i] for dim, i in zip(array.dims, index, strict=True))
        yield tuple(labels), float(array.values[index])
