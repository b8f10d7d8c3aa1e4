"""The conclusion of a reanalysis as a record of facts; `cotreat.report.lines` words it.

An assessment is of one pair of treatments on one scale, with its verdict (`cotreat.results.verdict`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pandas as pd

from cotreat.core.constants import ANY, CONCLUSIVE, IDENTIFIED, IMPLIED, NOT_ESTIMABLE
from cotreat.estimands.estimand import ODDS_RATIO
from cotreat.estimands.measures import (
    APART,
    LOG_ODDS,
    ODDS_ADDITIVE,
    RISK_ADDITIVE,
    representatives,
)
from cotreat.priors.belief_grid import MARK, grid_name, is_marked
from cotreat.report.question import Question
from cotreat.results.summary import POSTERIOR
from cotreat.results.supplementary import UNRELIABLE
from cotreat.results.verdict import (
    SUPPORTED,
    Finding,
    Verdict,
    verdict_of,
)
from cotreat.study.regimens import adds_one
from cotreat.study.study import NO_RISKS

Choice = tuple[str, str, str]
"""An interpretation, a model and a set of priors."""

KINDS = ("interpretation", "model", "priors")
"""What a choice is made of, in its order."""

"""The default belief in the grid of beliefs, as in `cotreat.sensitivity.belief_grid`, which loads PyMC."""

ASSESSED = "assessed"
FAILED = "not assessed: diagnostics failed"
INCOMPATIBLE = "not assessed: interpretation incompatible with the other reported estimates"


# --- Records ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reported:
    """A number of the paper.

    Attributes
    ----------
    kind : str
        Such as ``odds ratio``.
    subject : str
        Contrast that it refers to.
    value : str
        The number with its interval.
    """

    kind: str
    subject: str
    value: str


@dataclass(frozen=True)
class Comparison:
    """A conclusive, identified odds ratio of a regimen against the same without one treatment.

    Attributes
    ----------
    contrast : str
        Such as ``A+B vs B``.
    estimate, lower, upper : float
        Posterior median and limits of the 95% credible interval.
    """

    contrast: str
    estimate: float
    lower: float
    upper: float


@dataclass(frozen=True)
class Assessment:
    """What an analysis finds of the synergy of one pair on one scale.

    Attributes
    ----------
    pair : str
        Label of the two treatments, ``A:B``.
    co_treatment, stratum : str
        Other treatments given to both sides, and the subgroup; empty for none.
    scale : str
        Reference model of no interaction, an entry of `cotreat.estimands.measures.representatives`.
    finding : Finding
        Identification and probabilities.
    prior_probability : float
        P(synergy) before the data.
    margin : str
        Limits of the margin, and whether it is the default; empty for none.
    rivals : tuple of Finding
        The same under other interpretations with which the reported estimates are compatible.
    """

    pair: str
    co_treatment: str
    stratum: str
    scale: str
    finding: Finding
    prior_probability: float = float("nan")
    margin: str = ""
    rivals: tuple[Finding, ...] = ()

    @property
    def place(self) -> tuple[str, str, str]:
        """Pair, co-treatment and subgroup."""
        return self.pair, self.co_treatment, self.stratum

    @property
    def identified(self) -> bool:
        """Whether the evidence alone determines the measure."""
        return self.finding.status == IDENTIFIED

    @property
    def probability(self) -> float:
        """P(synergy)."""
        return self.finding.probability

    @cached_property
    def verdict(self) -> Verdict:
        """The verdict, over the interpretations."""
        return verdict_of(self.finding, self.rivals)

    @property
    def result(self) -> str:
        """Name and direction of the verdict that the numbers lead to, whether or not the measure is identified."""
        own = verdict_of(self.finding)
        return (own.shown_with or own).short


@dataclass(frozen=True)
class Sensitivity:
    """An assessment under every other choice of interpretation, model and priors that allows it.

    Attributes
    ----------
    assessment : Assessment
        That of the primary analysis.
    counts : mapping of int
        How many of the other choices lead to each verdict, by its name and direction.
    lowest, highest : float
        Range of P(synergy), that of the primary analysis included.
    differing : tuple of Choice
        Those that lead to another verdict than the primary analysis.
    """

    assessment: Assessment
    counts: Mapping[str, int]
    lowest: float
    highest: float
    differing: tuple[Choice, ...]

    @property
    def place(self) -> tuple[str, str, str]:
        """Pair, co-treatment and subgroup."""
        return self.assessment.place

    @property
    def alternatives(self) -> int:
        """The one denominator: choices that assess this pair on this scale."""
        return sum(self.counts.values())

    @property
    def differs(self) -> bool:
        """Whether any of them leads to another verdict."""
        return bool(self.differing)


def by_pair[One: (Assessment, Sensitivity)](found: Iterable[One]) -> list[list[One]]:
    """Group assessments by pair, co-treatment and subgroup.

    Parameters
    ----------
    found
        Assessments, or their sensitivities.

    Returns
    -------
    list of list
        In the order of their first entries.
    """
    pairs: dict[tuple[str, str, str], list[One]] = {}
    for one in found:
        pairs.setdefault(one.place, []).append(one)
    return list(pairs.values())


@dataclass(frozen=True)
class Alternative:
    """The posterior rows of another choice of interpretation, model and priors.

    Attributes
    ----------
    choice : Choice
        Interpretation, model and priors.
    rows : pandas.DataFrame
        Rows of a summary, or of a table with its columns.
    is_unreliable : bool
        Whether its diagnostics failed.
    """

    choice: Choice
    rows: pd.DataFrame
    is_unreliable: bool = False


@dataclass(frozen=True)
class Conclusion:
    """What a study and its reanalysis show, as facts.

    Attributes
    ----------
    question : Question
        The facts of the study that it refers to.
    choice : Choice
        Interpretation, model and priors of the primary analysis.
    status : str
        `ASSESSED`, `FAILED`, `INCOMPATIBLE` or `NOT_ESTIMABLE`; only the first has assessments.
    reasons : tuple of str
        Why it is not assessed.
    reported : tuple of Reported
        What the paper reports.
    comparisons : tuple of Comparison
        Conclusive identified comparisons.
    better_than_either : tuple of (str, float)
        Pairs conclusively better than the better single treatment, with the probability.
    sensitivity : tuple of Sensitivity
        One for each assessment.
    unusable : int
        Other choices whose diagnostics failed.
    not_comparable : tuple of Choice
        Other choices that assess none of these pairs.
    incompatible : tuple of str
        Interpretations set aside because the other reported estimates are incompatible with them.
    cautions : tuple of str
        Checks that advise caution.
    rival_interpretations : bool
        Whether several interpretations were analysed.
    """

    question: Question
    choice: Choice
    status: str
    reasons: tuple[str, ...] = ()
    reported: tuple[Reported, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    better_than_either: tuple[tuple[str, float], ...] = ()
    sensitivity: tuple[Sensitivity, ...] = ()
    unusable: int = 0
    not_comparable: tuple[Choice, ...] = ()
    incompatible: tuple[str, ...] = ()
    cautions: tuple[str, ...] = ()
    rival_interpretations: bool = False

    @property
    def assessments(self) -> tuple[Assessment, ...]:
        """The primary analysis of each pair on each scale."""
        return tuple(one.assessment for one in self.sensitivity)

    @property
    def rests_on_rare_outcome(self) -> bool:
        """Whether an odds-based measure is supported where the risk-based one is not.

        RERI from odds ratios approximates RERI from risk ratios only where the outcome is rare.
        """
        by_scale = [{a.scale: a.verdict for a in own} for own in by_pair(self.assessments)]
        return any(
            (odds := own.get(ODDS_ADDITIVE)) is not None
            and odds.name == SUPPORTED
            and ((risks := own.get(RISK_ADDITIVE)) is None or risks.short != odds.short)
            for own in by_scale
        )


# --- Making it -------------------------------------------------------------------------------------


def conclude(
    question: Question,
    summary: pd.DataFrame,
    *,
    reported: Iterable[Reported] = (),
    failed: Sequence[str] = (),
    cautions: Sequence[str] = (),
    incompatibility: str = "",
    incompatible: Collection[str] = (),
    alternatives: Iterable[Alternative] = (),
) -> Conclusion:
    """Return the conclusion of a reanalysis.

    Parameters
    ----------
    question
        What the study asks.
    summary
        Of the primary analysis, as `cotreat.results.summary.summarise` returns it.
    reported
        The numbers of the paper.
    failed, cautions
        Failed checks and cautions of the primary analysis, as `cotreat.diagnostics.checks` words them.
    incompatibility
        Why its interpretation is incompatible with other reported estimates; empty if it is not.
    incompatible
        Other interpretations with which the other reported estimates are incompatible.
    alternatives
        Other choices of interpretation, model and priors.

    Returns
    -------
    Conclusion
    """
    choice = (summary.interpretation.iloc[0], summary.model.iloc[0], summary.priors.iloc[0])
    others = [one for one in alternatives if one.choice != choice]
    bare = Conclusion(
        question,
        choice,
        ASSESSED,
        reported=tuple(reported),
        cautions=_names(cautions, ","),
        rival_interpretations=any(one.choice[0] != choice[0] for one in others),
    )
    if failed:
        return replace(bare, status=FAILED, reasons=_names(failed))
    if incompatibility:
        return replace(bare, status=INCOMPATIBLE, reasons=(incompatibility,))
    rows = summary[summary.estimator == POSTERIOR]
    shown = replace(bare, comparisons=tuple(_comparisons(rows)))
    found = assessments(summary)
    if not found:
        return replace(shown, status=NOT_ESTIMABLE, reasons=(_why_not(rows, choice[1]),))
    usable = [one for one in others if not one.is_unreliable]
    aside = [one for one in usable if one.choice[0] in incompatible]
    kept = [one for one in usable if one not in aside]
    found = [replace(own, rivals=tuple(_rivals(own, kept, choice))) for own in found]
    return replace(
        shown,
        better_than_either=tuple(_better(rows, found)),
        sensitivity=tuple(_sensitivity(own, kept) for own in found),
        unusable=len(others) - len(usable),
        not_comparable=tuple(o.choice for o in kept if not any(_under(o, own) for own in found)),
        incompatible=tuple(dict.fromkeys(one.choice[0] for one in aside)),
    )


def _names(lines: Sequence[str], end: str = ":") -> tuple[str, ...]:
    """Return the names of checks, without what was found."""
    return tuple(dict.fromkeys(line.partition(":")[0].partition(end)[0] for line in lines))


def _why_not(rows: pd.DataFrame, model: str) -> str:
    asked = rows[rows.measure.isin(representatives().values())]
    if (asked.status == IMPLIED).any():
        return f"the model {model} has no interaction and assumes what is asked"
    if asked.reason.isin(NO_RISKS).any():
        return "the design does not identify risks"
    return "no measure of synergy is defined for this evidence"


def _comparisons(rows: pd.DataFrame) -> Iterator[Comparison]:
    own = rows[
        (rows.measure == ODDS_RATIO) & (rows.status == IDENTIFIED) & rows.probability.notna()
    ]
    for row in own[own.threshold.isna() & (own.judged_on == "event")].itertuples():
        arm, _, against = row.contrast.partition(" vs ")
        if 1 - CONCLUSIVE < row.probability < CONCLUSIVE:
            continue
        if against.startswith("not ") or adds_one(arm, against):
            yield Comparison(row.contrast, row.estimate, row.lower, row.upper)


def _better(rows: pd.DataFrame, found: Sequence[Assessment]) -> Iterator[tuple[str, float]]:
    """Find the pairs that are better than the better single treatment, which is not synergy."""
    assessed = {one.place for one in found}
    own = rows[
        (rows.scale == APART) & (rows.status == IDENTIFIED) & (rows.probability >= CONCLUSIVE)
    ]
    for row in own.itertuples():
        if (row.pair, row.co_treatment, row.stratum) in assessed:
            yield row.pair, float(row.probability)


# --- Assessments -----------------------------------------------------------------------------------


def assessments(summary: pd.DataFrame) -> list[Assessment]:
    """Return what a fit finds of each pair, on each scale, where the evidence determines most.

    Of a pair's co-treatments the one is taken under which most scales are identified, none if they are
    alike; one for each subgroup. Each scale has its own identification.

    Parameters
    ----------
    summary
        Of a fit, as `cotreat.results.summary.summarise` returns it.

    Returns
    -------
    list of Assessment
    """
    rows = summary[(summary.estimator == POSTERIOR) & summary.probability.notna()]
    rows = rows[rows.measure.isin(representatives().values())]
    found: list[Assessment] = []
    for pair, own in rows.groupby("pair", sort=False):
        places = own.loc[own.co_treatment != ANY, ["co_treatment", "stratum"]].drop_duplicates()
        sets = [
            _assessed(str(pair), co_treatment, stratum, own)
            for co_treatment, stratum in [*places.itertuples(index=False)] or [("", "")]
        ]
        for stratum in dict.fromkeys(one[0].stratum for one in sets):
            within = [one for one in sets if one[0].stratum == stratum]
            best: list[Assessment] = max(
                within, key=lambda one: (sum(scale.identified for scale in one), len(one))
            )
            found += best
    return found


def _at(rows: pd.DataFrame, co_treatment: str, stratum: str) -> pd.DataFrame:
    """Select the rows of a co-treatment and subgroup, with those that hold for any."""
    is_same = (rows.co_treatment == co_treatment) & (rows.stratum == stratum)
    return rows[is_same | (rows.co_treatment == ANY)]


def _assessed(pair: str, co_treatment: str, stratum: str, rows: pd.DataFrame) -> list[Assessment]:
    return [
        Assessment(
            pair,
            co_treatment,
            stratum,
            row.scale,
            Finding.of(row),
            float(row.prior_probability),
            _margin(row),
        )
        for row in _at(rows, co_treatment, stratum).drop_duplicates("scale").itertuples()
    ]


def _margin(row: Any) -> str:
    """Write a row's margin, and whether it is the default; empty for none."""
    lower, upper = (getattr(row, f"margin_{end}", float("nan")) for end in ("lower", "upper"))
    return "" if pd.isna(lower) else f"{lower:.3g} to {upper:.3g} ({row.margin})"


# --- Other choices ---------------------------------------------------------------------------------


def _under(other: Alternative, one: Assessment) -> Assessment | None:
    """Return the same assessment under another choice; None where it has none."""
    rows = other.rows[other.rows.probability.notna()]
    rows = rows[(rows.measure == representatives()[one.scale]) & (rows.pair == one.pair)]
    rows = _at(rows, one.co_treatment, one.stratum)
    if rows.empty:
        return None
    return replace(one, finding=Finding.of(next(rows.itertuples())), rivals=())


def _rivals(own: Assessment, others: Sequence[Alternative], primary: Choice) -> Iterator[Finding]:
    """Yield the same assessment under other interpretations, all else alike."""
    for other in others:
        is_rival = other.choice[0] != primary[0] and other.choice[1:] == primary[1:]
        if is_rival and (one := _under(other, own)):
            yield one.finding


def _sensitivity(own: Assessment, others: Sequence[Alternative]) -> Sensitivity:
    """Compare an assessment with those under other choices.

    A verdict that is not identified can differ from one that is, but not from another that is not.
    """
    found = [(other.choice, one) for other in others if (one := _under(other, own))]
    values = [own.probability, *(one.probability for _, one in found)]
    return Sensitivity(
        own,
        Counter(one.verdict.short for _, one in found),
        min(values),
        max(values),
        tuple(
            choice
            for choice, one in found
            if (own.identified or one.identified) and one.result != own.result
        ),
    )


def alternatives_of(multiverse: pd.DataFrame) -> list[Alternative]:
    """Return the choices of a table with the columns of `cotreat.results.supplementary.MULTIVERSE_COLUMNS`.

    Parameters
    ----------
    multiverse
        The table.

    Returns
    -------
    list of Alternative
        One per interpretation, model and prior set.
    """
    return [
        Alternative(
            (str(interpretation), str(model), str(priors)),
            rows,
            is_unreliable=bool((rows.verdict == UNRELIABLE).any()),
        )
        for (interpretation, model, priors), rows in multiverse.groupby(list(KINDS), sort=False)
    ]


def beliefs_of_grid(grid: pd.DataFrame, interpretation: str, model: str) -> list[Alternative]:
    """Return the prior sets of a table with the columns of ``cotreat.sensitivity.belief_grid.COLUMNS``.

    They assess the ratio of odds ratios alone, which is the same for every co-treatment.

    Parameters
    ----------
    grid
        The table.
    interpretation, model
        Of the primary analysis.

    Returns
    -------
    list of Alternative
        One per prior set.
    """
    names = [
        grid_name(
            "" if is_marked(effects) else effects,
            "" if is_marked(interactions) else interactions,
            effects.removesuffix(MARK),
        )
        for effects, interactions in zip(grid.effects, grid.interactions, strict=True)
    ]
    ratios = grid.measure == representatives()[LOG_ODDS]
    rows = grid.assign(co_treatment=ANY, stratum="", priors=names)
    rows = rows.assign(interpretation=interpretation, model=model)
    return alternatives_of(rows[ratios | (rows.verdict == UNRELIABLE)])
