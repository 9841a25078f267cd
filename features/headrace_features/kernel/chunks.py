"""Some entities at a time: a slice of a frame, with what its aggregates share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, cast

import numpy as np
import pyarrow as pa

from headrace_features.kernel import columns
from headrace_features.kernel.exact import Exact
from headrace_features.kernel.frames import Frame, Run, Visibility
from headrace_features.kernel.visibility import run, sees_runs, visibility

if TYPE_CHECKING:
    from headrace_features.definitions.views import Feature
    from headrace_features.definitions.windows import Sliding, Tumbling, Unbounded, Window
    from headrace_features.kernel.arrays import Bools, Doubles, Ints
    from headrace_features.kernel.prepare import Prepared


@dataclass(frozen=True)
class Events:
    """The columns of the events of a chunk, each made when it is first asked for.

    Attributes:
        place: position of each event in the table of events.
        numbers, codes: a column's numbers, or the dense codes of its values, in kernel order.
        table: all events, in their own order.
    """

    place: Ints
    numbers: Callable[[str], columns.NumericColumn]
    codes: Callable[[str], columns.NumericColumn]
    table: pa.Table

    @cached_property
    def exact(self) -> Callable[[str], Exact]:
        """The numbers of a column as exact values, 0 for null."""
        return cache(lambda name: _exact(self.numbers(name).values))

    @cached_property
    def squares(self) -> Callable[[str], Exact]:
        """The exact squares of a column."""
        return cache(lambda name: self.exact(name).squared())

    @cached_property
    def running(self) -> Callable[[Callable[[str], Exact], str], Exact]:
        """Running sums of a column's numbers or squares."""
        return cache(lambda of, name: of(name).running())

    @cached_property
    def running_valid(self) -> Callable[[str], Ints]:
        """Running counts of a column's values that are not null; of a column that has nulls."""
        return cache(lambda name: running_count(cast("Bools", self.numbers(name).valid)))


@dataclass(frozen=True)
class Chunk:
    """The events and rows of some entities: a slice of the frame with its columns.

    Attributes:
        frame: events and rows, with entity codes from 0.
        rows: which rows of the whole frame these are.
        events: the columns of its events.
    """

    frame: Frame
    rows: slice
    events: Events

    def seen(self, feature: Feature) -> Run | Visibility:
        """What each row sees through the window of a feature, in the form that is quickest."""
        return self._seen(feature.window, feature.exclude_current)

    def visibility(self, feature: Feature) -> Visibility:
        """Which rows see which events through the window of a feature."""
        return self._visibility(feature.window, feature.exclude_current)

    def parts(self, size: int) -> Iterator[Chunk]:
        """Some of the rows at a time, each time with all the events."""
        for top in range(0, self.frame.rows, size):
            rows = slice(top, min(top + size, self.frame.rows))
            whole = slice(self.rows.start + rows.start, self.rows.start + rows.stop)
            yield Chunk(self.frame.part(rows), whole, self.events)

    @cached_property
    def _seen(self) -> Callable[[Window, bool], Run | Visibility]:
        def found(window: Window, exclude_current: bool) -> Run | Visibility:  # noqa: FBT001 - a cache's key
            if sees_runs(self.frame, window, exclude_current=exclude_current):
                return run(self.frame, cast("Sliding | Tumbling | Unbounded", window))
            return self._visibility(window, exclude_current)

        return cache(found)

    @cached_property
    def _visibility(self) -> Callable[[Window, bool], Visibility]:
        return cache(
            lambda window, exclude: visibility(self.frame, window, exclude_current=exclude)
        )


def running_count(flags: Bools) -> Ints:
    """How many of the first 0, 1, 2, … flags are set."""
    return np.concatenate([[0], np.cumsum(flags)])


def chunks(prepared: Prepared, size: int) -> Iterator[Chunk]:
    """The entities that have rows, with about `size` rows at a time.

    Args:
        prepared: the whole frame.
        size: rows in a chunk; an entity is never divided, so one with more has its own chunk.
    """
    frame, order, table = prepared.frame, prepared.event_order, prepared.events

    @cache
    def numbers(name: str) -> columns.NumericColumn:
        return columns.numbers(table[name], order)

    @cache
    def codes(name: str) -> columns.NumericColumn:
        return columns.codes(table[name], order)

    for first, last, top, bottom in _bounds(frame, size):
        origin = int(frame.row_entity[top])
        available = frame.available_ms
        current = frame.current[top:bottom]
        yield Chunk(
            frame=Frame(
                event_entity=frame.event_entity[first:last] - origin,
                event_ms=frame.event_ms[first:last],
                available_ms=None if available is None else available[first:last],
                row_entity=frame.row_entity[top:bottom] - origin,
                row_ms=frame.row_ms[top:bottom],
                current=np.where((current >= first) & (current < last), current - first, -1),
            ),
            rows=slice(top, bottom),
            events=Events(
                place=order[first:last],
                numbers=cache(lambda name, a=first, b=last: numbers(name).slice(a, b)),
                codes=cache(lambda name, a=first, b=last: codes(name).slice(a, b)),
                table=table,
            ),
        )


def _bounds(frame: Frame, size: int) -> Iterator[tuple[int, int, int, int]]:
    """Ranges of events and rows of whole entities."""
    top = 0
    while top < frame.rows:
        entity = int(frame.row_entity[top])
        bottom = min(top + size, frame.rows)
        if bottom < frame.rows:
            # Up to where the last entity begins, or to its end if it is the only one.
            last_entity = int(frame.row_entity[bottom])
            bottom = int(
                np.searchsorted(frame.row_entity, last_entity)
                if last_entity != entity
                else np.searchsorted(frame.row_entity, last_entity, side="right")
            )
        end = int(frame.row_entity[bottom - 1]) + 1
        first, last = np.searchsorted(frame.event_entity, [entity, end]).tolist()
        yield first, last, top, bottom
        top = bottom


def _exact(values: Ints | Doubles) -> Exact:
    if values.dtype == np.float64:
        return Exact.of_doubles(cast("Doubles", values))
    return Exact.of_integers(cast("Ints", values))
