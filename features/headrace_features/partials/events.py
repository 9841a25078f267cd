"""Blocks of events: from Arrow tables, and their encoding.

A block is written by columns, since that is read several times faster than rows are: the times
(the first, then the distance of each to the one before it), the dedup keys, when each event could
first be known (its distance to the event's time; null if there is none), and the columns of values.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, chain, pairwise
from operator import add
from typing import TYPE_CHECKING, Any

import msgspec

from headrace_features.partials.encoding import ENCODING_VERSION, pack, unpack
from headrace_features.partials.kinds import EventBlock
from headrace_features.partials.plan import PartialPlan
from headrace_schemas.errors import UnsupportedError

if TYPE_CHECKING:
    import pyarrow as pa

    from headrace_features.definitions.views import FeatureView

_DECODER = msgspec.msgpack.Decoder(
    tuple[int, tuple[list[int], msgspec.Raw, list[int] | None, list[list[Any]]]]
)


def encode_events(block: EventBlock) -> bytes:
    """A block of events as versioned msgpack."""
    times = block.times
    distances = [times[0], *(after - before for before, after in pairwise(times))] if times else []
    delays = None
    if block.availables is not None and block.availables != times:
        delays = [known - time for known, time in zip(block.availables, times, strict=True)]
    return pack([distances, block.dedups, delays, block.columns])


def decode_events(data: bytes) -> EventBlock:
    """The events of a block.

    Raises:
        UnsupportedError: it was written in another version of the encoding.
    """
    try:
        version, (distances, dedups, delays, columns) = _DECODER.decode(data)
    except msgspec.ValidationError as error:
        # Another version may have another form.
        unpack(data)
        raise UnsupportedError(f"a block of events can't be read: {error}") from error
    if version != ENCODING_VERSION:
        unpack(data)
    times = list(accumulate(distances))
    return EventBlock(times, dedups, delays and list(map(add, times, delays)), columns)


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
    availables = table[source.available_at].to_pylist() if source.available_at else None
    columns = [table[name].to_pylist() for name in plan.columns]
    return EventBlock(times, dedups, availables, columns)


def part(block: EventBlock, start: int, stop: int) -> EventBlock:
    """The events at the places from `start` to before `stop`."""
    return EventBlock(
        block.times[start:stop],
        block.dedups[start:stop],
        None if block.availables is None else block.availables[start:stop],
        [column[start:stop] for column in block.columns],
    )


def in_order(block: EventBlock) -> EventBlock:
    """The events in the order of (time, dedup key), in whatever order they come."""
    keys = list(zip(block.times, block.dedups, strict=True))
    places = sorted(range(len(keys)), key=keys.__getitem__)
    return block if places == list(range(len(keys))) else block.chosen(places)


def joined(blocks: Sequence[EventBlock]) -> EventBlock:
    """The events of blocks of which each lies before the next."""
    late = any(block.availables is not None for block in blocks)
    return EventBlock(
        list(chain.from_iterable(block.times for block in blocks)),
        list(chain.from_iterable(block.dedups for block in blocks)),
        list(chain.from_iterable(block.availables or block.times for block in blocks))
        if late
        else None,
        [
            list(chain.from_iterable(columns))
            for columns in zip(*(block.columns for block in blocks), strict=True)
        ],
    )
