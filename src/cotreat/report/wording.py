"""Small words: lists, counts, probabilities, intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cotreat.results.monte_carlo import share


def listed(names: Iterable[str]) -> str:
    """Write names as a list that ends in "and".

    Parameters
    ----------
    names
        At least one.

    Returns
    -------
    str
    """
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def some(names: Sequence[str], most: int, between: str = ", ") -> str:
    """Name the first `most`, and count the others.

    Parameters
    ----------
    names, most
        The names, and how many of them are shown.
    between
        What separates them.

    Returns
    -------
    str
    """
    shown = between.join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"


def between(probabilities: Iterable[float]) -> str:
    """Write the range of probabilities, or their one value.

    Parameters
    ----------
    probabilities
        At least one.

    Returns
    -------
    str
    """
    values = list(probabilities)
    lower, upper = share(min(values)), share(max(values))
    return lower if lower == upper else f"{lower} to {upper}"


def plural(word: str, number: int) -> str:
    """Write a noun in the number that fits a count.

    Parameters
    ----------
    word, number
        The noun in the singular, and the count.

    Returns
    -------
    str
    """
    return word if number == 1 else f"{word}s"


def capital(text: str) -> str:
    """Begin a sentence.

    Parameters
    ----------
    text
        The sentence.

    Returns
    -------
    str
    """
    return text[:1].upper() + text[1:]
