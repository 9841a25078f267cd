"""The values of a view by the kernel: as batch has them, and of exactly what a state had seen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from headrace_features.kernel.compute import computed
from headrace_features.kernel.keys import SortedKeys
from headrace_features.kernel.prepare import ARROW_TYPES, Rows, arranged, encode_keys
from headrace_orchestration.parity.sequences import NEVER
from headrace_schemas.errors import BadRecordError

if TYPE_CHECKING:
    from headrace_features.definitions.views import FeatureView
    from headrace_features.kernel.arrays import Bools, Ints
    from headrace_orchestration.parity.states import ViewState

#: Pairs of a row and an event that are looked at together.
_PAIRS = 2_000_000
_BEGINNING_MS = -(1 << 62)


@dataclass(frozen=True)
class Values:
    """Features for some rows.

    Attributes:
        columns: a column for each feature of the view.
        overflow: the rows of which a sum is outside int64; they have no values.
    """

    columns: dict[str, pa.Array]
    overflow: Bools


@dataclass(frozen=True)
class Seen:
    """Rows, each with the events that matter to it: those up to its time, back as far as needed.

    Attributes:
        rows: the positions of the rows.
        row: for each pair the place of its row in `rows`.
        event: for each pair the position of its event.
        seen: the pairs whose event the state had taken in and that were known.
        differs: the pairs whose event only one of state and batch has.
    """

    rows: Ints
    row: Ints
    event: Ints
    seen: Bools
    differs: Bools


class Kernel:
    """Computes the features of one view over what its state was given."""

    def __init__(self, state: ViewState) -> None:
        self._state = state
        self._view = state.view
        events = state.events
        self._order = np.lexsort((events.time_ms, events.entity))
        self._keys = SortedKeys(
            events.entity[self._order], events.time_ms[self._order], state.entities
        )
        self._event_id = self._row_id = np.empty(0, np.int64)
        if any(feature.exclude_current for feature in state.view.features):
            chunks = [*events.ids.chunks, *state.asked.ids.chunks]
            codes = encode_keys(pa.chunked_array(chunks, pa.string()))
            self._event_id, self._row_id = codes[: len(events)], codes[len(events) :]

    def batch(self) -> Values:
        """The point-in-time values of all rows: each event counts from when it could be known."""
        state = self._state
        position = np.flatnonzero(state.events.batch)
        current = np.full(len(state.asked), -1, np.int64)
        if len(self._row_id):
            of_id = np.full(int(max(self._event_id.max(initial=-1), self._row_id.max())) + 1, -1)
            of_id[self._event_id[position]] = np.arange(len(position))
            current = of_id[self._row_id]
        asked = state.asked
        rows = Rows(state.events.entity[position], asked.entity, asked.time_ms, current)
        return values(self._view, state.events.table.take(pa.array(position)), rows)

    def last(self, rows: Ints) -> Values:
        """The values at rows of different entities, each of all that its entity had taken in."""
        state = self._state
        asked = state.asked
        until = np.full(state.entities, -1, np.int64)
        until[asked.entity[rows]] = asked.sequence[rows]
        position = np.flatnonzero(state.events.place <= until[state.events.entity])
        current = np.full(len(rows), -1, np.int64)
        if len(self._row_id):
            of_entity = np.full(state.entities, -1, np.int64)
            of_entity[asked.entity[rows]] = np.arange(len(rows))
            row = of_entity[state.events.entity[position]]
            is_current = self._event_id[position] == self._row_id[rows[row]]
            current[row[is_current]] = np.flatnonzero(is_current)
        of_rows = Rows(
            state.events.entity[position], asked.entity[rows], asked.time_ms[rows], current
        )
        return values(self._view, state.events.table.take(pa.array(position)), of_rows)

    def uncertain(self) -> Ints:
        """The rows for which the state may have had other events than batch.

        For all others batch values are those of what the state had seen.
        """
        state = self._state
        events, asked = state.events, state.asked
        order = np.lexsort((events.available_ms, events.entity))
        entity = events.entity[order]
        # The greatest place among the batch events of an entity that are known up to each.
        place = np.where(events.batch, events.place, -1)[order]
        ranks = np.argsort(np.argsort(place, kind="stable"), kind="stable")
        running = np.maximum.accumulate(entity * (len(order) + 1) + ranks) % (len(order) + 1)
        place_of_rank = np.sort(place)
        known = SortedKeys(entity, events.available_ms[order], state.entities)
        start = known.first_at(asked.entity, np.full(len(asked), _BEGINNING_MS))
        end = known.first_at(asked.entity, asked.time_ms + 1)
        some = end > start
        greatest = np.full(len(asked), -1, np.int64)
        greatest[some] = place_of_rank[running[end[some] - 1]]
        odd = np.zeros(state.entities, np.bool_)
        odd[events.entity[~events.batch]] = True
        return np.flatnonzero((greatest > asked.sequence) | odd[asked.entity])

    def seen(self, rows: Ints) -> Iterator[Seen]:
        """Some rows with the events that matter to them, so many at a time as memory allows."""
        state = self._state
        asked, events = state.asked, state.events
        time_ms, entity = asked.time_ms[rows], asked.entity[rows]
        lookback_ms = self._view.lookback_ms
        first_ms = (
            np.full(len(rows), _BEGINNING_MS) if lookback_ms is None else time_ms - lookback_ms
        )
        start = self._keys.first_at(entity, first_ms)
        size = self._keys.first_at(entity, time_ms + 1) - start
        part = np.cumsum(size) // _PAIRS
        for number in np.unique(part):
            here = np.flatnonzero(part == number)
            row, place = _ranges(start[here], size[here])
            event = self._order[place]
            known = events.available_ms[event] <= time_ms[here][row]
            seen = known & (events.place[event] <= asked.sequence[rows[here]][row])
            differs = known & (events.batch[event] != seen)
            yield Seen(rows[here], row, event, seen, differs)

    def of(self, seen: Seen) -> Values:
        """The values of exactly what the state had seen at some rows."""
        row, event = seen.row[seen.seen], seen.event[seen.seen]
        current = np.full(len(seen.rows), -1, np.int64)
        if len(self._row_id):
            is_current = self._event_id[event] == self._row_id[seen.rows[row]]
            current[row[is_current]] = np.flatnonzero(is_current)
        # Each row is an entity of its own, with its own copy of the events.
        rows = Rows(row, np.arange(len(seen.rows)), self._state.asked.time_ms[seen.rows], current)
        return values(self._view, self._state.events.table.take(pa.array(event)), rows)

    def newest_event(self, rows: Ints) -> Ints:
        """For some rows the newest event that the state had taken in, by event time; -1 for none.

        It made the clock by which lateness is told.
        """
        state = self._state
        entity = state.asked.entity[rows]
        start = self._keys.first_at(entity, np.full(len(rows), _BEGINNING_MS))
        end = self._keys.first_at(entity, np.full(len(rows), NEVER))
        newest = np.full(len(rows), -1, np.int64)
        for place, (first, last) in enumerate(zip(start.tolist(), end.tolist(), strict=True)):
            event = self._order[first:last]
            taken = event[state.events.place[event] <= state.asked.sequence[rows[place]]]
            if len(taken):
                newest[place] = taken[-1]
        return newest


def values(view: FeatureView, events: pa.Table, rows: Rows) -> Values:
    """The features at some rows; where a sum is outside int64 there are none."""
    overflow = np.zeros(len(rows.row_entity), np.bool_)
    columns: dict[str, list[pa.Array]] = {name: [] for name in view.feature_names}
    todo = [np.arange(len(overflow))]
    while todo:
        some = todo.pop()
        part = Rows(
            rows.event_entity, rows.row_entity[some], rows.times_ms[some], rows.current[some]
        )
        try:
            found = computed(view, arranged(view, events, part)) if len(some) else {}
        except BadRecordError:
            if len(some) > 1:
                # The kernel refuses all rows for one: look for it.
                todo.extend((some[len(some) // 2 :], some[: len(some) // 2]))
                continue
            overflow[some] = True
            found = {}
        for feature in view.features:
            kind = ARROW_TYPES[feature.type]
            columns[feature.name].append(found.get(feature.name, pa.nulls(len(some), kind)))
    return Values(
        {
            name: pa.concat_arrays([_whole(part) for part in parts])
            for name, parts in columns.items()
        },
        overflow,
    )


def _ranges(start: Ints, size: Ints) -> tuple[Ints, Ints]:
    """All places of several ranges, and which range each is of."""
    row = np.repeat(np.arange(len(size)), size)
    ends = np.cumsum(size)
    place = np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(start - (ends - size), size)
    return row, place


def _whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    if isinstance(column, pa.ChunkedArray):
        return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    return column
