"""A history on Spark: rows and events by entity to the kernel, results in the spine's order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs
from pyspark.sql import functions as F  # noqa: N812 - the name it has everywhere

from headrace_batch.history_files import BATCH_ROWS
from headrace_batch.history_rows import features_at_rows, row_features
from headrace_batch.history_scratch import scratch
from headrace_batch.history_spine import ROW, SpineRows, Survey, row_schema, rows_of
from headrace_batch.local_events import Span
from headrace_batch.spark_errors import spark_errors
from headrace_batch.spark_events import partitions_for, spark_events
from headrace_batch.spark_kernel import by_entity, spark_schema
from headrace_batch.warehouse import Warehouse

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from headrace_features.definitions.views import FeatureView, Selection

#: Rows of the result that one task sorts and writes.
_SLICE_ROWS = 1_000_000


def features(
    spark: SparkSession,
    warehouse: Warehouse,
    selection: Selection,
    spine: SpineRows,
    surveyed: Survey,
) -> Iterator[pa.Table]:
    """The features at every row of a spine, table by table in the order of its rows.

    Rows go to Spark and features come back through files beside the tables, which workers can
    reach as well; the driver only streams them.
    """
    view = selection.view
    before_ms = view.lookback_ms
    span = Span(None if before_ms is None else surveyed.first_ms - before_ms, surveyed.last_ms)
    partitions = partitions_for(spark, warehouse, view.source, span, surveyed.rows)
    slices = -(-surveyed.rows // _SLICE_ROWS)
    schema = row_schema(view, spine.schema)
    with scratch(warehouse) as folder:
        with pq.ParquetWriter(
            folder.path("rows.parquet"), schema, filesystem=folder.filesystem
        ) as writer:
            for table in rows_of(view, spine):
                writer.write_table(table)
        with spark_errors(f"history of {view.name}"):
            rows = spark.read.schema(spark_schema(schema)).parquet(folder.uri("rows.parquet"))
            events = spark_events(spark, warehouse, view.source, view.input_columns, span)
            (
                by_entity(
                    events.unionByName(rows, allowMissingColumns=True),
                    view,
                    partitions,
                    _at_rows,
                    row_features(view),
                )
                .repartitionById(slices, F.expr(f"cast({ROW} div {_SLICE_ROWS} as int)"))
                .sortWithinPartitions(ROW)
                .write.parquet(folder.uri("features"))
            )
        yield from _parts(folder.filesystem, folder.path("features"), selection)


def _at_rows(view: FeatureView, both: pa.Table) -> pa.Table:
    """Tell events, which have no position in the spine, from the rows of it."""
    is_row = pc.is_valid(both[ROW])
    return features_at_rows(view, both.filter(pc.invert(is_row)), both.filter(is_row))


def _parts(filesystem: fs.FileSystem, folder: str, selection: Selection) -> Iterator[pa.Table]:
    """The written slices: tasks number their files, so names are in the order of the rows."""
    found = filesystem.get_file_info(fs.FileSelector(folder))
    for path in sorted(info.path for info in found if info.path.endswith(".parquet")):
        with pq.ParquetFile(path, filesystem=filesystem) as file:
            for batch in file.iter_batches(BATCH_ROWS, columns=list(selection.names)):
                yield pa.Table.from_batches([batch]).select(selection.names)
