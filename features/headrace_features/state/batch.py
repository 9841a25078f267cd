"""The batch layer of an entity, read for one time: which fields a window needs, and its pieces."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar

from headrace_features.definitions.durations import DAY_MS, HOUR_MS
from headrace_features.partials import tiles
from headrace_features.partials.events import decode_events
from headrace_features.partials.kinds import EventBlock
from headrace_features.partials.plan import PartialPlan
from headrace_features.state.layout import ALL, BASE, BESIDE, DAYS, Layout
from headrace_features.state.pieces import Piece, Range, Whole, events_between

_T = TypeVar("_T")

#: First and last event time of a window.
Span = tuple[int, int]


def names(layout: Layout, spans: Iterable[Span]) -> set[str]:
    """The fields that windows need, where no event is left out of them.

    Of an entity that has `all` the tiles aren't needed.

    Args:
        layout: of the batch layer.
        spans: what the windows reach over.
    """
    found = {ALL, DAYS, BESIDE}
    if layout.unbounded:
        found.add(BASE)
    for span in spans:
        first_ms, last_ms = max(span[0], layout.horizon_ms), min(span[1], layout.boundary_ms - 1)
        if first_ms > last_ms:
            continue
        for edge_ms in (first_ms, last_ms + 1):
            if edge_ms % DAY_MS:
                day = edge_ms // DAY_MS
                found |= {f"r{day}", f"h{day}"}
                if edge_ms % HOUR_MS:
                    found.add(f"x{edge_ms // HOUR_MS}")
    return found


class BatchLayer:
    """What the batch layer has of one entity, as it is known at one time."""

    def __init__(
        self, plan: PartialPlan, layout: Layout, fields: Mapping[str, bytes], time_ms: int
    ) -> None:
        self.plan = plan
        self.layout = layout
        self.fields = fields
        self.time_ms = time_ms
        self._read: dict[str, Any] = {}

    def pieces(self, first_ms: int, last_ms: int, left_out: bytes | None) -> Iterator[Piece]:
        """What makes up the known events of a span.

        Args:
            first_ms, last_ms: the span, which ends before the boundary.
            left_out: the dedup key of an event that doesn't count. It is looked for among the
                events, so that no tiles are read then.
        """
        layout = self.layout
        if first_ms < layout.horizon_ms:
            if BASE in self.fields:
                yield Whole(self._once(BASE, lambda data: tiles.decode(self.plan, data)))
            yield from self._events(BESIDE, first_ms, min(last_ms, layout.horizon_ms - 1), left_out)
            first_ms = layout.horizon_ms
        if ALL in self.fields:
            yield from self._events(ALL, first_ms, last_ms, left_out)
        elif DAYS in self.fields:
            if left_out is None:
                yield from self._days(first_ms, last_ms)
            else:
                for day in self._once(DAYS, tiles.decode_row).indexes:
                    yield from self._raw(day, first_ms, last_ms, left_out)

    def _days(self, first_ms: int, last_ms: int) -> Iterator[Piece]:
        row = self._once(DAYS, tiles.decode_row)
        after, before = -(-first_ms // DAY_MS), (last_ms + 1) // DAY_MS - 1
        start, stop = row.range(after, before)
        if start < stop:
            yield Range(row, start, stop)
            yield from self._events(BESIDE, after * DAY_MS, (before + 1) * DAY_MS - 1)
        if before < after - 1:
            # The span lies inside one day.
            yield from self._hours(after - 1, first_ms, last_ms)
            return
        if first_ms % DAY_MS:
            yield from self._hours(after - 1, first_ms, after * DAY_MS - 1)
        if (last_ms + 1) % DAY_MS:
            yield from self._hours(before + 1, (before + 1) * DAY_MS, last_ms)

    def _hours(self, day: int, first_ms: int, last_ms: int) -> Iterator[Piece]:
        """The pieces of a part of one day."""
        if f"r{day}" in self.fields:
            yield from self._events(f"r{day}", first_ms, last_ms)
        if f"h{day}" not in self.fields:
            return
        row = self._once(f"h{day}", tiles.decode_row)
        after, before = -(-first_ms // HOUR_MS), (last_ms + 1) // HOUR_MS - 1
        start, stop = row.range(after, before)
        if start < stop:
            yield Range(row, start, stop)
            yield from self._events(BESIDE, after * HOUR_MS, (before + 1) * HOUR_MS - 1)
        for hour in sorted({first_ms // HOUR_MS, last_ms // HOUR_MS}):
            if not after <= hour <= before:
                yield from self._events(f"x{hour}", first_ms, last_ms)

    def _raw(self, day: int, first_ms: int, last_ms: int, left_out: bytes) -> Iterator[Piece]:
        for name in (f"r{day}", *(f"x{hour}" for hour in range(day * 24, day * 24 + 24))):
            yield from self._events(name, first_ms, last_ms, left_out)

    def _events(
        self, name: str, first_ms: int, last_ms: int, left_out: bytes | None = None
    ) -> Iterator[Piece]:
        if name in self.fields:
            block: EventBlock = self._once(name, decode_events)
            yield from events_between(block, first_ms, last_ms, self.time_ms, left_out)

    def _once(self, name: str, decode: Callable[[bytes], _T]) -> _T:
        if name not in self._read:
            self._read[name] = decode(self.fields[name])
        found: _T = self._read[name]
        return found
