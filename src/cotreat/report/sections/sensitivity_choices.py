"""What moves the answer: one thing changed at a time, or all crossed."""

from collections.abc import Iterator, Sequence

import pandas as pd

from cotreat.core.constants import CONCLUSIVE, INCOMPATIBLE_BELOW
from cotreat.estimands.measures import MEASURES
from cotreat.inference import laplace
from cotreat.inference.batch import Specification
from cotreat.plots import SENSITIVITY, picture
from cotreat.priors.belief_grid import in_words, is_belief
from cotreat.results.headline import share
from cotreat.results.supplementary import MULTIVERSE, Section
from cotreat.sensitivity import multiverse
from cotreat.sensitivity.fits import Piece, Plan, Work, pair_in_words
from cotreat.sensitivity.multiverse import (
    DEFAULT_INTERPRETATION,
    HINGES,
    MODEL,
    PRIORS,
    SENSE,
    Base,
)


def hinges_of(work: Work, plan: Plan) -> Piece:
    """Change one thing at a time, and cross all."""
    table = work.table(plan.multiverse)
    changes = multiverse.hinges(table, work.study, work.base)
    aside = contradicted(table, work.base)
    fits = table.drop_duplicates([DEFAULT_INTERPRETATION, MODEL, PRIORS])
    bad = fits[fits.verdict == laplace.UNRELIABLE]
    words = [
        "The leading answer is the ratio of odds ratios of each pair under "
        f"{work.model.name} and {in_words(work.priors.name)} priors"
        + (
            f", reading {work.study.interpretation}. "
            if len(work.study.interpretations) > 1
            else ". "
        )
        + "One thing at a time is changed from it. Of the priors, each set is a belief of moderate strength "
        "about the single effects, or about the interactions, with all else as in the default. Where an answer is "
        "that on another background, words say which.",
        f"{len(fits)} combinations of reading, model and priors were fitted"
        + (
            ". "
            if plan.is_crossed
            else ", one thing changed at a time; --depth full crosses them. "
        )
        + f"All answers are in {MULTIVERSE}; mc_error is the standard error of a probability by the effective draws, "
        "and up to twice that where Pareto k nears 0.7.",
    ]
    if len(bad):
        words.append(
            f"{len(bad)} of them cannot be trusted (Pareto k of the weights, or modes that were come to "
            "once only) and are listed there without numbers."
        )
    heading = "One-at-a-time sensitivity analysis"
    section = Section(heading, tuple(words), HINGES, picture(SENSITIVITY, "one_at_a_time"))
    return Piece(
        (section,),
        {MULTIVERSE: table, HINGES: changes},
        {"changes": changes, "combinations": _with_scales(table), "incompatible": aside},
        hinge_finding(changes, aside),
        tuple(not_answered(work, fits, is_crossed=plan.is_crossed)),
    )


def _with_scales(table: pd.DataFrame) -> pd.DataFrame:
    """Return the measures of synergy with a probability, with their scale as the changes name it."""
    own = table[table.probability.notna() & table.measure.isin(MEASURES)]
    scales = [multiverse.sense_in_words(sense) for sense in multiverse.senses_of(own)]
    return own.assign(**{SENSE: pd.Series(scales, own.index, dtype=object)})


def not_answered(work: Work, fits: pd.DataFrame, *, is_crossed: bool) -> Iterator[str]:
    """Say which fits cannot be trusted, and where other priors were not tried therefore."""
    for (model, interpretation), own in fits.groupby([MODEL, DEFAULT_INTERPRETATION], sort=False):
        base = Specification(work.study.resolve(str(interpretation)), str(model), work.priors)
        is_alone = is_crossed and len(own) == 1 and bool(multiverse.beside(base))
        bad = own[own.verdict == laplace.UNRELIABLE]
        said = []
        if len(bad):
            is_k = bad.pareto_k.max() >= laplace.UNRELIABLE_K
            why = f"Pareto k up to {bad.pareto_k.max():.2f}" if is_k else "modes found once only"
            said.append(f"{len(bad)} of {len(own)} fits not trusted ({why})")
        if is_alone:
            said.append("other priors not tried, for a batch cannot fit it")
        if said:
            yield f"{model}, reading {interpretation}: {'; '.join(said)}"


def hinge_finding(changes: pd.DataFrame, aside: Sequence[str] = ()) -> str:
    """Say what moves the probability of synergy most, and whether any change decides.

    Parameters
    ----------
    aside
        Readings that the other numbers in print contradict.
    """
    known = changes[changes.probability.notna()]
    is_aside = (known["what changes"] == DEFAULT_INTERPRETATION) & known.to.isin(aside)
    moved = known[~known["is leading"] & ~is_aside & known.difference.notna()]
    if moved.empty:
        return ""
    most = moved.loc[moved.difference.abs().idxmax()]
    lead = most.probability - most.difference
    decided = ((moved.probability >= CONCLUSIVE) | (moved.probability <= 1 - CONCLUSIVE)).sum()
    what, how = _change_in_words(most["what changes"], most.to)
    where = f" {most.words}" if most.words else ""
    return (
        f"What moves the probability of synergy most is {what}: for {pair_in_words(most.pair)} it goes from "
        f"{share(lead)} to {share(most.probability)} {how}{where}. Of {len(moved)} single changes, "
        "judged by the ratio of odds ratios unless the sense is what changes, "
        f"{decided or 'none'} give{'s' if decided < 2 else ''} a decided answer"
        + (
            f"; {', '.join(aside)} left aside, for the other numbers in print contradict it."
            if is_aside.any()
            else "."
        )
    )


def _change_in_words(factor: str, to: str) -> tuple[str, str]:
    """Name what was changed, and say to what."""
    if factor == SENSE:
        return "the sense of the word", f"if judged as {to}"
    if factor == PRIORS:
        told = in_words(to)
        return "the prior", f"with beliefs about {told}" if is_belief(
            to
        ) else f"under {told} priors"
    return {MODEL: "the model", DEFAULT_INTERPRETATION: "how the print is read"}[
        factor
    ], f"under {to}"


def contradicted(table: pd.DataFrame, base: Base) -> list[str]:
    """Name the readings that the evidence speaks against, under the leading model and priors."""
    own = table[(table[MODEL] == base.model) & (table[PRIORS] == base.priors)]
    logs = own.groupby(DEFAULT_INTERPRETATION, sort=False).log_evidence.first()
    if base.interpretation not in logs:
        return []
    return [str(name) for name in logs[logs < logs[base.interpretation] - INCOMPATIBLE_BELOW].index]
