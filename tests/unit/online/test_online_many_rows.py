"""Many rows of one request have the values that each has by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from headrace_features import Count, Distinct, FeatureReader, Mean, Sliding, oracle
from headrace_features.definitions.durations import DAY_MS, HOUR_MS
from headrace_features.online.layers import Had
from headrace_features.online.served import entity_key, view_key
from headrace_features.online.sqlite_store import SqliteStateStore
from headrace_features.online.store import Row
from headrace_features.oracle import Row as Event
from headrace_features.oracle import SpineRow
from headrace_features.partials.events import block_of, in_order
from headrace_features.partials.plan import plan_of
from headrace_features.state.build import build
from headrace_features.state.layout import layout_of
from histories import as_table, bits, reading, view_with
from online_stores import apply, change, make_whole
from stream_state import stream_fields

BOUNDARY_DAY = 19_000
BOUNDARY_MS = BOUNDARY_DAY * DAY_MS
NOW_MS = BOUNDARY_MS + 6 * HOUR_MS
WINDOWS = [Sliding("1h"), Sliding("2d"), Sliding("30d")]
VIEW = view_with(
    Count(windows=WINDOWS),
    Mean("amount", windows=WINDOWS),
    Distinct("place", windows=WINDOWS),
    Count(windows=[Sliding("2d")], exclude_current=True),
)
NAMES = [f"{VIEW.name}__{name}" for name in VIEW.feature_names]
SENSORS = [f"sensor {number}" for number in range(25)]


def history(number: int) -> list[Event]:
    """Some hours apart, so that each sensor has other values; of every seventh there is nothing."""
    if number % 7 == 6:
        return []
    return [
        reading(
            f"{number}-{at}",
            NOW_MS - at * (number + 1) * HOUR_MS,
            sensor=SENSORS[number],
            amount=None if number % 5 == 4 and at % 2 else at + number,
            place=f"place {at % (number + 1)}",
        )
        for at in range(60)
    ]


@pytest.fixture
def reader(tmp_path: Path) -> FeatureReader:
    store = SqliteStateStore(tmp_path / "online.db")
    plan, layout = plan_of(VIEW), layout_of(VIEW, BOUNDARY_MS)
    generation = store.begin(view_key(VIEW), BOUNDARY_MS)
    for number, sensor in enumerate(SENSORS):
        block = in_order(block_of(VIEW, plan, as_table(VIEW, history(number))))
        edge = sum(time_ms < BOUNDARY_MS for time_ms in block.times)
        fields = build(plan, layout, block.part(0, edge))
        store.write(generation, [Row(entity_key(sensor), *field) for field in fields.items()])
        after = stream_fields(block.part(edge, len(block)), {BOUNDARY_DAY: "rx"[number % 2]})
        changes = [
            change(name, 1, 1, content, view=view_key(VIEW), entity=sensor)
            for name, content in after.items()
        ]
        if changes:
            apply(store, *changes)
    store.publish(generation, Had.until(generation, BOUNDARY_MS))
    make_whole(store, view_key(VIEW))
    return FeatureReader(store, [VIEW.select(*VIEW.feature_names)], clock_ms=lambda: NOW_MS)


def right(number: int, time_ms: int = NOW_MS, current: str | None = None) -> list[object]:
    spine = [SpineRow(SENSORS[number], time_ms, current)]
    (values,) = oracle.values(VIEW, history(number), spine)
    return list(map(bits, values.values()))


def test_rows_of_one_time_have_the_oracle_s_values_each(reader: FeatureReader) -> None:
    rows = reader.read([{"sensor": sensor} for sensor in SENSORS])
    found = [[bits(row[name]) for name in NAMES] for row in rows]
    assert found == [right(number) for number in range(len(SENSORS))]
    assert len({str(one) for one in found}) > 15
    assert [bool(row.not_found) for row in rows] == [not history(n) for n in range(len(SENSORS))]


def test_rows_of_other_times_or_that_leave_an_event_out_may_be_among_them(
    reader: FeatureReader,
) -> None:
    numbers = [*range(len(SENSORS)), 3, 3, 8]
    asked, expected = [], []
    for at, number in enumerate(numbers):
        row: dict[str, object] = {"sensor": SENSORS[number]}
        time_ms = NOW_MS - (at % 3) * HOUR_MS if at % 4 == 1 else NOW_MS
        current = f"{number}-1" if at % 4 == 3 else None
        if time_ms != NOW_MS:
            row["as_of"] = time_ms
        if current is not None:
            row["current_event"] = current
        asked.append(row)
        expected.append(right(number, time_ms, current))
    found = [[bits(row[name]) for name in NAMES] for row in reader.read(asked)]
    assert found == expected
