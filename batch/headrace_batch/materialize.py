"""From the events of a view to a generation of its batch layer in the online store."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace_batch.days import begins_ms, known_until_ms, newest_event_ms, whole_until
from headrace_batch.local_engine import PART_ROWS
from headrace_batch.local_events import Events, Span
from headrace_batch.local_spill import Workspace, entity_parts
from headrace_batch.warehouse import Warehouse
from headrace_features.kernel.columns import times
from headrace_features.kernel.prepare import apply_expressions, encode_keys
from headrace_features.kernel.sorting import order_by
from headrace_features.online.layers import Had
from headrace_features.online.serving import entity_key, view_key
from headrace_features.online.store import Row, layers_of
from headrace_features.online.stores import open_store
from headrace_features.partials.events import block_of, in_order
from headrace_features.partials.plan import plan_of
from headrace_features.state.build import build
from headrace_features.state.layout import AS_OF_RETENTION_MS, Layout, layout_of
from headrace_schemas.errors import ConfigurationError

if TYPE_CHECKING:
    from headrace_features.definitions.views import FeatureView
    from headrace_features.kernel.arrays import Ints
    from headrace_features.online.store import StateStore
    from headrace_schemas.settings import Settings

#: Fields written in one transaction: large enough to be fast, small enough for memory.
_FIELDS_PER_WRITE = 50_000
#: Events whose Python objects exist at once.
_EVENTS_PER_SLICE = 200_000


@dataclass(frozen=True, slots=True)
class MaterializeReport:
    """What a materialization wrote.

    Attributes:
        boundary: the layer holds the events before it.
    """

    view: str
    version: int
    boundary: datetime
    entities: int
    events: int
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
    """Write the state of every entity up to the end of a day; readers see it when it is whole.

    Args:
        settings: where tables and online store are.
        view: the definition.
        last: the last day to hold, UTC.
        advance: takes the number of events done so far.
        streamed: whether events of the newest day there is may be on their way in a stream.

    Raises:
        RetryableError: another materialization of the view has taken over.
        ConfigurationError: readers have a layer with a later boundary already.
    """
    began = perf_counter()
    store = open_store(settings)
    boundary_ms = begins_ms(last + timedelta(days=1))
    lacking = _lacking_ms(settings, view, boundary_ms, streamed=streamed)
    if lacking is not None:
        boundary_ms = _nearer_ms(store, view, boundary_ms, lacking, streamed=streamed)
    boundary = datetime.fromtimestamp(boundary_ms // 1000, UTC)
    known_ms = _known_ms(settings, view, streamed=streamed)
    layout = layout_of(view, boundary_ms, known_ms)
    # Before the table is opened: what comes into it from now on is not in the layer.
    read_ms = time.time_ns() // 1_000_000
    events = Events(Warehouse.of(settings), view.source)
    workspace = Workspace(PART_ROWS, settings.home / "scratch")
    generation = store.begin(view_key(view), boundary_ms)
    fields = entities = done = 0
    for part in _by_entity(view, layout, events, workspace):
        for rows, count, events_in in _batches(view, layout, part):
            fields += store.write(generation, rows)
            entities += count
            done += events_in
            advance(done)
    had = Had.until(generation, read_ms)
    if read_ms < boundary_ms:
        # Of a day that isn't over nobody knows whether all of it has come into the table.
        newest_ms = newest_event_ms(settings, view.source)
        had = had._replace(whole_ms=min(had.whole_ms, newest_ms + 1))
    if lacking is not None:
        had = had._replace(whole_ms=min(had.whole_ms, lacking))
    store.publish(generation, had._replace(known_ms=known_ms))
    return MaterializeReport(
        view.name, view.version, boundary, entities, done, fields, perf_counter() - began
    )


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
    store: StateStore, view: FeatureView, boundary_ms: int, lacking_ms: int, *, streamed: bool
) -> int:
    """The boundary of a layer that lacks events from before the one that is wanted, ms UTC.

    Beside a stream it is where the layer is whole, as the stream has the rest; but not before the
    boundary that there is. Without one it isn't so far ahead that all since then were in the base.
    """
    if not streamed:
        return min(boundary_ms, lacking_ms + AS_OF_RETENTION_MS)
    held = layers_of(store, [view_key(view)])[view_key(view)].batch
    return lacking_ms if held is None else min(boundary_ms, max(lacking_ms, held.boundary_ms))


def _by_entity(
    view: FeatureView, layout: Layout, events: Events, workspace: Workspace
) -> Iterator[pa.Table]:
    """The events that the layer needs, with derived columns, all those of an entity together."""
    first_ms = None if layout.unbounded else layout.horizon_ms
    span = Span(first_ms, layout.boundary_ms - 1)
    parts = workspace.parts(events.most(span))
    schema = pa.schema([events.schema.field(name) for name in view.input_columns])
    with workspace.spill(parts, schema) as waiting:
        for read in events.read(view.input_columns, span):
            known = _known(view, layout, read)
            waiting.add(known, entity_parts(known[view.entity.join_key], parts))
        for part in range(parts):
            yield apply_expressions(view, waiting.take(part))


def _known(view: FeatureView, layout: Layout, events: pa.Table) -> pa.Table:
    """Events without those that the layer leaves to the stream."""
    if layout.known_ms is None or view.source.available_at is None:
        return events
    return events.filter(pc.field(view.source.available_at) <= layout.known_ms)


def _batches(
    view: FeatureView, layout: Layout, events: pa.Table
) -> Iterator[tuple[list[Row], int, int]]:
    """Rows of fields for some entities at a time, with how many entities and events they hold."""
    plan = plan_of(view)
    codes = encode_keys(events[view.entity.join_key])
    order = order_by(codes, times(events[view.source.event_time]))
    ordered = codes[order]
    starts = (
        np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        if len(ordered)
        else np.empty(0, np.int64)
    )
    rows: list[Row] = []
    entities = counted = 0
    for first, last in _slices(starts, len(ordered)):
        table = events.take(pa.array(order[first:last]))
        keys = table[view.entity.join_key].to_pylist()
        block = block_of(view, plan, table)
        inside = (starts[(starts >= first) & (starts < last)] - first).tolist()
        for start, stop in zip(inside, [*inside[1:], last - first], strict=True):
            state = build(plan, layout, in_order(block.part(start, stop)))
            key = entity_key(keys[start])
            rows.extend(Row(key, name, value) for name, value in state.items())
            entities += 1
            counted += stop - start
            if len(rows) >= _FIELDS_PER_WRITE:
                yield rows, entities, counted
                rows, entities, counted = [], 0, 0
    if rows:
        yield rows, entities, counted


def _slices(starts: Ints, total: int) -> Iterator[tuple[int, int]]:
    """Ranges of whole entities with about as many events as may be held as objects."""
    first = 0
    while first < total:
        after = np.searchsorted(starts, first + _EVENTS_PER_SLICE)
        last = int(starts[after]) if after < len(starts) else total
        yield first, last
        first = last
