"""Reported estimates and interpretations of a study file."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from cotreat.core.constants import DEFAULT_INTERPRETATION
from cotreat.core.toml_tables import Problems, nearest
from cotreat.evidence.contrasts import KINDS, Cohort, coefficient_of, named_parts
from cotreat.evidence.statistics import statistic_of
from cotreat.study.regimens import Regimen, taken
from cotreat.study.study import (
    Interpretation,
    Meaning,
    ReportedEstimate,
    RoundedNumber,
    Stratification,
)
from cotreat.study_file.contrast import UNSPECIFIED, parse_contrast
from cotreat.study_file.errors import numbered
from cotreat.study_file.parsing import Places
from cotreat.study_file.shape import (
    EstimateTable,
    InterpretationTable,
    MeansTable,
    PValueTable,
    ReportedTable,
    below,
)


@dataclass(frozen=True)
class Patients:
    """The patients that a reported estimate may be about.

    Attributes
    ----------
    cohort : Cohort
        Regimens that have patients, or may have.
    is_counted : bool
        Whether all of these are counted.
    admitted : tuple of Regimen
    inclusion : str
        The rule that admits them.
    """

    cohort: Cohort
    is_counted: bool
    admitted: tuple[Regimen, ...]
    inclusion: str
    stratifications: tuple[Stratification, ...] = ()

    def told(self, meaning: Meaning) -> Cohort:
        """Return the cohort by the levels or subgroups that a meaning names.

        Raises
        ------
        ValueError
            If it names those of several divisions.
        """
        named = named_parts(meaning)
        own = [d for d in self.stratifications if named & d.written]
        if len(own) > 1:
            words = ", ".join(strata.id for strata in own)
            raise ValueError(
                f"names levels or subgroups of several divisions ({words}); a contrast can name one"
            )
        return self.cohort.told_by(own[0]) if own else self.cohort


def read_claims(
    tables: Sequence[ReportedTable | None] | None, patients: Patients | None, places: Places
) -> tuple[ReportedEstimate, ...]:
    """Turn tables into reported estimates; `patients` is None where the arms could not be read."""
    reported_estimates: list[ReportedEstimate] = []
    ids: set[str] = set()
    for where, table in numbered("reported", tables):
        if table.id in ids:
            places.problems.add(f"{where}.id", f"{table.id} is the id of an estimate above")
        ids |= {table.id} - {None}
        meaning, about = _meaning(where, table.contrast, patients, places)
        reported_estimate = _claim(where, table, meaning, about, places.problems)
        if reported_estimate is not None:
            _check_coefficient(where, reported_estimate, patients, places.problems)
            reported_estimates.append(reported_estimate)
    _check_models(reported_estimates, "reported", places.problems)
    return tuple(reported_estimates)


def _claim(
    where: str, table: ReportedTable, meaning: Meaning | None, about: str, problems: Problems
) -> ReportedEstimate | None:
    """Return the estimate; None where its kind, value or interval is missing or wrong."""
    common = ReportedEstimate(
        id=table.id,
        kind=table.kind,
        meaning=meaning,
        about=about,
        value=RoundedNumber(1.0, 0.0),
        is_below=False,
        ci=None,
        level=0.95,
        interval="",
        adjusted=bool(table.adjusted),
        model=table.model or "",
        sign="",
        source=table.source,
    )
    if isinstance(table, EstimateTable) and table.value is not None and table.ci is not None:
        return _estimate(where, table, common, problems)
    if isinstance(table, PValueTable) and table.value is not None:
        is_below = isinstance(table.value, str)
        number = below(table.value) if isinstance(table.value, str) else table.value
        return replace(common, value=as_reported(number), is_below=is_below, sign=table.sign or "")
    return None


def _estimate(
    where: str, table: EstimateTable, common: ReportedEstimate, problems: Problems
) -> ReportedEstimate:
    lower, upper = table.ci
    if not lower <= table.value <= upper:
        problems.add(
            f"{where}.ci", f"({lower}, {upper}) does not contain the estimate {table.value}"
        )
    return replace(
        common,
        value=as_reported(table.value),
        ci=(as_reported(lower), as_reported(upper)),
        level=float(table.level or 0.95),
        interval=table.interval or "wald",
    )


def as_reported(number: int | Decimal) -> RoundedNumber:
    """Read a reported number with half a unit of its last digit."""
    exponent = Decimal(number).as_tuple().exponent
    assert isinstance(exponent, int)  # noqa: S101 - infinities were refused by the shape
    return RoundedNumber(float(number), 0.5 * 10.0**exponent)


# --- Contrasts -------------------------------------------------------------------------------------


def _meaning(
    where: str, text: str | None, patients: Patients | None, places: Places
) -> tuple[Meaning | None, str]:
    """Read which coefficient a number estimates, or the words of one that is only shown."""
    if text is None:
        return None, ""
    place = f"{where}.contrast"
    before = len(places.problems.found)
    try:
        meaning = parse_contrast(text)
    except ValueError as error:
        places.problems.add(place, str(error))
        return None, ""
    if meaning.kind == UNSPECIFIED:
        return None, meaning.words[0]
    for word in dict.fromkeys(_flat(meaning.words)):
        _check_word(place, KINDS[meaning.kind].holds, word, places)
    _check_repeated(place, meaning.words, places.problems)
    if len(places.problems.found) > before or patients is None:
        return None, ""
    if meaning.kind == "regimens":
        _check_forbidden(place, meaning.words, patients, places)
        read = (places.regimen(place, word) or frozenset() for word in meaning.words)
        meaning = Meaning("regimens", tuple(map(places.label, read)))
    return meaning, ""


def _flat(words: Iterable[Any]) -> Iterator[str]:
    for word in words:
        if isinstance(word, tuple):
            yield from word
        else:
            yield word


def _check_repeated(where: str, words: Sequence[Any], problems: Problems) -> None:
    """Refuse a treatment, set or regimen against itself, and a pair that is named twice."""
    for group in (words, *(word for word in words if isinstance(word, tuple))):
        alike = [word for at, word in enumerate(group) if word in group[:at]]
        if alike:
            name = " x ".join(alike[0]) if isinstance(alike[0], tuple) else alike[0]
            problems.add(where, f"names {name} twice; name different ones")


def _check_word(where: str, holds: str, word: str, places: Places) -> None:
    if holds == "regimens":
        places.regimen(where, word)
    elif holds == "sets":
        places.rule(where, word)
    elif word not in places.treatments:
        hint = nearest(word, places.treatments)
        hint = hint or f"the treatments are {', '.join(places.treatments)}"
        places.problems.add(where, f"unknown treatment {word}; {hint}")


def _check_forbidden(where: str, words: Sequence[str], patients: Patients, places: Places) -> None:
    for word in words:
        regimen = places.regimen(where, word)
        if regimen is not None and taken(regimen) not in patients.admitted:
            places.problems.add(
                where, f"{word} is forbidden by study.inclusion = {patients.inclusion!r}"
            )


def _check_coefficient(
    where: str, reported_estimate: ReportedEstimate, patients: Patients | None, problems: Problems
) -> None:
    """Refuse a coefficient that no regression of the cohort's regimens has."""
    if reported_estimate.meaning is None or patients is None:
        return
    place = f"{where}.contrast"
    if reported_estimate.meaning.kind == "regimens" and any(
        line.startswith(f"{place}: ") and "forbidden" in line for line in problems.found
    ):
        return
    try:
        cohort = patients.told(reported_estimate.meaning)
        coefficient_of(
            reported_estimate.meaning,
            cohort,
            is_adjusted=reported_estimate.adjusted,
            statistic=statistic_of(reported_estimate.kind),
        )
    except ValueError as error:
        words = str(error)
        if patients.is_counted:
            words = words.replace("no regimen of the cohort", "no counted arm")
        problems.add(place, words)


def _check_models(
    reported_estimates: Iterable[ReportedEstimate], where: str, problems: Problems
) -> None:
    """Refuse a regression some of whose estimates are adjusted and others are not."""
    for model in dict.fromkeys(
        reported_estimate.model
        for reported_estimate in reported_estimates
        if reported_estimate.model
    ):
        own = {
            reported_estimate.adjusted
            for reported_estimate in reported_estimates
            if reported_estimate.model == model
        }
        if len(own) > 1:
            problems.add(
                where,
                f"of model {model!r} some are adjusted and others not; one regression is either",
            )


# --- Odd intervals ---------------------------------------------------------------------------------


def check_symmetry(reported_estimate: ReportedEstimate) -> str:
    """Return a warning for a Wald interval that is not symmetric on the log scale; empty for none."""
    if reported_estimate.ci is None or reported_estimate.interval != "wald":
        return ""
    link = statistic_of(reported_estimate.kind).link
    value = reported_estimate.value
    middle = sum(link.to(end.value) for end in reported_estimate.ci) / 2
    slack = sum(end.half * link.slope(end.value) for end in reported_estimate.ci) / 2
    slack += value.half * link.slope(value.value)
    if abs(middle - link.to(value.value)) <= 1.05 * slack:
        return ""
    scale = "on the log scale " if link.is_log else ""
    return (
        f"({reported_estimate.ci[0].value:g}, {reported_estimate.ci[1].value:g}) is not symmetric about {value.value:g} "
        f"{scale}(its middle is {link.back(middle):.4g}), as a Wald interval is; correct a digit, "
        'or write interval = "profile" or "exact"'
    )


# --- Interpretations -------------------------------------------------------------------------------


def read_interpretations(
    tables: Sequence[InterpretationTable | None] | None,
    reported_estimates: tuple[ReportedEstimate, ...],
    names: tuple[str, ...],
    patients: Patients | None,
    places: Places,
) -> tuple[Interpretation, ...]:
    """Read [[interpretations]]: the default first; without any there is one with the id "default"."""
    problems = places.problems
    if tables is None:
        return (Interpretation(DEFAULT_INTERPRETATION, "as the file says", reported_estimates),)
    if not tables:
        problems.add(
            "interpretations",
            "must be a list of tables, each begun by [[interpretations]]",
        )
    found: list[tuple[bool, Interpretation]] = []
    for where, table in numbered("interpretations", tables):
        if table.id is not None and table.id in [interpretation.id for _, interpretation in found]:
            problems.add(f"{where}.id", f"{table.id} is the id of an interpretation above")
        meant = _means(
            f"{where}.means", table.means or {}, reported_estimates, names, patients, places
        )
        found.append((bool(table.default), Interpretation(table.id, table.words or "", meant)))
    is_sound = all(table is not None and table.default is not None for table in tables)
    if tables and is_sound and sum(is_default for is_default, _ in found) != 1:
        problems.add("interpretations", "exactly one must say default = true")
    return tuple(interpretation for _, interpretation in sorted(found, key=lambda one: not one[0]))


def _means(
    where: str,
    means: Mapping[str, MeansTable | None],
    reported_estimates: tuple[ReportedEstimate, ...],
    names: tuple[str, ...],
    patients: Patients | None,
    places: Places,
) -> tuple[ReportedEstimate, ...]:
    """Give the estimates the contrasts of an interpretation."""
    ids = [reported_estimate.id for reported_estimate in reported_estimates]
    changed: dict[str, ReportedEstimate] = {}
    for name, table in means.items():
        place = f"{where}.{name}"
        if name not in names:
            hint = nearest(name, names) or f"the ids are {', '.join(names) or 'none'}"
            places.problems.add(place, f"no reported estimate has this id; {hint}")
        if name not in ids or table is None:
            continue
        meaning, about = _meaning(place, table.contrast, patients, places)
        own = reported_estimates[ids.index(name)]
        own = replace(
            own, meaning=meaning, model=table.model or own.model, about=about or own.about
        )
        _check_coefficient(place, own, patients, places.problems)
        changed[name] = own
    meant = tuple(
        changed.get(reported_estimate.id, reported_estimate)
        for reported_estimate in reported_estimates
    )
    if changed:
        _check_models(meant, where, places.problems)
    return meant
