"""From the events of an entity to the fields of its batch layer."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from itertools import groupby

from headrace_features.definitions.durations import DAY_MS, HOUR_MS
from headrace_features.partials import tiles
from headrace_features.partials.blocks import EventBlock
from headrace_features.partials.events import encode_events
from headrace_features.partials.plan import PartialPlan
from headrace_features.partials.tiles import Tile
from headrace_features.state.layout import (
    ALL,
    BASE,
    BESIDE,
    DAYS,
    SPARSE_DAY,
    SPARSE_ENTITY,
    Layout,
)


def build(plan: PartialPlan, layout: Layout, block: EventBlock) -> Mapping[str, bytes]:
    """The fields of an entity's state.

    Args:
        plan: the partials of the view.
        layout: what is kept for the boundary.
        block: the entity's events before the boundary, in order; where no window is unbounded
            those before the horizon may be left out.
    """
    fields: dict[str, bytes] = {}
    beside: list[int] = []
    since = bisect_left(block.times, layout.horizon_ms)
    if layout.unbounded:
        beside += _add_base(plan, layout, fields, block, since)
    if since < len(block):
        if len(block) - since <= SPARSE_ENTITY:
            fields[ALL] = encode_events(block.part(since, len(block)))
        else:
            beside += _add_days(plan, layout, fields, block, since)
    if beside:
        fields[BESIDE] = encode_events(block.chosen(beside))
    return fields


def _add_base(
    plan: PartialPlan, layout: Layout, fields: dict[str, bytes], block: EventBlock, stop: int
) -> list[int]:
    """Add the base; the places of events that are not in it."""
    prompt, late = _divided(layout, block, range(stop), layout.horizon_ms)
    base = tiles.fold(plan, block, 0, stop) if not late else tiles.fold(plan, block.chosen(prompt))
    # An event that is not in the base yet may still join its chains; else only the newest can
    # ever go on.
    fields[BASE] = tiles.encode(plan, base if late else tiles.newest_chains(base))
    return late


def _add_days(
    plan: PartialPlan, layout: Layout, fields: dict[str, bytes], block: EventBlock, start: int
) -> list[int]:
    """Add tiles and blocks of days and hours; the places of events that are in no tile."""
    whole: dict[int, Tile] = {}
    beside: list[int] = []
    for day, first, stop in _runs(block, start, len(block), DAY_MS):
        hours: dict[int, Tile] = {}
        for hour, at, end in _runs(block, first, stop, HOUR_MS):
            prompt, late = _divided(layout, block, range(at, end), (hour + 1) * HOUR_MS)
            beside.extend(late)
            hours[hour] = (
                tiles.fold(plan, block.chosen(prompt)) if late else tiles.fold(plan, block, at, end)
            )
        whole[day] = tiles.merge(plan, list(hours.values()))
        raw = day * DAY_MS >= layout.raw_from_ms
        if raw and stop - first <= SPARSE_DAY:
            fields[f"r{day}"] = encode_events(block.part(first, stop))
            continue
        fields[f"h{day}"] = tiles.encode_row(plan, list(hours), list(hours.values()))
        if raw:
            for hour, at, end in _runs(block, first, stop, HOUR_MS):
                fields[f"x{hour}"] = encode_events(block.part(at, end))
    fields[DAYS] = tiles.encode_row(plan, list(whole), list(whole.values()))
    return beside


def _runs(
    block: EventBlock, start: int, stop: int, width_ms: int
) -> Iterator[tuple[int, int, int]]:
    """The events by spans of a width: which span, and the places where it begins and ends."""
    at = start
    for index, group in groupby(block.times[start:stop], key=lambda time_ms: time_ms // width_ms):
        end = at + sum(1 for _ in group)
        yield index, at, end
        at = end


def _divided(
    layout: Layout, block: EventBlock, places: range, tile_end_ms: int
) -> tuple[list[int], list[int]]:
    """Events that are known whenever their tile is read whole, and the others."""
    if block.delays_ms is None:
        return list(places), []
    prompt: list[int] = []
    late: list[int] = []
    for place in places:
        known = layout.foldable(block.available_ms(place), tile_end_ms)
        (prompt if known else late).append(place)
    return prompt, late
