"""The patients of a study file: counts, individual patient data, totals, and the cohort they make."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cotreat.core.toml_tables import Problems
from cotreat.evidence.contrasts import Cohort
from cotreat.study import regimens
from cotreat.study.covariate_patterns import CovariatePatterns
from cotreat.study.regimens import Regimen
from cotreat.study.study import Arm, Meaning, StratifiedCounts, Total, pooled
from cotreat.study_file.contrast import UNSPECIFIED, parse_contrast
from cotreat.study_file.counts import Arms, partly_stratified, read_arms, read_totals
from cotreat.study_file.parsing import Places
from cotreat.study_file.patients import CELLS, PATIENTS, read_patients
from cotreat.study_file.reported import EligiblePatients
from cotreat.study_file.shape import AggregatedTable, PatientsTable, StudyFile
from cotreat.study_file.tables import numbered


@dataclass(frozen=True)
class Inclusion:
    """The inclusion rule, as text and as a predicate of a regimen."""

    text: str
    admits: regimens.Rule


def read_inclusion(text: str | None, places: Places) -> Inclusion:
    """Read the inclusion rule of a study; problems are noted."""
    if named := sorted(regimens.named_parts(text or "")):
        words = f"names {', '.join(named)}; it may name treatments only"
        places.problems.add("study.inclusion", words)
    rule = places.rule("study.inclusion", text) or regimens.everyone
    return Inclusion(text or "all", rule)


def read_cohort(
    file: StudyFile,
    raw: Mapping[str, Any],
    frame: Any | None,
    folder: Path,
    inclusion: Inclusion,
    places: Places,
) -> tuple[StratifiedCounts, EligiblePatients | None]:
    """Read counts, individual patient data and totals; problems are noted.

    Parameters
    ----------
    file, raw
        The file as tables, and as TOML gives it.
    frame
        A frame that replaces the file of patients.
    folder
        Folder of the study file.
    inclusion
        The inclusion rule.
    places
        Reader of regimens and sets of patients.

    Returns
    -------
    counts : StratifiedCounts
    patients : EligiblePatients or None
        None where the counts could not be read.
    """
    problems, source = places.problems, (file.study and file.study.source) or ""
    patterns, arms = _counts(file, raw, frame, folder, inclusion, places)
    sums = None if arms is None else pooled(arms.values(), regimens.taken)
    uncounted = _uncounted(file, sums, inclusion, places)
    totals = read_totals(file.totals, source, arms, uncounted, places, is_rows=patterns is not None)
    if uncounted and count_of(problems, "totals"):
        sums = None  # the totals determine which other patients are in the cohort
    patients = _eligible(totals, sums, inclusion, places)
    if arms and patients is not None and not patients.is_counted and patterns is None:
        for name in partly_stratified(arms, places):
            problems.add(
                "arms",
                f"{name} is not counted at each of its levels, or in each subgroup, though the totals "
                "contain more patients; count it at each, or not at all",
            )
    counted = () if patterns is not None or arms is None else tuple(arms.values())
    return StratifiedCounts(counted, totals, patterns), patients


def _counts(
    file: StudyFile,
    raw: Mapping[str, Any],
    frame: Any | None,
    folder: Path,
    inclusion: Inclusion,
    places: Places,
) -> tuple[CovariatePatterns | None, Arms | None]:
    """Read covariate patterns and counts by regimen; None for counts that could not be read.

    Sums over wrong counts would only add false problems.
    """
    problems, source = places.problems, (file.study and file.study.source) or ""
    section = next((name for name in (PATIENTS, CELLS) if name in raw), "")
    if frame is not None and not section:
        problems.add(PATIENTS, "missing; it must name the columns of the frame")
    if not section:
        has_reported = bool(raw.get("reported") or raw.get("claims"))  # allowed: a key of 0.1
        rule = inclusion.text, inclusion.admits
        arms = read_arms(file.arms, source, *rule, places, has_reported=has_reported)
        return None, None if count_of(problems, "arms") else arms
    before = len(problems.lines)
    for other in ("arms", "reported", "claims", PATIENTS, CELLS):  # allowed: a key of version 0.1
        if other in raw and other != section:
            problems.add(other, f"cannot be given with [{section}], which counts all patients")
    table: PatientsTable | AggregatedTable | None = getattr(file, section)
    if table is None or count_of(problems, section):
        return None, None
    patterns = read_patients(table, frame, folder, inclusion.text, inclusion.admits, places)
    if patterns is None or len(problems.lines) > before:
        return patterns, None
    counts = {regimens.parse(label): n for label, n in patterns.counts.items()}
    return patterns, {regimen: Arm(regimen, *n, source) for regimen, n in counts.items()}


def count_of(problems: Problems, section: str) -> int:
    """Return the number of problems of a section."""
    return sum(re.match(rf"{section}\b", line) is not None for line in problems.lines)


def _uncounted(
    file: StudyFile, arms: Arms | None, inclusion: Inclusion, places: Places
) -> set[Regimen]:
    """Return regimens that are admitted, not counted, and in the contrast of some estimate."""
    if not arms:
        return set()
    lattice = regimens.lattice(places.treatments)
    possible = {r for r in lattice if inclusion.admits(r) and r not in arms}
    named: set[Regimen] = set()
    for meaning in _meanings(file):
        if meaning.kind not in ("regimens", UNSPECIFIED):
            return possible
        for word in meaning.words if meaning.kind == "regimens" else ():
            try:
                named.add(regimens.taken(regimens.parse(word)))
            except ValueError:
                continue  # noted where the contrast is read
    # A study that has patients on one uncounted regimen may have some on any other.
    return possible if named & possible else set()


def _meanings(file: StudyFile) -> list[Meaning]:
    """Return the sound contrasts of all estimates under all interpretations."""
    contrasts = [table.contrast for _, table in numbered("reported", file.reported)]
    for _, table in numbered("interpretations", file.interpretations):
        contrasts += [one.contrast for one in (table.means or {}).values() if one is not None]
    meanings = []
    for text in filter(None, contrasts):
        try:
            meanings.append(parse_contrast(text))
        except ValueError:
            continue  # noted where the contrast is read
    return meanings


def _eligible(
    totals: tuple[Total, ...], arms: Arms | None, inclusion: Inclusion, places: Places
) -> EligiblePatients | None:
    """Return the patients of reported estimates: the counted arms, or all that are admitted."""
    if arms is None:
        return None
    admitted = tuple(filter(inclusion.admits, regimens.lattice(places.treatments)))
    remainders = []
    for total in totals:
        if not regimens.named_parts(total.patients):
            rule = regimens.rule(total.patients, places.treatments)
            remainders.append((rule, total.n - sum(a.n for r, a in arms.items() if rule(r))))
    is_counted = bool(arms) and all(n <= 0 for _, n in remainders)
    full = [rule for rule, n in remainders if n == 0]
    present = tuple(
        r for r in admitted if r in arms or (not is_counted and not any(rule(r) for rule in full))
    )
    cohort = Cohort(places.treatments, present)
    return EligiblePatients(cohort, is_counted, admitted, inclusion.text, places.stratifications)
