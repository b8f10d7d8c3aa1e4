"""The answer in plain words: at most three sentences, which say no more than the numbers allow.

The first sentence says what is decided of synergy, the second what that rests on, the third what other
choices of reading, model and priors would say. *Decided* means a probability of at least
`cotreat.names.DECIDED`, or at most its complement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pandas as pd

from cotreat.estimands import EVERY, name_of
from cotreat.headline import judged, share
from cotreat.measures import (
    APART,
    INDEPENDENCE,
    LOG_ODDS,
    LOG_RISK,
    MEASURES,
    ODDS_ADDITIVE,
    REPRESENTATIVE,
    RISK_ADDITIVE,
)
from cotreat.names import CONTRADICTED, DECIDED, EXTRAPOLATED, IMPLIED, OBSERVED
from cotreat.parts import BAD
from cotreat.regimens import GROUP, LEVEL, NONE, parse
from cotreat.study import NOT_IDENTIFIED, Study
from cotreat.summary import POSTERIOR

MANY = 4
"""So many pairs of treatments are named in one clause; more are counted."""
FEW = 2
"""So many failed checks or differing choices are named; more are counted."""

EXPECTED = "expected from their separate effects"
"""What synergy goes beyond, in words that fit every sense of it."""

SENSES = {
    RISK_ADDITIVE: "added risks",
    ODDS_ADDITIVE: "added odds",
    LOG_ODDS: "multiplied odds",
    LOG_RISK: "multiplied risks",
    INDEPENDENCE: "independent action",
}
"""What separate effects are taken to do together, in each sense of synergy."""

Choice = tuple[str, str, str]
"""A reading, a model and a set of priors."""

# What is found of a pair of treatments.
FOR, AGAINST, MIXED, OPEN = "synergy", "no synergy", "a matter of meaning", "undecided"


@dataclass(frozen=True)
class Question:
    """What a study asks, as far as words about it need it.

    Attributes
    ----------
    outcome : str
        With its time.
    names : dict
        Name of each treatment, level and subgroup that regimens are told by.
    pairs : tuple of str
        Labels of the pairs that may be synergistic.
    """

    design: str
    outcome: str
    synergy_on: str
    names: Mapping[str, str]
    pairs: tuple[str, ...]

    @classmethod
    def of(cls, study: Study) -> Question:
        """Return the question of a study."""
        from cotreat.plots.words import event, part_names

        return cls(
            design=study.design,
            outcome=event(study),
            synergy_on=study.outcome.synergy_on,
            names=part_names(study),
            pairs=tuple(study.judged_pairs),
        )

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Question:
        """Return what `as_json` wrote."""
        return cls(**{**told, "pairs": tuple(told["pairs"])})

    def as_json(self) -> dict[str, Any]:
        """Return it as what JSON can hold."""
        return asdict(self)

    def __str__(self) -> str:
        asked = f"the chance of {self.outcome}", f"{self.side} than {EXPECTED}?"
        if len(self.pairs) == 1:
            return f"Is {asked[0]} with {self.pair(self.pairs[0], 'and')} together {asked[1]}"
        return f"With which two of {_all(self._treatments())} together is {asked[0]} {asked[1]}"

    @property
    def any_two(self) -> str:
        """Name the pair, or say that any two of the treatments are meant."""
        if len(self.pairs) == 1:
            return self.pair(self.pairs[0], "and")
        return f"any two of {_all(self._treatments())}"

    @property
    def side(self) -> str:
        """Where the chance of the outcome goes under synergy."""
        return "higher" if self.synergy_on == "event" else "lower"

    def pair(self, pair: str, link: str = "with") -> str:
        """Name a pair of treatments."""
        return f" {link} ".join(self._name(part) for part in pair.split(":"))

    def where(self, background: str) -> str:
        """Say on which background, unless it is the empty one."""
        if background in ("", NONE):
            return ""
        regimen, _, group = background.partition(" | ")
        parts = sorted(parse(regimen), key=list(self.names).index) if regimen != NONE else []
        said = [f"beside {_all(map(self._name, parts))}"] if parts else []
        said += [f"in {self.names.get(group, group)}"] if group else []
        return f" ({', '.join(said)})"

    def _name(self, part: str) -> str:
        return self.names.get(part, part)

    def _treatments(self) -> list[str]:
        return [name for part, name in self.names.items() if not set(part) & {LEVEL, GROUP}]


@dataclass(frozen=True)
class Finding:
    """What a fit says of a pair of treatments on one background.

    Attributes
    ----------
    probability, prior : dict
        Of each family's measure lying beyond its null, after and before the data.
    availability : str
        ``observed``, if the evidence determines these measures, else ``extrapolated``.
    """

    pair: str
    background: str
    probability: dict[str, float]
    prior: dict[str, float]
    availability: str

    @property
    def decided_for(self) -> list[str]:
        """Families that decide for synergy."""
        return [family for family, p in self.probability.items() if p >= DECIDED]

    @property
    def decided_against(self) -> list[str]:
        """Families that decide against it."""
        return [family for family, p in self.probability.items() if p <= 1 - DECIDED]

    @property
    def kind(self) -> str:
        """What that comes to."""
        every = len(self.probability)
        if len(self.decided_for) == every:
            return FOR
        if len(self.decided_against) == every:
            return AGAINST
        return MIXED if self.decided_for or self.decided_against else OPEN

    @property
    def is_observed(self) -> bool:
        """Whether the evidence determines it."""
        return self.availability == OBSERVED


@dataclass(frozen=True)
class Alternative:
    """What another choice of reading, model and priors gave.

    Attributes
    ----------
    rows : pandas.DataFrame
        Its posterior rows, with ``estimand``, ``background``, ``availability``, ``probability`` and
        ``prior_probability``.
    log_evidence : float
        Missing where it is not known.
    is_bad : bool
        Whether its checks failed.
    """

    choice: Choice
    rows: pd.DataFrame
    log_evidence: float = float("nan")
    is_bad: bool = False


@dataclass(frozen=True)
class Answer:
    """The answer, and its gist in a few words.

    Attributes
    ----------
    sentences : tuple of str
        At most three.
    """

    gist: str
    sentences: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join(self.sentences)


@dataclass(frozen=True)
class _Said:
    """A finding beside what other choices say of the same."""

    finding: Finding
    others: tuple[Choice, ...] = ()
    differ: tuple[tuple[Choice, str], ...] = ()
    ruled_out: tuple[tuple[Choice, str], ...] = field(default=())


# --- The answer ------------------------------------------------------------------------------------


def answer(
    question: Question,
    summary: pd.DataFrame,
    *,
    failed: Sequence[str] = (),
    cautions: Sequence[str] = (),
    contradiction: str = "",
    log_evidence: float = float("nan"),
    alternatives: Iterable[Alternative] = (),
) -> Answer:
    """Answer a study's question in at most three sentences.

    Parameters
    ----------
    summary
        What `cotreat.summary.summarise` returns of the leading fit.
    failed, cautions
        Its failed checks and its cautions, as `cotreat.checks` words them.
    contradiction
        Why its reading is contradicted by other numbers in print; empty if it is not.
    log_evidence
        Of the leading fit, to which that of other readings is compared.
    alternatives
        Other choices of reading, model and priors.
    """
    if failed:
        return _failed(failed)
    if contradiction:
        return _contradicted(summary)
    found = findings(summary)
    if not found:
        return _unanswerable(question, summary)
    lead = (summary.reading.iloc[0], summary.model.iloc[0], summary.priors.iloc[0])
    others = [a for a in alternatives if a.choice != lead]
    said = [_compare(finding, others, lead, log_evidence) for finding in found]
    return Answer(
        _gist(said),
        (
            _verdict(question, said),
            *_basis(question, said, summary, cautions),
            _elsewhere(question, said, others, lead),
        ),
    )


def _failed(failed: Sequence[str]) -> Answer:
    names = list(dict.fromkeys(line.partition(":")[0] for line in failed))
    return Answer(
        "No answer: failed checks",
        (
            f"The sampler's checks failed ({_some(names, FEW)}), so none of these numbers is to be used "
            "and the question is not answered.",
        ),
    )


def _contradicted(summary: pd.DataFrame) -> Answer:
    return Answer(
        "No answer: contradicted",
        (
            f"These numbers stand on the reading {summary.reading.iloc[0]} of the printed words, which "
            "the other numbers in print contradict, so they do not answer the question.",
        ),
    )


def _unanswerable(question: Question, summary: pd.DataFrame) -> Answer:
    """Say why no measure of synergy has a probability."""
    measures = summary[
        (summary.estimator == POSTERIOR)
        & summary.estimand.map(name_of).isin(REPRESENTATIVE.values())
    ]
    why = set(measures.availability)
    if IMPLIED in why:
        reason = f"the model {summary.model.iloc[0]} has no interaction and takes for granted what is asked"
    elif NOT_IDENTIFIED in why:
        reason = "its design does not identify the chances"
    else:
        reason = "the evidence has no measure of synergy that is defined"
    return Answer(
        "No answer", (f"{_whether(question, question.any_two)} cannot be answered here: {reason}.",)
    )


# --- What a fit says -------------------------------------------------------------------------------


def findings(summary: pd.DataFrame) -> list[Finding]:
    """Return what a fit says of each pair of treatments, where the evidence says most.

    Of a pair's backgrounds that one is taken of which the evidence determines most, the empty one if they
    are alike; in subgroups one for each. Of its measures, one for each family, those that the evidence
    determines, if there are any.
    """
    rows = judged(summary)
    rows = rows[rows.measure.isin(REPRESENTATIVE.values())]
    found = []
    for pair, own in rows.groupby("pair", sort=False):
        shared = own.background.str.startswith(EVERY)
        backgrounds = list(dict.fromkeys(own.background[~shared])) or [""]
        every = [_finding(str(pair), b, own[shared | (own.background == b)]) for b in backgrounds]
        groups = list(dict.fromkeys(_group(finding) for finding in every))
        for group in groups:
            within = [finding for finding in every if _group(finding) == group]
            found.append(max(within, key=lambda f: (f.is_observed, len(f.probability))))
    return found


def _group(finding: Finding) -> str:
    return finding.background.partition(" | ")[2]


def _finding(pair: str, background: str, rows: pd.DataFrame) -> Finding:
    observed = rows[rows.availability == OBSERVED]
    used = observed if len(observed) else rows
    used = used.assign(family=[MEASURES[name].family for name in used.measure])
    used = used.drop_duplicates("family").set_index("family")
    return Finding(
        pair,
        background,
        {str(k): float(v) for k, v in used.probability.items()},
        {str(k): float(v) for k, v in used.prior_probability.items()},
        OBSERVED if len(observed) else EXTRAPOLATED,
    )


# --- What other choices say ------------------------------------------------------------------------


def alternatives_of(multiverse: pd.DataFrame) -> list[Alternative]:
    """Return the choices of a table with the columns of `cotreat.parts.MULTIVERSE_COLUMNS`."""
    found = []
    for choice, rows in multiverse.groupby(["reading", "model", "priors"], sort=False):
        reading, model, priors = map(str, choice)
        evidence = rows.log_evidence.astype(float).max()
        is_bad = bool((rows.verdict == BAD).any())
        found.append(Alternative((reading, model, priors), rows, float(evidence), is_bad))
    return found


def _compare(
    finding: Finding, others: Sequence[Alternative], lead: Choice, log_evidence: float
) -> _Said:
    """Ask the same of every other choice that can speak of it."""
    asked, differ, ruled_out = [], [], []
    for other in others:
        kind = _kind_under(other, finding)
        if other.is_bad or not kind:
            continue
        if _is_contradicted(other, others, lead, log_evidence):
            ruled_out.append((other.choice, kind))
            continue
        asked.append(other.choice)
        if kind != finding.kind:
            differ.append((other.choice, kind))
    return _Said(finding, tuple(asked), tuple(differ), tuple(ruled_out))


def _kind_under(other: Alternative, finding: Finding) -> str:
    """Return what another choice finds of the same families; empty where it cannot speak of them."""
    names = {f"{REPRESENTATIVE[family]}[{finding.pair}]": family for family in finding.probability}
    rows = other.rows[other.rows.estimand.isin(names) & other.rows.probability.notna()]
    shared = rows.background.str.startswith(EVERY)
    rows = rows[shared | (rows.background == finding.background)].drop_duplicates("estimand")
    if len(rows) < len(names):
        return ""
    found = dict(zip(rows.estimand.map(names), rows.probability.astype(float), strict=True))
    return Finding(finding.pair, finding.background, found, {}, finding.availability).kind


def _is_contradicted(
    other: Alternative, others: Sequence[Alternative], lead: Choice, log_evidence: float
) -> bool:
    """Tell whether a reading's evidence is far below that of the leading one, all else alike."""
    reading, *rest = other.choice
    if reading == lead[0]:
        return False
    beside = [a.log_evidence for a in others if a.choice == (lead[0], *rest)]
    if tuple(rest) == lead[1:]:
        beside.append(log_evidence)
    return any(other.log_evidence - default < -CONTRADICTED for default in beside)


# --- Sentences -------------------------------------------------------------------------------------


def _gist(said: Sequence[_Said]) -> str:
    gists = list(dict.fromkeys(map(_short, said)))
    return gists[0] if len(gists) == 1 else "Not the same for every pair"


def _short(one: _Said) -> str:
    kind = one.finding.kind
    if kind == OPEN:
        return "Undecided"
    if one.differ:
        return "Depends on choices"
    if not one.finding.is_observed:
        return "Extrapolated, not shown"
    return {
        FOR: "Decided: synergy",
        AGAINST: "Decided: no synergy",
        MIXED: "Depends on what synergy means",
    }[kind]


def _whether(question: Question, names: str) -> str:
    return (
        f"Whether the chance of {question.outcome} with {names} together is {question.side} than "
        f"{EXPECTED} (synergy)"
    )


def _verdict(question: Question, said: Sequence[_Said]) -> str:
    """Say what is decided of each pair, those alike together."""
    alike: dict[str, list[_Said]] = {}
    for one in said:
        alike.setdefault(_short(one) + _senses(one), []).append(one)
    if len(said) == 1:
        (one,) = said
        names = question.pair(one.finding.pair, "and") + question.where(one.finding.background)
        return f"{_whether(question, names)} is {_found([one])}."
    whether = _whether(question, question.any_two)
    is_told_apart = any(one.finding.is_observed for one in said) and len(said) <= MANY
    if len(alike) == 1 and not is_told_apart:
        return f"{whether} is {_found(said)}."
    clauses = [f"{_found(own)}, for {_named(question, own)}" for own in alike.values()]
    return f"{whether} is {'; '.join(clauses)}."


def _named(question: Question, said: Sequence[_Said]) -> str:
    names = [question.pair(s.finding.pair) + question.where(s.finding.background) for s in said]
    return _all(names) if len(names) <= MANY else f"{len(names)} comparisons"


def _found(said: Sequence[_Said]) -> str:
    """Say what is found of pairs of which the same is found."""
    one, kind = said[0], said[0].finding.kind
    span = _span(p for s in said for p in s.finding.probability.values())
    number = len(one.finding.probability)
    senses = f"in all {number} senses of the word" if number > 1 else "in the one sense there is"
    if kind == OPEN:
        by = ["pair"] * (len(said) > 1) + ["sense of the word"] * (number > 1)
        depends = f", depending on the {_all(by)}" if by else ""
        return f"undecided ({_probability(span)}{depends}; {DECIDED:g} would decide it)"
    if one.differ:
        return f"decided only under some of the choices tried ({_probability(span)})"
    words = {
        FOR: f"decided: it is, {senses}",
        AGAINST: f"decided: it is not, {senses}",
        MIXED: f"a matter of what synergy means: {_senses(one)}",
    }[kind]
    if not one.finding.is_observed:
        words = f"not shown, though model and prior alone would have it {words}"
    return f"{words} ({_probability(span)})"


def _senses(one: _Said) -> str:
    """Say which senses decide what, where they do not agree."""
    finding = one.finding
    if finding.kind != MIXED:
        return ""
    decided = {*finding.decided_for, *finding.decided_against}
    left = [family for family in finding.probability if family not in decided]
    return ", ".join(
        f"{what} by {_all(SENSES[family] for family in families)}"
        for what, families in (
            ("decided in favour", finding.decided_for),
            ("decided against", finding.decided_against),
            ("undecided", left),
        )
        if families
    )


def _basis(
    question: Question, said: Sequence[_Said], summary: pd.DataFrame, cautions: Sequence[str]
) -> list[str]:
    """Say what the verdict rests on: one sentence, or none."""
    extrapolated = [one for one in said if not one.finding.is_observed]
    if extrapolated:
        span = _span(p for one in extrapolated for p in one.finding.prior.values())
        what = "This is" if len(extrapolated) == len(said) else "Part of this is"
        return [
            f"{what} extrapolated: the evidence does not determine it, model and prior supply it, and "
            f"before the data {_probability(span, 'the probability was')}."
        ]
    is_decided = any(one.finding.kind != OPEN for one in said)
    why = []
    if is_decided and question.design != "randomised":
        why.append("nobody was assigned at random, so confounding may account for it")
    if cautions:
        names = list(dict.fromkeys(line.partition(":")[0].partition(",")[0] for line in cautions))
        why.append(f"checks call for caution ({_some(names, FEW)})")
    return [_sentence("; ".join(why))] if why else _apart(question, said, summary)


def _apart(question: Question, said: Sequence[_Said], summary: pd.DataFrame) -> list[str]:
    """Say that a combination beats each of its treatments, which is less than synergy."""
    rows = judged(summary)
    rows = rows[rows.measure.map(lambda name: MEASURES[name].family == APART)]
    rows = rows[(rows.probability >= DECIDED) & (rows.availability == OBSERVED)]
    of = {(one.finding.pair, one.finding.background) for one in said}
    own = [row for row in rows.itertuples() if (row.pair, row.background) in of]
    if not own:
        return []
    least = share(min(row.probability for row in own))
    sure = f"probability {least}" if least.startswith(">") else f"probability at least {least}"
    who = "" if len(said) == 1 else f", for {_all([question.pair(row.pair) for row in own])}"
    return [
        f"The chance with both is {question.side} than with either alone ({sure}){who}, but that by itself "
        "is not synergy."
    ]


def _elsewhere(
    question: Question, said: Sequence[_Said], others: Sequence[Alternative], lead: Choice
) -> str:
    """Say what other choices of reading, model and priors find."""
    asked = list(dict.fromkeys(choice for one in said for choice in one.others))
    differ: dict[Choice, list[tuple[_Said, str]]] = {}
    for one in said:
        for choice, kind in one.differ:
            differ.setdefault(choice, []).append((one, kind))
    bad = sum(other.is_bad for other in others)
    rest = [f"{bad} could not be used"] if bad else []
    rest += _ruled_out(said)
    if not asked:
        first = "no other reading, model or prior that could speak of it has been tried"
    elif not differ:
        first = f"{_count(len(asked))} of reading, model or priors {_say(len(asked))} the same"
    else:
        examples = [
            _example(question, said, choice, lead, found)
            for choice, found in list(differ.items())[:FEW]
        ]
        first = (
            f"of {_count(len(asked))} of reading, model or priors, {len(differ)} "
            f"{_say(len(differ))} otherwise{'' if len(differ) <= FEW else ', among them'}: {_all(examples)}"
        )
    return _sentence("; ".join([first, *rest]))


def _ruled_out(said: Sequence[_Said]) -> list[str]:
    readings = list(dict.fromkeys(choice[0] for one in said for choice, _ in one.ruled_out))
    if not readings:
        return []
    what, them = ("readings", "them") if len(readings) > 1 else ("reading", "it")
    verb = "are" if len(readings) > 1 else "is"
    why = f"for other numbers in print contradict {them}"
    return [f"the {what} {_all(readings)} {verb} left aside, {why}"]


UNDER = {
    FOR: "decides it in favour",
    AGAINST: "decides it against",
    MIXED: "decides it in some senses",
    OPEN: "leaves it undecided",
}


def _example(
    question: Question,
    said: Sequence[_Said],
    choice: Choice,
    lead: Choice,
    found: Sequence[tuple[_Said, str]],
) -> str:
    """Say what one other choice finds of the pairs that it finds otherwise."""
    kind = found[0][1]
    pairs = [one for one, own in found if own == kind]
    where = f" for {_named(question, pairs)}" if len(said) > 1 else ""
    return f"{_choice(choice, lead)} {UNDER[kind]}{where}"


def _choice(choice: Choice, lead: Choice) -> str:
    """Name a choice by what differs from the leading one."""
    kinds = ("the reading {}", "the model {}", "the priors {}")
    pairs = zip(kinds, choice, lead, strict=True)
    return " with ".join(kind.format(own) for kind, own, usual in pairs if own != usual)


def _count(number: int) -> str:
    return "one other choice" if number == 1 else f"{number} other choices"


def _say(number: int) -> str:
    return "says" if number == 1 else "say"


def _span(probabilities: Iterable[float]) -> tuple[float, float]:
    values = list(probabilities)
    return min(values), max(values)


def _probability(span: tuple[float, float], words: str = "probability") -> str:
    lower, upper = map(share, span)
    return f"{words} {lower}" if lower == upper else f"{words} {lower} to {upper}"


def _some(names: Sequence[str], most: int) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def _all(names: Iterable[str]) -> str:
    """Write names as a list that ends in "and"."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
