"""The fields of a batch layer: made of all events, or of what there is and what comes to it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cached_property, lru_cache
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace_batch.key_ranges import key_bytes
from headrace_features.definitions.durations import DAY_MS
from headrace_features.kernel.columns import times
from headrace_features.kernel.prepare import encode_keys
from headrace_features.kernel.sorting import order_by
from headrace_features.online.served import entity_key
from headrace_features.online.store import Row
from headrace_features.partials.events import block_of, in_order
from headrace_features.partials.plan import plan_of
from headrace_features.state.advance import Advance, first_fields, newest_day
from headrace_features.state.build import build
from headrace_features.state.layout import Layout, layout_of

if TYPE_CHECKING:
    from headrace_features.definitions.views import FeatureView
    from headrace_features.kernel.arrays import Ints
    from headrace_features.online.layers import Generation
    from headrace_features.online.store import StateStore
    from headrace_features.partials.blocks import EventBlock

_T = TypeVar("_T")
#: Fields written in one transaction: large enough to be fast, small enough for memory.
_FIELDS_PER_WRITE = 50_000
#: Events whose Python objects exist at once.
_EVENTS_PER_SLICE = 200_000
#: Entities whose fields are asked for at once.
_ENTITIES_PER_READ = 2_000


class Made(NamedTuple):
    """Fields of some entities.

    Attributes:
        rows: of all of them.
        entities: how many.
        events: how many of theirs are in the fields, and were not before.
    """

    rows: list[Row]
    entities: int
    events: int


class LayerFields:
    """Makes the fields of a view's batch layer."""

    def __init__(self, view: FeatureView, boundary_ms: int) -> None:
        self.view = view
        self.layout = layout_of(view, boundary_ms)
        self._plan = plan_of(view)
        self._first = first_fields(self.layout, is_late=view.source.available_at is not None)
        self._layouts = lru_cache(maxsize=4_096)(self._layout_for)

    def _layout_for(self, day: int) -> Layout:
        return layout_of(self.view, (day + 1) * DAY_MS)

    @cached_property
    def horizon_ms(self) -> int | None:
        """An entity without events since then has no state; None where all have."""
        return None if self.layout.unbounded else self.layout.horizon_ms

    def built(self, events: pa.Table) -> Iterator[Made]:
        """The fields of entities, of all their events that a layer needs."""
        return _by_writes(self._built(events))

    def _built(self, events: pa.Table) -> Iterator[tuple[list[Row], int]]:
        for entity, block in self._blocks(events):
            fields = build(self._plan, self._layouts(block.times[-1] // DAY_MS), block)
            yield [Row(entity, name, data) for name, data in fields.items()], len(block)

    def advanced(
        self, store: StateStore, generation: Generation, events: pa.Table, lost: list[bytes]
    ) -> Iterator[Made]:
        """The fields of entities that are others with some events.

        Args:
            store: has what they are now.
            generation: the one that is being built.
            events: those that are not in them.
            lost: takes the entities whose fields have to be built anew of all events.
        """
        return _by_writes(self._advanced(store, generation, events, lost))

    def _advanced(
        self, store: StateStore, generation: Generation, events: pa.Table, lost: list[bytes]
    ) -> Iterator[tuple[list[Row], int]]:
        for some in _some(self._blocks(events), _ENTITIES_PER_READ):
            held = store.kept(generation, [(entity, self._first) for entity, _ in some])
            begun = [
                (entity, Advance(self._plan, self._layouts, first, block), len(block))
                for (entity, block), first in zip(some, held, strict=True)
            ]
            lost += [entity for entity, advance, _ in begun if advance.is_lost]
            more = store.kept(generation, [(entity, one.needs) for entity, one, _ in begun])
            for (entity, advance, count), found in zip(begun, more, strict=True):
                if not advance.is_lost:
                    changes = advance.changes(found)
                    yield [Row(entity, name, data) for name, data in changes.items()], count

    def left(
        self, store: StateStore, generation: Generation, keys: Iterable[str | int]
    ) -> Iterator[Made]:
        """What becomes of entities without new events that had some on days which have left."""
        return _by_writes(self._left(store, generation, keys))

    def _left(
        self, store: StateStore, generation: Generation, keys: Iterable[str | int]
    ) -> Iterator[tuple[list[Row], int]]:
        horizon_ms = self.layout.horizon_ms
        for some in _some(map(entity_key, keys), _ENTITIES_PER_READ):
            held = store.kept(generation, [(entity, self._first) for entity in some])
            gone = [
                entity
                for entity, first in zip(some, held, strict=True)
                if first and (newest_day(first) + 1) * DAY_MS <= horizon_ms
            ]
            fields = store.kept(generation, [(entity, None) for entity in gone])
            for entity, names in zip(gone, fields, strict=True):
                yield [Row(entity, name, b"") for name in names], 0

    def _blocks(self, events: pa.Table) -> Iterator[tuple[bytes, EventBlock]]:
        """The entities of some events, in the order that a store keeps them, and their events."""
        view = self.view
        codes = _in_order_of_keys(events[view.entity.join_key])
        order = order_by(codes, times(events[view.source.event_time]))
        ordered = codes[order]
        starts = (
            np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
            if len(ordered)
            else np.empty(0, np.int64)
        )
        for first, last in _slices(starts, len(ordered)):
            table = events.take(pa.array(order[first:last]))
            keys = table[view.entity.join_key].to_pylist()
            block = block_of(view, self._plan, table)
            inside = (starts[(starts >= first) & (starts < last)] - first).tolist()
            for start, stop in zip(inside, [*inside[1:], last - first], strict=True):
                yield entity_key(keys[start]), in_order(block.part(start, stop))


def _in_order_of_keys(keys: pa.ChunkedArray) -> Ints:
    """Codes of keys, in the order of the bytes by which stores name them."""
    codes = encode_keys(keys)
    if not len(codes):
        return codes
    distinct = key_bytes(keys.unique())
    places = np.empty(len(distinct), np.int64)
    places[pc.sort_indices(distinct).to_numpy()] = np.arange(len(distinct))
    return places[codes]


def _some(items: Iterable[_T], count: int) -> Iterator[list[_T]]:
    """Some at a time."""
    left = iter(items)
    while some := list(islice(left, count)):
        yield some


def _by_writes(made: Iterable[tuple[list[Row], int]]) -> Iterator[Made]:
    """As many entities together as are written at once."""
    rows: list[Row] = []
    entities = events = 0
    for some, count in made:
        rows += some
        entities += bool(some)
        events += count
        if len(rows) >= _FIELDS_PER_WRITE:
            yield Made(rows, entities, events)
            rows, entities, events = [], 0, 0
    if rows or events:
        yield Made(rows, entities, events)


def _slices(starts: Ints, total: int) -> Iterator[tuple[int, int]]:
    """Ranges of whole entities with about as many events as may be held as objects."""
    first = 0
    while first < total:
        after = np.searchsorted(starts, first + _EVENTS_PER_SLICE)
        last = int(starts[after]) if after < len(starts) else total
        yield first, last
        first = last
