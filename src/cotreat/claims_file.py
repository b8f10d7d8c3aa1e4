"""Printed numbers and readings of a study file."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import numpy as np

from cotreat.core.constants import READING
from cotreat.core.toml_tables import (
    Key,
    Problems,
    Table,
    flag,
    is_positive,
    is_rising,
    is_share,
    is_text,
    matching,
    nearest,
    one_of,
    read_table,
    text,
)
from cotreat.evidence.contrasts import KINDS, Cohort, coefficient_of, named_parts
from cotreat.places import Places
from cotreat.study.regimens import Regimen, taken
from cotreat.study.study import Claim, Division, Meaning, Printed, Reading

BELOW = re.compile(r"<\s*(0?\.\d+|1)")
MEANINGS = {name: Key(kind.accepts, kind.right, False) for name, kind in KINDS.items()}
ABOUT = {"about": Key(is_text, "words, for a number that is shown and not used", False)}
COMMON = {
    "id": text(),
    "kind": one_of("odds_ratio", "p_value", "p_trend"),
    **MEANINGS,
    **ABOUT,
    "adjusted": flag(),
    "model": text(required=False),
    "source": text(),
}
ODDS_RATIO = {
    **COMMON,
    "value": Key(is_positive, "a number above 0"),
    "ci": Key(lambda v: is_rising(v, is_positive), "[lower, upper] with 0 < lower < upper"),
    "level": Key(is_share, "a number between 0 and 1, such as 0.95", False),
    "interval": one_of("wald", "profile", "exact", required=False),
}
P_VALUE = {
    **COMMON,
    "value": Key(
        lambda v: is_probability(v) or is_below(v),
        'a number above 0 and at most 1, or as text "<0.001"',
    ),
    "sign": one_of("+", "-", required=False),
}
CLAIM_OF = {"odds_ratio": ODDS_RATIO, "p_value": P_VALUE, "p_trend": P_VALUE}
SOME_KIND = {
    **{key: Key(lambda _: True, "", False) for key in (*ODDS_RATIO, *P_VALUE)},
    **COMMON,
}
"""Keys of a claim whose kind is missing or wrong: what else it must have cannot be told."""
ONE_MEANING = (
    'must have exactly one of regimens = ["A+B", "none"] or sets = ["A", "not A"], or of '
    f"{', '.join(name for name in KINDS if name not in ('regimens', 'sets'))} or about"
)

READING_KEYS = {
    "id": matching(
        r"[a-z0-9][a-z0-9_-]*", "lower-case letters, digits, - and _ (it names a folder)"
    ),
    "words": text(),
    "default": flag(),
    "means": Key(
        lambda v: isinstance(v, dict) and bool(v),
        'a table of claims and what they mean here, such as { p1 = { product = ["A", "B"] } }',
        False,
    ),
}


def is_probability(value: object) -> bool:
    """Tell whether a value is a number above 0 and at most 1."""
    return is_positive(value) and float(value) <= 1  # type: ignore[arg-type]


def is_below(value: object) -> bool:
    """Tell whether a value is a p-value printed as "<"."""
    if not isinstance(value, str) or BELOW.fullmatch(value.strip()) is None:
        return False
    return is_positive(below(value))


def below(value: str) -> Decimal:
    """Return the number of a p-value printed as "<"."""
    return Decimal(value.strip().removeprefix("<").strip())


@dataclass(frozen=True)
class Patients:
    """Who may stand in a printed number.

    Attributes
    ----------
    cohort : Cohort
        Regimens that have patients, or may have.
    is_counted : bool
        Whether all of these are counted.
    admitted : tuple of Regimen
    inclusion : str
        The rule that admits them.
    """

    cohort: Cohort
    is_counted: bool
    admitted: tuple[Regimen, ...]
    inclusion: str
    divisions: tuple[Division, ...] = ()

    def told(self, meaning: Meaning) -> Cohort:
        """Return the cohort with regimens told by the levels or subgroups that a meaning names.

        Raises
        ------
        ValueError
            If it names those of several divisions.
        """
        named = named_parts(meaning)
        own = [d for d in self.divisions if named & d.written]
        if len(own) > 1:
            words = ", ".join(division.id for division in own)
            raise ValueError(
                f"names levels or subgroups of several divisions ({words}); one can be told"
            )
        return self.cohort.told_by(own[0]) if own else self.cohort


@dataclass(frozen=True)
class RawClaim:
    """A claim's table, read but for what it means."""

    where: str
    table: Table
    kind: str


def raw_claims(raw: object, problems: Problems) -> list[RawClaim]:
    """Read every [[claims]] table against the keys of its kind."""
    if not isinstance(raw, list):
        problems.add("claims", "must be a list of tables, each begun by [[claims]]")
        return []
    found = []
    for number, item in enumerate(raw, start=1):
        where = f"claims[{number}]"
        kind = item.get("kind") if isinstance(item, dict) else None
        keys = SOME_KIND if isinstance(item, dict) else ODDS_RATIO
        if isinstance(kind, str):
            keys = CLAIM_OF.get(kind, keys)
        if keys is P_VALUE and "ci" in item:
            problems.add(f"{where}.ci", "a p-value has no interval; leave it out")
        table = read_table(_without_interval(item, keys), where, keys, problems)
        if table is not None:
            found.append(RawClaim(where, table, table["kind"] or ""))
    return found


def _without_interval(item: Any, keys: Mapping[str, Key]) -> Any:
    """Leave out an interval that was already spoken of."""
    if keys is P_VALUE:
        return {key: value for key, value in item.items() if key != "ci"}
    return item


def read_claims(
    raw: list[RawClaim], patients: Patients | None, places: Places
) -> tuple[Claim, ...]:
    """Turn tables into claims; `patients` is None where the arms could not be read."""
    problems = places.problems
    claims: list[Claim] = []
    ids: set[str] = set()
    for one in raw:
        where, table = one.where, one.table
        if table["id"] in ids:
            problems.add(f"{where}.id", f"{table['id']} stands in a claim above")
        ids |= {table["id"]} - {None}
        meaning = _meaning(where, table, patients, places)
        if table["value"] is None or not one.kind:
            continue
        claim = _ratio(one, meaning, problems) if one.kind == "odds_ratio" else _p(one, meaning)
        if claim is not None:
            _check_coefficient(where, claim, patients, problems)
            claims.append(claim)
    _check_models(claims, "claims", problems)
    return tuple(claims)


def _ratio(one: RawClaim, meaning: Meaning | None, problems: Problems) -> Claim | None:
    where, table = one.where, one.table
    if table["ci"] is None:
        return None
    lower, upper = table["ci"]
    if not lower <= table["value"] <= upper:
        problems.add(
            f"{where}.ci", f"({lower}, {upper}) does not hold the estimate {table['value']}"
        )
    return replace(
        _common(one, meaning),
        value=printed(table["value"]),
        ci=(printed(lower), printed(upper)),
        level=float(table["level"] or 0.95),
        interval=table["interval"] or "wald",
    )


def _p(one: RawClaim, meaning: Meaning | None) -> Claim:
    value = one.table["value"]
    number = below(value) if is_text(value) else value
    return replace(
        _common(one, meaning),
        value=printed(number),
        is_below=isinstance(value, str),
        sign=one.table["sign"] or "",
    )


def _common(one: RawClaim, meaning: Meaning | None) -> Claim:
    table = one.table
    return Claim(
        id=table["id"],
        kind=one.kind,
        meaning=meaning,
        about=table["about"] or "",
        value=Printed(1.0, 0.0),
        is_below=False,
        ci=None,
        level=0.95,
        interval="",
        adjusted=bool(table["adjusted"]),
        model=table["model"] or "",
        sign="",
        source=table["source"],
    )


def printed(number: int | Decimal) -> Printed:
    """Read a printed number with half a unit of its last digit."""
    exponent = Decimal(number).as_tuple().exponent
    assert isinstance(exponent, int)  # noqa: S101 - infinities were refused by the key's test
    return Printed(float(number), 0.5 * 10.0**exponent)


# --- What a claim means ----------------------------------------------------------------------------


def _meaning(where: str, table: Table, patients: Patients | None, places: Places) -> Meaning | None:
    """Read which coefficient a number is; None also for one that is only shown."""
    given = sorted(table.given & {*KINDS, "about"})
    if len(given) != 1:
        places.problems.add(where, ONE_MEANING)
        return None
    kind = given[0]
    if kind == "about" or table[kind] is None:
        return None
    words = table[kind]
    before = len(places.problems.found)
    for word in dict.fromkeys(_flat(words)):
        _check_word(f"{where}.{kind}", KINDS[kind].holds, word, places)
    _check_repeated(f"{where}.{kind}", words, places.problems)
    if len(places.problems.found) > before or patients is None:
        return None
    if kind == "regimens":
        _check_forbidden(where, words, patients, places)
        return Meaning(
            kind, tuple(places.label(places.regimen(where, w) or frozenset()) for w in words)
        )
    return Meaning(kind, tuple(tuple(w) if isinstance(w, list) else w for w in words))


def _flat(words: list[Any]) -> Iterator[str]:
    for word in words:
        if isinstance(word, list):
            yield from word
        else:
            yield word


def _check_repeated(where: str, words: list[Any], problems: Problems) -> None:
    """Refuse a treatment, set or regimen that stands against itself, and a pair named twice."""
    for group in (words, *(word for word in words if isinstance(word, list))):
        alike = [word for at, word in enumerate(group) if word in group[:at]]
        if alike:
            name = " and ".join(alike[0]) if isinstance(alike[0], list) else alike[0]
            problems.add(where, f"names {name} twice; name different ones")


def _check_word(where: str, holds: str, word: str, places: Places) -> None:
    if holds == "regimens":
        places.regimen(where, word)
    elif holds == "sets":
        places.rule(where, word)
    elif word not in places.treatments:
        hint = nearest(word, places.treatments)
        hint = hint or f"the treatments are {', '.join(places.treatments)}"
        places.problems.add(where, f"unknown treatment {word}; {hint}")


def _check_forbidden(where: str, words: list[str], patients: Patients, places: Places) -> None:
    for word in words:
        regimen = places.regimen(where, word)
        if regimen is not None and taken(regimen) not in patients.admitted:
            places.problems.add(
                f"{where}.regimens",
                f"{word} is forbidden by study.inclusion = {patients.inclusion!r}",
            )


def _check_coefficient(
    where: str, claim: Claim, patients: Patients | None, problems: Problems
) -> None:
    """Refuse a coefficient that the cohort's regimens cannot tell."""
    if claim.meaning is None or patients is None:
        return
    if claim.meaning.kind == "regimens" and any(
        line.startswith(f"{where}.regimens: ") and "forbidden" in line for line in problems.found
    ):
        return
    try:
        cohort = patients.told(claim.meaning)
        coefficient_of(claim.meaning, cohort, is_adjusted=claim.adjusted)
    except ValueError as error:
        words = str(error)
        if patients.is_counted:
            words = words.replace("no regimen of the cohort", "no counted arm")
        problems.add(where, words)


def _check_models(claims: Iterable[Claim], where: str, problems: Problems) -> None:
    """Refuse a regression some of whose claims are adjusted and others are not."""
    for model in dict.fromkeys(claim.model for claim in claims if claim.model):
        own = {claim.adjusted for claim in claims if claim.model == model}
        if len(own) > 1:
            problems.add(
                where,
                f"of model {model!r} some are adjusted and others not; one regression is either",
            )


# --- Odd intervals ---------------------------------------------------------------------------------


def check_symmetry(claim: Claim) -> str:
    """Say that an interval is not symmetric about its estimate on the log scale, within rounding."""
    if claim.ci is None or claim.interval != "wald":
        return ""
    middle = sum(np.log(end.value) for end in claim.ci) / 2
    slack = sum(end.half / end.value for end in claim.ci) / 2 + claim.value.half / claim.value.value
    off = abs(middle - np.log(claim.value.value))
    if off <= 1.05 * slack:
        return ""
    return (
        f"({claim.ci[0].value:g}, {claim.ci[1].value:g}) is not symmetric about {claim.value.value:g} "
        f"on the log scale (its middle is {np.exp(middle):.4g}), as a Wald interval is; mend a digit, "
        'or say interval = "profile" or "exact"'
    )


# --- Readings --------------------------------------------------------------------------------------


def read_readings(
    raw: object,
    claims: tuple[Claim, ...],
    names: tuple[str, ...],
    patients: Patients | None,
    places: Places,
) -> tuple[Reading, ...]:
    """Read [[readings]]: the default first; without any there is one of the name "default"."""
    problems = places.problems
    if raw is None:
        return (Reading(READING, "as the file says", claims),)
    if not isinstance(raw, list) or not raw:
        problems.add("readings", "must be a list of tables, each begun by [[readings]]")
        return ()
    found: list[tuple[bool, Reading]] = []
    is_told = True
    for number, item in enumerate(raw, start=1):
        where = f"readings[{number}]"
        table = read_table(item, where, READING_KEYS, problems)
        if table is None:
            is_told = False
            continue
        is_told &= not ("default" in table.given and table["default"] is None)
        if table["id"] is not None and table["id"] in [reading.id for _, reading in found]:
            problems.add(f"{where}.id", f"{table['id']} stands in a reading above")
        meant = _means(f"{where}.means", table["means"] or {}, claims, names, patients, places)
        found.append((bool(table["default"]), Reading(table["id"], table["words"] or "", meant)))
    if is_told and sum(is_default for is_default, _ in found) != 1:
        problems.add("readings", "exactly one must say default = true")
    return tuple(reading for _, reading in sorted(found, key=lambda one: not one[0]))


def _means(
    where: str,
    means: Mapping[str, Any],
    claims: tuple[Claim, ...],
    names: tuple[str, ...],
    patients: Patients | None,
    places: Places,
) -> tuple[Claim, ...]:
    """Give the claims the meanings of a reading."""
    ids = [claim.id for claim in claims]
    changed: dict[str, Claim] = {}
    for name, raw in means.items():
        place = f"{where}.{name}"
        if name not in names:
            hint = nearest(name, names) or f"the claims are {', '.join(names) or 'none'}"
            places.problems.add(place, f"no such claim; {hint}")
        if name not in ids:
            continue
        keys = {**MEANINGS, **ABOUT, "model": text(required=False)}
        table = read_table(raw, place, keys, places.problems)
        if table is None:
            continue
        meaning = _meaning(place, table, patients, places)
        own = claims[ids.index(name)]
        own = replace(own, meaning=meaning, model=table["model"] or own.model)
        own = replace(own, about=table["about"] or own.about)
        _check_coefficient(place, own, patients, places.problems)
        changed[name] = own
    meant = tuple(changed.get(claim.id, claim) for claim in claims)
    if changed:
        _check_models(meant, where, places.problems)
    return meant
