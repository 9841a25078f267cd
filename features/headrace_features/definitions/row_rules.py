"""Rules that an event has to fulfil beyond its contract, declared with its source.

A row that breaks one is no event: batch keeps it in the quarantine table of its source with the
names of all rules that it breaks, the stream sets it aside as a dead letter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from headrace_features.definitions.durations import parse_duration
from headrace_features.expressions.grammar import Expression, parse
from headrace_schemas.columns import Column, ColumnType
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.reasons import Reason

if TYPE_CHECKING:
    from headrace_features.definitions.sources import EventSource


@dataclass(frozen=True, slots=True)
class RowRule:
    """A condition on the columns of a row: nulls, ranges, sets, one column against another.

    ``holds`` is a row expression. A row for which it is false or null breaks the rule, and so does
    one for which it can't be computed; where null is all right, say so: ``amount IS NULL OR …``.
    """

    name: str
    holds: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class FormatRule:
    """A regular expression of Python's that is found in a column of text; null is all right.

    It is searched for, so it has to carry its own anchors.
    """

    name: str
    column: str
    pattern: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class TimelyRule:
    """An event has arrived at most ``within``, such as ``"7d"``, after it could be known.

    A record of a topic has arrived when it was sent, a file of a day at the end of that day. Of
    other files nothing tells when they have arrived, and of pushed events that is now.
    """

    name: str
    within: str
    description: str = ""

    @property
    def within_ms(self) -> int:
        """The same in milliseconds."""
        return parse_duration(self.within)


@dataclass(frozen=True, slots=True)
class ReferenceRule:
    """The value of a column is one that a column of another source has; null is all right.

    ``to`` is the name of that source, whose table has to have its events first. Batch alone looks
    at it, as a stream would be ahead of it or behind.
    """

    name: str
    column: str
    to: str
    to_column: str
    description: str = ""


AnyRowRule = RowRule | FormatRule | TimelyRule | ReferenceRule


def checked_rules(
    source: str, columns: Iterable[Column], rules: Iterable[AnyRowRule]
) -> dict[str, Expression]:
    """The conditions of the row rules of a source, by name, once all of its rules are well formed.

    Raises:
        ConfigurationError: a name that is used twice or means something else, an unknown column, a
            column of a type that doesn't fit, a bad expression, pattern or duration.
    """
    by_name = {column.name: column for column in columns}
    types = {column.name: column.type for column in by_name.values()}
    conditions: dict[str, Expression] = {}
    seen: set[str] = set()
    for rule in rules:
        where = f"source {source}, rule {rule.name}"
        if rule.name in seen or rule.name in {str(reason) for reason in Reason}:
            taken = "another rule" if rule.name in seen else "a reason of every contract"
            raise ConfigurationError(
                f"{where}: the name is that of {taken}", hint="rename the rule"
            )
        seen.add(rule.name)
        match rule:
            case RowRule():
                condition = parse(rule.holds, types, where)
                if condition.type is not ColumnType.BOOL:
                    raise ConfigurationError(f"{where}: it is {condition.type}, expected bool")
                conditions[rule.name] = condition
            case FormatRule():
                column = _column(where, rule.column, by_name)
                if column.type is not ColumnType.STRING:
                    raise ConfigurationError(
                        f"{where}: {column.name} is {column.type}, expected string"
                    )
                _require_pattern(where, rule.pattern)
            case TimelyRule():
                _require_duration(where, rule.within)
            case ReferenceRule():
                _column(where, rule.column, by_name)
    return conditions


def _column(where: str, name: str, columns: dict[str, Column]) -> Column:
    if name not in columns:
        raise ConfigurationError.unknown(f"column in {where}", name, columns)
    return columns[name]


def _require_pattern(where: str, pattern: str) -> None:
    try:
        re.compile(pattern)
    except re.error as error:
        raise ConfigurationError(
            f"{where}: {pattern!r} is no regular expression: {error}"
        ) from error


def _require_duration(where: str, text: str) -> None:
    try:
        parse_duration(text)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error.message}", hint=error.hint) from error


def require_references(sources: Mapping[str, EventSource]) -> None:
    """Hold the rules of all sources that refer to another one to what that has.

    Raises:
        ConfigurationError: an unknown source or column, or columns of two types.
    """
    for source in sources.values():
        for rule in source.rules:
            if isinstance(rule, ReferenceRule):
                where = f"source {source.name}, rule {rule.name}"
                if rule.to not in sources:
                    raise ConfigurationError.unknown(f"source in {where}", rule.to, sources)
                if rule.to == source.name:
                    raise ConfigurationError(
                        f"{where}: it refers to its own source, which could never begin",
                        hint="refer to another source",
                    )
                _require_same_type(where, source.column(rule.column), rule, sources[rule.to])


def _require_same_type(where: str, column: Column, rule: ReferenceRule, to: EventSource) -> None:
    other = to.column(rule.to_column)
    if column.type not in (ColumnType.STRING, ColumnType.INT64) or column.type is not other.type:
        raise ConfigurationError(
            f"{where}: {column.name} is {column.type} and {rule.to}.{other.name} is"
            f" {other.type}, expected string or int64 on both sides"
        )
