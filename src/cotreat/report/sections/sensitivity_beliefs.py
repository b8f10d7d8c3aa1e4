"""What is believed beforehand: the grid, how sceptical one must be, and one odds ratio by itself."""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd

from cotreat.core.constants import DECIDED, FULL
from cotreat.headline import share
from cotreat.inference import laplace
from cotreat.priors.sets import pairs_sd
from cotreat.results.supplementary import Section
from cotreat.sensitivity import belief_grid, multiverse, reverse_bayes
from cotreat.sensitivity.fits import Piece, Plan, Work, pair_in_words, sds_of, with_sd
from cotreat.sensitivity.reverse_bayes import SD
from cotreat.study.study import Study


def grid_of(work: Work, plan: Plan) -> Piece:
    """Every belief of every strength about effects and about interactions."""
    from cotreat.plots import belief_grid as plot

    wanted = plan.grid
    table = belief_grid.table_of(work.table(wanted), work.study)
    bad = belief_grid.bad(table)
    if bad == len(wanted):
        return Piece((), {}, failed=(f"grid of beliefs: none of {bad} fits can be trusted",))
    ranges = belief_grid.ranges(table)
    words = [
        "Pessimistic, neutral and optimistic beliefs, each weak, moderate and strong (Zampieri et al. 2021): "
        "about every treatment's effect, with an expected odds ratio of 2, and about every interaction, with "
        "an expected ratio of odds ratios of 1.41, half of it on the log scale. An optimist expects what is "
        "good, or, of exposures, what is asked about."
        + (
            " Beliefs about both are crossed."
            if plan.is_crossed
            else " Each is tried with the other left at the default; --depth full crosses them."
        ),
        f"{len(wanted)} prior sets; all answers are in grid.csv, and how far each number moves below. An "
        "odds ratio is decided where its 95% interval leaves out 1, a probability of synergy at "
        f"{DECIDED} or above, or {1 - DECIDED:.3f} or below.",
    ]
    if work.model.name == "exchangeable":
        words.append(
            "Of pairs that are relatives the belief is about each pair too: its ratio has the mean and the SD "
            "of the belief, shared between the mean of all pairs and how far each is from it as in the default. "
            "That is no normal law but one with longer tails, so that less of it lies beyond the null than of the "
            "belief by itself; prior_probability has what does."
        )
    return Piece(
        (Section("Every belief beforehand", tuple(words), "grid_ranges.csv", plot.PICTURE),),
        {"grid.csv": table, "grid_ranges.csv": ranges},
        {plot.PICTURE.name: lambda: plot.draw(table, work.study)},
        grid_finding(ranges, len(wanted), bad, is_crossed=plan.is_crossed),
        (f"{bad} of {len(wanted)} prior sets of the grid: fit not trusted",) if bad else (),
    )


def grid_finding(ranges: pd.DataFrame, sets: int, bad: int, *, is_crossed: bool) -> str:
    """Say over which prior sets the probability of synergy runs how far."""
    own = ranges[ranges.number == "P(synergy)"]
    if own.empty:
        return ""
    which = (
        "beliefs about effects and about interactions crossed"
        if is_crossed
        else "one belief at a time, not crossed"
    )
    fitted = (
        f"the {sets - bad} of {sets} prior sets that could be fitted"
        if bad
        else f"{sets} prior sets"
    )
    told = "; ".join(
        f"{pair_in_words(row.of_pair)} {share(row.lowest)} to {share(row.highest)}"
        for row in own.itertuples()
    )
    decided = [
        f"{int(row[1])} of {int(row[0])} ({row[2]})"
        for row in own[["prior sets", "that decide", "of_pair"]].itertuples(index=False)
        if row[1]
    ]
    end = f"decided under {'; '.join(decided)}" if decided else "decided under none of them"
    return f"Over {fitted} ({which}) the probability of synergy runs: {told}; {end}."


# --- How sceptical of interactions ---------------------------------------------------------------------

CURVE = "critical_sd_curve.csv"


def critical_sds_of(work: Work, depth: str, thresholds: Sequence[float]) -> Piece:
    """Find the prior SD at which each interaction falls below a threshold."""
    from cotreat.plots import critical_sd as plot

    def probabilities(sds: Sequence[float]) -> list[dict[str, float]]:
        work.answers([with_sd(work, sd) for sd in sds])  # all in one batch
        return [{row["pair"]: row["probability"] for row in _at(work, sd)} for sd in sds]

    own = pairs_sd(work.priors, work.model)
    curve, found = reverse_bayes.critical_sds(
        probabilities, thresholds, sds=sds_of(work), rounds=2 if depth == FULL else 0
    )
    every = pd.DataFrame([row for sd in curve[SD] for row in _at(work, sd) or [{SD: sd}]])
    bad = int(curve.drop(columns=SD).isna().all(axis=1).sum())
    failed = (f"{bad} of {len(curve)} prior SDs of interactions: fit not trusted",) if bad else ()
    if not found:
        return Piece((), {}, failed=failed)
    table = pd.DataFrame([vars(one) for one in found])
    table = table.rename(columns={"sd": "critical prior SD", "words": "in words"})
    table["scale"] = work.study.outcome.synergy_on
    words = (
        "How narrow must a prior about the interactions be, centred at none, for P(synergy), the ratio of "
        "odds ratios beyond 1, to fall below a threshold? All pairs' priors narrow together; those of the "
        f"analysis have an SD of {own:.3g}. Found among fits at {len(curve)} SDs"
        + (f", of which {bad} could not be used" if bad else "")
        + f"; the standard errors of their probabilities are {_span(every.mc_error)}, by the effective draws. The curve "
        f"is in {CURVE}.",
    )
    return Piece(
        (Section("How sceptical of interactions", words, "critical_sd.csv", plot.PICTURE),),
        {"critical_sd.csv": table, CURVE: every},
        {plot.PICTURE.name: lambda: plot.draw(curve, found, own, work.study)},
        failed=failed,
    )


def _span(errors: pd.Series) -> str:
    low, high = (f"{error:.2g}" for error in (errors.min(), errors.max()))
    return low if low == high else f"{low} to {high}"


def _at(work: Work, sd: float) -> list[dict[str, Any]]:
    """Return P(synergy) of the interaction of each pair at a prior SD; nothing of a bad fit."""
    return list(_interactions(work.table([with_sd(work, sd)]), work.study, sd))


def _interactions(own: pd.DataFrame, study: Study, sd: float) -> Iterator[dict[str, Any]]:
    if (own.verdict == laplace.BAD).any():
        return
    kept = ["label", *multiverse.WHICH, "judged_on", "probability", "mc_error", "pareto_k"]
    for pair in study.pair_labels:
        sense = multiverse.leading_sense(own, study, pair)
        rows = own[[one == sense for one in multiverse.senses_of(own)]]
        if len(rows) and rows.probability.notna().all():
            yield {SD: sd, "pair": pair, **rows.iloc[0][kept].to_dict()}


# --- One odds ratio by itself --------------------------------------------------------------------------


def reverse_bayes_of(work: Work) -> Piece:
    """Take each odds ratio by itself: under each belief, and the sceptic it would just not convince."""
    known = reverse_bayes.odds_ratios_of(work.study, work.model)
    if not known:
        return Piece((), {})
    alone = (
        "Each odds ratio by itself: its logarithm is taken as normal with the standard error that its "
        "interval implies, and each belief of the grid is updated by it in closed form: what is believed of a "
        "treatment's effect where it compares patients with and without one treatment, upside down where they stand "
        "the other way round; what is believed of an interaction where it is a product. Odds ratios of one "
        "study share patients; that is for the model to reckon with, not for this table."
    )
    left = [one.label for one in known if not one.about]
    if left:
        alone += f" Left out, for no belief is about them: {', '.join(left)}."
    sceptic = (
        "The critical sceptical prior (Matthews 2018) is centred at an odds ratio of 1, with 95% between the "
        "critical odds ratio and its inverse: who believes effects beyond it implausible is not convinced by "
        "this number alone, for the posterior interval then reaches 1. Where the estimate itself lies within "
        "it, the number is no better than the belief that would undo it."
    )
    sections = [Section("Who would not be convinced by one odds ratio", (sceptic,), "critical.csv")]
    tables = {"critical.csv": reverse_bayes.critical(known)}
    updated = reverse_bayes.under_beliefs(work.study, known)
    if len(updated):
        sections.append(Section("One odds ratio under each belief", (alone,), "beliefs.csv"))
        tables["beliefs.csv"] = updated
    return Piece(tuple(sections), tables)
