"""The batch layer of an entity, read for one time: which fields a window needs, and its pieces."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from headrace_features.definitions.durations import DAY_MS, HOUR_MS
from headrace_features.partials import tiles
from headrace_features.partials.blocks import EventBlock
from headrace_features.partials.events import decode_events
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


class Step(NamedTuple):
    """A part of a span, and the field that has it, if an entity has that field.

    Attributes:
        field: its name.
        first_ms, last_ms: the part, closed on both sides.
        width_ms: of the tiles that are read; None where events are.
        beside: the field without which an entity has the part's events elsewhere.
    """

    field: str
    first_ms: int
    last_ms: int
    width_ms: int | None = None
    beside: str | None = None


def steps(layout: Layout, first_ms: int, last_ms: int, has: Container[str]) -> Iterator[Step]:
    """Where the events of a span are.

    Of the fields of one part an entity has one: few events are in blocks of longer ranges.

    Args:
        layout: of the batch layer.
        first_ms, last_ms: the span, which ends before the boundary.
        has: the fields that an entity has, or that some entities have.
    """
    if first_ms > last_ms:
        return
    if first_ms < layout.horizon_ms:
        # An entity's own horizon may be earlier: whatever isn't in its base is where it is later.
        if BASE in has:
            yield Step(BASE, first_ms, last_ms)
        if BESIDE in has and DAYS not in has:
            yield Step(BESIDE, first_ms, last_ms)
    if ALL in has:
        yield Step(ALL, first_ms, last_ms)
    if DAYS in has:
        yield from _tiled(DAYS, DAY_MS, first_ms, last_ms, has)


def _tiled(
    field: str, width_ms: int, first_ms: int, last_ms: int, has: Container[str]
) -> Iterator[Step]:
    """Where the events of a span are that tiles of one width cover: in those that it has whole.

    What it has of others is in blocks of events, or in tiles of hours where these are days.
    """
    start_ms = -(-first_ms // width_ms) * width_ms
    end_ms = (last_ms + 1) // width_ms * width_ms
    if end_ms < start_ms:
        # The span lies inside one of them.
        yield from _edge(width_ms, first_ms, last_ms, has)
        return
    if start_ms < end_ms:
        yield Step(field, start_ms, end_ms - 1, width_ms)
        if BESIDE in has:
            yield Step(BESIDE, start_ms, end_ms - 1, beside=field)
    if first_ms < start_ms:
        yield from _edge(width_ms, first_ms, start_ms - 1, has)
    if end_ms <= last_ms:
        yield from _edge(width_ms, end_ms, last_ms, has)


def _edge(width_ms: int, first_ms: int, last_ms: int, has: Container[str]) -> Iterator[Step]:
    """Where the events of a part of one day, or of one hour, are."""
    if width_ms == HOUR_MS:
        yield Step(f"x{first_ms // HOUR_MS}", first_ms, last_ms)
        return
    day = first_ms // DAY_MS
    events, hours = f"r{day}", f"h{day}"
    if events in has:
        yield Step(events, first_ms, last_ms)
    if hours in has:
        yield from _tiled(hours, HOUR_MS, first_ms, last_ms, has)


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

    def pieces(self, first_ms: int, last_ms: int) -> list[Piece]:
        """What makes up the known events of a span, which ends before the boundary."""
        found: list[Piece] = []
        for field, start_ms, end_ms, width_ms, _ in steps(
            self.layout, first_ms, last_ms, self.fields
        ):
            if width_ms is not None:
                row = self._once(field, tiles.decode_row)
                start, stop = row.range(start_ms // width_ms, end_ms // width_ms)
                if start < stop:
                    found.append(Range(row, start, stop))
            elif field == BASE:
                found.append(self._base())
            else:
                self._add(found, field, start_ms, end_ms)
        return found

    def pieces_without(self, left_out: bytes, first_ms: int, last_ms: int) -> list[Piece]:
        """What makes up the known events of a span but for one.

        It is looked for among the events, so that no tiles are read.

        Args:
            left_out: the dedup key of the event that doesn't count.
            first_ms, last_ms: the span, which ends before the boundary.
        """
        found: list[Piece] = []
        layout = self.layout
        if first_ms < layout.horizon_ms:
            if BASE in self.fields:
                found.append(self._base())
            self._add(found, BESIDE, first_ms, min(last_ms, layout.horizon_ms - 1), left_out)
            first_ms = layout.horizon_ms
        self._add(found, ALL, first_ms, last_ms, left_out)
        days = self._once(DAYS, tiles.decode_row).indexes if DAYS in self.fields else ()
        for day in days:
            for name in (f"r{day}", *(f"x{hour}" for hour in range(day * 24, day * 24 + 24))):
                self._add(found, name, first_ms, last_ms, left_out)
        return found

    def _base(self) -> Piece:
        return Whole(self._once(BASE, lambda data: tiles.decode(self.plan, data)))

    def _add(
        self,
        found: list[Piece],
        name: str,
        first_ms: int,
        last_ms: int,
        left_out: bytes | None = None,
    ) -> None:
        """Add the events of a span in a field, if there are any."""
        if name in self.fields:
            block: EventBlock = self._once(name, decode_events)
            piece = events_between(block, first_ms, last_ms, self.time_ms, left_out)
            if piece is not None:
                found.append(piece)

    def _once(self, name: str, decode: Callable[[bytes], _T]) -> _T:
        if name not in self._read:
            self._read[name] = decode(self.fields[name])
        found: _T = self._read[name]
        return found
