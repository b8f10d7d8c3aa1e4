"""What a model comparison says: its tables, its figure, and the words around them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cotreat.comparison import bayes_factors, leave_out
from cotreat.comparison.bayes_factors import ANY, BayesFactor, LogEvidence
from cotreat.comparison.loo import FEWEST, LeftOut, compare
from cotreat.core.constants import INTERVAL, STANDARD
from cotreat.evidence.folds import CELL, CLAIM, PATIENT, UNITS, FoldPrediction, Folds
from cotreat.evidence.resolve import resolve
from cotreat.plots import COMPARISON, draw, picture
from cotreat.plots.records import Comparison
from cotreat.priors.prior import PriorSet
from cotreat.results.headline import share
from cotreat.results.supplementary import MOST_FINDINGS, Analysis, Draw, Section, versions
from cotreat.study.study import Study

if TYPE_CHECKING:
    from cotreat.evidence.reported import Dependence

LISTED = 20
"""Patients, or cells of them, that are listed of each model: those that move it most."""
CLEAR, SMALL = 2.0, 4.0
"""A difference tells models apart where it is so many standard errors, and more than `SMALL` (Sivula,
Magnusson, Matamoros & Vehtari 2025)."""
PACKAGES = ("arviz", "pymc", "jax", "numpy", "scipy")
TITLE = "Model comparison"
LEFT_OUT = "left_out"

WHY_UNIT = {
    PATIENT: "The unit that is left out is one patient. Patients alike in regimen, covariates and cluster "
    "are counted in cells, and of a cell of m patients, r with the event, each of the r and each of the m − r "
    "others is left out in turn: the question is how well the next patient of these hospitals is predicted, "
    "and the answer does not hang on how finely covariates were recorded. A patient's cluster keeps its other "
    "patients.",
    CELL: "The unit that is left out is the count of one regimen, with all its patients: the question is how "
    "well the counts of the other regimens predict what happens on a regimen that they say nothing of by "
    "themselves. That is another question than how well the next patient on a counted regimen is predicted.",
    CLAIM: "The unit that is left out is one printed number with the width of its interval, and its density "
    "is that of the unit given the others, for all stand on the same patients (Bürkner, Gabry & Vehtari "
    "2021). Where numbers follow from one another, so that any could be told from the rest, the loosest of "
    "the others is not used either (not_used_either): two estimates are then missing. Which one that is does "
    "not depend on the order of the study file.",
}
SAMPLED = (
    "In a case-control study the share of cases on a regimen is set by how many cases and controls were "
    "drawn: what is predicted is this sample, not the risk of patients."
)
FEW_UNITS = (
    "With {count} units, fewer than {fewest}, there are no stacking weights, and no model is called better: the "
    "units are few and not exchangeable, each being about something else, so that a standard error made of "
    "how much they differ describes them and says nothing of how sure a difference is."
)
REPEATS = (
    "The model with interactions has as many parameters as there are counts, and without one of them the "
    "others hardly tell of the interaction. So the difference of each count is the log Bayes factor of all "
    "counts less that of the others, which is near 0: each repeats the Bayes factor of the interaction below, "
    "they do not add to each other, and they depend on the interaction's prior just as it does."
)


@dataclass
class Findings:
    """What a comparison has found so far, and what it could not answer.

    Attributes
    ----------
    left : dict
        Leave-one-out by model.
    evidence : dict
        Log evidence by model.
    factors : list of BayesFactor
    no_interaction : tuple of float
        P(no interaction) before and after the evidence; empty where it cannot be had.
    failed : list of str
    """

    left: dict[str, LeftOut] = field(default_factory=dict)
    evidence: dict[str, LogEvidence] = field(default_factory=dict)
    factors: list[BayesFactor] = field(default_factory=list)
    no_interaction: tuple[float, ...] = ()
    failed: list[str] = field(default_factory=list)


StratifiedCounts = tuple[Analysis, dict[str, pd.DataFrame], Draw]


def told(
    study: Study,
    priors: PriorSet,
    lead: str,
    found: Findings,
    depth: str,
    seed: int,
    refused: Mapping[str, str],
) -> StratifiedCounts:
    """Return the part with its tables and figures."""
    tables: dict[str, pd.DataFrame] = {}
    sections = [
        *_of_models(study, found, tables),
        *_of_left_out(study, lead, found, tables, depth),
        *_of_factors(found, tables),
    ]
    not_fitted = tuple(f"{name} is not compared: {why}" for name, why in refused.items())
    part = Analysis(
        TITLE,
        study.digest,
        seed,
        tuple(_findings(found, tables))[:MOST_FINDINGS],
        tuple(sections),
        tuple(found.failed),
        settings={
            "depth": depth,
            "priors": priors.name,
            "interpretation": study.interpretation,
            "models": list(found.evidence),
            "not_fitted": list(not_fitted),
            "unit": next((one.units.kind for one in found.left.values()), ""),
        },
        versions=versions(*PACKAGES),
    )
    return part, tables, partial(draw, COMPARISON, _record(study, lead, found, tables))


def _record(
    study: Study, lead: str, found: Findings, tables: Mapping[str, pd.DataFrame]
) -> Comparison:
    """Return what figures of a comparison are drawn from."""
    model = _model_shown(lead, found)
    predicted = found.left[model].predicted if model in found.left else ()
    return Comparison(
        study, model, resolve(study), predicted, tables.get("models.csv"), found.factors
    )


def _model_shown(lead: str, found: Findings) -> str:
    """Name the model whose predictions of left-out evidence are shown: the primary one, if it has any."""
    having = [name for name, one in found.left.items() if one.predicted]
    return lead if lead in having or not having else having[0]


# --- Models ----------------------------------------------------------------------------------------


def _of_models(study: Study, found: Findings, tables: dict[str, pd.DataFrame]) -> list[Section]:
    if not found.left:
        return []
    table = compare(found.left)
    of_models = table.model.map(found.evidence)
    tables["models.csv"] = table.assign(
        log_evidence=[one.value for one in of_models],
        log_evidence_mc_error=[one.error for one in of_models],
        log_evidence_by=[one.method for one in of_models],
    )
    tables["units.csv"] = pd.concat([_units(name, one) for name, one in found.left.items()])
    units = next(iter(found.left.values())).units
    words = [
        "Each model is asked what it predicts for evidence that is left out: elpd is the sum of the log "
        "densities that the rest predicts for each unit left out, larger is better; difference is that "
        "less the best model's, with the standard error of the difference beside it.",
        WHY_UNIT[units.kind],
        *([SAMPLED] if units.kind == CELL and study.is_case_control else []),
        "Densities come by Pareto-smoothed importance sampling from the fit's draws where its Pareto k is "
        "good (and, where units are few, their error small), else from a refit without the unit, as the "
        "difference of two log evidences; worst_k is the "
        "highest k before that, refitted says how many units were refitted, worst_refit_k and "
        "fewest_effective how good the refits' own weights are, not_answered how many units had no answer. "
        "log_evidence is the log marginal likelihood of the model under its priors.",
        "mc_error is the error of the computation: by so much another seed may give another number. That of "
        "the whole model's log evidence is shared by all refits, and counts once for each. Where a k is above "
        "0.5 weights have no finite variance, and the error may be about twice what is said.",
        _about_weights(units),
        *([REPEATS] if _is_saturated(study, units) else []),
    ]
    if units.kind == CLAIM and study.counted:
        words.append("Regimens that were counted are not left out: all is given their counts.")
    return [
        Section("How well each model predicts what it was not given", tuple(words), "models.csv")
    ]


def _is_saturated(study: Study, units: Folds) -> bool:
    """Tell whether no count can be spared if the interactions are to be known."""
    parameters = 1 + len(study.treatment_ids) + len(study.pairs)
    return units.kind == CELL and units.count <= parameters


def _about_weights(units: Folds) -> str:
    if units.count < FEWEST:
        return FEW_UNITS.format(count=units.count, fewest=FEWEST)
    return (
        f"Differences under {SMALL:g}, or under two standard errors, tell no models apart. stacking_weight is "
        f"the share of a model in the average of predictions that predicts {UNITS[units.kind]} best (Yao, "
        "Vehtari, Simpson & Gelman 2018). It averages predictions only: it is no probability that a model is true."
    )


def _units(name: str, one: LeftOut) -> pd.DataFrame:
    """List units with their densities: of patients those that move the model most."""
    table = pd.DataFrame(
        {
            "model": name,
            "unit": one.units.kind,
            "left_out": one.units.names,
            "not_used_either": [", ".join(part.beside) for part in one.units.parts],
            "alike": one.times,
            "elpd": one.elpd,
            "mc_error": one.error,
            "how": one.how,
            "refit_k": one.refit_k,
            "refit_effective": one.refit_effective,
            "pareto_k": one.pareto_k,
            "elpd_by_weights": one.by_weights,
        }
    )
    if one.units.kind == PATIENT:
        return table.sort_values("pareto_k", ascending=False, kind="stable").head(LISTED)
    return table


# --- FoldPrediction out --------------------------------------------------------------------------------------


def _of_left_out(
    study: Study,
    lead: str,
    found: Findings,
    tables: dict[str, pd.DataFrame],
    depth: str,
) -> list[Section]:
    rows = [_left_row(name, left) for name, one in found.left.items() for left in one.predicted]
    if not rows:
        return []
    tables["left_out.csv"] = pd.DataFrame(rows)
    is_counted = next(iter(found.left.values())).units.kind == CELL
    what = "count of a regimen" if is_counted else "printed number"
    shown = _model_shown(lead, found)
    words = [
        f"Each {what} is left out in turn, the model fitted to the rest, and the {what} predicted: median "
        f"and central {INTERVAL:.0%} of the predictions stand beside it. tail is the share of predictions at "
        "least as far out, on the nearer side; of numbers that a model fits, one in twenty has less than "
        "0.025. not_used_either names numbers that would have told it. A wide prediction means that the rest says little about it, and that its effect on the "
        "answer is its own."
    ]
    words += [in_words(one, study) for one in leave_out.follows(resolve(study))]
    if depth == STANDARD and len(found.left) > 1:
        words.append(f"This is model {shown}; depth full leaves them out of every model.")
    return [
        Section(
            "Each count left out" if is_counted else "Each printed number left out",
            tuple(words),
            "left_out.csv",
            picture(COMPARISON, "left_out"),
        )
    ]


def in_words(one: Dependence, study: Study) -> str:
    """Say of a number that it follows from others, and what that means for leaving it out."""
    told_of = f"{one.name} follows from {', '.join(one.others)}"
    if not np.isnan(one.implied):
        told_of += f", which make it {_implied(one, study)}"
    if one.agrees is False:
        told_of += ", beyond rounding of what is printed"
    if _kinds(study).get(one.name, True):
        return (
            f"{told_of}. While all others are used any of them would be known, so where one is left out "
            "another is not used either, the loosest: not_used_either names it."
        )
    return f"{told_of}. It says nothing more than they do, and is not left out by itself."


def _kinds(study: Study) -> dict[str, bool]:
    """Tell of each claim whether it is an odds ratio."""
    return {
        reported_estimate.id: reported_estimate.has_interval
        for reported_estimate in study.reported_estimates
    }


def _implied(one: Dependence, study: Study) -> str:
    """Write what others make of a number: an odds ratio, a p-value or a count."""
    kinds = _kinds(study)
    if one.name not in kinds:
        return f"{one.implied:.0f} events"
    return f"{one.implied:.3g}" if kinds[one.name] else f"p = {one.implied:.2g}"


def _left_row(name: str, left: FoldPrediction) -> dict[str, object]:
    return {
        "model": name,
        "left_out": left.unit,
        "not_used_either": ", ".join(left.beside),
        "quantity": left.quantity,
        "reported": left.as_reported,
        "predicted": left.median,
        "lower": left.lower,
        "upper": left.upper,
        "tail": left.tail,
    }


# --- Bayes factors ---------------------------------------------------------------------------------


def _of_factors(found: Findings, tables: dict[str, pd.DataFrame]) -> list[Section]:
    if not found.factors:
        return []
    table = bayes_factors.table_of(found.factors)
    tables["bayes_factors.csv"] = table
    words = [
        "bayes_factor is how many times as probable the evidence is with the interaction as without it: "
        "above 1 it speaks for an interaction, of either direction, below 1 against one. It says nothing of "
        "which side the interaction is on, and it depends on the prior of the interaction, which stands in "
        "each row: a wide prior spends its belief on strong interactions, and counts against itself where "
        "the evidence shows none. prior_of_the_fits marks the prior that the other tables use.",
        "evidence is Kass & Raftery's (1995) word for a factor of that size. method says how the marginal "
        "likelihoods behind it were worked out, log_mc_error how far their computation may be off, pareto_k "
        "how good the weights are; beside it, where they apply, are ArviZ's Savage–Dickey ratio (of one product, by densities of the draws), quadrature "
        "(of models with few parameters) and sequential Monte Carlo (at depth full).",
    ]
    if found.no_interaction:
        prior, after = map(share, found.no_interaction)
        words.append(
            f"P(no interaction) is {prior} before the evidence and {after} after it, if every number of interactions "
            "is as probable as any other, and every set of one number (Scott & Berger 2010)."
        )
    return [Section("Bayes factors of the interactions", tuple(words), "bayes_factors.csv")]


# --- Findings --------------------------------------------------------------------------------------


def _findings(found: Findings, tables: Mapping[str, pd.DataFrame]) -> list[str]:
    return [
        *_found_factor(found),
        *_found_outside(found),
        *_found_models(found, tables),
    ]


def _found_factor(found: Findings) -> list[str]:
    chosen = [f for f in found.factors if f.of == ANY and f.is_chosen and np.isfinite(f.log)]
    if not chosen:
        return []
    one = chosen[0]
    less = one.factor < 1
    size = 1 / one.factor if less else one.factor
    words = (
        f"The evidence is {size:.2g} times as probable {'without' if less else 'with'} interactions as "
        f"{'with' if less else 'without'} them (prior: {one.prior})"
    )
    if size < bayes_factors.GRADES[0][0]:
        words += ": it hardly tells whether there are any"
    if found.no_interaction:
        prior, after = found.no_interaction
        words += f"; the probability that there is none goes from {share(prior)} to {share(after)}"
    return [words + "."]


def _found_outside(found: Findings) -> list[str]:
    for name, one in found.left.items():
        far = [left for left in one.predicted if left.is_outside]
        if far:
            named = ", ".join(
                f"{left.unit} ({left.quantity} {left.as_reported})" for left in far[:3]
            )
            return [
                f"FoldPrediction out in turn, {len(far)} of {len(one.predicted)} numbers lie outside the central "
                f"{INTERVAL:.0%} of what the rest predicts under {name}: {named}."
            ]
        if one.predicted:
            return [
                f"FoldPrediction out in turn, each of {len(one.predicted)} numbers lies within the central "
                f"{INTERVAL:.0%} of what the rest predicts under {name}."
            ]
    return []


def _found_models(found: Findings, tables: Mapping[str, pd.DataFrame]) -> list[str]:
    if "models.csv" not in tables:
        return []
    table = tables["models.csv"]
    told_of = table[table.difference.notna()]
    if len(told_of) < 2:
        return []
    units = next(iter(found.left.values())).units
    unit = UNITS[units.kind]
    if units.count < FEWEST:
        return [
            f"Where {unit} is left out, there are {units.count} units, too few and too unlike each other to call a "
            f"model better: differences in log density among {', '.join(told_of.model)} are up to "
            f"{-told_of.difference.min():.1f}."
        ]
    best, others = told_of.iloc[0], told_of.iloc[1:]
    size, error = -others.difference, np.hypot(others.difference_se, others.difference_mc_error)
    worse = others[(size > SMALL) & (size > CLEAR * error)]
    if not len(worse):
        return [
            f"Where {unit} is left out, no model predicts clearly better than another: prediction does not choose "
            f"among {', '.join(told_of.model)}."
        ]
    named = ", ".join(
        f"{row.model} by {-row.difference:.1f} (SE {row.difference_se:.1f})"
        for row in worse.itertuples()
    )
    return [
        f"Where {unit} is left out, {best.model} predicts it better than {named} in log density."
    ]
