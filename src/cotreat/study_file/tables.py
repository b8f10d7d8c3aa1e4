"""Base of the tables of a study file: Pydantic's errors in plain words, each with its place."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from cotreat.core.toml_tables import Problems, likely, nearest, show, show_key

PROBLEM = "problem"
"""Type of an error whose message is complete."""
MISSING = object()
"""Stands for the value of a required key that the file does not have."""


@dataclass(frozen=True)
class Right:
    """The right form of a value, in messages and in the JSON Schema.

    Attributes
    ----------
    words : str or callable
        Noun phrase; a function where it depends on a registry.
    accepts : callable, optional
        Test of the value, which is kept as it was read; None where its type suffices.
    schema : callable, optional
        JSON Schema of a value that `accepts` tests.
    description : str
        Description in the JSON Schema, if it is longer than the words.
    """

    words: str | Callable[[], str]
    accepts: Callable[[Any], bool] | None = None
    schema: Callable[[], dict[str, Any]] | None = None
    description: str = ""

    def __str__(self) -> str:
        """Return the words."""
        return self.words if isinstance(self.words, str) else self.words()

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        """Return a validator that does not change the value."""
        if self.accepts is None:
            return handler(source)
        return core_schema.no_info_plain_validator_function(self._tested)

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the schema of the value, with its description."""
        schema = self.schema() if self.schema else handler(core)
        return {**schema, "description": self.description or str(self)}

    def _tested(self, value: Any) -> Any:
        if self.accepts is not None and not self.accepts(value):
            raise ValueError
        return value


def problem(words: str) -> PydanticCustomError:
    """Return an error whose message is complete.

    Parameters
    ----------
    words
        The message.

    Returns
    -------
    PydanticCustomError
    """
    return PydanticCustomError(PROBLEM, words)


class FileTable(BaseModel):
    """A table of a study file.

    Keys that it does not have are refused. With a context, nothing is refused: missing and wrong values are
    None, so that the sound ones can be checked further.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    @field_validator("*", mode="wrap")
    @classmethod
    def _check_value(
        cls, value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> Any:
        """State the right form of a missing or wrong value."""
        name = str(info.field_name)
        try:
            if value is MISSING:
                raise problem(f"missing; it must be {_right(cls.model_fields[name], name)}")
            return handler(value)
        except (PydanticCustomError, ValidationError) as error:
            if info.context:
                return None
            if isinstance(error, PydanticCustomError):
                raise
            if any(one["type"] == PROBLEM for one in error.errors()):
                raise
            right = _right(cls.model_fields[name], name)
            shown = "" if _has_tables(cls.model_fields[name]) else f"is {show(value)}; it "
            raise problem(f"{shown}must be {right}{likely(value, right)}") from None

    @model_validator(mode="wrap")
    @classmethod
    def _check_keys(
        cls, value: Any, handler: ModelWrapValidatorHandler["FileTable"], info: ValidationInfo
    ) -> Any:
        """State the keys that a table has, and the nearest key to an unknown one."""
        fields = cls.model_fields
        if not isinstance(value, dict):
            if info.context:
                return None
            raise problem(f"must be a table with the keys {', '.join(fields)}")
        required = {name: MISSING for name, one in fields.items() if one.is_required()}
        known = required | {name: value[name] for name in value if name in fields}
        unknown = [name for name in value if name not in fields]
        if info.context or not unknown or cls.model_config["extra"] != "forbid":
            return handler(known)
        # Unknown keys first: a misspelt key explains why the right one is missing.
        known_words = f"known are {', '.join(fields)}"
        errors: list[tuple[tuple[int | str, ...], str]] = [
            ((name,), f"unknown key; {nearest(name, fields) or known_words}") for name in unknown
        ]
        try:
            handler(known)
        except ValidationError as error:
            errors += [(one["loc"], one["msg"]) for one in error.errors()]
        raise ValidationError.from_exception_data(
            cls.__name__,
            [{"type": problem(words), "loc": path, "input": None} for path, words in errors],
        )


def _has_tables(field: FieldInfo) -> bool:
    """Return whether a field is a list or a dict of tables."""
    kinds = [part for one in get_args(field.annotation) for part in (one, *get_args(one))]
    return any(isinstance(kind, type) and issubclass(kind, FileTable) for kind in kinds)


def _right(field: FieldInfo, name: str) -> str:
    """Return the right form of a field's value."""
    kinds = [field.annotation, *get_args(field.annotation)]
    metadata = [one for kind in kinds for one in getattr(kind, "__metadata__", ())]
    if rights := [one for one in (*field.metadata, *metadata) if isinstance(one, Right)]:
        return str(rights[0])
    if _has_tables(field):
        return f"a list of tables, each begun by [[{name}]]"
    choices = [one for kind in kinds if get_origin(kind) is Literal for one in get_args(kind)]
    return " or ".join(map(json.dumps, choices))


def checked[T: FileTable](model: type[T], raw: Mapping[str, Any], problems: Problems) -> T:
    """Check the shape of a file, and build its tables of the sound values.

    Parameters
    ----------
    model
        The model of the whole file.
    raw
        The file as parsed from TOML.
    problems
        Each problem is noted here.

    Returns
    -------
    FileTable
        Missing or wrong values, and tables of a list, are None.
    """
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        for details in error.errors():
            problems.add(_place(details["loc"]), details["msg"])
    return model.model_validate(raw, context={"sound": True})


def _place(path: tuple[int | str, ...]) -> str:
    """Return the place of a value, ``reported[3].ci``, with lists counted from 1."""
    words = "".join(
        f"[{part + 1}]" if isinstance(part, int) else f".{show_key(part)}" for part in path
    )
    return words.removeprefix(".")


def numbered[T](name: str, tables: Iterable[T | None] | None) -> Iterator[tuple[str, T]]:
    """Yield the tables of a list that are tables, each with its place.

    Parameters
    ----------
    name
        Key of the list.
    tables
        Tables; None for an entry that is no table.

    Yields
    ------
    Iterator[tuple[str, T]]
        Such as ``arms[2]``, and the table.
    """
    for at, table in enumerate(tables or (), start=1):
        if table is not None:
            yield f"{name}[{at}]", table
