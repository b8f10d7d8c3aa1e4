"""Counts of a study file: ``[[arms]]`` and ``[[totals]]``."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cotreat.study import regimens
from cotreat.study.regimens import Regimen
from cotreat.study.study import Arm, Stratification, Total
from cotreat.study_file.errors import numbered
from cotreat.study_file.parsing import Places
from cotreat.study_file.shape import ArmTable, TotalTable


def read_arms(
    tables: Sequence[ArmTable | None] | None,
    source: str,
    inclusion: str,
    admitted: regimens.Rule,
    places: Places,
    *,
    has_reported: bool,
) -> dict[Regimen, Arm]:
    """Read counts by regimen, which may name levels or subgroups; problems are noted.

    Parameters
    ----------
    tables
        The tables under [[arms]]; None where they are no list.
    source
        The source of a count that names none itself.
    inclusion, admitted
        The rule that admits regimens, in words and as a test.
    has_reported
        Whether reported estimates can stand for arms.
    """
    problems = places.problems
    arms: dict[Regimen, Arm] = {}
    if tables is not None and len(tables) < 2 and not (has_reported and not tables):
        problems.add(
            "arms",
            "at least two regimens must have patients; write one [[arms]] for each of them"
            + ("" if has_reported else ", or [[reported]] for each published estimate"),
        )
    for where, table in numbered("arms", tables):
        regimen = places.regimen(f"{where}.regimen", table.regimen)
        n, events = table.n, table.events
        if n is not None and events is not None and events > n:
            problems.add(f"{where}.events", f"{events} events in {n} patients; at most {n} can be")
        if regimen is None:
            continue
        if regimen in arms:
            problems.add(f"{where}.regimen", f"{places.label(regimen)} is counted in an arm above")
        elif any(regimens.fits(a, regimen) or regimens.fits(regimen, a) for a in arms):
            problems.add(
                f"{where}.regimen", f"{places.label(regimen)} shares patients with an arm above"
            )
        if not admitted(regimen):
            problems.add(
                f"{where}.regimen",
                f"{places.label(regimen)} is forbidden by study.inclusion = {inclusion!r}",
            )
        arms[regimen] = Arm(regimen, n or 0, events or 0, table.source or source)
    _check_divisions(arms, places)
    return arms


def _check_divisions(arms: Mapping[Regimen, Arm], places: Places) -> None:
    """Refuse arms by several divisions, which would count patients twice, or by subgroup in part."""
    by = [d for d in places.stratifications if any(arm & set(d.names) for arm in arms)]
    if len(by) > 1:
        places.problems.add(
            "arms",
            f"are counted by {' and by '.join(d.id for d in by)}, so that patients stand in two of them; "
            "count all by one",
        )
    for strata in by:
        untold = [places.label(arm) for arm in arms if not arm & set(strata.groups)]
        if strata.groups and untold:
            places.problems.add(
                "arms", f"{', '.join(untold)} must say the {strata.id}, as the others do"
            )


def partly_told(arms: Mapping[Regimen, Arm], places: Places) -> list[str]:
    """Name the regimens that are counted at some of their levels, or in some subgroups, only."""
    by = [d for d in places.stratifications if any(arm & set(d.names) for arm in arms)]
    return [
        places.label(plain)
        for strata in by
        for plain in {regimens.taken(arm): None for arm in arms}
        if any(
            one not in arms
            for one in regimens.lattice(places.treatments, strata.levels, strata.groups)
            if regimens.taken(one) == plain
        )
    ]


def read_totals(
    tables: Sequence[TotalTable | None] | None,
    source: str,
    arms: Mapping[Regimen, Arm] | None,
    may_be_more: set[Regimen],
    places: Places,
    *,
    is_rows: bool,
) -> tuple[Total, ...]:
    """Read reported totals, and check each against the arms inside it; problems are noted.

    Parameters
    ----------
    arms
        As they were read; None where they could not be.
    may_be_more
        Regimens that may have patients and are not counted.
    is_rows
        Whether rows of patients are the counts.
    """
    totals = []
    for where, table in numbered("totals", tables):
        member = places.rule(f"{where}.patients", table.patients)
        if member is None or arms is None:
            continue
        named = sorted(regimens.named_parts(table.patients))
        if named and is_rows:
            places.problems.add(
                f"{where}.patients", f"names {', '.join(named)}, which the rows of patients count"
            )
            continue
        by = [d for d in places.stratifications if not d.written.isdisjoint(named)]
        if len(by) > 1:
            words = ", ".join(own.id for own in by)
            places.problems.add(
                f"{where}.patients",
                f"names levels or subgroups of several divisions ({words}); a total can name one",
            )
            continue
        if by and not all(map(by[0].is_told, arms)):
            places.problems.add(
                f"{where}.patients", f"names {', '.join(named)}, by which the arms are not counted"
            )
            continue
        inside = [arm for regimen, arm in arms.items() if member(regimen)]
        uncounted = _told_by(by[0], may_be_more, places) if by else may_be_more
        more = not arms or any(map(member, uncounted))
        n, events = table.n, table.events
        if n is not None and events is not None and events > n:
            places.problems.add(
                f"{where}.events", f"{events} events in {n} patients; at most {n} can be"
            )
        for what, reported, summed in (
            ("n", n, sum(arm.n for arm in inside)),
            ("events", events, sum(arm.events for arm in inside)),
        ):
            if reported is not None and (reported < summed if more else reported != summed):
                places.problems.add(
                    f"{where}.{what}",
                    f"{reported} reported for {table.patients!r}, but its arms add up to {summed}",
                )
        totals.append(Total(table.patients, n or 0, events, table.source or source))
    return tuple(totals)


def _told_by(strata: Stratification, plain: set[Regimen], places: Places) -> set[Regimen]:
    """Tell regimens by the levels or subgroups of a division."""
    told = regimens.lattice(places.treatments, strata.levels, strata.groups)
    return {one for one in told if regimens.taken(one) in plain}


def without_parts(arms: Mapping[Regimen, Arm]) -> dict[Regimen, Arm]:
    """Sum counts over levels and subgroups."""
    summed: dict[Regimen, Arm] = {}
    for regimen, arm in arms.items():
        own = regimens.taken(regimen)
        before = summed.get(own, Arm(own, 0, 0, arm.source))
        summed[own] = replace(before, n=before.n + arm.n, events=before.events + arm.events)
    return summed
