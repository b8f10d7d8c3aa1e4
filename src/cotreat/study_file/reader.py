"""Study files: TOML to `Study`, with every problem of a file listed at once."""

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any

from cotreat.core.toml_tables import Problems, nearest, show_key
from cotreat.evidence.arm_sizes import events_fit, listed_events, sizes_of
from cotreat.evidence.contrasts import Cohort
from cotreat.evidence.reported import incompatibilities, is_used
from cotreat.study import regimens
from cotreat.study.covariate_patterns import Cells
from cotreat.study.regimens import Regimen
from cotreat.study.study import (
    Arm,
    Baseline,
    Outcome,
    Scale,
    Sequential,
    Stratification,
    StratificationError,
    StratifiedCounts,
    Study,
    Total,
    Treatment,
)
from cotreat.study_file.aggregate import check_sql, collapse_sql
from cotreat.study_file.contrast import UNSPECIFIED, parse_contrast
from cotreat.study_file.counts import partly_told, read_arms, read_totals, without_parts
from cotreat.study_file.errors import checked, numbered
from cotreat.study_file.old_format import RENAMED, renewed
from cotreat.study_file.parsing import Places
from cotreat.study_file.patients import CELLS, PATIENTS, digest_with, read_columns, read_patients
from cotreat.study_file.reported import Patients, check_symmetry, read_claims, read_interpretations
from cotreat.study_file.shape import (
    SCHEMA_FILE,
    SCHEMA_LINE,
    SECTIONS,
    AggregatedTable,
    BaselineTable,
    FileTable,
    OutcomeTable,
    PatientsTable,
    SequentialTable,
    StudyFile,
    StudyTable,
    SubgroupsTable,
    TreatmentTable,
    schema,
)
from cotreat.study_file.strata import read_subgroups, read_treatments

__all__ = [
    "SCHEMA_FILE",
    "SCHEMA_LINE",
    "StudyError",
    "collapse_of",
    "load_study",
    "packaged",
    "parse_study",
    "schema",
]

MAX_TREATMENTS = 6  # 64 regimens and 2,016 odds ratios: past that no table is readable


class StudyError(ValueError):
    """A study that cannot be read; the message lists every problem found."""

    def __init__(self, name: str, problems: list[str]) -> None:
        super().__init__(name, problems)  # both, so that the error survives pickling
        self.name = name
        self.problems = tuple(problems)

    def __str__(self) -> str:
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        return "\n  ".join([f"{self.name} has {count}:", *self.problems])


def packaged() -> tuple[str, ...]:
    """Names of the study files that come with the package."""
    folder = resources.files("cotreat.studies")
    return tuple(sorted(f.name[:-5] for f in folder.iterdir() if f.name.endswith(".toml")))


def load_study(study: str | Path, patients: Any | None = None) -> Study:
    """Read a packaged study or a study file.

    Parameters
    ----------
    study
        A name that ``cotreat studies`` lists, or the path of a TOML file.
    patients
        A frame of pandas or polars that stands for the file under ``[patients]`` or ``[cells]``.

    Returns
    -------
    Study
        The checked record.

    Raises
    ------
    StudyError
        If there is no such study, or its file has problems; all of them are listed.
    """
    if str(study) in packaged():
        with resources.as_file(resources.files("cotreat.studies")) as folder:
            file = folder / f"{study}.toml"
            return parse_study(file.read_text(encoding="utf-8"), file.name, patients, folder)
    path = Path(study)
    try:
        # Editors on Windows put a byte-order mark first, which TOML does not know.
        text = path.read_text(encoding="utf-8-sig")
        read = parse_study(text, path.name, patients, folder=path.parent)
        return replace(read, file=path.as_posix())
    except FileNotFoundError:
        raise StudyError(repr(str(study)), [_no_such_study(path)]) from None
    except UnicodeDecodeError:
        raise StudyError(str(study), ["the file is not UTF-8 text"]) from None
    except StudyError:
        raise
    except (OSError, ValueError) as error:  # a path with a NUL is a ValueError
        raise StudyError(repr(str(study)), [f"the file cannot be read: {_why(error)}"]) from None


def parse_study(
    text: str,
    name: str = "study file",
    patients: Any | None = None,
    folder: Path = Path(),
) -> Study:
    """Read a study from TOML text.

    Parameters
    ----------
    name
        Stands in front of the text's problems.
    patients
        As `load_study` takes it.
    folder
        Where the files are that the text names.

    Raises
    ------
    StudyError
        If the text has problems; all of them are listed.
    """
    try:
        # Decimals keep the digits as published: 2.40 is known to 0.005, 2.4 to 0.05.
        raw = tomllib.loads(text, parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError) as error:
        # Not only bad TOML: numbers of thousands of digits, and brackets nested as deep.
        raise StudyError(name, [f"not TOML: {error}"]) from None
    problems = Problems()
    study = _read(raw, patients, folder, problems)
    if problems.found or study is None:
        raise StudyError(name, sorted(problems.found, key=_position))
    return study


def _position(problem: str) -> tuple[int, float]:
    """Return where a problem stands in a file: its section, and its table in a list of tables."""
    found = re.match(r"(\w*)(?:\[(\d+)\])?", problem)
    section, number = found.groups() if found else ("", None)
    section = RENAMED.get(section, section)
    order = SECTIONS.index(section) if section in SECTIONS else -1
    return order, float(number) if number else float("inf")


class _RowsFile(FileTable, extra="ignore"):
    """What of a study file says how its rows are aggregated."""

    treatments: dict[str, TreatmentTable]
    subgroups: dict[str, SubgroupsTable] = {}  # noqa: RUF012 - Pydantic copies it
    patients: PatientsTable


def collapse_of(study: str | Path) -> tuple[str, str, dict[str, Any]]:
    """Return the aggregation of a study's rows as SQL, a query that checks them, and the section for cells.

    The rows themselves are not read: they may be in a database elsewhere.

    Raises
    ------
    StudyError
        If the file has no sound ``[patients]``.
    """
    path = Path(study)
    problems = Problems()
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8-sig"), parse_float=Decimal)
    except (OSError, ValueError) as error:
        raise StudyError(str(study), [f"the file cannot be read: {_why(error)}"]) from None
    file = checked(_RowsFile, {PATIENTS: {}, **raw}, problems)
    treatments, stratifications = _treatments(file.treatments, file.subgroups, problems)
    if problems.found:
        raise StudyError(path.name, problems.found)
    own = tuple(t.id for t in treatments)
    asked = read_columns(file.patients, own, stratifications, problems)
    if asked is None or problems.found:
        raise StudyError(path.name, problems.found)
    columns = asked.columns
    section: dict[str, Any] = {"covariates": dict(columns.covariates)}
    for one in columns.parted:
        key, _, owner = one.key.partition(".")
        section.setdefault(key, {})[owner] = one.column
    section["cluster"] = columns.cluster
    given = {key: value for key, value in section.items() if value}
    return collapse_sql(columns), check_sql(columns), given


def _why(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _no_such_study(path: Path) -> str:
    near = nearest(path.stem, packaged())
    hint = f" ({near})" if near else ""
    return f"no such file and no packaged study{hint}; packaged are {', '.join(packaged())}"


# --- The sections --------------------------------------------------------------------------------


def _read(raw: dict[str, Any], frame: Any | None, folder: Path, problems: Problems) -> Study | None:
    if isinstance(raw.get("study"), list):
        problems.add("study", "several studies in one file are not supported; write one file each")
        return None
    file = checked(StudyFile, {"study": {}, "outcome": {}, **renewed(raw, problems)}, problems)
    treatments, stratifications = _treatments(file.treatments, file.subgroups, problems)
    if not treatments:
        return None
    places = Places(tuple(t.id for t in treatments), problems, stratifications)
    head = file.study or StudyTable.model_construct(**dict.fromkeys(StudyTable.model_fields))
    outcome = _outcome(file.outcome, head.design, problems)
    sequential = _sequential(file.sequential, places)
    inclusion, admitted = _inclusion(head.inclusion, places)
    cells, arms = _counts(file, raw, frame, folder, inclusion, admitted, places)
    totals, patients = _cohort(file, arms, cells, inclusion, admitted, places)
    reported_estimates = read_claims(file.reported, patients, places)
    names = tuple(table.id for _, table in numbered("reported", file.reported) if table.id)
    interpretations = read_interpretations(
        file.interpretations, reported_estimates, names, patients, places
    )
    if problems.found or outcome is None:
        return None
    digest = _digest(file)
    study = Study(
        id=head.id,
        title=head.title,
        design=head.design,
        source=head.source,
        doi=head.doi or "",
        inclusion=inclusion,
        outcome=outcome,
        treatments=treatments,
        stratified=StratifiedCounts(
            () if cells is not None else tuple((arms or {}).values()), totals, cells
        ),
        baseline=_baseline(file.baseline),
        interpretations=interpretations,
        interpretation=interpretations[0].id,
        warnings=(),
        digest=digest if cells is None else digest_with(digest, cells),
        stratifications=stratifications,
        sequential=sequential,
    )
    return _check_printed(study, problems)


def _digest(file: StudyFile) -> str:
    """Return the SHA-256 of what a file contains, whatever its comments and its layout.

    Keys stand in the order of the schema; treatments, levels and groups, whose order has a meaning, in
    that of the file. Numbers keep their digits, and what equals a default is left out.
    """
    content = file.model_dump(exclude_defaults=True)
    return hashlib.sha256(json.dumps(content, default=str).encode()).hexdigest()


def _inclusion(text: str | None, places: Places) -> tuple[str, regimens.Rule]:
    inclusion = text or "all"
    if named := sorted(regimens.named_parts(inclusion)):
        places.problems.add(
            "study.inclusion", f"names {', '.join(named)}; it may name treatments only"
        )
    return inclusion, places.rule("study.inclusion", inclusion) or regimens.everyone


def _counts(
    file: StudyFile,
    raw: Mapping[str, Any],
    frame: Any | None,
    folder: Path,
    inclusion: str,
    admitted: regimens.Rule,
    places: Places,
) -> tuple[Cells | None, dict[Regimen, Arm] | None]:
    """Read the covariate patterns of individual patients, if there are any, and the counts by regimen.

    The counts are None where they could not be read: sums over them would only add false problems.
    """
    problems, source = places.problems, file.study.source if file.study else None
    section = next((name for name in (PATIENTS, CELLS) if name in raw), "")
    if frame is not None and not section:
        problems.add(PATIENTS, "missing; it must name the columns of the frame")
    if not section:
        arms = read_arms(
            file.arms,
            source or "",
            inclusion,
            admitted,
            places,
            has_reported=bool(raw.get("reported") or raw.get("claims")),
        )
        return None, None if _count(problems, "arms") else arms
    before = len(problems.found)
    for other in ("arms", "reported", "claims", PATIENTS, CELLS):
        if other in raw and other != section:
            problems.add(other, f"cannot be given with [{section}], which counts all patients")
    table: PatientsTable | AggregatedTable | None = getattr(file, section)
    if table is None or _count(problems, section):
        return None, None
    cells = read_patients(table, frame, folder, inclusion, admitted, places)
    if cells is None or len(problems.found) > before:
        return cells, None
    counts = cells.counts.items()
    return cells, {regimens.parse(r): Arm(regimens.parse(r), *n, source or "") for r, n in counts}


def _count(problems: Problems, section: str) -> int:
    """Count the problems of a section."""
    return sum(re.match(rf"{section}\b", line) is not None for line in problems.found)


def _cohort(
    file: StudyFile,
    arms: dict[Regimen, Arm] | None,
    cells: Cells | None,
    inclusion: str,
    admitted: regimens.Rule,
    places: Places,
) -> tuple[tuple[Total, ...], Patients | None]:
    """Read the totals, and who may stand in a reported estimate."""
    problems = places.problems
    sound = None if arms is None else without_parts(arms)
    may_be_more = _read_more(file, sound, admitted, places)
    source = (file.study and file.study.source) or ""
    totals = read_totals(file.totals, source, arms, may_be_more, places, is_rows=cells is not None)
    if may_be_more and _count(problems, "totals"):
        sound = None  # who else is in the cohort stands in the totals
    patients = _patients(totals, sound, admitted, inclusion, places)
    if arms and patients is not None and not patients.is_counted and cells is None:
        for name in partly_told(arms, places):
            problems.add(
                "arms",
                f"{name} is not counted at each of its levels, or in each subgroup, though the totals "
                "contain more patients; count it at each, or not at all",
            )
    return totals, patients


def _read_more(
    file: StudyFile,
    arms: Mapping[Regimen, Arm] | None,
    admitted: regimens.Rule,
    places: Places,
) -> set[Regimen]:
    """Return regimens that are admitted, not counted, and in the contrast of some estimate."""
    if not arms:
        return set()
    possible = {r for r in regimens.lattice(places.treatments) if admitted(r) and r not in arms}
    meanings = [parse_contrast(text) for text in _contrasts(file) if _is_contrast(text)]
    words = [word for one in meanings if one.kind == "regimens" for word in one.words]
    named = {regimens.taken(one) for one in map(_parsed, words) if one is not None}
    wide = any(one.kind not in ("regimens", UNSPECIFIED) for one in meanings)
    # Whoever has one uncounted regimen may have any other.
    return possible if wide or named & possible else set()


def _contrasts(file: StudyFile) -> list[str]:
    """Return the contrasts of all estimates under all interpretations."""
    found = [table.contrast for _, table in numbered("reported", file.reported)]
    for _, table in numbered("interpretations", file.interpretations):
        found += [one.contrast for one in (table.means or {}).values() if one is not None]
    return [text for text in found if text]


def _is_contrast(text: str) -> bool:
    try:
        parse_contrast(text)
    except ValueError:
        return False
    return True


def _parsed(word: str) -> Regimen | None:
    """Read a regimen that was not checked yet; None where it is none."""
    try:
        return regimens.parse(word)
    except ValueError:
        return None


def _patients(
    totals: tuple[Total, ...],
    arms: Mapping[Regimen, Arm] | None,
    admitted: regimens.Rule,
    inclusion: str,
    places: Places,
) -> Patients | None:
    """Return who may stand in a reported estimate: the counted arms, or all that are admitted."""
    if arms is None:
        return None
    every = tuple(filter(admitted, regimens.lattice(places.treatments)))
    rules = [
        (total, regimens.rule(total.patients, places.treatments))
        for total in totals
        if not regimens.named_parts(total.patients)
    ]
    counted = [sum(a.n for r, a in arms.items() if rule(r)) for _, rule in rules]
    more = not arms or any(t.n > n for (t, _), n in zip(rules, counted, strict=True))
    full = [rule for (t, rule), n in zip(rules, counted, strict=True) if t.n == n]
    own = tuple(r for r in every if r in arms or (more and not any(rule(r) for rule in full)))
    cohort = Cohort(places.treatments, own)
    return Patients(cohort, not more, every, inclusion, places.stratifications)


def _check_printed(study: Study, problems: Problems) -> Study | None:
    """Check what depends on the whole file: arm sizes, dependent estimates, odd intervals."""
    odd: list[str] = []
    if study.has_uncounted:
        try:
            sizes_of(study)
        except ValueError as error:
            problems.add("totals", str(error))
            return None
        _check_used(study, problems)
        _check_divided(study, problems)
    if study.arms and study.has_uncounted:
        more = max(
            t.n - sum(a.n for a in study.arms if study.holds(t.patients, a.regimen))
            for t in study.totals
        )
        odd.append(f"totals: {more} patients are in no counted arm; is that what the study had?")
    for at, reported_estimate in enumerate(study.reported_estimates, start=1):
        words = check_symmetry(reported_estimate)
        if words and reported_estimate.model:
            problems.add(f"reported[{at}].ci", words)
        elif words:
            odd.append(f"{reported_estimate.id}: {words}")
    if problems.found:
        return None
    for interpretation in study.interpretations:
        for wrong, is_error in incompatibilities(study.resolve(interpretation.id)):
            if is_error and interpretation is study.interpretations[0]:
                problems.add("totals" if wrong.startswith("events[") else "reported", wrong)
            else:
                where = (
                    ""
                    if len(study.interpretations) == 1
                    else f"interpretation {interpretation.id}: "
                )
                odd.append(where + wrong)
    if study.has_uncounted and not problems.found and not events_fit(study):
        problems.add("totals", f"no numbers of events fit these totals: {listed_events(study)}")
    return None if problems.found else replace(study, warnings=tuple(odd))


def _check_divided(study: Study, problems: Problems) -> None:
    """Check arm sizes and reported estimates by levels or subgroups."""
    for strata in _divisions(study):
        told = study.resolve(strata=strata)
        try:
            sizes_of(told)
        except ValueError as error:
            problems.add("totals", f"by {strata}: {error}")
            continue
        for wrong, is_error in incompatibilities(told):
            if is_error:
                problems.add("reported", f"by {strata}: {wrong}")


def _divisions(study: Study) -> list[str]:
    """Name the divisions by which a study counts its patients."""
    found = []
    for strata in study.stratifications:
        try:
            found.append(study.resolve(strata=strata.id).strata)
        except StratificationError:
            continue  # counted by regimen only: said where such a model is asked for
    return found


def _check_used(study: Study, problems: Problems) -> None:
    for interpretation in study.interpretations:
        told = [study, *(study.resolve(strata=strata) for strata in _divisions(study))]
        used = [
            c
            for c in interpretation.reported_estimates
            if any(is_used(s.resolve(interpretation.id), c) for s in told)
        ]
        where = (
            "reported"
            if len(study.interpretations) == 1
            else f"interpretations: {interpretation.id}"
        )
        if not used:
            problems.add(where, "no reported estimate has a contrast that a model can use")
        if not study.totals and any(
            not reported_estimate.has_interval for reported_estimate in used
        ):
            problems.add(
                where, "p-values need to know how many patients there were; write [[totals]]"
            )


def _outcome(table: OutcomeTable | None, design: str | None, problems: Problems) -> Outcome | None:
    if table is None:
        return None
    if design == "case-control" and "synergy_on" not in table.model_fields_set:
        problems.add(
            "outcome.synergy_on",
            'missing; a case-control study must say "event" or "non-event" '
            "(additive measures differ between the two)",
        )
    usual: Scale = "non-event" if table.direction == "harm" else "event"
    return Outcome(
        name=table.name,
        time=table.time or "",
        direction=table.direction,
        synergy_on=table.synergy_on or usual,
    )


def _baseline(table: BaselineTable | None) -> Baseline | None:
    if table is None:
        return None
    lower, upper = map(float, table.risk)
    return Baseline(lower, upper, table.source)


def _sequential(
    tables: Sequence[SequentialTable | None] | None, places: Places
) -> tuple[Sequential, ...]:
    """Read which treatments were given one after the other."""
    found = []
    for where, table in numbered("sequential", tables):
        own = table.treatments or []
        place = f"{where}.treatments"
        for name in (name for name in own if name not in places.treatments):
            hint = nearest(name, places.treatments)
            hint = hint or f"the treatments are {', '.join(places.treatments)}"
            places.problems.add(place, f"unknown treatment {name}; {hint}")
        if len(set(own)) < len(own):
            places.problems.add(place, "names a treatment twice")
        found.append(Sequential(tuple(own), table.source or ""))
    return tuple(found)


def _treatments(
    tables: Mapping[str, TreatmentTable | None] | None,
    subgroups: Mapping[str, SubgroupsTable | None] | None,
    problems: Problems,
) -> tuple[tuple[Treatment, ...], tuple[Stratification, ...]]:
    """Read treatments, and what divides the patients of one regimen."""
    if tables is None:
        return (), ()
    if len(tables) > MAX_TREATMENTS:
        problems.add(
            "treatments", f"{len(tables)} treatments; at most {MAX_TREATMENTS} are supported"
        )
        return (), ()
    for name in tables:
        if not regimens.is_treatment_id(name):
            problems.add(
                f"treatments.{show_key(name)}",
                "a treatment's id must be a letter A-Z or a-z followed by letters, digits or _, and "
                f"no word of set expressions or of Python ({', '.join(sorted(regimens.RESERVED))}, "
                "not, and, is, …)",
            )
    treatments, graded = read_treatments(tables, problems)
    grouped = read_subgroups(subgroups or {}, tuple(tables), problems)
    return treatments, (*graded, *grouped)
