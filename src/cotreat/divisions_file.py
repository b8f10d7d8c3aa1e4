"""Levels of treatments, and subgroups, as a study file declares them."""

import re
from collections.abc import Iterator, Mapping

from cotreat.core.toml_tables import Key, Problems, is_text, read_table, text
from cotreat.study.regimens import RESERVED
from cotreat.study.study import GRADINGS, Division, Treatment

LEVELS = Key(
    lambda v: isinstance(v, dict) and len(v) > 1 and all(map(is_text, v.values())),
    'a table of at least two levels, the lowest first, such as { low = "under 4 mg", high = "4 mg or more" }',
    required=False,
)
TREATMENT = {"name": text(), **dict.fromkeys(GRADINGS, LEVELS)}
SUBGROUPS = {
    "name": text(),
    "groups": Key(
        lambda v: isinstance(v, dict) and len(v) > 1 and all(map(is_text, v.values())),
        'a table of at least two groups, such as { young = "up to 40 years", old = "over 40 years" }',
    ),
}
PART = re.compile(r"[A-Za-z0-9_]+")


def read_treatments(
    raw: Mapping[str, object], problems: Problems
) -> tuple[tuple[Treatment, ...], tuple[Division, ...]]:
    """Read names of treatments and their ordered levels."""
    tables = {n: read_table(t, f"treatments.{n}", TREATMENT, problems) for n, t in raw.items()}
    treatments = tuple(Treatment(n, (t and t["name"]) or n) for n, t in tables.items())
    divisions = []
    for grading in GRADINGS:
        own = {n: t[grading] for n, t in tables.items() if t is not None and t[grading]}
        for name, levels in own.items():
            _check_ids(f"treatments.{name}.{grading}", levels, problems)
        if own:
            owners = tuple((name, tuple(levels.items())) for name, levels in own.items())
            divisions.append(Division(grading, owners))
    _check_apart(divisions, problems)
    return treatments, tuple(divisions)


def read_subgroups(
    raw: object, treatments: tuple[str, ...], problems: Problems
) -> tuple[Division, ...]:
    """Read the tables under [subgroups]."""
    if not isinstance(raw, dict):
        problems.add("subgroups", "must be tables such as [subgroups.age]")
        return ()
    return tuple(_subgroups(raw, treatments, problems))


def _subgroups(
    raw: Mapping[str, object], treatments: tuple[str, ...], problems: Problems
) -> Iterator[Division]:
    for name, item in raw.items():
        where = f"subgroups.{name}"
        if not PART.fullmatch(name) or name[0].isdigit() or name in {*RESERVED, *GRADINGS}:
            problems.add(
                where,
                "an id must be a letter followed by letters, digits or _, and no word "
                f"of set expressions ({', '.join(sorted(RESERVED))}), nor dose or duration",
            )
        if name in treatments:
            problems.add(where, f"{name} is a treatment; give the subgroups another id")
        table = read_table(item, where, SUBGROUPS, problems)
        if table is None or not table["groups"]:
            continue
        _check_ids(f"{where}.groups", table["groups"], problems)
        yield Division(name, ((name, tuple(table["groups"].items())),), table["name"] or name)


def _check_ids(where: str, ids: Mapping[str, str], problems: Problems) -> None:
    names: dict[str, str] = {}
    for one, name in ids.items():
        if not PART.fullmatch(one):
            problems.add(f"{where}.{one}", "an id must be letters, digits or _")
        if name in names:
            problems.add(f"{where}.{one}", f"has the name of {names[name]}; each needs its own")
        names.setdefault(name, one)


def _check_apart(divisions: list[Division], problems: Problems) -> None:
    """Refuse an id that is a level of a dose and of a duration: TAC.high could be either."""
    seen: dict[str, str] = {}
    for division in divisions:
        for part in division.names:
            if part in seen:
                treatment, _, level = part.partition(".")
                problems.add(
                    f"treatments.{treatment}.{division.id}.{level}",
                    f"is a level of the {seen[part]} too; give it another id",
                )
            seen[part] = division.id
