"""Tables and wording of a model comparison."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
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
from cotreat.evidence.folds import CELL, OF_PATIENTS, UNITS
from cotreat.plots import COMPARISON
from cotreat.report.sections import analysis_of, section, text
from cotreat.results.supplementary import Analysis, Section

if TYPE_CHECKING:
    from cotreat.comparison.records import LeftOut, ModelComparison
    from cotreat.evidence.reported import Dependence
    from cotreat.study.study import Study

LISTED = 20
"""Patients, or groups of identical patients, listed per model: those with the largest Pareto k."""
CLEAR, SMALL = 2.0, 4.0
"""A difference is clear if it exceeds so many standard errors, and `SMALL` (Sivula, Magnusson, Matamoros &
Vehtari, Bayesian Anal 2025, doi 10.1214/25-BA1569)."""

FACTOR_COLUMNS = {
    "against": "comparison",
    "is_chosen": "prior_of_the_fits",
    "log": "log_bayes_factor",
    "error": "log_mc_error",
}
"""Columns of the table of Bayes factors that have another name in the record."""

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
    analysis = analysis_of(
        COMPARISON,
        record,
        [*_factor_finding(record), *_outside_finding(record), *_model_finding(record)],
        _sections(record),
        _missing(record),
        priors=record.priors,
        models=list(record.log_evidence),
        not_fitted=[f"{name} is not compared: {why}" for name, why in record.refused.items()],
        unit=record.units.kind if record.units else "",
    )
    return analysis, _tables(record)


def _tables(record: ModelComparison) -> Tables:
    tables: Tables = {}
    if record.models is not None:
        units = [_units(name, one) for name, one in record.left_out.items()]
        tables |= {"models.csv": record.models, "units.csv": pd.concat(units)}
    if predictions := _predictions(record):
        tables["left_out.csv"] = pd.DataFrame(predictions)
    if record.factors:
        table = pd.DataFrame([asdict(one) for one in record.factors])
        table["is_chosen"] = table.is_chosen.map({True: "yes", False: "no"})
        table.insert(5, "bayes_factor", [one.factor for one in record.factors])
        table.insert(6, "evidence", [one.grade for one in record.factors])
        tables["bayes_factors.csv"] = table.rename(columns=FACTOR_COLUMNS)
    return tables


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
    if one.units.kind in OF_PATIENTS:
        return table.sort_values("pareto_k", ascending=False, kind="stable").head(LISTED)
    return table


def _predictions(record: ModelComparison) -> list[dict[str, object]]:
    return [
        {
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
        for name, one in record.left_out.items()
        for left in one.predicted
    ]


# --- Sections and failures -------------------------------------------------------------------------


def _sections(record: ModelComparison) -> Iterator[Section]:
    study, units = record.study, record.units
    if units is not None:
        terms = 1 + len(study.treatment_ids) + len(study.pairs)
        yield section(
            COMPARISON,
            "models",
            study=study,
            units=units,
            unit=UNITS[units.kind],
            is_saturated=units.kind == CELL and units.count <= terms,
            fewest=FEWEST,
            small=SMALL,
        )
        if _predictions(record):
            is_count = units.kind == CELL
            is_one = record.depth == STANDARD and len(record.left_out) > 1
            yield section(
                COMPARISON,
                "left_out",
                unit="count of a regimen" if is_count else "reported estimate",
                is_count=is_count,
                interval=INTERVAL,
                dependences=[dependence_in_words(one, study) for one in record.dependences],
                one_model=record.model_shown if is_one else "",
            )
    if record.factors:
        yield section(COMPARISON, "bayes_factors", no_interaction=record.no_interaction)


def _missing(record: ModelComparison) -> Iterator[str]:
    """Yield what could not be computed."""
    if record.too_many:
        yield text(COMPARISON, "too_many", units=record.too_many, most=MOST_UNITS)
    for name, one in record.left_out.items():
        if one.not_computed:
            yield f"leave-one-out of {name}: {why_not_computed(one, record.depth)}"
    for name, evidence in record.log_evidence.items():
        if not evidence.is_known:
            yield text(COMPARISON, "log_evidence", name=name, pareto_k=evidence.pareto_k)
    if any(np.isnan(one.log) for one in record.factors):
        yield "some Bayes factors: a marginal likelihood is unreliable"
    if record.why_no_probability:
        yield f"P(no interaction): {record.why_no_probability}"


def why_not_computed(one: LeftOut, depth: str) -> str:
    """Word why units have no density, by reason.

    Parameters
    ----------
    one
        Leave-one-out of a model.
    depth
        The depth of the comparison.

    Returns
    -------
    str
        A sentence without full stop.
    """
    reasons = {
        f"were not refitted, because depth {depth} refits nothing": NOT_REFITTED,
        f"were not refitted, because depth {depth} refits at most {MOST_REFITS.get(depth)}": TOO_MANY,
        "were refitted, and the refit is unreliable too": NOT_TRUSTED,
    }
    counts = [(one.not_computed_by(reason), why) for why, reason in reasons.items()]
    return text(
        COMPARISON,
        "not_computed",
        not_computed=one.not_computed,
        count=one.units.count,
        reasons=[(count, why) for count, why in counts if count],
    )


def dependence_in_words(one: Dependence, study: Study) -> str:
    """Word the dependence of an estimate on others, and its consequence for leaving it out.

    Parameters
    ----------
    one
        The dependence.
    study
        With its reported estimates.

    Returns
    -------
    str
        Sentences.
    """
    is_ratio = {estimate.id: estimate.has_interval for estimate in study.reported_estimates}
    implied = ""
    if not np.isnan(one.implied):
        implied = f"{one.implied:.0f} events"
        if one.name in is_ratio:
            implied = f"{one.implied:.3g}" if is_ratio[one.name] else f"p = {one.implied:.2g}"
    has_interval = is_ratio.get(one.name, True)
    return text(COMPARISON, "dependence", one=one, implied=implied, is_ratio=has_interval)


# --- Findings --------------------------------------------------------------------------------------


def _factor_finding(record: ModelComparison) -> Iterator[str]:
    chosen = (f for f in record.factors if f.of == ANY and f.is_chosen and np.isfinite(f.log))
    for one in [*chosen][:1]:
        size, more, less = (one.factor, "with", "without")
        if size < 1:
            size, more, less = 1 / size, less, more
        facts = {"size": size, "more": more, "less": less, "is_small": size < GRADES[0][0]}
        yield text(
            COMPARISON, "factor", prior=one.prior, no_interaction=record.no_interaction, **facts
        )


def _outside_finding(record: ModelComparison) -> Iterator[str]:
    name, one = next(((n, o) for n, o in record.left_out.items() if o.predicted), ("", None))
    if one is None:
        return
    outside = [left for left in one.predicted if left.is_outside]
    central = f"the central {INTERVAL:.0%} of what the rest predicts under {name}"
    facts = {"number": len(one.predicted), "central": central, "outside": outside}
    yield text(COMPARISON, "outside" if outside else "within", **facts)


def _model_finding(record: ModelComparison) -> Iterator[str]:
    """Word which models predict worse than the best: by more than `SMALL`, and `CLEAR` standard errors."""
    if record.models is None or record.units is None:
        return
    compared = record.models[record.models.difference.notna()]
    if len(compared) < 2:
        return
    others, count = compared.iloc[1:], record.units.count
    size, error = -others.difference, np.hypot(others.difference_se, others.difference_mc_error)
    worse = others[(size > SMALL) & (size > CLEAR * error)]
    name = "few_units" if count < FEWEST else "better" if len(worse) else "no_better"
    yield text(
        COMPARISON,
        name,
        unit=UNITS[record.units.kind],
        count=count,
        names=", ".join(compared.model),
        largest=size.max(),
        best=compared.model.iloc[0],
        worse=list(worse.itertuples()),
    )
