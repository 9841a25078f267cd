"""The events of a source that the lake has, with the offsets of its topic that they reach up to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from headrace_batch.days import begins_ms
from headrace_batch.local_events import Events, Span
from headrace_batch.warehouse import Warehouse, dataset_of
from headrace_features.definitions.sources import EventSource
from headrace_schemas.errors import ConfigurationError
from headrace_schemas.event_times import PLAUSIBLE
from headrace_schemas.tables import KAFKA_TOPIC


@dataclass(frozen=True, slots=True)
class History:
    """Some events of a source, of one version of its table.

    Attributes:
        source: the source.
        events: the columns of its contract, in no particular order.
        offsets: for each partition of its topic the offset before which the table has everything.
        since_ms: they are all events from this time on, ms UTC; None is all that there are.
    """

    source: EventSource
    events: pa.Table
    offsets: Mapping[int, int]
    since_ms: int | None


def history_of(warehouse: Warehouse, source: EventSource, reach_ms: int | None) -> History:
    """The newest events of a source.

    Args:
        warehouse: where the tables are.
        source: whose events.
        reach_ms: how long before the newest day they begin; None is all of them.

    Raises:
        ConfigurationError: there is no such table, it is damaged, or it has not taken in the
            source's topic, so that nobody knows from where on Kafka has the rest.
        RetryableError: the store can't be reached.
    """
    table = Events(warehouse, source)
    offsets = table.covered()
    if not offsets:
        raise ConfigurationError(
            f"table {source.table} has not taken in the topic {source.topic}",
            hint="run: headrace ingest --from-kafka",
        )
    days = table.by_day(Span(None, PLAUSIBLE.latest_ms))
    first_ms = None
    if reach_ms is not None and days:
        first_ms = begins_ms(days[-1][0]) - reach_ms
        if first_ms <= begins_ms(days[0][0]):
            first_ms = None
    names = [column.name for column in source.columns]
    parts = table.read(names, Span(first_ms, PLAUSIBLE.latest_ms))
    events = pa.concat_tables([table.schema.empty_table(), *parts])
    return History(source, events, offsets, first_ms)


def newest_other_day(warehouse: Warehouse, source: EventSource) -> date | None:
    """The newest day (UTC) with events that didn't come from a topic, by the table's log.

    Raises:
        ConfigurationError: the table is damaged.
        RetryableError: the store can't be reached.
    """
    table = warehouse.find(source.table)
    if table is None:
        return None
    with warehouse.explaining(source.table):
        files = pa.table(table.get_add_actions(flatten=True))
    absent = f"null_count.{KAFKA_TOPIC}"
    if absent in files.column_names:
        # A file without statistics may have some.
        files = files.filter(pc.fill_null(pc.greater(files[absent], 0), fill_value=True))
    day = pc.max(files["partition.event_date"].cast(pa.date32())).as_py() if len(files) else None
    return day if isinstance(day, date) else None


def has_other_events(warehouse: Warehouse, source: EventSource) -> bool:
    """Whether the table of a source has events that didn't come from its topic.

    Raises:
        ConfigurationError: the table is damaged.
        RetryableError: the store can't be reached.
    """
    table = warehouse.find(source.table)
    if table is None:
        return False
    with warehouse.explaining(source.table):
        dataset = dataset_of(table)
        theirs = 0
        if KAFKA_TOPIC in dataset.schema.names:
            # What is asked for by its absence is not found in files from before there was such a
            # column: the library says of these that nothing in them can be of interest.
            theirs = dataset.count_rows(filter=pc.field(KAFKA_TOPIC) == source.topic)
        return bool(dataset.count_rows() > theirs)
