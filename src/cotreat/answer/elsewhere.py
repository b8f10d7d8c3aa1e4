"""What other choices of reading, model and priors find: the third sentence of the answer."""

from __future__ import annotations

from collections.abc import Sequence

from cotreat.answer.finding import AGAINST, FOR, OPEN, SENSES, Finding
from cotreat.answer.others import Choice, Echo
from cotreat.answer.question import Question
from cotreat.answer.verdict import FEW, MANY, named
from cotreat.answer.words import listed, plural, say, sentence

KINDS = ("reading", "model", "prior set")
"""What a choice is made of, in its order."""

DECIDE = {
    FOR: "decide{} it in favour",
    AGAINST: "decide{} it against",
    OPEN: "leave{} it undecided",
}
"""What one, or several, choices do."""

Otherwise = tuple[tuple[str, tuple[int, ...]], ...]
"""What is found in words, each with the places of the findings that it is about."""


def elsewhere(
    question: Question, lead: Choice, echoes: Sequence[Echo], *, ruled_out: Sequence[str], bad: int
) -> str:
    """Say what other choices find, and which could not be asked.

    Parameters
    ----------
    echoes
        Of every choice that can be used.
    ruled_out
        Readings that other numbers in print contradict.
    bad
        How many choices have a fit that cannot be used.
    """
    whole = [one for one in echoes if one.is_whole and not one.senses]
    in_part = [one for one in echoes if one.spoken and not one.is_whole and not one.senses]
    clauses = [
        *_whole(question, lead, whole),
        *_by_senses(question, lead, [one for one in echoes if one.spoken and one.senses]),
        *_of_some_pairs(question, lead, [one for one in in_part if one.otherwise]),
        *_not_compared(
            question,
            lead,
            [one for one in echoes if not one.spoken],
            [one for one in in_part if not one.otherwise],
        ),
        *(
            [f"{bad} {plural('fit', bad)} could not be used"]
            if bad and (echoes or ruled_out)
            else []
        ),
        *_ruled_out(ruled_out),
    ]
    nothing = "no other reading, model or prior that was tried could be used"
    untried = "no other reading, model or prior has been tried"
    return sentence(clauses or [nothing if bad else untried])


def _whole(question: Question, lead: Choice, echoes: Sequence[Echo]) -> list[str]:
    """Say what choices find that can speak of everything."""
    if not echoes:
        return []
    number = len(echoes)
    count = "one other choice" if number == 1 else f"{number} other choices"
    differ = [one for one in echoes if one.otherwise]
    if not differ:
        return [f"{count} of reading, model or priors {say(number)} the same"]
    return [
        f"of {count} of reading, model or priors, {len(differ)} {say(len(differ))} otherwise"
        f"{_examples(question, lead, differ, ': ', ', among them: ')}"
    ]


def _by_senses(question: Question, lead: Choice, echoes: Sequence[Echo]) -> list[str]:
    """Say what choices find that were asked of some senses alone, such as the grid of beliefs."""
    groups: dict[tuple[tuple[str, ...], str], list[Echo]] = {}
    for one in echoes:
        pairs = "" if one.is_whole else f" for {named(question, one.spoken)}"
        groups.setdefault((one.senses, pairs), []).append(one)
    return [
        _of_senses(question, lead, own, f"{listed(SENSES[f] for f in families)} alone{pairs}")
        for (families, pairs), own in groups.items()
    ]


def _of_senses(question: Question, lead: Choice, echoes: Sequence[Echo], what: str) -> str:
    number, asked = len(echoes), f"asked of {what}"
    differ = [one for one in echoes if one.otherwise]
    if not differ:
        return f"{_choices([one.choice for one in echoes], lead)}, {asked}, {say(number)} the same"
    return f"of {number} more, {asked}{_examples(question, lead, differ, ', ', ', among others, ')}"


def _of_some_pairs(question: Question, lead: Choice, differ: Sequence[Echo]) -> list[str]:
    """Say what choices find otherwise that can speak of some pairs alone."""
    return [
        f"of {pairs} alone{_examples(question, lead, own, ' ', ', among others, ')}"
        for pairs, own in _by_pairs(question, differ).items()
    ]


def _not_compared(
    question: Question, lead: Choice, silent: Sequence[Echo], in_part: Sequence[Echo]
) -> list[str]:
    """Name choices that cannot speak of any pair, or say the same of some and cannot of others."""
    told = [f"{_silent(lead, silent)} could not be compared"] if silent else []
    for pairs, own in _by_pairs(question, in_part).items():
        names = _choices([one.choice for one in own], lead)
        told.append(f"{names} {say(len(own))} the same of {pairs} and of no other pair")
    return [", ".join(told)] if told else []


def _by_pairs(question: Question, echoes: Sequence[Echo]) -> dict[str, list[Echo]]:
    groups: dict[str, list[Echo]] = {}
    for one in echoes:
        groups.setdefault(named(question, one.spoken), []).append(one)
    return groups


def _silent(lead: Choice, echoes: Sequence[Echo]) -> str:
    """Name what cannot speak: models, where it is they that lack the measures or fix them."""
    models = dict.fromkeys(one.choice[1] for one in echoes if one.choice[1] != lead[1])
    rest = [one.choice for one in echoes if one.choice[1] == lead[1]]
    names = [_of_kind("model", list(models))] if models else []
    return listed([*names, *([_choices(rest, lead)] if rest else [])])


def _ruled_out(readings: Sequence[str]) -> list[str]:
    if not readings:
        return []
    them, are = ("them", "are") if len(readings) > 1 else ("it", "is")
    return [
        f"the {plural('reading', len(readings))} {listed(readings)} {are} left aside, for other numbers in "
        f"print contradict {them}"
    ]


def _examples(
    question: Question, lead: Choice, differ: Sequence[Echo], before: str, among: str
) -> str:
    """Say what choices find that find otherwise, those alike together, the most frequent first."""
    groups: dict[Otherwise, list[Choice]] = {}
    for one in differ:
        groups.setdefault(_found_otherwise(one), []).append(one.choice)
    largest = sorted(groups.items(), key=lambda item: -len(item[1]))
    told = [
        f"{_choices(own, lead)} {_told(question, differ[0].lead, found, len(own))}"
        for found, own in largest[:FEW]
    ]
    return (before if len(groups) <= FEW else among) + listed(told)


def _found_otherwise(one: Echo) -> Otherwise:
    """Return what a choice finds otherwise in words, and the places of the findings it is about."""
    alike: dict[str, tuple[int, ...]] = {}
    for at, own in one.otherwise.items():
        alike[_under(own)] = (*alike.get(_under(own), ()), at)
    return tuple(alike.items())


def _told(question: Question, lead: Sequence[Finding], found: Otherwise, number: int) -> str:
    """Say what so many choices find of which pairs."""
    ending = "s" if number == 1 else ""
    return listed(
        words.replace("{}", ending)
        + (f" for {named(question, [lead[at] for at in places])}" if len(lead) > 1 else "")
        for words, places in found
    )


def _under(own: Finding) -> str:
    """Say what a choice finds of a pair, and in which senses."""
    if own.kind == OPEN:
        return DECIDE[OPEN]
    # What the evidence does not determine is shown by no choice, whatever its probability.
    basis = "" if own.is_observed else " (extrapolated)"
    if own.kind in DECIDE:
        return DECIDE[own.kind] + basis
    told = {FOR: own.decided_for, AGAINST: own.decided_against}
    return " and ".join(
        f"{DECIDE[kind]} by {listed(SENSES[family] for family in families)}{basis}"
        for kind, families in told.items()
        if families
    )


def _choices(choices: Sequence[Choice], lead: Choice) -> str:
    """Name choices by what differs from the leading one; count them where they are many."""
    told: dict[str, list[str]] = {}
    combined = []
    for choice in choices:
        changed = [at for at in range(len(KINDS)) if choice[at] != lead[at]]
        if len(changed) == 1:
            told.setdefault(KINDS[changed[0]], []).append(choice[changed[0]])
        else:
            combined.append(" with ".join(f"the {KINDS[at]} {choice[at]}" for at in changed))
    names = [_of_kind(kind, own) for kind, own in told.items()]
    names += combined if len(combined) <= FEW else [f"{len(combined)} combinations of choices"]
    return listed(names)


def _of_kind(kind: str, own: Sequence[str]) -> str:
    many = plural(kind, len(own))
    return f"{len(own)} {many}" if len(own) > MANY else f"the {many} {listed(own)}"
