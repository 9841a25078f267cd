"""Writes the fields of a generation: of all tiles, or of those that came since the one before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from headrace_batch.backfill_rows import day_of
from headrace_batch.layer_fields import LayerFields, Made
from headrace_batch.local_spill import Workspace, entity_parts
from headrace_batch.tile_rows import event_schema
from headrace_batch.tile_table import TileTable, of_days, since_generation
from headrace_features.online.store import Row

if TYPE_CHECKING:
    from headrace_batch.healing import Healing
    from headrace_features.definitions.views import FeatureView
    from headrace_features.online.layers import Generation
    from headrace_features.online.store import StateStore


class Filling:
    """Writes the fields of a generation.

    Attributes:
        entities, events, fields: how many so far.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what it is made of
        self,
        store: StateStore,
        generation: Generation,
        tiles: TileTable,
        workspace: Workspace,
        view: FeatureView,
        healing: Healing | None,
    ) -> None:
        """Take what is needed.

        Args:
            store: the online store.
            generation: the one that is being built.
            tiles: what it is made of.
            workspace: where events wait.
            view: whose layer it is.
            healing: accounts for what was late, where it goes on from another one.
        """
        self._store = store
        self._generation = generation
        self._healing = healing
        self._tiles = tiles
        self._workspace = workspace
        self._view = view
        self._key = view.entity.join_key
        self._made = LayerFields(view, generation.boundary_ms)
        self.entities = self.events = self.fields = 0

    def fill(self, advance: Callable[[int], None]) -> None:
        """Write all that differs from the generation before, or all that there is."""
        horizon_ms = self._made.horizon_ms
        first = None if horizon_ms is None else day_of(horizon_ms)
        end = day_of(self._generation.boundary_ms)
        if self._healing is None:
            where = of_days(first, end)
            for events in self._parts(where, self._tiles.count(where)):
                self._write(self._made.built(events), advance)
            return
        self._go_on(self._healing, first, end, advance)

    def _go_on(
        self, healing: Healing, first: date | None, end: date, advance: Callable[[int], None]
    ) -> None:
        before = healing.before
        came = since_generation(before.tiles) | of_days(day_of(before.boundary_ms), end)
        where = of_days(first, end) & came
        lost: list[bytes] = []
        for events, left in self._changed(where, first):
            healing.expect(events)
            made = self._made.advanced(self._store, self._generation, events, lost)
            self._write(healing.watched(made), advance)
            healing.account(self._store)
            self._write(self._made.left(self._store, self._generation, left), advance)
        if lost:
            healing.expect_again(lost)
            self._write(healing.watched(self._rebuilt(lost, of_days(first, end))), advance)
            healing.account(self._store)

    def _write(self, made: Iterator[Made], advance: Callable[[int], None]) -> None:
        for rows, entities, events in made:
            self.fields += self._store.write(self._generation, rows)
            self.entities += entities
            self.events += events
            advance(self.events)

    def _parts(self, where: pc.Expression, count: int) -> Iterator[pa.Table]:
        """The events of tiles, all those of an entity together."""
        parts = self._workspace.parts(count)
        with self._workspace.spill(parts, event_schema(self._view)) as waiting:
            for read in self._tiles.events(where):
                waiting.add(read, entity_parts(read[self._key], parts))
            for part in range(parts):
                yield waiting.take(part)

    def _changed(
        self, where: pc.Expression, first: date | None
    ) -> Iterator[tuple[pa.Table, list[str | int]]]:
        """The events that come in, and the entities without such of which some have left."""
        parts = self._workspace.parts(self._tiles.count(where))
        schema = event_schema(self._view)
        keys = pa.schema([schema.field(self._key)])
        with (
            self._workspace.spill(parts, schema) as waiting,
            self._workspace.spill(parts, keys) as leaving,
        ):
            for read in self._tiles.events(where):
                waiting.add(read, entity_parts(read[self._key], parts))
            for read in self._left(first):
                leaving.add(read.select([self._key]), entity_parts(read[self._key], parts))
            for part in range(parts):
                events = waiting.take(part)
                left = pc.unique(leaving.take(part)[self._key])
                staying = pc.is_in(left, value_set=pc.unique(events[self._key]))
                yield events, left.filter(pc.invert(staying)).to_pylist()

    def _left(self, first: date | None) -> Iterator[pa.Table]:
        """The entities that had events on the days which no window reaches any more."""
        if first is None or self._healing is None:
            return iter(())
        horizon_ms = LayerFields(self._view, self._healing.before.boundary_ms).horizon_ms
        before = None if horizon_ms is None else day_of(horizon_ms)
        return self._tiles.keys(of_days(before, first))

    def _rebuilt(self, lost: list[bytes], where: pc.Expression) -> Iterator[Made]:
        """The fields of entities that are built anew of all their events."""
        kind = event_schema(self._view).field(self._key).type
        names = pa.array([entity.decode() for entity in lost], pa.string()).cast(kind)
        chosen = where & pc.field(self._key).isin(names)
        for events in self._parts(chosen, self._tiles.count(chosen)):
            for rows, entities, count in self._made.built(events):
                held: dict[bytes, set[str]] = {}
                for row in rows:
                    held.setdefault(row.entity, set()).add(row.field)
                kept = self._store.kept(self._generation, [(entity, None) for entity in held])
                gone = [
                    Row(entity, name, b"")
                    for (entity, fields), before in zip(held.items(), kept, strict=True)
                    for name in before.keys() - fields
                ]
                yield Made([*rows, *gone], entities, count)
