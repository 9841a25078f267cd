"""Both engines give the oracle's bits on data of many shapes, and on a key with many values."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from engine_cases import MIDNIGHT_MS, spine_table, write_readings
from headrace_batch import history_spark, local_spill, spark_events
from headrace_batch.local_engine import LocalEngine
from headrace_batch.spark_engine import SparkEngine
from headrace_features import (
    ApproxDistinct,
    Count,
    Distinct,
    FeatureView,
    Max,
    Mean,
    Quantile,
    Session,
    Sliding,
    Sum,
    Tumbling,
    Unbounded,
    oracle,
)
from headrace_features.definitions.aggregates import Kind
from headrace_features.definitions.durations import DAY_MS, HOUR_MS
from headrace_features.definitions.sources import EventSource
from headrace_features.engines import Engine
from headrace_features.oracle import Row, SpineRow, Value
from headrace_features.sketches.theta import K
from headrace_schemas.settings import Settings
from histories import LATE, PROMPT, SENSOR, bits, every_aggregate, time_of, view_with

#: Milliseconds to days: whatever the unit of a history's time, some windows are of its length.
WINDOWS = (
    Sliding("7ms"),
    Sliding("20ms", hop="5ms", delay="6ms"),
    Session("3ms"),
    Sliding("90m", delay="1m"),
    Tumbling("1d"),
    Sliding("5d", hop="1h"),
    Session("2h"),
    Session("2d", delay="1h"),
    Unbounded(),
    Unbounded(delay="5m"),
)

#: How the times of a history are apart: the unit in ms, and how many of them it covers.
PACES = (
    (1, 4),
    (1, 60),
    (1_000, 3),
    (60_000, 400),
    (HOUR_MS, 12),
    (HOUR_MS, 300),
    (DAY_MS, 5),
    (DAY_MS, 40),
)
AMOUNTS: Sequence[Callable[[random.Random], Value]] = (
    lambda _: None,
    lambda _: -1,
    lambda rng: rng.randint(-5, 5),
    lambda rng: -rng.randint(1, 10**12),
    lambda rng: rng.choice([-1, 1]) * (2**56 - rng.randint(0, 9)),
    lambda rng: rng.choice([None, 0, 2**53 + 1, -(2**53) - 1, rng.randint(-(2**40), 2**40)]),
)
PRICES: Sequence[Callable[[random.Random], Value]] = (
    lambda _: None,
    lambda rng: rng.choice([0.0, -0.0, None]),
    lambda rng: rng.choice([5e-324, -5e-324, 2.2e-308, 0.1]),
    lambda rng: rng.choice([1e150, -1e150, 1e-150, -0.3]),
    lambda rng: rng.uniform(-1e6, 1e6),
    lambda rng: round(rng.uniform(-100, 0), 2),
)
PLACES: Sequence[Callable[[random.Random], Value]] = (
    lambda _: None,
    lambda rng: rng.choice(["", " ", "\0", "ß", "ẞ", "😀"]),
    lambda rng: "long" * rng.randint(0, 99),
    lambda rng: rng.choice([None, f"p{rng.randint(0, 30)}"]),
)


@pytest.fixture(params=["local", "spark"])
def engine(
    request: pytest.FixtureRequest, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Engine:
    """Each engine, with its work divided as that on large tables is."""
    if request.param == "local":
        monkeypatch.setattr(local_spill, "PART_ROWS", 700)
        return LocalEngine(settings)
    request.getfixturevalue("spark")
    monkeypatch.setattr(spark_events, "_PARTITION_ROWS", 700)
    monkeypatch.setattr(history_spark, "_SLICE_ROWS", 150)
    return SparkEngine(settings)


def one_shape(seed: int) -> list[Row]:
    """The events of one sensor, whose times and columns are of a kind that the seed draws."""
    rng = random.Random(seed)
    unit_ms, units = rng.choice(PACES)
    amount, price, place = rng.choice(AMOUNTS), rng.choice(PRICES), rng.choice(PLACES)
    delays = rng.choice([(0,), (0, 0, 1, 5), (0, 1, units, 3 * units)])
    flags = rng.choice([(None,), (True,), (None, True, False)])
    # Some between whole units; and one long before the others.
    fine_ms = rng.choice([1, unit_ms])
    rows: list[Row] = []
    for number in range(rng.choice([1, 2, 3, 10, 40, 60])):
        time_ms = MIDNIGHT_MS + rng.randint(-units, units) * unit_ms // fine_ms * fine_ms
        if number == 1:
            time_ms -= 200 * DAY_MS + rng.randint(0, 1)
        rows.append(
            {
                "reading_id": f"{seed:03d}{number:03d}"[::-1],
                "sensor": f"sensor {seed}" if seed % 10 else "ß" * (seed // 10),
                "event_time": time_ms,
                "known_at": time_ms + rng.choice(delays) * unit_ms,
                "amount": amount(rng),
                "price": price(rng),
                "place": place(rng),
                "flag": rng.choice(flags),
            }
        )
    return rows


def rows_for(seed: int, events: Sequence[Row]) -> list[SpineRow]:
    """Rows at, just before and after events of one sensor, some of which name an event."""
    rng = random.Random(-seed)
    unit_ms = rng.choice([1, 60_000, HOUR_MS, DAY_MS])
    rows = []
    for event in rng.choices(events, k=6):
        at_ms = time_of(event) + rng.choice([0, 0, 0, 1, -1, 7, 20, unit_ms, 20 * unit_ms])
        current = rng.choice([None, event["reading_id"], events[0]["reading_id"], "none such"])
        rows.append(
            SpineRow(str(event["sensor"]), at_ms, None if current is None else str(current))
        )
    return rows


@pytest.mark.parametrize(("source", "seeds"), [(PROMPT, range(50)), (LATE, range(50, 120))])
def test_histories_of_many_shapes_equal_the_oracle(
    source: EventSource, seeds: range, engine: Engine, settings: Settings, tmp_path: Path
) -> None:
    view = view_with(
        *every_aggregate(WINDOWS),
        Distinct("amount", WINDOWS),
        Distinct("amount", WINDOWS, exclude_current=True),
        ApproxDistinct("place", WINDOWS),
        Quantile("amount", q=0.05, windows=WINDOWS),
        source=source,
    )
    shapes = {seed: one_shape(seed) for seed in seeds}
    events = [event for shape in shapes.values() for event in shape]
    rows = [row for seed, shape in shapes.items() for row in rows_for(seed, shape)]
    chance = random.Random(seeds.start)
    chance.shuffle(events)
    chance.shuffle(rows)
    write_readings(settings, view, events)

    require_the_oracle_s_history(engine, view, events, rows, tmp_path)


def many_values(count: int) -> list[Row]:
    """Events of one sensor with nearly as many values, many at one time; and some of another."""
    rng = random.Random(4)
    rows: list[Row] = []
    for number in range(count):
        time_ms = MIDNIGHT_MS + rng.randrange(-count, count) // 3 * 3
        rows.append(
            {
                "reading_id": f"{number:05d}"[::-1],
                "sensor": "hot" if number % 40 else "cold",
                "event_time": time_ms,
                "known_at": time_ms + rng.choice([0, 0, 0, 2, 600]),
                "amount": rng.choice([None, *[rng.randint(-(10**14), 10**14)] * 15]),
                "price": rng.choice([None, -0.0, rng.uniform(-1e9, 1e9)]),
                "place": rng.choice([None, "", *[f"place {number}"] * 20]),
                "flag": rng.choice([None, True, False]),
            }
        )
    return rows


FAR = (Unbounded(), Sliding("16s"), Sliding("4s", hop="50ms"), Session("15ms"))
MANY_VALUES = FeatureView(
    name="many_values",
    version=1,
    entity=SENSOR,
    source=LATE,
    aggregates=[
        ApproxDistinct("amount", FAR),
        ApproxDistinct("place", FAR, exclude_current=True),
        Distinct("amount", FAR),
        Distinct("place", FAR[:2]),
        Quantile("amount", q=0.99, windows=FAR[:2]),
        Count(FAR),
        Sum("amount", FAR[:2]),
        Mean("price", FAR[:2]),
        Max("amount", FAR[:2]),
    ],
)


def test_a_key_with_more_values_than_a_sketch_holds_has_the_oracle_s_estimates(
    engine: Engine, settings: Settings, tmp_path: Path
) -> None:
    events = many_values(9_000)
    write_readings(settings, MANY_VALUES, events)
    asked = random.Random(5).sample(events, 5)
    rows = [SpineRow(str(e["sensor"]), time_of(e), str(e["reading_id"])) for e in asked]
    rows += [SpineRow("hot", MIDNIGHT_MS + at_ms) for at_ms in (9_000, 20_000)]
    rows += [SpineRow("cold", MIDNIGHT_MS + 9_000)]

    expected = require_the_oracle_s_history(engine, MANY_VALUES, events, rows, tmp_path)

    estimated = [f.name for f in MANY_VALUES.features if f.kind is Kind.APPROX_DISTINCT]
    beyond = [(name, row[name]) for row in expected for name in estimated if above(row[name], K)]
    assert len({name for name, _ in beyond}) > 2
    assert any(value != round(float(value or 0)) for _, value in beyond), "all of them are exact"


def above(value: Value, bound: int) -> bool:
    return isinstance(value, float) and value > bound


@pytest.mark.usefixtures("spark")
def test_a_backfill_of_a_key_with_many_values_is_bit_equal_on_both_engines(
    settings: Settings,
) -> None:
    write_readings(settings, MANY_VALUES, many_values(9_000))
    tables = []
    for engine in (LocalEngine(settings), SparkEngine(settings)):
        report = engine.backfill(MANY_VALUES, date(2021, 3, 3), date(2021, 3, 4))
        assert report.rows == 9_000
        tables.append(DeltaTable(report.table).to_pyarrow_table().sort_by("reading_id"))
    local, on_spark = tables
    assert local.column_names == on_spark.column_names
    for name in local.column_names:
        assert in_bits(local[name]) == in_bits(on_spark[name]), name


def require_the_oracle_s_history(
    engine: Engine,
    view: FeatureView,
    events: Sequence[Row],
    rows: Sequence[SpineRow],
    folder: Path,
) -> list[Row]:
    """See that the engine gives the oracle's values, which are returned."""
    spine, out = folder / "spine.parquet", folder / "out.parquet"
    pq.write_table(spine_table(rows), spine)
    everything = [view.select(*view.feature_names)]
    assert engine.history_file(everything, str(spine), str(out)) == len(rows)
    found, expected = pq.read_table(out), oracle.values(view, events, rows)
    for name in view.feature_names:
        wanted = [bits(row[name]) for row in expected]
        assert in_bits(found[f"{view.name}__{name}"]) == wanted, name
    return expected


def in_bits(column: pa.ChunkedArray) -> list[object]:
    return [bits(value) for value in column.to_pylist()]
