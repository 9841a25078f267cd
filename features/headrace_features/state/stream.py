"""The stream layer of an entity, read for one time.

While time goes on the stream adds to an entity's state:

    r<n>    the events of day n (since 1970, UTC), while they are few
    x<n>    the events of hour n of a day with more, while they are few
    y<n>    the events of minute n of an hour with more, while they are few
    z<n>    the events of second n of a minute with more
    h<n>    the tile of hour n, if it has more, once it has ended
    d<n>    the tile of day n, unless it has next to none, once it has ended
    s<n>    events of day n that became known too late to be in the tile of their hour
    l<n>    events of minute n that came when others of their time were no longer held

Every event is in one of the blocks r, x, y, z and l, which begin at x, y or z where a view's
windows are short. What has come to have too many events is divided: first the finer blocks are
written, then the coarse one is emptied. One that isn't empty hides all finer ones inside its range,
and the tiles of hours. Tiles save reading the blocks that they span. What the stream takes in again
after a failure may be in l the second time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import NamedTuple

from headrace_features.definitions.durations import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from headrace_features.partials import tiles
from headrace_features.partials.events import decode_events
from headrace_features.partials.kinds import EventBlock
from headrace_features.partials.plan import PartialPlan
from headrace_features.state.pieces import Piece, Whole, events_between


class Widths(NamedTuple):
    """How long the ranges are that fields are about, ms: each divides the next."""

    second_ms: int = SECOND_MS
    minute_ms: int = MINUTE_MS
    hour_ms: int = HOUR_MS
    day_ms: int = DAY_MS


CALENDAR = Widths()

# For each letter of a field its place among the widths.
_PLACES = {"z": 0, "y": 1, "l": 1, "x": 2, "h": 2, "r": 3, "d": 3, "s": 3}
# For each letter the coarser blocks that hide it.
_COARSER = {"x": "r", "h": "rx", "y": "rx", "z": "rxy"}


class StreamLayer:
    """What the stream has written for one entity, as it is known at one time."""

    def __init__(
        self,
        plan: PartialPlan,
        fields: Mapping[str, bytes],
        time_ms: int,
        widths: Widths = CALENDAR,
    ) -> None:
        self.plan = plan
        self.fields = fields
        self.time_ms = time_ms
        self._widths_ms = {letter: widths[place] for letter, place in _PLACES.items()}
        self._read: dict[str, EventBlock] = {}

    def pieces(self, first_ms: int, last_ms: int, left_out: bytes | None) -> Iterator[Piece]:
        """What makes up the known events of a span.

        Args:
            first_ms, last_ms: the span, closed on both sides.
            left_out: the dedup key of an event that doesn't count. It is looked for among the
                events, so that no tiles are read then.
        """
        width_ms = self._widths_ms["d"]
        for day, names in self._days.items():
            start_ms, end_ms = day * width_ms, (day + 1) * width_ms - 1
            if end_ms < first_ms or last_ms < start_ms:
                continue
            span = max(first_ms, start_ms), min(last_ms, end_ms)
            whole = span == (start_ms, end_ms) and left_out is None
            if whole and f"d{day}" in names:
                yield from self._tile(f"d{day}", span)
            elif f"r{day}" in names:
                yield from self._events(f"r{day}", span, left_out)
            else:
                yield from self._hours(names, span, left_out)
            yield from self._alone(names, span, left_out)

    def _hours(
        self, names: Iterable[str], span: tuple[int, int], left_out: bytes | None
    ) -> Iterator[Piece]:
        """The pieces of a part of one day."""
        width_ms = self._widths_ms["h"]
        tiled = set()
        for name in names:
            if name[0] == "h" and left_out is None:
                start_ms = self._start_ms(name)
                if span[0] <= start_ms and start_ms + width_ms - 1 <= span[1]:
                    tiled.add(int(name[1:]))
                    yield from self._tile(name, (start_ms, start_ms + width_ms - 1))
        for name in names:
            if name[0] in "xyz" and self._start_ms(name) // width_ms not in tiled:
                yield from self._events(name, span, left_out)

    def _tile(self, name: str, span: tuple[int, int]) -> Iterator[Piece]:
        """A tile and the events that stand beside it."""
        yield Whole(tiles.decode(self.plan, self.fields[name]))
        late = f"s{span[0] // self._widths_ms['s']}"
        if self.fields.get(late):
            yield from self._events(late, span, None)

    def _alone(
        self, names: Iterable[str], span: tuple[int, int], left_out: bytes | None
    ) -> Iterator[Piece]:
        """Events in no other field.

        After a failure the stream may take for late what it took in time before: such an event
        stands in another block as well, and counts once.
        """
        alone = [name for name in names if name[0] == "l" and self._overlaps(name, span)]
        if not alone:
            return
        blocks = [self._block(name) for name in names if name[0] in "rxyz"]
        elsewhere = {
            event for block in blocks for event in zip(block.times, block.dedups, strict=True)
        }
        for name in alone:
            block = self._block(name)
            events = zip(block.times, block.dedups, strict=True)
            places = [at for at, event in enumerate(events) if event not in elsewhere]
            yield from events_between(block.chosen(places), *span, self.time_ms, left_out)

    def _events(self, name: str, span: tuple[int, int], left_out: bytes | None) -> Iterator[Piece]:
        if self._overlaps(name, span):
            yield from events_between(self._block(name), *span, self.time_ms, left_out)

    @cached_property
    def _days(self) -> Mapping[int, list[str]]:
        """For each day the names of its fields that have content and that no coarser one hides."""
        width_ms = self._widths_ms["d"]
        days: dict[int, list[str]] = {}
        for name, content in self.fields.items():
            if content and not self._is_hidden(name):
                days.setdefault(self._start_ms(name) // width_ms, []).append(name)
        return days

    def _is_hidden(self, name: str) -> bool:
        coarser = _COARSER.get(name[0])
        if coarser is None:
            return False
        start_ms = self._start_ms(name)
        return any(self.fields.get(f"{one}{start_ms // self._widths_ms[one]}") for one in coarser)

    def _overlaps(self, name: str, span: tuple[int, int]) -> bool:
        start_ms = self._start_ms(name)
        return start_ms <= span[1] and span[0] < start_ms + self._widths_ms[name[0]]

    def _start_ms(self, name: str) -> int:
        return int(name[1:]) * self._widths_ms[name[0]]

    def _block(self, name: str) -> EventBlock:
        if name not in self._read:
            self._read[name] = decode_events(self.fields[name])
        return self._read[name]


def end_ms(name: str) -> int:
    """The time before which all events of a field are."""
    return (int(name[1:]) + 1) * CALENDAR[_PLACES[name[0]]]
