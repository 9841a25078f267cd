"""Events of one entity by columns."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
from msgspec import Raw

if TYPE_CHECKING:
    from headrace_features.partials.packed import Numbers

_DEDUPS = msgspec.msgpack.Decoder(list[bytes])


class EventBlock:
    """Events of one entity by columns, in the order of (time, bytes of the dedup key).

    Attributes:
        base_ms: event times are told from here.
        offsets_ms: how much later each event was.
        delays_ms: how much later than it was each event could first be known; None if none was.
        columns: for each column of the plan the value of each event.
    """

    __slots__ = ("_dedups", "_times", "base_ms", "columns", "delays_ms", "offsets_ms")

    def __init__(
        self,
        times: Sequence[int],
        dedups: list[bytes] | Raw,
        delays_ms: Numbers | None,
        columns: Sequence[Numbers],
        base_ms: int = 0,
    ) -> None:
        """Take columns; dedup keys may still be encoded, since few reads look at them."""
        self.base_ms = base_ms
        self.offsets_ms = times
        self.delays_ms = delays_ms
        self.columns = columns
        self._dedups = dedups
        self._times: Sequence[int] | None = None if base_ms else times

    @property
    def times(self) -> Sequence[int]:
        """Event times, ms UTC."""
        if self._times is None:
            base_ms = self.base_ms
            self._times = [base_ms + offset_ms for offset_ms in self.offsets_ms]
        return self._times

    @property
    def dedups(self) -> list[bytes]:
        """Bytes of the dedup keys."""
        if isinstance(self._dedups, Raw):
            self._dedups = _DEDUPS.decode(self._dedups)
        return self._dedups

    def __len__(self) -> int:
        return len(self.offsets_ms)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, EventBlock):
            return NotImplemented
        return self._content() == other._content()

    __hash__ = None  # type: ignore[assignment] # lists can change

    def between(self, first_ms: int, last_ms: int) -> tuple[int, int]:
        """Where the events of a span begin and end; it is closed on both sides."""
        offsets_ms, base_ms = self.offsets_ms, self.base_ms
        start = bisect_left(offsets_ms, first_ms - base_ms)
        return start, bisect_right(offsets_ms, last_ms - base_ms, start)

    def available_ms(self, place: int) -> int:
        """When an event could first be known."""
        delay_ms: int = 0 if self.delays_ms is None else self.delays_ms[place]
        return self.base_ms + self.offsets_ms[place] + delay_ms

    def are_known(self, start: int, stop: int, time_ms: int) -> bool:
        """Whether all events at some places, which were before a time, are known at that time."""
        if self.delays_ms is None or start == stop:
            return True
        longest_ms: int = max(self.delays_ms[start:stop])
        if self.base_ms + self.offsets_ms[stop - 1] + longest_ms <= time_ms:
            return True
        return all(self.available_ms(at) <= time_ms for at in range(start, stop))

    def chosen(self, places: Sequence[int]) -> EventBlock:
        """Those events at some places, which ascend."""
        dedups = self.dedups
        return EventBlock(
            [self.offsets_ms[i] for i in places],
            [dedups[i] for i in places],
            None if self.delays_ms is None else [self.delays_ms[i] for i in places],
            [[column[i] for i in places] for column in self.columns],
            self.base_ms,
        )

    def part(self, start: int, stop: int) -> EventBlock:
        """The events at the places from `start` to before `stop`."""
        if start == 0 and stop == len(self):
            return self
        return EventBlock(
            self.offsets_ms[start:stop],
            self.dedups[start:stop],
            None if self.delays_ms is None else self.delays_ms[start:stop],
            [column[start:stop] for column in self.columns],
            self.base_ms,
        )

    def _content(self) -> tuple[list[object], ...]:
        delays_ms = [0] * len(self) if self.delays_ms is None else list(self.delays_ms)
        columns: list[object] = [list(column) for column in self.columns]
        return [*self.times], [*self.dedups], [*delays_ms], columns
