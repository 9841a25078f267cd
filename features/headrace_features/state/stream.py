"""The stream layer of an entity, read for one time.

While time goes on the stream adds to an entity's state:

    r<n>    all events of day n (since 1970, UTC), while they are few
    x<n>    all events of hour n, of a day with more, while they are few
    y<n>    all events of minute n, of an hour with more, while they are few
    z<n>    all events of second n, of a minute with more
    h<n>    the tile of hour n, if it is divided, once it has ended
    d<n>    the tile of day n, unless it has a handful of events, once it has ended
    s<n>    events of day n that became known too late to be in the tile of their hour
    l<n>    events of minute n that came when others of their time were no longer held, and that
            are in no other field

Every event is in a block: r, x, y, z or l. A block with content hides the finer ones, and tiles
of hours, inside its time; what was divided is empty. Tiles save reading the blocks that they span.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from headrace_features.definitions.durations import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from headrace_features.partials import tiles
from headrace_features.partials.events import decode_events
from headrace_features.partials.kinds import EventBlock
from headrace_features.partials.plan import PartialPlan
from headrace_features.state.pieces import Piece, Whole, events_between

_WIDTHS_MS = {
    "r": DAY_MS,
    "d": DAY_MS,
    "s": DAY_MS,
    "x": HOUR_MS,
    "h": HOUR_MS,
    "y": MINUTE_MS,
    "l": MINUTE_MS,
    "z": SECOND_MS,
}


class StreamLayer:
    """What the stream has written for one entity, as it is known at one time."""

    def __init__(self, plan: PartialPlan, fields: Mapping[str, bytes], time_ms: int) -> None:
        self.plan = plan
        self.fields = fields
        self.time_ms = time_ms
        self._read: dict[str, EventBlock] = {}

    def pieces(self, first_ms: int, last_ms: int, left_out: bytes | None) -> Iterator[Piece]:
        """What makes up the known events of a span.

        Args:
            first_ms, last_ms: the span, closed on both sides.
            left_out: the dedup key of an event that doesn't count. It is looked for among the
                events, so that no tiles are read then.
        """
        for day, names in self._days.items():
            start_ms, end_ms = day * DAY_MS, (day + 1) * DAY_MS - 1
            if end_ms < first_ms or last_ms < start_ms:
                continue
            span = max(first_ms, start_ms), min(last_ms, end_ms)
            whole = span == (start_ms, end_ms) and left_out is None
            if whole and f"d{day}" in names:
                yield from self._tile(f"d{day}", span)
            elif f"r{day}" in names:
                yield from self._events([f"r{day}"], span, left_out)
            else:
                yield from self._hours(names, span, left_out)
            yield from self._alone(names, span, left_out)

    def _hours(
        self, names: Iterable[str], span: tuple[int, int], left_out: bytes | None
    ) -> Iterator[Piece]:
        """The pieces of a part of one day."""
        hours: dict[int, list[str]] = {}
        for name in names:
            if name[0] in "hxyz":
                hours.setdefault(_start_ms(name) // HOUR_MS, []).append(name)
        for hour, inside in hours.items():
            start_ms, end_ms = hour * HOUR_MS, (hour + 1) * HOUR_MS - 1
            if end_ms < span[0] or span[1] < start_ms:
                continue
            part = max(span[0], start_ms), min(span[1], end_ms)
            if f"x{hour}" in inside:
                yield from self._events([f"x{hour}"], part, left_out)
            elif part == (start_ms, end_ms) and left_out is None and f"h{hour}" in inside:
                yield from self._tile(f"h{hour}", part)
            else:
                yield from self._events(_finest(inside), part, left_out)

    def _tile(self, name: str, span: tuple[int, int]) -> Iterator[Piece]:
        """A tile and the events that stand beside it."""
        yield Whole(tiles.decode(self.plan, self.fields[name]))
        late = f"s{span[0] // DAY_MS}"
        if self.fields.get(late):
            yield from self._events([late], span, None)

    def _alone(
        self, names: Iterable[str], span: tuple[int, int], left_out: bytes | None
    ) -> Iterator[Piece]:
        """Events in no other field.

        After a failure the stream may take for late what it took in time before: such an event
        stands in another block of its minute as well, and counts once.
        """
        for name in names:
            if name[0] != "l":
                continue
            minute = _start_ms(name)
            elsewhere = {
                dedup
                for other in names
                if other[0] in "rxyz"
                and _start_ms(other) <= minute + MINUTE_MS - 1
                and minute < _start_ms(other) + _WIDTHS_MS[other[0]]
                for dedup in self._block(other).dedups
            }
            block = self._block(name)
            places = [at for at, dedup in enumerate(block.dedups) if dedup not in elsewhere]
            yield from events_between(block.chosen(places), *span, self.time_ms, left_out)

    def _events(
        self, names: Iterable[str], span: tuple[int, int], left_out: bytes | None
    ) -> Iterator[Piece]:
        for name in names:
            start_ms = _start_ms(name)
            if start_ms <= span[1] and span[0] < start_ms + _WIDTHS_MS[name[0]]:
                yield from events_between(self._block(name), *span, self.time_ms, left_out)

    @cached_property
    def _days(self) -> Mapping[int, list[str]]:
        """For each day the names of its fields that have content."""
        days: dict[int, list[str]] = {}
        for name, content in self.fields.items():
            if content:
                days.setdefault(_start_ms(name) // DAY_MS, []).append(name)
        return days

    def _block(self, name: str) -> EventBlock:
        if name not in self._read:
            self._read[name] = decode_events(self.fields[name])
        return self._read[name]


def end_ms(name: str) -> int:
    """The time before which all events of a field are."""
    return _start_ms(name) + _WIDTHS_MS[name[0]]


def _start_ms(name: str) -> int:
    return int(name[1:]) * _WIDTHS_MS[name[0]]


def _finest(names: Iterable[str]) -> list[str]:
    """The blocks of minutes, and those of seconds in minutes that have none."""
    minutes = {name for name in names if name[0] == "y"}
    seconds = (
        name
        for name in names
        if name[0] == "z" and f"y{_start_ms(name) // MINUTE_MS}" not in minutes
    )
    return [*minutes, *seconds]
