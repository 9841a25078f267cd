"""A batch layer on Spark: workers make the fields of whole entities and write them themselves.

What a worker does may be done again, by an attempt after one that was lost or beside a slow one:
fields are made of the generation before and of tiles, neither of which changes meanwhile, and are
written under the number of the generation, as they were. An attempt that goes on when readers
have the generation is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import functions as F  # noqa: N812 - the name it has everywhere

from headrace_batch.healing import Healing, Off
from headrace_batch.layer_writer import Filled, Layer, LayerWriter
from headrace_batch.materialize_local import without
from headrace_batch.spark_files import spark_files
from headrace_batch.spark_kernel import by_entity
from headrace_batch.tile_rows import COUNT, EVENTS, GENERATION, event_schema, events_in, tile_schema
from headrace_features.engines import Missed, unwatched
from headrace_features.online.served import entity_key
from headrace_schemas.tables import EVENT_DATE

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from headrace_batch.tile_table import TileDays, TileTable
    from headrace_features.definitions.views import FeatureView
    from headrace_features.online.layers import Generation, Layers
    from headrace_features.online.store import StateStore

    #: Makes and writes the fields of some rows of tiles, on a worker.
    Write = Callable[[FeatureView, pa.Table], pa.Table]

#: Events in a partition, all of which a worker holds together with the fields that it makes.
_PARTITION_ROWS = 1_000_000
# Columns that no contract has.
_TOLD = "_told"
_LATE = "_late"


class _Told(msgspec.Struct, frozen=True):
    """What a worker tells of a partition.

    Attributes:
        filled: what it has written.
        lost: how many entities have to be built anew.
        off: by day and feature, what was off.
    """

    filled: Filled
    lost: int
    off: list[tuple[date, str, Off]]


@dataclass(frozen=True, slots=True)
class _Sent:
    """What workers get of a layer that goes on from another one; see `Layer` and `Healing`."""

    store: StateStore
    generation: Generation
    layers: tuple[Layers, Layers]
    missed: Mapping[bytes, Missed]

    def opened(self, view: FeatureView) -> tuple[LayerWriter, Healing]:
        """What writes fields, and what accounts for them."""
        writer = LayerWriter(self.store, self.generation, view, unwatched)
        return writer, Healing(view, *self.layers, self.missed)


def fill(spark: SparkSession, layer: Layer, tiles: TileTable) -> Filled:
    """Write all that differs from the generation before, or all that there is."""
    healing, key = layer.healing, layer.view.entity.join_key
    if healing is None:
        built = partial(_built, store=layer.store, generation=layer.generation)
        return _sum(_told(_made(_tiles(spark, tiles, layer.all), layer.view, built)))
    sent = _Sent(layer.store, layer.generation, healing.layers, healing.missed)
    changed = _tiles(spark, tiles, layer.came)
    if layer.left is not None:
        left = _tiles(spark, tiles, layer.left).select(key)
        changed = changed.unionByName(left, allowMissingColumns=True)
    made = _made(changed, layer.view, partial(_gone_on, sent=sent)).persist()
    try:
        told = _told(made)
        if any(one.lost for one in told):
            # Joined where they are: they may be many.
            lost = made.where(F.col(_TOLD).isNull()).drop(_TOLD)
            rows = _tiles(spark, tiles, layer.all).join(lost, key)
            told += _told(_made(rows, layer.view, partial(_rebuilt, sent=sent)))
    finally:
        made.unpersist()
    for one in told:
        healing.add({(day, feature): off for day, feature, off in one.off})
    return _sum(told)


def _tiles(spark: SparkSession, tiles: TileTable, wanted: TileDays) -> DataFrame:
    """Rows of tiles: the key, how many events, and the events."""
    columns = tile_schema(tiles.view)
    frame = spark_files(spark, tiles.warehouse, tiles.name, tiles.files(wanted), columns)
    day = F.col(EVENT_DATE)
    frame = frame.where(day < F.lit(wanted.end))
    if wanted.first is not None:
        frame = frame.where(day >= F.lit(wanted.first))
    if wanted.came is not None:
        new = F.col(GENERATION) > wanted.came
        frame = frame.where(new if wanted.whole is None else new | (day >= F.lit(wanted.whole)))
    return frame.select(tiles.view.entity.join_key, COUNT, EVENTS)


def _made(rows: DataFrame, view: FeatureView, write: Write) -> DataFrame:
    """What workers tell once they have written the fields that some rows make.

    A row for each partition, and one for each entity that has to be built anew.
    """
    counted = rows.agg(F.sum(F.coalesce(F.col(COUNT), F.lit(1)))).first()
    total = (counted and counted[0]) or 0
    workers = rows.sparkSession.sparkContext.defaultParallelism
    partitions = max(workers, -(-total // _PARTITION_ROWS))
    return by_entity(rows, view, partitions, write, _results(view))


def _results(view: FeatureView) -> pa.Schema:
    key = event_schema(view).field(view.entity.join_key)
    return pa.schema([key, (_LATE, pa.binary()), (_TOLD, pa.binary())])


def _told(made: DataFrame) -> list[_Told]:
    rows = made.where(F.col(_TOLD).isNotNull()).select(_TOLD).collect()
    return [msgspec.msgpack.decode(row[0], type=_Told) for row in rows]


def _sum(told: Iterable[_Told]) -> Filled:
    return Filled(*map(sum, zip(*(one.filled for one in told), (0, 0, 0), strict=True)))


def _built(
    view: FeatureView, rows: pa.Table, *, store: StateStore, generation: Generation
) -> pa.Table:
    """Write the fields of entities of which there are none; runs on the workers."""
    writer = LayerWriter(store, generation, view, unwatched)
    writer.build(events_in(view, rows))
    return _result(view, writer, None)


def _gone_on(view: FeatureView, rows: pa.Table, *, sent: _Sent) -> pa.Table:
    """Write what differs of entities; rows without events are of days that have left."""
    key = view.entity.join_key
    there = pc.is_valid(rows[COUNT])
    came = rows.filter(there)
    left = without(rows.filter(pc.invert(there))[key], came[key])
    writer, healing = sent.opened(view)
    writer.go_on(events_in(view, came), left, healing)
    return _result(view, writer, healing)


def _rebuilt(view: FeatureView, rows: pa.Table, *, sent: _Sent) -> pa.Table:
    """Write the fields of entities that are built anew of all their events."""
    key = view.entity.join_key
    late = rows.filter(pc.is_valid(rows[_LATE]))
    # Each row of an entity has the same.
    told = dict(zip(late[key].to_pylist(), late[_LATE].to_pylist(), strict=True))
    found = {
        entity_key(one): msgspec.msgpack.decode(data, type=Missed) for one, data in told.items()
    }
    writer, healing = sent.opened(view)
    writer.rebuild(events_in(view, rows), found, healing)
    return _result(view, writer, healing)


def _result(view: FeatureView, writer: LayerWriter, healing: Healing | None) -> pa.Table:
    """What is told of a partition, and after that the entities that are lost."""
    schema = _results(view)
    off = [] if healing is None else [(*place, one) for place, one in healing.off.items()]
    told = msgspec.msgpack.encode(_Told(writer.filled, len(writer.lost), off))
    late = {} if healing is None else healing.late_among(writer.lost)
    missed: list[Missed | None] = [late.get(entity) for entity in writer.lost]
    keys = pa.array([entity.decode() for entity in writer.lost], pa.string())
    columns = [
        [None, *keys.cast(schema.field(0).type).to_pylist()],
        [None, *(None if one is None else msgspec.msgpack.encode(one) for one in missed)],
        [told, *([None] * len(missed))],
    ]
    arrays = [pa.array(one, field.type) for one, field in zip(columns, schema, strict=True)]
    return pa.table(arrays, schema=schema)
