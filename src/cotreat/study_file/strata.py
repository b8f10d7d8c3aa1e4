"""Levels of treatments, and subgroups, as a study file declares them."""

import re
from collections.abc import Iterator, Mapping
from math import prod

from cotreat.core.toml_tables import Problems, show_key
from cotreat.study.regimens import RESERVED, is_treatment_id
from cotreat.study.study import GRADINGS, Stratification, Treatment
from cotreat.study_file.shape import SubgroupsTable, TreatmentTable

MAX_REGIMENS = 1024
"""Largest number of regimens at levels, or by subgroup: a longer table is not readable."""
PART = re.compile(r"[A-Za-z0-9_]+")
"""Id of a level or of a subgroup."""
MAX_TREATMENTS = 6
"""Largest number of treatments: 64 regimens and 2,016 odds ratios; a longer table is not readable."""


def read_treatments(
    tables: Mapping[str, TreatmentTable | None] | None,
    subgroups: Mapping[str, SubgroupsTable | None] | None,
    problems: Problems,
) -> tuple[tuple[Treatment, ...], tuple[Stratification, ...]]:
    """Read [treatments] and [subgroups]; problems are noted.

    Parameters
    ----------
    tables, subgroups
        The tables by id; None where they are no tables.
    problems
        Problems of the file.

    Returns
    -------
    treatments : tuple of Treatment
    stratifications : tuple of Stratification
    """
    if tables is None:
        return (), ()
    if len(tables) > MAX_TREATMENTS:
        words = f"{len(tables)} treatments; at most {MAX_TREATMENTS} are supported"
        problems.add("treatments", words)
        return (), ()
    for name in tables:
        if not is_treatment_id(name):
            problems.add(
                f"treatments.{show_key(name)}",
                "a treatment's id must be a letter A-Z or a-z followed by letters, digits or _, and "
                f"no word of set expressions or of Python ({', '.join(sorted(RESERVED))}, "
                "not, and, is, …)",
            )
    treatments = tuple(Treatment(n, (t and t.name) or n) for n, t in tables.items())
    graded = tuple(_graded(tables, problems))
    stratifications = (*graded, *_subgroups(subgroups or {}, tuple(tables), problems))
    too_many = list(_too_many(tuple(tables), stratifications))
    for where, words in too_many:
        problems.add(where, words)
    return ((), ()) if too_many else (treatments, stratifications)


def _too_many(
    treatments: tuple[str, ...], stratifications: tuple[Stratification, ...]
) -> Iterator[tuple[str, str]]:
    """Yield the stratifications that make too many regimens."""
    for strata in stratifications:
        sizes = [len(strata.levels.get(name, (name,))) + 1 for name in treatments]
        count = prod(sizes) * max(len(strata.groups), 1)
        if count > MAX_REGIMENS:
            made = f"{strata.id} makes {count:,} regimens of {len(treatments)} treatments"
            words = f"{made}; at most {MAX_REGIMENS:,} are supported: join levels or subgroups"
            yield "subgroups" if strata.groups else "treatments", words


def _graded(
    tables: Mapping[str, TreatmentTable | None], problems: Problems
) -> Iterator[Stratification]:
    """Yield the stratifications by levels; refuse an id of a level of both a dose and a duration."""
    seen: dict[str, str] = {}
    for grading in GRADINGS:
        levels = {n: getattr(t, grading) for n, t in tables.items() if t and getattr(t, grading)}
        for name, names in levels.items():
            _check_ids(f"treatments.{name}.{grading}", names, problems)
        if not levels:
            continue
        strata = Stratification(grading, tuple((n, tuple(v.items())) for n, v in levels.items()))
        for part in strata.names:
            if part in seen:
                treatment, _, level = part.partition(".")
                where = f"treatments.{treatment}.{grading}.{level}"
                problems.add(where, f"is a level of the {seen[part]} too; give it another id")
            seen[part] = grading
        yield strata


def _subgroups(
    tables: Mapping[str, SubgroupsTable | None], treatments: tuple[str, ...], problems: Problems
) -> Iterator[Stratification]:
    """Yield the stratification by each of the tables under [subgroups]."""
    for name, table in tables.items():
        where = f"subgroups.{show_key(name)}"
        if not PART.fullmatch(name) or name[0].isdigit() or name in {*RESERVED, *GRADINGS}:
            problems.add(
                where,
                "an id must be a letter followed by letters, digits or _, and no word "
                f"of set expressions ({', '.join(sorted(RESERVED))}), nor dose or duration",
            )
        if name in treatments:
            problems.add(where, f"{name} is a treatment; give the subgroups another id")
        if table is not None and table.groups:
            _check_ids(f"{where}.groups", table.groups, problems)
            yield Stratification(name, ((name, tuple(table.groups.items())),), table.name or name)


def _check_ids(where: str, ids: Mapping[str, str], problems: Problems) -> None:
    id_of: dict[str, str] = {}
    for part, name in ids.items():
        if not PART.fullmatch(part):
            problems.add(f"{where}.{show_key(part)}", "an id must be letters, digits or _")
        if name in id_of:
            words = f"has the name of {id_of[name]}; give each another name"
            problems.add(f"{where}.{part}", words)
        id_of.setdefault(name, part)
