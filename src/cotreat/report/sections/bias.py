"""Wording of a bias analysis: E-values, plausible confounding, tipping points, immortal time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cotreat.bias.records import COMBINED_SD, PRODUCT_SD, SINGLE_SD, standing, within
from cotreat.core.constants import IDENTIFIED
from cotreat.plots import BIAS, picture
from cotreat.report import sections
from cotreat.report.caveats import OF_DURATION, of_sequences
from cotreat.results.summary import REPORTED
from cotreat.results.supplementary import MOST_FINDINGS, Analysis, Section, versions
from cotreat.study.study import DURATION, Study

if TYPE_CHECKING:
    import pandas as pd

    from cotreat.bias.records import BiasAnalysis

TEXTS = sections.TEXTS["bias"]


def worded(record: BiasAnalysis) -> tuple[Analysis, dict[str, pd.DataFrame]]:
    """Word a bias analysis.

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
    study = record.study
    sequences = [caveat.text for caveat in of_sequences(study)]
    findings = [*_design_findings(record), *_sequence_findings(study, sequences)]
    if any(one.id == DURATION for one in study.stratifications):
        sequences.append(f"Model duration: {OF_DURATION.text}")
    sections = [*_confounding(record)]
    if sequences:
        sections.append(Section("Immortal time", tuple(sequences)))
    failed = ["plausible confounding: the fit is unreliable"] * record.is_unreliable
    analysis = Analysis(
        "Bias",
        study.digest,
        record.seed,
        tuple(findings[:MOST_FINDINGS]),
        tuple(sections),
        tuple(failed),
        settings={
            "depth": record.depth,
            "model": record.model,
            "priors": record.priors,
            "interpretation": study.interpretation,
            "engine": record.engine,
        },
        versions=versions("pymc", "arviz", "jax", "numpy", "scipy"),
    )
    return analysis, dict(record.tables)


def _confounding(record: BiasAnalysis) -> Iterator[Section]:
    if record.study.design == "randomised":
        yield Section("Unmeasured confounding", (TEXTS["randomised"],))
        return
    words = (
        (TEXTS["e_values"], TEXTS["case_control"])
        if record.study.is_case_control
        else (TEXTS["e_values"],)
    )
    yield Section("E-values of odds ratios", words, "e_values.csv")
    if record.surfaces:
        stated = (TEXTS["confounding"].format(model=record.model),)
        yield Section("Confounding in the posterior", stated, "confounding.csv")
        yield Section(
            "Tipping points", (TEXTS["tipping"],), "tipping_points.csv", picture(BIAS, "tipping")
        )


def _design_findings(record: BiasAnalysis) -> Iterator[str]:
    if record.study.design == "randomised":
        yield f"{record.study.id} was randomised: there is no confounding by treatment assignment."
        return
    yield from _e_value_finding(record.tables["e_values.csv"])
    yield from _surface_finding(record)


def _e_value_finding(ratios: pd.DataFrame) -> Iterator[str]:
    """Word the smallest E-value among odds ratios whose interval excludes 1."""
    conclusive = ratios[(ratios.status == IDENTIFIED) & (ratios.e_value_limit > 1)]
    posterior = conclusive[conclusive.source != REPORTED]
    conclusive = posterior if len(posterior) else conclusive
    if conclusive.empty:
        return
    row = conclusive.loc[conclusive.e_value_limit.idxmin()]
    assumed = f", {row['from'].partition(', ')[2]}" if "if the" in row["from"] else ""
    yield (
        f"Of {len(conclusive)} E-values of odds ratios whose interval excludes 1, the smallest is that of "
        f"{row.contrast}: a confounder associated with both treatment and outcome by a risk ratio of "
        f"{row.e_value:.2f} could explain the estimate away, one of {row.e_value_limit:.2f} could move the "
        f"interval to 1{assumed}."
    )


def _surface_finding(record: BiasAnalysis) -> Iterator[str]:
    """Word which conclusive results remain so under plausible confounding."""
    if not record.surfaces:
        return
    conclusive = [one for one in record.surfaces if one.is_conclusive]
    if not conclusive:
        yield "No result is conclusive even without confounding."
        return
    fitted = [one for one in conclusive if one.plausible]
    remaining = [o for o in fitted if standing(o.plausible["probability"]) == o.standing]
    if fitted:
        yield (
            f"Of {len(fitted)} results that are conclusive without confounding, {len(remaining)} "
            f"{'remains' if len(remaining) == 1 else 'remain'} conclusive under plausible confounding, with 95% of "
            f"each treatment's bias within a factor of {within(SINGLE_SD):.2g} either way, of each pair's within "
            f"{within(PRODUCT_SD):.2g} and, both together, of a combination's against the same without one "
            f"treatment within {within(COMBINED_SD):.2g}"
            + (f" ({', '.join(one.label for one in remaining)})." if remaining else ".")
        )


def _sequence_findings(study: Study, caveats: list[str]) -> Iterator[str]:
    if caveats:
        pairs = " and ".join(" with ".join(one.treatments) for one in study.sequential)
        yield (
            f"Combinations of {pairs} were given one after the other to some or all patients: their estimates are "
            "subject to immortal-time bias."
        )
