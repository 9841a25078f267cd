"""What tests of online stores do with any of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headrace_features.online.layers import ALWAYS_MS, NEVER_MS, NO_LAYERS, Had, Layers
from headrace_features.online.store import Change, Progress, Row, StateStore, Wanted, Written
from headrace_features.state.read import Found

Fields = Mapping[str, bytes]


def publish(
    store: StateStore, view: str, entities: Mapping[bytes, Fields], boundary_ms: int
) -> None:
    """A generation with some fields."""
    generation = store.begin(view, boundary_ms)
    rows = [Row(key, name, value) for key, held in entities.items() for name, value in held.items()]
    store.write(generation, rows)
    store.publish(generation, Had.until(generation, boundary_ms + 1))


def make_whole(store: StateStore, view: str, *, since_ms: int = ALWAYS_MS, epoch: int = 1) -> None:
    """Let the stream layer have all events since a time, whenever they are sent."""
    store.covers(view, epoch, since_ms)
    store.caught_up({view: epoch}, NEVER_MS)


def layers_of(store: StateStore, view: str) -> Layers:
    """What readers see of a view."""
    return store.read({view: NO_LAYERS}, ()).layers[view]


def found_of(
    store: StateStore, view: str, entity: bytes, fields: Sequence[str] | None = None
) -> Found:
    """The fields of an entity."""
    known = {view: layers_of(store, view)}
    reading = store.read(known, [Wanted(view, [entity], fields)])
    assert reading.layers == known
    assert reading.found is not None
    return reading.found[0][0]


def batch_of(store: StateStore, view: str, entity: bytes) -> Fields:
    """The fields of an entity's batch layer."""
    return found_of(store, view, entity).batch


def stream_of(store: StateStore, view: str, entity: bytes) -> Fields:
    """The fields of an entity's stream layer."""
    return found_of(store, view, entity).stream


def change(  # noqa: PLR0913 - what a change has
    field: str,
    epoch: int,
    sequence: int,
    content: bytes,
    *,
    view: str = "view",
    entity: str = "card",
) -> Change:
    """A changed field, of an event whose time is its number."""
    return Change(view, entity.encode(), field, epoch, sequence, sequence, content)


def apply(
    store: StateStore,
    *changes: Change,
    partition: int = 0,
    upto: int | None = None,
    held: int | None = None,
    now_ms: int = 7,
) -> Written:
    """Write as the writer of one partition that knows how far it has come."""
    before = store.progress().get(partition)
    found = -1 if before is None else before.next_offset
    end = max(found, 0) + len(changes) if upto is None else upto
    return store.apply(
        changes,
        {partition: Progress(end, now_ms)},
        {partition: found if held is None else held},
        now_ms,
    )
