"""Wording of a bias analysis: E-values, plausible confounding, tipping points, immortal time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from cotreat.bias.records import COMBINED_SD, PRODUCT_SD, SINGLE_SD, standing, within
from cotreat.core.constants import IDENTIFIED
from cotreat.plots import BIAS, picture
from cotreat.report.caveats import OF_DURATION, of_sequences
from cotreat.results.summary import REPORTED
from cotreat.results.supplementary import MOST_FINDINGS, Analysis, Section, versions
from cotreat.study.study import DURATION, Study

if TYPE_CHECKING:
    import pandas as pd

    from cotreat.bias.records import BiasAnalysis

RANDOMISED = (
    "Treatment was assigned at random. E-values, confounding in the posterior and tipping points concern an "
    "unmeasured common cause of treatment and outcome, which randomisation excludes; they are not shown. Other "
    "biases of a trial (loss to follow-up, non-adherence, lack of blinding) cannot be assessed from these counts."
)
E_VALUES = (
    "An E-value is the least strength, as a risk ratio, that an unmeasured confounder must have with both treatment "
    "and outcome, conditional on what is adjusted for, to explain an estimate away (VanderWeele & Ding 2017). "
    "e_value is that of the estimate, e_value_limit that of the limit of the interval nearer the null, 1 where "
    "the interval includes it. as_risk_ratio is the number that was used as risk ratio, from its derivation. "
    "The E-value is a bound for one confounder and one comparison, not a measure of how likely one is."
)
CASE_CONTROL = (
    "The sampling of a case-control study fixes the share of cases, so that no risk is identified. Each "
    "odds ratio has two E-values: if the outcome is rare where the cases come from (the odds ratio is then "
    "nearly the risk ratio), and if it is common (its square root is); these data cannot show which."
)
CONFOUNDING = (
    "Unmeasured confounding as part of the model: the evidence informs log odds that each treatment and each pair "
    "has shifted by a bias; risks, odds ratios and measures are those without the biases. The evidence cannot "
    "separate a bias from an effect, so that the bias has its prior (confounding_priors.csv) as posterior, and "
    "intervals widen. Rows with confounding none are the model without bias, rows with plausible the model with "
    "it. Identification is that of the biased quantity: the step from there to the effect depends on the prior of "
    "the bias alone. Model {model}; with bias by Laplace's approximation."
)
TIPPING = (
    "The known bias that would overturn each conclusion: single_factor if every treatment's odds ratio were "
    "multiplied by it in the evidence, and no pair's; product_factor if every pair's ratio of odds ratios were, "
    "and no treatment's. Where a factor is missing, none between 1/3 and 3 (a pair's: 1/2 and 2) overturns it. "
    "Each factor is divided out of the posterior draws. The whole surface is in tipping.csv."
)


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
        yield Section("Unmeasured confounding", (RANDOMISED,))
        return
    words = (E_VALUES, CASE_CONTROL) if record.study.is_case_control else (E_VALUES,)
    yield Section("E-values of odds ratios", words, "e_values.csv")
    if record.surfaces:
        stated = (CONFOUNDING.format(model=record.model),)
        yield Section("Confounding in the posterior", stated, "confounding.csv")
        yield Section("Tipping points", (TIPPING,), "tipping_points.csv", picture(BIAS, "tipping"))


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
