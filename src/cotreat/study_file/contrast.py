"""The grammar of ``contrast``: the coefficient that a reported number estimates, as one text."""

import re

from cotreat.study.regimens import NONE
from cotreat.study.study import Meaning

UNSPECIFIED = "unspecified"
"""Kind of a number that is shown and not used, because its source does not state the coefficient."""

GRAMMAR = (
    ("A+B vs B", "patients on exactly A and B against those on exactly B (regimens; none is one)"),
    ("A vs not A", "all patients with A against all without (sets: not, and, or, any(), all())"),
    ("all with A vs all with B", "two sets, each named by one treatment, level or subgroup"),
    ("not A < A and not B < A and B", "trend over disjoint sets, scored 0, 1, 2, …"),
    ("A x B", "product of A and B over the four sets of patients that they make"),
    ("A x B | treatments", "product of A and B, adjusted for every treatment"),
    ("A x B | A x C", "product of A and B, adjusted for A x C and for every treatment"),
    ("unspecified: WORDS", "a number that is shown and not used"),
)
LEVEL_FORMS = 'a regimen such as "A+B", or a set of patients such as "all with A" or "not A"'
"""Each form of a contrast, with its meaning."""

FORMS = "a contrast such as " + ", ".join(f'"{form}"' for form, _ in GRAMMAR)
DESCRIPTION = (
    "The coefficient that the number estimates. "
    + "; ".join(f"{form}: {words}" for form, words in GRAMMAR)
    + f". Of a percentage: {LEVEL_FORMS}"
    + ". In a comparison (vs), a plain name is a regimen, unless the other side is written as a set: "
    "with not, and, or, any(), all(), parentheses, all, or all with."
)

_SET = re.compile(r"(?<![\w.=])(?:and|or|not|any|all)(?!\w)|[(),]")
_PAIR = r"([^\s|,]+)\s+[x×]\s+([^\s|,]+)"
_PRODUCT = re.compile(rf"{_PAIR}(?:\s*\|\s*(.+))?")
_WHOLE = "all with "
_TREATMENTS = "treatments"


def parse_contrast(text: str, *, is_level: bool = False) -> Meaning:
    """Parse a contrast.

    Parameters
    ----------
    text : str
        One of the forms of `GRAMMAR`, or of `LEVEL_FORMS`.
    is_level : bool
        Whether the number is of one group of patients alone, as a percentage is.

    Returns
    -------
    Meaning
        Its kind is an entry of `cotreat.evidence.contrasts.KINDS`, or `UNSPECIFIED`.

    Raises
    ------
    ValueError
        If the text has none of these forms.
    """
    text = text.strip()
    kind, colon, words = text.partition(":")
    if kind == UNSPECIFIED and colon and words.strip():
        return Meaning(UNSPECIFIED, (words.strip(),))
    if is_level:
        return _level(text)
    if product := _PRODUCT.fullmatch(text):
        return _product(text, product)
    if len(sides := _split(text, " vs ")) == 2:
        if any(map(_SET.search, sides)):
            return Meaning("sets", tuple(map(_without_prefix, sides)))
        return Meaning("regimens", tuple(sides))
    if len(sides := _split(text, " < ")) > 1:
        return Meaning("trend", tuple(map(_without_prefix, sides)))
    raise ValueError(f"is {text!r}; it must be {FORMS}")


def _level(text: str) -> Meaning:
    """Read one regimen, or one set of patients."""
    if not text or _PRODUCT.fullmatch(text) or any(mark in f" {text} " for mark in (" vs ", " < ")):
        raise ValueError(f"is {text!r}; it must be {LEVEL_FORMS}")
    is_set = text.startswith(_WHOLE) or _SET.search(text)
    return Meaning("set", (_without_prefix(text),)) if is_set else Meaning("regimen", (text,))


def _split(text: str, mark: str) -> list[str]:
    """Split a text at a mark; empty where a part has nothing in it."""
    parts = [part.strip() for part in f" {text} ".split(mark)]
    return parts if all(parts) else []


def _product(text: str, found: re.Match[str]) -> Meaning:
    first, second, adjusted = found.groups()
    if adjusted is None:
        return Meaning("product", (first, second))
    if adjusted == _TREATMENTS:
        return Meaning("adjusted_product", (first, second))
    others = [re.fullmatch(_PAIR, part.strip()) for part in adjusted.split(",")]
    pairs = [other.groups() for other in others if other is not None]
    if len(pairs) < len(others):
        words = 'after "|" it must have "treatments", or products such as "A x C, B x C"'
        raise ValueError(f"is {text!r}; {words}")
    return Meaning("products", ((first, second), *pairs))


def _without_prefix(side: str) -> str:
    """Leave out "all with" before one name."""
    name = side.removeprefix(_WHOLE).strip()
    return name if re.fullmatch(r"[\w.]+", name) else side


def format_contrast(meaning: Meaning) -> str:
    """Return the contrast that `parse_contrast` parses to a meaning.

    Parameters
    ----------
    meaning : Meaning

    Returns
    -------
    str
    """
    words = meaning.words
    match meaning.kind:
        case "product" | "adjusted_product":
            more = f" | {_TREATMENTS}" * (meaning.kind == "adjusted_product")
            return " x ".join(words) + more
        case "products":
            first, *others = (" x ".join(pair) for pair in words)
            return f"{first} | {', '.join(others)}"
        case "sets" | "set":
            is_plain = not any(map(_SET.search, words))
            return " vs ".join(_WHOLE + w if is_plain and w != NONE else w for w in words)
        case "trend" | "regimens" | "regimen":
            return (" < " if meaning.kind == "trend" else " vs ").join(words)
        case _:
            return f"{UNSPECIFIED}: {words[0]}"
