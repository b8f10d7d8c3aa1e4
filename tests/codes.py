"""Short names of estimands, for tests: ``ror[A:B]`` of an estimand or of each row of a table."""

import pandas as pd

from cotreat.estimands.estimand import code_of, label_of
from cotreat.estimands.measures import MEASURES
from cotreat.results.store import with_texts
from cotreat.study.regimens import WITHIN


def code(one):
    """Return the code of an estimand without its co-treatment."""
    own = "" if one.pair else one.stratum
    return code_of(one.measure, one.contrast, one.pair, "", own, one.threshold)


def given(one):
    """Return the co-treatment of an estimand, with its stratum if it is of a pair."""
    return WITHIN.join(filter(None, [one.co_treatment, one.stratum if one.pair else ""]))


def status_text(status):
    """Return a status with its reason if there is no value."""
    return status.name if status.is_estimable else f"{status.name}: {status.reason}"


def codes(table):
    """Return the code of each row of a table, as `code` does."""
    own = with_texts(table, ("measure", "contrast", "pair", "stratum"))
    threshold = own.get("threshold", pd.Series(float("nan"), own.index))
    return pd.Series(
        [
            code_of(m, c, p, "", "" if p else s, None if pd.isna(t) else float(t))
            for m, c, p, s, t in zip(
                own.measure, own.contrast, own.pair, own.stratum, threshold, strict=True
            )
        ],
        table.index,
        dtype=object,
    )


def by_code(table):
    """Return a table with `codes` as its index."""
    return table.set_index(codes(table).rename("code"))


def fields(short, co_treatment="", stratum=""):
    """Return the columns of an estimand by its code, as tests write it."""
    measure, _, rest = short.partition("[")
    subject, _, beyond = rest.partition("]")
    is_pair = ":" in subject and " vs " not in subject
    pair, contrast = (subject, "") if is_pair else ("", subject)
    threshold = float(beyond.removeprefix(" > ")) if beyond else None
    known = MEASURES.get(measure)
    return {
        "label": label_of(measure, contrast, pair, co_treatment, stratum, threshold),
        "measure": measure,
        "contrast": contrast,
        "pair": pair,
        "co_treatment": co_treatment,
        "stratum": stratum,
        "scale": known.family.name if known else "",
        "threshold": float("nan") if threshold is None else threshold,
    }


def table_of_codes(rows, columns):
    """Make a table whose column ``estimand`` of codes is turned into the columns of an estimand."""
    table = pd.DataFrame(rows, columns=columns)
    return pd.concat([pd.DataFrame([fields(c) for c in table.pop("estimand")]), table], axis=1)
