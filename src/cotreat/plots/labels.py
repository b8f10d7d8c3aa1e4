"""Names of treatments, regimens and parameters in figures."""

import re
import textwrap
from collections.abc import Iterable

from cotreat.priors.defaults import BIAS
from cotreat.priors.sets import prior_set
from cotreat.study.regimens import GROUP, NONE, parse, treatment_of
from cotreat.study.study import Study

WIDTH = 44
"""Characters of a name; longer names are replaced by the ids of the study file."""

LINE = 110
"""Characters of a line across a whole figure."""

PROBABILITY_AXIS = "← antagonism    synergy →\nP(synergy)"
"""Label of an axis of the probability of synergy."""

COORDINATES = {
    "share": ("direction {}", "coordinate of the arm sizes"),
    "tail": ("{}", "position within its tail"),
}
"""Coordinates of unreported quantities; ``{}`` takes the suffix of the variable."""


_ID = re.compile(r"\w+(?:[.=]\w+)?")


def regimen_name(study: Study, regimen: str) -> str:
    """Write a regimen with the names of its treatments, or their ids where the names are too long.

    Parameters
    ----------
    study
        The study.
    regimen
        Label of the regimen, such as ``A+B``, or ``none``.

    Returns
    -------
    str
    """
    if regimen == NONE:
        return NONE
    names, parts = part_names(study), parse(regimen)
    taken = [names[part] for part in study.all_parts if part in parts]
    within = [names[part] for part in study.groups if part in parts]
    full = ", ".join(filter(None, [" + ".join(taken) or NONE, *within]))
    return full if len(full) <= WIDTH else regimen


def pair_name(study: Study, pair: str) -> str:
    """Write a pair ``A:B`` with the names of its treatments, or their ids where the names are too long.

    Parameters
    ----------
    study
        The study.
    pair
        Label of a pair, ``A:B``.

    Returns
    -------
    str
    """
    names = part_names(study)
    full = " × ".join(names[t] for t in pair.split(":"))
    return full if len(full) <= WIDTH else pair.replace(":", " × ")


def parameter_name(study: Study, variable: str, index: str = "", *, between: str = "\n") -> str:
    """Return what an entry of a variable refers to and, after `between`, what it is.

    A variable without a default prior has its own name.

    Parameters
    ----------
    study
        The study.
    variable
        Name of a variable.
    index
        Entry of the variable; empty for a scalar.
    between
        What separates the subject from the symbol.

    Returns
    -------
    str
    """
    rows = {**BIAS, **{row.variable: row for row in prior_set(None, study).rows}}
    known = {name: (row.about, row.symbol) for name, row in rows.items()} | COORDINATES
    about, symbol = known.get(variable, (f"{variable} {{}}", ""))
    stem, _, rest = variable.partition("_")
    if variable not in known and rest and stem in known:
        index, about = index or rest, "{}"
        symbol = rows[stem].symbol if stem in rows else known[stem][1]
    about = about.format(subject(study, index)).strip()
    return f"{about}{between}{symbol}" if symbol else about


def subject(study: Study, index: str) -> str:
    """Name a regimen, a pair, or another index of a variable.

    Parameters
    ----------
    study
        The study.
    index
        Label of a regimen, a pair, a treatment, a level or a covariate.

    Returns
    -------
    str
    """
    if index in study.pair_labels or index in study.judged_pairs:
        return pair_name(study, index)
    if index in study.groups or index in study.treatment_ids:
        return part_names(study)[index]
    return regimen_name(study, index) if index in study.regimens else index


def co_treatment(study: Study, regimen: str) -> str:
    """Name the other treatments that patients of a comparison receive.

    Parameters
    ----------
    study
        The study.
    regimen
        The other treatments: a regimen, ``none`` or ``any``.

    Returns
    -------
    str
    """
    if regimen == NONE:
        return "with no other study drug"
    return f"with {regimen_name(study, regimen)}"


def event(study: Study) -> str:
    """Name the outcome, with its time.

    Parameters
    ----------
    study
        The study.

    Returns
    -------
    str
    """
    outcome = study.outcome
    return f"{outcome.name} ({outcome.time})" if outcome.time else outcome.name


def judged_on(study: Study) -> str:
    """Name the side of the outcome on which synergy is judged.

    Parameters
    ----------
    study
        The study.

    Returns
    -------
    str
    """
    return event(study) if study.outcome.synergy_on == "event" else f"no {event(study)}"


def judged_note(study: Study) -> str:
    """State the side of the outcome on which synergy is judged, in lines that fit.

    Parameters
    ----------
    study
        The study.

    Returns
    -------
    str
    """
    return fold(f"synergy is judged on: {judged_on(study)}", LINE)


def key(study: Study, texts: Iterable[str]) -> str:
    """Explain the ids in texts where names would have been too long.

    Parameters
    ----------
    study
        The study.
    texts
        Texts that may name ids.

    Returns
    -------
    str
        Ids with their names, in lines that fit; empty if the texts name none.
    """
    names = part_names(study)
    # An id may be a word of a name ("A" of "drug A"), so look for ids outside the whole names.
    whole = "|".join(re.escape(name) for name in sorted(names.values(), key=len, reverse=True))
    text = " ".join(word for text in texts for word in text.split())
    used = set(_ID.findall(re.sub(rf"(?<!\w)(?:{whole})(?!\w)", " ", text)))
    return fold("; ".join(f"{t}: {name}" for t, name in names.items() if t in used), LINE)


def fold(text: str, width: int) -> str:
    """Break each line of a name where it is too long.

    Parameters
    ----------
    text
        A name, which may already have line breaks.
    width
        Largest number of characters in a line.

    Returns
    -------
    str
    """
    wrapper = textwrap.TextWrapper(width, break_long_words=False, break_on_hyphens=False)
    lines = (wrapper.wrap(line) for line in text.split("\n"))
    return "\n".join(part for line in lines for part in line)


def part_names(study: Study) -> dict[str, str]:
    """Name every treatment, level and subgroup of the regimens.

    Parameters
    ----------
    study
        The study.

    Returns
    -------
    dict[str, str]
        Name by id.
    """
    names = {treatment.id: treatment.name for treatment in study.treatments}
    strata = study.stratification.names if study.stratification else {}
    levels = {p: f"{names[treatment_of(p)]} {name}" for p, name in strata.items() if GROUP not in p}
    return {**names, **strata, **levels}
