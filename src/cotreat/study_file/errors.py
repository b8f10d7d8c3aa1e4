"""Problems of a study file from errors of Pydantic; tables of its sound values."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from cotreat.core.toml_tables import Problems, nearest, show, show_key
from cotreat.study_file.shape import AnyKindTable, KindsOf, PValueTable, Right, table_of

Path = tuple[str | int, ...]

NO_INTERVAL = "a p-value has no interval; leave it out"


def checked[T: BaseModel](model: type[T], raw: Mapping[str, Any], problems: Problems) -> T:
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
    BaseModel
        Missing or wrong values, and tables of a list, are None.
    """
    errors = list(_errors(model, raw))
    for path, words in errors:
        problems.add(place(path), words)
    made = _made(model, raw, (), {path for path, _ in errors})
    assert isinstance(made, model)  # noqa: S101 - for mypy: the whole file is a table
    return made


def numbered[T](name: str, tables: Iterable[T | None] | None) -> Iterator[tuple[str, T]]:
    """Yield the tables of a list that are tables, each with its place."""
    for at, table in enumerate(tables or (), start=1):
        if table is not None:
            yield f"{name}[{at}]", table


# --- Errors ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _At:
    """A wrong value: its place, its type, and its field."""

    path: Path
    kind: Any
    field: FieldInfo | None
    is_unknown: bool = False

    @property
    def right(self) -> str:
        """The description of a right value."""
        if self.field is None:
            return ""
        nested = (m for one in get_args(self.field.annotation) for m in _metadata(one))
        words = [m.words for m in (*self.field.metadata, *nested) if isinstance(m, Right | KindsOf)]
        choices = get_args(self.kind) if get_origin(self.kind) is Literal else ()
        return words[0] if words else " or ".join(map(json.dumps, choices))


def _errors(model: type[BaseModel], raw: Any, within: Path = ()) -> Iterator[tuple[Path, str]]:
    """Yield the place and the words of every error, each place once."""
    try:
        model.model_validate(raw)
    except ValidationError as error:
        seen: set[Path] = set()
        errors = error.errors(include_url=False, include_context=False)
        # Unknown keys first: a misspelt key explains why the right one is missing.
        for wrong in sorted(errors, key=lambda wrong: wrong["type"] != "extra_forbidden"):
            at = _at(model, wrong["loc"])
            if at.path not in seen:
                seen.add(at.path)
                yield from _in_words(at, wrong, raw, within)


def _in_words(at: _At, error: ErrorDetails, raw: Any, within: Path) -> Iterator[tuple[Path, str]]:
    where = (*within, *at.path)
    tables = _tables(at.kind)
    is_table = isinstance(error["input"], dict)
    if at.is_unknown:
        yield where, _unknown(str(where[-1]), tables[0])
    elif error["type"] == "missing":
        yield where, f"missing; it must be {at.right}"
    elif len(tables) > 1 and is_table:
        yield from _errors(AnyKindTable, error["input"], where)
    elif tables:
        yield where, f"must be a table with the keys {', '.join(tables[0].model_fields)}"
    elif get_origin(at.kind) is list and _tables(_plain(get_args(at.kind)[0])):
        yield where, f"must be a list of tables, each begun by [[{where[-1]}]]"
    elif get_origin(at.kind) is dict and _tables(_plain(get_args(at.kind)[1])):
        yield where, f"must be {at.right}"
    else:
        yield where, f"is {show(_value(raw, at.path))}; it must be {at.right}"


def _unknown(name: str, table: type[BaseModel]) -> str:
    if table is PValueTable and name == "ci":
        return NO_INTERVAL
    known = list(table.model_fields)
    return f"unknown key; {nearest(name, known) or f'known are {", ".join(known)}'}"


def _value(raw: Any, path: Path) -> Any:
    for part in path:
        raw = raw[part]
    return raw


def place(path: Path) -> str:
    """Return the place of a value, ``reported[3].ci``, with lists counted from 1."""
    words = "".join(
        f"[{part + 1}]" if isinstance(part, int) else f".{show_key(part)}" for part in path
    )
    return words.removeprefix(".")


# --- Types -----------------------------------------------------------------------------------------


def _at(model: type[BaseModel], location: tuple[int | str, ...]) -> _At:
    """Follow the location of an error to the key whose value is wrong."""
    at = _At((), model, None)
    for part in location:
        tables = _tables(at.kind)
        if len(tables) > 1:  # the part is the kind of the number, and no key
            at = replace(at, kind=_of_kind(tables, part))
        elif tables and part in tables[0].model_fields:
            field = tables[0].model_fields[str(part)]
            at = _At((*at.path, part), _plain(field.annotation), field)
        elif tables:
            return replace(at, path=(*at.path, part), is_unknown=True)
        elif get_origin(at.kind) in (list, dict) and _tables(_plain(get_args(at.kind)[-1])):
            at = replace(at, path=(*at.path, part), kind=_plain(get_args(at.kind)[-1]))
    return at


def _metadata(annotation: Any) -> tuple[Any, ...]:
    return getattr(annotation, "__metadata__", ())


def _plain(annotation: Any) -> Any:
    """Return a type without its annotations, and without None."""
    if get_origin(annotation) is Annotated:
        return _plain(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        return _plain(kinds[0]) if len(kinds) == 1 else annotation
    return annotation


def _tables(kind: Any) -> tuple[type[BaseModel], ...]:
    """Return the tables that a type consists of: one, several, or none for values."""
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    kinds = tuple(map(_plain, kinds)) if len(kinds) > 1 else kinds
    return kinds if all(isinstance(k, type) and issubclass(k, BaseModel) for k in kinds) else ()


def _of_kind(tables: tuple[type[BaseModel], ...], kind: Any) -> type[BaseModel]:
    return next((table for table in tables if table.__name__ == kind), table_of(kind))


# --- Tables ----------------------------------------------------------------------------------------


def _made(annotation: Any, raw: Any, path: Path, bad: set[Path]) -> Any:
    """Build the tables of the sound values; None for the others."""
    if path in bad:
        return None
    kind = _plain(annotation)
    if tables := _tables(kind):
        table = tables[0] if len(tables) == 1 else _of_kind(tables, raw.get("kind"))
        return _table(table, raw, path, bad)
    is_container = get_origin(kind) in (list, dict)
    item = get_args(kind)[-1] if is_container else None
    if not is_container or not _tables(_plain(item)):
        return raw
    if isinstance(raw, dict):
        return {name: _made(item, value, (*path, name), bad) for name, value in raw.items()}
    return [_made(item, value, (*path, at), bad) for at, value in enumerate(raw)]


def _table(table: type[BaseModel], raw: Mapping[str, Any], path: Path, bad: set[Path]) -> BaseModel:
    fields = table.model_fields
    missing = {
        name: None if field.is_required() else field.get_default(call_default_factory=True)
        for name, field in fields.items()
        if name not in raw
    }
    given = {
        name: _made(fields[name].annotation, value, (*path, name), bad)
        for name, value in raw.items()
        if name in fields
    }
    return table.model_construct(set(given), **missing, **given)
