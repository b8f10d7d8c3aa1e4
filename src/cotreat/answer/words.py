"""Small words of the answer: lists, counts, probabilities."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cotreat.headline import share


def listed(names: Iterable[str]) -> str:
    """Write names as a list that ends in "and"."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def some(names: Sequence[str], most: int) -> str:
    """Name so many, and count the others."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def sentence(clauses: Sequence[str]) -> str:
    """Join clauses to a sentence."""
    text = "; ".join(clauses)
    return f"{text[0].upper()}{text[1:]}."


def span(probabilities: Iterable[float]) -> tuple[float, float]:
    """Return the least and the greatest."""
    values = list(probabilities)
    return min(values), max(values)


def between(limits: tuple[float, float]) -> str:
    """Write a range of probabilities, or the one that it is."""
    lower, upper = map(share, limits)
    return lower if lower == upper else f"{lower} to {upper}"


def plural(word: str, number: int) -> str:
    """Write a word for so many."""
    return word if number == 1 else f"{word}s"


def say(number: int) -> str:
    """Let so many say something."""
    return "says" if number == 1 else "say"
