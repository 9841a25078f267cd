"""Random histories of events for property tests: ties, gaps, nulls, huge values, hot keys."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from headrace_features import (
    ApproxDistinct,
    Count,
    Distinct,
    Entity,
    EventSource,
    FeatureView,
    First,
    Last,
    Max,
    Mean,
    Min,
    Quantile,
    Session,
    Sliding,
    StdDev,
    Sum,
    Tumbling,
    Unbounded,
    Variance,
    struct,
)
from headrace_features.definitions.durations import DAY_MS, HOUR_MS
from headrace_features.definitions.windows import Window
from headrace_features.kernel.prepare import ARROW_TYPES, Spine
from headrace_features.oracle import Row, SpineRow, Value
from headrace_schemas.events import Event


class Reading(Event, frozen=True, kw_only=True):
    """An event with a column of every type, each of which may be null."""

    reading_id: str
    sensor: str
    event_time: int
    known_at: int
    amount: int | None = None
    price: float | None = None
    place: str | None = None
    flag: bool | None = None


SENSOR = Entity("sensor", join_key="sensor")
PROMPT = EventSource("readings", Reading, dedup_key="reading_id")
LATE = EventSource("late_readings", Reading, dedup_key="reading_id", available_at="known_at")

WINDOWS: tuple[Window, ...] = (
    Sliding("7ms"),
    Sliding("20ms", hop="5ms"),
    Sliding("9ms", delay="4ms"),
    Sliding("20ms", hop="5ms", delay="6ms"),
    Tumbling("8ms"),
    Tumbling("8ms", delay="3ms"),
    Session("3ms"),
    Session("2ms", delay="2ms"),
    Unbounded(),
    Unbounded(delay="5ms"),
)


def every_aggregate(
    windows: Sequence[Window], excludes: Sequence[bool] = (False, True)
) -> list[Any]:
    """Each aggregate over each window, with and without the event being decided."""
    return [
        aggregate
        for exclude in excludes
        for aggregate in (
            Count(windows=windows, exclude_current=exclude),
            Sum("amount", windows=windows, exclude_current=exclude),
            Sum("price", windows=windows, exclude_current=exclude),
            Mean("amount", windows=windows, exclude_current=exclude, default=-1.5),
            Mean("flag", windows=windows, exclude_current=exclude),
            Mean("price", windows=windows, exclude_current=exclude),
            Min("amount", windows=windows, exclude_current=exclude, default=-7),
            Max("price", windows=windows, exclude_current=exclude),
            Max("amount", windows=windows, exclude_current=exclude),
            Variance("amount", windows=windows, exclude_current=exclude),
            StdDev("price", windows=windows, exclude_current=exclude),
            First("place", windows=windows, exclude_current=exclude, default="nowhere"),
            Last(struct("amount", "price", "flag"), windows=windows, exclude_current=exclude),
            Distinct("place", windows=windows, exclude_current=exclude),
            Distinct("flag", windows=windows, exclude_current=exclude),
            ApproxDistinct("amount", windows=windows, exclude_current=exclude),
            Quantile("amount", q=0.95, windows=windows, exclude_current=exclude),
            Quantile("amount", windows=windows, exclude_current=exclude),
        )
    ]


def view_of(
    source: EventSource,
    windows: Sequence[Window] = WINDOWS,
    excludes: Sequence[bool] = (False, True),
    **options: Any,
) -> FeatureView:
    """A view with every aggregate over some windows."""
    return FeatureView(
        name="everything",
        version=1,
        entity=SENSOR,
        source=source,
        aggregates=every_aggregate(windows, excludes),
        **options,
    )


def view_with(*aggregates: Any, source: EventSource = PROMPT, **options: Any) -> FeatureView:
    """A view with the given aggregates over one of the sources."""
    return FeatureView(
        name="readings_lately",
        version=1,
        entity=SENSOR,
        source=source,
        aggregates=aggregates,
        **options,
    )


def reading(key: str, time_ms: int, **columns: Any) -> Row:
    """One event of sensor "a", known at once, with nulls where nothing else is said."""
    row: dict[str, Any] = dict.fromkeys(("amount", "price", "place", "flag"))
    row |= {"reading_id": key, "sensor": "a", "event_time": time_ms, "known_at": time_ms}
    return row | columns


_TIMES = st.one_of(st.integers(-30, 60), st.integers(-(2**41), 2**42))
_AMOUNTS = st.one_of(
    st.none(), st.integers(-5, 5), st.integers(-(10**9), 10**9), st.integers(-(2**58), 2**58)
)
_PRICES = st.one_of(
    st.none(),
    st.sampled_from([0.0, -0.0, 0.1, 0.5, 12.34, -99.99]),
    st.floats(-1e12, 1e12),
)


@st.composite
def histories(draw: st.DrawFn) -> list[Row]:
    """Up to 40 events of a few sensors, most of them of one, in the order of their arrival."""
    count = draw(st.integers(0, 40))
    clustered = draw(st.booleans())
    times = st.integers(-30, 60) if clustered else _TIMES
    rows: list[Row] = []
    for number in range(count):
        time_ms = draw(times)
        late_ms = draw(st.sampled_from([0, 0, 0, 1, 3, 8, 40]))
        rows.append(
            {
                # Reversed digits: dedup keys are not in the order of arrival.
                "reading_id": f"{number:02d}"[::-1],
                "sensor": draw(st.sampled_from(["a", "a", "a", "a", "b", ""])),
                "event_time": time_ms,
                "known_at": time_ms + late_ms,
                "amount": draw(_AMOUNTS),
                "price": draw(_PRICES),
                "place": draw(st.sampled_from([None, "", "DE", "FR", "ß"])),
                "flag": draw(st.sampled_from([None, True, False])),
            }
        )
    return rows


_ODD_AMOUNTS = st.one_of(
    st.none(), st.integers(-5, 5), st.integers(-70_000, 70_000), st.integers(-(2**58), 2**58)
)


@st.composite
def weeks(draw: st.DrawFn) -> list[Row]:
    """Up to 40 events of one sensor within a few weeks, many of them in a few busy hours."""
    rows: list[Row] = []
    busy = draw(st.lists(st.integers(-10 * 24, 20 * 24), min_size=1, max_size=4))
    for number in range(draw(st.integers(0, 40))):
        hour = draw(st.sampled_from(busy)) if draw(st.booleans()) else draw(st.integers(-240, 480))
        time_ms = hour * HOUR_MS + draw(
            st.sampled_from([0, 1, HOUR_MS - 1, 1_800_000, 5_000, 5_999, 6_000])
        )
        late_ms = draw(st.sampled_from([0, 0, 1, HOUR_MS, 7 * HOUR_MS, DAY_MS, 9 * DAY_MS]))
        rows.append(
            {
                "reading_id": f"{number:02d}"[::-1],
                "sensor": "a",
                "event_time": time_ms,
                "known_at": time_ms + late_ms,
                "amount": draw(_ODD_AMOUNTS),
                "price": draw(st.sampled_from([None, 0.0, -0.0, 0.1, 12.34, -1e9])),
                "place": draw(st.sampled_from([None, "", "DE", "FR"])),
                "flag": draw(st.sampled_from([None, True, False])),
            }
        )
    return rows


@st.composite
def spines(draw: st.DrawFn, history: Sequence[Row]) -> list[SpineRow]:
    """Rows at the events' own times, just beside them, and anywhere, some for unknown sensors."""
    rows: list[SpineRow] = []
    for event in history:
        if draw(st.booleans()):
            time_ms = time_of(event) + draw(st.sampled_from([0, 0, 0, 1, 2, 3, 7, 9, 20]))
            rows.append(SpineRow(str(event["sensor"]), time_ms, str(event["reading_id"])))
    for _ in range(draw(st.integers(0, 8))):
        sensor = draw(st.sampled_from(["a", "b", "z"]))
        current = draw(st.sampled_from([None, "00", "10", "none such"]))
        rows.append(SpineRow(sensor, draw(st.integers(-40, 90)), current))
    return draw(st.permutations(rows)) if len(rows) < 20 else rows


def time_of(event: Row) -> int:
    """The event time of a row."""
    time_ms = event["event_time"]
    assert isinstance(time_ms, int)
    return time_ms


def as_table(view: FeatureView, rows: Sequence[Row]) -> pa.Table:
    """Events as the table that engines read."""
    schema = pa.schema([(c.name, ARROW_TYPES[c.type]) for c in view.source.columns])
    return pa.Table.from_pylist([dict(row) for row in rows], schema=schema)


def as_spine(rows: Sequence[SpineRow]) -> Spine:
    """A spine as the columns that engines read."""
    return Spine(
        keys=pa.chunked_array([[row.key for row in rows]], pa.string()),
        times_ms=pa.chunked_array([[row.time_ms for row in rows]], pa.int64()),
        current=pa.chunked_array([[row.current for row in rows]], pa.string()),
    )


def bits(value: object) -> object:
    """A value in a form where equal means the same bits: -0.0 is not 0.0, NaN is NaN."""
    return (type(value).__name__, value.hex() if isinstance(value, float) else value)


def finite(value: Value) -> Value:
    """A value of an on-demand feature: a double that isn't finite is null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


_EXACT = (
    Sliding("3h"),
    Sliding("2d", hop="5m"),
    Sliding("1d", delay="12h"),
    Tumbling("90m"),
    Session("2h"),
    Session("30m", delay="6h"),
)
_COARSE = (
    Sliding("2d", hop="6h"),
    Sliding("2d", hop="1h", delay="6h"),
    Tumbling("1d"),
    Unbounded(),
    Unbounded(delay="1d"),
)
#: Every aggregate over windows of hours and days, by what is special about them.
VIEWS_OF_DAYS = {
    "prompt, exact": view_of(PROMPT, _EXACT),
    "prompt, coarse": view_of(PROMPT, _COARSE),
    "late, exact": view_of(LATE, _EXACT),
    "late, coarse": view_of(LATE, _COARSE),
    "late, both": view_of(LATE, _EXACT[1:3] + _COARSE[:1] + _COARSE[3:]),
    # Where no event may be left out, old ones are folded for good.
    "prompt, folded": view_of(PROMPT, _EXACT[2:5] + _COARSE[3:4], [False]),
    "late, folded": view_of(LATE, _EXACT[5:] + _COARSE[1:], [False]),
}
