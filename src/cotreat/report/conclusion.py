"""The conclusion of a reanalysis as a record of facts; `cotreat.report.lines` words it.

An assessment is of one pair of treatments on one scale. It is conclusive where its probability is at
least `cotreat.core.constants.CONCLUSIVE`, or at most the complement, by more than the Monte Carlo error.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import pandas as pd

from cotreat.core.constants import ANY, CONCLUSIVE, IDENTIFIED, IMPLIED, INCOMPATIBLE_BELOW
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
from cotreat.study.regimens import adds_one
from cotreat.study.study import NO_RISKS

Choice = tuple[str, str, str]
"""An interpretation, a model and a set of priors."""

KINDS = ("interpretation", "model", "priors")
"""What a choice is made of, in its order."""

"""The default belief in the grid of beliefs, as in `cotreat.sensitivity.belief_grid`, which loads PyMC."""

ERRORS = 2
"""A probability within so many Monte Carlo standard errors of a threshold is at the threshold."""

FOR = "conclusive for synergy"
AGAINST = "conclusive against synergy"
INCONCLUSIVE = "inconclusive"

ASSESSED = "assessed"
FAILED = "not assessed: diagnostics failed"
INCOMPATIBLE = "not assessed: interpretation incompatible with the other reported estimates"
NOT_ESTIMABLE = "not estimable"


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
    identified : bool
        Whether the evidence alone determines the measure.
    probability, prior_probability : float
        P(synergy) after and before the data.
    effective : float
        How many independent draws the probability is worth.
    """

    pair: str
    co_treatment: str
    stratum: str
    scale: str
    identified: bool
    probability: float
    prior_probability: float = math.nan
    effective: float = math.inf

    @property
    def place(self) -> tuple[str, str, str]:
        """Pair, co-treatment and subgroup."""
        return self.pair, self.co_treatment, self.stratum

    @property
    def is_at_threshold(self) -> bool:
        """Whether it lies within the Monte Carlo error of a threshold."""
        p = self.probability
        error = math.sqrt(p * (1 - p) / self.effective)
        return min(abs(p - CONCLUSIVE), abs(p - (1 - CONCLUSIVE))) < ERRORS * error

    @property
    def direction(self) -> str:
        """`FOR`, `AGAINST` or `INCONCLUSIVE`, whether or not the measure is identified."""
        if self.is_at_threshold or 1 - CONCLUSIVE < self.probability < CONCLUSIVE:
            return INCONCLUSIVE
        return FOR if self.probability >= CONCLUSIVE else AGAINST


@dataclass(frozen=True)
class Sensitivity:
    """An assessment under every other choice of interpretation, model and priors that allows it.

    Attributes
    ----------
    assessment : Assessment
        That of the primary analysis.
    supporting, opposing, inconclusive : int
        How many of the other choices identify the measure, and are conclusive for synergy, against it, or
        neither.
    not_identified : int
        How many assess the measure, but do not identify it.
    lowest, highest : float
        Range of P(synergy), that of the primary analysis included.
    differing : tuple of Choice
        Those that lead to another direction than the primary analysis.
    """

    assessment: Assessment
    supporting: int
    opposing: int
    inconclusive: int
    not_identified: int
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
        return self.supporting + self.opposing + self.inconclusive + self.not_identified

    @property
    def differs(self) -> bool:
        """Whether any of them leads to another direction."""
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
    log_evidence : float
        NaN where it is not known.
    is_unreliable : bool
        Whether its diagnostics failed.
    effective : float
        How many independent draws its probabilities are worth.
    """

    choice: Choice
    rows: pd.DataFrame
    log_evidence: float = math.nan
    is_unreliable: bool = False
    effective: float = math.inf


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
        """Whether an odds-based measure is conclusive where the risk-based one is not.

        RERI from odds ratios approximates RERI from risk ratios only where the outcome is rare.
        """
        by_scale = [{a.scale: a.direction for a in own} for own in by_pair(self.assessments)]
        return any(
            own.get(ODDS_ADDITIVE, INCONCLUSIVE) not in (INCONCLUSIVE, own.get(RISK_ADDITIVE))
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
    log_evidence: float = math.nan,
    effective: float = math.inf,
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
    log_evidence
        Of the primary analysis, to which that of other interpretations is compared.
    effective
        How many independent draws its probabilities are worth.
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
    found = assessments(summary, effective)
    if not found:
        return replace(shown, status=NOT_ESTIMABLE, reasons=(_why_not(rows, choice[1]),))
    usable = [one for one in others if not one.is_unreliable]
    aside = [one for one in usable if _is_incompatible(one, others, choice, log_evidence)]
    kept = [one for one in usable if one not in aside]
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


def assessments(summary: pd.DataFrame, effective: float = math.inf) -> list[Assessment]:
    """Return what a fit finds of each pair, on each scale, where the evidence determines most.

    Of a pair's co-treatments the one is taken under which most scales are identified, none if they are
    alike; one for each subgroup. Only identified scales are assessed where there are any.

    Parameters
    ----------
    summary
        Of a fit, as `cotreat.results.summary.summarise` returns it.
    effective
        How many independent draws the probabilities are worth.

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
            _assessed(str(pair), co_treatment, stratum, own, effective)
            for co_treatment, stratum in [*places.itertuples(index=False)] or [("", "")]
        ]
        for stratum in dict.fromkeys(one[0].stratum for one in sets):
            within = [one for one in sets if one[0].stratum == stratum]
            best: list[Assessment] = max(within, key=lambda one: (one[0].identified, len(one)))
            found += best
    return found


def _at(rows: pd.DataFrame, co_treatment: str, stratum: str) -> pd.DataFrame:
    """Select the rows of a co-treatment and subgroup, with those that hold for any."""
    is_same = (rows.co_treatment == co_treatment) & (rows.stratum == stratum)
    return rows[is_same | (rows.co_treatment == ANY)]


def _assessed(
    pair: str, co_treatment: str, stratum: str, rows: pd.DataFrame, effective: float
) -> list[Assessment]:
    rows = _at(rows, co_treatment, stratum)
    is_identified = rows.status == IDENTIFIED
    used = rows[is_identified] if is_identified.any() else rows
    return [
        Assessment(
            pair,
            co_treatment,
            stratum,
            row.scale,
            row.status == IDENTIFIED,
            float(row.probability),
            float(row.prior_probability),
            effective,
        )
        for row in used.drop_duplicates("scale").itertuples()
    ]


# --- Other choices ---------------------------------------------------------------------------------


def _under(other: Alternative, one: Assessment) -> Assessment | None:
    """Return the same assessment under another choice; None where it has none."""
    rows = other.rows[other.rows.probability.notna()]
    rows = rows[(rows.measure == representatives()[one.scale]) & (rows.pair == one.pair)]
    rows = _at(rows, one.co_treatment, one.stratum)
    if rows.empty:
        return None
    identified, probability = rows.status.iloc[0] == IDENTIFIED, float(rows.probability.iloc[0])
    return replace(one, identified=identified, probability=probability, effective=other.effective)


def _sensitivity(own: Assessment, others: Sequence[Alternative]) -> Sensitivity:
    """Compare an assessment with those under other choices.

    A direction that is not identified can take back one that is, but makes none.
    """
    found = [(other.choice, one) for other in others if (one := _under(other, own))]
    directions = [one.direction for _, one in found if one.identified]
    values = [own.probability, *(one.probability for _, one in found)]
    return Sensitivity(
        own,
        directions.count(FOR),
        directions.count(AGAINST),
        directions.count(INCONCLUSIVE),
        len(found) - len(directions),
        min(values),
        max(values),
        tuple(
            choice
            for choice, one in found
            if (own.identified or one.identified) and one.direction != own.direction
        ),
    )


def _is_incompatible(
    other: Alternative, others: Sequence[Alternative], primary: Choice, log_evidence: float
) -> bool:
    """Whether an interpretation's evidence is far below the primary one's, all else alike."""
    interpretation, *rest = other.choice
    if interpretation == primary[0]:
        return False
    alike = [one.log_evidence for one in others if one.choice == (primary[0], *rest)]
    if tuple(rest) == primary[1:]:
        alike.append(log_evidence)
    return any(other.log_evidence - default < -INCOMPATIBLE_BELOW for default in alike)


def alternatives_of(multiverse: pd.DataFrame, effective: float = math.inf) -> list[Alternative]:
    """Return the choices of a table with the columns of `cotreat.results.supplementary.MULTIVERSE_COLUMNS`.

    Parameters
    ----------
    multiverse
        The table.
    effective
        How many independent draws its probabilities are worth.

    Returns
    -------
    list of Alternative
        One per interpretation, model and prior set.
    """
    return [
        Alternative(
            (str(interpretation), str(model), str(priors)),
            rows,
            float(rows.log_evidence.astype(float).max()),
            is_unreliable=bool((rows.verdict == UNRELIABLE).any()),
            effective=effective,
        )
        for (interpretation, model, priors), rows in multiverse.groupby(list(KINDS), sort=False)
    ]


def beliefs_of_grid(
    grid: pd.DataFrame, interpretation: str, model: str, effective: float = math.inf
) -> list[Alternative]:
    """Return the prior sets of a table with the columns of ``cotreat.sensitivity.belief_grid.COLUMNS``.

    They assess the ratio of odds ratios alone, which is the same for every co-treatment.

    Parameters
    ----------
    grid
        The table.
    interpretation, model
        Of the primary analysis.
    effective
        How many independent draws its probabilities are worth.

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
    rows = grid.assign(co_treatment=ANY, stratum="", log_evidence=math.nan, priors=names)
    rows = rows.assign(interpretation=interpretation, model=model)
    return alternatives_of(rows[ratios | (rows.verdict == UNRELIABLE)], effective)
