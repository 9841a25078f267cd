"""An event source as plain data, from which it is made again without the code that declared it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Annotated, Any

import msgspec

from headrace_features.definitions.row_rules import (
    AnyRowRule,
    FormatRule,
    ReferenceRule,
    RowRule,
    TimelyRule,
)
from headrace_features.definitions.sources import EventSource
from headrace_schemas.columns import ROLE, ColumnRole, ColumnType, columns_of
from headrace_schemas.errors import ConfigurationError

_PYTHON_TYPES: Mapping[ColumnType, Any] = {
    ColumnType.INT64: int,
    ColumnType.FLOAT64: float,
    ColumnType.STRING: str,
    ColumnType.BOOL: bool,
}


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of a document; every field is written, so that no later default can change one."""


class _Column(Part, frozen=True):
    """See `Column`."""

    # A class can't be made with other names, and says so in words of Python's.
    name: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z][A-Za-z0-9_]*\Z")]
    type: ColumnType
    nullable: bool
    minimum: int | float | None
    maximum: int | float | None
    min_length: int | None
    max_length: int | None
    pattern: str | None
    role: ColumnRole

    @property
    def annotation(self) -> Any:
        """What a class of events declares it as."""
        limits = {
            "ge": self.minimum,
            "le": self.maximum,
            "min_length": self.min_length,
            "max_length": self.max_length,
            "pattern": self.pattern,
            "extra": None if self.role is ColumnRole.VALUE else {ROLE: self.role},
        }
        given: dict[str, Any] = {name: one for name, one in limits.items() if one is not None}
        kind = _PYTHON_TYPES[self.type]
        kind = Annotated[kind, msgspec.Meta(**given)] if given else kind
        return kind | None if self.nullable else kind


class _RowRule(Part, frozen=True, tag_field="kind", tag="row"):
    name: str
    holds: str
    description: str


class _FormatRule(Part, frozen=True, tag_field="kind", tag="format"):
    name: str
    column: str
    pattern: str
    description: str


class _TimelyRule(Part, frozen=True, tag_field="kind", tag="timely"):
    name: str
    within: str
    description: str


class _ReferenceRule(Part, frozen=True, tag_field="kind", tag="reference"):
    name: str
    column: str
    to: str
    to_column: str
    description: str


_AnyRowRule = _RowRule | _FormatRule | _TimelyRule | _ReferenceRule


class WrittenSource(Part, frozen=True):
    """See `EventSource`."""

    name: str
    schema: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*\Z")]
    event_time: str
    dedup_key: str
    available_at: str | None
    topic: str
    table: str
    description: str
    columns: list[_Column]
    # Documents of the first format have none of these.
    rules: list[_AnyRowRule] = []
    owner: str = ""
    tags: dict[str, str] = {}


def portable_source(source: EventSource) -> dict[str, Any]:
    """An event source as JSON-compatible data, with all that its contract says of columns."""
    found: dict[str, Any] = msgspec.to_builtins(written_source(source))
    return found


def source_from(document: Mapping[str, Any]) -> EventSource:
    """The event source of a document; equal documents give equal sources.

    Raises:
        ConfigurationError: the document is damaged.
    """
    try:
        return read_source(msgspec.convert(document, WrittenSource))
    except msgspec.ValidationError as error:
        raise damaged(str(error)) from error


def damaged(what: str) -> ConfigurationError:
    """The error for a document that nothing can be made of."""
    return ConfigurationError(
        f"the definition of a feature view is damaged: {what}",
        hint="have it written anew from the code that declares the view",
    )


def written_source(source: EventSource) -> WrittenSource:
    """A source as a part of a document."""
    return WrittenSource(
        name=source.name,
        schema=source.schema.__name__,
        event_time=source.event_time,
        dedup_key=source.dedup_key,
        available_at=source.available_at,
        topic=source.topic,
        table=source.table,
        description=source.description,
        columns=[msgspec.convert(one, _Column, from_attributes=True) for one in source.columns],
        rules=list(map(_written_rule, source.rules)),
        owner=source.owner,
        tags=dict(source.tags),
    )


def _written_rule(rule: AnyRowRule) -> _AnyRowRule:
    match rule:
        case RowRule(name, holds, description):
            return _RowRule(name, holds, description)
        case FormatRule(name, column, pattern, description):
            return _FormatRule(name, column, pattern, description)
        case TimelyRule(name, within, description):
            return _TimelyRule(name, within, description)
        case ReferenceRule(name, column, to, to_column, description):
            return _ReferenceRule(name, column, to, to_column, description)


def read_source(read: WrittenSource) -> EventSource:
    """The source of such a part."""
    require_distinct("columns", (column.name for column in read.columns))
    return EventSource(
        name=read.name,
        schema=_schema(read.schema, tuple(read.columns)),
        event_time=read.event_time,
        dedup_key=read.dedup_key,
        available_at=read.available_at,
        topic=read.topic,
        table=read.table,
        description=read.description,
        rules=list(map(_rule, read.rules)),
        owner=read.owner,
        tags=read.tags,
    )


def _rule(read: _AnyRowRule) -> AnyRowRule:
    match read:
        case _RowRule():
            return RowRule(read.name, read.holds, read.description)
        case _FormatRule():
            return FormatRule(read.name, read.column, read.pattern, read.description)
        case _TimelyRule():
            return TimelyRule(read.name, read.within, read.description)
        case _ReferenceRule():
            return ReferenceRule(read.name, read.column, read.to, read.to_column, read.description)


# Views are equal only if their events are of one class.
@lru_cache(maxsize=1024)
def _schema(name: str, columns: tuple[_Column, ...]) -> type[msgspec.Struct]:
    try:
        named: list[Any] = [
            (column.name, column.annotation, None)
            if column.nullable
            else (column.name, column.annotation)
            for column in columns
        ]
        made = msgspec.defstruct(name, named, frozen=True, kw_only=True)
        columns_of(made)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"the columns of {name}: {error}") from error
    return made


def require_distinct(what: str, names: Iterable[str]) -> None:
    """Raise ConfigurationError where two of some parts have one name."""
    listed = list(names)
    if len(set(listed)) < len(listed):
        raise ConfigurationError(f"two {what} have one name among {', '.join(listed)}")
