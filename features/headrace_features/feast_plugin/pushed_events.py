"""Frames that are pushed as events of a source: all of them are checked before one is sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from headrace_features.definitions.sources import EventSource
from headrace_features.online.query_times import moment_ms
from headrace_features.records import RecordReader
from headrace_features.senders import Ready
from headrace_schemas.columns import Column, ColumnRole, ColumnType
from headrace_schemas.errors import BadRecordError
from headrace_schemas.reasons import Reason

#: Up to here a float names each integer apart from all others.
_EXACT = 1 << 53


def events_of(source: EventSource, frame: pd.DataFrame, now_ms: int) -> list[Ready]:
    """The rows of a frame as events, in the order in which they could be known.

    Columns that the contract doesn't have are left out; what is missing in a row is null. Times may
    be datetimes or ISO texts; without a zone they are UTC.

    Raises:
        BadRecordError: a row breaks the contract or a rule, or lies in the future; it names the
            row, counted from 0.
    """
    codec, reader = source.codec, RecordReader(source)
    absent = [c.name for c in codec.columns if not c.nullable and c.name not in frame.columns]
    if absent:
        wanted = ", ".join(column.name for column in codec.columns)
        raise BadRecordError(
            Reason.MISSING_FIELD,
            f"the frame has no column {absent[0]}",
            field=absent[0],
            hint=f"events of {source.name} have: {wanted}",
        )
    found = []
    for number, row in enumerate(_rows(frame, codec.columns)):
        event = source.schema(**row)
        try:
            value = codec.encode(event)
            reader.require_not_ahead(event, now_ms)
            reader.require_rules(event, now_ms)
        except BadRecordError as error:
            raise BadRecordError(
                error.reason,
                f"row [{number}] is {error.reason}: {error.message}",
                field=error.field,
                hint="none of the rows was sent",
            ) from error
        found.append(Ready(event, value))
    return sorted(found, key=lambda ready: reader.known_at_ms(ready.event))


def _rows(frame: pd.DataFrame, columns: tuple[Column, ...]) -> Iterator[Mapping[str, Any]]:
    known = [column for column in columns if column.name in frame.columns]
    for row in frame[[column.name for column in known]].to_dict("records"):
        yield {column.name: _value(row[column.name], column) for column in known}


def _value(value: Any, column: Column) -> Any:
    """A value as the contract has it, where pandas could only hold it otherwise."""
    if pd.api.types.is_scalar(value) and pd.isna(value):
        return None
    if column.role is ColumnRole.TIME_MS and (time_ms := moment_ms(value)) is not None:
        return time_ms
    whole = isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT
    # Integers beside a null are floats in a frame.
    return int(value) if column.type is ColumnType.INT64 and whole else value
