"""A feed on its way to a worker, which has Headrace but not the modules of the project.

The class of the events stays behind; one with the same columns takes its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec

from headrace_batch.ingest.contract import contract_of
from headrace_batch.ingest.feeds import Feed, Origin
from headrace_features.definitions.sources import EventSource
from headrace_schemas.columns import ROLE, Column, ColumnType

_PYTHON_TYPES: Mapping[ColumnType, type] = {
    ColumnType.INT64: int,
    ColumnType.FLOAT64: float,
    ColumnType.STRING: str,
    ColumnType.BOOL: bool,
}


class SentFeed:
    """Holds a feed, and can be pickled whatever module declares its schema."""

    def __init__(self, feed: Feed) -> None:
        """Hold `feed`."""
        self.feed = feed

    def __reduce__(self) -> tuple[Any, ...]:
        """What the other side makes the feed of."""
        source = self.feed.contract.source
        roles = {
            "event_time": source.event_time,
            "dedup_key": source.dedup_key,
            "available_at": source.available_at,
        }
        name = (source.name, source.schema.__name__)
        declared = {**roles, "rules": source.rules}
        return _received, (name, source.columns, declared, dict(self.feed.origins))


def _received(
    name: tuple[str, str],
    columns: Sequence[Column],
    declared: Mapping[str, Any],
    origins: Mapping[str, Origin],
) -> SentFeed:
    source = EventSource(name=name[0], schema=_schema(name[1], columns), **declared)
    return SentFeed(Feed(contract_of(source), origins))


def _schema(name: str, columns: Sequence[Column]) -> type[msgspec.Struct]:
    """An event class with these columns."""
    fields: list[Any] = []
    for column in columns:
        kind: Any = Annotated[_PYTHON_TYPES[column.type], _meta(column)]
        fields.append((column.name, kind | None, None) if column.nullable else (column.name, kind))
    return msgspec.defstruct(name, fields, kw_only=True, frozen=True)


def _meta(column: Column) -> msgspec.Meta:
    role = {ROLE: column.role.value}
    if column.type is ColumnType.STRING:
        return msgspec.Meta(
            min_length=column.min_length,
            max_length=column.max_length,
            pattern=column.pattern,
            extra=role,
        )
    return msgspec.Meta(ge=column.minimum, le=column.maximum, extra=role)
