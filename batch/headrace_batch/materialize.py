"""From the events of a view to a generation of its batch layer in the online store.

What has come into the lake becomes tiles, and these come into the state that there is. Where there
is none, or it was made of other tiles, it is built anew of them all.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from time import perf_counter
from typing import TYPE_CHECKING, Protocol

from headrace_batch.backfill_rows import day_of
from headrace_batch.days import begins_ms, known_until_ms, newest_event_ms, whole_until
from headrace_batch.healing import Healing
from headrace_batch.history_increment import Held
from headrace_batch.layer_writer import Filled, Layer
from headrace_batch.leased import begin, renewed
from headrace_batch.lineage import layer_outcome, layer_work
from headrace_batch.local_spill import workspace_of
from headrace_batch.materialize_local import InProcess
from headrace_batch.provenance import taken_for
from headrace_batch.quality.standing_gates import before_layer
from headrace_batch.tile_table import TileTable
from headrace_batch.warehouse import Warehouse
from headrace_features.engines import MaterializeReport, Missed, nothing_missed
from headrace_features.lineage.recording import recorded
from headrace_features.online.layers import Generation, Had, Layers
from headrace_features.online.served import view_key
from headrace_features.online.store import layers_of
from headrace_features.online.stores import open_store
from headrace_features.online.versions import read_versions
from headrace_features.state.layout import AS_OF_RETENTION_MS
from headrace_schemas.errors import ConfigurationError, RetryableError

if TYPE_CHECKING:
    from headrace_batch.event_files import EventFiles
    from headrace_batch.tile_intake import Intake
    from headrace_features.definitions.views import FeatureView
    from headrace_features.online.store import StateStore
    from headrace_schemas.settings import Settings


class Maker(Protocol):
    """Makes tiles of events, and fields of tiles."""

    def require_reach(self, store: StateStore) -> None:
        """See that all who write fields reach the store.

        Raises:
            ConfigurationError: they don't.
        """

    def rows_at_once(self) -> int:
        """See `headrace_batch.tile_table.Tiler`."""

    def take_in(
        self, tiles: TileTable, bronze: EventFiles, came: Intake, advance: Callable[[int], None]
    ) -> int:
        """See `headrace_batch.tile_table.Tiler`."""

    def fill(self, layer: Layer, tiles: TileTable, advance: Callable[[int], None]) -> Filled:
        """Write all that differs from the generation before, or all that there is.

        Args:
            layer: the generation, which nobody else writes.
            tiles: what it is made of.
            advance: takes the number of events done so far.
        """


def materialize_view(  # noqa: PLR0913 - all but four have defaults and are named
    settings: Settings,
    view: FeatureView,
    last: date,
    advance: Callable[[int], None],
    *,
    maker: Maker | None = None,
    streamed: bool = False,
    missed: Callable[[int], Mapping[bytes, Missed]] = nothing_missed,
) -> MaterializeReport:
    """Bring the batch layer up to the end of a day; readers see it when it is whole.

    A layer that is further already stays where it is, and gets what has come into the lake since.

    Args:
        settings: where tables and online store are.
        view: the definition.
        last: the last day to hold, UTC.
        advance: takes the number of events done so far.
        maker: makes the tiles and the fields; None is this process.
        streamed: whether events of the newest day there is may be on their way in a stream.
        missed: by entity what the stream's state lacks since a time, ms UTC.

    Raises:
        RetryableError: another process materializes the view, or has taken over.
        GateError: a day doesn't pass its gate: readers keep what they have.
    """
    work = layer_work(settings, view)
    with recorded(settings, [work]) as runs:
        report = _materialize(
            settings, view, last, advance, maker=maker, streamed=streamed, missed=missed
        )
        runs.end(work.job, lambda: layer_outcome(settings, view))
    return report


def _materialize(  # noqa: PLR0913 - see `materialize_view`
    settings: Settings,
    view: FeatureView,
    last: date,
    advance: Callable[[int], None],
    *,
    maker: Maker | None,
    streamed: bool,
    missed: Callable[[int], Mapping[bytes, Missed]],
) -> MaterializeReport:
    began = perf_counter()
    store = open_store(settings)
    maker = maker or InProcess(workspace_of(settings.home))
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
    warehouse = Warehouse.of(settings)
    tiles = TileTable(warehouse, view)
    maker.require_reach(store)
    gates = before_layer(settings, view, _seen(warehouse, view, held))
    until = day_of(boundary_ms) - timedelta(1)
    gates.require(until)
    above = tiles.taken.generation if tiles.taken else 0
    goes_on = _goes_on(held, tiles)
    generation = begin(store, view_key(view), boundary_ms, goes_on=goes_on, above=above)
    layers = _unchanged(store, view, held)
    with renewed(store, generation):
        tiled = tiles.update(until, known_ms, generation.id, maker, advance)
    if goes_on and not _goes_on(held, tiles):
        # The lake's events are not those that there were: neither is what was made of them.
        goes_on = False
        generation = begin(store, view_key(view), boundary_ms, goes_on=False, above=generation.id)
    had = _had(settings, view, generation, tiles, lacking, read_ms=read_ms, known_ms=known_ms)
    healing = None
    if goes_on and held is not None:
        after = layers.with_batch(generation, had)
        lacked = missed(held.boundary_ms) if streamed else {}
        healing = Healing(view, layers, after, lacked)
    layer = Layer(view, store, generation, healing)
    with renewed(store, generation):
        filled = maker.fill(layer, tiles, lambda done: advance(tiled + done))
        if healing is not None and _is_served(store, view):
            healing.record(warehouse, store, generation, read_ms)
    gates.require(until, tiles.seen)
    store.publish(generation, had)
    return MaterializeReport(
        view=view.name,
        version=view.version,
        boundary=datetime.fromtimestamp(boundary_ms // 1000, UTC),
        anew=not goes_on,
        entities=filled.entities,
        events=filled.events,
        tiled=tiled,
        fields=filled.fields,
        seconds=perf_counter() - began,
    )


def _seen(warehouse: Warehouse, view: FeatureView, held: Generation | None) -> Held | None:
    """The events that readers have: tiles may have some that were never judged."""
    taken = None if held is None else taken_for(warehouse, view, held)
    return None if taken is None else Held(taken.source, taken.version, taken.until)


def _is_served(store: StateStore, view: FeatureView) -> bool:
    """Whether readers get a view from its namespace: what nobody read wasn't off for anybody."""
    _, versions = read_versions(store)
    return versions.serving == view.namespace


def _unchanged(store: StateStore, view: FeatureView, held: Generation | None) -> Layers:
    """The layers that readers have, which nobody can move on now.

    Raises:
        RetryableError: somebody has since they were looked at.
    """
    layers = layers_of(store, [view_key(view)])[view_key(view)]
    if (layers.batch and layers.batch.id) != (held and held.id):
        raise RetryableError(
            f"another process has materialized {view.name} just now", hint="run it again if needed"
        )
    return layers


def _had(  # noqa: PLR0913 - what it is told from
    settings: Settings,
    view: FeatureView,
    generation: Generation,
    tiles: TileTable,
    lacking_ms: int | None,
    *,
    read_ms: int,
    known_ms: int | None,
) -> Had:
    """What a generation has once it is filled."""
    had = Had.until(generation, read_ms)
    if read_ms < generation.boundary_ms:
        # Of a day that isn't over nobody knows whether all of it has come into the table.
        newest_ms = newest_event_ms(settings, view.source)
        had = had._replace(whole_ms=min(had.whole_ms, newest_ms + 1))
    if lacking_ms is not None:
        had = had._replace(whole_ms=min(had.whole_ms, lacking_ms))
    taken = tiles.taken
    if taken is None:
        return had
    return had._replace(
        known_ms=None if known_ms is None else taken.known_ms, tiles=taken.generation
    )


def _goes_on(held: Generation | None, tiles: TileTable) -> bool:
    """Whether a layer was made of the tiles that there are, or of some of them."""
    taken = tiles.taken
    return held is not None and taken is not None and taken.anew <= held.tiles


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
