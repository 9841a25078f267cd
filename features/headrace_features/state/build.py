"""From the events of an entity to the fields of its state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby

from headrace_features.definitions.durations import DAY_MS, HOUR_MS
from headrace_features.partials import tiles
from headrace_features.partials.events import encode_events
from headrace_features.partials.kinds import Event
from headrace_features.partials.plan import PartialPlan
from headrace_features.state.layout import BASE, SPARSE_EVENTS, Layout


def build(plan: PartialPlan, layout: Layout, events: Iterable[Event]) -> Mapping[str, bytes]:
    """The fields of an entity's state.

    Args:
        plan: the partials of the view.
        layout: what is kept for the boundary.
        events: the entity's events before the boundary in the order of time; where no window is
            unbounded those before the horizon may be left out.
    """
    fields: dict[str, bytes] = {}
    base = tiles.empty_tile(plan)
    late_before_horizon = False
    for day, group in groupby(events, key=lambda event: event.time_ms // DAY_MS):
        todays = list(group)
        if (day + 1) * DAY_MS <= layout.horizon_ms:
            if layout.unbounded:
                prompt, late = _divided(layout, todays, layout.horizon_ms)
                base = tiles.merge(plan, base, tiles.fold(plan, prompt))
                _add_late(fields, day, late)
                late_before_horizon |= bool(late)
        else:
            _add_day(plan, layout, fields, day, todays)
    if layout.unbounded:
        # An event that is not in the base yet may still join its chains; else only the newest
        # can ever go on.
        kept = base if late_before_horizon else tiles.newest_chains(base)
        fields[BASE] = tiles.encode(plan, kept)
    return fields


def _add_day(
    plan: PartialPlan, layout: Layout, fields: dict[str, bytes], day: int, todays: list[Event]
) -> None:
    raw = day * DAY_MS >= layout.raw_from_ms
    if raw and len(todays) <= SPARSE_EVENTS:
        fields[f"r{day}"] = encode_events(todays)
        return
    whole = tiles.empty_tile(plan)
    late_today: list[Event] = []
    for hour, group in groupby(todays, key=lambda event: event.time_ms // HOUR_MS):
        block = list(group)
        prompt, late = _divided(layout, block, (hour + 1) * HOUR_MS)
        late_today.extend(late)
        tile = tiles.fold(plan, prompt)
        whole = tiles.merge(plan, whole, tile)
        fields[f"h{hour}"] = tiles.encode(plan, tile)
        if raw:
            fields[f"x{hour}"] = encode_events(block)
    fields[f"d{day}"] = tiles.encode(plan, whole)
    _add_late(fields, day, late_today)


def _divided(
    layout: Layout, events: list[Event], tile_end_ms: int
) -> tuple[list[Event], list[Event]]:
    """Events that are known whenever their tile is read whole, and the others."""
    prompt = [e for e in events if layout.foldable(e.available_ms, tile_end_ms)]
    late = [e for e in events if not layout.foldable(e.available_ms, tile_end_ms)]
    return prompt, late


def _add_late(fields: dict[str, bytes], day: int, late: list[Event]) -> None:
    if late:
        fields[f"s{day}"] = encode_events(late)
