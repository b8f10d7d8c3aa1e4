"""Study files: TOML to `Study`, with every problem of a file listed at once."""

import hashlib
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any

from cotreat import regimens
from cotreat.regimens import Regimen
from cotreat.study import Arm, Baseline, Claim, Outcome, Printed, Study, Total, Treatment

MAX_TREATMENTS = 6  # 64 regimens and 2,016 odds ratios: past that no table is readable


class StudyError(ValueError):
    """A study that cannot be read; the message lists every problem found."""

    def __init__(self, name: str, problems: list[str]) -> None:
        self.problems = tuple(problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__("\n  ".join([f"{name} has {count}:", *problems]))


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
        return parse_study(path.read_text(encoding="utf-8"), path.name)
    except FileNotFoundError:
        raise StudyError(str(study), [_no_such_study(str(study))]) from None
    except UnicodeDecodeError:
        raise StudyError(str(study), ["the file is not UTF-8 text"]) from None
    except OSError as error:
        raise StudyError(str(study), [f"the file cannot be read: {error.strerror}"]) from None


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
    except tomllib.TOMLDecodeError as error:
        raise StudyError(name, [f"not TOML: {error}"]) from None
    problems = Problems()
    study = _read(raw, hashlib.sha256(text.encode()).hexdigest(), problems)
    if problems.found or study is None:
        raise StudyError(name, problems.found)
    return study


def _no_such_study(name: str) -> str:
    near = get_close_matches(name, packaged(), 1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return f"no such file and no packaged study{hint}; packaged are {', '.join(packaged())}"


@dataclass
class Problems:
    """Collects what is wrong, so that one error can say it all."""

    found: list[str] = field(default_factory=list)

    def add(self, where: str, what: str) -> None:
        self.found.append(f"{where}: {what}")


# --- What each key of a table may hold -----------------------------------------------------------


@dataclass(frozen=True)
class Key:
    """One key of a table: a test of its value and, in words, what passes the test."""

    accepts: Callable[[Any], bool]
    right: str
    required: bool = True


def _is_number(value: object) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _two(value: object, accepts: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(accepts, value))


def _is_positive(value: object) -> bool:
    return _is_number(value) and 0 < value < float("inf")  # type: ignore[operator]


def _is_share(value: object) -> bool:
    return _is_positive(value) and value < 1  # type: ignore[operator]


def _text(*, required: bool = True) -> Key:
    return Key(_is_text, "a text", required)


def _one_of(*choices: str, required: bool = True) -> Key:
    words = " or ".join(f'"{choice}"' for choice in choices)
    return Key(lambda value: value in choices, words, required)


def _id(pattern: str, right: str) -> Key:
    return Key(lambda v: isinstance(v, str) and re.fullmatch(pattern, v) is not None, right)


def _whole(minimum: int, *, required: bool = True) -> Key:
    return Key(
        lambda v: _is_whole(v) and v >= minimum, f"a whole number from {minimum} up", required
    )


SECTIONS = ("study", "outcome", "baseline", "treatments", "arms", "totals", "claims")

STUDY = {
    "id": _id(r"[a-z0-9][a-z0-9_-]*", "lower-case letters, digits, - and _ (it names a folder)"),
    "title": _text(),
    "design": _one_of("cohort", "randomised", "case-control"),
    "source": _text(),
    "doi": _text(required=False),
    "inclusion": _text(required=False),
}
OUTCOME = {
    "name": _text(),
    "time": _text(required=False),
    "direction": _one_of("benefit", "harm"),
    "synergy_on": _one_of("event", "non-event", required=False),
}
BASELINE = {
    "risk": Key(
        lambda v: _two(v, _is_share) and v[0] < v[1],
        "[lower, upper] with 0 < lower < upper < 1, the central 95 % of the risk without treatment",
    ),
    "source": _text(),
}
TREATMENT = {"name": _text()}
ARM = {
    "regimen": _text(),
    "n": _whole(1),
    "events": _whole(0),
    "source": _text(required=False),
}
TOTAL = {
    "patients": _text(),
    "n": _whole(1),
    "events": _whole(0, required=False),
    "source": _text(required=False),
}
CLAIM = {
    "id": _text(),
    "kind": _one_of("odds_ratio"),
    "regimens": Key(
        lambda v: _two(v, _is_text), '["A+B", "none"], the first against the second', False
    ),
    "sets": Key(lambda v: _two(v, _is_text), '["A", "not A"], the first against the second', False),
    "value": Key(_is_positive, "a number above 0"),
    "ci": Key(
        lambda v: _two(v, _is_positive) and v[0] < v[1], "[lower, upper] with 0 < lower < upper"
    ),
    "level": Key(_is_share, "a number between 0 and 1, such as 0.95", False),
    "adjusted": Key(lambda v: isinstance(v, bool), "true or false", False),
    "source": _text(),
}


def _table(
    raw: object, where: str, keys: Mapping[str, Key], problems: Problems
) -> dict[str, Any] | None:
    """Return the valid values of a table by key; missing and wrong ones become problems."""
    if not isinstance(raw, dict):
        problems.add(where, f"must be a table with the keys {', '.join(keys)}")
        return None
    _unknown_keys(raw, where, keys, problems)
    for name, key in keys.items():
        if name not in raw and key.required:
            problems.add(f"{where}.{name}", f"missing; it must be {key.right}")
        elif name in raw and not key.accepts(raw[name]):
            problems.add(f"{where}.{name}", f"is {_show(raw[name])}; it must be {key.right}")
    return {
        name: raw[name] if name in raw and key.accepts(raw[name]) else None
        for name, key in keys.items()
    }


def _tables(
    raw: object, where: str, keys: Mapping[str, Key], problems: Problems
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each table of an array with its place, counted from 1."""
    if not isinstance(raw, list):
        problems.add(where, f"must be a list of tables, each begun by [[{where}]]")
        return
    for number, item in enumerate(raw, start=1):
        place = f"{where}[{number}]"
        table = _table(item, place, keys, problems)
        if table is not None:
            yield place, table


def _unknown_keys(
    raw: Mapping[str, object], where: str, known: Mapping[str, object], problems: Problems
) -> None:
    for name in raw:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            problems.add(f"{where}.{name}" if where else name, f"unknown key; {hint}")


def _show(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_show(item) for item in value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, Decimal) else repr(value)


# --- The sections --------------------------------------------------------------------------------


def _read(raw: dict[str, Any], digest: str, problems: Problems) -> Study | None:
    if isinstance(raw.get("study"), list):
        problems.add("study", "several studies in one file are not supported; write one file each")
        return None
    _unknown_keys(raw, "", dict.fromkeys(SECTIONS), problems)
    head = _table(raw.get("study", {}), "study", STUDY, problems)
    outcome = _outcome(raw.get("outcome", {}), (head or {}).get("design"), problems)
    baseline = _baseline(raw["baseline"], problems) if "baseline" in raw else None
    treatments = _treatments(raw.get("treatments", {}), problems)
    if head is None or outcome is None or not treatments:
        return None

    places = _Places(tuple(t.id for t in treatments), problems)
    inclusion = head["inclusion"] or "all"
    admitted = places.rule("study.inclusion", inclusion) or (lambda regimen: True)
    source = head["source"] or ""
    arms = _arms(raw.get("arms", []), source, inclusion, admitted, places)
    totals = _totals(raw.get("totals", []), source, arms, places)
    claims = _claims(raw.get("claims", []), arms, places)
    if problems.found:
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
            near = get_close_matches(name, self.treatments, 1)
            known = f"the treatments are {', '.join(self.treatments)}"
            hint = f"did you mean {near[0]}?" if near else known
            self.problems.add(where, f"unknown treatment {name}; {hint}")
        return regimen if regimen <= set(self.treatments) else None

    def label(self, regimen: Regimen) -> str:
        return regimens.label(regimen, self.treatments)


def _outcome(raw: object, design: str | None, problems: Problems) -> Outcome | None:
    table = _table(raw, "outcome", OUTCOME, problems)
    if table is None:
        return None
    if design == "case-control" and isinstance(raw, dict) and "synergy_on" not in raw:
        problems.add(
            "outcome.synergy_on",
            'missing; a case-control study must say "event" or "non-event" '
            "(additive measures differ between the two)",
        )
    usual = "non-event" if table["direction"] == "harm" else "event"
    return Outcome(
        name=table["name"],
        time=table["time"] or "",
        direction=table["direction"],
        synergy_on=table["synergy_on"] or usual,
    )


def _baseline(raw: object, problems: Problems) -> Baseline | None:
    table = _table(raw, "baseline", BASELINE, problems)
    if table is None or None in table.values():
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
                "a treatment's id must be a letter followed by letters, digits or _, "
                f"and none of {', '.join(sorted(regimens.RESERVED))}",
            )
    tables = {n: _table(t, f"treatments.{n}", TREATMENT, problems) for n, t in raw.items()}
    return tuple(Treatment(n, t["name"] or n) for n, t in tables.items() if t is not None)


def _arms(
    raw: object, source: str, inclusion: str, admitted: regimens.Rule, places: _Places
) -> dict[Regimen, Arm]:
    problems, arms = places.problems, {}
    if raw == []:
        problems.add("arms", "missing; write one [[arms]] for each regimen that has patients")
    for where, table in _tables(raw, "arms", ARM, problems):
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
    raw: object, source: str, arms: Mapping[Regimen, Arm], places: _Places
) -> tuple[Total, ...]:
    totals = []
    for where, table in _tables(raw, "totals", TOTAL, places.problems):
        member = places.rule(f"{where}.patients", table["patients"])
        if member is None:
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


def _claims(raw: object, arms: Mapping[Regimen, Arm], places: _Places) -> tuple[Claim, ...]:
    problems = places.problems
    claims: list[Claim] = []
    for where, table in _tables(raw, "claims", CLAIM, problems):
        if any(claim.id == table["id"] for claim in claims):
            problems.add(f"{where}.id", f"{table['id']} stands in a claim above")
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
    where: str, table: Mapping[str, Any], arms: Mapping[Regimen, Arm], places: _Places
) -> tuple[frozenset[Regimen], frozenset[Regimen]] | None:
    """Return the counted regimens on either side of an odds ratio."""
    if (table["regimens"] is None) == (table["sets"] is None):
        places.problems.add(
            where, 'must have one of regimens = ["A+B", "none"] and sets = ["A", "not A"]'
        )
        return None
    if table["regimens"] is not None:
        named = [places.regimen(f"{where}.regimens", text) for text in table["regimens"]]
        sides = [frozenset({r} & set(arms)) if r is not None else None for r in named]
    else:
        rules = [places.rule(f"{where}.sets", text) for text in table["sets"]]
        sides = [frozenset(filter(rule, arms)) if rule else None for rule in rules]
    first, second = sides
    if first is None or second is None:
        return None
    for side, text in zip((first, second), table["regimens"] or table["sets"], strict=True):
        if not side:
            places.problems.add(where, f"no counted arm belongs to {text!r}")
    if first & second:
        places.problems.add(where, "the two sides share patients; they must be disjoint")
    return (first, second)


def _printed(number: int | Decimal) -> Printed:
    """Read a printed number with half a unit of its last digit."""
    exponent = Decimal(number).as_tuple().exponent
    assert isinstance(exponent, int)  # noqa: S101 - infinities were refused by the key's test
    return Printed(float(number), 0.5 * 10.0**exponent)
