"""Event sources and entities: where events live and what features describe."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import msgspec

from headrace_features.definitions.row_rules import AnyRowRule, checked_rules
from headrace_features.expressions.grammar import Expression
from headrace_schemas.codec import Codec
from headrace_schemas.columns import Column, ColumnType, columns_of
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.tables import bronze_table

_NAME = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


def checked_name(what: str, name: str) -> str:
    """The name, if every engine and store can carry it."""
    if not _NAME.fullmatch(name):
        msg = f"{name!r} can't name the {what}: expected lower-case words joined by underscores"
        raise ConfigurationError(msg, hint=f"for example {what.replace(' ', '_')}_1")
    return name


@dataclass(frozen=True, slots=True)
class Entity:
    """What a feature describes, such as a card, with the column that identifies it."""

    name: str
    join_key: str
    description: str = ""
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        """Check the names."""
        checked_name("entity", self.name)
        checked_name("join key", self.join_key)
        object.__setattr__(self, "tags", MappingProxyType(dict(self.tags)))


@dataclass(frozen=True, slots=True)
class EventSource:
    """Where one type of event lives: schema, topic, table, time column and dedup key.

    ``available_at`` names the column that says when an event could first be known, in ms UTC;
    without one an event is known at its event time. ``topic`` and ``table`` default to the
    source's name and ``bronze.<name>``. ``rules`` are what its events have to fulfil beyond what
    the schema says; a row that breaks one is kept aside. They are no part of what a view means.
    """

    name: str
    schema: type[msgspec.Struct]
    event_time: str = "event_time"
    dedup_key: str = "event_id"
    available_at: str | None = None
    topic: str = ""
    table: str = ""
    description: str = ""
    rules: Sequence[AnyRowRule] = ()
    owner: str = ""
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)
    columns: tuple[Column, ...] = field(init=False, repr=False, compare=False)
    conditions: Mapping[str, Expression] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Read the schema and check that the columns named here are in it."""
        checked_name("source", self.name)
        object.__setattr__(self, "tags", MappingProxyType(dict(self.tags)))
        object.__setattr__(self, "columns", columns_of(self.schema))
        object.__setattr__(self, "topic", self.topic or self.name)
        object.__setattr__(self, "table", self.table or bronze_table(self.name))
        self._require("event_time", self.event_time, ColumnType.INT64)
        self._require("dedup_key", self.dedup_key, ColumnType.STRING)
        if self.available_at is not None:
            self._require("available_at", self.available_at, ColumnType.INT64)
        object.__setattr__(self, "rules", tuple(self.rules))
        for rule in self.rules:
            checked_name("rule", rule.name)
        conditions = checked_rules(self.name, self.columns, self.rules)
        object.__setattr__(self, "conditions", MappingProxyType(conditions))

    def column(self, name: str) -> Column:
        """The column of that name."""
        for column in self.columns:
            if column.name == name:
                return column
        raise ConfigurationError.unknown(
            f"column of {self.schema.__name__}", name, [column.name for column in self.columns]
        )

    @property
    def codec(self) -> Codec[Any]:
        """What reads and checks the events of the source, on every path."""
        times = {self.event_time} | ({self.available_at} if self.available_at else set())
        return Codec(self.schema, keys={self.dedup_key}, times=times)

    def _require(self, role: str, name: str, wanted: ColumnType) -> None:
        column = self.column(name)
        if column.type is not wanted or column.nullable:
            null = " or null" if column.nullable else ""
            msg = (
                f"source {self.name}: {role}={name!r} is {column.type}{null}, "
                f"expected {wanted} that is never null"
            )
            raise ConfigurationError(msg)
