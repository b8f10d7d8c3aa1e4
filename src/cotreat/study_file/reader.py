"""Reader of study files: TOML to `Study`, with every problem of a file listed at once."""

import hashlib
import json
import re
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any

from cotreat.core.toml_tables import (
    LONGEST,
    Problems,
    control_characters,
    nearest,
    show,
    without_controls,
)
from cotreat.study import regimens
from cotreat.study.study import RANDOMISED, Baseline, Margin, Outcome, Sequential, Study
from cotreat.study_file.aggregate import aggregation_sql, check_sql
from cotreat.study_file.checks import check_study
from cotreat.study_file.cohort import read_cohort
from cotreat.study_file.old_format import RENAMED, renewed
from cotreat.study_file.parsing import RegimenReader
from cotreat.study_file.patients import PATIENTS, digest_with, read_columns
from cotreat.study_file.reported import read_interpretations, read_reported
from cotreat.study_file.shape import (
    SECTIONS,
    BaselineTable,
    FileTable,
    MarginsTable,
    OutcomeTable,
    PatientsTable,
    SequentialTable,
    StudyFile,
    StudyTable,
    SubgroupsTable,
    TreatmentTable,
)
from cotreat.study_file.strata import read_treatments
from cotreat.study_file.tables import checked, numbered

BARE_COMMA = re.compile(r"=\s*[+-]?\d+,\d")
"""A number with a decimal comma after a key."""


class StudyError(ValueError):
    """A study that cannot be read; the message lists every problem found."""

    def __init__(self, name: str, problems: list[str]) -> None:
        super().__init__(name, problems)  # both, so that the error survives pickling
        self.name = name
        self.problems = tuple(problems)

    def __str__(self) -> str:
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        return without_controls("\n  ".join([f"{self.name} has {count}:", *self.problems]))


def packaged() -> tuple[str, ...]:
    """Return the names of the packaged study files.

    Returns
    -------
    tuple of str
    """
    folder = resources.files("cotreat.studies")
    return tuple(sorted(f.name[:-5] for f in folder.iterdir() if f.name.endswith(".toml")))


def load_study(study: str | Path, patients: Any | None = None) -> Study:
    """Read a packaged study or a study file.

    Parameters
    ----------
    study
        A name that ``cotreat studies`` lists, or the path of a TOML file.
    patients
        A frame of pandas or polars that replaces the file under ``[patients]`` or ``[patterns]``.

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
        # Editors on Windows write a byte-order mark, which TOML does not allow.
        text = path.read_text(encoding="utf-8-sig")
        read = parse_study(text, path.name, patients, folder=path.parent)
        return replace(read, file=path.as_posix())
    except FileNotFoundError:
        near = nearest(path.stem, packaged())
        words = f"no such file and no packaged study{f' ({near})' if near else ''}"
        words = f"{words}; packaged are {', '.join(packaged())}"
        raise StudyError(repr(str(study)), [words]) from None
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
    text
        A study file.
    name
        Name of the text in error messages.
    patients
        As in `load_study`.
    folder
        Folder of the files that the text names.

    Returns
    -------
    Study

    Raises
    ------
    StudyError
        If the text has problems; all of them are listed.
    """
    try:
        # Decimals keep the published digits: 2.40 is rounded to 0.005, 2.4 to 0.05.
        raw = tomllib.loads(text, parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError) as error:
        # Wrong TOML, numbers of thousands of digits, or brackets nested as deep.
        comma = "; numbers have a decimal point, not a comma" if BARE_COMMA.search(text) else ""
        raise StudyError(name, [f"not TOML: {_short(str(error))}{comma}"]) from None
    problems = Problems()
    for where, value in control_characters(raw):
        problems.add(where, f"{show(value)} has a control character; remove it")
    if problems.lines:
        raise StudyError(name, problems.lines)
    study = _read(raw, patients, folder, problems)
    if problems.lines or study is None:
        raise StudyError(name, sorted(problems.lines, key=_position))
    return study


def _short(words: str) -> str:
    """Return the start and the end of a message."""
    return words if len(words) <= 4 * LONGEST else f"{words[:LONGEST]} … {words[-LONGEST:]}"


def _position(problem: str) -> tuple[int, float]:
    """Return the place of a problem: its section, and its table in a list of tables."""
    match = re.match(r"(\w*)(?:\[(\d+)\])?", problem)
    section, number = match.groups() if match else ("", None)
    section = RENAMED.get(section, section)
    order = SECTIONS.index(section) if section in SECTIONS else -1
    return order, float(number) if number else float("inf")


class _RowsFile(FileTable, extra="ignore"):
    """The sections of a study file that define the aggregation of its rows."""

    treatments: dict[str, TreatmentTable]
    subgroups: dict[str, SubgroupsTable] = {}  # noqa: RUF012 - Pydantic copies it
    patients: PatientsTable


def aggregation_of(study: str | Path) -> tuple[str, str, dict[str, Any]]:
    """Return the SQL that aggregates individual patient data to covariate patterns.

    The rows are not read; they may be in a database elsewhere.

    Parameters
    ----------
    study
        Path of a study file with [patients].

    Returns
    -------
    aggregation, check : str
        The query, and a query that counts the rows it omits.
    section : dict
        The keys of [patterns] in the study file that reads the result.

    Raises
    ------
    StudyError
        If the file has no sound [patients].
    """
    path = Path(study)
    problems = Problems()
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8-sig"), parse_float=Decimal)
    except (OSError, ValueError) as error:
        raise StudyError(str(study), [f"the file cannot be read: {_why(error)}"]) from None
    file = checked(_RowsFile, {PATIENTS: {}, **raw}, problems)
    treatments, stratifications = read_treatments(file.treatments, file.subgroups, problems)
    reader = RegimenReader(tuple(t.id for t in treatments), problems, stratifications)
    columns = None if problems.lines else read_columns(file.patients, reader)
    if columns is None:
        raise StudyError(path.name, problems.lines)
    section: dict[str, Any] = {"covariates": dict(columns.covariates)}
    for column in columns.strata:
        key, _, owner = column.key.partition(".")
        section.setdefault(key, {})[owner] = column.column
    section[columns.cluster_key] = columns.cluster
    given = {key: value for key, value in section.items() if value}
    return aggregation_sql(columns), check_sql(columns), given


def _why(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


# --- The sections --------------------------------------------------------------------------------


def _read(raw: dict[str, Any], frame: Any | None, folder: Path, problems: Problems) -> Study | None:
    if isinstance(raw.get("study"), list):
        problems.add("study", "several studies in one file are not supported; write one file each")
        return None
    raw = renewed(raw, problems)
    file = checked(StudyFile, {"study": {}, "outcome": {}, **raw}, problems)
    treatments, stratifications = read_treatments(file.treatments, file.subgroups, problems)
    if not treatments:
        return None
    head = file.study or StudyTable.model_construct(**dict.fromkeys(StudyTable.model_fields))
    ids = tuple(t.id for t in treatments)
    reader = RegimenReader(ids, problems, stratifications, head.source or "")
    outcome = _outcome(file.outcome, head.design, problems)
    sequential = _sequential(file.sequential, reader)
    randomised = _randomised(head, reader)
    reader = reader.with_inclusion(head.inclusion)
    baseline = _baseline(file.baseline, head.design, reader)
    counts, reader = read_cohort(file, raw, frame, folder, reader)
    estimates = read_reported(file.reported, reader)
    names = tuple(table.id for _, table in numbered("reported", file.reported) if table.id)
    interpretations = read_interpretations(file.interpretations, estimates, names, reader)
    if problems.lines or outcome is None:
        return None
    # Keys are in the order of the schema; treatments, levels and groups, whose order has a meaning, in
    # that of the file. Numbers keep their digits; values equal to a default are omitted.
    content = json.dumps(file.model_dump(exclude_defaults=True), default=str).encode()
    study = Study(
        id=head.id,
        title=head.title,
        design=head.design,
        source=head.source,
        doi=head.doi or "",
        inclusion=reader.inclusion,
        outcome=outcome,
        treatments=treatments,
        stratified=counts,
        baseline=baseline,
        interpretations=interpretations,
        interpretation=interpretations[0].id,
        warnings=(),
        digest=digest_with(hashlib.sha256(content).hexdigest(), counts.patterns),
        stratifications=stratifications,
        sequential=sequential,
        named_randomised=randomised,
        margins=_margins(file.margins),
    )
    return check_study(study, problems)


def _margins(table: MarginsTable | None) -> tuple[Margin, ...]:
    """Return the declared margins of no relevant interaction."""
    declared = {} if table is None else table.model_dump(exclude_none=True)
    return tuple(Margin(n, float(lower), float(upper)) for n, (lower, upper) in declared.items())


def _outcome(table: OutcomeTable | None, design: str | None, problems: Problems) -> Outcome | None:
    if table is None:
        return None
    if design == "case-control" and "synergy_on" not in table.model_fields_set:
        problems.add(
            "outcome.synergy_on",
            'missing; a case-control study must say "event" or "non-event" '
            "(additive measures differ between the two)",
        )
    scale = table.synergy_on or ("non-event" if table.direction == "harm" else "event")
    return Outcome(table.name, table.time or "", table.direction, scale)


def _randomised(head: StudyTable, reader: RegimenReader) -> tuple[str, ...]:
    """Return the treatments that the file names as randomised, in its order; problems are noted."""
    where, named = "study.randomised", head.randomised or []
    for name in (name for name in named if name not in reader.treatments):
        reader.note_unknown(where, name)
    if named and head.design in ("cohort", "case-control"):
        words = (
            f"names {', '.join(named)}, but study.design is {head.design!r}, in which no treatment"
        )
        right = f'is randomised; write design = "{RANDOMISED}", or leave out study.randomised'
        reader.problems.add(where, f"{words} {right}")
    if len(set(named)) < len(named):
        reader.problems.add(where, "names a treatment twice")
    return tuple(name for name in reader.treatments if name in named)


def _baseline(
    table: BaselineTable | None, design: str | None, reader: RegimenReader
) -> Baseline | None:
    """Read [baseline]; problems are noted."""
    regimen = None if table is None else reader.regimen("baseline.regimen", table.regimen)
    if table is None or regimen is None or not table.risk:
        return None
    if regimens.taken(regimen) != regimen:
        words = f"{table.regimen} names a level or a subgroup; write treatments only"
        reader.problems.add("baseline.regimen", words)
    if design == "case-control":
        words = "a case-control study has no risks, its sampling sets the share of cases; remove it"
        reader.problems.add("baseline", words)
    lower, upper = map(float, table.risk)
    return Baseline(lower, upper, table.source, regimen)


def _sequential(
    tables: Sequence[SequentialTable | None] | None, reader: RegimenReader
) -> tuple[Sequential, ...]:
    """Read [[sequential]]; problems are noted."""
    sequences = []
    for where, table in numbered("sequential", tables):
        names = table.treatments or []
        for name in (name for name in names if name not in reader.treatments):
            reader.note_unknown(f"{where}.treatments", name)
        if len(set(names)) < len(names):
            reader.problems.add(f"{where}.treatments", "names a treatment twice")
        sequences.append(Sequential(tuple(names), table.source or ""))
    return tuple(sequences)
