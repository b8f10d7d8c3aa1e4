"""Levels of treatments, and subgroups, as a study file declares them."""

import re
from collections.abc import Iterator, Mapping

from cotreat.core.toml_tables import Problems, show_key
from cotreat.study.regimens import RESERVED
from cotreat.study.study import GRADINGS, Stratification, Treatment
from cotreat.study_file.shape import SubgroupsTable, TreatmentTable

PART = re.compile(r"[A-Za-z0-9_]+")


def read_treatments(
    tables: Mapping[str, TreatmentTable | None], problems: Problems
) -> tuple[tuple[Treatment, ...], tuple[Stratification, ...]]:
    """Read names of treatments and their ordered levels."""
    treatments = tuple(Treatment(n, (t and t.name) or n) for n, t in tables.items())
    stratifications = []
    for grading in GRADINGS:
        owned = {n: getattr(t, grading) for n, t in tables.items() if t and getattr(t, grading)}
        for name, levels in owned.items():
            _check_ids(f"treatments.{name}.{grading}", levels, problems)
        if owned:
            owners = tuple((name, tuple(levels.items())) for name, levels in owned.items())
            stratifications.append(Stratification(grading, owners))
    _check_apart(stratifications, problems)
    return treatments, tuple(stratifications)


def read_subgroups(
    tables: Mapping[str, SubgroupsTable | None], treatments: tuple[str, ...], problems: Problems
) -> Iterator[Stratification]:
    """Yield each of the tables under [subgroups] as a division."""
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
    names: dict[str, str] = {}
    for one, name in ids.items():
        if not PART.fullmatch(one):
            problems.add(f"{where}.{show_key(one)}", "an id must be letters, digits or _")
        if name in names:
            problems.add(f"{where}.{one}", f"has the name of {names[name]}; each needs its own")
        names.setdefault(name, one)


def _check_apart(stratifications: list[Stratification], problems: Problems) -> None:
    """Refuse an id that is a level of a dose and of a duration: TAC.high could be either."""
    seen: dict[str, str] = {}
    for strata in stratifications:
        for part in strata.names:
            if part in seen:
                treatment, _, level = part.partition(".")
                problems.add(
                    f"treatments.{treatment}.{strata.id}.{level}",
                    f"is a level of the {seen[part]} too; give it another id",
                )
            seen[part] = strata.id
