"""An entity's batch layer with more events in it: what was kept, and they, less what has left.

How an entity's state is divided depends on the day of its newest event, as if the boundary were the
end of that day. So nothing has to be done to the state of an entity without new events, however far
the boundary moves.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

from headrace_features.definitions.durations import DAY_MS, HOUR_MS
from headrace_features.partials import tiles
from headrace_features.partials.events import decode_events, encode_events, merged
from headrace_features.state.build import add_base, add_day, build, runs
from headrace_features.state.layout import ALL, BASE, BESIDE, DAYS, Layout

if TYPE_CHECKING:
    from headrace_features.partials.blocks import EventBlock
    from headrace_features.partials.plan import PartialPlan
    from headrace_features.partials.tiles import Tile

#: How the state of an entity is divided, by the day (since 1970, UTC) of its newest event.
Layouts: TypeAlias = Callable[[int], Layout]

#: The fields that tell which others are needed.
FIRST = (ALL, BASE, BESIDE, DAYS)


def first_fields(layout: Layout, *, is_late: bool) -> tuple[str, ...]:
    """Those of `FIRST` that an entity may have.

    Args:
        layout: how the state is divided.
        is_late: whether events can become known later than they were.
    """
    there = {ALL: True, BASE: layout.unbounded, BESIDE: is_late, DAYS: True}
    return tuple(name for name in FIRST if there[name])


class Advance:
    """The state of an entity into which events come.

    Attributes:
        needs: the fields that are needed beside those of `FIRST`.
        is_lost: whether the state can't take the events in, since they may join sessions of which
            it only knows that they have ended. It has to be built anew from all events.
    """

    def __init__(
        self, plan: PartialPlan, layouts: Layouts, held: Mapping[str, bytes], added: EventBlock
    ) -> None:
        """Take the state and the events.

        Args:
            plan: the partials of the view.
            layouts: how the state is divided.
            held: the fields of `FIRST` that there are; none of an entity that is new.
            added: the events, in order, at least one; none of them is in the state.
        """
        self._plan = plan
        self._held = held
        self._added = added
        self._all = decode_events(held[ALL]) if ALL in held else None
        self._days = _Days(plan, layouts, held, added) if DAYS in held else None
        self.needs = () if self._days is None else tuple(self._days.needed())
        newest_ms = added.times[-1]
        if self._all is not None:
            newest_ms = max(newest_ms, self._all.times[-1])
        self._layout = layouts(newest_ms // DAY_MS)
        self.is_lost = False
        if plan.gaps_ms and BASE in held:
            self.is_lost = added.times[0] < layouts(newest_day(held)).horizon_ms

    def changes(self, found: Mapping[str, bytes]) -> dict[str, bytes]:
        """The fields that are others now, with what they hold: nothing where one is gone.

        Args:
            found: those of the fields of `needs` that there are.
        """
        held = {**self._held, **found}
        fields = dict.fromkeys(self._held, b"")
        fields |= self._of_events() if self._days is None else self._days.fields(held)
        return {name: data for name, data in fields.items() if held.get(name, b"") != data}

    def _of_events(self) -> dict[str, bytes]:
        """The state of an entity of which all events since its horizon are there."""
        blocks = [self._added]
        if self._all is not None:
            blocks.insert(0, self._all)
        if BESIDE in self._held:
            blocks.insert(0, decode_events(self._held[BESIDE]))
        base = tiles.decode(self._plan, self._held[BASE]) if BASE in self._held else None
        return build(self._plan, self._layout, merged(blocks), base)


def newest_day(held: Mapping[str, bytes]) -> int:
    """The day (since 1970, UTC) of the newest event of a state, by the fields of `FIRST`."""
    if DAYS in held:
        return int(tiles.decode_row(held[DAYS]).indexes[-1])
    return int(decode_events(held[ALL]).times[-1]) // DAY_MS


class _Days:
    """The state of an entity whose days have tiles."""

    def __init__(
        self, plan: PartialPlan, layouts: Layouts, held: Mapping[str, bytes], added: EventBlock
    ) -> None:
        self._plan = plan
        self._row = tiles.decode_row(held[DAYS])
        days = self._row.indexes
        self._before = layouts(days[-1])
        self._layout = layouts(max(days[-1], added.times[-1] // DAY_MS))
        horizon_ms = self._layout.horizon_ms
        self._left = [day for day in days if day * DAY_MS < horizon_ms]
        old, self._added = _parted(added, horizon_ms)
        self._old = [old]
        self._beside: EventBlock | None = None
        if BESIDE in held:
            old, self._beside = _parted(decode_events(held[BESIDE]), horizon_ms)
            self._old.append(old)
        self._by_day = {
            day: self._added.part(first, stop)
            for day, first, stop in runs(self._added, 0, len(self._added), DAY_MS)
        }
        changed = {*(day for day, _ in self._prompt()), *self._by_day}
        self._changed = sorted(changed)
        leave = self._raw_until(self._before, days), self._raw_until(self._layout, days)
        self._stripped = [
            day for day in days[slice(*leave)] if day not in changed and day * DAY_MS >= horizon_ms
        ]

    def needed(self) -> Iterator[str]:
        """The fields that are needed beside those of `FIRST`."""
        yield from (f"h{day}" for day in self._stripped)
        known = set(self._row.indexes)
        for day in (*self._left, *(day for day in self._changed if day in known)):
            yield f"r{day}"
            yield f"h{day}"
            if self._keeps_raw(day) and day in self._by_day:
                for hour, _, _ in _hours(self._by_day[day]):
                    yield f"x{hour}"

    def fields(self, held: Mapping[str, bytes]) -> dict[str, bytes]:
        """The fields that may be others now, with what they hold: nothing where one is gone."""
        fields: dict[str, bytes] = {}
        fresh: dict[int, Tile] = {}
        # Of a day that is made anew it is told anew which events are in no tile.
        anew = {day for day in self._changed if f"h{day}" not in held}
        waiting = [self._waiting(anew)]
        for day in self._left:
            fields |= dict.fromkeys(self._of_day(day, held), b"")
        for day in self._stripped:
            fields |= dict.fromkeys((n for n in self._of_day(day, held) if n[0] == "x"), b"")
        for day in self._changed:
            if day not in anew:
                fresh[day], late = self._tiled(day, held, fields)
            else:
                fields |= dict.fromkeys(self._of_day(day, held), b"")
                block = self._events(day, held)
                fresh[day], places = add_day(self._plan, self._layout, fields, block, 0, len(block))
                late = block.chosen(places)
            waiting.append(late)
        if self._layout.unbounded:
            waiting.append(self._add_base(held, fields))
        fields[DAYS] = tiles.rewritten(
            self._plan, self._row, self._layout.horizon_ms // DAY_MS, fresh
        )
        beside = merged(waiting)
        fields[BESIDE] = encode_events(beside) if len(beside) else b""
        return fields

    @staticmethod
    def _raw_until(layout: Layout, days: Sequence[int]) -> int:
        """The place of the first day of which events are kept."""
        return bisect_left(days, -(-layout.raw_from_ms // DAY_MS))

    def _leaves_raw(self, day: int) -> bool:
        """Whether the events of a day were kept and no longer are."""
        return self._before.raw_from_ms <= day * DAY_MS < self._layout.raw_from_ms

    def _keeps_raw(self, day: int) -> bool:
        return day * DAY_MS >= self._layout.raw_from_ms

    def _prompt(self) -> Iterator[tuple[int, int]]:
        """The events beside the tiles that can be in them by now: their days, and their places."""
        block = self._beside
        for at in range(0 if block is None else len(block)):
            if block is not None and self._fits(block, at):
                yield block.times[at] // DAY_MS, at

    def _fits(self, block: EventBlock, at: int) -> bool:
        end_ms = (block.times[at] // HOUR_MS + 1) * HOUR_MS
        return self._layout.foldable(block.available_ms(at), end_ms)

    def _waiting(self, anew: set[int]) -> EventBlock:
        """The events that stay beside the tiles, but for those of some days."""
        block = self._beside
        if block is None:
            return self._added.part(0, 0)
        return block.chosen(
            [
                at
                for at in range(len(block))
                if block.times[at] // DAY_MS not in anew and not self._fits(block, at)
            ]
        )

    def _events(self, day: int, held: Mapping[str, bytes]) -> EventBlock:
        """The events of a day of which there are no tiles of hours."""
        blocks = [decode_events(held[f"r{day}"])] if f"r{day}" in held else []
        if day in self._by_day:
            blocks.append(self._by_day[day])
        return merged(blocks)

    def _of_day(self, day: int, held: Mapping[str, bytes]) -> Iterator[str]:
        """The fields that there are of a day."""
        if f"r{day}" in held:
            yield f"r{day}"
        if f"h{day}" in held:
            yield f"h{day}"
            if day * DAY_MS >= self._before.raw_from_ms:
                yield from (f"x{hour}" for hour in tiles.decode_row(held[f"h{day}"]).indexes)

    def _tiled(
        self, day: int, held: Mapping[str, bytes], fields: dict[str, bytes]
    ) -> tuple[Tile, EventBlock]:
        """Add the fields of a day that has tiles of its hours.

        Returns:
            Its tile, and those of its new events that are in none.
        """
        plan = self._plan
        row = tiles.decode_row(held[f"h{day}"])
        hours = {hour: [row.tile(plan, at)] for at, hour in enumerate(row.indexes)}
        late = self._added.part(0, 0)
        if self._beside is not None:
            prompt = [at for of, at in self._prompt() if of == day]
            block = self._beside.chosen(prompt)
            for hour, first, stop in _hours(block):
                hours[hour].append(tiles.fold(plan, block, first, stop))
        if day in self._by_day:
            block = self._by_day[day]
            fits = [self._fits(block, at) for at in range(len(block))]
            late = block.chosen([at for at, fit in enumerate(fits) if not fit])
            prompt_block = block.chosen([at for at, fit in enumerate(fits) if fit])
            for hour, first, stop in _hours(prompt_block):
                hours.setdefault(hour, []).append(tiles.fold(plan, prompt_block, first, stop))
            for hour, first, stop in _hours(block):
                # An hour is known by its tile, even if nothing is in that yet.
                hours.setdefault(hour, [tiles.fold(plan, block, first, first)])
                if self._keeps_raw(day):
                    events = [decode_events(held[f"x{hour}"])] if f"x{hour}" in held else []
                    events.append(block.part(first, stop))
                    fields[f"x{hour}"] = encode_events(merged(events))
        if self._leaves_raw(day):
            fields |= dict.fromkeys((f"x{hour}" for hour in row.indexes), b"")
        whole = {hour: tiles.merge(plan, hours[hour]) for hour in sorted(hours)}
        fields[f"h{day}"] = tiles.encode_row(plan, list(whole), list(whole.values()))
        return tiles.merge(plan, list(whole.values())), late

    def _add_base(self, held: Mapping[str, bytes], fields: dict[str, bytes]) -> EventBlock:
        """Add the base, the tiles of the days that have left in it; the events that are not."""
        plan = self._plan
        parts = [tiles.decode(plan, held[BASE])]
        parts += [self._row.tile(plan, at) for at in range(len(self._left))]
        block = merged(self._old)
        return block.chosen(add_base(plan, self._layout, fields, block, tiles.merge(plan, parts)))


def _hours(block: EventBlock) -> Iterator[tuple[int, int, int]]:
    return runs(block, 0, len(block), HOUR_MS)


def _parted(block: EventBlock, time_ms: int) -> tuple[EventBlock, EventBlock]:
    """The events of a block before a time, and the others."""
    at, _ = block.between(time_ms, time_ms)
    return block.part(0, at), block.part(at, len(block))
