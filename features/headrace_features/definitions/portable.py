"""A feature view as plain data, from which it is made again without the code that declared it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, get_args

import msgspec

from headrace_features.definitions.aggregates import Aggregate, Columns, Kind, Scalar, struct
from headrace_features.definitions.portable_sources import (
    Part,
    WrittenSource,
    damaged,
    read_source,
    require_distinct,
    written_source,
)
from headrace_features.definitions.sources import Entity
from headrace_features.definitions.views import FeatureView
from headrace_features.definitions.windows import Session, Sliding, Tumbling, Unbounded, Window
from headrace_schemas.errors import ConfigurationError

#: Raised when a reader of documents would have to know of a change. In 1 entities and sources have
#: neither an owner nor tags, and sources may have no rules.
FORMAT = 2
_READ = (1, FORMAT)

_AGGREGATES: Mapping[Kind, Any] = {one.kind: one for one in get_args(Aggregate)}


class _Sliding(Part, frozen=True, tag_field="kind", tag="sliding"):
    size: str
    hop: str
    delay: str


class _Tumbling(Part, frozen=True, tag_field="kind", tag="tumbling"):
    size: str
    delay: str


class _Session(Part, frozen=True, tag_field="kind", tag="session"):
    gap: str
    delay: str


class _Unbounded(Part, frozen=True, tag_field="kind", tag="unbounded"):
    delay: str


_Window = _Sliding | _Tumbling | _Session | _Unbounded


class _Aggregate(Part, frozen=True):
    """Several columns are those of a `struct`; what the kind doesn't take is null."""

    kind: Kind
    column: str | list[str] | None
    windows: list[_Window]
    exclude_current: bool
    default: Scalar | None
    q: int | float | None


class _Entity(Part, frozen=True):
    name: str
    join_key: str
    description: str
    owner: str = ""
    tags: dict[str, str] = msgspec.field(default_factory=dict)


class _Derived(Part, frozen=True):
    name: str
    expression: str


class _Head(msgspec.Struct, frozen=True):
    """What a document of any format has."""

    format: int


class _Document(Part, frozen=True):
    """A view; derived columns are a list, whose order outlives a sorting of keys."""

    format: int
    name: str
    version: int
    entity: _Entity
    source: WrittenSource
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
        entity=_Entity(
            entity.name, entity.join_key, entity.description, entity.owner, dict(entity.tags)
        ),
        source=written_source(view.source),
        filter=view.filter,
        derived=[_Derived(name, text) for name, text in view.derived.items()],
        aggregates=list(map(_written, view.aggregates)),
        description=view.description,
        owner=view.owner,
        tags=dict(view.tags),
    )
    found: dict[str, Any] = msgspec.to_builtins(document)
    return found


def from_portable(document: Mapping[str, Any]) -> FeatureView:
    """The view of a document, which means what the view meant that the document was made of.

    Equal documents give equal views. The class of the events is made of the columns.

    Raises:
        ConfigurationError: the document is of another format, or damaged.
    """
    try:
        found = msgspec.convert(document, _Head).format
        if found not in _READ:
            raise ConfigurationError(
                f"the definition of a feature view has the format {found}, expected {FORMAT}",
                hint="a newer release of Headrace has written it: use that one",
            )
        read = msgspec.convert(document, _Document)
    except msgspec.ValidationError as error:
        raise damaged(str(error)) from error
    try:
        return _view(read)
    except ConfigurationError as error:
        raise damaged(f"{read.name!r}: {error.message}") from error


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
    require_distinct("derived columns", (one.name for one in read.derived))
    return FeatureView(
        name=read.name,
        version=read.version,
        entity=Entity(**msgspec.structs.asdict(read.entity)),
        source=read_source(read.source),
        aggregates=[_aggregate(one) for one in read.aggregates],
        filter=read.filter,
        derived={one.name: one.expression for one in read.derived},
        description=read.description,
        owner=read.owner,
        tags=read.tags,
    )


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
