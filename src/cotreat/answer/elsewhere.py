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
    clauses = [
        *_whole(question, lead, [one for one in echoes if one.is_whole and not one.senses]),
        *_by_senses(question, lead, [one for one in echoes if one.spoken and one.senses]),
        *_by_pairs(
            question, lead, [o for o in echoes if o.spoken and not o.is_whole and not o.senses]
        ),
        *_silent(lead, [one for one in echoes if not one.spoken]),
        *([f"{bad} could not be used"] if bad and (echoes or ruled_out) else []),
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
    groups: dict[tuple[str, ...], list[Echo]] = {}
    for one in echoes:
        groups.setdefault(one.senses, []).append(one)
    return [_of_senses(question, lead, own, families) for families, own in groups.items()]


def _of_senses(
    question: Question, lead: Choice, echoes: Sequence[Echo], families: Sequence[str]
) -> str:
    number = len(echoes)
    asked = f"asked of {listed(SENSES[family] for family in families)} alone"
    differ = [one for one in echoes if one.otherwise]
    if not differ:
        return f"{_choices([one.choice for one in echoes], lead)}, {asked}, {say(number)} the same"
    return f"of {number} more, {asked}{_examples(question, lead, differ, ', ', ', among others, ')}"


def _by_pairs(question: Question, lead: Choice, echoes: Sequence[Echo]) -> list[str]:
    """Say what choices find that can speak of some pairs alone."""
    groups: dict[str, list[Echo]] = {}
    for one in echoes:
        groups.setdefault(named(question, one.spoken), []).append(one)
    clauses = []
    for pairs, own in groups.items():
        same = [one.choice for one in own if not one.otherwise]
        differ = [one for one in own if one.otherwise]
        if same:
            clauses.append(f"of {pairs} alone {_choices(same, lead)} {say(len(same))} the same")
        if differ:
            clauses.append(
                f"of {pairs} alone{_examples(question, lead, differ, ' ', ', among others, ')}"
            )
    return clauses


def _silent(lead: Choice, echoes: Sequence[Echo]) -> list[str]:
    """Name what cannot speak of any pair: models, for it is them that lack the measures or fix them."""
    if not echoes:
        return []
    models = dict.fromkeys(one.choice[1] for one in echoes if one.choice[1] != lead[1])
    names = [_of_kind("model", list(models))] if models else []
    rest = [one.choice for one in echoes if one.choice[1] == lead[1]]
    names += [_choices(rest, lead)] if rest else []
    return [f"{listed(names)} could not be compared"]


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
    if own.kind in DECIDE:
        return DECIDE[own.kind]
    told = {FOR: own.decided_for, AGAINST: own.decided_against}
    return " and ".join(
        f"{DECIDE[kind]} by {listed(SENSES[family] for family in families)}"
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
