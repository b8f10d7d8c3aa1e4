"""The bias part: E-values, confounding inside the posterior, tipping points, immortal time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pandas as pd
import xarray as xr

from cotreat.bias import e_values, unmeasured_confounding
from cotreat.bias.unmeasured_confounding import (
    COMBINED_SD,
    FOR,
    PRODUCT_SD,
    SINGLE_SD,
    Surface,
    within,
)
from cotreat.core.constants import FULL, IDENTIFIED, QUICK, STANDARD
from cotreat.diagnostics import checks
from cotreat.estimands.estimand import risk_draws_of
from cotreat.evidence.resolve import resolve
from cotreat.inference import sampling
from cotreat.models.registry import Model, described, find_model
from cotreat.models.select import models_for
from cotreat.plots import draw, picture
from cotreat.plots import records as plots
from cotreat.priors.prior import PriorSet
from cotreat.report.caveats import OF_DURATION, of_sequences
from cotreat.results import four_cells, headline
from cotreat.results.summary import REPORTED, summarise
from cotreat.results.supplementary import BIAS, Analysis, Fits, Section, versions, write_analysis
from cotreat.study.study import DURATION, Study

STEPS = {QUICK: 1, STANDARD: 2, FULL: 4}
"""Biases of a tipping-point surface on each side of none, by depth."""
RANDOMISED = (
    "Chance decided who got what. E-values, confounding inside the posterior and tipping points ask what an unmeasured "
    "cause of treatment could have done, and there was none; they are not given. What can bias a trial (who left "
    "it, who did not take what they were given, who knew) is another question, which these counts cannot answer."
)
CASE_CONTROL = (
    "The sampling of a case-control study fixes the share of cases, so that no risk is identified. Each "
    "odds ratio has two E-values: if the outcome is rare where the cases come from (the odds ratio is then "
    "nearly the risk ratio), and if it is common (its square root is); these data cannot show which."
)


@dataclass
class _Gathered:
    """What the sections need, and what they say they could not do."""

    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    findings: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def write(
    study: Study,
    fits: Fits,
    priors: PriorSet,
    folder: Path,
    *,
    depth: str = STANDARD,
    seed: int,
    on_progress: Callable[[str], None] = lambda _: None,
) -> Path:
    """Write ``FOLDER/bias/``.

    Parameters
    ----------
    fits
        What `cotreat.inference.sampling.fit` returned, by model and reading; the leading model under the study's
        reading speaks here, and is fitted by Laplace's approximation where it is not among them.
    folder
        ``results/STUDY``.
    depth
        ``quick``, ``standard`` or ``full``: how fine the tipping-point surface is.
    say
        Takes a line at each step.

    Returns
    -------
    Path
        The part's folder.
    """
    study = study.resolve(strata="")
    model, tree = _leading(study, fits, priors, seed, on_progress)
    posterior = risk_draws_of(tree["posterior"].to_dataset())
    summary = summarise(
        study,
        model,
        resolve(study),
        prior=risk_draws_of(tree["prior"].to_dataset()),
        posterior=posterior,
        likelihood=None,
        labels={"model": model.name, "priors": priors.name, "interpretation": study.interpretation},
    )
    got = _Gathered()
    sections: list[Section] = []
    found: list[Surface] = []
    if study.design == "randomised":
        got.findings.append(
            f"{study.id} was randomised: there is no confounding by who got what to allow for."
        )
        sections.append(Section("Unmeasured confounding", (RANDOMISED,)))
    else:
        on_progress(f"{study.id}: E-values")
        sections += _e_values(study, summary, got)
        on_progress(f"{study.id}: tipping points")
        found = _tipping_points(study, model, priors, posterior, depth, seed, sections, got)
    sections += _immortal(study, got)
    got.tables["four_cells.csv"] = four_cells.long_table(four_cells.tables(study, summary))
    record = plots.Bias(study, model.name, priors.name, _shown(found))
    part = Analysis(
        title="Bias",
        study_digest=study.digest,
        seed=seed,
        findings=tuple(got.findings[:3]),
        sections=tuple(sections),
        failed=tuple(got.failed),
        settings={
            "depth": depth,
            "model": model.name,
            "priors": priors.name,
            "interpretation": study.interpretation,
            "engine": sampling.provenance(tree)["engine"],
        },
        versions=versions("pymc", "arviz", "jax", "numpy", "scipy"),
    )
    failed = checks.failures(checks.checks(sampling.fit_of(study, model, tree, priors)))
    return write_analysis(folder / BIAS, part, got.tables, partial(draw, BIAS, record), failed)


def _leading(
    study: Study, fits: Fits, priors: PriorSet, seed: int, on_progress: Callable[[str], None]
) -> tuple[Model, xr.DataTree]:
    """Return the model that speaks in the headline with its fit, fitted now if nobody has."""
    own = [name for name, interpretation in fits if interpretation == study.interpretation]
    own = [name for name in own if not described(name).strata]
    if own:
        name = headline.primary(own)
        return described(name), fits[name, study.interpretation]
    possible, _ = models_for(study, priors)
    name = headline.primary(possible)
    on_progress(f"{study.id}: {name} by Laplace's approximation")
    return find_model(name, study), sampling.fit(study, name, priors, engine="laplace", seed=seed)


# --- E-values --------------------------------------------------------------------------------------


def _e_values(study: Study, summary: pd.DataFrame, got: _Gathered) -> list[Section]:
    ratios = e_values.of_ratios(study, summary)
    got.tables["e_values.csv"] = ratios
    words = [
        "An E-value is the least strength, as a risk ratio, that an unmeasured confounder must have with both treatment "
        "and outcome, given what is adjusted for, to explain a number away (VanderWeele & Ding 2017); "
        "e_value is that of the estimate, e_value_limit that of the interval's limit nearer the null, 1 where "
        "the interval holds it. as_risk_ratio is what was taken as risk ratio, and from says of what it was made. "
        "It is a bound for one confounder that works against one comparison, not a measure of how likely one is."
    ]
    if study.is_case_control:
        words.append(CASE_CONTROL)
    finding = _of_e_values(ratios)
    if finding:
        got.findings.append(finding)
    return [Section("E-values of odds ratios", tuple(words), "e_values.csv")]


def _of_e_values(ratios: pd.DataFrame) -> str:
    """Say the weakest of the odds ratios whose interval leaves out 1."""
    own = ratios[(ratios.status == IDENTIFIED) & (ratios.e_value_limit > 1)]
    posterior = own[own.source != REPORTED]
    own = posterior if len(posterior) else own
    if own.empty:
        return ""
    row = own.loc[own.e_value_limit.idxmin()]
    assumed = f", {row['from'].partition(', ')[2]}" if "if the" in row["from"] else ""
    return (
        f"Of {len(own)} E-values of odds ratios whose interval leaves out 1 the smallest is that of {row.contrast}: a "
        f"confounder tied to both treatment and outcome by a risk ratio of {row.e_value:.2f} could explain the "
        f"estimate away, one of {row.e_value_limit:.2f} could take the interval to 1{assumed}."
    )


# --- Confounding -----------------------------------------------------------------------------------


def _tipping_points(
    study: Study,
    model: Model,
    priors: PriorSet,
    posterior: xr.Dataset,
    depth: str,
    seed: int,
    sections: list[Section],
    got: _Gathered,
) -> list[Surface]:
    found, failed = unmeasured_confounding.surfaces(
        study, model, priors, posterior, steps=STEPS[depth], seed=seed
    )
    got.failed += failed
    if not found:
        return []
    got.tables["confounding.csv"] = unmeasured_confounding.allowed_table(found)
    got.tables["tipping.csv"] = unmeasured_confounding.grid_table(found)
    got.tables["tipping_points.csv"] = unmeasured_confounding.points_table(found)
    rows = unmeasured_confounding.with_confounding(priors).table()
    got.tables["confounding_priors.csv"] = rows[rows.variable.isin(unmeasured_confounding.BIAS)]
    stated = (
        "Unmeasured confounding as part of the model: the evidence is about log-odds that each treatment and each pair has "
        "moved by a bias of its own; risks, odds ratios and measures are about those without. The evidence cannot "
        "tell a bias from an effect, so that its prior decides (confounding_priors.csv), and the interval widens. "
        "Rows with confounding none are the model without bias, rows with plausible the model with it. Availability is "
        "that of what is seen: the step from there to the effect is the prior of the bias alone. Model "
        f"{model.name}; with bias by Laplace's approximation."
    )
    sections.append(Section("Confounding inside the posterior", (stated,), "confounding.csv"))
    how = (
        "How much known bias would overturn each conclusion: single_factor if every treatment's odds ratio were "
        "multiplied by it in the evidence, and no pair's; product_factor if every pair's ratio of odds ratios were, "
        "and no treatment's. Where nothing stands, no factor between 1/3 and 3 (a pair's: 1/2 and 2) does. Each factor is "
        "divided out of the posterior draws. The whole surface is in tipping.csv."
    )
    sections.append(
        Section("Tipping points", (how,), "tipping_points.csv", picture(BIAS, "tipping"))
    )
    got.findings += _of_surfaces(found)
    return found


def _of_surfaces(found: Sequence[Surface]) -> list[str]:
    """Say what plausible confounding leaves of the decided, or that nothing is decided anyway."""
    decided = [one for one in found if one.is_decided]
    told = [one for one in decided if one.plausible]
    said = []
    if told:
        left = [
            one
            for one in told
            if unmeasured_confounding.standing(one.plausible["probability"]) == one.standing
        ]
        said.append(
            f"Of {len(told)} conclusions that are decided if nothing is confounded, {len(left)} "
            f"{'remains' if len(left) == 1 else 'remain'} decided if confounding may have moved numbers, with 95% of each "
            f"treatment's bias within a factor of {within(SINGLE_SD):.2g} either way, of each pair's within "
            f"{within(PRODUCT_SD):.2g} and, both together, of a combination's against less of it within "
            f"{within(COMBINED_SD):.2g}"
            + (f" ({', '.join(one.label for one in left)})." if left else ".")
        )
    elif not decided:
        said.append(
            "Nothing here is decided even if nothing is confounded, so that there is little to overturn."
        )
    return said


def _shown(found: Sequence[Surface]) -> list[Surface]:
    """Order conclusions for the figure: decided ones first."""
    return sorted(found, key=lambda one: (not one.is_decided, one.standing != FOR))


# --- Immortal time ----------------------------------------------------------------------------------


def _immortal(study: Study, got: _Gathered) -> list[Section]:
    words = [caveat.text for caveat in of_sequences(study)]
    if words:
        pairs = " and ".join(" with ".join(one.treatments) for one in study.sequential)
        got.findings.append(
            f"Combinations of {pairs} were given one after the other to some or all: what is said of them may be "
            "entangled with immortal time."
        )
    if any(own.id == DURATION for own in study.stratifications):
        words.append(f"Of the model duration: {OF_DURATION.text}")
    return [Section("Immortal time", tuple(words))] if words else []
