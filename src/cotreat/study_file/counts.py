"""Counts of a study file: ``[[arms]]`` and ``[[totals]]``."""

from collections.abc import Mapping, Sequence

from cotreat.study import regimens
from cotreat.study.regimens import Regimen
from cotreat.study.study import Arm, Stratification, Total
from cotreat.study_file.parsing import Places
from cotreat.study_file.shape import ArmTable, TotalTable
from cotreat.study_file.tables import numbered

Arms = Mapping[Regimen, Arm]


def read_arms(
    tables: Sequence[ArmTable | None] | None,
    source: str,
    inclusion: str,
    admitted: regimens.Rule,
    places: Places,
    *,
    has_reported: bool,
) -> dict[Regimen, Arm]:
    """Read [[arms]], whose regimens may name levels or subgroups; problems are noted.

    Parameters
    ----------
    tables
        The tables; None where they are no list.
    source
        Source of a count that states none.
    inclusion, admitted
        The inclusion rule, as text and as a predicate.
    places
        Reader of regimens.
    has_reported
        Whether reported estimates can replace arms.

    Returns
    -------
    dict of Regimen to Arm
    """
    problems = places.problems
    arms: dict[Regimen, Arm] = {}
    if tables is not None and len(tables) < 2 and not (has_reported and not tables):
        more = "" if has_reported else ", or [[reported]] for each published estimate"
        words = "at least two regimens must have patients; write one [[arms]] for each of them"
        problems.add("arms", words + more)
    for where, table in numbered("arms", tables):
        regimen = places.regimen(f"{where}.regimen", table.regimen)
        _check_events(where, table, places)
        if regimen is None:
            continue
        label = places.label(regimen)
        if regimen in arms:
            problems.add(f"{where}.regimen", f"{label} is counted in an arm above")
        elif any(regimens.fits(a, regimen) or regimens.fits(regimen, a) for a in arms):
            problems.add(f"{where}.regimen", f"{label} shares patients with an arm above")
        if not admitted(regimen):
            words = f"{label} is forbidden by study.inclusion = {inclusion!r}"
            problems.add(f"{where}.regimen", words)
        arms[regimen] = Arm(regimen, table.n or 0, table.events or 0, table.source or source)
    _check_strata(arms, places)
    return arms


def _check_events(where: str, table: ArmTable | TotalTable, places: Places) -> None:
    n, events = table.n, table.events
    if n is not None and events is not None and events > n:
        words = f"{events} events in {n} patients; at most {n} can be"
        places.problems.add(f"{where}.events", words)


def _stratifications(arms: Arms, places: Places) -> list[Stratification]:
    """Return the stratifications whose levels or subgroups the arms name."""
    return [d for d in places.stratifications if any(arm & set(d.names) for arm in arms)]


def _check_strata(arms: Arms, places: Places) -> None:
    """Refuse arms by several stratifications, which count patients twice, or by subgroup in part."""
    named = _stratifications(arms, places)
    if len(named) > 1:
        places.problems.add(
            "arms",
            f"are counted by {' and by '.join(strata.id for strata in named)}, so that patients stand in "
            "two of them; count all by one",
        )
    for strata in named:
        unclassified = [places.label(arm) for arm in arms if not arm & set(strata.groups)]
        if strata.groups and unclassified:
            words = f"{', '.join(unclassified)} must say the {strata.id}, as the others do"
            places.problems.add("arms", words)


def _at_strata(strata: Stratification, places: Places) -> tuple[Regimen, ...]:
    return regimens.lattice(places.treatments, strata.levels, strata.groups)


def partly_stratified(arms: Arms, places: Places) -> list[str]:
    """Return the labels of the regimens that are counted at some of their strata only."""
    return [
        places.label(pooled)
        for strata in _stratifications(arms, places)
        for pooled in dict.fromkeys(map(regimens.taken, arms))
        if any(r not in arms for r in _at_strata(strata, places) if regimens.taken(r) == pooled)
    ]


def read_totals(
    tables: Sequence[TotalTable | None] | None,
    source: str,
    arms: Arms | None,
    uncounted: set[Regimen],
    places: Places,
    *,
    is_rows: bool,
) -> tuple[Total, ...]:
    """Read [[totals]], and check each against its arms; problems are noted.

    Parameters
    ----------
    tables
        The tables; None where they are no list.
    source
        Source of a total that states none.
    arms
        The counts; None where they could not be read.
    uncounted
        Regimens that may have patients and are not counted.
    places
        Reader of sets of patients.
    is_rows
        Whether the counts are of individual patient data.

    Returns
    -------
    tuple of Total
    """
    totals = []
    for where, table in numbered("totals", tables):
        member = places.rule(f"{where}.patients", table.patients)
        if member is None or arms is None:
            continue
        names = sorted(regimens.named_parts(table.patients))
        named = [d for d in places.stratifications if not d.written.isdisjoint(names)]
        if words := _wrong_strata(names, named, arms, is_rows=is_rows):
            places.problems.add(f"{where}.patients", words)
            continue
        inside = [arm for regimen, arm in arms.items() if member(regimen)]
        others = uncounted
        if named:
            lattice = _at_strata(named[0], places)
            others = {regimen for regimen in lattice if regimens.taken(regimen) in uncounted}
        is_open = not arms or any(map(member, others))
        _check_events(where, table, places)
        for key, reported, summed in (
            ("n", table.n, sum(arm.n for arm in inside)),
            ("events", table.events, sum(arm.events for arm in inside)),
        ):
            if reported is not None and (reported < summed if is_open else reported != summed):
                words = (
                    f"{reported} reported for {table.patients!r}, but its arms add up to {summed}"
                )
                places.problems.add(f"{where}.{key}", words)
        totals.append(Total(table.patients, table.n or 0, table.events, table.source or source))
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
