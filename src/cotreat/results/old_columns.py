"""The columns of a summary as they were before it had one column for each part of an estimand.

For the sections of the report that read ``estimand``, ``background``, ``availability`` and ``scale``;
to be removed with the last of them.
"""

import pandas as pd

from cotreat.core.constants import ANY, IDENTIFIED, NOT_ESTIMABLE, NOT_IDENTIFIED
from cotreat.estimands.estimand import SIZE, code_of
from cotreat.results.store import with_texts
from cotreat.study.regimens import WITHIN

OBSERVED, EXTRAPOLATED, UNDEFINED = "observed", "extrapolated", "undefined"
EVERY = "every ("


def old_columns(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with the old columns in the place of the new; one that has them as it is."""
    if "estimand" in table or "measure" not in table:
        return table
    texts = ("measure", "contrast", "pair", "co_treatment", "stratum", "status", "reason")
    own = with_texts(table, [name for name in texts if name in table])
    reason = own["reason"] if "reason" in own else pd.Series("", own.index)
    status = own["status"].replace({IDENTIFIED: OBSERVED, NOT_IDENTIFIED: EXTRAPOLATED})
    is_silent = status == NOT_ESTIMABLE
    background = own.co_treatment.where(
        (own.stratum == "") | (own.pair == ""), own.co_treatment + WITHIN + own.stratum
    )
    shared = EVERY + reason + ")"
    found = own.assign(
        estimand=[_label(row) for row in own.to_dict("records")],
        background=background.where(own.co_treatment != ANY, shared),
        availability=status.where(~is_silent, UNDEFINED + ": " + reason),
        scale=own.judged_on.where(own.measure != SIZE, own.get("unit", "")),
    )
    return found.rename(
        columns={"posterior_contraction": "contraction", "interpretation": "reading"}
    )


def _label(row: dict[str, object]) -> str:
    threshold = row.get("threshold")
    is_of_pair = row["pair"] != "" and row["contrast"] == ""
    return code_of(
        str(row["measure"]),
        str(row["contrast"]),
        str(row["pair"]),
        "",
        "" if is_of_pair else str(row["stratum"]),
        None if pd.isna(threshold) else float(threshold),  # type: ignore[arg-type]
    )


def is_undefined(availability: str) -> bool:
    """Tell whether an old availability says that there is no value."""
    return availability.startswith(UNDEFINED)


def name_of(label: str) -> str:
    """Return the name before the bracket of an old label."""
    return label.partition("[")[0]


def subject_of(label: str) -> str:
    """Return what stands between the brackets of an old label."""
    return label.partition("[")[2].partition("]")[0]
