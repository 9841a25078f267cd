"""From the events of a view to a generation of its batch layer in the online store.

What has come into the lake becomes tiles, and these come into the state that there is. Where there
is none, or it was made of other tiles, it is built anew of them all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from time import perf_counter
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from headrace_batch.backfill_rows import day_of
from headrace_batch.days import begins_ms, known_until_ms, newest_event_ms, whole_until
from headrace_batch.layer_fields import LayerFields, Made
from headrace_batch.leased import begin, renewed
from headrace_batch.local_engine import PART_ROWS
from headrace_batch.local_spill import Workspace, entity_parts
from headrace_batch.tile_rows import event_schema
from headrace_batch.tile_table import TileTable, of_days, since_generation
from headrace_batch.warehouse import Warehouse
from headrace_features.online.layers import Generation, Had
from headrace_features.online.serving import view_key
from headrace_features.online.store import Row, layers_of
from headrace_features.online.stores import open_store
from headrace_features.state.layout import AS_OF_RETENTION_MS
from headrace_schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from headrace_features.definitions.views import FeatureView
    from headrace_features.online.store import StateStore
    from headrace_schemas.settings import Settings


@dataclass(frozen=True, slots=True)
class MaterializeReport:
    """What a materialization wrote.

    Attributes:
        boundary: the layer holds the events before it.
        anew: whether it was built of all tiles; else of what came since the one before it.
        entities: of how many something was written.
        events: how many came into the layer.
        tiled: how many came from the lake into the tiles.
        fields: how many were written.
    """

    view: str
    version: int
    boundary: datetime
    anew: bool
    entities: int
    events: int
    tiled: int
    fields: int
    seconds: float


def materialize_view(
    settings: Settings,
    view: FeatureView,
    last: date,
    advance: Callable[[int], None],
    *,
    streamed: bool = False,
) -> MaterializeReport:
    """Bring the batch layer up to the end of a day; readers see it when it is whole.

    A layer that is further already stays where it is, and gets what has come into the lake since.

    Args:
        settings: where tables and online store are.
        view: the definition.
        last: the last day to hold, UTC.
        advance: takes the number of events done so far.
        streamed: whether events of the newest day there is may be on their way in a stream.

    Raises:
        RetryableError: another process materializes the view, or has taken over.
    """
    began = perf_counter()
    store = open_store(settings)
    boundary_ms = begins_ms(last + timedelta(days=1))
    lacking = _lacking_ms(settings, view, boundary_ms, streamed=streamed)
    held = layers_of(store, [view_key(view)])[view_key(view)].batch
    if lacking is not None:
        boundary_ms = _nearer_ms(held, boundary_ms, lacking, streamed=streamed)
    if held is not None:
        boundary_ms = max(boundary_ms, held.boundary_ms)
    known_ms = _known_ms(settings, view, streamed=streamed)
    # Before the table is opened: what comes into it from now on is not in the layer.
    read_ms = time.time_ns() // 1_000_000
    workspace = Workspace(PART_ROWS, settings.home / "scratch")
    tiles = TileTable(Warehouse.of(settings), view)
    above = tiles.taken.generation if tiles.taken else 0
    goes_on = _goes_on(held, tiles)
    generation = begin(store, view_key(view), boundary_ms, goes_on=goes_on, above=above)
    with renewed(store, generation):
        until = day_of(boundary_ms) - timedelta(1)
        tiled = tiles.update(until, known_ms, generation.id, workspace, advance)
    if goes_on and not _goes_on(held, tiles):
        # The lake's events are not those that there were: neither is what was made of them.
        goes_on = False
        generation = begin(store, view_key(view), boundary_ms, goes_on=False, above=generation.id)
    filling = _Filling(store, generation, held if goes_on else None, tiles, workspace, view)
    with renewed(store, generation):
        filling.fill(lambda done: advance(tiled + done))
    taken = tiles.taken
    had = Had.until(generation, read_ms)
    if read_ms < boundary_ms:
        # Of a day that isn't over nobody knows whether all of it has come into the table.
        newest_ms = newest_event_ms(settings, view.source)
        had = had._replace(whole_ms=min(had.whole_ms, newest_ms + 1))
    if lacking is not None:
        had = had._replace(whole_ms=min(had.whole_ms, lacking))
    if taken is not None:
        if known_ms is not None:
            known_ms = taken.known_ms
        had = had._replace(tiles=taken.generation)
    store.publish(generation, had._replace(known_ms=known_ms))
    return MaterializeReport(
        view=view.name,
        version=view.version,
        boundary=datetime.fromtimestamp(boundary_ms // 1000, UTC),
        anew=not goes_on,
        entities=filling.entities,
        events=filling.events,
        tiled=tiled,
        fields=filling.fields,
        seconds=perf_counter() - began,
    )


def _goes_on(held: Generation | None, tiles: TileTable) -> bool:
    """Whether a layer was made of the tiles that there are, or of some of them."""
    taken = tiles.taken
    return held is not None and taken is not None and taken.anew <= held.tiles


class _Filling:
    """Writes the fields of a generation.

    Attributes:
        entities, events, fields: how many so far.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what it is made of
        self,
        store: StateStore,
        generation: Generation,
        before: Generation | None,
        tiles: TileTable,
        workspace: Workspace,
        view: FeatureView,
    ) -> None:
        self._store = store
        self._generation = generation
        self._before = before
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
        if self._before is None:
            where = of_days(first, end)
            for events in self._parts(where, self._tiles.count(where)):
                self._write(self._made.built(events), advance)
            return
        came = since_generation(self._before.tiles)
        came |= of_days(day_of(self._before.boundary_ms), end)
        where = of_days(first, end) & came
        lost: list[bytes] = []
        for events, left in self._changed(where, first):
            made = self._made.advanced(self._store, self._generation, events, lost)
            self._write(made, advance)
            self._write(self._made.left(self._store, self._generation, left), advance)
        if lost:
            self._write(self._rebuilt(lost, of_days(first, end)), advance)

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
        if first is None or self._before is None:
            return iter(())
        horizon_ms = LayerFields(self._view, self._before.boundary_ms).horizon_ms
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


def _known_ms(settings: Settings, view: FeatureView, *, streamed: bool) -> int | None:
    """Up to when the layer has what was known, and leaves the rest to the stream."""
    try:
        return known_until_ms(settings, view.source, streamed=streamed)
    except ConfigurationError:
        # All that was there was refused.
        return None


def _lacking_ms(
    settings: Settings, view: FeatureView, boundary_ms: int, *, streamed: bool
) -> int | None:
    """Since when the table lacks events from before the boundary; None if it does not."""
    try:
        until = whole_until(settings, view.source, streamed=streamed)
    except ConfigurationError:
        # All that was there was refused.
        return None
    if until is None or boundary_ms <= begins_ms(until):
        return None
    return begins_ms(until)


def _nearer_ms(
    held: Generation | None, boundary_ms: int, lacking_ms: int, *, streamed: bool
) -> int:
    """The boundary of a layer that lacks events from before the one that is wanted, ms UTC.

    Beside a stream it is where the layer is whole, as the stream has the rest; but not before the
    boundary that there is. Without one it isn't so far ahead that all since then were in the base.
    """
    if not streamed:
        return min(boundary_ms, lacking_ms + AS_OF_RETENTION_MS)
    return lacking_ms if held is None else min(boundary_ms, max(lacking_ms, held.boundary_ms))
