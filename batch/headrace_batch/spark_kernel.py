"""The kernel inside Spark: whole entities by partition, as Arrow tables in Python workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark.sql import types

from headrace_features.definitions.portable import from_portable, portable

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from headrace_features.definitions.views import FeatureView

_SPARK_TYPES = {
    pa.int64(): types.LongType(),
    pa.float64(): types.DoubleType(),
    pa.string(): types.StringType(),
    pa.bool_(): types.BooleanType(),
    pa.date32(): types.DateType(),
    pa.binary(): types.BinaryType(),
}
#: Rows that go back to the JVM at once: as many as its processor's cache holds.
_BATCH_ROWS = 1 << 13


def by_entity(
    frame: DataFrame,
    view: FeatureView,
    partitions: int,
    compute: Callable[[FeatureView, pa.Table], pa.Table],
    result: pa.Schema,
) -> DataFrame:
    """Apply a function to all rows of whole entities, a partition at a time.

    Partitions are not sorted: the kernel sorts the numbers of one in a tenth of the time that
    Spark takes to sort its rows.

    Args:
        frame: rows with the view's join key.
        view: handed to the function.
        partitions: into how many parts the entities are divided; one has to fit into the memory
            of a worker.
        compute: makes the result of a table; runs on the workers.
        result: the columns that it returns.
    """
    parts = frame.repartition(partitions, view.entity.join_key)
    return by_partition(parts, view, compute, result)


def by_partition(
    frame: DataFrame,
    view: FeatureView,
    compute: Callable[[FeatureView, pa.Table], pa.Table],
    result: pa.Schema,
) -> DataFrame:
    """Apply a function to the rows of each partition, except to none; see `by_entity`."""
    sent = SentView(view)

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        held = list(batches)
        if held:
            table = compute(sent.view, pa.Table.from_batches(held))
            yield from table.to_batches(max_chunksize=_BATCH_ROWS)

    return frame.mapInArrow(run, spark_schema(result))


def spark_schema(schema: Iterable[pa.Field]) -> types.StructType:
    """The same columns for Spark, all of them nullable."""
    return types.StructType([types.StructField(one.name, _spark_type(one.type)) for one in schema])


def _spark_type(kind: pa.DataType) -> types.DataType:
    if pa.types.is_list(kind):
        return types.ArrayType(_spark_type(kind.value_type))
    if pa.types.is_struct(kind):
        return spark_schema(kind)
    return _SPARK_TYPES[kind]


class SentView:
    """A view on its way to a worker, which has Headrace but not the modules of the project.

    The class of its events stays behind; one with the same columns takes its place.
    """

    def __init__(self, view: FeatureView) -> None:
        self.view = view

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (portable(self.view),)


def _received(document: dict[str, Any]) -> SentView:
    return SentView(from_portable(document))
