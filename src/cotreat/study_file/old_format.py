"""Study files in the format of version 0.1: what each of their keys is now."""

from collections.abc import Mapping
from typing import Any

from cotreat.core.toml_tables import Problems, nearest
from cotreat.study.study import Meaning
from cotreat.study_file.contrast import FORMS, UNSPECIFIED, format_contrast

RENAMED = {"claims": "reported", "readings": "interpretations"}  # allowed: keys of version 0.1
OLD_FORMAT = (
    "missing; write format = 1 as the first key of the file. A file without it is in the format of "
    "version 0.1, which wrote [[claims]] for [[reported]], [[readings]] for [[interpretations]], and "
    'keys such as regimens = ["A", "B"] for contrast = "A vs B"'
)
_KINDS = {
    "regimens": "regimens",
    "sets": "sets",
    "trend": "trend",
    "product": "product",
    "adjusted_product": "adjusted_product",
    "products": "products",
    "about": UNSPECIFIED,
}
"""Keys that `contrast` replaces, each with the kind of meaning that it stated."""


def renewed(raw: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    """Put a file into the format of today.

    Parameters
    ----------
    raw
        The file as TOML gives it, in any format.
    problems
        Each key of version 0.1 is noted here, with what to write in its place.

    Returns
    -------
    dict
        The file with the keys of today, so that what else is wrong can be noted too.
    """
    found = dict(raw)
    # A slip of "format" is an unknown key, and no older file.
    if "format" not in found and not any(nearest("format", [key]) for key in found):
        problems.add("format", OLD_FORMAT)
        found["format"] = 1
    for (old, new), renew in zip(RENAMED.items(), (_renewed, _with_means), strict=True):
        name = new
        if old in found and new not in found:
            name = old
            problems.add(old, f"is now [[{new}]]")
            found[new] = found.pop(old)
        if isinstance(found.get(new), list):
            found[new] = [
                renew(one, f"{name}[{at}]", problems) for at, one in enumerate(found[new], start=1)
            ]
    return found


def _with_means(table: Any, where: str, problems: Problems) -> Any:
    if not isinstance(table, dict) or not isinstance(table.get("means"), dict):
        return table
    means = {
        name: _renewed(one, f"{where}.means.{name}", problems)
        for name, one in table["means"].items()
    }
    return {**table, "means": means}


def _renewed(table: Any, where: str, problems: Problems) -> Any:
    """Put a table's old keys of meaning into its contrast."""
    old = [key for key in _KINDS if isinstance(table, dict) and key in table]
    if not old:
        return table
    found = {key: value for key, value in table.items() if key not in old}
    for key in old:
        written = _contrast(_KINDS[key], table[key])
        new = f'contrast = "{written}"' if written else f"contrast; it must be {FORMS}"
        problems.add(f"{where}.{key}", f"is now {new}")
        # A text that no rule can refuse stands for one that has no translation.
        found.setdefault("contrast", written or f"{UNSPECIFIED}: {key}")
    return found


def _contrast(kind: str, words: Any) -> str:
    """Write the words of an old key as a contrast; empty where they are none."""
    if kind == UNSPECIFIED:
        return f"{UNSPECIFIED}: {words}" if isinstance(words, str) else ""
    if not isinstance(words, list) or len(words) < 2:
        return ""
    pairs = [tuple(word) if isinstance(word, list) else word for word in words]
    is_right = all(isinstance(word, tuple if kind == "products" else str) for word in pairs)
    return format_contrast(Meaning(kind, tuple(pairs))) if is_right else ""
