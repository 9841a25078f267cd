"""What comes into an online store, what is asked in between, and what the oracle says to that.

A story has groups of entities. The events of each come by the stream in some steps, and in one of
these steps views are materialized up to another day. The lake has all events from the start. In a
story of a lake that learns it has those that have come, of one group, and views are materialized
several times. Rows are asked for at times at which nothing that is yet to come can be known, so
that their values are those of the whole history.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

import msgspec

from engine_cases import MIDNIGHT_MS
from headrace_features import EventSource, FeatureView, oracle
from headrace_features.definitions.durations import DAY_MS, HOUR_MS, MINUTE_MS
from headrace_features.definitions.fingerprint import fingerprint
from headrace_features.definitions.on_demand import OnDemandFeature
from headrace_features.expressions.rows import evaluate
from headrace_features.kernel.prepare import apply_expressions
from headrace_features.online.layers import ALWAYS_MS
from headrace_features.oracle import Row, SpineRow, Value
from headrace_features.state.layout import AS_OF_RETENTION_MS
from headrace_features.state.updates import UPDATE_ENCODING, Update
from headrace_schemas.errors import BadRecordError
from histories import as_table, finite, time_of
from operator_jvm import Jvm
from operator_requests import CALENDAR, LOW, USUAL, Told, taken_in
from reader_definitions import CONTEXT, LATELY, PROMPTLY, VIEWS

EPOCH = 3
#: The boundary that comes in the time of each group, in days from the middle of all events: none
#: yet, before everything, in between, where one is repeated, and after everything.
BOUNDARIES = (None, -12, -4, 1, 1, 8, 22)
STEPS = 4
_MOVED = 0.6
_ROWS = 6
#: How much after an event can be known it may come, which is less than the stream bears.
_DISORDER_MS = 30 * MINUTE_MS
_LATENESS_MS = {PROMPTLY.name: HOUR_MS, LATELY.name: 100 * DAY_MS}
_BEGIN_MS, _END_MS = MIDNIGHT_MS - 15 * DAY_MS, MIDNIGHT_MS + 60 * DAY_MS


@dataclass(frozen=True)
class Asked:
    """A row: whose values are asked for, as of when, and what the request brings."""

    sensor: str
    station: int
    time_ms: int
    current: str | None
    given: float | None
    number: int | None


@dataclass(frozen=True)
class Step:
    """What comes next.

    Attributes:
        updates: records of the stream, some of them once more.
        events: by source, what comes into the lake.
        last: the last day of the batch layers that come after them, if any do.
        rows: what is asked for then.
    """

    updates: Sequence[bytes]
    events: Mapping[str, Sequence[Row]]
    last: date | None
    rows: Sequence[Asked]


@dataclass(frozen=True)
class Story:
    """What comes one after the other, and the values of all rows.

    Attributes:
        learning: whether the lake has only what has come.
    """

    steps: Sequence[Step]
    expected: Mapping[Asked, Mapping[str, Value]]
    learning: bool


def story_of(seed: int, operator: Jvm) -> Story:
    """The story that a seed draws; the operator writes what the stream brings."""
    chance = random.Random(seed)
    groups = [_Group(number, chance) for number in range(len(BOUNDARIES))]
    events = _by_source([one for group in groups for one in group.happened])
    steps: list[Step] = []
    boundary: int | None = None
    for group, days in zip(groups, BOUNDARIES, strict=True):
        moves = chance.randrange(STEPS)
        for number, (updates, _, missing) in enumerate(group.sent(operator, STEPS)):
            moved = number == moves and days is not None
            boundary = days if moved else boundary
            coming = [one for one in missing if time_of(one.event) >= _boundary_ms(boundary)]
            held = _Held.of(boundary, coming)
            # What was asked for earlier is still so, if the store answers for such times.
            earlier = [row for step in steps for row in step.rows if row.time_ms >= held.first_ms]
            again = chance.sample(earlier, min(2, len(earlier)))
            last = _day_before(boundary) if moved and boundary is not None else None
            rows = [*group.rows(held), *again]
            steps.append(Step(updates, {} if steps else events, last, rows))
    return _told(steps, events, learning=False)


def learning_story_of(seed: int, operator: Jvm) -> Story:
    """The story of a lake that learns of events as they come."""
    chance = random.Random(seed)
    group = _Group(3, chance)
    steps: list[Step] = []
    boundary: int | None = None
    came: list[_Happened] = []
    for updates, new, missing in group.sent(operator, 3 * STEPS):
        newest_ms = max((one.known_ms for one in new), default=_BEGIN_MS)
        # Of the newest day more may come, and the next may be given by hand.
        days = (newest_ms - MIDNIGHT_MS) // DAY_MS + chance.choice([-4, 0, 1, 2])
        came += new
        whole = {one.source.name for one in came} == {PROMPTLY.name, LATELY.name}
        later = boundary is None or days > boundary
        moved = whole and later and chance.random() < _MOVED
        boundary = days if moved else boundary
        held = _Held.of(boundary, missing)
        last = _day_before(days) if moved else None
        rows = [*group.rows(held), *group.rows(held)]
        steps.append(Step(updates, _by_source(new), last, rows))
    return _told(steps, _by_source(group.happened), learning=True)


def _told(steps: Sequence[Step], events: Mapping[str, Sequence[Row]], *, learning: bool) -> Story:
    rows = list(dict.fromkeys(row for step in steps for row in step.rows))
    return Story(steps, dict(zip(rows, _expected(events, rows), strict=True)), learning)


class _Happened(NamedTuple):
    """An event of a source."""

    source: EventSource
    event: Row

    @property
    def known_ms(self) -> int:
        """When it can first be known."""
        return int(str(self.event[self.source.available_at or self.source.event_time]))


def _by_source(happened: Sequence[_Happened]) -> dict[str, list[Row]]:
    return {
        source.name: [event for of, event in happened if of is source]
        for source in (PROMPTLY, LATELY)
    }


class _Held(NamedTuple):
    """The first and last time that a store can answer for, and has all events of a group for."""

    first_ms: int
    last_ms: int

    @staticmethod
    def of(boundary: int | None, coming: Sequence[_Happened]) -> _Held:
        """The times under a boundary, while some events are yet to come."""
        first_ms = max(_BEGIN_MS, _boundary_ms(boundary) - AS_OF_RETENTION_MS)
        return _Held(first_ms, min((one.known_ms for one in coming), default=_END_MS) - 1)


def _boundary_ms(boundary: int | None) -> int:
    return ALWAYS_MS if boundary is None else MIDNIGHT_MS + boundary * DAY_MS


class _Group:
    """Some entities, their events, and the order in which these come."""

    def __init__(self, number: int, chance: random.Random) -> None:
        self._chance = chance
        self._sensors = [f"{number}:ß", f"sensor {number}", "" if number == 0 else f"{number}"]
        self._stations = [-number - 1, 2**62 + number, 1_000 + number]
        middle_ms = MIDNIGHT_MS + (BOUNDARIES[number] or 0) * DAY_MS
        self.happened = [
            _Happened(source, self._event(f"{number}{letter}{at:03d}"[::-1], middle_ms, delays))
            for source, letter, delays in (
                (PROMPTLY, "p", (0, 1, DAY_MS)),
                (LATELY, "l", (0, 0, 1, HOUR_MS, 7 * HOUR_MS, DAY_MS, 9 * DAY_MS)),
            )
            for at in range(chance.choice([20, 100, 300]))
        ]

    def sent(
        self, operator: Jvm, steps: int
    ) -> Iterator[tuple[list[bytes], Sequence[_Happened], Sequence[_Happened]]]:
        """For each step the records and events that come, and those that are then yet to come."""
        disorder = [self._chance.choice([0, 0, _DISORDER_MS]) for _ in self.happened]
        order = sorted(
            range(len(self.happened)), key=lambda at: self.happened[at].known_ms + disorder[at]
        )
        coming = [self.happened[at] for at in order]
        records = self._records(operator, coming)
        cuts = sorted(self._chance.sample(range(len(coming)), steps - 1))
        for start, stop in pairwise([0, *cuts, len(coming)]):
            new = [record for some in records[start:stop] for record in some]
            # A writer that was killed reads some of them again.
            known = [record for some in records[:stop] for record in some]
            again = self._chance.sample(known, min(20, len(known)))
            yield [*new, *again], coming[start:stop], coming[stop:]

    def _records(self, operator: Jvm, coming: Sequence[_Happened]) -> list[list[bytes]]:
        """Of each event the records of all views."""
        records: list[list[bytes]] = [[] for _ in coming]
        for view in VIEWS:
            places = {
                str(event["reading_id"]): at
                for at, (source, event) in enumerate(coming)
                if source is view.source
            }
            events = as_table(view, [coming[at].event for at in places.values()])
            told, _ = taken_in(
                operator,
                view,
                apply_expressions(view, events).to_pylist(),
                lateness=_LATENESS_MS[view.source.name],
                widths=CALENDAR,
                limits=self._chance.choice([LOW, USUAL]),
            )
            sequences: Counter[Value] = Counter()
            for one in told:
                assert one.absorbed, "it comes later than the stream bears"
                sequences[one.event[view.entity.join_key]] += 1
                sequence = sequences[one.event[view.entity.join_key]]
                records[places[str(one.event["reading_id"])]] += _written(view, one, sequence)
        return records

    def rows(self, held: _Held) -> list[Asked]:
        """Some rows as of times that the store has everything for; none if there are no such."""
        return [self._row(held) for _ in range(_ROWS)] if held.first_ms <= held.last_ms else []

    def _row(self, held: _Held) -> Asked:
        choice = self._chance.choice
        event = choice(self.happened).event
        time_ms = time_of(event) + choice([0, 0, 1, -1, 777_777, 3 * HOUR_MS, DAY_MS, 9 * DAY_MS])
        if not held.first_ms <= time_ms <= held.last_ms:
            time_ms = choice([self._chance.randint(*held), *held])
        return Asked(
            sensor=choice([str(event["sensor"]), *self._sensors, "nobody"]),
            station=choice([int(str(event["station"])), *self._stations, 404]),
            time_ms=time_ms,
            current=choice([None, str(event["reading_id"]), "none such"]),
            given=choice([None, -0.0, 0.1, 1e308, self._chance.uniform(-9, 9)]),
            number=choice([None, 0, 7, -3, 2**53 + 1, 2**63 - 1]),
        )

    def _event(self, key: str, middle_ms: int, delays: Sequence[int]) -> Row:
        """An event at any time, or one of many of the same entities on some days."""
        choice, between = self._chance.choice, self._chance.randint
        busy = choice([True, False])
        if busy:
            time_ms = middle_ms + between(-30 * 60, 30 * 60) * MINUTE_MS
        else:
            time_ms = MIDNIGHT_MS + between(-10 * 24, 20 * 24) * HOUR_MS
        time_ms += choice([0, 0, 1, HOUR_MS - 1, 5_999, 6_000])
        return {
            "reading_id": key,
            "sensor": self._sensors[0] if busy else choice(self._sensors),
            "station": self._stations[0] if busy else choice(self._stations),
            "event_time": time_ms,
            "known_at": time_ms + choice(delays),
            "amount": choice([None, 0, 2**53 + 1, -(2**53) - 3, between(-7, 90)]),
            "price": choice([None, 0.0, -0.0, 0.1, 5e-324, self._chance.uniform(-1e12, 1e12)]),
            "place": choice([None, "", "DE", "FR", "ß"]),
            "flag": choice([None, True, False]),
        }


def _day_before(boundary: int) -> date:
    middle = datetime.fromtimestamp(MIDNIGHT_MS / 1000, UTC).date()
    return middle + timedelta(days=boundary - 1)


def _written(view: FeatureView, one: Told, sequence: int) -> Iterator[bytes]:
    """The records that an event makes of a view."""
    for field, content in one.puts:
        yield msgspec.msgpack.encode(
            Update(
                encoding=UPDATE_ENCODING,
                view=view.name,
                version=view.version,
                fingerprint=fingerprint(view),
                entity=one.event[view.entity.join_key],
                epoch=EPOCH,
                sequence=sequence,
                event_time=time_of(one.event),
                field=field,
                content=content,
            )
        )


def _expected(
    events: Mapping[str, Sequence[Row]], rows: Sequence[Asked]
) -> Iterator[Mapping[str, Value]]:
    """What the oracle says of each row, by `view__feature`, with what is computed of that."""
    by_view = []
    for view in VIEWS:
        key = view.entity.join_key
        spine = [SpineRow(getattr(row, key), row.time_ms, row.current) for row in rows]
        by_view.append(oracle.values(view, events[view.source.name], spine))
    for row, *found in zip(rows, *by_view, strict=True):
        values: dict[str, Value] = {
            f"{view.name}__{name}": value
            for view, of_view in zip(VIEWS, found, strict=True)
            for name, value in of_view.items()
        }
        read = {**values, "given": row.given, "number": row.number}
        made = {f"{CONTEXT.name}__{one.name}": _computed(one, read) for one in CONTEXT.computed}
        yield values | made


def _computed(feature: OnDemandFeature, read: Mapping[str, Value]) -> Value:
    """What leaves int64 or the finite doubles is null."""
    try:
        return finite(evaluate(feature.expression.node, read))
    except BadRecordError:
        return None
