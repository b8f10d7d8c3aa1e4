"""Tables for the page: cells as text, and the whole table as a CSV file that the page carries."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import pandas as pd

from cotreat.estimands.measures import MEASURES
from cotreat.results.old_columns import name_of, subject_of
from cotreat.results.store import table_text

LONG = 24
"""A table with more rows than this is folded away until it is asked for."""

NAMES = {
    "odds_ratio": "odds ratio",
    "risk": "risk",
    "risk_difference": "risk difference",
    "risk_ratio": "risk ratio",
    "marginal_odds_ratio": "marginal odds ratio",
    "nnt": "number needed to treat",
    "effect_ratio": "ratio of a treatment's odds ratios with two partners",
    "product": "product term",
    "mutual_product": "product term beside another",
    "size": "patients",
    **{name: measure.words for name, measure in MEASURES.items()},
}
"""What an estimand is called beside its label."""

PRODUCTS = ("product", "mutual_product")
"""Names of what stands for a pair of treatments."""

COLUMNS = {
    "probability": "P(> null)",
    "prior_probability": "prior P",
    "contraction": "learnt",
    "risk_kind": "kind of risk",
}
"""How columns are called where a row is an estimand; elsewhere a probability is of something else."""


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
        Columns that are called otherwise than in the file and have a name of several words there.
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
    data
        What is saved, at ten digits; what is shown is rounded to four.
    failed
        Failed checks, which stand at the top of the file.
    saved
        The file itself, if there is one.
    """
    text = b64encode(saved or table_text(data, failed).encode("utf-8")).decode("ascii")
    href = f"data:text/csv;charset=utf-8;base64,{text}"
    columns = tuple(map(str, data.columns))
    called = {name: name.replace("_", " ") for name in columns}
    called |= {name: words for name, words in COLUMNS.items() if "estimand" in columns}
    return Table(
        caption=caption,
        file=file,
        href=href,
        columns=tuple(called[name] for name in columns),
        numeric=tuple(_is_numeric(data[name]) for name in data.columns),
        rows=tuple(
            tuple(_cell(name, value) for name, value in zip(columns, row, strict=True))
            for row in data.itertuples(index=False, name=None)
        ),
        renamed={name: words for name, words in called.items() if "_" in name and name in columns},
    )


def _is_numeric(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def _cell(column: str, value: Any) -> str:
    if value is None or value is pd.NA or value != value:  # noqa: PLR0124 - NaN is not itself
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Integral):
        return str(int(value))
    if isinstance(value, Real):
        return f"{float(value):.4g}"
    return in_words(str(value)) if column == "estimand" else str(value)


def in_words(label: str) -> str:
    """Write an estimand's label in words: ``ror[A:B] on C`` as ratio of odds ratios (ror), A × B on C."""
    name, subject = name_of(label), subject_of(label)
    if name not in NAMES:
        return label
    rest = label.partition("]")[2]
    if name in MEASURES:
        return f"{NAMES[name]} ({name}), {subject.replace(':', ' × ')}{rest}"
    return f"{NAMES[name]}, {subject.replace(':', ' × ') if name in PRODUCTS else subject}{rest}"
