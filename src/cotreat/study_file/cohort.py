"""The patients of a study file: counts, individual patient data, totals, and the cohort they make."""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from cotreat.core.toml_tables import Problems
from cotreat.evidence.contrasts import OF_REGIMENS, Cohort
from cotreat.evidence.statistics import has_level
from cotreat.study import regimens
from cotreat.study.covariate_patterns import CovariatePatterns
from cotreat.study.regimens import Regimen
from cotreat.study.study import Arm, StratifiedCounts, Total, pooled
from cotreat.study_file.contrast import UNSPECIFIED, parse_contrast
from cotreat.study_file.counts import Arms, partly_stratified, read_arms, read_totals
from cotreat.study_file.parsing import RegimenReader
from cotreat.study_file.patients import PATIENTS, PATTERNS, read_patients
from cotreat.study_file.shape import StudyFile
from cotreat.study_file.tables import numbered


def read_cohort(
    file: StudyFile, raw: Mapping[str, Any], frame: Any | None, folder: Path, reader: RegimenReader
) -> tuple[StratifiedCounts, RegimenReader]:
    """Read counts, individual patient data and totals; problems are noted.

    Parameters
    ----------
    file, raw
        The file as tables, and as TOML gives it, with the keys of format 1.
    frame
        A frame that replaces the file of patients.
    folder
        Folder of the study file.
    reader
        Reader of regimens and sets of patients.

    Returns
    -------
    counts : StratifiedCounts
    reader : RegimenReader
        With the cohort, if the counts could be read.
    """
    problems = reader.problems
    patterns, arms = _counts(file, raw, frame, folder, reader)
    sums = None if arms is None else pooled(arms.values(), regimens.taken)
    uncounted = _uncounted(file, sums, reader)
    is_rows = patterns is not None
    totals = read_totals(file.totals, arms, uncounted, reader, is_rows=is_rows)
    if uncounted and has_problem(problems, "totals"):
        sums = None  # the totals determine which other patients are in the cohort
    if sums is not None:
        reader = _with_cohort(totals, sums, reader)
    if arms and reader.cohort is not None and not reader.is_counted and not is_rows:
        for name in partly_stratified(arms, reader):
            problems.add(
                "arms",
                f"{name} is not counted at each of its levels, or in each subgroup, though the totals "
                "contain more patients; count it at each, or not at all",
            )
    counted = () if is_rows or arms is None else tuple(arms.values())
    return StratifiedCounts(counted, totals, patterns), reader


def _counts(
    file: StudyFile, raw: Mapping[str, Any], frame: Any | None, folder: Path, reader: RegimenReader
) -> tuple[CovariatePatterns | None, Arms | None]:
    """Read covariate patterns and counts by regimen; None for counts that could not be read.

    Sums over wrong counts would only add false problems.
    """
    problems = reader.problems
    section = next((name for name in (PATIENTS, PATTERNS) if name in raw), "")
    if frame is not None and not section:
        problems.add(PATIENTS, "missing; it must name the columns of the frame")
    if not section:
        has_reported = bool(raw.get("reported"))
        arms = read_arms(file.arms, reader, has_reported=has_reported)
        return None, None if has_problem(problems, "arms") else arms
    before = len(problems.lines)
    for other in ("arms", "reported", PATIENTS, PATTERNS):
        if other in raw and other != section:
            problems.add(other, f"cannot be given with [{section}], which counts all patients")
    table = getattr(file, section)
    if table is None or has_problem(problems, section):
        return None, None
    patterns = read_patients(table, frame, folder, reader)
    if patterns is None or len(problems.lines) > before:
        return patterns, None
    counts = {regimens.parse(label): n for label, n in patterns.counts.items()}
    return patterns, {regimen: Arm(regimen, *n, reader.source) for regimen, n in counts.items()}


def has_problem(problems: Problems, section: str) -> bool:
    """Return whether a section has a problem.

    Parameters
    ----------
    problems
        Problems found so far.
    section
        First key of a path, such as ``reported``.

    Returns
    -------
    bool
    """
    return any(re.match(rf"{section}\b", line) for line in problems.lines)


def _uncounted(file: StudyFile, arms: Arms | None, reader: RegimenReader) -> set[Regimen]:
    """Return regimens that are admitted, not counted, and in the contrast of some estimate."""
    if not arms:
        return set()
    possible = {regimen for regimen in reader.admitted if regimen not in arms}
    tables: list[Any] = [table for _, table in numbered("reported", file.reported)]
    for _, table in numbered("interpretations", file.interpretations):
        tables += filter(None, (table.means or {}).values())
    named: set[Regimen] = set()
    for table in tables:
        try:
            is_level = has_level(getattr(table, "kind", None))
            meaning = parse_contrast(table.contrast or "", is_level=is_level)
        except ValueError:
            continue  # noted where the contrast is read
        if meaning.kind not in (*OF_REGIMENS, UNSPECIFIED):
            return possible
        for word in meaning.words if meaning.kind in OF_REGIMENS else ():
            with suppress(ValueError):  # noted where the contrast is read
                named.add(regimens.taken(regimens.parse(word)))
    # A study that has patients on one uncounted regimen may have some on any other.
    return possible if named & possible else set()


def _with_cohort(totals: tuple[Total, ...], arms: Arms, reader: RegimenReader) -> RegimenReader:
    """Return the reader with the patients of reported estimates: the counted arms, or all admitted."""
    remainders = []
    for total in totals:
        if not regimens.named_parts(total.patients):
            rule = regimens.rule(total.patients, reader.treatments)
            remainders.append((rule, total.n - sum(a.n for r, a in arms.items() if rule(r))))
    is_counted = bool(arms) and all(n <= 0 for _, n in remainders)
    full = [rule for rule, n in remainders if n == 0]
    present = tuple(
        r
        for r in reader.admitted
        if r in arms or (not is_counted and not any(rule(r) for rule in full))
    )
    return replace(reader, cohort=Cohort(reader.treatments, present), is_counted=is_counted)
