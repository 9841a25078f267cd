"""The shards of a set, written by workers of Spark: a task each, of which one attempt counts."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pyspark.sql import types

from headrace_batch.spark_errors import spark_errors
from headrace_batch.spark_kernel import spark_schema
from headrace_batch.staging.columns import ROW
from headrace_batch.staging.shard_writing import ShardTask, WrittenShard, write
from headrace_batch.staging.splits import places, shard_of

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from headrace_batch.staging.splits import SplitRule

_SHARD = "__shard"
_TOLD = pa.schema([("written", pa.binary())])


def write_shards(
    frame: DataFrame, task: ShardTask, rule: SplitRule, shards: Mapping[int, int]
) -> Iterator[WrittenShard]:
    """Write all shards of a set.

    Spark may run a task again, or twice at once: what one attempt of each task tells is all that is
    told here, and no two write files of one name.

    Args:
        frame: the rows of the set with their numbers.
        task: of the set.
        rule: tells the split of each row.
        shards: by split how many it has.
    """
    run = uuid.uuid4().hex[:8]
    firsts = dict(zip(shards, np.cumsum([0, *shards.values()]).tolist(), strict=False))
    owners = [(split, number) for split, count in shards.items() for number in range(count)]

    def with_shards(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            table = pa.Table.from_batches([batch])
            splits = rule.of(table)
            place = places(table.column(ROW).to_numpy(), task.seed)
            found = np.zeros(len(table), np.int32)
            for split, count in shards.items():
                mine = splits == split
                found[mine] = firsts[split] + shard_of(place[mine], count)
            yield from table.append_column(_SHARD, pa.array(found)).to_batches()

    def written(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        from pyspark import TaskContext

        held = [batch for batch in batches if batch.num_rows]
        if not held:
            return
        table = pa.Table.from_batches(held)
        context = TaskContext.get()
        assert context is not None  # noqa: S101 - a worker has one
        attempt = f"{run}-{context.taskAttemptId()}"
        split, number = owners[table.column(_SHARD)[0].as_py()]
        told = write(task, split, number, attempt, table)
        yield pa.record_batch([pa.array([told.encoded()], pa.binary())], _TOLD)

    schema = types.StructType([*frame.schema, types.StructField(_SHARD, types.IntegerType())])
    with spark_errors("stage"):
        told = (
            frame.mapInArrow(with_shards, schema)
            .repartitionById(max(len(owners), 1), _SHARD)
            .mapInArrow(written, spark_schema(_TOLD))
            .collect()
        )
    return (WrittenShard.decoded(bytes(row.written)) for row in told)
