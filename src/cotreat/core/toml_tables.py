"""Problems of a study file, tests of its values, and the format of values and names in messages."""

import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""Control characters, which terminals obey; tabs and ends of lines are allowed."""
LARGEST = 10**9
LONGEST = 80
DEEPEST = 8
QUOTED_NUMBER = re.compile(r"[+-]?\d+(,\d+)*(\.\d+)?")
THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?")
SAME_MEANING = {
    **dict.fromkeys(
        ("control", "placebo", "neither", "nothing", "untreated", "usual care"), "none"
    ),
    **dict.fromkeys(("rct", "trial", "randomized", "factorial"), "randomised"),
    **dict.fromkeys(("observational", "registry", "prospective", "retrospective"), "cohort"),
    **dict.fromkeys(("case control", "casecontrol"), "case-control"),
    **dict.fromkeys(("or", "odds ratio"), "odds_ratio"),
    **dict.fromkeys(("rr", "relative risk", "risk ratio"), "risk_ratio"),
    **dict.fromkeys(("rd", "ard", "absolute risk difference", "arr"), "risk_difference"),
    **dict.fromkeys(("percent", "%", "proportion", "risk", "rate", "response rate"), "percentage"),
    **dict.fromkeys(("ror", "interaction", "interaction or"), "ratio_of_odds_ratios"),
    **dict.fromkeys(("reri", "excess risk", "icr"), "reri_or"),
    **dict.fromkeys(("attributable proportion", "ap or"), "ap_or"),
    **dict.fromkeys(("synergy index", "si"), "s_or"),
    **dict.fromkeys(("p", "p value", "p-value"), "p_value"),
    **dict.fromkeys(("good", "response", "success"), "benefit"),
    **dict.fromkeys(("bad", "adverse", "death"), "harm"),
}
"""Words that people write, and the word of the study file."""


@dataclass
class Problems:
    """The problems of a file, collected so that one error lists all."""

    lines: list[str] = field(default_factory=list)

    def add(self, where: str, what: str) -> None:
        """Note a problem and its place.

        Parameters
        ----------
        where
            Path of the value in the file.
        what
            The rule that the value breaks.
        """
        self.lines.append(f"{where}: {what}")


# --- Tests of values -------------------------------------------------------------------------------


def is_number(value: object) -> bool:
    """Return whether a value is a finite number, also as a float.

    Parameters
    ----------
    value
        A value as TOML has it, with decimals as `Decimal`.

    Returns
    -------
    bool
    """
    if not isinstance(value, int | Decimal) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(float(value))
    except (OverflowError, ValueError):  # an integer of too many digits, a signalling NaN
        return False


def is_positive(value: object) -> bool:
    """Return whether a value is a finite number above 0, also as a float.

    Parameters
    ----------
    value
        A value as TOML has it, with decimals as `Decimal`.

    Returns
    -------
    bool
    """
    return is_number(value) and float(value) > 0  # type: ignore[arg-type]


def is_share(value: object) -> bool:
    """Return whether a value is a number between 0 and 1, both excluded.

    Parameters
    ----------
    value
        A value as TOML has it, with decimals as `Decimal`.

    Returns
    -------
    bool
    """
    return is_positive(value) and float(value) < 1  # type: ignore[arg-type]


def is_rising(value: object, accepts: Callable[[Any], bool]) -> bool:
    """Return whether a value is a list of two that pass a test, the first below the second.

    Parameters
    ----------
    value
        A value as TOML has it.
    accepts
        Test of each of the two.

    Returns
    -------
    bool
    """
    if not isinstance(value, list) or len(value) != 2 or not all(map(accepts, value)):
        return False
    return float(value[0]) < float(value[1])


# --- Words -----------------------------------------------------------------------------------------


def nearest(name: str, known: Iterable[str], similarity: float = 0.6) -> str:
    """Return "did you mean …?" with the known name nearest to `name`; empty where none is near.

    Parameters
    ----------
    name
        The unknown name.
    known
        Names that would be accepted.
    similarity
        Smallest similarity of the nearest name, between 0 and 1, as `difflib` measures it.

    Returns
    -------
    str
    """
    names = list(known)
    meant = {name.lower(), SAME_MEANING.get(name.lower().replace("_", " "))}
    same = [other for other in names if other.lower() in meant]
    near = same or get_close_matches(name, names, 1, similarity)
    return f"did you mean {near[0]}?" if near else ""


def likely(value: object, right: str) -> str:
    """Return what a wrong word or number is likely to mean, after a semicolon; empty where unknown.

    Parameters
    ----------
    value
        The wrong value.
    right
        Words on the right form of the value, with the choices in quotation marks.

    Returns
    -------
    str
    """
    if not isinstance(value, str):
        return ""
    if "number" in right and QUOTED_NUMBER.fullmatch(value):
        point = "" if THOUSANDS.fullmatch(value) else "."
        return f"; write {value.replace(',', point)}, without quotation marks"
    # A distant word, such as hazard_ratio for odds_ratio, is another thing.
    near = nearest(value, re.findall(r'"([a-z_-]+)"', right), 0.8)
    return f"; {near}" if near else ""


def show(value: object, depth: int = 0) -> str:
    """Format a value as in the file, shortened and without control characters.

    Parameters
    ----------
    value
        A value as TOML has it.
    depth
        Number of tables and lists around the value.

    Returns
    -------
    str
        At most about `LONGEST` characters.
    """
    if isinstance(value, int) and abs(value) > LARGEST**2:
        return "a number of many digits"
    if depth > DEEPEST:
        return "…"
    if isinstance(value, list):
        return f"[{', '.join(show(item, depth + 1) for item in value)}]"
    if isinstance(value, dict):
        inside = ", ".join(f"{show_key(k)} = {show(v, depth + 1)}" for k, v in value.items())
        words = f"{{ {inside} }}" if inside else "{}"
    else:
        words = repr(value) if isinstance(value, str) else str(value).lower()
    return words if len(words) <= LONGEST else f"{words[:LONGEST]}…"


def without_controls(text: str) -> str:
    r"""Return a text with its control characters as escapes.

    Parameters
    ----------
    text
        Any text.

    Returns
    -------
    str
        Such as ``\x1b[31m`` for the escape that makes a terminal's text red.
    """
    return CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


def control_characters(raw: Any) -> Iterator[tuple[str, str]]:
    """Yield the texts of a file that have a control character.

    Parameters
    ----------
    raw
        A file as parsed from TOML, nested to any depth.

    Yields
    ------
    tuple of (str, str)
        Path of the text, and the text or the key that has it.
    """
    waiting: list[tuple[str, Any]] = [("", raw)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, str) and CONTROL.search(value):
            yield place, value
        elif isinstance(value, list):
            waiting += [(f"{place}[{at}]", item) for at, item in enumerate(value, start=1)]
        elif isinstance(value, dict):
            for key, item in value.items():
                at = f"{place}.{show_key(key)}"[-LONGEST:] if place else show_key(key)
                if CONTROL.search(key):
                    yield at, key
                waiting.append((at, item))


def show_key(name: str) -> str:
    """Format a key without control characters.

    Parameters
    ----------
    name
        The key.

    Returns
    -------
    str
    """
    return name if name.isprintable() else repr(name)
