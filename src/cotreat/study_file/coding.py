"""The values of a column that mean yes or no, and the regimens that the values of a column name."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from cotreat.study.regimens import Regimen, label, lattice, parse
from cotreat.study_file.parsing import likely_regimen

PAIRS = (("yes", "no"), ("y", "n"), ("true", "false"), ("t", "f"), ("on", "off"), ("1", "0"))
"""Pairs of words, in any case, that mean yes and no without a key of the study file."""
NO_LEVEL = ("", "none", "0")
"""Values, besides null, of the level of a treatment that was not given."""
LIKE_MISSING = frozenset(
    {".", "-", "--", "?", "na", "n/a", "n.a.", "#n/a", "nan", "null", "missing", "unknown"}
    | {"9", "99", "999", "9999", "-9", "-99", "-999"}
)
"""Texts that often mark a missing value."""
MOST_SHOWN = 8
"""Largest number of values that a message lists."""


class CodingError(ValueError):
    """Values of which it is not clear what they mean."""


# --- Names, texts and lists in SQL -----------------------------------------------------------------


def quoted(name: str) -> str:
    """Return a name as a quoted SQL identifier.

    Parameters
    ----------
    name
        Name of a column or table.

    Returns
    -------
    str
    """
    return '"' + name.replace('"', '""') + '"'


def as_text(column: str) -> str:
    """Return the SQL expression of a column as text.

    Parameters
    ----------
    column
        Name of the column.

    Returns
    -------
    str
    """
    return f"CAST({quoted(column)} AS VARCHAR)"


def listed(words: Iterable[str]) -> str:
    """Return texts as the inside of an SQL list.

    Parameters
    ----------
    words
        The texts.

    Returns
    -------
    str
    """
    return ", ".join("'" + word.replace("'", "''") + "'" for word in words)


# --- Values ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class YesNo:
    """A column of two meanings: the outcome, or whether a treatment was given.

    Attributes
    ----------
    column : str
    yes, no : tuple of str
        Its values as text; both empty for a column of 0 and 1, or of true and false. One that is empty
        contains every other value.
    """

    column: str
    yes: tuple[str, ...] = ()
    no: tuple[str, ...] = ()

    @property
    def is_coded(self) -> bool:
        """Whether values are translated to 1 and 0."""
        return bool(self.yes or self.no)

    @property
    def values(self) -> tuple[str, ...]:
        """All values, as text."""
        return (*self.yes, *self.no)

    @property
    def folded_sql(self) -> str:
        """The SQL expression of the text without case and surrounding blanks, as `fold` returns it."""
        return f"LOWER(TRIM({as_text(self.column)}))"

    @property
    def sql(self) -> str:
        """The SQL expression of 1, 0 or null."""
        if not self.is_coded:
            return f"CAST({quoted(self.column)} AS INTEGER)"
        text = self.folded_sql
        first, second = (1, self.yes), (0, self.no)
        if not self.yes:
            first, second = second, first
        known, others = (
            f"{text} IN ({listed(_folded(words))})" if words else f"{text} IS NOT NULL"
            for _, words in (first, second)
        )
        return f"CASE WHEN {known} THEN {first[0]} WHEN {others} THEN {second[0]} END"

    def __str__(self) -> str:
        """Show which values mean yes, and which no."""
        sides = ((self.yes, "yes"), (self.no, "no"))
        return "; ".join(f"{word}: {shown(values)}" for values, word in sides if values)


@dataclass(frozen=True)
class RegimenColumn:
    """A column of regimens.

    Attributes
    ----------
    column : str
    values : tuple of (str, str)
        Values that the study file translates, and their regimens.
    """

    column: str
    values: tuple[tuple[str, str], ...] = ()

    def indicators(self, treatments: Sequence[str]) -> Iterator[tuple[str, YesNo]]:
        """Yield the coding of each treatment by the regimens that a study file can name.

        Parameters
        ----------
        treatments
            Ids of the treatments.

        Yields
        ------
        tuple of (str, YesNo)
            A treatment, with its coding.
        """
        named = {label(regimen, treatments): regimen for regimen in lattice(treatments)}
        named |= {value: parse(regimen) for value, regimen in self.values}
        yield from indicators_of(self.column, named, treatments)


def indicators_of(
    column: str, regimen_of: Mapping[str, Regimen], treatments: Sequence[str]
) -> Iterator[tuple[str, YesNo]]:
    """Yield the coding of each treatment by the values of a column of regimens.

    Parameters
    ----------
    column
        Name of the column.
    regimen_of
        The regimen of each value.
    treatments
        Ids of the treatments.

    Yields
    ------
    tuple of (str, YesNo)
        A treatment, with its coding.
    """
    for treatment in treatments:
        yes = tuple(value for value, regimen in regimen_of.items() if treatment in regimen)
        no = tuple(value for value in regimen_of if value not in yes)
        yield treatment, YesNo(column, yes, no)


def texts_of(values: Any) -> tuple[str, ...]:
    """Return values of a study file as texts, as DuckDB writes them.

    Parameters
    ----------
    values
        A text, number or truth value, or a list of them; None for none.

    Returns
    -------
    tuple of str
        Such as ``2`` for 2.0, and ``true``.
    """
    several = values if isinstance(values, list) else [values]
    return tuple(_text_of_value(value) for value in several if value is not None)


def _text_of_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return str(int(value))
    return str(value)


def fold(text: str) -> str:
    """Return a text without case and surrounding blanks.

    Parameters
    ----------
    text
        Any text.

    Returns
    -------
    str
    """
    return text.strip().casefold()


def _folded(words: Iterable[str]) -> list[str]:
    """Return texts as `fold` and as SQL would fold them: LOWER and TRIM keep tabs and letters such as ß."""
    return list(
        dict.fromkeys(form for word in words for form in (fold(word), word.strip(" ").lower()))
    )


def shown(values: Sequence[str]) -> str:
    """List values in a message.

    Parameters
    ----------
    values
        Values as text.

    Returns
    -------
    str
        The first of them, each in quotation marks.
    """
    some = ", ".join(f"{value[:40]!r}" for value in values[:MOST_SHOWN])
    return some + f" and {len(values) - MOST_SHOWN} more" * (len(values) > MOST_SHOWN)


def toml_of(text: str) -> str:
    """Return a text as TOML writes it.

    Parameters
    ----------
    text
        Any text.

    Returns
    -------
    str
    """
    return json.dumps(text, ensure_ascii=False)


def missing_hint(values: Sequence[str]) -> str:
    """Return how to declare values that look like markers of missing values; empty if they do not.

    Parameters
    ----------
    values
        Values that cannot be used.

    Returns
    -------
    str
        After a semicolon.
    """
    like = [value for value in values if fold(value) in LIKE_MISSING]
    if not like or len(like) < len(values):
        return ""
    means = "means" if len(like) == 1 else "mean"
    written = ", ".join(toml_of(value.strip()) for value in like)
    return f"; if {shown(like)} {means} missing, write missing_values = [{written}]"


def coding_of(declared: YesNo, found: Sequence[str], right: str, names: tuple[str, str]) -> YesNo:
    """Return which of the values of a column mean yes, and which no.

    Parameters
    ----------
    declared
        The column, with the values that the study file states.
    found
        The different values of the column.
    right
        What to write where the meaning is not clear.
    names
        Keys of the values that mean yes, and of those that mean no.

    Returns
    -------
    YesNo
        Without values where they are 0 and 1, or true and false.

    Raises
    ------
    CodingError
        If it is not clear what the values mean.

    Notes
    -----
    Case and surrounding blanks do not matter. Without declared values, the values are at most the two of
    one of `PAIRS`; with values of one meaning declared, all others are one value.
    """
    if not declared.is_coded:
        return _by_words(declared, found, right)
    sides: list[tuple[str, ...]] = []
    for name, words in zip(names, (declared.yes, declared.no), strict=True):
        known = {fold(word) for word in words}
        sides.append(tuple(value for value in found if fold(value) in known))
        if words and not sides[-1]:
            raise CodingError(f"has the values {shown(found)}; {name} is {shown(words)}")
    yes, no = sides
    if both := sorted({*yes} & {*no}):
        raise CodingError(f"has {shown(both)}, which is both {names[0]} and {names[1]}")
    others = [value for value in found if value not in (*yes, *no)]
    if declared.yes and declared.no:
        if others:
            neither = (
                f"which {'is' if len(others) == 1 else 'are'} neither {names[0]} nor {names[1]}"
            )
            raise CodingError(f"has the values {shown(others)}, {neither}{_or_missing(others)}")
    elif len({*map(fold, others)}) > 1:
        which, other = names if declared.yes else names[::-1]
        more = f"besides {which} it has {shown(others)}; write {other} = … with those that are"
        raise CodingError(f"has more than two values: {more}{_or_missing(others)}")
    elif declared.yes:
        no = tuple(others)
    else:
        yes = tuple(others)
    return replace(declared, yes=yes, no=no)


def _or_missing(values: Sequence[str]) -> str:
    """Return how to declare values as missing."""
    some = toml_of(next((v for v in values if fold(v) in LIKE_MISSING), values[-1]).strip())
    return f"; write missing_values = [{some}] for a value that means missing"


def _by_words(declared: YesNo, found: Sequence[str], right: str) -> YesNo:
    """Return the coding of one of `PAIRS`."""
    folded = {fold(value) for value in found}
    for pair in PAIRS:
        if folded <= {*pair}:
            yes, no = (tuple(value for value in found if fold(value) == word) for word in pair)
            return replace(declared, yes=yes, no=no)
    pairs = [pair for pair in PAIRS if folded & {*pair}]
    others = [value for value in found if pairs and fold(value) not in pairs[0]]
    hint = missing_hint(others) or f"; {right}"
    raise CodingError(f"has the values {shown(found)}{hint}")


def regimens_of(
    column: RegimenColumn, found: Sequence[str], treatments: Sequence[str]
) -> dict[str, Regimen]:
    """Return the regimen of each value of a column.

    Parameters
    ----------
    column
        The column, with the values that the study file translates.
    found
        The different values of the column.
    treatments
        Ids of the treatments.

    Returns
    -------
    dict of str to frozenset of str

    Raises
    ------
    CodingError
        If a value names no regimen.
    """
    known = {fold(value): regimen for value, regimen in column.values}
    if unused := [v for v, _ in column.values if fold(v) not in {*map(fold, found)}]:
        raise CodingError(
            f"has the values {shown(found)}; {shown(unused)} of its table of values is none of them"
        )
    read = {value: _regimen(known.get(fold(value), value), treatments) for value in found}
    unknown = [value for value, regimen in read.items() if regimen is None]
    if not unknown:
        return {value: regimen for value, regimen in read.items() if regimen is not None}
    likely = {value.strip(): likely_regimen(value, treatments) or "…" for value in unknown}
    table = [*{**dict(column.values), **likely}.items()][:MOST_SHOWN]
    inside = ", ".join(f"{toml_of(value)} = {toml_of(regimen)}" for value, regimen in table)
    written = f"{{ column = {toml_of(column.column)}, values = {{ {inside} }} }}"
    which = "is no regimen" if len(unknown) == 1 else "are no regimens"
    hint = missing_hint(unknown) or f"; write regimen = {written}"
    raise CodingError(f"has the values {shown(unknown)}, which {which}{hint}")


def _regimen(text: str, treatments: Sequence[str]) -> Regimen | None:
    """Return the regimen that a text names; None where it names none."""
    try:
        regimen = parse(text)
    except ValueError:
        return None
    return regimen if regimen <= {*treatments} else None
