"""Reading tables of a TOML file against what their keys may hold, every problem collected."""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

LARGEST = 10**9
LONGEST = 80


@dataclass
class Problems:
    """Collects what is wrong, so that one error can say it all."""

    found: list[str] = field(default_factory=list)

    def add(self, where: str, what: str) -> None:
        """Note what is wrong, and where."""
        self.found.append(f"{where}: {what}")


@dataclass(frozen=True)
class Key:
    """One key of a table: a test of its value and, in words, what passes the test."""

    accepts: Callable[[Any], bool]
    right: str
    required: bool = True


@dataclass(frozen=True)
class Table:
    """The values of a table; None for those that are missing or wrong.

    Attributes
    ----------
    given : frozenset of str
        Keys that the file has, right or wrong.
    """

    values: Mapping[str, Any]
    given: frozenset[str]

    def __getitem__(self, key: str) -> Any:
        return self.values[key]


# --- Kinds of values -------------------------------------------------------------------------------


def is_positive(value: object) -> bool:
    """Tell whether a value is a finite number above 0, also as a float."""
    if not isinstance(value, int | Decimal) or isinstance(value, bool):
        return False
    if isinstance(value, Decimal) and not value.is_finite():
        return False
    try:
        return 0 < float(value) < math.inf
    except OverflowError:
        return False


def is_share(value: object) -> bool:
    """Tell whether a value is a number between 0 and 1, both excluded."""
    return is_positive(value) and 0 < float(value) < 1  # type: ignore[arg-type]


def is_text(value: object) -> bool:
    """Tell whether a value is a text with something in it."""
    return isinstance(value, str) and bool(value.strip())


def is_rising(value: object, accepts: Callable[[Any], bool]) -> bool:
    """Tell whether a value is a list of two that pass a test, the first below the second."""
    return is_two(value, accepts) and float(value[0]) < float(value[1])  # type: ignore[index]


def is_two(value: object, accepts: Callable[[Any], bool]) -> bool:
    """Tell whether a value is a list of two that pass a test."""
    return isinstance(value, list) and len(value) == 2 and all(map(accepts, value))


def text(*, required: bool = True) -> Key:
    """Accept a text that is not empty."""
    return Key(is_text, "a text that is not empty", required)


def one_of(*choices: str, required: bool = True) -> Key:
    """Accept one of some words."""
    words = " or ".join(f'"{choice}"' for choice in choices)
    return Key(lambda value: value in choices, words, required)


def matching(pattern: str, right: str) -> Key:
    """Accept a text of a certain form."""
    return Key(lambda v: isinstance(v, str) and re.fullmatch(pattern, v) is not None, right)


def whole(minimum: int, *, required: bool = True) -> Key:
    """Accept a whole number."""
    return Key(
        lambda v: isinstance(v, int) and not isinstance(v, bool) and minimum <= v <= LARGEST,
        f"a whole number from {minimum} to {LARGEST:,}",
        required,
    )


def flag() -> Key:
    """Accept true or false."""
    return Key(lambda v: isinstance(v, bool), "true or false", required=False)


# --- Reading ---------------------------------------------------------------------------------------


def read_table(
    raw: object, where: str, keys: Mapping[str, Key], problems: Problems
) -> Table | None:
    """Read a table; missing, unknown and wrong keys become problems."""
    if not isinstance(raw, dict):
        problems.add(where, f"must be a table with the keys {', '.join(keys)}")
        return None
    unknown_keys(raw, where, keys, problems)
    for name, key in keys.items():
        if name not in raw and key.required:
            problems.add(f"{where}.{name}", f"missing; it must be {key.right}")
        elif name in raw and not key.accepts(raw[name]):
            problems.add(f"{where}.{name}", f"is {show(raw[name])}; it must be {key.right}")
    values = {
        name: raw[name] if name in raw and key.accepts(raw[name]) else None
        for name, key in keys.items()
    }
    return Table(values, frozenset(raw) & frozenset(keys))


def read_tables(
    raw: object, where: str, keys: Mapping[str, Key], problems: Problems
) -> Iterator[tuple[str, Table]]:
    """Read each table of an array; yield it with its place, counted from 1."""
    if not isinstance(raw, list):
        problems.add(where, f"must be a list of tables, each begun by [[{where}]]")
        return
    for number, item in enumerate(raw, start=1):
        place = f"{where}[{number}]"
        table = read_table(item, place, keys, problems)
        if table is not None:
            yield place, table


def unknown_keys(
    raw: Mapping[str, object], where: str, known: Iterable[str], problems: Problems
) -> None:
    """Note every key that is not known, with the nearest one that is."""
    names = list(known)
    for name in raw:
        if name not in names:
            hint = nearest(name, names) or f"known are {', '.join(names)}"
            shown = name if name.isprintable() else repr(name)
            problems.add(f"{where}.{shown}" if where else shown, f"unknown key; {hint}")


def nearest(name: str, known: Iterable[str]) -> str:
    """Ask whether the known name nearest to `name` was meant; empty where none is near."""
    near = get_close_matches(name, list(known), 1)
    return f"did you mean {near[0]}?" if near else ""


def show(value: object) -> str:
    """Write a value as it stands in the file, shortened and without control characters."""
    if isinstance(value, int) and abs(value) > LARGEST**2:
        return "a number of many digits"
    if isinstance(value, list):
        return f"[{', '.join(map(show, value))}]"
    if isinstance(value, dict):
        inside = ", ".join(f"{name} = {show(one)}" for name, one in value.items())
        words = f"{{ {inside} }}" if inside else "{}"
    else:
        words = repr(value) if isinstance(value, str) else str(value).lower()
    return words if len(words) <= LONGEST else f"{words[:LONGEST]}…"
