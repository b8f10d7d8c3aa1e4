"""Tables and text of the page: cells as text, each table as a CSV file within the page, typesetting."""

from __future__ import annotations

import re
from base64 import b64encode
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd

from cotreat.priors.belief_grid import in_words
from cotreat.results.headline import (
    DATA_SHARE,
    IDENTIFICATION,
    OVERLAP,
    PRIOR_PROBABILITY,
    PROBABILITY,
)
from cotreat.results.monte_carlo import share
from cotreat.results.store import table_text
from cotreat.study.regimens import NONE

PROBABILITIES = ("probability", "prior_probability")
"""Columns of probabilities."""
FINE = ("value", "log_evidence", "elpd")
"""Columns in which small differences of large numbers matter, such as R-hat: shown with four digits."""
WHOLE, MILLION = 1000, 1e6
"""Numbers from the first to the second are shown without decimals."""
LONG = 24
"""A table with more rows than this is folded away until it is asked for."""

COLUMNS = {
    "label": "estimand",
    "co_treatment": "co-treatment",
    "judged_on": "judged on",
    "status": IDENTIFICATION,
    "probability": PROBABILITY,
    "prior_probability": PRIOR_PROBABILITY,
    "posterior_contraction": "posterior contraction",
    "overlap": OVERLAP,
    "data_share": DATA_SHARE,
    "risk_kind": "kind of risk",
}
"""Headings of columns where a row is an estimand; elsewhere a probability is of something else."""


@dataclass(frozen=True)
class Table:
    """A table of the page.

    Attributes
    ----------
    file : str
        Name under which it is saved.
    href : str
        The CSV file, as a ``data:`` address.
    numeric : tuple of bool
        For each column, whether it holds numbers.
    renamed : dict
        Columns whose heading is not their name in the file, by that name.
    """

    caption: str
    file: str
    href: str
    columns: tuple[str, ...]
    numeric: tuple[bool, ...]
    rows: tuple[tuple[str, ...], ...]
    renamed: dict[str, str]

    @property
    def id(self) -> str:
        """Its name within the page."""
        return re.sub(r"\W+", "-", self.file.removesuffix(".csv"))

    @property
    def is_long(self) -> bool:
        """Whether it is folded away."""
        return len(self.rows) > LONG


def table(
    data: pd.DataFrame,
    caption: str,
    file: str,
    failed: Sequence[str] = (),
    *,
    saved: bytes | None = None,
) -> Table:
    """Make a table of a page.

    Parameters
    ----------
    caption, file
        Heading, and name under which the table is saved.
    data
        What is saved, at ten digits; what is shown is rounded to three, without columns that have no value.
    failed
        Failed checks, which stand at the top of the file.
    saved
        The file itself, if there is one.

    Returns
    -------
    Table
    """
    text = b64encode(saved or table_text(data, failed).encode("utf-8")).decode("ascii")
    href = f"data:text/csv;charset=utf-8;base64,{text}"
    # A column without a value, such as the subgroup where there are none, is in the file alone.
    data = data.loc[:, [bool(data[name].map(_has_value).any()) for name in data.columns]]
    columns = tuple(map(str, data.columns))
    headings = COLUMNS if "label" in columns else {}
    called = {name: headings.get(name, name.replace("_", " ")) for name in columns}
    return Table(
        caption=caption,
        file=file,
        href=href,
        columns=tuple(called.values()),
        numeric=tuple(name in data.select_dtypes("number") for name in data.columns),
        rows=tuple(
            tuple(_cell(name, value) for name, value in zip(columns, row, strict=True))
            for row in data.itertuples(index=False, name=None)
        ),
        renamed={name: words for name, words in called.items() if "_" in name},
    )


def _has_value(value: Any) -> bool:
    return not (pd.isna(value) or value == "")


def _cell(column: str, value: Any) -> str:
    if not _has_value(value):
        return ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, Integral):
        return str(int(value))
    if isinstance(value, Real):
        return _number(column, float(value))
    return _WORDS.get(column, str)(str(value))


def _number(column: str, value: float) -> str:
    """Write a number with the digits that its column needs: three significant ones in general."""
    if column in PROBABILITIES:
        return share(value)
    if column in FINE:
        return f"{value:.4g}"
    return f"{value:.0f}" if WHOLE <= abs(value) < MILLION else f"{value:.3g}"


_WORDS = {
    "co_treatment": lambda value: "no other study drug" if value == NONE else value,
    "priors": in_words,
    "to": in_words,  # a changed choice, such as a prior set
}
"""How texts of a column are worded."""


# --- Typesetting: minus signs for hyphens before numbers ----------------------------------------------

AS_IT_IS = ("script", "style", "code", "pre")
"""Elements whose text is to be copied, or is no text."""

TAG = re.compile(r"(<[^>]*>)")
_MINUS = re.compile(r"(?<![\w.\-\]–+/=:])-(?=\d|\.\d)|(?<=\de)-(?=\d\d)")


def typeset(page: str) -> str:
    """Return a page with its text typeset.

    Parameters
    ----------
    page
        HTML in which ``<`` and ``>`` stand for tags alone.

    Returns
    -------
    str
        With minus signs for hyphens before numbers.
    """
    pieces = TAG.split(page)
    for at, text, inside in texts_within(pieces, AS_IT_IS):
        pieces[at] = text if inside else _MINUS.sub("−", text)
    return "".join(pieces)


def texts_within(
    pieces: Sequence[str], elements: Collection[str]
) -> Iterator[tuple[int, str, set[str]]]:
    """Yield the texts between tags.

    Parameters
    ----------
    pieces
        HTML, split by `TAG`.
    elements
        Names of elements.

    Yields
    ------
    int
        Place among the pieces.
    str
        The text.
    set of str
        Those of the elements that the text stands in.
    """
    depth = Counter[str]()
    for at, piece in enumerate(pieces):
        if not piece.startswith("<"):
            yield at, piece, {*+depth}
        elif (name := re.match(r"</?(\w*)", piece)) and name[1] in elements:
            depth[name[1]] += -1 if piece.startswith("</") else 1
