"""Events and rows of the same entities, and which rows see which events.

Rows of one entity are sorted by time, and an event, once inside a window and known, stays so until
it leaves: it is seen by an interval of rows. Every aggregate can be computed from these intervals.
An event that becomes known late just starts later, so nothing is joined with itself. Where all are
known at their own time, a row also sees a run of successive events, which is quicker to find.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING

import numpy as np

from headrace_features.kernel.keys import SortedKeys
from headrace_features.kernel.sorting import stable_order

if TYPE_CHECKING:
    from headrace_features.kernel.arrays import Ints

#: Later than any row.
NEVER_MS = 2**62


@dataclass(frozen=True)
class Frame:
    """Events and rows of the same entities, both sorted by (entity, time).

    Attributes:
        event_entity, event_ms: entity codes and event times, shape (events,).
        available_ms: when each event could be known; None if at its event time.
        row_entity, row_ms: entity codes and times of the spine, shape (rows,).
        current: for each row the position of the event being decided, or -1; shape (rows,).
    """

    event_entity: Ints
    event_ms: Ints
    available_ms: Ints | None
    row_entity: Ints
    row_ms: Ints
    current: Ints

    @property
    def events(self) -> int:
        """Number of events."""
        return len(self.event_ms)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return len(self.row_ms)

    @cached_property
    def positions(self) -> Ints:
        """The position of each event, from 0."""
        return np.arange(self.events)

    def entering(self, delay_ms: int, hop_ms: int) -> tuple[Ints, Ints]:
        """When each event enters a window, and the first row at which it is seen; both (events,).

        That is when the window's new edge, which is behind by a delay and moves by hops, has
        passed it, but not before the event is known. Windows that differ in size share it.
        """
        return self._entering(delay_ms, hop_ms)

    @cached_property
    def _entering(self) -> Callable[[int, int], tuple[Ints, Ints]]:
        return cache(self._found_entering)

    def _found_entering(self, delay_ms: int, hop_ms: int) -> tuple[Ints, Ints]:
        enter_ms = end_of_hop(self.event_ms, hop_ms) + delay_ms
        if self.available_ms is not None:
            enter_ms = np.maximum(enter_ms, self.available_ms)
        return enter_ms, self.first_row_at(enter_ms)

    def first_row_at(self, time_ms: Ints) -> Ints:
        """For each event, the first row of its entity at or after a time, or past the last one.

        Args:
            time_ms: one time for each event, shape (events,).
        """
        return self._row_keys.first_at(self.event_entity, time_ms)

    def first_event_at(self, time_ms: Ints) -> Ints:
        """For each row, the first event of its entity at or after a time, or past the last one.

        Args:
            time_ms: one time for each row, shape (rows,).
        """
        return self._event_keys.first_at(self.row_entity, time_ms)

    def part(self, rows: slice) -> Frame:
        """All the events and some of the rows."""
        part = replace(
            self,
            row_entity=self.row_entity[rows],
            row_ms=self.row_ms[rows],
            current=self.current[rows],
        )
        # The events are the same: their keys are made once.
        vars(part)["_event_keys"] = self._event_keys
        return part

    @cached_property
    def _row_keys(self) -> SortedKeys:
        return SortedKeys(self.row_entity, self.row_ms, self._entities)

    @cached_property
    def _event_keys(self) -> SortedKeys:
        return SortedKeys(self.event_entity, self.event_ms, self._entities)

    @property
    def _entities(self) -> int:
        codes = (self.row_entity, self.event_entity)
        return max((int(code[-1]) for code in codes if len(code)), default=0) + 1


def end_of_hop(time_ms: Ints, hop_ms: int) -> Ints:
    """The last millisecond of the hop that each time is in."""
    return time_ms if hop_ms == 1 else time_ms - time_ms % hop_ms + (hop_ms - 1)


@dataclass(frozen=True)
class Visibility:
    """Intervals of rows: piece i is event[i], seen by rows start[i] <= row < stop[i].

    Attributes:
        event, start, stop: shape (pieces,), with start <= stop. An event may have several pieces,
            which don't overlap.
        rows: number of rows.
        regular: whether each event has one piece, in order, with starts and stops that never fall.
    """

    event: Ints
    start: Ints
    stop: Ints
    rows: int
    regular: bool

    @cached_property
    def pieces(self) -> tuple[Ints, Ints, Ints]:
        """Events, starts and stops of the pieces that are not empty."""
        kept = self.start < self.stop
        return self.event[kept], self.start[kept], self.stop[kept]

    @cached_property
    def entered(self) -> Ints:
        """For each row, how many pieces have started; shape (rows,)."""
        return self._up_to(self.start)

    @cached_property
    def left(self) -> Ints:
        """For each row, how many pieces have stopped; shape (rows,)."""
        return self._up_to(self.stop)

    @cached_property
    def count(self) -> Ints:
        """For each row, how many events it sees; shape (rows,)."""
        return self.entered - self.left

    @cached_property
    def by_start(self) -> Ints:
        """The order of the pieces by their start."""
        return stable_order(self.start)

    @cached_property
    def by_stop(self) -> Ints:
        """The order of the pieces by their stop."""
        return stable_order(self.stop)

    def _up_to(self, at: Ints) -> Ints:
        counts = np.bincount(at, minlength=self.rows + 1)[: self.rows]
        return np.cumsum(counts, out=counts)


@dataclass(frozen=True)
class Run:
    """What each row sees where that is a run of successive events.

    Attributes:
        entered, left: positions of the first event after the run and of its first one; (rows,).
    """

    entered: Ints
    left: Ints

    @cached_property
    def count(self) -> Ints:
        """For each row, how many events it sees; shape (rows,)."""
        return self.entered - self.left


def excluded(frame: Frame, start: Ints, stop: Ints) -> tuple[Ints, Ints]:
    """Pairs of event and row where a row would see the event that it decides.

    Args:
        frame: the events and rows.
        start, stop: the one interval of each event.
    """
    row = np.flatnonzero(frame.current >= 0)
    event = frame.current[row]
    seen = (start[event] <= row) & (row < stop[event])
    return event[seen], row[seen]


def without(
    event: Ints, start: Ints, stop: Ints, out_event: Ints, out_row: Ints
) -> tuple[Ints, Ints, Ints]:
    """Cut rows out of intervals: starts and stops pair up again in sorted order.

    Args:
        event, start, stop: intervals; those of one event don't overlap.
        out_event, out_row: distinct pairs that lie inside an interval.
    """
    events = np.concatenate([event, out_event])
    starts = np.concatenate([start, out_row + 1])
    stops = np.concatenate([stop, out_row])
    by_start, by_stop = np.lexsort((starts, events)), np.lexsort((stops, events))
    return events[by_start], starts[by_start], stops[by_stop]
