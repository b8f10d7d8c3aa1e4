"""Reported estimates and interpretations of a study file."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from scipy.special import ndtri

from cotreat.core.constants import DEFAULT_INTERPRETATION
from cotreat.core.toml_tables import Problems, nearest
from cotreat.evidence.contrasts import KINDS, OF_REGIMENS, coefficient_of, named_parts
from cotreat.evidence.reported import deviate_rounding, z_value
from cotreat.evidence.statistics import Link, has_level, statistic_of
from cotreat.study.regimens import parse
from cotreat.study.study import (
    FROM_N,
    FROM_P,
    Interpretation,
    Meaning,
    ReportedEstimate,
    RoundedNumber,
)
from cotreat.study_file.contrast import UNSPECIFIED, parse_contrast
from cotreat.study_file.parsing import RegimenReader
from cotreat.study_file.shape import (
    P_VALUES,
    InterpretationTable,
    MeansTable,
    ReportedTable,
    below,
    right_interval,
)
from cotreat.study_file.tables import numbered

Estimates = tuple[ReportedEstimate, ...]


def read_reported(
    tables: Sequence[ReportedTable | None] | None, reader: RegimenReader
) -> Estimates:
    """Read [[reported]]; problems are noted.

    Parameters
    ----------
    tables
        The tables; None for one that has no right shape.
    reader
        Reader of regimens and sets of patients.

    Returns
    -------
    tuple of ReportedEstimate
    """
    estimates: list[ReportedEstimate] = []
    ids: set[str] = set()
    for where, table in numbered("reported", tables):
        if table.id in ids:
            reader.problems.add(f"{where}.id", f"{table.id} is the id of an estimate above")
        ids |= {table.id} - {None}
        meaning, about = _meaning(where, table.contrast, table.kind, reader)
        estimate = _estimate(where, table, meaning, about, reader.problems)
        if estimate is not None:
            _check_coefficient(where, estimate, reader)
            estimates.append(estimate)
    _check_models(estimates, "reported", reader.problems)
    return tuple(estimates)


def _estimate(
    where: str, table: ReportedTable, meaning: Meaning | None, about: str, problems: Problems
) -> ReportedEstimate | None:
    """Return the estimate; None where its kind, value or precision is missing or wrong."""
    is_p_value = table.kind in P_VALUES
    before = len(problems.lines)
    if table.kind is not None:
        _check_keys(where, table, problems)
    if table.kind is None or table.value is None or len(problems.lines) > before:
        return None
    ci, interval, basis = None, "", ""
    if not is_p_value:
        try:
            ci, interval, basis = _interval(table)
        except ValueError as error:
            problems.add(where, str(error))
            return None
        if ci is None:
            return None
    if table.ci is not None and not table.ci[0] <= table.value <= table.ci[1]:
        words = f"({table.ci[0]}, {table.ci[1]}) does not contain the estimate {table.value}"
        problems.add(f"{where}.ci", words)
    is_below = isinstance(table.value, str)
    return ReportedEstimate(
        id=table.id,
        kind=table.kind,
        meaning=meaning,
        about=about,
        value=rounded(below(table.value) if is_below else table.value),
        is_below=is_below,
        ci=ci,
        level=float(table.level or 0.95),
        interval=interval,
        adjusted=bool(table.adjusted),
        model=table.model or "",
        sign=table.sign or "",
        source=table.source,
        basis=basis,
    )


def _check_keys(where: str, table: ReportedTable, problems: Problems) -> None:
    """Note keys that a kind of number does not have, and a missing precision."""
    present = table.model_fields_set
    if table.kind in P_VALUES:
        for key in (key for key in ("ci", "level", "interval") if key in present):
            problems.add(f"{where}.{key}", "a p-value has no interval; leave it out")
        for basis in (basis for basis in ("p", "n") if basis in present):
            problems.add(f"{where}.{basis}", "a p-value is the value itself; leave it out")
        return
    if "sign" in present:
        problems.add(f"{where}.sign", "only a p-value has a sign; leave it out")
    allowed = ("ci", "n") if has_level(table.kind) else ("ci", "p")
    others = {
        "p": "a percentage has no test of no effect; leave it out",
        "n": "only a percentage is of n patients; leave it out, or write [[totals]]",
    }
    for other in (other for other in others if other in present and other not in allowed):
        problems.add(f"{where}.{other}", others[other])
    given = [key for key in allowed if key in present]
    if not given:
        words = {
            "p": "or p with the p-value of its Wald test",
            "n": "or n with the number of patients",
        }[allowed[1]]
        problems.add(
            f"{where}.ci", f"missing; it must be {right_interval(str(table.kind))}, {words}"
        )
    if len(given) > 1:
        words = (
            'write one of the two; a further p-value is a number of its own, with kind = "p_value"'
        )
        problems.add(
            f"{where}.{given[1]}",
            f"given with ci; {words}" if given[1] == "p" else "given with ci; write one of the two",
        )
    if "ci" not in given:
        for key in (key for key in ("level", "interval") if key in present):
            problems.add(f"{where}.{key}", "describes ci, which is missing; leave it out")


Limits = tuple[RoundedNumber, RoundedNumber]


def _interval(table: ReportedTable) -> tuple[Limits | None, str, str]:
    """Return the interval of an estimate, as reported or as its p-value or patients imply, its kind and its basis."""
    if table.ci is not None:
        return (rounded(table.ci[0]), rounded(table.ci[1])), table.interval or "wald", ""
    statistic, value = statistic_of(str(table.kind)), rounded(table.value)
    link, place = statistic.link, float(statistic.link.to(value.value))
    slack = value.half * float(link.slope(value.value))
    if table.p is not None:
        p = rounded(table.p)
        effect, z = abs(place - float(link.to(statistic.null or 0.0))), z_value(p.value)
        if effect == 0:
            raise ValueError(
                f"p = {p} of an estimate of no effect, {value}, determines no standard error; write ci"
            )
        error = slack / effect + deviate_rounding(p) / z
        return _around(place, effect / z, error, link), FROM_P, f"p = {p}"
    if table.n is not None:
        share = value.value / 100
        spread = table.n * share * (1 - share)
        error = abs(1 - 2 * share) * slack / 2
        return _around(place, spread**-0.5, error, link), FROM_N, f"n = {table.n}"
    return None, "", ""


def _around(place: float, standard_error: float, error: float, link: Link) -> Limits:
    """Return the 95 % limits of an estimate on the scale of its link; `error` is relative to the standard error."""
    half = float(ndtri(0.975)) * standard_error
    ends = [float(link.back(place + side * half)) for side in (-1, 1)]
    lower, upper = (RoundedNumber(end, half * error / float(link.slope(end))) for end in ends)
    return lower, upper


def rounded(number: int | Decimal) -> RoundedNumber:
    """Return a reported number with half a unit of its last digit.

    Parameters
    ----------
    number : int or Decimal

    Returns
    -------
    RoundedNumber
    """
    exponent = Decimal(number).as_tuple().exponent
    assert isinstance(exponent, int)  # noqa: S101 - infinities were refused by the shape
    return RoundedNumber(float(number), 0.5 * 10.0**exponent)


# --- Contrasts -------------------------------------------------------------------------------------


def _meaning(
    where: str, text: str | None, kind: str | None, reader: RegimenReader
) -> tuple[Meaning | None, str]:
    """Read the coefficient that a number estimates, or the description of one that is only shown."""
    if text is None:
        return None, ""
    problems = reader.problems
    place, before = f"{where}.contrast", len(problems.lines)
    try:
        meaning = parse_contrast(text, is_level=has_level(kind))
    except ValueError as error:
        problems.add(place, str(error))
        return None, ""
    if meaning.kind == UNSPECIFIED:
        return None, meaning.words[0]
    statistic = statistic_of(kind or "")
    if meaning.kind not in statistic.contrasts:
        words = f"a {statistic.words} is of a product of two treatments"
        problems.add(place, f'is {text!r}; {words}, such as "A x B"')
        return None, ""
    holds = KINDS[meaning.kind].holds
    for word in dict.fromkeys(_flat(meaning.words)):
        if holds == "regimens":
            reader.regimen(place, word)
        elif holds == "sets":
            reader.rule(place, word)
        elif word not in reader.treatments:
            reader.note_unknown(place, word)
    _check_repeated(place, meaning.words, problems)
    if len(problems.lines) > before or reader.cohort is None:
        return None, ""
    if holds == "regimens":
        regimens = [reader.regimen(place, word) or frozenset() for word in meaning.words]
        for word, regimen in zip(meaning.words, regimens, strict=True):
            reader.require_admitted(place, word, regimen)
        meaning = Meaning(meaning.kind, tuple(map(reader.label, regimens)))
    return meaning, ""


def _flat(words: Iterable[Any]) -> Iterator[str]:
    for word in words:
        yield from word if isinstance(word, tuple) else (word,)


def _check_repeated(where: str, words: Sequence[Any], problems: Problems) -> None:
    """Refuse a treatment, set or regimen against itself, and a pair that is named twice."""
    for group in (words, *(word for word in words if isinstance(word, tuple))):
        alike = [word for at, word in enumerate(group) if word in group[:at]]
        if alike:
            name = " x ".join(alike[0]) if isinstance(alike[0], tuple) else alike[0]
            problems.add(where, f"names {name} twice; name different ones")


def _check_coefficient(where: str, estimate: ReportedEstimate, reader: RegimenReader) -> None:
    """Refuse a coefficient that no regression of the cohort's regimens has."""
    meaning, cohort = estimate.meaning, reader.cohort
    if meaning is None or cohort is None:
        return
    if meaning.kind in OF_REGIMENS and not all(map(reader.admits, map(parse, meaning.words))):
        return  # noted where the contrast is read
    names = named_parts(meaning)
    strata = [one for one in reader.stratifications if names & one.written]
    try:
        if len(strata) > 1:
            ids = ", ".join(one.id for one in strata)
            words = f"names levels or subgroups of several stratifications ({ids})"
            raise ValueError(f"{words}; a contrast can name one")
        coefficient_of(
            meaning,
            cohort.stratified_by(strata[0]) if strata else cohort,
            is_adjusted=estimate.adjusted,
            statistic=statistic_of(estimate.kind),
        )
    except ValueError as error:
        words = str(error)
        if reader.is_counted:
            words = words.replace("no regimen of the cohort", "no counted arm")
        reader.problems.add(f"{where}.contrast", words)


def _check_models(estimates: Iterable[ReportedEstimate], where: str, problems: Problems) -> None:
    """Refuse a regression with both adjusted and unadjusted estimates."""
    adjusted: dict[str, set[bool]] = {}
    for estimate in estimates:
        adjusted.setdefault(estimate.model, set()).add(estimate.adjusted)
    for model, values in adjusted.items():
        if model and len(values) > 1:
            words = "some are adjusted and others not; one regression is either"
            problems.add(where, f"of model {model!r} {words}")


# --- Unusual intervals -----------------------------------------------------------------------------


def check_symmetry(estimate: ReportedEstimate) -> str:
    """Return a warning for a Wald interval that is not symmetric on the log scale; empty for none.

    Parameters
    ----------
    estimate : ReportedEstimate

    Returns
    -------
    str
    """
    if estimate.ci is None or estimate.interval != "wald" or has_level(estimate.kind):
        return ""
    ends, value, link = estimate.ci, estimate.value, statistic_of(estimate.kind).link
    middle = sum(link.to(end.value) for end in ends) / 2
    slack = sum(end.half * link.slope(end.value) for end in ends) / 2
    slack += value.half * link.slope(value.value)
    if abs(middle - link.to(value.value)) <= 1.05 * slack:
        return ""
    scale = "on the log scale " if link.is_log else ""
    return (
        f"({ends[0].value:g}, {ends[1].value:g}) is not symmetric about {value.value:g} {scale}"
        f"(its middle is {link.back(middle):.4g}), as a Wald interval is; correct a digit, or write "
        'interval = "profile" or "exact"'
    )


# --- Interpretations -------------------------------------------------------------------------------


def read_interpretations(
    tables: Sequence[InterpretationTable | None] | None,
    estimates: Estimates,
    names: tuple[str, ...],
    reader: RegimenReader,
) -> tuple[Interpretation, ...]:
    """Read [[interpretations]]; problems are noted.

    Parameters
    ----------
    tables
        The tables; None where the file has none, which makes one interpretation, ``default``.
    estimates
        The reported estimates that could be read.
    names
        Ids of all reported estimates.
    reader
        Reader of regimens and sets of patients.

    Returns
    -------
    tuple of Interpretation
        The default first.
    """
    problems = reader.problems
    if tables is None:
        return (Interpretation(DEFAULT_INTERPRETATION, "as the file says", estimates),)
    if not tables:
        words = "must be a list of tables, each begun by [[interpretations]]"
        problems.add("interpretations", words)
    read: list[tuple[bool, Interpretation]] = []
    for where, table in numbered("interpretations", tables):
        if table.id is not None and table.id in [interpretation.id for _, interpretation in read]:
            problems.add(f"{where}.id", f"{table.id} is the id of an interpretation above")
        meant = _means(f"{where}.means", table.means or {}, estimates, names, reader)
        read.append((bool(table.default), Interpretation(table.id, table.words or "", meant)))
    is_sound = all(table is not None and table.default is not None for table in tables)
    if tables and is_sound and sum(is_default for is_default, _ in read) != 1:
        problems.add("interpretations", "exactly one must say default = true")
    return tuple(interpretation for _, interpretation in sorted(read, key=lambda pair: not pair[0]))


def _means(
    where: str,
    means: Mapping[str, MeansTable | None],
    estimates: Estimates,
    names: tuple[str, ...],
    reader: RegimenReader,
) -> Estimates:
    """Return the estimates with the contrasts of an interpretation."""
    by_id = {estimate.id: estimate for estimate in estimates}
    for name, table in means.items():
        place = f"{where}.{name}"
        if name not in names:
            words = nearest(name, names) or f"the ids are {', '.join(names) or 'none'}"
            reader.problems.add(place, f"no reported estimate has this id; {words}")
        if name not in by_id or table is None:
            continue
        before = by_id[name]
        meaning, about = _meaning(place, table.contrast, before.kind, reader)
        model, about = table.model or before.model, about or before.about
        by_id[name] = replace(before, meaning=meaning, model=model, about=about)
        _check_coefficient(place, by_id[name], reader)
    meant = tuple(by_id[estimate.id] for estimate in estimates)
    if meant != estimates:
        _check_models(meant, where, reader.problems)
    return meant
