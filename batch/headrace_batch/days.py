"""Which days the events of a source cover."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from headrace_batch.ingest.covered import covered_offsets, reached_ms
from headrace_batch.warehouse import Warehouse
from headrace_features.definitions.durations import DAY_MS
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.tables import EVENT_DATE

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from headrace_features.definitions.sources import EventSource
    from headrace_schemas.settings import Settings

_EPOCH_DAY = date(1970, 1, 1).toordinal()
_MS = timedelta(milliseconds=1)


def begins_ms(day: date) -> int:
    """The first moment of a day, ms UTC."""
    return (day.toordinal() - _EPOCH_DAY) * DAY_MS


def days_with_events(settings: Settings, source: EventSource) -> tuple[date, date]:
    """The first and the last day (UTC) with events of a source, from the table's log alone.

    Raises:
        ConfigurationError: there is no table, or no event in it.
    """
    found = ends_of(Warehouse.of(settings).open(source.table))
    if found is None:
        message = f"source {source.name} has no events"
        raise ConfigurationError(message, hint="run: headrace ingest")
    return found


def ends_of(table: DeltaTable) -> tuple[date, date] | None:
    """The first and the last day (UTC) of a table, from its log alone; None without rows."""
    days = pa.table(table.get_add_actions(flatten=True))[f"partition.{EVENT_DATE}"]
    found = pc.min_max(days.cast(pa.date32())).as_py()
    return None if found["min"] is None else (found["min"], found["max"])


def whole_until(settings: Settings, source: EventSource, *, streamed: bool) -> date | None:
    """The first day (UTC) of which the table of a source may lack events that there are already.

    An event may be as late as the stream bears: for so long the table may lack some of a day before
    its newest event, which in a topic is that of the slowest partition.

    Args:
        settings: where the table is.
        source: whose events.
        streamed: whether events of its newest day may be on their way in a stream; so they may
            where the table has taken in a topic.

    Returns:
        None where it is known to lack none: it is given all that there is in files.

    Raises:
        ConfigurationError: there is no table, or no event in it.
    """
    _, last = days_with_events(settings, source)
    if not streamed and not covered_offsets(Warehouse.of(settings), source):
        return None
    whole_ms = whole_until_ms(settings, source)
    return min(last, datetime.fromtimestamp(whole_ms / 1000, UTC).date())


def whole_until_ms(settings: Settings, source: EventSource) -> int:
    """Up to when the table of a source that takes in a topic has all events of it, ms UTC.

    Raises:
        ConfigurationError: there is no table, or no event in it.
    """
    newest_ms = _reached_ms(settings, source, source.event_time)
    if newest_ms is None:
        newest_ms = begins_ms(days_with_events(settings, source)[1])
    return newest_ms - settings.stream.lateness // _MS


def known_until_ms(settings: Settings, source: EventSource, *, streamed: bool) -> int | None:
    """Up to when the table of a source has all events that were known, ms UTC.

    Args:
        settings: where the table is.
        source: whose events.
        streamed: see `whole_until`.

    Returns:
        None where events are known when they are, or the table is given all that there is in files.

    Raises:
        ConfigurationError: there is no table, or no event in it.
    """
    if source.available_at is None:
        return None
    until = whole_until(settings, source, streamed=streamed)
    if until is None:
        return None
    newest_ms = _reached_ms(settings, source, source.available_at)
    if newest_ms is None:
        return begins_ms(until)
    return newest_ms - settings.stream.lateness // _MS


def _reached_ms(settings: Settings, source: EventSource, column: str) -> int | None:
    """Up to when a source's table has come, ms UTC: of a topic the slowest partition.

    Events of one may be behind those of others, and wouldn't be late to their entities. One to
    which nothing has come for as long as events may be late has none that are behind.
    """
    table = Warehouse.of(settings).open(source.table)
    idle_ms = settings.stream.lateness // _MS
    reached = reached_ms(table, source, column, idle_ms)
    return _newest_ms(table, column) if reached is None else reached


def _newest_ms(table: DeltaTable, column: str) -> int | None:
    """The greatest time in a column of a table, by its log; None if that doesn't tell."""
    files = pa.table(table.get_add_actions(flatten=True))
    if f"max.{column}" not in files.column_names:
        return None
    found = pc.max(files[f"max.{column}"]).as_py()
    return found if isinstance(found, int) else None


def newest_event_ms(settings: Settings, source: EventSource) -> int:
    """The time of the newest event of a source, or the beginning of its day, ms UTC.

    Raises:
        ConfigurationError: there is no table, or no event in it.
    """
    _, last = days_with_events(settings, source)
    table = Warehouse.of(settings).open(source.table)
    return max(begins_ms(last), _newest_ms(table, source.event_time) or 0)


def last_whole_day(settings: Settings, source: EventSource, *, streamed: bool) -> date | None:
    """The last day (UTC) of which the table of a source has all events that there are.

    Args:
        settings: where the table is.
        source: whose events.
        streamed: see `whole_until`.

    Returns:
        None if it has none; it may be today where all events come from files.

    Raises:
        ConfigurationError: there is no table, or no event in it.
    """
    first, last = days_with_events(settings, source)
    until = whole_until(settings, source, streamed=streamed)
    if until is not None:
        last = min(last, until - timedelta(days=1))
    return None if last < first else last
