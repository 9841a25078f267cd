"""Events of a view as partials take them in, from Arrow tables or plain rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from headrace_features.partials.encoding import pack, unpack
from headrace_features.partials.kinds import Event
from headrace_features.partials.plan import PartialPlan

if TYPE_CHECKING:
    import pyarrow as pa

    from headrace_features.definitions.views import FeatureView


def encode_events(events: list[Event]) -> bytes:
    """A block of raw events as versioned msgpack."""
    return pack(events)


def decode_events(data: bytes) -> list[Event]:
    """The raw events of a block.

    Raises:
        UnsupportedError: it was written in another version of the encoding.
    """
    return [
        Event(time_ms, dedup, available_ms, tuple(values))
        for time_ms, dedup, available_ms, values in unpack(data)
    ]


def events_of(view: FeatureView, plan: PartialPlan, table: pa.Table) -> Iterator[Event]:
    """The events of a table that has the view's columns, derived ones included."""
    source = view.source
    time_ms = table[source.event_time].to_pylist()
    available = table[source.available_at].to_pylist() if source.available_at else time_ms
    dedup = table[source.dedup_key].to_pylist()
    columns: list[list[Any]] = [table[name].to_pylist() for name in plan.columns]
    values = zip(*columns, strict=True) if columns else iter(lambda: (), None)
    for ms, key, known_ms, row in zip(time_ms, dedup, available, values, strict=False):
        yield Event(ms, key.encode(), known_ms, row)
