"""From the events of an entity to the fields of its batch layer."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

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


def build(
    plan: PartialPlan, layout: Layout, block: EventBlock, base: Tile | None = None
) -> dict[str, bytes]:
    """The fields of an entity's state.

    Args:
        plan: the partials of the view.
        layout: what is kept for the boundary.
        block: the entity's events before the boundary, in order; where no window is unbounded
            those before the horizon may be left out.
        base: events before the horizon that aren't in the block, where a window is unbounded.
    """
    fields: dict[str, bytes] = {}
    beside: list[int] = []
    since = bisect_left(block.times, layout.horizon_ms)
    if layout.unbounded:
        beside += add_base(plan, layout, fields, block.part(0, since), base)
    if since < len(block):
        if len(block) - since <= SPARSE_ENTITY:
            fields[ALL] = encode_events(block.part(since, len(block)))
        else:
            beside += _add_days(plan, layout, fields, block, since)
    if beside:
        fields[BESIDE] = encode_events(block.chosen(beside))
    return fields


def add_base(
    plan: PartialPlan,
    layout: Layout,
    fields: dict[str, bytes],
    block: EventBlock,
    base: Tile | None = None,
) -> list[int]:
    """Add the base; the places of events that are not in it.

    Args:
        plan: the partials of the view.
        layout: what is kept.
        fields: takes it.
        block: events before the horizon, in order.
        base: others before the horizon.
    """
    prompt, late = divided(layout, block, range(len(block)), layout.horizon_ms)
    tile = tiles.fold(plan, block.chosen(prompt) if late else block)
    if base is not None:
        tile = tiles.merge(plan, [base, tile])
    # An event that is not in the base yet may still join its chains; else only the newest can
    # ever go on.
    fields[BASE] = tiles.encode(plan, tile if late else tiles.newest_chains(tile))
    return late


def _add_days(
    plan: PartialPlan, layout: Layout, fields: dict[str, bytes], block: EventBlock, start: int
) -> list[int]:
    """Add tiles and blocks of days and hours; the places of events that are in no tile."""
    whole: dict[int, Tile] = {}
    beside: list[int] = []
    for day, first, stop in runs(block, start, len(block), DAY_MS):
        whole[day], late = add_day(plan, layout, fields, block, first, stop)
        beside += late
    fields[DAYS] = tiles.encode_row(plan, list(whole), list(whole.values()))
    return beside


def add_day(  # noqa: PLR0913, PLR0917 - whose day it is, and where it is
    plan: PartialPlan,
    layout: Layout,
    fields: dict[str, bytes],
    block: EventBlock,
    first: int,
    stop: int,
) -> tuple[Tile, list[int]]:
    """Add the fields of one day: its tile, and the places of events that are in no tile.

    Args:
        plan: the partials of the view.
        layout: what is kept.
        fields: takes those of the day.
        block: events in order.
        first, stop: where those of the day begin and end.
    """
    day = block.times[first] // DAY_MS
    if stop - first <= SPARSE_DAY and block.delays_ms is None:
        # No event of it is anywhere but in the tile of the day: those of its hours aren't needed.
        fields[f"r{day}"] = encode_events(block.part(first, stop))
        return tiles.fold(plan, block, first, stop), []
    hours: dict[int, Tile] = {}
    beside: list[int] = []
    for hour, at, end in runs(block, first, stop, HOUR_MS):
        prompt, late = divided(layout, block, range(at, end), (hour + 1) * HOUR_MS)
        beside.extend(late)
        hours[hour] = (
            tiles.fold(plan, block.chosen(prompt)) if late else tiles.fold(plan, block, at, end)
        )
    if stop - first <= SPARSE_DAY:
        fields[f"r{day}"] = encode_events(block.part(first, stop))
    else:
        fields[f"h{day}"] = tiles.encode_row(plan, list(hours), list(hours.values()))
        if day * DAY_MS >= layout.raw_from_ms:
            for hour, at, end in runs(block, first, stop, HOUR_MS):
                fields[f"x{hour}"] = encode_events(block.part(at, end))
    return tiles.merge(plan, list(hours.values())), beside


def runs(block: EventBlock, start: int, stop: int, width_ms: int) -> Iterator[tuple[int, int, int]]:
    """The events by spans of a width: which span, and the places where it begins and ends."""
    times, at = block.times, start
    while at < stop:
        index = times[at] // width_ms
        end = bisect_left(times, (index + 1) * width_ms, at, stop)
        yield index, at, end
        at = end


def divided(
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
