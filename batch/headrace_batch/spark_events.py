"""Events of a source as a Spark frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyspark.sql import functions as F  # noqa: N812 - the name it has everywhere

from headrace_batch.backfill_rows import day_of
from headrace_batch.local_events import Events, Span
from headrace_batch.warehouse import Warehouse
from headrace_schemas.tables import EVENT_DATE

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from headrace_features.definitions.sources import EventSource

#: Events and rows in a partition, all of which a worker holds together with their features.
_PARTITION_ROWS = 1_000_000


def spark_events(
    spark: SparkSession,
    warehouse: Warehouse,
    source: EventSource,
    columns: Sequence[str],
    span: Span,
) -> DataFrame:
    """Some columns of the events of a span."""
    date, time_ms = F.col(EVENT_DATE), F.col(source.event_time)
    reader = spark.read.format("delta")
    if source.table in warehouse.versions:
        reader = reader.option("versionAsOf", warehouse.versions[source.table])
    frame = reader.load(warehouse.uri(source.table))
    frame = frame.where((date <= F.lit(day_of(span.last_ms))) & (time_ms <= span.last_ms))
    if span.first_ms is not None:
        frame = frame.where((date >= F.lit(day_of(span.first_ms))) & (time_ms >= span.first_ms))
    return frame.select(*columns)


def partitions_for(
    spark: SparkSession, warehouse: Warehouse, source: EventSource, span: Span, rows: int = 0
) -> int:
    """Into how many parts the events of a span and so many rows are divided.

    Raises:
        ConfigurationError: there is no table of events, or it is damaged.
    """
    total = Events(warehouse, source).most(span) + rows
    return max(spark.sparkContext.defaultParallelism, -(-total // _PARTITION_ROWS))
