"""A feature view as plain data, from which it is made again without the code that declared it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import lru_cache
from typing import Annotated, Any, get_args

import msgspec

from headrace_features.definitions.aggregates import Aggregate, Columns, Kind, Scalar, struct
from headrace_features.definitions.sources import Entity, EventSource
from headrace_features.definitions.views import FeatureView
from headrace_features.definitions.windows import Session, Sliding, Tumbling, Unbounded, Window
from headrace_schemas.columns import ROLE, ColumnRole, ColumnType, columns_of
from headrace_schemas.errors import ConfigurationError

#: Raised when a reader of documents would have to know of a change.
FORMAT = 1

_AGGREGATES: Mapping[Kind, Any] = {one.kind: one for one in get_args(Aggregate)}
_PYTHON_TYPES: Mapping[ColumnType, Any] = {
    ColumnType.INT64: int,
    ColumnType.FLOAT64: float,
    ColumnType.STRING: str,
    ColumnType.BOOL: bool,
}


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of a document; every field is written, so that no later default can change one."""


class _Sliding(_Part, frozen=True, tag_field="kind", tag="sliding"):
    size: str
    hop: str
    delay: str


class _Tumbling(_Part, frozen=True, tag_field="kind", tag="tumbling"):
    size: str
    delay: str


class _Session(_Part, frozen=True, tag_field="kind", tag="session"):
    gap: str
    delay: str


class _Unbounded(_Part, frozen=True, tag_field="kind", tag="unbounded"):
    delay: str


_Window = _Sliding | _Tumbling | _Session | _Unbounded


class _Aggregate(_Part, frozen=True):
    """Several columns are those of a `struct`; what the kind doesn't take is null."""

    kind: Kind
    column: str | list[str] | None
    windows: list[_Window]
    exclude_current: bool
    default: Scalar | None
    q: int | float | None


class _Column(_Part, frozen=True):
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


class _Source(_Part, frozen=True):
    name: str
    schema: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*\Z")]
    event_time: str
    dedup_key: str
    available_at: str | None
    topic: str
    table: str
    description: str
    columns: list[_Column]


class _Entity(_Part, frozen=True):
    name: str
    join_key: str
    description: str


class _Derived(_Part, frozen=True):
    name: str
    expression: str


class _Head(msgspec.Struct, frozen=True):
    """What a document of any format has."""

    format: int


class _Document(_Part, frozen=True):
    """A view; derived columns are a list, whose order outlives a sorting of keys."""

    format: int
    name: str
    version: int
    entity: _Entity
    source: _Source
    filter: str | None
    derived: list[_Derived]
    aggregates: list[_Aggregate]
    description: str
    owner: str
    tags: dict[str, str]


def portable(view: FeatureView) -> dict[str, Any]:
    """The whole definition of a view as JSON-compatible data."""
    entity = view.entity
    document = _Document(
        format=FORMAT,
        name=view.name,
        version=view.version,
        entity=_Entity(entity.name, entity.join_key, entity.description),
        source=_written_source(view.source),
        filter=view.filter,
        derived=[_Derived(name, text) for name, text in view.derived.items()],
        aggregates=list(map(_written, view.aggregates)),
        description=view.description,
        owner=view.owner,
        tags=dict(view.tags),
    )
    found: dict[str, Any] = msgspec.to_builtins(document)
    return found


def portable_source(source: EventSource) -> dict[str, Any]:
    """An event source as JSON-compatible data, with all that its contract says of columns."""
    found: dict[str, Any] = msgspec.to_builtins(_written_source(source))
    return found


def source_from(document: Mapping[str, Any]) -> EventSource:
    """The event source of a document; equal documents give equal sources.

    Raises:
        ConfigurationError: the document is damaged.
    """
    try:
        return _source(msgspec.convert(document, _Source))
    except msgspec.ValidationError as error:
        raise _damaged(str(error)) from error


def from_portable(document: Mapping[str, Any]) -> FeatureView:
    """The view of a document, which means what the view meant that the document was made of.

    Equal documents give equal views. The class of the events is made of the columns.

    Raises:
        ConfigurationError: the document is of another format, or damaged.
    """
    try:
        found = msgspec.convert(document, _Head).format
        if found != FORMAT:
            raise ConfigurationError(
                f"the definition of a feature view has the format {found}, expected {FORMAT}",
                hint="a newer release of Headrace has written it: use that one",
            )
        read = msgspec.convert(document, _Document)
    except msgspec.ValidationError as error:
        raise _damaged(str(error)) from error
    try:
        return _view(read)
    except ConfigurationError as error:
        raise _damaged(f"{read.name!r}: {error.message}") from error


def _damaged(what: str) -> ConfigurationError:
    return ConfigurationError(
        f"the definition of a feature view is damaged: {what}",
        hint="have it written anew from the code that declares the view",
    )


def _written_source(source: EventSource) -> _Source:
    return _Source(
        name=source.name,
        schema=source.schema.__name__,
        event_time=source.event_time,
        dedup_key=source.dedup_key,
        available_at=source.available_at,
        topic=source.topic,
        table=source.table,
        description=source.description,
        columns=[msgspec.convert(one, _Column, from_attributes=True) for one in source.columns],
    )


def _written(aggregate: Aggregate) -> _Aggregate:
    # Not every aggregate has all of these.
    column = getattr(aggregate, "column", None)
    return _Aggregate(
        kind=aggregate.kind,
        column=list(column.names) if isinstance(column, Columns) else column,
        windows=list(map(_written_window, aggregate.windows)),
        exclude_current=aggregate.exclude_current,
        default=getattr(aggregate, "default", None),
        q=getattr(aggregate, "q", None),
    )


def _written_window(window: Window) -> _Window:
    match window:
        case Sliding(size, hop, delay):
            return _Sliding(size, hop, delay)
        case Tumbling(size, delay):
            return _Tumbling(size, delay)
        case Session(gap, delay):
            return _Session(gap, delay)
        case Unbounded(delay):
            return _Unbounded(delay)


def _view(read: _Document) -> FeatureView:
    _require_distinct("derived columns", (one.name for one in read.derived))
    return FeatureView(
        name=read.name,
        version=read.version,
        entity=Entity(read.entity.name, read.entity.join_key, read.entity.description),
        source=_source(read.source),
        aggregates=[_aggregate(one) for one in read.aggregates],
        filter=read.filter,
        derived={one.name: one.expression for one in read.derived},
        description=read.description,
        owner=read.owner,
        tags=read.tags,
    )


def _source(read: _Source) -> EventSource:
    _require_distinct("columns", (column.name for column in read.columns))
    return EventSource(
        name=read.name,
        schema=_schema(read.schema, tuple(read.columns)),
        event_time=read.event_time,
        dedup_key=read.dedup_key,
        available_at=read.available_at,
        topic=read.topic,
        table=read.table,
        description=read.description,
    )


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


def _aggregate(read: _Aggregate) -> Aggregate:
    made = _AGGREGATES[read.kind]
    taken = {one.name for one in fields(made)}
    column = struct(*read.column) if isinstance(read.column, list) else read.column
    given = {"column": column, "default": read.default, "q": read.q}
    for name, value in given.items():
        if value is None and name in taken and name != "default":
            raise ConfigurationError(f"the aggregate {read.kind} lacks its {name}")
        if value is not None and name not in taken:
            raise ConfigurationError(f"the aggregate {read.kind} takes no {name}")
    own = {name: value for name, value in given.items() if name in taken}
    windows = [_window(one) for one in read.windows]
    aggregate: Aggregate = made(windows=windows, exclude_current=read.exclude_current, **own)
    return aggregate


def _window(read: _Window) -> Window:
    match read:
        case _Sliding():
            return Sliding(read.size, read.hop, read.delay)
        case _Tumbling():
            return Tumbling(read.size, read.delay)
        case _Session():
            return Session(read.gap, read.delay)
        case _Unbounded():
            return Unbounded(read.delay)


def _require_distinct(what: str, names: Iterable[str]) -> None:
    listed = list(names)
    if len(set(listed)) < len(listed):
        raise ConfigurationError(f"two {what} have one name among {', '.join(listed)}")
