"""Counts of a study file: ``[[arms]]`` and ``[[totals]]``."""

from collections.abc import Mapping, Sequence

from cotreat.study import regimens
from cotreat.study.regimens import Regimen
from cotreat.study.study import Arm, Stratification, Total
from cotreat.study_file.parsing import RegimenReader
from cotreat.study_file.shape import ArmTable, TotalTable
from cotreat.study_file.tables import numbered

Arms = Mapping[Regimen, Arm]


def read_arms(
    tables: Sequence[ArmTable | None] | None, reader: RegimenReader, *, has_reported: bool
) -> dict[Regimen, Arm]:
    """Read [[arms]], whose regimens may name levels or subgroups; problems are noted.

    Parameters
    ----------
    tables
        The tables; None where they are no list.
    reader
        Reader of regimens.
    has_reported
        Whether reported estimates can replace arms.

    Returns
    -------
    dict of Regimen to Arm
    """
    problems = reader.problems
    arms: dict[Regimen, Arm] = {}
    if tables is not None and len(tables) < 2 and not (has_reported and not tables):
        more = "" if has_reported else ", or [[reported]] for each published estimate"
        words = "at least two regimens must have patients; write one [[arms]] for each of them"
        problems.add("arms", words + more)
    for where, table in numbered("arms", tables):
        regimen = reader.regimen(f"{where}.regimen", table.regimen)
        _check_events(where, table, reader)
        if regimen is None:
            continue
        label = reader.label(regimen)
        if regimen in arms:
            problems.add(f"{where}.regimen", f"{label} is counted in an arm above")
        elif any(regimens.fits(a, regimen) or regimens.fits(regimen, a) for a in arms):
            words = "shares patients with an arm above; name the level or subgroup in each arm or in none"
            problems.add(f"{where}.regimen", f"{label} {words}")
        reader.require_admitted(f"{where}.regimen", label, regimen)
        source = table.source or reader.source
        arms[regimen] = Arm(regimen, table.n or 0, table.events or 0, source)
    _check_strata(arms, reader)
    return arms


def _check_events(where: str, table: ArmTable | TotalTable, reader: RegimenReader) -> None:
    n, events = table.n, table.events
    if n is not None and events is not None and events > n:
        words = f"{events} events in {n} patients; at most {n} can be"
        reader.problems.add(f"{where}.events", words)


def _stratifications(arms: Arms, reader: RegimenReader) -> list[Stratification]:
    """Return the stratifications whose levels or subgroups the arms name."""
    return [d for d in reader.stratifications if any(arm & set(d.names) for arm in arms)]


def _check_strata(arms: Arms, reader: RegimenReader) -> None:
    """Refuse arms by several stratifications, which count patients twice, or by subgroup in part."""
    named = _stratifications(arms, reader)
    if len(named) > 1:
        reader.problems.add(
            "arms",
            f"are counted by {' and by '.join(strata.id for strata in named)}, so that patients stand in "
            "two of them; count all by one",
        )
    for strata in named:
        unclassified = [reader.label(arm) for arm in arms if not arm & set(strata.groups)]
        if strata.groups and unclassified:
            words = f"{', '.join(unclassified)} must say the {strata.id}, as the others do"
            reader.problems.add("arms", words)


def _at_strata(strata: Stratification, reader: RegimenReader) -> tuple[Regimen, ...]:
    return regimens.lattice(reader.treatments, strata.levels, strata.groups)


def partly_stratified(arms: Arms, reader: RegimenReader) -> list[str]:
    """Return the labels of the regimens that are counted at some of their strata only.

    Parameters
    ----------
    arms
        Counts by regimen and stratum.
    reader
        Reader of the regimens of the study.

    Returns
    -------
    list of str
    """
    return [
        reader.label(pooled)
        for strata in _stratifications(arms, reader)
        for pooled in dict.fromkeys(map(regimens.taken, arms))
        if any(r not in arms for r in _at_strata(strata, reader) if regimens.taken(r) == pooled)
    ]


def read_totals(
    tables: Sequence[TotalTable | None] | None,
    arms: Arms | None,
    uncounted: set[Regimen],
    reader: RegimenReader,
    *,
    is_rows: bool,
) -> tuple[Total, ...]:
    """Read [[totals]], and check each against its arms; problems are noted.

    Parameters
    ----------
    tables
        The tables; None where they are no list.
    arms
        The counts; None where they could not be read.
    uncounted
        Regimens that may have patients and are not counted.
    reader
        Reader of sets of patients.
    is_rows
        Whether the counts are of individual patient data.

    Returns
    -------
    tuple of Total
    """
    totals = []
    for where, table in numbered("totals", tables):
        member = reader.rule(f"{where}.patients", table.patients)
        if member is None or arms is None:
            continue
        names = sorted(regimens.named_parts(table.patients))
        named = [d for d in reader.stratifications if not d.written.isdisjoint(names)]
        if words := _wrong_strata(names, named, arms, is_rows=is_rows):
            reader.problems.add(f"{where}.patients", words)
            continue
        inside = [arm for regimen, arm in arms.items() if member(regimen)]
        others = uncounted
        if named:
            lattice = _at_strata(named[0], reader)
            others = {regimen for regimen in lattice if regimens.taken(regimen) in uncounted}
        is_open = not arms or any(map(member, others))
        _check_events(where, table, reader)
        for key, reported, summed in (
            ("n", table.n, sum(arm.n for arm in inside)),
            ("events", table.events, sum(arm.events for arm in inside)),
        ):
            if reported is not None and (reported < summed if is_open else reported != summed):
                words = (
                    f"{reported} reported for {table.patients!r}, but its arms add up to {summed}"
                )
                reader.problems.add(f"{where}.{key}", words)
        source = table.source or reader.source
        totals.append(Total(table.patients, table.n or 0, table.events, source))
    return tuple(totals)


def _wrong_strata(
    names: list[str], named: list[Stratification], arms: Arms, *, is_rows: bool
) -> str:
    """Return why a total cannot name these levels or subgroups; empty if it can."""
    if names and is_rows:
        return f"names {', '.join(names)}, which the rows of patients count"
    if len(named) > 1:
        ids = ", ".join(strata.id for strata in named)
        return f"names levels or subgroups of several stratifications ({ids}); a total can name one"
    if named and not all(map(named[0].classifies, arms)):
        return f"names {', '.join(names)}, by which the arms are not counted"
    return ""
