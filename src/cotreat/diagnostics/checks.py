"""Run the diagnostics of a fit: sampler, prior-data conflict, misfit, and overlap of regimens."""

import tomllib
from collections.abc import Hashable, Iterator
from importlib import resources
from itertools import combinations
from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import xarray as xr

from cotreat.audit.overlap import MOST_RARE, RARE, Overlap, overlap_in, percent
from cotreat.core.constants import (
    BFMI,
    CALIBRATION,
    CHECK_COLUMNS,
    CONFOUNDED,
    EVIDENCE_MOVED,
    INFLUENCE,
    PROBABILITY_MOVED,
)
from cotreat.diagnostics.risk_calibration import calibration_of
from cotreat.estimands.enumerate import enumerate_estimands, judged_measures
from cotreat.estimands.estimand import CONDITIONAL, Estimand, is_beyond_null, risk_draws_of
from cotreat.estimands.identification import Identification, Status
from cotreat.estimands.measures import odds
from cotreat.evidence.counts import PRIOR_CONFLICT
from cotreat.evidence.protocol import Evidences
from cotreat.inference import influence
from cotreat.inference.laplace import GOOD_K, UNRELIABLE_K
from cotreat.inference.record import Fit, unsettled
from cotreat.priors.defaults import BIAS
from cotreat.results.prior_shift import BASELINE, CONFLICT_ADVICE, conflicts
from cotreat.study.covariate_patterns import CovariatePatterns
from cotreat.study.study import Study

RHAT = 1.01
ESS = 1000
MCSE = 0.05
MAX_TREE_DEPTH = 10
MISFIT = 0.01

REPLACED = "engine replaced"
"""The check that records the replacement of an engine by another."""
NOT_JUDGED = "shown, not judged"
PASS, WARN, FAIL = "pass", "warn", "FAIL"

MEANS_APART = 0.05

_TEXTS = resources.files("cotreat.diagnostics").joinpath("advice.toml").read_text(encoding="utf-8")
ADVICE = {
    check: advice for names, advice in tomllib.loads(_TEXTS).items() for check in names.split("|")
}
"""What to do where a check fails, by its name."""

Row = dict[str, Any]


def checks(fit: Fit) -> pd.DataFrame:
    """Run every diagnostic of a fit.

    Parameters
    ----------
    fit
        With its draws.

    Returns
    -------
    pandas.DataFrame
        One row for each diagnostic with the columns of `cotreat.core.constants.CHECK_COLUMNS`; ``where`` names
        the quantity with the worst value.

    Notes
    -----
    R-hat and effective sample sizes after Vehtari et al., Bayesian Anal 2021;16:667; energy after Betancourt,
    arXiv:1604.00695.
    They are computed of parameters, risks and log odds ratios; R-hat and the effective sample size of the mean also
    of the indicator behind each probability of an odds ratio or measure.

    The last rows check the model, not the sampler, and warn: prior–data conflict
    (`cotreat.results.prior_shift.conflicts`) and posterior predictive misfit (Rubin, Ann Stat 1984;12:1151); with covariates also the calibration of predicted risks
    (`cotreat.diagnostics.risk_calibration`), influence of single covariate patterns
    (`cotreat.inference.influence`), and overlap and balance of the regimens (`cotreat.audit.overlap`).
    """
    tree = fit.draws
    quantities = _quantities(tree)
    risk_draws = risk_draws_of(tree["posterior"].to_dataset())
    identification = Identification(fit.study, fit.model, risk_draws, fit.evidence)
    every = enumerate_estimands(fit.study, fit.model, fit.evidence)
    judged = [(e, identification.of(e)) for e in every if e.is_judged]
    indicators = _indicators(judged, risk_draws)
    stats = tree["sample_stats"].to_dataset()
    rows = [
        *_agreement(quantities, indicators),
        *_by_engine(stats, quantities, indicators),
        _at_least("chains", "all", tree["posterior"].sizes["chain"], 4),
        *_undefined(judged, risk_draws),
        *_conflict(fit),
        *_misfit(tree, fit.evidence),
    ]
    if fit.study.patterns and fit.study.is_adjusted:
        rows += _patients(tree, fit.study, fit.study.patterns)
    elif fit.study.patterns and fit.study.is_matched:
        rows.append(_influence(tree, fit.study.patterns))
    return pd.DataFrame(rows)[list(CHECK_COLUMNS)]


def agreement(fit: Fit, other: xr.DataTree) -> list[Row]:
    """Compare a fit with one by sequential Monte Carlo; the rows warn where they differ.

    Parameters
    ----------
    fit
        The fit.
    other
        Draws of the same posterior by sequential Monte Carlo.

    Returns
    -------
    list of dict
        Rows of `checks`.
    """
    dims = ("chain", "draw")
    one, two = (_quantities(tree)[["risk", "log_odds_ratio"]] for tree in (fit.draws, other))
    where, value = _worst(abs(one.mean(dims) - two.mean(dims)) / one.std(dims), max)
    name = "NUTS against SMC: means"
    rows = [_at_most(name, where, value, MEANS_APART, WARN, unit=" SD")]
    first, second = (risk_draws_of(tree["posterior"].to_dataset()) for tree in (fit.draws, other))
    gaps = {
        e.label: abs(float(is_beyond_null(e, first).mean() - is_beyond_null(e, second).mean()))
        for e in judged_measures(fit.study, fit.model, first, fit.evidence)
    }
    if gaps:
        where = max(gaps, key=lambda label: gaps[label])
        name = "NUTS against SMC: P(synergy)"
        rows.append(_at_most(name, where, gaps[where], PROBABILITY_MOVED, WARN))
    return rows


def replaced(by: str, why: str) -> Row:
    """Record that an engine failed, and which one replaces it.

    Parameters
    ----------
    by
        The engine that was used.
    why
        What failed.

    Returns
    -------
    dict
        A row of `checks`.
    """
    return _row(REPLACED, why, 1, f"recorded: {by} was used", True)


def failures(checks: pd.DataFrame) -> list[str]:
    """Return a line for each failed diagnostic.

    Parameters
    ----------
    checks
        What `checks` returns.

    Returns
    -------
    list of str
    """
    return _lines(checks, FAIL)


def cautions(checks: pd.DataFrame) -> list[str]:
    """Return a line for each conflict of prior or model with the data.

    Parameters
    ----------
    checks
        What `checks` returns.

    Returns
    -------
    list of str
    """
    return _lines(checks, WARN)


def _lines(checks: pd.DataFrame, verdict: str) -> list[str]:
    return [
        f"{row.check}: {row.value:.4g} ({row.where}), should be {row.threshold}; {row.advice}"
        for row in checks[checks.verdict == verdict].itertuples()
    ]


# --- Rows ------------------------------------------------------------------------------------------


def _row(
    check: str,
    where: str,
    value: float,
    threshold: str,
    passed: bool,
    otherwise: str = FAIL,
    advice: str = "",
) -> Row:
    verdict, advice = (PASS, "") if passed else (otherwise, advice or ADVICE.get(check, ""))
    return dict(zip(CHECK_COLUMNS, (check, where, value, threshold, verdict, advice), strict=True))


def _at_most(
    check: str, where: str, value: float, limit: float, *otherwise: str, unit: str = ""
) -> Row:
    return _row(check, where, value, f"≤ {limit}{unit}", value <= limit, *otherwise)


def _at_least(check: str, where: str, value: float, limit: float, *otherwise: str) -> Row:
    return _row(check, where, value, f"≥ {limit}", value >= limit, *otherwise)


# --- The sampler -----------------------------------------------------------------------------------


DERIVED = (
    *("reported_mean", "reported_covariance", "width_mean", "width_covariance"),
    *("shift_sd", "conditional_risk"),
    *(*BIAS, f"{CONFOUNDED}risk", f"{CONFOUNDED}conditional_risk"),
)
"""Variables of a posterior that are functions of the parameters and enter no result."""


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


def _indicators(judged: list[tuple[Estimand, Status]], risk_draws: xr.Dataset) -> xr.Dataset:
    """Return by draw whether each odds ratio and measure with a probability lies above its null.

    Constant indicators are left out: they have neither a Monte Carlo error nor an R-hat.
    """
    beyond = {
        f"P({e.label})": is_beyond_null(e, risk_draws).astype(float)
        for e, status in judged
        if e.null is not None and not e.is_repeated and status.is_open
    }
    return xr.Dataset({n: v for n, v in beyond.items() if float(v.min()) < float(v.max())})


def _agreement(quantities: xr.Dataset, indicators: xr.Dataset) -> Iterator[Row]:
    yield _at_most("R-hat", *_worst(az.rhat(quantities, method="rank"), max), RHAT)
    if indicators:
        worst = _worst(az.rhat(indicators, method="split"), max)
        yield _at_most("R-hat of probabilities", *worst, RHAT)


def _by_engine(stats: xr.Dataset, quantities: xr.Dataset, indicators: xr.Dataset) -> Iterator[Row]:
    """Yield the diagnostics of the engine: importance weights, sequential Monte Carlo or NUTS."""
    if "pareto_k" in stats:
        yield from _weights(stats)
        yield _between(quantities)
    elif "log_evidence" in stats:
        yield _between(quantities)
        yield from _doubling(stats)
    else:
        yield from _size(quantities, indicators)
        relative = az.mcse(quantities) / quantities.std(("chain", "draw"))
        yield _at_most("MCSE / SD", *_worst(relative, max), MCSE)
        yield from _nuts(stats)
    if "replaced" in stats.attrs:
        yield replaced("smc" if "log_evidence" in stats else "numpyro", stats.attrs["replaced"])


def _weights(stats: xr.Dataset) -> Iterator[Row]:
    """Yield whether the weights correct Laplace's approximation, and the effective draws."""
    k, effective = float(stats["pareto_k"]), float(stats["effective"])
    where = f"{int(stats['modes'])} mode" + ("s" if int(stats["modes"]) > 1 else "")
    name = "Pareto k of weights"
    yield _row(name, where, k, f"< {UNRELIABLE_K}", k < UNRELIABLE_K)
    if GOOD_K <= k < UNRELIABLE_K:
        yield _row(f"{name}, borderline", where, k, f"< {GOOD_K}", False, WARN)
    yield _at_least("effective draws", "by weight", effective, ESS)


def _between(quantities: xr.Dataset) -> Row:
    """Judge precision by the variance between chains, because particles of one share ancestors."""
    error = quantities.mean("draw").std("chain", ddof=1) / np.sqrt(quantities.sizes["chain"])
    where, value = _worst(error / quantities.std(("chain", "draw")), max)
    return _at_most("SE between runs / SD", where, value, MCSE)


def _doubling(stats: xr.Dataset) -> Iterator[Row]:
    """Yield how far doubling the moves of each stage changed log evidence and P(synergy)."""
    where, moved = f"{int(stats['steps'])} moves against half as many", "moves doubled"
    value = float(stats["evidence_moved"])
    yield _at_most(f"log evidence, {moved}", where, value, EVIDENCE_MOVED)
    if stats.sizes["measure"]:
        changes = stats["probability_moved"].values
        where, value = str(stats["measure"].values[changes.argmax()]), float(changes.max())
        yield _at_most(f"P(synergy), {moved}", where, value, PROBABILITY_MOVED)


def _size(quantities: xr.Dataset, indicators: xr.Dataset) -> Iterator[Row]:
    for name, data, method in (
        ("bulk ESS", quantities, "bulk"),
        ("tail ESS", quantities, "tail"),
        ("ESS of probabilities", indicators, "mean"),
    ):
        if data:
            yield _at_least(name, *_worst(az.ess(data, method=method), min), ESS)


def _nuts(stats: xr.Dataset) -> Iterator[Row]:
    diverging = int(stats["diverging"].sum())
    yield _row("divergences", "all chains", diverging, "= 0", diverging == 0)
    energy = az.bfmi(xr.DataTree.from_dict({"sample_stats": stats}))
    bfmi = float(energy["energy"].min())
    yield _at_least("energy (BFMI)", "worst chain", bfmi, BFMI)
    depth = int(stats["tree_depth"].max())
    passed = depth < MAX_TREE_DEPTH
    yield _row("tree depth", "deepest draw", depth, f"< {MAX_TREE_DEPTH}", passed)


def _worst(by_variable: xr.Dataset, pick: Any) -> tuple[str, float]:
    """Return the name and value of the largest or smallest entry; NaN is worse than any number."""
    entries = [
        entry for name, array in by_variable.data_vars.items() for entry in _entries(name, array)
    ]
    missing = [entry for entry in entries if np.isnan(entry[1])]
    return missing[0] if missing else pick(entries, key=lambda entry: entry[1])


def _entries(name: Hashable, array: xr.DataArray) -> Iterator[tuple[str, float]]:
    """Yield the values of a variable, each with its labels in brackets."""
    for index in np.ndindex(array.shape):
        labels = [str(array[dim].values[i]) for dim, i in zip(array.dims, index, strict=True)]
        yield f"{name}[{', '.join(labels)}]" if labels else str(name), float(array.values[index])


# --- The model -------------------------------------------------------------------------------------


def _undefined(judged: list[tuple[Estimand, Status]], risk_draws: xr.Dataset) -> Iterator[Row]:
    """Count the draws in which a synergy index has no value: shown, not judged."""
    for e, status in judged:
        if e.synergy is not None and e.synergy.sign_of and status.has_draws:
            missing = int(np.isnan(e.values(risk_draws).values).sum())
            if missing:
                yield _row("undefined draws", e.label, missing, NOT_JUDGED, True)


def _conflict(fit: Fit) -> Iterator[Row]:
    """Name the parameter whose prior is furthest from the data, an effect, an interaction or a declared baseline.

    The prior of the intercept is wide without a declared baseline; its influence is in the table of shifts.
    """
    judged = [
        one
        for one in conflicts(fit.prior, fit.posterior)
        if one.about != BASELINE or fit.study.baseline is not None
    ]
    if judged:
        worst = max(judged, key=lambda one: one.value)
        name, advice = "prior conflict", CONFLICT_ADVICE[worst.about]
        yield _at_most(name, str(worst), worst.value, PRIOR_CONFLICT, WARN, advice, unit=" SD")


def _misfit(tree: xr.DataTree, evidence: Evidences) -> Iterator[Row]:
    """Compare each piece of evidence with its posterior predictive distribution."""
    for one in evidence:
        misfit = one.misfit(tree)
        if misfit is not None:
            name, value = f"predicted {one.kind} (χ²)", misfit.value
            yield _at_least(name, misfit.where, value, MISFIT, WARN, misfit.advice)


def _patients(tree: xr.DataTree, study: Study, patterns: CovariatePatterns) -> Iterator[Row]:
    """Yield calibration, influence, overlap and balance of patients with covariates."""
    calibration = calibration_of(tree, patterns)
    where = f"{calibration.worst}; {calibration}"
    yield _at_least(CALIBRATION, where, calibration.share, MISFIT, WARN)
    yield _influence(tree, patterns)
    if overlap := overlap_in(study):
        yield from _overlap(overlap)


def _overlap(overlap: Overlap) -> Iterator[Row]:
    """Yield the overlap of the regimens and the balance of their covariates."""
    rarest = overlap.rarest
    regimen = f"{rarest.regimen}, which {percent(rarest.share)} received"
    where = (
        f"share of patients with an estimated probability below {RARE} of "
        f"{regimen if rarest.rare else 'any regimen'}"
    )
    passed = not overlap.is_rare
    yield _row("overlap", where, float(rarest.rare), f"≤ {MOST_RARE}", passed, WARN)
    unlike, allowed = overlap.most_unlike, overlap.allowed
    where = f"standardised difference, {unlike.covariate}, {unlike.regimen} against all others"
    value, passed = abs(float(unlike.difference)), not overlap.is_unlike
    yield _row("balance", where, value, f"≤ {allowed:.2f}", passed, WARN)


def _influence(tree: xr.DataTree, patterns: CovariatePatterns) -> Row:
    """Count the covariate patterns without which the posterior would change much."""
    unit, name = influence.unit(patterns), INFLUENCE
    if influence.GROUP not in tree.children:
        where = (
            f"not computed: more than {influence.MOST:,} covariate patterns ({len(patterns.n):,})"
        )
        return _row(name, where, np.nan, NOT_JUDGED, True)
    found = tree[influence.GROUP].to_dataset()
    (dim,) = found["pareto_k"].dims
    k, good = found["pareto_k"].values, float(found.attrs["good_k"])
    worst, count = int(k.argmax()), int((k > good).sum())
    described = influence.described(patterns, worst)
    if dim != "cell":
        unit = {"set": "matched set"}.get(str(dim), str(dim))
        described = f"{unit} {found[dim].values[worst]}"
    where = f"one {unit} left out at a time; largest k {k[worst]:.2f}, {described}"
    return _row(name, where, count, f"= 0 above {good:.2g}", count == 0, WARN)
