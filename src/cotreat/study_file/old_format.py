"""Keys of study files of version 0.1, and the keys of format 1 that replace them."""

from collections.abc import Mapping
from typing import Any

from cotreat.core.toml_tables import Problems, nearest
from cotreat.study.study import Meaning
from cotreat.study_file.contrast import FORMS, UNSPECIFIED, format_contrast

RENAMED = {
    "claims": "reported",  # allowed: a key of version 0.1
    "readings": "interpretations",  # allowed: a key of version 0.1
    "cells": "patterns",
}
OLD_FORMAT = (
    "missing; write format = 1 as the first key of the file. A file without it is in the format of "
    "version 0.1, which wrote [[claims]] for [[reported]], "  # allowed: a key of version 0.1
    "[[readings]] for [[interpretations]], and "
    'keys such as regimens = ["A", "B"] for contrast = "A vs B"'
)
_SAME = ("regimens", "sets", "trend", "product", "adjusted_product", "products")
_KINDS = {**{key: key for key in _SAME}, "about": UNSPECIFIED}
"""Keys that `contrast` replaces, each with its kind of contrast."""


def renewed(raw: Mapping[str, Any], problems: Problems) -> dict[str, Any]:
    """Convert a file to format 1.

    Parameters
    ----------
    raw
        The file as parsed from TOML, in any format.
    problems
        Each key of version 0.1 is noted here, with its replacement.

    Returns
    -------
    dict
        The file with the keys of format 1, so that other problems can be noted too.
    """
    file = dict(raw)
    # A misspelt "format" is an unknown key, and no older file.
    if "format" not in file and not any(nearest("format", [key]) for key in file):
        problems.add("format", OLD_FORMAT)
        file["format"] = 1
    for old, new, renew in zip(
        RENAMED, RENAMED.values(), (_renewed, _with_means, None), strict=True
    ):
        name = new
        if old in file and new not in file:
            name = old
            problems.add(old, f"is now [{new}]" if renew is None else f"is now [[{new}]]")
            file[new] = file.pop(old)
        if renew is not None and isinstance(file.get(new), list):
            tables = enumerate(file[new], start=1)
            file[new] = [renew(table, f"{name}[{at}]", problems) for at, table in tables]
    return file


def _with_means(table: Any, where: str, problems: Problems) -> Any:
    if not isinstance(table, dict) or not isinstance(table.get("means"), dict):
        return table
    means = table["means"].items()
    renewed = {name: _renewed(mean, f"{where}.means.{name}", problems) for name, mean in means}
    return {**table, "means": renewed}


def _renewed(table: Any, where: str, problems: Problems) -> Any:
    """Replace a table's old keys by its contrast."""
    old = [key for key in _KINDS if isinstance(table, dict) and key in table]
    if not old:
        return table
    kept = {key: value for key, value in table.items() if key not in old}
    for key in old:
        written = _contrast(_KINDS[key], table[key])
        new = f'contrast = "{written}"' if written else f"contrast; it must be {FORMS}"
        problems.add(f"{where}.{key}", f"is now {new}")
        # An unspecified contrast replaces one that has no translation: it adds no false problems.
        kept.setdefault("contrast", written or f"{UNSPECIFIED}: {key}")
    return kept


def _contrast(kind: str, words: Any) -> str:
    """Return the words of an old key as a contrast; empty where they are not right."""
    if kind == UNSPECIFIED:
        return f"{UNSPECIFIED}: {words}" if isinstance(words, str) else ""
    if not isinstance(words, list) or len(words) < 2:
        return ""
    pairs = [tuple(word) if isinstance(word, list) else word for word in words]
    is_right = all(isinstance(word, tuple if kind == "products" else str) for word in pairs)
    return format_contrast(Meaning(kind, tuple(pairs))) if is_right else ""
