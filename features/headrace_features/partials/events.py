"""Blocks of events: from Arrow tables, and their encoding.

A block is written by columns, since that is read many times faster than rows are: the first time,
how much later each event was, the dedup keys, how much later each could be known than it was (null
if none was), and the columns of values. Numbers are packed.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from headrace_features.partials.blocks import EventBlock
from headrace_features.partials.encoding import ENCODING_VERSION, pack, unpack
from headrace_features.partials.packed import pack_column, pack_integers, unpack_column
from headrace_features.partials.plan import PartialPlan
from headrace_schemas.errors import UnsupportedError

if TYPE_CHECKING:
    import pyarrow as pa

    from headrace_features.definitions.views import FeatureView


class EncodedEvents(NamedTuple):
    """A block as it is written: numbers packed, or columns as they are."""

    base_ms: int
    offsets_ms: bytes
    dedups: msgspec.Raw
    delays_ms: bytes | None
    columns: list[Any]


_DECODER = msgspec.msgpack.Decoder(tuple[int, EncodedEvents])


def encode_events(block: EventBlock) -> bytes:
    """A block of events as versioned msgpack."""
    times = block.times
    base_ms = times[0] if times else 0
    delays = None
    if block.delays_ms is not None and any(block.delays_ms):
        delays = pack_integers(block.delays_ms)
    offsets = pack_integers([time_ms - base_ms for time_ms in times])
    return pack([base_ms, offsets, block.dedups, delays, list(map(pack_column, block.columns))])


def read_events(data: bytes) -> EncodedEvents:
    """What a block is made of.

    Raises:
        UnsupportedError: it was written in another version of the encoding.
    """
    try:
        version, events = _DECODER.decode(data)
    except msgspec.ValidationError as error:
        # Another version may have another form.
        unpack(data)
        raise UnsupportedError(f"a block of events can't be read: {error}") from error
    if version != ENCODING_VERSION:
        unpack(data)
    return events


def decode_events(data: bytes) -> EventBlock:
    """The events of a block.

    Raises:
        UnsupportedError: it was written in another version of the encoding.
    """
    base_ms, offsets, dedups, delays, columns = read_events(data)
    return EventBlock(
        unpack_column(offsets),
        dedups,
        None if delays is None else unpack_column(delays),
        list(map(unpack_column, columns)),
        base_ms,
    )


def block_of(view: FeatureView, plan: PartialPlan, table: pa.Table) -> EventBlock:
    """The events of a table that has the view's columns, derived ones included.

    Args:
        view: whose events they are.
        plan: the partials of the view.
        table: rows of one entity, or of several, in the order of time.
    """
    source = view.source
    times = table[source.event_time].to_pylist()
    dedups = [key.encode() for key in table[source.dedup_key].to_pylist()]
    delays_ms = None
    if source.available_at:
        known = table[source.available_at].to_pylist()
        delays_ms = [known_ms - time_ms for known_ms, time_ms in zip(known, times, strict=True)]
    columns = [table[name].to_pylist() for name in plan.columns]
    return EventBlock(times, dedups, delays_ms, columns)


def in_order(block: EventBlock) -> EventBlock:
    """The events in the order of (time, dedup key), in whatever order they come."""
    keys = list(zip(block.times, block.dedups, strict=True))
    places = sorted(range(len(keys)), key=keys.__getitem__)
    return block if places == list(range(len(keys))) else block.chosen(places)


def merged(blocks: Sequence[EventBlock]) -> EventBlock:
    """The events of some blocks, of which at least one is given, in order."""
    some = [block for block in blocks if len(block)] or blocks[:1]
    if len(some) == 1:
        return some[0]
    apart = all(one.times[-1] < other.times[0] for one, other in pairwise(some))
    return joined(some) if apart else in_order(joined(some))


def joined(blocks: Sequence[EventBlock]) -> EventBlock:
    """The events of blocks of which each lies before the next."""
    delays_ms: list[int] | None = None
    if any(block.delays_ms is not None for block in blocks):
        delays_ms = [ms for block in blocks for ms in block.delays_ms or [0] * len(block)]
    return EventBlock(
        [time_ms for block in blocks for time_ms in block.times],
        [dedup for block in blocks for dedup in block.dedups],
        delays_ms,
        [
            [value for column in columns for value in column]
            for columns in zip(*[block.columns for block in blocks], strict=True)
        ],
    )
