"""From the fields that the stream writes for an entity to values at a time.

While time goes on the stream adds to an entity's state:

    y<n>    the events of minute n (since 1970, UTC)
    h<n>    the tile of hour n, once the hour has ended
    d<n>    the tile of day n, once the day has ended
    s<n>    events of day n that became known too late to be in the tile of their hour
    l<n>    events of minute n that came when others of their time were no longer held, and that
            are in no other field

Every event is in a block of minutes, y or l. Tiles save reading the blocks that they span.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property

from headrace_features.definitions.durations import DAY_MS, HOUR_MS, MINUTE_MS
from headrace_features.definitions.views import Feature
from headrace_features.definitions.windows import BEGINNING_MS, Session
from headrace_features.partials import tiles
from headrace_features.partials.events import decode_events
from headrace_features.partials.kinds import Event, Value
from headrace_features.partials.plan import PartialPlan
from headrace_features.partials.tiles import Tile

_HOURS = DAY_MS // HOUR_MS
_MINUTES = HOUR_MS // MINUTE_MS


class StreamState:
    """What the stream has written for one entity, read for one time.

    An entity without fields has the values of empty windows.
    """

    def __init__(self, plan: PartialPlan, fields: Mapping[str, bytes], time_ms: int) -> None:
        self.plan = plan
        self.fields = fields
        self.time_ms = time_ms
        self._read: dict[str, list[Event]] = {}

    def value(self, feature: Feature, current: str | None = None) -> Value:
        """The value of a feature, without the event that is being decided where it says so.

        Args:
            feature: a feature of the view.
            current: the dedup key of the event being decided, if any.
        """
        window = feature.window
        if isinstance(window, Session):
            first_ms, last_ms = BEGINNING_MS, self.time_ms - window.delay_ms
        else:
            first_ms, last_ms = window.span(self.time_ms)
        left_out = current.encode() if feature.exclude_current and current is not None else None
        tile = self._tile(first_ms, last_ms, left_out)
        states = tile.states
        if isinstance(window, Session):
            states = tiles.session(self.plan, tile, window.gap_ms, last_ms)
        return self.plan.finalize(states, feature)

    def _tile(self, first_ms: int, last_ms: int, left_out: bytes | None) -> Tile:
        tile = tiles.empty_tile(self.plan)
        for day, hours in self._blocks.items():
            start_ms, end_ms = day * DAY_MS, (day + 1) * DAY_MS - 1
            if end_ms < first_ms or last_ms < start_ms:
                continue
            names = [name for blocks in hours.values() for name in blocks]
            if (
                first_ms <= start_ms
                and end_ms <= last_ms
                and self._spans(f"d{day}", names, left_out)
            ):
                tile = self._merged(tile, f"d{day}", names)
                continue
            for hour, blocks in hours.items():
                start_ms, end_ms = hour * HOUR_MS, (hour + 1) * HOUR_MS - 1
                whole = first_ms <= start_ms and end_ms <= last_ms
                if whole and self._spans(f"h{hour}", blocks, left_out):
                    tile = self._merged(tile, f"h{hour}", blocks)
                else:
                    events = (e for e in self._events(blocks) if e.dedup != left_out)
                    tile = self._absorbed(tile, events, first_ms, last_ms)
        return tile

    def _spans(self, name: str, blocks: list[str], left_out: bytes | None) -> bool:
        """Whether a tile can be taken for its blocks: it is there, and none of it is left out."""
        if name not in self.fields:
            return False
        return left_out is None or all(e.dedup != left_out for e in self._events(blocks))

    def _merged(self, tile: Tile, name: str, blocks: list[str]) -> Tile:
        """The tile with another one and the events that stand beside that."""
        tile = tiles.merge(self.plan, tile, tiles.decode(self.plan, self.fields[name]))
        width_ms = DAY_MS if name[0] == "d" else HOUR_MS
        start_ms = int(name[1:]) * width_ms
        alone = self._events(block for block in blocks if block[0] == "l")
        late = self._decoded(f"s{start_ms // DAY_MS}")
        return self._absorbed(tile, (*late, *alone), start_ms, start_ms + width_ms - 1)

    def _absorbed(self, tile: Tile, events: Iterable[Event], first_ms: int, last_ms: int) -> Tile:
        for event in events:
            if first_ms <= event.time_ms <= last_ms and event.available_ms <= self.time_ms:
                tile = tiles.absorb(self.plan, tile, event)
        return tile

    @cached_property
    def _blocks(self) -> Mapping[int, Mapping[int, list[str]]]:
        """For each day and each hour in it the names of its blocks, ascending."""
        days: dict[int, dict[int, list[str]]] = {}
        for minute, name in sorted((int(f[1:]), f) for f in self.fields if f[0] in "yl"):
            hours = days.setdefault(minute // _MINUTES // _HOURS, {})
            hours.setdefault(minute // _MINUTES, []).append(name)
        return days

    def _events(self, names: Iterable[str]) -> list[Event]:
        return [event for name in names for event in self._decoded(name)]

    def _decoded(self, name: str) -> list[Event]:
        if name not in self._read:
            data = self.fields.get(name)
            self._read[name] = [] if data is None else decode_events(data)
        return self._read[name]
