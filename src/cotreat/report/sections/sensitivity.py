"""Wording of a sensitivity analysis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from cotreat.core.constants import CONCLUSIVE, IDENTIFIED, UNRELIABLE_K
from cotreat.estimands.estimand import ODDS_RATIO
from cotreat.estimands.measures import representatives
from cotreat.plots import SENSITIVITY
from cotreat.priors.belief_grid import in_words, is_belief
from cotreat.report.sections import analysis_of, section, text
from cotreat.results.supplementary import UNRELIABLE, Analysis, Section
from cotreat.sensitivity.records import (
    INTERPRETATION,
    MODEL,
    ONE_AT_A_TIME,
    P_SYNERGY,
    PRIORS,
    SCALE,
)

if TYPE_CHECKING:
    import pandas as pd

    from cotreat.sensitivity.records import SensitivityAnalysis


def worded(record: SensitivityAnalysis) -> tuple[Analysis, dict[str, pd.DataFrame]]:
    """Word a sensitivity analysis.

    Parameters
    ----------
    record
        The analysis.

    Returns
    -------
    Analysis
        Findings and sections.
    dict of pandas.DataFrame
        Tables by name of their file.
    """
    analysis = analysis_of(
        SENSITIVITY,
        record,
        filter(None, _findings(record)),
        _sections(record),
        _failed(record),
        model=record.base.model,
        priors=record.base.priors,
        **{
            "engine of the primary fit": record.engine,
            "engine of the others": "laplace, in batches; smc where it is not good",
            "effective draws": record.effective,
        },
    )
    return analysis, dict(record.tables)


def _findings(record: SensitivityAnalysis) -> Iterator[str]:
    tables = record.tables
    yield change_finding(tables[ONE_AT_A_TIME], record.incompatible)
    if "grid_ranges.csv" in tables:
        counts = (record.grid_sets, record.grid_unreliable)
        yield grid_finding(tables["grid_ranges.csv"], *counts, is_crossed=record.is_crossed)
    yield scaling_finding(tables["power_scaling.csv"])


def _failed(record: SensitivityAnalysis) -> Iterator[str]:
    yield from unreliable_fits(record.fits, record.untried)
    if record.grid_unreliable:
        counts = {"unreliable": record.grid_unreliable, "sets": record.grid_sets}
        yield text(SENSITIVITY, "grid_unreliable", **counts)


def _sections(record: SensitivityAnalysis) -> Iterator[Section]:
    tables, model, is_crossed = record.tables, record.base.model, record.is_crossed
    yield section(
        SENSITIVITY,
        "one_at_a_time",
        base=record.base,
        priors=in_words(record.base.priors),
        study=record.study,
        fits=record.fits,
        unreliable=(record.fits.verdict == UNRELIABLE).sum(),
        is_crossed=is_crossed,
    )
    if "grid_ranges.csv" in tables:
        facts = {"sets": record.grid_sets, "model": model, "is_crossed": is_crossed}
        yield section(SENSITIVITY, "grid", conclusive=CONCLUSIVE, **facts)
    yield section(SENSITIVITY, "power_scaling")
    if "critical.csv" in tables:
        yield section(SENSITIVITY, "critical")
    yield section(SENSITIVITY, "induced")


def unreliable_fits(fits: pd.DataFrame, untried: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Word which fits are unreliable, and where other priors were not fitted because of it.

    Parameters
    ----------
    fits
        A row per fit of the multiverse.
    untried
        Models and interpretations under which other priors were not fitted.

    Returns
    -------
    iterator of str
        One line per model and interpretation.
    """
    for (model, interpretation), table in fits.groupby([MODEL, INTERPRETATION], sort=False):
        unreliable = table[table.verdict == UNRELIABLE]
        words = []
        if len(unreliable):
            k = unreliable.pareto_k.max()
            why = f"Pareto k up to {k:.2f}" if k >= UNRELIABLE_K else "modes found only once"
            words.append(f"{len(unreliable)} of {len(table)} fits unreliable ({why})")
        if (model, interpretation) in untried:
            words.append("other priors not fitted, because the batch is unreliable")
        if words:
            yield f"{model}, interpretation {interpretation}: {'; '.join(words)}"


# --- Findings --------------------------------------------------------------------------------------


def change_finding(changes: pd.DataFrame, incompatible: Sequence[str] = ()) -> str:
    """Word the choice that changes the probability of synergy most, and count the conclusive changes.

    Parameters
    ----------
    changes
        Table of the one-at-a-time sensitivity analysis.
    incompatible
        Interpretations with which the other reported estimates are incompatible; they are left out.

    Returns
    -------
    str
        Empty where no change has a probability.
    """
    known = changes[changes.probability.notna()]
    is_incompatible = (known["what changes"] == INTERPRETATION) & known.to.isin(incompatible)
    changed = known[~known["is primary"] & ~is_incompatible & known.difference.notna()]
    if changed.empty:
        return ""
    most = changed.loc[changed.difference.abs().idxmax()]
    what, how = _change_in_words(most["what changes"], most.to)
    conclusive = (changed.probability >= CONCLUSIVE) | (changed.probability <= 1 - CONCLUSIVE)
    counts = {"number": len(changed), "conclusive": conclusive.sum()}
    left_out = incompatible if is_incompatible.any() else ()
    return text(SENSITIVITY, "change", most=most, what=what, how=how, left_out=left_out, **counts)


def _change_in_words(choice: str, to: str) -> tuple[str, str]:
    """Word a choice and its new level."""
    if choice == SCALE:
        return "the scale of synergy", f"if judged as {to}"
    if choice != PRIORS:
        return f"the {choice}", f"under {to}"
    words = in_words(to)
    return "the prior", f"with beliefs about {words}" if is_belief(to) else f"under {words} priors"


def grid_finding(ranges: pd.DataFrame, sets: int, unreliable: int, *, is_crossed: bool) -> str:
    """Word the range of the probability of synergy over the belief grid.

    Parameters
    ----------
    ranges
        Table of ranges over the grid.
    sets, unreliable
        Number of prior sets, and of those with an unreliable fit.
    is_crossed
        Whether beliefs about effects and about interactions are crossed.

    Returns
    -------
    str
        Empty without an interaction.
    """
    rows = ranges[ranges.number == P_SYNERGY].to_dict("records")
    counts = {"sets": sets, "unreliable": unreliable, "is_crossed": is_crossed}
    return text(SENSITIVITY, "grid_finding", rows=rows, **counts) if rows else ""


def scaling_finding(table: pd.DataFrame) -> str:
    """Word the number of measures of synergy, one per scale, that are more sensitive to the prior.

    Parameters
    ----------
    table
        Table of power scaling.

    Returns
    -------
    str
        Empty without a measure of synergy.
    """
    measures = table[table.measure.isin(representatives().values()) & table.probability.notna()]
    ratios = table[(table.measure == ODDS_RATIO) & (table.status == IDENTIFIED)]
    more, also = (int((rows.prior > rows.likelihood).sum()) for rows in (measures, ratios))
    counts = {"measures": len(measures), "ratios": len(ratios), "more": more, "also": also}
    return text(SENSITIVITY, "scaling", **counts) if len(measures) else ""
