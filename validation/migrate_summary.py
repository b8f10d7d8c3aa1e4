"""Migrate kept tables from the old format (labels) to the new format (columns) without changing a number.

The old format identifies an estimand by ``estimand`` (``odds_ratio[A vs B]``), ``background``, ``scale`` (event
or non-event) and ``availability``. The new format replaces these with the columns `cotreat.core.constants.ASKED`.
``python validation/migrate_summary.py results`` rewrites every old table below a folder; tables in the new format
are left unchanged.
"""

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cotreat.core.constants import (
    ANY,
    ASKED,
    IDENTIFIED,
    NOT_ESTIMABLE,
    NOT_IDENTIFIED,
    QUESTION,
    SUMMARY_COLUMNS,
)
from cotreat.estimands.enumerate import ASSUMED
from cotreat.estimands.estimand import (
    DIFFERENCE,
    EFFECT_RATIO,
    NEEDED,
    ODDS_RATIO,
    RISK,
    SIZE,
    label_of,
)
from cotreat.estimands.measures import MEASURES
from cotreat.frequentist.logistic import NO_CELLS
from cotreat.study.regimens import WITHIN

OLD = re.compile(r"(?P<measure>\w+)\[(?P<subject>.*)\](?: > (?P<threshold>\S+))?")
EVERY = "every ("
PRODUCTS = {"product", "adjusted_product"}
LOG_ODDS = {ODDS_RATIO, EFFECT_RATIO, "trend", "mutual_product", *PRODUCTS}
LOG_ODDS |= {name for name, measure in MEASURES.items() if measure.is_contrast}
"""Measures whose logarithm is a contrast of log odds; posterior contraction is defined only for these."""
UNITS = {RISK: "risk", DIFFERENCE: "difference", NEEDED: "patients"}
UNITS |= {name: measure.unit for name, measure in MEASURES.items()}
OTHER_NAMES = {
    "background": "co_treatment",
    "scale": "judged_on",
    "availability": "status",
    "comparison": "contrast",
}
"""Renamed columns of tables without labels: old name to new name."""
REASONS = {"not estimable from the counted regimens": NO_CELLS.reason}
STATUS = {"observed": IDENTIFIED, "extrapolated": NOT_IDENTIFIED}
SENSES = {
    "risk-additive (": "additive (",
    "odds-additive (": "RERI from odds ratios (",
    "log-odds (": "multiplicative odds (",
    "log-risk (": "multiplicative risks (",
    "independence (": "Bliss independence (",
}


def is_old(table: pd.DataFrame) -> bool:
    """Test whether a table identifies estimands by labels (old format).

    Parameters
    ----------
    table
        A kept table.
    """
    return {"estimand", "background"} <= set(table.columns) and "measure" not in table


def new_columns(table: pd.DataFrame) -> pd.DataFrame:
    """Convert a table from the old format to the new columns; all other values stay unchanged.

    Parameters
    ----------
    table
        The old table as text: ``pandas.read_csv(…, dtype=str, keep_default_na=False)``.

    Returns
    -------
    pandas.DataFrame
        The new table, as text.

    Raises
    ------
    ValueError
        If ``estimand`` contains a string that is no label of an estimand.
    """
    columns = pd.DataFrame([_asked(row) for row in table.to_dict("records")], index=table.index)
    rest = table.drop(columns=["estimand", "background", "scale", "availability"], errors="ignore")
    if "estimator" not in table:
        if "difference" in table:  # a one-at-a-time sensitivity analysis
            rest = rest.assign(to=rest.to.map(_sense), words=rest.words.map(_words))
        at = list(table.columns).index("estimand")
        kept = [name for name in ASKED if name in columns]
        if "availability" not in table:  # a table with a separate pair column
            kept = ["label", "measure", "co_treatment", "stratum", "judged_on"]
        else:
            rest = rest.rename(columns={"pair": "of_pair"})
        before, after = list(rest.columns[:at]), list(rest.columns[at:])
        return pd.concat([rest, columns[kept]], axis=1)[[*before, *kept, *after]]
    rest = rest.rename(columns={"reading": "interpretation"})
    has_contraction = columns.measure.isin(LOG_ODDS)
    contraction = rest.pop("contraction").where(has_contraction, "")
    migrated = pd.concat([rest, columns], axis=1).assign(sd="", posterior_contraction=contraction)
    return migrated.reindex(columns=SUMMARY_COLUMNS, fill_value="")


def _asked(row: dict[str, str]) -> dict[str, Any]:
    """Parse the estimand of an old row into the new columns."""
    if not row["estimand"]:
        return dict.fromkeys((*ASKED, "unit", "threshold"), "")
    match = OLD.fullmatch(row["estimand"])
    if match is None:
        raise ValueError(f"{row['estimand']!r} is no label of an estimand")
    measure, threshold = match["measure"], match["threshold"] or ""
    is_synergy = measure in MEASURES
    contrast, _, stratum = match["subject"].partition(WITHIN)
    pair, co_treatment, assumption = "", "", ""
    if is_synergy or measure in PRODUCTS:
        contrast, pair = "", match["subject"]
    if is_synergy:
        co_treatment, stratum, assumption = _given(row["background"])
    question = (measure, contrast, pair, co_treatment, stratum)
    status, reason = _status(row.get("availability", ""), assumption)
    is_size = measure == SIZE
    values = (
        *question,
        MEASURES[measure].family.name if is_synergy else "",
        "" if is_size else row["scale"],
    )
    question_columns = dict(zip(QUESTION, values, strict=True))
    if "availability" in row:
        question_columns |= {"status": status, "reason": reason}
    return {
        "label": label_of(*question, float(threshold) if threshold else None),
        **question_columns,
        "unit": row["scale"] if is_size else UNITS.get(measure, "ratio"),
        "threshold": threshold,
    }


def _given(background: str) -> tuple[str, str, str]:
    """Parse an old background into co-treatment, stratum and assumption."""
    if background.startswith(EVERY):
        counted = re.search(r"counted on (.*); elsewhere", background)
        return ANY, "", f"counted with {counted[1]}; {ASSUMED}" if counted else ASSUMED
    co_treatment, _, stratum = background.partition(WITHIN)
    return co_treatment, stratum, ""


def _sense(level: str) -> str:
    """Translate a level of the scale of synergy to the new names of scales and co-treatments."""
    for old, new in SENSES.items():
        if level.startswith(old):
            return _words(level.replace(old, new, 1))
    return level


def _words(text: str) -> str:
    """Translate the old names of co-treatments and of estimands that are not estimable."""
    text = text.replace(", on none", ", with no other study drug").replace(", on ", ", with ")
    text = re.sub(r"^on none$", "with no other study drug", re.sub(r"^on (?!none)", "with ", text))
    return re.sub(r"^undefined", NOT_ESTIMABLE, text)


def _status(availability: str, assumption: str) -> tuple[str, str]:
    """Translate an old availability to status and reason."""
    if availability.startswith("undefined"):
        reason = availability.partition(": ")[2]
        return NOT_ESTIMABLE, REASONS.get(reason, reason)
    return STATUS.get(availability, availability), assumption


def plain_columns(table: pd.DataFrame) -> pd.DataFrame:
    """Rename the columns and the values of a table without labels.

    Parameters
    ----------
    table
        The old table as text.

    Returns
    -------
    pandas.DataFrame
        The new table, as text.
    """
    renamed = table.rename(columns={old: new for old, new in OTHER_NAMES.items() if old in table})
    if "availability" in table:
        both = [_status(value, "") for value in table.availability]
        renamed["status"] = [status for status, _ in both]
        if "part" in table:
            renamed.insert(list(renamed).index("status") + 1, "reason", [why for _, why in both])
    return renamed


BY_ODDS_RATIO = ("beliefs.csv", "critical.csv")
PLAIN = ("four_cells.csv", "e_values.csv", "e_values_interaction.csv")
"""Tables without labels of estimands."""


def migrate(path: Path) -> bool:
    """Rewrite a table in the old format in place.

    Parameters
    ----------
    path
        A kept table, CSV.

    Returns
    -------
    bool
        Whether the table had the old format.
    """
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    head = "".join(line for line in lines if line.startswith("# "))
    table = read(path)
    if is_old(table):
        migrated = new_columns(table)
    elif path.name == "checks.csv":
        migrated = table.assign(where=table["where"].map(_where))
        if migrated.equals(table):
            return False
    elif path.name == "identification.csv" and "status" not in table:
        words = table.pop("what the evidence says of it")
        both = [_status(value, "") for value in words]
        table.insert(1, "status", [status for status, _ in both])
        table.insert(2, "reason", [reason for _, reason in both])
        table["kind of number"] = [_group(name) for name in table["kind of number"]]
        migrated = table
    elif path.parent.name == "recovery" and "availability" in table:
        migrated = table.assign(status=table.availability.map(STATUS))
        migrated = migrated.drop(columns="availability")[
            ["status" if name == "availability" else name for name in table]
        ]
    elif path.name in BY_ODDS_RATIO and "scale" in table:
        labels = [_label(cell) for cell in table["odds ratio"]]
        migrated = table.assign(**{"odds ratio": labels}).rename(columns={"scale": "judged_on"})
    elif set(OTHER_NAMES) & set(table.columns) and path.name in PLAIN:
        migrated = plain_columns(table)
        if path.name == "e_values.csv":
            migrated = migrated.rename(columns={"co_treatment": "stratum"})
    else:
        return False
    path.write_text(head + migrated.to_csv(index=False), encoding="utf-8")
    return True


def _label(code: str) -> str:
    """Return the readable label of an estimand's code."""
    return _asked({"estimand": code, "background": "", "scale": ""})["label"]


CHECKED = re.compile(r"^(P\()?(\w+)\[([^\]]*)\](?: on (.*?))?(?(1)\))$")


def _where(cell: str) -> str:
    """Replace the code of an estimand in a check by its readable label; other entries stay unchanged."""
    match = CHECKED.fullmatch(cell)
    if match is None or not (match[1] or match[2] in MEASURES):
        return cell
    named = _asked(
        {"estimand": f"{match[2]}[{match[3]}]", "background": match[4] or "", "scale": ""}
    )
    return f"P({named['label']})" if match[1] else named["label"]


def _group(name: str) -> str:
    """Translate the old name of a group of measures."""
    pair, _, background = name.partition(" on background ")
    if not background:
        return name
    co_treatment, _, stratum = background.partition(WITHIN)
    co_treatment_label = "no other study drug" if co_treatment == "none" else co_treatment
    return WITHIN.join(filter(None, [f"{pair} with {co_treatment_label}", stratum]))


def read(path: Path) -> pd.DataFrame:
    """Read a kept table as text, to preserve every digit.

    Parameters
    ----------
    path
        A kept table, CSV.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    skipped = sum(line.startswith("# ") for line in lines)
    return pd.read_csv(path, skiprows=skipped, dtype=str, keep_default_na=False)


CODES = ((" on every (the same by assumption)", " with any"), ("] on ", "] with "))
"""Old and new substrings in codes of estimands, in tables of calibrations and checks."""
CODED = ("calibration", "laplace", "recovery")


def recode(path: Path) -> bool:
    """Rewrite the codes of estimands in a table in place.

    Parameters
    ----------
    path
        A table with codes in a column or as column names.

    Returns
    -------
    bool
        Whether the table has changed.
    """
    text = before = path.read_text(encoding="utf-8")
    for old, new in CODES:
        text = re.sub(r"(?<=\])" + re.escape(old.lstrip("]")), new.lstrip("]"), text)
    if text != before:
        path.write_text(text, encoding="utf-8")
    return text != before


def main(folder: Path) -> None:
    """Migrate every table below a folder and print the path of each changed table.

    Parameters
    ----------
    folder
        Folder of kept results.
    """
    for path in sorted(folder.rglob("*.csv")):
        if migrate(path):
            print(path)
        elif path.relative_to(folder).parts[0] in CODED and recode(path):
            print(f"{path} (codes)")


if __name__ == "__main__":
    np.seterr(all="raise")
    main(Path(sys.argv[1]))
