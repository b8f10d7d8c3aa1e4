"""The shape of a study file: its tables, their keys and types, as Pydantic models.

`StudyFile` is the whole file. Numbers keep the digits with which they were reported.
"""

import json
import math
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainValidator,
    SerializerFunctionWrapHandler,
    ValidationInfo,
    model_serializer,
)
from pydantic.json_schema import GenerateJsonSchema, JsonDict
from pydantic_core import CoreSchema, core_schema

from cotreat.core.toml_tables import (
    LARGEST,
    is_number,
    is_positive,
    is_rising,
    is_share,
    likely,
    show,
)
from cotreat.evidence.statistics import IDENTITY, STATISTICS
from cotreat.study.regimens import NONE
from cotreat.study_file.contrast import DESCRIPTION, FORMS
from cotreat.study_file.tables import FileTable, Right, problem

SCHEMA_FILE = "cotreat-study.schema.json"
"""Name of the JSON Schema of study files."""
SCHEMA_LINE = f"#:schema ./{SCHEMA_FILE}"
"""First line of a study file; editors with Taplo read the schema from it."""

TABLE_OF_LEVELS = (
    "a table of at least two levels, the lowest first, such as "
    '{ low = "under 4 mg", high = "4 mg or more" }'
)
TABLE_OF_GROUPS = (
    'a table of at least two groups, such as { young = "up to 40 years", old = "over 40 years" }'
)
AT_LEAST_TWO = 'at least two tables such as [treatments.A] with name = "drug A"'


# --- Types of values -------------------------------------------------------------------------------

P_VALUES = ("p_value", "p_trend")
"""Kinds of reported numbers that have no interval."""
BELOW = re.compile(r"<\s*(0?\.\d+|1)")
RIGHT_P = 'a number above 0 and at most 1, or as text "<0.001"'


def below(value: str) -> Decimal:
    """Return the number of a p-value that was reported as "<".

    Parameters
    ----------
    value
        Such as ``<0.001``.

    Returns
    -------
    Decimal
        Such as 0.001.
    """
    return Decimal(value.strip().removeprefix("<").strip())


def _is_p_value(value: object) -> bool:
    """Return whether a value is a number above 0 and at most 1, or such a number after "<"."""
    if isinstance(value, str):
        return BELOW.fullmatch(value.strip()) is not None and is_positive(below(value))
    return is_positive(value) and float(value) <= 1  # type: ignore[arg-type]


def _kinds() -> list[str]:
    return [*STATISTICS, *P_VALUES]


_HAZARD = {"hr", "hazard ratio", "rate ratio", "incidence rate ratio", "irr"}
NO_HAZARDS = (
    "a ratio of rates over time, and the outcome here is yes or no at one time; enter the percentages with the event "
    'at that time (kind = "percentage", from Kaplan-Meier curves), or an odds ratio or risk ratio at that time. '
    "It is near a risk ratio only where the event is rare; that is no odds ratio to enter"
)


def _kind(value: Any) -> Any:
    """Refuse what is no kind of reported number, with a reason for ratios of rates."""
    if isinstance(value, str) and value.strip().lower().replace("_", " ") in _HAZARD:
        raise problem(f"is {show(value)}, {NO_HAZARDS}")
    if not (isinstance(value, str) and value in _kinds()):
        raise ValueError
    return value


def _value_of_kind(value: Any, info: ValidationInfo) -> Any:
    """Refuse a value that its kind of reported number cannot have."""
    kind = info.data.get("kind")
    if kind in P_VALUES:
        is_right, right = _is_p_value(value), RIGHT_P
    elif kind in STATISTICS:
        is_right, right = _accepts(kind)(value), _right_number(kind)
    else:
        is_right, right = kind is None or is_number(value), "a number"
    if not is_right:
        raise problem(f"is {show(value)}; it must be {right}{likely(value, right)}")
    return value


def _limits(kind: str) -> tuple[float, float]:
    """Return the limits between which the values of a kind lie, which they do not reach."""
    statistic = STATISTICS[kind]
    lower, upper = statistic.bounds
    return (max(lower, 0.0), upper) if statistic.link.is_log else (lower, upper)


def _accepts(kind: str) -> Callable[[Any], bool]:
    lower, upper = _limits(kind)
    return lambda value: is_number(value) and lower < float(value) < upper


def _right_number(kind: str) -> str:
    lower, upper = _limits(kind)
    if upper < math.inf:
        return f"a number above {lower:g} and below {upper:g}{HINTS.get(kind, '')}"
    return "a number" if lower == -math.inf else f"a number above {lower:g}"


HINTS = {
    "risk_difference": ", such as 0.12 for 12 percentage points",
    "percentage": "; for 0 or 100 percent write the patients and events as [[arms]]",
}
"""What the values of a kind are, where people write others."""


def right_interval(kind: str) -> str:
    """Return the right form of the interval of a kind of reported number.

    Parameters
    ----------
    kind
        A kind of reported number.

    Returns
    -------
    str
    """
    lower, upper = _ends(kind)
    before, after = f"{lower:g} < " * (lower > -math.inf), f" < {upper:g}" * (upper < math.inf)
    return f"[lower, upper] with {before}lower < upper{after}"


def _ends(kind: str) -> tuple[float, float]:
    """Return the limits between which the ends of an interval lie; a Wald one of a difference may exceed its bounds."""
    lower, upper = _limits(kind)
    is_difference = STATISTICS[kind].link is IDENTITY
    return (-math.inf, math.inf) if is_difference else (lower, upper)


def _interval_of_kind(value: Any, info: ValidationInfo) -> Any:
    """Refuse an interval that its kind of reported number cannot have."""
    kind = info.data.get("kind")
    if kind not in STATISTICS:
        return value
    lower, upper = _ends(kind)
    if not is_rising(value, lambda end: is_number(end) and lower < float(end) < upper):
        raise problem(f"is {show(value)}; it must be {right_interval(kind)}")
    return value


def _p_of_estimate(value: Any) -> Any:
    """Refuse a p-value from which no standard error follows."""
    if isinstance(value, str) and _is_p_value(value):
        raise problem(
            f"is {show(value)}, from which no standard error follows; it must be a number such as 0.03, or write ci"
        )
    if not is_share(value):
        raise problem(f"is {show(value)}; it must be {RIGHT_P_OF}{likely(value, RIGHT_P_OF)}")
    return value


RIGHT_P_OF = "the p-value of the estimate's Wald test, a number above 0 and below 1"


def _is_value(value: object) -> bool:
    """Return whether a value can be that of a column: a number, a truth value, or a text."""
    return is_number(value) or isinstance(value, bool | str)


def _are_values(value: object) -> bool:
    """Return whether a value is a list of values of a column, which is not empty."""
    return isinstance(value, list) and bool(value) and all(map(_is_value, value))


_NUMBER: JsonDict = {"type": "number"}
_POSITIVE: JsonDict = {"type": "number", "exclusiveMinimum": 0}
_SHARE: JsonDict = {**_POSITIVE, "exclusiveMaximum": 1}
_P_VALUE: JsonDict = {
    "anyOf": [
        {**_POSITIVE, "maximum": 1},
        {"type": "string", "pattern": rf"^\s*{BELOW.pattern}\s*$"},
    ]
}


def _two(number: JsonDict) -> JsonDict:
    return {"type": "array", "items": number, "minItems": 2, "maxItems": 2}


def _add_kinds(schema: JsonDict) -> None:
    """Add to the schema of a reported number what each kind requires."""

    def when(kinds: list[str], properties: JsonDict, *required: str) -> JsonDict:
        then: JsonDict = {"properties": properties, "required": [*required]}
        return {"if": {"properties": {"kind": {"enum": [*kinds]}}}, "then": then}

    def number(limits: tuple[float, float]) -> JsonDict:
        keys = zip(("exclusiveMinimum", "exclusiveMaximum"), limits, strict=True)
        return {**_NUMBER, **{key: limit for key, limit in keys if math.isfinite(limit)}}

    basis: JsonDict = {"anyOf": [{"required": [key]} for key in ("ci", "p", "n")]}
    no_interval: JsonDict = dict.fromkeys(("ci", "level", "interval", "p", "n"), False)
    schema["allOf"] = [
        *(
            when([kind], {"value": number(_limits(kind)), "ci": _two(number(_ends(kind)))})
            for kind in STATISTICS
        ),
        {
            "if": {"properties": {"kind": {"enum": [*STATISTICS]}}},
            "then": {**basis, "properties": {"sign": False}},
        },
        when([*P_VALUES], {"value": _P_VALUE, **no_interval}),
    ]


class _OrColumn:
    """Read the name of a column as a table with that column."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Return a validator of a text or a table."""
        return core_schema.no_info_before_validator_function(self._as_table, handler(source))

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the schema of a text or a table."""
        return {"anyOf": [{"type": "string", "pattern": r"\S"}, handler(core)]}

    def _as_table(self, value: Any) -> Any:
        if isinstance(value, str | dict):
            return {"column": value} if isinstance(value, str) else value
        raise problem(
            f"is {show(value)}; it must be the name of a column, or a table with its name"
        )


_VALUE: JsonDict = {"type": ["string", "number", "boolean"]}
_VALUES: JsonDict = {"type": "array", "items": _VALUE, "minItems": 1}
_TEXT = Field(strict=True, pattern=r"\S")
_ID = Field(strict=True, pattern="^[a-z0-9][a-z0-9_-]*$")
Text = Annotated[str, _TEXT, Right("a text that is not empty")]
Id = Annotated[str, _ID, Right("lower-case letters, digits, - and _ (it names a folder)")]
Flag = Annotated[bool, Field(strict=True), Right("true or false")]
Count = Annotated[
    int, Field(strict=True, ge=0, le=LARGEST), Right(f"a whole number from 0 to {LARGEST:,}")
]
Count1 = Annotated[
    int, Field(strict=True, ge=1, le=LARGEST), Right(f"a whole number from 1 to {LARGEST:,}")
]
RegimenText = Annotated[str, _TEXT, Right('treatments joined by "+", or "none"')]
Contrast = Annotated[str, _TEXT, Right(FORMS, description=DESCRIPTION)]
Share = Annotated[
    Decimal, Right("a number between 0 and 1, such as 0.95", is_share, lambda: _SHARE)
]
RiskInterval = Annotated[
    list[Decimal],
    Right(
        "[lower, upper] with 0 < lower < upper < 1, the central 95 % of the risk",
        lambda value: is_rising(value, is_share),
        lambda: _two(_SHARE),
    ),
]
RatioMargin = Annotated[
    list[Decimal],
    Right(
        "[lower, upper] with 0 < lower < 1 < upper, such as [0.8, 1.25]",
        lambda value: is_rising(value, is_positive) and value[0] < 1 < value[1],
        lambda: _two(_POSITIVE),
    ),
]
DifferenceMargin = Annotated[
    list[Decimal],
    Right(
        "[lower, upper] with -1 < lower < 0 < upper < 1, such as [-0.05, 0.05]",
        lambda value: is_rising(value, is_number) and -1 < value[0] < 0 < value[1] < 1,
        lambda: _two(_NUMBER),
    ),
]
Kind = Annotated[
    Any,
    PlainValidator(_kind),
    Right(
        lambda: " or ".join(map(json.dumps, _kinds())),
        schema=lambda: {"type": "string", "enum": [*_kinds()]},
        description=(
            "What the number is. odds_ratio, risk_ratio, risk_difference (as a fraction) and percentage (of one regimen "
            "or set, from 0 to 100); ratio_of_odds_ratios, reri_or, ap_or and s_or of a product, from odds ratios; "
            "reri_rr, ap and s from risk ratios; p_value, and p_trend, which is shown and not used. Synergy indices "
            "(s, s_or) are shown and not used. Only odds ratios, and what is made of them, may be adjusted."
        ),
    ),
]
POfEstimate = Annotated[
    Any,
    PlainValidator(_p_of_estimate),
    Right(
        RIGHT_P_OF,
        schema=lambda: _SHARE,
        description=(
            "The p-value of an estimate that is reported without an interval: its standard error is the distance from "
            "no effect, on the log scale for a ratio, over the normal deviate of the p-value."
        ),
    ),
]
PatientsOf = Annotated[
    int,
    Field(strict=True, ge=1, le=LARGEST),
    Right(
        f"a whole number from 1 to {LARGEST:,}",
        description="Patients of whom a percentage is, which is reported without an interval.",
    ),
]
Value = Annotated[
    Any,
    PlainValidator(_value_of_kind),
    Right("the reported number: a ratio is above 0; a p-value is " + RIGHT_P),
]
Interval = Annotated[Any, PlainValidator(_interval_of_kind), Right("[lower, upper]")]
_Names = Annotated[dict[str, Text], Field(min_length=2)]
_ColumnOf = Annotated[dict[str, Text], Field(min_length=1)]
Levels = Annotated[_Names, Right(TABLE_OF_LEVELS)]
Groups = Annotated[_Names, Right(TABLE_OF_GROUPS)]
Sequence2 = Annotated[
    list[Text],
    Field(min_length=2),
    Right('two treatments or more that were given one after the other, such as ["A", "B"]'),
]
Randomised = Annotated[
    list[Text],
    Field(min_length=1),
    Right(
        'a list of the treatments that were assigned at random, such as ["A"]; without it, all of a '
        "randomised study"
    ),
]
Covariates = Annotated[
    dict[str, Literal["continuous", "binary", "categorical"]],
    Field(min_length=1),
    Right('a table such as { age = "continuous", sex = "binary", class = "categorical" }'),
]
ByTreatment = Annotated[_ColumnOf, Right('a table such as { A = "column of the level of A" }')]
BySubgroup = Annotated[_ColumnOf, Right('a table such as { age = "column of the age group" }')]
Values = Annotated[
    Any,
    Right(
        'a value such as "dead" or 2, or a list of values',
        lambda value: _is_value(value) or _are_values(value),
        lambda: {"anyOf": [_VALUE, _VALUES]},
    ),
]
MissingValues = Annotated[
    list[Any],
    Right('a list of values such as [".", "n/a", 999]', _are_values, lambda: _VALUES),
]
RegimenOf = Annotated[
    dict[str, RegimenText],
    Field(min_length=1),
    Right('a table such as { "0" = "none", "1" = "A", "2" = "A+B" }'),
]


# --- Tables ----------------------------------------------------------------------------------------


class StudyTable(FileTable):
    """The design and the publication of a study."""

    id: Id
    title: Text
    design: Literal["cohort", "randomised", "case-control"]
    randomised: Randomised | None = None
    source: Text
    doi: Text | None = None
    inclusion: Text | None = None


class OutcomeTable(FileTable):
    """The yes/no outcome."""

    name: Text
    time: Text | None = None
    direction: Literal["benefit", "harm"]
    synergy_on: Literal["event", "non-event"] | None = None


class BaselineTable(FileTable):
    """The risk of a regimen, by default without treatment, as a prior interval."""

    risk: RiskInterval
    regimen: Text = NONE
    source: Text


class MarginsTable(FileTable):
    """Margins of no relevant interaction, on the scale on which synergy is judged."""

    ror: RatioMargin | None = None
    rrr: RatioMargin | None = None
    ic: DifferenceMargin | None = None
    bliss: DifferenceMargin | None = None


class TreatmentTable(FileTable):
    """A treatment, with its levels."""

    name: Text
    dose: Levels | None = None
    duration: Levels | None = None


class SubgroupsTable(FileTable):
    """Subgroups of the patients."""

    name: Text
    groups: Groups


class SequentialTable(FileTable):
    """Treatments that were given one after the other."""

    treatments: Sequence2
    source: Text


class ArmTable(FileTable):
    """Patients and events of one regimen."""

    regimen: RegimenText
    n: Count1
    events: Count
    source: Text | None = None


class TotalTable(FileTable):
    """Patients, and events, of a set of patients."""

    patients: Text
    n: Count1
    events: Count | None = None
    source: Text | None = None


class ReportedTable(FileTable, json_schema_extra=_add_kinds):
    """A reported number: an estimate with its interval, p-value or number of patients, or a p-value alone."""

    id: Text
    kind: Kind
    contrast: Contrast
    adjusted: Flag = False
    model: Text | None = None
    source: Text
    value: Value
    ci: Interval = None
    p: POfEstimate = None
    n: PatientsOf | None = None
    level: Share | None = None
    interval: Literal["wald", "profile", "exact"] = "wald"
    sign: Literal["+", "-"] | None = None


class MeansTable(FileTable):
    """The contrast of a reported number under one interpretation."""

    contrast: Contrast
    model: Text | None = None


class InterpretationTable(FileTable):
    """One interpretation of an ambiguous publication."""

    id: Id
    words: Text
    default: Flag = False
    means: Annotated[
        dict[str, MeansTable],
        Field(min_length=1),
        Right(
            "a table of ids of reported estimates, each with its contrast here, such as "
            '{ p1 = { contrast = "A x B" } }'
        ),
    ] = Field(default_factory=dict)


class AggregatedTable(FileTable):
    """Covariate patterns with their numbers of patients and events."""

    file: Text | None = None
    covariates: Covariates | None = None
    dose: ByTreatment | None = None
    duration: ByTreatment | None = None
    subgroups: BySubgroup | None = None
    cluster: Text | None = None
    matched: Text | None = None


class _ColumnTable(FileTable):
    """A column, with the meaning of its values."""

    column: Text

    @model_serializer(mode="wrap")
    def _as_written(self, handler: SerializerFunctionWrapHandler) -> Any:
        """Return the name of the column where nothing else is stated."""
        content = handler(self)
        return content["column"] if list(content) == ["column"] else content


class IndicatorTable(_ColumnTable):
    """The column that contains whether a treatment was given."""

    yes: Values | None = None
    no: Values | None = None


class RegimenColumnTable(_ColumnTable):
    """The column that contains the regimen."""

    values: RegimenOf | None = None


Indicators = Annotated[
    dict[str, Annotated[IndicatorTable, _OrColumn()]],
    Field(min_length=1),
    Right('a table such as { A = "column of A", B = { column = "column of B", yes = "Y" } }'),
]


class PatientsTable(FileTable):
    """Individual patient data: which column of a file contains what."""

    file: Text | None = None
    outcome: Text
    event: Values | None = None
    no_event: Values | None = None
    treatments: Indicators | None = None
    regimen: Annotated[RegimenColumnTable, _OrColumn()] | None = None
    covariates: Covariates | None = None
    dose: ByTreatment | None = None
    duration: ByTreatment | None = None
    subgroups: BySubgroup | None = None
    cluster: Text | None = None
    matched: Text | None = None
    patient: Text | None = None
    weight: Text | None = None
    missing: Literal["drop"] | None = None
    missing_values: MissingValues | None = None


class StudyFile(FileTable):
    """A study file of cotreat."""

    format: Literal[1]
    study: StudyTable
    outcome: OutcomeTable
    baseline: BaselineTable | None = None
    margins: MarginsTable | None = None
    treatments: Annotated[dict[str, TreatmentTable], Field(min_length=2), Right(AT_LEAST_TWO)]
    subgroups: Annotated[dict[str, SubgroupsTable], Right("tables such as [subgroups.age]")] = (
        Field(default_factory=dict)
    )
    sequential: list[SequentialTable] = Field(default_factory=list)
    arms: list[ArmTable] = Field(default_factory=list)
    totals: list[TotalTable] = Field(default_factory=list)
    reported: list[ReportedTable] = Field(default_factory=list)
    interpretations: list[InterpretationTable] | None = None
    patients: PatientsTable | None = None
    patterns: AggregatedTable | None = None


SECTIONS = tuple(StudyFile.model_fields)


class _Schema(GenerateJsonSchema):
    """Leave out the null of keys that may be missing, which TOML does not have."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> dict[str, Any]:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> dict[str, Any]:
        if "default" in schema and schema["default"] is None:
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of study files.

    Returns
    -------
    dict
        A schema of draft 2020-12, for editors and other validators. It describes the shape of a file;
        `cotreat.study_file.reader.load_study` also checks conditions on several values.
    """
    tables = StudyFile.model_json_schema(schema_generator=_Schema)
    return {"$schema": GenerateJsonSchema.schema_dialect, "$id": SCHEMA_FILE, **tables}
