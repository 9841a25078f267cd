"""Which days the events of a source cover."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from headrace_batch.ingest.covered import covered_offsets
from headrace_batch.warehouse import Warehouse
from headrace_features.definitions.durations import DAY_MS
from headrace_schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from headrace_features.definitions.sources import EventSource
    from headrace_schemas.settings import Settings

_EPOCH_DAY = date(1970, 1, 1).toordinal()


def begins_ms(day: date) -> int:
    """The first moment of a day, ms UTC."""
    return (day.toordinal() - _EPOCH_DAY) * DAY_MS


def days_with_events(settings: Settings, source: EventSource) -> tuple[date, date]:
    """The first and the last day (UTC) with events of a source, from the table's log alone.

    Raises:
        ConfigurationError: there is no table, or no event in it.
    """
    table = Warehouse.of(settings).open(source.table)
    days = pa.table(table.get_add_actions(flatten=True))["partition.event_date"]
    found = pc.min_max(days.cast(pa.date32())).as_py()
    if found["min"] is None:
        message = f"source {source.name} has no events"
        raise ConfigurationError(message, hint="run: headrace ingest")
    return found["min"], found["max"]


def whole_until(settings: Settings, source: EventSource, *, streamed: bool) -> date | None:
    """The first day (UTC) of which the table of a source may lack events that there are already.

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
    return last if streamed or covered_offsets(Warehouse.of(settings), source) else None


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
