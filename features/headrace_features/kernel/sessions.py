"""Visibility of events in sessions, whose extent depends on the events around them."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING, cast

import numpy as np

from headrace_features.kernel.frames import NEVER_MS, Frame, Visibility, excluded, without

if TYPE_CHECKING:
    from headrace_features.definitions.windows import Session
    from headrace_features.kernel.arrays import Ints


def session_visibility(frame: Frame, window: Session, *, exclude_current: bool) -> Visibility:
    """The intervals of a session window over a frame.

    Where every event is known at its event time a chain only grows at its end, and an event is
    seen from its own time until the chain's end has been silent for a gap. Entities with events
    that are known late are followed event by event: a late one can join chains that were apart.
    """
    entity, time_ms = frame.event_entity, frame.event_ms
    last_ms = time_ms[_chain_ends(entity, time_ms, window.gap_ms)]
    enter_ms = time_ms + window.delay_ms
    leave_ms = last_ms + window.gap_ms + window.delay_ms + 1
    start = frame.first_row_at(enter_ms)
    stop = frame.first_row_at(leave_ms)
    event = frame.positions
    none = np.empty(0, np.int64)
    out_event, out_row = excluded(frame, start, stop) if exclude_current else (none, none)
    lost_event, lost_row = _lost_with(frame, window, start, out_event, out_row)
    out_event = np.concatenate([out_event, lost_event])
    out_row = np.concatenate([out_row, lost_row])
    late = None if frame.available_ms is None else frame.available_ms > enter_ms
    if late is not None and late.any():
        followed = _Follower(frame, window, exclude_current=exclude_current)
        entities = np.unique(entity[late])
        followed.follow(entities.tolist())
        prompt = ~np.isin(entity, entities)
        pair = prompt[out_event]
        pieces, outs = followed.found()
        event = np.concatenate([event[prompt], pieces[:, 0]])
        start = np.concatenate([start[prompt], pieces[:, 1]])
        stop = np.concatenate([stop[prompt], pieces[:, 2]])
        out_event = np.concatenate([out_event[pair], outs[:, 0]])
        out_row = np.concatenate([out_row[pair], outs[:, 1]])
    elif not len(out_event):
        return Visibility(event, start, stop, frame.rows, regular=True)
    return Visibility(*without(event, start, stop, out_event, out_row), frame.rows, regular=False)


def _chain_ends(entity: Ints, time_ms: Ints, gap_ms: int) -> Ints:
    """For each event the position of the last one in its chain."""
    count = len(time_ms)
    broken = np.ones(count, np.bool_)
    broken[:-1] = (entity[1:] != entity[:-1]) | (time_ms[1:] - time_ms[:-1] > gap_ms)
    ends = np.flatnonzero(broken)
    chain = np.concatenate([[0], np.cumsum(broken)[:-1]]) if count else np.empty(0, np.int64)
    return ends[chain] if count else ends


def _lost_with(
    frame: Frame, window: Session, start: Ints, out_event: Ints, out_row: Ints
) -> tuple[Ints, Ints]:
    """Pairs of event and row lost besides: leaving an event out can cut its chain.

    Everything before the cut is lost to that row, also when what is left is too long ago.
    """
    if not len(out_event):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    entity, time_ms = frame.event_entity, frame.event_ms
    end_ms = frame.row_ms[out_row] - window.delay_ms
    after = np.minimum(out_event + 1, frame.events - 1)
    before = np.maximum(out_event - 1, 0)
    # What comes next in the chain at that row: an event the row sees, or the row's own time.
    follows = (after > out_event) & (entity[after] == entity[out_event]) & (start[after] <= out_row)
    next_ms = np.where(follows, time_ms[after], end_ms)
    cut = (
        (before < out_event)
        & (entity[before] == entity[out_event])
        & (next_ms - time_ms[before] > window.gap_ms)
    )
    event, row = out_event[cut], out_row[cut]
    chain_start = _chain_starts(entity, time_ms, window.gap_ms)[event]
    size = event - chain_start
    first = np.repeat(chain_start, size)
    within = np.arange(int(size.sum())) - np.repeat(np.cumsum(size) - size, size)
    return first + within, np.repeat(row, size)


def _chain_starts(entity: Ints, time_ms: Ints, gap_ms: int) -> Ints:
    """For each event the position of the first one in its chain."""
    begins = np.ones(len(time_ms), np.bool_)
    begins[1:] = (entity[1:] != entity[:-1]) | (time_ms[1:] - time_ms[:-1] > gap_ms)
    chain: Ints = np.cumsum(begins) - 1
    return np.flatnonzero(begins)[chain]


class _Follower:
    """Follows entities with late events row by row, and notes who is seen from when to when."""

    def __init__(self, frame: Frame, window: Session, *, exclude_current: bool) -> None:
        self.frame = frame
        self.window = window
        self.exclude_current = exclude_current
        self.pieces: list[tuple[int, int, int]] = []
        self.outs: list[tuple[int, int]] = []

    def found(self) -> tuple[Ints, Ints]:
        """Pieces (event, start, stop) and pairs (event, row) that are left out of them."""
        pieces = np.array(self.pieces, np.int64).reshape(-1, 3)
        return pieces, np.array(self.outs, np.int64).reshape(-1, 2)

    def follow(self, entities: list[int]) -> None:
        """Follow each of some entities from its first row to its last."""
        frame = self.frame
        for entity in entities:
            first, last = np.searchsorted(frame.event_entity, [entity, entity + 1]).tolist()
            top, bottom = np.searchsorted(frame.row_entity, [entity, entity + 1]).tolist()
            self._follow_one(range(first, last), range(top, bottom))

    def _follow_one(self, events: range, rows: range) -> None:
        frame, gap_ms, delay_ms = self.frame, self.window.gap_ms, self.window.delay_ms
        event_ms = frame.event_ms[events.start : events.stop]
        # Only entities with late events are followed, so that there are such times.
        available_ms = cast("Ints", frame.available_ms)
        time_ms = dict(zip(events, event_ms.tolist(), strict=True))
        enter_ms = np.maximum(
            event_ms + delay_ms,
            available_ms[events.start : events.stop],
        )
        arriving = (np.argsort(enter_ms, kind="stable") + events.start).tolist()
        enter = dict(zip(events, enter_ms.tolist(), strict=True))
        known = _Chains(time_ms, gap_ms)
        seen: dict[int, int] = {}
        newest = NEVER_MS
        arrived = 0
        for row in rows:
            now_ms = int(frame.row_ms[row])
            fresh = arrived
            while arrived < len(arriving) and enter[arriving[arrived]] <= now_ms:
                known.add(arriving[arrived])
                arrived += 1
            before, newest = newest, known.newest(now_ms - delay_ms)
            if newest > before:
                for event in [event for event in seen if event < newest]:
                    self.pieces.append((event, seen.pop(event), row))
            # As long as the chain begins where it did, only what has just arrived is new in it.
            joining = arriving[fresh:arrived] if newest == before else known.since(newest)
            for event in joining:
                if event >= newest:
                    seen.setdefault(event, row)
            current = int(frame.current[row]) if self.exclude_current else -1
            if current in seen:
                self.outs.append((current, row))
                lost = known.lost_with(current, newest, now_ms - delay_ms)
                self.outs.extend((event, row) for event in lost)
        self.pieces.extend((event, start, rows.stop) for event, start in seen.items())


class _Chains:
    """The known events of one entity, by position, and where chains of them begin."""

    def __init__(self, time_ms: dict[int, int], gap_ms: int) -> None:
        self.time_ms = time_ms
        self.gap_ms = gap_ms
        self.known: list[int] = []
        self.begins: list[int] = []

    def add(self, event: int) -> None:
        """Learn of an event: it may begin a chain, extend one or join two."""
        at = bisect_left(self.known, event)
        before = self.known[at - 1] if at else None
        after = self.known[at] if at < len(self.known) else None
        self.known.insert(at, event)
        if before is None or self._apart(before, event):
            insort(self.begins, event)
        if after is not None:
            place = bisect_left(self.begins, after)
            begins = place < len(self.begins) and self.begins[place] == after
            if begins and not self._apart(event, after):
                del self.begins[place]

    def newest(self, end_ms: int) -> int:
        """The first event of the newest chain, or beyond every event if that is over."""
        if not self.known or end_ms - self.time_ms[self.known[-1]] > self.gap_ms:
            return NEVER_MS
        return self.begins[-1]

    def since(self, event: int) -> list[int]:
        """Known events from one on."""
        return self.known[bisect_left(self.known, event) :]

    def lost_with(self, event: int, newest: int, end_ms: int) -> list[int]:
        """Known events that leave the newest chain, if an event of it is left out."""
        at = bisect_left(self.known, event)
        start = bisect_left(self.known, newest)
        if at == start:
            return []
        last = at + 1 == len(self.known)
        next_ms = end_ms if last else self.time_ms[self.known[at + 1]]
        cut = next_ms - self.time_ms[self.known[at - 1]] > self.gap_ms
        return self.known[start:at] if cut else []

    def _apart(self, before: int, after: int) -> bool:
        return self.time_ms[after] - self.time_ms[before] > self.gap_ms
