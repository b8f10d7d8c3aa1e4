"""Study files: TOML to `Study`, with every problem of a file listed at once."""

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any

from cotreat.claims_file import (
    Patients,
    RawClaim,
    check_symmetry,
    raw_claims,
    read_claims,
    read_readings,
)
from cotreat.collapse import check_sql, collapse_sql
from cotreat.core.toml_tables import (
    Key,
    Problems,
    Table,
    is_rising,
    is_share,
    is_text,
    matching,
    nearest,
    one_of,
    read_table,
    read_tables,
    text,
    unknown_keys,
)
from cotreat.counts_file import partly_told, read_arms, read_totals, without_parts
from cotreat.divisions_file import read_subgroups, read_treatments
from cotreat.evidence.arm_sizes import events_fit, listed_events, sizes_of
from cotreat.evidence.contrasts import KINDS, Cohort
from cotreat.evidence.reported import contradictions, is_used
from cotreat.patients_file import CELLS, PATIENTS, digest_with, read_columns, read_patients
from cotreat.places import Places
from cotreat.study import regimens
from cotreat.study.regimens import Regimen
from cotreat.study.study import (
    Arm,
    Baseline,
    Division,
    DivisionError,
    Outcome,
    Scale,
    Sequential,
    Study,
    Told,
    Total,
    Treatment,
)

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
        # Decimals keep the digits as printed: 2.40 is known to 0.005, 2.4 to 0.05.
        raw = tomllib.loads(text, parse_float=Decimal)
    except (ValueError, ArithmeticError, RecursionError) as error:
        # Not only bad TOML: numbers of thousands of digits, and brackets nested as deep.
        raise StudyError(name, [f"not TOML: {error}"]) from None
    problems = Problems()
    given = _Given(patients, folder, hashlib.sha256(text.encode()).hexdigest())
    study = _read(raw, given, problems)
    if problems.found or study is None:
        raise StudyError(name, problems.found)
    return study


def collapse_of(study: str | Path) -> tuple[str, str, dict[str, Any]]:
    """Return the collapse of a study's rows as SQL, a query that checks them, and the section for cells.

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
    treatments, divisions = _treatments(raw, problems)
    own = tuple(t.id for t in treatments)
    asked = read_columns(raw.get(PATIENTS, {}), PATIENTS, own, divisions, problems)
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


@dataclass(frozen=True)
class _Given:
    """What stands beside the text: a frame of patients, the folder of files, the text's digest."""

    patients: Any | None
    folder: Path
    digest: str


SECTIONS = (
    "study",
    "outcome",
    "baseline",
    "treatments",
    "subgroups",
    "sequential",
    "arms",
    "totals",
    "claims",
    "readings",
    PATIENTS,
    CELLS,
)

STUDY = {
    "id": matching(
        r"[a-z0-9][a-z0-9_-]*", "lower-case letters, digits, - and _ (it names a folder)"
    ),
    "title": text(),
    "design": one_of("cohort", "randomised", "case-control"),
    "source": text(),
    "doi": text(required=False),
    "inclusion": text(required=False),
}
OUTCOME = {
    "name": text(),
    "time": text(required=False),
    "direction": one_of("benefit", "harm"),
    "synergy_on": one_of("event", "non-event", required=False),
}
BASELINE = {
    "risk": Key(
        lambda v: is_rising(v, is_share),
        "[lower, upper] with 0 < lower < upper < 1, the central 95 % of the risk without treatment",
    ),
    "source": text(),
}
SEQUENTIAL = {
    "treatments": Key(
        lambda v: isinstance(v, list) and len(v) > 1 and all(map(is_text, v)),
        'two treatments or more that were given one after the other, such as ["A", "B"]',
    ),
    "source": text(),
}
# --- The sections --------------------------------------------------------------------------------


def _read(raw: dict[str, Any], given: _Given, problems: Problems) -> Study | None:
    if isinstance(raw.get("study"), list):
        problems.add("study", "several studies in one file are not supported; write one file each")
        return None
    unknown_keys(raw, "", SECTIONS, problems)
    head = read_table(raw.get("study", {}), "study", STUDY, problems)
    head = head or Table(dict.fromkeys(STUDY), frozenset())
    outcome = _outcome(raw.get("outcome", {}), head["design"], problems)
    baseline = _baseline(raw["baseline"], problems) if "baseline" in raw else None
    treatments, divisions = _treatments(raw, problems)
    if not treatments:
        return None
    places = Places(tuple(t.id for t in treatments), problems, divisions)
    sequential = _sequential(raw.get("sequential", []), places)
    inclusion = head["inclusion"] or "all"
    if named := sorted(regimens.named_parts(inclusion)):
        problems.add("study.inclusion", f"names {', '.join(named)}; it may name treatments only")
    admitted = places.rule("study.inclusion", inclusion) or regimens.everyone
    source = head["source"] or ""
    before = len(problems.found)
    has_claims = bool(raw.get("claims"))
    cells = None
    section = next((name for name in (PATIENTS, CELLS) if name in raw), "")
    if section:
        _only_patients(raw, section, problems)
        cells = read_patients(
            raw[section],
            section,
            given.patients,
            given.folder,
            inclusion,
            admitted,
            divisions,
            places,
        )
        counts = {} if cells is None else cells.counts
        arms = {regimens.parse(r): Arm(regimens.parse(r), *n, source) for r, n in counts.items()}
    else:
        arms = read_arms(
            raw.get("arms", []), source, inclusion, admitted, places, has_claims=has_claims
        )
    if given.patients is not None and not section:
        problems.add(PATIENTS, "missing; it must say which column of the frame holds what")
    # Sums over arms that were not read right would only add false problems.
    told = arms if len(problems.found) == before else None
    sound = None if told is None else without_parts(told)
    later = Problems()  # of claims, to be told after those of totals
    claim_tables = raw_claims(raw.get("claims", []), later)
    may_be_more = _read_more(claim_tables, raw.get("readings"), sound, admitted, places)
    before = len(problems.found)
    totals = read_totals(
        raw.get("totals", []), source, told, may_be_more, places, is_rows=cells is not None
    )
    if may_be_more and len(problems.found) > before:
        sound = None  # who else is in the cohort stands in the totals
    problems.found.extend(later.found)
    patients = _patients(totals, sound, admitted, inclusion, places)
    if told and patients is not None and not patients.is_counted and cells is None:
        for name in partly_told(told, places):
            problems.add(
                "arms",
                f"{name} is not counted at each of its levels, or in each subgroup, though the totals hold "
                "more patients; count it at each, or not at all",
            )
    claims = read_claims(claim_tables, patients, places)
    names = tuple(one.table["id"] for one in claim_tables if one.table["id"])
    readings = read_readings(raw.get("readings"), claims, names, patients, places)
    if problems.found or outcome is None:
        return None
    study = Study(
        id=head["id"],
        title=head["title"],
        design=head["design"],
        source=source,
        doi=head["doi"] or "",
        inclusion=inclusion,
        outcome=outcome,
        treatments=treatments,
        told=Told(() if cells is not None else tuple(arms.values()), totals, cells),
        baseline=baseline,
        readings=readings,
        reading=readings[0].id,
        warnings=(),
        digest=given.digest if cells is None else digest_with(given.digest, cells),
        divisions=divisions,
        sequential=sequential,
    )
    return _check_printed(study, problems)


def _only_patients(raw: Mapping[str, Any], section: str, problems: Problems) -> None:
    """Refuse what would count the patients twice."""
    for other in ("arms", "claims", PATIENTS, CELLS):
        if other in raw and other != section:
            problems.add(other, f"cannot stand beside [{section}], which counts all patients")


def _read_more(
    tables: list[RawClaim],
    readings: object,
    arms: Mapping[Regimen, Arm] | None,
    admitted: regimens.Rule,
    places: Places,
) -> set[Regimen]:
    """Return regimens that are admitted, not counted, and read by some claim."""
    if not arms:
        return set()
    possible = [r for r in regimens.lattice(places.treatments) if admitted(r) and r not in arms]
    meanings = [one.table.values for one in tables] + _meanings_of(readings)
    words = [word for one in meanings for word in one.get("regimens") or ()]
    named = {regimens.taken(one) for one in map(_parsed, words) if one is not None}
    wide = any(one.get(kind) for one in meanings for kind in KINDS if kind != "regimens")
    # Whoever has one uncounted regimen may have any other.
    return set(possible) if wide or named & set(possible) else set()


def _parsed(word: object) -> Regimen | None:
    """Read a regimen that was not checked yet; None where it is none."""
    try:
        return regimens.parse(word) if isinstance(word, str) else None
    except ValueError:
        return None


def _meanings_of(readings: object) -> list[Mapping[str, Any]]:
    """Return the tables under `means` of every reading, not yet checked."""
    found = []
    for one in readings if isinstance(readings, list) else []:
        means = one.get("means") if isinstance(one, dict) else None
        found += [
            m for m in (means.values() if isinstance(means, dict) else ()) if isinstance(m, dict)
        ]
    return [
        {kind: words for kind, words in m.items() if kind in KINDS and KINDS[kind].accepts(words)}
        for m in found
    ]


def _patients(
    totals: tuple[Total, ...],
    arms: Mapping[Regimen, Arm] | None,
    admitted: regimens.Rule,
    inclusion: str,
    places: Places,
) -> Patients | None:
    """Say who may stand in a printed number: the counted arms, or all that are admitted."""
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
    return Patients(cohort, not more, every, inclusion, places.divisions)


def _check_printed(study: Study, problems: Problems) -> Study | None:
    """Check what only the whole tells: sizes, dependent claims, odd intervals."""
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
    for at, claim in enumerate(study.claims, start=1):
        words = check_symmetry(claim)
        if words and claim.model:
            problems.add(f"claims[{at}].ci", words)
        elif words:
            odd.append(f"{claim.id}: {words}")
    if problems.found:
        return None
    for reading in study.readings:
        for wrong, is_error in contradictions(study.under(reading.id)):
            if is_error and reading is study.readings[0]:
                problems.add("totals" if wrong.startswith("events[") else "claims", wrong)
            else:
                where = "" if len(study.readings) == 1 else f"reading {reading.id}: "
                odd.append(where + wrong)
    if study.has_uncounted and not problems.found and not events_fit(study):
        problems.add("totals", f"no numbers of events fit these totals: {listed_events(study)}")
    return None if problems.found else replace(study, warnings=tuple(odd))


def _check_divided(study: Study, problems: Problems) -> None:
    """Check sizes and printed numbers of regimens told by levels or subgroups."""
    for division in _divisions(study):
        told = study.divided(division)
        try:
            sizes_of(told)
        except ValueError as error:
            problems.add("totals", f"by {division}: {error}")
            continue
        for wrong, is_error in contradictions(told):
            if is_error:
                problems.add("claims", f"by {division}: {wrong}")


def _divisions(study: Study) -> list[str]:
    """Name the divisions by which a study tells its patients."""
    found = []
    for division in study.divisions:
        try:
            found.append(study.divided(division.id).division)
        except DivisionError:
            continue  # counted by regimen only: said where such a model is asked for
    return found


def _check_used(study: Study, problems: Problems) -> None:
    for reading in study.readings:
        told = [study, *map(study.divided, _divisions(study))]
        used = [c for c in reading.claims if any(is_used(s.under(reading.id), c) for s in told)]
        where = "claims" if len(study.readings) == 1 else f"readings: {reading.id}"
        if not used:
            problems.add(where, "no printed number has a meaning that a model can use")
        if not study.totals and any(not claim.is_odds_ratio for claim in used):
            problems.add(
                where, "p-values need to know how many patients there were; write [[totals]]"
            )


def _outcome(raw: object, design: str | None, problems: Problems) -> Outcome | None:
    table = read_table(raw, "outcome", OUTCOME, problems)
    if table is None:
        return None
    if design == "case-control" and "synergy_on" not in table.given:
        problems.add(
            "outcome.synergy_on",
            'missing; a case-control study must say "event" or "non-event" '
            "(additive measures differ between the two)",
        )
    usual: Scale = "non-event" if table["direction"] == "harm" else "event"
    return Outcome(
        name=table["name"],
        time=table["time"] or "",
        direction=table["direction"],
        synergy_on=table["synergy_on"] or usual,
    )


def _baseline(raw: object, problems: Problems) -> Baseline | None:
    table = read_table(raw, "baseline", BASELINE, problems)
    if table is None or None in table.values.values():
        return None
    lower, upper = map(float, table["risk"])
    return Baseline(lower, upper, table["source"])


def _sequential(raw: object, places: Places) -> tuple[Sequential, ...]:
    """Read which treatments were given one after the other; what is not told is not known."""
    found = []
    for where, table in read_tables(raw, "sequential", SEQUENTIAL, places.problems):
        own = table["treatments"] or []
        place = f"{where}.treatments"
        for name in (name for name in own if name not in places.treatments):
            hint = nearest(name, places.treatments)
            hint = hint or f"the treatments are {', '.join(places.treatments)}"
            places.problems.add(place, f"unknown treatment {name}; {hint}")
        if len(set(own)) < len(own):
            places.problems.add(place, "names a treatment twice")
        found.append(Sequential(tuple(own), table["source"] or ""))
    return tuple(found)


def _treatments(
    raw: Mapping[str, Any], problems: Problems
) -> tuple[tuple[Treatment, ...], tuple[Division, ...]]:
    """Read treatments, and what divides the patients of one regimen."""
    right = 'at least two tables such as [treatments.A] with name = "drug A"'
    own = raw.get("treatments", {})
    if not isinstance(own, dict) or len(own) < 2:
        problems.add("treatments", f"must be {right}")
        return (), ()
    if len(own) > MAX_TREATMENTS:
        problems.add("treatments", f"{len(own)} treatments; at most {MAX_TREATMENTS} are supported")
        return (), ()
    for name in own:
        if not regimens.is_treatment_id(name):
            problems.add(
                f"treatments.{name}",
                "a treatment's id must be a letter A-Z or a-z followed by letters, digits or _, and "
                f"no word of set expressions or of Python ({', '.join(sorted(regimens.RESERVED))}, "
                "not, and, is, …)",
            )
    treatments, graded = read_treatments(own, problems)
    grouped = read_subgroups(raw.get("subgroups", {}), tuple(own), problems)
    return treatments, (*graded, *grouped)
