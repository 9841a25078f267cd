"""From the fields of an entity's state to values at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import cached_property

from headrace_features.definitions.durations import DAY_MS, HOUR_MS
from headrace_features.definitions.views import Feature
from headrace_features.definitions.windows import BEGINNING_MS, Session
from headrace_features.partials import tiles
from headrace_features.partials.events import decode_events
from headrace_features.partials.kinds import Event, Value
from headrace_features.partials.plan import PartialPlan
from headrace_features.partials.tiles import Tile
from headrace_features.state.layout import BASE, Layout
from headrace_schemas.errors import UnsupportedError


class EntityState:
    """The state of one entity, read for one query time; blocks are decoded once.

    An entity without fields has the values of empty windows.
    """

    def __init__(
        self, plan: PartialPlan, layout: Layout, fields: Mapping[str, bytes], time_ms: int
    ) -> None:
        """Check that the layer can answer for the time.

        Raises:
            UnsupportedError: the time is before the earliest that the layer keeps.
        """
        if time_ms < layout.earliest_ms:
            message = (
                f"values as of {_utc(time_ms)} are asked for, "
                f"the online store can answer from {_utc(layout.earliest_ms)} on"
            )
            raise UnsupportedError(
                message, hint="headrace features history answers for any time in the past"
            )
        self.plan = plan
        self.layout = layout
        self.fields = fields
        self.time_ms = time_ms
        self._blocks: dict[str, list[Event]] = {}
        self._tiles: dict[str, Tile] = {}
        self._spans: dict[tuple[int, int], Tile] = {}

    def value(self, feature: Feature, current: str | None = None) -> Value:
        """The value of a feature, without the event that is being decided where it says so.

        Args:
            feature: a feature of the view.
            current: the dedup key of the event being decided, if any.
        """
        first_ms, last_ms = self._span(feature)
        if feature.exclude_current and current is not None:
            tile = self._without(first_ms, last_ms, current.encode())
        else:
            tile = self._tile(first_ms, last_ms)
        states = tile.states
        window = feature.window
        if isinstance(window, Session):
            states = tiles.session(self.plan, tile, window.gap_ms, last_ms)
        return self.plan.finalize(states, feature)

    def _span(self, feature: Feature) -> tuple[int, int]:
        if isinstance(feature.window, Session):
            return BEGINNING_MS, self.time_ms - feature.window.delay_ms
        return feature.window.span(self.time_ms)

    def _tile(self, first_ms: int, last_ms: int) -> Tile:
        """The tile of the known events of a span, from the widest fields that lie inside it."""
        span = (first_ms, last_ms)
        if span not in self._spans:
            self._spans[span] = self._merged(first_ms, last_ms)
        return self._spans[span]

    def _merged(self, first_ms: int, last_ms: int) -> Tile:
        tile = tiles.empty_tile(self.plan)
        if first_ms < self.layout.horizon_ms and BASE in self.fields:
            tile = self._decoded(BASE)
        for day in self._days:
            start_ms = day * DAY_MS
            if start_ms > last_ms or start_ms + DAY_MS <= first_ms:
                continue
            whole = first_ms <= start_ms and start_ms + DAY_MS - 1 <= last_ms
            if whole and f"d{day}" in self.fields:
                tile = tiles.merge(self.plan, tile, self._decoded(f"d{day}"))
            elif f"d{day}" in self.fields:
                tile = self._hours(tile, day, first_ms, last_ms)
            elif f"r{day}" in self.fields:
                tile = self._absorbed(tile, self._raw(f"r{day}"), first_ms, last_ms)
            if whole and f"s{day}" in self.fields:
                tile = self._absorbed(tile, self._raw(f"s{day}"), first_ms, last_ms)
        return tile

    def _hours(self, tile: Tile, day: int, first_ms: int, last_ms: int) -> Tile:
        """The tile, with the hours of a day that lies partly inside the span."""
        late = self._raw(f"s{day}")
        for hour in range(day * 24, day * 24 + 24):
            start_ms, end_ms = hour * HOUR_MS, hour * HOUR_MS + HOUR_MS - 1
            if f"h{hour}" not in self.fields or start_ms > last_ms or end_ms < first_ms:
                continue
            if first_ms <= start_ms and end_ms <= last_ms:
                tile = tiles.merge(self.plan, tile, self._decoded(f"h{hour}"))
                tile = self._absorbed(tile, late, start_ms, end_ms)
            else:
                tile = self._absorbed(tile, self._raw(f"x{hour}"), first_ms, last_ms)
        return tile

    def _without(self, first_ms: int, last_ms: int, dedup: bytes) -> Tile:
        """The tile of a span without one event, which is looked for among the raw events."""
        last_hour_ms = last_ms - last_ms % HOUR_MS
        inside = self._tile(first_ms, min(last_ms, last_hour_ms - 1))
        newest = list(self._events(max(first_ms, last_hour_ms), last_ms))
        if any(event.dedup == dedup for event in newest):
            kept = (event for event in newest if event.dedup != dedup)
            return tiles.merge(self.plan, inside, tiles.fold(self.plan, kept))
        held_ms = max(first_ms, self.layout.horizon_ms)
        older = list(self._events(held_ms, last_ms))
        if not any(event.dedup == dedup for event in older):
            return self._tile(first_ms, last_ms)
        base = tiles.empty_tile(self.plan)
        if first_ms < held_ms:
            base = self._tile(first_ms, held_ms - 1)
        kept = (event for event in older if event.dedup != dedup)
        return tiles.merge(self.plan, base, tiles.fold(self.plan, kept))

    def _events(self, first_ms: int, last_ms: int) -> Iterable[Event]:
        """The known raw events of a span."""
        for day in self._days:
            if day * DAY_MS > last_ms or (day + 1) * DAY_MS <= first_ms:
                continue
            names = [f"r{day}", *(f"x{hour}" for hour in range(day * 24, day * 24 + 24))]
            for name in names:
                for event in self._raw(name):
                    if first_ms <= event.time_ms <= last_ms and event.available_ms <= self.time_ms:
                        yield event

    def _absorbed(self, tile: Tile, events: Iterable[Event], first_ms: int, last_ms: int) -> Tile:
        for event in events:
            if first_ms <= event.time_ms <= last_ms and event.available_ms <= self.time_ms:
                tile = tiles.absorb(self.plan, tile, event)
        return tile

    @cached_property
    def _days(self) -> list[int]:
        """The days of which there is a field, ascending."""
        return sorted({int(name[1:]) for name in self.fields if name[0] in "drs"})

    def _decoded(self, name: str) -> Tile:
        if name not in self._tiles:
            self._tiles[name] = tiles.decode(self.plan, self.fields[name])
        return self._tiles[name]

    def _raw(self, name: str) -> list[Event]:
        if name not in self._blocks:
            data = self.fields.get(name)
            self._blocks[name] = [] if data is None else decode_events(data)
        return self._blocks[name]


def _utc(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, tz=UTC).isoformat(timespec="seconds")
