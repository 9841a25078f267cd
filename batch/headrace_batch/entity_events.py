"""The events of one entity in the lake, each with its place in Kafka."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from headrace_batch.backfill_rows import day_of
from headrace_batch.ingest.contract import POSITION_SCHEMA
from headrace_batch.local_events import Span
from headrace_batch.warehouse import Warehouse, dataset_of
from headrace_schemas.tables import EVENT_DATE

if TYPE_CHECKING:
    from headrace_features.definitions.views import FeatureView

#: Where an event was in Kafka; all null for one that came in a file.
PLACE = tuple(POSITION_SCHEMA.names)


def entity_rows(
    warehouse: Warehouse,
    view: FeatureView,
    key: str | int,
    span: Span,
    version: int | None = None,
) -> list[dict[str, Any]]:
    """The events of an entity that a view may be made of: the columns that it reads, and `PLACE`.

    Args:
        warehouse: where the tables are.
        view: whose entity, source and columns.
        key: of the entity.
        span: of their times.
        version: of the table of events; None is the newest.

    Raises:
        ConfigurationError: there is no such table or version, or it is damaged.
        RetryableError: the store can't be reached.
    """
    source = view.source
    table = warehouse.open(source.table)
    columns = [*view.input_columns, *PLACE]
    time_ms, day = pc.field(source.event_time), pc.field(EVENT_DATE)
    where = (pc.field(view.entity.join_key) == key) & (time_ms <= span.last_ms)
    where &= day <= pa.scalar(day_of(span.last_ms), pa.date32())
    if span.first_ms is not None:
        where &= time_ms >= span.first_ms
        where &= day >= pa.scalar(day_of(span.first_ms), pa.date32())
    with warehouse.explaining(source.table):
        if version is not None:
            table.load_as_version(version)
        dataset = dataset_of(table)
        there = [name for name in columns if name in dataset.schema.names]
        rows: list[dict[str, Any]] = dataset.to_table(columns=there, filter=where).to_pylist()
    return list(_with_all(rows, columns))


def _with_all(rows: Iterable[dict[str, Any]], columns: Iterable[str]) -> Iterable[dict[str, Any]]:
    """Rows with null for the columns that the table doesn't have."""
    nothing = dict.fromkeys(columns)
    return ({**nothing, **row} for row in rows)
