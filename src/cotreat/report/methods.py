"""A paragraph of methods, ready to copy, filled from the record of a fit.

It answers what reporting guidelines ask of a Bayesian analysis: BARG (Kruschke, Nat Hum Behav 2021;5:1282)
and ROBUST (Sung et al., J Clin Epidemiol 2005;58:261).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from cotreat.core.constants import CALIBRATION, CONCLUSIVE, INFLUENCE
from cotreat.estimands.measures import representatives
from cotreat.report.conclusion import KINDS
from cotreat.report.folder import Fit, Results
from cotreat.report.templates import paragraphs, read
from cotreat.report.wording import capital
from cotreat.results import store
from cotreat.results.supplementary import COMPARISON, MULTIVERSE, SENSITIVITY, UNRELIABLE

ENGINES = {
    "numpyro": "the no-U-turn sampler (NUTS) of NumPyro",
    "laplace": "Laplace's approximation, corrected by importance sampling",
    "smc": "sequential Monte Carlo",
}
FACTORS = "bayes_factors.csv"
PACKAGES = ("cotreat", "pymc", "numpyro", "arviz")

MOVED = "largest change of {} when moves were doubled"
WORST = {
    "R-hat": ("largest R-hat", max, ".4g"),
    "bulk ESS": ("smallest effective sample size", min, ".0f"),
    "Pareto k of weights": ("largest Pareto k of the weights", max, ".2f"),
    "log evidence, moves doubled": (MOVED.format("the log evidence"), max, ".2g"),
    "P(synergy), moves doubled": (MOVED.format("P(synergy)"), max, ".2g"),
}
"""How the worst value of a diagnostic check is reported."""


def methods(results: Results) -> tuple[str, ...]:
    """Write the methods of a study's reanalysis.

    Parameters
    ----------
    results
        The study's folder; the primary analysis is its first fit.

    Returns
    -------
    tuple of str
        Paragraphs of plain text.
    """
    fit, info, fits = results.lead, results.lead.info, results.fits
    multiverse = results.table(SENSITIVITY, MULTIVERSE)
    if multiverse is not None:
        multiverse = multiverse.drop_duplicates(list(KINDS))
    return paragraphs(
        read("methods.md.jinja"),
        info=info,
        question=fit.question,
        evidence=list(_evidence(fit)),
        model=fit.model,
        priors=[_prior(row) for row in info["prior_rows"]],
        defaults=[row["variable"] for row in info["prior_rows"] if row["chosen by"] == "default"],
        engine=ENGINES.get(info["engine"], info["engine"]),
        sampled=info["engine"] == "numpyro",
        versions=[f"{p} {info['versions'][p]}" for p in PACKAGES if p in info["versions"]],
        diagnostics=list(diagnostics(fit.tables[store.CHECKS])),
        failed=fit.failed,
        scales=representatives(),
        threshold=CONCLUSIVE,
        margins=list(_margins(fit.summary)),
        tried=list(_tried(fits)),
        multiverse=multiverse,
        unreliable=0 if multiverse is None else (multiverse.verdict == UNRELIABLE).sum(),
        factors=list(_bayes_factors(results.table(COMPARISON, FACTORS))),
        others_failed=[one.name for one in fits[1:] if one.failed],
    )


def _evidence(fit: Fit) -> Iterator[str]:
    """Name the kinds of evidence with their likelihoods."""
    counts = fit.tables[store.CELLS]
    if (counts.events.notna() & ~counts.regimen.str.endswith("total)")).any():
        checks = set(fit.tables[store.CHECKS].check)
        if CALIBRATION in checks:
            yield "individual patient data with covariates or clusters (binomial per covariate pattern)"
        elif INFLUENCE in checks:
            yield "matched sets (conditional on the number of events of each)"
        else:
            yield "counts of events and patients (binomial)"
    if (fit.tables[store.REPORTED].use == "evidence").any():
        yield "reported estimates, by their joint normal sampling distribution"


def _margins(summary: pd.DataFrame) -> Iterator[str]:
    """Write the margin of each measure that has one; that of differences depends on the regimens."""
    own = summary[summary.margin_lower.notna()].drop_duplicates("measure")
    for row in own.itertuples():
        yield f"{row.margin_lower:.3g} to {row.margin_upper:.3g} for {row.measure} ({row.margin})"


def _prior(row: dict[str, Any]) -> dict[str, Any]:
    numbers = [f"{row[name]:g}" for name in ("mu", "sigma") if row.get(name) is not None]
    return {**row, "numbers": ", ".join(numbers), "central": row["central 95%"]}


def diagnostics(table: pd.DataFrame) -> Iterator[str]:
    """Report the worst value of each kind of check.

    Parameters
    ----------
    table
        The checks of a fit: ``check`` and ``value``.

    Returns
    -------
    iterator of str
        Sentences.
    """
    found = [
        f"{words} {worst(values):{form}}"
        for check, (words, worst, form) in WORST.items()
        if len(values := _values(table, check))
    ]
    if found:
        yield f"{capital('; '.join(found))}."
    for check in table.check[table.check.str.endswith("(χ²)")].unique():
        kind = "counts" if "counts" in check else "reported estimates"
        yield f"Posterior predictive check, {kind}: smallest p {min(_values(table, check)):.2g}."
    values = _values(table, "prior conflict")
    if len(values):
        yield f"The data lay at most {max(values):.2g} SD from the prior of any effect or interaction."


def _values(table: pd.DataFrame, check: str) -> list[float]:
    return [float(value) for value in table.value[table.check == check]]


def _tried(fits: Sequence[Fit]) -> Iterator[str]:
    """Name the models, interpretations and prior sets that were fitted, where there are several."""
    choices = zip(*(fit.choice for fit in fits), strict=True)
    for kind, names in zip(("interpretation", "model", "prior set"), choices, strict=True):
        if len(set(names)) > 1:
            distinct = dict.fromkeys(names)
            yield f"{len(distinct)} {kind}s ({', '.join(distinct)})"


def _bayes_factors(factors: pd.DataFrame | None) -> Iterator[str]:
    """Yield the Bayes factors for an interaction under the priors of the fits."""
    if factors is not None:
        own = factors[(factors.prior_of_the_fits == "yes") & factors.bayes_factor.notna()]
        for row in own.itertuples():
            yield f"{row.of} ({row.comparison}) {row.bayes_factor:.3g}"
