"""A paragraph of methods, ready to copy, filled from the record of a fit.

It answers what reporting guidelines ask of a Bayesian analysis: BARG (Kruschke, Nat Hum Behav 2021;5:1282)
and ROBUST (Sung et al., J Clin Epidemiol 2005;58:261).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jinja2
import numpy as np
import pandas as pd

from cotreat.core.constants import CONCLUSIVE
from cotreat.estimands.measures import representatives
from cotreat.report.folder import Fit, Results
from cotreat.report.wording import capital, listed, plural
from cotreat.results import store
from cotreat.results.supplementary import COMPARISON, MULTIVERSE, SENSITIVITY, UNRELIABLE

ENGINES = {
    "numpyro": "the no-U-turn sampler (NUTS) of NumPyro",
    "laplace": "Laplace's approximation, corrected by importance sampling",
    "smc": "sequential Monte Carlo",
}
FACTORS = "bayes_factors.csv"
SAMPLED = ("numpyro",)
PACKAGES = ("cotreat", "pymc", "numpyro", "arviz")

WORST = {
    "R-hat": ("largest R-hat", max, ".4g"),
    "bulk ESS": ("smallest effective sample size", min, ".0f"),
    "Pareto k of weights": ("largest Pareto k of the weights", max, ".2f"),
    "log evidence, moves doubled": (
        "largest change of the log evidence when moves were doubled",
        max,
        ".2g",
    ),
    "P(synergy), moves doubled": (
        "largest change of P(synergy) when moves were doubled",
        max,
        ".2g",
    ),
}
"""How the worst value of a diagnostic check is reported."""


def methods(results: Results) -> str:
    """Write the methods of a study's reanalysis, paragraphs separated by an empty line.

    Parameters
    ----------
    results
        The study's folder; the primary analysis is its first fit.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("cotreat.report", "."),
        undefined=jinja2.StrictUndefined,
        autoescape=jinja2.select_autoescape(),  # none: plain text, which the page escapes
    )
    return environment.get_template("methods.md.jinja").render(_facts(results)).strip()


def _facts(results: Results) -> dict[str, Any]:
    fit, info = results.lead, results.lead.info
    rows = info["prior_rows"]
    return {
        "title": info["title"],
        "source": info["source"],
        "outcome": fit.question.outcome,
        "design": fit.question.design,
        "evidence": _evidence(fit),
        "model": fit.model,
        "priors_name": info["priors"],
        "priors": [_prior(row) for row in rows],
        "defaults": [row["variable"] for row in rows if row["chosen by"] == "default"],
        "engine": capital(f"{ENGINES.get(info['engine'], info['engine'])} was used"),
        "sampled": info["engine"] in SAMPLED,
        **{key: info[key] for key in ("chains", "draws", "tune", "seed")},
        "versions": ", ".join(
            f"{p} {info['versions'][p]}" for p in PACKAGES if p in info["versions"]
        ),
        "diagnostics": list(diagnostics(fit.tables[store.CHECKS])),
        "failed": fit.failed,
        "scales": listed(representatives()),
        "threshold": f"{CONCLUSIVE:g}",
        "complement": f"{1 - CONCLUSIVE:.3g}",
        "sensitivity": _sensitivity(results),
        "bayes_factors": _bayes_factors(results),
        "checks": _others_failed(results),
        "digest": info["study_digest"][:12],
    }


def _evidence(fit: Fit) -> str:
    cells, reported = fit.tables[store.CELLS], fit.tables[store.REPORTED]
    kinds = []
    if cells.events.notna().any():
        kinds.append(
            "individual patient data with covariates or clusters (binomial per covariate pattern)"
            if store.OVERLAP in fit.tables
            else "counts of events and patients (binomial)"
        )
    if (reported.use == "evidence").any():
        kinds.append("reported estimates, by their joint normal sampling distribution")
    return " and ".join(kinds)


def _prior(row: dict[str, Any]) -> dict[str, str]:
    numbers = [row[name] for name in ("mu", "sigma") if row.get(name) is not None]
    return {
        "meaning": row["meaning"],
        "distribution": row["distribution"],
        "numbers": ", ".join(f"{n:g}" for n in numbers if not np.isnan(n)),
        "central": row["central 95%"],
        "reason": row["reason"],
    }


def diagnostics(table: pd.DataFrame) -> Iterator[str]:
    """Report the worst value of each kind of check.

    Parameters
    ----------
    table
        The checks of a fit: ``check`` and ``value``.
    """
    said = []
    for check, (words, worst, form) in WORST.items():
        values = _values(table, check)
        if len(values):
            said.append(f"{words} {worst(values):{form}}")
    if said:
        yield f"{capital('; '.join(said))}."
    for check in table.check[table.check.str.endswith("(χ²)")].unique():
        kind = "counts" if "counts" in check else "reported estimates"
        yield f"Posterior predictive check, {kind}: smallest p {min(_values(table, check)):.2g}."
    values = _values(table, "prior conflict")
    if len(values):
        yield f"The evidence lay at most {max(values):.2g} SD from the prior predictive mean."


def _values(table: pd.DataFrame, check: str) -> list[float]:
    return [float(value) for value in table.value[table.check == check]]


def _sensitivity(results: Results) -> str:
    """Name the other models, interpretations and priors that were fitted."""
    tried = {
        "model": dict.fromkeys(fit.info["model"] for fit in results.fits),
        "interpretation": dict.fromkeys(fit.info["interpretation"] for fit in results.fits),
        "prior set": dict.fromkeys(fit.info["priors"] for fit in results.fits),
    }
    said = [
        f"{len(names)} {plural(kind, len(names))} ({', '.join(names)})"
        for kind, names in tried.items()
        if len(names) > 1
    ]
    multiverse = _multiverse(results)
    if not said and not multiverse:
        return "No sensitivity analysis was made."
    fitted = f"Sensitivity was examined with {listed(said)}." if said else ""
    return " ".join(filter(None, [fitted, multiverse]))


def _bayes_factors(results: Results) -> str:
    """Report the Bayes factors for an interaction under the priors of the fits."""
    path = results.folder / COMPARISON / FACTORS
    if COMPARISON not in results.parts or results.other_base(COMPARISON) or not path.exists():
        return ""
    found = store.read_table(path)
    own = found[(found.prior_of_the_fits == "yes") & found.bayes_factor.notna()]
    if own.empty:
        return ""
    said = listed(f"{row.of} ({row.comparison}) {row.bayes_factor:.3g}" for row in own.itertuples())
    return f"Bayes factors for an interaction against none were {said}."


def _multiverse(results: Results) -> str:
    path = results.folder / SENSITIVITY / MULTIVERSE
    if SENSITIVITY not in results.parts or results.other_base(SENSITIVITY) or not path.exists():
        return ""
    fits = store.read_table(path).drop_duplicates(["interpretation", "model", "priors"])
    bad = int((fits.verdict == UNRELIABLE).sum())
    unusable = f"; {bad} of them could not be used" if bad else ""
    return f"A multiverse analysis combined interpretations, models and priors in {len(fits)} fits{unusable}."


def _others_failed(results: Results) -> str:
    """Report failed diagnostics of fits other than the primary analysis."""
    failed = [fit.name for fit in results.fits[1:] if fit.failed]
    return f"Diagnostics of other fits failed: {', '.join(failed)}." if failed else ""
