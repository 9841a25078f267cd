"""Values of many entities at one time, where features are sums of integers.

What one entity's pieces give one after the other, sums along sorted columns give of all entities at
once: a few operations on arrays for each field, however many entities have it. An entity whose
state can't be read that way is read by itself, as are features that are no such sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from headrace_features.definitions.views import Feature
from headrace_features.definitions.windows import Session, Unbounded
from headrace_features.partials.events import read_events
from headrace_features.partials.packed import are_integers, how_many, joined_integers
from headrace_features.partials.partial import IntegerSums, Part, Value
from headrace_features.partials.sums import is_sum
from headrace_features.partials.tiles import read_row
from headrace_features.state.batch import steps
from headrace_features.state.read import Asked, EntityState, Found, Valued
from headrace_features.state.stream import blocks_of, span_of

if TYPE_CHECKING:
    from headrace_features.kernel.arrays import Ints
    from headrace_features.state.batch import Span, Step
    from headrace_features.state.layout import Layout
    from headrace_features.state.read import Moment

#: Sums of one field stay below it, so that those of all fields of a window have 64 bits.
_MOST = 1 << 55
#: An entity of which the stream has so many blocks is read by its tiles.
_MANY_BLOCKS = 32


class Together:
    """Features of a view, prepared for reading them of many entities at once."""

    def __init__(self, asked: Asked) -> None:
        """Tell those that are sums of integers from the others."""
        self._asked = asked
        self._sums = _Sums()
        self._features: list[tuple[int, int, tuple[tuple[int, Feature], ...]]] = []
        rest = []
        for number, window in enumerate(asked.windows):
            others = []
            for place, features in window.partials:
                partial = asked.plan.partials[place]
                # The base is one tile, and chains are joined: neither is a sum along a column.
                if is_sum(partial) and not isinstance(window.window, Session | Unbounded):
                    self._sums.add(place, partial)
                    self._features.append((number, place, features))
                else:
                    others.append((place, features))
            if others:
                rest.append((number, replace(window, partials=tuple(others))))
        self._rest = Asked(asked.plan, asked.features, tuple(window for _, window in rest))
        self._rest_windows = [number for number, _ in rest]
        self._rest_places = [
            at
            for window in self._rest.windows
            for _, features in window.partials
            for at, _ in features
        ]
        self._windows = {number for number, *_ in self._features}

    def read(self, moment: Moment, entities: Sequence[Found]) -> list[Valued]:
        """The value of each feature of each entity, with no event left out.

        Args:
            moment: when, and what the windows look at then.
            entities: what was found of each.
        """

        def alone(found: Found) -> Valued:
            return EntityState(self._asked, moment, found).read()

        if not self._features:
            return list(map(alone, entities))
        columns = _Columns(self._sums, moment, entities)
        try:
            sums = {number: columns.over(number) for number in self._windows}
        except _TooGreatError:
            return list(map(alone, entities))
        values: list[Sequence[Value]] = [[None] * len(entities)] * len(self._asked.features)
        for number, place, features in self._features:
            partial = self._sums.partials[place]
            states = partial.of_sums(sums[number][self._sums.places[place]].tolist())
            for at, feature in features:
                values[at] = [partial.finalize(state, feature) for state in states]
        rows = [Valued(row, moment.spans) for row in zip(*values, strict=True)]
        for row in columns.alone:
            rows[row] = alone(entities[row])
        if self._rest.windows:
            self._add_rest(moment, entities, rows, columns.alone)
        return rows

    def _add_rest(
        self,
        moment: Moment,
        entities: Sequence[Found],
        rows: list[Valued],
        done: set[int],
    ) -> None:
        """Put in the values of the features that are no sums."""
        rest = moment.of_windows(self._rest_windows)
        for row, found in enumerate(entities):
            if row in done:
                continue
            others = EntityState(self._rest, rest, found).read()
            values, spans = list(rows[row].values), list(rows[row].spans)
            for at in self._rest_places:
                values[at] = others.values[at]
            for number, span in zip(self._rest_windows, others.spans, strict=True):
                spans[number] = span
            rows[row] = Valued(values, spans)


class _TooGreatError(Exception):
    """A sum may leave 64 bits."""


class _Sums:
    """The sums of a view's partials, part after part.

    Attributes:
        parts: what each is a sum of.
        positions: the columns of events that are summed.
        places: by place in the plan, where the parts of a partial are.
        partials: by place in the plan.
    """

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.positions: list[int] = []
        self.places: dict[int, slice] = {}
        self.partials: dict[int, IntegerSums] = {}

    def add(self, place: int, partial: IntegerSums) -> None:
        """Sum a partial too."""
        if place in self.places:
            return
        self.places[place] = slice(len(self.parts), len(self.parts) + len(partial.parts))
        self.parts += partial.parts
        self.partials[place] = partial
        used = {part.position for part in self.parts if part.position is not None}
        self.positions = sorted(used)

    def of_tiles(self, partials: Sequence[Any]) -> list[Any]:
        """For each part the numbers of a row of tiles, as they are encoded."""
        return [
            numbers
            for place, partial in self.partials.items()
            for numbers in partial.encoded_parts(partials[place])
        ]


class _Columns:
    """The fields of many entities by columns.

    Attributes:
        alone: the entities whose sums are not right, since not all of their state is packed.
    """

    def __init__(self, sums: _Sums, moment: Moment, entities: Sequence[Found]) -> None:
        self._sums = sums
        self._moment = moment
        self._entities = entities
        self._there = frozenset().union(*(one.batch for one in entities))
        self._read: dict[tuple[str, str | None], _Sorted | None] = {}
        self._asked: dict[str, bool] = {}
        self.alone: set[int] = set()

    def over(self, window: int) -> Ints:
        """For each part and entity the sum over what a window looks at."""
        moment = self._moment
        found = np.zeros((len(self._sums.parts), len(self._entities)), np.int64)
        before = moment.batch[window]
        if moment.layout is not None and before is not None:
            for step in steps(moment.layout, *before, self._there):
                columns = self._batch(step)
                if columns is not None:
                    width_ms = step.width_ms or 1
                    found += columns.sums(step.first_ms // width_ms, step.last_ms // width_ms)
        for span in self._looked_at(window):
            columns = None if span is None else self._stream()
            if columns is not None and span is not None:
                found += columns.sums(*span)
        return found

    def _batch(self, step: Step) -> _Sorted | None:
        field, beside = key = step.field, step.beside
        if key not in self._read:
            rows = [
                row
                for row, one in enumerate(self._entities)
                if field in one.batch and (beside is None or beside in one.batch)
            ]
            contents = [self._entities[row].batch[field] for row in rows]
            read = self._events if step.width_ms is None else self._tiles
            self._read[key] = read(rows, contents) if rows else None
        return self._read[key]

    def _stream(self) -> _Sorted | None:
        if _STREAM not in self._read:
            rows: list[int] = []
            contents: list[bytes] = []
            layout = self._moment.layout
            late = layout is not None and layout.known_ms is not None
            for row, one in enumerate(self._entities):
                names = blocks_of(one.stream, late=late) if one.stream else ()
                if names is None or len(names) > _MANY_BLOCKS:
                    self.alone.add(row)
                else:
                    asked = [name for name in names if self._is_asked(name)]
                    rows += [row] * len(asked)
                    contents += [one.stream[name] for name in asked]
            self._read[_STREAM] = self._events(rows, contents, layout) if rows else None
        return self._read[_STREAM]

    def _is_asked(self, name: str) -> bool:
        """Whether a window looks at the time of a field of the stream layer."""
        if name not in self._asked:
            first_ms, last_ms = span_of(name)
            self._asked[name] = any(
                span is not None and span[0] <= last_ms and first_ms <= span[1]
                for window in range(len(self._moment.spans))
                for span in self._looked_at(window)
            )
        return self._asked[name]

    def _looked_at(self, window: int) -> Sequence[Span | None]:
        """The parts of a window that are asked of the stream layer."""
        moment = self._moment
        late = moment.layout is not None and moment.layout.known_ms is not None
        return (moment.stream[window], moment.batch[window] if late else None)

    def _events(
        self, rows: list[int], contents: Sequence[bytes], beside: Layout | None = None
    ) -> _Sorted | None:
        """Blocks of events, and the entities that they are of.

        Args:
            rows: for each block the entity.
            contents: the blocks.
            beside: the layout of a batch layer; what that has counts for nothing.
        """
        bases, offsets, _, delays, columns = zip(*map(read_events, contents), strict=True)
        numbers = [[one[at] for one in columns] for at in self._sums.positions]
        kept = self._kept(rows, numbers)
        rows, bases, offsets, delays, *numbers = _at(kept, rows, bases, offsets, delays, *numbers)
        if not rows:
            return None
        lengths = how_many(offsets)
        if not lengths.any():
            return None
        times = joined_integers(offsets) + np.repeat(bases, lengths)
        values = dict(zip(self._sums.positions, map(joined_integers, numbers), strict=True))
        sums = np.ones((len(self._sums.parts), len(times)), np.int64)
        for part, (position, power) in zip(sums, self._sums.parts, strict=True):
            if position is not None and power:
                _require_small(values[position], power)
                part[:] = values[position] ** power
        known = times
        late = [one for one in delays if one is not None]
        if late:
            of_late = np.repeat([one is not None for one in delays], lengths)
            known = times.copy()
            known[of_late] += joined_integers(late)
            sums *= known <= self._moment.time_ms
        if beside is not None and beside.known_ms is not None:
            sums *= (times >= beside.boundary_ms) | (known > beside.known_ms)
        return _Sorted(np.repeat(rows, lengths), times, sums, len(self._entities))

    def _tiles(self, rows: list[int], contents: Sequence[bytes]) -> _Sorted | None:
        """Rows of tiles, in the order of their hours or days, and the entities they are of."""
        indexes, partials, _ = zip(*map(read_row, contents), strict=True)
        parts = list(zip(*map(self._sums.of_tiles, partials), strict=True))
        rows, indexes, *numbers = _at(self._kept(rows, parts), rows, indexes, *parts)
        if not rows:
            return None
        sums = np.stack(list(map(joined_integers, numbers)))
        for part in sums:
            _require_small(part, 1)
        owners = np.repeat(rows, how_many(indexes))
        return _Sorted(owners, joined_integers(indexes), sums, len(self._entities))

    def _kept(self, rows: Sequence[int], columns: Sequence[Sequence[Any]]) -> list[int] | None:
        """The places where all numbers are packed integers; None if they are everywhere.

        Entities whose numbers are not are read alone.
        """
        if all(map(are_integers, columns)):
            return None
        fit = [are_integers(one) for one in zip(*columns, strict=True)]
        self.alone.update(row for row, fits in zip(rows, fit, strict=True) if not fits)
        return [at for at, fits in enumerate(fit) if fits]


def _at(places: list[int] | None, *columns: Sequence[Any]) -> list[list[Any]]:
    """What columns have at some places; all of it for None."""
    if places is None:
        return list(map(list, columns))
    return [[column[at] for at in places] for column in columns]


_STREAM = ("stream", None)


class _Sorted:
    """Numbers of several entities in the order of time, which are summed over any span of it."""

    def __init__(self, rows: Ints, times: Ints, numbers: Ints, entities: int) -> None:
        """Put numbers in order.

        Args:
            rows: for each number which entity it is of.
            times: of each.
            numbers: by part.
            entities: how many there are.
        """
        self._first = int(times.min())
        self._width = int(times.max()) - self._first + 1
        keys = rows * self._width + (times - self._first)
        if (keys[1:] < keys[:-1]).any():
            order = np.argsort(keys, kind="stable")
            keys, numbers = keys[order], numbers[:, order]
        self._keys = keys
        self._starts = np.arange(entities) * self._width
        self._before = np.zeros((len(numbers), len(keys) + 1), np.int64)
        np.cumsum(numbers, axis=1, out=self._before[:, 1:])

    def sums(self, first: int, last: int) -> Ints:
        """For each part and entity the sum over a span, closed on both sides."""
        start = np.searchsorted(self._keys, self._starts + self._inside(first))
        stop = np.searchsorted(self._keys, self._starts + self._inside(last + 1))
        found: Ints = self._before[:, stop] - self._before[:, start]
        return found

    def _inside(self, time: int) -> int:
        return min(max(time - self._first, 0), self._width)


def _require_small(values: Ints, power: int) -> None:
    """See that no sum of numbers to a power leaves 64 bits.

    Raises:
        _TooGreatError: one may.
    """
    if len(values):
        greatest = max(int(values.max()), -int(values.min()))
        if greatest**power * len(values) >= _MOST:
            raise _TooGreatError
