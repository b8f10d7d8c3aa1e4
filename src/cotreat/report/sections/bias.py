"""Wording of a bias analysis: E-values, plausible confounding, tipping points, immortal time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cotreat.bias.records import COMBINED_SD, PRODUCT_SD, SINGLE_SD, standing, within
from cotreat.core.constants import IDENTIFIED
from cotreat.plots import BIAS
from cotreat.report.caveats import OF_DURATION, of_sequences
from cotreat.report.sections import analysis_of, section, text
from cotreat.results.summary import REPORTED
from cotreat.results.supplementary import Analysis, Section
from cotreat.study.study import DURATION

if TYPE_CHECKING:
    import pandas as pd

    from cotreat.bias.records import BiasAnalysis


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
    analysis = analysis_of(
        BIAS,
        record,
        _findings(record),
        _sections(record),
        ["plausible confounding: the fit is unreliable"] * record.is_unreliable,
        model=record.model,
        priors=record.priors,
        engine=record.engine,
    )
    return analysis, dict(record.tables)


def _sections(record: BiasAnalysis) -> Iterator[Section]:
    study = record.study
    if study.is_randomised:
        yield section(BIAS, "randomised")
    else:
        if study.randomised:
            yield section(BIAS, "partly_randomised", randomised=study.randomised)
        yield section(BIAS, "e_values", is_case_control=study.is_case_control)
        if record.surfaces:
            yield section(BIAS, "confounding", model=record.model)
            yield section(BIAS, "tipping")
    lines = [caveat.text for caveat in of_sequences(study)]
    if any(one.id == DURATION for one in study.stratifications):
        lines.append(f"Model duration: {OF_DURATION.text}")
    if lines:
        yield section(BIAS, "immortal_time", lines=lines)


def _findings(record: BiasAnalysis) -> Iterator[str]:
    study = record.study
    if study.is_randomised:
        yield text(BIAS, "randomised_finding")
    else:
        yield from _e_value_finding(record.tables["e_values.csv"])
        yield from _surface_finding(record)
    if list(of_sequences(study)):
        yield text(BIAS, "sequences", sequential=study.sequential)


def _e_value_finding(ratios: pd.DataFrame) -> Iterator[str]:
    """Word the smallest E-value among odds ratios whose interval excludes 1."""
    conclusive = ratios[(ratios.status == IDENTIFIED) & (ratios.e_value_limit > 1)]
    posterior = conclusive[conclusive.source != REPORTED]
    conclusive = posterior if len(posterior) else conclusive
    if len(conclusive):
        row = conclusive.loc[conclusive.e_value_limit.idxmin()]
        assumed = f", {row['from'].partition(', ')[2]}" if "if the" in row["from"] else ""
        yield text(BIAS, "smallest", number=len(conclusive), row=row, assumed=assumed)


def _surface_finding(record: BiasAnalysis) -> Iterator[str]:
    """Word which conclusive results remain so under plausible confounding."""
    conclusive = [one for one in record.surfaces if one.is_conclusive]
    fitted = [one for one in conclusive if one.plausible]
    remaining = [o for o in fitted if standing(o.plausible["probability"]) == o.standing]
    if record.surfaces and not conclusive:
        yield text(BIAS, "none_conclusive")
    if fitted:
        sds = {"single": SINGLE_SD, "product": PRODUCT_SD, "combined": COMBINED_SD}
        factors = {name: within(sd) for name, sd in sds.items()}
        yield text(BIAS, "plausible", fitted=fitted, remaining=remaining, **factors)
