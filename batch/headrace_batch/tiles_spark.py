"""Tiles on Spark: workers write the files of their table, and the driver commits them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import date
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake.transaction import AddAction
from pyspark.sql import functions as F  # noqa: N812 - the name it has everywhere

from headrace_batch.locations import located
from headrace_batch.spark_files import spark_files
from headrace_batch.spark_kernel import by_partition
from headrace_batch.tile_rows import COUNT, EVENTS, event_schema, rows_of
from headrace_features.kernel.prepare import ARROW_TYPES, apply_expressions
from headrace_schemas.tables import EVENT_DATE

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

    from headrace_batch.event_files import EventFiles
    from headrace_batch.tile_intake import Some, Step
    from headrace_batch.tile_table import TileTable
    from headrace_batch.warehouse import Warehouse
    from headrace_features.definitions.views import FeatureView

#: Events that a worker makes tiles of at once: at most so many, and no fewer where more than one
#: worker would get some, since each writes a file for each day.
_MOST_ROWS = 1_000_000
_LEAST_ROWS = 100_000
#: What a worker tells of each file that it has written.
_ADDED = pa.schema(
    [
        ("path", pa.string()),
        ("day", pa.date32()),
        ("size", pa.int64()),
        ("written_ms", pa.int64()),
        ("events", pa.int64()),
        ("stats", pa.string()),
    ]
)


class _Share(NamedTuple):
    """Days up to `last` whose events are divided over `parts` partitions, from `first` on."""

    last: date
    rows: int
    first: int
    parts: int


def take_in(
    spark: SparkSession, tiles: TileTable, bronze: EventFiles, steps: Sequence[Step]
) -> int:
    """Put the tiles of what has come into their table, in one commit; returns of how many events.

    Args:
        spark: the session.
        tiles: the table.
        bronze: the table of events.
        steps: what has come.
    """
    view, taken = tiles.view, steps[-1].taken
    wanted = [some for step in steps for some in step.wanted if some.files]
    found: list[Any] = []
    if wanted:
        frames = [_frame(spark, tiles.warehouse, bronze, view, some) for some in wanted]
        events = frames[0]
        for frame in frames[1:]:
            events = events.unionByName(frame)
        shares = _shares(wanted, spark.sparkContext.defaultParallelism)
        parts = shares[-1].first + shares[-1].parts
        write = partial(
            _written,
            uri=tiles.warehouse.uri(tiles.name),
            storage_options=dict(tiles.warehouse.storage_options),
            generation=taken.generation,
        )
        parted = events.repartitionById(parts, _part_of(shares, view.entity.join_key))
        found = by_partition(parted, view, write, _ADDED).collect()
    added = [
        AddAction(
            path=row["path"],
            size=row["size"],
            partition_values={EVENT_DATE: row["day"].isoformat()},
            modification_time=row["written_ms"],
            data_change=True,
            stats=row["stats"],
        )
        for row in found
    ]
    tiles.append_files(added, taken)
    return sum(row["events"] for row in found)


def _frame(
    spark: SparkSession, warehouse: Warehouse, bronze: EventFiles, view: FeatureView, some: Some
) -> DataFrame:
    source = view.source
    columns = pa.schema([(n, ARROW_TYPES[source.column(n).type]) for n in view.input_columns])
    paths = [file.path for file in some.files]
    frame = spark_files(spark, warehouse, bronze.name, paths, columns)
    if some.known is None:
        return frame
    known = F.col(some.known.column)
    frame = frame.where(known <= some.known.limit_ms)
    return frame if some.known.above_ms is None else frame.where(known > some.known.above_ms)


def _shares(wanted: Sequence[Some], workers: int) -> list[_Share]:
    """Which days are divided, and which are together: each partition has about as many events."""
    counts: dict[date, int] = {}
    for some in wanted:
        for file in some.files:
            counts[file.day] = counts.get(file.day, 0) + file.rows
    each = -(-sum(counts.values()) // workers)
    size = min(max(each, _LEAST_ROWS), _MOST_ROWS)
    shares: list[_Share] = []
    for day, rows in sorted(counts.items()):
        before = shares[-1] if shares else None
        parts = max(1, -(-rows // size))
        if before and before.parts == parts == 1 and before.rows + rows <= size:
            shares[-1] = before._replace(last=day, rows=before.rows + rows)
        else:
            first = before.first + before.parts if before else 0
            shares.append(_Share(day, rows, first, parts))
    return shares


def _part_of(shares: Sequence[_Share], key: str) -> Column:
    """The partition of an event, by its day and its entity."""
    found: Column | None = None
    for share in reversed(shares):
        part = F.pmod(F.xxhash64(key), F.lit(share.parts)) + share.first
        here = F.col(EVENT_DATE) <= F.lit(share.last)
        found = part if found is None else F.when(here, part).otherwise(found)
    if found is None:
        raise ValueError("there are no days")
    return found.cast("int")


def _written(
    view: FeatureView,
    events: pa.Table,
    *,
    uri: str,
    storage_options: Mapping[str, str],
    generation: int,
) -> pa.Table:
    """Write the rows of some events, a file for each day; runs on the workers.

    An attempt that comes to nothing leaves files that no log names, as does a writer that is
    killed.
    """
    kept = apply_expressions(view, events).select(event_schema(view).names)
    rows = rows_of(view, kept, generation)
    filesystem, root = located(uri, storage_options)
    added = []
    for day in pc.unique(rows[EVENT_DATE]).to_pylist():
        of_day = rows.filter(pc.equal(rows[EVENT_DATE], pa.scalar(day, pa.date32())))
        name = f"{EVENT_DATE}={day}/part-{generation}-{uuid.uuid4()}.snappy.parquet"
        filesystem.create_dir(f"{root}/{EVENT_DATE}={day}")
        pq.write_table(of_day.drop_columns([EVENT_DATE]), f"{root}/{name}", filesystem=filesystem)
        info = filesystem.get_file_info(f"{root}/{name}")
        added.append(
            {
                "path": name,
                "day": day,
                "size": info.size,
                "written_ms": (info.mtime_ns or 0) // 1_000_000,
                "events": pc.sum(of_day[COUNT]).as_py(),
                "stats": _stats(of_day),
            }
        )
    return pa.Table.from_pylist(added, _ADDED)


def _stats(rows: pa.Table) -> str:
    """What the log says of a file, by which others tell whether they need it."""
    names = [name for name in rows.column_names if name not in {EVENT_DATE, EVENTS}]
    limits = {name: pc.min_max(rows[name]).as_py() for name in names}
    return json.dumps(
        {
            "numRecords": len(rows),
            "minValues": {name: one["min"] for name, one in limits.items()},
            "maxValues": {name: one["max"] for name, one in limits.items()},
            "nullCount": dict.fromkeys(names, 0),
        }
    )
