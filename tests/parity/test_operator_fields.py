"""What the stream writes for the online store gives the oracle's values when it is read."""

from __future__ import annotations

from base64 import b64decode
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace_features import (
    Count,
    FeatureView,
    Session,
    Sliding,
    Sum,
    Tumbling,
    Unbounded,
    oracle,
)
from headrace_features.definitions.durations import DAY_MS, HOUR_MS, MINUTE_MS
from headrace_features.online.layers import ALWAYS_MS, Layers, StreamSpan
from headrace_features.oracle import Row, SpineRow
from headrace_features.partials import tiles
from headrace_features.partials.blocks import EventBlock
from headrace_features.partials.encoding import pack, unpack
from headrace_features.partials.events import decode_events, encode_events, in_order
from headrace_features.partials.plan import plan_of
from headrace_features.state.lacking import LACKING, lacking_of
from headrace_features.state.stream import Widths
from headrace_schemas.errors import BadRecordError
from histories import LATE, PROMPT, bits, histories, reading, time_of, view_of, view_with, weeks
from operator_jvm import Jvm
from operator_requests import CALENDAR, FINE, LOW, USUAL, absorbing, planned, taken_in
from stream_state import read_of, values_of


@dataclass(frozen=True)
class Case:
    """What a view is read of: events of some weeks, or of some milliseconds with narrow fields."""

    view: FeatureView
    widths: tuple[tuple[int, int, int, int], ...] = (CALENDAR,)
    latenesses: tuple[int, ...] = (0, HOUR_MS, 3 * DAY_MS, 100 * DAY_MS)
    narrow: bool = False

    def events(self) -> st.SearchStrategy[list[Row]]:
        if self.narrow:
            return histories().map(lambda rows: [row for row in rows if row["sensor"] == "a"])
        return weeks()

    def times(self) -> st.SearchStrategy[int]:
        if self.narrow:
            return st.integers(-40, 120)
        hours = st.integers(-11 * 24, 21 * 24)
        within = st.sampled_from([0, 1, -1, 777_777, 5_500])
        return st.builds(lambda hour, ms: hour * HOUR_MS + ms, hours, within)


def drawn(data: st.DataObject, case: Case) -> tuple[list[Row], dict[str, Any]]:
    """Events, in the order of their time or not, and what the state that takes them in is told."""
    events = data.draw(case.events())
    if data.draw(st.booleans()):
        events.sort(key=time_of)
    return events, {
        "widths": data.draw(st.sampled_from(case.widths)),
        "lateness": data.draw(st.sampled_from(case.latenesses)),
        "limits": data.draw(st.sampled_from([LOW, USUAL])),
        "chunk": data.draw(st.sampled_from([2, 256])),
    }


def narrow(view: FeatureView) -> Case:
    return Case(view, (FINE, (1, 4, 8, 16), (5, 10, 20, 60)), (0, 3, 10, 10_000), narrow=True)


CASES = {
    "prompt, exact": Case(
        view_of(PROMPT, (Sliding("3h"), Sliding("1d", delay="12h"), Tumbling("90m"), Session("2h")))
    ),
    "prompt, short": Case(view_of(PROMPT, (Sliding("3h"), Tumbling("90m")))),
    "prompt, shorter": Case(view_of(PROMPT, (Sliding("2m"), Sliding("30s", delay="10s")))),
    "prompt, coarse": Case(
        view_of(
            PROMPT, (Sliding("2d", hop="6h"), Sliding("2d", hop="1h", delay="6h"), Tumbling("1d"))
        )
    ),
    "late, exact": Case(view_of(LATE, (Sliding("2d"), Session("30m", delay="6h")))),
    "late, open": Case(
        view_of(LATE, (Sliding("2d", hop="5m"), Unbounded(), Unbounded(delay="1d")))
    ),
    "late, coarse": Case(view_of(LATE, (Sliding("2d", hop="6h", delay="6h"), Unbounded()))),
    "narrow, exact": narrow(view_of(PROMPT, (Sliding("7ms"), Sliding("9ms", delay="4ms")))),
    "narrow, coarse": narrow(
        view_of(LATE, (Sliding("20ms", hop="5ms", delay="6ms"), Tumbling("8ms")))
    ),
    "narrow, sessions": narrow(view_of(LATE, (Session("3ms"), Session("6ms", delay="2ms")))),
    "narrow, open": narrow(view_of(LATE, (Sliding("7ms"), Unbounded(), Unbounded(delay="4ms")))),
}


@pytest.mark.parametrize("name", CASES)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_at_any_time_fields_give_the_oracle_s_values(
    name: str, engine: Jvm, data: st.DataObject
) -> None:
    case = CASES[name]
    view = case.view
    events, state = drawn(data, case)

    told, fields = taken_in(
        engine,
        view,
        events,
        **state,
        expired_after=data.draw(st.sampled_from([None, None, 0, 30, DAY_MS])),
    )

    require_canonical(view, fields)
    absorbed = [one.event for one in told if one.absorbed]
    for _ in range(6):
        time_ms = data.draw(case.times())
        known = [str(row["reading_id"]) for row in absorbed]
        current = data.draw(st.sampled_from([None, "none such", *known]))
        try:
            expected = oracle.values(view, absorbed, [SpineRow("a", time_ms, current)])[0]
        except BadRecordError:
            continue
        found = values_of(view, fields, time_ms, current, Widths(*state["widths"]))
        assert list(map(bits, found.values())) == list(map(bits, expected.values()))


def require_canonical(view: FeatureView, fields: Mapping[str, bytes]) -> None:
    """See that the operator has written, to the byte, what Python writes."""
    plan = plan_of(view)
    for name, content in fields.items():
        if not content:
            continue
        if name == LACKING:
            assert pack(unpack(content)) == content
            continue
        if name[0] in "hd":
            assert tiles.encode(plan, tiles.decode(plan, content)) == content
            continue
        events = decode_events(content)
        assert encode_events(events) == content
        assert events == in_order(events)


MOMENTS = {
    "open": Case(
        view_with(Count(windows=[Unbounded(), Sliding("1d")]), Sum("amount", windows=[Unbounded()]))
    ),
    "open, late": Case(
        view_with(
            Count(windows=[Unbounded(), Sliding("3d", delay="6h"), Sliding("30m")]),
            Sum("amount", windows=[Unbounded()]),
            source=LATE,
        )
    ),
    "short": Case(view_with(Count(windows=[Sliding("3h"), Sliding("2h", delay="30m")]))),
    "narrow": narrow(
        view_with(Count(windows=[Sliding("7ms"), Sliding("20ms"), Session("9ms")]), source=LATE)
    ),
    "narrow, open": narrow(
        view_with(Count(windows=[Unbounded(), Sliding("9ms"), Tumbling("4ms")]))
    ),
}


@pytest.mark.parametrize("name", MOMENTS)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_a_reader_in_between_sees_what_was_before_an_event_or_is_after_it(
    name: str, engine: Jvm, data: st.DataObject
) -> None:
    case = MOMENTS[name]
    view = case.view
    events, state = drawn(data, case)
    # Which events a sum is of can be told from it.
    events = [{**event, "amount": 1 << number} for number, event in enumerate(events)]
    far = max((int(str(event["known_at"])) for event in events), default=0) + 9 * DAY_MS
    rows = [SpineRow("a", time_ms) for time_ms in (far, *(data.draw(case.times()),) * 3)]

    told, _ = taken_in(
        engine,
        view,
        events,
        **state,
    )

    fields: dict[str, bytes] = {}
    absorbed: list[Row] = []
    after = oracle.values(view, absorbed, rows)
    for one in told:
        absorbed += [one.event] if one.absorbed else []
        before, after = after, oracle.values(view, absorbed, rows)
        for field, content in one.puts:
            fields[field] = content
            for row, was, is_now in zip(rows, before, after, strict=True):
                found = values_of(view, fields, row.time_ms, widths=Widths(*state["widths"]))
                for feature, value in found.items():
                    assert value in (was[feature], is_now[feature])


CROWDED = {
    **MOMENTS,
    "sessions": Case(view_with(Count(windows=[Session("2h"), Session("30m", delay="6h")]))),
}


@pytest.mark.parametrize("name", CROWDED)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_of_events_that_are_refused_the_fields_tell_which_values_may_lack_some(
    name: str, engine: Jvm, data: st.DataObject
) -> None:
    case = CROWDED[name]
    view = case.view
    events, state = drawn(data, case)

    told, fields = taken_in(
        engine,
        view,
        events,
        **state,
        room=data.draw(st.sampled_from([1, 4, 10, 1_000])),
    )

    refused = [one.event for one in told if not one.absorbed]
    lacking = lacking_of(fields)
    assert (lacking is not None) == bool(refused)
    if lacking is not None:
        assert lacking.event_time_ms == max(map(time_of, refused))
        known = view.source.available_at or view.source.event_time
        assert lacking.known_ms == max(int(str(event[known])) for event in refused)
    layers = Layers(None, StreamSpan(1, ALWAYS_MS, 0, 0, 0))
    for _ in range(6):
        time_ms = data.draw(case.times())
        expected = oracle.values(view, events, [SpineRow("a", time_ms, None)])[0]
        found = read_of(view, fields, time_ms, widths=Widths(*state["widths"]))
        for feature, (value, span) in found.items():
            if lacking is None or not layers.lacks(lacking, *span):
                assert value == expected[feature]


OPEN = view_with(Count(windows=[Unbounded(), Sliding("2d")]), Sum("amount", windows=[Unbounded()]))


def at_times(times: Iterable[int]) -> list[Row]:
    return [reading(f"{n:04d}", time_ms, amount=n) for n, time_ms in enumerate(times)]


def test_a_sparse_entity_has_one_field_a_day(engine: Jvm) -> None:
    events = at_times(number * 5 * HOUR_MS for number in range(100))

    told, fields = taken_in(engine, OPEN, events, lateness=HOUR_MS, widths=CALENDAR)

    assert set(fields) == {f"r{day}" for day in range(500 // 24 + 1)}
    assert all(len(one.puts) == 1 for one in told)


def test_a_day_with_more_events_has_a_tile_and_one_block(engine: Jvm) -> None:
    events = at_times(number * 2 * HOUR_MS for number in range(100))

    told, fields = taken_in(engine, OPEN, events, lateness=HOUR_MS, widths=CALENDAR)

    days = 200 // 24
    assert set(fields) == {f"r{day}" for day in range(days + 1)} | {f"d{d}" for d in range(days)}
    assert sum(len(one.puts) for one in told) == len(events) + days


def test_busy_hours_are_divided_and_have_tiles_once_they_have_ended(engine: Jvm) -> None:
    view = CASES["prompt, coarse"].view
    times = [hour * HOUR_MS + n * MINUTE_MS // 2 for hour in range(50) for n in range(80)]
    requests = [planned(view, lateness=HOUR_MS, widths=CALENDAR)]
    requests += [absorbing(view, event) for event in at_times(times)]

    *_, absorbed, told = engine.ask([*requests, {"op": "fields", "key": "a"}])

    fields = {name: b64decode(content) for name, content in told["fields"].items()}
    full = {name for name, content in fields.items() if content}
    ended = times[-1] // HOUR_MS - 1
    assert full == (
        {f"y{time_ms // MINUTE_MS}" for time_ms in times}
        | {f"h{hour}" for hour in range(ended)}
        | {f"d{day}" for day in range(ended * HOUR_MS // DAY_MS)}
    )
    # What is older than the windows' reach is dropped or folded, an hour to a tile.
    assert absorbed["raw"] < 80 * 50
    assert absorbed["tiles"] < 60


def test_a_day_that_passes_a_limit_after_its_end_gets_what_it_lacks(engine: Jvm) -> None:
    hour = 5 * HOUR_MS
    few = [hour + number for number in range(8)]
    end = [3 * DAY_MS]
    ninth, rest = [hour + 8], [hour + number for number in range(9, 65)]

    told, _ = taken_in(
        engine, OPEN, at_times([*few, *end, *ninth, *rest]), lateness=DAY_MS, widths=CALENDAR
    )

    names = [[field for field, _ in one.puts] for one in told]
    assert names[: 8 + 1] == [["r0"]] * 8 + [["r3"]]
    assert names[9:-1] == [["r0", "d0"]] * 56
    # All of them are of one second.
    assert names[-1] == ["z18000", "r0", "h5", "d0"]
    assert dict(told[-1].puts)["r0"] == b""


def test_a_burst_never_changes_a_field_of_many_events(engine: Jvm) -> None:
    times = [7 * HOUR_MS + 12 * number for number in range(5_000)]
    view = view_with(Count(windows=[Sliding("2d")]), Sum("amount", windows=[Sliding("2d")]))

    told, fields = taken_in(engine, view, at_times(times), lateness=HOUR_MS, widths=CALENDAR)

    sizes: Counter[str] = Counter()
    for one in told:
        for field, content in one.puts:
            events = len(decode_events(content).times) if content else 0
            sizes[field[0]] = max(sizes[field[0]], events)
    assert sizes == {"r": 64, "z": 84}
    assert max(len(one.puts) for one in told) < 5
    assert sum(len(one.puts) for one in told) < 5_010
    assert {field for field, content in fields.items() if field[0] != "z"} == {"r0"}
    assert values_of(view, fields, times[-1])["count_2d"] == 5_000


def test_of_events_that_stand_alone_in_a_minute_none_is_lost(engine: Jvm) -> None:
    view = view_with(Count(windows=[Sliding("10m")]))
    # Each minute's first event is dropped before the last one of the same minute comes.
    times = [0, 60_000, 600_005, 1, 600_015, 10, 600_025, 20, 700_000, 59_999]

    told, fields = taken_in(engine, view, at_times(times), lateness=0, widths=CALENDAR)

    assert [one.absorbed for one in told] == [True] * 9 + [False]
    assert [*decode_events(fields["l0"]).times] == [1, 10, 20]
    for time_ms in (30, 100_000, 599_999 + 15):
        expected = sum(time_ms - 600_000 < other <= time_ms for other in times[:-1])
        assert [*values_of(view, fields, time_ms).values()] == [expected]


def test_an_event_that_stands_alone_as_well_is_read_once() -> None:
    plan = plan_of(OPEN)
    both = EventBlock([5, 5], [b"a", b"b"], None, [[1, 2]])
    twice = both.chosen([0])
    tile = tiles.encode(plan, tiles.fold(plan, twice))
    blocks = {"r0": encode_events(twice), "l0": encode_events(both)}
    for fields in (blocks, {**blocks, "d0": tile}, {"x0": b"", "h0": tile, "y0": blocks["r0"]}):
        found = values_of(OPEN, {"l0": blocks["l0"], **fields}, 2 * DAY_MS)
        assert [*found.values()] == [2, 2, 3]


@pytest.mark.parametrize(
    ("window", "letter"),
    [
        ("1d", "r"),
        ("23h", "x"),
        ("1h", "x"),
        ("59m", "y"),
        ("1m", "y"),
        ("59s", "z"),
        ("10ms", "z"),
    ],
)
def test_blocks_are_as_long_as_a_view_reaches_back(engine: Jvm, window: str, letter: str) -> None:
    view = view_with(Count(windows=[Sliding(window)]))
    times = range(0, 3 * DAY_MS, 47 * MINUTE_MS)

    _, fields = taken_in(engine, view, at_times(times), lateness=0, widths=CALENDAR)

    assert {field[0] for field in fields} - {"d"} == {letter}
