"""State of entities for the benchmark of reads: as materialization and stream leave it."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from itertools import groupby

from headrace_features.definitions.durations import DAY_MS, HOUR_MS, MINUTE_MS
from headrace_features.definitions.views import FeatureView
from headrace_features.online.layers import ALWAYS_MS, Had
from headrace_features.online.served import entity_key, view_key
from headrace_features.online.store import Change, Progress, Row, StateStore
from headrace_features.partials import tiles
from headrace_features.partials.blocks import EventBlock
from headrace_features.partials.events import encode_events
from headrace_features.partials.plan import PartialPlan, plan_of
from headrace_features.state.build import build
from headrace_features.state.layout import layout_of
from headrace_orchestration.benchmarks.published_features import VIEWS

#: How far back the windows of the measured features reach, their delay included, and the layer.
_REACH_DAYS = 44
_WINDOW_DAYS = 30
#: As the stream's operator does it: a block with more events is divided, an hour with more has a
#: tile, and so has a day with more than a few.
_BLOCK_EVENTS = 64
_UNTILED_EVENTS = 8
_WIDTHS = (("r", DAY_MS), ("x", HOUR_MS), ("y", MINUTE_MS), ("z", 1_000))
_LABEL_DELAY_MS = 3 * DAY_MS


def entity(number: int) -> str:
    """The key of one of the entities."""
    return f"entity-{number:06d}"


def fill(store: StateStore, *, entities: int, events: int) -> int:
    """Give entities of all measured views state up to now; returns the bytes of all fields."""
    now_ms = time.time_ns() // 1_000_000
    return sum(
        _filled(store, view, entities=entities, events=events, now_ms=now_ms, seed=seed)
        for seed, view in enumerate(VIEWS)
    )


def _filled(  # noqa: PLR0913 - what state is made of
    store: StateStore, view: FeatureView, *, entities: int, events: int, now_ms: int, seed: int
) -> int:
    """Give entities the events of a window, as both layers have them some days on.

    Args:
        store: an empty one.
        view: whose state it is.
        entities: how many there are.
        events: of each in the view's longest window, on average.
        now_ms: when the last events are, ms UTC.
        seed: of the events.

    Returns:
        The bytes of all fields.
    """
    boundary_ms = now_ms // DAY_MS * DAY_MS - DAY_MS
    known_ms = boundary_ms if view.source.available_at else None
    plan, layout = plan_of(view), layout_of(view, boundary_ms, known_ms)
    chance = random.Random(seed)  # noqa: S311 - a benchmark's events
    generation = store.begin(view_key(view), boundary_ms)
    written = 0
    for number in range(entities):
        key = entity_key(entity(number))
        since_ms = boundary_ms - _REACH_DAYS * DAY_MS
        history = _block(chance, view, plan, since_ms, now_ms, events)
        batch, stream = _layers(history, boundary_ms, known_ms, now_ms)
        rows = [Row(key, *field) for field in build(plan, layout, batch).items()]
        store.write(generation, rows)
        changes = [
            Change(view_key(view), key, name, 1, 1, now_ms, content)
            for name, content in _stream_fields(plan, stream, now_ms)
        ]
        progress = store.progress().get(0)
        held = -1 if progress is None else progress.next_offset
        store.apply(changes, {0: Progress(held + 1, now_ms)}, {0: held}, now_ms)
        written += sum(len(row.content) for row in rows)
        written += sum(len(change.content) for change in changes)
    store.publish(generation, Had.until(generation, now_ms)._replace(known_ms=known_ms))
    store.covers(view_key(view), 1, ALWAYS_MS)
    # As a stream that keeps up for as long as anything is measured.
    store.caught_up({view_key(view): 1}, now_ms + DAY_MS)
    return written


def _layers(
    history: EventBlock, boundary_ms: int, known_ms: int | None, now_ms: int
) -> tuple[EventBlock, EventBlock]:
    """The events that the batch layer has, and those of the stream layer.

    That keeps what only the newest generation of the batch layer covers, beside what none does.
    """
    batch, stream = [], []
    for at, time_ms in enumerate(history.times):
        available_ms = history.available_ms(at)
        if available_ms > now_ms:
            continue
        if time_ms < boundary_ms and (known_ms is None or available_ms <= known_ms):
            batch.append(at)
        if (time_ms if known_ms is None else available_ms) >= boundary_ms - DAY_MS:
            stream.append(at)
    return history.chosen(batch), history.chosen(stream)


def _block(  # noqa: PLR0913, PLR0917 - what events are made of
    chance: random.Random,
    view: FeatureView,
    plan: PartialPlan,
    first_ms: int,
    end_ms: int,
    events: int,
) -> EventBlock:
    count = max(round(events * (end_ms - first_ms) / (_WINDOW_DAYS * DAY_MS)), 1)
    times = sorted(chance.randrange(first_ms, end_ms) for _ in range(count))
    delays_ms = [_LABEL_DELAY_MS] * count if view.source.available_at else None
    dedups = [b"tx-%010d" % chance.randrange(10**10) for _ in range(count)]
    greatest = 2 if delays_ms else 100_000
    columns = [[chance.randrange(greatest) for _ in range(count)] for _ in plan.columns]
    return EventBlock(times, dedups, delays_ms, columns)


def _stream_fields(
    plan: PartialPlan, block: EventBlock, now_ms: int
) -> Iterator[tuple[str, bytes]]:
    """Blocks, and tiles of what has ended, as the stream's operator writes them."""
    yield from _blocks(block, _WIDTHS)
    # The measured features of labels are delayed by more than these: no tile is without them.
    for letter, width_ms, most in (("d", DAY_MS, _UNTILED_EVENTS), ("h", HOUR_MS, _BLOCK_EVENTS)):
        for index, inside in _runs(block, width_ms):
            if (index + 1) * width_ms <= now_ms and len(inside) > most:
                yield f"{letter}{index}", tiles.encode(plan, tiles.fold(plan, inside))


def _blocks(block: EventBlock, widths: tuple[tuple[str, int], ...]) -> Iterator[tuple[str, bytes]]:
    (letter, width_ms), *finer = widths
    for index, inside in _runs(block, width_ms):
        if len(inside) <= _BLOCK_EVENTS or not finer:
            yield f"{letter}{index}", encode_events(inside)
        else:
            yield from _blocks(inside, tuple(finer))


def _runs(block: EventBlock, width_ms: int) -> Iterator[tuple[int, EventBlock]]:
    """The events of each range of a width."""
    for index, places in groupby(range(len(block)), lambda at: block.times[at] // width_ms):
        yield index, block.chosen(list(places))
