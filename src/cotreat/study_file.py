"""Study files: TOML to `Study`, with every problem of a file listed at once."""

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any

from cotreat import regimens
from cotreat.regimens import NONE, Regimen
from cotreat.study import Arm, Baseline, Claim, Outcome, Printed, Scale, Study, Total, Treatment
from cotreat.toml_tables import (
    Key,
    Problems,
    Table,
    flag,
    is_positive,
    is_rising,
    is_share,
    is_text,
    is_two,
    matching,
    nearest,
    one_of,
    read_table,
    read_tables,
    text,
    unknown_keys,
    whole,
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


def load_study(study: str | Path) -> Study:
    """Read a packaged study or a study file.

    Parameters
    ----------
    study
        A name that ``cotreat studies`` lists, or the path of a TOML file.

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
        file = resources.files("cotreat.studies") / f"{study}.toml"
        return parse_study(file.read_text(encoding="utf-8"), f"{study}.toml")
    path = Path(study)
    try:
        # Editors on Windows put a byte-order mark first, which TOML does not know.
        return parse_study(path.read_text(encoding="utf-8-sig"), path.name)
    except FileNotFoundError:
        raise StudyError(repr(str(study)), [_no_such_study(path)]) from None
    except UnicodeDecodeError:
        raise StudyError(str(study), ["the file is not UTF-8 text"]) from None
    except StudyError:
        raise
    except (OSError, ValueError) as error:  # a path with a NUL is a ValueError
        raise StudyError(repr(str(study)), [f"the file cannot be read: {_why(error)}"]) from None


def parse_study(text: str, name: str = "study file") -> Study:
    """Read a study from TOML text; `name` stands in front of its problems.

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
    study = _read(raw, hashlib.sha256(text.encode()).hexdigest(), problems)
    if problems.found or study is None:
        raise StudyError(name, problems.found)
    return study


def _why(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _no_such_study(path: Path) -> str:
    near = nearest(path.stem, packaged())
    hint = f" ({near})" if near else ""
    return f"no such file and no packaged study{hint}; packaged are {', '.join(packaged())}"


SECTIONS = ("study", "outcome", "baseline", "treatments", "arms", "totals", "claims")
NOT_YET = ("patients", "readings")

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
TREATMENT = {"name": text()}
ARM = {
    "regimen": Key(is_text, 'treatments joined by "+", or "none"'),
    "n": whole(1),
    "events": whole(0),
    "source": text(required=False),
}
TOTAL = {
    "patients": text(),
    "n": whole(1),
    "events": whole(0, required=False),
    "source": text(required=False),
}
CLAIM = {
    "id": text(),
    "kind": one_of("odds_ratio"),
    "regimens": Key(
        lambda v: is_two(v, is_text), '["A+B", "none"], the first against the second', False
    ),
    "sets": Key(
        lambda v: is_two(v, is_text), '["A", "not A"], the first against the second', False
    ),
    "value": Key(is_positive, "a number above 0"),
    "ci": Key(lambda v: is_rising(v, is_positive), "[lower, upper] with 0 < lower < upper"),
    "level": Key(is_share, "a number between 0 and 1, such as 0.95", False),
    "adjusted": flag(),
    "source": text(),
}


# --- The sections --------------------------------------------------------------------------------


def _read(raw: dict[str, Any], digest: str, problems: Problems) -> Study | None:
    if isinstance(raw.get("study"), list):
        problems.add("study", "several studies in one file are not supported; write one file each")
        return None
    for name in NOT_YET:
        if raw.pop(name, None) is not None:
            problems.add(name, "not supported by this version of cotreat")
    unknown_keys(raw, "", SECTIONS, problems)
    head = read_table(raw.get("study", {}), "study", STUDY, problems)
    head = head or Table(dict.fromkeys(STUDY), frozenset())
    outcome = _outcome(raw.get("outcome", {}), head["design"], problems)
    baseline = _baseline(raw["baseline"], problems) if "baseline" in raw else None
    treatments = _treatments(raw.get("treatments", {}), problems)
    if not treatments:
        return None
    places = _Places(tuple(t.id for t in treatments), problems)
    inclusion = head["inclusion"] or "all"
    admitted = places.rule("study.inclusion", inclusion) or regimens.everyone
    source = head["source"] or ""
    before = len(problems.found)
    arms = _arms(raw.get("arms", []), source, inclusion, admitted, places)
    # Sums over arms that were not read right would only add false problems.
    sound = arms if len(problems.found) == before else None
    totals = _totals(raw.get("totals", []), source, sound, places)
    claims = _claims(raw.get("claims", []), sound, places)
    if problems.found or outcome is None:
        return None
    return Study(
        id=head["id"],
        title=head["title"],
        design=head["design"],
        source=source,
        doi=head["doi"] or "",
        inclusion=inclusion,
        outcome=outcome,
        treatments=treatments,
        arms=tuple(arms.values()),
        totals=totals,
        claims=claims,
        baseline=baseline,
        digest=digest,
    )


@dataclass(frozen=True)
class _Places:
    """Reads regimens and sets of patients, and reports the place of a bad one."""

    treatments: tuple[str, ...]
    problems: Problems

    def rule(self, where: str, text: str | None) -> regimens.Rule | None:
        if text is None:
            return None
        try:
            return regimens.rule(text, self.treatments)
        except ValueError as error:
            self.problems.add(where, str(error))
            return None

    def regimen(self, where: str, text: str | None) -> Regimen | None:
        if text is None:
            return None
        try:
            regimen = regimens.parse(text)
        except ValueError as error:
            self.problems.add(where, str(error))
            return None
        for name in sorted(regimen - set(self.treatments)):
            hint = nearest(name, (*self.treatments, NONE))
            hint = hint or f"the treatments are {', '.join(self.treatments)}"
            self.problems.add(where, f"unknown treatment {name}; {hint}")
        return regimen if regimen <= set(self.treatments) else None

    def label(self, regimen: Regimen) -> str:
        return regimens.label(regimen, self.treatments)


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


def _treatments(raw: object, problems: Problems) -> tuple[Treatment, ...]:
    right = 'at least two tables such as [treatments.A] with name = "drug A"'
    if not isinstance(raw, dict) or len(raw) < 2:
        problems.add("treatments", f"must be {right}")
        return ()
    if len(raw) > MAX_TREATMENTS:
        problems.add("treatments", f"{len(raw)} treatments; at most {MAX_TREATMENTS} are supported")
        return ()
    for name in raw:
        if not regimens.is_treatment_id(name):
            problems.add(
                f"treatments.{name}",
                "a treatment's id must be a letter A-Z or a-z followed by letters, digits or _, and "
                f"no word of set expressions or of Python ({', '.join(sorted(regimens.RESERVED))}, "
                "not, and, is, …)",
            )
    tables = {n: read_table(t, f"treatments.{n}", TREATMENT, problems) for n, t in raw.items()}
    return tuple(Treatment(n, (t and t["name"]) or n) for n, t in tables.items())


def _arms(
    raw: object, source: str, inclusion: str, admitted: regimens.Rule, places: _Places
) -> dict[Regimen, Arm]:
    problems, arms = places.problems, {}
    if isinstance(raw, list) and len(raw) < 2:
        problems.add(
            "arms", "at least two regimens must have patients; write one [[arms]] for each of them"
        )
    for where, table in read_tables(raw, "arms", ARM, problems):
        regimen = places.regimen(f"{where}.regimen", table["regimen"])
        n, events = table["n"], table["events"]
        if n is not None and events is not None and events > n:
            problems.add(f"{where}.events", f"{events} events in {n} patients; at most {n} can be")
        if regimen is None:
            continue
        if regimen in arms:
            problems.add(f"{where}.regimen", f"{places.label(regimen)} stands in an arm above")
        if not admitted(regimen):
            problems.add(
                f"{where}.regimen",
                f"{places.label(regimen)} is forbidden by study.inclusion = {inclusion!r}",
            )
        arms[regimen] = Arm(regimen, n or 0, events or 0, table["source"] or source)
    return arms


def _totals(
    raw: object, source: str, arms: Mapping[Regimen, Arm] | None, places: _Places
) -> tuple[Total, ...]:
    totals = []
    for where, table in read_tables(raw, "totals", TOTAL, places.problems):
        member = places.rule(f"{where}.patients", table["patients"])
        if member is None or arms is None:
            continue
        inside = [arm for regimen, arm in arms.items() if member(regimen)]
        for what, printed, summed in (
            ("n", table["n"], sum(arm.n for arm in inside)),
            ("events", table["events"], sum(arm.events for arm in inside)),
        ):
            if printed is not None and printed != summed:
                places.problems.add(
                    f"{where}.{what}",
                    f"{printed} printed for {table['patients']!r}, but its arms add up to {summed}",
                )
        totals.append(
            Total(table["patients"], table["n"] or 0, table["events"], table["source"] or source)
        )
    return tuple(totals)


def _claims(raw: object, arms: Mapping[Regimen, Arm] | None, places: _Places) -> tuple[Claim, ...]:
    problems = places.problems
    claims: list[Claim] = []
    ids: set[str] = set()
    for where, table in read_tables(raw, "claims", CLAIM, problems):
        if table["id"] in ids:
            problems.add(f"{where}.id", f"{table['id']} stands in a claim above")
        ids |= {table["id"]} - {None}
        members = _sides(where, table, arms, places)
        if table["value"] is None or table["ci"] is None:
            continue
        lower, upper = table["ci"]
        if not lower <= table["value"] <= upper:
            problems.add(
                f"{where}.ci", f"({lower}, {upper}) does not hold the estimate {table['value']}"
            )
        if members is None:
            continue
        claims.append(
            Claim(
                id=table["id"],
                sides=tuple(table["regimens"] or table["sets"]),
                members=members,
                value=_printed(table["value"]),
                ci=(_printed(lower), _printed(upper)),
                level=float(table["level"] or 0.95),
                adjusted=bool(table["adjusted"]),
                source=table["source"],
            )
        )
    return tuple(claims)


def _sides(
    where: str, table: Table, arms: Mapping[Regimen, Arm] | None, places: _Places
) -> tuple[frozenset[Regimen], frozenset[Regimen]] | None:
    """Return the counted regimens on either side of an odds ratio."""
    if len(table.given & {"regimens", "sets"}) != 1:
        places.problems.add(
            where, 'must have exactly one of regimens = ["A+B", "none"] or sets = ["A", "not A"]'
        )
        return None
    if table["regimens"] is table["sets"] is None:
        return None
    if table["regimens"] is not None:
        named = [places.regimen(f"{where}.regimens", text) for text in table["regimens"]]
        sides = [frozenset({r} & set(arms or ())) if r is not None else None for r in named]
    else:
        rules = [places.rule(f"{where}.sets", text) for text in table["sets"]]
        sides = [frozenset(filter(rule, arms or ())) if rule else None for rule in rules]
    first, second = sides
    if first is None or second is None or arms is None:
        return None
    for side, words in zip((first, second), table["regimens"] or table["sets"], strict=True):
        if not side:
            places.problems.add(where, f"no counted arm belongs to {words!r}")
    if first & second:
        places.problems.add(where, "the two sides share patients; they must be disjoint")
    return (first, second)


def _printed(number: int | Decimal) -> Printed:
    """Read a printed number with half a unit of its last digit."""
    exponent = Decimal(number).as_tuple().exponent
    assert isinstance(exponent, int)  # noqa: S101 - infinities were refused by the key's test
    return Printed(float(number), 0.5 * 10.0**exponent)
