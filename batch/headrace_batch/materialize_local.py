"""A materialization in this process: tiles and fields of one slice of entities after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from headrace_batch.key_ranges import KeyRanges
from headrace_batch.layer_writer import Filled, Layer, LayerWriter
from headrace_batch.local_spill import Workspace, entity_parts
from headrace_batch.tile_rows import event_schema, rows_of, tile_schema
from headrace_features.kernel.prepare import ARROW_TYPES, apply_expressions

if TYPE_CHECKING:
    from headrace_batch.event_files import EventFiles
    from headrace_batch.tile_intake import Intake, Some, Step
    from headrace_batch.tile_table import TileTable
    from headrace_features.definitions.views import FeatureView
    from headrace_features.online.store import StateStore

_ROWS_AT_ONCE = 1 << 16


class InProcess:
    """Makes tiles and fields in this process; see `headrace_batch.materialize.Maker`."""

    def __init__(self, workspace: Workspace) -> None:
        """Take the place where events wait."""
        self._workspace = workspace

    def require_reach(self, store: StateStore) -> None:
        """Whatever the settings name is reached from here."""

    def rows_at_once(self) -> int:
        """As many events as may be in memory come into the tiles in one commit."""
        return self._workspace.rows

    def take_in(
        self,
        tiles: TileTable,
        bronze: EventFiles,
        came: Intake,
        advance: Callable[[int], None],
    ) -> int:
        """Put the tiles of what has come into their table, a commit for each step."""
        done = 0
        for step in came.steps:
            done += self._append(tiles, bronze, step)
            advance(done)
        return done

    def _append(self, tiles: TileTable, bronze: EventFiles, step: Step) -> int:
        """Put events in, in one commit; returns how many."""
        view, count = tiles.view, 0
        parts = self._workspace.parts(sum(file.rows for some in step.wanted for file in some.files))

        def batches() -> Iterator[pa.RecordBatch]:
            nonlocal count
            with self._workspace.spill(parts, event_schema(view)) as waiting:
                for some in step.wanted:
                    for read in _read(view, bronze, some):
                        count += len(read)
                        waiting.add(read, entity_parts(read[view.entity.join_key], parts))
                for part in range(parts):
                    rows = rows_of(view, waiting.take(part), step.taken.generation)
                    yield from rows.to_batches(max_chunksize=_ROWS_AT_ONCE)

        tiles.append(pa.RecordBatchReader.from_batches(tile_schema(view), batches()), step.taken)
        return count

    def fill(self, layer: Layer, tiles: TileTable, advance: Callable[[int], None]) -> Filled:
        """Write all that differs from the generation before, or all that there is."""
        healing = layer.healing
        writer = LayerWriter(layer.store, layer.generation, layer.view, advance)
        if healing is None:
            for events in self._parts(tiles, layer.all.expression):
                writer.build(events)
            return writer.filled
        for events, left in self._changed(tiles, layer):
            writer.go_on(events, left, healing)
        if writer.lost:
            late = healing.late_among(writer.lost)
            kind = event_schema(layer.view).field(layer.view.entity.join_key).type
            names = pa.array([entity.decode() for entity in writer.lost], pa.string()).cast(kind)
            lost = pc.field(layer.view.entity.join_key).isin(names)
            for events in self._parts(tiles, layer.all.expression & lost):
                writer.rebuild(events, late, healing)
        return writer.filled

    def _parts(self, tiles: TileTable, where: pc.Expression) -> Iterator[pa.Table]:
        """The events of tiles, all those of an entity together."""
        ranges, key = self._ranges(tiles, where), tiles.view.entity.join_key
        with self._workspace.spill(ranges.parts, event_schema(tiles.view)) as waiting:
            for read in tiles.events(where):
                waiting.add(read, ranges.of_keys(read[key]))
            for part in range(ranges.parts):
                yield waiting.take(part)

    def _ranges(self, tiles: TileTable, where: pc.Expression) -> KeyRanges:
        """The order in which a store keeps entities, in parts that memory holds."""
        return KeyRanges.of(tiles.counts(where), self._workspace.rows)

    def _changed(
        self, tiles: TileTable, layer: Layer
    ) -> Iterator[tuple[pa.Table, list[str | int]]]:
        """The events that come in, and the entities without such of which some have left."""
        where, left = layer.came.expression, layer.left
        ranges, key = self._ranges(tiles, where), layer.view.entity.join_key
        schema = event_schema(layer.view)
        keys = pa.schema([schema.field(key)])
        with (
            self._workspace.spill(ranges.parts, schema) as waiting,
            self._workspace.spill(ranges.parts, keys) as leaving,
        ):
            for read in tiles.events(where):
                waiting.add(read, ranges.of_keys(read[key]))
            for read in tiles.keys(left.expression) if left is not None else ():
                leaving.add(read.select([key]), ranges.of_keys(read[key]))
            for part in range(ranges.parts):
                events = waiting.take(part)
                yield events, without(leaving.take(part)[key], events[key])


def without(keys: pa.ChunkedArray, others: pa.ChunkedArray) -> list[str | int]:
    """The keys, each once, that are not among others."""
    distinct = pc.unique(keys)
    found = pc.is_in(distinct, value_set=pc.unique(others))
    rest: list[str | int] = distinct.filter(pc.invert(found)).to_pylist()
    return rest


def _read(view: FeatureView, bronze: EventFiles, some: Some) -> Iterator[pa.Table]:
    schema = pa.schema(
        [(name, ARROW_TYPES[view.source.column(name).type]) for name in view.input_columns]
    )
    where = None if some.known is None else some.known.expression
    for read in bronze.read(some.files, schema, where):
        yield apply_expressions(view, read).select(event_schema(view).names)
