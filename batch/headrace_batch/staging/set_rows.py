"""The rows of a training set with their features, wherever they are until they are in shards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from headrace_batch.history_files import BATCH_ROWS, pieces
from headrace_batch.warehouse import dataset_of
from headrace_schemas.tables import EVENT_DATE

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from pyspark.sql import DataFrame, SparkSession

    from headrace_batch.history_scratch import Scratch
    from headrace_batch.warehouse import Warehouse


@dataclass(frozen=True, slots=True)
class SetRows:
    """The rows of a set, with the number of each.

    Attributes:
        schema: their columns.
        read: them piece by piece, at each call anew.
        frame: them on Spark.
    """

    schema: pa.Schema
    read: Callable[[], Iterator[pa.Table]]
    frame: Callable[[SparkSession], DataFrame]


def rows_of_file(folder: Scratch, name: str) -> SetRows:
    """The rows of a Parquet file."""
    with pq.ParquetFile(folder.path(name), filesystem=folder.filesystem) as file:
        schema = file.schema_arrow
    return SetRows(
        schema,
        lambda: pieces(folder.path(name), folder.filesystem, schema.names),
        lambda spark: spark.read.parquet(folder.uri(name)),
    )


def rows_of_table(warehouse: Warehouse, name: str, table: DeltaTable) -> SetRows:
    """The rows of a version of a table, which says no day of theirs."""
    dataset = dataset_of(table)
    schema = pa.schema([field for field in dataset.schema if field.name != EVENT_DATE])

    def read() -> Iterator[pa.Table]:
        with warehouse.explaining(name):
            for batch in dataset.to_batches(columns=schema.names, batch_size=BATCH_ROWS):
                yield pa.Table.from_batches([batch])

    def frame(spark: SparkSession) -> DataFrame:
        as_it_was = spark.read.format("delta").option("versionAsOf", table.version())
        return as_it_was.load(warehouse.uri(name)).drop(EVENT_DATE)

    return SetRows(schema, read, frame)
