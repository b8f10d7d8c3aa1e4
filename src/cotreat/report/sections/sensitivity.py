"""Wording of a sensitivity analysis."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from cotreat.core.constants import CONCLUSIVE, IDENTIFIED, UNRELIABLE_K
from cotreat.estimands.estimand import ODDS_RATIO
from cotreat.estimands.measures import representatives
from cotreat.plots import SENSITIVITY, picture
from cotreat.priors.belief_grid import in_words, is_belief
from cotreat.report import sections
from cotreat.results.headline import share
from cotreat.results.supplementary import (
    MOST_FINDINGS,
    MULTIVERSE,
    UNRELIABLE,
    Analysis,
    Section,
    versions,
)
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

PACKAGES = ("arviz", "jax", "numpy", "pymc", "pytensor", "scipy")
CHOICES = {MODEL: "the model", INTERPRETATION: "the interpretation", PRIORS: "the prior"}

TEXTS = sections.TEXTS["sensitivity"]


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
    tables = dict(record.tables)
    findings = [change_finding(tables[ONE_AT_A_TIME], record.incompatible)]
    if "grid_ranges.csv" in tables:
        counts = (record.grid_sets, record.grid_unreliable)
        ranges = tables["grid_ranges.csv"]
        findings.append(grid_finding(ranges, *counts, is_crossed=record.is_crossed))
    findings.append(scaling_finding(tables["power_scaling.csv"]))
    failed = list(unreliable_fits(record.fits, record.untried))
    if record.grid_unreliable:
        failed.append(
            f"{record.grid_unreliable} of {record.grid_sets} prior sets of the grid: unreliable fit"
        )
    analysis = Analysis(
        "Sensitivity",
        record.study.digest,
        record.seed,
        tuple(filter(None, findings))[:MOST_FINDINGS],
        tuple(_sections(record)),
        tuple(failed),
        settings={
            "depth": record.depth,
            "model": record.base.model,
            "priors": record.base.priors,
            "interpretation": record.study.interpretation,
            "engine of the primary fit": record.engine,
            "engine of the others": "laplace, in batches",
            "effective draws": record.effective,
        },
        versions=versions(*PACKAGES),
    )
    return analysis, tables


def _sections(record: SensitivityAnalysis) -> Iterator[Section]:
    yield Section(
        "One-at-a-time sensitivity analysis",
        tuple(_change_words(record)),
        ONE_AT_A_TIME,
        picture(SENSITIVITY, "one_at_a_time"),
    )
    if "grid_ranges.csv" in record.tables:
        yield Section(
            "Belief × strength grid",
            tuple(_grid_words(record)),
            "grid_ranges.csv",
            picture(SENSITIVITY, "belief_grid"),
        )
    yield Section(
        "Weight of prior and evidence",
        (TEXTS["scaling"],),
        "power_scaling.csv",
        picture(SENSITIVITY, "power_scaling"),
    )
    if "critical.csv" in record.tables:
        yield Section("Critical sceptical priors", (TEXTS["sceptical"],), "critical.csv")
    if "beliefs.csv" in record.tables:
        left_out = ", ".join(record.without_belief)
        words = f"{TEXTS['alone']} Not shown, because no belief is about them: {left_out}."
        yield Section(
            "One odds ratio under each belief",
            (words if left_out else TEXTS["alone"],),
            "beliefs.csv",
        )
    figure = picture(SENSITIVITY, "prior_predictive")
    yield Section("Induced prior of every estimand", (TEXTS["induced"],), "", figure)


def _change_words(record: SensitivityAnalysis) -> Iterator[str]:
    base, count = record.base, len(record.fits)
    several = len(record.study.interpretations) > 1
    yield (
        f"The primary analysis is the ratio of odds ratios of each pair under {base.model} and "
        f"{in_words(base.priors)} priors{f', interpretation {base.interpretation}' * several}. One choice at a time "
        "is changed. Each prior set is a belief of moderate strength about the single effects, or about the "
        "interactions, with all else as in the default. A result with another co-treatment is marked in words."
    )
    crossing = (
        "" if record.is_crossed else ", one choice changed at a time; --depth full crosses them"
    )
    yield (
        f"{count} combinations of interpretation, model and priors were fitted{crossing}. All results are in "
        f"{MULTIVERSE}; mc_error is the standard error of a probability by the effective draws, and up to twice "
        "that where Pareto k nears 0.7."
    )
    if unreliable := int((record.fits.verdict == UNRELIABLE).sum()):
        yield (
            f"{unreliable} of them are unreliable (Pareto k of the weights, or modes found only once) and are "
            "listed there without numbers."
        )


def _grid_words(record: SensitivityAnalysis) -> Iterator[str]:
    crossing = (
        "Beliefs about both are crossed."
        if record.is_crossed
        else "Each is varied with the other at the default; --depth full crosses them."
    )
    yield f"{TEXTS['beliefs']} {crossing}"
    yield (
        f"{record.grid_sets} prior sets; all results are in grid.csv, and the range of each number is shown below. "
        "An odds ratio is conclusive where its 95% interval excludes 1, a probability of synergy at "
        f"{CONCLUSIVE} or above, or {1 - CONCLUSIVE:.3f} or below."
    )
    if record.base.model == "exchangeable":
        yield TEXTS["exchangeable"]


def unreliable_fits(fits: pd.DataFrame, untried: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Word which fits are unreliable, and where other priors were not fitted because of it.

    Parameters
    ----------
    fits
        A row per fit of the multiverse.
    untried
        Models and interpretations under which other priors were not fitted.
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
    """
    known = changes[changes.probability.notna()]
    is_aside = (known["what changes"] == INTERPRETATION) & known.to.isin(incompatible)
    moved = known[~known["is primary"] & ~is_aside & known.difference.notna()]
    if moved.empty:
        return ""
    most = moved.loc[moved.difference.abs().idxmax()]
    first = most.probability - most.difference
    conclusive = ((moved.probability >= CONCLUSIVE) | (moved.probability <= 1 - CONCLUSIVE)).sum()
    what, how = _change_in_words(most["what changes"], most.to)
    where = f" {most.words}" if most.words else ""
    aside = f"; {', '.join(incompatible)} left out, because the other reported estimates are incompatible with it"
    return (
        f"The probability of synergy changes most with {what}: for {_pair(most.pair)} it goes from "
        f"{share(first)} to {share(most.probability)} {how}{where}. Of {len(moved)} single changes, judged by the "
        f"ratio of odds ratios unless the scale changes, {conclusive or 'none'} "
        f"{'is' if conclusive < 2 else 'are'} conclusive{aside if is_aside.any() else ''}."
    )


def _change_in_words(choice: str, to: str) -> tuple[str, str]:
    """Word a choice and its new level."""
    if choice == SCALE:
        return "the scale of synergy", f"if judged as {to}"
    if choice == PRIORS:
        how = (
            f"with beliefs about {in_words(to)}"
            if is_belief(to)
            else f"under {in_words(to)} priors"
        )
        return CHOICES[choice], how
    return CHOICES[choice], f"under {to}"


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
    """
    rows = ranges[ranges.number == P_SYNERGY]
    if rows.empty:
        return ""
    which = (
        "beliefs about effects and about interactions crossed"
        if is_crossed
        else "one belief at a time, not crossed"
    )
    reliable = f"the {sets - unreliable} of {sets} prior sets with a reliable fit"
    spans = "; ".join(
        f"{_pair(row.of_pair)} {share(row.lowest)} to {share(row.highest)}"
        for row in rows.itertuples()
    )
    conclusive = "; ".join(
        f"{int(row.conclusive)} of {int(total)} ({row.of_pair})"
        for row, total in zip(rows.itertuples(), rows["prior sets"], strict=True)
        if row.conclusive
    )
    return (
        f"Over {reliable if unreliable else f'{sets} prior sets'} ({which}) the probability of synergy ranges: "
        f"{spans}; conclusive under {conclusive or 'none of them'}."
    )


def scaling_finding(table: pd.DataFrame) -> str:
    """Word the number of measures of synergy, one per family, that are more sensitive to the prior.

    Parameters
    ----------
    table
        Table of power scaling.
    """
    measures = table[table.measure.isin(representatives().values()) & table.probability.notna()]
    if measures.empty:
        return ""
    ratios = table[(table.measure == ODDS_RATIO) & (table.status == IDENTIFIED)]
    more, also = (int((rows.prior > rows.likelihood).sum()) for rows in (measures, ratios))
    identified = f", and {also} of the {len(ratios)} identified odds ratios" if len(ratios) else ""
    return (
        f"{more} of {len(measures)} measures of synergy, one per family, pair and co-treatment{identified} are more "
        "sensitive to the priors than to the evidence."
    )


def _pair(pair: str) -> str:
    """Write ``A:B`` as two treatments."""
    return pair.replace(":", " with ")
