"""Tables and wording of a model comparison."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cotreat.comparison.records import (
    ANY,
    FEWEST,
    GRADES,
    MOST_REFITS,
    MOST_UNITS,
    NOT_REFITTED,
    NOT_TRUSTED,
    TOO_MANY,
)
from cotreat.core.constants import INTERVAL, STANDARD
from cotreat.evidence.folds import CELL, CLAIM, PATIENT, UNITS
from cotreat.plots import COMPARISON, picture
from cotreat.report import sections
from cotreat.results.headline import share
from cotreat.results.supplementary import MOST_FINDINGS, Analysis, Section, versions

if TYPE_CHECKING:
    from cotreat.comparison.records import LeftOut, ModelComparison
    from cotreat.evidence.folds import FoldPrediction, Folds
    from cotreat.evidence.reported import Dependence
    from cotreat.study.study import Study

LISTED = 20
"""Patients, or groups of identical patients, listed per model: those with the largest Pareto k."""
CLEAR, SMALL = 2.0, 4.0
"""A difference is clear if it exceeds so many standard errors, and `SMALL` (Sivula, Magnusson, Matamoros &
Vehtari 2025)."""
PACKAGES = ("arviz", "pymc", "jax", "numpy", "scipy")


TEXTS = sections.TEXTS["comparison"]
Tables = dict[str, pd.DataFrame]


def worded(record: ModelComparison) -> tuple[Analysis, Tables]:
    """Word a model comparison.

    Parameters
    ----------
    record
        The comparison.

    Returns
    -------
    Analysis
        Findings and sections.
    dict of pandas.DataFrame
        Tables by name of their file.
    """
    tables: Tables = {}
    sections = [
        *_models(record, tables),
        *_left_out(record, tables),
        *_bayes_factors(record, tables),
    ]
    findings = [*_factor_finding(record), *_outside_finding(record), *_model_finding(record)]
    analysis = Analysis(
        "Model comparison",
        record.study.digest,
        record.seed,
        tuple(findings)[:MOST_FINDINGS],
        tuple(sections),
        tuple(_missing(record)),
        settings={
            "depth": record.depth,
            "priors": record.priors,
            "interpretation": record.study.interpretation,
            "models": list(record.log_evidence),
            "not_fitted": [f"{name} is not compared: {w}" for name, w in record.refused.items()],
            "unit": record.units.kind if record.units else "",
        },
        versions=versions(*PACKAGES),
    )
    return analysis, tables


def _missing(record: ModelComparison) -> Iterator[str]:
    """Yield what could not be computed."""
    if record.too_many:
        yield (
            f"leave-one-out: {record.too_many:,} distinct patients exceed the limit of {MOST_UNITS:,}"
        )
    for name, one in record.left_out.items():
        if one.unanswered:
            yield f"leave-one-out of {name}: {why_unanswered(one, record.depth)}"
    for name, evidence in record.log_evidence.items():
        if not evidence.is_known:
            yield (
                f"log evidence of {name}: too few effective draws, or a Pareto k of "
                f"{evidence.pareto_k:.2f}; depth full runs sequential Monte Carlo"
            )
    if any(np.isnan(one.log) for one in record.factors):
        yield "some Bayes factors: a marginal likelihood is unreliable"
    if record.why_no_probability:
        yield f"P(no interaction): {record.why_no_probability}"


def why_unanswered(one: LeftOut, depth: str) -> str:
    """Word why units have no density, by reason.

    Parameters
    ----------
    one
        Leave-one-out of a model.
    depth
        The depth of the comparison.
    """
    reasons = {
        NOT_REFITTED: f"were not refitted, because depth {depth} refits nothing",
        TOO_MANY: f"were not refitted, because depth {depth} refits at most {MOST_REFITS.get(depth)}",
        NOT_TRUSTED: "were refitted, and the refit is unreliable too",
    }
    counts = {why: one.unanswered_by(reason) for reason, why in reasons.items()}
    listed = "; ".join(f"{count:,} {why}" for why, count in counts.items() if count)
    return (
        f"{one.unanswered:,} of {one.units.count:,} units have unreliable importance weights and no refit: "
        f"{listed}. The model is not compared"
    )


# --- Models ----------------------------------------------------------------------------------------


def _models(record: ModelComparison, tables: Tables) -> Iterator[Section]:
    study, units = record.study, record.units
    if record.models is None or units is None:
        return
    tables["models.csv"] = record.models
    tables["units.csv"] = pd.concat([_units(name, one) for name, one in record.left_out.items()])
    is_saturated = units.kind == CELL and units.count <= 1 + len(study.treatment_ids) + len(
        study.pairs
    )
    words = [
        TEXTS["elpd"],
        TEXTS[f"unit_{units.kind}"],
        *([TEXTS["sampled"]] if units.kind == CELL and study.is_case_control else []),
        TEXTS["densities"],
        TEXTS["mc_error"],
        _stacking(units),
        *([TEXTS["repeats"]] if is_saturated else []),
    ]
    if units.kind == CLAIM and study.counted:
        words.append(
            "Counted regimens are not left out: everything is conditional on their counts."
        )
    yield Section("Prediction of left-out evidence", tuple(words), "models.csv")


def _stacking(units: Folds) -> str:
    if units.count < FEWEST:
        return TEXTS["few_units"].format(count=units.count, fewest=FEWEST)
    return (
        f"Differences below {SMALL:g}, or below two standard errors, do not separate models. stacking_weight is "
        f"the weight of a model in the average of predictions that predicts {UNITS[units.kind]} best (Yao, "
        "Vehtari, Simpson & Gelman 2018). It is not a probability that a model is true."
    )


def _units(name: str, one: LeftOut) -> pd.DataFrame:
    """List units with their densities; of patients, those with the largest Pareto k."""
    table = pd.DataFrame(
        {
            "model": name,
            "unit": one.units.kind,
            "left_out": one.units.names,
            "not_used_either": [", ".join(part.left_out_with) for part in one.units.parts],
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


# --- Predictions of left-out evidence -------------------------------------------------------------------


def _left_out(record: ModelComparison, tables: Tables) -> Iterator[Section]:
    rows = [_prediction(name, o) for name, one in record.left_out.items() for o in one.predicted]
    if not rows or record.units is None:
        return
    tables["left_out.csv"] = pd.DataFrame(rows)
    unit = "count of a regimen" if record.units.kind == CELL else "reported estimate"
    words = [
        f"Each {unit} is left out in turn, the model is fitted to the rest, and the {unit} is predicted: "
        f"median and central {INTERVAL:.0%} of the predictions. tail is the share of predictions at least as "
        "extreme, on the nearer side; if the model fits, it is below 0.025 for one in twenty. "
        "not_used_either names estimates that would have determined it. A wide prediction means that the rest "
        "contains little information about it.",
        *(dependence_in_words(one, record.study) for one in record.dependences),
    ]
    if record.depth == STANDARD and len(record.left_out) > 1:
        words.append(f"The model is {record.model_shown}; depth full includes every model.")
    heading = f"Each {'count' if record.units.kind == CELL else unit} left out"
    yield Section(heading, tuple(words), "left_out.csv", picture(COMPARISON, "left_out"))


def dependence_in_words(one: Dependence, study: Study) -> str:
    """Word the dependence of an estimate on others, and its consequence for leaving it out.

    Parameters
    ----------
    one
        The dependence.
    study
        With its reported estimates.
    """
    is_ratio = {estimate.id: estimate.has_interval for estimate in study.reported_estimates}
    words = f"{one.name} follows from {', '.join(one.others)}"
    if not np.isnan(one.implied):
        implied = f"{one.implied:.0f} events"
        if one.name in is_ratio:
            implied = f"{one.implied:.3g}" if is_ratio[one.name] else f"p = {one.implied:.2g}"
        words += f", which make it {implied}"
    if one.agrees is False:
        words += ", beyond rounding of what is reported"
    if is_ratio.get(one.name, True):
        return (
            f"{words}. Because the others would determine it, the least precise of them is left out too: "
            "not_used_either names it."
        )
    return f"{words}. It adds no information, and is not left out by itself."


def _prediction(name: str, left: FoldPrediction) -> dict[str, object]:
    return {
        "model": name,
        "left_out": left.unit,
        "not_used_either": ", ".join(left.left_out_with),
        "quantity": left.quantity,
        "reported": left.as_reported,
        "predicted": left.median,
        "lower": left.lower,
        "upper": left.upper,
        "tail": left.tail,
    }


# --- Bayes factors ---------------------------------------------------------------------------------


def _bayes_factors(record: ModelComparison, tables: Tables) -> Iterator[Section]:
    if not record.factors:
        return
    tables["bayes_factors.csv"] = pd.DataFrame(
        [
            {
                "of": one.of,
                "comparison": one.against,
                "prior": one.prior,
                "prior_sd": one.prior_sd,
                "prior_of_the_fits": "yes" if one.is_chosen else "no",
                "bayes_factor": one.factor,
                "log_bayes_factor": one.log,
                "log_mc_error": one.error,
                "evidence": one.grade,
                "savage_dickey": one.savage_dickey,
                "quadrature": one.quadrature,
                "smc": one.smc,
                "method": one.method,
                "pareto_k": one.pareto_k,
            }
            for one in record.factors
        ]
    )
    words = [
        TEXTS["bayes_factor"],
        TEXTS["grades"],
    ]
    if record.no_interaction:
        prior, posterior = map(share, record.no_interaction)
        words.append(
            f"P(no interaction) is {prior} before the evidence and {posterior} after it, if all numbers of "
            "interactions are equally probable, and all sets of one number (Scott & Berger 2010)."
        )
    yield Section("Bayes factors of the interactions", tuple(words), "bayes_factors.csv")


# --- Findings --------------------------------------------------------------------------------------


def _factor_finding(record: ModelComparison) -> Iterator[str]:
    chosen = (f for f in record.factors if f.of == ANY and f.is_chosen and np.isfinite(f.log))
    one = next(chosen, None)
    if one is None:
        return
    size, more, less = (one.factor, "with", "without")
    if size < 1:
        size, more, less = 1 / size, less, more
    words = (
        f"The evidence is {size:.2g} times as probable {more} interactions as {less} them "
        f"(prior: {one.prior})"
    )
    if size < GRADES[0][0]:
        words += ", which hardly separates the two"
    if record.no_interaction:
        prior, posterior = map(share, record.no_interaction)
        words += f"; the probability of no interaction goes from {prior} to {posterior}"
    yield words + "."


def _outside_finding(record: ModelComparison) -> Iterator[str]:
    name, one = next(((n, o) for n, o in record.left_out.items() if o.predicted), ("", None))
    if one is None:
        return
    outside = [left for left in one.predicted if left.is_outside]
    central = f"the central {INTERVAL:.0%} of what the rest predicts under {name}"
    if not outside:
        yield f"Left out in turn, each of {len(one.predicted)} estimates lies within {central}."
        return
    named = ", ".join(f"{o.unit} ({o.quantity} {o.as_reported})" for o in outside[:3])
    verb = "lies" if len(outside) == 1 else "lie"
    yield (
        f"Left out in turn, {len(outside)} of {len(one.predicted)} estimates {verb} outside {central}: {named}."
    )


def _model_finding(record: ModelComparison) -> Iterator[str]:
    if record.models is None or record.units is None:
        return
    compared = record.models[record.models.difference.notna()]
    if len(compared) < 2:
        return
    unit, count = UNITS[record.units.kind], record.units.count
    names = ", ".join(compared.model)
    if count < FEWEST:
        yield (
            f"Where {unit} is left out, there are {count} units, too few and too unlike each other to call a "
            f"model better: differences in log density among {names} are up to "
            f"{-compared.difference.min():.1f}."
        )
        return
    best, others = compared.iloc[0], compared.iloc[1:]
    size, error = -others.difference, np.hypot(others.difference_se, others.difference_mc_error)
    worse = others[(size > SMALL) & (size > CLEAR * error)]
    if not len(worse):
        yield (
            f"Where {unit} is left out, no model predicts clearly better than another: prediction does not "
            f"choose among {names}."
        )
        return
    named = ", ".join(
        f"{row.model} by {-row.difference:.1f} (SE {row.difference_se:.1f})"
        for row in worse.itertuples()
    )
    yield f"Where {unit} is left out, {best.model} predicts it better than {named} in log density."
