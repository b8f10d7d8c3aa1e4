"""What a model comparison says: its tables, its figure, and the words around them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cotreat import bayes_factors, left_out
from cotreat.bayes_factors import ANY, BayesFactor, LogEvidence, Weighed, probability_of_none
from cotreat.headline import share
from cotreat.left_out import CELL, CLAIM, PATIENT, UNITS, Left
from cotreat.loo import FEWEST, LeftOut, compare
from cotreat.names import INTERVAL, STANDARD
from cotreat.parts import MOST_FINDINGS, Part, Section, versions
from cotreat.plots import Picture
from cotreat.priors import PriorSet
from cotreat.study import Study

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cotreat.evidence.claims import Dependence

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
    "themselves. That is what the models differ in; of the next patient on a regimen that was counted they "
    "all say nearly the same.",
    CLAIM: "The unit that is left out is one printed number with the width of its interval; its density is "
    "that of one number given all others, for all stand on the same patients (Bürkner, Gabry & Vehtari "
    "2021). A printed number that follows from others is not counted twice: it counts with its width alone.",
}


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
    sets : list of Weighed
    averages : pandas.DataFrame
    failed : list of str
    """

    left: dict[str, LeftOut] = field(default_factory=dict)
    evidence: dict[str, LogEvidence] = field(default_factory=dict)
    factors: list[BayesFactor] = field(default_factory=list)
    sets: list[Weighed] = field(default_factory=list)
    averages: pd.DataFrame = field(default_factory=pd.DataFrame)
    failed: list[str] = field(default_factory=list)


Told = tuple[Part, dict[str, pd.DataFrame], dict[str, "Figure"]]


def told(
    study: Study,
    priors: PriorSet,
    lead: str,
    found: Findings,
    depth: str,
    seed: int,
    refused: Mapping[str, str],
) -> Told:
    """Return the part with its tables and figures."""
    tables: dict[str, pd.DataFrame] = {}
    figures: dict[str, Figure] = {}
    sections = [
        *_of_models(study, found, tables),
        *_of_left_out(study, lead, found, tables, figures, depth),
        *_of_factors(found, tables),
        *_of_averages(study, lead, found, tables),
    ]
    not_fitted = tuple(f"{name} is not compared: {why}" for name, why in refused.items())
    part = Part(
        TITLE,
        study.digest,
        seed,
        tuple(_findings(found, tables))[:MOST_FINDINGS],
        tuple(sections),
        tuple(found.failed),
        settings={
            "depth": depth,
            "priors": priors.name,
            "reading": study.reading,
            "models": list(found.evidence),
            "not_fitted": list(not_fitted),
            "unit": next((one.units.kind for one in found.left.values()), ""),
        },
        versions=versions(*PACKAGES),
    )
    return part, tables, figures


# --- Models ----------------------------------------------------------------------------------------


def _of_models(study: Study, found: Findings, tables: dict[str, pd.DataFrame]) -> list[Section]:
    if not found.left:
        return []
    table = compare(found.left)
    logs = {name: one.value for name, one in found.evidence.items()}
    tables["models.csv"] = table.assign(log_evidence=table.model.map(logs))
    tables["units.csv"] = pd.concat([_units(name, one) for name, one in found.left.items()])
    units = next(iter(found.left.values())).units
    words = [
        "Each model is asked what it predicts for evidence that is left out: elpd is the sum of the log "
        "densities that the rest predicts for each unit left out, larger is better; difference is that "
        "less the best model's, with the standard error of the difference beside it. Differences under "
        f"{SMALL:g}, or under two standard errors, tell no models apart; of few units the standard error "
        "itself is rough.",
        WHY_UNIT[units.kind],
        "Densities come by Pareto-smoothed importance sampling from the fit's draws where its Pareto k is "
        "good, else from a refit without the unit, as the difference of two log evidences; worst_k is the "
        "highest k before that, refitted says how many units needed it, not_answered how many had no "
        "answer. log_evidence is the log marginal likelihood of the model under its priors.",
        _about_weights(units.count, units.kind),
    ]
    if units.kind == CLAIM and study.counted:
        words.append("Regimens that were counted are not left out: all is given their counts.")
    return [
        Section("How well each model predicts what it was not given", tuple(words), "models.csv")
    ]


def _about_weights(count: int, kind: str) -> str:
    if count < FEWEST:
        return (
            f"With {count} units there are no stacking weights: with fewer than {FEWEST} their error would "
            "be larger than they are."
        )
    return (
        f"stacking_weight is the share of a model in the average of predictions that predicts {UNITS[kind]} "
        "best (Yao, Vehtari, Simpson & Gelman 2018). It averages predictions only: it is no probability "
        "that a model is true, and no probability of synergy is averaged with it."
    )


def _units(name: str, one: LeftOut) -> pd.DataFrame:
    """List units with their densities: of patients those that move the model most."""
    table = pd.DataFrame(
        {
            "model": name,
            "unit": one.units.kind,
            "left_out": one.units.names,
            "alike": one.times,
            "elpd": one.elpd,
            "how": one.how,
            "pareto_k": one.pareto_k,
            "elpd_by_weights": one.by_weights,
        }
    )
    if one.units.kind == PATIENT:
        return table.sort_values("pareto_k", ascending=False, kind="stable").head(LISTED)
    return table


# --- Left out --------------------------------------------------------------------------------------


def _of_left_out(
    study: Study,
    lead: str,
    found: Findings,
    tables: dict[str, pd.DataFrame],
    figures: dict[str, Figure],
    depth: str,
) -> list[Section]:
    rows = [_left_row(name, left) for name, one in found.left.items() for left in one.predicted]
    if not rows:
        return []
    tables["left_out.csv"] = pd.DataFrame(rows)
    is_counted = next(iter(found.left.values())).units.kind == CELL
    what = "count of a regimen" if is_counted else "printed number"
    shown = lead if found.left[lead].predicted else str(rows[0]["model"])
    words = [
        f"Each {what} is left out in turn, the model fitted to the rest, and the {what} predicted: median "
        f"and central {INTERVAL:.0%} of the predictions stand beside it. tail is the share of predictions at "
        "least as far out, on the nearer side; of numbers that a model fits, one in twenty has less than "
        "0.025. A wide prediction means that the rest says little about it, and that its effect on the "
        "answer is its own."
    ]
    words += [_in_words(one) for one in left_out.follows(study)]
    if depth == STANDARD and len(found.left) > 1:
        words.append(f"This is model {shown}; depth full leaves them out of every model.")
    figures[LEFT_OUT], caption = _picture(study, shown, found.left[shown].predicted, is_counted)
    return [
        Section(
            "Each count left out" if is_counted else "Each printed number left out",
            tuple(words),
            "left_out.csv",
            caption,
        )
    ]


def _in_words(one: Dependence) -> str:
    beyond = "" if one.agrees is not False else ", beyond rounding of what is printed"
    return (
        f"{one.name} follows from {', '.join(one.others)}, which make it {one.implied:.3g}{beyond}: left "
        "out alone it would leave nothing open, so only its width is."
    )


def _left_row(name: str, left: Left) -> dict[str, object]:
    return {
        "model": name,
        "left_out": left.unit,
        "quantity": left.quantity,
        "printed": left.printed,
        "predicted": left.median,
        "lower": left.lower,
        "upper": left.upper,
        "tail": left.tail,
    }


def _picture(
    study: Study, model: str, predicted: tuple[Left, ...], is_counted: bool
) -> tuple[Figure, Picture]:
    from cotreat.plots.canvas import off_screen
    from cotreat.plots.left_out import draw

    with off_screen():
        figure = draw(study, model, predicted)
    outside = sum(left.is_outside for left in predicted)
    what = "count" if is_counted else "printed number"
    return figure, Picture(
        LEFT_OUT,
        f"What all other evidence predicts for each {what} that is left out (bars, central 50% and "
        f"{INTERVAL:.0%}, model {model}) and what is {'counted' if is_counted else 'printed'} (diamonds). A "
        f"diamond far outside its bar is one that the rest contradicts under this model; {outside} of "
        f"{len(predicted)} lie outside.",
        f"Horizontal bars, one row for each {what}: a thick bar for the central half of the predictions, a "
        "pale one for 95%, and a diamond at the number itself.",
    )


# --- Bayes factors ---------------------------------------------------------------------------------


def _of_factors(found: Findings, tables: dict[str, pd.DataFrame]) -> list[Section]:
    if not found.factors:
        return []
    table = bayes_factors.table_of(found.factors)
    tables["bayes_factors.csv"] = table
    words = (
        "bayes_factor is how many times as probable the evidence is with the interaction as without it: "
        "above 1 it speaks for an interaction, of either direction, below 1 against one. It says nothing of "
        "which side the interaction is on, and it depends on the prior of the interaction, which stands in "
        "each row: a wide prior spends its belief on strong interactions, and counts against itself where "
        "the evidence shows none. prior_of_the_fits marks the prior that the other tables use.",
        "evidence is Kass & Raftery's (1995) word for a factor of that size. It comes from marginal "
        "likelihoods by importance sampling, whose Pareto k stands at the end; beside it, where they "
        "apply, are ArviZ's Savage–Dickey ratio (of one product, by densities of the draws), quadrature "
        "(of models with few parameters) and sequential Monte Carlo (at depth full).",
    )
    return [Section("Bayes factors of the interactions", words, "bayes_factors.csv")]


# --- Averages --------------------------------------------------------------------------------------


def _of_averages(
    study: Study, lead: str, found: Findings, tables: dict[str, pd.DataFrame]
) -> list[Section]:
    if not found.sets:
        return []
    tables["averaging.csv"] = bayes_factors.table_of_sets(study, found.sets)
    tables["averaged.csv"] = found.averages
    prior, after = probability_of_none(found.sets)
    words = [
        "The headline comes from one continuous model that contains the others, in which an interaction of "
        f"exactly none has no probability of its own ({lead}). Beside it stands the average over models in "
        "which each interaction is there or not, weighed by their marginal likelihoods. Prior "
        "probabilities: every number of interactions is as probable as any other, and every set of one "
        "number (Scott & Berger 2010), so each interaction is there with probability 1/2.",
        f"P(γ = 0) for all pairs: {share(prior)} before the evidence, {share(after)} after it.",
    ]
    for at, pair in enumerate(study.pair_labels if len(study.pairs) > 1 else ()):
        prior, after = probability_of_none(found.sets, at)
        words.append(f"P(γ = 0) for {pair}: {share(prior)} before, {share(after)} after.")
    measures = (
        "Averaged measures of synergy, beside those of the one model. probability_at_null is the probability "
        "that the measure is exactly at its null, which only ratios of odds ratios can be. Where there is no "
        "interaction, measures of the other families lie where the single effects put them, not at their "
        "nulls: their averaged probabilities are partly algebra."
    )
    return [
        Section("Averaging over whether there are interactions", tuple(words), "averaging.csv"),
        Section("Measures of synergy, averaged", (measures,), "averaged.csv"),
    ]


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
    if found.sets:
        prior, after = probability_of_none(found.sets)
        words += f"; the probability that there is none goes from {share(prior)} to {share(after)}"
    return [words + "."]


def _found_outside(found: Findings) -> list[str]:
    for name, one in found.left.items():
        far = [left for left in one.predicted if left.is_outside]
        if far:
            named = ", ".join(f"{left.unit} ({left.quantity} {left.printed})" for left in far[:3])
            return [
                f"Left out in turn, {len(far)} of {len(one.predicted)} numbers lie outside the central "
                f"{INTERVAL:.0%} of what all others predict under {name}: {named}."
            ]
        if one.predicted:
            return [
                f"Left out in turn, each of {len(one.predicted)} numbers lies within the central "
                f"{INTERVAL:.0%} of what all others predict under {name}."
            ]
    return []


def _found_models(found: Findings, tables: Mapping[str, pd.DataFrame]) -> list[str]:
    if "models.csv" not in tables:
        return []
    table = tables["models.csv"]
    told_of = table[table.difference.notna()]
    if len(told_of) < 2:
        return []
    best, others = told_of.iloc[0], told_of.iloc[1:]
    units = next(iter(found.left.values())).units
    unit, size = UNITS[units.kind], -others.difference
    worse = others[(size > SMALL) & (size > CLEAR * others.difference_se)]
    if not len(worse):
        return [
            f"Where {unit} is left out, no model predicts clearly better than another: prediction does not choose "
            f"among {', '.join(told_of.model)}."
        ]
    named = ", ".join(
        f"{row.model} by {-row.difference:.1f} (SE {row.difference_se:.1f})"
        for row in worse.itertuples()
    )
    words = f"Where {unit} is left out, {best.model} predicts it better than {named} in log density"
    if units.count < FEWEST:
        words += f"; of {units.count} units such a standard error is rough"
    return [words + "."]
