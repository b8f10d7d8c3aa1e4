"""What is believed beforehand: the grid, and one odds ratio by itself."""

import pandas as pd

from cotreat.core.constants import CONCLUSIVE
from cotreat.plots import SENSITIVITY, picture
from cotreat.results.headline import share
from cotreat.results.supplementary import Section
from cotreat.sensitivity import belief_grid, reverse_bayes
from cotreat.sensitivity.fits import Piece, Plan, Work, pair_in_words


def grid_of(work: Work, plan: Plan) -> Piece:
    """Every belief of every strength about effects and about interactions."""
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
        f"{CONCLUSIVE} or above, or {1 - CONCLUSIVE:.3f} or below.",
    ]
    if work.model.name == "exchangeable":
        words.append(
            "Of pairs that are relatives the belief is about each pair too: its ratio has the mean and the SD "
            "of the belief, shared between the mean of all pairs and how far each is from it as in the default. "
            "That is no normal law but one with longer tails, so that less of it lies beyond the null than of the "
            "belief by itself; prior_probability has what does."
        )
    return Piece(
        (
            Section(
                "Every belief beforehand",
                tuple(words),
                "grid_ranges.csv",
                picture(SENSITIVITY, "belief_grid"),
            ),
        ),
        {"grid.csv": table, "grid_ranges.csv": ranges},
        {"grid": table},
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
