"""The shape of a study file: its tables, their keys and types, as Pydantic models.

`StudyFile` is the whole file. Texts, whole numbers and choices are Pydantic's own types; numbers that
keep the digits they were reported with are tested by `Tested`.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    Tag,
    ValidationInfo,
)
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import CoreSchema, core_schema

from cotreat.core.toml_tables import LARGEST, is_number, is_positive, is_rising, is_share
from cotreat.evidence.statistics import ODDS_RATIO, STATISTICS
from cotreat.study_file.contrast import DESCRIPTION, FORMS

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


@dataclass(frozen=True)
class Right:
    """The description of a right value, in messages and in the schema."""

    words: str
    more: str = ""

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Add the description to the schema."""
        return {**handler(core), "description": self.more or self.words}


@dataclass(frozen=True)
class Tested:
    """A value that passes a test and is kept as read."""

    accepts: Callable[[Any], bool]
    schema: Mapping[str, Any] = field(hash=False)

    def __get_pydantic_core_schema__(self, _: Any, __: GetCoreSchemaHandler) -> CoreSchema:
        """Return a validator that does not change the value."""
        return core_schema.no_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(
        self, _: CoreSchema, __: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the schema of the value."""
        return dict(self.schema)

    def _check(self, value: Any) -> Any:
        if not self.accepts(value):
            raise ValueError
        return value


@dataclass(frozen=True)
class TestedByKind(Tested):
    """A value whose test takes the kind of the reported number, which stands before it."""

    def __get_pydantic_core_schema__(self, _: Any, __: GetCoreSchemaHandler) -> CoreSchema:
        """Test the value under its kind, and change nothing."""
        return core_schema.with_info_plain_validator_function(self._check_with_kind)

    def _check_with_kind(self, value: Any, info: ValidationInfo) -> Any:
        statistic = STATISTICS.get(info.data.get("kind", ""), ODDS_RATIO)
        if not self.accepts((value, statistic.link.is_log)):
            raise ValueError
        return value


def _is_value(tested: tuple[Any, bool]) -> bool:
    value, is_log = tested
    return is_positive(value) if is_log else is_number(value)


def _is_interval(tested: tuple[Any, bool]) -> bool:
    value, is_log = tested
    return is_rising(value, is_positive if is_log else is_number)


P_VALUES = ("p_value", "p_trend")
"""Kinds of reported numbers that have no interval."""


@dataclass(frozen=True)
class KindsOf:
    """The kinds of reported numbers that the registry has, and some more."""

    more: tuple[str, ...]

    @property
    def words(self) -> str:
        """The kinds, for messages."""
        return " or ".join(json.dumps(kind) for kind in (*STATISTICS, *self.more))

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Add the kinds to the schema."""
        return {**handler(core), "enum": [*STATISTICS, *self.more]}


BELOW = re.compile(r"<\s*(0?\.\d+|1)")


def below(value: str) -> Decimal:
    """Return the number of a p-value that was reported as "<"."""
    return Decimal(value.strip().removeprefix("<").strip())


def _is_p_value(value: object) -> bool:
    """Return whether a value is a number above 0 and at most 1, or such a number after "<"."""
    if isinstance(value, str):
        return BELOW.fullmatch(value.strip()) is not None and is_positive(below(value))
    return is_positive(value) and float(value) <= 1  # type: ignore[arg-type]


_NUMBER = {"type": "number", "exclusiveMinimum": 0}
_SHARE = {**_NUMBER, "exclusiveMaximum": 1}


def _two(number: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": dict(number), "minItems": 2, "maxItems": 2}


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
Contrast = Annotated[str, _TEXT, Right(FORMS, DESCRIPTION)]
Positive = Annotated[Decimal, Tested(is_positive, _NUMBER), Right("a number above 0")]
Interval = Annotated[
    list[Decimal],
    Tested(lambda v: is_rising(v, is_positive), _two(_NUMBER)),
    Right("[lower, upper] with 0 < lower < upper"),
]
Share = Annotated[
    Decimal, Tested(is_share, _SHARE), Right("a number between 0 and 1, such as 0.95")
]
RiskInterval = Annotated[
    list[Decimal],
    Tested(lambda v: is_rising(v, is_share), _two(_SHARE)),
    Right(
        "[lower, upper] with 0 < lower < upper < 1, the central 95 % of the risk without treatment"
    ),
]
Probability = Annotated[
    Decimal | str,
    Tested(
        _is_p_value,
        {
            "anyOf": [
                {**_NUMBER, "maximum": 1},
                {"type": "string", "pattern": rf"^\s*{BELOW.pattern}\s*$"},
            ]
        },
    ),
    Right('a number above 0 and at most 1, or as text "<0.001"'),
]
_Names = Annotated[dict[str, Text], Field(min_length=2)]
_ColumnOf = Annotated[dict[str, Text], Field(min_length=1)]
Levels = Annotated[_Names, Right(TABLE_OF_LEVELS)]
Groups = Annotated[_Names, Right(TABLE_OF_GROUPS)]
Sequence2 = Annotated[
    list[Text],
    Field(min_length=2),
    Right('two treatments or more that were given one after the other, such as ["A", "B"]'),
]
Covariates = Annotated[
    dict[str, Literal["continuous", "binary", "categorical"]],
    Field(min_length=1),
    Right('a table such as { age = "continuous", sex = "binary", class = "categorical" }'),
]
ByTreatment = Annotated[_ColumnOf, Right('a table such as { A = "column of the level of A" }')]
BySubgroup = Annotated[_ColumnOf, Right('a table such as { age = "column of the age group" }')]
Indicators = Annotated[_ColumnOf, Right('a table such as { A = "column of A", B = "column of B" }')]


# --- Tables ----------------------------------------------------------------------------------------


class FileTable(BaseModel):
    """A table of a study file; keys that it does not have are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class StudyTable(FileTable):
    """The design and the publication of a study."""

    id: Id
    title: Text
    design: Literal["cohort", "randomised", "case-control"]
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
    """The risk without treatment, as a prior interval."""

    risk: RiskInterval
    source: Text


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


class ReportedTable(FileTable):
    """The keys of every reported number."""

    id: Text
    kind: str
    contrast: Contrast
    adjusted: Flag = False
    model: Text | None = None
    source: Text


class EstimateTable(ReportedTable):
    """A reported estimate with its interval: an odds ratio, or another statistic of the registry."""

    kind: Annotated[str, Tested(STATISTICS.__contains__, {"type": "string"}), KindsOf(())]
    value: Annotated[Decimal, TestedByKind(_is_value, _NUMBER), Right("a number above 0")]
    ci: Annotated[
        list[Decimal],
        TestedByKind(_is_interval, _two(_NUMBER)),
        Right("[lower, upper] with 0 < lower < upper"),
    ]
    level: Share | None = None
    interval: Literal["wald", "profile", "exact"] = "wald"


class PValueTable(ReportedTable):
    """A reported p-value of a coefficient, or of a trend."""

    kind: Literal["p_value", "p_trend"]
    value: Probability
    sign: Literal["+", "-"] | None = None


class AnyKindTable(ReportedTable):
    """A reported number whose kind is missing or wrong: its other keys are not tested."""

    kind: Annotated[
        str,
        Tested(lambda kind: kind in (*STATISTICS, *P_VALUES), {"type": "string"}),
        KindsOf(P_VALUES),
    ]
    value: Any = None
    ci: Any = None
    level: Any = None
    interval: Any = None
    sign: Any = None


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


class PatientsTable(FileTable):
    """Individual patient data: which column of a file contains what."""

    file: Text | None = None
    outcome: Text
    treatments: Indicators
    covariates: Covariates | None = None
    dose: ByTreatment | None = None
    duration: ByTreatment | None = None
    subgroups: BySubgroup | None = None
    cluster: Text | None = None
    patient: Text | None = None
    missing: Literal["drop"] | None = None


def table_of(kind: Any) -> type[ReportedTable]:
    """Return the table of a kind of reported number; one that refuses it for an unknown kind."""
    if isinstance(kind, str) and kind in STATISTICS:
        return EstimateTable
    return PValueTable if kind in P_VALUES else AnyKindTable


def _tag(raw: Any) -> str:
    kind = raw.get("kind") if isinstance(raw, dict) else getattr(raw, "kind", None)
    return table_of(kind).__name__


Number = (
    Annotated[EstimateTable, Tag(EstimateTable.__name__)]
    | Annotated[PValueTable, Tag(PValueTable.__name__)]
)


class StudyFile(FileTable):
    """A study file of cotreat."""

    format: Literal[1]
    study: StudyTable
    outcome: OutcomeTable
    baseline: BaselineTable | None = None
    treatments: Annotated[dict[str, TreatmentTable], Field(min_length=2), Right(AT_LEAST_TWO)]
    subgroups: Annotated[dict[str, SubgroupsTable], Right("tables such as [subgroups.age]")] = (
        Field(default_factory=dict)
    )
    sequential: list[SequentialTable] = Field(default_factory=list)
    arms: list[ArmTable] = Field(default_factory=list)
    totals: list[TotalTable] = Field(default_factory=list)
    reported: list[Annotated[Number, Discriminator(_tag)]] = Field(default_factory=list)
    interpretations: list[InterpretationTable] | None = None
    patients: PatientsTable | None = None
    cells: AggregatedTable | None = None


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
